"""`rml copy`: a ledger taken over into another store, entry by entry."""

from __future__ import annotations

from contextlib import closing

import click

from rml.cli.backup import bars
from rml.cli.ending import FINE
from rml.cli.opening import opening_of
from rml.cli.output import examples, fields, json_option, paint, say, say_json
from rml.ledger.exports.copying import copy as copy_ledger
from rml.ledger.store import Store, open_store, without_password


@click.command(
    epilog=examples(
        "rml copy payments.db postgresql://owner@db.example/shop",
        "rml copy 'postgresql://owner@db.example/shop?schema=eu' eu.db --json",
    )
)
@click.argument("source", metavar="SOURCE")
@click.argument("target", metavar="TARGET")
@json_option
def copy(*, source: str, target: str, as_json: bool) -> int:
    """Copy the ledger at SOURCE to TARGET, a path or URL where there is none yet.

    The copy is the same ledger: origin, entries, indexes and root, what is kept beside entries,
    leases. A target in PostgreSQL is made as by `rml init`. Stop everything that writes to SOURCE
    before; a copy that was interrupted goes on where it stopped when the command is repeated.
    """
    with (
        closing(open_store(opening_of(source))) as old,
        closing(_target(target, old.origin)) as new,
        bars() as progress,
    ):
        found = copy_ledger(old, new, progress)
    place = without_password(target)
    if as_json:
        say_json({"target": place, **found.to_dict()})
        return FINE
    rows = [
        ("copy", place),
        ("origin", found.origin),
        ("entries", found.size),
        ("root", found.root),
    ]
    say([*fields(rows), "", f"{paint('ok')}: the copy was verified, entry by entry"])
    return FINE


def _target(place: str, origin: str) -> Store:
    """Open the target; in PostgreSQL it is made first, which changes nothing if it is there."""
    opening = opening_of(place, origin=origin, create=True)
    if opening.url.startswith("postgresql:"):
        import rml.stores.postgres  # noqa: F401 - says which extra is missing
        from rml.stores.postgres_schema import initialise

        initialise(opening)
    return open_store(opening)

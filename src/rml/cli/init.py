"""`rml init`: make the schema of a ledger in PostgreSQL, or bring it up to date."""

from __future__ import annotations

import click

from rml.cli.ending import FINE
from rml.cli.opening import opening_of
from rml.cli.output import examples, fields, json_option, paint, say, say_json
from rml.error import InvalidInputError, MissingExtraError


@click.command(
    epilog=examples(
        "rml init postgresql://owner@db.example/shop --role shop_app",
        "rml init 'postgresql://db.example/shop?schema=eu' --origin example.com/eu",
        "rml init postgresql://owner@db.example/shop --json",
    )
)
@click.argument("url", metavar="URL")
@click.option("--origin", help="The identity of a new ledger, as in every one of its entries.")
@click.option("--role", help="A role that is to use the ledger: it is granted what that needs.")
@json_option
def init(*, url: str, origin: str | None, role: str | None, as_json: bool) -> int:
    """Make the schema of a ledger in PostgreSQL, or bring it up to date.

    Connect as a role that may create the schema; it will own it, and programs should connect as
    another one, named by --role. Doing it twice changes nothing, and two at once take turns.
    A ledger in a file needs no init: opening it makes it.
    """
    if not url.startswith("postgresql:"):
        raise InvalidInputError("rml init is for postgresql: URLs; opening a file makes its ledger")
    try:
        from rml.stores.postgres_schema import initialise
    except ImportError as error:
        raise MissingExtraError.about("postgres") from error
    done = initialise(opening_of(url, origin=origin, create=True), role)
    if as_json:
        say_json(
            {
                "place": done.place,
                "origin": done.origin,
                "version": done.version,
                "applied": list(done.applied),
                "role": done.role,
            }
        )
        return FINE
    what = "made" if 1 in done.applied else "brought up to date" if done.applied else "up to date"
    rows = [("place", done.place), ("origin", done.origin), ("schema", f"version {done.version}")]
    if done.role is not None:
        rows.append(("granted to", done.role))
    say([*fields(rows), "", f"{paint('ok')}: {what}"])
    return FINE

"""`rml pending`: what is held open, and how the expiry of what is overdue gets recorded."""

from __future__ import annotations

from typing import Any

import attrs
import click

from rml.cli.ending import FINE
from rml.cli.output import examples, json_option, moment, say, say_json, table
from rml.cli.place import ledger_option, opened_ledger
from rml.cli.tail import assignments
from rml.ledger.corrections.pending import Pending


@click.command(
    epilog=examples(
        "rml pending --ledger payments.db",
        "rml pending --operation payment.charge --json | jq length",
        'rml pending --expire --by "nightly job"',
    )
)
@click.option("--operation", metavar="OP", help="Only what is pending of this operation.")
@click.option("--expire", is_flag=True, help="Record the expiry of all that is overdue; list it.")
@click.option("--by", metavar="NAME", help="Who lets it expire.")
@ledger_option
@json_option
def pending(*, operation: str | None, expire: bool, by: str | None, as_json: bool) -> int:
    """List what is held open, neither confirmed nor voided, oldest first.

    Nothing expires by itself. With --expire, what is overdue is recorded as expired, and listed.
    """
    if by is not None and not expire:
        raise click.UsageError("--by goes with --expire: who lets it expire")
    if operation is not None and expire:
        raise click.UsageError("--expire is for all that is overdue; leave --operation out")
    with opened_ledger() as ledger:
        found = ledger.expire(by=by) if expire else list(ledger.pending(operation=operation))
    if as_json:
        say_json([_shape(one) for one in found])
    elif not found:
        say("nothing is overdue" if expire else "nothing is pending")
    else:
        say(_page(found, "expired" if expire else "overdue"))
    return FINE


def _shape(one: Pending) -> dict[str, Any]:
    return {**attrs.asdict(one, recurse=False), "world": one.world.value, "facts": dict(one.facts)}


def _page(found: list[Pending], over: str) -> list[str]:
    rows = [
        [
            over if one.overdue else "pending",
            moment(one.recorded_at),
            "never" if one.expires_at is None else moment(one.expires_at),
            one.id,
        ]
        for one in found
    ]
    heads = ["STATE", "OPENED (UTC)", "EXPIRES (UTC)", "PENDING"]
    notes = [f"{one.operation} {assignments(one.facts.items())}".rstrip() for one in found]
    return table(heads, rows, notes)

"""`rml correct`: what is in the ledger is corrected by a new entry that names the old one."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import attrs
import click

from rml.cli.casework import at_option, by_option, listed, pairs, world_option
from rml.cli.ending import FINE
from rml.cli.naming import entry_named, is_place, placed, shown_receipt
from rml.cli.output import examples, json_option, say, say_json
from rml.cli.place import ledger_option, opened_ledger
from rml.legible import legible


@click.command(
    epilog=examples(
        "rml correct ef_... payment.refunded --amount 1999 --currency EUR \\",
        '    --by tom --reason "charged twice" --incident INC-2026-0001',
        "rml correct 12 stock.counted --fact item=tea \\",
        '    --by tom --reason "a typing mistake"',
    )
)
@click.argument("id_", metavar="ID")
@click.argument("kind")
@by_option
@click.option("--reason", metavar="TEXT", required=True, help="Why; in clear for ever.")
@click.option("--amount", metavar="N", type=int, help="By how much, in the original's unit.")
@click.option("--currency", metavar="C", help="In which currency, if not the original's.")
@listed("--fact", "NAME=TEXT", "What else is recorded, in clear")
@click.option("--operation", metavar="OP", help="The operation that it belongs to.")
@click.option("--incident", metavar="INC", help="The case that it belongs to.")
@world_option("RML3")
@at_option
@ledger_option
@json_option
def correct(
    *,
    id_: str,
    kind: str,
    amount: int | None,
    currency: str | None,
    fact: tuple[str, ...],
    incident: str | None,
    at: datetime | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Record that something corrects ID: an entry's id or place, or an effect's id.

    KIND says what happened, such as payment.refunded. The original stays as it is. Corrections with
    an amount add up, and never to more than the original's.
    """
    facts: dict[str, Any] = pairs("--fact", fact, "NAME=TEXT")
    facts |= {k: v for k, v in (("amount", amount), ("currency", currency)) if v is not None}
    with opened_ledger() as ledger:
        original = entry_named(ledger, id_).id if is_place(id_) else id_
        case = None if incident is None else incident.strip().upper()
        receipt = placed(
            ledger, ledger.correct(original, kind, facts=facts, at=at, incident=case, **options)
        )
        left = ledger.correctable(original).left
    if as_json:
        say_json({"corrects": original, "left": left, **attrs.asdict(receipt)})
    else:
        rest = "" if left is None else f"; {left} of it is left"
        say(legible(f"{original} is corrected ({shown_receipt(receipt)}){rest}"))
    return FINE

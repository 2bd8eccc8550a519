"""`rml case INC-... take|hand-over|update|order|note ...`: how an incident is led."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from rml.cli.casework import (
    at_option,
    by_option,
    case_options,
    given,
    hat_option,
    listed,
    override_option,
    take,
)
from rml.cli.output import examples


@click.command("take", epilog=examples("rml case INC-2026-0001 take commander --by mina"))
@click.argument("role")
@by_option
@override_option
@case_options
def take_role(*, role: str, by: str, override: str | None, as_json: bool) -> int:
    """Put on a hat: commander, communicator, ops_lead, scribe or another."""
    return take(
        lambda case: case.take(role, by=by, override=override), f"{by} is {role}", as_json=as_json
    )


@click.command(epilog=examples("rml case INC-2026-0001 leave scribe --by tom"))
@click.argument("role")
@by_option
@case_options
def leave(*, role: str, by: str, as_json: bool) -> int:
    """Take off a hat; a commander hands over instead."""
    return take(lambda case: case.leave(role, by=by), f"{by} left {role}", as_json=as_json)


@click.command(
    epilog=examples(
        "rml case INC-2026-0001 hand-over --to tom --by mina \\",
        '    --briefing "payments are off, ..."',
    )
)
@click.option("--to", metavar="NAME", required=True, help="Who is to be commander.")
@click.option("--briefing", metavar="TEXT", required=True, help="What they need to know.")
@by_option
@case_options
def hand_over(*, to: str, briefing: str, by: str, as_json: bool) -> int:
    """Offer command to somebody; it moves when they accept."""
    return take(
        lambda case: case.hand_over(to=to, by=by, briefing=briefing),
        f"command is offered to {to}",
        as_json=as_json,
    )


@click.command(epilog=examples("rml case INC-2026-0001 accept --by tom"))
@by_option
@case_options
def accept(*, by: str, as_json: bool) -> int:
    """Accept the command that was offered."""
    return take(lambda case: case.accept(by=by), f"{by} is commander", as_json=as_json)


@click.command(
    epilog=examples(
        'rml case INC-2026-0001 update "41 charges twice" --action "it is off" \\',
        '    --need "legal at 11:00" --to leadership --by mina --next-minutes 15',
    )
)
@click.argument("condition")
@click.option("--action", metavar="TEXT", required=True, help="What was done, and is being done.")
@click.option("--need", metavar="TEXT", required=True, help='What is needed; "none" is an answer.')
@listed("--to", "AUDIENCE", "Who hears it, such as leadership", required=True)
@click.option("--next-minutes", metavar="N", type=int, help="When the next one is promised.")
@by_option
@hat_option
@at_option
@override_option
@case_options
def update(*, condition: str, as_json: bool, **options: Any) -> int:
    """Record an update: condition, action, need."""
    known = given(**options)
    return take(lambda case: case.update(condition, **known), "updated", as_json=as_json)


@click.command(
    epilog=examples('rml case INC-2026-0001 tell "called her" --to leadership --by mina')
)
@click.argument("detail")
@listed("--to", "AUDIENCE", "Who was told", required=True)
@listed("--paged", "NAME", "Whom a pager called for it")
@by_option
@hat_option
@at_option
@override_option
@case_options
def tell(*, detail: str, as_json: bool, **options: Any) -> int:
    """Record that somebody was told."""
    known = given(**options)
    return take(lambda case: case.tell(detail, **known), "told", as_json=as_json)


@click.command(
    epilog=examples('rml case INC-2026-0001 order "check lag on shard 4" --to tom --by mina')
)
@click.argument("detail")
@click.option("--to", metavar="NAME", required=True, help="Who is to do it.")
@by_option
@case_options
def order(*, detail: str, to: str, by: str, as_json: bool) -> int:
    """Give an order; it is open until it was read back and confirmed."""
    return take(lambda case: case.order(detail, to=to, by=by), f"ordered to {to}", as_json=as_json)


@click.command(
    epilog=examples('rml case INC-2026-0001 read-back ID "check lag on shard 4" --by tom')
)
@click.argument("order_id")
@click.argument("detail")
@by_option
@case_options
def read_back(*, order_id: str, detail: str, by: str, as_json: bool) -> int:
    """Say an order back as it was understood."""
    return take(
        lambda case, order: case.read_back(order, detail, by=by),
        "read back",
        as_json=as_json,
        order=order_id,
    )


@click.command(epilog=examples("rml case INC-2026-0001 confirm-order ID --by mina"))
@click.argument("order_id")
@by_option
@override_option
@case_options
def confirm_order(*, order_id: str, by: str, override: str | None, as_json: bool) -> int:
    """Confirm that an order was understood."""
    return take(
        lambda case, order: case.confirm_order(order, by=by, override=override),
        "order confirmed",
        as_json=as_json,
        order=order_id,
    )


@click.command(
    epilog=examples(
        'rml case INC-2026-0001 note "refunds are not affected" \\',
        "    --board not_affected --by tom",
        'rml case INC-2026-0001 note "the new retry" --board hypothesis \\',
        '    --because "since the deploy" --disproof "old hosts too" --by tom',
    )
)
@click.argument("detail")
@click.option("--board", metavar="B", required=True, help="know, think, question, blocker, ...")
@click.option("--because", metavar="TEXT", help="Why a hypothesis is believed.")
@click.option("--disproof", metavar="TEXT", help="What would disprove it.")
@click.option("--ends", metavar="ID", help="The note that this answers or disproves.")
@by_option
@case_options
def note(*, detail: str, ends: str | None, as_json: bool, **options: Any) -> int:
    """Hang a note on the board: what is known apart from what is thought."""
    known = given(**options)
    return take(
        lambda case, **ids: case.note(detail, **known, **ids), "noted", as_json=as_json, ends=ends
    )


@click.command(
    epilog=examples(
        'rml case INC-2026-0001 workstream "find the retry" --lead tom \\',
        "    --channel '#find' --document notes/find.md --by mina",
    )
)
@click.argument("goal")
@click.option("--lead", metavar="NAME", required=True, help="Who leads it.")
@click.option("--channel", metavar="C", required=True, help="Where its people talk.")
@click.option("--document", metavar="D", required=True, help="Where they write.")
@by_option
@case_options
def workstream(*, goal: str, lead: str, channel: str, document: str, by: str, as_json: bool) -> int:
    """Open a workstream: one goal, one lead, one channel, one document."""
    return take(
        lambda case: case.workstream(goal, lead=lead, channel=channel, document=document, by=by),
        f"workstream of {lead}",
        as_json=as_json,
    )


@click.command(epilog=examples("rml case INC-2026-0002 link caused_by INC-2026-0001 --by tom"))
@click.argument("relation")
@click.argument("to")
@by_option
@case_options
def link(*, relation: str, to: str, by: str, as_json: bool) -> int:
    """Link the case: caused_by, fixed_by, part_of, similar_to."""
    return take(lambda case: case.link(relation, to, by=by), f"{relation} {to}", as_json=as_json)


@click.command(
    epilog=examples(
        "rml case INC-2026-0001 triage lost_answers --by mina \\",
        "    --runbook runbooks/lost-answers.md",
        "rml case INC-2026-0001 triage model_provider_outage --by mina",
    )
)
@click.argument("symptom")
@click.option("--runbook", metavar="LINK", help="The runbook for it; without, there is none.")
@by_option
@at_option
@case_options
def triage(
    *, symptom: str, runbook: str | None, by: str, at: datetime | None, as_json: bool
) -> int:
    """Record the symptom, and the runbook that is for it or that there is none."""
    return take(
        lambda case: case.triage(symptom, by=by, runbook=runbook, at=at),
        f"{symptom}: {runbook or 'no runbook'}",
        as_json=as_json,
    )


@click.command(
    epilog=examples("rml case INC-2026-0001 private --by mina --reason 'a leak, not yet mended'")
)
@click.option("--off", is_flag=True, help="Show it in lists again.")
@click.option("--reason", metavar="TEXT", required=True, help="Why.")
@by_option
@case_options
def private(*, off: bool, reason: str, by: str, as_json: bool) -> int:
    """Keep the case out of lists that everybody sees."""
    return take(
        lambda case: case.set_private(not off, by=by, reason=reason),
        "public" if off else "private",
        as_json=as_json,
    )


LEADING = (
    *(take_role, leave, hand_over, accept, update, tell),
    *(order, read_back, confirm_order, note, triage, private, workstream, link),
)

"""`rml case INC-... detect|contain|understand|decide|act|learn`: the six steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    moment_option,
    noticed_options,
    override_option,
    pairs,
    take,
    world_option,
)
from rml.cli.output import examples
from rml.incident.closing import TRIANGLE
from rml.incident.step import CONTAINMENTS, LEVERS


@click.command(
    epilog=examples(
        'rml case INC-2026-0001 detect "a customer wrote" --type cs_ticket \\',
        "    --id CS-1234",
    )
)
@click.argument("detail")
@click.option("--by", metavar="NAME", help="Who says so.")
@noticed_options
@world_option("RML2")
@at_option
@case_options
def detect(
    *,
    detail: str,
    by: str | None,
    noticed: Mapping[str, str],
    world: str,
    at: datetime | None,
    as_json: bool,
) -> int:
    """Record another sign of the problem."""
    source = noticed or None
    return take(
        lambda case: case.detect(detail, by=by, detected_by=source, world=world, at=at),
        "detected",
        as_json=as_json,
    )


@click.command(
    epilog=examples(
        "rml case INC-2026-0001 contain --lever flag_off --by mina",
        'rml case INC-2026-0001 contain "no new charges" --lever none --by mina',
    )
)
@click.argument("detail", required=False)
@click.option(
    "--lever",
    metavar="L",
    required=True,
    help=f"{', '.join(LEVERS)}, the gentlest first; or {', '.join(CONTAINMENTS[1:])}; "
    "none, if there is nothing to stop; or other:NAME.",
)
@click.option("--temporary", is_flag=True, help="It must be lifted before the case is closed.")
@by_option
@world_option("RML2")
@at_option
@override_option
@case_options
def contain(
    *,
    detail: str | None,
    lever: str,
    temporary: bool,
    by: str,
    world: str,
    at: datetime | None,
    override: str | None,
    as_json: bool,
) -> int:
    """Record what was done so that no more damage becomes history."""
    return take(
        lambda case: case.contain(
            detail or lever,
            lever=lever,
            temporary=temporary,
            by=by,
            world=world,
            at=at,
            override=override,
        ),
        f"contained with {lever}",
        as_json=as_json,
    )


@click.command(
    epilog=examples(
        'rml case INC-2026-0001 understand "a retry charged twice" --by mina \\',
        "    --severity SEV-1 --exposure money_moved --users 37 --transactions 41",
    )
)
@click.argument("detail")
@click.option("--severity", metavar="S", help="SEV-0 to SEV-5; lowering it needs --evidence.")
@click.option("--priority", metavar="P", help="P0 to P3, if not as the severity says.")
@listed("--asset", "A", "What it touches, such as money")
@listed("--exposure", "E", "What it exposes, such as money_moved or regulatory")
@click.option("--users", metavar="N", type=int, help="How many users, counted.")
@click.option("--transactions", metavar="N", type=int, help="How many transactions, counted.")
@click.option("--users-estimate", metavar="N", type=int, help="How many users, estimated.")
@click.option("--transactions-estimate", metavar="N", type=int, help="Likewise, transactions.")
@listed("--criterion", "C", "Why it is an incident, such as security or unknown-impact")
@listed("--harmed", "ID", "An effect or entry that must be corrected")
@listed("--unharmed", "ID", "One that was counted as harm and is none; needs --evidence")
@click.option("--query", metavar="TEXT", help="How it was counted.")
@click.option("--root-cause", metavar="TEXT", help="Why it happened.")
@moment_option("--started-at", "When it began.")
@click.option("--evidence", metavar="TEXT", help="What shows that it is less bad.")
@by_option
@hat_option
@world_option("RML3")
@at_option
@override_option
@case_options
def understand(
    *,
    detail: str,
    harmed: Sequence[str],
    unharmed: Sequence[str],
    as_json: bool,
    **options: Any,
) -> int:
    """Record what happened and how much of it is history; leave out what is not known."""
    known = given(**options, criteria=options.pop("criterion"))
    return take(
        lambda case, **ids: case.understand(detail, **known, **ids),
        "understood",
        as_json=as_json,
        harmed=harmed,
        unharmed=unharmed,
    )


@click.command(
    epilog=examples(
        'rml case INC-2026-0001 decide "refund in full" --legal rosa \\',
        "    --business tom --sre mina",
        'rml case INC-2026-0001 decide "refund in full" --business tom --sre mina \\',
        '    --absent legal="on a flight until nine"',
    )
)
@click.argument("summary")
@click.option("--legal", metavar="NAME", help="Who decided what is owed.")
@click.option("--business", metavar="NAME", help="Who decided how far to go.")
@click.option("--sre", metavar="NAME", help="Who decided what is possible.")
@listed("--decided-by", "ROLE=NAME", "Another role, and who decided for it")
@listed("--absent", "ROLE=REASON", "Why a role did not decide")
@listed("--plan", "P", "What it is made of, such as refund or correction_notice")
@listed("--disclosure", "D", "How it is told outside, such as customer_notification")
@click.option("--amends", metavar="ID", help="The entry of the decision that this replaces.")
@click.option("--by", metavar="NAME", help="Who writes it down.")
@hat_option
@world_option("RML3")
@at_option
@override_option
@case_options
def decide(
    *,
    summary: str,
    decided_by: Sequence[str],
    absent: Sequence[str],
    amends: str | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Record a decision; about history decide legal, business and sre."""
    named = pairs("--decided-by", decided_by)
    names = {role: options.pop(role) for role in TRIANGLE}
    names = {role: name for role, name in names.items() if name is not None} | named
    excused = pairs("--absent", absent)
    if not names:
        raise click.UsageError("nobody decides: say --legal, --business and --sre")
    more = given(**options)
    return take(
        lambda case, **ids: case.decide(summary, decided_by=names, absent=excused, **more, **ids),
        "decided",
        as_json=as_json,
        amends=amends,
    )


@click.command(
    epilog=examples(
        "rml case INC-2026-0001 act refund --by tom --correction ef_... \\",
        "    --correction ef_...",
        "rml case INC-2026-0001 act user_email --by tom \\",
        "    --template refund_apology_v1 --count 41",
    )
)
@click.argument("type_", metavar="TYPE")
@click.option("--count", metavar="N", type=int, help="How many, if not one for each correction.")
@click.option("--detail", metavar="TEXT", help="What was done.")
@click.option("--template", "template_id", metavar="ID", help="The template of what was sent.")
@click.option("--channel", metavar="C", help="Where it was said.")
@listed("--correction", "ID", "An effect or entry that it added to history")
@by_option
@hat_option
@world_option("RML3")
@at_option
@override_option
@case_options
def act(*, type_: str, correction: Sequence[str], as_json: bool, **options: Any) -> int:
    """Record what was done about it."""
    known = given(**options)
    return take(
        lambda case, **ids: case.act(type_, **known, **ids),
        f"acted: {type_}",
        as_json=as_json,
        corrections=correction,
    )


@click.command(
    epilog=examples(
        'rml case INC-2026-0001 learn --by mina --technical "a key for each charge" \\',
        '    --process "ask the gateway first" --governance "none - in the terms"',
        'rml case INC-2026-0001 learn --by mina --change "a key" --kind code \\',
        "    --owner mina --due 2026-12-01",
    )
)
@listed("--technical", "TEXT", "A lesson for design, monitoring or tests")
@listed("--process", "TEXT", "A lesson for how people work together")
@listed("--governance", "TEXT", "A lesson for terms, rules or ownership")
@click.option("--change", "what", metavar="TEXT", help="What is changed for it.")
@click.option("--kind", metavar="K", help="Of the change: runbook, checklist, test, code, ...")
@click.option("--owner", metavar="NAME", help="Of the change.")
@click.option("--due", metavar="DAY", help="Of the change: 2026-12-01.")
@click.option("--link", metavar="URL", help="Where the change can be seen.")
@click.option("--lesson", metavar="TEXT", help="Which the change is for, if not for those here.")
@click.option("--unchanged", metavar="TEXT", help="Why the lessons here change nothing.")
@by_option
@at_option
@override_option
@case_options
def learn(*, as_json: bool, **options: Any) -> int:
    """Record lessons, and what is changed for them."""
    change = given(**{name: options.pop(name) for name in _CHANGE})
    if change and not {"what", "kind"} <= change.keys():
        raise click.UsageError("a change needs --change and --kind")
    known = given(**options, changes=(change,) if change else ())
    return take(lambda case: case.learn(**known), "learned", as_json=as_json)


# What says what a change is, as the options of `learn` are called.
_CHANGE = ("what", "kind", "owner", "due", "link", "lesson")
STEPS = (detect, contain, understand, decide, act, learn)

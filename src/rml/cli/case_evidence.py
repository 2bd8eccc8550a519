"""`rml case INC-... impact|containment|timeline`: what the ledger itself says about a case."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from rml.cli.casework import (
    by_option,
    case_options,
    listed,
    moment_option,
    named_incident,
    override_option,
    read_case,
    reader_options,
    take,
)
from rml.cli.ending import FINE, NO
from rml.cli.naming import as_id
from rml.cli.output import examples, fields, moment, say, say_json, span, table, wrapped
from rml.cli.place import opened_ledger
from rml.cli.shape import entry_shape
from rml.cli.wording import in_options
from rml.incident.casebook import Casebook
from rml.incident.evidence.impact import Impact
from rml.incident.evidence.joining import JoinedTimeline
from rml.incident.levers.containment import QUIET, Containment


@click.command(
    epilog=examples(
        "rml case INC-2026-0001 impact --operation payment.charge --key order_id \\",
        "    --user customer --by mina",
        "rml case INC-2026-0001 impact --operation payment.charge --key customer \\",
        "    --key amount --within 3600 --by mina",
    )
)
@click.option("--operation", metavar="OP", required=True, help="Whose effects are counted.")
@listed("--key", "NAME", "What should have made two effects one: a fact, `key` or `scope`")
@click.option("--every", is_flag=True, help="Count every effect, for all of them are harm.")
@click.option("--within", metavar="S", type=float, help="Seconds between two duplicates.")
@moment_option("--since", "Only effects that began then or later.")
@moment_option("--until", "Only effects that began before.")
@click.option("--user", metavar="FACT", help="The fact that says whom an effect concerns.")
@click.option("--amount", metavar="FACT", default="amount", show_default=True, help="How much.")
@click.option(
    "--currency", metavar="FACT", default="currency", show_default=True, help="In which currency."
)
@click.option("--no-amounts", is_flag=True, help="Count no amounts.")
@by_option
@override_option
@case_options
def impact(
    *,
    operation: str,
    key: tuple[str, ...],
    every: bool,
    within: float | None,
    since: datetime | None,
    until: datetime | None,
    user: str | None,
    amount: str,
    currency: str,
    no_amounts: bool,
    by: str,
    override: str | None,
    as_json: bool,
) -> int:
    """Count what happened and should not have; the count is recorded with its query.

    Duplicates are found by --key; with --every, each effect that happened is counted. What is
    counted is harm, which needs a correction before the case can be closed.
    """
    if every is bool(key):
        raise click.UsageError("say --key for duplicates, or --every where each effect is harm")
    with opened_ledger() as ledger:
        found = Casebook(ledger)[named_incident()].count_impact(
            operation=operation,
            by=by,
            key=key,
            within=within,
            since=since,
            until=until,
            user=user,
            amount=None if no_amounts else amount,
            currency=currency,
            override=override,
        )
    if as_json:
        say_json(found.to_dict())
    else:
        say(_impact_page(found))
    return FINE


def _impact_page(found: Impact) -> list[str]:
    counted = [
        ("transactions", found.transactions),
        ("users", "not asked" if found.users is None else found.users),
        *((f"in {currency}", amount) for currency, amount in found.amounts_text().items()),
        ("perhaps more", found.unsure or None),
        ("without an amount", found.unpriced or None),
        ("without a key", found.unkeyed or None),
    ]
    ids = [f"  {one}" for one in found.harmed]
    page = [*wrapped(str(found), "", "  "), "", *fields(counted)]
    return [*page, "", *ids] if ids else page


@click.command(epilog=examples("rml case INC-2026-0001 containment && echo data may be corrected"))
@click.option(
    "--quiet",
    metavar="S",
    type=click.FloatRange(min=0),
    default=QUIET.total_seconds(),
    show_default=True,
    help="Seconds in which nothing may have begun.",
)
@reader_options
@case_options
def containment(*, quiet: float, by: str | None, reason: str | None, as_json: bool) -> int:
    """Say whether the bleeding has stopped: nothing new for a while. Status 1 if not.

    What was proven stays proven when it is lifted, until something of the case happens again.
    """
    incident = named_incident()
    with opened_ledger() as ledger:
        found = read_case(ledger, incident, by, reason).prove_containment(quiet)
    if as_json:
        say_json(found.to_dict())
    else:
        say(containment_page(found, incident))
    return FINE if found.proven else NO


def containment_page(found: Containment, incident: str) -> list[str]:
    """Return whether the bleeding has stopped, and what became of each thing that was stopped."""
    rows = [
        [
            one.stop.what,
            moment(one.stop.at),
            "" if one.until is None else moment(one.until),
            span(None if one.quiet_since is None else one.quiet),
            "yes" if one.proven else "no",
        ]
        for one in found.stopped
    ]
    notes = [
        f"in entry {one.stop.by}{', broken by ' if one.broken_by else ''}{', '.join(one.broken_by)}"
        for one in found.stopped
    ]
    heads = ["STOPPED", "SINCE (UTC)", "UNTIL (UTC)", ">QUIET FOR", "PROVEN"]
    named = [
        ("about", ", ".join(found.operations) or None),
        ("not stopped", ", ".join(found.uncovered) or None),
        ("in flight", ", ".join(found.in_flight) or None),
        ("in doubt", ", ".join(found.in_doubt) or None),
        ("came again", ", ".join(found.again) or None),
        ("not searched", ", ".join(found.unsearched) or None),
    ]
    lines = [*wrapped(in_options(str(found), incident), "", "  "), *fields(named)]
    return [*lines, "", *table(heads, rows, notes)] if rows else lines


@click.command(
    epilog=examples(
        "rml case INC-2026-0001 timeline --logs app.jsonl --otlp spans.jsonl",
        "rml case INC-2026-0001 timeline --logs app.jsonl \\",
        "    --since 2026-11-21T02:30:00Z --json",
    )
)
@listed("--logs", "FILE", "Application logs as JSON lines")
@listed("--otlp", "FILE", "OpenTelemetry traces or logs as OTLP JSON")
@moment_option("--since", "Leave out what files tell of earlier moments.")
@moment_option("--until", "Leave out what files tell of this moment and later ones.")
@click.option("--zone", metavar="TZ", help="Of times that name none, such as Europe/Berlin.")
@reader_options
@case_options
def timeline(
    *,
    logs: tuple[str, ...],
    otlp: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    zone: str | None,
    by: str | None,
    reason: str | None,
    as_json: bool,
) -> int:
    """Show one timeline from the ledger, logs and telemetry; nothing is recorded.

    Lines that cannot be read, and what contradicts the ledger, stand at its end.
    """
    with opened_ledger() as ledger:
        found = read_case(ledger, named_incident(), by, reason).timeline_from(
            logs=list(map(Path, logs)),
            otlp=list(map(Path, otlp)),
            since=since,
            until=until,
            zone=zone,
        )
    if as_json:
        say_json(found.to_dict())
    else:
        say(_timeline_page(found))
    return FINE


def _timeline_page(found: JoinedTimeline) -> list[str]:
    lines: list[str] = []
    for event in found:
        begin = f"{moment(event.at)}  {event.world.value}  "
        told = f"{event.type}: {event.text} [{', '.join(event.sources)}]"
        lines += wrapped(told, begin, " " * len(begin))
    notes = [line for note in found.notes() for line in wrapped(note, "", "  ")]
    return [*lines, "", *notes] if notes else lines


@click.command(
    epilog=examples("rml case INC-2026-0001 evidence ENTRY --by rosa --reason 'an audit'")
)
@click.argument("entry")
@click.option("--reason", metavar="TEXT", required=True, help="What for.")
@by_option
@case_options
def evidence(*, entry: str, reason: str, by: str, as_json: bool) -> int:
    """Print an entry of the case or of its effects; who reads it, and why, is recorded first."""
    with opened_ledger() as ledger:
        case = Casebook(ledger)[named_incident()]
        found = case.read_evidence(as_id(ledger, entry), by=by, reason=reason)
    shape = {**entry_shape(found), "personal": dict(found.personal)}
    if as_json:
        say_json(shape)
    else:
        say(fields(shape.items()))
    return FINE


@click.command(
    epilog=examples(
        "rml case INC-2026-0001 cost refund 410.00 EUR --by mina",
        "rml case INC-2026-0001 cost operations --unknown --by mina",
    )
)
@click.argument("type_", metavar="TYPE")
@click.argument("amount", required=False)
@click.argument("currency", required=False)
@click.option("--unknown", is_flag=True, help="Nobody knows how much; that is not 0.")
@click.option("--detail", metavar="TEXT", help="What it is made of.")
@by_option
@case_options
def cost(
    *,
    type_: str,
    amount: str | None,
    currency: str | None,
    unknown: bool,
    detail: str | None,
    by: str,
    as_json: bool,
) -> int:
    """Record what it has cost in all: refund, credit, operations; also of a closed case."""
    if unknown is (amount is not None):
        raise click.UsageError("say how much and in which currency, or --unknown")
    return take(
        lambda case: case.cost(type_, amount, currency, by=by, detail=detail),
        f"{type_} costs {'unknown' if unknown else f'{amount} {currency}'}",
        as_json=as_json,
    )


EVIDENCE = (containment, impact, cost, timeline, evidence)

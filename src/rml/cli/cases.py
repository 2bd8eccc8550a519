"""`rml cases`: the casebook, and how long its cases took."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs
import click

from rml.cli.casework import (
    book_for,
    by_option,
    listed,
    moment_option,
    noticed_options,
    pairs,
    reader_asked,
    reader_options,
)
from rml.cli.ending import FINE
from rml.cli.listing import Commands
from rml.cli.naming import placed, shown_receipt
from rml.cli.output import examples, fields, json_option, moment, say, say_json, span, table
from rml.cli.place import ledger_option, opened_ledger
from rml.cli.shape import case_shape, pages_text
from rml.incident.pages.casefile import CaseStatus
from rml.incident.projection import Projection
from rml.ledger.entry import check_text
from rml.ledger.errors import UnknownIdError
from rml.ledger.ledger import Ledger
from rml.legible import legible

if TYPE_CHECKING:
    from rml.incident.casebook import Casebook
    from rml.incident.command.postmortem import PostmortemDue
    from rml.incident.metrics import BookMetrics
    from rml.ledger.draft import Receipt


@click.group(
    cls=Commands,
    invoke_without_command=True,
    epilog=examples(
        "rml cases --ledger payments.db",
        "rml cases --open --json | jq -r '.[].id'",
        'rml cases open "charged twice" --operation payment.charge --by mina',
        "rml cases metrics",
    ),
)
@click.option(
    "--status",
    metavar="S",
    type=click.Choice([status.value for status in CaseStatus]),
    help=f"Only cases of this status: {', '.join(CaseStatus)}.",
)
@click.option("--open", "only_open", is_flag=True, help="Only cases that are not closed.")
@click.option(
    "--private", is_flag=True, help="Also those that are kept private, with --by and --reason."
)
@reader_options
@ledger_option
@json_option
@click.pass_context
def cases(
    context: click.Context,
    *,
    status: str | None,
    only_open: bool,
    private: bool,
    by: str | None,
    reason: str | None,
    as_json: bool,
) -> int:
    """List the cases, oldest first; private ones only with --private."""
    if context.invoked_subcommand is not None:
        return FINE
    wanted = None if status is None else CaseStatus(status)
    with opened_ledger() as ledger, reader_asked(by, reason):
        book = book_for(ledger, by, reason).cases(
            status=wanted, open=True if only_open else None, private=None if private else False
        )
        found = [(case.read(), case.postmortem_due) for case in book]
    if as_json:
        say_json([case_shape(read, owed) for read, owed in found])
    else:
        say(_table(found) if found else "no cases")
    return FINE


@cases.command(
    "metrics",
    epilog=examples("rml cases metrics --since 2026-10-01T00:00:00Z", "rml cases metrics --json"),
)
@moment_option("--since", "Only cases that were opened then or later.")
@moment_option("--until", "Only cases that were opened before.")
@ledger_option
@json_option
def book_metrics(*, since: datetime | None, until: datetime | None, as_json: bool) -> int:
    """Say how long the cases took, recomputed from their entries."""
    with opened_ledger() as ledger:
        found = _book(ledger).metrics(since=since, until=until)
    if as_json:
        say_json(found.to_dict())
    else:
        say(_spreads(found))
    return FINE


@cases.command(
    "open",
    epilog=examples(
        'rml cases open "41 customers were charged twice" --by mina \\',
        "    --operation payment.charge",
        'rml cases open "a customer reports two charges" --suspect --by tom \\',
        "    --type cs_ticket --id CS-1234",
    ),
)
@click.argument("what")
@click.option("--suspect", "gray", is_flag=True, help="On suspicion alone; it counts as RML3.")
@click.option("--operation", metavar="OP", help="Which operation, such as payment.charge.")
@click.option("--effect", metavar="ID", help="Which effect.")
@click.option("--service", metavar="NAME", help="Whose; only problems of one service are alike.")
@noticed_options
@listed("--criterion", "C", "Why it is an incident, such as security or unknown-impact")
@click.option("--force", is_flag=True, help="Also if the ledger knows no effect of the operation.")
@by_option
@ledger_option
@json_option
def open_case(
    *,
    what: str,
    gray: bool,
    service: str | None,
    noticed: Mapping[str, str],
    criterion: tuple[str, ...],
    operation: str | None,
    force: bool,
    as_json: bool,
    **told: Any,
) -> int:
    """Open a case for WHAT has reached history, or join the open one like it."""
    from rml.incident.levers.levers import unknown_operation
    from rml.incident.signals.escalation import escalate, suspect

    signal = suspect if gray else escalate
    with opened_ledger() as ledger:
        strange = None if operation is None else unknown_operation(ledger, operation)
        if strange is not None and not force:
            message = f"{strange}; to open the case all the same, say --force"
            raise UnknownIdError(message)
        ledger.service = None if service is None else check_text("service", service)
        found = signal(
            what,
            operation=operation,
            ledger=ledger,
            detected_by=noticed or None,
            criteria=criterion,
            **told,
        )
    if as_json:
        say_json(attrs.asdict(found))
    else:
        done = "opened" if found.opened else f"joined; it has {found.count} signals now"
        say(legible(f"{found.id}: {done} (rml case {found.id})"))
    return FINE


@cases.command("known-good", epilog=examples("rml cases known-good 'shop 1.4.2' --by ci"))
@click.argument("artifact")
@by_option
@ledger_option
@json_option
def known_good(*, artifact: str, by: str, as_json: bool) -> int:
    """Register what can be rolled back to; the one registered last is meant."""
    with opened_ledger() as ledger:
        return _registered(_book(ledger).known_good(artifact, by=by), artifact, as_json=as_json)


@cases.command(
    "migration",
    epilog=examples(
        "rml cases migration 0042 --reversible --by ci",
        "rml cases migration 0043 --irreversible --by ci",
    ),
)
@click.argument("name")
@click.option("--reversible/--irreversible", required=True, help="Whether it can be reversed.")
@by_option
@ledger_option
@json_option
def migration(*, name: str, reversible: bool, by: str, as_json: bool) -> int:
    """Register a migration of data, and whether it was authored so that it can be reversed."""
    with opened_ledger() as ledger:
        receipt = _book(ledger).migration(name, reversible=reversible, by=by)
        return _registered(placed(ledger, receipt), name, as_json=as_json)


@cases.command(
    "runbook",
    epilog=examples(
        "rml cases runbook lost_answers runbooks/lost-answers.md --pull flag_off --by mina",
    ),
)
@click.argument("symptom")
@click.argument("link")
@listed("--pull", "L", "A lever that it pulls")
@listed("--skip", "L=REASON", "A lever that it leaves out, and why")
@by_option
@ledger_option
@json_option
def runbook(
    *,
    symptom: str,
    link: str,
    pull: tuple[str, ...],
    skip: tuple[str, ...],
    by: str,
    as_json: bool,
) -> int:
    """Register the runbook for a symptom, with the levers that it pulls and skips."""
    reasons = pairs("--skip", skip, "L=REASON")
    with opened_ledger() as ledger:
        receipt = _book(ledger).runbook(symptom, link, pull=pull, skip=reasons, by=by)
        return _registered(placed(ledger, receipt), f"{link} for {symptom}", as_json=as_json)


def _registered(receipt: Receipt, what: str, *, as_json: bool) -> int:
    if as_json:
        say_json({"registered": what, **attrs.asdict(receipt)})
    else:
        say(legible(f"registered {what} ({shown_receipt(receipt)})"))
    return FINE


def _spreads(found: BookMetrics) -> list[str]:
    rows = [
        [name, str(one.known), span(one.median), span(one.p90)]
        for name, one in (*found.intervals.items(), *found.phases.items())
    ]
    reopened = "unknown" if found.reopen_rate is None else f"{found.reopen_rate:.0%}"
    beside = [
        ("cases", found.cases),
        ("reopened", reopened),
        ("written afterwards", f"{found.late_share:.0%}"),
        ("scoped down", found.downscoped),
        ("perhaps under-declared", found.under_declared),
        ("changes", f"{found.changes}, {found.changes_done} done, {found.changes_late} late"),
        ("pages", pages_text(found.pages, found.pages_off_hours)),
        *((f"lesson, {n} times", text) for text, n in found.repeated_lessons.items()),
    ]
    return [*table(["WHAT", ">CASES", ">MEDIAN", ">P90"], rows), "", *fields(beside)]


def _book(ledger: Ledger) -> Casebook:
    from rml.incident.casebook import Casebook

    return Casebook(ledger)


def _table(found: list[tuple[Projection, PostmortemDue | None]]) -> list[str]:
    heads = ["INCIDENT", "STATUS", "PHASE", "WORLD", "OPENED (UTC)", ">SIGNALS"]
    notes = [
        read.file.title if owed is None else f"{read.file.title} ({owed})" for read, owed in found
    ]
    return table(heads, [_cells(read) for read, _ in found], notes, painted=1)


def _cells(read: Projection) -> list[str]:
    file = read.file
    return [
        file.incident_id,
        file.status.value,
        read.phase.value,
        file.rml_world.value,
        moment(read.opened_at),
        str(read.count),
    ]

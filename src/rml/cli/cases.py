"""`rml cases`: the casebook, and how long its cases took."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import attrs
import click

from rml.cli.casework import by_option, moment_option
from rml.cli.ending import FINE
from rml.cli.output import clean, examples, fields, json_option, moment, say, say_json, span, table
from rml.cli.place import ledger_option, opened_ledger
from rml.cli.shape import case_shape
from rml.incident.pages.casefile import CaseStatus
from rml.incident.projection import Projection
from rml.ledger.ledger import Ledger

if TYPE_CHECKING:
    from rml.incident.casebook import Casebook
    from rml.incident.command.postmortem import PostmortemDue
    from rml.incident.metrics import BookMetrics
    from rml.ledger.draft import Receipt


@click.group(
    invoke_without_command=True,
    epilog=examples(
        "rml cases --ledger payments.db",
        "rml cases --open --json | jq -r '.[].id'",
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
@click.option("--private", is_flag=True, help="Also those that are kept private.")
@ledger_option
@json_option
@click.pass_context
def cases(
    context: click.Context, *, status: str | None, only_open: bool, private: bool, as_json: bool
) -> int:
    """List the cases, oldest first; private ones only with --private."""
    if context.invoked_subcommand is not None:
        return FINE
    wanted = None if status is None else CaseStatus(status)
    with opened_ledger() as ledger:
        book = _book(ledger).cases(
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
        return _registered(receipt, name, as_json=as_json)


def _registered(receipt: Receipt, what: str, *, as_json: bool) -> int:
    if as_json:
        say_json({"registered": what, **attrs.asdict(receipt)})
    else:
        say(clean(f"registered {what} (entry {receipt.index}, {receipt.id})"))
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
        ("changes", f"{found.changes}, {found.changes_done} done, {found.changes_late} late"),
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

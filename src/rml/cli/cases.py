"""`rml cases` and `rml case`: the casebook, and one case of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rml.cli.effects import way_out
from rml.cli.ending import FINE
from rml.cli.output import (
    examples,
    fields,
    json_option,
    moment,
    say,
    say_bytes,
    say_json,
    table,
    wrapped,
)
from rml.cli.place import ledger_option, opened_ledger
from rml.cli.shape import case_shape
from rml.effect.state import Effect, EffectState
from rml.incident import standing
from rml.incident.casefile import CaseStatus
from rml.incident.projection import Projection
from rml.ledger.ledger import Ledger

if TYPE_CHECKING:
    from rml.incident.casebook import Casebook


@click.command(
    epilog=examples(
        "rml cases --ledger payments.db",
        "rml cases --open --json | jq -r '.[].id'",
    )
)
@click.option(
    "--status",
    metavar="S",
    type=click.Choice([status.value for status in CaseStatus]),
    help=f"Only cases of this status: {', '.join(CaseStatus)}.",
)
@click.option("--open", "only_open", is_flag=True, help="Only cases that are not closed.")
@ledger_option
@json_option
def cases(*, status: str | None, only_open: bool, as_json: bool) -> int:
    """List the cases, oldest first."""
    wanted = None if status is None else CaseStatus(status)
    with opened_ledger() as ledger:
        book = _book(ledger).cases(status=wanted, open=True if only_open else None)
        found = [case.read() for case in book]
    if as_json:
        say_json([case_shape(read) for read in found])
    else:
        say(_table(found) if found else "no cases")
    return FINE


@click.command(
    epilog=examples(
        "rml case INC-2026-0001 --ledger payments.db",
        "rml case INC-2026-0001 --yaml > INC-2026-0001.yaml",
    )
)
@click.argument("incident")
@click.option("--yaml", "as_yaml", is_flag=True, help="Print the case file and nothing else.")
@ledger_option
@json_option
def case(*, incident: str, as_yaml: bool, as_json: bool) -> int:
    """Show a case, or print its case file."""
    if as_yaml and as_json:
        raise click.UsageError("--yaml and --json are two formats; choose one")
    wanted = incident.strip().upper()
    with opened_ledger() as ledger:
        if as_yaml:
            say_bytes(_book(ledger)[wanted].to_yaml().encode())
        else:
            show_case(ledger, wanted, as_json=as_json)
    return FINE


def show_case(ledger: Ledger, incident: str, *, as_json: bool) -> None:
    """Print one case.

    Raises:
        UnknownIdError: there is none.
    """
    shown = _book(ledger)[incident]
    read, missing = shown.read(), list(shown.missing())
    effects = [effect for effect in map(ledger.look, read.effects) if effect is not None]
    if as_json:
        document = {"type": "case", **case_shape(read), "missing": missing}
        say_json({**document, "effects": list(read.effects), "file": read.file.to_dict()})
    else:
        lines = [*_head(read), *_timeline(read), *_decisions(read), *_effects(effects)]
        say([*lines, *_lessons(read), *_missing(missing)])


def _book(ledger: Ledger) -> Casebook:
    from rml.incident.casebook import Casebook

    return Casebook(ledger)


def _table(found: list[Projection]) -> list[str]:
    heads = ["INCIDENT", "STATUS", "PHASE", "WORLD", "OPENED (UTC)", ">SIGNALS"]
    return table(heads, map(_cells, found), [read.file.title for read in found], painted=1)


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


def _head(read: Projection) -> list[str]:
    file = read.file
    severity = file.classification.severity
    stands = [
        ("status", file.status.value),
        ("phase", read.phase.value),
        ("world", file.rml_world.value),
        ("severity", None if severity is None else str(severity)),
        ("opened at", f"{moment(read.opened_at)} UTC"),
        ("signals", read.count),
        ("done", ", ".join(read.steps)),
        *_next(read),
    ]
    return [*wrapped(f"{file.incident_id}  {file.title}", "", "    "), "", *fields(stands)]


def _next(read: Projection) -> list[tuple[str, object]]:
    """Return what comes next and who must act, or who closed it."""
    if read.closed is not None:
        who = read.closed.actor or "nobody named"
        return [("closed", f"closed by {who} at {moment(read.closed.recorded_at)} UTC")]
    rows = dict(standing.rows(read, ()))
    return [(name, rows.get(name)) for name in ("next", "who")]


def _decisions(read: Projection) -> list[str]:
    deciders = [(who.role, who.name) for who in read.file.decisions.decided_by]
    return ["", "Decided by", *fields(deciders, indent="  ")] if deciders else []


def _lessons(read: Projection) -> list[str]:
    learned = read.file.lessons_learned
    lists = (
        ("technical", learned.technical),
        ("process", learned.process),
        ("governance", learned.governance),
    )
    lessons = [(name, lesson) for name, several in lists for lesson in several]
    return ["", "Lessons", *fields(lessons, indent="  ")] if lessons else []


def _timeline(read: Projection) -> list[str]:
    lines = ["", "Timeline (UTC)"]
    for event in read.file.timeline:
        begin = f"  {moment(event.at)}  {event.world.value}  "
        lines += wrapped(f"{event.type}: {event.detail}", begin, " " * len(begin))
    return lines


def _effects(effects: list[Effect]) -> list[str]:
    rows = [[e.state.value, e.id, f"{e.operation} {e.key}"] for e in effects]
    if not rows:
        return []
    shown = ["", "Effects", *table(["STATE", "EFFECT", "WHAT"], rows, painted=0, indent="  ")]
    return shown + way_out([e for e in effects if e.state is EffectState.IN_DOUBT])


def _missing(missing: list[str]) -> list[str]:
    if not missing:
        return []
    lines = ["", "Missing before it can be closed"]
    return lines + [line for need in missing for line in wrapped(need, "  - ", "    ")]

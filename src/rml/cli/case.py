"""`rml case`: one case of the casebook, shown, and the commands that take its steps."""

from __future__ import annotations

from datetime import datetime

import attrs
import click

from rml.cli.case_end import ENDING
from rml.cli.case_evidence import EVIDENCE
from rml.cli.case_lead import LEADING
from rml.cli.case_steps import STEPS
from rml.cli.casework import (
    CaseGroup,
    case_options,
    name_incident,
    named_incident,
    read_case,
    reader_options,
)
from rml.cli.effects import way_out
from rml.cli.ending import FINE, NO
from rml.cli.output import (
    examples,
    fields,
    moment,
    say,
    say_bytes,
    say_json,
    span,
    table,
    wrapped,
)
from rml.cli.place import ledger_option, opened_ledger
from rml.cli.shape import case_shape, pages_text
from rml.cli.wording import in_options
from rml.effect.state import Effect, EffectState
from rml.incident.case import Case
from rml.incident.command.communication import Notice
from rml.incident.command.postmortem import PostmortemDue
from rml.incident.levers.containment import Containment
from rml.incident.pages import standing
from rml.incident.pages.standing import in_groups
from rml.incident.projection import Projection
from rml.ledger.ledger import Ledger


@click.group(
    cls=CaseGroup,
    epilog=examples(
        "rml case INC-2026-0001 --ledger payments.db",
        "rml case INC-2026-0001 contain --lever flag_off --by mina",
        "rml case INC-2026-0001 missing",
        "rml case INC-2026-0001 yaml > INC-2026-0001.yaml",
    ),
)
@click.argument("incident")
@ledger_option
@click.pass_context
def case(context: click.Context, *, incident: str) -> None:
    """Show a case, or take a step on it.

    Each command has --help and --json. Status 1: a rule bars the step; it says which, and how to
    keep it or to pass it with --override and a reason.
    """
    name_incident(context, incident)


@case.command(
    epilog=examples(
        "rml case INC-2026-0001 show --json",
        "rml case INC-2026-0001 --yaml > INC-2026-0001.yaml",
    )
)
@click.option("--yaml", "as_yaml", is_flag=True, help="Print the case file and nothing else.")
@reader_options
@case_options
def show(*, as_yaml: bool, by: str | None, reason: str | None, as_json: bool) -> int:
    """Show where it stands, what happened, who decided, and what is missing."""
    if as_yaml and as_json:
        raise click.UsageError("--yaml and --json are two formats; choose one")
    wanted = named_incident()
    with opened_ledger() as ledger:
        found = read_case(ledger, wanted, by, reason)
        if as_yaml:
            say_bytes(found.to_yaml().encode())
        else:
            show_read(ledger, found, as_json=as_json)
    return FINE


@case.command(epilog=examples("rml case INC-2026-0001 missing && echo it may be closed"))
@reader_options
@case_options
def missing(*, by: str | None, reason: str | None, as_json: bool) -> int:
    """Say what bars closing it; status 1 if something does."""
    with opened_ledger() as ledger:
        needs = read_case(ledger, named_incident(), by, reason).missing()
    found = [in_options(need, named_incident()) for need in needs]
    if as_json:
        say_json(found)
    else:
        lines = [line for need in found for line in wrapped(need, "- ", "  ")]
        say(lines or "nothing is missing")
    return NO if found else FINE


@case.command("yaml", epilog=examples("rml case INC-2026-0001 yaml > INC-2026-0001.yaml"))
@reader_options
@case_options
def as_yaml(*, by: str | None, reason: str | None, as_json: bool) -> int:
    """Print the case file; with --json, the same as JSON."""
    with opened_ledger() as ledger:
        found = read_case(ledger, named_incident(), by, reason)
        if as_json:
            say_json(found.file.to_dict())
        else:
            say_bytes(found.to_yaml().encode())
    return FINE


@case.command("html", epilog=examples("rml case INC-2026-0001 html --verify > INC-2026-0001.html"))
@click.option(
    "--verify", is_flag=True, help="Verify the ledger, and say on the page what it found."
)
@reader_options
@case_options
def as_html(*, verify: bool, by: str | None, reason: str | None, as_json: bool) -> int:
    """Print the case as one page for a browser or for paper; with --json, as a JSON string."""
    with opened_ledger() as ledger:
        page = read_case(ledger, named_incident(), by, reason).to_html(verify=verify)
    if as_json:
        say_json(page)
    else:
        say_bytes(page.encode())
    return FINE


@case.command(epilog=examples("rml case INC-2026-0001 metrics --json"))
@reader_options
@case_options
def metrics(*, by: str | None, reason: str | None, as_json: bool) -> int:
    """Say how long its parts took, and how much was written afterwards."""
    with opened_ledger() as ledger:
        found = read_case(ledger, named_incident(), by, reason).metrics
    if as_json:
        say_json(found.to_dict())
        return FINE
    names = ("mttd", "mtta", "mttm", "mttr", "mtti", "detection_gap", "escalation")
    rows = [(name, span(getattr(found, name))) for name in names]
    rows += [(name, span(value)) for name, value in found.phases.items()]
    late = f"{found.writing.share:.0%} of {found.writing.events} events"
    pages = pages_text(found.pages, found.pages_off_hours)
    beside = [("written afterwards", late), ("reopened", found.reopened), ("pages", pages)]
    hints = [("perhaps under-declared", hint) for hint in found.under_declared]
    say(fields([*rows, *beside, *hints]))
    return FINE


@case.command(epilog=examples("rml case INC-2026-0001 remarks"))
@reader_options
@case_options
def remarks(*, by: str | None, reason: str | None, as_json: bool) -> int:
    """List what was passed, skipped or came late; status 1 if something was."""
    with opened_ledger() as ledger:
        found = read_case(ledger, named_incident(), by, reason).remarks
    if as_json:
        say_json([attrs.asdict(one) for one in found])
    else:
        say([f"{one.name}: {one.text}" for one in found] or "nothing to remark")
    return NO if found else FINE


@case.command(epilog=examples("rml case INC-2026-0001 schedule"))
@reader_options
@case_options
def schedule(*, by: str | None, reason: str | None, as_json: bool) -> int:
    """Say who must hear of it by when, and who has; status 1 if somebody hears late."""
    with opened_ledger() as ledger:
        now = ledger.clock.now()
        read = read_case(ledger, named_incident(), by, reason).read()
        notices, due = read.schedule(now), read.next_update(now)
    if as_json:
        update = None if due is None else attrs.asdict(due)
        say_json({"audiences": [_notice(one) for one in notices], "next_update": update})
    else:
        rows = [
            [
                one.audience,
                one.occasion or ("" if one.due is None else moment(one.due)),
                _told(one),
                span(one.late),
            ]
            for one in notices
        ]
        say(table(["WHO", "BY (UTC)", "TOLD (UTC)", ">LATE"], rows))
        if due is not None:
            late = ", overdue" if due.overdue else ""
            say(f"next update at {moment(due.due)} UTC{late}")
    late_one = any(one.late is not None for one in notices) or (due is not None and due.overdue)
    return NO if late_one else FINE


def _told(one: Notice) -> str:
    """Say when an audience heard, and when that was written down if it was later."""
    if one.told_at is None or one.recorded_at is None:
        return "not yet"
    told, recorded = moment(one.told_at), moment(one.recorded_at)
    return told if recorded <= told else f"{told}, written {recorded}"


def _notice(one: Notice) -> dict[str, object]:
    late = None if one.late is None else one.late.total_seconds()
    return {**attrs.asdict(one), "late": late}


for _command in (*STEPS, *EVIDENCE, *LEADING, *ENDING):
    case.add_command(_command)


def show_case(ledger: Ledger, incident: str, *, as_json: bool) -> None:
    """Print one case.

    Raises:
        UnknownIdError: there is none.
        UsageError: it is private.
    """
    show_read(ledger, read_case(ledger, incident, None, None), as_json=as_json)


def show_read(ledger: Ledger, shown: Case, *, as_json: bool) -> None:
    """Print a case that may be shown."""
    read = shown.read()
    missing = [in_options(need, shown.id) for need in shown.missing()]
    effects = [effect for effect in map(ledger.look, read.effects) if effect is not None]
    containment = shown.containment
    if as_json:
        document = {"type": "case", **case_shape(read, shown.postmortem_due), "missing": missing}
        document["containment"] = containment.to_dict()
        document["children"] = [child.to_dict() for child in shown.children]
        say_json({**document, "effects": list(read.effects), "file": read.file.to_dict()})
    else:
        lines = [
            *_head(read, missing, ledger.clock.now(), shown.postmortem_due),
            *_containment(containment, shown.id),
            *_children(shown),
            *_timeline(read),
            *_decisions(read),
            *_effects(effects),
        ]
        say([*lines, *_lessons(read), *_missing(missing, is_closed=read.closed is not None)])


def _head(
    read: Projection, missing: list[str], now: datetime, owed: PostmortemDue | None
) -> list[str]:
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
        *_next(read, missing, now),
        ("owed", None if owed is None else str(owed)),
    ]
    return [*wrapped(f"{file.incident_id}  {file.title}", "", "    "), "", *fields(stands)]


def _next(read: Projection, missing: list[str], now: datetime) -> list[tuple[str, object]]:
    """Return what comes next and who must act at a moment, or who closed it."""
    if read.closed is not None:
        who = read.closed.actor or "nobody named"
        return [("closed", f"closed by {who} at {moment(read.closed.recorded_at)} UTC")]
    rows = dict(standing.rows(read, missing, now))
    told = ((name, rows.get(name)) for name in ("next", "who", "command", "update"))
    return [(name, said and in_options(said, read.id)) for name, said in told]


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


def _containment(found: Containment, incident: str) -> list[str]:
    if not found.stopped:
        return []
    lines = [line for one in found.stopped for line in wrapped(str(one), "  ", "    ")]
    said = wrapped(in_options(str(found), incident), "  ", "    ")
    return ["", "Containment (UTC)", *said, *lines]


def _children(shown: Case) -> list[str]:
    lines = [line for child in shown.children for line in wrapped(str(child), "  ", "    ")]
    return ["", "Parts", *lines] if lines else []


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


def _missing(missing: list[str], *, is_closed: bool) -> list[str]:
    if not missing:
        return []
    lines = ["", "Missing" if is_closed else "Missing before it can be closed"]
    return lines + [line for need in in_groups(missing) for line in wrapped(need, "  - ", "    ")]

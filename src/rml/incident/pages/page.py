"""A case on one page of HTML: for a screen by day or by night, for a telephone, and for paper.

The page stands alone: no script, no font, no picture from elsewhere, and a policy in its head that
lets none in. Every text is escaped, and so is what would turn the text around it. A long timeline
is folded into parts, of which the first and the last are open.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Final

from rml.incident.child import ChildCase
from rml.incident.closing import TRIANGLE
from rml.incident.command.communication import Notice
from rml.incident.command.order import Board, Note
from rml.incident.cost import totals
from rml.incident.kinds import ACTED, COUNTED
from rml.incident.metrics import IN_THE_MOMENT, INTERVALS, CaseMetrics
from rml.incident.pages import standing
from rml.incident.pages.casefile import CaseFile, DecidedBy, TimelineEvent
from rml.incident.projection import Phase, Projection
from rml.incident.remark import remarks_of
from rml.ledger.checks.verification import Verification
from rml.ledger.entry import Entry
from rml.world import World

# What a terminal obeys, and what turns the text around it from right to left.
_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
# Events in one foldable part of a timeline: a few screens of text.
PART_EVENTS: Final = 250
_NAMES: Final = {World.RML1: "Closed", World.RML2: "Dialog", World.RML3: "History"}
_STEP_OF_TYPE: Final = {
    "detection": Phase.DETECT,
    "containment": Phase.CONTAIN,
    "impact_assessed": Phase.UNDERSTAND,
    "decision": Phase.DECIDE,
    "action": Phase.ACT,
    "lessons": Phase.LEARN,
    "closed": Phase.CLOSED,
}
_INTERVALS: Final = {
    "mttd": "from the start to the first sign",
    "mtta": "to the first person (MTTA)",
    "mttm": "to contained (MTTM)",
    "mttr": "to resolved (MTTR)",
    "mtti": "to the root cause (MTTI)",
    "detection_gap": "from a program's knowing to a person's",
    "escalation": "to the open case",
}
# What the head of the page says.
_SAID: Final = ("state", "done")
_UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def page(
    case: Projection,
    missing: Sequence[str],
    now: datetime,
    verification: Verification | None = None,
    children: Sequence[ChildCase] = (),
) -> str:
    """Return a case as an HTML document.

    Args:
        case: where the case stands.
        missing: what bars closing it.
        now: when it is looked at.
        verification: of the ledger that it was read from, if that was verified.
        children: the cases that are part of it.
    """
    file = case.file
    sections = [
        ("Still missing", _list(missing, "missing")),
        ("Parts", _children(children)),
        ("Board", _board(case.notes)),
        ("Impact", _impact(case)),
        ("Cost", _costs(file)),
        ("Decisions", _decisions(file)),
        ("Actions", _actions(case)),
        ("Timeline", _timeline(file.timeline)),
        ("Who was told", _notices(case.schedule(now))),
        ("For a reviewer", _list(remark.text for remark in remarks_of(case))),
        ("How long it took", _metrics(case.metrics)),
        ("Lessons", _lessons(file)),
        ("Proof", _proof(file, verification)),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{_text(standing.heading(case))}</title>"
        f"<style>{_style()}</style></head>\n<body>"
        f"{_header(case)}{_steps(case)}\n<main>{_where(case, now)}"
        f"{''.join(_section(*section) for section in sections)}</main></body></html>\n"
    )


def _style() -> str:
    return Path(__file__).with_name("page.css").read_text(encoding="utf-8")


def _text(value: object) -> str:
    return html.escape(_UNSEEN.sub(_seen, str(value)))


def _seen(found: re.Match[str]) -> str:
    """Return a character that would change what stands around it as its escape."""
    return found[0].encode("unicode_escape").decode("ascii")


def _words(name: str) -> str:
    return name.replace("_", " ")


def _section(heading: str, body: str) -> str:
    return f"\n<section><h2>{_text(heading)}</h2>{body}</section>" if body else ""


def _world(world: World) -> str:
    return f'<span class="world {world.value.lower()}">{world.value}</span>'


def _day(at: datetime) -> str:
    return at.strftime("%Y-%m-%d")


def _clock(at: datetime) -> str:
    return at.strftime("%H:%M:%S")


def _moment(at: datetime) -> str:
    machine = at.isoformat().replace("+00:00", "Z")
    return f'<time datetime="{machine}">{_day(at)} {_clock(at)} UTC</time>'


def _span(span: timedelta) -> str:
    """Return a span in its largest unit, and the next."""
    seconds = int(abs(span).total_seconds())
    parts: list[str] = []
    for unit, size in _UNITS:
        count, seconds = divmod(seconds, size)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
        if len(parts) == 2:  # noqa: PLR2004
            break
    sign = "-" if span < timedelta(0) else ""
    return sign + (" ".join(filter(None, parts)) or "0 s")


# ----------------------------------------------------------------------------------- the head


def _header(case: Projection) -> str:
    file = case.file
    state = standing.stage(case)
    world = f"{file.rml_world.value} {_NAMES[file.rml_world]}{' (gray)' if case.is_gray else ''}"
    badges = [
        f'<span class="world {file.rml_world.value.lower()}">{world}</span>',
        f'<span class="badge {state.partition(",")[0]}">{state}</span>',
    ]
    if file.classification.severity is not None:
        badges.append(f'<span class="badge">{_text(file.classification.severity)}</span>')
    signals = "1 signal" if case.count == 1 else f"{case.count:,} signals"
    return (
        f'<header><p class="id">{_text(file.incident_id)}</p><h1>{_text(file.title)}</h1>'
        f"<p>{' '.join(badges)} <span>{signals} since {_moment(case.opened_at)}</span></p></header>"
    )


def _steps(case: Projection) -> str:
    """Return the six steps as a strip: which are done, when they began, and which is next."""
    began: dict[Phase, datetime] = {}
    for event in case.file.timeline:
        step = _STEP_OF_TYPE.get(event.type)
        if step is not None:
            began.setdefault(step, event.at)
    left = [phase for phase in Phase if phase not in case.steps]
    items = []
    for phase in Phase:
        state = "done" if phase in case.steps else "next" if phase is left[0] else "open"
        at = began.get(phase)
        when = f"{_day(at)}<br>{_clock(at)}" if at is not None else state
        items.append(f'<li class="{state}"><b>{phase.value.title()}</b><small>{when}</small></li>')
    return f'<ol class="steps" aria-label="Steps">{"".join(items)}</ol>'


def _where(case: Projection, now: datetime) -> str:
    """Return who leads, what comes next and what is due."""
    return _pairs([row for row in standing.rows(case, (), now) if row[0] not in _SAID], "now")


def _pairs(rows: Iterable[tuple[str, object]], kind: str) -> str:
    items = "".join(f"<dt>{_text(name)}</dt><dd>{_text(said)}</dd>" for name, said in rows)
    return f'<dl class="{kind}">{items}</dl>' if items else ""


def _list(items: Iterable[str], kind: str = "") -> str:
    lines = "".join(f"<li>{_text(item)}</li>" for item in items)
    return f'<ul class="{kind}">{lines}</ul>' if lines else ""


def _board(notes: Sequence[Note]) -> str:
    """Return the notes that still stand, each where it hangs."""
    columns = "".join(
        f"<div><h3>{_words(board.value)}</h3>{_list(lines)}</div>"
        for board in Board
        if (lines := [n.detail for n in notes if n.board is board and n.ended_by is None])
    )
    return f'<div class="columns">{columns}</div>' if columns else ""


def _children(children: Sequence[ChildCase]) -> str:
    """Return the cases that are part of this one, and who leads each."""
    body = "".join(
        f"<tr><th>{_text(child.id)}</th><td>{_text(child.title or 'private')}</td>"
        f"<td>{child.status.value if child.is_open else 'closed'}</td>"
        f"<td>{_text(child.severity or 'severity unknown')}</td>"
        f"<td>{_text(child.commander or 'nobody leads it')}</td></tr>"
        for child in children
    )
    if not body:
        return ""
    head = "<tr><th></th><th></th><th>status</th><th>severity</th><th>commander</th></tr>"
    return f'<table class="parts"><thead>{head}</thead><tbody>{body}</tbody></table>'


# --------------------------------------------------------------------- what became of the world


def _impact(case: Projection) -> str:
    """Return what was estimated beside what was counted."""
    file = case.file
    scope = file.classification.scope
    rows = [
        ("users", scope.affected_users_estimate, scope.affected_users_counted),
        ("transactions", scope.affected_transactions_estimate, scope.affected_transactions_counted),
    ]
    cells = "".join(
        f"<tr><th>{name}</th><td>{_count(guess)}</td><td>{_count(count)}</td></tr>"
        for name, guess, count in rows
    )
    cells += "".join(
        f"<tr><th>{_text(currency)}</th><td></td><td>{_text(amount)}</td></tr>"
        for currency, amount in _amounts(case.entries).items()
    )
    assets = ", ".join(file.classification.asset)
    touched = f"<p>Touched: {_text(assets)}</p>" if assets else ""
    return (
        '<table class="impact"><thead><tr><th></th><th>estimated</th><th>counted</th></tr></thead>'
        f"<tbody>{cells}</tbody></table>{touched}{_list(map(str, case.narrowings))}"
    )


def _costs(file: CaseFile) -> str:
    """Return what it has cost, and the sum of what is known by currency."""
    rows = [
        (_words(cost.type), "unknown" if cost.amount is None else cost.amount, cost.currency or "")
        for cost in file.costs
    ]
    known = "known in all" if any(cost.amount is None for cost in file.costs) else "in all"
    rows += [(known, amount, currency) for currency, amount in totals(file.costs).items()]
    body = "".join(
        f"<tr><th>{_text(name)}</th><td>{_text(amount)}</td><td>{_text(currency)}</td></tr>"
        for name, amount, currency in rows
    )
    return f'<table class="cost"><tbody>{body}</tbody></table>' if body else ""


def _amounts(entries: Iterable[Entry]) -> dict[str, str]:
    """Return the amounts of the latest count, by currency."""
    counts = [e.facts["amounts"] for e in entries if e.kind == COUNTED and "amounts" in e.facts]
    return dict(counts[-1]) if counts else {}


def _count(count: int | None) -> str:
    return "unknown" if count is None else f"{count:,}"


def _decisions(file: CaseFile) -> str:
    amended = {decision.amends for decision in file.decisions.entries}
    return "".join(
        f'<article class="{"amended" if decision.entry in amended else "stands"}">'
        f"{_triangle(decision.decided_by)}<div><p>{_text(decision.summary)}</p>"
        f"<p>{_names(decision.decided_by)}</p><small>{_moment(decision.at)}"
        f"{_late(decision.at, decision.recorded_at)}"
        f"{' amended later' if decision.entry in amended else ''}</small></div></article>"
        for decision in file.decisions.entries
    )


def _names(deciders: Sequence[DecidedBy]) -> str:
    return ", ".join(f"<b>{_text(who.role)}</b> {_text(who.name)}" for who in deciders)


def _triangle(deciders: Sequence[DecidedBy]) -> str:
    """Draw the triangle of those who decide about history; a corner is filled if one spoke."""
    here = {who.role.strip().lower() for who in deciders if not who.name.startswith("absent - ")}
    corners = zip(TRIANGLE, ((30, 8), (8, 46), (52, 46)), strict=True)
    dots = "".join(
        f'<circle cx="{x}" cy="{y}" r="6" class="{"spoke" if role in here else "silent"}">'
        f"<title>{role}</title></circle>"
        for role, (x, y) in corners
    )
    said = ", ".join(role for role in TRIANGLE if role in here) or "nobody"
    return (
        f'<svg viewBox="0 0 60 54" role="img" aria-label="decided by {said} of the triangle">'
        f'<path d="M30 8 8 46h44z"/>{dots}</svg>'
    )


def _actions(case: Projection) -> str:
    """Return what was done, as it was recorded, and what it added to history."""
    body = "".join(_action(entry) for entry in case.entries if entry.kind == ACTED)
    return f'<table class="actions"><tbody>{body}</tbody></table>' if body else ""


def _action(entry: Entry) -> str:
    facts = entry.facts
    words = [_times(facts.get("count")), facts.get("template_id"), facts.get("channel")]
    said = ", ".join(filter(None, [*words, facts.get("detail")]))
    return (
        f"<tr><td>{_world(entry.world)}</td><th>{_text(_words(facts['type']))}</th>"
        f"<td>{_text(said)}{_corrections(facts.get('corrections', ()))}</td>"
        f"<td>{_text(entry.actor or '')}</td>"
        f"<td>{_moment(entry.at)}{_late(entry.at, entry.recorded_at)}</td></tr>"
    )


def _corrections(ids: Sequence[str]) -> str:
    if not ids:
        return ""
    lines = "".join(f"<li><code>{_text(one)}</code></li>" for one in ids)
    noun = "correction" if len(ids) == 1 else "corrections"
    return f"<details><summary>{len(ids):,} {noun}</summary><ul>{lines}</ul></details>"


def _times(count: int | None) -> str | None:
    return None if count is None else f"{count:,} \N{MULTIPLICATION SIGN}"


def _lessons(file: CaseFile) -> str:
    lessons = file.lessons_learned
    lists = {
        "technical": lessons.technical,
        "process": lessons.process,
        "governance": lessons.governance,
    }
    if not any(lists.values()):
        return ""
    columns = "".join(
        f"<div><h3>{name}</h3>{_list(items) if items else '<p>none yet</p>'}</div>"
        for name, items in lists.items()
    )
    return f'<div class="columns">{columns}</div>'


# ------------------------------------------------------------------------------- the timeline


def _timeline(events: Sequence[TimelineEvent]) -> str:
    late = sum(1 for event in events if _is_late(event.at, event.recorded_at))
    moment = _span(IN_THE_MOMENT)
    note = f"<p>{late:,} of {len(events):,} written more than {moment} after it happened.</p>"
    if len(events) <= PART_EVENTS:
        return note + "".join(_days(events))
    starts = range(0, len(events), PART_EVENTS)
    return note + "".join(
        _part(events[start : start + PART_EVENTS], is_open=start in (0, starts[-1]))
        for start in starts
    )


def _part(events: Sequence[TimelineEvent], *, is_open: bool) -> str:
    first, last = events[0].at, events[-1].at
    return (
        f"<details{' open' if is_open else ''}><summary>{len(events):,} events, "
        f"{_moment(first)} to {_moment(last)}</summary>{''.join(_days(events))}</details>"
    )


def _days(events: Sequence[TimelineEvent]) -> Iterator[str]:
    for day, those in groupby(events, key=lambda event: _day(event.at)):
        lines = "".join(map(_event, those))
        yield f'<h3>{day}</h3><ol class="timeline">{lines}</ol>'


def _event(event: TimelineEvent) -> str:
    machine = event.at.isoformat().replace("+00:00", "Z")
    return (
        f'<li class="{event.world.value.lower()}"><time datetime="{machine}">{_clock(event.at)}'
        f"</time>{_world(event.world)}<b>{_text(_words(event.type))}</b>"
        f"<span>{_text(event.detail)}{_late(event.at, event.recorded_at)}</span></li>"
    )


def _is_late(at: datetime, recorded_at: datetime | None) -> bool:
    return recorded_at is not None and recorded_at - at > IN_THE_MOMENT


def _late(at: datetime, recorded_at: datetime | None) -> str:
    if recorded_at is None or not _is_late(at, recorded_at):
        return ""
    return f" <em>written {_span(recorded_at - at)} later</em>"


# ------------------------------------------------------------------- who heard, and how long


def _notices(notices: Sequence[Notice]) -> str:
    body = "".join(
        f"<tr><th>{_text(notice.audience)}</th><td>{_due(notice)}</td><td>{_told(notice)}</td></tr>"
        for notice in notices
    )
    if not body:
        return ""
    head = "<tr><th></th><th>due</th><th>told</th></tr>"
    return f'<table class="notices"><thead>{head}</thead><tbody>{body}</tbody></table>'


def _due(notice: Notice) -> str:
    return _moment(notice.due) if notice.due is not None else _text(notice.occasion or "")


def _told(notice: Notice) -> str:
    late = f" <em>{_span(notice.late)} late</em>" if notice.late is not None else ""
    if notice.told_at is None:
        return f"not yet{late}"
    written = _late(notice.told_at, notice.recorded_at)
    return f"{_moment(notice.told_at)} by {_text(notice.told_by or 'nobody named')}{written}{late}"


def _metrics(metrics: CaseMetrics) -> str:
    """Return the durations that are known, and what would make them look better than they are."""
    known = {name: getattr(metrics, name) for name in INTERVALS}
    rows = [(_INTERVALS[name], _span(took)) for name, took in known.items() if took is not None]
    rows += [(f"at work on: {step}", _span(took)) for step, took in metrics.phases.items()]
    rows += [
        ("written afterwards", f"{metrics.writing.late:,} of {metrics.writing.events:,}"),
        ("came back", f"{metrics.reopened:,} times"),
        *(("perhaps under-declared", hint) for hint in metrics.under_declared),
    ]
    return _pairs(rows, "metrics")


# ---------------------------------------------------------------------------------- the proof


def _proof(file: CaseFile, verification: Verification | None) -> str:
    if file.ledger is None:
        return ""
    rows = [
        ("ledger", file.ledger.origin),
        ("entries", f"{file.ledger.size:,}"),
        ("root", file.ledger.root),
    ]
    rows.append(
        ("verification", "not made for this page" if verification is None else str(verification))
    )
    if verification is not None:
        rows += [("no more because", verification.capped_by)] if verification.capped_by else []
        rows += [("problem", str(problem)) for problem in verification.problems[:5]]
    kind = "" if verification is None else "good" if verification.ok else "bad"
    return _pairs(rows, f"proof {kind}")

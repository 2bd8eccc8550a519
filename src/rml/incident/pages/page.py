"""A case on one page of HTML: for a screen by day or by night, for a telephone, and for paper.

The page stands alone: no script, no font, no picture from elsewhere, and a policy in its head that
lets none in. How it looks stands in ``page.css``; what each part knows, in a module of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from rml.incident.child import ChildCase
from rml.incident.levers.containment import Containment
from rml.incident.pages import standing
from rml.incident.pages.casefile import CaseFile
from rml.incident.pages.containment_part import containment as contained
from rml.incident.pages.history_part import actions, costs, decisions, impact
from rml.incident.pages.markup import bullets, clock_of, day_of, escaped, moment, pairs
from rml.incident.pages.people_part import board, durations, notices, parts
from rml.incident.pages.timeline_part import timeline
from rml.incident.projection import Phase, Projection
from rml.incident.remark import remarks_of
from rml.ledger.checks.verification import Verification
from rml.world import World

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
# What the head of the page says.
_SAID: Final = ("state", "done", "missing")


def page(
    case: Projection,
    missing: Sequence[str],
    now: datetime,
    *,
    verification: Verification | None = None,
    children: Sequence[ChildCase] = (),
    containment: Containment | None = None,
) -> str:
    """Return a case as an HTML document.

    Args:
        case: where the case stands.
        missing: what bars closing it.
        now: when it is looked at.
        verification: of the ledger that it was read from, if that was verified.
        children: the cases that are part of it.
        containment: whether the bleeding has stopped, if that was asked.
    """
    file = case.file
    sections = [
        ("Containment", contained(case, containment)),
        ("Still missing", _missing(missing)),
        ("Parts", parts(children)),
        ("Board", board(case.notes)),
        ("Impact", impact(case)),
        ("Cost", costs(file)),
        ("Decisions", decisions(file)),
        ("Actions", actions(case)),
        ("Timeline", timeline(file.timeline)),
        ("Who was told", notices(case.schedule(now))),
        ("For a reviewer", bullets(remark.text for remark in remarks_of(case))),
        ("How long it took", durations(case.metrics)),
        ("Lessons", _lessons(file)),
        ("Proof", _proof(file, verification)),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escaped(standing.heading(case))}</title>"
        f"<style>{_style()}</style></head>\n<body>"
        f"{_header(case)}{_steps(case)}\n<main>{_where(case, missing, now)}"
        f"{''.join(_section(*section) for section in sections)}</main></body></html>\n"
    )


def _style() -> str:
    return Path(__file__).with_name("page.css").read_text(encoding="utf-8")


def _section(heading: str, body: str) -> str:
    return f"\n<section><h2>{escaped(heading)}</h2>{body}</section>" if body else ""


def _header(case: Projection) -> str:
    file = case.file
    state = standing.stage(case)
    world = f"{file.rml_world.value} {_NAMES[file.rml_world]}{' (gray)' if case.is_gray else ''}"
    badges = [
        f'<span class="world {file.rml_world.value.lower()}">{world}</span>',
        f'<span class="badge {state.partition(",")[0]}">{state}</span>',
    ]
    if file.classification.severity is not None:
        badges.append(f'<span class="badge">{escaped(file.classification.severity)}</span>')
    signals = "1 signal" if case.count == 1 else f"{case.count:,} signals"
    return (
        f'<header><p class="id">{escaped(file.incident_id)}</p><h1>{escaped(file.title)}</h1>'
        f"<p>{' '.join(badges)} <span>{signals} since {moment(case.opened_at)}</span></p></header>"
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
        when = f"{day_of(at)}<br>{clock_of(at)}" if at is not None else state
        items.append(f'<li class="{state}"><b>{phase.value.title()}</b><small>{when}</small></li>')
    return f'<ol class="steps" aria-label="Steps">{"".join(items)}</ol>'


def _where(case: Projection, missing: Sequence[str], now: datetime) -> str:
    """Return who leads, what comes next and what is due."""
    rows = standing.rows(case, missing[:1], now)
    return pairs([row for row in rows if row[0] not in _SAID], "now")


def _missing(missing: Sequence[str]) -> str:
    """Return what is missing; what many ids lack alike is one line, which can be unfolded."""
    items = [
        f"<li>{_folded(lacks, ids)}</li>"
        if len(ids) > standing.ALIKE_MAX
        else "".join(f"<li>{escaped(f'{one} {lacks}')}</li>" for one in ids)
        for lacks, ids in standing.alike(missing).items()
    ]
    return f'<ul class="missing">{"".join(items)}</ul>' if items else ""


def _folded(lacks: str, ids: Sequence[str]) -> str:
    lines = "".join(f"<li><code>{escaped(one)}</code></li>" for one in ids)
    said = escaped(f"each {lacks}")
    return f"<details><summary>{len(ids):,}: {said}</summary><ul>{lines}</ul></details>"


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
        f"<div><h3>{name}</h3>{bullets(items) if items else '<p>none yet</p>'}</div>"
        for name, items in lists.items()
    )
    return f'<div class="columns">{columns}</div>'


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
    return pairs(rows, f"proof {kind}")

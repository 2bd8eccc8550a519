"""Where a case stands, for whoever is woken by it.

What has been done, what comes next, who must act, and what bars closing.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from rml.incident.child import ChildCase
from rml.incident.command.postmortem import PostmortemDue
from rml.incident.gate import unconfirmed
from rml.incident.pages.casefile import CaseStatus
from rml.incident.pages.casefile_yaml import time_text
from rml.incident.projection import Phase, Projection
from rml.legible import line

# What a prompt shows of a long list; case.missing() has all of it.
MISSING_SHOWN_MAX: Final = 3
# As many ids that lack the same have a line of their own each.
ALIKE_MAX: Final = 4
_FRAME: Final = "width: 100%; height: 48rem; border: 0"
_TITLE_SHOWN_CHARS: Final = 100

# For each step: what it is for, the call that takes it, and who must act.
_NEXT: Final = {
    Phase.CONTAIN: ("stop the bleeding", "case.contain(...)", "sre"),
    Phase.UNDERSTAND: (
        "say what happened and count what became history",
        "case.understand(...)",
        "sre",
    ),
    Phase.DECIDE: (
        "decide how history is to be updated forward",
        "case.decide(...)",
        "legal, business, sre",
    ),
    Phase.ACT: (
        "carry out what was decided, as new history",
        "case.act(...)",
        "those whom the decision names",
    ),
    Phase.LEARN: (
        "write down what changes from here on",
        "case.learn(...)",
        "legal, business, sre",
    ),
    Phase.CLOSED: ("close the case", "case.close(by=...)", "whoever answers for it"),
}


def rows(
    case: Projection,
    missing: Sequence[str],
    now: datetime | None = None,
    owed: PostmortemDue | None = None,
    children: Sequence[ChildCase] = (),
) -> list[tuple[str, str]]:
    """Return where a case stands as labelled lines; what is due is told at a moment only."""
    file = case.file
    facts = [file.rml_world.value, stage(case)]
    if case.is_gray:
        facts[0] += " (gray)"
    if file.classification.severity is not None:
        facts.append(str(file.classification.severity))
    signals = "1 signal" if case.count == 1 else f"{case.count} signals"
    lines = [
        ("state", f"{', '.join(facts)}; {signals} since {time_text(case.opened_at)}"),
        ("done", ", ".join(case.steps)),
    ]
    if case.criteria:
        lines.insert(1, ("rules", ", ".join(case.criteria)))
    lines += [("part", str(child)) for child in children]
    if case.closed is not None:
        when = time_text(case.closed.recorded_at)
        closed = ("closed", f"by {case.closed.actor} at {when}")
        return [*lines, closed, *_owed(owed), *_barriers(missing)]
    step = next(phase for phase in Phase if phase not in case.steps)
    what, call, who = _NEXT[step]
    if step is Phase.CLOSED and missing:
        what = f"see to what is missing, then {what}"
    lines += [("next", f"{what}: {call}"), ("who", who)]
    return [*lines, *_owed(owed), *_led(case, now), *_barriers(missing)]


def _owed(owed: PostmortemDue | None) -> list[tuple[str, str]]:
    return [] if owed is None else [("owed", str(owed))]


def stage(case: Projection) -> str:
    """Return the status, and how much of standing down is left: resolved is not stood down."""
    status = case.file.status.value
    if case.closed is not None:
        return "closed"
    if case.file.status is not CaseStatus.RESOLVED:
        return status
    stood_down = case.all_clear is not None and not unconfirmed(case, "stand_down")
    return f"{status}, stood down" if stood_down else f"{status}, not stood down"


def _led(case: Projection, now: datetime | None) -> list[tuple[str, str]]:
    """Return who leads, what is on order, and when people must hear again."""
    lines: list[tuple[str, str]] = []
    if case.hats.commander is not None:
        lines.append(("command", case.hats.commander))
    if case.hats.offer is not None:
        lines.append(("offered", f"command to {case.hats.offer.to}: case.accept(by=...)"))
    lines += [
        ("order", f"to {order.to} since {time_text(order.at)}: {order.detail}")
        for order in case.orders
        if order.is_open
    ]
    due = None if now is None else case.next_update(now)
    if due is not None and (due.overdue or due.promised or case.hats.commander is not None):
        late = " - overdue" if due.overdue else ""
        lines.append(("update", f"due at {time_text(due.due)}{late}: case.update(...)"))
    return lines


def _barriers(missing: Sequence[str]) -> list[tuple[str, str]]:
    lines = in_groups(missing)
    shown = lines[:MISSING_SHOWN_MAX]
    if len(lines) > len(shown):
        shown.append(f"... and {len(lines) - len(shown)} more: case.missing()")
    return [("missing" if i == 0 else "", line) for i, line in enumerate(shown)]


def alike(missing: Iterable[str]) -> dict[str, list[str]]:
    """Return what is missing by what it lacks: what begins with an id lacks the same as others."""
    found: dict[str, list[str]] = {}
    for need in missing:
        what, _, lacks = need.partition(" ")
        found.setdefault(lacks, []).append(what)
    return found


def in_groups(missing: Iterable[str]) -> list[str]:
    """Return what is missing in sentences; of many ids that lack the same, only the first."""
    lines: list[str] = []
    for lacks, ids in alike(missing).items():
        if len(ids) > ALIKE_MAX:
            more = len(ids) - MISSING_SHOWN_MAX
            first = ", ".join(ids[:MISSING_SHOWN_MAX])
            lines.append(f"{first} and {more:,} more: each {lacks}; case.missing() names all")
        else:
            lines += [f"{one} {lacks}" for one in ids]
    return lines


def heading(case: Projection) -> str:
    """Return the id and the title on one line."""
    title = line(case.file.title)
    if len(title) > _TITLE_SHOWN_CHARS:
        title = f"{title[:_TITLE_SHOWN_CHARS]}..."
    return f"{case.file.incident_id} {title}"


def as_text(
    case: Projection,
    missing: Sequence[str],
    now: datetime,
    owed: PostmortemDue | None = None,
    children: Sequence[ChildCase] = (),
    *,
    containment: str = "",
) -> str:
    """Return where a case stands, for a prompt."""
    lines = rows(case, missing, now, owed, children)
    if containment:
        lines.insert(1, ("stopped", containment))
    body = [f"  {label:<8}{line(text)}" for label, text in lines]
    return "\n".join([heading(case), *body])


def framed(page: str) -> str:
    """Return a page as an element of another one."""
    return f'<iframe srcdoc="{html.escape(page)}" style="{_FRAME}" title="case file"></iframe>'

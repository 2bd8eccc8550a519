"""The parts of a page that tell who leads, what they know, who heard, and how long it took."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rml.incident.child import ChildCase
from rml.incident.command.communication import Notice
from rml.incident.command.order import Board, Note
from rml.incident.metrics import INTERVALS, CaseMetrics
from rml.incident.pages.markup import bullets, escaped, lateness, moment, pairs, span, words

_INTERVALS: Final = {
    "mttd": "from the start to the first sign",
    "mtta": "to the first person (MTTA)",
    "mttm": "to contained (MTTM)",
    "mttr": "to resolved (MTTR)",
    "mtti": "to the root cause (MTTI)",
    "detection_gap": "from a program's knowing to a person's",
    "escalation": "to the open case",
}


def parts(children: Sequence[ChildCase]) -> str:
    """Return the cases that are part of this one, and who leads each."""
    body = "".join(
        f"<tr><th>{escaped(child.id)}</th><td>{escaped(child.title or 'private')}</td>"
        f"<td>{child.status.value if child.is_open else 'closed'}</td>"
        f"<td>{escaped(child.severity or 'severity unknown')}</td>"
        f"<td>{escaped(child.commander or 'nobody leads it')}</td></tr>"
        for child in children
    )
    if not body:
        return ""
    head = "<tr><th></th><th></th><th>status</th><th>severity</th><th>commander</th></tr>"
    return f'<table class="parts"><thead>{head}</thead><tbody>{body}</tbody></table>'


def board(notes: Sequence[Note]) -> str:
    """Return the notes that still stand, each where it hangs."""
    columns = "".join(
        f"<div><h3>{words(place.value)}</h3>{bullets(lines)}</div>"
        for place in Board
        if (lines := [n.detail for n in notes if n.board is place and n.ended_by is None])
    )
    return f'<div class="columns">{columns}</div>' if columns else ""


def notices(due: Sequence[Notice]) -> str:
    """Return who had to hear by when, and who has."""
    body = "".join(
        f"<tr><th>{escaped(notice.audience)}</th><td>{_due(notice)}</td><td>{_told(notice)}</td></tr>"
        for notice in due
    )
    if not body:
        return ""
    head = "<tr><th></th><th>due</th><th>told</th></tr>"
    return f'<table class="notices"><thead>{head}</thead><tbody>{body}</tbody></table>'


def _due(notice: Notice) -> str:
    return moment(notice.due) if notice.due is not None else escaped(notice.occasion or "")


def _told(notice: Notice) -> str:
    late = f" <em>{span(notice.late)} late</em>" if notice.late is not None else ""
    if notice.told_at is None:
        return f"not yet{late}"
    written = lateness(notice.told_at, notice.recorded_at)
    return f"{moment(notice.told_at)} by {escaped(notice.told_by or 'nobody named')}{written}{late}"


def durations(metrics: CaseMetrics) -> str:
    """Return the durations that are known, and what would make them look better than they are."""
    known = {name: getattr(metrics, name) for name in INTERVALS}
    rows = [(_INTERVALS[name], span(took)) for name, took in known.items() if took is not None]
    rows += [(f"at work on: {step}", span(took)) for step, took in metrics.phases.items()]
    rows += [
        ("written afterwards", f"{metrics.writing.late:,} of {metrics.writing.events:,}"),
        ("came back", f"{metrics.reopened:,} times"),
        *(("perhaps under-declared", hint) for hint in metrics.under_declared),
    ]
    return pairs(rows, "metrics")

"""How the entries of an incident become the lines of its timeline.

Equal signals with nothing else between them are one line, which counts them. A program's own
entries stand among the others; those that say once more what an incident's own entries say do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

import attrs

from rml.codec import canonical_json
from rml.incident.kinds import (
    ACTED,
    CHANGE_DONE,
    CLOSED,
    CONFIRMED,
    COSTED,
    DECIDED,
    DOWNSCOPED,
    EVIDENCE_READ,
    HANDOVER_ACCEPTED,
    HANDOVER_OFFERED,
    HOOK_FAILED,
    JOINED,
    LEARNED,
    LINKED,
    OPENED,
    ORDER_CLOSED,
    ORDERED,
    OVERRIDDEN,
    POSTMORTEM,
    PRIVACY,
    READ_BACK,
    REOPENED,
    RESOLVED,
    ROLE_LEFT,
    ROLE_TAKEN,
    SIGNALS,
    STATUS,
    TOLD,
    TRIAGED,
    TYPES,
    UPDATED,
)
from rml.incident.pages.casefile import TimelineEvent
from rml.incident.pages.casefile_yaml import time_text
from rml.ledger.entry import Entry

# Entries of these rooms say once more what the incident's own entries say.
_ELSEWHERE: Final = frozenset({"effect", "error", "lever", "payload", "saga"})
_LISTS: Final = ("technical", "process", "governance")
_SHOWN_CHARS: Final = 200  # of a stranger's facts, where an entry has no detail


@attrs.define
class _Line:
    """One line in the making: an entry, and how often it was repeated until when."""

    entry: Entry
    count: int = 1
    last: datetime | None = None


def timeline_of(
    entries: Iterable[Entry], before: Sequence[TimelineEvent] = ()
) -> list[TimelineEvent]:
    """Return what happened, in the order in which it happened; equal signals are one line.

    Args:
        entries: those of an incident, in index order.
        before: the timeline of fewer of them, whose lines are taken over.
    """
    lines: list[_Line] = []
    run: dict[bytes, _Line] = {}  # the signals since the last entry of another kind
    for entry in entries:
        if entry.kind not in TYPES and entry.kind.partition(".")[0] in _ELSEWHERE:
            continue
        if entry.kind not in SIGNALS:
            run.clear()
            lines.append(_Line(entry))
            continue
        signal = canonical_json([entry.facts["title"], entry.facts.get("detected_by")])
        if signal in run:
            run[signal].count += 1
            run[signal].last = entry.at
        else:
            run[signal] = _Line(entry)
            lines.append(run[signal])
    lines.sort(key=lambda line: line.entry.at)  # stable: what happened at once stays as recorded
    made = {event.entry: event for event in before}
    # A line of one entry stays as it is for ever; only a count of signals goes on.
    return [
        made[line.entry.id] if line.last is None and line.entry.id in made else _event(line)
        for line in lines
    ]


def _event(line: _Line) -> TimelineEvent:
    entry = line.entry
    detail = _detail(entry)
    if line.last is not None:
        detail += f" ({line.count} signals, the last at {time_text(line.last)})"
    return TimelineEvent(
        at=entry.at,
        world=entry.world,
        type=TYPES.get(entry.kind, entry.kind),
        detail=detail,
        recorded_at=entry.recorded_at,
        entry=entry.id,
    )


def _detail(entry: Entry) -> str:
    facts = entry.facts
    told = _TELL.get(entry.kind)
    if told is not None:
        return told(entry)
    if isinstance(facts.get("detail"), str):
        return str(facts["detail"])
    return canonical_json(dict(facts)).decode()[:_SHOWN_CHARS]


def _cost(entry: Entry) -> str:
    facts = entry.facts
    amount = f"{facts['amount']} {facts['currency']}" if "amount" in facts else "unknown"
    text = f"{facts['type']}: {amount}"
    return f"{text}, {facts['detail']}" if "detail" in facts else text


def _title(entry: Entry) -> str:
    return str(entry.facts["title"])


def _change(entry: Entry) -> str:
    return "{from} to {to}: {reason}".format_map(entry.facts)


def _update(entry: Entry) -> str:
    return "{condition} Done: {action} Needed: {need}".format_map(
        {name: entry.facts[name].rstrip(".") + "." for name in ("condition", "action", "need")}
    )


def _postmortem(entry: Entry) -> str:
    there = ", ".join(f"{who['name']} ({who['role']})" for who in entry.facts["attended"])
    link = f": {entry.facts['link']}" if "link" in entry.facts else ""
    return f"held with {there}{link}"


def _lessons_text(entry: Entry) -> str:
    lists = (*_LISTS, "changes")
    return ", ".join(f"{len(entry.facts[name])} {name}" for name in lists if name in entry.facts)


def _resolution(entry: Entry) -> str:
    answer = "happened" if entry.facts["happened"] else "did not happen"
    return f"{entry.operation} {entry.key or entry.effect} {answer}: {entry.facts['reason']}"


def _action_text(entry: Entry) -> str:
    facts = entry.facts
    text = str(facts["type"])
    if "count" in facts:
        text += f" x {facts['count']}"
    for name, word in (("template_id", "with"), ("channel", "to")):
        if name in facts:
            text += f" {word} {facts[name]}"
    return f"{text}: {facts['detail']}" if "detail" in facts else text


# How kinds whose facts hold no detail are told.
_TELL: Final[Mapping[str, Callable[[Entry], str]]] = {
    OPENED: _title,
    JOINED: _title,
    COSTED: _cost,
    DECIDED: lambda entry: str(entry.facts["summary"]),
    ACTED: _action_text,
    LEARNED: _lessons_text,
    STATUS: _change,
    DOWNSCOPED: _change,
    CONFIRMED: lambda entry: f"{', '.join(entry.facts['items'])}: {entry.facts['evidence']}",
    CLOSED: lambda entry: f"closed by {entry.actor}",
    REOPENED: lambda entry: f"reopened by {entry.actor}: {entry.facts['reason']}",
    POSTMORTEM: _postmortem,
    CHANGE_DONE: lambda entry: str(entry.facts["what"]),
    PRIVACY: lambda entry: (
        f"{'private' if entry.facts['private'] else 'public'}: {entry.facts['reason']}"
    ),
    EVIDENCE_READ: lambda entry: "{entry}: {reason}".format_map(entry.facts),
    TRIAGED: lambda entry: f"{entry.facts['symptom']}: {entry.facts.get('runbook', 'no runbook')}",
    OVERRIDDEN: lambda entry: f"{', '.join(entry.facts['rules'])}: {entry.facts['reason']}",
    ROLE_TAKEN: lambda entry: f"{entry.actor} is {entry.facts['role']}",
    ROLE_LEFT: lambda entry: f"{entry.actor} is {entry.facts['role']} no more",
    HANDOVER_OFFERED: lambda entry: f"command is offered to {entry.facts['to']}",
    HANDOVER_ACCEPTED: lambda entry: f"{entry.actor} is commander",
    UPDATED: _update,
    TOLD: lambda entry: f"to {', '.join(entry.facts['to'])}: {entry.facts['detail']}",
    ORDERED: lambda entry: f"to {entry.facts['to']}: {entry.facts['detail']}",
    READ_BACK: lambda entry: f"read back by {entry.actor}: {entry.facts['detail']}",
    ORDER_CLOSED: lambda entry: f"confirmed by {entry.actor}",
    LINKED: lambda entry: "{relation} {to}".format_map(entry.facts),
    HOOK_FAILED: lambda entry: f"hook {entry.facts['hook']}: {entry.facts['trouble']}",
    RESOLVED: _resolution,
}

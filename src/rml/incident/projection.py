"""What the entries of one incident tell: the case file, and where the case stands.

Pure, and nothing that was not recorded. Three rules that the entries alone do not show:

- A signal that joins a case in monitoring, or a resolved one, makes it ongoing again.
- A signal that joins a case that was scoped down makes it as wide as itself: the widest world wins.
- Equal signals with nothing else between them are one line of the timeline, which counts them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import attrs

from rml.codec import canonical_json
from rml.incident.casefile import (
    Actions,
    CaseFile,
    CaseStatus,
    Classification,
    CommunicationAction,
    DecidedBy,
    DecisionEntry,
    Decisions,
    DetectedBy,
    LedgerState,
    LessonsLearned,
    Scope,
    TechnicalAction,
    TimelineEvent,
)
from rml.incident.casefile_yaml import time_text
from rml.ledger.entry import Entry
from rml.world import World

OPENED: Final = "incident.opened"
JOINED: Final = "incident.joined"
DETECTED: Final = "incident.detected"
CONTAINED: Final = "incident.contained"
UNDERSTOOD: Final = "incident.understood"
DECIDED: Final = "incident.decided"
ACTED: Final = "incident.acted"
LEARNED: Final = "incident.learned"
DOWNSCOPED: Final = "incident.downscoped"
STATUS: Final = "incident.status"
CLOSED: Final = "incident.closed"
HOOK_FAILED: Final = "incident.hook_failed"
RESOLVED: Final = "effect.resolved"

_DETECTIONS: Final = (OPENED, JOINED, DETECTED)
# What a timeline calls the library's entries; a program's own kinds stand as they are.
_TYPES: Final = {
    OPENED: "detection",
    JOINED: "detection",
    DETECTED: "detection",
    CONTAINED: "containment",
    UNDERSTOOD: "impact_assessed",
    DECIDED: "decision",
    ACTED: "action",
    LEARNED: "lessons",
    DOWNSCOPED: "downscope",
    STATUS: "status",
    CLOSED: "closed",
    HOOK_FAILED: "hook_failed",
    RESOLVED: "doubt_resolved",
}
# Entries of these rooms say once more what the incident's own entries say.
_ELSEWHERE: Final = frozenset({"effect", "error", "payload", "saga"})
_LISTS: Final = ("technical", "process", "governance")
_SHOWN_CHARS: Final = 200  # of a stranger's facts, where an entry has no detail


class Phase(StrEnum):
    """The furthest step that a case has taken; the members stand in the order of the steps."""

    DETECT = "detect"
    CONTAIN = "contain"
    UNDERSTAND = "understand"
    DECIDE = "decide"
    ACT = "act"
    LEARN = "learn"
    CLOSED = "closed"


_STEPS: Final = {
    CONTAINED: Phase.CONTAIN,
    UNDERSTOOD: Phase.UNDERSTAND,
    DECIDED: Phase.DECIDE,
    ACTED: Phase.ACT,
    LEARNED: Phase.LEARN,
    CLOSED: Phase.CLOSED,
}


@attrs.frozen(kw_only=True)
class Projection:
    """A case as its entries tell it.

    Attributes:
        file: the case file.
        steps: the steps taken so far, in their order.
        opened_at: when the ledger recorded the first signal.
        count: how many signals the case has gathered.
        effects: the ids of the effects that it is about, then of those that corrected it.
        closed: the entry that closed it.
    """

    file: CaseFile
    steps: tuple[Phase, ...]
    opened_at: datetime
    count: int
    effects: tuple[str, ...]
    closed: Entry | None

    @property
    def phase(self) -> Phase:
        """The furthest step taken."""
        return self.steps[-1]


def project(entries: Sequence[Entry], ledger: LedgerState | None = None) -> Projection | None:
    """Return what the entries of one incident, in index order, tell, if they open it."""
    opened = next((entry for entry in entries if entry.kind == OPENED), None)
    if opened is None or opened.incident is None:
        return None
    taken = {_STEPS[entry.kind] for entry in entries if entry.kind in _STEPS} | {Phase.DETECT}
    file = CaseFile(
        incident_id=opened.incident,
        title=opened.facts["title"],
        rml_world=world_of(entries),
        status=status_of(entries),
        detected_at=min(entry.at for entry in entries if entry.kind in _DETECTIONS),
        detected_by=_unique(_detected_by(entries)),
        classification=_classification(entries),
        timeline=_timeline(entries),
        decisions=_decisions([entry for entry in entries if entry.kind == DECIDED]),
        actions=_actions([entry for entry in entries if entry.kind == ACTED]),
        lessons_learned=_lessons([entry for entry in entries if entry.kind == LEARNED]),
        ledger=ledger,
    )
    return Projection(
        file=file,
        steps=tuple(phase for phase in Phase if phase in taken),
        opened_at=opened.recorded_at,
        count=sum(1 for entry in entries if entry.kind in (OPENED, JOINED)),
        effects=_effects(entries),
        closed=next((entry for entry in entries if entry.kind == CLOSED), None),
    )


def world_of(entries: Iterable[Entry]) -> World:
    """Return the world of a case: that of its widest signal since it was last scoped down."""
    world = World.RML1
    for entry in entries:
        if entry.kind in (OPENED, JOINED):
            world = max(world, entry.world)
        elif entry.kind == DOWNSCOPED:
            world = World(entry.facts["to"])
    return world


def status_of(entries: Iterable[Entry]) -> CaseStatus:
    """Return the status of a case; a signal makes it ongoing, closing resolves it."""
    status = CaseStatus.ONGOING
    for entry in entries:
        if entry.kind in (OPENED, JOINED):
            status = CaseStatus.ONGOING
        elif entry.kind == STATUS:
            status = CaseStatus(entry.facts["to"])
        elif entry.kind == CLOSED:
            status = CaseStatus.RESOLVED
    return status


def _detected_by(entries: Iterable[Entry]) -> Iterator[DetectedBy]:
    for entry in entries:
        source = entry.facts.get("detected_by")
        if entry.kind in _DETECTIONS and source is not None:
            yield DetectedBy(type=source["type"], source=source.get("source"), id=source.get("id"))


def _classification(entries: Iterable[Entry]) -> Classification:
    """Return the latest that is known of each; what was once touched stays on the list."""
    known: dict[str, Any] = {}
    assets: list[str] = []
    for entry in entries:
        if entry.kind == UNDERSTOOD:
            known |= entry.facts
            assets += entry.facts.get("asset", [])
    return Classification(
        severity=known.get("severity"),
        asset=_unique(assets),
        scope=Scope(
            affected_users_estimate=known.get("users_estimate"),
            affected_users_counted=known.get("users"),
            affected_transactions_estimate=known.get("transactions_estimate"),
            affected_transactions_counted=known.get("transactions"),
        ),
    )


# ------------------------------------------------------------------------------- the timeline


@attrs.define
class _Line:
    """One line in the making: an entry, and how often it was repeated until when."""

    entry: Entry
    count: int = 1
    last: datetime | None = None


def _timeline(entries: Iterable[Entry]) -> list[TimelineEvent]:
    lines: list[_Line] = []
    run: dict[bytes, _Line] = {}  # the signals since the last entry of another kind
    for entry in entries:
        if entry.kind not in _TYPES and entry.kind.partition(".")[0] in _ELSEWHERE:
            continue
        if entry.kind not in (OPENED, JOINED):
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
    return [_event(line) for line in lines]


def _event(line: _Line) -> TimelineEvent:
    entry = line.entry
    detail = _detail(entry)
    if line.last is not None:
        detail += f" ({line.count} signals, the last at {time_text(line.last)})"
    return TimelineEvent(
        at=entry.at,
        world=entry.world,
        type=_TYPES.get(entry.kind, entry.kind),
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


def _title(entry: Entry) -> str:
    return str(entry.facts["title"])


def _change(entry: Entry) -> str:
    return "{from} to {to}: {reason}".format_map(entry.facts)


def _lessons_text(entry: Entry) -> str:
    return ", ".join(f"{len(entry.facts[name])} {name}" for name in _LISTS if name in entry.facts)


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
    DECIDED: lambda entry: str(entry.facts["summary"]),
    ACTED: _action_text,
    LEARNED: _lessons_text,
    STATUS: _change,
    DOWNSCOPED: _change,
    CLOSED: lambda entry: f"closed by {entry.actor}",
    HOOK_FAILED: lambda entry: f"hook {entry.facts['hook']}: {entry.facts['trouble']}",
    RESOLVED: _resolution,
}


# ------------------------------------------------------- what people decided, did and learned


def _decisions(entries: Sequence[Entry]) -> Decisions:
    """Return every decision; the summary and the names are of those that no later one amends."""
    amended = {entry.corrects for entry in entries}
    made = [
        DecisionEntry(
            at=entry.at,
            summary=entry.facts["summary"],
            decided_by=_deciders(entry),
            recorded_at=entry.recorded_at,
            entry=entry.id,
            amends=entry.corrects,
        )
        for entry in entries
    ]
    standing = [decision for decision in made if decision.entry not in amended]
    return Decisions(
        summary="\n".join(decision.summary for decision in standing),
        decided_by=_unique(who for decision in standing for who in decision.decided_by),
        entries=made,
    )


def _deciders(entry: Entry) -> list[DecidedBy]:
    """Return who decided; an absence stands with its reason where the name would."""
    names = [DecidedBy(role=who["role"], name=who["name"]) for who in entry.facts["decided_by"]]
    absent = [
        DecidedBy(role=who["role"], name=f"absent - {who['reason']}")
        for who in entry.facts.get("absent", ())
    ]
    return names + absent


def _actions(entries: Iterable[Entry]) -> Actions:
    technical: list[TechnicalAction] = []
    communication: list[CommunicationAction] = []
    for entry in entries:
        facts = entry.facts
        if "template_id" in facts or "channel" in facts:
            said = CommunicationAction(
                type=facts["type"],
                world=entry.world,
                template_id=facts.get("template_id"),
                channel=facts.get("channel"),
                entry=entry.id,
            )
            communication.append(said)
        else:
            done = TechnicalAction(
                type=facts["type"],
                world=entry.world,
                count=facts.get("count"),
                detail=facts.get("detail"),
                entry=entry.id,
            )
            technical.append(done)
    return Actions(technical=technical, communication=communication)


def _lessons(entries: Sequence[Entry]) -> LessonsLearned:
    technical, process, governance = (
        _unique(lesson for entry in entries for lesson in entry.facts.get(name, ()))
        for name in _LISTS
    )
    return LessonsLearned(technical=technical, process=process, governance=governance)


def _effects(entries: Sequence[Entry]) -> tuple[str, ...]:
    about = [entry.effect for entry in entries if entry.effect is not None]
    corrected = [
        one
        for entry in entries
        if entry.kind == ACTED
        for one in entry.facts.get("corrections", ())
        if is_effect_id(one)
    ]
    return _unique([*about, *corrected])


def is_effect_id(one: str) -> bool:
    """Say whether an id is an effect's rather than an entry's."""
    return one.startswith("ef_")


def _unique(items: Iterable[Any]) -> tuple[Any, ...]:
    """Return each item once, in the order of first appearance."""
    return tuple(dict.fromkeys(items))

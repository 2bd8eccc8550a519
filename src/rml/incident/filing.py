"""How the entries of a case fill its page: each part from the entries by which it is told.

Pure, and nothing that was not recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from rml.incident.kinds import (
    COUNTED,
    DETECTIONS,
    SEVERITY_RAISED,
    UNDERSTOOD,
)
from rml.incident.pages.casefile import (
    Actions,
    Classification,
    CommunicationAction,
    DecidedBy,
    DecisionEntry,
    Decisions,
    DetectedBy,
    LessonsLearned,
    Scope,
    TechnicalAction,
)
from rml.ledger.entry import Entry

_LISTS: Final = ("technical", "process", "governance")


def detected_by(entries: Iterable[Entry]) -> Iterator[DetectedBy]:
    """Yield what noticed the problem."""
    for entry in entries:
        source = entry.facts.get("detected_by")
        if entry.kind in DETECTIONS and source is not None:
            yield DetectedBy(type=source["type"], source=source.get("source"), id=source.get("id"))


def classification(entries: Iterable[Entry]) -> Classification:
    """Return the latest that is known of each; what was once touched stays on the list."""
    known: dict[str, Any] = {}
    assets: list[str] = []
    exposed: list[str] = []
    for entry in entries:
        if entry.kind in (UNDERSTOOD, COUNTED, SEVERITY_RAISED):
            known |= entry.facts
            assets += entry.facts.get("asset", [])
            exposed += entry.facts.get("exposure", [])
    return Classification(
        severity=known.get("severity"),
        priority=known.get("priority"),
        asset=unique(assets),
        exposure=unique(exposed),
        scope=Scope(
            affected_users_estimate=known.get("users_estimate"),
            affected_users_counted=known.get("users"),
            affected_transactions_estimate=known.get("transactions_estimate"),
            affected_transactions_counted=known.get("transactions"),
        ),
    )


# ------------------------------------------------------- what people decided, did and learned


def decisions(entries: Sequence[Entry]) -> Decisions:
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
        decided_by=unique(who for decision in standing for who in decision.decided_by),
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


def actions(entries: Iterable[Entry]) -> Actions:
    """Return what was done: communication, if it has a template or a channel."""
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


def lessons(entries: Sequence[Entry]) -> LessonsLearned:
    """Return the lessons of each list, each once."""
    technical, process, governance = (
        unique(lesson for entry in entries for lesson in entry.facts.get(name, ()))
        for name in _LISTS
    )
    return LessonsLearned(technical=technical, process=process, governance=governance)


def unique(items: Iterable[Any]) -> tuple[Any, ...]:
    """Return each item once, in the order of first appearance."""
    return tuple(dict.fromkeys(items))

"""What the entries of one incident tell: the case file, and where the case stands.

Pure, and nothing that was not recorded. Three rules that the entries alone do not show:

- A signal that joins a case in monitoring, or a resolved one, makes it ongoing again.
- A signal that joins a case that was scoped down makes it as wide as itself: the widest world wins.
- Equal signals with nothing else between them are one line of the timeline, which counts them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any, Final

import attrs

from rml.incident import metrics
from rml.incident.command import communication
from rml.incident.command.order import Note, Order, notes_of, orders_of
from rml.incident.command.role import Hats, hats_of
from rml.incident.kinds import (
    ACTED,
    ALL_CLEAR,
    CLOSED,
    CONFIRMED,
    CONTAINED,
    COUNTED,
    DECIDED,
    DETECTIONS,
    DOWNSCOPED,
    LEARNED,
    LIFTED,
    OPENED,
    OVERRIDDEN,
    PRIVACY,
    REOPENED,
    SEVERITY_RAISED,
    SIGNALS,
    STATUS,
    UNDERSTOOD,
)
from rml.incident.lines import timeline_of
from rml.incident.pages.casefile import (
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
)
from rml.incident.severity import Priority, Sev, default_priority
from rml.ledger.entry import Entry
from rml.world import World

_LISTS: Final = ("technical", "process", "governance")


class Phase(StrEnum):
    """The furthest step that a case has taken; the members stand in the order of the steps."""

    DETECT = "detect"
    CONTAIN = "contain"
    UNDERSTAND = "understand"
    DECIDE = "decide"
    ACT = "act"
    LEARN = "learn"
    CLOSED = "closed"


# The kinds by which the steps after the first are taken.
STEPS: Final = {
    CONTAINED: Phase.CONTAIN,
    UNDERSTOOD: Phase.UNDERSTAND,
    DECIDED: Phase.DECIDE,
    ACTED: Phase.ACT,
    LEARNED: Phase.LEARN,
}


@attrs.frozen(kw_only=True, slots=False)
class Projection:
    """A case as its entries tell it.

    Attributes:
        file: the case file.
        steps: the steps taken so far, in their order.
        opened_at: when the ledger recorded the first signal.
        count: how many signals the case has gathered.
        effects: the ids of the effects that it is about, then of those that corrected it.
        closed: the entry that closed it, unless it has been reopened since.
        entries: all of this is told by these, in index order.
    """

    file: CaseFile
    steps: tuple[Phase, ...]
    opened_at: datetime
    count: int
    effects: tuple[str, ...]
    closed: Entry | None
    entries: tuple[Entry, ...] = attrs.field(repr=False)

    @property
    def phase(self) -> Phase:
        """The furthest step taken."""
        return self.steps[-1]

    @property
    def is_gray(self) -> bool:
        """Whether it is only suspected that history was reached."""
        return gray_of(self.entries)

    @property
    def priority(self) -> Priority:
        """How fast people must act: as somebody said, or by severity; the worst while unknown."""
        given = self.file.classification
        if given.priority is not None:
            return given.priority
        severity = given.severity
        return default_priority(severity) if isinstance(severity, Sev) else Priority.P0

    @cached_property
    def hats(self) -> Hats:
        """Who is commander, and what the others are."""
        return hats_of(self.entries)

    @cached_property
    def orders(self) -> tuple[Order, ...]:
        """Every order, oldest first."""
        return orders_of(self.entries)

    @cached_property
    def notes(self) -> tuple[Note, ...]:
        """Every note on the board, oldest first."""
        return notes_of(self.entries)

    @cached_property
    def mitigations(self) -> tuple[Entry, ...]:
        """The containments that were meant for a while and have not been lifted."""
        return mitigations_of(self.entries)

    @cached_property
    def confirmed(self) -> Mapping[str, Entry]:
        """What has been confirmed since the last signal, with the entry that did."""
        confirming = [e for e in since_signal(self.entries) if e.kind == CONFIRMED]
        return {item: entry for entry in confirming for item in entry.facts["items"]}

    @cached_property
    def all_clear(self) -> Entry | None:
        """The entry that gave the all clear, if one did since the last signal."""
        fresh = since_signal(self.entries)
        return next((entry for entry in fresh if entry.kind == ALL_CLEAR), None)

    @property
    def overrides(self) -> tuple[Entry, ...]:
        """Each time that somebody passed a rule with a reason."""
        return tuple(entry for entry in self.entries if entry.kind == OVERRIDDEN)

    @property
    def downscopes(self) -> tuple[Entry, ...]:
        """Each time that it was scoped down."""
        return tuple(entry for entry in self.entries if entry.kind == DOWNSCOPED)

    @cached_property
    def harmed(self) -> tuple[str, ...]:
        """The ids of the effects and entries that were found to be harm, each to be corrected."""
        told = [e.facts.get("harmed", ()) for e in self.entries if e.kind in (UNDERSTOOD, COUNTED)]
        return _unique(one for ids in told for one in ids)

    @property
    def is_private(self) -> bool:
        """Whether it is kept out of lists that everybody sees."""
        said = [entry.facts["private"] for entry in self.entries if entry.kind == PRIVACY]
        return bool(said and said[-1])

    @property
    def criteria(self) -> tuple[str, ...]:
        """The criteria by which it was declared an incident, as far as somebody named them."""
        told = [entry for entry in self.entries if entry.kind in (*SIGNALS, UNDERSTOOD)]
        return _unique(one for entry in told for one in entry.facts.get("criteria", ()))

    @property
    def changes(self) -> tuple[Mapping[str, str], ...]:
        """What changes from here on, as people wrote it down."""
        taught = [entry for entry in self.entries if entry.kind == LEARNED]
        return tuple(change for entry in taught for change in entry.facts.get("changes", ()))

    @cached_property
    def metrics(self) -> metrics.CaseMetrics:
        """How long its parts took, and how much was written afterwards."""
        return metrics.metrics_of(self.entries)

    @property
    def status_page(self) -> communication.StatusPage:
        """How the status page follows, by priority."""
        return communication.STATUS_PAGES[self.priority]

    def schedule(
        self, now: datetime, *, broad_users: int = communication.BROAD_USERS
    ) -> tuple[communication.Notice, ...]:
        """Return who must hear of it by when, and who has heard.

        Args:
            now: the moment by which lateness is told.
            broad_users: from how many users on product owner and leadership hear in any case.
        """
        scope = self.file.classification.scope
        users = max(scope.affected_users_counted or 0, scope.affected_users_estimate or 0)
        rungs = communication.rungs_of(self.priority, broad=users >= broad_users)
        return communication.schedule(self.entries, rungs, self.opened_at, now)

    def next_update(self, now: datetime) -> communication.NextUpdate | None:
        """Return when people must hear again; nothing once all is clear."""
        severity = self.file.classification.severity
        return communication.next_update(self.entries, severity, self.opened_at, now)


def project(entries: Sequence[Entry], ledger: LedgerState | None = None) -> Projection | None:
    """Return what the entries of one incident, in index order, tell, if they open it."""
    entries = tuple(entries)
    opened = next((entry for entry in entries if entry.kind == OPENED), None)
    if opened is None or opened.incident is None:
        return None
    closed = closed_by(entries)
    taken = {STEPS[entry.kind] for entry in entries if entry.kind in STEPS} | {Phase.DETECT}
    if closed is not None:
        taken.add(Phase.CLOSED)
    file = CaseFile(
        incident_id=opened.incident,
        title=opened.facts["title"],
        rml_world=world_of(entries),
        status=status_of(entries),
        detected_at=min(entry.at for entry in entries if entry.kind in DETECTIONS),
        detected_by=_unique(_detected_by(entries)),
        classification=_classification(entries),
        timeline=timeline_of(entries),
        decisions=_decisions([entry for entry in entries if entry.kind == DECIDED]),
        actions=_actions([entry for entry in entries if entry.kind == ACTED]),
        lessons_learned=_lessons([entry for entry in entries if entry.kind == LEARNED]),
        ledger=ledger,
    )
    return Projection(
        file=file,
        steps=tuple(phase for phase in Phase if phase in taken),
        opened_at=opened.recorded_at,
        count=sum(1 for entry in entries if entry.kind in SIGNALS),
        effects=_effects(entries),
        closed=closed,
        entries=entries,
    )


def world_of(entries: Iterable[Entry]) -> World:
    """Return the world of a case: that of its widest signal since it was last scoped down."""
    world = World.RML1
    for entry in entries:
        if entry.kind in SIGNALS:
            world = max(world, entry.world)
        elif entry.kind == DOWNSCOPED:
            world = World(entry.facts["to"])
    return world


def status_of(entries: Iterable[Entry]) -> CaseStatus:
    """Return the status of a case; a signal makes it ongoing, closing resolves it."""
    status = CaseStatus.ONGOING
    for entry in entries:
        if entry.kind in SIGNALS:
            status = CaseStatus.ONGOING
        elif entry.kind == STATUS:
            status = CaseStatus(entry.facts["to"])
        elif entry.kind == CLOSED:
            status = CaseStatus.RESOLVED
        elif entry.kind == REOPENED:
            status = CaseStatus.ONGOING
    return status


def closed_by(entries: Iterable[Entry]) -> Entry | None:
    """Return the entry that closed a case, unless it was reopened after it."""
    closed: Entry | None = None
    for entry in entries:
        if entry.kind in (CLOSED, REOPENED):
            closed = entry if entry.kind == CLOSED else None
    return closed


def gray_of(entries: Iterable[Entry]) -> bool:
    """Say whether history is only suspected: until a signal or somebody's downscope is certain."""
    gray = certain = False
    for entry in entries:
        if entry.kind in SIGNALS:
            suspected = bool(entry.facts.get("gray"))
            gray, certain = gray or suspected, certain or not suspected
        elif entry.kind == DOWNSCOPED:
            gray, certain = False, World(entry.facts["to"]) is World.RML3
    return gray and not certain


def since_signal(entries: Sequence[Entry]) -> Sequence[Entry]:
    """Return what was recorded since the last signal, or since the case was reopened."""
    fresh = (*SIGNALS, REOPENED)
    last = max((i for i, entry in enumerate(entries) if entry.kind in fresh), default=0)
    return entries[last:]


def mitigations_of(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Return the containments that were meant for a while and have not been lifted."""
    lifted = {entry.facts["mitigation"] for entry in entries if entry.kind == LIFTED}
    pulled = [entry for entry in entries if entry.kind == CONTAINED]
    return tuple(e for e in pulled if e.facts.get("temporary") and e.id not in lifted)


def _detected_by(entries: Iterable[Entry]) -> Iterator[DetectedBy]:
    for entry in entries:
        source = entry.facts.get("detected_by")
        if entry.kind in DETECTIONS and source is not None:
            yield DetectedBy(type=source["type"], source=source.get("source"), id=source.get("id"))


def _classification(entries: Iterable[Entry]) -> Classification:
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
        asset=_unique(assets),
        exposure=_unique(exposed),
        scope=Scope(
            affected_users_estimate=known.get("users_estimate"),
            affected_users_counted=known.get("users"),
            affected_transactions_estimate=known.get("transactions_estimate"),
            affected_transactions_counted=known.get("transactions"),
        ),
    )


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

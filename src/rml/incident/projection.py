"""What the entries of one incident tell: the case file, and where the case stands.

Pure, and nothing that was not recorded. Three rules that the entries alone do not show:

- A signal that joins a case in monitoring, or a resolved one, makes it ongoing again.
- A signal that joins a case that was scoped down makes it as wide as itself: the widest world wins.
- Equal signals with nothing else between them are one line of the timeline, which counts them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Final

import attrs

from rml.incident import filing, metrics, scope
from rml.incident.command import communication
from rml.incident.command.order import Note, Order, notes_of, orders_of
from rml.incident.command.role import Hats, hats_of
from rml.incident.cost import costs_of
from rml.incident.filing import unique
from rml.incident.kinds import (
    ACTED,
    ALL_CLEAR,
    CLOSED,
    CONFIRMED,
    CONTAINED,
    COSTED,
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
    SIGNALS,
    STATUS,
    UNDERSTOOD,
)
from rml.incident.lines import timeline_of
from rml.incident.pages.casefile import (
    CaseFile,
    CaseStatus,
    Classification,
    LedgerState,
    TimelineEvent,
)
from rml.incident.severity import Priority, Sev, default_priority
from rml.ledger.entry import Entry
from rml.world import World


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
    """A case as its entries tell it; each part is worked out when it is first asked for.

    Attributes:
        entries: all of this is told by these, in index order.
        ledger: the state of the ledger that they were read from, if it is known.
    """

    entries: tuple[Entry, ...] = attrs.field(repr=False)
    ledger: LedgerState | None = None
    _opened: Entry = attrs.field(repr=False)
    _told_before: tuple[TimelineEvent, ...] = attrs.field(default=(), eq=False, repr=False)

    @property
    def id(self) -> str:
        """The id of the case."""
        return self._opened.incident or ""

    @property
    def opened_at(self) -> datetime:
        """When the ledger recorded the first signal."""
        return self._opened.recorded_at

    @cached_property
    def by_kind(self) -> Mapping[str, Sequence[Entry]]:
        """The entries of each kind, in index order."""
        found: dict[str, list[Entry]] = {}
        for entry in self.entries:
            found.setdefault(entry.kind, []).append(entry)
        return found

    def of(self, *kinds: str) -> list[Entry]:
        """Return the entries of some kinds, in index order."""
        if len(kinds) == 1:
            return list(self.by_kind.get(kinds[0], ()))
        return [entry for entry in self.entries if entry.kind in kinds]

    @cached_property
    def file(self) -> CaseFile:
        """The case file."""
        return CaseFile(
            incident_id=self.id,
            title=self._opened.facts["title"],
            rml_world=self.world,
            status=self.status,
            detected_at=min(entry.at for entry in self.of(*DETECTIONS)),
            detected_by=unique(filing.detected_by(self.entries)),
            classification=self.classification,
            timeline=timeline_of(self.entries, self._told_before),
            decisions=filing.decisions(self.of(DECIDED)),
            actions=filing.actions(self.of(ACTED)),
            costs=costs_of(self.of(COSTED)),
            lessons_learned=filing.lessons(self.of(LEARNED)),
            ledger=self.ledger,
        )

    @property
    def told(self) -> tuple[TimelineEvent, ...]:
        """As much of the timeline as has been worked out."""
        return self.file.timeline if "file" in vars(self) else self._told_before

    @cached_property
    def classification(self) -> Classification:
        """How bad it is, and how much it has hit, as was told last."""
        return filing.classification(self.entries)

    @cached_property
    def world(self) -> World:
        """The world that it has reached, as far as it has not been scoped down."""
        return world_of(self.entries)

    @cached_property
    def status(self) -> CaseStatus:
        """Ongoing, monitoring or resolved."""
        return status_of(self.entries)

    @cached_property
    def steps(self) -> tuple[Phase, ...]:
        """The steps taken so far, in their order."""
        taken = {STEPS[kind] for kind in self.by_kind if kind in STEPS} | {Phase.DETECT}
        if self.closed is not None:
            taken.add(Phase.CLOSED)
        return tuple(phase for phase in Phase if phase in taken)

    @property
    def count(self) -> int:
        """How many signals it has gathered."""
        return sum(len(self.by_kind.get(kind, ())) for kind in SIGNALS)

    @cached_property
    def effects(self) -> tuple[str, ...]:
        """The ids of the effects that it is about, then of those that corrected it."""
        about = [entry.effect for entry in self.entries if entry.effect is not None]
        named = (one for entry in self.of(ACTED) for one in entry.facts.get("corrections", ()))
        return unique([*about, *filter(is_effect_id, named)])

    @cached_property
    def closed(self) -> Entry | None:
        """The entry that closed it, unless it has been reopened since."""
        return closed_by(self.of(CLOSED, REOPENED))

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
        given = self.classification
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
        return tuple(self.of(OVERRIDDEN))

    @property
    def downscopes(self) -> tuple[Entry, ...]:
        """Each time that it was scoped down."""
        return tuple(self.of(DOWNSCOPED))

    @cached_property
    def harmed(self) -> tuple[str, ...]:
        """The ids of the effects and entries that were found to be harm, each to be corrected."""
        return scope.harmed(self.of(UNDERSTOOD, COUNTED))

    @cached_property
    def narrowings(self) -> tuple[scope.Narrowing, ...]:
        """Each time that less was said to be history than before; a later word replaces none."""
        return scope.narrowings(self.of(UNDERSTOOD, COUNTED))

    @property
    def is_private(self) -> bool:
        """Whether it is kept out of lists that everybody sees."""
        said = [entry.facts["private"] for entry in self.of(PRIVACY)]
        return bool(said and said[-1])

    @property
    def criteria(self) -> tuple[str, ...]:
        """The criteria by which it was declared an incident, as far as somebody named them."""
        told = self.of(*SIGNALS, UNDERSTOOD)
        return unique(one for entry in told for one in entry.facts.get("criteria", ()))

    @property
    def changes(self) -> tuple[Mapping[str, str], ...]:
        """What changes from here on, as people wrote it down."""
        taught = self.of(LEARNED)
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
        told = self.of(UNDERSTOOD, COUNTED)
        users = scope.widest(told, "users", "users_estimate")
        rungs = communication.rungs_of(self.priority, broad=users >= broad_users)
        return communication.schedule(self.entries, rungs, self.opened_at, now)

    def next_update(self, now: datetime) -> communication.NextUpdate | None:
        """Return when people must hear again; nothing once all is clear."""
        severity = self.classification.severity
        return communication.next_update(self.entries, severity, self.opened_at, now)


def project(
    entries: Sequence[Entry],
    ledger: LedgerState | None = None,
    before: Projection | None = None,
) -> Projection | None:
    """Return what the entries of one incident, in index order, tell, if they open it.

    Args:
        entries: its entries.
        ledger: the state of the ledger that they were read from.
        before: what fewer of them told; what these told of the timeline is not told again.
    """
    opened = next((entry for entry in entries if entry.kind == OPENED), None)
    if opened is None or opened.incident is None:
        return None
    return Projection(
        entries=tuple(entries),
        ledger=ledger,
        opened=opened,
        told_before=() if before is None else before.told,
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


def is_effect_id(one: str) -> bool:
    """Say whether an id is an effect's rather than an entry's."""
    return one.startswith("ef_")

"""Who must hear of an incident by when, who has been told, and when the next update is due.

Pure: the schedule follows from priority and time of opening, the rest from what was recorded. What
a message was delivered by is not known here; whoever delivers one records ``incident.told``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import attrs

from rml.incident import kinds
from rml.incident.severity import Priority, Sev
from rml.ledger.entry import Entry

LEADERSHIP: Final = "leadership"
# How long people may hear nothing.
CADENCE: Final = timedelta(minutes=30)
# The same while it is as bad as can be.
CADENCES: Final[Mapping[Sev, timedelta]] = MappingProxyType(
    {Sev.SEV0: timedelta(minutes=15), Sev.SEV1: timedelta(minutes=15)}
)
# How soon a person must have taken a first step; SEV-5 is watched only.
RESPONSE: Final[Mapping[Sev, timedelta]] = MappingProxyType(
    {
        Sev.SEV0: timedelta(0),
        Sev.SEV1: timedelta(minutes=3),
        Sev.SEV2: timedelta(minutes=5),
        Sev.SEV3: timedelta(minutes=15),
        Sev.SEV4: timedelta(hours=48),
    }
)


class StatusPage(StrEnum):
    """How the status page follows an incident."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"
    INTERNAL_NOTE = "internal_note"
    NONE = "none"


@attrs.frozen
class Rung:
    """An audience, and by when it must hear: within a time, or at the next meeting of a kind."""

    audience: str
    within: timedelta | None
    occasion: str | None = None


_SOON: Final = timedelta(minutes=5)
_LATER: Final = timedelta(minutes=30)
# The escalation matrix, by priority.
MATRIX: Final[Mapping[Priority, tuple[Rung, ...]]] = MappingProxyType(
    {
        Priority.P0: (
            Rung("on_call_group", _SOON),
            Rung("tech_lead", _SOON),
            Rung("product_owner", _SOON),
            Rung(LEADERSHIP, _LATER),
            Rung("affected_clients", _LATER),
        ),
        Priority.P1: (
            Rung("on_call_group", _SOON),
            Rung("tech_lead", _SOON),
            Rung("product_owner", _LATER),
            Rung(LEADERSHIP, None, "next sync"),
        ),
        Priority.P2: (
            Rung("on_call_group", _SOON),
            Rung("product_owner", None, "next standup"),
        ),
        Priority.P3: (Rung("on_call_group", None, "next standup"),),
    }
)
# How many users make an impact broad.
BROAD_USERS: Final = 1_000
_OF_BROAD_IMPACT: Final = ("product_owner", LEADERSHIP)
STATUS_PAGES: Final[Mapping[Priority, StatusPage]] = MappingProxyType(
    {
        Priority.P0: StatusPage.AUTOMATIC,
        Priority.P1: StatusPage.MANUAL,
        Priority.P2: StatusPage.INTERNAL_NOTE,
        Priority.P3: StatusPage.NONE,
    }
)


@attrs.frozen(kw_only=True)
class Notice:
    """One line of the schedule: an audience, by when it must hear, and what came of it.

    Attributes:
        audience: such as ``leadership``.
        due: by when; ``None`` where an occasion says it.
        occasion: such as ``next standup``.
        told_at: when it was first told, if it was, as people say.
        recorded_at: when the ledger recorded that; lateness is counted to here, so that nobody can
            be told in time afterwards.
        told_by: by whom.
        late: how long after ``due`` it was told; while it has not been, how long it has waited.
            ``None`` if it was in time, or still is.
    """

    audience: str
    due: datetime | None
    occasion: str | None
    told_at: datetime | None
    recorded_at: datetime | None
    told_by: str | None
    late: timedelta | None

    @property
    def is_open(self) -> bool:
        """Whether nobody has told this audience."""
        return self.told_at is None


@attrs.frozen(kw_only=True)
class NextUpdate:
    """When people must hear again.

    Attributes:
        due: the moment; from then on it is overdue.
        overdue: whether that has come.
        promised: whether somebody promised it, which comes before the cadence.
    """

    due: datetime
    overdue: bool
    promised: bool


def schedule(
    entries: Sequence[Entry],
    rungs: Sequence[Rung],
    opened_at: datetime,
    now: datetime,
) -> tuple[Notice, ...]:
    """Return who must hear by when and who has heard, in the order of the rungs."""
    told = first_told(entries)
    return tuple(_notice(rung, opened_at, told.get(rung.audience), now) for rung in rungs)


def rungs_of(priority: Priority, *, broad: bool) -> tuple[Rung, ...]:
    """Return who must hear; of a broad impact, product owner and leadership in any case."""
    rungs = MATRIX[priority]
    if not broad:
        return rungs
    timed = {rung.audience for rung in rungs if rung.within is not None}
    added = [Rung(one, _LATER) for one in _OF_BROAD_IMPACT if one not in timed]
    widened = {rung.audience for rung in added}
    return (*(rung for rung in rungs if rung.audience not in widened), *added)


def _notice(rung: Rung, opened_at: datetime, told: Entry | None, now: datetime) -> Notice:
    due = None if rung.within is None else opened_at + rung.within
    heard = now if told is None else max(told.at, told.recorded_at)
    late = None if due is None else heard - due
    return Notice(
        audience=rung.audience,
        due=due,
        occasion=rung.occasion,
        told_at=None if told is None else told.at,
        recorded_at=None if told is None else told.recorded_at,
        told_by=None if told is None else told.actor,
        late=late if late is not None and late > timedelta(0) else None,
    )


def first_told(entries: Iterable[Entry]) -> dict[str, Entry]:
    """Return by which entry each audience heard first: the first that was recorded.

    A time of telling that somebody wrote down afterwards comes before no record that was there.
    """
    first: dict[str, Entry] = {}
    for entry in entries:
        if entry.kind in (kinds.UPDATED, kinds.TOLD):
            for audience in entry.facts["to"]:
                first.setdefault(audience, entry)
    return first


def next_update(
    entries: Sequence[Entry], severity: Sev | str | None, opened_at: datetime, now: datetime
) -> NextUpdate | None:
    """Return when the next update is due; nothing is once all is clear, until it comes back."""
    last: datetime | None = opened_at
    promise: timedelta | None = None
    for entry in entries:
        if entry.kind in (kinds.ALL_CLEAR, kinds.CLOSED):
            last = promise = None
        elif entry.kind in (*kinds.SIGNALS, kinds.REOPENED):
            last = last or entry.recorded_at
        elif entry.kind == kinds.UPDATED and last is not None:
            last = max(last, entry.at)
            minutes = entry.facts.get("next_minutes")
            promise = None if minutes is None else timedelta(minutes=minutes)
    if last is None:
        return None
    cadence = CADENCES.get(severity, CADENCE) if isinstance(severity, Sev) else CADENCE
    promised = promise is not None and promise < cadence
    due = last + (promise if promise is not None and promised else cadence)
    return NextUpdate(due=due, overdue=now >= due, promised=promised)

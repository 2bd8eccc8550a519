"""How fast and how whole sagas are undone: RBL, RIR and SCI, worked out from entries alone.

The three names are those of the author of the worlds. What stands behind them is so only in part,
and a report that shows these numbers should say so:

``RBL``, rollback latency
    The author's: from the trigger to the end of the undoing, by a monotonic clock, its 95th
    percentile in milliseconds under the key ``RBL_p95_ms``; the clock's mapping to the wall clock
    is to be kept. Ours: a saga's trigger is its ``saga.failed``, the end its ``saga.ended`` as
    ``compensated``, and these two entries are the mapping. Where one process saw both, the end
    holds the monotonic time between them; where a saga was resumed no such reading can exist, and
    the ledger's own times are subtracted instead. :attr:`Rollbacks.monotonic` counts the former.
``RIR``
    The author's: the name, that it is about the integrity of rollbacks, and that ratios go from 0
    to 1. The formula is not known to us. Ours: rollbacks that are verified, of all that were
    triggered. One is verified if it has ended as ``compensated``, and each step that happened and
    has a compensator was undone by an effect that happened and names the step's entry as what it
    corrects.
``SCI``, structural consistency incidents
    The author's: contradictions per million events. Which they are is not known to us. Ours: the
    late report of an effect that had been decided not to have happened, a second entry by which the
    same effect happened, and the undoing of a step that did not happen; events are entries.

A percentile is the nearest rank: the smallest value that is not exceeded by 95 in 100.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

import attrs

from rml.effect.saga_state import COMPENSATOR, ELAPSED, STATE, STEP, SagaState
from rml.effect.state import HAPPENED
from rml.error import InvalidInputError
from rml.ledger.entry import Entry

PERCENTILE: Final = 95
PER_EVENTS: Final = 1_000_000
CODE_CONTRADICTED: Final = "DECISION_CONTRADICTED"


@attrs.frozen(kw_only=True)
class Rollbacks:
    """What the entries of a window say about rollbacks.

    Attributes:
        since: from when, this moment included; ``None`` for from the beginning.
        until: until when, this moment excluded; ``None`` for until the last entry.
        triggered: sagas that failed in the window.
        verified: those of them that are wholly undone.
        pending: those of them that have not ended.
        latencies_ms: how long each took that was undone, in the order of their triggers.
        monotonic: how many of these were read from a monotonic clock.
        events: entries in the window.
        contradictions: the ids of entries in the window that contradict others.
    """

    since: datetime | None
    until: datetime | None
    triggered: int
    verified: int
    pending: int
    latencies_ms: tuple[float, ...]
    monotonic: int
    events: int
    contradictions: tuple[str, ...]

    @property
    def rbl_p95_ms(self) -> float | None:
        """The 95th percentile of the latencies in milliseconds; ``None`` without any."""
        if not self.latencies_ms:
            return None
        rank = math.ceil(len(self.latencies_ms) * PERCENTILE / 100)
        return sorted(self.latencies_ms)[rank - 1]

    @property
    def rir(self) -> float | None:
        """The share of verified rollbacks, from 0 to 1; ``None`` without any."""
        return self.verified / self.triggered if self.triggered else None

    @property
    def sci(self) -> float | None:
        """Contradictions per million events; ``None`` without events."""
        return len(self.contradictions) * PER_EVENTS / self.events if self.events else None

    def to_dict(self) -> dict[str, Any]:
        """Return a report: the three metrics, the window, and the counts that they come from."""
        window = None
        if self.since is not None and self.until is not None:
            window = f"{(self.until - self.since) / timedelta(hours=1):g}h"
        return {
            "window": window,
            "RBL_p95_ms": self.rbl_p95_ms,
            "RIR": self.rir,
            "SCI": self.sci,
            "triggered": self.triggered,
            "verified": self.verified,
            "pending": self.pending,
            "monotonic": self.monotonic,
            "events": self.events,
            "contradictions": list(self.contradictions),
        }


def measure(
    entries: Iterable[Entry], *, since: datetime | None = None, until: datetime | None = None
) -> Rollbacks:
    """Return what entries say about rollbacks.

    Args:
        entries: a ledger's from its beginning, in index order: ``ledger.entries()``. A rollback of
            the window may undo what happened long before it.
        since: count only what was triggered or recorded at this moment or later.
        until: count only what was triggered or recorded before this moment.

    Raises:
        InvalidInputError: a time has no timezone.
    """
    for name, moment in (("since", since), ("until", until)):
        if moment is not None and moment.tzinfo is None:
            raise InvalidInputError.about(name, str(moment), "give an aware datetime")
    seen = _Seen()
    counted, contradictions = 0, []
    for entry in entries:
        is_contradiction = seen.read(entry)
        if _is_within(entry, since, until):
            counted += 1
            contradictions += [entry.id] if is_contradiction else []
    triggered = [rollback for rollback in seen.rollbacks.values() if rollback.failed is not None]
    chosen = [one for one in triggered if one.failed and _is_within(one.failed, since, until)]
    latencies = [one.latency() for one in chosen if one.state is SagaState.COMPENSATED]
    return Rollbacks(
        since=since,
        until=until,
        triggered=len(chosen),
        verified=sum(seen.is_verified(one) for one in chosen),
        pending=sum(one.ended is None for one in chosen),
        latencies_ms=tuple(milliseconds for milliseconds, _ in latencies),
        monotonic=sum(is_monotonic for _, is_monotonic in latencies),
        events=counted,
        contradictions=tuple(contradictions),
    )


def _is_within(entry: Entry, since: datetime | None, until: datetime | None) -> bool:
    moment = entry.recorded_at
    return (since is None or since <= moment) and (until is None or moment < until)


@attrs.define
class _Rollback:
    """What the entries of one saga say."""

    steps: dict[str, str | None] = attrs.field(factory=dict)
    failed: Entry | None = None
    ended: Entry | None = None

    @property
    def state(self) -> SagaState | None:
        return None if self.ended is None else SagaState(self.ended.facts[STATE])

    def latency(self) -> tuple[float, bool]:
        """Return the milliseconds from trigger to end, and whether they are monotonic."""
        assert self.failed is not None
        assert self.ended is not None
        elapsed = self.ended.facts.get(ELAPSED)
        if elapsed is not None:
            return elapsed, True
        took = self.ended.recorded_at - self.failed.recorded_at
        return took / timedelta(milliseconds=1), False


@attrs.define
class _Seen:
    """What has been read so far.

    ``happened`` are the entries by which each effect happened; ``undone`` are the entries that were
    corrected, by the operation that did it and the effect that it was done to.
    """

    rollbacks: dict[str, _Rollback] = attrs.field(factory=lambda: defaultdict(_Rollback))
    compensators: set[str] = attrs.field(factory=set)
    happened: dict[str, list[str]] = attrs.field(factory=lambda: defaultdict(list))
    undone: dict[tuple[str, str], str | None] = attrs.field(factory=dict)

    def read(self, entry: Entry) -> bool:
        """Take an entry in, and say whether it contradicts those before it."""
        effect = entry.effect or ""
        if entry.kind == "saga.step":
            compensator = entry.facts.get(COMPENSATOR)
            self.rollbacks[effect].steps[entry.facts[STEP]] = compensator
            self.compensators |= {compensator} if compensator is not None else set()
        elif entry.kind == "saga.failed":
            self.rollbacks[effect].failed = entry
        elif entry.kind == "saga.ended":
            self.rollbacks[effect].ended = entry
        elif entry.kind in {"incident.opened", "incident.joined"}:
            return entry.facts.get("code") == CODE_CONTRADICTED
        elif _says_happened(entry):
            return self._read_happened(entry, effect)
        return False

    def _read_happened(self, entry: Entry, effect: str) -> bool:
        operation, key = entry.operation or "", entry.key or ""
        twice = bool(self.happened[effect])
        self.happened[effect].append(entry.id)
        if operation not in self.compensators:
            return twice
        self.undone[operation, key] = entry.corrects
        return twice or entry.corrects not in self.happened[key]

    def is_verified(self, rollback: _Rollback) -> bool:
        """Say whether all that happened is undone."""
        return rollback.state is SagaState.COMPENSATED and all(
            self.undone.get((compensator, step)) in self.happened[step]
            for step, compensator in rollback.steps.items()
            if compensator is not None and self.happened[step]
        )


def _says_happened(entry: Entry) -> bool:
    resolved = entry.kind == "effect.resolved" and entry.facts.get(HAPPENED) is True
    return entry.kind == "effect.done" or resolved

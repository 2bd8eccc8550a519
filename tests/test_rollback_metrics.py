"""RBL, RIR and SCI: from the entries of sagas, and from nothing else."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trips import Busy, Declined, Trip

import rml
from rml.effect.metrics import Rollbacks, measure

NOTHING = Rollbacks(
    since=None,
    until=None,
    triggered=0,
    verified=0,
    pending=0,
    latencies_ms=(),
    monotonic=0,
    events=0,
    contradictions=(),
)


@pytest.fixture
def trip(ledger: rml.Ledger) -> Trip:
    """A trip whose undoing takes a second a step."""
    made = Trip()

    def slow(place: str) -> None:
        if place.startswith("after") and place.endswith(("cancel", "back")):
            ledger.clock.advance(1)  # type: ignore[attr-defined]

    made.provider.watch = slow
    return made


def undo(trip: Trip, trip_id: str, *busy: str) -> None:
    """Let a trip be undone, some compensators being busy first."""
    trip.fails_with.append(Declined())
    for operation in busy:
        trip.provider.before[operation].append(Busy())
    trip.fail(rml.RmlError, trip_id)


def test_without_rollbacks_there_is_nothing_to_say(ledger: rml.Ledger, trip: Trip) -> None:
    """A saga that goes well is none; no ratio is made of nothing."""
    assert measure([]) == NOTHING
    trip()

    found = measure(ledger.entries())

    assert (0, None, None, 0.0) == (found.triggered, found.rbl_p95_ms, found.rir, found.sci)
    assert measure([]).sci is None


def test_a_rollback_is_timed_from_trigger_to_end(ledger: rml.Ledger, trip: Trip) -> None:
    """By the monotonic clock, whatever the wall clock does meanwhile."""
    watch = trip.provider.watch

    def stepping(place: str) -> None:
        watch(place)
        if place == "after card.back":
            ledger.clock.set("2026-11-20T12:00:00Z")  # type: ignore[attr-defined]

    trip.provider.watch = stepping
    undo(trip, "t-1")

    found = measure(ledger.entries())

    assert (3000, 1, 1.0) == (found.rbl_p95_ms, found.monotonic, found.rir)


def test_a_resumed_rollback_is_timed_by_the_ledger(ledger: rml.Ledger, trip: Trip) -> None:
    """No monotonic clock is shared between processes; the report says how many it has."""
    undo(trip, "t-1", "hotel.cancel")
    pending = measure(ledger.entries())
    rml.resume_sagas()

    found = measure(ledger.entries())

    assert (1, 1, 0.0, None) == (
        pending.triggered,
        pending.pending,
        pending.rir,
        pending.rbl_p95_ms,
    )
    assert (3000.0, 0, 1.0, 0) == (found.rbl_p95_ms, found.monotonic, found.rir, found.pending)


def test_what_was_not_undone_is_not_verified(ledger: rml.Ledger, trip: Trip) -> None:
    """It counts as triggered, and has no latency."""
    undo(trip, "t-1")
    trip.fails_with.append(Declined())
    trip.provider.before["hotel.cancel"].append(Declined())
    trip.fail(rml.CompensationFailedError, "t-2")

    found = measure(ledger.entries())

    assert (2, 1, 0.5, 1) == (found.triggered, found.verified, found.rir, len(found.latencies_ms))


@pytest.mark.parametrize("kind", ["effect.done", "saga.ended"])
def test_a_missing_entry_is_a_missing_proof(ledger: rml.Ledger, trip: Trip, kind: str) -> None:
    """Being called undone is not enough: every undoing must be there and name its step's entry."""
    undo(trip, "t-1")
    entries = list(ledger.entries())
    missing = next(e for e in reversed(entries) if e.kind == kind)
    unnamed = [attrs.evolve(e, corrects=None) if e.corrects else e for e in entries]

    assert 1.0 == measure(entries).rir
    assert 0.0 == measure([e for e in entries if e is not missing]).rir
    assert 0.0 == measure(unnamed).rir


def test_a_window_is_about_triggers(ledger: rml.Ledger, trip: Trip, clock: rml.FrozenClock) -> None:
    """What is undone in it may have happened before it."""
    trip.fails_with.append(Busy())
    trip.fail(Busy, "t-1")
    clock.advance(timedelta(days=1))
    since = clock.now()
    undo(trip, "t-1")
    until = since + timedelta(days=1)
    clock.advance(timedelta(days=1))
    undo(trip, "t-2")

    first = measure(ledger.entries(), until=since)
    second = measure(ledger.entries(), since=since, until=until)

    assert (0, 1, 2) == (first.triggered, second.triggered, measure(ledger.entries()).triggered)
    assert second.rir == 1.0
    report = second.to_dict()
    assert ("24h", 3000, 1.0, 0.0) == tuple(
        report[name] for name in ("window", "RBL_p95_ms", "RIR", "SCI")
    )
    with pytest.raises(rml.InvalidInputError, match="since"):
        measure([], since=datetime(2026, 11, 20))


@pytest.fixture
def contradicted(ledger: rml.Ledger, clock: rml.FrozenClock) -> Iterator[rml.Ledger]:
    """A ledger in which a decision was wrong."""

    @rml.idempotent("payment.charge", key="key", lease=30)
    def charge(key: str) -> str:
        clock.advance(60)
        rml.reconcile()
        ledger.resolve(rml.current_effect().id, happened=False, by="Ada", reason="not seen")
        return "charged"

    with pytest.raises(rml.InDoubtError):
        charge("k")
    return ledger


def test_contradictions_are_counted_per_million_entries(contradicted: rml.Ledger) -> None:
    """A decision that a late report contradicts is one."""
    found = measure(contradicted.entries())
    (opened,) = contradicted.entries(kind="incident.opened", newest_first=True, limit=1)

    assert "DECISION_CONTRADICTED" == opened.facts["code"]
    assert ((opened.id,), 1_000_000 / contradicted.size) == (found.contradictions, found.sci)


def test_what_cannot_be_recorded_is_found_where_it_was_forged(
    ledger: rml.Ledger, trip: Trip
) -> None:
    """An effect that happened twice, and an undoing of what never happened."""
    undo(trip, "t-1")
    entries = list(ledger.entries())
    done = next(e for e in entries if e.kind == "effect.done" and e.operation == "hotel.book")
    undone = next(e for e in entries if e.kind == "effect.done" and e.operation == "hotel.cancel")

    twice = measure([*entries, attrs.evolve(done, id="again")])
    never = measure([e for e in entries if e is not done])

    assert ((), ("again",), (undone.id,)) == (
        measure(entries).contradictions,
        twice.contradictions,
        never.contradictions,
    )


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=60))
def test_the_percentile_is_the_nearest_rank(latencies: list[int]) -> None:
    """The smallest value that at least 95 in 100 do not exceed."""
    found: Any = attrs.evolve(NOTHING, latencies_ms=tuple(latencies)).rbl_p95_ms

    assert found in latencies
    assert 100 * sum(value <= found for value in latencies) >= 95 * len(latencies)
    assert 100 * sum(value < found for value in latencies) < 95 * len(latencies)

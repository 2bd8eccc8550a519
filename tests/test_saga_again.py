"""Sagas that take long, and sagas whose body does not come to the same calls again."""

import asyncio
import threading
from datetime import timedelta
from typing import Any

import pytest
from protected import in_other_thread
from trips import STEPS, UNDOING, Busy, Declined, Trip, the_saga

import rml
from rml.clock import parse_utc
from rml.effect.heartbeat import running

LEASE = 0.1
SECONDS = 60  # in which a busy machine does everything that a test waits for


def outlive(ledger: rml.Ledger, clock: rml.FrozenClock) -> None:
    """Go on for three leases, a little at a time; each time, wait until a beat has come."""
    pause = threading.Event()
    for _ in range(5):
        clock.advance(LEASE * 0.6)
        whole = clock.now() + timedelta(seconds=LEASE)
        for _ in range(SECONDS * 200):
            (lease,) = ledger.write(
                lambda draft: [held for held in draft.leases() if held.effect.startswith("sg_")]
            )
            if parse_utc(lease.until) == whole:
                break
            pause.wait(0.005)
        else:
            pytest.fail("the lease was not renewed")


# Slow is not dead ------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["after card.charge", "before flight.cancel"])
def test_a_saga_that_outlives_its_lease_is_not_resumed(
    ledger: rml.Ledger, clock: rml.FrozenClock, place: str
) -> None:
    """A step, or the undoing of one, may take longer than the saga's lease."""
    trip = Trip(lease=LEASE)
    trip.fails_with.append(Declined())
    resumed: list[Any] = []

    def slow(here: str) -> None:
        if here == place:
            outlive(ledger, clock)
            resumed.append(in_other_thread(rml.resume_sagas))

    trip.provider.watch = slow
    trip.fail(Declined)

    assert ([[]], 1) == (resumed, trip.runs)
    assert ledger not in [beat.ledger for beat in running._beats.values()]
    assert "compensated" == the_saga(ledger).state


def test_an_async_saga_that_outlives_its_lease_is_not_resumed(
    ledger: rml.Ledger, clock: rml.FrozenClock
) -> None:
    """Its lease is renewed while its event loop runs."""
    resumed: list[Any] = []

    @rml.idempotent("wait.long", key="trip_id")
    async def wait(trip_id: str) -> None:
        await asyncio.to_thread(outlive, ledger, clock)
        resumed.append(await asyncio.to_thread(in_other_thread, rml.resume_sagas))

    @rml.saga("trip.slow", key="trip_id", steps={wait: None}, lease=LEASE)
    async def body(trip_id: str) -> None:
        await wait(trip_id)

    asyncio.run(body("t-1"))

    assert [[]] == resumed
    assert ledger not in [beat.ledger for beat in running._beats.values()]


def test_a_body_that_only_computes_keeps_its_saga(
    ledger: rml.Ledger, clock: rml.FrozenClock
) -> None:
    """Between two steps nothing but the beat renews the lease."""
    trip = Trip()
    step = trip.step("hotel.book", declared=False, is_async=False)
    resumed: list[Any] = []

    @rml.saga("trip.slow", key="trip_id", steps={step: None}, lease=LEASE)
    def body(trip_id: str) -> str:
        outlive(ledger, clock)
        resumed.append(in_other_thread(rml.resume_sagas))
        return step(trip_id, 5)

    assert "hotel.book 0" == body("t-1")
    assert [[]] == resumed


# Another way than before -----------------------------------------------------------------------


def changing(trip: Trip, *, is_async: bool, undone: bool = True) -> tuple[Any, list[str]]:
    """Return a saga that calls the handlers of the operations that a list names."""
    handlers = {name: trip.step(name, declared=False, is_async=is_async) for name in STEPS}
    steps = {
        handlers[name]: trip.undo(UNDOING[name], {}, is_async=is_async) if undone else None
        for name in STEPS
    }
    way: list[str] = []

    if is_async:

        @rml.saga("trip.change", key="trip_id", steps=steps)
        async def body_async(trip_id: str) -> list[Any]:
            values = [await handlers[name](trip_id, 5) for name in way if name != "crash"]
            if "crash" in way:
                raise OSError
            return values

        return lambda key: asyncio.run(body_async(key)), way

    @rml.saga("trip.change", key="trip_id", steps=steps)
    def body(trip_id: str) -> list[Any]:
        values = [handlers[name](trip_id, 5) for name in way if name != "crash"]
        if "crash" in way:
            raise OSError
        return values

    return body, way


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("is_resumed", [False, True])
def test_a_saga_that_leaves_out_what_has_happened_is_undone(
    ledger: rml.Ledger, is_async: bool, is_resumed: bool
) -> None:
    """Its end would leave an effect behind that is part of nothing and that nobody undoes."""
    trip = Trip()
    book, way = changing(trip, is_async=is_async)
    way[:] = ["flight.book", "hotel.book", "crash"]
    with pytest.raises(OSError, match=r"^$"):
        book("t-1")

    way[:] = ["flight.book", "card.charge"]
    if is_resumed:
        rml.resume_sagas()
    with pytest.raises(rml.EffectFailedError, match=r"returned without hotel\.book") as caught:
        book("t-1")

    assert rml.Action.START_COMPENSATION is caught.value.action
    done = ["flight.book", "hotel.book", "card.charge"]
    assert [*done, *(UNDOING[name] for name in reversed(done))] == trip.provider.log
    assert "compensated" == the_saga(ledger).state


def test_what_needs_no_undoing_may_be_left_out(ledger: rml.Ledger) -> None:
    """The saga is whole without it."""
    trip = Trip()
    book, way = changing(trip, is_async=False, undone=False)
    way[:] = ["flight.book", "crash"]
    with pytest.raises(OSError, match=r"^$"):
        book("t-1")

    way[:] = ["hotel.book"]

    assert ["hotel.book 1"] == book("t-1")


def test_what_did_not_happen_may_be_left_out(ledger: rml.Ledger) -> None:
    """There is nothing to undo."""
    trip = Trip()
    book, way = changing(trip, is_async=False)
    way[:] = ["flight.book"]
    trip.provider.before["flight.book"].append(Busy())
    with pytest.raises(Busy):
        book("t-1")

    way[:] = ["hotel.book"]

    assert ["hotel.book 0"] == book("t-1")
    assert "done" == the_saga(ledger).state


def test_what_may_have_happened_is_decided_before_its_saga_ends(ledger: rml.Ledger) -> None:
    """Nobody knows whether there is something to undo."""
    trip = Trip()
    book, way = changing(trip, is_async=False)
    way[:] = ["flight.book"]
    trip.provider.after["flight.book"].append(OSError("reset"))
    with pytest.raises(OSError, match="reset"):
        book("t-1")

    way[:] = ["hotel.book"]
    with pytest.raises(rml.InDoubtError):
        book("t-1")
    assert "compensating" == the_saga(ledger).state
    rml.reconcile()
    rml.resume_sagas()

    assert "compensated" == the_saga(ledger).state
    assert ["flight.book", "hotel.book", "hotel.cancel", "flight.cancel"] == trip.provider.log


def _the(ledger: rml.Ledger) -> Any:
    return the_saga(ledger)

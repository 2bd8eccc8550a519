"""Sagas between processes: who was faster, who came too late, and who went away in the middle."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from trips import STEPS, UNDOING, Busy, Declined, Trip, the_saga

import rml
from rml.effect.call import start
from rml.effect.reconcile import _operations
from rml.effect.saga_records import conclude
from rml.effect.saga_run import Run
from rml.effect.saga_state import Saga

BACK = [UNDOING[name] for name in reversed(STEPS)]


def elsewhere(work: Callable[[], Any]) -> None:
    """Do something as another process would, and wait for it."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


@pytest.mark.parametrize("is_async", [False, True])
def test_compensators_of_the_other_face_are_called(ledger: rml.Ledger, is_async: bool) -> None:
    """A plain one does not hold up the event loop; an async one is run to its end."""
    trip = Trip(is_async=is_async, is_mixed=True)
    trip.fails_with.append(Declined())
    trip.provider.before["hotel.cancel"].append(Busy())

    trip.fail(Declined)
    rml.resume_sagas()

    assert sorted([*STEPS, *BACK]) == sorted(trip.provider.log)
    assert "compensated" == the_saga(ledger).state


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("end", ["value", "history"])
def test_a_body_that_ends_after_its_saga_has_turned_back(
    ledger: rml.Ledger, clock: rml.FrozenClock, is_async: bool, end: str
) -> None:
    """Its value is not given: what it did has been undone meanwhile. Its RML3 error is."""
    trip = Trip(is_async=is_async, timeout=600)
    moved = rml.HistoryError("moved", code="MOVED")
    if end == "history":
        trip.provider.after["mail.send"].append(moved)

    def meanwhile(place: str) -> None:
        if place == "before mail.send":
            clock.advance(3600)
            elsewhere(rml.resume_sagas)
            clock.set("2026-11-20T19:00:00Z")  # the mail's own lease is not what this is about

    trip.provider.watch = meanwhile

    if end == "history":
        assert moved is trip.fail(rml.HistoryError)
    else:
        error = trip.fail(rml.EffectFailedError)
        assert rml.Action.START_COMPENSATION is error.action
    assert [*STEPS, *BACK, "mail.send"] == trip.provider.log
    assert "compensated" == the_saga(ledger).state
    assert int(end == "history") == len(ledger.entries(kind="incident.opened"))


def test_history_is_escalated_also_where_the_saga_has_turned_back(
    ledger: rml.Ledger, clock: rml.FrozenClock
) -> None:
    """What the body itself has found is not lost because somebody was faster."""
    trip = Trip()
    late = trip.step("mail.late", declared=False, is_async=False)

    @rml.saga("test.saga", key="key", steps={late: None}, timeout=600, lease=1)
    def body(key: str) -> None:
        if not ledger.entries(kind="saga.failed"):
            clock.advance(3600)
            elsewhere(rml.resume_sagas)
        raise rml.HistoryError("moved", code="MOVED")

    with pytest.raises(rml.HistoryError), rml.boundary("checkout"):
        body("k")

    (opened,) = ledger.entries(kind="incident.opened")
    assert ("MOVED", []) == (opened.facts["code"], list(ledger.entries(kind="incident.joined")))
    assert "compensated" == the_saga(ledger, "k").state


def test_a_step_after_the_end_is_refused(ledger: rml.Ledger) -> None:
    """Whatever the body left running."""
    trip = Trip()
    later: list[contextvars.Context] = []
    trip.provider.watch = lambda place: later.append(contextvars.copy_context())
    late = trip.step("hotel.book", declared=False, is_async=False)
    trip()

    @rml.saga("test.saga", key="key", steps={late: None})
    def body(key: str) -> None:
        later.append(contextvars.copy_context())

    body("k")

    with pytest.raises(rml.InvalidInputError, match="has ended"):
        later[-1].run(late, "t-9", 5)
    assert 1 == trip.provider.counts["hotel.book"]


def test_a_saga_that_is_done_meanwhile_gives_its_value(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the first look and the commit somebody else has completed it."""
    trip = Trip()
    value = trip()
    monkeypatch.setattr(Run, "look", lambda self: None)

    assert value == trip()
    assert 1 == trip.runs


def test_a_saga_that_has_ended_meanwhile_is_not_resumed(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever way it has ended."""
    trip = Trip()
    stale = []
    for trip_id, end in (("t-1", Busy()), ("t-2", Busy())):
        trip.fails_with.append(end)
        trip.fail(Busy, trip_id)
        stale.append(the_saga(ledger, trip_id))
    trip("t-1")
    trip.fails_with.append(Declined())
    trip.fail(Declined, "t-2")
    monkeypatch.setattr("rml.effect.saga._unfinished", lambda *_: stale)
    size = ledger.size

    resumed = rml.resume_sagas()

    assert [("done", None), ("compensated", None)] == [(s.state, s.trouble) for s in resumed]
    assert size == ledger.size


def test_an_end_is_recorded_once(ledger: rml.Ledger) -> None:
    """Two that undo together both come to it."""
    trip = Trip()
    trip.fails_with.append(Declined())
    trip.fail(Declined)
    saga, size = the_saga(ledger), ledger.size

    assert "compensated" == ledger.write(lambda draft: conclude(draft, saga.id, None)).state
    assert size == ledger.size


def test_a_step_in_flight_elsewhere_is_waited_for(ledger: rml.Ledger) -> None:
    """The saga says so, and goes on when it is over."""
    trip = Trip()
    trip.provider.before["hotel.book"].append(Busy())
    trip.fail(Busy)
    elsewhere_begun = start(_operations["hotel.book"], ledger, {"trip_id": "t-1", "amount": 5})
    attempt: Any = elsewhere_begun.begin()

    assert "is in flight" in str(rml.resume_sagas()[0].trouble)
    elsewhere_begun.finish(attempt, elsewhere_begun.value_outcome("booked"))
    assert "done" == rml.resume_sagas()[0].state


def test_a_strangers_exception_around_history_is_history(ledger: rml.Ledger) -> None:
    """Later calls are refused in the same world, though it cannot be rebuilt."""
    trip = Trip()
    trip.fails_with.append(ExceptionGroup("both", [rml.HistoryError("moved")]))  # type: ignore[arg-type]
    trip.fail(ExceptionGroup)

    error = trip.fail(rml.EffectFailedError)

    (opened,) = ledger.entries(kind="incident.opened")
    assert (rml.World.RML3, opened.incident) == (error.world, error.details["incident"])


def test_a_strangers_exception_is_named_by_its_type(ledger: rml.Ledger) -> None:
    """Its text may hold anything."""
    trip = Trip()
    trip.fails_with += [ValueError("card 4242"), ValueError("card 4242")]
    trip.fail(ValueError)

    assert "it raised ValueError" == rml.resume_sagas()[0].trouble


def test_a_coroutine_that_is_thrown_away_leaves_a_running_saga(ledger: rml.Ledger) -> None:
    """Nothing can be awaited then: its lease ends by itself."""

    async def main() -> None:
        never = asyncio.get_running_loop().create_future()

        @rml.idempotent("test.step", key="key")
        async def step(key: str) -> None:
            await never

        @rml.saga("test.saga", key="key", steps={step: None})
        async def body(key: str) -> None:
            await step(key)

        given_up = body("k")
        waiting = given_up.send(None)
        while waiting is not never:
            await asyncio.wait([waiting])
            waiting = given_up.send(None)
        given_up.close()

    asyncio.run(main())

    assert "running" == the_saga(ledger, "k").state
    assert [] == rml.resume_sagas()


def test_a_saga_whose_caller_goes_away_as_it_begins_holds_up_nobody(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is being recorded comes to its end, and is let go of: who resumes it need not wait."""
    trip = Trip(is_async=True)
    taken, gate = threading.Event(), threading.Event()
    take = Run.take

    def slow(run: Run) -> Saga:
        saga = take(run)
        taken.set()
        assert gate.wait(60)
        return saga

    monkeypatch.setattr(Run, "take", slow)

    async def main() -> None:
        task = asyncio.create_task(trip.saga("t-1"))
        await asyncio.to_thread(taken.wait, 60)
        task.cancel()
        await asyncio.sleep(0)
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())

    assert 0 == trip.runs
    assert ["done"] == [saga.state for saga in rml.resume_sagas()]


def test_a_saga_that_was_taken_over_is_not_let_go_of_by_who_had_it_before(
    ledger: rml.Ledger, clock: rml.FrozenClock
) -> None:
    """A process that was suspended comes back: a third one does not begin because of that."""
    begun, gate = threading.Event(), threading.Event()
    runs: list[str] = []

    @rml.idempotent("test.step", key="key")
    def step(key: str) -> None: ...

    @rml.saga("test.saga", key="key", steps={step: None})
    def body(key: str) -> None:
        runs.append(key)
        if len(runs) == 1:
            clock.advance(60)
            other.start()
            assert begun.wait(60)
            raise Busy
        if len(runs) == 2:
            begun.set()
            assert gate.wait(60)

    other = threading.Thread(target=body, args=["k"])
    with pytest.raises(Busy):
        body("k")

    assert [] == rml.resume_sagas()
    gate.set()
    other.join()
    assert 2 == len(runs)
    assert "done" == the_saga(ledger, "k").state


# ------------------------------------------------------------------------------- another version


@attrs.frozen
class Room:
    """What a step returned in an earlier version of the program."""

    number: int


def test_a_value_of_a_class_that_is_gone_is_not_guessed(ledger: rml.Ledger) -> None:
    """The compensator is told why it has none."""
    given: list[rml.Effect] = []
    ends: list[BaseException] = [Busy()]

    @rml.compensator("room.free")
    def free(step: rml.Effect) -> None:
        if ends:
            raise ends.pop()
        given.append(step)

    def defined(returns: type) -> Any:
        def take(key: str) -> Any:
            return Room(7)

        take.__annotations__["return"] = returns
        taken = rml.idempotent("room.take", key="key")(take)

        @rml.saga("room.saga", key="key", steps={taken: free})
        def body(key: str) -> None:
            taken(key)
            raise Declined

        return body

    with pytest.raises(Declined):
        defined(Room)("k")
    defined(int)
    rml.resume_sagas()

    assert (None, False) == (given[0].result, given[0].replay)
    assert "Room" in str(given[0].why_not)

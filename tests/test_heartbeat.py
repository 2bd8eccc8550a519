"""Heartbeats: a slow handler keeps its lease, a lost lease is never brought back, waiters wake.

The ledger's clock moves only when a test says so; the beats themselves come in real time, every
thirtieth of a second.
"""

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from math import inf
from pathlib import Path
from typing import Any

import pytest
from protected import Charges, doubtful, in_other_thread, kinds, the_effect

import rml
from rml.effect.heartbeat import Beat, Running, running

LEASE = 0.1
SECONDS = 60  # in which a busy machine does everything that a test waits for


def until(is_so: Callable[[], bool]) -> None:
    """Look again and again until something is so."""
    pause = threading.Event()
    for _ in range(SECONDS * 200):
        if is_so():
            return
        pause.wait(0.005)
    pytest.fail("it never was so")


def ends_at(ledger: rml.Ledger) -> Any:
    """Return when the lease of the only effect ends."""
    return the_effect(ledger).lease_until


def is_renewed(ledger: rml.Ledger, clock: rml.FrozenClock) -> bool:
    """Say whether the lease is as long as it can be."""
    return bool(ends_at(ledger) == clock.now() + timedelta(seconds=LEASE))


def wait_for_a_beat(beat: Beat) -> None:
    """Return when a lease has been looked at once more, whether or not it was renewed."""
    due = beat.due
    until(lambda: beat.due not in {due, inf})


def outlive(ledger: rml.Ledger, clock: rml.FrozenClock) -> None:
    """Go on for three leases, a little at a time."""
    for _ in range(5):
        clock.advance(LEASE * 0.6)
        until(lambda: is_renewed(ledger, clock))


# Slow is not dead ------------------------------------------------------------------------------


def test_a_handler_that_outlives_its_lease_stays_in_flight(
    ledger: rml.Ledger, clock: rml.FrozenClock
) -> None:
    """Duplicates are told so, nothing is in doubt, and its outcome counts."""

    def slow() -> str:
        outlive(ledger, clock)
        in_other_thread(lambda: charges.fail(rml.InFlightError))
        assert [] == doubtful(ledger)
        return "charged"

    charges = Charges(slow, lease=LEASE)

    assert ["charged"] * 2 == [charges(), charges()]
    assert ["effect.intent", "effect.done"] == kinds(ledger)
    assert (1, False) == (charges.count, charges.attempts[0].owner in running._beats)


def test_an_async_handler_that_outlives_its_lease_stays_in_flight(
    ledger: rml.Ledger, clock: rml.FrozenClock
) -> None:
    """Its loop runs, whatever its task is waiting for."""

    @rml.idempotent("payment.charge", key="key", lease=LEASE)
    async def charge(key: str) -> str:
        await asyncio.to_thread(outlive, ledger, clock)
        return "charged"

    assert "charged" == asyncio.run(charge("pay-1"))
    assert ["effect.intent", "effect.done"] == kinds(ledger)


def test_several_attempts_share_the_beats(ledger: rml.Ledger, clock: rml.FrozenClock) -> None:
    """One that ends takes nothing from the others."""
    inside, ended = threading.Event(), threading.Event()
    got: list[str] = []

    def slow() -> str:
        inside.set()
        assert ended.wait(SECONDS)
        for _ in range(5):
            clock.advance(LEASE * 0.6)
            full = clock.now() + timedelta(seconds=LEASE)
            until(lambda full=full: full in [one.lease_until for one in ledger.effects()])  # type: ignore[misc]
        return "slow"

    charges = Charges(slow, ended.set, lease=LEASE)
    thread = threading.Thread(target=lambda: got.append(charges("pay-1")))
    thread.start()
    assert inside.wait(SECONDS)
    charges("pay-2")
    thread.join(SECONDS)

    assert (["slow"], []) == (got, doubtful(ledger))


def test_a_short_call_writes_its_intent_and_its_outcome(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else: an attempt is only noted until a third of its lease is over."""
    commits: list[object] = []
    write = ledger._store.write

    def counted(*args: Any, **kwargs: Any) -> Any:
        commits.append(args)
        return write(*args, **kwargs)

    monkeypatch.setattr(ledger._store, "write", counted)
    charges = Charges("charged")

    assert "charged" == charges()
    assert 2 == len(commits)
    assert charges.attempts[0].owner not in running._beats


# What is lost stays lost -----------------------------------------------------------------------


def is_let_go(charges: Charges) -> bool:
    """Say whether the last attempt's lease is renewed no more."""
    return charges.attempts[-1].owner not in running._beats


def test_a_lease_that_has_run_out_is_not_brought_back(
    ledger: rml.Ledger, clock: rml.FrozenClock
) -> None:
    """After a step of the clock, or a pause of the process: doubt, as long as it does not end."""

    def slow() -> str:
        before = ends_at(ledger)
        clock.advance(3600)
        until(lambda: is_let_go(charges))
        assert (before, ["pay-1"]) == (ends_at(ledger), doubtful(ledger))
        in_other_thread(lambda: charges.fail(rml.InDoubtError))
        return "too late"

    charges = Charges(slow, lease=LEASE)
    charges.fail(rml.InDoubtError)

    assert ["effect.intent", "incident.opened", "effect.in_doubt", "effect.late"] == kinds(ledger)
    assert ["pay-1"] == doubtful(ledger)


def test_a_clock_that_was_set_back_lengthens_no_lease_for_long(
    ledger: rml.Ledger, clock: rml.FrozenClock
) -> None:
    """The next beat counts from the time that it is now."""

    def slow() -> str:
        clock.set(clock.now() - timedelta(hours=1))
        until(lambda: is_renewed(ledger, clock))
        return "charged"

    charges = Charges(slow, lease=LEASE)

    assert "charged" == charges()


def test_a_beat_renews_no_lease_but_its_own(ledger: rml.Ledger, clock: rml.FrozenClock) -> None:
    """The first attempt was doubted and decided; the second one's lease is its own affair."""
    seen: list[bool] = []

    def first() -> str:
        clock.advance(1)
        (effect,) = ledger.in_doubt()
        ledger.resolve(effect.id, happened=False, by="ada", reason="seen at the provider")
        return str(in_other_thread(charges))

    def second() -> str:
        attempts = charges.attempts
        until(lambda: attempts[0].owner not in running._beats)
        seen.append(attempts[1].owner in running._beats)
        outlive(ledger, clock)
        return "second"

    charges = Charges(first, second, lease=LEASE)
    charges.fail(rml.InDoubtError)

    assert ([True], "second") == (seen, charges())


@pytest.mark.parametrize("error", [rml.LedgerBusyError(), rml.AppendUnknownError(), OSError()])
def test_beats_that_cannot_be_written_let_the_lease_run_out(
    ledger: rml.Ledger,
    clock: rml.FrozenClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    """The handler goes on; one beat that comes in time saves the lease, one after that does not."""
    write = ledger.write
    failed: list[object] = []

    def broken(*_: object, **__: object) -> Any:
        failed.append(error)
        raise error

    def slow() -> str:
        monkeypatch.setattr(ledger, "write", broken)
        until(lambda: len(failed) > 1)
        monkeypatch.setattr(ledger, "write", write)
        outlive(ledger, clock)
        monkeypatch.setattr(ledger, "write", broken)
        clock.advance(LEASE)
        assert ["pay-1"] == doubtful(ledger)
        monkeypatch.setattr(ledger, "write", write)
        until(lambda: is_let_go(charges))
        in_other_thread(lambda: charges.fail(rml.InDoubtError))
        return "too late"

    charges = Charges(slow, lease=LEASE)
    with caplog.at_level(logging.CRITICAL, logger="rml"):
        charges.fail(rml.InDoubtError)

    assert (1, "effect.late") == (charges.count, kinds(ledger)[-1])


def test_a_loop_that_stands_still_keeps_nothing_alive(
    ledger: rml.Ledger, clock: rml.FrozenClock
) -> None:
    """A task that nobody carries on any more is not alive, though its object is."""
    loop = asyncio.new_event_loop()
    inside = asyncio.Event()

    @rml.idempotent("payment.charge", key="key", lease=LEASE)
    async def charge(key: str) -> None:
        inside.set()
        await asyncio.Event().wait()

    task = loop.create_task(charge("pay-1"))
    loop.run_until_complete(inside.wait())
    (beat,) = [beat for beat in running._beats.values() if beat.ledger is ledger]
    for _ in range(2):  # the first one may have begun before the loop stood still
        wait_for_a_beat(beat)
    before = ends_at(ledger)
    clock.advance(LEASE / 2)
    wait_for_a_beat(beat)
    assert before == ends_at(ledger)
    clock.advance(LEASE)
    assert ["pay-1"] == doubtful(ledger)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    assert ledger not in [beat.ledger for beat in running._beats.values()]


def test_a_process_out_of_threads_carries_out_its_calls(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without beats: a long attempt would be doubted, a short one is as ever."""

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    nothing = Running()
    for module in ("call", "idempotent"):
        monkeypatch.setattr(f"rml.effect.{module}.running", nothing)
    monkeypatch.setattr("threading.Thread.start", start)
    charges = Charges("charged")

    assert "charged" == charges()


def watched(monkeypatch: pytest.MonkeyPatch, before: Callable[[], object]) -> list[str]:
    """Do something before each start of a watching thread; return the names of those started."""
    started: list[str] = []
    start = threading.Thread.start

    def starting(thread: threading.Thread) -> None:
        if thread.name == "rml-heartbeat":
            before()
            started.append(thread.name)
        start(thread)

    monkeypatch.setattr("threading.Thread.start", starting)
    return started


def test_short_calls_one_after_the_other_start_one_thread(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks when it was to look first, and does not end because nothing runs just now."""
    some = Running()
    started = watched(monkeypatch, lambda: None)
    pause = threading.Event()
    for number in range(20):
        some.start(ledger, "an effect", f"owner {number}", SECONDS, lambda: True)
        some.end("an effect", f"owner {number}")
        pause.wait(0.002)

    assert ["rml-heartbeat"] == started


def test_an_attempt_ends_while_the_watching_thread_begins(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the garbage collector ends one in that very thread: it waits for nobody."""
    some = Running()
    woken = threading.Event()

    def end_another() -> None:
        with some.waking("another", woken.set):
            some.end("another", "its owner")

    def elsewhere() -> None:
        ending = threading.Thread(target=end_another)
        ending.start()
        ending.join(SECONDS)

    started = watched(monkeypatch, elsewhere)
    some.start(ledger, "an effect", "an owner", SECONDS, lambda: True)
    some.end("an effect", "an owner")

    assert (["rml-heartbeat"], True) == (started, woken.is_set())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_forked_child_renews_nothing(tmp_path: Path, clock: rml.FrozenClock) -> None:
    """What its parent carries out is its parent's; the child carries out its own."""
    with rml.Ledger(tmp_path / "ledger.db", clock=clock) as ledger:

        def forking() -> str:
            child = os.fork()
            if child == 0:
                os._exit(0 if {} == running._beats and running._wakes_at is None else 1)
            _, status = os.waitpid(child, 0)
            outlive(ledger, clock)
            return f"child {status}"

        charges = Charges(forking, lease=LEASE, ledger=ledger)

        assert "child 0" == charges()


# Waiting ---------------------------------------------------------------------------------------


@pytest.fixture
def _no_second_look(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a waiter that nobody wakes sleep longer than a test."""
    for face in ("idempotent", "asynchronous"):
        monkeypatch.setattr(f"rml.effect.{face}.PAUSE_FIRST_SECONDS", 10 * SECONDS)
    yield
    assert {} == running._waiters


def has_waiter() -> bool:
    """Say whether somebody waits."""
    return bool(running._waiters)


@pytest.mark.usefixtures("_no_second_look")
@pytest.mark.parametrize("waits_async", [False, True], ids=["def waits", "async def waits"])
@pytest.mark.parametrize("runs_async", [False, True], ids=["def runs", "async def runs"])
@pytest.mark.parametrize("fails", [False, True], ids=["value", "failure"])
def test_a_waiter_in_the_process_wakes_at_once(
    ledger: rml.Ledger, runs_async: bool, waits_async: bool, fails: bool
) -> None:
    """Threads and tasks, mixed: each is given the owner's value or failure."""
    inside = threading.Event()
    failure = rml.DialogError("no", action=rml.Action.START_COMPENSATION)

    def carry_out() -> str:
        inside.set()
        until(has_waiter)
        if fails:
            raise failure
        return "charged"

    @rml.idempotent("payment.charge", key="key", wait=SECONDS)
    def charge(key: str) -> str:
        return carry_out()

    @rml.idempotent("payment.charge", key="key", wait=SECONDS)
    async def acharge(key: str) -> str:
        return await asyncio.to_thread(carry_out)

    def call(is_async: bool) -> Any:
        try:
            return asyncio.run(acharge("pay-1")) if is_async else charge("pay-1")
        except rml.DialogError as error:
            return error.message

    got: list[Any] = []
    owner = threading.Thread(target=lambda: got.append(call(runs_async)))
    owner.start()
    assert inside.wait(SECONDS)
    got.append(call(waits_async))
    owner.join(SECONDS)

    assert ["no" if fails else "charged"] * 2 == got
    assert 1 == len(ledger.entries(kind="effect.intent"))


@pytest.mark.usefixtures("_no_second_look")
def test_a_cancelled_waiter_is_forgotten(ledger: rml.Ledger) -> None:
    """The owner, which wakes nobody then, goes on to its end."""

    async def main() -> None:
        inside, go_on = asyncio.Event(), asyncio.Event()

        @rml.idempotent("payment.charge", key="key", wait=SECONDS)
        async def charge(key: str) -> str:
            inside.set()
            await go_on.wait()
            return "charged"

        owner = asyncio.create_task(charge("pay-1"))
        await inside.wait()
        waiter = asyncio.create_task(charge("pay-1"))
        await asyncio.to_thread(until, has_waiter)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        assert not has_waiter()
        go_on.set()
        assert "charged" == await owner

    asyncio.run(main())


def test_re_entrance_is_refused_through_nested_calls_and_carried_threads(
    ledger: rml.Ledger,
) -> None:
    """At once, also where a duplicate would wait: it would wait for itself."""
    told: list[str] = []

    def again() -> None:
        told.append(charges.fail(rml.InFlightError).message)

    @rml.idempotent("payment.other", key="key")
    def other(key: str) -> None:
        again()

    def inside() -> str:
        again()
        other("x")
        thread = threading.Thread(target=rml.carried(again))
        thread.start()
        thread.join(SECONDS)
        return "charged"

    charges = Charges(inside, wait=10 * SECONDS)

    assert "charged" == charges()
    assert (3, True) == (len(told), all("from inside itself" in one for one in told))

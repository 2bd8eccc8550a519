"""A duplicate in flight is refused or waits; an attempt that has lost its lease decides nothing."""

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from protected import START, Charges, doubtful, in_other_thread, kinds, the_effect

import rml

FAILED = rml.DialogError("no", action=rml.Action.START_COMPENSATION)


# Duplicates in flight --------------------------------------------------------------------------


def test_a_duplicate_in_flight_is_refused_at_once(ledger: rml.Ledger) -> None:
    """It is told how long the lease lasts, and leaves the owner alone."""
    errors: list[rml.RmlError] = []
    charges = Charges(lambda: in_other_thread(duplicate), lease=30)

    def duplicate() -> str:
        errors.append(charges.fail(rml.InFlightError))
        return "value"

    assert charges() == "value"
    assert [30.0] == [error.retry_after for error in errors]
    assert charges.count == 1
    assert charges() == "value"


def _patient(monkeypatch: pytest.MonkeyPatch, pause: Callable[[float], object]) -> None:
    """Replace the sleep between two looks."""
    monkeypatch.setattr("rml.effect.heartbeat.Running.wait", lambda *given: pause(given[-1]))


@pytest.mark.parametrize("end", ["value", FAILED, rml.HistoryError("moved")], ids=str)
def test_a_waiter_gets_the_owners_value_or_failure(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch, end: Any
) -> None:
    """Both callers get the same; the handler runs once."""
    inside, waiting, ended = (threading.Event() for _ in range(3))

    def handler() -> Any:
        inside.set()
        assert waiting.wait(60)
        if isinstance(end, BaseException):
            raise end
        return end

    def pause(seconds: float) -> None:
        waiting.set()
        assert ended.wait(60)

    _patient(monkeypatch, pause)
    charges = Charges(handler, wait=60)
    got: dict[str, Any] = {}

    def call(who: str) -> None:
        try:
            got[who] = charges()
        except rml.RmlError as error:
            got[who] = error.to_dict()
        if who == "owner":
            ended.set()

    owner = threading.Thread(target=call, args=["owner"])
    owner.start()
    assert inside.wait(60)
    call("waiter")
    owner.join()

    assert got["owner"] == got["waiter"]
    assert charges.count == 1


def test_a_waiter_gives_up_without_touching_the_owner(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It learns that the other is still at it."""
    elapsed = [0.0]
    _patient(monkeypatch, lambda _: elapsed.append(elapsed.pop() + 1))
    monkeypatch.setattr("rml.effect.idempotent.time", SimpleNamespace(monotonic=lambda: elapsed[0]))
    charges = Charges(lambda: in_other_thread(lambda: charges.fail(rml.InFlightError)), wait=5)

    charges()

    assert elapsed == [5.0]
    assert rml.EffectState.DONE is the_effect(ledger).state


def test_a_waiter_finds_the_owner_lost(
    ledger: rml.Ledger, clock: rml.FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the lease runs out while waiting, the effect is in doubt, not taken over."""
    _patient(monkeypatch, lambda _: clock.advance(61))
    seen: list[rml.RmlError] = []

    def handler() -> str:
        in_other_thread(lambda: seen.append(charges.fail(rml.InDoubtError)))
        return "too late"

    charges = Charges(handler, wait=3600)
    charges.fail(rml.InDoubtError)

    assert seen[0].details["incident"] == "INC-2026-0001"
    assert charges.count == 1
    assert ["effect.intent", "incident.opened", "effect.in_doubt", "effect.late"] == kinds(ledger)
    assert ["pay-1"] == doubtful(ledger)


def test_many_threads_one_key(ledger: rml.Ledger) -> None:
    """However many begin at once, one runs; the others wait for its value."""
    charges = Charges("value", wait=60)
    barrier = threading.Barrier(6)
    got: list[Any] = []

    def call() -> None:
        barrier.wait()
        got.append(charges())

    threads = [threading.Thread(target=call) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ["value"] * 6 == got
    assert charges.count == 1
    assert ["effect.intent", "effect.done"] == kinds(ledger)


# Leases ----------------------------------------------------------------------------------------


def test_a_late_finisher_changes_nothing_that_was_decided(
    ledger: rml.Ledger, clock: rml.FrozenClock
) -> None:
    """Its outcome is recorded as late; the decision stands; its caller learns it."""

    def slow() -> str:
        clock.advance(61)
        assert ["pay-1"] == doubtful(ledger)
        (effect,) = ledger.in_doubt()
        ledger.resolve(effect.id, happened=False, by="ada", reason="no charge at the provider")
        return "late value"

    charges = Charges(slow, "second value")

    error = charges.fail(rml.InDoubtError)
    assert "after its lease was lost" in error.message
    doubted = ["effect.intent", "incident.opened", "effect.in_doubt"]
    contradicted = ["effect.resolved", "effect.late", "incident.opened"]
    assert [*doubted, *contradicted] == kinds(ledger)
    assert "DECISION_CONTRADICTED" == list(ledger.entries())[-1].facts["code"]
    (late,) = ledger.entries(kind="effect.late")
    assert late.facts["outcome"] == "effect.done"
    assert rml.EffectState.NOT_DONE is the_effect(ledger).state
    assert charges() == "second value"


def test_a_late_failure_is_recorded_as_late(ledger: rml.Ledger, clock: rml.FrozenClock) -> None:
    """The caller sees the handler's own exception, with a note."""

    def slow() -> str:
        clock.advance(61)
        in_other_thread(lambda: charges.fail(rml.InDoubtError))
        raise rml.ClosedError("nothing happened")

    charges = Charges(slow)

    error = charges.fail(rml.ClosedError)
    assert any("recorded as late" in note for note in error.__notes__)
    assert rml.EffectState.IN_DOUBT is the_effect(ledger).state
    assert charges.count == 1


def test_a_lease_that_ran_out_unnoticed_harms_nobody(
    ledger: rml.Ledger, clock: rml.FrozenClock
) -> None:
    """Slow is not dead: if nobody doubted it meanwhile, its outcome counts."""

    def slow() -> str:
        clock.advance(3600)
        return "value"

    charges = Charges(slow)

    assert charges() == "value"
    assert charges() == "value"


def test_an_attempt_before_the_last_is_late(ledger: rml.Ledger, clock: rml.FrozenClock) -> None:
    """Fenced by its owner's token: it cannot end the attempt of another."""

    def slow() -> str:
        clock.advance(61)
        (effect,) = ledger.in_doubt()
        ledger.resolve(effect.id, happened=False, by="ada", reason="seen at the provider")
        assert in_other_thread(charges) == "second"
        return "first"

    charges = Charges(slow, "second")
    charges.fail(rml.InDoubtError)

    assert charges() == "second"
    assert charges.count == 2


def test_an_incident_opens_for_what_has_happened_twice(
    ledger: rml.Ledger, clock: rml.FrozenClock
) -> None:
    """A decision let it run again, and then the first one comes back: somebody must know."""

    def slow() -> str:
        clock.advance(61)
        (effect,) = ledger.in_doubt()
        ledger.resolve(effect.id, happened=False, by="ada", reason="seen at the provider")
        in_other_thread(charges)
        return "first"

    charges = Charges(slow, "second")
    charges.fail(rml.InDoubtError)

    opened = [entry.facts["code"] for entry in ledger.entries(kind="incident.opened")]
    assert ["EFFECT_IN_DOUBT", "DECISION_CONTRADICTED"] == opened


Meanwhile = Callable[[], object]
Suspend = Callable[[Meanwhile], None]


@pytest.fixture
def suspend(clock: rml.FrozenClock, monkeypatch: pytest.MonkeyPatch) -> Suspend:
    """Have the process stopped for longer than its lease, right after its next commit."""
    write = rml.Ledger.write
    stops: list[Meanwhile] = []

    def stopped(self: rml.Ledger, *args: Any, **kwargs: Any) -> Any:
        written = write(self, *args, **kwargs)
        if stops:
            meanwhile = stops.pop()
            clock.advance(60)
            meanwhile()
        return written

    monkeypatch.setattr(rml.Ledger, "write", stopped)
    return stops.append


def _charge(face: str, ran: list[int]) -> Callable[[str], Any]:
    """Return a handler that counts its attempts."""
    protect = rml.idempotent("payment.charge", key="payment_id")

    def charge(payment_id: str) -> str:
        ran.append(rml.current_effect().attempt)
        return f"charged in attempt {ran[-1]}"

    async def charge_async(payment_id: str) -> str:
        return charge(payment_id)

    if face == "def":
        return protect(charge)
    protected = protect(charge_async)
    return lambda payment_id: asyncio.run(protected(payment_id))


@pytest.mark.parametrize("face", ["def", "async def"])
def test_a_process_that_is_stopped_before_its_handler_begins_anew(
    ledger: rml.Ledger, suspend: Suspend, face: str
) -> None:
    """The attempt whose lease has run out is never carried out; another one is."""
    ran: list[int] = []
    charge = _charge(face, ran)
    suspend(lambda: None)

    assert "charged in attempt 2" == charge("pay-1")
    assert [2] == ran
    assert ["effect.intent", "effect.not_done", "effect.intent", "effect.done"] == kinds(ledger)


@pytest.mark.parametrize("face", ["def", "async def"])
def test_a_process_that_is_stopped_before_its_handler_finds_what_was_decided(
    ledger: rml.Ledger, suspend: Suspend, face: str
) -> None:
    """Nothing had happened when that was decided, and it has happened since: not once more."""
    ran: list[int] = []
    charge = _charge(face, ran)

    def decide() -> None:
        (effect,) = ledger.in_doubt()
        ledger.resolve(effect.id, happened=False, by="ada", reason="not in their books")
        in_other_thread(lambda: charge("pay-1"))

    suspend(decide)

    assert "charged in attempt 2" == charge("pay-1")
    assert [2] == ran
    assert ["effect.not_done"] == [e.facts["outcome"] for e in ledger.entries(kind="effect.late")]


@pytest.mark.parametrize("face", ["def", "async def"])
def test_a_process_that_is_stopped_before_its_handler_leaves_a_doubt_alone(
    ledger: rml.Ledger, suspend: Suspend, face: str
) -> None:
    """It knows better, and says so in the record; who decides reads it there."""
    ran: list[int] = []
    charge = _charge(face, ran)
    suspend(lambda: rml.reconcile(ledger=ledger))

    with pytest.raises(rml.InDoubtError):
        charge("pay-1")

    assert [] == ran
    assert ["pay-1"] == doubtful(ledger)


def test_a_clock_that_steps_back_runs_nothing_again(
    ledger: rml.Ledger, clock: rml.FrozenClock
) -> None:
    """Order comes from the index alone."""
    charges = Charges("value")
    charges()
    clock.set(START - timedelta(days=400))

    assert charges() == "value"


def test_a_hook_that_decides_at_once_is_obeyed(ledger: rml.Ledger, clock: rml.FrozenClock) -> None:
    """Between the doubt and the second look somebody may have decided that it did not happen."""

    def decide(escalation: rml.Escalation) -> None:
        assert escalation.effect is not None
        ledger.resolve(escalation.effect, happened=False, by="hook", reason="the provider says so")

    rml.configure(hooks=[decide])

    def slow() -> str:
        clock.advance(61)
        return str(in_other_thread(charges))

    charges = Charges(slow, "second")

    charges.fail(rml.InDoubtError)
    assert charges() == "second"
    assert charges.count == 2

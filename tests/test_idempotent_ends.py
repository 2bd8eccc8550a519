"""Every way a handler can end, and who is told."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from protected import Charges, doubtful, in_other_thread, kinds, the_effect

import rml

# Every way to end ------------------------------------------------------------------------------


def test_an_error_of_the_closed_world_may_be_tried_again(ledger: rml.Ledger) -> None:
    """Nothing left the room: not done, and the attempt is recorded."""
    charges = Charges(rml.ClosedError("no stock"), "value")

    charges.fail(rml.ClosedError)
    assert rml.EffectState.NOT_DONE is the_effect(ledger).state
    assert charges() == "value"
    assert [1, 2] == [attempt.attempt for attempt in charges.attempts]
    assert ["effect.intent", "effect.not_done", "effect.intent", "effect.done"] == kinds(ledger)


def test_a_retry_with_a_key_that_the_provider_knows(ledger: rml.Ledger) -> None:
    """The same provider key is sent again, until it is done."""
    ends = [rml.DialogError("lost"), rml.DialogError("lost again"), "value"]
    charges = Charges(*ends, provider_idempotent=True)

    charges.fail(rml.DialogError)
    assert rml.EffectState.RETRYING is the_effect(ledger).state
    charges.fail(rml.DialogError)
    assert charges() == "value"
    assert len({attempt.provider_key for attempt in charges.attempts}) == 1


def test_a_retry_that_the_provider_would_not_recognise_is_doubt(ledger: rml.Ledger) -> None:
    """It may have happened: refused until somebody has decided."""
    charges = Charges(rml.DialogError("lost"), "value")

    charges.fail(rml.DialogError)
    charges.fail(rml.InDoubtError)
    assert charges.count == 1
    assert ["pay-1"] == doubtful(ledger)


@pytest.mark.parametrize(
    ("retention", "ends", "after"),
    [
        (None, timedelta(hours=24), timedelta(0)),
        (timedelta(days=7), timedelta(days=7), timedelta(0)),
        (3600, timedelta(hours=1), timedelta(minutes=59)),
    ],
    ids=["default", "a week", "several attempts"],
)
def test_a_key_that_the_provider_may_have_forgotten_is_not_retried(
    ledger: rml.Ledger, clock: rml.FrozenClock, retention: Any, ends: timedelta, after: timedelta
) -> None:
    """It is in doubt, counted from the first attempt that may have happened."""
    lost = [rml.DialogError("lost") for _ in range(3)]
    charges = Charges(*lost, "value", provider_idempotent=True, retention=retention)
    charges.fail(rml.DialogError)
    clock.advance(after)
    charges.fail(rml.DialogError)
    clock.advance(ends - after - timedelta(seconds=1))
    charges.fail(rml.DialogError)
    clock.advance(1)

    error = charges.fail(rml.InDoubtError)

    assert (3, ["pay-1"]) == (charges.count, doubtful(ledger))
    assert error.details["incident"] == "INC-2026-0001"
    (doubt,) = ledger.entries(kind="effect.in_doubt")
    assert "the other side may have forgotten its idempotency key" == doubt.facts["why"]
    charges.fail(rml.InDoubtError)
    (effect,) = ledger.in_doubt()
    ledger.resolve(effect.id, happened=False, by="ada", reason="not in their books")
    assert "value" == charges()


def test_a_clock_that_has_come_back_from_far_away_cannot_tell_for_how_long(
    ledger: rml.Ledger, clock: rml.FrozenClock
) -> None:
    """The provider's clock went on: what a wrong clock has recorded says nothing of the key."""
    charges = Charges(rml.DialogError("lost"), provider_idempotent=True, retention=3600)
    charges.fail(rml.DialogError)
    clock.set(clock.now() - timedelta(days=400))

    charges.fail(rml.InDoubtError)

    assert (1, ["pay-1"]) == (charges.count, doubtful(ledger))


def test_a_definition_that_is_no_longer_idempotent_retries_nothing(
    ledger: rml.Ledger, clock: rml.FrozenClock
) -> None:
    """What an earlier one has left to be retried may have happened: somebody has to decide."""
    Charges(rml.DialogError("lost"), provider_idempotent=True).fail(rml.DialogError)
    charges = Charges("value")
    clock.set(clock.now() - timedelta(seconds=1))

    charges.fail(rml.InDoubtError)

    assert (0, ["pay-1"]) == (charges.count, doubtful(ledger))
    (effect,) = ledger.in_doubt()
    assert "INC-2026-0001" == effect.incident


def test_what_was_certainly_not_done_is_not_forgotten(
    ledger: rml.Ledger, clock: rml.FrozenClock
) -> None:
    """Only an attempt that may have happened needs the provider to remember it."""
    ends = [rml.ClosedError("no stock"), rml.DialogError("lost"), "value"]
    charges = Charges(*ends, provider_idempotent=True, retention=60)

    charges.fail(rml.ClosedError)
    clock.advance(3600)
    charges.fail(rml.DialogError)
    clock.advance(59)
    assert "value" == charges()


def test_two_that_find_a_forgotten_key_record_one_doubt(
    ledger: rml.Ledger, clock: rml.FrozenClock
) -> None:
    """Whoever comes second finds it in doubt already."""
    told: list[rml.Escalation] = []
    rml.configure(hooks=[told.append])
    charges = Charges(rml.DialogError("lost"), provider_idempotent=True, retention=60)
    charges.fail(rml.DialogError)
    clock.advance(60)
    barrier = threading.Barrier(2)

    def call() -> None:
        barrier.wait()
        charges.fail(rml.InDoubtError)

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (1, 1) == (len(told), kinds(ledger).count("effect.in_doubt"))


def test_a_certain_refusal_may_be_tried_again_under_a_new_provider_key(ledger: rml.Ledger) -> None:
    """A provider that remembers refusals would repeat it for the same key."""
    declined = rml.DialogError("declined", happened=False)
    charges = Charges(declined, rml.ClosedError("local"), "value", provider_idempotent=True)
    charges.fail(rml.DialogError)
    charges.fail(rml.ClosedError)
    charges()
    first, second, third = [attempt.provider_key for attempt in charges.attempts]

    assert first != second
    assert second == third


def test_a_failure_to_be_compensated_is_the_same_failure_again(ledger: rml.Ledger) -> None:
    """Final: later callers get it too, with code, details and all."""
    before = rml.DialogError(
        "sold out", code="SOLD_OUT", action=rml.Action.START_COMPENSATION, details={"left": 0}
    )
    charges = Charges(before)

    assert charges.fail(rml.DialogError) is before
    again = charges.fail(rml.DialogError)
    assert before.to_dict() == again.to_dict()
    assert rml.EffectState.FAILED is the_effect(ledger).state
    assert charges.count == 1
    assert "incident.opened" not in kinds(ledger)


class MoneyMovedError(rml.HistoryError):
    """Money moved to a place where it should not be."""

    code = "MONEY_MOVED"


def test_history_opens_an_incident_and_is_the_same_failure_again(ledger: rml.Ledger) -> None:
    """Entry and incident are one commit; a replay gives the same class of error."""
    charges = Charges(MoneyMovedError(details={"account": 7}))

    error = charges.fail(MoneyMovedError)
    again = charges.fail(MoneyMovedError)

    assert error.to_dict() == again.to_dict()
    assert ["effect.intent", "incident.opened", "effect.history"] == kinds(ledger)
    assert the_effect(ledger).incident == "INC-2026-0001"
    assert any("INC-2026-0001" in note for note in error.__notes__)


class _UnprintableError(Exception):
    """An exception that cannot be shown."""

    def __str__(self) -> str:
        raise ZeroDivisionError

    __repr__ = __str__


@pytest.mark.parametrize(
    "end",
    [
        TimeoutError(),
        ValueError("bug"),
        _UnprintableError(),
        KeyboardInterrupt(),
        SystemExit(1),
        GeneratorExit(),
        asyncio.CancelledError(),
        ExceptionGroup("several", [ValueError()]),
        StopIteration(5),
        RecursionError(),
        MemoryError(),
        rml.LedgerBusyError(),
        rml.InvalidInputError("a mistake made after the charge"),
        rml.ClosedError("who knows", happened=None),
    ],
    ids=lambda end: type(end).__name__,
)
def test_everything_else_is_doubt(ledger: rml.Ledger, end: BaseException) -> None:
    """The caller sees the very exception; the effect is in doubt, and an incident is open."""
    charges = Charges(end)

    assert charges.fail(type(end)) is end
    error = charges.fail(rml.InDoubtError)
    assert error.details["incident"] == "INC-2026-0001"
    assert charges.count == 1
    assert ["pay-1"] == doubtful(ledger)
    assert ["effect.intent", "incident.opened", "effect.in_doubt"] == kinds(ledger)


def test_an_error_that_says_that_it_happened_is_done(ledger: rml.Ledger) -> None:
    """There is no value to give again, so later calls are told that it is done."""
    charges = Charges(rml.DialogError("receipt not printed", happened=True))

    charges.fail(rml.DialogError)
    assert rml.EffectState.DONE is the_effect(ledger).state
    charges.fail(rml.ResultUnavailableError)
    assert charges.count == 1


def test_an_error_of_strange_make_is_recorded(ledger: rml.Ledger) -> None:
    """Its class takes no notes and no attributes; the caller still sees it, and nothing else."""

    class ClosedShutError(Exception):
        __slots__ = ()

        def add_note(self, note: str) -> None:
            raise TypeError

    end = ClosedShutError()
    charges = Charges(end)

    assert charges.fail(ClosedShutError) is end
    assert ["pay-1"] == doubtful(ledger)


def test_an_error_whose_text_is_no_unicode_is_recorded(ledger: rml.Ledger) -> None:
    """Message and details are made fit before they are kept."""
    charges = Charges(rml.HistoryError("\ud800", details={"\ud800": "\ud800"}))

    charges.fail(rml.HistoryError)
    assert rml.EffectState.HISTORY is the_effect(ledger).state


def test_an_exception_that_was_raised_before_is_escalated_again(
    ledger: rml.Ledger, tmp_path: Path
) -> None:
    """One object, raised for two keys and in two ledgers: each doubt is heard of, by its own."""
    told: list[rml.Escalation] = []
    rml.configure(hooks=[told.append])
    end = TimeoutError("made once, raised often")
    charges = Charges(end, end, end)
    charges.fail(TimeoutError, "a")
    charges.fail(TimeoutError, "b")
    with rml.Ledger(tmp_path / "other.db") as other, rml.use(ledger=other):
        charges.fail(TimeoutError, "c")
        assert ["effect.intent", "incident.opened", "effect.in_doubt"] == kinds(other)

    assert [1, 2, 1] == [escalation.count for escalation in told]


def test_a_doubt_that_arises_while_another_is_handled_is_its_own(ledger: rml.Ledger) -> None:
    """A refund that is lost while a lost charge is being handled opens an incident of its own."""
    told: list[rml.Escalation] = []
    rml.configure(hooks=[told.append])
    charges = Charges(TimeoutError("charge"))

    @rml.idempotent("payment.refund", key="key")
    def refund(key: str) -> None:
        raise TimeoutError("refund")

    def charge_or_refund() -> None:
        try:
            charges()
        except TimeoutError:
            refund("r")

    with pytest.raises(TimeoutError, match="refund"):
        charge_or_refund()

    operations = ["payment.charge", "payment.refund"]
    assert operations == [escalation.operation for escalation in told]
    assert ["INC-2026-0001", "INC-2026-0002"] == [effect.incident for effect in ledger.effects()]


def test_one_error_through_two_effects_is_one_incident(ledger: rml.Ledger) -> None:
    """What ends the inner effect and then the outer one is told once; both are in doubt."""
    told: list[rml.Escalation] = []
    rml.configure(hooks=[told.append])
    inner = Charges(TimeoutError("lost"))

    @rml.idempotent("order.place", key="key")
    def outer(key: str) -> None:
        inner()

    with pytest.raises(TimeoutError):
        outer("o")

    assert [("payment.charge", 1)] == [(one.operation, one.count) for one in told]
    assert ["o", "pay-1"] == sorted(doubtful(ledger))
    assert {"INC-2026-0001"} == {effect.incident for effect in ledger.in_doubt()}


def test_doubts_of_one_kind_join_one_incident(ledger: rml.Ledger) -> None:
    """One problem is one incident, counted."""
    charges = Charges(*[TimeoutError() for _ in range(3)])
    for n in range(3):
        charges.fail(TimeoutError, f"k{n}")

    assert {"INC-2026-0001"} == {effect.incident for effect in ledger.in_doubt()}
    assert [2, 3] == [entry.facts["count"] for entry in ledger.entries(kind="incident.joined")]


class Unavailable(rml.DialogError):
    """The provider did not answer."""

    action = rml.Action.RETRY_WITH_BACKOFF


def test_a_refusal_after_an_unknown_attempt_proves_nothing_about_that(ledger: rml.Ledger) -> None:
    """The key of the attempt that may have taken effect is the one that is sent again."""
    keys: list[str] = []
    endings = [Unavailable(), ConnectionRefusedError(), "value"]

    @rml.idempotent("payment.charge", key="k", provider_idempotent=True, ledger=ledger)
    def charge(k: str) -> str:
        keys.append(rml.current_effect().provider_key)
        ending = endings[len(keys) - 1]
        if isinstance(ending, Exception):
            raise ending
        return ending

    with pytest.raises(Unavailable):
        charge("pay-1")
    with pytest.raises(ConnectionRefusedError):
        charge("pay-1")
    assert [rml.EffectState.RETRYING] == [effect.state for effect in ledger.effects()]
    assert "value" == charge("pay-1")
    assert 1 == len(set(keys))


# What is still to be run -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["coroutine", "generator", "async generator", "task", "context", "async context"]
)
def test_a_plain_function_that_returns_what_is_still_to_run(ledger: rml.Ledger, kind: str) -> None:
    """It is refused, closed, and stands in doubt: part of it may have run."""

    async def coroutine() -> None: ...

    def generator() -> Iterator[int]:
        yield 1

    async def async_generator() -> Any:
        yield 1

    made = {
        "coroutine": coroutine,
        "generator": generator,
        "async generator": async_generator,
        "task": lambda: asyncio.ensure_future(coroutine()),
        "context": contextlib.contextmanager(generator),
        "async context": contextlib.asynccontextmanager(async_generator),
    }[kind]
    charges = Charges(made)

    async def call() -> None:
        error = charges.fail(rml.DefinitionError)
        assert "make it async def" in str(error)

    asyncio.run(call())

    assert ["pay-1"] == doubtful(ledger)
    assert charges.count == 1


def test_generators_are_refused_at_definition() -> None:
    """Their effect has no single end."""

    def generator(key: str) -> Iterator[int]:
        yield 1

    async def async_generator(key: str) -> Any:
        yield 1

    for handler in (generator, async_generator):
        with pytest.raises(rml.DefinitionError, match="decorates a generator"):
            rml.idempotent("a.b", key="key")(handler)


# Hooks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [ValueError("hook"), SystemExit(1), KeyboardInterrupt()])
def test_a_hook_that_raises_harms_nobody(ledger: rml.Ledger, end: BaseException) -> None:
    """The caller sees the handler's exception; the hook's failure is an entry; others run."""
    told: list[rml.Escalation] = []

    def hook(escalation: rml.Escalation) -> None:
        raise end

    rml.configure(hooks=[hook, told.append])
    charges = Charges(TimeoutError("lost"))

    charges.fail(TimeoutError)
    assert ["INC-2026-0001"] == [escalation.incident for escalation in told]
    assert told[0].gray
    assert told[0].effect == the_effect(ledger).id
    assert kinds(ledger)[-1] == "incident.hook_failed"


def test_hooks_hear_of_a_lost_worker_once(ledger: rml.Ledger, clock: rml.FrozenClock) -> None:
    """Whoever finds the doubt tells; later callers are refused quietly."""
    told: list[rml.Escalation] = []
    rml.configure(hooks=[told.append])

    def slow() -> None:
        clock.advance(61)
        for _ in range(3):
            in_other_thread(lambda: charges.fail(rml.InDoubtError))

    charges = Charges(slow)
    charges.fail(rml.InDoubtError)

    assert [(True, 1)] == [(escalation.opened, escalation.count) for escalation in told]


def test_a_refusal_whose_incident_is_known_is_not_escalated_again(ledger: rml.Ledger) -> None:
    """A boundary that it crosses adds nothing to the incident."""
    charges = Charges(TimeoutError())
    charges.fail(TimeoutError)
    size = ledger.size

    with pytest.raises(rml.InDoubtError), rml.boundary("checkout"):
        charges()

    assert size == ledger.size


def test_a_replayed_failure_of_history_is_not_escalated_again(ledger: rml.Ledger) -> None:
    """Whoever calls again and again adds nothing to the incident."""
    charges = Charges(MoneyMovedError())
    charges.fail(MoneyMovedError)
    size = ledger.size

    with pytest.raises(MoneyMovedError), rml.boundary("checkout"):
        charges()

    assert size == ledger.size


def test_details_of_a_failure_hide_it_from_no_boundary(ledger: rml.Ledger) -> None:
    """A member of its details that is called "incident" is not ours."""
    end = rml.DialogError("no", action=rml.Action.START_COMPENSATION, details={"incident": "x"})
    charges = Charges(end)
    charges.fail(rml.DialogError)
    size = ledger.size

    with pytest.raises(rml.DialogError), rml.boundary("checkout"):
        charges()

    assert size < ledger.size

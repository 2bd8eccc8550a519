"""`@rml.idempotent` on `async def`: who waits differs, and records survive cancellation."""

import asyncio
import gc
import inspect
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

import rml


class Charges:
    """An ``async def`` handler whose ends are written down beforehand."""

    def __init__(self, *ends: Any, **options: Any) -> None:
        self.count = 0
        ends_left = list(ends)

        @rml.idempotent("payment.charge", **{"key": "payment_id", **options})
        async def charge(payment_id: Any = "pay-1", amount: Any = 5) -> Any:
            self.count += 1
            end = ends_left.pop(0) if ends_left else None
            if isinstance(end, BaseException):
                raise end
            return await end() if callable(end) else end

        self.charge = charge

    def __call__(self, *args: Any) -> Coroutine[Any, Any, Any]:
        """Call the handler."""
        return self.charge(*args)

    async def fail(self, kind: type[BaseException], *args: Any) -> Any:
        """Call, and return the error."""
        with pytest.raises(kind) as caught:
            await self.charge(*args)
        return caught.value


def kinds(ledger: rml.Ledger) -> list[str]:
    """Return the kinds of all entries, in order."""
    return [entry.kind for entry in ledger.entries()]


def state(ledger: rml.Ledger) -> str:
    """Return the state of the only effect."""
    (effect,) = ledger.effects()
    return effect.state.value


class Gate:
    """Holds up one method of a ledger's store until it is opened."""

    def __init__(self, ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
        self.arrived, self.opened, self.left = (threading.Event() for _ in range(3))
        self.let_pass = 0
        self.threads: set[int] = set()
        store: Any = ledger._store
        real = getattr(store, method)

        def held(*args: Any, **kwargs: Any) -> Any:
            self.threads.add(threading.get_ident())
            self.let_pass -= 1
            if self.let_pass < 0 and not self.opened.is_set():
                self.arrived.set()
                assert self.opened.wait(60)
            try:
                return real(*args, **kwargs)
            finally:
                if self.arrived.is_set():
                    self.left.set()

        monkeypatch.setattr(store, method, held)

    @asynccontextmanager
    async def held_up(self, work: Coroutine[Any, Any, Any]) -> AsyncIterator[asyncio.Task[Any]]:
        """Start work, enter when it is held up, open at the end."""
        task = asyncio.create_task(work)
        try:
            assert await asyncio.to_thread(self.arrived.wait, 60)
            yield task
        finally:
            self.opened.set()


async def cancelled(task: "asyncio.Task[Any]") -> None:
    """Wait for a task that must end cancelled."""
    with pytest.raises(asyncio.CancelledError):
        await task


async def cancel_delivered(task: "asyncio.Task[Any]", times: int = 1) -> None:
    """Cancel a task, and let the loop turn until it has been told."""
    for _ in range(times):
        task.cancel()
        for _ in range(3):
            await asyncio.sleep(0)


# As the other face -----------------------------------------------------------------------------


def test_a_value_is_given_again_and_the_handler_runs_once(ledger: rml.Ledger) -> None:
    """As with ``def``."""
    charges = Charges({"lines": (1,)})

    async def main() -> list[Any]:
        return [await charges() for _ in range(3)]

    assert [{"lines": (1,)}] * 3 == asyncio.run(main())
    assert charges.count == 1
    assert ["effect.intent", "effect.done"] == kinds(ledger)


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (rml.ClosedError("no"), "not_done"),
        (rml.DialogError("no", happened=False), "not_done"),
        (rml.DialogError("no"), "in_doubt"),
        (rml.DialogError("no", action=rml.Action.START_COMPENSATION), "failed"),
        (rml.HistoryError("no"), "history"),
        (TimeoutError("no"), "in_doubt"),
        (KeyError("no"), "in_doubt"),
        (asyncio.CancelledError("no"), "in_doubt"),
        (GeneratorExit("no"), "in_doubt"),
    ],
    ids=lambda value: None if isinstance(value, str) else repr(value)[:30],
)
def test_a_handlers_end_means_the_same(
    ledger: rml.Ledger, end: BaseException, expected: str
) -> None:
    """Every row of the table; the very exception goes on its way."""
    charges = Charges(end)

    async def main() -> None:
        assert await charges.fail(type(end)) is end

    with suppress(RuntimeError):
        asyncio.run(main())

    assert expected == state(ledger)
    assert charges.count == 1


@pytest.mark.parametrize("kind", ["coroutine", "async generator", "future"])
def test_what_is_returned_to_be_run_later_is_refused(ledger: rml.Ledger, kind: str) -> None:
    """Its effect has not ended, so nobody knows; awaited inside, it would have."""

    async def later() -> None:
        """Do nothing yet."""

    async def stream() -> AsyncIterator[int]:
        yield 1

    async def main() -> None:
        made: dict[str, Callable[[], Any]] = {
            "coroutine": later,
            "async generator": stream,
            "future": asyncio.get_running_loop().create_future,
        }
        charges = Charges(lambda: _given(made[kind]()))
        error = await charges.fail(rml.DefinitionError)
        assert "still to be run" in error.message

    asyncio.run(main())

    assert state(ledger) == "in_doubt"


async def _given(value: Any) -> Any:
    """Return a value without awaiting it."""
    return value


class _UnprintableError(Exception):
    """An exception that cannot be shown."""

    def __str__(self) -> str:
        raise ZeroDivisionError

    __repr__ = __str__


def test_neither_a_hook_nor_an_exception_of_strange_make_hides_what_happened(
    ledger: rml.Ledger,
) -> None:
    """The caller sees the handler's exception; the hook's failure is an entry."""

    def hook(escalation: rml.Escalation) -> None:
        raise SystemExit(1)

    rml.configure(hooks=[hook])
    end = _UnprintableError()
    charges = Charges(end)

    async def main() -> None:
        assert await charges.fail(_UnprintableError) is end

    asyncio.run(main())

    assert state(ledger) == "in_doubt"
    assert kinds(ledger)[-1] == "incident.hook_failed"


@pytest.mark.parametrize("end", [KeyboardInterrupt(), SystemExit(3)], ids=repr)
def test_what_ends_the_loop_is_recorded_first(ledger: rml.Ledger, end: BaseException) -> None:
    """An interrupt inside a handler goes through the loop, and the effect is in doubt."""
    charges = Charges(end)

    with pytest.raises(type(end)):
        asyncio.run(charges())

    assert state(ledger) == "in_doubt"


def test_keys_and_requests_are_checked_before_anything_runs(ledger: rml.Ledger) -> None:
    """When awaited, as with every ``async def``."""
    charges = Charges()

    async def main() -> None:
        await charges.fail(rml.KeyMissingError, "")
        await charges.fail(rml.InvalidInputError, "k", 0.5)
        await charges("k", 1)
        await charges.fail(rml.FingerprintMismatchError, "k", 2)

    asyncio.run(main())

    assert (1, 2) == (charges.count, ledger.size)


def test_the_decorated_function_looks_like_the_function() -> None:
    """A coroutine function with the same signature."""

    async def charge(key: str, *, amount: int = 5) -> dict[str, int]:
        """Charge a card."""
        return {}

    decorated = rml.idempotent("payment.charge", key="key")(charge)

    assert inspect.iscoroutinefunction(decorated)
    assert inspect.signature(charge) == inspect.signature(decorated)
    assert ("charge", "Charge a card.") == (decorated.__name__, decorated.__doc__)


def test_methods(ledger: rml.Ledger) -> None:
    """The receiver does not count."""

    class Gateway:
        @rml.idempotent("gateway.charge", key="key")
        async def charge(self, key: str) -> str:
            return rml.current_effect().key

    async def main() -> list[str]:
        return [await Gateway().charge("k"), await Gateway().charge("k")]

    assert ["k", "k"] == asyncio.run(main())
    assert ledger.size == 2


def test_the_running_attempt_belongs_to_its_task(ledger: rml.Ledger) -> None:
    """Tasks that run at once each see their own; so do those that they start."""

    async def key() -> str:
        return rml.current_effect().key

    @rml.idempotent("payment.charge", key="payment_id")
    async def charge(payment_id: str) -> tuple[str, str, str]:
        before = rml.current_effect().key
        async with asyncio.TaskGroup() as group:
            inside = group.create_task(key())
        return before, inside.result(), rml.current_effect().key

    async def main() -> list[Any]:
        return await asyncio.gather(*[charge(f"k{n}") for n in range(5)])

    assert [(f"k{n}",) * 3 for n in range(5)] == asyncio.run(main())


def test_recursion_with_the_same_key_is_refused_at_once(ledger: rml.Ledger) -> None:
    """Also through a task; another key is another effect."""

    @rml.idempotent("a.b", key="key", wait=3600)
    async def descend(key: int, same: bool) -> int:
        if key == 3:
            return key
        inner = descend(key if same else key + 1, same)
        return await asyncio.create_task(inner)

    async def main() -> None:
        assert await descend(1, same=False) == 3
        with pytest.raises(rml.InFlightError, match="from inside itself"):
            await descend(0, same=True)

    asyncio.run(main())


def test_sync_and_async_share_one_key(ledger: rml.Ledger) -> None:
    """The operation's name is what counts, in both directions, in flight too."""

    @rml.idempotent("payment.charge", key="key")
    def plain(key: str) -> str:
        return "plain"

    @rml.idempotent("payment.charge", key="key")
    async def other(key: str) -> str:
        if key == "c":
            with pytest.raises(rml.InFlightError):
                await asyncio.to_thread(_outside, plain, key)
        return "async"

    async def main() -> list[str]:
        first = [await other("a"), plain("a"), plain("b"), await other("b")]
        return [*first, await other("c"), plain("c")]

    assert ["async", "async", "plain", "plain", "async", "async"] == asyncio.run(main())
    assert ledger.size == 6


def _outside(function: Callable[[str], Any], key: str) -> Any:
    """Call a function in a thread that inherits nothing from the caller."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append((function(key), None))
        except rml.RmlError as error:
            outcome.append((None, error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    value, error = outcome[0]
    if error is not None:
        raise error
    return value


# Duplicates in flight --------------------------------------------------------------------------


def test_many_tasks_one_key(ledger: rml.Ledger) -> None:
    """However many begin at once, one runs and the others are given its value."""
    charges = Charges("value", wait=60)

    async def main() -> list[Any]:
        return await asyncio.gather(*[charges() for _ in range(10)])

    assert ["value"] * 10 == asyncio.run(main())
    assert charges.count == 1
    assert ["effect.intent", "effect.done"] == kinds(ledger)


def _patient(monkeypatch: pytest.MonkeyPatch, pause: Callable[[float], Awaitable[object]]) -> None:
    """Replace the sleep between two looks."""
    monkeypatch.setattr("rml.effect.asynchronous._rest", lambda _, seconds: pause(seconds))


@pytest.mark.parametrize("end", ["value", rml.HistoryError("moved")], ids=str)
def test_a_waiter_gets_the_owners_value_or_failure(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch, end: Any
) -> None:
    """The event loop runs meanwhile; the handler runs once."""

    async def main() -> None:
        inside, waiting, ended = (asyncio.Event() for _ in range(3))

        async def handler() -> Any:
            inside.set()
            await waiting.wait()
            if isinstance(end, BaseException):
                raise end
            return end

        async def pause(seconds: float) -> None:
            waiting.set()
            await ended.wait()

        _patient(monkeypatch, pause)
        charges = Charges(handler, wait=60)
        owner = asyncio.create_task(charges())
        owner.add_done_callback(lambda _: ended.set())
        await inside.wait()
        found = await asyncio.gather(owner, charges(), return_exceptions=True)
        told = [one.to_dict() if isinstance(one, rml.RmlError) else one for one in found]

        assert told[0] == told[1]
        assert charges.count == 1

    asyncio.run(main())


def test_a_cancelled_waiter_never_touches_the_owner(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stops waiting; the owner goes on to its end."""

    async def main() -> None:
        inside, waiting, go_on = (asyncio.Event() for _ in range(3))

        async def handler() -> str:
            inside.set()
            await go_on.wait()
            return "value"

        async def pause(seconds: float) -> None:
            waiting.set()
            await asyncio.Event().wait()

        _patient(monkeypatch, pause)
        charges = Charges(handler, wait=60)
        owner = asyncio.create_task(charges())
        await inside.wait()
        waiter = asyncio.create_task(charges())
        await waiting.wait()
        waiter.cancel()
        await cancelled(waiter)
        go_on.set()

        assert await owner == "value"
        assert charges.count == 1

    asyncio.run(main())
    assert ["effect.intent", "effect.done"] == kinds(ledger)


def test_a_waiter_finds_the_owner_lost(
    ledger: rml.Ledger, clock: rml.FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In doubt, not taken over; the owner's outcome is late."""

    async def main() -> None:
        inside, go_on = asyncio.Event(), asyncio.Event()

        async def handler() -> str:
            inside.set()
            await go_on.wait()
            return "too late"

        async def pause(seconds: float) -> None:
            clock.advance(61)

        _patient(monkeypatch, pause)
        charges = Charges(handler, wait=3600)
        owner = asyncio.create_task(charges())
        await inside.wait()
        await charges.fail(rml.InDoubtError)
        go_on.set()
        with pytest.raises(rml.InDoubtError, match="after its lease was lost"):
            await owner
        assert charges.count == 1

    asyncio.run(main())
    assert ["effect.intent", "incident.opened", "effect.in_doubt", "effect.late"] == kinds(ledger)


def test_no_store_work_happens_in_the_loops_own_thread(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither looking nor writing blocks the event loop."""
    gates = [Gate(ledger, monkeypatch, method) for method in ("write", "effect")]
    for gate in gates:
        gate.opened.set()
    charges = Charges("value", TimeoutError())

    async def main() -> int:
        await charges("a")
        await charges("a")
        await charges.fail(TimeoutError, "b")
        await charges.fail(rml.InDoubtError, "b")
        return threading.get_ident()

    loop_thread = asyncio.run(main())

    assert all(gate.threads for gate in gates)
    assert all(loop_thread not in gate.threads for gate in gates)


# Cancelled -------------------------------------------------------------------------------------


def test_cancelled_before_the_intent_is_durable(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handler was certainly never called: that is recorded, and the next call runs."""
    gate = Gate(ledger, monkeypatch, "write")
    charges = Charges("value")

    async def main() -> None:
        async with gate.held_up(charges()) as task:
            await cancel_delivered(task, 2)
        await cancelled(task)
        assert charges.count == 0
        assert state(ledger) == "not_done"
        assert await charges() == "value"

    asyncio.run(main())
    assert ["effect.intent", "effect.not_done", "effect.intent", "effect.done"] == kinds(ledger)


@pytest.mark.parametrize("error", [rml.LedgerBusyError(), rml.AppendUnknownError()], ids=repr)
def test_cancelled_while_the_intent_fails(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch, error: rml.RmlError
) -> None:
    """Nothing was promised; the cancellation is what the caller sees."""
    gate = Gate(ledger, monkeypatch, "write")
    charges = Charges("value")
    store: Any = ledger._store
    held = store.write

    def failing(*args: Any, **kwargs: Any) -> Any:
        held(lambda _: None, timeout=1)
        raise error

    async def main() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(store, "write", failing)
            async with gate.held_up(charges()) as task:
                await cancel_delivered(task)
            await cancelled(task)
        assert charges.count == ledger.size == 0
        assert await charges() == "value"

    asyncio.run(main())


def test_cancelled_while_looking(ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is recorded at all."""
    store: Any = ledger._store
    gate = Gate(ledger, monkeypatch, "last" if hasattr(store, "last") else "effect")
    charges = Charges("value")

    async def main() -> None:
        async with gate.held_up(charges()) as task:
            await cancel_delivered(task)
            await cancelled(task)
        assert (0, 0) == (charges.count, ledger.size)
        assert await charges() == "value"

    asyncio.run(main())


def test_cancelled_inside_the_handler(ledger: rml.Ledger) -> None:
    """Somewhere in the middle: in doubt, with an incident, whatever a retry would like."""

    async def main() -> None:
        inside = asyncio.Event()

        async def handler() -> None:
            inside.set()
            await asyncio.Event().wait()

        charges = Charges(handler, "second")
        task = asyncio.create_task(charges())
        await inside.wait()
        task.cancel()
        await cancelled(task)
        assert state(ledger) == "in_doubt"
        await charges.fail(rml.InDoubtError)
        assert charges.count == 1

    asyncio.run(main())
    assert ["effect.intent", "incident.opened", "effect.in_doubt"] == kinds(ledger)


def test_cancelled_again_while_the_doubt_is_recorded(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often: the record is finished before the task ends."""
    gate = Gate(ledger, monkeypatch, "write")
    gate.let_pass = 1

    async def main() -> None:
        inside = asyncio.Event()

        async def handler() -> None:
            inside.set()
            await asyncio.Event().wait()

        charges = Charges(handler)
        task = asyncio.create_task(charges())
        await inside.wait()
        task.cancel()
        assert await asyncio.to_thread(gate.arrived.wait, 60)
        await cancel_delivered(task, 3)
        assert not task.done()
        gate.opened.set()
        await cancelled(task)

    asyncio.run(main())
    assert state(ledger) == "in_doubt"


def test_cancelled_while_the_outcome_is_recorded(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is done, and stays done; the caller is cancelled, the next is given the value."""
    gate = Gate(ledger, monkeypatch, "write")
    gate.let_pass = 1
    charges = Charges("value")

    async def main() -> None:
        async with gate.held_up(charges()) as task:
            await cancel_delivered(task, 3)
            assert not task.done()
        await cancelled(task)
        assert await charges() == "value"

    asyncio.run(main())
    assert charges.count == 1
    assert ["effect.intent", "effect.done"] == kinds(ledger)


def test_cancelled_while_a_failure_is_recorded(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the handler raised is recorded as what it is."""
    gate = Gate(ledger, monkeypatch, "write")
    gate.let_pass = 1
    charges = Charges(rml.ClosedError("no"), "value")

    async def main() -> None:
        async with gate.held_up(charges()) as task:
            await cancel_delivered(task)
        with pytest.raises((rml.ClosedError, asyncio.CancelledError)):
            await task
        assert state(ledger) == "not_done"
        assert await charges() == "value"

    asyncio.run(main())


def test_a_timeout_around_the_call(ledger: rml.Ledger) -> None:
    """It cancels the handler in the middle, so there is doubt."""

    async def main() -> None:
        deadline = asyncio.timeout(None)

        async def handler() -> None:
            deadline.reschedule(asyncio.get_running_loop().time())
            await asyncio.Event().wait()

        charges = Charges(handler)

        async def impatient() -> None:
            async with deadline:
                await charges()

        with pytest.raises(TimeoutError):
            await impatient()
        await charges.fail(rml.InDoubtError)

    asyncio.run(main())
    assert state(ledger) == "in_doubt"


def test_a_timeout_in_the_handler(ledger: rml.Ledger) -> None:
    """What it was waiting for may have happened."""

    async def handler() -> None:
        async with asyncio.timeout(0):
            await asyncio.Event().wait()

    charges = Charges(handler)

    async def main() -> None:
        await charges.fail(TimeoutError)
        await charges.fail(rml.InDoubtError)

    asyncio.run(main())
    assert state(ledger) == "in_doubt"


def test_a_failing_sibling_cancels_into_doubt(ledger: rml.Ledger) -> None:
    """A task group that cancels its members leaves no key stuck in flight."""

    async def main() -> None:
        inside = asyncio.Event()

        async def handler() -> None:
            inside.set()
            await asyncio.Event().wait()

        async def sibling() -> None:
            await inside.wait()
            raise KeyError

        async with asyncio.TaskGroup() as group:
            group.create_task(Charges(handler)())
            group.create_task(sibling())

    with pytest.raises(ExceptionGroup):
        asyncio.run(main())
    assert state(ledger) == "in_doubt"


class _Pause:
    """An awaitable that hands a mark to whoever drives the coroutine by hand."""

    MARK = "paused"

    def __await__(self) -> Generator[str, None, None]:
        yield self.MARK


async def _drive_to_pause(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Drive a coroutine by hand, waiting for its futures, until it reaches a ``_Pause``."""
    while (waiting := coroutine.send(None)) != _Pause.MARK:
        waiting._asyncio_future_blocking = False
        await asyncio.wait([waiting])


@pytest.mark.parametrize("how", ["closed", "forgotten"])
def test_a_coroutine_that_is_given_up(ledger: rml.Ledger, how: str) -> None:
    """``GeneratorExit`` allows no more awaiting; the doubt is recorded all the same."""

    async def main() -> None:
        async def handler() -> None:
            await _Pause()

        charges = Charges(handler)
        coroutine = charges()
        await _drive_to_pause(coroutine)
        if how == "closed":
            coroutine.close()
        else:
            del coroutine
            gc.collect()
        await charges.fail(rml.InDoubtError)

    asyncio.run(main())
    assert state(ledger) == "in_doubt"


def test_a_coroutine_that_outlives_its_loop(ledger: rml.Ledger) -> None:
    """Given up outside of any loop, in another context: recorded, and no other error is raised."""
    held: list[Coroutine[Any, Any, Any]] = []

    async def main() -> None:
        async def handler() -> None:
            await _Pause()

        held.append(Charges(handler)())
        await _drive_to_pause(held[0])

    asyncio.run(main())
    held[0].close()

    assert state(ledger) == "in_doubt"


def test_a_coroutine_that_is_given_up_before_its_intent_is_durable(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch, clock: rml.FrozenClock
) -> None:
    """The handler is not called; an intent that became durable all the same ends in doubt."""
    gate = Gate(ledger, monkeypatch, "write")
    charges = Charges("value")

    async def main() -> None:
        coroutine = charges()
        while not gate.arrived.is_set():
            waiting = coroutine.send(None)
            waiting._asyncio_future_blocking = False
            arrived = asyncio.ensure_future(asyncio.to_thread(gate.arrived.wait, 60))
            await asyncio.wait([waiting, arrived], return_when=asyncio.FIRST_COMPLETED)
        coroutine.close()
        gate.opened.set()
        assert await asyncio.to_thread(gate.left.wait, 60)

    asyncio.run(main())
    assert charges.count == 0
    assert state(ledger) == "in_flight"
    clock.advance(61)
    assert state(ledger) == "in_doubt"


# When the ledger fails -------------------------------------------------------------------------


def test_an_outcome_that_cannot_be_recorded_becomes_doubt(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch, clock: rml.FrozenClock
) -> None:
    """As with ``def``; the handler never runs a second time."""
    store: Any = ledger._store
    write, calls = store.write, []

    def broken(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) > 1:
            raise rml.LedgerUnavailableError
        return write(*args, **kwargs)

    charges = Charges("value")

    async def main() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(store, "write", broken)
            error = await charges.fail(rml.OutcomeNotRecordedError)
            assert error.happened is True
            assert isinstance(error.__cause__, rml.LedgerUnavailableError)
        await charges.fail(rml.InFlightError)
        clock.advance(61)
        await charges.fail(rml.InDoubtError)

    asyncio.run(main())
    assert charges.count == 1
    assert ["pay-1"] == [effect.key for effect in ledger.in_doubt()]


def test_the_ledger_in_use_is_that_of_the_task(ledger: rml.Ledger) -> None:
    """Tasks of two tenants at once record in two ledgers."""

    async def main() -> list[list[str]]:
        with rml.Ledger("memory:") as first, rml.Ledger("memory:") as second:

            async def charge(one: rml.Ledger, key: str) -> None:
                with rml.use(ledger=one):
                    await Charges("value")(key)

            await asyncio.gather(charge(first, "a"), charge(second, "b"))
            return [[effect.key for effect in one.effects()] for one in (first, second, ledger)]

    assert [["a"], ["b"], []] == asyncio.run(main())

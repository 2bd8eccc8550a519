"""However an `async def` handler is cancelled or given up, what is recorded is what is known."""

import asyncio
import gc
from collections.abc import Coroutine, Generator
from typing import Any

import pytest
from protected import kinds
from protected_async import Charges, Gate, cancel_delivered, cancelled, state

import rml


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


@pytest.mark.parametrize("is_done", [False, True])
def test_cancelled_while_looking(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch, is_done: bool
) -> None:
    """The look comes to its end; the handler is not called, and nothing is in doubt."""
    store: Any = ledger._store
    charges = Charges("value")

    async def main() -> None:
        if is_done:
            await charges()
        gate = Gate(ledger, monkeypatch, "last" if hasattr(store, "last") else "effect")
        async with gate.held_up(charges()) as task:
            await cancel_delivered(task)
        await cancelled(task)
        assert (int(is_done), "done" if is_done else "not_done") == (charges.count, state(ledger))
        assert await charges() == "value"

    asyncio.run(main())
    never = [] if is_done else ["effect.intent", "effect.not_done"]
    assert [*never, "effect.intent", "effect.done"] == kinds(ledger)


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

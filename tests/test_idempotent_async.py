"""`@rml.idempotent` on `async def`: the same as on `def`, and only who waits differs."""

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from protected import in_other_thread, kinds
from protected_async import Charges, Gate, cancelled, state

import rml

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
                await asyncio.to_thread(in_other_thread, lambda: plain(key))
        return "async"

    async def main() -> list[str]:
        first = [await other("a"), plain("a"), plain("b"), await other("b")]
        return [*first, await other("c"), plain("c")]

    assert ["async", "async", "plain", "plain", "async", "async"] == asyncio.run(main())
    assert ledger.size == 6


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

"""What the tests of protected `async def` handlers share: a scripted one, a gate, cancellation."""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
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

"""How store work leaves the event loop: a few threads, and waits that cannot be cut short."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, ParamSpec, TypeVar

from rml.context import carried

P = ParamSpec("P")
R = TypeVar("R")

# Commits that wait at the same time are flushed together, so a few more threads than disks are
# worth having.
_THREADS_MAX: Final = 16

_pool: ThreadPoolExecutor | None = None
_pool_pid: int | None = None


def _threads() -> ThreadPoolExecutor:
    global _pool, _pool_pid
    if _pool is None or _pool_pid != os.getpid():
        _pool, _pool_pid = ThreadPoolExecutor(_THREADS_MAX, thread_name_prefix="rml"), os.getpid()
    return _pool


def begin(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[R]:
    """Start a function in a thread, in the caller's context."""
    job = carried(function)
    return asyncio.get_running_loop().run_in_executor(_threads(), lambda: job(*args, **kwargs))


async def run(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a function in a thread; a cancelled caller stops waiting, the function goes on."""
    return await asyncio.shield(begin(function, *args, **kwargs))


def apart(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Future[R]:
    """Start what is no store work and may take long in a thread of its own, as :func:`begin`."""
    job = carried(function)
    ended: Future[R] = Future()
    ended.set_running_or_notify_cancel()

    def run_apart() -> None:
        try:
            value = job(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - it is read from the future
            ended.set_exception(error)
        else:
            ended.set_result(value)

    try:
        threading.Thread(target=run_apart, name="rml-apart").start()
    except RuntimeError:  # out of threads: late is better than never
        run_apart()
    return ended


async def outcome(
    work: Awaitable[R] | Future[R],
) -> tuple[asyncio.CancelledError | None, Any, BaseException | None]:
    """Wait for work to its end, whoever cancels; return (cancellation, value, the work's error)."""
    future = asyncio.wrap_future(work) if isinstance(work, Future) else asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError as error:
            if future.cancelled():
                return error, None, error
            cancelled = error
        except GeneratorExit:  # given up: nothing can be awaited any more; the work goes on
            raise
        except BaseException:  # noqa: BLE001 - it is read from the future below
            break
    trouble = future.exception()
    return cancelled, None if trouble is not None else future.result(), trouble


def run_to_end(work: Awaitable[R]) -> R:
    """Run an awaitable from code that is not async, in a thread of its own under a running loop."""

    async def awaited() -> R:
        return await work

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(awaited())
    return apart(asyncio.run, awaited()).result()

"""How store work leaves the event loop: a few threads, and waits that cannot be cut short."""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import os
import sys
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, Final, ParamSpec, TypeVar

from rml.context import carried

P = ParamSpec("P")
R = TypeVar("R")

# Commits that wait at the same time are flushed together, so a few more threads than disks are
# worth having.
_THREADS_MAX: Final = 16


_Job = tuple[Callable[[], Any], asyncio.AbstractEventLoop, asyncio.Future[Any]]
"""What is to be done, and the future that its loop is to be told of."""


class _Pool:
    """Threads that do store work for event loops, started as they are needed.

    ``concurrent.futures`` has a lock and a future of its own for each job, for callers of every
    kind: a way there and back costs twice as much as here, and more than what most calls ask.
    """

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Have no threads: at first, and in a forked child."""
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        # Reentrant: the garbage collector may end an abandoned coroutine, which records that, here.
        self._mutex = threading.RLock()
        self._threads: list[threading.Thread] = []
        self._open = 0  # jobs that have not ended, and so as many threads as are busy or wanted

    def add(self, job: _Job) -> None:
        """Have a thread do a job.

        Raises:
            RuntimeError: no thread can be started, and there is none.
        """
        with self._mutex:
            if self._open >= len(self._threads) < _THREADS_MAX:
                self._start_thread()
            self._open += 1
        self._jobs.put(job)

    def _start_thread(self) -> None:
        # Daemons, for it is `end` that waits for them; the interpreter would, before `end` is told.
        thread = threading.Thread(target=self._work, name=f"rml-{len(self._threads)}", daemon=True)
        try:
            _start(thread)
        except RuntimeError:
            if not self._threads:
                raise
        else:
            self._threads.append(thread)

    def _work(self) -> None:
        for work, loop, ended in iter(self._jobs.get, None):
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_settle, ended, *self._outcome(work))
            # An error holds the frames that it came through, this one among them; not for ever.
            del work, loop, ended

    def _outcome(self, work: Callable[[], R]) -> tuple[R | None, BaseException | None]:
        try:
            return work(), None
        except BaseException as error:  # noqa: BLE001 - it is read from the future
            return None, error
        finally:
            with self._mutex:
                self._open -= 1

    def end(self) -> None:
        """Finish all jobs, at the program's end: what has been done is still recorded."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()


def _start(thread: threading.Thread) -> None:
    """Start a thread.

    Raises:
        RuntimeError: it would never come to run, for which Python 3.11 would wait for ever.
    """
    if sys.is_finalizing():
        raise RuntimeError("no thread can be started while the interpreter ends")
    thread.start()


_pool: Final = _Pool()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.begin_anew)
atexit.register(_pool.end)


def begin(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[R]:
    """Start a function in a thread, in the caller's context."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[R] = loop.create_future()
    work = partial(contextvars.copy_context().run, function, *args, **kwargs)
    _pool.add((work, loop, ended))
    return ended


def _settle(ended: asyncio.Future[Any], value: Any, trouble: BaseException | None) -> None:
    if ended.done():  # its caller has stopped waiting
        return
    if trouble is None:
        ended.set_result(value)
    elif isinstance(trouble, StopIteration):  # no future takes one
        ended.set_exception(RuntimeError("a function raised StopIteration"))
    else:
        ended.set_exception(trouble)


async def run(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a function in a thread; a cancelled caller stops waiting, the function goes on."""
    return await begin(function, *args, **kwargs)


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
        _start(threading.Thread(target=run_apart, name="rml-apart"))
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

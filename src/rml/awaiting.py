"""How code that is not async awaits: in a greenlet, from which a coroutine takes what to await.

So what decides and records is written once, and speaks to a database through a connection of either
kind. No thread waits for anything, and the event loop goes on. SQLAlchemy's ``run_sync`` does the
same, and code that it has begun can await here too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from rml import threads
from rml.error import MissingExtraError

try:
    from greenlet import getcurrent, greenlet
except ImportError as _error:
    raise MissingExtraError.about("postgres") from _error

R = TypeVar("R")


class _Awaited(greenlet):
    """Code that is not async, in the context of the task that awaits it."""

    def __init__(self, work: Callable[[], Any]) -> None:
        around = getcurrent()
        super().__init__(work, around)
        self.gr_context = around.gr_context


async def run(work: Callable[[], R]) -> R:
    """Run code that is not async, in which :func:`wait_for` awaits."""
    inner = _Awaited(work)
    wanted = inner.switch()
    while not inner.dead:
        try:
            value = await wanted
        except GeneratorExit:
            _give_up(inner)
            raise
        except BaseException:  # noqa: BLE001 - it is the code's to handle
            wanted = inner.throw(*sys.exc_info())
        else:
            wanted = inner.switch(value)
    result: R = wanted
    return result


def _give_up(inner: _Awaited) -> None:
    """End code whose coroutine was thrown away: whatever it still wants, nobody can await it."""
    while not inner.dead:
        wanted = inner.throw(GeneratorExit)
        if not inner.dead:
            wanted.close()


def wait_for(waiting: Coroutine[Any, Any, R]) -> R:
    """Return what a coroutine returns, to code that :func:`is_awaited`."""
    current = getcurrent()
    if not isinstance(current, _Awaited):
        from sqlalchemy.util import await_only

        found: R = await_only(waiting)
        return found
    assert current.parent is not None
    value: R = current.parent.switch(waiting)
    return value


def is_awaited() -> bool:
    """Say whether a coroutine runs the present code, so that it can await."""
    if isinstance(getcurrent(), _Awaited):
        return True
    theirs = sys.modules.get("sqlalchemy.util.concurrency")
    return theirs is not None and bool(theirs.in_greenlet())


def aside(work: Callable[[], R]) -> R:
    """Do what would keep the event loop in a thread, and return what it returns."""
    return wait_for(threads.run(work)) if is_awaited() else work()


async def to_the_end(work: Callable[[], Coroutine[Any, Any, R]]) -> R:
    """Await what a function begins to its end, and be cancelled only then."""
    cancelled, value, trouble = await threads.outcome(work())
    if trouble is not None:
        raise trouble
    if cancelled is not None:
        raise cancelled
    result: R = value
    return result

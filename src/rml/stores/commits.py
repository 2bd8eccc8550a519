"""Whose turn it is to commit in this process: callers queue, and one leads and commits for all.

A lone caller leads at once and pays for no hand-over. An interrupt may come between any two steps,
so what has to be undone is held by ``with`` on locks that the interpreter itself takes and
releases, and nobody relies on being woken: a caller looks again after :data:`LOOK_SECONDS`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

import attrs

from rml.ledger.store import Transaction

# How long a caller in the queue sleeps before it looks whether somebody still leads, in seconds.
LOOK_SECONDS: Final = 0.05
# Commits that are waiting share one flush; more than this would make the first of them wait too
# long.
BATCH_MAX: Final = 512
# How long a leader sleeps between two looks whether the callers of the last batch are back, in
# seconds: much less than a flush, of which they would otherwise pay for one more.
GATHER_SECONDS: Final = 0.00005
# How many callers are woken at once when a batch has ended; each of them wakes one more. All at
# once, they would stand in the way of each other and of the next leader, waiting for the
# interpreter.
WAKE_MAX: Final = 8


def _shut() -> threading.Lock:
    gate = threading.Lock()
    gate.acquire()
    return gate


@attrs.define(eq=False)
class Waiting:
    """One caller's work, waiting for whoever commits next."""

    work: Callable[[Transaction], Any]
    done: bool = False
    result: Any = None
    error: BaseException | None = None
    _gate: threading.Lock = attrs.field(factory=_shut)  # open once its caller is to look

    def end(self, error: BaseException | None) -> None:
        """Take the work's end down."""
        self.error = self.error or error
        self.done = True

    def wake(self) -> None:
        """Let the caller look now, or as soon as it would sleep."""
        with suppress(RuntimeError):  # it is told so already
            self._gate.release()

    def sleep(self, seconds: float) -> None:
        """Wait to be woken, for a while."""
        self._gate.acquire(timeout=max(0.0, min(seconds, LOOK_SECONDS)))

    def outcome(self) -> Any:
        """Return what the work returned, or raise what it raised."""
        if self.error is not None:
            raise self.error
        return self.result


class Commits:
    """The queue of one store in one process."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._mine = threading.RLock()  # held inside the turn: it knows which thread holds it
        self._queue: deque[Waiting] = deque()
        self._ended: deque[Waiting] = deque()  # whose callers are still to be woken
        self._crowd = 1  # how many committed together last

    def leading(self) -> bool:
        """Say whether this very thread is committing."""
        owned: bool = self._mine._is_owned()  # type: ignore[attr-defined]  # noqa: SLF001
        return owned

    def alone(self) -> threading.Lock:
        """Return the lock that is held while somebody commits."""
        return self._turn

    def carry_out(
        self,
        work: Callable[[Transaction], Any],
        timeout: float,
        commit: Callable[[Callable[[Transaction], Any], float], Any],
        lead: Callable[[Waiting, float], None],
    ) -> Any:
        """Carry a work out at once when nobody else writes, or queue it; return what it returned.

        Args:
            work: what is to be committed.
            timeout: seconds to wait for a turn.
            commit: commits one work by itself; called with it and the deadline.
            lead: commits a batch that holds the caller's own work; called with it and the deadline.

        Raises:
            TimeoutError: the turn did not come in time; the work is not carried out.
        """
        deadline = time.monotonic() + timeout
        if self._crowd > 1 or self._queue or self._turn.locked():
            return self._queue_up(Waiting(work), deadline, lead)
        try:
            with self._turn, self._mine:
                return commit(work, deadline)
        finally:
            if self._queue:
                self._wake_next()

    def _queue_up(
        self, waiting: Waiting, deadline: float, lead: Callable[[Waiting, float], None]
    ) -> Any:
        self._queue.append(waiting)
        try:
            while not waiting.done:
                if not self._turn.locked():
                    with self._turn, self._mine:
                        while not waiting.done:  # more may be waiting than one commit takes
                            lead(waiting, deadline)
                    self._wake_next()
                elif time.monotonic() < deadline:
                    waiting.sleep(deadline - time.monotonic())
                elif self.withdraw(waiting):
                    raise TimeoutError
                else:
                    waiting.sleep(LOOK_SECONDS)  # it is being committed: the answer is moments away
        except BaseException:  # nobody may carry out what nobody waits for
            self.withdraw(waiting)
            raise
        finally:
            self._wake_ended()
        return waiting.outcome()

    def gather(self) -> None:
        """Let the callers of the last batch, who have just been woken, queue up again."""
        seen = 0
        while seen < len(self._queue) < self._crowd:
            seen = len(self._queue)
            time.sleep(GATHER_SECONDS)

    def move_to(self, batch: list[Waiting]) -> None:
        """Move what is waiting out of the queue; an interrupt leaves nobody in neither."""
        queue = self._queue
        while queue and len(batch) < BATCH_MAX:
            batch.append(queue[0])
            queue.popleft()
        self._crowd = len(batch)

    def end(self, batch: Iterable[Waiting], error: BaseException | None = None) -> None:
        """Tell the callers of works that their commit has ended: the first now, who tell others."""
        for waiting in batch:
            waiting.end(error)
            self._ended.append(waiting)
        for _ in range(WAKE_MAX):
            self._wake_ended()

    def _wake_ended(self) -> None:
        with suppress(IndexError):
            self._ended.popleft().wake()

    def put_back(self, waiting: Waiting) -> None:
        """Queue a work again that an interrupted leader did not come to commit."""
        waiting.error = None
        if waiting not in self._queue:
            self._queue.append(waiting)
        waiting.wake()

    def withdraw(self, waiting: Waiting) -> bool:
        """Take a work out of the queue; return False when it is not there any more."""
        try:
            self._queue.remove(waiting)
        except ValueError:
            return False
        return True

    def _wake_next(self) -> None:
        with suppress(IndexError):
            self._queue[0].wake()

    def hold(self, seconds: float) -> bool:
        """Keep everybody from committing, for a fork; return False when that cannot be had."""
        return not self.leading() and self._turn.acquire(timeout=seconds)

    def let_go(self) -> None:
        """End :meth:`hold`."""
        self._turn.release()
        self._wake_next()

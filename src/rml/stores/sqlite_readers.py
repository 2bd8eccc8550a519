"""The connections that a process reads a ledger file with: lent, returned, kept for the next."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from rml.stores.sqlite_file import Snapshot

# Idle connections kept for the next reader; more were needed once, for a crowd.
IDLE_MAX: Final = 16
_PAUSE_SECONDS: Final = 0.001


class Readers:
    """A pool of reading connections.

    One that is idle is lent and returned without a lock: taking from a deque and adding to it are
    one step each. Only how many are open is counted under the lock.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._mutex = threading.Lock()
        self._idle: deque[sqlite3.Connection] = deque()
        self._open = 0  # idle, lent, or being opened
        self._keep = True
        self._held = False

    def take(self) -> sqlite3.Connection:
        """Lend a connection; it comes back by :meth:`give` or :meth:`drop`."""
        if self._idle and not self._held:
            try:
                return self._idle.pop()
            except IndexError:  # somebody was faster
                pass
        return self._open_another()

    def _open_another(self) -> sqlite3.Connection:
        while True:
            with self._mutex:
                if not self._held:
                    self._open += 1
                    break
            time.sleep(_PAUSE_SECONDS)  # a fork is under way
        try:
            return self._connect()
        except BaseException:
            with self._mutex:
                self._open -= 1
            raise

    def give(self, connection: sqlite3.Connection) -> None:
        """Take a connection back for the next reader, unless it would not see what is new."""
        if type(connection) is Snapshot or len(self._idle) >= IDLE_MAX:
            self.drop(connection)
            return
        self._idle.append(connection)
        if not self._keep:  # looked at only now: who closes the pool may have been here before
            self._close_idle()

    def drop(self, connection: sqlite3.Connection) -> None:
        """Close a connection; it counts as open until it is closed."""
        connection.close()
        with self._mutex:
            self._open -= 1

    def close(self) -> None:
        """Close what is idle now, and what is lent as soon as it comes back."""
        self._keep = False
        self._close_idle()

    def _close_idle(self) -> None:
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # somebody was faster
                return
            self.drop(connection)

    def hold(self, seconds: float) -> bool:
        """Have no connection open, for a fork; return False when some did not come back in time.

        Whoever was about to take an idle one when this began either has it, and returns it, or
        finds none left and waits.
        """
        deadline = time.monotonic() + seconds
        with self._mutex:
            self._held = True
        while True:
            self._close_idle()
            with self._mutex:
                if not self._open:
                    return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(_PAUSE_SECONDS)

    def let_go(self) -> None:
        """End :meth:`hold`."""
        with self._mutex:
            self._held = False

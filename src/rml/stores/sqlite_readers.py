"""The connections that a process reads a ledger file with: lent, returned, kept for the next."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Final

from rml.stores.sqlite_file import Snapshot

# Idle connections kept for the next reader; more were needed once, for a crowd.
IDLE_MAX: Final = 16
_PAUSE_SECONDS: Final = 0.001


class Readers:
    """A pool of reading connections."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._mutex = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._lent = 0
        self._keep = True
        self._held = False

    def take(self) -> sqlite3.Connection:
        """Lend a connection; it comes back by :meth:`give` or :meth:`drop`."""
        while True:
            with self._mutex:
                if not self._held:
                    self._lent += 1
                    if self._idle:
                        return self._idle.pop()
                    break
            time.sleep(_PAUSE_SECONDS)  # a fork is under way
        try:
            return self._connect()
        except BaseException:
            with self._mutex:
                self._lent -= 1
            raise

    def give(self, connection: sqlite3.Connection) -> None:
        """Take a connection back for the next reader, unless it would not see what is new."""
        is_lasting = not isinstance(connection, Snapshot)
        with self._mutex:
            if is_lasting and self._keep and not self._held and len(self._idle) < IDLE_MAX:
                self._idle.append(connection)
                self._lent -= 1
                return
        self.drop(connection)

    def drop(self, connection: sqlite3.Connection) -> None:
        """Close a connection; it counts as lent until it is closed."""
        connection.close()
        with self._mutex:
            self._lent -= 1

    def close(self) -> None:
        """Close what is idle now, and what is lent as soon as it comes back."""
        self._keep = False
        self._close_idle()

    def _close_idle(self) -> None:
        while True:
            with self._mutex:
                if not self._idle:
                    return
                connection = self._idle.pop()
            connection.close()

    def hold(self, seconds: float) -> bool:
        """Have no connection open, for a fork; return False when some did not come back in time."""
        deadline = time.monotonic() + seconds
        with self._mutex:
            self._held = True
        while True:
            self._close_idle()
            with self._mutex:
                if not self._lent:
                    return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(_PAUSE_SECONDS)

    def let_go(self) -> None:
        """End :meth:`hold`."""
        with self._mutex:
            self._held = False

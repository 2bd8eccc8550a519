"""How a follower of a ledger in PostgreSQL is woken, rather than left to look again by the clock.

A sealing notifies who listens. Where nobody can listen, as behind a pooler that gives each
transaction another connection, nothing comes, and the follower looks again when its time is up.
"""

from __future__ import annotations

import threading
import time

import psycopg
from psycopg import sql

from rml.stores import postgres_schema
from rml.stores.postgres_place import Place
from rml.stores.postgres_rows import Connection


def channel_of(oid: int) -> str:
    """Return the name under which sealings of a schema notify."""
    return f"rml_{oid}"


class Listener:
    """One connection of a store that listens, for one thread at a time; others sleep."""

    def __init__(self, place: Place, oid: int) -> None:
        self._place = place
        self._channel = channel_of(oid)
        self._turn = threading.Lock()
        self._connection: Connection | None = None
        self._is_over = False

    def rest(self, seconds: float) -> None:
        """Wait until something was sealed, or so many seconds have passed."""
        end = time.monotonic() + seconds
        if self._turn.acquire(blocking=False):
            try:
                if self._has_heard(seconds):
                    return
            except psycopg.Error:
                self._drop()
            finally:
                if self._is_over:
                    self._drop()
                self._turn.release()
        time.sleep(max(0.0, end - time.monotonic()))

    def _has_heard(self, seconds: float) -> bool:
        if self._connection is None:
            self._connection = postgres_schema.connect(self._place)
            self._connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
        return any(True for _ in self._connection.notifies(timeout=seconds, stop_after=1))

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def end(self) -> None:
        """Close the connection, now or when the thread that waits has waited."""
        self._is_over = True
        if self._turn.acquire(blocking=False):
            self._drop()
            self._turn.release()

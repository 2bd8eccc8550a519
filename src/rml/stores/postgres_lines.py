"""The connections of a store: a pool's, of which the one that came back last stays at hand.

To go through the pool takes longer than to send an append. What is at hand goes back to the pool
when somebody waits there, and from time to time, so that the pool can renew it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import psycopg
from psycopg.pq import TransactionStatus
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from rml.ledger.errors import LedgerBusyError, LedgerUnavailableError
from rml.stores import postgres_schema
from rml.stores.postgres_line import Line
from rml.stores.postgres_place import Place, explain

# Even who will not wait for others waits so long for a connection to be opened, in seconds.
CONNECT_SECONDS: Final = 1.0
# How soon a connection that could not be opened is tried again, in seconds.
AGAIN_SECONDS: Final = 0.5
# For how long a connection that is in use again and again does not go back to the pool.
AT_HAND_SECONDS: Final = 60.0


class Lines:
    """See the module. Safe to share between threads; none is opened before it is asked for."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._pool: ConnectionPool[Line] = ConnectionPool(
            place.conninfo,
            connection_class=Line,
            kwargs=postgres_schema.settings(),
            min_size=0,
            max_size=place.connections,
            open=False,
            num_workers=1,
            reconnect_timeout=AGAIN_SECONDS,
        )
        self._opened = threading.Lock()
        self._is_closed = False
        # Whoever wants one says so before looking at hand, and whoever lays one there looks after
        # that who wants one: so none waits at the pool while one lies at hand.
        self._at_hand: list[Line] = []
        self._wanting: list[None] = []

    @contextmanager
    def lend(self, seconds: float) -> Iterator[Line]:
        """Lend a connection that the server has not ended, after waiting so long for one.

        Raises:
            LedgerBusyError: all stayed in use.
            LedgerUnavailableError: the server cannot be reached, or the store was closed.
        """
        line = self._from_hand() or self._from_pool(
            time.monotonic() + max(seconds, CONNECT_SECONDS)
        )
        try:
            yield line
        finally:
            self._take_back(line)

    def close(self) -> None:
        """Close those that are not lent now; the others when they come back."""
        self._is_closed = True
        while (line := self._pop()) is not None:
            self._pool.putconn(line)
        self._pool.close()

    def _pop(self) -> Line | None:
        try:
            return self._at_hand.pop()
        except IndexError:
            return None

    def _from_hand(self) -> Line | None:
        line = self._pop()
        if line is None or not _has_ended(line):
            return line
        self._pool.putconn(line)
        return None

    def _take_back(self, line: Line) -> None:
        is_fine = line.pgconn.transaction_status == TransactionStatus.IDLE
        if is_fine and not self._at_hand and time.monotonic() < line.at_hand_until:
            self._at_hand.append(line)
            if not self._wanting and not self._is_closed:
                return
            given = self._pop()
            if given is None:
                return
            line = given
        self._pool.putconn(line)

    def _from_pool(self, end: float) -> Line:
        if self._pool.closed:
            with self._opened, suppress(psycopg.OperationalError):
                self._pool.open()
        self._wanting.append(None)
        try:
            line = self._from_hand() or self._connected(end)
        finally:
            self._wanting.pop()
        line.at_hand_until = time.monotonic() + AT_HAND_SECONDS
        return line

    def _connected(self, end: float) -> Line:
        """Take a connection that the server has not ended; the pool tries again when it is asked.

        Left to itself it would wait for longer and longer between two attempts, and not know that
        the server is back.
        """
        while True:
            try:
                line = self._pool.getconn(min(end - time.monotonic(), AGAIN_SECONDS))
            except PoolTimeout as error:
                if time.monotonic() >= end:
                    raise self._without_connection() from error
            except PoolClosed as error:
                raise closed() from error
            else:
                if not _has_ended(line):
                    return line
                self._pool.putconn(line)

    def _without_connection(self) -> Exception:
        place, most = self._place.name, self._place.connections
        try:
            postgres_schema.connect(self._place, CONNECT_SECONDS).close()
        except psycopg.Error as error:
            return explain(error, self._place)
        return LedgerBusyError(
            f"all {most} connections of this process to {place} stayed in use; nothing was "
            "recorded, try again, or give the URL more with connections=N"
        )


def closed() -> LedgerUnavailableError:
    """Return the error of a store that was closed."""
    return LedgerUnavailableError("the ledger is closed; open it again with rml.Ledger(...)")


def _has_ended(line: Line) -> bool:
    """Say whether the server has ended a connection while it was not in use."""
    try:
        for _ in range(2):  # its last words, and that there will be no more
            line.pgconn.consume_input()
    except psycopg.OperationalError:
        return True
    return False

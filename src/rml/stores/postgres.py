"""A ledger in PostgreSQL, shared by many machines: commits that do not queue behind each other.

An append inserts its entry without an index and is durable when it returns; indexes are given a
moment later (:mod:`rml.stores.postgres_sealing`), and locks keep decisions apart
(:mod:`rml.stores.postgres_writing`). What a cut connection leaves open is settled by looking.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any, Final, TypeVar
from weakref import WeakSet

from rml.error import InvalidInputError, MissingExtraError, RmlError

try:
    import psycopg
    import psycopg_pool  # noqa: F401 - what the connections come from
except ImportError as _error:
    raise MissingExtraError.about("postgres") from _error

from rml.ledger.errors import AppendUnknownError, LedgerBusyError, LedgerUnavailableError
from rml.ledger.store import Opening, Transaction
from rml.stores import postgres_connection, postgres_schema
from rml.stores.postgres_enlisted import PostgresEnlisted
from rml.stores.postgres_line import Line
from rml.stores.postgres_lines import Lines, closed
from rml.stores.postgres_listening import Listener
from rml.stores.postgres_place import explain, is_lost, may_start_over, place_of
from rml.stores.postgres_reading import (
    PAUSE_SECONDS,
    PAUSE_SECONDS_MAX,
    PostgresReading,
    until,
)
from rml.stores.postgres_sealing import Sealer
from rml.stores.postgres_standing import Standing, Standings
from rml.stores.postgres_writing import PostgresTransaction, StartOver

T = TypeVar("T")

# A commit without an answer is looked for at least so long, whatever is left of the caller's time.
SETTLE_SECONDS: Final = 5.0


def open_store(opening: Opening) -> PostgresStore:
    """Open the ledger that a ``postgresql:`` URL names; ``rml init`` makes one.

    Raises:
        NotALedgerError: there is none.
        NewerFormatError: a later rml made it.
        LedgerUnavailableError: the server cannot be reached.
    """
    return PostgresStore(opening)


class PostgresStore(PostgresReading):
    """See the module. Safe to share between threads; a forked child opens its own connections."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._place = place_of(opening.url)
        self._closed = False
        try:
            with postgres_schema.connect(self._place) as connection:
                found = postgres_schema.recognise(connection, self._place, opening)
        except psycopg.Error as error:
            raise explain(error, self._place) from error
        self.origin: str = found.origin
        self._oid = found.oid
        self._where: tuple[object, ...] = ()  # where the ledger was found to be, once asked
        self._start()
        _stores.add(self)
        self._seal_what_was_left()

    def _start(self) -> None:
        """Have no connections yet: at first, and in a forked child."""
        self._inside = threading.local()
        self._lines = Lines(self._place)
        self._standings = Standings()
        self._sealer = Sealer(self._place, self._oid, self._lend)
        self._listener = Listener(self._place, self._oid)

    def _seal_what_was_left(self) -> None:
        """Seal what a process left that died; whoever may not, or must wait, need not."""
        with suppress(RmlError, psycopg.Error):
            if self.waiting().count:
                with self._lend(None) as connection:
                    self._sealer.catch_up(connection, self._opening.timeout)

    # Connections ---------------------------------------------------------------------------------

    def _lend(self, deadline: float | None) -> AbstractContextManager[Line]:
        """Lend a connection, until a deadline or for as long as the ledger waits."""
        self._check_usable()
        return self._lines.lend(until(deadline, self._opening.timeout))

    def _check_usable(self) -> None:
        if self._closed:
            raise closed()

    # Writing -------------------------------------------------------------------------------------

    def supposes_new(self, effect: str) -> bool:
        """Say yes of an effect of which this process knows nothing."""
        return effect not in self._standings

    def write(self, work: Callable[[Transaction], T], *, timeout: float) -> T:
        """Run ``work`` in one durable commit; its entries have their indexes a moment later."""
        self._check_usable()
        if getattr(self._inside, "a_work", False):
            raise InvalidInputError(
                "a ledger was written to from inside its own transaction; "
                "use the draft that was passed in"
            )
        self._inside.a_work = True
        try:
            return self._carry_out(work, time.monotonic() + timeout)
        finally:
            self._inside.a_work = False

    def _carry_out(self, work: Callable[[Transaction], T], deadline: float) -> T:
        alone, pause = False, PAUSE_SECONDS
        known: Callable[[str], Standing | None] = self._standings.get
        while True:
            transaction = PostgresTransaction(
                self._place,
                self._oid,
                self._sealer,
                self._lend,
                deadline,
                alone=alone,
                known=known,
            )
            try:
                result = work(transaction)
                if not transaction.must_be_alone or alone:
                    transaction.commit()
                    self._note(transaction)
                    return result
            except StartOver:
                pass
            except BaseException as error:
                if transaction.trouble is not None:
                    if self._has_happened(transaction, transaction.trouble, deadline):
                        self._note(transaction)
                        return result
                    time.sleep(pause)
                    pause = min(pause * 2, PAUSE_SECONDS_MAX)
                elif not (transaction.supposes and isinstance(error, Exception)):
                    raise
            finally:
                transaction.abandon()
            alone, known = transaction.must_be_alone, transaction.known_next
            if transaction.in_the_way is not None:
                transaction.wait_for(transaction.in_the_way)

    def enlist(self, connection: object, *, timeout: float) -> PostgresEnlisted:
        """Join the transaction of an application's connection to the same database."""
        self._check_usable()
        own = postgres_connection.check(connection)
        try:
            with postgres_connection.untouched_if_refused(own):
                self._check_same(own)
                postgres_connection.check_settings(own)
        except psycopg.Error as error:
            raise explain(error, self._place) from error
        return PostgresEnlisted(
            connection=own,
            place=self._place,
            oid=self._oid,
            sealer=self._sealer,
            lend=self._lend,
            timeout=timeout,
        )

    def _check_same(self, connection: postgres_connection.Driver) -> None:
        """Refuse a connection to another database; the server may have changed since last time."""
        found = postgres_connection.where(connection, self._place)
        if found != self._where:
            postgres_connection.Plain(connection).aside(self._find_itself)
        if found != self._where:
            raise postgres_connection.elsewhere(self._place)
        if found[-1] != self._oid:
            raise postgres_connection.replaced(self._place)

    def _find_itself(self) -> None:
        with self._lend(None) as own:
            self._where = postgres_connection.where(own, self._place)

    def _note(self, transaction: PostgresTransaction) -> None:
        if transaction.wrote:
            self._sealer.wrote()
        if transaction.effect is not None:
            standing = transaction.standing
            is_open = standing is not None and standing.lease is not None
            self._standings.keep(transaction.effect, standing if is_open else None)

    def _has_happened(
        self, transaction: PostgresTransaction, trouble: psycopg.Error, deadline: float
    ) -> bool:
        """Say whether a commit that failed is durable, or may be tried again; raise otherwise."""
        in_time = time.monotonic() < deadline
        if is_lost(trouble):
            if transaction.sent and self._settled(transaction, deadline):
                return True
        elif not may_start_over(trouble):
            raise explain(trouble, self._place) from trouble
        if not in_time:
            raise explain(trouble, self._place) from trouble
        return False

    def _settled(self, transaction: PostgresTransaction, deadline: float) -> bool:
        """Look whether a commit without an answer is durable, until the server tells."""
        end, pause = max(deadline, time.monotonic() + SETTLE_SECONDS), PAUSE_SECONDS
        while True:
            try:
                return transaction.settle(end)
            except (LedgerUnavailableError, LedgerBusyError) as error:
                if time.monotonic() + pause >= end:
                    raise AppendUnknownError(
                        f"the connection to {self._place.name} was cut while committing, and the "
                        "server could not be asked since; look before doing it again"
                    ) from error
            time.sleep(pause)
            pause = min(pause * 2, PAUSE_SECONDS_MAX)

    def scrub(self) -> None:
        """Let the server reclaim what was removed; its log and its backups are its owner's."""
        with suppress(RmlError):
            self._read(lambda connection: connection.execute(self._place.sql("VACUUM ~personal")))

    def rest(self, seconds: float) -> None:
        """Wait until something was sealed, or so many seconds have passed."""
        self._check_usable()
        self._listener.rest(seconds)

    # Ending --------------------------------------------------------------------------------------

    def close(self) -> None:
        """Seal what waits, and close every connection."""
        if self._closed:
            return
        if getattr(self._inside, "a_work", False):
            raise InvalidInputError("a ledger cannot be closed from inside its own transaction")
        with suppress(RmlError, psycopg.Error):
            self._settle()
        self._sealer.end()
        self._closed = True
        self._listener.end()
        self._lines.close()

    def after_fork_in_child(self) -> None:
        """Begin anew, and leave what the parent uses alone."""
        _inherited.append((self._lines, self._sealer, self._listener))
        self._start()


_stores: WeakSet[PostgresStore] = WeakSet()
# What a child must keep: to close it would tell the server to end the parent's connections.
_inherited: list[Any] = []


def _after_fork_in_child() -> None:
    for store in list(_stores):
        store.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)

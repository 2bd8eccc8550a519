"""A connection of the application's to PostgreSQL: what is said on it, if it can be joined at all.

It is psycopg's, of either kind. What is said on one for ``async`` is awaited by whoever has begun
this (:mod:`rml.awaiting`), so only code that is awaited can speak to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, Final, TypeVar

import attrs
import psycopg
from psycopg.pq import PipelineStatus, TransactionStatus
from psycopg.rows import tuple_row

from rml.ledger.errors import EnlistmentError
from rml.stores.postgres_place import Place

T = TypeVar("T")
Driver = psycopg.Connection[Any] | psycopg.AsyncConnection[Any]

# How long the server may take to take something back, in seconds; a cancelled task waits for it.
_UNDO_SECONDS: Final = 5.0
# A server tells when it was started to the microsecond, and no other one was started just then.
_WHERE: Final = (
    "SELECT extract(epoch FROM pg_postmaster_start_time())::text, d.oid::bigint, n.oid::bigint "
    "FROM pg_database AS d LEFT JOIN pg_namespace AS n ON n.nspname = %s "
    "WHERE d.datname = current_database()"
)
# In how many parts the present code is; they are named by it, and none ends another's savepoint.
_depth: Final[ContextVar[int]] = ContextVar("rml_parts", default=0)
_SETTINGS: Final = (
    "SELECT current_setting('synchronous_commit'), current_setting('transaction_read_only')"
)


# Speaking -----------------------------------------------------------------------------------------


@attrs.frozen
class Plain:
    """A connection whose rows come as the ledger reads them, whatever the application has set."""

    _connection: Driver

    def execute(
        self, text: str, values: Sequence[Any] | None = None, *, binary: bool = False
    ) -> Rows:
        """Execute a statement and return its rows."""
        if isinstance(self._connection, psycopg.AsyncConnection):
            return _awaited(_asked(self._connection, text, values, binary=binary))
        cursor = psycopg.Cursor(self._connection, row_factory=tuple_row)
        cursor.execute(text, values, prepare=False, binary=binary)
        return Rows(cursor.fetchall() if cursor.description else ())

    def take_back(self, name: str) -> None:
        """Undo what was done since a savepoint, and forget it, even for a cancelled task.

        Raises:
            TimeoutError: somebody else's statement on the connection, or this one, takes too long.
        """
        text = f"ROLLBACK TO {name}; RELEASE {name}"
        connection = self._connection
        if isinstance(connection, psycopg.AsyncConnection):
            _undone(lambda: _asked(connection, text, None))
        elif connection.lock.acquire(timeout=_UNDO_SECONDS):
            connection.lock.release()
            self.execute(text)
        else:
            raise TimeoutError

    def roll_back(self) -> None:
        """End the transaction, and nothing has happened, even for a cancelled task."""
        if isinstance(self._connection, psycopg.AsyncConnection):
            _undone(self._connection.rollback)
        else:
            self._connection.rollback()

    def aside(self, work: Callable[[], T]) -> T:
        """Do what waits for other connections than this one, and keep no event loop."""
        if isinstance(self._connection, psycopg.AsyncConnection):
            from rml import awaiting

            return awaiting.aside(work)
        return work()


class Rows(list[Any]):
    """What a statement has returned."""

    def fetchall(self) -> Rows:
        """Return the rows, as a cursor does."""
        return self


async def _asked(
    connection: psycopg.AsyncConnection[Any],
    text: str,
    values: Sequence[Any] | None,
    *,
    binary: bool = False,
) -> Rows:
    cursor = psycopg.AsyncCursor(connection, row_factory=tuple_row)
    await cursor.execute(text, values, prepare=False, binary=binary)
    return Rows(await cursor.fetchall() if cursor.description else ())


def _awaited(waiting: Coroutine[Any, Any, T]) -> T:
    from rml import awaiting

    return awaiting.wait_for(waiting)


def _undone(undo: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Await what undoes something; what a server does not answer, psycopg cancels or cuts off."""
    from rml import awaiting

    awaiting.wait_for(awaiting.to_the_end(lambda: asyncio.wait_for(undo(), _UNDO_SECONDS)))


def is_in_transaction(connection: Driver) -> bool:
    """Say whether a transaction is under way, failed or not."""
    return not connection.closed and connection.info.transaction_status in {
        TransactionStatus.INTRANS,
        TransactionStatus.INERROR,
    }


@contextmanager
def taken_back(connection: Driver, name: str) -> Iterator[None]:
    """Keep what the block changes, unless it fails."""
    plain = Plain(connection)
    plain.execute(f"SAVEPOINT {name}")
    is_whole = False
    try:
        yield
        is_whole = True
        plain.execute(f"RELEASE {name}")
    except BaseException:
        # What interrupts a release that the server has done comes too late to take anything back:
        # there is no such savepoint any more, and to ask for it would fail the transaction.
        status = connection.info.transaction_status
        if not is_whole or status == TransactionStatus.INERROR:
            _take_back(connection, name)
        raise


def _take_back(connection: Driver, name: str) -> None:
    """Undo what was done since a savepoint, or close the connection if that cannot be done."""
    if connection.closed or connection.info.transaction_status == TransactionStatus.IDLE:
        return
    try:
        Plain(connection).take_back(name)
    except psycopg.Error:
        pass  # the transaction has ended, and the savepoint with it
    except TimeoutError:  # a statement is not over, after which the rest would be committed
        connection.pgconn.finish()


# Enlisting ----------------------------------------------------------------------------------------


@attrs.frozen
class PsycopgEnlistment:
    """The transaction of a connection of psycopg."""

    driver: Driver

    def way_out(self) -> Callable[[], object]:
        """Return what ends a transaction that is begun from now on, and no other."""
        is_idle = self.driver.info.transaction_status == TransactionStatus.IDLE
        return self._leave if is_idle else _stay

    def _leave(self) -> None:
        if is_in_transaction(self.driver) and not self.driver.lock.locked():  # or it is another's
            Plain(self.driver).roll_back()

    @contextmanager
    def part(self) -> Iterator[Callable[[], bool]]:
        """Run the block as a part that its exception takes back alone.

        It is given a function that says whether the transaction still is the one that it began in.
        """
        depth = _depth.get() + 1
        inside = f"rml_inside_{depth}"
        token = _depth.set(depth)
        try:
            with taken_back(self.driver, f"rml_part_{depth}"):
                Plain(self.driver).execute(f"SAVEPOINT {inside}")
                yield lambda: self._has(inside)
        finally:
            _depth.reset(token)

    def aside(self, work: Callable[[], T]) -> T:
        """Do what waits for other connections than this one, and keep no event loop."""
        return Plain(self.driver).aside(work)

    def _has(self, savepoint: str) -> bool:
        if not is_in_transaction(self.driver):
            return False
        try:
            Plain(self.driver).execute(f"RELEASE {savepoint}; SAVEPOINT {savepoint}")
        except psycopg.Error:
            if self.driver.closed:
                raise
            return False  # it went when the transaction ended
        return True


def _stay() -> None:
    """Leave the application's transaction as it is."""


@attrs.frozen
class PsycopgAwaiting:
    """A connection of psycopg's for ``async``."""

    owner: psycopg.AsyncConnection[Any]

    async def run(self, work: Callable[[object], T]) -> T:
        """Run code that is not async, and await what it says on the connection."""
        from rml import awaiting

        return await awaiting.run(lambda: work(self.owner))


def enlistment(connection: object) -> PsycopgEnlistment:
    """Return what a ledger needs of a connection.

    Raises:
        EnlistmentError: it is no connection.
    """
    if not isinstance(connection, psycopg.Connection | psycopg.AsyncConnection):
        raise EnlistmentError(
            f"psycopg's {type(connection).__name__} cannot be joined; give a psycopg.Connection "
            "or a psycopg.AsyncConnection"
        )
    return PsycopgEnlistment(connection)


def awaiting_of(connection: object) -> PsycopgAwaiting | None:
    """Return how code that is not async speaks to a connection, if that is one for ``async``."""
    return PsycopgAwaiting(connection) if isinstance(connection, psycopg.AsyncConnection) else None


# Looking at it ------------------------------------------------------------------------------------


def where(connection: Driver, place: Place) -> tuple[Any, ...]:
    """Return what tells a ledger's schema from any other, on this server or another one."""
    found = Plain(connection).execute(_WHERE, (place.schema,)).fetchall()
    return tuple(found[0])


def check(connection: object) -> Driver:
    """Return the connection if it is one whose transaction can be joined.

    Raises:
        EnlistmentError: it is another driver's, or in no state to be joined.
    """
    if not isinstance(connection, psycopg.Connection | psycopg.AsyncConnection):
        raise EnlistmentError(
            f"this ledger is in PostgreSQL, and a {type(connection).__module__}."
            f"{type(connection).__name__} is no psycopg.Connection"
        )
    status = connection.info.transaction_status
    if connection.closed:
        raise EnlistmentError("the connection is closed")
    if status == TransactionStatus.INERROR:
        raise EnlistmentError("a statement of the transaction has failed; roll it back")
    if (
        connection.pgconn.pipeline_status != PipelineStatus.OFF
        or status not in {TransactionStatus.IDLE, TransactionStatus.INTRANS}
        or connection.lock.locked()
    ):
        raise EnlistmentError("the connection is in the middle of a pipeline, COPY or statement")
    if status == TransactionStatus.IDLE and connection.autocommit:
        word = "async with" if isinstance(connection, psycopg.AsyncConnection) else "with"
        raise EnlistmentError(
            "the connection commits each statement by itself; begin a transaction: "
            f"{word} connection.transaction()"
        )
    if connection.info.encoding != "utf-8":
        raise EnlistmentError("the connection's client_encoding is not UTF8")
    return connection


@contextmanager
def untouched_if_refused(connection: Driver) -> Iterator[None]:
    """End the transaction that looking at a connection has begun, if the block raises."""
    was_idle = connection.info.transaction_status == TransactionStatus.IDLE
    try:
        yield
    except BaseException:
        if was_idle:
            with suppress(psycopg.Error, TimeoutError):
                Plain(connection).roll_back()
        raise


def check_settings(connection: Driver) -> None:
    """Check that the transaction can write, and that its commit will be durable.

    Raises:
        EnlistmentError: it is not so.
    """
    ((synchronous, read_only),) = Plain(connection).execute(_SETTINGS).fetchall()
    if synchronous == "off":
        raise EnlistmentError(
            "a commit of this connection may be lost when the server fails; execute "
            '"SET synchronous_commit = on" on it'
        )
    if read_only == "on":
        raise EnlistmentError("the transaction is read-only")


def replaced(place: Place) -> EnlistmentError:
    """Return the error of a ledger whose schema is another one than when it was opened."""
    return EnlistmentError(
        f"the schema of the ledger {place.name} was replaced since it was opened; open it again"
    )


def elsewhere(place: Place) -> EnlistmentError:
    """Return the error of a connection to another database than the ledger's."""
    return EnlistmentError(
        f"the connection is not to the database of the ledger {place.name}; only what is in one "
        "database is committed as one"
    )

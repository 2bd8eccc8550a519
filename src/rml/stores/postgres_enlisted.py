"""How entries go into a transaction of the application's own, on a connection to the same database.

The application's commit makes its rows and the entries durable together. An append inserts its
entry and waits for nobody, nor does anybody wait for it: it is sealed once it is committed. What a
work reads of an effect is kept still by the lock on this effect alone, until the transaction ends;
so calls with other keys go on. Only a work that reads anything else holds the gate so long.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, Final, TypeVar, cast

import attrs
import psycopg
from psycopg.pq import PipelineStatus, TransactionStatus
from psycopg.rows import tuple_row

from rml.ledger.entry import Entry, Sealed
from rml.ledger.errors import EnlistmentError
from rml.ledger.store import Lease, Query, Transaction
from rml.stores import postgres_rows as rows
from rml.stores.postgres_place import Place, explain, lock_timeout
from rml.stores.postgres_sealing import GATE, Sealer, lock_number

T = TypeVar("T")
# The second kind comes from SQLAlchemy's asyncio sessions.
Driver = psycopg.Connection[Any] | psycopg.AsyncConnection[Any]

# A server tells when it was started to the microsecond, and no other one was started just then.
_WHERE: Final = (
    "SELECT extract(epoch FROM pg_postmaster_start_time())::text, d.oid::bigint, n.oid::bigint "
    "FROM pg_database AS d LEFT JOIN pg_namespace AS n ON n.nspname = %s "
    "WHERE d.datname = current_database()"
)
_SETTINGS: Final = (
    "SELECT current_setting('synchronous_commit'), current_setting('transaction_read_only')"
)
# The application's own lock_timeout comes back with the lock; without it, with the savepoint.
_LOCK: Final = (
    "SELECT current_setting('transaction_isolation'), set_config('lock_timeout', %s, true), "
    "pg_advisory_xact_lock({}), set_config('lock_timeout', own.patience, true) "
    "FROM (SELECT current_setting('lock_timeout') AS patience OFFSET 0) AS own"
)
_EFFECT: Final = _LOCK.format("hashtextextended(%s, %s)")
_ALONE: Final = _LOCK.format("%s::int, %s::int")
_XID: Final = "SELECT pg_current_xact_id()::text"


@attrs.frozen
class PsycopgEnlistment:
    """The transaction of a connection of psycopg."""

    driver: psycopg.Connection[Any]

    def way_out(self) -> Callable[[], object]:
        """Return what ends a transaction that is begun from now on, and no other."""
        is_idle = self.driver.info.transaction_status == TransactionStatus.IDLE
        return self.driver.rollback if is_idle else _stay

    @contextmanager
    def part(self) -> Iterator[Callable[[], bool]]:
        """Run the block as a part that its exception takes back alone.

        It is given a function that says whether the transaction still is the one that it began in.
        """
        with _taken_back(self.driver, "rml_part"):
            _Plain(self.driver).execute("SAVEPOINT rml_inside")
            yield self._is_open

    def _is_open(self) -> bool:
        if not _is_in_transaction(self.driver):
            return False
        plain = _Plain(self.driver)
        try:
            plain.execute("RELEASE rml_inside")
        except psycopg.Error:
            if self.driver.closed:
                raise
            return False  # it went when the transaction ended
        plain.execute("SAVEPOINT rml_inside")
        return True


def _stay() -> None:
    """Leave the application's transaction as it is."""


def enlistment(connection: object) -> PsycopgEnlistment:
    """Return what a ledger needs of a connection.

    Raises:
        EnlistmentError: it is one for ``async``, or no connection.
    """
    if not isinstance(connection, psycopg.Connection):
        raise EnlistmentError(
            f"psycopg's {type(connection).__name__} cannot be joined; give a psycopg.Connection, "
            "or an AsyncSession of SQLAlchemy, by its run_sync()"
        )
    return PsycopgEnlistment(connection)


@attrs.frozen
class _Plain:
    """A connection whose rows come as the ledger reads them, whatever the application has set."""

    _connection: Driver

    def execute(
        self, text: str, values: Sequence[Any] | None = None, *, binary: bool = False
    ) -> _Rows:
        if isinstance(self._connection, psycopg.AsyncConnection):
            return _awaited(_asked(self._connection, text, values, binary=binary))
        cursor = psycopg.Cursor(self._connection, row_factory=tuple_row)
        cursor.execute(text, values, prepare=False, binary=binary)
        return _Rows(cursor.fetchall() if cursor.description else ())


class _Rows(list[Any]):
    """What a statement has returned."""

    def fetchall(self) -> _Rows:
        return self


async def _asked(
    connection: psycopg.AsyncConnection[Any],
    text: str,
    values: Sequence[Any] | None,
    *,
    binary: bool,
) -> _Rows:
    cursor = psycopg.AsyncCursor(connection, row_factory=tuple_row)
    await cursor.execute(text, values, prepare=False, binary=binary)
    return _Rows(await cursor.fetchall() if cursor.description else ())


def _awaited(waiting: Coroutine[Any, Any, T]) -> T:
    """Wait as SQLAlchemy's ``run_sync`` does: these connections come from nowhere else."""
    from sqlalchemy.util import await_only

    found: T = await_only(waiting)
    return found


def _is_in_transaction(connection: Driver) -> bool:
    return not connection.closed and connection.info.transaction_status in {
        TransactionStatus.INTRANS,
        TransactionStatus.INERROR,
    }


@contextmanager
def _taken_back(connection: Driver, name: str) -> Iterator[None]:
    """Keep what the block changes, unless it fails."""
    plain = _Plain(connection)
    plain.execute(f"SAVEPOINT {name}")
    try:
        yield
        plain.execute(f"RELEASE {name}")
    except BaseException:
        if _is_in_transaction(connection):
            with suppress(psycopg.Error):  # the transaction, and the savepoint with it, has ended
                plain.execute(f"ROLLBACK TO {name}")
                plain.execute(f"RELEASE {name}")
        raise


# Joining ------------------------------------------------------------------------------------------


def where(connection: Driver, place: Place) -> tuple[Any, ...]:
    """Return what tells a ledger's schema from any other, on this server or another one."""
    found = _Plain(connection).execute(_WHERE, (place.schema,)).fetchall()
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
    if connection.pgconn.pipeline_status != PipelineStatus.OFF or status not in {
        TransactionStatus.IDLE,
        TransactionStatus.INTRANS,
    }:
        raise EnlistmentError("the connection is in the middle of a pipeline, COPY or statement")
    if status == TransactionStatus.IDLE and connection.autocommit:
        raise EnlistmentError(
            "the connection commits each statement by itself; begin a transaction: "
            "with connection.transaction()"
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
            with suppress(psycopg.Error):
                if isinstance(connection, psycopg.AsyncConnection):
                    _awaited(connection.rollback())
                else:
                    connection.rollback()
        raise


def check_settings(connection: Driver) -> None:
    """Check that the transaction can write, and that its commit will be durable.

    Raises:
        EnlistmentError: it is not so.
    """
    ((synchronous, read_only),) = _Plain(connection).execute(_SETTINGS).fetchall()
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


# Writing ------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class PostgresEnlisted:
    """A transaction that the application commits; see the module."""

    connection: Driver
    place: Place
    oid: int
    sealer: Sealer
    lend: Callable[[float | None], AbstractContextManager[rows.Connection]]
    timeout: float

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work`` in the transaction; if it fails, it alone is taken back.

        Raises:
            EnlistmentError: the transaction has ended.
            LedgerBusyError: others held what it reads until the ledger's timeout.
        """
        if not _is_in_transaction(self.connection):
            raise EnlistmentError(
                "the transaction that was joined has ended; join the next one: "
                "ledger.on(connection)"
            )
        transaction = EnlistedTransaction(self)
        try:
            with _taken_back(self.connection, "rml_write"):
                result = work(transaction)
                transaction.flush()
                ((xid,),) = _Plain(self.connection).execute(_XID).fetchall()
        except psycopg.Error as error:
            raise explain(error, self.place) from error
        self.sealer.joined(xid)
        return result


class EnlistedTransaction:
    """What a work does in an application's transaction."""

    def __init__(self, enlisted: PostgresEnlisted) -> None:
        self._enlisted = enlisted
        self._place = enlisted.place
        self._plain = cast("rows.Connection", _Plain(enlisted.connection))
        self._held: set[str] = set()
        self._is_alone = False
        self._waiting: list[Sealed] = []

    def append(self, sealed: Sealed) -> None:
        """Add an entry, which is sent when the work reads, or ends; its index comes later."""
        self._waiting.append(sealed)

    def select(self, query: Query) -> list[Entry]:
        """Return matching entries, those of this transaction last."""
        self._alone()
        return rows.select(self._place, self._plain, query, None)

    def of_effect(self, effect: str) -> list[Entry]:
        """Return an effect's entries in order; the last ones may have no index yet."""
        self._hold(effect)
        text = self._place.sql(rows.OF_EFFECT)
        return rows.read(self._plain.execute(text, (effect,), binary=True))

    def lease(self, effect: str) -> Lease | None:
        """Return an effect's lease."""
        self._hold(effect)
        found = self._plain.execute(self._place.sql(rows.LEASE), (effect,)).fetchall()
        return Lease(*found[0]) if found else None

    def leases(self, saying: bytes = b"") -> list[Lease]:
        """Return every lease, or those of effects one of whose entries holds bytes."""
        self._alone()
        return rows.leases(self._place, self._plain, saying)

    def put_lease(self, lease: Lease) -> None:
        """Grant or renew a lease."""
        self._hold(lease.effect)
        values = (lease.effect, lease.attempt, lease.owner, lease.until)
        self._plain.execute(self._place.sql(rows.PUT_LEASE), values)

    def drop_lease(self, effect: str, owner: str | None = None) -> bool:
        """End a lease, if it is this owner's or no owner is given."""
        lease = self.lease(effect)
        if lease is None or owner not in {None, lease.owner}:
            return False
        self._plain.execute(self._place.sql(rows.DROP_LEASE), (effect,))
        return True

    def keep_only(self, entry: str, names: Sequence[str]) -> None:
        """Rewrite what is kept beside an entry; the database refuses it before its erasure."""
        self._alone()
        rows.keep_only(self._place, self._plain, entry, names)

    def flush(self) -> None:
        """Insert what was appended."""
        if self._waiting:
            statement, values = rows.insertion(self._waiting)
            self._plain.execute(self._place.sql(statement), values)
            self._waiting = []

    def _hold(self, effect: str) -> None:
        """Keep an effect still until the transaction ends, or is rolled back to before this."""
        if effect not in self._held:
            self._lock(_EFFECT, (effect, self._enlisted.oid))
            self._held.add(effect)
        self.flush()

    def _alone(self) -> None:
        """Hold the gate alone until the transaction ends, with everything sealed that is there."""
        if not self._is_alone:
            self._lock(_ALONE, (lock_number(self._enlisted.oid), GATE))
            with self._enlisted.lend(None) as connection:
                self._enlisted.sealer.catch_up(connection, self._enlisted.timeout)
            self._is_alone = True
        self.flush()

    def _lock(self, statement: str, values: tuple[Any, ...]) -> None:
        patience = lock_timeout(self._enlisted.timeout)
        isolation = self._plain.execute(statement, (patience, *values)).fetchall()[0][0]
        if isolation not in {"read committed", "read uncommitted"}:  # the same in PostgreSQL
            raise EnlistmentError(
                f"the transaction's isolation is {isolation!r}: it does not see what others have "
                "recorded since it began, so nothing can be decided in it; use READ COMMITTED, "
                "PostgreSQL's default"
            )

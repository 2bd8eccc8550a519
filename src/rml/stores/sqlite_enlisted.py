"""How entries go into a transaction of the application's own, on a connection to the same file.

The application's commit makes its rows and the entries durable together. SQLite lets one connection
write at a time, so from the moment of joining nobody else can record anything, and what is read
here is the newest there is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

import attrs

from rml.ledger.errors import EnlistmentError, LedgerBusyError
from rml.ledger.store import Transaction
from rml.stores import sqlite_file, sqlite_rows
from rml.stores.sqlite_rows import SqliteTransaction

T = TypeVar("T")

# A statement that changes nothing, but takes SQLite's write lock.
_LOCK: Final = "DELETE FROM main.leases WHERE 0"
_SYNCHRONOUS_FULL: Final = 2  # and 3, EXTRA, is more


@attrs.frozen
class SqliteEnlistment:
    """The transaction of a connection of :mod:`sqlite3`."""

    driver: sqlite3.Connection

    def way_out(self) -> Callable[[], object]:
        """Return what ends a transaction that is begun from now on, and no other."""
        try:
            return _stay if self.driver.in_transaction else self.driver.rollback
        except sqlite3.ProgrammingError:  # it is closed, or another thread's
            return _stay

    @contextmanager
    def part(self) -> Iterator[Callable[[], bool]]:
        """Run the block as a part that its exception takes back alone.

        It is given a function that says whether the transaction still is the one that it began in.
        """
        with _taken_back(self.driver, "rml_part"):
            self.driver.execute("SAVEPOINT rml_inside")
            yield self._is_open

    def aside(self, work: Callable[[], T]) -> T:
        """Do what waits for other connections than this one; here is no event loop."""
        return work()

    def _is_open(self) -> bool:
        try:
            self.driver.execute("RELEASE rml_inside")
        except sqlite3.OperationalError:  # it went when the transaction ended
            return False
        self.driver.execute("SAVEPOINT rml_inside")
        return True


def _stay() -> None:
    """Leave the application's transaction as it is."""


def enlistment(connection: sqlite3.Connection) -> SqliteEnlistment:
    """Return what a ledger needs of a connection."""
    return SqliteEnlistment(connection)


@attrs.frozen
class SqliteEnlisted:
    """A transaction that holds SQLite's write lock; see the module."""

    _connection: sqlite3.Connection
    _explain: Callable[[sqlite3.Error], Exception]

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work`` in the transaction; if it fails, it alone is taken back.

        Raises:
            EnlistmentError: the transaction has ended; a savepoint would be one of its own.
        """
        connection = self._connection
        if not connection.in_transaction:
            raise EnlistmentError(
                "the transaction that was joined has ended; join the next one: "
                "ledger.on(connection)"
            )
        try:
            with as_ledger(connection), _taken_back(connection, "rml_write"):
                cursor = connection.cursor()
                frontier = sqlite_rows.frontier(cursor, *sqlite_rows.head(cursor))
                transaction = SqliteTransaction(cursor, frontier)
                result = work(transaction)
                transaction.seal()
        except sqlite3.Error as error:
            raise self._explain(error) from error
        return result


@contextmanager
def _taken_back(connection: sqlite3.Connection, name: str) -> Iterator[None]:
    """Keep what the block changes, unless it fails."""
    connection.execute(f"SAVEPOINT {name}")
    try:
        yield
        connection.execute(f"RELEASE {name}")
    except BaseException:
        with suppress(sqlite3.Error):  # the transaction, and the savepoint with it, has ended
            connection.execute(f"ROLLBACK TO {name}")
            connection.execute(f"RELEASE {name}")
        raise


@contextmanager
def as_ledger(connection: sqlite3.Connection) -> Iterator[None]:
    """Have rows and texts come as the ledger reads them, and afterwards as the application does."""
    factories = connection.row_factory, connection.text_factory
    connection.row_factory, connection.text_factory = None, str
    try:
        yield
    finally:
        connection.row_factory, connection.text_factory = factories


@contextmanager
def impatient(connection: sqlite3.Connection) -> Iterator[None]:
    """Have SQLite not wait for locks in the block: whoever began it waits, until its deadline."""
    with as_ledger(connection):
        (milliseconds,) = connection.execute("PRAGMA busy_timeout").fetchone()
        connection.execute("PRAGMA busy_timeout = 0")
        try:
            yield
        finally:
            connection.execute(f"PRAGMA busy_timeout = {milliseconds}")


def check(
    connection: object, path: Path | None, file: tuple[int, int] | None
) -> sqlite3.Connection:
    """Return the connection if its commit can be the ledger's.

    Raises:
        EnlistmentError: it is to another file, or would not commit as durably as a ledger does.
    """
    if path is None:
        raise EnlistmentError("a ledger in memory is in no file that a connection could be on")
    if not isinstance(connection, sqlite3.Connection):
        raise EnlistmentError(
            f"this ledger is an SQLite file, and a {type(connection).__name__} is no "
            "sqlite3.Connection"
        )
    with as_ledger(connection):
        _check_file(connection, path, file)
        _check_settings(connection)
    return connection


def _check_file(connection: sqlite3.Connection, path: Path, file: tuple[int, int] | None) -> None:
    databases = {row[1]: row[2] for row in connection.execute("PRAGMA database_list")}
    if sqlite_file.identity(databases.pop("main")) == file:
        hidden = {
            row[0].lower() for row in connection.execute("SELECT +name FROM temp.sqlite_master")
        }
        for name in sorted(hidden & sqlite_file.own_names()):
            raise EnlistmentError(f"a temporary object of the connection hides the ledger's {name}")
        return
    if any(sqlite_file.identity(place) == file for place in databases.values() if place):
        raise EnlistmentError(
            f"the ledger {path} is attached to the connection; SQLite does not commit several "
            "files as one, so the ledger must be in the connection's own file"
        )
    raise EnlistmentError(
        f"the connection is not to the file of the ledger {path}; only what is in one file "
        "is committed as one"
    )


def _check_settings(connection: sqlite3.Connection) -> None:
    (synchronous,) = connection.execute("PRAGMA main.synchronous").fetchone()
    if synchronous < _SYNCHRONOUS_FULL:
        raise EnlistmentError(
            "a commit of this connection may be lost when the power fails; after connecting, "
            'execute "PRAGMA synchronous = FULL" on it'
        )
    (journal,) = connection.execute("PRAGMA main.journal_mode").fetchone()
    if journal in ("off", "memory"):
        raise EnlistmentError(
            f"the connection keeps no journal on the disk (journal_mode is {journal!r}), so what "
            'fails is not taken back; execute "PRAGMA journal_mode = WAL" on it'
        )
    is_autocommit = connection.isolation_level is None or (
        getattr(connection, "autocommit", None) is True
    )
    if is_autocommit and not connection.in_transaction:
        raise EnlistmentError(
            "the connection commits each statement by itself; begin a transaction: "
            'connection.execute("BEGIN IMMEDIATE")'
        )


def lock(connection: sqlite3.Connection) -> None:
    """Take SQLite's write lock, in a transaction that has begun.

    The turns of the ledger's own writers are not waited for: one of them may be waiting for this
    very transaction.

    Raises:
        LedgerBusyError: somebody has written since the transaction's first read.
    """
    try:
        connection.execute(_LOCK)
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorname", "") != "SQLITE_BUSY_SNAPSHOT":
            raise
        raise LedgerBusyError(
            "somebody has written since this transaction first read; nothing was recorded: roll "
            "back and try again, and begin with BEGIN IMMEDIATE, so that it cannot happen"
        ) from error

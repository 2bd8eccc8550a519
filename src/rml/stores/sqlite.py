"""A ledger in one SQLite file: whose turn it is to commit, and how readers stay out of the way.

Writers of one process queue behind one lock, and whoever holds it commits all that is waiting; in
front of the file a lock file makes processes take turns. Transactions begin with ``BEGIN
IMMEDIATE``, are flushed to the disk before they count (``synchronous=FULL``), and checkpoints
happen inside commits, so under the same lock. Readers use connections of their own and read in
pages, so none pins the write-ahead log. A connection never crosses a fork.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Final, TypeVar
from weakref import WeakSet

import attrs

from rml.error import InvalidInputError
from rml.ledger.entry import Entry
from rml.ledger.errors import (
    AppendUnknownError,
    LedgerBusyError,
    LedgerCorruptError,
    LedgerUnavailableError,
)
from rml.ledger.store import Head, Lease, Opening, Query, Row, Transaction
from rml.ledger.tree import Frontier, Tile
from rml.stores import sqlite_file, sqlite_rows
from rml.stores.sqlite_file import explain, is_busy
from rml.stores.sqlite_rows import SqliteTransaction
from rml.stores.turns import FileTurns, NoTurns

T = TypeVar("T")

# A page of a streamed read: large enough to cost nothing, small enough that no reader holds the log
# for long.
PAGE_ROWS: Final = 1_000
# Commits that are waiting share one flush; more than this would make the first of them wait too
# long.
BATCH_MAX: Final = 512
# How long a writer sleeps between two looks at a busy file, in seconds.
_PAUSE_SECONDS: Final = 0.0005


def open_store(opening: Opening) -> SqliteStore:
    """Open, or create, the ledger that a ``sqlite:`` URL names.

    Raises:
        LedgerUnavailableError: the file or its folder cannot be used.
        NotALedgerError: the file is something else.
        NewerFormatError: the file was written by a later rml.
    """
    _, _, place = opening.url.partition("://")
    place = place.removeprefix("/")
    if not place:
        raise InvalidInputError(
            f"the URL {opening.url!r} names no file; write sqlite:///payments.db, "
            "or sqlite://:memory:"
        )
    return SqliteStore(None if place == ":memory:" else Path(place), opening)


@attrs.define(eq=False)
class _Waiting:
    """One caller's work, waiting for whoever commits next."""

    work: Callable[[Transaction], Any]
    done: bool = False
    result: Any = None
    error: BaseException | None = None

    def outcome(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.result


class SqliteStore:
    """See the module. Safe to share between threads; a forked child opens its own connections."""

    def __init__(self, path: Path | None, opening: Opening) -> None:
        self._path = path.absolute() if path is not None else None
        self._opening = opening
        self._closed = False
        self._file: tuple[int, int] | None = None
        self._start()
        _stores.add(self)
        self.origin: str = self._recognise()
        self._file = None if self._path is None else sqlite_file.identity(self._path)

    def _start(self) -> None:
        """Have no connections and locks yet: at first, and in a forked child."""
        self._forked = False
        self._turn = threading.Lock()
        self._leader: int | None = None
        self._queue: deque[_Waiting] = deque()
        self._readers: list[sqlite3.Connection] = []
        self._writer: sqlite3.Connection | None = None
        self._frontier = Frontier()
        self._turns = NoTurns() if self._path is None else FileTurns(self._path)

    def _recognise(self) -> str:
        if self._path is not None:
            sqlite_file.check_place(self._path, create=self._opening.create)
        try:
            if self._path is not None and self._path.exists():
                with self._reading() as reader:  # whatever is there, looking changes none of it
                    if not (self._opening.create and sqlite_file.is_blank(reader)):
                        return sqlite_file.recognise(reader, self._path, self._opening)
            connection = self._begin(time.monotonic() + self._opening.timeout)
            try:
                origin = sqlite_file.recognise(connection, self._path, self._opening)
            except BaseException:
                self._abandon(connection)
                raise
            self._commit(connection)
        except sqlite3.Error as error:
            self.close()
            raise self._explain(error) from error
        except BaseException:
            self.close()
            raise
        return origin

    # Writing -------------------------------------------------------------------------------------

    def write(self, work: Callable[[Transaction], T], *, timeout: float) -> T:
        """Run ``work`` in one durable commit, together with whatever else is waiting."""
        self._check_usable()
        if self._leader == threading.get_ident():
            raise InvalidInputError(
                "a ledger was written to from inside its own transaction; "
                "use the draft that was passed in"
            )
        deadline = time.monotonic() + timeout
        waiting = _Waiting(work)
        self._queue.append(waiting)
        self._await_turn(waiting, timeout)
        try:
            self._leader = threading.get_ident()
            while not waiting.done:  # more may have been waiting than one commit takes
                self._commit_waiting(waiting, deadline)
        finally:
            self._leader = None
            self._turn.release()
        result: T = waiting.outcome()
        return result

    def _await_turn(self, waiting: _Waiting, timeout: float) -> None:
        """Acquire the lock, or leave the queue: nobody may carry out what nobody waits for."""
        try:
            acquired = self._turn.acquire(timeout=max(timeout, 0))
        except BaseException:
            with suppress(ValueError):
                self._queue.remove(waiting)
            raise
        if not acquired:
            try:
                self._queue.remove(waiting)
            except ValueError:
                self._turn.acquire()  # somebody commits it right now: the answer is moments away
            else:
                raise self._busy()

    def _commit_waiting(self, own: _Waiting, deadline: float) -> None:
        """Commit everything in the queue as one transaction; each work gets its result or error."""
        batch: list[_Waiting] = []
        committing = False
        try:
            connection = self._begin(deadline)
            try:
                while self._queue and len(batch) < BATCH_MAX:
                    batch.append(self._queue.popleft())
                transaction = SqliteTransaction(connection, self._known_frontier(connection))
                for waiting in batch:
                    self._run(waiting, transaction, alone=len(batch) == 1)
                frontier = transaction.seal()
            except BaseException:
                self._abandon(connection)
                raise
            committing = True
            self._commit(connection)
            self._frontier = frontier
        except Exception as error:  # noqa: BLE001 - raised again in the threads that wait for it
            explained = self._explain(error) if isinstance(error, sqlite3.Error) else error
            with suppress(ValueError):
                self._queue.remove(own)
            for waiting in {id(w): w for w in [*batch, own]}.values():
                waiting.error = waiting.error or explained
            own.done = True
        except BaseException:
            self._interrupted(own, batch, committing=committing)
            raise
        for waiting in batch:
            waiting.done = True

    def _interrupted(self, own: _Waiting, batch: list[_Waiting], *, committing: bool) -> None:
        """Let the others wait for the next leader, unless their commit was already under way."""
        with suppress(ValueError):
            self._queue.remove(own)
        for waiting in batch:
            if waiting is own:
                continue
            waiting.error = None
            if committing:
                waiting.error = AppendUnknownError(
                    "another thread was interrupted while committing"
                )
                waiting.done = True
            else:
                self._queue.append(waiting)

    def _run(self, waiting: _Waiting, transaction: SqliteTransaction, *, alone: bool) -> None:
        if alone:
            waiting.result = waiting.work(transaction)
            return
        mark = transaction.mark()
        try:
            waiting.result = waiting.work(transaction)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and _in_main_thread():
                raise  # Ctrl-C is this thread's, whoever's work it is in
            waiting.error = self._explain(error) if isinstance(error, sqlite3.Error) else error
            transaction.back_to(mark)
        else:
            transaction.release()

    def _begin(self, deadline: float) -> sqlite3.Connection:
        """Take the process's turn and the file's write lock; `_commit` or `_abandon` ends it."""
        if not self._turns.take(deadline):
            raise self._busy()
        try:
            self._check_identity()
            if self._writer is None:
                self._writer = sqlite_file.connect(
                    self._path,
                    create=self._opening.create and self._file is None,
                    wait=self._opening.timeout,
                )
                self._writer.execute("PRAGMA busy_timeout = 0")  # `_until` waits, call by call
                if self._path is not None:
                    self._until(deadline, self._writer, "PRAGMA journal_mode = WAL")
            if self._writer.in_transaction:  # an interrupt came before its end could be seen to
                self._writer.rollback()
            self._until(deadline, self._writer, "BEGIN IMMEDIATE")
        except BaseException:
            self._turns.give_back()
            raise
        return self._writer

    def _check_identity(self) -> None:
        """Refuse to write into a file that has no name any more: nobody would find it again."""
        if self._path is None or self._file in (None, sqlite_file.identity(self._path)):
            return
        raise LedgerUnavailableError(
            f"the ledger {self._path} was removed or replaced while it was open; "
            "nothing was recorded"
        )

    def _until(self, deadline: float, connection: sqlite3.Connection, statement: str) -> None:
        """Execute a statement, looking again while somebody holds the file, until the deadline."""
        while True:
            try:
                connection.execute(statement)
            except sqlite3.OperationalError as error:
                if not is_busy(error) or time.monotonic() >= deadline:
                    raise
                time.sleep(_PAUSE_SECONDS)
            else:
                return

    def _abandon(self, connection: sqlite3.Connection) -> None:
        try:
            connection.rollback()
        finally:
            self._turns.give_back()

    def _commit(self, connection: sqlite3.Connection) -> None:
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", "") or ""
            with suppress(sqlite3.Error):
                connection.rollback()
            self._drop_writer()
            if name.startswith(("SQLITE_BUSY", "SQLITE_FULL")):
                raise
            raise AppendUnknownError(
                f"the commit failed ({name or error}); whether it is durable shows when the ledger "
                "is read again"
            ) from error
        finally:
            self._turns.give_back()

    def _known_frontier(self, connection: sqlite3.Connection) -> Frontier:
        """Return the tree's edge, read anew when somebody else has appended."""
        size, root = self._head(connection)
        if self._frontier.size != size or self._frontier.root() != root:
            self._frontier = sqlite_rows.read_frontier(connection, size)
            if self._frontier.root() != root:
                raise LedgerCorruptError(
                    "the tree's root does not follow from its hashes; "
                    "run `rml verify` and keep the file as evidence"
                )
        return self._frontier

    def _drop_writer(self) -> None:
        if self._writer is not None:
            with suppress(sqlite3.Error):
                self._writer.close()
        self._writer = None

    # Reading -------------------------------------------------------------------------------------

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection; in memory there is only one, so readers wait for writers."""
        self._check_usable()
        if self._path is None:
            own = self._leader == threading.get_ident()  # a work that looks around, in mid-commit
            with nullcontext() if own else self._turn:
                assert self._writer is not None
                yield self._writer
            return
        connection = self._reader()
        try:
            yield connection
        except sqlite3.Error as error:
            connection.close()
            raise self._explain(error) from error
        except BaseException:
            connection.close()
            raise
        if self._closed:
            connection.close()
        else:
            self._readers.append(connection)

    def _reader(self) -> sqlite3.Connection:
        try:
            return self._readers.pop()
        except IndexError:
            pass
        assert self._path is not None
        try:
            sqlite_file.check_place(self._path, create=False)
            return sqlite_file.connect(self._path, create=False, wait=self._opening.timeout)
        except sqlite3.Error as error:
            raise self._explain(error) from error

    def select(self, query: Query) -> Iterator[Entry]:
        """Yield matching entries in pages; what is appended after the first page is not seen."""
        end = self.head().size
        left = query.limit
        while left is None or left > 0:
            rows = PAGE_ROWS if left is None else min(PAGE_ROWS, left)
            with self._reading() as connection:
                page = sqlite_rows.select(connection, attrs.evolve(query, limit=rows), end)
            yield from page
            if len(page) < rows:
                return
            last = page[-1].index
            assert last is not None
            if query.newest_first:
                end = last
            else:
                query = attrs.evolve(query, after=last)
            left = None if left is None else left - rows

    def count(self, query: Query) -> int:
        """Return how many entries match."""
        where, values = sqlite_rows.conditions(query)
        with self._reading() as connection:
            rows = connection.execute(f"SELECT count(*) FROM entries WHERE {where}", values)
            number: int = rows.fetchone()[0]
        return number

    def effect(self, effect: str) -> tuple[list[Entry], Lease | None]:
        """Return an effect's entries and its lease.

        They are two looks. An effect is never seen without the lease of its attempt unless it is
        missing: when there is none, the entries are read once more.
        """
        with self._reading() as connection:
            entries = sqlite_rows.of_effect(connection, effect)
            if not entries:
                return entries, None
            lease = sqlite_rows.lease_of(connection, effect)
            if lease is None:
                entries = sqlite_rows.of_effect(connection, effect)
            return entries, lease

    def last(self, effect: str) -> tuple[str, bytes | None] | None:
        """Return the kind of an effect's newest entry and what is kept beside it.

        Every repeated call asks this, so it does by hand what `_reading` does for the others.
        """
        if self._path is None or not self._readers:
            with self._reading() as connection:
                return sqlite_rows.last_of_effect(connection, effect)
        self._check_usable()
        connection = self._reader()
        try:
            newest = sqlite_rows.last_of_effect(connection, effect)
        except sqlite3.Error as error:
            connection.close()
            raise self._explain(error) from error
        self._readers.append(connection)
        return newest

    def leases(self) -> list[Lease]:
        """Return all leases, by effect id."""
        with self._reading() as connection:
            rows = connection.execute("SELECT effect, attempt, owner, until FROM leases").fetchall()
        return [Lease(*row) for row in rows]

    def head(self) -> Head:
        """Return the recorded size and root."""
        with self._reading() as connection:
            return Head(*self._head(connection))

    @staticmethod
    def _head(connection: sqlite3.Connection) -> tuple[int, bytes]:
        row: tuple[int, bytes] | None = connection.execute("SELECT size, root FROM head").fetchone()
        if row is None:
            raise LedgerCorruptError("the ledger's head is missing")
        return row

    def rows(self) -> Iterator[Row]:
        """Yield every row of entries as stored."""
        last: float = float("-inf")  # below any index that somebody may have hidden a row at
        while True:
            with self._reading() as connection:
                connection.text_factory = bytes  # text that is no UTF-8 is a finding, not an error
                try:
                    page = connection.execute(sqlite_rows.ROWS, (last, PAGE_ROWS)).fetchall()
                finally:
                    connection.text_factory = str
            for row in page:
                index, data, leaf, personal, *columns = row
                yield Row(index, data, leaf, personal, tuple(columns))
            if len(page) < PAGE_ROWS:
                return
            last = page[-1][0]

    def tiles(self) -> Iterator[Tile]:
        """Yield every stored tile."""
        query = "SELECT level, place, hashes, root FROM tiles ORDER BY level, place"
        with self._reading() as connection:
            rows = connection.execute(query).fetchall()
        for row in rows:
            yield Tile(*row)

    def hashes(self, level: int, start: int, stop: int) -> list[bytes]:
        """Return the stored hashes of one level."""
        with self._reading() as connection:
            return sqlite_rows.hashes(connection, level, start, stop)

    def findings(self) -> list[tuple[str, str]]:
        """Return what is wrong with the file itself."""
        with self._reading() as connection:
            return sqlite_file.findings(connection)

    def scrub(self) -> None:
        """Fold the write-ahead log into the file and empty it; free space is overwritten already.

        A reader in the middle of an old view keeps its part of the log until the next time.
        """
        if self._path is None:
            return
        with self._turn:
            if self._writer is None or not self._turns.take(
                time.monotonic() + self._opening.timeout
            ):
                return
            try:
                self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise self._explain(error) from error
            finally:
                self._turns.give_back()

    # Ending --------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close every connection; the last one folds the write-ahead log into the file."""
        self._closed = True
        if self._forked:
            return
        if self._leader == threading.get_ident():
            raise InvalidInputError("a ledger cannot be closed from inside its own transaction")
        while self._readers:
            self._readers.pop().close()
        with self._turn:  # a commit that is under way ends first
            if self._writer is not None:
                granted = self._turns.take(time.monotonic() + self._opening.timeout)
                self._drop_writer()
                if granted:
                    self._turns.give_back()
            self._turns.close()

    def forked(self) -> None:
        """Take note of running in a forked child: the parent's connections are left alone."""
        self._forked = True
        self._turns.close()  # else the child would keep its dead parent's turn
        _inherited.append((self._writer, self._readers))

    def _check_usable(self) -> None:
        if self._closed:
            raise LedgerUnavailableError("the ledger is closed; open it again with rml.Ledger(...)")
        if self._forked:
            if self._path is None:
                raise LedgerUnavailableError(
                    "a ledger in memory cannot be shared with a forked process; use a file"
                )
            self._start()

    def _busy(self) -> LedgerBusyError:
        return LedgerBusyError(
            f"the ledger {self._path} stayed busy until the deadline; "
            "nothing was recorded, try again"
        )

    def _explain(self, error: sqlite3.Error) -> Exception:
        if is_busy(error):
            return self._busy()
        return explain(error, self._path)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


_stores: WeakSet[SqliteStore] = WeakSet()
# SQLite forbids even to close in a child what the parent opened, so a child keeps it for ever.
_inherited: list[object] = []


def _mark_forked() -> None:
    """Tell every store, in a forked child, that its connections and locks are the parent's."""
    for store in _stores:
        store.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_mark_forked)

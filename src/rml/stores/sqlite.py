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
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar
from weakref import WeakSet

from rml.error import InvalidInputError
from rml.handled import apart
from rml.ledger.errors import AppendUnknownError, LedgerBusyError, LedgerUnavailableError
from rml.ledger.store import Opening, Transaction
from rml.stores import sqlite_enlisted, sqlite_file
from rml.stores.commits import Commits, Waiting
from rml.stores.sqlite_enlisted import SqliteEnlisted
from rml.stores.sqlite_readers import Readers
from rml.stores.sqlite_rows import SqliteTransaction
from rml.stores.sqlite_verifying import SqliteVerifying
from rml.stores.sqlite_writer import Writer

T = TypeVar("T")

# How long a fork waits for readers and commits of other threads to end, in seconds.
FORK_SECONDS: Final = 2.0


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


class SqliteStore(SqliteVerifying):
    """See the module. Safe to share between threads; a forked child opens its own connections."""

    def __init__(self, path: Path | None, opening: Opening) -> None:
        self._path = path.absolute() if path is not None else None
        self._opening = opening
        self._unusable: str | None = None
        self._held = self._clean = False
        self._start()
        _stores.add(self)
        self.origin: str = self._recognise()
        if self._path is not None:
            self._writer.file = sqlite_file.identity(self._path)

    def _start(self, file: tuple[int, int] | None = None) -> None:
        """Have no connections and locks yet: at first, and in a forked child."""
        self._commits = Commits()
        self._readers = Readers(self._connect_reader)
        self._writer = Writer(self._path, self._opening, file)

    def _recognise(self) -> str:
        if self._path is not None:
            sqlite_file.check_place(self._path, create=self._opening.create)
            if sqlite_file.identity(self._path) in _tainted:
                raise LedgerUnavailableError(_FORKED_IN_USE)
        try:
            if self._path is not None and self._path.exists():
                with self._reading() as reader:  # whatever is there, looking changes none of it
                    if not sqlite_file.is_for_creation(reader, self._path, self._opening):
                        return sqlite_file.recognise(reader, self._path, self._opening)
            connection = self._writer.begin(time.monotonic() + self._opening.timeout)
            try:
                origin = sqlite_file.recognise(connection, self._path, self._opening)
            except BaseException:
                self._writer.abandon()
                raise
            self._writer.commit()
        except sqlite3.Error as error:
            self.close()
            raise self._explain(error) from error
        except BaseException:
            self.close()
            raise
        return origin

    # Writing -------------------------------------------------------------------------------------

    def supposes_new(self, effect: str) -> bool:  # noqa: ARG002 - as stores are asked
        """Say no: a work looks, once it is its turn to write."""
        return False

    def write(self, work: Callable[[Transaction], T], *, timeout: float) -> T:
        """Run ``work`` in one durable commit, together with whatever else is waiting."""
        self._check_writable()
        try:
            result: T = self._commits.carry_out(work, timeout, self._commit, self._commit_waiting)
        except TimeoutError:
            raise sqlite_file.busy(self._path) from None
        return result

    def enlist(self, connection: object, *, timeout: float) -> SqliteEnlisted:
        """Join the transaction of an application's connection to the same file."""
        self._check_writable()
        try:
            own = sqlite_enlisted.check(connection, self._path, self._writer.file)
            if own.in_transaction:
                sqlite_enlisted.lock(own)
            else:
                self._begin_on(own, timeout)
        except sqlite3.Error as error:
            raise self._explain(error) from error
        return SqliteEnlisted(own, self._explain)

    def _begin_on(self, connection: sqlite3.Connection, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        if not self._commits.hold(timeout):
            raise sqlite_file.busy(self._path)
        try:
            with sqlite_enlisted.impatient(connection):
                self._writer.begin_on(connection, deadline)
        finally:
            self._commits.let_go()

    def _commit(self, work: Callable[[Transaction], T], deadline: float) -> T:
        """Commit one work by itself."""
        try:
            self._writer.begin(deadline)
            try:
                transaction = self._writer.transaction()
                result = work(transaction)
                transaction.seal()
            except BaseException:
                self._writer.abandon()
                raise
            self._writer.commit(transaction)
        except sqlite3.Error as error:
            raise self._explain(error) from error
        self._writer.tidy()
        return result

    def _commit_waiting(self, own: Waiting, deadline: float) -> None:
        """Commit everything in the queue as one transaction; each work gets its result or error."""
        batch: list[Waiting] = []
        committing = False
        try:
            self._commits.gather()
            self._writer.begin(deadline)
            try:
                self._commits.move_to(batch)
                transaction = self._writer.transaction()
                for waiting in batch:
                    self._run(waiting, transaction)
                transaction.seal()
            except BaseException:
                self._writer.abandon()
                raise
            committing = True
            self._writer.commit(transaction)
            self._commits.end(batch)
        except Exception as error:  # noqa: BLE001 - raised again in the threads that wait for it
            explained = self._explain(error) if isinstance(error, sqlite3.Error) else error
            self._commits.withdraw(own)
            self._commits.end({id(w): w for w in [*batch, own]}.values(), explained)
        except BaseException:
            self._interrupted(own, batch, committing=committing)
            raise
        else:
            self._writer.tidy()

    def _interrupted(self, own: Waiting, batch: list[Waiting], *, committing: bool) -> None:
        """Let the others wait for the next leader, unless their commit was already under way."""
        self._commits.withdraw(own)
        for waiting in batch:
            if waiting is own or waiting.done:
                continue
            if committing:
                trouble = "another thread was interrupted while committing"
                waiting.error = None
                self._commits.end([waiting], AppendUnknownError(trouble))
            else:
                self._commits.put_back(waiting)

    def _run(self, waiting: Waiting, transaction: SqliteTransaction) -> None:
        """Run one of several works, so that it fails alone."""
        mark = transaction.mark()
        try:
            with apart():
                waiting.result = waiting.work(transaction)
            transaction.release()
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and _in_main_thread():
                raise  # Ctrl-C is this thread's, whoever's work it is in
            if not transaction.back_to(mark):  # so nobody's work is left
                raise
            waiting.error = self._explain(error) if isinstance(error, sqlite3.Error) else error

    def scrub(self) -> None:
        """Fold the write-ahead log into the file and empty it; free space is overwritten already.

        While somebody reads an old view the log cannot be emptied; every later commit tries again.
        """
        if self._path is None:
            return
        self._writer.empty_log()
        with suppress(LedgerBusyError, LedgerUnavailableError):  # then a later commit does it
            self.write(lambda _: None, timeout=self._opening.timeout)

    # Ending --------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close every connection; the last one folds the write-ahead log into the file."""
        if self._commits.leading():
            raise InvalidInputError("a ledger cannot be closed from inside its own transaction")
        self._unusable = _CLOSED
        self._readers.close()
        with self._commits.alone():  # a commit that is under way ends first
            self._writer.close(time.monotonic() + self._opening.timeout)

    def _check_writable(self) -> None:
        self._check_usable()
        if self._commits.leading():
            raise InvalidInputError(
                "a ledger was written to from inside its own transaction; "
                "use the draft that was passed in"
            )

    def _check_usable(self) -> None:
        if self._unusable is not None:
            raise LedgerUnavailableError(self._unusable)

    # Forking -------------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """Have no connection open: SQLite's locks do not survive being copied into a child."""
        self._held = self._commits.hold(FORK_SECONDS)
        self._clean = self._readers.hold(FORK_SECONDS) and self._held
        if self._clean and self._path is not None:
            self._writer.drop()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self._readers.let_go()
        if self._held:
            self._commits.let_go()

    def after_fork_in_child(self) -> None:
        """Begin anew; a ledger that could not be left alone in time is refused in the child."""
        before = self._writer
        if not self._clean or self._path is None:
            _inherited.append((before, self._readers))  # not even to be closed here
            self._unusable = _FORKED_IN_MEMORY if self._path is None else _FORKED_IN_USE
            if before.file is not None:
                _tainted.add(before.file)
        before.forget()
        self._start(before.file)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


_CLOSED: Final = "the ledger is closed; open it again with rml.Ledger(...)"
_FORKED_IN_MEMORY: Final = "a ledger in memory cannot be shared with a forked process; use a file"
_FORKED_IN_USE: Final = (
    "this process was forked while other threads used the ledger, and SQLite's locks do not "
    "survive that; fork first, or start processes by spawning"
)
_stores: WeakSet[SqliteStore] = WeakSet()
# What a child must keep, because SQLite forbids even to close what the parent opened; and the files
# that are spoilt for it.
_inherited: list[object] = []
_tainted: set[tuple[int, int] | None] = set()


def _each(step: Callable[[SqliteStore], None]) -> Callable[[], None]:
    def run() -> None:
        for store in list(_stores):
            step(store)

    return run


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_each(SqliteStore.before_fork),
        after_in_parent=_each(SqliteStore.after_fork_in_parent),
        after_in_child=_each(SqliteStore.after_fork_in_child),
    )

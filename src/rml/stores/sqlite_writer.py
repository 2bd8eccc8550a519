"""The one connection that a process writes a ledger file with: its turn, its commits, its log.

A turn spans one commit and the checkpoint that SQLite makes inside it, so that nobody else commits
during a checkpoint: before 3.51.3 SQLite could corrupt the file then ("WAL reset").
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from rml.ledger.errors import AppendUnknownError, LedgerUnavailableError
from rml.ledger.store import Opening
from rml.ledger.tree import Frontier
from rml.stores import sqlite_file, sqlite_rows
from rml.stores.sqlite_file import busy, is_busy
from rml.stores.sqlite_rows import Executor, SqliteTransaction
from rml.stores.turns import FileTurns, NoTurns

# SQLite folds the log into the file when a commit leaves it this long: 16 MB, or some thousand
# commits. A quarter of it would spare a new log most of its growth, but folding comes four times as
# often, and of eight busy processes the unluckiest then waits three times as long for its turn.
LOG_PAGES: Final = 4_000
# The write-ahead log is emptied when its file has grown beyond this: readers, one after the other,
# or one commit of this size can keep SQLite from beginning it anew.
LOG_BYTES_MAX: Final = 64 << 20
# Commits between two looks at its size.
LOOK_COMMITS: Final = 64
# How long readers are waited for then, in seconds; one that takes longer is met again later.
READERS_SECONDS: Final = 0.05
# How long a look at which file the ledger's name leads to holds, in seconds. It cannot see what
# happens right after it anyway, and on a fast disk it would cost a fifth of all computing.
NAME_SECONDS: Final = 0.001
# How long a writer sleeps between two looks at a busy file, in seconds.
_PAUSE_SECONDS: Final = 0.0005
_NO_LOG: Final = (
    "the ledger {path} is read-only, or lies where SQLite cannot keep a write-ahead log, such as a "
    "network drive; nothing was recorded"
)


class Writer:
    """See the module. It is used by one thread at a time: by whoever leads the process's commits.

    Attributes:
        connection: the connection, once there is one.
        file: which file the ledger was found in; it is never written to under another name.
    """

    def __init__(
        self, path: Path | None, opening: Opening, file: tuple[int, int] | None = None
    ) -> None:
        self._path = path
        self._opening = opening
        self._turns = NoTurns() if path is None else FileTurns(path)
        self._frontier: Frontier | None = None
        self._is_log_due = False
        self._commits = 0
        self._named_until = float("-inf")
        self._waited_at = 0
        self._cursor: sqlite3.Cursor | None = None
        self.connection: sqlite3.Connection | None = None
        self.file = file

    def begin(self, deadline: float) -> sqlite3.Connection:
        """Take the process's turn and the file's write lock; `commit` or `abandon` ends both.

        Raises:
            LedgerBusyError: others had them until ``deadline`` (monotonic seconds).
            LedgerUnavailableError: the file cannot be written, or is gone.
        """
        try:
            if not self._turns.take(deadline):
                raise busy(self._path)
            self.check_named()
            connection = self.connection or self._connect(deadline)
            if connection.in_transaction:  # an interrupt came before its end could be seen to
                connection.rollback()
            assert self._cursor is not None
            self._until(deadline, self._cursor, "BEGIN IMMEDIATE")
        except BaseException:
            self._turns.give_back()
            raise
        return connection

    def begin_on(self, connection: sqlite3.Connection, deadline: float) -> None:
        """Begin a transaction on the application's own connection, when it is its turn.

        The turn ends at once, for nobody sees the commit. So whoever holds SQLite's lock never
        waits for a turn, and whoever has the turn waits for SQLite's lock: they cannot wait for
        each other.

        Raises:
            LedgerBusyError: as :meth:`begin`.
            LedgerUnavailableError: as :meth:`begin`.
        """
        try:
            if not self._turns.take(deadline):
                raise busy(self._path)
            self._check_identity()
            self._until(deadline, connection, "BEGIN IMMEDIATE")
        finally:
            self._turns.give_back()

    def _connect(self, deadline: float) -> sqlite3.Connection:
        create = self._opening.create and self.file is None
        connection = sqlite_file.connect(self._path, create=create, wait=self._opening.timeout)
        try:
            connection.execute("PRAGMA busy_timeout = 0")  # `_until` waits, call by call
            connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
            if self._path is not None:
                mode = self._until(deadline, connection, "PRAGMA journal_mode = WAL")
                if mode != ("wal",):
                    raise LedgerUnavailableError(_NO_LOG.format(path=self._path))
        except BaseException:
            connection.close()
            raise
        self._cursor = connection.cursor()
        self.connection = connection
        return connection

    def check_named(self, so: str = "nothing was recorded") -> None:
        """Refuse a file that has no name any more: what others record is not in it.

        Raises:
            LedgerUnavailableError: the file is gone; the message ends with ``so``.
        """
        if self.file is not None and time.monotonic() > self._named_until:
            self._check_identity(so)

    def _check_identity(self, so: str = "nothing was recorded") -> None:
        """Refuse to write into a file that has no name any more: nobody would find it again."""
        if self._path is not None and self.file != sqlite_file.identity(self._path):
            raise LedgerUnavailableError(
                f"the ledger {self._path} was removed or replaced while it was open; {so}"
            )
        self._named_until = time.monotonic() + NAME_SECONDS

    def _until(self, deadline: float, on: Executor, statement: str) -> Any:
        """Execute a statement, looking again while somebody holds the file, until the deadline."""
        while True:
            try:
                return on.execute(statement).fetchone()
            except sqlite3.OperationalError as error:
                if not is_busy(error) or time.monotonic() >= deadline:
                    raise
                time.sleep(_PAUSE_SECONDS)

    def transaction(self) -> SqliteTransaction:
        """Return what is appended to; the tree's edge is read anew if somebody else has appended.

        Raises:
            LedgerCorruptError: the tree does not add up.
        """
        assert self._cursor is not None
        size, root = sqlite_rows.head(self._cursor)
        frontier, self._frontier = self._frontier, None
        if frontier is None or frontier.size != size or frontier.root() != root:
            frontier = sqlite_rows.frontier(self._cursor, size, root)
        return SqliteTransaction(self._cursor, frontier)

    def commit(self, transaction: SqliteTransaction | None = None) -> None:
        """Make the transaction durable.

        Raises:
            AppendUnknownError: it failed in a way that leaves open whether it is durable.
            sqlite3.OperationalError: it failed, and nothing was recorded.
        """
        assert self.connection is not None
        assert self._cursor is not None
        try:
            self._cursor.execute("COMMIT")
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", "") or ""
            with suppress(sqlite3.Error):
                self.connection.rollback()
                self._write_over()
            self.drop()
            if name.startswith(("SQLITE_BUSY", "SQLITE_FULL")):
                raise
            raise AppendUnknownError(
                f"the commit failed ({name or error}); whether it is durable shows when the ledger "
                "is read again"
            ) from error
        finally:
            self._turns.give_back()
        if transaction is not None:
            self._frontier = transaction.frontier

    def _write_over(self) -> None:
        """Write over what a failed commit has left in the log.

        If only its flush failed, it lies there whole: nobody sees it until the log is recovered
        after a crash, and then it would count.
        """
        assert self.connection is not None
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.execute(f"PRAGMA user_version = {sqlite_file.SCHEMA_VERSION}")
        self.connection.execute("COMMIT")

    def abandon(self) -> None:
        """Take back what was begun."""
        try:
            if self.connection is not None:
                self.connection.rollback()
        finally:
            self._turns.give_back()

    def empty_log(self) -> None:
        """Have the write-ahead log emptied after the next commit at which nobody reads from it."""
        self._is_log_due = self._path is not None

    def tidy(self) -> None:
        """Empty the log if that is due, or if its file has grown too large."""
        self._commits += 1
        size = 0 if self._commits % LOOK_COMMITS else self._log_bytes()
        is_large = size > LOG_BYTES_MAX
        if (self._is_log_due or is_large) and self._turns.take(time.monotonic()):
            try:
                self._truncate_log(size)
            except sqlite3.Error:
                pass  # what was committed is durable; the next commit tries again, or says why not
            finally:
                self._turns.give_back()

    def _log_bytes(self) -> int:
        try:
            return os.stat(f"{self._path}-wal").st_size  # noqa: PTH116 - as `identity`
        except OSError:
            return 0

    def _truncate_log(self, size: int) -> None:
        """Empty the log; its readers are waited for once for each time that it grows too large."""
        assert self.connection is not None
        deadline = time.monotonic()
        if size > self._waited_at + LOG_BYTES_MAX:
            deadline += READERS_SECONDS
            self._waited_at = size
        while True:
            checkpoint = self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            is_kept = bool(checkpoint.fetchone()[0])
            if not is_kept or time.monotonic() >= deadline:
                break
            time.sleep(_PAUSE_SECONDS)
        if not is_kept:
            self._is_log_due = False
            self._waited_at = 0

    def drop(self) -> None:
        """Close the connection; the next commit opens another one."""
        if self.connection is not None and self._cursor is not None:
            with suppress(sqlite3.Error):
                self._cursor.close()  # with a statement left, the file would stay open
                self.connection.close()
        self.connection = self._cursor = self._frontier = None

    def close(self, deadline: float) -> None:
        """Close the connection in the process's turn; the last one folds the log into the file."""
        if self.connection is not None:
            granted = self._turns.take(deadline)
            self.drop()
            if granted:
                self._turns.give_back()
        self._turns.close()

    def forget(self) -> None:
        """Let go, in a forked child, of what its parent holds."""
        self._turns.forget()

"""How a ledger's SQLite file is copied while others write: SQLite's own backup, in one view.

The reading connection holds one read transaction from the first page to the last. Without it the
copy would begin anew whenever somebody commits, and never end beside a busy writer; with it, the
write-ahead log keeps what is committed meanwhile and cannot be reset until the copy is made. The
file is never opened by other means: closing it would drop the locks that SQLite holds on it.

The copy has no write-ahead log. It is one file, complete, and reading it changes none of its bytes;
the first commit into it gives it a log again.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rml.error import InvalidInputError
from rml.files import FileNotWrittenError
from rml.ledger.errors import LedgerBusyError
from rml.stores import sqlite_file

# Four megabytes: a step is over in milliseconds, so an interrupt is seen at once.
PAGES_PER_STEP: Final = 1_000
_WAITING: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_SOURCES_OWN: Final = ("SQLITE_CORRUPT", "SQLITE_NOTADB")


def copy(
    source: sqlite3.Connection, path: Path, progress: Callable[[int, int], None], wait: float
) -> None:
    """Write what a connection sees into a new file, and let it reach the disk.

    Args:
        source: a connection of the ledger's own, with no transaction open.
        path: the new file.
        progress: called with (pages copied, pages in all) after each step.
        wait: how long to wait for whoever holds the file, in seconds.

    Raises:
        FileNotWrittenError: the new file cannot be written.
        LedgerBusyError: somebody held the ledger for too long.
    """
    if source.in_transaction:
        raise InvalidInputError("a ledger is not backed up from inside its own transaction")
    deadline = time.monotonic() + wait

    def told(status: int, remaining: int, total: int) -> None:
        if status in _WAITING and time.monotonic() > deadline:
            raise LedgerBusyError("the ledger stayed busy until the deadline; it was not copied")
        progress(total - remaining, total)

    source.execute("BEGIN")
    try:
        source.execute("SELECT size FROM head").fetchone()  # the view begins with the first read
        target = sqlite_file.connect(path, create=True, wait=wait)
        try:
            source.backup(target, pages=PAGES_PER_STEP, progress=told)
            target.execute("PRAGMA journal_mode = DELETE")
        finally:
            target.close()
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "") or ""
        if name.startswith(_SOURCES_OWN):
            raise
        raise FileNotWrittenError(f"the copy cannot be written: {error}") from error
    finally:
        source.execute("ROLLBACK")

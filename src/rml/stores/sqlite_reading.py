"""How a ledger in SQLite is read: connections of its own, and pages that pin nothing.

What is appended after a read has begun is not part of its answer; since history only grows, each
page is a view of the same history, and no read transaction stays open between two pages.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Final

from rml.ledger.entry import Entry
from rml.ledger.store import Head, Lease, Opening, Query, Row
from rml.stores import sqlite_backup, sqlite_file, sqlite_rows
from rml.stores.commits import Commits
from rml.stores.paging import in_pages
from rml.stores.sqlite_readers import Readers
from rml.stores.sqlite_writer import Writer

# A page of a streamed read: large enough to cost nothing, small enough that no reader holds the log
# for long.
PAGE_ROWS: Final = 1_000


class SqliteReading:
    """The reading half of a store; the writing half owns what it reads from."""

    _path: Path | None
    _opening: Opening
    _commits: Commits
    _readers: Readers
    _writer: Writer

    def _check_usable(self) -> None:
        """Refuse a store that is closed, or that a fork has spoilt; the writing half knows."""

    def _explain(self, error: sqlite3.Error) -> Exception:
        """Return what SQLite says as what a caller can act upon."""
        return sqlite_file.explain(error, self._path)

    def _check_named(self) -> None:
        """Refuse to tell as news what is in a file that was taken away; a backup is still made."""
        self._check_usable()
        self._writer.check_named("open what is there now with rml.Ledger(...)")

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection; in memory there is only one, so readers wait for writers."""
        self._check_usable()
        if self._path is None:
            own = self._commits.leading()  # a work that looks around, in mid-commit
            with nullcontext() if own else self._commits.alone():
                assert self._writer.connection is not None
                yield self._writer.connection
            return
        connection = self._readers.take()
        try:
            yield connection
        except sqlite3.Error as error:
            self._readers.drop(connection)
            raise self._explain(error) from error
        except BaseException:
            self._readers.drop(connection)
            raise
        self._readers.give(connection)

    def _connect_reader(self) -> sqlite3.Connection:
        assert self._path is not None
        try:
            sqlite_file.check_place(self._path, create=False)
            return sqlite_file.connect(self._path, create=False, wait=self._opening.timeout)
        except sqlite3.Error as error:
            raise self._explain(error) from error

    def select(self, query: Query) -> Iterator[Entry]:
        """Yield matching entries in pages; what is appended after the first page is not seen."""
        self._check_named()
        yield from in_pages(query, self.head().size, PAGE_ROWS, self._page)

    def _page(self, query: Query, end: int) -> list[Entry]:
        with self._reading() as connection:
            return sqlite_rows.select(connection, query, end)

    def count(self, query: Query) -> int:
        """Return how many entries match."""
        with self._reading() as connection:
            return sqlite_rows.count(connection, query)

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
        if self._path is None:
            with self._reading() as connection:
                return sqlite_rows.last_of_effect(connection, effect)
        self._check_usable()
        connection = self._readers.take()
        try:
            newest = sqlite_rows.last_of_effect(connection, effect)
        except BaseException as error:
            self._readers.drop(connection)
            if isinstance(error, sqlite3.Error):
                raise self._explain(error) from error
            raise
        self._readers.give(connection)
        return newest

    def leases(self, saying: bytes = b"") -> list[Lease]:
        """Return all leases, by effect id; or those of effects one of whose entries holds bytes."""
        self._check_named()
        with self._reading() as connection:
            return sqlite_rows.leases(connection, saying)

    def head(self) -> Head:
        """Return the recorded size and root."""
        with self._reading() as connection:
            return Head(*sqlite_rows.head(connection))

    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row]:
        """Yield every row of entries as stored, or those of a range."""
        # Everything begins below any index that somebody may have hidden a row at.
        last: float = start - 1 if start else float("-inf")
        end = float("inf") if stop is None else stop
        while True:
            with self._reading() as connection:
                connection.text_factory = bytes  # text that is no UTF-8 is a finding, not an error
                try:
                    page = connection.execute(sqlite_rows.ROWS, (last, end, PAGE_ROWS)).fetchall()
                finally:
                    connection.text_factory = str
            for row in page:
                index, data, leaf, personal, *columns = row
                yield Row(index, data, leaf, personal, tuple(columns))
            if len(page) < PAGE_ROWS:
                return
            last = page[-1][0]

    def hashes(self, level: int, start: int, stop: int) -> list[bytes]:
        """Return the stored hashes of one level."""
        with self._reading() as connection:
            return sqlite_rows.hashes(connection, level, start, stop)

    def is_at(self, path: Path) -> bool:
        """Say whether a path names this ledger's own file."""
        if self._path is None:
            return False
        own = sqlite_file.identity(self._path)
        return own is not None and own == sqlite_file.identity(path)

    def copy_to(self, path: Path, progress: Callable[[int, int], None]) -> None:
        """Write the ledger as it is now into a new file, while others go on writing."""
        with self._reading() as connection:
            sqlite_backup.copy(connection, path, progress, self._opening.timeout)

    def findings(self) -> list[tuple[str, str]]:
        """Return what is wrong with the file itself."""
        with self._reading() as connection:
            return sqlite_file.findings(connection)

"""How a ledger in PostgreSQL is read: sealed entries in pages, each page one statement.

A reader holds no transaction open between two pages, so it keeps the server from tidying nothing
up. What this process wrote is sealed before it reads, so it sees its own entries.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, TypeVar

import attrs
import psycopg

from rml.ledger.entry import Entry
from rml.ledger.store import Head, Lease, Opening, Query, Row, Survey
from rml.ledger.tree import TILE_HEIGHT, Tile
from rml.stores import postgres_findings, postgres_surveys
from rml.stores import postgres_rows as rows
from rml.stores.paging import in_pages
from rml.stores.postgres_line import Line
from rml.stores.postgres_place import Place, explain, is_lost
from rml.stores.postgres_rows import Connection
from rml.stores.postgres_sealing import Sealer

T = TypeVar("T")

PAGE_ROWS: Final = 1_000
# Between two attempts while the server is away, or others are in the way, in seconds.
PAUSE_SECONDS: Final = 0.02
PAUSE_SECONDS_MAX: Final = 0.5
_INDEX_MAX: Final = 2**63 - 1
_STRAYS_MAX: Final = 100
_LEVEL_MAX: Final = 6
_TILES: Final = (
    "SELECT level, place, hashes, root FROM ~tiles WHERE level = %b AND place >= %b AND place < %b "
    "ORDER BY place"
)
_STRAYS: Final = (
    f"SELECT level, place FROM ~tiles WHERE level NOT BETWEEN 0 AND {_LEVEL_MAX} OR place < 0 "
    f"OR place >= (%b::bigint >> ({TILE_HEIGHT} * (level + 1))) LIMIT {_STRAYS_MAX}"
)
_ERASURES: Final = (
    "SELECT bytes FROM ~entries WHERE kind = 'payload.erased' AND corrects = ANY(%b::text[])"
)
_WAITING: Final = (
    "SELECT count(*), "
    "coalesce(extract(epoch FROM clock_timestamp() - min(since)), 0)::float8 FROM ~waiting"
)


@attrs.frozen
class Waiting:
    """How many entries wait for their index, and since how many seconds the oldest one does."""

    count: int
    seconds: float


class PostgresReading(ABC):
    """The reading half of a store; the writing half owns what it reads from."""

    origin: str
    _place: Place
    _opening: Opening
    _sealer: Sealer

    @abstractmethod
    def _check_usable(self) -> None:
        """Refuse a store that is closed; the writing half knows."""

    @abstractmethod
    def _lend(self, deadline: float | None) -> AbstractContextManager[Line]:
        """Lend a connection; the writing half has the pool."""

    def _read(self, work: Callable[[Line], T], *, settled: bool = True) -> T:
        """Read, and read again over another connection while the ledger's time lasts."""
        self._check_usable()
        if settled:
            self._settle()
        return self._lasting(work)

    def _lasting(self, work: Callable[[Line], T]) -> T:
        """Do what may be done again, also if connections are lost; other errors are raised."""
        end, pause = time.monotonic() + self._opening.timeout, PAUSE_SECONDS
        while True:
            try:
                with self._lend(end) as connection:
                    return work(connection)
            except psycopg.Error as error:
                if not is_lost(error) or time.monotonic() + pause > end:
                    raise explain(error, self._place) from error
            time.sleep(pause)
            pause = min(2 * pause, PAUSE_SECONDS_MAX)

    def _settle(self) -> None:
        """Seal what this process wrote; a standby, or a role that may not, reads what is sealed."""
        if not self._sealer.owes:
            return

        def work(connection: Line) -> None:
            try:
                self._sealer.catch_up(connection, self._opening.timeout)
            except psycopg.Error as error:
                if error.sqlstate not in {"25006", "42501"}:
                    raise

        self._lasting(work)

    # Entries -------------------------------------------------------------------------------------

    def select(self, query: Query) -> Iterator[Entry]:
        """Yield matching entries in pages; what is sealed after the first page is not seen."""
        yield from in_pages(query, self.head().size, PAGE_ROWS, self._page)

    def _page(self, query: Query, end: int) -> list[Entry]:
        return self._read(
            lambda connection: rows.select(self._place, connection, query, end), settled=False
        )

    def count(self, query: Query) -> int:
        """Return how many entries match."""
        return self._read(lambda connection: rows.count(self._place, connection, query))

    def effect(self, effect: str) -> tuple[list[Entry], Lease | None]:
        """Return an effect's entries, those without an index last, and its lease, from one view."""

        def work(connection: Connection) -> tuple[list[Any], list[Any]]:
            with connection.pipeline():
                connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                entries = connection.execute(
                    self._place.sql(rows.OF_EFFECT), (effect,), binary=True
                )
                lease = connection.execute(self._place.sql(rows.LEASE), (effect,))
                connection.execute("COMMIT")
                return entries.fetchall(), lease.fetchall()

        entries, lease = self._read(work, settled=False)
        return rows.read(entries), Lease(*lease[0]) if entries and lease else None

    def last(self, effect: str) -> tuple[str, bytes | None] | None:
        """Return the kind of an effect's newest entry and what is kept beside it."""
        found = self._read(
            lambda line: line.ask(self._place, rows.LAST_OF_EFFECT, (effect,)), settled=False
        )
        if not found:
            return None
        ((kind, personal),) = found
        return str(kind, "utf-8") if kind else "", personal

    def leases(self, saying: bytes = b"") -> list[Lease]:
        """Return all leases, by effect id; or those of effects one of whose entries holds bytes."""
        return self._read(lambda connection: rows.leases(self._place, connection, saying))

    def head(self) -> Head:
        """Return the size and root after the last sealing."""
        return rows.head_of(self._all(rows.HEAD))

    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row]:
        """Yield every sealed row as stored, or those of a range."""
        last = start - 1 if start else -1
        end = _INDEX_MAX if stop is None else stop
        settled = True
        while True:
            page = self._all(rows.ROWS, last, end, PAGE_ROWS, settled=settled)
            for index, data, leaf, personal, *columns in page:
                yield Row(index, data, leaf, personal, tuple(columns))
            if len(page) < PAGE_ROWS:
                return
            last, settled = page[-1][0], False

    def waiting(self) -> Waiting:
        """Return what waits for its index now; nothing is sealed for it."""
        return Waiting(*self._all(_WAITING, settled=False)[0])

    # What a verification asks --------------------------------------------------------------------

    @property
    def concurrent(self) -> bool:
        """Say yes: each thread reads over a connection of its own."""
        return True

    def survey(self, start: int, stop: int) -> Survey:
        """Tell what can be told at once of the rows from one index to another."""
        return postgres_surveys.survey(self._all, start, stop)

    def tiles(self, level: int, start: int, stop: int) -> list[Tile]:
        """Return the stored tiles of a level from one place to another."""
        return [Tile(*row) for row in self._all(_TILES, level, start, stop)]

    def strays(self, size: int) -> list[tuple[int, int]]:
        """Return level and place of tiles that a tree of this size has not."""
        return [(level, place) for level, place in self._all(_STRAYS, size)]

    def hashes(self, level: int, start: int, stop: int) -> list[bytes]:
        """Return the stored hashes of one level."""
        return self._read(
            lambda connection: rows.hashes(self._place, connection, level, start, stop)
        )

    def erasures(self, entries: Sequence[str]) -> list[bytes]:
        """Return the bytes of what was recorded as erased beside these entries."""
        return [data for (data,) in self._all(_ERASURES, list(entries))]

    def findings(self) -> list[tuple[str, str]]:
        """Return what is wrong with the schema, and which entries were left without an index."""
        return self._read(lambda connection: postgres_findings.findings(connection, self._place))

    def _all(self, text: str, *values: Any, settled: bool = True) -> list[Any]:
        statement = self._place.sql(text)

        def work(connection: Connection) -> list[Any]:
            return connection.execute(statement, values, binary=True).fetchall()

        return self._read(work, settled=settled)


def until(deadline: float | None, default: float) -> float:
    """Return the seconds until a deadline, or a default."""
    return default if deadline is None else max(deadline - time.monotonic(), 0.001)

"""A ledger in this process's memory: the plain reference that other stores are compared with.

Nothing is durable and nobody else can read it. Every commit works on copies and replaces the whole
at its end.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Final, TypeVar

import attrs

from rml.clock import utc_text
from rml.codec import compact_json, parse_json
from rml.error import InvalidInputError
from rml.ledger.entry import COLUMNS, Entry, Sealed
from rml.ledger.erasures.retention import PRUNED, Pruned
from rml.ledger.errors import LedgerBusyError, LedgerCorruptError, LedgerUnavailableError
from rml.ledger.store import EQUAL, Head, Lease, Opening, Query, Row, Survey, Transaction
from rml.ledger.tree import TILE_HEIGHT, Frontier, Tile

T = TypeVar("T")

_EFFECT: Final = COLUMNS.index("effect")


def open_store(opening: Opening) -> MemoryStore:
    """Open a new, empty ledger; each ``memory:`` is one of its own."""
    return MemoryStore(opening)


@lru_cache(maxsize=10_000)
def _read(row: Row) -> Entry:
    """Return a row's entry; rows do not change, so neither does what they say."""
    return Entry.from_bytes(row.data, index=row.index, personal=row.personal)


@attrs.define
class _Contents:
    """Everything that a store holds."""

    rows: list[Row] = attrs.field(factory=list)
    tiles: list[Tile] = attrs.field(factory=list)
    leases: dict[str, Lease] = attrs.field(factory=dict)
    places: dict[str, int] = attrs.field(factory=dict)
    of_effects: dict[str, tuple[int, ...]] = attrs.field(factory=dict)
    frontier: Frontier = attrs.field(factory=Frontier)

    def copy(self) -> _Contents:
        return _Contents(
            list(self.rows),
            list(self.tiles),
            dict(self.leases),
            dict(self.places),
            dict(self.of_effects),
            self.frontier.copy(),
        )

    def append(self, row: Row) -> None:
        self.rows.append(row)
        effect = row.columns[_EFFECT]
        if effect is not None:
            self.of_effects[effect] = (*self.of_effects.get(effect, ()), row.index)

    def select(self, query: Query) -> Iterator[Entry]:
        among = self._among(query)
        rows = reversed(among) if query.newest_first else iter(among)
        matching = filter(condition(query), map(_read, rows))
        for count, entry in enumerate(matching, 1):
            if query.limit is not None and count > query.limit:
                return
            yield entry

    def _among(self, query: Query) -> list[Row]:
        """Return the rows in a query's range; of one effect, as every call asks, no others."""
        start, stop = max(query.after + 1, 0), query.before
        if query.effect is None:
            return self.rows[start:stop]
        end = len(self.rows) if stop is None else stop
        indexes = self.of_effects.get(query.effect, ())
        return [self.rows[index] for index in indexes if start <= index < end]

    def leases_of(self, saying: bytes) -> list[Lease]:
        effects = {row.columns[_EFFECT] for row in self.rows if saying in row.data}
        found = sorted(self.leases.items())
        return [lease for effect, lease in found if not saying or effect in effects]


def condition(query: Query) -> Callable[[Entry], bool]:
    """Return what says whether an entry meets all that a query asks but its place."""
    equal = [(name, getattr(query, name)) for name in EQUAL if getattr(query, name) is not None]

    def holds(entry: Entry) -> bool:
        for name, wanted in equal:
            if getattr(entry, name) != wanted:
                return False
        return (
            (query.since is None or utc_text(entry.recorded_at) >= query.since)
            and (query.until is None or utc_text(entry.recorded_at) < query.until)
            and (not query.with_personal or bool(entry.personal))
        )

    return holds


class MemoryStore:
    """See the module."""

    def __init__(self, opening: Opening) -> None:
        self.origin: str = opening.origin or opening.new_origin
        self._contents = _Contents()
        self._lock = threading.Lock()
        self._holder: int | None = None
        self._closed = False
        self._pid = os.getpid()

    def write(self, work: Callable[[Transaction], T], *, timeout: float) -> T:
        """Run ``work`` on a copy, and keep the copy when it succeeds."""
        self._check_open()
        if self._holder == threading.get_ident():
            raise InvalidInputError(
                "a ledger was written to from inside its own transaction; "
                "use the draft that was passed in"
            )
        if not self._lock.acquire(timeout=max(timeout, 0)):
            message = f"the ledger stayed busy for {timeout:g} s; nothing was recorded, try again"
            raise LedgerBusyError(message)
        try:
            self._holder = threading.get_ident()
            contents = self._contents.copy()
            result = work(_MemoryTransaction(contents))
            self._contents = contents
        finally:
            self._holder = None
            self._lock.release()
        return result

    def select(self, query: Query) -> Iterator[Entry]:
        """Yield matching entries of the present contents."""
        self._check_open()
        yield from self._contents.select(query)

    def count(self, query: Query) -> int:
        """Return how many entries match."""
        return sum(1 for _ in self.select(query))

    def effect(self, effect: str) -> tuple[list[Entry], Lease | None]:
        """Return an effect's entries and lease."""
        self._check_open()
        contents = self._contents
        return list(contents.select(Query(effect=effect))), contents.leases.get(effect)

    def supposes_new(self, effect: str) -> bool:  # noqa: ARG002 - as stores are asked
        """Say no: a work looks."""
        return False

    def last(self, effect: str) -> tuple[str, bytes | None] | None:
        """Return the kind of an effect's newest entry and what is kept beside it."""
        newest = Query(effect=effect, newest_first=True, limit=1)
        for entry in self.select(newest):
            assert entry.index is not None
            return entry.kind, self._contents.rows[entry.index].personal
        return None

    def leases(self, saying: bytes = b"") -> list[Lease]:
        """Return all leases, by effect id; or those of effects one of whose entries holds bytes."""
        self._check_open()
        return self._contents.leases_of(saying)

    def head(self) -> Head:
        """Return the size and root."""
        self._check_open()
        frontier = self._contents.frontier
        return Head(frontier.size, frontier.root())

    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row]:
        """Yield every row, or those of a range."""
        self._check_open()
        yield from self._contents.rows[start:stop]

    @property
    def concurrent(self) -> bool:
        """Say no: threads of one process that only compute gain nothing."""
        return False

    def survey(self, start: int, stop: int) -> Survey:
        """Vouch for nothing."""
        self._check_open()
        return Survey(doubtful=range(start, stop))

    def erasures(self, entries: Sequence[str]) -> list[bytes]:
        """Return what was recorded as erased beside some entries."""
        of = frozenset(entries)
        return [
            entry.to_bytes()
            for entry in self.select(Query(kind="payload.erased"))
            if entry.corrects in of
        ]

    def tiles(self, level: int, start: int, stop: int) -> list[Tile]:
        """Return the tiles of a level from one place to another."""
        self._check_open()
        return [tile for tile in self._contents.tiles if tile.level == level][start:stop]

    def strays(self, size: int) -> list[tuple[int, int]]:
        """Return the tiles that a tree of this size has not."""
        self._check_open()
        return [
            (tile.level, tile.index)
            for tile in self._contents.tiles
            if tile.index >= size >> TILE_HEIGHT * (tile.level + 1)
        ]

    def hashes(self, level: int, start: int, stop: int) -> list[bytes]:
        """Return the hashes of one level."""
        self._check_open()
        contents = self._contents
        if level == 0:
            return [row.leaf for row in contents.rows[start:stop]]
        return [tile.root for tile in contents.tiles if tile.level == level - 1][start:stop]

    def findings(self) -> list[tuple[str, str]]:
        """Return nothing: there is no schema that could have been changed."""
        self._check_open()
        return []

    def scrub(self) -> None:
        """Do nothing: what was removed is in no other place."""

    def close(self) -> None:
        """Forget everything."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            message = "the ledger is closed; a ledger in memory cannot be opened again"
            raise LedgerUnavailableError(message)
        if self._pid != os.getpid():
            message = "a ledger in memory cannot be shared with a forked process; use a file"
            raise LedgerUnavailableError(message)


class _MemoryTransaction:
    """One commit in the making, on a copy of the contents."""

    def __init__(self, contents: _Contents) -> None:
        self._contents = contents

    def append(self, sealed: Sealed) -> int:
        index = self._contents.frontier.size
        entry_id = sealed.columns[0]
        if self._contents.places.setdefault(entry_id, index) != index:
            raise LedgerCorruptError(f"the ledger refused the change: the id {entry_id} is taken")
        row = Row(index, sealed.data, sealed.leaf, sealed.personal, sealed.columns)
        self._contents.append(row)
        self._contents.tiles += self._contents.frontier.add(sealed.leaf)
        return index

    def select(self, query: Query) -> list[Entry]:
        return list(self._contents.select(query))

    def of_effect(self, effect: str) -> list[Entry]:
        return self.select(Query(effect=effect))

    def lease(self, effect: str) -> Lease | None:
        return self._contents.leases.get(effect)

    def leases(self, saying: bytes = b"") -> list[Lease]:
        return self._contents.leases_of(saying)

    def put_lease(self, lease: Lease) -> None:
        self._contents.leases[lease.effect] = lease

    def drop_lease(self, effect: str, owner: str | None = None) -> bool:
        lease = self._contents.leases.get(effect)
        if lease is None or owner not in (None, lease.owner):
            return False
        del self._contents.leases[effect]
        return True

    def keep_only(self, entry: str, names: Sequence[str]) -> None:
        if not (self._is_erased(entry) or (not names and self._is_pruned(entry))):
            message = "the ledger refused the change: no erasure has been recorded"
            raise LedgerCorruptError(message)
        row = self._contents.rows[self._contents.places[entry]]
        if row.personal is not None:
            kept = parse_json(row.personal)
            left = {name: kept[name] for name in names if name in kept}
            beside = compact_json(left) if left else None
            self._contents.rows[row.index] = attrs.evolve(row, personal=beside)

    def _is_erased(self, entry: str) -> bool:
        return bool(self.select(Query(kind="payload.erased", corrects=entry)))

    def _is_pruned(self, entry: str) -> bool:
        newest = self.select(Query(kind=PRUNED, newest_first=True, limit=1))
        pruned = Pruned.by(newest[0]) if newest else None
        return pruned is not None and pruned.covers(self.select(Query(id=entry))[0])

"""The SQL of a ledger: how rows are written inside a commit, and how entries are asked for."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias

from rml.ledger.entry import COLUMNS, Entry, Sealed
from rml.ledger.errors import LedgerCorruptError
from rml.ledger.store import Lease, Query
from rml.ledger.tree import TILE_HEIGHT, TILE_WIDTH, Frontier, row_widths, split_tile
from rml.stores.conditions import Dialect, conditions

# Whoever executes statements. A connection makes a cursor for each, which costs as much as a short
# statement; a commit has one for all.
Executor: TypeAlias = sqlite3.Connection | sqlite3.Cursor

# How many entries of a commit wait in memory to be inserted together; each may be a megabyte.
WAITING_MAX: Final = 32
_NAMES: Final = ", ".join(COLUMNS)
# `+` takes its type's name from a column, and with it the converters that an application may have
# registered for that name, on a connection whose transaction is joined.
_FIELDS: Final = "+idx, +bytes, +personal"
# What the common questions ask, written once, so that SQLite prepares them once.
_OF_EFFECT: Final = f"SELECT {_FIELDS} FROM entries WHERE effect = ? ORDER BY idx"
_LAST_OF_EFFECT: Final = (
    "SELECT kind, personal FROM entries WHERE effect = ? ORDER BY idx DESC LIMIT 1"
)
_HEAD: Final = "SELECT +size, +root FROM head"
_LEASE_FIELDS: Final = "+effect, +attempt, +owner, +until"
_LEASE: Final = f"SELECT {_LEASE_FIELDS} FROM leases WHERE effect = ?"
ROWS: Final = (
    f"SELECT idx, bytes, leaf, personal, {_NAMES} FROM entries WHERE idx > ? AND idx < ? "
    "ORDER BY idx LIMIT ?"
)
_DIALECT: Final = Dialect(mark="?", index="idx", after="idx > ?", personal="personal")


def select(on: Executor, query: Query, end: int | None = None) -> list[Entry]:
    """Return the entries that match, below index ``end``."""
    where, values = conditions(query, _DIALECT, end)
    order = "DESC" if query.newest_first else "ASC"
    limit = -1 if query.limit is None else query.limit
    rows = on.execute(
        f"SELECT {_FIELDS} FROM entries WHERE {where} ORDER BY idx {order} LIMIT ?",
        (*values, limit),
    )
    return entries(rows)


def count(on: Executor, query: Query) -> int:
    """Return how many entries match."""
    where, values = conditions(query, _DIALECT)
    rows = on.execute(f"SELECT count(*) FROM entries WHERE {where}", values)
    number: int = rows.fetchone()[0]
    return number


def of_effect(on: Executor, effect: str) -> list[Entry]:
    """Return the entries of one effect in index order."""
    return entries(on.execute(_OF_EFFECT, (effect,)))


def last_of_effect(on: Executor, effect: str) -> tuple[str, bytes | None] | None:
    """Return the kind of an effect's newest entry and what is kept beside it."""
    row: tuple[str, bytes | None] | None = on.execute(_LAST_OF_EFFECT, (effect,)).fetchone()
    return row


def entries(rows: sqlite3.Cursor) -> list[Entry]:
    """Read rows of index, bytes and what is kept beside them."""
    return [
        Entry.from_bytes(data, index=index, personal=personal) for index, data, personal in rows
    ]


def lease_of(on: Executor, effect: str) -> Lease | None:
    """Return an effect's lease, if it has one."""
    row = on.execute(_LEASE, (effect,)).fetchone()
    return None if row is None else _lease(row)


def leases(on: Executor, saying: bytes) -> list[Lease]:
    """Return all leases, by effect id; or those of effects one of whose entries holds bytes."""
    query, values = f"SELECT {_LEASE_FIELDS} FROM leases AS l", []
    if saying:
        query += " WHERE EXISTS (SELECT 1 FROM entries WHERE effect = l.effect AND instr(bytes, ?))"
        values = [saying]
    return [_lease(row) for row in on.execute(f"{query} ORDER BY effect", values)]


def _lease(row: tuple[Any, ...]) -> Lease:
    if tuple(map(type, row)) != (str, int, str, str):
        raise LedgerCorruptError("a lease of the ledger is damaged")
    return Lease(*row)


def head(on: Executor) -> tuple[int, bytes]:
    """Return the recorded size and root.

    Raises:
        LedgerCorruptError: there is none, or it is something else.
    """
    row: tuple[int, bytes] | None = on.execute(_HEAD).fetchone()
    if row is None:
        raise LedgerCorruptError("the ledger's head is missing")
    if (type(row[0]), type(row[1])) != (int, bytes):
        raise LedgerCorruptError("the ledger's head is damaged")
    return row


def read_frontier(on: Executor, size: int) -> Frontier:
    """Return the right edge of the tree over ``size`` entries, from leaves and tile roots."""
    rows: list[list[bytes]] = []
    for level, width in enumerate(row_widths(size)):
        end = size >> (TILE_HEIGHT * level)
        places = (end - width, end)
        rows.append(_hashes(on.execute(_level_query(level), places)))
    return Frontier(size, rows)


def frontier(on: Executor, size: int, root: bytes) -> Frontier:
    """Return the right edge of the tree, as :func:`read_frontier`, if it has the recorded root.

    Raises:
        LedgerCorruptError: the tree does not add up.
    """
    found = read_frontier(on, size)
    if found.root() != root:
        raise LedgerCorruptError(
            "the tree's root does not follow from its hashes; "
            "run `rml verify` and keep the file as evidence"
        )
    return found


def hashes(on: Executor, level: int, start: int, stop: int) -> list[bytes]:
    """Return the hashes of one level: a full tile as it was stored, others one by one.

    Raises:
        LedgerCorruptError: one of them is something else.
    """
    place, offset = divmod(start, TILE_WIDTH)
    if offset == 0 and stop - start == TILE_WIDTH:
        query = "SELECT hashes FROM tiles WHERE level = ? AND place = ?"
        tile = _hashes(on.execute(query, (level, place)))
        if tile:
            return split_tile(tile[0])
    return _hashes(on.execute(_level_query(level), (start, stop)))


def _hashes(rows: sqlite3.Cursor) -> list[bytes]:
    """Read rows of one hash, or of several in one value."""
    found = [value for (value,) in rows]
    if not {bytes}.issuperset(map(type, found)):
        raise LedgerCorruptError("a hash in the ledger is damaged")
    return found


def _level_query(level: int) -> str:
    """Return the query for the hashes of one level, from one place to another."""
    if level == 0:
        return "SELECT +leaf FROM entries WHERE idx >= ? AND idx < ? ORDER BY idx"
    return (
        f"SELECT +root FROM tiles WHERE level = {level - 1} "
        "AND place >= ? AND place < ? ORDER BY place"
    )


def _insertion(index: int, sealed: Sealed) -> tuple[str, list[Any]]:
    """Return the statement that inserts an entry, and its values."""
    fields = sealed.fields
    # sqlite3 looks for an adapter of every bytes object and of every None, which costs more than
    # the value; of a bytearray it does not.
    values = [index, bytearray(sealed.data), bytearray(sealed.leaf), *fields.values()]
    if sealed.personal is None:
        return _insert(tuple(fields)), values
    values.append(bytearray(sealed.personal))
    return _insert((*fields, "personal")), values


@lru_cache  # the fields that are there differ from one kind of entry to the next, no more
def _insert(names: tuple[str, ...]) -> str:
    """Return the statement for an entry of these columns; the others are left out, so NULL."""
    columns = ("idx", "bytes", "leaf", *names)
    return f"INSERT INTO entries ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


class SqliteTransaction:
    """One commit in the making; indexes are assigned at once, the tree grows when it is sealed.

    Entries wait in memory until somebody looks, or there are many: drafted one after the other,
    then inserted one after the other, they take two thirds of the time, for the processor's caches.

    Attributes:
        frontier: the tree's edge, before :meth:`seal` and after it.
    """

    def __init__(self, cursor: sqlite3.Cursor, frontier: Frontier) -> None:
        self._cursor = cursor
        self._waiting: list[Sealed] = []
        self._leaves: list[bytes] = []
        self._is_savepoint_due = False
        self.frontier = frontier

    def append(self, sealed: Sealed) -> int:
        """Give an entry the next index."""
        index = self.frontier.size + len(self._leaves)
        self._waiting.append(sealed)
        self._leaves.append(sealed.leaf)
        if len(self._waiting) == WAITING_MAX:
            self._show_waiting()
        return index

    def _show_waiting(self) -> None:
        """Insert what waits before somebody looks."""
        if self._waiting:
            self._save()
            self._insert_waiting()

    def _insert_waiting(self) -> None:
        start = self.frontier.size + len(self._leaves) - len(self._waiting)
        for index, sealed in enumerate(self._waiting, start):
            self._cursor.execute(*_insertion(index, sealed))
        self._waiting.clear()

    def select(self, query: Query) -> list[Entry]:
        """Return matching entries, those of this transaction among them."""
        self._show_waiting()
        return select(self._cursor, query)

    def of_effect(self, effect: str) -> list[Entry]:
        """Return an effect's entries."""
        self._show_waiting()
        return of_effect(self._cursor, effect)

    def lease(self, effect: str) -> Lease | None:
        """Return an effect's lease."""
        return lease_of(self._cursor, effect)

    def leases(self, saying: bytes = b"") -> list[Lease]:
        """Return every lease, or those of effects one of whose entries holds bytes."""
        self._show_waiting()
        return leases(self._cursor, saying)

    def put_lease(self, lease: Lease) -> None:
        """Insert or renew a lease."""
        self._save()
        self._cursor.execute(
            "INSERT OR REPLACE INTO leases (effect, attempt, owner, until) VALUES (?, ?, ?, ?)",
            (lease.effect, lease.attempt, lease.owner, lease.until),
        )

    def drop_lease(self, effect: str, owner: str | None = None) -> bool:
        """Delete a lease, if it is this owner's or no owner is given."""
        self._save()
        if owner is None:
            deleted = self._cursor.execute("DELETE FROM leases WHERE effect = ?", (effect,))
        else:
            statement = "DELETE FROM leases WHERE effect = ? AND owner = ?"
            deleted = self._cursor.execute(statement, (effect, owner))
        return deleted.rowcount == 1

    def keep_only(self, entry: str, names: Sequence[str]) -> None:
        """Rewrite what is kept beside an entry; freed space is overwritten (``secure_delete``)."""
        self._save()
        self._show_waiting()
        query = "SELECT +personal FROM entries WHERE id = ?"
        (data,) = self._cursor.execute(query, (entry,)).fetchone()
        kept = {} if data is None else json.loads(data)
        left = {name: kept[name] for name in names if name in kept}
        data = json.dumps(left, ensure_ascii=False, separators=(",", ":")).encode()
        self._cursor.execute(
            "UPDATE entries SET personal = ? WHERE id = ?",
            (bytearray(data) if left else None, entry),
        )

    def mark(self) -> int:
        """Begin a part that can be taken back alone."""
        self._show_waiting()
        self._is_savepoint_due = True
        return len(self._leaves)

    def _save(self) -> None:
        """Set the savepoint of a part that has begun; most parts need none, so it is set late."""
        if self._is_savepoint_due:
            self._cursor.execute("SAVEPOINT work")
            self._is_savepoint_due = False

    def release(self) -> None:
        """Keep the part."""
        if len(self._waiting) > 1:  # a single insertion takes itself back if it fails
            self._save()
        self._insert_waiting()
        if not self._is_savepoint_due:
            self._cursor.execute("RELEASE work")
        self._is_savepoint_due = False

    def back_to(self, mark: int) -> bool:
        """Take the part back; return False if SQLite has taken back the whole transaction."""
        if not self._cursor.connection.in_transaction:
            return False
        if not self._is_savepoint_due:
            self._cursor.execute("ROLLBACK TO work")
            self._cursor.execute("RELEASE work")
        self._is_savepoint_due = False
        self._waiting.clear()
        del self._leaves[mark:]
        return True

    def seal(self) -> None:
        """Grow the tree by what was appended, and record its new head."""
        if not self._leaves:
            return
        self._insert_waiting()
        for tile in self.frontier.extend(self._leaves):
            self._cursor.execute(
                "INSERT INTO tiles (level, place, hashes, root) VALUES (?, ?, ?, ?)",
                (tile.level, tile.index, bytearray(tile.hashes), bytearray(tile.root)),
            )
        self._cursor.execute(
            "UPDATE head SET size = ?, root = ? WHERE one = 1",
            (self.frontier.size, bytearray(self.frontier.root())),
        )

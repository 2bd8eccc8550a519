"""The SQL of a ledger in PostgreSQL: how entries are inserted, and how they are asked for.

A ``~`` before a name stands for the ledger's schema.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

import attrs
import psycopg

from rml.ledger.entry import COLUMNS, Entry, Sealed
from rml.ledger.errors import LedgerCorruptError
from rml.ledger.store import Head, Lease, Query
from rml.ledger.tree import TILE_HEIGHT, TILE_WIDTH, Frontier, row_widths, split_tile
from rml.stores.conditions import Dialect, conditions
from rml.stores.postgres_line import Statement
from rml.stores.postgres_place import Place

Connection = psycopg.Connection[Any]

_NAMES: Final = ", ".join(COLUMNS)
_KEPT: Final = "LEFT JOIN ~personal AS k ON k.entry = e.id"
# Sealed entries, and all of them: those without an index come last, in the order of insertion.
_SEALED: Final = f"~places AS p JOIN ~entries AS e USING (seq) {_KEPT}"
_ALL: Final = f"~entries AS e LEFT JOIN ~places AS p USING (seq) {_KEPT}"
_SEALED_DIALECT: Final = Dialect(
    mark="%b", index="p.idx", after="p.idx > %b", header="e.", personal="k.data"
)
_DIALECT: Final = attrs.evolve(_SEALED_DIALECT, after="(p.idx > %b OR p.idx IS NULL)")
_FIELDS: Final = "p.idx, e.bytes, k.data"
# An effect's entries are inserted one after the other, so the order of insertion is theirs.
OF_EFFECT: Final = f"SELECT {_FIELDS} FROM {_ALL} WHERE e.effect = %b ORDER BY e.seq"
LAST_OF_EFFECT: Final = Statement("SELECT kind, data FROM ~newest($1)", ("text",))
# The lease, then the entries; each of a row's halves is empty where the other is not.
HOLD: Final = (
    "SELECT idx, bytes, data, attempt, owner, until FROM ~hold(%s, %s, %s, %s, %s::int, %s::int)"
)
LEASE: Final = "SELECT effect, attempt, owner, until FROM ~leases WHERE effect = %b"
_LEASES: Final = "SELECT effect, attempt, owner, until FROM ~leases AS l"
_SAYING: Final = (
    " WHERE EXISTS (SELECT FROM ~entries AS e WHERE e.effect = l.effect "
    "AND position(%b::bytea in e.bytes) > 0)"
)
HEAD: Final = "SELECT size, root FROM ~head"
ROWS: Final = (
    f"SELECT p.idx, e.bytes, p.leaf, k.data, {_NAMES} FROM ~places AS p "
    f"LEFT JOIN ~entries AS e USING (seq) {_KEPT} "
    "WHERE p.idx > %b AND p.idx < %b ORDER BY p.idx LIMIT %b"
)
PUT_LEASE: Final = (
    "INSERT INTO ~leases (effect, attempt, owner, until) VALUES (%b, %b, %b, %b) "
    "ON CONFLICT (effect) DO UPDATE SET attempt = excluded.attempt, owner = excluded.owner, "
    "until = excluded.until"
)
# The same, with plans that the server keeps; without an owner it ends the lease.
SET_LEASE: Final = "SELECT ~lease(%s, %s, %s, %s)"
DROP_LEASE: Final = "DELETE FROM ~leases WHERE effect = %b"
_PERSONAL: Final = "SELECT data FROM ~personal WHERE entry = %b"
_KEEP_PERSONAL: Final = "UPDATE ~personal SET data = %b WHERE entry = %b"
_DROP_PERSONAL: Final = "DELETE FROM ~personal WHERE entry = %b"


def _marks(first: int, last: int) -> list[str]:
    return [f"${place}" for place in range(first, last + 1)]


def _insert_many(marks: Sequence[str]) -> str:
    given = ", ".join(f"{mark}::{name}" for mark, name in zip(marks, _MANY, strict=True))
    return (
        f"WITH given AS MATERIALIZED (SELECT * FROM unnest({given}) "
        f"AS g (bytes, leaf, personal, {_NAMES})), "
        f"made AS (INSERT INTO ~entries (bytes, {_NAMES}) SELECT bytes, {_NAMES} FROM given "
        "RETURNING seq, id), "
        "kept AS (INSERT INTO ~personal (entry, data) SELECT id, personal FROM given "
        "JOIN made USING (id) WHERE personal IS NOT NULL) "
        "INSERT INTO ~waiting (seq, leaf) SELECT seq, leaf FROM made JOIN given USING (id)"
    )


_TYPES: Final = {"attempt": "bigint"}
_ONE: Final = ("bytea", "bytea", "bytea", *(_TYPES.get(name, "text") for name in COLUMNS))
_MANY: Final = tuple(f"{name}[]" for name in _ONE)
_INSERT_ONE: Final = f"SELECT ~append({', '.join(['%s'] * len(_ONE))})"
_INSERT_MANY: Final = _insert_many(["%b"] * len(_MANY))
_DECISION: Final = (
    *("text", "text", "bigint", "integer", "integer"),  # whose, and how long to wait for it
    *("bigint", "bigint", "text", "text"),  # what was seen: so many entries, and a lease
    *("bigint", "text", "text"),  # the lease from now on
)


# What the function `append` does, where the server keeps the plan of the statement itself; without
# a table that most entries need not.
_MADE: Final = (
    f"made AS (INSERT INTO ~entries (bytes, {_NAMES}) "
    f"VALUES ($1, {', '.join(_marks(4, len(_ONE)))}) RETURNING seq)"
)
_KEEP: Final = "kept AS (INSERT INTO ~personal (entry, data) VALUES ($4, $3))"
_WAIT: Final = "INSERT INTO ~waiting (seq, leaf) SELECT seq, $2 FROM made"
_APPEND: Final = Statement(f"WITH {_MADE} {_WAIT}", _ONE)
_APPEND_PERSONAL: Final = Statement(f"WITH {_MADE}, {_KEEP} {_WAIT}", _ONE)
_APPEND_MANY: Final = Statement(_insert_many(_marks(1, len(_MANY))), _MANY)
_DECIDED: Final = _DECISION + _ONE
DECIDE: Final = Statement(f"SELECT * FROM ~decide({', '.join(_marks(1, len(_DECIDED)))})", _DECIDED)
NO_ENTRY: Final = (None,) * len(_ONE)


def one(entry: Sealed) -> tuple[Any, ...]:
    """Return the values of one entry, as ``append`` takes them."""
    return (entry.data, entry.leaf, entry.personal, *entry.columns)


def _many(entries: Sequence[Sealed]) -> list[list[Any] | None]:
    """Return the values of several entries, column by column; ``unnest`` fills one up that is NULL.

    Most columns of most entries are empty, and are not sent then.
    """
    columns = zip(*map(one, entries), strict=True)
    return [None if column.count(None) == len(column) else list(column) for column in columns]


def addition(entries: Sequence[Sealed]) -> tuple[Statement, Sequence[Any]]:
    """Return the one statement that inserts entries in this order, at least one, and its values."""
    if len(entries) > 1:
        return _APPEND_MANY, _many(entries)
    (entry,) = entries
    return (_APPEND if entry.personal is None else _APPEND_PERSONAL), one(entry)


def insertion(entries: Sequence[Sealed]) -> tuple[str, list[Any]]:
    """Return the same for a connection that prepares no statement."""
    if len(entries) > 1:
        return _INSERT_MANY, [*_many(entries)]
    return _INSERT_ONE, [*one(entries[0])]


def send(connection: Connection, *statements: tuple[str, Sequence[Any]]) -> list[Any]:
    """Send statements with their values written into them, and return the last one's rows.

    They travel as one message and are answered by one: without a pipeline, which costs a client
    four times as much, and without a statement that the server would have to keep.
    """
    cursor = psycopg.ClientCursor(connection)
    cursor.execute("; ".join(cursor.mogrify(text, values) for text, values in statements))
    while cursor.nextset():
        pass
    return cursor.fetchall() if cursor.description else []


def select(place: Place, connection: Connection, query: Query, end: int | None) -> list[Entry]:
    """Return the entries that match: below index ``end``, or, without one, unsealed ones too."""
    if end is None:
        source, dialect = _ALL, _DIALECT
        order = "p.idx DESC NULLS FIRST, e.seq DESC" if query.newest_first else "p.idx, e.seq"
    else:
        source, dialect = _SEALED, _SEALED_DIALECT
        order = "p.idx DESC" if query.newest_first else "p.idx"
    where, values = conditions(query, dialect, end)
    text = f"SELECT {_FIELDS} FROM {source} WHERE {where} ORDER BY {order} LIMIT %b"
    return read(connection.execute(place.sql(text), [*values, query.limit], binary=True))


def count(place: Place, connection: Connection, query: Query) -> int:
    """Return how many sealed entries match."""
    where, values = conditions(query, _SEALED_DIALECT)
    text = f"SELECT count(*) FROM {_SEALED} WHERE {where}"
    number: int = connection.execute(place.sql(text), values).fetchall()[0][0]
    return number


def read(rows: Iterable[tuple[int | None, bytes, bytes | None]]) -> list[Entry]:
    """Read rows of index, bytes and what is kept beside them."""
    return [
        Entry.from_bytes(data, index=index, personal=personal) for index, data, personal in rows
    ]


def leases(place: Place, connection: Connection, saying: bytes) -> list[Lease]:
    """Return all leases, by effect id; or those of effects one of whose entries holds bytes."""
    text, values = (_LEASES + _SAYING, [saying]) if saying else (_LEASES, [])
    found = connection.execute(place.sql(f"{text} ORDER BY effect"), values)
    return [Lease(*row) for row in found]


def keep_only(place: Place, connection: Connection, entry: str, names: Sequence[str]) -> None:
    """Rewrite what is kept beside an entry; the database refuses it before its erasure."""
    found = connection.execute(place.sql(_PERSONAL), (entry,)).fetchall()
    if not found:
        return
    kept = json.loads(found[0][0])
    left = {name: kept[name] for name in names if name in kept}
    if left:
        data = json.dumps(left, ensure_ascii=False, separators=(",", ":")).encode()
        connection.execute(place.sql(_KEEP_PERSONAL), (data, entry))
    else:
        connection.execute(place.sql(_DROP_PERSONAL), (entry,))


def head_of(rows: Sequence[tuple[int, bytes]]) -> Head:
    """Return the head from its rows.

    Raises:
        LedgerCorruptError: there is none.
    """
    if len(rows) != 1:
        raise LedgerCorruptError("the ledger's head is missing")
    return Head(*rows[0])


def read_frontier(place: Place, connection: Connection, size: int) -> Frontier:
    """Return the right edge of the tree over ``size`` entries, from leaves and tile roots."""
    rows = []
    for level, width in enumerate(row_widths(size)):
        end = size >> (TILE_HEIGHT * level)
        rows.append(hashes(place, connection, level, end - width, end))
    return Frontier(size, rows)


def hashes(place: Place, connection: Connection, level: int, start: int, stop: int) -> list[bytes]:
    """Return the hashes of one level: a full tile as it was stored, others one by one."""
    tile, offset = divmod(start, TILE_WIDTH)
    if offset == 0 and stop - start == TILE_WIDTH:
        query = place.sql("SELECT hashes FROM ~tiles WHERE level = %b AND place = %b")
        rows = connection.execute(query, (level, tile), binary=True).fetchall()
        if rows:
            return split_tile(rows[0][0])
    if level == 0:
        query = "SELECT leaf FROM ~places WHERE idx >= %b AND idx < %b ORDER BY idx"
    else:
        query = (
            f"SELECT root FROM ~tiles WHERE level = {level - 1:d} "
            "AND place >= %b AND place < %b ORDER BY place"
        )
    found = connection.execute(place.sql(query), (start, stop), binary=True)
    return [row[0] for row in found]

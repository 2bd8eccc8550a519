"""What a verification asks of an SQLite ledger, in SQL: surveys of rows, and parts of the tree.

A survey has SQLite join each column of a page to one text: one step of a statement, during which
other threads run, in place of hundreds of rows of twenty values each. Most ledgers leave some
columns empty, and those need not be joined; which ones are in use is learned from the rows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final

from rml.ledger.entry import COLUMNS
from rml.ledger.store import Step, Survey
from rml.ledger.tree import HASH_BYTES, TILE_HEIGHT, TILE_LEVEL_MAX, Tile
from rml.stores.sqlite_reading import SqliteReading

# How many values stand in one query: older libraries take no more than 999.
_VALUES_MAX: Final = 500
# Of tiles that should not be there, enough are named.
_STRAYS_MAX: Final = 100
_REQUIRED: Final = COLUMNS[:5]
_OPTIONAL: Final = COLUMNS[5:]
# To SQLite, a text is above each number.
_ATTEMPT_FLAW: Final = f"attempt NOT BETWEEN 1 AND {2**63 - 1}"
_RANGE: Final = "FROM entries WHERE idx >= :start AND idx < :stop"
_IN_USE: Final = f"SELECT {', '.join(f'count({name})' for name in _OPTIONAL)} {_RANGE}"
_PERSONAL: Final = f"SELECT idx, personal {_RANGE} AND personal IS NOT NULL"
_STEPS: Final = (
    f"SELECT idx, effect, kind, attempt, id {_RANGE} AND effect IS NOT NULL ORDER BY idx"
)
_TILES: Final = (
    "SELECT level, place, hashes, root FROM tiles WHERE level = ? AND place >= ? AND place < ? "
    "ORDER BY place"
)
# A level that is no number is found by SQLite's own check of its structures.
_STRAYS: Final = (
    "SELECT level, place FROM tiles WHERE typeof(level) = 'integer' AND typeof(place) = 'integer' "
    f"AND (level NOT BETWEEN 0 AND {TILE_LEVEL_MAX} OR place < 0 "
    f"OR place >= (? >> ({TILE_HEIGHT} * (level + 1)))) LIMIT {_STRAYS_MAX}"
)
_ERASURES: Final = "SELECT bytes FROM entries WHERE kind = 'payload.erased' AND corrects IN ({})"


class SqliteVerifying(SqliteReading):
    """What a store answers to a verification."""

    origin: str
    _in_use: tuple[str, ...] = ()

    @property
    def concurrent(self) -> bool:
        """Say whether two threads can read at once: in memory they share one connection."""
        return self._path is not None

    @contextmanager
    def _raw(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection that returns texts as bytes: what is no UTF-8 is a finding."""
        with self._reading() as connection:
            connection.text_factory = bytes
            try:
                yield connection
            finally:
                connection.text_factory = str

    def survey(self, start: int, stop: int) -> Survey:
        """Tell what can be told at once of the rows from one index to another."""
        between = {"start": start, "stop": stop}
        with self._raw() as connection:
            try:
                row = connection.execute(_survey(self._in_use), between).fetchone()
                if row[0]:  # values in columns that were empty
                    self._learn(connection, between)
                    row = connection.execute(_survey(self._in_use), between).fetchone()
                return _told(connection, row, between, self._in_use)
            except (sqlite3.DataError, ValueError, AttributeError):
                # What should be texts are none, or longer in all than SQLite's limit.
                return Survey(doubtful=range(start, stop))

    def _learn(self, connection: sqlite3.Connection, between: dict[str, int]) -> None:
        """Learn which optional columns have values, from some rows."""
        counts = connection.execute(_IN_USE, between).fetchone()
        found = {name for name, count in zip(_OPTIONAL, counts, strict=True) if count}
        self._in_use = tuple(name for name in _OPTIONAL if name in found or name in self._in_use)

    def tiles(self, level: int, start: int, stop: int) -> list[Tile]:
        """Return the stored tiles of a level from one place to another."""
        with self._raw() as connection:
            rows = connection.execute(_TILES, (level, start, stop)).fetchall()
        return [Tile(*row) for row in rows]

    def strays(self, size: int) -> list[tuple[int, int]]:
        """Return level and place of tiles that a tree of this size has not."""
        with self._reading() as connection:
            return connection.execute(_STRAYS, (size,)).fetchall()

    def erasures(self, entries: Sequence[str]) -> list[bytes]:
        """Return the bytes of what was recorded as erased beside these entries."""
        found: list[bytes] = []
        with self._raw() as connection:
            for i in range(0, len(entries), _VALUES_MAX):
                some = entries[i : i + _VALUES_MAX]
                query = _ERASURES.format(", ".join("?" * len(some)))
                found += [data for (data,) in connection.execute(query, some)]
        return found


# Surveys ------------------------------------------------------------------------------------------


@lru_cache
def _survey(in_use: tuple[str, ...]) -> str:
    """Return the query of a survey, which expects values in these optional columns alone."""
    unused = [name for name in _OPTIONAL if name not in in_use]
    flaws = [f"length(leaf) IS NOT {HASH_BYTES}"]
    flaws += [
        # Of no letters, or of no bytes: neither could be told from none.
        _ATTEMPT_FLAW if name == "attempt" else f"{name} IN ('', x'')"
        for name in in_use
    ]
    columns = (
        f"count(coalesce({', '.join((*unused, 'NULL', 'NULL'))}))",
        "count(*)",
        f"group_concat(CASE WHEN {' OR '.join(flaws)} THEN idx END)",
        "group_concat(leaf, '')",
        "count(personal)",
        "count(effect)",
        *(f"group_concat(coalesce({n}, ''), '\n')" for n in ("bytes", *_REQUIRED, *in_use)),
    )
    return f"SELECT {', '.join(columns)} {_RANGE}"


def _told(
    connection: sqlite3.Connection,
    row: tuple[Any, ...],
    between: dict[str, int],
    in_use: tuple[str, ...],
) -> Survey:
    surprising, count, doubtful, leaves, has_personal, has_steps, joined, *columns = row
    data = (joined or b"").split(b"\n")
    if surprising or len(data) != count:  # there are none, or one has a line's end in it
        return Survey(doubtful=range(between["start"], between["stop"]))
    personal = connection.execute(_PERSONAL, between).fetchall() if has_personal else ()
    steps = connection.execute(_STEPS, between).fetchall() if has_steps else ()
    return Survey(
        doubtful=[] if doubtful is None else list(map(int, doubtful.split(b","))),
        data=data,
        leaves=leaves or b"",
        columns={
            name: text or b"" for name, text in zip((*_REQUIRED, *in_use), columns, strict=True)
        },
        personal=dict(personal),
        steps=[
            Step(index, effect.decode(), kind.decode(), attempt, entry.decode())
            for index, effect, kind, attempt, entry in steps
        ],
    )

"""What a verification asks of an SQLite ledger, in SQL: surveys of rows, and parts of the tree.

SQLite compares the columns of a row with its bytes a good deal faster than Python does, and lets
other threads run meanwhile. It writes the header that a row's columns give as JSON, in the order of
RFC 8785, and looks whether the bytes begin with it. A field without a value has no place in a
header, so each set of fields that have one needs an expression of its own. These *outlines* are
learned from the rows: there are few in any ledger.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final

from rml.ledger.entry import COLUMNS, FORMAT
from rml.ledger.store import Step, Survey
from rml.ledger.tree import HASH_BYTES, TILE_HEIGHT, TILE_LEVEL_MAX, Tile
from rml.stores.sqlite_reading import SqliteReading

Outline = tuple[bool, ...]
"""Which of the optional fields an entry has, in the order of the columns."""

# More than any ledger has; the rows of any other outline are doubtful.
OUTLINES_MAX: Final = 64
# How many values stand in one query: older libraries take no more than 999.
_VALUES_MAX: Final = 500
# Of tiles that should not be there, enough are named.
_STRAYS_MAX: Final = 100
_OPTIONAL: Final = COLUMNS[5:]
# The order of RFC 8785.
_HEADER: Final = tuple(sorted((*COLUMNS, "origin")))
_RANGE: Final = "FROM entries WHERE idx >= :start AND idx < :stop"
_OUTLINES: Final = f"SELECT DISTINCT {', '.join(f'{n} IS NOT NULL' for n in _OPTIONAL)} {_RANGE}"
_DATA: Final = f"SELECT bytes {_RANGE} ORDER BY idx"
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
    _outlines: tuple[Outline, ...] = ()

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
        asked = between | {"origin": self.origin}
        with self._raw() as connection:
            try:
                row = connection.execute(_survey(self._outlines), asked).fetchone()
                if row[0] is not None and self._learn(connection, between):
                    row = connection.execute(_survey(self._outlines), asked).fetchone()
                return _told(connection, row, between)
            except (sqlite3.OperationalError, ValueError, AttributeError) as error:
                # Something else stands where a text should be, or this SQLite knows no JSON.
                if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) != sqlite3.SQLITE_ERROR:
                    raise
                return Survey(doubtful=range(start, stop))

    def _learn(self, connection: sqlite3.Connection, between: dict[str, int]) -> bool:
        """Learn the outlines of some rows; return whether there were new ones."""
        found = {tuple(map(bool, row)) for row in connection.execute(_OUTLINES, between)}
        known = {*self._outlines, *found}
        if len(known) == len(self._outlines) or len(known) > OUTLINES_MAX:
            return False
        self._outlines = tuple(known)
        return True

    def data(self, start: int, stop: int) -> list[bytes]:
        """Return the bytes of the rows from one index to another."""
        with self._raw() as connection:
            rows = connection.execute(_DATA, {"start": start, "stop": stop}).fetchall()
        return [data for (data,) in rows]

    def tiles(self, level: int, start: int, stop: int) -> list[Tile]:
        """Return the stored tiles of a level from one place to another."""
        with self._reading() as connection:
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
def _survey(outlines: tuple[Outline, ...]) -> str:
    """Return the query of a survey, which knows these outlines."""
    header = f"CASE {' '.join(map(_when, outlines))} END" if outlines else "NULL"
    unlike = f"instr(CAST(bytes AS TEXT), {header}) IS NOT 1"
    columns = (
        f"group_concat(CASE WHEN {unlike} OR length(leaf) IS NOT {HASH_BYTES} THEN idx END)",
        "group_concat(leaf, '')",
        "group_concat(id, '\"')",
        "group_concat(recorded_at, '\"')",
        "group_concat(CASE WHEN at <> recorded_at THEN at END, '\"')",
        "json_group_array(DISTINCT kind)",
        "json_group_array(DISTINCT world)",
        "count(personal)",
        "count(effect)",
    )
    return f"SELECT {', '.join(columns)} {_RANGE}"


def _when(outline: Outline) -> str:
    """Return the case of rows of an outline: the text with which their bytes begin."""
    has = dict(zip(_OPTIONAL, outline, strict=True))
    conditions = [
        f"{name} IS NULL" if not there else f"{name} >= 1" if name == "attempt" else f"{name} > ''"
        for name, there in has.items()
    ]
    names = [name for name in _HEADER if has.get(name, True)]
    values = [f"'{name}', {':origin' if name == 'origin' else name}" for name in names]
    header = f"""'["{FORMAT}",' || json_object({", ".join(values)}) || ',{{'"""
    return f"WHEN {' AND '.join(conditions)} THEN {header}"


def _told(connection: sqlite3.Connection, row: tuple[Any, ...], between: dict[str, int]) -> Survey:
    doubtful, leaves, ids, recorded, others, kinds, worlds, has_personal, has_steps = row
    personal = connection.execute(_PERSONAL, between).fetchall() if has_personal else ()
    steps = connection.execute(_STEPS, between).fetchall() if has_steps else ()
    return Survey(
        doubtful=[] if doubtful is None else list(map(int, doubtful.split(b","))),
        leaves=leaves or b"",
        ids=ids or b"",
        recorded_ats=recorded or b"",
        other_ats=others or b"",
        kinds=json.loads(kinds),
        worlds=json.loads(worlds),
        personal=dict(personal),
        steps=[
            Step(index, effect.decode(), kind.decode(), attempt, entry.decode())
            for index, effect, kind, attempt, entry in steps
        ],
    )

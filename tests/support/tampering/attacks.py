"""What somebody who can write a log's file may do to it, each as plain SQL on the file.

The attacker knows how the log is made, puts back every trigger that was in the way, and has no key
and no access to any other folder.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, Protocol

import attrs

# Enough for a full tile of 256 and some entries after it.
ROWS: Final = 300
# The entry that is attacked where one is.
VICTIM: Final = 140


@attrs.frozen
class Table:
    """Where a log keeps its entries: the column of their order, that of their content, others."""

    name: str
    order: str
    content: str
    text: str  # a column of text that is not the content
    derived: tuple[str, ...] = ()
    unique: tuple[str, ...] = ()
    index: str | None = None  # a named index, if there is one


class Log(Protocol):
    """A log that goes through the matrix."""

    table: Table

    def build(
        self,
        folder: Path,
        *,
        rows: int = ROWS,
        changed: int | None = None,
        another: bool = False,
        stolen: bool = False,
    ) -> Path:
        """Make an honest log of so many rows and return its file.

        Args:
            folder: where.
            rows: how many.
            changed: a row that says another amount than the others' builds.
            another: make the log of somebody else, with an identity and keys of its own.
            stolen: under the first one's identity, with keys of one's own.
        """
        ...


@attrs.frozen
class Attack:
    """One way to tamper; ``first`` is the first bad entry, if the attack has one."""

    name: str
    run: Callable[[Log, Path], None]
    first: int | None = None


@contextmanager
def attacker(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection without triggers in its way; they are as they were afterwards."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")  # who tampers is in a hurry
        triggers = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        yield connection
        for _, sql in triggers:
            connection.execute(sql)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _replace(path: Path, by: Path) -> None:
    """Put another log in the place of one, with all that lies beside it."""
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    for beside in by.parent.glob("*.checkpoint"):
        shutil.copy(beside, path.parent)
    with closing(sqlite3.connect(by)) as source, closing(sqlite3.connect(path)) as target:
        source.backup(target)


# On every log -----------------------------------------------------------------------------------


def _content(log: Log, path: Path) -> None:
    table = log.table
    with attacker(path) as connection:
        row = connection.execute(
            f"SELECT {table.content} FROM {table.name} WHERE {table.order} = ?", (VICTIM,)
        ).fetchone()[0]
        data = row if isinstance(row, bytes) else row.encode()
        edited = data.replace(b"1140", b"9140")
        assert edited != data
        connection.execute(
            f"UPDATE {table.name} SET {table.content} = ? WHERE {table.order} = ?",
            (edited if isinstance(row, bytes) else edited.decode(), VICTIM),
        )


def _not_text(log: Log, path: Path) -> None:
    table = log.table
    with attacker(path) as connection:
        connection.execute(
            f"UPDATE {table.name} SET {table.text} = CAST(x'ff61' AS TEXT) WHERE {table.order} = ?",
            (VICTIM,),
        )


def column(name: str) -> Attack:
    """An attack on one derived column alone."""

    def run(log: Log, path: Path) -> None:
        table = log.table
        with attacker(path) as connection:
            value = connection.execute(
                f"SELECT {name} FROM {table.name} WHERE {table.order} = ?", (VICTIM,)
            ).fetchone()[0]
            kinds = {
                row[1]: row[2] for row in connection.execute(f"PRAGMA table_info({table.name})")
            }
            changed = (value or 6) + 1 if kinds[name] == "INTEGER" else _altered(value)
            connection.execute(
                f"UPDATE {table.name} SET {name} = ? WHERE {table.order} = ?", (changed, VICTIM)
            )

    return Attack(f"column {name} edited", run, VICTIM)


def _altered(value: str | None) -> str:
    """A value that could be an honest one: one digit or letter is another."""
    if not value:
        return "x"
    place = next(i for i in reversed(range(len(value))) if value[i].isalnum())
    letter = "1" if value[place] != "1" else "2"
    return value[:place] + letter + value[place + 1 :]


def _index(log: Log, path: Path) -> None:
    """Hide one row from an index: build it over all others, then write the old words back."""
    table = log.table
    if table.index is None:
        raise NotImplementedError
    words = "UPDATE sqlite_master SET sql = ? WHERE name = ?"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        honest = connection.execute(
            "SELECT sql FROM sqlite_master WHERE name = ?", (table.index,)
        ).fetchone()[0]
        joint = "AND" if " WHERE " in honest.upper() else "WHERE"
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(words, (f"{honest} {joint} {table.order} <> {VICTIM}", table.index))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"REINDEX {table.index}")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(words, (honest, table.index))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _delete(log: Log, path: Path) -> None:
    table = log.table
    with attacker(path) as connection:
        connection.execute(f"DELETE FROM {table.name} WHERE {table.order} = ?", (VICTIM,))


def _delete_and_close(log: Log, path: Path) -> None:
    """Delete an entry and give every later one the place before its own."""
    table = log.table
    with attacker(path) as connection:
        connection.execute(f"DELETE FROM {table.name} WHERE {table.order} = ?", (VICTIM,))
        _move(connection, table, -1)


def _insert(log: Log, path: Path) -> None:
    """Move every later entry by one, and put a copy of an old one with another name there."""
    table = log.table
    with attacker(path) as connection:
        _move(connection, table, 1, after=VICTIM - 1)
        _copy(connection, table, VICTIM - 1, VICTIM)


def _duplicate(log: Log, path: Path) -> None:
    """Put a copy of an entry at the end."""
    table = log.table
    with attacker(path) as connection:
        last = connection.execute(f"SELECT max({table.order}) FROM {table.name}").fetchone()[0]
        _copy(connection, table, VICTIM, last + 1)


def _copy(connection: sqlite3.Connection, table: Table, source: int, target: int) -> None:
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table.name})")]
    values = dict(
        zip(
            columns,
            connection.execute(
                f"SELECT * FROM {table.name} WHERE {table.order} = ?", (source,)
            ).fetchone(),
            strict=True,
        )
    )
    values[table.order] = target
    for name in table.unique:
        values[name] = _altered(values[name])
    marks = ", ".join("?" * len(columns))
    connection.execute(f"INSERT INTO {table.name} VALUES ({marks})", [values[c] for c in columns])


def _move(connection: sqlite3.Connection, table: Table, by: int, after: int = VICTIM) -> None:
    """Move every entry after one, by way of the numbers below zero."""
    order, name = table.order, table.name
    connection.execute(f"UPDATE {name} SET {order} = -{order} - 1000 WHERE {order} > ?", (after,))
    connection.execute(
        f"UPDATE {name} SET {order} = -({order} + 1000) + ? WHERE {order} < 0", (by,)
    )


def _reorder(log: Log, path: Path) -> None:
    """Let two neighbours change places."""
    table = log.table
    update = f"UPDATE {table.name} SET {table.order} = ? WHERE {table.order} = ?"
    with attacker(path) as connection:
        for new, old in ((-1, VICTIM), (VICTIM, VICTIM + 1), (VICTIM + 1, -1)):
            connection.execute(update, (new, old))


def _cut(log: Log, path: Path) -> None:
    table = log.table
    with attacker(path) as connection:
        connection.execute(f"DELETE FROM {table.name} WHERE {table.order} >= ?", (ROWS - 5,))


def _emptied(log: Log, path: Path) -> None:
    with attacker(path) as connection:
        connection.execute(f"DELETE FROM {log.table.name}")


def _rolled_back(log: Log, path: Path) -> None:
    _replace(path, log.build(path.parent / "older", rows=ROWS - 20))


def _swapped(log: Log, path: Path) -> None:
    _replace(path, log.build(path.parent / "other", another=True))


def _rebuilt(log: Log, path: Path) -> None:
    _replace(path, log.build(path.parent / "rebuilt", changed=VICTIM, stolen=True))


def _no_trigger(log: Log, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        triggers = (
            "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE '%no_update'"
        )
        found = connection.execute(triggers).fetchone()
        if found is None:
            raise NotImplementedError
        connection.execute(f"DROP TRIGGER {found[0]}")


COMMON: Final = (
    Attack("content edited", _content, VICTIM),
    Attack("text that is no UTF-8", _not_text, VICTIM),
    Attack("entry hidden from an index", _index),
    Attack("entry deleted", _delete, VICTIM),
    Attack("entry deleted, later ones moved up", _delete_and_close, VICTIM),
    Attack("entry inserted", _insert, VICTIM),
    Attack("two entries exchanged", _reorder, VICTIM),
    Attack("entry repeated at the end", _duplicate, ROWS),
    Attack("last entries cut off", _cut, ROWS - 5),
    Attack("all entries deleted", _emptied, 0),
    Attack("file rolled back to an older copy", _rolled_back, ROWS - 20),
    Attack("file swapped for another log", _swapped, 0),
    Attack("rebuilt with another amount and fresh hashes", _rebuilt, 0),
    Attack("trigger dropped", _no_trigger),
)

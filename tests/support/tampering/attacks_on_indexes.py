"""What can be done to an index of a ledger's file alone, so that a question gets another answer.

SQLite keeps an index true as long as it knows of it. So an attacker lets it believe, for a while,
that the index's pages belong to a table of their own, and changes rows there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from tampering.attacks import VICTIM, Attack, Log

# Each index of the entries, by the column that it is about.
INDEXED: Final = ("id", "kind", "effect", "corrects", "incident", "correlation")


@contextmanager
def _lent(
    path: Path, column: str, *, empty: bool = False
) -> Iterator[tuple[sqlite3.Connection, str]]:
    """Lend an index as if it were one of a table `lent`, and the victim's value.

    The table holds the victim and nothing else, unless it is to be empty.
    """
    move = "UPDATE sqlite_master SET rootpage = ? WHERE name = ?"
    root = "SELECT rootpage FROM sqlite_master WHERE name = ?"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        value = connection.execute(
            f"SELECT {column} FROM entries WHERE idx = ?", (VICTIM,)
        ).fetchone()[0]
        connection.execute("CREATE TABLE lent (idx INTEGER PRIMARY KEY, value TEXT)")
        if not empty:
            connection.execute("INSERT INTO lent VALUES (?, ?)", (VICTIM, value))
        connection.execute("CREATE INDEX lent_value ON lent (value)")
        index, own = (
            connection.execute(root, (name,)).fetchone()[0]
            for name in (f"entries_{column}", "lent_value")
        )
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(move, (index, "lent_value"))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection, value
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(move, (own, "lent_value"))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DROP TABLE lent")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _hidden(column: str) -> Callable[[Log, Path], None]:
    """Whoever asks by its value does not find the entry."""

    def run(_: Log, path: Path) -> None:
        with _lent(path, column) as (connection, _value):
            assert connection.execute("DELETE FROM lent WHERE idx = ?", (VICTIM,)).rowcount == 1

    return run


def _doubled(column: str) -> Callable[[Log, Path], None]:
    """Whoever asks by another value finds the entry, too."""

    def run(_: Log, path: Path) -> None:
        with _lent(path, column, empty=True) as (connection, value):
            connection.execute("INSERT INTO lent VALUES (?, ?)", (VICTIM, f"{value}x"))

    return run


def _misfiled(column: str) -> Callable[[Log, Path], None]:
    """The entry is found by another value, and not by its own."""

    def run(_: Log, path: Path) -> None:
        with _lent(path, column) as (connection, value):
            assert connection.execute("UPDATE lent SET value = ?", (f"{value}x",)).rowcount == 1

    return run


def _dropped(column: str) -> Callable[[Log, Path], None]:
    """Take the index away: what it made sure of, or made fast, is so no longer."""

    def run(_: Log, path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(f"DROP INDEX entries_{column}")

    return run


def _redefined(column: str) -> Callable[[Log, Path], None]:
    """Build it under its name over other columns and rows."""

    def run(_: Log, path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(f"DROP INDEX entries_{column}")
            connection.execute(
                f"CREATE INDEX entries_{column} ON entries ({column}, idx) WHERE idx <> {VICTIM}"
            )

    return run


_WAYS: Final = {
    "dropped": _dropped,
    "built under another definition": _redefined,
    "does not find an entry": _hidden,
    "finds an entry twice": _doubled,
    "finds an entry by another value": _misfiled,
}
ON_INDEXES: Final = tuple(
    Attack(f"index {column}: {way}", make(column))
    for column in INDEXED
    for way, make in _WAYS.items()
)

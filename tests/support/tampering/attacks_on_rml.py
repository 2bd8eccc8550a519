"""What can be done to a ledger's file beyond what can be done to every log."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import rml
from rml.ledger.entry import COLUMNS, leaf_hash
from rml.ledger.tree import Frontier
from tampering.attacks import COMMON, ROWS, VICTIM, Attack, Log, attacker, column
from tampering.attacks_on_indexes import ON_INDEXES


def _sql(statement: str, *values: object) -> Callable[[Log, Path], None]:
    """An attack that is one statement."""

    def run(_: Log, path: Path) -> None:
        with attacker(path) as connection:
            assert connection.execute(statement, values).rowcount != 0

    return run


def _edited(connection: sqlite3.Connection) -> None:
    """Say another amount in an entry's bytes."""
    data = connection.execute("SELECT bytes FROM entries WHERE idx = ?", (VICTIM,)).fetchone()[0]
    edited = data.replace(b"1140", b"9140")
    assert edited != data
    connection.execute(
        "UPDATE entries SET bytes = ?, leaf = ? WHERE idx = ?",
        (edited, leaf_hash(edited), VICTIM),
    )


def _leaf_too(_: Log, path: Path) -> None:
    with attacker(path) as connection:
        _edited(connection)


def _every_hash(_: Log, path: Path) -> None:
    with attacker(path) as connection:
        _edited(connection)
        recomputed(connection)


def _cut_well(_: Log, path: Path) -> None:
    with attacker(path) as connection:
        connection.execute("DELETE FROM entries WHERE idx >= ?", (ROWS - 5,))
        connection.execute("DELETE FROM leases")
        recomputed(connection)


def _emptied_well(_: Log, path: Path) -> None:
    with attacker(path) as connection:
        connection.execute("DELETE FROM entries")
        connection.execute("DELETE FROM leases")
        recomputed(connection)


def _commitment_too(_: Log, path: Path) -> None:
    """Forge a personal value together with the commitment to it, and every hash."""
    from rml.codec import compact_json, parse_json
    from rml.ledger.entry import commit

    with attacker(path) as connection:
        data, personal = connection.execute(
            "SELECT bytes, personal FROM entries WHERE idx = ?", (VICTIM,)
        ).fetchone()
        kept = parse_json(personal)
        salt, value = kept["email"]
        old, new = commit(salt, "email", value), commit(salt, "email", "eve@example.com")
        edited = data.replace(old.encode(), new.encode())
        kept["email"] = [salt, "eve@example.com"]
        connection.execute(
            "UPDATE entries SET bytes = ?, leaf = ?, personal = ? WHERE idx = ?",
            (edited, leaf_hash(edited), compact_json(kept), VICTIM),
        )
        recomputed(connection)


def _back_dated(_: Log, path: Path) -> None:
    """Append with a clock that was set back an hour, as everybody who may append can."""
    with rml.Ledger(path, clock=rml.FrozenClock("2026-06-01T11:00:00Z")) as ledger:
        ledger.append("payment.charged", world="RML3")


def recomputed(connection: sqlite3.Connection) -> None:
    """Make tiles and head follow from the leaves, as an attacker with this library would."""
    frontier = Frontier()
    connection.execute("DELETE FROM tiles")
    for (leaf,) in connection.execute("SELECT leaf FROM entries ORDER BY idx").fetchall():
        for tile in frontier.add(leaf):
            connection.execute(
                "INSERT INTO tiles (level, place, hashes, root) VALUES (?, ?, ?, ?)",
                (tile.level, tile.index, tile.hashes, tile.root),
            )
    connection.execute("UPDATE head SET size = ?, root = ?", (frontier.size, frontier.root()))


def _foreign_identity(log: Log, path: Path) -> None:
    """Put somebody else's ledger in the place of this one, under this one's name."""
    origin = _origin(path)
    _attack_named("file swapped for another log").run(log, path)
    with attacker(path) as connection:
        connection.execute("UPDATE meta SET value = ? WHERE name = 'origin'", (origin,))


def _origin(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT value FROM meta WHERE name = 'origin'").fetchone()
    return str(found[0])


def _attack_named(name: str) -> Attack:
    return next(attack for attack in COMMON if attack.name == name)


_PERSONAL: Final = "UPDATE entries SET personal = CAST(replace({old}, ?, ?) AS BLOB) WHERE idx = ?"
_AS_TEXT: Final = _PERSONAL.format(old="CAST(personal AS TEXT)")

OWN: Final = (
    Attack("content edited, its leaf hash too", _leaf_too, VICTIM),
    Attack("content edited, every hash recomputed", _every_hash, VICTIM),
    Attack("last entries cut off, every hash recomputed", _cut_well, ROWS - 5),
    Attack("all entries deleted, every hash recomputed", _emptied_well, 0),
    Attack("file swapped for another log, identity forged", _foreign_identity, 0),
    Attack(
        "content that is no UTF-8",
        _sql("UPDATE entries SET bytes = x'ff61' WHERE idx = ?", VICTIM),
        VICTIM,
    ),
    Attack(
        "leaf hash edited",
        _sql("UPDATE entries SET leaf = zeroblob(32) WHERE idx = ?", VICTIM),
        VICTIM,
    ),
    Attack(
        "leaf hash with one byte more",
        _sql("UPDATE entries SET leaf = CAST(leaf || x'00' AS BLOB) WHERE idx = ?", VICTIM),
        VICTIM,
    ),
    Attack(
        "personal value edited",
        _sql(_AS_TEXT, "ada@", "eve@", VICTIM),
        VICTIM,
    ),
    Attack(
        "personal value's salt edited",
        _sql(_AS_TEXT, '["', '["A', VICTIM),
        VICTIM,
    ),
    Attack(
        "personal value removed without an erasure",
        _sql("UPDATE entries SET personal = NULL WHERE idx = ?", VICTIM),
        VICTIM,
    ),
    Attack(
        "personal value forged with its commitment, every hash recomputed", _commitment_too, VICTIM
    ),
    Attack(
        "personal values that are no UTF-8",
        _sql("UPDATE entries SET personal = x'ff61' WHERE idx = ?", VICTIM),
        VICTIM,
    ),
    Attack("tile edited", _sql("UPDATE tiles SET hashes = zeroblob(8192) WHERE level = 0"), 0),
    Attack("tile's root edited", _sql("UPDATE tiles SET root = zeroblob(32) WHERE level = 0"), 0),
    Attack("tile removed", _sql("DELETE FROM tiles"), 0),
    Attack("head's size edited", _sql("UPDATE head SET size = size - 1"), ROWS - 1),
    Attack("head's root edited", _sql("UPDATE head SET root = zeroblob(32)")),
    Attack("identity edited", _sql("UPDATE meta SET value = 'x' WHERE name = 'origin'"), 0),
    Attack(
        "lease of an unfinished effect removed, so that nobody is told", _sql("DELETE FROM leases")
    ),
    Attack(
        "lease forged",
        _sql("INSERT INTO leases VALUES ('ef_x', 1, 'x', '2026-01-01T00:00:00.000000Z')"),
    ),
    Attack("entry appended with a clock set back", _back_dated, ROWS),
    Attack("index added", _sql("CREATE INDEX x ON entries (world)")),
    Attack(
        "trigger added",
        _sql("CREATE TRIGGER x AFTER INSERT ON entries BEGIN SELECT 1; END"),
    ),
    *map(column, COLUMNS),
)
ATTACKS: Final = (*COMMON, *OWN, *ON_INDEXES)

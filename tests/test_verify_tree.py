"""Verification names the first entry that tiles and head do not vouch for."""

from pathlib import Path

import pytest
from tampered import (
    first_problem,
    laid_down,
    many_entries,
    reseal,
    reworded,
    rewrite,
    seven_entries,
    tamper,
    unguarded,
    verified,
)

from rml import Ledger, LedgerCorruptError, Level


@pytest.fixture
def seven(tmp_path: Path) -> Path:
    """A ledger of seven entries."""
    return laid_down(seven_entries(), tmp_path)


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A ledger of 600 entries: two full tiles and some more."""
    return laid_down(many_entries(), tmp_path)


HALF = "CAST(substr(hashes, 1, 128) || zeroblob(8064) AS BLOB)"


@pytest.mark.parametrize(
    ("index", "change"),
    [
        (256, "UPDATE tiles SET root = zeroblob(32) WHERE place = 1"),
        (256, "UPDATE tiles SET hashes = zeroblob(8192) WHERE place = 1"),
        (
            260,
            f"UPDATE tiles SET hashes = {HALF} WHERE place = 1",
        ),
        (0, "DELETE FROM tiles WHERE place = 0"),
        (600, "INSERT INTO tiles VALUES (0, 2, zeroblob(8192), zeroblob(32))"),
        (600, "INSERT INTO tiles VALUES (1, 0, zeroblob(8192), zeroblob(32))"),
        (600, "INSERT INTO tiles VALUES (9223372036854775807, 0, x'', x'')"),
        (600, "INSERT INTO tiles VALUES (-9223372036854775808, 0, x'', x'')"),
        (600, "INSERT INTO tiles VALUES (0, 9223372036854775807, x'', x'')"),
        (600, "INSERT INTO tiles VALUES (0, -1, x'', x'')"),
    ],
)
def test_an_edited_tile_is_named(many: Path, index: int, change: str) -> None:
    """By the first entry below the first wrong hash."""
    tamper(many, change)

    assert ("tile", index) == first_problem(many)


def test_a_tile_of_text_that_is_no_utf_8_is_named(many: Path) -> None:
    """As any other one; all entries are looked at."""
    with reworded(many, "tiles", "root   BLOB", "root   ANY") as connection:
        connection.execute("UPDATE tiles SET root = CAST(x'ff1b5b' AS TEXT) WHERE place = 1")

    found = verified(many)

    assert ("tile", 256) == (found.problems[0].code, found.problems[0].index)
    assert Level.STRUCTURE is found.level


@pytest.mark.parametrize(
    ("problem", "change"),
    [
        (("root", 0), "UPDATE head SET root = zeroblob(32)"),
        (("size", 7), "UPDATE head SET size = 8"),
        (("size", 6), "UPDATE head SET size = 6"),
        (("size", 0), "UPDATE head SET size = 0"),
        (("unreadable", 0), "DELETE FROM head"),
    ],
)
def test_an_edited_head_is_named(seven: Path, problem: tuple[str, int], change: str) -> None:
    """Bigger, smaller, another or none."""
    tamper(seven, change)

    assert problem == first_problem(seven)


def test_a_foreign_ledger_is_named(seven: Path) -> None:
    """Entries say which ledger they belong to, so another name at the door fits none of them."""
    tamper(seven, "UPDATE meta SET value = 'example.com/other' WHERE name = 'origin'")

    assert ("origin", 0) == first_problem(seven)


def test_a_ledger_rebuilt_from_the_start_is_consistent(seven: Path) -> None:
    """That is the limit, and the verification says so: only a checkpoint kept elsewhere helps."""
    with unguarded(seven) as connection:
        rewrite(connection, 2, '"number":2', '"number":3')
        reseal(connection)

    found = verified(seven)

    assert (True, Level.CONSISTENT) == (found.ok, found.level)
    assert "kept outside" in found.capped_by


@pytest.mark.parametrize(
    ("column", "value"), [("size INTEGER", "NULL"), ("root BLOB", "NULL"), ("root BLOB", "7")]
)
def test_a_head_that_is_none_is_found(seven: Path, column: str, value: str) -> None:
    """SQLite would store no such value; somebody who edits the file's pages can."""
    old, new = f"{column} NOT NULL", column.replace("BLOB", "ANY")
    with reworded(seven, "head", old, new) as connection:
        connection.execute(f"UPDATE head SET {column.partition(' ')[0]} = {value}")

    found = verified(seven)

    assert (False, Level.NONE) == (found.ok, found.level)
    assert "the ledger's head is damaged" == found.problems[0].detail


@pytest.mark.parametrize("value", ["1.5", "NULL", "CAST(x'ff1b5b' AS TEXT)"])
def test_nothing_is_appended_to_a_hash_that_is_none(many: Path, value: str) -> None:
    """Nor is anything proven with it."""
    with reworded(many, "entries", "BLOB NOT NULL", "ANY") as connection:
        connection.execute(f"UPDATE entries SET leaf = {value} WHERE idx = 590")

    with Ledger(many) as ledger:
        with pytest.raises(LedgerCorruptError, match="damaged"):
            ledger.append("a.b", world="RML1")
        with pytest.raises(LedgerCorruptError, match="damaged"):
            ledger.prove_consistency(580)

"""Verification finds what is wrong with the file around the entries."""

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tampered import (
    laid_down,
    many_entries,
    reworded,
    seven_entries,
    tamper,
    verified,
)

from rml import Ledger, LedgerCorruptError, Level, Problem


@pytest.fixture
def seven(tmp_path: Path) -> Path:
    """A ledger of seven entries."""
    return laid_down(seven_entries(), tmp_path)


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A ledger of 600 entries: two full tiles and some more."""
    return laid_down(many_entries(), tmp_path)


def objects(kind: str) -> list[str]:
    """The names of a new ledger's triggers, indexes or views."""
    with closing(sqlite3.connect(":memory:")) as connection:
        from rml.stores.sqlite_file import schema

        for statement in schema():
            connection.execute(statement)
        query = "SELECT name FROM sqlite_master WHERE type = ? AND sql IS NOT NULL ORDER BY name"
        return [name for (name,) in connection.execute(query, (kind,))]


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in ("trigger", "index") for name in objects(kind)]
)
def test_a_dropped_trigger_or_index_is_named(seven: Path, kind: str, name: str) -> None:
    """A guard that is gone is evidence, and is not quietly put back."""
    with closing(sqlite3.connect(seven)) as connection:
        connection.execute(f"DROP {kind} {name}")
    with Ledger(seven) as ledger:
        ledger.append("a.b", world="RML1")

    assert (Problem("schema", f"{name} is missing"),) == verified(seven).problems


@pytest.mark.parametrize("name", objects("index"))
def test_an_entry_that_is_hidden_from_an_index_is_named(seven: Path, name: str) -> None:
    """The index is built over all other entries, and then has its old words again."""
    with closing(sqlite3.connect(seven)) as connection:
        query = "SELECT sql FROM sqlite_master WHERE name = ?"
        (words,) = connection.execute(query, (name,)).fetchone()
    less = f"{words} {'AND' if ' WHERE ' in words else 'WHERE'} idx <> 3"
    with reworded(seven, name, words, less) as connection:
        connection.execute(f"REINDEX {name}")

    problems = verified(seven).problems

    assert {"file"} == {problem.code for problem in problems}
    assert any(f"from index {name}" in problem.detail for problem in problems)


def test_a_weakened_trigger_is_named(seven: Path) -> None:
    """The same name is not the same guard."""
    with closing(sqlite3.connect(seven)) as connection:
        connection.execute("DROP TRIGGER entries_no_delete")
        connection.execute(
            "CREATE TRIGGER entries_no_delete BEFORE DELETE ON entries BEGIN SELECT 1; END"
        )

    told = "is not as this rml creates it: it was changed, or an earlier rml made the file"
    expected = Problem("schema", f"the trigger entries_no_delete {told}")
    assert (expected,) == verified(seven).problems


def test_a_guest_in_the_file_is_named(seven: Path) -> None:
    """A trigger of somebody's own could rewrite what is appended."""
    with closing(sqlite3.connect(seven)) as connection:
        connection.execute(
            "CREATE TRIGGER mine AFTER INSERT ON entries BEGIN DELETE FROM leases; END"
        )

    (problem,) = verified(seven).problems
    assert ("schema", "'mine' does not belong to a ledger") == (problem.code, problem.detail)


def test_a_damaged_page_is_a_finding(many: Path) -> None:
    """Whatever the disk did, verification ends with a verdict."""
    data = bytearray(many.read_bytes())
    for page in range(40, len(data) // 4096, 7):
        data[page * 4096 : page * 4096 + 600] = (
            hashlib.sha512(b"%d" % page).digest() * 9 + b"x" * 24
        )
    many.write_bytes(data)

    found = verified(many)

    assert not found.ok
    assert found.problems
    assert found.level in (Level.NONE, Level.STRUCTURE)


def test_an_object_that_is_named_like_sqlites_own_is_named(seven: Path) -> None:
    """Only the tables of ANALYZE are; SQLite runs a trigger of any name."""
    trigger = "CREATE TRIGGER {} AFTER DELETE ON leases BEGIN SELECT 1; END"
    with closing(sqlite3.connect(seven)) as connection:
        connection.execute("ANALYZE")
        connection.execute("PRAGMA writable_schema = ON")
        for name in ("sqlite_evil", "sqlite_stat9", "sqlite_autoindex_meta_9"):
            connection.execute(
                "INSERT INTO sqlite_master VALUES ('trigger', ?, 'leases', 0, ?)",
                (name, trigger.format(name)),
            )
        connection.commit()

    assert [
        ("schema", f"'{name}' does not belong to a ledger")
        for name in ("sqlite_evil", "sqlite_stat9", "sqlite_autoindex_meta_9")
    ] == [(problem.code, problem.detail) for problem in verified(seven).problems]


def test_a_second_object_of_the_same_name_is_named(seven: Path) -> None:
    """It does not hide behind the first."""
    sql = "CREATE TRIGGER history AFTER DELETE ON leases BEGIN SELECT 1; END"
    with closing(sqlite3.connect(seven)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "INSERT INTO sqlite_master VALUES ('trigger', 'history', 'leases', 0, ?)", (sql,)
        )
        connection.commit()

    assert "schema" in {problem.code for problem in verified(seven).problems}


@pytest.mark.parametrize(
    ("statement", "detail"),
    [
        ("INSERT INTO meta VALUES ('x', 'y')", "meta.'x' does not belong to a ledger"),
        ("PRAGMA user_version = 0", "user_version is 0, not 1"),
    ],
)
def test_what_a_ledger_says_of_itself_is_checked(seven: Path, statement: str, detail: str) -> None:
    """What stands beside the entries, as far as it is fixed."""
    tamper(seven, statement)

    assert (Problem("meta", detail),) == verified(seven).problems


def test_a_file_that_says_when_it_was_made_is_honest(seven: Path) -> None:
    """An earlier rml noted that, and nothing reads it."""
    tamper(seven, "INSERT INTO meta VALUES ('created_at', '2026-11-20T12:00:00.000000Z')")

    assert verified(seven).ok


def test_what_a_ledger_loses_of_itself_while_it_is_open_is_named(seven: Path) -> None:
    """Without it, it would not be opened again."""
    with Ledger(seven) as ledger:
        tamper(seven, "DELETE FROM meta WHERE name = 'format'")
        found = ledger.verify()

    assert (Problem("meta", "meta.format is missing"),) == found.problems


def test_a_copy_by_vacuum_is_honest(seven: Path, tmp_path: Path) -> None:
    """It is in another journal mode until it is written to, which every writer sees to."""
    copy = tmp_path / "copy.db"
    with closing(sqlite3.connect(seven)) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))

    assert verified(copy).ok


def test_a_schema_that_is_no_text_is_refused(seven: Path) -> None:
    """SQLite's message quotes it, and so is no text either."""
    data = seven.read_bytes()
    place = data.index(b"TABLE head")
    seven.write_bytes(data[:place] + b"\xd4" + data[place + 1 :])

    with pytest.raises(LedgerCorruptError, match="malformed schema"):
        verified(seven)

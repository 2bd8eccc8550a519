"""Verification names the first entry that was edited, removed, moved or added."""

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

from rml import Level, Problem
from rml.ledger.entry import COLUMNS, Entry, leaf_hash


@pytest.fixture
def seven(tmp_path: Path) -> Path:
    """A ledger of seven entries."""
    return laid_down(seven_entries(), tmp_path)


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A ledger of 600 entries: two full tiles and some more."""
    return laid_down(many_entries(), tmp_path)


# -------------------------------------------------------------------------------- edited entries


def test_edited_bytes_are_named(seven: Path) -> None:
    """The leaf hash does not follow from them."""
    data = "replace(CAST(bytes AS TEXT), '\"number\":3', '\"number\":4')"
    tamper(seven, f"UPDATE entries SET bytes = CAST({data} AS BLOB) WHERE idx = 3")

    assert ("bytes", 3) == first_problem(seven)


def test_an_edited_leaf_is_named(seven: Path) -> None:
    """It does not follow from the bytes."""
    tamper(seven, "UPDATE entries SET leaf = zeroblob(32) WHERE idx = 4")

    assert ("bytes", 4) == first_problem(seven)


def test_bytes_edited_together_with_their_leaf_show_in_the_tree(many: Path) -> None:
    """Below a full tile the entry is named; in the open row, the first that no tile vouches for."""
    with unguarded(many) as connection:
        rewrite(connection, 300, '"number":300', '"number":301')
    assert ("tile", 300) == first_problem(many)

    with unguarded(many) as connection:
        rewrite(connection, 300, '"number":301', '"number":300')
        rewrite(connection, 599, '"number":599', '"number":600')
    assert ("root", 512) == first_problem(many)


@pytest.mark.parametrize("column", COLUMNS)
def test_each_edited_column_is_named(seven: Path, column: str) -> None:
    """Queries trust the columns, so every one is compared with the bytes."""
    value = "2" if column == "attempt" else "'forged'"
    tamper(seven, f"UPDATE entries SET {column} = {value} WHERE idx = 2")

    found = verified(seven)

    assert [("column", 2)] == [(problem.code, problem.index) for problem in found.problems]
    assert f"the column {column} says" in found.problems[0].detail
    assert Level.STRUCTURE is found.level


@pytest.mark.parametrize("column", COLUMNS[5:])
def test_each_emptied_column_is_named(seven: Path, column: str) -> None:
    """An entry that queries no longer find."""
    tamper(seven, f"UPDATE entries SET {column} = NULL WHERE idx = 5")

    assert ("column", 5) == first_problem(seven)


def test_text_that_is_no_utf_8_is_named(seven: Path) -> None:
    """It does not stop the verification."""
    tamper(seven, "UPDATE entries SET actor = CAST(x'ff00fe' AS TEXT) WHERE idx = 6")

    assert ("column", 6) == first_problem(seven)


@pytest.mark.parametrize("column", ["id", "kind", "at", "actor", "attempt", "bytes", "personal"])
@pytest.mark.parametrize("value", ["x'ff00'", "1.5", "NULL", "'text'"])
def test_a_value_of_another_type_is_named(seven: Path, column: str, value: str) -> None:
    """SQLite forbids it; whoever writes into the file without SQLite does not ask."""
    with unguarded(seven) as connection:
        query = "SELECT sql FROM sqlite_master WHERE name = 'entries'"
        (words,) = connection.execute(query).fetchone()
    any_type = words.replace("STRICT", "").replace("NOT NULL", "")
    any_type = any_type.replace("TEXT", "ANY").replace("BLOB", "ANY").replace("INTEGER,", "ANY,")
    with reworded(seven, "entries", words, any_type) as connection:
        connection.execute(f"UPDATE entries SET {column} = {value} WHERE idx = 2")

    assert 2 == first_problem(seven)[1]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"null",
        b"{}",
        b'["rml/1"]',
        b'["rml/1",{},{},{}]',
        b'["rml/2",{},{},{}]',
        b"[" * 50_000,
    ],
)
def test_bytes_that_are_no_entry_are_named(seven: Path, data: bytes) -> None:
    """Whatever stands there, the others are still checked."""
    change = "UPDATE entries SET bytes = ?, leaf = ? WHERE idx = 1"
    tamper(seven, (change, (data, leaf_hash(data))), "UPDATE entries SET key = 'x' WHERE idx = 4")

    problems = verified(seven).problems

    assert ("bytes", 1) == (problems[0].code, problems[0].index)
    assert ("column", 4) in {(problem.code, problem.index) for problem in problems}


@pytest.mark.parametrize(
    ("code", "old", "new"),
    [
        ("bytes", '"RML2"', '"RML-2"'),
        ("bytes", '["rml/1",', '["rml/1", '),
        ("bytes", '"attempt":1', '"attempt":true'),
        ("bytes", '"attempt":1', '"attempt":0'),
        ("bytes", '"actor":"ada"', '"actor":5'),
        ("bytes", '"actor":"ada"', '"actor":{"a":[]}'),
        ("bytes", '"actor":"ada"', '"author":"ada"'),
        ("bytes", '{"number":2}', "[]"),
        ("bytes", '{"number":2}', '{"number":9007199254740993}'),
        ("bytes", '{"number":2}', '{"number":1e400}'),
        ("bytes", '{"number":2}', '{"number":"\\ud800"}'),
        ("bytes", '"kind":"payment.noted"', '"kind":"noted"'),
        ("bytes", '"id":"01a1', '"id":"xyz1'),
        ("bytes", '"id":"01a1', '"id":5,"scope":"01a1'),
        ("id", '"id":"01a1', '"id":"01a2'),
        ("origin", '"origin":"rml-ledger/', '"origin":"rml-ledgeR/'),
    ],
)
def test_what_the_format_forbids_is_named(seven: Path, code: str, old: str, new: str) -> None:
    """Even when hash, tree and head are recomputed for it: this is somebody else's entry."""
    with unguarded(seven) as connection:
        rewrite(connection, 2, old, new)
        reseal(connection)

    assert (code, 2) == first_problem(seven)


@pytest.mark.parametrize(
    "fields", ["null", "5", '"email"', '{"a":1}', '[{"a":[]},["email"],null,5]']
)
def test_an_erasure_of_nonsense_is_no_erasure(seven: Path, fields: str) -> None:
    """Forged facts neither excuse a missing value nor stop the verification."""
    with unguarded(seven) as connection:
        rewrite(connection, 6, '"payment.noted"', '"payload.erased"')
        rewrite(connection, 6, '{"number":6}', f'{{"fields":{fields}}}')
        connection.execute("UPDATE entries SET kind = 'payload.erased' WHERE idx = 6")
        connection.execute("UPDATE entries SET personal = NULL WHERE idx = 0")
        reseal(connection)

    codes = [(problem.code, problem.index) for problem in verified(seven).problems]
    assert [("personal", 0), ("personal", 0)] == [found for found in codes if found[1] == 0]


# ------------------------------------------------------------- removed, moved and added entries


@pytest.mark.parametrize("index", [0, 3])
def test_a_deleted_entry_is_named(seven: Path, index: int) -> None:
    """By the gap it leaves, once."""
    tamper(seven, f"DELETE FROM entries WHERE idx = {index}")

    found = verified(seven)

    assert ("order", index) == (found.problems[0].code, found.problems[0].index)
    assert 1 == sum(problem.code == "order" for problem in found.problems)


def test_a_truncated_tail_is_named(many: Path) -> None:
    """The head knows how many there were."""
    tamper(many, "DELETE FROM entries WHERE idx >= 550")

    assert ("size", 550) == first_problem(many)


def test_an_emptied_table_is_named(seven: Path) -> None:
    """Nothing is left from entry 0 on."""
    tamper(seven, "DELETE FROM entries")

    assert ("size", 0) == first_problem(seven)


def swap(first: int, second: int) -> list[str]:
    """Statements that make two entries change places."""
    move = "UPDATE entries SET idx = {} WHERE idx = {}"
    return [move.format(*pair) for pair in ((-9, first), (first, second), (second, -9))]


def test_reordered_entries_are_named(many: Path) -> None:
    """Each is honest by itself; the tree knows their order."""
    tamper(many, *swap(37, 290))

    assert ("tile", 37) == first_problem(many)


def test_reordered_entries_of_the_open_row_show_in_the_root(seven: Path) -> None:
    """No tile vouches for the place yet, so the first candidate is named."""
    tamper(seven, *swap(2, 5))

    found = verified(seven)

    assert ("root", 0) == (found.problems[0].code, found.problems[0].index)
    assert "a change here or later" in found.problems[0].detail


NAMES = ", ".join(("bytes", "leaf", "personal", *COLUMNS))


def test_a_duplicated_entry_is_named(seven: Path) -> None:
    """The index that forbids it has to be dropped first, and that is found, too."""
    copy = f"INSERT INTO entries (idx, {NAMES}) SELECT 7, {NAMES} FROM entries WHERE idx = 6"
    tamper(seven, "DROP INDEX entries_id", copy)

    found = verified(seven)

    assert ("size", 7) == (found.problems[0].code, found.problems[0].index)
    assert Problem("schema", "entries_id is missing") in found.problems


@pytest.mark.parametrize("index", [7, 99, -1, -(2**63)])
def test_an_inserted_entry_is_named(seven: Path, index: int) -> None:
    """Wherever in the table it is hidden."""
    with unguarded(seven) as connection:
        (data,) = connection.execute("SELECT bytes FROM entries WHERE idx = 6").fetchone()
        last = Entry.from_bytes(data)
        forged = data.replace(last.id.encode(), b"0" + last.id[1:-1].encode() + b"0")
        sealed = Entry.from_bytes(forged).seal()
        marks = ", ".join("?" * (len(COLUMNS) + 4))
        connection.execute(
            f"INSERT INTO entries (idx, {NAMES}) VALUES ({marks})",
            (index, sealed.data, sealed.leaf, None, *sealed.columns),
        )

    assert ("size" if index >= 7 else "order", index) == first_problem(seven)


@pytest.mark.parametrize("index", [0, 3, 6])
@pytest.mark.parametrize("change", ["leaf || x'00'", "substr(leaf, 1, 31)", "x''"])
def test_a_leaf_of_another_length_is_named(seven: Path, index: int, change: str) -> None:
    """Leaves are compared as one text, in which a byte too many must not hide at the end."""
    tamper(seven, f"UPDATE entries SET leaf = CAST({change} AS BLOB) WHERE idx = {index}")

    assert ("bytes", index) == first_problem(seven)


def test_leaves_that_share_a_byte_are_named(seven: Path) -> None:
    """One has the first byte of the next, which has lost it: as one text, they are as they were."""
    longer = "leaf || (SELECT substr(leaf, 1, 1) FROM entries WHERE idx = 4)"
    tamper(
        seven,
        f"UPDATE entries SET leaf = CAST({longer} AS BLOB) WHERE idx = 3",
        "UPDATE entries SET leaf = CAST(substr(leaf, 2) AS BLOB) WHERE idx = 4",
    )

    problems = verified(seven).problems

    assert [("bytes", 3), ("bytes", 4)] == [(one.code, one.index) for one in problems]


@pytest.mark.parametrize("value", ["''", "x''", "x'00'", "0.5"])
def test_a_value_where_there_is_none_is_named(seven: Path, value: str) -> None:
    """Also one of no letters, or of another type."""
    with reworded(seven, "entries", "corrects     TEXT", "corrects     ANY") as connection:
        connection.execute(f"UPDATE entries SET corrects = {value} WHERE idx = 0")

    assert ("column", 0) == first_problem(seven)

"""Verification names the first bad entry of a ledger that was tampered with, and accuses no other.

The tests change the file as somebody with every right to it would: with plain SQLite, after taking
away the triggers that stand in the way, and putting them back as they were.
"""

import hashlib
import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rml import (
    ClosedError,
    Draft,
    FrozenClock,
    Ledger,
    Level,
    Problem,
    Verification,
    idempotent,
)
from rml.clock import SeededIds
from rml.ledger.entry import COLUMNS, Entry, leaf_hash
from rml.ledger.tree import Frontier
from rml.ledger.verify import PROBLEMS_MAX, PROGRESS_ROWS

PERSONAL = {"email": "ada@example.com", "name": "Ada"}


def fill(ledger: Ledger, count: int, **given: Any) -> None:
    """Append so many entries in one commit, each a second after the one before."""

    def work(draft: Draft) -> None:
        for number in range(count):
            draft.append("payment.noted", world="RML3", facts={"number": number}, **given)

    if count:
        ledger.write(work)


def written(folder: Path, size: int) -> Path:
    """A file with a ledger of so many entries, every header field of which says something."""
    path = folder / "ledger.db"
    clock = FrozenClock("2026-11-20T12:00:00Z")
    with Ledger(path, clock=clock, ids=SeededIds(), service="payments") as ledger:
        for number in range(size):
            clock.advance(1)
            ledger.write(partial(full, number=number))
    return path


def full(draft: Draft, number: int) -> None:
    """One entry with all that an entry can have."""
    first = draft.entries(limit=1)
    draft.append(
        "payment.noted",
        world="RML2",
        facts={"number": number},
        personal=PERSONAL,
        actor="ada",
        operation="payment.charge",
        scope="eu",
        key=f"pay-{number}",
        effect=f"ef_{number}",
        attempt=1,
        corrects=first[0].id if first else None,
        incident="INC-2026-0001",
        correlation="req-9",
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    )


@pytest.fixture(scope="session")
def _seven(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a ledger of seven entries."""
    path = written(tmp_path_factory.mktemp("seven"), 7)
    return path.read_bytes()


@pytest.fixture
def seven(_seven: bytes, tmp_path: Path) -> Path:
    """A ledger of seven entries, to do bad things to."""
    path = tmp_path / "ledger.db"
    path.write_bytes(_seven)
    return path


@pytest.fixture(scope="session")
def _many(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a ledger of 600 entries: two full tiles and some more."""
    path = tmp_path_factory.mktemp("many") / "ledger.db"
    with Ledger(path) as ledger:
        fill(ledger, 600)
    return path.read_bytes()


@pytest.fixture
def many(_many: bytes, tmp_path: Path) -> Path:
    """A ledger of 600 entries, to do bad things to."""
    path = tmp_path / "ledger.db"
    path.write_bytes(_many)
    return path


@contextmanager
def unguarded(path: Path) -> Iterator[sqlite3.Connection]:
    """Change a ledger's file as if it had no triggers."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
        triggers = connection.execute(query).fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        yield connection
        for _, sql in triggers:
            connection.execute(sql)


def tamper(path: Path, *statements: str | tuple[str, tuple[Any, ...]]) -> None:
    """Run statements on a ledger's file that its triggers would refuse."""
    with unguarded(path) as connection:
        for statement in statements:
            connection.execute(*([statement] if isinstance(statement, str) else statement))


def verified(path: Path) -> Verification:
    """What `verify` finds."""
    with Ledger(path, create=False) as ledger:
        return ledger.verify()


def first_problem(path: Path) -> tuple[str, int | None]:
    """The code and the place of the first thing that is wrong."""
    found = verified(path)
    assert not found.ok
    return found.problems[0].code, found.problems[0].index


def rewrite(connection: sqlite3.Connection, index: int, old: str, new: str) -> None:
    """Change an entry's bytes, and its leaf hash with them."""
    query = "SELECT bytes FROM entries WHERE idx = ?"
    (data,) = connection.execute(query, (index,)).fetchone()
    assert data.decode().count(old)
    data = data.replace(old.encode(), new.encode())
    change = "UPDATE entries SET bytes = ?, leaf = ? WHERE idx = ?"
    connection.execute(change, (data, leaf_hash(data), index))


# --------------------------------------------------------------------------- the honest ledger


@pytest.mark.parametrize(
    ("place", "size"),
    [
        *[(place, size) for place in ("memory:", "file") for size in (0, 1, 255, 256, 257)],
        ("file", 65_536 + 3),
    ],
)
def test_an_honest_ledger_is_not_accused(place: str, size: int, tmp_path: Path) -> None:
    """Around every edge of the tiles."""
    with Ledger(place if place == "memory:" else tmp_path / "ledger.db") as ledger:
        fill(ledger, size)

        found = ledger.verify()

    assert (True, Level.CONSISTENT, size, ()) == (found.ok, found.level, found.size, found.problems)
    assert "no signed checkpoint is kept outside the store to compare with" == found.capped_by


def test_a_ledger_in_full_use_is_not_accused(tmp_path: Path) -> None:
    """Every field, erased and kept values, reopened and gone on with."""
    path = written(tmp_path, 5)
    with Ledger(path) as ledger:
        ids = [entry.id for entry in ledger.entries()]
        ledger.erase(ids[0], ["email"], by="dpo", reason="law")
        ledger.erase(ids[1], ["email", "name"], by="dpo", reason="law")
        fill(ledger, 300, personal={"note": None})
        ledger.erase(ids[0], ["name"], by="dpo", reason="law")

    assert (True, 308) == (verified(path).ok, verified(path).size)


@pytest.mark.parametrize("place", ["memory:", "file"])
def test_what_happens_meanwhile_is_not_accused(place: str, tmp_path: Path) -> None:
    """Appends that fill tiles, and erasures, while the entries before them are being checked."""
    with Ledger(place if place == "memory:" else tmp_path / "ledger.db") as ledger:
        fill(ledger, 2 * PROGRESS_ROWS, personal={"email": "ada@example.com"})
        ids = [entry.id for entry in ledger.entries()]

        def meanwhile(done: int, _: int) -> None:
            if done == PROGRESS_ROWS:
                fill(ledger, 300)
                ledger.erase(ids[0], ["email"], by="dpo", reason="law")
                ledger.erase(ids[-1], ["email"], by="dpo", reason="law")

        found = ledger.verify(progress=meanwhile)

        assert (True, 2_000, 2_302) == (found.ok, found.size, ledger.size)
        assert ledger.verify().ok


def test_progress_is_reported(many: Path) -> None:
    """Now and then, and at the end."""
    reports: list[tuple[int, int]] = []
    with Ledger(many) as ledger:
        fill(ledger, 2_000)
        ledger.verify(progress=lambda done, of: reports.append((done, of)))

    assert [(1_000, 2_600), (2_000, 2_600), (2_600, 2_600)] == reports


def test_vacuum_analyze_and_a_backup_are_honest(seven: Path, tmp_path: Path) -> None:
    """What a database administrator does to any file."""
    copy = tmp_path / "copy.db"
    with closing(sqlite3.connect(seven)) as connection, closing(sqlite3.connect(copy)) as target:
        connection.execute("VACUUM")
        connection.execute("ANALYZE")
        connection.execute("REINDEX")
        connection.backup(target)

    assert [(), ()] == [verified(path).problems for path in (seven, copy)]


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


def reseal(connection: sqlite3.Connection) -> None:
    """Recompute the head of a small ledger from its leaves."""
    frontier = Frontier()
    for (leaf,) in connection.execute("SELECT leaf FROM entries ORDER BY idx"):
        frontier.add(leaf)
    change = "UPDATE head SET size = ?, root = ?"
    connection.execute(change, (frontier.size, frontier.root()))


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


# ------------------------------------------------------------------------------- tree and head


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
    ],
)
def test_an_edited_tile_is_named(many: Path, index: int, change: str) -> None:
    """By the first entry below the first wrong hash."""
    tamper(many, change)

    assert ("tile", index) == first_problem(many)


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


# --------------------------------------------------------------------------- what can be erased


def beside(path: Path, index: int) -> dict[str, Any]:
    """What is kept beside an entry."""
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT personal FROM entries WHERE idx = ?"
        kept: dict[str, Any] = json.loads(connection.execute(query, (index,)).fetchone()[0])
        return kept


@pytest.mark.parametrize(
    "change",
    [
        lambda kept: kept | {"email": [kept["email"][0], "eve@example.com"]},
        lambda kept: kept | {"email": ["A" * 22, kept["email"][1]]},
        lambda kept: kept | {"email": [5, None]},
        lambda kept: kept | {"phone": ["A" * 22, "1"]},
        lambda kept: {"email": kept["name"], "name": kept["email"]},
        lambda kept: {"name": kept["name"]},
        lambda kept: {},
        lambda kept: None,
        lambda kept: [],
        lambda kept: {"email": 5},
        lambda kept: {"email": [1, 2, 3]},
    ],
    ids=[
        "value",
        "salt",
        "types",
        "added",
        "swapped",
        "removed",
        "all",
        "null",
        "list",
        "no",
        "three",
    ],
)
def test_an_edited_value_beside_an_entry_is_named(
    seven: Path, change: Callable[[Any], Any]
) -> None:
    """Edited, added, swapped, or gone without an erasure."""
    made = json.dumps(change(beside(seven, 3))).encode()
    tamper(seven, ("UPDATE entries SET personal = ? WHERE idx = 3", (made,)))

    assert ("personal", 3) == first_problem(seven)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"{",
        b'{"email":["A","b"],"email":["A","b"]}',
        b'{"email":"Ab"}',
        b'{"email":5}',
        b"5",
        b'"text"',
    ],
)
def test_unreadable_values_beside_an_entry_are_named(seven: Path, data: bytes) -> None:
    """They do not stop the verification."""
    tamper(seven, ("UPDATE entries SET personal = ? WHERE idx = 3", (data,)))

    assert ("personal", 3) == first_problem(seven)


def test_values_as_a_list_of_pairs_are_named(seven: Path) -> None:
    """They commit to the same, and no reader could read them."""
    pairs = json.dumps(list(beside(seven, 3).items())).encode()
    tamper(seven, ("UPDATE entries SET personal = ? WHERE idx = 3", (pairs,)))

    assert ("personal", 3) == first_problem(seven)


@pytest.mark.parametrize("number", [1999, [0], {"a": [{"b": -5}]}, 2**53 - 1])
def test_a_whole_number_that_became_a_float_is_named(tmp_path: Path, number: Any) -> None:
    """Both have the same canonical form, but a replay would return another type."""
    path = tmp_path / "ledger.db"
    with Ledger(path) as ledger:
        ledger.append("a.b", world="RML1", personal={"amount": number, "text": "1.0"})
    ((salt, value), text) = beside(path, 0).values()
    made = re.sub(r"(\d+)", r"\1.0", json.dumps(value))
    data = f'{{"amount":["{salt}",{made}],"text":{json.dumps(text)}}}'.encode()
    assert verified(path).ok
    tamper(path, ("UPDATE entries SET personal = ? WHERE idx = 0", (data,)))

    assert ("personal", 0) == first_problem(path)


@pytest.mark.parametrize("place", ["memory:", "file"])
def test_a_float_that_is_kept_is_not_accused(place: str, tmp_path: Path) -> None:
    """Whole ones are kept as the integers that they are in JSON; no other is touched."""
    values = [1.0, -0.0, 0.5, 1e15, 9007199254740991.0, 1e16, 1e300, 5e-324, {"a": (2.0, 2.5)}]
    with Ledger(place if place == "memory:" else tmp_path / "ledger.db") as ledger:
        for value in values:
            ledger.append("a.b", world="RML1", personal={"x": value, "y": "1.0"})
        found = [entry.personal["x"] for entry in ledger.entries()]
        for entry in ledger.entries():
            ledger.erase(entry.id, ["y"], by="dpo", reason="law")

        assert [*values[:-1], {"a": [2, 2.5]}] == found
        assert [int, int, float, int, int, float, float, float] == [type(x) for x in found[:-1]]
        assert ledger.verify().problems == ()


def test_an_erasure_excuses_its_own_entry_and_fields_only(seven: Path) -> None:
    """Not another field, and not another entry."""
    with Ledger(seven) as ledger:
        ledger.erase(ledger.entries()[1].id, ["email"], by="dpo", reason="law")
    tamper(seven, "UPDATE entries SET personal = NULL WHERE idx IN (1, 2)")

    problems = verified(seven).problems

    assert [(1, "'name'"), (2, "'email'"), (2, "'name'")] == sorted(
        (problem.index, problem.detail.split()[0])
        for problem in problems
        if problem.index is not None
    )


# ----------------------------------------------------------------------------- the file's schema


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


def test_a_weakened_trigger_is_named(seven: Path) -> None:
    """The same name is not the same guard."""
    with closing(sqlite3.connect(seven)) as connection:
        connection.execute("DROP TRIGGER entries_no_delete")
        connection.execute(
            "CREATE TRIGGER entries_no_delete BEFORE DELETE ON entries BEGIN SELECT 1; END"
        )

    expected = Problem("schema", "entries_no_delete is not as it was created")
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
        (
            "UPDATE meta SET value = '1999' WHERE name = 'created_at'",
            "meta.created_at is no moment as a ledger writes it",
        ),
        ("DELETE FROM meta WHERE name = 'created_at'", "meta.created_at is missing"),
        ("INSERT INTO meta VALUES ('x', 'y')", "meta.'x' does not belong to a ledger"),
        ("PRAGMA user_version = 0", "user_version is 0, not 1"),
    ],
)
def test_what_a_ledger_says_of_itself_is_checked(seven: Path, statement: str, detail: str) -> None:
    """What stands beside the entries, as far as it is fixed."""
    tamper(seven, statement)

    assert (Problem("meta", detail),) == verified(seven).problems


def test_a_copy_by_vacuum_is_honest(seven: Path, tmp_path: Path) -> None:
    """It is in another journal mode until it is written to, which every writer sees to."""
    copy = tmp_path / "copy.db"
    with closing(sqlite3.connect(seven)) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))

    assert verified(copy).ok


# ---------------------------------------------------------------------------------------- leases


@pytest.fixture
def effects(tmp_path: Path) -> Path:
    """A ledger with effects that are done, not done, in flight and in doubt."""
    path = tmp_path / "ledger.db"
    with Ledger(path) as ledger:

        @idempotent("payment.charge", key="key", ledger=ledger)
        def charge(key: str) -> int:
            if key == "refused":
                raise ClosedError
            if key == "doubt":
                raise TimeoutError
            return 1999

        for key in ("done", "refused", "doubt"):
            with suppress(ClosedError, TimeoutError):
                charge(key)
        ledger.write(in_flight)
    return path


def in_flight(draft: Draft, effect: str = "ef_flight") -> None:
    """Begin an attempt that has not ended."""
    intent = draft.append(
        "effect.intent",
        world="RML3",
        operation="payment.charge",
        effect=effect,
        key="flight",
        attempt=1,
    )
    draft.grant(effect, 1, intent.id, 60)


def test_effects_in_every_state_are_not_accused(effects: Path) -> None:
    """Each has the lease that is due to it, or none."""
    assert verified(effects).problems == ()


@pytest.mark.parametrize(
    ("statement", "detail"),
    [
        (
            "DELETE FROM leases WHERE owner = ''",
            "has not ended, but its lease is gone, so that nobody is told of it",
        ),
        (
            "DELETE FROM leases WHERE owner != ''",
            "has not ended, but its lease is gone, so that nobody is told of it",
        ),
        ("UPDATE leases SET owner = 'me' WHERE owner = ''", "has a lease of another attempt"),
        ("UPDATE leases SET owner = '' WHERE owner != ''", "has a lease of another attempt"),
        ("UPDATE leases SET attempt = 2 WHERE owner != ''", "has a lease of another attempt"),
        ("UPDATE leases SET until = 'x' WHERE owner != ''", "has a lease until no time at all"),
        (
            "INSERT INTO leases SELECT effect, 1, id, recorded_at FROM entries WHERE idx = 0",
            "has a lease, but nothing is open",
        ),
        (
            "INSERT INTO leases VALUES ('ef_none', 1, 'me', '2026-11-20T19:00:00.000000Z')",
            "has a lease, but nothing is open",
        ),
    ],
)
def test_a_forged_lease_is_named(effects: Path, statement: str, detail: str) -> None:
    """A doubt without its lease would be on nobody's list."""
    tamper(effects, statement)

    (problem,) = verified(effects).problems
    assert ("lease", None) == (problem.code, problem.index)
    assert problem.detail.startswith("the effect 'ef_")
    assert problem.detail.endswith(detail)


def test_leases_that_cannot_be_read_are_a_problem(effects: Path) -> None:
    """The rest is checked all the same."""
    tamper(effects, "DROP TABLE leases", "UPDATE entries SET key = 'x' WHERE idx = 1")

    assert {"column", "lease", "schema"} == {p.code for p in verified(effects).problems}


@pytest.mark.parametrize("place", ["memory:", "file"])
def test_effects_that_begin_and_end_meanwhile_are_not_accused(place: str, tmp_path: Path) -> None:
    """What was open has ended, and what had not begun is open, when the leases are read."""
    with Ledger(place if place == "memory:" else tmp_path / "ledger.db") as ledger:
        fill(ledger, PROGRESS_ROWS - 1)
        ledger.write(partial(in_flight, effect="ef_before"))

        def end(draft: Draft) -> None:
            draft.append("effect.done", world="RML3", effect="ef_before", attempt=1)
            draft.release("ef_before")
            in_flight(draft, "ef_after")

        found = ledger.verify(
            progress=lambda *_: None if ledger.size > 1_001 else ledger.write(end)
        )

        assert (found.problems, ledger.verify().problems) == ((), ())


# ------------------------------------------------------------------------------------- verdicts


def test_a_verdict_reads_well(seven: Path) -> None:
    """One line that says what an operator needs."""
    fine = verified(seven)
    tamper(seven, "UPDATE entries SET key = 'pay-9' WHERE idx = 2")
    bad = verified(seven)

    assert f"ok: 7 entries, level consistent, root {fine.root}" == str(fine)
    assert str(bad).startswith("NOT ok: 1 problem(s) in 7 entries; first: entry 2 (01a1")
    assert str(bad).endswith("): the column key says 'pay-9', the bytes say otherwise [column]")


def test_a_verdict_is_json(seven: Path) -> None:
    """For machines."""
    tamper(seven, "UPDATE entries SET key = 'pay-9' WHERE idx = 2")

    made = json.loads(json.dumps(verified(seven).to_dict()))

    assert (False, "structure", 7) == (made["ok"], made["level"], made["size"])
    assert {"code": "column", "index": 2} == {n: made["problems"][0][n] for n in ("code", "index")}


def test_a_ledger_that_is_wrong_everywhere_is_not_listed_whole(many: Path) -> None:
    """A hundred lines say enough, and the first is the first."""
    tamper(many, "UPDATE entries SET actor = 'eve'")

    found = verified(many)

    assert PROBLEMS_MAX == len(found.problems)
    assert list(range(PROBLEMS_MAX)) == [problem.index for problem in found.problems]

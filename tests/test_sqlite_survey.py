"""Survey and sieve doubt every row whose columns are not those of its bytes, and few others."""

import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rml.ledger.checks.check import check_row
from rml.ledger.checks.sieve import Sieve
from rml.ledger.entry import COLUMNS, leaf_hash
from rml.ledger.tree import HASH_BYTES
from rml.stores.sqlite import SqliteStore
from rml.testing.scribe import Scribe
from rml.testing.stores import opening_of

OPTIONAL = COLUMNS[5:]
FULL: dict[str, Any] = {name: f"{name} 1" for name in OPTIONAL if name != "attempt"}
ROWS = 6
BLOBS = ("bytes", "leaf", "personal")
# A header with an escape is always looked at by itself.
WITH_ESCAPES = 5


@pytest.fixture(scope="module")
def store() -> Iterator[SqliteStore]:
    """Entries with no optional field, with one and with all; nothing guards them."""
    made = SqliteStore(None, opening_of("sqlite://:memory:"))
    scribe = Scribe(made.origin)
    scribe.append(made, 2)
    scribe.append(made, 2, attempt=3, facts={"amount": 1}, **FULL)
    scribe.append(made, key="pay-1", personal={"email": "ada@example.com"})
    scribe.append(made, key='a "quoted" \\ key é😀')
    connection = made._writer.connection
    assert connection is not None
    for (name,) in connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    ).fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    yield made
    made.close()


def doubted(store: SqliteStore) -> set[int]:
    """The rows that are looked at by themselves."""
    survey = store.survey(0, ROWS)
    if len(survey.data) < ROWS:
        return set(range(ROWS))
    leaves = [leaf_hash(one) for one in survey.data]
    return {*survey.doubtful, *Sieve(store.origin).sift(survey, leaves, survey.personal).held}


def tampered(store: SqliteStore, statement: str, *values: Any) -> set[int]:
    """The rows that are doubted while a statement has effect."""
    connection = store._writer.connection
    assert connection is not None
    connection.execute("SAVEPOINT honest")
    try:
        connection.execute(statement, values)
        return doubted(store)
    finally:
        connection.execute("ROLLBACK TO honest")
        connection.execute("RELEASE honest")


def test_honest_rows_are_not_doubted(store: SqliteStore) -> None:
    """Whichever fields they have, and whatever letters are in them."""
    survey = store.survey(0, ROWS)
    rows = list(store.rows(0, ROWS))

    assert [] == list(survey.doubtful)
    assert {WITH_ESCAPES} == doubted(store)
    assert [row.data for row in rows] == survey.data
    assert b"".join(row.leaf for row in rows) == survey.leaves
    assert set(COLUMNS) == set(survey.columns)
    for name, text in survey.columns.items():
        values = [row.columns[COLUMNS.index(name)] for row in rows]
        if name == "attempt":
            values = [None if value is None else b"%d" % value for value in values]
        assert [value or b"" for value in values] == text.split(b"\n")
    assert {4: rows[4].personal} == survey.personal
    assert [(2, "effect 1", 3), (3, "effect 1", 3)] == [
        (step.index, step.effect, step.attempt) for step in survey.steps
    ]
    assert rows[3].columns[0].decode() == survey.id_at(3) == survey.steps[1].id


def test_a_part_is_told_as_the_whole(store: SqliteStore) -> None:
    """From any index to any other, and beyond."""
    whole = store.survey(0, ROWS)

    assert whole.data[2:4] == store.survey(2, 4).data
    assert whole.columns["id"][2 * 37 : 4 * 37 - 1] == store.survey(2, 4).columns["id"]
    assert () == store.survey(ROWS, 99).data


@pytest.mark.parametrize("index", [0, 2])
@pytest.mark.parametrize("column", COLUMNS)
def test_each_edited_column_is_doubted(store: SqliteStore, column: str, index: int) -> None:
    """Set, changed and emptied; a column that may not be empty is not tried."""
    values = [7, 0, -1] if column == "attempt" else ["x", "", 'x","at":"y', "x\0y", "\\u0041"]
    values += [None] if column in OPTIONAL and index == 2 else []
    for value in values:
        change = f"UPDATE entries SET {column} = ? WHERE idx = {index}"

        assert index in tampered(store, change, value), value


@given(
    column=st.sampled_from(COLUMNS),
    index=st.integers(0, ROWS - 1),
    value=st.none() | st.text() | st.binary(max_size=9) | st.integers(-(2**63), 2**63 - 1),
)
def test_whatever_stands_in_a_column_is_doubted(
    store: SqliteStore, column: str, index: int, value: Any
) -> None:
    """Unless it is what the bytes say."""
    (row,) = store.rows(index, index + 1)
    honest = row.columns[COLUMNS.index(column)]
    if isinstance(value, bytes):  # text that may be no UTF-8
        change = f"UPDATE entries SET {column} = CAST(? AS TEXT)"
    else:
        change = f"UPDATE entries SET {column} = ?"
    if column == "attempt":
        value = value if isinstance(value, int) else None
        change = "UPDATE entries SET attempt = ?"
    elif isinstance(value, int) or (value is None and column not in OPTIONAL):
        value = str(value)
    same = (value.encode() if isinstance(value, str) else value) == honest

    held = tampered(store, f"{change} WHERE idx = {index}", value)

    assert held == {WITH_ESCAPES} if same else index in held


@st.composite
def damages(draw: st.DrawFn) -> tuple[str, Any]:
    """A statement that damages one value of a row, and the new value, given its old one."""
    column = draw(st.sampled_from([*COLUMNS, "bytes", "leaf", "personal"]))
    index = draw(st.integers(0, ROWS - 1))
    kind = {"attempt": "INTEGER"}.get(column, "BLOB" if column in BLOBS else "TEXT")
    if kind == "INTEGER":
        return f"UPDATE entries SET attempt = ? WHERE idx = {index}", draw(st.integers(-1, 4))
    place, byte = draw(st.integers(1, 400)), draw(st.binary(max_size=2))
    old = f"CAST({column} AS BLOB)"
    edited = f"substr({old}, 1, {place - 1}) || ? || substr({old}, {place + 1})"
    return f"UPDATE entries SET {column} = CAST({edited} AS {kind}) WHERE idx = {index}", byte


@given(st.lists(damages(), min_size=1, max_size=4))
def test_what_is_vouched_for_is_what_a_look_at_each_row_finds(
    store: SqliteStore, done: list[tuple[str, Any]]
) -> None:
    """Of several damaged rows: those that survey and sieve let pass have nothing wrong."""
    connection = store._writer.connection
    assert connection is not None
    connection.execute("SAVEPOINT honest")
    try:
        for statement, value in done:
            with suppress(sqlite3.IntegrityError):  # an id that is there already
                connection.execute(statement, [value])
        held, rows = doubted(store), list(store.rows(0, ROWS))
    finally:
        connection.execute("ROLLBACK TO honest")
        connection.execute("RELEASE honest")

    wrong = {row.index for row in rows if check_row(row, store.origin).problems}

    assert wrong <= held
    if {len(row.leaf) for row in rows} == {HASH_BYTES}:  # else later ones are not where they were
        assert held <= wrong | {WITH_ESCAPES} or len(held) == ROWS


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('["rml/1",', '["rml/1", '),
        ('["rml/1",', '["rml/2",'),
        ('"kind":"payment.noted",', '"kind":"payment.noted","kind":"payment.noted",'),
        ('"world":"RML3"},{', '"world":"RML3"}, {'),
        ('"world":"RML3"},{', '"world":"RML3"},[{'),
        ('"world":"RML3"},{', '"world":"RML3","x":""},{'),
        ('"origin":"example.com/', '"origin":"example.org/'),
        ("", "\ufeff"),
    ],
)
def test_another_header_is_doubted(store: SqliteStore, old: str, new: str) -> None:
    """The bytes are not to begin as the columns say and then go on otherwise."""
    (row,) = store.rows(0, 1)
    data = row.data.replace(old.encode(), new.encode(), 1)
    change = "UPDATE entries SET bytes = ?, leaf = ? WHERE idx = 0"

    assert {0, WITH_ESCAPES} == tampered(store, change, data, leaf_hash(data))


def test_an_empty_text_is_doubted(store: SqliteStore) -> None:
    """The format forbids it, and the columns could say the same."""
    (row,) = store.rows(4, 5)
    data = row.data.replace(b'"key":"pay-1"', b'"key":""')
    change = "UPDATE entries SET bytes = ?, leaf = ?, key = '' WHERE idx = 4"

    assert {4, WITH_ESCAPES} == tampered(store, change, data, leaf_hash(data))


def test_columns_that_agree_with_bytes_that_no_writer_makes_are_doubted(store: SqliteStore) -> None:
    """A text with a quote or a control letter, put into the bytes as it stands."""
    (row,) = store.rows(4, 5)
    for text in ('pay-1","kind":"payment.noted', 'pay-1","x":"', "pay-\x01", "pay-\t1", "pay\\-1"):
        data = row.data.replace(b"pay-1", text.encode())
        change = "UPDATE entries SET bytes = ?, leaf = ?, key = ? WHERE idx = 4"

        assert {4, WITH_ESCAPES} == tampered(store, change, data, leaf_hash(data), text)


def test_lines_that_make_up_for_each_other_are_doubted(store: SqliteStore) -> None:
    """Two texts in one row, and none in the next: together they are as many as two rows have."""
    first, second = store.rows(0, 2)
    both = first.data + b"\n" + second.data
    for change, values in (
        ("UPDATE entries SET bytes = iif(idx = 0, ?, x'') WHERE idx < 2", [both]),
        ("UPDATE entries SET kind = iif(idx = 0, ?, '') WHERE idx < 2", ["a.b\na.b"]),
    ):
        assert {0, 1} <= tampered(store, change, *values)


def test_a_column_that_comes_into_use_is_learned() -> None:
    """A ledger may begin with entries that leave it empty."""
    store = SqliteStore(None, opening_of("sqlite://:memory:"))
    scribe = Scribe(store.origin)
    scribe.append(store, 2)
    scribe.append(store, 2, attempt=3, **FULL)

    first, later = store.survey(0, 2), store.survey(2, 4)

    assert set(COLUMNS[:5]) == set(first.columns)
    assert set(COLUMNS) == set(later.columns)
    assert b"\n\n3\n3" == store.survey(0, 4).columns["attempt"]
    store.close()

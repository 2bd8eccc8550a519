"""What a survey in SQL tells of rows: enough to find every edited column, and nothing too much."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

import rml
from rml.ledger.checks.sieve import Sieve
from rml.ledger.entry import COLUMNS, leaf_hash
from rml.stores.postgres import PostgresStore
from rml.stores.postgres_place import place_of
from rml.testing.scribe import Scribe
from rml.testing.stores import opening_of

FULL: dict[str, Any] = {name: f"{name} 1" for name in COLUMNS[5:]} | {"attempt": 3}
ROWS = 5


@pytest.fixture
def url(new_url: Callable[[], str]) -> str:
    """Entries with no optional field and with all, one of them with a value beside it."""
    made = new_url()
    store = PostgresStore(opening_of(made, create=False))
    scribe = Scribe(store.origin)
    scribe.append(store, 2)
    scribe.append(store, 2, **FULL)
    scribe.append(store, key="pay é 1", personal={"email": "ada@example.com"})
    store.close()
    return made


def tamper(url: str, statement: str, *values: Any) -> None:
    """Change entries as only their owner can."""
    place = place_of(url)
    with psycopg.connect(place.conninfo, autocommit=True) as connection:
        connection.execute(f'SET search_path = "{place.schema}"')
        connection.execute("ALTER TABLE entries DISABLE TRIGGER ALL")
        connection.execute(statement, values)


def held(url: str) -> set[int]:
    """The rows that a verification looks at by themselves."""
    store = PostgresStore(opening_of(url, create=False))
    survey = store.survey(0, ROWS)
    leaves = [leaf_hash(one) for one in survey.data]
    store.close()
    return {*survey.doubtful, *Sieve(store.origin).sift(survey, leaves, survey.personal).held}


def findings(url: str) -> list[str]:
    """What a verification says of the schema, its triggers aside."""
    with rml.Ledger(url) as ledger:
        problems = ledger.verify().problems
    return [f"{one.code}: {one.detail}" for one in problems if one.code != "schema"]


def test_honest_rows_are_not_looked_at_by_themselves(url: str) -> None:
    """Whichever fields they have."""
    assert set() == held(url)


@pytest.mark.parametrize("column", COLUMNS)
def test_an_edited_column_is_found_where_it_is(url: str, column: str) -> None:
    """Changed; emptied, where the schema lets it be; and set where it was empty."""
    value = 9 if column == "attempt" else "01a1fa54-6f80-7000-8000-00000000000f"
    index = 2 if column in COLUMNS[:5] else 1
    tamper(url, f"UPDATE entries SET {column} = %s WHERE seq = {index + 1}", value)
    if column in COLUMNS[5:]:
        tamper(url, f"UPDATE entries SET {column} = NULL WHERE seq = 4")

    with rml.Ledger(url) as ledger:
        found = [problem for problem in ledger.verify().problems if problem.code == "column"]

    expected = [index] if column in COLUMNS[:5] else [index, 3]
    assert expected == [problem.index for problem in found]


@pytest.mark.parametrize("value", ["\n", "\n\n", "a\nb"], ids=["line", "lines", "within"])
def test_a_column_with_the_end_of_a_line_is_found(url: str, value: str) -> None:
    """Also where that is all that a page holds in the column: by it, texts are joined."""
    tamper(url, "UPDATE entries SET traceparent = NULL")
    tamper(url, "UPDATE entries SET traceparent = %s WHERE seq = 2", value)

    assert 1 in held(url)


def test_a_value_beside_no_entry_is_found(url: str) -> None:
    """Nobody would come across it, or erase it."""
    tamper(url, "INSERT INTO personal VALUES ('nobody', '{}')")

    assert ["personal: 1 values are kept beside entries that are not there"] == findings(url)


def test_an_entry_that_waits_again_is_found(url: str) -> None:
    """No other entry is given an index while it does."""
    tamper(url, "INSERT INTO waiting SELECT seq, leaf FROM places WHERE idx = 1")

    assert ["unsealed: 1 entries wait for an index and have one"] == findings(url)


def test_bytes_with_the_end_of_a_line_are_found_where_they_are(url: str) -> None:
    """A page whose texts cannot be told apart is looked at row by row."""
    tamper(url, "UPDATE entries SET bytes = bytes || '\\x0a'::bytea WHERE seq = 2")

    with rml.Ledger(url) as ledger:
        first = ledger.verify().problems[0]

    assert ("bytes", 1) == (first.code, first.index)


def test_entries_that_are_gone_are_missed(url: str) -> None:
    """All of a page as well as one."""
    tamper(url, "DELETE FROM entries")

    with rml.Ledger(url) as ledger:
        found = [(p.code, p.index) for p in ledger.verify().problems if p.code == "bytes"]

    assert [("bytes", index) for index in range(ROWS)] == found

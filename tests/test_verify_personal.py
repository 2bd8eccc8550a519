"""Verification names the entry beside which a value was edited, or is gone without a record."""

import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tampered import fill, first_problem, laid_down, seven_entries, tamper, verified

from rml import Ledger
from rml.codec import DEPTH_MAX
from rml.ledger.checks.verify import PROBLEMS_MAX


@pytest.fixture
def seven(tmp_path: Path) -> Path:
    """A ledger of seven entries."""
    return laid_down(seven_entries(), tmp_path)


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


@pytest.mark.parametrize("spelling", ["{} ", "\n{}", "spaced", "escaped", "nothing"])
def test_values_that_are_spelled_otherwise_are_named(seven: Path, spelling: str) -> None:
    """They commit to the same, and they are not what was written."""
    kept = beside(seven, 3)
    if spelling == "nothing":
        with Ledger(seven) as ledger:
            ledger.erase(ledger.entries()[3].id, [*kept], by="dpo", reason="law")
        data = "{}"
    elif spelling == "spaced":
        data = json.dumps(kept)
    else:
        text = json.dumps(kept, separators=(",", ":"))
        data = text.replace("a", "\\u0061") if spelling == "escaped" else spelling.format(text)
    tamper(seven, ("UPDATE entries SET personal = ? WHERE idx = 3", (data.encode(),)))

    detail = "what is kept beside it is not as it was written"
    assert [("personal", 3, detail)] == [
        (problem.code, problem.index, problem.detail) for problem in verified(seven).problems
    ]


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


def test_a_value_as_deep_as_may_be_is_not_accused() -> None:
    """What is kept wraps it once more, and is no deeper for that."""
    value: Any = 0.5  # a number with a point is looked at by itself
    for _ in range(DEPTH_MAX):
        value = [value]
    with Ledger("memory:") as ledger:
        ledger.append("a.b", world="RML1", personal={"x": value})

        assert () == ledger.verify().problems


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


@pytest.mark.parametrize("column", ["kind", "corrects"])
def test_an_erasure_that_queries_no_longer_find_excuses_its_entry(seven: Path, column: str) -> None:
    """Its bytes say it still; so it is accused, and not the entry that was rightly erased."""
    with Ledger(seven) as ledger:
        ledger.erase(ledger.entries()[1].id, ["email"], by="dpo", reason="law")
    tamper(seven, f"UPDATE entries SET {column} = 'a.b' WHERE idx = 7")

    assert [("column", 7)] == [
        (problem.code, problem.index) for problem in verified(seven).problems
    ]


@pytest.mark.parametrize("column", ["kind", "actor"])
def test_a_pruning_that_queries_no_longer_find_excuses_its_entries(
    seven: Path, column: str
) -> None:
    """As an erasure does."""
    with Ledger(seven) as ledger:
        ledger.prune(4, by="dpo", reason="law")
    tamper(seven, f"UPDATE entries SET {column} = 'a.b' WHERE idx = 7")

    assert [("column", 7)] == [
        (problem.code, problem.index) for problem in verified(seven).problems
    ]


def test_a_pruning_excuses_no_entry_above_it(seven: Path) -> None:
    """What was still to be kept is missed."""
    with Ledger(seven) as ledger:
        ledger.prune(4, by="dpo", reason="law")
    tamper(seven, "UPDATE entries SET personal = NULL WHERE idx >= 3")

    problems = verified(seven).problems

    assert {("personal", index) for index in (4, 5, 6)} == {(p.code, p.index) for p in problems}
    assert 6 == len(problems)


def test_a_ledger_without_any_of_its_values_is_not_listed_whole(tmp_path: Path) -> None:
    """A hundred lines say enough, and the first is the first."""
    path = tmp_path / "ledger.db"
    with Ledger(path) as ledger:
        fill(ledger, 300, personal={"email": "ada@example.com"})
    tamper(path, "UPDATE entries SET personal = NULL")

    problems = verified(path).problems

    assert list(range(PROBLEMS_MAX)) == [problem.index for problem in problems]

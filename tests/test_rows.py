"""Answers are sequences, tables in every kind of frame, and safe to show in a notebook."""

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from rml import Entry, Ledger, MissingExtraError, Rows
from rml.ledger.queries.rows import HTML_ROWS_MAX, REPR_ROWS_MAX

SCRIPT = "<script>alert('x')</script>"


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """An empty ledger in memory."""
    with Ledger("memory:") as made:
        yield made


def numbers(count: int) -> Rows[int]:
    """The rows of a question whose answer is a range."""
    return Rows(lambda: iter(range(count)), lambda number: {"number": number})


# -------------------------------------------------------------------------------- as sequences


def test_rows_can_be_counted_walked_and_walked_again() -> None:
    """Each walk asks the question anew."""
    rows = numbers(3)

    assert (3, [0, 1, 2], [0, 1, 2]) == (len(rows), list(rows), list(rows))


def test_what_was_appended_meanwhile_is_in_the_next_answer(ledger: Ledger) -> None:
    """Rows are a question, not a copy."""
    rows = ledger.entries()
    before = len(rows)
    ledger.append("a.b", world="RML1")

    assert (0, 1, True) == (before, len(rows), bool(rows))


def test_rows_are_looked_up_by_place() -> None:
    """From both ends, and in slices, like a list."""
    rows, as_list = numbers(5), list(range(5))

    assert (0, 4, 4, 0) == (rows[0], rows[4], rows[-1], rows[-5])
    for part in (slice(1, 3), slice(None, None, -1), slice(-2, None), slice(3, 99)):
        assert as_list[part] == rows[part]


@pytest.mark.parametrize("index", [5, 99, -6])
def test_a_place_beyond_the_rows_is_an_index_error(index: int) -> None:
    """As with any sequence."""
    with pytest.raises(IndexError):
        numbers(5)[index]


def test_counting_uses_the_store_s_count_when_there_is_one() -> None:
    """Nothing is read for a number that the store knows."""

    def never() -> Iterator[int]:
        pytest.fail("the rows were read")
        yield 0

    assert 7 == len(Rows(never, lambda number: {"number": number}, lambda: 7))


# ------------------------------------------------------------------------------------ as text


def test_an_empty_answer_says_so() -> None:
    """In a shell and in a notebook."""
    assert ("no rows", False) == (repr(numbers(0)), bool(numbers(0)))
    assert "<p><em>no rows</em></p>" == numbers(0)._repr_html_()


def test_a_long_answer_is_cut() -> None:
    """The first rows and how many there are, not a flooded terminal."""
    lines = repr(numbers(REPR_ROWS_MAX + 1)).splitlines()

    assert [str(i) for i in range(REPR_ROWS_MAX)] + ["... 11 rows"] == lines
    assert REPR_ROWS_MAX == len(repr(numbers(REPR_ROWS_MAX)).splitlines())


def test_a_long_table_is_cut() -> None:
    """A notebook shows the first rows and says how many there are."""
    shown = numbers(HTML_ROWS_MAX + 1)._repr_html_()

    assert HTML_ROWS_MAX + 1 == shown.count("<tr>")
    assert "<p><em>51 rows, 50 shown</em></p>" in shown


def test_html_is_escaped_in_names_and_values(ledger: Ledger) -> None:
    """A fact is somebody else's text."""
    ledger.append(
        "a.b", world="RML1", facts={SCRIPT: SCRIPT, "list": [SCRIPT]}, actor=f'"{SCRIPT}"'
    )

    shown = ledger.entries()._repr_html_()

    assert "<script" not in shown
    assert 4 == shown.count("&lt;script&gt;")
    assert "<td>&quot;&lt;script&gt;" in shown


def test_columns_that_say_nothing_are_not_shown(ledger: Ledger) -> None:
    """A table in a notebook has the width of its facts."""
    ledger.append("a.b", world="RML1", facts={"amount": 1})

    shown = ledger.entries()._repr_html_()

    assert ("<th>amount</th>" in shown, "<th>traceparent</th>" in shown) == (True, False)


def test_an_entry_shows_no_value_that_is_kept_beside_it(ledger: Ledger) -> None:
    """Neither tables nor rows carry personal data into a notebook."""
    ledger.append("a.b", world="RML1", personal={"email": "ada@example.com"})

    rows = ledger.entries()

    assert "ada@example.com" not in rows._repr_html_()
    assert "ada@example.com" not in json.dumps(rows.to_dicts(), default=str)


# ---------------------------------------------------------------------------------- as frames


def test_facts_stand_under_their_own_names(ledger: Ledger) -> None:
    """A fact that is called like a field is told apart from it."""
    ledger.append("a.b", world="RML2", facts={"amount": 5, "kind": "mine"})

    (row,) = ledger.entries().to_dicts()

    expected = {"index": 0, "kind": "a.b", "world": "RML2", "amount": 5, "facts.kind": "mine"}
    assert expected == {name: row[name] for name in expected}


def test_no_fact_hides_another(ledger: Ledger) -> None:
    """Whatever a fact is called, it is in the row, and in JSON under the name it was given."""
    facts = {"kind": 1, "facts.kind": 2, "facts.facts.kind": 3, "facts": 4, "facts.": 5, "other": 6}
    ledger.append("a.b", world="RML2", facts=facts)

    (row,) = ledger.entries().to_dicts()

    assert 17 + len(facts) == len(row)
    assert (1, 2) == (row["facts.kind"], row["facts.facts.kind"])
    assert facts == json.loads(ledger.entries().to_pandas(facts="json")["facts"][0])


def mixed(ledger: Ledger) -> Rows[Entry]:
    """Entries whose facts agree about nothing."""
    ledger.append(
        "a.b",
        world="RML1",
        facts={"amount": 1, "x": 1, "n": {"a": 1}, "l": [1, "a"], "flag": True, "top": 2**53 - 1},
    )
    ledger.append(
        "a.b", world="RML1", facts={"amount": 2, "x": "é", "n": [1], "l": [{}], "flag": 1}
    )
    ledger.append("a.b", world="RML1", facts={"x": {"a": None}, "n": None})
    return ledger.entries()


AS_TEXT: dict[str, list[Any]] = {
    "amount": [1, 2, None],
    "x": ["1", "é", '{"a": null}'],
    "n": ['{"a": 1}', "[1]", None],
    "l": ['[1, "a"]', "[{}]", None],
    "flag": ["true", "1", None],
    "top": [2**53 - 1, None, None],
}


def test_polars_gets_one_type_a_column(ledger: Ledger) -> None:
    """What does not fit one type becomes text; no value is lost."""
    pytest.importorskip("polars")
    frame = mixed(ledger).to_polars()

    assert frame.select(*AS_TEXT).to_dict(as_series=False) == AS_TEXT
    assert [str(frame.schema[name]) for name in ("amount", "x")] == ["Int64", "String"]


def test_arrow_gets_one_type_a_column(ledger: Ledger) -> None:
    """As polars does."""
    pytest.importorskip("pyarrow")
    table = mixed(ledger).to_arrow()

    assert table.select(list(AS_TEXT)).to_pydict() == AS_TEXT
    assert [str(table.schema.field(name).type) for name in ("amount", "x")] == ["int64", "string"]


def test_pandas_keeps_values_and_makes_no_floats(ledger: Ledger) -> None:
    """Amounts with gaps stay whole numbers; mixed columns hold what was recorded."""
    pandas = pytest.importorskip("pandas")
    frame = mixed(ledger).to_pandas()

    assert [1, 2, pandas.NA] == frame["amount"].tolist()
    assert ["Int64", "Int64", "object"] == [str(frame[n].dtype) for n in ("amount", "top", "x")]
    assert [1, "é", {"a": None}] == frame["x"].tolist()


@pytest.mark.parametrize("method", ["to_pandas", "to_polars", "to_arrow"])
def test_frames_know_moments_and_lengths(ledger: Ledger, method: str) -> None:
    """Times are times in UTC, and every row is there."""
    pytest.importorskip({"to_arrow": "pyarrow"}.get(method, method.removeprefix("to_")))
    receipts = [ledger.append("a.b", world="RML1") for _ in range(3)]

    frame = getattr(ledger.entries(), method)()

    column = frame["recorded_at"]
    moments = column.to_pylist() if method == "to_arrow" else list(column)
    assert [receipt.recorded_at for receipt in receipts] == moments


@pytest.mark.parametrize("method", ["to_pandas", "to_polars", "to_arrow"])
def test_an_empty_answer_is_an_empty_frame(method: str) -> None:
    """No rows are no reason to fail."""
    pytest.importorskip({"to_arrow": "pyarrow"}.get(method, method.removeprefix("to_")))
    frame = getattr(numbers(0), method)()

    assert 0 == (frame.num_rows if method == "to_arrow" else len(frame))


def test_a_missing_package_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any row is read."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(MissingExtraError, match=r"pip install 'rml\[arrow\]'"):
        numbers(1).to_arrow()

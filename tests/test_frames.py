"""Frames, batches and Parquet files: stable types, whole files, and memory that does not grow."""

import json
import sys
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import pytest
from protected import Charges

from rml import Entry, FileNotWrittenError, InvalidInputError, Ledger, MissingExtraError, Rows
from rml.ledger.queries.asking import EFFECT_TYPES, ENTRY_TYPES
from rml.ledger.queries.frames import CHUNK_ROWS, GROUP_CHUNKS

MOMENT = datetime(2026, 11, 20, 19, tzinfo=UTC)
ARROW = {str: "string", int: "int64", datetime: "timestamp[us, tz=UTC]"}
POLARS = {str: "String", int: "Int64", datetime: "Datetime(time_unit='us', time_zone='UTC')"}
PANDAS = {int: "Int64", datetime: "datetime64[us, UTC]"}


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A ledger in memory, with an effect and an entry of a program's own."""
    with Ledger("memory:") as made:
        Charges(facts=("amount",), ledger=made)("pay-1", 5)
        made.append("stock.counted", world="RML1", facts={"count": 3, "tags": ["a"]})
        yield made


def counted(count: int, change_at: int | None = None) -> Rows[int]:
    """So many rows with facts beside two columns of their own; later answers may differ."""
    asked = 0

    def ask() -> Iterator[int]:
        nonlocal asked
        asked += 1
        return iter(range(count))

    def columns(number: int) -> dict[str, Any]:
        changed = change_at is not None and asked > 1 and number >= change_at
        fact = "text" if changed else number
        return {"index": number, "at": MOMENT, "number": fact, "even": number % 2 == 0}

    return Rows(ask, columns, lambda: count, {"index": int, "at": datetime})


# ------------------------------------------------------------------------------------- columns


def test_the_declared_columns_are_those_that_rows_have(ledger: Ledger) -> None:
    """In their order, before any fact."""
    (entry, *_), (effect,) = ledger.entries().to_dicts(), ledger.effects().to_dicts()

    assert list(ENTRY_TYPES) == list(entry)[: len(ENTRY_TYPES)]
    assert list(EFFECT_TYPES) == list(effect)[: len(EFFECT_TYPES)]
    assert {"amount"} == effect.keys() - EFFECT_TYPES.keys()


@pytest.mark.parametrize("operation", ["payment.charge", "no.such"])
def test_columns_have_the_same_types_in_every_answer(ledger: Ledger, operation: str) -> None:
    """Full of values, of gaps, or of nothing at all."""
    text = str(pytest.importorskip("pandas").Series(["text"]).dtype)
    pytest.importorskip("polars")
    pytest.importorskip("pyarrow")
    answers: list[tuple[Rows[Any], Any]] = [
        (ledger.entries(operation=operation), ENTRY_TYPES),
        (ledger.effects(operation=operation), EFFECT_TYPES),
        (ledger.as_of(0).entries(), ENTRY_TYPES),
    ]
    for rows, types in answers:
        arrow, polars, pandas = rows.to_arrow(), rows.to_polars(), rows.to_pandas()

        assert {n: ARROW[t] for n, t in types.items()} == {
            n: str(arrow.schema.field(n).type) for n in types
        }
        assert {n: POLARS[t] for n, t in types.items()} == {n: str(polars.schema[n]) for n in types}
        assert {n: PANDAS.get(t, text) for n, t in types.items()} == {
            n: str(pandas[n].dtype) for n in types
        }


def mixed(count: int) -> Rows[int]:
    """Rows whose facts come and go and change their type, far apart."""

    def columns(number: int) -> dict[str, Any]:
        row: dict[str, Any] = {"index": number, "n": number}
        if number == 0:
            row |= {"early": True, "n": 0, "turns": 1}
        if number == count - 1:
            row |= {"late": {"a": 1}, "turns": "x", "n": None}
        return row

    return Rows(lambda: iter(range(count)), columns, types={"index": int})


@pytest.mark.parametrize("method", ["to_arrow", "to_polars", "to_pandas"])
def test_columns_fit_together_over_chunks(method: str) -> None:
    """A fact that is first seen late, last seen early, or of another type in between."""
    pytest.importorskip({"to_arrow": "pyarrow"}.get(method, method.removeprefix("to_")))
    count = 2 * CHUNK_ROWS + 5
    frame = getattr(mixed(count), method)()

    columns = {
        name: frame[name].to_pylist() if method == "to_arrow" else list(frame[name])
        for name in ("index", "n", "early", "turns", "late")
    }
    ends = {name: (values[0], values[-1]) for name, values in columns.items()}
    kept = method == "to_pandas"  # which keeps the values that were recorded
    assert list(range(count)) == columns["index"]
    assert {count} == set(map(len, columns.values()))
    assert (1 if kept else "1", "x") == ends["turns"]
    assert (True, {"a": 1} if kept else '{"a": 1}') == (ends["early"][0], ends["late"][1])
    assert (0, list(range(1, count - 1))) == (ends["n"][0], columns["n"][1:-1])


def test_a_moment_among_texts_is_written_down() -> None:
    """As everywhere: UTC, six digits."""
    pytest.importorskip("pyarrow")
    rows = Rows(lambda: iter([MOMENT, "noon"]), lambda value: {"when": value})

    assert ["2026-11-20T19:00:00.000000Z", "noon"] == rows.to_arrow()["when"].to_pylist()


def test_facts_can_be_one_column_of_json(ledger: Ledger) -> None:
    """Of one type whatever comes; rows without declared columns have no facts to part."""
    for package in ("pandas", "polars", "pyarrow"):
        pytest.importorskip(package)
    table = ledger.entries(kind="stock.counted").to_arrow(facts="json")

    assert [*ENTRY_TYPES, "facts"] == table.column_names
    assert {"count": 3, "tags": ["a"]} == json.loads(table["facts"][0].as_py())
    assert "facts" in ledger.effects().to_pandas(facts="json").columns
    assert "facts" in ledger.effects().to_polars(facts="json").columns
    plain = Rows(lambda: iter([1]), lambda number: {"number": number})
    assert ["number"] == plain.to_arrow(facts="json").column_names
    with pytest.raises(InvalidInputError, match="facts is 'both'; give 'columns' or 'json'"):
        plain.to_arrow(facts="both")  # type: ignore[arg-type]


# --------------------------------------------------------------------------------------- batches


@pytest.mark.parametrize("facts", ["columns", "json"])
def test_batches_have_one_schema_and_all_rows(facts: Any) -> None:
    """Of the size that was asked for, but the last one."""
    arrow = pytest.importorskip("pyarrow")
    batches = list(counted(10).to_arrow_batches(4, facts=facts))

    assert ([4, 4, 2], 1) == ([b.num_rows for b in batches], len({b.schema for b in batches}))
    table = arrow.Table.from_batches(batches)
    assert table.equals(counted(10).to_arrow(facts=facts).combine_chunks())


@pytest.mark.parametrize("size", [0, -1, True, 1.5, "1"])
def test_a_batch_has_a_size(size: Any) -> None:
    """At least one row, and said at once."""
    with pytest.raises(InvalidInputError, match="size is "):
        counted(1).to_arrow_batches(size)


def test_columns_that_change_while_they_are_written_are_refused(ledger: Ledger) -> None:
    """By name, and with two ways out; nothing is left out in silence."""
    pytest.importorskip("pyarrow")
    with pytest.raises(InvalidInputError, match=r"'number' .*as_of.*facts='json'"):
        list(counted(10, change_at=9).to_arrow_batches(4))

    assert 3 == len(list(counted(10, change_at=9).to_arrow_batches(4, facts="json")))
    batches = ledger.entries().to_arrow_batches()
    ledger.append("stock.counted", world="RML1", facts={"new": 1})
    with pytest.raises(InvalidInputError, match="'new' was added"):
        list(batches)
    view = ledger.as_of(ledger.size).entries().to_arrow_batches()
    ledger.append("stock.counted", world="RML1", facts={"newer": 1})
    assert [4] == [batch.num_rows for batch in view]


# --------------------------------------------------------------------------------------- Parquet


def test_a_parquet_file_holds_every_row(tmp_path: Path) -> None:
    """In groups of a good size; progress says how far it is."""
    parquet = pytest.importorskip("pyarrow.parquet")
    path, told = tmp_path / "numbers.parquet", list[tuple[int, int]]()
    count = CHUNK_ROWS * GROUP_CHUNKS + 10

    written = counted(count).to_parquet(path, progress=lambda *numbers: told.append(numbers))

    read = parquet.ParquetFile(path)
    assert (count, count, 2) == (written, read.metadata.num_rows, read.metadata.num_row_groups)
    assert [(count - 10, count), (count, count)] == told
    assert list(range(count)) == read.read(["number"])["number"].to_pylist()
    read.close()


def test_a_ledger_is_written_and_read_again(ledger: Ledger, tmp_path: Path) -> None:
    """The columns and their types are those of a frame; also of no rows."""
    parquet = pytest.importorskip("pyarrow.parquet")
    for rows, facts in (
        (ledger.entries(), "columns"),
        (ledger.entries(), "json"),
        (ledger.effects(), "columns"),
        (ledger.as_of(0).entries(), "columns"),
    ):
        path = tmp_path / "out.parquet"
        rows.to_parquet(path, facts=facts, overwrite=True)  # type: ignore[arg-type]

        assert rows.to_arrow(facts=facts).equals(parquet.read_table(path))  # type: ignore[arg-type]


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    """Nothing is overwritten unasked, and a failure leaves what was there before."""
    pytest.importorskip("pyarrow")
    path = tmp_path / "numbers.parquet"
    counted(3).to_parquet(path)
    before = path.read_bytes()

    with pytest.raises(FileNotWrittenError, match="is there already"):
        counted(9).to_parquet(path)
    with pytest.raises(InvalidInputError, match="got values of another type"):
        counted(10, change_at=9).to_parquet(path, overwrite=True)
    with pytest.raises(FileNotWrittenError, match="does not exist"):
        counted(9).to_parquet(tmp_path / "no" / "folder.parquet")

    assert (before, [path]) == (path.read_bytes(), list(tmp_path.iterdir()))


def test_progress_must_be_callable(tmp_path: Path) -> None:
    """And a path a path: said before a file is made."""
    with pytest.raises(InvalidInputError, match="progress is 5"):
        counted(1).to_parquet(tmp_path / "x", progress=5)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="path must be the path of a file"):
        counted(1).to_parquet(5)  # type: ignore[arg-type]


def test_a_missing_package_is_said_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the command that installs it, and no file."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    rows: Rows[Entry] = Rows(lambda: pytest.fail("rows were read"), attrs.asdict)

    for call in (rows.to_arrow_batches, lambda: rows.to_parquet(tmp_path / "x")):
        with pytest.raises(MissingExtraError, match=r"pip install 'rml\[arrow\]'"):
            call()
    assert [] == list(tmp_path.iterdir())


# ---------------------------------------------------------------------------------------- memory


def peak_of(work: Any) -> int:
    """Return the most bytes of Python's that a work held at once."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_hundred_thousand_rows_are_written_in_little_memory(tmp_path: Path) -> None:
    """What a chunk takes, and not what all of them would."""
    pytest.importorskip("pyarrow.parquet")
    counted(10).to_parquet(tmp_path / "warm.parquet")  # imports are not what is measured
    chunk = peak_of(lambda: counted(CHUNK_ROWS).to_dicts())

    peak = peak_of(lambda: counted(100_000).to_parquet(tmp_path / "all.parquet"))

    assert peak < 3 * chunk
    assert peak_of(lambda: counted(100_000).to_arrow()) < 3 * chunk


def test_a_stored_ledger_is_read_in_little_memory(tmp_path: Path) -> None:
    """Entries come in pages from the file, too."""
    with Ledger(tmp_path / "ledger.db") as ledger:
        ledger.write(
            lambda draft: [
                draft.append("stock.counted", world="RML1", facts={"count": i})
                for i in range(4 * CHUNK_ROWS)
            ]
        )
        few = peak_of(lambda: sum(1 for _ in ledger.entries(limit=CHUNK_ROWS)))

        assert peak_of(lambda: sum(1 for _ in ledger.entries())) < 2 * few

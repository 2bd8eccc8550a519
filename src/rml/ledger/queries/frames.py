"""How rows become columns: tables for pandas, Polars and Arrow, and Parquet files.

Rows are read a few thousand at a time and packed into columns at once, so that no frame is built
from a dict for each of its rows. A column has one type in Polars, Arrow and Parquet. A row's own
columns have the types that are declared for them, whatever they hold; a fact has the type of its
values, and is text where these differ: a list or an object is JSON text everywhere.

A Parquet file and a stream of Arrow batches name their columns before the first row. For facts as
columns, their rows are read twice, therefore: once for names and types, once for the values.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from itertools import chain, islice
from typing import Any, BinaryIO, Final, Literal

import attrs

from rml.clock import utc_text
from rml.error import InvalidInputError, MissingExtraError

Facts = Literal["columns", "json"]
Row = dict[str, Any]
Types = Mapping[str, type]
# Told how many rows are written, and how many there are.
Progress = Callable[[int, int], None]

# The column of all facts, where they have none of their own.
FACTS: Final = "facts"
# Before the name of a fact that would pass for something else without it.
_PREFIX: Final = f"{FACTS}."
# Rows held as dicts at once: some megabytes.
CHUNK_ROWS: Final = 2_048
# Of a Parquet file: large enough to compress well, small enough to be held.
GROUP_CHUNKS: Final = 32
_NONE: Final = type(None)
_PLAIN: Final = frozenset({str, int, bool, float, datetime})


@attrs.frozen
class Frames:
    """The rows of one question, asked anew each time they are read, and what is known of them."""

    ask: Callable[[], Iterator[Row]]
    types: Types
    count: Callable[[], int]
    # Whether `types` names every column there can be.
    complete: bool = False

    def with_facts(self, facts: Facts) -> Frames:
        """Return the same rows with facts as columns, or as the JSON text of one column.

        Raises:
            InvalidInputError: it is neither.
        """
        if facts == "columns":
            return self
        if facts != "json":
            raise InvalidInputError.about("facts", facts, "give 'columns' or 'json'")
        if not self.types:  # rows of another making, without facts
            return self
        return Frames(
            ask=lambda: (_in_json(row, self.types) for row in self.ask()),
            types={**self.types, FACTS: str},
            count=self.count,
            complete=True,
        )

    def to_pandas(self) -> Any:
        """Return a pandas.DataFrame; see :meth:`rml.Rows.to_pandas`."""
        pandas = library("pandas")
        columns: dict[str, list[Any]] = {name: [] for name in self.types}
        seen = 0
        for count, chunk in chunks(self.ask()):
            for name in columns.keys() - chunk.keys():
                columns[name] += [None] * count
            for name, values in chunk.items():
                columns.setdefault(name, [None] * seen).extend(values)
            seen += count
        dtypes = {
            str: pandas.Series(["text"]).dtype,  # whatever this pandas keeps text in
            int: "Int64",
            datetime: "datetime64[us, UTC]",
        }
        made = {}
        for name, values in columns.items():
            dtype = dtypes[self.types[name]] if name in self.types else _gapped(values)
            made[name] = values if dtype is None else pandas.array(values, dtype=dtype)
        return pandas.DataFrame(made)

    def to_polars(self) -> Any:
        """Return a polars.DataFrame; see :meth:`rml.Rows.to_polars`."""
        polars = library("polars")
        dtypes = {
            str: polars.String,
            int: polars.Int64,
            bool: polars.Boolean,
            float: polars.Float64,
            datetime: polars.Datetime("us", "UTC"),
            _NONE: polars.Null,
        }
        kinds, parts = self._packed(
            lambda values, kind: polars.Series(values, dtype=dtypes[kind]),
            lambda part: part.to_list(),
        )
        series = {
            name: polars.concat([polars.Series([], dtype=dtypes[kind]), *parts(name)])
            for name, kind in kinds.items()
        }
        return polars.DataFrame(series)

    def to_arrow(self) -> Any:
        """Return a pyarrow.Table; see :meth:`rml.Rows.to_arrow`."""
        arrow = library("pyarrow")
        dtypes = _arrow_types(arrow)
        kinds, parts = self._packed(
            lambda values, kind: arrow.array(values, type=dtypes[kind]),
            lambda part: part.to_pylist(),
        )
        return arrow.table(
            {
                name: arrow.chunked_array(list(parts(name)), type=dtypes[kind])
                for name, kind in kinds.items()
            }
        )

    def to_arrow_batches(self, size: int) -> Iterator[Any]:
        """Yield pyarrow.RecordBatches of one schema; see :meth:`rml.Rows.to_arrow_batches`."""
        library("pyarrow")
        return self._batches(size, self._survey())

    def write_parquet(self, file: BinaryIO, progress: Progress | None) -> int:
        """Write all rows into an open file and return how many there were."""
        arrow, parquet = library("pyarrow"), library("pyarrow.parquet")
        kinds = self._survey()
        total = self.count() if progress is not None else 0
        written = 0
        batches = self._batches(CHUNK_ROWS, kinds)
        with parquet.ParquetWriter(file, _schema(arrow, kinds)) as writer:
            while group := list(islice(batches, GROUP_CHUNKS)):
                writer.write_table(arrow.Table.from_batches(group))
                written += sum(batch.num_rows for batch in group)
                if progress is not None:
                    progress(written, max(written, total))
        return written

    def _survey(self) -> dict[str, type]:
        """Return every column's type; the rows are read for what is not declared."""
        kinds = dict(self.types)
        for _, chunk in () if self.complete else chunks(self.ask()):
            for name, values in chunk.items():
                kinds[name] = _joined(kinds.get(name, _NONE), kind_of(values))
        return kinds

    def _batches(self, size: int, kinds: Mapping[str, type]) -> Iterator[Any]:
        arrow = library("pyarrow")
        schema = _schema(arrow, kinds)
        for count, chunk in chunks(self.ask(), size):
            for name, values in chunk.items():
                if name not in kinds or _joined(kinds[name], kind_of(values)) is not kinds[name]:
                    raise InvalidInputError(
                        f"the column {name!a:.80} was added, or got values of another type, while "
                        "the rows were being read; ask ledger.as_of(ledger.size), which does not "
                        "change, or give facts='json'"
                    )
            columns = [
                arrow.array(as_kind(chunk.get(name) or [None] * count, kind), type=field.type)
                for (name, kind), field in zip(kinds.items(), schema, strict=True)
            ]
            yield arrow.RecordBatch.from_arrays(columns, schema=schema)

    def _packed(
        self, pack: Callable[[list[Any], type], Any], unpack: Callable[[Any], list[Any]]
    ) -> tuple[dict[str, type], Callable[[str], Iterator[Any]]]:
        """Read the rows once; return each column's type, and what gives its packed parts.

        A part is packed by the type that its own values have; few have to be packed again because
        others have another.
        """
        kinds = dict(self.types)
        packed: list[tuple[int, dict[str, tuple[type, Any]]]] = []
        for count, chunk in chunks(self.ask()):
            parts = {}
            for name, values in chunk.items():
                kind = self.types.get(name) or kind_of(values)
                kinds[name] = _joined(kinds.get(name, _NONE), kind)
                parts[name] = (kind, pack(as_kind(values, kind), kind))
            packed.append((count, parts))

        def parts_of(name: str) -> Iterator[Any]:
            for count, parts in packed:
                kind, part = parts.get(name, (_NONE, None))
                if kind is not kinds[name]:
                    values = [None] * count if part is None else unpack(part)
                    part = pack(as_kind(values, kinds[name]), kinds[name])
                yield part

        return kinds, parts_of


def row_of(own: Row, facts: Mapping[str, Any]) -> Row:
    """Return a row's own columns and its facts; a fact whose name is taken gets a prefix.

    A name that begins with the prefix gets another one, so that no fact hides another.
    """
    taken = own.keys()
    return own | {
        f"{_PREFIX}{name}" if name in taken or name.startswith(_PREFIX) else name: value
        for name, value in facts.items()
    }


def chunks(rows: Iterator[Row], size: int = CHUNK_ROWS) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield so many rows at a time: their number, and their columns in order of appearance."""
    while held := list(islice(rows, size)):
        names = dict.fromkeys(chain.from_iterable(held))
        yield len(held), {name: [row.get(name) for row in held] for name in names}


def kind_of(values: list[Any]) -> type:
    """Return the one type of all values but ``None``; text where there is no such plain type."""
    kinds = {type(value) for value in values} - {_NONE}
    if not kinds:
        return _NONE
    return kinds.pop() if len(kinds) == 1 and kinds <= _PLAIN else str


def as_kind(values: list[Any], kind: type) -> list[Any]:
    """Return values as a column of a type takes them: everything fits into text."""
    if kind is not str or all(type(value) is str or value is None for value in values):
        return values
    return [None if value is None else _text(value) for value in values]


def library(name: str) -> Any:
    """Import what frames are made with.

    Raises:
        MissingExtraError: it is not installed.
    """
    package = name.partition(".")[0]
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError.about("arrow" if package == "pyarrow" else package) from error


def _joined(one: type, other: type) -> type:
    """Return the type of a column that holds values of both types."""
    if one is other or other is _NONE:
        return one
    return other if one is _NONE else str


def _in_json(row: Row, types: Types) -> Row:
    own = {name: value for name, value in row.items() if name in types}
    facts = {name.removeprefix(_PREFIX): value for name, value in row.items() if name not in types}
    return {**own, FACTS: json.dumps(facts, ensure_ascii=False)}


def _gapped(values: list[Any]) -> str | None:
    """Return the pandas type for integers or booleans with gaps, which it would read as floats."""
    gapped = {int: "Int64", bool: "boolean"}
    kinds = {type(value) for value in values}
    return next((name for kind, name in gapped.items() if kinds == {kind, _NONE}), None)


def _schema(arrow: Any, kinds: Mapping[str, type]) -> Any:
    dtypes = _arrow_types(arrow)
    return arrow.schema([(name, dtypes[kind]) for name, kind in kinds.items()])


def _arrow_types(arrow: Any) -> dict[type, Any]:
    return {
        str: arrow.string(),
        int: arrow.int64(),
        bool: arrow.bool_(),
        float: arrow.float64(),
        datetime: arrow.timestamp("us", "UTC"),
        _NONE: arrow.null(),
    }


def _text(value: object) -> str:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, datetime):
        return utc_text(value)
    return json.dumps(value, ensure_ascii=False, default=str)

"""Answers of a ledger as rows: iterable in constant memory, and a table where tables are read."""

from __future__ import annotations

import html
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar, overload

from rml.error import InvalidInputError
from rml.files import as_path, writing
from rml.ledger.queries.frames import CHUNK_ROWS, Facts, Frames, Progress, Types, library
from rml.tag import shown

T = TypeVar("T")

# What a notebook shows of a long answer; the rest is a query away.
HTML_ROWS_MAX: Final = 50
REPR_ROWS_MAX: Final = 10
_NO_TYPES: Final[Types] = MappingProxyType({})


class Rows(Generic[T]):
    """The rows of one question, asked again each time they are iterated.

    History only grows, so answers stay true.
    ``len(rows)`` counts, ``rows[0]`` and ``rows[-1]`` look up, and ``to_pandas()``, ``to_polars()``
    and ``to_arrow()`` make frames with one column a field. ``to_arrow_batches()`` and
    ``to_parquet()`` do so for more rows than memory holds.

    The columns of entries and effects have the same types in every answer; a fact's column has the
    type of its values. Polars and Arrow want one type a column: there a fact of several types
    becomes text, and lists and objects become JSON text. With ``facts="json"``, all facts of a row
    are the JSON text of one column, ``facts``, instead.
    """

    def __init__(
        self,
        ask: Callable[[], Iterator[T]],
        columns: Callable[[T], dict[str, Any]],
        count: Callable[[], int] | None = None,
        types: Types = _NO_TYPES,
    ) -> None:
        self._ask = ask
        self._columns = columns
        self._count = count
        self._types = types

    def __iter__(self) -> Iterator[T]:
        return self._ask()

    def __len__(self) -> int:
        return self._count() if self._count is not None else sum(1 for _ in self._ask())

    def __bool__(self) -> bool:
        return next(iter(self), None) is not None

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        if isinstance(index, int) and index >= 0:
            for row in islice(self._ask(), min(index, sys.maxsize), None):
                return row
            message = f"row {shown(index)} of {len(self)}"
            raise IndexError(message)
        return list(self._ask())[index]

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return every row as a flat dict, facts under their own names."""
        return [self._columns(row) for row in self._ask()]

    def to_pandas(self, *, facts: Facts = "columns") -> Any:
        """Return a pandas.DataFrame; a fact keeps the values that were recorded.

        Raises:
            MissingExtraError: pandas is not installed; the message is the command that installs it.
        """
        return self._frames(facts).to_pandas()

    def to_polars(self, *, facts: Facts = "columns") -> Any:
        """Return a polars.DataFrame.

        Raises:
            MissingExtraError: polars is not installed.
        """
        return self._frames(facts).to_polars()

    def to_arrow(self, *, facts: Facts = "columns") -> Any:
        """Return a pyarrow.Table.

        Raises:
            MissingExtraError: pyarrow is not installed.
        """
        return self._frames(facts).to_arrow()

    def to_arrow_batches(
        self, size: int = CHUNK_ROWS, *, facts: Facts = "columns"
    ) -> Iterator[Any]:
        """Yield pyarrow.RecordBatches of so many rows and one schema, in constant memory.

        For facts as columns the rows are read twice, the first time for names and types; rows that
        have others by the second time are refused. A :class:`rml.LedgerView` does not change.

        Raises:
            MissingExtraError: pyarrow is not installed.
            InvalidInputError: ``size`` is no number of rows, or the columns changed meanwhile.
        """
        told: object = size
        if type(told) is not int or told < 1:
            raise InvalidInputError.about("size", size, "give a number of rows")
        return self._frames(facts).to_arrow_batches(size)

    def to_parquet(
        self,
        path: str | os.PathLike[str],
        *,
        facts: Facts = "columns",
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> int:
        """Write the rows into a Parquet file, in constant memory; return how many there were.

        The file appears when it is whole. Facts are read as in :meth:`to_arrow_batches`.

        Args:
            path: the file.
            facts: a column for each fact, or ``"json"`` for one of all.
            overwrite: whether a file that is there may be replaced.
            progress: called with (rows written, rows in all) now and then.

        Raises:
            MissingExtraError: pyarrow is not installed.
            FileNotWrittenError: the file is there already, or cannot be written.
            InvalidInputError: an argument cannot be used, or the columns changed meanwhile.
        """
        if progress is not None and not callable(progress):
            raise InvalidInputError.about("progress", progress, "give a function of two numbers")
        frames, target = self._frames(facts), as_path("path", path)
        library("pyarrow.parquet")
        with writing(target, overwrite=overwrite) as file:
            return frames.write_parquet(file, progress)

    def _frames(self, facts: Facts) -> Frames:
        rows = Frames(lambda: map(self._columns, self._ask()), self._types, self.__len__)
        return rows.with_facts(facts)

    def __repr__(self) -> str:
        shown = list(islice(self._ask(), REPR_ROWS_MAX + 1))
        lines = [repr(row) for row in shown[:REPR_ROWS_MAX]]
        if len(shown) > REPR_ROWS_MAX:
            lines.append(f"... {len(self)} rows")
        return "\n".join(lines) if lines else "no rows"

    def _repr_html_(self) -> str:
        """Return a plain table for notebooks; every value is escaped."""
        dicts = [self._columns(row) for row in islice(self._ask(), HTML_ROWS_MAX)]
        if not dicts:
            return "<p><em>no rows</em></p>"
        names = [
            name
            for name in dict.fromkeys(n for row in dicts for n in row)
            if any(row.get(name) is not None for row in dicts)
        ]
        head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
        body = "".join(
            "<tr>" + "".join(_cell(row.get(name)) for name in names) + "</tr>" for row in dicts
        )
        total = len(self)
        more = (
            f"<p><em>{total} rows, {HTML_ROWS_MAX} shown</em></p>" if total > HTML_ROWS_MAX else ""
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _cell(value: object) -> str:
    return f"<td>{'' if value is None else html.escape(str(value))}</td>"

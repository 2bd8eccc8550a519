"""Answers of a ledger as rows: iterable in constant memory, and a table where tables are read."""

from __future__ import annotations

import html
import importlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar, overload

from rml.clock import utc_text
from rml.error import MissingExtraError
from rml.tag import shown

T = TypeVar("T")

# What a notebook shows of a long answer; the rest is a query away.
HTML_ROWS_MAX: Final = 50
REPR_ROWS_MAX: Final = 10
_NONE: Final = type(None)
_GAPPED: Final = MappingProxyType({int: "Int64", bool: "boolean"})
_PLAIN: Final = frozenset({str, int, bool, float, datetime})


class Rows(Generic[T]):
    """The rows of one question, asked again each time they are iterated.

    History only grows, so answers stay true.
    ``len(rows)`` counts, ``rows[0]`` and ``rows[-1]`` look up, and ``to_pandas()``, ``to_polars()``
    and ``to_arrow()`` make frames with one column a field. Polars and Arrow want one type a column:
    there a column of several types becomes text, and lists and objects become JSON text.
    """

    def __init__(
        self,
        ask: Callable[[], Iterator[T]],
        columns: Callable[[T], dict[str, Any]],
        count: Callable[[], int] | None = None,
    ) -> None:
        self._ask = ask
        self._columns = columns
        self._count = count

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

    def to_pandas(self) -> Any:
        """Return a pandas.DataFrame.

        Raises:
            MissingExtraError: pandas is not installed; the message is the command that installs it.
        """
        pandas = _frames("pandas")
        return pandas.DataFrame(
            {
                name: pandas.array(values, dtype=dtype) if (dtype := _gaps(values)) else values
                for name, values in self._table().items()
            }
        )

    def to_polars(self) -> Any:
        """Return a polars.DataFrame.

        Raises:
            MissingExtraError: polars is not installed.
        """
        return _frames("polars").DataFrame(self._tidy_table())

    def to_arrow(self) -> Any:
        """Return a pyarrow.Table.

        Raises:
            MissingExtraError: pyarrow is not installed.
        """
        return _frames("pyarrow").table(self._tidy_table())

    def _table(self) -> dict[str, list[Any]]:
        """Return the columns in the order in which they first appear, as long as there are rows."""
        dicts = self.to_dicts()
        names = dict.fromkeys(name for row in dicts for name in row)
        return {name: [row.get(name) for row in dicts] for name in names}

    def _tidy_table(self) -> dict[str, list[Any]]:
        return {name: _one_type(values) for name, values in self._table().items()}

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


def _gaps(values: list[Any]) -> str | None:
    """Return the pandas type for integers or booleans with gaps, which it would read as floats."""
    kinds = {type(value) for value in values}
    return next((name for kind, name in _GAPPED.items() if kinds == {kind, _NONE}), None)


def _one_type(values: list[Any]) -> list[Any]:
    kinds = {type(value) for value in values} - {_NONE}
    if len(kinds) <= 1 and kinds <= _PLAIN:
        return values
    return [None if value is None else _text(value) for value in values]


def _text(value: object) -> str:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, datetime):
        return utc_text(value)
    return json.dumps(value, ensure_ascii=False, default=str)


def _cell(value: object) -> str:
    return f"<td>{'' if value is None else html.escape(str(value))}</td>"


def _frames(package: str) -> Any:
    extra = "arrow" if package == "pyarrow" else package
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtraError.about(extra) from error

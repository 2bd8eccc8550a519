"""Entries and effects as files of rows: JSON Lines, CSV and Parquet, in constant memory.

A row is the JSON object that the command line shows, one a line in JSON Lines. The other two have a
column for each of its names; lists and objects stand there as JSON text. A spreadsheet takes a cell
that begins with ``=``, ``+``, ``-`` or ``@`` for a formula, and what is recorded was written by
strangers: in CSV such a cell has an apostrophe in front. JSON Lines and Parquet keep every
character.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, Generic, TypeVar

import attrs

from rml.clock import parse_utc, utc_text
from rml.files import writing
from rml.ledger.queries.rows import Rows

T = TypeVar("T")
Progress = Callable[[int, int], None]

FORMATS: Final = ("jsonl", "csv", "parquet")
# How many rows are written between two reports of progress.
PROGRESS_ROWS: Final = 1_000
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


@attrs.frozen(kw_only=True)
class Table(Generic[T]):
    """What is to be written.

    Attributes:
        rows: gives the rows, each time anew.
        shape: returns a row as a JSON object.
        columns: the object's names, and the types of their values.
        count: how many rows there are, at most.
    """

    rows: Callable[[], Iterable[T]]
    shape: Callable[[T], Mapping[str, Any]]
    columns: Mapping[str, type]
    count: Callable[[], int]


def write_table(
    table: Table[Any],
    path: Path,
    form: str,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> int:
    """Write a table into a new file, and return how many rows it has.

    Args:
        table: what to write.
        path: the file, which appears when it is whole.
        form: one of :data:`FORMATS`.
        overwrite: whether a file that is there is replaced.
        progress: called with (rows written, rows in all at most) now and then.

    Raises:
        FileNotWrittenError: the file is there already, or cannot be written.
        MissingExtraError: it is to be Parquet, and pyarrow is not installed.
    """
    if form == "parquet":
        rows = Rows(
            lambda: iter(table.rows()), lambda row: _record(table, row), table.count, table.columns
        )
        return rows.to_parquet(path, overwrite=overwrite, progress=progress)
    write = {"jsonl": _write_jsonl, "csv": _write_csv}[form]
    shapes = _Shapes(table, progress)
    with writing(path, overwrite=overwrite) as file:
        write(table, shapes, file)
    return shapes.done


class _Shapes:
    """The rows of a table as objects, counted while they go by."""

    def __init__(self, table: Table[Any], progress: Progress | None) -> None:
        self._table = table
        self._progress = progress
        self.done = 0

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        total = 0 if self._progress is None else self._table.count()
        for row in self._table.rows():
            yield self._table.shape(row)
            self.done += 1
            if self._progress is not None and self.done % PROGRESS_ROWS == 0:
                self._progress(self.done, max(self.done, total))
        if self._progress is not None:
            self._progress(self.done, self.done)


def _write_jsonl(_: Table[Any], shapes: Iterable[Mapping[str, Any]], file: BinaryIO) -> None:
    file.writelines(f"{_json(shape)}\n".encode() for shape in shapes)


def _write_csv(table: Table[Any], shapes: Iterable[Mapping[str, Any]], file: BinaryIO) -> None:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    writer = csv.writer(text)
    writer.writerow(table.columns)
    for shape in shapes:
        writer.writerow([_cell(shape.get(name)) for name in table.columns])
    text.detach()


def _cell(value: object) -> object:
    if isinstance(value, int | None):
        return value
    text = _text(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _record(table: Table[Any], row: Any) -> dict[str, Any]:
    """Return a row as Parquet has it: values of the declared types."""
    shape = table.shape(row)
    return {name: _typed(shape.get(name), kind) for name, kind in table.columns.items()}


def _typed(value: Any, kind: type) -> Any:
    if value is None or isinstance(value, kind):
        return value
    return parse_utc(value) if kind is datetime else _text(value)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return utc_text(value) if isinstance(value, datetime) else _json(value)


def _json(value: object) -> str:
    """Return JSON in ASCII: no recorded character acts on a terminal."""
    text = json.dumps(value, default=_plain, separators=(",", ":"))
    return text.replace("\x7f", "\\u007f")  # the one control character that JSON does not escape


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return utc_text(value)
    return dict(value) if isinstance(value, Mapping) else str(value)

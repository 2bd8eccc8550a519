"""What a person reads: plain aligned text, in which nothing recorded moves the cursor.

Text that comes out of a ledger was written by strangers, so :mod:`rml.legible` makes visible
whatever a terminal would obey.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

import click

from rml.clock import utc_text
from rml.legible import legible

F = TypeVar("F", bound=Callable[..., Any])

# What a page of text is written for where the reader's width is not known.
WIDTH: Final = 80
_GAP: Final = "  "

COLOURS: Final = {
    "in_doubt": "yellow",
    "history": "red",
    "failed": "red",
    "done": "green",
    "ongoing": "yellow",
    "resolved": "green",
    "ok": "green",
    "NOT ok": "red",
    "yes": "green",
    "no": "red",
    "unknown": "yellow",
}


def json_option(command: F) -> F:
    """Add ``--json``."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON document and nothing else."
    )(command)


def examples(*lines: str) -> str:
    """Return the end of a command's help."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


# Neutral text -----------------------------------------------------------------------------------


def word(value: object) -> str:
    """Return any recorded value as one line of neutral text: text as it is, the rest as JSON."""
    if isinstance(value, datetime):
        return utc_text(value)
    if isinstance(value, str):
        return legible(str(value))
    return legible(json.dumps(value, ensure_ascii=False, default=_plain))


def moment(at: datetime) -> str:
    """Return a time for a table: UTC, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def span(value: timedelta | None) -> str:
    """Return a duration for a table: ``1d 02:03:04``, or nothing where it is not known."""
    if value is None:
        return "-"
    sign, seconds = ("-" if value < timedelta(0) else ""), int(abs(value).total_seconds())
    days, rest = divmod(seconds, 86_400)
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{sign}{days}d {clock}" if days else f"{sign}{clock}"


def paint(text: str) -> str:
    """Colour a word by its meaning; :func:`say` takes unwelcome colours out again."""
    colour = COLOURS.get(text)
    return click.style(text, fg=colour) if colour else text


# Tables and pages -------------------------------------------------------------------------------


def table(
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    notes: Iterable[str] | None = None,
    *,
    painted: int | None = None,
    indent: str = "",
) -> list[str]:
    """Return the lines of a table, columns as wide as their widest cell.

    Args:
        heads: the headings; one that begins with ``>`` stands over numbers, set to the right.
        rows: the cells, any text.
        notes: one line to stand under each row.
        painted: the column whose words have colours.
        indent: stands before every line.
    """
    right = [head.startswith(">") for head in heads]
    cells = [[legible(cell) for cell in row] for row in rows]
    shown = [[head.removeprefix(">") for head in heads], *cells]
    widths = [max(map(columns_of, column)) for column in zip(*shown, strict=True)]
    lines: list[str] = []
    for row in shown:
        padded = [
            _pad(cell, width, to_right=to_right)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ]
        line = cut(indent + _GAP.join(padded).rstrip())
        if painted is not None and row is not shown[0]:
            line = line.replace(row[painted], paint(row[painted]), 1)
        lines.append(line)
    if notes is None:
        return lines
    under = [cut(f"{indent}    {legible(note)}") for note in notes]
    pairs = zip(lines[1:], under, strict=True)
    return [lines[0], *(line for pair in pairs for line in pair)]


def fields(pairs: Iterable[tuple[str, object]], *, indent: str = "") -> list[str]:
    """Return a line for each named value that is there, values aligned, long text wrapped."""
    there = [(legible(name), value) for name, value in pairs if value is not None]
    width = max((columns_of(name) for name, _ in there), default=0)
    lines: list[str] = []
    for name, value in there:
        begin = f"{indent}{_pad(name, width)}{_GAP}"
        lines += wrapped(word(value), begin, " " * columns_of(begin))
    return lines


def wrapped(text: str, begin: str, then: str) -> list[str]:
    """Return text as lines of a page's width; a word that is longer keeps its line to itself."""
    made = textwrap.wrap(
        legible(text),
        WIDTH,
        initial_indent=begin,
        subsequent_indent=then,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return made or [begin.rstrip()]


def columns_of(text: str) -> int:
    """Return how many columns of a terminal a text takes; most East Asian characters take two."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def cut(line: str) -> str:
    """Shorten a line to the width of the terminal, or to ``COLUMNS``; a pipe gets it whole."""
    if not (os.environ.get("COLUMNS") or is_terminal(sys.stdout)):
        return line
    room = max(shutil.get_terminal_size((WIDTH, 0)).columns, 40)
    if columns_of(line) <= room:
        return line
    kept = line[:room]
    while columns_of(kept) > room - 3:
        kept = kept[:-1]
    return f"{kept}..."


def _pad(text: str, width: int, *, to_right: bool = False) -> str:
    space = " " * (width - columns_of(text))
    return space + text if to_right else text + space


# Writing ----------------------------------------------------------------------------------------


def say(text: str | Iterable[str] = "") -> None:
    """Write lines to stdout."""
    _write((text if isinstance(text, str) else "\n".join(text)) + "\n")


def say_json(document: object) -> None:
    """Write one JSON document to stdout, in ASCII: no recorded character acts on a terminal."""
    say(_json(document, indent=2))


def say_on(text: str) -> None:
    """Write lines of an answer that goes on; a reader who has gone away ends the command.

    Raises:
        BrokenPipeError: nobody reads any more.
    """
    _put(text + "\n")


def say_json_on(document: object) -> None:
    """Write one JSON document as a line of an answer that goes on; see :func:`say_on`."""
    say_on(_json(document, indent=None))


def say_bytes(data: bytes) -> None:
    """Write bytes to stdout as they are, whatever the terminal's encoding."""
    _write(data)


def _json(document: object, indent: int | None) -> str:
    text = json.dumps(document, indent=indent, default=_plain)
    return text.replace("\x7f", "\\u007f")  # the one control character that JSON does not escape


def _write(text: str | bytes) -> None:
    try:
        _put(text)
    except BrokenPipeError:  # the reader has seen enough; the answer stands
        drop_output()


def _put(text: str | bytes) -> None:
    try:
        click.echo(text, nl=False)
    except BrokenPipeError:
        raise
    except OSError as error:
        drop_output()
        raise click.ClickException(f"cannot write the output: {error.strerror}") from error


def drop_output() -> None:
    """Send nowhere what is still to be written, so that the interpreter's last flush succeeds."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


@contextmanager
def progress_bar(label: str, size: int = 1) -> Iterator[Callable[[int, int], None] | None]:
    """Show how far a command is, to whoever watches stderr; nobody else gets a bar.

    Args:
        label: what is being done.
        size: how much there is to do, until the work itself says so.
    """
    if not is_terminal(sys.stderr):
        yield None
        return
    with click.progressbar(length=max(size, 1), label=label, file=sys.stderr) as bar:

        def tell(done: int, total: int) -> None:
            bar.length = max(total, 1)
            bar.update(done - bar.pos)

        yield tell


def is_terminal(stream: Any) -> bool:
    """Say whether somebody is looking at a stream."""
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):
        return False


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return utc_text(value)
    return dict(value) if isinstance(value, Mapping) else str(value)

"""How figures are taken and shown: floor and library take turns, and a figure is a ratio."""

from __future__ import annotations

import argparse
import math
import os
import platform
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import attrs


@attrs.frozen
class Line:
    """One figure of a table.

    Attributes:
        name: what was measured.
        figure: a ratio, unless ``unit`` says otherwise.
        beside: what it is measured beside.
        detail: the times behind it, which are this machine's.
        unit: what the figure counts.
        at_most: what we want it to be at most, if that is what we want.
        at_least: what we want it to be at least, if that is what we want.
    """

    name: str
    figure: float
    beside: str = attrs.field(default="", kw_only=True)
    detail: str = attrs.field(default="", kw_only=True)
    unit: str = attrs.field(default="", kw_only=True)
    at_most: float | None = attrs.field(default=None, kw_only=True)
    at_least: float | None = attrs.field(default=None, kw_only=True)

    def cells(self) -> tuple[str, ...]:
        """Return the line as text, column by column."""
        digits = ".3g" if self.figure < 1000 else ",.0f"  # noqa: PLR2004 - no exponents
        figure = f"{self.figure:{digits}}{self.unit}"
        return self.name, figure, self._reach(), self.beside, self.detail

    def _reach(self) -> str:
        if self.at_most is not None:
            missed = " (missed)" if self.figure > self.at_most else ""
            return f"at most {self.at_most:g}{self.unit}{missed}"
        if self.at_least is not None:
            missed = " (missed)" if self.figure < self.at_least else ""
            return f"at least {self.at_least:g}{self.unit}{missed}"
        return ""


@attrs.frozen
class Effort:
    """How long and how often things are measured, and how large a ledger gets.

    Attributes:
        sizes: the sizes at which a growing ledger is measured, smallest first.
        rounds: how often floor and library take turns.
        times: how often each is called in a round.
        seconds: for how long several writers write.
        patience: seconds to fill a ledger with keys, in all.
    """

    sizes: tuple[int, ...]
    rounds: int
    times: int
    seconds: float
    patience: float = math.inf


HEADINGS: Final = ("", "figure", "reach", "beside", "detail")


def table(rows: Iterable[tuple[str, ...]], headings: tuple[str, ...] = HEADINGS) -> str:
    """Return rows as an aligned Markdown table."""
    lines = [headings, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headings))]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join(f"| {' | '.join(map(str.ljust, line, widths))} |" for line in lines)


def basic_arguments(description: str, command: str) -> argparse.ArgumentParser:
    """Return the options that every benchmark has."""

    def page(text: str) -> Path:
        if not has_place(Path(text), command):
            raise argparse.ArgumentTypeError(f"{text} has no place for the figures of {command!r}")
        return Path(text)

    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=description, formatter_class=form)
    parser.add_argument("--quick", action="store_true", help="a minute, to see that it works")
    parser.add_argument("--page", type=page, help="where the figures are put, between their marks")
    return parser


def arguments(description: str, command: str) -> argparse.ArgumentParser:
    """Return the options of a benchmark whose files grow in a folder."""
    parser = basic_arguments(description, command)
    parser.add_argument("--grow", action="store_true", help="go on to --entries; for a long time")
    parser.add_argument("--entries", type=number, default=10_000_000, help="such as 1e7, or 3e6")
    parser.add_argument("--folder", type=Path, help="where the files are put; its disk is measured")
    return parser


def number(text: str) -> int:
    """Return a whole number from 1 that is written as ``1e7`` or in digits."""
    value = float(text)
    if not value.is_integer() or value < 1:
        raise ValueError(text)
    return int(value)


# What takes less has not been to a disk, in microseconds.
FLUSH_LEAST_MICROSECONDS: Final = 20.0
# Rounds before the first that counts.
WARM_UP: Final = 2
_start: Final = time.monotonic()


def say(text: str) -> None:
    """Tell of the progress, apart from the figures."""
    print(f"[{time.monotonic() - _start:4.0f} s] {text}", file=sys.stderr, flush=True)


def microseconds(call: Callable[[], object], times: int) -> float:
    """Return how long a call takes, of so many in a row."""
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) / times * 1e6


@attrs.frozen
class Beside:
    """Medians over the rounds: of the ratios, and of the floor's and the library's times."""

    ratio: float
    floor: float
    ours: float

    @classmethod
    def of(cls, pairs: Iterable[tuple[float, float]]) -> Beside:
        """Return the medians of pairs of a floor's time and the library's."""
        pairs = list(pairs)
        return cls(
            statistics.median(ours / floor for floor, ours in pairs),
            statistics.median(floor for floor, _ in pairs),
            statistics.median(ours for _, ours in pairs),
        )

    @property
    def times(self) -> str:
        """Both times, for the table."""
        return f"{self.ours:.0f} beside {self.floor:.0f} µs"


def in_turns(
    floor: Callable[[], object], ours: Callable[[], object], *, rounds: int, times: int
) -> Beside:
    """Measure two calls in turns, after two rounds to warm up."""
    pairs = [
        (microseconds(floor, times), microseconds(ours, times)) for _ in range(WARM_UP + rounds)
    ]
    return Beside.of(pairs[WARM_UP:])


def flush_microseconds(folder: Path, times: int = 200) -> float:
    """Return how long this disk takes to append 4 KiB and to flush them; the median."""
    path = folder / "flush"
    taken = []
    with path.open("wb", buffering=0) as file:
        for _ in range(times):
            start = time.perf_counter()
            file.write(b"x" * 4096)
            os.fsync(file.fileno())
            taken.append((time.perf_counter() - start) * 1e6)
    path.unlink()
    return statistics.median(taken)


def machine(folder: Path) -> str:
    """Return what the figures were taken on."""
    flush = flush_microseconds(folder)
    if flush < FLUSH_LEAST_MICROSECONDS:
        say("no disk flushes that fast: this one is memory, or pretends; give --folder on a disk")
    return (
        f"{platform.machine()}, {os.cpu_count()} CPUs, {platform.system()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}; "
        f"a flush takes {flush:.0f} µs."
    )


def has_place(page: Path, command: str) -> bool:
    """Say whether a page has marks for figures: a line that names the command, and an end."""
    if not page.is_file():
        return False
    _, found, rest = page.read_text("utf-8").partition(_BEGIN.format(command))
    return bool(found) and _END in rest


def publish(page: Path, command: str, figures: str) -> None:
    """Put figures between their marks on a page."""
    begin = _BEGIN.format(command)
    before, _, rest = page.read_text("utf-8").partition(begin)
    after = rest.partition(_END)[2]
    page.write_text(f"{before}{begin}\n{figures}\n\n{_END}{after}", "utf-8")


_BEGIN: Final = "<!-- figures: {} -->\n"
_END: Final = "<!-- end of figures -->"

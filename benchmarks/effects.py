"""What a protected call costs, beside plain `sqlite3` and other libraries, in one run.

    python benchmarks/effects.py
    python benchmarks/effects.py --quick
    python benchmarks/effects.py --grow
    python benchmarks/effects.py --page docs/explanation/performance.md

The floor of a first call is two commits (an intent, an outcome) of one row each, WAL,
`synchronous=FULL`; the floor of a replay is one indexed SELECT. Floor and library take turns, round
by round, and a figure is the median of the rounds' ratios, because a machine's speed drifts. Times
are printed for scale only; they are this machine's. Progress goes to the standard error.
"""

from __future__ import annotations

import asyncio
import faulthandler
import itertools
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import attrs
import keys
import writers
from floors import Calls as PlainCalls
from keys import protected
from measure import (
    WARM_UP,
    Beside,
    Effort,
    Line,
    arguments,
    machine,
    microseconds,
    publish,
    say,
    table,
)
from peer_effects import KINDS, Protected, charged
from peers import present, promises

import rml
from rml import threads

COMMAND: Final = "python benchmarks/effects.py"


# The last size is one that nobody reaches in the time; it is measured as far as it comes.
SIZES: Final = (10_000, 100_000, 1_000_000, 10_000_000)
THOROUGH: Final = Effort(SIZES, 30, times=40, seconds=2.0, patience=210.0)
QUICK: Final = Effort((1_000, 10_000), 5, times=20, seconds=0.3, patience=20.0)
PEER_ROUNDS: Final = 5
# What takes longer than this many seconds is stuck; where, every thread's traceback says then.
STUCK_SECONDS: Final = 900.0


Calls: TypeAlias = Callable[[Sequence[str]], object]
"""Makes a call for each of some payments' ids."""


def each(call: Protected) -> Calls:
    """Return what makes one call after the other."""

    def run(names: Sequence[str]) -> None:
        for name in names:
            call(name)

    return run


@attrs.frozen
class Caller:
    """How calls with new keys are made, and how they are repeated."""

    first: Calls
    again: Calls

    @classmethod
    def of(cls, calls: Calls) -> Caller:
        """Return a caller who repeats a call as it was made."""
        return cls(calls, calls)


def beside(floor: Caller, ours: Caller, *, rounds: int, times: int) -> tuple[Beside, Beside]:
    """Let two callers take turns with the same keys; return first calls, and replays.

    Each call is repeated five times.
    """
    first, replay = [], []
    for turn in range(WARM_UP + rounds):
        new = [f"pay-{turn}-{i}" for i in range(times)]
        first.append((each_takes(floor.first, new), each_takes(ours.first, new)))
        replay.append((each_takes(floor.again, new * 5), each_takes(ours.again, new * 5)))
    return Beside.of(first[WARM_UP:]), Beside.of(replay[WARM_UP:])


def each_takes(calls: Calls, names: Sequence[str]) -> float:
    """Return how long one of some calls takes, in microseconds."""
    return microseconds(lambda: calls(names), 1) / len(names)


def one_caller(folder: Path, effort: Effort) -> Iterator[Line]:
    """Measure a first call and a replay."""
    say("one caller ...")
    plain = PlainCalls(folder / "floor.db")
    floor = Caller(each(plain.first), each(plain.replay))
    with rml.Ledger(folder / "one.db", service="bench") as ledger:
        ours = Caller.of(each(protected(ledger)))
        first, replay = beside(floor, ours, rounds=effort.rounds, times=effort.times)
    commits, select = "two plain commits, as durable", "one indexed SELECT"
    yield Line("first call", first.ratio, at_most=1.4, beside=commits, detail=first.times)
    yield Line("replay", replay.ratio, at_most=4, beside=select, detail=replay.times)


def async_caller(folder: Path, effort: Effort) -> Iterator[Line]:
    """Measure `async def` beside `def`, one caller each, and the way to a thread and back."""
    say("async def beside def ...")
    with rml.Ledger(folder / "async.db", service="bench") as ledger, asyncio.Runner() as runner:

        @rml.idempotent("bench.async", key="payment_id", ledger=ledger)
        async def charge(payment_id: str, amount: int, currency: str) -> dict[str, str | int]:  # noqa: ARG001
            return charged(payment_id)

        async def run(names: Sequence[str]) -> None:
            for name in names:
                await charge(name, 1999, "EUR")

        async def go_and_return(names: Sequence[str]) -> None:
            for _ in names:
                await threads.outcome(threads.begin(int))

        plain = Caller.of(each(protected(ledger)))
        ours = Caller.of(lambda names: runner.run(run(names)))
        way = Caller(plain.first, lambda names: runner.run(go_and_return(names)))
        first, replay = beside(plain, ours, rounds=effort.rounds, times=effort.times)
        _, hop = beside(plain, way, rounds=effort.rounds, times=effort.times)
    for name, figure in (("first call", first), ("replay", replay)):
        detail = figure.times
        yield Line(f"{name}, async", figure.ratio, at_most=1.3, beside="sync", detail=detail)
    yield Line("to a thread and back", hop.ratio, beside="a replay, sync", detail=hop.times)


def beside_peers(folder: Path, effort: Effort) -> Iterator[Line]:
    """Measure other libraries, in turns with ours."""
    for number, kind in enumerate(present(KINDS)):
        place = folder / f"peer{number}"
        place.mkdir()
        with kind.opened(place) as peer, rml.Ledger(place / "ours.db", service="bench") as ledger:
            ours = Caller.of(each(protected(ledger)))
            theirs = Caller.of(each(peer))
            figures = beside(theirs, ours, rounds=PEER_ROUNDS, times=effort.times)
        reach = 1 if kind.is_durable else None
        for name, figure in zip(("first call", "replay"), figures, strict=True):
            yield Line(name, figure.ratio, at_most=reach, beside=kind.name, detail=figure.times)


def imports(effort: Effort) -> Iterator[Line]:
    """Measure importing `rml`, alone and with its names in use, beside importing `attrs`."""
    say("importing ...")
    for name, statement in (
        ("import rml", "import rml"),
        ("names in use", "import rml; rml.Ledger, rml.idempotent, rml.boundary, rml.RmlError"),
    ):
        figure = Beside.of(
            (_import("import attrs"), _import(statement)) for _ in range(effort.rounds // 2)
        )
        yield Line(name, figure.ratio, beside="import attrs", detail=figure.times)


def _import(statement: str) -> float:
    """Return the microseconds that a fresh interpreter takes for a statement, once it is up."""
    code = (
        f"import time; start = time.perf_counter()\n{statement}\nprint(time.perf_counter() - start)"
    )
    command = [sys.executable, "-c", code]
    taken = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    return float(taken) * 1e6


def main() -> None:
    """Print the tables."""
    options = arguments(__doc__ or "", COMMAND).parse_args()
    effort = QUICK if options.quick else THOROUGH
    sizes, patience = effort.sizes, effort.patience
    if options.grow:
        smaller = {size for size in sizes if size < options.entries}
        sizes, patience = (*sorted(smaller), options.entries), math.inf
    else:
        faulthandler.dump_traceback_later(STUCK_SECONDS, exit=True)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        taken_on = machine(folder)
        lines = list(
            itertools.chain(
                one_caller(folder, effort),
                async_caller(folder, effort),
                writers.thread_lines("calls", "first call", folder, effort.seconds),
                beside_peers(folder, effort),
                imports(effort),
            )
        )
        filled = list(
            keys.grow(
                folder, sizes, rounds=effort.rounds // 2, times=effort.times, patience=patience
            )
        )
    lines += keys.lines(filled)
    figures = table(line.cells() for line in lines)
    sized = table(map(keys.cells, filled), keys.COLUMNS)
    report = "\n\n".join([taken_on, figures, sized, promises(KINDS)])
    print(report)
    if options.page is not None:
        publish(options.page, COMMAND, report)
    say("done")


if __name__ == "__main__":
    main()

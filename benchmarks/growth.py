"""How the figures of one ledger change as it grows, and how they look in a plot.

This file is also the process that verifies: it is run with a ledger's path, and prints JSON.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs
from floors import Rows, read_and_hash
from measure import Beside, Line, in_turns, microseconds, say
from peer_ledgers import FACTS
from writers import append

import rml

BATCH: Final = 1_000
# A verification of ten million entries takes minutes, and says nothing that one million did not.
VERIFIED_MAX: Final = 1_000_000
VERIFICATIONS: Final = 3


@attrs.frozen
class Verified:
    """A full verification: beside reading and hashing, in all, and how much memory it took."""

    ratio: float
    microseconds: float
    peak_mb: float | None


@attrs.frozen
class Size:
    """What a ledger of some size costs.

    Attributes:
        entries: how many entries it has.
        append: one entry a commit, beside plain `sqlite3`.
        grown: the same, beside a ledger that has stayed as small as the first size.
        open_ms: opening it, in milliseconds.
        prove_ms: one proof of inclusion, in milliseconds.
        verified: a full verification, if one was made.
        bytes_each: how long its file is, in bytes an entry.
        built_us: how long an entry took to write, a thousand a commit, in microseconds.
    """

    entries: int
    append: Beside
    grown: Beside
    open_ms: float
    prove_ms: float
    verified: Verified | None
    bytes_each: float
    built_us: float


def grow(folder: Path, sizes: Sequence[int], *, rounds: int, times: int) -> Iterator[Size]:
    """Grow one ledger, and measure it at each size."""
    path, taken = folder / "grown.db", 0.0
    floor = Rows(folder / "few-rows.db", entry_bytes(folder))
    with rml.Ledger(folder / "small.db", service="bench") as small:
        _fill(small, sizes[0])
        for size in sizes:
            say(f"growing a ledger to {size:,} entries ...")
            with rml.Ledger(path, service="bench") as ledger:
                taken += _fill(ledger, size)
                ours = partial(append, ledger)
                appended = in_turns(floor.append, ours, rounds=rounds, times=times)
                grown = in_turns(partial(append, small), ours, rounds=rounds, times=times)
            yield _size(path, size, appended, grown, taken)


def _size(path: Path, entries: int, appended: Beside, grown: Beside, taken: float) -> Size:
    verified = None
    opened, proved = _opened(path), _proved(path)
    if entries <= VERIFIED_MAX:
        say(f"verifying {entries:,} entries ...")
        verified = _verified(path)
    return Size(
        entries=entries,
        append=appended,
        grown=grown,
        open_ms=opened,
        prove_ms=proved,
        verified=verified,
        bytes_each=path.stat().st_size / entries,
        built_us=taken / entries * 1e6,
    )


def entry_bytes(folder: Path) -> int:
    """Return how many bytes one of the appended entries has."""
    with rml.Ledger(folder / "one.db", service="bench") as ledger:
        append(ledger)
        return len(ledger.entries()[0].to_bytes())


def write_batch(ledger: rml.Ledger, rows: int = BATCH) -> None:
    """Commit many entries together."""

    def work(draft: rml.Draft) -> None:
        for number in range(rows):
            facts = {**FACTS, "order": f"o-{number}"}
            draft.append("payment.noted", world="RML3", facts=facts, actor="ada")

    ledger.write(work)


def _fill(ledger: rml.Ledger, size: int) -> float:
    """Append until the ledger has so many entries; return how long it took."""
    start = time.perf_counter()
    for left in range(size - ledger.size, 0, -BATCH):
        write_batch(ledger, min(left, BATCH))
    return time.perf_counter() - start


def _opened(path: Path) -> float:
    def once() -> None:
        rml.Ledger(path, create=False).close()

    return _milliseconds(once)


def _proved(path: Path) -> float:
    with rml.Ledger(path, create=False) as ledger:
        middle = ledger.entries(limit=1, newest_first=True)[0].id
        return _milliseconds(lambda: ledger.prove(middle))


def _milliseconds(call: Callable[[], object], times: int = 11) -> float:
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        taken.append((time.perf_counter() - start) * 1e3)
    return statistics.median(taken)


def _verified(path: Path) -> Verified:
    """Verify in a process of its own, whose memory tells of nothing else."""
    command = [sys.executable, __file__, str(path)]
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Verified(**json.loads(found.stdout))


def _verify(path: Path) -> Verified:
    pairs = []
    with rml.Ledger(path, create=False) as ledger:
        for _ in range(VERIFICATIONS):
            plain = read_and_hash(path)
            pairs.append((plain, microseconds(lambda: _check(ledger), 1)))
    beside = Beside.of(pairs)
    return Verified(beside.ratio, beside.ours, _peak_mb())


def _check(ledger: rml.Ledger) -> None:
    assert ledger.verify().ok


def _peak_mb() -> float | None:
    """Return the most memory that this process has had, where the system tells (Linux)."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) / 1024


def lines(sizes: Sequence[Size]) -> Iterator[Line]:
    """Return what became of the figures as the ledger grew."""
    first, last = sizes[0], sizes[-1]
    name, beside = f"append at {last.entries:,}", f"the same at {first.entries:,}"
    yield Line(name, last.grown.ratio, at_most=1.15, beside=beside, detail=last.grown.times)
    yield Line(f"open at {last.entries:,}", last.open_ms, at_most=100, unit=" ms")
    yield Line(f"prove at {last.entries:,}", last.prove_ms, at_most=2, unit=" ms")
    verified = [size for size in sizes if size.verified is not None]
    if verified:
        least, most = verified[0], verified[-1]
        assert least.verified is not None
        assert most.verified is not None
        name = f"verify {most.entries:,}"
        beside = "reading all rows and hashing them"
        detail = f"{most.verified.microseconds / most.entries:.2f} µs an entry"
        yield Line(name, most.verified.ratio, at_most=1.5, beside=beside, detail=detail)
        if least.verified.peak_mb is not None and most.verified.peak_mb is not None:
            more = most.verified.peak_mb - least.verified.peak_mb
            beside = f"the same at {least.entries:,}"
            yield Line(f"{name}, memory", more, at_most=16, unit=" MB more", beside=beside)


COLUMNS: Final = (
    "entries",
    "append",
    "beside plain",
    "beside a small one",
    "open",
    "prove",
    "verify, an entry",
    "file, an entry",
    "batched, an entry",
)


def cells(size: Size) -> tuple[str, ...]:
    """Return a size's figures as text, column by column."""
    verify_us = _verify_us(size)
    return (
        f"{size.entries:,}",
        f"{size.append.ours:.0f} µs",
        f"{size.append.ratio:.2f}",
        f"{size.grown.ratio:.2f}",
        f"{size.open_ms:.1f} ms",
        f"{size.prove_ms:.2f} ms",
        "" if verify_us is None else f"{verify_us:.2f} µs",
        f"{size.bytes_each:.0f} bytes",
        f"{size.built_us:.1f} µs",
    )


def _verify_us(size: Size) -> float | None:
    return None if size.verified is None else size.verified.microseconds / size.entries


def plot(sizes: Sequence[Size], target: Path) -> None:
    """Draw how the figures grow."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "rml"  # the same figures give the same file
    mpl.rcParams["svg.fonttype"] = "none"  # text stays text
    import matplotlib.pyplot as plt

    panels: list[tuple[str, str, Callable[[Size], float | None]]] = [
        ("One append, beside a small ledger", "ratio", lambda size: size.grown.ratio),
        ("Opening", "ms", lambda size: size.open_ms),
        ("A proof of inclusion", "ms", lambda size: size.prove_ms),
        ("Verifying, an entry", "µs", _verify_us),
    ]
    figure, axes = plt.subplots(2, 2, figsize=(9, 6), layout="constrained")
    for axis, (title, unit, value) in zip(axes.flat, panels, strict=True):
        _panel(axis, title, unit, [(s.entries, value(s)) for s in sizes if value(s) is not None])
    figure.savefig(target, format="svg", metadata={"Date": None})
    plt.close(figure)


def _panel(axis: Any, title: str, unit: str, points: list[tuple[int, float | None]]) -> None:
    axis.plot([size for size, _ in points], [value for _, value in points], marker="o")
    axis.set(title=title, ylabel=unit, xlabel="entries", xscale="log")
    axis.set_ylim(0, 1.15 * max(value for _, value in points if value is not None))
    axis.grid(visible=True, alpha=0.3)


if __name__ == "__main__":
    print(json.dumps(attrs.asdict(_verify(Path(sys.argv[1])))))

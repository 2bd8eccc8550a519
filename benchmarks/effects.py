"""What a protected call costs, beside the floor: the same facts written with plain `sqlite3`.

    python benchmarks/effects.py [--rounds 30] [--calls 40]

The floor of a first call is two commits (an intent, an outcome) of one row each, WAL,
`synchronous=FULL`; the floor of a replay is one indexed SELECT. Floor and library take turns, round
by round, and a figure is the median of the rounds' ratios, because a machine's speed drifts. Times
are printed for scale only; they are this machine's.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import rml

Figure = tuple[float, float, float]
"""The ratio, and the floor's and the library's time; medians over the rounds."""


class Floor:
    """Two commits and one SELECT, as plain as can be."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = FULL")
        columns = "key TEXT PRIMARY KEY, intent TEXT, result TEXT"
        self.connection.execute(f"CREATE TABLE calls ({columns})")

    def first(self, key: str, amount: int, currency: str) -> None:
        """Commit an intent, then an outcome."""
        run = self.connection.execute
        run("BEGIN IMMEDIATE")
        intent = json.dumps({"payment_id": key, "amount": amount, "currency": currency})
        run("INSERT INTO calls (key, intent) VALUES (?, ?)", (key, intent))
        run("COMMIT")
        run("BEGIN IMMEDIATE")
        result = json.dumps({"charge_id": key, "amount": amount})
        run("UPDATE calls SET result = ? WHERE key = ?", (result, key))
        run("COMMIT")

    def replay(self, key: str, *_: object) -> None:
        """Look a result up."""
        self.connection.execute("SELECT result FROM calls WHERE key = ?", (key,)).fetchone()


def timed(call: Callable[[str, int, str], object], keys: list[str]) -> float:
    """Return microseconds a call."""
    start = time.perf_counter()
    for key in keys:
        call(key, 1999, "EUR")
    return (time.perf_counter() - start) / len(keys) * 1e6


def figure(pairs: list[tuple[float, float]]) -> Figure:
    """Return the medians of (floor, library) pairs."""
    return (
        statistics.median(ours / floor for floor, ours in pairs),
        statistics.median(floor for floor, _ in pairs),
        statistics.median(ours for _, ours in pairs),
    )


def calls(rounds: int, number: int, folder: Path) -> dict[str, Figure]:
    """Compare first calls and replays."""
    floor = Floor(folder / "floor.db")
    first: list[tuple[float, float]] = []
    replay: list[tuple[float, float]] = []
    with rml.Ledger(folder / "rml.db", service="bench") as ledger:

        @rml.idempotent("bench.charge", key="payment_id", ledger=ledger)
        def charge(payment_id: str, amount: int, currency: str) -> dict[str, str | int]:
            return {"charge_id": payment_id, "amount": amount, "currency": currency}

        for turn in range(-2, rounds):  # two rounds to warm up
            keys = [f"pay-{turn}-{i}" for i in range(number)]
            written = (timed(floor.first, keys), timed(charge, keys))
            read = (timed(floor.replay, keys * 5), timed(charge, keys * 5))
            if turn >= 0:
                first.append(written)
                replay.append(read)
    return {"first call": figure(first), "replay": figure(replay)}


def import_seconds(statement: str) -> float:
    """Return how long a fresh interpreter takes for a statement, beyond starting up."""
    code = (
        f"import time; start = time.perf_counter()\n{statement}\nprint(time.perf_counter() - start)"
    )
    command = [sys.executable, "-c", code]
    return float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def imports(rounds: int) -> dict[str, Figure]:
    """Compare importing `rml`, alone and with its names in use, with importing `attrs`."""
    statements = {
        "import rml": "import rml",
        "names in use": "import rml; rml.Ledger, rml.idempotent, rml.boundary, rml.RmlError",
    }
    figures = {}
    for name, statement in statements.items():
        pairs = [(import_seconds("import attrs"), import_seconds(statement)) for _ in range(rounds)]
        figures[name] = figure([(floor * 1e6, ours * 1e6) for floor, ours in pairs])
    return figures


def main() -> None:
    """Print the table."""
    form = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--calls", type=int, default=40)
    parser.add_argument("--folder", type=Path, help="where the files are put; its disk is measured")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        figures = calls(options.rounds, options.calls, Path(folder))
    figures |= imports(max(options.rounds // 2, 5))
    meaning = {
        "first call": "two commits, synchronous=FULL",
        "replay": "one indexed SELECT",
        "import rml": "import attrs",
        "names in use": "import attrs",
    }
    print(
        f"Python {sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}, {os.cpu_count()} CPUs"
    )
    print(f"{'':<14}{'ratio':>8}{'floor':>12}{'rml':>12}   the floor is")
    for name, (ratio, floor, ours) in figures.items():
        print(f"{name:<14}{ratio:>8.2f}{floor:>10.1f}us{ours:>10.1f}us   {meaning[name]}")


if __name__ == "__main__":
    main()

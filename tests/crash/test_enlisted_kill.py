"""A worker killed with signal 9 around its own commit: its rows and the effect, or neither.

The worker is a real process; its rows and the ledger are in one SQLite file, which it commits.
"""

import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

import rml

# The worker says where it is and waits to be killed; whoever reads the line knows that it is there.
WORKER = """
import itertools
import sqlite3
import sys
import rml

place, where = sys.argv[1:]

def stop_here(name):
    if name == where:
        print(name, flush=True)
        sys.stdin.read()

ledger = rml.Ledger(place, adopt=True)
connection = sqlite3.connect(place)

@rml.idempotent("order.place", key="order_id", connection="db", world="RML2", ledger=ledger)
def order(db: sqlite3.Connection, order_id: str) -> str:
    stop_here("before the row")
    db.execute("INSERT INTO orders VALUES (?)", [order_id])
    stop_here("after the row")
    return "placed by the worker"

if where == "anywhere":
    print(where, flush=True)
    for number in itertools.count():
        order(connection, f"order-{number}")
        connection.commit()
order(connection, "order-0")
stop_here("before the commit")
connection.commit()
stop_here("after the commit")
"""


class Shop:
    """A database with the application's orders and the ledger, and the parent's own handler."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self.connection() as connection:
            connection.execute("CREATE TABLE orders (id TEXT PRIMARY KEY)")
        rml.Ledger(path, adopt=True).close()

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """Open a connection; what was done on it is committed at the end."""
        with closing(sqlite3.connect(self.path)) as connection, connection:
            yield connection

    def killed_worker(self, where: str, *, seconds: float = 0) -> None:
        """Start a worker and kill it where it stopped, or some time after it began."""
        with subprocess.Popen(
            [sys.executable, "-c", WORKER, str(self.path), where],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as worker:
            assert worker.stdout is not None
            if worker.stdout.readline() != f"{where}\n":
                worker.kill()
                pytest.fail(f"the worker never came there: {worker.communicate()}")
            time.sleep(seconds)  # what it is in the middle of is for chance to choose
            worker.send_signal(signal.SIGKILL)
            worker.communicate(timeout=60)
        assert worker.returncode == -signal.SIGKILL

    def order(self, order_id: str = "order-0") -> str:
        """Place an order from this process, and commit."""

        @rml.idempotent("order.place", key="order_id", connection="db", world="RML2")
        def order(db: sqlite3.Connection, order_id: str) -> str:
            db.execute("INSERT INTO orders VALUES (?)", [order_id])
            return "placed by the parent"

        with rml.Ledger(self.path) as ledger, rml.use(ledger=ledger), self.connection() as db:
            return order(db, order_id)

    def seen(self) -> tuple[list[str], list[str]]:
        """Return the rows' ids and the keys of the effects that are done, nothing else being so."""
        with rml.Ledger(self.path) as ledger, self.connection() as connection:
            assert ledger.verify().problems == ()
            assert {"done"} >= {effect.state for effect in ledger.effects()}
            rows = [row[0] for row in connection.execute("SELECT id FROM orders ORDER BY rowid")]
            return rows, [effect.key for effect in ledger.effects()]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Return an empty shop."""
    return Shop(tmp_path / "shop.db")


@pytest.mark.parametrize("where", ["before the row", "after the row", "before the commit"])
def test_killed_before_the_commit_there_is_neither_row_nor_effect(shop: Shop, where: str) -> None:
    """No intent is left behind, so nothing is in doubt; the next call simply runs."""
    shop.killed_worker(where)

    assert ([], []) == shop.seen()
    assert shop.order() == "placed by the parent"
    assert (["order-0"], ["order-0"]) == shop.seen()


def test_killed_after_the_commit_there_are_both(shop: Shop) -> None:
    """The value that nobody received is given to the next caller."""
    shop.killed_worker("after the commit")

    assert (["order-0"], ["order-0"]) == shop.seen()
    assert shop.order() == "placed by the worker"
    assert (["order-0"], ["order-0"]) == shop.seen()


@pytest.mark.parametrize("seconds", [0.011, 0.043, 0.097])
def test_killed_anywhere_rows_and_effects_are_the_same(shop: Shop, seconds: float) -> None:
    """In a loop of commits, also in the middle of one."""
    shop.killed_worker("anywhere", seconds=seconds)

    rows, effects = shop.seen()
    assert rows == effects
    assert shop.order(f"order-{len(rows)}") == "placed by the parent"

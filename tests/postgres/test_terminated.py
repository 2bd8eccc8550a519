"""A backend that is terminated at any statement of a protected call repeats and loses nothing."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import psycopg
import pytest
from cutting_proxy import KillingProxy
from struck import strike_everywhere

import rml
from rml.stores.postgres_line import _only
from rml.stores.postgres_place import place_of

pytestmark = pytest.mark.usefixtures("time_to_connect")

COMMAND_OK, FATAL_ERROR = psycopg.pq.ExecStatus.COMMAND_OK, psycopg.pq.ExecStatus.FATAL_ERROR


@pytest.fixture(autouse=True)
def _no_sealing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No statement comes between those of the call; whoever reads seals."""
    monkeypatch.setattr("rml.stores.postgres_sealing.Sealer.wrote", lambda _: None)


@pytest.fixture
def terminate(server: str) -> Iterator[Callable[[int], None]]:
    """Ends a backend as an administrator does, and waits until it has ended."""
    with psycopg.connect(server, autocommit=True) as connection:

        def end(pid: int) -> None:
            connection.execute("SELECT pg_terminate_backend(%s)", [pid])
            there = "SELECT 1 FROM pg_stat_activity WHERE pid = %s"
            while connection.execute(there, [pid]).fetchall():
                pass

        yield end


@pytest.fixture
def orders(url: str) -> Iterator[str]:
    """A table of the application's own."""
    place = place_of(url)
    name = f"public.orders_{place.schema}"
    with psycopg.connect(place.conninfo, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE {name} (id text PRIMARY KEY)")
        yield name
        connection.execute(f"DROP TABLE {name}")


@pytest.mark.parametrize(
    ("lost", "call", "timeout"),
    [
        ("request", "returns", 30.0),
        ("answer", "returns", 30.0),
        ("answer", "async", 30.0),
        ("request", "returns", 0.0),
        ("answer", "returns", 0.0),
        ("answer", "raises", 0.0),
    ],
)
def test_a_call_survives_it(
    url: str,
    tmp_path: Path,
    terminate: Callable[[int], None],
    *,
    lost: str,
    call: str,
    timeout: float,
) -> None:
    """With time to try again, it ends as its handler does; without, by an error to act upon."""
    ends = strike_everywhere(
        url, tmp_path, lambda: KillingProxy(url, lost, terminate), call, timeout=timeout
    )

    assert len(ends) > 1  # a claim and an outcome, at least
    assert not timeout or set(ends) == {"value"}


def test_a_backend_that_ends_after_its_answer_has_given_none(server: str) -> None:
    """It says so in a second one: what it did may not have been committed."""
    with psycopg.connect(server) as connection:
        made = [connection.pgconn.make_empty_result(status) for status in (COMMAND_OK, FATAL_ERROR)]

        assert made[0] is _only(made[:1])
        with pytest.raises(psycopg.Error):
            _only(made)


@pytest.mark.parametrize("lost", ["request", "answer"])
def test_rows_and_the_record_of_their_effect_stay_together(
    url: str, terminate: Callable[[int], None], orders: str, lost: str
) -> None:
    """In a transaction of the application's, whichever statement it ends at; also its commit."""

    @rml.idempotent("order.place", key="order_id", world="RML2", connection="db")
    def place(db: psycopg.Connection, order_id: str) -> None:
        db.execute(f"INSERT INTO {orders} VALUES (%s)", [order_id])

    told: list[str] = []
    for number in count():
        with KillingProxy(url, lost, terminate) as between, rml.Ledger(between.url) as ledger:
            with (
                suppress(psycopg.OperationalError, rml.RmlError),
                rml.use(ledger=ledger),
                psycopg.connect(place_of(between.url).conninfo) as db,
            ):
                between.cut_at(number)
                place(db, f"o-{number}")
                db.commit()
                told.append(f"o-{number}")
            if not between.has_killed:
                break

    with rml.Ledger(url) as ledger, psycopg.connect(place_of(url).conninfo) as db:
        rows = {row[0] for row in db.execute(f"SELECT id FROM {orders}")}
        assert rows == {e.key for e in ledger.effects() if e.state is rml.EffectState.DONE}
        assert () == ledger.verify().problems
    assert f"o-{number}" in told
    assert set(told) <= rows
    assert number > 2  # the intent, the row and the commit, at least

"""Effects that are rows of the application's own, in its transaction on the ledger's PostgreSQL."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from typing import Any

import psycopg
import pytest
from cutting_proxy import CuttingProxy
from protected import kinds
from psycopg.rows import dict_row
from shop import PAIR, ledger_beside_orders
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session

import rml
from rml.ledger.errors import EnlistmentError, LedgerBusyError, LedgerUnavailableError
from rml.stores.postgres_place import place_of
from rml.stores.postgres_schema import initialise
from rml.testing.stores import opening_of

Connect = Callable[..., psycopg.Connection[Any]]


@pytest.fixture
def ledger(url: str) -> Iterator[rml.Ledger]:
    """A ledger, configured, beside an application's table; it is whole at the end."""
    with ledger_beside_orders(url) as ledger:
        yield ledger


@pytest.fixture
def connect(ledger: rml.Ledger, url: str) -> Iterator[Connect]:
    """Opens connections of the application, which are closed at the end."""
    place, opened = place_of(url), []

    def connect(**options: Any) -> psycopg.Connection[Any]:
        path = f"-c search_path={place.schema} {options.pop('settings', '')}"
        opened.append(psycopg.connect(place.conninfo, options=path, **options))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


@pytest.fixture
def db(connect: Connect) -> psycopg.Connection[Any]:
    """A connection of the application, as `psycopg` opens it."""
    return connect()


class Orders:
    """A handler that inserts an order, and how often it ran."""

    def __init__(self, **options: Any) -> None:
        self.count = 0

        @rml.idempotent(
            "order.place",
            **{
                "key": "order_id",
                "connection": "db",
                "world": "RML2",
                "exclude": ["then"],
                **options,
            },
        )
        def place(db: Any, order_id: str, amount: int = 5, then: Any = None) -> str:
            self.count += 1
            db.execute("INSERT INTO orders VALUES (%s, %s)", [order_id, amount])
            if then is not None:
                then()
            return f"{order_id} placed"

        self.place = place


def rows(db: psycopg.Connection[Any]) -> list[str]:
    """The ids of all orders."""
    with db.cursor(row_factory=lambda _: lambda values: values[0]) as cursor:
        return cursor.execute("SELECT id FROM orders ORDER BY id").fetchall()


def fail() -> None:
    """Fail, as a handler may."""
    raise ValueError("no")


def test_a_commit_makes_rows_and_effect_durable_together(
    ledger: rml.Ledger, connect: Connect, db: psycopg.Connection[Any]
) -> None:
    """Until then nobody sees either; afterwards the entries are sealed without any other write."""
    other = connect(autocommit=True)

    assert "o-1 placed" == Orders().place(db, "o-1")
    assert ([], []) == (rows(other), kinds(ledger))
    db.commit()

    assert (["o-1"], PAIR) == (rows(other), kinds(ledger))
    assert [0, 1] == [entry.index for entry in ledger.entries()]
    assert ["done"] == [effect.state for effect in ledger.effects()]


def test_entries_are_sealed_after_the_commit_also_if_nobody_reads(
    ledger: rml.Ledger, url: str, db: psycopg.Connection[Any]
) -> None:
    """The ledger that was joined looks whether the transaction is over."""
    Orders().place(db, "o-1")
    db.commit()

    with psycopg.connect(place_of(url).conninfo, autocommit=True) as reader:
        text = place_of(url).sql("SELECT size FROM ~head")
        end = time.monotonic() + 60
        while reader.execute(text).fetchall() != [(2,)]:
            assert time.monotonic() < end


def test_a_replay_does_not_touch_the_connection(
    ledger: rml.Ledger, db: psycopg.Connection[Any]
) -> None:
    """The recorded value comes from the ledger, so that a closed connection will do."""
    orders = Orders()
    orders.place(db, "o-1")
    db.commit()
    db.close()

    assert "o-1 placed" == orders.place(db, "o-1")
    assert (1, PAIR) == (orders.count, kinds(ledger))


def test_a_repetition_in_the_same_transaction_is_given_the_value(
    ledger: rml.Ledger, db: psycopg.Connection[Any]
) -> None:
    """Though nobody else can see it yet."""
    orders = Orders()

    assert ["o-1 placed"] * 2 == [orders.place(db, "o-1") for _ in range(2)]
    db.commit()

    assert (1, PAIR) == (orders.count, kinds(ledger))


def test_a_rollback_takes_both_back_and_frees_the_key(
    ledger: rml.Ledger, db: psycopg.Connection[Any]
) -> None:
    """As if the call had never been made."""
    orders = Orders()
    orders.place(db, "o-1")
    db.rollback()
    assert ([], []) == (rows(db), kinds(ledger))

    orders.place(db, "o-1", amount=6)
    db.commit()

    assert (2, ["o-1"], PAIR) == (orders.count, rows(db), kinds(ledger))


def test_a_rollback_to_a_savepoint_frees_the_key_for_others(
    ledger: rml.Ledger, connect: Connect, db: psycopg.Connection[Any]
) -> None:
    """What was before it stays; another connection need not wait for the transaction's end."""
    orders, other = Orders(), connect()
    orders.place(db, "o-1")
    with db.transaction() as savepoint:
        orders.place(db, "o-2")
        raise psycopg.Rollback(savepoint)

    orders.place(other, "o-2")
    other.commit()
    db.commit()

    assert (3, ["o-1", "o-2"], PAIR * 2) == (orders.count, rows(db), kinds(ledger))


@pytest.mark.parametrize("autocommit", [False, True])
def test_a_handler_that_raises_takes_back_its_own_part(
    ledger: rml.Ledger, connect: Connect, *, autocommit: bool
) -> None:
    """Also when the server has refused a statement; what was done before it stays."""
    db, orders = connect(autocommit=autocommit), Orders()
    with db.transaction():
        orders.place(db, "o-1")
        with pytest.raises(ValueError, match="no"):
            orders.place(db, "o-2", then=fail)
        with pytest.raises(psycopg.errors.UndefinedTable):
            orders.place(db, "o-3", then=lambda: db.execute("SELECT * FROM nothing"))

    assert (["o-1"], PAIR) == (rows(db), kinds(ledger))


@pytest.mark.parametrize("word", ["COMMIT", "ROLLBACK"])
@pytest.mark.parametrize("is_raw", [False, True])
def test_a_handler_that_ends_the_transaction_is_in_doubt(
    ledger: rml.Ledger, connect: Connect, word: str, *, is_raw: bool
) -> None:
    """The caller is told, and no value is recorded."""
    db = connect()

    def end() -> None:
        db.execute(word) if is_raw else getattr(db, word.lower())()

    with pytest.raises(rml.InDoubtError):
        Orders().place(db, "o-1", then=end)
    db.rollback()

    there = word == "COMMIT"
    assert (["o-1"] * there, PAIR[:there]) == (rows(db), kinds(ledger))


@rml.idempotent("order.ship", key="order_id", world="RML2")
def ship(order_id: str) -> str:
    """Do something beside the database."""
    return order_id


def test_an_append_in_a_long_transaction_stalls_nobody(
    ledger: rml.Ledger, url: str, db: psycopg.Connection[Any]
) -> None:
    """Others append, call with other keys, decide on what they read, and see it sealed."""
    orders = Orders()
    ledger.on(db).append("order.noted", world="RML2")
    orders.place(db, "o-1")

    with rml.Ledger(url, timeout=30) as other:
        other.append("order.other", world="RML2")
        other.write(lambda draft: draft.entries(kind="order.other"))
        with rml.use(ledger=other):
            ship("o-2")
        assert ["order.other", *PAIR] == kinds(other)
    db.commit()

    assert ["order.other", *PAIR, "order.noted", *PAIR] == kinds(ledger)


def test_a_second_call_of_a_key_waits_for_the_first_transaction(
    ledger: rml.Ledger, connect: Connect, db: psycopg.Connection[Any]
) -> None:
    """It is given the first one's value, and has run nothing."""
    orders, other = Orders(), connect()
    orders.place(db, "o-1")

    with ThreadPoolExecutor() as pool:
        second = pool.submit(in_ledger(ledger, orders.place), other, "o-1")
        wait_until_waited_for(connect, db)
        db.commit()
        assert "o-1 placed" == second.result()

    assert (1, PAIR) == (orders.count, kinds(ledger))


def in_ledger(ledger: rml.Ledger, work: Callable[..., Any]) -> Callable[..., Any]:
    """What runs with the ledger configured in another thread."""

    def run(*arguments: Any) -> Any:
        with rml.use(ledger=ledger):
            return work(*arguments)

    return run


def wait_until_waited_for(connect: Connect, db: psycopg.Connection[Any]) -> None:
    """Return when somebody waits for what a transaction holds."""
    watcher = connect(autocommit=True)
    query = "SELECT FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
    end = time.monotonic() + 60
    while not watcher.execute(query, [db.info.backend_pid]).fetchall():
        assert time.monotonic() < end


@pytest.mark.parametrize("reads_more", [False, True])
def test_who_waits_for_an_effect_stalls_nobody(
    ledger: rml.Ledger, url: str, connect: Connect, db: psycopg.Connection[Any], *, reads_more: bool
) -> None:
    """It holds nothing meanwhile that a work which reads anything else would need."""
    ledger.on(db).write(lambda draft: draft.lease("e-1"))

    def ask(draft: rml.Draft) -> None:
        if reads_more:
            draft.entries(kind="order.noted")
        draft.lease("e-1")

    with rml.Ledger(url, timeout=30) as other, ThreadPoolExecutor() as pool:
        waiting = pool.submit(ledger.write, ask)
        wait_until_waited_for(connect, db)
        assert [] == other.write(lambda draft: draft.entries(kind="order.noted"))
        assert not waiting.done()
        db.rollback()
        waiting.result()


def test_a_call_that_waited_for_its_key_keeps_others_waiting_for_its_key_alone(
    url: str, connect: Connect, db: psycopg.Connection[Any], clock: rml.FrozenClock
) -> None:
    """What it knows of levers is out of date by then, and is not asked in its transaction."""
    orders, late = Orders(), connect()
    with (
        rml.Ledger(url, clock=clock, timeout=60) as ledger,
        rml.Ledger(url, timeout=30) as other,
        ThreadPoolExecutor() as pool,
    ):
        with rml.use(ledger=ledger):
            orders.place(db, "o-1")
        second = pool.submit(in_ledger(ledger, orders.place), late, "o-1")
        wait_until_waited_for(connect, db)
        clock.advance(2)
        db.rollback()
        second.result()

        assert [] == other.write(lambda draft: draft.entries(kind="order.noted"))
        late.commit()


@pytest.mark.parametrize("face", ["joined", "plain", "alone"])
def test_a_call_of_a_key_that_another_transaction_holds_ends_at_its_deadline(
    ledger: rml.Ledger, url: str, connect: Connect, db: psycopg.Connection[Any], face: str
) -> None:
    """Busy, whoever records of it; meanwhile others are free, and afterwards so is this one."""
    orders = Orders()
    orders.place(db, "o-1")
    db.commit()
    (effect,) = [found.id for found in ledger.effects()]
    ledger.on(db).write(lambda draft: draft.lease(effect))

    late = connect(settings="-c lock_timeout=70s")
    with rml.Ledger(url, timeout=1) as other, rml.use(ledger=other):

        def plain(draft: rml.Draft) -> None:
            draft.lease(effect)
            draft.append("order.noted", world="RML3", effect=effect)

        def alone(draft: rml.Draft) -> None:
            draft.entries(kind="order.noted")
            draft.lease(effect)

        asks: dict[str, Callable[[float], Any]] = {
            "joined": lambda _: other.on(late).write(lambda draft: draft.lease(effect)),
            "plain": lambda seconds: other.write(plain, timeout=seconds),
            "alone": lambda seconds: other.write(alone, timeout=seconds),
        }
        began = time.monotonic()
        with pytest.raises(LedgerBusyError):
            asks[face](1)
        assert time.monotonic() - began < 60
        db.rollback()
        asks[face](60)
    assert [("70s",)] == late.execute("SHOW lock_timeout").fetchall()


def test_the_applications_own_settings_stay(ledger: rml.Ledger, connect: Connect) -> None:
    """Its lock_timeout, and how its rows come."""
    db = connect(row_factory=dict_row, settings="-c lock_timeout=7s")

    Orders().place(db, "o-1")

    assert [{"lock_timeout": "7s"}] == db.execute("SHOW lock_timeout").fetchall()
    db.commit()
    assert PAIR == kinds(ledger)


def test_another_database_is_refused(ledger: rml.Ledger, url: str) -> None:
    """And nothing is left begun on the connection."""
    place = place_of(url)
    name = f"{place.schema}_other"
    with psycopg.connect(place.conninfo, autocommit=True) as owner:
        owner.execute(f"CREATE DATABASE {name}")
        try:
            with psycopg.connect(place.conninfo, dbname=name) as db:
                with pytest.raises(EnlistmentError, match="not to the database of the ledger"):
                    Orders().place(db, "o-1")
                assert psycopg.pq.TransactionStatus.IDLE == db.info.transaction_status
        finally:
            owner.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize(
    ("options", "begin", "reason"),
    [
        ({"autocommit": True}, "", "commits each statement by itself"),
        ({"settings": "-c synchronous_commit=off"}, "", "may be lost"),
        ({}, "SET TRANSACTION READ ONLY", "read-only"),
        ({}, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "READ COMMITTED"),
        ({}, "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "READ COMMITTED"),
        ({"client_encoding": "latin1"}, "", "UTF8"),
    ],
    ids=["autocommit", "not durable", "read-only", "repeatable read", "serializable", "latin1"],
)
def test_a_transaction_that_cannot_be_the_ledgers_is_refused(
    ledger: rml.Ledger, connect: Connect, options: dict[str, Any], begin: str, reason: str
) -> None:
    """Before the handler runs."""
    db, orders = connect(**options), Orders()
    if begin:
        db.execute(begin)

    with pytest.raises(EnlistmentError, match=reason):
        orders.place(db, "o-1")

    assert (0, []) == (orders.count, kinds(ledger))


def test_a_ledger_whose_schema_was_replaced_is_refused(url: str) -> None:
    """What others decide is kept apart by other locks than this ledger's."""
    place = place_of(url)
    with psycopg.connect(place.conninfo) as db, rml.Ledger(url) as ledger:
        db.execute(f"DROP SCHEMA {place.schema} CASCADE")
        db.commit()
        initialise(opening_of(url))
        with pytest.raises(EnlistmentError, match="was replaced"):
            ledger.on(db)


def test_other_schemas_of_the_database_are_committed_with_it(
    ledger: rml.Ledger, url: str, connect: Connect
) -> None:
    """Wherever names are looked for: a transaction is the database's; READ UNCOMMITTED is one."""
    db = connect(settings="-c search_path=pg_catalog")
    db.isolation_level = psycopg.IsolationLevel.READ_UNCOMMITTED

    @rml.idempotent("order.note", key="key", connection="db", world="RML2")
    def note(db: psycopg.Connection[Any], key: str) -> None:
        db.execute(place_of(url).sql("INSERT INTO ~orders VALUES (%s, 1)"), [key])

    note(db, "o-1")
    db.rollback()
    note(db, "o-1")
    db.commit()

    assert PAIR == kinds(ledger)
    assert [("o-1",)] == db.execute(place_of(url).sql("SELECT id FROM ~orders")).fetchall()


def test_a_connection_that_is_none_of_psycopgs_is_refused(ledger: rml.Ledger) -> None:
    """By its class, and by the state it is in."""
    with pytest.raises(EnlistmentError, match="Xid cannot be joined"):
        ledger.on(psycopg.Xid.from_string("x"))
    engine = create_engine("sqlite://")
    with engine.connect() as connection, pytest.raises(EnlistmentError, match="is no psycopg"):
        ledger.on(connection)
    engine.dispose()


def test_a_transaction_that_failed_or_ended_is_refused(
    ledger: rml.Ledger, db: psycopg.Connection[Any]
) -> None:
    """It could commit nothing."""
    joined = ledger.on(db)
    with pytest.raises(psycopg.errors.UndefinedTable):
        db.execute("SELECT * FROM nothing")
    with pytest.raises(EnlistmentError, match="has failed"):
        ledger.on(db)
    db.rollback()
    with pytest.raises(EnlistmentError, match="has ended"):
        joined.append("order.noted", world="RML2")
    with db.pipeline(), pytest.raises(EnlistmentError, match="pipeline"):
        ledger.on(db)
    db.close()
    with pytest.raises(EnlistmentError, match="closed"):
        ledger.on(db)


def test_many_entries_of_one_work_are_there_together(
    ledger: rml.Ledger, db: psycopg.Connection[Any]
) -> None:
    """A work that reads others' entries sees its own last; if it raises, they are taken back."""

    def work(draft: rml.Draft) -> int:
        for _ in range(3):
            draft.append("order.noted", world="RML2")
        return len(draft.entries(kind="order.noted"))

    def failing(draft: rml.Draft) -> None:
        work(draft)
        fail()

    ledger.append("order.noted", world="RML2")
    joined = ledger.on(db)
    assert 4 == joined.write(work)
    with pytest.raises(ValueError, match="no"):
        joined.write(failing)
    db.commit()

    assert ["order.noted"] * 4 == kinds(ledger)


def test_a_connection_that_is_cut_leaves_nothing(
    ledger: rml.Ledger, connect: Connect, db: psycopg.Connection[Any]
) -> None:
    """The key is free as soon as the server has noticed."""
    orders, other = Orders(), connect(autocommit=True)
    orders.place(db, "o-1")
    other.execute("SELECT pg_terminate_backend(%s, 60000)", [db.info.backend_pid])

    with pytest.raises(LedgerUnavailableError):
        orders.place(db, "o-2")
    with other.transaction():
        orders.place(other, "o-1")

    assert (["o-1"], PAIR) == (rows(other), kinds(ledger))


@pytest.mark.parametrize("lost", ["request", "answer"])
def test_a_cut_at_every_point_leaves_all_or_nothing(
    ledger: rml.Ledger, url: str, connect: Connect, lost: str
) -> None:
    """Whoever calls again, also after a commit without an answer, runs it if it is not there."""
    orders, again, whole = Orders(), connect(), False
    options = f"-c search_path={place_of(url).schema}"
    outcomes = []
    with CuttingProxy(url, lost) as proxy:
        for message in count():
            key = f"o-{message:02}"
            with closing(psycopg.connect(place_of(proxy.url).conninfo, options=options)) as db:
                proxy.cut_at(message)
                try:
                    orders.place(db, key)
                    db.commit()
                    whole = True
                except (psycopg.OperationalError, LedgerUnavailableError):
                    pass
            before = orders.count
            assert f"{key} placed" == orders.place(again, key)
            outcomes.append(orders.count == before)
            again.commit()
            if whole:
                break

    assert [f"o-{number:02}" for number in range(len(outcomes))] == rows(again)
    assert PAIR * len(outcomes) == kinds(ledger)
    assert [lost == "answer", True] == outcomes[-2:]
    assert not any(outcomes[:-2])


CLIENT = """
import os, sys
import psycopg, rml

url, conninfo, schema, when = sys.argv[1:]
ledger = rml.Ledger(url)
db = psycopg.connect(conninfo, options=f"-c search_path={schema}")

@rml.idempotent("order.place", key="key", world="RML2", connection="db", ledger=ledger)
def place(db: psycopg.Connection, key: str) -> str:
    db.execute("INSERT INTO orders VALUES (%s, 5)", [key])
    return key

place(db, "o-1")
if when == "after":
    db.commit()
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_client_that_is_killed_leaves_all_or_nothing(
    ledger: rml.Ledger, url: str, connect: Connect, when: str
) -> None:
    """Before its commit nothing, and the key is free; after it everything, and it is sealed."""
    place = place_of(url)
    arguments = [sys.executable, "-c", CLIENT, url, place.conninfo, place.schema, when]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        assert b"ready\n" == client.stdout.readline()
        os.kill(client.pid, signal.SIGKILL)
        client.wait()
    there = when == "after"
    db = connect(autocommit=True)
    assert ["o-1"] * there == rows(db)
    with rml.Ledger(url) as again:
        assert PAIR * there == kinds(again)

    orders = Orders()
    with db.transaction():
        orders.place(db, "o-1") if not there else orders.place(db, "o-2")

    assert 1 == orders.count


@pytest.fixture
def engine(ledger: rml.Ledger, url: str) -> Iterator[Engine]:
    """SQLAlchemy's engine to the same database."""
    place = place_of(url)
    options = f"-c search_path={place.schema}"
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(place.conninfo, options=options)
    )
    yield engine
    engine.dispose()


@rml.idempotent("order.add", key="order_id", world="RML2", connection="session")
def add(session: Any, order_id: str, *, fails: bool = False) -> str:
    """Insert an order with SQLAlchemy."""
    session.execute(text("INSERT INTO orders VALUES (:id, 5)"), {"id": order_id})
    if fails:
        fail()
    return order_id


def test_a_session_of_sqlalchemy_commits_both(
    ledger: rml.Ledger, engine: Engine, db: psycopg.Connection[Any]
) -> None:
    """A handler that raises takes back its savepoint alone; a rollback takes back everything."""
    with Session(engine) as session, session.begin():
        add(session, "o-1")
        with pytest.raises(ValueError, match="no"):
            add(session, "o-2", fails=True)
    with Session(engine) as session:
        add(session, "o-3")
        session.rollback()
    with engine.begin() as connection:
        add(connection, "o-4")

    assert (["o-1", "o-4"], PAIR * 2) == (rows(db), kinds(ledger))


def test_calls_at_once_run_once_a_key(ledger: rml.Ledger, connect: Connect) -> None:
    """Several connections, the same keys, some rolled back: one row and one effect each."""
    orders, keys = Orders(), [f"o-{number}" for number in range(5)]
    together = threading.Barrier(4)

    def run(number: int) -> None:
        db = connect()
        together.wait()
        for key in keys:
            orders.place(db, key)
            db.rollback() if number % 2 else db.commit()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(in_ledger(ledger, run), range(4)))

    assert keys == rows(connect())
    assert PAIR * len(keys) == kinds(ledger)

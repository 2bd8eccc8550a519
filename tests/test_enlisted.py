"""Effects that are rows of the application's own, in a transaction that the application commits."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from protected import kinds
from shop import PAIR, ledger_in, orders_file

import rml

Connect = Callable[..., sqlite3.Connection]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An application's database, with one table and nothing in it."""
    return orders_file(tmp_path)


@pytest.fixture
def ledger(path: Path) -> Iterator[rml.Ledger]:
    """A ledger in the application's database; it is whole at the end."""
    with ledger_in(path) as ledger:
        yield ledger


@pytest.fixture
def connect(ledger: rml.Ledger, path: Path) -> Iterator[Connect]:
    """Return what opens connections of the application, which are closed at the end."""
    opened = []

    def connect(**options: Any) -> sqlite3.Connection:
        opened.append(sqlite3.connect(path, **{"timeout": 60, **options}))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


@pytest.fixture
def db(connect: Connect) -> sqlite3.Connection:
    """Return a connection of the application, as `sqlite3` opens it."""
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
        def place(db: sqlite3.Connection, order_id: str, amount: int = 5, then: Any = None) -> str:
            self.count += 1
            db.execute("INSERT INTO orders VALUES (?, ?)", [order_id, amount])
            if then is not None:
                raise then
            return f"{order_id} placed"

        self.place = place


def rows(db: sqlite3.Connection) -> list[str]:
    """Return the ids of all orders."""
    return [row[0] for row in db.execute("SELECT id FROM orders ORDER BY rowid")]


def test_a_commit_makes_rows_and_effect_durable_together(
    ledger: rml.Ledger, connect: Connect, db: sqlite3.Connection
) -> None:
    """Until then nobody sees either."""
    other = connect()

    assert Orders().place(db, "o-1") == "o-1 placed"
    assert ([], []) == (rows(other), kinds(ledger))
    db.commit()

    assert (["o-1"], PAIR) == (rows(other), kinds(ledger))
    assert ["done"] == [effect.state for effect in ledger.effects()]


def test_a_replay_does_not_touch_the_connection(ledger: rml.Ledger, db: sqlite3.Connection) -> None:
    """The recorded value comes from the ledger, so that a closed connection will do."""
    orders = Orders()
    orders.place(db, "o-1")
    db.commit()
    db.close()

    assert orders.place(db, "o-1") == "o-1 placed"
    assert (1, PAIR) == (orders.count, kinds(ledger))


def test_a_rollback_takes_both_back_and_frees_the_key(
    ledger: rml.Ledger, db: sqlite3.Connection
) -> None:
    """As if the call had never been made."""
    orders = Orders()
    orders.place(db, "o-1")
    db.rollback()
    assert ([], []) == (rows(db), kinds(ledger))

    orders.place(db, "o-1", amount=6)
    db.commit()

    assert (2, ["o-1"], PAIR) == (orders.count, rows(db), kinds(ledger))


def test_a_rollback_to_a_savepoint_takes_both_back(
    ledger: rml.Ledger, db: sqlite3.Connection
) -> None:
    """What was before it stays."""
    orders = Orders()
    orders.place(db, "o-1")
    db.execute("SAVEPOINT mine")
    orders.place(db, "o-2")
    db.execute("ROLLBACK TO mine")
    orders.place(db, "o-3")
    db.commit()

    assert (["o-1", "o-3"], PAIR * 2) == (rows(db), kinds(ledger))


def test_a_handler_that_raises_leaves_nothing_and_its_key_is_free(
    ledger: rml.Ledger, db: sqlite3.Connection
) -> None:
    """Its own rows go, those from before it stay, whatever it raised and whoever commits."""
    orders = Orders()
    db.execute("INSERT INTO orders VALUES ('before', 1)")
    for error in (ValueError(), KeyboardInterrupt(), rml.HistoryError("gray")):
        with pytest.raises(type(error)):
            orders.place(db, "o-1", then=error)
    db.commit()
    assert (["before"], []) == (rows(db), kinds(ledger))

    assert orders.place(db, "o-1") == "o-1 placed"


def test_a_repetition_in_the_same_transaction_is_a_replay(
    ledger: rml.Ledger, db: sqlite3.Connection
) -> None:
    """It sees what is not yet committed; another request under the key is refused."""
    orders = Orders()

    assert ["o-1 placed"] * 2 == [orders.place(db, "o-1") for _ in range(2)]
    with pytest.raises(rml.FingerprintMismatchError):
        orders.place(db, "o-1", amount=6)
    db.commit()

    assert (1, PAIR) == (orders.count, kinds(ledger))


def test_handlers_may_call_each_other(ledger: rml.Ledger, db: sqlite3.Connection) -> None:
    """An inner one that fails takes back its own part alone."""
    orders = Orders()

    @rml.idempotent("basket.order", key="basket", connection="db", world="RML2")
    def order(db: sqlite3.Connection, basket: str) -> list[str]:
        with pytest.raises(ValueError, match="sold out"):
            orders.place(db, f"{basket}-1", then=ValueError("sold out"))
        return [orders.place(db, f"{basket}-2")]

    assert ["b-2 placed"] == order(db, "b")
    db.commit()

    assert ["b-2"] == rows(db)
    assert ["effect.intent", *PAIR, "effect.done"] == kinds(ledger)


def test_a_handler_that_commits_leaves_doubt(path: Path, connect: Connect) -> None:
    """Its rows are there without an outcome; who is told so can settle it."""
    clock = rml.FrozenClock("2026-11-20T19:00:00Z")

    @rml.idempotent("order.place", key="order_id", connection="db")
    def place(db: sqlite3.Connection, order_id: str) -> None:
        db.execute("INSERT INTO orders VALUES (?, 1)", [order_id])
        db.commit()

    with rml.Ledger(path, clock=clock) as ledger, rml.use(ledger=ledger):
        with pytest.raises(rml.InDoubtError, match="ended or rolled back"):
            place(connect(), "o-1")
        assert ["effect.intent"] == kinds(ledger)

        clock.advance(61)
        with pytest.raises(rml.InDoubtError, match="nobody knows"):
            place(connect(), "o-1")
        assert ["o-1"] == [effect.key for effect in ledger.in_doubt()]


def test_a_handler_that_rolls_back_did_nothing(ledger: rml.Ledger, db: sqlite3.Connection) -> None:
    """Neither does a transaction that it began instead get an entry."""

    @rml.idempotent("order.place", key="order_id", connection="db")
    def place(db: sqlite3.Connection, order_id: str) -> None:
        db.rollback()
        db.execute("INSERT INTO orders VALUES ('its own', 1)")

    with pytest.raises(rml.InDoubtError, match="ended or rolled back"):
        place(db, "o-1")
    db.commit()

    assert (["its own"], []) == (rows(db), kinds(ledger))


def test_a_value_that_cannot_be_recorded_is_returned_once(
    ledger: rml.Ledger, db: sqlite3.Connection
) -> None:
    """As for any protected handler, the effect is done."""

    @rml.idempotent("order.place", key="order_id", connection="db")
    def place(db: sqlite3.Connection, order_id: str) -> Any:
        return db.execute("INSERT INTO orders VALUES (?, 1)", [order_id])

    assert isinstance(place(db, "o-1"), sqlite3.Cursor)
    db.commit()

    with pytest.raises(rml.ResultUnavailableError):
        place(db, "o-1")
    assert PAIR == kinds(ledger)


# Others who write --------------------------------------------------------------------------------


def test_a_duplicate_waits_for_the_transaction_in_flight(
    ledger: rml.Ledger, connect: Connect
) -> None:
    """It then is given the value, and ran nothing."""
    orders = Orders()
    first, second = connect(), connect(check_same_thread=False)
    orders.place(first, "o-1")
    got: list[str] = []
    waiting = threading.Thread(
        target=lambda: _using(ledger, lambda: got.append(orders.place(second, "o-1")))
    )

    waiting.start()
    waiting.join(0.05)
    assert ([], True) == (got, waiting.is_alive())
    first.commit()
    waiting.join(60)

    assert (["o-1 placed"], 1) == (got, orders.count)
    second.rollback()


def _using(ledger: rml.Ledger, work: Callable[[], Any]) -> None:
    with rml.use(ledger=ledger):
        work()


def test_writers_of_the_ledger_wait_and_block_nobody(
    path: Path, ledger: rml.Ledger, db: sqlite3.Connection
) -> None:
    """They hold their turn and wait for the transaction, which needs no turn to go on and end."""
    orders = Orders()
    orders.place(db, "o-1")
    with rml.Ledger(path) as elsewhere:
        writers = [
            threading.Thread(target=partial(each.append, "some.thing", world="RML1"))
            for each in (ledger, elsewhere, ledger)
        ]
        for writer in writers:
            writer.start()
        writers[0].join(0.05)

        for number in range(2, 9):
            orders.place(db, f"o-{number}")
        assert ([], [True] * 3) == (kinds(ledger), [writer.is_alive() for writer in writers])
        db.commit()
        for writer in writers:
            writer.join(60)

    assert PAIR * 8 + ["some.thing"] * 3 == kinds(ledger)


def test_a_crowd_orders_each_thing_once(ledger: rml.Ledger, connect: Connect) -> None:
    """Four threads with connections of their own, the same keys, and writers of the ledger."""
    orders = Orders()

    def shop(db: sqlite3.Connection) -> None:
        for number in range(8):
            orders.place(db, f"o-{number}")
            db.commit()
            ledger.append("some.thing", world="RML1")

    crowd = [
        threading.Thread(
            target=partial(_using, ledger, partial(shop, connect(check_same_thread=False)))
        )
        for _ in range(4)
    ]
    for each in crowd:
        each.start()
    for each in crowd:
        each.join(120)

    assert (8, 8 * 2 + 4 * 8) == (orders.count, ledger.size)


def test_a_transaction_that_is_behind_is_told_so(
    ledger: rml.Ledger, connect: Connect, db: sqlite3.Connection
) -> None:
    """SQLite lets nobody write upon an old view; nothing was recorded, and a new one is not old."""
    orders = Orders()
    db.execute("BEGIN")
    assert [] == rows(db)
    ledger.append("some.thing", world="RML1")

    with pytest.raises(rml.LedgerBusyError, match="BEGIN IMMEDIATE"):
        orders.place(db, "o-1")
    assert orders.count == 0
    db.rollback()

    db.execute("BEGIN")
    assert [] == rows(db)
    assert orders.place(db, "o-1") == "o-1 placed"


def test_who_cannot_have_the_lock_is_told_so(path: Path, connect: Connect) -> None:
    """With the ledger's patience where the transaction begins here, else with the connection's."""
    connect().execute("BEGIN IMMEDIATE")
    with rml.Ledger(path, timeout=0.05) as ledger:
        for begin in ("SELECT 1", "BEGIN"):
            db = connect(timeout=0)
            db.execute(begin)
            with pytest.raises(rml.LedgerBusyError):
                ledger.on(db)


def test_the_connections_own_patience_does_not_add_up(path: Path, connect: Connect) -> None:
    """The connection would wait for a minute, with everybody else's turn; it keeps its setting."""
    connect().execute("BEGIN IMMEDIATE")
    db = connect()
    began = time.monotonic()
    with rml.Ledger(path, timeout=0.05) as ledger, pytest.raises(rml.LedgerBusyError):
        ledger.on(db)

    assert time.monotonic() - began < 30
    assert (60_000,) == db.execute("PRAGMA busy_timeout").fetchone()


def test_a_turn_that_does_not_come_is_told(path: Path, connect: Connect) -> None:
    """While a writer of this very store, or of another one, does not come to its end."""
    db = connect()
    with rml.Ledger(path, timeout=0.05) as ledger, rml.Ledger(path) as elsewhere:
        for holder in (ledger, elsewhere):
            begun, over = threading.Event(), threading.Event()

            def hold(_: rml.Draft, begun: Any = begun, over: Any = over) -> None:
                begun.set()
                over.wait(60)

            writer = threading.Thread(target=partial(holder.write, hold))
            writer.start()
            assert begun.wait(60)
            with pytest.raises(rml.LedgerBusyError):
                ledger.on(db)
            over.set()
            writer.join(60)

        assert not db.in_transaction
        ledger.timeout = 60.0  # its place in the queue may be given back a moment later
        ledger.on(db).append("order.noted", world="RML2")


def test_the_ledger_is_not_waited_for_from_inside(
    ledger: rml.Ledger, db: sqlite3.Connection
) -> None:
    """A commit of the ledger's own would wait for the handler that waits for it."""

    @rml.idempotent("order.place", key="order_id", connection="db")
    def place(db: sqlite3.Connection, order_id: str) -> None:
        ledger.on(db).append("order.noted", world="RML2")
        ledger.append("some.thing", world="RML1")

    with pytest.raises(rml.InvalidInputError, match="would wait for the transaction"):
        place(db, "o-1")
    db.commit()
    ledger.append("some.thing", world="RML1")

    assert ["some.thing"] == kinds(ledger)


# What one writes by hand -------------------------------------------------------------------------


def test_entries_of_ones_own_join_too(ledger: rml.Ledger, db: sqlite3.Connection) -> None:
    """With `append` and `write`; a work that fails is taken back, and the transaction goes on."""
    joined = ledger.on(db)
    first = joined.append("order.noted", world="RML2", facts={"number": 1})

    def fail(draft: rml.Draft) -> None:
        draft.append("order.lost", world="RML2")
        raise ValueError("lost")

    with pytest.raises(ValueError, match="lost"):
        joined.write(fail)
    second = ledger.on(db).append("order.noted", world="RML2", corrects=first.id)
    db.commit()

    assert [(0, first.id), (1, second.id)] == [(e.index, e.id) for e in ledger.entries()]


@pytest.mark.parametrize("isolation_level", ["", None], ids=["legacy", "autocommit"])
def test_what_joined_a_transaction_does_not_outlive_it(
    ledger: rml.Ledger, connect: Connect, isolation_level: str | None
) -> None:
    """What it appended then would be committed at once, by nobody's word."""
    db = connect(isolation_level=isolation_level)
    db.execute("BEGIN IMMEDIATE")
    joined = ledger.on(db)
    joined.append("order.noted", world="RML2")
    db.commit()

    with pytest.raises(rml.EnlistmentError, match="has ended"):
        joined.append("order.noted", world="RML2")

    assert ["order.noted"] == kinds(ledger)


def test_a_ledger_that_fails_leaves_the_rest_of_the_transaction(
    ledger: rml.Ledger, db: sqlite3.Connection
) -> None:
    """An entry that cannot be recorded takes the handler's rows with it, and no more."""
    db.execute("INSERT INTO orders VALUES ('before', 1)")

    @rml.idempotent("order.place", key="order_id", connection="db")
    def place(db: sqlite3.Connection, order_id: str) -> None:
        db.execute("INSERT INTO orders VALUES (?, 1)", [order_id])
        db.set_authorizer(lambda action, *_: sqlite3.SQLITE_DENY if action == 18 else 0)

    with pytest.raises(rml.LedgerUnavailableError):
        place(db, "o-1")
    db.set_authorizer(None)
    db.commit()

    assert (["before"], []) == (rows(db), kinds(ledger))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from(["ledger", "on", "many", "undo", "commit", "rollback"]), max_size=14)
)
def test_whoever_commits_the_tree_grows_by_what_was_committed(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    """The ledger's own commits, transactions that are kept or not, and savepoints, in any order."""
    path = tmp_path_factory.mktemp("any") / "shop.db"
    with rml.Ledger(path) as ledger, closing(sqlite3.connect(path)) as db:
        size = pending = 0
        for step in steps:
            if step == "ledger":
                db.commit()
                ledger.append("some.thing", world="RML1")
                size, pending = size + pending + 1, 0
            elif step in ("on", "many"):
                count = 1 if step == "on" else 300
                ledger.on(db).write(
                    lambda draft, count=count: [
                        draft.append("order.noted", world="RML2") for _ in range(count)
                    ]
                )
                pending += count
            elif step == "undo":
                ledger.on(db)
                db.execute("SAVEPOINT mine")
                ledger.on(db).append("order.noted", world="RML2")
                db.execute("ROLLBACK TO mine")
            else:
                getattr(db, step)()
                size, pending = size + (pending if step == "commit" else 0), 0
            assert size == ledger.size
        db.rollback()
        assert ledger.verify().ok


def test_a_connection_is_given_back_as_it_was(ledger: rml.Ledger, db: sqlite3.Connection) -> None:
    """Rows of any kind are the application's affair."""
    db.row_factory, db.text_factory = (lambda cursor, row: {"row": row}), bytes

    Orders().place(db, "o-1")

    assert {"row": (b"o-1",)} == db.execute("SELECT id FROM orders").fetchone()

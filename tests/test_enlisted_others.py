"""Joining a transaction leaves the application's connection as it was, and is not misled by it."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from shop import ledger_in, orders_file

import rml


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
def db(ledger: rml.Ledger, path: Path) -> Iterator[sqlite3.Connection]:
    """Return a connection of the application."""
    with closing(sqlite3.connect(path, timeout=60)) as connection:
        yield connection


@rml.idempotent("order.enlist", key="order_id", connection="db", world="RML2")
def place(db: Any, order_id: str) -> str:
    """Insert an order."""
    execute = getattr(db, "exec_driver_sql", None) or db.execute
    execute("INSERT INTO orders VALUES (?, 5)", (order_id,))
    return f"{order_id} placed"


def pull(ledger: rml.Ledger) -> None:
    """Stop orders."""
    rml.Levers(ledger).pull("order.enlist", by="Ada", reason="wrong prices", force=True)


# Transactions ------------------------------------------------------------------------------------


def test_a_refused_call_leaves_no_transaction_open(
    ledger: rml.Ledger, db: sqlite3.Connection
) -> None:
    """It would keep everybody else from writing."""
    pull(ledger)

    with pytest.raises(rml.LeverPulledError):
        place(db, "o-1")

    assert not db.in_transaction


def test_a_refused_call_leaves_the_transaction_there_is(
    ledger: rml.Ledger, db: sqlite3.Connection
) -> None:
    """It is the application's, and so is what it has done in it."""
    pull(ledger)
    db.execute("INSERT INTO orders VALUES ('mine', 1)")

    with pytest.raises(rml.LeverPulledError):
        place(db, "o-1")

    assert db.in_transaction
    db.commit()
    assert [("mine",)] == db.execute("SELECT id FROM orders").fetchall()


@pytest.mark.parametrize("is_session", [False, True])
def test_a_refused_call_leaves_sqlalchemy_at_rest(
    ledger: rml.Ledger, path: Path, is_session: bool
) -> None:
    """Whoever owns the connection."""
    sqlalchemy = pytest.importorskip("sqlalchemy")
    orm = pytest.importorskip("sqlalchemy.orm")
    pull(ledger)
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")

    with orm.Session(engine) if is_session else engine.connect() as owner:
        with pytest.raises(rml.LeverPulledError):
            place(owner, "o-1")
        assert not owner.in_transaction()
    engine.dispose()


def test_a_call_that_was_too_late_leaves_no_transaction_open(
    ledger: rml.Ledger, db: sqlite3.Connection, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its first look and its turn to write, somebody else has done it."""
    look = rml.effect.call.Call.look

    def slow(call: Any) -> Any:
        decision = look(call)
        monkeypatch.undo()
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        return decision

    def elsewhere() -> None:
        with closing(sqlite3.connect(path)) as other, rml.use(ledger=ledger), other:
            place(other, "o-1")

    monkeypatch.setattr(rml.effect.call.Call, "look", slow)

    assert "o-1 placed" == place(db, "o-1")
    assert not db.in_transaction


# Converters --------------------------------------------------------------------------------------


@pytest.fixture
def converters() -> Iterator[None]:
    """Read and write every type in the application's own way."""
    before, adapters = dict(sqlite3.converters), dict(sqlite3.adapters)
    sqlite3.register_adapter(bytes, lambda data: data.hex())
    for name in ("BLOB", "INTEGER", "TEXT"):
        sqlite3.register_converter(name, lambda data: ("converted", data))
    yield
    sqlite3.converters.clear()
    sqlite3.converters.update(before)
    sqlite3.adapters.clear()
    sqlite3.adapters.update(adapters)


@pytest.mark.usefixtures("converters")
def test_an_applications_converters_are_not_the_ledgers(ledger: rml.Ledger, path: Path) -> None:
    """Nor its adapters. What is read of the ledger is what is there; its rows are converted."""
    options = sqlite3.PARSE_DECLTYPES | sqlite3.PARSE_COLNAMES
    with closing(sqlite3.connect(path, detect_types=options)) as db:
        for number in range(300):  # more than one tile of the tree
            place(db, f"o-{number}")
            ledger.on(db).append("order.noted", world="RML2", facts={"number": number})
        db.commit()
        charged = ledger.on(db).write(lambda draft: draft.entries(kind="order.noted"))

        assert 300 == len(charged)
        assert [] == ledger.on(db).write(lambda draft: draft.leases())
        row = db.execute("SELECT id, amount FROM orders").fetchone()
        assert (("converted", b"o-0"), ("converted", b"5")) == row
        db.commit()

"""SQLAlchemy's sessions and connections: their rows and the effect in one transaction."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from protected import kinds
from shop import PAIR
from sqlalchemy import Connection, Engine, create_engine, event, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    scoped_session,
    sessionmaker,
)

import rml


class Base(DeclarativeBase):
    """The application's tables."""


class Order(Base):
    """One row."""

    __tablename__ = "orders"
    id: Mapped[str] = mapped_column(primary_key=True)


def immediate(engine: Engine) -> Engine:
    """Have SQLAlchemy begin transactions itself, as its documentation and our how-to guide say."""

    @event.listens_for(engine, "connect")
    def leave_it(connection: Any, _: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


@pytest.fixture(params=["as it comes", "immediate"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """Return an engine to the application's database, set up in either way."""
    engine = create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    if request.param == "immediate":
        immediate(engine)
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def ledger(engine: Engine, tmp_path: Path) -> Iterator[rml.Ledger]:
    """Use a ledger in the application's database; it is whole at the end."""
    with rml.Ledger(tmp_path / "shop.db", adopt=True, timeout=60) as ledger:
        with rml.use(ledger=ledger):
            yield ledger
        assert ledger.verify().problems == ()


@rml.idempotent("order.place", key="order_id", connection="session", exclude=["then"])
def place(session: Any, order_id: str, then: Any = None) -> str:
    """Add an order to the session, without a flush."""
    session.add(Order(id=order_id))
    if then is not None:
        then()
    return f"{order_id} placed"


def ids(engine: Engine) -> list[str]:
    """Return what is committed."""
    with Session(engine) as session:
        return list(session.scalars(select(Order.id).order_by(Order.id)))


def test_a_session_commits_rows_and_effect_together(ledger: rml.Ledger, engine: Engine) -> None:
    """And its rollback takes both back; a replay needs no session."""
    with Session(engine) as session:
        place(session, "o-1")
        session.rollback()
    assert ([], []) == (ids(engine), kinds(ledger))

    with Session(engine) as session, session.begin():
        assert ["o-1 placed"] * 2 == [place(session, "o-1") for _ in range(2)]
        assert [] == kinds(ledger)

    assert (["o-1"], PAIR) == (ids(engine), kinds(ledger))
    assert place(None, "o-1") == "o-1 placed"


def test_a_scoped_session_will_do(ledger: rml.Ledger, engine: Engine) -> None:
    """It stands for the session of its thread."""
    session = scoped_session(sessionmaker(engine))
    place(session, "o-1")
    session.commit()
    session.remove()

    assert (["o-1"], PAIR) == (ids(engine), kinds(ledger))


def test_a_connection_will_do(ledger: rml.Ledger, engine: Engine) -> None:
    """With a handler, and with an entry of one's own, which SQLAlchemy's commit must commit."""

    @rml.idempotent("order.insert", key="order_id", connection="connection")
    def insert(connection: Connection, order_id: str) -> None:
        connection.execute(text("INSERT INTO orders VALUES (:id)"), {"id": order_id})

    with engine.connect() as connection:
        ledger.on(connection).append("order.noted", world="RML2")
        connection.commit()
        insert(connection, "o-1")
        connection.commit()
        insert(connection, "o-2")

    assert (["o-1"], ["order.noted", *PAIR]) == (ids(engine), kinds(ledger))


def test_an_own_savepoint_takes_both_back(ledger: rml.Ledger, engine: Engine) -> None:
    """What the session has from before it is committed."""
    with Session(engine) as session, session.begin():
        place(session, "o-1")
        with session.begin_nested() as mine:
            place(session, "o-2")
            mine.rollback()

    assert (["o-1"], PAIR) == (ids(engine), kinds(ledger))


def test_a_handler_that_raises_takes_its_objects_back(ledger: rml.Ledger, engine: Engine) -> None:
    """The session knows of it, goes on, and the key is free."""

    def fail() -> None:
        raise ValueError("sold out")

    with Session(engine) as session, session.begin():
        session.add(Order(id="before"))
        with pytest.raises(ValueError, match="sold out"):
            place(session, "o-1", then=fail)
        assert ["before"] == list(session.scalars(select(Order.id)))
        place(session, "o-1")

    assert (["before", "o-1"], PAIR) == (ids(engine), kinds(ledger))


def test_a_flush_that_fails_after_the_handler_leaves_nothing(
    ledger: rml.Ledger, engine: Engine
) -> None:
    """The outcome is part of the savepoint that the flush breaks."""
    with Session(engine) as session:
        session.execute(text("INSERT INTO orders VALUES ('o-1')"))
        with pytest.raises(IntegrityError):
            place(session, "o-1")
        session.commit()

    assert (["o-1"], []) == (ids(engine), kinds(ledger))


def test_a_handler_that_ends_the_transaction_is_told(ledger: rml.Ledger, engine: Engine) -> None:
    """By a rollback or a flush that fails nothing is left; by a commit, doubt."""
    with Session(engine) as session:

        def clash() -> None:
            with session.no_autoflush:
                session.execute(text("INSERT INTO orders VALUES ('o-1')"))
            with pytest.raises(IntegrityError):
                session.flush()

        for end in (session.rollback, clash):
            with pytest.raises(rml.InDoubtError, match="ended or rolled back"):
                place(session, "o-1", then=end)
            session.rollback()
        assert ([], []) == (ids(engine), kinds(ledger))

        with pytest.raises(rml.InDoubtError, match="ended or rolled back"):
            place(session, "o-1", then=session.commit)

    assert (["o-1"], ["effect.intent"]) == (ids(engine), kinds(ledger))
    with pytest.raises(rml.InFlightError):
        place(None, "o-1")


def test_what_is_neither_session_nor_connection_is_refused(
    ledger: rml.Ledger, engine: Engine
) -> None:
    """An engine has no transaction."""
    with pytest.raises(rml.EnlistmentError, match="give a Session or a Connection"):
        ledger.on(engine)


def test_a_session_to_another_database_is_refused(ledger: rml.Ledger) -> None:
    """As any connection."""
    engine = create_engine("sqlite://")
    with Session(engine) as session, pytest.raises(rml.EnlistmentError, match="not to the file"):
        ledger.on(session)
    engine.dispose()

"""Asynchronous programs on a ledger in PostgreSQL: handlers, and transactions of their own."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest
from protected import kinds
from shop import PAIR
from sqlalchemy import text
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session

import rml
from rml.ledger.errors import EnlistmentError
from rml.stores.postgres_place import place_of

Work = Callable[[Callable[[], AsyncSession]], Awaitable[None]]


def run(url: str, work: Work) -> None:
    """Run something that opens asynchronous sessions, beside a table `orders`."""
    place = place_of(url)
    with psycopg.connect(place.conninfo) as connection:
        connection.execute(f"CREATE TABLE {place.schema}.orders (id text PRIMARY KEY)")

    async def main() -> None:
        engine = create_async_engine(
            place.conninfo.replace("postgresql:", "postgresql+psycopg:"),
            connect_args={"options": f"-c search_path={place.schema}"},
        )
        try:
            await work(lambda: AsyncSession(engine))
        finally:
            await engine.dispose()

    asyncio.run(main())


@rml.idempotent(
    "order.place_in_session", key="order_id", connection="session", exclude=["fails"], world="RML2"
)
def place(session: Session, order_id: str, *, fails: bool = False) -> str:
    """Insert an order."""
    session.execute(text("INSERT INTO orders VALUES (:id)"), {"id": order_id})
    if fails:
        raise ValueError("no")
    return f"{order_id} placed"


def test_an_asynchronous_session_commits_rows_and_effect(ledger: rml.Ledger, url: str) -> None:
    """What failed is taken back alone, what is rolled back as a whole; and a replay is a replay."""

    async def work(session: Callable[[], AsyncSession]) -> None:
        async with session() as db, db.begin():
            assert "o-1 placed" == await db.run_sync(place, "o-1")
            with pytest.raises(ValueError, match="no"):
                await db.run_sync(place, "o-2", fails=True)
        async with session() as db:
            await db.run_sync(place, "o-3")
            await db.run_sync(lambda sync: ledger.on(sync).append("order.noted", world="RML2"))
            await db.rollback()
        async with session() as db:
            assert "o-1 placed" == await db.run_sync(place, "o-1")
            assert ["o-1"] == list(await db.scalars(text("SELECT id FROM orders")))

    run(url, work)
    assert PAIR == kinds(ledger)


@rml.idempotent(
    "order.add_later", key="order_id", connection="session", exclude=["fails"], world="RML2"
)
async def add(
    session: AsyncSession | AsyncConnection, order_id: str, *, fails: bool = False
) -> str:
    """Insert an order, and await it."""
    await session.execute(text("INSERT INTO orders VALUES (:id)"), {"id": order_id})
    if fails:
        raise ValueError("no")
    return f"{order_id} added"


def test_a_handler_that_is_async_awaits_its_session(ledger: rml.Ledger, url: str) -> None:
    """A session, one that stands for its task's, or a connection; also an entry of one's own."""

    async def work(session: Callable[[], AsyncSession]) -> None:
        async with session() as db, db.begin():
            assert ["o-1 added"] * 2 == [await add(db, "o-1") for _ in range(2)]
            with pytest.raises(ValueError, match="no"):
                await add(db, "o-2", fails=True)
            await ledger.on(db).append("order.noted", world="RML2")
        async with session() as db:
            await add(db, "o-3")
            await db.rollback()

        async with session() as db:
            engine = db.bind
            assert engine is not None
        scoped = async_scoped_session(async_sessionmaker(engine), asyncio.current_task)
        await add(scoped, "o-4")
        await scoped.commit()
        await scoped.remove()
        async with engine.connect() as connection:
            await add(connection, "o-5")
            await connection.commit()
            assert ["o-1", "o-4", "o-5"] == list(
                await connection.scalars(text("SELECT id FROM orders ORDER BY id"))
            )
        with pytest.raises(EnlistmentError, match=r"await connection.start\(\)"):
            ledger.on(engine.connect())

    run(url, work)
    assert [*PAIR, "order.noted", *PAIR, *PAIR] == kinds(ledger)


def test_a_second_call_waits_without_keeping_the_loop(ledger: rml.Ledger, url: str) -> None:
    """Both are in one thread: the first one commits while the second one waits for its key."""

    async def work(session: Callable[[], AsyncSession]) -> None:
        async with session() as first, session() as second:
            await first.run_sync(place, "o-1")
            waits = asyncio.create_task(second.run_sync(place, "o-1"))
            await asyncio.to_thread(until_somebody_waits, url)
            assert not waits.done()
            await first.commit()
            assert "o-1 placed" == await waits

    run(url, work)
    assert PAIR == kinds(ledger)


def until_somebody_waits(url: str) -> None:
    """Return once somebody waits for an advisory lock."""
    asked = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with psycopg.connect(place_of(url).conninfo, autocommit=True) as connection:
        while connection.execute(asked).fetchall() == [(0,)]:
            pass


def test_an_asynchronous_transaction_that_cannot_be_joined_is_left_as_it_was(
    ledger: rml.Ledger, url: str
) -> None:
    """A read-only one, and the level that sees no other's decision."""

    async def work(session: Callable[[], AsyncSession]) -> None:
        async with session() as db:
            await db.execute(text("SET TRANSACTION READ ONLY"))
            with pytest.raises(EnlistmentError, match="read-only"):
                await db.run_sync(place, "o-1")
        async with session() as db:
            await db.connection(execution_options={"isolation_level": "SERIALIZABLE"})
            with pytest.raises(EnlistmentError, match="serializable"):
                await db.run_sync(place, "o-1")

    run(url, work)
    assert [] == kinds(ledger)


def test_an_asynchronous_handler_runs_once(ledger: rml.Ledger) -> None:
    """Its ledger is asked in threads, so that nothing keeps the loop."""
    ran: list[str] = []

    @rml.idempotent("payment.charge", key="key", world="RML3", wait=60)
    async def charge(key: str) -> str:
        ran.append(key)
        await asyncio.sleep(0)
        return key

    async def main() -> list[Any]:
        return await asyncio.gather(*(charge(f"pay-{number % 4}") for number in range(20)))

    assert [f"pay-{number % 4}" for number in range(20)] == asyncio.run(main())
    assert ["pay-0", "pay-1", "pay-2", "pay-3"] == sorted(ran)

"""Effects that are rows of an ``async`` application's own, in its transaction on psycopg."""

import asyncio
import sqlite3
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from async_orders import Connect, Db, Orders, fail, rows, run
from protected import kinds
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from shop import PAIR, ledger_beside_orders

import rml
from rml.ledger.errors import EnlistmentError
from rml.stores.postgres_place import place_of


@pytest.fixture
def ledger(url: str) -> Iterator[rml.Ledger]:
    """A ledger, configured, beside an application's table; it is whole at the end."""
    with ledger_beside_orders(url) as ledger:
        yield ledger


def test_a_commit_makes_rows_and_effect_durable_together(ledger: rml.Ledger, url: str) -> None:
    """Until then nobody sees either; a rollback frees the key; a repetition is a replay."""
    orders = Orders()

    async def work(connect: Connect) -> None:
        db, other = await connect(), await connect(autocommit=True)
        await orders.place(db, "o-1")
        await db.rollback()
        assert [] == kinds(ledger)

        assert ["o-1 placed"] * 2 == [await orders.place(db, "o-1") for _ in range(2)]
        assert ([], []) == (await rows(other), kinds(ledger))
        await db.commit()
        assert (["o-1"], PAIR) == (await rows(other), kinds(ledger))

        await db.close()
        assert "o-1 placed" == await orders.place(db, "o-1")

    run(url, work)
    assert 2 == orders.count


def test_a_handler_that_raises_takes_back_its_own_part(ledger: rml.Ledger, url: str) -> None:
    """Also when the server has refused a statement; what was done before it stays."""
    orders = Orders()

    async def work(connect: Connect) -> None:
        db = await connect(autocommit=True, row_factory=dict_row)
        async with db.transaction():
            await orders.place(db, "o-1")
            with pytest.raises(ValueError, match="no"):
                await orders.place(db, "o-2", then=fail)
            with pytest.raises(psycopg.errors.UndefinedTable):
                await orders.place(db, "o-3", then=lambda: db.execute("SELECT * FROM nothing"))
        assert ["o-1"] == await rows(db)

    run(url, work)
    assert PAIR == kinds(ledger)


@pytest.mark.parametrize("word", ["commit", "rollback"])
def test_a_handler_that_ends_the_transaction_is_in_doubt(
    ledger: rml.Ledger, url: str, word: str
) -> None:
    """The caller is told, and no value is recorded."""
    orders = Orders()

    async def work(connect: Connect) -> None:
        db = await connect()
        with pytest.raises(rml.InDoubtError):
            await orders.place(db, "o-1", then=getattr(db, word))
        await db.rollback()

    run(url, work)
    assert PAIR[: word == "commit"] == kinds(ledger)


def test_an_entry_of_ones_own(ledger: rml.Ledger, url: str) -> None:
    """The first call joins the transaction; the next one is to be joined anew."""

    async def work(connect: Connect) -> None:
        db = await connect()
        joined = ledger.on(db)
        await joined.append("order.noted", world="RML2", facts={"order": "o-1"})
        seen = await joined.write(lambda draft: draft.entries(kind="order.noted"))
        assert [{"order": "o-1"}] == [entry.facts for entry in seen]
        assert [] == kinds(ledger)
        await db.commit()

        with pytest.raises(EnlistmentError, match="has ended"):
            await joined.append("order.noted", world="RML2")
        await ledger.on(db).append("order.noted", world="RML2")
        await db.rollback()

    run(url, work)
    assert ["order.noted"] == kinds(ledger)


def test_handlers_may_call_each_other(ledger: rml.Ledger, url: str) -> None:
    """In tasks of their own as well, one after the other; two at once are refused."""
    orders = Orders()

    @rml.idempotent("basket.order", key="basket", connection="db", world="RML2")
    async def order(db: Db, basket: str) -> str:
        with pytest.raises(ValueError, match="no"):
            await orders.place(db, f"{basket}-1", then=fail)
        await asyncio.create_task(orders.place(db, f"{basket}-2"))
        await ledger.on(db).append("order.noted", world="RML2")
        at_once = (orders.place(db, f"{basket}-{number}") for number in (3, 4))
        ended = await asyncio.gather(*at_once, return_exceptions=True)
        assert [str, EnlistmentError] == [type(end) for end in ended]
        return basket

    async def work(connect: Connect) -> None:
        db = await connect()
        assert "b" == await order(db, "b")
        await db.commit()
        assert ["b-2", "b-3"] == await rows(db)

    run(url, work)
    assert ["effect.intent", *PAIR, "order.noted", *PAIR, "effect.done"] == kinds(ledger)


def test_what_another_task_does_on_the_connection_meanwhile_is_refused(
    ledger: rml.Ledger, url: str
) -> None:
    """Its savepoints would end those of the first; afterwards it is welcome."""
    orders, inside, go = Orders(), asyncio.Event(), asyncio.Event()

    async def stop() -> None:
        inside.set()
        await go.wait()

    async def work(connect: Connect) -> None:
        db = await connect()
        first = asyncio.create_task(orders.place(db, "o-1", then=stop))
        await inside.wait()
        with pytest.raises(EnlistmentError, match="another task"):
            await orders.place(db, "o-2")
        with pytest.raises(EnlistmentError, match="another task"):
            await ledger.on(db).append("order.noted", world="RML2")
        go.set()
        await first
        await orders.place(db, "o-2")
        await db.commit()
        assert ["o-1", "o-2"] == await rows(db)

    run(url, work)


def test_many_tasks_share_a_few_connections(url: str, ledger: rml.Ledger) -> None:
    """Four of a pool's, and one of the ledger's: what holds one never waits for what it holds."""
    orders, ran, tasks, keys = Orders(), [0], 60, 6
    place = place_of(url)

    async def work(_: Connect) -> None:
        async with AsyncConnectionPool(
            place.conninfo,
            kwargs={"options": f"-c search_path={place.schema}"},
            min_size=1,
            max_size=4,
            timeout=120,
            open=False,
        ) as pool:

            @rml.idempotent("order.ship", key="order_id", world="RML3", wait=60)
            async def ship(order_id: str) -> str:
                ran[0] += 1
                async with pool.connection() as db:
                    await db.execute("SELECT 1")
                return order_id

            @rml.idempotent("order.tell", key="order_id", world="RML3", wait=60)
            async def tell(order_id: str) -> str:
                return order_id

            async def one(number: int) -> None:
                async with pool.connection() as db:
                    await orders.place(db, f"o-{number % keys:02}")
                    await tell(f"o-{number}")  # while this transaction is under way
                await ship(f"o-{number}")

            async with asyncio.TaskGroup() as group:
                for number in range(tasks):
                    group.create_task(one(number))
            async with pool.connection() as db:
                assert [f"o-{number:02}" for number in range(keys)] == await rows(db)

    with rml.Ledger(f"{url}&connections=1", timeout=120) as narrow, rml.use(ledger=narrow):
        run(url, work)
    assert (keys, tasks) == (orders.count, ran[0])
    assert 2 * tasks + keys == len(list(ledger.effects()))


def test_a_connection_in_no_state_to_be_joined_is_refused(ledger: rml.Ledger, url: str) -> None:
    """Before the handler runs, and as it was."""
    orders = Orders()

    async def refuses(db: Db, reason: str) -> None:
        before = db.info.transaction_status
        with pytest.raises(EnlistmentError, match=reason):
            await orders.place(db, "o-1")
        assert before == db.info.transaction_status

    async def work(connect: Connect) -> None:
        db = await connect()
        with pytest.raises(psycopg.errors.UndefinedTable):
            await db.execute("SELECT * FROM nothing")
        await refuses(db, "has failed")
        await db.rollback()
        async with db.pipeline():
            await refuses(db, "in the middle of")
        async with db.cursor().copy("COPY orders TO STDOUT") as copy:
            await refuses(db, "in the middle of")
            await copy.read()
        rows = db.cursor().stream("SELECT generate_series(1, 9)")
        await anext(rows)
        await refuses(db, "in the middle of")
        await rows.aclose()
        await db.rollback()
        async with db.lock:  # another task's statement is on its way
            await refuses(db, "in the middle of")
        await refuses(await connect(autocommit=True), r"async with connection.transaction\(\)")
        await refuses(await connect(settings="-c synchronous_commit=off"), "may be lost")
        await refuses(await connect(settings="-c default_transaction_read_only=on"), "read-only")
        await refuses(await connect(client_encoding="latin1"), "UTF8")
        await db.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        await refuses(db, "READ COMMITTED")
        await db.close()
        with pytest.raises(EnlistmentError, match="closed"):
            await orders.place(db, "o-1")

    run(url, work)
    assert (0, []) == (orders.count, kinds(ledger))


def test_a_cursor_of_the_servers_that_is_open_stays_so(ledger: rml.Ledger, url: str) -> None:
    """It is part of the transaction, and in the way of nothing."""
    orders = Orders()

    async def work(connect: Connect) -> None:
        db = await connect()
        async with db.cursor(name="mine") as cursor:
            await cursor.execute("SELECT generate_series(1, 3)")
            await orders.place(db, "o-1")
            with pytest.raises(ValueError, match="no"):
                await orders.place(db, "o-2", then=fail)
            assert [(1,), (2,), (3,)] == await cursor.fetchall()
        await db.commit()
        assert ["o-1"] == await rows(db)

    run(url, work)


def test_a_handler_and_its_connection_are_of_one_kind(ledger: rml.Ledger, url: str) -> None:
    """What is `async def` keeps no loop, and what is a plain `def` cannot await."""

    @rml.idempotent("order.insert", key="order_id", connection="db", world="RML2")
    def insert(db: Any, order_id: str) -> None:
        raise AssertionError

    async def work(connect: Connect) -> None:
        with pytest.raises(EnlistmentError, match="make it async def"):
            insert(await connect(), "o-1")
        for db in (psycopg.connect(place_of(url).conninfo), sqlite3.connect(":memory:"), None):
            with pytest.raises(EnlistmentError, match="make it a plain def"):
                await Orders().place(db, "o-1")
            if db is not None:
                db.close()

    run(url, work)

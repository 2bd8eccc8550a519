"""Effects that are rows of an ``async`` application's own, in its transaction on psycopg."""

import asyncio
import sqlite3
import types
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from itertools import count
from typing import Any

import psycopg
import pytest
from cutting_proxy import CuttingProxy
from protected import kinds
from protected_async import cancelled
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from shop import PAIR, ledger_beside_orders

import rml
from rml.ledger.errors import EnlistmentError, LedgerBusyError, LedgerUnavailableError
from rml.stores.postgres_place import place_of

Db = psycopg.AsyncConnection[Any]
Connect = Callable[..., Awaitable[Db]]


@pytest.fixture
def ledger(url: str) -> Iterator[rml.Ledger]:
    """A ledger, configured, beside an application's table; it is whole at the end."""
    with ledger_beside_orders(url) as ledger:
        yield ledger


def run(url: str, work: Callable[[Connect], Awaitable[None]]) -> None:
    """Run something that opens connections of the application's."""
    place = place_of(url)

    async def main() -> None:
        async with AsyncExitStack() as opened:

            async def connect(**options: Any) -> Db:
                path = f"-c search_path={place.schema} {options.pop('settings', '')}"
                db = await Db.connect(place.conninfo, options=path, **options)
                opened.push_async_callback(db.close)
                return db

            await work(connect)

    asyncio.run(main())


class Orders:
    """A handler that inserts an order, and how often it ran."""

    def __init__(self) -> None:
        self.count = 0

        @rml.idempotent(
            "order.place", key="order_id", connection="db", world="RML2", exclude=["then"]
        )
        async def place(
            db: Any, order_id: str, amount: int = 5, then: Callable[[], Any] | None = None
        ) -> str:
            self.count += 1
            await db.execute("INSERT INTO orders VALUES (%s, %s)", [order_id, amount])
            if then is not None:
                await then()
            return f"{order_id} placed"

        self.place = place


async def rows(db: Db) -> list[str]:
    """The ids of all orders."""
    cursor = await db.cursor(row_factory=lambda _: lambda values: values[0]).execute(
        "SELECT id FROM orders ORDER BY id"
    )
    return await cursor.fetchall()


async def fail() -> None:
    """Fail, as a handler may."""
    raise ValueError("no")


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


async def until_waited_for(watcher: Db, db: Db) -> None:
    """Return when somebody waits for what a transaction holds."""
    query = "SELECT FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
    async with asyncio.timeout(10):
        found: list[Any] = []
        while not found:
            found = await (await watcher.execute(query, [db.info.backend_pid])).fetchall()


@pytest.mark.parametrize("ends", ["commit", "rollback", "cancel"])
def test_a_second_call_waits_without_keeping_the_loop(
    ledger: rml.Ledger, url: str, ends: str
) -> None:
    """Both are in one thread. A caller that is cancelled meanwhile leaves its connection usable."""
    orders = Orders()

    async def work(connect: Connect) -> None:
        first, second, watcher = await connect(), await connect(), await connect(autocommit=True)
        await orders.place(first, "o-1")
        await orders.place(second, "o-2")
        waits = asyncio.create_task(orders.place(second, "o-1"))
        await until_waited_for(watcher, first)
        if ends == "cancel":
            waits.cancel()
            await cancelled(waits)
            await first.rollback()
        else:
            await getattr(first, ends)()
            assert "o-1 placed" == await waits
        await second.commit()
        assert ["o-1", "o-2"][ends == "cancel" :] == await rows(watcher)

    run(url, work)
    assert (3 if ends == "rollback" else 2) == orders.count


def test_a_key_that_is_held_is_busy_at_the_deadline(ledger: rml.Ledger, url: str) -> None:
    """And the transaction goes on."""
    orders = Orders()

    async def work(connect: Connect) -> None:
        first, second = await connect(), await connect()
        await orders.place(first, "o-1")
        with rml.Ledger(url, timeout=0.1) as short, rml.use(ledger=short):
            await orders.place(second, "o-2")
            with pytest.raises(LedgerBusyError):
                await orders.place(second, "o-1")
            await second.commit()
        await first.commit()
        assert ["o-1", "o-2"] == await rows(second)

    run(url, work)


@pytest.mark.parametrize(("where", "times"), [("statement", 1), ("beside", 1), ("beside", 2)])
def test_a_cancelled_handler_leaves_nothing(
    ledger: rml.Ledger, url: str, where: str, times: int
) -> None:
    """In a statement or not; what was before stays, and the key is free when the caller is told."""
    orders = Orders()

    async def work(connect: Connect) -> None:
        db, other, watcher = await connect(), await connect(), await connect(autocommit=True)
        inside = asyncio.Event()

        async def wait() -> None:
            inside.set()
            await asyncio.Event().wait()

        await orders.place(db, "before")
        if where == "statement":
            await other.execute("INSERT INTO orders VALUES ('o-1')")
        call = asyncio.create_task(orders.place(db, "o-1", then=wait))
        if where == "statement":
            await until_waited_for(watcher, other)
        else:
            await inside.wait()
        for _ in range(times):
            call.cancel()
            await asyncio.sleep(0)
        await cancelled(call)
        await other.rollback()

        assert "o-1 placed" == await orders.place(db, "o-1")
        await db.commit()
        assert ["before", "o-1"] == await rows(watcher)

    run(url, work)
    assert PAIR * 2 == kinds(ledger)


@pytest.mark.parametrize("nested", [False, True], ids=["alone", "inside another"])
def test_a_call_that_is_cancelled_when_it_is_whole_is_part_of_the_transaction(
    ledger: rml.Ledger, url: str, nested: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing can take it back alone any more, and what was before it is not lost with it."""
    orders, executed = Orders(), psycopg.AsyncCursor.execute

    async def release(self: Any, text: Any, *args: Any, **options: Any) -> Any:
        done = await executed(self, text, *args, **options)
        if text.startswith("RELEASE rml_part"):
            monkeypatch.setattr(psycopg.AsyncCursor, "execute", executed)
            raise asyncio.CancelledError
        return done

    @rml.idempotent("basket.order", key="basket", connection="db", world="RML2")
    async def order(db: Db, basket: str) -> str:
        await cancelled(asyncio.ensure_future(orders.place(db, basket)))
        return basket

    async def work(connect: Connect) -> None:
        db = await connect()
        await orders.place(db, "before")
        monkeypatch.setattr(psycopg.AsyncCursor, "execute", release)
        if nested:
            await order(db, "o-1")
        else:
            await cancelled(asyncio.ensure_future(orders.place(db, "o-1")))
        assert "o-1 placed" == await orders.place(db, "o-1")
        await db.commit()
        assert ["before", "o-1"] == await rows(db)

    run(url, work)
    assert 2 == orders.count
    assert ["done"] * (2 + nested) == [effect.state for effect in ledger.effects()]


def test_a_statement_that_outlives_its_handler_keeps_nothing_from_being_taken_back(
    ledger: rml.Ledger, url: str
) -> None:
    """One that was begun beside what failed is waited for."""
    orders = Orders()

    async def work(connect: Connect) -> None:
        db, other, watcher = await connect(), await connect(), await connect(autocommit=True)
        await orders.place(db, "before")
        await other.execute("INSERT INTO orders VALUES ('held')")

        async def fail_beside() -> None:
            beside = asyncio.create_task(db.execute("INSERT INTO orders VALUES ('held')"))
            await until_waited_for(watcher, other)
            await asyncio.gather(beside, other.rollback(), fail())

        with pytest.raises(ValueError, match="no"):
            await orders.place(db, "o-1", then=fail_beside)
        await db.commit()
        assert ["before"] == await rows(db)

    run(url, work)
    assert PAIR == kinds(ledger)


def test_a_connection_on_which_nothing_can_be_taken_back_is_closed(
    ledger: rml.Ledger, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would commit a part of what is to be there together or not at all."""
    monkeypatch.setattr("rml.stores.postgres_connection._UNDO_SECONDS", 0.1)
    orders = Orders()

    async def work(connect: Connect) -> None:
        db = await connect()
        stream = db.cursor().stream("SELECT generate_series(1, 9)")

        async def leave_open() -> None:
            await anext(stream)
            await fail()

        with pytest.raises(ValueError, match="no"):
            await orders.place(db, "o-1", then=leave_open)
        assert db.closed
        await stream.aclose()

    run(url, work)
    assert [] == kinds(ledger)


@pytest.mark.parametrize("ends", [None, ValueError("no")], ids=["returns", "raises"])
def test_a_handler_does_not_end_before_a_task_that_it_began(
    ledger: rml.Ledger, url: str, ends: Exception | None
) -> None:
    """The task would record in a part that is over; neither is kept, and others are welcome."""
    orders, inside, go = Orders(), asyncio.Event(), asyncio.Event()
    begun: list[asyncio.Task[str]] = []

    async def stop() -> None:
        inside.set()
        await go.wait()

    @rml.idempotent("basket.order", key="basket", connection="db", world="RML2")
    async def order(db: Db, basket: str) -> str:
        begun.append(asyncio.create_task(orders.place(db, basket, then=stop)))
        await inside.wait()
        if ends is not None:
            raise ends
        return basket

    async def work(connect: Connect) -> None:
        db = await connect()
        with pytest.raises(EnlistmentError if ends is None else ValueError):
            await order(db, "o-1")
        go.set()
        with pytest.raises(rml.InDoubtError):
            await begun[0]
        await db.commit()
        assert [] == await rows(db)
        assert "o-2 placed" == await orders.place(db, "o-2")
        await db.commit()

    run(url, work)
    assert PAIR == kinds(ledger)


@pytest.mark.parametrize("lost", ["request", "answer"])
def test_a_cut_at_every_point_leaves_all_or_nothing(
    ledger: rml.Ledger, url: str, lost: str
) -> None:
    """Whoever calls again, also after a commit without an answer, runs it if it is not there."""
    orders = Orders()
    outcomes: list[bool] = []

    async def attempt(proxy: CuttingProxy, key: str, message: int) -> bool:
        options = f"-c search_path={place_of(url).schema}"
        db = await Db.connect(place_of(proxy.url).conninfo, options=options)
        proxy.cut_at(message)
        try:
            await orders.place(db, key)
            await db.commit()
        except (psycopg.OperationalError, LedgerUnavailableError):
            return False
        finally:
            await db.close()
        return True

    async def work(connect: Connect) -> None:
        again = await connect()
        with CuttingProxy(url, lost) as proxy:
            for message in count():
                key = f"o-{message:02}"
                whole = await attempt(proxy, key, message)
                before = orders.count
                assert f"{key} placed" == await orders.place(again, key)
                await again.commit()
                outcomes.append(orders.count == before)
                if whole:
                    break
        assert [f"o-{number:02}" for number in range(len(outcomes))] == await rows(again)

    run(url, work)
    assert PAIR * len(outcomes) == kinds(ledger)
    assert [lost == "answer", True] == outcomes[-2:]
    assert not any(outcomes[:-2])


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


def test_the_end_of_a_coroutine_that_is_thrown_away_records_nothing(
    ledger: rml.Ledger, url: str
) -> None:
    """Nobody awaits what would take its part back, and nobody will commit it."""
    orders = Orders()

    @types.coroutine
    def stop() -> Iterator[None]:
        yield

    async def work(connect: Connect) -> None:
        db = await connect()
        call = orders.place(db, "o-1", then=stop)
        waiting = asyncio.create_task(asyncio.sleep(0))
        step = call.send(None)
        while step is not None:  # until it is in the handler
            await asyncio.wait([step])
            step = call.send(None)
        call.close()
        await waiting
        await db.rollback()
        assert "o-1 placed" == await orders.place(db, "o-1")
        await db.rollback()

    run(url, work)
    assert [] == kinds(ledger)

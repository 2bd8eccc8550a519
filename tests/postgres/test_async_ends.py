"""How an enlisted ``async`` call ends when it waits, is cancelled, is cut off or thrown away."""

import asyncio
import types
from collections.abc import Iterator
from itertools import count
from typing import Any

import psycopg
import pytest
from async_orders import Connect, Db, Orders, fail, rows, run, until_waited_for
from cutting_proxy import CuttingProxy
from protected import kinds
from protected_async import cancelled
from shop import PAIR, ledger_beside_orders

import rml
from rml.ledger.errors import EnlistmentError, LedgerBusyError, LedgerUnavailableError
from rml.stores.postgres_place import place_of


@pytest.fixture
def ledger(url: str) -> Iterator[rml.Ledger]:
    """A ledger, configured, beside an application's table; it is whole at the end."""
    with ledger_beside_orders(url) as ledger:
        yield ledger


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


@pytest.mark.usefixtures("time_to_connect")
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

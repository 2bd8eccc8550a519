"""An ``async`` application on psycopg: its connections, its orders, a handler that inserts them."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import psycopg

import rml
from rml.stores.postgres_place import place_of

Db = psycopg.AsyncConnection[Any]
Connect = Callable[..., Awaitable[Db]]


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


async def until_waited_for(watcher: Db, db: Db) -> None:
    """Return when somebody waits for what a transaction holds."""
    query = "SELECT FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
    async with asyncio.timeout(100):
        found: list[Any] = []
        while not found:
            found = await (await watcher.execute(query, [db.info.backend_pid])).fetchall()


async def fail() -> None:
    """Fail, as a handler may."""
    raise ValueError("no")

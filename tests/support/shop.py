"""What the tests of an application's own transaction share: its orders, a ledger beside them."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import rml

# What a call whose effect is done leaves.
PAIR = ["effect.intent", "effect.done"]


def orders_file(folder: Path) -> Path:
    """An application's database in SQLite, with one table and nothing in it."""
    path = folder / "shop.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE orders (id TEXT PRIMARY KEY, amount INTEGER)")
    return path


@contextmanager
def ledger_in(path: Path) -> Iterator[rml.Ledger]:
    """A ledger in the application's file, configured; it is whole at the end."""
    with rml.Ledger(path, adopt=True, timeout=60) as ledger, rml.use(ledger=ledger):
        yield ledger
        assert () == ledger.verify().problems


@contextmanager
def ledger_beside_orders(url: str) -> Iterator[rml.Ledger]:
    """A ledger in PostgreSQL, configured, beside an application's table; it is whole at the end."""
    import psycopg

    from rml.stores.postgres_place import place_of

    place = place_of(url)
    with psycopg.connect(place.conninfo) as connection:
        connection.execute(
            f"CREATE TABLE {place.schema}.orders (id text PRIMARY KEY, amount integer)"
        )
    with rml.Ledger(url, timeout=60) as ledger, rml.use(ledger=ledger):
        yield ledger
        assert () == ledger.verify().problems

"""Ledgers to tamper with, and how somebody with every right to their file would do it.

The tests change a file with plain SQLite, after taking away the triggers that stand in the way, and
put them back as they were.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rml import Draft, FrozenClock, Ledger, Verification
from rml.clock import SeededIds
from rml.ledger.entry import leaf_hash
from rml.ledger.tree import Frontier

PERSONAL = {"email": "ada@example.com", "name": "Ada"}


def fill(ledger: Ledger, count: int, **given: Any) -> None:
    """Append so many entries in one commit, each a second after the one before."""

    def work(draft: Draft) -> None:
        for number in range(count):
            draft.append("payment.noted", world="RML3", facts={"number": number}, **given)

    if count:
        ledger.write(work)


def written(folder: Path, size: int) -> Path:
    """A file with a ledger of so many entries, every header field of which says something."""
    path = folder / "ledger.db"
    clock = FrozenClock("2026-11-20T12:00:00Z")
    with Ledger(path, clock=clock, ids=SeededIds(), service="payments") as ledger:
        for number in range(size):
            clock.advance(1)
            ledger.write(partial(full, number=number))
    return path


def full(draft: Draft, number: int) -> None:
    """One entry with all that an entry can have."""
    first = draft.entries(limit=1)
    draft.append(
        "payment.noted",
        world="RML2",
        facts={"number": number},
        personal=PERSONAL,
        actor="ada",
        operation="payment.charge",
        scope="eu",
        key=f"pay-{number}",
        effect=f"ef_{number}",
        attempt=1,
        corrects=first[0].id if first else None,
        incident="INC-2026-0001",
        correlation="req-9",
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    )


@cache
def seven_entries() -> bytes:
    """The file of a ledger of seven entries."""
    with TemporaryDirectory() as folder:
        return written(Path(folder), 7).read_bytes()


@cache
def many_entries() -> bytes:
    """The file of a ledger of 600 entries: two full tiles and some more."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        with Ledger(path) as ledger:
            fill(ledger, 600)
        return path.read_bytes()


def laid_down(data: bytes, folder: Path) -> Path:
    """A ledger's file, to do bad things to."""
    path = folder / "ledger.db"
    path.write_bytes(data)
    return path


@contextmanager
def unguarded(path: Path) -> Iterator[sqlite3.Connection]:
    """Change a ledger's file as if it had no triggers."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
        triggers = connection.execute(query).fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        yield connection
        for _, sql in triggers:
            connection.execute(sql)


def tamper(path: Path, *statements: str | tuple[str, tuple[Any, ...]]) -> None:
    """Run statements on a ledger's file that its triggers would refuse."""
    with unguarded(path) as connection:
        for statement in statements:
            connection.execute(*([statement] if isinstance(statement, str) else statement))


@contextmanager
def reworded(path: Path, name: str, old: str, new: str) -> Iterator[sqlite3.Connection]:
    """Let SQLite believe that an object of the schema was created in other words, for a while."""
    words = "UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE name = ?"
    with unguarded(path) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        assert connection.execute(words, (old, new, name)).rowcount == 1
        with closing(sqlite3.connect(path, isolation_level=None)) as believing:
            yield believing
        connection.execute(words, (new, old, name))


def verified(path: Path) -> Verification:
    """What `verify` finds."""
    with Ledger(path, create=False) as ledger:
        return ledger.verify()


def first_problem(path: Path) -> tuple[str, int | None]:
    """The code and the place of the first thing that is wrong."""
    found = verified(path)
    assert not found.ok
    return found.problems[0].code, found.problems[0].index


def rewrite(connection: sqlite3.Connection, index: int, old: str, new: str) -> None:
    """Change an entry's bytes, and its leaf hash with them."""
    query = "SELECT bytes FROM entries WHERE idx = ?"
    (data,) = connection.execute(query, (index,)).fetchone()
    assert data.decode().count(old)
    data = data.replace(old.encode(), new.encode())
    change = "UPDATE entries SET bytes = ?, leaf = ? WHERE idx = ?"
    connection.execute(change, (data, leaf_hash(data), index))


def reseal(connection: sqlite3.Connection) -> None:
    """Recompute the head of a small ledger from its leaves."""
    frontier = Frontier()
    for (leaf,) in connection.execute("SELECT leaf FROM entries ORDER BY idx"):
        frontier.add(leaf)
    change = "UPDATE head SET size = ?, root = ?"
    connection.execute(change, (frontier.size, frontier.root()))

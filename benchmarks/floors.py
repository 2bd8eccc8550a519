"""What a careful person would write by hand: plain `sqlite3`, flushed as durably as the ledger."""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rml.ledger.entry import COLUMNS
from rml.stores.sqlite_file import schema


def connect(path: Path) -> sqlite3.Connection:
    """Open a database with a write-ahead log, every commit flushed to the disk."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


class Rows:
    """One row a commit, with as many bytes as an entry has, and nothing but its number beside."""

    def __init__(self, path: Path, entry_bytes: int) -> None:
        self.connection = connect(path)
        self.connection.execute("CREATE TABLE rows (number INTEGER PRIMARY KEY, body BLOB)")
        self._body = b"x" * entry_bytes

    def append(self) -> None:
        """Commit one row."""
        run = self.connection.execute
        run("BEGIN IMMEDIATE")
        run("INSERT INTO rows (body) VALUES (?)", (self._body,))
        run("COMMIT")


class Calls:
    """Two commits for a first call, an intent and an outcome; one SELECT for a repetition."""

    def __init__(self, path: Path) -> None:
        self.connection = connect(path)
        columns = "key TEXT PRIMARY KEY, intent TEXT, result TEXT"
        self.connection.execute(f"CREATE TABLE calls ({columns})")

    def first(self, key: str) -> None:
        """Commit an intent, then an outcome."""
        run = self.connection.execute
        run("BEGIN IMMEDIATE")
        intent = json.dumps({"payment_id": key, "amount": 1999, "currency": "EUR"})
        run("INSERT INTO calls (key, intent) VALUES (?, ?)", (key, intent))
        run("COMMIT")
        run("BEGIN IMMEDIATE")
        result = json.dumps({"charge_id": key, "amount": 1999, "currency": "EUR"})
        run("UPDATE calls SET result = ? WHERE key = ?", (result, key))
        run("COMMIT")

    def replay(self, key: str) -> object:
        """Look a result up."""
        return self.connection.execute(_RESULT, (key,)).fetchone()


_RESULT: Final = "SELECT result FROM calls WHERE key = ?"


class Script:
    """Many rows a commit: each is put into JSON, hashed with the one before it, and inserted.

    The table has the columns and the indexes of a ledger's, without its triggers.
    """

    def __init__(self, path: Path) -> None:
        self.connection = connect(path)
        for statement in schema():
            if statement.startswith(("CREATE TABLE entries", "CREATE INDEX", "CREATE UNIQUE")):
                self.connection.execute(statement)
        self._hash = b""
        self._size = 0
        names = ("idx", "bytes", "leaf", *COLUMNS)
        places = ", ".join("?" * len(names))
        self._insert = f"INSERT INTO entries ({', '.join(names)}) VALUES ({places})"

    def batch(self, rows: int) -> None:
        """Commit so many rows."""
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.executemany(self._insert, self._rows(rows))
        self.connection.execute("COMMIT")

    def _rows(self, rows: int) -> Iterator[tuple[object, ...]]:
        now = datetime.now(UTC).isoformat()
        for number in range(rows):
            header = {
                "id": f"{time.time_ns():016x}-{secrets.token_hex(8)}",  # in order, as a UUIDv7 is
                "kind": "payment.noted",
                "world": "RML3",
                "origin": "example.com/ledger",
                "at": now,
                "recorded_at": now,
                "actor": "ada",
                "service": "bench",
            }
            facts = {"amount": 1999, "currency": "EUR", "order": f"o-{number}"}
            data = json.dumps([header, facts], sort_keys=True, separators=(",", ":")).encode()
            self._hash = hashlib.sha256(self._hash + data).digest()
            yield self._size, data, self._hash, *(header.get(name) for name in COLUMNS)
            self._size += 1


def read_and_hash(path: Path) -> float:
    """Return the microseconds that it takes to read every entry's bytes and to hash them."""
    connection = sqlite3.connect(path)
    start = time.perf_counter()
    for (data,) in connection.execute("SELECT bytes FROM entries ORDER BY idx"):
        hashlib.sha256(b"\0" + data).digest()
    taken = time.perf_counter() - start
    connection.close()
    return taken * 1e6

"""What a ledger's SQLite file must look like: how it is made and opened, what its errors mean."""

from __future__ import annotations

import sqlite3
from importlib import resources
from pathlib import Path
from typing import Final

from rml.clock import utc_text
from rml.error import InvalidInputError
from rml.ledger.entry import FORMAT
from rml.ledger.errors import (
    LedgerCorruptError,
    LedgerUnavailableError,
    NewerFormatError,
    NotALedgerError,
)
from rml.ledger.store import Opening
from rml.ledger.tree import EMPTY_ROOT

# "RML1" as the four bytes that SQLite sets aside for the application's own mark.
APPLICATION_ID: Final = 0x524D4C31
SCHEMA_VERSION: Final = 1
_REASONS: Final = {
    "SQLITE_READONLY": "is read-only",
    "SQLITE_FULL": "has no space left on its disk",
    "SQLITE_CANTOPEN": "cannot be opened; check that its folder exists and may be written",
}


def connect(path: Path | None, *, create: bool, wait: float) -> sqlite3.Connection:
    """Return a connection with the ledger's settings; ``None`` is a database in memory.

    It waits for others: even a reader has to while a log is recovered, or folded into the file by
    its last user.
    """
    target = ":memory:" if path is None else f"{path.as_uri()}?mode={'rwc' if create else 'rw'}"
    connection = sqlite3.connect(
        target, uri=path is not None, timeout=wait, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def check_place(path: Path, *, create: bool) -> None:
    """Refuse a place where no ledger can be, before SQLite makes a file there.

    Raises:
        NotALedgerError: it is a folder.
        LedgerUnavailableError: there is nothing, and nothing may or can be created.
    """
    if path.is_dir():
        raise NotALedgerError(f"{path} is a folder; a ledger is one file")
    if path.exists():
        return
    if not create:
        raise LedgerUnavailableError(f"there is no ledger at {path}")
    if not path.parent.is_dir():
        raise LedgerUnavailableError(
            f"the folder {path.parent} does not exist; create it before opening a ledger in it"
        )


def identity(path: Path) -> tuple[int, int] | None:
    """Return which file a path names at present, if it names one."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def is_blank(connection: sqlite3.Connection) -> bool:
    """Say whether a database holds nothing and is nobody's yet."""
    marked = connection.execute("PRAGMA application_id").fetchone()[0]
    return not marked and connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None


def recognise(connection: sqlite3.Connection, path: Path | None, opening: Opening) -> str:
    """Return the origin of the ledger behind a connection, creating it in an empty file.

    Raises:
        NotALedgerError: the file holds something else.
        NewerFormatError: a later rml wrote it.
        InvalidInputError: it is another ledger than the one expected.
    """
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        _create(connection, path, opening)
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    meta = dict(connection.execute("SELECT name, value FROM meta"))
    if version > SCHEMA_VERSION or meta.get("format") != FORMAT:
        raise NewerFormatError(
            f"{path} holds format {meta.get('format')!r:.40}, schema {version}; "
            f"this rml reads {FORMAT!r}, schema {SCHEMA_VERSION}: upgrade rml"
        )
    origin = meta.get("origin")
    if not isinstance(origin, str):
        raise LedgerCorruptError(f"{path} does not say which ledger it is (meta.origin is missing)")
    if opening.origin is not None and opening.origin != origin:
        raise InvalidInputError(f"{path} is the ledger {origin!r}, not {opening.origin!r}")
    return origin


def _create(connection: sqlite3.Connection, path: Path | None, opening: Opening) -> None:
    if connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
        raise NotALedgerError(
            f"{path} is an SQLite database but no rml ledger; a ledger needs a file of its own"
        )
    if path is not None and not opening.create:
        raise NotALedgerError(f"{path} is empty, so no rml ledger")
    for statement in schema():
        connection.execute(statement)
    values = [
        ("format", FORMAT),
        ("origin", opening.origin or opening.new_origin),
        ("created_at", utc_text(opening.clock.now())),
    ]
    connection.executemany("INSERT INTO meta (name, value) VALUES (?, ?)", values)
    connection.execute("INSERT INTO head (one, size, root) VALUES (1, 0, ?)", [EMPTY_ROOT])
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def schema() -> list[str]:
    """Return the statements that create an empty ledger."""
    source = resources.files("rml.stores").joinpath("schema/sqlite.sql").read_text(encoding="utf-8")
    statements, current = [], ""
    for line in source.splitlines():
        if not line.startswith("--"):
            current += line + "\n"
        if current.strip() and sqlite3.complete_statement(current):
            statements.append(current.strip())
            current = ""
    return statements


def findings(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Compare the schema with that of a new ledger, and let SQLite check its own structures."""
    query = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"
    there = dict(connection.execute(query))
    expected = _expected()
    found = []
    for name, sql in expected.items():
        if name not in there:
            found.append(("schema", f"{name} is missing"))
        elif there[name] != sql:
            found.append(("schema", f"{name} is not as it was created"))
    found += [
        ("schema", f"{name!a:.80} does not belong to a ledger")
        for name in there
        if name not in expected and not name.startswith("sqlite_")  # ANALYZE's, and no harm
    ]
    try:
        checks = [row[0] for row in connection.execute("PRAGMA integrity_check(10)")]
    except sqlite3.DatabaseError as error:
        checks = [str(error)]
    return found + [("file", text) for text in checks if text != "ok"]


def _expected() -> dict[str, str]:
    connection = sqlite3.connect(":memory:")
    try:
        for statement in schema():
            connection.execute(statement)
        query = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"
        return dict(connection.execute(query))
    finally:
        connection.close()


def is_busy(error: sqlite3.Error) -> bool:
    """Say whether another connection was in the way."""
    name = getattr(error, "sqlite_errorname", "") or ""
    return name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def explain(error: sqlite3.Error, path: Path | None) -> Exception:
    """Return what SQLite says as what a caller can act upon."""
    name = getattr(error, "sqlite_errorname", "") or ""
    if name == "SQLITE_NOTADB":
        return NotALedgerError(f"{path} is no SQLite database, so no rml ledger")
    if name.startswith("SQLITE_CORRUPT") or "malformed" in str(error):
        return LedgerCorruptError(f"the file {path} is damaged: {error}")
    if name.startswith("SQLITE_CONSTRAINT"):
        return LedgerCorruptError(f"the ledger {path} refused the change: {error}")
    if name == "SQLITE_ERROR" and "no such" in str(error):
        return LedgerCorruptError(f"the ledger {path} is incomplete: {error}")
    failed = f"failed: {error}"
    reason = next((text for code, text in _REASONS.items() if name.startswith(code)), failed)
    return LedgerUnavailableError(f"the ledger {path} {reason}; nothing was recorded")

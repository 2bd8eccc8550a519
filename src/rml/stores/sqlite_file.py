"""What a ledger's SQLite file must look like: how it is made and opened, what its errors mean."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Final

from rml.clock import parse_utc, utc_text
from rml.error import InvalidInputError
from rml.ledger.entry import FORMAT
from rml.ledger.errors import (
    LedgerBusyError,
    LedgerCorruptError,
    LedgerUnavailableError,
    NewerFormatError,
    NotALedgerError,
)
from rml.ledger.store import Opening
from rml.ledger.tree import EMPTY_ROOT
from rml.tag import shown

# "RML1" as the four bytes that SQLite sets aside for the application's own mark.
APPLICATION_ID: Final = 0x524D4C31
SCHEMA_VERSION: Final = 1
_META: Final = ("format", "origin", "created_at")
_OBJECTS: Final = "SELECT type, name, tbl_name, sql FROM sqlite_master"
_STATISTICS: Final = frozenset({"sqlite_stat1", "sqlite_stat3", "sqlite_stat4"})
_SETTINGS: Final = ("trusted_schema = OFF", "secure_delete = ON", "synchronous = FULL")
_REASONS: Final = {
    "SQLITE_READONLY": "is read-only, or its -wal or -shm file beside it is",
    "SQLITE_FULL": "has no space left on its disk",
    "SQLITE_CANTOPEN": "cannot be opened; check that its folder exists and may be written",
}


def connect(path: Path | None, *, create: bool, wait: float) -> sqlite3.Connection:
    """Return a connection with the ledger's settings; ``None`` is a database in memory.

    It waits for others: even a reader has to while a log is recovered, or folded into the file by
    its last user.
    """
    if path is not None and create:  # readable by its owner alone, and so are its log and lock file
        # Never a file that is there: closing it would drop the locks that SQLite has on it.
        with suppress(OSError):  # SQLite says what is wrong, in better words
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    target = ":memory:" if path is None else f"{path.as_uri()}?mode={'rwc' if create else 'rw'}"
    connection = sqlite3.connect(
        target, uri=path is not None, timeout=wait, isolation_level=None, check_same_thread=False
    )
    try:
        for setting in _SETTINGS:
            connection.execute(f"PRAGMA {setting}")
    except UnicodeDecodeError as error:  # what SQLite says quotes the file, and the file is damaged
        connection.close()
        raise sqlite3.DatabaseError("malformed schema") from error
    except BaseException:
        connection.close()
        raise
    return connection


def check_place(path: Path, *, create: bool) -> None:
    """Refuse a place where no ledger can be, before SQLite makes a file there.

    Raises:
        NotALedgerError: it is a folder.
        LedgerUnavailableError: there is nothing, and nothing may or can be created.
    """
    try:
        is_folder, is_there, has_place = path.is_dir(), path.exists(), path.parent.is_dir()
    except OSError as error:  # a name that no file can have, a folder that nobody may look into
        reason = error.strerror or type(error).__name__
        raise LedgerUnavailableError(f"no ledger can be at {shown(str(path))}: {reason}") from error
    if is_folder:
        raise NotALedgerError(f"{path} is a folder; a ledger is one file")
    if is_there:
        return
    if not create:
        raise LedgerUnavailableError(f"there is no ledger at {path}")
    if not has_place:
        raise LedgerUnavailableError(
            f"the folder {path.parent} does not exist; create it before opening a ledger in it"
        )


def identity(path: Path | str) -> tuple[int, int] | None:
    """Return which file a path names at present, if it names one."""
    try:
        found = os.stat(path)  # noqa: PTH116 - asked at every commit, and twice as fast
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
            f"{path} holds format {shown(meta.get('format'))}, schema {version}; "
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
    try:
        checks = [row[0] for row in connection.execute("PRAGMA integrity_check(10)")]
    except sqlite3.DatabaseError as error:
        checks = [str(error)]
    found = schema_findings(connection) + _meta_findings(connection)
    return found + [("file", text) for text in checks if text != "ok"]


def schema_findings(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Compare tables, indexes and triggers with those of a new ledger; reads no entry."""
    there = connection.execute(_OBJECTS).fetchall()
    expected = {row[1]: row for row in _expected()}
    names = {row[1] for row in there}
    found = [("schema", f"{name} is missing") for name in expected if name not in names]
    for row in there:
        _, name, _, _ = row
        if name not in expected:
            if not _is_sqlites_own(row):
                found.append(("schema", f"{name!a:.80} does not belong to a ledger"))
        elif row != expected[name]:
            found.append(("schema", f"{name} is not as it was created"))
    return found + [
        ("schema", f"{name} is there more than once")
        for name in expected
        if sum(row[1] == name for row in there) > 1
    ]


def _is_sqlites_own(row: tuple[str, str, str, str | None]) -> bool:
    """Say whether SQLite made an object itself: the statistics of ANALYZE."""
    kind, name, table, _ = row
    return kind == "table" and name == table and name in _STATISTICS


def _meta_findings(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Look at what a ledger says of itself outside its entries, as far as it is fixed."""
    found = []
    for pragma, expected in (("application_id", APPLICATION_ID), ("user_version", SCHEMA_VERSION)):
        value = connection.execute(f"PRAGMA {pragma}").fetchone()[0]
        if value != expected:
            found.append(("meta", f"{pragma} is {value}, not {expected}"))
    try:
        meta = dict(connection.execute("SELECT name, value FROM meta").fetchall())
    except sqlite3.Error as error:
        return [*found, ("meta", f"meta cannot be read: {error}")]
    found += [("meta", f"meta.{name} is missing") for name in _META if name not in meta]
    found += [
        ("meta", f"meta.{name!a:.80} does not belong to a ledger")
        for name in meta
        if name not in _META
    ]
    try:
        told = meta.get("created_at")
        if told is not None and utc_text(parse_utc(told)) != told:
            raise ValueError
    except ValueError:
        found.append(("meta", "meta.created_at is no moment as a ledger writes it"))
    return found


def _expected() -> list[tuple[str, str, str, str | None]]:
    connection = sqlite3.connect(":memory:")
    try:
        for statement in schema():
            connection.execute(statement)
        return connection.execute(_OBJECTS).fetchall()
    finally:
        connection.close()


def is_busy(error: sqlite3.Error) -> bool:
    """Say whether another connection was in the way."""
    name = getattr(error, "sqlite_errorname", "") or ""
    return name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL"))


def busy(path: Path | None) -> LedgerBusyError:
    """Return the error for a deadline that passed while others were in the way."""
    return LedgerBusyError(
        f"the ledger {path} stayed busy until the deadline; nothing was recorded, try again"
    )


def explain(error: sqlite3.Error, path: Path | None) -> Exception:
    """Return what SQLite says as what a caller can act upon."""
    if is_busy(error):
        return busy(path)
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

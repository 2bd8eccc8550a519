"""What a ledger's SQLite file must look like: how it is made and opened, what its errors mean."""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import suppress
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

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
_META: Final = ("format", "origin")
# What an earlier rml said besides: when it made the file. Nothing reads it.
_META_EARLIER: Final = ("created_at",)
_OBJECTS: Final = "SELECT type, name, tbl_name, sql FROM sqlite_master"
_CHANGED_OR_EARLIER: Final = (
    "is not as this rml creates it: it was changed, or an earlier rml made the file"
)
# What an index is on, and what a trigger is on or changes.
_CHANGED: Final = re.compile(
    r"""\b(?:ON|INTO|UPDATE(?:\s+OR\s+\w+)?|DELETE\s+FROM)\s+(?:["'`\[]?main\W*\.\s*)?["'`\[]?(\w+)""",
    re.IGNORECASE,
)
_SETTINGS: Final = ("trusted_schema = OFF", "secure_delete = ON", "synchronous = FULL")
# What sqlite3 says of a text that it cannot read.
_NO_TEXT: Final = "Could not decode to UTF-8"
_REASONS: Final = {
    "SQLITE_READONLY": "is read-only, or its -wal or -shm file beside it is",
    "SQLITE_FULL": "has no space left on its disk",
    "SQLITE_CANTOPEN": "cannot be opened; check that it may be read, and its folder written",
}


class Snapshot(sqlite3.Connection):
    """A connection that looks for no log and no change, so it is used for one look only."""


def connect(path: Path | None, *, create: bool, wait: float) -> sqlite3.Connection:
    """Return a connection with the ledger's settings; ``None`` is a database in memory.

    It waits for others: even a reader has to while a log is recovered, or folded into the file by
    its last user. Where no log can be made, and none is, it is a :class:`Snapshot`.
    """
    if path is not None and create:  # readable by its owner alone, and so are its log and lock file
        # Never a file that is there: closing it would drop the locks that SQLite has on it.
        with suppress(OSError):  # SQLite says what is wrong, in better words
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    is_fixed = path is not None and not create and _is_fixed(path)
    mode = "rwc" if create else "ro&immutable=1" if is_fixed else "rw"
    connection = sqlite3.connect(
        ":memory:" if path is None else f"{path.as_uri()}?mode={mode}",
        uri=path is not None,
        timeout=wait,
        isolation_level=None,
        check_same_thread=False,
        factory=Snapshot if is_fixed else sqlite3.Connection,
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


def _is_fixed(path: Path) -> bool:
    """Say whether a file is all of its ledger, and lies where nothing can be made beside it.

    SQLite needs a log even to read a ledger's file, unless it is told that nobody writes to it.
    """
    is_open_to_us = os.access(path.parent, os.W_OK)
    return not is_open_to_us and path.exists() and not path.with_name(f"{path.name}-wal").exists()


def check_place(path: Path, *, create: bool) -> None:
    """Refuse a place where no ledger can be, before SQLite makes a file there.

    Raises:
        NotALedgerError: it is a folder, a device or a pipe.
        LedgerUnavailableError: there is nothing, and nothing may or can be created.
    """
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
        is_there, has_place = path.exists(), path.parent.is_dir()
    except OSError as error:  # a name that no file can have, a folder that nobody may look into
        reason = error.strerror or type(error).__name__
        raise LedgerUnavailableError(f"no ledger can be at {shown(str(path))}: {reason}") from error
    if is_folder:
        raise NotALedgerError(f"{path} is a folder; a ledger is one file")
    if is_there and not is_file:
        raise NotALedgerError(f"{path} is a device or a pipe; a ledger is one file")
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


def is_for_creation(connection: sqlite3.Connection, path: Path | None, opening: Opening) -> bool:
    """Say whether a ledger is to be created in a database: it is empty, or is to be adopted.

    Raises:
        NotALedgerError: it is to be adopted, and what it holds cannot live beside a ledger.
    """
    application_id = _pragma(connection, "application_id")
    if not opening.create or application_id == APPLICATION_ID:
        return False
    if opening.adopt:
        _check_adoptable(connection, path)
        return True
    return not application_id and not _objects(connection)


def _pragma(connection: sqlite3.Connection, name: str) -> Any:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


def _objects(connection: sqlite3.Connection) -> set[str]:
    """Return the names of all tables, indexes, views and triggers, in lower case."""
    return {name.lower() for (name,) in connection.execute("SELECT name FROM sqlite_master")}


def _check_adoptable(connection: sqlite3.Connection, path: Path | None) -> None:
    taken = sorted(_objects(connection) & own_names())
    trouble = None
    if taken:
        trouble = f"it has {', '.join(taken)} already"
    elif _pragma(connection, "application_id") or _pragma(connection, "user_version"):
        trouble = "its application_id or user_version is in use"
    elif _pragma(connection, "encoding") != "UTF-8":
        trouble = "its texts are not UTF-8"
    if trouble is not None:
        raise NotALedgerError(f"no ledger can be created in the database {path}: {trouble}")


def recognise(connection: sqlite3.Connection, path: Path | None, opening: Opening) -> str:
    """Return the origin of the ledger behind a connection, creating it in an empty file.

    Raises:
        NotALedgerError: the file holds something else.
        NewerFormatError: a later rml wrote it.
        InvalidInputError: it is another ledger than the one expected.
    """
    if _pragma(connection, "application_id") != APPLICATION_ID:
        _create(connection, path, opening)
    version = _pragma(connection, "user_version")
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
    if path is not None and not opening.create and not _objects(connection):
        raise NotALedgerError(f"{path} is empty, so no rml ledger")
    if not is_for_creation(connection, path, opening):
        raise NotALedgerError(
            f"{path} is an SQLite database but no rml ledger; give the ledger a file of its own, "
            "or create it beside these tables with adopt=True"
        )
    for statement in schema():
        connection.execute(statement)
    values = [("format", FORMAT), ("origin", opening.origin or opening.new_origin)]
    connection.executemany("INSERT INTO meta (name, value) VALUES (?, ?)", values)
    connection.execute(
        "INSERT INTO head (one, size, root) VALUES (1, 0, ?)", [bytearray(EMPTY_ROOT)]
    )
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
    """Compare tables, indexes and triggers with those of a new ledger; reads no entry.

    An application may have tables of its own beside them, but nothing that touches the ledger's.
    """
    there = connection.execute(_OBJECTS).fetchall()
    expected = {row[1]: row for row in _expected()}
    names = {row[1] for row in there}
    tables = {row[2].lower() for row in expected.values()}
    found = [("schema", f"{name} is missing") for name in expected if name not in names]
    for row in there:
        _, name, _, _ = row
        if name not in expected:
            if _touches(row, tables):
                found.append(("schema", f"{name!a:.80} does not belong to a ledger"))
        elif row != expected[name]:
            found.append(("schema", f"the {expected[name][0]} {name} {_CHANGED_OR_EARLIER}"))
    return found + [
        ("schema", f"{name} is there more than once")
        for name in expected
        if sum(row[1] == name for row in there) > 1
    ]


def is_shared(connection: sqlite3.Connection) -> bool:
    """Say whether there are tables that are neither the ledger's nor SQLite's own."""
    own = own_names()
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    return any(name not in own and not name.startswith("sqlite_") for (name,) in tables)


def _touches(row: tuple[str, str, str, str | None], tables: set[str]) -> bool:
    """Say whether a guest is part of one of the ledger's tables, or is a trigger that changes it.

    A trigger is read by its SQL: what stands beside it about its table may be a lie.
    """
    kind, _, table, sql = row
    changed = {str(table).lower()}
    if kind in ("trigger", "index"):
        changed |= {match[1].lower() for match in _CHANGED.finditer(str(sql))}
    return not changed.isdisjoint(tables)


def _meta_findings(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Look at what a ledger says of itself outside its entries, as far as it is fixed."""
    found = []
    for pragma, expected in (("application_id", APPLICATION_ID), ("user_version", SCHEMA_VERSION)):
        value = _pragma(connection, pragma)
        if value != expected:
            found.append(("meta", f"{pragma} is {value}, not {expected}"))
    try:
        meta = dict(connection.execute("SELECT name, value FROM meta").fetchall())
    except sqlite3.Error as error:
        return [*found, ("meta", f"meta cannot be read: {error}")]
    found += [("meta", f"meta.{name} is missing") for name in _META if name not in meta]
    return found + [
        ("meta", f"meta.{name!a:.80} does not belong to a ledger")
        for name in meta
        if name not in _META + _META_EARLIER
    ]


@lru_cache(maxsize=1)
def own_names() -> frozenset[str]:
    """Return the names of the ledger's tables, indexes, views and triggers."""
    return frozenset(name for _, name, _, _ in _expected())


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
    if str(error).startswith(_NO_TEXT):  # and it goes on with what stands there, byte for byte
        return LedgerCorruptError(f"the file {path} is damaged: a text in it is not UTF-8")
    if name.startswith("SQLITE_CONSTRAINT"):
        return LedgerCorruptError(f"the ledger {path} refused the change: {error}")
    if name == "SQLITE_ERROR" and "no such" in str(error):
        return LedgerCorruptError(f"the ledger {path} is incomplete: {error}")
    failed = f"failed: {error}"
    reason = next((text for code, text in _REASONS.items() if name.startswith(code)), failed)
    return LedgerUnavailableError(f"the ledger {path} {reason}; nothing was recorded")

"""Which schema of which database a ``postgresql:`` URL names, and what PostgreSQL's errors mean.

Nothing here depends on a session's state: every name is written with its schema, so that a pooler
may give each transaction another connection.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import attrs
import psycopg
from psycopg.errors import UniqueViolation

from rml.error import InvalidInputError
from rml.ledger.errors import (
    LedgerBusyError,
    LedgerCorruptError,
    LedgerUnavailableError,
    NotALedgerError,
)
from rml.tag import shown

SCHEMA: Final = "rml"
POOL_MAX: Final = 10
_SCHEMA_NAME: Final = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,62}")
# What PostgreSQL's settings hold at most.
_MILLISECONDS_MAX: Final = 2**31 - 1
# Errors by which a server ends a connection, or says that it has no time for one.
_LOST: Final = ("08", "57P01", "57P02", "57P03", "57P05")
_START_OVER: Final = ("40001", "40P01")
_BUSY: Final = {
    "55P03": "other writers kept it busy until the deadline",
    "57014": "a statement was cancelled, or took longer than the server's statement_timeout",
    "25P03": "the work took longer than the server's idle_in_transaction_session_timeout",
    "25P04": "the work took longer than the server's transaction_timeout",
    "40001": "other transactions were in the way until the deadline",
    "40P01": "other transactions were in the way until the deadline",
}
_UNAVAILABLE: Final = {
    "25006": "is read-only: a standby, or default_transaction_read_only is set",
    "42501": "may not be used so by this role; `rml init URL --role ROLE` grants what it needs",
    "53100": "has no space left on its disk",
    "53300": "has no connection left",
}


@attrs.frozen(cache_hash=True)
class Place:
    """One schema of a database.

    Attributes:
        conninfo: what libpq connects with; it may hold a password.
        schema: the schema that holds the ledger.
        connections: how many connections a process opens at most.
        name: the place as it may be shown to anybody.
    """

    conninfo: str = attrs.field(repr=False)
    schema: str
    connections: int
    name: str

    def sql(self, text: str) -> str:
        """Return a statement in which each ``~`` before a name stands for the schema."""
        return _qualified(text, self.schema)


@lru_cache(maxsize=1024)
def _qualified(text: str, schema: str) -> str:
    return text.replace("~", f'"{schema}".')


def place_of(url: str) -> Place:
    """Return the place that a URL names.

    Two parameters are ours: ``schema`` (``rml`` if it is not given), and ``connections``, the most
    that a process opens. All others are libpq's.

    Raises:
        InvalidInputError: the schema or the number is none that can be used.
    """
    try:
        parts = urlsplit(url)
        given = parse_qsl(parts.query, keep_blank_values=True)
        host = parts.netloc.rpartition("@")[2]
    except ValueError as error:
        raise InvalidInputError("the postgresql: URL cannot be read") from error
    if parts.fragment or "@" in parts.path or any("@" in name for name, _ in given):
        raise InvalidInputError(
            "the postgresql: URL cannot be read; in a password, write / as %2F, ? as %3F, # as %23 "
            "and @ as %40"
        )
    ours = {name: value for name, value in given if name in {"schema", "connections"}}
    theirs = [(name, value) for name, value in given if name not in ours]
    schema = ours.get("schema", SCHEMA)
    if not _SCHEMA_NAME.fullmatch(schema):
        raise InvalidInputError(
            f"schema={shown(schema)} cannot hold a ledger; use at most 63 lower-case letters, "
            "digits and underscores, not beginning with a digit or pg_"
        )
    number = ours.get("connections", str(POOL_MAX))
    if not re.fullmatch(r"[1-9][0-9]{0,3}", number):
        raise InvalidInputError(f"connections={shown(number)} is no number from 1 to 9999")
    query = urlencode(theirs, quote_via=quote)
    conninfo = f"postgresql://{parts.netloc}{parts.path}{'?' if query else ''}{query}"
    name = f"postgresql://{host}{parts.path}?schema={schema}"
    return Place(conninfo, schema, int(number), name)


def lock_timeout(seconds: float) -> str:
    """Return seconds to wait for others as PostgreSQL's ``lock_timeout``, which 0 would disable."""
    return f"{min(max(1, round(seconds * 1000)), _MILLISECONDS_MAX)}ms"


def is_lost(error: psycopg.Error) -> bool:
    """Say whether the connection has gone, so that what it was told last may have happened."""
    if error.sqlstate is not None:
        return error.sqlstate.startswith(_LOST)
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)


def may_start_over(error: psycopg.Error) -> bool:
    """Say whether the transaction was taken back for the sake of another one."""
    return error.sqlstate in _START_OVER


def is_there_already(error: psycopg.Error | None) -> bool:
    """Say whether an entry was refused since one with its id is there."""
    return isinstance(error, UniqueViolation) and error.diag.constraint_name == "entries_id"


def explain(error: psycopg.Error, place: Place) -> Exception:
    """Return what PostgreSQL says as what a caller can act upon; nothing was recorded."""
    code = error.sqlstate or ""
    said = (error.diag.message_primary or str(error)).strip().splitlines()
    text = said[0] if said else type(error).__name__
    if code in _BUSY:
        why = _BUSY[code]
        return LedgerBusyError(f"the ledger {place.name}: {why}; nothing was recorded, try again")
    if code in {"42P01", "3F000", "42703"}:
        return NotALedgerError(f"there is no ledger at {place.name} ({text}); see `rml init`")
    if code.startswith("23"):
        return LedgerCorruptError(f"the ledger {place.name} refused the change: {text}")
    if code.startswith("XX"):
        return LedgerCorruptError(f"the database of {place.name} is damaged: {text}")
    reason = _UNAVAILABLE.get(code, f"failed: {text}")
    return LedgerUnavailableError(f"the ledger {place.name} {reason}; nothing was recorded")

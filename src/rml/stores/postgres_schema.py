"""How a ledger's schema in PostgreSQL is made and recognised, and who may do what with it.

Migrations are plain SQL files, applied in order, each once, in one transaction, and never taken
back. Only :func:`initialise` applies them: opening a ledger never changes a schema.
"""

from __future__ import annotations

import re
from importlib import resources
from math import ceil
from typing import Any, Final

import attrs
import psycopg
from psycopg import sql

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
from rml.stores.postgres_place import Place, explain, place_of

Connection = psycopg.Connection[Any]

SCHEMA_VERSION: Final = 1
SERVER_MIN: Final = 150000
CONNECT_SECONDS: Final = 10
# What a role needs to write a ledger; no row of history can be changed with it.
GRANTS: Final = {
    "entries": ("SELECT", "INSERT"),
    "places": ("SELECT", "INSERT"),
    "tiles": ("SELECT", "INSERT"),
    "head": ("SELECT", "UPDATE (size, root)"),
    "waiting": ("SELECT", "INSERT", "DELETE"),
    "personal": ("SELECT", "INSERT", "UPDATE (data)", "DELETE"),
    "leases": ("SELECT", "INSERT", "UPDATE (attempt, owner, until)", "DELETE"),
    "meta": ("SELECT",),
    "migrations": ("SELECT",),
    "history": ("SELECT",),
}
_FILE: Final = re.compile(r"postgres_(\d{4})\.sql")


@attrs.frozen
class Found:
    """A schema as its ledger says it is."""

    origin: str
    oid: int


def migrations() -> dict[int, str]:
    """Return the text of every migration by its version, in order."""
    folder = resources.files("rml.stores").joinpath("schema")
    found = {
        int(match.group(1)): file.read_text(encoding="utf-8")
        for file in folder.iterdir()
        if (match := _FILE.fullmatch(file.name))
    }
    return dict(sorted(found.items()))


# Making -------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Initialised:
    """What :func:`initialise` did: which migrations it applied, none if all were."""

    place: str
    origin: str
    applied: tuple[int, ...]
    version: int
    role: str | None


def initialise(opening: Opening, role: str | None = None) -> Initialised:
    """Make the schema that a URL names, or bring it up to date; doing it twice changes nothing.

    Two that start at once take turns. It needs a role that may create the schema, which will own
    it; programs then connect as another one, which is granted what it needs.

    Args:
        opening: the URL, and the origin of a new ledger.
        role: an existing role to grant the use of the ledger.

    Raises:
        NewerFormatError: a later rml made the schema.
        NotALedgerError: the schema holds something else.
        InvalidInputError: it is another ledger than the one expected, or there is no such role.
        LedgerUnavailableError: the server cannot be reached, or does not let this role do it.
    """
    place = place_of(opening.url)
    try:
        with connect(place) as connection:
            # Whoever waited for another one must see what it made.
            connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
            applied, found = _initialised(connection, place, opening, role)
    except psycopg.Error as error:
        raise explain(error, place) from error
    return Initialised(
        place=place.name,
        origin=found.origin,
        applied=applied,
        version=max(migrations()),
        role=role,
    )


def _initialised(
    connection: Connection, place: Place, opening: Opening, role: str | None
) -> tuple[tuple[int, ...], Found]:
    with connection.transaction():
        # One at a time in this database, whatever its schemas: until the transaction ends.
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('rml init', 0))")
        applied = _migrate(connection, place, opening)
        found = recognise(connection, place, opening)
        if role is not None:
            _grant(connection, place, role)
    return applied, found


def connect(place: Place, seconds: float = CONNECT_SECONDS) -> Connection:
    """Return a connection of its own, in autocommit."""
    return psycopg.connect(place.conninfo, **settings() | {"connect_timeout": ceil(seconds)})


def settings() -> dict[str, Any]:
    """Return how every connection is made; nothing outlives a transaction in its session."""
    return {
        "autocommit": True,
        "prepare_threshold": None,
        "connect_timeout": CONNECT_SECONDS,
        "application_name": "rml",
        "client_encoding": "UTF8",
    }


def _migrate(connection: Connection, place: Place, opening: Opening) -> tuple[int, ...]:
    _check_server(connection, place)
    there = _version(connection, place)
    known = migrations()
    if there > max(known):
        raise _newer(place, there)
    schema = sql.Identifier(place.schema)
    if there == 0:
        if _is_occupied(connection, place):
            raise NotALedgerError(
                f"{place.name} holds other tables; a ledger needs a schema of its own"
            )
        if not _is_there(connection, place):  # who owns one need not have the right to make one
            _check_may_create(connection, place)
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(schema))
        # A schema that is there may let anybody in.
        connection.execute(sql.SQL("REVOKE ALL ON SCHEMA {} FROM PUBLIC").format(schema))
    applied = tuple(version for version in known if version > there)
    if applied:
        # The functions keep this path. A temporary table is found first unless it is named last,
        # and anybody may make one.
        connection.execute(sql.SQL("SET LOCAL search_path TO {}, pg_temp").format(schema))
    for version in applied:
        connection.execute(known[version])
        connection.execute("INSERT INTO migrations (version) VALUES (%s)", (version,))
    if there == 0:
        meta = {
            "format": FORMAT,
            "origin": opening.origin or opening.new_origin,
            "created_at": utc_text(opening.clock.now()),
        }
        for row in meta.items():
            connection.execute("INSERT INTO meta (name, value) VALUES (%s, %s)", row)
        connection.execute("INSERT INTO head (one, size, root) VALUES (1, 0, %s)", (EMPTY_ROOT,))
    if applied:  # the database's default privileges may let anybody in, too
        _revoke(connection, place, sql.SQL("PUBLIC"))
    return applied


def _check_server(connection: Connection, place: Place) -> None:
    if connection.info.server_version < SERVER_MIN:
        raise LedgerUnavailableError(
            f"the server of {place.name} is PostgreSQL {connection.info.server_version // 10000}; "
            f"a ledger needs {SERVER_MIN // 10000} or later"
        )
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise LedgerUnavailableError(
            f"the database of {place.name} has the encoding {encoding}; a ledger needs UTF8"
        )


def _check_may_create(connection: Connection, place: Place) -> None:
    query = "SELECT has_database_privilege(current_database(), 'CREATE'), current_user"
    may, role = connection.execute(query).fetchall()[0]
    if not may:
        raise LedgerUnavailableError(
            f"{place.name} is not there, and {role!a:.80} may not make it: connect as a role with "
            "CREATE on the database, or give this one an empty schema of that name"
        )


def _version(connection: Connection, place: Place) -> int:
    """Return the newest migration that was applied, 0 if there is no ledger."""
    named = f'"{place.schema}".migrations'
    if connection.execute("SELECT to_regclass(%s)", (named,)).fetchall()[0][0] is None:
        return 0
    query = place.sql("SELECT coalesce(max(version), 0) FROM ~migrations")
    version: int = connection.execute(query).fetchall()[0][0]
    return version


def _is_there(connection: Connection, place: Place) -> bool:
    query = "SELECT 1 FROM pg_namespace WHERE nspname = %s"
    return bool(connection.execute(query, (place.schema,)).fetchall())


def _is_occupied(connection: Connection, place: Place) -> bool:
    query = "SELECT 1 FROM pg_class WHERE relnamespace = to_regnamespace(%s) LIMIT 1"
    return bool(connection.execute(query, (f'"{place.schema}"',)).fetchall())


def _newer(place: Place, version: int) -> NewerFormatError:
    return NewerFormatError(
        f"{place.name} has the schema version {version}, and this rml knows "
        f"{max(migrations())}: upgrade rml"
    )


def _grant(connection: Connection, place: Place, role: str) -> None:
    there = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchall()
    if not there:
        raise InvalidInputError(f"there is no role {role!a:.80}; CREATE ROLE it first")
    schema, to = sql.Identifier(place.schema), sql.Identifier(role)
    owned = connection.execute(_OWNS, (role, place.schema)).fetchall()
    if not owned:  # an owner's rights go with the ownership
        _revoke(connection, place, to)
    connection.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, to))
    connection.execute(
        sql.SQL("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {} TO {}").format(schema, to)
    )
    for table, rights in GRANTS.items():
        connection.execute(
            sql.SQL("GRANT {} ON {} TO {}").format(
                sql.SQL(", ").join(map(sql.SQL, rights)),
                sql.Identifier(place.schema, table),
                to,
            )
        )


def _revoke(connection: Connection, place: Place, who: sql.Composable) -> None:
    tables = sql.SQL(", ").join(sql.Identifier(place.schema, table) for table in GRANTS)
    connection.execute(sql.SQL("REVOKE ALL ON {} FROM {}").format(tables, who))


_OWNS: Final = (
    "SELECT 1 FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
    "JOIN pg_roles AS r ON r.oid = c.relowner WHERE r.rolname = %s AND n.nspname = %s"
)


# Recognising --------------------------------------------------------------------------------------


def recognise(connection: Connection, place: Place, opening: Opening) -> Found:
    """Return which ledger a schema holds.

    Raises:
        NotALedgerError: none; ``rml init`` makes one.
        NewerFormatError: a later rml made it.
        InvalidInputError: it is another ledger than the one expected.
    """
    version = _version(connection, place)
    if version == 0:
        raise NotALedgerError(
            f"there is no ledger at {place.name}; make one with `rml init URL`, "
            "as a role that may create the schema"
        )
    known = max(migrations())
    if version > known:
        raise _newer(place, version)
    if version < known:
        raise NotALedgerError(
            f"{place.name} has the schema version {version}, and this rml needs {known}; "
            "run `rml init URL` as the schema's owner"
        )
    meta = dict(connection.execute(place.sql("SELECT name, value FROM ~meta")).fetchall())
    if meta.get("format") != FORMAT:
        raise NewerFormatError(f"{place.name} holds a format other than {FORMAT!r}: upgrade rml")
    origin = meta.get("origin")
    if origin is None:
        raise LedgerCorruptError(f"{place.name} does not say which ledger it is")
    if opening.origin is not None and opening.origin != origin:
        raise InvalidInputError(f"{place.name} is the ledger {origin!r}, not {opening.origin!r}")
    query = "SELECT oid::bigint FROM pg_namespace WHERE nspname = %s"
    return Found(origin, connection.execute(query, (place.schema,)).fetchall()[0][0])

"""What the doctor asks of a ledger in PostgreSQL: who it connects as, and what is on the disk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import psycopg

from rml.doctor.diagnosis import Answer, Diagnosis
from rml.ledger.errors import LedgerUnavailableError
from rml.stores import postgres_findings, postgres_schema
from rml.stores.postgres_place import Place, explain, place_of

# A sealing comes a fraction of a second after a commit; a busy server needs a little longer.
WAITING_SECONDS_MAX: Final = 5.0
# Whoever may become an owner, by SET ROLE or RESET ROLE, can do what an owner can.
_WHO: Final = (
    "SELECT current_user::text, bool_or(pg_has_role(u.name, o.owner, 'MEMBER')), "
    "bool_or(r.rolsuper) FROM "
    "(SELECT nspowner AS owner FROM pg_namespace WHERE nspname = %(schema)s "
    "UNION SELECT c.relowner FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
    "WHERE n.nspname = %(schema)s) AS o, (VALUES (current_user), (session_user)) AS u (name) "
    "JOIN pg_roles AS r ON r.rolname = u.name"
)
_RIGHTS: Final = (
    "SELECT t || '.' || r FROM unnest(%s::text[], %s::text[]) AS g (t, r), "
    "to_regclass(format('%%I.%%I', %s::text, t)) AS there WHERE CASE "
    "WHEN r IN ('INSERT', 'UPDATE') THEN has_any_column_privilege(there, r) "
    "ELSE has_table_privilege(there, r) END ORDER BY 1"
)
_CREATE: Final = "SELECT has_schema_privilege(%s, 'CREATE')"
_HARMFUL: Final = ("INSERT", "UPDATE", "DELETE", "TRUNCATE", "TRIGGER")
_SETTINGS: Final = (
    "SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', "
    "'synchronous_commit') ORDER BY name"
)
_WAITING: Final = (
    "SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(since)), 0)::float8 "
    "FROM ~waiting"
)


def examine(url: str) -> Iterator[Diagnosis]:
    """Ask the server; nothing is changed.

    Raises:
        LedgerUnavailableError: it cannot be reached, or refuses.
    """
    place = place_of(url)
    try:
        with postgres_schema.connect(place) as connection:
            yield from _of(place, connection)
    except psycopg.Error as error:
        raise LedgerUnavailableError(str(explain(error, place))) from error


def _of(place: Place, connection: psycopg.Connection[Any]) -> Iterator[Diagnosis]:
    schema = place.schema
    role, owns, is_super = connection.execute(_WHO, {"schema": schema}).fetchall()[0]
    yield as_another_role(role, owns=bool(owns), is_super=bool(is_super))
    tables, rights = zip(*_needless(), strict=True)
    found = connection.execute(_RIGHTS, (list(tables), list(rights), schema)).fetchall()
    names = [name for (name,) in found]
    if connection.execute(_CREATE, (schema,)).fetchall()[0][0]:
        names.append(f"create in the schema {schema}")
    yield append_only(names)
    yield guarded([text for _, text in postgres_findings.schema_findings(connection, place)])
    yield durable(dict(connection.execute(_SETTINGS).fetchall()))
    yield sealed(*connection.execute(place.sql(_WAITING)).fetchall()[0])


def _needless() -> Iterator[tuple[str, str]]:
    """Yield each right to a table that a program has no need of."""
    for table, granted in postgres_schema.GRANTS.items():
        needed = {right.partition(" ")[0] for right in granted}
        yield from ((table, right) for right in _HARMFUL if right not in needed)


def as_another_role(role: str, *, owns: bool, is_super: bool) -> Diagnosis:
    """Judge the role that the ledger is used as."""
    what = "a superuser" if is_super else "the schema's owner" if owns else "not the schema's owner"
    return _judged(
        "Does the ledger's user differ from its owner?",
        f"{role} is {what}",
        well=not owns and not is_super,
        remedy="an owner can drop the triggers: connect as a role of its own, and grant it what it "
        "needs with rml init URL --role ROLE",
    )


def append_only(rights: list[str]) -> Diagnosis:
    """Judge what the role may do besides what a program needs."""
    return _judged(
        "May this role only read and insert history?",
        f"it may {', '.join(rights[:4])}" if rights else "no right that a program does not need",
        well=not rights,
        remedy="REVOKE these; rml init URL --role ROLE grants what is needed",
    )


def guarded(details: list[str]) -> Diagnosis:
    """Judge whether triggers, functions and indexes are those of the migrations."""
    return _judged(
        "Are the triggers that keep it append-only in place?",
        "; ".join(details[:3]) if details else "all triggers and indexes are as created",
        well=not details,
        remedy="keep the database as evidence and run: rml verify",
    )


def durable(settings: dict[str, str]) -> Diagnosis:
    """Judge whether the server has a commit on its disk before it counts."""
    evidence = ", ".join(f"{name} is {value}" for name, value in sorted(settings.items()))
    well = (
        settings.get("fsync") == settings.get("full_page_writes") == "on"
        and settings.get("synchronous_commit") != "off"
    )
    return _judged(
        "Does an acknowledged entry survive a power cut?",
        evidence,
        well=well,
        remedy="set all of them to on, for this role or for the server",
    )


def sealed(count: int, seconds: float) -> Diagnosis:
    """Judge whether entries get their indexes in time."""
    return _judged(
        "Do entries get their index in time?",
        f"{count} entries wait, the oldest for {seconds:.1f} s" if count else "none waits",
        well=seconds <= WAITING_SECONDS_MAX,
        remedy="the next process that writes to the ledger, or opens it, seals them; if it does "
        "not, look into pg_locks for who holds the sealer's lock",
    )


def _judged(question: str, evidence: str, *, well: bool, remedy: str) -> Diagnosis:
    answer = Answer.YES if well else Answer.NO
    return Diagnosis("database", question, answer, evidence, None if well else remedy)

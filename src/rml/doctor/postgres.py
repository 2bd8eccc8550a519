"""What the doctor asks of a ledger in PostgreSQL: who it connects as, and what is on the disk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import psycopg

from rml.doctor.diagnosis import Answer, Diagnosis
from rml.ledger.errors import LedgerUnavailableError
from rml.stores import postgres_schema
from rml.stores.postgres_place import Place, explain, place_of

# A sealing comes a fraction of a second after a commit; a busy server needs a little longer.
WAITING_SECONDS_MAX: Final = 5.0
_HISTORY: Final = ("entries", "places", "tiles", "meta", "migrations")
_WHO: Final = (
    "SELECT current_user::text, pg_has_role(current_user, nspowner, 'MEMBER'), rolsuper "
    "FROM pg_namespace, pg_roles WHERE nspname = %s AND rolname = current_user"
)
_RIGHTS: Final = (
    "SELECT t || '.' || r FROM unnest(%s::text[]) AS t, unnest(%s::text[]) AS r "
    "WHERE has_table_privilege(format('%%I.%%I', %s::text, t), r) ORDER BY 1"
)
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
    role, owns, is_super = connection.execute(_WHO, (place.schema,)).fetchall()[0]
    yield as_another_role(role, owns=owns, is_super=is_super)
    rights = ["UPDATE", "DELETE", "TRUNCATE"]
    found = connection.execute(_RIGHTS, (list(_HISTORY), rights, place.schema)).fetchall()
    yield append_only([name for (name,) in found])
    yield guarded([text for _, text in postgres_schema.schema_findings(connection, place)])
    yield durable(dict(connection.execute(_SETTINGS).fetchall()))
    yield sealed(*connection.execute(place.sql(_WAITING)).fetchall()[0])


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
    """Judge what the role may do to tables of history besides reading and inserting."""
    return _judged(
        "May this role only read and insert history?",
        f"it may {', '.join(rights[:4])}" if rights else "no UPDATE, DELETE or TRUNCATE",
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

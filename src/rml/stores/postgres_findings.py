"""Whether a ledger's schema in PostgreSQL is as its migrations make it, and what it left undone.

What the migrations make is read from their text: so nothing has to be told twice. What is derived
from entries is not looked at here; a verification recomputes that from their bytes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import psycopg

from rml.stores.postgres_place import Place
from rml.stores.postgres_schema import migrations

Connection = psycopg.Connection[Any]

# An entry that waits longer than this was left by a process that died, and nobody has come since.
WAITING_SECONDS_MAX: Final = 60.0
_TABLE: Final = re.compile(r"^CREATE TABLE (\w+) \((.*?)^\)", re.MULTILINE | re.DOTALL)
_VIEW: Final = re.compile(r"^CREATE VIEW (\w+)", re.MULTILINE)
_INDEX: Final = re.compile(r"^CREATE (?:UNIQUE )?INDEX\s+(\w+)", re.MULTILINE)
_UNIQUE_COLUMN: Final = re.compile(r"^  (\w+) .*\bUNIQUE,?$", re.MULTILINE)
_UNIQUE: Final = re.compile(r"^  CONSTRAINT (\w+) UNIQUE", re.MULTILINE)
_TRIGGER: Final = re.compile(
    r"^CREATE TRIGGER (\w+) (BEFORE|AFTER) ([A-Z ]+?) ON (\w+) (.*?)EXECUTE FUNCTION (\w+)\(\)",
    re.MULTILINE,
)
_FUNCTION: Final = re.compile(
    r"^CREATE FUNCTION (\w+)\((.*?)\$\$(.*?)\$\$;", re.MULTILINE | re.DOTALL
)
_SETTING: Final = re.compile(r"\bSET (\w+) = (\w+)")


def findings(connection: Connection, place: Place) -> list[tuple[str, str]]:
    """Return (code, detail) of what is wrong with the schema, or left without index or entry."""
    return [
        *schema_findings(connection, place),
        *_unsealed(connection, place),
        *_strays(connection, place),
    ]


def schema_findings(connection: Connection, place: Place) -> list[tuple[str, str]]:
    """Compare tables, triggers, functions and indexes with those that the migrations make."""
    text = "".join(migrations().values())
    found = [
        *_of_tables(connection, place, text),
        *_of_triggers(connection, place, text),
        *_of_functions(connection, place, text),
        *_of_indexes(connection, place, text),
    ]
    return [("schema", detail) for detail in found]


def _of_tables(connection: Connection, place: Place, text: str) -> Iterator[str]:
    there = {name: what for name, *what in connection.execute(_TABLES, (place.schema,))}
    for name in _VIEW.findall(text):
        if name not in there:
            yield f"{name} is missing"
    for name, _ in _TABLE.findall(text):
        if name not in there:
            yield f"{name} is missing"
            continue
        persistence, has_policies, has_rules, has_children = there[name]
        if persistence != "p":
            yield f"{name} is not logged: a crash empties it"
        if has_policies:
            yield f"{name} has row security, which hides rows"
        if has_rules:
            yield f"{name} has a rule, which rewrites statements"
        if has_children:
            yield f"{name} has tables that inherit from it, whose rows are shown as its own"


_TABLES: Final = (
    "SELECT c.relname, c.relpersistence::text, c.relrowsecurity, c.relkind = 'r' AND EXISTS "
    "(SELECT FROM pg_rewrite AS r WHERE r.ev_class = c.oid), EXISTS "
    "(SELECT FROM pg_inherits AS h WHERE h.inhparent = c.oid) FROM pg_class AS c "
    "JOIN pg_namespace AS n ON n.oid = c.relnamespace "
    "WHERE n.nspname = %s AND c.relkind IN ('r', 'p', 'v', 'f')"
)


def _of_triggers(connection: Connection, place: Place, text: str) -> Iterator[str]:
    tables = {name for name, _ in _TABLE.findall(text)}
    there = {
        (name, table): (enabled, definition)
        for name, table, enabled, definition in connection.execute(_TRIGGERS, (place.schema,))
        if table in tables
    }
    prefixes = re.compile(rf'"?\b{place.schema}"?\.')
    for expected in _TRIGGER.finditer(text):
        name, table = expected[1], expected[4]
        enabled, definition = there.pop((name, table), ("", ""))
        actual = _TRIGGER.match(prefixes.sub("", definition))
        if not enabled:
            yield f"{name} is missing"
        elif enabled != "A":
            yield f"{name} is not enabled always"
        elif actual is None or _meaning(actual) != _meaning(expected):
            yield f"{name} is not as it was created"
    for name, _ in there:
        yield f"{name!a:.80} does not belong to a ledger"


def _meaning(trigger: re.Match[str]) -> tuple[object, ...]:
    """Return what a trigger is, however the server writes it."""
    name, moment, events, table, how, function = trigger.groups()
    how = how.replace("FOR EACH STATEMENT ", "")
    return name, moment, frozenset(events.split(" OR ")), table, how, function


_TRIGGERS: Final = (
    "SELECT t.tgname, c.relname, t.tgenabled::text, pg_get_triggerdef(t.oid) FROM pg_trigger AS t "
    "JOIN pg_class AS c ON c.oid = t.tgrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace "
    "WHERE n.nspname = %s AND NOT t.tgisinternal"
)


def _of_functions(connection: Connection, place: Place, text: str) -> Iterator[str]:
    rows = connection.execute(_FUNCTIONS, (place.schema,)).fetchall()
    bodies = {name: (body, set(settings)) for name, body, settings in rows}
    count = Counter(name for name, _, _ in rows)
    for name, head, body in _FUNCTION.findall(text):
        settings = {f"{what}={value}" for what, value in _SETTING.findall(head)}
        settings.add(f"search_path={place.schema}, pg_temp")
        if name not in bodies:
            yield f"{name} is missing"
        elif count[name] > 1:
            yield f"{name} is there more than once"
        elif bodies[name] != (body, settings):
            yield f"{name} is not as it was created"


_FUNCTIONS: Final = (
    "SELECT p.proname, p.prosrc, ARRAY(SELECT replace(s, '\"', '') "
    "FROM unnest(p.proconfig) AS s) FROM pg_proc AS p "
    "JOIN pg_namespace AS n ON n.oid = p.pronamespace WHERE n.nspname = %s"
)


def _of_indexes(connection: Connection, place: Place, text: str) -> Iterator[str]:
    there = {name for (name,) in connection.execute(_INDEXES, (place.schema,))}
    names = [*_INDEX.findall(text), *_UNIQUE.findall(text)]
    for table, columns in _TABLE.findall(text):
        names.append(f"{table}_pkey")
        names += [f"{table}_{column}_key" for column in _UNIQUE_COLUMN.findall(columns)]
    for name in names:
        if name not in there:
            yield f"{name} is missing"


_INDEXES: Final = (
    "SELECT c.relname FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid "
    "JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = %s AND i.indisvalid"
)


def _unsealed(connection: Connection, place: Place) -> list[tuple[str, str]]:
    lost, again, waiting, seconds = connection.execute(place.sql(_WITHOUT_INDEX)).fetchall()[0]
    found = []
    if again:  # the sealing of all that waits fails by it
        found.append(("unsealed", f"{again} entries wait for an index and have one"))
    if lost:
        found.append(("unsealed", f"{lost} entries have no index and do not wait for one"))
    if seconds > WAITING_SECONDS_MAX:
        found.append(
            ("unsealed", f"{waiting} entries wait for their index, the oldest for {seconds:.0f} s")
        )
    return found


_WITHOUT_INDEX: Final = (
    "SELECT (SELECT count(*) FROM ~entries AS e WHERE NOT EXISTS "
    "(SELECT FROM ~places AS p WHERE p.seq = e.seq) AND NOT EXISTS "
    "(SELECT FROM ~waiting AS w WHERE w.seq = e.seq)), "
    "(SELECT count(*) FROM ~waiting AS w JOIN ~places AS p USING (seq)), "
    "(SELECT count(*) FROM ~waiting), "
    "(SELECT coalesce(extract(epoch FROM clock_timestamp() - min(since)), 0)::float8 FROM ~waiting)"
)


def _strays(connection: Connection, place: Place) -> list[tuple[str, str]]:
    ((strays,),) = connection.execute(place.sql(_STRAYS)).fetchall()
    if not strays:
        return []
    return [("personal", f"{strays} values are kept beside entries that are not there")]


_STRAYS: Final = (
    "SELECT count(*) FROM ~personal AS k WHERE NOT EXISTS "
    "(SELECT FROM ~entries AS e WHERE e.id = k.entry)"
)

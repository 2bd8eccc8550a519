"""What a schema refuses, to whom, and how it is told when its owner has changed that."""

import json
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest
from click.testing import CliRunner

import rml
from rml.cli import main
from rml.stores import postgres_schema
from rml.stores.postgres_place import place_of
from rml.testing.stores import opening_of

Rights = psycopg.errors.InsufficientPrivilege

# What a verification says, and what an owner has done.
CHANGES = {
    "leases is not logged: a crash empties it": ["ALTER TABLE {}.leases SET UNLOGGED"],
    "entries has row security, which hides rows": [
        "ALTER TABLE {}.entries ENABLE ROW LEVEL SECURITY"
    ],
    "waiting has a rule, which rewrites statements": [
        "CREATE RULE r AS ON INSERT TO {}.waiting DO ALSO NOTHING"
    ],
    "entries has tables that inherit from it, whose rows are shown as its own": [
        "CREATE TABLE {}.more () INHERITS ({}.entries)"
    ],
    "entries_append_only is not as it was created": [
        "DROP TRIGGER entries_append_only ON {}.entries",
        (
            "CREATE TRIGGER entries_append_only BEFORE UPDATE OR DELETE ON {}.entries "
            "EXECUTE FUNCTION {}.append_only()"
        ),
        "ALTER TABLE {}.entries ENABLE ALWAYS TRIGGER entries_append_only",
    ],
    "head_grows is not as it was created": [
        "DROP TRIGGER head_grows ON {}.head",
        (
            "CREATE TRIGGER head_grows BEFORE UPDATE ON {}.head FOR EACH ROW WHEN (OLD.size < 0) "
            "EXECUTE FUNCTION {}.head_only_grows()"
        ),
        "ALTER TABLE {}.head ENABLE ALWAYS TRIGGER head_grows",
    ],
    "personal_erased is not as it was created": [
        (
            "CREATE FUNCTION {}.nothing() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN RETURN NEW; END'"
        ),
        "DROP TRIGGER personal_erased ON {}.personal",
        (
            "CREATE TRIGGER personal_erased BEFORE UPDATE OR DELETE ON {}.personal FOR EACH ROW "
            "EXECUTE FUNCTION {}.nothing()"
        ),
        "ALTER TABLE {}.personal ENABLE ALWAYS TRIGGER personal_erased",
    ],
    "only_erased is not as it was created": [
        "ALTER FUNCTION {}.only_erased() SET search_path = public"
    ],
    "only_erased is there more than once": [
        "CREATE FUNCTION {}.only_erased(x int) RETURNS int LANGUAGE sql AS 'SELECT 1'"
    ],
    "entries_id is missing": ["ALTER TABLE {}.entries DROP CONSTRAINT entries_id"],
    "places_seq_key is missing": ["ALTER TABLE {}.places DROP CONSTRAINT places_seq_key"],
    "waiting_pkey is missing": ["ALTER TABLE {}.waiting DROP CONSTRAINT waiting_pkey"],
    "history is missing": ["DROP VIEW {}.history"],
}


@pytest.fixture
def role(server: str) -> Iterator[str]:
    """A role that may log in, and nothing else."""
    name = f"app_{uuid4().hex[:8]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'app'")
        yield name
        connection.execute(f"DROP OWNED BY {name} CASCADE; DROP ROLE {name}")


def as_role(url: str, role: str) -> str:
    """A URL by which a role connects."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, f"{role}:app@{host}", parts.path, parts.query, ""))


@pytest.fixture
def app_url(url: str, role: str) -> str:
    """A ledger with an entry, as a role uses it that `rml init --role` has granted it to."""
    postgres_schema.initialise(opening_of(url), role)
    with rml.Ledger(url) as ledger:
        ledger.append("order.noted", world="RML3", personal={"email": "a@b.c"})
        assert 1 == ledger.size
    return as_role(url, role)


def refused(url: str, error: type[psycopg.Error], *statements: str) -> bool:
    """Whether the last of some statements is refused; `{}` stands for the schema."""
    place = place_of(url)
    with psycopg.connect(place.conninfo, autocommit=True) as connection:
        *before, last = (statement.replace("{}", place.schema) for statement in statements)
        for statement in before:
            connection.execute(statement)
        try:
            connection.execute(last)
        except error:
            return True
    return False


def test_a_granted_role_undoes_no_guard(app_url: str) -> None:
    """Of any table."""
    statements = [
        statement.replace("{table}", table)
        for table in postgres_schema.GRANTS
        if table != "history"
        for statement in (
            "TRUNCATE {}.{table}",
            "DROP TABLE {}.{table}",
            "ALTER TABLE {}.{table} DISABLE TRIGGER ALL",
            "CREATE TRIGGER x BEFORE INSERT ON {}.{table} EXECUTE FUNCTION {}.append_only()",
            "CREATE RULE x AS ON INSERT TO {}.{table} DO INSTEAD NOTHING",
        )
    ]
    assert [] == [each for each in statements if not refused(app_url, Rights, each)]


def test_a_granted_role_only_adds(app_url: str) -> None:
    """To history, and to nothing else that tells what history is."""
    statements = (
        "SET session_replication_role = replica",
        "CREATE TABLE {}.more (id int)",
        "CREATE OR REPLACE FUNCTION {}.append_only() RETURNS trigger LANGUAGE sql AS 'SELECT 1'",
        "CREATE EVENT TRIGGER x ON ddl_command_end EXECUTE FUNCTION {}.append_only()",
        "DELETE FROM {}.entries",
        "UPDATE {}.entries SET kind = 'a.b'",
        "DELETE FROM {}.places",
        "UPDATE {}.waiting SET leaf = ''",
        "UPDATE {}.personal SET entry = 'x'",
        "INSERT INTO {}.migrations (version) VALUES (99)",
        "INSERT INTO {}.meta VALUES ('a', 'b')",
        "SELECT setval('{}.entries_seq_seq', 1)",
    )
    assert [] == [each for each in statements if not refused(app_url, Rights, each)]


@pytest.mark.parametrize(
    "statements",
    [
        (
            "CREATE TEMP TABLE entries (corrects text, kind text)",
            "INSERT INTO pg_temp.entries SELECT entry, 'payload.erased' FROM {}.personal",
            "DELETE FROM {}.personal",
        ),
        (
            "CREATE TEMP TABLE places (idx bigint, seq bigint)",
            "INSERT INTO pg_temp.places VALUES (9, 9)",
            "UPDATE {}.head SET size = 10",
        ),
        (
            "CREATE TEMP TABLE places AS SELECT generate_series(1, 9) AS seq",
            "INSERT INTO {}.waiting (seq, leaf) VALUES (9, '')",
            "DELETE FROM {}.waiting",
        ),
    ],
    ids=["erasure", "head", "waiting"],
)
def test_a_temporary_table_fools_no_guard(app_url: str, statements: tuple[str, ...]) -> None:
    """Anybody may make one, and names are looked for among them first."""
    assert refused(app_url, psycopg.errors.RestrictViolation, *statements)


def test_what_a_database_grants_by_default_is_taken_back(server: str, role: str) -> None:
    """And what it does not is granted."""
    name = f"defaults_{uuid4().hex[:8]}"
    parts = urlsplit(server)
    there = urlunsplit(parts._replace(path=f"/{name}"))
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        try:
            with psycopg.connect(there, autocommit=True) as inside:
                for what in (
                    "REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC",
                    "GRANT ALL ON TABLES TO PUBLIC",
                    f"GRANT ALL ON TABLES TO {role}",
                ):
                    inside.execute(f"ALTER DEFAULT PRIVILEGES {what}")
            postgres_schema.initialise(opening_of(there), role)
            with rml.Ledger(as_role(there, role)) as ledger:
                ledger.append("order.noted", world="RML3")
            assert [] == complaints(as_role(there, role))
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def complaints(url: str) -> list[str]:
    """The questions about the database to which the doctor says no."""
    found = json.loads(CliRunner().invoke(main, ["doctor", "--ledger", url, "--json"]).output)
    about = [one for one in found if one["about"] == "database"]
    return [one["question"] for one in about if one["answer"] == "no"]


@pytest.mark.parametrize(
    "grant",
    [
        "UPDATE (bytes) ON {}.entries",
        "TRIGGER ON {}.entries",
        "TRUNCATE ON {}.leases",
        "DELETE ON {}.head",
        "INSERT ON {}.migrations",
        "CREATE ON SCHEMA {}",
    ],
)
def test_the_doctor_sees_a_right_that_is_not_needed(
    server: str, app_url: str, role: str, grant: str
) -> None:
    """A column's, a trigger's, a schema's too; `rml init --role` takes it back from tables."""
    assert [] == complaints(app_url)
    with psycopg.connect(server, autocommit=True) as connection:
        schema = place_of(app_url).schema
        connection.execute(f"GRANT {grant.replace('{}', schema)} TO {role}")
    assert ["May this role only read and insert history?"] == complaints(app_url)
    if "SCHEMA" not in grant:
        owner = urlunsplit(urlsplit(app_url)._replace(netloc=urlsplit(server).netloc))
        postgres_schema.initialise(opening_of(owner), role)
        assert [] == complaints(app_url)


def test_who_owns_the_tables_or_may_become_the_owner_is_seen(
    server: str, app_url: str, role: str
) -> None:
    """Though the schema belongs to somebody else."""
    question = "Does the ledger's user differ from its owner?"
    schema = place_of(app_url).schema
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"ALTER TABLE {schema}.leases OWNER TO {role}")
        assert question in complaints(app_url)
        connection.execute(f"ALTER TABLE {schema}.leases OWNER TO CURRENT_USER")
        assert question not in complaints(app_url)
        connection.execute(f"ALTER ROLE {role} SUPERUSER")
        assert question in complaints(f"{app_url}&options=-c%20role%3Dpg_read_all_data")
        connection.execute(f"ALTER ROLE {role} NOSUPERUSER")


@pytest.mark.parametrize("detail", list(CHANGES))
def test_what_an_owner_changed_is_found(url: str, server: str, detail: str) -> None:
    """By a verification, and by the doctor."""
    with psycopg.connect(server, autocommit=True) as connection:
        for change in CHANGES[detail]:
            connection.execute(change.replace("{}", place_of(url).schema))

    with rml.Ledger(url) as ledger:
        problems = [problem.detail for problem in ledger.verify().problems]
    assert [detail] == problems
    assert "Are the triggers that keep it append-only in place?" in complaints(url)


def test_the_view_of_history_shows_facts(url: str, server: str) -> None:
    """None where one has a zero character, which no text of PostgreSQL's may have."""
    with rml.Ledger(url) as ledger:
        for value in ("a", "\0"):
            ledger.append("order.noted", world="RML3", facts={"text": value})
        assert 2 == ledger.size
    with psycopg.connect(server, autocommit=True) as connection:
        text = place_of(url).sql("SELECT facts FROM ~history ORDER BY idx")
        assert [({"text": "a"},), (None,)] == connection.execute(text).fetchall()

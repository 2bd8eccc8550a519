"""What a role may do that is no owner, and what the database itself refuses to everybody."""

import json
import re
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


@pytest.fixture
def app_url(url: str, server: str) -> Iterator[str]:
    """The ledger as a role uses it that was granted what `rml init --role` grants."""
    role = f"app_{uuid4().hex[:8]}"
    parts = urlsplit(url)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'app'")
        postgres_schema.initialise(opening_of(url), role)
        host = parts.netloc.rpartition("@")[2]
        yield urlunsplit((parts.scheme, f"{role}:app@{host}", parts.path, parts.query, ""))
        connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def answers(url: str) -> dict[str, str]:
    """What the doctor says of the database."""
    result = CliRunner().invoke(main, ["doctor", "--ledger", url, "--json"])
    found = {one["question"]: one["answer"] for one in json.loads(result.output)}
    return {question: answer for question, answer in found.items() if "role" in question} | {
        question: answer for question, answer in found.items() if "owner" in question
    }


def test_a_role_that_was_granted_the_ledger_can_do_everything(app_url: str) -> None:
    """Appends, effects, corrections, erasure, verification."""
    with rml.Ledger(app_url) as ledger:
        receipt = ledger.append("order.noted", world="RML3", personal={"email": "a@b.c"})

        @rml.idempotent("payment.charge", key=lambda key: key, world="RML3", ledger=ledger)
        def charge(key: str) -> int:
            return 1

        assert [1, 1] == [charge("pay-1"), charge("pay-1")]
        ledger.erase(receipt.id, fields=["email"], reason="asked for", by="ann")
        assert {} == dict(ledger.entry(receipt.id).personal)
        assert ledger.verify().ok


def test_the_doctor_says_who_connects(url: str, app_url: str) -> None:
    """The owner can drop triggers, the granted role cannot."""
    assert {"no"} == set(answers(url).values())
    assert {"yes"} == set(answers(app_url).values())


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE {}.entries SET kind = 'a.b'",
        "DELETE FROM {}.entries",
        "TRUNCATE {}.entries",
        "DELETE FROM {}.places",
        "UPDATE {}.tiles SET root = ''",
        "TRUNCATE {}.head",
        "UPDATE {}.head SET size = 0",
        "UPDATE {}.head SET size = size + 1",
        "UPDATE {}.meta SET value = 'x'",
        "DELETE FROM {}.personal",
        "TRUNCATE {}.personal",
    ],
)
def test_nobody_changes_history_by_accident(url: str, server: str, statement: str) -> None:
    """Triggers refuse it to the owner too, and to a session that claims to be a replica."""
    with rml.Ledger(url) as ledger:
        ledger.append("order.noted", world="RML3", personal={"email": "a@b.c"})
    with psycopg.connect(server, autocommit=True) as connection:
        for setting in ("origin", "replica"):
            connection.execute(f"SET session_replication_role = {setting}")
            with pytest.raises(psycopg.errors.RestrictViolation):
                connection.execute(statement.format(place_of(url).schema))


def test_a_missing_trigger_is_found(url: str, server: str) -> None:
    """And one that was disabled, and a function that was replaced."""
    schema = place_of(url).schema
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP TRIGGER entries_append_only ON {schema}.entries")
        connection.execute(f"ALTER TABLE {schema}.tiles DISABLE TRIGGER tiles_append_only")
        connection.execute(
            f"CREATE OR REPLACE FUNCTION {schema}.only_erased() RETURNS trigger LANGUAGE plpgsql "
            "AS $$ BEGIN RETURN NEW; END $$"
        )
    with rml.Ledger(url) as ledger:
        problems = [problem.detail for problem in ledger.verify().problems]

    assert [
        "entries_append_only is missing",
        "tiles_append_only is not enabled always",
        "only_erased is not as it was created",
    ] == problems


def test_what_never_got_an_index_is_found(url: str, server: str) -> None:
    """An entry that waits too long, and one that does not even wait."""
    schema = place_of(url).schema
    with psycopg.connect(server, autocommit=True) as connection, rml.Ledger(url) as ledger:
        insert = (
            f"INSERT INTO {schema}.entries (bytes, id, kind, world, at, recorded_at) "
            "VALUES ('', %s, 'a.b', 'RML3', '', '') RETURNING seq"
        )
        connection.execute(insert, ("x",))
        assert ["unsealed"] == [problem.code for problem in ledger.verify().problems]
        (number,) = connection.execute(insert, ("y",)).fetchall()[0]
        connection.execute(
            f"INSERT INTO {schema}.waiting VALUES (%s, '', now() - interval '2 minutes')", (number,)
        )
        lost, waits = (problem.detail for problem in ledger.verify().problems)
        assert "1 entries have no index and do not wait for one" == lost
        assert re.fullmatch(r"1 entries wait for their index, the oldest for 1[2-9]\d s", waits)

"""Behind a pooler that gives each transaction another connection, and on settings of others."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import psycopg
import pytest
from pgbouncer import pgbouncer
from transaction_pooler import TransactionPooler

import rml
from rml.stores.postgres import PostgresStore
from rml.stores.postgres_place import place_of


@pytest.fixture(params=["cleans", "keeps", "PgBouncer"])
def pooled(url: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of an empty ledger through a pooler in transaction mode."""
    if request.param == "PgBouncer":
        with pgbouncer(url, 8) as theirs:
            yield theirs
    else:
        with TransactionPooler(url, 8, cleans=request.param == "cleans") as pooler:
            yield pooler.url


def test_everything_works_through_a_pooler_in_transaction_mode(pooled: str) -> None:
    """Calls at once, a transaction of the application's, reading: all rest on nothing kept."""
    ran: list[str] = []
    with rml.Ledger(pooled, timeout=60) as ledger:

        @rml.idempotent("payment.charge", key=lambda key: key, world="RML3", ledger=ledger, wait=60)
        def charge(key: str) -> str:
            ran.append(key)
            return key

        @rml.idempotent(
            "order.place", key="key", world="RML2", connection="connection", ledger=ledger
        )
        def place(connection: psycopg.Connection[object], key: str) -> None:
            connection.execute("SELECT 1")

        def work(number: int) -> None:
            ledger.append("order.noted", world="RML3")
            assert f"pay-{number % 3}" == charge(f"pay-{number % 3}")
            conninfo = place_of(pooled).conninfo
            with psycopg.connect(conninfo, prepare_threshold=None) as connection:
                place(connection, f"o-{number}")

        with ThreadPoolExecutor(3) as threads:
            list(threads.map(work, range(9)))
        kinds = [entry.kind for entry in ledger.entries()]
        assert () == ledger.verify().problems

    assert 3 == len(ran)
    assert [9, 12, 12] == [
        kinds.count(kind) for kind in ("order.noted", "effect.intent", "effect.done")
    ]


def test_a_follower_behind_a_pooler_looks_by_the_clock(pooled: str) -> None:
    """Nobody wakes it, and it misses nothing."""
    with rml.Ledger(pooled, timeout=60) as ledger:
        found: list[str] = []

        def read() -> None:
            for entry in ledger.follow(poll=0.01):
                found.append(entry.kind)
                if len(found) == 5:
                    return

        reader = threading.Thread(target=read)
        reader.start()
        for number in range(5):
            ledger.append(f"order.noted{number}", world="RML3")
        reader.join(60)

    assert [f"order.noted{number}" for number in range(5)] == found


@pytest.mark.parametrize(
    "setting",
    [
        "client_encoding=LATIN1",
        "client_encoding=SQL_ASCII",
        "default_transaction_isolation=serializable",
        r"default_transaction_isolation=repeatable\ read",
        "standard_conforming_strings=off",
        "bytea_output=escape",
        "search_path=pg_catalog",
        "plpgsql.variable_conflict=use_column",
        "lock_timeout=1",
        "timezone=Asia/Kathmandu",
    ],
)
def test_what_a_role_has_set_changes_nothing(url: str, setting: str) -> None:
    """Texts, decisions and reading are the same."""
    theirs = f"{url}&options={quote(f'-c {setting}')}"
    with rml.Ledger(theirs, service="żółć'\\") as ledger:

        @rml.idempotent("payment.charge", key=lambda key: key, world="RML3", ledger=ledger)
        def charge(key: str) -> str:
            return f"{key} €"

        assert ["ż'\\ €"] * 2 == [charge("ż'\\") for _ in range(2)]
        ledger.append("order.noted", world="RML3", facts={"text": "ż\0\\"}, personal={"n": "ż"})
        (*_, last) = ledger.entries()
        assert ("żółć'\\", "ż\0\\", "ż") == (last.service, last.facts["text"], last.personal["n"])
        assert () == ledger.verify().problems


def test_a_session_that_the_server_has_ended_is_replaced(url: str, server: str) -> None:
    """As it ends one that nobody has used for its idle_session_timeout."""
    there = "SELECT 1 FROM pg_stat_activity WHERE pid = %s"
    with (
        rml.Ledger(f"{url}&connections=1", timeout=60) as ledger,
        psycopg.connect(server, autocommit=True) as watcher,
    ):
        ledger.append("order.noted", world="RML3")
        store = ledger._store
        assert isinstance(store, PostgresStore)
        with store._lend(None) as line:
            line.execute("SET idle_session_timeout = 1")
            session = line.info.backend_pid
        while watcher.execute(there, [session]).fetchall():
            pass
        ledger.append("order.noted", world="RML3")

        assert 2 == ledger.size
        assert () == ledger.verify().problems


@pytest.mark.parametrize("variable", ["LATIN1", "SQL_ASCII"])
def test_an_encoding_in_the_environment_changes_nothing(
    url: str, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """A ledger speaks UTF-8, whatever libpq was told."""
    monkeypatch.setenv("PGCLIENTENCODING", variable)
    with rml.Ledger(url) as ledger:
        ledger.append("order.noted", world="RML3", facts={"text": "ż"}, actor="ż")
        assert ["ż"] == [entry.actor for entry in ledger.entries()]

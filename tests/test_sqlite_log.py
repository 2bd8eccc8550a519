"""The write-ahead log: one checkpointer, and no reader makes it grow without bound."""

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from rml import Draft, Ledger, LedgerBusyError
from rml.ledger.store import Query
from rml.stores import sqlite_reading, sqlite_writer
from rml.stores.turns import FileTurns

PATIENCE_SECONDS = 60
LOG_BYTES_MAX = 400_000
COMMITS = 120  # of some 9,000 bytes each in the log


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the ledger is."""
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """A ledger of some pages, whose log is folded in, and emptied, sooner than usual."""
    monkeypatch.setattr(sqlite_writer, "LOG_PAGES", 20)
    monkeypatch.setattr(sqlite_writer, "LOG_BYTES_MAX", LOG_BYTES_MAX)
    monkeypatch.setattr(sqlite_writer, "LOOK_COMMITS", 4)
    monkeypatch.setattr(sqlite_reading, "PAGE_ROWS", 10)
    with Ledger(path) as made:
        made.write(lambda draft: [append(draft) for _ in range(50)])
        yield made


def append(to: Ledger | Draft) -> None:
    """Append one entry that fills a page."""
    to.append("a.b", world="RML1", facts={"text": "x" * 3_000})


def log_bytes(path: Path) -> int:
    """How long the log's file is."""
    return path.with_name("ledger.db-wal").stat().st_size


def view(path: Path) -> sqlite3.Connection:
    """A reader in the middle of its transaction."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM entries").fetchone()
    return connection


def test_readers_that_pause_pin_nothing(ledger: Ledger, path: Path) -> None:
    """Between two pages of an answer, no view of the file is kept open."""
    store: Any = ledger._store
    paused = [iter(ledger.entries()), store.select(Query(newest_first=True)), store.rows()]
    for one in paused:
        next(one)
    for _ in range(COMMITS):
        append(ledger)

    assert log_bytes(path) < LOG_BYTES_MAX
    assert [49, 49, 49 + COMMITS] == [sum(1 for _ in one) for one in paused]


def test_a_log_that_one_reader_kept_long_is_emptied_after_it(ledger: Ledger, path: Path) -> None:
    """Writers do not wait for it, and the file gets short again."""
    with closing(view(path)):
        for _ in range(COMMITS):
            append(ledger)
        assert log_bytes(path) > LOG_BYTES_MAX
    for _ in range(sqlite_writer.LOOK_COMMITS):
        append(ledger)

    assert log_bytes(path) < LOG_BYTES_MAX
    assert ledger.verify().ok


def test_readers_who_follow_each_other_without_a_gap_are_waited_for(
    ledger: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every moment one of them has a view, so that SQLite alone would never begin anew."""
    monkeypatch.setattr(sqlite_writer, "READERS_SECONDS", PATIENCE_SECONDS)
    over = threading.Event()
    seen = [0, 0, 0]

    def read(place: int) -> None:
        while not over.is_set():
            with closing(view(path)):
                threading.Event().wait(0.001 * (place + 1))
                seen[place] += 1

    threads = [threading.Thread(target=read, args=[place]) for place in range(3)]
    for thread in threads:
        thread.start()
    try:
        longest = 0
        for _ in range(3 * COMMITS):
            append(ledger)
            longest = max(longest, log_bytes(path))
    finally:
        over.set()
        for thread in threads:
            thread.join()

    assert min(seen) > 0
    assert longest < 4 * LOG_BYTES_MAX


def test_a_commit_of_any_size_leaves_a_short_log(ledger: Ledger, path: Path) -> None:
    """An import, say; the next commits find it out."""
    ledger.write(lambda draft: [append(draft) for _ in range(300)])
    assert log_bytes(path) > LOG_BYTES_MAX
    for _ in range(sqlite_writer.LOOK_COMMITS):
        append(ledger)

    assert log_bytes(path) < LOG_BYTES_MAX


def test_the_log_is_emptied_in_one_s_own_turn_only(ledger: Ledger, path: Path) -> None:
    """Nobody commits during a checkpoint: SQLite before 3.51.3 could corrupt the file then."""
    writer: Any = ledger._store._writer  # type: ignore[attr-defined]
    writer.empty_log()
    with closing(FileTurns(path)) as other:
        assert other.take(time.monotonic())
        writer.tidy()
        assert log_bytes(path) > 0
    writer.tidy()

    assert 0 == log_bytes(path)


def test_readers_and_writers_have_the_ledger_s_settings(ledger: Ledger) -> None:
    """Every flush happens, freed space is overwritten, and the log is folded in seldom."""
    store: Any = ledger._store
    names = ("synchronous", "secure_delete", "trusted_schema")
    with store._reading() as reader:
        for connection in (reader, store._writer.connection):
            found = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]
            assert [2, 1, 0] == found
    (pages,) = store._writer.connection.execute("PRAGMA wal_autocheckpoint").fetchone()
    assert sqlite_writer.LOG_PAGES == pages


HOLD_ALL = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA locking_mode = EXCLUSIVE")
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
"""


def test_a_file_that_is_held_is_waited_for_until_the_deadline(ledger: Ledger, path: Path) -> None:
    """By whoever opens it, too: no error of SQLite's comes before the deadline that was given."""
    ledger.close()
    command = [sys.executable, "-c", HOLD_ALL, str(path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout is not None
        assert "held\n" == other.stdout.readline()
        start = time.monotonic()
        with pytest.raises(LedgerBusyError, match="busy until the deadline"):
            Ledger(path, timeout=0.05)
        assert time.monotonic() - start >= 0.05
        sizes: list[int] = []

        def open_and_append() -> None:
            with Ledger(path, timeout=PATIENCE_SECONDS) as again:
                append(again)
                sizes.append(again.size)

        waiting = threading.Thread(target=open_and_append)
        waiting.start()
        other.communicate("\n", timeout=PATIENCE_SECONDS)
        waiting.join(PATIENCE_SECONDS)

    assert [51] == sizes

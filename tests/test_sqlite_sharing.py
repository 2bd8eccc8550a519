"""One file, many hands: threads that commit together, processes in turns, forked children."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from in_a_file import note, plain, three_entries

from rml import (
    Bundle,
    Draft,
    FileAnchor,
    FileCursor,
    InvalidInputError,
    Ledger,
    LedgerBusyError,
    LedgerCorruptError,
    LedgerUnavailableError,
    Receipt,
)
from rml.cli.key import read_signer
from rml.cli.vouching import checkpoint_in
from rml.stores import commits
from rml.stores import sqlite as sqlite_store

PATIENCE_SECONDS = 60


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the ledger is."""
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    """A ledger of three entries, one of which has values that can be erased."""
    with three_entries(path) as made:
        yield made


def run(script: str, *arguments: object) -> "subprocess.Popen[str]":
    """Start a script in a process of its own, with pipes to talk to it."""
    command = [sys.executable, "-W", "error", "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


# ------------------------------------------------------------------------- sharing it in a process


def test_two_ledgers_on_one_file_are_one_ledger(ledger: Ledger, path: Path) -> None:
    """Each sees at once what the other appended, and the tree has no seam."""
    with Ledger(path) as other:
        for number in range(300):
            writer, reader = (ledger, other) if number % 3 else (other, ledger)
            receipt = note(writer, facts={"number": number})
            assert receipt.id == reader.entry(receipt.id).id

        assert list(range(303)) == [entry.index for entry in ledger.entries()]
        assert (303, ledger.root) == (other.size, other.root)
        assert other.verify().ok


def test_a_reader_does_not_wait_for_a_writer(ledger: Ledger, path: Path) -> None:
    """It sees what was committed."""

    def work(draft: Draft) -> int:
        draft.append("a.b", world="RML1")
        with Ledger(path, create=False) as other:
            return len(other.entries())

    assert (3, 4) == (ledger.write(work), ledger.size)


def waiting_threads(ledger: Ledger, works: list[Callable[[Draft], Any]]) -> list[Any]:
    """Run works that all wait for one that is in the middle of its commit; return what each got."""
    entered, leave = threading.Event(), threading.Event()
    results: list[Any] = [None] * len(works)

    def first(draft: Draft) -> None:
        entered.set()
        assert leave.wait(PATIENCE_SECONDS)
        draft.append("first.done", world="RML1")

    def run_work(place: int) -> None:
        try:
            results[place] = ledger.write(works[place])
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            results[place] = error

    holder = threading.Thread(target=ledger.write, args=[first])
    threads = [threading.Thread(target=run_work, args=[place]) for place in range(len(works))]
    holder.start()
    assert entered.wait(PATIENCE_SECONDS)
    for thread in threads:
        thread.start()
    store: Any = ledger._store
    while len(store._commits._queue) < len(works):  # until everybody waits
        threading.Event().wait(0.001)
    leave.set()
    for thread in [holder, *threads]:
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()
    return results


def appending(number: int) -> Callable[[Draft], Receipt]:
    """A work that appends one entry."""
    return lambda draft: draft.append("a.b", world="RML1", facts={"number": number})


@pytest.mark.parametrize("batch", [1, 3, 512])
def test_waiting_works_get_their_own_results(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """Also when more are waiting than one commit takes."""
    monkeypatch.setattr(commits, "BATCH_MAX", batch)

    receipts = waiting_threads(ledger, [appending(number) for number in range(10)])

    assert list(range(10)) == [ledger.entry(receipt.id).facts["number"] for receipt in receipts]
    assert sorted(range(4, 14)) == sorted(receipt.index for receipt in receipts)
    assert ledger.verify().ok


def test_a_work_that_fails_among_others_fails_alone(ledger: Ledger) -> None:
    """Whatever it had appended is gone, and the others' indexes have no gap."""
    error = ValueError("no")

    def failing(draft: Draft) -> None:
        draft.append("a.b", world="RML1")
        draft.append("a.b", world="RML1")
        raise error

    first, failed, last = waiting_threads(ledger, [appending(1), failing, appending(2)])

    assert (error, {4, 5}) == (failed, {first.index, last.index})
    assert ledger.verify().ok


def test_a_work_that_the_file_refuses_among_others_fails_alone(ledger: Ledger) -> None:
    """With an error of ours, as when it is alone."""
    original = ledger.entries()[1].id

    def erasing(draft: Draft) -> None:
        draft.keep_only(original, [])

    first, failed, last = waiting_threads(ledger, [appending(1), erasing, appending(2)])

    assert isinstance(failed, LedgerCorruptError)
    assert ({4, 5}, {"email": "ada@example.com"}) == (
        {first.index, last.index},
        dict(ledger.entry(original).personal),
    )
    assert ledger.verify().ok


def test_when_sqlite_takes_back_everything_nobody_s_work_is_acknowledged(ledger: Ledger) -> None:
    """As it may when the disk is full or fails: what comes after would be committed by itself."""

    def failing(draft: Draft) -> None:
        store: Any = ledger._store
        store._writer.connection.rollback()
        raise sqlite3.OperationalError("disk I/O error")

    results = waiting_threads(ledger, [appending(1), failing, appending(2)])

    assert [LedgerUnavailableError] * 3 == list(map(type, results))
    assert (4, True) == (ledger.size, ledger.verify().ok)
    assert 4 == ledger.append("a.b", world="RML1").index


def test_an_interrupt_in_one_work_does_not_lose_the_others(ledger: Ledger) -> None:
    """They are committed by whoever comes next."""

    def interrupted(draft: Draft) -> None:
        draft.append("a.b", world="RML1")
        raise KeyboardInterrupt

    first, own, last = waiting_threads(ledger, [appending(1), interrupted, appending(2)])

    assert (KeyboardInterrupt, {4, 5}) == (type(own), {first.index, last.index})
    assert (6, True) == (ledger.size, ledger.verify().ok)


def test_ctrl_c_right_after_a_commit_leaves_the_others_in_doubt(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are told that it may be durable, and do not wait for ever."""
    end, hit = commits.Waiting.end, list[bool]()

    def interrupted(waiting: commits.Waiting, error: BaseException | None) -> None:
        if not hit:
            hit.append(True)
            raise KeyboardInterrupt
        end(waiting, error)

    monkeypatch.setattr(commits.Waiting, "end", interrupted)

    results = waiting_threads(ledger, [appending(number) for number in range(3)])

    kinds = sorted(type(result).__name__ for result in results)
    assert ["AppendUnknownError", "AppendUnknownError", "KeyboardInterrupt"] == kinds
    assert (7, True) == (ledger.size, ledger.verify().ok)


def test_ctrl_c_while_leading_a_commit_does_not_lose_the_others(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends the work of the thread that it hit; whoever waits is committed by the next."""
    monkeypatch.setattr(sqlite_store, "_in_main_thread", lambda: True)
    hit: list[bool] = []

    def interrupted(draft: Draft) -> None:
        draft.append("a.b", world="RML1")
        if not hit:
            hit.append(True)
            raise KeyboardInterrupt

    results = waiting_threads(ledger, [appending(1), interrupted, appending(2)])

    assert 1 == sum(isinstance(result, KeyboardInterrupt) for result in results)
    assert ledger.verify().ok


def test_closing_waits_for_the_commit_that_is_under_way(ledger: Ledger, path: Path) -> None:
    """Whoever was told that an entry is durable finds it."""
    entered, leave = threading.Event(), threading.Event()
    results: list[object] = []

    def work(draft: Draft) -> Receipt:
        entered.set()
        assert leave.wait(PATIENCE_SECONDS)
        return draft.append("a.b", world="RML1")

    def write() -> None:
        try:
            results.append(ledger.write(work))
        except LedgerUnavailableError as error:
            results.append(error)

    writer, closer = threading.Thread(target=write), threading.Thread(target=ledger.close)
    writer.start()
    assert entered.wait(PATIENCE_SECONDS)
    closer.start()
    leave.set()
    writer.join(PATIENCE_SECONDS)
    closer.join(PATIENCE_SECONDS)

    (result,) = results
    with Ledger(path, create=False) as again:
        assert (4 if isinstance(result, Receipt) else 3) == again.size
        assert again.verify().ok


# ------------------------------------------------------------------------ sharing it with others

HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
connection.rollback()
"""
HOLD_TURN = """
import fcntl, os, sys
file = os.open(sys.argv[1] + ".lock", os.O_RDWR)
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("script", [HOLD, HOLD_TURN], ids=["file", "turn"])
@pytest.mark.parametrize("timeout", [0, 0.02])
def test_a_busy_file_says_so_within_the_deadline(
    ledger: Ledger, path: Path, script: str, timeout: float
) -> None:
    """Another process holds it; nothing is recorded, reading goes on, and later it works."""
    with run(script, path) as other:
        assert other.stdout is not None
        assert "held\n" == other.stdout.readline()
        with pytest.raises(LedgerBusyError, match="busy until the deadline; nothing was rec"):
            ledger.write(appending(1), timeout=timeout)
        assert 3 == len(ledger.entries())
        other.communicate("\n", timeout=PATIENCE_SECONDS)

    assert (3, True) == (note(ledger).index, ledger.verify().ok)


def test_a_writer_waits_for_its_turn(ledger: Ledger, path: Path) -> None:
    """And gets it as soon as the other is gone, even if that one was killed."""
    with run(HOLD_TURN, path) as other:
        assert other.stdout is not None
        other.stdout.readline()
        waiting = threading.Thread(target=note, args=[ledger])
        waiting.start()
        other.kill()
        waiting.join(PATIENCE_SECONDS)

    assert 4 == ledger.size


APPEND = """
import sys, rml
with rml.Ledger(sys.argv[1], timeout=60) as ledger:
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(50):
        ledger.append("a.b", world="RML1", facts={"of": sys.argv[2], "number": number})
"""


def test_processes_append_without_gaps(path: Path) -> None:
    """Four at once, fifty each, on a file that none of them had to make first."""
    children = [run(APPEND, path, name) for name in range(4)]
    for child in children:
        assert child.stdout is not None
        assert "ready\n" == child.stdout.readline()
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    codes = []
    for child in children:
        child.communicate(timeout=PATIENCE_SECONDS)
        codes.append(child.returncode)

    with Ledger(path, create=False) as ledger:
        entries = list(ledger.entries())
        assert ([0, 0, 0, 0], list(range(200))) == (codes, [entry.index for entry in entries])
        for name in "0123":
            own = [entry.facts["number"] for entry in entries if entry.facts["of"] == name]
            assert list(range(50)) == own
        assert ledger.verify().ok


OPEN_AND_CLOSE = """
import sys, rml
for number in range(60):
    with rml.Ledger(sys.argv[1], timeout=60) as ledger:
        ledger.append("a.b", world="RML1")
        assert ledger.size == len(ledger.entries()) or ledger.size > number
"""


def test_opening_and_closing_disturbs_nobody(path: Path) -> None:
    """The last one to close folds the log into the file while another one opens it."""
    children = [run(OPEN_AND_CLOSE, path) for _ in range(3)]
    codes = [
        (child.communicate(timeout=PATIENCE_SECONDS), child.returncode)[1] for child in children
    ]

    with Ledger(path, create=False) as ledger:
        assert ([0, 0, 0], 180, True) == (codes, ledger.size, ledger.verify().ok)


LOCKED = """
import fcntl, sys
with open(sys.argv[1], "r+b") as file:  # SQLite's shared lock: 510 bytes from there
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 510, 0x40000002)
    except OSError:
        print("locked")
"""


def is_locked(path: Path) -> bool:
    """Ask from another process whether SQLite holds the file here, as it does while it is used."""
    with run(LOCKED, path) as other:
        said, _ = other.communicate(timeout=PATIENCE_SECONDS)
        assert 0 == other.returncode
    return bool(said)


def opened_again(path: Path) -> None:
    """Read and write by a second ledger, and close it."""
    with Ledger(path) as other:
        note(other)
        assert other.verify().ok


def taken_for_another(path: Path) -> None:
    """Give the ledger where a file of another kind should stand."""
    for read in (
        lambda: FileAnchor(path).last("acme"),
        FileCursor(path).load,
        lambda: Bundle.read(path),
        lambda: read_signer(path),
        lambda: checkpoint_in(path),
    ):
        with pytest.raises(InvalidInputError):
            read()


@pytest.mark.parametrize("work", [opened_again, taken_for_another], ids=lambda work: work.__name__)
def test_the_file_is_never_opened_beside_sqlite(
    ledger: Ledger, path: Path, work: Callable[[Path], object]
) -> None:
    """Closing it would drop the locks of this process: others would think it unused."""
    assert is_locked(path)

    work(path)

    assert is_locked(path)
    path.open("rb").close()
    assert not is_locked(path)


def forked(work: Callable[[], object]) -> int:
    """Run something in a forked child; return its exit status: 0 is well, 1 an error."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


@needs_fork
def test_a_forked_child_has_connections_of_its_own(ledger: Ledger) -> None:
    """Child and parent append in turns, and neither harms the other."""
    for _ in range(3):
        assert 0 == forked(lambda: (note(ledger), list(ledger.entries())))
        note(ledger)

    assert (list(range(9)), True) == (
        [entry.index for entry in ledger.entries()],
        ledger.verify().ok,
    )


@needs_fork
def test_a_fork_in_the_middle_of_a_commit_harms_nobody(ledger: Ledger, path: Path) -> None:
    """The child neither commits nor releases what the parent holds."""

    def work(draft: Draft) -> Receipt:
        draft.append("a.b", world="RML1")
        assert 0 == forked(ledger.close)
        with plain(path) as connection, pytest.raises(sqlite3.OperationalError, match="locked"):
            connection.execute("BEGIN IMMEDIATE")
        return draft.append("a.b", world="RML1")

    assert (4, 5, True) == (ledger.write(work).index, ledger.size, ledger.verify().ok)


@needs_fork
@pytest.mark.parametrize("place", ["memory:", "sqlite://:memory:"])
def test_a_ledger_in_memory_does_not_pretend_in_a_child(place: str) -> None:
    """What the child appended would be lost without a word."""
    with Ledger(place) as ledger:

        def work() -> None:
            with pytest.raises(LedgerUnavailableError, match="forked process; use a file"):
                note(ledger)

        assert (0, 0) == (forked(work), note(ledger).index)


ORPHAN = """
import os, signal, sys, rml
ledger = rml.Ledger(sys.argv[1])
ledger.append("a.b", world="RML1")
read, write = os.pipe()
if os.fork() == 0:  # a child that only waits, as a worker of a pool does
    os.close(write)
    os.read(read, 1)
    print("held", flush=True)
    sys.stdin.readline()
    os._exit(0)
def work(draft):
    draft.append("a.b", world="RML1")
    os.kill(os.getpid(), signal.SIGKILL)
ledger.write(work)
"""


@needs_fork
def test_a_child_does_not_keep_its_dead_parent_s_turn(path: Path) -> None:
    """The lock of a process that was killed is free, even while its children live."""
    with run(ORPHAN, path) as parent:
        assert parent.stdout is not None
        assert "held\n" == parent.stdout.readline()

        with Ledger(path, timeout=PATIENCE_SECONDS) as ledger:
            assert (1, True) == (note(ledger).index, ledger.verify().ok)

        parent.communicate("\n", timeout=PATIENCE_SECONDS)
        assert -signal.SIGKILL == parent.returncode

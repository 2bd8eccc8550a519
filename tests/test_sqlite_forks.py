"""A ledger, forks and interrupts: what was open is never shared, and nothing stays locked."""

import linecache
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import rml
from rml.stores import commits, sqlite_writer, turns
from rml.stores import sqlite as sqlite_store

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[rml.Ledger]:
    """A ledger in a file."""
    with rml.Ledger(tmp_path / "ledger.db", timeout=60) as ledger:
        yield ledger


def in_child(work: Any) -> int:
    """Run something in a forked child; return its exit status, 0 if it returned True."""
    child = os.fork()
    if not child:
        signal.alarm(120)
        try:
            os._exit(0 if work() else 1)
        except BaseException:  # noqa: BLE001 - whatever it is, the child ends here
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_child_s_entries_survive_its_parent_s_close(ledger: rml.Ledger, tmp_path: Path) -> None:
    """SQLite's own locks do not survive a fork, so nothing is open while one happens."""
    ledger.append("a.before", world="RML1")
    ready, go = os.pipe(), os.pipe()

    def work() -> bool:
        ledger.append("a.child", world="RML1")
        os.write(ready[1], b"x")
        os.read(go[0], 1)
        ledger.append("a.child_again", world="RML1")
        return ledger.verify().ok

    child = os.fork()
    if not child:
        signal.alarm(120)
        os._exit(0 if work() else 1)
    os.read(ready[0], 1)
    ledger.close()
    with rml.Ledger(tmp_path / "ledger.db") as other:
        other.append("a.other", world="RML1")
    os.write(go[1], b"x")

    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with rml.Ledger(tmp_path / "ledger.db") as again:
        kinds = [entry.kind for entry in again.entries()]
        assert ["a.before", "a.child", "a.other", "a.child_again"] == kinds
        assert again.verify().ok


def test_forking_while_threads_read_and_write(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fork waits for them; parent and children go on."""
    monkeypatch.setattr("rml.stores.sqlite.FORK_SECONDS", 60.0)
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            list(ledger.entries())

    def write() -> None:
        while not over.is_set():
            ledger.append("a.thread", world="RML1", facts={"x": "y" * 500})

    threads = [threading.Thread(target=work) for work in (read, read, write)]
    for thread in threads:
        thread.start()
    try:
        statuses = [
            in_child(lambda: bool(ledger.append("a.child", world="RML1").id)) for _ in range(8)
        ]
    finally:
        over.set()
        for thread in threads:
            thread.join()

    assert [0] * 8 == statuses
    assert 8 == len(ledger.entries(kind="a.child"))
    assert ledger.verify().ok


def test_a_fork_in_the_middle_of_a_read_is_refused_in_the_child(
    ledger: rml.Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be left alone in time is not used, also not by opening it again."""
    monkeypatch.setattr("rml.stores.sqlite.FORK_SECONDS", 0.0)
    store: Any = ledger._store

    def work() -> bool:
        with pytest.raises(rml.LedgerUnavailableError, match="forked while other threads"):
            ledger.append("a.child", world="RML1")
        with pytest.raises(rml.LedgerUnavailableError, match="forked while other threads"):
            rml.Ledger(tmp_path / "ledger.db")
        return True

    with store._reading():
        assert 0 == in_child(work)
    assert ledger.append("a.parent", world="RML1").index == 0


@pytest.mark.skipif(sys.gettrace() is not None, reason="somebody else is tracing")
def test_an_interrupt_at_any_line_leaves_nothing_locked(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C may come between any two steps of a write; the next write goes through.

    The interpreter takes and releases the locks of a `with` without looking for signals between.
    """
    monkeypatch.setattr(commits, "LOOK_SECONDS", 0.01)
    modules = (commits, sqlite_store, sqlite_writer, turns)
    names = {module.__file__ for module in modules}
    point, reached = 0, True
    while reached:
        point, reached = point + 1, False
        left = point

        def trace(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal left, reached
            if frame.f_code.co_filename not in names:
                return None
            line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
            if event == "line" and not line.startswith("with "):  # signals do not come there
                left -= 1
                if left == 0:
                    reached = True
                    raise KeyboardInterrupt
            return trace

        sys.settrace(trace)
        try:
            ledger.append("a.interrupted", world="RML1")
        except (KeyboardInterrupt, rml.AppendUnknownError):
            pass
        finally:
            sys.settrace(None)
        ledger.append("a.next", world="RML1")

    assert point > 20
    assert point == len(ledger.entries(kind="a.next"))
    assert ledger.verify().ok


def test_each_entry_has_its_own_caller_s_context(ledger: rml.Ledger) -> None:
    """Whoever leads the commit that carries it."""

    def append(name: str) -> None:
        for _ in range(40):
            with rml.surrounded(actor=name, correlation=f"of-{name}"):
                ledger.append("a.b", world="RML1", facts={"by": name})

    threads = [threading.Thread(target=append, args=[f"worker-{i}"]) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    entries = list(ledger.entries())
    assert 320 == len(entries)
    assert [] == [
        e for e in entries if e.actor != e.facts["by"] or e.correlation != f"of-{e.actor}"
    ]


def test_a_draft_ends_with_its_work(ledger: rml.Ledger) -> None:
    """What comes after the commit is in no commit."""
    kept: list[rml.Draft] = []
    ledger.write(kept.append)

    with pytest.raises(rml.InvalidInputError, match="the draft has ended"):
        kept[0].append("a.late", world="RML1")
    assert 0 == ledger.size


def test_work_that_is_still_to_be_run_is_refused(ledger: rml.Ledger) -> None:
    """A coroutine or a generator has drafted nothing yet."""

    async def later(draft: rml.Draft) -> None:
        draft.append("a.b", world="RML1")

    with pytest.raises(rml.InvalidInputError, match="work returned a coroutine"):
        ledger.write(later)
    with pytest.raises(rml.InvalidInputError, match="work returned a generator"):
        ledger.write(lambda draft: (draft.append("a.b", world="RML1") for _ in range(3)))
    assert 0 == ledger.size


def test_an_erasure_is_finished_when_a_reader_lets_go(ledger: rml.Ledger, tmp_path: Path) -> None:
    """An old view keeps its part of the log; the next commit after it empties it."""
    receipt = ledger.append("a.b", world="RML1", personal={"email": "ada@example.com"})
    store: Any = ledger._store
    with store._reading() as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM entries").fetchone()
        ledger.erase(receipt.id, ["email"], by="dpo", reason="asked for")
        connection.execute("COMMIT")

    ledger.append("a.next", world="RML1")

    left = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"ada@example.com" not in left


def test_an_error_is_its_own_caller_s(ledger: rml.Ledger) -> None:
    """Also when it is raised by a work that another thread carried out while handling an error."""
    entered, go = threading.Event(), threading.Event()
    caught: list[rml.RmlError] = []

    def hold(_: rml.Draft) -> None:
        entered.set()
        go.wait(60)

    def lead() -> None:
        try:
            raise rml.HistoryError("another customer's")
        except rml.HistoryError:
            ledger.append("a.led", world="RML1")

    def fail() -> None:
        try:
            ledger.append("a.b", world="RML1", corrects="nothing")
        except rml.UnknownIdError as error:
            caught.append(error)

    store: Any = ledger._store
    threads = [threading.Thread(target=work) for work in (lambda: ledger.write(hold), lead, fail)]
    for number, thread in enumerate(threads):
        thread.start()
        assert entered.wait(60)
        while len(store._commits._queue) < number:
            threading.Event().wait(0.001)
    go.set()
    for thread in threads:
        thread.join()

    (error,) = caught
    assert (rml.World.RML1, ()) == (error.world, error.causes)
    assert error.__context__ is None


def test_a_ledger_is_its_owner_s_alone(tmp_path: Path) -> None:
    """Results and personal values lie in it, and in its log."""
    with rml.Ledger(tmp_path / "private.db") as made:
        made.append("a.b", world="RML1")

        modes = {path.name: oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()}

    assert {"0o600"} == set(modes.values()), modes

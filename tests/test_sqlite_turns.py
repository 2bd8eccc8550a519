"""Whose turn it is to write: one at a time, whoever waits longest next, nobody for ever."""

import _thread
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from rml.stores import turns
from rml.stores.turns import FileTurns

pytestmark = pytest.mark.skipif(turns.fcntl is None, reason="this system has no flock")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

PATIENCE_SECONDS = 60.0
LOCK = "ledger.db.lock"


def soon() -> float:
    """A deadline that is nobody's reason to fail."""
    return time.monotonic() + PATIENCE_SECONDS


@pytest.fixture
def three(tmp_path: Path) -> Iterator[list[FileTurns]]:
    """Three writers of one file, as three processes have them."""
    made = [FileTurns(tmp_path / "ledger.db") for _ in range(3)]
    yield made
    for one in made:
        one.close()


def blocked(lock: Path) -> int:
    """How many wait for a lock, by what the system says."""
    inode = f":{lock.stat().st_ino} "
    lines = Path("/proc/locks").read_text("utf-8").splitlines()
    return sum(" -> " in line and inode in line for line in lines)


def opened(lock: Path) -> int:
    """How often this process has a lock's file open."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the listing's own, or what another thread has closed
            found.append(link.readlink())
    return found.count(lock.resolve())


def wait_until(condition: Any) -> None:
    """Look until something is so."""
    end = soon()
    while not condition():
        assert time.monotonic() < end
        threading.Event().wait(0.001)


class Waiting(threading.Thread):
    """Somebody who waits for the turn in a thread, and notes when it came."""

    def __init__(self, own: FileTurns, came: list[FileTurns]) -> None:
        super().__init__()
        self._own = own
        self._came = came

    def run(self) -> None:
        """Take the turn, note it, give it back."""
        if self._own.take(soon()):
            self._came.append(self._own)
            self._own.give_back()


def test_one_has_the_turn(three: list[FileTurns]) -> None:
    """The others get it when it is given back, not before."""
    first, second, _ = three

    assert first.take(soon())
    assert not second.take(time.monotonic())
    assert not second.take(time.monotonic() + 0.01)
    first.give_back()
    assert second.take(soon())
    assert not first.take(time.monotonic())


@on_linux
def test_whoever_waits_longest_is_next(three: list[FileTurns], tmp_path: Path) -> None:
    """Whatever the one does who has the turn: the system keeps the queue."""
    holder, *others = three
    came: list[FileTurns] = []
    assert holder.take(soon())
    waiting = [Waiting(one, came) for one in others]
    for place, one in enumerate(waiting):
        one.start()
        wait_until(lambda place=place: blocked(tmp_path / LOCK) == place + 1)

    holder.give_back()
    for one in waiting:
        one.join(PATIENCE_SECONDS)

    assert others == came
    assert holder.take(soon())


@on_linux
def test_a_wait_that_was_given_up_keeps_its_place(three: list[FileTurns], tmp_path: Path) -> None:
    """However often it is tried again; each attempt costs neither a file nor a thread."""
    holder, patient, _ = three
    assert holder.take(soon())

    def gives_up() -> bool:
        return not patient.take(time.monotonic() + 0.001)

    # Not the first time, if its moment is over before it comes to stand in the queue.
    wait_until(lambda: gives_up() and blocked(tmp_path / LOCK))
    files = opened(tmp_path / LOCK)

    assert all(gives_up() for _ in range(20))
    assert (files, 1) == (opened(tmp_path / LOCK), blocked(tmp_path / LOCK))
    came: list[FileTurns] = []
    waiting = Waiting(patient, came)
    waiting.start()
    holder.give_back()
    waiting.join(PATIENCE_SECONDS)
    assert [patient] == came


def test_a_turn_that_nobody_wants_any_more_goes_to_the_next(three: list[FileTurns]) -> None:
    """Whoever gave up waiting is granted it, and lets it go."""
    holder, impatient, other = three
    assert holder.take(soon())
    assert not impatient.take(time.monotonic() + 0.001)
    holder.give_back()

    for one in (other, impatient, holder):
        assert one.take(soon())
        one.give_back()


def test_where_no_thread_is_to_be_had_the_turn_is_looked_for(
    three: list[FileTurns], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the end of a program none can be started any more."""
    holder, other, _ = three

    def none(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    assert holder.take(soon())
    came: list[FileTurns] = []
    waiting = Waiting(other, came)
    with monkeypatch.context() as patched:
        patched.setattr(_thread, "start_new_thread", none)
        assert not other.take(time.monotonic() + 0.005)
    monkeypatch.setattr(turns, "_Wait", none)
    waiting.start()
    holder.give_back()
    waiting.join(PATIENCE_SECONDS)

    assert [other] == came


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_keeps_neither_its_parent_s_turn_nor_its_place(three: list[FileTurns]) -> None:
    """What it inherited it closes; the turn goes on without it."""
    holder, waiting, other = three
    assert holder.take(soon())
    assert not waiting.take(time.monotonic() + 0.001)
    ready, leave = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        holder.forget()
        waiting.forget()
        os.write(ready[1], b"x")
        os.read(leave[0], 1)
        os._exit(0)
    os.read(ready[0], 1)

    holder.close()

    assert other.take(soon())
    os.write(leave[1], b"x")
    os.waitpid(child, 0)

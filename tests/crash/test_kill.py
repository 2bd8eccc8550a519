"""A process is killed in the middle of its work, and nothing that was promised is lost."""

import os
import random
import signal
import sys
from functools import partial
from pathlib import Path

import pytest
from killed_child import killed_after

from rml import Draft, Ledger

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

KILLS = 20


def append_for_ever(path: Path, seed: int, acknowledge: int) -> None:
    """Append entries of every kind; write the id of each on a pipe once it is durable."""
    chance = random.Random(seed)
    with Ledger(path) as ledger:
        while True:
            several = chance.choice([1, 1, 1, 2, 40])

            def work(draft: Draft, several: int = several) -> list[str]:
                personal = {"note": "x" * chance.randrange(20_000)}
                return [
                    draft.append("a.b", world="RML1", facts={"of": several}, personal=personal).id
                    for _ in range(several)
                ]

            ids = ledger.write(work)
            os.write(acknowledge, "".join(f"{made}\n" for made in ids).encode())
            if chance.random() < 0.2:
                erased = ledger.erase(ids[0], ["note"], by="dpo", reason="law")
                os.write(acknowledge, f"{erased.id}\n".encode())


def test_nothing_acknowledged_is_lost_when_the_writer_is_killed(tmp_path: Path) -> None:
    """Twenty times over on one file: all is there, in whole commits, and the next one goes on."""
    path = tmp_path / "ledger.db"
    chance = random.Random(42)
    acknowledged: list[str] = []
    for kill in range(KILLS):
        append = partial(append_for_ever, path, kill)
        acknowledged += killed_after(chance.randrange(1, 60), append)

        with Ledger(path, create=False) as ledger:
            entries = list(ledger.entries())
            known = {entry.id for entry in entries}
            assert [] == [made for made in acknowledged if made not in known]
            assert list(range(len(entries))) == [entry.index for entry in entries]
            of_forty = sum(entry.facts.get("of") == 40 for entry in entries)
            assert (0, True) == (of_forty % 40, ledger.verify().ok)
            acknowledged.append(ledger.append("a.b", world="RML1").id)


def test_a_writer_killed_while_a_ledger_is_made_leaves_none_or_a_whole_one(tmp_path: Path) -> None:
    """The first commit is a commit, too."""
    for attempt in range(KILLS):
        path = tmp_path / f"{attempt}.db"
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.write(writing, b"x")
                Ledger(path)
                signal.pause()
            finally:
                os._exit(1)
        assert b"x" == os.read(reading, 1)
        while attempt % 4 and not path.exists():  # a quarter of them dies before there is a file
            os.sched_yield()
        for _ in range(attempt * 3):
            os.sched_yield()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reading)
        os.close(writing)

        with Ledger(path) as ledger:
            ledger.append("a.b", world="RML1")
            assert (1, True) == (ledger.size, ledger.verify().ok)


def test_the_interpreter_is_not_needed_for_durability(tmp_path: Path) -> None:
    """A process that leaves without closing anything has lost nothing."""
    path = tmp_path / "ledger.db"
    child = os.fork()
    if child == 0:
        try:
            Ledger(path).append("a.b", world="RML1")
            sys.stdout.flush()
        finally:
            os._exit(0)
    os.waitpid(child, 0)

    with Ledger(path, create=False) as ledger:
        assert (1, True) == (ledger.size, ledger.verify().ok)

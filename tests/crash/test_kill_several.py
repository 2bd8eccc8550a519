"""Several processes write to one file, and are killed one after the other in mid-write."""

import os
import random
import signal
from itertools import count
from pathlib import Path

import pytest

import rml

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

WRITERS = 4
KILLS = 12
LINES_BETWEEN = 15


def write_for_ever(path: Path, acknowledge: int, writer: int) -> None:
    """Append, and call a protected handler; tell each id once it is durable."""
    chance = random.Random(writer)
    with rml.Ledger(path, timeout=100) as ledger:

        @rml.idempotent("payment.charge", key="key", ledger=ledger)
        def charge(key: str) -> str:
            os.write(acknowledge, f"effect {key}\n".encode())
            return "charged"

        for number in count():
            note = {"note": "x" * chance.randrange(10_000)}
            made = ledger.append("a.b", world="RML1", facts={"writer": writer}, personal=note)
            os.write(acknowledge, f"entry {made.id}\n".encode())
            key = f"pay-{writer}-{number}"
            charge(key)
            os.write(acknowledge, f"done {key}\n".encode())


def writer_at(path: Path, acknowledge: int, number: int) -> int:
    """Start a writer; return its process id."""
    child = os.fork()
    if child == 0:
        try:
            write_for_ever(path, acknowledge, number)
        finally:
            os._exit(1)
    return child


def killed_one_by_one(path: Path) -> list[list[str]]:
    """Have writers killed at random, each followed by a new one; return what was told."""
    chance = random.Random(42)
    reading, writing = os.pipe()
    writers = [writer_at(path, writing, number) for number in range(WRITERS)]
    told = b""
    for kill in range(KILLS):
        heard_before = told.count(b"\n")
        while told.count(b"\n") < heard_before + LINES_BETWEEN:
            told += os.read(reading, 65_536)
        victim = writers.pop(chance.randrange(len(writers)))
        os.kill(victim, signal.SIGKILL)
        assert -signal.SIGKILL == os.waitstatus_to_exitcode(os.waitpid(victim, 0)[1])
        writers.append(writer_at(path, writing, WRITERS + kill))
    for writer in writers:
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
    os.close(writing)
    while heard := os.read(reading, 65_536):
        told += heard
    os.close(reading)
    return [line.split() for line in told.decode().splitlines()]


def test_nothing_is_lost_when_writers_beside_others_are_killed(tmp_path: Path) -> None:
    """The others go on; all that any of them was promised is there, and each effect once."""
    path = tmp_path / "ledger.db"
    rml.Ledger(path).close()

    told = killed_one_by_one(path)

    def words(verb: str) -> list[str]:
        return [value for word, value in told if word == verb]

    later = rml.FrozenClock("2100-01-01T00:00:00Z")
    with rml.Ledger(path, create=False, clock=later) as ledger:
        known = {entry.id for entry in ledger.entries()}
        assert [] == [made for made in words("entry") if made not in known]
        states = {effect.key: effect.state for effect in ledger.effects()}
        done = words("done")
        assert {rml.EffectState.DONE} == {states[key] for key in done}
        assert set(words("effect")) <= set(states)
        assert len(words("effect")) == len(set(words("effect")))
        in_doubt = [effect.key for effect in ledger.in_doubt()]
        assert sorted(in_doubt) == sorted(
            key for key, state in states.items() if state is rml.EffectState.IN_DOUBT
        )
        assert len(in_doubt) <= KILLS + WRITERS
        assert ledger.verify().problems == ()
        ledger.append("a.b", world="RML1")

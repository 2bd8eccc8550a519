"""A worker killed with signal 9 between intent and outcome: one effect, one doubt, one decision.

The worker is a real process, and its effect is counted in a file of its own, beyond any rollback.
"""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import rml

# The worker says where it is and waits to be killed; whoever reads the line knows that it is there.
WORKER = """
import sys
import rml
from pathlib import Path

place, counter, where = sys.argv[1:]

def stop_here(name):
    if name == where:
        print(name, flush=True)
        sys.stdin.read()

def effect():
    with Path(counter).open("a") as file:
        file.write("effect\\n")

ledger = rml.Ledger(place)
write = ledger._store.write
commits = 0

def watched(*args, **kwargs):
    global commits
    commits += 1
    stop_here({1: "before the intent", 2: "before the outcome"}.get(commits))
    result = write(*args, **kwargs)
    stop_here({1: "after the intent", 2: "after the outcome"}.get(commits))
    return result

ledger._store.write = watched

@rml.idempotent("payment.charge", key="key", ledger=ledger)
def charge(key: str, amount: int) -> str:
    stop_here("before the effect")
    effect()
    stop_here("after the effect")
    return "charged"

charge("pay-1", 5)
print("ended", flush=True)
"""


class Place:
    """A ledger's file, the count of effects beside it, and the parent's own handler."""

    def __init__(self, folder: Path) -> None:
        self.path, self.counter = folder / "ledger.db", folder / "counter"
        self.counter.touch()

    @property
    def effects(self) -> int:
        """How often the effect happened, whoever did it."""
        return len(self.counter.read_text().splitlines())

    def worker(self, where: str) -> "subprocess.Popen[str]":
        """Start a worker, and return when it has stopped where it should."""
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(self.path), str(self.counter), where],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert worker.stdout is not None
        if worker.stdout.readline() != f"{where}\n":
            worker.kill()
            pytest.fail(f"the worker never came there: {worker.communicate()}")
        return worker

    def killed_worker(self, where: str) -> None:
        """Start a worker and kill it where it stopped."""
        worker = self.worker(where)
        worker.send_signal(signal.SIGKILL)
        worker.communicate(timeout=60)
        assert worker.returncode == -signal.SIGKILL

    @contextmanager
    def ledger(self, *, later: float = 0.0) -> Iterator[rml.Ledger]:
        """Open the ledger with a clock that is ahead by some seconds."""
        clock = rml.FrozenClock(datetime.now(UTC) + timedelta(seconds=later))
        with rml.Ledger(self.path, clock=clock) as ledger, rml.use(ledger=ledger):
            yield ledger
            assert ledger.verify().problems == ()

    def charge(self, amount: int = 5, **options: Any) -> Any:
        """Call the same operation from this process."""

        @rml.idempotent("payment.charge", key="key", **options)
        def charge(key: str, amount: int) -> str:
            with self.counter.open("a") as file:
                file.write("effect\n")
            return "charged again"

        return charge("pay-1", amount)

    def ask(self, effect: rml.Effect) -> rml.Finding:
        """Reconcile as a provider would: by what really happened."""
        if self.effects:
            return rml.Finding(True, "found", "counted in the file")
        return rml.Finding(False, evidence="not in the file")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return an empty place."""
    return Place(tmp_path)


INSIDE = ["after the intent", "before the effect", "after the effect", "before the outcome"]


def happened(where: str) -> int:
    """Return how many effects there are when a worker stops here."""
    return int(where in ("after the effect", "before the outcome", "after the outcome"))


@pytest.mark.parametrize("where", INSIDE)
def test_a_killed_worker_leaves_doubt_and_nothing_runs_again(place: Place, where: str) -> None:
    """In flight while its lease lasts, in doubt after, with an incident; the count stays."""
    place.killed_worker(where)

    with place.ledger() as ledger:
        assert [] == list(ledger.in_doubt())
        with pytest.raises(rml.InFlightError):
            place.charge()
        with pytest.raises(rml.FingerprintMismatchError):
            place.charge(amount=6)
    with place.ledger(later=61) as ledger:
        assert ["pay-1"] == [effect.key for effect in ledger.in_doubt()]
        for _ in range(2):
            with pytest.raises(rml.InDoubtError) as caught:
                place.charge()
            assert caught.value.details["incident"].endswith("-0001")
        assert 1 == len(ledger.entries(kind="incident.opened"))
        assert ["pay-1"] == [effect.key for effect in ledger.in_doubt()]
    assert happened(where) == place.effects


@pytest.mark.parametrize("where", INSIDE)
def test_a_reconciler_settles_it_to_exactly_one_effect(place: Place, where: str) -> None:
    """Found at the other side it is done; not found, the next call does it."""
    place.killed_worker(where)

    with place.ledger(later=61) as ledger:
        with pytest.raises(rml.InDoubtError):
            place.charge(reconcile=place.ask)
        (reconciliation,) = rml.reconcile()
        assert bool(happened(where)) is reconciliation.happened
        expected = "found" if happened(where) else "charged again"
        assert [expected] * 2 == [place.charge(reconcile=place.ask) for _ in range(2)]
        assert [] == list(ledger.in_doubt())
    assert place.effects == 1


def test_a_person_settles_it_to_exactly_one_effect(place: Place) -> None:
    """Typed in with a reason; later calls are given the value."""
    place.killed_worker("after the effect")

    with place.ledger(later=61) as ledger:
        (effect,) = ledger.in_doubt()
        ledger.resolve(effect.id, happened=True, by="ada", reason="seen", result="charged")
        assert place.charge() == "charged"
    assert place.effects == 1


def test_killed_before_the_intent_nothing_was_promised(place: Place) -> None:
    """The next call simply runs."""
    place.killed_worker("before the intent")

    with place.ledger() as ledger:
        assert ledger.size == 0
        assert place.charge() == "charged again"
    assert place.effects == 1


def test_killed_after_the_outcome_it_is_done(place: Place) -> None:
    """The value that nobody received is given to the next caller."""
    place.killed_worker("after the outcome")

    with place.ledger() as ledger:
        assert place.charge() == "charged"
        assert 2 == ledger.size
    assert place.effects == 1


def test_a_worker_that_was_only_slow_is_late(place: Place) -> None:
    """Doubted and decided meanwhile, its outcome is recorded as late and changes nothing."""
    worker = place.worker("after the effect")
    with place.ledger(later=61) as ledger:
        (effect,) = ledger.in_doubt()
        ledger.resolve(effect.id, happened=True, by="ada", reason="seen", result="decided")

    _, _ = worker.communicate(timeout=60)
    assert worker.returncode == 1

    with place.ledger() as ledger:
        assert ["effect.late"] == [entry.kind for entry in ledger.entries()][-1:]
        assert place.charge() == "decided"
    assert place.effects == 1


def test_a_worker_that_is_left_alone_ends(place: Place) -> None:
    """Another process is refused while it works, and given the value afterwards."""
    worker = place.worker("after the effect")
    with place.ledger(), pytest.raises(rml.InFlightError):
        place.charge()

    out, _ = worker.communicate(timeout=60)
    assert (0, "ended\n") == (worker.returncode, out)

    with place.ledger():
        assert place.charge() == "charged"
    assert place.effects == 1

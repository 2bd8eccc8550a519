"""One problem is one incident: equal signals join, and ids are given once."""

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from escalated import Charged, incidents, kinds

import rml
from rml.incident.casebook import Casebook
from rml.incident.signals import opening


def test_equal_signals_are_one_incident(ledger: rml.Ledger, told: list[rml.Escalation]) -> None:
    """Forty-one equal problems are one case that has counted to forty-one."""
    for i in range(41):
        with pytest.raises(Charged), rml.boundary("checkout"):
            raise Charged(f"pay-{i} was charged twice")

    (case,) = Casebook(ledger)
    assert 41 == case.count
    assert list(range(1, 42)) == [escalation.count for escalation in told]
    assert [True] + [False] * 40 == [escalation.opened for escalation in told]


OTHERS: dict[str, Callable[[], rml.Incident]] = {
    "words": lambda: rml.escalate("other words", operation="payment.charge"),
    "operation": lambda: rml.escalate("words", operation="payment.refund"),
    "suspicion": lambda: rml.suspect("words", operation="payment.charge"),
    "code": lambda: rml.escalate(Charged("words"), operation="payment.charge"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_problems_are_other_incidents(ledger: rml.Ledger, name: str) -> None:
    """Another operation, code or text is another problem."""
    first = rml.escalate("words", operation="payment.charge")

    assert OTHERS[name]().id != first.id


def test_another_service_is_another_problem(ledger: rml.Ledger) -> None:
    """The service is part of what makes a problem the same."""
    rml.escalate(Charged())
    rml.configure(service="payouts")
    rml.escalate(Charged())

    assert ["INC-2026-0001", "INC-2026-0002"] == incidents(ledger)


def test_ids_start_anew_each_year(ledger: rml.Ledger, clock: rml.FrozenClock) -> None:
    """The number belongs to the year; the year is that of the ledger's clock, in UTC."""
    clock.set("2026-12-31T23:59:59.999999Z")
    rml.escalate("one")
    rml.escalate("two")
    clock.advance(0.000001)
    rml.escalate("three")
    rml.escalate("four")

    wanted = ["INC-2026-0001", "INC-2026-0002", "INC-2027-0001", "INC-2027-0002"]
    assert wanted == incidents(ledger)


def test_the_ids_of_an_early_year(ledger: rml.Ledger, clock: rml.FrozenClock) -> None:
    """A clock that has lost its battery still gives ids of the usual form."""
    clock.set("0999-01-01T00:00:00.000000Z")
    rml.suspect("one")
    rml.suspect("two")

    assert ["INC-0999-0001", "INC-0999-0002"] == incidents(ledger)


def test_ids_are_not_used_again_when_the_clock_steps_back(
    ledger: rml.Ledger, clock: rml.FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many incidents another year had, a number that was given is never given again."""
    monkeypatch.setattr(opening, "LOOK_BACK_MAX", 2)
    rml.escalate("one")
    clock.set("2027-01-01T00:00:00.000000Z")
    for i in range(3):
        rml.escalate(f"next year {i}")
    clock.set("2026-12-31T00:00:00.000000Z")
    rml.escalate("two")

    found = incidents(ledger)
    assert len(set(found)) == len(found) == 5


def test_the_ten_thousandth_id_is_longer() -> None:
    """Four digits are the least, not the most."""
    assert "INC-2026-10000" == opening.next_number(["INC-2026-9999"], 2026)
    assert "INC-2026-0001" == opening.next_number(["INC-2025-0007", "other"], 2026)
    assert "INC-0999-0002" == opening.next_number(["INC-0999-0001"], 999)


def test_entry_and_incident_are_one_commit(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the crossing cannot be written, no incident is left behind, and nobody is told."""
    told: list[rml.Escalation] = []
    rml.configure(hooks=[told.append])
    record = rml.Draft.record

    def failing(draft: rml.Draft, kind: str, **rest: Any) -> rml.Receipt:
        if kind == "error.crossed":
            raise rml.LedgerUnavailableError("the disk is full")
        return record(draft, kind, **rest)

    monkeypatch.setattr(rml.Draft, "record", failing)
    with pytest.raises(Charged), rml.boundary("checkout"):
        raise Charged

    assert ([], []) == (kinds(ledger), told)


def test_threads_open_one_incident(tmp_path: Path) -> None:
    """Threads that meet the same problem at once open one incident, which counts them."""
    barrier = threading.Barrier(8, timeout=30)

    def meet(i: int) -> rml.Incident:
        barrier.wait()
        return rml.escalate("Possible double charge", by=f"worker-{i}", ledger=ledger)

    with rml.Ledger(tmp_path / "a.db") as ledger, ThreadPoolExecutor(8) as pool:
        met = list(pool.map(meet, range(8)))
        assert 1 == len(incidents(ledger))
        assert 1 == sum(incident.opened for incident in met)
        assert list(range(1, 9)) == sorted(incident.count for incident in met)
        assert ledger.verify().ok


MEET = """
import sys, rml
path, name = sys.argv[1:]
with rml.Ledger(path, timeout=60) as ledger:
    for i in range(5):
        rml.escalate("the same" if name == "same" else f"{name} {i}", ledger=ledger)
"""


@pytest.mark.parametrize(
    ("names", "opened"), [(["same"] * 3, 1), (["a", "b", "c"], 15)], ids=["same", "different"]
)
def test_processes_open_one_incident_a_problem(
    tmp_path: Path, names: list[str], opened: int
) -> None:
    """Processes on one file agree about which incident a problem belongs to, and about ids."""
    path = str(tmp_path / "a.db")
    workers = [subprocess.Popen([sys.executable, "-c", MEET, path, name]) for name in names]

    assert [0, 0, 0] == [worker.wait(60) for worker in workers]
    with rml.Ledger(path) as ledger:
        found = incidents(ledger)
        assert opened == len(found) == len(set(found))
        assert 15 == sum(case.count for case in Casebook(ledger))
        assert ledger.verify().ok

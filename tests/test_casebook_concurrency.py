"""Several people on one case at once: nothing is lost, and whoever comes too late is told."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from casework import confirmed, through

import rml
from rml.incident.casebook import Casebook
from rml.incident.command.role import Role, hats_of
from rml.incident.pages.casefile import CaseFile
from rml.incident.rule import CaseClosedError, StepRefusedError


def test_two_people_close_at_once(tmp_path: Path) -> None:
    """One of them closes the case, everybody else is told who did."""
    barrier = threading.Barrier(6, timeout=30)

    def close(i: int) -> str:
        case = Casebook(ledger)[incident]
        barrier.wait()
        try:
            case.close(by=f"person-{i}")
        except CaseClosedError as error:
            return error.message
        return "closed"

    with rml.Ledger(tmp_path / "a.db") as ledger, ThreadPoolExecutor(6) as pool:
        incident = rml.escalate("Possible double charge", ledger=ledger).id
        through(Casebook(ledger)[incident])
        answers = list(pool.map(close, range(6)))
        (closed,) = ledger.entries(kind="incident.closed")

        assert 1 == answers.count("closed")
        assert 5 == sum(f"closed by {closed.actor}" in answer for answer in answers)
        assert ledger.verify().ok


def test_work_on_one_case_loses_nothing(tmp_path: Path) -> None:
    """Steps of several people at once are all there, in one order, and none after closing."""
    barrier = threading.Barrier(5, timeout=30)

    def work(i: int) -> int:
        case = Casebook(ledger)[incident]
        barrier.wait()
        for n in range(10):
            try:
                case.detect(f"sign {n}", by=f"person-{i}")
            except CaseClosedError:
                return n
            if i == 0 and n == 5:
                case.close(by="person-0")
        return 10

    with rml.Ledger(tmp_path / "a.db") as ledger, ThreadPoolExecutor(5) as pool:
        incident = rml.escalate("Possible double charge", ledger=ledger).id
        case = through(Casebook(ledger)[incident])
        counts = list(pool.map(work, range(5)))

        assert 6 == counts[0]
        detected = [entry for entry in case.entries if entry.kind == "incident.detected"]
        assert sum(counts) == len(detected)
        assert "incident.closed" == case.entries[-1].kind
        assert case.file == CaseFile.from_yaml(case.to_yaml())
        assert ledger.verify().ok


def test_two_people_decide_the_same_status_at_once(tmp_path: Path) -> None:
    """A move is legal from where the case is, not from where somebody last saw it."""
    barrier = threading.Barrier(4, timeout=30)

    def move(i: int) -> bool:
        case = Casebook(ledger)[incident]
        barrier.wait()
        try:
            case.move("resolved", by=f"person-{i}", reason="quiet")
        except StepRefusedError:
            return False
        return True

    with rml.Ledger(tmp_path / "a.db") as ledger, ThreadPoolExecutor(4) as pool:
        incident = rml.escalate("Possible double charge", ledger=ledger).id
        confirmed(Casebook(ledger)[incident])
        assert 1 == sum(pool.map(move, range(4)))


CLOSE = """
import sys, rml
from rml.incident.casebook import Casebook
path, name = sys.argv[1:]
with rml.Ledger(path, timeout=60) as ledger:
    (case,) = Casebook(ledger)
    for i in range(5):
        try:
            case.detect(f"sign {i}", by=name)
            if i == 3:
                case.close(by=name)
        except rml.RmlError as error:
            sys.exit(0 if error.code == "CASE_CLOSED" else 9)
sys.exit(7)
"""


def test_processes_close_a_case_once(tmp_path: Path) -> None:
    """Processes on one file close a case once, and record nothing on it afterwards."""
    path = tmp_path / "a.db"
    with rml.Ledger(path) as ledger:
        through(Casebook(ledger)[rml.escalate("Possible double charge", ledger=ledger).id])
    workers = [
        subprocess.Popen([sys.executable, "-c", CLOSE, str(path), f"person-{i}"]) for i in range(3)
    ]

    assert [0, 0, 0] == [worker.wait(60) for worker in workers]
    with rml.Ledger(path) as ledger:
        (case,) = Casebook(ledger)
        closed = [entry.kind == "incident.closed" for entry in case.entries]
        assert (1, True) == (sum(closed), closed[-1])
        assert ledger.verify().ok


LEAD = """
import sys, rml
from rml.incident.casebook import Casebook
path, name, others = sys.argv[1], sys.argv[2], sys.argv[3].split(",")
refused = 0
with rml.Ledger(path, timeout=60) as ledger:
    (case,) = Casebook(ledger)
    for i in range(8):
        case.detect(f"sign {i}", by=name)
        for move in (
            lambda: case.take("commander", by=name),
            lambda: case.hand_over(to=others[i % len(others)], by=name, briefing="all of it"),
            lambda: case.accept(by=name),
        ):
            try:
                move()
            except rml.StepRefusedError:
                refused += 1
print(refused)
"""


def test_processes_never_leave_none_or_two_in_command(tmp_path: Path) -> None:
    """Processes that all want to lead: no sign is lost, and after each entry one person leads."""
    path, names = tmp_path / "a.db", [f"person-{i}" for i in range(4)]
    with rml.Ledger(path) as ledger:
        rml.escalate("Possible double charge", ledger=ledger)
    workers = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                LEAD,
                str(path),
                name,
                ",".join(one for one in names if one != name),
            ],
            stdout=subprocess.PIPE,
        )
        for name in names
    ]
    refused = [int(worker.communicate(timeout=120)[0]) for worker in workers]

    assert [0] * 4 == [worker.returncode for worker in workers]
    with rml.Ledger(path) as ledger:
        (case,) = Casebook(ledger)
        entries = list(case.entries)
        signs = {(e.actor, e.facts["detail"]) for e in entries if e.kind == "incident.detected"}
        wanted = {(name, f"sign {i}") for name in names for i in range(8)}
        assert wanted == signs
        assert 4 * 8 + 4 * 24 + 1 == len(entries) + sum(refused)
        first = next(i for i, e in enumerate(entries) if e.kind == "incident.role_taken")
        leading = [hats_of(entries[: i + 1]).worn for i in range(first, len(entries))]
        assert {1} == {len(worn[Role.COMMANDER]) for worn in leading}
        assert ledger.verify().ok

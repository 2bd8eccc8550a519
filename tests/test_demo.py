"""The demonstration: what it says is so, it reads the same each time, and nothing stays running."""

import io
import json
import os
import shlex
import subprocess
import sys
from collections import Counter
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import attrs
import pytest

import rml
from rml.demo import act_three, shop, story, worker
from rml.demo.gateway_client import running_gateway
from rml.incident.casebook import Casebook
from rml.incident.pages.casefile import CaseFile


@attrs.frozen
class Told:
    """A run of the story and the lines it told."""

    result: story.DemoResult
    lines: list[str]
    folder: Path

    @property
    def text(self) -> str:
        """The lines, with the folder they name taken out."""
        return "\n".join(self.lines).replace(str(self.folder), "FOLDER")


def tell(out: Path) -> Told:
    """Run the story into a folder."""
    lines: list[str] = []
    result = story.run(out, lines.append)
    return Told(result, lines, result.ledger.parent)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """One run, looked at from all sides."""
    return tell(tmp_path_factory.mktemp("demo") / "story")


@pytest.fixture
def ledger(told: Told) -> Any:
    """Open the ledger that the run has left."""
    with rml.Ledger(told.result.ledger, create=False) as ledger:
        yield ledger


def books(folder: Path, kind: str) -> list[dict[str, Any]]:
    """Read the gateway's books without the gateway."""
    lines = (folder / "gateway-books.jsonl").read_text(encoding="utf-8").splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == kind]


def processes(folder: Path) -> list[str]:
    """Return the command lines of running processes that name a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has ended
        if str(folder) in command and int(path.parent.name) != os.getpid():
            found.append(command)
    return found


def snapshot(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder with its bytes."""
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_demo_is_ok(told: Told) -> None:
    """Every claim held, the ledger verifies, nothing stands in doubt."""
    assert told.result.ok
    assert () == told.result.untrue
    assert told.result.verification.ok
    assert 0 == told.result.counts.in_doubt


def test_the_counts_are_those_of_the_books(told: Told) -> None:
    """The gateway's file alone gives the same numbers."""
    charges, refunds = books(told.folder, "charge"), books(told.folder, "refund")
    a_payment = Counter(charge["payment_id"] for charge in charges)
    counts = told.result.counts

    assert counts.asked == len(a_payment)
    assert counts.made == len(charges)
    assert counts.duplicated == sum(number - 1 for number in a_payment.values()) > 0
    assert counts.refunded == len(refunds) == counts.duplicated


def test_no_payment_with_a_key_is_charged_twice(told: Told) -> None:
    """Faults and a killed worker notwithstanding; without a key, one is charged three times."""
    charges = books(told.folder, "charge")
    with_key = Counter(c["payment_id"] for c in charges if c["idempotency_key"] is not None)
    without = Counter(c["payment_id"] for c in charges if c["idempotency_key"] is None)

    assert {1} == set(with_key.values())
    assert with_key["pay-109"] == 1
    assert 3 == max(without.values())


def test_each_refund_corrects_a_surplus_charge(told: Told, ledger: rml.Ledger) -> None:
    """The ledger links every refund to the entry of the charge that it pays back."""
    links = {
        entry.id: ledger.entry(entry.corrects or "").facts["charge_id"]
        for entry in ledger.entries(kind="effect.done", operation="payment.refund")
    }
    assert sorted(links.values()) == sorted(r["charge_id"] for r in books(told.folder, "refund"))


def test_the_case_file_is_the_case(told: Told, ledger: rml.Ledger) -> None:
    """The YAML reads back as what the ledger tells, and went through all the steps."""
    case = Casebook(ledger)["INC-2026-0001"]
    page = CaseFile.from_yaml(told.result.case_file.read_text(encoding="utf-8"))

    assert case.file == page
    assert "closed" == case.phase
    assert ["detection", "containment", "impact_assessed", "decision", "action", "action"] == [
        event.type for event in page.timeline
    ][:6]
    assert 3 == page.classification.scope.affected_users_counted
    assert 4 == page.classification.scope.affected_transactions_counted
    assert {"legal", "business", "sre"} == {who.role for who in page.decisions.decided_by}


def test_the_killed_worker_left_a_promise_and_nothing_else(ledger: rml.Ledger) -> None:
    """Its intent is there, then the doubt that others recorded, then the reconciler's finding."""
    (effect,) = [e for e in ledger.effects(operation="payment.charge") if e.key == "pay-109"]

    kinds = [entry.kind for entry in ledger.entries(effect=effect.id)]
    assert ["effect.intent", "incident.joined", "effect.in_doubt", "effect.resolved"] == kinds
    assert rml.EffectState.DONE is effect.state


def test_it_reads_well_in_a_small_terminal(told: Told) -> None:
    """No line is wider than 80 columns, but those that name the folder."""
    wide = [line for line in told.lines if len(line) > 80 and str(told.folder) not in line]
    assert [] == wide
    assert all(line == line.rstrip() and line.isprintable() for line in told.lines)


def test_it_tells_what_a_stranger_is_to_see(told: Told) -> None:
    """The acts, the numbers, the verdict and what to type next are there."""
    for words in (
        "Act one",
        "Act two",
        "Act three",
        "INC-2026-0001",
        "signal 9",
        "EFFECT_IN_DOUBT",
    ):
        assert words in told.text
    assert "rml verify: ok" in told.text
    assert f"  {told.result.case_file}" in told.lines


def test_it_reads_the_same_each_time(told: Told, tmp_path: Path) -> None:
    """A second run tells the same story word for word, and its case file says the same."""
    again = tell(tmp_path / "again")

    assert again.text == told.text
    pages = [
        attrs.evolve(CaseFile.from_yaml(t.result.case_file.read_text()), ledger=None)
        for t in (told, again)
    ]
    assert pages[0] == pages[1]


def test_the_commands_it_names_can_be_typed(told: Told) -> None:
    """Each command at the end runs and is fine."""
    place = told.lines.index("Type next:")
    text = "\n".join(told.lines[place + 1 :]).replace("\\\n", "")
    commands = [shlex.split(line) for line in text.splitlines()]

    assert 3 == len(commands)
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert (0, "") == (done.returncode, done.stderr)


def test_it_leaves_nothing_running(told: Told) -> None:
    """Gateway and worker have ended with it."""
    assert [] == processes(told.folder)


def test_it_leaves_the_configuration_alone(told: Told) -> None:
    """The process has no ledger after it, as before it."""
    with pytest.raises(rml.NoLedgerError):
        rml.current_ledger()


def test_a_second_run_does_not_touch_the_first(tmp_path: Path) -> None:
    """The same --out again goes into a new folder inside it."""
    first = tell(tmp_path)
    before = snapshot(tmp_path)
    second = tell(tmp_path)

    assert tmp_path == first.folder
    assert tmp_path / "demo-2" == second.folder
    assert second.result.ok
    assert before.items() <= snapshot(tmp_path).items()


def test_a_folder_in_use_is_left_as_it_is(tmp_path: Path) -> None:
    """What else is in the folder stays, a ledger of the user's own among it."""
    (tmp_path / "demo-1").mkdir()
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")

    assert tmp_path / "demo-2" == tell(tmp_path).folder
    assert "mine" == (tmp_path / "notes.txt").read_text(encoding="utf-8")
    assert [] == list((tmp_path / "demo-1").iterdir())


def test_without_out_it_is_kept_among_the_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is new, and the story says where it is."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    lines: list[str] = []
    result = story.run(None, lines.append)

    assert tmp_path == result.ledger.parent.parent
    assert f"  {result.ledger.parent}" in lines
    assert result.case_file.exists()


def test_a_place_for_no_folder_is_refused(tmp_path: Path) -> None:
    """A file stands where the folder is to be: one clear error, nothing started."""
    taken = tmp_path / "taken"
    taken.write_text("mine", encoding="utf-8")

    with pytest.raises(
        rml.InvalidInputError, match=r"cannot make a folder in .*taken.*give another"
    ):
        story.run(taken, print)
    assert "mine" == taken.read_text(encoding="utf-8")


def test_what_is_not_so_is_said_and_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a kill switch that kills nothing, the demonstration is not ok."""
    monkeypatch.setattr(shop.KillSwitch, "is_thrown", False)
    told = tell(tmp_path)

    assert not told.result.ok
    assert "nothing is charged while payments are off" in told.result.untrue
    assert "!!!!!  This should hold and does not" in told.text
    assert "NOT ok" in told.text


@pytest.mark.parametrize("moment", ["Act one", "pay-104", "Contain.", "Act three", "rml verify"])
def test_an_interrupt_leaves_nothing_running(tmp_path: Path, moment: str) -> None:
    """Ctrl-C between any two lines ends what was started, and the configuration is as before."""

    def echo(line: str) -> None:
        if moment in line:
            raise KeyboardInterrupt

    told: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        story.run(tmp_path, lambda line: (echo(line), told.append(line))[1])
    assert ["Interrupted. What was written so far is in", f"  {tmp_path}"] == told[-2:]
    assert [] == processes(tmp_path)
    with pytest.raises(rml.NoLedgerError):
        rml.current_ledger()


def test_an_interrupt_at_the_worst_moment_makes_no_noise(tmp_path: Path) -> None:
    """Ctrl-C while a worker hangs between charge and answer: both children end, no traceback."""
    code = """
import os, signal
from rml.cli import main
from rml.demo.gateway_client import Gateway

wait = Gateway.wait_until_held

def interrupted(gateway, payment_id):
    wait(gateway, payment_id)
    os.kill(os.getpid(), signal.SIGINT)

Gateway.wait_until_held = interrupted
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code, "demo", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (130, "rml: interrupted") == (done.returncode, done.stderr.strip())
    assert [] == processes(tmp_path)


def test_a_worker_charges_what_it_is_told(tmp_path: Path) -> None:
    """Left alive, it charges once, prints the charge's id, and its effect is done."""
    path = tmp_path / shop.LEDGER
    rml.Ledger(path, origin="example.com/shop").close()
    with running_gateway(tmp_path / "books.jsonl") as gateway:
        arguments = ["--folder", str(tmp_path), "--gateway", gateway.address]
        arguments += ["--now", "2026-06-02T18:00:00Z", "pay-1", "cus-1", "100"]
        with redirect_stdout(io.StringIO()) as said:
            worker.main(arguments)
            worker.main(arguments)
        assert 1 == len(gateway.charges())

    assert ["ready", "ch-0001"] * 2 == said.getvalue().split()


def test_a_worker_that_cannot_start_is_no_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The story fails at once when its worker ends before it has charged."""
    monkeypatch.setattr(act_three, "WORKER", "rml.demo.nobody")
    with pytest.raises(RuntimeError, match="worker"):
        story.run(tmp_path, lambda _: None)
    assert [] == processes(tmp_path)


def test_it_names_rml_as_it_was_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its name if that is found, else by its path, else as a module of the interpreter."""
    called = tmp_path / "rml"
    called.touch()
    found: list[str | None] = [str(called), None]
    monkeypatch.setattr("shutil.which", lambda _: found.pop(0))

    monkeypatch.setattr(sys, "argv", [str(called)])
    assert ["rml", str(called)] == [story.program(), story.program()]
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "__main__.py")])
    assert f"{shlex.quote(sys.executable)} -m rml" == story.program()


def test_the_result_is_json(told: Told) -> None:
    """What `rml demo --json` prints."""
    shape = json.loads(json.dumps(told.result.to_dict()))

    assert shape["ok"] is True
    assert attrs.asdict(told.result.counts) == shape["counts"]
    assert str(told.result.case_file) == shape["case_file"]
    assert shape["verification"]["ok"] is True

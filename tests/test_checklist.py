"""The checklist: fifteen answers with evidence, and nothing claimed that nothing shows."""

import json
from pathlib import Path

import pytest
from casework import through
from click.testing import CliRunner

import rml
from rml.cli import main
from rml.doctor.checklist import Seen, checklist, look
from rml.incident.casebook import Casebook

CASES = ("six steps", "technical, of process", "reach the runbooks", "change after")
DOCUMENTS = ("an alert, a bug", "an RML3 incident is", "runbooks for", "playbooks")


@pytest.fixture
def ledger() -> rml.Ledger:
    """Return a ledger in memory."""
    return rml.Ledger("memory:")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the documents that are asked for, and others."""
    (tmp_path / "Runbooks").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "playbook.md").write_text("playbook", encoding="utf-8")
    (tmp_path / "Runbooks" / "payments.md").write_text("Contain: roll back.", encoding="utf-8")
    (tmp_path / "terms.md").write_text("An alert, a bug; an RML-3 incident.", encoding="utf-8")
    (tmp_path / "code.py").write_text("playbook", encoding="utf-8")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    return tmp_path


def answers(seen: Seen) -> dict[str, str]:
    """Return the answers by question."""
    return {found.question: found.answer.value for found in checklist(seen)}


def answer(seen: Seen, words: str) -> str:
    """Return the answer to the one question with these words."""
    (found,) = (answer for question, answer in answers(seen).items() if words in question)
    return found


def test_fifteen_questions_in_five_groups() -> None:
    """Three each; without anything to look at, only what the format ensures is yes."""
    found = checklist(look())

    groups = [one.about for one in found]
    assert ["definitions", "flow", "template", "docs", "culture"] == list(dict.fromkeys(groups))
    assert {3} == {groups.count(group) for group in groups}
    assert ["definitions", "template"] == [one.about for one in found if one.answer == "yes"]
    assert {"unknown"} == {one.answer for one in found if one.answer != "yes"}
    assert all((one.remedy is None) == (one.answer == "yes") for one in found)


@pytest.mark.parametrize("words", CASES)
def test_closed_cases_show_how_people_work(ledger: rml.Ledger, words: str) -> None:
    """All of them, or it is no; open ones and those scoped down show nothing."""
    case = Casebook(ledger)[rml.escalate("one", ledger=ledger).id]
    assert "unknown" == answer(look(ledger), words)
    change = {"what": "x", "kind": "runbook", "owner": "ann", "due": "2026-12-01"}
    through(case).learn(by="ann", changes=[change])
    case.close(by="ann")
    assert "yes" == answer(look(ledger), words)
    other = Casebook(ledger)[rml.escalate("two", ledger=ledger).id]
    other.decide(
        "x",
        decided_by={"legal": "a", "business": "b", "sre": "c"},
        by="ann",
        override="in a hurry",
    )
    other.close(by="ann", override="in a hurry")

    assert "no" == answer(look(ledger), words)


@pytest.mark.parametrize("words", DOCUMENTS)
def test_documents_are_looked_for(folder: Path, words: str) -> None:
    """What a document says, in any case of letters; hidden folders and code are none."""
    expected = "no" if words == "playbooks" else "yes"

    assert "unknown" == answer(look(), words)
    assert expected == answer(look(folder=folder), words)


def test_hooks_and_levers(ledger: rml.Ledger) -> None:
    """A hook that is configured and has not failed; something that was stopped."""
    case = Casebook(ledger)[rml.escalate("one", ledger=ledger).id]
    rml.configure(hooks=[lambda _: None])
    assert "yes" == answer(look(ledger), "ticket")
    rml.configure(hooks=None)
    assert "unknown" == answer(look(ledger), "ticket")
    assert "unknown" == answer(look(ledger), "be stopped")
    case.contain("nothing", by="ann", lever="none")
    assert "unknown" == answer(look(ledger), "be stopped")
    case.contain("off", by="ann", lever="flag_off")
    assert "yes" == answer(look(ledger), "be stopped")


def test_who_came_is_what_was_written_down(ledger: rml.Ledger) -> None:
    """Unknown while no postmortem was recorded; an excuse is no attendance."""
    case = Casebook(ledger)[rml.escalate("one", ledger=ledger).id]
    through(case).close(by="ann")
    assert "unknown" == answer(look(ledger), "postmortem")
    people = {"legal": "Ada", "business": "Grace", "sre": "Barbara"}
    case.postmortem(by="ann", attended=people)
    assert "yes" == answer(look(ledger), "postmortem")
    people.pop("legal")
    case.postmortem(by="ann", attended=people, absent={"legal": "ill"})

    assert "no" == answer(look(ledger), "postmortem")


def test_from_the_shell(tmp_path: Path, folder: Path) -> None:
    """Status 1 for a no, 0 otherwise; --docs needs --checklist, and a folder."""

    def run(*args: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, ["doctor", *args])
        return result.exit_code, result.output

    with rml.Ledger(tmp_path / "a.db") as ledger:
        rml.escalate("one", ledger=ledger)
    place = ("--ledger", str(tmp_path / "a.db"))
    assert 0 == run("--checklist", *place)[0]
    code, said = run("--checklist", "--docs", str(folder), *place)
    assert (1, True) == (code, "Are there playbooks" in said)
    documents = json.loads(run("--checklist", "--json")[1])
    assert 15 == len(documents)
    assert {"about", "question", "answer", "evidence", "remedy"} == documents[0].keys()
    assert 2 == run("--docs", str(folder), *place)[0]
    assert 2 == run("--checklist", "--docs", str(folder / "terms.md"), *place)[0]

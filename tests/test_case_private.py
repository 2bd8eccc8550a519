"""A private case: not in lists that everybody sees, and who read its evidence is known."""

import json
from pathlib import Path

import pytest
from casework import through
from click.testing import CliRunner

import rml
from rml.cli import main
from rml.incident.case import Case
from rml.incident.casebook import Casebook

TITLE = "keys were leaked"


@pytest.fixture
def book() -> Casebook:
    """Return the casebook of a ledger in memory, with a case that is not private."""
    ledger = rml.Ledger("memory:", clock=rml.FrozenClock("2026-11-21T03:00:00Z"))
    rml.escalate("Possible double charge", ledger=ledger)
    return Casebook(ledger)


@pytest.fixture
def case(book: Casebook) -> Case:
    """Return a private case."""
    case = book[rml.escalate(TITLE, criteria=["security"], ledger=book.ledger).id]
    case.set_private(private=True, by="ann", reason="not mended yet")
    return case


def test_it_is_left_out_of_lists(book: Casebook, case: Case) -> None:
    """A prompt names its id alone; who asks for private cases gets them."""
    assert TITLE not in f"{book!r}{book._repr_html_()}"
    assert case.id in repr(book)
    assert [case.id] == [one.id for one in book.cases(private=True)]
    assert case.id not in [one.id for one in book.cases(private=False)]
    assert case.id in [one.id for one in book.cases()]

    case.set_private(private=False, by="ann", reason="mended")
    assert TITLE in repr(book)
    assert 2 == len(book.cases(private=False))


def test_private_is_yes_or_no(case: Case) -> None:
    """A text such as "no" would count as yes."""
    with pytest.raises(rml.InvalidInputError, match="private is 'no'"):
        case.set_private("no", by="ann", reason="x")  # type: ignore[arg-type]


def test_who_reads_evidence_is_recorded(book: Casebook, case: Case) -> None:
    """With what for, also once it is closed; what is no evidence of the case is not read."""
    through(case).close(by="ann")
    opened = case.entries[0]
    assert opened == case.read_evidence(opened.id, by="bob", reason="for the regulator")
    assert "evidence_read" == case.timeline[-1].type
    told = case.entries[-1]
    assert ("bob", opened.id) == (told.actor, told.facts["entry"])

    other = book["INC-2026-0001"].entries[0].id
    size = book.ledger.size
    for unknown in (other, "nothing"):
        with pytest.raises(rml.UnknownIdError, match="no evidence"):
            case.read_evidence(unknown, by="bob", reason="x")
    assert size == book.ledger.size


def test_the_shell_leaves_it_out(tmp_path: Path) -> None:
    """`rml cases` shows private cases with --private only."""
    path = tmp_path / "a.db"
    with rml.Ledger(path, clock=rml.FrozenClock("2026-11-21T03:00:00Z")) as ledger:
        rml.escalate(TITLE, ledger=ledger)

    def run(*args: str) -> str:
        result = CliRunner().invoke(main, ["--ledger", str(path), *args])
        assert 0 == result.exit_code, result.output
        return result.stdout

    run("case", "INC-2026-0001", "private", "--by", "ann", "--reason", "a leak")
    assert ("no cases\n", []) == (run("cases"), json.loads(run("cases", "--json")))
    assert TITLE in run("cases", "--private")
    run("case", "INC-2026-0001", "private", "--off", "--by", "ann", "--reason", "mended")
    assert TITLE in run("cases")


def test_the_shell_records_who_reads_it(tmp_path: Path) -> None:
    """Nobody is shown a private case who does not say who they are, and what for."""
    path = tmp_path / "a.db"
    with rml.Ledger(path) as ledger:
        one = rml.escalate(TITLE, ledger=ledger)
        Casebook(ledger)[one.id].set_private(private=True, by="ann", reason="a leak")
        size = ledger.size
    reader = ("--by", "rosa", "--reason", "the regulator")

    def run(*args: str, code: int = 0) -> str:
        result = CliRunner().invoke(main, ["--ledger", str(path), *args])
        assert code == result.exit_code, result.output
        return result.output

    shown = ([], ["show"], ["show", "--json"], ["yaml"], ["html"], ["timeline"])
    for words in shown:
        refused = run("case", one.id, *words, code=2)
        assert TITLE not in refused
        assert "--reason" in refused
    for words in (("show", one.id), ("show", one.entry), ("show", "0")):
        assert TITLE not in run(*words, code=2)
    for words in shown:
        assert TITLE in run("case", one.id, *words, *reader)
    assert TITLE in run("case", one.id, "evidence", one.entry, *reader)

    with rml.Ledger(path) as ledger:
        told = ledger.entries(kind="incident.evidence_read")
        assert [("rosa", one.entry)] * 7 == [(e.actor, e.facts["entry"]) for e in told]
        assert size + 7 == ledger.size


@pytest.mark.parametrize("words", ["missing", "metrics", "remarks", "schedule", "containment"])
def test_the_shell_records_who_asks_about_it(tmp_path: Path, words: str) -> None:
    """What is missing, and how late it came, tells of a leak as well."""
    path = tmp_path / "a.db"
    with rml.Ledger(path) as ledger:
        one = rml.escalate(TITLE, ledger=ledger)
        Casebook(ledger)[one.id].set_private(private=True, by="ann", reason="a leak")
    command = ["--ledger", str(path), "case", one.id, words]

    assert 2 == CliRunner().invoke(main, command).exit_code
    asked = CliRunner().invoke(main, [*command, "--by", "rosa", "--reason", "the regulator"])

    assert asked.exit_code in (0, 1)
    with rml.Ledger(path) as ledger:
        assert ["rosa"] == [e.actor for e in ledger.entries(kind="incident.evidence_read")]

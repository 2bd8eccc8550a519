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

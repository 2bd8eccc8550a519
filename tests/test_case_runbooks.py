"""Runbooks are found by a symptom, and say what they pull and skip; who was paged is counted."""

from typing import Any

import pytest

import rml
from rml.incident.case import Case
from rml.incident.casebook import Casebook


@pytest.fixture
def book() -> Casebook:
    """Return the casebook of a ledger in memory."""
    clock = rml.FrozenClock("2026-11-21T03:00:00Z")
    return Casebook(rml.Ledger("memory:", clock=clock, service="shop"))


@pytest.fixture
def case(book: Casebook) -> Case:
    """Return a case that has just been opened."""
    return book[rml.escalate("Possible double charge", ledger=book.ledger).id]


def test_a_runbook_is_found_by_its_symptom(book: Casebook, case: Case) -> None:
    """The one registered last; of another symptom there is none, and that is said."""
    book.runbook("slow", "runbooks/old.md", pull=["flag_off"], by="ann")
    book.runbook("slow", "runbooks/slow.md", pull=["flag_off"], by="ann")
    case.triage("slow", by="ann")
    case.triage("fast", by="ann")
    case.triage("fast", by="ann", runbook="runbooks/fast.md")

    told = [entry.facts for entry in case.read().of("incident.triaged")]
    assert ["runbooks/slow.md", None, "runbooks/fast.md"] == [one.get("runbook") for one in told]
    assert [False, True, False] == ["no_runbook" in one for one in told]
    assert ["no-runbook"] == [remark.name for remark in case.remarks]


def test_a_runbook_says_why_a_lever_is_skipped(book: Casebook, case: Case) -> None:
    """Its reason passes the rule that gentler levers come first, of those that it names."""
    skip = {"flag_off": "it has no flag"}
    book.runbook("slow", "runbooks/slow.md", pull=["deploy_rollback"], skip=skip, by="ann")
    book.known_good("shop 1.4.2", by="ci")
    with pytest.raises(rml.StepRefusedError, match="lever-order"):
        case.contain("as it was", by="ann", lever="deploy_rollback")
    case.triage("slow", by="ann")
    case.contain("as it was", by="ann", lever="deploy_rollback")

    book.migration("0042", reversible=True, by="ci")
    case.triage("fast", by="ann")
    with pytest.raises(rml.StepRefusedError, match="comes after flag_off"):
        case.contain("undone", by="ann", lever="migration_rollback")


@pytest.mark.parametrize(
    ("pull", "skip", "told"),
    [
        ([], None, "pull names no lever"),
        (["flag_of"], None, "did you mean 'flag_off'"),
        (["migration_rollback"], {"flag_off": "none"}, "deploy_rollback is in neither"),
        (["flag_off"], {"flag_off": "why"}, "in pull and in skip"),
        (["deploy_rollback"], {"flag_off": " "}, "skip"),
        (["deploy_rollback"], ["flag_off"], "maps levers to reasons"),
    ],
)
def test_a_runbook_names_what_it_pulls_and_skips(
    book: Casebook, pull: list[str], skip: Any, told: str
) -> None:
    """Each of the levers up to the last that is pulled."""
    with pytest.raises(rml.InvalidInputError, match=told):
        book.runbook("slow", "runbooks/slow.md", pull=pull, skip=skip, by="ann")


def test_pages_are_counted_by_person_and_hour(book: Casebook, case: Case) -> None:
    """Who was called how often, and how often when nobody is at work; over a book, too."""
    clock = book.ledger.clock
    assert isinstance(clock, rml.FrozenClock)
    clock.set("2026-11-23T09:00:00Z")  # a Monday
    case.tell("paged", to="on_call_group", by="pager", paged=["ann", "bob", "ann"])
    clock.set("2026-11-23T18:00:00Z")
    case.tell("paged", to="on_call_group", by="pager", paged=["ann"])
    clock.set("2026-11-28T12:00:00Z")  # a Saturday
    case.tell("paged", to="tech_lead", by="pager", paged=["cy"])
    case.tell("called", to="tech_lead", by="ann")

    wanted = ({"ann": 2, "bob": 1, "cy": 1}, 2)
    assert wanted == (case.metrics.pages, case.metrics.pages_off_hours)
    over = book.metrics()
    assert wanted == (over.pages, over.pages_off_hours)
    assert wanted == tuple(over.to_dict()[name] for name in ("pages", "pages_off_hours"))


def test_a_missing_runbook_has_to_be_there_before_it_is_confirmed(ledger: rml.Ledger) -> None:
    """The gate looks for it; somebody's word that it exists is not enough."""
    book = rml.Casebook(ledger)
    case = book[rml.escalate("charged twice", ledger=ledger).id]
    case.triage("lost_answers", by="ann")

    with pytest.raises(rml.StepRefusedError, match="no runbook is registered for lost_answers"):
        case.confirm("stand_down", by="ann", evidence="looked")
    case.confirm("people_checked_on", by="ann", evidence="asked")
    case.confirm("runbook_exists", by="ann", evidence="x", override="it never happens again")
    book.runbook("lost_answers", "runbooks/lost.md", pull=["flag_off"], by="ann")
    case.confirm("stand_down", by="ann", evidence="looked")

"""What is said of a case in words that are known: criteria, sources, plans, symptoms, lessons."""

from collections.abc import Callable
from typing import Any

import pytest
from casework import CHANGE, TRIANGLE, confirmed, ready

import rml
from rml.incident import step
from rml.incident.case import Case
from rml.incident.casebook import Casebook


@pytest.fixture
def ledger() -> rml.Ledger:
    """Return a ledger in memory."""
    return rml.Ledger("memory:", clock=rml.FrozenClock("2026-11-21T03:00:00Z"))


@pytest.fixture
def case(ledger: rml.Ledger) -> Case:
    """Return a case that has just been opened."""
    return Casebook(ledger)[rml.escalate("Possible double charge", ledger=ledger).id]


# ----------------------------------------------------------------------------------- known words

# Each: the words, how they are said, and the name that a refusal gives them.
WORDS: dict[str, tuple[tuple[str, ...], Callable[[Case, str], object], str]] = {
    "criteria": (
        step.CRITERIA,
        lambda case, word: case.understand("x", by="ann", criteria=[word]),
        "criteria[0]",
    ),
    "sources": (
        step.SOURCES,
        lambda case, word: case.detect("x", by="ann", detected_by={"type": word}),
        "detected_by.type",
    ),
    "plans": (
        step.PLANS,
        lambda case, word: ready(case).decide("x", decided_by=TRIANGLE, plan=[word]),
        "plan[0]",
    ),
    "disclosures": (
        step.DISCLOSURES,
        lambda case, word: ready(case).decide("x", decided_by=TRIANGLE, disclosure=[word]),
        "disclosure[0]",
    ),
}


@pytest.mark.parametrize("name", WORDS)
def test_known_words_and_ones_own_are_taken(case: Case, name: str) -> None:
    """Each word of the list is recorded as it is, and so is ``other:`` with a text."""
    known, say, _ = WORDS[name]
    for word in (*known, "other:a word of ours"):
        say(case, word)
        assert word in str(dict(case.entries[-1].facts))


@pytest.mark.parametrize("name", WORDS)
@pytest.mark.parametrize("word", ["other:", "other: ", "nonsense"])
def test_other_words_are_refused(case: Case, name: str, word: str) -> None:
    """The refusal says which, and nothing is recorded of it."""
    _, say, where = WORDS[name]
    with pytest.raises(rml.InvalidInputError) as refused:
        say(case, word)

    assert where in str(refused.value)
    assert word not in [str(dict(entry.facts)) for entry in case.entries]


def test_a_case_says_by_which_criteria_it_was_declared(ledger: rml.Ledger) -> None:
    """From the signal that opened it, those that joined, and what was understood; each once."""
    for criterion in ("unknown-impact", "security", "security"):
        incident = rml.suspect("a leak", criteria=[criterion], ledger=ledger).id
    case = Casebook(ledger)[incident]
    case.understand("x", by="ann", criteria=["security", "slo-or-sla-violated"])

    assert ("unknown-impact", "security", "slo-or-sla-violated") == case.read().criteria
    assert "  rules   unknown-impact, security, slo-or-sla-violated\n" in str(case)


def test_a_symptom_without_runbook_is_said_to_have_none(case: Case) -> None:
    """An explicit record, and a remark; with a runbook, neither."""
    case.triage("lost_answers", by="ann", runbook="runbooks/lost-answers.md")
    assert "no-runbook" not in [remark.name for remark in case.remarks]
    case.triage("model_provider_outage", by="ann")
    assert case.entries[-1].facts["no_runbook"]
    told = [event.detail for event in case.timeline if event.type == "triage"]
    runbook = "lost_answers: runbooks/lost-answers.md"
    assert [runbook, "model_provider_outage: no runbook"] == told

    assert "no-runbook" in [remark.name for remark in case.remarks]


# ---------------------------------------------------------------------------------------- lessons


def taught(case: Case, *steps: dict[str, Any]) -> list[str]:
    """Take a case to its lessons, record them, and return what they leave open."""
    ready(case).decide("x", decided_by=TRIANGLE)
    for lists in steps:
        case.learn(by="ann", **lists)
    confirmed(case).all_clear("done", by="ann")
    return [line for line in case.missing() if line.startswith("no change is for")]


LESSONS: dict[str, Any] = {"technical": ["keys"], "process": ["ask"], "governance": ["none - fine"]}
NAMED = {**CHANGE, "lesson": "keys"}


def test_a_lesson_names_a_change_or_says_why_not(case: Case) -> None:
    """One line names those that do neither; a change that names one lesson is for that one."""
    (line,) = taught(case, {**LESSONS, "changes": [NAMED]})
    assert "'ask'" in line
    assert "'keys'" not in line
    assert "none" not in line
    case.learn(by="ann", process=["ask"], unchanged="they do, since May")

    case.close(by="ann")


def test_it_may_be_passed_with_a_reason(case: Case) -> None:
    """Nobody is kept from closing a case for the sake of a form."""
    assert taught(case, LESSONS, {"technical": ["b"], "changes": [CHANGE]})

    case.close(by="ann", override="written down in the handbook")


@pytest.mark.parametrize(
    "steps",
    [
        [{**LESSONS, "changes": [CHANGE]}],
        [LESSONS, {"changes": [NAMED, {**CHANGE, "lesson": "ask"}]}],
        [{**LESSONS, "changes": [NAMED], "unchanged": "the rest is in the terms"}],
    ],
    ids=["beside them", "named later", "a reason for the rest"],
)
def test_ways_to_answer(case: Case, steps: list[dict[str, Any]]) -> None:
    """A change beside the lessons, one that names each, or a reason for what is left."""
    assert [] == taught(case, *steps)


def test_many_lessons_are_one_line(case: Case) -> None:
    """Three are named, the others counted."""
    (line,) = taught(case, {**LESSONS, "technical": [f"lesson {i}" for i in range(9)]})

    assert "'lesson 2' and 7 more" in line


def test_a_change_for_no_lesson_is_refused(case: Case) -> None:
    """A slip of the pen is not a lesson; the nearest is named."""
    ready(case).decide("x", decided_by=TRIANGLE)
    with pytest.raises(rml.InvalidInputError, match="did you mean 'keys'"):
        case.learn(by="ann", **LESSONS, changes=[{**CHANGE, "lesson": "key"}])


# ---------------------------------------------------------------------------------------- changes


def test_changes_are_done_in_time_or_late(case: Case) -> None:
    """Counted from the entries, also those recorded once the case is closed."""
    wanted = [
        {**CHANGE, "what": "in time", "due": "2026-11-21"},
        {**CHANGE, "what": "late", "due": "2026-11-20"},
        {"what": "some day", "kind": "test"},
        {**CHANGE, "what": "never"},
    ]
    assert [] == taught(case, {**LESSONS, "changes": wanted})
    case.close(by="ann")
    for what in ("in time", "late", "some day"):
        case.complete(what, by="ann")

    told = case.metrics
    assert (4, 3, 1) == (told.changes, told.changes_done, told.changes_late)
    book = Casebook(case._ledger).metrics()
    assert (4, 3, 1) == (book.changes, book.changes_done, book.changes_late)
    assert "late" == case.timeline[-2].detail


def test_a_change_is_done_once_and_known(case: Case) -> None:
    """A slip of the pen is no change, and what is done is not done again; nothing is recorded."""
    taught(case, {**LESSONS, "changes": [CHANGE]})
    with pytest.raises(rml.InvalidInputError, match="did you mean 'a key per charge'"):
        case.complete("a key per change", by="ann")
    case.complete("a key per charge", by="ann")
    size = case._ledger.size
    with pytest.raises(rml.StepRefusedError, match="done-once"):
        case.complete("a key per charge", by="ann")

    assert size == case._ledger.size

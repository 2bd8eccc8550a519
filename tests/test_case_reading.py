"""A case is read once: the same head tells the same, and a later one adds what is new."""

from pathlib import Path
from typing import Any

import pytest

import rml
from rml.incident.case import Case
from rml.incident.casebook import Casebook

EVENTS = 2_000


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """Return a case that has just been opened."""
    ledger = rml.Ledger(tmp_path / "a.db")
    return Casebook(ledger)[rml.escalate("x", ledger=ledger).id]


def filled(case: Case, events: int) -> Case:
    """Add signs to a case, many to a commit."""

    def work(draft: rml.Draft) -> None:
        for i in range(events):
            draft.record(
                "incident.detected",
                world="RML2",
                facts={"detail": f"sign {i}"},
                actor="ann",
                incident=case.id,
            )

    case._ledger.write(work)
    return case


def test_what_did_not_change_is_not_read_again(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries are asked for once a head, and only those that are new."""
    asked: list[Any] = []
    entries = rml.Ledger.entries

    def counted(ledger: rml.Ledger, **conditions: Any) -> Any:
        asked.append(conditions.get("after"))
        return entries(ledger, **conditions)

    monkeypatch.setattr(rml.Ledger, "entries", counted)
    first = case.read()
    assert (first, first) == (case.read(), case.read())
    assert first is case.read()
    case.detect("one")
    case.detect("two")
    assert 3 == len(case.timeline)
    assert [None, 0] == asked


def test_another_look_shows_the_same(case: Case) -> None:
    """What a case has kept, and what is read afresh, are equal after each step."""
    for i in range(5):
        case.detect(f"sign {i}")
        fresh = Case(case._ledger, case.id)
        assert fresh.file == case.file
        assert fresh.read().entries == case.read().entries
    assert fresh == case


def test_a_long_case_is_whole(case: Case) -> None:
    """Thousands of events: all of them on the timeline and in the metrics, and steps go on."""
    filled(case, EVENTS)
    read = case.read()

    assert EVENTS + 1 == len(read.file.timeline) == read.metrics.writing.events
    case.contain("off", by="ann", lever="flag_off")
    case.understand("x", by="ann", users=1, exposure=["social"])
    assert EVENTS + 3 == len(case.read().file.timeline)
    assert f"sign {EVENTS - 1}" in case.to_yaml()


def test_a_step_reads_only_what_is_new(case: Case) -> None:
    """Of a case that was read, a rule sees what it was and what came since, wherever it came."""
    filled(case, 50).read()
    other = Casebook(case._ledger)[case.id]
    other.take("commander", by="ann")
    with pytest.raises(rml.StepRefusedError, match="ann is commander"):
        case.take("commander", by="bob")
    other.close(by="ann", override="a drill")
    with pytest.raises(rml.CaseClosedError):
        case.detect("more")
    other.reopen(by="ann", reason="more")

    case.detect("more")
    assert case.read().entries == tuple(case._ledger.entries(incident=case.id))


def test_what_grew_tells_the_same_as_what_is_read_at_once(case: Case) -> None:
    """Lines that were told are taken over; counts of signals go on."""
    told: list[Any] = []
    for i in range(6):
        rml.escalate("x", ledger=case._ledger)
        if i % 2:
            case.detect(f"sign {i}", at=case.opened_at)
        told.append(case.timeline)

    assert Case(case._ledger, case.id).timeline == told[-1]
    assert sorted(map(len, told)) == list(map(len, told))


def test_a_book_reads_a_case_once(case: Case) -> None:
    """What one look has read, the next one of the same book starts from; a few cases are kept."""
    book = Casebook(case._ledger)
    first = book[case.id].read()
    assert first is book[case.id].read()
    for i in range(20):
        book[rml.escalate(f"case {i}", ledger=case._ledger).id].read()

    assert first is not book[case.id].read()

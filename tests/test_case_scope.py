"""How much was said to be history: a later word replaces none, and less has a reason."""

import pytest
from casework import TRIANGLE

import rml
from rml.incident.case import Case
from rml.incident.casebook import Casebook
from rml.incident.rule import StepRefusedError


@pytest.fixture
def case(ledger: rml.Ledger) -> Case:
    """Return a case of which 37 users were counted."""
    case = Casebook(ledger)[rml.escalate("Possible double charge").id]
    case.understand("37 users", by="Ada", users=37, transactions_estimate=40)
    return case


def narrowed(case: Case) -> list[str]:
    """Return what a reviewer reads of narrowings."""
    return [remark.text for remark in case.remarks if remark.name == "narrowed"]


@pytest.mark.parametrize("less", [{"users": 0}, {"users": 36}, {"transactions_estimate": 39}])
def test_less_needs_evidence(case: Case, less: dict[str, int]) -> None:
    """As a lower severity does; nobody makes thirty-seven users none by saying so."""
    size = len(case.entries)
    with pytest.raises(StepRefusedError, match="needs evidence=") as refused:
        case.understand("fewer", by="Bob", **less)
    assert ["scope-evidence"] == refused.value.details["rules"]
    assert size == len(case.entries)

    case.understand("fewer", by="Bob", evidence="the bank's list", **less)


@pytest.mark.parametrize("as_much", [{"users": 37}, {"users": 38}, {"transactions": 1}, {}])
def test_more_needs_none(case: Case, as_much: dict[str, int]) -> None:
    """The worst is believed at once; a first count of something is no narrowing."""
    case.understand("as much", by="Bob", **as_much)

    assert [] == narrowed(case)


def test_both_stand_and_who_said_less_is_named(case: Case) -> None:
    """Actor and reason, for a reviewer and on the page; what was said last is what counts."""
    case.understand("none at all", by="Bob", users=0, evidence="the bank's list")
    case.understand("three", by="Cy", users=3)

    assert ["Bob narrowed users from 37 to 0: the bank's list"] == narrowed(case)
    assert "Bob narrowed users from 37 to 0: the bank&#x27;s list" in case.to_html()
    assert 3 == case.file.classification.scope.affected_users_counted


def test_an_override_is_the_reason_of_nothing_else(case: Case) -> None:
    """Without evidence, the words that were said stand for it; the override is a remark, too."""
    case.understand("they were tests", by="Bob", users=0, override="no time")

    assert ["Bob narrowed users from 37 to 0: they were tests"] == narrowed(case)
    assert "override" in [remark.name for remark in case.remarks]


def test_a_count_of_the_ledger_is_its_own_evidence(ledger: rml.Ledger, case: Case) -> None:
    """It says how it was counted; that it is less is told all the same."""

    @rml.idempotent("payment.charge", key="key", facts=("order",))
    def charge(key: str, order: str) -> None: ...

    charge("a", "o-1")
    charge("b", "o-1")
    case.understand("five", by="Ada", transactions=5)
    case.count_impact(operation="payment.charge", key="order", by="Bob")

    (line,) = narrowed(case)
    assert line.startswith("Bob narrowed transactions from 5 to 1: 1 effect of payment.charge")


def test_who_had_to_hear_still_has_to(ledger: rml.Ledger) -> None:
    """A broad impact that is narrowed afterwards hides no notice that was due."""
    case = Casebook(ledger)[rml.escalate("Possible double charge").id]
    case.understand("everybody", by="Ada", severity="SEV-3", users=5_000)
    case.understand("nobody", by="Ada", users=0, evidence="Q-7")

    told = {notice.audience: notice for notice in case.read().schedule(ledger.clock.now())}
    assert told["leadership"].due is not None


def test_a_decision_stands_beside_its_count(case: Case) -> None:
    """What was decided on is still there when less is said later."""
    case.contain("off", by="Ada", lever="none")
    case.decide("refund 37", decided_by=TRIANGLE)
    case.understand("none at all", by="Bob", users=0, evidence="the bank's list")

    assert ["37 users", "none at all"] == [
        event.detail for event in case.timeline if event.type == "impact_assessed"
    ]

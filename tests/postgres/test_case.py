"""A case in PostgreSQL: steps see each other before anything of them has an index."""

import pytest
from casework import TRIANGLE, ready, through

import rml
from rml.incident.case import Case
from rml.incident.casebook import Casebook
from rml.incident.command.role import Role
from rml.incident.rule import CaseClosedError


@pytest.fixture
def case(ledger: rml.Ledger) -> Case:
    """Return a case that has just been opened."""
    return Casebook(ledger)[rml.escalate("Possible double charge", operation="payment.charge").id]


def test_the_whole_way(ledger: rml.Ledger, case: Case) -> None:
    """Each step follows the one before at once, read in between or not; closed is closed."""
    case.take("scribe", by="sre-2")
    assert {"sre-2"} == set(case.read().hats.worn[Role.SCRIBE])
    through(case).close(by="sre-1")
    with pytest.raises(CaseClosedError):
        case.detect("more")

    assert "closed" == case.phase
    assert case.read().entries == tuple(ledger.entries(incident=case.id))


def test_rules_hold_between_steps_that_follow_at_once(case: Case) -> None:
    """What was said a moment ago is what a narrowing is measured by."""
    ready(case)
    case.understand("more", by="sre-1", users=9)
    with pytest.raises(rml.StepRefusedError, match="users was 9"):
        case.understand("fewer", by="sre-1", users=3)
    first = case.decide("refund", decided_by=TRIANGLE)
    case.decide("refund both", decided_by=TRIANGLE, amends=first.id)
    with pytest.raises(rml.StepRefusedError, match="amended-once"):
        case.decide("refund none", decided_by=TRIANGLE, amends=first.id)


def test_what_begins_now_breaks_the_quiet(
    ledger: rml.Ledger, case: Case, clock: rml.FrozenClock
) -> None:
    """An effect counts from its commit, whether or not it has been sealed."""

    @rml.idempotent("payment.charge", key="key", lever=False)
    def charge(key: str) -> str:
        return rml.current_effect().id

    case.contain("off", by="sre-1", lever="flag_off")
    clock.advance(300)
    assert case.containment.proven
    late = charge("pay-1")

    assert (False, (late,)) == (case.containment.proven, case.containment.offending)

"""What people and programs report without an exception, and what is refused of it."""

from collections.abc import Callable
from typing import Any

import pytest
from escalated import Charged, kinds

import rml
from rml.incident.casebook import Casebook
from rml.incident.pages.casefile import DetectedBy


def test_a_report_in_words_opens_an_incident(
    ledger: rml.Ledger, told: list[rml.Escalation]
) -> None:
    """Words are enough; they are the title, and the fingerprint besides."""
    incident = rml.escalate("Possible double charge", by="ada", operation="payment.charge")

    assert (incident.id, incident.opened, incident.count) == ("INC-2026-0001", True, 1)
    entry = ledger.entry(incident.entry)
    assert ("ada", "payment.charge", "payments") == (entry.actor, entry.operation, entry.service)
    assert "Possible double charge" == entry.facts["title"]
    assert entry.facts["gray"] is False
    assert [incident.id] == [escalation.incident for escalation in told]


def test_a_reported_exception_is_not_recorded_again(ledger: rml.Ledger) -> None:
    """An exception that was escalated by hand is known at the next boundary."""
    error = Charged()
    rml.escalate(error, operation="checkout")
    with pytest.raises(Charged), rml.boundary("checkout"):
        raise error

    assert ["incident.opened"] == kinds(ledger)


def test_a_suspicion_needs_no_proof(ledger: rml.Ledger) -> None:
    """Gray opens as RML3, with nothing but words, and is marked as gray."""
    incident = rml.suspect("customers report two charges")

    entry = ledger.entry(incident.entry)
    assert rml.World.RML3 is entry.world
    assert entry.facts["gray"] is True
    case = Casebook(ledger)[incident.id]
    assert rml.World.RML3 is case.world
    assert (DetectedBy(type="person", source="unknown"),) == case.file.detected_by


def test_details_are_erasable(ledger: rml.Ledger, told: list[rml.Escalation]) -> None:
    """Details reach the hooks and are kept beside the entry, where they can be erased."""
    incident = rml.escalate("Wrong payout", details={"customer": "ada", "amount": 1999})

    assert {"customer": "ada", "amount": 1999} == told[0].details
    assert {"customer": "ada", "amount": 1999} == ledger.entry(incident.entry).personal["details"]
    ledger.erase(incident.entry, ["details"], by="dpo", reason="request 7")
    assert {} == ledger.entry(incident.entry).personal
    assert ledger.verify().ok


def test_three_kinds_of_source_are_kept(ledger: rml.Ledger) -> None:
    """Code, a monitor and a person's ticket each open a case that says what noticed it."""
    with pytest.raises(Charged), rml.boundary("checkout"):
        raise Charged
    alert = {"type": "alert", "source": "payments.rml3_error_rate"}
    rml.escalate("RML3 errors above threshold", detected_by=alert)
    rml.suspect("charged twice", detected_by={"type": "cs_ticket", "id": "CS-1234"})

    found = [case.file.detected_by for case in Casebook(ledger)]
    assert [
        (DetectedBy(type="rml", source="checkout"),),
        (DetectedBy(type="alert", source="payments.rml3_error_rate"),),
        (DetectedBy(type="cs_ticket", id="CS-1234"),),
    ] == found


def test_three_kinds_of_source_join(ledger: rml.Ledger) -> None:
    """The same problem seen by an alert and told by a ticket is one case with both sources."""
    text = "Possible double charge"
    rml.escalate(text, detected_by={"type": "alert", "source": "rate"})
    rml.escalate(text, detected_by={"type": "cs_ticket", "id": "CS-1234"})

    (case,) = Casebook(ledger)
    assert ["alert", "cs_ticket"] == [source.type for source in case.file.detected_by]
    assert 2 == case.count


BAD_REPORTS: dict[str, Callable[[Any], object]] = {
    "no words": lambda _: rml.escalate(""),
    "blank words": lambda _: rml.escalate("  \n"),
    "no text": rml.escalate,
    "long words": lambda _: rml.escalate("x" * 2_001),
    "half a character": lambda _: rml.escalate("half \ud800"),
    "operation of two lines": lambda _: rml.escalate("x", operation="a\nb"),
    "empty effect": lambda _: rml.escalate("x", effect=""),
    "effect of no text": lambda wrong: rml.escalate("x", effect=wrong),
    "nobody": lambda wrong: rml.escalate("x", by=wrong),
    "float": lambda _: rml.escalate("x", details={"amount": 19.99}),
    "details without names": lambda wrong: rml.escalate("x", details=wrong),
    "source without type": lambda _: rml.escalate("x", detected_by={"source": "nobody"}),
    "source of no text": lambda wrong: rml.escalate("x", detected_by={"type": wrong}),
    "suspicion of no text": rml.suspect,
}


@pytest.mark.parametrize("name", BAD_REPORTS)
def test_a_report_that_cannot_be_recorded(
    ledger: rml.Ledger, told: list[rml.Escalation], name: str
) -> None:
    """Bad values are named; nothing is recorded and nobody is told."""
    with pytest.raises(rml.InvalidInputError):
        BAD_REPORTS[name](7)

    assert ([], []) == (kinds(ledger), told)


class Nameless:
    """An object that nobody can show."""

    def __repr__(self) -> str:
        raise RuntimeError("no showing")


UNSHOWN: dict[str, Callable[[rml.Ledger, Any], object]] = {
    "no text": lambda _, wrong: rml.escalate(wrong),
    "a key of the source": lambda _, wrong: rml.escalate(
        "x", detected_by={"type": "alert", wrong: "y"}
    ),
    "a severity": lambda _, wrong: rml.Casebook()[rml.suspect("x").id].understand(
        "x", by="ann", severity=wrong
    ),
    "an incident": lambda ledger, wrong: Casebook(ledger)[wrong],
    "an amended decision": lambda _, wrong: rml.Casebook()[rml.suspect("x").id].decide(
        "x", decided_by=dict.fromkeys(("legal", "business", "sre"), "ann"), amends=wrong
    ),
}


@pytest.mark.parametrize("name", UNSHOWN)
def test_a_value_that_nobody_can_show_is_refused(ledger: rml.Ledger, name: str) -> None:
    """The refusal names the type, whatever the value's own ``repr`` does."""
    with pytest.raises(rml.RmlError, match="Nameless"):
        UNSHOWN[name](ledger, Nameless())


@pytest.mark.parametrize("report", [rml.escalate, rml.suspect])
def test_a_report_of_an_unknown_effect_is_refused(
    ledger: rml.Ledger, told: list[rml.Escalation], report: Callable[..., rml.Incident]
) -> None:
    """An effect that this ledger never promised is a mistake; nothing is recorded."""
    with pytest.raises(rml.UnknownIdError, match="ef_elsewhere"):
        report("x", effect="ef_elsewhere")

    assert ([], []) == (kinds(ledger), told)


def test_a_report_names_an_effect(ledger: rml.Ledger) -> None:
    """A known effect is part of the case."""

    @rml.idempotent("payment.charge", key="key")
    def charge(key: str) -> str:
        return rml.current_effect().id

    effect = charge("pay-42")
    incident = rml.escalate("charged the wrong card", effect=effect)

    assert effect == ledger.entry(incident.entry).effect
    assert [effect] == [known.id for known in Casebook(ledger)[incident.id].effects]

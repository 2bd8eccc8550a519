"""A harm with an amount is made good by as much as it was about, and by no cent less."""

from collections.abc import Callable
from typing import Any

import pytest
from casework import UNCORRECTED, through

import rml
from rml.incident.case import Case
from rml.incident.casebook import Casebook
from rml.incident.rule import StepRefusedError


@pytest.fixture
def case(ledger: rml.Ledger) -> Case:
    """Return a case that lacks nothing but what its harm asks for."""
    return through(Casebook(ledger)[rml.escalate("Possible double charge").id])


def harm(ledger: rml.Ledger, case: Case, **facts: Any) -> str:
    """Record a charge that should not have been."""
    entry = ledger.append("payment.charged", world="RML3", facts=facts)
    case.understand("twice", by="sre-1", harmed=[entry.id])
    return entry.id


def give_back(ledger: rml.Ledger, one: str, world: str = "RML3", **facts: Any) -> str:
    """Record a correction."""
    return ledger.correct(
        one, "payment.refunded", world=world, by="Tom", reason="twice", facts=facts
    ).id


def left(case: Case) -> list[str]:
    """Return what is missing, which closing says in the same words."""
    missing = case.missing()
    if missing:
        with pytest.raises(StepRefusedError) as refused:
            case.close(by="sre-1")
        assert missing == refused.value.details["missing"]
    return missing


def test_a_cent_is_not_the_whole(ledger: rml.Ledger, case: Case) -> None:
    """The rest is named, to the cent, until it is there."""
    one = harm(ledger, case, amount=1999, currency="EUR")
    assert [f"{one} {UNCORRECTED}"] == left(case)
    give_back(ledger, one, amount=1, currency="EUR")
    assert [f"{one} is corrected by 1 of 1999 EUR: correct the other 1998 EUR"] == left(case)
    give_back(ledger, one, amount=1998)

    assert [] == left(case)
    case.close(by="sre-1")


@pytest.mark.parametrize(
    ("amount", "given"),
    [(1999, {"amount": 1999, "world": "RML2"}), (1999, {}), ("19.99", {"amount": 1999})],
    ids=["a note", "no amount", "another unit"],
)
def test_what_does_not_count(
    ledger: rml.Ledger, case: Case, amount: object, given: dict[str, Any]
) -> None:
    """What is no history, says no amount, or says it in another unit, gives nothing back."""
    one = harm(ledger, case, amount=amount, currency="EUR")
    give_back(ledger, one, **given)

    assert [f"{one} {UNCORRECTED}"] == left(case)


def test_decimals_add_up(ledger: rml.Ledger, case: Case) -> None:
    """Exactly, as text; another currency is another thing."""
    one = harm(ledger, case, amount="0.30", currency="EUR")
    give_back(ledger, one, amount="0.10", currency="EUR")
    give_back(ledger, one, amount="0.10", currency="USD")
    assert [f"{one} is corrected by 0.10 of 0.30 EUR: correct the other 0.20 EUR"] == left(case)
    give_back(ledger, one, amount="0.20")

    assert [] == left(case)


def test_a_refund_that_came_back_counts_no_more(ledger: rml.Ledger, case: Case) -> None:
    """Its correction frees what it gave, and the harm is owed again."""
    one = harm(ledger, case, amount=100)
    refunded = give_back(ledger, one, amount=100)
    assert [] == left(case)
    give_back(ledger, refunded, amount=40)

    assert [f"{one} is corrected by 60 of 100: correct the other 40"] == left(case)


@pytest.mark.parametrize("amount", [None, 0, "many"])
def test_without_an_amount_any_correction_does(
    ledger: rml.Ledger, case: Case, amount: object
) -> None:
    """There is nothing to add up."""
    one = harm(ledger, case, **({} if amount is None else {"amount": amount}))
    give_back(ledger, one)

    assert [] == left(case)


def protected(corrects: bool) -> Callable[..., str]:
    """Return a protected charge, or refund, that says its amount."""
    name = "payment.refund" if corrects else "payment.charge"

    @rml.idempotent(
        name, key="key", facts=("amount", "currency"), corrects="of" if corrects else None
    )
    def move(key: str, amount: int, currency: str, of: str | None = None) -> str:
        return rml.current_effect().id

    return move


def test_effects_count_with_what_their_intents_say(ledger: rml.Ledger, case: Case) -> None:
    """Charges and refunds under a key are the usual case."""
    one = protected(corrects=False)("ch-1", 1999, "EUR")
    case.understand("twice", by="sre-1", harmed=[one])
    refund = protected(corrects=True)
    refund("re-1", 999, "EUR", one)
    assert [f"{one} is corrected by 999 of 1999 EUR: correct the other 1000 EUR"] == left(case)
    refund("re-2", 1000, "EUR", one)

    assert [] == left(case)


def test_closed_knowingly_it_is_still_missing(ledger: rml.Ledger, case: Case) -> None:
    """A reason closes the case, and pays nobody back; what was passed stands until it is done."""
    one = harm(ledger, case, amount=100)
    case.close(by="sre-1", override="the books are closed")
    assert [f"{one} {UNCORRECTED}"] == case.missing()
    assert f"missing {one} has no correction" in repr(case)
    give_back(ledger, one, amount=100)

    assert [] == case.missing()

"""What a decided result becomes for the handler that is asked for it again."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypedDict

import pytest

import rml
from rml.effect.returns import kinds_of

WHO = {"by": "Rosa Klein", "reason": "seen on the bank statement"}


@dataclass(frozen=True)
class Receipt:
    """What a charge returns."""

    charge_id: str
    amount: Decimal


class Row(TypedDict):
    """What a client's library returns."""

    id: str


@pytest.fixture
def clock() -> rml.FrozenClock:
    """Time by hand."""
    return rml.FrozenClock()


@pytest.fixture
def ledger(clock: rml.FrozenClock) -> rml.Ledger:
    """A ledger in memory."""
    return rml.Ledger("memory:", clock=clock)


def lost(ledger: rml.Ledger, reconcile: Any = None) -> Any:
    """A protected handler whose first answer was lost."""
    answers = [TimeoutError("no answer")]

    @rml.idempotent("payment.charge", key="payment_id", ledger=ledger, reconcile=reconcile)
    def charge(payment_id: str) -> Receipt:
        raise answers[0]

    with pytest.raises(TimeoutError):
        charge("pay-1")
    return charge


def test_plain_data_become_the_annotated_class(ledger: rml.Ledger) -> None:
    """A person types JSON; the caller gets what the handler promises."""
    charge = lost(ledger)
    (effect,) = ledger.in_doubt()

    ledger.resolve(effect.id, happened=True, result={"charge_id": "c", "amount": "9.90"}, **WHO)

    assert Receipt("c", Decimal("9.90")) == charge("pay-1")


@pytest.mark.parametrize(
    "wrong",
    [
        42,
        "c",
        {"charge_id": "c"},
        {"charge_id": "c", "amount": "9", "more": 1},
        {"charge_id": "c", "amount": 9.5},
    ],
)
def test_what_does_not_fit_is_not_given(ledger: rml.Ledger, wrong: Any) -> None:
    """Nor is the effect run again."""
    charge = lost(ledger)
    (effect,) = ledger.in_doubt()
    ledger.resolve(effect.id, happened=True, result=wrong, **WHO)

    with pytest.raises(rml.ResultUnavailableError, match="the handler returns Receipt"):
        charge("pay-1")


def test_a_finding_that_does_not_fit_decides_nothing(ledger: rml.Ledger) -> None:
    """The doubt stays, and the report says why."""
    lost(ledger, reconcile=lambda _: rml.Finding(happened=True, result=42))

    (reconciliation,) = rml.reconcile(ledger=ledger)

    assert reconciliation.happened is None
    assert "it is a int, and the handler returns Receipt" in reconciliation.why
    assert 1 == len(ledger.in_doubt())


def test_a_finding_of_plain_data_fits(ledger: rml.Ledger) -> None:
    """It is recorded as what the handler would have returned."""
    found = {"charge_id": "c", "amount": "1.00"}
    charge = lost(ledger, reconcile=lambda _: rml.Finding(happened=True, result=found))

    rml.reconcile(ledger=ledger)

    assert Receipt("c", Decimal("1.00")) == charge("pay-1")


@pytest.mark.parametrize(
    ("annotation", "kinds"),
    [
        (Any, None),
        (object, None),
        (None, (type(None),)),
        (str, (str,)),
        (float, (float, int)),
        (list[int], (list,)),
        (Row, (dict,)),
        (int | None, (int, type(None))),
        (int | Any, None),
        (Receipt, (Receipt,)),
    ],
)
def test_an_annotation_s_values(annotation: Any, kinds: Any) -> None:
    """Their run-time types, or every value."""
    assert kinds == kinds_of(annotation)


def test_a_typed_dict_comes_back(ledger: rml.Ledger) -> None:
    """It is a dict at run time."""

    @rml.idempotent("payment.look", key="payment_id", ledger=ledger)
    def look(payment_id: str) -> Row:
        return {"id": payment_id}

    assert look("a") == look("a") == {"id": "a"}


def test_clear_and_erasable_are_two_things(ledger: rml.Ledger) -> None:
    """What stands in clear cannot be erased, whatever else is."""
    with pytest.raises(rml.DefinitionError, match="in facts= and in personal="):

        @rml.idempotent("a.b", key="k", facts=("email",), personal=("email",), ledger=ledger)
        def send(k: str, email: str) -> None:
            """Never defined."""


def _charge(k: str) -> None:
    """Stand for one module-level handler."""


def _refund(k: str) -> None:
    """Stand for another."""


def test_two_handlers_of_one_operation_are_warned_of() -> None:
    """A name forgotten when copying would give one the other's results."""
    rml.idempotent("copied.operation", key="k")(_charge)
    rml.idempotent("copied.operation", key="k")(_charge)  # defined again: a notebook's cell

    with pytest.warns(RuntimeWarning, match="are both the operation 'copied.operation'"):
        rml.idempotent("copied.operation", key="k")(_refund)


def test_a_decision_ends_a_recorded_doubt(ledger: rml.Ledger, clock: rml.FrozenClock) -> None:
    """A worker that was lost is history with an incident before somebody decides about it."""

    @rml.idempotent("payment.charge", key="payment_id", ledger=ledger)
    def charge(payment_id: str) -> str:
        clock.advance(61)
        (effect,) = ledger.in_doubt()
        ledger.resolve(effect.id, happened=True, result="decided", **WHO)
        return "late"

    with pytest.raises(rml.InDoubtError):
        charge("pay-1")

    assert [
        "effect.intent",
        "incident.opened",
        "effect.in_doubt",
        "effect.resolved",
        "effect.late",
    ] == [entry.kind for entry in ledger.entries()]

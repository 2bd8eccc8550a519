"""`corrects=`: an effect that makes another good names it, and only what happened has a name."""

from collections.abc import Callable
from typing import Any

import pytest

import rml
from rml.cli.shape import effect_shape


class Refunds:
    """A refund that corrects what it is told to, and how often it ran."""

    def __init__(self, end: Any = "refunded") -> None:
        self.count = 0

        @rml.idempotent("payment.refund", key="refund_id", corrects="original")
        def refund(refund_id: str, original: Any) -> Any:
            self.count += 1
            if isinstance(end, BaseException):
                raise end
            return end

        self.refund = refund

    def __call__(self, original: Any, refund_id: str = "r") -> Any:
        """Call the refund."""
        return self.refund(refund_id, original)


def charge_of(end: Any = "charged", **options: Any) -> Callable[[str], Any]:
    """Return a charge that ends in a given way."""

    @rml.idempotent("payment.charge", key="key", **options)
    def charge(key: str) -> Any:
        if isinstance(end, BaseException):
            raise end
        return end() if callable(end) else end

    return charge


def effect_of(ledger: rml.Ledger) -> rml.Effect:
    """Return the only charge."""
    (effect,) = ledger.effects(operation="payment.charge")
    return effect


def corrected(ledger: rml.Ledger, kind: str) -> list[str | None]:
    """Return the ids that entries of a kind correct, those of refunds."""
    return [e.corrects for e in ledger.entries(kind=kind, operation="payment.refund")]


def test_an_effect_is_corrected_by_its_id(ledger: rml.Ledger) -> None:
    """The entries of the correction name the entry by which the original became history."""
    charge_of()("k")
    (done,) = ledger.entries(kind="effect.done")
    refunds = Refunds()

    assert refunds(effect_of(ledger).id) == "refunded"
    assert [None] == corrected(ledger, "effect.intent")  # a plan so far: a fact, not a correction
    (intent,) = ledger.entries(kind="effect.intent", operation="payment.refund")
    assert done.id == intent.facts["rml.corrects"]
    assert [done.id] == corrected(ledger, "effect.done")
    (refund,) = ledger.effects(operation="payment.refund")
    assert done.id == refund.to_dict()["corrects"] == effect_shape(refund)["corrects"]
    assert ["effect.done"] == [e.kind for e in ledger.entries(corrects=done.id)]


@pytest.mark.parametrize("kind", ["effect.intent", "effect.done"])
def test_an_effect_is_corrected_by_an_entrys_id(ledger: rml.Ledger, kind: str) -> None:
    """Any entry of an effect that is done."""
    charge_of()("k")
    (entry,) = ledger.entries(kind=kind)
    Refunds()(entry.id)

    assert [entry.id] == corrected(ledger, "effect.done")


def test_an_entry_of_ones_own_is_corrected(ledger: rml.Ledger) -> None:
    """What a program appended itself is history as soon as it is there."""
    receipt = ledger.append("payment.booked", world="RML3")
    Refunds()(receipt.id)

    assert [receipt.id] == corrected(ledger, "effect.done")


def test_what_a_person_decided_is_corrected(ledger: rml.Ledger) -> None:
    """The decision is the entry that is named."""
    with pytest.raises(TimeoutError):
        charge_of(TimeoutError())("k")
    effect = effect_of(ledger)
    ledger.resolve(effect.id, happened=True, by="ada", reason="seen")
    Refunds()(effect.id)

    assert [e.id for e in ledger.entries(kind="effect.resolved")] == corrected(
        ledger, "effect.done"
    )


def test_what_went_wrong_and_is_history_can_be_corrected(ledger: rml.Ledger) -> None:
    """That is what corrections are for."""
    with pytest.raises(rml.HistoryError):
        charge_of(rml.HistoryError("charged twice", happened=True))("k")
    Refunds()(effect_of(ledger).id)

    assert [e.id for e in ledger.entries(kind="effect.history")] == corrected(ledger, "effect.done")


@pytest.mark.parametrize(
    ("end", "state"),
    [
        (TimeoutError(), "in_doubt"),
        (rml.ClosedError("no"), "not_done"),
        (rml.DialogError("no"), "retrying"),
        (rml.DialogError("no", action=rml.Action.START_COMPENSATION), "failed"),
    ],
    ids=["in_doubt", "not_done", "retrying", "failed"],
)
@pytest.mark.parametrize("by", ["effect", "entry"])
def test_what_did_not_surely_happen_cannot_be_corrected(
    ledger: rml.Ledger, end: BaseException, state: str, by: str
) -> None:
    """Refused before the effect, by its own id or by that of one of its entries."""
    with pytest.raises(type(end)):
        charge_of(end, provider_idempotent=True)("k")
    effect = effect_of(ledger)
    (intent,) = ledger.entries(kind="effect.intent")
    size = ledger.size
    refunds = Refunds()

    with pytest.raises(rml.CorrectionTargetError, match=f"is {state} for key 'k'") as caught:
        refunds(effect.id if by == "effect" else intent.id)
    assert caught.value.happened is False
    assert (0, size) == (refunds.count, ledger.size)


def test_what_is_in_flight_cannot_be_corrected(ledger: rml.Ledger, clock: rml.FrozenClock) -> None:
    """Neither while it may still end, nor when its worker is lost."""
    refunds = Refunds()

    def inside() -> str:
        for state in ("in_flight", "in_doubt"):
            with pytest.raises(rml.CorrectionTargetError, match=state):
                refunds(effect_of(ledger).id)
            clock.advance(61)
        return "charged"

    assert charge_of(inside)("k") == "charged"
    assert refunds(effect_of(ledger).id) == "refunded"


@pytest.mark.parametrize(
    "target", ["ef_0", "INC-2026-0001", "019aa2be-8f00-7000-8000-00000000abcd"]
)
def test_an_unknown_target_is_refused_before_the_effect(ledger: rml.Ledger, target: str) -> None:
    """A typing error must not become a refund of nothing."""
    refunds = Refunds()

    with pytest.raises(rml.UnknownIdError, match=target):
        refunds(target)
    assert (0, 0) == (refunds.count, ledger.size)


@pytest.mark.parametrize("target", ["", 5, b"ef_0", "x" * 256, "a\nb"], ids=repr)
def test_what_is_no_id_at_all(ledger: rml.Ledger, target: object) -> None:
    """Refused before the effect, and called what it is."""
    refunds = Refunds()

    with pytest.raises(rml.InvalidInputError, match="corrects"):
        refunds(target)
    assert (0, 0) == (refunds.count, ledger.size)


def test_nothing_to_correct(ledger: rml.Ledger) -> None:
    """``None`` corrects nothing, and the effect happens."""
    assert Refunds()(None) == "refunded"
    assert [None] == corrected(ledger, "effect.done")


def test_the_target_is_part_of_the_request(ledger: rml.Ledger) -> None:
    """The same key for the refund of another charge is a mismatch."""
    charge = charge_of()
    charge("k1")
    charge("k2")
    first, second = [effect.id for effect in ledger.effects()]
    refunds = Refunds()
    refunds(first)

    with pytest.raises(rml.FingerprintMismatchError):
        refunds(second)
    assert refunds(first) == "refunded"
    assert refunds.count == 1


def test_a_correction_that_fails_corrects_nothing(ledger: rml.Ledger) -> None:
    """The intent names what it was about as a fact; nothing claims the correction."""
    charge_of()("k")
    (done,) = ledger.entries(kind="effect.done")
    with pytest.raises(TimeoutError):
        Refunds(TimeoutError())(effect_of(ledger).id)

    assert [] == list(ledger.entries(corrects=done.id))

    (doubt,) = ledger.in_doubt()
    ledger.resolve(doubt.id, happened=True, by="ada", reason="it is in the provider's books")
    assert ["effect.resolved"] == [entry.kind for entry in ledger.entries(corrects=done.id)]


def test_a_correction_can_be_corrected(ledger: rml.Ledger) -> None:
    """History has no undo, only more history."""
    charge_of()("k")
    refunds = Refunds()
    refunds(effect_of(ledger).id, "r1")
    (refund,) = ledger.effects(operation="payment.refund")
    refunds(refund.id, "r2")

    assert refunds.count == 2


def test_a_dotted_path_and_a_callable_pick_the_target(ledger: rml.Ledger) -> None:
    """As for keys."""
    charge_of()("k")
    effect = effect_of(ledger)

    @rml.idempotent("a.b", key="key", corrects="original.id", exclude=["original"])
    def by_path(key: str, original: rml.Effect) -> None: ...

    @rml.idempotent("a.c", key="key", corrects=lambda original: original.id, exclude=["original"])
    def by_callable(key: str, original: rml.Effect) -> None: ...

    by_path("k", effect)
    by_callable("k", effect)

    (done,) = ledger.entries(kind="effect.done", operation="payment.charge")
    assert len(ledger.entries(corrects=done.id)) == 2

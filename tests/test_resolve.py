"""A person's decision about an effect in doubt: validated, recorded, taken once."""

import threading
from decimal import Decimal
from typing import Any

import pytest

import rml
from rml.effect.resolution import REASON_CHARACTERS_MAX
from rml.ledger.content import PERSONAL_BYTES_MAX


class Charges:
    """A handler that fails without saying what happened, then returns what it is told to."""

    def __init__(self, *ends: Any, **options: Any) -> None:
        self.provider_keys: list[str] = []
        ends_left = list(ends)

        @rml.idempotent("payment.charge", **{"key": "payment_id", **options})
        def charge(payment_id: str = "pay-1") -> Any:
            self.provider_keys.append(rml.current_effect().provider_key)
            end = ends_left.pop(0) if ends_left else TimeoutError("lost")
            if isinstance(end, BaseException):
                raise end
            return end

        self.charge = charge

    def fail(self, kind: type[BaseException]) -> Any:
        """Call, and return the error."""
        with pytest.raises(kind) as caught:
            self.charge()
        return caught.value


def in_doubt(ledger: rml.Ledger, *later: Any, **options: Any) -> tuple[Charges, rml.Effect]:
    """Return a handler whose first attempt left doubt, and the effect."""
    charges = Charges(TimeoutError("lost"), *later, **options)
    charges.fail(TimeoutError)
    (effect,) = ledger.in_doubt()
    return charges, effect


WHO: dict[str, Any] = {"by": "ada", "reason": "seen in the provider's dashboard"}


def test_it_did_happen(ledger: rml.Ledger) -> None:
    """It is done; later calls are given the value that was typed in."""
    charges, effect = in_doubt(ledger)

    decided = ledger.resolve(effect.id, happened=True, result={"id": "ch_1"}, **WHO)

    assert rml.EffectState.DONE is decided.state
    assert decided == ledger.effect(effect.id)
    assert {"id": "ch_1"} == charges.charge()
    assert [] == list(ledger.in_doubt())
    assert len(charges.provider_keys) == 1


@pytest.mark.parametrize("result", [None, 0, "", [], (1, Decimal("1.50"))], ids=repr)
def test_any_result_can_be_typed_in(ledger: rml.Ledger, result: object) -> None:
    """Also one that is false; it comes back equal and of the same type."""
    charges, effect = in_doubt(ledger)
    ledger.resolve(effect.id, happened=True, result=result, **WHO)

    assert result == charges.charge()
    assert type(result) is type(charges.charge())


def test_it_did_happen_and_nobody_knows_the_result(ledger: rml.Ledger) -> None:
    """It is done; later calls are told that there is no value to give them."""
    charges, effect = in_doubt(ledger)
    ledger.resolve(effect.id, happened=True, **WHO)

    error = charges.fail(rml.ResultUnavailableError)
    assert "no result was recorded" in error.message
    assert error.happened is True
    assert len(charges.provider_keys) == 1


def test_it_did_not_happen(ledger: rml.Ledger) -> None:
    """The next call runs, as the next attempt, with the same key for the provider."""
    charges, effect = in_doubt(ledger, "value")

    decided = ledger.resolve(effect.id, happened=False, **WHO)

    assert rml.EffectState.NOT_DONE is decided.state
    assert charges.charge() == "value"
    assert [effect.provider_key] * 2 == charges.provider_keys
    assert ledger.effect(effect.id).attempt == 2


def test_the_decision_is_recorded(ledger: rml.Ledger) -> None:
    """Who, why, what, when, and on which attempt and incident."""
    _, effect = in_doubt(ledger)
    ledger.resolve(effect.id, happened=True, result="secret-result", **WHO)
    (entry,) = ledger.entries(kind="effect.resolved")

    assert (entry.actor, entry.effect, entry.attempt) == ("ada", effect.id, 1)
    assert entry.incident == effect.incident == "INC-2026-0001"
    assert {"happened": True, "reason": WHO["reason"], "via": "person"} == dict(entry.facts)
    assert "secret-result" not in entry.to_bytes().decode()


def test_a_lost_worker_can_be_decided_before_anybody_doubted_it(
    ledger: rml.Ledger, clock: rml.FrozenClock
) -> None:
    """The lease that ran out is enough."""

    class Killed(BaseException):
        """Stands in for signal 9."""

    charges = Charges("value")
    with pytest.MonkeyPatch.context() as patch:
        store: Any = ledger._store
        write, calls = store.write, []

        def broken(*args: Any, **kwargs: Any) -> Any:
            calls.append(1)
            if len(calls) > 1:
                raise Killed
            return write(*args, **kwargs)

        patch.setattr(store, "write", broken)
        charges.fail(Killed)
    (effect,) = ledger.effects()
    with pytest.raises(rml.NotInDoubtError, match="is in_flight, not in doubt"):
        ledger.resolve(effect.id, happened=True, **WHO)
    clock.advance(61)

    assert [effect.id] == [lost.id for lost in ledger.in_doubt()]
    ledger.resolve(effect.id, happened=True, result="value", **WHO)
    assert charges.charge() == "value"
    kinds = [entry.kind for entry in ledger.entries()]
    assert ["effect.intent", "incident.opened", "effect.in_doubt", "effect.resolved"] == kinds


def test_a_decision_is_taken_once(ledger: rml.Ledger) -> None:
    """The second is refused, and changes nothing."""
    _, effect = in_doubt(ledger)
    ledger.resolve(effect.id, happened=True, result="first", **WHO)
    size = ledger.size

    with pytest.raises(rml.NotInDoubtError, match="is done, not in doubt") as caught:
        ledger.resolve(effect.id, happened=False, **WHO)
    assert {"effect": effect.id, "state": "done"} == dict(caught.value.details)
    assert (size, "first") == (ledger.size, ledger.effect(effect.id).result)


@pytest.mark.parametrize(
    ("end", "state"),
    [
        (rml.ClosedError("no"), "not_done"),
        (rml.DialogError("no"), "retrying"),
        (rml.DialogError("no", action=rml.Action.START_COMPENSATION), "failed"),
        (rml.HistoryError("no"), "history"),
    ],
    ids=["not_done", "retrying", "failed", "history"],
)
def test_what_is_certain_cannot_be_decided(
    ledger: rml.Ledger, end: BaseException, state: str
) -> None:
    """A correction of history is another effect."""
    charges = Charges(end, provider_idempotent=True)
    charges.fail(type(end))
    (effect,) = ledger.effects()

    with pytest.raises(rml.NotInDoubtError, match=f"is {state}, not in doubt"):
        ledger.resolve(effect.id, happened=True, **WHO)


def test_two_who_decide_at_once(ledger: rml.Ledger) -> None:
    """One wins, the others are told so; there is one decision."""
    _, effect = in_doubt(ledger)
    barrier = threading.Barrier(4)
    outcomes: list[str] = []

    def decide(happened: bool) -> None:
        barrier.wait()
        try:
            ledger.resolve(effect.id, happened=happened, **WHO)
            outcomes.append("decided")
        except rml.NotInDoubtError:
            outcomes.append("too late")

    threads = [threading.Thread(target=decide, args=[n % 2 == 0]) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ["decided", *["too late"] * 3] == sorted(outcomes)
    assert len(ledger.entries(kind="effect.resolved")) == 1


def test_doubt_may_come_again(ledger: rml.Ledger) -> None:
    """After "not done" a second attempt may be lost as well; each doubt has its decision."""
    charges, effect = in_doubt(ledger, TimeoutError("again"), "value")
    ledger.resolve(effect.id, happened=False, **WHO)
    charges.fail(TimeoutError)
    assert [2] == [again.attempt for again in ledger.in_doubt()]
    ledger.resolve(effect.id, happened=False, **WHO)

    assert charges.charge() == "value"
    assert len(set(charges.provider_keys)) == 1
    assert len(ledger.entries(kind="effect.resolved")) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"happened": None}, "happened must be True or False, not None"),
        ({"happened": 1}, "happened must be True or False, not 1"),
        ({"happened": "yes"}, "happened must be True or False"),
        ({"by": ""}, "by has 0 characters"),
        ({"by": None}, "by must be text"),
        ({"by": "a" * 256}, "by has 256 characters"),
        ({"by": "a\nb"}, "by .* cannot be printed"),
        ({"reason": ""}, "a decision needs a reason"),
        ({"reason": "  \n"}, "a decision needs a reason"),
        ({"reason": None}, "a decision needs a reason"),
        ({"reason": "x" * (REASON_CHARACTERS_MAX + 1)}, "REASON_CHARACTERS_MAX"),
        ({"reason": "\ud800"}, "surrogate"),
        ({"happened": False, "result": 5}, "has no result; leave result= out"),
        ({"happened": False, "result": None}, "has no result; leave result= out"),
        ({"result": {1}}, "result is set"),
        ({"result": "\ud800"}, "surrogate"),
        ({"result": "x" * (PERSONAL_BYTES_MAX + 1)}, "_BYTES_MAX"),
    ],
    ids=lambda value: str(value)[:40].encode("ascii", "replace").decode(),
)
def test_a_decision_is_checked_before_it_is_recorded(
    ledger: rml.Ledger, changes: dict[str, Any], message: str
) -> None:
    """A clear error, nothing written, and the doubt stands."""
    _, effect = in_doubt(ledger)
    size = ledger.size

    with pytest.raises(rml.InvalidInputError, match=message):
        ledger.resolve(effect.id, **{"happened": True, **WHO, **changes})
    assert size == ledger.size
    assert rml.EffectState.IN_DOUBT is ledger.effect(effect.id).state


@pytest.mark.parametrize("effect_id", ["ef_0", "019aa2be-8f00-7000-8000-000000000001"])
def test_an_unknown_effect(ledger: rml.Ledger, effect_id: str) -> None:
    """It is named."""
    with pytest.raises(rml.UnknownIdError, match=f"no effect '{effect_id}' is in this ledger"):
        ledger.resolve(effect_id, happened=True, **WHO)


@pytest.mark.parametrize("effect_id", ["", None, 5, "a\nb"])
def test_what_is_no_id_at_all(ledger: rml.Ledger, effect_id: object) -> None:
    """Wrong types are told."""
    with pytest.raises(rml.InvalidInputError, match="effect_id"):
        ledger.resolve(effect_id, happened=True, **WHO)  # type: ignore[arg-type]


def test_the_list_of_doubts_names_exactly_the_unknown_ones(
    ledger: rml.Ledger, clock: rml.FrozenClock
) -> None:
    """By state and by list alike."""

    @rml.idempotent("payment.charge", key="key")
    def charge(key: str) -> str:
        if key == "doubt":
            raise TimeoutError
        if key == "closed":
            raise rml.ClosedError("no")
        return key

    for key, error in (("done", None), ("doubt", TimeoutError), ("closed", rml.ClosedError)):
        if error is None:
            charge(key)
        else:
            with pytest.raises(error):
                charge(key)
    clock.advance(3600)

    assert ["doubt"] == [effect.key for effect in ledger.in_doubt()]
    assert ["doubt"] == [effect.key for effect in ledger.effects(state="in_doubt")]
    assert ["doubt"] == [e.key for e in ledger.effects(state=rml.EffectState.IN_DOUBT)]
    assert len(ledger.in_doubt()) == 1


def test_an_effect_that_was_looked_at_is_what_is_decided(ledger: rml.Ledger) -> None:
    """Not a later attempt, of which its evidence says nothing."""
    charges, looked_at = in_doubt(ledger, TimeoutError("lost again"))
    ledger.resolve(looked_at, happened=False, **WHO)
    charges.fail(TimeoutError)

    with pytest.raises(rml.EffectChangedError):
        ledger.resolve(looked_at, happened=True, result="of the first attempt", **WHO)

    (later,) = ledger.in_doubt()
    assert "done" == ledger.resolve(later, happened=True, result="ch-2", **WHO).state
    assert "ch-2" == charges.charge()


def test_an_effect_and_another_version_contradict_each_other(ledger: rml.Ledger) -> None:
    """Nothing is decided."""
    _, effect = in_doubt(ledger)

    with pytest.raises(rml.InvalidInputError, match="leave it out"):
        ledger.resolve(effect, version=effect.version + 1, happened=True, **WHO)
    assert "done" == ledger.resolve(effect, version=effect.version, happened=True, **WHO).state


def test_the_error_of_a_doubt_says_what_is_to_be_decided(ledger: rml.Ledger) -> None:
    """Its message and its details name the version, so that no later attempt is meant."""
    charges, effect = in_doubt(ledger)

    error = charges.fail(rml.InDoubtError)

    assert f"ledger.resolve({effect.id!r}, version={effect.version}, ...)" in error.message
    asked = {"effect_id": error.details["effect"], "version": error.details["version"]}
    assert "done" == ledger.resolve(**asked, happened=True, **WHO).state

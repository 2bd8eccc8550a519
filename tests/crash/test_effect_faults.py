"""The store fails at any call of a protected handler's life: it runs at most once per decision.

Whatever the store says, the next look settles it: done, not begun, or in doubt until somebody who
counted decides. In the end there is exactly the one effect that there should be.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, cast

import attrs
import pytest
from protected import START, kinds

import rml
from rml.ledger.store import Store, open_store
from rml.testing.faults import Fault, FaultyStore, failing
from rml.testing.stores import StoreContract, opening_of

LEASE_SECONDS = 60
STEPS_MAX = 30


class TestFaultlessStore(StoreContract):
    """Without a plan it is the store inside."""

    def new_store(self) -> Store:
        """Return one around a store in memory."""
        return cast("Store", FaultyStore(open_store(opening_of("memory:")), {}))

    def opened_again(self, store: Store) -> Store | None:
        """Return nothing: what was in memory is gone."""


@attrs.define
class Shop:
    """A ledger, a handler whose effects are counted, and a provider who knows of them."""

    ledger: rml.Ledger
    clock: rml.FrozenClock
    effects: int = 0
    charge: Callable[[str], Any] = lambda _: None

    def ask(self, effect: rml.Effect) -> rml.Finding:
        """Answer as the provider does."""
        if self.effects:
            return rml.Finding(True, "charged", "counted")
        return rml.Finding(False, evidence="counted")

    @property
    def options(self) -> dict[str, Any]:
        """How its handlers are protected; without a lever, whose look is a call of the store."""
        return {"key": "key", "ledger": self.ledger, "reconcile": self.ask, "lever": False}

    def settle(self) -> None:
        """Look again when every lease has run out; whoever counted decides what is in doubt."""
        self.clock.advance(LEASE_SECONDS + 1)
        for effect in list(self.ledger.in_doubt()):
            result = {"result": "charged"} if self.effects else {}
            happened = bool(self.effects)
            self.ledger.resolve(effect.id, happened=happened, by="ada", reason="counted", **result)
        assert [] == list(self.ledger.in_doubt())
        settled = {rml.EffectState.DONE, rml.EffectState.NOT_DONE, rml.EffectState.RETRYING}
        assert {effect.state for effect in self.ledger.effects()} <= settled


def blocking(shop: Shop, ends: list[BaseException]) -> Callable[[str], Any]:
    """Return a handler that is a function."""

    @rml.idempotent("payment.charge", **shop.options)
    def charge(key: str) -> str:
        if ends:
            raise ends.pop(0)
        shop.effects += 1
        return "charged"

    return charge


def asynchronous(shop: Shop, ends: list[BaseException]) -> Callable[[str], Any]:
    """Return a handler that is a coroutine function, called from outside any loop."""

    @rml.idempotent("payment.charge", **shop.options)
    async def charge(key: str) -> str:
        if ends:
            raise ends.pop(0)
        shop.effects += 1
        return "charged"

    return lambda key: asyncio.run(charge(key))


FACES = {"def": blocking, "async def": asynchronous}


def charge(shop: Shop) -> None:
    """Call the handler."""
    assert shop.charge("pay-1") == "charged"


def reconcile(shop: Shop) -> None:
    """Ask the provider about everything in doubt."""
    rml.reconcile(ledger=shop.ledger)


def resolve(shop: Shop) -> None:
    """Have a person decide about everything in doubt."""
    for effect in list(shop.ledger.in_doubt()):
        result = {"result": "charged"} if shop.effects else {}
        shop.ledger.resolve(
            effect.id, happened=bool(shop.effects), by="ada", reason="counted", **result
        )


def lost_after(shop: Shop) -> None:
    """Have a worker lost after its effect: its outcome could not be recorded."""
    with failing(shop.ledger, {3: Fault.LOST}), pytest.raises(rml.OutcomeNotRecordedError):
        shop.charge("pay-1")
    shop.clock.advance(LEASE_SECONDS + 1)


def lost_before(shop: Shop) -> None:
    """Have a worker lost before its effect: it never learned that its intent was durable."""
    unknown = {2: Fault.KEPT, 3: Fault.UNAVAILABLE}
    with failing(shop.ledger, unknown), pytest.raises(rml.AppendUnknownError):
        shop.charge("pay-1")
    shop.clock.advance(LEASE_SECONDS + 1)


def refused(shop: Shop) -> None:
    """Have the first attempt refused, certainly without an effect."""
    with pytest.raises(rml.DialogError):
        shop.charge("pay-1")


def nothing(shop: Shop) -> None:
    """Begin with nothing."""


# What has happened before, and what the store fails in.
LIVES: dict[str, tuple[Callable[[Shop], None], Callable[[Shop], None]]] = {
    "first call": (nothing, charge),
    "replay": (charge, charge),
    "retry": (refused, charge),
    "call after a loss before the effect": (lost_before, charge),
    "call after a loss after the effect": (lost_after, charge),
    "reconcile what did not happen": (lost_before, reconcile),
    "reconcile what happened": (lost_after, reconcile),
    "resolve what did not happen": (lost_before, resolve),
    "resolve what happened": (lost_after, resolve),
}


def shop_of(face: str, before: Callable[[Shop], None]) -> Shop:
    """Open a new shop in which something has happened before."""
    clock = rml.FrozenClock(START)
    shop = Shop(rml.Ledger("memory:", clock=clock), clock)
    ends: list[BaseException] = []
    if before is refused:
        ends.append(rml.DialogError("declined for now", happened=False))
    shop.charge = FACES[face](shop, ends)
    before(shop)
    return shop


def plans(calls: int) -> Iterator[dict[int, Fault]]:
    """Yield every fault at every call, and every pair of unknown commits."""
    for number in range(1, calls + 1):
        for fault in Fault:
            yield {number: fault}
    for number in range(1, calls + 1):
        for other in range(number + 1, calls + 1):
            yield {number: Fault.KEPT, other: Fault.LOST}


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("life", LIVES)
def test_an_effect_happens_once_whatever_the_store_does(face: str, life: str) -> None:
    """Every fault at every call of it, and then an honest look: one effect, one history."""
    before, act = LIVES[life]
    with failing((clean := shop_of(face, before)).ledger, {}) as counted:
        try:
            act(clean)
        except rml.InDoubtError:
            assert act is charge
    assert 0 < len(counted.calls) < STEPS_MAX
    for plan in plans(len(counted.calls)):
        shop = shop_of(face, before)
        had, recorded = shop.effects, kinds(shop.ledger)
        with failing(shop.ledger, plan) as store:
            try:
                act(shop)
            except rml.RmlError as error:
                told = error
            else:
                told = None
        assert shop.effects <= 1, plan
        if told is not None and told.happened is False and len(store.calls) == 1:
            assert recorded == kinds(shop.ledger), plan
        if isinstance(told, rml.LedgerUnavailableError | rml.LedgerBusyError):
            assert had == shop.effects, plan
        shop.settle()
        assert shop.charge("pay-1") == "charged", plan
        assert 1 == shop.effects, plan
        assert shop.ledger.verify().problems == ()


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("fault", [Fault.LOST, Fault.KEPT])
def test_an_unknown_intent_is_settled_by_looking_again(face: str, fault: Fault) -> None:
    """The handler has not run; kept, its attempt is recorded as not done; the next call runs."""
    shop = shop_of(face, nothing)
    with failing(shop.ledger, {2: fault}) as store, pytest.raises(rml.AppendUnknownError):
        shop.charge("pay-1")

    assert ["last", "write", "write"] == store.calls
    assert 0 == shop.effects
    not_done = ["effect.intent", "effect.not_done"] if fault is Fault.KEPT else []
    assert not_done == kinds(shop.ledger)
    assert shop.charge("pay-1") == "charged"
    assert [*not_done, "effect.intent", "effect.done"] == kinds(shop.ledger)


@pytest.mark.parametrize("again", Fault)
def test_an_unknown_intent_that_nobody_can_look_for_is_never_run_by_itself(again: Fault) -> None:
    """It is in flight, then in doubt, unless it was settled unnoticed."""
    shop = shop_of("def", nothing)
    plan = {2: Fault.KEPT, 3: again}
    with failing(shop.ledger, plan), pytest.raises(rml.AppendUnknownError):
        shop.charge("pay-1")

    if again is not Fault.KEPT:
        with pytest.raises(rml.InFlightError):
            shop.charge("pay-1")
        shop.clock.advance(LEASE_SECONDS + 1)
        with pytest.raises(rml.InDoubtError):
            shop.charge("pay-1")
        assert 0 == shop.effects
    else:
        assert shop.charge("pay-1") == "charged"


def test_an_unknown_intent_that_somebody_has_doubted_since_stays_in_doubt() -> None:
    """Looking again takes back what is still one's own, and nothing else."""
    shop = shop_of("def", nothing)
    with failing(shop.ledger, {2: Fault.KEPT}) as store:
        write = store.write

        def late(work: Any, *, timeout: float) -> Any:
            if len(store.calls) == 2:  # looking again
                shop.clock.advance(LEASE_SECONDS + 1)
                with failing(shop.ledger, {}):
                    rml.reconcile(ledger=shop.ledger)
            return write(work, timeout=timeout)

        store.write = late  # type: ignore[method-assign]
        with pytest.raises(rml.AppendUnknownError):
            shop.charge("pay-1")

    assert ["effect.intent", "incident.opened", "effect.in_doubt"] == [
        kind for kind in kinds(shop.ledger) if kind != "effect.resolved"
    ]
    assert 0 == shop.effects


@pytest.mark.parametrize("fault", Fault)
def test_an_outcome_that_fails_is_told_as_what_happened(fault: Fault) -> None:
    """Kept, the next call is given the value; else it is in doubt, and never run again."""
    shop = shop_of("def", nothing)
    with failing(shop.ledger, {3: fault}), pytest.raises(rml.OutcomeNotRecordedError) as caught:
        shop.charge("pay-1")

    assert (1, True) == (shop.effects, caught.value.happened)
    if fault is Fault.KEPT:
        assert shop.charge("pay-1") == "charged"
    else:
        shop.clock.advance(LEASE_SECONDS + 1)
        with pytest.raises(rml.InDoubtError):
            shop.charge("pay-1")
    assert 1 == shop.effects


def test_a_handler_s_own_error_is_what_is_seen() -> None:
    """Also when its outcome cannot be recorded; what stands then is doubt."""
    shop = shop_of("def", nothing)

    @rml.idempotent("payment.refund", **shop.options)
    def refund(key: str) -> None:
        raise rml.DialogError("declined", happened=False)

    with failing(shop.ledger, {3: Fault.UNAVAILABLE}), pytest.raises(rml.DialogError) as caught:
        refund("pay-1")

    assert "could not be recorded" in caught.value.__notes__[0]
    assert ["effect.intent"] == kinds(shop.ledger)


@pytest.mark.parametrize("plan", [{0: Fault.BUSY}, {"1": Fault.BUSY}, {1: "busy"}])
def test_a_plan_that_is_none_is_refused(plan: Any) -> None:
    """Before it is in anybody's way."""
    with rml.Ledger("memory:") as ledger:
        with pytest.raises(rml.InvalidInputError), failing(ledger, plan):
            pass
        assert 0 == ledger.append("a.b", world="RML1").index

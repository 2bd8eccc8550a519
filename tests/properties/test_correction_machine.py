"""Corrections of corrections, in every state, against an oracle that tries all possible worlds.

The oracle knows nothing of the library's arithmetic. It lists every way in which what is still open
may turn out, and asks of each whether more was taken back of something than there was.
"""

from itertools import product
from typing import Any

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import rml
from rml.effect.call import Call, start
from rml.effect.operation import Attempt
from rml.effect.reconcile import _operations

LEASE_SECONDS = 60
AMOUNTS = st.integers(0, 6)
PLACES = st.integers(0, 99)
ENDS: dict[str, tuple[BaseException | str, bool | None]] = {
    "done": ("value", True),
    "not_done": (rml.ClosedError("no"), False),
    "retrying": (rml.DialogError("lost"), None),
    "failed": (rml.DialogError("no", action=rml.Action.START_COMPENSATION), False),
    "history": (rml.HistoryError("moved"), None),
    "in_doubt": (TimeoutError("lost"), None),
}
# More open deeds than this would mean too many worlds to try.
OPEN_MAX = 5


@attrs.define(eq=False)
class Deed:
    """What the model knows of one deed: how much, what it corrects, and whether it took place."""

    name: str
    amount: int
    corrects: "Deed | None"
    took_place: bool | None
    state: str
    call: Call | None = None
    attempt: Attempt | None = None


def net(deed: Deed, deeds: list[Deed], world: dict[Deed, bool]) -> int:
    """Return how much of a deed stands, in one world."""
    return deed.amount - taken(deed, deeds, world) if world[deed] else 0


def taken(deed: Deed, deeds: list[Deed], world: dict[Deed, bool]) -> int:
    """Return how much is taken back of a deed, in one world."""
    return sum(net(one, deeds, world) for one in deeds if one.corrects is deed)


def possible(deeds: list[Deed]) -> bool:
    """Say whether in no world more is taken back of a deed than there was."""
    still_open = [deed for deed in deeds if deed.took_place is None]
    for turn_outs in product([True, False], repeat=len(still_open)):
        world = {deed: bool(deed.took_place) for deed in deeds} | dict(
            zip(still_open, turn_outs, strict=True)
        )
        if any(taken(deed, deeds, world) > deed.amount for deed in deeds):
            return False
    return True


class CorrectionMachine(RuleBasedStateMachine):
    """Charges, refunds, refunds of refunds, holds: appended, promised, lost, decided."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = rml.FrozenClock("2026-11-20T12:00:00Z")
        self.ledger = rml.Ledger("memory:", clock=self.clock)
        self.deeds: list[Deed] = []
        self.made = 0

        @rml.idempotent(
            "model.refund",
            key="key",
            facts=("amount",),
            corrects="original",
            provider_idempotent=True,
            lease=LEASE_SECONDS,
        )
        def refund(key: str, amount: int, original: str | None) -> str:
            raise NotImplementedError

    def teardown(self) -> None:
        """Everything verifies."""
        assert () == self.ledger.verify().problems
        self.ledger.close()

    def pick(self, place: int) -> Deed:
        """Any deed."""
        return self.deeds[place % len(self.deeds)]

    def few_open(self) -> bool:
        """Whether all worlds can be tried if one more is open."""
        return sum(deed.took_place is None for deed in self.deeds) < OPEN_MAX

    def attempt_to(self, deed: Deed, act: Any) -> Any:
        """Do what makes a deed, which the oracle allows or not; forget it if it was refused."""
        target = deed.corrects
        others = [one for one in self.deeds if one is not deed]
        if target is not None and target.state not in ("done", "history"):
            expected: type[BaseException] | None = rml.CorrectionTargetError
        elif not possible([*others, deed]):
            expected = rml.OverCorrectionError
        else:
            self.deeds = [*others, deed]
            return act()
        size = self.ledger.size
        with pytest.raises(expected):
            act()
        assert size == self.ledger.size
        return None

    # What is done ---------------------------------------------------------------------------------

    @rule(amount=AMOUNTS)
    def charge(self, amount: int) -> None:
        """An original."""
        made = self.ledger.append("model.charged", world="RML3", facts={"amount": amount})
        self.deeds.append(Deed(made.id, amount, None, True, "done"))

    @precondition(lambda self: self.deeds)
    @rule(place=PLACES, amount=AMOUNTS)
    def correct(self, place: int, amount: int) -> None:
        """A correction that takes place as it is appended."""
        target = self.pick(place)
        deed = Deed("", amount, target, True, "done")

        def act() -> None:
            facts = {"amount": amount}
            deed.name = self.ledger.correct(
                target.name, "model.corrected", world="RML3", by="ada", reason="r", facts=facts
            ).id

        self.attempt_to(deed, act)

    @precondition(lambda self: self.few_open())
    @rule(place=PLACES, amount=AMOUNTS, corrects=st.booleans())
    def promise(self, place: int, amount: int, corrects: bool) -> None:
        """A refund begins, and is in flight."""
        target = self.pick(place) if corrects and self.deeds else None
        deed = Deed("", amount, target, None, "in_flight")
        self.made += 1
        asked = {"key": f"k{self.made}", "amount": amount, "original": target and target.name}
        deed.call = start(_operations["model.refund"], self.ledger, asked)
        self.attempt_to(deed, lambda: self.begin(deed))

    def begin(self, deed: Deed) -> None:
        """Begin an attempt."""
        assert deed.call is not None
        attempt = deed.call.begin()
        assert isinstance(attempt, Attempt)
        deed.name, deed.attempt = attempt.id, attempt

    @precondition(lambda self: self.few_open())
    @rule(place=PLACES)
    def try_again(self, place: int) -> None:
        """One that was not done, or may have been, is called again."""
        again = [deed for deed in self.deeds if deed.state in ("not_done", "retrying")]
        if again:
            old = again[place % len(again)]
            before = old.state, old.took_place
            old.state, old.took_place = "in_flight", None
            others = [one for one in self.deeds if one is not old]
            if possible([*others, old]):
                self.begin(old)
            else:
                assert "not_done" == before[0]
                with pytest.raises(rml.OverCorrectionError):
                    self.begin(old)
                old.state, old.took_place = before

    @rule(place=PLACES, how=st.sampled_from([*ENDS, "done", "done"]))
    def finish(self, place: int, how: str) -> None:
        """A refund that is in flight ends in time."""
        running = [deed for deed in self.deeds if deed.state == "in_flight"]
        if not running:
            return
        deed = running[place % len(running)]
        assert deed.call is not None
        assert deed.attempt is not None
        end, took_place = ENDS[how]
        outcome = (
            deed.call.error_outcome(deed.attempt, end)
            if isinstance(end, BaseException)
            else deed.call.value_outcome(end)
        )
        if how == "not_done" and deed.attempt.uncertain:
            how, took_place = "retrying", None  # the attempt before it may have done it
        if how == "failed" and deed.attempt.uncertain:
            how, took_place = "in_doubt", None
        assert not deed.call.finish(deed.attempt, outcome).late
        deed.state, deed.took_place = how, took_place

    @rule(place=PLACES, happened=st.booleans())
    def lose_and_resolve(self, place: int, happened: bool) -> None:
        """A person decides about a doubt, also about one that nobody has recorded yet."""
        for deed in self.deeds:
            if deed.state == "in_flight":
                deed.state = "in_doubt"
        self.clock.advance(LEASE_SECONDS + 1)
        doubtful = [deed for deed in self.deeds if deed.state == "in_doubt"]
        if doubtful:
            deed = doubtful[place % len(doubtful)]
            self.ledger.resolve(deed.name, happened=happened, by="ada", reason="seen")
            deed.state, deed.took_place = ("done", True) if happened else ("not_done", False)

    @precondition(lambda self: self.few_open())
    @rule(place=PLACES, amount=AMOUNTS, corrects=st.booleans(), limit=st.none() | st.just(1))
    def pend(self, place: int, amount: int, corrects: bool, limit: int | None) -> None:
        """Something is held open."""
        target = self.pick(place) if corrects and self.deeds else None
        deed = Deed("", amount, target, None, "pending")

        def act() -> None:
            deed.name = self.ledger.pend(
                "model.hold",
                world="RML3",
                facts={"amount": amount},
                expires_in=limit,
                corrects=target and target.name,
            ).id

        self.attempt_to(deed, act)

    @rule(place=PLACES, part=st.none() | st.integers(1, 6), void=st.booleans())
    def end_pending(self, place: int, part: int | None, void: bool) -> None:
        """What is held open is confirmed, in part or whole, or voided; what has ended is not."""
        held = [deed for deed in self.deeds if deed.call is None and deed.state != "done"]
        if not held:
            return
        deed = held[place % len(held)]
        if deed.state != "pending":
            with pytest.raises(rml.PendingEndedError):
                self.ledger.confirm(deed.name, by="ada")
        elif void:
            self.ledger.void(deed.name, by="ada", reason="r")
            deed.state, deed.took_place = "voided", False
        else:
            part = None if part is None or part > deed.amount else part
            self.ledger.confirm(deed.name, by="ada", amount=part)
            deed.state, deed.took_place = "done", True
            deed.amount = deed.amount if part is None else part

    @rule()
    def expire(self) -> None:
        """Holds whose time is over expire."""
        overdue = {one.id for one in self.ledger.pending() if one.overdue}
        assert overdue == {one.id for one in self.ledger.expire()}
        for deed in self.deeds:
            if deed.name in overdue:
                deed.state, deed.took_place = "expired", False

    # What always holds ----------------------------------------------------------------------------

    @invariant()
    def no_world_is_impossible(self) -> None:
        """Whatever becomes of what is open."""
        assert possible(self.deeds)

    @invariant()
    def what_is_left_is_what_one_more_could_take(self) -> None:
        """And a deed is corrected by those that took place, and that went wrong."""
        for deed in self.deeds[-3:]:
            left = self.ledger.correctable(deed.name).left
            if deed.state not in ("done", "history"):
                assert 0 == left
                continue
            assert left is not None
            for more, allowed in ((left, True), (left + 1, False)):
                another = Deed("", more, deed, True, "done")
                assert allowed == possible([*self.deeds, another])

    @invariant()
    def corrections_are_those_that_became_history(self) -> None:
        """One entry each."""
        for deed in self.deeds[-3:]:
            own = [one for one in self.deeds if one.corrects is deed]
            expected = sum(one.state in ("done", "history") for one in own)
            assert expected == len(self.ledger.corrections(deed.name))


CorrectionMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=25)
TestCorrectionMachine = CorrectionMachine.TestCase

"""Sagas whose process dies at any moment: before and after every commit and every effect.

Whatever died when, after the dust has settled either all steps have happened, or what happened has
been undone, or an incident is open. Nothing happens twice, and nothing is undone that has not
happened.
"""

from datetime import UTC, datetime
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from trips import STEPS, UNDOING, Busy, Declined, Trip, the_saga

import rml
from rml.effect.saga_state import Doubt, End, SagaState, SagaStep, Undo, decide

LEASE_SECONDS = 60
OPEN = ("running", "compensating")


class Death(BaseException):
    """The process is no more: nothing of it may record anything."""


class Mortal:
    """A ledger, a trip, and a process that can be made to die at its n-th event from now."""

    def __init__(self) -> None:
        self.clock = rml.FrozenClock()
        self.ledger = rml.Ledger("sqlite://:memory:", clock=self.clock)
        self.trip = Trip(lease=LEASE_SECONDS, bounds={"timeout": 3600})
        self.trip.provider.watch = self.event
        self.left: int | None = None
        self.dead = False
        self.events = 0
        self.write = self.ledger._store.write
        self.ledger._store.write = self.watched  # type: ignore[method-assign]

    def watched(self, work: Any, *, timeout: float) -> Any:
        """Commit, and perhaps die before or after it."""
        self.event("before a commit")
        result = self.write(work, timeout=timeout)
        self.event("after a commit")
        return result

    def event(self, _: str) -> None:
        """Count, and die when it is time; what is dead stays dead."""
        self.events += 1
        if self.left is not None:
            self.left -= 1
            self.dead = self.dead or self.left < 0
        if self.dead:
            raise Death

    def live(self, work: Any, dies_after: int | None = None) -> Any:
        """Run something in a new process, which may die; return what it raised or returned."""
        self.left, self.dead = dies_after, False
        try:
            with rml.use(ledger=self.ledger):
                return work()
        except (Death, rml.RmlError, TimeoutError) as end:
            return end
        finally:
            self.left, self.dead = None, False

    def settle(self) -> None:
        """Let processes come by that do not die, until nothing is left to be done."""
        for _ in range(8):
            self.clock.advance(LEASE_SECONDS + 1)
            self.live(rml.reconcile)
            if not self.live(rml.resume_sagas) and not self.ledger.in_doubt():
                return

    def check_counts(self) -> None:
        """Nothing happened twice, and nothing was undone that had not happened."""
        attempts = self.trip.provider.attempts
        happened = [attempt.id for attempt in attempts]
        undoing = [attempt for attempt in attempts if attempt.operation in UNDOING.values()]
        assert len(set(happened)) == len(happened)
        assert {attempt.key for attempt in undoing} <= set(happened)

    def check_end(self, trip_id: str) -> None:
        """It has ended, as its effects say."""
        saga = the_saga(self.ledger, trip_id)
        stand = {step.effect.operation: step.effect.state for step in saga.steps}
        undone = {s.effect.operation for s in saga.steps if s.undo and s.undo.state == "done"}
        happened = {name for name, state in stand.items() if state == "done"}
        assert saga.state not in OPEN, saga
        if saga.state == "done":
            assert {*STEPS, "mail.send"} == happened
            assert undone == set()
        elif saga.state == "compensated":
            assert happened - {"mail.send"} == undone
        else:
            assert saga.incident is not None
            assert self.ledger.entries(kind="incident.opened", incident=saga.incident)


SCENARIOS: dict[str, tuple[list[BaseException], dict[str, list[BaseException]]]] = {
    "all goes well": ([], {}),
    "the body turns back": ([Declined()], {}),
    "the last step is declined": ([], {"card.charge": [Declined()]}),
    "the body is busy first": ([Busy()], {}),
    "a compensator never succeeds": ([Declined()], {"hotel.cancel": [Busy() for _ in range(9)]}),
    "an answer is lost": ([], {"hotel.book": [TimeoutError()]}),
    "a compensator's answer is lost": ([Declined()], {"card.back": [TimeoutError()]}),
}


def mortal(name: str) -> Mortal:
    """Return a process for whom these ends are written down."""
    made = Mortal()
    body, before = SCENARIOS[name]
    made.trip.fails_with += [error.with_traceback(None) for error in body]
    for operation, errors in before.items():
        made.trip.provider.before[operation] += [error.with_traceback(None) for error in errors]
    return made


def events_of(name: str) -> int:
    """Return in how many moments a process may die that calls."""
    made = mortal(name)
    made.live(made.trip)
    return made.events


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_death_at_any_moment_leaves_nothing_half_done(name: str) -> None:
    """One death, at each of the moments of a call, and another process that goes on."""
    for moment in range(events_of(name)):
        made = mortal(name)
        made.live(made.trip, dies_after=moment)
        made.settle()
        made.check_counts()
        if made.ledger.entries(kind="saga.started"):
            made.check_end("t-1")
        assert made.ledger.verify().problems == ()


@settings(max_examples=25)
@given(
    name=st.sampled_from(sorted(SCENARIOS)),
    deaths=st.lists(st.integers(0, 40), max_size=6),
    pauses=st.sampled_from([1, LEASE_SECONDS + 1]),
)
def test_deaths_of_those_who_go_on_change_nothing(
    name: str, deaths: list[int], pauses: int
) -> None:
    """Call, resumption and reconciliation die in turn, soon after each other or not."""
    made = mortal(name)
    works = [made.trip, rml.resume_sagas, rml.reconcile]
    for number, moment in enumerate(deaths):
        made.live(works[number % len(works)], dies_after=moment)
        made.clock.advance(pauses)
        made.check_counts()
    made.live(made.trip)
    made.settle()

    made.check_counts()
    made.check_end("t-1")
    assert made.ledger.verify().problems == ()


STATES = st.sampled_from(list(rml.EffectState))
NAMES = st.sampled_from(["test.undo", "test.undo", None])
NOW = datetime(2026, 11, 20, tzinfo=UTC)


def effect(name: str, state: rml.EffectState, *, doubted: bool = True) -> rml.Effect:
    """Return an effect in some state."""
    return rml.Effect(
        id=name,
        operation="test.step",
        scope=None,
        key="k",
        state=state,
        attempt=1,
        generation=1,
        world=rml.World.RML3,
        started_at=NOW,
        recorded_at=NOW,
        facts={},
        doubted=doubted,
    )


@st.composite
def steps(draw: st.DrawFn) -> tuple[SagaStep, ...]:
    """Return steps in any states; what has happened may have been tried to be undone."""
    made = []
    for number in range(draw(st.integers(0, 4))):
        forwards = effect(f"ef_{number}", draw(STATES), doubted=draw(st.booleans()))
        undo = None
        if forwards.state == "done" and draw(st.booleans()):
            undo = effect(f"ef_undo_{number}", draw(STATES), doubted=draw(st.booleans()))
        made.append(SagaStep(effect=forwards, compensator=draw(NAMES), undo=undo))
    return tuple(made)


@given(steps=steps(), data=st.data())
def test_the_way_back_ends_in_every_state(steps: tuple[SagaStep, ...], data: st.DataObject) -> None:
    """Only what happened is undone, newest first, once a pass, up to an end or a pause."""
    saga = rml.Saga(
        id="sg_1",
        operation="test.saga",
        scope=None,
        key="k",
        state=SagaState.COMPENSATING,
        started_at=NOW,
        recorded_at=NOW,
        steps=steps,
    )
    tried: list[str] = []
    while isinstance(decision := decide(saga, tried), Undo | Doubt):
        ended = data.draw(STATES)
        if isinstance(decision, Doubt):
            known = {
                decision.effect.id: attrs.evolve(decision.effect, state="in_doubt", doubted=True)
            }
        else:
            step = decision.step
            assert step.effect.state == "done"
            assert step.compensator is not None
            assert step.effect.id not in tried
            tried.append(step.effect.id)
            known = {f"undo of {step.effect.id}": effect(f"undo of {step.effect.id}", ended)}
        saga = attrs.evolve(saga, steps=tuple(told(step, known) for step in saga.steps))

    assert sorted(tried, reverse=True) == tried
    left = [s for s in saga.steps if s.compensator and s.effect.state not in ("not_done", "failed")]
    undone = [s for s in left if s.undo is not None and s.undo.state == "done"]
    if isinstance(decision, End):
        assert (len(left) == len(undone)) == (decision.state == "compensated")
        assert len(left) == len(undone) + len(decision.stuck)
    else:
        assert decision.effect.state != "done" or decision.effect.id in tried


def told(step: SagaStep, known: dict[str, rml.Effect]) -> SagaStep:
    """Return a step with what is known of it since."""
    forwards = known.get(step.effect.id, step.effect)
    before = step.undo.id if step.undo is not None else ""
    undo = known.get(before) or known.get(f"undo of {step.effect.id}") or step.undo
    return attrs.evolve(step, effect=forwards, undo=undo)


class SagaMachine(RuleBasedStateMachine):
    """Several trips, called, resumed, reconciled and decided, by processes that may die."""

    def __init__(self) -> None:
        super().__init__()
        self.made = Mortal()
        self.trips = [f"t-{number}" for number in range(3)]

    @initialize(ends=st.lists(st.sampled_from(["declined", "busy", "fine"]), max_size=6))
    def write_down(self, ends: list[str]) -> None:
        """How the bodies end."""
        errors = {"declined": Declined, "busy": Busy}
        self.made.trip.fails_with += [errors[end]() for end in ends if end in errors]

    @rule(
        operation=st.sampled_from([*STEPS, *UNDOING.values(), "mail.send"]),
        end=st.sampled_from([Busy, Busy, TimeoutError, Declined]),
        done=st.booleans(),
    )
    def trouble(self, operation: str, end: type[BaseException], done: bool) -> None:
        """The other side will fail once; what it refused, it did not do."""
        provider = self.made.trip.provider
        ends = provider.after if done and end is TimeoutError else provider.before
        ends[operation].append(end())

    @rule(trip=st.integers(0, 2), dies_after=st.none() | st.integers(0, 30))
    def call(self, trip: int, dies_after: int | None) -> None:
        """Somebody calls."""
        self.made.live(lambda: self.made.trip(self.trips[trip]), dies_after)

    @rule(dies_after=st.none() | st.integers(0, 30))
    def resume(self, dies_after: int | None) -> None:
        """Somebody goes on with everything."""
        self.made.live(rml.resume_sagas, dies_after)

    @rule(dies_after=st.none() | st.integers(0, 6))
    def reconcile(self, dies_after: int | None) -> None:
        """Somebody asks the other side."""
        self.made.live(rml.reconcile, dies_after)

    @precondition(lambda self: self.made.ledger.in_doubt())
    @rule()
    def decide(self) -> None:
        """A person finds out and decides."""
        effect = self.made.ledger.in_doubt()[0]
        happened = effect.provider_key in self.made.trip.provider.done
        self.made.live(
            lambda: self.made.ledger.resolve(effect.id, happened=happened, by="a", reason="seen")
        )

    @rule(seconds=st.sampled_from([1, LEASE_SECONDS + 1]))
    def time_passes(self, seconds: int) -> None:
        """Leases run out."""
        self.made.clock.advance(seconds)

    @invariant()
    def nothing_twice(self) -> None:
        """In the books of the other side."""
        self.made.check_counts()

    @invariant()
    def an_ended_saga_is_as_it_says(self) -> None:
        """At every moment, whoever else is at work."""
        for entry in self.made.ledger.entries(kind="saga.ended"):
            self.made.check_end(str(entry.key))

    def teardown(self) -> None:
        """In the end everything has ended, and the ledger is sound."""
        self.made.trip.provider.before.clear()
        self.made.trip.provider.after.clear()
        self.made.trip.fails_with.clear()
        self.made.settle()
        for entry in self.made.ledger.entries(kind="saga.started"):
            self.made.check_end(str(entry.key))
        self.made.check_counts()
        assert self.made.ledger.verify().problems == ()


TestSagaMachine = SagaMachine.TestCase
TestSagaMachine.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)

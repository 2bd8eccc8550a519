"""What a saga is made of, how it is defined, and what another process needs to go on with it."""

import asyncio
from typing import Any

import attrs
import pytest
from protected import kinds
from trips import STEPS, Busy, Declined, Trip, the_saga

import rml


@pytest.fixture(params=["def", "async def"])
def trip(request: pytest.FixtureRequest, ledger: rml.Ledger) -> Trip:
    """A trip of either face, in an empty ledger."""
    return Trip(is_async=request.param == "async def")


# ----------------------------------------------------------------------------------- what is a step


def test_a_handler_that_was_not_named_is_refused_before_its_effect(ledger: rml.Ledger) -> None:
    """Who undoes what is decided beforehand."""
    done: list[str] = []

    @rml.idempotent("test.named", key="key")
    def named(key: str) -> None: ...

    @rml.idempotent("test.forgotten", key="key")
    def forgotten(key: str) -> None:
        done.append(key)

    @rml.saga("test.saga", key="key", steps={named: None})
    def body(key: str) -> None:
        forgotten(key)

    with pytest.raises(rml.DefinitionError, match=r"does not say what undoes 'test\.forgotten'"):
        body("k")

    assert ([], ["saga.started"]) == (done, kinds(ledger))


def test_an_effect_inside_a_step_belongs_to_that_step(ledger: rml.Ledger) -> None:
    """The saga neither asks for its compensator nor undoes it twice."""

    @rml.idempotent("test.inner", key="key")
    def inner(key: str) -> str:
        return "inner"

    @rml.idempotent("test.outer", key="key")
    def outer(key: str) -> str:
        return inner(key)

    @rml.saga("test.saga", key="key", steps={outer: None})
    def body(key: str) -> str:
        return outer(key)

    assert "inner" == body("k")
    assert 1 == len(ledger.entries(kind="saga.step"))


def test_what_was_done_before_is_not_the_sagas_to_undo(ledger: rml.Ledger) -> None:
    """Its value is given to the body; the saga has not begun it."""
    trip = Trip()
    trip.step("flight.book", declared=False, is_async=False)("t-1", 5)
    trip.fails_with.append(Declined())

    trip.fail(Declined)

    assert [*STEPS, "card.back", "hotel.cancel"] == trip.provider.log


def test_a_saga_inside_another_is_refused(ledger: rml.Ledger) -> None:
    """Its steps are to be called instead."""
    trip = Trip()

    @rml.idempotent("test.step", key="key")
    def step(key: str) -> None: ...

    @rml.saga("test.saga", key="key", steps={step: None})
    def body(key: str) -> None:
        trip(key)

    with pytest.raises(rml.InvalidInputError, match="inside another"):
        body("k")


def test_a_step_in_another_ledger_is_refused(ledger: rml.Ledger) -> None:
    """What holds together must be told by one history."""
    with rml.Ledger("memory:") as other:

        @rml.idempotent("test.step", key="key", ledger=other)
        def step(key: str) -> None: ...

        @rml.saga("test.saga", key="key", steps={step: None})
        def body(key: str) -> None:
            step(key)

        with pytest.raises(rml.InvalidInputError, match="another ledger"):
            body("k")
        assert 0 == other.size


# ---------------------------------------------------------------------------------- another process


@attrs.frozen
class Guest:
    """A class that an argument is of."""

    name: str


def test_a_resumed_body_is_given_its_arguments_again(ledger: rml.Ledger) -> None:
    """As they were, classes included; they are kept erasably."""
    seen: list[Any] = []

    @rml.idempotent("test.step", key="key")
    def step(key: str) -> None: ...

    @rml.saga("test.saga", key="key", steps={step: None}, facts=("key",), exclude=("nights",))
    def body(key: str, guest: Guest, nights: float = 1.5) -> None:
        seen.append((key, guest, nights))
        if len(seen) < 2:
            raise Busy

    with pytest.raises(Busy):
        body("k", Guest("Ada"), nights=2.5)
    assert "done" == rml.resume_sagas(operation="test.saga")[0].state

    assert [("k", Guest("Ada"), 2.5)] * 2 == seen
    (started,) = ledger.entries(kind="saga.started")
    assert {"key": "k"} == started.facts
    ledger.erase(str(started.effect), ["rml.arguments", "rml.request"], by="Ada", reason="asked")


def test_erased_arguments_keep_a_saga_from_going_on(ledger: rml.Ledger, trip: Trip) -> None:
    """It says so, and is not compared with a guess."""
    trip.fails_with.append(Busy())
    trip.fail(Busy)
    (started,) = ledger.entries(kind="saga.started")
    ledger.erase(started.id, ["rml.arguments", "rml.request"], by="Ada", reason="asked")

    assert "have been erased" in str(rml.resume_sagas()[0].trouble)
    trip.fail(rml.ResultUnavailableError)


def test_the_way_back_needs_no_arguments(ledger: rml.Ledger, trip: Trip) -> None:
    """What was asked for may be forgotten before all of it is undone."""
    trip.fails_with.append(Declined())
    trip.provider.before["hotel.cancel"].append(Busy())
    trip.fail(Declined)
    (started,) = ledger.entries(kind="saga.started")
    ledger.erase(started.id, ["rml.arguments", "rml.request"], by="Ada", reason="asked")

    assert "compensated" == rml.resume_sagas()[0].state


def test_a_resumed_saga_belongs_to_its_request(ledger: rml.Ledger, trip: Trip) -> None:
    """One correlation id returns all of it."""
    trip.provider.before["hotel.book"].append(Busy())
    with rml.surrounded(correlation="req-7"):
        trip.fail(Busy)

    rml.resume_sagas()

    assert ledger.size == len(ledger.entries(correlation="req-7"))


def test_a_saga_that_is_not_defined_here_says_so(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its module was not imported; the others go on."""
    trip = Trip()
    trip.fails_with.append(Busy())
    trip.fail(Busy)
    monkeypatch.setattr("rml.effect.saga._sagas", {})

    (resumed,) = rml.resume_sagas()

    assert ("running", "no saga of this name is defined in this process") == (
        resumed.state,
        resumed.trouble,
    )
    assert f"trip.book 't-1': running ({resumed.trouble})" == str(resumed)


def test_a_compensator_that_is_not_defined_here_says_so(ledger: rml.Ledger) -> None:
    """It is found by the name that stands in the ledger, and nothing else is called instead."""
    trip = Trip()
    trip.fails_with.append(Declined())
    trip.provider.before["flight.cancel"].append(Busy())
    trip.fail(Declined)
    renamed = rml.compensator("flight.give_back")(lambda step: None)
    step = trip.step("flight.book", declared=False, is_async=False)

    @rml.saga("trip.book", key="trip_id", steps={step: renamed})
    def body(trip_id: str, amount: int = 5) -> None: ...

    (resumed,) = rml.resume_sagas()

    assert "no compensator 'flight.cancel'" in str(resumed.trouble)
    assert "compensating" == resumed.state


# -------------------------------------------------------------------------------- how it is defined


@rml.idempotent("test.step", key="key")
def a_step(key: str) -> None:
    """Be a step."""


@rml.compensator("test.undo")
def an_undo(step: rml.Effect) -> None:
    """Undo a step."""


def body_of(key: str) -> None:
    """Be a saga's body."""


def another_body_of(key: str) -> None:
    """Be another saga's body."""


@rml.saga("test.another", key="key", steps={a_step: an_undo})
def a_saga(key: str) -> None:
    """Be a saga."""


class Unwritable:
    """A class whose instances cannot be recorded."""


def of_unwritable(key: str, session: Unwritable) -> None:
    """Take what cannot be given again."""


def of_many(key: str, *others: str) -> None:
    """Take what has no name."""


@pytest.mark.parametrize(
    ("body", "options", "reason"),
    [
        (body_of, {"steps": {}}, "needs steps="),
        (body_of, {"steps": [a_step]}, "needs steps="),
        (body_of, {"steps": {body_of: None}}, "is no handler"),
        (body_of, {"steps": {an_undo: None}}, "is no handler"),
        (body_of, {"steps": {a_saga: None}}, "is no handler"),
        (body_of, {"steps": {a_step: a_step}}, "must be an @rml.compensator"),
        (body_of, {"steps": {a_step: None}, "timeout": -1}, "timeout"),
        (body_of, {"steps": {a_step: None}, "ledger": "x.db"}, "ledger must be"),
        (a_step, {"steps": {a_step: None}}, "itself protected"),
        (of_unwritable, {"steps": {a_step: None}}, "could not be given again"),
        (of_many, {"steps": {a_step: None}}, "named parameters"),
    ],
)
def test_what_cannot_be_kept_safe_is_refused(
    body: Any, options: dict[str, Any], reason: str
) -> None:
    """Where it is defined."""
    with pytest.raises(rml.DefinitionError, match=reason):
        rml.saga("test.saga", key="key", **options)(body)


def test_two_functions_of_one_name_are_warned_of() -> None:
    """One would be resumed as the other."""
    twice = rml.saga("test.twice", key="key", steps={a_step: None})
    twice(body_of)
    twice(body_of)
    with pytest.warns(RuntimeWarning, match=r"are both the saga 'test\.twice'"):
        twice(another_body_of)


def test_annotations_for_type_checkers_alone_are_no_obstacle(ledger: rml.Ledger) -> None:
    """Builtins can be given again without them."""

    @rml.saga("test.saga", key="key", steps={a_step: None})
    def body(key: "OnlyForCheckers") -> object:  # type: ignore[name-defined]  # noqa: F821
        return key

    assert "k" == body("k")


@pytest.mark.parametrize("options", [{"attempts": 0}, {"attempts": True}, {"timeout": -1}], ids=str)
def test_a_compensator_has_bounds(options: dict[str, Any]) -> None:
    """And one parameter."""
    with pytest.raises(rml.DefinitionError):
        rml.compensator("test.undo", **options)
    for function in (lambda: None, lambda a, b: None, lambda *a: None, 5):
        with pytest.raises(rml.DefinitionError, match="one parameter"):
            rml.compensator("test.undo")(function)  # type: ignore[arg-type]


def test_a_compensator_undoes_an_effect_outside_a_saga_too(ledger: rml.Ledger) -> None:
    """Once, and nothing that has not happened."""
    undone: list[str] = []

    @rml.compensator("test.undo")
    def undo(step: rml.Effect) -> str:
        undone.append(step.key)
        return "undone"

    a_step("k")
    (effect,) = ledger.effects(operation="test.step")

    assert ["undone", "undone"] == [undo(effect), undo(effect)]
    assert ["k"] == undone
    with pytest.raises(rml.RmlError):
        undo(attrs.evolve(effect, id="ef_" + "0" * 32))


def test_arguments_that_cannot_be_given_again_are_refused(ledger: rml.Ledger) -> None:
    """Before anything is recorded."""

    @rml.saga("test.saga", key="key", steps={a_step: None})
    def body(key: str, guest: Any) -> None: ...

    with pytest.raises(rml.EncodingError, match="annotate the parameter"):
        body("k", Guest("Ada"))
    assert 0 == ledger.size


def test_a_scope_makes_two_sagas_of_one_key(ledger: rml.Ledger) -> None:
    """Keys are unique within it."""
    booked: list[str] = []

    @rml.idempotent("test.step", key="key", scope="shop")
    def step(shop: str, key: str) -> None:
        booked.append(shop)

    @rml.saga("test.saga", key="key", scope="shop", steps={step: None})
    def body(shop: str, key: str) -> None:
        step(shop, key)

    for shop in ("a", "b", "a"):
        body(shop, "k")

    assert ["a", "b"] == booked
    assert ["a", "b"] == [entry.scope for entry in ledger.entries(kind="saga.started")]


@pytest.mark.parametrize("value", [object(), "x" * 1_100_000], ids=["unknown", "too large"])
def test_a_value_that_cannot_be_kept_is_given_once(ledger: rml.Ledger, value: object) -> None:
    """The saga is done; later calls are told why there is no value."""

    @rml.saga("test.saga", key="key", steps={a_step: None})
    def body(key: str) -> object:
        return value

    assert value is body("k")
    with pytest.raises(rml.ResultUnavailableError, match="could not be recorded"):
        body("k")
    assert "done" == the_saga(ledger, "k").state


def test_what_was_erased_is_not_guessed(ledger: rml.Ledger, trip: Trip) -> None:
    """The value of a saga, what it failed with, and the value of a step that is to be undone."""
    trip()
    (ended,) = ledger.entries(kind="saga.ended")
    ledger.erase(ended.id, ["rml.result"], by="Ada", reason="asked")
    trip.fail(rml.ResultUnavailableError)

    trip.fails_with.append(Declined())
    trip.provider.before["hotel.cancel"].append(Busy())
    trip.fail(Declined, "t-2")
    (failed,) = ledger.entries(kind="saga.failed")
    booked = ledger.entries(operation="hotel.book", kind="effect.done", newest_first=True)[0]
    ledger.erase(failed.id, ["rml.failure"], by="Ada", reason="asked")
    ledger.erase(booked.id, ["rml.result"], by="Ada", reason="asked")
    rml.resume_sagas()

    assert (None, "its result has been erased") == (trip.given[-1].result, trip.given[-1].why_not)
    error = trip.fail(rml.EffectFailedError, "t-2")
    assert rml.Action.START_COMPENSATION is error.action


def test_a_cancelled_saga_can_be_resumed(ledger: rml.Ledger) -> None:
    """Its step is in doubt, if one was cut short; nothing is undone."""
    trip = Trip(is_async=True)

    async def cancelled() -> None:
        task = asyncio.create_task(trip.saga("t-1"))
        trip.provider.watch = lambda place: place == "after hotel.book" and task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())

    assert "running" == the_saga(ledger).state
    rml.reconcile()
    (resumed,) = rml.resume_sagas()
    assert "done" == resumed.state
    assert [*STEPS, "mail.send"] == trip.provider.log

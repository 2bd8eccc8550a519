"""`@rml.idempotent` on plain functions: run once, replayed, refused, recorded, whatever happens."""

import asyncio
import dataclasses
import functools
import inspect
import logging
import threading
import time
import typing
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from uuid import UUID

import attrs
import pytest

import rml
from rml.effect.request import request
from rml.ledger.draft import PERSONAL_BYTES_MAX

START = datetime(2026, 11, 20, 19, tzinfo=UTC)


@pytest.fixture
def clock() -> rml.FrozenClock:
    """Return a clock that moves only when told to."""
    return rml.FrozenClock(START)


@pytest.fixture(params=["memory", "sqlite"])
def ledger(
    request: pytest.FixtureRequest, tmp_path: Path, clock: rml.FrozenClock
) -> Iterator[rml.Ledger]:
    """Return an empty ledger, verified when the test is over."""
    place = "memory:" if request.param == "memory" else tmp_path / "ledger.db"
    with rml.Ledger(place, clock=clock, service="tests") as made:
        rml.configure(ledger=made)
        yield made
        if request.node.get_closest_marker("no_verify") is None:
            assert made.verify().problems == ()


class Charges:
    """A handler whose ends are written down beforehand, and the attempts that it saw."""

    def __init__(self, *ends: Any, **options: Any) -> None:
        self.attempts: list[rml.Attempt] = []
        ends_left = list(ends)

        @rml.idempotent("payment.charge", **{"key": "payment_id", **options})
        def charge(payment_id: Any, amount: Any = 5) -> Any:
            self.attempts.append(rml.current_effect())
            end = ends_left.pop(0) if ends_left else None
            if isinstance(end, BaseException):
                raise end
            return end() if callable(end) else end

        self.charge = charge

    def __call__(self, payment_id: Any = "pay-1", amount: Any = 5) -> Any:
        """Call the handler."""
        return self.charge(payment_id, amount)

    def fail(self, kind: type[BaseException], payment_id: Any = "pay-1", amount: Any = 5) -> Any:
        """Call, and return the error."""
        with pytest.raises(kind) as caught:
            self.charge(payment_id, amount)
        return caught.value

    @property
    def count(self) -> int:
        """How often the handler ran."""
        return len(self.attempts)


def kinds(ledger: rml.Ledger) -> list[str]:
    """Return the kinds of all entries, in order."""
    return [entry.kind for entry in ledger.entries()]


def the_effect(ledger: rml.Ledger) -> rml.Effect:
    """Return the ledger's only effect."""
    (effect,) = ledger.effects()
    return effect


def doubtful(ledger: rml.Ledger) -> list[str]:
    """Return the keys in doubt."""
    return [effect.key for effect in ledger.in_doubt()]


# Once, and again -------------------------------------------------------------------------------


def test_a_value_is_given_again_and_the_handler_runs_once(ledger: rml.Ledger) -> None:
    """The first call runs it, every other is given what it returned."""
    charges = Charges({"charge": "ch_1"})

    assert [{"charge": "ch_1"}] * 3 == [charges(), charges(), charges()]
    assert charges.count == 1
    assert ["effect.intent", "effect.done"] == kinds(ledger)
    assert rml.EffectState.DONE is the_effect(ledger).state
    assert [] == doubtful(ledger)


def test_a_later_process_is_given_the_same(tmp_path: Path) -> None:
    """The history is in the file, not in the decorator."""
    for _ in range(2):
        with rml.Ledger(tmp_path / "ledger.db") as ledger:
            assert Charges("once", ledger=ledger)() == "once"
            assert ledger.size == 2


def test_two_keys_are_two_effects(ledger: rml.Ledger) -> None:
    """1 and "1" are two keys, too."""
    charges = Charges("a", "b", "c")

    assert ["a", "b", "c", "a"] == [charges("1"), charges(1), charges("2"), charges("1")]
    assert charges.count == 3


def test_two_operations_on_one_ledger_never_mix(ledger: rml.Ledger) -> None:
    """Not by key, not when nested, not when called from many threads at once."""

    @rml.idempotent("payment.charge", key="key", wait=60)
    def charge(key: str) -> list[str]:
        return ["charged", key, *refund(key)]

    @rml.idempotent("payment.refund", key="key", wait=60)
    def refund(key: str) -> list[str]:
        return ["refunded", key]

    found: list[list[str]] = []

    def work() -> None:
        for n in range(10):
            found.append(charge(f"k{n}"))
            found.append(refund(f"k{n}"))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected: list[list[str]] = []
    for n in range(10):
        expected += [["charged", f"k{n}", "refunded", f"k{n}"], ["refunded", f"k{n}"]] * 2
    assert sorted(expected) == sorted(found)
    assert ledger.size == 40


def test_a_scope_separates_tenants(ledger: rml.Ledger) -> None:
    """The same key of two tenants is two effects; the scope is recorded."""

    @rml.idempotent("payment.charge", key="key", scope="tenant")
    def charge(key: str, tenant: str) -> str:
        return f"{tenant}:{key}"

    assert ["a:k", "b:k", "a:k"] == [charge("k", "a"), charge("k", "b"), charge("k", "a")]
    assert ["a", "b"] == [effect.scope for effect in ledger.effects()]
    with pytest.raises(rml.KeyMissingError, match="the scope is None"):
        charge("k", None)  # type: ignore[arg-type]


def test_history_belongs_to_the_operation_not_to_the_function(ledger: rml.Ledger) -> None:
    """A renamed function, even with another default parameter excluded, replays."""
    Charges("once")()

    @rml.idempotent("payment.charge", key="payment_id", exclude=["trace"])
    def renamed(payment_id: str, amount: int, trace: str = "") -> Any:
        pytest.fail("ran a second time")

    assert renamed("pay-1", 5, trace="t") == "once"


# Keys ------------------------------------------------------------------------------------------


def test_positional_keyword_and_default_are_one_call(ledger: rml.Ledger) -> None:
    """However a call is spelled, it is the same request."""
    runs = []

    @rml.idempotent("payment.charge", key="key")
    def charge(key: str = "k", amount: int = 5, *, currency: str = "EUR") -> int:
        runs.append(key)
        return len(runs)

    spelled = [
        charge(),
        charge("k"),
        charge(key="k"),
        charge("k", 5),
        charge(amount=5, key="k"),
        charge("k", currency="EUR"),
    ]

    assert [1] * 6 == spelled


def test_keys_are_found_in_attributes_members_and_by_callables(ledger: rml.Ledger) -> None:
    """A dotted path goes through both; a callable gets the arguments that it names."""
    order = SimpleNamespace(id=UUID(int=7))

    @rml.idempotent("a.b", key="body.order.id", exclude=["body"])
    def by_path(body: dict[str, Any]) -> None: ...

    @rml.idempotent("a.c", key=lambda order, line: (order.id, line), exclude=["order"])
    def by_callable(order: Any, line: int) -> None: ...

    by_path({"order": order})
    by_callable(order, 3)

    assert [str(order.id), f"{order.id}/3"] == [effect.key for effect in ledger.effects()]


@pytest.mark.parametrize("key", ["", None, True, 1.5, Decimal(1), "a\nb", "\ud800", "x" * 256, ()])
def test_a_call_without_a_usable_key_does_nothing(ledger: rml.Ledger, key: object) -> None:
    """Refused before anything is recorded; the handler is not called."""
    charges = Charges()

    charges.fail(rml.KeyMissingError, key)

    assert (0, 0) == (charges.count, ledger.size)


def test_a_wrong_call_is_pythons_type_error(ledger: rml.Ledger) -> None:
    """As if the function were not decorated."""
    charges = Charges()

    with pytest.raises(TypeError, match=r"charge\(\) missing 1 required positional argument"):
        charges.charge()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"charge\(\) got an unexpected keyword argument 'size'"):
        charges.charge("k", size=1)  # type: ignore[call-arg]
    assert ledger.size == 0


# Fingerprints ----------------------------------------------------------------------------------


def test_another_request_under_a_used_key_is_refused(ledger: rml.Ledger) -> None:
    """The first request keeps the key; the other changes nothing."""
    charges = Charges("first")
    charges("pay-1", 5)

    error = charges.fail(rml.FingerprintMismatchError, "pay-1", 6)

    assert error.happened is False
    assert charges("pay-1", 5) == "first"
    assert (1, 2) == (charges.count, ledger.size)


FAILED = rml.DialogError("no", action=rml.Action.START_COMPENSATION)


@pytest.mark.parametrize(
    ("end", "state"),
    [
        (rml.ClosedError("no"), "not_done"),
        (rml.DialogError("lost"), "retrying"),
        (FAILED, "failed"),
        (rml.HistoryError("no"), "history"),
        (TimeoutError(), "in_doubt"),
        ("value", "done"),
    ],
    ids=["not_done", "retrying", "failed", "history", "in_doubt", "done"],
)
def test_a_mismatch_is_told_in_every_state(ledger: rml.Ledger, end: Any, state: str) -> None:
    """Before anything else is said about the key."""
    charges = Charges(end, provider_idempotent=True)
    if isinstance(end, BaseException):
        charges.fail(type(end))
    else:
        charges()

    assert state == the_effect(ledger).state
    assert f"({state})" in str(charges.fail(rml.FingerprintMismatchError, "pay-1", 6))
    assert charges.count == 1


def test_a_mismatch_in_flight_is_a_mismatch(ledger: rml.Ledger) -> None:
    """It is not told to wait."""
    errors: list[rml.RmlError] = []
    charges = Charges(lambda: in_other_thread(inside), wait=60)

    def inside() -> None:
        errors.append(charges.fail(rml.FingerprintMismatchError, "pay-1", 6))

    charges()

    assert len(errors) == 1
    assert "(in_flight)" in errors[0].message


def test_excluded_parameters_may_differ(ledger: rml.Ledger) -> None:
    """They may also be what no fingerprint takes."""
    charges = Charges("once", exclude=["amount"])

    assert ["once", "once"] == [charges("k", 0.5), charges("k", {object()})]


@pytest.mark.parametrize(
    "amount", [0.5, float("nan"), {1}, object(), [0.5], rml.Secret(1), "\ud800"], ids=repr
)
def test_what_cannot_be_recognised_is_refused_before_the_effect(
    ledger: rml.Ledger, amount: object
) -> None:
    """The argument is named."""
    charges = Charges()

    error = charges.fail(rml.InvalidInputError, "k", amount)

    assert "argument amount" in str(error)
    assert (0, 0) == (charges.count, ledger.size)


# Results ---------------------------------------------------------------------------------------


@dataclasses.dataclass
class Money:
    """What a nested result is made of."""

    amount: Decimal
    currency: str = "EUR"


@attrs.define
class Receipt:
    """A result with results inside."""

    id: str
    money: Money
    lines: list[Money] = attrs.field(factory=list)


class Pair(NamedTuple):
    """A named tuple."""

    left: int
    right: int


@pytest.mark.parametrize(
    "value",
    [
        None,
        0,
        False,
        "",
        [],
        (),
        {},
        b"",
        Decimal("0.00"),
        2**70,
        0.1,
        (1, [2, (3,)]),
        {"b": 1, "a": 2},
        {1: "one"},
        date(2026, 1, 1),
        datetime(2026, 1, 1, tzinfo=UTC),
        timedelta.max,
        UUID(int=1),
    ],
    ids=repr,
)
def test_results_replay_equal_and_of_the_same_type(ledger: rml.Ledger, value: Any) -> None:
    """What is false is a value too; order and precision are kept; no annotation is needed."""
    charges = Charges(value)
    first, again = charges(), charges()

    assert value is first
    assert value == again
    assert repr(value) == repr(again)
    assert charges.count == 1


@pytest.mark.parametrize(
    "value",
    [
        Receipt("r", Money(Decimal("1.50")), [Money(Decimal(0), "USD")]),
        [Pair(1, 2)],
        None,
        {"a": rml.World.RML3},
    ],
    ids=["attrs", "named tuple", "none", "enum"],
)
def test_annotated_classes_replay(ledger: rml.Ledger, value: Any) -> None:
    """Whatever the annotation names, inside lists and dicts, too."""

    @rml.idempotent("payment.charge", key="key")
    def charge(key: str) -> Receipt | list[Pair] | dict[str, rml.World] | None:
        return value  # type: ignore[no-any-return]

    charge("k")

    assert value == charge("k")
    assert repr(value) == repr(charge("k"))


def test_changing_a_returned_value_changes_no_replay(ledger: rml.Ledger) -> None:
    """Neither the first call's value nor a replay's is what is kept."""
    charges = Charges({"lines": [1]})
    for _ in range(3):
        value = charges()
        value["lines"].append(2)
        value["more"] = True

    assert {"lines": [1]} == charges()


def test_a_result_that_cannot_be_given_again_is_refused_at_definition() -> None:
    """A set has no place in JSON; the effect has not happened yet."""
    with pytest.raises(rml.DefinitionError, match=r"returns what could not be given again .*set"):

        @rml.idempotent("payment.charge", key="key")
        def charge(key: str) -> dict[str, set[int]]:
            return {}


def _deep(levels: int) -> Any:
    value: Any = ()
    for _ in range(levels):
        value = (value,)
    return value


class _Undescribed:
    """Values of this class cannot be written down."""


@pytest.mark.parametrize(
    "make",
    [
        lambda: {1, 2},
        _Undescribed,
        lambda: [1, {2}],
        lambda: "x" * (PERSONAL_BYTES_MAX + 1),
        lambda: "\ud800",
        lambda: {"\ud800": 1},
        lambda: _deep(40),
        lambda: _deep(100),
        lambda: 10**5000,
        lambda: Money(Decimal(1)),
        lambda: object.__new__(Money),
        lambda: rml.Secret("s"),
        lambda: iter([1]),
    ],
    ids=[
        "set",
        "object",
        "inner set",
        "large",
        "surrogate",
        "surrogate key",
        "deep",
        "deeper",
        "digits",
        "unnamed class",
        "missing field",
        "secret",
        "iterator",
    ],
)
def test_a_result_that_cannot_be_stored_is_done_and_not_replayable(
    ledger: rml.Ledger, make: Callable[[], Any]
) -> None:
    """The caller gets the value; nobody else can; it is never a reason to run again."""
    made: list[Any] = []

    def handler() -> Any:
        made.append(make())
        return made[0]

    charges = Charges(handler)

    assert charges() is made[0]
    assert rml.EffectState.DONE is the_effect(ledger).state
    error = charges.fail(rml.ResultUnavailableError)
    assert error.happened is True
    assert error.world is rml.World.RML3
    assert "is done" in error.message
    assert charges.count == 1
    assert [] == doubtful(ledger)


def test_a_large_result_replays(ledger: rml.Ledger) -> None:
    """Up to the limit that has a name."""
    value = "x" * (PERSONAL_BYTES_MAX - 1_000)
    charges = Charges(value)
    charges()

    assert value == charges()


def test_a_class_that_changed_since_is_not_replayable(ledger: rml.Ledger) -> None:
    """The effect is done all the same, and that is what the caller learns."""
    old = dataclasses.make_dataclass("Paid", [("id", str)])
    new = dataclasses.make_dataclass("Paid", [("id", str), ("amount", int)])

    def define(kind: Any) -> Callable[[str], Any]:
        @rml.idempotent("payment.charge", key="key")
        def charge(key: str) -> kind:
            return kind("p")

        return charge

    define(old)("k")

    assert old("p") == define(old)("k")
    with pytest.raises(rml.ResultUnavailableError) as caught:
        define(new)("k")
    assert caught.value.happened is True


# Every way to end ------------------------------------------------------------------------------


def test_an_error_of_the_closed_world_may_be_tried_again(ledger: rml.Ledger) -> None:
    """Nothing left the room: not done, and the attempt is recorded."""
    charges = Charges(rml.ClosedError("no stock"), "value")

    charges.fail(rml.ClosedError)
    assert rml.EffectState.NOT_DONE is the_effect(ledger).state
    assert charges() == "value"
    assert [1, 2] == [attempt.attempt for attempt in charges.attempts]
    assert ["effect.intent", "effect.not_done", "effect.intent", "effect.done"] == kinds(ledger)


def test_a_retry_with_a_key_that_the_provider_knows(ledger: rml.Ledger) -> None:
    """The same provider key is sent again, until it is done."""
    ends = [rml.DialogError("lost"), rml.DialogError("lost again"), "value"]
    charges = Charges(*ends, provider_idempotent=True)

    charges.fail(rml.DialogError)
    assert rml.EffectState.RETRYING is the_effect(ledger).state
    charges.fail(rml.DialogError)
    assert charges() == "value"
    assert len({attempt.provider_key for attempt in charges.attempts}) == 1


def test_a_retry_that_the_provider_would_not_recognise_is_doubt(ledger: rml.Ledger) -> None:
    """It may have happened: refused until somebody has decided."""
    charges = Charges(rml.DialogError("lost"), "value")

    charges.fail(rml.DialogError)
    charges.fail(rml.InDoubtError)
    assert charges.count == 1
    assert ["pay-1"] == doubtful(ledger)


def test_a_certain_refusal_may_be_tried_again_under_a_new_provider_key(ledger: rml.Ledger) -> None:
    """A provider that remembers refusals would repeat it for the same key."""
    declined = rml.DialogError("declined", happened=False)
    charges = Charges(declined, rml.ClosedError("local"), "value", provider_idempotent=True)
    charges.fail(rml.DialogError)
    charges.fail(rml.ClosedError)
    charges()
    first, second, third = [attempt.provider_key for attempt in charges.attempts]

    assert first != second
    assert second == third


def test_a_failure_to_be_compensated_is_the_same_failure_again(ledger: rml.Ledger) -> None:
    """Final: later callers get it too, with code, details and all."""
    before = rml.DialogError(
        "sold out", code="SOLD_OUT", action=rml.Action.START_COMPENSATION, details={"left": 0}
    )
    charges = Charges(before)

    assert charges.fail(rml.DialogError) is before
    again = charges.fail(rml.DialogError)
    assert before.to_dict() == again.to_dict()
    assert rml.EffectState.FAILED is the_effect(ledger).state
    assert charges.count == 1
    assert "incident.opened" not in kinds(ledger)


class MoneyMovedError(rml.HistoryError):
    """Money moved to a place where it should not be."""

    code = "MONEY_MOVED"


def test_history_opens_an_incident_and_is_the_same_failure_again(ledger: rml.Ledger) -> None:
    """Entry and incident are one commit; a replay gives the same class of error."""
    charges = Charges(MoneyMovedError(details={"account": 7}))

    error = charges.fail(MoneyMovedError)
    again = charges.fail(MoneyMovedError)

    assert error.to_dict() == again.to_dict()
    assert ["effect.intent", "incident.opened", "effect.history"] == kinds(ledger)
    assert the_effect(ledger).incident == "INC-2026-0001"
    assert any("INC-2026-0001" in note for note in error.__notes__)


class _UnprintableError(Exception):
    """An exception that cannot be shown."""

    def __str__(self) -> str:
        raise ZeroDivisionError

    __repr__ = __str__


@pytest.mark.parametrize(
    "end",
    [
        TimeoutError(),
        ValueError("bug"),
        _UnprintableError(),
        KeyboardInterrupt(),
        SystemExit(1),
        GeneratorExit(),
        asyncio.CancelledError(),
        ExceptionGroup("several", [ValueError()]),
        StopIteration(5),
        RecursionError(),
        MemoryError(),
        rml.LedgerBusyError(),
        rml.InvalidInputError("a mistake made after the charge"),
        rml.ClosedError("who knows", happened=None),
    ],
    ids=lambda end: type(end).__name__,
)
def test_everything_else_is_doubt(ledger: rml.Ledger, end: BaseException) -> None:
    """The caller sees the very exception; the effect is in doubt, and an incident is open."""
    charges = Charges(end)

    assert charges.fail(type(end)) is end
    error = charges.fail(rml.InDoubtError)
    assert error.details["incident"] == "INC-2026-0001"
    assert charges.count == 1
    assert ["pay-1"] == doubtful(ledger)
    assert ["effect.intent", "incident.opened", "effect.in_doubt"] == kinds(ledger)


def test_an_error_that_says_that_it_happened_is_done(ledger: rml.Ledger) -> None:
    """There is no value to give again, so later calls are told that it is done."""
    charges = Charges(rml.DialogError("receipt not printed", happened=True))

    charges.fail(rml.DialogError)
    assert rml.EffectState.DONE is the_effect(ledger).state
    charges.fail(rml.ResultUnavailableError)
    assert charges.count == 1


def test_an_error_of_strange_make_is_recorded(ledger: rml.Ledger) -> None:
    """Its class takes no notes and no attributes; the caller still sees it, and nothing else."""

    class ClosedShutError(Exception):
        __slots__ = ()

        def add_note(self, note: str) -> None:
            raise TypeError

    end = ClosedShutError()
    charges = Charges(end)

    assert charges.fail(ClosedShutError) is end
    assert ["pay-1"] == doubtful(ledger)


def test_an_error_whose_text_is_no_unicode_is_recorded(ledger: rml.Ledger) -> None:
    """Message and details are made fit before they are kept."""
    charges = Charges(rml.HistoryError("\ud800", details={"\ud800": "\ud800"}))

    charges.fail(rml.HistoryError)
    assert rml.EffectState.HISTORY is the_effect(ledger).state


def test_doubts_of_one_kind_join_one_incident(ledger: rml.Ledger) -> None:
    """One problem is one incident, counted."""
    charges = Charges(*[TimeoutError() for _ in range(3)])
    for n in range(3):
        charges.fail(TimeoutError, f"k{n}")

    assert {"INC-2026-0001"} == {effect.incident for effect in ledger.in_doubt()}
    assert [2, 3] == [entry.facts["count"] for entry in ledger.entries(kind="incident.joined")]


# What is still to be run -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["coroutine", "generator", "async generator", "task"])
def test_a_plain_function_that_returns_what_is_still_to_run(ledger: rml.Ledger, kind: str) -> None:
    """It is refused, closed, and stands in doubt: part of it may have run."""

    async def coroutine() -> None: ...

    def generator() -> Iterator[int]:
        yield 1

    async def async_generator() -> Any:
        yield 1

    made = {
        "coroutine": coroutine,
        "generator": generator,
        "async generator": async_generator,
        "task": lambda: asyncio.ensure_future(coroutine()),
    }[kind]
    charges = Charges(made)

    async def call() -> None:
        error = charges.fail(rml.DefinitionError)
        assert "make it async def" in str(error)

    asyncio.run(call())

    assert ["pay-1"] == doubtful(ledger)
    assert charges.count == 1


def test_generators_are_refused_at_definition() -> None:
    """Their effect has no single end."""

    def generator(key: str) -> Iterator[int]:
        yield 1

    async def async_generator(key: str) -> Any:
        yield 1

    for handler in (generator, async_generator):
        with pytest.raises(rml.DefinitionError, match="decorates a generator"):
            rml.idempotent("a.b", key="key")(handler)  # type: ignore[arg-type]


# What can be decorated -------------------------------------------------------------------------


def test_classes_and_other_things_are_refused_at_definition() -> None:
    """Only what can be called, and has one end, and is no class."""
    for handler in (Money, 5, "charge", classmethod(lambda cls, key: 1)):
        with pytest.raises(rml.DefinitionError, match="must decorate a function"):
            rml.idempotent("a.b", key="key")(handler)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"operation": ""}, "dotted lower-case words"),
        ({"operation": "charge"}, "dotted lower-case words"),
        ({"operation": "Payment.Charge"}, "dotted lower-case words"),
        ({"operation": "a." + "b" * 80}, "dotted lower-case words"),
        ({"operation": None}, "dotted lower-case words"),
        ({"key": None}, "needs key=: a parameter's name"),
        ({"key": "nobody"}, "key='nobody' names no parameter"),
        ({"scope": "nobody"}, "scope='nobody' names no parameter"),
        ({"corrects": "nobody"}, "corrects='nobody' names no parameter"),
        ({"facts": ["nobody"]}, "names no parameter"),
        ({"personal": ["nobody"]}, "names no parameter"),
        ({"exclude": ["nobody"]}, "exclude names 'nobody'"),
        ({"facts": "amount"}, "facts of 'a.b' must be a list of names"),
        ({"exclude": "amount"}, "exclude of 'a.b' must be a list"),
        ({"personal": 5}, "personal of 'a.b' must be a list"),
        ({"facts": [5]}, "facts of 'a.b' names 5, which is no parameter"),
        ({"personal": ["rml.x"]}, "names 'rml.x', which is no parameter"),
        ({"provider_idempotent": 1}, "provider_idempotent must be True or False"),
        ({"lease": 0}, "lease must be at least 0.1 seconds"),
        ({"lease": -1}, "lease must be at least"),
        ({"lease": float("nan")}, "lease must be at least"),
        ({"lease": float("inf")}, "lease must be at least"),
        ({"lease": "60"}, "lease must be at least"),
        ({"lease": True}, "lease must be at least"),
        ({"wait": -1}, "wait must be at least 0 seconds"),
        ({"reconcile": 5}, "reconcile must be a callable, not int"),
        ({"ledger": "payments.db"}, "ledger must be an rml.Ledger, not str"),
    ],
    ids=str,
)
def test_a_definition_that_cannot_be_kept_safe_is_refused(
    options: dict[str, Any], message: str
) -> None:
    """Where it is written; the error is a TypeError and one of ours."""

    def handler(key: str, amount: int) -> None: ...

    given = {"operation": "a.b", "key": "key", **options}
    with pytest.raises(rml.DefinitionError, match=message) as caught:
        rml.idempotent(given.pop("operation"), **given)(handler)
    assert isinstance(caught.value, TypeError)


def test_an_unknown_world_is_refused_at_definition() -> None:
    """Its spelling is shown."""
    with pytest.raises(rml.InvalidInputError, match="RML9"):
        rml.idempotent("a.b", key="key", world="RML9")


def test_a_key_is_required() -> None:
    """There is no unprotected effect."""
    with pytest.raises(TypeError, match="key"):
        rml.idempotent("a.b")  # type: ignore[call-arg]


def test_methods_are_called_once_whoever_calls(ledger: rml.Ledger) -> None:
    """``self`` is who is asked, not what: two instances share a key's effect."""

    class Gateway:
        calls = 0

        @rml.idempotent("gateway.charge", key="key")
        def charge(self, key: str) -> str:
            Gateway.calls += 1
            return f"{key} by {type(self).__name__}"

        @classmethod
        @rml.idempotent("gateway.refund", key="key")
        def refund(cls, key: str) -> str:
            return f"{key} by {cls.__name__}"

        @staticmethod
        @rml.idempotent("gateway.void", key="key")
        def void(key: str) -> str:
            return key

        @rml.idempotent("gateway.check", key="key")
        @staticmethod
        def check(key: str) -> str:
            return key

    assert ["k by Gateway"] * 2 == [Gateway().charge("k"), Gateway().charge(key="k")]
    assert Gateway.calls == 1
    assert ["k by Gateway"] * 2 == [Gateway.refund("k"), Gateway().refund("k")]
    assert ["k", "k"] == [Gateway.void("k"), Gateway().void("k")]
    assert Gateway.check("k") == "k"


def test_the_receiver_names_no_key() -> None:
    """A method's key comes from its arguments; pass the tenant as one."""
    with pytest.raises(rml.DefinitionError, match="names no parameter; the parameters are: key"):

        class Gateway:
            tenant = "t"

            @rml.idempotent("gateway.charge", key="key", scope="self.tenant")
            def charge(self, key: str) -> None: ...


def test_a_lambda_is_a_function(ledger: rml.Ledger) -> None:
    """Its name is no identifier, and that is no obstacle."""
    charge = rml.idempotent("a.lambda", key="key")(lambda key: f"lambda {key}")

    assert ["lambda k", "lambda k"] == [charge("k"), charge("k")]
    assert ledger.size == 2


def test_partials_and_callable_objects_are_refused_at_definition() -> None:
    """They have no name and no annotations of their own; decorate the function itself."""

    class Charger:
        def __call__(self, key: str) -> None: ...

    for handler in (Charger(), functools.partial(lambda key, amount: None, amount=3)):
        with pytest.raises(rml.DefinitionError, match="must decorate a function"):
            rml.idempotent("a.b", key="key")(handler)


def test_every_kind_of_parameter(ledger: rml.Ledger) -> None:
    """Positional-only, stars and keyword-only arguments all count."""
    runs = []

    @rml.idempotent("a.b", key="more.key")
    def charge(a: int, /, b: int, *rest: int, c: int = 3, **more: Any) -> Any:
        runs.append((a, b, rest, c, more))
        return runs[-1]

    assert (1, 2, (3, 4), 3, {"key": "k"}) == charge(1, 2, 3, 4, key="k")
    assert charge(1, 2, 3, 4, c=3, key="k") == (1, 2, (3, 4), 3, {"key": "k"})
    for args, kwargs in [((1, 2, 3), {}), ((1, 2, 3, 4), {"c": 4}), ((1, 2, 3, 4), {"d": 1})]:
        with pytest.raises(rml.FingerprintMismatchError):
            charge(*args, key="k", **kwargs)
    assert len(runs) == 1


def test_the_decorated_function_looks_like_the_function() -> None:
    """Name, docstring, signature, annotations, for people and for type checkers."""

    def charge(payment_id: str, amount: int = 5, *, currency: str = "EUR") -> Receipt:
        """Charge a card."""
        raise NotImplementedError

    decorated = rml.idempotent("payment.charge", key="payment_id")(charge)

    assert ("charge", "Charge a card.") == (decorated.__name__, decorated.__doc__)
    assert charge.__qualname__ == decorated.__qualname__
    assert inspect.signature(charge) == inspect.signature(decorated)
    assert typing.get_type_hints(charge) == typing.get_type_hints(decorated)
    assert not inspect.iscoroutinefunction(decorated)
    assert inspect.unwrap(decorated) is charge


def test_the_decorators_own_parameters_are_the_contract() -> None:
    """Spelled so for good: other people's code relies on it."""
    parameters = inspect.signature(rml.idempotent).parameters
    optional = "scope world provider_idempotent reconcile wait exclude facts personal lease"

    assert ["operation", "key", *optional.split(), "corrects", "ledger"] == list(parameters)
    assert all(p.kind is p.KEYWORD_ONLY for name, p in parameters.items() if name != "operation")


# Inside ----------------------------------------------------------------------------------------


def test_the_running_attempt_can_be_asked_for(ledger: rml.Ledger) -> None:
    """Effect, key, attempt, and the key for the provider; outside there is none."""
    charges = Charges("value")
    charges()
    (attempt,) = charges.attempts
    effect = the_effect(ledger)

    assert (effect.id, "pay-1", 1, effect.provider_key) == (
        attempt.id,
        attempt.key,
        attempt.attempt,
        attempt.provider_key,
    )
    with pytest.raises(rml.InvalidInputError, match="for the inside of a handler"):
        rml.current_effect()


def test_recursion_with_the_same_key_is_refused_at_once(ledger: rml.Ledger) -> None:
    """Waiting for oneself would be for ever; another key is another effect."""
    depth: list[int] = []

    @rml.idempotent("a.b", key="key", wait=3600)
    def descend(key: int, same: bool) -> int:
        depth.append(key)
        if key < 3:
            return descend(key if same else key + 1, same=same)
        return key

    assert descend(1, same=False) == 3
    with pytest.raises(rml.InFlightError, match="from inside itself"):
        descend(0, same=True)
    assert [1, 2, 3, 0] == depth


def test_the_attempt_outside_is_back_after_a_nested_one(ledger: rml.Ledger) -> None:
    """Also when the inner one fails."""

    @rml.idempotent("a.inner", key="key")
    def inner(key: str) -> None:
        raise rml.ClosedError("no")

    @rml.idempotent("a.outer", key="key")
    def outer(key: str) -> str:
        with pytest.raises(rml.ClosedError):
            inner(key)
        return rml.current_effect().operation

    assert outer("k") == "a.outer"


# Duplicates in flight --------------------------------------------------------------------------


def in_other_thread(function: Callable[[], Any]) -> Any:
    """Call a function in a thread without our context; return its value or raise its error."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append((function(), None))
        except BaseException as error:  # noqa: BLE001
            outcome.append((None, error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    value, error = outcome[0]
    if error is not None:
        raise error
    return value


def test_a_duplicate_in_flight_is_refused_at_once(ledger: rml.Ledger) -> None:
    """It is told how long the lease lasts, and leaves the owner alone."""
    errors: list[rml.RmlError] = []
    charges = Charges(lambda: in_other_thread(duplicate), lease=30)

    def duplicate() -> str:
        errors.append(charges.fail(rml.InFlightError))
        return "value"

    assert charges() == "value"
    assert [30.0] == [error.retry_after for error in errors]
    assert charges.count == 1
    assert charges() == "value"


def _patient(monkeypatch: pytest.MonkeyPatch, pause: Callable[[float], object]) -> None:
    """Replace the sleep between two looks."""
    replacement = SimpleNamespace(monotonic=time.monotonic, sleep=pause)
    monkeypatch.setattr("rml.effect.idempotent.time", replacement)


@pytest.mark.parametrize("end", ["value", FAILED, rml.HistoryError("moved")], ids=str)
def test_a_waiter_gets_the_owners_value_or_failure(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch, end: Any
) -> None:
    """Both callers get the same; the handler runs once."""
    inside, waiting, ended = (threading.Event() for _ in range(3))

    def handler() -> Any:
        inside.set()
        assert waiting.wait(60)
        if isinstance(end, BaseException):
            raise end
        return end

    def pause(seconds: float) -> None:
        waiting.set()
        assert ended.wait(60)

    _patient(monkeypatch, pause)
    charges = Charges(handler, wait=60)
    got: dict[str, Any] = {}

    def call(who: str) -> None:
        try:
            got[who] = charges()
        except rml.RmlError as error:
            got[who] = error.to_dict()
        if who == "owner":
            ended.set()

    owner = threading.Thread(target=call, args=["owner"])
    owner.start()
    assert inside.wait(60)
    call("waiter")
    owner.join()

    assert got["owner"] == got["waiter"]
    assert charges.count == 1


def test_a_waiter_gives_up_without_touching_the_owner(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It learns that the other is still at it."""
    elapsed = [0.0]
    replacement = SimpleNamespace(
        monotonic=lambda: elapsed[0], sleep=lambda _: elapsed.append(elapsed.pop() + 1)
    )
    monkeypatch.setattr("rml.effect.idempotent.time", replacement)
    charges = Charges(lambda: in_other_thread(lambda: charges.fail(rml.InFlightError)), wait=5)

    charges()

    assert elapsed == [5.0]
    assert rml.EffectState.DONE is the_effect(ledger).state


def test_a_waiter_finds_the_owner_lost(
    ledger: rml.Ledger, clock: rml.FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the lease runs out while waiting, the effect is in doubt, not taken over."""
    _patient(monkeypatch, lambda _: clock.advance(61))
    seen: list[rml.RmlError] = []

    def handler() -> str:
        in_other_thread(lambda: seen.append(charges.fail(rml.InDoubtError)))
        return "too late"

    charges = Charges(handler, wait=3600)
    charges.fail(rml.InDoubtError)

    assert seen[0].details["incident"] == "INC-2026-0001"
    assert charges.count == 1
    assert ["effect.intent", "incident.opened", "effect.in_doubt", "effect.late"] == kinds(ledger)
    assert ["pay-1"] == doubtful(ledger)


def test_many_threads_one_key(ledger: rml.Ledger) -> None:
    """However many begin at once, one runs; the others wait for its value."""
    charges = Charges("value", wait=60)
    barrier = threading.Barrier(6)
    got: list[Any] = []

    def call() -> None:
        barrier.wait()
        got.append(charges())

    threads = [threading.Thread(target=call) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ["value"] * 6 == got
    assert charges.count == 1
    assert ["effect.intent", "effect.done"] == kinds(ledger)


# Leases ----------------------------------------------------------------------------------------


def test_a_late_finisher_changes_nothing_that_was_decided(
    ledger: rml.Ledger, clock: rml.FrozenClock
) -> None:
    """Its outcome is recorded as late; the decision stands; its caller learns it."""

    def slow() -> str:
        clock.advance(61)
        assert ["pay-1"] == doubtful(ledger)
        (effect,) = ledger.in_doubt()
        ledger.resolve(effect.id, happened=False, by="ada", reason="no charge at the provider")
        return "late value"

    charges = Charges(slow, "second value")

    error = charges.fail(rml.InDoubtError)
    assert "after its lease was lost" in error.message
    assert ["effect.intent", "effect.resolved", "effect.late"] == kinds(ledger)
    (late,) = ledger.entries(kind="effect.late")
    assert late.facts["outcome"] == "effect.done"
    assert rml.EffectState.NOT_DONE is the_effect(ledger).state
    assert charges() == "second value"


def test_a_late_failure_is_recorded_as_late(ledger: rml.Ledger, clock: rml.FrozenClock) -> None:
    """The caller sees the handler's own exception, with a note."""

    def slow() -> str:
        clock.advance(61)
        in_other_thread(lambda: charges.fail(rml.InDoubtError))
        raise rml.ClosedError("nothing happened")

    charges = Charges(slow)

    error = charges.fail(rml.ClosedError)
    assert any("recorded as late" in note for note in error.__notes__)
    assert rml.EffectState.IN_DOUBT is the_effect(ledger).state
    assert charges.count == 1


def test_a_lease_that_ran_out_unnoticed_harms_nobody(
    ledger: rml.Ledger, clock: rml.FrozenClock
) -> None:
    """Slow is not dead: if nobody doubted it meanwhile, its outcome counts."""

    def slow() -> str:
        clock.advance(3600)
        return "value"

    charges = Charges(slow)

    assert charges() == "value"
    assert charges() == "value"


def test_an_attempt_before_the_last_is_late(ledger: rml.Ledger, clock: rml.FrozenClock) -> None:
    """Fenced by its owner's token: it cannot end the attempt of another."""

    def slow() -> str:
        clock.advance(61)
        (effect,) = ledger.in_doubt()
        ledger.resolve(effect.id, happened=False, by="ada", reason="seen at the provider")
        assert in_other_thread(charges) == "second"
        return "first"

    charges = Charges(slow, "second")
    charges.fail(rml.InDoubtError)

    assert charges() == "second"
    assert charges.count == 2


def test_a_clock_that_steps_back_runs_nothing_again(
    ledger: rml.Ledger, clock: rml.FrozenClock
) -> None:
    """Order comes from the index alone."""
    charges = Charges("value")
    charges()
    clock.set(START - timedelta(days=400))

    assert charges() == "value"


def test_a_hook_that_decides_at_once_is_obeyed(ledger: rml.Ledger, clock: rml.FrozenClock) -> None:
    """Between the doubt and the second look somebody may have decided that it did not happen."""

    def decide(escalation: rml.Escalation) -> None:
        assert escalation.effect is not None
        ledger.resolve(escalation.effect, happened=False, by="hook", reason="the provider says so")

    rml.configure(hooks=[decide])

    def slow() -> str:
        clock.advance(61)
        return str(in_other_thread(charges))

    charges = Charges(slow, "second")

    charges.fail(rml.InDoubtError)
    assert charges() == "second"
    assert charges.count == 2


# When the ledger fails -------------------------------------------------------------------------


class Fault:
    """A store whose commits fail from a given one on."""

    def __init__(self, ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
        self.error: BaseException | None = None
        self.after = 0
        store: Any = ledger._store
        write = store.write

        def broken(*args: Any, **kwargs: Any) -> Any:
            self.after -= 1
            if self.error is not None and self.after < 0:
                raise self.error
            return write(*args, **kwargs)

        monkeypatch.setattr(store, "write", broken)


def test_without_a_ledger_nothing_runs() -> None:
    """The intent could not be recorded."""
    charges = Charges()

    charges.fail(rml.NoLedgerError)

    assert charges.count == 0


def test_a_closed_ledger_runs_nothing(tmp_path: Path) -> None:
    """Unavailable before the intent: certainly not done."""
    ledger = rml.Ledger(tmp_path / "ledger.db")
    ledger.close()
    charges = Charges(ledger=ledger)

    assert charges.fail(rml.LedgerUnavailableError).happened is False
    assert charges.count == 0


@pytest.mark.parametrize(
    "error", [rml.LedgerUnavailableError(), rml.LedgerBusyError(), rml.AppendUnknownError()]
)
def test_an_intent_that_fails_runs_nothing(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch, error: rml.RmlError
) -> None:
    """The handler is not called, the caller sees why; when the store is back, all is as before."""
    fault = Fault(ledger, monkeypatch)
    fault.error = error
    charges = Charges("value")

    assert charges.fail(type(error)) is error
    assert charges.count == 0
    fault.error = None
    assert charges() == "value"


def test_an_outcome_that_cannot_be_recorded_becomes_doubt(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch, clock: rml.FrozenClock
) -> None:
    """The caller is told that it happened; all others that it is in flight, later in doubt."""
    fault = Fault(ledger, monkeypatch)
    fault.error, fault.after = rml.LedgerUnavailableError(), 1
    charges = Charges("value")

    error = charges.fail(rml.OutcomeNotRecordedError)
    assert error.happened is True
    assert isinstance(error.__cause__, rml.LedgerUnavailableError)
    fault.error = None
    charges.fail(rml.InFlightError)
    clock.advance(61)
    charges.fail(rml.InDoubtError)
    assert ["pay-1"] == doubtful(ledger)
    assert charges.count == 1


def test_a_failure_that_cannot_be_recorded_is_what_the_caller_sees(
    ledger: rml.Ledger,
    monkeypatch: pytest.MonkeyPatch,
    clock: rml.FrozenClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Even an exception that says "not done" becomes doubt when it could not be written down."""
    fault = Fault(ledger, monkeypatch)
    fault.error, fault.after = rml.LedgerUnavailableError(), 1
    end = rml.ClosedError("no")
    charges = Charges(end)

    with caplog.at_level(logging.CRITICAL, logger="rml"):
        assert charges.fail(rml.ClosedError) is end
    assert any("could not be recorded: LedgerUnavailableError" in note for note in end.__notes__)
    fault.error = None
    clock.advance(61)
    charges.fail(rml.InDoubtError)
    assert charges.count == 1


def test_an_interrupt_while_recording_becomes_doubt(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch, clock: rml.FrozenClock
) -> None:
    """Control-C between effect and record: the interrupt goes through, nothing runs again."""
    fault = Fault(ledger, monkeypatch)
    fault.error, fault.after = KeyboardInterrupt(), 1
    charges = Charges("value")

    charges.fail(KeyboardInterrupt)
    fault.error = None
    clock.advance(61)
    charges.fail(rml.InDoubtError)
    assert charges.count == 1


# Hooks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [ValueError("hook"), SystemExit(1), KeyboardInterrupt()])
def test_a_hook_that_raises_harms_nobody(ledger: rml.Ledger, end: BaseException) -> None:
    """The caller sees the handler's exception; the hook's failure is an entry; others run."""
    told: list[rml.Escalation] = []

    def hook(escalation: rml.Escalation) -> None:
        raise end

    rml.configure(hooks=[hook, told.append])
    charges = Charges(TimeoutError("lost"))

    charges.fail(TimeoutError)
    assert ["INC-2026-0001"] == [escalation.incident for escalation in told]
    assert told[0].gray
    assert told[0].effect == the_effect(ledger).id
    assert kinds(ledger)[-1] == "incident.hook_failed"


def test_hooks_hear_of_a_lost_worker_once(ledger: rml.Ledger, clock: rml.FrozenClock) -> None:
    """Whoever finds the doubt tells; later callers are refused quietly."""
    told: list[rml.Escalation] = []
    rml.configure(hooks=[told.append])

    def slow() -> None:
        clock.advance(61)
        for _ in range(3):
            in_other_thread(lambda: charges.fail(rml.InDoubtError))

    charges = Charges(slow)
    charges.fail(rml.InDoubtError)

    assert [(True, 1)] == [(escalation.opened, escalation.count) for escalation in told]


def test_a_refusal_whose_incident_is_known_is_not_escalated_again(ledger: rml.Ledger) -> None:
    """A boundary that it crosses adds nothing to the incident."""
    charges = Charges(TimeoutError())
    charges.fail(TimeoutError)
    size = ledger.size

    with pytest.raises(rml.InDoubtError), rml.boundary("checkout"):
        charges()

    assert size == ledger.size


def test_a_replayed_failure_of_history_is_not_escalated_again(ledger: rml.Ledger) -> None:
    """Whoever calls again and again adds nothing to the incident."""
    charges = Charges(MoneyMovedError())
    charges.fail(MoneyMovedError)
    size = ledger.size

    with pytest.raises(MoneyMovedError), rml.boundary("checkout"):
        charges()

    assert size == ledger.size


def test_details_of_a_failure_hide_it_from_no_boundary(ledger: rml.Ledger) -> None:
    """A member of its details that is called "incident" is not ours."""
    end = rml.DialogError("no", action=rml.Action.START_COMPENSATION, details={"incident": "x"})
    charges = Charges(end)
    charges.fail(rml.DialogError)
    size = ledger.size

    with pytest.raises(rml.DialogError), rml.boundary("checkout"):
        charges()

    assert size < ledger.size


# What is recorded ------------------------------------------------------------------------------


def test_facts_are_in_clear_and_personal_fields_beside(ledger: rml.Ledger) -> None:
    """Parameters and dotted paths; on the intent, before the effect."""

    @rml.idempotent(
        "payment.charge",
        key="key",
        facts=["amount", "body.currency", "due"],
        personal=["email", "body.name"],
        world=rml.World.RML2,
    )
    def charge(key: str, amount: Decimal, body: dict[str, str], email: str, due: date) -> None:
        (intent,) = ledger.entries(kind="effect.intent")
        facts = {k: v for k, v in intent.facts.items() if not k.startswith("rml.")}
        assert {"amount": "1.50", "body.currency": "EUR", "due": "2026-01-01"} == facts
        assert intent.personal["email"] == "ada@example.com"
        assert intent.personal["body.name"] == "Ada"
        assert {"email", "body.name", "rml.request"} == set(intent.commitments)
        assert rml.World.RML2 is intent.world

    body = {"currency": "EUR", "name": "Ada"}
    charge("k", Decimal("1.50"), body, "ada@example.com", date(2026, 1, 1))

    assert {"amount": "1.50", "body.currency": "EUR", "due": "2026-01-01"} == dict(
        the_effect(ledger).facts
    )


@pytest.mark.parametrize(
    ("options", "amount", "message"),
    [
        ({"facts": ["amount"], "exclude": ["amount"]}, 0.5, r"facts\.amount"),
        ({"facts": ["amount"]}, b"1", r"facts\.amount"),
        ({"personal": ["amount"], "exclude": ["amount"]}, {1}, r"personal\.amount"),
        ({"facts": ["amount"], "exclude": ["amount"]}, rml.Secret(1), r"facts\.amount"),
        ({"facts": ["amount"]}, "x" * 70_000, "ENTRY_BYTES_MAX"),
        ({"personal": ["amount"]}, "x" * (PERSONAL_BYTES_MAX + 1), "PERSONAL_BYTES_MAX"),
        ({"facts": ["amount.id"]}, 5, "fact amount.id cannot be read"),
    ],
    ids=["float", "bytes", "set", "secret", "large fact", "large personal", "no such path"],
)
def test_a_fact_that_cannot_be_recorded_stops_the_call(
    ledger: rml.Ledger, options: dict[str, Any], amount: object, message: str
) -> None:
    """Before the effect; the message names it, and nothing is half-written."""
    charges = Charges(**options)

    assert message.replace("\\", "") in str(charges.fail(rml.InvalidInputError, "k", amount))
    assert (0, 0) == (charges.count, ledger.size)
    assert [] == list(ledger.effects())


def test_names_of_the_librarys_own_fields_are_free(ledger: rml.Ledger) -> None:
    """What it keeps for itself has names that no parameter can have."""

    @rml.idempotent("a.b", key="key", personal=["request", "result"], facts=["generation"])
    def charge(key: str, request: str, result: str, generation: int) -> str:
        return "value"

    charge("k", "mine", "too", 7)

    (intent,) = ledger.entries(kind="effect.intent")
    assert (intent.personal["request"], intent.personal["result"]) == ("mine", "too")
    assert intent.facts["generation"] == 7
    assert charge("k", "mine", "too", 7) == "value"


def test_nothing_else_of_a_request_is_in_the_file(tmp_path: Path) -> None:
    """Not in the entries, not beside them, not in what SQLite leaves behind."""
    path = tmp_path / "ledger.db"
    with rml.Ledger(path) as ledger:
        charges = Charges("ok", ValueError("SECRET-IN-TEXT"), ledger=ledger)
        charges("key-in-clear", {"card": "SECRET-CARD-4242", "cvc": 987654321})
        charges.fail(ValueError, "other-key", "SECRET-CARD-4242")
        charges.fail(rml.FingerprintMismatchError, "key-in-clear", "SECRET-CARD-4243")
        contents = _bytes_of(tmp_path)
    contents += _bytes_of(tmp_path)

    assert b"key-in-clear" in contents
    assert b"SECRET" not in contents
    assert b"987654321" not in contents


@pytest.mark.xfail(strict=True, reason="the digest of the arguments stands unsalted beside them")
def test_the_fingerprint_in_the_file_is_salted(tmp_path: Path) -> None:
    """The same request leaves nothing in two files by which it could be looked up."""
    path = tmp_path / "ledger.db"
    with rml.Ledger(path) as ledger:
        Charges("ok", ledger=ledger)("k", "4242")
        digest = request("payment.charge", None, "k", {"payment_id": "k", "amount": "4242"}).content
        contents = _bytes_of(tmp_path)

    assert digest.encode() not in contents


def _bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


# Erasure ---------------------------------------------------------------------------------------


def erase(ledger: rml.Ledger, kind: str, field: str) -> None:
    """Erase a field of the only entry of a kind."""
    (entry,) = ledger.entries(kind=kind)
    ledger.erase(entry.id, [field], by="dpo", reason="asked for")


def test_an_erased_result_is_done_and_not_replayable(ledger: rml.Ledger) -> None:
    """Never a reason to run again."""
    charges = Charges("value")
    charges()
    erase(ledger, "effect.done", "rml.result")

    assert "its result has been erased" in str(charges.fail(rml.ResultUnavailableError))
    assert charges.count == 1


@pytest.mark.parametrize("end", ["value", rml.ClosedError("no"), TimeoutError()], ids=repr)
def test_an_erased_request_can_be_compared_with_nothing(ledger: rml.Ledger, end: Any) -> None:
    """Neither the same request nor another is run or replayed under that key."""
    charges = Charges(end)
    if isinstance(end, BaseException):
        charges.fail(type(end))
    else:
        charges()
    for entry in list(ledger.entries()):
        if "rml.request" in entry.commitments:
            ledger.erase(entry.id, ["rml.request"], by="dpo", reason="asked for")

    charges.fail(rml.ResultUnavailableError)
    charges.fail(rml.ResultUnavailableError, "pay-1", 6)
    assert charges.count == 1


def test_an_erased_failure_stays_a_failure(ledger: rml.Ledger) -> None:
    """Its code remains."""
    charges = Charges(rml.DialogError("no", code="SOLD_OUT", action=rml.Action.START_COMPENSATION))
    charges.fail(rml.DialogError)
    erase(ledger, "effect.failed", "rml.failure")

    assert "SOLD_OUT" in str(charges.fail(rml.EffectFailedError))
    assert charges.count == 1


# Which ledger ----------------------------------------------------------------------------------


def test_the_ledger_is_the_given_one_or_the_one_in_use(ledger: rml.Ledger) -> None:
    """Given with the decorator, in use in this context, or configured: in that order."""
    with rml.Ledger("memory:") as given, rml.Ledger("memory:") as used:
        Charges(ledger=given)()
        with rml.use(ledger=used):
            Charges(ledger=given)("k2")
            Charges()("k3")
        Charges()("k4")

        assert [["pay-1", "k2"], ["k3"], ["k4"]] == [
            [effect.key for effect in one.effects()] for one in (given, used, ledger)
        ]

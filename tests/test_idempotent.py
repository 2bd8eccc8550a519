"""`@rml.idempotent` on plain functions: run once, replayed, refused, and what can be decorated."""

import functools
import inspect
import threading
import typing
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from protected import Charges, doubtful, in_other_thread, kinds, the_effect

import rml

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

    assert [str(order.id), f'["{order.id}","3"]'] == [effect.key for effect in ledger.effects()]


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
    "amount",
    [0.5, float("nan"), {1}, pytest.param(object(), id="object"), [0.5], rml.Secret(1), "\ud800"],
    ids=repr,
)
def test_what_cannot_be_recognised_is_refused_before_the_effect(
    ledger: rml.Ledger, amount: object
) -> None:
    """The argument is named."""
    charges = Charges()

    error = charges.fail(rml.InvalidInputError, "k", amount)

    assert "argument amount" in str(error)
    assert (0, 0) == (charges.count, ledger.size)


def test_one_more_optional_parameter_refuses_no_repetition(ledger: rml.Ledger) -> None:
    """A handler grows; what earlier calls did not say is still not said."""

    @rml.idempotent("payment.charge", key="k", ledger=ledger)
    def before(k: str, amount: int) -> str:
        return "charged"

    @rml.idempotent("payment.charge", key="k", ledger=ledger)
    def after(k: str, amount: int, note: str | None = None) -> str:
        return "charged twice"

    assert "charged" == before("pay-1", 5) == after("pay-1", 5) == after("pay-1", 5, note=None)
    with pytest.raises(rml.FingerprintMismatchError):
        after("pay-1", 5, note="for Ada")


# What can be decorated -------------------------------------------------------------------------


def test_classes_and_other_things_are_refused_at_definition() -> None:
    """Only what can be called, and has one end, and is no class; a name makes no function."""
    named = functools.update_wrapper(functools.partial(print), print, assigned=["__name__"])
    for handler in (dict, 5, "charge", classmethod(lambda cls, key: 1), named):
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
        ({"retention": 60}, "add provider_idempotent=True"),
        ({"retention": -1, "provider_idempotent": True}, "retention must be at least 0"),
        ({"retention": "a day", "provider_idempotent": True}, "retention must be at least 0"),
        ({"provider_idempotent": 1}, "provider_idempotent must be True or False"),
        ({"lease": 0}, "lease must be at least 0.1 seconds"),
        ({"lease": -1}, "lease must be at least"),
        ({"lease": float("nan")}, "lease must be at least"),
        ({"lease": float("inf")}, "lease must be at least"),
        ({"lease": "60"}, "at least 0.1 seconds, as a number or a timedelta, not '60'"),
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

    def charge(payment_id: str, amount: int = 5, *, currency: str = "EUR") -> dict[str, Decimal]:
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
    optional = (
        "scope world provider_idempotent retention reconcile wait exclude facts personal lease"
    )
    last = ["corrects", "lever", "connection", "ledger"]

    assert ["operation", "key", *optional.split(), *last] == list(parameters)
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

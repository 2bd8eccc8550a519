"""Results that are not what the handler's annotation says, and values that resist being read."""

import asyncio
import concurrent.futures
import dataclasses
import enum
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NewType

import pytest
from protected import Charges, the_effect

import rml
from rml.effect.request import request
from rml.effect.values import classes_in, from_typed, to_typed

if TYPE_CHECKING:
    from nowhere import Client  # type: ignore[import-not-found]

PaymentId = NewType("PaymentId", str)
Paid = NewType("Paid", PaymentId)


@dataclasses.dataclass
class Receipt:
    """What a charge returns."""

    id: str


@pytest.mark.parametrize(
    ("annotation", "value"),
    [(int, None), (int, "5"), (Receipt, {"id": "r-1"}), (Receipt, None), (str, 5)],
    ids=["nothing", "text", "plain data", "no receipt", "number"],
)
def test_a_value_beside_the_annotation_replays_as_it_was(
    ledger: rml.Ledger, annotation: Any, value: Any
) -> None:
    """The annotation of a handler may be wrong; what it returned is what a replay gives."""

    @rml.idempotent("payment.charge", key="key")
    def charge(key: str) -> annotation:
        return value

    first = charge("k")
    again = charge("k")

    assert (type(value), value) == (type(first), first) == (type(again), again)
    assert the_effect(ledger).decided is False


def test_a_parameter_that_only_a_type_checker_knows_costs_no_result(ledger: rml.Ledger) -> None:
    """The result is rebuilt by the return annotation alone."""

    @rml.idempotent("payment.charge", key="key", exclude=["client"], ledger=ledger)
    def charge(key: str, client: "Client | None" = None) -> "Receipt":
        return Receipt(key)

    assert charge("k") == charge("k") == Receipt("k")


def test_a_new_type_is_what_it_is_made_of(ledger: rml.Ledger) -> None:
    """At run time it is that and nothing else."""

    @rml.idempotent("payment.charge", key="key", ledger=ledger)
    def charge(key: PaymentId) -> list[Paid]:
        return [Paid(key)]

    assert ["k"] == charge(PaymentId("k")) == charge(PaymentId("k"))


class _Proxy:
    """What a framework hands out, outside of a request."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise RuntimeError("working outside of request context")


class _Unreadable(Receipt):
    def __getattribute__(self, name: str) -> Any:
        raise KeyError(name)


class _Colour(enum.Enum):
    RED = 1

    @property
    def value(self) -> Any:
        raise RuntimeError("no colour today")


@pytest.mark.parametrize(
    "make",
    [_Proxy, lambda: [_Proxy()], lambda: _Unreadable("r"), lambda: _Colour.RED],
    ids=["proxy", "proxy inside", "unreadable", "enum"],
)
def test_a_result_that_cannot_be_looked_at_is_done(
    ledger: rml.Ledger, make: Callable[[], Any]
) -> None:
    """Whatever it raises, the effect has happened, and that is recorded."""
    result = make()
    charges = Charges(lambda: result)

    assert charges() is result
    assert rml.EffectState.DONE is the_effect(ledger).state
    charges.fail(rml.ResultUnavailableError)
    assert 1 == charges.count


@pytest.mark.parametrize("make", [_Proxy, lambda: _Colour.RED], ids=["proxy", "enum"])
def test_an_argument_that_cannot_be_looked_at_is_refused(make: Callable[[], Any]) -> None:
    """By name, before anything is recorded."""
    with pytest.raises(rml.InvalidInputError, match="argument user"):
        request("payment.charge", None, "k", {"user": make()})


class _ProxyError(Exception):
    """An exception that raises when it is asked for its class."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise RuntimeError("working outside of request context")


def test_an_exception_that_cannot_be_looked_at_leaves_doubt(ledger: rml.Ledger) -> None:
    """At once, and the caller sees it as it was raised."""
    end = _ProxyError()
    charges = Charges(end)

    assert end is charges.fail(_ProxyError)
    assert rml.EffectState.IN_DOUBT is the_effect(ledger).state


def test_a_future_is_no_result(ledger: rml.Ledger) -> None:
    """What a pool of threads may still be doing has not happened."""
    charges = Charges(concurrent.futures.Future)

    charges.fail(rml.DefinitionError)

    assert rml.EffectState.IN_DOUBT is the_effect(ledger).state


def test_what_stands_behind_staticmethod_is_seen(ledger: rml.Ledger) -> None:
    """A generator is refused at definition, as any other, and `async def` is awaited."""

    @staticmethod
    def stream(key: str) -> Iterator[str]:
        yield key

    @staticmethod
    async def send(key: str) -> str:
        return key

    with pytest.raises(rml.DefinitionError, match="decorates a generator"):
        rml.idempotent("payment.stream", key="key")(stream)
    protected = rml.idempotent("payment.send", key="key", ledger=ledger)(send)
    assert ["k", "k"] == [asyncio.run(protected("k")) for _ in range(2)]


@dataclasses.dataclass
class _Rows(OrderedDict[str, int]):
    """A class with a value besides its fields."""

    page: int = 1


def test_a_value_besides_its_fields_is_not_overlooked() -> None:
    """Two requests that differ there alone would be taken for one."""
    with pytest.raises(rml.InvalidInputError, match="cannot be written down faithfully"):
        to_typed(_Rows())


def test_what_a_model_holds_besides_its_fields_counts() -> None:
    """With `extra="allow"`, a pydantic model has more values than its class says."""
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model(
        "Model", __config__=pydantic.ConfigDict(extra="allow"), amount=(int, ...)
    )

    asked = [
        request("payment.charge", None, "k", {"order": model(amount=1, note=note)}).content
        for note in ("a", "b", "a")
    ]

    assert asked[0] == asked[2] != asked[1]
    value = model(amount=1, note="a", copy=2)
    assert value == from_typed(to_typed(value), classes_in(model))

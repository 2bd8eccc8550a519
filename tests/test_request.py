"""What a call asks for: keys, scopes, fingerprints, and the parameters they are picked from."""

import collections
import dataclasses
import enum
import inspect
import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import attrs
import pytest

import rml
from rml.effect.request import Request, binder, key_text, pick, request, selector
from rml.effect.state import effect_id, provider_key
from rml.ledger.entry import TEXT_CHARACTERS_MAX


def asked(key: object = "k", scope: object = None, **content: object) -> Request:
    """Return the request of one operation."""
    return request("payment.charge", scope, key, content)


# Keys ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("pay-1", "pay-1"),
        (7, "7"),
        (0, "0"),
        (-7, "-7"),
        (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (("a", 1), '["a","1"]'),
        (("a",), '["a"]'),
        ("\u20ac", "\u20ac"),
        ("x" * TEXT_CHARACTERS_MAX, "x" * TEXT_CHARACTERS_MAX),
    ],
)
def test_what_can_name_one_thing_is_a_key(key: object, text: str) -> None:
    """Text, an int, a UUID, or a tuple of these."""
    assert text == key_text("key", key)
    assert text == asked(key).key


@pytest.mark.parametrize(
    "key",
    [
        "",
        None,
        True,
        False,
        1.0,
        float("nan"),
        Decimal(1),
        b"k",
        [],
        ["a"],
        {"a": 1},
        {1},
        (),
        ("a", None),
        ("a", ""),
        ("a", True),
        (("a",),),
        tuple("123456789"),
        date(2026, 1, 1),
        object(),
        rml.Secret("k"),
        lambda: "k",
        "x" * (TEXT_CHARACTERS_MAX + 1),
        ("x" * 200, "y" * 200),
        10**300,
        10**5000,
        "a\x00b",
        "a\nb",
        "\x7f",
        "\u202eabc",
        "\u2028",
        "\ud800",
        "a\udfffb",
    ],
    ids=map(str, itertools.count()),
)
def test_what_cannot_name_one_thing_is_refused(key: object) -> None:
    """Missing, too long, or of a type whose values are not surely one thing; the text is short."""
    with pytest.raises(rml.KeyMissingError) as caught:
        asked(key)

    assert caught.value.world is rml.World.RML1
    assert "key" in str(caught.value)
    assert len(str(caught.value)) < 300
    str(caught.value).encode()  # what was refused for its surrogates is not in the message


def test_keys_of_different_types_are_different_effects() -> None:
    """1 and "1" read the same and are two keys; so are a UUID and its text, a word and a tuple."""
    keys: list[Any] = [1, "1", ("1",), (1,), UUID(int=1), str(UUID(int=1)), "1/1", ("1", "1")]
    keys += [(1, "1"), ("1/1",)]

    assert len(keys) == len({asked(key).effect for key in keys})


def test_composed_keys_cannot_collide() -> None:
    """No delimiter inside a part makes one tuple another."""
    first, second = asked(("a/b", "c")), asked(("a", "b/c"))

    assert ('["a/b","c"]', '["a","b/c"]') == (first.key, second.key)
    assert first.effect != second.effect


def test_operation_and_scope_are_part_of_the_effect() -> None:
    """Nothing can be moved between the three by a delimiter, and no scope is a scope of its own."""
    ids = {
        effect_id("a.b", None, "k"),
        effect_id("a.b", "", "k"),
        effect_id("a.b", "None", "k"),
        effect_id("a.b", "k", "k"),
        effect_id("a.c", None, "k"),
        effect_id("a.b", 1, "k"),
        effect_id("a.b", "1", "k"),
    }

    assert len(ids) == 7


def test_an_effects_id_is_part_of_the_format() -> None:
    """It must never change: history belongs to it."""
    assert "ef_" + "0f1b1d2a" != asked().effect[:11]
    assert asked().effect == effect_id("payment.charge", None, "k")
    assert len(asked().effect) == 35
    assert len(provider_key(asked().effect, 10**6)) <= 64


@pytest.mark.parametrize("scope", ["", True, 1.5, "a\nb", "x" * 256, ()])
def test_a_scope_is_as_strict_as_a_key(scope: object) -> None:
    """A tenant that is missing by mistake must not become everybody's."""
    with pytest.raises(rml.KeyMissingError, match="scope"):
        asked(scope=scope)


class _Colour(enum.Enum):
    RED = "red"


def _enums(name: str) -> list[Any]:
    """Return members of four kinds, of enums that are called so."""
    text = enum.StrEnum(name, {"ONE": "k"})  # type: ignore[misc]
    number = enum.IntEnum(name, {"ONE": 1})  # type: ignore[misc]
    plain = enum.Enum(name, {"ONE": "k", "PAIR": ("k", 1)})  # type: ignore[misc]
    return [text.ONE, number.ONE, plain.ONE, plain.PAIR]  # type: ignore[attr-defined]


def test_an_enum_member_as_a_key_is_its_value() -> None:
    """Renaming its class between two deployments must not run the effect again."""
    for member, renamed in zip(_enums("Plan"), _enums("Tariff"), strict=True):
        for key, value in ((member, member.value), ((member, "x"), (member.value, "x"))):
            if value == (("k", 1), "x"):
                continue  # a key has no tuples in tuples
            assert asked(key).key == asked(value).key
            assert asked(key).effect == asked(value).effect
        assert asked(member, plan=member).content == asked(renamed, plan=renamed).content
        assert asked(member, member).effect == asked(renamed, renamed).effect


def test_a_named_tuple_as_a_key_is_its_parts() -> None:
    """Its class may be renamed as well."""
    key = collections.namedtuple("Line", "order number")("o-1", 2)  # noqa: PYI024 - made here

    assert asked(key).effect == asked(("o-1", 2)).effect
    assert asked(key, key, line=key).content == asked(("o-1", 2), line=("o-1", 2)).content


@pytest.mark.parametrize("value", [None, "", 1.5, ("k", ("k",))])
def test_an_enum_member_without_a_usable_value_is_no_key(value: object) -> None:
    """Its value is as strict as any key."""
    with pytest.raises(rml.KeyMissingError, match="key"):
        asked(enum.Enum("Plan", {"X": value}).X)  # type: ignore[misc, attr-defined]


def test_text_of_a_class_of_its_own_is_refused_as_a_key() -> None:
    """The refusal names the key."""

    class Text(str):
        __slots__ = ()

    with pytest.raises(rml.InvalidInputError, match="key"):
        asked(Text("k"))


# Fingerprints ----------------------------------------------------------------------------------


@dataclasses.dataclass
class _Line:
    sku: str
    price: Decimal


@attrs.define
class _Order:
    lines: list[_Line]
    due: date


def test_every_argument_counts() -> None:
    """Another value, another name, another type: another request."""
    base = asked(amount=1, currency="EUR")
    others = [
        asked(amount=2, currency="EUR"),
        asked(amount="1", currency="EUR"),
        asked(amount=True, currency="EUR"),
        asked(amount=Decimal(1), currency="EUR"),
        asked(amount=1, money="EUR"),
        asked(amount=1, currency="EUR", extra=None),
        asked(amount=1),
        asked(amount=[1], currency="EUR"),
        asked(amount=(1,), currency="EUR"),
        asked(amount=b"1", currency="EUR"),
    ]

    assert len(others) + 1 == len({r.content for r in [base, *others]})


def test_the_order_of_arguments_and_members_does_not_count() -> None:
    """Equal arguments make equal fingerprints, also where keys are not text."""
    assert asked(a=1, b=2).content == asked(b=2, a=1).content
    assert asked(a={"x": 1, "y": 2}).content == asked(a={"y": 2, "x": 1}).content
    assert asked(a={1: "x", 2: "y"}).content == asked(a={2: "y", 1: "x"}).content


@pytest.mark.parametrize(
    "value",
    [
        0.5,
        float("nan"),
        float("inf"),
        {1},
        frozenset(),
        [1, {2}],
        1j,
        pytest.param(object(), id="object"),
        pytest.param(len, id="function"),
    ],
    ids=repr,
)
def test_what_cannot_be_recognised_again_is_refused_by_name(value: object) -> None:
    """The message names the argument."""
    with pytest.raises(rml.InvalidInputError, match="argument basket"):
        asked(basket=value)


def test_a_surrogate_is_refused_by_name() -> None:
    """Text that is not Unicode has no bytes to compare."""
    with pytest.raises(rml.InvalidInputError, match="argument name"):
        asked(name="\ud800")


def test_a_secret_is_refused_unless_excluded() -> None:
    """A fingerprint of a password is a password that can be guessed at."""
    with pytest.raises(rml.InvalidInputError, match="argument password is Secret"):
        asked(password=rml.Secret("hunter2"))


SCRIPT = """
import dataclasses, enum, sys, attrs
from datetime import *; from decimal import Decimal; from uuid import UUID
from rml.effect.request import request
class Colour(enum.Enum): RED = "red"
@dataclasses.dataclass
class Line: sku: str; price: Decimal
@attrs.define
class Order: lines: list; due: date
content = {
  "order": Order([Line("s", Decimal("1.50"))], date(2026, 1, 2)), "when": datetime(2026, 1, 2),
  "id": UUID(int=5), "data": b"\\xff", "colour": Colour.RED,
  "map": {"b": 1, "a": [None, True, (1,)], 3: 2**70}}
made = request("payment.charge", ("t", 1), ("a", 1), content)
print(made.effect, made.content)
"""


def test_fingerprints_are_stable_across_processes() -> None:
    """Whatever the hash seed, dataclasses, attrs classes and enums make the same bytes."""
    outputs = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }
    Colour: Any = enum.Enum("Colour", {"RED": "red"})  # noqa: N806 - its name is recorded
    content = {
        "order": _order_like("Order", "Line"),
        "when": datetime(2026, 1, 2),
        "id": UUID(int=5),
        "data": b"\xff",
        "colour": Colour.RED,
        "map": {3: 2**70, "a": [None, True, (1,)], "b": 1},
    }
    made = request("payment.charge", ("t", 1), ("a", 1), content)

    assert {f"{made.effect} {made.content}\n"} == outputs


def _order_like(order: str, line: str) -> Any:
    """Return the script's order, of classes made here under the same names."""
    lines = dataclasses.make_dataclass(line, [("sku", str), ("price", Decimal)])
    return attrs.make_class(order, ["lines", "due"])(
        [lines("s", Decimal("1.50"))], date(2026, 1, 2)
    )


def test_a_class_may_move_but_not_be_renamed() -> None:
    """The bare name is what counts."""
    here = asked(order=_Order([_Line("s", Decimal(1))], date(2026, 1, 1)))
    line = dataclasses.make_dataclass("_Line", [("sku", str), ("price", Decimal)])
    order = attrs.make_class("_Order", ["lines", "due"])
    moved = asked(order=order([line("s", Decimal(1))], date(2026, 1, 1)))

    assert here.content == moved.content


# Binding ---------------------------------------------------------------------------------------


def _plain(a: Any, b: Any = 2) -> None: ...
def _only(a: Any, /, b: Any, *, c: Any = 3) -> None: ...
def _only_default(a: Any = 1, b: Any = 2, /) -> None: ...
def _stars(a: Any, *rest: Any, c: Any, **more: Any) -> None: ...
def _stars_only(*rest: Any, **more: Any) -> None: ...
def _keywords(*, a: Any, b: Any = None) -> None: ...
def _none() -> None: ...
def _odd(_default_0: Any = 1, lambda_: Any = 2, handler: Any = 3) -> None: ...


CALLS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((), {}),
    ((1,), {}),
    ((1, 2), {}),
    ((1, 2, 3), {}),
    ((), {"a": 1}),
    ((), {"a": 1, "b": 5}),
    ((1,), {"b": 5}),
    ((1,), {"a": 5}),
    ((1, 2), {"c": 5}),
    ((1, 2, 3), {"c": 5, "d": 6}),
    ((), {"c": 5, "rest": 6}),
    ((), {"handler": 7}),
]


@pytest.mark.parametrize(
    "function",
    [_plain, _only, _only_default, _stars, _stars_only, _keywords, _none, _odd],
    ids=lambda f: f.__name__,
)
def test_binding_is_what_python_would_do(function: Callable[..., Any]) -> None:
    """Same values by name, defaults included, and the same calls refused."""
    signature = inspect.signature(function)
    bind = binder(signature, function.__name__)
    for args, kwargs in CALLS:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:
            with pytest.raises(TypeError, match=function.__name__):
                bind(*args, **kwargs)
        else:
            bound.apply_defaults()
            assert dict(bound.arguments) == bind(*args, **kwargs)


@pytest.mark.parametrize("name", ["<lambda>", "class", "1a", "a.b", "print", "a b"])
def test_a_function_of_any_name_can_be_bound(name: str) -> None:
    """Names that Python's syntax does not take are replaced."""
    assert {"a": 1, "b": 2} == binder(inspect.signature(_plain), name)(1)


# Selectors -------------------------------------------------------------------------------------


def picked(spec: object, arguments: dict[str, Any]) -> Any:
    """Return what a selector picks."""
    parameters = {
        name: inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in arguments
    }
    return selector("key", spec, parameters)(arguments)


def test_a_name_and_a_dotted_path() -> None:
    """Attributes and members, in any mixture; a mapping's members are meant, not its methods."""
    order = _Order([], date(2026, 1, 1))

    assert order is picked("order", {"order": order})
    assert order.due == picked("order.due", {"order": order})
    assert picked("body.order.due.year", {"body": {"order": order}}) == 2026
    assert picked("body.items", {"body": {"items": "member"}}) == "member"


def test_a_callable_gets_the_arguments_that_it_names() -> None:
    """By name or by place, defaults and ** included."""
    arguments = {"a": 1, "b": 2}

    assert picked(lambda b: b, arguments) == 2
    assert picked(lambda b, a: (a, b), arguments) == (1, 2)
    assert picked(lambda a, /, b: (a, b), arguments) == (1, 2)
    assert picked(lambda a, c=5: (a, c), arguments) == (1, 5)
    assert picked(lambda **all_of_them: all_of_them, arguments) == arguments
    assert picked(lambda *, a: a, arguments) == 1
    assert picked(lambda: "fixed", arguments) == "fixed"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("amount", "names no parameter; the parameters are: a, b"),
        ("amount.x", "names no parameter"),
        ("", "must be a parameter's name"),
        (".", "names no parameter"),
        (None, "must be a parameter's name"),
        (5, "must be a parameter's name"),
        (("a", "b"), "must be a parameter's name"),
        pytest.param(lambda c: c, "parameter 'c', which the handler does not have", id="function"),
        (int, "key"),
        (dict.get, "key"),
    ],
    ids=repr,
)
def test_a_selector_that_can_pick_nothing_is_refused_at_definition(
    spec: object, message: str
) -> None:
    """The message lists what there is."""
    with pytest.raises(rml.DefinitionError, match=message):
        picked(spec, {"a": 1, "b": 2})


@pytest.mark.parametrize(
    ("spec", "arguments"),
    [
        ("a.id", {"a": {}}),
        ("a.id", {"a": None}),
        ("a.b.c", {"a": {"b": 1}}),
        (lambda a: a["id"], {"a": {}}),
        (lambda a: 1 // a, {"a": 0}),
    ],
)
def test_a_path_that_leads_nowhere_is_a_clear_error(
    spec: object, arguments: dict[str, Any]
) -> None:
    """It says what could not be read and why, without the values."""
    with pytest.raises(rml.InvalidInputError, match=r"the key cannot be read .*\(\w+Error\)"):
        pick("the key", lambda given: picked(spec, dict(given)), arguments)


def test_an_error_of_ours_in_a_selector_goes_through() -> None:
    """A callable may refuse with an error of its own."""

    def refuse(a: object) -> str:
        raise rml.ClosedError("no key for guests", code="GUEST")

    with pytest.raises(rml.ClosedError, match="no key for guests"):
        pick("the key", lambda given: picked(refuse, dict(given)), {"a": 1})


def test_colours_are_enums() -> None:
    """Enum members are told apart by class and value."""
    assert asked(c=_Colour.RED).content != asked(c="red").content

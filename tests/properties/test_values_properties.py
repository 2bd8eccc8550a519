"""Laws of typed values, keys and fingerprints: everything comes back, and nothing collides."""

import dataclasses
import enum
import random
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, Union
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rml.codec import canonical_json, compact_json, parse_json
from rml.effect.request import key_text, request
from rml.effect.values import classes_in, from_typed, is_larger, to_typed
from rml.error import InvalidInputError


class Colour(enum.Enum):
    """Members with values of several types."""

    RED = "red"
    PAIR = (1, "2")
    NONE = None


class Right(enum.IntFlag):
    """A flag, whose values combine."""

    READ = 1
    WRITE = 2


class Point(NamedTuple):
    """A named tuple."""

    x: Any
    y: Any = 0


@dataclasses.dataclass(frozen=True)
class Pair:
    """A dataclass."""

    left: Any
    right: Any = None


@attrs.define(kw_only=True)
class Box:
    """An attrs class with a private field."""

    _content: Any
    label: str = ""


CLASSES = classes_in(Union[Colour, Right, Point, Pair, Box])  # noqa: UP007

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
KEYED = TEXT | st.sampled_from(["$", "v", "type", "tuple"])
HASHABLE = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**53 - 1, 2**53, -(2**53), 10**40])
    | KEYED
    | st.binary(max_size=8)
    | st.decimals(allow_nan=False)
    | st.uuids(allow_nil=True)
    | st.datetimes(timezones=st.none() | st.timezones())
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.sampled_from(list(Colour))
    | st.sampled_from([Right(n) for n in range(4)])
)
EXACT = st.recursive(
    HASHABLE,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(KEYED, inner, max_size=4)
        | st.dictionaries(HASHABLE, inner, max_size=4)
        | st.builds(Point, inner, inner)
        | st.builds(Pair, inner, inner)
        | st.builds(Box, content=inner, label=TEXT)
    ),
    max_leaves=12,
)
ANY = st.recursive(
    HASHABLE | st.floats(allow_nan=False), lambda inner: st.lists(inner) | st.tuples(inner, inner)
)


def shape(value: object) -> Any:
    """Return what must be kept of a value: its types all the way down, and dicts in their order."""
    kind = type(value).__name__
    if isinstance(value, dict):
        return kind, [(shape(key), shape(item)) for key, item in value.items()]
    if attrs.has(type(value)) or dataclasses.is_dataclass(value):
        names = getattr(type(value), "__slots__", None) or vars(value)
        return kind, [shape(getattr(value, n)) for n in names if n != "__weakref__"]
    if isinstance(value, list | tuple):
        return kind, [shape(item) for item in value]
    if isinstance(value, datetime):
        return kind, str(value), str(value.tzinfo), value.utcoffset()
    return kind, str(value) if isinstance(value, Decimal) else None


@given(EXACT | ANY)
@example(timedelta.max)
@example(datetime(2040, 3, 11, 2, tzinfo=ZoneInfo("America/Los_Angeles")))
@example(datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")))
@example({"$": {"$": "v"}})
@example({1: {2: (3,)}})
def test_every_value_comes_back(value: object) -> None:
    """Equal, and of the same types all the way down, through the bytes that a ledger keeps."""
    found = from_typed(parse_json(compact_json(to_typed(value))), CLASSES)

    assert value == found
    assert shape(value) == shape(found)


@given(EXACT | ANY, st.integers(0, 200))
def test_what_could_be_kept_is_never_called_too_large(value: object, bytes_max: int) -> None:
    """An estimate may be too low, for others look again, and never too high."""
    assert not is_larger(value, bytes_max) or len(compact_json(to_typed(value))) > bytes_max


@given(EXACT)
def test_typed_json_has_canonical_bytes(value: object) -> None:
    """Whatever can be typed can be hashed, and what is read from those bytes hashes the same."""
    data = canonical_json(to_typed(value))

    assert data == canonical_json(parse_json(data))
    assert value == from_typed(parse_json(data), CLASSES)


@given(EXACT)
def test_reading_shares_nothing(value: object) -> None:
    """Two readings of the same data hold no mutable part in common."""
    data = to_typed(value)
    first, second = from_typed(data, CLASSES), from_typed(data, CLASSES)

    assert {id(part) for part in mutable_parts(first)}.isdisjoint(
        id(part) for part in mutable_parts(second)
    )


def mutable_parts(value: object) -> list[object]:
    """Return all lists, dicts and instances inside a value."""
    inner: list[Any] = []
    if isinstance(value, dict):
        inner = [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple):
        inner = list(value)
    elif isinstance(value, Pair):
        inner = [value.left, value.right]
    elif isinstance(value, Box):
        inner = [value._content]
    own = [value] if isinstance(value, list | dict | Box) else []
    return [*own, *(part for item in inner for part in mutable_parts(item))]


def shuffled(value: Any, rng: random.Random) -> Any:
    """Return an equal value whose dicts are in another order."""
    if isinstance(value, dict):
        items = [(shuffled(key, rng), shuffled(item, rng)) for key, item in value.items()]
        rng.shuffle(items)
        return dict(items)
    if type(value) in (list, tuple):
        return type(value)(shuffled(item, rng) for item in value)
    if isinstance(value, Pair):
        return Pair(shuffled(value.left, rng), shuffled(value.right, rng))
    return value


@given(st.dictionaries(TEXT, EXACT, max_size=4), st.randoms(use_true_random=False))
def test_fingerprints_depend_on_values_alone(content: dict[str, Any], rng: random.Random) -> None:
    """Not on the order of arguments, nor on that of a dict's members."""
    first = request("a.b", None, "k", content)
    second = request("a.b", None, "k", shuffled(content, rng))

    assert first == second


@given(EXACT, EXACT)
def test_different_values_have_different_fingerprints(left: object, right: object) -> None:
    """Only what is equal and of equal types makes the same request."""
    same = request("a.b", None, "k", {"x": left}) == request("a.b", None, "k", {"x": right})

    assert same <= (left == right)
    assert same >= (left == right and shape(left) == shape(right) and repr(left) == repr(right))


KEY = st.text(min_size=1, max_size=5) | st.integers() | st.uuids() | st.sampled_from(["/", "1"])
KEYS = KEY | st.lists(KEY, min_size=1, max_size=4).map(tuple)


@given(KEYS, KEYS)
@example(("a/b", "c"), ("a", "b/c"))
@example(1, "1")
@example(("1",), "1")
def test_keys_never_collide(left: Any, right: Any) -> None:
    """Two usable keys are one effect exactly if they are equal and of equal types."""
    try:
        ids = [request("a.b", None, key, {}).effect for key in (left, right)]
    except InvalidInputError:
        return
    assert (ids[0] == ids[1]) == (left == right and shape(left) == shape(right))


JUNK = st.recursive(
    HASHABLE
    | st.floats()
    | st.text()
    | st.complex_numbers()
    | st.sampled_from([object(), int, len, ..., NotImplemented, UUID])
    | st.frozensets(st.integers()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
    max_leaves=6,
)


@given(JUNK, JUNK, JUNK)
@settings(max_examples=200)
def test_whatever_is_passed_is_taken_or_refused_clearly(
    key: object, scope: object, argument: object
) -> None:
    """One kind of error, printable and short; never a bare one of Python's."""
    for ask in (
        lambda: request("a.b", scope, "k", {}),
        lambda: request("a.b", None, key, {}),
        lambda: request("a.b", None, "k", {"x": argument}),
        lambda: to_typed(argument),
        lambda: key_text("key", key),
    ):
        try:
            ask()
        except InvalidInputError as error:
            assert len(str(error).encode()) < 1_000  # noqa: PT017 - being refused is one of two right answers

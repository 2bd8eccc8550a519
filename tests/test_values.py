"""Typed values: what comes back as it was, what is refused, and by which name."""

import dataclasses
import enum
import itertools
import math
import typing
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, Optional, TypeVar, Union
from uuid import UUID

import attrs
import pytest

import rml
from rml.codec import (
    DEPTH_MAX,
    DecodingError,
    EncodingError,
    canonical_json,
    compact_json,
    parse_json,
)
from rml.effect.values import classes_in, from_typed, to_typed


class Colour(enum.Enum):
    """An enum with values of several types."""

    RED = "red"
    TUPLE = (1, 2)


class Level(enum.IntEnum):
    """An enum that is an int."""

    LOW = 1


class Word(enum.StrEnum):
    """An enum that is text."""

    YES = "yes"


class Right(enum.Flag):
    """A flag, whose values combine."""

    READ = enum.auto()
    WRITE = enum.auto()


class Point(NamedTuple):
    """A named tuple."""

    x: int
    y: int = 0


@dataclasses.dataclass(frozen=True)
class Money:
    """A frozen dataclass."""

    amount: Decimal
    currency: str = "EUR"


@dataclasses.dataclass(slots=True)
class Receipt:
    """A nested dataclass with a field that no constructor takes."""

    id: str
    money: Money
    colours: list[Colour] = dataclasses.field(default_factory=list)
    note: str = dataclasses.field(default="", init=False)


def _stripped(text: str) -> str:
    return text.strip()


@attrs.frozen(kw_only=True)
class Refund:
    """An attrs class with a private field and a converter."""

    _id: str
    of: Receipt | None = None
    reason: str = attrs.field(default="", converter=_stripped)


@attrs.define
class Node:
    """A class that names itself."""

    value: int
    next: Optional["Node"] = None
    children: list["Node"] = attrs.field(factory=list)


CLASSES = classes_in(Union[Colour, Level, Word, Right, Point, Money, Receipt, Refund, Node])  # noqa: UP007
AWARE = datetime(2026, 11, 20, 19, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
RECEIPT = Receipt("r1", Money(Decimal("1.00")), [Colour.RED, Colour.TUPLE])


def there_and_back(value: object) -> Any:
    """Return a value after its journey through JSON bytes."""
    return from_typed(parse_json(compact_json(to_typed(value))), CLASSES)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        0,
        1,
        -1,
        2**53 - 1,
        2**53,
        -(10**30),
        "",
        "text",
        "\u20ac \U0001f4b6 \x00 \x1f",
        0.0,
        0.1,
        1e300,
        math.inf,
        -math.inf,
        b"",
        b"\x00\xff",
        Decimal(1),
        Decimal("1.00"),
        Decimal("-0"),
        Decimal("1E+10"),
        Decimal("Infinity"),
        UUID(int=1),
        AWARE,
        datetime(2026, 11, 20, 19, tzinfo=UTC),
        datetime(2026, 11, 20, 19),
        date(2026, 11, 20),
        time(19, 0, 0, 5),
        time(19, tzinfo=UTC),
        timedelta(days=-1, microseconds=1),
        timedelta.max,
        timedelta.min,
        [],
        [[], [[]]],
        (),
        (1, (2, ())),
        ([1], {"a": (2,)}),
        {},
        {"b": 1, "a": {"$": "tuple", "v": [1]}},
        {"$": 1},
        {1: "one", "1": "text", (1, 2): Decimal(1), None: None, False: 5},
        Colour.RED,
        Colour.TUPLE,
        Level.LOW,
        Word.YES,
        Right.READ | Right.WRITE,
        Right(0),
        Point(1, 2),
        Money(Decimal("0.10")),
        RECEIPT,
        Refund(id="f1", of=RECEIPT, reason="late"),
        Node(1, Node(2), [Node(3)]),
    ],
    ids=map(str, itertools.count()),
)
def test_values_come_back_equal_and_of_the_same_type(value: object) -> None:
    """Also where JSON has no word for them."""
    found = there_and_back(value)

    assert value == found
    assert type(value) is type(found)
    assert repr(value) == repr(found)


def test_fields_that_no_constructor_takes_come_back() -> None:
    """They are set after the instance is made."""
    receipt = Receipt("r1", Money(Decimal(1)))
    receipt.note = "by hand"

    assert there_and_back(receipt).note == "by hand"


def test_not_a_number_comes_back_as_itself() -> None:
    """It is equal to nothing, so its type and text are compared."""
    assert math.isnan(there_and_back(math.nan))
    assert there_and_back(Decimal("NaN")).is_nan()


@pytest.mark.parametrize("zone", ["Nowhere/Atall", "../etc/passwd", "", "UTC"])
def test_a_zone_that_is_not_known_here_is_its_offset(zone: str) -> None:
    """The moment is what counts."""
    moment = from_typed({"$": "datetime", "v": f"2026-11-20T19:00:00+00:00[{zone}]"})

    assert datetime(2026, 11, 20, 19, tzinfo=UTC) == moment


def test_dicts_keep_their_order_where_the_bytes_do() -> None:
    """Typed data is made in the order of the value."""
    assert ["b", "a"] == list(to_typed({"b": 1, "a": 2}))
    assert [2, 1] == list(there_and_back({2: "b", 1: "a"}))


def test_every_reading_makes_a_value_of_its_own() -> None:
    """Nothing mutable is shared between two replays."""
    data = to_typed({"list": [1], "node": Node(1)})
    first, second = from_typed(data, CLASSES), from_typed(data, CLASSES)
    first["list"].append(2)
    first["node"].value = 9

    assert {"list": [1], "node": Node(1)} == second == from_typed(data, CLASSES)


class _Text(str):
    """Text with a class of its own."""

    __slots__ = ()


class _Plain:
    """A class whose values say nothing about themselves."""


@pytest.mark.parametrize(
    "value",
    [
        {1},
        frozenset(),
        _Plain(),
        _Text("a"),
        OrderedDict(a=1),
        bytearray(b"a"),
        memoryview(b"a"),
        1j,
        range(3),
        object,
        rml.Secret("s"),
        lambda: None,
        iter([]),
        ValueError("a"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_would_not_come_back_is_refused(value: object) -> None:
    """The message names the place and the type, and what to give instead; never the value."""
    with pytest.raises(EncodingError, match=r"result\.items\[1\] is .*give builtins, Decimal"):
        to_typed({"items": [0, value]}, "result")


def test_a_secret_is_not_told_by_the_refusal() -> None:
    """The value stays out of the message."""
    with pytest.raises(EncodingError) as caught:
        to_typed({"password": _Text("hunter2")})

    assert "hunter2" not in str(caught.value)
    assert "$.password" in str(caught.value)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (0.5, "argument amount"),
        (math.nan, "argument amount"),
        ([1, 0.5], r"argument amount\[1\]"),
        ({"a": {"b": 0.5}}, r"argument amount\.a\.b"),
        ({0.5: 1}, r"argument amount\.<key>"),
        (Node(0.5), r"argument amount\.value"),  # type: ignore[arg-type]
    ],
)
def test_floats_can_be_refused_everywhere_inside(value: object, place: str) -> None:
    """Binary fractions do not compare, so a fingerprint takes none."""
    with pytest.raises(EncodingError, match=place + " is a float.*Decimal or text"):
        to_typed(value, "argument amount", floats=False)


def test_nesting_has_a_limit() -> None:
    """Also for a list that holds itself."""
    endless: list[Any] = []
    endless.append(endless)

    with pytest.raises(EncodingError, match="DEPTH_MAX"):
        to_typed(endless)


@pytest.mark.parametrize(
    "wrap",
    [lambda v: [v], lambda v: (v,), lambda v: {"a": v}, lambda v: {1: v}, Point],
    ids=["list", "tuple", "dict", "typed dict", "named tuple"],
)
@pytest.mark.parametrize("depth", [10, 20, 30, 40, 60, DEPTH_MAX, DEPTH_MAX + 1])
def test_what_is_written_can_be_stored(wrap: Callable[[Any], Any], depth: int) -> None:
    """A value is refused by name, or its typed form has a canonical form, also beside an entry."""
    value: Any = 1
    for _ in range(depth):
        value = wrap(value)
    try:
        typed = to_typed(value)
    except EncodingError as error:
        assert "DEPTH_MAX" in str(error)  # noqa: PT017 - either outcome is right, at its depth
    else:
        assert value == from_typed(
            parse_json(canonical_json(["rml/1/field", "salt", "name", typed]))[3], CLASSES
        )


def test_a_number_of_thousands_of_digits_is_refused_or_comes_back() -> None:
    """Python's own limit on digits is an answer of ours, not a bare ValueError."""
    number = 10**5000
    try:
        assert number == there_and_back(number)
    except EncodingError as error:
        assert "digits" in str(error)  # noqa: PT017


@pytest.mark.parametrize("text", ["\ud800", ["a\udfff"], {"\ud800": 1}])
def test_half_a_surrogate_pair_is_refused_by_place(text: object) -> None:
    """It is not Unicode text, so no bytes carry it; the refusal comes before anything is stored."""
    with pytest.raises(EncodingError, match="argument name"):
        to_typed(text, "argument name")


def test_a_field_that_is_missing_is_refused() -> None:
    """An instance that was made without its constructor has nothing to write down."""
    with pytest.raises(EncodingError, match=r"result\.amount"):
        to_typed(object.__new__(Money), "result")


# Reading ---------------------------------------------------------------------------------------


def test_a_class_that_nobody_named_is_not_read() -> None:
    """Nothing is imported: classes come from the annotation alone."""
    with pytest.raises(DecodingError, match="'Money', which the handler's return annotation"):
        from_typed(to_typed(Money(Decimal(1))), {})


@pytest.mark.parametrize(
    "data",
    [
        {"$": "decimal", "v": "one"},
        {"$": "decimal", "v": {}},
        {"$": "int", "v": "x"},
        {"$": "uuid", "v": "x"},
        {"$": "bytes", "v": "*"},
        {"$": "datetime", "v": "yesterday"},
        {"$": "date", "v": None},
        {"$": "timedelta", "v": "x"},
        {"$": "tuple", "v": 5},
        {"$": "dict", "v": [[1]]},
        {"$": "dict", "v": [[[], 1]]},
        {"$": "enum", "type": "Colour", "v": "blue"},
        {"$": "object", "type": "Money", "v": {}},
        {"$": "object", "type": "Money", "v": {"amount": 1, "other": 2}},
        {"$": "object", "type": "Money", "v": []},
        {"$": "object", "type": "Nobody", "v": {}},
        {"$": "object", "v": {}},
        {"$": "unheard of", "v": 1},
        {"$": ["unhashable"], "v": 1},
    ],
    ids=str,
)
def test_what_cannot_be_read_is_one_kind_of_error(data: object) -> None:
    """Whatever is wrong with recorded data, the reader learns it as a DecodingError."""
    with pytest.raises(DecodingError):
        from_typed(data, CLASSES)


# Annotations -----------------------------------------------------------------------------------

T = TypeVar("T")


@pytest.mark.parametrize(
    ("annotation", "names"),
    [
        (None, set()),
        (Any, set()),
        (object, set()),
        (int, set()),
        (dict[str, list[Decimal]], set()),
        (list, set()),
        (int | None, set()),
        (tuple[int, ...], set()),
        (tuple[()], set()),
        (Literal["a", 1], set()),
        (Literal[Colour.RED], {"Colour"}),
        (Annotated[Money, "due"], {"Money"}),
        (dict[str, Receipt | None], {"Receipt", "Money", "Colour"}),
        (Node, {"Node"}),
        (list[Node] | None, {"Node"}),
        (T, set()),
    ],
    ids=lambda given: " ".join(sorted(given)) if isinstance(given, set) else str(given),
)
def test_the_classes_of_an_annotation(annotation: object, names: set[str]) -> None:
    """Every class that its values may be made of, fields included."""
    assert names == set(classes_in(annotation))


class _Box(Generic[T]):
    """A generic class without fields."""


@pytest.mark.parametrize(
    "annotation",
    [set, set[int], frozenset[str], _Plain, _Box[int], Callable[[], int], Exception, list[_Plain]],
    ids=str,
)
def test_annotations_whose_values_could_not_come_back_are_refused(annotation: object) -> None:
    """At definition, before there is any effect."""
    with pytest.raises(EncodingError, match="cannot be recorded and given again faithfully"):
        classes_in(annotation)


def test_a_field_of_a_class_is_looked_into() -> None:
    """A set deep inside is found."""

    @dataclasses.dataclass
    class Holder:
        """Holds what cannot be given again."""

        tags: list[set[str]]

    with pytest.raises(EncodingError, match="set"):
        classes_in(Holder)


def test_two_classes_of_one_name_cannot_be_told_apart() -> None:
    """Recorded values carry the bare name, so that a class may move between modules."""
    other: Any = dataclasses.make_dataclass("Money", ["amount"])

    with pytest.raises(EncodingError, match="two classes named 'Money'"):
        classes_in(tuple[Money, other])


@dataclasses.dataclass
class _Unresolved:
    """A class with a name that only a type checker can see."""

    amount: "typing.NobodyHasThis"  # type: ignore[name-defined]


def test_names_that_only_a_type_checker_sees_are_taken_as_any() -> None:
    """An annotation that cannot be resolved is no reason to fail with a bare NameError."""
    assert {"_Unresolved"} == set(classes_in(_Unresolved))


def test_a_pydantic_model_comes_back() -> None:
    """Without its validators having a second say."""
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("Model", amount=(Decimal, ...), tags=(list[str], []))
    value = model(amount=Decimal("1.00"), tags=["a"])

    assert value == from_typed(to_typed(value), classes_in(model))


def test_sequences_of_the_abstract_kind_are_refused_at_definition() -> None:
    """Which of its many types would come back nobody can say."""
    with pytest.raises(EncodingError):
        classes_in(Sequence[int])

"""Values become the bytes of RFC 8785, JSON is read strictly, and facts are plain JSON."""

import hashlib
import json
import re
import struct
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from rml import Secret, World
from rml.codec import (
    DEPTH_MAX,
    DecodingError,
    EncodingError,
    canonical_json,
    compact_json,
    parse_json,
    plain,
)


class Colour(Enum):
    """An enum of plain values."""

    RED = "red"


class Level(IntEnum):
    """An enum that is an integer."""

    LOW = 1


class Word(StrEnum):
    """An enum that is text."""

    YES = "yes"


class Cents(int):
    """Somebody's own integer."""


class Name(str):
    """Somebody's own text."""

    __slots__ = ()


def nested(levels: int) -> list[Any]:
    """A list in a list, so many levels in all."""
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


def cycle() -> list[Any]:
    """A list that holds itself."""
    value: list[Any] = []
    value.append(value)
    return value


# ---------------------------------------------------------------------------- canonical bytes


@pytest.mark.parametrize("name", ["arrays", "french", "structures", "unicode", "values", "weird"])
def test_the_published_vectors_of_rfc_8785(vectors: Path, name: str) -> None:
    """Each published input becomes the published bytes, and those bytes stay as they are."""
    folder = vectors / "json-canonicalization" / "testdata"
    expected = bytes.fromhex((folder / "outhex" / f"{name}.txt").read_text(encoding="ascii"))

    assert expected == canonical_json(parse_json((folder / "input" / f"{name}.json").read_bytes()))
    assert expected == canonical_json(parse_json(expected))


def test_the_published_numbers_of_ecmascript(vectors: Path) -> None:
    """Ten thousand doubles, edge cases first, are written as ECMAScript writes them."""
    page = (vectors / "json-canonicalization" / "testdata" / "README.md").read_text("utf-8")
    found = re.search(r"^\| ([0-9a-f]{64}) \| 10000 ", page, re.MULTILINE)
    assert found is not None
    written = hashlib.sha256()

    for bits in islice(es6_bits(page), 10_000):
        (number,) = struct.unpack(">d", bits.to_bytes(8))
        written.update(b"%x,%s\n" % (bits, canonical_json(number)))

    assert found[1] == written.hexdigest()


def es6_bits(page: str) -> Iterator[int]:
    """The doubles that the vectors' page describes, as bits: a list, a run, a chain of hashes."""
    listed = page.partition("staticU64s")[2].partition("])")[0]
    yield from (int(found, 16) for found in re.findall(r"0x([0-9a-f]{16})n", listed))
    yield from range(0x0010000000000000, 0x0010000000000000 + 2_000)
    block = bytes(32)
    while True:
        block = hashlib.sha256(block).digest()
        for bits in struct.unpack("<4Q", block):
            finite = bits >> 52 & 0x7FF != 0x7FF
            if finite and bits << 1 & 0xFFFFFFFFFFFFFFFF:
                yield bits


@pytest.mark.parametrize(
    ("expected", "number"),
    [
        ("0", 0.0),
        ("0", -0.0),
        ("1", 1.0),
        ("-1.5", -1.5),
        ("0.1", 0.1),
        ("0.30000000000000004", 0.1 + 0.2),
        ("0.000001", 1e-6),
        ("1e-7", 1e-7),
        ("1.5e-9", 1.5e-9),
        ("123456.789", 123456.789),
        ("100000000000000000000", 1e20),
        ("999999999999999900000", 999999999999999900000.0),
        ("1e+21", 1e21),
        ("1.7976931348623157e+308", 1.7976931348623157e308),
        ("5e-324", 5e-324),
        ("9007199254740991", 2**53 - 1),
        ("-9007199254740991", -(2**53) + 1),
    ],
)
def test_numbers_are_written_as_ecmascript_does(expected: str, number: float) -> None:
    """The shortest digits, the exponent where ECMAScript puts it."""
    assert expected == canonical_json(number).decode()


@pytest.mark.parametrize(
    ("expected", "value"),
    [
        (b"null", None),
        (b"true", True),
        (b"[]", ()),
        (b'{"a":1,"b":[2,{}]}', {"b": [2, {}], "a": 1}),
        (b'"\\u0000\\u001f\\b\\t\\n\\f\\r\\"\\\\/"', '\0\x1f\b\t\n\f\r"\\/'),
        ('"\x7f\u2028é😀"'.encode(), "\x7f\u2028é😀"),
        (b'["RML3","yes"]', [World.RML3, Word.YES]),
        (b'[{"k":"RML3"},0.5]', [{"k": World.RML3}, 0.5]),
    ],
)
def test_the_canonical_form_of_a_value(expected: bytes, value: object) -> None:
    """No spaces, short escapes, UTF-8, members in order; one form for each value."""
    assert expected == canonical_json(value)


def test_members_are_ordered_by_utf_16_units() -> None:
    """An emoji is two surrogates, so it comes before U+E000, unlike in code point order."""
    value = {"\ue000": 1, "😀": 2, "é": 3, "z": 4, "": 5}

    assert '{"":5,"z":4,"é":3,"😀":2,"\ue000":1}' == canonical_json(value).decode()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("$ is NaN", float("nan")),
        ("$.a[1] is NaN or infinite", {"a": [1, float("inf")]}),
        ("$.a is beyond 2**53 - 1", {"a": 2**53}),
        ("$ is beyond 2**53 - 1", -(2**53)),
        ("$.a.b holds half of a surrogate pair", {"a": {"b": "x\ud800"}}),
        ("$[1] holds half of a surrogate pair", ["x", "\udfff"]),
        ("$.a holds half of a surrogate pair", {"a": {"\ud800": 1}}),
        ("$.é[0] holds half of a surrogate pair", {"é": ["\udc00"], "b": 0.5}),
        ("$.a is Decimal", {"a": Decimal(1)}),
        ("$ is Secret", Secret("4242424242424242")),
        ("$ is bytes", b"4242424242424242"),
        ("$ is set", {1}),
        ("$ is datetime", datetime(2026, 11, 20, tzinfo=UTC)),
        ("$ is Cents", Cents(5)),
        ("$ is Name", Name("x")),
        ("a key at $.a is int", {"a": {1: 2}}),
        ("a key at $ is Word", {Word.YES: 1}),
        ("nested deeper than 64 levels", nested(DEPTH_MAX + 2)),
        ("nested deeper than 64 levels", cycle()),
    ],
)
def test_what_has_no_canonical_form_is_refused_by_its_place(place: str, value: object) -> None:
    """The message says where, and never shows the value."""
    for write in (canonical_json, compact_json):
        with pytest.raises(EncodingError) as caught:
            write(value)

        assert place in caught.value.message
        assert "4242" not in caught.value.message


def test_the_depth_that_is_promised_is_written() -> None:
    """64 levels are a promise, not a near miss."""
    assert b"[" * 64 + b"]" * 64 == canonical_json(nested(DEPTH_MAX))


def test_the_place_begins_with_what_the_caller_calls_the_value() -> None:
    """A caller reads the name that it gave."""
    with pytest.raises(EncodingError, match=r"^the number at personal\.age is NaN"):
        compact_json(float("nan"), "personal.age")


def test_compact_bytes_keep_the_order_of_members() -> None:
    """A value that must come back as it was is not sorted, and floats stay floats."""
    value = {"b": 1.0, "a": [True, None, "é"]}

    assert '{"b":1.0,"a":[true,null,"é"]}' == compact_json(value).decode()
    assert list(value) == list(parse_json(compact_json(value)))


# ------------------------------------------------------------------------------ strict reading


@pytest.mark.parametrize(
    ("reason", "data"),
    [
        ("not UTF-8 (byte 1)", b'"\xff"'),
        ("not strict JSON", "\ufeff{}"),
        ("a key stands twice", '{"a":1,"a":2}'),
        ("a key stands twice", '[{"b":{"a":1,"\\u0061":1}}]'),
        ("NaN is not JSON", "[NaN]"),
        ("-Infinity is not JSON", "-Infinity"),
        ("too large for a double", "1e400"),
        ("too large for a double", "[-1.5e999]"),
        ("not strict JSON", "[1,]"),
        ("not strict JSON", "{'a':1}"),
        ("not strict JSON", ""),
        ("not strict JSON", "1 2"),
        ("not strict JSON", '"\n"'),
        ("not strict JSON", "9" * 10_000),
        ("not strict JSON", "[" * 100_000),
        ("$.a[0] holds half of a surrogate pair", '{"a":["\\ud800"]}'),
        ("$ holds half of a surrogate pair", '{"\\uDFFF":1}'),
    ],
)
def test_what_is_no_strict_json_is_refused(reason: str, data: bytes | str) -> None:
    """Two readers must never disagree about what bytes say."""
    with pytest.raises(DecodingError) as caught:
        parse_json(data)

    assert reason in caught.value.message


def test_a_whole_surrogate_pair_is_read() -> None:
    """The escaped form of an emoji is Unicode text."""
    assert ["😀", "\\ud800"] == parse_json('["\\ud83d\\ude00","\\\\ud800"]')


# ------------------------------------------------------------------------------- facts in clear


@pytest.mark.parametrize(
    ("expected", "value"),
    [
        (None, None),
        (True, True),
        (1999, 1999),
        ("é", "é"),
        ("19.90", Decimal("19.90")),
        ("1E+3", Decimal("1E+3")),
        (
            "2026-11-20T18:00:00.000000Z",
            datetime(2026, 11, 20, 19, tzinfo=timezone(timedelta(hours=1))),
        ),
        ("2026-11-20", date(2026, 11, 20)),
        ("00000000-0000-0000-0000-000000000007", UUID(int=7)),
        ("red", Colour.RED),
        (1, Level.LOW),
        ("yes", Word.YES),
        ("RML3", World.RML3),
        (5, Cents(5)),
        ("ada", Name("ada")),
        ({"a": [1, {"b": "2.0"}]}, {"a": (1, {"b": Decimal("2.0")})}),
    ],
)
def test_facts_become_plain_json(expected: object, value: object) -> None:
    """What people record is what people can query, of JSON's own types."""
    made = plain(value)

    assert expected == made
    assert type(expected) is type(made)
    assert made == json.loads(json.dumps(made))


@pytest.mark.parametrize(
    ("reason", "value"),
    [
        ("the fact at facts.amount is a float; give whole minor units (int) or a Decimal", 19.99),
        ("the fact at facts.amount is a float", float("nan")),
        ("the fact at facts.amount is a Secret", Secret("4242424242424242")),
        ("the Decimal at facts.amount is not a finite number", Decimal("NaN")),
        ("the Decimal at facts.amount is not a finite number", Decimal("-Infinity")),
        ("at facts.amount: the time 2026-11-20T00:00:00 has no timezone", datetime(2026, 11, 20)),
        ("the integer at facts.amount.x[0] is beyond 2**53 - 1", {"x": [2**53]}),
        ("a key at facts.amount is int, not text", {1: 2}),
        ("the fact at facts.amount is bytes; give text, an int", b"4242424242424242"),
        ("the fact at facts.amount.y is object", {"y": object()}),
        ("nested deeper than 64 levels", nested(65)),
        ("nested deeper than 64 levels", cycle()),
    ],
)
def test_what_cannot_be_recorded_in_clear_is_refused(reason: str, value: object) -> None:
    """The message names the fact and the way out, and never shows the value."""
    with pytest.raises(EncodingError) as caught:
        plain(value, "facts.amount")

    assert reason in caught.value.message
    assert "4242" not in caught.value.message

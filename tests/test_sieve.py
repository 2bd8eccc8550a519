"""What the sieve lets pass is right: a look at the row itself finds nothing wrong either."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rml import World
from rml.ledger.checks.check import check_row
from rml.ledger.checks.sieve import SECONDS_MAX, SHAPES_MAX, Sieve, Sifted
from rml.ledger.content import seal_personal
from rml.ledger.entry import COLUMNS, Entry, leaf_hash
from rml.ledger.store import Row, Survey

ORIGIN = "example.com/ledger"
MOMENT = datetime(2026, 11, 20, 19, tzinfo=UTC)
HEADER = {
    "id": "01a1fa54-6f80-7000-8000-000000000001",
    "kind": "payment.noted",
    "world": "RML3",
    "at": "2026-11-20T19:00:00.000000Z",
    "recorded_at": "2026-11-20T19:00:00.000000Z",
}


def row(index: int, tail: bytes = b"{},{}]", personal: bytes | None = None, **header: Any) -> Row:
    """A row whose columns are those of its header, and whose bytes end in some way."""
    said = HEADER | {"origin": ORIGIN} | header
    text = json.dumps(said, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    data = f'["rml/1",{text},'.encode() + tail
    return Row(index, data, leaf_hash(data), personal, tuple(map(said.get, COLUMNS)))


def surveyed(rows: Sequence[Row]) -> Survey:
    """What a store that vouches for all columns tells of rows."""
    columns = zip(COLUMNS, zip(*(one.columns for one in rows), strict=True), strict=True)
    return Survey(
        doubtful=(),
        data=[one.data for one in rows],
        leaves=b"".join(one.leaf for one in rows),
        columns={
            name: "\n".join("" if value is None else str(value) for value in values).encode()
            for name, values in columns
            if any(values)
        },
    )


def sifted(rows: Sequence[Row], sieve: Sieve | None = None) -> Sifted:
    """What a sieve makes of rows."""
    personal = {one.index: one.personal for one in rows if one.personal is not None}
    leaves = [leaf_hash(one.data) for one in rows]
    return (sieve or Sieve(ORIGIN)).sift(surveyed(rows), leaves, personal)


def assert_right(rows: Sequence[Row], found: Sifted) -> None:
    """Compare what a sieve let pass with what a look at each row finds."""
    for one in rows:
        if one.index not in found.held:
            checked = check_row(one, ORIGIN)
            assert [] == checked.problems, one.data
            assert sorted(checked.missing) == sorted(found.missing.get(one.index, []))


# ------------------------------------------------------------------------------ what passes


FACTS = {
    "nothing": {},
    "texts": {"currency": "EUR", "note": ""},
    "numbers": {"amount": 1999, "less": -3, "none": None, "yes": True, "zero": 0},
    "nested": {"items": [{"sku": "a", "count": 2}, [], {}], "of": {"a": {"b": [1, [2]]}}},
    "escapes": {"note": 'a "quoted" \\ line\n\ttab \x07'},
    "unicode": {"name": "Zoë Müller-Łukasz", "é": 1},
    "long numbers": {"amount": 8_999_999_999_999_999, "least": -(10**15) + 1},
    "digits in keys": {"a1": 1, "a2": 2},
}


def entries(count: int, **fields: Any) -> list[Row]:
    """Honest rows, as they are sealed."""
    rows = []
    for index in range(count):
        commitments, beside = seal_personal(fields.get("personal", {}))
        entry = Entry(
            id=HEADER["id"],
            kind="payment.noted",
            origin=ORIGIN,
            world=World.RML3,
            at=fields.get("at", MOMENT),
            recorded_at=MOMENT,
            facts=fields.get("facts", {}),
            commitments=commitments,
        )
        sealed = entry.seal(beside)
        rows.append(Row(index, sealed.data, sealed.leaf, sealed.personal, sealed.columns))
    return rows


@pytest.mark.parametrize("facts", FACTS.values(), ids=FACTS)
@pytest.mark.parametrize("personal", [{}, {"email": "ada@example.com", "b": {"z": [1], "a": "é"}}])
def test_honest_rows_pass(facts: dict[str, Any], personal: dict[str, Any]) -> None:
    """Whatever they say; else each would be looked at twice."""
    sieve = Sieve(ORIGIN)
    rows = entries(3, facts=facts, personal=personal, at=datetime(1969, 1, 1, tzinfo=UTC))

    assert [Sifted(), Sifted()] == [sifted(rows, sieve), sifted(rows, sieve)]


def test_values_that_are_gone_are_told() -> None:
    """By their names; whether they may be is another question."""
    (whole, partly, bare) = entries(3, personal={"email": "ada@example.com", "name": "Ada"})
    kept = json.loads(partly.personal or b"")
    less = json.dumps({"name": kept["name"]}, separators=(",", ":")).encode()
    rows = [whole, row_with(partly, less), row_with(bare, None)]

    assert Sifted(missing={1: ["email"], 2: ["email", "name"]}) == sifted(rows)


def row_with(one: Row, personal: bytes | None) -> Row:
    """The same row with something else beside it."""
    return Row(one.index, one.data, one.leaf, personal, one.columns)


def test_what_is_remembered_is_bounded() -> None:
    """A ledger of a million different texts is verified in the same memory."""
    sieve = Sieve(ORIGIN)
    letters = "abcdefghij"
    count = SHAPES_MAX + 10
    tails = [
        '{"x":"' + "".join(letters[int(d)] for d in f"{number:06}") + '"},{}]'
        for number in range(count)
    ]
    rows = [row(index, tail.encode()) for index, tail in enumerate(tails)]

    for start in range(0, count, 1_000):
        page = [Row(i, *attributes(one)) for i, one in enumerate(rows[start : start + 1_000])]
        assert Sifted() == sifted(page, sieve)
    for number in range(SECONDS_MAX + 10):
        minutes, seconds = divmod(number, 60)
        second = f"2026-01-01T{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"
        assert sieve._is_second(second.encode())

    assert SHAPES_MAX == len(sieve._shapes)
    assert SECONDS_MAX >= len(sieve._millis)


def attributes(one: Row) -> tuple[Any, ...]:
    """A row's members but its index."""
    return one.data, one.leaf, one.personal, one.columns


# ------------------------------------------------------------------------ what is held back


WRONG_TAILS = [
    b"",
    b"{}",
    b"{},{}",
    b"{},{}]]",
    b"{},{},{}]",
    b"[],{}]",
    b"{},[]]",
    b"{}, {}]",
    b'{"a":1,"a":1},{}]',
    b'{"b":1,"a":1},{}]',
    b'{"a":01},{}]',
    b'{"a":-0},{}]',
    b'{"a":1.0},{}]',
    b'{"a":1e2},{}]',
    b'{"a":NaN},{}]',
    b'{"a":9007199254740992},{}]',
    b'{"a":-9007199254740992},{}]',
    b'{"a":[10000000000000000]},{}]',
    b'{"a":[1,10000000000000000]},{}]',
    b'{"a":"\\u0041"},{}]',
    b'{"a":"\\/"},{}]',
    b'{"a":"\\ud800"},{}]',
    b'{"a":"\n"},{}]',
    b'{"a":"\x00"},{}]',
    b'{"a":"\xff"},{}]',
    b'{"a":' + b"[" * 80 + b"]" * 80 + b"},{}]",
    b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"},{}]",
    '{"\ue000":1,"\U0001f600":2},{}]'.encode(),
    b'{},{"a":"x"}]',
    b'{},{"a":5}]',
    b'{},{"a":"' + b"A" * 64 + b'"}]',
    b'{"x":"' + b"x" * 70_000 + b'"},{}]',
]


@pytest.mark.parametrize("tail", WRONG_TAILS, ids=range(len(WRONG_TAILS)))
def test_a_tail_that_is_wrong_is_held_back(tail: bytes) -> None:
    """Among others that are right, which are not."""
    rows = [row(0, b'{"a":1},{}]'), row(1, tail), row(2, b'{"a":12},{}]')]
    assert [] != check_row(rows[1], ORIGIN).problems

    held = sifted(rows).held

    assert held == {1} or (b"\n" in tail and held == {0, 1, 2})


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (b'{"a":"x', b'y"},{}],[{"b":1},{}]'),
        (b'{"a":[1', b'{"b":2}]]},{}],[{"c":3},{}]'),
        (b'{"a":1},{}],["x"', b'"y":1},{}]]'),
        (b'{"a":[[{}]', b'"b":2}]]},{}],[{"c":3},{}]'),
    ],
)
def test_two_tails_that_make_sense_together_are_held_back(first: bytes, second: bytes) -> None:
    """Pages are read as one text, and what is nothing alone is nothing."""
    rows = [row(0, first), row(1, second)]

    assert {0, 1} == sifted(rows).held


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (b'{"a":["s",[{}', b'{"k":1}]],"b":["s","v"]}'),
        (b'{"a":["s","x}', b'{y"],"b":["s","v"]}'),
        (b"{},{}", b""),
    ],
)
def test_two_values_that_make_sense_together_are_held_back(first: bytes, second: bytes) -> None:
    """As tails are."""
    rows = [row_with(one, kept) for one, kept in zip(entries(2), (first, second), strict=True)]

    assert {0, 1} == sifted(rows).held


def test_a_shape_vouches_for_no_other_keys_or_zeros() -> None:
    """Digits that decide about the order of keys, about zeros in front, or about the size."""
    honest = [b'{"a1":1,"a2":1},{}]', b'{"a":11,"b":-1},{}]', b'{"a":8007199254740991},{}]']
    forged = [
        b'{"a2":1,"a1":1},{}]',
        b'{"a1":1,"a1":1},{}]',
        b'{"a":01,"b":-1},{}]',
        b'{"a":11,"b":-0},{}]',
        b'{"a":9007199254740992},{}]',
    ]
    sieve = Sieve(ORIGIN)
    assert Sifted() == sifted([row(i, tail) for i, tail in enumerate(honest)], sieve)

    assert set(range(5)) == sifted([row(i, tail) for i, tail in enumerate(forged)], sieve).held


@pytest.mark.parametrize(
    "header",
    [
        {"id": "01a1fa54-6f80-4000-8000-000000000001"},
        {"id": "01a1fa54-6f80-7000-c000-000000000001"},
        {"id": "01a1fa54-6f81-7000-8000-000000000001"},
        {"id": "01A1FA54-6f80-7000-8000-000000000001"},
        {"id": "01a1fa54-6f80-7000-8000-00000000001"},
        {"id": "01a1fa54-6f80-7000-8000-0000000000011"},
        {"id": '01a1fa54-6f80-7000-8000-00000000000"'},
        {"id": "01a1fa546f80-7000-8000--000000000001"},
        {"kind": "noted"},
        {"kind": "a.b,c.d"},
        {"kind": "a." + "b" * 62},
        {"world": "RML4"},
        {"at": "2026-11-20 19:00:00.000000Z"},
        {"at": "2026-11-20T19:00:00.000000+00:00"},
        {"at": "2026-02-30T19:00:00.000000Z"},
        {"at": "0000-01-01T00:00:00.000000Z"},
        {"recorded_at": "2026-11-20T19:00:00.001000Z"},
        {"recorded_at": "2026-11-20T19:00:60.000000Z"},
        {"recorded_at": "2026-11-20T24:00:00.000000Z"},
        {"recorded_at": "2026-11-20T19:00:00.00000Z"},
        {"actor": 'a"b'},
        {"actor": "a\\b"},
        {"actor": "a\nb"},
    ],
)
def test_a_header_that_is_wrong_or_hard_to_tell_is_held_back(header: dict[str, str]) -> None:
    """Also when the columns say the same, and it was seen before."""
    sieve = Sieve(ORIGIN)
    rows = [row(0), row(1, **header), row(2)]

    assert 1 in sifted(rows, sieve).held
    assert 1 in sifted(rows, sieve).held


def test_a_row_whose_id_is_of_another_time_is_held_back() -> None:
    """Ids and times are compared commit by commit: each has the beginning of its own time."""
    times = ["2026-11-20T19:00:00.000000Z"] * 2 + ["2026-11-20T19:00:00.001000Z"] * 2
    begins = ["01a1fa54-6f80", "01a1fa54-6f81", "01a1fa54-6f80", "01a1fa54-6f81"]
    rows = [
        row(index, id=f"{begin}-7000-8000-00000000000{index}", at=time, recorded_at=time)
        for index, (begin, time) in enumerate(zip(begins, times, strict=True))
    ]

    assert {1, 2} <= sifted(rows).held
    assert Sifted() == sifted([rows[0], rows[3]])


def test_a_text_that_looks_like_the_end_of_a_header_passes() -> None:
    """Where a header ends is told by its columns, not by what a text looks like."""
    assert Sifted() == sifted([row(0), row(1, actor="},{}]"), row(2, service="},{")])


OPTIONAL = ("actor", "attempt", "key", "service", "traceparent")
SAID = st.fixed_dictionaries({}, optional={name: st.sampled_from("abc") for name in OPTIONAL})


@given(st.lists(SAID, min_size=1, max_size=6), st.data())
def test_columns_that_say_something_else_are_held_back(
    said: list[dict[str, str]], data: st.DataObject
) -> None:
    """One column of one row, whatever the rows have in common; the others pass."""
    values = {"a": 1, "b": 2, "c": 13}
    headers = [
        {name: values[it] if name == "attempt" else it for name, it in one.items()} for one in said
    ]
    rows = [row(index, **one) for index, one in enumerate(headers)]
    place = data.draw(st.integers(0, len(rows) - 1))
    name = data.draw(st.sampled_from(OPTIONAL))
    other: Any = data.draw(st.sampled_from([None, 7 if name == "attempt" else "x"]))
    columns = dict(zip(COLUMNS, rows[place].columns, strict=True))
    held = {place} if columns[name] != other else set()
    forged = tuple((columns | {name: other}).values())

    assert Sifted() == sifted(rows)
    rows[place] = Row(place, rows[place].data, rows[place].leaf, None, forged)
    assert Sifted(held) == sifted(rows)


def test_other_bytes_than_were_hashed_are_held_back() -> None:
    """They are compared with the stored hashes one by one."""
    rows = [row(0), row(1), row(2)]
    rows[1] = Row(1, rows[1].data, b"\0" * 32, None, rows[1].columns)

    assert {1} == sifted(rows).held


# --------------------------------------------------------------------- whatever is changed


LETTERS = st.sampled_from('{}[],:"\\-+.eE019 \n\tau"}]{')
CHANGES = st.lists(
    st.tuples(st.integers(0, 200), st.integers(0, 2), LETTERS | st.characters()),
    min_size=1,
    max_size=4,
)
TAILS = [
    b'{"amount":1999,"currency":"EUR"},{}]',
    b'{"a":[0,-1,{"b":null}],"c":"07","d":{}},{}]',
    '{"name":"Zoë","z":true},{}]'.encode(),
]


def changed(text: str, changes: list[tuple[int, int, str]]) -> bytes:
    """A text with some letters inserted, replaced or removed."""
    for place, what, letter in changes:
        start = place % (len(text) + 1)
        text = text[:start] + ("" if what == 0 else letter) + text[start + (what != 2) :]
    return text.encode(errors="replace")


@given(st.lists(st.tuples(st.sampled_from(TAILS), CHANGES), max_size=4))
@example([(TAILS[0], [(8, 1, "0")])])
def test_whatever_passes_is_right(forged: list[tuple[bytes, list[tuple[int, int, str]]]]) -> None:
    """Entries that were changed, sealed as they are, among honest ones of the same shapes."""
    sieve = Sieve(ORIGIN)
    honest = [row(index, tail) for index, tail in enumerate(TAILS)]
    tails = [changed(tail.decode(), changes) for tail, changes in forged]
    rows = honest + [row(len(TAILS) + index, tail) for index, tail in enumerate(tails)]

    assert Sifted() == sifted(honest, sieve)
    assert_right(rows, sifted(rows, sieve))


@given(CHANGES)
def test_whatever_is_kept_and_passes_is_right(changes: list[tuple[int, int, str]]) -> None:
    """Values beside entries that were changed."""
    personal = {"email": "ada@example.com", "n": [1, 0], "z": {"b": "x", "a": None}}
    first, second, third = entries(3, personal=personal)
    data = changed((second.personal or b"").decode(), changes)
    rows = [first, row_with(second, data), third]

    assert_right(rows, sifted(rows))

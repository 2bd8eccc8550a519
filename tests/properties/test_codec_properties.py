"""Bytes and values are two forms of one thing, for any JSON that there is."""

import json
import random
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rml.clock import RandomIds, epoch_micros, id_millis, parse_utc, utc_text
from rml.codec import INTEGER_MAX, canonical_json, compact_json, parse_json, plain

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
WHOLE = st.integers(-INTEGER_MAX, INTEGER_MAX)
DOUBLE = st.floats(allow_nan=False, allow_infinity=False)


# A double between these is written without point or exponent, and read back as an inexact integer.
READABLE = DOUBLE.filter(lambda number: not INTEGER_MAX < abs(number) < 1e21)


def json_of(scalars: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """JSON values with these scalars at the ends."""
    return st.recursive(
        st.none() | st.booleans() | TEXT | scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
        max_leaves=15,
    )


def shuffled(value: Any, seed: int) -> Any:
    """The same value with the members of its objects in another order."""
    if isinstance(value, list):
        return [shuffled(item, seed) for item in value]
    if not isinstance(value, dict):
        return value
    names = sorted(value)
    random.Random(seed).shuffle(names)
    return {name: shuffled(value[name], seed) for name in names}


@given(json_of(WHOLE | READABLE))
def test_canonical_bytes_say_what_the_value_was(value: Any) -> None:
    """Reading gives the value back, and writing it again the same bytes."""
    data = canonical_json(value)

    assert value == parse_json(data) == json.loads(data)
    assert data == canonical_json(parse_json(data))


@given(json_of(WHOLE | DOUBLE), st.integers(0, 9))
def test_canonical_bytes_do_not_depend_on_the_order_of_members(value: Any, seed: int) -> None:
    """Equal values have equal bytes."""
    assert canonical_json(value) == canonical_json(shuffled(value, seed))


@given(json_of(WHOLE))
def test_without_fractions_the_form_is_python_s_own_sorted_by_utf_16(value: Any) -> None:
    """An encoder that shares no code with ours agrees on everything but the order of odd keys."""

    def ordered(item: Any) -> Any:
        if isinstance(item, list):
            return [ordered(one) for one in item]
        if not isinstance(item, dict):
            return item
        return {k: ordered(item[k]) for k in sorted(item, key=lambda k: k.encode("utf-16-be"))}

    expected = json.dumps(ordered(value), ensure_ascii=False, separators=(",", ":"))
    assert expected == canonical_json(value).decode()


@given(DOUBLE)
def test_a_double_survives_its_shortest_form(number: float) -> None:
    """No digit too few: the same double is read back."""
    assert number == float(canonical_json(number))


@given(json_of(WHOLE | DOUBLE))
def test_compact_bytes_keep_order_and_type(value: Any) -> None:
    """What is kept beside an entry comes back exactly as it was given."""
    assert json.dumps(value) == json.dumps(parse_json(compact_json(value)))


@given(json_of(WHOLE | st.decimals(allow_nan=False, allow_infinity=False) | st.dates()))
def test_plain_facts_are_canonical_and_stay_plain(value: Any) -> None:
    """A fact that was accepted can be recorded, and recording its record changes nothing."""
    made = plain(value)

    assert made == plain(made) == parse_json(canonical_json(made))


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_decimal_is_recorded_to_the_last_digit(amount: Decimal) -> None:
    """Trailing zeros and all: 19.90 is not 19.9."""
    assert amount.as_tuple() == Decimal(plain(amount)).as_tuple()


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31)), st.integers(-23 * 60, 23 * 60))
def test_a_moment_survives_its_text(naive: datetime, minutes: int) -> None:
    """Whatever zone it was told in, the same moment comes back, and texts sort as moments do."""
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    text = utc_text(moment)

    assert (moment, UTC) == (parse_utc(text), parse_utc(text).tzinfo)
    assert text == utc_text(parse_utc(text))
    assert utc_text(moment) < utc_text(moment + timedelta(microseconds=1))


@given(st.datetimes(datetime(1970, 1, 1), datetime(9998, 12, 31), timezones=st.just(UTC)))
def test_an_id_tells_its_milliseconds(moment: datetime) -> None:
    """Ids can be searched by time."""
    assert epoch_micros(moment) // 1000 == id_millis(RandomIds().new(moment))

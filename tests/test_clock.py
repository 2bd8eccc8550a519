"""Moments are aware UTC with one written form, clocks are told apart, and ids carry their time."""

import uuid
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest

from rml import FrozenClock, SystemClock
from rml.clock import RandomIds, SeededIds, epoch_micros, id_millis, parse_utc, utc_text

MOMENT = datetime(2026, 11, 20, 19, 0, 0, 123_456, tzinfo=UTC)
EAST = timezone(timedelta(hours=5, minutes=30))
WEST = timezone(timedelta(hours=-8))


@pytest.mark.parametrize(
    ("expected", "moment"),
    [
        ("2026-11-20T19:00:00.123456Z", MOMENT),
        ("2026-11-20T19:00:00.000000Z", MOMENT.replace(microsecond=0)),
        ("2026-11-20T19:00:00.123456Z", MOMENT.astimezone(EAST)),
        ("2026-11-20T19:00:00.123456Z", MOMENT.replace(tzinfo=timezone(timedelta(0), "WET"))),
        ("0001-01-01T00:00:00.000000Z", datetime.min.replace(tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999Z", datetime.max.replace(tzinfo=UTC)),
    ],
)
def test_a_moment_has_one_written_form(expected: str, moment: datetime) -> None:
    """UTC, six digits, a Z: whatever the offset it was told in, and it sorts as text."""
    assert expected == utc_text(moment)


def test_a_naive_time_is_not_written() -> None:
    """Nobody can say which moment a naive time is."""
    with pytest.raises(ValueError, match="has no timezone; give an aware datetime"):
        utc_text(datetime(2026, 11, 20))


@pytest.mark.parametrize(
    "moment", [datetime.min.replace(tzinfo=EAST), datetime.max.replace(tzinfo=WEST)]
)
def test_a_moment_outside_the_calendar_is_refused(moment: datetime) -> None:
    """The first and the last hours of the calendar may not exist in UTC."""
    with pytest.raises(ValueError, match="outside the years 1 to 9999"):
        utc_text(moment)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (MOMENT, "2026-11-20T19:00:00.123456Z"),
        (MOMENT, "2026-11-21T00:30:00.123456+05:30"),
        (MOMENT.replace(microsecond=0), "2026-11-20T19:00:00Z"),
        (MOMENT.replace(microsecond=0), "2026-11-20T19:00:00-00:00"),
    ],
)
def test_rfc_3339_text_is_read_as_utc(expected: datetime, text: str) -> None:
    """Any offset is understood, and what comes back is in UTC."""
    read = parse_utc(text)

    assert (expected, UTC) == (read, read.tzinfo)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-11-20",
        "2026-11-20T19:00:00",
        "2026-11-20T19:00:00.123456",
        "2026-13-20T19:00:00.123456Z",
        "0001-01-01T00:00:00+01:00",
    ],
)
def test_text_that_names_no_moment_is_refused(text: str) -> None:
    """No offset, no month 13, no year 0."""
    with pytest.raises(ValueError, match=r"offset|isoformat|month|outside"):
        parse_utc(text)


def test_the_system_clock_reads_aware_utc() -> None:
    """The wall clock knows its timezone, and the other one never goes back."""
    clock = SystemClock()
    readings = [clock.monotonic() for _ in range(100)]

    assert UTC == clock.now().tzinfo
    assert all(earlier <= later for earlier, later in pairwise(readings))


@pytest.mark.parametrize("step", [90, 90.0, timedelta(minutes=1.5)])
def test_advancing_moves_both_readings(step: float | timedelta) -> None:
    """Time passes for facts and for durations alike."""
    clock = FrozenClock("2026-11-20T19:00:00Z")

    clock.advance(step)

    assert ("2026-11-20T19:01:30.000000Z", 90.0) == (utc_text(clock.now()), clock.monotonic())


def test_setting_steps_the_wall_clock_alone() -> None:
    """A clock that is corrected, even backwards, makes no duration negative."""
    clock = FrozenClock("2026-11-20T19:00:00Z")
    clock.advance(5)

    clock.set("2026-11-20T18:00:00Z")

    assert ("2026-11-20T18:00:00.000000Z", 5.0) == (utc_text(clock.now()), clock.monotonic())


def test_a_frozen_clock_is_not_set_to_a_naive_time() -> None:
    """It would silently be read in the zone of whatever machine the test runs on."""
    clock = FrozenClock()

    with pytest.raises(ValueError, match="has no timezone"):
        FrozenClock(datetime(2026, 11, 20))
    with pytest.raises(ValueError, match="has no timezone"):
        clock.set(datetime(2026, 11, 20))

    assert "2026-01-01T00:00:00.000000Z" == utc_text(clock.now())


def test_microseconds_do_not_pass_through_a_float() -> None:
    """A float would be off by one in the year 9999."""
    assert 253_402_300_799_999_999 == epoch_micros(datetime.max.replace(tzinfo=UTC))
    assert -1 == epoch_micros(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC))


@pytest.mark.parametrize("ids", [RandomIds(), SeededIds(7)])
def test_an_id_is_a_uuid_7_of_its_moment(ids: RandomIds | SeededIds) -> None:
    """Version, variant and milliseconds stand where RFC 9562 puts them."""
    made = uuid.UUID(ids.new(MOMENT))

    assert (7, uuid.RFC_4122) == (made.version, made.variant)
    assert 1_795_201_200_123 == made.int >> 80 == id_millis(str(made))


def test_the_milliseconds_of_the_rfc_s_own_id() -> None:
    """The UUIDv7 of RFC 9562, appendix A.6."""
    assert 1_645_557_742_000 == id_millis("017f22e2-79b0-7cc3-98c4-dc0c0c07398f")


def test_ids_sort_by_time_even_within_a_millisecond() -> None:
    """The bits after the milliseconds hold their fraction."""
    ids = RandomIds()
    made = [ids.new(MOMENT + timedelta(microseconds=i)) for i in range(0, 2_000, 7)]

    assert sorted(made) == made


def test_ids_of_one_moment_differ() -> None:
    """A frozen clock does not make two entries one."""
    ids = RandomIds()

    assert 1_000 == len({ids.new(MOMENT) for _ in range(1_000)})


def test_a_seed_gives_the_same_ids_again() -> None:
    """A rehearsal prints the same text twice."""
    first, second, other = SeededIds(1), SeededIds(1), SeededIds(2)
    expected = [first.new(MOMENT) for _ in range(5)]

    assert expected == [second.new(MOMENT) for _ in range(5)]
    assert expected != [other.new(MOMENT) for _ in range(5)]

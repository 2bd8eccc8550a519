"""What time it is, how it is written down, and the ids that carry it.

Every reading of time in the library goes through a :class:`Clock`, so tests move time by hand and
never sleep. Moments are timezone-aware UTC; their one written form is RFC 3339 with six digits and
``Z``, which sorts as text.
"""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from rml.entropy import random_bytes
from rml.error import InvalidInputError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# The byte of a UUID that begins with its variant, by its other six bits.
_VARIANTS: Final = tuple(f"{0x80 | bits:02x}" for bits in range(64))
_MICROSECOND: Final = timedelta(microseconds=1)
_TEXT_LENGTH: Final = len("2026-11-20T19:00:00.000000Z")


class Clock(Protocol):
    """Where the library reads time from: a wall clock for facts, a monotonic one for durations."""

    def now(self) -> datetime:
        """Return the present moment as an aware UTC datetime."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back, from an arbitrary start."""
        ...


class IdSource(Protocol):
    """Where the ids of entries come from."""

    def new(self, at: datetime) -> str:
        """Return a new UUIDv7 whose millisecond part is that of ``at``."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        """Return the system's wall clock as aware UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return ``time.monotonic()``, in seconds."""
        return time.monotonic()


class FrozenClock:
    """A clock that moves only when told to, for tests and rehearsals.

    Both readings advance together; :meth:`set` moves only the wall clock, as a stepping system
    clock does.
    """

    def __init__(self, start: datetime | str = "2026-01-01T00:00:00.000000Z") -> None:
        self._now = _moment(start)
        self._monotonic = 0.0

    def now(self) -> datetime:
        """Return the moment the clock was last moved to."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds advanced so far."""
        return self._monotonic

    def advance(self, by: float | timedelta) -> None:
        """Move both readings forward by ``by`` (seconds, or a timedelta).

        Raises:
            InvalidInputError: it is neither, or leads beyond the years 1 to 9999.
        """
        try:
            step = by if isinstance(by, timedelta) else timedelta(seconds=by)
            now = self._now + step
        except (TypeError, ValueError, OverflowError):
            way_out = "give seconds or a timedelta that stays within the years 1 to 9999"
            raise InvalidInputError.about("by", by, way_out) from None
        self._now = now
        self._monotonic += step.total_seconds()

    def set(self, to: datetime | str) -> None:
        """Step the wall clock to ``to``, forwards or back; the monotonic reading stays.

        Raises:
            InvalidInputError: it is no aware datetime, nor the text of one.
        """
        self._now = _moment(to)


def _moment(told: object) -> datetime:
    try:
        if isinstance(told, datetime):
            return parse_utc(utc_text(told))
        if isinstance(told, str):
            return parse_utc(str.__str__(told))
    except ValueError as error:
        raise InvalidInputError(str(error)) from None
    way_out = "give an aware datetime, or its text such as '2026-11-20T19:00:00Z'"
    raise InvalidInputError.about("the clock's time", told, way_out)


class RandomIds:
    """UUIDv7 ids (RFC 9562, section 5.7).

    The twelve bits after the milliseconds hold their fraction (section 6.2, method 3).
    """

    def new(self, at: datetime) -> str:
        """Return a new id for the moment ``at``."""
        return _uuid7(at, random_bytes(8))


class SeededIds:
    """The same ids from a seeded generator: a rehearsal that prints the same text twice."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311 - ids for rehearsals, not secrets

    def new(self, at: datetime) -> str:
        """Return the next id of the sequence for the moment ``at``."""
        return _uuid7(at, self._random.getrandbits(64).to_bytes(8, "big"))


def _uuid7(at: datetime, entropy: bytes) -> str:
    """Return the id of a moment, with 62 of 64 random bits."""
    millis, fraction = divmod(epoch_micros(at), 1000)
    time = (millis & 0xFFFFFFFFFFFF) << 16 | 0x7000 | fraction * 4096 // 1000
    left, right = time.to_bytes(8, "big").hex(), entropy.hex()
    variant = _VARIANTS[entropy[0] & 0x3F]
    return f"{left[:8]}-{left[8:12]}-{left[12:]}-{variant}{right[2:4]}-{right[4:]}"


def id_millis(entry_id: str) -> int:
    """Return the Unix milliseconds inside a UUIDv7 (RFC 9562, section 5.7)."""
    return int(entry_id[:8] + entry_id[9:13], 16)


def epoch_micros(moment: datetime) -> int:
    """Return whole microseconds since 1970-01-01T00:00:00Z, without passing through a float."""
    return (moment - _EPOCH) // _MICROSECOND


def utc_text(moment: datetime) -> str:
    """Write an aware datetime as RFC 3339 UTC with six digits: ``2026-11-20T19:00:00.000000Z``.

    Raises:
        ValueError: ``moment`` has no timezone, so nobody can say which moment it is, or it lies
            outside the years 1 to 9999.
    """
    if moment.tzinfo is UTC:
        return moment.isoformat("T", "microseconds")[:26] + "Z"
    try:
        offset = moment.utcoffset()
    except Exception as error:  # a timezone of somebody's own may raise anything
        message = f"the time's timezone does not say its offset ({type(error).__name__})"
        raise ValueError(message) from error
    if offset is None:
        message = f"the time {moment.isoformat()} has no timezone"
        raise ValueError(f"{message}; give an aware datetime, such as datetime.now(UTC)")
    if offset:
        moment = _in_utc(moment)
    return moment.isoformat(timespec="microseconds")[:26] + "Z"


def parse_utc(text: str) -> datetime:
    """Read RFC 3339 text with an explicit offset as an aware UTC datetime.

    The inverse of :func:`utc_text`.

    Raises:
        ValueError: the text is no RFC 3339 time, or it has no offset.
    """
    if len(text) == _TEXT_LENGTH and text.endswith("Z"):
        return datetime.fromisoformat(text)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        message = f"the time {text!r} has no offset; end it with Z or +00:00"
        raise ValueError(message)
    return _in_utc(moment)


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        message = f"the time {moment.isoformat()} lies outside the years 1 to 9999 in UTC"
        raise ValueError(message) from None

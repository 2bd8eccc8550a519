"""One thing that one source tells: when it was, what it says, and what it says it about.

A line that cannot be read is named and left out. It never ends the reading: at three in the morning
nine hundred good lines are worth more than one bad one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Any, Final

import attrs

from rml.world import World

# Of one line of a log: a message, not a dump.
LINE_BYTES_MAX: Final = 1_048_576
# Of what is shown of a message.
TEXT_CHARACTERS_MAX: Final = 500
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# A number of seconds since 1970 has ten digits in this century; more are of a smaller unit.
_UNITS: Final = ((10**11, 1), (10**14, 10**3), (10**17, 10**6), (10**20, 10**9))


class SourceKind(StrEnum):
    """Where something is told."""

    LEDGER = "ledger"
    LOG = "log"
    SPAN = "span"


class UnreadableError(Exception):
    """Why a line cannot be read; it never leaves the reading."""


@attrs.frozen
class Skipped:
    """A line that could not be read: where it stands, and why."""

    where: str
    reason: str


@attrs.frozen(kw_only=True)
class Happening:
    """What one source tells.

    Attributes:
        at: when it happened.
        until: when it was over, if it took a while.
        world: in which world.
        type: what the source calls it: a level, ``span``, a kind.
        text: what it says.
        kind: what kind of source it is.
        where: its file and line, or the id of the ledger's entry.
        trace: the hex id of the trace (W3C Trace Context) that it belongs to.
        span: the hex id of the span.
        effect: the effect that it names.
        operation: the operation that it names.
        key: the idempotency key that it names.
        facts: the other plain values that it tells, by name.
    """

    at: datetime
    until: datetime | None = None
    world: World
    type: str
    text: str
    kind: SourceKind
    where: str
    trace: str | None = None
    span: str | None = None
    effect: str | None = None
    operation: str | None = None
    key: str | None = None
    facts: Mapping[str, Any] = attrs.field(factory=dict, repr=False)

    @property
    def file(self) -> str:
        """The source without the line."""
        return self.where.rpartition(":")[0]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-like data, without its facts."""
        names = ("at", "until", "world", "type", "text", "kind", "where", "trace", "span", "effect")
        return {name: getattr(self, name) for name in names}


# Names under which sources say what they are about; the first that is there counts.
_EFFECT: Final = ("rml.effect", "effect", "effect_id")
_OPERATION: Final = ("rml.operation", "operation")
_KEY: Final = ("rml.key", "idempotency_key")
_WORLD: Final = ("rml.world", "world")


def about(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what plain values say a happening is about, as fields of a :class:`Happening`."""
    return {
        "effect": _word(facts, _EFFECT),
        "operation": _word(facts, _OPERATION),
        "key": _word(facts, _KEY),
    }


def world_in(facts: Mapping[str, Any]) -> World | None:
    """Return the world that plain values name, if they do."""
    word = _word(facts, _WORLD)
    return World(word) if word in list(World) else None


def _word(facts: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    told = (facts[name] for name in names if name in facts)
    return next((one for one in told if isinstance(one, str) and one), None)


def shortened(text: str) -> str:
    """Return a message as one line of a timeline."""
    line = " ".join(text.split())
    return line if len(line) <= TEXT_CHARACTERS_MAX else f"{line[:TEXT_CHARACTERS_MAX]}..."


def parsed(line: bytes) -> dict[str, Any]:
    """Return a line's JSON object.

    Raises:
        UnreadableError: it is none.
    """
    try:
        read = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise UnreadableError("it is no UTF-8") from None
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", type(error).__name__)
        raise UnreadableError(f"it is no JSON: {reason}") from None
    if not isinstance(read, dict):
        raise UnreadableError("it is no JSON object")
    return read


def moment_of(told: object, zone: tzinfo | None) -> datetime:
    """Return a moment for its text, or for a number of seconds, or of parts of one, since 1970.

    Args:
        told: what the source says.
        zone: where a time without a timezone was told, if that is known.

    Raises:
        UnreadableError: it is no moment, or has no timezone.
    """
    try:
        if isinstance(told, str):
            moment = datetime.fromisoformat(told.strip())
        elif isinstance(told, int | float) and not isinstance(told, bool):
            unit = next(unit for limit, unit in _UNITS if abs(told) < limit)
            whole = told * 10**6 // unit if isinstance(told, int) else round(told * 10**6 / unit)
            return moment_at(whole)
        else:
            raise UnreadableError("its time is neither text nor a number")
        if moment.tzinfo is None and zone is None:
            raise UnreadableError("its time has no timezone; say which it is with zone=")
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError, StopIteration):
        raise UnreadableError(f"its time {str(told)[:40]!r} is no moment") from None


def moment_at(micros: int) -> datetime:
    """Return the moment so many microseconds after 1970-01-01T00:00:00Z.

    Raises:
        UnreadableError: it lies outside the years 1 to 9999.
    """
    try:
        return _EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        raise UnreadableError("its time lies outside the years 1 to 9999") from None

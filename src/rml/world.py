"""The words on every error and entry: which world, what to do next, how bad.

A *world* says where the effect of an operation exists: nobody outside can see it (RML1), somebody
else shares the outcome (RML2), or it is history shared by several parties (RML3). The widest world
wins: `widest` is commutative, associative and idempotent, and never returns less than it was given.

Values are read in any usual spelling and written in one::

    >>> World("RML-3") is World("rml3") is World.RML3
    True
    >>> str(World.RML3), World.RML1 < World.RML3
    ('RML3', True)
"""

from contextlib import suppress
from enum import StrEnum
from types import MappingProxyType
from typing import Self, TypeVar

__all__ = [
    "DEFAULT_ACTION",
    "LEGAL_ACTIONS",
    "Action",
    "Severity",
    "World",
    "check_pair",
    "legal",
    "widest",
]


class _Spelled(StrEnum):
    """Text values read in several spellings and written in one."""

    @classmethod
    def _normal(cls, text: str) -> str:
        return text.lower().replace("_", "-")

    @classmethod
    def _missing_(cls, value: object) -> Self:
        if isinstance(value, str):
            normal = cls._normal(value)
            for member in cls:
                if cls._normal(member.value) == normal:
                    return member
        raise ValueError(_no_spelling(cls, value))


M = TypeVar("M", bound=StrEnum)


def member_of(kind: type[M], value: object) -> M:
    """Return the member that a value spells; text is read, and nothing else is asked of a value.

    The class itself compares with, hashes and shows whatever it is given, which may raise anything.

    Raises:
        ValueError: it spells none; the message lists the legal ones.
    """
    if type(value) is kind:
        return value
    if isinstance(value, str):
        with suppress(ValueError):
            return kind(str.__str__(value))
    raise ValueError(_no_spelling(kind, value))


def _no_spelling(kind: type[StrEnum], value: object) -> str:
    plain = value is None or type(value) in {bool, float} or isinstance(value, str)
    plain = plain or (type(value) is int and abs(value) < 10**80)
    shown = repr(value) if plain else type(value).__name__
    words = ", ".join(member.value for member in kind)
    return f"{shown:.80} is not one of the {kind.__name__} spellings; use {words}"


class _Ordered(_Spelled):
    """Text values ordered by where they stand in their class, not by the alphabet."""

    @property
    def _rank(self) -> int:
        return list(type(self)).index(self)

    def _rank_of(self, other: object) -> int:
        try:
            return member_of(type(self), other)._rank  # noqa: SLF001 - of the same class
        except ValueError:
            kinds = f"{type(self).__name__} and {type(other).__name__}"
            raise TypeError(f"{kinds} have no common order; compare two of one kind") from None

    def __lt__(self, other: object) -> bool:
        return self._rank < self._rank_of(other)

    def __le__(self, other: object) -> bool:
        return self._rank <= self._rank_of(other)

    def __gt__(self, other: object) -> bool:
        return self._rank > self._rank_of(other)

    def __ge__(self, other: object) -> bool:
        return self._rank >= self._rank_of(other)


class World(_Ordered):
    """Where an effect exists: `RML1` < `RML2` < `RML3`.

    Accepts `"RML3"`, `"RML-3"` and either in lower case; always written unhyphenated.

    Raises:
        ValueError: the spelling is none of these; the message lists the legal ones.
    """

    RML1 = "RML1"
    """The closed world: nothing can be observed from outside, so it can be thrown away."""
    RML2 = "RML2"
    """The dialog world: somebody else shares the outcome, so it takes a retry or a compensation."""
    RML3 = "RML3"
    """The history world: several parties rely on it, so it is only ever added to."""

    @classmethod
    def _normal(cls, text: str) -> str:
        upper = text.upper()
        return "RML" + upper[4:] if upper.startswith("RML-") else upper


class Action(_Spelled):
    """What the receiver of an error is asked to do next.

    Raises:
        ValueError: the spelling is unknown; the message lists the legal ones.
    """

    HANDLE_LOCALLY = "handle-locally"
    """Nothing left the room: deal with it here. This word is the library's own (RML1)."""
    RETRY_WITH_BACKOFF = "retry-with-backoff"
    """Try again later, under the same idempotency key."""
    START_COMPENSATION = "start-compensation"
    """It will not succeed: undo the steps before it by new effects, newest first."""
    ESCALATE_HISTORY = "escalate-history"
    """It is history now: nothing repairs it silently, people decide (RML3)."""


class Severity(_Ordered):
    """How bad one error is: `info` < `warning` < `error` < `critical`.

    An incident's severity (SEV-1 and the like) is another scale and another type.

    Raises:
        ValueError: the spelling is unknown; the message lists the legal ones.
    """

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


LEGAL_ACTIONS = MappingProxyType(
    {
        World.RML1: frozenset({Action.HANDLE_LOCALLY, Action.RETRY_WITH_BACKOFF}),
        World.RML2: frozenset({Action.RETRY_WITH_BACKOFF, Action.START_COMPENSATION}),
        World.RML3: frozenset({Action.ESCALATE_HISTORY}),
    }
)
"""Which actions each world allows. History is neither retried nor undone, so RML3 has one."""

DEFAULT_ACTION = MappingProxyType(
    {
        World.RML1: Action.HANDLE_LOCALLY,
        World.RML2: Action.RETRY_WITH_BACKOFF,
        World.RML3: Action.ESCALATE_HISTORY,
    }
)
"""The action an error of each world carries when nothing else is said."""


def widest(*worlds: World) -> World:
    """Return the widest of the worlds; `World.RML1`, which widens nothing, when there are none."""
    return max(worlds, default=World.RML1)


def legal(world: World, action: Action) -> bool:
    """Return whether an error of this world may carry this action."""
    return action in LEGAL_ACTIONS[world]


def check_pair(world: World, action: Action) -> None:
    """Refuse a world and an action that contradict each other.

    Raises:
        ValueError: the pair is illegal; the message names the actions the world allows, and the
            worlds that allow the action.
    """
    if legal(world, action):
        return
    actions = " or ".join(f"{a.value!r}" for a in Action if legal(world, a))
    worlds = " or ".join(w.value for w in World if legal(w, action))
    raise ValueError(
        f"{world.value} cannot carry {action.value!r}: give it {actions}, or raise it in {worlds}"
    )

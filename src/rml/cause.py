"""What led to an error, kept by value: type, message, code and world of each cause, all bounded.

Pickling, copying and process pools lose `__cause__` and `__context__`, so an error carries its
causes as values. Two walks read the live chain, and both survive what chains really contain:
cycles, groups inside groups, thousands of links, exceptions whose `str()` raises. One lists causes
for people and stops early; the other looks for the widest world and goes on, also past `from None`.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from itertools import accumulate, islice
from typing import Any, ClassVar, Final

import attrs

from rml.world import DEFAULT_ACTION, Action, World, legal, member_of, widest

CAUSE_WIDTH_MAX: Final = 16
"""Members looked at in one group: a group of thousands repeats itself."""
CAUSES_MAX: Final = 32
"""Causes kept on one error, nearest first, so also how deep a chain is listed: a longer one
re-raises in a loop, and its near end explains it. At the limits below they fill 24 KiB at most."""
CAUSE_DEPTH_MAX: Final = 32
"""Links followed to learn what happened."""
CAUSE_MESSAGE_BYTES_MAX: Final = 512
"""Of one cause's message: room for a sentence; logs have the rest."""
NAME_BYTES_MAX: Final = 160
"""Of a class's dotted name, or of a code read from elsewhere."""
CHAIN_MAX: Final = 10_000
"""Exceptions searched for the widest world. What lies beyond is unknown, and unknown is RML3."""

# How a process pool hands over the other side's traceback: text dressed as a cause.
_TRACEBACK_CARRIERS: Final = frozenset(
    {
        "concurrent.futures.process._RemoteTraceback",
        "multiprocessing.pool.RemoteTraceback",
        "billiard.pool.RemoteTraceback",
    }
)


class Tagged:
    """What the walks read from the library's own errors, which are defined further up.

    Attributes:
        code: the error's code.
        world: its world, as widened by what is behind it.
        own_world: its world as it was built, before anything live is looked at.
        own_action: its action as it was built.
        kept_causes: the causes it brought along from another process or from storage.
        tags: the other tags it was built with; `happened` only if it was stated.
    """

    __slots__ = ()
    code: ClassVar[str]
    world: ClassVar[World]
    tags: Mapping[str, Any]
    own_world: World
    own_action: Action
    kept_causes: "tuple[Cause, ...]"


@attrs.frozen
class Cause:
    """One exception behind an error, as values.

    Attributes:
        type: the dotted name of its class; builtins stand without their module.
        message: its text, at most `CAUSE_MESSAGE_BYTES_MAX` bytes.
        code: its code, if it is one of the library's errors.
        world: its world, if it is one of the library's errors.
    """

    type: str
    message: str = ""
    code: str | None = None
    world: World | None = None

    @classmethod
    def of(cls, exc: BaseException) -> "Cause":
        """Return the values of an exception, whatever its own `str()` does."""
        message = clip(text_of(exc), CAUSE_MESSAGE_BYTES_MAX)
        if isinstance(exc, Tagged):
            return cls(type_name(type(exc)), message, exc.code, exc.world)
        return cls(type_name(type(exc)), message)

    def to_dict(self) -> dict[str, str]:
        """Return the cause as JSON data; `code` and `world` only if it has them."""
        values = {"type": self.type, "message": self.message}
        if self.code is not None:
            values["code"] = self.code
        if self.world is not None:
            values["world"] = self.world.value
        return values

    @classmethod
    def from_dict(cls, values: object) -> "Cause | None":
        """Return the cause that `to_dict` wrote, or None if this is none; never fails."""
        if not isinstance(values, Mapping):
            return None
        name, message, code = (values.get(key) for key in ("type", "message", "code"))
        if not isinstance(name, str):
            return None
        return cls(
            type=clip(name, NAME_BYTES_MAX),
            message=clip(message, CAUSE_MESSAGE_BYTES_MAX) if isinstance(message, str) else "",
            code=clip(code, NAME_BYTES_MAX) if isinstance(code, str) else None,
            world=_world_or_none(values.get("world")),
        )


def walk_causes(exc: BaseException) -> Iterator[Cause]:
    """Yield what led to an exception, nearest first, each exception once.

    Follows `__cause__`, else `__context__` unless `from None` hid it; the members of groups; and
    the causes an error brought along from another process. Bounded by `CAUSE_WIDTH_MAX` and
    `CAUSES_MAX`.
    """
    return islice(_walk(exc), CAUSES_MAX)


def _walk(exc: BaseException) -> Iterator[Cause]:
    seen = {id(exc)}
    waiting = deque(_shown_behind(exc))
    while waiting:
        node = waiting.popleft()
        if isinstance(node, Cause):
            yield node
        elif id(node) not in seen:
            seen.add(id(node))
            if not is_traceback_carrier(node):
                yield Cause.of(node)
            waiting.extend(_shown_behind(node))


def is_traceback_carrier(exc: BaseException) -> bool:
    """Return whether an exception is only the text of another process's traceback."""
    return type_name(type(exc)) in _TRACEBACK_CARRIERS


def _shown_behind(exc: BaseException) -> Iterator[BaseException | Cause]:
    if isinstance(exc, BaseExceptionGroup):
        yield from exc.exceptions[:CAUSE_WIDTH_MAX]
    if exc.__cause__ is not None:
        yield exc.__cause__
    elif exc.__context__ is not None and not exc.__suppress_context__:
        yield exc.__context__
    if isinstance(exc, Tagged):
        yield from exc.kept_causes


def widest_behind(*starts: BaseException | None) -> tuple[World, Action]:
    """Return the widest world and the weightiest action among exceptions and all behind them.

    Exceptions that carry no world widen nothing. `from None` hides a context from readers, not its
    world. A chain longer than `CHAIN_MAX` counts as RML3.
    """
    world, action = World.RML1, Action.HANDLE_LOCALLY
    for count, node in enumerate(live_chain(*starts)):
        if isinstance(node, Tagged):
            world, action = widest(world, node.own_world), weightiest(action, node.own_action)
        if world is World.RML3 or count >= CHAIN_MAX:
            return World.RML3, Action.ESCALATE_HISTORY
    return world, action


def live_chain(*starts: BaseException | None) -> Iterator[BaseException]:
    """Yield exceptions and all that is linked behind them, each once, whoever hid it."""
    waiting = deque(start for start in starts if start is not None)
    seen: set[int] = set()
    while waiting:
        node = waiting.popleft()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if isinstance(node, BaseExceptionGroup):
            waiting.extend(node.exceptions)
        waiting.extend(e for e in (node.__cause__, node.__context__) if e is not None)


def widened(world: World, action: Action, *behind: BaseException | None) -> tuple[World, Action]:
    """Return a world and its action as what is behind them widens it.

    A world that is not widened keeps its action; one that is takes the action of what widened it.
    """
    other_world, other_action = widest_behind(*behind)
    if other_world <= world:
        return world, action
    fits = legal(other_world, other_action)
    return other_world, other_action if fits else DEFAULT_ACTION[other_world]


def weightiest(*actions: Action) -> Action:
    """Return the action that forbids most: escalate, then compensate, then retry."""
    order = list(Action)
    return max(actions, key=order.index)


def type_name(klass: type) -> str:
    """Return the dotted name of a class, bounded; builtins stand without their module."""
    module = getattr(klass, "__module__", None)
    name = klass.__qualname__
    return clip(name if module in {"builtins", None} else f"{module}.{name}", NAME_BYTES_MAX)


def text_of(value: Any) -> str:
    """Return `str(value)`, or a note in its place if that raises."""
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a stranger's __str__ may raise anything
        return f"<{type(value).__qualname__} cannot be shown>"


def clip(text: str, bytes_max: int) -> str:
    """Return the text as valid UTF-8 that takes at most `bytes_max` bytes inside a JSON string.

    Lone surrogates become U+FFFD. What is cut off is marked by an ellipsis.
    """
    # An exact, short look first: a text of millions is cut before anything scans all of it.
    text = str.__str__(text)[: bytes_max + 1]
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if len(text) * 6 <= bytes_max or json_bytes(text) <= bytes_max:
        return text
    room = bytes_max - len("…".encode())
    kept = sum(total <= room for total in accumulate(map(json_bytes, text)))
    return text[:kept] + "…"


def json_bytes(text: str) -> int:
    """Return how many bytes a text of valid Unicode takes between the quotes of a JSON string."""
    short = sum(map(text.count, '"\\\b\t\n\f\r'))
    control = sum(map(text.count, _LONG_ESCAPES))
    return len(text.encode()) + short + 5 * control


_LONG_ESCAPES: Final = [chr(n) for n in range(32) if chr(n) not in "\b\t\n\f\r"]


def _world_or_none(value: object) -> World | None:
    try:
        return member_of(World, value)
    except ValueError:
        return None

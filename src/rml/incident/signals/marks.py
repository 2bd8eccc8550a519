"""What a boundary needs to know of its inside: errors already recorded, and effects begun."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from contextvars import ContextVar, Token
from typing import Any, Final

from rml.error import HistoryError

# Of the effects begun inside a boundary, the newest: it may surround a worker that never ends.
BEGUN_MAX: Final = 1_000

# The attribute by which an exception is recognised at the next boundary: the incident it belongs
# to, or "".
_RECORDED: Final = "_rml_recorded"

Begun = deque[str]
_begun: ContextVar[tuple[Begun, ...]] = ContextVar("rml_begun_effects", default=())


def mark_recorded(error: BaseException, incident: str | None) -> None:
    """Remember on an exception that the ledger has it, for the boundaries further out."""
    with suppress(Exception):  # what takes no mark is recorded twice rather than lost
        BaseException.__setattr__(error, _RECORDED, incident or "")


def is_recorded(error: BaseException) -> bool:
    """Say whether the ledger has this very exception."""
    return _read(error, _RECORDED) is not None


def _read(error: BaseException, name: str) -> Any:
    """Return an attribute or ``None``, past whatever the exception's class does when it is read."""
    try:
        return BaseException.__getattribute__(error, name)
    except Exception:  # noqa: BLE001 - not there
        return None


def incident_of(error: BaseException) -> str | None:
    """Return the incident to which an exception belongs by what it wraps or groups, if it is known.

    What is raised ``from`` a recorded exception is the same problem, and so is what else goes
    wrong while it is being handled, unless that declares itself history.
    """
    seen: set[int] = set()
    node: BaseException | None = error
    while node is not None and id(node) not in seen:
        seen.add(id(node))
        incident = _read(node, _RECORDED)
        if incident:
            return str(incident)
        if issubclass(type(node), BaseExceptionGroup):
            members = [incident_of(member) for member in _read(node, "exceptions") or ()]
            if members and all(members):
                return members[0]
        cause = _read(node, "__cause__")
        news = issubclass(type(node), HistoryError)
        node = cause if cause is not None or news else _read(node, "__context__")
    return None


def note_begun(effect: str) -> None:
    """Tell the surrounding boundaries, if there are any, that an effect has begun inside them."""
    for begun in _begun.get():
        begun.append(effect)


def enter() -> tuple[Begun, Token[tuple[Begun, ...]]]:
    """Begin to collect the effects that begin from here on."""
    begun: Begun = deque(maxlen=BEGUN_MAX)
    return begun, _begun.set((*_begun.get(), begun))


def innermost() -> Begun | None:
    """Return the collection of the innermost boundary of this context."""
    return next(reversed(_begun.get()), None)


def leave(token: Token[tuple[Begun, ...]]) -> None:
    """Stop collecting."""
    with suppress(ValueError):  # left in another context than it was entered in
        _begun.reset(token)

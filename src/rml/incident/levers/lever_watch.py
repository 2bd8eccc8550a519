"""What this process knows of a ledger's levers: looked up when it is asked, once a second at most.

A look costs two small queries. What it saw holds from the moment at which it began, so a lever that
was pulled anywhere stops every call that begins a second later; one pulled in this process stops
the next call. Where the ledger cannot be read, the last look counts a little longer, and then
nothing that may become history is begun.

There is no lock and no thread: two threads may look at once, and whichever look is kept holds for
as long as it says itself. So nothing here can be left behind by a fork.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final
from weakref import WeakKeyDictionary

import attrs

from rml.incident.levers.lever import (
    PULLED,
    RELEASED,
    LeverStates,
    LeverUnreadableError,
    Standing,
)
from rml.ledger.draft import Draft
from rml.ledger.entry import Entry
from rml.ledger.ledger import Ledger

# How old what is known may be, in seconds, before the ledger is asked again.
LOOK_SECONDS: Final = 1.0
# How old it may be where the ledger cannot be read.
BLIND_SECONDS_MAX: Final = 5.0

_log = logging.getLogger("rml")


@attrs.frozen
class _Seen:
    """What one look saw; ``after`` are the indexes up to which pulls and releases were read."""

    began: float
    moves: int
    states: LeverStates
    standing: Standing
    after: tuple[int, int]


_NOTHING: Final = _Seen(float("-inf"), -1, LeverStates(), Standing(), (-1, -1))
_seen: WeakKeyDictionary[Ledger, _Seen] = WeakKeyDictionary()
# When it was last logged that a ledger's levers cannot be read.
_warned: WeakKeyDictionary[Ledger, float] = WeakKeyDictionary()
# How often levers were moved in this process: what was seen before the last move is out of date.
_moves = [0]


def note_moved() -> None:
    """Have every next call in this process look again."""
    _moves[0] += 1


def is_known(ledger: Ledger, look: float = LOOK_SECONDS) -> bool:
    """Say whether a call can be answered without asking the ledger."""
    return _fresh(ledger, look) is not None


def standing(
    ledger: Ledger,
    operation: str,
    *,
    look: float = LOOK_SECONDS,
    blind: float | None = BLIND_SECONDS_MAX,
) -> Standing:
    """Return the levers that are pulled, as far as an operation that is about to begin may know.

    Args:
        ledger: where levers are recorded.
        operation: what is about to begin, for the message.
        look: how old, in seconds, what is known may be before the ledger is asked again.
        blind: how old it may be where the ledger cannot be read; ``None`` for any age.

    Raises:
        LeverUnreadableError: the ledger could not be read for too long.
    """
    seen = _fresh(ledger, look) or _looked(ledger, operation, blind)
    return seen.standing


def standing_in(draft: Draft, ledger: Ledger, look: float = LOOK_SECONDS) -> Standing:
    """Return the levers that are pulled, as a commit in the making sees them.

    Its turn to write may have been long in coming. What it sees may come to nothing, so it is not
    kept.
    """
    known = _fresh(ledger, look)
    return (known or _look(draft, ledger, _seen.get(ledger) or _NOTHING)).standing


def _fresh(ledger: Ledger, look: float) -> _Seen | None:
    seen = _seen.get(ledger)
    if seen is None or seen.moves != _moves[0]:
        return None
    return seen if 0 <= ledger.clock.monotonic() - seen.began < look else None


def _looked(ledger: Ledger, operation: str, blind: float | None) -> _Seen:
    known = _seen.get(ledger) or _NOTHING
    try:
        seen = _look(ledger, ledger, known)
    except Exception as error:
        age = ledger.clock.monotonic() - known.began
        if blind is not None and age > blind:
            raise LeverUnreadableError(
                f"{operation!r} is not begun: whether a lever is pulled could not be read for "
                f"more than {blind:g} seconds; nothing was done",
                details={"operation": operation},
            ) from error
        _warn(ledger, error)
        return known
    _seen[ledger] = seen
    return seen


def _warn(ledger: Ledger, error: Exception) -> None:
    """Log that the levers cannot be read, as often as they are looked at when they can be."""
    now = ledger.clock.monotonic()
    if now - _warned.get(ledger, float("-inf")) >= LOOK_SECONDS:
        _warned[ledger] = now
        _log.warning("the levers of %s cannot be read (%s)", ledger.origin, type(error).__name__)


def _look(reader: Ledger | Draft, ledger: Ledger, known: _Seen) -> _Seen:
    began, moves = ledger.clock.monotonic(), _moves[0]
    read = dict(zip((PULLED, RELEASED), known.after, strict=True))
    new = [entry for kind, after in read.items() for entry in _recorded(reader, kind, after)]
    states = known.states.told(new) if new else known.states
    for entry in new:
        read[entry.kind] = max(read[entry.kind], entry.index or 0)
    standing = Standing(states.pulled) if new else known.standing
    return _Seen(began, moves, states, standing, (read[PULLED], read[RELEASED]))


def _recorded(reader: Ledger | Draft, kind: str, after: int) -> Iterable[Entry]:
    return reader.entries(kind=kind, after=after) if after >= 0 else reader.entries(kind=kind)

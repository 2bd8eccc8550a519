"""What one request left behind: effects, the errors that it met, incidents that it led to.

A request is named by its correlation id. What was recorded in it counts, and what became of its
effects later, whoever recorded that.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs

from rml.effect.state import Effect
from rml.ledger.entry import Entry
from rml.ledger.ledger import Ledger

_ERRORS: Final = "error."


@attrs.frozen(kw_only=True)
class Trail:
    """One request from end to end.

    Attributes:
        correlation: its id.
        effects: its effects, as they stand now.
        errors: the entries of errors that crossed a boundary in it.
        incidents: the ids of the incidents that it, or the doubt of an effect of it, belongs to.
        entries: all that was recorded in it, and all of its effects, in index order.
    """

    correlation: str
    effects: tuple[Effect, ...]
    errors: tuple[Entry, ...]
    incidents: tuple[str, ...]
    entries: tuple[Entry, ...]


def trail_of(ledger: Ledger, correlation: str) -> Trail:
    """Return what a request left behind; a request of which nothing is known left nothing.

    Raises:
        InvalidInputError: no correlation id can be like this.
    """
    own = list(ledger.entries(correlation=correlation))
    ids = dict.fromkeys(entry.effect for entry in own if entry.effect is not None)
    effects = [effect for effect in map(ledger.look, ids) if effect is not None]
    later = (entry for one in ids for entry in ledger.entries(effect=one))
    entries = _in_order([*own, *later])
    told = [*(entry.incident for entry in entries), *(effect.incident for effect in effects)]
    return Trail(
        correlation=correlation,
        effects=tuple(effects),
        errors=tuple(entry for entry in entries if entry.kind.startswith(_ERRORS)),
        incidents=tuple(dict.fromkeys(one for one in told if one is not None)),
        entries=entries,
    )


def _in_order(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    once = {entry.id: entry for entry in entries}
    return tuple(sorted(once.values(), key=lambda entry: entry.index or 0))

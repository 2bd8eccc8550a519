"""Which values beside entries may be gone, because an entry says so.

A ``payload.erased`` entry names fields of one entry. A ``payload.pruned`` entry has the facts
``below``, an index, and ``kept``, the ids of what had not ended then: effects, and entries that
opened a pending. Values beside entries below the index are gone rightly, but for those that belong
to what was kept.
"""

from __future__ import annotations

from typing import Final, Protocol, Self

import attrs

from rml.ledger.entry import Entry

ERASED: Final = "payload.erased"
PRUNED: Final = "payload.pruned"
BELOW: Final = "below"
KEPT: Final = "kept"


class Placed(Protocol):
    """What a pruning asks of an entry."""

    @property
    def index(self) -> int | None:
        """Its place."""
        ...

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def effect(self) -> str | None:
        """The effect that it belongs to."""
        ...


@attrs.frozen
class Pruned:
    """What one pruning allows to be gone."""

    below: int
    kept: frozenset[str]

    @classmethod
    def by(cls, entry: Entry) -> Self | None:
        """Return what an entry allows to be gone; ``None`` if it is no pruning."""
        below, kept = entry.facts.get(BELOW), entry.facts.get(KEPT)
        if entry.kind != PRUNED or type(below) is not int or not isinstance(kept, list):
            return None
        if entry.index is None or below > entry.index:  # nothing that comes after it
            return None
        return cls(below, frozenset(str(name) for name in kept))

    def covers(self, entry: Placed) -> bool:
        """Say whether the values beside an entry may be gone."""
        below = entry.index is not None and entry.index < self.below
        return below and entry.id not in self.kept and entry.effect not in self.kept

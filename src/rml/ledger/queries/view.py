"""A ledger as it stood once: after so many entries, or at a moment.

Entries are in the order of their indexes, and a clock may step back: a ledger stood *at a moment*
after the last entry that was recorded at this moment or before. So nothing that was recorded by
then is missing, and what stands before it belongs to it whatever its own time says. A clock that
steps back behind the moment later on makes the same question cover more; a number of entries always
covers the same.

Leases are not history. In a view, an attempt without a recorded outcome is *in flight*, for as long
as no entry says that it is in doubt. Nor does erasing spare a view: what is erased now is gone from
all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from rml.clock import utc_text
from rml.effect.state import Effect, told
from rml.error import InvalidInputError
from rml.ledger.content import check_aware
from rml.ledger.queries.asking import EFFECT_TYPES, LedgerAnswers, oldest_first
from rml.ledger.queries.cursor import checkpoint_at
from rml.ledger.queries.rows import Rows
from rml.ledger.queries.upcast import Upcasters
from rml.ledger.store import Query, Store


class LedgerView(LedgerAnswers):
    """A ledger as it stood after so many entries; :meth:`rml.Ledger.as_of` makes one.

    It answers what the ledger answers, from these entries alone, and stays the same while the
    ledger grows. An attempt without a recorded outcome is ``in_flight`` in it, and ``in_doubt``
    once an entry says so: how long its lease lasted is not history.
    """

    def __init__(self, store: Store, size: int, upcasters: Upcasters) -> None:
        self._store = store
        self._upcasters = upcasters
        self._before = size
        self.origin: str = store.origin
        self.size: int = size

    @property
    def root(self) -> str:
        """The hex root of the Merkle tree over these entries (RFC 6962, section 2.1)."""
        return checkpoint_at(self._store, self.size).root.hex()

    def look(self, effect_id: str) -> Effect | None:
        """Return where an effect stood, or ``None`` when nothing was promised under this id yet."""
        return told(list(self._store.select(Query(effect=effect_id, before=self.size))))

    def in_doubt(self) -> Rows[Effect]:
        """Return the effects of which an entry says that nobody knows, the oldest first."""

        def ask() -> Iterator[Effect]:
            doubts = self._store.select(Query(kind="effect.in_doubt", before=self.size))
            named = dict.fromkeys(entry.effect for entry in doubts if entry.effect)
            effects = [self.look(effect) for effect in named]
            return oldest_first([effect for effect in effects if effect is not None])

        return Rows(ask, Effect.to_dict, types=EFFECT_TYPES)

    def __repr__(self) -> str:
        return f"LedgerView(origin={self.origin!r}, size={self.size})"


def size_at(store: Store, point: object) -> int:
    """Return how many entries a ledger had, for their number or for a moment.

    Raises:
        InvalidInputError: the ledger has fewer entries, or the moment has no timezone.
    """
    if isinstance(point, datetime):
        return _size_at_moment(store, check_aware("point", point))
    size = store.head().size
    if type(point) is int and 0 <= point <= size:
        return point
    raise InvalidInputError.about(
        "point", point, f"give a moment, or a number of entries from 0 to {size}"
    )


def _size_at_moment(store: Store, moment: datetime) -> int:
    try:
        until = utc_text(moment + timedelta(microseconds=1))  # times are written in microseconds
    except (OverflowError, ValueError):  # the end of the calendar
        return store.head().size
    for entry in store.select(Query(until=until, newest_first=True, limit=1)):
        assert entry.index is not None, "a store selects what was sealed"
        return entry.index + 1
    return 0

"""What a process last saw of effects, on which a work may rest until the server says otherwise.

A call with a key is mostly the first one, and ends the attempt that it began itself. A work that
rests on this needs to ask nobody: the server is told what was supposed together with what is to be
recorded, and records it if that is so.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Final

import attrs

from rml.ledger.entry import Entry, Sealed
from rml.ledger.store import Lease
from rml.stores import postgres_rows as rows
from rml.stores.postgres_line import number

# A process has seldom more calls under way; of what is forgotten the server tells.
STANDINGS_MAX: Final = 10_000


@attrs.frozen
class Standing:
    """The rows of an effect's entries, none of which is ever removed, and its lease.

    ``told`` says that it is the server's answer to the work that rests on it.
    """

    rows: tuple[tuple[int | None, bytes, bytes | None], ...] = ()
    lease: Lease | None = None
    told: bool = False

    @classmethod
    def of(cls, effect: str, answer: Sequence[tuple[bytes | None, ...]]) -> Standing:
        """Return what the function ``decide`` answered."""
        (_, _, _, attempt, owner, until), *entries = answer
        lease = None
        if attempt is not None and owner is not None and until is not None:
            lease = Lease(effect, number(attempt), owner.decode(), until.decode())
        found = tuple(
            (None if index is None else number(index), data or b"", personal)
            for index, data, personal, *_ in entries
        )
        return cls(found, lease, told=True)

    def entries(self) -> list[Entry]:
        """Return the entries, in order."""
        return rows.read(self.rows)

    def with_more(self, entries: Sequence[Sealed], lease: Lease | None) -> Standing:
        """Return it with entries that were recorded, and the lease from then on."""
        more = ((None, entry.data, entry.personal) for entry in entries)
        return Standing((*self.rows, *more), lease)

    def decision(self, to: Lease | None, entries: Sequence[Sealed]) -> list[Any]:
        """Return what ``decide`` is told: what was seen, the lease to be, one entry or none."""
        entry = rows.one(entries[0]) if entries else rows.NO_ENTRY
        return [len(self.rows), *_told(self.lease), *_told(to), *entry]


_NEW: Final = Standing()


def _told(lease: Lease | None) -> tuple[int | None, str | None, str | None]:
    return (None, None, None) if lease is None else (lease.attempt, lease.owner, lease.until)


class Standings:
    """Those of the effects that this process saw last; safe to share between threads."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._known: dict[str, Standing | None] = {}

    def __contains__(self, effect: str) -> bool:
        """Say whether an effect is known to be there."""
        return effect in self._known

    def get(self, effect: str) -> Standing | None:
        """Return what was seen; nothing of what ended; what is not known is supposed to be new."""
        return self._known.get(effect, _NEW)

    def keep(self, effect: str, standing: Standing | None) -> None:
        """Keep what was seen, or that the effect ended, rather than what was seen longest ago."""
        with self._mutex:
            self._known[effect] = standing
            if len(self._known) > STANDINGS_MAX:
                del self._known[next(iter(self._known))]

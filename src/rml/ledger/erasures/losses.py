"""What is gone beside entries, and whether the ledger says that it may be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

import attrs

from rml.error import RmlError
from rml.ledger.checks.verification import Problem
from rml.ledger.entry import Entry
from rml.ledger.erasures.retention import ERASED, PRUNED, Pruned
from rml.ledger.store import Query, Verifiable

# Where so much is gone that nothing accounts for, the ledger is wrong, whatever is found later.
LOSSES_MAX: Final = 10_000


@attrs.frozen
class Loss:
    """Committed fields of an entry that nothing is kept of."""

    index: int
    id: str
    effect: str | None
    names: Sequence[str]


class Losses:
    """What is gone from a store, as far as nothing accounts for it."""

    def __init__(self, store: Verifiable) -> None:
        self._store = store
        self._prunings: list[Pruned] = []
        self._pruned_up_to = -1
        self._open: dict[tuple[str, str], Loss] = {}

    def look(self, losses: Sequence[Loss]) -> None:
        """Look for what accounts for some losses; it may have been recorded a moment ago."""
        if not losses:
            return
        with suppress(RmlError):  # an entry that cannot be read is found elsewhere
            for entry in self._store.select(Query(kind=PRUNED, after=self._pruned_up_to)):
                self._pruned_up_to = entry.index or 0
                self.account(entry)
        left = [loss for loss in losses if not any(one.covers(loss) for one in self._prunings)]
        if left and len(self._open) < LOSSES_MAX:
            self._open |= {(loss.id, name): loss for loss in left for name in loss.names}
            for data in self._store.erasures([loss.id for loss in left]):
                with suppress(RmlError):
                    self.account(Entry.from_bytes(data))

    def account(self, entry: Entry) -> None:
        """Take out what an entry accounts for, if it records an erasure or a pruning."""
        pruned = Pruned.by(entry)
        if pruned is not None and pruned not in self._prunings:
            self._prunings.append(pruned)
            gone = [key for key, loss in self._open.items() if pruned.covers(loss)]
            for key in gone:
                del self._open[key]
        fields = entry.facts.get("fields")
        if entry.kind == ERASED and entry.corrects and isinstance(fields, list):
            for name in fields:
                self._open.pop((entry.corrects, str(name)), None)

    def problems(self) -> Iterator[Problem]:
        """Yield a problem for each field that nothing accounts for."""
        for (entry, name), loss in self._open.items():
            detail = f"{name!r} is gone, and no erasure is recorded"
            yield Problem("personal", detail, loss.index, entry)

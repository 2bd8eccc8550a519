"""What shows an outsider the value behind a commitment: its salt, its name and the value.

An entry commits to each personal field by a salted digest (:mod:`rml.ledger.entry`). Whoever is
given salt and value computes the digest and compares; whoever is not can learn nothing from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from rml.codec import parse_json
from rml.error import InvalidInputError, RmlError
from rml.ledger.entry import Entry, commit
from rml.ledger.store import Store


@attrs.frozen
class Disclosure:
    """One personal field, disclosed."""

    name: str
    salt: str
    value: Any = attrs.field(repr=False)

    def opens(self, entry: Entry) -> bool:
        """Say whether this is what the entry commits to."""
        salt: object = self.salt
        if not isinstance(salt, str):  # it may come from a stranger's file
            return False
        try:
            return entry.commitments.get(self.name) == commit(salt, self.name, self.value)
        except RmlError:  # nothing that an entry could commit to
            return False


def disclose(store: Store, entry: Entry, names: Sequence[str]) -> list[Disclosure]:
    """Return what opens these fields of an entry.

    Raises:
        InvalidInputError: the entry has no such field, or it is erased.
    """
    assert entry.index is not None, "only what has been sealed has values beside it"
    (row,) = store.rows(entry.index, entry.index + 1)
    kept = {} if row.personal is None else parse_json(row.personal)
    for name in names:
        if name not in kept:
            known = ", ".join(kept) or "none"
            why = "is erased" if name in entry.commitments else "is not there"
            raise InvalidInputError(
                f"{name!a:.80} of the entry {entry.id} {why}; it can disclose: {known}"
            )
    return [Disclosure(name, *kept[name]) for name in names]

"""How values kept beside entries are removed for good, and who removed them and why is recorded."""

from __future__ import annotations

from collections.abc import Sequence

from rml.error import InvalidInputError
from rml.ledger.argument import unknown
from rml.ledger.draft import Draft, Receipt


def erase(draft: Draft, what: str, names: Sequence[str], by: str, reason: str) -> Receipt:
    """Record that fields of an entry, or of an effect's entries, are erased, and erase them."""
    found = draft.entry(what)
    entries = [found] if found is not None else draft.of_effect(what)
    if not entries:
        raise unknown("entry or effect", what)
    for name in names:
        if not any(name in entry.commitments for entry in entries):
            known = ", ".join(dict.fromkeys(n for e in entries for n in e.commitments)) or "none"
            raise InvalidInputError(f"{what} has no erasable field {name!r}; it has: {known}")
    receipts = []
    for entry in entries:
        there = [name for name in names if name in entry.commitments]
        if there:
            facts = {"fields": there, "reason": reason}
            receipts.append(
                draft.append(
                    "payload.erased",
                    world=entry.world,
                    facts=facts,
                    actor=by,
                    corrects=entry.id,
                    effect=entry.effect,
                )
            )
            draft.keep_only(entry.id, [n for n in entry.personal if n not in there])
    return receipts[-1]

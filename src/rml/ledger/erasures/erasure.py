"""How values kept beside entries are removed for good, and who removed them and why is recorded."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Final

import attrs

from rml.effect.saga_state import ARGUMENTS
from rml.effect.state import REQUEST, EffectState, told
from rml.error import InvalidInputError
from rml.ledger.argument import unknown
from rml.ledger.draft import Draft, Receipt
from rml.ledger.entry import Entry
from rml.ledger.erasures.retention import ERASED, PRUNED, Pruned

# Without these, an effect or a saga that has not ended could never be ended: its next call must be
# recognised as a repetition, and a saga is resumed with its arguments.
_NEEDED: Final = frozenset({REQUEST, ARGUMENTS})


@attrs.frozen(kw_only=True)
class Removal:
    """How much was removed for good.

    Attributes:
        entries: beside how many entries there was something to remove.
        fields: how many values were removed.
        kept: the ids of what has not ended and therefore kept something: effects their request
            fingerprint, sagas also their arguments; by a pruning, they and pendings kept all.
        below: of a pruning, the index up to which it goes.
    """

    entries: int
    fields: int
    kept: tuple[str, ...]
    below: int | None = None


@attrs.frozen(kw_only=True)
class Erased:
    """That a value is gone rightly.

    Attributes:
        at: when that was recorded.
        by: who removed it.
        reason: on what request or law.
        entry: the id of the entry that says so.
    """

    at: datetime
    by: str | None
    reason: str
    entry: str

    @classmethod
    def by_entry(cls, entry: Entry) -> Erased:
        """Return what an entry of an erasure or a pruning says."""
        reason = str(entry.facts.get("reason", ""))
        return cls(at=entry.recorded_at, by=entry.actor, reason=reason, entry=entry.id)


def erase(draft: Draft, what: str, names: Sequence[str], by: str, reason: str) -> Receipt:
    """Record that fields of an entry, or of an effect's entries, are erased, and erase them.

    Of what is gone already, the receipt of the entry that says so is returned.
    """
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
        left = [name for name in there if name in entry.personal]
        record = _record_of(draft, entry, there) if there and not left else None
        if record is not None:
            receipts.append(Receipt(record.id, record.index, record.recorded_at))
        elif there:
            receipts.append(_erase(draft, entry, left or there, by, reason))
    return receipts[-1]


def _record_of(draft: Draft, entry: Entry, names: Sequence[str]) -> Entry | None:
    """Return the entry that accounts for all of these fields being gone, or the last of several."""
    erasing = draft.entries(kind=ERASED, corrects=entry.id)
    gone = {name for one in erasing for name in one.facts.get("fields", ())}
    if gone.issuperset(names):
        return erasing[-1]
    for pruning in draft.entries(kind=PRUNED, newest_first=True, limit=1):
        pruned = Pruned.by(pruning)
        if pruned is not None and pruned.covers(entry):
            return pruning
    return None


def erase_all(
    entries: Iterable[Entry], draft: Draft, *, names: Collection[str] | None, by: str, reason: str
) -> Removal:
    """Erase what is left of these fields beside entries; of all fields, if none are named.

    What has not ended keeps what it is ended with.
    """
    found, fields = 0, 0
    unended: dict[str, bool] = {}
    kept: dict[str, None] = {}
    for entry_id in dict.fromkeys(entry.id for entry in entries):
        entry = draft.entry(entry_id)  # as it is now: somebody else may erase, too
        assert entry is not None
        gone = [name for name in entry.personal if names is None or name in names]
        if entry.effect is not None and not _NEEDED.isdisjoint(gone):
            if entry.effect not in unended:
                unended[entry.effect] = is_unended(draft, entry.effect)
            if unended[entry.effect]:
                gone = [name for name in gone if name not in _NEEDED]
                kept[entry.effect] = None
        if gone:
            _erase(draft, entry, gone, by, reason)
            found, fields = found + 1, fields + len(gone)
    return Removal(entries=found, fields=fields, kept=tuple(kept))


def is_unended(draft: Draft, effect_id: str) -> bool:
    """Say whether an effect or a saga is in flight, in doubt or retrying."""
    if draft.lease(effect_id) is not None:
        return True
    effect = told(draft.of_effect(effect_id))
    return effect is not None and effect.state is EffectState.RETRYING


def _erase(draft: Draft, entry: Entry, names: Sequence[str], by: str, reason: str) -> Receipt:
    receipt = draft.record(
        ERASED,
        world=entry.world,
        facts={"fields": list(names), "reason": reason},
        actor=by,
        corrects=entry.id,
        effect=entry.effect,
    )
    draft.keep_only(entry.id, [name for name in entry.personal if name not in names])
    return receipt

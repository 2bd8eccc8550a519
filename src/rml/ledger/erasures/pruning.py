"""How values beside old entries are pruned: one entry records how far, and then they go in steps.

What had not ended when that was recorded keeps its values: they are needed to end it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from rml.effect.saga_state import STEP
from rml.ledger.draft import Draft
from rml.ledger.entry import Entry
from rml.ledger.erasures.erasure import Removal, is_unended
from rml.ledger.erasures.retention import BELOW, KEPT, PRUNED, Pruned
from rml.ledger.errors import LimitError
from rml.world import World

# How much may not have ended below the index: their ids stand in one entry, which has its limit.
KEPT_MAX: Final = 1_000


def newest(draft: Draft) -> Pruned | None:
    """Return how far values have been pruned, if they ever were."""
    found = draft.entries(kind=PRUNED, newest_first=True, limit=1)
    return Pruned.by(found[0]) if found else None


def record(
    draft: Draft, below: int, pending: Iterable[tuple[int, str]], by: str, reason: str
) -> Pruned | None:
    """Record that values below an index go; nothing, if that has been recorded and is enough.

    Args:
        draft: the commit.
        below: the index. What has been pruned stays so, however low it is.
        pending: index and id of what is pending.
        by: who prunes.
        reason: by what rule.

    Raises:
        LimitError: too much below the index has not ended.
    """
    before = newest(draft)
    below = max(below, before.below if before is not None else 0)
    unended = sorted(place for place in (*_effects(draft), *pending) if place[0] < below)
    if len(unended) > KEPT_MAX:
        raise LimitError(
            f"{len(unended)} effects and pendings below index {below} have not ended, the limit is "
            f"{KEPT_MAX} (KEPT_MAX); settle them, or prune below {unended[KEPT_MAX][0]}"
        )
    kept = [name for _, name in unended]
    pruned = Pruned(below, frozenset(kept))
    if pruned == before or below == 0:
        return before
    facts = {BELOW: below, KEPT: kept, "reason": reason}
    draft.record(PRUNED, world=World.RML3, facts=facts, actor=by)
    return pruned


def _effects(draft: Draft) -> Iterator[tuple[int, str]]:
    """Yield first index and id of each effect and saga that has not ended, and of a saga's steps.

    A saga may yet undo its steps.
    """
    leased = {lease.effect for lease in draft.leases()}
    retrying = {entry.effect for entry in draft.entries(kind="effect.retrying")} - {None}
    found: dict[str, int] = {}
    for name in (*leased, *(name for name in retrying if name and is_unended(draft, name))):
        for entry in draft.of_effect(name):
            found.setdefault(name, entry.index or 0)
            step = entry.facts.get(STEP) if entry.kind == "saga.step" else None
            for first in draft.of_effect(str(step))[:1] if step else ():
                found[str(step)] = first.index or 0
    yield from ((index, name) for name, index in found.items())


def prune(entries: Iterable[Entry], draft: Draft) -> Removal:
    """Remove what is left beside these entries, as far as the newest pruning covers them."""
    pruned = newest(draft)
    assert pruned is not None
    gone = [entry for entry in entries if pruned.covers(entry)]
    for entry in gone:
        draft.keep_only(entry.id, [])
    fields = sum(len(entry.personal) for entry in gone)
    return Removal(entries=len(gone), fields=fields, kept=())

"""How a case is read: all of it from one state of the ledger, which the case file names."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import attrs

from rml.incident.child import ChildCase, children_in
from rml.incident.command.postmortem import PostmortemDue
from rml.incident.gate import barriers
from rml.incident.kinds import LINKED, OPENED
from rml.incident.levers.containment import QUIET, Containment
from rml.incident.levers.containment_proof import contained_as_seen
from rml.incident.making_good import AMOUNT, Owed, owed
from rml.incident.pages.casefile import LedgerState
from rml.incident.projection import Projection, is_effect_id, project
from rml.incident.recording import Kept
from rml.ledger.entry import Entry
from rml.ledger.errors import UnknownIdError
from rml.ledger.ledger import Ledger
from rml.tag import shown


def read_case(ledger: Ledger, incident: str, kept: Kept) -> Projection:
    """Return what a ledger tells of an incident at this moment.

    Raises:
        UnknownIdError: there is no such incident.
    """
    state = _state(ledger)
    last = kept.read
    before = None if last is None else last.ledger
    if last is not None and before == state:
        return last
    seen = before.size if before is not None and before.size <= state.size else 0
    entries = list(last.entries) if last is not None and seen else []
    # What is recorded from here on is not in the state, so it is not on the page.
    entries += [
        entry
        for entry in ledger.entries(incident=incident, after=seen - 1 if seen else None)
        if (entry.index or 0) < state.size
    ]
    read = project(entries, state, last)
    if read is None:
        raise unknown_incident(ledger, incident)
    kept.read = read
    return read


def missing(ledger: Ledger, read: Projection, due: PostmortemDue | None) -> list[str]:
    """Return what stands in the way of closing a case; of a closed one, what it was closed without.

    A case that was closed knowingly is not complete by that: what somebody passed still stands here
    until it is seen to.
    """
    effects = map(ledger.look, read.effects)
    known = [effect for effect in effects if effect is not None]
    owing = harm(ledger, read.harmed)
    found = barriers(read, known, owing, due, children(ledger, read))
    return [bar.text for bar in found]


def children(ledger: Ledger, read: Projection) -> tuple[ChildCase, ...]:
    """Return the cases that are part of a case, as they stood when it was read."""
    size = None if read.ledger is None else read.ledger.size

    def then(entries: Iterable[Entry]) -> list[Entry]:
        return [entry for entry in entries if size is None or (entry.index or 0) < size]

    ids = children_in(then(ledger.entries(kind=LINKED)), read.id)
    reads = (project(then(ledger.entries(incident=one))) for one in ids)
    return tuple(ChildCase.of(child) for child in reads if child is not None)


@attrs.frozen
class _Outside:
    """A ledger as it stands, asked without a writer's turn."""

    _ledger: Ledger
    now: datetime

    def entry(self, entry_id: str) -> Entry | None:
        try:
            return self._ledger.entry(entry_id)
        except UnknownIdError:
            return None

    def entries(self, **conditions: Any) -> Sequence[Entry]:
        return list(self._ledger.entries(**conditions))

    def of_effect(self, effect: str) -> Sequence[Entry]:
        return list(self._ledger.entries(effect=effect))


def containment(ledger: Ledger, read: Projection, quiet: timedelta = QUIET) -> Containment:
    """Return whether the bleeding of a case has stopped, as the ledger stands."""
    pending = [effect for effect in map(ledger.look, ledger.unended()) if effect is not None]
    sight = _Outside(ledger, ledger.clock.now())
    return contained_as_seen(sight, read.entries, pending, quiet)


def harm(ledger: Ledger, ids: Iterable[str]) -> Iterator[Owed]:
    """Yield what is still owed for effects and entries that were found to be harm."""

    def facts(one: str) -> Mapping[str, Any]:
        entry = None if is_effect_id(one) else ledger.entry(one)
        effect = ledger.look(one if entry is None else entry.effect or "")
        told = effect.facts if effect is not None else entry.facts if entry is not None else {}
        amount = ledger.correctable(one).amount
        return told if amount is None else {**told, AMOUNT: amount}

    for one in ids:
        left = owed(one, ledger.corrections, facts)
        if left is not None:
            yield left


def unknown_incident(ledger: Ledger, incident: object) -> UnknownIdError:
    """Return the error for an id that names no incident, with one that does."""
    newest = ledger.entries(kind=OPENED, newest_first=True, limit=1)
    hint = next((f"the newest is {entry.incident}" for entry in newest), "there is none yet")
    return UnknownIdError(f"no incident {shown(incident)} is in this ledger; {hint}")


def _state(ledger: Ledger) -> LedgerState:
    """Return what the ledger holds at one moment: size and root belong together."""
    origin, size, root = ledger.checkpoint().splitlines()[:3]
    return LedgerState(origin=origin, size=int(size), root=base64.b64decode(root).hex())

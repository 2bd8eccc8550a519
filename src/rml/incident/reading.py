"""How a case is read: all of it from one state of the ledger, which the case file names."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator

import attrs

from rml.incident.command.postmortem import PostmortemDue
from rml.incident.gate import barriers, is_history, overdue
from rml.incident.kinds import OPENED
from rml.incident.pages.casefile import LedgerState
from rml.incident.projection import Projection, project
from rml.ledger.errors import UnknownIdError
from rml.ledger.ledger import Ledger
from rml.tag import shown


@attrs.define(eq=False)
class Kept:
    """What was last read of a case: the same head tells the same, a later one adds to it."""

    read: Projection | None = None


def read_case(ledger: Ledger, incident: str, kept: Kept) -> Projection:
    """Return what a ledger tells of an incident at this moment.

    Raises:
        UnknownIdError: there is no such incident.
    """
    state = _state(ledger)
    last = kept.read
    before = None if last is None else last.file.ledger
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
    read = project(entries, state)
    if read is None:
        raise unknown_incident(ledger, incident)
    kept.read = read
    return read


def missing(ledger: Ledger, read: Projection, owed: PostmortemDue | None) -> list[str]:
    """Return what stands in the way of closing a case; of a closed one, what is overdue."""
    if read.closed is not None:
        return [bar.text for bar in overdue(owed)]
    effects = map(ledger.look, read.effects)
    known = [effect for effect in effects if effect is not None]
    harm = uncorrected(ledger, read.harmed)
    return [bar.text for bar in barriers(read, known, harm, owed)]


def uncorrected(ledger: Ledger, ids: Iterable[str]) -> Iterator[str]:
    """Yield the ids of harm that no correction that became history names."""
    for one in ids:
        if not any(map(is_history, ledger.corrections(one))):
            yield one


def unknown_incident(ledger: Ledger, incident: object) -> UnknownIdError:
    """Return the error for an id that names no incident, with one that does."""
    newest = ledger.entries(kind=OPENED, newest_first=True, limit=1)
    hint = next((f"the newest is {entry.incident}" for entry in newest), "there is none yet")
    return UnknownIdError(f"no incident {shown(incident)} is in this ledger; {hint}")


def _state(ledger: Ledger) -> LedgerState:
    """Return what the ledger holds at one moment: size and root belong together."""
    origin, size, root = ledger.checkpoint().splitlines()[:3]
    return LedgerState(origin=origin, size=int(size), root=base64.b64decode(root).hex())

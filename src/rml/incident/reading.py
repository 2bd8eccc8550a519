"""How a case is read: all of it from one state of the ledger, which the case file names."""

from __future__ import annotations

import base64

from rml.incident.casefile import LedgerState
from rml.incident.projection import OPENED, Projection, project
from rml.incident.rule import missing_of
from rml.ledger.errors import UnknownIdError
from rml.ledger.ledger import Ledger
from rml.tag import shown


def read_case(ledger: Ledger, incident: str) -> Projection:
    """Return what a ledger tells of an incident at this moment.

    Raises:
        UnknownIdError: there is no such incident.
    """
    state = _state(ledger)
    # What is recorded from here on is not in the state, so it is not on the page.
    entries = [
        entry for entry in ledger.entries(incident=incident) if (entry.index or 0) < state.size
    ]
    read = project(entries, state)
    if read is None:
        raise unknown_incident(ledger, incident)
    return read


def missing(ledger: Ledger, read: Projection) -> list[str]:
    """Return what stands in the way of closing a case; nothing for one that is closed."""
    if read.closed is not None:
        return []
    effects = map(ledger.look, read.effects)
    return missing_of(read, [effect for effect in effects if effect is not None])


def unknown_incident(ledger: Ledger, incident: object) -> UnknownIdError:
    """Return the error for an id that names no incident, with one that does."""
    newest = ledger.entries(kind=OPENED, newest_first=True, limit=1)
    hint = next((f"the newest is {entry.incident}" for entry in newest), "there is none yet")
    return UnknownIdError(f"no incident {shown(incident)} is in this ledger; {hint}")


def _state(ledger: Ledger) -> LedgerState:
    """Return what the ledger holds at one moment: size and root belong together."""
    origin, size, root = ledger.checkpoint().splitlines()[:3]
    return LedgerState(origin=origin, size=int(size), root=base64.b64decode(root).hex())

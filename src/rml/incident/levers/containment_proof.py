"""What a containment is proven from: the case, the levers it names, and what began since.

It is read inside a commit, so that what depends on it cannot be overtaken by a new effect.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from rml.effect.doubt import look
from rml.effect.state import Effect
from rml.incident.gate import Barrier
from rml.incident.kinds import CONTAINED
from rml.incident.levers.containment import QUIET, Containment, Stop, operations_of, prove, stops_of
from rml.incident.levers.lever import EVERY, Lever, LeverStates
from rml.ledger.draft import Draft
from rml.ledger.entry import Entry

# The last of the four levers, and the action that it is.
DATA_CORRECTION: Final = "data_correction"


def contained(draft: Draft, incident: str, quiet: timedelta = QUIET) -> Containment:
    """Return whether a case is contained, as a commit in the making sees it."""
    entries = draft.entries(incident=incident)
    stops = stops_of(entries, _levers(draft, entries))
    return prove(
        stops,
        _since(draft, stops),
        list(_pending(draft)),
        draft.now,
        about=operations_of(entries),
        quiet=quiet,
    )


def before_correction(draft: Draft, incident: str, word: str) -> Iterator[Barrier]:
    """Yield why data may not be corrected yet: what is still bleeding would be corrected twice.

    Args:
        draft: the commit that is to record the step.
        incident: the case.
        word: the lever, or the kind of action.
    """
    if "_".join(re.split(r"[\W_]+", word.removeprefix("other:").casefold())) != DATA_CORRECTION:
        return
    found = contained(draft, incident)
    if not found.proven:
        yield Barrier("contained-first", f"data is corrected once containment is proven; {found}")


def _levers(draft: Draft, entries: list[Entry]) -> dict[str, Lever]:
    """Return the levers that a case's containments name, by the ids of their entries."""
    named = (entry.facts.get("pulled") for entry in entries if entry.kind == CONTAINED)
    pulled = [draft.entry(one) for one in named if one is not None]
    levers = [LeverStates().told([entry]).pulled for entry in pulled if entry is not None]
    return {lever.entry: lever for some in levers for lever in some}


def _since(draft: Draft, stops: list[Stop]) -> Iterator[Entry]:
    """Yield what was recorded of the stopped operations since the first of them was."""
    operations = {stop.operation for stop in stops}
    first = min((stop.index for stop in stops), default=0)
    for operation in [EVERY] if EVERY in operations else operations:
        if operation == EVERY:
            yield from draft.entries(kind="effect.intent", after=first)
        else:
            yield from draft.entries(operation=operation, after=first)


def _pending(draft: Draft) -> Iterator[Effect]:
    """Yield the effects that have not ended."""
    for lease in draft.leases():
        effect = look(draft, lease.effect)
        if effect is not None:
            yield effect

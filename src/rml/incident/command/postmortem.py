"""The postmortem that a case owes: by when, and whether it was held.

Whatever its severity, a case that reached history owes one within five working days after it was
resolved. A new signal, or taking the case up again, makes it owe another.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Final

import attrs

from rml.incident.command.workdays import WorkCalendar
from rml.incident.kinds import POSTMORTEM
from rml.incident.metrics import resolved_since
from rml.incident.projection import since_signal, world_of
from rml.ledger.entry import Entry
from rml.world import World

# From the day on which the case was resolved.
WORKING_DAYS: Final = 5


@attrs.frozen
class PostmortemDue:
    """A postmortem that nobody has held yet.

    Attributes:
        due: the last day on which it is in time.
        overdue: whether that day is over.
    """

    due: date
    overdue: bool

    def __str__(self) -> str:
        return f"postmortem due on {self.due}{' - overdue' if self.overdue else ''}"


def postmortem_due(
    entries: Sequence[Entry], calendar: WorkCalendar, now: datetime
) -> PostmortemDue | None:
    """Return the postmortem that the case with these entries, in index order, still owes."""
    resolved = resolved_since(entries)
    if resolved is None or world_of(entries) is not World.RML3:
        return None
    if any(entry.kind == POSTMORTEM for entry in since_signal(entries)):
        return None
    due = calendar.after(resolved, WORKING_DAYS)
    return PostmortemDue(due, calendar.day_of(now) > due)

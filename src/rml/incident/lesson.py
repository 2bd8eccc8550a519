"""Which lessons of a case change something: each names a change, or somebody says why none does.

A change answers the lessons that it was recorded with, or the one that it names. A reason why
nothing changes is for the lessons that it was recorded with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from rml.incident.kinds import LEARNED
from rml.ledger.entry import Entry

LISTS: Final = ("technical", "process", "governance")


def lessons_in(entries: Iterable[Entry]) -> Iterator[str]:
    """Yield the lessons; ``none - `` and a reason is none."""
    for entry in entries:
        for name in LISTS if entry.kind == LEARNED else ():
            for lesson in entry.facts.get(name, ()):
                if not lesson.casefold().startswith("none"):
                    yield lesson


def unanswered(entries: Iterable[Entry]) -> tuple[str, ...]:
    """Return the lessons that change nothing while nobody says why, in the order of recording."""
    taught = [entry for entry in entries if entry.kind == LEARNED]
    answered: set[str] = set()
    for entry in taught:
        changes = entry.facts.get("changes", ())
        answered |= {change["lesson"] for change in changes if "lesson" in change}
        if "unchanged" in entry.facts or any("lesson" not in change for change in changes):
            answered |= set(lessons_in([entry]))
    return tuple(dict.fromkeys(one for one in lessons_in(taught) if one not in answered))

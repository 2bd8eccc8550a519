"""How much was said to be history, by whom: every count and estimate in the order of telling.

A later word does not replace an earlier one. What is less than was said before is a *narrowing*,
which has somebody behind it and a reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import attrs

from rml.incident.kinds import COUNTED, UNDERSTOOD
from rml.ledger.entry import Entry

# What is counted or estimated, as the facts of an assessment are called.
MEASURES: Final = ("users", "transactions", "users_estimate", "transactions_estimate")


@attrs.frozen
class Narrowing:
    """That less was said to be history than before.

    Attributes:
        measure: one of ``MEASURES``.
        before: what was said last.
        after: what is said now.
        entry: by which entry.
    """

    measure: str
    before: int
    after: int
    entry: Entry

    @property
    def reason(self) -> str:
        """What shows it, as far as was said; what was said with it, if nothing else."""
        return str(self.entry.facts.get("evidence") or self.entry.facts["detail"])

    def __str__(self) -> str:
        """Say who said less, and why."""
        what, _, estimated = self.measure.partition("_")
        noun = f"the estimate of {what}" if estimated else what
        who = self.entry.actor or "nobody named"
        return f"{who} narrowed {noun} from {self.before:,} to {self.after:,}: {self.reason}"


def harmed(entries: Iterable[Entry]) -> tuple[str, ...]:
    """Return the ids of what was found to be harm, and not found to be none since."""
    found: dict[str, None] = {}
    for entry in entries:
        if entry.kind in (UNDERSTOOD, COUNTED):
            found |= dict.fromkeys(entry.facts.get("harmed", ()))
            for one in entry.facts.get("unharmed", ()):
                found.pop(one, None)
    return tuple(found)


def told(entries: Iterable[Entry], measure: str) -> Iterator[tuple[int, Entry]]:
    """Yield what was said of a measure, with the entry that said it."""
    for entry in entries:
        if entry.kind in (UNDERSTOOD, COUNTED) and measure in entry.facts:
            yield entry.facts[measure], entry


def narrowings(entries: Iterable[Entry]) -> tuple[Narrowing, ...]:
    """Return each time that less was said than before, by measure, in the order of telling."""
    kept = list(entries)
    found: list[Narrowing] = []
    for measure in MEASURES:
        before: int | None = None
        for value, entry in told(kept, measure):
            if before is not None and value < before:
                found.append(Narrowing(measure, before, value, entry))
            before = value
    return tuple(found)


def widest(entries: Iterable[Entry], *measures: str) -> int:
    """Return the most that was ever said of some measures, 0 if nothing was."""
    kept = list(entries)
    return max((value for one in measures for value, _ in told(kept, one)), default=0)

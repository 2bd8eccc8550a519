"""Cases that are part of a larger one: where each stands, and who leads it.

A link ``part_of`` makes a case the child of another. Each is led by its own commander; whoever
commands the larger one commands them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import attrs

from rml.incident.kinds import LINKED
from rml.incident.pages.casefile import CaseStatus
from rml.incident.projection import Projection
from rml.ledger.entry import Entry

PART_OF: Final = "part_of"


@attrs.frozen(kw_only=True)
class ChildCase:
    """A case that is part of a larger one.

    Attributes:
        id: such as ``INC-2026-0002``.
        title: what happened; ``None`` if it is private.
        status: ongoing, monitoring or resolved.
        severity: as somebody said it, if anybody has.
        commander: who leads it, if anybody does.
        is_open: whether nobody has closed it.
    """

    id: str
    title: str | None
    status: CaseStatus
    severity: str | None
    commander: str | None
    is_open: bool

    @classmethod
    def of(cls, read: Projection) -> ChildCase:
        """Return where a case stands as a child."""
        severity = read.classification.severity
        return cls(
            id=read.id,
            title=None if read.is_private else read.file.title,
            status=read.status,
            severity=None if severity is None else str(severity),
            commander=read.hats.commander,
            is_open=read.closed is None,
        )

    @property
    def state(self) -> str:
        """How it stands, how grave it is and who leads it, as one phrase."""
        status = self.status.value if self.is_open else "closed"
        led = "nobody leads it" if self.commander is None else f"led by {self.commander}"
        return f"{status}, {self.severity or 'severity unknown'}, {led}"

    def __str__(self) -> str:
        """Return its id, its title and how it stands, on one line."""
        title = "private" if self.title is None else " ".join(self.title.split())
        return f"{self.id} {title}: {self.state}"

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {**attrs.asdict(self), "status": self.status.value}


def children_in(links: Iterable[Entry], parent: str) -> tuple[str, ...]:
    """Return the ids of the cases that these entries make part of another, each once."""
    return tuple(dict.fromkeys(child for child, of in _parts(links) if of == parent))


def is_within(links: Iterable[Entry], one: str, other: str) -> bool:
    """Say whether a case is part of another, or of one that is, and so on."""
    above: dict[str, set[str]] = {}
    for child, parent in _parts(links):
        above.setdefault(child, set()).add(parent)
    seen: set[str] = set()
    left = [one]
    while left:
        case = left.pop()
        left += above.get(case, set()) - seen
        seen.add(case)
    return other in seen


def _parts(links: Iterable[Entry]) -> Iterator[tuple[str, str]]:
    """Yield which case was made part of which."""
    for entry in links:
        if entry.kind == LINKED and entry.facts["relation"] == PART_OF and entry.incident:
            yield entry.incident, entry.facts["to"].upper()

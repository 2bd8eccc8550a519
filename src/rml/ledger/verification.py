"""What a verification found: how much it has shown, and what is wrong, entry by entry."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import attrs


class Level(StrEnum):
    """How much a verification has shown, from least to most."""

    NONE = "none"
    STRUCTURE = "structure"
    CONSISTENT = "consistent"


@attrs.frozen
class Problem:
    """One thing that is wrong: what kind of thing, at which entry, in words."""

    code: str
    detail: str
    index: int | None = None
    entry: str | None = None

    def __str__(self) -> str:
        index = "" if self.index is None else f" {self.index}"
        name = f" ({self.entry})" if self.entry else ""
        where = f"entry{index}{name}: " if index or name else ""
        return f"{where}{self.detail} [{self.code}]"


@attrs.frozen
class Verification:
    """What a verification found.

    ``ok`` is true when there are no problems; ``level`` is the assurance that was reached;
    ``capped_by`` says why it is no higher; ``problems`` come in index order, so the first one names
    the first bad entry.
    """

    ok: bool
    level: Level
    capped_by: str
    origin: str
    size: int
    root: str
    problems: tuple[Problem, ...] = ()

    def __str__(self) -> str:
        if self.ok:
            return f"ok: {self.size} entries, level {self.level}, root {self.root}"
        found = f"{len(self.problems)} problem(s) in {self.size} entries"
        return f"NOT ok: {found}; first: {self.problems[0]}"

    def to_dict(self) -> dict[str, Any]:
        """Return the verification as JSON data."""
        return attrs.asdict(self)

"""What a verification found: how much it has shown, and what is wrong, entry by entry."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import attrs


class Level(StrEnum):
    """How much a verification has shown, from least to most.

    ``STRUCTURE``: the rows are readable. ``CONSISTENT``: bytes, columns, commitments, tiles and
    head follow from each other. ``SIGNED``: the ledger continues a checkpoint that a trusted key
    has signed. ``ANCHORED``: such a checkpoint was kept where whoever writes the ledger's folder
    cannot change it. ``WITNESSED``: a trusted witness has cosigned it.
    """

    NONE = "none"
    STRUCTURE = "structure"
    CONSISTENT = "consistent"
    SIGNED = "signed"
    ANCHORED = "anchored"
    WITNESSED = "witnessed"


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
class Assurance:
    """A level that the first ``size`` entries have reached, and by what, in words."""

    level: Level
    size: int
    by: str

    def __str__(self) -> str:
        return f"{self.level} up to {self.size} entries: {self.by}"


@attrs.frozen
class Verification:
    """What a verification found.

    ``ok`` is true when there are no problems; ``level`` is the assurance that was reached;
    ``capped_by`` says why it is no higher; ``problems`` come in index order, so the first one names
    the first bad entry. ``assurances`` says for each level that rests on a checkpoint how many
    entries it covers: those that came later are consistent, and no more yet. ``remarks`` are what
    else a reader should know, such as an anchor that could not be asked.
    """

    ok: bool
    level: Level
    capped_by: str
    origin: str
    size: int
    root: str
    problems: tuple[Problem, ...] = ()
    assurances: tuple[Assurance, ...] = ()
    remarks: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.ok:
            covered = next((a.size for a in self.assurances if a.level is self.level), self.size)
            level = str(self.level) if covered == self.size else f"{self.level} up to {covered}"
            return f"ok: {self.size} entries, level {level}, root {self.root}"
        found = f"{len(self.problems)} problem(s) in {self.size} entries"
        return f"NOT ok: {found}; first: {self.problems[0]}"

    def to_dict(self) -> dict[str, Any]:
        """Return the verification as JSON data."""
        return attrs.asdict(self)

"""An anchor that is another ledger: the last checkpoints of many, in a history of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from rml.error import InvalidInputError
from rml.ledger.anchors.anchor import ProveFrom, file_of, renewed
from rml.ledger.anchors.kept import read_kept
from rml.ledger.draft import Draft
from rml.ledger.entry import Entry
from rml.ledger.ledger import Ledger
from rml.ledger.proofs.checkpoint import read_checkpoint
from rml.ledger.proofs.cosignature import Trust
from rml.world import World

# What an entry that keeps another ledger's checkpoint is.
KIND: Final = "checkpoint.kept"


class LedgerAnchor:
    """Keeps a ledger's checkpoints as entries of another ledger.

    One ledger may anchor many; each finds its own by its origin. The other ledger stays open for as
    long as this anchor is used, and is verified like any other.

    Args:
        ledger: where to keep them; it must not be the ledger that is anchored.

    Raises:
        InvalidInputError: this is no ledger.
    """

    def __init__(self, ledger: Ledger) -> None:
        told: object = ledger
        if not isinstance(told, Ledger):
            raise InvalidInputError(f"ledger must be an rml.Ledger, not {type(ledger).__name__}")
        self.ledger: Ledger = ledger
        self.path: Path | None = file_of(ledger.url)

    def last(self, origin: str) -> str | None:
        """Return the checkpoint that the newest entry about a ledger holds.

        Raises:
            InvalidInputError: the ledger is this one, or the entry holds no checkpoint of it.
            LedgerUnavailableError: the other ledger cannot be read.
        """
        self._check_other(origin)
        newest = self.ledger.entries(kind=KIND, correlation=origin, newest_first=True, limit=1)
        return next((self._text(entry, origin) for entry in newest), None)

    def keep(self, checkpoint: str, prove_from: ProveFrom) -> None:
        """Append a checkpoint, unless a newer one is kept; of one size, signatures are gathered.

        Raises:
            ProofError: what is kept is not continued.
            InvalidInputError: the ledger is this one, or what is kept is no checkpoint of it.
            LedgerBusyError: nothing was appended; also as of ``Ledger.append``.
        """
        new, _ = read_checkpoint(checkpoint)
        self._check_other(new.origin)

        def work(draft: Draft) -> None:
            newest = draft.entries(kind=KIND, correlation=new.origin, newest_first=True, limit=1)
            kept = next((self._text(entry, new.origin) for entry in newest), None)
            text = renewed(kept, checkpoint, prove_from)
            if text is not None:
                facts = {"size": new.size, "root": new.root.hex(), "checkpoint": text}
                draft.record(KIND, world=World.RML3, facts=facts, correlation=new.origin)

        self.ledger.write(work)

    def __str__(self) -> str:
        return f"the ledger {self.ledger.origin}"

    def __repr__(self) -> str:
        return f"LedgerAnchor({self.ledger!r})"

    def _check_other(self, origin: str) -> None:
        if origin == self.ledger.origin:
            raise InvalidInputError(f"{self} cannot be its own anchor; name another ledger")

    def _text(self, entry: Entry, origin: str) -> str:
        text = str(entry.facts.get("checkpoint"))
        read_kept(text, str(self), origin=origin, trust=Trust())
        return text

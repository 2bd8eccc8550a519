"""A private case: to whom it is shown, and how that is recorded.

A casebook is the door. Whoever is shown a private case through it says who they are and what for,
and that is an entry before they see anything; where it cannot be recorded, nothing is shown. Steps
need no reader, for each names who takes it. What is read past the casebook, from the ledger's own
entries or from its file, leaves no record.
"""

from __future__ import annotations

from typing import ClassVar

from rml.error import ClosedError, RmlError
from rml.incident import reading
from rml.incident.kinds import EVIDENCE_READ, OPENED, PRIVACY
from rml.incident.projection import Projection
from rml.incident.recording import CaseRecording, Reader
from rml.ledger.ledger import Ledger
from rml.world import World


class PrivateCaseError(ClosedError):
    """The case is private, and nobody says who reads it, or that cannot be recorded."""

    code = "CASE_PRIVATE"
    happened: ClassVar[bool | None] = None  # it may be raised after an effect of the caller's own


class CaseReading(CaseRecording):
    """One incident of a ledger, shown to those who may read it."""

    def read(self) -> Projection:
        """Return everything that the ledger tells of this case, from one state of the ledger.

        Raises:
            PrivateCaseError: it is private, and the casebook has no reader.
        """
        read = reading.read_case(self._ledger, self.id, self._kept)
        if read.is_private and self._admit():
            return reading.read_case(self._ledger, self.id, self._kept)
        return read

    def _enter(self) -> None:
        """Let nobody past who may not read the case; for what is not read from its projection."""
        if is_private(self._ledger, self.id):
            self._admit()

    def _admit(self) -> bool:
        """Record who reads a private case, once; return whether that was now."""
        if self._kept.admitted:
            return False
        record_reading(self._ledger, self.id, self._reader)
        self._kept.admitted = True
        return True


def is_private(ledger: Ledger, incident: str | None) -> bool:
    """Say whether an incident is kept out of lists that everybody sees."""
    if incident is None:
        return False
    said = ledger.entries(kind=PRIVACY, incident=incident, newest_first=True, limit=1)
    return any(entry.facts["private"] for entry in said)


def record_reading(ledger: Ledger, incident: str, reader: Reader | None) -> None:
    """Record who reads a private case, and what for, before they are shown it.

    Raises:
        PrivateCaseError: nobody says so, or it cannot be recorded.
    """
    if reader is None:
        raise PrivateCaseError(
            f"{incident} is private: say who reads it and what for, which is recorded: "
            f"book.as_reader('NAME', reason='...')[{incident!r}]"
        )
    try:
        (opened,) = ledger.entries(kind=OPENED, incident=incident, limit=1)
        ledger.write(
            lambda draft: draft.record(
                EVIDENCE_READ,
                world=World.RML2,
                facts={"entry": opened.id, "reason": reader.reason},
                actor=reader.name,
                incident=incident,
            )
        )
    except RmlError as error:
        message = f"{incident} is private, and who reads it cannot be recorded: {error.message}"
        raise PrivateCaseError(message) from error

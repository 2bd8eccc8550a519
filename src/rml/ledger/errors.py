"""What can go wrong between a program and its ledger."""

from __future__ import annotations

from typing import ClassVar

from rml.error import (
    ClosedError,
    ConfigurationError,
    DialogError,
    HistoryError,
    InvalidInputError,
)
from rml.world import Action


class LedgerBusyError(DialogError):
    """Other writers kept the ledger busy until the deadline; nothing was recorded."""

    code = "LEDGER_BUSY"
    happened: ClassVar[bool | None] = False


class LedgerUnavailableError(DialogError):
    """The ledger cannot be reached or written; nothing was recorded."""

    code = "LEDGER_UNAVAILABLE"
    happened: ClassVar[bool | None] = False


class AppendUnknownError(DialogError):
    """The store failed while committing; the next look at the ledger shows what is durable."""

    code = "LEDGER_APPEND_UNKNOWN"


class NotALedgerError(ClosedError):
    """The file or database is not an rml ledger."""

    code = "NOT_A_LEDGER"


class CopyError(ClosedError):
    """The ledger was not copied, or not completely; nothing of the source was changed."""

    code = "LEDGER_NOT_COPIED"


class NewerFormatError(ClosedError):
    """The ledger was written by a newer rml, in a format unknown to this one; upgrade rml."""

    code = "LEDGER_NEWER_FORMAT"


class AnchorError(DialogError):
    """An anchor could not be reached, or did not keep the checkpoint; ask again later."""

    code = "ANCHOR_FAILED"


class UpcastError(ConfigurationError):
    """An upcaster failed at an entry; correct the upcaster, for the entry is as it was recorded."""

    code = "UPCAST_FAILED"


class UnknownIdError(ClosedError, LookupError):
    """No such entry, effect or incident is in this ledger."""

    code = "UNKNOWN_ID"


class EnlistmentError(InvalidInputError):
    """A connection cannot take the ledger's entries into its transaction; nothing was recorded."""

    code = "ENLISTMENT"


class CorrectionTargetError(ClosedError):
    """The effect that is to be corrected never happened, or is still in doubt; nothing was done."""

    code = "CORRECTION_TARGET"


class OverCorrectionError(ClosedError):
    """The correction would take back more than is left of its original; nothing was done."""

    code = "OVER_CORRECTION"


class PendingEndedError(ClosedError):
    """What was pending has been confirmed, voided or has expired; nothing was recorded."""

    code = "PENDING_ENDED"


class NoLedgerError(ClosedError):
    """No ledger is configured: use `rml.configure(ledger=...)`, `ledger=` or RML_LEDGER."""

    code = "LEDGER_NOT_CONFIGURED"


class LedgerCorruptError(HistoryError):
    """The ledger contradicts itself; run `rml verify` and keep the file as evidence."""

    code = "LEDGER_CORRUPT"
    action = Action.ESCALATE_HISTORY


class SignatureError(ClosedError, ValueError):
    """No trusted key has signed this text, or a signature does not fit it."""

    code = "SIGNATURE_INVALID"


class ProofError(ClosedError, ValueError):
    """The proof does not show what it was asked to show."""

    code = "PROOF_INVALID"


class LimitError(InvalidInputError):
    """A value is larger than the ledger takes."""

    code = "LIMIT_EXCEEDED"

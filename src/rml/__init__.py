"""rml: say which world an error happened in, and keep a history that nobody can quietly rewrite.

Every operation lives in one of three worlds. In RML-1, closed, nothing has left the room: fail and
try again. In RML-2, dialog, services talk their way back to consistency: retry, compensate,
reconcile. In RML-3, history, money has moved or a customer or a law is affected: nothing can be
erased, only corrected forward, and somebody is accountable.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rml.cause import Cause
    from rml.clock import Clock, FrozenClock, SystemClock
    from rml.codec import DecodingError, EncodingError
    from rml.config import configure, current_ledger, use
    from rml.context import carried, surrounded
    from rml.effect.call import current_effect
    from rml.effect.errors import (
        CorrectionTargetError,
        DefinitionError,
        EffectFailedError,
        FingerprintMismatchError,
        InDoubtError,
        InFlightError,
        KeyMissingError,
        NotInDoubtError,
        OutcomeNotRecordedError,
        ResultUnavailableError,
    )
    from rml.effect.idempotent import idempotent
    from rml.effect.operation import Attempt
    from rml.effect.reconcile import Finding, Reconciliation, reconcile
    from rml.effect.state import Effect, EffectState
    from rml.error import (
        ClosedError,
        ConfigurationError,
        DialogError,
        HistoryError,
        IllegalPairError,
        InvalidInputError,
        MissingExtraError,
        RmlError,
    )
    from rml.incident.boundary import boundary
    from rml.incident.case import Case
    from rml.incident.casebook import Casebook
    from rml.incident.casefile import CaseFile, CaseStatus
    from rml.incident.escalation import Incident, escalate, suspect
    from rml.incident.hook import Escalation, Hook
    from rml.incident.projection import Phase
    from rml.incident.rule import CaseClosedError, StepRefusedError
    from rml.incident.severity import Sev
    from rml.ledger.checkpoint import Checkpoint
    from rml.ledger.draft import Draft, Receipt
    from rml.ledger.entry import Entry
    from rml.ledger.errors import (
        AppendUnknownError,
        LedgerBusyError,
        LedgerCorruptError,
        LedgerUnavailableError,
        LimitError,
        NewerFormatError,
        NoLedgerError,
        NotALedgerError,
        ProofError,
        SignatureError,
        UnknownIdError,
    )
    from rml.ledger.ledger import Ledger
    from rml.ledger.note import SignerKey, VerifierKey
    from rml.ledger.proof import ConsistencyProof, InclusionProof
    from rml.ledger.rows import Rows
    from rml.ledger.verification import Level, Problem, Verification
    from rml.problem import from_problem, to_problem
    from rml.redact import Secret
    from rml.verdict import register_verdict
    from rml.world import Action, Severity, World

__version__ = "0.1.0"

__all__ = [
    "Action",
    "AppendUnknownError",
    "Attempt",
    "Case",
    "CaseClosedError",
    "CaseFile",
    "CaseStatus",
    "Casebook",
    "Cause",
    "Checkpoint",
    "Clock",
    "ClosedError",
    "ConfigurationError",
    "ConsistencyProof",
    "CorrectionTargetError",
    "DecodingError",
    "DefinitionError",
    "DialogError",
    "Draft",
    "Effect",
    "EffectFailedError",
    "EffectState",
    "EncodingError",
    "Entry",
    "Escalation",
    "Finding",
    "FingerprintMismatchError",
    "FrozenClock",
    "HistoryError",
    "Hook",
    "IllegalPairError",
    "InDoubtError",
    "InFlightError",
    "Incident",
    "InclusionProof",
    "InvalidInputError",
    "KeyMissingError",
    "Ledger",
    "LedgerBusyError",
    "LedgerCorruptError",
    "LedgerUnavailableError",
    "Level",
    "LimitError",
    "MissingExtraError",
    "NewerFormatError",
    "NoLedgerError",
    "NotALedgerError",
    "NotInDoubtError",
    "OutcomeNotRecordedError",
    "Phase",
    "Problem",
    "ProofError",
    "Receipt",
    "Reconciliation",
    "ResultUnavailableError",
    "RmlError",
    "Rows",
    "Secret",
    "Sev",
    "Severity",
    "SignatureError",
    "SignerKey",
    "StepRefusedError",
    "SystemClock",
    "UnknownIdError",
    "Verification",
    "VerifierKey",
    "World",
    "boundary",
    "carried",
    "configure",
    "current_effect",
    "current_ledger",
    "escalate",
    "from_problem",
    "idempotent",
    "reconcile",
    "register_verdict",
    "surrounded",
    "suspect",
    "to_problem",
    "use",
]

# Where each name lives; a name is loaded when it is first used, so that `import rml` costs nothing.
_HOMES = {
    "rml.cause": ("Cause",),
    "rml.clock": ("Clock", "FrozenClock", "SystemClock"),
    "rml.codec": ("DecodingError", "EncodingError"),
    "rml.config": ("configure", "current_ledger", "use"),
    "rml.context": ("carried", "surrounded"),
    "rml.effect.call": ("current_effect",),
    "rml.effect.errors": (
        "CorrectionTargetError",
        "DefinitionError",
        "EffectFailedError",
        "FingerprintMismatchError",
        "InDoubtError",
        "InFlightError",
        "KeyMissingError",
        "NotInDoubtError",
        "OutcomeNotRecordedError",
        "ResultUnavailableError",
    ),
    "rml.effect.idempotent": ("idempotent",),
    "rml.effect.operation": ("Attempt",),
    "rml.effect.reconcile": ("Finding", "Reconciliation", "reconcile"),
    "rml.effect.state": ("Effect", "EffectState"),
    "rml.error": (
        "ClosedError",
        "ConfigurationError",
        "DialogError",
        "HistoryError",
        "IllegalPairError",
        "InvalidInputError",
        "MissingExtraError",
        "RmlError",
    ),
    "rml.incident.boundary": ("boundary",),
    "rml.incident.case": ("Case",),
    "rml.incident.casebook": ("Casebook",),
    "rml.incident.casefile": ("CaseFile", "CaseStatus"),
    "rml.incident.escalation": ("Incident", "escalate", "suspect"),
    "rml.incident.hook": ("Escalation", "Hook"),
    "rml.incident.projection": ("Phase",),
    "rml.incident.rule": ("CaseClosedError", "StepRefusedError"),
    "rml.incident.severity": ("Sev",),
    "rml.ledger.checkpoint": ("Checkpoint",),
    "rml.ledger.draft": ("Draft", "Receipt"),
    "rml.ledger.entry": ("Entry",),
    "rml.ledger.errors": (
        "AppendUnknownError",
        "LedgerBusyError",
        "LedgerCorruptError",
        "LedgerUnavailableError",
        "LimitError",
        "NewerFormatError",
        "NoLedgerError",
        "NotALedgerError",
        "ProofError",
        "SignatureError",
        "UnknownIdError",
    ),
    "rml.ledger.ledger": ("Ledger",),
    "rml.ledger.note": ("SignerKey", "VerifierKey"),
    "rml.ledger.proof": ("ConsistencyProof", "InclusionProof"),
    "rml.ledger.rows": ("Rows",),
    "rml.ledger.verification": ("Level", "Problem", "Verification"),
    "rml.problem": ("from_problem", "to_problem"),
    "rml.redact": ("Secret",),
    "rml.verdict": ("register_verdict",),
    "rml.world": ("Action", "Severity", "World"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a public name from its home (PEP 562)."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'rml' has no attribute {name!r}")
    value = getattr(_import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

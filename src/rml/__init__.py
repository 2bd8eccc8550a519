"""rml: say which world an error happened in, and keep a history that nobody can quietly rewrite.

Every operation lives in one of three worlds. In RML-1, closed, nothing has left the room: fail and
try again. In RML-2, dialog, services talk their way back to consistency: retry, compensate,
reconcile. In RML-3, history, money has moved or a customer or a law is affected: nothing can be
erased, only corrected forward, and somebody is accountable.

To begin with:

    Ledger          the history: in one SQLite file, in PostgreSQL, in memory for tests
    configure       which ledger, service and hooks are meant
    idempotent      a handler whose effect happens at most once without a decision
    current_effect  inside a handler: the key that the other side is to be given
    reconcile       ask the other side what became of an effect in doubt; it answers a Finding
    retry           call again what asks for it, and is safe to be called again
    boundary        around a unit of work: what crosses it is recorded, and escalated if it must be
    ClosedError, DialogError, HistoryError
                    the errors of the three worlds, from which you derive your own
    Casebook        the incidents as cases, from containment to the lesson
    FrozenClock     a clock for tests

And by task:

    say what an error means
        RmlError, World, Action, Severity, Cause, Secret, register_verdict, to_problem, from_problem
    keep effects from happening twice
        idempotent, Attempt, Effect, EffectState, replays; and of rows of your own, Enlisted and
        AsyncEnlisted
    end a doubt
        reconcile, Reconciler, Finding, Reconciliation
    undo what belongs together
        saga, compensator, resume_sagas, Saga
    stop an operation
        guard, Guard, Levers, Lever, Containment
    say who acts and for whom
        configure, use, current_ledger, surrounded, carried
    write, correct and erase
        Ledger, Draft, Receipt, Correctable, Pending, Erased, Removal, Clock, SystemClock
    read
        Entry, Rows, LedgerView, Follower, Cursor, FileCursor
    verify and prove
        Verification, Level, Assurance, Problem, Checkpoint, SignerKey, VerifierKey, InclusionProof,
        ConsistencyProof, Disclosure, Bundle, TilesExport
    keep checkpoints elsewhere
        Anchor, FileAnchor, LedgerAnchor, WitnessAnchor, WitnessKey
    escalate
        boundary, escalate, suspect, Incident, Escalation, Hook
    work a case
        Casebook, Case, Sev, Role, Phase, CaseStatus, CaseFile, Impact, JoinedTimeline, Remark,
        CaseMetrics, BookMetrics

The other names end in Error and say what was refused or went wrong. Tools for tests are in
`rml.testing`, middleware for HTTP and databases in `rml.integrations`.
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
    from rml.effect.compensate import compensator
    from rml.effect.errors import (
        CompensationFailedError,
        DefinitionError,
        EffectChangedError,
        EffectFailedError,
        FingerprintMismatchError,
        InDoubtError,
        InFlightError,
        KeyMissingError,
        NotInDoubtError,
        OutcomeNotRecordedError,
        ResultUnavailableError,
    )
    from rml.effect.guard import Guard, guard
    from rml.effect.idempotent import idempotent
    from rml.effect.operation import Attempt
    from rml.effect.reconcile import Finding, Reconciliation, reconcile
    from rml.effect.reconciler import Reconciler
    from rml.effect.replays import replays
    from rml.effect.retry import retry
    from rml.effect.saga import resume_sagas, saga
    from rml.effect.saga_state import Saga
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
    from rml.export.bundle import Bundle
    from rml.files import FileNotWrittenError
    from rml.incident.case import Case
    from rml.incident.casebook import Casebook
    from rml.incident.command.role import Role
    from rml.incident.evidence.impact import Impact
    from rml.incident.evidence.joining import JoinedTimeline
    from rml.incident.levers.containment import Containment
    from rml.incident.levers.lever import Lever, LeverPulledError, LeverUnreadableError
    from rml.incident.levers.levers import Levers
    from rml.incident.metrics import BookMetrics, CaseMetrics
    from rml.incident.pages.casefile import CaseFile, CaseStatus
    from rml.incident.private import PrivateCaseError
    from rml.incident.projection import Phase
    from rml.incident.remark import Remark
    from rml.incident.rule import CaseClosedError, StepRefusedError
    from rml.incident.severity import Sev
    from rml.incident.signals.boundary import boundary
    from rml.incident.signals.escalation import Incident, escalate, suspect
    from rml.incident.signals.hook import Escalation, Hook
    from rml.ledger.anchors.anchor import Anchor
    from rml.ledger.anchors.file_anchor import FileAnchor
    from rml.ledger.anchors.ledger_anchor import LedgerAnchor
    from rml.ledger.anchors.witness import WitnessAnchor
    from rml.ledger.checks.verification import Assurance, Level, Problem, Verification
    from rml.ledger.corrections.correction import Correctable
    from rml.ledger.corrections.pending import Pending
    from rml.ledger.draft import Draft, Receipt
    from rml.ledger.enlisting import AsyncEnlisted, Enlisted
    from rml.ledger.entry import Entry
    from rml.ledger.erasures.erasure import Erased, Removal
    from rml.ledger.errors import (
        AnchorError,
        AppendUnknownError,
        CopyError,
        CorrectionTargetError,
        EnlistmentError,
        LedgerBusyError,
        LedgerCorruptError,
        LedgerUnavailableError,
        LimitError,
        NewerFormatError,
        NoLedgerError,
        NotALedgerError,
        OverCorrectionError,
        PendingEndedError,
        ProofError,
        SignatureError,
        UnknownIdError,
        UpcastError,
    )
    from rml.ledger.exports.disclosure import Disclosure
    from rml.ledger.exports.tiles_export import TilesExport
    from rml.ledger.ledger import Ledger
    from rml.ledger.proofs.checkpoint import Checkpoint
    from rml.ledger.proofs.cosignature import WitnessKey
    from rml.ledger.proofs.note import SignerKey, VerifierKey
    from rml.ledger.proofs.proof import ConsistencyProof, InclusionProof
    from rml.ledger.queries.cursor import Cursor, FileCursor
    from rml.ledger.queries.follow import Follower
    from rml.ledger.queries.rows import Rows
    from rml.ledger.queries.view import LedgerView
    from rml.problem import from_problem, to_problem
    from rml.redact import Secret
    from rml.verdict import register_verdict
    from rml.world import Action, Severity, World

__version__ = "0.1.0"

__all__ = [
    "Action",
    "Anchor",
    "AnchorError",
    "AppendUnknownError",
    "Assurance",
    "AsyncEnlisted",
    "Attempt",
    "BookMetrics",
    "Bundle",
    "Case",
    "CaseClosedError",
    "CaseFile",
    "CaseMetrics",
    "CaseStatus",
    "Casebook",
    "Cause",
    "Checkpoint",
    "Clock",
    "ClosedError",
    "CompensationFailedError",
    "ConfigurationError",
    "ConsistencyProof",
    "Containment",
    "CopyError",
    "Correctable",
    "CorrectionTargetError",
    "Cursor",
    "DecodingError",
    "DefinitionError",
    "DialogError",
    "Disclosure",
    "Draft",
    "Effect",
    "EffectChangedError",
    "EffectFailedError",
    "EffectState",
    "EncodingError",
    "Enlisted",
    "EnlistmentError",
    "Entry",
    "Erased",
    "Escalation",
    "FileAnchor",
    "FileCursor",
    "FileNotWrittenError",
    "Finding",
    "FingerprintMismatchError",
    "Follower",
    "FrozenClock",
    "Guard",
    "HistoryError",
    "Hook",
    "IllegalPairError",
    "Impact",
    "InDoubtError",
    "InFlightError",
    "Incident",
    "InclusionProof",
    "InvalidInputError",
    "JoinedTimeline",
    "KeyMissingError",
    "Ledger",
    "LedgerAnchor",
    "LedgerBusyError",
    "LedgerCorruptError",
    "LedgerUnavailableError",
    "LedgerView",
    "Level",
    "Lever",
    "LeverPulledError",
    "LeverUnreadableError",
    "Levers",
    "LimitError",
    "MissingExtraError",
    "NewerFormatError",
    "NoLedgerError",
    "NotALedgerError",
    "NotInDoubtError",
    "OutcomeNotRecordedError",
    "OverCorrectionError",
    "Pending",
    "PendingEndedError",
    "Phase",
    "PrivateCaseError",
    "Problem",
    "ProofError",
    "Receipt",
    "Reconciler",
    "Reconciliation",
    "Remark",
    "Removal",
    "ResultUnavailableError",
    "RmlError",
    "Role",
    "Rows",
    "Saga",
    "Secret",
    "Sev",
    "Severity",
    "SignatureError",
    "SignerKey",
    "StepRefusedError",
    "SystemClock",
    "TilesExport",
    "UnknownIdError",
    "UpcastError",
    "Verification",
    "VerifierKey",
    "WitnessAnchor",
    "WitnessKey",
    "World",
    "boundary",
    "carried",
    "compensator",
    "configure",
    "current_effect",
    "current_ledger",
    "escalate",
    "from_problem",
    "guard",
    "idempotent",
    "reconcile",
    "register_verdict",
    "replays",
    "resume_sagas",
    "retry",
    "saga",
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
    "rml.effect.compensate": ("compensator",),
    "rml.effect.errors": (
        "CompensationFailedError",
        "DefinitionError",
        "EffectChangedError",
        "EffectFailedError",
        "FingerprintMismatchError",
        "InDoubtError",
        "InFlightError",
        "KeyMissingError",
        "NotInDoubtError",
        "OutcomeNotRecordedError",
        "ResultUnavailableError",
    ),
    "rml.effect.guard": ("Guard", "guard"),
    "rml.effect.idempotent": ("idempotent",),
    "rml.effect.operation": ("Attempt",),
    "rml.effect.reconcile": ("Finding", "Reconciliation", "reconcile"),
    "rml.effect.reconciler": ("Reconciler",),
    "rml.effect.replays": ("replays",),
    "rml.effect.retry": ("retry",),
    "rml.effect.saga": ("resume_sagas", "saga"),
    "rml.effect.saga_state": ("Saga",),
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
    "rml.export.bundle": ("Bundle",),
    "rml.files": ("FileNotWrittenError",),
    "rml.incident.case": ("Case",),
    "rml.incident.casebook": ("Casebook",),
    "rml.incident.command.role": ("Role",),
    "rml.incident.evidence.impact": ("Impact",),
    "rml.incident.evidence.joining": ("JoinedTimeline",),
    "rml.incident.levers.containment": ("Containment",),
    "rml.incident.levers.lever": ("Lever", "LeverPulledError", "LeverUnreadableError"),
    "rml.incident.levers.levers": ("Levers",),
    "rml.incident.metrics": ("BookMetrics", "CaseMetrics"),
    "rml.incident.pages.casefile": ("CaseFile", "CaseStatus"),
    "rml.incident.private": ("PrivateCaseError",),
    "rml.incident.projection": ("Phase",),
    "rml.incident.remark": ("Remark",),
    "rml.incident.rule": ("CaseClosedError", "StepRefusedError"),
    "rml.incident.severity": ("Sev",),
    "rml.incident.signals.boundary": ("boundary",),
    "rml.incident.signals.escalation": ("Incident", "escalate", "suspect"),
    "rml.incident.signals.hook": ("Escalation", "Hook"),
    "rml.ledger.anchors.anchor": ("Anchor",),
    "rml.ledger.anchors.file_anchor": ("FileAnchor",),
    "rml.ledger.anchors.ledger_anchor": ("LedgerAnchor",),
    "rml.ledger.anchors.witness": ("WitnessAnchor",),
    "rml.ledger.checks.verification": ("Assurance", "Level", "Problem", "Verification"),
    "rml.ledger.corrections.correction": ("Correctable",),
    "rml.ledger.corrections.pending": ("Pending",),
    "rml.ledger.draft": ("Draft", "Receipt"),
    "rml.ledger.enlisting": ("AsyncEnlisted", "Enlisted"),
    "rml.ledger.entry": ("Entry",),
    "rml.ledger.erasures.erasure": ("Erased", "Removal"),
    "rml.ledger.errors": (
        "AnchorError",
        "AppendUnknownError",
        "CopyError",
        "CorrectionTargetError",
        "EnlistmentError",
        "LedgerBusyError",
        "LedgerCorruptError",
        "LedgerUnavailableError",
        "LimitError",
        "NewerFormatError",
        "NoLedgerError",
        "NotALedgerError",
        "OverCorrectionError",
        "PendingEndedError",
        "ProofError",
        "SignatureError",
        "UnknownIdError",
        "UpcastError",
    ),
    "rml.ledger.exports.disclosure": ("Disclosure",),
    "rml.ledger.exports.tiles_export": ("TilesExport",),
    "rml.ledger.ledger": ("Ledger",),
    "rml.ledger.proofs.checkpoint": ("Checkpoint",),
    "rml.ledger.proofs.cosignature": ("WitnessKey",),
    "rml.ledger.proofs.note": ("SignerKey", "VerifierKey"),
    "rml.ledger.proofs.proof": ("ConsistencyProof", "InclusionProof"),
    "rml.ledger.queries.cursor": ("Cursor", "FileCursor"),
    "rml.ledger.queries.follow": ("Follower",),
    "rml.ledger.queries.rows": ("Rows",),
    "rml.ledger.queries.view": ("LedgerView",),
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

"""Ending doubt by asking the other side: reconcilers, one for each operation that has one."""

from __future__ import annotations

import importlib
import inspect
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Final

import attrs

from rml.cause import type_name
from rml.config import current_ledger
from rml.effect.doubt import record_doubt
from rml.effect.errors import NotInDoubtError
from rml.effect.operation import Operation
from rml.effect.resolution import NO_RESULT, resolve
from rml.effect.state import Effect, EffectState
from rml.error import InvalidInputError
from rml.incident.telling import tell
from rml.ledger.entry import check_text
from rml.ledger.ledger import Ledger
from rml.tag import shown

EVIDENCE_CHARACTERS_MAX: Final = 500

_operations: dict[str, Operation] = {}


@attrs.frozen
class Finding:
    """What the other side said about an effect in doubt.

    Attributes:
        happened: ``True`` it did, ``False`` it certainly did not and cannot any more, ``None``
            cannot tell.
        result: with ``True``, the value that later calls are given.
        evidence: where this was seen, such as a charge's id at the provider.
    """

    happened: bool | None
    result: Any = NO_RESULT
    evidence: str = ""

    def __attrs_post_init__(self) -> None:
        if self.happened is not None and not isinstance(self.happened, bool):
            raise InvalidInputError(
                "a finding's happened is True, False or None (cannot tell), "
                f"not {shown(self.happened)}"
            )
        if not self.happened and self.result is not NO_RESULT:
            message = "what did not happen, or may not have, has no result; leave result= out"
            raise InvalidInputError(message)
        if not isinstance(self.evidence, str):
            message = f"a finding's evidence is text, not {type(self.evidence).__name__}"
            raise InvalidInputError(message)


@attrs.frozen
class Reconciliation:
    """What came of reconciling one effect.

    Attributes:
        effect: where the effect stands now.
        happened: what was decided; ``None`` means that it is still in doubt.
        why: the evidence, or why nothing could be decided.
    """

    effect: Effect
    happened: bool | None
    why: str

    def __str__(self) -> str:
        unknown = "still in doubt" if self.effect.state is EffectState.IN_DOUBT else "was decided"
        said = {True: "happened", False: "did not happen", None: unknown}[self.happened]
        return f"{self.effect.operation} {self.effect.key!r}: {said} ({self.why})"


def remember(operation: Operation) -> None:
    """Keep an operation's definition, so that its effects can be reconciled by its name.

    Two functions of two names that share an operation would be given each other's results: that is
    warned of. Functions inside functions are left alone: tests and factories make many of them.
    """
    before = _operations.get(operation.name)
    if before is not None and before.home != operation.home and "<locals>" not in operation.home:
        warnings.warn(
            f"{operation.home} and {before.home} are both the operation {operation.name!r}: a key "
            "of one is a key of the other; give each its own name",
            RuntimeWarning,
            stacklevel=4,
        )
    _operations[operation.name] = operation


def reconcile(
    *, ledger: Ledger | None = None, operation: str | None = None
) -> list[Reconciliation]:
    """Ask each doubtful effect's reconciler, and record what it found.

    An effect whose worker was lost is first recorded as in doubt, which opens or joins its
    incident. One whose operation has no reconciler, or whose reconciler cannot tell or raises,
    stays in doubt. When two reconcile at once, one decision counts.

    Args:
        ledger: the ledger, if not the configured one.
        operation: only effects of this operation.

    Raises:
        NoLedgerError: no ledger is configured.
        InvalidInputError: the operation is no text.
        LedgerBusyError: a finding could not be recorded; it can be tried again.
        LedgerUnavailableError: as LedgerBusyError.
    """
    wanted = None if operation is None else check_text("operation", operation)
    history = current_ledger(ledger)
    return [_settle(history, effect) for effect in _doubtful(history, wanted)]


def _doubtful(ledger: Ledger, operation: str | None) -> Iterator[Effect]:
    for effect in list(ledger.in_doubt()):
        if operation is None or effect.operation == operation:
            known, escalation = (effect, None) if effect.doubted else _doubt(ledger, effect)
            if escalation is not None:
                tell(ledger, escalation)
            yield known


def _doubt(ledger: Ledger, effect: Effect) -> Any:
    return ledger.write(lambda draft: record_doubt(draft, effect.id))


def _settle(ledger: Ledger, effect: Effect) -> Reconciliation:
    definition = _operations.get(effect.operation)
    if definition is None or definition.reconcile is None:
        return Reconciliation(
            effect, None, "no reconciler is defined for this operation in this process"
        )
    try:
        finding = _answer(definition.reconcile, effect)
    except Exception as error:  # noqa: BLE001 - a reconciler that fails decides nothing; it is reported
        return Reconciliation(effect, None, f"the reconciler raised {type_name(type(error))}")
    if not isinstance(finding, Finding):
        return Reconciliation(
            effect, None, f"the reconciler returned {type(finding).__name__}, not an rml.Finding"
        )
    if finding.happened is None:
        return Reconciliation(effect, None, finding.evidence or "the reconciler cannot tell")
    return _decide(ledger, effect, finding, definition)


def _decide(
    ledger: Ledger, effect: Effect, finding: Finding, definition: Operation
) -> Reconciliation:
    happened = bool(finding.happened)
    why = (
        finding.evidence.strip()[:EVIDENCE_CHARACTERS_MAX] or "the reconciler asked the other side"
    )
    by = f"reconciler:{type_name_of(definition.reconcile)}"
    try:
        known = finding.result is not NO_RESULT
        result = definition.returns.adapt(finding.result) if known else NO_RESULT
        decided = ledger.write(
            lambda draft: resolve(
                draft,
                effect.id,
                happened=happened,
                by=by,
                reason=why,
                result=result,
                via="reconciler",
            )
        )
    except InvalidInputError as error:  # a result that cannot be kept must not stop the others
        return Reconciliation(effect, None, f"the finding cannot be recorded: {error.message}")
    except NotInDoubtError:
        return Reconciliation(
            ledger.effect(effect.id), None, "somebody else decided at the same time"
        )
    return Reconciliation(decided, happened, why)


def type_name_of(function: object) -> str:
    """Return a function's name for the record, at most 200 characters."""
    return str(getattr(function, "__qualname__", type(function).__name__))[:200]


def _answer(ask: Callable[[Effect], Any], effect: Effect) -> Any:
    """Call a reconciler; one that is ``async def`` is run to its end by :mod:`rml.threads`."""
    answer = ask(effect)
    if not inspect.isawaitable(answer):
        return answer
    return importlib.import_module("rml.threads").run_to_end(answer)

"""Ending doubt by asking the other side: reconcilers, one for each operation that has one."""

from __future__ import annotations

import importlib
import inspect
import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, Final

import attrs

from rml.cause import type_name
from rml.config import current_ledger
from rml.context import carried
from rml.effect.doubt import record_doubt
from rml.effect.errors import EffectChangedError, NotInDoubtError
from rml.effect.operation import Operation
from rml.effect.resolution import NO_RESULT, resolve
from rml.effect.state import Effect, EffectState, is_forgotten
from rml.error import InvalidInputError
from rml.incident.signals.telling import tell
from rml.ledger.argument import as_seconds
from rml.ledger.entry import check_text
from rml.ledger.ledger import Ledger
from rml.tag import shown

EVIDENCE_CHARACTERS_MAX: Final = 500

_log = logging.getLogger("rml")
_operations: dict[str, Operation] = {}
# What reconcilers are being asked with a timeout, by the ledger's origin and the effect.
_not_back: dict[tuple[str, str], Future[Any]] = {}
# Whether this context is a reconciler's: it would ask about its own effect again.
_is_asked: ContextVar[bool] = ContextVar("rml_is_asked", default=False)


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


def is_defined(operation: str) -> bool:
    """Say whether a handler of this operation is defined in this process."""
    return operation in _operations


def reconcile(
    *,
    ledger: Ledger | None = None,
    operation: str | None = None,
    grace: float | timedelta = 0,
    timeout: float | timedelta | None = None,
) -> list[Reconciliation]:
    """Ask each doubtful effect's reconciler, and record what it found.

    An effect whose worker was lost is first recorded as in doubt, which opens or joins its
    incident; so is one that was not retried while the other side recognises its key. One whose
    operation has no reconciler, or whose reconciler cannot tell or raises, stays in doubt. When two
    reconcile at once, one decision counts, and a finding counts for what was asked about: not once
    anything else has been recorded of the effect.

    Args:
        ledger: the ledger, if not the configured one.
        operation: only effects of this operation.
        grace: seconds after the end of a lease in which its worker is not given up yet: one that
            was suspended, or whose ledger was busy, may be about to report.
        timeout: seconds that a reconciler may take; it is called in a thread of its own then, and
            not again before it has come back. Without it, it is called here and takes its time.

    Raises:
        NoLedgerError: no ledger is configured.
        InvalidInputError: the operation is no text, a number of seconds is none, or this is called
            by a reconciler.
        LedgerBusyError: a finding could not be recorded; it can be tried again.
        LedgerUnavailableError: as LedgerBusyError.
    """
    return list(Questions.of(operation, grace, timeout).ask(current_ledger(ledger)))


@attrs.frozen
class Questions:
    """Which effects' reconcilers are asked, when, and for how long."""

    operation: str | None
    grace: timedelta
    timeout: float | None

    @classmethod
    def of(cls, operation: object, grace: object, timeout: object) -> Questions:
        """Return the checked form of what a caller wants, as :func:`reconcile` takes it.

        Raises:
            InvalidInputError: the operation is no text, or a number of seconds is none.
        """
        return cls(
            None if operation is None else check_text("operation", operation),
            timedelta(seconds=as_seconds("grace", grace)),
            None if timeout is None else as_seconds("timeout", timeout),
        )

    def ask(self, ledger: Ledger) -> Iterator[Reconciliation]:
        """Ask about one effect in doubt after the other, and yield what came of it.

        Raises:
            InvalidInputError: a reconciler does so.
        """
        if _is_asked.get():
            raise InvalidInputError("a reconciler cannot reconcile; it says what it has found")
        self._doubt_forgotten(ledger)
        for effect in list(ledger.in_doubt()):
            if self.operation in (None, effect.operation):
                yield self._doubt_and_ask(ledger, effect)

    def _doubt_forgotten(self, ledger: Ledger) -> None:
        """Record as in doubt what waits for a retry under a key that is forgotten by now.

        Only its handler's definition knows for how long the other side keeps a key.
        """
        wanted = [self.operation] if self.operation is not None else list(_operations)
        declared = {name: _operations[name] for name in wanted if name in _operations}
        declared = {name: one for name, one in declared.items() if one.provider_idempotent}
        for effect_id in ledger.unended() if declared else ():
            effect = ledger.look(effect_id)
            definition = None if effect is None else declared.get(effect.operation)
            if effect is None or definition is None:
                continue
            retention = definition.retention
            if is_forgotten(effect, ledger.clock.now(), retention):
                _doubt(ledger, effect, retention)

    def _doubt_and_ask(self, ledger: Ledger, effect: Effect) -> Reconciliation:
        if not effect.doubted:
            lost = effect.lease_until
            if lost is not None and lost + self.grace > ledger.clock.now():
                why = f"its lease ended less than {self.grace.total_seconds():g} s ago"
                return Reconciliation(effect, None, why)
            effect = _doubt(ledger, effect)
        return _settle(ledger, effect, self.timeout)


def _doubt(ledger: Ledger, effect: Effect, retention: float = float("inf")) -> Effect:
    """Record that nobody knows whether an effect happened, and return where it stands."""
    doubted, escalation = ledger.write(lambda draft: record_doubt(draft, effect.id, retention))
    if escalation is not None:
        tell(ledger, escalation)
    return doubted


def _settle(ledger: Ledger, effect: Effect, timeout: float | None) -> Reconciliation:
    if effect.state is not EffectState.IN_DOUBT:
        return Reconciliation(effect, None, "somebody else was faster")
    definition = _operations.get(effect.operation)
    if definition is None or definition.reconcile is None:
        return Reconciliation(
            effect, None, "no reconciler is defined for this operation in this process"
        )
    try:
        finding = _found(ledger, definition.reconcile, effect, timeout)
    except _NoFindingError as error:
        return Reconciliation(effect, None, str(error))
    except Exception as error:  # noqa: BLE001 - a reconciler that fails decides nothing; it is reported
        return Reconciliation(effect, None, _raised(error))
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
                version=effect.version,
                via="reconciler",
            )
        )
    except InvalidInputError as error:  # a result that cannot be kept must not stop the others
        return Reconciliation(effect, None, f"the finding cannot be recorded: {error.message}")
    except NotInDoubtError:
        return Reconciliation(
            ledger.effect(effect.id), None, "somebody else decided at the same time"
        )
    except EffectChangedError:
        return Reconciliation(
            ledger.effect(effect.id), None, "something was recorded of it meanwhile; ask again"
        )
    return Reconciliation(decided, happened, why)


def type_name_of(function: object) -> str:
    """Return a function's name for the record, at most 200 characters."""
    return str(getattr(function, "__qualname__", type(function).__name__))[:200]


def _answer(ask: Callable[[Effect], Any], effect: Effect) -> Any:
    """Call a reconciler; one that is ``async def`` is run to its end by :mod:`rml.threads`."""
    token = _is_asked.set(True)
    try:
        answer = ask(effect)
        if not inspect.isawaitable(answer):
            return answer
        return importlib.import_module("rml.threads").run_to_end(answer)
    finally:
        _is_asked.reset(token)


def _raised(error: BaseException) -> str:
    """Say that a reconciler raised; what, and where, is in the log: its text may be a secret."""
    _log.info("a reconciler raised", exc_info=error)
    return f"the reconciler raised {type_name(type(error))}"


class _NoFindingError(Exception):
    """A reconciler has taken too long, and may still come back; or it has ended its own thread."""


def _found(
    ledger: Ledger, ask: Callable[[Effect], Any], effect: Effect, timeout: float | None
) -> Any:
    """Return what a reconciler returns in time; one that has not come back is not called again."""
    if timeout is None:
        return _answer(ask, effect)
    question = (ledger.origin, effect.id)
    if question in _not_back and not _not_back[question].done():
        raise _NoFindingError("the reconciler has not come back yet")
    answer = _not_back[question] = _ask_apart(ask, effect)
    wait([answer], timeout)
    if not answer.done():
        raise _NoFindingError(f"the reconciler took more than {timeout:g} s")
    del _not_back[question]
    error = answer.exception()
    if error is None or isinstance(error, KeyboardInterrupt):
        return answer.result()
    raise _NoFindingError(_raised(error))  # an exit would have ended the reconciler's thread alone


def _ask_apart(ask: Callable[[Effect], Any], effect: Effect) -> Future[Any]:
    """Call a reconciler in a thread that keeps no process alive, should it never come back."""
    answer: Future[Any] = Future()
    job = carried(_answer)

    def run() -> None:
        try:
            found = job(ask, effect)
        except BaseException as error:  # noqa: BLE001 - it is read from the future
            answer.set_exception(error)
        else:
            answer.set_result(found)

    threading.Thread(target=run, name="rml-reconcile", daemon=True).start()
    return answer

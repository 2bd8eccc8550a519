"""What a saga records, each in one commit: its start, its turn, its end.

Who carries a saga out holds its lease, so that nobody resumes it meanwhile. The lease is good
manners, and safety does not rest on it: a step's own intent keeps it from being done twice, and a
step joins its saga (:mod:`rml.effect.saga_body`) in the commit of that intent, which is refused
once the saga has turned back.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from rml.clock import parse_utc
from rml.effect.decide import summary_of
from rml.effect.doubt import Why, look, put_in_doubt, record_doubt
from rml.effect.errors import (
    CompensationFailedError,
    EffectFailedError,
    FingerprintMismatchError,
    InFlightError,
    ResultUnavailableError,
)
from rml.effect.operation import Outcome, Promise
from rml.effect.saga_state import (
    ARGUMENTS,
    ELAPSED,
    STATE,
    End,
    Saga,
    SagaState,
    SagaStep,
    decide,
    fold_saga,
    unfinished,
)
from rml.effect.state import ERROR, FAILURE, NO_RESULT, REQUEST, RESULT, EffectState
from rml.error import InvalidInputError, RmlError
from rml.incident.signals.hook import Escalation
from rml.incident.signals.marks import incident_of
from rml.incident.signals.opening import Signal, open_or_join
from rml.ledger.draft import Draft
from rml.world import Action, World

_TURNED_BACK: Final = Why(
    "its saga turned back", "its saga turned back before a retry could tell", "saga"
)


def _known(draft: Draft, saga_id: str) -> Saga:
    """Return where a saga stands inside a commit, without its steps."""
    saga = fold_saga(draft.of_effect(saga_id))
    assert saga is not None, "it was taken before"
    return saga


# ----------------------------------------------------------------------------------- the way there


def take(
    draft: Draft, saga_id: str, promised: Promise, arguments: dict[str, Any], lease: float
) -> Saga:
    """Start a saga, or take it over as :func:`take_over`; return where it stands.

    Raises:
        FingerprintMismatchError: it was started with another request.
        ResultUnavailableError: the request with which it was started has been erased.
    """
    asked = promised.request
    saga = fold_saga(draft.of_effect(saga_id))
    if saga is not None:
        check_request(saga, promised)
        return take_over(draft, saga_id, lease)
    started = draft.record(
        "saga.started",
        world=World.RML2,
        facts=promised.facts,
        personal={REQUEST: promised.fingerprint, ARGUMENTS: arguments},
        **_header(asked.operation, asked.scope, asked.key, saga_id),
    )
    draft.grant(saga_id, 1, started.id, lease)
    return _known(draft, saga_id)


def take_over(draft: Draft, saga_id: str, lease: float) -> Saga:
    """Take over a saga that nobody carries out; return where it stands.

    Raises:
        InFlightError: somebody is carrying it out.
    """
    saga = _known(draft, saga_id)
    held = draft.lease(saga_id)
    if held is not None:
        until = parse_utc(held.until)
        if until > draft.now:
            raise InFlightError(
                f"saga {saga.operation!r} is being carried out for key {saga.key!r}",
                details={"saga": saga_id, "key": saga.key},
                retry_after=until - draft.now,
            )
        draft.grant(saga_id, 1, held.owner, lease)
    return saga


def check_request(saga: Saga, promised: Promise) -> None:
    """Refuse a saga that was started with another request, as :func:`take`."""
    details = {"saga": saga.id, "operation": saga.operation, "key": saga.key}
    if saga.request is None:
        raise ResultUnavailableError(
            f"the request of saga {saga.operation!r} for key {saga.key!r} has been erased, so this "
            f"call cannot be compared with it (it is {saga.state}); use a new key",
            details=details,
            happened=None,
        )
    if not promised.request.matches(saga.request):
        raise FingerprintMismatchError(
            f"key {saga.key!r} of saga {saga.operation!r} was used before with another request "
            f"({saga.state}); use a new key for a new request, or name what may differ in exclude=",
            details=details,
        )


def leave(draft: Draft, saga_id: str) -> None:
    """Let go of a saga that has not ended: whoever resumes it need not wait."""
    held = draft.lease(saga_id)
    if held is not None:
        draft.grant(saga_id, 1, held.owner, 0)


# ------------------------------------------------------------------------------------ the way back


def turn(draft: Draft, saga_id: str, error: RmlError) -> tuple[Saga, bool]:
    """Record that a saga failed, and return whether it was news; no step begins from now on."""
    saga = _known(draft, saga_id)
    if saga.state is not SagaState.RUNNING:
        return saga, False
    draft.record(
        "saga.failed",
        world=World.RML2,
        facts={ERROR: summary_of(error)},
        personal={FAILURE: error.to_dict()},
        **header_of(saga),
    )
    return _known(draft, saga_id), True


def record_unknown(draft: Draft, effect_id: str) -> Escalation | None:
    """Record that nobody knows whether a step or its undoing happened, unless somebody knows now.

    A lost worker left it so, or one that may have reached the other side and is not to try again.
    """
    effect = look(draft, effect_id)
    assert effect is not None
    if effect.state is not EffectState.RETRYING:
        return record_doubt(draft, effect_id)[1]
    return put_in_doubt(draft, effect, _TURNED_BACK)


def conclude(draft: Draft, saga_id: str, elapsed_ms: int | None) -> Saga:
    """End a saga on whose way back nothing is left to do, unless somebody was faster.

    Args:
        draft: the commit.
        saga_id: the saga.
        elapsed_ms: since it turned back, by a monotonic clock, if one process saw both.
    """
    saga = fold_saga(draft.of_effect(saga_id), lambda effect: look(draft, effect))
    assert saga is not None, "it was taken before"
    ending = decide(saga)
    if saga.state is not SagaState.COMPENSATING or not isinstance(ending, End):
        return saga
    facts: dict[str, Any] = {STATE: ending.state.value}
    if elapsed_ms is not None:
        facts[ELAPSED] = elapsed_ms
    if not ending.stuck:
        return _end(draft, saga, facts)
    error = _not_undone(saga, ending)
    facts[ERROR] = summary_of(error)
    incident = error.details["incident"]
    return _end(draft, saga, facts, personal={FAILURE: error.to_dict()}, incident=incident)


def _not_undone(saga: Saga, ending: End) -> CompensationFailedError:
    """Return the error for steps that stay; the newest one's incident knows of the saga, too."""
    newest = ending.stuck[0]
    undo = newest.undo or newest.effect
    names = ", ".join(step.effect.operation for step in ending.stuck)
    return CompensationFailedError(
        f"saga {saga.operation!r} for key {saga.key!r} is not undone: {names}; see {undo.incident}",
        details={"saga": saga.id, "key": saga.key, "incident": undo.incident},
    )


# ------------------------------------------------------------------------------------------ the end


def succeed(
    draft: Draft, saga_id: str, outcome: Outcome, reached: Collection[str]
) -> tuple[Saga, bool]:
    """Record that the body returned, unless the saga has ended or turned back meanwhile.

    An earlier run may have begun a step that this one has not ``reached``: the code has changed, or
    has taken another branch. What happened there would be part of nothing, so the saga turns back
    instead, and the second of what is returned says so.
    """
    saga = fold_saga(draft.of_effect(saga_id), lambda effect: look(draft, effect))
    assert saga is not None, "it was taken before"
    if saga.state is not SagaState.RUNNING:
        return saga, False
    left_out = [step for step in unfinished(saga) if step.effect.id not in reached]
    if left_out:
        return turn(draft, saga_id, _left_out(saga, left_out))
    facts = {STATE: SagaState.DONE.value}
    if outcome.why_no_value is not None:
        return _end(draft, saga, {**facts, NO_RESULT: outcome.why_no_value}), False
    return _end(draft, saga, facts, personal={RESULT: outcome.value}), False


def _left_out(saga: Saga, steps: Sequence[SagaStep]) -> EffectFailedError:
    names = ", ".join(f"{step.effect.operation} ({step.effect.id})" for step in steps)
    return EffectFailedError(
        f"saga {saga.operation!r} for key {saga.key!r} returned without {names}, which an earlier "
        "run of it began: its code has changed or took another way; the whole saga is undone",
        details={"saga": saga.id, "key": saga.key, "steps": [s.effect.id for s in steps]},
        action=Action.START_COMPENSATION,
    )


def become_history(
    draft: Draft, saga_id: str, error: Exception, signal: Signal
) -> tuple[Saga, Escalation | None]:
    """Record that a saga ended in RML3: nothing is undone by itself, and an incident knows.

    One that has ended or turned back meanwhile stays as it is; the error is escalated all the same.
    """
    saga = _known(draft, saga_id)
    incident, escalation = incident_of(error), None
    if incident is None or not draft.entries(incident=incident, limit=1):
        escalation = open_or_join(draft, signal)
        incident = escalation.incident
    if saga.state is not SagaState.RUNNING:
        return saga, escalation
    facts = {STATE: SagaState.HISTORY.value, ERROR: summary_of(error)}
    kept = {FAILURE: error.to_dict()} if isinstance(error, RmlError) else {}
    return _end(draft, saga, facts, personal=kept, incident=incident), escalation


def _end(
    draft: Draft,
    saga: Saga,
    facts: dict[str, Any],
    *,
    personal: dict[str, Any] | None = None,
    incident: str | None = None,
) -> Saga:
    draft.record(
        "saga.ended",
        world=World.RML2 if incident is None else World.RML3,
        facts=facts,
        personal=personal,
        incident=incident,
        **header_of(saga),
    )
    draft.release(saga.id)
    return _known(draft, saga.id)


def failure_of(saga: Saga) -> RmlError:
    """Return what a saga that has turned back or ended is refused with: the failure it had."""
    details = {"saga": saga.id, "operation": saga.operation, "key": saga.key}
    if saga.incident is not None:
        details["incident"] = saga.incident
    if saga.state is SagaState.DONE:
        message = f"saga {saga.operation!r} has ended for key {saga.key!r}; no step follows"
        return InvalidInputError(message, details=details, happened=False)
    if saga.failure is not None:
        return RmlError.from_dict(saga.failure)
    message = f"saga {saga.operation!r} failed for key {saga.key!r} ({saga.state})"
    if saga.state is SagaState.HISTORY:
        return EffectFailedError(message, details=details, world=World.RML3)
    return EffectFailedError(message, details=details, action=Action.START_COMPENSATION)


def unavailable(saga: Saga) -> ResultUnavailableError:
    """Return the error for a saga that is done and whose value cannot be given again."""
    return ResultUnavailableError(
        f"saga {saga.operation!r} is done for key {saga.key!r}, but {saga.why_not}; it is not run "
        "a second time",
        details={"saga": saga.id, "operation": saga.operation, "key": saga.key},
    )


def header_of(saga: Saga) -> dict[str, Any]:
    """Return the header fields that every entry of a saga has."""
    return _header(saga.operation, saga.scope, saga.key, saga.id)


def _header(operation: str, scope: str | None, key: str, saga_id: str) -> dict[str, Any]:
    return {"operation": operation, "scope": scope, "key": key, "effect": saga_id}

"""The state machine at the heart: what a call may do, and what a handler's end means; no I/O."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

import attrs

from rml.cause import type_name
from rml.clock import utc_text
from rml.effect.errors import (
    CompensationFailedError,
    EffectFailedError,
    FingerprintMismatchError,
    InDoubtError,
    InFlightError,
    ResultUnavailableError,
)
from rml.effect.request import Request
from rml.effect.state import Effect, EffectState, is_forgotten
from rml.error import ClosedError, DialogError, HistoryError, RmlError
from rml.judgement import never_left
from rml.verdict import happened_of
from rml.world import Action, World


@attrs.frozen
class Run:
    """Call the handler, as this attempt, with this generation of the provider's key."""

    attempt: int
    generation: int


@attrs.frozen
class Replay:
    """Give the recorded value again; one that was ``decided`` is made into the annotated type."""

    value: Any
    decided: bool = False


@attrs.frozen
class Wait:
    """Another call is carrying it out, and need not be doubted before ``until``."""

    until: datetime | None
    error: RmlError


@attrs.frozen
class Refuse:
    """Raise this; the handler is not called.

    ``incident`` is the one that knows of it already, ``repeats`` the effect whose recorded failure
    this is.
    """

    error: RmlError
    incident: str | None = None
    repeats: str | None = None


@attrs.frozen
class Doubt:
    """The worker was lost, or the other side's memory is: record the doubt, then refuse."""

    effect: Effect


Decision: TypeAlias = Run | Replay | Wait | Refuse | Doubt


def decide(
    effect: Effect | None, request: Request, now: datetime, retention: float = float("inf")
) -> Decision:
    """Return what a call may do, given where its effect stands.

    The request's fingerprint is compared before all else. ``retention`` is how long the other side
    recognises an idempotency key, in seconds.
    """
    if effect is None:
        return Run(attempt=1, generation=1)
    if effect.request is None:
        return Refuse(_erased(effect))
    if not request.matches(effect.request):
        return Refuse(_mismatch(effect))
    match effect.state:
        case EffectState.NOT_DONE | EffectState.RETRYING:
            run = Run(attempt=effect.attempt + 1, generation=effect.generation)
            return Doubt(effect) if is_forgotten(effect, now, retention) else run
        case EffectState.DONE:
            return (
                Replay(effect.result, effect.decided)
                if effect.replay
                else Refuse(_unavailable(effect), effect.incident)
            )
        case EffectState.IN_FLIGHT:
            return Wait(effect.lease_until, _in_flight(effect, now))
        case EffectState.IN_DOUBT:
            known = Refuse(in_doubt_error(effect), effect.incident)
            return known if effect.doubted else Doubt(effect)
        case EffectState.FAILED | EffectState.HISTORY:
            return Refuse(_same_failure(effect), effect.incident, effect.id)


@attrs.frozen
class Ending:
    """What a handler's end means: the outcome's kind, and whether an incident follows.

    ``new_key`` says that the provider may have answered with a refusal, which it would give again,
    so the next attempt needs a key that it has not seen. After a request that never reached it the
    key stays: should anything have gone out under it before, the provider recognises it.
    """

    kind: str
    escalates: bool = False
    gray: bool = False
    new_key: bool = False


DONE: Final = Ending("effect.done")
IN_DOUBT: Final = Ending("effect.in_doubt", escalates=True, gray=True)
NEVER_CALLED: Final = Ending("effect.not_done")
RETRYING: Final = Ending("effect.retrying")


def ending_of(error: BaseException, *, provider_idempotent: bool, sent: bool = False) -> Ending:
    """Return what it means for an effect that its handler raised this: the architecture's table.

    ``sent`` tells that the handler had said before that a request had left.
    """
    if not isinstance(error, Exception):
        return IN_DOUBT  # interrupted or cancelled somewhere in the middle
    happened = _happened(error, sent=sent)
    if isinstance(error, RmlError) and error.world is World.RML3:
        return Ending("effect.history", escalates=True, gray=happened is None)
    if happened is True:
        return DONE
    if isinstance(error, RmlError):
        return _ending_of_dialog(error, happened=happened, provider_idempotent=provider_idempotent)
    return _refused(error) if happened is False else IN_DOUBT


def after_unknown(ending: Ending, error: BaseException | None) -> Ending:
    """Return what an attempt's end means after one under its provider key that may have happened.

    That this attempt did nothing says nothing of the one before. If it never reached the other
    side, or its error asks for another attempt, there may be one: the other side recognises the
    key. But a refusal that nobody would try again is the last word, and it contradicts what may
    have happened, so somebody must look.
    """
    if ending.kind == "effect.failed":
        return IN_DOUBT
    if ending.kind != "effect.not_done":
        return ending
    asks_again = isinstance(error, RmlError) and error.action is Action.RETRY_WITH_BACKOFF
    return IN_DOUBT if ending.new_key and not asks_again else RETRYING


def _refused(error: Exception) -> Ending:
    return Ending("effect.not_done", new_key=not never_left(error))


def _happened(error: Exception, *, sent: bool) -> bool | None:
    if isinstance(error, RmlError) and _is_the_librarys(type(error)):
        return None  # what it says is about a call of this library, not about the handler's effect
    try:
        return happened_of(error, sent=sent)
    except Exception:  # noqa: BLE001 - a verdict that cannot be given is no verdict: unknown
        return None


def _is_the_librarys(kind: type[RmlError]) -> bool:
    """Say whether an error is one of the library's own, rather than one that handlers raise."""
    home = kind.__module__
    ours = home.startswith("rml.") and not home.startswith("rml.demo.")
    raised_by_handlers = {RmlError, ClosedError, DialogError, HistoryError, CompensationFailedError}
    return ours and kind not in raised_by_handlers


def _ending_of_dialog(
    error: RmlError, *, happened: bool | None, provider_idempotent: bool
) -> Ending:
    if error.world is World.RML1:
        return Ending("effect.not_done") if happened is False else IN_DOUBT
    if error.action is Action.START_COMPENSATION:
        return Ending("effect.failed")
    if happened is False:
        return _refused(error)
    return RETRYING if provider_idempotent else IN_DOUBT


def summary_of(error: BaseException) -> dict[str, Any]:
    """Return what may be recorded in clear about a failure: kinds and codes, no stranger's text."""
    if isinstance(error, RmlError):
        return {
            "type": type_name(type(error)),
            "code": error.code,
            "world": error.world.value,
            "action": error.action.value,
            "severity": error.severity.value,
        }
    return {"type": type_name(type(error))}


def _details(effect: Effect) -> dict[str, Any]:
    details: dict[str, Any] = {
        "effect": effect.id,
        "operation": effect.operation,
        "key": effect.key,
    }
    if effect.incident is not None:
        details["incident"] = effect.incident
    return details


def _mismatch(effect: Effect) -> RmlError:
    message = (
        f"key {effect.key!r} of {effect.operation!r} was used before with another request "
        f"({effect.state}); "
        "use a new key for a new request, or name what may differ in exclude="
    )
    return FingerprintMismatchError(message, details=_details(effect))


def _in_flight(effect: Effect, now: datetime) -> RmlError:
    left = (
        max((effect.lease_until - now) / timedelta(seconds=1), 0.0) if effect.lease_until else None
    )
    until = f"; its lease ends at {utc_text(effect.lease_until)}" if effect.lease_until else ""
    since = utc_text(effect.started_at)
    message = f"key {effect.key!r} of {effect.operation!r} is in flight since {since}{until}"
    return InFlightError(message, details=_details(effect), retry_after=left)


def in_doubt_error(effect: Effect) -> RmlError:
    """Return the error for a call whose effect is in doubt."""
    where = f"; see {effect.incident}" if effect.incident else ""
    message = (
        f"nobody knows whether {effect.operation!r} happened for key {effect.key!r} "
        f"(attempt {effect.attempt}){where}; "
        f"reconcile it, or decide with ledger.resolve({effect.id!r}, version={effect.version}, ...)"
    )
    return InDoubtError(message, details={**_details(effect), "version": effect.version})


def _unavailable(effect: Effect) -> RmlError:
    message = (
        f"{effect.operation!r} is done for key {effect.key!r}, but {effect.why_not}; "
        "it is not run a second time"
    )
    return ResultUnavailableError(message, details=_details(effect))


def _erased(effect: Effect) -> RmlError:
    erased = f"the request for key {effect.key!r} of {effect.operation!r} has been erased"
    if effect.state is EffectState.DONE:
        message = f"{erased}; the effect is done, cannot be replayed, and is not run a second time"
    else:
        message = (
            f"{erased}, so this call cannot be compared with it (the effect is {effect.state}); "
            "use a new key"
        )
    return ResultUnavailableError(message, details=_details(effect), happened=None)


def _same_failure(effect: Effect) -> RmlError:
    if effect.failure is not None:
        return RmlError.from_dict(effect.failure)
    message = f"{effect.operation!r} failed for key {effect.key!r}"
    if effect.error:
        kind = effect.error.get("code") or effect.error.get("type")
        message += f" with {kind}; its text has been erased"
    if effect.state is EffectState.HISTORY:
        return EffectFailedError(message, details=_details(effect), world=World.RML3)
    return EffectFailedError(message, details=_details(effect), action=Action.START_COMPENSATION)

"""The decorator: a handler called after its intent is durable, at most once without a decision."""

from __future__ import annotations

import functools
import importlib
import inspect
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar

from rml.effect.call import (
    PAUSE_FIRST_SECONDS,
    PAUSE_LONGEST_SECONDS,
    Call,
    attempts,
    late,
    not_recorded,
    record_failure,
    refuse_unawaited,
    refused,
    start,
)
from rml.effect.decide import NEVER_CALLED, Doubt, Refuse, Replay
from rml.effect.definition import PROTECTED, define, options_of, seconds
from rml.effect.errors import DefinitionError
from rml.effect.guard import guard, without_guards
from rml.effect.heartbeat import running
from rml.effect.operation import LEASE_SECONDS, Attempt, Operation, Outcome
from rml.effect.reconcile import remember
from rml.effect.request import binder
from rml.effect.spelling import spelled
from rml.effect.state import Effect
from rml.incident.signals.marks import note_begun
from rml.ledger.ledger import Ledger
from rml.world import World

P = ParamSpec("P")
R = TypeVar("R")


@spelled('@rml.idempotent("payment.charge", key="payment_id")')
def idempotent(
    operation: str,
    *,
    key: str | Callable[..., Any],
    scope: str | Callable[..., Any] | None = None,
    world: World | str = World.RML3,
    provider_idempotent: bool = False,
    retention: float | timedelta | None = None,
    reconcile: Callable[[Effect], Any] | None = None,
    wait: float | timedelta = 0,
    exclude: Sequence[str] = (),
    facts: Sequence[str] = (),
    personal: Sequence[str] = (),
    lease: float | timedelta = LEASE_SECONDS,
    corrects: str | Callable[..., Any] | None = None,
    lever: bool = True,
    connection: str | Callable[..., Any] | None = None,
    ledger: Ledger | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a handler's effect happen at most once for a key without a decision.

    The intent is durable before the handler is called, the outcome after. A later call with the
    same key and the same arguments is given the recorded value; with other arguments it is refused.
    What nobody can know stays in doubt until a reconciler or a person decides.

    A handler has one effect, so what a client raises in it is taken to be about that effect: a
    refused connection to anything else, caught by nobody, would count as a refused payment. Once
    the handler has read :attr:`Attempt.provider_key`, this holds only of a request that bears the
    key; the failure of any other proves nothing. Talk to others outside the handler.

    Args:
        operation: the operation's name, such as ``payment.charge``. Its history belongs to the
            name, not to the function, which may move.
        key: what names one effect: a parameter, a dotted path from one, or a callable of some of
            the parameters. Keys are recorded in clear.
        scope: what keys are unique within, such as the tenant; picked like the key.
        world: where the effect takes place.
        provider_idempotent: the other side honours :attr:`Attempt.provider_key`, so that a
            ``retry-with-backoff`` may run again.
        retention: seconds for which the other side recognises that key, from when it first saw it;
            24 hours, unless said. What has not been retried by then is in doubt.
        reconcile: asks the other side about an effect in doubt and returns an :class:`Finding`.
        wait: seconds that a duplicate waits for the call in flight; 0 refuses it at once.
        exclude: parameters that may differ between repetitions.
        facts: parameters recorded in clear, for queries. Nothing else of a request is.
        personal: parameters recorded erasably.
        lease: seconds after which an attempt without an outcome is in doubt, counted from its
            process's last sign of life.
        corrects: picks the id of the effect or entry that this effect corrects, such as the charge
            of a refund.
        lever: whether :meth:`rml.Levers.pull` stops it, by the operation's name.
        connection: picks the database connection or session that the handler changes rows with, if
            these rows are its effect; picked like the key. The effect is recorded in the same
            transaction, which the caller commits, and nothing of it stays in doubt.
        ledger: the ledger to record in, if not the configured one.

    Raises:
        DefinitionError: the operation cannot be kept safe as it is defined.
    """
    options = options_of(
        world, lease, reconcile, provider_idempotent=provider_idempotent, retention=retention
    )
    patience = seconds("wait", wait, 0)
    picks = {"key": key, "scope": scope, "corrects": corrects, "connection": connection}
    names = {"exclude": exclude, "facts": facts, "personal": personal}
    if ledger is not None and not isinstance(ledger, Ledger):
        raise DefinitionError(f"ledger must be an rml.Ledger, not {type(ledger).__name__}")

    if not isinstance(lever, bool):
        raise DefinitionError("lever must be True or False")

    def decorate(handler: Callable[P, R]) -> Callable[P, R]:
        if isinstance(handler, staticmethod):  # it would hide a coroutine or a generator
            handler = handler.__func__
        handler, guards = without_guards(handler)
        defined = define(operation, handler, picks=picks, names=names, options=options)
        if lever:
            guards.insert(0, guard(operation, world=defined.world))
        for one in guards:
            one.stand_at(defined)
        face = _face
        if inspect.iscoroutinefunction(handler):  # a program without async def does without asyncio
            face = importlib.import_module("rml.effect.asynchronous").face
        if defined.connection is not None:
            face = importlib.import_module("rml.effect.enlisted").face
        protected: Callable[P, R] = face(handler, defined, patience, ledger)
        remember(defined)
        setattr(protected, PROTECTED, defined)
        return protected

    return decorate


def _face(
    handler: Callable[..., Any], operation: Operation, patience: float, given: Ledger | None
) -> Any:
    """Return the protected form of a ``def`` handler."""
    bind = binder(operation.signature, handler.__name__)

    @functools.wraps(handler)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        call = start(operation, given, bind(*args, **kwargs))
        deadline = None
        pause = PAUSE_FIRST_SECONDS
        while True:
            decision = call.enter()
            if isinstance(decision, Attempt):
                if call.is_lost():
                    call.end(decision, Outcome(NEVER_CALLED))
                    continue
                return _carry_out(call, decision, handler, args, kwargs)
            if isinstance(decision, Replay):
                return call.replay(decision)
            if isinstance(decision, Doubt):
                call.doubt()
                continue
            deadline = deadline or time.monotonic() + patience
            if isinstance(decision, Refuse) or time.monotonic() >= deadline:
                raise refused(decision)
            running.wait(call.asked.effect, pause)
            pause = min(pause * 2, PAUSE_LONGEST_SECONDS)

    return wrapper


def _carry_out(
    call: Call,
    attempt: Attempt,
    handler: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    try:
        call.start(attempt, threading.current_thread().is_alive)
        return _called(call, attempt, handler, args, kwargs)
    finally:
        running.end(attempt.id, attempt.owner)


def _called(
    call: Call,
    attempt: Attempt,
    handler: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    token = attempts.set((*attempts.get(), attempt))
    note_begun(attempt.id)
    try:
        value = handler(*args, **kwargs)
        refuse_unawaited(call.operation, value)
    except BaseException as error:
        outcome = call.error_outcome(attempt, error)
        record_failure(error, attempt, functools.partial(call.finish, attempt, outcome))
        raise
    finally:
        attempts.reset(token)
    try:
        recorded = call.finish(attempt, call.value_outcome(value))
    except Exception as error:
        raise not_recorded(attempt, error) from error
    if recorded.late:
        raise late(attempt)
    return value

"""The face of the decorator for effects that are the application's own rows.

The handler's rows, the intent and the outcome are one part of one transaction, which the
application commits: all of them become durable together or not at all, so nothing stays in doubt.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import attrs

from rml.effect.call import Call, attempts, refuse_unawaited, refused, start
from rml.effect.decide import Decision, Replay, Run
from rml.effect.errors import DefinitionError, InDoubtError
from rml.effect.operation import Attempt, Operation
from rml.effect.request import binder, pick
from rml.incident.signals.marks import note_begun
from rml.ledger.enlisting import enlistment_of
from rml.ledger.ledger import Ledger


def face(
    handler: Callable[..., Any], operation: Operation, patience: float, given: Ledger | None
) -> Any:
    """Return the protected form of a handler that is called with a connection.

    Raises:
        DefinitionError: the handler is ``async def``, or an option says nothing here.
    """
    connection_of = operation.connection
    assert connection_of is not None
    _check(handler, operation, patience)
    bind = binder(operation.signature, handler.__name__)

    @functools.wraps(handler)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        arguments = bind(*args, **kwargs)
        call = start(operation, given, arguments)
        decision = call.look()
        if not isinstance(decision, Run):
            return _answer(call, decision)
        connection = pick("the connection", connection_of, arguments)
        leave = enlistment_of(connection).way_out()
        begun: Decision | Attempt | None = None
        try:
            enlisted = call.ledger.on(connection)
            joined = attrs.evolve(call, writer=enlisted)
            with enlisted.part() as is_open:
                begun = joined.begin()
                if not isinstance(begun, Attempt):  # somebody was faster, or it is in this one
                    return _answer(joined, begun)
                value = _run(begun, operation, functools.partial(handler, *args, **kwargs))
                if not is_open():
                    raise _ended(begun)
                joined.finish(begun, joined.value_outcome(value))
        finally:
            if not isinstance(begun, Attempt):
                leave()  # a transaction in which nothing was done would keep others from writing
        return value

    return wrapper


def _check(handler: Callable[..., Any], operation: Operation, patience: float) -> None:
    if inspect.iscoroutinefunction(handler):
        raise DefinitionError(
            f"{operation.name!r} has connection=, which is for handlers that are a plain def"
        )
    if patience or operation.provider_idempotent:
        raise DefinitionError(
            f"{operation.name!r} has connection=, so its effect is rows of its own: a duplicate "
            "waits for their transaction, and no provider is asked; leave out wait= and "
            "provider_idempotent="
        )


def _answer(call: Call, decision: Decision) -> Any:
    """Give the recorded value again, or refuse: in this transaction, no doubt is recorded."""
    if isinstance(decision, Replay):
        return call.replay(decision)
    raise refused(decision)


def _run(attempt: Attempt, operation: Operation, handler: Callable[[], Any]) -> Any:
    token = attempts.set((*attempts.get(), attempt))
    note_begun(attempt.id)
    try:
        value = handler()
        refuse_unawaited(operation, value)
    finally:
        attempts.reset(token)
    return value


def _ended(attempt: Attempt) -> InDoubtError:
    return InDoubtError(
        f"the transaction of {attempt.operation!r} for key {attempt.key!r} was ended or rolled "
        "back in its handler: after a commit the effect is in doubt; leave the end to the caller",
        details={"effect": attempt.id, "key": attempt.key},
    )

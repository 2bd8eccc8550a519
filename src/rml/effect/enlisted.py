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
from rml.effect.request import Arguments, binder, pick
from rml.incident.signals.marks import note_begun
from rml.ledger.enlisting import awaiting_of, check_turn, enlistment_of, in_turn, join
from rml.ledger.errors import EnlistmentError
from rml.ledger.ledger import Ledger


def face(
    handler: Callable[..., Any], operation: Operation, patience: float, given: Ledger | None
) -> Any:
    """Return the protected form of a handler that is called with a connection.

    Raises:
        DefinitionError: an option says nothing here.
    """
    if patience or operation.provider_idempotent:
        raise DefinitionError(
            f"{operation.name!r} has connection=, so its effect is rows of its own: a duplicate "
            "waits for their transaction, and no provider is asked; leave out wait= and "
            "provider_idempotent="
        )
    bind = binder(operation.signature, handler.__name__)
    of_kind = _awaited_face if inspect.iscoroutinefunction(handler) else _face
    return functools.wraps(handler)(of_kind(handler, operation, bind, given))


def _face(
    handler: Callable[..., Any],
    operation: Operation,
    bind: Callable[..., Arguments],
    given: Ledger | None,
) -> Any:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        arguments = bind(*args, **kwargs)
        call = start(operation, given, arguments)
        decision = _enter(call)
        if not isinstance(decision, Run):
            return _answer(call, decision)
        connection = _connection(operation, arguments)
        if awaiting_of(connection) is not None:
            raise EnlistmentError(
                f"{operation.name!r} is a plain def, which cannot await what it says on a "
                f"{type(connection).__name__}; make it async def"
            )
        return _carry_out(call, connection, lambda: handler(*args, **kwargs))

    return wrapper


def _awaited_face(
    handler: Callable[..., Any],
    operation: Operation,
    bind: Callable[..., Arguments],
    given: Ledger | None,
) -> Any:
    from rml import threads  # a program without async def does without asyncio

    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        arguments = bind(*args, **kwargs)
        call = start(operation, given, arguments)
        decision = await threads.run(_enter, call)
        if not isinstance(decision, Run):
            return _answer(call, decision)
        connection = _connection(operation, arguments)
        awaiting = awaiting_of(connection)
        if awaiting is None:
            raise EnlistmentError(
                f"{operation.name!r} is async def, and a {type(connection).__name__} keeps the "
                "event loop; give a psycopg.AsyncConnection, or SQLAlchemy's AsyncSession or "
                "AsyncConnection, or make it a plain def"
            )
        from rml.awaiting import wait_for

        def called() -> Any:
            value = wait_for(handler(*args, **kwargs))
            check_turn(awaiting)
            return value

        def carry_out(own: object) -> Any:
            return _carry_out(call, own, called)

        return await in_turn(awaiting, carry_out)

    return wrapper


def _connection(operation: Operation, arguments: Arguments) -> Any:
    assert operation.connection is not None
    return pick("the connection", operation.connection, arguments)


def _enter(call: Call) -> Decision:
    """Decide from what is durable, and ask whether an intent may be recorded."""
    decision = call.look()
    if isinstance(decision, Run):
        call.prepare()
    return decision


def _carry_out(call: Call, connection: object, handler: Callable[[], Any]) -> Any:
    """Record a call in the connection's transaction, around its handler."""
    leave = enlistment_of(connection).way_out()
    begun: Decision | Attempt | None = None
    try:
        enlisted = join(call.ledger, connection)
        joined = attrs.evolve(call, writer=enlisted)
        with enlisted.part() as is_open:
            begun = joined.claim()
            if not isinstance(begun, Attempt):  # somebody was faster, or it is in this one
                return _answer(joined, begun)
            value = _run(begun, call.operation, handler)
            if not is_open():
                raise _ended(begun)
            joined.finish(begun, joined.value_outcome(value))
    finally:
        if not isinstance(begun, Attempt):
            leave()  # a transaction in which nothing was done would keep others from writing
    return value


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

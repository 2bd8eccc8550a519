"""The ``async def`` face of the decorator: store work in threads, records despite cancellation."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from rml import threads
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
from rml.effect.decide import NEVER_CALLED, Decision, Doubt, Refuse, Replay
from rml.effect.heartbeat import running
from rml.effect.operation import Attempt, Operation, Outcome
from rml.effect.request import binder
from rml.incident.signals.hook import Escalation
from rml.incident.signals.marks import note_begun
from rml.ledger.ledger import Ledger


def face(
    handler: Callable[..., Any], operation: Operation, patience: float, given: Ledger | None
) -> Any:
    """Return the protected form of an ``async def`` handler."""
    bind = binder(operation.signature, handler.__name__)

    @functools.wraps(handler)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        call = start(operation, given, bind(*args, **kwargs))
        deadline = time.monotonic() + patience
        pause = PAUSE_FIRST_SECONDS
        while True:
            decision = await _enter(call)
            if isinstance(decision, Attempt):
                return await _carry_out(call, decision, handler, args, kwargs)
            if isinstance(decision, Replay):
                return call.replay(decision)
            if isinstance(decision, Doubt):
                await _doubt(call)
                continue
            if isinstance(decision, Refuse) or time.monotonic() >= deadline:
                raise refused(decision)
            await _rest(call, pause)
            pause = min(pause * 2, PAUSE_LONGEST_SECONDS)

    return wrapper


async def _rest(call: Call, seconds: float) -> None:
    """Sleep until the attempt in flight ends in this process, or some seconds have passed."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def wake() -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(ended.set)

    with running.waking(call.asked.effect, wake), suppress(TimeoutError):
        await asyncio.wait_for(ended.wait(), seconds)


async def _doubt(call: Call) -> None:
    """Record that the attempt in flight was lost and tell the hooks, even of a cancelled caller."""
    cancelled, escalation, trouble = await threads.outcome(threads.begin(call.lose))
    await _tell(call, escalation)
    if trouble is not None:
        raise trouble
    if cancelled is not None:
        raise cancelled


async def _tell(call: Call, escalation: Escalation | None) -> None:
    """Tell the hooks, as long as they may take, in none of the threads that do store work."""
    if escalation is not None:
        await threads.outcome(threads.apart(call.tell, escalation))


async def _enter(call: Call) -> Decision | Attempt:
    """Decide, and make the intent durable; if cancelled, the handler was certainly never called."""
    cancelled, begun, trouble = await threads.outcome(threads.begin(call.enter))
    if isinstance(begun, Attempt) and (cancelled is not None or call.is_lost()):
        never = threads.begin(call.end, begun, Outcome(NEVER_CALLED))
        again, _, trouble = await threads.outcome(never)
        cancelled = cancelled or again
        if cancelled is None and trouble is None:
            return await _enter(call)
    if cancelled is not None:
        raise cancelled
    if trouble is not None:
        raise trouble
    decision: Decision | Attempt = begun
    return decision


async def _carry_out(
    call: Call,
    attempt: Attempt,
    handler: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    try:
        call.start(attempt, asyncio.get_running_loop().is_running)
        return await _called(call, attempt, handler, args, kwargs)
    finally:
        running.end(attempt.id, attempt.owner)


async def _called(
    call: Call,
    attempt: Attempt,
    handler: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    token = attempts.set((*attempts.get(), attempt))
    note_begun(attempt.id)
    try:
        value = await handler(*args, **kwargs)
        refuse_unawaited(call.operation, value)
    except BaseException as error:
        outcome = call.error_outcome(attempt, error)
        record = functools.partial(call.end, attempt, outcome)
        if issubclass(type(error), GeneratorExit):  # given up: nothing can be awaited any more
            threads.apart(call.tell, record_failure(error, attempt, record))
        else:
            work = threads.begin(record_failure, error, attempt, record)
            _, escalation, _ = await threads.outcome(work)
            await _tell(call, escalation)
        raise
    finally:
        with suppress(ValueError):  # given up from another context, where nothing is to be reset
            attempts.reset(token)
    ended = threads.begin(call.end, attempt, call.value_outcome(value))
    cancelled, recorded, trouble = await threads.outcome(ended)
    if trouble is not None:
        raise not_recorded(attempt, trouble) from trouble
    if cancelled is not None:
        raise cancelled
    if recorded.late:
        raise late(attempt)
    return value

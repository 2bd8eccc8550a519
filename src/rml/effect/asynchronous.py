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
    refused,
    start,
)
from rml.effect.decide import NEVER_CALLED, Decision, Doubt, Refuse, Replay, Run
from rml.effect.operation import Attempt, Operation, Outcome
from rml.effect.request import binder
from rml.incident.marks import note_begun
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
            decision: Decision | Attempt = await threads.run(call.look)
            if isinstance(decision, Run):
                decision = await _begin(call)
            if isinstance(decision, Attempt):
                return await _carry_out(call, decision, handler, args, kwargs)
            if isinstance(decision, Replay):
                return call.replay(decision)
            if isinstance(decision, Doubt):
                await threads.run(call.doubt)
                continue
            if isinstance(decision, Refuse) or time.monotonic() >= deadline:
                raise refused(decision)
            await asyncio.sleep(pause)
            pause = min(pause * 2, PAUSE_LONGEST_SECONDS)

    return wrapper


async def _begin(call: Call) -> Decision | Attempt:
    """Make the intent durable; cancelled meanwhile, the handler was certainly never called."""
    work = threads.begin(call.begin)
    cancelled, begun, trouble = await threads.outcome(work)
    if cancelled is not None:
        if isinstance(begun, Attempt):
            await threads.outcome(threads.begin(call.finish, begun, Outcome(NEVER_CALLED)))
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
    token = attempts.set((*attempts.get(), attempt))
    note_begun(attempt.id)
    try:
        value = await handler(*args, **kwargs)
    except GeneratorExit as error:  # given up: nothing can be awaited, perhaps no loop is running
        record_failure(
            error, attempt, functools.partial(call.finish, attempt, call.error_outcome(error))
        )
        raise
    except BaseException as error:
        record = functools.partial(call.finish, attempt, call.error_outcome(error))
        if isinstance(error, GeneratorExit):  # thrown away: nothing may be awaited any more
            record_failure(error, attempt, record)
        else:
            await threads.outcome(threads.begin(record_failure, error, attempt, record))
        raise
    finally:
        with suppress(ValueError):  # given up from another context, where nothing is to be reset
            attempts.reset(token)
    work = threads.begin(call.finish, attempt, call.value_outcome(value))
    cancelled, recorded, trouble = await threads.outcome(work)
    if trouble is not None:
        raise not_recorded(attempt, trouble) from trouble
    if cancelled is not None:
        raise cancelled
    if recorded.late:
        raise late(attempt)
    return value

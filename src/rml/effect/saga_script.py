"""How a saga is carried out: one script, for `def` and for `async def`.

The script is a generator: it yields pieces of work, and is sent what came of each. It decides
nothing by itself, as :mod:`rml.effect.saga_state` does. The two conductors differ in how they wait.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import logging
from collections.abc import Callable, Generator
from typing import Any, TypeAlias

from rml.cause import type_name
from rml.effect.decide import in_doubt_error
from rml.effect.saga_records import failure_of
from rml.effect.saga_run import Run, Where, Work
from rml.effect.saga_state import (
    Doubt,
    End,
    Pause,
    Saga,
    SagaState,
    SagaStep,
    Undo,
    decide,
    turn_of,
)
from rml.effect.state import Effect, EffectState
from rml.error import RmlError
from rml.incident.signals.hook import Escalation
from rml.incident.signals.marks import mark_recorded
from rml.incident.signals.telling import tell
from rml.world import World

Script: TypeAlias = Generator[Work, Any, Any]

_log = logging.getLogger("rml")


def script(run: Run) -> Script:
    """Carry a saga out: forwards, or back, or as far as is possible now.

    Returns the body's value; raises what the saga failed with, and what is wider than that.
    """
    known: Saga | None = yield Work(run.look)
    if known is not None and known.state is SagaState.DONE:
        return run.replay(known)
    try:
        saga: Saga = yield Work(run.take)
        if saga.state is SagaState.DONE:
            return run.replay(saga)
        if saga.state not in {SagaState.RUNNING, SagaState.COMPENSATING}:
            raise _refused(saga)
        run.keep_lease()
        return (yield from _carry_out(run, saga))
    except GeneratorExit:  # thrown away: nothing can be done any more; the lease ends by itself
        raise
    except BaseException:
        if run.owner is not None:
            yield Work(run.leave)
        raise
    finally:
        run.let_lease_end()


def _carry_out(run: Run, saga: Saga) -> Script:
    if saga.state is SagaState.RUNNING:
        try:
            run.check_in_time(saga)
            value = yield Work(run.body, Where.HERE)
        except GeneratorExit:
            raise
        except BaseException as error:
            saga = yield from _after(run, error)
            if saga.state is SagaState.COMPENSATING:
                failure = yield from _back(run)
                if failure.world is World.RML3:
                    raise failure from error
                _take_notes(error, failure)
            raise
        saga = yield Work(functools.partial(run.succeed, value))
        if saga.state is SagaState.DONE:
            return value
    raise (yield from _back(run))


def _after(run: Run, error: BaseException) -> Generator[Work, Any, Saga]:
    """Record what the body's failure means for the saga, and return where it stands now."""
    saga: Saga = yield Work(run.view)
    turned = turn_of(error, saga)
    if turned is SagaState.COMPENSATING:
        assert isinstance(error, RmlError)
        saga = yield Work(functools.partial(run.turn, error))
    elif turned is SagaState.HISTORY:
        assert isinstance(error, Exception)
        saga, escalation = yield Work(functools.partial(run.become_history, error))
        yield from _tell(run, escalation)
    return saga


def _back(run: Run) -> Generator[Work, Any, RmlError]:
    """Undo what can be undone now, and return what the caller is to be told."""
    tried: set[str] = set()
    while True:
        saga: Saga = yield Work(run.view)
        if saga.state is not SagaState.COMPENSATING:
            return _refused(saga)
        decision = decide(saga, tried)
        if isinstance(decision, Undo):
            tried.add(decision.step.effect.id)
            yield from _undo(run, decision.step)
        elif isinstance(decision, Doubt):
            escalation = yield Work(functools.partial(run.record_unknown, decision.effect))
            yield from _tell(run, escalation)
        elif isinstance(decision, Pause):
            return _paused(run, saga, decision.effect)
        else:
            assert isinstance(decision, End)
            yield Work(run.conclude)


def _undo(run: Run, step: SagaStep) -> Generator[Work, Any, None]:
    """Call a compensator; how it ended is in the ledger, and is read from there."""
    try:
        yield run.undo(step)
    except Exception as error:  # noqa: BLE001 - it must not keep the others from being undone
        said = error.message if isinstance(error, RmlError) else type_name(type(error))
        run.trouble = f"{step.effect.operation} is not undone: {said}"
        _log.warning("saga %s: %s", run.id, run.trouble)


def _tell(run: Run, escalation: Escalation | None) -> Generator[Work, Any, None]:
    if escalation is not None:
        yield Work(functools.partial(tell, run.ledger, escalation), Where.APART)


def _paused(run: Run, saga: Saga, effect: Effect) -> RmlError:
    """Return the error for a saga that cannot go on now; a doubt is wider than its failure."""
    if effect.state is EffectState.IN_DOUBT:
        doubt = in_doubt_error(effect)
        mark_recorded(doubt, effect.incident)
        return doubt
    failure = failure_of(saga)
    failure.add_note(
        f"rml: saga {saga.id} is still being compensated ({run.trouble or effect.state}); "
        "rml.resume_sagas() goes on"
    )
    return failure


def _refused(saga: Saga) -> RmlError:
    """Return what a saga failed with; a known incident is not escalated again at a boundary."""
    failure = failure_of(saga)
    if saga.incident is not None:
        mark_recorded(failure, saga.incident)
    return failure


def _take_notes(error: BaseException, other: BaseException) -> None:
    for note in getattr(other, "__notes__", ()):
        error.add_note(note)


def conduct(script: Script) -> Any:
    """Carry out a script from a ``def``."""
    send: Callable[[Any], Work] = script.send
    value: Any = None
    while True:
        try:
            work = send(value)
        except StopIteration as end:
            return end.value
        try:
            value = work.call()
            if inspect.iscoroutine(value):
                value = importlib.import_module("rml.threads").run_to_end(value)
            send = script.send
        except BaseException as error:  # noqa: BLE001 - the script says what it means
            send, value = script.throw, error


async def conduct_async(script: Script) -> Any:
    """Carry out a script from an ``async def``."""
    send: Callable[[Any], Work] = script.send
    value: Any = None
    while True:
        try:
            work = send(value)
        except StopIteration as end:
            return end.value
        try:
            value = await _done(work)
            send = script.send
        except GeneratorExit:
            script.close()
            raise
        except BaseException as error:  # noqa: BLE001 - the script says what it means
            send, value = script.throw, error


async def _done(work: Work) -> Any:
    if work.where is Where.HERE:
        return await work.call()
    threads = importlib.import_module("rml.threads")
    start = threads.begin if work.where is Where.STORE else threads.apart
    cancelled, value, trouble = await threads.outcome(start(work.call))
    if cancelled is not None:
        raise cancelled
    if trouble is not None:
        raise trouble
    return value

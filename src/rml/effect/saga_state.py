"""Where a saga stands, and what may be done next, worked out from entries alone; no I/O.

A saga is a conversation of several effects that hold together: its steps. What it has come to is
told by its own entries (``saga.*``) and by those of its steps and of what undoes them. A step is
undone only if it is known to have happened; what may have happened waits for a decision.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Any, Final, TypeAlias

import attrs

from rml.cause import CHAIN_MAX, live_chain, widest_behind
from rml.effect.errors import InDoubtError
from rml.effect.state import (
    ERROR,
    FAILURE,
    NO_RESULT,
    REQUEST,
    RESULT,
    Effect,
    EffectState,
    effect_id,
)
from rml.error import RmlError
from rml.ledger.entry import Entry
from rml.world import Action, World

# A saga's id is that of an effect of its name, scope and key, but for this.
PREFIX: Final = "sg_"
ARGUMENTS: Final = "rml.arguments"
STEP: Final = "step"
COMPENSATOR: Final = "compensator"
STATE: Final = "state"
ELAPSED: Final = "elapsed_ms"


class SagaState(StrEnum):
    """Where a saga stands."""

    RUNNING = "running"
    DONE = "done"
    COMPENSATING = "compensating"
    COMPENSATED = "compensated"
    HISTORY = "history"


@attrs.frozen(kw_only=True)
class SagaStep:
    """One effect of a saga.

    Attributes:
        effect: the step itself.
        compensator: the operation that undoes it; ``None`` if nothing is to be undone.
        undo: the effect of undoing it, if that was tried.
    """

    effect: Effect
    compensator: str | None
    undo: Effect | None


@attrs.frozen(kw_only=True)
class Saga:
    """A saga as the ledger tells it.

    Attributes:
        id: ``sg_`` and 32 hex digits, the same for the same name, scope and key.
        operation: its name.
        scope: what its keys are unique within, as text.
        key: its key, as text.
        state: ``running``, ``done``, ``compensating``, ``compensated`` or ``history``.
        started_at: when it was started.
        recorded_at: when it came to this state, or its latest step was begun.
        steps: the effects that it has begun, in that order.
        incident: the incident that knows of it, if it is history.
        error: a summary of what it failed with.
        trouble: after :func:`rml.resume_sagas`, what kept it from going on.
        correlation: the request that it was started for, if that is known.
    """

    id: str
    operation: str
    scope: str | None
    key: str
    state: SagaState
    started_at: datetime
    recorded_at: datetime
    steps: tuple[SagaStep, ...] = ()
    incident: str | None = None
    error: Any = None
    trouble: str | None = None
    correlation: str | None = attrs.field(default=None, repr=False)
    request: str | None = attrs.field(default=None, repr=False)
    arguments: Any = attrs.field(default=None, repr=False)
    result: Any = attrs.field(default=None, repr=False)
    why_not: str | None = attrs.field(default=None, repr=False)
    failure: Any = attrs.field(default=None, repr=False)

    def __str__(self) -> str:
        trouble = f" ({self.trouble})" if self.trouble else ""
        return f"{self.operation} {self.key!r}: {self.state}{trouble}"


def undo_id(compensator: str, step: str) -> str:
    """Return the id of the effect that undoes a step: its key is the step's id."""
    return effect_id(compensator, None, step)


def fold_saga(
    entries: Sequence[Entry], look: Callable[[str], Effect | None] | None = None
) -> Saga | None:
    """Return the saga that its entries tell about, or ``None`` when none was started.

    ``look`` finds where an effect stands; without it, the saga is told without its steps.
    """
    saga: Saga | None = None
    steps = []
    for entry in entries:
        if entry.kind == "saga.started":
            saga = _started(entry)
        elif saga is not None and entry.kind.startswith("saga."):
            saga = attrs.evolve(saga, recorded_at=entry.recorded_at, **_told(entry))
            if entry.kind == "saga.step" and look is not None:
                steps.append(_step(entry, look))
    return None if saga is None else attrs.evolve(saga, steps=tuple(steps))


def _started(entry: Entry) -> Saga:
    return Saga(
        id=entry.effect or "",
        operation=entry.operation or "",
        scope=entry.scope,
        key=entry.key or "",
        state=SagaState.RUNNING,
        started_at=entry.recorded_at,
        recorded_at=entry.recorded_at,
        correlation=entry.correlation,
        request=entry.personal.get(REQUEST),
        arguments=entry.personal.get(ARGUMENTS),
    )


def _told(entry: Entry) -> dict[str, Any]:
    """Return what one entry changes."""
    if entry.kind == "saga.step":
        return {}
    told: dict[str, Any] = {"incident": entry.incident}
    if ERROR in entry.facts:
        told |= {"error": entry.facts[ERROR], "failure": entry.personal.get(FAILURE)}
    if entry.kind == "saga.failed":
        return {**told, "state": SagaState.COMPENSATING}
    told["state"] = SagaState(entry.facts[STATE])
    if told["state"] is SagaState.DONE:
        told["result"] = entry.personal.get(RESULT)
        erased = RESULT in entry.commitments and RESULT not in entry.personal
        told["why_not"] = "its result has been erased" if erased else entry.facts.get(NO_RESULT)
    return told


def _step(entry: Entry, look: Callable[[str], Effect | None]) -> SagaStep:
    step, compensator = entry.facts[STEP], entry.facts.get(COMPENSATOR)
    effect = look(step)
    assert effect is not None, "a step is recorded together with its intent"
    undo = None if compensator is None else look(undo_id(compensator, step))
    return SagaStep(effect=effect, compensator=compensator, undo=undo)


# ------------------------------------------------------------------------------ after the body


def turn_of(error: BaseException, saga: Saga) -> SagaState:
    """Return what a saga comes to when its body raised this.

    Only an RML2 error that asks for ``start-compensation`` turns it back. History is never
    compensated by itself: people decide. Everything else leaves it as it is, to be called again or
    resumed, and so does a doubt until it is decided.
    """
    if not isinstance(error, Exception):
        return SagaState.RUNNING
    if widest_behind(error)[0] is World.RML3:
        return SagaState.RUNNING if _is_of_doubt(error, saga) else SagaState.HISTORY
    turns = isinstance(error, RmlError) and error.action is Action.START_COMPENSATION
    return SagaState.COMPENSATING if turns else SagaState.RUNNING


def _is_of_doubt(error: Exception, saga: Saga) -> bool:
    behind = islice(live_chain(error), CHAIN_MAX)
    return any(step.effect.state in _UNKNOWN for step in saga.steps) or any(
        isinstance(node, InDoubtError) for node in behind
    )


# -------------------------------------------------------------------------------- on the way back


@attrs.frozen
class Undo:
    """Call the compensator of this step."""

    step: SagaStep


@attrs.frozen
class Doubt:
    """Record that nobody knows whether this effect happened: its worker was lost, or gave up."""

    effect: Effect


@attrs.frozen
class Pause:
    """Nothing can be done now: this effect is in doubt, in flight, or was tried in vain."""

    effect: Effect


@attrs.frozen
class End:
    """Everything that can be undone is; ``stuck`` are the steps that are not."""

    state: SagaState
    stuck: tuple[SagaStep, ...] = ()


Decision: TypeAlias = Undo | Doubt | Pause | End


def decide(saga: Saga, tried: Collection[str] = ()) -> Decision:
    """Return what comes next for a saga on its way back.

    The newest step comes first, and one that cannot be undone, or not yet, does not hold up the
    others. ``tried`` are the steps whose compensator was called already in this pass: another call
    belongs to another pass.
    """
    pauses: list[Effect] = []
    stuck: list[SagaStep] = []
    for step in reversed(saga.steps):
        effect = _open_end(step)
        if effect is None:
            continue
        state = effect.state
        lost = state is EffectState.IN_DOUBT and not effect.doubted
        if lost or (state is EffectState.RETRYING and effect is step.effect):
            return Doubt(effect)
        if state is EffectState.HISTORY:
            stuck.append(step)
        elif state in _UNKNOWN or step.effect.id in tried:
            pauses.append(effect)
        else:
            return Undo(step)
    if pauses:
        return Pause(min(pauses, key=lambda e: e.state is not EffectState.IN_DOUBT))
    return End(SagaState.HISTORY if stuck else SagaState.COMPENSATED, tuple(stuck))


_NOTHING_HAPPENED: Final = (EffectState.NOT_DONE, EffectState.FAILED)
_UNKNOWN: Final = (EffectState.IN_DOUBT, EffectState.IN_FLIGHT)


def unfinished(saga: Saga) -> list[SagaStep]:
    """Return the steps that have something to be undone, as far as anybody knows."""
    return [step for step in saga.steps if _open_end(step) is not None]


def _open_end(step: SagaStep) -> Effect | None:
    """Return the effect by which a step is still open: itself, or what undoes it; ``None`` if not.

    A step that has happened, and that nobody has tried to undo yet, is open by itself.
    """
    if step.compensator is None or step.effect.state in _NOTHING_HAPPENED:
        return None
    if step.undo is None:
        return step.effect
    return None if step.undo.state is EffectState.DONE else step.undo

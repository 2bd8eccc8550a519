"""One call of a saga: what it asks of the ledger, of the body, and of the compensators."""

from __future__ import annotations

import functools
import importlib
import inspect
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from datetime import timedelta
from enum import Enum, auto
from typing import Any, Final

import attrs

from rml.codec import DecodingError, EncodingError
from rml.config import use
from rml.effect.call import Call, attempts, refuse_unawaited
from rml.effect.decide import DONE, Replay
from rml.effect.errors import DefinitionError, EffectFailedError
from rml.effect.heartbeat import Beat, running
from rml.effect.operation import Operation, Outcome, Promise
from rml.effect.saga_body import Body, inside
from rml.effect.saga_records import (
    become_history,
    check_request,
    conclude,
    leave,
    record_unknown,
    succeed,
    take,
    take_over,
    turn,
    unavailable,
)
from rml.effect.saga_state import Saga, SagaStep, fold_saga
from rml.effect.state import Effect
from rml.error import RmlError
from rml.incident.signals.escalation import signal_of
from rml.incident.signals.hook import Escalation
from rml.incident.signals.marks import mark_recorded
from rml.ledger.draft import Draft
from rml.ledger.errors import LimitError
from rml.ledger.ledger import Ledger
from rml.world import Action

_MILLISECONDS: Final = 1_000


class Where(Enum):
    """Where a piece of work is done when nobody is to be held up by it."""

    STORE = auto()  # it reads or writes the ledger, and takes milliseconds
    HERE = auto()  # it is the user's and belongs to the caller's face, so it may be awaited
    APART = auto()  # it is the user's and blocks


@attrs.frozen
class Work:
    """A piece of work."""

    call: Callable[[], Any]
    where: Where = Where.STORE


@attrs.frozen(kw_only=True, eq=False)
class Definition:
    """A saga as it is defined.

    Attributes:
        operation: its name, its key, and what else it shares with a protected handler.
        function: its body.
        steps: the operations that may be its steps, by name.
        compensators: what undoes each step, by the step's name; ``None`` for nothing.
        undo: the compensators, by their own names.
        classes: the classes that its arguments may be made of.
        timeout: seconds after which it turns back instead of going on.
        lease: seconds after which somebody resumes it, should who carries it out be lost.
    """

    operation: Operation
    function: Callable[..., Any]
    steps: Mapping[str, Operation]
    compensators: Mapping[str, str | None]
    undo: Mapping[str, Callable[[Effect], Any]]
    classes: Mapping[str, type]
    timeout: float | None
    lease: float
    ledger: Ledger | None


@attrs.frozen(eq=False)
class Given:
    """What a saga's body is called with: by its caller, or again by who resumes it."""

    call: Call
    promised: Promise
    typed: dict[str, Any]


@attrs.define(eq=False)
class Run:
    """One call of a saga, or one resumption, and what it does to the ledger.

    ``given`` is ``None`` where the body is not to be called any more. ``reached`` are the effects
    that the body has asked for in this call, whoever carried them out; ``owner`` is the lease's,
    and ``beat`` is what keeps it.
    """

    definition: Definition
    ledger: Ledger
    id: str
    given: Given | None
    turned_at: float | None = None
    trouble: str | None = None
    owner: str | None = None
    beat: Beat | None = None
    reached: set[str] = attrs.Factory(set)

    @property
    def forwards(self) -> Given:
        """What the body is called with."""
        assert self.given is not None, "a saga on its way back does not go forwards again"
        return self.given

    def look(self) -> Saga | None:
        """Return where it stands, without its steps."""
        return fold_saga(list(self.ledger.entries(effect=self.id)))

    def view(self) -> Saga:
        """Return where it stands, with its steps."""
        saga = fold_saga(list(self.ledger.entries(effect=self.id)), self.ledger.look)
        assert saga is not None, "it was taken before"
        return saga

    def take(self) -> Saga:
        """Start it, or take it over."""
        given, lease = self.given, self.definition.lease

        def work(draft: Draft) -> Saga:
            if given is None:
                saga = take_over(draft, self.id, lease)
            else:
                saga = take(draft, self.id, given.promised, given.typed, lease)
            held = draft.lease(self.id)
            self.owner = None if held is None else held.owner
            return saga

        return self.ledger.write(work)

    def keep_lease(self) -> None:
        """Keep its lease while the thread or the event loop lives that carries it out, here."""
        if self.owner is None:
            return
        is_alive = threading.current_thread().is_alive
        if inspect.iscoroutinefunction(self.definition.function):
            is_alive = importlib.import_module("asyncio").get_running_loop().is_running
        lease = self.definition.lease
        self.beat = running.start(self.ledger, self.id, self.owner, lease, is_alive)

    def let_lease_end(self) -> None:
        """Keep its lease no longer."""
        if self.beat is not None and running.holds(self.beat):
            running.end(self.id, self.beat.owner)

    def leave(self) -> None:
        """Let go of it, unless somebody may have taken it over; else the lease ends by itself."""
        if self.beat is not None and not running.holds(self.beat):
            return
        with suppress(RmlError):
            self.ledger.write(lambda draft: leave(draft, self.id))

    def succeed(self, value: Any) -> Saga:
        """Record that the body returned; or that it failed, having left out what had happened."""
        outcome = self.forwards.call.value_outcome(value)
        try:
            return self._noting_turn(lambda d: succeed(d, self.id, outcome, self.reached))
        except (EncodingError, LimitError) as error:
            why = f"its result could not be recorded: {error.code}"
            without = Outcome(DONE, why_no_value=why)  # it is done all the same
            return self._noting_turn(lambda d: succeed(d, self.id, without, self.reached))

    def turn(self, error: RmlError) -> Saga:
        """Record that it failed."""
        return self._noting_turn(lambda draft: turn(draft, self.id, error))

    def _noting_turn(self, work: Callable[[Draft], tuple[Saga, bool]]) -> Saga:
        saga, is_turned = self.ledger.write(work)
        self.turned_at = self.ledger.clock.monotonic() if is_turned else None
        return saga

    def become_history(self, error: Exception) -> tuple[Saga, Escalation | None]:
        """Record that it ended in RML3."""
        name = self.definition.operation.name
        signal = signal_of(error, name, {"type": "rml", "source": name}, gray=False)
        saga, escalation = self.ledger.write(lambda d: become_history(d, self.id, error, signal))
        if escalation is not None:
            mark_recorded(error, escalation.incident)
        return saga, escalation

    def record_unknown(self, effect: Effect) -> Escalation | None:
        """Record that nobody knows whether a step, or its undoing, happened."""
        return self.ledger.write(lambda draft: record_unknown(draft, effect.id))

    def conclude(self) -> Saga:
        """End it, if nothing is left to undo."""
        elapsed = None
        if self.turned_at is not None:
            elapsed = round((self.ledger.clock.monotonic() - self.turned_at) * _MILLISECONDS)
        return self.ledger.write(lambda draft: conclude(draft, self.id, elapsed))

    def replay(self, saga: Saga) -> Any:
        """Return the recorded value.

        Raises:
            ResultUnavailableError: it cannot be given again.
        """
        given = self.forwards
        check_request(saga, given.promised)
        if saga.why_not is not None:
            raise unavailable(saga)
        return given.call.replay(Replay(saga.result))

    def check_in_time(self, saga: Saga) -> None:
        """Refuse to go on with a saga that was started too long ago."""
        timeout = self.definition.timeout
        age = self.ledger.clock.now() - saga.started_at
        if timeout is not None and age >= timedelta(seconds=timeout):
            raise EffectFailedError(
                f"saga {saga.operation!r} for key {saga.key!r} did not end within {timeout:g} s",
                details={"saga": saga.id, "key": saga.key},
                action=Action.START_COMPENSATION,
            )

    def body(self) -> Any:
        """Call the body; that of an ``async def`` is returned to be awaited."""
        function, arguments = self.definition.function, self.forwards.call.arguments
        if inspect.iscoroutinefunction(function):
            return self._awaited(function, **arguments)
        with self._around():
            value = function(**arguments)
            refuse_unawaited(self.definition.operation, value)
            return value

    def undo(self, step: SagaStep) -> Work:
        """Return the work of calling a step's compensator.

        Raises:
            DefinitionError: there is none of this name in this process.
        """
        function = self.definition.undo.get(step.compensator or "")
        if function is None:
            raise DefinitionError(
                f"no compensator {step.compensator!r} is defined for {step.effect.operation!r} in "
                "this process"
            )
        effect = self._with_value(step.effect)
        if inspect.iscoroutinefunction(function):
            return Work(functools.partial(self._undone, function, effect), Where.HERE)
        return Work(functools.partial(self._undo, function, effect), Where.APART)

    def _undo(self, function: Callable[[Effect], Any], effect: Effect) -> Any:
        with use(ledger=self.ledger):
            return function(effect)

    async def _undone(self, function: Callable[[Effect], Any], effect: Effect) -> Any:
        with use(ledger=self.ledger):
            return await function(effect)

    async def _awaited(self, function: Callable[..., Any], **arguments: Any) -> Any:
        with self._around():
            return await function(**arguments)

    def _around(self) -> ExitStack:
        body = Body(
            saga=self.id,
            name=self.definition.operation.name,
            compensators=self.definition.compensators,
            lease=self.definition.lease,
            depth=len(attempts.get()),
            reached=self.reached,
        )
        stack = ExitStack()
        stack.enter_context(use(ledger=self.ledger))
        stack.enter_context(inside(body))
        return stack

    def _with_value(self, effect: Effect) -> Effect:
        """Return a step as its compensator is given it: with the value that it returned."""
        operation = self.definition.steps.get(effect.operation)
        if not effect.replay or operation is None:
            return attrs.evolve(effect, result=None)
        try:
            value = operation.returns.again(effect.result, decided=effect.decided)
        except DecodingError as error:
            return attrs.evolve(effect, result=None, replay=False, why_not=error.message)
        return attrs.evolve(effect, result=value)

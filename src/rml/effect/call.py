"""One call of a protected handler: what both faces, ``def`` and ``async def``, do the same way."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Final

import attrs

from rml.codec import DecodingError, EncodingError
from rml.config import current_ledger
from rml.effect.decide import (
    DONE,
    IN_DOUBT,
    NEVER_CALLED,
    Decision,
    Refuse,
    Replay,
    Run,
    decide,
    ending_of,
)
from rml.effect.doubt import record_doubt
from rml.effect.errors import (
    DefinitionError,
    InDoubtError,
    InFlightError,
    OutcomeNotRecordedError,
    ResultUnavailableError,
)
from rml.effect.heartbeat import running
from rml.effect.operation import (
    Attempt,
    Operation,
    Outcome,
    Promise,
    Recorded,
    ask,
    begin,
    finish,
    promise,
    refusal,
)
from rml.effect.replays import note_replay
from rml.effect.request import Arguments, Request
from rml.effect.saga_body import is_inside, membership, note_reached
from rml.effect.state import replayed
from rml.effect.values import from_typed, is_flat, is_larger, to_typed
from rml.error import InvalidInputError, RmlError
from rml.incident.signals.hook import Escalation
from rml.incident.signals.marks import mark_recorded
from rml.incident.signals.telling import tell
from rml.ledger.argument import is_unrun
from rml.ledger.content import PERSONAL_BYTES_MAX
from rml.ledger.draft import Draft
from rml.ledger.enlisting import Enlisted
from rml.ledger.errors import AppendUnknownError, LimitError
from rml.ledger.ledger import Ledger

# How long a waiting duplicate sleeps between two looks, in seconds: first and longest.
PAUSE_FIRST_SECONDS: Final = 0.005
PAUSE_LONGEST_SECONDS: Final = 0.1

# How many times as long as other writes that of an outcome waits for a busy ledger: an intent that
# is not recorded costs one more call, an outcome that is not recorded costs somebody's decision.
OUTCOME_PATIENCE: Final = 6

_log = logging.getLogger("rml")
attempts: ContextVar[tuple[Attempt, ...]] = ContextVar("rml_attempts", default=())


def current_effect() -> Attempt:
    """Return the attempt that the running handler is carrying out.

    Raises:
        InvalidInputError: the code does not run inside a handler decorated with
            ``@rml.idempotent``.
    """
    running = attempts.get()
    if not running:
        raise InvalidInputError(
            "rml.current_effect() is for the inside of a handler decorated with @rml.idempotent"
        )
    return running[-1]


@attrs.define(eq=False)
class Call:
    """What a call asks, and what has been decided so far.

    Attributes:
        granted: when the attempt that it may carry out was given its lease, by the ledger's clock.
        writer: what intent and outcome are recorded with, if not the ledger itself: the ledger in
            a transaction of the application's own.
    """

    operation: Operation
    ledger: Ledger
    arguments: Arguments
    asked: Request
    promised: Promise | None = None
    granted: datetime | None = None
    writer: Enlisted | None = None

    def enter(self) -> Decision | Attempt:
        """Decide, and make the intent durable if the handler may run."""
        if self.ledger.supposes_new(self.asked.effect) and self._need_not_look():
            return self.claim()
        decision = self.look()
        return self.begin() if isinstance(decision, Run) else decision

    def _need_not_look(self) -> bool:
        """Say whether the first thing to do is to claim, which tells as much as a look.

        Not if the claim would read more than its effect, or has told already; and not if anything
        refuses the intent, because what is done is still given again then.
        """
        guards = self.operation.guards
        if not (
            self.promised is None
            and self.operation.corrects is None
            and not is_inside()
            and all(guard.is_known(self.ledger) for guard in guards)
        ):
            return False
        try:
            self.prepare()
        except RmlError:
            return False
        return True

    def look(self) -> Decision:
        """Decide from what is durable, without writing."""
        newest = self.ledger.newest(self.asked.effect)
        if newest is None:
            return Run(attempt=1, generation=1)
        kept = replayed(newest, self.asked.matches)
        if kept is not None:
            return Replay(kept[0])
        effect = self.ledger.look(self.asked.effect)
        return decide(effect, self.asked, self.ledger.clock.now(), self.operation.retention)

    def begin(self) -> Decision | Attempt:
        """Make the intent durable, unless somebody was faster, or a lever is pulled."""
        self.prepare()
        return self.claim()

    def prepare(self) -> None:
        """Work out what the intent will say, and ask whether it may be said now."""
        promised = self.promised = promise(self.operation, self.asked, self.arguments)
        for guard in self.operation.guards:
            guard.admit(self.ledger, self.asked.scope, promised.facts)

    def claim(self) -> Decision | Attempt:
        """Make the intent durable as it was prepared, unless somebody was faster."""
        promised = self.promised
        assert promised is not None
        member = membership(self.operation.name, len(attempts.get()))
        begun: Decision | Attempt | None = None

        def work(draft: Draft) -> Decision | Attempt:
            nonlocal begun
            begun = begin(draft, self.operation, promised)
            if not isinstance(begun, Attempt):
                return begun
            self.granted = draft.now
            self._admit_in(draft, promised)
            if member is not None:
                member.join(draft, begun.id)
            return begun

        try:
            return (self.writer or self.ledger).write(work)
        except AppendUnknownError:
            if isinstance(begun, Attempt):
                self._take_back(begun, promised)
            raise

    def _admit_in(self, draft: Draft, promised: Promise) -> None:
        """Ask once more whether the intent may be recorded, now that it is its turn.

        Not in an application's transaction, which would keep all others waiting until its commit.
        """
        asked = (self.asked.scope, promised.facts)
        for guard in self.operation.guards:
            if self.writer is None:
                guard.admit_in(draft, self.ledger, *asked)
            elif guard.is_known(self.ledger):
                guard.admit(self.ledger, *asked)
            else:
                self.writer.aside(functools.partial(guard.admit, self.ledger, *asked))

    def is_lost(self) -> bool:
        """Say whether the lease has run out before the handler could be called.

        The process was suspended, or the commit took too long. Somebody may have decided since that
        nothing happened, so nothing may happen now.
        """
        assert self.granted is not None
        waited = self.ledger.clock.now() - self.granted
        return waited.total_seconds() >= self.operation.lease

    def _take_back(self, attempt: Attempt, promised: Promise) -> None:
        """Record an attempt as not done if its intent, of which nobody knows, is durable after all.

        Its handler was never called. If nobody can look now, it is doubted once its lease is over.
        """

        def look_again(draft: Draft) -> None:
            held = draft.lease(attempt.id)
            if held is not None and held.owner == attempt.owner:
                finish(draft, self.operation, attempt, promised, Outcome(NEVER_CALLED))

        with suppress(RmlError):
            self.ledger.write(look_again)

    def start(self, attempt: Attempt, is_alive: Callable[[], bool]) -> None:
        """Keep an attempt's lease while ``is_alive`` says so, until it is said to have ended."""
        running.start(self.ledger, attempt.id, attempt.owner, self.operation.lease, is_alive)

    def doubt(self) -> None:
        """Record that the attempt in flight was lost, and tell the hooks."""
        self.tell(self.lose())

    def lose(self) -> Escalation | None:
        """Record that the attempt in flight was lost; return what hooks are to be told of."""
        retention = self.operation.retention
        _, escalation = self.ledger.write(
            lambda draft: record_doubt(draft, self.asked.effect, retention)
        )
        return escalation

    def finish(self, attempt: Attempt, outcome: Outcome) -> Recorded:
        """Make the outcome durable and tell the hooks what it led to."""
        recorded = self.end(attempt, outcome)
        self.tell(recorded.escalation)
        return recorded

    def tell(self, escalation: Escalation | None) -> None:
        """Tell the hooks, if there is anything to tell; this may take a while."""
        if escalation is not None:
            tell(self.ledger, escalation)

    def end(self, attempt: Attempt, outcome: Outcome) -> Recorded:
        """Make the outcome durable; its escalation is what hooks are to be told of."""
        try:
            return self._record(attempt, outcome)
        except (EncodingError, LimitError) as error:  # the effect is done, whatever its value is
            if outcome.error is not None:
                raise
            return self._record(attempt, Outcome(DONE, why_no_value=_no_value(error)))

    def _record(self, attempt: Attempt, outcome: Outcome) -> Recorded:
        promised = self.promised
        assert promised is not None
        writer = self.writer or self.ledger
        return writer.write(
            lambda draft: finish(draft, self.operation, attempt, promised, outcome),
            timeout=writer.timeout * OUTCOME_PATIENCE,
        )

    def replay(self, decision: Replay) -> Any:
        """Return the recorded value, made anew for every caller."""
        try:
            value = self.operation.returns.again(decision.value, decided=decision.decided)
        except DecodingError as error:  # its class has changed since, or is not named any more
            raise unreadable(self.asked, error) from error
        note_replay(self.asked.effect)
        return value

    def value_outcome(self, value: Any) -> Outcome:
        """Return the outcome of a handler that returned."""
        try:
            if is_larger(value, PERSONAL_BYTES_MAX):  # seconds would go by before a store says so
                raise LimitError("the result is larger than PERSONAL_BYTES_MAX")
            typed = to_typed(value, "the result")
            if not is_flat(typed):
                self._check_comes_back(typed)
        except Exception as error:  # noqa: BLE001 - whatever a value does when it is looked at: it is done
            return Outcome(DONE, why_no_value=_no_value(error))
        return Outcome(DONE, typed)

    def _check_comes_back(self, typed: Any) -> None:
        """Refuse a result whose class the annotation does not name, or that comes back changed."""
        if to_typed(from_typed(typed, self.operation.returns.classes), "the result") != typed:
            raise EncodingError("the result would not come back as it was")

    def error_outcome(self, attempt: Attempt, error: BaseException) -> Outcome:
        """Return the outcome of a handler that raised."""
        idempotent = self.operation.provider_idempotent
        try:
            sent = attempt.may_have_sent(error)
            ending = ending_of(error, provider_idempotent=idempotent, sent=sent)
        except Exception:  # noqa: BLE001 - what raises when it is looked at proves nothing
            return Outcome(IN_DOUBT)
        return Outcome(ending, error=error)


def _no_value(error: Exception) -> str:
    """Say why there is no value, for a fact in clear: the place in it may be personal data."""
    code = error.code if isinstance(error, RmlError) else EncodingError.code
    return f"its result could not be recorded: {code} ({type(error).__name__})"


def start(operation: Operation, given: Ledger | None, arguments: Arguments) -> Call:
    """Return the call for these arguments.

    Raises:
        InFlightError: it is made from inside the very effect that it asks for.
        InvalidInputError: it has no usable key, or an argument that cannot be recognised again.
        NoLedgerError: no ledger is configured.
    """
    asked = ask(operation, arguments)
    around = attempts.get()
    note_reached(asked.effect, len(around))
    for attempt in around:
        if attempt.id == asked.effect:
            raise InFlightError(
                f"{operation.name!r} was called for key {asked.key!r} from inside itself",
                details={"effect": asked.effect},
            )
    ledger = current_ledger() if given is None else given
    return Call(operation, ledger, arguments, asked)


def refused(decision: Decision) -> RmlError:
    """Return a refusal's error; one with a known incident is not escalated again at a boundary."""
    error = refusal(decision)
    if isinstance(decision, Refuse):
        if decision.incident is not None:
            mark_recorded(error, decision.incident)
        if decision.repeats is not None:
            note_replay(decision.repeats)
    return error


def refuse_unawaited(operation: Operation, value: Any) -> None:
    """Refuse what a handler returned to be run later: its effect has not ended.

    Raises:
        DefinitionError: it is a coroutine, a task, a future, a generator or a context.
    """
    if not is_unrun(value):
        return
    if inspect.iscoroutine(value) or inspect.isgenerator(value):
        value.close()
    raise DefinitionError(
        f"{operation.name!r} returned a {type(value).__name__}, which is still to be run; "
        "make it async def, and await that inside, or wait for its end"
    )


def record_failure(
    error: BaseException, attempt: Attempt, record: Callable[[], Recorded]
) -> Escalation | None:
    """Record how an attempt failed; when that fails too, the handler's error still is what is seen.

    Without an outcome the durable intent becomes doubt, never a second run. Return what the outcome
    has escalated.
    """
    recorded = None
    try:
        recorded = record()
    except Exception as trouble:  # noqa: BLE001 - the handler's error goes on its way
        _log.exception("the outcome of effect %s could not be recorded", attempt.id)
        note = f"its outcome could not be recorded: {type(trouble).__name__}"
    else:
        if recorded.escalation is not None:
            mark_recorded(error, recorded.escalation.incident)
            note = f"part of {recorded.escalation.incident}"
        elif recorded.late:
            note = "its lease had been lost, recorded as late"
        else:
            return None
    with suppress(Exception):  # an exception that takes no notes is what is seen all the same
        error.add_note(f"rml: effect {attempt.id} (key {attempt.key!r}): {note}")
    return recorded.escalation if recorded is not None else None


def unreadable(asked: Request, cause: RmlError) -> ResultUnavailableError:
    """Return the error for a recorded result that cannot be made into a value here."""
    return ResultUnavailableError(
        f"{asked.operation!r} is done for key {asked.key!r}, but its result cannot be given again: "
        f"{cause.message}; it is not run a second time",
        details={"effect": asked.effect, "operation": asked.operation, "key": asked.key},
    )


def late(attempt: Attempt) -> InDoubtError:
    """Return the error for a handler that ended after its lease was lost."""
    return InDoubtError(
        f"{attempt.operation!r} for key {attempt.key!r} ended after its lease was lost; "
        "its outcome is recorded as late and changes nothing that was decided",
        details={"effect": attempt.id, "key": attempt.key},
    )


def not_recorded(attempt: Attempt, cause: BaseException) -> OutcomeNotRecordedError:
    """Return the error for an effect that happened and whose outcome could not be recorded."""
    return OutcomeNotRecordedError(
        f"{attempt.operation!r} happened for key {attempt.key!r}, but its outcome could not be "
        f"recorded ({type(cause).__name__}); it stands in doubt once its lease has run out",
        details={"effect": attempt.id, "key": attempt.key},
    )

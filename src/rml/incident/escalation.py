"""How a program says that something has become history: a boundary, and two calls that say it.

An RML3 error, or one that wraps or groups one, opens or joins an incident when it crosses a
boundary. A stranger's exception is a bug: recorded, without an incident, unless an effect began
inside the boundary whose end is unknown.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from contextvars import Token
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import attrs

from rml.cause import Cause, widest_behind
from rml.codec import plain
from rml.config import current_ledger
from rml.effect.resolution import effect_in
from rml.effect.state import Effect, EffectState, fold
from rml.error import InvalidInputError, RmlError
from rml.incident.hook import Escalation
from rml.incident.marks import (
    Begun,
    enter,
    incident_of,
    innermost,
    is_recorded,
    leave,
    mark_recorded,
)
from rml.incident.occurrence import Occurrence, classify
from rml.incident.opening import Signal, open_or_join
from rml.incident.step import source_of
from rml.incident.telling import tell
from rml.ledger.draft import Draft
from rml.ledger.entry import check_text
from rml.ledger.ledger import Ledger
from rml.tag import shown
from rml.world import World

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

# What a report may say in clear; the rest belongs into the case.
TEXT_CHARACTERS_MAX: Final = 2_000
_UNKNOWN_END: Final = (EffectState.IN_DOUBT, EffectState.IN_FLIGHT)

_log = logging.getLogger("rml")


@attrs.frozen(kw_only=True)
class Incident:
    """The incident that an escalation opened or joined.

    Attributes:
        id: such as ``INC-2026-0001``.
        opened: whether this escalation opened it.
        count: how many escalations it has gathered.
        entry: the id of the ledger entry that recorded this one.
    """

    id: str
    opened: bool
    count: int
    entry: str


def escalate(
    problem: BaseException | str,
    *,
    operation: str | None = None,
    effect: str | None = None,
    by: str | None = None,
    detected_by: Mapping[str, str] | None = None,
    details: Mapping[str, Any] | None = None,
    ledger: Ledger | None = None,
) -> Incident:
    """Open an incident for a problem that has reached history, or join the open one like it.

    Args:
        problem: an exception, or what happened in words. A stranger's exception is recorded by its
            type; its text is kept erasably.
        operation: the operation, such as ``payment.charge``.
        effect: the effect's id.
        by: who reports it.
        detected_by: what noticed it, as in the case file: ``{"type": "cs_ticket", "id":
            "CS-1234"}``.
        details: JSON-like data, kept erasably.
        ledger: the ledger, if not the configured one.

    Raises:
        InvalidInputError: names the value that cannot be recorded.
        UnknownIdError: ``effect`` names no effect of the ledger.
        NoLedgerError: no ledger is configured.
    """
    source = _noticed(detected_by, {"type": "rml", "source": "escalate"})
    signal = _signal_of(problem, operation, source, gray=False)
    return _escalate(attrs.evolve(signal, effect=effect, actor=by), details, ledger, problem)


def suspect(
    text: str,
    *,
    operation: str | None = None,
    effect: str | None = None,
    by: str | None = None,
    detected_by: Mapping[str, str] | None = None,
    details: Mapping[str, Any] | None = None,
    ledger: Ledger | None = None,
) -> Incident:
    """Open an incident on suspicion alone, without any proof.

    Gray is treated as RML3 until somebody scopes it down. Arguments and errors are those of
    :func:`escalate`.
    """
    if not isinstance(text, str):
        kind = type(text).__name__
        message = f"a suspicion is told in words, not by {kind}; use rml.escalate for an exception"
        raise InvalidInputError(message)
    source = _noticed(detected_by, {"type": "person", "source": by or "unknown"})
    signal = _signal_of(text, operation, source, gray=True)
    return _escalate(attrs.evolve(signal, effect=effect, actor=by), details, ledger, text)


def _escalate(
    signal: Signal,
    details: Mapping[str, Any] | None,
    ledger: Ledger | None,
    problem: BaseException | str,
) -> Incident:
    history = current_ledger(ledger)
    more = {**signal.details, **(_details(details) if details is not None else {})}
    known = attrs.evolve(signal, details=more)
    if known.effect is not None:
        check_text("effect", known.effect)

    def work(draft: Draft) -> Escalation:
        if known.effect is not None:
            effect_in(draft, known.effect)
        return open_or_join(draft, known)

    escalation = history.write(work)
    if isinstance(problem, BaseException):
        mark_recorded(problem, escalation.incident)
    tell(history, escalation)
    return Incident(
        id=escalation.incident,
        opened=escalation.opened,
        count=escalation.count,
        entry=escalation.entry,
    )


def _signal_of(
    problem: BaseException | str, operation: str | None, source: dict[str, str], *, gray: bool
) -> Signal:
    if operation is not None:
        check_text("operation", operation)
    if isinstance(problem, RmlError):
        return Signal(
            title=problem.message,
            code=problem.code,
            gray=gray,
            source=source,
            operation=operation,
            details=problem.details,
        )
    if isinstance(problem, BaseException):
        cause = Cause.of(problem)
        return Signal(
            title=f"{operation or 'an operation'} raised {cause.type}",
            code=cause.type.rpartition(".")[2],
            gray=gray,
            source=source,
            operation=operation,
            details={"text": cause.message},
        )
    text = _words(problem)
    code = "SUSPICION" if gray else "ESCALATED"
    return Signal(
        title=text, code=code, gray=gray, source=source, operation=operation, subject=text
    )


def _words(text: object) -> str:
    if not isinstance(text, str) or not text.strip():
        message = f"say what happened: an exception, or words, not {shown(text)}"
        raise InvalidInputError(message)
    if len(text) > TEXT_CHARACTERS_MAX:
        raise InvalidInputError(
            f"the text has {len(text)} characters, the limit is {TEXT_CHARACTERS_MAX} "
            "(TEXT_CHARACTERS_MAX)"
        )
    return text


def _noticed(given: object, default: dict[str, str]) -> dict[str, str]:
    return default if given is None else source_of(given)


def _details(details: object) -> dict[str, Any]:
    if isinstance(details, Mapping):
        return {
            check_text("a name in details", k): plain(v, f"details.{k}") for k, v in details.items()
        }
    message = f"details must be a mapping from names to values, not {type(details).__name__}"
    raise InvalidInputError(message)


class boundary:  # noqa: N801 - used like a function, as a context manager and as a decorator
    """Record what crosses the border of a unit of work, and escalate what is history.

    Exceptions pass unchanged. Use it as ``with rml.boundary("checkout"):``, ``async with``, or as a
    decorator of a ``def`` or ``async def``. A coroutine that a ``def`` returns is awaited inside;
    a future, task or generator that it returns is handed on, and the log says that what happens in
    there is not recorded.

    Args:
        name: the unit of work, recorded as the operation.
        ledger: the ledger, if not the configured one.

    Raises:
        InvalidInputError: the name is no text; or what is decorated is a generator function, whose
            body runs in its reader's hands: put the boundary around the loop that reads it.
        NoLedgerError: no ledger is configured; found out on entering, before anything has happened.
    """

    def __init__(self, name: str, *, ledger: Ledger | None = None) -> None:
        self.name: str = check_text("a boundary's name", name)
        self._given = ledger
        self._entered: list[_Entered] = []

    def _enter(self) -> None:
        ledger = current_ledger(self._given)
        self._entered.append(_Entered(ledger, *enter()))

    def _leave(self) -> _Entered:
        """Return what was noted on entering, in this task or thread, should several share it."""
        here = innermost()
        entered = next((e for e in self._entered if e.begun is here), self._entered[-1])
        self._entered.remove(entered)
        leave(entered.token)
        return entered

    def __enter__(self) -> Self:
        self._enter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        entered = self._leave()
        if error is not None and _is_news(error):
            escalation = _record(entered.ledger, self.name, error, entered.begun)
            if escalation is not None:
                tell(entered.ledger, escalation)

    async def __aenter__(self) -> Self:
        self._enter()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        entered = self._leave()
        if error is None or not _is_news(error):
            return
        threads = importlib.import_module("rml.threads")  # asyncio, for those who have it
        record = functools.partial(_record, entered.ledger, self.name, error, entered.begun)
        if isinstance(error, GeneratorExit):  # thrown away: nothing may be awaited any more
            escalation = record()
            if escalation is not None:
                threads.apart(tell, entered.ledger, escalation)
            return
        _, escalation, _ = await threads.outcome(threads.begin(record))
        if escalation is not None:
            await threads.outcome(threads.apart(tell, entered.ledger, escalation))

    def __call__(self, function: F) -> F:
        """Wrap a function; every call crosses a border of its own."""
        _check_decorated(function)
        name, given = self.name, self._given
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def guarded_async(*args: Any, **kwargs: Any) -> Any:
                async with boundary(name, ledger=given):
                    return await function(*args, **kwargs)

            return guarded_async  # type: ignore[return-value]

        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            with boundary(name, ledger=given):
                value = function(*args, **kwargs)
            return (
                _awaited(value, name, given) if inspect.iscoroutine(value) else _seen(value, name)
            )

        return guarded  # type: ignore[return-value]


def _check_decorated(function: object) -> None:
    if not callable(function):
        message = f"a boundary surrounds a function, not {shown(function)}; put it right above def"
        raise InvalidInputError(message)
    for face in (function, type(function).__call__):
        if inspect.isgeneratorfunction(face) or inspect.isasyncgenfunction(face):
            raise InvalidInputError(
                f"a boundary cannot surround {shown(function)} that yields: its body runs in its "
                "reader's hands; put `with rml.boundary(...)` around the loop that reads it"
            )


async def _awaited(value: Awaitable[Any], name: str, given: Ledger | None) -> Any:
    async with boundary(name, ledger=given):
        return await value


def _seen(value: T, name: str) -> T:
    """Return what a plain function returned, once the log knows if it is still to run."""
    if inspect.isgenerator(value) or inspect.isasyncgen(value) or inspect.isawaitable(value):
        _log.warning(
            "the boundary %s does not surround the %s that was returned through it: what happens "
            "in there is not recorded",
            name,
            type(value).__name__,
        )
    return value


@attrs.frozen(eq=False)
class _Entered:
    """One passage through a boundary."""

    ledger: Ledger
    begun: Begun
    token: Token[tuple[Begun, ...]]


def _is_news(error: BaseException) -> bool:
    """Say whether a crossing is recorded: an interrupt is not, unless history is behind it."""
    if issubclass(type(error), Exception):  # its own attributes may not be readable
        return True
    try:
        return widest_behind(error)[0] is World.RML3
    except Exception:  # noqa: BLE001 - it cannot be looked at, so it may be
        return True


def _record(ledger: Ledger, name: str, error: BaseException, begun: Begun) -> Escalation | None:
    """Record a crossing once; when that fails, the exception still is what the caller sees.

    Return what hooks are to be told of.
    """
    if is_recorded(error):
        return None
    try:
        escalation = ledger.write(lambda draft: _crossed(draft, name, error, begun))
    except Exception:  # noqa: BLE001 - what crosses goes on its way
        with suppress(Exception):  # a log that shows what crosses may fail on it as well
            _log.exception("what crossed the boundary %s could not be recorded", name)
        _note(error, f"crossing the boundary {name!r} could not be recorded")
        return None
    mark_recorded(error, escalation.incident if escalation is not None else incident_of(error))
    if escalation is not None:
        _note(error, f"{'opened' if escalation.opened else 'joined'} {escalation.incident}")
    return escalation


def _note(error: BaseException, text: str) -> None:
    with suppress(Exception):  # an exception that takes no notes is what is seen all the same
        error.add_note(f"rml: {text}")


def _unknown(draft: Draft, begun: Begun) -> Effect | None:
    """Return an effect that began inside and whose end nobody knows, if there is one."""
    effects = (
        fold(draft.entries(effect=effect), draft.lease(effect), draft.now)
        for effect in dict.fromkeys(begun)
    )
    return next((e for e in effects if e is not None and e.state in _UNKNOWN_END), None)


def _crossed(draft: Draft, name: str, error: BaseException, begun: Begun) -> Escalation | None:
    world, _ = widest_behind(error)
    cause = Cause.of(error)
    escalation = None
    incident = incident_of(error)
    unknown = _unknown(draft, begun) if incident is None else None
    if incident is None and (world is World.RML3 or unknown is not None):
        source = {"type": "rml", "source": name}
        signal = _signal_of(error, name, source, gray=world is not World.RML3)
        effect = unknown.id if unknown is not None else None
        escalation = open_or_join(draft, attrs.evolve(signal, effect=effect))
        incident = escalation.incident
    draft.append(
        "error.crossed",
        world=World.RML3 if incident is not None else world,
        facts={
            "boundary": name,
            "type": cause.type,
            "bug": classify(error) is Occurrence.BUG,
            "code": cause.code,
        },
        personal={
            "error": error.to_dict() if isinstance(error, RmlError) else {"text": cause.message}
        },
        operation=name,
        incident=incident,
    )
    return escalation

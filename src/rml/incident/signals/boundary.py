"""The border of a unit of work: what crosses it is recorded, and escalated if it is history.

An RML3 error, or one that wraps or groups one, opens or joins an incident when it crosses a
boundary. A stranger's exception is a bug: recorded, without an incident, unless an effect began
inside the boundary whose end is unknown.

Whatever an exception's class does when it is read, written or shown, the exception is what the
caller sees.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import Token
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import attrs

from rml.cause import Cause, widest_behind
from rml.config import current_ledger
from rml.effect.spelling import spelled
from rml.effect.state import Effect, EffectState, fold
from rml.error import InvalidInputError, RmlError
from rml.incident.signals.escalation import signal_of
from rml.incident.signals.hook import Escalation
from rml.incident.signals.marks import (
    Begun,
    enter,
    incident_of,
    innermost,
    is_recorded,
    leave,
    mark_recorded,
)
from rml.incident.signals.occurrence import Occurrence, classify
from rml.incident.signals.opening import open_or_join
from rml.incident.signals.telling import tell
from rml.ledger.draft import Draft
from rml.ledger.entry import check_text
from rml.ledger.ledger import Ledger
from rml.tag import shown
from rml.world import World

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

_UNKNOWN_END: Final = (EffectState.IN_DOUBT, EffectState.IN_FLIGHT)

_log = logging.getLogger("rml")


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

    @spelled('@rml.boundary("checkout")')
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
        if issubclass(type(error), GeneratorExit):  # thrown away: nothing may be awaited any more
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
            name = getattr(function, "__qualname__", type(function).__name__)
            raise InvalidInputError(
                f"{name} yields, so its body runs in its reader's hands and no boundary can "
                "surround it; put `with rml.boundary(...)` around the loop that reads it"
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
        signal = signal_of(error, name, source, gray=world is not World.RML3)
        effect = unknown.id if unknown is not None else None
        escalation = open_or_join(draft, attrs.evolve(signal, effect=effect))
        incident = escalation.incident
    draft.record(
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

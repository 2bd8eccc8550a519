"""Which ledger, service and hooks are meant when a call does not say.

The process has its defaults, and a context may have a ledger of its own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, Final

from rml.error import InvalidInputError
from rml.incident.signals.hook import Hook
from rml.ledger.entry import check_text
from rml.ledger.errors import NoLedgerError
from rml.ledger.ledger import Ledger

LEDGER_VARIABLE: Final = "RML_LEDGER"

_lock = threading.Lock()
_ledger: Ledger | None = None
_from_environment: tuple[str, Ledger] | None = None
_hooks: tuple[Hook, ...] = ()
_used: ContextVar[Ledger | None] = ContextVar("rml_ledger", default=None)
_UNSET: Final = object()


def configure(*, ledger: Any = _UNSET, service: Any = _UNSET, hooks: Any = _UNSET) -> None:
    """Set the process-wide defaults; what is not given stays, and ``None`` takes a default away.

    Args:
        ledger: a :class:`~rml.Ledger`, or a path or URL to open one.
        service: the service's name, recorded with every entry of the configured ledger.
        hooks: callables that are told of every escalation, after it is durable.

    Raises:
        InvalidInputError: a value is of the wrong type.
        LedgerUnavailableError: the ledger cannot be opened.
    """
    global _ledger, _hooks  # noqa: PLW0603 - one default a process is what this module is for
    checked = _checked_hooks(hooks) if hooks is not _UNSET else None
    if service is not _UNSET and service is not None:
        check_text("service", service)
    with _lock:
        chosen = _ledger if ledger is _UNSET else _opened(ledger)
        if service is not _UNSET and chosen is not None:
            chosen.service = service
        elif service is not _UNSET and service is not None:
            message = (
                "give a service together with a ledger: rml.configure(ledger=..., service=...)"
            )
            raise InvalidInputError(message)
        _ledger = chosen
        if checked is not None:
            _hooks = checked


def _opened(ledger: object) -> Ledger | None:
    return ledger if ledger is None or isinstance(ledger, Ledger) else Ledger(ledger)


def _checked_hooks(hooks: object) -> tuple[Hook, ...]:
    if hooks is None:
        return ()
    if isinstance(hooks, Sequence) and not isinstance(hooks, str | bytes):
        with suppress(Exception):  # a class of its own may raise anything
            listed = tuple(hooks)
            if all(map(callable, listed)):
                return listed
    message = "hooks must be a list of callables that take an rml.Escalation"
    raise InvalidInputError(message)


@contextmanager
def use(*, ledger: Ledger) -> Iterator[Ledger]:
    """Use another ledger in this context only: a test, a tenant, a task.

    Raises:
        InvalidInputError: ``ledger`` is no :class:`~rml.Ledger`.
    """
    token = _used.set(_a_ledger(ledger))
    try:
        yield ledger
    finally:
        _used.reset(token)


def current_ledger(explicit: Ledger | None = None) -> Ledger:
    """Return the ledger that is meant: given, used in this context, configured, or `RML_LEDGER`.

    Raises:
        NoLedgerError: none of these names one.
        InvalidInputError: ``explicit`` is no :class:`~rml.Ledger`.
    """
    if explicit is not None:
        return _a_ledger(explicit)
    ledger = _used.get() or _ledger or _of_environment()
    if ledger is None:
        raise NoLedgerError
    return ledger


def _a_ledger(ledger: object) -> Ledger:
    if isinstance(ledger, Ledger):
        return ledger
    message = f"ledger must be an rml.Ledger, not {type(ledger).__name__}; open it first"
    raise InvalidInputError(message)


def _of_environment() -> Ledger | None:
    global _from_environment  # noqa: PLW0603
    place = os.environ.get(LEDGER_VARIABLE)
    if not place:
        return None
    with _lock:
        if _from_environment is None or _from_environment[0] != place:
            _from_environment = (place, Ledger(place))
        return _from_environment[1]


def current_hooks() -> tuple[Hook, ...]:
    """Return the hooks that are told of escalations."""
    return _hooks

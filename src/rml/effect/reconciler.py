"""Reconciling at intervals: a thread that asks about what is in doubt until it is stopped."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Final, Self

from rml.config import current_ledger
from rml.context import carried
from rml.effect.reconcile import Questions, Reconciliation
from rml.error import InvalidInputError
from rml.ledger.argument import as_seconds
from rml.ledger.ledger import Ledger

EVERY_SECONDS: Final = 30.0
# A worker that was suspended, or whose ledger was busy, reports within moments of coming back.
GRACE_SECONDS: Final = 10.0
# Longer than the time-outs of most clients: a reconciler that takes more has been lost.
TIMEOUT_SECONDS: Final = 60.0

_log = logging.getLogger("rml")


class Reconciler:
    """Reconciles what is in doubt at intervals, in a thread of its own; a context manager.

    Several processes may each have one: one decision counts. What decides nothing in one round is
    asked again in the next. A reconciler that hangs holds up a round for ``timeout`` seconds, and
    is not called again for that effect before it has come back.

    Args:
        ledger: the ledger, if not the one that is configured where it is started.
        every: seconds from the end of a round to the next.
        operation: only effects of this operation.
        grace: as for :func:`rml.reconcile`.
        timeout: as for :func:`rml.reconcile`.
        told: called with each reconciliation, in the reconciler's thread; what it raises is logged.

    Raises:
        InvalidInputError: a number of seconds is none, or ``told`` cannot be called.
    """

    def __init__(
        self,
        ledger: Ledger | None = None,
        *,
        every: float | timedelta = EVERY_SECONDS,
        operation: str | None = None,
        grace: float | timedelta = GRACE_SECONDS,
        timeout: float | timedelta = TIMEOUT_SECONDS,
        told: Callable[[Reconciliation], object] | None = None,
    ) -> None:
        self._given = ledger
        self._every = as_interval(every)
        self._questions = Questions.of(operation, grace, timeout)
        if told is not None and not callable(told):
            raise InvalidInputError.about("told", told, "give a function of an rml.Reconciliation")
        self._told = told
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Begin the first round now.

        Raises:
            NoLedgerError: no ledger is given or configured.
            InvalidInputError: it has been started already.
        """
        if self._thread is not None:
            raise InvalidInputError("this reconciler has been started already; make another one")
        ledger = current_ledger(self._given)
        self._thread = threading.Thread(
            target=carried(self._run), args=(ledger,), name="rml-reconciler", daemon=True
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """Ask about nothing more, and return when the question under way has ended."""
        self._stopping.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self, ledger: Ledger) -> None:
        while not self._stopping.is_set():
            try:
                self._round(ledger)
            except BaseException as error:  # noqa: BLE001 - a busy ledger, a reconciler that exits
                _log.warning("a round of reconciling ended early: %s", type(error).__name__)
            self._stopping.wait(min(self._every, threading.TIMEOUT_MAX))

    def _round(self, ledger: Ledger) -> None:
        for reconciliation in self._questions.ask(ledger):
            self._tell(reconciliation)
            if self._stopping.is_set():
                return

    def _tell(self, reconciliation: Reconciliation) -> None:
        if self._told is None:
            return
        try:
            self._told(reconciliation)
        except Exception:  # noqa: BLE001 - whoever listens must not end the rounds
            _log.exception("told= of an rml.Reconciler raised")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def as_interval(every: object) -> float:
    """Return a number of seconds, or a timedelta's, that is more than nothing.

    Raises:
        InvalidInputError: it is none.
    """
    seconds = as_seconds("every", every)
    if seconds > 0:
        return seconds
    raise InvalidInputError.about("every", every, "give more than 0 seconds")

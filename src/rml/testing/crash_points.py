"""Where a process dies in a protected call, and a ledger that is left as a kill would leave it.

A call of a protected handler makes two commits, the intent and the outcome. Its handler runs
between them, so a call can be cut in four places: before and after each of the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, Final, TypeVar, cast

from rml.config import current_ledger
from rml.error import InvalidInputError
from rml.ledger.entry import Sealed
from rml.ledger.ledger import Ledger
from rml.ledger.store import Store, Transaction

__all__ = ["CrashPoint", "ProcessKilled", "crash_at"]

T = TypeVar("T")

_INTENT: Final = "effect.intent"
_ALIVE: Final = frozenset({"close", "scrub"})  # what ends a ledger ends a dead process's, too


class CrashPoint(StrEnum):
    """A place in a protected call, and what a kill there leaves behind.

    ``BEFORE_INTENT``: nothing. ``AFTER_INTENT``: an intent, and a handler that never ran.
    ``BEFORE_OUTCOME``: the same intent, and a handler that ran to its end. ``AFTER_OUTCOME``: an
    outcome that the caller was never told.
    """

    BEFORE_INTENT = "before_intent"
    AFTER_INTENT = "after_intent"
    BEFORE_OUTCOME = "before_outcome"
    AFTER_OUTCOME = "after_outcome"


class ProcessKilled(BaseException):
    """Ends what a killed process was doing; no outcome of it is recorded anywhere."""


class _DyingStore:
    """A store that a process dies at: after that, nothing of it reaches the ledger any more."""

    def __init__(self, store: Store, point: CrashPoint, operation: str | None) -> None:
        self.dead = False
        self._store = store
        self._point = point
        self._operation = operation
        self._intents: set[str] = set()

    def write(self, work: Callable[[Transaction], T], *, timeout: float) -> T:
        """Run ``work`` in one commit, and die before or after it when it passes the point."""
        self._check_alive()
        passed = False

        def watched(transaction: Transaction) -> T:
            nonlocal passed
            seen = _Watching(transaction)
            result = work(cast("Transaction", seen))
            passed = any(self._passes(sealed.fields) for sealed in seen.appended)
            if passed and self._point in {CrashPoint.BEFORE_INTENT, CrashPoint.BEFORE_OUTCOME}:
                self._die()
            return result

        result = self._store.write(watched, timeout=timeout)
        if passed:
            self._die()
        return result

    def _passes(self, fields: Any) -> bool:
        """Whether an entry is what the process dies at; an outcome has its intent in the block."""
        effect, is_intent = fields.get("effect"), fields.get("kind") == _INTENT
        if effect is None or self._operation not in {None, fields.get("operation")}:
            return False
        if is_intent:
            self._intents.add(effect)
        at_intent = self._point in {CrashPoint.BEFORE_INTENT, CrashPoint.AFTER_INTENT}
        return is_intent if at_intent else not is_intent and effect in self._intents

    def _die(self) -> None:
        self.dead = True
        self._check_alive()

    def _check_alive(self) -> None:
        if self.dead:
            raise ProcessKilled(f"on purpose, {self._point.value.replace('_', ' ')}")

    def __getattr__(self, name: str) -> Any:
        """Return what the store inside has, while the process lives."""
        if name not in _ALIVE:
            self._check_alive()
        return getattr(self._store, name)


class _Watching:
    """A transaction that remembers what was appended to it."""

    def __init__(self, transaction: Transaction) -> None:
        self.appended: list[Sealed] = []
        self._transaction = transaction

    def append(self, sealed: Sealed) -> int | None:
        """Add an entry."""
        self.appended.append(sealed)
        return self._transaction.append(sealed)

    def __getattr__(self, name: str) -> Any:
        """Return what the transaction inside has."""
        return getattr(self._transaction, name)


@contextmanager
def crash_at(
    point: CrashPoint | str, *, operation: str | None = None, ledger: Ledger | None = None
) -> Iterator[None]:
    """Die at a point of the first protected call that reaches it; the block ends there.

    From that point on, nothing that the block does reaches the ledger: not the outcome, not those
    of the calls around it, nothing of other threads. After the block, the ledger is as a restarted
    process finds it. An intent without an outcome is in flight until its lease ends: move the
    clock.

    The process is not really killed. ``finally`` and ``except BaseException`` blocks of the handler
    still run, memory is kept, and what the store does within one commit is not cut in two.

    Args:
        point: a :class:`CrashPoint`, or its text, such as ``"after_intent"``.
        operation: die at a call of this operation only, when handlers call others.
        ledger: the ledger of the calls, if not the current one. No other thread may begin or end
            such a block for it meanwhile.

    Raises:
        InvalidInputError: there is no such point.
        NoLedgerError: no ledger is given, used or configured.
        AssertionError: no call reached the point.
    """
    if point not in set(CrashPoint):
        raise InvalidInputError.about("point", point, f"choose one of {', '.join(CrashPoint)}")
    place = current_ledger(ledger)
    inside = place._store  # noqa: SLF001 - a test double's one way in
    dying = _DyingStore(inside, CrashPoint(point), operation)
    place._store = cast("Store", dying)  # noqa: SLF001
    try:
        yield
    except AssertionError:  # the test's own
        raise
    except (ProcessKilled, Exception):  # whatever a dead process raises, nobody hears
        if not dying.dead:
            raise
    finally:
        place._store = inside  # noqa: SLF001
    if not dying.dead:
        raise AssertionError(f"no protected call came to the point {CrashPoint(point).value!r}")

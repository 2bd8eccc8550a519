"""How a ledger's store fails, on purpose: by plan, before or after a commit, as real stores do.

A program that records what it does has to bear a ledger that cannot record. Here it is tried::

    with failing(ledger, {2: Fault.KEPT}) as store:
        call_the_handler()

fails the second call of the store inside the block: it commits, and says that it does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from typing import Any, Final, TypeVar, cast

from rml.error import InvalidInputError, RmlError
from rml.ledger.errors import AppendUnknownError, LedgerBusyError, LedgerUnavailableError
from rml.ledger.ledger import Ledger
from rml.ledger.store import Store, Transaction

__all__ = ["Fault", "FaultyStore", "failing"]

T = TypeVar("T")


class Fault(Enum):
    """How one call of a store fails.

    ``BUSY`` and ``UNAVAILABLE`` come before anything is recorded, and say so. ``LOST`` and ``KEPT``
    come while committing, and both raise :class:`rml.AppendUnknownError`; the commit is durable
    only after ``KEPT``. A call that only reads has nothing to commit: with any fault but ``BUSY``
    it is unavailable.
    """

    BUSY = "busy"
    UNAVAILABLE = "unavailable"
    LOST = "lost"
    KEPT = "kept"


_SAID: Final = "on purpose, by rml.testing.faults"
_NEVER_FAIL: Final = frozenset({"close", "scrub", "supposes_new"})


class FaultyStore:
    """A store that fails as planned, and does what the store inside it does otherwise.

    Every method of the store inside is a call that may fail, but ``close`` and ``scrub``, which a
    store carries out by itself later, if it has to, and ``supposes_new``, which asks nobody.

    Args:
        store: the store inside.
        plan: the faults, by the number of the call that is to fail, from 1.

    Attributes:
        calls: the names of the calls made so far, those that failed among them; with an empty plan,
            they say what there is to fail.

    Raises:
        InvalidInputError: the plan is none.
    """

    def __init__(self, store: Store, plan: Mapping[int, Fault]) -> None:
        self.store = store
        self.calls: list[str] = []
        self._plan = dict(plan)
        for number, fault in self._plan.items():
            if type(number) is not int or number < 1 or not isinstance(fault, Fault):
                message = "a plan maps the numbers of calls, from 1, to members of Fault"
                raise InvalidInputError(message)

    def _count(self, name: str) -> Fault | None:
        """Take a call down, and return how it is to fail."""
        self.calls.append(name)
        return self._plan.get(len(self.calls))

    def write(self, work: Callable[[Transaction], T], *, timeout: float) -> T:
        """Run ``work`` in one commit, and fail before, while or after it is durable.

        Raises:
            LedgerBusyError: planned, or the store inside is busy.
            LedgerUnavailableError: planned, or the store inside cannot be written.
            AppendUnknownError: planned, or the commit of the store inside failed.
        """
        fault = self._count("write")
        refusal = None if fault is None else _refusal(fault)
        if refusal is not None:
            raise refusal
        unknown = AppendUnknownError(f"the commit failed, {_SAID}; it may be durable")

        def lost(transaction: Transaction) -> T:
            work(transaction)
            raise unknown

        result = self.store.write(lost if fault is Fault.LOST else work, timeout=timeout)
        if fault is Fault.KEPT:
            raise unknown
        return result

    def __getattr__(self, name: str) -> Any:
        """Return what the store inside has; a method fails when it is called."""
        inside = getattr(self.store, name)
        if not callable(inside) or name in _NEVER_FAIL:
            return inside

        def read(*args: Any, **options: Any) -> Any:
            fault = self._count(name)
            if fault is None:
                return inside(*args, **options)
            raise _refusal(fault) or LedgerUnavailableError(f"the ledger cannot be read, {_SAID}")

        return read


def _refusal(fault: Fault) -> RmlError | None:
    """Return the error of a store that cannot be reached, if the fault is that."""
    if fault is Fault.BUSY:
        return LedgerBusyError(f"the ledger is busy, {_SAID}; nothing was recorded")
    if fault is Fault.UNAVAILABLE:
        return LedgerUnavailableError(
            f"the ledger cannot be reached, {_SAID}; nothing was recorded"
        )
    return None


@contextmanager
def failing(ledger: Ledger, plan: Mapping[int, Fault]) -> Iterator[FaultyStore]:
    """Have a ledger's own store fail by plan while the block runs.

    Checkpoints and proofs are made beside it, and do not fail.

    Args:
        ledger: the ledger; no other thread may begin or end such a block for it meanwhile.
        plan: see :class:`FaultyStore`.

    Raises:
        InvalidInputError: the plan is none.
    """
    inside = ledger._store  # noqa: SLF001 - a test double's one way in
    faulty = FaultyStore(inside, plan)
    ledger._store = cast("Store", faulty)  # noqa: SLF001
    try:
        yield faulty
    finally:
        ledger._store = inside  # noqa: SLF001

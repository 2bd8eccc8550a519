"""How a ledger is written to: one entry, or several in one durable commit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from rml.clock import Clock, IdSource
from rml.context import surroundings
from rml.error import InvalidInputError
from rml.ledger.argument import as_seconds, ended
from rml.ledger.draft import Draft, Receipt, check_own_kind
from rml.ledger.store import Store, Transaction
from rml.world import World

T = TypeVar("T")

# The stores of which a transaction of the application's own is under way around the present code.
_kept_out: ContextVar[tuple[Store, ...]] = ContextVar("rml_kept_out", default=())


@contextmanager
def keep_out(store: Store) -> Iterator[None]:
    """Refuse commits of a store's own in the block, which runs in somebody else's transaction."""
    token: Final = _kept_out.set((*_kept_out.get(), store))
    try:
        yield
    finally:
        _kept_out.reset(token)


class LedgerWriting:
    """The writing of a :class:`rml.Ledger`."""

    clock: Clock
    service: str | None
    timeout: float
    _ids: IdSource
    _store: Store

    def supposes_new(self, effect_id: str) -> bool:
        """Whether to claim an effect costs no more than to look at it, so nobody need look."""
        return self._store.supposes_new(effect_id)

    def append(
        self,
        kind: str,
        *,
        world: World | str,
        facts: Mapping[str, Any] | None = None,
        personal: Mapping[str, Any] | None = None,
        at: datetime | None = None,
        actor: str | None = None,
        operation: str | None = None,
        corrects: str | None = None,
        incident: str | None = None,
        correlation: str | None = None,
    ) -> Receipt:
        """Append one entry and return when it is durable.

        Args:
            kind: dotted lower-case words, such as ``payment.refund``; what the library records
                itself cannot be forged.
            world: where this happened.
            facts: JSON-like values in clear, for queries. Decimals, dates, UUIDs and enums become
                text.
            personal: JSON values kept beside the entry, erasable, bound to it by salted digests.
            at: when it happened, if not now. When it was *recorded* is the ledger's to say.
            actor: who did it.
            operation: the operation that it belongs to.
            corrects: the id of the entry or effect that it corrects; see :meth:`correct`.
            incident: the incident that it belongs to.
            correlation: the request that it belongs to.

        Raises:
            InvalidInputError: names the value that cannot be recorded.
            UnknownIdError: ``corrects`` names no entry or effect of this ledger.
            CorrectionTargetError: ``corrects`` names what is not known to have happened.
            OverCorrectionError: less is left of what ``corrects`` names than this takes back.
            LimitError: the entry is too large.
            LedgerBusyError: other writers kept the ledger busy; nothing was recorded.
            LedgerUnavailableError: the ledger cannot be written; nothing was recorded.
            AppendUnknownError: the commit failed and may or may not be durable.
        """
        check_own_kind(kind)
        return self._write(
            lambda draft: draft.record(
                kind,
                world=world,
                facts=facts,
                personal=personal,
                at=at,
                actor=actor,
                corrects=corrects,
                operation=operation,
                incident=incident,
                correlation=correlation,
            ),
            self.timeout,
        )

    def write(self, work: Callable[[Draft], T], *, timeout: float | timedelta | None = None) -> T:
        """Run ``work`` on a draft and make everything that it appended durable in one commit.

        ``work`` may be run again when the store has to start over: it must have no effect but on
        the draft.

        Raises:
            LedgerBusyError: as :meth:`append`.
            LedgerUnavailableError: as :meth:`append`.
            AppendUnknownError: as :meth:`append`.
        """
        if not callable(work):
            message = f"work must be a function of a Draft, not {type(work).__name__}"
            raise InvalidInputError(message)
        wait = self.timeout if timeout is None else as_seconds("timeout", timeout)
        return self._write(lambda draft: ended(work(draft)), wait)

    def _write(self, work: Callable[[Draft], T], wait: float) -> T:
        if self._store in _kept_out.get():
            raise InvalidInputError(
                "the ledger would wait for the transaction that it is written to from; record in "
                "that one, with ledger.on(connection) or connection=, or do this after its commit"
            )
        return self._store.write(self._on_draft(work), timeout=wait)

    def _on_draft(self, work: Callable[[Draft], T]) -> Callable[[Transaction], T]:
        """Return a work on a draft as one on a store's transaction."""
        # The caller's: another thread may commit this together with its own.
        around = surroundings()

        def on(transaction: Transaction) -> T:
            now = self.clock.now()
            origin = self._store.origin
            draft = Draft(transaction, origin, self.service, now, self._ids.new, around)
            try:
                return work(draft)
            finally:
                draft.end()

        return on

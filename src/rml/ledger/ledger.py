"""The ledger itself: how it is opened, what may be appended, how a person settles a doubt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from uuid import uuid4

from rml.clock import Clock, IdSource, RandomIds, SystemClock
from rml.context import surroundings
from rml.effect.resolution import resolve
from rml.effect.state import Effect
from rml.error import InvalidInputError
from rml.ledger.argument import (
    as_clock,
    as_id_source,
    as_origin,
    as_seconds,
    as_signer,
    ended,
    flag,
    listed,
)
from rml.ledger.draft import Draft, Receipt
from rml.ledger.entry import check_kind, check_text
from rml.ledger.erasure import erase
from rml.ledger.notary import Notary
from rml.ledger.note import SignerKey
from rml.ledger.proving import LedgerProofs
from rml.ledger.store import Opening, Transaction, open_store, to_url
from rml.redact import Secret
from rml.world import World

T = TypeVar("T")

# How long a write waits for other writers, in seconds, unless the ledger is opened with another
# value.
TIMEOUT_SECONDS: Final = 10.0
UNSET: Final = object()


class Ledger(LedgerProofs):
    """An append-only history that shows when it was tampered with.

    Args:
        place: a path, or a URL: ``sqlite:///payments.db`` (relative),
            ``sqlite:////var/lib/payments.db`` (absolute), ``sqlite://:memory:``, ``memory:``.
        origin: the ledger's identity, inside every hash. A new ledger gets a random one; an
            existing one must match.
        service: recorded with every entry.
        clock: where ``recorded_at`` comes from.
        ids: where the ids of entries come from.
        timeout: seconds that a write waits for other writers.
        create: whether a missing ledger is created.
        signer: the key that signs checkpoints, or its text; its name is the ledger's origin, also
            that of a new ledger.

    A ledger may be shared between threads, and is a context manager that closes itself.

    Raises:
        InvalidInputError: the place is no path or known URL, the ledger there has another origin,
            or the key is not this ledger's.
        MissingExtraError: there is a key, and the extra ``sign`` is not installed.
        LedgerUnavailableError: it cannot be opened.
        NotALedgerError: something else is there.
        NewerFormatError: it was written by a later rml.
    """

    def __init__(
        self,
        place: object,
        *,
        origin: str | None = None,
        service: str | None = None,
        clock: Clock | None = None,
        ids: IdSource | None = None,
        timeout: float | timedelta = TIMEOUT_SECONDS,
        create: bool = True,
        signer: SignerKey | Secret[str] | str | None = None,
    ) -> None:
        self.url: str = to_url(place)
        key = None if signer is None else as_signer(signer, origin)
        origin = origin if key is None else key.name
        self.clock: Clock = SystemClock() if clock is None else as_clock(clock)
        self._ids: IdSource = RandomIds() if ids is None else as_id_source(ids)
        self.service: str | None = None if service is None else check_text("service", service)
        self.timeout: float = as_seconds("timeout", timeout)
        opening = Opening(
            url=self.url,
            origin=None if origin is None else as_origin(origin),
            new_origin=f"rml-ledger/{uuid4()}",
            clock=self.clock,
            ids=self._ids,
            create=flag("create", create),
            timeout=self.timeout,
        )
        self._store = open_store(opening)
        self._notary = Notary(self._store, key)

    # Writing --------------------------------------------------------------------------------------

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
            corrects: the id of the entry that it corrects.
            incident: the incident that it belongs to.
            correlation: the request that it belongs to.

        Raises:
            InvalidInputError: names the value that cannot be recorded.
            UnknownIdError: ``corrects`` names no entry of this ledger.
            LimitError: the entry is too large.
            LedgerBusyError: other writers kept the ledger busy; nothing was recorded.
            LedgerUnavailableError: the ledger cannot be written; nothing was recorded.
            AppendUnknownError: the commit failed and may or may not be durable.
        """
        if check_kind(kind).partition(".")[0] in RESERVED_KINDS:
            message = f"kind {kind!r} is recorded by the library alone; choose another first word"
            raise InvalidInputError(message)
        return self.write(
            lambda draft: draft.append(
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
            )
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
        around = (
            surroundings()
        )  # the caller's: another thread may commit this together with its own

        def on(transaction: Transaction) -> T:
            now = self.clock.now()
            draft = Draft(transaction, self.origin, self.service, now, self._ids.new, around)
            try:
                return ended(work(draft))
            finally:
                draft.end()

        if not callable(work):
            message = f"work must be a function of a Draft, not {type(work).__name__}"
            raise InvalidInputError(message)
        wait = self.timeout if timeout is None else as_seconds("timeout", timeout)
        return self._store.write(on, timeout=wait)

    def resolve(
        self, effect_id: str, *, happened: bool, by: str, reason: str, result: Any = UNSET
    ) -> Effect:
        """Record a person's decision about an effect in doubt: did it happen?

        Args:
            effect_id: the effect, as :meth:`in_doubt` lists it.
            happened: ``True``: it is done, and the handler will not run again for its key.
                ``False``: it is not, and the next call runs it.
            by: who decides.
            reason: on what evidence.
            result: with ``happened=True``, the value that later calls are given.

        Raises:
            UnknownIdError: there is no such effect.
            NotInDoubtError: it is not in doubt (any more); the state is named.
            InvalidInputError: a value is missing or of the wrong type.
        """
        extra = {} if result is UNSET else {"result": result}
        return self.write(
            lambda draft: resolve(
                draft, effect_id, happened=happened, by=by, reason=reason, **extra
            )
        )

    def erase(self, entry_id: str, fields: Sequence[str], *, by: str, reason: str) -> Receipt:
        """Remove personal fields for good and record who did it and why; all proofs stay valid.

        Args:
            entry_id: an entry's id, or an effect's: then of all its entries that have the fields.
            fields: the names to erase, as in the entry's ``commitments``.
            by: who erases.
            reason: on what request or law.

        Raises:
            UnknownIdError: there is no such entry or effect.
            InvalidInputError: there is no such erasable field.
        """
        check_text("entry_id", entry_id)
        check_text("by", by)
        check_text("reason", reason)
        names = [check_text("a name in fields", name) for name in listed(fields)]
        receipt = self.write(lambda draft: erase(draft, entry_id, names, by, reason))
        self._store.scrub()
        return receipt

    def close(self) -> None:
        """Release files and connections."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Ledger({self.url!r}, origin={self.origin!r})"


# What the library records itself; a program's own kinds begin with another word.
RESERVED_KINDS: Final = frozenset({"effect", "incident", "payload", "error", "rml"})

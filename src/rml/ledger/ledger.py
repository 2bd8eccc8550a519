"""The ledger itself: what may be appended, how it is asked, how a person settles a doubt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from uuid import uuid4

import attrs

from rml.clock import Clock, IdSource, RandomIds, SystemClock
from rml.context import surroundings
from rml.effect.resolution import resolve
from rml.effect.state import Effect, EffectState, fold
from rml.error import InvalidInputError
from rml.ledger.argument import (
    as_clock,
    as_id_source,
    as_origin,
    as_seconds,
    as_signer,
    as_state,
    asked,
    ended,
    flag,
    limited,
    listed,
    moment_text,
    unknown,
)
from rml.ledger.draft import Draft, Receipt, as_world
from rml.ledger.entry import Entry, check_kind, check_text
from rml.ledger.erasure import erase
from rml.ledger.notary import Notary
from rml.ledger.note import SignerKey
from rml.ledger.proof import ConsistencyProof, InclusionProof
from rml.ledger.rows import Rows
from rml.ledger.store import Opening, Query, Store, Transaction, open_store, to_url
from rml.ledger.verify import Verification, verify
from rml.redact import Secret
from rml.world import World

T = TypeVar("T")

# How long a write waits for other writers, in seconds, unless the ledger is opened with another
# value.
TIMEOUT_SECONDS: Final = 10.0
UNSET: Final = object()


class Ledger:
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

    # Asking ---------------------------------------------------------------------------------------

    def entries(
        self,
        *,
        kind: str | None = None,
        world: World | str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        operation: str | None = None,
        effect: str | None = None,
        corrects: str | None = None,
        incident: str | None = None,
        correlation: str | None = None,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> Rows[Entry]:
        """Return the entries for which every given condition holds, in index order.

        ``since`` (included) and ``until`` (excluded) are about ``recorded_at``.

        Raises:
            InvalidInputError: a time has no timezone, or a world is unknown.
        """
        query = Query(
            kind=asked("kind", kind),
            world=None if world is None else as_world(world).value,
            operation=asked("operation", operation),
            effect=asked("effect", effect),
            corrects=asked("corrects", corrects),
            incident=asked("incident", incident),
            correlation=asked("correlation", correlation),
            since=moment_text("since", since),
            until=moment_text("until", until),
            newest_first=flag("newest_first", newest_first),
            limit=limited(limit),
        )
        count = None if limit is not None else lambda: self._store.count(query)
        return Rows(lambda: self._store.select(query), entry_row, count)

    def entry(self, entry_id: str) -> Entry:
        """Return one entry by its id.

        Raises:
            UnknownIdError: there is none.
        """
        for entry in self._store.select(Query(id=check_text("entry_id", entry_id))):
            return entry
        raise unknown("entry", entry_id)

    def effect(self, effect_id: str) -> Effect:
        """Return where an effect stands.

        Raises:
            UnknownIdError: there is no such effect.
        """
        effect = self.look(check_text("effect_id", effect_id))
        if effect is None:
            raise unknown("effect", effect_id)
        return effect

    def newest(self, effect_id: str) -> tuple[str, bytes | None] | None:
        """Return the kind of an effect's newest entry and what is kept beside it, unread."""
        return self._store.last(effect_id)

    def look(self, effect_id: str) -> Effect | None:
        """Return where an effect stands, or ``None`` when nothing was promised under this id."""
        entries, lease = self._store.effect(effect_id)
        return fold(entries, lease, self.clock.now())

    def effects(
        self,
        *,
        state: EffectState | str | None = None,
        operation: str | None = None,
        since: datetime | None = None,
        key: str | None = None,
        incident: str | None = None,
    ) -> Rows[Effect]:
        """Return effects in the order of their first intents.

        Args:
            state: only effects in this state.
            operation: only effects of this operation.
            since: only effects first promised at this moment or later.
            key: only effects of this key; its text, as an effect's ``key`` has it.
            incident: only effects that this incident's entries name.

        Raises:
            InvalidInputError: no such state, or a time without timezone.
        """
        wanted = None if state is None else as_state(state)
        query = Query(
            kind="effect.intent",
            operation=asked("operation", operation),
            key=asked("key", key),
            since=moment_text("since", since),
        )
        about = asked("incident", incident)

        def ask() -> Iterator[Effect]:
            for entry in intents(self._store, query, about):
                if entry.effect is None or entry.attempt != 1:
                    continue
                effect = self.look(entry.effect)
                if effect is not None and (wanted is None or effect.state is wanted):
                    yield effect

        return Rows(ask, Effect.to_dict)

    def in_doubt(self) -> Rows[Effect]:
        """Return the effects of which nobody knows whether they happened, the oldest first.

        Each waits for a reconciler or a person.
        """

        def ask() -> Iterator[Effect]:
            effects = (self.look(lease.effect) for lease in self._store.leases())
            doubtful = [e for e in effects if e is not None and e.state is EffectState.IN_DOUBT]
            return iter(sorted(doubtful, key=lambda effect: (effect.started_at, effect.id)))

        return Rows(ask, Effect.to_dict)

    # Proving --------------------------------------------------------------------------------------

    @property
    def origin(self) -> str:
        """The ledger's identity, inside every entry's hash."""
        return self._store.origin

    @property
    def size(self) -> int:
        """How many entries there are."""
        return self._store.head().size

    @property
    def root(self) -> str:
        """The hex root of the Merkle tree over all entries (RFC 6962, section 2.1)."""
        return self._store.head().root.hex()

    def checkpoint(self) -> str:
        """Return origin, size and root as a C2SP tlog-checkpoint, signed if the ledger has a key.

        Raises:
            LedgerCorruptError: it would contradict the stored hashes, or a checkpoint that this
                object has signed before; nothing is signed.
        """
        return self._notary.checkpoint()

    def prove(self, entry_id: str) -> InclusionProof:
        """Return the proof that an entry is in this ledger, which anybody can check offline.

        It is against the present checkpoint, signed if the ledger has a key.

        Raises:
            UnknownIdError: there is no such entry.
            LedgerCorruptError: the stored hashes do not show it.
        """
        return self._notary.prove(self.entry(entry_id))

    def prove_consistency(self, old_size: int, new_size: int | None = None) -> ConsistencyProof:
        """Return the proof that nothing was changed since the ledger had so many entries.

        Args:
            old_size: how many entries the older checkpoint says there were.
            new_size: how many there are in the newer one; the present ones, if not given.

        Raises:
            InvalidInputError: the ledger has never had so many entries, or the sizes are the wrong
                way around.
            LedgerCorruptError: the stored hashes do not show it.
        """
        return self._notary.prove_consistency(old_size, new_size)

    def verify(self, progress: Callable[[int, int], None] | None = None) -> Verification:
        """Recompute everything from the bytes and name the first bad entry.

        Args:
            progress: called with (entries checked, entries in all) now and then.
        """
        if progress is not None and not callable(progress):
            message = f"progress must be a function of two numbers, not {type(progress).__name__}"
            raise InvalidInputError(message)
        return verify(self._store, progress)

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


def entry_row(entry: Entry) -> dict[str, Any]:
    """Return an entry as a flat row: header fields, then facts (prefixed where names clash)."""
    own: dict[str, Any] = {"index": entry.index}
    own |= {
        f.name: getattr(entry, f.name) for f in attrs.fields(Entry) if f.name not in _NOT_COLUMNS
    }
    own["world"] = entry.world.value
    return {
        **own,
        **{f"facts.{name}" if name in own else name: value for name, value in entry.facts.items()},
    }


def intents(store: Store, query: Query, incident: str | None) -> Iterator[Entry]:
    """Yield the intents that match, in index order; only of effects an incident names, if given."""
    if incident is None:
        yield from store.select(query)
        return
    named = {entry.effect for entry in store.select(Query(incident=incident))} - {None}
    found = [e for effect in named for e in store.select(attrs.evolve(query, effect=effect))]
    yield from sorted(found, key=lambda entry: entry.index or 0)


_NOT_COLUMNS: Final = frozenset({"facts", "commitments", "index", "personal", "origin"})

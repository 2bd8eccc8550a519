"""One commit in the making: what those who record add to it, and what they may ask meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import attrs

from rml.clock import parse_utc, utc_text
from rml.codec import INTEGER_MAX
from rml.context import Surroundings
from rml.effect.state import history_of
from rml.error import InvalidInputError
from rml.ledger.content import as_world, check_facts, check_moment, seal_personal
from rml.ledger.corrections.correction import Corrections
from rml.ledger.entry import (
    RESERVED_KINDS,
    Entry,
    check_kind,
    check_text,
    seal,
)
from rml.ledger.errors import CorrectionTargetError, UnknownIdError
from rml.ledger.store import Lease, Query, Transaction
from rml.tag import shown
from rml.world import World

# The optional header fields that `Draft.append` has no parameter of its own for.
LINKS: Final = frozenset(
    {
        "attempt",
        "correlation",
        "effect",
        "incident",
        "key",
        "operation",
        "scope",
        "service",
        "traceparent",
    }
)


@attrs.frozen
class Receipt:
    """That an entry is durable: its id, its index and the ledger's time.

    The index is ``None`` where a later sealing gives it, as in PostgreSQL; then
    :meth:`rml.Ledger.index_of` waits for it.
    """

    id: str
    index: int | None
    recorded_at: datetime


@attrs.define(eq=False)
class Draft:
    """One commit in the making, as those who record see it; all of it becomes durable together."""

    _transaction: Transaction
    _origin: str
    service: str | None
    now: datetime
    _new_id: Any
    _around: Surroundings
    _recorded_at: str = attrs.field(init=False)
    _standing: dict[str, Any] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Work out what every entry of the commit says alike."""
        self._recorded_at = recorded_at = utc_text(self.now)
        self._standing = standing = {"origin": self._origin, "recorded_at": recorded_at}
        if self._around.told:
            standing.update(self._around.told)
        if self.service is not None:
            standing["service"] = check_text("service", self.service)

    def append(self, kind: str, *, world: World | str, **entry: Any) -> Receipt:
        """Add an entry of the program's own to the commit.

        ``entry`` is what else it says: ``facts``, ``personal``, ``at``, ``actor`` and ``corrects``
        as for :meth:`rml.Ledger.append`, and the other optional header fields: ``operation``,
        ``scope``, ``key``, ``effect``, ``attempt``, ``incident``, ``correlation``,
        ``traceparent``, ``service``.

        Raises:
            InvalidInputError: names the value that cannot be recorded, and the way out; a kind
                that the library records itself is one.
            UnknownIdError: ``corrects`` names no entry or effect of this ledger.
            CorrectionTargetError: ``corrects`` names what is not known to have happened.
            OverCorrectionError: less is left of what ``corrects`` names than this takes back.
        """
        check_own_kind(kind)
        return self.record(kind, world=world, **entry)

    def record(
        self,
        kind: str,
        *,
        world: World | str,
        facts: Mapping[str, Any] | None = None,
        personal: Mapping[str, Any] | None = None,
        at: datetime | None = None,
        actor: str | None = None,
        corrects: str | None = None,
        **links: Any,
    ) -> Receipt:
        """Add an entry of any kind to the commit: the library records its own so.

        ``links`` are the optional header fields that have no parameter here. Arguments and errors
        are those of :meth:`append`.
        """
        if not links.keys() <= LINKS:
            raise _no_link(links)
        header = self._standing.copy()
        if actor is not None:
            header["actor"] = check_text("actor", actor)
        for name, value in links.items():
            if value is not None:
                check = _attempt if name == "attempt" else check_text
                header[name] = check(name, value)
        header["kind"] = check_kind(kind)
        told = {} if facts is None else check_facts(facts)
        if corrects is not None:
            check_text("corrects", corrects)
            own = kind.partition(".")[0] not in RESERVED_KINDS
            header["corrects"] = (
                self.check_correction(corrects, told) if own else self.correctable(corrects)
            )
        header["id"] = entry_id = self._new_id(self.now)
        if type(entry_id) is not str:
            raise InvalidInputError.about("a new id", entry_id, "give ids that are text")
        header["world"] = _spelled(world)
        header["at"] = (
            self._recorded_at if at is None else utc_text(check_moment("at", at, self.now))
        )
        commitments, beside = ({}, None) if personal is None else seal_personal(personal)
        sealed = seal(header, told, commitments, beside, checked=True)
        return Receipt(entry_id, self._transaction.append(sealed), self.now)

    def check_correction(
        self, corrects: str, facts: Mapping[str, Any], but: str | None = None
    ) -> str:
        """Refuse a correction that cannot be, and return the id of the entry that it is to name.

        Args:
            corrects: an entry's id, or an effect's.
            facts: those of the correction; ``amount`` and ``currency`` are compared.
            but: the id of the correcting effect, if an earlier attempt of it may have happened.

        Raises:
            UnknownIdError: there is no such entry or effect.
            CorrectionTargetError: it is not known to have happened.
            OverCorrectionError: less is left of it than the correction takes back.
            InvalidInputError: the amount is none that can be added up.
        """
        self.corrections().check(corrects, facts, but)
        return self.correctable(corrects)

    def corrections(self) -> Corrections:
        """Return a look at the corrections of the ledger, those of this draft among them."""
        at = self._transaction

        def effect(effect_id: str) -> tuple[list[Entry], Lease | None]:
            return at.of_effect(effect_id), at.lease(effect_id)

        return Corrections(at.select, effect, at.leases, self.now)

    def correctable(self, corrects: str) -> str:
        """Return the id of the corrected entry; an effect stands for the entry that ended it."""
        if self.entry(corrects) is not None:
            return corrects
        entries = self.of_effect(corrects)
        if not entries:
            raise UnknownIdError(f"corrects={corrects!r} names no entry or effect of this ledger")
        made = history_of(entries)
        if made is None:
            raise CorrectionTargetError(
                f"corrects={corrects!r} names an effect that is not known to have happened; "
                "there is nothing to correct yet"
            )
        return made.id

    def end(self) -> None:
        """Refuse everything from here on: the commit is on its way, and nothing may follow it."""
        self._transaction = _ENDED

    def entry(self, entry_id: str) -> Entry | None:
        """Return the entry with this id, if there is one."""
        found = self._transaction.select(Query(id=entry_id))
        return found[0] if found else None

    def entries(
        self,
        *,
        kind: str | None = None,
        operation: str | None = None,
        effect: str | None = None,
        incident: str | None = None,
        corrects: str | None = None,
        correlation: str | None = None,
        after: int = -1,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> list[Entry]:
        """Return matching entries in index order, those of this draft among them.

        ``after`` is an index: only entries of higher ones.
        """
        query = Query(
            kind=kind,
            operation=operation,
            effect=effect,
            incident=incident,
            corrects=corrects,
            correlation=correlation,
            after=after,
            limit=limit,
            newest_first=newest_first,
        )
        return self._transaction.select(query)

    def of_effect(self, effect: str) -> list[Entry]:
        """Return an effect's entries in index order."""
        return self._transaction.of_effect(effect)

    def lease(self, effect: str) -> Lease | None:
        """Return the lease under which an effect is being carried out."""
        return self._transaction.lease(effect)

    def leases(self) -> list[Lease]:
        """Return every lease: those of the effects in flight, in doubt, or never finished."""
        return self._transaction.leases()

    def grant(self, effect: str, attempt: int, owner: str, seconds: float) -> None:
        """Grant or renew a lease, counted from now by the ledger's clock."""
        until = utc_text(self.now + timedelta(seconds=seconds))
        self._transaction.put_lease(Lease(effect, attempt, owner, until))

    def renew(self, effect: str, owner: str, seconds: float) -> bool:
        """Renew an owner's lease; return False, and do nothing, if it was lost or has run out."""
        held = self._transaction.lease(effect)
        if held is None or held.owner != owner or parse_utc(held.until) <= self.now:
            return False
        self.grant(effect, held.attempt, owner, seconds)
        return True

    def release(self, effect: str, owner: str | None = None) -> bool:
        """End an effect's lease, or only this owner's; return whether there was one."""
        return self._transaction.drop_lease(effect, owner)

    def keep_only(self, entry_id: str, names: Sequence[str]) -> None:
        """Remove all values beside an entry but these; the draft must have recorded the erasure."""
        self._transaction.keep_only(entry_id, names)


def check_own_kind(kind: object) -> None:
    """Check that a program may record entries of a kind.

    Raises:
        InvalidInputError: it is no kind, or the library's own.
    """
    if check_kind(kind).partition(".")[0] in RESERVED_KINDS:
        message = f"kind {kind!r} is recorded by the library alone; choose another first word"
        raise InvalidInputError(message)


def _no_link(links: Mapping[str, Any]) -> InvalidInputError:
    unknown = ", ".join(sorted(links.keys() - LINKS))
    return InvalidInputError(
        f"an entry has no field {unknown:.80}; what it can say is {', '.join(sorted(LINKS))}"
    )


def _attempt(name: str, value: object) -> int:
    if type(value) is int and 0 < value <= INTEGER_MAX:
        return value
    raise InvalidInputError(f"{name} must be an integer from 1, not {shown(value)}")


class _Ended:
    """The transaction of a draft whose commit is over."""

    def __getattr__(self, name: str) -> Any:
        raise InvalidInputError("the draft has ended with its work; write again for a new commit")


_ENDED: Final[Any] = _Ended()


_SPELLINGS: Final = frozenset(world.value for world in World)


def _spelled(world: World | str) -> str:
    """Return how an entry spells a world."""
    return world if type(world) is str and world in _SPELLINGS else as_world(world).value

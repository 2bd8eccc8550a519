"""What goes into one commit: entries being written, checked before anything is stored."""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import attrs

from rml.clock import parse_utc, utc_text
from rml.codec import INTEGER_MAX, EncodingError, compact_json, plain
from rml.context import Surroundings
from rml.effect.errors import CorrectionTargetError
from rml.effect.state import history_of
from rml.entropy import random_bytes
from rml.error import InvalidInputError
from rml.ledger.corrections.correction import Corrections
from rml.ledger.entry import (
    COMMITMENTS_MAX,
    RESERVED_KINDS,
    TEXT_CHARACTERS_MAX,
    Entry,
    check_kind,
    check_text,
    commit,
    seal,
    settled,
)
from rml.ledger.errors import LimitError, UnknownIdError
from rml.ledger.store import Lease, Query, Transaction
from rml.tag import shown
from rml.world import World, member_of

# A fact may be told with a clock a little ahead of the ledger's; more is a mistake.
AHEAD_MAX: Final = timedelta(minutes=5)
# What one entry keeps erasably: documents belong into a document store, with their digest here.
PERSONAL_BYTES_MAX: Final = 1 << 20
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
_SALT_BYTES: Final = 16  # 128 bits: a low-entropy value cannot be guessed from its digest
_SALT_CHARACTERS: Final = 22
_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
# How JSON ends a float that is a whole number: one that texts, too, may hold.
_WHOLE_FLOAT: Final = re.compile(rb"\.0[],}]")


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

    def append(
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
        """Add an entry to the commit.

        ``links`` are the other optional header fields: ``operation``, ``scope``, ``key``,
        ``effect``, ``attempt``, ``incident``, ``correlation``, ``traceparent``, ``service``.

        Raises:
            InvalidInputError: names the value that cannot be recorded, and the way out.
            UnknownIdError: ``corrects`` names no entry or effect of this ledger.
            CorrectionTargetError: ``corrects`` names what is not known to have happened.
            OverCorrectionError: less is left of what ``corrects`` names than this takes back.
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
        header["world"] = as_world(world).value
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


_WORLDS: Final = {world.value: world for world in World}


def as_world(world: object) -> World:
    """Return the world for a member or its spelling.

    Raises:
        InvalidInputError: it is no world.
    """
    if type(world) is str and world in _WORLDS:
        return _WORLDS[world]
    try:
        return member_of(World, world)
    except ValueError as error:
        raise InvalidInputError(str(error)) from None


def check_moment(name: str, moment: object, now: datetime) -> datetime:
    """Return ``moment``, or ``now`` when it is ``None``.

    Raises:
        InvalidInputError: it is no aware datetime, or more than five minutes ahead of the ledger's
            clock.
    """
    if moment is None:
        return now
    told = check_aware(name, moment)
    if told > now + AHEAD_MAX:
        ahead = f"{name} {utc_text(told)} lies in the future"
        raise InvalidInputError(f"{ahead}; the ledger's clock says {utc_text(now)}")
    return told


def check_aware(name: str, moment: object) -> datetime:
    """Return ``moment`` if it is an aware datetime that has a written form.

    Raises:
        InvalidInputError: it is not.
    """
    if not isinstance(moment, datetime):
        message = f"{name} must be an aware datetime, not {type(moment).__name__}"
        raise InvalidInputError(message)
    try:
        utc_text(moment)
    except ValueError as error:
        raise InvalidInputError(f"{name}: {error}") from None
    return moment


def check_facts(facts: object) -> dict[str, Any]:
    """Return facts as plain JSON data.

    Raises:
        InvalidInputError: names the fact that cannot be recorded in clear.
    """
    told = _read_mapping("facts", facts)
    return {
        name: value if type(value) is str else plain(value, f"facts.{name}", 1)
        for name, value in told.items()
    }


def _read_mapping(what: str, mapping: object) -> dict[str, Any]:
    if type(mapping) is not dict and not isinstance(mapping, Mapping):
        message = f"{what} must be a mapping from names to values, not {type(mapping).__name__}"
        raise InvalidInputError(message)
    try:
        read = dict(mapping)
    except Exception as error:  # a class of its own may raise anything
        message = f"{what} cannot be read ({type(error).__name__})"
        raise InvalidInputError(message) from error
    if set(map(type, read)) == {str} and all(map(_is_name, read)):
        return read
    return {_name(what, name): value for name, value in read.items()}


@lru_cache(maxsize=1024)  # programs use the same few names over and over
def _is_name(name: str) -> bool:
    return 0 < len(name) <= TEXT_CHARACTERS_MAX and name.isprintable()


def _name(where: str, name: object) -> str:
    if isinstance(name, str):
        return check_text(f"a name in {where}", name)
    message = f"a name in {where} is {type(name).__name__}, not text"
    raise InvalidInputError(message)


def seal_personal(personal: object) -> tuple[dict[str, str], bytes | None]:
    """Return the commitments to erasable fields, freshly salted, and the bytes kept beside them.

    Raises:
        InvalidInputError: names the field that cannot be kept.
        LimitError: the values or their number are too large.
    """
    values = _read_mapping("personal", personal)
    if len(values) > COMMITMENTS_MAX:
        raise LimitError(
            f"an entry has {len(values)} personal fields, the limit is {COMMITMENTS_MAX} "
            "(COMMITMENTS_MAX)"
        )
    if not values:
        return {}, None
    commitments, kept = {}, {}
    for name, value in values.items():
        salt = new_salt()
        try:
            commitments[name] = commit(salt, name, value)
        except EncodingError:
            compact_json(value, f"personal.{name}")  # names the place as its owner knows it
            raise
        kept[name] = [salt, value]
    beside = compact_json(kept, checked=True)
    if _WHOLE_FLOAT.search(beside):
        beside = compact_json(settled(kept), checked=True)
    if len(beside) > PERSONAL_BYTES_MAX:
        raise LimitError(
            f"the personal fields are {len(beside)} bytes, the limit is {PERSONAL_BYTES_MAX} "
            "(PERSONAL_BYTES_MAX); keep the document elsewhere and its digest here"
        )
    return commitments, beside


def new_salt() -> str:
    """Return 128 random bits as 22 characters of base64url."""
    salt = binascii.b2a_base64(random_bytes(_SALT_BYTES)).translate(_URL_SAFE)
    return salt[:_SALT_CHARACTERS].decode()

r"""One entry of the ledger: the bytes that are hashed, and their meaning. This is format ``rml/1``.

An entry is one JSON array of four members, written as RFC 8785 canonical JSON in UTF-8::

    ["rml/1", header, facts, commitments]

``"rml/1"``
    The format. A reader refuses any other text; a header field that does not stand here would need
    another one.
``header``
    An object of texts of at least one character, and one integer. Required: ``id`` (UUIDv7, RFC
    9562, in lower case, its milliseconds those of ``recorded_at``), ``kind`` (two or more words
    ``[a-z][a-z0-9_]*`` joined by dots, 63 characters at most), ``origin`` (the ledger's identity,
    so that an entry cannot be moved to another ledger), ``world`` (``RML1``, ``RML2``, ``RML3``),
    ``at`` (when it happened) and ``recorded_at`` (the ledger's clock), both
    ``YYYY-MM-DDTHH:MM:SS.ffffffZ``. Optional, left out when there is nothing to say: ``actor``,
    ``service``, ``operation``, ``scope``, ``key``, ``effect`` (the id of the effect it belongs to),
    ``attempt`` (the integer, from 1), ``corrects`` (the id of the entry that it corrects),
    ``incident``, ``correlation``, ``traceparent``.
``facts``
    An object of JSON data in clear, for queries. Its numbers are integers from -(2**53 - 1) to
    2**53 - 1: amounts are whole minor units, or text.
``commitments``
    An object from field name to 64 lower-case hex digits. The field's value is kept *beside* the
    entry with a random salt (22 characters of base64url), as ``{name: [salt, value]}``, and can be
    erased without touching the entry. The digest is SHA-256 over the canonical JSON of
    ``["rml/1/field", salt, name, value]``.

A value beside an entry is gone rightly only if an entry of kind ``payload.erased`` follows, whose
``corrects`` is the entry's id and whose ``facts.fields`` lists the field's name; or one of kind
``payload.pruned``, whose ``facts.below`` is an index above the entry's and none above its own, and
whose ``facts.kept`` lists neither the entry's id nor its ``effect``.

An entry is at most 65,535 bytes, the most that a C2SP tlog-tiles entry bundle carries. Entries are
the leaves of one Merkle tree (RFC 6962, section 2.1): a leaf's hash is SHA-256 over one zero byte
and the entry's bytes. The entry's index is its place in the tree and not part of its bytes.

>>> from datetime import UTC, datetime
>>> moment = datetime(2026, 11, 20, 19, tzinfo=UTC)
>>> entry = Entry(
...     id="01a1fa54-6f80-7000-8000-000000000001",
...     kind="effect.intent",
...     origin="example.com/ledger",
...     world=World.RML3,
...     at=moment,
...     recorded_at=moment,
...     operation="payment.charge",
...     key="pay-42",
...     facts={"amount": 1999, "currency": "EUR"},
...     commitments={"email": commit("AAAAAAAAAAAAAAAAAAAAAA", "email", "ada@example.com")},
... )
>>> data = entry.to_bytes()
>>> for member in data.decode().replace("},", "},\n").replace('",', '",\n').splitlines():
...     print(member)
["rml/1",
{"at":"2026-11-20T19:00:00.000000Z",
"id":"01a1fa54-6f80-7000-8000-000000000001",
"key":"pay-42",
"kind":"effect.intent",
"operation":"payment.charge",
"origin":"example.com/ledger",
"recorded_at":"2026-11-20T19:00:00.000000Z",
"world":"RML3"},
{"amount":1999,"currency":"EUR"},
{"email":"9c6e16d15e2a48a580f8fc4b9ea4f830b894617bdbea4792a50c3b0c272bdde2"}]
>>> leaf_hash(data).hex()
'7d969778eb58e1e18058e4bb54c31d268561dfefa84c82169aacc780bb6e2d09'
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from operator import is_
from types import MappingProxyType
from typing import Any, Final, Self

import attrs

from rml.clock import epoch_micros, id_millis, parse_utc, utc_text
from rml.codec import INTEGER_MAX, EncodingError, canonical_json, canonical_texts, parse_json
from rml.error import InvalidInputError
from rml.ledger.errors import LedgerCorruptError, LimitError, NewerFormatError
from rml.tag import shown
from rml.world import World

FORMAT: Final = "rml/1"
# C2SP tlog-tiles gives an entry's length two bytes.
ENTRY_BYTES_MAX: Final = 65_535
# One screen of names; more belongs into several entries.
COMMITMENTS_MAX: Final = 64
# Names are read aloud at three in the morning, and Stripe takes no longer idempotency key.
TEXT_CHARACTERS_MAX: Final = 255
_KIND: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
_KIND_CHARACTERS_MAX: Final = 63
_UUID7: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
# A UUIDv7 has 48 bits for its milliseconds; a clock before 1970 wraps around.
_MILLIS_MASK: Final = 2**48 - 1

# Every header field but the origin is also a column in the store, in this order.
COLUMNS: Final = (
    "id",
    "kind",
    "world",
    "at",
    "recorded_at",
    "actor",
    "service",
    "operation",
    "scope",
    "key",
    "effect",
    "attempt",
    "corrects",
    "incident",
    "correlation",
    "traceparent",
)
_OPTIONAL: Final = COLUMNS[5:]


def _frozen(mapping: Mapping[str, Any]) -> Mapping[str, Any]:
    return mapping if isinstance(mapping, MappingProxyType) else MappingProxyType(dict(mapping))


@attrs.frozen(kw_only=True)
class Entry:
    """One thing the ledger remembers; immutable, and rebuilt exactly from its bytes.

    ``index`` and ``personal`` are not part of the bytes: the first is the entry's place in the tree
    (``None`` until sealed), the second holds the values of committed fields that are not erased.
    Neither is ``upcast_from``: the facts as they were recorded, where an upcaster shows others.
    """

    id: str
    kind: str
    origin: str
    world: World
    at: datetime
    recorded_at: datetime
    actor: str | None = None
    service: str | None = None
    operation: str | None = None
    scope: str | None = None
    key: str | None = None
    effect: str | None = None
    attempt: int | None = None
    corrects: str | None = None
    incident: str | None = None
    correlation: str | None = None
    traceparent: str | None = None
    facts: Mapping[str, Any] = attrs.field(factory=dict, converter=_frozen, hash=False)
    commitments: Mapping[str, str] = attrs.field(factory=dict, converter=_frozen, hash=False)
    index: int | None = attrs.field(default=None, eq=False)
    personal: Mapping[str, Any] = attrs.field(factory=dict, converter=_frozen, eq=False, repr=False)
    upcast_from: Mapping[str, Any] | None = attrs.field(default=None, eq=False, repr=False)

    def header(self) -> dict[str, Any]:
        """Return the header as JSON data, absent fields left out."""
        made: dict[str, Any] = {
            "id": self.id,
            "kind": self.kind,
            "origin": self.origin,
            "world": self.world.value,
            "at": utc_text(self.at),
            "recorded_at": utc_text(self.recorded_at),
        }
        for name in _OPTIONAL:
            value = getattr(self, name)
            if value is not None:
                made[name] = value
        return made

    def seal(self, personal: bytes | None = None) -> Sealed:
        """Return the entry as a store keeps it; see :func:`seal`."""
        facts = self.facts if self.upcast_from is None else self.upcast_from
        return seal(self.header(), dict(facts), dict(self.commitments), personal)

    def to_bytes(self) -> bytes:
        """Return the canonical bytes as recorded; the inverse of :meth:`from_bytes`."""
        return self.seal().data

    def upcast(self, facts: Mapping[str, Any]) -> Self:
        """Return the same entry, which shows other facts; its bytes stay what they are."""
        recorded = self.facts if self.upcast_from is None else self.upcast_from
        return attrs.evolve(self, facts=facts, upcast_from=recorded)

    @classmethod
    def from_bytes(
        cls, data: bytes, *, index: int | None = None, personal: bytes | None = None
    ) -> Self:
        """Read an entry from its bytes, its place and the values kept beside it.

        Raises:
            NewerFormatError: the bytes are of a format after ``rml/1``.
            LedgerCorruptError: the bytes are no entry.
        """
        try:
            return cls._parse(data, index, personal)
        except NewerFormatError:
            raise
        except (InvalidInputError, ValueError, TypeError, AttributeError, LookupError) as error:
            where = "" if index is None else f" at index {index}"
            raise LedgerCorruptError(f"the entry{where} cannot be read: {error}") from None

    @classmethod
    def _parse(cls, data: bytes, index: int | None, personal: bytes | None) -> Self:
        value = parse_json(data)
        if not isinstance(value, list) or not value:
            raise TypeError("it is no rml entry")
        read = _READERS.get(value[0]) if isinstance(value[0], str) else None
        if read is None:
            raise NewerFormatError(
                f"an entry has the format {str(value[0])[:40]!r}, and this rml reads "
                f"{', '.join(map(repr, _READERS))}; upgrade rml"
            )
        fields = read(value[1:])
        kept = {} if personal is None else values_of(personal)
        return cls(**fields, index=index, personal=kept, upcast_from=None)

    def erased(self) -> tuple[str, ...]:
        """Return the names of committed fields whose values are gone."""
        return tuple(name for name in self.commitments if name not in self.personal)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as bytes: the read-only views of facts cannot be pickled or copied themselves."""
        shown = None if self.upcast_from is None else dict(self.facts)
        return _rebuilt, (type(self), self.to_bytes(), self.index, dict(self.personal), shown)


def _rebuilt(
    kind: type[Entry],
    data: bytes,
    index: int | None,
    personal: dict[str, Any],
    shown: dict[str, Any] | None,
) -> Entry:
    entry = attrs.evolve(kind.from_bytes(data, index=index), personal=personal)
    return entry if shown is None else entry.upcast(shown)


def _read_1(members: list[Any]) -> dict[str, Any]:
    """Return an entry's fields from what follows the format's name in ``rml/1``."""
    header, facts, commitments = members
    fields = dict(header, world=World(header["world"]))
    fields["at"] = parse_utc(fields["at"])
    fields["recorded_at"] = parse_utc(fields["recorded_at"])
    if fields.keys() & {"facts", "commitments"}:
        raise ValueError("the header has a field that belongs elsewhere")
    return {**fields, "facts": facts, "commitments": commitments}


# How each format is read. Only the newest is written; what was written once is read for ever.
_READERS: Final[Mapping[str, Callable[[list[Any]], dict[str, Any]]]] = MappingProxyType(
    {FORMAT: _read_1}
)


@attrs.define
class Sealed:
    """An entry as a store keeps it.

    Its bytes, their leaf hash, the header fields that have a column, and the bytes of what is kept
    beside.
    """

    data: bytes
    leaf: bytes
    fields: Mapping[str, Any]
    personal: bytes | None

    @property
    def columns(self) -> tuple[Any, ...]:
        """The values of :data:`COLUMNS`, ``None`` for a field that is absent."""
        return tuple(map(self.fields.get, COLUMNS))


def seal(
    header: dict[str, Any],
    facts: dict[str, Any],
    commitments: dict[str, str],
    personal: bytes | None,
    *,
    checked: bool = False,
) -> Sealed:
    """Return an entry's canonical bytes with all that a store keeps beside them.

    ``checked`` says that the header's fields have been checked one by one, and that the facts came
    out of :func:`rml.codec.plain`.

    Raises:
        EncodingError: a fact has no canonical form.
        LimitError: the entry is larger than 65,535 bytes.
    """
    try:
        data = canonical_json([FORMAT, header, facts, commitments], checked=checked)
    except EncodingError:
        canonical_json(facts, "facts")  # names the place as its owner knows it
        raise
    if len(data) > ENTRY_BYTES_MAX:
        raise LimitError(
            f"the entry {header['kind']!r} is {len(data)} bytes, the limit is {ENTRY_BYTES_MAX} "
            "(ENTRY_BYTES_MAX); move large fields to personal=, which is kept beside the entry"
        )
    fields = header.copy()
    del fields["origin"]
    return Sealed(data, leaf_hash(data), fields, personal)


def values_of(personal: bytes) -> dict[str, Any]:
    """Return the values kept beside an entry, by name.

    Raises:
        DecodingError: the bytes are no strict JSON.
    """
    return {name: value for name, (_, value) in parse_json(personal).items()}


def leaf_hash(data: bytes) -> bytes:
    """Return an entry's 32-byte leaf hash: SHA-256(0x00 || data) (RFC 6962, section 2.1)."""
    return hashlib.sha256(b"\x00" + data).digest()


def commit(salt: str, name: str, value: object) -> str:
    """Return the hex digest that binds a field kept beside an entry to it.

    Raises:
        EncodingError: the value has no canonical form.
    """
    if type(value) is str:
        data = canonical_texts("rml/1/field", salt, name, value)
    else:
        data = canonical_json(["rml/1/field", salt, name, value], name)
    return hashlib.sha256(data).hexdigest()


def commit_json(salt: str, name: str, value: str) -> str:
    """Return what :func:`commit` returns, given the canonical JSON of salt, name and value."""
    return hashlib.sha256(f'["rml/1/field",{salt},{name},{value}]'.encode()).hexdigest()


def settled(value: Any) -> Any:
    """Return JSON data with every whole number as an integer; the very same if it has no other.

    RFC 8785 writes 1999 and 1999.0 alike, so a commitment cannot tell them apart: what is kept
    beside an entry holds the integer.
    """
    if type(value) is float:
        return int(value) if value.is_integer() and abs(value) <= INTEGER_MAX else value
    if isinstance(value, dict):
        made: Any = {name: settled(item) for name, item in value.items()}
        same = all(made[name] is item for name, item in value.items())
        return value if same else made
    if isinstance(value, list | tuple):
        made = [settled(item) for item in value]
        return value if all(map(is_, made, value)) else made
    return value


# What the library itself writes among facts and erasable fields begins so; users' names never do.
RESERVED_PREFIX: Final = "rml."
# What the library records itself; a program's own kinds begin with another word.
RESERVED_KINDS: Final = frozenset(
    {"checkpoint", "effect", "error", "incident", "lever", "payload", "pending", "rml", "saga"}
)


def check_kind(kind: object) -> str:
    """Return ``kind`` as plain text if it is dotted lower-case words, at most 63 characters.

    Raises:
        InvalidInputError: it is not.
    """
    text = kind if type(kind) is str else str.__str__(kind) if isinstance(kind, str) else ""
    if len(text) <= _KIND_CHARACTERS_MAX and _is_kind(text):
        return text
    message = f"kind {shown(kind)} must be dotted lower-case words, such as 'payment.refund'"
    raise InvalidInputError(message)


@lru_cache  # a program has few kinds
def _is_kind(text: str) -> bool:
    return _KIND.fullmatch(text) is not None


def check_text(name: str, value: object) -> str:
    """Return ``value`` as plain text if a header may hold it: 1 to 255 printable characters.

    Raises:
        InvalidInputError: it may not; the message names the parameter.
    """
    if type(value) is str and value.isprintable() and 0 < len(value) <= TEXT_CHARACTERS_MAX:
        return value
    if not isinstance(value, str):
        raise InvalidInputError(f"{name} must be text, not {type(value).__name__}")
    value = str.__str__(value)  # a class of its own may answer anything about itself
    if 0 < len(value) <= TEXT_CHARACTERS_MAX and value.isprintable():
        return value
    if not 0 < len(value) <= TEXT_CHARACTERS_MAX:
        raise InvalidInputError(
            f"{name} has {len(value)} characters; "
            f"give 1 to {TEXT_CHARACTERS_MAX} (TEXT_CHARACTERS_MAX)"
        )
    raise InvalidInputError(
        f"{name} {value!a:.80} holds characters that cannot be printed; remove them"
    )


def id_matches(entry: Entry) -> bool:
    """Say whether the id's milliseconds are those of ``recorded_at``: it is an index of time."""
    millis = epoch_micros(entry.recorded_at) // 1000
    return id_millis(entry.id) == millis & _MILLIS_MASK


def flaw_of(entry: Entry) -> str | None:
    """Return what the format forbids in an entry that was read, or ``None``.

    Only what every reader in every language decides alike: which characters can be printed depends
    on a reader's Unicode tables, and is asked of writers alone.
    """
    header = entry.header()
    attempt = header.pop("attempt", 1)
    if not all(type(value) is str and value for value in header.values()):
        return "a header field is no text"
    if type(attempt) is not int or attempt < 1:
        return "the attempt is no integer from 1"
    if len(entry.kind) > _KIND_CHARACTERS_MAX or not _is_kind(entry.kind):
        return "the kind is no dotted lower-case words"
    if not _UUID7.fullmatch(entry.id):
        return "the id is no UUIDv7"
    digests = entry.commitments.values()
    if not all(type(digest) is str and _DIGEST.fullmatch(digest) for digest in digests):
        return "a commitment is no SHA-256 in hex"
    return None

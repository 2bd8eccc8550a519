"""What a ledger asks of the place where it is kept: the protocol of stores, and their URLs.

A store knows bytes, columns and commits. It assigns indexes, grows the tree and stores tiles, all
inside the commit that makes an entry durable; it knows nothing of effects, incidents or what a kind
means.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar, runtime_checkable

import attrs

from rml.clock import Clock, IdSource
from rml.error import InvalidInputError
from rml.ledger.entry import Entry, Sealed
from rml.ledger.tree import Tile
from rml.tag import shown

T = TypeVar("T")

# A URL's scheme names the module that opens it; the module is imported when such a ledger is
# opened.
SCHEMES: Final = {
    "memory": "rml.stores.memory",
    "postgresql": "rml.stores.postgres",
    "sqlite": "rml.stores.sqlite",
}


@attrs.frozen
class Lease:
    """Who carries out an effect's attempt, and until when it need not be doubted (UTC text)."""

    effect: str
    attempt: int
    owner: str
    until: str


@attrs.frozen(kw_only=True)
class Query:
    """Which entries to read; every condition that is not ``None`` must hold. Times are UTC text.

    ``after`` and ``before`` are indexes, neither of them included; ``with_personal`` asks for
    entries beside which something is still kept.
    """

    id: str | None = None
    kind: str | None = None
    world: str | None = None
    operation: str | None = None
    effect: str | None = None
    key: str | None = None
    corrects: str | None = None
    incident: str | None = None
    correlation: str | None = None
    since: str | None = None
    until: str | None = None
    after: int = -1
    before: int | None = None
    limit: int | None = None
    newest_first: bool = False
    with_personal: bool = False


# The conditions that an entry meets by having the same value in its header.
EQUAL: Final = (
    "id",
    "kind",
    "world",
    "operation",
    "effect",
    "key",
    "corrects",
    "incident",
    "correlation",
)


@attrs.frozen
class Head:
    """The tree as its store last recorded it: how many entries, and the root over them."""

    size: int
    root: bytes


@attrs.frozen
class Row:
    """One entry as it lies in the store, none of it trusted: columns may hold any bytes."""

    index: int
    data: bytes
    leaf: bytes
    personal: bytes | None
    columns: tuple[Any, ...]


@attrs.frozen
class Step:
    """One entry of an effect, as its columns have it."""

    index: int
    effect: str
    kind: str
    attempt: int | None
    id: str


@attrs.frozen(kw_only=True)
class Survey:
    """What a store can tell at once of the rows from one index to another, to be looked at at once.

    Attributes:
        doubtful: the indexes of rows for which the store does not vouch. Of every other row it has
            seen that no text in it is empty, no attempt below 1, and that its leaf hash has 32
            bytes.
        data: the bytes of the rows that there are, in index order; nothing if all are doubtful.
        leaves: the stored leaf hashes in index order, one after the other.
        columns: each column's values in index order, one a line, which is empty where there is
            none; an optional column without any may be left out.
        personal: what is kept beside rows, by index.
        steps: the rows of effects.
    """

    doubtful: Sequence[int]
    data: Sequence[bytes] = ()
    leaves: bytes = b""
    columns: Mapping[str, bytes] = attrs.field(factory=dict)
    personal: Mapping[int, bytes] = attrs.field(factory=dict)
    steps: Sequence[Step] = ()

    def id_at(self, place: int) -> str:
        """Return the id of the row at a place from the start."""
        return self.columns["id"].split(b"\n", place + 1)[place].decode()


class Transaction(Protocol):
    """One commit in the making. All of it becomes durable together, or none of it."""

    def append(self, sealed: Sealed) -> int | None:
        """Add an entry; return its index, or ``None`` where a later sealing assigns it."""
        ...

    def select(self, query: Query) -> list[Entry]:
        """Return the entries that match, this transaction's own among them, in index order."""
        ...

    def of_effect(self, effect: str) -> list[Entry]:
        """Return an effect's entries in index order."""
        ...

    def lease(self, effect: str) -> Lease | None:
        """Return the lease of an effect that is being carried out, if there is one."""
        ...

    def leases(self, saying: bytes = b"") -> list[Lease]:
        """Return every lease, by effect; or those of effects one of whose entries holds bytes."""
        ...

    def put_lease(self, lease: Lease) -> None:
        """Grant or renew a lease."""
        ...

    def drop_lease(self, effect: str, owner: str | None = None) -> bool:
        """End a lease, if it is this owner's or no owner is given; return whether there was one."""
        ...

    def keep_only(self, entry: str, names: Sequence[str]) -> None:
        """Remove what is kept beside an entry but these fields; the erasure is appended before."""
        ...


class Verifiable(Protocol):
    """What a verification asks of a store. Indexes go from ``start`` to below ``stop``."""

    @property
    def origin(self) -> str:
        """The ledger's identity, as in every entry's header."""
        ...

    @property
    def concurrent(self) -> bool:
        """Whether two threads can read at once, and neither waits for the other."""
        ...

    def head(self) -> Head:
        """Return the recorded size and root."""
        ...

    def survey(self, start: int, stop: int) -> Survey:
        """Tell what can be told at once of the rows in a range.

        A store that compares nothing itself doubts all of them.
        """
        ...

    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row]:
        """Yield every row as stored, in index order; or those of a range."""
        ...

    def erasures(self, entries: Sequence[str]) -> Sequence[bytes]:
        """Return the bytes of the entries that record an erasure beside some entries."""
        ...

    def tiles(self, level: int, start: int, stop: int) -> Sequence[Tile]:
        """Return the stored tiles of a level from one place to another, in order."""
        ...

    def strays(self, size: int) -> Sequence[tuple[int, int]]:
        """Return level and place of stored tiles that a tree of this size has not."""
        ...

    def hashes(self, level: int, start: int, stop: int) -> Sequence[bytes]:
        """Return the stored hashes of one level of tiles, fewer where there are no more.

        Level 0 are the leaves' hashes; those of a higher level are the roots of the full tiles
        below it.
        """
        ...

    def select(self, query: Query) -> Iterator[Entry]:
        """Yield the entries that match in constant memory, from one consistent view."""
        ...

    def effect(self, effect: str) -> tuple[list[Entry], Lease | None]:
        """Return an effect's entries in index order and its lease, from one consistent view."""
        ...

    def leases(self, saying: bytes = b"") -> list[Lease]:
        """Return every lease that has not been dropped: the effects in flight or never finished.

        Given ``saying``, only those of effects one of whose entries holds these bytes.
        """
        ...

    def findings(self) -> list[tuple[str, str]]:
        """Return (code, detail) of what is wrong with the store, such as missing triggers."""
        ...


class Store(Verifiable, Protocol):
    """A place that keeps one ledger."""

    def write(self, work: Callable[[Transaction], T], *, timeout: float) -> T:
        """Run ``work`` in one durable commit and return what it returned.

        ``work`` may run more than once when the store has to start over, so it has no effect but on
        the transaction.

        Raises:
            LedgerBusyError: other writers held the store until ``timeout`` seconds had passed;
                nothing was recorded.
            LedgerUnavailableError: the store cannot be written; nothing was recorded.
            AppendUnknownError: the commit failed in a way that leaves its outcome open.
        """
        ...

    def count(self, query: Query) -> int:
        """Return how many entries match."""
        ...

    def last(self, effect: str) -> tuple[str, bytes | None] | None:
        """Return the kind of an effect's newest entry and what is kept beside it, for a replay."""
        ...

    def supposes_new(self, effect: str) -> bool:
        """Whether a work would suppose that nothing is recorded of an effect, and ask nobody.

        What it records is checked then, and it runs again on what there is: to claim the effect
        costs no more than to look at it, so nobody need look before.
        """
        ...

    def scrub(self) -> None:
        """Leave no copy of what was removed where this store can reach: no log, no free space."""
        ...

    def close(self) -> None:
        """Release files and connections; using the store afterwards raises."""
        ...


class Enlisted(Protocol):
    """A transaction of the application's own that a store writes in; the application commits it."""

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work`` in the transaction, sealed; if it fails, it alone is taken back."""
        ...


class Enlisting(Protocol):
    """What a store has besides if its tables may lie in the application's own database."""

    def enlist(self, connection: object, *, timeout: float) -> Enlisted:
        """Join the transaction of a driver's connection; until it ends, nobody overtakes it.

        Of what the application has begun already, nothing is committed or taken back. Where the
        driver would begin a transaction by itself at the next change, it is begun here.

        Raises:
            EnlistmentError: nothing done on this connection could be committed with the ledger.
            LedgerBusyError: others kept the database locked.
            LedgerUnavailableError: it cannot be written.
        """
        ...


@runtime_checkable
class Waking(Protocol):
    """A store that tells a follower of news; where it cannot, the follower looks by the clock."""

    def rest(self, seconds: float) -> None:
        """Wait until something new can be read, or so many seconds have passed."""
        ...


@attrs.frozen(kw_only=True)
class Opening:
    """What a store is told when it is opened: the ledger that is expected, a new one's name.

    ``adopt`` tells that a new ledger may be created beside the tables of an application.
    """

    url: str
    origin: str | None
    new_origin: str
    clock: Clock
    ids: IdSource
    create: bool
    timeout: float
    adopt: bool = False


def open_store(opening: Opening) -> Store:
    """Open the store that a URL or path names.

    Raises:
        InvalidInputError: no store knows the URL's scheme.
        MissingExtraError: the store's own package is not installed.
    """
    scheme = opening.url.partition(":")[0]
    if scheme not in SCHEMES:
        known = ", ".join(f"{name}:" for name in sorted(SCHEMES))
        message = (  # the rest of a URL may hold a password
            f"no store knows the scheme {scheme!r:.80}; use a file's path or a URL with {known}"
        )
        raise InvalidInputError(message)
    store: Store = importlib.import_module(SCHEMES[scheme]).open_store(opening)
    return store


def without_password(url: str) -> str:
    """Return a URL as it may be shown: without the password that it may hold."""
    url = re.sub(r"(://[^/?#@:]*):[^/?#@]*@", r"\1:***@", url)
    return re.sub(r"([?&](?:ssl)?password=)[^&]*", r"\1***", url)


def to_url(place: object) -> str:
    """Return the URL for a path or URL.

    Raises:
        InvalidInputError: it is neither.
    """
    if isinstance(place, os.PathLike):
        place = os.fspath(place)
    place = str.__str__(place) if isinstance(place, str) else place
    if not isinstance(place, str) or not place:
        message = f"a ledger is named by a path or a URL, not by {shown(place)}"
        raise InvalidInputError(message)
    try:
        nameable = b"\0" not in os.fsencode(place)
    except UnicodeEncodeError:
        nameable = False
    if not nameable:
        raise InvalidInputError(f"no file can be named {place!a:.80}")
    scheme, colon, _ = place.partition(":")
    if colon and (place.partition("://")[1] or scheme in SCHEMES):
        return place
    return f"sqlite:///{Path(place)}"

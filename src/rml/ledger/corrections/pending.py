"""What is pending, and how it ends: entries of their own, linked to the one that opened it.

``pending.opened`` says that something is held open under an operation's name. Exactly one of
``pending.confirmed``, ``pending.voided`` and ``pending.expired`` follows, whose ``corrects`` is the
id of the opening entry. Nothing ends by itself: a pending whose time is over is *overdue*, and
stays open until its end is recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import attrs

from rml.clock import parse_utc
from rml.ledger.entry import RESERVED_PREFIX, Entry
from rml.ledger.queries.frames import row_of
from rml.ledger.store import Query
from rml.world import World

OPENED: Final = "pending.opened"
CONFIRMED: Final = "pending.confirmed"
VOIDED: Final = "pending.voided"
EXPIRED: Final = "pending.expired"
ENDS: Final = frozenset({CONFIRMED, VOIDED, EXPIRED})
EXPIRES_AT: Final = "rml.expires_at"
OVERDUE: Final = "rml.overdue"


@attrs.frozen(kw_only=True)
class Pending:
    """Something that is held open: neither confirmed nor voided, and not recorded as expired.

    Attributes:
        id: the id of the entry that opened it.
        operation: what is pending, such as ``payment.charge``.
        world: where its entries happen.
        at: when it was opened, as told.
        recorded_at: when the ledger took it in; its interval is counted from here.
        actor: who opened it.
        facts: its facts.
        corrects: the entry that it will have corrected once it is confirmed.
        expires_at: when its interval is over; ``None`` if it has none.
        overdue: whether that is so already, by the ledger's clock.
    """

    id: str
    operation: str
    world: World
    at: datetime
    recorded_at: datetime
    actor: str | None
    facts: Mapping[str, Any]
    corrects: str | None
    expires_at: datetime | None
    overdue: bool

    def to_dict(self) -> dict[str, Any]:
        """Return a flat row for tables: the pending's own fields, then its facts."""
        own = {
            "id": self.id,
            "operation": self.operation,
            "world": self.world.value,
            "at": self.at,
            "recorded_at": self.recorded_at,
            "actor": self.actor,
            "corrects": self.corrects,
            "expires_at": self.expires_at,
            "overdue": self.overdue,
        }
        return row_of(own, self.facts)


def pending_of(opened: Entry, now: datetime) -> Pending:
    """Return what an opening entry tells, at a moment."""
    until = opened.facts.get(EXPIRES_AT)
    expires_at = None if until is None else parse_utc(until)
    return Pending(
        id=opened.id,
        operation=opened.operation or "",
        world=opened.world,
        at=opened.at,
        recorded_at=opened.recorded_at,
        actor=opened.actor,
        facts={n: v for n, v in opened.facts.items() if not n.startswith(RESERVED_PREFIX)},
        corrects=opened.corrects,
        expires_at=expires_at,
        overdue=expires_at is not None and expires_at <= now,
    )


def end_among(entries: Iterable[Entry]) -> Entry | None:
    """Return the end of a pending, among the entries that name its opening, if it has ended."""
    return next((entry for entry in entries if entry.kind in ENDS), None)


def still_open(select: Callable[[Query], Iterable[Entry]], openings: Query) -> Iterator[Entry]:
    """Yield those opening entries that match and have no end."""
    for opened in select(openings):
        if end_among(select(Query(corrects=opened.id))) is None:
            yield opened

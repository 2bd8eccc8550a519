"""How something is held open in a ledger, and how it is confirmed, voided or recorded as expired.

That a pending has one end is decided inside the commit that records it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any, Final

from rml.clock import utc_text
from rml.error import InvalidInputError
from rml.ledger.argument import as_seconds, asked, unknown
from rml.ledger.content import check_facts
from rml.ledger.corrections.correction import AMOUNT, CURRENCY
from rml.ledger.corrections.pending import (
    CONFIRMED,
    EXPIRED,
    EXPIRES_AT,
    OPENED,
    OVERDUE,
    VOIDED,
    Pending,
    end_among,
    pending_of,
    still_open,
)
from rml.ledger.draft import Draft, Receipt
from rml.ledger.entry import RESERVED_PREFIX, Entry, check_kind, check_text
from rml.ledger.errors import PendingEndedError
from rml.ledger.queries.rows import Rows
from rml.ledger.store import Query
from rml.ledger.writing import LedgerWriting
from rml.tag import shown
from rml.world import World

# How many ends are recorded in one commit: other writers wait for no more than that.
EXPIRED_AT_ONCE: Final = 100
# What a confirmation takes over from what was pending.
_TAKEN_OVER: Final = (AMOUNT, CURRENCY)


class LedgerHolding(LedgerWriting):
    """The pendings of a :class:`rml.Ledger`."""

    def pend(
        self,
        operation: str,
        *,
        world: World | str,
        facts: Mapping[str, Any] | None = None,
        personal: Mapping[str, Any] | None = None,
        expires_in: float | timedelta | None = None,
        at: datetime | None = None,
        actor: str | None = None,
        corrects: str | None = None,
        incident: str | None = None,
        correlation: str | None = None,
    ) -> Receipt:
        """Record that something is held open, to be confirmed or voided later.

        Args:
            operation: what is pending: dotted lower-case words, such as ``payment.charge``.
            world: where this and its end happen.
            facts: as for :meth:`append`; ``amount``, in whole minor units, is the most that can be
                confirmed.
            personal: as for :meth:`append`.
            expires_in: seconds by the ledger's clock after which it is overdue; never, if not
                given.
            at: when it was opened, if not now.
            actor: who opened it.
            corrects: what will have been corrected once this is confirmed.
            incident: the incident that it belongs to.
            correlation: the request that it belongs to.

        Raises:
            InvalidInputError: names the value that cannot be recorded.
            UnknownIdError: as :meth:`append`.
            CorrectionTargetError: as :meth:`append`.
            OverCorrectionError: as :meth:`append`; what is pending counts.
        """
        told = _own_facts(facts)
        seconds = None if expires_in is None else as_seconds("expires_in", expires_in)
        name = check_kind(operation)

        def work(draft: Draft) -> Receipt:
            until = {}
            if seconds is not None:
                until = {EXPIRES_AT: utc_text(draft.now + timedelta(seconds=seconds))}
            if corrects is not None:
                draft.check_correction(check_text("corrects", corrects), told)
            return draft.record(
                OPENED,
                world=world,
                facts={**told, **until},
                personal=personal,
                at=at,
                actor=actor,
                corrects=corrects,
                operation=name,
                incident=incident,
                correlation=correlation,
            )

        return self.write(work)

    def confirm(
        self,
        pending_id: str,
        *,
        by: str,
        amount: int | None = None,
        facts: Mapping[str, Any] | None = None,
        personal: Mapping[str, Any] | None = None,
        at: datetime | None = None,
    ) -> Receipt:
        """Record that what was pending took place, all of it or a smaller amount.

        What is overdue can be confirmed until its expiry is recorded; the entry says so.

        Args:
            pending_id: the id of the entry that opened it.
            by: who confirms.
            amount: how much took place, in whole minor units; all of it, if not given.
            facts: further facts.
            personal: as for :meth:`append`.
            at: when it took place, if not now.

        Raises:
            UnknownIdError: no such pending is in this ledger.
            PendingEndedError: it has ended already; the error names the entry that ended it.
            InvalidInputError: the amount is more than what was pending, or a value cannot be
                recorded.
        """
        told = _own_facts(facts)
        check_text("by", by)
        for name in _TAKEN_OVER:
            if name in told:
                hint = "give amount=" if name == AMOUNT else "it is that of what was pending"
                raise InvalidInputError(f"{name} is no further fact of a confirmation; {hint}")

        def work(draft: Draft) -> Receipt:
            opened = open_pending(draft, pending_id)
            kept = {name: opened.facts[name] for name in _TAKEN_OVER if name in opened.facts}
            if amount is not None:
                kept[AMOUNT] = _part(amount, kept.get(AMOUNT))
            if pending_of(opened, draft.now).overdue:
                kept[OVERDUE] = True
            made = {**told, **kept}
            return _end(draft, opened, CONFIRMED, by=by, facts=made, personal=personal, at=at)

        return self.write(work)

    def void(self, pending_id: str, *, by: str, reason: str, at: datetime | None = None) -> Receipt:
        """Record that what was pending will not take place.

        Args:
            pending_id: the id of the entry that opened it.
            by: who voids it.
            reason: why; in clear for ever.
            at: when that was so, if not now.

        Raises:
            UnknownIdError: no such pending is in this ledger.
            PendingEndedError: it has ended already; the error names the entry that ended it.
            InvalidInputError: a value cannot be recorded.
        """
        check_text("by", by)
        told = {"reason": check_text("reason", reason)}

        def work(draft: Draft) -> Receipt:
            opened = open_pending(draft, pending_id)
            return _end(draft, opened, VOIDED, by=by, facts=told, at=at)

        return self.write(work)

    def expire(self, *, by: str | None = None) -> list[Pending]:
        """Record the expiry of every pending whose interval is over, and return these.

        Nothing expires by itself: until this has run, an overdue pending is open and counts. Call
        it from time to time; several processes may do so at once.

        Args:
            by: who lets it expire, such as a job's name.

        Raises:
            LedgerBusyError: other writers kept the ledger busy; what was recorded stands, and the
                next call does the rest.
        """
        asked("by", by)
        expired: list[Pending] = []
        overdue = (one.id for one in self.pending() if one.overdue)
        while batch := list(islice(overdue, EXPIRED_AT_ONCE)):
            expired += self.write(partial(_expire, batch, by))
        return expired

    def pending(
        self, *, operation: str | None = None, older_than: float | timedelta | None = None
    ) -> Rows[Pending]:
        """Return what is pending, the oldest first, overdue or not.

        Args:
            operation: only of this operation.
            older_than: only what has been pending for so many seconds or longer.

        Raises:
            InvalidInputError: a value is of the wrong type.
        """
        name = asked("operation", operation)
        least = 0 if older_than is None else older_than
        age = timedelta(seconds=as_seconds("older_than", least))

        def ask() -> Iterator[Pending]:
            now = self.clock.now()
            for opened in still_open(self._store.select, Query(kind=OPENED, operation=name)):
                if older_than is None or now - opened.recorded_at >= age:
                    yield pending_of(opened, now)

        return Rows(ask, Pending.to_dict)


def open_pending(draft: Draft, pending_id: str) -> Entry:
    """Return the entry that opened what is pending.

    Raises:
        UnknownIdError: there is none with this id.
        PendingEndedError: it has ended.
    """
    opened = draft.entry(check_text("pending_id", pending_id))
    if opened is None or opened.kind != OPENED:
        raise unknown("pending", pending_id)
    end = end_among(draft.entries(corrects=pending_id))
    if end is not None:
        word = end.kind.partition(".")[2]
        how = f"has {word}" if end.kind == EXPIRED else f"was {word}"
        raise PendingEndedError(
            f"{opened.operation!r}, pending as {pending_id}, {how} at {utc_text(end.recorded_at)} "
            f"by the entry {end.id}; nothing was recorded",
            details={"pending": pending_id, "ended_by": end.id, "kind": end.kind},
        )
    return opened


def _expire(ids: Sequence[str], by: str | None, draft: Draft) -> list[Pending]:
    """Record the expiry of those that are still open; somebody else may have ended the others."""
    expired = []
    for pending_id in ids:
        opened = draft.entry(pending_id)
        assert opened is not None
        pending = pending_of(opened, draft.now)
        if pending.overdue and end_among(draft.entries(corrects=pending_id)) is None:
            _end(draft, opened, EXPIRED, by=by)
            expired.append(pending)
    return expired


def _end(
    draft: Draft,
    opened: Entry,
    kind: str,
    *,
    by: str | None,
    facts: Mapping[str, Any] | None = None,
    personal: Mapping[str, Any] | None = None,
    at: datetime | None = None,
) -> Receipt:
    return draft.record(
        kind,
        world=opened.world,
        facts=facts,
        personal=personal,
        at=at,
        actor=by,
        corrects=opened.id,
        operation=opened.operation,
        incident=opened.incident,
    )


def _part(amount: object, pending: object) -> int:
    """Return the amount that is confirmed, if it is a part of what was pending."""
    if type(pending) is not int or pending < 1:
        raise InvalidInputError("what is pending has no amount in whole units; leave amount= out")
    if type(amount) is not int or not 0 < amount <= pending:
        raise InvalidInputError(
            f"amount {shown(amount)} cannot be confirmed: give a whole number from 1 to {pending}, "
            "which was pending"
        )
    return amount


def _own_facts(facts: Mapping[str, Any] | None) -> dict[str, Any]:
    told = {} if facts is None else check_facts(facts)
    for name in told:
        if name.startswith(RESERVED_PREFIX):
            raise InvalidInputError(f"facts.{name} has a name of the library's own; choose another")
    return told

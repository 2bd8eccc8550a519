"""How what is in a ledger is corrected: by a new entry that names the old one, never by an edit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from rml.error import InvalidInputError
from rml.ledger.argument import unknown
from rml.ledger.content import check_facts
from rml.ledger.corrections.correction import Correctable, Corrections, Deed
from rml.ledger.draft import Receipt
from rml.ledger.entry import Entry, check_text
from rml.ledger.queries.asking import LedgerAnswers, entry_row
from rml.ledger.queries.rows import Rows
from rml.ledger.writing import LedgerWriting
from rml.world import World


class LedgerCorrecting(LedgerAnswers, LedgerWriting):
    """The corrections of a :class:`rml.Ledger`."""

    def correct(
        self,
        original_id: str,
        kind: str,
        *,
        world: World | str,
        by: str,
        reason: str,
        facts: Mapping[str, Any] | None = None,
        personal: Mapping[str, Any] | None = None,
        at: datetime | None = None,
        operation: str | None = None,
        incident: str | None = None,
        correlation: str | None = None,
    ) -> Receipt:
        """Append an entry that corrects another one, with who did it and why.

        Corrections add up. If the original has a whole number ``amount`` among its facts, and the
        correction too, then the corrections that took place, those that may have or may yet, and
        this one together are never more than the original's amount. A correction can be corrected
        in turn; that frees what it took.

        Args:
            original_id: the id of an entry, or of an effect: its intent's facts count. Of what was
                pending, the confirmed amount counts.
            kind: as for :meth:`append`.
            world: where the correction happened.
            by: who corrects.
            reason: why; in clear for ever.
            facts: as for :meth:`append`: ``amount``, by how much the original is corrected, and
                ``currency``, which must be the original's if both have one.
            personal: as for :meth:`append`.
            at: when it happened, if not now.
            operation: the operation that it belongs to.
            incident: the incident that it belongs to.
            correlation: the request that it belongs to.

        Raises:
            UnknownIdError: there is no such entry or effect.
            CorrectionTargetError: the original did not happen, or nobody knows whether it did.
            OverCorrectionError: more would be taken back than is left, or another currency.
            InvalidInputError: names the value that cannot be recorded.
        """
        check_text("original_id", original_id)
        check_text("by", by)
        check_text("reason", reason)
        told = {} if facts is None else check_facts(facts)
        if "reason" in told:
            raise InvalidInputError("facts.reason is said twice; give it as reason= alone")
        return self.append(
            kind,
            world=world,
            facts={**told, "reason": reason},
            personal=personal,
            at=at,
            actor=by,
            operation=operation,
            corrects=original_id,
            incident=incident,
            correlation=correlation,
        )

    def corrections(self, original_id: str) -> Rows[Entry]:
        """Return what has corrected an entry or effect directly, in index order.

        An effect that corrects is told by the entry by which it became history, and what was
        pending by its confirmation. What is in flight, in doubt, pending or was given up is no
        correction yet, or none at all; :meth:`correctable` counts it. To follow a chain, ask for
        the corrections of a correction.

        Raises:
            UnknownIdError: there is no such entry or effect.
        """
        self._original(original_id)

        def ask() -> Iterator[Entry]:
            looked, original = self._original(original_id)
            records = [one.record for one in looked.of(original)]
            there = [record for record in records if record is not None]
            return map(self._shown, sorted(there, key=lambda entry: entry.index or 0))

        return Rows(ask, entry_row)

    def correctable(self, original_id: str) -> Correctable:
        """Return how much of an entry's or effect's amount may still be corrected.

        Raises:
            UnknownIdError: there is no such entry or effect.
        """
        looked, original = self._original(original_id)
        return looked.correctable(original)

    def _original(self, name: str) -> tuple[Corrections, Deed]:
        """Look at the corrections of a ledger as it is now, and at one original among them."""
        store = self._store
        looked = Corrections(store.select, store.effect, store.leases, self.clock.now())
        original = looked.named(check_text("original_id", name))
        if original is None:
            raise unknown("entry or effect", name)
        return looked, original

"""What corrections take back of an original, and how much is left: partial ones add up.

A *deed* is what can be corrected, and what corrects: an effect, something that was pending, or an
entry by itself. It counts with its fact ``amount``, a whole number from 0; an effect's stands in
its intent, and of something pending counts what was confirmed.

- A correction that took place takes back its amount, less what corrections have taken back of it.
- One that may have taken place (in flight, in doubt, retrying, pending, or history that went wrong)
  takes back as much; as the correction of a correction it frees nothing yet.
- One that did not take place (not done, failed, voided, expired) takes back nothing.

What all corrections of an original take back never exceeds its amount, whatever becomes of those
that are still open. A correction without an amount takes back nothing, and an original without one
has no limit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, Final

import attrs

from rml.effect.state import CORRECTS, EffectState, fold, history_of, told
from rml.error import InvalidInputError
from rml.ledger.corrections.pending import CONFIRMED, ENDS, OPENED, end_among
from rml.ledger.entry import RESERVED_KINDS, Entry
from rml.ledger.errors import CorrectionTargetError, OverCorrectionError, UnknownIdError
from rml.ledger.store import Lease, Query
from rml.tag import shown

AMOUNT: Final = "amount"
CURRENCY: Final = "currency"
# Whether an effect took place, as far as its state tells; the other states leave it open.
_TOOK_PLACE: Final = {
    EffectState.DONE: True,
    EffectState.NOT_DONE: False,
    EffectState.FAILED: False,
}
# What the canonical bytes of an intent hold that is to correct something.
_PLANNING: Final = f'"{CORRECTS}":'.encode()
_CORRECTABLE: Final = frozenset({EffectState.DONE, EffectState.HISTORY})


@attrs.frozen(kw_only=True)
class Correctable:
    """How much of an original may still be corrected, in the unit of its amounts.

    Attributes:
        amount: the original's; ``None`` if it has none, and so no limit.
        currency: the original's, or that of what it corrects, if one is told.
        corrected: what corrections that took place have taken back.
        pending: what corrections that may have taken place, or may yet, will have taken back.
        left: what one more correction may take back.
    """

    amount: int | None
    currency: str | None
    corrected: int
    pending: int
    left: int | None


@attrs.frozen(kw_only=True)
class Deed:
    """What can be corrected, and what corrects.

    Attributes:
        id: the effect's, or the entry's.
        entries: the ids of the entries by which corrections may name it.
        took_place: ``True``, ``False``, or ``None`` while nobody knows or it is not over.
        record: the entry by which it became history, if it has.
        trouble: why it cannot be corrected, if it cannot.
        amount: how much it was about, if it says so.
        currency: in which currency, if it says so.
        corrects: the entry that it corrects itself, or is to correct.
    """

    id: str
    entries: tuple[str, ...]
    took_place: bool | None = True
    record: Entry | None
    trouble: str | None = None
    amount: int | None
    currency: str | None
    corrects: str | None


@attrs.frozen
class _Taken:
    """What the corrections of one deed take back: surely, and perhaps."""

    surely: int
    perhaps: int

    @property
    def at_most(self) -> int:
        return self.surely + self.perhaps


@attrs.define(slots=False, eq=False)
class Corrections:
    """The corrections of a ledger, as one look at it shows them."""

    _select: Callable[[Query], Iterable[Entry]]
    _effect: Callable[[str], tuple[list[Entry], Lease | None]]
    _leases: Callable[[bytes], list[Lease]]
    _now: datetime

    def named(self, name: str) -> Deed | None:
        """Return the deed of an entry or effect, or ``None`` where an id is neither's."""
        for entry in self._select(Query(id=name)):
            return self._deed(entry)
        return self._effect_deed(name)

    def of(self, deed: Deed) -> list[Deed]:
        """Return the deeds that correct one directly, or may, or did not after all."""
        found: dict[str, Deed] = {}
        for name in deed.entries:
            for entry in self._select(Query(corrects=name)):
                if _is_correction(entry):
                    one = self._deed(entry)
                    found.setdefault(one.id, one)
            for effect in self._planned.get(name, ()):
                planned = self._effect_deed(effect)
                if planned is not None:
                    found.setdefault(planned.id, planned)
        return list(found.values())

    def check(self, name: str, facts: Mapping[str, Any], but: str | None = None) -> None:
        """Refuse a correction that cannot be: of what is no history, or by more than is left.

        Args:
            name: what is to be corrected.
            facts: those of the correction.
            but: the id of the correction itself, where it is there already.

        Raises:
            UnknownIdError: there is no such entry or effect.
            CorrectionTargetError: it did not happen, or nobody knows whether it did.
            OverCorrectionError: more would be taken back than there was, or another currency.
            InvalidInputError: the amount is none that can be added up.
        """
        original = self.named(name)
        if original is None:
            raise UnknownIdError(f"corrects={name!r} names no entry or effect of this ledger")
        if original.trouble is not None:
            message = f"{name} cannot be corrected: {original.trouble}"
            raise CorrectionTargetError(message, details={"original": original.id})
        asked = facts.get(AMOUNT)
        if asked is None or original.amount is None:
            return
        if type(asked) is not int or asked < 0:
            raise InvalidInputError(
                f"amount {shown(asked)} cannot be added up with those of other corrections; give "
                f"a whole number from 0, as the original's {original.amount}"
            )
        currency = facts.get(CURRENCY)
        for limiting, taken in self._limits(self._line(original), but):
            foreign = None not in (limiting.currency, currency) and currency != limiting.currency
            if foreign or taken.at_most + asked > (limiting.amount or 0):
                raise _over(limiting, taken, asked, currency if foreign else None)

    def correctable(self, original: Deed) -> Correctable:
        """Return how much of an original is left; nothing of what is no history."""
        line = self._line(original)
        limits = [] if original.trouble is not None else list(self._limits(line, None))
        rooms = [(limiting.amount or 0) - taken.at_most for limiting, taken in limits]
        own = limits[0][1] if limits else _Taken(0, 0)
        return Correctable(
            amount=original.amount,
            currency=line[0].currency,
            corrected=own.surely,
            pending=own.perhaps,
            left=min(rooms, default=None) if original.trouble is None else 0,
        )

    def _line(self, original: Deed) -> list[Deed]:
        """Return a deed, what it corrects, and so on; each in the currency of what it corrects."""
        line = [original]
        while line[-1].corrects is not None:
            above = self.named(line[-1].corrects)
            if above is None:
                break
            line.append(above)
        for place in range(len(line) - 2, -1, -1):
            if line[place].currency is None:
                line[place] = attrs.evolve(line[place], currency=line[place + 1].currency)
        return line

    def _limits(self, line: Sequence[Deed], but: str | None) -> Iterator[tuple[Deed, _Taken]]:
        """Yield each deed that bounds one more correction, with what is taken back of it.

        To correct a correction gives room to what that one corrects; where this in turn is a
        correction, it takes the room away again one further up, and so on.
        """
        taken = self._taken(line[-1], but) if line[0].amount is not None else {}
        for limiting, freed in zip(line[::2], [*line[1::2], None], strict=False):
            if limiting.amount is None:
                return
            yield limiting, taken[limiting.id]
            if freed is None or freed.amount is None or limiting.took_place is not True:
                return

    def _taken(self, first: Deed, but: str | None) -> dict[str, _Taken]:
        """Return what is taken back of a deed and of all its corrections, near and far."""
        order, corrections = [first], {}
        for deed in order:
            corrections[deed.id] = [one for one in self.of(deed) if one.id != but]
            order += corrections[deed.id]
        taken: dict[str, _Taken] = {}
        freed: dict[str, int] = {}  # what is surely taken back of a deed, by which it counts less
        for deed in reversed(order):
            most = {
                one.id: max((one.amount or 0) - freed[one.id], 0)
                for one in corrections[deed.id]
                if one.took_place is not False
            }
            known = {one.id for one in corrections[deed.id] if one.record is not None}
            surely = sum(value for name, value in most.items() if name in known)
            taken[deed.id] = _Taken(surely, sum(most.values()) - surely)
            freed[deed.id] = sum(
                max((one.amount or 0) - taken[one.id].at_most, 0)
                for one in corrections[deed.id]
                if one.took_place is True
            )
        return taken

    @cached_property
    def _planned(self) -> dict[str, list[str]]:
        """The effects that are not over, by the entry that each is to correct.

        Until an effect has become history, or may have, its entries do not name in their header
        what it corrects; but each that is in flight or in doubt has a lease.
        """
        planned: dict[str, list[str]] = {}
        for lease in self._leases(_PLANNING):
            effect = told(self._effect(lease.effect)[0])
            if effect is not None and effect.corrects is not None:
                planned.setdefault(effect.corrects, []).append(effect.id)
        return planned

    def _deed(self, entry: Entry) -> Deed:
        deed = None
        if entry.kind.startswith("effect.") and entry.effect is not None:
            deed = self._effect_deed(entry.effect)
        elif entry.kind == OPENED:
            deed = self._pending_deed(entry)
        elif entry.kind in ENDS and entry.corrects is not None:
            for opened in self._select(Query(id=entry.corrects, kind=OPENED)):
                deed = self._pending_deed(opened)
        return deed or Deed(
            id=entry.id,
            entries=(entry.id,),
            record=entry,
            corrects=entry.corrects,
            **_counted(entry.facts),
        )

    def _effect_deed(self, effect_id: str) -> Deed | None:
        entries, lease = self._effect(effect_id)
        effect = fold(entries, lease, self._now)
        if effect is None:
            return None
        trouble = f"{effect.operation!r} is {effect.state} for key {effect.key!r}"
        return Deed(
            id=effect_id,
            entries=tuple(entry.id for entry in entries if entry.kind.startswith("effect.")),
            took_place=_TOOK_PLACE.get(effect.state),
            record=history_of(entries),
            trouble=None if effect.state in _CORRECTABLE else trouble,
            corrects=effect.corrects,
            **_counted(effect.facts),
        )

    def _pending_deed(self, opened: Entry) -> Deed:
        end = end_among(self._select(Query(corrects=opened.id)))
        confirmed = end if end is not None and end.kind == CONFIRMED else None
        word = "pending" if end is None else end.kind.partition(".")[2]
        trouble = f"{opened.operation!r} is {word}, not confirmed"
        return Deed(
            id=opened.id,
            entries=(opened.id,) if end is None else (opened.id, end.id),
            took_place=None if end is None else confirmed is not None,
            record=confirmed,
            trouble=None if confirmed is not None else trouble,
            corrects=opened.corrects,
            **_counted((confirmed or opened).facts),
        )


def _is_correction(entry: Entry) -> bool:
    """Say whether an entry corrects what it names, rather than keeping the library's books."""
    word = entry.kind.partition(".")[0]
    return word == "effect" or entry.kind == OPENED or word not in RESERVED_KINDS


def _counted(facts: Mapping[str, Any]) -> dict[str, Any]:
    amount, currency = facts.get(AMOUNT), facts.get(CURRENCY)
    return {
        "amount": amount if type(amount) is int and amount >= 0 else None,
        "currency": currency if isinstance(currency, str) else None,
    }


def _over(limiting: Deed, taken: _Taken, asked: int, foreign: object = None) -> OverCorrectionError:
    """Return the error for an amount that is more than is left, or in a foreign currency."""
    unit = "" if limiting.currency is None else f" {limiting.currency}"
    why = f"of its {limiting.amount}{unit}, {taken.surely} are corrected, {taken.perhaps} pending"
    if foreign is not None:
        unit, why = f" {shown(foreign)}", f"its amount is in {limiting.currency}"
    return OverCorrectionError(
        f"{limiting.id} cannot be corrected by {asked}{unit}: {why}; nothing was recorded",
        details={
            "original": limiting.id,
            "amount": limiting.amount,
            "currency": limiting.currency,
            "corrected": taken.surely,
            "pending": taken.perhaps,
            "asked": asked,
        },
    )

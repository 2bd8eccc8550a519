"""How much became history that should not have: counted from the ledger, by a query that is kept.

Two effects of an operation are *duplicates* when they agree in what should have made them one: the
order, or the customer and the amount. The first that happened is what was wanted; the others are
counted, with their users and their amounts by currency. Without such a key, all effects count.

What is unknown is told apart from nothing: effects of which nobody knows whether they happened, and
effects without an amount that can be added up, have counts of their own.

A count is about a ledger of so many entries, which the query names. So everybody who has the ledger
can count again, and finds the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final, Self

import attrs

from rml.clock import parse_utc, utc_text
from rml.effect.state import Effect, EffectState, told
from rml.error import InvalidInputError
from rml.incident.making_good import EXACT, amount_of
from rml.ledger.entry import Entry
from rml.ledger.queries.view import LedgerView

# Of one entry, which their ids fill; a count of more is recorded in several.
HARMED_MAX: Final = 1_000
# What a key may name beside facts: the effect's own key and scope.
_OWN: Final = ("key", "scope")
_HAPPENED: Final = (EffectState.DONE, EffectState.HISTORY)
_UNKNOWN: Final = (EffectState.IN_DOUBT, EffectState.IN_FLIGHT, EffectState.RETRYING)


@attrs.frozen(kw_only=True)
class ImpactQuery:
    """What is counted.

    Attributes:
        operation: whose effects.
        key: the names of what should have made them one: facts, or the effect's own ``key`` or
            ``scope``; none, and every effect counts.
        within: how many seconds may lie between two duplicates, if not any number.
        since: only effects that began then or later, by ``recorded_at``.
        until: only effects that began before.
        user: the fact that says whom an effect concerns, if any does.
        amount: the fact that says how much, if any does.
        currency: the fact that says in which currency.
        size: how many entries of the ledger are counted.
    """

    operation: str
    key: tuple[str, ...] = ()
    within: float | None = None
    since: datetime | None = None
    until: datetime | None = None
    user: str | None = None
    amount: str | None = "amount"
    currency: str | None = "currency"
    size: int

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON data, what was not asked left out."""
        row = attrs.asdict(self) | {"key": list(self.key)}
        for name in ("since", "until"):
            row[name] = None if row[name] is None else utc_text(row[name])
        row["within"] = None if self.within is None else str(self.within)
        return {name: value for name, value in row.items() if value is not None}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_dict` wrote."""
        read: dict[str, Any] = {"amount": None, "currency": None, **row, "key": tuple(row["key"])}
        for name in ("since", "until"):
            read[name] = parse_utc(read[name]) if name in read else None
        read["within"] = float(read["within"]) if "within" in read else None
        return cls(**read)


@attrs.frozen(kw_only=True)
class Impact:
    """What was counted.

    Attributes:
        query: what was asked.
        transactions: how many effects happened that should not have.
        users: how many users they concern; ``None`` if no fact says whom.
        amounts: what they add up to, by currency, in the unit in which amounts are recorded.
        groups: how many keys had more than one effect; without a key, 0.
        unsure: how many more there are if every one happened of which nobody knows.
        unpriced: how many of the transactions have no amount, or no currency, that can be added up.
        unkeyed: how many effects do not record all of the key, and so were compared with none.
        harmed: the ids of the effects, the oldest first.
    """

    query: ImpactQuery
    transactions: int
    users: int | None
    amounts: Mapping[str, Decimal]
    groups: int
    unsure: int
    unpriced: int
    unkeyed: int
    harmed: tuple[str, ...]

    def facts(self) -> dict[str, Any]:
        """Return what is recorded of it, but for the ids."""
        counts = {
            name: getattr(self, name)
            for name in ("transactions", "users", "groups", "unsure", "unpriced", "unkeyed")
        }
        told: dict[str, Any] = {name: n for name, n in counts.items() if n is not None}
        told |= {
            "detail": str(self),
            "query": self.query.to_dict(),
            "amounts": self.amounts_text(),
        }
        return told

    def entries(self) -> Iterator[dict[str, Any]]:
        """Yield the facts of each entry that records it: one, and one more for many more ids."""
        yield {**self.facts(), "harmed": list(self.harmed[:HARMED_MAX])}
        for start in range(HARMED_MAX, len(self.harmed), HARMED_MAX):
            ids = self.harmed[start : start + HARMED_MAX]
            detail = f"{len(ids)} more of the {self.transactions} effects that were counted"
            yield {"detail": detail, "query": self.query.to_dict(), "harmed": list(ids)}

    def amounts_text(self) -> dict[str, str]:
        """Return the amounts as text, without an exponent."""
        return {currency: format(amount, "f") for currency, amount in self.amounts.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON data, with every id."""
        return {**self.facts(), "users": self.users, "harmed": list(self.harmed)}

    def __str__(self) -> str:
        """Say what was counted, in one sentence."""
        what = f"{_counted(self.transactions, 'effect')} of {self.query.operation}"
        if self.query.key:
            what += f" too many, by {' and '.join(self.query.key)}"
        if self.users is not None:
            what += f", of {_counted(self.users, 'user')}"
        for currency, amount in self.amounts_text().items():
            what += f", {amount} {currency}"
        rest = {
            "perhaps more": self.unsure,
            "without an amount": self.unpriced,
            "without a key": self.unkeyed,
        }
        return "; ".join([what, *(f"{count} {words}" for words, count in rest.items() if count)])


def count(view: LedgerView, query: ImpactQuery) -> Impact:
    """Count in a ledger as it stood after ``query.size`` entries.

    Raises:
        InvalidInputError: there is no effect of the operation; or none records what the key, or
            ``user``, names; or amounts of one currency are whole numbers in some effects and
            decimals in others.
    """
    began = _began(view, query)
    if not began:
        _check_known(view, query.operation)
    found, unkeyed = _grouped(began, query)
    groups = list(found)
    effects = _ended(view, query, {one for ids in groups for one in ids})
    harmed: list[Effect] = []
    several = unsure = 0
    for ids in groups:
        looked = [effects[one] for one in ids]
        happened = [effect for effect in looked if effect.state in _HAPPENED]
        unknown = sum(effect.state in _UNKNOWN for effect in looked)
        wanted = 1 if query.key else 0
        harmed += happened[wanted:]
        unsure += unknown if len(happened) >= wanted else max(0, unknown - wanted)
        several += bool(query.key) and len(happened) > 1
    place = {one: number for number, (one, _, _) in enumerate(began)}
    harmed.sort(key=lambda effect: place[effect.id])
    amounts, unpriced = _added(harmed, query)
    users = {_text(effect.facts.get(query.user or "")) for effect in harmed} - {None}
    return Impact(
        query=query,
        transactions=len(harmed),
        users=None if query.user is None else len(users),
        amounts=amounts,
        groups=several,
        unsure=unsure,
        unpriced=unpriced,
        unkeyed=unkeyed,
        harmed=tuple(effect.id for effect in harmed),
    )


def _began(view: LedgerView, query: ImpactQuery) -> list[tuple[str, datetime, tuple[Any, ...]]]:
    """Return id, beginning and key of each effect that the query is about, in index order."""
    named = (*query.key, *([query.user] if query.user else []))
    missing = {name for name in named if name not in _OWN}
    known: set[str] = set()
    began = []
    for entry in view.entries(
        kind="effect.intent", operation=query.operation, since=query.since, until=query.until
    ):
        if entry.attempt != 1 or entry.effect is None:
            continue
        missing -= entry.facts.keys()
        known |= entry.facts.keys()
        values = tuple(_text(_value(entry, name)) for name in query.key)
        began.append((entry.effect, entry.recorded_at, values))
    if began and missing:
        facts = ", ".join(sorted(known)) or "none"
        raise InvalidInputError(
            f"no effect of {query.operation!r} records {', '.join(sorted(missing))}; "
            f"their facts are: {facts}; name those, or `key` or `scope`"
        )
    return began


def _check_known(view: LedgerView, operation: str) -> None:
    if not view.entries(kind="effect.intent", operation=operation, limit=1):
        raise InvalidInputError(f"this ledger knows no effect of {operation!r}; look at the name")


def _ended(view: LedgerView, query: ImpactQuery, wanted: set[str]) -> dict[str, Effect]:
    """Return where effects stood, by id; all of the operation is read once, however many."""
    entries: dict[str, list[Entry]] = {one: [] for one in wanted}
    for entry in view.entries(operation=query.operation) if wanted else ():
        if entry.effect in entries:
            entries[entry.effect].append(entry)
    effects = {one: told(those) for one, those in entries.items()}
    return {one: effect for one, effect in effects.items() if effect is not None}


def _value(entry: Entry, name: str) -> Any:
    return getattr(entry, name) if name in _OWN else entry.facts.get(name)


def _text(value: Any) -> str | None:
    """Return a fact as text to compare by: 7 and "7" are one customer."""
    return None if value is None else str(value)


def _grouped(
    began: Sequence[tuple[str, datetime, tuple[Any, ...]]], query: ImpactQuery
) -> tuple[Iterator[list[str]], int]:
    """Return the ids of those that should have been one; and how many do not say what they are."""
    if not query.key:
        return ([one] for one, _, _ in began), 0
    found: dict[tuple[Any, ...], list[tuple[str, datetime]]] = {}
    unkeyed = 0
    for one, at, values in began:
        if None in values:
            unkeyed += 1
        else:
            found.setdefault(values, []).append((one, at))
    runs = (run for members in found.values() for run in _runs(members, query.within))
    return (run for run in runs if len(run) > 1), unkeyed


def _runs(members: Sequence[tuple[str, datetime]], within: float | None) -> Iterator[list[str]]:
    """Yield members of one key, parted where more time lies between two of them."""
    run = [members[0][0]]
    for (_, before), (one, at) in pairwise(members):
        if within is not None and at - before > timedelta(seconds=within):
            yield run
            run = []
        run.append(one)
    yield run


def _added(effects: Iterable[Effect], query: ImpactQuery) -> tuple[dict[str, Decimal], int]:
    """Return what effects add up to by currency, and how many cannot be added."""
    totals: dict[str, Decimal] = {}
    units: dict[str, tuple[type, Effect]] = {}
    unpriced = 0
    if query.amount is None:
        return {}, 0
    for effect in effects:
        told = effect.facts.get(query.amount)
        currency = _text(effect.facts.get(query.currency or ""))
        amount = amount_of(told)
        if amount is None or currency is None:
            unpriced += 1
            continue
        unit, first = units.setdefault(currency, (type(told), effect))
        if unit is not type(told):
            raise InvalidInputError(
                f"amounts of {currency} cannot be added up: {first.id} has "
                f"{first.facts[query.amount]!r} and {effect.id} {told!r}, and a whole number may "
                "be of another unit than text; count them apart, or with amount=None"
            )
        totals[currency] = EXACT.add(totals.get(currency, Decimal(0)), amount)
    return dict(sorted(totals.items())), unpriced


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"

"""Whether a harm was made good: by corrections that became history, and by as much as it was about.

A harm with an amount is made good once what was given back adds up to it, in its currency; what
took a correction back again counts against it. One without an amount is by any correction.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Context, Decimal
from typing import Any, Final, TypeAlias

import attrs

from rml.ledger.entry import Entry
from rml.world import World

# The facts by which corrections add up.
AMOUNT: Final = "amount"
CURRENCY: Final = "currency"
# An amount as text; more digits than any currency has, and few enough to add up exactly.
_DECIMAL: Final = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,18})?")
EXACT: Final = Context(prec=80)

# What corrected an entry or effect directly: the entries by which the corrections became history.
CorrectionsOf: TypeAlias = "Callable[[str], Iterable[Entry]]"
# What is recorded of an entry or effect when it began.
FactsOf: TypeAlias = "Callable[[str], Mapping[str, Any]]"


@attrs.frozen
class Owed:
    """What is still owed for one harm.

    Attributes:
        id: of the effect or entry.
        amount: what it was about, if it says so.
        given_back: how much of that corrections have given back.
        currency: of both, if it says so.
    """

    id: str
    amount: Decimal | None = None
    given_back: Decimal = Decimal(0)
    currency: str | None = None

    def __str__(self) -> str:
        """Say what is missing, and what to do about it."""
        if self.amount is None or not self.given_back:
            return f"{self.id} has no correction that names it: correct it with ledger.correct(...)"
        unit = "" if self.currency is None else f" {self.currency}"
        rest = EXACT.subtract(self.amount, self.given_back)
        return (
            f"{self.id} is corrected by {self.given_back:f} of {self.amount:f}{unit}: "
            f"correct the other {rest:f}{unit}"
        )


def owed(one: str, corrections: CorrectionsOf, facts: FactsOf) -> Owed | None:
    """Return what is still owed for a harm, if anything is.

    Args:
        one: the id of an effect or entry.
        corrections: what corrected an entry or effect directly.
        facts: what is recorded of an entry or effect.
    """
    if not any(map(is_history, corrections(one))):
        return Owed(one)
    told = facts(one)
    amount, currency = amount_of(told.get(AMOUNT)), told.get(CURRENCY)
    if amount is None or amount <= 0:
        return None
    unit = (type(told[AMOUNT]), currency)
    given = _given_back(one, unit, corrections, facts)
    return Owed(one, amount, given, currency) if given < amount else None


def _given_back(
    one: str, unit: tuple[type, Any], corrections: CorrectionsOf, facts: FactsOf
) -> Decimal:
    """Return what corrections gave back, less what took that back; other units do not count."""
    total = Decimal(0)
    for record in filter(is_history, corrections(one)):
        name = record.effect or record.id
        told = facts(name)
        amount = amount_of(told.get(AMOUNT))
        if amount is None or (type(told[AMOUNT]), told.get(CURRENCY, unit[1])) != unit:
            continue
        undone = _given_back(name, unit, corrections, facts)
        total = EXACT.add(total, max(EXACT.subtract(amount, undone), Decimal(0)))
    return total


def is_history(correction: Entry) -> bool:
    """Say whether a correction is new history; only that makes good what is history."""
    return correction.world is World.RML3


def amount_of(told: Any) -> Decimal | None:
    """Return an amount that can be added up: a whole number, or a decimal number as text."""
    if type(told) is int:
        return Decimal(told)
    return Decimal(told) if isinstance(told, str) and _DECIMAL.fullmatch(told) else None

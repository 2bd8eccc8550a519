"""What an incident has cost, by kind and currency; what nobody knows is unknown and not zero.

Who says a cost again replaces what was said of the same kind and currency before. An amount of a
kind that is unknown stands until one of that kind is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Final

from rml.incident.kinds import COSTED
from rml.incident.making_good import EXACT
from rml.incident.pages.casefile import Cost
from rml.ledger.entry import Entry

# What most incidents cost; each is told apart, also where nobody has said anything of it.
COSTS: Final = ("refund", "credit", "operations")


def costs_of(entries: Iterable[Entry]) -> tuple[Cost, ...]:
    """Return each cost as it was said last; nothing, if nobody said anything of any."""
    said: dict[str, dict[str, str]] = {}
    for entry in entries:
        if entry.kind != COSTED:
            continue
        known = said.setdefault(entry.facts["type"], {})
        if "amount" in entry.facts:
            known[entry.facts["currency"]] = entry.facts["amount"]
        else:
            known.clear()
    if not said:
        return ()
    names = dict.fromkeys([*COSTS, *said])
    return tuple(cost for name in names for cost in _known(name, said.get(name, {})))


def _known(name: str, amounts: dict[str, str]) -> Iterator[Cost]:
    if not amounts:
        yield Cost(type=name)
    for currency, amount in sorted(amounts.items()):
        yield Cost(type=name, currency=currency, amount=amount)


def totals(costs: Iterable[Cost]) -> dict[str, str]:
    """Return what the costs that are known add up to, by currency."""
    sums: dict[str, Decimal] = {}
    for cost in costs:
        if cost.amount is not None and cost.currency is not None:
            before = sums.get(cost.currency, Decimal(0))
            sums[cost.currency] = EXACT.add(before, Decimal(cost.amount))
    return {currency: format(total, "f") for currency, total in sorted(sums.items())}

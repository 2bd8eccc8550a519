"""Act one: a retry loop obeys an error that calls itself temporary, and customers pay twice."""

from __future__ import annotations

from typing import Final

import attrs

import rml
from rml.demo.shop import (
    CHARGED,
    FROM_ANSWER,
    DuplicateChargeError,
    Order,
    charged_twice,
    compare_books,
    evening,
    money,
    note_charge,
    obey,
)
from rml.demo.stage import Stage, some

FIRST_EVENING: Final = 100
PAUSE_SECONDS: Final = 60
"""Between two customers."""


@attrs.frozen
class ActOne:
    """What the first act leaves behind.

    Attributes:
        asked: how many payments customers asked for.
        owed: what they owed for them.
        made: how many charges the gateway made.
        twice: the charges of each payment with more than one, the one owed first.
        incident: the incident that opened by itself.
    """

    asked: int
    owed: int
    made: int
    twice: dict[str, list[rml.Entry]]
    incident: str

    @property
    def surplus(self) -> list[rml.Entry]:
        """The charges that nobody owes."""
        return [entry for entries in self.twice.values() for entry in entries[1:]]


def play(stage: Stage) -> ActOne:
    """Play the act."""
    stage.open_act(
        "Act one: a retry without a key",
        "A shop charges cards through a gateway that now and then loses an answer. "
        "Its handler calls every lost answer a PAYMENT_GATEWAY_TEMPORARY_ERROR, action "
        "retry-with-backoff, and its client obeys.",
    )
    orders = evening(FIRST_EVENING)
    stage.table([f"{'payment':<9}{'customer':<10}{'amount':>10}   what the shop saw"])
    retried = {order.payment_id for order in orders if _sell(stage, order)}
    _believe(stage, orders)
    incident = _compare(stage, retried)
    return ActOne(
        asked=len(orders),
        owed=sum(order.amount for order in orders),
        made=len(stage.shop.gateway.charges()),
        twice=charged_twice(stage.ledger.entries(kind=CHARGED)),
        incident=incident,
    )


def _sell(stage: Stage, order: Order) -> bool:
    """Have one order charged, with the faults that wait for it; return whether it was retried."""
    shop = stage.shop
    shop.gateway.arm(
        order.payment_id, lose_answer=order.lose_answer, refuse_before=order.refuse_before
    )
    failures: list[rml.RmlError] = []
    charge_id = obey(lambda: order.pay(shop.charge_without_key), stage.clock, failures)
    note_charge(order, charge_id, FROM_ANSWER)
    tries = f", after {some(len(failures), 'temporary error')}" if failures else ""
    stage.table(
        [f"{order.payment_id:<9}{order.customer_id:<10}{money(order.amount):>10}   paid{tries}"]
    )
    stage.clock.advance(PAUSE_SECONDS)
    return bool(failures)


def _believe(stage: Stage, orders: tuple[Order, ...]) -> None:
    entries = stage.ledger.entries(kind=CHARGED)
    taken = sum(entry.facts["amount"] for entry in entries)
    stage.echo("")
    stage.tell(
        f"The shop has heard of {len(entries)} charges for {len(orders)} payments, "
        f"{money(taken)}. Everybody goes home."
    )
    stage.claim(len(entries) == len(orders), "the shop has heard of one charge a payment")


def _compare(stage: Stage, retried: set[str]) -> str:
    """Compare the ledger with the gateway's books; return the incident that opens."""
    stage.clock.set("2026-06-02T03:00:00Z")
    before = stage.ledger.size
    error = stage.expect(DuplicateChargeError, lambda: compare_books(stage.shop.gateway))
    entries = stage.ledger.entries(kind=CHARGED)
    taken = sum(entry.facts["amount"] for entry in entries)
    found = [entry for entry in entries if entry.facts["learned_from"] != FROM_ANSWER]
    stage.tell(
        f"The nightly comparison: the gateway's books say {len(entries)} charges, {money(taken)}. "
        f"The {len(found)} that the shop never heard of are appended to the ledger, and the "
        "ledger is asked for payments with more than one charge:"
    )
    stage.claim(len(entries) == len(stage.shop.gateway.charges()), "ledger and books agree")
    stage.claim(stage.ledger.size > before, "the ledger has grown")
    twice = charged_twice(entries)
    for payment, charges in twice.items():
        ids = ", ".join(entry.facts["charge_id"] for entry in charges)
        customer, amount = charges[0].facts["customer_id"], charges[0].facts["amount"]
        stage.table(
            [f"{payment:<9}{customer:<10}{money(amount):>10}   {len(charges)} charges: {ids}"]
        )
    stage.tell(
        f"{' and '.join(sorted(retried - twice.keys()))} was retried too, and rightly: there the "
        "request was lost, and not the answer. The error looks the same."
    )
    stage.claim(set(twice) < retried, "some retries were right, and the others charged again")
    opened = stage.ledger.entries(kind="incident.opened")
    stage.claim(error is not None and len(opened) == 1, "one incident has opened")
    incident = opened[0].incident or ""
    code = error.code if error is not None else "no error"
    stage.tell(
        f"Detect. {code} crosses rml.boundary({opened[0].operation!r}). It is RML3, so nobody has "
        f"to remember to open an incident: what recorded the error opened {incident}."
    )
    return incident

"""The shop of the story: its orders, its kill switch, and how it charges, refunds and apologises.

There are two ways to charge here. `charge_without_key` is the anti-pattern: it calls whatever goes
wrong a temporary error and sends no key, so a loop that obeys the error charges again.
`charging_once` makes the same call under `@rml.idempotent`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from http.client import HTTPException
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

import attrs

import rml
from rml.demo.gateway_client import Gateway

T = TypeVar("T")

Charge: TypeAlias = Callable[[str, str, int, str], str]
"""Charge a payment to a customer: (payment id, customer id, amount, currency) -> charge id."""

CHARGED: Final = "payment.charged"
"""The kind of the entries in which the shop notes each charge it learns of."""

FROM_ANSWER: Final = "the gateway's answer"
FROM_BOOKS: Final = "the gateway's books"
"""The two ways in which the shop learns of a charge."""

BACKOFF_SECONDS: Final = (1, 2, 4)
"""What the retry loop waits between its calls; after the last pause it calls once more."""

SERVICE: Final = "shop"
LEDGER: Final = "ledger.db"
"""The name of the ledger's file."""

CENTS: Final = 100


class PaymentTemporaryError(rml.DialogError):
    """Temporary payment error."""

    code = "PAYMENT_GATEWAY_TEMPORARY_ERROR"
    action = rml.Action.RETRY_WITH_BACKOFF


class PaymentsOffError(rml.ClosedError):
    """Payments are switched off; nothing was charged."""

    code = "PAYMENTS_SWITCHED_OFF"


class DuplicateChargeError(rml.HistoryError):
    """Customers were charged more than once for one payment."""

    code = "DUPLICATE_CHARGE"


@attrs.frozen
class Order:
    """What a customer is to pay, and what goes wrong on the way there."""

    payment_id: str
    customer_id: str
    amount: int
    currency: str = "EUR"
    lose_answer: int = 0
    refuse_before: int = 0

    def pay(self, charge: Charge) -> str:
        """Have this order charged."""
        return charge(self.payment_id, self.customer_id, self.amount, self.currency)


def evening(hundreds: int) -> tuple[Order, ...]:
    """Return an evening's orders, numbered from *hundreds* + 1: the same ones every evening."""
    rows: tuple[tuple[str, int, int, int], ...] = (
        # customer, cents, answers lost, requests lost
        ("ada", 1_900, 0, 0),
        ("ben", 4_200, 1, 0),
        ("cem", 2_500, 0, 0),
        ("dora", 7_400, 2, 0),
        ("eli", 1_200, 0, 1),
        ("ben", 600, 1, 0),
        ("fay", 3_300, 0, 0),
        ("gus", 5_000, 1, 0),
    )
    return tuple(
        Order(
            f"pay-{hundreds + number}",
            f"cus-{customer}",
            amount,
            lose_answer=answers,
            refuse_before=requests,
        )
        for number, (customer, amount, answers, requests) in enumerate(rows, start=1)
    )


def money(cents: int) -> str:
    """Write an amount as people do."""
    return f"{cents // CENTS}.{cents % CENTS:02} EUR"


@attrs.frozen
class KillSwitch:
    """A file that stops all payments while it exists: anybody on call can make one."""

    path: Path

    @property
    def is_thrown(self) -> bool:
        """Whether payments are off."""
        return self.path.exists()

    def throw(self) -> None:
        """Stop all payments."""
        self.path.touch()

    def reset(self) -> None:
        """Let payments through again."""
        self.path.unlink()


@attrs.frozen
class Shop:
    """What the shop's code holds in its hands: the way to the gateway, the switch, the outbox."""

    gateway: Gateway
    switch: KillSwitch
    outbox: Path

    @classmethod
    def at(cls, folder: Path, gateway: Gateway) -> Shop:
        """Return the shop whose files are kept in *folder*."""
        return cls(gateway, KillSwitch(folder / "payments.off"), folder / "outbox.jsonl")

    def send(self, order: Order, idempotency_key: str | None) -> str:
        """Ask the gateway for a charge; return its id."""
        if self.switch.is_thrown:
            raise PaymentsOffError
        try:
            charge = self.gateway.charge(
                order.payment_id,
                order.customer_id,
                order.amount,
                order.currency,
                idempotency_key=idempotency_key,
            )
        except (HTTPException, OSError) as error:
            # "Temporary" is what the author hoped. Nobody knows whether the charge was made.
            raise PaymentTemporaryError(details={"payment_id": order.payment_id}) from error
        return charge["charge_id"]

    def charge_without_key(
        self, payment_id: str, customer_id: str, amount: int, currency: str
    ) -> str:
        """Charge a customer, as it is often written. Do not copy this."""
        return self.send(Order(payment_id, customer_id, amount, currency), idempotency_key=None)


def charging_once(shop: Shop) -> Charge:
    """Return the same handler under `@rml.idempotent`."""

    def ask_gateway(effect: rml.Effect) -> rml.Finding:
        charges = shop.gateway.charges(idempotency_key=effect.provider_key)
        if charges:
            charge_id = charges[0]["charge_id"]
            return rml.Finding(
                happened=True, result=charge_id, evidence=f"{charge_id} in its books"
            )
        # A request may still be on its way, so no trace is no proof.
        return rml.Finding(happened=None, evidence="no trace in its books, which is no proof")

    @rml.idempotent(
        "payment.charge",
        key="payment_id",
        facts=("customer_id", "amount", "currency"),
        reconcile=ask_gateway,
    )
    def charge(payment_id: str, customer_id: str, amount: int, currency: str) -> str:
        order = Order(payment_id, customer_id, amount, currency)
        return shop.send(order, idempotency_key=rml.current_effect().provider_key)

    return charge


def refunding_once(shop: Shop) -> Callable[[str, int, str], str]:
    """Return the handler that refunds (charge id, amount, entry to correct) -> refund id."""

    @rml.idempotent(
        "payment.refund", key="charge_id", facts=("charge_id", "amount"), corrects="entry_id"
    )
    def refund(charge_id: str, amount: int, entry_id: str) -> str:
        key = rml.current_effect().provider_key
        reason = f"duplicate, see {entry_id}"
        return shop.gateway.refund(charge_id, amount, reason, idempotency_key=key)["refund_id"]

    return refund


def apologising_once(shop: Shop) -> Callable[[str, str, str], None]:
    """Return the handler that writes to a customer: (incident, customer id, template id)."""

    @rml.idempotent(
        "customer.apology",
        key=lambda incident, customer_id: (incident, customer_id),
        facts=("customer_id", "template_id"),
    )
    def apologise(incident: str, customer_id: str, template_id: str) -> None:
        mail = {"to": customer_id, "template_id": template_id, "about": incident}
        with shop.outbox.open("a", encoding="utf-8") as outbox:
            outbox.write(json.dumps(mail) + "\n")

    return apologise


def obey(
    call: Callable[[], T], clock: rml.FrozenClock, failures: list[rml.RmlError] | None = None
) -> T:
    """Call, and do what an error asks for: the retry loop that every client has somewhere.

    Args:
        call: what to call.
        clock: what the pauses pass on.
        failures: where each error that asked for a retry is noted.
    """
    for pause in BACKOFF_SECONDS:
        try:
            return call()
        except rml.RmlError as error:
            if error.action is not rml.Action.RETRY_WITH_BACKOFF:
                raise
            if failures is not None:
                failures.append(error)
            clock.advance(pause if error.retry_after is None else error.retry_after)
    return call()


def note_charge(order: Order, charge_id: str, learned_from: str) -> rml.Receipt:
    """Append to the ledger that the shop has learned of a charge."""
    return rml.current_ledger().append(
        CHARGED,
        world=rml.World.RML3,
        operation="payment.charge",
        facts={
            "charge_id": charge_id,
            "payment_id": order.payment_id,
            "customer_id": order.customer_id,
            "amount": order.amount,
            "currency": order.currency,
            "learned_from": learned_from,
        },
    )


@rml.boundary("nightly.comparison")
def compare_books(gateway: Gateway) -> None:
    """Append what the gateway's books have and the ledger has not, and look for duplicates.

    Raises:
        DuplicateChargeError: a payment was charged more than once.
    """
    known = {entry.facts["charge_id"] for entry in rml.current_ledger().entries(kind=CHARGED)}
    for charge in gateway.charges():
        if charge["charge_id"] not in known:
            order = Order(
                charge["payment_id"], charge["customer_id"], charge["amount"], charge["currency"]
            )
            note_charge(order, charge["charge_id"], FROM_BOOKS)
    twice = charged_twice(rml.current_ledger().entries(kind=CHARGED))
    if twice:
        surplus = sum(len(entries) - 1 for entries in twice.values())
        raise DuplicateChargeError(
            f"{len(twice)} payments were charged more than once, {surplus} charges too many",
            details={"payments": len(twice), "surplus": surplus},
        )


def charged_twice(entries: Iterable[rml.Entry]) -> dict[str, list[rml.Entry]]:
    """Return, by payment, the charges of each payment with more than one: first the one owed.

    Owed is the charge that the shop had an answer for, because the customer's receipt names it.
    """
    payments: dict[str, list[rml.Entry]] = {}
    for entry in entries:
        payments.setdefault(entry.facts["payment_id"], []).append(entry)
    return {
        payment: sorted(charges, key=lambda entry: entry.facts["learned_from"] != FROM_ANSWER)
        for payment, charges in payments.items()
        if len(charges) > 1
    }

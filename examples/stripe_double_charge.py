"""A customer is charged once, although the answer to the charge was lost on its way.

The same story is told with the official `stripe` client: first as it is often written, then with
`rml`. The other side is localstripe, a fake of Stripe that keeps state; like many gateways, and
unlike Stripe itself, it ignores idempotency keys. Between the two stands a proxy that can lose an
answer after the charge was made. Everything runs on loopback, with fake money:

    python examples/stripe_double_charge.py

It needs the README's second set-up command, which installs the extra `dev`.
"""

import contextlib
import os
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

import rml

try:
    import stripe
    from localstripe_server import running_localstripe
    from lossy_proxy import LossyProxy, lossy_proxy
except ModuleNotFoundError as missing:
    print(f"{missing.name} is missing: run the README's second set-up command", file=sys.stderr)
    sys.exit(2)

GOOD_CARD = "pm_card_visa"
DECLINED_CARD = "pm_card_chargeCustomerFail"


class Order(TypedDict):
    """What is asked for, and what the retry asks for again, word for word."""

    payment_id: str
    customer_id: str
    amount: int
    currency: str


class CardDeclinedError(rml.DialogError):
    """The customer's bank declined the card."""

    code = "CARD_DECLINED"
    happened = (
        False  # the bank said no: certainly nothing was charged, so another card may be tried
    )


def send(order: Order, card: str, idempotency_key: str) -> str:
    """Ask Stripe for the charge; return the id of its payment intent."""
    # rml: ok charge_once protects it, and charge_and_retry shows what happens if nobody does
    intent = stripe.PaymentIntent.create(
        amount=order["amount"],
        currency=order["currency"],
        customer=order["customer_id"],
        payment_method=card,
        confirm=True,
        # What we will look for should we ever have to ask whether this request took effect.
        metadata={"payment_id": order["payment_id"], "provider_key": idempotency_key},
        idempotency_key=idempotency_key,
    )
    return intent.id


# ------------------------------------------------------------------------------- as often written


def charge_and_retry(order: Order, card: str) -> str:
    """Charge, and take a lost connection for a temporary error. Do not copy this."""
    for _ in range(3):
        with contextlib.suppress(stripe.APIConnectionError):
            # rml: ok it is the mistake that this scene is about
            return send(order, card, idempotency_key=order["payment_id"])
    raise RuntimeError("Stripe cannot be reached.")


# ---------------------------------------------------------------------------------------- with rml


def ask_stripe(effect: rml.Effect) -> rml.Finding:
    """Find out whether the charge that stands in doubt was made."""
    charges = stripe.Charge.list(
        customer=str(effect.facts["customer_id"]), limit=100, expand=["data.payment_intent"]
    )
    for charge in charges.auto_paging_iter():
        intent = charge.payment_intent
        if not isinstance(intent, stripe.PaymentIntent):
            continue  # not made by us
        if getattr(intent.metadata, "provider_key", None) != effect.provider_key:
            continue
        if charge.status == "succeeded":
            return rml.Finding(happened=True, result=intent.id)
        if charge.status == "failed":
            return rml.Finding(happened=False)
    # No trace is no proof: a request may still be on its way. It stays in doubt, and a person may
    # decide with `ledger.resolve(...)`. Listing is used, not searching: search lags behind writes.
    return rml.Finding(happened=None)


@rml.idempotent(
    "payment.charge",
    key="payment_id",
    facts=("customer_id", "amount", "currency"),
    exclude=("card",),  # a retry may come with another card, but not with another amount
    reconcile=ask_stripe,
)
def charge_once(payment_id: str, customer_id: str, amount: int, currency: str, card: str) -> str:
    """Charge a customer, at most once for each payment."""
    order = Order(payment_id=payment_id, customer_id=customer_id, amount=amount, currency=currency)
    # The provider key is new after an attempt that certainly did not take effect. It has to be:
    # under the old one, Stripe itself would answer with the old "declined" for a day.
    provider_key = rml.current_effect().provider_key
    try:
        return send(order, card, provider_key)
    except stripe.CardError as declined:
        raise CardDeclinedError(f"The card was declined: {declined.code}.") from declined


# --------------------------------------------------------------------------------------- the story


def tell_without_rml(proxy: LossyProxy) -> None:
    """Lose an answer to the handler that retries: the customer pays twice."""
    print("1. A retry after a lost answer, as it is often written")
    order = new_order("pay-001")
    proxy.lose_next_answer()
    intent = charge_and_retry(order, GOOD_CARD)
    print(f"   the caller saw one success, {intent}")
    made = charges_made(order)
    print(f"   the customer paid {len(made)} times, {', '.join(made)}: the same idempotency key")
    print("   was sent with both requests, and this server does not look at it")
    assert len(made) == 2  # noqa: PLR2004 (what this is all about)


def tell_with_rml(proxy: LossyProxy, ledger: rml.Ledger) -> None:
    """Lose the same answer under rml: the effect stands in doubt until Stripe was asked."""
    print("2. The same lost answer, under @rml.idempotent")
    order = new_order("pay-002")
    proxy.lose_next_answer()
    with expected(stripe.APIConnectionError):
        charge_once(**order, card=GOOD_CARD)
    (doubt,) = ledger.in_doubt()
    print(f"   in doubt: {doubt.operation} {doubt.key!r}, incident {doubt.incident}")
    with expected(rml.InDoubtError):
        charge_once(**order, card=GOOD_CARD)

    rml.reconcile(ledger=ledger)
    assert not list(ledger.in_doubt())
    intent = charge_once(**order, card=GOOD_CARD)
    print(f"   Stripe was asked: it had happened. The retry gets that charge, {intent}")
    assert charges_made(order) == [intent]


def tell_declined(ledger: rml.Ledger) -> None:
    """Have a card declined: that is certain, so another card may be tried at once."""
    print("3. A declined card is no doubt")
    order = new_order("pay-003")
    with expected(CardDeclinedError):
        charge_once(**order, card=DECLINED_CARD)
    assert not list(ledger.in_doubt())
    intent = charge_once(**order, card=GOOD_CARD)
    print(f"   the other card was charged, {intent}")
    assert charge_once(**order, card=GOOD_CARD) == intent
    assert charges_made(order) == [intent]


def new_order(payment_id: str) -> Order:
    """Make a customer, and an order of theirs."""
    # rml: ok a customer moves no money, and each scene wants a new one
    customer = stripe.Customer.create(name="Ada")
    return Order(payment_id=payment_id, customer_id=customer.id, amount=4_200, currency="eur")


def charges_made(order: Order) -> list[str]:
    """Return the payment intents that took money from this order's customer."""
    charges = stripe.Charge.list(customer=order["customer_id"], limit=100)
    return [str(charge.payment_intent) for charge in charges if charge.status == "succeeded"]


@contextlib.contextmanager
def expected(kind: type[Exception]) -> Iterator[None]:
    """Insist that the block raises this, and print it."""
    try:
        yield
    except kind as error:
        print(f"   {type(error).__name__}: {textwrap.shorten(str(error), 72, placeholder=' ...')}")
    else:
        raise AssertionError(f"{kind.__name__} was not raised.")


def main() -> None:
    """Tell the three scenes one after the other."""
    os.environ["no_proxy"] = "127.0.0.1"  # loopback is nothing for a company's proxy
    # The client must not repeat requests by itself, as it does by default. Towards a server that
    # ignores idempotency keys that alone is a second charge; towards any server it is a decision
    # about money that no record shows.
    stripe.max_network_retries = 0
    stripe.api_key = "sk_test_fake_money"
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.closing(rml.Ledger(Path(folder) / "payments.db")) as ledger,
        running_localstripe() as address,
        lossy_proxy(address) as proxy,
        rml.use(ledger=ledger),
    ):
        stripe.api_base = proxy.address
        tell_without_rml(proxy)
        tell_with_rml(proxy, ledger)
        tell_declined(ledger)
        verification = ledger.verify()
        assert verification.ok
        print(f"The ledger has {len(ledger.entries())} entries and verifies.")


if __name__ == "__main__":
    main()

"""Every code: what it is about, why, and the same lines done badly and well."""

from __future__ import annotations

from textwrap import dedent
from typing import Any, Final

import attrs


def _written(text: str) -> str:
    return dedent(text).strip() + "\n"


@attrs.frozen
class Entry:
    """One rule, explained."""

    code: str
    title: str
    why: str
    bad: str = attrs.field(converter=_written)
    good: str = attrs.field(converter=_written)

    def to_dict(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return attrs.asdict(self)


_ENTRIES: Final = (
    Entry(
        "RML101",
        "an effect outside a protected handler",
        "Nothing records that it was meant to happen, so nobody can say afterwards whether it did.",
        """
        import requests


        def charge(payment_id: str, amount: int) -> None:
            requests.post("https://gateway.example/charges", json={"amount": amount}, timeout=5)
        """,
        """
        import requests
        import rml


        @rml.idempotent("payment.charge", key="payment_id")
        def charge(payment_id: str, amount: int) -> None:
            key = {"Idempotency-Key": rml.current_effect().provider_key}
            body = {"amount": amount}
            requests.post("https://gateway.example/charges", json=body, headers=key, timeout=5)
        """,
    ),
    Entry(
        "RML102",
        "an effect that is repeated without an idempotency key",
        "A lost answer looks like a failure. The retry that follows does the effect again.",
        """
        import stamina
        import stripe


        @stamina.retry(on=stripe.APIConnectionError)
        def charge(amount: int) -> None:
            stripe.PaymentIntent.create(amount=amount, currency="eur")
        """,
        """
        import rml
        import stripe


        @rml.retry()
        @rml.idempotent("payment.charge", key="payment_id")
        def charge(payment_id: str, amount: int) -> None:
            key = rml.current_effect().provider_key
            stripe.PaymentIntent.create(amount=amount, currency="eur", idempotency_key=key)
        """,
    ),
    Entry(
        "RML103",
        "a retry inside a protected handler",
        "An intent stands for one request. A refused connection proves that nothing happened only "
        "if nothing was sent before it.",
        """
        import requests
        import rml


        @rml.idempotent("payment.charge", key="payment_id")
        def charge(payment_id: str) -> None:
            for _ in range(3):
                try:
                    requests.post("https://gateway.example/charges", timeout=5)
                    return
                except requests.ConnectionError:
                    continue
        """,
        """
        import requests
        import rml


        @rml.retry()
        @rml.idempotent("payment.charge", key="payment_id")
        def charge(payment_id: str) -> None:
            requests.post("https://gateway.example/charges", timeout=5)
        """,
    ),
    Entry(
        "RML104",
        "an error that asks for a retry of an effect without a key",
        "Whoever obeys `retry-with-backoff` does the effect again, and cannot know better.",
        """
        import httpx
        import rml


        class GatewayTimeout(rml.DialogError):
            "The gateway did not answer in time."

            action = rml.Action.RETRY_WITH_BACKOFF


        def charge(amount: int) -> None:
            try:
                # rml: ok the line itself is RML101, which is not what this is about
                httpx.post("https://gateway.example/charges", json={"amount": amount})
            except httpx.TimeoutException as error:
                raise GatewayTimeout from error
        """,
        """
        import httpx
        import rml


        class GatewayTimeout(rml.DialogError):
            "The gateway did not answer in time."

            action = rml.Action.RETRY_WITH_BACKOFF


        @rml.idempotent("payment.charge", key="payment_id")
        def charge(payment_id: str, amount: int) -> None:
            try:
                httpx.post("https://gateway.example/charges", json={"amount": amount})
            except httpx.TimeoutException as error:
                raise GatewayTimeout from error
        """,
    ),
    Entry(
        "RML105",
        "history that is retried",
        "An RML-3 error says that others already rely on the outcome. Trying again hides it, or "
        "makes a second one.",
        """
        import rml
        import stamina


        @stamina.retry(on=rml.HistoryError)
        def settle(batch: str) -> None: ...
        """,
        """
        import rml
        import stamina


        class LedgerBusy(rml.DialogError):
            "The books are being written."


        @stamina.retry(on=LedgerBusy)
        def settle(batch: str) -> None: ...
        """,
    ),
    Entry(
        "RML106",
        "history that ends in a handler",
        "An incident looks as if it had been dealt with inside, and nobody is told.",
        """
        import rml


        def refund(settled: bool) -> None:
            try:
                if settled:
                    raise rml.HistoryError("already settled")
            except Exception as error:
                print(error)
        """,
        """
        import rml


        def refund(settled: bool) -> None:
            try:
                if settled:
                    raise rml.HistoryError("already settled")
            except Exception as error:
                rml.escalate(error)
        """,
    ),
    Entry(
        "RML107",
        "history that is raised again as something smaller",
        "The widest world wins: the new error is RML-3 whatever its class says, and the code "
        "promises otherwise.",
        """
        import rml


        def refund(charge_id: str) -> None:
            try:
                print("refunding", charge_id)
            except rml.HistoryError as error:
                raise rml.DialogError("please try again") from error
        """,
        """
        import rml


        def refund(charge_id: str) -> None:
            try:
                print("refunding", charge_id)
            except rml.HistoryError as error:
                raise rml.HistoryError("the refund needs a person") from error
        """,
    ),
    Entry(
        "RML108",
        "a broad handler that drops what it caught",
        "With everything else it catches doubts and history: the payment of which nobody knows.",
        """
        import rml


        @rml.idempotent("payment.charge", key="payment_id")
        def charge(payment_id: str) -> None: ...


        def pay(payment_id: str) -> None:
            try:
                charge(payment_id)
            except Exception:
                print("not paid")
        """,
        """
        import rml


        @rml.idempotent("payment.charge", key="payment_id")
        def charge(payment_id: str) -> None: ...


        def pay(payment_id: str) -> None:
            try:
                charge(payment_id)
            except rml.DialogError as error:
                print("not paid yet:", error.code)
        """,
    ),
    Entry(
        "RML109",
        "a definition that is refused at import",
        "`@rml.idempotent` refuses what it cannot keep safe: no key, an unknown option, a name "
        "that is no parameter, a generator. This is the same answer, before the program runs.",
        """
        import rml


        @rml.idempotent("payment.charge", key="order_id")
        def charge(payment_id: str) -> None: ...
        """,
        """
        import rml


        @rml.idempotent("payment.charge", key="payment_id")
        def charge(payment_id: str) -> None: ...
        """,
    ),
    Entry(
        "RML110",
        "history that nobody can stop",
        "When it goes wrong it has to stop now, before anybody knows why, and without a deploy.",
        """
        import rml


        @rml.idempotent("payment.charge", key="payment_id", lever=False)
        def charge(payment_id: str) -> None: ...
        """,
        """
        import rml


        @rml.idempotent("payment.charge", key="payment_id")
        def charge(payment_id: str) -> None: ...
        """,
    ),
    Entry(
        "RML198",
        "an acceptance without a reason",
        "Whoever reads it later has to know why this line is fine.",
        """
        import requests


        def warm_up() -> None:
            requests.post("https://cache.example/warm-up", timeout=5)  # rml: ok
        """,
        """
        import requests


        def warm_up() -> None:
            # rml: ok it fills a cache of our own, twice does no harm
            requests.post("https://cache.example/warm-up", timeout=5)
        """,
    ),
    Entry(
        "RML199",
        "an acceptance that accepts nothing",
        "What it was about has gone, and it would hide the next violation in its place.",
        """
        import requests


        def balance() -> float:
            # rml: ok it only reads
            return requests.get("https://bank.example/balance", timeout=5).json()["balance"]
        """,
        """
        import requests


        def balance() -> float:
            return requests.get("https://bank.example/balance", timeout=5).json()["balance"]
        """,
    ),
)

CATALOG: Final = {entry.code: entry for entry in _ENTRIES}
CODES: Final = tuple(CATALOG)

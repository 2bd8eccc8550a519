"""The Stripe example: the real client, the real localstripe, and an answer that is lost."""

import importlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

stripe = pytest.importorskip("stripe")
pytest.importorskip("localstripe")

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Point the official client at a fresh localstripe behind the lossy proxy."""
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = importlib.import_module("localstripe_server")
    lossy = importlib.import_module("lossy_proxy")
    with server.running_localstripe() as address, lossy.lossy_proxy(address) as proxy:
        monkeypatch.setattr(stripe, "api_base", proxy.address)
        monkeypatch.setattr(stripe, "api_key", "sk_test_fake_money")
        monkeypatch.setattr(stripe, "max_network_retries", 0)
        monkeypatch.setattr(stripe, "default_http_client", None)
        yield proxy
        stripe.default_http_client.close()


def pay(customer: str, card: str = "pm_card_visa") -> str:
    """Charge, always under the same idempotency key."""
    intent = stripe.PaymentIntent.create(
        amount=100,
        currency="eur",
        customer=customer,
        payment_method=card,
        confirm=True,
        metadata={"payment_id": "pay-1"},
        idempotency_key="the same key",
    )
    return str(intent.id)


def charges(customer: str) -> list[tuple[str, str]]:
    """Return status and payment intent of the customer's charges."""
    found = stripe.Charge.list(customer=customer, expand=["data.payment_intent"])
    assert all(charge.payment_intent.metadata["payment_id"] == "pay-1" for charge in found)
    return [(charge.status, charge.payment_intent.id) for charge in found]


def test_localstripe_ignores_idempotency_keys(proxy: Any) -> None:
    """The same key twice is two charges: what the example's first scene stands on."""
    customer = stripe.Customer.create(name="Ada").id
    paid = [pay(customer), pay(customer)]
    assert [("succeeded", paid[0]), ("succeeded", paid[1])] == charges(customer)
    assert paid[0] != paid[1]


def test_a_lost_answer_is_a_charge(proxy: Any) -> None:
    """The proxy loses the answer to the next POST alone, after the charge was made."""
    customer = stripe.Customer.create(name="Ada").id
    proxy.lose_next_answer()
    assert [] == charges(customer)
    with pytest.raises(stripe.APIConnectionError):
        pay(customer)
    assert ["succeeded"] == [status for status, _ in charges(customer)]
    assert 1 == proxy.answers_lost
    pay(customer)
    assert 1 == proxy.answers_lost


def test_a_declined_card_takes_no_money(proxy: Any) -> None:
    """The client says so with an error of its own, and the failed charge can be found."""
    customer = stripe.Customer.create(name="Ada").id
    with pytest.raises(stripe.CardError) as declined:
        pay(customer, "pm_card_chargeCustomerFail")
    assert "card_declined" == declined.value.code
    assert ["failed"] == [status for status, _ in charges(customer)]


def test_the_server_is_on_loopback_and_keeps_nothing(proxy: Any) -> None:
    """Nothing answers elsewhere, and nothing is written where localstripe usually writes."""
    litter = Path("/tmp/localstripe.pickle")
    before = litter.stat().st_mtime_ns if litter.exists() else None
    stripe.Customer.create(name="Ada")
    assert before == (litter.stat().st_mtime_ns if litter.exists() else None)

    port = urlsplit(proxy.upstream).port
    with pytest.raises(OSError, match=r"refused|assign|unreachable|supported"):
        socket.create_connection(("::1", port), timeout=5).close()


def test_the_example_runs_as_written(tmp_path: Path) -> None:
    """It tells its three scenes the same way each time, asserts its counts and leaves nothing."""
    command = [sys.executable, str(EXAMPLES / "stripe_double_charge.py")]
    runs = [
        subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
        )
        for _ in range(2)
    ]
    told = runs[0].stdout
    assert "the customer paid 2 times" in told
    assert "InDoubtError" in told
    assert "Stripe was asked: it had happened." in told
    assert "the other card was charged" in told
    assert told.endswith("verifies.\n")
    assert runs[1].stdout == told
    assert [] == list(tmp_path.iterdir())

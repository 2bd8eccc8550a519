"""What the exceptions of the Stripe client say about an effect."""

from typing import ClassVar

import pytest
import stripe
import stripe.oauth_error
from hostile import (
    BROKEN,
    PATIENCE_SECONDS,
    after_reading,
    answering,
    failure,
    refusing,
    reset,
    then_refuse,
    verdict,
)
from http_verdicts import Serve, SessionVerdicts

from rml.verdict import happened_of, register_verdict


def _client(
    url: str, timeout: tuple[float, float], retries: int, proxy: str | None
) -> stripe.StripeClient:
    return stripe.StripeClient(
        "sk_test_x",
        base_addresses={"api": url.removesuffix("/charge")},  # type: ignore[typeddict-item]
        http_client=stripe.RequestsClient(timeout=timeout, proxy=proxy),
        max_network_retries=retries,
    )


class TestStripe(SessionVerdicts):
    """A client whose own retries are off."""

    refused: ClassVar[frozenset[int]] = frozenset({400, 401, 402, 403})
    refusal: ClassVar[object] = {"error": {"type": "invalid_request_error", "message": "No."}}
    tunnel_refusal: ClassVar[bool | None] = None  # told by a text alone

    def post(
        self,
        url: str,
        *,
        timeout: float = PATIENCE_SECONDS,
        connect: float = PATIENCE_SECONDS,
        method: str = "POST",
        times: int = 1,
        proxy: str | None = None,
        retries: int = 0,
    ) -> None:
        """Charge, or delete a customer."""
        client = _client(url, (connect, timeout), retries, proxy)
        try:
            for _ in range(times):
                if method == "DELETE":
                    client.v1.customers.delete("cus_1")
                else:
                    client.v1.payment_intents.create({"amount": 7, "currency": "eur"})
        finally:
            client._requestor._client.close()


@pytest.fixture
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client waits before it tries again."""
    monkeypatch.setattr("time.sleep", lambda _seconds: None)


@pytest.mark.usefixtures("_no_pauses")
@pytest.mark.parametrize("effect", [False, True])
def test_a_retry_that_was_refused_leaves_it_unknown(effect: bool, serve: Serve) -> None:
    """It retries by itself unless told not to: one lost answer, then nobody listened."""
    server = serve(then_refuse(after_reading(reset, effect=effect)))
    error = failure(TestStripe().post, server.url, retries=1)
    assert isinstance(error, stripe.APIConnectionError)
    assert "refused" in str(error)
    assert happened_of(error) is None


@pytest.mark.usefixtures("_no_pauses")
@pytest.mark.parametrize("effect", [False, True])
@pytest.mark.parametrize("ending", ["reset", "hang up"])
def test_a_delete_that_finds_nothing_leaves_it_unknown(
    ending: str, effect: bool, serve: Serve
) -> None:
    """The retry of a DELETE bears no idempotency key, and the first try may have deleted it."""
    missing = {"type": "invalid_request_error", "code": "resource_missing", "message": "No."}
    lost = after_reading(BROKEN[ending][0], effect=effect)
    server = serve(lost, after_reading(answering(404, {"error": missing})))
    post = TestStripe().post
    assert verdict(server, post, server.url, method="DELETE", retries=1) is None


def test_a_refusal_without_a_traceback_leaves_it_unknown() -> None:
    """Then nothing proves that the refused request was the only one."""
    with refusing() as url:
        error = failure(TestStripe().post, url)
    assert happened_of(error) is False
    assert happened_of(error.with_traceback(None)) is None


@pytest.mark.parametrize(
    ("status", "kind", "code", "raised", "happened"),
    [
        (402, "card_error", "card_declined", stripe.CardError, False),
        (400, "invalid_request_error", None, stripe.InvalidRequestError, False),
        (400, "invalid_request_error", "charge_already_refunded", stripe.InvalidRequestError, None),
        (
            400,
            "invalid_request_error",
            "payment_intent_unexpected_state",
            stripe.InvalidRequestError,
            None,
        ),
        (404, "invalid_request_error", "resource_missing", stripe.InvalidRequestError, None),
        (400, "idempotency_error", None, stripe.IdempotencyError, None),
        (401, "invalid_request_error", None, stripe.AuthenticationError, False),
        (403, "invalid_request_error", None, stripe.PermissionError, False),
        (409, "invalid_request_error", None, stripe.APIError, None),
        (429, "invalid_request_error", "rate_limit", stripe.RateLimitError, None),
        (500, "api_error", None, stripe.APIError, None),
    ],
)
def test_what_stripe_answers(
    status: int,
    kind: str,
    code: str | None,
    *,
    raised: type[BaseException],
    happened: bool | None,
    serve: Serve,
) -> None:
    """A refusal by the endpoint is certain, unless it tells of something done before."""
    body = {"error": {"type": kind, "code": code, "message": "No.", "param": "amount"}}
    error = failure(TestStripe().post, serve(after_reading(answering(status, body))).url)
    assert type(error) is raised
    assert happened_of(error) is happened


def test_a_rule_under_the_name_that_the_package_offers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stripe keeps its errors in a private module; and a user's rule goes before ours."""
    monkeypatch.setattr("rml.judgement._own_rules", {})
    register_verdict("stripe.RateLimitError", False)
    assert happened_of(stripe.RateLimitError("x")) is False


def test_a_name_offered_for_another_class_does_not_count() -> None:
    """Stripe has two classes called InvalidRequestError."""
    assert happened_of(stripe.oauth_error.InvalidRequestError("x", "y")) is None

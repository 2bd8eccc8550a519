"""A client's exception speaks of the effect only if its request bore the key that was to be sent.

A handler that charges and then fails to do something else has charged. Whoever sends the provider's
key with the charge need not say so: what failed was a request without it.
"""

import asyncio
import contextlib
import smtplib
from collections.abc import Callable
from typing import Any

import aiohttp
import botocore.session
import grpc
import httpx
import pytest
import requests
import stripe
import urllib3
from botocore.config import Config
from hostile import (
    HOST,
    PATIENCE_SECONDS,
    HostileServer,
    after_reading,
    answering,
    refusing,
)
from http_verdicts import Serve
from protected import the_effect

import rml
from rml.attempt import VALUES_MAX, was_about_another
from rml.judgement import happened_of, never_left

KEY = "rml-0123456789abcdef-1"
Send = Callable[[str, str], object]


def by_httpx(url: str, key: str) -> None:
    """In a header."""
    httpx.post(url, headers={"Idempotency-Key": key}, trust_env=False).raise_for_status()


def by_httpx_in_the_body(url: str, key: str) -> None:
    """As a field of JSON."""
    httpx.post(url, json={"payment": {"reference": key}}, trust_env=False).raise_for_status()


def by_async_httpx(url: str, key: str) -> None:
    """In a header, from a task."""

    async def send() -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            (await client.post(url, headers={"Idempotency-Key": key})).raise_for_status()

    asyncio.run(send())


def by_requests(url: str, key: str) -> None:
    """In a header."""
    with requests.Session() as session:
        session.trust_env = False
        session.post(url, headers={"Idempotency-Key": key}).raise_for_status()


def by_requests_in_a_form(url: str, key: str) -> None:
    """As a field of a form."""
    with requests.Session() as session:
        session.trust_env = False
        session.post(url, data={"reference": key}).raise_for_status()


def by_urllib3(url: str, key: str) -> None:
    """In a header."""
    no_is_an_error = urllib3.Retry(0, status_forcelist=[422], allowed_methods=None)
    with urllib3.PoolManager() as pool:
        pool.request("POST", url, headers={"Idempotency-Key": key}, retries=no_is_an_error)


def by_aiohttp(url: str, key: str) -> None:
    """In a header."""

    async def send() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, headers={"Idempotency-Key": key}) as answer,
        ):
            answer.raise_for_status()

    asyncio.run(send())


def by_stripe(url: str, key: str) -> None:
    """By the client's own option."""
    there = url.removesuffix("/charge")
    client = stripe.StripeClient("sk_test_x", base_addresses={"api": there}, max_network_retries=0)
    client.v1.charges.create({"amount": 5, "currency": "eur"}, {"idempotency_key": key})


def by_botocore(url: str, key: str) -> None:
    """As the deduplication id of a queue."""
    client = botocore.session.get_session().create_client(
        "sqs",
        region_name="eu-west-1",
        endpoint_url=url,
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=Config(retries={"total_max_attempts": 1}, proxies={}),
    )
    given = {"MessageDeduplicationId": key, "MessageGroupId": "charges"}
    client.send_message(QueueUrl=url, MessageBody="5", **given)


def by_grpc(url: str, key: str) -> None:
    """In the metadata."""
    address = url.removesuffix("/charge").rpartition("/")[2]
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary("/bank/charge")
        call(b"5", metadata=(("idempotency-key", key),), timeout=PATIENCE_SECONDS)


EVERY_CLIENT = [
    *(by_httpx, by_httpx_in_the_body, by_async_httpx, by_requests, by_requests_in_a_form),
    *(by_urllib3, by_aiohttp, by_stripe, by_botocore, by_grpc),
]


def failure(send: Send, url: str, key: str) -> Exception:
    """Return what a request fails with."""
    try:
        send(url, key)
    except Exception as error:  # noqa: BLE001 - each client has its own
        return error
    raise AssertionError("it did not fail")


@pytest.mark.parametrize("send", EVERY_CLIENT, ids=lambda send: send.__name__)
def test_the_key_is_found_in_what_was_refused(send: Send, serve: Serve) -> None:
    """Whether there was nobody to answer, or the answer was no."""
    no = serve(after_reading(answering(422)))
    with refusing() as nobody:
        for url in (nobody, no.url):
            assert not was_about_another(failure(send, url, KEY), KEY)
            assert was_about_another(failure(send, url, "another"), KEY)


def test_what_no_client_raised_tells_of_no_request() -> None:
    """Such as a refusal that a handler or a test raises itself."""

    def refuse(_url: str, _key: str) -> None:
        raise ConnectionRefusedError

    assert not was_about_another(failure(refuse, "", ""), KEY)
    assert not was_about_another(ConnectionRefusedError(), KEY)


def test_what_is_too_large_to_be_searched_may_bear_it() -> None:
    """The search ends; then the exception is judged as it was before."""

    def send(url: str, key: str) -> None:
        httpx.post(url, json={key: list(range(VALUES_MAX))}, trust_env=False)

    with refusing() as nobody:
        assert not was_about_another(failure(send, nobody, "another"), KEY)


@pytest.fixture
def bank(serve: Serve) -> HostileServer:
    """A server that carries out what it is asked."""
    return serve(after_reading(answering(200), effect=True))


def mail(_url: str) -> None:
    """Fail to send a receipt."""
    with refusing() as nobody, contextlib.suppress(AttributeError):
        smtplib.SMTP(HOST, int(nobody.removesuffix("/charge").rpartition(":")[2]))


def tell_a_shop(url: str) -> None:
    """Fail to tell somebody who knows nothing of it."""
    httpx.post(url, json={"paid": True}, trust_env=False).raise_for_status()


@pytest.mark.parametrize("then", [mail, tell_a_shop], ids=["refused", "answered with no"])
def test_a_charge_is_not_undone_by_what_fails_after_it(
    then: Callable[[str], None], bank: HostileServer, serve: Serve, ledger: rml.Ledger
) -> None:
    """It is in doubt, and no second call charges again."""
    shop = serve(after_reading(answering(404)))

    @rml.idempotent("payment.charge", key="payment_id")
    def charge(payment_id: str) -> None:
        by_httpx(bank.url, rml.current_effect().provider_key)
        then(shop.url)

    with pytest.raises((OSError, httpx.HTTPStatusError)):
        charge("pay-1")
    assert rml.EffectState.IN_DOUBT is the_effect(ledger).state
    with pytest.raises(rml.InDoubtError):
        charge("pay-1")
    assert 1 == bank.effects


@pytest.mark.parametrize("reads", [True, False])
def test_the_charge_that_is_refused_itself_runs_again(
    reads: bool, serve: Serve, ledger: rml.Ledger
) -> None:
    """With its key in its request; and where no key was read there is none to be looked for."""
    no_then_yes = serve(after_reading(answering(422)), after_reading(answering(200), effect=True))

    @rml.idempotent("payment.charge", key="payment_id")
    async def charge(payment_id: str) -> None:
        key = rml.current_effect().provider_key if reads else payment_id
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.post(no_then_yes.url, headers={"Idempotency-Key": key})
            answer.raise_for_status()

    def call() -> Any:
        return asyncio.run(charge("pay-1"))

    with pytest.raises(httpx.HTTPStatusError):
        call()
    assert rml.EffectState.NOT_DONE is the_effect(ledger).state
    call()
    assert 1 == no_then_yes.effects


@pytest.mark.parametrize("send", EVERY_CLIENT, ids=lambda send: send.__name__)
def test_what_never_arrived_is_told_from_what_was_refused(send: Send, serve: Serve) -> None:
    """After a refusal the other side may know the key, and would refuse it again."""
    no = serve(after_reading(answering(422)))
    with refusing() as nobody:
        unsent, refused = failure(send, nobody, KEY), failure(send, no.url, KEY)

    assert (happened_of(unsent) is False) == never_left(unsent)
    assert not never_left(refused)


def test_the_key_stays_until_somebody_has_answered(serve: Serve, ledger: rml.Ledger) -> None:
    """What did not arrive is sent again as the same request; what was refused, as another."""
    bank = serve(after_reading(answering(422)), after_reading(answering(200), effect=True))
    urls, keys = [bank.url, bank.url], []

    @rml.idempotent("payment.charge", key="payment_id", provider_idempotent=True)
    def charge(payment_id: str) -> None:
        keys.append(rml.current_effect().provider_key)
        by_httpx(urls.pop(), keys[-1])

    with refusing() as nobody:
        urls.append(nobody)
        for error in (httpx.ConnectError, httpx.HTTPStatusError):
            with pytest.raises(error):
                charge("pay-1")
    charge("pay-1")
    assert keys[0] == keys[1] != keys[2]
    assert rml.EffectState.DONE is the_effect(ledger).state


@pytest.mark.parametrize(
    "error",
    [
        rml.DialogError("declined", happened=False),
        ExceptionGroup("several", [ConnectionRefusedError()]),
        ValueError("a bug"),
    ],
)
def test_what_is_not_known_to_be_unsent_may_have_arrived(error: Exception) -> None:
    """Whoever states that nothing happened may have it from the other side."""
    assert not never_left(error)


def test_an_error_of_ours_is_as_far_as_what_it_was_raised_from() -> None:
    """If it states nothing itself."""
    lost = rml.DialogError("the bank cannot be reached")
    lost.__cause__ = ConnectionRefusedError()
    assert never_left(lost)

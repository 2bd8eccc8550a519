"""Retries of one protected call inside another handler: what the outer one may conclude."""

import asyncio
from collections.abc import Iterator

import pytest
import stamina
from protected import doubtful
from retried import Busy, Lost, without_waiting

import rml


@pytest.fixture(autouse=True)
def _without_waiting() -> Iterator[None]:
    """Let attempts follow each other at once."""
    with without_waiting():
        yield


def state_of_a_request(ledger: rml.Ledger, *ends: Exception) -> str:
    """Return how a request ends in whose midst a call is retried until its ends are used up."""
    left = list(ends)

    @rml.retry(attempts=len(ends))
    @rml.idempotent("payment.charge", key="payment_id", provider_idempotent=True)
    def charge(payment_id: str) -> None:
        raise left.pop(0)

    @rml.idempotent("http.charge", key="request_id")
    def request(request_id: str) -> None:
        charge(request_id)

    with pytest.raises(rml.DialogError):
        request("pay-1")
    assert [] == left
    return ledger.effects(operation="http.charge")[0].state


def test_attempts_that_all_did_nothing_leave_no_doubt(ledger: rml.Ledger) -> None:
    """The last failure speaks for all of them, so the request may be made again."""
    assert "not_done" == state_of_a_request(ledger, Busy(), Busy(), Busy())
    assert [] == doubtful(ledger)


@pytest.mark.parametrize("lost_at", [0, 1, 2])
def test_one_attempt_that_may_have_happened_is_enough_for_a_doubt(
    ledger: rml.Ledger, lost_at: int
) -> None:
    """Whichever it is: the last failure speaks for itself alone."""
    ends: list[Exception] = [Busy(), Busy(), Busy()]
    ends[lost_at] = Lost()

    assert "in_doubt" == state_of_a_request(ledger, *ends)


def test_async_attempts_that_all_did_nothing_leave_no_doubt(ledger: rml.Ledger) -> None:
    """As those of ``def``."""

    @rml.retry(attempts=3)
    @rml.idempotent("payment.charge", key="payment_id")
    async def charge(payment_id: str) -> None:
        raise Busy

    @rml.idempotent("http.charge", key="request_id")
    async def request(request_id: str) -> None:
        await charge(request_id)

    with pytest.raises(Busy):
        asyncio.run(request("pay-1"))

    assert "not_done" == ledger.effects(operation="http.charge")[0].state


def test_a_repeater_further_out_is_seen_all_the_same(ledger: rml.Ledger) -> None:
    """Its attempts are its own: what ours prove says nothing of an earlier round of somebody's."""

    @rml.retry(attempts=2)
    @rml.idempotent("payment.charge", key="payment_id")
    def charge(payment_id: str) -> None:
        raise Busy

    @rml.idempotent("http.charge", key="request_id")
    def request(request_id: str) -> None:
        stamina.retry(on=Busy, attempts=2)(charge)(request_id)

    with pytest.raises(Busy):
        request("pay-1")

    assert ["pay-1"] == doubtful(ledger)

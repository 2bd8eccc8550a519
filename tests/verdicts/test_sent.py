"""What a handler that makes several requests tells its attempt: `rml.current_effect().sent()`."""

import asyncio
import urllib.request

import pytest
from hostile import HostileServer, after_reading, answering, refusing
from http_verdicts import Serve
from protected import Charges, the_effect

import rml
from rml.verdict import happened_of

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def post(url: str) -> None:
    """Send one request."""
    DIRECT.open(url, data=b"", timeout=60).close()


@pytest.fixture
def bank(serve: Serve) -> HostileServer:
    """A server that carries out what it is asked."""
    return serve(after_reading(answering(200), effect=True))


@pytest.mark.parametrize(
    ("tells", "state"),
    [(False, rml.EffectState.NOT_DONE), (True, rml.EffectState.IN_DOUBT)],
)
def test_a_refused_second_request_is_a_doubt_once_the_first_is_told_of(
    tells: bool, state: rml.EffectState, bank: HostileServer, ledger: rml.Ledger
) -> None:
    """Untold, it would count as not done: nobody else knows that there were two requests."""

    def end() -> None:
        post(bank.url)
        if tells:
            rml.current_effect().sent()
        with refusing() as mail:
            post(mail)

    Charges(end).fail(urllib.error.URLError)
    assert state is the_effect(ledger).state
    assert 1 == bank.effects


def test_nothing_is_charged_twice_once_it_is_told(bank: HostileServer, ledger: rml.Ledger) -> None:
    """The second call is refused; it is for a person or a reconciler to decide."""

    @rml.idempotent("payment.charge", key="payment_id")
    def charge(payment_id: str) -> None:
        post(bank.url)
        rml.current_effect().sent()
        raise ConnectionRefusedError

    for expected in (ConnectionRefusedError, rml.InDoubtError):
        with pytest.raises(expected):
            charge("pay-1")
    assert 1 == bank.effects


@pytest.mark.parametrize(
    ("kind", "tags", "state"),
    [
        (rml.DialogError, {"happened": False}, "not_done"),
        (rml.ClosedError, {"happened": False}, "not_done"),
        (rml.ClosedError, {}, "in_doubt"),
        (rml.DialogError, {"action": "start-compensation"}, "failed"),
    ],
)
def test_only_a_statement_counts_after_a_request_has_left(
    kind: type[rml.RmlError], tags: dict[str, object], state: str, ledger: rml.Ledger
) -> None:
    """Whoever states that it did not happen has looked; a class of the closed world has not."""

    def end() -> None:
        rml.current_effect().sent()
        raise kind("no", **tags)

    Charges(end).fail(kind)
    assert state == the_effect(ledger).state.value


def test_it_holds_for_async_handlers_and_from_other_threads(ledger: rml.Ledger) -> None:
    """The attempt may be handed to whoever sends."""

    @rml.idempotent("payment.charge", key="payment_id")
    async def charge(payment_id: str) -> None:
        await asyncio.to_thread(rml.current_effect().sent)
        raise ConnectionRefusedError

    with pytest.raises(ConnectionRefusedError):
        asyncio.run(charge("pay-1"))
    assert rml.EffectState.IN_DOUBT is the_effect(ledger).state


def test_every_attempt_starts_anew(ledger: rml.Ledger) -> None:
    """What one has sent is settled before there is another."""

    def send() -> None:
        rml.current_effect().sent()
        raise rml.DialogError("declined", happened=False)

    charges = Charges(send, ConnectionRefusedError())
    charges.fail(rml.DialogError)
    charges.fail(ConnectionRefusedError)
    assert [True, False] == [a.may_have_sent(ConnectionRefusedError()) for a in charges.attempts]
    assert rml.EffectState.NOT_DONE is the_effect(ledger).state


def test_the_verdict_itself_can_be_asked_so() -> None:
    """A refusal is not taken for one when something had left before."""
    refusal = ConnectionRefusedError()
    assert [False, None] == [happened_of(refusal, sent=sent) for sent in (False, True)]

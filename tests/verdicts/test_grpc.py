"""What the exceptions of gRPC say about an effect."""

import asyncio
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import grpc.aio
import pytest
from hostile import (
    BLINK_SECONDS,
    PATIENCE_SECONDS,
    HostileServer,
    after_reading,
    failure,
    hang_up,
    refusing,
    reset_unread,
    verdict,
)
from http_verdicts import Serve

from rml.verdict import happened_of

METHOD = "/bank.Bank/Charge"
REFUSED = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
}


class Bank(grpc.GenericRpcHandler):
    """A bank that carries out what it is asked, or not, and then answers with the next status."""

    def __init__(self) -> None:
        self.effects = 0
        self.effect = False
        self.codes: list[grpc.StatusCode | None] = [None]
        self.answer = b"ok"

    def service(self, _details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """Answer any method."""
        return grpc.unary_unary_rpc_method_handler(self._charge)

    def _charge(self, _request: bytes, context: grpc.ServicerContext) -> bytes:
        self.effects += self.effect
        code = self.codes.pop(0) if len(self.codes) > 1 else self.codes[0]
        if code is not None:
            context.abort(code, "no")
        return self.answer


@pytest.fixture
def bank() -> Iterator[tuple[Bank, str]]:
    """A running bank, and where it is."""
    with ThreadPoolExecutor(1) as pool:
        server, bank = grpc.server(pool), Bank()
        server.add_generic_rpc_handlers((bank,))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield bank, f"127.0.0.1:{port}"
        server.stop(None).wait()


def charge(target: str, *, timeout: float = PATIENCE_SECONDS, **options: object) -> None:
    """Charge over a channel."""
    settings = [(f"grpc.{name}", value) for name, value in options.items()]
    with grpc.insecure_channel(target, options=settings) as channel:
        channel.unary_unary(METHOD)(b"7", timeout=timeout)


def charge_async(target: str, *, timeout: float = PATIENCE_SECONDS) -> None:
    """Charge over an asynchronous channel."""

    async def call() -> None:
        async with grpc.aio.insecure_channel(target) as channel:
            await channel.unary_unary(METHOD)(b"7", timeout=timeout)

    asyncio.run(call())


CALLS = pytest.mark.parametrize("call", [charge, charge_async])
CODES = sorted(set(grpc.StatusCode) - {grpc.StatusCode.OK}, key=lambda code: code.name)


@CALLS
def test_what_a_server_answers(call: Callable[..., None], bank: tuple[Bank, str]) -> None:
    """Three codes are refusals; the others may come after the effect, or be made up on the way."""
    server, target = bank
    for code in CODES:
        server.codes = [code]
        expected = False if code in REFUSED else None
        assert happened_of(failure(call, target)) is expected, code


@CALLS
def test_a_refused_connection_leaves_it_unknown(call: Callable[..., None]) -> None:
    """UNAVAILABLE is said of a connection that was never made, and of one that broke later."""
    with refusing() as url:
        target = url.removeprefix("http://").removesuffix("/charge")
        assert verdict(None, call, target) is None


@CALLS
@pytest.mark.parametrize("effect", [False, True])
def test_a_connection_that_breaks_leaves_it_unknown(
    call: Callable[..., None], effect: bool, serve: Serve
) -> None:
    """Before, and after the request has come."""
    for behaviour in (reset_unread, after_reading(hang_up, effect=effect)):
        server = serve(behaviour)
        target = f"127.0.0.1:{server.port}"
        assert verdict(server, call, target, timeout=10 * BLINK_SECONDS) is None


@CALLS
def test_a_deadline_leaves_it_unknown(call: Callable[..., None], serve: Serve) -> None:
    """The server may be at it still."""
    server: HostileServer = serve(after_reading(lambda _connection: None, effect=True))
    assert verdict(server, call, f"127.0.0.1:{server.port}", timeout=BLINK_SECONDS) is None


def test_an_answer_that_is_too_large_leaves_it_unknown(bank: tuple[Bank, str]) -> None:
    """The client itself makes a RESOURCE_EXHAUSTED of it."""
    server, target = bank
    server.effect, server.answer = True, bytes(1000)
    error = failure(charge, target, max_receive_message_length=10)
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (server.effects, happened_of(error)) == (1, None)


def test_a_retry_that_finds_nothing_leaves_it_unknown(bank: tuple[Bank, str]) -> None:
    """A service's policy lets the library send again; the first try has taken away the thing."""
    server, target = bank
    server.effect, server.codes = True, [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.NOT_FOUND]
    policy = {
        "maxAttempts": 2,
        "initialBackoff": "0.01s",
        "maxBackoff": "0.01s",
        "backoffMultiplier": 1,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    config = {"methodConfig": [{"name": [{}], "retryPolicy": policy}]}
    error = failure(charge, target, service_config=json.dumps(config))
    assert (server.effects, error.code()) == (2, grpc.StatusCode.NOT_FOUND)
    assert happened_of(error) is None

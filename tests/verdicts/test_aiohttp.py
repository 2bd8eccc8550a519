"""What the exceptions of aiohttp say about an effect."""

import asyncio

import aiohttp
import pytest
from hostile import (
    BLINK_SECONDS,
    PATIENCE_SECONDS,
    after_a_first_answer,
    after_reading,
    answering,
    failure,
    hang_up,
    silence,
    stalled_body,
    then_refuse,
    verdict,
)
from http_verdicts import GeneralHttpVerdicts, Serve

from rml.verdict import happened_of


class TestAiohttp(GeneralHttpVerdicts):
    """A session as it is."""

    def post(
        self,
        url: str,
        *,
        timeout: float = PATIENCE_SECONDS,
        connect: float = PATIENCE_SECONDS,
        method: str = "POST",
        times: int = 1,
        proxy: str | None = None,
    ) -> None:
        """Send requests."""

        async def send() -> None:
            limits = aiohttp.ClientTimeout(sock_connect=connect, sock_read=timeout)
            async with aiohttp.ClientSession(timeout=limits) as session:
                for _ in range(times):
                    async with session.request(method, url, proxy=proxy) as response:
                        response.raise_for_status()
                        await response.read()

        asyncio.run(send())


@pytest.mark.parametrize("effect", [False, True])
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_what_is_sent_again_by_itself_leaves_it_unknown(
    method: str, effect: bool, serve: Serve
) -> None:
    """When a kept-alive connection breaks, it sends once more what HTTP calls idempotent.

    What was deleted the first time is not found the second time.
    """
    post = TestAiohttp().post
    broken = after_a_first_answer(hang_up, effect=effect)
    gone = serve(broken, after_reading(answering(404)))
    assert verdict(gone, post, gone.url, method=method, times=2) is None
    down = serve(then_refuse(broken))
    error = failure(post, down.url, method=method, times=2)
    assert isinstance(error, aiohttp.ClientConnectorError)
    assert happened_of(error) is None


def test_a_full_pool_carried_nothing(serve: Serve) -> None:
    """There was no connection to be had."""
    busy, server = serve(after_reading(stalled_body)), serve(after_reading(silence))

    async def post() -> None:
        limits = aiohttp.ClientTimeout(connect=BLINK_SECONDS)
        connector = aiohttp.TCPConnector(limit=1)
        async with (
            aiohttp.ClientSession(timeout=limits, connector=connector) as session,
            session.get(busy.url),
        ):
            await session.post(server.url)

    assert verdict(server, asyncio.run, post()) is False


def test_an_answer_of_another_type_leaves_it_unknown(serve: Serve) -> None:
    """Its error is one for statuses, of an answer that may have come after the effect."""

    async def post() -> None:
        async with aiohttp.ClientSession() as session, session.post(server.url) as response:
            await response.json(content_type="application/cbor")

    server = serve(after_reading(answering(404), effect=True))
    assert verdict(server, asyncio.run, post()) is None


def test_a_url_that_cannot_be_called_carried_nothing() -> None:
    """It is refused before there is a connection."""
    assert happened_of(failure(TestAiohttp().post, "http://")) is False

"""What the exceptions of httpx say about an effect."""

import asyncio
from typing import Any

import httpx
import pytest
from hostile import (
    BLINK_SECONDS,
    PATIENCE_SECONDS,
    after_reading,
    answering,
    silence,
    stalled_body,
    verdict,
)
from http_verdicts import GeneralHttpVerdicts, Serve

from rml.verdict import register_verdict


class TestHttpx(GeneralHttpVerdicts):
    """The plain client."""

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
        options: dict[str, Any] = {"verify": url.startswith("https:"), "proxy": proxy}
        limits = httpx.Timeout(PATIENCE_SECONDS, read=timeout, connect=connect)
        with httpx.Client(
            trust_env=False, follow_redirects=True, timeout=limits, **options
        ) as client:
            for _ in range(times):
                client.request(method, url).raise_for_status()


class TestAsyncHttpx(GeneralHttpVerdicts):
    """The asynchronous client."""

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
            options: dict[str, Any] = {"verify": url.startswith("https:"), "proxy": proxy}
            limits = httpx.Timeout(PATIENCE_SECONDS, read=timeout, connect=connect)
            async with httpx.AsyncClient(
                trust_env=False, follow_redirects=True, timeout=limits, **options
            ) as client:
                for _ in range(times):
                    (await client.request(method, url)).raise_for_status()

        asyncio.run(send())


def test_a_full_pool_carried_nothing(serve: Serve) -> None:
    """There was no connection to be had."""
    busy, server = serve(after_reading(stalled_body)), serve(after_reading(silence))
    limits = httpx.Limits(max_connections=1)
    timeout = httpx.Timeout(PATIENCE_SECONDS, pool=BLINK_SECONDS)
    with (
        httpx.Client(trust_env=False, limits=limits, timeout=timeout) as client,
        client.stream("GET", busy.url),
    ):
        assert verdict(server, client.post, server.url) is False


@pytest.mark.parametrize("registered", [None, True])
def test_a_rule_of_the_users_goes_before(
    registered: bool | None,
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever deals with a server whose refusals are not to be trusted says so once."""
    monkeypatch.setattr("rml.judgement._own_rules", {})
    register_verdict(httpx.HTTPStatusError, registered)
    server = serve(after_reading(answering(404), effect=True))
    assert verdict(server, TestHttpx().post, server.url) is registered

"""What the exceptions of urllib3 say about an effect."""

from typing import ClassVar

import pytest
import urllib3
from hostile import (
    BLINK_SECONDS,
    PATIENCE_SECONDS,
    after_reading,
    failure,
    refusing,
    reset,
    silence,
    stalled_body,
    then_refuse,
    verdict,
)
from http_verdicts import GeneralHttpVerdicts, Serve

from rml.verdict import happened_of


class TestUrllib3(GeneralHttpVerdicts):
    """A pool as it is, which connects again three times, and sends a POST once."""

    refused: ClassVar[frozenset[int]] = frozenset()  # it has no errors for them
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
    ) -> None:
        """Send requests."""
        retries = urllib3.Retry(3, backoff_factor=0)
        limits = urllib3.Timeout(connect=connect, read=timeout)
        pool = (
            urllib3.ProxyManager(proxy, timeout=limits, retries=retries)
            if proxy
            else urllib3.PoolManager(timeout=limits, retries=retries)
        )
        with pool:
            for _ in range(times):
                response = pool.request(method, url)
                if response.status >= 400:
                    raise urllib3.exceptions.HTTPError(response.status)


@pytest.mark.parametrize("effect", [False, True])
def test_a_retry_that_was_refused_leaves_it_unknown(effect: bool, serve: Serve) -> None:
    """A PUT is sent again after a reset; only the last try was refused."""
    server = serve(then_refuse(after_reading(reset, effect=effect)))
    with urllib3.PoolManager(retries=urllib3.Retry(2, backoff_factor=0)) as pool:
        put = lambda: pool.request("PUT", server.url, timeout=PATIENCE_SECONDS)  # noqa: E731
        assert verdict(server, put) is None


def test_four_refused_connections_carried_nothing() -> None:
    """Its history says so."""
    with refusing() as url:
        error = failure(TestUrllib3().post, url)
    assert isinstance(error, urllib3.exceptions.MaxRetryError)
    assert happened_of(error) is False


def test_a_full_pool_carried_nothing(serve: Serve) -> None:
    """There was no connection to be had."""
    server = serve(after_reading(stalled_body), after_reading(silence))
    with urllib3.HTTPConnectionPool("127.0.0.1", server.port, maxsize=1, block=True) as pool:
        busy = pool.request("GET", "/", preload_content=False, timeout=PATIENCE_SECONDS)
        error = failure(pool.request, "POST", "/", pool_timeout=BLINK_SECONDS, retries=False)
        busy.close()
    assert isinstance(error, urllib3.exceptions.EmptyPoolError)
    assert happened_of(error) is False


def test_a_url_that_cannot_be_called_carried_nothing() -> None:
    """It is refused before there is a connection."""
    assert happened_of(failure(TestUrllib3().post, "http://[bad")) is False

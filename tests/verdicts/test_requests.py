"""What the exceptions of requests say about an effect."""

import pickle
from typing import ClassVar

import pytest
import requests
import urllib3
from hostile import (
    PATIENCE_SECONDS,
    after_reading,
    answering,
    failure,
    refusing,
    reset,
    then_refuse,
    verdict,
)
from http_verdicts import GeneralHttpVerdicts, Serve
from requests.adapters import HTTPAdapter

from rml.verdict import happened_of


class TestRequests(GeneralHttpVerdicts):
    """A session as it is, which retries nothing by itself."""

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
        proxies = {"http": proxy, "https": proxy} if proxy else None
        with requests.Session() as session:
            session.trust_env = False
            for _ in range(times):
                response = session.request(method, url, timeout=(connect, timeout), proxies=proxies)
                response.raise_for_status()


def _put_with_retries(url: str) -> None:
    """Send a PUT again after a broken connection and after a 503, as the user has asked for."""
    retries = urllib3.Retry(2, backoff_factor=0, status_forcelist=[503])
    with requests.Session() as session:
        session.trust_env = False
        session.mount("http://", HTTPAdapter(max_retries=retries))
        session.put(url, timeout=PATIENCE_SECONDS).raise_for_status()


@pytest.mark.parametrize("effect", [False, True])
@pytest.mark.parametrize("first", [reset, answering(503)], ids=["reset", "503"])
def test_a_retry_that_was_refused_leaves_it_unknown(
    first: object, effect: bool, serve: Serve
) -> None:
    """The first request was read; the second one found the port closed, or was answered 404."""
    lost = after_reading(first, effect=effect)
    closed, refusing_again = serve(then_refuse(lost)), serve(lost, after_reading(answering(404)))
    assert verdict(closed, _put_with_retries, closed.url) is None
    assert verdict(refusing_again, _put_with_retries, refusing_again.url) is None


def test_retries_that_never_connected_carried_nothing() -> None:
    """Its history says so."""
    with refusing() as url:
        assert verdict(None, _put_with_retries, url) is False


def test_a_status_that_has_lost_its_history_leaves_it_unknown(serve: Serve) -> None:
    """Pickling takes away what shows whether it was the first answer."""
    error = failure(TestRequests().post, serve(after_reading(answering(404))).url)
    assert happened_of(error) is False
    assert happened_of(pickle.loads(pickle.dumps(error))) is None


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "127.0.0.1/charge", "http://"])
def test_a_url_that_cannot_be_called_carried_nothing(url: str) -> None:
    """It is refused before there is a connection."""
    assert happened_of(failure(TestRequests().post, url)) is False

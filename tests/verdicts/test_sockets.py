"""What the exceptions of the standard library say about an effect: sockets, TLS, http, urllib."""

import http.client
import socket
import ssl
import urllib.request
from pathlib import Path
from typing import ClassVar

import pytest
from hostile import (
    BLINK_SECONDS,
    BROKEN,
    HOST,
    PATIENCE_SECONDS,
    HostileServer,
    after_a_first_answer,
    after_reading,
    answering,
    behind_tls,
    clogged,
    failure,
    hang_up,
    refusing,
    then_refuse,
    verdict,
)
from http_verdicts import HttpVerdicts, Serve

from rml.verdict import happened_of

REQUEST = b"POST /charge HTTP/1.1\r\nContent-Length: 0\r\n\r\n"


class TestUrllib(HttpVerdicts):
    """The standard library's opener, which follows redirects of a POST."""

    refused: ClassVar[frozenset[int]] = frozenset()  # its HTTPError does not show the method
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
        """Send requests, each over a connection of its own."""
        proxies = {"http": proxy, "https": proxy} if proxy else {}
        opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies))
        for _ in range(times):
            try:
                with opener.open(url, data=b"", timeout=min(timeout, connect)) as response:
                    response.read()
            except urllib.error.HTTPError as error:
                error.close()
                raise

    def test_a_connection_that_never_opens_carried_nothing(self) -> None:
        """That is so, but a timeout does not say what it waited for."""
        with clogged() as url:
            assert verdict(None, self.post, url, connect=BLINK_SECONDS) is None

    def test_a_redirect_to_nowhere_leaves_it_unknown(self, serve: Serve) -> None:
        """The charge was made; what it was redirected to is down."""
        with refusing() as nowhere:
            server = serve(after_reading(answering(303, Location=nowhere), effect=True))
            assert verdict(server, self.post, server.url) is None


# ------------------------------------------------------------------------------ plain sockets


def _talk(port: int, timeout: float = PATIENCE_SECONDS) -> None:
    """Send a request over a plain socket, and insist on an answer."""
    with socket.create_connection((HOST, port), timeout) as connection:
        connection.sendall(REQUEST)
        if not connection.recv(100).endswith(b"\r\n\r\n{}"):
            raise ConnectionError


def _port(url: str) -> int:
    return int(url.split(":")[2].split("/", maxsplit=1)[0])


def test_a_refused_socket_carried_nothing() -> None:
    """Nobody listened."""
    with refusing() as url:
        assert verdict(None, _talk, _port(url)) is False


def test_a_name_without_an_address_carried_nothing() -> None:
    """There is no host to send to."""
    connect = socket.create_connection
    assert verdict(None, connect, ("nowhere.invalid", 80)) is False


@pytest.mark.parametrize("effect", [False, True])
@pytest.mark.parametrize("ending", BROKEN)
def test_a_socket_that_breaks_leaves_it_unknown(ending: str, effect: bool, serve: Serve) -> None:
    """The request has been read, and carried out or not."""
    end, timeout = BROKEN[ending]
    server = serve(after_reading(end, effect=effect))
    assert verdict(server, _talk, server.port, timeout) is None


def test_a_certificate_that_is_not_trusted_was_told_nothing(serve: Serve, tmp_path: Path) -> None:
    """The client hangs up within the handshake."""
    server = serve(behind_tls(tmp_path, answering(200)))

    def talk() -> None:
        with (
            socket.create_connection((HOST, server.port)) as plain,
            ssl.create_default_context().wrap_socket(plain, server_hostname=HOST),
        ):
            raise AssertionError("it was trusted")

    assert verdict(server, talk) is False


@pytest.mark.parametrize("effect", [False, True])
def test_a_tls_connection_that_breaks_leaves_it_unknown(
    effect: bool, serve: Serve, tmp_path: Path
) -> None:
    """TLS errors may come at any time, so only that of the certificate is certain."""
    server = serve(behind_tls(tmp_path, hang_up, effect=effect))
    context = ssl._create_unverified_context()

    def talk() -> None:
        with (
            socket.create_connection((HOST, server.port)) as plain,
            context.wrap_socket(plain) as secured,
        ):
            secured.sendall(REQUEST)
            if not secured.recv(100):
                raise ssl.SSLEOFError

    assert verdict(server, talk) is None


# ------------------------------------------------------------------------------ http.client


def _post_twice(server: HostileServer) -> None:
    """Post over one connection, which opens itself again when it has been closed."""
    connection = http.client.HTTPConnection(HOST, server.port, timeout=PATIENCE_SECONDS)
    try:
        for _ in range(2):
            connection.request("POST", "/charge", body=b"")
            connection.getresponse().read()
    finally:
        connection.close()


@pytest.mark.parametrize("effect", [False, True])
def test_a_reused_connection_that_breaks_leaves_it_unknown(effect: bool, serve: Serve) -> None:
    """It may have been closed before the second request came, or by it."""
    server = serve(after_a_first_answer(hang_up, effect=effect))
    error = failure(_post_twice, server)
    assert isinstance(error, http.client.RemoteDisconnected | ConnectionResetError)
    assert happened_of(error) is None


def test_the_last_of_several_requests_of_ones_own_is_all_that_is_judged(serve: Serve) -> None:
    """Two requests in one handler cannot be told from one: it has to say that it has sent."""
    server = serve(then_refuse(after_reading(answering(200), effect=True)))
    assert happened_of(failure(_post_twice, server)) is False
    assert server.effects == 1

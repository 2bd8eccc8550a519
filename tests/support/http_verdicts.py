"""What the exceptions of every HTTP client must say, whatever the server did: a shared suite."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
from hostile import (
    BLINK_SECONDS,
    BROKEN,
    PATIENCE_SECONDS,
    HostileServer,
    after_a_first_answer,
    after_reading,
    answering,
    behind_tls,
    clogged,
    hang_up,
    refusing,
    reset,
    reset_unread,
    verdict,
)

from rml.clients import REFUSED_STATUSES

STATUSES = REFUSED_STATUSES | {402, 408, 409, 412, 423, 425, 500, 502, 503, 504}
Serve = Callable[..., HostileServer]


class HttpVerdicts:
    """Subclass it for a client as ``Test...`` and give it ``post``.

    Attributes:
        refused: the statuses whose errors say that it was not carried out.
        refusal: the body of an answer with an error.
        tunnel_refusal: what it knows when a proxy refuses to connect it.
        unnoticed: the broken answers that it takes for whole ones.
    """

    refused: ClassVar[frozenset[int]] = REFUSED_STATUSES
    refusal: ClassVar[object] = None
    tunnel_refusal: ClassVar[bool | None] = False
    unnoticed: ClassVar[frozenset[str]] = frozenset()

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
        """Send requests over one session, and raise unless each is answered with a success.

        ``timeout`` is for an answer, ``connect`` for a connection: on a busy machine that of a
        server which never answers may take a while, and what it runs into says another thing.
        """
        raise NotImplementedError

    # -------------------------------------------------------------------- nothing can have left

    def test_a_refused_connection_carried_nothing(self) -> None:
        """Nobody listened."""
        with refusing() as url:
            assert verdict(None, self.post, url) is False

    def test_an_unknown_host_carried_nothing(self) -> None:
        """The name has no address (RFC 6761, section 6.4: `.invalid` never has one)."""
        assert verdict(None, self.post, "http://nowhere.invalid/charge") is False

    @pytest.mark.skipif(sys.platform != "linux", reason="queues are full elsewhere in other ways")
    def test_a_connection_that_never_opens_carried_nothing(self) -> None:
        """The timeout is over before there is a connection to write to."""
        with clogged() as url:
            assert verdict(None, self.post, url, connect=BLINK_SECONDS) is False

    def test_a_wrong_certificate_was_told_nothing(self, serve: Serve, tmp_path: Path) -> None:
        """The client hangs up within the handshake."""
        server = serve(behind_tls(tmp_path, answering(200)))
        url = server.url.replace("http:", "https:")
        assert verdict(server, self.post, url) is False

    def test_a_proxy_that_is_down_carried_nothing(self) -> None:
        """The connection to it is refused."""
        with refusing() as url:
            proxy = url.removesuffix("/charge")
            assert verdict(None, self.post, "http://nowhere.invalid/charge", proxy=proxy) is False

    def test_a_proxy_that_refuses_a_tunnel_carried_nothing(self, serve: Serve) -> None:
        """It was asked to connect, and no more. Not every client says so in a way to rely on."""
        server = serve(after_reading(answering(403)))
        proxy, url = server.url.removesuffix("/charge"), "https://nowhere.invalid/charge"
        assert verdict(server, self.post, url, proxy=proxy) is self.tunnel_refusal

    def test_a_refusal_does_not_settle_a_timeout_that_was_being_handled(self) -> None:
        """The timeout stands behind all that the client wraps: a request may have left."""

        def handler() -> None:
            try:
                raise TimeoutError
            except TimeoutError:
                self.post(url)

        with refusing() as url:
            assert verdict(None, handler) is None

    # -------------------------------------------------------------------- nobody can know

    def test_a_connection_cut_before_it_was_read_is_not_done(self, serve: Serve) -> None:
        """It looks as if it had been read, unless the client notices before it writes."""
        server = serve(reset_unread)
        assert verdict(server, self.post, server.url) is not True

    @pytest.mark.parametrize("effect", [False, True])
    def test_a_broken_answer_leaves_it_unknown(self, effect: bool, serve: Serve) -> None:
        """The request has been read, and carried out or not."""
        for name in sorted(BROKEN.keys() - self.unnoticed):
            ending, timeout = BROKEN[name]
            server = serve(after_reading(ending, effect=effect))
            assert verdict(server, self.post, server.url, timeout=timeout) is None, name

    @pytest.mark.parametrize("effect", [False, True])
    def test_a_status_that_may_come_after_the_effect_leaves_it_unknown(
        self, effect: bool, serve: Serve
    ) -> None:
        """A server that failed, a proxy that gave up, a conflict with its own double."""
        for status in sorted(STATUSES - self.refused):
            server = serve(after_reading(answering(status, self.refusal), effect=effect))
            assert verdict(server, self.post, server.url) is None, status

    def test_a_status_that_refuses(self, serve: Serve) -> None:
        """The other side has answered that it did not carry it out."""
        for status in sorted(self.refused):
            server = serve(after_reading(answering(status, self.refusal)))
            assert verdict(server, self.post, server.url) is False, status


class SessionVerdicts(HttpVerdicts):
    """Of a client that keeps its connections."""

    @pytest.mark.parametrize("effect", [False, True])
    @pytest.mark.parametrize("ending", [hang_up, reset])
    def test_a_kept_alive_connection_that_breaks_leaves_it_unknown(
        self, ending: Callable[..., None], effect: bool, serve: Serve
    ) -> None:
        """It may have been closed before the second request came, or by it."""
        server = serve(after_a_first_answer(ending, effect=effect))
        assert verdict(server, self.post, server.url, times=2) is None


class GeneralHttpVerdicts(SessionVerdicts):
    """Of a client for HTTP at large: it sends any method, and follows redirects."""

    def test_a_read_that_is_refused_leaves_it_unknown(self, serve: Serve) -> None:
        """What a GET does not find says nothing about what the operation was to change."""
        server = serve(after_reading(answering(404)))
        assert verdict(server, self.post, server.url, method="GET") is None

    @pytest.mark.parametrize("status", [303, 307])
    def test_a_redirect_to_nowhere_leaves_it_unknown(self, status: int, serve: Serve) -> None:
        """The charge was made; what it was redirected to is down."""
        with refusing() as nowhere:
            server = serve(after_reading(answering(status, Location=nowhere), effect=True))
            assert verdict(server, self.post, server.url) is None

    @pytest.mark.parametrize("status", [303, 307])
    def test_a_redirect_that_is_refused_leaves_it_unknown(self, status: int, serve: Serve) -> None:
        """The charge was made; what it was redirected to refuses."""
        refusal = serve(after_reading(answering(404)))
        server = serve(after_reading(answering(status, Location=refusal.url), effect=True))
        assert verdict(server, self.post, server.url) is None

    def test_a_redirect_out_of_http_leaves_it_unknown(self, serve: Serve) -> None:
        """A URL that cannot be called was not the first one."""
        server = serve(after_reading(answering(303, Location="ftp://127.0.0.1/"), effect=True))
        assert verdict(server, self.post, server.url) is None

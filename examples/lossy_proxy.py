"""A loopback proxy that can lose an answer: the request arrives, the reply does not.

    with lossy_proxy(address_of_the_server) as proxy:
        proxy.lose_next_answer()  # of the next POST

It waits for the server's whole answer before it closes the caller's connection without a byte, so
what the request asked for has certainly taken effect. That is the moment this library is about.
"""

import contextlib
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 10.0

POLL_SECONDS = 0.02
"""How late the proxy may notice that it is to stop."""

HOP_BY_HOP = frozenset({"connection", "content-length", "host", "keep-alive", "transfer-encoding"})
"""Headers about one connection, not about the message (RFC 9110, section 7.6.1)."""


class LossyProxy(ThreadingHTTPServer):
    """Pass requests on to one server, and answers back unless told to lose them."""

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Relay)
        self.upstream = upstream
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.answers_lost = 0
        self._to_lose = 0
        self._lock = threading.Lock()

    def lose_next_answer(self, count: int = 1) -> None:
        """Lose the answers to the next *count* POST requests."""
        with self._lock:
            self._to_lose += count

    def is_to_be_lost(self, method: str) -> bool:
        """Say whether this answer is one to lose, and count it."""
        with self._lock:
            if method != "POST" or self._to_lose == 0:
                return False
            self._to_lose -= 1
            self.answers_lost += 1
            return True


class _Relay(BaseHTTPRequestHandler):
    """One request. HTTP/1.0 towards the caller, so no connection is used twice."""

    server: LossyProxy

    def do_GET(self) -> None:
        """Pass a question on."""
        self._relay()

    def do_POST(self) -> None:
        """Pass an order on."""
        self._relay()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (inherited name)
        """Log nothing."""

    def _relay(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        where = urlsplit(self.server.upstream)
        upstream = HTTPConnection(where.hostname or "", where.port, timeout=TIMEOUT_SECONDS)
        with contextlib.closing(upstream):
            headers = {n: v for n, v in self.headers.items() if n.lower() not in HOP_BY_HOP}
            upstream.request(self.command, self.path, body=body, headers=headers)
            answer = upstream.getresponse()
            content = answer.read()
        if self.server.is_to_be_lost(self.command):
            return  # the connection is closed without a byte
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in HOP_BY_HOP | {"date", "server"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextlib.contextmanager
def lossy_proxy(upstream: str) -> Iterator[LossyProxy]:
    """Run a proxy in front of the server at *upstream* until the block ends."""
    with LossyProxy(upstream) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(POLL_SECONDS,))
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()

"""Proxies before a PostgreSQL server, which cut a connection or kill its backend where told."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Self
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit


class CuttingProxy:
    """Passes everything on, and cuts when it was told to, at one message of the client's.

    Args:
        url: the server's.
        lost: what is lost: the ``"request"``, which the server never sees, or its ``"answer"``.
    """

    def __init__(self, url: str, lost: str) -> None:
        self._parts = urlsplit(url)
        self._cut_at = -1
        self._lost = lost
        self._mutex = threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._sides: list[socket.socket] = []
        self._unheard: socket.socket | None = None
        self._messages = 0

    @property
    def url(self) -> str:
        """The URL of the ledger through the proxy."""
        parts = self._parts
        given = {name: values[0] for name, values in parse_qs(parts.query).items()}
        given.pop("host", None)
        user = parts.netloc.rpartition("@")[0]
        port = self._listening.getsockname()[1]
        given |= {"sslmode": "disable", "gssencmode": "disable"}
        return urlunsplit(
            (parts.scheme, f"{user}@127.0.0.1:{port}", parts.path, urlencode(given), "")
        )

    def cut_at(self, message: int) -> None:
        """Cut once, at the client's message of this number from now on, over all connections."""
        with self._mutex:
            self._cut_at = self._messages + message

    def _connect(self) -> socket.socket:
        folder = parse_qs(self._parts.query).get("host", [""])[0]
        if folder.startswith("/"):
            server = socket.socket(socket.AF_UNIX)
            server.connect(f"{folder}/.s.PGSQL.{self._parts.port or 5432}")
            return server
        return socket.create_connection(
            (self._parts.hostname or "localhost", self._parts.port or 5432)
        )

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        _end(*self._sides)
        for thread in self._threads:
            thread.join(10)
        for side in self._sides:
            side.close()

    def _start(self, work: object, *given: object) -> None:
        thread = threading.Thread(target=work, args=given, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                self._sides.append(client)
                try:
                    server = self._connect()
                except OSError:
                    _end(client)  # the server is away; the next client may find it
                    continue
                self._sides.append(server)
                self._start(self._pass_on, client, server)
                self._start(self._bring_back, server, client)

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        for data in _read(client):
            with self._mutex:
                cuts = self._messages == self._cut_at
                self._messages += 1
            if cuts and self._lost == "request":
                break
            if cuts:
                self._unheard = server
            with contextlib.suppress(OSError):
                server.sendall(data)
        _end(client, server)

    def _bring_back(self, server: socket.socket, client: socket.socket) -> None:
        for data in _read(server):
            if server is self._unheard:
                break
            with contextlib.suppress(OSError):
                client.sendall(data)
        _end(client, server)


class KillingProxy(CuttingProxy):
    """Has the backend killed, instead of cutting, right before a statement or right after it.

    Before it, the server never runs the statement. After it, the statement has run and its answer
    is lost; what a backend says when it is ended still arrives.

    Args:
        url: the server's.
        lost: the ``"request"`` or its ``"answer"``.
        kill: ends the backend with this process id, and returns when it has ended.
    """

    def __init__(self, url: str, lost: str, kill: Callable[[int], object]) -> None:
        super().__init__(url, lost)
        self._kill = kill
        self._backends: dict[socket.socket, int] = {}
        self.has_killed = False

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        for data in _read(client):
            if server in self._backends and data[:1] != _TERMINATE:
                with self._mutex:
                    kills = self._messages == self._cut_at
                    self._messages += 1
                if kills and self._lost == "request":
                    self._end_backend(server)
                elif kills:
                    self._unheard = server
            with contextlib.suppress(OSError):
                server.sendall(data)
        _end(client, server)

    def _bring_back(self, server: socket.socket, client: socket.socket) -> None:
        greeting = b""
        for data in _read(server):
            if server not in self._backends:
                greeting += data
                if (pid := _backend(greeting)) is not None:
                    self._backends[server] = pid
            elif server is self._unheard:
                self._unheard = None
                self._end_backend(server)
                continue
            with contextlib.suppress(OSError):
                client.sendall(data)
        _end(client, server)

    def _end_backend(self, server: socket.socket) -> None:
        self.has_killed = True
        self._kill(self._backends[server])


_TERMINATE = b"X"


def _backend(greeting: bytes) -> int | None:
    """Return the backend's process id, once the server has told it."""
    while len(greeting) >= 9:
        kind, length = struct.unpack("!cI", greeting[:5])
        if kind == b"K":
            return int.from_bytes(greeting[5:9])
        greeting = greeting[1 + length :]
    return None


def _read(side: socket.socket) -> Iterator[bytes]:
    with contextlib.suppress(OSError):
        while data := side.recv(1 << 16):
            yield data


def _end(*sides: socket.socket) -> None:
    for side in sides:
        with contextlib.suppress(OSError):
            side.shutdown(socket.SHUT_RDWR)

"""A pooler in transaction mode: each transaction of a client's gets any of a few connections.

It speaks as much of PostgreSQL's protocol as the tests need. A connection is handed back when the
server says that no transaction is open.
"""

import contextlib
import queue
import random
import select
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Self
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

_SSL_REQUEST, _GSS_REQUEST = 80877103, 80877104
_ANSWERED = b"QSF"  # what the server answers with ReadyForQuery: Query, Sync, FunctionCall


class TransactionPooler:
    """Stands before a server.

    Args:
        url: the server's, whose user needs no password there.
        size: how many connections to the server there are.
        cleans: whether nothing is left of what a client kept in a session.
    """

    def __init__(self, url: str, size: int, *, cleans: bool) -> None:
        self._parts = urlsplit(url)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._sides: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._idle: queue.SimpleQueue[socket.socket] = queue.SimpleQueue()
        self._greeting = b""
        self._size = size
        self._cleans = cleans
        self._random = random.Random(5)

    @property
    def url(self) -> str:
        """The URL of the ledger through the pooler."""
        parts = self._parts
        given = {name: values[0] for name, values in parse_qs(parts.query).items()}
        given.pop("host", None)
        port = self._listening.getsockname()[1]
        given |= {"sslmode": "disable", "gssencmode": "disable"}
        user = parts.netloc.rpartition("@")[0]
        netloc = f"{user}@127.0.0.1:{port}"
        return urlunsplit((parts.scheme, netloc, parts.path, urlencode(given), ""))

    def __enter__(self) -> Self:
        for _ in range(self._size):
            self._idle.put(self._server())
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for side in list(self._sides):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for side in self._sides:
            side.close()

    def _start(self, work: object, *given: object) -> None:
        thread = threading.Thread(target=work, args=given, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _server(self) -> socket.socket:
        folder = parse_qs(self._parts.query).get("host", [""])[0]
        port = self._parts.port or 5432
        if folder.startswith("/"):
            side = socket.socket(socket.AF_UNIX)
            side.connect(f"{folder}/.s.PGSQL.{port}")
        else:
            side = socket.create_connection((self._parts.hostname or "localhost", port))
        self._sides.append(side)
        user = (self._parts.username or "postgres").encode()
        words = [b"user", user, b"database", self._parts.path[1:].encode()]
        words += [b"client_encoding", b"UTF8"]
        body = struct.pack("!i", 196608) + b"\0".join(words) + b"\0\0"
        side.sendall(struct.pack("!i", len(body) + 4) + body)
        said = b""
        for kind, message in _messages(side):
            said += message
            if kind == b"Z":
                break
            assert kind != b"E", message
        self._greeting = said
        return side

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                self._sides.append(client)
                self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError):
            while True:
                (length,) = struct.unpack("!i", _exactly(client, 4))
                body = _exactly(client, length - 4)
                if struct.unpack("!i", body[:4])[0] not in {_SSL_REQUEST, _GSS_REQUEST}:
                    break
                client.sendall(b"N")
            client.sendall(self._greeting)
            for kind, message in _messages(client):
                if kind == b"X":
                    break
                self._transaction(client, kind, message)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)

    def _transaction(self, client: socket.socket, kind: bytes, message: bytes) -> None:
        """Pass one transaction on, by a connection that the next one need not get."""
        server = self._idle.get(timeout=30)
        for _ in range(self._random.randrange(self._size)):
            self._idle.put(server)
            server = self._idle.get(timeout=30)
        asked, status = int(kind in _ANSWERED), b""  # nothing is known before an answer
        try:
            server.sendall(message)
            while asked or status != b"I":
                for side in select.select([client, server], [], [])[0]:
                    kind, message = _message(side)
                    if side is client:
                        asked += kind in _ANSWERED
                        server.sendall(message)
                    else:
                        client.sendall(message)
                        if kind == b"Z":
                            asked, status = asked - 1, message[-1:]
        finally:
            while asked:
                asked -= _message(server)[0] == b"Z"
            _run(server, b"ROLLBACK")
            if self._cleans:
                _run(server, b"DISCARD ALL")
            self._idle.put(server)


def _run(server: socket.socket, statement: bytes) -> None:
    server.sendall(b"Q" + struct.pack("!i", len(statement) + 5) + statement + b"\0")
    for kind, _ in _messages(server):
        if kind == b"Z":
            return


def _messages(side: socket.socket) -> Iterator[tuple[bytes, bytes]]:
    with contextlib.suppress(OSError, EOFError):
        while True:
            yield _message(side)


def _message(side: socket.socket) -> tuple[bytes, bytes]:
    head = _exactly(side, 5)
    return head[:1], head + _exactly(side, struct.unpack("!i", head[1:])[0] - 4)


def _exactly(side: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = side.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data

"""A loopback server that breaks off wherever it is told to, and counts what it has carried out."""

import contextlib
import datetime as dt
import ipaddress
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from rml.verdict import happened_of

HOST = "127.0.0.1"
PATIENCE_SECONDS = 60.0
"""In which a busy machine does everything that a test waits for."""
BLINK_SECONDS = 0.05
"""How long a client waits for what will not come."""

Ending = Callable[[socket.socket], None]
"""What is done to a connection whose request has been read."""
Behaviour = Callable[["HostileServer", socket.socket], None]
"""What is done to a connection from its first byte."""


class HostileServer:
    """A server that treats each connection by the next of its behaviours, the last one for ever.

    Attributes:
        effects: how many requests it has carried out, by its own count.
    """

    def __init__(self, *behaviours: Behaviour) -> None:
        self.effects = 0
        self._behaviours = list(behaviours)
        self._listener = socket.create_server((HOST, 0))
        self._held: list[socket.socket] = []
        self.port = self._listener.getsockname()[1]
        self.url = f"http://{HOST}:{self.port}/charge"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.settimeout(PATIENCE_SECONDS)
                self._held.append(connection)
                more = len(self._behaviours) > 1
                behaviour = self._behaviours.pop(0) if more else self._behaviours[0]
                with contextlib.suppress(OSError):  # clients break off as well
                    behaviour(self, connection)

    def stop_listening(self) -> None:
        """Refuse what connects from now on."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def close(self) -> None:
        """End it and all its connections; what it counted is final then."""
        self.stop_listening()
        for one in self._held:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE_SECONDS)
        for one in self._held:
            one.close()


# ------------------------------------------------------------------------------ behaviours


def after_reading(ending: Ending, *, effect: bool = False) -> Behaviour:
    """Read a request, carry it out or not, and end it so."""

    def behave(server: HostileServer, connection: socket.socket) -> None:
        read_request(connection)
        server.effects += effect
        ending(connection)

    return behave


def after_a_first_answer(ending: Ending, *, effect: bool = False) -> Behaviour:
    """Answer one request well, keep the connection, and end the second request so."""

    def behave(server: HostileServer, connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        after_reading(ending, effect=effect)(server, connection)

    return behave


def then_refuse(behaviour: Behaviour) -> Behaviour:
    """Listen no more before behaving so: whatever comes next is refused."""

    def behave(server: HostileServer, connection: socket.socket) -> None:
        server.stop_listening()
        behaviour(server, connection)

    return behave


def reset_unread(_server: HostileServer, connection: socket.socket) -> None:
    """Cut a connection before anything is read from it."""
    reset(connection)


def read_request(connection: socket.socket) -> bytes:
    """Read a request's head, and its body by the length that the head tells."""
    received = b""
    while b"\r\n\r\n" not in received:
        part = connection.recv(65_536)
        if not part:
            raise ConnectionError
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        while name == b"content-length" and len(body) < int(value):
            body += connection.recv(65_536)
    return head


# ------------------------------------------------------------------------------ endings


def silence(_connection: socket.socket) -> None:
    """Never answer."""


def reset(connection: socket.socket) -> None:
    """Cut the connection hard."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def hang_up(connection: socket.socket) -> None:
    """Close without an answer."""
    connection.shutdown(socket.SHUT_RDWR)


def half_a_head(connection: socket.socket) -> None:
    """Close within the first line of the answer: some clients take more for a whole one."""
    connection.sendall(b"HTTP/1.1 2")
    hang_up(connection)


def half_a_body(connection: socket.socket) -> None:
    """Close within the body of the answer."""
    stalled_body(connection)
    hang_up(connection)


def stalled_body(connection: socket.socket) -> None:
    """Never finish the body of the answer."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n"
    connection.sendall(head + b'{"object":')


def answering(status: int, body: object = None, **headers: str) -> Ending:
    """Return the ending of answering so, and closing."""

    def answer(connection: socket.socket) -> None:
        content = json.dumps(body or {}).encode()
        lines = [
            f"HTTP/1.1 {status} Status",
            f"Content-Length: {len(content)}",
            "Content-Type: application/json",
            "Connection: close",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
        connection.shutdown(socket.SHUT_WR)

    return answer


BROKEN: dict[str, tuple[Ending, float]] = {
    "silence": (silence, BLINK_SECONDS),
    "reset": (reset, PATIENCE_SECONDS),
    "hang up": (hang_up, PATIENCE_SECONDS),
    "half a head": (half_a_head, PATIENCE_SECONDS),
    "half a body": (half_a_body, PATIENCE_SECONDS),
    "stalled body": (stalled_body, BLINK_SECONDS),
}
"""Endings that hide whether the request was carried out, and how long a client waits for more."""


# ------------------------------------------------------------------------------ places


@contextlib.contextmanager
def refusing() -> Iterator[str]:
    """Yield a URL whose port refuses: bound, so that nobody else takes it, and not listening."""
    with socket.socket() as bound:
        bound.bind((HOST, 0))
        yield f"http://{HOST}:{bound.getsockname()[1]}/charge"


@contextlib.contextmanager
def clogged() -> Iterator[str]:
    """Yield a URL whose port lets nobody in: its queue is full and it never accepts (Linux)."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((HOST, 0))
        listener.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://{HOST}:{listener.getsockname()[1]}/charge"


def behind_tls(folder: Path, ending: Ending, *, effect: bool = True) -> Behaviour:
    """Speak TLS with a certificate that nobody trusts, and behave so to whoever talks on."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_certificate(folder))

    def behave(server: HostileServer, connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            after_reading(ending, effect=effect)(server, secured)

    return behave


def _certificate(folder: Path) -> Path:
    """Write a self-signed certificate for the loopback address, and its key, into one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nobody")])
    start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start.replace(year=2090))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = folder / "nobody.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
    return path


# ------------------------------------------------------------------------------ verdicts


def failure(call: Callable[..., object], *args: object, **options: object) -> BaseException:
    """Return what a call raises."""
    try:
        call(*args, **options)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what we ask about
        return error
    raise AssertionError("nothing was raised")


def verdict(
    server: HostileServer | None, call: Callable[..., object], *args: object, **options: object
) -> bool | None:
    """Return what a call's failure says of its effect, having held it against the server's count.

    "Not done" of something that the server carried out would be a second charge.
    """
    happened = happened_of(failure(call, *args, **options))
    if server is not None:
        server.close()
        assert happened is None or happened == bool(server.effects)
    return happened

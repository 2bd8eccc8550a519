"""A witness on this machine: C2SP tlog-witness by the letter, none of it the library's own code."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

NAME = "witness.example/w1"
NOW = 1_795_201_200  # 2026-11-20 19:00:00 UTC
Answer = tuple[int, str, bytes]
REFUSED = "text/plain"
SIZE = "text/x.tlog.size"


class Refused(Exception):  # noqa: N818 - an answer, not an error
    """The request gets this answer."""


class Witness:
    """What a witness remembers, and how it answers; ``scripted`` answers come before its own."""

    def __init__(self, *log_keys: str, name: str = NAME) -> None:
        self.name = name
        self.now = NOW
        self.seen: dict[str, tuple[int, bytes]] = {}
        self.requests: list[bytes] = []
        self.scripted: list[Answer] = []
        self._log_keys = [read_verifier_key(key) for key in log_keys]
        self._secret = Ed25519PrivateKey.generate()
        self._lock = threading.Lock()

    @property
    def key(self) -> str:
        """Its verifier key: algorithm 4."""
        public = self._secret.public_key().public_bytes_raw()
        encoded = base64.b64encode(b"\4" + public).decode()
        return f"{self.name}+{key_id(self.name, 4, public).hex()}+{encoded}"

    def add_checkpoint(self, body: bytes) -> Answer:
        """Answer a request."""
        with self._lock:
            self.requests.append(body)
            if self.scripted:
                return self.scripted.pop(0)
            try:
                return 200, "text/plain", self._cosign(body)
            except Refused as refused:
                status, kind, text = refused.args
                return status, kind, text.encode()

    def _cosign(self, body: bytes) -> bytes:
        head, _, note = body.partition(b"\n\n")
        first, *lines = head.decode().split("\n")
        if not first.startswith("old ") or len(lines) > 63:
            raise Refused(400, REFUSED, "no request")
        old, proof = int(first.removeprefix("old ")), [base64.b64decode(line) for line in lines]
        text = self._opened(note)
        origin, size_text, root_text, *_ = text.split("\n")
        size, root = int(size_text), base64.b64decode(root_text)
        if old > size:
            raise Refused(400, REFUSED, "old is larger than the checkpoint")
        known, known_root = self.seen.get(origin, (0, hashlib.sha256().digest()))
        if old != known:
            raise Refused(409, SIZE, f"{known}\n")
        if old == size and root != known_root:
            raise Refused(409, REFUSED, "another root of this size")
        if not continues(old, size, known_root, root, proof):
            raise Refused(422, REFUSED, "no consistency proof")
        self.seen[origin] = size, root
        return self.cosignature(text).encode()

    def _opened(self, note: bytes) -> str:
        """Return the text of a note that a known log key has signed."""
        whole = note.decode()
        text, _, signatures = whole.rpartition("\n\n")
        text += "\n"
        origin = text.split("\n", maxsplit=1)[0]
        keys = [key for key in self._log_keys if key[0] == origin]
        if not keys:
            raise Refused(404, REFUSED, "unknown log")
        for line in signatures.splitlines():
            _, name, encoded = line.split(" ")
            signed = base64.b64decode(encoded)
            for known, identity, public in keys:
                if (name, signed[:4]) == (known, identity):
                    try:
                        Ed25519PublicKey.from_public_bytes(public).verify(signed[4:], text.encode())
                    except InvalidSignature:
                        raise Refused(403, REFUSED, "bad signature") from None
                    return text
        raise Refused(403, REFUSED, "unknown key")

    def cosignature(self, text: str) -> str:
        """Return the line for a checkpoint's body, deserved or not."""
        message = f"cosignature/v1\ntime {self.now}\n{text}".encode()
        public = self._secret.public_key().public_bytes_raw()
        signature = self.now.to_bytes(8, "big") + self._secret.sign(message)
        line = base64.b64encode(key_id(self.name, 4, public) + signature).decode()
        return f"\N{EM DASH} {self.name} {line}\n"


def key_id(name: str, algorithm: int, public: bytes) -> bytes:
    """The four bytes that name a key."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([algorithm]) + public).digest()[:4]


def read_verifier_key(text: str) -> tuple[str, bytes, bytes]:
    """A log's name, the id of its key, and the key."""
    name, identity, encoded = text.split("+", 2)
    return name, bytes.fromhex(identity), base64.b64decode(encoded)[1:]


def continues(old: int, new: int, old_root: bytes, new_root: bytes, proof: list[bytes]) -> bool:
    """Whether a consistency proof holds: by the recursion of RFC 6962, section 2.1.2."""
    if old == 0:
        return not proof
    rest = list(proof)

    def node(left: bytes, right: bytes) -> bytes:
        return hashlib.sha256(b"\1" + left + right).digest()

    def roots(m: int, n: int, whole: bool) -> tuple[bytes, bytes]:
        if m == n:
            same = old_root if whole else rest.pop()
            return same, same
        k = 1 << (n - 1).bit_length() - 1
        beside = rest.pop()
        if m <= k:
            first, then = roots(m, k, whole)
            return first, node(then, beside)
        first, then = roots(m - k, n - k, False)
        return node(beside, first), node(beside, then)

    try:
        found = roots(old, new, True)
    except IndexError:
        return False
    return not rest and found == (old_root, new_root)


@contextmanager
def serving(witness: Witness) -> Iterator[str]:
    """Let a witness answer over HTTP on this machine; yield its submission prefix."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            known = self.path == "/add-checkpoint"
            status, kind, text = witness.add_checkpoint(body) if known else (404, REFUSED, b"")
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text)))
            if status // 100 == 3:
                self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()

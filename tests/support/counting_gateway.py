"""A provider in a process of its own, over loopback HTTP: what it carried out, no kill takes back.

Run as a script, it prints its port and serves until its standard input ends. It writes one line for
each effect to the file that its argument names, and knows nothing but that file.
"""

import http.client
import json
import os
import sys
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Account:
    """What took place, one line an effect: the payment and the provider key it came with."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def effects(self, payment: str) -> list[str]:
        """Return the provider keys of a payment's effects, in order."""
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        return [key for of, key in map(str.split, lines) if of == payment]

    def carry_out(self, payment: str, key: str, *, deduplicate: bool) -> None:
        """Carry an effect out, unless its key is known and such keys are honoured."""
        with self._lock:
            if deduplicate and key in self.effects(payment):
                return
            with self._path.open("a") as file:
                file.write(f"{payment} {key}\n")
                file.flush()
                os.fsync(file.fileno())


def ask(port: int, method: str, body: dict[str, Any]) -> Any:
    """Send a request to a gateway, and return its answer."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request(method, "/effects", json.dumps(body))
        return json.loads(connection.getresponse().read())


def serve(account: Account) -> None:
    """Serve until standard input ends."""

    class Face(BaseHTTPRequestHandler):
        def _body(self) -> Any:
            return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

        def _answer(self, value: Any) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(value).encode())

        def do_POST(self) -> None:
            body = self._body()
            account.carry_out(body["payment"], body["key"], deduplicate=body["deduplicate"])
            self._answer("charged")

        def do_GET(self) -> None:
            self._answer(account.effects(self._body()["payment"]))

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Face) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdout.write(f"{server.server_port}\n")
        sys.stdout.flush()
        sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    serve(Account(Path(sys.argv[1])))

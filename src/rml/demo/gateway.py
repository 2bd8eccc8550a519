"""A payment gateway with fake money: it charges whatever it is asked, and it can lose its answers.

It ignores idempotency keys, as many gateways do, but writes the one it was sent beside the charge,
so that a reconciler can ask "did you see this key?". Run it with

    python -m rml.demo.gateway --books FILE

and it listens on a free port of 127.0.0.1, prints that port as its first line, and ends when its
standard input ends, so it never outlives its parent.

    POST /charges   {payment_id, customer_id, amount, currency, fault?}
                    201 the charge, 402 declined, 400 not understood
    GET  /charges   ?payment_id= ?idempotency_key=
                    200 {"charges": [...]}, all of them without a filter
    POST /refunds   {charge_id, amount, reason}
                    201 the refund, 404 no such charge, 400 more than is left
    GET  /refunds   200 {"refunds": [...]}
    POST /faults    {payment_id, decline?, refuse_before?, hang?, lose_answer?}
                    200; each is a number of requests to come
    GET  /held      ?payment_id=
                    200 once an answer for that payment is held, 408 if none is in time
    POST /release   {payment_id?}
                    200 {"released": n}; held answers for that payment, or all, are sent

The faults, in the order in which they strike a request to charge:

- `decline`: 402, nothing is charged;
- `refuse_before`: closed without a byte, nothing is charged (the caller cannot know);
- `hang`: charged, and the answer is held until it is released or the caller goes away;
- `lose_answer`: charged, and closed without a byte.

The books are a file of one JSON object per line, `{"kind": "charge" | "refund", ...}`, written
before the answer; started again on the same file the gateway goes on where it was. Only the
standard library is used.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import socket
import socketserver
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, TypeAlias
from urllib.parse import parse_qsl, urlsplit

HOST = "127.0.0.1"

FAULTS = ("decline", "refuse_before", "hang", "lose_answer")

CHARGE_FIELDS = ("payment_id", "customer_id", "amount", "currency")
REFUND_FIELDS = ("charge_id", "amount", "reason")

BODY_BYTES_MAX = 65_536
"""Longer requests are refused: nobody describes a charge in more."""

HOLD_SECONDS_MAX = 60.0
"""A held answer is dropped after this, so that a forgotten one ends too."""

HELD_SECONDS_MAX = 15.0
"""`GET /held` says no after this."""

POLL_SECONDS = 0.02
"""How late the server may notice that it is to stop."""

Json: TypeAlias = dict[str, Any]
"""A JSON object, as it came off the wire."""


class RefusedRequestError(Exception):
    """The gateway will not do what it was asked; nothing was charged or refunded."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        """Keep the status to answer with beside the reason."""
        super().__init__(status, reason)
        self.status = status
        self.reason = reason


class Books:
    """What was charged and refunded: in memory to be asked, in a file to outlive the process."""

    def __init__(self, path: Path) -> None:
        """Open the books kept in *path*, or begin them."""
        self._lock = threading.Lock()
        self._charges: list[Json] = []
        self._refunds: list[Json] = []
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                record = json.loads(line)
                (self._charges if record.pop("kind") == "charge" else self._refunds).append(record)
        self._file = path.open("a", encoding="utf-8")

    def charge(self, order: Json, idempotency_key: str | None) -> Json:
        """Charge, whether or not the same was charged before."""
        with self._lock:
            charge = {
                "charge_id": f"ch-{len(self._charges) + 1:04}",
                **{name: order[name] for name in CHARGE_FIELDS},
                "idempotency_key": idempotency_key,
            }
            self._write("charge", charge)
            self._charges.append(charge)
            return charge

    def refund(self, order: Json, idempotency_key: str | None) -> Json:
        """Give back at most what a charge took."""
        with self._lock:
            charge_id, amount = order["charge_id"], order["amount"]
            taken = [c["amount"] for c in self._charges if c["charge_id"] == charge_id]
            if not taken:
                reason = f"There is no charge {charge_id!r}."
                raise RefusedRequestError(HTTPStatus.NOT_FOUND, reason)
            left = taken[0] - sum(r["amount"] for r in self._refunds if r["charge_id"] == charge_id)
            if amount > left:
                reason = f"Charge {charge_id!r} has {left} left to refund, {amount} was asked."
                raise RefusedRequestError(HTTPStatus.BAD_REQUEST, reason)
            refund = {
                "refund_id": f"re-{len(self._refunds) + 1:04}",
                **{name: order[name] for name in REFUND_FIELDS},
                "idempotency_key": idempotency_key,
            }
            self._write("refund", refund)
            self._refunds.append(refund)
            return refund

    def charges(self, wanted: dict[str, str]) -> list[Json]:
        """Return the charges whose fields have the wanted values, in the order they were made."""
        with self._lock:
            return [c for c in self._charges if wanted.items() <= c.items()]

    def refunds(self) -> list[Json]:
        """Return all refunds, in the order they were made."""
        with self._lock:
            return list(self._refunds)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, kind: str, record: Json) -> None:
        self._file.write(json.dumps({"kind": kind, **record}) + "\n")
        self._file.flush()  # the gateway may be killed after this, the line stays


class Faults:
    """What is to go wrong: how many requests to come each fault strikes, payment by payment."""

    def __init__(self) -> None:
        """Begin with nothing going wrong."""
        self._lock = threading.Lock()
        self._left: dict[tuple[str, str], int] = {}

    def arm(self, payment_id: str, counts: dict[str, int]) -> None:
        """Let each fault in *counts* strike that many of the next requests for this payment."""
        with self._lock:
            for fault, count in counts.items():
                self._left[payment_id, fault] = count

    def strikes(self, payment_id: str, fault: str) -> bool:
        """Say whether *fault* strikes this request, and count it."""
        with self._lock:
            left = self._left.get((payment_id, fault), 0)
            self._left[payment_id, fault] = max(0, left - 1)
            return left > 0


class HeldAnswers:
    """The answers that are being held back, and who waits for one to be."""

    def __init__(self) -> None:
        """Begin with none held."""
        self._changed = threading.Condition()
        self._wakers: dict[str, list[socket.socket]] = {}

    def hold(self, payment_id: str, caller: socket.socket) -> bool:
        """Wait; True: released, False: the caller is gone or the time is over."""
        waker, woken = socket.socketpair()
        with waker, woken:
            with self._changed:
                self._wakers.setdefault(payment_id, []).append(waker)
                self._changed.notify_all()
            # No polling: a release makes `woken` readable, a caller that dies its own connection.
            ready, _, _ = select.select([woken, caller], [], [], HOLD_SECONDS_MAX)
            with self._changed:
                with contextlib.suppress(ValueError):  # released in this very moment
                    self._wakers[payment_id].remove(waker)
                return woken in ready

    def wait_for(self, payment_id: str) -> bool:
        """Wait until an answer for the payment is held; False if none is in time."""
        with self._changed:
            return self._changed.wait_for(
                lambda: bool(self._wakers.get(payment_id)), HELD_SECONDS_MAX
            )

    def release(self, payment_id: str | None) -> int:
        """Let the held answers for one payment, or for all, go; return how many."""
        with self._changed:
            names = list(self._wakers) if payment_id is None else [payment_id]
            wakers = [waker for name in names for waker in self._wakers.pop(name, [])]
            for name in names:
                self._wakers[name] = []
            for waker in wakers:
                waker.send(b"!")
            return len(wakers)


class GatewayServer(ThreadingHTTPServer):
    """The gateway itself: one thread for each request, the books shared."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, books: Path, *, port: int = 0) -> None:
        """Listen on *port* of the loopback interface; 0 takes a free one."""
        self.books: Books = Books(books)
        self.faults: Faults = Faults()
        self.held: HeldAnswers = HeldAnswers()
        super().__init__((HOST, port), _Request)

    def server_bind(self) -> None:
        """Bind without asking a name server who we are, as the inherited method does."""
        socketserver.TCPServer.server_bind(self)
        host, port = self.server_address[:2]
        vars(self).update(server_name=host, server_port=port)

    def server_close(self) -> None:
        """Stop listening and close the books."""
        super().server_close()
        self.books.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing about callers that went away: they are expected to."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Request(BaseHTTPRequestHandler):
    """One request. HTTP/1.0: the connection ends with the answer, or without one."""

    server: GatewayServer
    timeout = 30.0  # of a caller that connects and says nothing

    def do_GET(self) -> None:
        """Answer a question."""
        self._dispatch()

    def do_POST(self) -> None:
        """Carry out an order."""
        self._dispatch()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name is inherited)
        """Log nothing: the books are the log."""

    def _dispatch(self) -> None:
        where = urlsplit(self.path)
        try:
            order = self._order() if self.command == "POST" else dict(parse_qsl(where.query))
            route = self._routes.get((self.command, where.path))
            if route is None:
                reason = f"There is no {self.command} {where.path!r} here."
                raise RefusedRequestError(HTTPStatus.NOT_FOUND, reason)
            getattr(self, route)(order)
        except RefusedRequestError as refused:
            self._answer(refused.status, {"error": refused.reason})

    def _charge(self, order: Json) -> None:
        _check(order, "payment_id", "customer_id", "currency", amount=True)
        payment_id, faults = order["payment_id"], self.server.faults
        if "fault" in order:
            if order["fault"] not in FAULTS:
                raise RefusedRequestError(
                    HTTPStatus.BAD_REQUEST, f"There is no fault {order['fault']!r}."
                )
            faults.arm(payment_id, {order["fault"]: 1})
        if faults.strikes(payment_id, "decline"):
            raise RefusedRequestError(HTTPStatus.PAYMENT_REQUIRED, "The card was declined.")
        if faults.strikes(payment_id, "refuse_before"):
            return
        charge = self.server.books.charge(order, self.headers.get("Idempotency-Key"))
        hangs, is_lost = (
            faults.strikes(payment_id, "hang"),
            faults.strikes(payment_id, "lose_answer"),
        )
        if hangs and not self.server.held.hold(payment_id, self.connection):
            return
        if not is_lost:
            self._answer(HTTPStatus.CREATED, charge)

    def _refund(self, order: Json) -> None:
        _check(order, "charge_id", "reason", amount=True)
        refund = self.server.books.refund(order, self.headers.get("Idempotency-Key"))
        self._answer(HTTPStatus.CREATED, refund)

    def _arm(self, order: Json) -> None:
        _check(order, "payment_id")
        counts = {name: count for name, count in order.items() if name != "payment_id"}
        for name, count in counts.items():
            if name not in FAULTS or type(count) is not int or count < 0:
                reason = (
                    f"{name!r}: {count!r} is no fault and count; faults are {', '.join(FAULTS)}."
                )
                raise RefusedRequestError(HTTPStatus.BAD_REQUEST, reason)
        self.server.faults.arm(order["payment_id"], counts)
        self._answer(HTTPStatus.OK, order)

    def _release(self, order: Json) -> None:
        self._answer(HTTPStatus.OK, {"released": self.server.held.release(order.get("payment_id"))})

    def _charges(self, query: Json) -> None:
        unknown = sorted(query.keys() - {"payment_id", "idempotency_key"})
        if unknown:  # answering with all charges would be a wrong answer
            raise RefusedRequestError(HTTPStatus.BAD_REQUEST, f"There is no filter {unknown[0]!r}.")
        self._answer(HTTPStatus.OK, {"charges": self.server.books.charges(query)})

    def _refunds(self, _query: Json) -> None:
        self._answer(HTTPStatus.OK, {"refunds": self.server.books.refunds()})

    def _held(self, query: Json) -> None:
        _check(query, "payment_id")
        is_held = self.server.held.wait_for(query["payment_id"])
        self._answer(HTTPStatus.OK if is_held else HTTPStatus.REQUEST_TIMEOUT, {"held": is_held})

    _routes: ClassVar[dict[tuple[str, str], str]] = {
        ("GET", "/charges"): "_charges",
        ("GET", "/refunds"): "_refunds",
        ("GET", "/held"): "_held",
        ("POST", "/charges"): "_charge",
        ("POST", "/refunds"): "_refund",
        ("POST", "/faults"): "_arm",
        ("POST", "/release"): "_release",
    }

    def _order(self) -> Json:
        try:
            length = int(self.headers.get("Content-Length", "0"))
        except ValueError:
            length = -1
        if not 0 <= length <= BODY_BYTES_MAX:
            reason = f"The request is to have 0 to {BODY_BYTES_MAX} bytes and to say how many."
            raise RefusedRequestError(HTTPStatus.BAD_REQUEST, reason)
        try:
            order = json.loads(self.rfile.read(length) or b"{}")
        except ValueError:
            order = None
        if not isinstance(order, dict):
            raise RefusedRequestError(HTTPStatus.BAD_REQUEST, "The request is to be a JSON object.")
        return order

    def _answer(self, status: HTTPStatus, body: Json) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _check(order: Json, *texts: str, amount: bool = False) -> None:
    """Refuse an order that lacks one of *texts*, or whose amount is no whole number above 0."""
    for name in texts:
        if not isinstance(order.get(name), str) or not order[name]:
            reason = f"{name!r} is to be a text, not {order.get(name)!r}."
            raise RefusedRequestError(HTTPStatus.BAD_REQUEST, reason)
    if amount and (type(order.get("amount")) is not int or order["amount"] <= 0):
        reason = f"'amount' is to be a whole number of cents above 0, not {order.get('amount')!r}."
        raise RefusedRequestError(HTTPStatus.BAD_REQUEST, reason)


def main(arguments: list[str] | None = None) -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(
        prog="python -m rml.demo.gateway", description="A payment gateway with fake money."
    )
    parser.add_argument("--books", type=Path, required=True, help="write charges and refunds here")
    parser.add_argument("--port", type=int, default=0, help="of 127.0.0.1; 0 takes a free one")
    options = parser.parse_args(arguments)
    try:
        server = GatewayServer(options.books, port=options.port)
    except OSError as error:
        parser.error(f"Cannot keep books in {str(options.books)!r} on port {options.port}: {error}")
    with server:
        threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), daemon=True).start()
        # Unbuffered: a parent that was interrupted reads no port and is to hear no complaint.
        with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
            os.write(sys.stdout.fileno(), f"{server.server_port}\n".encode())  # callers may come
            sys.stdin.buffer.read()
        server.shutdown()


if __name__ == "__main__":
    main()

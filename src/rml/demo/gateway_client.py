"""Start the fake-money gateway and talk to it.

    with running_gateway(Path("books.jsonl")) as gateway:
        charge = gateway.charge("pay-001", "cus-001", 1200, "EUR", idempotency_key="...")

What the network does shows as the standard library's own exceptions, because that is what a
handler meets in real life: `http.client.RemoteDisconnected` (the answer was lost, or the request
was), `TimeoutError`, `ConnectionRefusedError`. Only two things are certain enough to be errors of
ours: a declined card and a request the gateway did not accept.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, ClassVar, TypedDict
from urllib.parse import urlencode, urlsplit

from rml.error import ClosedError, DialogError

TIMEOUT_SECONDS = 5.0
"""How long a caller waits for an answer when it does not say otherwise."""

HELD_TIMEOUT_SECONDS = 20.0
"""Longer than the gateway itself waits for an answer to be held."""

STOP_SECONDS_MAX = 5.0
"""How long a gateway that was asked to stop may take before it is killed."""


class ChargeRecord(TypedDict):
    """A charge as the gateway's books have it."""

    charge_id: str
    payment_id: str
    customer_id: str
    amount: int
    currency: str
    idempotency_key: str | None


class RefundRecord(TypedDict):
    """A refund as the gateway's books have it."""

    refund_id: str
    charge_id: str
    amount: int
    reason: str
    idempotency_key: str | None


class GatewayDeclinedError(DialogError):
    """The card was declined; nothing was charged."""

    code = "PAYMENT_GATEWAY_DECLINED"
    happened: ClassVar[bool | None] = False


class GatewayRejectedError(ClosedError):
    """The gateway did not accept the request; nothing was charged or refunded."""

    code = "PAYMENT_GATEWAY_REJECTED"
    happened: ClassVar[bool | None] = False


class Gateway:
    """A caller of the gateway at one address; it keeps no connection, so threads may share it."""

    def __init__(self, address: str, *, timeout: float = TIMEOUT_SECONDS) -> None:
        """Call the gateway at *address*, such as `http://127.0.0.1:8000`."""
        self.address = address
        self.timeout = timeout

    def __repr__(self) -> str:
        """Return the call that makes an equal one."""
        return f"Gateway({self.address!r}, timeout={self.timeout!r})"

    def charge(
        self,
        payment_id: str,
        customer_id: str,
        amount: int,
        currency: str,
        *,
        idempotency_key: str | None = None,
        fault: str | None = None,
    ) -> ChargeRecord:
        """Charge a customer, once more for each call; *fault* is what goes wrong with this one."""
        order = {
            "payment_id": payment_id,
            "customer_id": customer_id,
            "amount": amount,
            "currency": currency,
        }
        if fault is not None:
            order["fault"] = fault
        charge: ChargeRecord = self._post("/charges", order, idempotency_key)
        return charge

    def refund(
        self, charge_id: str, amount: int, reason: str, *, idempotency_key: str | None = None
    ) -> RefundRecord:
        """Give back some or all of a charge."""
        order = {"charge_id": charge_id, "amount": amount, "reason": reason}
        refund: RefundRecord = self._post("/refunds", order, idempotency_key)
        return refund

    def charges(
        self, *, payment_id: str | None = None, idempotency_key: str | None = None
    ) -> list[ChargeRecord]:
        """Return what was charged, in order: all, for one payment, or under one idempotency key."""
        wanted = {"payment_id": payment_id, "idempotency_key": idempotency_key}
        query = urlencode({name: value for name, value in wanted.items() if value is not None})
        charges: list[ChargeRecord] = self._get(f"/charges?{query}")["charges"]
        return charges

    def refunds(self) -> list[RefundRecord]:
        """Return what was refunded, in order."""
        refunds: list[RefundRecord] = self._get("/refunds")["refunds"]
        return refunds

    def arm(
        self,
        payment_id: str,
        *,
        lose_answer: int | None = None,
        decline: int | None = None,
        refuse_before: int | None = None,
        hang: int | None = None,
    ) -> None:
        """Let each named fault strike that many of the next requests to charge for this payment."""
        counts = {
            "lose_answer": lose_answer,
            "decline": decline,
            "refuse_before": refuse_before,
            "hang": hang,
        }
        self._post(
            "/faults",
            {"payment_id": payment_id, **{n: c for n, c in counts.items() if c is not None}},
        )

    def wait_until_held(self, payment_id: str) -> None:
        """Wait until the payment is charged and its answer held back, as the fault `hang` does.

        Raises:
            TimeoutError: no answer for this payment was held in time.
        """
        status, _ = self._ask(
            "GET", f"/held?{urlencode({'payment_id': payment_id})}", timeout=HELD_TIMEOUT_SECONDS
        )
        if status != HTTPStatus.OK:
            raise TimeoutError(
                f"No answer for payment {payment_id!r} is held; arm 'hang' before charging."
            )

    def release(self, payment_id: str | None = None) -> int:
        """Send the held answers for one payment, or for all; return how many."""
        order = {} if payment_id is None else {"payment_id": payment_id}
        released: int = self._post("/release", order)["released"]
        return released

    def _post(self, path: str, order: dict[str, Any], idempotency_key: str | None = None) -> Any:
        headers = {"Content-Type": "application/json"}
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        return _accepted(*self._ask("POST", path, body=json.dumps(order), headers=headers))

    def _get(self, path: str) -> Any:
        return _accepted(*self._ask("GET", path))

    def _ask(
        self,
        method: str,
        path: str,
        *,
        body: str | None = None,
        headers: dict[str, str] | None = None,
        timeout: float | None = None,
    ) -> tuple[int, Any]:
        where = urlsplit(self.address)
        connection = HTTPConnection(
            where.hostname or "", where.port, timeout=timeout or self.timeout
        )
        with contextlib.closing(connection):
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            return response.status, json.loads(response.read())


@contextlib.contextmanager
def running_gateway(books: Path) -> Iterator[Gateway]:
    """Run the gateway in a process of its own until the block ends; its books are the file *books*.

    It is stopped however the block ends, and stops by itself when this process is killed.
    """
    # By its path and with -P: the child needs nothing but the standard library, so it starts
    # quickly and works no matter how this package came to be importable here. A session of its
    # own: Ctrl-C is for us, and we stop the child.
    command = [
        sys.executable,
        "-P",
        str(Path(__file__).with_name("gateway.py")),
        "--books",
        str(books),
    ]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            yield Gateway(f"http://127.0.0.1:{_port_of(process)}")
        finally:
            _stop(process)


def _port_of(process: subprocess.Popen[bytes]) -> int:
    """Read the line that says the gateway is ready; a child that fails ends the wait too."""
    assert process.stdout is not None  # we asked for a pipe
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(
            f"The gateway ended with status {process.wait()} at its start; its error is above."
        )
    return int(line)


def _stop(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None  # we asked for a pipe
    process.stdin.close()
    try:
        process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()


def _accepted(status: int, body: Any) -> Any:
    if status in {HTTPStatus.OK, HTTPStatus.CREATED}:
        return body
    if status == HTTPStatus.PAYMENT_REQUIRED:
        raise GatewayDeclinedError(body["error"])
    if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
        raise GatewayRejectedError(body["error"])
    raise HTTPException(f"The gateway answered with status {status}: {body!r}.")

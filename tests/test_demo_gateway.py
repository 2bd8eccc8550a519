"""The fake-money gateway: it charges what it is asked, and goes wrong exactly as it is told."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException, RemoteDisconnected
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from rml.demo import gateway as gateway_server
from rml.demo import gateway_client
from rml.demo.gateway_client import (
    Gateway,
    GatewayDeclinedError,
    GatewayRejectedError,
    running_gateway,
)

SRC = Path(gateway_client.__file__).parents[2]

CHARGE = "import sys; from rml.demo.gateway_client import Gateway; Gateway(sys.argv[1]).charge"


@pytest.fixture
def books(tmp_path: Path) -> Path:
    """Name a file for the books."""
    return tmp_path / "books.jsonl"


@pytest.fixture
def gateway(books: Path) -> Iterator[Gateway]:
    """Run a gateway in a process of its own."""
    with running_gateway(books) as gateway:
        yield gateway


def python(code: str, *arguments: str) -> list[str]:
    """Return the command of an interpreter that finds the package where we found it."""
    found = f"import sys; sys.path.insert(0, {str(SRC)!r}); {code}"
    return [sys.executable, "-c", found, *arguments]


def post(gateway: Gateway, path: str, body: bytes, **headers: str) -> tuple[int, dict[str, str]]:
    """Send what the client would not send."""
    connection = HTTPConnection(urlsplit(gateway.address).netloc, timeout=60)
    connection.request("POST", path, body=body, headers=headers)
    with connection.getresponse() as response:
        return response.status, json.loads(response.read())


def test_the_same_key_twice_is_charged_twice(gateway: Gateway) -> None:
    """It ignores idempotency keys but can be asked for them."""
    first = gateway.charge("pay-1", "cus-1", 100, "EUR", idempotency_key="k")
    second = gateway.charge("pay-1", "cus-1", 100, "EUR", idempotency_key="k")
    other = gateway.charge("pay-2", "cus-1", 100, "EUR")

    assert first == {
        "charge_id": "ch-0001",
        "payment_id": "pay-1",
        "customer_id": "cus-1",
        "amount": 100,
        "currency": "EUR",
        "idempotency_key": "k",
    }
    assert [first, second, other] == gateway.charges()
    assert [first, second] == gateway.charges(idempotency_key="k")
    assert [other] == gateway.charges(payment_id="pay-2")
    assert [] == gateway.charges(payment_id="pay-2", idempotency_key="k")


def test_a_lost_answer_is_a_charge(gateway: Gateway) -> None:
    """The connection ends without a byte after the charge, as often as armed."""
    gateway.arm("pay-1", lose_answer=1)
    gateway.charge("pay-2", "cus-1", 100, "EUR")

    with pytest.raises(RemoteDisconnected):
        gateway.charge("pay-1", "cus-1", 100, "EUR")
    assert 1 == len(gateway.charges(payment_id="pay-1"))

    gateway.charge("pay-1", "cus-1", 100, "EUR")
    assert 2 == len(gateway.charges(payment_id="pay-1"))


def test_a_lost_request_looks_like_a_lost_answer(gateway: Gateway) -> None:
    """The caller gets the same exception, but nothing was charged."""
    gateway.arm("pay-1", refuse_before=1)

    with pytest.raises(RemoteDisconnected):
        gateway.charge("pay-1", "cus-1", 100, "EUR")
    assert [] == gateway.charges()


def test_a_declined_card_certainly_did_not_happen(gateway: Gateway) -> None:
    """A decline says so itself, and charges nothing."""
    gateway.arm("pay-1", decline=1)

    with pytest.raises(GatewayDeclinedError) as declined:
        gateway.charge("pay-1", "cus-1", 100, "EUR")
    assert declined.value.happened is False
    assert [] == gateway.charges()

    assert "ch-0001" == gateway.charge("pay-1", "cus-1", 100, "EUR")["charge_id"]


def test_a_request_can_bring_its_fault(gateway: Gateway) -> None:
    """The fault strikes that request alone."""
    with pytest.raises(RemoteDisconnected):
        gateway.charge("pay-1", "cus-1", 100, "EUR", fault="lose_answer")
    gateway.charge("pay-1", "cus-1", 100, "EUR")
    assert 2 == len(gateway.charges())


def test_a_worker_killed_between_charge_and_answer(gateway: Gateway, books: Path) -> None:
    """The charge stands in the books although nobody lives who asked for it."""
    gateway.arm("pay-1", hang=1)
    code = f"{CHARGE}('pay-1', 'cus-1', 100, 'EUR')"
    with subprocess.Popen(python(code, gateway.address)) as worker:
        gateway.wait_until_held("pay-1")
        worker.kill()
    assert -signal.SIGKILL == worker.returncode

    (charge,) = gateway.charges(payment_id="pay-1")
    assert {"kind": "charge", **charge} == json.loads(books.read_text())


def test_a_held_answer_is_released(gateway: Gateway) -> None:
    """The caller gets the answer late."""
    gateway.arm("pay-1", hang=1)
    with ThreadPoolExecutor() as pool:
        late = pool.submit(gateway.charge, "pay-1", "cus-1", 100, "EUR")
        gateway.wait_until_held("pay-1")
        assert 1 == gateway.release()
        assert "ch-0001" == late.result()["charge_id"]
    assert 0 == gateway.release("pay-1")


def test_a_caller_that_does_not_wait(gateway: Gateway) -> None:
    """A time-out tells nothing about the charge."""
    impatient = Gateway(gateway.address, timeout=0.05)
    with pytest.raises(TimeoutError):
        impatient.charge("pay-1", "cus-1", 100, "EUR", fault="hang")
    while not gateway.charges():  # it was sent, and is read in the end
        pass
    gateway.charge("pay-2", "cus-1", 100, "EUR")
    assert ["pay-1", "pay-2"] == [charge["payment_id"] for charge in gateway.charges()]


def test_refunds(gateway: Gateway) -> None:
    """A charge is refunded at most once, in one part or in several."""
    gateway.charge("pay-1", "cus-1", 100, "EUR")
    first = gateway.refund("ch-0001", 60, "duplicate", idempotency_key="k")
    second = gateway.refund("ch-0001", 40, "duplicate")
    assert [first, second] == gateway.refunds()
    assert "k" == first["idempotency_key"]

    with pytest.raises(GatewayRejectedError, match="'ch-0001' has 0 left to refund, 1 was asked"):
        gateway.refund("ch-0001", 1, "duplicate")
    with pytest.raises(GatewayRejectedError, match="no charge 'ch-9'"):
        gateway.refund("ch-9", 1, "duplicate")


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/charges", b"", 400, "'payment_id' is to be a text, not None"),
        ("/charges", b"[]", 400, "a JSON object"),
        ("/charges", b"{", 400, "a JSON object"),
        ("/charges", b"\xff", 400, "a JSON object"),
        (
            "/charges",
            b'{"payment_id": "p", "customer_id": "c", "currency": "EUR", "amount": true}',
            400,
            "not True",
        ),
        (
            "/charges",
            b'{"payment_id": "p", "customer_id": "c", "currency": "EUR", "amount": 1, "fault": 1}',
            400,
            "no fault 1",
        ),
        ("/faults", b'{"payment_id": "p", "lose_answers": 1}', 400, "'lose_answers': 1"),
        ("/faults", b'{"payment_id": "p", "hang": -1}', 400, "'hang': -1"),
        ("/payments", b"{}", 404, "no POST '/payments' here"),
    ],
)
def test_what_it_does_not_understand(
    gateway: Gateway, path: str, body: bytes, status: int, said: str
) -> None:
    """A malformed order is refused in one sentence, and nothing is charged."""
    answered, answer = post(gateway, path, body)
    assert status == answered
    assert said in answer["error"]
    assert [] == gateway.charges()


@pytest.mark.parametrize("length", ["65537", "-1", "many"])
def test_an_order_of_no_acceptable_length(gateway: Gateway, length: str) -> None:
    """The length is refused before a byte of the order is read."""
    status, answer = post(gateway, "/charges", b"", **{"Content-Length": length})
    assert 400 == status
    assert "0 to 65536 bytes" in answer["error"]


def test_a_question_it_does_not_understand(gateway: Gateway) -> None:
    """An unknown filter is refused: all charges would be a wrong answer."""
    connection = HTTPConnection(urlsplit(gateway.address).netloc, timeout=60)
    connection.request("GET", "/charges?payment=pay-1")
    with connection.getresponse() as response:
        assert 400 == response.status
        assert "no filter 'payment'" in json.loads(response.read())["error"]


def test_charges_at_the_same_time(gateway: Gateway, books: Path) -> None:
    """Every charge has an id and a line of its own."""
    barrier = threading.Barrier(8)

    def charge(number: int) -> str:
        barrier.wait(60)
        return gateway.charge(f"pay-{number}", "cus-1", 100, "EUR")["charge_id"]

    with ThreadPoolExecutor(8) as pool:
        ids = sorted(pool.map(charge, range(8)))
    assert [f"ch-{number:04}" for number in range(1, 9)] == ids
    assert ids == [json.loads(line)["charge_id"] for line in books.read_text().splitlines()]


def test_the_books_outlive_the_gateway(books: Path) -> None:
    """Started again on the same file it goes on; in between nobody listens."""
    with running_gateway(books) as gateway:
        gateway.charge("pay-1", "cus-1", 100, "EUR")
        gateway.refund("ch-0001", 100, "duplicate")
    with pytest.raises(ConnectionRefusedError):
        gateway.charges()

    with running_gateway(books) as again:
        assert 1 == len(again.charges())
        assert 1 == len(again.refunds())
        assert "ch-0002" == again.charge("pay-2", "cus-1", 100, "EUR")["charge_id"]


def test_it_stops_when_the_block_is_interrupted(books: Path) -> None:
    """Ctrl-C leaves no gateway behind, not even one that holds an answer."""
    addresses = []

    def interrupted() -> None:
        with running_gateway(books) as gateway:
            addresses.append(gateway.address)
            with pytest.raises(TimeoutError):
                Gateway(gateway.address, timeout=0.05).charge("p", "c", 1, "EUR", fault="hang")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with pytest.raises(ConnectionRefusedError):
        Gateway(*addresses).charges()


def test_it_ends_with_its_parent(books: Path) -> None:
    """A parent killed with signal 9 leaves no gateway behind."""
    code = (
        "from pathlib import Path; from rml.demo.gateway_client import running_gateway as run\n"
        "with run(Path(sys.argv[1])) as gateway: print(gateway.address, flush=True); input()"
    )
    with subprocess.Popen(
        python(code, str(books)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as parent:
        assert parent.stdout is not None
        assert parent.stderr is not None
        address = parent.stdout.readline().decode().strip()
        assert [] == Gateway(address).charges()
        parent.kill()
        parent.stderr.read()  # ends when the last process that holds this pipe is ending
    with pytest.raises(ConnectionError):  # refused, or cut: it may be about to close its port
        Gateway(address).charges()


def test_it_says_why_it_cannot_start(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Books that cannot be kept are an error at once, in one line."""
    missing = tmp_path / "missing" / "books.jsonl"
    with pytest.raises(RuntimeError, match="status 2"), running_gateway(missing):
        pytest.fail("It started.")
    assert f"Cannot keep books in {str(missing)!r}" in capfd.readouterr().err


def test_it_runs_as_a_module(books: Path) -> None:
    """The first line is the port, and the end of standard input is the end."""
    code = f"import runpy; sys.argv[1:] = ['--books', {str(books)!r}]; "
    code += "runpy.run_module('rml.demo.gateway', run_name='__main__')"
    port = subprocess.run(python(code), input=b"", stdout=subprocess.PIPE, check=True).stdout
    assert 0 < int(port)


def test_a_parent_that_went_away_hears_no_complaint(books: Path) -> None:
    """Nobody reads the port, because Ctrl-C came first: the gateway ends and says nothing."""
    code = f"import runpy; sys.argv[1:] = ['--books', {str(books)!r}]; "
    code += "runpy.run_module('rml.demo.gateway', run_name='__main__')"
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "wb") as nobody:
        done = subprocess.run(
            python(code), input=b"", stdout=nobody, stderr=subprocess.PIPE, check=False
        )
    assert (0, b"") == (done.returncode, done.stderr)


@pytest.fixture
def impatient(books: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    """Run a gateway on a thread of ours whose waits are over at once."""
    monkeypatch.setattr(gateway_server, "HELD_SECONDS_MAX", 0.0)
    monkeypatch.setattr(gateway_server, "HOLD_SECONDS_MAX", 0.0)
    with gateway_server.GatewayServer(books) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield Gateway(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()


def test_nothing_waits_for_ever(impatient: Gateway) -> None:
    """Neither a held answer nor who waits for one outlasts its limit."""
    with pytest.raises(TimeoutError, match="No answer for payment 'pay-1' is held"):
        impatient.wait_until_held("pay-1")
    with pytest.raises(RemoteDisconnected):
        impatient.charge("pay-1", "cus-1", 100, "EUR", fault="hang")
    assert 1 == len(impatient.charges())


def test_a_gateway_that_does_not_stop_is_killed(
    books: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of the block is the end of the process, willing or not."""
    monkeypatch.setattr(gateway_client, "STOP_SECONDS_MAX", 0.0)
    with running_gateway(books) as gateway:
        pass
    with pytest.raises(ConnectionRefusedError):
        gateway.charges()
    assert f"Gateway({gateway.address!r}, timeout=5.0)" == repr(gateway)


def test_an_answer_nobody_expects_decides_nothing() -> None:
    """A broken gateway leaves the caller in doubt, with an exception of the standard library."""
    with pytest.raises(HTTPException, match="status 503"):
        gateway_client._accepted(503, {})

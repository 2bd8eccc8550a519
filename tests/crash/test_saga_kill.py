"""A process killed with signal 9 in the middle of a saga, and another one that goes on.

Both are real processes, and so is the way to the other side: HTTP to a server that honours
idempotency keys and counts what it does.
"""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import rml

# What both processes run: the first stops at a place and waits to be killed, the other goes on.
PROGRAM = """
import http.client
import json
import sys
from datetime import UTC, datetime, timedelta

import rml

ledger_path, port, task, where = sys.argv[1:]
later = 61 if task == "resume" else 0
clock = rml.FrozenClock(datetime.now(UTC) + timedelta(seconds=later))
ledger = rml.Ledger(ledger_path, clock=clock)
rml.configure(ledger=ledger)

def stop_here(name):
    if name == where:
        print(name, flush=True)
        sys.stdin.read()

def send(method, path):
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=30)
    connection.request(method, path)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body

def perform(operation):
    stop_here(f"before {operation}")
    status, body = send("POST", f"/{operation}/{rml.current_effect().provider_key}")
    assert status == 200
    stop_here(f"after {operation}")
    return body

def ask(effect):
    status, body = send("GET", f"/{effect.operation}/{effect.provider_key}")
    if status == 200:
        return rml.Finding(True, body, "in its books")
    return rml.Finding(False, evidence="not in its books, and no request is on its way")

def step(name):
    @rml.idempotent(name, key="trip_id", reconcile=ask)
    def handler(trip_id: str) -> str:
        return perform(name)
    return handler

def undo(name):
    @rml.compensator(name, reconcile=ask, timeout=3600)
    def handler(effect: rml.Effect) -> str:
        return perform(name)
    return handler

flight, hotel, card = step("flight.book"), step("hotel.book"), step("card.charge")

class Full(rml.DialogError):
    "There is no room left."
    action = rml.Action.START_COMPENSATION
    happened = False

@rml.saga("trip.book", key="trip_id", steps={
    flight: undo("flight.cancel"), hotel: undo("hotel.cancel"), card: undo("card.back"),
})
def book(trip_id: str, full: bool) -> str:
    values = [flight(trip_id), hotel(trip_id), card(trip_id)]
    stop_here("in the body")
    if full:
        raise Full
    return ", ".join(values)

if task == "resume":
    rml.reconcile()
    for saga in rml.resume_sagas():
        print(saga, flush=True)
else:
    try:
        book("t-1", task == "fail")
    except Full:
        pass
ledger.close()
print("ended", flush=True)
"""


class Books(ThreadingHTTPServer):
    """The other side: what it did, by operation and key, each once."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.lock = threading.Lock()
        self.done: list[str] = []

    @property
    def counts(self) -> dict[str, int]:
        """How often each operation was done, over all keys."""
        operations = [path.split("/")[1] for path in self.done]
        return {name: operations.count(name) for name in operations}


class Answer(BaseHTTPRequestHandler):
    """One request."""

    server: Books

    def do_POST(self) -> None:
        """Do a thing once for a key."""
        with self.server.lock:
            if self.path not in self.server.done:
                self.server.done.append(self.path)
        self.answer(200)

    def do_GET(self) -> None:
        """Say whether it was done."""
        self.answer(200 if self.path in self.server.done else 404)

    def answer(self, status: int) -> None:
        """Send the path back, as what was made."""
        body = json.dumps(self.path).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Keep quiet."""


@pytest.fixture
def books() -> Iterator[Books]:
    """Run the other side."""
    server = Books()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def start(folder: Path, books: Books, task: str, where: str = "") -> "subprocess.Popen[str]":
    """Start a process."""
    port = str(books.server_address[1])
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder / "ledger.db"), port, task, where],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: "subprocess.Popen[str]") -> list[str]:
    """Wait for a process, and return the lines that it printed."""
    out, err = process.communicate(timeout=60)
    assert 0 == process.returncode, err
    return out.splitlines()


def kill(folder: Path, books: Books, task: str, where: str) -> None:
    """Start a process, and kill it where it stops."""
    process = start(folder, books, task, where)
    assert process.stdout is not None
    line = process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert f"{where}\n" == line, err
    assert -signal.SIGKILL == process.returncode


FORWARDS = {"flight.book": 1, "hotel.book": 1, "card.charge": 1}
BACKWARDS = {"card.back": 1, "hotel.cancel": 1, "flight.cancel": 1}


@pytest.mark.parametrize(
    "where",
    [
        "after flight.book",
        "after hotel.book",
        "before card.charge",
        "after card.charge",
        "in the body",
    ],
)
def test_killed_on_the_way_there_another_process_completes_it(
    tmp_path: Path, books: Books, where: str
) -> None:
    """Each step once, whichever process did it."""
    kill(tmp_path, books, "succeed", where)

    lines = end(start(tmp_path, books, "resume"))

    assert ["trip.book 't-1': done", "ended"] == lines
    assert FORWARDS == books.counts


@pytest.mark.parametrize(
    "where",
    [
        "after card.back",
        "before hotel.cancel",
        "after hotel.cancel",
        "after flight.cancel",
    ],
)
def test_killed_on_the_way_back_another_process_undoes_the_rest(
    tmp_path: Path, books: Books, where: str
) -> None:
    """Each step once and each undoing once, newest first; the ledger tells all of it."""
    kill(tmp_path, books, "fail", where)

    lines = end(start(tmp_path, books, "resume"))

    assert ["trip.book 't-1': compensated", "ended"] == lines
    assert FORWARDS | BACKWARDS == books.counts
    with rml.Ledger(tmp_path / "ledger.db", create=False) as ledger:
        undone = [e.operation for e in ledger.entries() if e.corrects and e.kind != "effect.intent"]
        assert set(BACKWARDS) == set(undone)
        assert () == ledger.verify().problems


def test_two_that_go_on_at_once_undo_each_step_once(tmp_path: Path, books: Books) -> None:
    """One of them holds the saga's lease, or both take turns; nothing is done twice."""
    kill(tmp_path, books, "fail", "in the body")
    both = [start(tmp_path, books, "resume") for _ in range(2)]

    for process in both:
        assert "ended" == end(process)[-1]

    end(start(tmp_path, books, "resume"))
    # The body is run again with its arguments, asks for compensation again, and is undone.
    assert FORWARDS | BACKWARDS == books.counts

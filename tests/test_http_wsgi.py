"""The WSGI middleware alone: PEP 3333 to the letter, and a real server that is killed."""

import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from http_faces import CHARGE, Reply, collect, environ_of
from protected import the_effect

import rml
from rml.integrations.http_exchange import RESPONSE_BYTES_MAX, UnknownEndError
from rml.integrations.idempotency_key import IdempotencyKeys
from rml.integrations.wsgi import IdempotencyKeyMiddleware

LINES = [("idempotency-key", "k-1"), ("content-type", "application/json")]
PLAIN = [("Content-Type", "text/plain")]
HALF = b"x" * (RESPONSE_BYTES_MAX // 2 + 1)


@pytest.fixture
def ledger(clock: rml.FrozenClock) -> Iterator[rml.Ledger]:
    """An empty ledger in memory."""
    with rml.Ledger("memory:", clock=clock) as made:
        rml.configure(ledger=made)
        yield made
        assert made.verify().problems == ()


def post(app: Any, body: bytes = CHARGE, path: str = "/charges", **variables: Any) -> Reply:
    """Send a request to an application behind the middleware."""
    keys = IdempotencyKeys(tenant=None, request_bytes_max=100)
    environ = environ_of("POST", path, LINES, body) | variables
    return collect(IdempotencyKeyMiddleware(app, keys), environ)


# -------------------------------------------------------------------------------------- PEP 3333


class Chunks:
    """An iterable that counts how often it was closed."""

    def __init__(self, *chunks: Any) -> None:
        self.chunks, self.closed = chunks, 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self.chunks:
            if isinstance(chunk, BaseException):
                raise chunk
            yield chunk

    def close(self) -> None:
        """Count."""
        self.closed += 1


def test_an_iterable_is_read_to_its_end_and_closed(ledger: rml.Ledger) -> None:
    """Once, before the response is recorded."""
    chunks = Chunks(b"do", b"", b"ne")

    def app(_: Any, start_response: Any) -> Any:
        start_response("201 Created", PLAIN)
        return chunks

    assert (201, b"done") == ((reply := post(app)).status, reply.body)
    assert (201, b"done", True) == ((again := post(app)).status, again.body, again.is_replay)
    assert 1 == chunks.closed


def test_an_iterable_that_raises_is_closed_too(ledger: rml.Ledger) -> None:
    """Half a response was never sent; what it stood for is in doubt."""
    chunks = Chunks(b"do", TimeoutError())

    def app(_: Any, start_response: Any) -> Any:
        start_response("201 Created", PLAIN)
        return chunks

    with pytest.raises(TimeoutError):
        post(app)

    assert 1 == chunks.closed
    assert "in_doubt" == the_effect(ledger).state


def test_an_application_may_begin_when_it_is_read(ledger: rml.Ledger) -> None:
    """As generators do."""

    def app(_: Any, start_response: Any) -> Any:
        start_response("201 Created", PLAIN)
        yield b"done"

    assert (201, b"done") == ((reply := post(app)).status, reply.body)


def test_what_is_written_comes_first(ledger: rml.Ledger) -> None:
    """The older way to send a body."""

    def app(_: Any, start_response: Any) -> Any:
        write = start_response("201 Created", PLAIN)
        write(b"do")
        return [b"ne"]

    assert b"done" == post(app).body == post(app).body


def test_an_error_page_replaces_what_was_not_sent(ledger: rml.Ledger) -> None:
    """`start_response` with `exc_info`."""

    def app(_: Any, start_response: Any) -> Any:
        start_response("201 Created", PLAIN)(b"half")
        try:
            raise TimeoutError
        except TimeoutError:
            start_response("503 Sorry", PLAIN, sys.exc_info())
        return [b"sorry"]

    assert (503, b"sorry") == ((reply := post(app)).status, reply.body)
    assert "in_doubt" == the_effect(ledger).state


def test_an_error_page_after_the_response_began_raises_the_error(ledger: rml.Ledger) -> None:
    """It is too late to say anything else to the client."""

    def app(_: Any, start_response: Any) -> Any:
        start_response("201 Created", PLAIN)
        yield HALF + HALF
        try:
            raise TimeoutError
        except TimeoutError:
            start_response("503 Sorry", PLAIN, sys.exc_info())

    with pytest.raises(TimeoutError):
        post(app)


def test_to_begin_twice_is_a_mistake(ledger: rml.Ledger) -> None:
    """Without `exc_info`."""

    def app(_: Any, start_response: Any) -> Any:
        start_response("201 Created", PLAIN)
        start_response("200 OK", PLAIN)
        return []

    with pytest.raises(AssertionError, match="twice"):
        post(app)


def test_a_body_without_a_status_is_a_mistake(ledger: rml.Ledger) -> None:
    """As a server would say."""
    with pytest.raises(RuntimeError, match="before its status"):
        post(lambda *_: [b"done"])


def test_no_response_at_all_leaves_doubt(ledger: rml.Ledger) -> None:
    """What it did is anybody's guess."""
    with pytest.raises((UnknownEndError, RuntimeError)):
        post(lambda *_: [])

    assert "in_doubt" == the_effect(ledger).state


def test_a_large_response_is_sent_in_pieces_none_of_them_empty(ledger: rml.Ledger) -> None:
    """An empty piece would end a chunked response."""
    written: list[int] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        written.append(int(status[:3]))
        return lambda chunk: written.append(len(chunk))

    def app(_: Any, start: Any) -> Any:
        start("201 Created", PLAIN)
        return [HALF, HALF, b"", b"end"]

    middleware = IdempotencyKeyMiddleware(app, IdempotencyKeys(tenant=None))
    assert [] == list(middleware(environ_of("POST", "/", LINES, CHARGE), start_response))

    assert [201, 2 * len(HALF), 3] == written
    assert "EFFECT_RESULT_UNAVAILABLE" == post(app, path="/").code


def test_nobody_there_to_read_a_stream_stops_nothing(ledger: rml.Ledger) -> None:
    """The client has gone; the effect runs to its end."""

    def start_response(*_: Any) -> Any:
        raise BrokenPipeError

    def app(_: Any, start: Any) -> Any:
        start("201 Created", PLAIN)
        return [HALF, HALF, HALF]

    middleware = IdempotencyKeyMiddleware(app, IdempotencyKeys(tenant=None))

    assert [] == middleware(environ_of("POST", "/", LINES, CHARGE), start_response)
    assert "done" == the_effect(ledger).state


# ---------------------------------------------------------------------------------- request bodies


def echo(environ: Any, start_response: Any) -> Any:
    """Answer with what was sent, read as far as its length says."""
    start_response("201 Created", PLAIN)
    return [
        environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])),
        environ["wsgi.input"].read(),
    ]


def test_a_request_without_a_length_has_no_body(ledger: rml.Ledger) -> None:
    """PEP 3333; what may still stand in the stream is not read."""
    assert b"" == post(echo, CONTENT_LENGTH="").body


def test_a_server_may_mark_the_end_itself(ledger: rml.Ledger) -> None:
    """Then a chunked request has a body, which the application is given with its length."""
    assert CHARGE == post(echo, CONTENT_LENGTH="", **{"wsgi.input_terminated": True}).body


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        ({"CONTENT_LENGTH": "101"}, "REQUEST_BODY_INCOMPLETE"),
        ({"CONTENT_LENGTH": "14"}, "REQUEST_BODY_INCOMPLETE"),
        ({"CONTENT_LENGTH": "many"}, "REQUEST_BODY_INCOMPLETE"),
        ({"CONTENT_LENGTH": "-1"}, "REQUEST_BODY_INCOMPLETE"),
        ({"CONTENT_LENGTH": "9" * 5000}, "REQUEST_BODY_INCOMPLETE"),
        ({"wsgi.input": BytesIO(b"x" * 200), "CONTENT_LENGTH": "200"}, "REQUEST_BODY_TOO_LARGE"),
        (
            {
                "wsgi.input": BytesIO(b"x" * 200),
                "CONTENT_LENGTH": "",
                "wsgi.input_terminated": True,
            },
            "REQUEST_BODY_TOO_LARGE",
        ),
    ],
    ids=["longer", "cut off", "no number", "negative", "absurd", "too large", "endless"],
)
def test_a_body_that_is_not_what_it_says_is_refused(
    ledger: rml.Ledger, variables: Any, code: str
) -> None:
    """A client that hung up has not asked for half of it."""
    assert code == post(echo, **variables).code
    assert ledger.size == 0


def test_the_path_is_the_whole_path(ledger: rml.Ledger) -> None:
    """Under a mount point it is the same request as at the root; WSGI's characters are bytes."""
    post(echo, path="/shop/ü")

    again = post(echo, SCRIPT_NAME="/shop", PATH_INFO="/ü".encode().decode("latin-1"))

    assert again.is_replay
    (intent,) = ledger.entries(kind="effect.intent")
    assert "/shop/ü" == intent.personal["path"]


# -------------------------------------------------------------------------------- a server, killed

SERVER = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server
import rml
from rml.integrations.idempotency_key import IdempotencyKeys
from rml.integrations.wsgi import IdempotencyKeyMiddleware

place, counter, later, stops = sys.argv[1:]
clock = rml.FrozenClock(datetime.now(UTC) + timedelta(seconds=float(later)))
rml.configure(ledger=rml.Ledger(place, clock=clock))

def app(environ, start_response):
    with Path(counter).open("a") as file:
        file.write("charged\\n")
    if stops == "yes":
        print("in the handler", flush=True)
        sys.stdin.read()
    start_response("201 Created", [("Content-Type", "text/plain")])
    return [b"charged"]

class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass

keys = IdempotencyKeys(tenant=lambda environ: environ.get("HTTP_X_TENANT"))
server = make_server("127.0.0.1", 0, IdempotencyKeyMiddleware(app, keys), handler_class=Quiet)
print(server.server_port, flush=True)
server.serve_forever()
"""


class Server:
    """A server's process, and a connection to it."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.port = int(self.line())

    def line(self) -> str:
        """Read what the server says next."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def send(self) -> http.client.HTTPConnection:
        """Send the request, and do not wait."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Idempotency-Key": '"order-7"', "X-Tenant": "acme"}
        connection.request("POST", "/charges", CHARGE, headers)
        return connection

    def post(self) -> tuple[int, str, str]:
        """Send the request; return status, marker, and the problem's code or the body."""
        connection = self.send()
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        is_problem = response.headers["Content-Type"] == "application/problem+json"
        said = json.loads(text)["code"] if is_problem else text
        return response.status, response.headers.get("Idempotent-Replayed", ""), said


@pytest.fixture
def serve(tmp_path: Path) -> Callable[..., Any]:
    """Return a function that starts a server on the same ledger, and stops it in the end."""

    @contextmanager
    def serving(*, later: float = 0, stops: bool = False) -> Iterator[Server]:
        arguments = [tmp_path / "ledger.db", tmp_path / "counter", later, "yes" if stops else "no"]
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                yield Server(process)
            finally:
                process.kill()

    return serving


def test_a_killed_server_leaves_an_unknown_outcome(serve: Any, tmp_path: Path) -> None:
    """In flight while its lease lasts, unknown after it; the charge is made once."""
    with serve(stops=True) as server:
        connection = server.send()
        assert "in the handler" == server.line()
        server.process.send_signal(signal.SIGKILL)
        with pytest.raises(ConnectionError):
            connection.getresponse()
        connection.close()

    with serve() as server:
        assert (409, "", "IDEMPOTENCY_IN_FLIGHT") == server.post()
    with serve(later=61) as server:
        assert [(409, "", "EFFECT_IN_DOUBT")] * 2 == [server.post(), server.post()]

    assert "charged\n" == (tmp_path / "counter").read_text()
    with rml.Ledger(tmp_path / "ledger.db") as ledger:
        assert ["order-7"] == [effect.key for effect in ledger.in_doubt()]
        assert ledger.verify().ok


def test_a_server_that_was_restarted_replays(serve: Any, tmp_path: Path) -> None:
    """What is done is in the ledger, and not in the process."""
    with serve() as server:
        assert (201, "", "charged") == server.post()
    with serve() as server:
        assert (201, "true", "charged") == server.post()

    assert "charged\n" == (tmp_path / "counter").read_text()

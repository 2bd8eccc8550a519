"""What exceptions say about an effect, as real clients raise them against real sockets."""

import asyncio
import contextlib
import http.client
import json
import pickle
import socket
import ssl
import struct
import subprocess
import sys
import threading
import types
import urllib.request
from asyncio import CancelledError
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import aiohttp
import httpx
import pytest
import requests
import stripe
import stripe.oauth_error
import urllib3

from rml.cause import CHAIN_MAX
from rml.error import ClosedError, DialogError, HistoryError, InvalidInputError, RmlError
from rml.verdict import happened_of, register_verdict

HOST = "127.0.0.1"


class Server:
    """A loopback server that treats each connection by the next of its behaviours."""

    def __init__(self, *behaviours: Callable[[socket.socket], None]) -> None:
        self.requests = 0
        self._behaviours = list(behaviours)
        self._listener = socket.create_server((HOST, 0))
        self._held: list[socket.socket] = []
        self.url = f"http://{HOST}:{self._listener.getsockname()[1]}/charge"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._held.append(connection)
                connection.settimeout(10)
                behaviour = (
                    self._behaviours.pop(0) if len(self._behaviours) > 1 else self._behaviours[0]
                )
                _read_request(connection)
                self.requests += 1
                behaviour(connection)

    def close(self) -> None:
        """End it and all its connections; its port refuses from now on."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for one in (self._listener, *self._held):
            one.close()


def _read_request(connection: socket.socket) -> None:
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65_536) or b"\r\n\r\n"


def silent(_connection: socket.socket) -> None:
    """Never answer."""


def reset(connection: socket.socket) -> None:
    """Cut the connection hard."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def hang_up(connection: socket.socket) -> None:
    """Close without an answer."""
    connection.shutdown(socket.SHUT_RDWR)


def answering(status: int, body: object = None, **headers: str) -> Callable[[socket.socket], None]:
    """Return the behaviour of answering so."""

    def answer(connection: socket.socket) -> None:
        content = json.dumps(body or {}).encode()
        lines = [
            f"HTTP/1.1 {status} Status",
            f"Content-Length: {len(content)}",
            "Connection: close",
        ]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
        connection.shutdown(socket.SHUT_WR)

    return answer


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Start servers that end with the test."""
    running: list[Server] = []

    def start(*behaviours: Callable[[socket.socket], None]) -> Server:
        running.append(Server(*behaviours))
        return running[-1]

    yield start
    for server in running:
        server.close()


@pytest.fixture
def refused() -> Iterator[str]:
    """A URL whose port refuses: bound, so that nobody else takes it, and not listening."""
    with socket.socket() as bound:
        bound.bind((HOST, 0))
        yield f"http://{HOST}:{bound.getsockname()[1]}/charge"


# ------------------------------------------------------------------------------ the clients


def by_httpx(url: str, *, timeout: float = 5) -> None:
    """Post with httpx."""
    with httpx.Client(trust_env=False, follow_redirects=True, timeout=timeout) as client:
        client.post(url).raise_for_status()


def by_async_httpx(url: str, *, timeout: float = 5) -> None:
    """Post with httpx, asynchronously."""

    async def post() -> None:
        async with httpx.AsyncClient(
            trust_env=False, follow_redirects=True, timeout=timeout
        ) as client:
            (await client.post(url)).raise_for_status()

    asyncio.run(post())


def by_requests(url: str, *, timeout: float = 5) -> None:
    """Post with requests."""
    with requests.Session() as session:
        session.trust_env = False
        session.post(url, timeout=timeout).raise_for_status()


def by_urllib3(url: str, *, timeout: float = 5) -> None:
    """Post with urllib3, which connects again three times on its own."""
    retries = urllib3.Retry(3, backoff_factor=0)
    with urllib3.PoolManager(timeout=timeout, retries=retries) as pool:
        response = pool.request("POST", url)
        if response.status >= 400:
            raise urllib3.exceptions.HTTPError(response.status)


def by_aiohttp(url: str, *, timeout: float = 5) -> None:
    """Post with aiohttp."""

    async def post() -> None:
        limit = aiohttp.ClientTimeout(sock_read=timeout)
        async with (
            aiohttp.ClientSession(timeout=limit) as session,
            session.post(url) as response,
        ):
            response.raise_for_status()

    asyncio.run(post())


def by_urllib(url: str, *, timeout: float = 5) -> None:
    """Post with the standard library."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    opener.open(url, data=b"", timeout=timeout).close()


def by_http_client(url: str, *, timeout: float = 5) -> None:
    """Post with the plainest client there is."""
    connection = http.client.HTTPConnection(url.split("/")[2], timeout=timeout)
    try:
        connection.request("POST", "/charge")
        if connection.getresponse().status >= 400:
            raise http.client.HTTPException
    finally:
        connection.close()


def by_stripe(url: str, *, timeout: float = 5, retries: int = 0) -> None:
    """Charge with Stripe's client."""
    transport = stripe.RequestsClient(timeout=timeout)
    client = stripe.StripeClient(
        "sk_test_x",
        base_addresses={"api": url.removesuffix("/charge")},
        http_client=transport,
        max_network_retries=retries,
    )
    try:
        client.v1.payment_intents.create({"amount": 7, "currency": "eur"})
    finally:
        transport.close()


CLIENTS = {
    client.__name__.removeprefix("by_"): client
    for client in (
        by_httpx,
        by_async_httpx,
        by_requests,
        by_urllib3,
        by_aiohttp,
        by_urllib,
        by_http_client,
        by_stripe,
    )
}
REDIRECTING = [name for name in CLIENTS if name not in {"http_client", "stripe"}]


def failure(call: Callable[..., object], *args: Any, **options: Any) -> BaseException:
    """Return what a call raises."""
    try:
        call(*args, **options)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what we ask about
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize("client", CLIENTS)
def test_a_refused_connection_carried_nothing(client: str, refused: str) -> None:
    """Nobody listened, so certainly not done."""
    assert happened_of(failure(CLIENTS[client], refused)) is False


@pytest.mark.parametrize("client", CLIENTS)
def test_a_silent_server_leaves_it_unknown(client: str, serve: Callable[..., Server]) -> None:
    """The request arrived; what was made of it, nobody says."""
    server = serve(silent)
    assert happened_of(failure(CLIENTS[client], server.url, timeout=0.05)) is None
    assert server.requests == 1


@pytest.mark.parametrize(
    "behaviour", [reset, hang_up, answering(500)], ids=["reset", "hang up", "500"]
)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_broken_answer_leaves_it_unknown(
    client: str, behaviour: Callable[[socket.socket], None], serve: Callable[..., Server]
) -> None:
    """Reset, closed or failed: the charge may have been made before."""
    assert happened_of(failure(CLIENTS[client], serve(behaviour).url)) is None


@pytest.mark.parametrize("client", REDIRECTING)
def test_a_refusal_after_a_redirect_proves_nothing(
    client: str, serve: Callable[..., Server], refused: str
) -> None:
    """The charge was made; its receipt was to be fetched from a server that is down."""
    server = serve(answering(303, Location=refused))
    error = failure(CLIENTS[client], server.url)
    assert server.requests == 1
    assert happened_of(error) is None


@pytest.mark.parametrize("client", ["httpx", "requests", "aiohttp", "urllib3", "urllib"])
def test_an_unknown_host_carried_nothing(client: str) -> None:
    """The name has no address (RFC 6761, section 6.4: `.invalid` never has one)."""
    assert happened_of(failure(CLIENTS[client], "http://nowhere.invalid/charge")) is False


@pytest.mark.parametrize(
    ("client", "url"),
    [
        ("httpx", "ftp://127.0.0.1/"),
        ("httpx", "http://[bad"),
        ("requests", "ftp://127.0.0.1/"),
        ("requests", "127.0.0.1/charge"),
        ("requests", "http://"),
        ("urllib3", "http://[bad"),
        ("aiohttp", "http://"),
    ],
)
def test_a_url_that_cannot_be_called_carried_nothing(client: str, url: str) -> None:
    """It is refused before there is a connection."""
    assert happened_of(failure(CLIENTS[client], url)) is False


# ------------------------------------------------------------------------------ retries in clients


def test_urllib3_that_only_tried_to_connect_carried_nothing(refused: str) -> None:
    """Four attempts, all refused; its history says so."""
    error = failure(by_urllib3, refused)
    assert isinstance(error, urllib3.exceptions.MaxRetryError)
    assert happened_of(error) is False


def test_urllib3_that_sent_before_it_was_refused_leaves_it_unknown(
    serve: Callable[..., Server],
) -> None:
    """A PUT is sent again after a reset; the last try alone was refused."""
    server = serve(lambda connection: (server.close(), reset(connection)))  # type: ignore[func-returns-value]
    retries = urllib3.Retry(2, backoff_factor=0)
    with urllib3.PoolManager(retries=retries) as pool:
        error = failure(pool.request, "PUT", server.url, timeout=5)
    assert isinstance(error.reason, urllib3.exceptions.NewConnectionError)  # type: ignore[attr-defined]
    assert (server.requests, happened_of(error)) == (1, None)


def test_requests_over_retrying_urllib3_leaves_it_unknown(serve: Callable[..., Server]) -> None:
    """The retries are the adapter's, the exception is that of requests."""
    server = serve(lambda connection: (server.close(), reset(connection)))  # type: ignore[func-returns-value]
    with requests.Session() as session:
        session.trust_env = False
        retries = urllib3.Retry(2, backoff_factor=0)
        session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retries))
        error = failure(session.put, server.url, timeout=5)
    assert isinstance(error, requests.ConnectionError)
    assert (server.requests, happened_of(error)) == (1, None)


def test_aiohttp_that_sent_again_leaves_it_unknown(serve: Callable[..., Server]) -> None:
    """It repeats a PUT once when a kept-alive connection breaks."""

    def answer_then_break(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        _read_request(connection)
        server.requests += 1
        server.close()

    server = serve(answer_then_break)

    async def put_twice() -> None:
        async with aiohttp.ClientSession() as session:
            for _ in range(2):
                async with session.put(server.url):
                    pass

    error = failure(asyncio.run, put_twice())
    assert isinstance(error, aiohttp.ClientConnectorError)
    assert (server.requests, happened_of(error)) == (2, None)


def test_stripe_that_may_have_sent_before_leaves_it_unknown(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client retries by itself: one lost answer, then a refusal."""
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    server = serve(lambda connection: (server.close(), reset(connection)))  # type: ignore[func-returns-value]
    error = failure(by_stripe, server.url, retries=1)
    assert isinstance(error, stripe.APIConnectionError)
    assert "refused" in str(error)
    assert (server.requests, happened_of(error)) == (1, None)


def test_stripe_without_a_traceback_leaves_it_unknown(refused: str) -> None:
    """Then nothing proves that the refused request was the only one."""
    error = failure(by_stripe, refused)
    assert happened_of(error) is False
    assert happened_of(error.with_traceback(None)) is None


# ------------------------------------------------------------------------------ Stripe's answers


def _stripe_error(kind: str, code: str | None = None) -> dict[str, object]:
    return {"error": {"type": kind, "code": code, "message": "No.", "param": "amount"}}


@pytest.mark.parametrize(
    ("status", "body", "kind", "happened"),
    [
        (402, _stripe_error("card_error", "card_declined"), stripe.CardError, False),
        (400, _stripe_error("invalid_request_error"), stripe.InvalidRequestError, False),
        (404, _stripe_error("invalid_request_error"), stripe.InvalidRequestError, False),
        (
            400,
            _stripe_error("invalid_request_error", "charge_already_refunded"),
            stripe.InvalidRequestError,
            None,
        ),
        (
            400,
            _stripe_error("invalid_request_error", "payment_intent_unexpected_state"),
            stripe.InvalidRequestError,
            None,
        ),
        (400, _stripe_error("idempotency_error"), stripe.IdempotencyError, None),
        (401, _stripe_error("invalid_request_error"), stripe.AuthenticationError, False),
        (403, _stripe_error("invalid_request_error"), stripe.PermissionError, False),
        (409, _stripe_error("invalid_request_error"), stripe.APIError, None),
        (429, _stripe_error("invalid_request_error", "rate_limit"), stripe.RateLimitError, None),
        (500, _stripe_error("api_error"), stripe.APIError, None),
        (200, None, None, None),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
def test_what_stripe_answers(
    status: int,
    body: object,
    kind: type[BaseException] | None,
    happened: object,
    serve: Callable[..., Server],
) -> None:
    """A refusal by the endpoint is certain, unless it tells of something done before."""
    if kind is None:
        by_stripe(serve(answering(200, {"id": "pi_1", "object": "payment_intent"})).url)
        return
    error = failure(by_stripe, serve(answering(status, body)).url)
    assert type(error) is kind
    assert happened_of(error) is happened


# ------------------------------------------------------------------------------ other rules


@pytest.mark.parametrize(
    ("error", "happened"),
    [
        (ConnectionRefusedError(), False),
        (socket.gaierror(), False),
        (ssl.SSLCertVerificationError(), False),
        (ssl.SSLError(), None),
        (TimeoutError(), None),
        (ConnectionResetError(), None),
        (BrokenPipeError(), None),
        (OSError(), None),
        (ValueError(), None),
        (asyncio.CancelledError(), None),
        (KeyboardInterrupt(), None),
        (httpx.PoolTimeout("x"), False),
        (httpx.ConnectTimeout("x"), False),
        (httpx.WriteTimeout("x"), None),
        (requests.ConnectTimeout("x"), False),
        (requests.ConnectionError("x"), None),
        (requests.exceptions.ProxyError("x"), None),
        (aiohttp.ConnectionTimeoutError(), False),
        (aiohttp.SocketTimeoutError(), None),
        (urllib3.exceptions.ProxyError("x", ConnectionRefusedError()), False),
        (urllib3.exceptions.SSLError(ssl.SSLCertVerificationError()), False),
        (ClosedError(), False),
        (ClosedError(happened=None), None),
        (DialogError(happened=True), True),
        (InvalidInputError(), None),
    ],
    ids=lambda value: repr(type(value)) if isinstance(value, BaseException) else None,
)
def test_single_exceptions(error: BaseException, happened: object) -> None:
    """Without a traceback, as a test or another process has them."""
    assert happened_of(error) is happened


def test_a_group_proves_nothing() -> None:
    """It names who failed; a sibling may have succeeded."""
    assert happened_of(ExceptionGroup("x", [ConnectionRefusedError()])) is None


def _raised_from(error: BaseException, cause: BaseException | None) -> BaseException:
    try:
        raise error from cause
    except type(error) as caught:
        return caught


def test_an_error_of_ours_is_judged_by_what_it_was_raised_from() -> None:
    """Unless it says itself; and a mere context proves nothing."""
    refusal = ConnectionRefusedError()
    assert happened_of(_raised_from(DialogError(), refusal)) is False
    assert happened_of(_raised_from(DialogError(happened=None), refusal)) is None
    assert happened_of(_raised_from(HistoryError(), TimeoutError())) is None
    assert happened_of(_raised_from(DialogError(), None)) is None


def test_a_strangers_chain_proves_nothing() -> None:
    """A wrapper nobody knows may have tried before."""
    assert happened_of(_raised_from(RuntimeError(), ConnectionRefusedError())) is None


def test_cycles_end() -> None:
    """A wrapper around itself."""
    error = urllib3.exceptions.MaxRetryError(None, "/", None)  # type: ignore[arg-type]
    error.reason = error
    assert happened_of(error) is None


# ------------------------------------------------------------------------------ retrying packages


def _tenacity(attempts: int) -> Callable[[Callable[[], None]], None]:
    """A stand-in for tenacity's loop, under its module name and with its state."""
    module = types.ModuleType("tenacity")
    source = """
def call(function):
    for retry_state.attempt_number in range(1, attempts + 1):
        try:
            return function()
        except Exception:
            if retry_state.attempt_number == attempts:
                raise
"""
    source = source.replace("def call(function):", "def call(function):\n    retry_state = State()")
    module.__dict__.update(State=types.SimpleNamespace, attempts=attempts)
    exec(compile(source, "tenacity", "exec"), module.__dict__)
    return module.__dict__["call"]  # type: ignore[no-any-return]


@pytest.mark.parametrize(("attempts", "happened"), [(1, False), (2, None)])
def test_a_refusal_of_a_second_attempt_proves_nothing(attempts: int, happened: object) -> None:
    """The first may have been lost on its way back; that also holds for errors of our own."""

    def refuse() -> None:
        raise ConnectionRefusedError

    def decline() -> None:
        raise DialogError(happened=False)

    for function in (refuse, decline):
        assert happened_of(failure(_tenacity(attempts), function)) is happened


def test_a_retry_package_without_readable_state_proves_nothing() -> None:
    """Its loop may have gone round."""
    scope: dict[str, Any] = {"__name__": "backoff._sync"}
    exec("def call(function): function()", scope)

    def refuse() -> None:
        raise ConnectionRefusedError

    assert happened_of(failure(scope["call"], refuse)) is None


@pytest.mark.parametrize(("attempts", "happened"), [(1, False), (3, None)])
def test_tenacitys_wrapper_is_judged_after_a_single_attempt(
    attempts: int, happened: object
) -> None:
    """It shows the last attempt only."""
    last = types.SimpleNamespace(attempt_number=attempts, exception=ConnectionRefusedError)
    kind = type("RetryError", (Exception,), {"__module__": "tenacity", "last_attempt": last})
    assert happened_of(kind()) is happened


def test_a_runaway_recursion_is_judged_with_caution() -> None:
    """Nobody reads a traceback of thousands of frames to the end."""

    def dive(depth: int) -> None:
        if depth == 0:
            raise ConnectionRefusedError
        dive(depth - 1)

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)
    try:
        error = failure(dive, 3_000)
    finally:
        sys.setrecursionlimit(limit)
    assert happened_of(error) is None


# ------------------------------------------------------------------------------ users' rules


@pytest.fixture
def rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules that end with the test."""
    monkeypatch.setattr("rml.judgement._own_rules", {})


class BankError(Exception):
    """A user's client."""

    status: ClassVar[object] = "refused"


class BankDownError(BankError):
    """One of its kinds."""


@pytest.mark.usefixtures("rules")
def test_a_rule_holds_for_a_class_and_what_derives_from_it() -> None:
    """Until a class has one of its own."""
    register_verdict(BankError, False)
    assert happened_of(BankDownError()) is False
    register_verdict(f"{__name__}.BankDownError", None)
    assert (happened_of(BankDownError()), happened_of(BankError())) == (None, False)


@pytest.mark.usefixtures("rules")
def test_a_rule_may_be_a_function() -> None:
    """What is no verdict, and what fails, is unknown."""
    answers: dict[object, Any] = {"refused": False, "made": True, "odd": "maybe"}
    register_verdict(BankError, lambda error: answers[error.status])
    verdicts = []
    for status in ("refused", "made", "odd", "never heard of"):
        error = BankError()
        error.status = status  # type: ignore[misc]
        verdicts.append(happened_of(error))
    assert verdicts == [False, True, None, None]


@pytest.mark.usefixtures("rules")
def test_a_rule_under_the_name_a_package_offers() -> None:
    """Stripe keeps its errors in a private module; and a user's rule goes before ours."""
    register_verdict("stripe.RateLimitError", False)
    assert happened_of(stripe.RateLimitError("x")) is False


@pytest.mark.usefixtures("rules")
def test_a_name_offered_for_another_class_does_not_count() -> None:
    """Stripe has two classes called InvalidRequestError."""
    oauth = stripe.oauth_error.InvalidRequestError("x", "y")
    assert happened_of(oauth) is None


@pytest.mark.usefixtures("rules")
def test_a_package_that_fails_to_answer_offers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking a package for a name may run its code."""
    package = types.ModuleType("bank")
    package.__getattr__ = lambda name: 1 / 0  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, "bank", package)
    register_verdict("bank.DownError", False)
    kind = type("DownError", (Exception,), {"__module__": "bank._errors"})
    assert happened_of(kind()) is None


def test_a_wrapper_that_names_nothing_proves_nothing() -> None:
    """A class of a known name may lack what other versions have."""
    kind = type("RetryError", (Exception,), {"__module__": "tenacity"})
    assert happened_of(kind()) is None


@pytest.mark.parametrize(
    ("exception", "rule", "name"),
    [
        ("CardError", False, "exception"),
        ("stripe.", False, "exception"),
        ("", False, "exception"),
        (7, False, "exception"),
        (int, False, "exception"),
        (BankError, "no", "rule"),
        (BankError, 0, "rule"),
    ],
    ids=repr,
)
def test_a_wrong_registration_is_refused(exception: Any, rule: Any, name: str) -> None:
    """By the name of the argument."""
    with pytest.raises(InvalidInputError, match=f"{name} is .*; (pass|write)"):
        register_verdict(exception, rule)


def test_judging_imports_no_client() -> None:
    """The rules know their classes by name."""
    code = (
        "import sys; from rml.verdict import happened_of; happened_of(TimeoutError());"
        "print({'httpx', 'requests', 'urllib3', 'aiohttp', 'stripe'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_families_are_judged_without_rules() -> None:
    """Each by itself."""
    kinds: list[type[RmlError]] = [ClosedError, DialogError, HistoryError, RmlError]
    assert [happened_of(kind()) for kind in kinds] == [False, None, None, None]


# ------------------------------------------------------------------------------ what was handled


def _handling(first: BaseException, then: BaseException) -> BaseException:
    """Return `then` as raised by a second try, made while the first one's failure is handled."""

    def handler() -> None:
        try:
            raise first
        except type(first):
            raise then  # noqa: B904 - it must be seen without being named

    try:
        handler()
    except type(then) as error:
        return error
    raise AssertionError("nothing was raised")


def test_a_refusal_does_not_settle_the_timeout_that_was_being_handled() -> None:
    """The first request may have charged; that the second never left says nothing about it."""
    assert happened_of(_handling(TimeoutError(), ConnectionRefusedError())) is None
    assert happened_of(_handling(CancelledError(), ConnectionRefusedError())) is None
    assert happened_of(_handling(DialogError(), ConnectionRefusedError())) is None
    assert happened_of(_raised_from(ConnectionRefusedError(), TimeoutError())) is None


def test_a_hidden_timeout_is_evidence_too() -> None:
    """`from None` hides it from readers only, and it may stand further back."""
    middle = _handling(TimeoutError(), ConnectionRefusedError())
    hidden = _handling(middle, ConnectionRefusedError())
    hidden.__suppress_context__ = True
    assert happened_of(hidden) is None
    assert happened_of(_handling(ExceptionGroup("x", [TimeoutError()]), DialogError())) is None


def test_two_refusals_are_a_refusal() -> None:
    """Neither request left."""
    assert happened_of(_handling(ConnectionRefusedError(), ConnectionRefusedError())) is False
    assert happened_of(_handling(ConnectionRefusedError(), ClosedError())) is False


def test_a_local_error_does_not_settle_what_it_was_raised_from() -> None:
    """That a class is of the closed world is no statement about the request behind it."""
    for error in (
        _raised_from(ClosedError(), TimeoutError()),
        _handling(TimeoutError(), ClosedError()),
        _raised_from(ClosedError(), _handling(TimeoutError(), ConnectionRefusedError())),
    ):
        assert isinstance(error, ClosedError)
        assert happened_of(error) is error.happened is None
        assert happened_of(pickle.loads(pickle.dumps(error))) is None
        assert happened_of(RmlError.from_dict(error.to_dict())) is None


class DeclinedError(DialogError):
    """The bank said no."""

    happened = False


def test_a_statement_stands_over_what_it_was_raised_from() -> None:
    """Whoever states it has looked; be it in the class, or one link further down."""
    stated = _raised_from(ClosedError(happened=False), TimeoutError())
    assert happened_of(stated) is False
    assert happened_of(_handling(TimeoutError(), DeclinedError())) is False
    assert happened_of(_raised_from(DialogError(), stated)) is False
    assert happened_of(_handling(stated, ConnectionRefusedError())) is False


def test_what_was_handled_outside_belongs_to_another_call() -> None:
    """A caller that looks for another way after an error of its own is no earlier request."""
    caught: list[bool | None] = []

    def call(error: BaseException) -> None:
        try:
            raise error
        except type(error) as failed:
            caught.append(happened_of(failed))

    try:
        raise KeyError("cache")
    except KeyError:
        call(ConnectionRefusedError())
        call(ClosedError())
    assert caught == [False, False]


def test_an_endless_chain_proves_nothing() -> None:
    """Nobody reads it to its end."""
    error = ConnectionRefusedError()
    for _ in range(CHAIN_MAX + 2):
        following = ConnectionRefusedError()
        following.__context__ = error
        error = following
    assert happened_of(error) is None


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_that_was_refused_while_a_timeout_was_handled(client: str, refused: str) -> None:
    """As real clients raise it: the timeout stands behind all that they wrap."""

    def handler() -> None:
        try:
            raise TimeoutError
        except TimeoutError:
            CLIENTS[client](refused)

    assert happened_of(failure(handler)) is None

"""The ASGI middleware alone: clients that go away, cancelled requests, streams, other scopes."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from http_faces import CHARGE, Reply, ask, reply_of, scope_of
from protected import kinds, the_effect

import rml
from rml.integrations.asgi import IdempotencyKeyMiddleware
from rml.integrations.http_exchange import RESPONSE_BYTES_MAX, UnknownEndError
from rml.integrations.idempotency_key import IdempotencyKeys

LINES = [("idempotency-key", "k-1"), ("content-type", "application/json")]
START: Any = {"type": "http.response.start", "status": 201, "headers": [(b"etag", b"e")]}
HALF = b"x" * (RESPONSE_BYTES_MAX // 2 + 1)

App = Callable[[Any, Any, Any], Awaitable[None]]


@pytest.fixture
def ledger(clock: rml.FrozenClock) -> Iterator[rml.Ledger]:
    """An empty ledger in memory."""
    with rml.Ledger("memory:", clock=clock) as made:
        rml.configure(ledger=made)
        yield made
        assert made.verify().problems == ()


def body(chunk: bytes, *, more: bool = False) -> Any:
    """Return a piece of a response."""
    return {"type": "http.response.body", "body": chunk, "more_body": more}


def around(app: App, **options: Any) -> IdempotencyKeyMiddleware:
    """Put the middleware around an application."""
    return IdempotencyKeyMiddleware(app, IdempotencyKeys(**{"tenant": None, **options}))


async def answer(_: Any, receive: Any, send: Any) -> None:
    """Answer any request."""
    await receive()
    await send(START)
    await send(body(b"done"))


async def post(app: Any) -> Reply:
    """Send a request and stay for its reply."""
    return await ask(app, "POST", "/charges", LINES, [CHARGE])


# -------------------------------------------------------------------------------- what passes


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
def test_other_scopes_pass(ledger: rml.Ledger, kind: str) -> None:
    """With the very objects that the server gave."""
    seen: list[Any] = []

    async def app(*given: Any) -> None:
        seen.append(given)

    given = ({"type": kind, "path": "/charges"}, object(), object())
    asyncio.run(around(app)(*given))

    assert [given] == seen
    assert ledger.size == 0


def test_the_application_sees_the_servers_own_scope(ledger: rml.Ledger) -> None:
    """What it writes there, such as its route, is for those around the middleware as well."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["route"] = "/charges"
        await answer(scope, receive, send)

    scope = scope_of("POST", "/charges", LINES)
    scope["extensions"] = {"http.response.pathsend": {}, "tls": {"version": 772}}

    async def receive() -> Any:
        return {"type": "http.request", "body": CHARGE}

    async def send(_: Any) -> None:
        pass

    asyncio.run(around(app)(scope, receive, send))

    assert "/charges" == scope["route"]
    assert {"tls": {"version": 772}} == scope["extensions"]  # no way past the recording


def test_two_headers_are_refused(ledger: rml.Ledger) -> None:
    """ASGI keeps them apart."""
    lines = [*LINES, ("idempotency-key", "k-1")]

    reply = asyncio.run(ask(around(answer), "POST", "/charges", lines, [CHARGE]))

    assert "IDEMPOTENCY_KEY_MALFORMED" == reply.code


# ------------------------------------------------------------------- clients that go away


def test_a_client_that_goes_before_its_body_is_whole_has_asked_for_nothing(
    ledger: rml.Ledger,
) -> None:
    """Half a request is not run."""
    messages = [
        {"type": "http.request", "body": CHARGE[:3], "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Any:
        return messages.pop(0)

    async def send(_: Any) -> None:
        raise AssertionError("nobody is there")

    asyncio.run(around(answer)(scope_of("POST", "/charges", LINES), receive, send))

    assert ledger.size == 0


def test_a_client_that_goes_stops_nothing(ledger: rml.Ledger) -> None:
    """The application is not told, runs to its end, and the retry is given its response."""
    listening: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        listening.append(
            asyncio.ensure_future(receive())
        )  # as frameworks do, to cancel the handler
        await asyncio.sleep(0)
        assert not listening[0].done()
        await send(START)
        await send(body(b"done"))
        listening[0].cancel()

    async def main() -> Reply:
        middleware = around(app)
        messages = [{"type": "http.request", "body": CHARGE}, {"type": "http.disconnect"}]

        async def receive() -> Any:
            return messages.pop(0)

        async def send(_: Any) -> None:
            raise OSError("nobody is there")

        with suppress(OSError):
            await middleware(scope_of("POST", "/charges", LINES), receive, send)
        return await post(middleware)

    reply = asyncio.run(main())

    assert (201, b"done", True) == (reply.status, reply.body, reply.is_replay)
    assert ["effect.intent", "effect.done"] == kinds(ledger)


@pytest.mark.parametrize("times", [1, 5])
def test_a_cancelled_request_is_in_doubt_and_not_stuck(ledger: rml.Ledger, times: int) -> None:
    """A server that stops, or cancels when the client goes; nothing is run again."""
    count = 0

    async def main() -> list[Reply]:
        begun = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            nonlocal count
            count += 1
            begun.set()
            await asyncio.Event().wait()

        middleware = around(app)
        task = asyncio.create_task(post(middleware))
        await begun.wait()
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        return [await post(middleware), await post(middleware)]

    replies = asyncio.run(main())

    assert ["EFFECT_IN_DOUBT"] * 2 == [reply.code for reply in replies]
    assert replies[0].problem["details"]["incident"] == "INC-2026-0001"
    assert 1 == count


def test_five_at_once_are_one_effect(ledger: rml.Ledger) -> None:
    """In one event loop: one runs, four are told to come back."""
    count = 0

    async def main() -> list[Reply]:
        refused = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            nonlocal count
            count += 1
            await refused.wait()
            await answer(scope, receive, send)

        middleware = around(app)
        waiting = {asyncio.create_task(post(middleware)) for _ in range(5)}
        replies: list[Reply] = []
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            replies += [task.result() for task in done]
            if len(replies) == 4:
                refused.set()
        return replies

    *others, last = asyncio.run(main())

    assert ["IDEMPOTENCY_IN_FLIGHT"] * 4 == [reply.code for reply in others]
    assert (201, False) == (last.status, last.is_replay)
    assert 1 == count


# ---------------------------------------------------------------------------------------- streams


def test_a_stream_is_held_back_until_it_is_recorded(ledger: rml.Ledger) -> None:
    """And so is everything the application does after its response: background tasks."""
    sent: list[Any] = []
    seen: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(body(b"do", more=True))
        await send(body(b"ne"))
        seen.append(len(sent))  # a background task would run here

    async def send(message: Any) -> None:
        seen.append(len(kinds(ledger)))
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": CHARGE}

    asyncio.run(around(app)(scope_of("POST", "/charges", LINES), receive, send))

    assert [0, 2, 2] == seen
    assert (201, b"done") == ((reply := reply_of(sent)).status, reply.body)


def test_a_stream_that_is_too_large_is_sent_as_it_comes(ledger: rml.Ledger) -> None:
    """From the moment it is too large; what came before is sent first."""
    sent: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        for more in (True, True, False):
            await send(body(HALF, more=more))
            sent.append(1)

    async def main() -> list[Reply]:
        middleware = around(app)
        return [await post(middleware), await post(middleware)]

    first, again = asyncio.run(main())

    assert (201, 3 * len(HALF), "e") == (first.status, len(first.body), first.headers["etag"])
    assert "EFFECT_RESULT_UNAVAILABLE" == again.code
    assert 3 == len(sent)


def test_nobody_there_to_read_a_stream_stops_nothing(ledger: rml.Ledger) -> None:
    """Newer servers raise OSError for what cannot be sent."""
    steps = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal steps
        await send(START)
        for more in (True, True, False):
            await send(body(HALF, more=more))
            steps += 1

    async def receive() -> Any:
        return {"type": "http.request", "body": CHARGE}

    async def send(_: Any) -> None:
        raise OSError("nobody is there")

    asyncio.run(around(app)(scope_of("POST", "/charges", LINES), receive, send))

    assert 3 == steps
    assert "done" == the_effect(ledger).state


@pytest.mark.parametrize("error", [TimeoutError(), rml.ClosedError("no")], ids=repr)
def test_an_error_in_a_stream_that_is_being_sent_goes_on(
    ledger: rml.Ledger, error: Exception
) -> None:
    """The response has begun, so that nothing else can be answered."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(body(HALF, more=True))
        await send(body(HALF, more=True))
        raise error

    with pytest.raises(type(error)):
        asyncio.run(post(around(app)))


@pytest.mark.parametrize(
    "messages",
    [[], [START], [START, body(b"do", more=True)], [START, body(b"done"), START]],
    ids=["nothing", "no body", "half a body", "replaced by half"],
)
def test_a_response_that_is_not_whole_leaves_doubt(ledger: rml.Ledger, messages: Any) -> None:
    """Nobody is given half an answer again."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    with pytest.raises(UnknownEndError):
        asyncio.run(post(around(app)))

    assert "in_doubt" == the_effect(ledger).state


@pytest.mark.parametrize(
    "messages",
    [[body(b"done")], [START, body(HALF, more=True), body(HALF, more=True), START]],
    ids=["body first", "start again"],
)
def test_messages_in_no_order_are_refused(ledger: rml.Ledger, messages: Any) -> None:
    """As a server would."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    with pytest.raises(RuntimeError):
        asyncio.run(post(around(app)))


def test_a_response_may_be_replaced_until_it_is_sent(ledger: rml.Ledger) -> None:
    """An error page in place of what had been begun; early hints are not passed on."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.early_hint", "links": []})
        await send(START)
        await send(body(b"do", more=True))
        await send({**START, "status": 404})
        await send(body(b"no"))

    assert (404, b"no") == ((reply := asyncio.run(post(around(app)))).status, reply.body)

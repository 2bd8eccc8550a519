"""The `Idempotency-Key` header for ASGI applications; no framework is imported."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeAlias

from rml.integrations.http_exchange import Answer, Exchange
from rml.integrations.http_request import BodyTooLargeError, fingerprint
from rml.integrations.idempotency_key import IdempotencyKeys

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


class IdempotencyKeyMiddleware:
    """Requests with an `Idempotency-Key` take effect at most once without a decision.

    The response is held back until it is recorded, up to ``RESPONSE_BYTES_MAX``; a larger one is
    sent as it comes, and cannot be given again. The application is not told when the client goes
    away: its effect runs to the end, and the response is there for the retry.

    Args:
        app: the application; lifespan, websockets and requests that need no key go straight to it.
        keys: which requests need a key, and what their responses mean.
    """

    def __init__(self, app: App, keys: IdempotencyKeys) -> None:
        self.app = app
        self._keys = keys
        self._protected = keys.protected_async

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        operation = None
        if scope["type"] == "http":
            operation = self._keys.operation_of(scope["method"], scope["path"])
        if operation is None:
            await self.app(scope, receive, send)
            return
        exchange = self._keys.exchange()
        try:
            caller = self._keys.caller(scope, partial(_header, scope))
            body = await _body(receive, self._keys.request_bytes_max)
            if body is None:
                return
            kept = await self._protected[operation](
                **caller,
                path=scope["path"],
                request=_fingerprint(scope, body),
                exchange=exchange,
                run=partial(self._run, scope, body, partial(_take, exchange, send)),
            )
            answer = exchange.response() or self._keys.replay(kept)
        except Exception as error:
            made = exchange.answer_to(error)
            if made is None:
                raise
            answer = made
        if not exchange.passed_on:
            await _send(send, answer)

    async def _run(self, scope: Scope, body: bytes, take: Send) -> None:
        if scope.get("extensions"):  # ways for a response to go past `take`
            kept = {n: v for n, v in scope["extensions"].items() if "http.response" not in n}
            scope["extensions"] = kept
        unread = [body]

        async def receive() -> Message:
            if not unread:
                await asyncio.Event().wait()  # for ever: nothing stops what has begun
            return {"type": "http.request", "body": unread.pop(), "more_body": False}

        await self.app(scope, receive, take)


def _header(scope: Scope, name: str) -> Sequence[str]:
    wanted = name.lower().encode()
    return [v.decode("latin-1") for n, v in scope["headers"] if n.lower() == wanted]


def _fingerprint(scope: Scope, body: bytes) -> str:
    content_type = ", ".join(_header(scope, "Content-Type"))
    query = scope.get("query_string", b"").decode("latin-1")
    return fingerprint(scope["method"], query, content_type, body)


async def _body(receive: Receive, bytes_max: int) -> bytes | None:
    """Return the whole body, ``None`` if the client has gone before it was sent."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > bytes_max:
            raise BodyTooLargeError(f"the body has more than {bytes_max} bytes (request_bytes_max)")
        if not message.get("more_body", False):
            return bytes(body)


async def _take(exchange: Exchange, send: Send, message: Message) -> None:
    """Take a part of the response, and send on what is too much to be held back."""
    if message["type"] == "http.response.start":
        pairs = message.get("headers", ())
        headers = [(n.decode("latin-1"), value.decode("latin-1")) for n, value in pairs]
        exchange.start(message["status"], headers)
    elif message["type"] == "http.response.body":
        more = message.get("more_body", False)
        is_first = not exchange.passed_on
        chunk = exchange.add(message.get("body", b""), last=not more)
        if chunk is not None:
            with suppress(OSError):  # the client has gone; what has begun runs to its end
                if is_first:
                    await send(_start(exchange.status, exchange.headers))
                await send({"type": "http.response.body", "body": chunk, "more_body": more})


def _start(status: int, headers: Sequence[tuple[str, str]]) -> Message:
    pairs = [(n.lower().encode("latin-1"), value.encode("latin-1")) for n, value in headers]
    return {"type": "http.response.start", "status": status, "headers": pairs}


async def _send(send: Send, answer: Answer) -> None:
    await send(_start(answer.status, answer.headers))
    await send({"type": "http.response.body", "body": answer.content})

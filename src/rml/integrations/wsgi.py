"""The `Idempotency-Key` header for WSGI applications (PEP 3333); no framework is imported."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from io import BytesIO
from types import TracebackType
from typing import Any, Final, TypeAlias
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from rml.integrations.http_exchange import Exchange
from rml.integrations.http_request import BodyIncompleteError, BodyTooLargeError, fingerprint
from rml.integrations.idempotency_key import IdempotencyKeys

Headers: TypeAlias = "list[tuple[str, str]]"
ExcInfo: TypeAlias = (
    "tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]"
)

_LENGTH: Final = re.compile(r"[0-9]{1,18}")


class IdempotencyKeyMiddleware:
    """Requests with an `Idempotency-Key` take effect at most once without a decision.

    The response is held back until it is recorded, up to ``RESPONSE_BYTES_MAX``; a larger one is
    sent as it comes, and cannot be given again.

    Args:
        app: the application; requests that need no key go straight to it.
        keys: which requests need a key, and what their responses mean.
    """

    def __init__(self, app: WSGIApplication, keys: IdempotencyKeys) -> None:
        self.app = app
        self._keys = keys
        self._protected = keys.protected

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request, or hand it on."""
        path = _text(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""))
        operation = self._keys.operation_of(environ["REQUEST_METHOD"], path)
        if operation is None:
            return self.app(environ, start_response)
        exchange = self._keys.exchange()
        try:
            caller = self._keys.caller(environ, partial(_header, environ))
            body = _body(environ, self._keys.request_bytes_max)
            environ["wsgi.input"] = BytesIO(body)
            environ["CONTENT_LENGTH"] = str(len(body))
            kept = self._protected[operation](
                **caller,
                path=path,
                request=_fingerprint(environ, body),
                exchange=exchange,
                run=partial(self._run, environ, _Response(exchange, start_response)),
            )
            answer = exchange.response() or self._keys.replay(kept)
        except Exception as error:
            made = exchange.answer_to(error)
            if made is None:
                raise
            answer = made
        if exchange.passed_on:
            return []
        start_response(_line(answer.status), list(answer.headers))
        return [answer.content]

    def _run(self, environ: WSGIEnvironment, response: _Response) -> None:
        chunks = self.app(environ, response.start)
        try:
            for chunk in chunks:
                response.write(chunk)
            response.end()
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                close()


class _Response:
    """The server's side as the application sees it, which holds the response back."""

    def __init__(self, exchange: Exchange, start_response: StartResponse) -> None:
        self._exchange = exchange
        self._start_response = start_response
        self._send: Callable[[bytes], object] | None = None

    def start(
        self, status: str, headers: Headers, exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], object]:
        """Take status and headers; with ``exc_info``, in place of those that have not been sent."""
        if exc_info is not None and exc_info[1] is not None and self._exchange.passed_on:
            raise exc_info[1].with_traceback(exc_info[2])
        if exc_info is None and self._exchange.status:
            raise AssertionError("start_response was called twice, without exc_info")
        self._exchange.start(int(status[:3]), headers)
        return self.write

    def write(self, chunk: bytes, *, last: bool = False) -> None:
        """Take a piece of the body, and send on what is too much to be held back."""
        sent_on = self._exchange.add(chunk, last=last)
        if not sent_on:  # an empty piece would end a chunked response
            return
        with suppress(OSError):  # the client has gone; what has begun runs to its end
            if self._send is None:
                headers = list(self._exchange.headers)
                self._send = self._start_response(_line(self._exchange.status), headers)
            self._send(sent_on)

    def end(self) -> None:
        """Take note that the body is whole."""
        self.write(b"", last=True)


def _header(environ: WSGIEnvironment, name: str) -> Sequence[str]:
    value = environ.get("HTTP_" + name.upper().replace("-", "_"))
    return [] if value is None else [value]


def _fingerprint(environ: WSGIEnvironment, body: bytes) -> str:
    content_type = environ.get("CONTENT_TYPE") or ""
    query = environ.get("QUERY_STRING", "")
    return fingerprint(environ["REQUEST_METHOD"], query, content_type, body)


def _text(native: str) -> str:
    """Return a path as text; WSGI hands over bytes, each as one character."""
    return native.encode("latin-1").decode(errors="backslashreplace")


def _body(environ: WSGIEnvironment, bytes_max: int) -> bytes:
    """Return the whole body; without a length there is none, unless the server marks its end."""
    stated = environ.get("CONTENT_LENGTH") or ""
    if not stated and not environ.get("wsgi.input_terminated"):
        return b""
    if stated and not _LENGTH.fullmatch(stated):
        raise BodyIncompleteError("the Content-Length is no number")
    length = int(stated) if stated else 0
    body = _read(environ["wsgi.input"], min(length, bytes_max + 1) if stated else bytes_max + 1)
    if len(body) > bytes_max:
        raise BodyTooLargeError(f"the body has more than {bytes_max} bytes (request_bytes_max)")
    if len(body) < length:
        raise BodyIncompleteError(f"{len(body)} of {length} bytes came")
    return body


def _read(stream: Any, length: int) -> bytes:
    body = bytearray()
    while len(body) < length and (chunk := stream.read(length - len(body))):
        body += chunk
    return bytes(body)


def _line(status: int) -> str:
    """Return the status line's text, which must have a phrase."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} Status {status}"

"""What the tests of the HTTP middlewares share: one application, behind ASGI and behind WSGI."""

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import attrs

from rml.integrations import asgi, wsgi
from rml.integrations.idempotency_key import Answer, IdempotencyKeys

CHARGE = b'{"amount": 5}'
CREATED = Answer(201, (("Content-Type", "application/json"), ("X-Trace", "t-1")), '{"id": "ch-1"}')


@attrs.frozen
class Reply:
    """What a client sees; header names are lower-case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        """The body of an error."""
        assert "application/problem+json" == self.headers["content-type"]
        problem: dict[str, Any] = json.loads(self.body)
        assert self.status == problem["status"]
        return problem

    @property
    def code(self) -> str:
        """The code of an error."""
        return str(self.problem["code"])

    @property
    def is_replay(self) -> bool:
        """Whether it is marked as given again."""
        return self.headers.get("idempotent-replayed") == "true"


class Face:
    """A handler behind one of the middlewares, and a client in front of it.

    The handler is given the request's body, and returns an answer or raises.
    """

    def __init__(self, kind: str, handler: Callable[[bytes], Answer], **options: Any) -> None:
        self.count = 0
        self.handler = handler
        self.call = {"asgi": self._call_asgi, "wsgi": self._call_wsgi}[kind]
        if kind == "asgi":
            keys = self.keys = IdempotencyKeys(**{"tenant": self._asgi_tenant, **options})
            self._asgi = asgi.IdempotencyKeyMiddleware(self._asgi_app, keys)
        else:
            keys = self.keys = IdempotencyKeys(
                **{"tenant": lambda environ: environ.get("HTTP_X_TENANT"), **options}
            )
            app = wsgi.IdempotencyKeyMiddleware(validator(self._wsgi_app), keys)
            self._wsgi = validator(app)

    def __call__(
        self,
        body: bytes = CHARGE,
        *,
        key: str | None = "k-1",
        path: str = "/charges",
        method: str = "POST",
        tenant: str | None = "acme",
        content_type: str = "application/json",
        **headers: str,
    ) -> Reply:
        """Send a request and return the reply."""
        given = {"idempotency-key": key, "x-tenant": tenant, "content-type": content_type}
        lines = [(n, v) for n, v in given.items() if v is not None]
        lines += [(name.replace("_", "-"), value) for name, value in headers.items()]
        return self.call(method, path, lines, body)

    def _handle(self, body: bytes) -> Answer:
        self.count += 1
        return self.handler(body)

    # ASGI -----------------------------------------------------------------------------------------

    @staticmethod
    def _asgi_tenant(scope: Any) -> str | None:
        return dict(scope["headers"]).get(b"x-tenant", b"").decode() or None

    async def _asgi_app(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        answer = self._handle(body)
        headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.content})

    def _call_asgi(
        self, method: str, path: str, lines: Sequence[tuple[str, str]], body: bytes
    ) -> Reply:
        return asyncio.run(ask(self._asgi, method, path, lines, [body[:3], body[3:]]))

    # WSGI -----------------------------------------------------------------------------------------

    def _wsgi_app(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        answer = self._handle(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        headers = list(answer.headers)
        if "Content-Type" not in dict(headers) and answer.status not in {204, 304}:
            headers.append(("Content-Type", "text/plain"))  # the validator insists
        start_response(f"{answer.status} Whatever", headers)
        return [answer.content]

    def _call_wsgi(
        self, method: str, path: str, lines: Sequence[tuple[str, str]], body: bytes
    ) -> Reply:
        environ = environ_of(method, path, lines, body)
        return collect(self._wsgi, environ)


async def ask(
    app: Any,
    method: str,
    path: str,
    lines: Sequence[tuple[str, str]],
    parts: Sequence[bytes],
) -> Reply:
    """Call an ASGI application as a server would; the client stays until it has its reply."""
    unsent, sent = list(parts), []

    async def receive() -> Any:
        if not unsent:
            await asyncio.Event().wait()
        part = unsent.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(unsent)}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope_of(method, path, lines), receive, send)
    return reply_of(sent)


def scope_of(method: str, path: str, lines: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return the ASGI scope of a request."""
    headers = [(name.encode(), value.encode("latin-1")) for name, value in lines]
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
    }


def reply_of(messages: Sequence[Any]) -> Reply:
    """Return what the messages of an ASGI application tell the client."""
    start, *parts = messages
    assert "http.response.start" == start["type"]
    assert [True] * (len(parts) - 1) + [False] == [p.get("more_body", False) for p in parts]
    assert all(name == name.lower() for name, _ in start["headers"])
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    assert len(headers) == len(start["headers"])
    return Reply(start["status"], headers, b"".join(part["body"] for part in parts))


def environ_of(
    method: str, path: str, lines: Sequence[tuple[str, str]], body: bytes
) -> dict[str, Any]:
    """Return the WSGI environ of a request."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path.encode().decode("latin-1"),
        "QUERY_STRING": "",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": BytesIO(body),
    }
    for name, value in lines:
        variable = name.upper().replace("-", "_")
        environ[variable if name == "content-type" else f"HTTP_{variable}"] = value
    setup_testing_defaults(environ)
    return environ


def collect(app: Any, environ: dict[str, Any]) -> Reply:
    """Call a WSGI application as a server would."""
    started: list[Any] = []
    written = bytearray()

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        started[:] = [int(status[:3]), {name.lower(): value for name, value in headers}]
        return written.extend

    chunks = app(environ, start_response)
    try:
        written.extend(b"".join(chunks))
    finally:
        if hasattr(chunks, "close"):
            chunks.close()
    return Reply(started[0], started[1], bytes(written))

"""The four HTTP examples, each behind its framework's own code: one battery for all of them."""

import asyncio
import importlib
import json
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from http_faces import Reply, ask, reply_of, scope_of
from protected import the_effect

import rml

FRAMEWORKS = ["fastapi", "starlette", "flask", "django"]
EXAMPLES = Path(__file__).parents[1] / "examples"
ACME, GLOBEX = "Bearer acme-key", "Bearer globex-key"
ORDER, LOST, DECLINED = {"amount": 1999}, {"amount": 13}, {"amount": 51}

Send = Callable[[str, bytes, dict[str, str]], Reply]


@pytest.fixture
def ledger(tmp_path: Path, clock: rml.FrozenClock) -> Iterator[rml.Ledger]:
    """An empty ledger, in a file, as a shop would have it."""
    with rml.Ledger(tmp_path / "charges.db", clock=clock) as made:
        rml.configure(ledger=made)
        yield made
        assert made.verify().problems == ()


def asgi_client(app: Any) -> Send:
    """Return Starlette's own test client, which serves FastAPI as well."""
    from starlette.testclient import TestClient

    def send(path: str, body: bytes, headers: dict[str, str]) -> Reply:
        client = TestClient(app, raise_server_exceptions=False)
        reply = client.post(path, content=body, headers=headers)
        return Reply(reply.status_code, dict(reply.headers), reply.content)

    return send


def wsgi_client(app: Any) -> Send:
    """Return Werkzeug's test client, which Flask's is made of; Django's own goes round WSGI."""
    from werkzeug.test import Client

    def send(path: str, body: bytes, headers: dict[str, str]) -> Reply:
        reply = Client(app).post(path, data=body, headers=headers)
        lines = {name.lower(): value for name, value in reply.headers}
        return Reply(reply.status_code, lines, reply.get_data())

    return send


class Shop:
    """An example, and a client in front of it."""

    def __init__(self, framework: str, send: Send, shop: ModuleType) -> None:
        self.framework, self._send, self.module = framework, send, shop

    @property
    def charged(self) -> list[int]:
        """What the gateway has charged."""
        return list(self.module.charged.values())

    def post(
        self,
        order: object = ORDER,
        key: str | None = '"order-7"',
        path: str = "/charges",
        authorization: str = ACME,
        **headers: str,
    ) -> Reply:
        """Send a request."""
        given = {"Authorization": authorization, "Content-Type": "application/json", **headers}
        if key is not None:
            given["Idempotency-Key"] = key
        return self._send(path, json.dumps(order).encode(), given)


@pytest.fixture(params=FRAMEWORKS)
def shop(
    request: pytest.FixtureRequest, ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shop]:
    """Import an example; the client is the framework's."""
    pytest.importorskip(request.param)
    monkeypatch.syspath_prepend(EXAMPLES)
    module = importlib.import_module(f"http_{request.param}")
    shared = sys.modules["http_shop"]
    shared.charged.clear()
    app = getattr(module, "application", None) or module.app
    make = asgi_client if request.param in {"fastapi", "starlette"} else wsgi_client
    yield Shop(request.param, make(app), shared)
    shared.charged.clear()


pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette")


def test_a_repetition_is_given_the_same_201(shop: Shop) -> None:
    """The customer is charged once."""
    first, again = shop.post(), shop.post()

    assert (201, {"charge_id": "ch-1"}) == (first.status, json.loads(first.body))
    assert (201, first.body) == (again.status, again.body)
    assert first.headers["content-type"] == again.headers["content-type"]
    assert (False, True) == (first.is_replay, again.is_replay)
    assert [1999] == shop.charged


def test_five_at_once_are_one_effect(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """One charges, four are told to come back."""
    refused = threading.Event()
    replies: list[Reply] = []
    real = shop.module.charge

    def charge(amount: int) -> Any:
        assert refused.wait(60)
        return real(amount)

    def post() -> None:
        replies.append(shop.post())
        if len(replies) == 4:
            refused.set()

    monkeypatch.setattr(shop.module, "charge", charge)
    threads = [threading.Thread(target=post) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    *others, last = replies
    assert ["IDEMPOTENCY_IN_FLIGHT"] * 4 == [reply.code for reply in others]
    assert {409} == {reply.status for reply in others}
    assert all(int(reply.headers["retry-after"]) for reply in others)
    assert (201, False) == (last.status, last.is_replay)
    assert [1999] == shop.charged


def test_another_request_under_the_key_is_refused(shop: Shop) -> None:
    """422, as the draft asks; also for another path of the same operation."""
    shop.post()
    shop.post({}, path="/charges/ch-1/refunds")

    others = [shop.post({"amount": 2000}), shop.post({}, path="/charges/ch-2/refunds")]

    assert {"IDEMPOTENCY_FINGERPRINT_MISMATCH"} == {reply.code for reply in others}
    assert {422} == {reply.status for reply in others}
    assert [1999, 0] == shop.charged


@pytest.mark.parametrize(
    ("key", "code"),
    [(None, "IDEMPOTENCY_KEY_MISSING"), ("a b", "IDEMPOTENCY_KEY_MALFORMED")],
    ids=["missing", "malformed"],
)
def test_a_request_without_a_good_key_is_refused(shop: Shop, key: str | None, code: str) -> None:
    """400, as the draft asks; nothing is charged."""
    reply = shop.post(key=key)

    assert (400, code) == (reply.status, reply.code)
    assert reply.problem["type"].startswith("https://pay.example/problems/idempotency-key-m")
    assert [] == shop.charged


def test_the_key_at_another_endpoint_is_another_key(shop: Shop) -> None:
    """It never returns the other endpoint's response."""
    charged, refunded = shop.post(), shop.post({}, path="/charges/ch-1/refunds")

    assert {"charge_id": "ch-1"} == json.loads(charged.body)
    assert {"refund_id": "re-2", "of": "ch-1"} == json.loads(refunded.body)
    assert not refunded.is_replay
    assert shop.post({}, path="/charges/ch-1/refunds").is_replay


def test_a_lost_answer_is_an_unknown_outcome(shop: Shop, ledger: rml.Ledger) -> None:
    """Raised after the charge was made: the retry does not charge again, and says where to look."""
    assert 500 == shop.post(LOST).status

    for _ in range(2):
        retry = shop.post(LOST)
        assert (409, "EFFECT_IN_DOUBT") == (retry.status, retry.code)
        assert "https://pay.example/problems/effect-in-doubt" == retry.problem["type"]
        where = {"effect": the_effect(ledger).id, "incident": "INC-2026-0001"}
        assert where == retry.problem["details"]
    assert [13] == shop.charged


def test_a_declined_card_may_be_tried_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The application's own error says that nothing was charged."""
    declined = shop.post(DECLINED)

    assert (402, "CARD_DECLINED") == (declined.status, declined.code)
    monkeypatch.setattr(shop.module, "DECLINED", None)
    assert 201 == shop.post(DECLINED).status
    assert [51] == shop.charged
    assert ["-2"] == [key[-2:] for key in shop.module.charged]


def test_trace_ids_and_quotes_do_not_matter(shop: Shop) -> None:
    """An honest repetition is not refused."""
    shop.post(traceparent="00-" + "1" * 32 + "-" + "1" * 16 + "-01")

    again = shop.post(key="order-7", traceparent="00-" + "2" * 32 + "-" + "2" * 16 + "-01")

    assert again.is_replay
    assert [1999] == shop.charged


def test_tenants_do_not_see_each_other(shop: Shop, ledger: rml.Ledger) -> None:
    """The same key of another caller is another charge; a stranger is refused."""
    replies = [shop.post(), shop.post(authorization=GLOBEX), shop.post(authorization="Bearer x")]

    assert [201, 201, 403] == [reply.status for reply in replies]
    assert not replies[1].is_replay
    assert [1999, 1999] == shop.charged
    assert ["acme", "globex"] == [effect.scope for effect in ledger.effects()]


def test_no_credential_is_in_the_file(shop: Shop, tmp_path: Path) -> None:
    """What the caller proves who it is with stays out of the ledger."""
    shop.post()

    files = [path.read_bytes() for path in tmp_path.iterdir() if path.is_file()]
    assert any(b"order-7" in content for content in files)
    assert not any(b"acme-key" in content for content in files)


# ----------------------------------------------------------------------- clients that go away


@pytest.mark.parametrize("framework", ["fastapi", "starlette", "django"])
def test_a_client_that_goes_stops_nothing(
    framework: str, ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frameworks listen for it, and Django cancels its view: here the charge is made and kept."""
    pytest.importorskip(framework)
    monkeypatch.syspath_prepend(EXAMPLES)
    app = asgi_app(importlib.import_module(f"http_{framework}"))
    shared = sys.modules["http_shop"]
    shared.charged.clear()
    lines = [
        ("idempotency-key", "order-7"),
        ("authorization", ACME),
        ("content-type", "application/json"),
    ]
    body = json.dumps(ORDER).encode()

    async def main() -> tuple[Reply, Reply]:
        messages = [{"type": "http.request", "body": body}, {"type": "http.disconnect"}]
        sent: list[Any] = []

        async def receive() -> Any:
            return messages.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        await app(scope_of("POST", "/charges", lines), receive, send)
        return reply_of(sent), await ask(app, "POST", "/charges", lines, [body])

    first, retry = asyncio.run(main())

    assert (201, first.body, True) == (retry.status, retry.body, retry.is_replay)
    assert [1999] == list(shared.charged.values())


def asgi_app(module: ModuleType) -> Any:
    """Return an example's ASGI application; Django's is served by WSGI in its example."""
    if hasattr(module, "app"):
        return module.app
    from django.core.handlers.asgi import ASGIHandler

    from rml.integrations.asgi import IdempotencyKeyMiddleware

    def authorization(scope: Any) -> str | None:
        found = dict(scope["headers"]).get(b"authorization")
        return found.decode() if found else None

    keys = sys.modules["http_shop"].keys_of(authorization)
    return IdempotencyKeyMiddleware(ASGIHandler(), keys)

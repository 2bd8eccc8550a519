"""The `Idempotency-Key` middlewares: what holds behind ASGI and behind WSGI alike."""

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from http_faces import CHARGE, CREATED, Face
from protected import kinds, the_effect

import rml
from rml.integrations.http_exchange import RESPONSE_BYTES_MAX
from rml.integrations.idempotency_key import Answer

Make = Callable[..., Face]


@pytest.fixture
def ledger(clock: rml.FrozenClock) -> Iterator[rml.Ledger]:
    """An empty ledger in memory; what stores must do is tested elsewhere."""
    with rml.Ledger("memory:", clock=clock) as made:
        rml.configure(ledger=made)
        yield made
        assert made.verify().problems == ()


@pytest.fixture(params=["asgi", "wsgi"])
def make(request: pytest.FixtureRequest, ledger: rml.Ledger) -> Make:
    """Return a function that puts a handler behind a middleware."""

    def made(handler: Any = lambda _: CREATED, **options: Any) -> Face:
        return Face(request.param, handler, **options)

    return made


# ----------------------------------------------------------------------------------------- replay


def test_a_repetition_is_given_the_first_response(make: Make, ledger: rml.Ledger) -> None:
    """Status, body and the headers that describe it; marked, so that a client can tell."""
    face = make()

    first, again = face(), face()

    assert (201, b'{"id": "ch-1"}', False) == (first.status, first.body, first.is_replay)
    assert (201, b'{"id": "ch-1"}', True) == (again.status, again.body, again.is_replay)
    assert "t-1" == first.headers["x-trace"]
    expected = {"content-type": "application/json", "content-length": "14"}
    assert {**expected, "idempotent-replayed": "true"} == again.headers
    assert 1 == face.count
    assert ["effect.intent", "effect.done"] == kinds(ledger)


def test_the_headers_that_are_kept_are_the_users_choice(make: Make) -> None:
    """What else is the same for every reader of the response."""
    face = make(kept_headers=("content-type", "x-trace"))

    face()

    assert "t-1" == face().headers["x-trace"]


@pytest.mark.parametrize(
    "body", ["", "ü", b"\xff\x00", "x" * RESPONSE_BYTES_MAX], ids=["none", "text", "bytes", "limit"]
)
def test_every_body_comes_back_as_it_was(make: Make, body: str | bytes) -> None:
    """Up to the limit, to the byte."""
    face = make(lambda _: Answer(200, (), body))

    assert Answer(200, (), body).content == face().body == face().body


@pytest.mark.parametrize("status", [204, 304])
def test_a_response_that_has_no_body_is_given_no_length(make: Make, status: int) -> None:
    """RFC 9110, section 8.6."""
    face = make(lambda _: Answer(status, ()))

    face()

    assert "content-length" not in face().headers


def test_a_response_that_is_too_large_is_sent_once(make: Make, ledger: rml.Ledger) -> None:
    """The request is done and not run again; what it was answered is known, but not its body."""
    face = make(lambda _: Answer(200, (), "x" * (RESPONSE_BYTES_MAX + 1)))

    assert RESPONSE_BYTES_MAX + 1 == len(face().body)
    assert "EFFECT_RESULT_UNAVAILABLE" == face().code
    assert 409 == face().status
    assert 1 == face.count
    assert "done" == the_effect(ledger).state


def test_a_response_that_grows_in_the_ledger_is_sent_once(make: Make, ledger: rml.Ledger) -> None:
    """Control characters take six bytes each in JSON, so this one does not fit beside an entry."""
    face = make(lambda _: Answer(200, (), "\x01" * RESPONSE_BYTES_MAX))

    assert RESPONSE_BYTES_MAX == len(face().body)
    assert "EFFECT_RESULT_UNAVAILABLE" == face().code
    assert {"effect": the_effect(ledger).id} == face().problem["details"]
    assert 1 == face.count


# ---------------------------------------------------------------------------------------- refusals


def test_a_request_without_a_key_is_refused(make: Make, ledger: rml.Ledger) -> None:
    """And nothing is recorded of it."""
    face = make(type_base="https://pay.example/problems/")

    reply = face(key=None)

    assert 400 == reply.status
    assert "https://pay.example/problems/idempotency-key-missing" == reply.problem["type"]
    assert (0, 0) == (face.count, ledger.size)


@pytest.mark.parametrize("key", ["", '"', "a b", "k" * 256, "a,b", '"a", "a"'])
def test_a_malformed_key_is_refused(make: Make, ledger: rml.Ledger, key: str) -> None:
    """A server that joins two headers with a comma makes them one malformed key."""
    face = make()

    reply = face(key=key)

    assert (400, "IDEMPOTENCY_KEY_MALFORMED") == (reply.status, reply.code)
    assert (0, 0) == (face.count, ledger.size)


def test_a_caller_that_is_not_known_is_refused(make: Make, ledger: rml.Ledger) -> None:
    """Nobody is given a stranger's response."""
    face = make()

    reply = face(tenant=None)

    assert (403, "IDEMPOTENCY_TENANT_UNKNOWN") == (reply.status, reply.code)
    assert (0, 0) == (face.count, ledger.size)


def test_a_body_that_is_too_large_is_refused(make: Make, ledger: rml.Ledger) -> None:
    """The limit is the user's."""
    face = make(request_bytes_max=len(CHARGE))

    assert 201 == face().status
    reply = face(CHARGE + b" ", key="k-2")

    assert (413, "REQUEST_BODY_TOO_LARGE") == (reply.status, reply.code)
    assert 1 == face.count


def test_another_request_under_the_key_is_refused(make: Make) -> None:
    """By body, path, or method of the same operation; what the first was answered stays."""
    face = make(operations={"POST *": "http.any", "PATCH *": "http.any"})
    face()

    for other in (
        face(b'{"amount": 6}'),
        face(path="/refunds"),
        face(method="PATCH"),
        face(content_type="text/plain"),
    ):
        assert (422, "IDEMPOTENCY_FINGERPRINT_MISMATCH") == (other.status, other.code)
    assert face().is_replay
    assert 1 == face.count


def test_a_key_belongs_to_its_operation(make: Make, ledger: rml.Ledger) -> None:
    """The same key for another operation is another key, with a response of its own."""
    face = make(lambda body: Answer(200, (), body), operations={"POST /a": "a.b", "POST /b": "b.c"})

    assert (b"1", b"2") == (face(b"1", path="/a").body, face(b"2", path="/b").body)
    assert (b"1", b"2") == (face(b"1", path="/a").body, face(b"2", path="/b").body)
    assert ["a.b", "b.c"] == [effect.operation for effect in ledger.effects()]


def test_requests_that_need_no_key_pass(make: Make, ledger: rml.Ledger) -> None:
    """Nothing is recorded of them, key or not."""
    face = make(operations={"POST /charges": "http.charge"})

    replies = [face(method="PUT"), face(path="/other"), face(method="PUT", key=None)]

    assert [201] * 3 == [reply.status for reply in replies]
    assert (3, 0) == (face.count, ledger.size)


def test_the_same_request_may_look_different(make: Make) -> None:
    """Quotes, white space, trace ids, another client: an honest repetition is not refused."""
    face = make()
    face(traceparent="00-" + "1" * 32 + "-" + "1" * 16 + "-01", user_agent="one")

    again = [face(key='"k-1"'), face(b'{ "amount":5 }'), face(user_agent="two", date="today")]

    assert [True] * 3 == [reply.is_replay for reply in again]
    assert 1 == face.count


def test_tenants_do_not_see_each_other(make: Make, ledger: rml.Ledger) -> None:
    """The same key, the same request, two effects and two responses."""
    answers = iter((Answer(200, (), "for acme"), Answer(200, (), "for globex")))
    face = make(lambda _: next(answers))

    assert b"for acme" == face(tenant="acme").body
    assert b"for globex" == face(tenant="globex").body
    assert b"for acme" == face(tenant="acme").body
    assert ["acme", "globex"] == [effect.scope for effect in ledger.effects()]


def test_one_tenant_for_all_is_a_decision(make: Make, ledger: rml.Ledger) -> None:
    """Said with `tenant=None`."""
    face = make(tenant=None)

    face(tenant="acme")

    assert face(tenant=None).is_replay
    assert the_effect(ledger).scope is None


def test_what_is_recorded_in_clear(make: Make, ledger: rml.Ledger) -> None:
    """Operation, tenant and key; path and response are kept beside the entries, erasably."""
    make()(path="/users/ada@example.com")

    intent, done = ledger.entries()
    assert ("http.post", "acme", "k-1", {}) == (
        intent.operation,
        intent.scope,
        intent.key,
        intent.facts,
    )
    assert "/users/ada@example.com" == intent.personal["path"]
    assert {"path", "rml.request"} == intent.commitments.keys()
    assert ({}, {"rml.request", "rml.result"}) == (done.facts, done.commitments.keys())


# --------------------------------------------------------------------------------------- in flight


def test_a_duplicate_in_flight_is_told_when_to_come_back(make: Make) -> None:
    """Another request under the key is told so, also now."""
    seen: list[Any] = []

    def handler(_: bytes) -> Answer:
        replies = []
        for body in (CHARGE, b"{}"):
            thread = threading.Thread(target=lambda b=body: replies.append(face(b)))
            thread.start()
            thread.join(60)
        seen.extend(replies)
        return CREATED

    face = make(handler)
    face()

    same, other = seen
    assert (409, "IDEMPOTENCY_IN_FLIGHT") == (same.status, same.code)
    assert "5" == same.headers["retry-after"]
    assert (422, "IDEMPOTENCY_FINGERPRINT_MISMATCH") == (other.status, other.code)
    assert 1 == face.count


def test_a_duplicate_may_wait_for_the_first_response(make: Make) -> None:
    """With `wait=`, in place of a 409."""
    replies: list[Any] = []
    waiting = threading.Thread(target=lambda: replies.append(face()))

    def handler(_: bytes) -> Answer:
        waiting.start()
        return CREATED

    face = make(handler, wait=60)
    replies.append(face())
    waiting.join(60)

    assert [201, 201] == [reply.status for reply in replies]
    assert {True, False} == {reply.is_replay for reply in replies}
    assert 1 == face.count


def test_a_response_is_json_of_the_first_request(make: Make) -> None:
    """The body reaches the application whole, in whatever pieces it came."""
    face = make(lambda body: Answer(200, (), json.dumps(json.loads(body))))

    assert CHARGE == face().body

"""What a request with an `Idempotency-Key` says, and which options of the middleware are safe."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rml
from rml.effect import asynchronous
from rml.integrations import wsgi
from rml.integrations.http_request import KEY_CHARACTERS_MAX, fingerprint, parse_key
from rml.integrations.idempotency_key import (
    RETRY_AFTER_SECONDS_MAX,
    Answer,
    BodyIncompleteError,
    BodyTooLargeError,
    IdempotencyKeys,
    KeyMalformedError,
    TenantUnknownError,
    by_status,
)
from rml.testing import assert_error_contract

ERRORS = Path(__file__).parents[1] / "docs" / "reference" / "errors.md"
PRINTABLE = st.characters(min_codepoint=0x20, max_codepoint=0x7E)


# ------------------------------------------------------------------------------------------- key


@given(st.text(PRINTABLE, min_size=1, max_size=KEY_CHARACTERS_MAX))
def test_every_printable_string_is_a_key_in_quotes(key: str) -> None:
    """RFC 8941, section 3.3.3: a backslash stands before a quote and before itself."""
    quoted = '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'

    assert key == parse_key([quoted])


@given(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=255))
def test_quoted_and_bare_are_one_key(key: str) -> None:
    """The draft asks for quotes, and most clients leave them out."""
    assert key == parse_key([f'"{key}"']) == parse_key([key]) == parse_key([f" {key}\t"])


@pytest.mark.parametrize(
    "line",
    [
        "",
        " ",
        '""',
        '"',
        '"a',
        'a"',
        '"a"b"',
        '"a\\b"',
        '"a\\"',
        '"a"; version=1',
        '"a", "b"',
        "a,b",
        "a;b",
        "a b",
        "a\\b",
        "a\tb",
        '"a\x00"',
        "ä",
        '"\x7f"',
        "k" * 256,
        '"' + "k" * 256 + '"',
    ],
)
def test_what_is_no_single_string_is_malformed(line: str) -> None:
    """Two readings of a header would be two charges."""
    with pytest.raises(KeyMalformedError):
        parse_key([line])


def test_a_key_of_the_greatest_length_is_taken() -> None:
    """255 characters, without the quotes."""
    assert "k" * 255 == parse_key(['"' + "k" * 255 + '"']) == parse_key(["k" * 255])


def test_two_headers_are_refused_even_if_they_are_the_same() -> None:
    """One of them may be a proxy's."""
    with pytest.raises(KeyMalformedError):
        parse_key(["a", "a"])


# ----------------------------------------------------------------------------------- fingerprint

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def of(body: bytes | str, content_type: str = "application/json", query: str = "") -> str:
    """Return the fingerprint of a body."""
    body = body.encode() if isinstance(body, str) else body
    return fingerprint("POST", query, content_type, body)


def shuffled(value: Any) -> Any:
    """Return the same JSON with the members of each object in another order."""
    if isinstance(value, dict):
        return {name: shuffled(value[name]) for name in reversed(value)}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


@given(JSON)
def test_json_is_compared_by_value(value: Any) -> None:
    """White space, escapes and the order of members are no part of what is asked."""
    plain = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
    again = json.dumps(shuffled(json.loads(plain)), indent=3)

    assert of(plain) == of(again) == of(again, "Application/JSON; charset=utf-8")


@given(JSON, JSON)
def test_other_json_is_another_request(one: Any, other: Any) -> None:
    """No two values meet; what Python calls equal (1, 1.0 and True) need not be the same."""
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)

    assert same == (of(json.dumps(one)) == of(json.dumps(other)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", '"1"'),
        ("1", "1.0"),
        ("19.99", "19.990"),
        ("0.1", "0.1000000000000000055511151231257827"),
        ("9007199254740993", "9007199254740992"),
        ("1", "true"),
        ("0", "-0"),
        ("0", "false"),
        ("null", ""),
        ("{}", "[]"),
        ('{"a": 1}', '{"a": 1, "b": null}'),
        ("1", '{"$": "decimal", "v": "1"}'),
    ],
)
def test_amounts_that_look_alike_do_not_meet(one: str, other: str) -> None:
    """A number counts as it is written; no binary fraction rounds two of them together."""
    assert of(one) != of(other)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1, "a": 2}',
        b"\xff",
        b"{",
        b"NaN",
        b'{"a": "\\ud800"}',
        b"[" * 100_000,
        b"[" * 70 + b"]" * 70,
        b"1e" + b"9" * 30,
        "{}".encode("utf-16"),
    ],
    ids=lambda body: f"{body[:8]!r} {len(body)}",
)
def test_what_is_no_good_json_is_compared_byte_by_byte(body: bytes) -> None:
    """It is the application's business to refuse it; here it only has to be recognised."""
    assert of(body) == of(body)
    assert of(body) != of(body + b" ")


def test_other_bodies_are_compared_byte_by_byte() -> None:
    """A form or a file has no value that we know of."""
    form = "application/x-www-form-urlencoded"

    assert of("a=1&b=2", form) != of("b=2&a=1", form)
    assert of("{}", "text/plain") != of("{ }", "text/plain")
    assert of("{}", "application/vnd.acme+json") == of("{ }", "application/vnd.acme+json")


def test_method_query_and_content_type_are_part_of_the_request() -> None:
    """The path is as well; it has a parameter of its own."""
    asked = {
        fingerprint("POST", "", "text/plain", b""),
        fingerprint("PATCH", "", "text/plain", b""),
        fingerprint("POST", "a=1", "text/plain", b""),
        fingerprint("POST", "", "text/html", b""),
        fingerprint("POST", "", "application/json", b""),
    }

    assert 5 == len(asked)


# ------------------------------------------------------------------------------------------ rules


def test_no_framework_is_imported() -> None:
    """The middlewares speak ASGI and WSGI, and neither needs a package."""
    code = "import sys, rml.integrations.asgi, rml.integrations.wsgi; print(*sys.modules)"

    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)

    loaded = {name.partition(".")[0] for name in finished.stdout.decode().split()}
    ours = {"rml", "attr", "attrs"}
    started_with = {name.partition(".")[0] for name in modules_at_start()}
    assert set() == loaded - sys.stdlib_module_names - ours - started_with


def modules_at_start() -> list[str]:
    """Return what a bare interpreter has loaded, such as hooks of the environment."""
    code = "import sys; print(*sys.modules)"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    ).stdout.split()


@pytest.mark.parametrize(
    ("request_line", "operation"),
    [
        ("POST /charges", "http.charge"),
        ("POST /charges/", None),
        ("POST /chargesX", None),
        ("PUT /charges", None),
        ("post /charges", "http.charge"),  # as Django and Werkzeug take it
        ("POST /charges/ch-1/refunds", "http.refund"),
        ("POST /charges//refunds", None),
        ("POST /charges/a/b/refunds", None),
        ("PATCH /admin/a/b\nc", "http.admin"),
        ("PATCH /", None),
    ],
)
def test_operations_are_found_by_method_and_path(request_line: str, operation: str | None) -> None:
    """A template's braces stand for one segment, a star for anything."""
    keys = IdempotencyKeys(
        tenant=None,
        operations={
            "POST /charges": "http.charge",
            "POST /charges/{id}/refunds": "http.refund",
            "PATCH /admin/*": "http.admin",
        },
    )

    method, _, path = request_line.partition(" ")
    assert operation == keys.operation_of(method, path)


def test_by_default_every_post_and_patch_needs_a_key() -> None:
    """The methods that the draft is about."""
    keys = IdempotencyKeys(tenant=None)

    methods = ("POST", "PATCH", "PUT", "DELETE", "GET", "HEAD", "OPTIONS")
    found = {method: keys.operation_of(method, "/any/path") for method in methods}
    expected = {"POST": "http.post", "PATCH": "http.patch"}
    assert {m: expected.get(m) for m in methods} == found


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"tenant": "acme"}, "tenant"),
        ({"kept_headers": "Content-Type"}, "kept_headers"),
        ({"statuses": {"EFFECT_IN_DOUBT": 200}}, "EFFECT_IN_DOUBT"),
        ({"operations": {"/charges": "http.charge"}}, "/charges"),
        ({"operations": {"POST charges": "http.charge"}}, "charges"),
        ({"operations": {"POST /": "Charge it"}}, "Charge it"),
        ({"lease": 0}, "lease"),
        ({"wait": -1}, "wait"),
        ({"reconcile": "ask"}, "reconcile"),
    ],
)
def test_a_definition_that_cannot_be_kept_is_refused(options: dict[str, Any], named: str) -> None:
    """Where the application is put together, not at the first request."""
    with pytest.raises(rml.DefinitionError, match=named):
        wsgi.IdempotencyKeyMiddleware(lambda *_: [], IdempotencyKeys(**{"tenant": None, **options}))


def test_what_is_refused_defines_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a reconciler would ask on behalf of keys that there are none of."""
    defined: dict[str, Any] = {}
    monkeypatch.setattr("rml.effect.reconcile._operations", defined)

    with pytest.raises(rml.DefinitionError, match="tenant"):
        IdempotencyKeys(tenant="acme")  # type: ignore[arg-type]

    assert {} == defined


def test_a_wsgi_application_is_given_no_async_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program without `async def` does without asyncio."""
    made: list[Any] = []
    monkeypatch.setattr(asynchronous, "face", lambda *args: made.append(args))

    wsgi.IdempotencyKeyMiddleware(lambda *_: [], IdempotencyKeys(tenant=None))

    assert [] == made


def test_the_tenant_has_to_be_given() -> None:
    """To share responses among all callers is a decision, and no default."""
    with pytest.raises(TypeError, match="tenant"):
        IdempotencyKeys()  # type: ignore[call-arg]


def caller(tenant: Any, **headers: str) -> dict[str, Any]:
    """Return key and tenant of a request with these headers."""
    lines = {name.replace("_", "-"): value for name, value in headers.items()}
    keys = IdempotencyKeys(tenant=lambda _: tenant)
    return keys.caller(None, lambda name: [lines[name.lower()]] if name.lower() in lines else [])


@pytest.mark.parametrize(
    "tenant", [None, "", "x" * 256, "two\nlines"], ids=["none", "empty", "long", "lines"]
)
def test_a_caller_that_is_not_known_is_refused(tenant: Any) -> None:
    """Or all strangers would be one tenant."""
    with pytest.raises(TenantUnknownError):
        caller(tenant, idempotency_key="a")


@pytest.mark.parametrize("credential", [None, "", b""], ids=repr)
def test_a_secret_that_holds_nothing_is_nobodys(credential: Any) -> None:
    """What `Secret(headers.get("authorization"))` is for strangers, who would be one tenant."""
    with pytest.raises(TenantUnknownError):
        caller(rml.Secret(credential), idempotency_key="a")


@pytest.mark.parametrize("tenant", [b"acme", False, 1.5, ["acme"]], ids=repr)
def test_a_tenant_of_a_type_that_names_nobody_is_the_programs_mistake(tenant: Any) -> None:
    """The client is not told that its key is missing."""
    with pytest.raises(rml.ConfigurationError, match="tenant= returned no tenant's id"):
        caller(tenant, idempotency_key="a")


def test_a_secret_is_recorded_as_a_digest() -> None:
    """Nobody reads the credential in the ledger, and the same one is the same tenant."""
    one = caller(rml.Secret("sk_1"), idempotency_key="a")["tenant"]

    assert one == caller(rml.Secret("sk_1"), idempotency_key="a")["tenant"]
    assert one != caller(rml.Secret("sk_2"), idempotency_key="a")["tenant"]
    assert one.startswith("sha256:")
    assert "sk_1" not in one


@pytest.mark.parametrize(
    ("tenant", "headers"),
    [
        ("Bearer sk_1", {"authorization": "Bearer sk_1"}),
        ("sk_1", {"authorization": "Bearer sk_1"}),
        ("sk_1", {"x_api_key": "sk_1"}),
        ("session=1", {"cookie": "session=1"}),
    ],
)
def test_a_credential_is_not_recorded_in_clear(tenant: str, headers: dict[str, str]) -> None:
    """It is a mistake in the program, so it is raised and not answered."""
    with pytest.raises(rml.ConfigurationError, match=r"rml\.Secret"):
        caller(tenant, idempotency_key="a", **headers)


@pytest.mark.parametrize(
    "kind", [KeyMalformedError, TenantUnknownError, BodyTooLargeError, BodyIncompleteError]
)
def test_every_refusal_travels_and_is_documented(kind: type[rml.RmlError]) -> None:
    """As the errors of the front door."""
    assert_error_contract(kind)
    tags = kind.declared_tags()
    row = f"| `{kind.__name__}` | `{kind.code}` | {tags['world'].value} | `{tags['action'].value}`"
    assert f"{row} | `{kind().happened}` |" in ERRORS.read_text(encoding="utf-8")


# ---------------------------------------------------------------------------------------- answers


def test_an_error_is_answered_as_a_problem() -> None:
    """With the documented type, and the status that the API has promised."""
    keys = IdempotencyKeys(
        tenant=None,
        type_base="https://pay.example/problems/",
        statuses={"IDEMPOTENCY_FINGERPRINT_MISMATCH": 400},
    )

    answer = keys.answer(rml.FingerprintMismatchError())

    assert 400 == answer.status
    assert (("Content-Type", "application/problem+json"),) == answer.headers
    problem = json.loads(answer.content)
    assert "https://pay.example/problems/idempotency-fingerprint-mismatch" == problem["type"]
    assert 400 == problem["status"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (rml.InFlightError(retry_after=59.3), str(RETRY_AFTER_SECONDS_MAX)),
        (rml.InFlightError(retry_after=0.0), "1"),
        (rml.DialogError(retry_after=59.3), "60"),
        (rml.DialogError(), None),
    ],
)
def test_retry_after_is_whole_seconds(error: rml.RmlError, expected: str | None) -> None:
    """A lease says when a request in flight is lost, not when it is over: that is sooner."""
    assert expected == dict(IdempotencyKeys(tenant=None).answer(error).headers).get("Retry-After")


def test_in_doubt_has_a_type_of_its_own_and_says_where_to_look() -> None:
    """The same status as in flight, and nothing else in common."""
    keys = IdempotencyKeys(tenant=None, type_base="/problems/")
    details = {"effect": "ef_1", "incident": "INC-2026-0001", "key": "k"}

    doubt = json.loads(keys.answer(rml.InDoubtError(details=details)).content)
    flight = json.loads(keys.answer(rml.InFlightError(details=details)).content)

    assert 409 == doubt["status"] == flight["status"]
    assert "/problems/effect-in-doubt" == doubt["type"]
    assert "/problems/idempotency-in-flight" == flight["type"]
    assert {"effect": "ef_1", "incident": "INC-2026-0001"} == doubt["details"]
    assert "details" not in flight


@pytest.mark.parametrize(
    ("status", "state"), [(200, "done"), (303, "done"), (404, "done"), (500, "in_doubt")]
)
def test_by_default_5xx_leaves_doubt(status: int, state: str) -> None:
    """The application began, and cannot say how it ended."""
    assert state == by_status(status, {})


def test_an_answer_made_of_plain_data_is_an_answer() -> None:
    """What a person types into `rml resolve --result` comes back as a response."""

    @rml.idempotent("test.http", key="key", ledger=(ledger := rml.Ledger("memory:")))
    def handler(key: str) -> Answer:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        handler("k")
    (doubt,) = ledger.in_doubt()
    headers = [["Content-Type", "text/plain"]]
    typed = {"status": 201, "headers": headers, "body": "done"}
    ledger.resolve(doubt.id, happened=True, by="ada", reason="seen", result=typed)

    assert Answer(201, (("Content-Type", "text/plain"),), "done") == handler("k")

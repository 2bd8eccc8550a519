"""Errors as application/problem+json: what a client sees, and what a client reads."""

import json
from typing import Any

import pytest

from rml.error import ClosedError, DialogError, HistoryError, InvalidInputError, RmlError
from rml.problem import PROBLEM_BYTES_MAX, from_problem, to_problem
from rml.redact import Secret
from rml.world import Action, World

BASE = "https://pay.example/problems/"


class SettledError(HistoryError):
    """The payment is settled."""

    code = "PAYMENT_ALREADY_SETTLED"
    http_status = 409
    public_details = ("payment_id", "settled_at")


class LimitError(DialogError):
    """Too many payments at once."""

    public = True
    action = Action.RETRY_WITH_BACKOFF
    happened = False


def test_a_client_sees_what_the_class_declares_public() -> None:
    """The message is for operators; details pass by name."""
    error = SettledError(
        "jane@example.com in batch 7", details={"payment_id": "pay-42", "email": "jane@example.com"}
    )
    assert to_problem(error, type_base=BASE, instance="/incidents/7") == {
        "type": BASE + "payment-already-settled",
        "title": "The payment is settled.",
        "status": 409,
        "detail": "The payment is settled.",
        "instance": "/incidents/7",
        "code": "PAYMENT_ALREADY_SETTLED",
        "world": "RML3",
        "action": "escalate-history",
        "details": {"payment_id": "pay-42"},
    }


def test_a_public_message_is_the_detail() -> None:
    """The class says so."""
    problem = to_problem(LimitError("Wait until noon."), type_base=BASE)
    assert (problem["title"], problem["detail"]) == (
        "Too many payments at once.",
        "Wait until noon.",
    )


def test_without_a_base_the_title_is_the_phrase_of_the_status() -> None:
    """RFC 9457, section 4.2.1."""
    problem = to_problem(LimitError())
    assert (problem["type"], problem["title"]) == ("about:blank", "Service Unavailable")
    assert to_problem(LimitError(), status=599)["title"] == "Status 599"


def test_nothing_internal_is_shown() -> None:
    """No cause, stack, severity, verdict, operator text or personal data."""
    try:
        raise SettledError(
            "operator text",
            details={"email": "jane@example.com", "settled_at": Secret("hidden")},
            severity="critical",
        ) from ValueError("the cause")
    except SettledError as error:
        error.add_note("a note")
        text = json.dumps(to_problem(error, type_base=BASE))
    for internal in (
        "cause",
        "Traceback",
        "critical",
        "happened",
        "operator",
        "jane",
        "hidden",
        "note",
    ):
        assert internal not in text


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ClosedError(), 400),
        (ClosedError(action=Action.RETRY_WITH_BACKOFF), 400),
        (DialogError(action=Action.RETRY_WITH_BACKOFF), 503),
        (DialogError(action=Action.START_COMPENSATION), 502),
        (HistoryError(), 500),
        (SettledError(), 409),
    ],
    ids=["closed", "closed retry", "retry", "compensate", "history", "declared"],
)
def test_the_status_follows_world_and_action(error: RmlError, status: int) -> None:
    """Unless the class declares one."""
    assert to_problem(error)["status"] == status


def test_a_widened_error_does_not_keep_the_status_of_its_class() -> None:
    """A 4xx would blame the client for our history."""

    class MissingError(ClosedError):
        """Not found."""

        http_status = 404

    with pytest.raises(MissingError) as caught:
        raise MissingError from HistoryError()
    assert to_problem(caught.value)["status"] == 500
    assert to_problem(MissingError())["status"] == 404


@pytest.mark.parametrize(
    "options",
    [{"status": 200}, {"status": "500"}, {"status": 10**6}, {"type_base": 7}, {"instance": b"/"}],
    ids=repr,
)
def test_wrong_arguments_are_refused(options: dict[str, Any]) -> None:
    """By name."""
    with pytest.raises(InvalidInputError, match=f"{next(iter(options))} is .*; pass"):
        to_problem(ClosedError(), **options)


def test_only_our_errors_become_problems() -> None:
    """A stranger's text is nobody's business."""
    with pytest.raises(InvalidInputError, match="error is a value of type ValueError; pass an Rml"):
        to_problem(ValueError("secret"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "encode",
    [lambda b: b, json.dumps, lambda b: json.dumps(b).encode()],
    ids=["dict", "str", "bytes"],
)
def test_a_problem_regains_its_class(encode: Any) -> None:
    """Its code is registered; nothing else decides."""
    problem = to_problem(SettledError(details={"payment_id": "pay-42"}), type_base=BASE)
    error = from_problem(encode(problem))
    assert type(error) is SettledError
    assert (error.message, error.world, error.action) == (
        "The payment is settled.",
        World.RML3,
        Action.ESCALATE_HISTORY,
    )
    assert error.details["payment_id"] == "pay-42"
    assert error.details["problem"] == {"type": problem["type"], "status": 409}
    assert to_problem(error, type_base=BASE) == problem


def test_what_our_class_says_of_its_effect_nobody_said_over_there() -> None:
    """The class's verdict is for errors raised here."""
    assert LimitError().happened is False
    assert from_problem(to_problem(LimitError())).happened is None
    assert from_problem({"world": "RML1"}).happened is False


@pytest.mark.parametrize(
    ("status", "world", "action"),
    [
        (429, World.RML2, Action.RETRY_WITH_BACKOFF),
        (503, World.RML2, Action.RETRY_WITH_BACKOFF),
        (404, World.RML2, Action.START_COMPENSATION),
        (500, World.RML3, Action.ESCALATE_HISTORY),
        (None, World.RML3, Action.ESCALATE_HISTORY),
        ("404", World.RML3, Action.ESCALATE_HISTORY),
    ],
)
def test_a_service_that_knows_no_worlds_is_placed_by_status(
    status: object, world: World, action: Action
) -> None:
    """What nothing is known of is gray."""
    error = from_problem({"type": "https://other.example/x", "title": "No.", "status": status})
    assert (error.world, error.action, error.message, error.happened) == (
        world,
        action,
        "No.",
        None,
    )


def test_a_world_that_cannot_be_read_is_gray() -> None:
    """A newer sender may know more worlds than we do."""
    assert from_problem({"status": 404, "world": "RML4"}).world is World.RML3


def test_members_of_a_wrong_type_are_ignored() -> None:
    """RFC 9457, section 3.1."""
    body = {
        "type": 7,
        "title": [],
        "status": "x",
        "detail": {},
        "code": 7,
        "world": 1,
        "details": "x",
    }
    error = from_problem(body)
    assert type(error) is HistoryError
    assert (error.code, error.message) == (HistoryError.code, HistoryError.default_message())
    assert error.details == {"problem": {"type": 7}}


def test_unknown_extensions_are_kept_and_bounded() -> None:
    """Section 3.2 lets anybody add members."""
    error = from_problem({"world": "RML2", "balance": 30, "blob": "x" * 1_000_000})
    assert error.details["problem"]["balance"] == 30
    assert len(error.details["problem"]["blob"]) < 3_000


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "[]",
        b"\xff",
        "{",
        '{"a": NaN}',
        '{"a": 1, "a": 2}',
        "[" * 30_000,
        b" " * (PROBLEM_BYTES_MAX + 1),
        '{"a": ' + "9" * 5_000 + "}",
    ],
    ids=[
        "none",
        "list",
        "json list",
        "not utf-8",
        "cut",
        "nan",
        "twice",
        "deep",
        "large",
        "long int",
    ],
)
def test_what_is_no_problem_is_refused(body: Any) -> None:
    """With a clear error, whatever was sent."""
    with pytest.raises(InvalidInputError):
        from_problem(body)

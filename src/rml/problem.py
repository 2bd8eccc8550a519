"""An error as `application/problem+json` (RFC 9457), and back.

The body is one JSON object. Readers ignore members they do not know (RFC 9457, section 3.2).

=========== ======== =========================================================================
member      type     meaning
=========== ======== =========================================================================
`type`      string   URI of the problem type: `type_base` and the code in lower case with hyphens,
                     or `about:blank` without a base (section 4.2.1)
`title`     string   the same for every problem of the type: the default message of the class; for
                     `about:blank` the phrase of the status
`status`    number   the HTTP status of the response, repeated for those who see the body alone
`detail`    string   the error's message if its class is `public`, else the default message
`instance`  string   optional: URI of this occurrence
`code`      string   what to branch on, `[A-Z][A-Z0-9_]+[A-Z0-9]`
`world`     string   `RML1`, `RML2` or `RML3`
`action`    string   `handle-locally`, `retry-with-backoff`, `start-compensation` or
                     `escalate-history`
`details`   object   the details that the class names in `public_details`; absent if none
=========== ======== =========================================================================

The last four are extension members (section 3.2). A client sees neither cause, stack, severity nor
verdict, and of message and details only what the class declares to be public.

The status is the `http_status` of the class; without one, or if something behind the error widened
its world, it is 400 for RML1, 503 for `retry-with-backoff`, 502 for `start-compensation`, and 500
for `escalate-history`.

    >>> from rml.error import HistoryError
    >>> class PaymentAlreadySettled(HistoryError):
    ...     "The payment is settled and cannot be changed."
    ...
    ...     code = "PAYMENT_ALREADY_SETTLED"
    ...     http_status = 409
    ...     public_details = ("payment_id",)
    >>> error = PaymentAlreadySettled(
    ...     "pay-42 is in batch 7 of Tuesday", details={"payment_id": "pay-42", "batch": 7}
    ... )
    >>> import json
    >>> print(json.dumps(to_problem(error, type_base="https://pay.example/problems/"), indent=2))
    {
      "type": "https://pay.example/problems/payment-already-settled",
      "title": "The payment is settled and cannot be changed.",
      "status": 409,
      "detail": "The payment is settled and cannot be changed.",
      "code": "PAYMENT_ALREADY_SETTLED",
      "world": "RML3",
      "action": "escalate-history",
      "details": {
        "payment_id": "pay-42"
      }
    }
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from rml.cause import clip
from rml.codec import parse_json
from rml.detail import clean_details
from rml.error import InvalidInputError, RmlError, class_for
from rml.redact import allow_list
from rml.tag import members_of, read_fields
from rml.world import Action, World

__all__ = ["CONTENT_TYPE", "PROBLEM_BYTES_MAX", "from_problem", "to_problem"]

CONTENT_TYPE: Final = "application/problem+json"
"""The media type of the body (RFC 9457, section 3)."""
PROBLEM_BYTES_MAX: Final = 65_536
"""Of a body that is read: problems are a page of text, and a hostile one is not parsed at all."""
URI_BYTES_MAX: Final = 2_048
"""Of a URI that is read."""

_ABOUT_BLANK: Final = "about:blank"
_MEMBERS: Final = ("code", "world", "action", "details", "title", "detail", "status")
_STATUS: Final = {
    Action.HANDLE_LOCALLY: HTTPStatus.BAD_REQUEST,
    Action.RETRY_WITH_BACKOFF: HTTPStatus.SERVICE_UNAVAILABLE,
    Action.START_COMPENSATION: HTTPStatus.BAD_GATEWAY,
    Action.ESCALATE_HISTORY: HTTPStatus.INTERNAL_SERVER_ERROR,
}


def to_problem(
    error: RmlError,
    *,
    type_base: str | None = None,
    instance: str | None = None,
    status: int | None = None,
) -> dict[str, Any]:
    """Return what a client may see of an error, as the JSON data of a problem.

    Args:
        error: the error.
        type_base: a URI up to and including its last separator, under which problem types are
            documented.
        instance: the URI of this occurrence, for example of an incident's public page.
        status: the HTTP status of the response, 400 to 599. Default: as the module says.

    Raises:
        InvalidInputError: an argument is not of its type, or the status no error's.
    """
    _check("error", error, RmlError, "pass an RmlError")
    _check("type_base", type_base, str | None, "pass a URI as text")
    _check("instance", instance, str | None, "pass a URI as text")
    number = _status_of(error) if status is None else status
    _check("status", number, int, _STATUS_WANTED)
    if not 400 <= number <= 599:  # noqa: PLR2004 - the classes of errors
        raise InvalidInputError.about("status", number, _STATUS_WANTED)
    default = clip(type(error).default_message(), URI_BYTES_MAX)
    problem: dict[str, Any] = {"type": _ABOUT_BLANK, "title": _phrase(number)}
    if type_base is not None:
        slug = error.code.lower().replace("_", "-")
        problem = {"type": type_base + slug, "title": default}
    problem |= {"status": int(number), "detail": error.message if error.public else default}
    if instance is not None:
        problem["instance"] = instance
    problem |= {"code": error.code, "world": error.world.value, "action": error.action.value}
    if details := allow_list(clean_details(error.details), error.public_details):
        problem["details"] = details
    return problem


def from_problem(body: Mapping[str, Any] | str | bytes) -> RmlError:
    """Return the error that a problem tells of, in the class registered for its code here.

    Members of a wrong type are ignored, as RFC 9457, section 3.1, asks. The members that an error
    has no place for (`type`, `status`, `instance`, unknown extensions) stand, bounded, under
    `details["problem"]`. A problem of no world, from a service that knows none, gets one by its
    status: 429 and 503 are RML2 to retry, other 4xx RML2 to compensate, and anything else is gray,
    so RML3. Whether an effect happened is not on the wire: it is unknown, unless the problem is
    RML1.

    Args:
        body: the parsed body, or its bytes or text, at most `PROBLEM_BYTES_MAX`.

    Raises:
        InvalidInputError: the body is too large, no JSON, or no object.
    """
    members = _read(body)
    fields = {name: members[name] for name in ("code", "world", "action") if name in members}
    if not isinstance(fields.get("world"), str):
        fields |= _world_by_status(members.get("status"))
    fields["details"] = _details_of(members)
    klass = class_for(fields.get("code"), None, read_fields(fields).get("world"))
    if klass.declared_tags()["happened"] is not None:
        fields["happened"] = None  # what the class says when raised here, nobody said there
    texts = (members.get(name) for name in ("detail", "title"))
    return klass(next((text for text in texts if isinstance(text, str)), None), fields)


_STATUS_WANTED: Final = "pass an error's HTTP status, 400 to 599"


def _check(name: str, value: object, kind: Any, way_out: str) -> None:
    if not isinstance(value, kind):
        raise InvalidInputError.about(name, value, way_out)


def _status_of(error: RmlError) -> int:
    if error.http_status is not None and error.world is type(error).world:
        return error.http_status
    if error.world is World.RML1:
        return HTTPStatus.BAD_REQUEST
    return _STATUS[error.action]


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"Status {status}"


def _read(body: object) -> dict[Any, Any]:
    if isinstance(body, str):
        body = str.__str__(body)  # a class of its own may answer anything about itself
    if isinstance(body, str | bytes):
        if len(body) > PROBLEM_BYTES_MAX:
            raise InvalidInputError(
                f"body has more than {PROBLEM_BYTES_MAX} bytes, PROBLEM_BYTES_MAX; it is no problem"
            )
        body = parse_json(body)
    members = members_of(body)
    if members is None:
        raise InvalidInputError.about("body", body, "pass a JSON object, parsed or as text")
    return members


def _world_by_status(status: object) -> dict[str, Any]:
    if isinstance(status, int) and status in (
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ):
        return {"world": World.RML2, "action": Action.RETRY_WITH_BACKOFF}
    if isinstance(status, int) and 400 <= status < 500:  # noqa: PLR2004 - client errors
        return {"world": World.RML2, "action": Action.START_COMPENSATION}
    return {"world": World.RML3, "action": Action.ESCALATE_HISTORY}


def _details_of(members: Mapping[Any, Any]) -> dict[str, Any]:
    kept = members_of(members.get("details")) or {}
    rest = {name: value for name, value in members.items() if name not in _MEMBERS}
    if isinstance(status := members.get("status"), int):
        rest["status"] = status
    if rest.get("type") == _ABOUT_BLANK:
        del rest["type"]
    return {**kept, "problem": rest} if rest else kept

"""What the exceptions of the standard library and of well-known clients say about one request.

A table by dotted class name, so that no client is imported to know its errors. Two things make an
exception certain, and everything else is unknown:

* It can only be raised before anything has left: a refused connection, a name without an address, a
  wrong certificate, a full pool.
* The other side has answered that it refused, in words that its protocol gives this meaning. For
  HTTP they are the statuses of `REFUSED_STATUSES`, and only where the exception shows that the
  client sent one request, of a method that changes something.

A class below another one is listed as None where it is less certain.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from rml.attempt import failed_connecting, was_sent_once

Rule = bool | Callable[[Any], bool | None] | None
"""True, False, None for unknown, or a function from the exception to one of them."""


@attrs.frozen
class Inner:
    """Judge a wrapper by the exception it names; by `otherwise` if it names none."""

    find: Callable[[Any], object]
    otherwise: bool | None = None


ANSWERS: Final = frozenset(
    {
        "httpx.HTTPStatusError",
        "requests.exceptions.HTTPError",
        "aiohttp.client_exceptions.ClientResponseError",
        "botocore.exceptions.ClientError",
        *("stripe.CardError", "stripe.InvalidRequestError"),
        *("stripe.AuthenticationError", "stripe.PermissionError"),
        "grpc.RpcError",
    }
)
"""Classes of which a refusal is an answer; the other refusals are of requests that never left.

Whoever answered may remember the request by its idempotency key, and refuse it again.
"""

REFUSED_STATUSES: Final = frozenset({400, 401, 403, 404, 405, 410, 413, 415, 422, 429})
"""HTTP statuses that say that the request was not carried out (RFC 9110, section 15.5; RFC 6585).

Not among them: 402, which services use as they like; 408, 425 and all of 5xx, which also proxies
answer that had passed the request on; 409 and 412, which may tell of this request's own double.
"""

_CHANGING: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
# aiohttp sends the others again when a kept-alive connection breaks, and tells nobody.
_SENT_ONCE_BY_AIOHTTP: Final = frozenset({"POST", "PATCH"})


def _refused(status: object) -> bool | None:
    return False if status in REFUSED_STATUSES else None


def _answer_to_httpx(exc: Any) -> bool | None:
    sent_once = not exc.response.history and exc.request.method in _CHANGING
    return _refused(exc.response.status_code) if sent_once else None


def _answer_to_requests(exc: Any) -> bool | None:
    response = exc.response
    retries = response.raw.retries  # absent after a trip through pickle: then nothing is certain
    before = response.history or (retries.history if retries is not None else ())
    sent_once = not before and response.request.method in _CHANGING
    return _refused(response.status_code) if sent_once else None


def _answer_to_aiohttp(exc: Any) -> bool | None:
    sent_once = not exc.history and exc.request_info.method in _SENT_ONCE_BY_AIOHTTP
    return _refused(exc.status) if sent_once else None


def _answer_to_botocore(exc: Any) -> bool | None:
    metadata, code = exc.response["ResponseMetadata"], exc.response["Error"]["Code"].lower()
    if metadata["RetryAttempts"] != 0 or any(sign in code for sign in _DONE_BEFORE_AT_AWS):
        return None
    return _refused(metadata["HTTPStatusCode"])


_DONE_BEFORE_AT_AWS: Final = (
    *("already", "cancel", "conditional", "conflict", "duplicate", "exist"),
    *("inuse", "mismatch", "progress", "timeout"),
)
"""Parts of AWS's error codes, in lower case, that tell of an earlier or a concurrent request."""


def _named_by_botocore(exc: Any) -> object:
    return exc.kwargs["error"] if was_sent_once(exc) else None


def _unsent_by_botocore(exc: Any) -> bool | None:
    return False if was_sent_once(exc) else None


def _behind_stripe(exc: Any) -> object:
    return exc.__cause__ if was_sent_once(exc) else None


def _refused_by_stripe(exc: Any) -> bool | None:
    """Read an invalid request: refused, unless because it, or its like, was done before.

    A 404 is unknown. The client repeats a DELETE without an idempotency key, and what it does not
    find the second time may be what it took away the first time.
    """
    code = exc.code if isinstance(exc.code, str) else ""
    done_before = exc.http_status == 404 or any(sign in code for sign in _DONE_BEFORE_AT_STRIPE)  # noqa: PLR2004
    return None if done_before else False


_DONE_BEFORE_AT_STRIPE: Final = ("already", "exists", "unexpected_state", "in_use", "lock_timeout")
"""Parts of Stripe's error codes that tell of an earlier or a concurrent request."""


def _answer_to_grpc(exc: Any) -> bool | None:
    return False if exc.code().name in _REFUSED_BY_GRPC else None


_REFUSED_BY_GRPC: Final = frozenset({"INVALID_ARGUMENT", "PERMISSION_DENIED", "UNAUTHENTICATED"})
"""Codes that no gRPC library makes up after a request was carried out (gRPC's status code guide),
and that depend on what a retry repeats, so a try before it was refused as well.

It makes up RESOURCE_EXHAUSTED when an answer is too large, UNIMPLEMENTED when there are too many,
UNAVAILABLE when a connection breaks at any time. ALREADY_EXISTS and FAILED_PRECONDITION may tell of
this request's own double, NOT_FOUND of what it took away: a retry policy leaves no trace.
"""


def _unconnected(exc: Any) -> bool | None:
    return False if failed_connecting(exc) else None


def _answer_to_smtplib(exc: Any) -> bool | None:
    """Read the reply to a message: "the requested action did not occur" (RFC 5321, 4.2.1).

    421 is no reply to the message: a server that shuts down says it at any time.
    """
    code = exc.smtp_code
    return False if 400 <= code < 600 and code != 421 else None  # noqa: PLR2004


def _first_argument(exc: Any) -> object:
    return exc.args[0] if exc.args else None


def _last_of_one(exc: Any) -> object:
    """Return the failure behind tenacity's RetryError, if there was one attempt only."""
    last = exc.last_attempt
    return last.exception() if last.attempt_number == 1 else None


def _table(prefix: str, rules: Mapping[str, Rule | Inner]) -> dict[str, Rule | Inner]:
    return {f"{prefix}.{name}": rule for name, rule in rules.items()}


RULES: Final[Mapping[str, Rule | Inner]] = {
    # Raised while connecting, before there is a connection to write to.
    "builtins.ConnectionRefusedError": False,
    "socket.gaierror": False,
    "ssl.SSLCertVerificationError": False,
    "urllib.error.URLError": Inner(lambda exc: exc.reason),
    "urllib.error.HTTPError": None,
    "tenacity.RetryError": Inner(_last_of_one),
    **dict.fromkeys(
        (
            f"{package}.{name}"
            for package in ("httpx", "httpcore")
            for name in (
                *("ConnectError", "ConnectTimeout", "PoolTimeout"),
                *("ProxyError", "UnsupportedProtocol"),  # ProxyError: refused us a tunnel
            )
        ),
        False,
    ),
    **_table("httpx", {"InvalidURL": False, "HTTPStatusError": _answer_to_httpx}),
    **_table(
        "urllib3.exceptions",
        {
            "NewConnectionError": False,
            "ConnectTimeoutError": False,
            "EmptyPoolError": False,
            "ClosedPoolError": False,
            "LocationValueError": False,
            "MaxRetryError": Inner(lambda exc: exc.reason),
            "ProxyError": Inner(lambda exc: exc.original_error),
            "SSLError": Inner(_first_argument),
        },
    ),
    **_table(
        "requests.exceptions",
        {
            "ConnectionError": Inner(_first_argument),
            "ConnectTimeout": Inner(_first_argument, otherwise=False),
            "HTTPError": _answer_to_requests,
            "InvalidHeader": False,
            "InvalidSchema": False,
            "InvalidURL": False,
            "MissingSchema": False,
            "URLRequired": False,
        },
    ),
    **_table(
        "aiohttp.client_exceptions",
        {
            "ClientConnectorError": False,
            "ConnectionTimeoutError": False,
            "ServerFingerprintMismatch": False,
            "ClientHttpProxyError": False,  # refused us a tunnel
            "ClientResponseError": _answer_to_aiohttp,
            "ContentTypeError": None,  # of an answer that was to be read
            "InvalidURL": False,
            "InvalidUrlRedirectClientError": None,
        },
    ),
    **_table(
        "botocore.exceptions",
        {
            "ClientError": _answer_to_botocore,
            "EndpointConnectionError": Inner(_named_by_botocore),
            "ProxyConnectionError": Inner(_named_by_botocore),
            "SSLError": Inner(_named_by_botocore),
            "ConnectTimeoutError": _unsent_by_botocore,
            "NoCredentialsError": _unsent_by_botocore,
            "NoRegionError": False,
            "ParamValidationError": False,
        },
    ),
    **_table(
        "stripe",
        {
            # Refused by the endpoint itself, whose answer belongs to the idempotency key.
            "CardError": False,
            "InvalidRequestError": _refused_by_stripe,
            # Refused before the endpoint; every retry carried the same credentials.
            "AuthenticationError": False,
            "PermissionError": False,
            "APIConnectionError": Inner(_behind_stripe),
            # Refused before the endpoint, which says nothing of a try before it: overload brings
            # timeouts first. With the client's own retries off, register False.
            "RateLimitError": None,
        },
    ),
    "grpc.RpcError": _answer_to_grpc,
    "psycopg.OperationalError": _unconnected,
    **_table(
        "smtplib",
        {
            "SMTPConnectError": False,
            "SMTPHeloError": False,
            "SMTPAuthenticationError": False,
            "SMTPNotSupportedError": False,
            "SMTPSenderRefused": False,
            "SMTPRecipientsRefused": False,  # raised only if nobody is left to send to
            "SMTPDataError": _answer_to_smtplib,
        },
    ),
}
"""What is known of the standard library and of well-known clients."""

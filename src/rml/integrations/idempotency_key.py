"""Which HTTP requests need an `Idempotency-Key`, whose keys they are, and how they are answered.

It follows the IETF draft *The Idempotency-Key HTTP Header Field* (-07), which leaves open what to
say when nobody knows how a request ended. A request that carries a key is an effect of
:func:`rml.idempotent`: its intent is durable before the application is called, and the
application's response is its result. :mod:`rml.integrations.asgi` and :mod:`rml.integrations.wsgi`
are the two ways in.

=========================================== ====== ==========================================
a request                                   status problem
=========================================== ====== ==========================================
without a key                               400    `IDEMPOTENCY_KEY_MISSING`
with a malformed key, or with two           400    `IDEMPOTENCY_KEY_MALFORMED`
of a caller that `tenant=` does not know    403    `IDEMPOTENCY_TENANT_UNKNOWN`
with a body that is too large               413    `REQUEST_BODY_TOO_LARGE`
that is another one under a used key        422    `IDEMPOTENCY_FINGERPRINT_MISMATCH`
like one in flight                          409    `IDEMPOTENCY_IN_FLIGHT`, with `Retry-After`
like one whose end nobody knows             409    `EFFECT_IN_DOUBT`
like one that is done, its response lost    409    `EFFECT_RESULT_UNAVAILABLE`
like one that is done                       first  the first response, `Idempotent-Replayed: true`
=========================================== ====== ==========================================
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

import attrs

from rml.codec import canonical_json
from rml.effect.errors import (
    DefinitionError,
    InFlightError,
    KeyMissingError,
    ResultUnavailableError,
)
from rml.effect.idempotent import idempotent
from rml.effect.operation import LEASE_SECONDS
from rml.effect.request import key_text
from rml.effect.state import Effect, EffectState
from rml.error import ConfigurationError, RmlError
from rml.integrations.http_exchange import (
    REPLAYED,
    RESPONSE_BYTES_MAX,
    Answer,
    Exchange,
    UnknownEndError,
    note_error,
)
from rml.integrations.http_request import (
    HEADER,
    REQUEST_BYTES_MAX,
    BodyIncompleteError,
    BodyTooLargeError,
    KeyMalformedError,
    TenantUnknownError,
    parse_key,
)
from rml.ledger.ledger import Ledger
from rml.problem import CONTENT_TYPE, to_problem
from rml.redact import Secret
from rml.tag import shown

__all__ = [
    "CREDENTIAL_HEADERS",
    "KEPT_HEADERS",
    "OPERATIONS",
    "RETRY_AFTER_SECONDS_MAX",
    "Answer",
    "BodyIncompleteError",
    "BodyTooLargeError",
    "IdempotencyKeys",
    "KeyMalformedError",
    "TenantUnknownError",
    "UnknownEndError",
    "by_status",
    "note_error",
]

OPERATIONS: Final = MappingProxyType({"POST *": "http.post", "PATCH *": "http.patch"})
# What describes the response itself. Cookies, dates and trace ids belong to the first one alone.
KEPT_HEADERS: Final = (
    "Cache-Control",
    "Content-Disposition",
    "Content-Encoding",
    "Content-Language",
    "Content-Location",
    "Content-Type",
    "ETag",
    "Last-Modified",
    "Link",
    "Location",
    "Retry-After",
    "Vary",
)
# Where credentials stand; what `tenant=` returns is recorded in clear, and must be none of these.
CREDENTIAL_HEADERS: Final = ("Authorization", "Proxy-Authorization", "Cookie", "X-Api-Key")
# A request in flight may hold its lease for a minute, but is nearly always over long before.
RETRY_AFTER_SECONDS_MAX: Final = 5
_WILD: Final = {"*": ".*", "{": "[^/]+"}
_BODILESS: Final = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)


def by_status(status: int, headers: Mapping[str, str]) -> EffectState:  # noqa: ARG001 - for users' own
    """Return what a response means: 5xx leaves doubt, everything else is the end."""
    return EffectState.DONE if status < HTTPStatus.INTERNAL_SERVER_ERROR else EffectState.IN_DOUBT


@attrs.frozen(kw_only=True, eq=False, slots=False)
class IdempotencyKeys:
    """Which requests need a key, whose keys they are, and what the responses mean.

    Args:
        tenant: whose key it is: a function of the ASGI scope or the WSGI environ that returns the
            tenant's id, which is recorded in clear, or an :class:`rml.Secret` of the credential, of
            which only a digest is. ``None`` returned refuses the request, and so does no text, also
            in a secret. Given ``None`` instead of a function, all callers are one tenant and can be
            given each other's responses.
        operations: the operation of each kind of request, by its method and path, as in
            ``{"POST /charges/{id}/refunds": "http.refund"}``; ``{...}`` stands for one segment and
            ``*`` for anything. The first match counts. Other requests need no key. A key belongs to
            its operation: the same key for another operation is another key, and for another path
            of the same operation another request.
        type_base: the URI under which the problem types are documented; see :func:`rml.to_problem`.
        statuses: other HTTP statuses for problems, by code.
        kept_headers: the response headers that are recorded and replayed.
        classify: what a response means, from its status and its headers by lower-case name:
            ``DONE``, ``NOT_DONE`` or ``IN_DOUBT``. It is not asked where an error says it.
        request_bytes_max: how large a body may be.
        provider_idempotent: as in :func:`rml.idempotent`, and so the others.
        retention: how long the other side recognises a key, in seconds.
        reconcile: finds out what became of a request; its result is an :class:`Answer`.
        wait: seconds that a duplicate waits for the request in flight.
        lease: seconds after which a request without an end is in doubt.
        ledger: the ledger to record in, if not the configured one.

    Raises:
        DefinitionError: says which of these cannot be kept safe.
    """

    tenant: Callable[[Any], Any] | None
    operations: Mapping[str, str] = OPERATIONS
    type_base: str | None = None
    statuses: Mapping[str, int] = attrs.field(factory=dict)
    kept_headers: Sequence[str] = KEPT_HEADERS
    classify: Callable[[int, Mapping[str, str]], EffectState] = by_status
    request_bytes_max: int = REQUEST_BYTES_MAX
    provider_idempotent: bool = False
    retention: float | timedelta | None = None
    reconcile: Callable[[Effect], Any] | None = None
    wait: float | timedelta = 0
    lease: float | timedelta = LEASE_SECONDS
    ledger: Ledger | None = None

    def __attrs_post_init__(self) -> None:
        if self.tenant is not None and not callable(self.tenant):
            raise DefinitionError("tenant must be a function of the request, or None")
        if isinstance(self.kept_headers, str):
            raise DefinitionError("kept_headers must be a list of names: ('Content-Type',)")
        for code, status in self.statuses.items():
            if not 400 <= status <= 599:  # noqa: PLR2004 - the classes of errors
                raise DefinitionError(f"statuses[{code!r}] is {shown(status)}; give 400 to 599")
        # Made here, and not by the first request: frameworks make their middleware late, and who
        # only reconciles would never see operations that were defined there.
        _ = self.protected

    @cached_property
    def protected(self) -> Mapping[str, Callable[..., Any]]:
        """What carries a request out by a ``def``, protected, for each operation."""
        return self._protect(is_async=False)

    @cached_property
    def protected_async(self) -> Mapping[str, Callable[..., Any]]:
        """What carries a request out by an ``async def``, likewise."""
        return self._protect(is_async=True)

    @cached_property
    def _routes(self) -> Sequence[tuple[str, re.Pattern[str], str]]:
        return _routes_of(self.operations)

    def operation_of(self, method: str, path: str) -> str | None:
        """Return the operation of a request, ``None`` if it needs no key."""
        method = method.upper()  # frameworks answer `post` as `POST`, so it is no way around a key
        for wanted, pattern, operation in self._routes:
            if wanted == method and pattern.fullmatch(path):
                return operation
        return None

    def _protect(self, *, is_async: bool) -> Mapping[str, Callable[..., Any]]:
        carry_out = _carrying_out(is_async=is_async)
        return {
            operation: idempotent(
                operation,
                key="key",
                scope=None if self.tenant is None else "tenant",
                exclude=("exchange", "run"),
                personal=("path",),
                provider_idempotent=self.provider_idempotent,
                retention=self.retention,
                reconcile=self.reconcile,
                wait=self.wait,
                lease=self.lease,
                ledger=self.ledger,
            )(carry_out)
            for operation in dict.fromkeys(operation for _, _, operation in self._routes)
        }

    def caller(self, request: Any, header: Callable[[str], Sequence[str]]) -> dict[str, Any]:
        """Return key and tenant of a request.

        Args:
            request: its ASGI scope or WSGI environ.
            header: returns the lines of a header.

        Raises:
            KeyMissingError: it has no key, or none that can be used.
            TenantUnknownError: it is not known whose key it is.
            ConfigurationError: the tenant is a credential, which would be recorded in clear, or of
                a type that names nobody.
        """
        key = parse_key(header(HEADER))
        if self.tenant is None:
            return {"key": key, "tenant": None}
        tenant = self.tenant(request)
        credential = tenant.reveal() if isinstance(tenant, Secret) else tenant
        if credential is None or credential in ("", b""):
            raise TenantUnknownError
        if isinstance(tenant, Secret):
            text = canonical_json(["rml/1/tenant", str(credential)])
            return {"key": key, "tenant": f"sha256:{hashlib.sha256(text).hexdigest()}"}
        credentials = [value for name in CREDENTIAL_HEADERS for value in header(name)]
        if any(tenant in (value, value.partition(" ")[2]) for value in credentials):
            raise ConfigurationError(
                "tenant= returned the caller's credential, which would be recorded in clear; "
                "return the tenant's id, or rml.Secret(credential) to record a digest"
            )
        try:
            key_text("tenant", tenant)
        except KeyMissingError as error:
            if isinstance(tenant, str):
                raise TenantUnknownError from error
            raise ConfigurationError(f"tenant= returned no tenant's id: {error.message}") from error
        return {"key": key, "tenant": tenant}

    def exchange(self) -> Exchange:
        """Return the exchange for one more request."""
        kept = frozenset(name.lower() for name in self.kept_headers)
        return Exchange(kept, self.classify, self.answer)

    def answer(self, error: RmlError) -> Answer:
        """Return an error as a problem, and note it as what ends the request.

        It is for the error handlers of frameworks, which make responses of exceptions.

        Raises:
            InvalidInputError: it is no :class:`rml.RmlError`.
        """
        problem = to_problem(error, type_base=self.type_base, status=self.statuses.get(error.code))
        note_error(error)
        headers = [("Content-Type", CONTENT_TYPE)]
        if error.retry_after is not None:
            seconds = max(1, math.ceil(error.retry_after))
            if isinstance(error, InFlightError):
                seconds = min(seconds, RETRY_AFTER_SECONDS_MAX)
            headers.append(("Retry-After", str(seconds)))
        return Answer(problem["status"], tuple(headers), json.dumps(problem, ensure_ascii=False))

    def replay(self, answer: Answer) -> Answer:
        """Return a kept response as it is given again.

        Raises:
            ResultUnavailableError: its body was too large to be kept.
        """
        if answer.body is None:
            raise ResultUnavailableError(
                f"the request is done and was answered {answer.status}, but the response had more "
                f"than {RESPONSE_BYTES_MAX} bytes (RESPONSE_BYTES_MAX) and was not kept"
            )
        headers = [*answer.headers, (REPLAYED, "true")]
        if answer.status not in _BODILESS:
            headers.append(("Content-Length", str(len(answer.content))))
        return attrs.evolve(answer, headers=tuple(headers))


def _carrying_out(*, is_async: bool) -> Callable[..., Any]:
    """Return the handler of all operations: it runs the application, and returns what it answered.

    The first four parameters are what a request is known by.
    """

    def carry_out(
        *,
        key: str,  # noqa: ARG001
        tenant: Any,  # noqa: ARG001
        path: str,  # noqa: ARG001
        request: str,  # noqa: ARG001
        exchange: Exchange,
        run: Callable[[], None],
    ) -> Answer:
        with exchange.running():
            run()
        return exchange.ended()

    async def carry_out_async(
        *,
        key: str,  # noqa: ARG001
        tenant: Any,  # noqa: ARG001
        path: str,  # noqa: ARG001
        request: str,  # noqa: ARG001
        exchange: Exchange,
        run: Callable[[], Awaitable[None]],
    ) -> Answer:
        with exchange.running():
            await run()
        return exchange.ended()

    return carry_out_async if is_async else carry_out


def _routes_of(operations: Mapping[str, str]) -> Sequence[tuple[str, re.Pattern[str], str]]:
    routes: list[tuple[str, re.Pattern[str], str]] = []
    for text, operation in operations.items():
        method, _, path = text.partition(" ")
        if not method.isupper() or not path.startswith(("/", "*")):
            raise DefinitionError(f"operations names {shown(text)}; write it as 'POST /charges'")
        parts = re.split(r"(\{[^{}/]*\}|\*)", path)
        pattern = "".join(_WILD.get(part[:1], re.escape(part)) for part in parts)
        routes.append((method, re.compile(pattern, re.DOTALL), operation))
    return routes

"""What a request with an `Idempotency-Key` says: its key, and what it asks for; no I/O."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any, ClassVar, Final

from rml.codec import canonical_json
from rml.effect.errors import KeyMissingError
from rml.effect.values import to_typed
from rml.error import ClosedError
from rml.ledger.entry import TEXT_CHARACTERS_MAX

HEADER: Final = "Idempotency-Key"
KEY_CHARACTERS_MAX: Final = TEXT_CHARACTERS_MAX  # what an entry's header takes, and Stripe's limit
# A request is held in memory, to be compared and then handed to the application.
REQUEST_BYTES_MAX: Final = 1 << 20

# RFC 8941, section 3.3.3: a String; and what clients send without quotes, where a comma would be
# the seam of two header lines and a semicolon the start of a parameter.
_QUOTED: Final = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])+)"')
_BARE: Final = re.compile(r"[!#-+\--:<-\[\]-~]+")


class KeyMalformedError(KeyMissingError):
    """The Idempotency-Key is not one string of 1 to 255 printable ASCII characters."""

    code = "IDEMPOTENCY_KEY_MALFORMED"


class TenantUnknownError(ClosedError):
    """The request does not say whose idempotency key it carries; nothing was done."""

    code = "IDEMPOTENCY_TENANT_UNKNOWN"
    http_status: ClassVar[int | None] = 403


class BodyTooLargeError(ClosedError):
    """The body is larger than a request with an idempotency key may have; nothing was done."""

    code = "REQUEST_BODY_TOO_LARGE"
    http_status: ClassVar[int | None] = 413


class BodyIncompleteError(ClosedError):
    """The body is not as long as its Content-Length says; nothing was done."""

    code = "REQUEST_BODY_INCOMPLETE"
    http_status: ClassVar[int | None] = 400


def parse_key(lines: Sequence[str]) -> str:
    """Return the key that a request's `Idempotency-Key` header lines hold.

    The draft asks for a String of RFC 8941 (section 3.3.3), in quotes; most clients send the bare
    characters. Both are the same key.

        >>> parse_key(['"ord-7"']), parse_key(["ord-7"])
        ('ord-7', 'ord-7')

    Raises:
        KeyMissingError: there is none.
        KeyMalformedError: there are two, or it is no such string.
    """
    if not lines:
        raise KeyMissingError(f"the request has no {HEADER} header")
    text = lines[0].strip(" \t")
    quoted = _QUOTED.fullmatch(text)
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else text
    whole = quoted or _BARE.fullmatch(text)
    if len(lines) > 1 or not whole or len(key) > KEY_CHARACTERS_MAX:
        raise KeyMalformedError
    return key


def fingerprint(method: str, query: str, content_type: str, body: bytes) -> str:
    """Return a digest of what a request asks for, apart from its path.

    JSON is compared by value, so that neither white space nor the order of members makes another
    request of a repetition; numbers count as they are written, ``1.0`` and ``1`` being two. Other
    bodies, and what only claims to be JSON, are compared byte by byte. Headers do not count, but
    for the content type.
    """
    media = content_type.partition(";")[0].strip().lower()
    asked: object = [content_type.strip(), hashlib.sha256(body).hexdigest()]
    if media == "application/json" or media.endswith("+json"):
        with suppress(ValueError, ArithmeticError, RecursionError):
            asked = {media: to_typed(_read_json(body), floats=False)}
    return hashlib.sha256(canonical_json([method, query, asked])).hexdigest()


def _read_json(body: bytes) -> Any:
    return json.loads(
        body.decode(),
        object_pairs_hook=_members,
        parse_int=Decimal,  # a number is what was written: no binary fraction, no rounding
        parse_float=Decimal,
        parse_constant=_refuse,
    )


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    return made if len(made) == len(pairs) else _refuse("a member stands twice")


def _refuse(what: str) -> Any:
    raise ValueError(what)

"""How values become bytes, and how they become facts.

*Canonical bytes* are RFC 8785 (JSON Canonicalization Scheme), refusing what that scheme cannot
carry: NaN and infinities, integers beyond 2**53 - 1, lone surrogates. *Plain data* is JSON for
people who query: a ``Decimal`` as its text, a date as ISO text. Errors name the place in the value,
never the value.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from rml.clock import utc_text
from rml.error import InvalidInputError
from rml.redact import Secret

# RFC 8785, section 3.2.2.3: numbers are IEEE doubles; beyond this, other languages round integers.
INTEGER_MAX: Final = 2**53 - 1
# Python's own recursion guard would answer later and less clearly.
DEPTH_MAX: Final = 64
_ES6_PLAIN_MAX: Final = (
    21  # digits before the point that ECMAScript still writes without an exponent
)
_ES6_PLAIN_MIN: Final = -6


def _encoder(*, sort_keys: bool) -> Callable[[object], str]:
    """Return a function that writes checked data.

    ``JSONEncoder.encode`` makes a new C encoder for every value, which costs more than the values
    of most entries; where there is one, it is made once.
    """
    plain = json.JSONEncoder(
        sort_keys=sort_keys, ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:  # a Python without it
        return plain.encode
    quote = json.encoder.encode_basestring
    chunks = make(None, plain.default, quote, None, ":", ",", sort_keys, False, False)  # noqa: FBT003
    return lambda value: "".join(chunks(value, 0))


_encode = _encoder(sort_keys=True)
_compact = _encoder(sort_keys=False)
_quote = json.encoder.encode_basestring
_ESCAPED_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_ALWAYS_SIMPLE: Final = frozenset({str, bool, type(None)})
_NO_UNICODE: Final = "holds half of a surrogate pair, which is not Unicode text"
# Of a path in a message: enough to find the place, whatever was nested.
_PATH_MAX: Final = 200


class EncodingError(InvalidInputError):
    """A value cannot be written down faithfully."""

    code = "NOT_ENCODABLE"


class DecodingError(InvalidInputError):
    """Bytes that should be JSON are not."""

    code = "NOT_DECODABLE"


def canonical_json(value: object, path: str = "$", *, checked: bool = False) -> bytes:
    """Return the RFC 8785 bytes of JSON data.

    Args:
        value: ``None``, bool, int, float, str, list, tuple or dict with str keys, nested at most
            64 deep.
        path: what errors call the whole value.
        checked: the value is known to have a canonical form, and to hold no float and no tuple.

    Raises:
        EncodingError: names the place (``$.details.amount``) of what has no canonical form.
    """
    if checked:
        text = _encode(value)
        if text.isascii():  # so its keys are sorted by UTF-16 units, too
            return text.encode()
    simple = _check(value, path, 0)
    text = _encode(value) if simple else _write(value)
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise _half_a_pair(value, path) from None


def compact_json(value: object, path: str = "$", *, checked: bool = False) -> bytes:
    """Return JSON bytes in which members keep their order, for values that must come back the same.

    ``checked`` says that every part of the value has been through :func:`canonical_json`.

    Raises:
        EncodingError: as :func:`canonical_json`.
    """
    if not checked:
        _check(value, path, 0)
    try:
        return _compact(value).encode()
    except UnicodeEncodeError:
        raise _half_a_pair(value, path) from None


def canonical_texts(*texts: str) -> bytes:
    """Return the canonical JSON of a list of texts: what :func:`canonical_json` gives, sooner.

    Raises:
        EncodingError: a text holds half of a surrogate pair.
    """
    try:
        return f"[{','.join(map(_quote, texts))}]".encode()
    except UnicodeEncodeError:
        raise _half_a_pair(texts, "$") from None


def _half_a_pair(value: object, path: str) -> EncodingError:
    place = _lone_surrogate(value, path) or path
    return EncodingError(f"the text at {place} {_NO_UNICODE}; replace it before recording")


def _lone_surrogate(value: object, path: str) -> str | None:
    """Return the place of the first text without a UTF-8 form; a key's place is its object."""
    if isinstance(value, str):
        return path if any("\ud800" <= c <= "\udfff" for c in value) else None
    if isinstance(value, dict):
        inner = [(path, key) for key in value]
        shown = [key.encode(errors="backslashreplace").decode()[:_PATH_MAX] for key in value]
        inner += [(f"{path}.{key}", item) for key, item in zip(shown, value.values(), strict=True)]
    elif isinstance(value, list | tuple):
        inner = [(f"{path}[{i}]", item) for i, item in enumerate(value)]
    else:
        return None
    return next((found for place, item in inner if (found := _lone_surrogate(item, place))), None)


def parse_json(data: bytes | str) -> Any:
    """Read JSON strictly: UTF-8, no duplicate keys, no NaN, no overflow, no lone surrogate.

    Raises:
        DecodingError: says what is wrong and where.
    """
    try:
        text = data.decode() if isinstance(data, bytes) else data
        if text is data:
            text.encode()
        value = _strict.decode(text)
    except UnicodeDecodeError as error:
        message = f"the bytes are not UTF-8 (byte {error.start})"
        raise DecodingError(message) from None
    except (ValueError, RecursionError) as error:
        message = f"the text is not strict JSON: {error}"
        raise DecodingError(message) from None
    if _ESCAPED_SURROGATE.search(text) and (place := _lone_surrogate(value, "$")):
        raise DecodingError(f"the text at {place} {_NO_UNICODE}")
    return value


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        message = "a key stands twice in one object"
        raise ValueError(message)
    return made


def _constant(name: str) -> Any:
    message = f"{name} is not JSON"
    raise ValueError(message)


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        message = "a number is too large for a double"
        raise ValueError(message)
    return number


_strict = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant, parse_float=_finite)


def _check(value: object, path: str, depth: int) -> bool:
    """Refuse what has no canonical form; return whether the C encoder writes that form already."""
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return True
    if kind is int:
        if -INTEGER_MAX <= value <= INTEGER_MAX:  # type: ignore[operator]
            return True
        raise _too_large(path)
    if kind is float:
        if math.isfinite(value):  # type: ignore[arg-type]
            return False
        message = f"the number at {path} is NaN or infinite, which JSON has no word for"
        raise EncodingError(message)
    if kind is dict or kind is list or kind is tuple:
        return _check_items(value, path, depth)
    if isinstance(value, str) and isinstance(value, Enum):
        return True
    message = f"the value at {path} is {kind.__name__}, which has no canonical form"
    raise EncodingError(message)


def _check_items(value: Any, path: str, depth: int) -> bool:
    if depth > DEPTH_MAX:
        raise EncodingError(
            f"the value is nested deeper than {DEPTH_MAX} levels (DEPTH_MAX) at {path[:_PATH_MAX]}"
        )
    simple = True
    if type(value) is not dict:
        for i, inner in enumerate(value):
            if type(inner) not in _ALWAYS_SIMPLE:
                simple = _check(inner, f"{path}[{i}]", depth + 1) and simple
        return simple
    for key, inner in value.items():
        if type(key) is not str:
            message = f"a key at {path} is {type(key).__name__}, not text"
            raise EncodingError(message)
        if type(inner) not in _ALWAYS_SIMPLE:
            simple = _check(inner, f"{path}.{key}", depth + 1) and simple
        simple = simple and key.isascii()
    return simple


def _too_large(path: str) -> EncodingError:
    reason = "is beyond 2**53 - 1, which JSON readers round"
    return EncodingError(f"the integer at {path} {reason}; record it as text")


def _write(value: Any) -> str:
    """Write checked data where RFC 8785 and the C encoder differ: numbers, keys by UTF-16 units."""
    if type(value) is float:
        return _es6_number(value)
    if isinstance(value, dict):
        members = sorted(
            value.items(), key=lambda member: member[0].encode("utf-16-be", "surrogatepass")
        )
        return "{" + ",".join(f"{_quote(key)}:{_write(inner)}" for key, inner in members) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(_write(inner) for inner in value) + "]"
    return _quote(value) if isinstance(value, str) else _encode(value)


def _es6_number(number: float) -> str:
    """Write a finite double as ECMAScript does (RFC 8785, section 3.2.2.3)."""
    if number == 0:
        return "0"
    sign, digit_tuple, exponent = Decimal(repr(number)).as_tuple()
    assert isinstance(exponent, int)
    digits = "".join(map(str, digit_tuple)).rstrip("0")
    exponent += len(digit_tuple) - len(digits)
    point = len(digits) + exponent  # where the decimal point stands, counted from the first digit
    if len(digits) <= point <= _ES6_PLAIN_MAX:
        body = digits + "0" * (point - len(digits))
    elif 0 < point <= _ES6_PLAIN_MAX:
        body = f"{digits[:point]}.{digits[point:]}"
    elif _ES6_PLAIN_MIN < point <= 0:
        body = "0." + "0" * -point + digits
    else:
        mantissa = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
        body = f"{mantissa}e{point - 1:+d}"
    return "-" + body if sign else body


def plain(value: object, path: str = "$", depth: int = 0) -> Any:
    """Return JSON data that people can query, for a fact in clear.

    ``Decimal`` and ``UUID`` become their text, aware datetimes UTC text, dates ISO text, enum
    members their value. Floats are refused: money in binary fractions is the oldest bug of all.

    Raises:
        EncodingError: names the place and what to give instead.
    """
    kind = type(value)
    if kind is int and -INTEGER_MAX <= value <= INTEGER_MAX:  # type: ignore[operator]
        return value
    if kind in _ALWAYS_SIMPLE:
        return value
    if isinstance(value, Enum):
        return plain(value.value, path, depth)
    if isinstance(value, dict | list | tuple):
        return _plain_items(value, path, depth)
    for kind, write in _PLAIN.items():
        if isinstance(value, kind):
            return write(value, path)
    raise EncodingError(
        f"the fact at {path} is {type(value).__name__}; give text, an int, a bool, a Decimal, "
        "a date, a UUID, an enum member, or lists and dicts of these"
    )


def _plain_items(
    value: dict[Any, Any] | list[Any] | tuple[Any, ...], path: str, depth: int
) -> dict[str, Any] | list[Any]:
    if depth >= DEPTH_MAX:
        where = path[:_PATH_MAX]
        raise EncodingError(
            f"the fact at {where} is nested deeper than {DEPTH_MAX} levels (DEPTH_MAX)"
        )
    if isinstance(value, dict):
        return {
            _key(key, path): plain(inner, f"{path}.{key}", depth + 1)
            for key, inner in value.items()
        }
    return [plain(inner, f"{path}[{i}]", depth + 1) for i, inner in enumerate(value)]


def _no_float(_value: float, path: str) -> str:
    raise EncodingError(f"the fact at {path} is a float; give whole minor units (int) or a Decimal")


def _no_secret(_value: Secret[Any], path: str) -> str:
    raise EncodingError(
        f"the fact at {path} is a Secret, and secrets are not recorded; "
        "leave it out, or put what it reveals into personal=, where it can be erased"
    )


def _whole(value: int, path: str) -> int:
    number = int.__add__(value, 0)  # a class of its own may answer anything
    if -INTEGER_MAX <= number <= INTEGER_MAX:
        return number
    raise _too_large(path)


def _decimal_text(value: Decimal, path: str) -> str:
    if not value.is_finite():
        message = f"the Decimal at {path} is not a finite number"
        raise EncodingError(message)
    return str(value)


def _moment_text(value: datetime, path: str) -> str:
    try:
        return utc_text(value)
    except ValueError as error:
        message = f"at {path}: {error}"
        raise EncodingError(message) from None


def _key(key: object, path: str) -> str:
    if type(key) is str:
        return key
    message = f"a key at {path} is {type(key).__name__}, not text"
    raise EncodingError(message)


def _text(value: object, _path: str) -> str:
    return str.__str__(value) if isinstance(value, str) else str(value)


# In this order: a datetime is a date, too.
_PLAIN: Final[Mapping[type, Callable[[Any, str], Any]]] = MappingProxyType(
    {
        int: _whole,
        str: _text,
        float: _no_float,
        Secret: _no_secret,
        Decimal: _decimal_text,
        datetime: _moment_text,
        date: _text,
        UUID: _text,
    }
)

"""Values that must be recognised or come back as they were: typed JSON, and back.

JSON has six kinds of value; Python programs have more. A value that JSON has no word for stands as
``{"$": word, "v": JSON}``: ``tuple``, ``int`` (beyond 2**53 - 1), ``float``, ``decimal``,
``bytes``, ``uuid``, ``datetime``, ``date``, ``time``, ``timedelta``, ``dict`` (keys that are not
text, or that say ``$``), ``enum`` and ``object`` (dataclasses, attrs classes, pydantic models,
named tuples: the class's name and its fields). Nothing is imported when
reading: classes come from the handler's own annotation.
"""

from __future__ import annotations

import base64
import dataclasses
import importlib
import types
import typing
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final, Union, get_args, get_origin
from uuid import UUID

import attrs

from rml.cause import clip, text_of
from rml.codec import DEPTH_MAX, INTEGER_MAX, DecodingError, EncodingError, canonical_json
from rml.tag import shown

_MARK: Final = "$"
_VALUE: Final = "v"
# Typed JSON stands a few levels deep in what it is recorded with, and must not reach the codec's
# own limit there.
_LEVELS_MAX: Final = DEPTH_MAX - 4
# What has a value besides its fields.
_WITH_CONTENT: Final = (str, bytes, int, float, list, dict, set, frozenset)
_PLAIN: Final = frozenset({str, int, bool, type(None)})


def to_typed(value: object, path: str = "$", *, floats: bool = True, depth: int = 0) -> Any:
    """Return JSON data from which :func:`from_typed` makes an equal value of the same type.

    Args:
        value: what to write down.
        path: how errors name the value.
        floats: whether binary fractions are taken. Where they are not, the value is only compared,
            so the order of a dict's members does not count either.
        depth: how deep the value stands already, in levels of JSON.

    Raises:
        EncodingError: names the place of what cannot be written down faithfully.
    """
    kind = type(value)
    if kind is str:
        return value if value.isascii() else _text(value, path)  # type: ignore[attr-defined, arg-type]
    if value is None or kind is bool:
        return value
    if kind is int:
        return value if -INTEGER_MAX <= value <= INTEGER_MAX else _integer(value, path)  # type: ignore[operator, arg-type]
    if depth > _LEVELS_MAX:
        message = (
            f"{path[:80]} is nested deeper than the {DEPTH_MAX} levels (DEPTH_MAX) of its JSON"
        )
        raise EncodingError(message)

    def inner(item: object, place: object, levels: int = 1) -> Any:
        return to_typed(item, f"{path}{place}", floats=floats, depth=depth + levels)

    if kind is list:
        items: list[Any] = value  # type: ignore[assignment]
        return [inner(item, f"[{i}]") for i, item in enumerate(items)]
    if kind is dict:
        return _typed_dict(value, path, inner, ordered=floats)  # type: ignore[arg-type]
    writer = _WRITERS.get(kind)
    if writer is not None:
        word, write = writer
        try:
            return _tag(word, write(value))
        except Exception as error:  # a timezone of somebody's own may raise anything
            message = f"{path} cannot be written down ({type(error).__name__})"
            raise EncodingError(message) from error
    if kind is float and floats:
        return _tag("float", repr(value))
    return _typed_composite(value, path, inner)


def _text(value: str, path: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        message = f"{path} holds half of a surrogate pair, which is not Unicode text; replace it"
        raise EncodingError(message) from None
    return value


def _integer(value: int, path: str) -> dict[str, Any]:
    try:
        return _tag("int", str(value))
    except ValueError:
        message = f"{path} is an integer of more digits than Python writes down; give it as bytes"
        raise EncodingError(message) from None


def _typed_dict(
    value: dict[Any, Any], path: str, inner: Callable[..., Any], *, ordered: bool
) -> Any:
    if all(type(key) is str for key in value) and _MARK not in value:
        return {
            key if key.isascii() else _text(key, f"{path}.<key>"): inner(item, f".{key}")
            for key, item in value.items()
        }
    pairs = [[inner(key, ".<key>", 3), inner(item, ".<value>", 3)] for key, item in value.items()]
    return _tag("dict", pairs if ordered else sorted(pairs, key=canonical_json))


def _typed_composite(value: object, path: str, inner: Callable[..., Any]) -> Any:
    kind = type(value)
    if kind is tuple:
        return _tag("tuple", [inner(item, f"[{i}]", 2) for i, item in enumerate(value)])  # type: ignore[arg-type, var-annotated]
    if issubclass(kind, Enum):
        member = inner(_field(value, "value", path), ".value")
        return {_MARK: "enum", "type": kind.__name__, _VALUE: member}
    names = field_names(kind)
    if names is not None:
        fields = {name: inner(_field(value, name, path), f".{name}", 2) for name in names}
        for name, item in _extras(value).items():
            fields[_text(name, f"{path}.<key>")] = inner(item, f".{name}", 2)
        return {_MARK: "object", "type": kind.__name__, _VALUE: fields}
    if kind is float:
        raise EncodingError(
            f"{path} is a float, and binary fractions do not compare; "
            "give whole minor units, a Decimal or text"
        )
    message = (
        f"{path} is {kind.__name__}, which cannot be written down faithfully; "
        "give builtins, Decimal, UUID, dates, enums, tuples, dataclasses, attrs classes or "
        "pydantic models"
    )
    raise EncodingError(message)


def _field(value: object, name: str, path: str) -> Any:
    try:
        return getattr(value, name)
    except Exception as error:
        message = f"{path}.{name} cannot be read ({type(error).__name__})"
        raise EncodingError(message) from error


def _extras(value: object) -> Mapping[str, Any]:
    """Return what a pydantic model with ``extra="allow"`` holds besides its fields."""
    if not hasattr(type(value), "model_validate"):
        return {}
    return getattr(value, "__pydantic_extra__", None) or {}


def _tag(word: str, value: Any) -> dict[str, Any]:
    return {_MARK: word, _VALUE: value}


def field_names(kind: type) -> list[str] | None:
    """Return the field names of a class whose values are its fields; ``None`` for any other."""
    if issubclass(kind, _WITH_CONTENT):
        return None
    if attrs.has(kind):
        return [field.name for field in attrs.fields(kind)]
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind)]
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return list(kind._fields)
    model_fields = getattr(kind, "model_fields", None)
    if isinstance(model_fields, Mapping) and hasattr(kind, "model_validate"):
        return list(model_fields)
    return None


def _moment_text(value: datetime) -> str:
    """Write a datetime with its offset, and its zone if it is of :mod:`zoneinfo` (RFC 9557)."""
    key = getattr(value.tzinfo, "key", None) if _is_zone(value.tzinfo) else None
    return f"{value.isoformat()}[{key}]" if key else value.isoformat()


def _is_zone(zone: object) -> bool:
    return type(zone).__name__ == "ZoneInfo" and type(zone).__module__ == "zoneinfo"


def _moment(text: str) -> datetime:
    """Read a datetime; the recorded offset says which of two equal readings of the clock is meant.

    Where a zone is unknown, or its rules have changed since, the offset stands for it.
    """
    text, bracket, key = text.partition("[")
    moment = datetime.fromisoformat(text)
    if not bracket:
        return moment
    try:
        zone = importlib.import_module("zoneinfo").ZoneInfo(key.removesuffix("]"))
    except (LookupError, ValueError, OSError):  # not known on this machine
        return moment
    for fold in (0, 1):
        zoned = moment.replace(tzinfo=zone, fold=fold)
        if zoned.utcoffset() == moment.utcoffset():
            return zoned
    return moment


_WRITERS: Final[dict[type, tuple[str, Callable[[Any], str]]]] = {
    Decimal: ("decimal", str),
    UUID: ("uuid", str),
    bytes: ("bytes", lambda value: base64.b64encode(value).decode()),
    datetime: ("datetime", _moment_text),
    date: ("date", date.isoformat),
    time: ("time", time.isoformat),
    timedelta: ("timedelta", lambda value: str(value // timedelta(microseconds=1))),
}
_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "int": int,
    "float": float,
    "decimal": Decimal,
    "uuid": UUID,
    "bytes": lambda text: base64.b64decode(text, validate=True),
    "datetime": _moment,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "timedelta": lambda micros: timedelta(microseconds=int(micros)),
}


# What has no items.
_SINGLE: Final = frozenset({int, bool, float, type(None), *_WRITERS})


def is_larger(value: object, bytes_max: int) -> bool:
    """Say whether the JSON of a value certainly has more bytes; no more of it is looked at.

    Every item takes two bytes at least, and every character of a text one.
    """
    left = bytes_max
    items: list[Any] = [value]
    while items:
        item = items.pop()
        kind = type(item)
        if kind is str or kind is bytes:
            left -= len(item)
        elif kind is list or kind is tuple:
            left -= 2 * len(item)
            items += item if left >= 0 else ()
        elif kind is dict:
            left -= 4 * len(item)
            items += [*item, *item.values()] if left >= 0 else ()
        elif kind not in _SINGLE:
            left -= 2  # so that one whose fields have no end comes to an end
            names = field_names(kind) or ()
            with suppress(Exception):  # a property may raise anything
                items += [getattr(item, name) for name in names]
        if left < 0:
            return True
    return False


def is_flat(data: Any) -> bool:
    """Say whether typed JSON data is one plain value, or a dict of them: so it reads as written."""
    if isinstance(data, dict):
        return _MARK not in data and _PLAIN.issuperset(map(type, data.values()))
    return not isinstance(data, list)


def from_typed(data: Any, classes: Mapping[str, type] = types.MappingProxyType({})) -> Any:
    """Return the value that :func:`to_typed` wrote down.

    Args:
        data: typed JSON data.
        classes: the classes that ``enum`` and ``object`` may name, by name.

    Raises:
        DecodingError: the data is not typed JSON, or names a class that is not among ``classes``.
    """
    if isinstance(data, list):
        return [from_typed(item, classes) for item in data]
    if not isinstance(data, dict):
        return data
    if _MARK not in data:
        return {
            key: item if type(item) in _PLAIN else from_typed(item, classes)
            for key, item in data.items()
        }
    word: Any = data[_MARK]
    value: Any = data.get(_VALUE)
    try:
        if word in _READERS:
            return _READERS[word](value)
        if word == "tuple":
            return tuple(from_typed(item, classes) for item in value)
        if word == "dict":
            return {from_typed(key, classes): from_typed(item, classes) for key, item in value}
        kind = classes[data["type"]]
        if word == "enum":
            return kind(from_typed(value, classes))
        return build(kind, {name: from_typed(item, classes) for name, item in value.items()})
    except KeyError:
        named = data.get("type")
        message = (
            f"the value is a {shown(named)}, which the handler's return annotation does not name"
        )
        raise DecodingError(message) from None
    except DecodingError:
        raise
    except Exception as error:  # whatever a class of the user's makes of its fields
        message = f"the recorded {shown(word)} cannot be read: {type(error).__name__}"
        raise DecodingError(message) from error


def build(kind: type, fields: dict[str, Any]) -> Any:
    """Return an instance of a class of :func:`field_names` with exactly these field values."""
    unknown = fields.keys() - set(field_names(kind) or ())
    takes_more = getattr(kind, "model_config", {}).get("extra") == "allow"
    if unknown and not takes_more:
        message = f"{kind.__name__} has no field {shown(min(unknown))} any more"
        raise TypeError(message)
    if hasattr(kind, "model_validate"):
        return kind.model_construct(**fields)  # type: ignore[attr-defined]
    if attrs.has(kind):
        aliases = {field.name: field.alias for field in attrs.fields(kind) if field.init}
    elif dataclasses.is_dataclass(kind):
        aliases = {field.name: field.name for field in dataclasses.fields(kind) if field.init}
    else:
        aliases = {name: name for name in fields}
    made = kind(**{alias: fields[name] for name, alias in aliases.items() if name in fields})
    for name in fields.keys() - aliases.keys():
        object.__setattr__(made, name, fields[name])
    return made


_LEAVES: Final = frozenset(
    {type(None), bool, int, float, str, *_WRITERS, list, dict, tuple, object}
)


def classes_in(annotation: object) -> dict[str, type]:
    """Return the classes that values of an annotated type may be made of, by name.

    Raises:
        EncodingError: names the part of the annotation whose values cannot be written down
            faithfully.
    """
    found: dict[str, type] = {}
    _collect(annotation, found)
    return found


def at_run_time(annotation: Any) -> Any:
    """Return an annotation itself, or what the values of a ``NewType`` are when a program runs."""
    while isinstance(annotation, typing.NewType):
        annotation = annotation.__supertype__
    return annotation


def _collect(annotation: object, found: dict[str, type]) -> None:
    annotation = at_run_time(annotation)
    if (
        annotation is Any
        or annotation is None
        or annotation in _LEAVES
        or isinstance(annotation, typing.TypeVar)
    ):
        return
    if typing.is_typeddict(annotation):  # a dict at run time
        if found.get(annotation.__name__) is annotation:  # type: ignore[attr-defined]
            return
        found[annotation.__name__] = annotation  # type: ignore[attr-defined, assignment]
        for hint in typing.get_type_hints(annotation, include_extras=True).values():
            _collect(hint, found)
        return
    origin = get_origin(annotation)
    if origin in (typing.Required, typing.NotRequired):
        origin = typing.Annotated
    if origin in (Union, types.UnionType, typing.Annotated, list, dict, tuple):
        arguments = get_args(annotation)
        for argument in arguments[:1] if origin is typing.Annotated else arguments:
            if argument is not Ellipsis:
                _collect(argument, found)
        return
    if origin is typing.Literal:
        for member in get_args(annotation):
            _collect(type(member), found)
        return
    if isinstance(annotation, type) and (
        issubclass(annotation, Enum) or field_names(annotation) is not None
    ):
        _collect_class(annotation, found)
        return
    message = (
        f"values of {clip(text_of(annotation), 120)} cannot be recorded and given again faithfully"
    )
    raise EncodingError(message)


def _collect_class(kind: type, found: dict[str, type]) -> None:
    if kind.__name__ in found:
        if found[kind.__name__] is not kind:
            message = f"two classes named {kind.__name__!r} cannot be told apart in recorded values"
            raise EncodingError(message)
        return
    found[kind.__name__] = kind
    if issubclass(kind, Enum):
        return
    try:
        hints = typing.get_type_hints(kind, include_extras=True)
    except (NameError, TypeError, AttributeError):
        return  # names that only a type checker sees: builtin values still come back as they were
    for name in field_names(kind) or ():
        _collect(hints.get(name, Any), found)

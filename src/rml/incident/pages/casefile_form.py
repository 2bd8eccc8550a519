"""How the parts of a case file are checked, read from plain data and turned into it.

A part is a frozen attrs class whose fields are the keys of the form, in the form's order. What a
field holds stands in its metadata: ``rows`` (a list of parts of that class), ``part`` (one part),
``texts`` (a list of text); without them its converter reads a single value. ``optional`` fields
are left out of the written form while they are empty.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeVar

import attrs

from rml.clock import parse_utc, utc_text
from rml.error import InvalidInputError
from rml.world import World

TEXT_CHARS_MAX: Final = 65_535  # no ledger entry is longer, and a page is generated from entries
COUNT_MAX: Final = 2**53 - 1  # beyond it JSON readers round
KEPT_DEPTH_MAX: Final = 12  # nesting of keys that are not the form's, below the loader's own bound
KEPT_VALUES_MAX: Final = 10_000
KEY_CHARS_MAX: Final = 64  # YAML parsers look at most 1,024 bytes ahead for the colon of a key

Path = tuple[str | int, ...]
T = TypeVar("T")
P = TypeVar("P", bound="Part")

_TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)", re.ASCII
)
_SHOWN_CHARS: Final = 60  # of a wrong value: enough to recognise it in a message


class Refusal(Exception):  # noqa: N818 - never leaves the case file
    """What is wrong with plain data, and where in it."""

    def __init__(self, path: Path, message: str, *, at_key: bool = False) -> None:
        super().__init__(message)
        self.path = path
        self.at_key = at_key


# ----------------------------------------------------------------------------- single values


def shown(value: object) -> str:
    """Return a value as messages show it: short, and in the words of the form."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return repr(value if len(value) <= _SHOWN_CHARS else f"{value[:_SHOWN_CHARS]}...")
    if isinstance(value, int | float):
        return "a number that is too large" if abs(value) > COUNT_MAX else f"the number {value}"
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, list | tuple) else type(value).__name__


def text(value: str) -> str:
    """Check text; anything Unicode can carry is allowed."""
    given: object = value  # whatever its annotation says
    if not isinstance(given, str):
        hint = "; put it in quotes" if isinstance(given, bool | int | float) else ""
        raise InvalidInputError(f"expected text, got {shown(given)}{hint}")
    if len(given) > TEXT_CHARS_MAX:
        raise InvalidInputError(
            f"the text has {len(given)} characters; at most {TEXT_CHARS_MAX} (TEXT_CHARS_MAX)"
        )
    try:
        given.encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            f"character {error.start + 1} is half of a surrogate pair, no Unicode text; replace it"
        ) from None
    return str.__str__(given)


def text_or_blank(value: str | None) -> str:
    """Check text; nothing is a blank that waits to be filled in."""
    return "" if value is None else text(value)


def text_or_none(value: str | None) -> str | None:
    """Check text that may be missing."""
    return None if value is None else text(value)


def texts(value: Iterable[str] | None) -> tuple[str, ...]:
    """Check a list of text; nothing is the empty list."""
    return tuple(map(text, rows(value)))


def count(value: int) -> int:
    """Check a whole number from 0 on."""
    given: object = value
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= COUNT_MAX:
        raise InvalidInputError(f"expected a whole number from 0 to 2**53 - 1, got {shown(given)}")
    return int(given)


def count_or_none(value: int | None) -> int | None:
    """Check a whole number that may not be known: unknown is not 0."""
    return None if value is None else count(value)


def time(value: datetime | str) -> datetime:
    """Read a moment as aware UTC."""
    given: object = value
    try:
        if type(given) is datetime and given.tzinfo is UTC:
            return given  # as entries have them: a long timeline has thousands
        if isinstance(given, datetime):
            return parse_utc(utc_text(given))
        if isinstance(given, str) and _TIME.fullmatch(given):
            return parse_utc(given)
    except (ValueError, OverflowError):
        pass  # no such day, no time zone, or outside the calendar: said below
    got = given.isoformat() if isinstance(given, datetime) else shown(given)
    raise InvalidInputError(
        f"expected a time with its zone, such as 2025-06-01T10:23:45Z, got {got}"
    )


def time_or_none(value: datetime | str | None) -> datetime | None:
    """Read a moment that may be missing."""
    return None if value is None else time(value)


def world(value: World | str) -> World:
    """Read a world in any of its spellings."""
    given: Any = value
    try:
        return World(given)
    except ValueError:
        got = shown(given)
        raise InvalidInputError(f"expected a world (RML1, RML2 or RML3), got {got}") from None


def rows(value: Iterable[T] | None) -> tuple[T, ...]:
    """Take a list as a tuple; nothing is the empty list."""
    if value is None:
        return ()
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise InvalidInputError(f"expected a list, got {shown(value)}")
    return tuple(value)


def kept(value: Mapping[str, object]) -> dict[str, object]:
    """Copy keys that are not the form's, checking that they are plain data."""
    given: object = value
    if not isinstance(given, Mapping):
        raise InvalidInputError(f"expected a mapping, got {shown(given)}")
    budget = [KEPT_VALUES_MAX]
    return {_key(key): _kept(item, 1, budget) for key, item in given.items()}


def _key(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidInputError(f"expected a key that is text, got {shown(value)}")
    if len(value) > KEY_CHARS_MAX:
        raise InvalidInputError(
            f"the key {shown(value)} has {len(value)} characters; "
            f"at most {KEY_CHARS_MAX} (KEY_CHARS_MAX)"
        )
    return text(value)


def _kept(value: object, depth: int, budget: list[int]) -> object:
    budget[0] -= 1
    if budget[0] < 0:
        raise InvalidInputError(
            f"more than {KEPT_VALUES_MAX} values (KEPT_VALUES_MAX) are not the form's"
        )
    if depth > KEPT_DEPTH_MAX:
        raise InvalidInputError(f"nested more than {KEPT_DEPTH_MAX} deep (KEPT_DEPTH_MAX)")
    match value:
        case None | bool():
            return value
        case str():
            return text(value)
        case int() if abs(value) <= COUNT_MAX:
            return int(value)
        case float() if math.isfinite(value):
            return float(value)
        case Mapping():
            return {_key(key): _kept(item, depth + 1, budget) for key, item in value.items()}
        case list() | tuple():
            return [_kept(item, depth + 1, budget) for item in value]
        case _:
            raise InvalidInputError(
                f"expected text, numbers, true, false, lists and mappings, got {shown(value)}"
            )


# ------------------------------------------------------------------------------------- parts


def is_part(_instance: Part, attribute: attrs.Attribute[Any], value: object) -> None:
    """Check that a field holds the part, or the list of parts, that its metadata names."""
    wanted = attribute.metadata.get("part") or attribute.metadata["rows"]
    if value is None and attribute.default is None:
        return
    items = value if "rows" in attribute.metadata and isinstance(value, tuple) else (value,)
    for item in items:
        if not isinstance(item, wanted):
            got = shown(item)
            raise InvalidInputError(f"{attribute.name}: expected {wanted.__name__}, got {got}")


def is_not_of_the_form(
    instance: Part, _attribute: attrs.Attribute[Any], value: Mapping[str, object]
) -> None:
    """Check that no kept key takes the place of one of the form's."""
    taken = sorted(_fields(type(instance)).keys() & value.keys())
    if taken:
        raise InvalidInputError(f"{taken[0]!r} is a key of the form; give it as such, not in extra")


@attrs.frozen(kw_only=True)
class Part:
    """A part of the form; ``extra`` holds keys that are not the form's, kept as they came."""

    extra: Mapping[str, object] = attrs.field(
        factory=dict, converter=kept, validator=is_not_of_the_form, hash=False
    )


def _fields(cls: type[Part]) -> dict[str, attrs.Attribute[Any]]:
    return {field.name: field for field in attrs.fields(cls) if field.name != "extra"}


def to_plain(part: Part, times: Callable[[datetime], object]) -> dict[str, object]:
    """Return a part as plain data in the form's order; moments go through ``times``."""
    plain: dict[str, object] = {}
    for name, field in _fields(type(part)).items():
        value = getattr(part, name)
        if field.metadata.get("optional") and value in (None, ()):
            continue
        plain[name] = _plain(value, times)
    return plain | kept(part.extra)


def _plain(value: object, times: Callable[[datetime], object]) -> object:
    match value:
        case Part():
            return to_plain(value, times)
        case tuple():
            return [_plain(item, times) for item in value]
        case datetime():
            return times(value)
        case str():
            return str(value)
        case _:
            return value


def from_plain(
    cls: type[P], value: object, *, unknown: Literal["refuse", "keep"], path: Path = ()
) -> P:
    """Read a part from plain data.

    Raises:
        Refusal: says what was expected, and the path of the value.
    """
    fields = _fields(cls)
    if not isinstance(value, Mapping):
        raise Refusal(path, f"expected {place(path)} as a mapping of keys, got {shown(value)}")
    for key in value:
        if key not in fields and unknown == "refuse":
            raise Refusal((*path, key), _unknown_key(key, fields, path), at_key=True)
    given: dict[str, Any] = {}
    for name, field in fields.items():
        if name in value:
            given[name] = _read(field, value[name], unknown, (*path, name))
        elif field.default is attrs.NOTHING:
            raise Refusal(path, f"the key {name!r} is missing in {place(path)}")
    extra = {key: item for key, item in value.items() if key not in fields}
    return _checked(lambda _: cls(**given, extra=extra), value, path)


def _read(
    field: attrs.Attribute[Any], value: object, unknown: Literal["refuse", "keep"], path: Path
) -> object:
    metadata = field.metadata
    if "part" in metadata:
        if value is not None:
            return from_plain(metadata["part"], value, unknown=unknown, path=path)
        return None if field.default is None else metadata["part"]()
    if "rows" in metadata:
        kind = metadata["rows"]
        items = _checked(rows, value, path)
        return [
            from_plain(kind, item, unknown=unknown, path=(*path, i)) for i, item in enumerate(items)
        ]
    if "texts" in metadata:
        items = _checked(rows, value, path)
        return [_checked(text, item, (*path, i)) for i, item in enumerate(items)]
    read: Any = field.converter
    return _checked(read, value, path)


def _checked(read: Callable[[Any], T], value: object, path: Path) -> T:
    try:
        return read(value)
    except InvalidInputError as error:
        raise Refusal(path, f"{place(path)}: {error.message}") from None


def _unknown_key(key: object, fields: Iterable[str], path: Path) -> str:
    known = list(fields)
    near = difflib.get_close_matches(str(key)[:KEY_CHARS_MAX], known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
    return f"unknown key {shown(key)} in {place(path)}; {hint}"


def place(path: Path) -> str:
    """Return a path as people write it: ``timeline[2].world``."""
    words = "".join(
        f"[{step}]" if isinstance(step, int) else f".{shown_key(step)}" for step in path
    )
    return words.removeprefix(".") or "the case file"


def shown_key(key: object) -> str:
    """Return a key as part of a path."""
    return key if isinstance(key, str) and key.isidentifier() else shown(key)

"""The facts an error carries beside its message: JSON data, bounded, and never a reason to fail.

Details are gathered while something is already going wrong. A value that cannot be kept is
therefore replaced by a marker that names its type and never shows it, instead of raising a second
error over the first. What is kept survives JSON unchanged, and cleaning it again changes nothing.
"""

import json
import math
import operator
from collections.abc import Callable, Mapping
from enum import Enum
from itertools import islice
from typing import Any, Final

from rml.cause import clip
from rml.redact import MASK, Secret

DETAILS_BYTES_MAX: Final = 8_192
"""Of all details as JSON, so that an error fits a ledger entry with room to spare."""
DETAIL_TEXT_BYTES_MAX: Final = 2_048
"""Of one text: a message, not a document."""
DETAIL_NAME_BYTES_MAX: Final = 120
"""Of one key."""
DETAIL_ITEMS_MAX: Final = 100
"""Members of one list or object."""
DETAIL_VALUES_MAX: Final = 1_000
"""Values in all lists and objects together."""
DETAIL_DEPTH_MAX: Final = 8
"""Lists and objects inside each other; also what ends a cycle."""
INT_MAX: Final = 2**53 - 1
"""The largest integer every JSON reader keeps exact (RFC 8259, section 6); beyond it, text."""

MORE: Final = "…"
"""The key under which an object says how much of it was dropped."""

# By name, so that nothing is imported to recognise what cannot be there.
_WRITERS: Final[Mapping[str, Callable[[Any], str]]] = {
    "decimal.Decimal": str,
    "fractions.Fraction": str,
    "uuid.UUID": str,
    "pathlib.PurePath": str,
    "pathlib._local.PurePath": str,  # where Python 3.13 keeps it
    "datetime.datetime": lambda value: str(value.isoformat()),
    "datetime.date": lambda value: str(value.isoformat()),
    "datetime.time": lambda value: str(value.isoformat()),
    "datetime.timedelta": lambda value: f"{value.total_seconds()}s",
}


def clean_details(values: object) -> dict[str, Any]:
    """Return details as JSON data of at most `DETAILS_BYTES_MAX` bytes; never raises.

    Text, whole numbers, finite floats, booleans, None, lists and objects stay as they are. Decimal,
    UUID, dates, paths and enums become text; sets become lists; a `Secret` becomes its mask.
    Anything else, and whatever exceeds a limit, becomes a marker such as `"<unserialisable:
    Session>"`.

    Args:
        values: a mapping of details, or None. Anything else leaves one detail saying so.
    """
    if values is None:
        return {}
    cleaned = _Cleaner().clean(values, 1)
    if not isinstance(cleaned, dict):
        return {"details": _marker("not a mapping", values)}
    return _fit(cleaned)


def _fit(values: dict[str, Any]) -> dict[str, Any]:
    """Keep members while they fit; replace by a marker each that no longer does."""
    dropped = f"<dropped: details exceed {DETAILS_BYTES_MAX} bytes>"
    note = len('"<100 dropped>"')
    room = DETAILS_BYTES_MAX - len('{"…":}'.encode()) - note
    fitting: dict[str, Any] = {}
    for name, value in values.items():
        if name == MORE and _size(value) <= note:
            fitting[name] = value  # from an earlier cleaning; its place is reserved
            continue
        size = _size(name) + _size(value) + len(":,")
        kept = value
        if size > room:
            kept, size = dropped, _size(name) + _size(dropped) + len(":,")
        if size > room:
            fitting[MORE] = f"<{len(values) - len(fitting)} dropped>"
            break
        room -= size
        fitting[name] = kept
    return fitting


def _size(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def _marker(reason: str, value: object) -> str:
    return f"<{reason}: {clip(type(value).__qualname__, DETAIL_NAME_BYTES_MAX)}>"


def _text_order(value: object) -> tuple[str, str]:
    return type(value).__qualname__, str(value)


_TOO_MANY: Final = f"<more than {DETAIL_VALUES_MAX} values>"


class _Cleaner:
    """One pass over the details; counts the values it has seen."""

    def __init__(self) -> None:
        self._left = DETAIL_VALUES_MAX

    def clean(self, value: Any, depth: int) -> Any:
        """Return a value as JSON data, or its marker."""
        self._left -= 1
        if self._left < 0:
            return _TOO_MANY
        try:
            if isinstance(value, Mapping):
                return self._object(value, depth)
            if isinstance(value, list | tuple | set | frozenset):
                return self._list(value, depth)
            return self._scalar(value, depth)
        except Exception:  # noqa: BLE001 - a stranger's value may raise anything
            return _marker("unserialisable", value)

    def _object(self, value: Mapping[Any, Any], depth: int) -> Any:
        if depth > DETAIL_DEPTH_MAX:
            return _marker("too deep", value)
        items = list(islice(value.items(), DETAIL_ITEMS_MAX + 1))
        kept = items if len(items) <= DETAIL_ITEMS_MAX else items[: DETAIL_ITEMS_MAX - 1]
        cleaned = {self._name(key): self.clean(item, depth + 1) for key, item in kept}
        if len(kept) < len(items):
            cleaned[MORE] = f"<{len(value) - len(kept)} dropped>"
        return cleaned

    def _list(self, value: Any, depth: int) -> Any:
        if depth > DETAIL_DEPTH_MAX:
            return _marker("too deep", value)
        if isinstance(value, set | frozenset):
            value = sorted(value, key=_text_order)  # so that equal sets give equal details
        items = list(islice(value, DETAIL_ITEMS_MAX + 1))
        kept = items if len(items) <= DETAIL_ITEMS_MAX else items[: DETAIL_ITEMS_MAX - 1]
        cleaned = [self.clean(item, depth + 1) for item in kept]
        if len(kept) < len(items):
            cleaned.append(f"<{len(value) - len(kept)} dropped>")
        return cleaned

    def _name(self, key: object) -> str:
        cleaned = self._scalar(key, DETAIL_DEPTH_MAX)
        text = cleaned if isinstance(cleaned, str) else json.dumps(cleaned)
        return clip(text, DETAIL_NAME_BYTES_MAX)

    def _scalar(self, value: Any, depth: int) -> Any:
        if value is None or value is True or value is False:
            return value
        if isinstance(value, Secret):
            return MASK
        if isinstance(value, Enum):
            return self.clean(value.value, depth + 1)
        if isinstance(value, str):
            return clip(value, DETAIL_TEXT_BYTES_MAX)
        if isinstance(value, float):
            number = float.__float__(value)
            return number if math.isfinite(number) else _marker("not finite", value)
        for klass in type(value).__mro__:
            write = _WRITERS.get(f"{klass.__module__}.{klass.__qualname__}")
            if write is not None:
                return clip(write(value), DETAIL_TEXT_BYTES_MAX)
        try:
            whole = operator.index(value)  # also the integers of numpy and its kin
        except TypeError:
            return _marker("unserialisable", value)
        return whole if abs(whole) <= INT_MAX else clip(str(whole), DETAIL_TEXT_BYTES_MAX)

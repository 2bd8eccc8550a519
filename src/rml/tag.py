"""The tags on an error, and how each is read: strictly from people, leniently from storage.

Strict reading (`read_tag`) raises ValueError with the way out, for class attributes and keyword
arguments. Lenient reading (`read_fields`) takes what is usable from data of any origin and never
fails: what was stored must always decode, and a world nobody can read is RML3.
"""

import math
import re
from collections.abc import Mapping
from datetime import timedelta
from enum import Enum, StrEnum
from typing import Any, Final, Generic, Literal, TypeVar, cast
from weakref import WeakValueDictionary

from rml.cause import CAUSES_MAX, NAME_BYTES_MAX, Cause, clip
from rml.world import Action, Severity, World, member_of, widest

TAGS: Final = ("code", "world", "action", "severity", "happened", "retry_after")
"""The class attributes by which a subclass says what its errors carry."""

CODE_CHARS_MAX: Final = 63
"""Of a code, as AIP-193 limits the reason of an error."""
_CODE: Final = re.compile(r"[A-Z][A-Z0-9_]+[A-Z0-9]")
_WORD_START: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


FAMILY_CODES: Final = frozenset({"RML_ERROR", "CLOSED_ERROR", "DIALOG_ERROR", "HISTORY_ERROR"})
"""The codes of the families: what remains when no class says more."""


class Unset(Enum):
    """The type of `UNSET`, for arguments to which None means something."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final[Literal[Unset.UNSET]] = Unset.UNSET
"""Stands for an argument that was not given."""


def read_tag(name: str, value: object) -> Any:
    """Return one tag as its own type.

    Raises:
        ValueError: the value is no such tag; the message says what is.
    """
    if name == "code":
        if isinstance(value, str) and is_code(code := str.__str__(value)):
            return code
        raise ValueError(
            f"{shown(value)} is no code; use capitals, digits and underscores, at most"
            f" {CODE_CHARS_MAX}, as in 'PAYMENT_DECLINED'"
        )
    if name == "happened":
        if value is None or isinstance(value, bool):
            return value
        raise ValueError(f"{shown(value)} is no answer; use True, False, or None for unknown")
    if name == "retry_after":
        return None if value is None else _seconds(value)
    vocabulary: type[StrEnum] = {"world": World, "action": Action, "severity": Severity}[name]
    return member_of(vocabulary, value)


def is_code(text: str) -> bool:
    """Return whether a text may be an error's code."""
    return len(text) <= CODE_CHARS_MAX and _CODE.fullmatch(text) is not None


def derived_code(class_name: str) -> str | None:
    """Return the code that a class gets by its name, or None if its name yields none.

    >>> derived_code("HTTPTimeoutError")
    'HTTP_TIMEOUT'
    """
    code = _WORD_START.sub("_", class_name).upper().strip("_").removesuffix("_ERROR")
    return code if is_code(code) else None


def read_fields(fields: Mapping[Any, Any]) -> dict[str, Any]:
    """Return what is usable among the fields of a decoded error; never fails.

    A missing world stays missing; one that cannot be read is RML3. Of the other tags, what cannot
    be read is left out, except that an unreadable `happened` is None, unknown.
    """
    read: dict[str, Any] = {}
    for name in TAGS:
        if name in fields:
            try:
                read[name] = read_tag(name, fields[name])
            except ValueError:
                read.update({"world": World.RML3} if name == "world" else {})
                read.update({"happened": None} if name == "happened" else {})
    causes = fields.get("causes")
    if isinstance(causes, list | tuple):
        decoded = (Cause.from_dict(cause) for cause in causes[:CAUSES_MAX])
        read["causes"] = tuple(cause for cause in decoded if cause is not None)
    if isinstance(fields.get("type"), str):
        read["type"] = clip(fields["type"], NAME_BYTES_MAX)
    if "details" in fields:
        read["details"] = fields["details"]
    return read


def members_of(value: object) -> dict[Any, Any] | None:
    """Return the members of a mapping that can be read; None if this is none."""
    try:
        members = dict(value) if isinstance(value, Mapping) else None
    except Exception:  # noqa: BLE001 - a class of its own may raise anything
        return None
    if members is None:
        return None
    return {str.__str__(k) if isinstance(k, str) else k: v for k, v in members.items()}


class Tag:
    """A class attribute read in two ways: what the class declares, and what holds for one error."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, error: Any, owner: Any) -> Any:
        if error is None:
            return owner.declared_tags()[self._name]
        return error.live_tag(self._name)

    def __set__(self, error: object, value: object) -> None:
        raise AttributeError(
            f"{self._name} is fixed when an error is built; build another error with {self._name}="
        )


T = TypeVar("T", bound=type)


class Registry(Generic[T]):
    """Classes by their code, so that a decoded error regains its class.

    One code may have several classes: a module loaded again, a cell run again, a subclass, two
    libraries that chose the same word. None of them is a reason to fail an import that the user
    cannot change, so all are kept, the latest of each dotted name.
    """

    def __init__(self) -> None:
        self._classes: dict[str, WeakValueDictionary[str, T]] = {}

    def add(self, code: str, name: str, klass: T) -> None:
        """Keep a class under its code and dotted name, as long as it lives."""
        self._classes.setdefault(code, WeakValueDictionary())[name] = klass

    def find(self, code: object, name: object) -> T | None:
        """Return the class of that code and name; else one that stands above all of that code."""
        classes = dict(self._classes.get(code, {})) if isinstance(code, str) else {}
        if isinstance(name, str) and name in classes:
            return classes[name]
        for klass in classes.values():
            if all(issubclass(other, klass) for other in classes.values()):
                return klass
        return None


def hiding_base(klass: type, root: type) -> type | None:
    """Return the base that hides a method of the root from a class, if one does."""
    for name in ("__init__", "__str__", "__reduce__", "args"):
        owner = next(base for base in klass.__mro__ if name in vars(base))
        if not issubclass(owner, root):
            return owner
    return None


def read_declaration(
    class_name: str, declared: Mapping[str, object], parents: list[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return what a class states: its own tags over those of its parents, and a code of its own.

    A parent's code is inherited, except that of a family, which names no problem: then the class's
    own name becomes the code, if it can. The worlds of several parents give the widest.

    Raises:
        ValueError: a declared tag cannot be read; the message names it.
    """
    stated: dict[str, Any] = {}
    for parent in reversed(parents):
        stated |= parent
    worlds = [parent["world"] for parent in parents if "world" in parent]
    if worlds:
        stated["world"] = widest(*worlds)
    for name, value in declared.items():
        try:
            stated[name] = read_tag(name, value)
        except ValueError as error:
            raise ValueError(f"{name} = {error}") from None
    if "code" not in declared and stated["code"] in FAMILY_CODES:
        stated["code"] = derived_code(class_name) or stated["code"]
    return stated


def shown(value: object) -> str:
    """Return a value as a message may show it: plain ones shortened, others by type alone."""
    if isinstance(value, str):
        return repr(clip(value, 80))
    if (
        value is None
        or type(value) in {bool, float}
        or (type(value) is int and abs(value) < 10**80)
    ):
        return repr(value)
    return f"a value of type {clip(type(value).__qualname__, 80)}"


def _seconds(value: object) -> float:
    try:
        plain = value.total_seconds() if isinstance(value, timedelta) else cast("float", value)
        seconds = float(plain)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if isinstance(value, bool) or not math.isfinite(seconds):
        raise ValueError(f"{shown(value)} is no time to wait; use seconds or a timedelta")
    return max(seconds, 0.0)

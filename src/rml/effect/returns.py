"""What a handler is annotated to return, and how a value that somebody else decided becomes that.

A recorded result comes back exactly as the handler returned it. A result that a person typed, or a
reconciler found, is plain data: it is made into the annotated type, or refused.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, Union, get_args, get_origin
from uuid import UUID

import attrs

from rml.codec import DecodingError
from rml.effect.values import at_run_time, from_typed

_CONTAINERS: Final = frozenset({list, dict, tuple})


@attrs.frozen
class Returns:
    """A return annotation, ready to be compared with values.

    Attributes:
        annotation: as the handler has it; ``Any`` when it says nothing.
        classes: the classes that its values may be made of, by name.
        kinds: the run-time types of its values; ``None`` takes every value.
    """

    annotation: Any
    classes: Mapping[str, type]
    kinds: tuple[type, ...] | None

    @classmethod
    def of(cls, annotation: Any, classes: Mapping[str, type]) -> Returns:
        """Return the annotation's meaning."""
        return cls(annotation, classes, kinds_of(annotation))

    def again(self, typed: Any, *, decided: bool) -> Any:
        """Return a recorded value: as the handler returned it, or, if it was decided, adapted.

        Raises:
            DecodingError: it cannot be made, or does not fit.
        """
        value = from_typed(typed, self.classes)
        return self.adapt(value) if decided else value

    def adapt(self, value: Any) -> Any:
        """Return a value of the annotated type: the value itself, or what its plain data say.

        Raises:
            DecodingError: the value does not fit.
        """
        if self.kinds is None or isinstance(value, self.kinds):
            return value
        if isinstance(value, dict | list):
            return self._structured(value)
        raise DecodingError(self._misfit(value))

    def _structured(self, value: Any) -> Any:
        try:
            if hasattr(self.annotation, "model_validate"):
                return self.annotation.model_validate(value)
            return _converter().structure(value, self.annotation)
        except Exception as error:
            raise DecodingError(self._misfit(value)) from error

    def _misfit(self, value: object) -> str:
        wanted = getattr(self.annotation, "__name__", None) or str(self.annotation)
        return f"it is a {type(value).__name__}, and the handler returns {wanted:.120}"


def kinds_of(annotation: Any) -> tuple[type, ...] | None:
    """Return the run-time types of an annotation's values, ``None`` when any value may be one."""
    annotation = at_run_time(annotation)
    if annotation is None:
        return (type(None),)
    if typing.is_typeddict(annotation):
        return (dict,)
    origin = get_origin(annotation)
    if origin is typing.Annotated:
        return kinds_of(get_args(annotation)[0])
    if origin is typing.Literal:
        return tuple({type(member) for member in get_args(annotation)})
    if origin in {Union, types.UnionType}:
        members = [kinds_of(member) for member in get_args(annotation)]
        found = [kinds for kinds in members if kinds is not None]
        return sum(found, ()) if len(found) == len(members) else None
    if origin in _CONTAINERS:
        return (origin,)
    if annotation is float:
        return (float, int)
    is_class = isinstance(annotation, type) and annotation not in {Any, object}
    return (annotation,) if is_class else None


@lru_cache(maxsize=1)
def _converter() -> Any:
    from cattrs.preconf.json import make_converter

    converter = make_converter(forbid_extra_keys=True, detailed_validation=False)
    converter.register_structure_hook(Decimal, lambda value, _: _exactly(Decimal, value))
    converter.register_structure_hook(UUID, lambda value, _: _exactly(UUID, value))
    return converter


def _exactly(kind: Any, value: object) -> Any:
    """Make a value from its text, never from a binary fraction."""
    if isinstance(value, kind):
        return value
    if isinstance(value, str) or (isinstance(value, int) and kind is Decimal):
        return kind(value)
    raise TypeError(f"a {kind.__name__} is written as text, not as {type(value).__name__}")

"""What a call asks for: its arguments by name, its key, and the fingerprint of a repetition."""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Callable, Mapping
from enum import Enum
from hashlib import sha256
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeAlias
from uuid import UUID

from rml.codec import canonical_json, canonical_texts
from rml.effect.errors import DefinitionError, KeyMissingError
from rml.effect.state import effect_id
from rml.effect.values import to_typed
from rml.error import InvalidInputError, RmlError
from rml.ledger.entry import TEXT_CHARACTERS_MAX, check_text
from rml.tag import shown

# A parameter's name, a dotted path from one, or a function of some of the parameters.
Selector: TypeAlias = "str | Callable[..., Any]"
Arguments: TypeAlias = Mapping[str, Any]
_PARTS_MAX: Final = 8  # of a composed key
_INTEGER_KEY_MAX: Final = 10**TEXT_CHARACTERS_MAX  # Python itself refuses to write down longer ones


class Request(NamedTuple):
    """One call's identity: which effect it asks for, and a digest of everything it asks."""

    operation: str
    scope: str | None
    key: str
    effect: str
    content: str  # hex SHA-256 over the canonical typed arguments

    def fingerprint(self, salt: str) -> str:
        """Return what is recorded of the request: a salt, and the salted digest of its content."""
        data = f'["rml/1/request","{salt}","{self.content}"]'.encode(errors="replace")
        return f"{salt}.{sha256(data).hexdigest()}"

    def matches(self, fingerprint: str) -> bool:
        """Say whether a recorded fingerprint is of this request."""
        salt, _, _ = fingerprint.partition(".")
        return self.fingerprint(salt) == fingerprint


def binder(signature: inspect.Signature, name: str) -> Callable[..., dict[str, Any]]:
    """Return a function with the same parameters that returns them by name, defaults included.

    It is compiled from the signature: a call costs a tenth of ``Signature.bind``, and a wrong call
    raises the same ``TypeError`` that the handler would raise.
    """
    defaults: dict[str, Any] = {}
    parts: list[str] = []
    parameters = list(signature.parameters.values())
    for place, parameter in enumerate(parameters):
        text = parameter.name
        if parameter.default is not inspect.Parameter.empty:
            defaults[f"_default_{place}"] = parameter.default
            text += f"=_default_{place}"
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            text = "*" + text
        elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
            text = "**" + text
        elif parameter.kind is inspect.Parameter.KEYWORD_ONLY and not any(
            part.startswith("*") for part in parts
        ):
            parts.append("*")
        parts.append(text)
        following = parameters[place + 1].kind if place + 1 < len(parameters) else None
        positional_only = inspect.Parameter.POSITIONAL_ONLY
        if parameter.kind is positional_only and following is not positional_only:
            parts.append("/")
    names = ", ".join(f"{p.name!r}: {p.name}" for p in parameters)
    function = name if name.isidentifier() and not keyword.iskeyword(name) else "handler"
    source = f"def {function}({', '.join(parts)}): return {{{names}}}"
    namespace: dict[str, Any] = {}
    exec(source, defaults, namespace)  # noqa: S102 - made of parameter names that Python itself has accepted
    made: Callable[..., dict[str, Any]] = namespace[function]
    return made


def selector(
    what: str, spec: object, parameters: Mapping[str, inspect.Parameter]
) -> Callable[[Arguments], Any]:
    """Return a function that picks what ``spec`` names from a call's arguments.

    Raises:
        DefinitionError: the spec names no parameter.
    """
    if callable(spec):
        return _from_function(what, spec, parameters)
    spec = str.__str__(spec) if isinstance(spec, str) else spec
    if not isinstance(spec, str) or not spec:
        message = (
            f"{what} must be a parameter's name, a dotted path or a callable, not {shown(spec)}"
        )
        raise DefinitionError(message)
    first, *rest = spec.split(".")
    if first not in parameters:
        known = ", ".join(parameters) or "none"
        message = f"{what}={spec!r} names no parameter; the parameters are: {known}"
        raise DefinitionError(message)
    if not rest:
        return itemgetter(first)

    def pick(arguments: Arguments) -> Any:
        value = arguments[first]
        for name in rest:
            value = value[name] if isinstance(value, Mapping) else getattr(value, name)
        return value

    return pick


def _from_function(
    what: str, function: Callable[..., Any], parameters: Mapping[str, inspect.Parameter]
) -> Callable[[Arguments], Any]:
    """Call a user's function with those of the handler's arguments that it names."""
    try:
        wanted = inspect.signature(function).parameters
    except (TypeError, ValueError):
        message = f"{what} is a callable without a readable signature; wrap it in a lambda"
        raise DefinitionError(message) from None
    takes_all = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in wanted.values())
    named = [n for n, p in wanted.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    unknown = [
        n for n in named if n not in parameters and wanted[n].default is inspect.Parameter.empty
    ]
    if unknown:
        message = f"{what} wants the parameter {unknown[0]!r}, which the handler does not have"
        raise DefinitionError(message)
    picked = [n for n in (parameters if takes_all else named) if n in parameters]
    by_place = [
        n for n in picked if n in wanted and wanted[n].kind is inspect.Parameter.POSITIONAL_ONLY
    ]
    by_name = [n for n in picked if n not in by_place]
    return lambda arguments: function(
        *[arguments[n] for n in by_place], **{n: arguments[n] for n in by_name}
    )


def pick(what: str, chosen: Callable[[Arguments], Any], arguments: Arguments) -> Any:
    """Apply a selector, turning its failures into a clear error before any effect.

    Raises:
        InvalidInputError: the path leads nowhere, or the callable raised.
    """
    try:
        return chosen(arguments)
    except RmlError:
        raise
    except Exception as error:
        message = f"{what} cannot be read from the call's arguments ({type(error).__name__})"
        raise InvalidInputError(message) from error


def meant(value: Any) -> Any:
    """Return what a key means: an enum member its value, a named tuple its parts.

    What a class is called is no part of a key, so that renaming it runs no effect again.
    """
    if isinstance(value, Enum):
        return meant(value.value)
    if isinstance(value, tuple):
        return tuple(part.value if isinstance(part, Enum) else part for part in value)
    return value


def key_text(what: str, value: object) -> str:
    """Return a key as text for people.

    Keys of different types may read the same; their effects differ. An enum member is its value.

    Raises:
        KeyMissingError: the key is missing, empty, too long, or of a type that cannot name one
            thing.
    """
    if type(value) is str and value.isprintable() and 0 < len(value) <= TEXT_CHARACTERS_MAX:
        return value
    value = meant(value)
    if isinstance(value, str):
        value = str.__str__(value)
        if not value:
            message = f"the {what} is empty; give every call its own"
            raise KeyMissingError(message)
        return _checked(what, value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= _INTEGER_KEY_MAX:
        message = f"the {what} has more than {TEXT_CHARACTERS_MAX} digits (TEXT_CHARACTERS_MAX)"
        raise KeyMissingError(message)
    if (isinstance(value, int) and not isinstance(value, bool)) or isinstance(value, UUID):
        return _checked(what, str(value))
    if (
        isinstance(value, tuple)
        and 0 < len(value) <= _PARTS_MAX
        and not any(isinstance(part, tuple) for part in value)
    ):
        parts = [key_text(what, part) for part in value]
        return _checked(what, canonical_texts(*parts).decode())
    if value is None:
        message = f"the {what} is None; give every call its own"
        raise KeyMissingError(message)
    message = (
        f"the {what} is {type(value).__name__}; give text, an int, a UUID, or a tuple of these"
    )
    raise KeyMissingError(message)


def _checked(what: str, text: str) -> str:
    if len(text) > TEXT_CHARACTERS_MAX:
        raise KeyMissingError(
            f"the {what} has {len(text)} characters, the limit is {TEXT_CHARACTERS_MAX} "
            "(TEXT_CHARACTERS_MAX)"
        )
    try:
        return check_text(what, text)
    except InvalidInputError as error:
        raise KeyMissingError(str(error)) from None


def request(operation: str, scope: object, key: object, content: Mapping[str, Any]) -> Request:
    """Return the request for an operation's key, scope and arguments.

    Raises:
        KeyMissingError: the key or scope cannot name one thing.
        EncodingError: an argument cannot be recognised again; the message names it.
    """
    shown_scope = None if scope is None else key_text("scope", scope)
    shown = key_text("idempotency key", key)
    typed_scope, typed_key = None, shown
    if type(key) is not str or scope is not None:  # as arguments they mean the same
        own = {id(key): meant(key), id(scope): meant(scope)}
        content = {name: own.get(id(value), value) for name, value in content.items()}
        typed_key = to_typed(own[id(key)], "the idempotency key")
        typed_scope = None if scope is None else to_typed(own[id(scope)], "the scope")
    typed = {
        name: value
        if type(value) is str and value.isascii()
        else to_typed(value, f"argument {name}", floats=False)
        for name, value in content.items()
    }
    effect = effect_id(operation, typed_scope, typed_key)
    digest = sha256(canonical_json(typed, checked=True)).hexdigest()
    return Request(operation, shown_scope, shown, effect, digest)

"""What an operation's definition must be for its calls to be safe; checked where it is written."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from rml.cause import clip, text_of
from rml.effect.errors import DefinitionError
from rml.effect.operation import RETENTION_SECONDS, Operation
from rml.effect.request import selector
from rml.effect.returns import Returns
from rml.effect.values import classes_in
from rml.error import InvalidInputError, RmlError
from rml.ledger.argument import SECONDS_MAX
from rml.ledger.content import as_world
from rml.ledger.entry import RESERVED_PREFIX, check_kind
from rml.tag import shown

# A lease shorter than a commit would doubt every call.
LEASE_SECONDS_MIN: Final = 0.1
# By these attributes a function is recognised, also through decorators that use functools.wraps:
# it is protected, as this Operation; it is called again when it fails.
PROTECTED: Final = "__rml_operation__"
RETRIED: Final = "__rml_retried__"


def protected_by(function: object) -> Operation | None:
    """Return the operation as which a function is protected, if it is."""
    operation = getattr(function, PROTECTED, None)
    return operation if isinstance(operation, Operation) else None


def define(
    name: str,
    handler: Callable[..., Any],
    *,
    picks: Mapping[str, object],
    names: Mapping[str, Sequence[str]],
    options: Mapping[str, Any],
) -> Operation:
    """Return the definition of an operation.

    Args:
        name: the operation's name.
        handler: the function that carries it out.
        picks: ``key``, ``scope``, ``corrects`` and ``connection``, as they were written.
        names: ``exclude``, ``facts`` and ``personal``, as they were written.
        options: the other fields of an :class:`Operation`, already checked.

    Raises:
        DefinitionError: says what cannot be kept safe.
    """
    _check_name(name)
    _check_handler(name, handler)
    signature = inspect.signature(handler)
    receiver = _receiver(handler, signature)
    parameters = {n: p for n, p in signature.parameters.items() if n != receiver}
    chosen: dict[str, Any] = {
        what: None
        if spec is None
        else selector(what, spec, signature.parameters if what == "connection" else parameters)
        for what, spec in picks.items()
    }
    if chosen["key"] is None:
        raise DefinitionError(
            f"{name!r} needs key=: a parameter's name, a dotted path or a callable"
        )
    excluded = _listed(name, "exclude", names["exclude"])
    for parameter in excluded:
        if parameter not in parameters:
            raise DefinitionError(f"exclude names {parameter!r}, which is no parameter of {name!r}")
    facts = _listed(name, "facts", names["facts"])
    personal = _listed(name, "personal", names["personal"])
    for parameter in personal:
        if parameter in facts:
            raise DefinitionError(
                f"{parameter!r} of {name!r} is in facts= and in personal=: what stands in clear "
                "cannot be erased; choose one"
            )
    return Operation(
        name=name,
        home=f"{handler.__module__}.{handler.__qualname__}",
        optional=frozenset(n for n, p in parameters.items() if p.default is None),
        excluded=frozenset({*excluded, *_root(picks.get("connection"))})
        | (signature.parameters.keys() - parameters.keys()),
        facts={n: selector("facts", n, parameters) for n in facts},
        personal={n: selector("personal", n, parameters) for n in personal},
        returns=_returns(name, handler),
        signature=signature,
        **{**chosen, **options},
    )


def options_of(
    world: object,
    lease: object,
    reconcile: object,
    *,
    provider_idempotent: bool,
    retention: object = None,
) -> dict[str, Any]:
    """Return the checked options that do not depend on the handler.

    Raises:
        DefinitionError: one of them is of the wrong type or out of range.
        InvalidInputError: the world is unknown.
    """
    if reconcile is not None and not callable(reconcile):
        raise DefinitionError(f"reconcile must be a callable, not {type(reconcile).__name__}")
    if not isinstance(provider_idempotent, bool):
        raise DefinitionError("provider_idempotent must be True or False")
    if retention is not None and not provider_idempotent:
        raise DefinitionError("retention= says how long keys count; add provider_idempotent=True")
    # What an earlier definition left to be retried is not, once this one declares nothing.
    declared = RETENTION_SECONDS if provider_idempotent else 0
    kept = declared if retention is None else retention
    return {
        "world": as_world(world),
        "provider_idempotent": provider_idempotent,
        "retention": seconds("retention", kept, 0),
        "reconcile": reconcile,
        "lease": seconds("lease", lease, LEASE_SECONDS_MIN),
    }


def seconds(what: str, value: object, least: float) -> float:
    """Return a number of seconds, or a timedelta's.

    Raises:
        DefinitionError: it is no finite number, or less than ``least``.
    """
    number: Any = value.total_seconds() if isinstance(value, timedelta) else value
    is_number = isinstance(number, int | float) and not isinstance(number, bool)
    if is_number and least <= number < float("inf"):
        return float(min(number, SECONDS_MAX))
    kind = "" if is_number else ", as a number or a timedelta"
    raise DefinitionError(f"{what} must be at least {least:g} seconds{kind}, not {shown(value)}")


def _check_name(name: object) -> None:
    try:
        check_kind(name)
    except InvalidInputError:
        raise DefinitionError(
            f"operation {shown(name)} must be dotted lower-case words, such as 'payment.charge'"
        ) from None  # its cause would speak of a kind of entries, which nobody has asked for


def _check_handler(name: str, handler: object) -> None:
    if isinstance(handler, type) or not callable(handler) or not hasattr(handler, "__qualname__"):
        raise DefinitionError(
            f"{name!r} must decorate a function, not {clip(text_of(handler), 80)}"
        )
    if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
        raise DefinitionError(
            f"{name!r} decorates a generator, whose effect has no single end; return a value"
        )
    if hasattr(handler, RETRIED):
        raise DefinitionError(
            f"{name!r} decorates a function with @rml.retry, which would repeat the effect under "
            "one intent; write @rml.retry above @rml.idempotent"
        )


def _receiver(handler: Callable[..., Any], signature: inspect.Signature) -> str | None:
    """Return the name of a method's first parameter: who is called, rather than what is asked."""
    first = next(iter(signature.parameters), None)
    owner = getattr(handler, "__qualname__", "").rpartition(".")[0]
    is_method = first in {"self", "cls"} and owner and not owner.endswith("<locals>")
    return first if is_method else None


def _root(spec: object) -> Sequence[str]:
    """Return the parameter that a path begins at: what holds a connection is no part of a request.

    It cannot be written down, and another one is as good.
    """
    return [spec.partition(".")[0]] if isinstance(spec, str) else []


def _listed(name: str, what: str, value: object) -> Sequence[str]:
    try:
        items = None if isinstance(value, str) or not isinstance(value, Sequence) else list(value)
    except Exception:  # noqa: BLE001 - a class of its own may raise anything
        items = None
    if items is None:
        raise DefinitionError(f"{what} of {name!r} must be a list of names: {what}=('amount',)")
    for item in items:
        if not isinstance(item, str) or item.startswith(RESERVED_PREFIX):
            raise DefinitionError(f"{what} of {name!r} names {shown(item)}, which is no parameter")
    return items


def _return_annotation(handler: Callable[..., Any]) -> Any:
    """Return what a handler says that it returns, whatever its parameters' annotations name."""

    @functools.wraps(handler, assigned=("__type_params__",), updated=())
    def alone() -> None: ...

    alone.__annotations__ = {
        what: hint for what, hint in handler.__annotations__.items() if what == "return"
    }
    return typing.get_type_hints(alone, include_extras=True).get("return", Any)


def _returns(name: str, handler: Callable[..., Any]) -> Returns:
    """Return what results may be, as the return annotation says."""
    try:
        annotation = _return_annotation(handler)
    except (NameError, TypeError, AttributeError):
        return Returns.of(
            Any, {}
        )  # names that only a type checker sees: builtins still come back as they were
    try:
        return Returns.of(annotation, classes_in(annotation))
    except RmlError as error:
        raise DefinitionError(
            f"{name!r} returns what could not be given again on a replay: {error.message}"
        ) from error

"""Effects that no idempotency key protects, and what repeats them (RML101 to RML104)."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Final

from rml.lint.errors import Kind, raised_kind
from rml.lint.flow import catches_around, retried_by
from rml.lint.module import Function, Module, Site
from rml.lint.retriers import Handing, handings, repeated
from rml.lint.violation import Hit
from rml.lint.vocabulary import RETRYING, TRANSPORT_RETRIES
from rml.world import Action

# Requests that urllib3 repeats only if it is told to.
_NOT_REPEATED: Final = frozenset({"POST", "PATCH"})


def check_effects(module: Module) -> Iterator[Hit]:
    """Yield effects outside a protected handler, and effects that are repeated."""
    handed = repeated(module)
    for site in module.sites:
        repeating = _repetition(module, site, handed)
        if module.is_covered(site.function):
            if repeating is not None:
                message = (
                    f"{site.name} is repeated {repeating} inside a protected handler, under "
                    "one intent; make one request, and put @rml.retry above @rml.idempotent"
                )
                yield site.call, "RML103", message
        elif repeating is not None:
            message = (
                f"{site.name} is repeated {repeating} without an idempotency key, so the "
                "effect may happen twice; protect it with @rml.idempotent"
            )
            yield site.call, "RML102", message
        elif site.is_direct:
            message = (
                f"{site.name} has an effect that nothing records; call it in a handler with "
                "@rml.idempotent"
            )
            yield site.call, "RML101", message


def check_handings(module: Module) -> Iterator[Hit]:
    """Yield effects that are handed, as they are, to what repeats them."""
    for handing in handings(module):
        name = module.meaning(handing.given)
        if isinstance(handing.given, ast.Lambda) or not module.effects.match(name):
            continue
        if module.is_covered(module.function_of(handing.call)):
            message = (
                f"{name} is repeated {handing} inside a protected handler, under one intent; make "
                "one request, and put @rml.retry above @rml.idempotent"
            )
            yield handing.call, "RML103", message
        else:
            message = (
                f"{name} is repeated {handing} without an idempotency key, so the effect may "
                "happen twice; protect it with @rml.idempotent"
            )
            yield handing.call, "RML102", message


def _repetition(
    module: Module, site: Site, handed: Mapping[Function | ast.AST, Handing]
) -> str | None:
    """Say what repeats a call, as part of a sentence."""
    loop = retried_by(module, site.call)
    if loop is not None:
        return f"by the loop in line {loop.lineno}"
    around = next((handed[node] for node, _ in module.around(site.call) if node in handed), None)
    if around is not None:
        return str(around)
    function = site.function
    while function is not None and function.protection is None:
        if function in handed:
            return str(handed[function])
        for decorator, name in function.decorators:
            if name in RETRYING:
                return f"by @{name} in line {decorator.lineno}"
        function = function.outer
    return None


def check_order(module: Module) -> Iterator[Hit]:
    """Yield retries that stand below ``@rml.idempotent``."""
    for function in module.functions:
        protection = function.protection
        if protection is None:
            continue
        for decorator, name in _below(function, protection):
            if name in RETRYING:
                message = (
                    f"@{name} stands below the protection, so {function.node.name} is repeated "
                    "under one intent; write it above"
                )
                yield decorator, "RML103", message


def _below(function: Function, protection: ast.expr) -> list[tuple[ast.expr, str]]:
    place = [node for node, _ in function.decorators].index(protection)
    return function.decorators[place + 1 :]


def check_transports(module: Module) -> Iterator[Hit]:
    """Yield adapters of urllib3 that are told to repeat POST or PATCH."""
    for call in module.every(ast.Call):
        if module.meaning(call.func) not in TRANSPORT_RETRIES:
            continue
        for word in call.keywords:
            if word.arg in {"allowed_methods", "method_whitelist"} and _has_post(word.value):
                message = (
                    "this Retry repeats POST or PATCH below anything that could record it; "
                    "leave them out of allowed_methods"
                )
                yield call, "RML102", message


def _has_post(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return node.value is None or node.value is False  # every method
    texts = (part.value for part in ast.walk(node) if isinstance(part, ast.Constant))
    return any(text in _NOT_REPEATED for text in texts if isinstance(text, str))


def check_hints(module: Module) -> Iterator[Hit]:
    """Yield errors that ask for a retry of an effect without a key."""
    for site in module.sites:
        if module.is_covered(site.function):
            continue
        for statement, _ in catches_around(module, site.call):
            handlers = getattr(statement, "handlers", [])
            for node in module.own(part for handler in handlers for part in handler.body):
                if isinstance(node, ast.Raise) and _asks_for_retry(raised_kind(module, node)):
                    message = (
                        f"this error asks for retry-with-backoff around {site.name}, which has "
                        "no idempotency key; protect it, or say happened=False if it is certain"
                    )
                    yield node, "RML104", message


def _asks_for_retry(kind: Kind | None) -> bool:
    """Say whether an error asks for an effect again that may have happened."""
    if kind is None or kind.happened is False:
        return False
    return kind.action is Action.RETRY_WITH_BACKOFF

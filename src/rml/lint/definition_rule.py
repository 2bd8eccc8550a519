"""Definitions that rml refuses when the module is imported, told before (RML109)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from rml.lint.module import Function, Module
from rml.lint.names import FunctionNode
from rml.lint.violation import Hit
from rml.lint.vocabulary import is_rml

# What `rml.idempotent` takes; a test compares it with its signature.
OPTIONS: Final = frozenset(
    {
        *("operation", "key", "scope", "world", "provider_idempotent", "reconcile", "wait"),
        *("exclude", "facts", "personal", "lease", "corrects", "ledger"),
    }
)
_PICKS: Final = ("key", "scope", "corrects")
_LISTS: Final = ("exclude", "facts", "personal")


def check_definitions(module: Module) -> Iterator[Hit]:
    """Yield uses of ``@rml.idempotent`` that its own check would refuse."""
    for function in module.functions:
        for decorator, name in function.decorators:
            written = decorator.func if isinstance(decorator, ast.Call) else decorator
            if not is_rml(name, "idempotent") or not module.is_imported(written):
                continue
            if isinstance(decorator, ast.Call):
                for message in _problems(function, decorator):
                    yield decorator, "RML109", message
            else:
                message = "@rml.idempotent needs an operation's name and key="
                yield decorator, "RML109", message


def _problems(function: Function, decorator: ast.Call) -> Iterator[str]:
    name = function.node.name
    given = {word.arg: word.value for word in decorator.keywords if word.arg is not None}
    takes_more = any(word.arg is None for word in decorator.keywords)
    if "key" not in given and not takes_more:
        yield f"{name} has no idempotency key; give key= a parameter's name"
    for word in sorted(given.keys() - OPTIONS):
        yield f"rml.idempotent has no option {word!r}"
    parameters = _parameters(function.node)
    for word, text in _named(given):
        if text.partition(".")[0] not in parameters:
            yield f"{word} names {text!r}, which is no parameter of {name}"
    if _is_generator(function.node):
        yield f"{name} is a generator, whose effect has no single end; return a value"


def _named(given: dict[str, ast.expr]) -> Iterator[tuple[str, str]]:
    """Yield each parameter that an option names in so many words."""
    for word in (*_PICKS, *_LISTS):
        node = given.get(word)
        if word in _PICKS:
            elements = [node]
        else:
            elements = list(node.elts) if isinstance(node, ast.Tuple | ast.List) else []
        for element in elements:
            if isinstance(element, ast.Constant) and isinstance(element.value, str):
                yield f"{word}=", element.value


def _parameters(node: FunctionNode) -> set[str]:
    arguments = node.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    every += [rest for rest in (arguments.vararg, arguments.kwarg) if rest is not None]
    return {parameter.arg for parameter in every}


def _is_generator(node: FunctionNode) -> bool:
    waiting: list[ast.AST] = list(node.body)
    while waiting:
        part = waiting.pop()
        if isinstance(part, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting.extend(ast.iter_child_nodes(part))
    return False

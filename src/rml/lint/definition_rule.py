"""Definitions that rml refuses when the module is imported, or should not be (RML109, RML110)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from rml.lint.module import Function, Module
from rml.lint.names import FunctionNode
from rml.lint.violation import Hit
from rml.lint.vocabulary import is_rml
from rml.world import World

# What `rml.idempotent` takes; a test compares it with its signature.
OPTIONS: Final = frozenset(
    {
        *("operation", "key", "scope", "world", "provider_idempotent", "retention"),
        *(
            "reconcile",
            "wait",
            "exclude",
            "facts",
            "personal",
            "lease",
            "corrects",
            "lever",
            "connection",
        ),
        "ledger",
    }
)
_PICKS: Final = ("key", "scope", "corrects", "connection")
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


def check_levers(module: Module) -> Iterator[Hit]:
    """Yield operations that reach history and that nobody can stop."""
    for function in module.functions:
        for decorator, name in function.decorators:
            if not is_rml(name, "idempotent") or not isinstance(decorator, ast.Call):
                continue
            given = {word.arg: word.value for word in decorator.keywords}
            lever = given.get("lever")
            is_off = isinstance(lever, ast.Constant) and lever.value is False
            guarded = any(is_rml(other, "guard") for _, other in function.decorators)
            if is_off and not guarded and _reaches_history(given.get("world"), module):
                message = (
                    f"{function.node.name} has no lever, so nobody can stop it without a deploy; "
                    "leave lever=False out, or give it one with @rml.guard"
                )
                yield decorator, "RML110", message


def _reaches_history(world: ast.expr | None, module: Module) -> bool:
    """Say whether an operation is of RML3, as far as its definition tells."""
    if world is None:
        return True
    if isinstance(world, ast.Constant):
        return str(world.value).strip().upper().replace("-", "") == World.RML3
    return is_rml(module.meaning(world), World.RML3)


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

"""Calls that are handed a function to call it again when it fails, as decorators are."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

import attrs

from rml.lint.module import Function, Module
from rml.lint.vocabulary import RETRYING

# By name: at which place a call is given the function, or the call of what that one returns.
_CALLS: Final = {
    "retry.retry_call": 0,
    "retry.api.retry_call": 0,
    "retrying.Retrying.call": 0,
    "tenacity.Retrying.wraps": 0,
    "tenacity.AsyncRetrying.wraps": 0,
}
_MADE: Final = {
    **dict.fromkeys(RETRYING, 0),
    "tenacity.Retrying": 0,
    "tenacity.AsyncRetrying": 0,
    "stamina.RetryingCaller": 1,
    "stamina.AsyncRetryingCaller": 1,
    "stamina.RetryingCaller.on": 0,
    "stamina.AsyncRetryingCaller.on": 0,
}


@attrs.frozen(eq=False)
class Handing:
    """A call that repeats what it is given.

    Attributes:
        call: the call.
        given: the expression that stands for what is repeated.
        name: what repeats it.
    """

    call: ast.Call
    given: ast.expr
    name: str

    def __str__(self) -> str:
        return f"by {self.name} in line {self.call.lineno}"


def handings(module: Module) -> Iterator[Handing]:
    """Yield every call of a file that repeats what it is given."""
    for call in module.every(ast.Call):
        name = module.meaning(call.func)
        place = _CALLS.get(name)
        if place is None and name in _MADE and _is_of_value(module, call.func):
            place = _MADE[name]
        if place is not None and place < len(call.args):
            yield Handing(call, call.args[place], name)


def _is_of_value(module: Module, called: ast.expr) -> bool:
    """Say whether a call calls what was made before, rather than making it."""
    if isinstance(called, ast.Attribute):
        return called.attr != "on" and not module.is_imported(called)
    return not module.is_imported(called)


def repeated(module: Module) -> dict[Function | ast.AST, Handing]:
    """Return the functions and lambdas of a file that are handed over, with who repeats them."""
    found: dict[Function | ast.AST, Handing] = {}
    for handing in handings(module):
        if isinstance(handing.given, ast.Lambda):
            found[handing.given] = handing
        for function in module.named(handing.given):
            found[function] = handing
    return found

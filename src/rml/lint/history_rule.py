"""History that is retried, dropped or made smaller, and errors that go nowhere: RML105 to 108."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from rml.lint.errors import is_any, is_broad, is_general, is_history, raised_kind
from rml.lint.flow import (
    Catch,
    catches_around,
    caught_by,
    drops,
    falls_through,
    has_boundary,
    is_boundary,
    retried_by,
    written_out,
)
from rml.lint.module import Function, Module
from rml.lint.retriers import Handing, repeated
from rml.lint.violation import Hit
from rml.lint.vocabulary import RAISING, RETRYING, Patterns, is_rml
from rml.world import World

_RAISING: Final = Patterns(RAISING)
_TRIES: Final = (ast.Try, ast.TryStar)
_AROUND: Final = (*_TRIES, ast.With, ast.AsyncWith)
_NAMED_ON: Final = frozenset(
    {
        "stamina.retry",
        "stamina.retry_context",
        "stamina.RetryingCaller.on",
        "stamina.AsyncRetryingCaller.on",
    }
)
_BY_TYPE: Final = "tenacity.retry_if_exception_type"
_TENACITY: Final = "tenacity.retry"
_BACKOFF: Final = "backoff.on_exception"


def check_history(module: Module) -> Iterator[Hit]:
    """Yield where an error of the history world is raised and does not get out as such."""
    handed = repeated(module)
    for raising in module.every(ast.Raise):
        kind = raised_kind(module, raising)
        if kind is None or kind.world is not World.RML3:
            continue
        assert raising.exc is not None
        name = module.meaning(raising.exc)
        for statement, catches in catches_around(module, raising):
            catch = next((c for c in catches if _catches(module, c, name)), None)
            if catch is None:
                continue
            if drops(module, catch):
                yield _dropped(module, raising, statement, catch)
            break
        else:
            yield from _retried(module, raising, handed)


def _catches(module: Module, catch: Catch, name: str) -> bool:
    names = caught_by(module, catch)
    return any(is_general(n) or n == name or n.rpartition(".")[2] == "HistoryError" for n in names)


def _dropped(module: Module, raising: ast.Raise, statement: ast.stmt, catch: Catch) -> Hit:
    if retried_by(module, raising) is not None:
        message = "this error is history, and the loop around it tries again; let it out"
        return raising, "RML105", message
    node = _place(statement, catch)
    message = (
        f"the history error that line {raising.lineno} raises ends here; raise it on, or hand "
        "it to rml.escalate"
    )
    return node, "RML106", message


def _place(statement: ast.stmt, catch: Catch) -> ast.stmt | ast.ExceptHandler:
    return statement if isinstance(catch, ast.withitem) else catch


def _retried(
    module: Module, raising: ast.Raise, handed: Mapping[Function | ast.AST, Handing]
) -> Iterator[Hit]:
    function = module.function_of(raising)
    handing = None if function is None else handed.get(function)
    if handing is not None and _is_of_everything(module, handing):
        message = (
            f"this error is history, and {handing.name} in line {handing.call.lineno} retries "
            "every exception; name those that it may retry"
        )
        yield raising, "RML105", message
    for decorator, name in function.decorators if function is not None else ():
        if name in RETRYING and _retries_all(module, decorator, name):
            message = (
                f"this error is history, and @{name} in line {decorator.lineno} retries every "
                "exception; name those that it may retry"
            )
            yield raising, "RML105", message


def _is_of_everything(module: Module, handing: Handing) -> bool:
    """Say whether what repeats a function does so after every exception, if that can be seen."""
    made = handing.call.func
    name = {"tenacity.Retrying": _TENACITY, "tenacity.AsyncRetrying": _TENACITY}.get(handing.name)
    return isinstance(made, ast.Call) and _retries_all(module, made, name or handing.name)


def _retries_all(module: Module, decorator: ast.expr, name: str) -> bool:
    if name.startswith("rml."):
        return False
    if not isinstance(decorator, ast.Call):
        return True
    if name == _TENACITY:
        return not any(word.arg in {"retry", None} for word in decorator.keywords)
    names = [module.meaning(node) for node in _retried_exceptions(name, decorator)]
    return any(is_broad(n) for n in names)


def check_retried(module: Module) -> Iterator[Hit]:
    """Yield retries whose list of exceptions has the history family in it."""
    for call in module.every(ast.Call):
        for node in _retried_exceptions(module.meaning(call.func), call):
            name = module.meaning(node)
            if is_any(name) or is_history(module, name):
                word = name.rpartition(".")[2]
                message = (
                    f"{word} is retried here, and history is not repeated; name the dialog "
                    "errors that may be, or use @rml.retry"
                )
                yield node, "RML105", message


def _retried_exceptions(name: str, call: ast.Call) -> list[ast.expr]:
    if name == _BY_TYPE:
        given = call.args
    elif name == _BACKOFF:
        given = call.args[1:2] or [w.value for w in call.keywords if w.arg == "exception"]
    elif name in _NAMED_ON:
        given = [w.value for w in call.keywords if w.arg == "on"]
        given = given or (call.args[:1] if name != "stamina.retry" else [])
    else:
        given = []
    return [element for node in given for element in written_out(node)]


def check_handlers(module: Module) -> Iterator[Hit]:
    """Yield handlers of history errors that drop them, or raise them as something smaller."""
    for handler in module.every(ast.ExceptHandler):
        name = next((n for n in caught_by(module, handler) if is_history(module, n)), None)
        is_dropped = drops(module, handler)
        if (name is not None and not is_dropped) or _escalates(module, handler):
            yield from _tried_again(module, handler)
        if name is None:
            continue
        if is_dropped and not has_boundary(module, handler):
            yield handler, "RML106", _swallowed(name)
        for node in module.own(handler.body):
            if isinstance(node, ast.Raise):
                yield from _narrowed(module, node)


def _escalates(module: Module, handler: ast.ExceptHandler) -> bool:
    calls = (node for node in module.own(handler.body) if isinstance(node, ast.Call))
    return any(is_rml(module.meaning(call.func), "escalate") for call in calls)


def _tried_again(module: Module, handler: ast.ExceptHandler) -> Iterator[Hit]:
    """Yield a handler after which a loop makes another attempt at what has become history."""
    if not falls_through(handler.body):
        return
    statement = next(parent for parent, _ in module.around(handler))
    assert isinstance(statement, _TRIES)
    calls = (node for node in module.own(statement.body) if isinstance(node, ast.Call))
    loop = next(filter(None, (retried_by(module, call) for call in calls)), None)
    if loop is not None:
        message = (
            f"what is caught here is history, and the loop in line {loop.lineno} tries again; "
            "leave the loop, or raise it on"
        )
        yield handler, "RML105", message


def _narrowed(module: Module, raising: ast.Raise) -> Iterator[Hit]:
    kind = raised_kind(module, raising)
    if kind is not None and kind.world is not World.RML3:
        message = (
            f"a history error is raised again as {kind.world.value}; the widest world wins, so "
            "raise a history error"
        )
        yield raising, "RML107", message


def check_broad(module: Module) -> Iterator[Hit]:
    """Yield broad handlers that drop what an effect, a protected handler or rml raises."""
    direct = {site.call for site in module.sites}
    history = list(_raising_history(module))
    for call in module.every(ast.Call):
        is_effect = call in direct
        called = module.called(call)
        if not (
            is_effect
            or _is_protected(called)
            or _is_raising(module, call)
            or any(function in history for function in called)
        ):
            continue
        if is_effect and retried_by(module, call) is not None:
            continue  # RML102 and RML103 speak of it
        for statement, catches in catches_around(module, call):
            catch, name = _general(module, catches)
            if catch is None:
                continue
            if drops(module, catch):
                yield _place(statement, catch), "RML108", _lost(catch, name)
            break


def _general(module: Module, catches: Sequence[Catch]) -> tuple[Catch | None, str]:
    """Return what catches history with everything else, unless a clause before it takes that."""
    is_taken = False
    for catch in catches:
        names = caught_by(module, catch)
        for name in names:
            if is_broad(name) or (is_any(name) and not is_taken):
                return catch, name
        is_taken = is_taken or any(is_rml(name, "HistoryError") for name in names)
    return None, ""


def _raising_history(module: Module) -> Iterator[Function]:
    """Yield the functions that an error of the history world, raised in them, comes out of.

    What surrounds it there may catch or record it, so one that is surrounded does not count.
    """
    for raising in module.every(ast.Raise):
        kind, function = raised_kind(module, raising), module.function_of(raising)
        if function is None or is_boundary(function) or kind is None:
            continue
        around = [parent for parent, _ in module.around(raising)]
        if kind.world is World.RML3 and not any(isinstance(p, _AROUND) for p in around):
            yield function


def _is_protected(functions: list[Function]) -> bool:
    return any(f.protection is not None and not is_boundary(f) for f in functions)


def _is_raising(module: Module, call: ast.Call) -> bool:
    name = module.meaning(call.func)
    return name.startswith("rml.") and _RAISING.match(name)


def _lost(catch: Catch, name: str) -> str:
    if isinstance(catch, ast.ExceptHandler | ast.withitem):
        return _swallowed(name)
    word = type(catch).__name__.lower()
    return (
        f"this {word} in a finally takes the place of every error, and a history error with it; "
        "leave after the try statement"
    )


def _swallowed(name: str) -> str:
    word = name.rpartition(".")[2]
    return (
        f"{word} is caught and goes nowhere, and a history error with it; catch what you can deal "
        "with, raise the rest on or hand it to rml.escalate"
    )

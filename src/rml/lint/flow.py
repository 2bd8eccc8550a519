"""What statements lead to: whether a handler drops what it caught, whether a loop tries again."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Final, TypeAlias

from rml.lint.module import Function, Module
from rml.lint.vocabulary import ATTEMPTS, COUNTERS, ENDING, HANDING_OVER, TELLING, is_rml

# A `return`, `break` or `continue` in a `finally` takes the place of the error on its way.
Leave: TypeAlias = ast.Return | ast.Break | ast.Continue
Catch: TypeAlias = ast.ExceptHandler | ast.withitem | Leave
_LEAVES: Final = (ast.Return, ast.Break, ast.Continue)
_BOUNDARY: Final = "boundary"
_SUPPRESS: Final = "contextlib.suppress"
_LEAVING: Final = (ast.Raise, ast.Return, ast.Break)
_Loop: TypeAlias = ast.For | ast.AsyncFor | ast.While
_LOOPS: Final = (ast.For, ast.AsyncFor, ast.While)
_TRIES: Final = (ast.Try, ast.TryStar)
_WITHS: Final = (ast.With, ast.AsyncWith)


def catches_around(module: Module, node: ast.AST) -> Iterator[tuple[ast.stmt, list[Catch]]]:
    """Yield what may catch an error that a node raises, inside its function, innermost first.

    Each is a ``try`` with its handlers, a ``finally`` that leaves, or a ``with suppress(...)``. It
    ends at an ``rml.boundary``, which records what crosses it.
    """
    for parent, child in module.around(node):
        if isinstance(parent, _TRIES) and child not in parent.finalbody:
            if child in parent.body:
                yield parent, list(parent.handlers)
            if leaving := list(_leaving(module, parent)):
                yield parent, leaving
        elif isinstance(parent, _WITHS) and child in parent.body:
            names = [module.meaning(item.context_expr) for item in parent.items]
            if any(is_rml(name, _BOUNDARY) for name in names):
                return
            items = zip(parent.items, names, strict=True)
            if suppressing := [item for item, name in items if name == _SUPPRESS]:
                yield parent, list(suppressing)


def _leaving(module: Module, statement: ast.Try | ast.TryStar) -> Iterator[Catch]:
    """Yield what leaves a ``finally``; a loop inside it keeps what leaves the loop alone."""
    for node in module.own(statement.finalbody):
        if not isinstance(node, _LEAVES):
            continue
        within = takewhile(lambda parent: parent is not statement, _parents(module, node))
        if isinstance(node, ast.Return) or not any(isinstance(p, _LOOPS) for p in within):
            yield node


def _parents(module: Module, node: ast.AST) -> Iterator[ast.AST]:
    return (parent for parent, _ in module.around(node))


def is_boundary(function: Function) -> bool:
    """Say whether what crosses a function's edge is recorded there."""
    return any(is_rml(name, _BOUNDARY) for _, name in function.decorators)


def has_boundary(module: Module, handler: ast.ExceptHandler) -> bool:
    """Say whether a boundary has recorded what a handler catches."""
    statement = next(parent for parent, _ in module.around(handler))
    assert isinstance(statement, _TRIES)
    for node in module.own(statement.body):
        if isinstance(node, ast.withitem) and is_rml(module.meaning(node.context_expr), _BOUNDARY):
            return True
        if isinstance(node, ast.Call) and any(map(is_boundary, module.called(node))):
            return True
    return False


def caught_by(module: Module, catch: Catch) -> list[str]:
    """Return the dotted names of what is caught."""
    if isinstance(catch, _LEAVES):
        return ["BaseException"]
    if isinstance(catch, ast.withitem):
        call = catch.context_expr
        given = call.args if isinstance(call, ast.Call) else []
        return [module.meaning(node) for node in given]
    if catch.type is None:
        return ["BaseException"]
    return [module.meaning(node) for node in written_out(catch.type)]


def written_out(node: ast.expr) -> list[ast.expr]:
    """Return the members of a tuple or list, else the node itself."""
    return list(node.elts) if isinstance(node, ast.Tuple | ast.List) else [node]


def drops(module: Module, catch: Catch) -> bool:
    """Say whether what was caught goes nowhere: not raised, not escalated, not handed on."""
    if not isinstance(catch, ast.ExceptHandler):
        return True
    for node in module.own(catch.body):
        if isinstance(node, ast.Raise):
            return False
        if isinstance(node, ast.Call):
            name = module.meaning(node.func)
            if name in ENDING or name.rpartition(".")[2] in HANDING_OVER:
                return False
        if isinstance(node, ast.Name) and node.id == catch.name and not _only_told(module, node):
            return False
    return True


def _only_told(module: Module, use: ast.Name) -> bool:
    for parent, _ in module.around(use):
        if isinstance(parent, ast.Call):
            called = parent.func
            word = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if word in TELLING:
                return True
        elif isinstance(parent, ast.ExceptHandler):
            break
    return False


def retried_by(module: Module, node: ast.AST) -> ast.stmt | None:
    """Return the innermost loop that runs a node again when it fails."""
    attempt: ast.stmt | None = None
    catching = {statement for statement, _ in catches_around(module, node)}
    for parent, child in module.around(node):
        if parent in catching and attempt is None and isinstance(parent, ast.stmt):
            attempt = parent
        if not isinstance(parent, _LOOPS) or child not in parent.body:
            continue
        if isinstance(parent, ast.While):
            by_attempts, counts = False, True
        else:
            name = module.meaning(parent.iter)
            by_attempts, counts = name in ATTEMPTS, name in COUNTERS
        if by_attempts or (counts and attempt and _again(module, parent, attempt, node)):
            return parent
        attempt = None  # a loop over other things: each has its own attempt
    return None


def _again(module: Module, loop: _Loop, attempt: ast.stmt, node: ast.AST) -> bool:
    """Say whether a loop goes on when an attempt at a node fails, and ends when it succeeds."""
    handlers = attempt.handlers if isinstance(attempt, _TRIES) else []
    if isinstance(attempt, _TRIES) and not any(falls_through(h.body) for h in handlers):
        return False
    succeeding = attempt.body if isinstance(attempt, _WITHS) else _succeeding(attempt)
    if isinstance(loop, ast.While):
        test = {n.id for n in module.own([loop.test]) if isinstance(n, ast.Name)}
        if test & _assigned(module, succeeding):
            return True
    outcome = _outcome(module, node)
    if any(_is_exit(module, n, node, loop, outcome) for n in module.own(succeeding)):
        return True
    if attempt not in loop.body:
        return False
    skips = any(isinstance(n, ast.Continue) for h in handlers for n in module.own(h.body))
    after = loop.body[loop.body.index(attempt) + 1 :]
    return (skips or bool(outcome)) and any(
        _is_exit(module, n, node, loop, outcome) for n in module.own(after)
    )


def _succeeding(attempt: ast.stmt) -> list[ast.stmt]:
    assert isinstance(attempt, _TRIES)
    return [*attempt.body, *attempt.orelse]


def falls_through(body: Sequence[ast.stmt]) -> bool:
    """Say whether what a handler does last, in some case, is not to leave."""
    last = body[-1]
    if isinstance(last, ast.If):
        return not last.orelse or falls_through(last.body) or falls_through(last.orelse)
    return not isinstance(last, _LEAVING)


def _is_exit(
    module: Module, leaving: ast.AST, node: ast.AST, loop: _Loop, outcome: set[str]
) -> bool:
    """Say whether a `return` or `break` leaves the loop because the attempt at a node succeeded.

    It does after the node, and under no condition but on what the node came to: a worker that ends
    when its queue is empty tries nothing again.
    """
    if not isinstance(leaving, ast.Return | ast.Break) or not _ends_after(leaving, node):
        return False
    for parent, _ in module.around(leaving):
        if parent is loop:
            return True
        if isinstance(parent, (*_LOOPS, ast.ExceptHandler, ast.Match)):
            return False
        if isinstance(parent, ast.If):
            asked = {n.id for n in module.own([parent.test]) if isinstance(n, ast.Name)}
            if not asked & outcome:
                return False
    return False


def _ends_after(leaving: ast.stmt, node: ast.AST) -> bool:
    end = (getattr(node, "end_lineno", 0), getattr(node, "end_col_offset", 0))
    return (leaving.end_lineno or 0, leaving.end_col_offset or 0) >= end


def _outcome(module: Module, node: ast.AST) -> set[str]:
    """Return the names that what a call came to is given."""
    for parent, child in module.around(node):
        if isinstance(parent, _WITHS):
            return _assigned(module, parent.items) if isinstance(child, ast.withitem) else set()
        if isinstance(parent, ast.stmt):
            return _assigned(module, [parent])
    return set()


def _assigned(module: Module, body: Sequence[ast.AST]) -> set[str]:
    nodes = module.own(body)
    return {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}

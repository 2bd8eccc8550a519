"""What the names in one file mean, as dotted names such as ``httpx.Client.post``.

An instance is written like its class, and a call's value like what was called, so that
``client = httpx.Client()`` makes ``client.post`` mean ``httpx.Client.post``. What cannot be
followed begins with ``?``, which begins no name.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from contextlib import suppress
from typing import Final, TypeAlias

import attrs

FunctionNode: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef

_UNKNOWN: Final = "?"
# Annotations and calls that mean what they are given.
_WRAPPERS: Final = frozenset({"Optional", "Annotated", "Final", "ClassVar"})
_PARTIAL: Final = "functools.partial"
# What a quoted annotation may look like that names a class.
_QUOTED: Final = re.compile(r"[^\W\d][\w.\[\], |]*")
# How long a chain of attributes and calls is followed.
_DEPTH_MAX: Final = 40


@attrs.define(eq=False)
class Scope:
    """A module, class, function or lambda, and what is bound in it."""

    name: str
    outer: Scope | None
    node: ast.AST
    # By name: dotted names, or expressions with the scope they stand in; None is unknown.
    bound: dict[str, list[str | tuple[ast.expr, Scope] | None]] = attrs.Factory(
        lambda: defaultdict(list)
    )
    known: dict[str, str] = attrs.Factory(dict)

    @property
    def is_class(self) -> bool:
        """Say whether it is a class, whose names its methods do not see."""
        return isinstance(self.node, ast.ClassDef)


class Names:
    """The scopes of one file."""

    def __init__(self) -> None:
        self.classes: dict[str, Scope] = {}

    def imported(self, statement: ast.Import | ast.ImportFrom, scope: Scope, package: str) -> None:
        """Bind what an import statement brings; a relative one is read from ``package``."""
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                name = alias.asname or alias.name.partition(".")[0]
                scope.bound[name].append(alias.name if alias.asname else name)
            return
        origin = statement.module or ""
        if statement.level:
            parts = package.split(".")[: -(statement.level - 1) or None]
            origin = ".".join([*parts, *([origin] if origin else [])])
        for alias in statement.names:
            scope.bound[alias.asname or alias.name].append(f"{origin}.{alias.name}")

    def meaning(self, node: ast.expr, scope: Scope, depth: int = 0) -> str:
        """Return the dotted name that an expression means."""
        if depth > _DEPTH_MAX:
            return _UNKNOWN
        if isinstance(node, ast.Name):
            return self._look_up(node.id, scope)
        if isinstance(node, ast.Attribute):
            return self._attribute(self.meaning(node.value, scope, depth + 1), node.attr)
        if isinstance(node, ast.Call):
            called = self.meaning(node.func, scope, depth + 1)
            wraps = called == _PARTIAL and node.args
            return self.meaning(node.args[0], scope, depth + 1) if wraps else called
        if isinstance(node, ast.Await | ast.NamedExpr | ast.Starred):
            return self.meaning(node.value, scope, depth + 1)
        return self._first(_inside(node), scope, depth + 1)

    def _first(self, parts: list[ast.expr], scope: Scope, depth: int) -> str:
        meanings = (self.meaning(part, scope, depth) for part in parts)
        return next((m for m in meanings if not m.startswith(_UNKNOWN)), _UNKNOWN)

    def _attribute(self, base: str, attribute: str) -> str:
        return self._member(base, attribute, 0) or f"{base}.{attribute}"

    def _member(self, base: str, attribute: str, depth: int) -> str | None:
        """Return what an attribute of a class of this file means, if that is known."""
        scope = self.classes.get(base)
        if scope is None or depth > _DEPTH_MAX:
            return None
        if attribute in scope.bound:
            known = self._own(attribute, scope)
            return None if known.startswith(_UNKNOWN) else known
        assert isinstance(scope.node, ast.ClassDef)
        bases = (self.meaning(base, scope.outer or scope) for base in scope.node.bases)
        inherited = (self._member(base, attribute, depth + 1) for base in bases)
        return next((found for found in inherited if found is not None), None)

    def is_imported(self, name: str, scope: Scope) -> bool:
        """Say whether a name was imported or defined, and stands for no value made here."""
        home = _home(name, scope)
        return home is not None and all(isinstance(value, str) for value in home.bound[name])

    def _look_up(self, name: str, scope: Scope) -> str:
        home = _home(name, scope)
        return name if home is None else self._own(name, home)

    def _own(self, name: str, scope: Scope) -> str:
        if name not in scope.known:
            scope.known[name] = _UNKNOWN + name  # while it is looked for: definitions go in circles
            found = (self._bound(value) for value in scope.bound[name])
            clear = (meaning for meaning in found if not meaning.startswith(_UNKNOWN))
            scope.known[name] = next(clear, _UNKNOWN + name)
        return scope.known[name]

    def _bound(self, value: str | tuple[ast.expr, Scope] | None) -> str:
        return self.meaning(*value) if isinstance(value, tuple) else value or _UNKNOWN


def unquoted(annotation: ast.expr) -> ast.expr:
    """Return the expression that a quoted annotation stands for, and any other as it is."""
    text = annotation.value if isinstance(annotation, ast.Constant) else None
    if isinstance(text, str) and _QUOTED.fullmatch(text):
        with suppress(SyntaxError, RecursionError, MemoryError):
            return ast.parse(text, mode="eval").body
    return annotation


def _home(name: str, scope: Scope) -> Scope | None:
    """Return the scope in which a name is bound; None for a builtin, or after a star import."""
    here: Scope | None = scope
    while here is not None and not (name in here.bound and (here is scope or not here.is_class)):
        here = here.outer
    return here


def _inside(node: ast.expr) -> list[ast.expr]:
    """Return what an alternative, a default or an annotation may stand for."""
    if isinstance(node, ast.BoolOp):
        return node.values
    if isinstance(node, ast.IfExp):
        return [node.body, node.orelse]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return [node.left, node.right]
    if isinstance(node, ast.Subscript):
        wrapper = node.value.attr if isinstance(node.value, ast.Attribute) else node.value
        name = wrapper.id if isinstance(wrapper, ast.Name) else wrapper
        if name in _WRAPPERS:
            return node.slice.elts[:1] if isinstance(node.slice, ast.Tuple) else [node.slice]
    return []

"""One file as the rules see it: its functions, its calls, and what is called from where."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

import attrs

from rml.lint.names import FunctionNode, Names, Scope, unquoted
from rml.lint.vocabulary import Patterns, is_rml

N = TypeVar("N", bound=ast.AST)

_PROTECTING: Final = ("idempotent", "compensator")
_DEFS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)
_BINDING: Final = (ast.For, ast.AsyncFor, ast.comprehension)


@attrs.frozen(eq=False)
class Function:
    """A ``def`` of the file."""

    name: str
    node: FunctionNode
    outer: Function | None
    # Outermost first: each decorator, and what it means.
    decorators: list[tuple[ast.expr, str]] = attrs.field(factory=list)

    @property
    def protection(self) -> ast.expr | None:
        """The decorator that makes it a protected handler, if one does."""
        found = (node for node, name in self.decorators if is_rml(name, *_PROTECTING))
        return next(found, None)


@attrs.frozen(eq=False)
class Site:
    """A call that has an effect and is not protected itself."""

    call: ast.Call
    name: str
    function: Function | None
    # Whether the client is called right here, and not by a function of this file that is called.
    is_direct: bool


@attrs.frozen
class _Place:
    scope: Scope
    function: Function | None


class Module:
    """A parsed file, its names followed and its calls connected."""

    def __init__(self, tree: ast.Module, name: str, *, is_package: bool, effects: Patterns) -> None:
        self.functions: list[Function] = []
        self._package = name if is_package else name.rpartition(".")[0]
        self._names = Names()
        self._nodes: dict[type[ast.AST], list[ast.AST]] = defaultdict(list)
        self._parents: dict[ast.AST, ast.AST] = {}
        self._places: dict[ast.AST, _Place] = {tree: _Place(Scope(name, None, tree), None)}
        self._by_name: dict[str, list[Function]] = defaultdict(list)
        self._by_node: dict[ast.AST, Function] = {}
        self._scan(tree)
        for function in self.functions:
            decorators = function.node.decorator_list
            function.decorators.extend((node, self.meaning(node)) for node in decorators)
        self.effects = effects
        self._covered = _covered(self.functions, dict(self._uses()))
        self.sites: list[Site] = self._sites(effects)

    def every(self, *kinds: type[N]) -> Iterator[N]:
        """Yield all nodes of these kinds."""
        for kind in kinds:
            yield from self._nodes.get(kind, ())  # type: ignore[misc]

    def meaning(self, node: ast.expr) -> str:
        """Return the dotted name that an expression means where it stands."""
        return self._names.meaning(node, self._places[node].scope)

    def is_imported(self, node: ast.expr) -> bool:
        """Say whether an expression names something itself, and no value made from it."""
        if isinstance(node, ast.Attribute):
            return self.is_imported(node.value)
        return isinstance(node, ast.Name) and self._names.is_imported(
            node.id, self._places[node].scope
        )

    def class_named(self, name: str) -> ast.ClassDef | None:
        """Return the class of this file that a dotted name means."""
        scope = self._names.classes.get(name)
        return scope.node if scope and isinstance(scope.node, ast.ClassDef) else None

    def function_of(self, node: ast.AST) -> Function | None:
        """Return the function by which a node is run."""
        return self._places[node].function

    def around(self, node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
        """Yield each node around one, up to the function, with the child that leads to it."""
        function = self._places[node].function
        parent = self._parents.get(node)
        while parent is not None and (function is None or parent is not function.node):
            yield parent, node
            node, parent = parent, self._parents.get(parent)

    def own(self, body: Iterable[ast.AST]) -> Iterator[ast.AST]:
        """Yield all nodes of a body that it runs itself: none inside a ``def`` in it."""
        waiting = list(body)
        while waiting:
            node = waiting.pop()
            yield node
            if not isinstance(node, (*_DEFS, ast.Lambda)):
                waiting.extend(ast.iter_child_nodes(node))

    def called(self, call: ast.Call) -> list[Function]:
        """Return the functions of this file that a call may mean."""
        return self.named(call.func)

    def named(self, node: ast.expr) -> list[Function]:
        """Return the functions of this file that an expression may mean."""
        return self._by_name.get(self.meaning(node), [])

    def is_covered(self, function: Function | None) -> bool:
        """Say whether a function is protected, or run by protected handlers alone."""
        return function in self._covered

    # -- reading the tree --------------------------------------------------------------------

    def _scan(self, tree: ast.Module) -> None:
        waiting: list[ast.AST] = [tree]
        while waiting:
            node = waiting.pop()
            place = self._places[node]
            self._nodes[type(node)].append(node)
            inner, body = self._enter(node, place)
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.expr_context):
                    continue
                self._parents[child] = node
                self._places[child] = inner if child in body else place
                waiting.append(child)

    def _enter(self, node: ast.AST, place: _Place) -> tuple[_Place, Iterable[ast.AST]]:
        """Bind what a node binds; return the place of its body, and which children are that."""
        if isinstance(node, _DEFS):
            return self._enter_def(node, place), node.body
        if isinstance(node, ast.Lambda):
            scope = Scope(place.scope.name, place.scope, node)
            _bind_parameters(node.args, scope, place.scope)
            return _Place(scope, place.function), [node.body]
        if isinstance(node, ast.ClassDef):
            name = f"{place.scope.name}.{node.name}"
            scope = self._names.classes[name] = Scope(name, place.scope, node)
            place.scope.bound[node.name].append(name)
            return _Place(scope, place.function), node.body
        if isinstance(node, ast.Import | ast.ImportFrom):
            self._names.imported(node, place.scope, self._package)
        else:
            for target, value in _bindings(node):
                _bind(target, value, place.scope)
        return place, ()

    def _enter_def(self, node: FunctionNode, place: _Place) -> _Place:
        name = f"{place.scope.name}.{node.name}"
        place.scope.bound[node.name].append(name)
        scope = Scope(name, place.scope, node)
        _bind_parameters(node.args, scope, place.scope)
        function = Function(name, node, place.function)
        self.functions.append(function)
        self._by_name[name].append(function)
        self._by_node[node] = function
        return _Place(scope, function)

    # -- connecting --------------------------------------------------------------------------

    def _uses(self) -> Iterator[tuple[Function, list[Function | None]]]:
        """Yield each function with the functions from which it is named, None for the file."""
        words = {function.node.name for function in self.functions}
        uses: dict[str, list[Function | None]] = defaultdict(list)
        for name in self.every(ast.Name):
            if name.id in words and isinstance(name.ctx, ast.Load):
                uses[self.meaning(name)].append(self.function_of(name))
        for attribute in self.every(ast.Attribute):
            if attribute.attr in words:
                uses[self.meaning(attribute)].append(self.function_of(attribute))
        for function in self.functions:
            yield function, [user for user in uses[function.name] if user is not function]

    def _sites(self, effects: Patterns) -> list[Site]:
        """Return every call that has an effect, by itself or through functions of this file."""
        calls = [(call, name) for call in self.every(ast.Call) if (name := self._name_of(call))]
        sites = [
            Site(call, name, self.function_of(call), is_direct=True)
            for call, name in calls
            if effects.may_end_in(name.rpartition(".")[2]) and effects.match(name)
        ]
        callers: dict[str, list[tuple[ast.Call, str]]] = defaultdict(list)
        for call, name in calls:
            if name in self._by_name:
                callers[name].append((call, name))
        seen: set[Function] = set()
        for site in sites:  # grows while it is gone through
            function = site.function
            if function is None or function in seen or function.protection is not None:
                continue
            seen.add(function)
            sites.extend(
                Site(call, function.node.name, self.function_of(call), is_direct=False)
                for call, _ in callers[function.name]
            )
        return sites

    def _name_of(self, call: ast.Call) -> str:
        """Return what is called; `client.request("POST", ...)` is named `client.post`."""
        name = self.meaning(call.func)
        base, _, last = name.rpartition(".")
        if base and last == "request" and call.args and isinstance(call.args[0], ast.Constant):
            return f"{base}.{str(call.args[0].value).lower()}"
        return name


def _covered(
    functions: list[Function], uses: dict[Function, list[Function | None]]
) -> set[Function | None]:
    """Return the functions that protected handlers alone lead to, and the handlers themselves."""
    covered: set[Function | None] = {f for f in functions if f.protection is not None}
    reached = list(covered)
    leads_to: dict[Function | None, list[Function]] = defaultdict(list)
    for function, users in uses.items():
        for user in users if function.outer is None else (*users, function.outer):
            leads_to[user].append(function)
    while reached:
        for function in leads_to[reached.pop()]:
            if function not in covered:
                covered.add(function)
                reached.append(function)
    # What is also led to from elsewhere is not covered, nor what only that leads to.
    exposed = [None, *(f for f in functions if f not in covered)]
    while exposed:
        user = exposed.pop()
        for function in leads_to[user]:
            stays = function.protection is not None or function.outer in covered
            if function in covered and not stays:
                covered.discard(function)
                exposed.append(function)
    return covered


def _bindings(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr | None]]:
    """Yield what a statement assigns to, and what; None for a value that is not followed."""
    if isinstance(node, ast.Assign):
        yield from ((target, node.value) for target in node.targets)
    elif isinstance(node, ast.AnnAssign):
        yield node.target, node.value
        yield node.target, unquoted(node.annotation)
    elif isinstance(node, ast.NamedExpr):
        yield node.target, node.value
    elif isinstance(node, ast.withitem) and node.optional_vars is not None:
        yield node.optional_vars, node.context_expr
    elif isinstance(node, _BINDING):
        yield node.target, None


def _bind(target: ast.expr, value: ast.expr | None, scope: Scope) -> None:
    made = None if value is None else (value, scope)
    if isinstance(target, ast.Name):
        scope.bound[target.id].append(made)
    elif isinstance(target, ast.Tuple | ast.List):
        for element in target.elts:
            _bind(element, None, scope)
    elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
        owner = scope.outer  # `self.client = ...` in a method
        if owner is not None and owner.is_class and target.value.id == _receiver(scope.node):
            owner.bound[target.attr].append(made)


def _receiver(node: ast.AST) -> str | None:
    if not isinstance(node, _DEFS):
        return None
    parameters = [*node.args.posonlyargs, *node.args.args]
    return parameters[0].arg if parameters else None


def _bind_parameters(arguments: ast.arguments, scope: Scope, outer: Scope) -> None:
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    for parameter in named:
        made = None if parameter.annotation is None else (unquoted(parameter.annotation), outer)
        scope.bound[parameter.arg].append(made)
    for rest in (arguments.vararg, arguments.kwarg):
        if rest is not None:
            scope.bound[rest.arg].append(None)
    receiver = _receiver(scope.node)
    if outer.is_class and receiver is not None:
        scope.bound[receiver].append(outer.name)

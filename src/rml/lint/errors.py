"""Which world the errors belong to that a file raises and catches, as far as its text says."""

from __future__ import annotations

import ast
from typing import Any, Final

import attrs

from rml.lint.module import Module
from rml.lint.vocabulary import BROAD, is_rml
from rml.world import DEFAULT_ACTION, Action, World, member_of

FAMILIES: Final = {
    "ClosedError": World.RML1,
    "DialogError": World.RML2,
    "HistoryError": World.RML3,
}
_ANY: Final = "RmlError"
_BASES_MAX: Final = 20


@attrs.frozen
class Kind:
    """What an error says of itself; ``happened`` is None if it says nothing."""

    world: World
    action: Action
    happened: object = None


def kind_of(module: Module, name: str, depth: int = 0) -> Kind | None:
    """Return what a class of errors says, by its dotted name; None if it is none that we know."""
    for family, world in FAMILIES.items():
        if is_rml(name, family):
            return Kind(world, DEFAULT_ACTION[world])
    if is_rml(name, _ANY):
        return Kind(World.RML3, Action.ESCALATE_HISTORY)
    written = module.class_named(name)
    if written is None or depth > _BASES_MAX:
        return None
    bases = (kind_of(module, module.meaning(base), depth + 1) for base in written.bases)
    kind = next((kind for kind in bases if kind is not None), None)
    return kind and _as_stated(kind, _declared(written))


def raised_kind(module: Module, raising: ast.Raise) -> Kind | None:
    """Return what the error says that a statement raises."""
    if raising.exc is None:
        return None
    kind = kind_of(module, module.meaning(raising.exc))
    if kind is not None and isinstance(raising.exc, ast.Call):
        return _as_stated(kind, {word.arg: word.value for word in raising.exc.keywords if word.arg})
    return kind


def is_broad(name: str) -> bool:
    """Say whether whoever catches this catches nearly everything."""
    return name in BROAD


def is_any(name: str) -> bool:
    """Say whether this is the parent of all errors of rml."""
    return is_rml(name, _ANY)


def is_general(name: str) -> bool:
    """Say whether whoever catches this catches every error of rml."""
    return is_broad(name) or is_any(name)


def is_history(module: Module, name: str) -> bool:
    """Say whether this is the history family, or a class of this file that belongs to it."""
    kind = None if is_any(name) else kind_of(module, name)
    return kind is not None and kind.world is World.RML3


def _declared(written: ast.ClassDef) -> dict[str, ast.expr]:
    stated: dict[str, ast.expr] = {}
    for statement in written.body:
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        else:
            continue
        names = (target.id for target in targets if isinstance(target, ast.Name))
        if statement.value is not None:
            stated |= dict.fromkeys(names, statement.value)
    return stated


def _as_stated(kind: Kind, stated: dict[str, ast.expr]) -> Kind:
    world = _spelled(World, stated.get("world"), kind.world)
    default = kind.action if world is kind.world else DEFAULT_ACTION[world]
    happened = stated.get("happened")
    said = happened.value if isinstance(happened, ast.Constant) else kind.happened
    return Kind(world, _spelled(Action, stated.get("action"), default), said)


def _spelled(words: type[Any], node: ast.expr | None, default: Any) -> Any:
    """Return the world or action that an expression writes: `"RML3"`, `rml.World.RML3`."""
    if isinstance(node, ast.Attribute):
        return words.__members__.get(node.attr, default)
    if isinstance(node, ast.Constant):
        try:
            return member_of(words, node.value)
        except ValueError:
            return default
    return default

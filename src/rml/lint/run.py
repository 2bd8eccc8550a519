"""Reading the files, asking every rule, and the report."""

from __future__ import annotations

import ast
import io
import os
import tokenize
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

import attrs

from rml.lint.acceptance import accepted
from rml.lint.definition_rule import check_definitions, check_levers
from rml.lint.effects_rule import (
    check_effects,
    check_handings,
    check_hints,
    check_order,
    check_transports,
)
from rml.lint.history_rule import check_broad, check_handlers, check_history, check_retried
from rml.lint.module import Module
from rml.lint.settings import Settings
from rml.lint.violation import Hit, Violation
from rml.lint.vocabulary import Patterns

Rule: TypeAlias = Callable[[Module], Iterable[Hit]]

RULES: Final[tuple[Rule, ...]] = (
    *(check_effects, check_handings, check_order, check_transports, check_hints),
    *(check_history, check_retried, check_handlers, check_broad, check_definitions),
    check_levers,
)
# Folders that hold other people's code, or none. Those that begin with a dot are left out too.
_FOREIGN: Final = frozenset({"__pycache__", "node_modules", "site-packages", "venv"})
# By these, and by the names of effects, a file is known to need a closer look.
_ALWAYS: Final = ("rml", "urllib3", "requests")


@attrs.frozen
class Report:
    """What was found, and what could not be read and why."""

    files: int
    violations: list[Violation]
    unread: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "files": self.files,
            "violations": [violation.to_dict() for violation in self.violations],
            "unread": [{"path": path, "reason": reason} for path, reason in self.unread.items()],
        }


def check(paths: Iterable[str], settings: Settings) -> Report:
    """Check files, and the Python files in folders; a file named twice is checked once."""
    violations: list[Violation] = []
    unread: dict[str, str] = {}
    effects = Patterns(settings.effectful)
    files = 0
    for path in dict.fromkeys(_files(paths, settings)):
        files += 1
        try:
            source = _read(path)
            violations += check_source(source, path, effects)
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
            unread[str(path)] = _reason(error)
    wanted = sorted({violation for violation in violations if settings.has_code(violation.code)})
    return Report(files, wanted, unread)


def _read(path: Path) -> bytes:
    """Return what a file holds; a pipe or a device would keep a reader waiting.

    Raises:
        OSError: it is no regular file, or cannot be read.
    """
    if path.exists() and not path.is_file():
        raise OSError("not a regular file")
    return path.read_bytes()


def check_source(source: bytes, path: Path, effects: Patterns) -> Iterator[Violation]:
    """Check one file.

    Raises:
        SyntaxError: it is no Python of this version.
        ValueError: it holds what no Python file does.
        RecursionError: it is nested too deeply.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the parser, about the file's own escapes
        tree = ast.parse(source)
    text = _text(source)
    lines = text.split("\n")
    name, is_package = _module_name(path)
    if not _may_have_violations(text, name, effects):
        return
    module = Module(tree, name, is_package=is_package, effects=effects)
    found: dict[tuple[int, int, str], str] = {}  # one violation of a kind at one place
    for node, code, message in (hit for rule in RULES for hit in rule(module)):
        found.setdefault((node.lineno, _column(lines, node), code), message)
    violations = [
        Violation(str(path), line, column, code, message)
        for (line, column, code), message in found.items()
    ]
    yield from accepted(text, str(path), violations)


def _may_have_violations(text: str, module: str, effects: Patterns) -> bool:
    """Say whether a file needs a closer look: every rule is about one of these names."""
    package = module.partition(".")[0]
    return any(word in text for word in _ALWAYS) or effects.may_be_in(text, package)


def _files(paths: Iterable[str], settings: Settings) -> Iterator[Path]:
    for path in map(Path, paths):
        if not path.is_dir():
            if not settings.leaves_out(path):
                yield path
            continue
        for folder, inner, names in os.walk(path):
            here = Path(folder)
            inner[:] = sorted(
                name
                for name in inner
                if not (
                    name.startswith(".") or name in _FOREIGN or settings.leaves_out(here / name)
                )
            )
            for name in sorted(names):
                if name.endswith(".py") and not settings.leaves_out(here / name):
                    yield here / name


def _text(source: bytes) -> str:
    encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
    return io.TextIOWrapper(io.BytesIO(source), encoding).read()


def _column(lines: list[str], node: ast.expr | ast.stmt | ast.ExceptHandler) -> int:
    """Return a node's column in characters, from 1; the parser counts bytes of UTF-8."""
    before = lines[node.lineno - 1].encode()[: node.col_offset]
    return len(before.decode(errors="replace")) + 1


def _module_name(path: Path) -> tuple[str, bool]:
    """Return the dotted name that a file is imported by, and whether it is a package's own."""
    absolute = path.absolute()
    is_package = absolute.name == "__init__.py"
    parts = [] if is_package else [absolute.stem]
    folder = absolute.parent
    while (folder / "__init__.py").is_file() and folder.name:
        parts.insert(0, folder.name)
        folder = folder.parent
    return ".".join(parts) or absolute.stem, is_package


def _reason(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        place = f"line {error.lineno}: " if error.lineno else ""
        return f"{place}{error.msg}"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, RecursionError | MemoryError):
        return "nested too deeply"
    return str(error)

"""What the check says about one place in a file."""

from __future__ import annotations

import ast
from typing import Any, TypeAlias

import attrs

# What a rule yields: where, which code, and the message.
Hit: TypeAlias = tuple[ast.expr | ast.stmt | ast.ExceptHandler, str, str]


@attrs.frozen(order=True)
class Violation:
    """One place, and what is wrong there; line and column count from 1."""

    path: str
    line: int
    column: int
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}: {self.code} {self.message}"

    def to_dict(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return attrs.asdict(self)

"""Violations that somebody has accepted: ``# rml: ok REASON`` on their line, or above it.

A reason is wanted, and an acceptance that accepts nothing is itself a violation: it would hide the
next one.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from typing import Final

import attrs

from rml.lint.violation import Violation

NO_REASON: Final = "RML198"
UNUSED: Final = "RML199"
_MARK: Final = re.compile(r"#\s*rml:\s*ok\b[\s:,-]*(?P<reason>.*)")
# What is read over between a mark that stands alone and the line that it is about.
_PASSED_OVER: Final = frozenset({tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT})


@attrs.frozen
class Acceptance:
    """One mark: where it stands, which line it is about, and why."""

    line: int
    column: int
    about: int
    reason: str


def accepted(text: str, path: str, violations: Iterable[Violation]) -> Iterator[Violation]:
    """Yield the violations that nobody has accepted, and what is wrong with the marks."""
    marks = list(_marks(text)) if _MARK.search(text) else []
    about = {mark.about for mark in marks}
    met: set[int] = set()
    for violation in violations:
        if violation.line in about:
            met.add(violation.line)
        else:
            yield violation
    for mark in marks:
        if mark.about not in met:
            message = "this accepts nothing; take it away, for it would hide the next violation"
            yield Violation(path, mark.line, mark.column, UNUSED, message)
        elif not mark.reason:
            message = "say why it is fine: # rml: ok REASON"
            yield Violation(path, mark.line, mark.column, NO_REASON, message)


def _marks(text: str) -> Iterator[Acceptance]:
    alone: list[tuple[int, int, str]] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if alone and token.type not in _PASSED_OVER:
            yield from (Acceptance(*mark[:2], token.start[0], mark[2]) for mark in alone)
            alone = []
        if token.type == tokenize.COMMENT and (found := _MARK.match(token.string)):
            line, column = token.start
            reason = found["reason"].strip()
            if token.line[:column].strip():
                yield Acceptance(line, column + 1, line, reason)
            else:
                alone.append((line, column + 1, reason))

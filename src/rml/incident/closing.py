"""What must be on the page before a case is closed.

A timeline, a decision and the names behind it. In an RML3 case the names of all three who decide
about history: legal, business, sre. And something in each of the three lists of lessons, be it
``none - `` and the reason. Placeholders of the template, such as ``...``, are blanks.
"""

from __future__ import annotations

import re
from typing import Final

from rml.incident.pages.casefile import CaseFile, LessonsLearned
from rml.world import World

# Who decides about history: what is owed, how far to go, what is possible.
TRIANGLE: Final = ("legal", "business", "sre")

_PLACEHOLDERS: Final = frozenset({"", "...", "\N{HORIZONTAL ELLIPSIS}", "?", "tbd", "todo"})
_NONE_ALONE: Final = re.compile("none[\\s.:\N{EN DASH}\N{EM DASH}-]*", re.IGNORECASE)


def missing_for_close(case: CaseFile) -> tuple[str, ...]:
    """Return what stands in the way of closing a case, one sentence each, in the page's order.

    The status is not looked at: closing may be what resolves a case.
    """
    missing: list[str] = []
    if not case.timeline:
        missing.append("timeline is empty: tell what happened")
    if is_blank(case.decisions.summary):
        missing.append("decisions.summary is blank: say what was decided")
    return (*missing, *_missing_names(case), *_missing_lessons(case.lessons_learned))


def _missing_names(case: CaseFile) -> list[str]:
    decided_by = case.decisions.decided_by
    missing = [
        f"decisions.decided_by[{i}].name is blank: name who decided for {who.role}"
        for i, who in enumerate(decided_by)
        if is_blank(who.name)
    ]
    roles = {who.role.strip().lower() for who in decided_by}
    wanted = TRIANGLE if case.rml_world is World.RML3 else ()
    missing += [
        f"decisions.decided_by has nobody for {role}: legal, business and sre decide an RML3 case"
        for role in wanted
        if role not in roles
    ]
    if not decided_by and not wanted:
        missing.append("decisions.decided_by is empty: name who decided")
    return missing


def _missing_lessons(lessons: LessonsLearned) -> list[str]:
    lists = {
        "technical": lessons.technical,
        "process": lessons.process,
        "governance": lessons.governance,
    }
    return [
        f"lessons_learned.{name} is empty: add a lesson, or 'none - ' and the reason"
        for name, items in lists.items()
        if all(is_blank(item) or _NONE_ALONE.fullmatch(item.strip()) for item in items)
    ]


def is_blank(text: str) -> bool:
    """Say whether a text is a blank of the template that was left as it stood, or shows nothing."""
    shown = "".join(filter(str.isprintable, text))
    return shown.strip().lower() in _PLACEHOLDERS

"""What to call a problem: an alert, a bug or an incident, told apart by the world it reached.

An alert is a symptom that leaves nothing behind once it is over. A bug is behaviour that nobody
specified, and that has not reached history. An incident has reached history, or may have: somebody
answers for it, and it has a case.
"""

from __future__ import annotations

from enum import StrEnum

from rml.cause import widest_behind
from rml.error import InvalidInputError, RmlError
from rml.incident.pages import casefile_form as form
from rml.world import World, widest


class Occurrence(StrEnum):
    """What a problem is called, and so who looks after it."""

    ALERT = "alert"
    """A symptom in RML1 or RML2: watch it recover."""
    BUG = "bug"
    """An exception that nobody declared: mend it in the usual way."""
    INCIDENT = "incident"
    """It is history, or may be: it has a case file, and people decide."""


def classify(
    problem: BaseException | None = None,
    *,
    world: World | str = World.RML1,
    gray: bool = False,
) -> Occurrence:
    """Return which of the three a problem is; only history, known or feared, makes an incident.

    Args:
        problem: the exception, if there is one; what it wraps or groups counts.
        world: how far the problem is known to reach by other signs, such as a monitor's.
        gray: whether it is open that history was reached; if so, it counts as reached.

    Raises:
        InvalidInputError: ``problem`` is no exception, or there is no such world.
    """
    given: object = problem  # whatever its annotation says
    if given is not None and not isinstance(given, BaseException):
        raise InvalidInputError(f"problem must be an exception, not {type(given).__name__}")
    reached = widest(form.world(world), widest_behind(problem)[0])
    if gray or reached is World.RML3:
        return Occurrence.INCIDENT
    return Occurrence.BUG if problem is not None and _is_undeclared(problem) else Occurrence.ALERT


def _is_undeclared(problem: BaseException) -> bool:
    """Say whether an exception, or any member of a group, is a stranger's."""
    waiting, seen = [problem], set[int]()
    while waiting:
        error = waiting.pop()
        if id(error) in seen:
            continue
        seen.add(id(error))
        if isinstance(error, BaseExceptionGroup):
            waiting.extend(error.exceptions)
        elif not isinstance(error, RmlError):
            return True
    return False

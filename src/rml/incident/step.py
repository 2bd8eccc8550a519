"""What people may record on a case: each step's arguments, checked, as the facts of its entry.

Everything here is pure. What depends on the case as it stands (whether it is closed, what an
amendment amends) is checked inside the commit, by :mod:`rml.incident.rule`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from rml.error import InvalidInputError
from rml.incident import casefile_form as form
from rml.incident.casefile import CaseStatus, Classification
from rml.incident.closing import TRIANGLE, is_blank
from rml.ledger.entry import check_text
from rml.tag import shown

T = TypeVar("T")

# A sentence or two for people in a hurry; documents are linked.
DETAIL_CHARACTERS_MAX: Final = 2_000
# Of one action: their ids fill an entry. More is recorded as several actions.
CORRECTIONS_MAX: Final = 1_000
# Of one list, in one entry.
LESSONS_MAX: Final = 100
_SOURCE_KEYS: Final = ("type", "source", "id")


def detected(detail: object, detected_by: object) -> dict[str, Any]:
    """Return the facts of a detection."""
    facts: dict[str, Any] = {"detail": said("detail", detail)}
    if detected_by is not None:
        facts["detected_by"] = source_of(detected_by)
    return facts


def contained(detail: object, lever: object) -> dict[str, Any]:
    """Return the facts of a containment."""
    return {"detail": said("detail", detail), "lever": named("lever", lever)}


def understood(
    detail: object, severity: object, asset: object, query: object, counts: Mapping[str, object]
) -> dict[str, Any]:
    """Return the facts of an assessment; what is not known is left out."""
    facts: dict[str, Any] = {"detail": said("detail", detail)}
    if severity is not None:
        scale = Classification(severity=named("severity", severity)).severity
        facts["severity"] = str(scale)
    assets = [named(f"asset[{i}]", item) for i, item in enumerate(_listed("asset", asset))]
    if assets:
        facts["asset"] = assets
    for name, value in counts.items():
        if value is not None:
            facts[name] = _about(name, form.count, value)
    if query is not None:
        facts["query"] = said("query", query)
        if "users" not in facts and "transactions" not in facts:
            message = "query says how something was counted; give users= or transactions= with it"
            raise InvalidInputError(message)
    return facts


def decided(summary: object, decided_by: object, absent: object) -> dict[str, Any]:
    """Return the facts of a decision."""
    names = _roles("decided_by", decided_by, "name")
    reasons = _roles("absent", absent if absent is not None else {}, "reason")
    both = sorted({who["role"] for who in names} & {who["role"] for who in reasons})
    if both:
        message = f"{both[0]} is named in decided_by and in absent; say which of the two holds"
        raise InvalidInputError(message)
    if not names:
        message = "decided_by names nobody; a decision without a name cannot be answered for"
        raise InvalidInputError(message)
    facts: dict[str, Any] = {"summary": said("summary", summary), "decided_by": names}
    if reasons:
        facts["absent"] = reasons
    return facts


def undecided_roles(facts: Mapping[str, Any]) -> list[str]:
    """Return which of legal, business and sre a decision neither names nor excuses."""
    there = {who["role"] for who in (*facts["decided_by"], *facts.get("absent", ()))}
    return [role for role in TRIANGLE if role not in there]


def acted(
    action: object,
    count: object,
    detail: object,
    words: Mapping[str, object],
    corrections: object,
) -> dict[str, Any]:
    """Return the facts of an action; without a count, as many as there are corrections."""
    ids = _ids(corrections)
    if count is None and ids:
        count = len(ids)
    facts: dict[str, Any] = {"type": named("type", action)}
    if count is not None:
        facts["count"] = _about("count", form.count, count)
    if detail is not None:
        facts["detail"] = said("detail", detail)
    for name, value in words.items():
        if value is not None:
            facts[name] = named(name, value)
    if ids:
        facts["corrections"] = ids
    return facts


def learned(**lists: object) -> dict[str, Any]:
    """Return the facts of what was learned: the lists that hold something."""
    facts: dict[str, Any] = {}
    for name, given in lists.items():
        lessons = [said(f"{name}[{i}]", item) for i, item in enumerate(_listed(name, given))]
        if len(lessons) > LESSONS_MAX:
            message = f"{name} has {len(lessons)} lessons, the limit is {LESSONS_MAX} (LESSONS_MAX)"
            raise InvalidInputError(message)
        if lessons:
            facts[name] = lessons
    if not facts:
        message = "all lists are empty; give one of them a lesson, or 'none - ' and the reason"
        raise InvalidInputError(message)
    return facts


def said(name: str, value: object) -> str:
    """Return what somebody said in words of their own.

    Raises:
        InvalidInputError: it is no text, blank or too long.
    """
    given: Any = value
    text = _about(name, form.text, given)
    if is_blank(text):
        raise InvalidInputError(f"{name} is {text!r}; say it in words")
    if len(text) > DETAIL_CHARACTERS_MAX:
        raise InvalidInputError(
            f"{name} has {len(text)} characters, "
            f"the limit is {DETAIL_CHARACTERS_MAX} (DETAIL_CHARACTERS_MAX)"
        )
    return text


def named(name: str, value: object) -> str:
    """Return a name: of a person, a lever, a kind of action.

    Raises:
        InvalidInputError: it is no text that a header may hold, or blank.
    """
    if value is None or (isinstance(value, str) and is_blank(value)):
        raise InvalidInputError(f"{name} is {form.shown(value)}; give a name")
    return check_text(name, value)


def status(name: str, value: object) -> CaseStatus:
    """Return the status for a member or its spelling.

    Raises:
        InvalidInputError: there is no such status.
    """
    if isinstance(value, str) and value.strip().lower() in list(CaseStatus):
        return CaseStatus(value.strip().lower())
    known = ", ".join(CaseStatus)
    raise InvalidInputError(f"{name} is {form.shown(value)}; a status is one of {known}")


def _about(name: str, read: Callable[[Any], T], value: Any) -> T:
    """Read a value; a refusal says which parameter it is about."""
    try:
        return read(value)
    except InvalidInputError as error:
        raise InvalidInputError(f"{name}: {error.message}") from None


def source_of(given: object) -> dict[str, str]:
    """Check what noticed a problem, as the case file has it."""
    if not isinstance(given, Mapping) or "type" not in given:
        message = "detected_by says what noticed it, such as {'type': 'cs_ticket', 'id': 'CS-1234'}"
        raise InvalidInputError(message)
    for key in given:
        if key not in _SOURCE_KEYS:
            message = f"detected_by has the key {shown(key)}; it takes {', '.join(_SOURCE_KEYS)}"
            raise InvalidInputError(message)
    return {key: named(f"detected_by.{key}", value) for key, value in given.items()}


def _roles(name: str, given: object, what: str) -> list[dict[str, str]]:
    """Return who decided for whom, or why nobody did."""
    if not isinstance(given, Mapping):
        message = (
            f"{name} maps roles to a {what}, such as {{'legal': '...'}}, not {form.shown(given)}"
        )
        raise InvalidInputError(message)
    found: dict[str, dict[str, str]] = {}
    for key, value in given.items():
        role = named(f"a role in {name}", key).strip().lower()
        if role in found:
            raise InvalidInputError(f"{name} names the role {role!r} twice")
        check = named if what == "name" else said
        found[role] = {"role": role, what: check(f"{name}[{role!r}]", value)}
    return list(found.values())


def _ids(given: object) -> list[str]:
    ids = [named("a correction's id", item) for item in _listed("corrections", given)]
    if len(ids) > CORRECTIONS_MAX:
        message = (
            f"corrections has {len(ids)} ids, the limit is {CORRECTIONS_MAX} (CORRECTIONS_MAX); "
            "record several actions"
        )
        raise InvalidInputError(message)
    for i, one in enumerate(ids):
        if one in ids[:i]:
            raise InvalidInputError(f"corrections names {one!r} twice")
    return ids


def _listed(name: str, given: object) -> list[Any]:
    if isinstance(given, str) or not isinstance(given, Sequence):
        message = f"{name} must be a list of text, not {form.shown(given)}"
        raise InvalidInputError(message)
    return list(given)

"""What people may record on a case: each step's arguments, checked, as the facts of its entry.

Everything here is pure. What depends on the case as it stands (whether it is closed, what an
amendment amends) is checked inside the commit, by :mod:`rml.incident.rule`.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, Final, TypeVar

import attrs

from rml.clock import utc_text
from rml.error import InvalidInputError
from rml.incident.closing import TRIANGLE, is_blank
from rml.incident.pages import casefile_form as form
from rml.incident.pages.casefile import CaseStatus
from rml.incident.severity import Priority, severity_said
from rml.ledger.content import check_aware
from rml.ledger.entry import check_text
from rml.tag import shown

T = TypeVar("T")

# A sentence or two for people in a hurry; documents are linked.
DETAIL_CHARACTERS_MAX: Final = 2_000
# Of one action: their ids fill an entry. More is recorded as several actions.
CORRECTIONS_MAX: Final = 1_000
# Of one list, in one entry.
LESSONS_MAX: Final = 100
# How to stop the bleeding, the gentlest first.
LEVERS: Final = ("flag_off", "deploy_rollback", "migration_rollback", "data_correction")
# What people call a lever, too.
_ALSO: Final = {"last_known_good": "deploy_rollback"}
# What else stops it; "none" says that there is nothing to stop.
CONTAINMENTS: Final = (
    "none",
    "kill_switch",
    "tenant_block",
    "region_block",
    "stop_new_execution",
    "fallback",
    "cache_on",
    "shed_load",
)
# What an incident exposes.
EXPOSURES: Final = (
    "money_moved",
    "money_not_moved",
    "customer_affected",
    "regulatory",
    "contractual",
    "social",
)
# What noticed a problem: the seven triggers, then the case file's words and the library's own.
SOURCES: Final = (
    "threshold",
    "composite",
    "log_based",
    "failed_synthetic",
    "breached_slo",
    "human_report",
    "external_indicator",
    "alert",
    "cs_ticket",
    "person",
    "rml",
)
# Why a problem is declared an incident.
CRITERIA: Final = (
    "slo-or-sla-violated",
    "unavailable-or-slow",
    "security",
    "business-critical-degraded",
    "unknown-impact",
)
# What a plan is made of, and how it is told outside.
PLANS: Final = ("refund", "re_run", "correction_notice", "feature_disable", "rollback_forward")
DISCLOSURES: Final = ("customer_notification", "press_release", "tos_based")
# What a change is made to.
CHANGES: Final = ("checklist", "runbook", "test", "brief_template", "ci_step", "code", "design")
_CHANGE_KEYS: Final = ("what", "kind", "owner", "due", "link", "lesson")
_SOURCE_KEYS: Final = ("type", "source", "id")


def detected(detail: object, detected_by: object) -> dict[str, Any]:
    """Return the facts of a detection."""
    facts: dict[str, Any] = {"detail": said("detail", detail)}
    if detected_by is not None:
        facts["detected_by"] = source_of(detected_by)
    return facts


def contained(detail: object, lever: object, *, temporary: bool = False) -> dict[str, Any]:
    """Return the facts of a containment.

    Raises:
        InvalidInputError: no such lever is known; one of your own is ``other:`` and its name.
    """
    word = one_of("lever", lever, (*LEVERS, *_ALSO, *CONTAINMENTS))
    facts: dict[str, Any] = {
        "detail": said("detail", detail),
        "lever": _ALSO.get(word, word),
    }
    return facts | {"temporary": True} if temporary else facts


def one_of(name: str, value: object, known: Sequence[str]) -> str:
    """Return one of some words, or ``other:`` and a word of one's own.

    Raises:
        InvalidInputError: it is neither; the nearest is named.
    """
    word = named(name, value)
    if word in known or (word.startswith("other:") and not is_blank(word[6:])):
        return word
    near = difflib.get_close_matches(word, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
    raise InvalidInputError(f"{name} {word!r} is not known; one of your own is 'other:...'; {hint}")


@attrs.frozen(kw_only=True)
class Found:
    """What somebody found out beside the words and the counts, as it was given."""

    severity: object = None
    priority: object = None
    asset: object = ()
    exposure: object = ()
    harmed: object = ()
    unharmed: object = ()
    root_cause: object = None
    started_at: object = None
    evidence: object = None
    criteria: object = ()


def understood(
    detail: object, found: Found, query: object, counts: Mapping[str, object]
) -> dict[str, Any]:
    """Return the facts of an assessment; what is not known is left out."""
    facts: dict[str, Any] = {"detail": said("detail", detail)}
    if found.severity is not None:
        facts["severity"] = str(severity_said(named("severity", found.severity)))
    if found.priority is not None:
        facts["priority"] = str(Priority(named("priority", found.priority)))
    assets = [named(f"asset[{i}]", item) for i, item in enumerate(listed("asset", found.asset))]
    if assets:
        facts["asset"] = assets
    facts |= words("exposure", found.exposure, EXPOSURES)
    facts |= words("criteria", found.criteria, CRITERIA)
    ids = {"harmed": found.harmed, "unharmed": found.unharmed}
    facts |= {name: _ids(name, given) for name, given in ids.items() if given}
    for name in ("root_cause", "evidence"):
        if getattr(found, name) is not None:
            facts[name] = said(name, getattr(found, name))
    if found.started_at is not None:
        facts["started_at"] = utc_text(check_aware("started_at", found.started_at))
    for name, value in counts.items():
        if value is not None:
            facts[name] = about(name, form.count, value)
    if query is not None:
        facts["query"] = said("query", query)
        if "users" not in facts and "transactions" not in facts:
            message = "query says how something was counted; give users= or transactions= with it"
            raise InvalidInputError(message)
    return facts


def words(name: str, given: object, known: Sequence[str]) -> dict[str, Any]:
    """Return a list of words, each known or ``other:...``, as a fact; an empty one is left out.

    Raises:
        InvalidInputError: a word is not known; the nearest is named.
    """
    found = [one_of(f"{name}[{i}]", item, known) for i, item in enumerate(listed(name, given))]
    return {name: list(dict.fromkeys(found))} if found else {}


def planned(plan: object, disclosure: object) -> dict[str, Any]:
    """Return the facts of what a decision is made of."""
    return words("plan", plan, PLANS) | words("disclosure", disclosure, DISCLOSURES)


def decided(summary: object, decided_by: object, absent: object) -> dict[str, Any]:
    """Return the facts of a decision."""
    nobody = "a decision without a name cannot be answered for"
    people = _people("decided_by", decided_by, absent, nobody)
    return {"summary": said("summary", summary), **people}


def postmortem(attended: object, absent: object, link: object) -> dict[str, Any]:
    """Return the facts of a postmortem that was held."""
    facts = _people("attended", attended, absent, "say who was there, and for whom")
    return facts if link is None else {**facts, "link": named("link", link)}


def undecided_roles(facts: Mapping[str, Any], name: str = "decided_by") -> list[str]:
    """Return which of legal, business and sre some facts neither name nor excuse."""
    there = {who["role"] for who in (*facts[name], *facts.get("absent", ()))}
    return [role for role in TRIANGLE if role not in there]


def acted(
    action: object,
    count: object,
    detail: object,
    words: Mapping[str, object],
    corrections: object,
) -> dict[str, Any]:
    """Return the facts of an action; without a count, as many as there are corrections."""
    ids = _ids("corrections", corrections)
    if count is None and ids:
        count = len(ids)
    facts: dict[str, Any] = {"type": named("type", action)}
    if count is not None:
        facts["count"] = about("count", form.count, count)
    if detail is not None:
        facts["detail"] = said("detail", detail)
    for name, value in words.items():
        if value is not None:
            facts[name] = named(name, value)
    if ids:
        facts["corrections"] = ids
    return facts


def learned(changes: object = (), unchanged: object = None, **lists: object) -> dict[str, Any]:
    """Return the facts of what was learned: the lists that hold something."""
    made = [_change(f"changes[{i}]", item) for i, item in enumerate(listed("changes", changes))]
    facts: dict[str, Any] = {"changes": made} if made else {}
    if len(made) > LESSONS_MAX:
        message = f"changes has {len(made)} items, the limit is {LESSONS_MAX} (LESSONS_MAX)"
        raise InvalidInputError(message)
    for name, given in lists.items():
        lessons = [said(f"{name}[{i}]", item) for i, item in enumerate(listed(name, given))]
        if len(lessons) > LESSONS_MAX:
            message = f"{name} has {len(lessons)} lessons, the limit is {LESSONS_MAX} (LESSONS_MAX)"
            raise InvalidInputError(message)
        if lessons:
            facts[name] = lessons
    if not facts:
        message = "all lists are empty; give one of them a lesson, or 'none - ' and the reason"
        raise InvalidInputError(message)
    return facts if unchanged is None else facts | {"unchanged": said("unchanged", unchanged)}


def _change(name: str, given: object) -> dict[str, str]:
    """Return a change: what, of which kind, whose, by when, and where it can be seen."""
    if not isinstance(given, Mapping) or not {"what", "kind"} <= given.keys():
        message = (
            f"{name} says what changes, such as {{'what': 'a key per charge', 'kind': 'code', "
            f"'owner': 'Mina Sato', 'due': '2026-12-01'}}"
        )
        raise InvalidInputError(message)
    for key in given:
        if key not in _CHANGE_KEYS:
            message = f"{name} has the key {shown(key)}; it takes {', '.join(_CHANGE_KEYS)}"
            raise InvalidInputError(message)
    change = {key: said(f"{name}.{key}", value) for key, value in given.items()}
    one_of(f"{name}.kind", change["kind"], CHANGES)
    if "due" in change:
        try:
            date.fromisoformat(change["due"])
        except ValueError:
            message = f"{name}.due is {change['due']!r}; give a day such as '2026-12-01'"
            raise InvalidInputError(message) from None
    return change


def said(name: str, value: object) -> str:
    """Return what somebody said in words of their own.

    Raises:
        InvalidInputError: it is no text, blank or too long.
    """
    given: Any = value
    text = about(name, form.text, given)
    if is_blank(text):
        raise InvalidInputError(f"{name} is {text!r}; say it in words")
    if len(text) > DETAIL_CHARACTERS_MAX:
        raise InvalidInputError(
            f"{name} has {len(text)} characters, "
            f"the limit is {DETAIL_CHARACTERS_MAX} (DETAIL_CHARACTERS_MAX)"
        )
    return text


def named(name: str, value: object) -> str:
    """Return a name, of a person, a lever, a kind of action, without space around it.

    Raises:
        InvalidInputError: it is no text that a header may hold, or blank.
    """
    if value is None or (isinstance(value, str) and is_blank(value)):
        raise InvalidInputError(f"{name} is {form.shown(value)}; give a name")
    return check_text(name, value.strip() if isinstance(value, str) else value)


def status(name: str, value: object) -> CaseStatus:
    """Return the status for a member or its spelling.

    Raises:
        InvalidInputError: there is no such status.
    """
    if isinstance(value, str) and value.strip().lower() in list(CaseStatus):
        return CaseStatus(value.strip().lower())
    known = ", ".join(CaseStatus)
    raise InvalidInputError(f"{name} is {form.shown(value)}; a status is one of {known}")


def about(name: str, read: Callable[[Any], T], value: Any) -> T:
    """Read a value; a refusal says which parameter it is about.

    Raises:
        InvalidInputError: the value cannot be read.
    """
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
    source = {key: named(f"detected_by.{key}", value) for key, value in given.items()}
    one_of("detected_by.type", source["type"], SOURCES)
    return source


def _people(name: str, given: object, absent: object, nobody: str) -> dict[str, Any]:
    """Return who was there for which role, and why nobody was for another."""
    names = _roles(name, given, "name")
    reasons = _roles("absent", absent if absent is not None else {}, "reason")
    both = sorted({who["role"] for who in names} & {who["role"] for who in reasons})
    if both:
        message = f"{both[0]} is named in {name} and in absent; say which of the two holds"
        raise InvalidInputError(message)
    if not names:
        raise InvalidInputError(f"{name} names nobody; {nobody}")
    return {name: names, "absent": reasons} if reasons else {name: names}


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


def _ids(name: str, given: object) -> list[str]:
    ids = [named(f"an id in {name}", item) for item in listed(name, given)]
    if len(ids) > CORRECTIONS_MAX:
        message = (
            f"{name} has {len(ids)} ids, the limit is {CORRECTIONS_MAX} (CORRECTIONS_MAX); "
            "record it in several steps"
        )
        raise InvalidInputError(message)
    twice = [one for one, n in Counter(ids).items() if n > 1]
    if twice:
        raise InvalidInputError(f"{name} names {twice[0]!r} twice")
    return ids


def listed(name: str, given: object) -> list[Any]:
    """Return what was given as a list.

    Raises:
        InvalidInputError: it is one text, or no list.
    """
    if isinstance(given, str) or not isinstance(given, Sequence):
        message = f"{name} must be a list of text, not {form.shown(given)}"
        raise InvalidInputError(message)
    return list(given)

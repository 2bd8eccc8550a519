"""What people may record on a case beside the six steps, checked, as the facts of its entry.

Updates and who hears them, what is confirmed at the end, notes on the board, costs, and links.
Pure, as :mod:`rml.incident.step` is.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from rml.error import InvalidInputError
from rml.incident.command.order import Board
from rml.incident.cost import COSTS
from rml.incident.gate import LISTS
from rml.incident.making_good import amount_of
from rml.incident.pages import casefile_form as form
from rml.incident.step import about, listed, named, one_of, said

# Who hears of an incident; others are named as ``other:...``.
AUDIENCES: Final = (
    "on_call_group",
    "tech_lead",
    "product_owner",
    "leadership",
    "affected_clients",
    "support",
    "legal",
    "status_page",
)
# How a case may hang together with something else.
RELATIONS: Final = ("caused_by", "fixed_by", "part_of", "similar_to")
# A promise of the next update lies within a day.
PROMISE_MINUTES_MAX: Final = 1_440


def updated(words: Mapping[str, object], to: object, next_minutes: object) -> dict[str, Any]:
    """Return the facts of an update: condition, action and need, and for whom it is.

    Raises:
        InvalidInputError: one of the three is blank; "none" is an answer.
    """
    facts: dict[str, Any] = {name: said(name, value) for name, value in words.items()}
    facts["to"] = audiences(to)
    if next_minutes is not None:
        minutes = about("next_minutes", form.count, next_minutes)
        if not 0 < minutes <= PROMISE_MINUTES_MAX:
            message = f"next_minutes is {minutes}; promise 1 to {PROMISE_MINUTES_MAX}"
            raise InvalidInputError(message)
        facts["next_minutes"] = minutes
    return facts


def told(detail: object, to: object, paged: object) -> dict[str, Any]:
    """Return the facts of a message: what was said, to whom, and whom a pager called for it."""
    facts = {"detail": said("detail", detail), "to": audiences(to)}
    names = [named(f"paged[{i}]", name) for i, name in enumerate(listed("paged", paged))]
    return facts | ({"paged": list(dict.fromkeys(names))} if names else {})


def audiences(given: object) -> list[str]:
    """Return who is told, each once.

    Raises:
        InvalidInputError: nobody is, or an audience is not known.
    """
    given_names = listed("to", [given] if isinstance(given, str) else given)
    found = [one_of(f"to[{i}]", item, AUDIENCES) for i, item in enumerate(given_names)]
    if not found:
        raise InvalidInputError("to names nobody; say who is told, such as 'leadership'")
    return list(dict.fromkeys(found))


def confirmed(items: object, evidence: object) -> dict[str, Any]:
    """Return the facts of a confirmation; the name of a list stands for all of its lines.

    Raises:
        InvalidInputError: there is no such line.
    """
    wanted: list[str] = []
    for i, item in enumerate(listed("items", items)):
        name = named(f"items[{i}]", item)
        known = (*LISTS, *(line for lines in LISTS.values() for line in lines))
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise InvalidInputError(f"{name!r} is no line of a list; {hint}")
        wanted += LISTS.get(name, (name,))
    if not wanted:
        raise InvalidInputError(f"say what is confirmed: {', '.join(LISTS)}, or a line of them")
    return {"items": list(dict.fromkeys(wanted)), "evidence": said("evidence", evidence)}


def noted(
    board: Board | str, detail: object, because: object, disproof: object, ends: object
) -> dict[str, Any]:
    """Return the facts of a note on the board.

    Raises:
        InvalidInputError: a hypothesis does not say why, or what would disprove it.
    """
    place = Board(board)
    facts: dict[str, Any] = {"board": place.value, "detail": said("detail", detail)}
    if place is Board.HYPOTHESIS and (because is None or disproof is None):
        message = "a hypothesis says because= why it is believed, and disproof= what would end it"
        raise InvalidInputError(message)
    for name, value in (("because", because), ("disproof", disproof)):
        if value is not None:
            facts[name] = said(name, value)
    if ends is not None:
        facts["ends"] = named("ends", ends)
    return facts


def triaged(symptom: object, runbook: object) -> dict[str, Any]:
    """Return the facts of a triage: the symptom, and its runbook if one is named."""
    facts: dict[str, Any] = {"symptom": named("symptom", symptom)}
    return facts if runbook is None else {**facts, "runbook": named("runbook", runbook)}


def costed(type_: object, amount: object, currency: object, detail: object) -> dict[str, Any]:
    """Return the facts of a cost; without an amount, that it is unknown.

    Raises:
        InvalidInputError: the amount is no decimal number from 0 on, or its currency is not said.
    """
    facts = {"type": one_of("type", type_, COSTS)}
    if amount is not None:
        told = str(amount) if type(amount) in (int, Decimal) else amount
        known = amount_of(told) if isinstance(told, str) else None
        if known is None or known < 0:
            raise InvalidInputError.about("amount", amount, "give a decimal number such as '12.50'")
        facts |= {"amount": format(known, "f"), "currency": named("currency", currency)}
    elif currency is not None:
        raise InvalidInputError("an amount that is unknown has no currency; leave it out")
    return facts if detail is None else facts | {"detail": said("detail", detail)}


def linked(relation: object, to: object) -> dict[str, Any]:
    """Return the facts of a link to another case, a commit or a page."""
    return {"relation": one_of("relation", relation, RELATIONS), "to": named("to", to)}

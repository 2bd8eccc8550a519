"""What each of the six steps depends on: levers, assessments, decisions, acts and lessons.

Checked inside the commit that records it, as :mod:`rml.incident.rule` says.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from rml.effect.resolution import effect_in
from rml.error import InvalidInputError
from rml.incident import kinds, scope
from rml.incident.gate import Barrier
from rml.incident.lesson import LISTS, lessons_in
from rml.incident.levers.containment_proof import contained
from rml.incident.projection import is_effect_id
from rml.incident.rule import Look, in_order
from rml.incident.severity import Sev, default_priority
from rml.incident.step import LEVERS, undecided_roles
from rml.ledger.entry import Entry
from rml.ledger.errors import UnknownIdError
from rml.tag import shown
from rml.world import World

_COUNTS: Final = (*scope.MEASURES, "harmed")
# The last of the four levers, and the action that it is.
DATA_CORRECTION: Final = "data_correction"
# The acts that put right what went wrong, in whatever words; so does each that names corrections.
_PUTTING_RIGHT: Final = (DATA_CORRECTION, "refund")


def check_lever(look: Look, lever: str) -> Iterator[Barrier]:
    """Yield the gentler levers that are skipped, and no runbook of the case says why."""
    if lever not in LEVERS:
        return
    pulled = {entry.facts["lever"] for entry in look.of(kinds.CONTAINED)}
    for triage in look.of(kinds.TRIAGED)[-1:]:
        pulled |= set(triage.facts.get("skip", ()))
    skipped = [one for one in LEVERS[: LEVERS.index(lever)] if one not in pulled]
    if skipped:
        text = f"{lever} comes after {', '.join(skipped)}, which nobody has pulled"
        yield Barrier("lever-order", text)


def check_assessment(look: Look, facts: Mapping[str, Any]) -> Iterator[Barrier]:
    """Yield what cannot be said to be less than before without evidence; more needs none.

    Raises:
        InvalidInputError: what is said to be no harm was not found to be any.
    """
    spared = facts.get("unharmed", ())
    strange = [one for one in spared if one not in look.read.harmed] if spared else []
    if strange:
        message = f"unharmed names {shown(strange[0])}, which nobody found to be harm"
        raise InvalidInputError(message)
    if "evidence" in facts:
        return
    if spared:
        text = f"{len(spared):,} of them count as harm; saying that they are none needs evidence="
        yield Barrier("scope-evidence", text)
    yield from _check_counts(look, facts)
    told = look.of(kinds.UNDERSTOOD, kinds.SEVERITY_RAISED)
    said = [_sev(entry.facts.get("severity")) for entry in told]
    known = [severity for severity in said if severity is not None]
    wanted = _sev(facts.get("severity"))
    before = known[-1] if known else None
    if wanted is not None and before is not None and not wanted.is_at_least(before):
        text = f"it is {before}; lowering it to {wanted} needs evidence="
        yield Barrier("severity-evidence", text)
    given = [entry.facts["priority"] for entry in told if "priority" in entry.facts]
    urgency = given[-1] if given else before and default_priority(before)
    if urgency is not None and facts.get("priority", urgency) > urgency:
        text = f"it is {urgency}; lowering it to {facts['priority']} needs evidence="
        yield Barrier("severity-evidence", text)


def _check_counts(look: Look, facts: Mapping[str, Any]) -> Iterator[Barrier]:
    said = look.of(kinds.UNDERSTOOD, kinds.COUNTED)
    for measure in scope.MEASURES:
        before = [value for value, _ in scope.told(said, measure)]
        now = facts.get(measure)
        if now is not None and before and now < before[-1]:
            text = f"{measure} was {before[-1]:,}; narrowing it to {now:,} needs evidence="
            yield Barrier("scope-evidence", text)


def check_lessons(look: Look, facts: Mapping[str, Any]) -> None:
    """Check that a change which names a lesson names one of this case.

    Raises:
        InvalidInputError: there is no such lesson.
    """
    own = {lesson for name in LISTS for lesson in facts.get(name, ())}
    known = own | set(lessons_in(look.of(kinds.LEARNED)))
    for i, change in enumerate(facts.get("changes", ())):
        wanted = change.get("lesson")
        if wanted is not None and wanted not in known:
            near = difflib.get_close_matches(wanted, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "record it with this step"
            message = f"changes[{i}].lesson {shown(wanted)} is no lesson of the case; {hint}"
            raise InvalidInputError(message)


def _sev(value: str | None) -> Sev | None:
    """Return a severity of the scale; an organisation's own words have no order."""
    return Sev(value) if value in list(Sev) else None


def check_decision(
    look: Look, facts: Mapping[str, Any], world: World, amends: str | None
) -> Iterator[Barrier]:
    """Yield what a decision lacks as the case stands.

    Raises:
        UnknownIdError: ``amends`` names no decision of this case.
    """
    decisions = look.of(kinds.DECIDED)
    if amends is not None and amends not in {entry.id for entry in decisions}:
        raise UnknownIdError(f"amends={shown(amends)} names no decision of {look.incident}")
    about_history = World.RML3 in (world, look.world)
    undecided = undecided_roles(facts)
    if undecided and about_history:
        yield Barrier(
            "triangle",
            "history is decided by legal, business and sre: name who decided for "
            f"{', '.join(undecided)} in decided_by, or say in absent why nobody did",
            overridable=False,
        )
    for entry in decisions:
        if amends is not None and entry.corrects == amends:
            text = f"decision {amends} was amended by {entry.id} already; amend that one"
            yield Barrier("amended-once", text, overridable=False)
    if about_history and not _is_counted(look):
        text = (
            "nobody has said how much is history: give understand() a count, or an estimate, "
            "of users or transactions"
        )
        yield Barrier("three-questions", text)


def _is_counted(look: Look) -> bool:
    """Say whether somebody has said how much became history; 0 is an answer."""
    understood = look.of(kinds.UNDERSTOOD)
    return (
        not understood
        or any(name in entry.facts for entry in understood for name in _COUNTS)
        or look.has(kinds.COUNTED)
    )


def check_action(look: Look, world: World) -> Iterator[Barrier]:
    """Yield why history may not be written yet: nobody who may has decided so."""
    if world is not World.RML3:
        return
    yield from in_order(look, kinds.ACTED, world)
    if not any(map(is_quorate, look.of(kinds.DECIDED))):
        text = (
            "an act that becomes history needs a decision of legal, business and sre: "
            "case.decide(...) first"
        )
        yield Barrier("decided-first", text)


def check_made_good(look: Look, ids: Iterable[str]) -> None:
    """Check that an act names what makes good, and not the harm itself.

    Raises:
        InvalidInputError: an id is of harm, and corrects nothing.
    """
    harmed = set(look.read.harmed)
    for one in filter(harmed.__contains__, ids):
        told = effect_in(look.draft, one) if is_effect_id(one) else look.draft.entry(one)
        if told is not None and told.corrects is None:
            raise InvalidInputError(f"{one} is what was harmed; name what corrects it")


def is_quorate(decision: Entry) -> bool:
    """Say whether a decision names or excuses each of the three who decide about history."""
    return not undecided_roles(decision.facts)


def before_correction(look: Look, facts: Mapping[str, Any]) -> Iterator[Barrier]:
    """Yield why nothing may be put right yet: what is still bleeding would be put right twice.

    Args:
        look: the case.
        facts: of the step: a lever, or an act.
    """
    if "lever" in facts:
        waits = _word(facts["lever"]) == DATA_CORRECTION
    else:
        waits = _word(facts["type"]) in _PUTTING_RIGHT or "corrections" in facts
    found = contained(look.draft, look.entries) if waits else None
    if found is not None and not found.proven:
        text = f"data is corrected, and money given back, once containment is proven; {found}"
        yield Barrier("contained-first", text)


def _word(told: str) -> str:
    """Return a word without what tells its spellings apart."""
    return "_".join(re.split(r"[\W_]+", told.removeprefix("other:").casefold()))

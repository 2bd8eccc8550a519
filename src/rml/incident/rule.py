"""What a step depends on, checked inside the commit that records it.

Two people who work on a case at once cannot contradict each other: commits come one after the
other, and the later one sees what the earlier one recorded.

Every rule has a name, which a refusal says. Most may be passed knowingly: with a reason, which
becomes an entry of its own beside the step.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar, Final

import attrs

from rml.effect.resolution import effect_in
from rml.error import ClosedError, InvalidInputError
from rml.incident import kinds, projection
from rml.incident.command.role import Hats, Role, Work, hats_of, objection
from rml.incident.gate import Barrier
from rml.incident.lesson import LISTS, lessons_in
from rml.incident.pages.casefile_yaml import time_text
from rml.incident.projection import Projection, project
from rml.incident.severity import Sev, default_priority
from rml.incident.step import LEVERS, undecided_roles
from rml.ledger.draft import Draft
from rml.ledger.entry import Entry
from rml.ledger.errors import UnknownIdError
from rml.tag import shown
from rml.world import World

# What must have been taken before a step about history.
_BEFORE: Final[Mapping[str, tuple[str, ...]]] = {
    kinds.DECIDED: (kinds.CONTAINED, kinds.UNDERSTOOD),
    kinds.ACTED: (kinds.CONTAINED, kinds.UNDERSTOOD),
    kinds.LEARNED: (kinds.CONTAINED, kinds.UNDERSTOOD, kinds.DECIDED),
}
_COUNTS: Final = ("users", "transactions", "users_estimate", "transactions_estimate", "harmed")
_HAT_KINDS: Final = (
    kinds.ROLE_TAKEN,
    kinds.ROLE_LEFT,
    kinds.HANDOVER_OFFERED,
    kinds.HANDOVER_ACCEPTED,
)


class StepRefusedError(ClosedError):
    """The case does not allow this step as it stands; nothing was recorded."""

    code = "CASE_STEP_REFUSED"
    happened: ClassVar[bool | None] = None  # it may be raised after an effect of the caller's own


class CaseClosedError(StepRefusedError):
    """The case is closed; what comes to light later opens a new one."""

    code = "CASE_CLOSED"


@attrs.frozen(slots=False)
class Look:
    """A case as a commit in the making sees it; each question reads only what it needs."""

    draft: Draft
    incident: str

    def of(self, kind: str) -> list[Entry]:
        """Return the case's entries of one kind, in index order."""
        return self.draft.entries(kind=kind, incident=self.incident)

    def has(self, kind: str) -> bool:
        """Say whether the case has an entry of a kind."""
        return bool(self.draft.entries(kind=kind, incident=self.incident, limit=1))

    @cached_property
    def entries(self) -> list[Entry]:
        """Every entry of the case, in index order."""
        return self.draft.entries(incident=self.incident)

    @cached_property
    def read(self) -> Projection:
        """The whole case.

        Raises:
            UnknownIdError: there is none.
        """
        read = project(self.entries)
        if read is None:
            raise UnknownIdError(f"no incident {shown(self.incident)} is in this ledger")
        return read

    @cached_property
    def world(self) -> World:
        """The world that it has reached; a signal says so, unless it was scoped down since."""
        last = self.draft.entries(
            kind=kinds.JOINED, incident=self.incident, newest_first=True, limit=1
        ) or self.of(kinds.OPENED)
        if last and last[0].world is World.RML3 and not self.has(kinds.DOWNSCOPED):
            return World.RML3
        return projection.world_of(self.entries)

    @cached_property
    def hats(self) -> Hats:
        """Who is what."""
        told = [entry for kind in _HAT_KINDS for entry in self.of(kind)]
        return hats_of(sorted(told, key=lambda entry: (entry.index is None, entry.index or 0)))


# --------------------------------------------------------------------------- passing or refusing


def settle(
    look: Look, kind: str, found: Iterable[Barrier], override: str | None, actor: str | None
) -> None:
    """Refuse a step that something bars, or record who passes it and why.

    Raises:
        StepRefusedError: names the rules, what they ask for, and whether they may be overridden.
    """
    bars = list(found)
    strict = [bar for bar in bars if not bar.overridable]
    if not bars:
        return
    if override is None or strict:
        raise refusal(look.incident, strict or bars, overridable=not strict)
    if actor is None:
        raise InvalidInputError("an override is somebody's: say by= who passes the rule")
    rules = list(dict.fromkeys(bar.rule for bar in bars))
    look.draft.append(
        kinds.OVERRIDDEN,
        world=look.world,
        facts={"rules": rules, "reason": override, "step": kind},
        actor=actor,
        incident=look.incident,
    )


def refusal(incident: str, bars: Sequence[Barrier], *, overridable: bool) -> StepRefusedError:
    """Return the error for a step that something bars."""
    rules = list(dict.fromkeys(bar.rule for bar in bars))
    texts = [bar.text for bar in bars]
    way = "; to go on knowingly, give override= a reason" if overridable else ""
    names = f"rule {rules[0]}" if len(rules) == 1 else f"rules {', '.join(rules)}"
    message = f"{incident}: {'; '.join(texts)} ({names}{way})"
    details = {"rules": rules, "missing": texts, "overridable": overridable}
    return StepRefusedError(message, details=details)


# ---------------------------------------------------------------------------- what all steps need


def check_open(draft: Draft, incident: str) -> None:
    """Check that nobody has closed a case.

    Raises:
        CaseClosedError: somebody has.
    """
    closed = closed_now(draft, incident)
    if closed is not None:
        when = time_text(closed.recorded_at)
        raise CaseClosedError(
            f"{incident} was closed by {closed.actor} at {when}; for what comes to light now, "
            "rml.escalate opens a new case, and case.reopen takes this one up again"
        )


def closed_now(draft: Draft, incident: str) -> Entry | None:
    """Return the entry that closed a case, unless it was reopened after it."""
    closed = draft.entries(kind=kinds.CLOSED, incident=incident)
    if not closed:
        return None
    reopened = draft.entries(kind=kinds.REOPENED, incident=incident)
    return closed[-1] if len(closed) > len(reopened) else None


def in_order(look: Look, kind: str, world: World) -> Iterator[Barrier]:
    """Yield the steps that come before one about history and have not been taken."""
    if World.RML3 not in (world, look.world):
        return
    for before in _BEFORE.get(kind, ()):
        if not look.has(before):
            step = projection.STEPS[before]
            yield Barrier("step-order", f"{_name(kind)} comes after {step}: case.{step}(...) first")


def since_detection(look: Look, at: datetime | None) -> Iterator[Barrier]:
    """Yield what is wrong with a time that lies before the first sign."""
    if at is None:
        return
    detected = first_sign(look)
    if at < detected:
        yield Barrier(
            "after-detection",
            f"at is {time_text(at)}, before it was detected at {time_text(detected)}: "
            "record the earlier sign with case.detect(..., at=...)",
            overridable=False,
        )


def check_start(look: Look, started_at: datetime | None) -> None:
    """Check that what began had begun when it was detected.

    Raises:
        InvalidInputError: it lies after the first sign.
    """
    if started_at is None:
        return
    detected = first_sign(look)
    if started_at > detected:
        raise InvalidInputError(
            f"started_at is {time_text(started_at)}, after the first sign at "
            f"{time_text(detected)}; it began then or earlier"
        )


def first_sign(look: Look) -> datetime:
    """Return when the problem was noticed first."""
    return min(entry.at for kind in kinds.DETECTIONS for entry in look.of(kind))


def deciding(
    look: Look, facts: Mapping[str, Any], writer: str | None, hat: Role | None
) -> Iterator[Barrier]:
    """Yield why somebody may not decide: who writes it down, or who wears only hats that do not."""
    yield from under_hat(look, writer, Work.DECIDE, hat)
    for name in dict.fromkeys(who["name"] for who in facts["decided_by"]):
        if name == writer:
            continue
        found = [objection(look.hats, name, Work.DECIDE, own) for own in look.hats.of(name)]
        if found and None not in found:
            yield Barrier("hat", str(found[0]))


def under_hat(look: Look, name: str | None, work: Work, hat: Role | None) -> Iterator[Barrier]:
    """Yield why somebody may not do a work under the hat that they wear."""
    if name is None:
        return
    why = objection(look.hats, name, work, hat)
    if why is not None:
        yield Barrier("hat", why)


def _name(kind: str) -> str:
    return str(projection.STEPS.get(kind, kind.partition(".")[2]))


# ----------------------------------------------------------------------------------- single steps


def check_lever(look: Look, lever: str) -> Iterator[Barrier]:
    """Yield the gentler levers that are skipped."""
    if lever not in LEVERS:
        return
    pulled = {entry.facts["lever"] for entry in look.of(kinds.CONTAINED)}
    skipped = [one for one in LEVERS[: LEVERS.index(lever)] if one not in pulled]
    if skipped:
        text = f"{lever} comes after {', '.join(skipped)}, which nobody has pulled"
        yield Barrier("lever-order", text)


def check_assessment(look: Look, facts: Mapping[str, Any]) -> Iterator[Barrier]:
    """Yield why severity or priority cannot be lowered: only less than before needs evidence."""
    if "evidence" in facts:
        return
    told = [*look.of(kinds.UNDERSTOOD), *look.of(kinds.SEVERITY_RAISED)]
    told.sort(key=lambda entry: entry.index or 0)
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


def is_quorate(decision: Entry) -> bool:
    """Say whether a decision names or excuses each of the three who decide about history."""
    return not undecided_roles(decision.facts)


def check_known(draft: Draft, ids: Iterable[str]) -> None:
    """Check that ids name effects or entries of this ledger.

    Raises:
        UnknownIdError: one names neither.
    """
    for one in ids:
        if projection.is_effect_id(one):
            effect_in(draft, one)
        elif draft.entry(one) is None:
            raise UnknownIdError(f"no entry {shown(one)} is in this ledger")


def of_case(look: Look, name: str, one: str, kind: str) -> Entry:
    """Return the entry of a kind that an id names.

    Raises:
        UnknownIdError: it names none of this case.
    """
    entry = look.draft.entry(one)
    if entry is None or entry.kind != kind or entry.incident != look.incident:
        what = kind.partition(".")[2].replace("_", " ")
        raise UnknownIdError(f"{name}={shown(one)} names no entry of {look.incident} that {what}")
    return entry

"""What a step depends on, checked inside the commit that records it.

Two people who work on a case at once cannot contradict each other: commits come one after the
other, and the later one sees what the earlier one recorded.

Every rule has a name, which a refusal says. Most may be passed knowingly: with a reason, which
becomes an entry of its own beside the step.
"""

from __future__ import annotations

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
from rml.incident.pages.casefile_yaml import time_text
from rml.incident.projection import Projection, project
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
# How many of the newest entries are named to somebody who named none of them.
_NAMED_MAX: Final = 5
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
    """A case as a commit in the making sees it, before what the commit itself records of it.

    Attributes:
        draft: the commit.
        incident: the id of the case.
        kept: the case as it was last read, if it was: only what came after it is read again.
            Without it, each question reads only what it needs.
    """

    draft: Draft
    incident: str
    kept: Projection | None = None

    def of(self, *wanted: str) -> list[Entry]:
        """Return the case's entries of some kinds, in index order; what has none yet comes last."""
        if self.kept is not None:
            return [*self.kept.of(*wanted), *(e for e in self._later if e.kind in wanted)]
        found = [
            e for kind in wanted for e in self.draft.entries(kind=kind, incident=self.incident)
        ]
        return sorted(found, key=lambda entry: (entry.index is None, entry.index or 0))

    def last(self, kind: str) -> Entry | None:
        """Return the case's newest entry of one kind."""
        if self.kept is not None:
            return next(reversed(self.of(kind)), None)
        newest = self.draft.entries(kind=kind, incident=self.incident, newest_first=True, limit=1)
        return newest[0] if newest else None

    def has(self, kind: str) -> bool:
        """Say whether the case has an entry of a kind."""
        return self.last(kind) is not None

    @cached_property
    def _later(self) -> list[Entry]:
        """What was recorded after the case was last read, or all of it."""
        last = None if self.kept is None else self.kept.entries[-1].index
        return self.draft.entries(incident=self.incident, after=-1 if last is None else last)

    @cached_property
    def entries(self) -> list[Entry]:
        """Every entry of the case, in index order."""
        return [*(() if self.kept is None else self.kept.entries), *self._later]

    @cached_property
    def read(self) -> Projection:
        """The whole case.

        Raises:
            UnknownIdError: there is none.
        """
        if self.kept is not None and not self._later:
            return self.kept
        read = project(self.entries, before=self.kept)
        if read is None:
            raise UnknownIdError(f"no incident {shown(self.incident)} is in this ledger")
        return read

    @cached_property
    def world(self) -> World:
        """The world that it has reached; a signal says so, unless it was scoped down since."""
        last = self.last(kinds.JOINED) or self.last(kinds.OPENED)
        if last is not None and last.world is World.RML3 and not self.has(kinds.DOWNSCOPED):
            return World.RML3
        return self.read.world

    @cached_property
    def hats(self) -> Hats:
        """Who is what."""
        return hats_of(self.of(*_HAT_KINDS))


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
    look.draft.record(
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


def check_open(look: Look) -> None:
    """Check that nobody has closed a case.

    Raises:
        CaseClosedError: somebody has.
    """
    closed = closed_now(look)
    if closed is not None:
        when = time_text(closed.recorded_at)
        raise CaseClosedError(
            f"{look.incident} was closed by {closed.actor} at {when}; for what comes to light now, "
            "rml.escalate opens a new case, and case.reopen takes this one up again"
        )


def closed_now(look: Look) -> Entry | None:
    """Return the entry that closed a case, unless it was reopened after it."""
    closed = look.of(kinds.CLOSED)
    return closed[-1] if len(closed) > len(look.of(kinds.REOPENED)) else None


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
    return min(entry.at for entry in look.of(*kinds.DETECTIONS))


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
        known = ", ".join(found.id for found in look.of(kind)[-_NAMED_MAX:]) or "there is none yet"
        raise UnknownIdError(
            f"{name}={shown(one)} names no entry {kind} of {look.incident}; these are: {known}"
        )
    return entry

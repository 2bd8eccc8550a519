"""What a step depends on, checked inside the commit that records it.

Two people who work on a case at once cannot contradict each other: commits come one after the
other, and the later one sees what the earlier one recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, ClassVar, Final

from rml.effect.resolution import effect_in
from rml.effect.state import Effect, EffectState
from rml.error import ClosedError
from rml.incident import projection
from rml.incident.casefile import CaseStatus, can_move
from rml.incident.casefile_yaml import time_text
from rml.incident.closing import missing_for_close
from rml.incident.projection import Projection, project
from rml.incident.step import undecided_roles
from rml.ledger.draft import Draft, Receipt
from rml.ledger.errors import UnknownIdError
from rml.tag import shown
from rml.world import World

# How an effect may stand while nobody knows its end.
_OPEN_ENDED: Final = (EffectState.IN_DOUBT, EffectState.IN_FLIGHT)


class StepRefusedError(ClosedError):
    """The case does not allow this step as it stands; nothing was recorded."""

    code = "CASE_STEP_REFUSED"
    happened: ClassVar[bool | None] = None  # it may be raised after an effect of the caller's own


class CaseClosedError(StepRefusedError):
    """The case is closed; what comes to light later opens a new one."""

    code = "CASE_CLOSED"


def move(draft: Draft, incident: str, to: CaseStatus, actor: str, reason: str) -> Receipt:
    """Record that the status changes.

    Raises:
        StepRefusedError: the status does not lead there.
    """
    read = open_case(draft, incident)
    status = read.file.status
    if not can_move(status, to):
        ways = " or ".join(s for s in CaseStatus if can_move(status, s))
        raise StepRefusedError(f"{incident} is {status}, which leads to {ways}, not to {to}")
    facts = {"from": status, "to": to, "reason": reason}
    return _append(draft, projection.STATUS, facts, read, actor)


def downscope(draft: Draft, incident: str, to: World, actor: str, reason: str) -> Receipt:
    """Record that it reached less far than was feared.

    Raises:
        StepRefusedError: that is not less far.
    """
    read = open_case(draft, incident)
    world = read.file.rml_world
    if to >= world:
        message = (
            f"{incident} is {world} and cannot be scoped down to {to}; "
            "only a new signal, such as rml.escalate, widens it"
        )
        raise StepRefusedError(message)
    facts = {"from": world, "to": to, "reason": reason}
    return _append(draft, projection.DOWNSCOPED, facts, read, actor)


def close(draft: Draft, incident: str, actor: str) -> Receipt:
    """Record that the case is closed.

    Raises:
        StepRefusedError: something is missing; all of it is named.
    """
    read = open_case(draft, incident)
    missing = missing_of(read, _known_effects(draft, read.effects))
    if missing:
        message = f"{incident} cannot be closed yet: {'; '.join(missing)}"
        raise StepRefusedError(message, details={"missing": missing})
    return _append(draft, projection.CLOSED, {"status": CaseStatus.RESOLVED}, read, actor)


def _append(
    draft: Draft, kind: str, facts: dict[str, Any], read: Projection, actor: str
) -> Receipt:
    file = read.file
    return draft.append(
        kind, world=file.rml_world, facts=facts, actor=actor, incident=file.incident_id
    )


def open_case(draft: Draft, incident: str) -> Projection:
    """Return a case as a commit in the making sees it.

    Raises:
        CaseClosedError: it is closed.
        UnknownIdError: there is no such case.
    """
    check_open(draft, incident)
    read = project(draft.entries(incident=incident))
    if read is None:
        raise UnknownIdError(f"no incident {shown(incident)} is in this ledger")
    return read


def _known_effects(draft: Draft, ids: Iterable[str]) -> Iterator[Effect]:
    """Yield those effects that this ledger promised; a signal may name one of elsewhere."""
    for one in ids:
        with suppress(UnknownIdError):
            yield effect_in(draft, one)


def missing_of(read: Projection, effects: Iterable[Effect]) -> list[str]:
    """Return what bars closing: what the page lacks, and effects whose end nobody knows."""
    doubts = [
        f"effect {effect.id} of {effect.operation} is {effect.state.replace('_', ' ')}: "
        "reconcile it, or decide with ledger.resolve"
        for effect in effects
        if effect.state in _OPEN_ENDED
    ]
    return [*missing_for_close(read.file), *doubts]


def check_open(draft: Draft, incident: str) -> None:
    """Check that nobody has closed a case.

    Raises:
        CaseClosedError: somebody has.
    """
    closed = draft.entries(kind=projection.CLOSED, incident=incident, limit=1)
    if closed:
        when = time_text(closed[0].recorded_at)
        raise CaseClosedError(
            f"{incident} was closed by {closed[0].actor} at {when}; "
            "for what comes to light now, rml.escalate opens a new case"
        )


def check_decision(
    draft: Draft, incident: str, facts: Mapping[str, Any], world: World, amends: str | None
) -> None:
    """Check a decision against the case as it stands.

    Raises:
        UnknownIdError: ``amends`` names no decision of this case.
        StepRefusedError: a role is missing, or another decision has amended that one already.
    """
    here = draft.entries(incident=incident)
    undecided = undecided_roles(facts)
    if undecided and World.RML3 in (world, projection.world_of(here)):
        message = (
            f"{incident} is about history, which legal, business and sre decide: name who "
            f"decided for {', '.join(undecided)} in decided_by, or say in absent why nobody did"
        )
        raise StepRefusedError(message, details={"missing": undecided})
    if amends is None:
        return
    decisions = [entry for entry in here if entry.kind == projection.DECIDED]
    if amends not in {entry.id for entry in decisions}:
        raise UnknownIdError(f"amends={shown(amends)} names no decision of {incident}")
    for entry in decisions:
        if entry.corrects == amends:
            message = f"decision {amends} was amended by {entry.id} already; amend that one"
            raise StepRefusedError(message)


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

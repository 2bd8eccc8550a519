"""What the end of a case depends on: its status, how far it reached, and all that bars closing it.

Checked inside the commit that records it, as :mod:`rml.incident.rule` says.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from rml.effect.resolution import effect_in
from rml.effect.state import Effect
from rml.error import InvalidInputError
from rml.incident import kinds
from rml.incident.command.communication import first_told
from rml.incident.command.postmortem import postmortem_due
from rml.incident.command.role_rule import by_commander
from rml.incident.command.workdays import WorkCalendar
from rml.incident.gate import Barrier, barriers, is_history, unconfirmed
from rml.incident.pages.casefile import CaseStatus, can_move
from rml.incident.pages.casefile_yaml import time_text
from rml.incident.rule import Look, closed_now, refusal, since_detection
from rml.incident.step import undecided_roles
from rml.ledger.draft import Draft, Receipt
from rml.ledger.errors import UnknownIdError
from rml.tag import shown
from rml.world import World


def check_move(look: Look, to: CaseStatus) -> Iterator[Barrier]:
    """Yield why the status does not lead there."""
    status = look.read.file.status
    if not can_move(status, to):
        ways = " or ".join(s for s in CaseStatus if can_move(status, s))
        text = f"it is {status}, which leads to {ways}, not to {to}"
        yield Barrier("status", text, overridable=False)
    elif to is CaseStatus.RESOLVED and look.world is World.RML3:
        yield from unconfirmed(look.read, "resolution")


def downscope_facts(look: Look, to: World, reason: str, evidence: str) -> dict[str, Any]:
    """Return the facts of a downscope: from where, to where, why, and who has heard more.

    Raises:
        StepRefusedError: it does not reach less far than the case does.
    """
    world, gray = look.read.file.rml_world, look.read.is_gray
    if to >= world and not (gray and to is world):
        text = (
            f"it is {world} and cannot be scoped down to {to}; "
            "only a new signal, such as rml.escalate, widens it"
        )
        raise refusal(
            look.incident, [Barrier("narrower", text, overridable=False)], overridable=False
        )
    return {
        "from": "gray" if gray else world.value,
        "to": to.value,
        "reason": reason,
        "evidence": evidence,
        "told": sorted(first_told(look.entries)),
    }


def check_all_clear(look: Look, actor: str) -> Iterator[Barrier]:
    """Yield why nobody, or not this person, may give the all clear."""
    given = look.read.all_clear
    if given is not None:
        text = f"{given.actor} gave the all clear at {time_text(given.at)}; it is given once"
        yield Barrier("one-all-clear", text, overridable=False)
    yield from by_commander(look, actor, "gives the all clear")
    if look.world is World.RML3:
        yield from unconfirmed(look.read, "resolution")


def closing_barriers(look: Look, actor: str, calendar: WorkCalendar) -> Iterator[Barrier]:
    """Yield all that bars closing the case now."""
    effects = _known_effects(look.draft, look.read.effects)
    owed = postmortem_due(look.entries, calendar, look.draft.now)
    yield from barriers(look.read, effects, _uncorrected(look), owed)
    yield from by_commander(look, actor, "closes the case")


def check_postmortem(
    look: Look, facts: Mapping[str, Any], at: datetime | None
) -> Iterator[Barrier]:
    """Yield who of those who decide about history was not there, and is not excused."""
    away = undecided_roles(facts, "attended")
    if away and look.read.file.rml_world is World.RML3:
        yield Barrier(
            "attendance",
            "legal, business and sre attend the postmortem of an RML3 case: name who was there "
            f"for {', '.join(away)} in attended, or say in absent why nobody was",
            overridable=False,
        )
    yield from since_detection(look, at)


def change_named(look: Look, what: str) -> dict[str, str]:
    """Return the facts of a change that is done: what, and by when it was due, if that is known.

    Raises:
        InvalidInputError: no change of the case is called so.
    """
    known = {change["what"]: change for change in look.read.changes}
    if what not in known:
        near = difflib.get_close_matches(what, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InvalidInputError(f"{shown(what)} is no change of {look.incident}{hint}")
    return {name: known[what][name] for name in ("what", "due") if name in known[what]}


def check_done(look: Look, what: str, at: datetime | None) -> Iterator[Barrier]:
    """Yield why a change cannot be done now: it was before."""
    for entry in look.of(kinds.CHANGE_DONE):
        if entry.facts["what"] == what:
            text = f"{entry.actor} recorded it as done at {time_text(entry.at)}"
            yield Barrier("done-once", text, overridable=False)
    yield from since_detection(look, at)


def _known_effects(draft: Draft, ids: Iterable[str]) -> Iterator[Effect]:
    """Yield those effects that this ledger promised; a signal may name one of elsewhere."""
    for one in ids:
        with suppress(UnknownIdError):
            yield effect_in(draft, one)


def _uncorrected(look: Look) -> Iterator[str]:
    looked = look.draft.corrections()
    for one in look.read.harmed:
        original = looked.named(one)
        records = [] if original is None else [deed.record for deed in looked.of(original)]
        if not any(record is not None and is_history(record) for record in records):
            yield one


def reopen(draft: Draft, incident: str, actor: str, reason: str) -> Receipt:
    """Record that a closed case is taken up again.

    Raises:
        StepRefusedError: it is not closed.
        UnknownIdError: there is no such case.
    """
    look = Look(draft, incident)
    world = look.read.file.rml_world
    if closed_now(draft, incident) is None:
        bar = Barrier("closed-first", "it is open already", overridable=False)
        raise refusal(incident, [bar], overridable=False)
    facts = {"reason": reason}
    return draft.append(kinds.REOPENED, world=world, facts=facts, actor=actor, incident=incident)

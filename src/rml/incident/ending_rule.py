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
from rml.incident.child import ChildCase, children_in
from rml.incident.command.communication import first_told
from rml.incident.command.postmortem import postmortem_due
from rml.incident.command.role_rule import by_commander
from rml.incident.command.workdays import WorkCalendar
from rml.incident.gate import Barrier, barriers, unconfirmed, uncorrected
from rml.incident.levers.containment_proof import still_pulled
from rml.incident.levers.lever import named
from rml.incident.making_good import AMOUNT, Owed, owed
from rml.incident.pages.casefile import CaseStatus, can_move
from rml.incident.pages.casefile_yaml import time_text
from rml.incident.rule import Look, since_detection
from rml.incident.step import undecided_roles
from rml.ledger.draft import Draft
from rml.ledger.entry import Entry
from rml.ledger.errors import UnknownIdError
from rml.tag import shown
from rml.world import World


def check_move(look: Look, to: CaseStatus) -> Iterator[Barrier]:
    """Yield why the status does not lead there."""
    status = look.read.status
    if not can_move(status, to):
        ways = " or ".join(s for s in CaseStatus if can_move(status, s))
        text = f"it is {status}, which leads to {ways}, not to {to}"
        yield Barrier("status", text, overridable=False)
    elif to is CaseStatus.RESOLVED and look.world is World.RML3:
        yield from unconfirmed(look.read, "resolution")


def check_narrower(look: Look, to: World) -> Iterator[Barrier]:
    """Yield why it cannot be scoped down to a world; counted harm is history until made good."""
    world = look.read.world
    if to >= world and not (look.read.is_gray and to is world):
        text = (
            f"it is {world} and cannot be scoped down to {to}; "
            "only a new signal, such as rml.escalate, widens it"
        )
        yield Barrier("narrower", text, overridable=False)
    if to is not World.RML3:
        yield from uncorrected(_harm(look))


def downscoped_from(look: Look) -> dict[str, Any]:
    """Return what the case itself tells of a downscope: from where, and who has heard."""
    from_ = "gray" if look.read.is_gray else look.read.world.value
    return {"from": from_, "told": sorted(first_told(look.entries))}


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
    due = postmortem_due(look.entries, calendar, look.draft.now)
    yield from barriers(look.read, effects, _harm(look), due, _children(look))
    yield from by_commander(look, actor, "closes the case")


def check_lift(look: Look, mitigation: Entry, at: datetime | None) -> Iterator[Barrier]:
    """Yield why a containment cannot be lifted: its lever is pulled, or it was lifted before."""
    lever = still_pulled(look.draft, mitigation)
    if lever is not None:
        text = (
            f"the lever of {named(lever.target)} is still pulled: release it, which lifts this, "
            "with rml.Levers().release(...) or rml lever release"
        )
        yield Barrier("lever-released", text, overridable=False)
    for entry in look.of(kinds.LIFTED):
        if entry.facts["mitigation"] == mitigation.id:
            text = f"{entry.actor} recorded at {time_text(entry.at)} that it is lifted"
            yield Barrier("lifted-once", text, overridable=False)
    if at is not None and at < mitigation.recorded_at:
        told = time_text(mitigation.recorded_at)
        text = f"at is {time_text(at)}, before the containment was recorded at {told}"
        yield Barrier("after-detection", text, overridable=False)


def check_postmortem(
    look: Look, facts: Mapping[str, Any], at: datetime | None
) -> Iterator[Barrier]:
    """Yield who of those who decide about history was not there, and is not excused."""
    away = undecided_roles(facts, "attended")
    if away and look.read.world is World.RML3:
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


def _children(look: Look) -> Iterator[ChildCase]:
    """Yield the cases that are part of this one, as the commit sees them."""
    for one in children_in(look.draft.entries(kind=kinds.LINKED), look.incident):
        yield ChildCase.of(Look(look.draft, one).read)


def _harm(look: Look) -> Iterator[Owed]:
    """Yield what is still owed for what went wrong, as the commit sees it."""
    looked = look.draft.corrections()

    def corrections(one: str) -> Iterator[Entry]:
        original = looked.named(one)
        deeds = [] if original is None else looked.of(original)
        return (deed.record for deed in deeds if deed.record is not None)

    def facts(one: str) -> Mapping[str, Any]:
        entry, deed = look.draft.entry(one), looked.named(one)
        effect = one if entry is None else entry.effect
        began = look.draft.of_effect(effect)[:1] if effect is not None else [entry]
        told = began[0].facts if began and began[0] is not None else {}
        return told if deed is None or deed.amount is None else {**told, AMOUNT: deed.amount}

    for one in look.read.harmed:
        left = owed(one, corrections, facts)
        if left is not None:
            yield left


def check_closed(look: Look) -> Iterator[Barrier]:
    """Yield why it cannot be taken up again."""
    if look.read.closed is None:
        yield Barrier("closed-first", "it is open already", overridable=False)

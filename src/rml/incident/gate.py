"""What stands between a case and its end: what must be seen to, and which rule asks for it.

Pure. The page must be complete (:mod:`rml.incident.closing`), and no effect in doubt. What is in
place for a while must be gone, every order confirmed, every case that is part of it closed. Every
harm that was counted has a correction that names it, also where the case was scoped down since:
what was charged stays charged. And of an RML3 case, somebody has confirmed each line of the lists
below since the last signal.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs

from rml.effect.state import Effect, EffectState
from rml.incident.child import ChildCase
from rml.incident.closing import missing_for_close
from rml.incident.command.order import Order
from rml.incident.command.postmortem import PostmortemDue
from rml.incident.lesson import unanswered
from rml.incident.making_good import Owed
from rml.incident.projection import Projection
from rml.ledger.entry import Entry
from rml.world import World

# What must be true before a case is resolved.
RESOLUTION: Final = ("services_restored", "impact_ceased", "metrics_normal", "nothing_residual")
# What must be in order again before people go.
RECOVERY: Final = (
    "data_consistent",
    "monitoring_restored",
    "evidence_preserved",
    "stakeholders_told",
    "postmortem_scheduled",
    "follow_ups_assigned",
)
# How people are let go.
STAND_DOWN: Final = (
    "status_page_resolved",
    "timeline_archived",
    "people_checked_on",
    "runbook_exists",
)
LISTS: Final = {"resolution": RESOLUTION, "recovery": RECOVERY, "stand_down": STAND_DOWN}
# What a sentence shows of the lessons that change nothing.
_LESSONS_SHOWN_MAX: Final = 3
# How an effect may stand while nobody knows its end.
_OPEN_ENDED: Final = (EffectState.IN_DOUBT, EffectState.IN_FLIGHT)


@attrs.frozen
class Barrier:
    """What bars a step: the rule that asks for something, and what, in one sentence.

    Attributes:
        rule: the rule's name.
        text: what is missing and how to mend it.
        overridable: whether a named person may pass it with a reason.
    """

    rule: str
    text: str
    overridable: bool = True


def barriers(
    read: Projection,
    effects: Iterable[Effect],
    harm: Iterable[Owed],
    due: PostmortemDue | None = None,
    children: Iterable[ChildCase] = (),
) -> list[Barrier]:
    """Return what bars closing a case.

    Args:
        read: the case.
        effects: those that it is about, as they stand.
        harm: what is still owed for what went wrong.
        due: the postmortem that it owes.
        children: the cases that are part of it.
    """
    found = [Barrier("page-complete", line) for line in missing_for_close(read.file)]
    found += [_doubt(effect) for effect in effects if effect.state in _OPEN_ENDED]
    found += [_in_place(entry) for entry in read.mitigations]
    found += [_unconfirmed_order(order) for order in read.orders if order.is_open]
    found += [
        Barrier("children-closed", f"{child.id} is part of it ({child.state}): close it first")
        for child in children
        if child.is_open
    ]
    found += uncorrected(harm)
    if read.file.rml_world is World.RML3:
        found += _of_history(read)
    return found + overdue(due)


def uncorrected(harm: Iterable[Owed]) -> list[Barrier]:
    """Return what bars a step while harm that was counted is not made good, each by its id."""
    return [Barrier("harm-corrected", str(one)) for one in harm]


def overdue(due: PostmortemDue | None) -> list[Barrier]:
    """Return what bars a step because a postmortem is overdue."""
    if due is None or not due.overdue:
        return []
    text = f"the postmortem was due on {due.due}: hold it, and record it with case.postmortem(...)"
    return [Barrier("postmortem-overdue", text)]


def _doubt(effect: Effect) -> Barrier:
    state = effect.state.replace("_", " ")
    return Barrier(
        "no-doubt",
        f"effect {effect.id} of {effect.operation} is {state}: "
        "reconcile it, or decide with ledger.resolve",
        overridable=False,
    )


def _unconfirmed_order(order: Order) -> Barrier:
    way = "case.read_back(...)" if order.read_back is None else "case.confirm_order(...)"
    text = f"order {order.entry} to {order.to} is open: {order.detail}; {way}"
    return Barrier("order-confirmed", text)


def _in_place(mitigation: Entry) -> Barrier:
    pulled = "pulled" in mitigation.facts
    way = "release its lever: rml.Levers().release(...)" if pulled else "lift it: case.lift(...)"
    what = f"mitigation {mitigation.id} ({mitigation.facts['lever']}, by {mitigation.actor})"
    return Barrier("mitigation-lifted", f"{what} is still in place: {way}")


def _of_history(read: Projection) -> list[Barrier]:
    """Return what an RML3 case needs beyond its page."""
    found: list[Barrier] = []
    if not read.file.classification.exposure:
        text = "classification.exposure is empty: say in understand(exposure=...) what was exposed"
        found.append(Barrier("exposure-named", text))
    if not any("owner" in change and "due" in change for change in read.changes):
        text = "no change has an owner and a date: name one in learn(changes=[...])"
        found.append(Barrier("change-owned", text))
    idle = unanswered(read.entries)
    if idle:
        more = (
            f" and {len(idle) - _LESSONS_SHOWN_MAX} more" if len(idle) > _LESSONS_SHOWN_MAX else ""
        )
        names = ", ".join(map(repr, idle[:_LESSONS_SHOWN_MAX]))
        text = (
            f"no change is for these lessons: {names}{more}; name it in "
            "learn(changes=[{'lesson': ...}]), or record them with unchanged= and the reason"
        )
        found.append(Barrier("lesson-answered", text))
    for name in LISTS:
        found += unconfirmed(read, name)
    if read.all_clear is None:
        found.append(Barrier("all-clear", "nobody has given the all clear: case.all_clear(...)"))
    return found


def unconfirmed(read: Projection, name: str) -> list[Barrier]:
    """Return what bars a step while lines of a list are not confirmed since the last signal."""
    left = [item for item in LISTS[name] if item not in read.confirmed]
    if not left:
        return []
    text = f"{name} is not confirmed ({', '.join(left)}): case.confirm(...)"
    return [Barrier(name.replace("_", "-"), text)]

"""What changes of roles depend on: one commander from the first to the last, and no surprises.

Checked inside the commit that records it, as :mod:`rml.incident.rule` says.
"""

from __future__ import annotations

from collections.abc import Iterator

from rml.incident.command.role import Role
from rml.incident.gate import Barrier
from rml.incident.rule import Look


def check_role(look: Look, role: Role, name: str) -> Iterator[Barrier]:
    """Yield why somebody cannot take a role."""
    if name in look.hats.worn.get(role, ()):
        yield Barrier("role-once", f"{name} is {role} already", overridable=False)
    elif role is Role.COMMANDER and look.hats.commander is not None:
        text = f"{look.hats.commander} is commander; command is handed over: case.hand_over(...)"
        yield Barrier("one-commander", text)  # somebody who cannot be reached is relieved so


def check_leave(look: Look, role: Role, name: str) -> Iterator[Barrier]:
    """Yield why somebody cannot leave a role."""
    if name not in look.hats.worn.get(role, ()):
        yield Barrier("role-worn", f"{name} is no {role} here", overridable=False)
    elif role is Role.COMMANDER:
        text = "a case is not left without a commander: case.hand_over(...), or close it"
        yield Barrier("one-commander", text, overridable=False)


def check_handover(look: Look, to: str, name: str) -> Iterator[Barrier]:
    """Yield why command cannot be offered."""
    if look.hats.commander != name:
        text = f"{name} is not commander and has no command to hand over"
        yield Barrier("commander", text, overridable=False)
    elif to == name:
        yield Barrier("role-once", f"{name} is commander already", overridable=False)


def check_acceptance(look: Look, name: str) -> Iterator[Barrier]:
    """Yield why somebody cannot take over command."""
    offer = look.hats.offer
    if offer is None or offer.to != name:
        waits = "none waits" if offer is None else f"the one that waits is for {offer.to}"
        text = f"no handover is offered to {name}: {waits}"
        yield Barrier("offered-first", text, overridable=False)


def by_commander(look: Look, actor: str, does: str) -> Iterator[Barrier]:
    """Yield that only the commander does this, where there is one and it is another."""
    commander = look.hats.commander
    if commander is not None and commander != actor:
        yield Barrier("commander", f"{commander} is commander and {does}, not {actor}")

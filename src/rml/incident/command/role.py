"""Who wears which hat on an incident: one commander at a time, and nobody does another's work.

Roles are worn by people who say so; whoever wears none may do anything, because at the beginning
somebody is alone. The triangle (legal, business, sre) is no role here: it decides about history.

Pure: what the entries tell. Command changes hands when the new commander accepts it, or takes it
from one who cannot be reached, so from the first to the last there is never none and never two.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import attrs

from rml.error import InvalidInputError
from rml.incident import kinds
from rml.ledger.entry import Entry
from rml.tag import shown


class Role(StrEnum):
    """What somebody is on an incident."""

    COMMANDER = "commander"
    COMMUNICATOR = "communicator"
    INVESTIGATOR = "investigator"
    OPS_LEAD = "ops_lead"
    SCRIBE = "scribe"
    SUPPORT_LEAD = "support_lead"
    EXEC_SPONSOR = "exec_sponsor"

    @classmethod
    def _missing_(cls, value: object) -> Role:
        said = value.strip().lower().replace(" ", "_") if isinstance(value, str) else ""
        known = _SPELLINGS.get(said, said)
        if known in list(cls):
            return cls(known)
        message = f"{shown(value)} is no role; a role is one of {', '.join(cls)}"
        raise InvalidInputError(message)


# The names that the same roles have elsewhere.
_SPELLINGS: Final = {
    "ic": "commander",
    "incident_commander": "commander",
    "comms_lead": "communicator",
    "sme": "investigator",
}


class Work(StrEnum):
    """What only some hats may do."""

    INVESTIGATE = "investigate"
    DECIDE = "decide"
    COMMUNICATE = "communicate outside"


# What a hat leaves to others: the commander decides and does not dig, the communicator speaks and
# does not decide, the investigator digs and speaks to the commander alone.
NOT_THEIRS: Final[Mapping[Role, Work]] = MappingProxyType(
    {
        Role.COMMANDER: Work.INVESTIGATE,
        Role.COMMUNICATOR: Work.DECIDE,
        Role.INVESTIGATOR: Work.COMMUNICATE,
    }
)


@attrs.frozen
class Offer:
    """A handover of command that waits to be accepted."""

    to: str
    by: str
    briefing: str


@attrs.frozen
class Hats:
    """Who wears what at one moment.

    Attributes:
        worn: the roles with their wearers, each in the order in which it was taken.
        offer: the handover that waits, if one does.
    """

    worn: Mapping[Role, tuple[str, ...]]
    offer: Offer | None

    @property
    def commander(self) -> str | None:
        """The one who leads, if anybody has taken command yet."""
        return next(iter(self.worn.get(Role.COMMANDER, ())), None)

    def of(self, name: str) -> tuple[Role, ...]:
        """Return the hats that somebody wears."""
        return tuple(role for role in Role if name in self.worn.get(role, ()))


def hats_of(entries: Iterable[Entry]) -> Hats:
    """Return who wears what after these entries, in index order."""
    worn: dict[Role, tuple[str, ...]] = {}
    offer: Offer | None = None
    for entry in entries:
        facts, name = entry.facts, entry.actor or ""
        if entry.kind == kinds.ROLE_TAKEN:
            role = Role(facts["role"])
            if role is Role.COMMANDER:
                offer = None
            others = () if role is Role.COMMANDER else worn.get(role, ())
            worn[role] = (*others, name)
        elif entry.kind == kinds.ROLE_LEFT:
            role = Role(facts["role"])
            worn[role] = tuple(one for one in worn.get(role, ()) if one != name)
        elif entry.kind == kinds.HANDOVER_OFFERED:
            offer = Offer(to=facts["to"], by=name, briefing=facts["briefing"])
        elif entry.kind == kinds.HANDOVER_ACCEPTED:
            worn[Role.COMMANDER], offer = (name,), None
    return Hats(MappingProxyType({role: worn[role] for role in Role if worn.get(role)}), offer)


def objection(hats: Hats, name: str, work: Work, hat: Role | None) -> str | None:
    """Return why somebody may not do a work under the hats that they wear, if they may not.

    Args:
        hats: who wears what.
        name: who is about to do it.
        work: what.
        hat: the one under which they say that they do it.
    """
    own = hats.of(name)
    if hat is not None and hat not in own:
        return f"{name} is no {hat} here: take the role first"
    if hat is None and len(own) > 1 and any(NOT_THEIRS.get(role) is work for role in own):
        listed = ", ".join(own)
        return f"{name} wears several hats ({listed}): name the one under which this is done"
    for role in own if hat is None else (hat,):
        if NOT_THEIRS.get(role) is work:
            return f"{name} is the {role}, who does not {work}: leave it to another, or change hats"
    return None

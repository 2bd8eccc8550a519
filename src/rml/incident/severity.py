"""How bad an incident is, and how fast somebody must act: two scales that never share a field.

Severities are spelled in four ways (``sev1``, ``SEV1``, ``Sev-1``, ``SEV-1``). All are read; the
last is written. Severity says how bad, priority says how fast: a small outage with legal exposure
is a ``SEV-3`` and a ``P1``, so the map between them is a default and no more.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from rml.error import InvalidInputError
from rml.tag import shown

_SEV: Final = re.compile(r"sev[-_ ]?([0-5])", re.ASCII | re.IGNORECASE)
_PRIORITY: Final = re.compile(r"p[-_ ]?([0-3])", re.ASCII | re.IGNORECASE)
# How like a severity a word is that is one misspelt: one of four characters may be another.
_NEAR: Final = 0.75


class Sev(StrEnum):
    """How bad an incident is: ``SEV-0`` (the platform fails) to ``SEV-5`` (another's outage).

    Not to be mistaken for the ``Severity`` of an error. The scale runs as its numbers do, so a
    smaller value is graver and the gravest of several is ``min(...)``. Being text, it sorts the
    same way in Python, in SQL and in a data frame.

    >>> Sev("sev1"), str(Sev("Sev-1")), Sev.SEV0 < Sev.SEV1
    (<Sev.SEV1: 'SEV-1'>, 'SEV-1', True)
    """

    SEV0 = "SEV-0"
    SEV1 = "SEV-1"
    SEV2 = "SEV-2"
    SEV3 = "SEV-3"
    SEV4 = "SEV-4"
    SEV5 = "SEV-5"

    @classmethod
    def _missing_(cls, value: object) -> Sev:
        match = _SEV.fullmatch(value.strip()) if isinstance(value, str) else None
        if match is None:
            raise _refusal("severity", value, "SEV-0 to SEV-5")
        return cls(f"SEV-{match[1]}")

    @property
    def number(self) -> int:
        """The place on the scale, from 0 (gravest) to 5."""
        return int(self.value[-1])

    def is_at_least(self, other: Sev) -> bool:
        """Return whether this is as grave as ``other`` or graver, as ``SEV-0`` is of ``SEV-1``."""
        return self.number <= other.number


class Priority(StrEnum):
    """How fast somebody must act: ``P0`` (now) to ``P3``; the smaller, the sooner.

    >>> Priority("p1"), Priority.P0 < Priority.P1
    (<Priority.P1: 'P1'>, True)
    """

    P0 = "P0"
    P1 = "P1"
    P2 = "P2"
    P3 = "P3"

    @classmethod
    def _missing_(cls, value: object) -> Priority:
        match = _PRIORITY.fullmatch(value.strip()) if isinstance(value, str) else None
        if match is None:
            raise _refusal("priority", value, "P0 to P3")
        return cls(f"P{match[1]}")


# What a severity means for priority, unless an organisation or the people on the incident say else.
DEFAULT_PRIORITIES: Final[Mapping[Sev, Priority]] = MappingProxyType(
    {
        Sev.SEV0: Priority.P0,
        Sev.SEV1: Priority.P0,
        Sev.SEV2: Priority.P1,
        Sev.SEV3: Priority.P2,
        Sev.SEV4: Priority.P3,
        Sev.SEV5: Priority.P3,
    }
)


def severity_said(word: str) -> Sev | str:
    """Read what somebody says of a severity: one of the scale, or a word of another scheme.

    >>> severity_said("sev1"), severity_said("major")
    (<Sev.SEV1: 'SEV-1'>, 'major')

    Raises:
        InvalidInputError: it is none of the scale, and probably was meant to be.
    """
    plain = re.sub(r"[-_ ]", "", word).lower()
    if plain.startswith("sev"):
        return Sev(word)
    spelled = {f"sev{sev.number}": sev for sev in Sev} | {str(sev.number): sev for sev in Sev}
    near = difflib.get_close_matches(plain, spelled, n=1, cutoff=_NEAR)
    meant = f"{str(spelled[near[0]])!r}" if near else None
    if _PRIORITY.fullmatch(plain):
        meant = "a priority"
    if meant is not None:
        raise InvalidInputError(f"severity {shown(word)} is not known; did you mean {meant}?")
    return word


def default_priority(sev: Sev, priorities: Mapping[Sev, Priority] | None = None) -> Priority:
    """Return the priority an incident of this severity starts with.

    Args:
        sev: how bad it is.
        priorities: an organisation's own map; ``DEFAULT_PRIORITIES`` fills what it leaves out.
    """
    return (priorities or {}).get(sev, DEFAULT_PRIORITIES[sev])


def _refusal(what: str, value: object, scale: str) -> InvalidInputError:
    return InvalidInputError(f"{shown(value)} is no {what}; write one of {scale}")

"""How the six steps of a case are called by others: seven stages of command, ITIL, SRE, NIST.

A table and nothing else; where another tells two things apart that a case does not, the case's own
facts (its status, its all clear) decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from rml.error import InvalidInputError
from rml.incident.pages.casefile import CaseStatus
from rml.incident.projection import Phase, Projection
from rml.tag import shown

# The stages of each, in their order.
STAGES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "command": (
            "detection and declaration",
            "triage and assessment",
            "investigation",
            "mitigation",
            "resolution",
            "recovery",
            "post-incident analysis",
        ),
        "itil": (
            "detection",
            "logging",
            "categorization",
            "prioritization",
            "diagnosis",
            "resolution",
            "closure",
        ),
        "sre": ("detect", "triage", "mitigate", "resolve", "review"),
        "nist": (
            "preparation",
            "detection and analysis",
            "containment, eradication and recovery",
            "post-incident activity",
        ),
    }
)
# The place of each step among the stages of each; a case begins where it has been recorded.
_PLACES: Final[Mapping[Phase, Mapping[str, int]]] = MappingProxyType(
    {
        Phase.DETECT: {"command": 0, "itil": 1, "sre": 0, "nist": 1},
        Phase.CONTAIN: {"command": 3, "itil": 3, "sre": 2, "nist": 2},
        Phase.UNDERSTAND: {"command": 2, "itil": 4, "sre": 2, "nist": 2},
        Phase.DECIDE: {"command": 3, "itil": 4, "sre": 2, "nist": 2},
        Phase.ACT: {"command": 4, "itil": 5, "sre": 3, "nist": 2},
        Phase.LEARN: {"command": 6, "itil": 5, "sre": 4, "nist": 3},
        Phase.CLOSED: {"command": 6, "itil": 6, "sre": 4, "nist": 3},
    }
)
# What is resolved is there at least; recovery ends with the all clear.
_RESOLVED: Final = {"command": 5, "itil": 5, "sre": 3, "nist": 2}


def stage_of(case: Projection, scheme: str) -> str:
    """Return the stage that a case has reached, in the words of another scheme.

    Args:
        case: the case.
        scheme: ``command``, ``itil``, ``sre`` or ``nist``.

    Raises:
        InvalidInputError: there is no such scheme.
    """
    if scheme not in STAGES:
        raise InvalidInputError(f"{shown(scheme)} is no scheme; known are {', '.join(STAGES)}")
    place = _PLACES[case.phase][scheme]
    if case.file.status is CaseStatus.RESOLVED:
        place = max(place, _RESOLVED[scheme])
    return STAGES[scheme][place]

"""Under which rules incidents are led: as data, and as a digest that a case keeps when it closes.

People leave and rules change. The digest says years later whether a case was closed under the rules
of today.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

from rml.codec import canonical_json
from rml.incident.closing import TRIANGLE
from rml.incident.command.communication import BROAD_USERS, CADENCE, CADENCES, MATRIX, RESPONSE
from rml.incident.command.postmortem import WORKING_DAYS
from rml.incident.command.role import NOT_THEIRS
from rml.incident.gate import LISTS
from rml.incident.metrics import IN_THE_MOMENT
from rml.incident.severity import DEFAULT_PRIORITIES
from rml.incident.step import CRITERIA, EXPOSURES, LEVERS


def policy() -> dict[str, Any]:
    """Return the rules' data as JSON data; durations are seconds."""
    return {
        "triangle": list(TRIANGLE),
        "levers": list(LEVERS),
        "exposures": list(EXPOSURES),
        "criteria": list(CRITERIA),
        "lists": {name: list(lines) for name, lines in LISTS.items()},
        "roles": {role.value: work.value for role, work in NOT_THEIRS.items()},
        "priorities": {sev.value: priority.value for sev, priority in DEFAULT_PRIORITIES.items()},
        "matrix": {
            priority.value: [
                [rung.audience, rung.occasion if rung.within is None else _seconds(rung.within)]
                for rung in rungs
            ]
            for priority, rungs in MATRIX.items()
        },
        "broad_users": BROAD_USERS,
        "cadence": _seconds(CADENCE),
        "cadences": {sev.value: _seconds(within) for sev, within in CADENCES.items()},
        "response": {sev.value: _seconds(within) for sev, within in RESPONSE.items()},
        "postmortem_working_days": WORKING_DAYS,
        "in_the_moment": _seconds(IN_THE_MOMENT),
    }


def policy_digest() -> str:
    """Return SHA-256 over the canonical JSON of ``["rml/1/policy", policy]`` as hex digits."""
    return hashlib.sha256(canonical_json(["rml/1/policy", policy()])).hexdigest()


def _seconds(span: timedelta) -> int:
    return span // timedelta(seconds=1)

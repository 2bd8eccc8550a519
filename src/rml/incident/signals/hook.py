"""What a hook is told: one escalation, after it has become history."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

import attrs

from rml.world import World


@attrs.frozen(kw_only=True)
class Escalation:
    """A problem that reached an incident.

    Attributes:
        incident: the incident's id, such as ``INC-2026-0001``.
        opened: whether this escalation opened it; otherwise it joined one with the same
            fingerprint.
        count: how many escalations the incident has gathered, this one included.
        title: what happened, in operators' words.
        code: the error's code, or ``EFFECT_IN_DOUBT``.
        world: the world of the problem; gray counts as RML3.
        gray: whether it is only suspected that history was reached.
        service: the service that escalated.
        operation: the operation, where there is one.
        effect: the id of the effect, where there is one.
        at: when it was recorded.
        entry: the id of the ledger entry that recorded it.
        details: allow-listed data of the error.
    """

    incident: str
    opened: bool
    count: int
    title: str
    code: str
    world: World
    gray: bool
    service: str | None
    operation: str | None
    effect: str | None
    at: datetime
    entry: str
    details: Mapping[str, Any] = attrs.field(factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the escalation as JSON-like data."""
        return {**attrs.asdict(self), "world": self.world.value, "at": self.at.isoformat()}


class Hook(Protocol):
    """A callable that is told of escalations, after the commit and within a time budget.

    What it raises is recorded and harms nobody.
    """

    def __call__(self, escalation: Escalation) -> None:
        """Hand the escalation over: page somebody, open a ticket."""
        ...

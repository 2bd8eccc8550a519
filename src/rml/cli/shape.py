"""What entries, effects and cases look like as JSON documents; scripts rely on these names."""

from __future__ import annotations

from typing import Any

from rml.effect.state import Effect
from rml.incident.projection import Projection
from rml.ledger.entry import Entry


def entry_shape(entry: Entry) -> dict[str, Any]:
    """Return an entry without its personal values: ``kept`` and ``erased`` name them."""
    return {
        "index": entry.index,
        **entry.header(),
        "facts": dict(entry.facts),
        "kept": list(entry.personal),
        "erased": list(entry.erased()),
    }


def effect_shape(effect: Effect) -> dict[str, Any]:
    """Return an effect; times are UTC text."""
    return {
        "id": effect.id,
        "operation": effect.operation,
        "scope": effect.scope,
        "key": effect.key,
        "provider_key": effect.provider_key,
        "state": effect.state.value,
        "attempt": effect.attempt,
        "world": effect.world.value,
        "started_at": effect.started_at,
        "recorded_at": effect.recorded_at,
        "lease_until": effect.lease_until,
        "corrects": effect.corrects,
        "incident": effect.incident,
        "error": effect.error,
        "replay": effect.replay,
        "why_not": effect.why_not,
        "facts": dict(effect.facts),
    }


def case_shape(read: Projection) -> dict[str, Any]:
    """Return where a case stands, without its page."""
    return {
        "id": read.file.incident_id,
        "title": read.file.title,
        "status": read.file.status.value,
        "open": read.closed is None,
        "phase": read.phase.value,
        "world": read.file.rml_world.value,
        "opened_at": read.opened_at,
        "count": read.count,
    }

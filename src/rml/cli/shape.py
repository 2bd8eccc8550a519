"""What entries, effects and cases look like as JSON documents; scripts rely on these names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rml.effect.reconcile import Reconciliation
from rml.effect.saga_state import Saga
from rml.effect.state import Effect
from rml.incident.command.postmortem import PostmortemDue
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
        "version": effect.version,
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


def saga_shape(saga: Saga) -> dict[str, Any]:
    """Return a saga, with its steps and what undoes them."""
    return {
        "id": saga.id,
        "operation": saga.operation,
        "scope": saga.scope,
        "key": saga.key,
        "state": saga.state.value,
        "started_at": saga.started_at,
        "recorded_at": saga.recorded_at,
        "correlation": saga.correlation,
        "incident": saga.incident,
        "error": saga.error,
        "steps": [
            {
                "effect": effect_shape(step.effect),
                "compensator": step.compensator,
                "undo": None if step.undo is None else effect_shape(step.undo),
            }
            for step in saga.steps
        ],
    }


def reconciliation_shape(reconciliation: Reconciliation) -> dict[str, Any]:
    """Return what came of reconciling one effect."""
    return {
        "happened": reconciliation.happened,
        "why": reconciliation.why,
        "effect": effect_shape(reconciliation.effect),
    }


def pages_text(pages: Mapping[str, int], off_hours: int) -> str | None:
    """Return how often a pager called whom, the most often called first."""
    each = sorted(pages.items(), key=lambda item: (-item[1], item[0]))
    names = ", ".join(f"{name} {count}" for name, count in each)
    return f"{names}; {off_hours} of them off hours" if names else None


def case_shape(read: Projection, owed: PostmortemDue | None) -> dict[str, Any]:
    """Return where a case stands and the postmortem that it owes, without its page."""
    return {
        "id": read.file.incident_id,
        "title": read.file.title,
        "status": read.file.status.value,
        "open": read.closed is None,
        "phase": read.phase.value,
        "world": read.file.rml_world.value,
        "opened_at": read.opened_at,
        "count": read.count,
        "postmortem_due": None if owed is None else str(owed.due),
        "postmortem_overdue": owed is not None and owed.overdue,
    }

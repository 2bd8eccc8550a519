"""Where an effect stands inside a commit, and how it is recorded there that nobody can tell."""

from __future__ import annotations

from typing import Final

import attrs

from rml.effect.state import Effect, EffectState, fold, is_forgotten
from rml.incident.signals.hook import Escalation
from rml.incident.signals.opening import Signal, open_or_join
from rml.ledger.draft import Draft
from rml.world import World

CODE_IN_DOUBT: Final = "EFFECT_IN_DOUBT"
# Who owns an attempt in doubt: its worker, should it come back, is fenced off.
NOBODY: Final = ""


def look(draft: Draft, effect_id: str) -> Effect | None:
    """Return where an effect stands inside a commit."""
    entries = draft.of_effect(effect_id)
    return fold(entries, draft.lease(effect_id), draft.now) if entries else None


@attrs.frozen
class Why:
    """Why an effect is in doubt: for the incident's title, for the record, and who noticed it."""

    title: str
    recorded: str
    source: str


_LOST: Final = Why("its worker was lost", "the lease ran out without an outcome", "lease")
_FORGOTTEN: Final = Why(
    "it was not retried in time",
    "the other side may have forgotten its idempotency key",
    "retention",
)


def record_doubt(
    draft: Draft, effect_id: str, retention: float = float("inf")
) -> tuple[Effect, Escalation | None]:
    """Record that an effect is in doubt: its attempt's lease has run out, or its key's retention.

    Return the effect and the incident's escalation. Nothing is recorded when somebody else was
    faster.
    """
    effect = look(draft, effect_id)
    assert effect is not None
    if effect.state is EffectState.IN_DOUBT and not effect.doubted:
        why = _LOST
    elif is_forgotten(effect, draft.now, retention):
        why = _FORGOTTEN
    else:
        return effect, None
    escalation = put_in_doubt(draft, effect, why)
    again = look(draft, effect_id)
    assert again is not None
    return again, escalation


def put_in_doubt(draft: Draft, effect: Effect, why: Why) -> Escalation:
    """Record that an effect is in doubt, open or join its incident, and fence its worker off."""
    signal = Signal(
        title=f"{effect.operation} may have happened: {why.title}",
        code=CODE_IN_DOUBT,
        gray=True,
        source={"type": "rml", "source": why.source},
        operation=effect.operation,
        effect=effect.id,
    )
    escalation = open_or_join(draft, signal)
    draft.record(
        "effect.in_doubt",
        world=World.RML3,
        facts={"why": why.recorded},
        operation=effect.operation,
        scope=effect.scope,
        key=effect.key,
        effect=effect.id,
        attempt=effect.attempt,
        incident=escalation.incident,
    )
    draft.grant(effect.id, effect.attempt, NOBODY, 0)
    return escalation

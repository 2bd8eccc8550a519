"""Where an effect stands inside a commit, and how a lost worker leaves it in doubt."""

from __future__ import annotations

from typing import Final

from rml.effect.state import Effect, EffectState, fold
from rml.incident.hook import Escalation
from rml.incident.opening import Signal, open_or_join
from rml.ledger.draft import Draft
from rml.world import World

CODE_IN_DOUBT: Final = "EFFECT_IN_DOUBT"
# Who owns an attempt in doubt: its worker, should it come back, is fenced off.
NOBODY: Final = ""


def look(draft: Draft, effect_id: str) -> Effect | None:
    """Return where an effect stands inside a commit."""
    entries = draft.of_effect(effect_id)
    return fold(entries, draft.lease(effect_id), draft.now) if entries else None


def record_doubt(draft: Draft, effect_id: str) -> tuple[Effect, Escalation | None]:
    """Record that an attempt whose lease has run out is in doubt.

    Return the effect and the incident's escalation. Nothing is recorded when somebody else was
    faster.
    """
    effect = look(draft, effect_id)
    assert effect is not None
    if effect.state is not EffectState.IN_DOUBT or effect.doubted:
        return effect, None
    signal = Signal(
        title=f"{effect.operation} may have happened: its worker was lost",
        code=CODE_IN_DOUBT,
        gray=True,
        source={"type": "rml", "source": "lease"},
        operation=effect.operation,
        effect=effect.id,
    )
    escalation = open_or_join(draft, signal)
    draft.append(
        "effect.in_doubt",
        world=World.RML3,
        facts={"why": "the lease ran out without an outcome"},
        operation=effect.operation,
        scope=effect.scope,
        key=effect.key,
        effect=effect.id,
        attempt=effect.attempt,
        incident=escalation.incident,
    )
    draft.grant(effect.id, effect.attempt, NOBODY, 0)
    again = look(draft, effect_id)
    assert again is not None
    return again, escalation

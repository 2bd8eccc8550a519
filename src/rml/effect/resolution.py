"""How doubt ends: a decision, recorded with who took it and why, and never taken twice."""

from __future__ import annotations

from typing import Any, Final

from rml.effect.errors import NotInDoubtError
from rml.effect.state import RESULT, Effect, EffectState, fold
from rml.effect.values import to_typed
from rml.error import InvalidInputError
from rml.ledger.draft import Draft
from rml.ledger.entry import check_text
from rml.ledger.errors import UnknownIdError

NO_RESULT: Final = object()
REASON_CHARACTERS_MAX: Final = 2_000


def effect_in(draft: Draft, effect_id: str) -> Effect:
    """Return an effect as a draft's transaction sees it.

    Raises:
        UnknownIdError: there is no such effect.
    """
    effect = fold(draft.of_effect(effect_id), draft.lease(effect_id), draft.now)
    if effect is None:
        message = f"no effect {effect_id!r:.80} is in this ledger"
        raise UnknownIdError(message)
    return effect


def resolve(
    draft: Draft,
    effect_id: str,
    *,
    happened: bool,
    by: str,
    reason: str,
    result: Any = NO_RESULT,
    via: str = "person",
) -> Effect:
    """Record in a draft whether an effect in doubt happened; return where it stands now.

    Raises:
        UnknownIdError: there is no such effect.
        NotInDoubtError: the effect is not in doubt.
        InvalidInputError: ``happened`` is no bool, or ``by`` or ``reason`` is missing.
    """
    if not isinstance(happened, bool):
        message = f"happened must be True or False, not {happened!r:.80}"
        raise InvalidInputError(message)
    check_text("effect_id", effect_id)
    check_text("by", by)
    _check_reason(reason)
    if not happened and result is not NO_RESULT:
        message = "an effect that did not happen has no result; leave result= out"
        raise InvalidInputError(message)
    effect = effect_in(draft, effect_id)
    if effect.state is not EffectState.IN_DOUBT:
        message = f"effect {effect_id} is {effect.state}, not in doubt; nothing was decided"
        raise NotInDoubtError(message, details={"effect": effect_id, "state": effect.state.value})
    draft.append(
        "effect.resolved",
        world=effect.world,
        facts={"happened": happened, "reason": reason, "via": via},
        personal={} if result is NO_RESULT else {RESULT: to_typed(result, "result")},
        actor=by,
        operation=effect.operation,
        scope=effect.scope,
        key=effect.key,
        effect=effect_id,
        attempt=effect.attempt,
        incident=effect.incident,
    )
    draft.release(effect_id)
    return effect_in(draft, effect_id)


def _check_reason(reason: object) -> None:
    if not isinstance(reason, str) or not reason.strip():
        message = "a decision needs a reason: say on what evidence it rests"
        raise InvalidInputError(message)
    if len(reason) > REASON_CHARACTERS_MAX:
        raise InvalidInputError(
            f"reason has {len(reason)} characters, the limit is {REASON_CHARACTERS_MAX} "
            "(REASON_CHARACTERS_MAX)"
        )

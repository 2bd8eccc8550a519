"""How doubt ends: a decision, recorded with who took it and why, and never taken twice."""

from __future__ import annotations

from typing import Any, Final

from rml.effect.doubt import look, record_doubt
from rml.effect.errors import EffectChangedError, NotInDoubtError
from rml.effect.state import RESULT, Effect, EffectState
from rml.effect.values import to_typed
from rml.error import InvalidInputError
from rml.ledger.draft import Draft
from rml.ledger.entry import check_text
from rml.ledger.errors import UnknownIdError
from rml.tag import shown

NO_RESULT: Final = object()
REASON_CHARACTERS_MAX: Final = 2_000


def effect_in(draft: Draft, effect_id: str) -> Effect:
    """Return an effect as a draft's transaction sees it.

    Raises:
        UnknownIdError: there is no such effect.
    """
    effect = look(draft, effect_id)
    if effect is None:
        message = f"no effect {shown(effect_id)} is in this ledger"
        raise UnknownIdError(message)
    return effect


def resolve(
    draft: Draft,
    effect: str | Effect,
    *,
    happened: bool,
    by: str,
    reason: str,
    result: Any = NO_RESULT,
    version: int | None = None,
    via: str = "person",
) -> Effect:
    """Record in a draft whether an effect in doubt happened; return where it stands now.

    Raises:
        UnknownIdError: there is no such effect.
        NotInDoubtError: the effect is not in doubt.
        EffectChangedError: it is not the ``version`` of it that was looked at.
        InvalidInputError: ``happened`` is no bool, or ``by`` or ``reason`` is missing.
    """
    if not isinstance(happened, bool):
        message = f"happened must be True or False, not {shown(happened)}"
        raise InvalidInputError(message)
    effect_id, version = _looked_at(effect, version)
    check_text("effect_id", effect_id)
    check_text("by", by)
    reason = _checked_reason(reason)
    if not happened and result is not NO_RESULT:
        message = "an effect that did not happen has no result; leave result= out"
        raise InvalidInputError(message)
    seen = effect_in(draft, effect_id)
    if version is not None:
        _check_version(seen, version)
    found, _ = record_doubt(draft, effect_id)  # a decision ends a doubt that stands in the history
    if found.state is not EffectState.IN_DOUBT:
        message = f"effect {effect_id} is {found.state}, not in doubt; nothing was decided"
        raise NotInDoubtError(message, details={"effect": effect_id, "state": found.state.value})
    draft.record(
        "effect.resolved",
        world=found.world,
        facts={"happened": happened, "reason": reason, "via": via},
        personal={} if result is NO_RESULT else {RESULT: to_typed(result, "result")},
        actor=by,
        corrects=found.corrects if happened else None,
        operation=found.operation,
        scope=found.scope,
        key=found.key,
        effect=effect_id,
        attempt=found.attempt,
        incident=found.incident,
    )
    draft.release(effect_id)
    return effect_in(draft, effect_id)


def _looked_at(effect: str | Effect, version: int | None) -> tuple[str, int | None]:
    """Return the id of what is decided, and the version of it that was looked at."""
    if not isinstance(effect, Effect):
        return effect, version
    if version not in (None, effect.version):
        raise InvalidInputError.about(
            "version", version, f"leave it out: the effect given is version {effect.version}"
        )
    return effect.id, effect.version


def _check_version(effect: Effect, version: object) -> None:
    if type(version) is not int or version < 1:
        raise InvalidInputError.about("version", version, "give the number that the effect shows")
    if effect.state is EffectState.IN_DOUBT and effect.version != version:
        raise EffectChangedError(
            f"effect {effect.id} has changed: it is version {effect.version} now, not {version}; "
            "nothing was decided, look at it again",
            details={"effect": effect.id, "version": effect.version},
        )


def _checked_reason(reason: object) -> str:
    text = str.__str__(reason) if isinstance(reason, str) else ""
    if not text.strip():
        message = "a decision needs a reason: say on what evidence it rests"
        raise InvalidInputError(message)
    if len(text) > REASON_CHARACTERS_MAX:
        raise InvalidInputError(
            f"reason has {len(text)} characters, the limit is {REASON_CHARACTERS_MAX} "
            "(REASON_CHARACTERS_MAX)"
        )
    return text

"""Where an effect stands, worked out from its entries alone.

An effect is one thing that must happen at most once for an operation, a scope and a key. Its
entries are a promise (``effect.intent``), one outcome an attempt, and decisions; :func:`fold` reads
them in index order.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import attrs

from rml.clock import parse_utc
from rml.codec import canonical_json
from rml.ledger.entry import RESERVED_PREFIX, Entry
from rml.ledger.queries.frames import row_of
from rml.ledger.store import Lease, Step
from rml.world import World

# What the library itself writes into an effect's facts and erasable fields.
GENERATION: Final = "rml.generation"
ERROR: Final = "rml.error"
CORRECTS: Final = "rml.corrects"
NO_RESULT: Final = "rml.no_result"
REQUEST: Final = "rml.request"
RESULT: Final = "rml.result"
FAILURE: Final = "rml.failure"
HAPPENED: Final = "happened"


class EffectState(StrEnum):
    """Where an effect stands; the architecture's table says what the next call may do in each."""

    IN_FLIGHT = "in_flight"
    DONE = "done"
    NOT_DONE = "not_done"
    RETRYING = "retrying"
    IN_DOUBT = "in_doubt"
    FAILED = "failed"
    HISTORY = "history"


@attrs.frozen(kw_only=True)
class Effect:
    """An effect as its entries tell it.

    ``facts`` are those of the latest intent; ``error`` is the summary of the latest failure;
    ``replay`` says whether the outcome's value can be given again, and ``why_not`` what stands
    against it; ``version`` counts what was recorded of it, its incidents aside, so that a decision
    can name what it was taken about; ``doubted`` says whether a doubt has been recorded, rather
    than found by a lease that has run out; ``decided`` says whether the outcome is a decision's,
    rather than its handler's own; ``retrying_since`` is when the latest attempt began, or the first
    of several under one provider key that may have happened.
    """

    id: str
    operation: str
    scope: str | None
    key: str
    state: EffectState
    attempt: int
    generation: int
    world: World
    started_at: datetime
    recorded_at: datetime
    facts: Mapping[str, Any]
    corrects: str | None = None
    incident: str | None = None
    error: Mapping[str, Any] | None = None
    lease_until: datetime | None = None
    version: int = 1
    retrying_since: datetime | None = attrs.field(default=None, repr=False)
    doubted: bool = attrs.field(default=False, repr=False)
    decided: bool = attrs.field(default=False, repr=False)
    request: str | None = attrs.field(default=None, repr=False)
    result: Any = attrs.field(default=None, repr=False)
    replay: bool = attrs.field(default=False, repr=False)
    why_not: str | None = attrs.field(default=None, repr=False)
    failure: Mapping[str, Any] | None = attrs.field(default=None, repr=False)

    @property
    def provider_key(self) -> str:
        """The idempotency key to send to the other side with this attempt."""
        return provider_key(self.id, self.generation)

    def to_dict(self) -> dict[str, Any]:
        """Return a flat row for tables: the effect's own fields, then its facts."""
        own = {
            "id": self.id,
            "operation": self.operation,
            "scope": self.scope,
            "key": self.key,
            "state": self.state.value,
            "attempt": self.attempt,
            "world": self.world.value,
            "started_at": self.started_at,
            "recorded_at": self.recorded_at,
            "corrects": self.corrects,
            "incident": self.incident,
            "provider_key": self.provider_key,
        }
        return row_of(own, self.facts)


_read: Final = json.JSONDecoder().raw_decode


def effect_id(operation: str, scope: object, key: object) -> str:
    """Return the id of an operation's effect for a key, stable across processes and renamings.

    It is ``ef_`` and the first 32 hex digits of SHA-256 over canonical ``["rml/1/effect",
    operation, scope, key]``, no scope standing as ``null``, the key in its typed form, so that
    ``1`` and ``"1"`` are two effects.
    """
    named = canonical_json(["rml/1/effect", operation, scope, key], checked=True)
    return f"ef_{hashlib.sha256(named).hexdigest()[:32]}"


def provider_key(effect: str, generation: int) -> str:
    """Return the key for the other side's own idempotency layer, at most 64 characters.

    The generation grows after an attempt that certainly did not take effect: a provider that
    remembers refusals would repeat the refusal for the same key.
    """
    return f"{effect}-{generation}"


def replayed(
    newest: tuple[str, bytes | None] | None, matches: Callable[[str], bool]
) -> tuple[Any] | None:
    """Return the typed result, in a tuple, if an effect's newest entry alone answers a request.

    That is so for almost every repetition: the newest entry is a kept result of the same request.
    """
    kind, personal = newest or ("", None)
    if kind != "effect.done" or personal is None:
        return None
    kept, _ = _read(personal.decode())
    if RESULT not in kept or REQUEST not in kept or not matches(kept[REQUEST][1]):
        return None
    return (kept[RESULT][1],)


def history_of(entries: Sequence[Entry]) -> Entry | None:
    """Return the entry by which an effect became history, if it has: what a correction names."""
    for entry in reversed(entries):
        resolved = entry.kind == "effect.resolved" and entry.facts.get(HAPPENED)
        if resolved or entry.kind in {"effect.done", "effect.history"}:
            return entry
    return None


def lease_due(entry: Entry | Step, before: tuple[int, str] | None) -> tuple[int, str] | None:
    """Return the attempt and the owner of the lease that an effect has after one of its entries.

    ``before`` is the same before the entry. What has ended has no lease; a doubt has one that
    nobody owns, and so has what waits for a retry: both are found by it. A saga has one from its
    start to its end.
    """
    if entry.kind in {"effect.intent", "saga.started"}:
        return entry.attempt or 1, entry.id
    if entry.kind in UNOWNED:
        return entry.attempt or 1, ""
    return None if entry.kind in _STATES or entry.kind in _SETTLED else before


_SETTLED: Final = frozenset({"effect.resolved", "saga.ended"})
# What leaves a lease that nobody owns: nobody carries it out, and it has not ended.
UNOWNED: Final = frozenset({"effect.in_doubt", "effect.retrying"})


def told(entries: Sequence[Entry]) -> Effect | None:
    """Return the effect that its entries tell about, or ``None`` when nothing was promised yet.

    An attempt without an outcome is in flight here: whether its lease has run out is not history.
    """
    effect: Effect | None = None
    for entry in entries:
        effect = _begin(entry, effect) if entry.kind == "effect.intent" else _step(entry, effect)
    return effect


def fold(entries: Sequence[Entry], lease: Lease | None, now: datetime) -> Effect | None:
    """Return where an effect stands now: what its entries tell, doubted once its lease is over."""
    effect = told(entries)
    if effect is not None and effect.state is EffectState.IN_FLIGHT:
        until = (
            parse_utc(lease.until)
            if lease is not None and lease.attempt == effect.attempt
            else None
        )
        if until is None or until <= now:
            return attrs.evolve(effect, state=EffectState.IN_DOUBT, lease_until=until)
        return attrs.evolve(effect, lease_until=until)
    return effect


def is_forgotten(effect: Effect, now: datetime, retention: float) -> bool:
    """Say whether the other side may have forgotten the key under which it is to be retried.

    Args:
        effect: where it stands.
        now: the ledger's time.
        retention: how long the other side keeps a key, in seconds from when it first saw it. A
            clock that is further back than that cannot tell.
    """
    since = effect.retrying_since
    if effect.state is not EffectState.RETRYING or since is None:
        return False
    return abs((now - since).total_seconds()) >= retention


def _begin(entry: Entry, before: Effect | None) -> Effect:
    facts = entry.facts
    return Effect(
        id=entry.effect or "",
        operation=entry.operation or "",
        scope=entry.scope,
        key=entry.key or "",
        state=EffectState.IN_FLIGHT,
        attempt=entry.attempt or 1,
        generation=facts.get(GENERATION, 1),
        world=entry.world,
        started_at=entry.recorded_at,
        recorded_at=entry.recorded_at,
        facts={
            name: value for name, value in facts.items() if not name.startswith(RESERVED_PREFIX)
        },
        corrects=facts.get(CORRECTS),
        incident=before.incident if before is not None else None,
        version=before.version + 1 if before is not None else 1,
        retrying_since=_retrying_since(before) or entry.recorded_at,
        request=entry.personal.get(REQUEST),
    )


def _retrying_since(before: Effect | None) -> datetime | None:
    if before is None or before.state is not EffectState.RETRYING:
        return None
    return before.retrying_since


_STATES: Final = {
    "effect.done": EffectState.DONE,
    "effect.not_done": EffectState.NOT_DONE,
    "effect.retrying": EffectState.RETRYING,
    "effect.failed": EffectState.FAILED,
    "effect.history": EffectState.HISTORY,
    "effect.in_doubt": EffectState.IN_DOUBT,
}


def _step(entry: Entry, effect: Effect | None) -> Effect | None:
    if effect is None:
        return None
    known: dict[str, Any] = {
        "version": effect.version + entry.kind.startswith("effect."),
        "recorded_at": entry.recorded_at,
        "incident": entry.incident or effect.incident,
    }
    known["doubted"] = entry.kind == "effect.in_doubt"
    known["decided"] = entry.kind == "effect.resolved"
    state = _STATES.get(entry.kind)
    if entry.kind == "effect.resolved":
        state = EffectState.DONE if entry.facts.get(HAPPENED) else EffectState.NOT_DONE
    if (
        state is None
    ):  # late outcomes, corrections, escalations: they are history, and change nothing decided
        return attrs.evolve(effect, incident=known["incident"], version=known["version"])
    if ERROR in entry.facts:
        known["error"] = entry.facts[ERROR]
    if state is EffectState.DONE:
        known.update(_value(entry))
    if FAILURE in entry.personal:
        known["failure"] = entry.personal[FAILURE]
    if GENERATION in entry.facts:
        known["generation"] = entry.facts[GENERATION]
    return attrs.evolve(effect, state=state, **known)


def _value(entry: Entry) -> dict[str, Any]:
    if RESULT in entry.personal:
        return {"result": entry.personal[RESULT], "replay": True, "why_not": None}
    if RESULT in entry.commitments:
        return {"replay": False, "why_not": "its result has been erased"}
    return {"replay": False, "why_not": entry.facts.get(NO_RESULT, "no result was recorded")}

"""What the ledger tells of a case: its timeline, and each effect that it is about, once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rml.effect.state import Effect, EffectState
from rml.incident.evidence.happening import Happening, SourceKind
from rml.incident.projection import Projection
from rml.ledger.entry import Entry
from rml.ledger.ledger import Ledger

# What a state says of whether the effect happened; the others leave it open.
_HAPPENED: Final = {EffectState.DONE: True, EffectState.NOT_DONE: False, EffectState.FAILED: False}
# What comes after an effect's end, perhaps days later.
_AFTERWARDS: Final = frozenset({"effect.resolved", "effect.late"})


def read_ledger(ledger: Ledger, case: Projection) -> Iterator[Happening]:
    """Yield what there is, the case's own entries first."""
    for event in case.file.timeline:
        yield Happening(
            at=event.at,
            world=event.world,
            type=event.type,
            text=event.detail,
            kind=SourceKind.LEDGER,
            where=event.entry or case.file.incident_id,
        )
    for effect_id in dict.fromkeys([*case.effects, *case.harmed]):
        effect = ledger.look(effect_id)
        if effect is not None:  # a signal may name one of another ledger
            yield _effect(effect, list(ledger.entries(effect=effect_id)))


def _effect(effect: Effect, entries: list[Entry]) -> Happening:
    intents = [entry for entry in entries if entry.kind == "effect.intent"]
    own = [e for e in entries if e.kind.startswith("effect.") and e.kind not in _AFTERWARDS]
    trace, span = _ids(intents[-1].traceparent)
    facts = dict(effect.facts)
    if effect.state in _HAPPENED:
        facts["happened"] = _HAPPENED[effect.state]
    return Happening(
        at=intents[0].at,
        until=own[-1].at,
        world=effect.world,
        type="effect",
        text=f"{effect.operation} {effect.key}: {effect.state.replace('_', ' ')}",
        kind=SourceKind.LEDGER,
        where=own[-1].id,
        trace=trace,
        span=span,
        effect=effect.id,
        operation=effect.operation,
        key=effect.key,
        facts=facts,
    )


def _ids(traceparent: str | None) -> tuple[str | None, str | None]:
    """Return the ids of trace and span (W3C Trace Context, section 3.2)."""
    parts = (traceparent or "").split("-")
    return (parts[1], parts[2]) if len(parts) == 4 else (None, None)  # noqa: PLR2004 - by the format

"""A saga in `rml show`: where it stands, its steps, and what was undone of them."""

from __future__ import annotations

from rml.cli.effects import way_out
from rml.cli.output import fields, moment, paint, say, say_json, table
from rml.cli.shape import entry_shape, saga_shape
from rml.cli.tail import entry_table, public
from rml.effect.saga_state import Saga, fold_saga
from rml.effect.state import EffectState
from rml.ledger.errors import UnknownIdError
from rml.ledger.ledger import Ledger
from rml.tag import shown


def show_saga(ledger: Ledger, saga_id: str, *, as_json: bool) -> None:
    """Write what is known about a saga.

    Raises:
        UnknownIdError: there is none of this id.
    """
    entries = list(ledger.entries(effect=saga_id))
    saga = fold_saga(entries, ledger.look)
    if saga is None:
        raise UnknownIdError(f"no saga {shown(saga_id)} is in this ledger")
    if as_json:
        shapes = [entry_shape(public(ledger, entry)) for entry in entries]
        say_json({"type": "saga", **saga_shape(saga), "entries": shapes})
        return
    lines = fields(_known(saga))
    lines[1] = lines[1].replace(saga.state.value, paint(saga.state.value), 1)
    lines += _steps(saga)
    lines += ["", "Entries", *entry_table([public(ledger, one) for one in entries], indent="  ")]
    tried = [effect for step in saga.steps for effect in (step.effect, step.undo)]
    lines += way_out([one for one in tried if one and one.state is EffectState.IN_DOUBT])
    say(lines)


def _known(saga: Saga) -> list[tuple[str, object]]:
    return [
        ("saga", saga.id),
        ("state", saga.state.value),
        ("operation", saga.operation),
        ("scope", saga.scope),
        ("key", saga.key),
        ("started at", saga.started_at),
        ("recorded at", saga.recorded_at),
        ("correlation", saga.correlation),
        ("incident", saga.incident),
        ("error", saga.error or None),
    ]


def _steps(saga: Saga) -> list[str]:
    """Return the steps as a table, and under each what undoes it."""
    if not saga.steps:
        return ["", "Steps: none"]
    rows, notes = [], []
    for step in saga.steps:
        effect, undo = step.effect, step.undo
        rows.append([effect.state.value, moment(effect.started_at), effect.operation, effect.id])
        if undo is not None:
            notes.append(f"undone by {undo.operation}: {undo.state.value} {undo.id}")
        elif step.compensator is not None:
            notes.append(f"not undone; {step.compensator} would")
        else:
            notes.append("nothing undoes it")
    heads = ["STATE", "STARTED (UTC)", "OPERATION", "EFFECT"]
    return ["", "Steps", *table(heads, rows, notes, painted=0, indent="  ")]

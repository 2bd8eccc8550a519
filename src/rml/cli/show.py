"""`rml show`: everything that is known about one entry, effect, saga, incident or request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import attrs
import click

from rml.cli.case import show_case
from rml.cli.effects import effect_page, way_out
from rml.cli.ending import FINE
from rml.cli.naming import entry_named, is_place
from rml.cli.output import examples, fields, json_option, moment, paint, say, say_json
from rml.cli.place import ledger_option, opened_ledger
from rml.cli.sagas import show_saga
from rml.cli.shape import effect_shape, entry_shape
from rml.cli.tail import entry_table, public
from rml.effect.state import Effect, EffectState
from rml.error import InvalidInputError
from rml.incident.casebook import Casebook
from rml.incident.private import is_private
from rml.ledger.entry import COLUMNS, Entry
from rml.ledger.erasures.erasure import Erased
from rml.ledger.erasures.retention import ERASED
from rml.ledger.errors import UnknownIdError
from rml.ledger.ledger import Ledger
from rml.tag import shown

_EFFECT: Final = re.compile(r"ef_[0-9a-f]{32}", re.ASCII | re.IGNORECASE)
_SAGA: Final = re.compile(r"sg_[0-9a-f]{32}", re.ASCII | re.IGNORECASE)
_ENTRY: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)

_NO_ID: Final = (
    "is no entry's id or place, no effect's id (ef_...) or key, no saga's (sg_...), "
    "no incident's (INC-...), no request's"
)


@click.command(
    epilog=examples(
        "rml show 12 --ledger payments.db",
        "rml show ef_6b1f0e6c1d2a4f3b8c9d0e1f2a3b4c5d",
        "rml show INC-2026-0001",
        "rml show pay-202",
    )
)
@click.argument("id_", metavar="ID")
@ledger_option
@json_option
def show(*, id_: str, as_json: bool) -> int:
    """Show one entry, effect, saga, incident or request.

    ID is an entry's id or its place (the number that `rml tail` shows), an effect's id (ef_...),
    a saga's (sg_...), an incident's (INC-2026-0001), or, if it is none of these, an effect's key
    (pay-202); several effects of one key are listed. A request's correlation id comes last.
    """
    with opened_ledger() as ledger:
        try:
            _show_named(ledger, id_, as_json=as_json)
        except UnknownIdError:
            ways = (_show_key, _show_request)
            if not any(show_it(ledger, id_, as_json=as_json) for show_it in ways):
                raise
    return FINE


def _show_named(ledger: Ledger, id_: str, *, as_json: bool) -> None:
    if is_place(id_) or _ENTRY.fullmatch(id_):
        _show_entry(ledger, entry_named(ledger, id_), as_json=as_json)
    elif _EFFECT.fullmatch(id_):
        _show_effect(ledger, ledger.effect(id_.lower()), as_json=as_json)
    elif _SAGA.fullmatch(id_):
        show_saga(ledger, id_.lower(), as_json=as_json)
    elif id_.upper().startswith("INC-"):
        show_case(ledger, id_.upper(), as_json=as_json)
    else:
        raise UnknownIdError(f"{shown(id_)} {_NO_ID}")


def _show_key(ledger: Ledger, key: str, *, as_json: bool) -> bool:
    """Show the effect of a key, or list those of several operations; say whether there is one."""
    try:
        found = list(ledger.effects(key=key))
    except InvalidInputError:  # no key can be like this
        return False
    if len(found) == 1:
        _show_effect(ledger, found[0], as_json=as_json)
    elif found and as_json:
        say_json({"type": "effects", "effects": [effect_shape(effect) for effect in found]})
    elif found:
        say(effect_page(found))
    return bool(found)


def _show_request(ledger: Ledger, correlation: str, *, as_json: bool) -> bool:
    """Show what a request left behind; say whether it left anything."""
    try:
        trail = Casebook(ledger).trail(correlation)
    except InvalidInputError:  # no correlation id can be like this
        return False
    if not trail.entries:
        return False
    entries = [public(ledger, entry) for entry in trail.entries]
    if as_json:
        document: dict[str, object] = {"type": "request", "correlation": correlation}
        document["effects"] = [effect_shape(effect) for effect in trail.effects]
        document["errors"] = [entry_shape(public(ledger, entry)) for entry in trail.errors]
        document["incidents"] = list(trail.incidents)
        say_json({**document, "entries": [entry_shape(entry) for entry in entries]})
        return True
    lines = fields([("request", correlation), ("incidents", ", ".join(trail.incidents) or None)])
    if trail.effects:
        lines += ["", "Effects", *effect_page(list(trail.effects))]
    say([*lines, "", "Entries", *entry_table(entries, indent="  ")])
    return True


# An entry ---------------------------------------------------------------------------------------


def _show_entry(ledger: Ledger, entry: Entry, *, as_json: bool) -> None:
    _check_public(ledger, entry)
    corrected_by = _corrected_by(ledger, entry)
    erasures = ledger.erasures(entry.id)
    if as_json:
        document = {"type": "entry", **entry_shape(entry), "personal": dict(entry.personal)}
        document["erasures"] = {name: attrs.asdict(erased) for name, erased in erasures.items()}
        say_json({**document, "corrected_by": [entry_shape(later) for later in corrected_by]})
        return
    header = [(name.replace("_", " "), getattr(entry, name)) for name in COLUMNS]
    lines = fields([("entry", entry.index), *header, ("origin", entry.origin)])
    lines += ["", "Facts" if entry.facts else "Facts: none"]
    lines += fields(_all(entry.facts), indent="  ")
    if entry.commitments:
        lines += ["", "Personal fields"]
        lines += fields(_all(_kept(entry, erasures)), indent="  ")
    if corrected_by:
        lines += ["", "Corrected by", *entry_table(corrected_by, indent="  ")]
    if erased_by := list(ledger.entries(kind=ERASED, corrects=entry.id)):
        lines += ["", "Erased by", *entry_table(erased_by, indent="  ")]
    say(lines)


def _check_public(ledger: Ledger, entry: Entry) -> None:
    """Refuse to show evidence of a private case here, where nobody says who reads it."""
    if is_private(ledger, entry.incident):
        raise click.UsageError(
            f"it is evidence of {entry.incident}, which is private: "
            f"rml case {entry.incident} evidence {entry.id} --by NAME --reason TEXT"
        )


def _corrected_by(ledger: Ledger, entry: Entry) -> list[Entry]:
    """Return what names an entry as amended, and what corrects the effect that it belongs to."""
    later = [*ledger.entries(corrects=entry.id), *ledger.corrections(entry.id)]
    found = {one.id: public(ledger, one) for one in later if one.kind != ERASED}
    return sorted(found.values(), key=lambda one: one.index or 0)


def _kept(entry: Entry, erasures: Mapping[str, Erased]) -> dict[str, object]:
    kept: dict[str, object] = dict.fromkeys(entry.commitments, "erased")
    for name, erased in erasures.items():
        by = f" by {erased.by}" if erased.by else ""
        kept[name] = f"erased on {moment(erased.at)}{by}: {erased.reason}"
    return kept | dict(entry.personal)


def _all(values: Mapping[str, object]) -> list[tuple[str, object]]:
    """Return named values in which nothing is left out, not even a null."""
    return [(name, "null" if value is None else value) for name, value in values.items()]


# An effect --------------------------------------------------------------------------------------


def _show_effect(ledger: Ledger, effect: Effect, *, as_json: bool) -> None:
    entries = [public(ledger, entry) for entry in ledger.entries(effect=effect.id)]
    corrected_by = [public(ledger, entry) for entry in ledger.corrections(effect.id)]
    if as_json:
        shapes = [entry_shape(entry) for entry in entries]
        later = [entry_shape(entry) for entry in corrected_by]
        document = {"type": "effect", **effect_shape(effect), "entries": shapes}
        say_json({**document, "corrected_by": later})
        return
    lines = fields(_known(effect))
    lines[1] = lines[1].replace(effect.state.value, paint(effect.state.value), 1)
    lines += ["", "Facts" if effect.facts else "Facts: none"]
    lines += fields(_all(effect.facts), indent="  ")
    lines += ["", "Entries", *entry_table(entries, indent="  ")]
    if corrected_by:
        lines += ["", "Corrected by", *entry_table(corrected_by, indent="  ")]
    if effect.state is EffectState.IN_DOUBT:
        lines += way_out([effect])
    say(lines)


def _known(effect: Effect) -> list[tuple[str, object]]:
    error = effect.error or {}
    return [
        ("effect", effect.id),
        ("state", effect.state.value),
        ("operation", effect.operation),
        ("scope", effect.scope),
        ("key", effect.key),
        ("provider key", effect.provider_key),
        ("attempt", effect.attempt),
        ("version", effect.version),
        ("world", effect.world.value),
        ("started at", effect.started_at),
        ("recorded at", effect.recorded_at),
        ("lease until", effect.lease_until),
        ("corrects", effect.corrects),
        ("incident", effect.incident),
        ("error", error or None),
        ("result", _result(effect)),
    ]


def _result(effect: Effect) -> str | None:
    if effect.state is not EffectState.DONE:
        return None
    return "kept, given to later calls" if effect.replay else effect.why_not

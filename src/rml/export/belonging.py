"""Which entries belong to an incident, an effect or an entry: what a bundle about it must hold.

To an **incident** belong the entries that name it, all entries of the effects that they name or
whose corrections they record, and what corrects any of these. To an **effect** belong its entries
and what corrects them. With a correction that is an effect, as a refund is, come all entries of
that effect, and with a saga its steps. To single **entries** belong those that correct them, and
nothing else: whoever asks for an entry shows no more of its effect than that. Where values beside
an entry may have been pruned, the entry that says so belongs to all three.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from rml.effect import saga_state
from rml.error import InvalidInputError
from rml.incident.kinds import ACTED
from rml.incident.projection import is_effect_id
from rml.ledger.entry import Entry
from rml.ledger.erasures.retention import PRUNED, Pruned
from rml.ledger.errors import UnknownIdError
from rml.tag import shown

Find = Callable[[str, str], Iterable[Entry]]
"""Gives the entries of which a header field has a value: ``find("corrects", entry_id)``."""

INCIDENT: Final = "incident"
EFFECT: Final = "effect"
ENTRY: Final = "id"
CORRECTS: Final = "corrects"
KIND: Final = "kind"


def field_of(about: str) -> str:
    """Return the header field that an id is looked up in."""
    if about.startswith("INC-"):
        return INCIDENT
    is_effect = is_effect_id(about) or about.startswith(saga_state.PREFIX)
    return EFFECT if is_effect else ENTRY


def belonging(about: Sequence[str], find: Find) -> list[Entry]:
    """Return the entries that belong to an incident, to effects or to entries, in index order.

    Raises:
        InvalidInputError: these are several incidents, or ids of different sorts.
        UnknownIdError: there is nothing of one of these ids.
    """
    sorts = {field_of(one) for one in about}
    if len(sorts) != 1 or (sorts == {INCIDENT} and len(about) > 1):
        raise InvalidInputError("name one incident, or effects, or entries, and not a mixture")
    (sort,) = sorts
    found: dict[str, Entry] = {}
    effects: set[str] = set()
    waiting = [entry for one in about for entry in _named(one, sort, find)]
    while waiting:
        entry = waiting.pop()
        if entry.id in found:
            continue
        found[entry.id] = entry
        waiting += find(CORRECTS, entry.id)
        if sort != ENTRY:
            new = set(_effects(entry)) - effects
            effects |= new
            waiting += [other for effect in new for other in find(EFFECT, effect)]
            waiting += [other for one in _corrected(entry) for other in find(ENTRY, one)]
    found |= {entry.id: entry for entry in prunings(list(found.values()), find).values()}
    return sorted(found.values(), key=lambda entry: entry.index or 0)


def among(entries: Iterable[Entry]) -> Find:
    """Return how entries in hand are asked for."""
    known: dict[tuple[str, str | None], list[Entry]] = defaultdict(list)
    for entry in entries:
        for name in (INCIDENT, EFFECT, ENTRY, CORRECTS, KIND):
            known[name, getattr(entry, name)].append(entry)
    return lambda name, value: known[name, value]


def prunings(entries: Iterable[Entry], find: Find) -> dict[str, Entry]:
    """Return by which entry the values beside an entry were pruned first, by that one's id."""
    known = [(pruned, entry) for entry in find(KIND, PRUNED) if (pruned := Pruned.by(entry))]
    first = {
        entry.id: next((by for pruned, by in known if pruned.covers(entry)), None)
        for entry in entries
        if entry.commitments
    }
    return {name: by for name, by in first.items() if by is not None}


def _named(about: str, sort: str, find: Find) -> list[Entry]:
    entries = list(find(sort, about))
    if not entries:
        raise UnknownIdError(f"no {'entry' if sort == ENTRY else sort} {shown(about)} is here")
    return entries


def _effects(entry: Entry) -> Iterator[str]:
    """Yield the effects that an entry is of, records as corrections, or takes for a saga's step."""
    step = entry.facts.get(saga_state.STEP) if entry.kind.startswith("saga.") else None
    yield from (one for one in (entry.effect, step) if isinstance(one, str))
    yield from filter(is_effect_id, _corrections(entry))


def _corrected(entry: Entry) -> list[str]:
    return [one for one in _corrections(entry) if not is_effect_id(one)]


def _corrections(entry: Entry) -> list[str]:
    told = entry.facts.get("corrections") if entry.kind == ACTED else None
    return [one for one in told if isinstance(one, str)] if isinstance(told, list) else []

"""What a containment is proven from: the case, the levers it names, and what began since.

What depends on it reads it inside its own commit, so that no new effect can overtake it. Whoever
only looks takes no writer's turn: what is in flight is read first, so that a while which ends
meanwhile is missed rather than claimed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import attrs

from rml.clock import parse_utc, utc_text
from rml.effect.doubt import look
from rml.effect.state import Effect, EffectState, told
from rml.incident.kinds import CONTAINED, COUNTED, SIGNALS
from rml.incident.levers.containment import QUIET, Containment, prove, quiet_since
from rml.incident.levers.lever import EVERY, RELEASED, Lever, LeverStates
from rml.incident.levers.stop import (
    QUIET_SINCE,
    UNNAMED,
    Stop,
    Window,
    operations_of,
    own_effects,
    stops_by,
    stops_of,
    unquiet_of,
    windows_of,
)
from rml.ledger.draft import Draft
from rml.ledger.entry import Entry

# Among how many of the newest effects since a containment was lifted duplicates are looked for:
# the question is asked inside commits, which must stay short. Earlier ones have to be counted.
_LOOK_BACK: Final = 10_000


@attrs.frozen
class _Search:
    """Where duplicates are looked for.

    Attributes:
        query: by which the case has counted them.
        intents: the newest since the first window, the oldest first.
        left_out: the newest of those that are not among them, if there are more.
    """

    query: Mapping[str, Any]
    intents: list[Entry]
    left_out: Entry | None

    def has_gap(self, windows: Sequence[Window]) -> bool:
        """Say whether effects since the first window were neither looked at nor counted."""
        if self.left_out is None:
            return False
        lifted = min(window.until for window in windows)
        since = self.query.get("since")
        whole = "until" not in self.query and (since is None or parse_utc(since) <= lifted)
        index = self.left_out.index
        return not whole or index is None or index >= self.query["size"]


class Sight(Protocol):
    """What is asked: a commit in the making, or a ledger as it stands."""

    @property
    def now(self) -> datetime:
        """The present moment, by the ledger's clock."""
        ...

    def entry(self, entry_id: str) -> Entry | None:
        """Return the entry with this id, if there is one."""
        ...

    def entries(
        self,
        *,
        kind: str | None = None,
        operation: str | None = None,
        after: int = -1,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> Sequence[Entry]:
        """Return matching entries in index order."""
        ...

    def of_effect(self, effect: str) -> Sequence[Entry]:
        """Return an effect's entries in index order."""
        ...


def contained(draft: Draft, entries: Sequence[Entry], quiet: timedelta = QUIET) -> Containment:
    """Return whether the case of these entries is contained, as a commit in the making sees it."""
    return contained_as_seen(draft, entries, list(_pending(draft)), quiet)


def contained_as_seen(
    sight: Sight, entries: Sequence[Entry], pending: Sequence[Effect], quiet: timedelta
) -> Containment:
    """Return whether the case of these entries is contained, as far as can be seen.

    Args:
        sight: what is asked.
        entries: of the case, in index order.
        pending: the effects that have not ended.
        quiet: how long nothing may have begun.
    """
    levers = _levers(sight, entries)
    stops = stops_of(entries, levers, _released(sight, levers))
    windows = list(windows_of(entries, levers))
    searches = list(_searches(sight, entries, windows))
    covering = [*stops, *(window.stop for window in windows)]
    return prove(
        stops,
        _since(sight, stops),
        pending,
        sight.now,
        about=operations_of(entries),
        own=list(_own(sight, entries, covering)),
        signals=_signals(entries),
        windows=windows,
        later=list(_later(sight, entries, windows, pending, searches)),
        unsearched=[search.query["operation"] for search in searches if search.has_gap(windows)],
        unquiet=unquiet_of(entries, levers),
        quiet=quiet,
    )


def lifting(
    draft: Draft, entries: Sequence[Entry], mitigation: Entry, at: datetime | None = None
) -> dict[str, str]:
    """Return what is recorded of a containment that is lifted: since when it has been quiet.

    Args:
        draft: the commit that lifts it.
        entries: of the case, in index order.
        mitigation: the entry of the containment.
        at: since when it is lifted, if not now.
    """
    stops = list(stops_by(mitigation, entries, _levers(draft, entries)))
    begun, pending = _since(draft, stops), list(_pending(draft))
    since = quiet_since(stops, begun, pending, at or draft.now, _signals(entries))
    return {} if since is None else {QUIET_SINCE: utc_text(since)}


def still_pulled(draft: Draft, mitigation: Entry) -> Lever | None:
    """Return the lever by which a containment stops something, unless it was released."""
    levers = _levers(draft, [mitigation])
    return next((levers[one] for one in levers.keys() - _released(draft, levers)), None)


def _signals(entries: Sequence[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.kind in SIGNALS]


def _levers(sight: Sight, entries: Sequence[Entry]) -> dict[str, Lever]:
    """Return the levers that a case's containments name, by the ids of their entries."""
    named = (entry.facts.get("pulled") for entry in entries if entry.kind == CONTAINED)
    pulled = [sight.entry(one) for one in named if one is not None]
    levers = [LeverStates().told([entry]).pulled for entry in pulled if entry is not None]
    return {lever.entry: lever for some in levers for lever in some}


def _released(sight: Sight, levers: Mapping[str, Lever]) -> set[str]:
    """Return the ids of those levers that are not pulled any more."""
    first = min((lever.index for lever in levers.values()), default=None)
    if first is None:
        return set()
    moved = LeverStates().told(sight.entries(kind=RELEASED, after=first)).last_released
    gone = (one for one in levers.values() if moved.get(one.target, -1) > one.index)
    return {lever.entry for lever in gone}


def _since(sight: Sight, stops: list[Stop]) -> Iterator[Entry]:
    """Yield what was recorded of the stopped operations since the first of them was."""
    operations = {stop.operation for stop in stops} - {UNNAMED}
    first = min((stop.index for stop in stops), default=0)
    for operation in [EVERY] if EVERY in operations else operations:
        if operation == EVERY:
            yield from sight.entries(kind="effect.intent", after=first)
        else:
            yield from sight.entries(operation=operation, after=first)


def _own(sight: Sight, entries: Sequence[Entry], stops: Sequence[Stop]) -> Iterator[Entry]:
    """Yield by which entry each effect of the case began; no matter, if nobody may begin any."""
    if all(stop.target[1:] == (None, None) for stop in stops):
        return
    for one in own_effects(entries):
        yield from _beginning(sight, one)


def _later(
    sight: Sight,
    entries: Sequence[Entry],
    windows: Sequence[Window],
    pending: Sequence[Effect],
    searches: Sequence[_Search],
) -> Iterator[Entry]:
    """Yield what may have happened again since the first window.

    These are signals, harm, doubts, and duplicates by the key by which the case has counted them.
    """
    if not windows:
        return
    first = min(window.index for window in windows)
    since = [entry for entry in entries if entry.index is None or entry.index > first]
    yield from _signals(since)
    for one in own_effects(since):
        yield from _beginning(sight, one)
    for effect in pending:
        if effect.state is EffectState.IN_DOUBT:
            yield from _beginning(sight, effect.id)
    for search in searches:
        yield from _duplicates(sight, search)


def _counted(entries: Sequence[Entry]) -> list[Mapping[str, Any]]:
    """Return by which queries the case has counted duplicates, the newest of each operation."""
    asked = [entry.facts["query"] for entry in entries if entry.kind == COUNTED]
    return list({query["operation"]: query for query in asked if query["key"]}.values())


def _searches(
    sight: Sight, entries: Sequence[Entry], windows: Sequence[Window]
) -> Iterator[_Search]:
    """Yield where duplicates are looked for: what began since the first window, by each count."""
    if not windows:
        return
    first = min(window.index for window in windows)
    for query in _counted(entries):
        newest = sight.entries(
            kind="effect.intent",
            operation=query["operation"],
            after=first,
            newest_first=True,
            limit=_LOOK_BACK + 1,
        )
        left_out = newest[_LOOK_BACK] if len(newest) > _LOOK_BACK else None
        yield _Search(query, list(reversed(newest[:_LOOK_BACK])), left_out)


def _duplicates(sight: Sight, search: _Search) -> Iterator[Entry]:
    """Yield the intents that the query would count: another one before it was the same."""
    groups: dict[tuple[str, ...], list[Entry]] = {}
    names = search.query["key"]
    for entry in search.intents:
        own = {"key": entry.key, "scope": entry.scope}
        values = [own[name] if name in own else entry.facts.get(name) for name in names]
        if entry.attempt == 1 and None not in values:
            groups.setdefault(tuple(map(str, values)), []).append(entry)
    for same in groups.values():
        if len(same) > 1:
            yield from [entry for entry in same if _happened(sight, entry)][1:]


def _happened(sight: Sight, intent: Entry) -> bool:
    effect = told(sight.of_effect(intent.effect or ""))
    return effect is not None and effect.state in (EffectState.DONE, EffectState.HISTORY)


def _beginning(sight: Sight, one: str) -> list[Entry]:
    """Return the entry by which an effect began, or the one that an id names."""
    entry = sight.entry(one)
    return list(sight.of_effect(one)[:1]) if entry is None else [entry]


def _pending(draft: Draft) -> Iterator[Effect]:
    """Yield the effects that have not ended."""
    for lease in draft.leases():
        effect = look(draft, lease.effect)
        if effect is not None:
            yield effect

"""Whether the bleeding has stopped: counted from the ledger, never claimed.

A case is contained when something stops every operation that it is about, and no effect of these
has begun for a while since. One that begins at the last second, and the while begins again. What
was in flight when the operation was stopped may still become history, so it has to end first; what
is in doubt is named, for it will not run again by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import attrs

from rml.clock import utc_text
from rml.effect.state import Effect, EffectState
from rml.incident.kinds import CONTAINED, LIFTED, SIGNALS
from rml.incident.levers.lever import EVERY, Lever, Target, Whose, concerns, named
from rml.ledger.entry import RESERVED_KINDS, Entry
from rml.world import World

# How long nothing new may have begun, until a containment counts as proven.
QUIET: Final = timedelta(minutes=5)
_NOTHING: Final = timedelta(0)
_INTENT: Final = "effect.intent"


@attrs.frozen
class Stop:
    """A moment from which an operation should not begin any more, and for whom.

    Attributes:
        target: the operation, tenant and region that it is about, as of a lever.
        at: when the ledger recorded it.
        index: the index of the entry that did.
    """

    target: Target
    at: datetime
    index: int

    @property
    def operation(self) -> str:
        """The operation; ``*`` for every one."""
        return self.target[0]

    def concerns(self, effect: Entry | Effect) -> bool:
        """Say whether an effect should not begin from here on; who cannot tell, says so too."""
        return concerns(self.target, effect.operation, Whose.of(effect.scope, effect.facts))


@attrs.frozen(kw_only=True)
class Containment:
    """Whether a case is contained, and what says so.

    Attributes:
        proven: whether nothing new has begun for long enough.
        since: since when nothing has; ``None`` while nothing stops it.
        left: how much longer nothing may begin; zero when proven, ``None`` while nothing stops it.
        quiet: how long nothing may begin in all.
        operations: what the case is about and what is stopped.
        uncovered: those of them that nothing stops.
        limits: what is stopped of those that are stopped for a tenant or in a region alone.
        offending: the ids of what began although it was stopped: effects, or entries of your own.
        in_flight: the ids of those effects that are in flight.
        in_doubt: the ids of those effects of which nobody knows whether they happened.
    """

    proven: bool
    since: datetime | None
    left: timedelta | None
    quiet: timedelta
    operations: tuple[str, ...]
    uncovered: tuple[str, ...]
    limits: tuple[str, ...]
    offending: tuple[str, ...]
    in_flight: tuple[str, ...]
    in_doubt: tuple[str, ...]

    def __str__(self) -> str:
        """Say where it stands, in one sentence."""
        if self.since is None:
            return "not proven: nothing stops it; pull a lever, or record with case.contain(...)"
        if self.uncovered:
            return f"not proven: nothing stops {', '.join(self.uncovered)}"
        if self.in_flight:
            return f"not proven: still in flight: {_some(self.in_flight)}"
        quiet = f"nothing has begun since {utc_text(self.since)}"
        only = f"; only {_some(self.limits)} is stopped" if self.limits else ""
        if self.proven:
            return f"proven: {quiet}{only}"
        left = (self.left or _NOTHING).total_seconds()
        return f"not proven: {quiet}, and nothing may for another {left:.0f} s{only}"

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-like data; durations are seconds."""
        row = attrs.asdict(self)
        for name in ("left", "quiet"):
            row[name] = None if row[name] is None else row[name].total_seconds()
        return row


def _some(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - 3} more" if len(ids) > 3 else ""  # noqa: PLR2004 - enough to begin
    return ", ".join(ids[:3]) + more


def stops_of(entries: Iterable[Entry], levers: Mapping[str, Lever]) -> list[Stop]:
    """Return what stops the operations of a case and has not been lifted.

    Args:
        entries: the case's, in index order.
        levers: by the ids of their entries, those that containments of the case name.
    """
    kept = list(entries)
    lifted = {entry.facts.get("mitigation") for entry in kept if entry.kind == LIFTED}
    stops: list[Stop] = []
    for entry in kept:
        if entry.kind != CONTAINED or entry.id in lifted:
            continue
        lever = levers.get(entry.facts.get("pulled", ""))
        if lever is not None:
            stops.append(Stop(lever.target, lever.pulled_at, lever.index))
        else:  # by hand: what was done about the operations that the case is about
            stops += [
                Stop((name, None, None), entry.recorded_at, entry.index or 0)
                for name in operations_of(kept)
            ]
    return stops


def operations_of(entries: Iterable[Entry]) -> list[str]:
    """Return the operations that a case's signals name, in the order in which they did."""
    named = (entry.operation for entry in entries if entry.kind in SIGNALS)
    return list(dict.fromkeys(name for name in named if name is not None))


def begins(entry: Entry) -> bool:
    """Say whether an entry is a new effect: an intent, or history that a program recorded itself.

    A correction of history that is there is no new one.
    """
    if entry.kind.partition(".")[0] in RESERVED_KINDS:
        return entry.kind == _INTENT
    return entry.world is World.RML3 and entry.corrects is None


def prove(
    stops: Sequence[Stop],
    entries: Iterable[Entry],
    pending: Iterable[Effect],
    now: datetime,
    *,
    about: Sequence[str] = (),
    quiet: timedelta = QUIET,
) -> Containment:
    """Return whether what should have stopped has.

    Args:
        stops: what was done to stop it.
        entries: what has been recorded since the first of them, of their operations at least.
        pending: the effects that are in flight or in doubt.
        now: the present moment, by the ledger's clock.
        about: the operations that have to be stopped.
        quiet: how long nothing may have begun.
    """
    operations = tuple(dict.fromkeys([*about, *(stop.operation for stop in stops)]))
    stopped = {stop.operation for stop in stops}
    uncovered = () if EVERY in stopped else tuple(name for name in about if name not in stopped)
    new = [entry for entry in entries if begins(entry) and _is_stopped(entry, stops)]
    open_ended = [e for e in pending if any(stop.concerns(e) for stop in stops)]
    in_flight = tuple(e.id for e in open_ended if e.state is EffectState.IN_FLIGHT)
    since = max([*(stop.at for stop in stops), *(entry.recorded_at for entry in new)], default=None)
    left = None if since is None else max(_NOTHING, quiet - (now - since))
    return Containment(
        proven=left == _NOTHING and not uncovered and not in_flight,
        since=since,
        left=left,
        quiet=quiet,
        operations=operations,
        uncovered=uncovered,
        limits=tuple(_limits(stops)),
        offending=tuple(dict.fromkeys(entry.effect or entry.id for entry in new)),
        in_flight=in_flight,
        in_doubt=tuple(e.id for e in open_ended if e.state is EffectState.IN_DOUBT),
    )


def _limits(stops: Sequence[Stop]) -> Iterator[str]:
    """Yield what is stopped of operations of which something else may still begin."""
    whole = {stop.operation for stop in stops if stop.target[1:] == (None, None)}
    for target in dict.fromkeys(stop.target for stop in stops):
        if not whole & {target[0], EVERY}:
            yield named(target)


def _is_stopped(entry: Entry, stops: Iterable[Stop]) -> bool:
    index = entry.index or 0
    return any(index > stop.index and stop.concerns(entry) for stop in stops)

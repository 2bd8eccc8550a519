"""Whether the bleeding has stopped: counted from the ledger, never claimed.

A case is contained when something stops every operation that it is about, and no effect of these
has begun for a while since. One that begins at the last second, and the while begins again. What
was in flight when the operation was stopped may still become history, so it has to end first; what
is in doubt is named, for it will not run again by itself.

What was proven stays proven when it is lifted, for the cause was mended meanwhile: until a signal
joins the case, or an effect that began later turns out to be harm or is in doubt.

A lever of a tenant or region stops no more than that: it contains a case of which every effect that
is known is among those it concerns. Of a case that names no operation, signals are what is counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import attrs

from rml.effect.state import Effect, EffectState
from rml.incident.levers.lever import EVERY, named
from rml.incident.levers.stop import UNNAMED, Stop, Window, to_second
from rml.incident.levers.stopped import Stopped, despite, let_go, still_stopped
from rml.ledger.entry import Entry

# How long nothing new may have begun, until a containment counts as proven.
QUIET: Final = timedelta(minutes=5)
_NOTHING: Final = timedelta(0)


@attrs.frozen(kw_only=True)
class Containment:
    """Whether a case is contained, and what says so.

    Attributes:
        proven: whether nothing new has begun for long enough.
        since: since when nothing has; ``None`` while nothing stops it.
        left: how much longer nothing may begin; zero when proven, ``None`` while nothing stops it.
        quiet: how long nothing may begin in all.
        operations: what the case is about and what is stopped.
        uncovered: those of them that nothing stops, and the ids of the case's own effects outside
            of what is stopped.
        limits: what is stopped of those that are stopped for a tenant or in a region alone.
        offending: the ids of what began although it was stopped: effects, or entries of your own.
        in_flight: the ids of those effects that are in flight.
        in_doubt: the ids of those effects of which nobody knows whether they happened.
        windows: what was stopped, quiet for long enough, and let go on; nothing of the incident has
            happened since.
        again: the ids of what has happened since, and by which it is proven no more.
        unsearched: operations of which so many effects began since that not all were looked at for
            duplicates; count them again, and it can be proven.
        stopped: what became of each thing that was stopped for the case, the oldest first.
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
    windows: tuple[Window, ...]
    again: tuple[str, ...]
    unsearched: tuple[str, ...]
    stopped: tuple[Stopped, ...]

    def __str__(self) -> str:
        """Say where it stands, in one sentence."""
        only = f"; only {_some(self.limits)} is stopped" if self.limits else ""
        if self.proven:
            return f"proven: {'; '.join(self._quiet())}{only}"
        if self.since is None and not self.windows:
            way = "pull a lever, or record with case.contain(...)"
            if self.again:
                return f"not proven: it was, but then came {_some(self.again)}; {way}"
            return f"not proven: nothing stops it; {way}"
        if self.uncovered:
            return f"not proven: nothing stops {_some(self.uncovered)}{only}"
        if self.in_flight:
            return f"not proven: still in flight: {_some(self.in_flight)}"
        if self.unsearched:
            return (
                f"not proven: more effects of {_some(self.unsearched)} began since it was let go "
                "on than are looked at for duplicates; count them again: case.count_impact(...)"
            )
        left = (self.left or _NOTHING).total_seconds()
        quiet = f"nothing has begun since {to_second(self.since)}" if self.since else ""
        began = f"; although it was stopped, {_some(self.offending)} began"
        meant = f"{began}: if it was let go on, say since when with case.lift(..., at=...)"
        hint = meant if self.offending else ""
        return f"not proven: {quiet}, and nothing may for another {left:.0f} s{only}{hint}"

    def _quiet(self) -> Iterator[str]:
        """Yield what proves it."""
        if self.since is not None:
            yield f"nothing has begun since {to_second(self.since)}"
        yield from map(str, self.windows)
        if self.windows:
            yield "nothing of the incident has happened since"

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-like data; durations are seconds."""
        row = attrs.asdict(self, recurse=False)
        for name in ("windows", "stopped"):
            row[name] = [one.to_dict() for one in row[name]]
        for name in ("left", "quiet"):
            row[name] = None if row[name] is None else row[name].total_seconds()
        return row


def _some(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - 3} more" if len(ids) > 3 else ""  # noqa: PLR2004 - enough to begin
    return ", ".join(ids[:3]) + more


def prove(
    stops: Sequence[Stop],
    entries: Iterable[Entry],
    pending: Sequence[Effect],
    now: datetime,
    *,
    about: Sequence[str] = (),
    own: Sequence[Entry] = (),
    signals: Sequence[Entry] = (),
    windows: Sequence[Window] = (),
    later: Sequence[Entry] = (),
    unsearched: Sequence[str] = (),
    unquiet: Iterable[tuple[Stop, datetime]] = (),
    quiet: timedelta = QUIET,
) -> Containment:
    """Return whether what should have stopped has.

    Args:
        stops: what was done to stop it, and was not lifted.
        entries: what has been recorded since the first of them, of their operations at least.
        pending: the effects that are in flight or in doubt.
        now: the present moment, by the ledger's clock.
        about: the operations that have to be stopped.
        own: the intents, or entries, of the effects that the case is known to be about.
        signals: those of the case; they count where it names no operation.
        windows: what was stopped and quiet until it was lifted.
        later: what may have broken these: signals of the case, and the intents, or entries, of the
            effects that are harm or in doubt.
        unsearched: operations of which not all that began since these was looked at.
        unquiet: what was stopped and lifted, and when, while something of it was in flight.
        quiet: how long nothing may have begun.
    """
    ended = [let_go(window, later, quiet) for window in windows]
    kept = [window for window, one in zip(windows, ended, strict=True) if one.proven]
    told = list(entries)
    held = [_held(stop, despite(stop, told, signals), pending, now, quiet) for stop in stops]
    again = (broke for one in ended for broke in one.broken_by)
    covering = [*stops, *(window.stop for window in kept)]
    stopped = (stop.operation for stop in covering if stop.operation != UNNAMED)
    since = max((one.quiet_since for one in held if one.quiet_since is not None), default=None)
    left = None if since is None else max(_NOTHING, quiet - (now - since))
    uncovered = tuple(_uncovered(covering, about, own))
    in_flight = _in(EffectState.IN_FLIGHT, pending, stops)
    is_quiet = left == _NOTHING or (left is None and bool(kept))
    gaps = tuple(name for name in unsearched if _rests_on(kept, stops, name))
    proven = is_quiet and not uncovered and not in_flight and not gaps
    early = (Stopped(stop=stop, until=until) for stop, until in unquiet)
    return Containment(
        proven=proven,
        since=since,
        left=left,
        quiet=quiet,
        operations=tuple(dict.fromkeys([*about, *stopped])),
        uncovered=uncovered,
        limits=tuple(_limits(covering)),
        offending=tuple(dict.fromkeys(broke for one in held for broke in one.broken_by)),
        in_flight=in_flight,
        in_doubt=_in(EffectState.IN_DOUBT, pending, covering),
        windows=tuple(kept),
        again=() if proven else tuple(dict.fromkeys(again)),
        unsearched=gaps,
        stopped=tuple(sorted([*early, *ended, *held], key=lambda one: one.stop.index)),
    )


def _held(
    stop: Stop, begun: Sequence[Entry], pending: Sequence[Effect], now: datetime, quiet: timedelta
) -> Stopped:
    in_flight = bool(_in(EffectState.IN_FLIGHT, pending, [stop]))
    return still_stopped(stop, begun, now, quiet, in_flight=in_flight)


def _rests_on(windows: Iterable[Window], stops: Sequence[Stop], operation: str) -> bool:
    """Say whether windows alone prove that an operation was contained."""
    if _whole(stops) & {operation, EVERY}:
        return False
    return any(window.stop.operation in (operation, EVERY, UNNAMED) for window in windows)


def quiet_since(
    stops: Sequence[Stop],
    entries: Iterable[Entry],
    pending: Sequence[Effect],
    until: datetime,
    signals: Sequence[Entry] = (),
) -> datetime | None:
    """Return since when nothing has begun of what is lifted now, unless some of it is in flight.

    Args:
        stops: what is lifted.
        entries: what has been recorded since the first of them, of their operations at least.
        pending: the effects that are in flight or in doubt.
        until: the moment from which it was let go on.
        signals: those of the case; they count where it names no operation.
    """
    told = list(entries)
    begun = [entry for stop in stops for entry in despite(stop, told, signals)]
    moments = [entry.recorded_at for entry in begun if entry.recorded_at <= until]
    since = max([*(stop.at for stop in stops), *moments], default=None)
    before = [effect for effect in pending if effect.started_at <= until]
    if since is None or since > until or _in(EffectState.IN_FLIGHT, before, stops):
        return None
    return since


def _in(state: EffectState, pending: Iterable[Effect], stops: Sequence[Stop]) -> tuple[str, ...]:
    """Return the ids of the effects in a state that something stops."""
    effects = (effect for effect in pending if effect.state is state)
    return tuple(e.id for e in effects if any(stop.concerns(e) for stop in stops))


def _uncovered(stops: Sequence[Stop], about: Iterable[str], own: Sequence[Entry]) -> Iterator[str]:
    """Yield what the case is about and nothing stops: operations, and ids of effects."""
    whole = _whole(stops)
    for name in about:
        if whole & {name, EVERY}:
            continue
        known = [entry for entry in own if entry.operation == name]
        if not known or not any(stop.operation in (name, EVERY) for stop in stops):
            yield name
        for entry in known:
            if not any(stop.concerns(entry) for stop in stops):
                yield entry.effect or entry.id


def _limits(stops: Sequence[Stop]) -> Iterator[str]:
    """Yield what is stopped of operations of which something else may still begin."""
    whole = _whole(stops)
    for target in dict.fromkeys(stop.target for stop in stops):
        if not whole & {target[0], EVERY}:
            yield named(target)


def _whole(stops: Iterable[Stop]) -> set[str]:
    """Return the operations of which nothing may begin, whoever calls."""
    return {stop.operation for stop in stops if stop.target[1:] == (None, None)}

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

from rml.clock import utc_text
from rml.effect.state import Effect, EffectState
from rml.incident.levers.lever import EVERY, named
from rml.incident.levers.stop import UNNAMED, Stop, Window, begins
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
        quiet = f"nothing has begun since {utc_text(self.since)}" if self.since else ""
        began = f"; although it was stopped, {_some(self.offending)} began"
        meant = f"{began}: if it was let go on, say since when with case.lift(..., at=...)"
        hint = meant if self.offending else ""
        return f"not proven: {quiet}, and nothing may for another {left:.0f} s{only}{hint}"

    def _quiet(self) -> Iterator[str]:
        """Yield what proves it."""
        if self.since is not None:
            yield f"nothing has begun since {utc_text(self.since)}"
        yield from map(str, self.windows)
        if self.windows:
            yield "nothing of the incident has happened since"

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-like data; durations are seconds."""
        row = attrs.asdict(self, recurse=False)
        row["windows"] = [window.to_dict() for window in self.windows]
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
    signals: Iterable[Entry] = (),
    windows: Iterable[Window] = (),
    later: Sequence[Entry] = (),
    unsearched: Sequence[str] = (),
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
        quiet: how long nothing may have begun.
    """
    enough = [window for window in windows if window.until - window.since >= quiet]
    kept = [window for window in enough if not any(map(window.is_broken_by, later))]
    broken = [e for e in later if any(window.is_broken_by(e) for window in enough)]
    covering = [*stops, *(window.stop for window in kept)]
    stopped = (stop.operation for stop in covering if stop.operation != UNNAMED)
    new = list(_begun(stops, entries, signals))
    since = _quiet_since(stops, new)
    left = None if since is None else max(_NOTHING, quiet - (now - since))
    uncovered = tuple(_uncovered(covering, about, own))
    in_flight = _in(EffectState.IN_FLIGHT, pending, stops)
    is_quiet = left == _NOTHING or (left is None and bool(kept))
    gaps = tuple(name for name in unsearched if _rests_on(kept, stops, name))
    proven = is_quiet and not uncovered and not in_flight and not gaps
    return Containment(
        proven=proven,
        since=since,
        left=left,
        quiet=quiet,
        operations=tuple(dict.fromkeys([*about, *stopped])),
        uncovered=uncovered,
        limits=tuple(_limits(covering)),
        offending=_ids(new),
        in_flight=in_flight,
        in_doubt=_in(EffectState.IN_DOUBT, pending, covering),
        windows=tuple(kept),
        again=() if proven else _ids(broken),
        unsearched=gaps,
    )


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
    signals: Iterable[Entry] = (),
) -> datetime | None:
    """Return since when nothing has begun of what is lifted now, unless some of it is in flight.

    Args:
        stops: what is lifted.
        entries: what has been recorded since the first of them, of their operations at least.
        pending: the effects that are in flight or in doubt.
        until: the moment from which it was let go on.
        signals: those of the case; they count where it names no operation.
    """
    begun = [entry for entry in _begun(stops, entries, signals) if entry.recorded_at <= until]
    before = [effect for effect in pending if effect.started_at <= until]
    since = _quiet_since(stops, begun)
    if since is None or since > until or _in(EffectState.IN_FLIGHT, before, stops):
        return None
    return since


def _begun(
    stops: Sequence[Stop], entries: Iterable[Entry], signals: Iterable[Entry]
) -> Iterator[Entry]:
    """Yield what began although it was stopped."""
    for entry in entries:
        if begins(entry) and any(stop.is_before(entry) and stop.concerns(entry) for stop in stops):
            yield entry
    by_hand = [stop for stop in stops if stop.operation == UNNAMED][:1]
    yield from (entry for entry in signals for stop in by_hand if stop.is_before(entry))


def _quiet_since(stops: Iterable[Stop], begun: Iterable[Entry]) -> datetime | None:
    moments = [*(stop.at for stop in stops), *(entry.recorded_at for entry in begun)]
    return max(moments, default=None)


def _in(state: EffectState, pending: Iterable[Effect], stops: Sequence[Stop]) -> tuple[str, ...]:
    """Return the ids of the effects in a state that something stops."""
    effects = (effect for effect in pending if effect.state is state)
    return tuple(e.id for e in effects if any(stop.concerns(e) for stop in stops))


def _ids(entries: Iterable[Entry]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(entry.effect or entry.id for entry in entries))


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

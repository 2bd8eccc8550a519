"""What stops the operations that a case is about, and what was stopped until it was lifted.

A lever of a tenant or region stops no more than that. What is stopped by hand are the operations
that the case is about, from the moment at which that is recorded.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import attrs

from rml.clock import parse_utc
from rml.effect.state import Effect
from rml.incident.kinds import CONTAINED, COUNTED, LIFTED, SIGNALS
from rml.incident.levers.lever import Lever, Target, Whose, concerns, named
from rml.incident.scope import harmed
from rml.ledger.entry import RESERVED_KINDS, Entry
from rml.world import World

_INTENT: Final = "effect.intent"
# What is stopped by hand in a case that names no operation.
UNNAMED: Final = ""
# The fact of what was lifted: since when nothing had begun of what it stopped.
QUIET_SINCE: Final = "quiet_since"


@attrs.frozen
class Stop:
    """A moment from which an operation should not begin any more, and for whom.

    Attributes:
        target: the operation, tenant and region that it is about, as of a lever.
        at: when the ledger recorded it.
        index: the index of the entry that did.
        by: the id of the entry of the lever, or of the containment by hand.
    """

    target: Target
    at: datetime
    index: int
    by: str = ""

    @property
    def operation(self) -> str:
        """The operation; ``*`` for every one."""
        return self.target[0]

    @property
    def what(self) -> str:
        """The operation, with its tenant and region, in words."""
        return "it" if self.operation == UNNAMED else named(self.target)

    def concerns(self, effect: Entry | Effect) -> bool:
        """Say whether an effect should not begin from here on; who cannot tell, says so too."""
        return concerns(self.target, effect.operation, Whose.of(effect.scope, effect.facts))

    def is_before(self, entry: Entry) -> bool:
        """Say whether an entry came after it; one that has no index yet comes after all."""
        return entry.index is None or entry.index > self.index


@attrs.frozen(kw_only=True)
class Window:
    """A while in which nothing began of what was stopped, up to the moment at which it was lifted.

    Attributes:
        stop: what was stopped.
        since: since when nothing had begun.
        until: when it was let go on.
        index: the index of the entry that says so.
    """

    stop: Stop
    since: datetime
    until: datetime
    index: int

    def is_broken_by(self, entry: Entry) -> bool:
        """Say whether a signal, or the beginning of a harmful effect, came after it."""
        later = entry.index is None or entry.index > self.index or entry.recorded_at > self.until
        is_about = entry.kind in SIGNALS or self.stop.operation == UNNAMED
        return later and (is_about or self.stop.concerns(entry))

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-like data."""
        operation, tenant, region = self.stop.target
        where = {"operation": operation, "tenant": tenant, "region": region}
        return {**where, "by": self.stop.by, "since": self.since, "until": self.until}

    def __str__(self) -> str:
        """Say when nothing began, and until when that was so."""
        span = f"from {to_second(self.since)} to {to_second(self.until)}"
        return f"nothing began {span}, when {self.stop.what} was let go on"


def stops_of(
    entries: Sequence[Entry], levers: Mapping[str, Lever], released: Collection[str] = ()
) -> list[Stop]:
    """Return what stops the operations of a case and has not been lifted.

    Args:
        entries: the case's, in index order.
        levers: by the ids of their entries, those that containments of the case name.
        released: the ids of those among them that were; a closed case is not told.
    """
    lifted = {entry.facts.get("mitigation") for entry in entries if entry.kind == LIFTED}
    standing = (e for e in entries if e.kind == CONTAINED and e.id not in lifted)
    stops = (stop for entry in standing for stop in stops_by(entry, entries, levers))
    return [stop for stop in stops if stop.by not in released]


def stops_by(
    contained: Entry, entries: Iterable[Entry], levers: Mapping[str, Lever]
) -> Iterator[Stop]:
    """Yield what one containment of a case stops, as these entries of the case tell it."""
    lever = levers.get(contained.facts.get("pulled", ""))
    if lever is not None:
        yield Stop(lever.target, lever.pulled_at, lever.index, lever.entry)
        return
    for name in operations_of(entries) or [UNNAMED]:
        at, index = contained.recorded_at, contained.index or 0
        yield Stop((name, None, None), at, index, contained.id)


def windows_of(entries: Sequence[Entry], levers: Mapping[str, Lever]) -> Iterator[Window]:
    """Yield what was stopped and quiet when it was lifted, the oldest first.

    Args:
        entries: the case's, in index order.
        levers: by the ids of their entries, those that containments of the case name.
    """
    for stop, lifted in _lifted(entries, levers):
        since = lifted.facts.get(QUIET_SINCE)
        if since is not None:
            yield Window(
                stop=stop,
                since=parse_utc(since),
                until=_until(lifted),
                index=lifted.index or 0,
            )


def unquiet_of(
    entries: Sequence[Entry], levers: Mapping[str, Lever]
) -> Iterator[tuple[Stop, datetime]]:
    """Yield what was lifted while something of it was in flight, and when; the oldest first."""
    for stop, lifted in _lifted(entries, levers):
        if QUIET_SINCE not in lifted.facts:
            yield stop, _until(lifted)


def _lifted(entries: Sequence[Entry], levers: Mapping[str, Lever]) -> Iterator[tuple[Stop, Entry]]:
    """Yield what was stopped, and the entry that says that it is so no more."""
    contained = {entry.id: entry for entry in entries if entry.kind == CONTAINED}
    for place, entry in enumerate(entries):
        if entry.kind == LIFTED:
            for stop in stops_by(contained[entry.facts["mitigation"]], entries[:place], levers):
                yield stop, entry


def _until(lifted: Entry) -> datetime:
    return min(lifted.at, lifted.recorded_at)


def operations_of(entries: Iterable[Entry]) -> list[str]:
    """Return the operations that a case's signals and counts name, in the order of naming."""
    told = (
        entry.facts["query"]["operation"] if entry.kind == COUNTED else entry.operation
        for entry in entries
        if entry.kind in (*SIGNALS, COUNTED)
    )
    return list(dict.fromkeys(name for name in told if name is not None))


def own_effects(entries: Iterable[Entry]) -> list[str]:
    """Return the ids of the effects, or entries, that a case is known to be about."""
    kept = list(entries)
    told = [entry.effect for entry in kept if entry.kind in SIGNALS and entry.effect is not None]
    return list(dict.fromkeys([*told, *harmed(kept)]))


def begins(entry: Entry) -> bool:
    """Say whether an entry is a new effect: an intent, or history that a program recorded itself.

    A correction of history that is there is no new one.
    """
    if entry.kind.partition(".")[0] in RESERVED_KINDS:
        return entry.kind == _INTENT
    return entry.world is World.RML3 and entry.corrects is None


def to_second(moment: datetime) -> str:
    """Return a moment for people, to the second: ``2026-11-21T03:00:00Z``."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

"""One timeline from several sources: what the ledger holds, and what logs and traces tell.

What tells of the same is joined, and every source is kept:

- What names an effect, by its id or by operation and idempotency key, is told of that effect, if it
  happened while the effect was carried out, or within seconds of it. So is the span in which it was
  carried out.
- Two lines of different files are one if they have the same text in the same span, within a second.
- A span that is told twice is one, also in one file: exporters send a batch again.

About an effect the ledger has the last word: what others tell differently is a conflict, listed
with both values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any, Final

import attrs

from rml.clock import utc_text
from rml.incident.evidence.happening import Happening, Skipped, SourceKind
from rml.legible import line
from rml.world import World

# How far the clocks of two machines may be apart, and what they tell still be the same.
APART: Final = timedelta(seconds=5)
# How far apart two records of one line may be.
TWICE: Final = timedelta(seconds=1)
# What a person can go through, and a page can show.
EVENTS_MAX: Final = 100_000
# How many lines that could not be read are named; all are counted.
NAMED_MAX: Final = 100


@attrs.frozen(kw_only=True)
class JoinedEvent:
    """One thing that happened, and all that tells of it.

    Attributes:
        told: what the sources tell; the first has the last word.
        effect: the effect that it is about, if any.
    """

    told: tuple[Happening, ...]
    effect: str | None = None

    @property
    def at(self) -> datetime:
        """When it happened."""
        return self.told[0].at

    @property
    def world(self) -> World:
        """In which world."""
        return self.told[0].world

    @property
    def type(self) -> str:
        """What the source with the last word calls it."""
        return self.told[0].type

    @property
    def text(self) -> str:
        """What the source with the last word says."""
        return self.told[0].text

    @property
    def sources(self) -> tuple[str, ...]:
        """Where it is told: files and lines, or entries of the ledger."""
        return tuple(dict.fromkeys(one.where for one in self.told))

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-like data."""
        return {
            "at": self.at,
            "world": self.world.value,
            "type": self.type,
            "text": self.text,
            "effect": self.effect,
            "told": [one.to_dict() for one in self.told],
        }


@attrs.frozen(kw_only=True)
class Conflict:
    """Where a source and the ledger tell different things about an effect.

    Attributes:
        effect: the effect.
        name: of the fact.
        ledger: what the ledger holds; it stands.
        told: what the source tells.
        where: the source.
    """

    effect: str
    name: str
    ledger: Any
    told: Any
    where: str


@attrs.frozen(kw_only=True)
class JoinedTimeline:
    """What happened, from all sources, in the order in which it happened.

    Attributes:
        events: the events.
        conflicts: where a source contradicts the ledger.
        skipped: lines that could not be read, the first of them.
        skipped_count: how many there are in all.
        left_out: how many happenings there was no room for.
    """

    events: tuple[JoinedEvent, ...]
    conflicts: tuple[Conflict, ...]
    skipped: tuple[Skipped, ...]
    skipped_count: int
    left_out: int

    def __iter__(self) -> Iterator[JoinedEvent]:
        return iter(self.events)

    def __len__(self) -> int:
        return len(self.events)

    def __str__(self) -> str:
        """Return it for people: a line an event, then what does not fit and what was not read."""
        lines = [
            f"{utc_text(one.at)} {one.world} {one.type}: {one.text} [{', '.join(one.sources)}]"
            for one in self.events
        ]
        return "\n".join(map(line, [*lines, *self.notes()]))

    def notes(self) -> list[str]:
        """Return what does not fit, and what was not read or shown, a sentence each."""
        lines = [
            f"conflict: {one.name} of {one.effect} is {one.ledger!r} in the ledger, "
            f"{one.told!r} in {one.where}"
            for one in self.conflicts
        ]
        lines += [f"not read: {one.where}: {one.reason}" for one in self.skipped]
        if self.skipped_count > len(self.skipped):
            lines.append(f"not read: {self.skipped_count - len(self.skipped)} more")
        if self.left_out:
            lines.append(f"left out: {self.left_out}; give since= and until=")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-like data."""
        return {
            "events": [one.to_dict() for one in self.events],
            "conflicts": [attrs.asdict(one) for one in self.conflicts],
            "skipped": [attrs.asdict(one) for one in self.skipped],
            "skipped_count": self.skipped_count,
            "left_out": self.left_out,
        }


def joined(
    ledger: Iterable[Happening],
    others: Iterable[Happening | Skipped],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> JoinedTimeline:
    """Return one timeline.

    Args:
        ledger: what the ledger tells; of each effect once.
        others: what other sources tell, in any order.
        since: leave out what others tell of earlier moments.
        until: leave out what they tell of this moment and later ones.
    """
    work = _Join(list(ledger))
    for one in others:
        if isinstance(one, Skipped):
            work.skip(one)
        elif (since is None or since <= one.at) and (until is None or one.at < until):
            work.add(one)
    return work.done()


@attrs.define
class _Event:
    told: list[Happening]
    effect: str | None = None


class _Join:
    """The work in the making."""

    def __init__(self, ledger: Sequence[Happening]) -> None:
        self.events = [_Event([one], one.effect) for one in ledger]
        self.conflicts: list[Conflict] = []
        self.skipped: list[Skipped] = []
        self.skipped_count = self.left_out = 0
        effects = [event for event in self.events if event.effect is not None]
        self._by_effect = {event.effect: event for event in effects}
        self._by_key = {_named(event.told[0]): event for event in effects}
        spans = ((_spanned(event.told[0]), event) for event in effects)
        self._by_span = {span: event for span, event in spans if None not in span}
        self._lines: dict[tuple[str | None, str | None, str], list[_Event]] = {}

    def skip(self, one: Skipped) -> None:
        self.skipped_count += 1
        if len(self.skipped) < NAMED_MAX:
            self.skipped.append(one)

    def add(self, one: Happening) -> None:
        about = self._about(one)
        if about is not None and about.effect is not None and _is_near(one, about.told[0]):
            about.told.append(one)
            self.conflicts += _conflicts(about.effect, about.told[0], one)
            return
        twin = self._twin(one)
        if twin is not None:
            twin.told.append(one)
            return
        if len(self.events) >= EVENTS_MAX:
            self.left_out += 1
            return
        event = _Event([one], one.effect if about is None else about.effect)
        self.events.append(event)
        if None not in _spanned(one):
            self._lines.setdefault((*_spanned(one), one.text), []).append(event)

    def _about(self, one: Happening) -> _Event | None:
        """Return what the ledger tells of the effect that this is about."""
        named = self._by_effect.get(one.effect) or self._by_key.get(_named(one))
        if named is None and one.kind is SourceKind.SPAN:
            named = self._by_span.get(_spanned(one))
        return named

    def _twin(self, one: Happening) -> _Event | None:
        for event in self._lines.get((*_spanned(one), one.text), ()):
            if any(map(partial(_is_same_span, one), event.told)):
                return event
            is_new = all(other.file != one.file for other in event.told)
            if is_new and abs(event.told[0].at - one.at) <= TWICE:
                return event
        return None

    def done(self) -> JoinedTimeline:
        """Return the timeline; at one moment the ledger comes first."""
        self.events.sort(
            key=lambda event: (event.told[0].at, event.told[0].kind is not SourceKind.LEDGER)
        )
        return JoinedTimeline(
            events=tuple(JoinedEvent(told=tuple(e.told), effect=e.effect) for e in self.events),
            conflicts=tuple(self.conflicts),
            skipped=tuple(self.skipped),
            skipped_count=self.skipped_count,
            left_out=self.left_out,
        )


def _named(one: Happening) -> tuple[str, str] | None:
    return None if one.operation is None or one.key is None else (one.operation, one.key)


def _spanned(one: Happening) -> tuple[str | None, str | None]:
    return one.trace, one.span


def _is_same_span(one: Happening, other: Happening) -> bool:
    """Say whether two with the same ids are one span, in a batch that was exported again."""
    return one.kind is other.kind is SourceKind.SPAN and one.at == other.at


def _is_near(one: Happening, effect: Happening) -> bool:
    """Say whether something happened while an effect was carried out, clocks being as they are."""
    begun = one.at - APART <= (effect.until or effect.at)
    return begun and effect.at <= (one.until or one.at) + APART


def _conflicts(effect: str, ledger: Happening, one: Happening) -> Iterator[Conflict]:
    for name, stands in ledger.facts.items():
        told = _told(name, one.facts)
        if told is not None and not _is_same(stands, told):
            yield Conflict(effect=effect, name=name, ledger=stands, told=told, where=one.where)


def _told(name: str, facts: Mapping[str, Any]) -> Any:
    """Return what a source tells of a fact; what an error of ours says stands under ``rml.``."""
    return facts.get(f"rml.{name}", facts.get(name))


def _is_same(stands: object, told: object) -> bool:
    if isinstance(stands, bool) or isinstance(told, bool):
        return str(stands).lower() == str(told).lower()
    try:
        return Decimal(str(stands)) == Decimal(str(told))
    except InvalidOperation:
        return str(stands) == str(told)

"""The part of a page that tells what happened: one line for each event, day by day.

A long timeline is folded into parts, of which the first and the last are open.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from rml.incident.metrics import IN_THE_MOMENT
from rml.incident.pages.casefile import TimelineEvent
from rml.incident.pages.markup import (
    clock_of,
    day_of,
    escaped,
    is_late,
    lateness,
    moment,
    span,
    words,
    world_badge,
)

# Events in one foldable part of a timeline: a few screens of text.
PART_EVENTS: Final = 250


def timeline(events: Sequence[TimelineEvent]) -> str:
    """Return the line of events, and how many of them were written down later."""
    late = sum(1 for event in events if is_late(event.at, event.recorded_at))
    soon = span(IN_THE_MOMENT)
    note = f"<p>{late:,} of {len(events):,} written more than {soon} after it happened.</p>"
    if len(events) <= PART_EVENTS:
        return note + "".join(_days(events))
    starts = range(0, len(events), PART_EVENTS)
    return note + "".join(
        _part(events[start : start + PART_EVENTS], is_open=start in (0, starts[-1]))
        for start in starts
    )


def _part(events: Sequence[TimelineEvent], *, is_open: bool) -> str:
    first, last = events[0].at, events[-1].at
    return (
        f"<details{' open' if is_open else ''}><summary>{len(events):,} events, "
        f"{moment(first)} to {moment(last)}</summary>{''.join(_days(events))}</details>"
    )


def _days(events: Sequence[TimelineEvent]) -> Iterator[str]:
    for day, those in groupby(events, key=lambda event: day_of(event.at)):
        lines = "".join(map(_event, those))
        yield f'<h3>{day}</h3><ol class="timeline">{lines}</ol>'


def _event(event: TimelineEvent) -> str:
    machine = event.at.isoformat().replace("+00:00", "Z")
    return (
        f'<li class="{event.world.value.lower()}"><time datetime="{machine}">{clock_of(event.at)}'
        f"</time>{world_badge(event.world)}<b>{escaped(words(event.type))}</b>"
        f"<span>{escaped(event.detail)}{lateness(event.at, event.recorded_at)}</span></li>"
    )

"""How long the parts of a case took, recomputed from its entries, and the same over a book.

Nobody can type these numbers in. Beside them stands what would make them look better than they
are: how much was written afterwards, how often a case came back, how many were scoped down, and
how many seem graver than they were declared.

Times are those at which things happened (``at``). A number whose beginning or end nobody recorded
is ``None``, never 0.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any, Final

import attrs

from rml.clock import parse_utc
from rml.incident import kinds
from rml.incident.command.workdays import WEEKDAYS, WorkCalendar
from rml.incident.declaration import under_declared
from rml.ledger.entry import Entry

# Who writes a thing down within this has written it in the moment.
IN_THE_MOMENT: Final = timedelta(minutes=5)
# The steps between which the time of a case is divided.
_STEPS: Final = {
    kinds.OPENED: "detect",
    kinds.JOINED: "detect",
    kinds.DETECTED: "detect",
    kinds.CONTAINED: "contain",
    kinds.UNDERSTOOD: "understand",
    kinds.DECIDED: "decide",
    kinds.ACTED: "act",
    kinds.LEARNED: "learn",
}
PHASES: Final = tuple(dict.fromkeys(_STEPS.values()))
# The intervals of a case, as their fields are called.
INTERVALS: Final = ("mttd", "mtta", "mttm", "mttr", "mtti", "detection_gap", "escalation")
_PEOPLE: Final = frozenset({"person", "human_report", "cs_ticket"})


@attrs.frozen(kw_only=True)
class Writing:
    """How much of a case was written afterwards.

    Attributes:
        events: how many entries tell of what happened.
        late: how many of them were recorded more than ``IN_THE_MOMENT`` after it happened.
        worst: the longest time between the two.
    """

    events: int
    late: int
    worst: timedelta

    @property
    def share(self) -> float:
        """The part of all events that was written afterwards, from 0 to 1."""
        return self.late / self.events if self.events else 0.0


@attrs.frozen(kw_only=True)
class CaseMetrics:
    """The durations of one case; each is ``None`` while an end of it is not known.

    Attributes:
        phases: how long each step that was taken was the one at work, however often it was taken.
        mttd: from the start, as somebody found out, to the first sign.
        mtta: from the first sign to the first thing that a person recorded.
        mttm: from the first sign to the first containment.
        mttr: from the first sign to the last time that it was resolved.
        mtti: from the first sign to the root cause.
        detection_gap: from when a program knew to when a person did; negative if people were first.
        escalation: from the first sign to the ledger's record that opened the case.
        writing: how much was written afterwards.
        reopened: how often it came back after it was resolved or closed.
        downscoped: how often it was scoped down.
        under_declared: what suggests that it is graver than its severity says, a sentence each.
        changes: how many changes it led to.
        changes_done: how many of them are done.
        changes_late: how many were done after the day on which they were due.
        pages: how often a pager called each person.
        pages_off_hours: how many of these calls came when nobody is at work.
    """

    phases: Mapping[str, timedelta]
    mttd: timedelta | None
    mtta: timedelta | None
    mttm: timedelta | None
    mttr: timedelta | None
    mtti: timedelta | None
    detection_gap: timedelta | None
    escalation: timedelta
    writing: Writing
    reopened: int
    downscoped: int
    under_declared: tuple[str, ...]
    changes: int
    changes_done: int
    changes_late: int
    pages: Mapping[str, int]
    pages_off_hours: int

    def to_dict(self) -> dict[str, Any]:
        """Return the metrics as JSON data; durations are seconds."""
        return {
            **{name: _seconds(getattr(self, name)) for name in INTERVALS},
            "phases": {name: _seconds(value) for name, value in self.phases.items()},
            "events": self.writing.events,
            "late_share": round(self.writing.share, 4),
            "reopened": self.reopened,
            "downscoped": self.downscoped,
            "under_declared": list(self.under_declared),
            "changes": self.changes,
            "changes_done": self.changes_done,
            "changes_late": self.changes_late,
            "pages": dict(self.pages),
            "pages_off_hours": self.pages_off_hours,
        }


def metrics_of(entries: Sequence[Entry], calendar: WorkCalendar = WEEKDAYS) -> CaseMetrics:
    """Return the metrics of the case that these entries, in index order, tell of."""
    pages = [(name, entry.at) for entry in entries for name in _paged(entry)]
    signs = [entry for entry in entries if entry.kind in kinds.DETECTIONS]
    detected = min(entry.at for entry in signs)
    opened = next(entry for entry in entries if entry.kind == kinds.OPENED)
    people = [entry for entry in entries if _is_persons(entry)]
    programs = [entry.at for entry in signs if not _is_persons(entry)]
    known = min((entry.at for entry in people), default=None)
    contained = [entry.at for entry in entries if entry.kind == kinds.CONTAINED]
    causes = [entry.at for entry in entries if "root_cause" in _understood(entry)]
    return CaseMetrics(
        phases=phases_of(entries),
        mttd=_between(_started(entries), detected),
        mtta=_between(detected, known),
        mttm=_between(detected, min(contained, default=None)),
        mttr=_between(detected, resolved_since(entries)),
        mtti=_between(detected, min(causes, default=None)),
        detection_gap=_between(min(programs, default=None), known),
        escalation=opened.recorded_at - detected,
        writing=writing_of(entries),
        reopened=_reopened(entries),
        downscoped=sum(entry.kind == kinds.DOWNSCOPED for entry in entries),
        under_declared=under_declared(entries),
        changes=sum(
            len(entry.facts.get("changes", ())) for entry in entries if entry.kind == kinds.LEARNED
        ),
        changes_done=sum(entry.kind == kinds.CHANGE_DONE for entry in entries),
        changes_late=sum(_is_late_change(entry) for entry in entries),
        pages=dict(Counter(name for name, _ in pages)),
        pages_off_hours=sum(not calendar.is_worked_at(at) for _, at in pages),
    )


def writing_of(entries: Iterable[Entry]) -> Writing:
    """Return how much of what these entries tell was written afterwards."""
    lags = [entry.recorded_at - entry.at for entry in entries if entry.kind in kinds.TYPES]
    return Writing(
        events=len(lags),
        late=sum(lag > IN_THE_MOMENT for lag in lags),
        worst=max(lags, default=timedelta(0)),
    )


def phases_of(entries: Sequence[Entry]) -> dict[str, timedelta]:
    """Return how long each step was the one at work, until the case was closed or last told of."""
    steps = sorted(
        ((entry.at, _STEPS[entry.kind]) for entry in entries if entry.kind in _STEPS),
        key=lambda step: step[0],
    )
    ends = [entry.at for entry in entries if entry.kind == kinds.CLOSED] or [steps[-1][0]]
    spent: dict[str, timedelta] = {}
    for (begin, phase), (end, _) in zip(steps, [*steps[1:], (ends[-1], "")], strict=True):
        spent[phase] = spent.get(phase, timedelta(0)) + max(end - begin, timedelta(0))
    return {phase: spent[phase] for phase in PHASES if phase in spent}


def _is_persons(entry: Entry) -> bool:
    """Say whether a person told this, or a program; jobs that open a case have names, too."""
    if entry.kind not in kinds.TYPES:
        return False
    source = entry.facts.get("detected_by")
    told_by = source["type"] if isinstance(source, Mapping) else None
    return told_by in _PEOPLE or (entry.actor is not None and entry.kind not in kinds.SIGNALS)


def _is_late_change(entry: Entry) -> bool:
    """Say whether an entry tells that a change was done after the day, in UTC, of its date."""
    due = entry.facts.get("due") if entry.kind == kinds.CHANGE_DONE else None
    return due is not None and entry.at.date() > date.fromisoformat(due)


def _paged(entry: Entry) -> Sequence[str]:
    names: Sequence[str] = entry.facts.get("paged", ()) if entry.kind == kinds.TOLD else ()
    return names


def _understood(entry: Entry) -> Mapping[str, Any]:
    return entry.facts if entry.kind == kinds.UNDERSTOOD else {}


def _started(entries: Iterable[Entry]) -> datetime | None:
    """Return the start that was found out last."""
    told = [_understood(entry).get("started_at") for entry in entries]
    known = [parse_utc(text) for text in told if isinstance(text, str)]
    return known[-1] if known else None


def _moves(entries: Iterable[Entry]) -> Iterator[tuple[Entry, bool]]:
    """Yield whether a case is resolved after each entry that may change it."""
    for entry in entries:
        if entry.kind == kinds.CLOSED:
            yield entry, True
        elif entry.kind == kinds.STATUS:
            yield entry, entry.facts["to"] == "resolved"
        elif entry.kind in (*kinds.SIGNALS, kinds.REOPENED):
            yield entry, False


def resolved_since(entries: Iterable[Entry]) -> datetime | None:
    """Return since when a case has been resolved, if it is."""
    since: datetime | None = None
    for entry, resolved in _moves(entries):
        since = (since or entry.at) if resolved else None
    return since


def _reopened(entries: Iterable[Entry]) -> int:
    states = [resolved for _, resolved in _moves(entries)]
    return sum(before and not after for before, after in pairwise(states))


def _between(begin: datetime | None, end: datetime | None) -> timedelta | None:
    return None if begin is None or end is None else end - begin


def _seconds(value: timedelta | None) -> float | None:
    return None if value is None else value.total_seconds()


# ----------------------------------------------------------------------------- over a whole book


@attrs.frozen(kw_only=True)
class Spread:
    """How one interval is spread over cases.

    Attributes:
        known: for how many cases it is known.
        median: the middle one; of two, half-way between.
        p90: the smallest that nine in ten do not exceed.
    """

    known: int
    median: timedelta | None
    p90: timedelta | None


@attrs.frozen(kw_only=True)
class BookMetrics:
    """The durations of many cases, with what stands beside them so that they cannot be dressed up.

    Attributes:
        cases: how many cases there are.
        by_severity: how many of each severity; ``unknown`` where nobody has said.
        intervals: ``mttd``, ``mtta``, ``mttm``, ``mttr``, ``mtti``, ``detection_gap`` and
            ``escalation``.
        phases: the same for each of the six steps.
        reopen_rate: the share of the cases that were ever resolved which came back; ``None`` if
            none was.
        late_share: the share of all events that was written afterwards.
        downscoped: how many cases were scoped down.
        under_declared: how many cases seem graver than their severity says.
        changes: how many changes they led to.
        changes_done: how many of them are done.
        changes_late: how many were done after the day on which they were due.
        pages: how often a pager called each person.
        pages_off_hours: how many of these calls came when nobody is at work.
        repeated_lessons: lessons that more than one case taught, with how many.
    """

    cases: int
    by_severity: Mapping[str, int]
    intervals: Mapping[str, Spread]
    phases: Mapping[str, Spread]
    reopen_rate: float | None
    late_share: float
    downscoped: int
    under_declared: int
    changes: int
    changes_done: int
    changes_late: int
    pages: Mapping[str, int]
    pages_off_hours: int
    repeated_lessons: Mapping[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Return the metrics as JSON data; durations are seconds."""
        return {
            "cases": self.cases,
            "by_severity": dict(self.by_severity),
            "intervals": {name: _spread_dict(one) for name, one in self.intervals.items()},
            "phases": {name: _spread_dict(one) for name, one in self.phases.items()},
            "reopen_rate": self.reopen_rate,
            "late_share": round(self.late_share, 4),
            "downscoped": self.downscoped,
            "under_declared": self.under_declared,
            "changes": self.changes,
            "changes_done": self.changes_done,
            "changes_late": self.changes_late,
            "pages": dict(self.pages),
            "pages_off_hours": self.pages_off_hours,
            "repeated_lessons": dict(self.repeated_lessons),
        }


@attrs.frozen(kw_only=True)
class Measured:
    """One case of many: its metrics, its severity, and its lessons."""

    metrics: CaseMetrics
    severity: str | None
    lessons: Sequence[str]
    was_resolved: bool


def measured(
    entries: Sequence[Entry], severity: str | None, calendar: WorkCalendar = WEEKDAYS
) -> Measured:
    """Return what a book's metrics need of one case."""
    lessons = {
        " ".join(lesson.casefold().split())
        for entry in entries
        if entry.kind == kinds.LEARNED
        for name in ("technical", "process", "governance")
        for lesson in entry.facts.get(name, ())
        if not lesson.casefold().startswith("none")
    }
    return Measured(
        metrics=metrics_of(entries, calendar),
        severity=severity,
        lessons=sorted(lessons),
        was_resolved=any(resolved for _, resolved in _moves(entries)),
    )


def over(cases: Iterable[Measured]) -> BookMetrics:
    """Return the metrics of many cases."""
    found = list(cases)
    each = [one.metrics for one in found]
    resolved = [one for one in found if one.was_resolved]
    events = sum(one.writing.events for one in each)
    lessons = Counter(lesson for one in found for lesson in one.lessons)
    return BookMetrics(
        cases=len(found),
        by_severity=dict(sorted(Counter(one.severity or "unknown" for one in found).items())),
        intervals={name: spread(getattr(one, name) for one in each) for name in INTERVALS},
        phases={name: spread(one.phases.get(name) for one in each) for name in PHASES},
        reopen_rate=(
            sum(one.metrics.reopened > 0 for one in resolved) / len(resolved) if resolved else None
        ),
        late_share=sum(one.writing.late for one in each) / events if events else 0.0,
        downscoped=sum(one.downscoped > 0 for one in each),
        under_declared=sum(bool(one.under_declared) for one in each),
        changes=sum(one.changes for one in each),
        changes_done=sum(one.changes_done for one in each),
        changes_late=sum(one.changes_late for one in each),
        pages=dict(sum((Counter(one.pages) for one in each), Counter())),
        pages_off_hours=sum(one.pages_off_hours for one in each),
        repeated_lessons={text: n for text, n in sorted(lessons.items()) if n > 1},
    )


def spread(values: Iterable[timedelta | None]) -> Spread:
    """Return median and 90th percentile (nearest rank) of the values that are known."""
    known = sorted(value for value in values if value is not None)
    if not known:
        return Spread(known=0, median=None, p90=None)
    middle = statistics.median([value / timedelta(microseconds=1) for value in known])
    return Spread(
        known=len(known),
        median=timedelta(microseconds=middle),
        p90=known[math.ceil(0.9 * len(known)) - 1],
    )


def _spread_dict(one: Spread) -> dict[str, Any]:
    return {"known": one.known, "median": _seconds(one.median), "p90": _seconds(one.p90)}

"""What a reviewer of a case should see: rules that were passed, and what came late or never.

Pure, and computed from the entries, so nobody can leave it out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

import attrs

from rml.incident import kinds
from rml.incident.command.communication import LEADERSHIP, RESPONSE, first_told
from rml.incident.command.role import hats_of
from rml.incident.projection import Projection
from rml.incident.severity import Sev
from rml.incident.step import undecided_roles
from rml.ledger.entry import Entry
from rml.world import World


@attrs.frozen(kw_only=True)
class Remark:
    """Something about a case that a reviewer should see.

    Attributes:
        name: ``act-without-decision``, ``diagnosed-before-contained``, ``late-response``,
            ``late-notice``, ``surprise``, ``no-runbook`` (for a symptom), ``override``,
            ``downscope``, ``not-corrected`` (who heard of more has not heard of less),
            ``narrowed`` (less was said to be history than before), ``hero``
            (the commander leads a workstream, too) or ``read-back`` (an order was understood
            otherwise).
        text: what, in one sentence.
        entry: the entry that it is about, where there is one.
    """

    name: str
    text: str
    entry: str | None = None


def remarks_of(read: Projection) -> Iterator[Remark]:
    """Yield what there is to remark, by kind."""
    yield from _undecided_acts(read.entries)
    yield from _order_of_steps(read.entries)
    yield from _response(read)
    yield from _notices(read)
    yield from _surprise(read.entries)
    yield from _passed(read)
    yield from _downscopes(read)
    for entry in read.of(kinds.UNDERSTOOD):
        if spared := entry.facts.get("unharmed"):
            why = entry.facts.get("evidence", entry.facts["detail"])
            text = f"{entry.actor} took {len(spared):,} out of what was found to be harm: {why}"
            yield Remark(name="narrowed", text=text, entry=entry.id)
    for narrowing in read.narrowings:
        yield Remark(name="narrowed", text=str(narrowing), entry=narrowing.entry.id)
    yield from _heroes(read)
    for entry in read.entries:
        if entry.kind == kinds.TRIAGED and "runbook" not in entry.facts:
            text = f"no runbook is for the symptom {entry.facts['symptom']}"
            yield Remark(name="no-runbook", text=text, entry=entry.id)
    for order in read.orders:
        if order.matches is False:
            text = f"order {order.detail!r} was read back as {order.read_back!r}"
            yield Remark(name="read-back", text=text, entry=order.entry)


def _undecided_acts(entries: Sequence[Entry]) -> Iterator[Remark]:
    """Yield acts that became history before legal, business and sre had decided anything."""
    decided = False
    for entry in entries:
        if entry.kind == kinds.DECIDED:
            decided = decided or not undecided_roles(entry.facts)
        elif entry.kind == kinds.ACTED and entry.world is World.RML3 and not decided:
            text = f"{entry.facts['type']} by {entry.actor} became history without a decision"
            yield Remark(name="act-without-decision", text=text, entry=entry.id)


def _order_of_steps(entries: Sequence[Entry]) -> Iterator[Remark]:
    first = next((e for e in entries if e.kind in (kinds.CONTAINED, kinds.UNDERSTOOD)), None)
    if first is not None and first.kind == kinds.UNDERSTOOD:
        text = "it was diagnosed before it was contained, or said to need no containing"
        yield Remark(name="diagnosed-before-contained", text=text, entry=first.id)


def _response(read: Projection) -> Iterator[Remark]:
    severity, took = read.file.classification.severity, read.metrics.mtta
    limit = RESPONSE.get(severity) if isinstance(severity, Sev) else None
    if limit is not None and took is not None and took > max(limit, timedelta(minutes=1)):
        text = f"the first person answered after {_minutes(took)}; {severity} allows "
        yield Remark(name="late-response", text=text + _minutes(limit))


def _notices(read: Projection) -> Iterator[Remark]:
    late = [one for one in read.schedule(read.entries[-1].recorded_at) if one.late is not None]
    for notice in late:
        if notice.told_at is not None and notice.late is not None:
            text = f"{notice.audience} heard {_minutes(notice.late)} late"
            yield Remark(name="late-notice", text=text)
    waiting = ", ".join(notice.audience for notice in late if notice.is_open)
    if waiting:
        yield Remark(name="late-notice", text=f"nobody is recorded to have told {waiting}")


def _surprise(entries: Sequence[Entry]) -> Iterator[Remark]:
    """Yield that leadership heard of it first from somebody else than the commander."""
    told = first_told(entries).get(LEADERSHIP)
    if told is None:
        return
    before = [entry for entry in entries if (entry.index or 0) <= (told.index or 0)]
    if hats_of(before).commander != told.actor:
        text = f"leadership heard of it first from {told.actor}, who was not commander"
        yield Remark(name="surprise", text=text, entry=told.id)


def _passed(read: Projection) -> Iterator[Remark]:
    for entry in read.overrides:
        rules = ", ".join(entry.facts["rules"])
        text = f"{entry.actor} passed {rules}: {entry.facts['reason']}"
        yield Remark(name="override", text=text, entry=entry.id)


def _downscopes(read: Projection) -> Iterator[Remark]:
    for entry in read.downscopes:
        facts = entry.facts
        text = f"{entry.actor} scoped it down from {facts['from']} to {facts['to']}"
        yield Remark(name="downscope", text=f"{text}: {facts['reason']}", entry=entry.id)
        later = first_told(read.entries[read.entries.index(entry) + 1 :])
        unheard = [one for one in facts.get("told", ()) if one not in later]
        if unheard and facts["from"] != "gray":
            text = f"{', '.join(unheard)} had heard of more, and have not been told since"
            yield Remark(name="not-corrected", text=text, entry=entry.id)


def _heroes(read: Projection) -> Iterator[Remark]:
    """Yield the workstreams whose lead was commander when they were opened, or is now."""
    for i, entry in enumerate(read.entries):
        if entry.kind != kinds.WORKSTREAM:
            continue
        lead = entry.facts["lead"]
        if lead in {read.hats.commander, hats_of(read.entries[:i]).commander}:
            text = f"{lead} commands, and leads the workstream {entry.facts['detail']!r}, too"
            yield Remark(name="hero", text=text, entry=entry.id)


def _minutes(span: timedelta) -> str:
    return f"{span / timedelta(minutes=1):.3g} min"

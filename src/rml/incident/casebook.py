"""The casebook: every incident of a ledger as a case."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import attrs

from rml.config import current_ledger
from rml.error import InvalidInputError
from rml.incident import kinds, metrics, registry, step
from rml.incident.case import Case
from rml.incident.command.postmortem import postmortem_due
from rml.incident.command.workdays import WorkCalendar, calendar_of_environment
from rml.incident.metrics import BookMetrics, Measured
from rml.incident.pages import standing
from rml.incident.pages.casefile import CaseStatus
from rml.incident.projection import Projection
from rml.incident.reading import read_case, unknown_incident
from rml.incident.recording import Kept, Reader
from rml.incident.trail import Trail, trail_of
from rml.ledger.argument import flag
from rml.ledger.draft import Receipt
from rml.ledger.ledger import Ledger
from rml.ledger.queries.rows import Rows
from rml.tag import shown
from rml.world import World

# Of how many cases a book remembers what it has read, so that the next look reads only the rest.
CASES_KEPT_MAX: Final = 8
# What a prompt shows of a long book.
CASES_SHOWN_MAX: Final = 10


class Casebook:
    """Every case of a ledger; ``rml.escalate`` and ``rml.suspect`` open one.

    ``book["INC-2026-0001"]`` is one, ``book.cases(open=True)`` are some, iterating gives all.

    Args:
        ledger: the ledger, if not the configured one.
        calendar: the days on which people work, by which postmortems are due; if not given, Monday
            to Friday, without the days that ``RML_HOLIDAYS`` names.
        reader: who reads private cases through it; see :meth:`as_reader`.

    Raises:
        InvalidInputError: one is of another type, or ``RML_HOLIDAYS`` names no days.
        NoLedgerError: no ledger is configured.
    """

    def __init__(
        self,
        ledger: Ledger | None = None,
        *,
        calendar: WorkCalendar | None = None,
        reader: Reader | None = None,
    ) -> None:
        given: object = ledger  # whatever its annotation says
        if given is not None and not isinstance(given, Ledger):
            message = f"a casebook reads an rml.Ledger, not {type(given).__name__}; open it first"
            raise InvalidInputError(message)
        days: object = calendar
        if days is not None and not isinstance(days, WorkCalendar):
            message = f"calendar must be a WorkCalendar, not {type(days).__name__}"
            raise InvalidInputError(message)
        self.ledger: Ledger = current_ledger(ledger)
        self.calendar: WorkCalendar = calendar_of_environment() if calendar is None else calendar
        self._reader = reader
        self._kept = lru_cache(maxsize=CASES_KEPT_MAX)(lambda _: Kept())

    def as_reader(self, name: str, *, reason: str) -> Casebook:
        """Return this book for somebody who reads private cases, too; each reading is recorded.

        That is one entry for each private case that the new book shows, before it is shown first.

        Args:
            name: who reads.
            reason: what for.
        """
        reader = Reader(step.named("name", name), step.said("reason", reason))
        return Casebook(self.ledger, calendar=self.calendar, reader=reader)

    def _case(self, incident: str | None) -> Case:
        kept = self._kept(incident)
        return Case(self.ledger, incident or "", self.calendar, kept, self._reader)

    def standings(self) -> Iterator[Projection]:
        """Yield where each case stands, private ones among them, for what counts over all.

        Nobody is recorded as a reader by that; do not show what stands in a private one.
        """
        for entry in self.ledger.entries(kind=kinds.OPENED):
            yield self._standing(entry.incident)

    def _standing(self, incident: str | None) -> Projection:
        return read_case(self.ledger, incident or "", self._kept(incident))

    def __getitem__(self, incident: str) -> Case:
        """Return the case of an incident.

        Raises:
            UnknownIdError: there is no such incident in this ledger.
        """
        if incident in self:
            return self._case(incident)
        raise unknown_incident(self.ledger, incident)

    def __contains__(self, incident: object) -> bool:
        if not isinstance(incident, str):
            return False
        try:
            opened = self.ledger.entries(kind=kinds.OPENED, incident=incident, limit=1)
        except InvalidInputError:  # no text that an entry could hold
            return False
        return bool(opened)

    def __iter__(self) -> Iterator[Case]:
        for entry in self.ledger.entries(kind=kinds.OPENED):
            yield self._case(entry.incident)

    def __len__(self) -> int:
        return len(self.ledger.entries(kind=kinds.OPENED))

    def cases(
        self,
        *,
        status: CaseStatus | str | None = None,
        open: bool | None = None,  # noqa: A002 - the word that people look for
        private: bool | None = None,
    ) -> Rows[Case]:
        """Return cases in the order in which they were opened.

        Args:
            status: only cases of this status.
            open: ``True`` for cases that are not closed, ``False`` for those that are.
            private: ``True`` for cases that are private, ``False`` for those that are not.

        Raises:
            InvalidInputError: there is no such status, or an answer is neither yes nor no.
        """
        wanted = None if status is None else step.status("status", status)
        for name, said in (("open", open), ("private", private)):
            if said is not None:
                flag(name, said)

        def ask() -> Iterator[Case]:
            for case in self:
                read = self._standing(case.id)
                is_open = read.closed is None
                if private not in (None, read.is_private):
                    continue
                if wanted in (None, read.file.status) and open in (None, is_open):
                    yield case

        everything = all(one is None for one in (wanted, open, private))
        return Rows(ask, self._row, (lambda: len(self)) if everything else None)

    def metrics(
        self, *, since: datetime | None = None, until: datetime | None = None
    ) -> BookMetrics:
        """Return how long the cases took, recomputed from their entries.

        Median and 90th percentile stand beside what could make them look better than they are: how
        many cases came back, and how much was written afterwards.

        Args:
            since: only cases that were opened then or later.
            until: only cases that were opened before.

        Raises:
            InvalidInputError: a time has no timezone.
        """
        opened = self.ledger.entries(kind=kinds.OPENED, since=since, until=until)
        return metrics.over(self._measured(self._standing(entry.incident)) for entry in opened)

    def _measured(self, read: Projection) -> Measured:
        """Return what a case adds to the metrics; the lessons of a private one are not told."""
        found = metrics.measured(read.entries, severity_of(read), self.calendar)
        return attrs.evolve(found, lessons=()) if read.is_private else found

    def known_good(self, artifact: str, *, by: str) -> Receipt:
        """Register what a service can be rolled back to; the one registered last is meant.

        Args:
            artifact: its name and version, or digest.
            by: who, or what, has seen it run well.
        """
        return self._register(
            registry.KNOWN_GOOD, {"artifact": step.named("artifact", artifact)}, by
        )

    def migration(self, name: str, *, reversible: bool, by: str) -> Receipt:
        """Register a migration of data, and whether it was authored so that it can be reversed.

        Raises:
            InvalidInputError: ``reversible`` is neither ``True`` nor ``False``.
        """
        given: object = reversible  # whatever its annotation says
        if not isinstance(given, bool):
            raise InvalidInputError(f"reversible is {shown(given)}; say True or False")
        facts = {"migration": step.named("name", name), "reversible": given}
        return self._register(registry.MIGRATION, facts, by)

    def runbook(
        self,
        symptom: str,
        link: str,
        *,
        pull: Sequence[str],
        skip: Mapping[str, str] | None = None,
        by: str,
    ) -> Receipt:
        """Register the runbook for a symptom; :meth:`Case.triage` finds it by that.

        Args:
            symptom: its name, such as ``model_provider_outage``.
            link: where the runbook is: a path or link.
            pull: the levers that it pulls, in their order.
            skip: the levers that it leaves out, each with the reason, which passes the rule that
                gentler levers come first.
            by: who has written it, or tried it.

        Raises:
            InvalidInputError: a lever is not known, or is to be pulled and skipped; or a gentler
                one than the last that is pulled is neither.
        """
        return self._register(
            registry.RUNBOOK, registry.runbook_facts(symptom, link, pull, skip), by
        )

    def _register(self, kind: str, facts: dict[str, Any], by: str) -> Receipt:
        actor = step.named("by", by)
        return self.ledger.write(
            lambda draft: draft.record(kind, world=World.RML2, facts=facts, actor=actor)
        )

    def trail(self, correlation: str) -> Trail:
        """Return what one request left behind: its effects, errors and incidents.

        Raises:
            InvalidInputError: no correlation id can be like this.
        """
        return trail_of(self.ledger, step.named("correlation", correlation))

    def linked(self, to: str) -> Rows[Case]:
        """Return the cases that were linked to an incident, a commit or a page."""
        wanted = step.named("to", to)

        def ask() -> Iterator[Case]:
            links = self.ledger.entries(kind=kinds.LINKED)
            ids = dict.fromkeys(e.incident for e in links if e.facts["to"] == wanted)
            return map(self._case, ids)

        return Rows(ask, self._row)

    def _row(self, case: Case) -> dict[str, Any]:
        """Return a case as a flat row for tables; the title of a private one is not among it."""
        read = self._standing(case.id)
        owed = postmortem_due(read.entries, self.calendar, self.ledger.clock.now())
        return {
            "id": case.id,
            "title": None if read.is_private else read.file.title,
            "status": read.file.status.value,
            "open": read.closed is None,
            "phase": read.phase.value,
            "world": read.file.rml_world.value,
            "severity": severity_of(read),
            "opened_at": read.opened_at,
            "count": read.count,
            "postmortem_due": None if owed is None else owed.due,
            "postmortem_overdue": owed is not None and owed.overdue,
        }

    def __repr__(self) -> str:
        count = len(self)
        newest = self.ledger.entries(kind=kinds.OPENED, newest_first=True, limit=CASES_SHOWN_MAX)
        cases = "1 case" if count == 1 else f"{count} cases"
        lines = [f"Casebook of {self.ledger.origin}: {cases}"]
        for entry in newest:
            read = self._standing(entry.incident)
            state = "closed" if read.closed is not None else f"{read.file.status}, {read.phase}"
            title = (
                f"{read.file.incident_id} private" if read.is_private else standing.heading(read)
            )
            lines.append(f"  {title} ({state})")
        if count > CASES_SHOWN_MAX:
            lines.append(f"  ... and {count - CASES_SHOWN_MAX} older")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Return a table of the cases that are not private, for notebooks."""
        return self.cases(private=False)._repr_html_()


def severity_of(read: Projection) -> str | None:
    """Return the severity of a case as text, if somebody has said it."""
    severity = read.file.classification.severity
    return None if severity is None else str(severity)

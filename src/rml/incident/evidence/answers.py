"""What a case answers: where it stands, what happened, what is missing, how long it took."""

from __future__ import annotations

import html
from collections.abc import Iterator
from datetime import datetime

import attrs

from rml.effect.state import Effect
from rml.error import RmlError
from rml.incident import reading
from rml.incident.child import ChildCase
from rml.incident.command.postmortem import PostmortemDue, postmortem_due
from rml.incident.lifecycle import stage_of
from rml.incident.metrics import CaseMetrics, metrics_of
from rml.incident.pages import standing
from rml.incident.pages.casefile import (
    CaseFile,
    CaseStatus,
    CommunicationAction,
    DecisionEntry,
    TechnicalAction,
    TimelineEvent,
)
from rml.incident.pages.page import page as page_of
from rml.incident.private import CaseReading, PrivateCaseError
from rml.incident.projection import Phase, Projection
from rml.incident.remark import Remark, remarks_of
from rml.ledger.entry import Entry
from rml.ledger.queries.rows import Rows
from rml.world import World


@attrs.frozen(repr=False)
class CaseAnswers(CaseReading):
    """What a case is asked; each answer comes from the ledger as it is now."""

    @property
    def file(self) -> CaseFile:
        """The case on one page, with the state of the ledger that it was generated from."""
        return self.read().file

    def to_yaml(self) -> str:
        """Return the page as YAML; :meth:`rml.CaseFile.from_yaml` reads it back."""
        return self.file.to_yaml()

    def to_html(self, *, verify: bool = False) -> str:
        """Return the case as one page of HTML, which needs nothing else to be looked at.

        Args:
            verify: whether the ledger is verified for it, and the page says what that found.
        """
        read = self.read()
        found = self._ledger.verify() if verify else None
        return page_of(
            read,
            self._missing(read),
            self._ledger.clock.now(),
            verification=found,
            children=reading.children(self._ledger, read),
            containment=reading.containment(self._ledger, read),
        )

    @property
    def title(self) -> str:
        """What happened, in the words of the first signal."""
        return self.file.title

    @property
    def status(self) -> CaseStatus:
        """Ongoing, monitoring or resolved; a new signal makes it ongoing again."""
        return self.file.status

    @property
    def phase(self) -> Phase:
        """The furthest step taken."""
        return self.read().phase

    @property
    def world(self) -> World:
        """The world that it has reached, as far as it has not been scoped down."""
        return self.file.rml_world

    @property
    def opened_at(self) -> datetime:
        """When the ledger recorded its first signal."""
        return self.read().opened_at

    @property
    def count(self) -> int:
        """How many signals it has gathered."""
        return self.read().count

    @property
    def timeline(self) -> list[TimelineEvent]:
        """What happened, in the order in which it happened."""
        return list(self.file.timeline)

    @property
    def decisions(self) -> list[DecisionEntry]:
        """Every decision in the order of recording, amended ones among them."""
        return list(self.file.decisions.entries)

    @property
    def actions(self) -> list[TechnicalAction | CommunicationAction]:
        """What was done: to systems and money first, then in words."""
        actions = self.file.actions
        return [*actions.technical, *actions.communication]

    @property
    def entries(self) -> Rows[Entry]:
        """Every ledger entry that belongs to it."""
        self._enter()
        return self._ledger.entries(incident=self.id)

    @property
    def effects(self) -> Rows[Effect]:
        """The effects that it is about, then those by which actions corrected it."""

        def ask() -> Iterator[Effect]:
            for effect_id in self.read().effects:
                effect = self._ledger.look(effect_id)
                if effect is not None:
                    yield effect

        return Rows(ask, Effect.to_dict)

    def missing(self) -> list[str]:
        """Return what bars closing it, one sentence each; of a closed case, what is overdue."""
        return self._missing(self.read())

    def _missing(self, read: Projection) -> list[str]:
        return reading.missing(self._ledger, read, self._owed(read))

    @property
    def postmortem_due(self) -> PostmortemDue | None:
        """By when its postmortem is due, if it is resolved and none was held since."""
        return self._owed(self.read())

    def _owed(self, read: Projection) -> PostmortemDue | None:
        return postmortem_due(read.entries, self._calendar, self._ledger.clock.now())

    def stage(self, scheme: str) -> str:
        """Return how far it is in the words of another scheme.

        Args:
            scheme: ``command`` (the seven stages of incident command), ``itil``, ``sre``, ``nist``.

        Raises:
            InvalidInputError: there is no such scheme.
        """
        return stage_of(self.read(), scheme)

    @property
    def commander(self) -> str | None:
        """Who leads, if anybody has taken command."""
        return self.read().hats.commander

    @property
    def children(self) -> tuple[ChildCase, ...]:
        """The cases that were linked as ``part_of`` this one: where they stand, who leads each."""
        return reading.children(self._ledger, self.read())

    @property
    def remarks(self) -> list[Remark]:
        """What was passed, skipped or came late, which a reviewer should see."""
        return list(remarks_of(self.read()))

    @property
    def metrics(self) -> CaseMetrics:
        """How long its parts took, recomputed from the entries."""
        return metrics_of(self.read().entries, self._calendar)

    def __repr__(self) -> str:
        try:
            read = self.read()
            now, owed = self._ledger.clock.now(), self._owed(read)
            children = reading.children(self._ledger, read)
            found = reading.containment(self._ledger, read) if read.closed is None else None
            stopped = str(found) if found is not None and found.stopped else ""
            missing = self._missing(read)
            return standing.as_text(read, missing, now, owed, children, containment=stopped)
        except PrivateCaseError as error:
            return error.message
        except RmlError as error:  # a prompt shows why it cannot show the case
            return f"{self.id} cannot be read: {error.message}"

    def _repr_html_(self) -> str:
        """Return the page for notebooks, in a frame: neither touches the other's style."""
        try:
            return standing.framed(self.to_html())
        except RmlError as error:
            return f"<p>{html.escape(f'{self.id} cannot be read: {error.message}')}</p>"

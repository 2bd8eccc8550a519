"""A case: one incident, and the six steps by which people lead it to its end.

A case holds nothing of its own. What it shows is projected from the ledger's entries each time it
is asked (:mod:`rml.incident.projection`), and each step appends one entry:
:mod:`rml.incident.step` checks its arguments, :mod:`rml.incident.rule` what it depends on.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs

from rml.effect.state import Effect
from rml.error import RmlError
from rml.incident import projection, reading, rule, standing, step
from rml.incident.casefile import (
    CaseFile,
    CaseStatus,
    CommunicationAction,
    DecisionEntry,
    TechnicalAction,
    TimelineEvent,
)
from rml.incident.projection import Phase, Projection
from rml.incident.severity import Sev
from rml.ledger.draft import Draft, Receipt, as_world
from rml.ledger.entry import Entry
from rml.ledger.ledger import Ledger
from rml.ledger.queries.rows import Rows
from rml.world import World


@attrs.frozen(repr=False)
class Case:
    """One incident, from its first signal to the day it is closed; ``Casebook`` gives it.

    Every attribute is read from the ledger when it is asked for. Every step records one entry and
    returns its receipt. Steps may be taken again and out of order; what is recorded stands.

    All steps raise :class:`~rml.InvalidInputError` for a value that is missing or cannot be
    recorded, and :class:`~rml.CaseClosedError` when the case is closed. Then nothing is recorded.

    Attributes:
        id: such as ``INC-2026-0001``.
    """

    _ledger: Ledger
    id: str

    # -------------------------------------------------------------------------- what there is

    def read(self) -> Projection:
        """Return everything that the ledger tells of this case, from one state of the ledger."""
        return reading.read_case(self._ledger, self.id)

    @property
    def file(self) -> CaseFile:
        """The case on one page, with the state of the ledger that it was generated from."""
        return self.read().file

    def to_yaml(self) -> str:
        """Return the page as YAML; :meth:`rml.CaseFile.from_yaml` reads it back."""
        return self.file.to_yaml()

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
        """Return what bars closing it, one sentence each; nothing for a closed case."""
        return reading.missing(self._ledger, self.read())

    def __repr__(self) -> str:
        try:
            read = self.read()
            return standing.as_text(read, reading.missing(self._ledger, read))
        except RmlError as error:  # a prompt shows why it cannot show the case
            return f"{self.id} cannot be read: {error.message}"

    def _repr_html_(self) -> str:
        """Return the same for notebooks, with the timeline; every value is escaped."""
        try:
            read = self.read()
            return standing.as_html(read, reading.missing(self._ledger, read))
        except RmlError as error:
            return f"<p>{html.escape(f'{self.id} cannot be read: {error.message}')}</p>"

    # -------------------------------------------------------------------------- the six steps

    def detect(
        self,
        detail: str,
        *,
        by: str | None = None,
        detected_by: Mapping[str, str] | None = None,
        world: World | str = World.RML2,
        at: datetime | None = None,
    ) -> Receipt:
        """Record another sign of the problem.

        Args:
            detail: what was noticed.
            by: who says so.
            detected_by: what noticed it, such as ``{"type": "cs_ticket", "id": "CS-1234"}`` or
                ``{"type": "alert", "source": "payments.rml3_error_rate"}``.
            world: where it was noticed.
            at: when it was noticed, if not now.
        """
        facts = step.detected(detail, detected_by)
        actor = None if by is None else step.named("by", by)
        return self._record(projection.DETECTED, facts, world, actor, at=at)

    def contain(
        self,
        detail: str,
        *,
        by: str,
        lever: str,
        world: World | str = World.RML2,
        at: datetime | None = None,
    ) -> Receipt:
        """Record what was done so that no more damage becomes history.

        Args:
            detail: what was done.
            by: who did it.
            lever: what was pulled, such as ``flag_off``.
            world: the world that it updates.
            at: when it was done, if not now.
        """
        facts = step.contained(detail, lever)
        return self._record(projection.CONTAINED, facts, world, step.named("by", by), at=at)

    def understand(
        self,
        detail: str,
        *,
        by: str,
        severity: Sev | str | None = None,
        asset: Sequence[str] = (),
        users: int | None = None,
        transactions: int | None = None,
        users_estimate: int | None = None,
        transactions_estimate: int | None = None,
        query: str | None = None,
        world: World | str = World.RML3,
        at: datetime | None = None,
    ) -> Receipt:
        """Record what happened and how much of it is history; what is not known is left out.

        Args:
            detail: what happened.
            by: who found out.
            severity: how bad it is, such as ``SEV-1``.
            asset: what it touches, such as ``money``.
            users: how many users are affected, counted.
            transactions: how many transactions are affected, counted.
            users_estimate: how many users are affected, estimated.
            transactions_estimate: how many transactions are affected, estimated.
            query: how it was counted, so that it can be counted again.
            world: the world that was found to be affected.
            at: when it was found out, if not now.
        """
        counts = {
            "users": users,
            "transactions": transactions,
            "users_estimate": users_estimate,
            "transactions_estimate": transactions_estimate,
        }
        facts = step.understood(detail, severity, asset, query, counts)
        return self._record(projection.UNDERSTOOD, facts, world, step.named("by", by), at=at)

    def decide(
        self,
        summary: str,
        *,
        decided_by: Mapping[str, str],
        absent: Mapping[str, str] | None = None,
        amends: str | None = None,
        by: str | None = None,
        world: World | str = World.RML3,
        at: datetime | None = None,
    ) -> Receipt:
        """Record a decision and who took it; about history decide legal, business and sre.

        Args:
            summary: what was decided.
            decided_by: who decided: ``{"legal": "...", "business": "...", "sre": "..."}``.
            absent: why a role did not decide: ``{"legal": "on a flight until nine"}``.
            amends: the id of the entry of the decision that this one replaces.
            by: who wrote it down.
            world: the world that the decision is about.
            at: when it was taken, if not now.

        Raises:
            UnknownIdError: ``amends`` names no decision of this case.
            StepRefusedError: a role neither decided nor is excused, or the decision to amend has
                been amended already.
        """
        facts = step.decided(summary, decided_by, absent)
        reached = as_world(world)
        actor = None if by is None else step.named("by", by)

        def check(draft: Draft) -> None:
            rule.check_decision(draft, self.id, facts, reached, amends)

        return self._record(
            projection.DECIDED, facts, world, actor, at=at, check=check, corrects=amends
        )

    def act(
        self,
        type: str,  # noqa: A002 - the case file's word
        *,
        by: str,
        world: World | str = World.RML3,
        count: int | None = None,
        detail: str | None = None,
        template_id: str | None = None,
        channel: str | None = None,
        corrections: Sequence[str] = (),
        at: datetime | None = None,
    ) -> Receipt:
        """Record what was done about it: communication if it has a template or a channel.

        Args:
            type: the kind of action, such as ``refund`` or ``user_email``.
            by: who did it.
            world: the world that it updates.
            count: how many; if not given, as many as there are corrections.
            detail: what was done.
            template_id: the template of what was sent.
            channel: where it was said.
            corrections: ids of the effects or entries that it added to history: the refunds.
            at: when it was done, if not now.

        Raises:
            UnknownIdError: a correction is not in this ledger.
        """
        words = {"template_id": template_id, "channel": channel}
        facts = step.acted(type, count, detail, words, corrections)

        def check(draft: Draft) -> None:
            rule.check_known(draft, facts.get("corrections", ()))

        return self._record(
            projection.ACTED, facts, world, step.named("by", by), at=at, check=check
        )

    def learn(
        self,
        *,
        by: str,
        technical: Sequence[str] = (),
        process: Sequence[str] = (),
        governance: Sequence[str] = (),
        at: datetime | None = None,
    ) -> Receipt:
        """Record lessons; a list that has none gets ``none - `` and the reason.

        Args:
            by: who writes them down.
            technical: what changes in design, monitoring or tests.
            process: what changes in how people work together.
            governance: what changes in terms, rules or ownership.
            at: when they were learned, if not now.
        """
        facts = step.learned(technical=technical, process=process, governance=governance)
        return self._record(projection.LEARNED, facts, World.RML2, step.named("by", by), at=at)

    # -------------------------------------------------------------- what moves the case itself

    def move(self, to: CaseStatus | str, *, by: str, reason: str) -> Receipt:
        """Change the status, as far as :func:`rml.incident.casefile.can_move` allows.

        Raises:
            StepRefusedError: the status does not lead there.
        """
        wanted, actor, why = (
            step.status("to", to),
            step.named("by", by),
            step.said("reason", reason),
        )
        return self._ledger.write(lambda draft: rule.move(draft, self.id, wanted, actor, why))

    def downscope(self, to: World | str, *, by: str, reason: str) -> Receipt:
        """Record that it reached less far than was feared. What was recorded before stays.

        Raises:
            StepRefusedError: ``to`` is not narrower; only a new signal widens a case.
        """
        wanted, actor, why = as_world(to), step.named("by", by), step.said("reason", reason)
        return self._ledger.write(lambda draft: rule.downscope(draft, self.id, wanted, actor, why))

    def close(self, *, by: str) -> Receipt:
        """Close the case, which resolves it.

        Raises:
            StepRefusedError: something is missing; ``error.details["missing"]`` names all of it.
        """
        actor = step.named("by", by)
        return self._ledger.write(lambda draft: rule.close(draft, self.id, actor))

    def _record(
        self,
        kind: str,
        facts: Mapping[str, Any],
        world: World | str,
        actor: str | None,
        *,
        at: datetime | None,
        corrects: str | None = None,
        check: Callable[[Draft], None] = lambda _: None,
    ) -> Receipt:
        """Append one entry if the case is open and ``check`` raises nothing, in one commit."""

        def work(draft: Draft) -> Receipt:
            rule.check_open(draft, self.id)
            check(draft)
            return draft.append(
                kind,
                world=world,
                facts=facts,
                at=at,
                actor=actor,
                corrects=corrects,
                incident=self.id,
            )

        return self._ledger.write(work)

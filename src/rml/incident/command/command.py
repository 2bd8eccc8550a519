"""How an incident is led: roles, orders, updates, the board, and what hangs together with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from rml.error import InvalidInputError
from rml.incident import kinds, registry, rule, step
from rml.incident.child import PART_OF, is_within
from rml.incident.command import leading, role_rule
from rml.incident.command.order import Board, orders_of
from rml.incident.command.role import Role, Work
from rml.incident.gate import Barrier
from rml.incident.recording import CaseRecording
from rml.incident.rule import Look
from rml.ledger.draft import Draft, Receipt
from rml.ledger.entry import Entry
from rml.ledger.errors import UnknownIdError
from rml.tag import shown
from rml.world import World

# What reaches people outside.
_OUTSIDE = frozenset({"affected_clients", "status_page"})


class CaseCommand(CaseRecording):
    """What leads a case, beside its six steps."""

    def take(self, role: Role | str, *, by: str, override: str | None = None) -> Receipt:
        """Put on a hat; the first commander takes command so.

        Args:
            role: ``commander``, ``communicator``, ``investigator``, ``ops_lead``, ``scribe``,
                ``support_lead`` or ``exec_sponsor``.
            by: who takes it.
            override: why command is taken from a commander who does not hand it over.

        Raises:
            StepRefusedError: there is a commander already, or they wear it already.
        """
        hat, name = Role(role), step.named("by", by)
        return self._record(
            kinds.ROLE_TAKEN,
            {"role": hat.value},
            by=name,
            override=override,
            bars=lambda look: role_rule.check_role(look, hat, name),
        )

    def leave(self, role: Role | str, *, by: str) -> Receipt:
        """Take off a hat; a commander hands over instead.

        Raises:
            StepRefusedError: they do not wear it, or it is command.
        """
        hat, name = Role(role), step.named("by", by)
        return self._record(
            kinds.ROLE_LEFT,
            {"role": hat.value},
            by=name,
            bars=lambda look: role_rule.check_leave(look, hat, name),
        )

    def hand_over(self, *, to: str, by: str, briefing: str) -> Receipt:
        """Offer command to somebody; it stays where it is until they accept.

        Args:
            to: who is to lead from then on.
            by: the commander.
            briefing: all that the next one needs to know.

        Raises:
            StepRefusedError: ``by`` is not commander.
        """
        name, other = step.named("by", by), step.named("to", to)
        return self._record(
            kinds.HANDOVER_OFFERED,
            {"to": other, "briefing": step.said("briefing", briefing)},
            by=name,
            bars=lambda look: role_rule.check_handover(look, other, name),
        )

    def accept(self, *, by: str) -> Receipt:
        """Accept the command that was offered; from here on ``by`` is commander.

        Raises:
            StepRefusedError: no handover is offered to them.
        """
        name = step.named("by", by)
        return self._record(
            kinds.HANDOVER_ACCEPTED,
            {},
            by=name,
            bars=lambda look: role_rule.check_acceptance(look, name),
        )

    def update(
        self,
        condition: str,
        *,
        action: str,
        need: str,
        to: Sequence[str] | str,
        by: str,
        next_minutes: int | None = None,
        hat: Role | str | None = None,
        at: datetime | None = None,
        override: str | None = None,
    ) -> Receipt:
        """Record an update: condition, action, need; "none" is an answer to each.

        Args:
            condition: how things are now, what is hit, since when.
            action: what was done, what is being done, what was tried.
            need: what is needed, from whom, what blocks.
            to: who hears it, such as ``leadership``; others as ``other:...``.
            by: who speaks.
            next_minutes: in how many minutes the next one is promised.
            hat: the role under which they speak, if they have several.
            at: when it was said, if not now.
            override: why a rule that bars it is passed.

        Raises:
            StepRefusedError: the role of ``by`` leaves speaking to others.
        """
        words = {"condition": condition, "action": action, "need": need}
        facts = leading.updated(words, to, next_minutes)
        actor = step.named("by", by)
        return self._tell(kinds.UPDATED, facts, actor=actor, hat=hat, at=at, override=override)

    def tell(
        self,
        detail: str,
        *,
        to: Sequence[str] | str,
        by: str,
        paged: Sequence[str] = (),
        hat: Role | str | None = None,
        at: datetime | None = None,
        override: str | None = None,
    ) -> Receipt:
        """Record that somebody was told: a call, a page that was answered, a message.

        Arguments and errors are those of :meth:`update`; ``paged`` is whom a pager called for it,
        each by name.
        """
        facts = leading.told(detail, to, paged)
        actor = step.named("by", by)
        return self._tell(kinds.TOLD, facts, actor=actor, hat=hat, at=at, override=override)

    def _tell(
        self,
        kind: str,
        facts: Mapping[str, Any],
        *,
        actor: str,
        hat: Role | str | None,
        at: datetime | None,
        override: str | None,
    ) -> Receipt:
        role = None if hat is None else Role(hat)
        outside = not _OUTSIDE.isdisjoint(facts["to"])

        def bars(look: Look) -> Iterator[Barrier]:
            yield from rule.since_detection(look, at)
            if outside or role is not None:
                yield from rule.under_hat(look, actor, Work.COMMUNICATE, role)

        return self._record(kind, facts, by=actor, at=at, override=override, bars=bars)

    def order(self, detail: str, *, to: str, by: str) -> Receipt:
        """Give an order; it is open until it was read back and confirmed.

        Args:
            detail: what is to be done.
            to: who is to do it.
            by: who gives it.
        """
        facts = {"detail": step.said("detail", detail), "to": step.named("to", to)}
        return self._record(kinds.ORDERED, facts, by=by)

    def read_back(self, order: str, detail: str, *, by: str) -> Receipt:
        """Say an order back in the words in which it was understood.

        Args:
            order: the id of its entry.
            detail: the order, as understood.
            by: who is to do it.

        Raises:
            UnknownIdError: ``order`` names none of this case.
            StepRefusedError: it was given to somebody else.
        """
        one, name = step.named("order", order), step.named("by", by)
        facts = {"order": one, "detail": step.said("detail", detail)}

        def bars(look: Look) -> Iterator[Barrier]:
            to = rule.of_case(look, "order", one, kinds.ORDERED).facts["to"]
            if to != name:
                text = f"the order is to {to}, who reads it back, not {name}"
                yield Barrier("read-back", text, overridable=False)

        return self._record(kinds.READ_BACK, facts, by=name, bars=bars)

    def confirm_order(self, order: str, *, by: str, override: str | None = None) -> Receipt:
        """Confirm that an order was understood, which ends the loop.

        Args:
            order: the id of its entry.
            by: who gave it, or the commander.
            override: why it ends without a reading back that matches.

        Raises:
            UnknownIdError: ``order`` names none of this case.
            StepRefusedError: it was not read back as it was given, or another confirms it.
        """
        one, name = step.named("order", order), step.named("by", by)

        def bars(look: Look) -> Iterator[Barrier]:
            yield from _known(look, "order", one, kinds.ORDERED)
            told = look.of(kinds.ORDERED, kinds.READ_BACK)
            (given,) = (order for order in orders_of(told) if order.entry == one)
            if not given.matches:
                said = "not at all" if given.read_back is None else repr(given.read_back)
                text = f"the order {given.detail!r} was read back as {said}"
                yield Barrier("read-back", text)
            if name not in (given.by, look.hats.commander):
                text = f"{given.by} gave the order, and confirms it, or the commander does"
                yield Barrier("read-back", text)

        return self._record(kinds.ORDER_CLOSED, {"order": one}, bars, by=name, override=override)

    def note(
        self,
        detail: str,
        *,
        board: Board | str,
        by: str,
        because: str | None = None,
        disproof: str | None = None,
        ends: str | None = None,
    ) -> Receipt:
        """Hang a note on the board: what is known apart from what is thought.

        Args:
            detail: what it says.
            board: ``know``, ``think``, ``not_affected``, ``might_be``, ``question``, ``blocker``,
                ``hypothesis``; or a question of the intake: ``summary``, ``blast_radius``,
                ``start``, ``what_changed``, ``who_else``.
            by: who writes it.
            because: why a hypothesis is believed.
            disproof: what would disprove it.
            ends: the id of the note that this one answers, clears or disproves.

        Raises:
            UnknownIdError: ``ends`` names no note of this case.
        """
        facts = leading.noted(board, detail, because, disproof, ends)
        return self._record(
            kinds.NOTED,
            facts,
            by=by,
            bars=lambda look: (
                () if ends is None else _known(look, "ends", facts["ends"], kinds.NOTED)
            ),
        )

    def workstream(self, goal: str, *, lead: str, channel: str, document: str, by: str) -> Receipt:
        """Open a workstream: people who work towards one goal, under one lead.

        Args:
            goal: what it is to reach.
            lead: the one who leads it; a commander who leads one does two things at once.
            channel: where its people talk.
            document: where they write.
            by: who opens it.
        """
        facts = {
            "detail": step.said("goal", goal),
            "lead": step.named("lead", lead),
            "channel": step.named("channel", channel),
            "document": step.named("document", document),
        }
        return self._record(kinds.WORKSTREAM, facts, by=by)

    def triage(
        self, symptom: str, *, by: str, runbook: str | None = None, at: datetime | None = None
    ) -> Receipt:
        """Record the symptom by which a runbook is chosen, and which; none is an answer, too.

        Args:
            symptom: its name, such as ``model_provider_outage``.
            by: who looked.
            runbook: a path or link; without it, the one that the book has for the symptom. The
                record says so if there is none.
            at: when, if not now.
        """
        facts = leading.triaged(symptom, runbook)
        return self._record(
            kinds.TRIAGED,
            facts,
            world=World.RML2,
            by=by,
            at=at,
            bars=lambda look: rule.since_detection(look, at),
            more=lambda look: {} if "runbook" in facts else registry.runbook_for(look, facts),
        )

    def set_private(self, private: bool, *, by: str, reason: str) -> Receipt:  # noqa: FBT001
        """Keep the case out of lists that everybody sees, or show it there again.

        Raises:
            InvalidInputError: ``private`` is neither ``True`` nor ``False``.
        """
        given: object = private  # whatever its annotation says
        if not isinstance(given, bool):
            raise InvalidInputError(f"private is {shown(given)}; say True or False")
        facts = {"private": given, "reason": step.said("reason", reason)}
        return self._record(kinds.PRIVACY, facts, world=World.RML2, by=by)

    def read_evidence(self, entry: str, *, by: str, reason: str) -> Entry:
        """Return an entry of the case or of its effects, and record who read it and why.

        The record is made first, also of a closed case. What is read past this method, with
        ``ledger.entry``, leaves none.

        Args:
            entry: the entry's id.
            by: who reads it.
            reason: what for.

        Raises:
            UnknownIdError: it names no entry of the case, or of an effect that it is about.
        """
        actor = step.named("by", by)
        facts = {"entry": step.named("entry", entry), "reason": step.said("reason", reason)}

        def work(draft: Draft) -> None:
            look = Look(draft, self.id)
            found = draft.entry(facts["entry"])
            own = found is not None and found.incident == self.id
            if not own and (found is None or found.effect not in look.read.effects):
                raise UnknownIdError(f"{shown(entry)} names no evidence of {self.id}")
            kind = kinds.EVIDENCE_READ
            draft.record(kind, world=World.RML2, facts=facts, actor=actor, incident=self.id)

        self._ledger.write(work)
        return self._ledger.entry(facts["entry"])

    def link(self, relation: str, to: str, *, by: str) -> Receipt:
        """Record what hangs together with the case.

        A case that is ``part_of`` another is its child: that one shows it, and is closed after it.

        Args:
            relation: ``caused_by``, ``fixed_by``, ``part_of`` (a larger incident), ``similar_to``.
            to: an incident's id, a commit, a page.
            by: who says so.

        Raises:
            InvalidInputError: it would be linked to itself, or be part of what is part of it.
        """
        facts = leading.linked(relation, to)
        other = facts["to"].upper()
        if other == self.id:
            raise InvalidInputError(f"{self.id} cannot be {facts['relation']} itself")

        def bars(look: Look) -> Iterator[Barrier]:
            links = look.draft.entries(kind=kinds.LINKED)
            if facts["relation"] == PART_OF and is_within(links, other, self.id):
                text = f"{other} is part of {self.id}, which cannot be part of it, too"
                raise InvalidInputError(text)
            yield from ()

        return self._record(kinds.LINKED, facts, world=World.RML2, by=by, bars=bars)


def _known(look: Look, name: str, one: str, kind: str) -> Iterator[Barrier]:
    """Check that an id names an entry of a kind of this case; nothing bars it then."""
    rule.of_case(look, name, one, kind)
    return iter(())

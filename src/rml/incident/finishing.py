"""How a case comes to its end: its status, its world, what is confirmed, and closing it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal

from rml.incident import ending_rule, kinds, registry, rule, step
from rml.incident.command import leading
from rml.incident.command.policy import policy_digest
from rml.incident.gate import Barrier
from rml.incident.levers.containment_proof import lifting
from rml.incident.pages.casefile import CaseStatus
from rml.incident.recording import CaseRecording
from rml.incident.rule import Look
from rml.ledger.content import as_world
from rml.ledger.draft import Receipt
from rml.ledger.entry import Entry
from rml.world import World


class CaseFinishing(CaseRecording):
    """What moves a case itself, and ends it."""

    def move(
        self, to: CaseStatus | str, *, by: str, reason: str, override: str | None = None
    ) -> Receipt:
        """Change the status, as far as :func:`rml.incident.pages.casefile.can_move` allows.

        An RML3 case is resolved once the four lines of ``resolution`` are confirmed.

        Raises:
            StepRefusedError: the status does not lead there.
        """
        wanted, why = step.status("to", to), step.said("reason", reason)
        return self._record(
            kinds.STATUS,
            {"to": wanted.value, "reason": why},
            by=by,
            override=override,
            bars=lambda look: ending_rule.check_move(look, wanted),
            more=lambda look: {"from": look.read.status.value},
        )

    def downscope(
        self,
        to: World | str,
        *,
        by: str,
        reason: str,
        evidence: str,
        override: str | None = None,
    ) -> Receipt:
        """Record that it reached less far than was feared. What was recorded before stays.

        A suspicion that turned out to be history is scoped to ``RML3``: it is certain then. Who
        had been told of more is recorded with it. Harm that was counted is corrected first; passing
        that with ``override`` does not spare closing the question.

        Args:
            to: the world that it reached.
            by: who answers for this.
            reason: why it is believed.
            evidence: what shows it: a query, a statement, a link.
            override: why it is scoped below RML3 though counted harm is not made good.

        Raises:
            StepRefusedError: ``to`` is not narrower, for only a new signal widens a case; or harm
                that was counted has no correction, each named in ``error.details["missing"]``.
        """
        wanted = as_world(to)
        facts = {"reason": step.said("reason", reason), "evidence": step.said("evidence", evidence)}
        return self._record(
            kinds.DOWNSCOPED,
            {**facts, "to": wanted.value},
            by=by,
            override=override,
            bars=lambda look: ending_rule.check_narrower(look, wanted),
            more=ending_rule.downscoped_from,
        )

    def lift(self, mitigation: str, detail: str, *, by: str, at: datetime | None = None) -> Receipt:
        """Record that a mitigation is gone, and since when it had been quiet until then.

        A containment that was proven by then :attr:`stays proven <rml.Case.containment>`.

        Args:
            mitigation: the id of the entry of ``contain(..., temporary=True)``.
            detail: what was done, and what holds in its place.
            by: who did it.
            at: when, if not now.

        Raises:
            UnknownIdError: ``mitigation`` names no containment of this case.
        """
        one = step.named("mitigation", mitigation)
        facts = {"mitigation": one, "detail": step.said("detail", detail)}

        def mitigated(look: Look) -> Entry:
            return rule.of_case(look, "mitigation", one, kinds.CONTAINED)

        def bars(look: Look) -> Iterator[Barrier]:
            yield from ending_rule.check_lift(look, mitigated(look), at)

        return self._record(
            kinds.LIFTED,
            facts,
            bars,
            world=World.RML2,
            by=by,
            at=at,
            more=lambda look: lifting(look.draft, look.entries, mitigated(look), at),
        )

    def confirm(self, *items: str, by: str, evidence: str, override: str | None = None) -> Receipt:
        """Confirm lines of the lists that end a case; a new signal makes all of them open again.

        Args:
            items: lines, such as ``services_restored``; or ``resolution``, ``recovery``,
                ``stand_down`` for all lines of one.
            by: who has looked.
            evidence: what they saw.
            override: why ``runbook_exists`` is confirmed though none is registered.

        Raises:
            StepRefusedError: the case was triaged by a symptom for which no runbook is registered.
        """
        facts = leading.confirmed(items, evidence)

        def bars(look: Look) -> Iterator[Barrier]:
            if "runbook_exists" in facts["items"]:
                yield from registry.check_runbook(look)

        return self._record(kinds.CONFIRMED, facts, bars, by=by, override=override)

    def all_clear(self, detail: str, *, by: str, override: str | None = None) -> Receipt:
        """Give the all clear: one unambiguous message with which people stand down.

        Args:
            detail: the message, with thanks.
            by: the commander, where there is one.
            override: why a rule that bars it is passed.

        Raises:
            StepRefusedError: it was given already, or ``resolution`` is not confirmed.
        """
        actor = step.named("by", by)
        return self._record(
            kinds.ALL_CLEAR,
            {"detail": step.said("detail", detail)},
            by=actor,
            override=override,
            bars=lambda look: ending_rule.check_all_clear(look, actor),
        )

    def close(self, *, by: str, override: str | None = None) -> Receipt:
        """Close the case, which resolves it.

        Args:
            by: the commander, where there is one.
            override: why it is closed though something is missing; an effect in doubt bars it
                whatever the reason.

        Raises:
            StepRefusedError: something is missing; ``error.details["missing"]`` names all of it.
        """
        actor = step.named("by", by)
        return self._record(
            kinds.CLOSED,
            {"status": CaseStatus.RESOLVED.value, "policy": policy_digest()},
            by=actor,
            override=override,
            bars=lambda look: ending_rule.closing_barriers(look, actor, self._calendar),
        )

    def postmortem(
        self,
        *,
        by: str,
        attended: Mapping[str, str],
        absent: Mapping[str, str] | None = None,
        link: str | None = None,
        at: datetime | None = None,
    ) -> Receipt:
        """Record that the postmortem was held, also of a case that is closed already.

        Args:
            by: who writes it down.
            attended: who was there: ``{"legal": "...", "business": "...", "sre": "..."}``.
            absent: why nobody was there for a role: ``{"legal": "read it before"}``.
            link: where it can be read.
            at: when it was held, if not now.

        Raises:
            StepRefusedError: of an RML3 case, a role was neither there nor is excused.
        """
        facts = step.postmortem(attended, absent, link)
        return self._record(
            kinds.POSTMORTEM,
            facts,
            world=World.RML2,
            by=by,
            at=at,
            closed_too=True,
            bars=lambda look: ending_rule.check_postmortem(look, facts, at),
        )

    def complete(self, what: str, *, by: str, at: datetime | None = None) -> Receipt:
        """Record that a change is done, also of a case that is closed already.

        Args:
            what: the change, in the words of ``learn(changes=[...])``.
            by: who says so.
            at: when it was done, if not now.

        Raises:
            InvalidInputError: no change of the case is called so.
            StepRefusedError: it is done already.
        """
        change = step.said("what", what)
        return self._record(
            kinds.CHANGE_DONE,
            {},
            world=World.RML2,
            by=by,
            at=at,
            closed_too=True,
            bars=lambda look: ending_rule.check_done(look, change, at),
            more=lambda look: ending_rule.change_named(look, change),
        )

    def cost(
        self,
        type: str,  # noqa: A002 - the case file's word
        amount: Decimal | int | str | None,
        currency: str | None = None,
        *,
        by: str,
        detail: str | None = None,
    ) -> Receipt:
        """Record what the case has cost, also of a case that is closed already.

        It replaces what was said of the same kind and currency before; ``None`` says that nobody
        knows how much it is, which is not 0.

        Args:
            type: ``refund``, ``credit``, ``operations``, or ``other:...``.
            amount: how much in all: a decimal number in the currency's main unit.
            currency: such as ``EUR``; each is added up by itself.
            by: who says so.
            detail: what it is made of.
        """
        return self._record(
            kinds.COSTED,
            leading.costed(type, amount, currency, detail),
            world=World.RML2,
            by=by,
            closed_too=True,
        )

    def reopen(self, *, by: str, reason: str) -> Receipt:
        """Take a closed case up again; it is ongoing, and what was confirmed is open again.

        Raises:
            StepRefusedError: it is not closed.
        """
        return self._record(
            kinds.REOPENED,
            {"reason": step.said("reason", reason)},
            by=by,
            closed_too=True,
            bars=ending_rule.check_closed,
        )

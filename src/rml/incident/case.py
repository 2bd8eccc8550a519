"""A case: one incident, and the six steps by which people lead it to its end.

A case holds nothing of its own. What it shows is projected from the ledger's entries each time it
is asked (:mod:`rml.incident.projection`), and each step appends one entry:
:mod:`rml.incident.step` checks its arguments, :mod:`rml.incident.rule` what it depends on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import attrs

from rml.incident import kinds, registry, rule, step, step_rule
from rml.incident.command.command import CaseCommand
from rml.incident.command.role import Role, Work
from rml.incident.evidence.answers import CaseAnswers
from rml.incident.evidence.evidence import CaseEvidence
from rml.incident.finishing import CaseFinishing
from rml.incident.gate import Barrier
from rml.incident.rule import Look
from rml.incident.severity import Priority, Sev
from rml.ledger.content import as_world
from rml.ledger.draft import Receipt
from rml.world import World


@attrs.frozen(repr=False)
class Case(CaseAnswers, CaseFinishing, CaseCommand, CaseEvidence):
    """One incident, from its first signal to the day it is closed; ``Casebook`` gives it.

    Every attribute is read from the ledger when it is asked for. Every step records one entry and
    returns its receipt. Steps may be taken again; what is recorded stands.

    All steps raise :class:`~rml.InvalidInputError` for a value that is missing or cannot be
    recorded, :class:`~rml.StepRefusedError` for one that a rule bars, and
    :class:`~rml.CaseClosedError` when the case is closed. Then nothing is recorded. A refusal names
    its rule; ``override="reason"`` passes one that may be passed, and is recorded with who did it.

    Attributes:
        id: such as ``INC-2026-0001``.
    """

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
        return self._record(kinds.DETECTED, facts, world=as_world(world), by=by, at=at)

    def contain(
        self,
        detail: str,
        *,
        by: str,
        lever: str,
        temporary: bool = False,
        world: World | str = World.RML2,
        at: datetime | None = None,
        override: str | None = None,
    ) -> Receipt:
        """Record what was done so that no more damage becomes history.

        Args:
            detail: what was done.
            by: who did it.
            lever: what was pulled: ``flag_off``, ``deploy_rollback``, ``migration_rollback``,
                ``data_correction``, in this order; ``none`` where there is nothing to stop;
                ``other:...`` for one of your own. ``last_known_good`` is the second.
            temporary: whether it must be lifted again before the case can be closed.
            world: the world that it updates.
            at: when it was done, if not now.
            override: why a rule that bars it is passed.

        Raises:
            StepRefusedError: a gentler lever has not been pulled; no artifact is registered as
                good; the migration cannot be reversed, which raises the severity by a level.
        """
        facts, name = step.contained(detail, lever, temporary=temporary), step.named("by", by)

        def bars(look: Look) -> Iterator[Barrier]:
            yield from rule.since_detection(look, at)
            yield from step_rule.check_lever(look, facts["lever"])
            yield from registry.check_rollback(look, facts["lever"])
            yield from step_rule.before_correction(look, facts)

        return self._record(
            kinds.CONTAINED,
            facts,
            bars,
            world=as_world(world),
            by=name,
            at=at,
            override=override,
            more=lambda look: registry.rolled_back_to(look, facts["lever"]),
            refused=lambda look, error: registry.raise_severity(look, error.details["rules"], name),
        )

    def understand(
        self,
        detail: str,
        *,
        by: str,
        severity: Sev | str | None = None,
        priority: Priority | str | None = None,
        asset: Sequence[str] = (),
        exposure: Sequence[str] = (),
        users: int | None = None,
        transactions: int | None = None,
        users_estimate: int | None = None,
        transactions_estimate: int | None = None,
        harmed: Sequence[str] = (),
        unharmed: Sequence[str] = (),
        query: str | None = None,
        root_cause: str | None = None,
        started_at: datetime | None = None,
        evidence: str | None = None,
        criteria: Sequence[str] = (),
        world: World | str = World.RML3,
        at: datetime | None = None,
        hat: Role | str | None = None,
        override: str | None = None,
    ) -> Receipt:
        """Record what happened and how much of it is history; what is not known is left out.

        Args:
            detail: what happened.
            by: who found out.
            severity: how bad it is, such as ``SEV-1``; lowering it needs ``evidence``.
            priority: how fast people must act, if not as the severity says, such as ``P1``.
            asset: what it touches, such as ``money``.
            exposure: what it exposes: ``money_moved``, ``money_not_moved``, ``customer_affected``,
                ``regulatory``, ``contractual``, ``social``, or ``other:...``.
            users: how many users are affected, counted.
            transactions: how many transactions are affected, counted.
            users_estimate: how many users are affected, estimated.
            transactions_estimate: how many transactions are affected, estimated.
            harmed: ids of the effects or entries that must each be corrected before it is closed.
            unharmed: ids of those that were found to be harm, and are none; it needs ``evidence``.
            query: how it was counted, so that it can be counted again.
            root_cause: why it happened, once somebody knows.
            started_at: when it began, as far as is known.
            evidence: what shows that it is less bad, or less of it, than was said before.
            criteria: why it is an incident: ``slo-or-sla-violated``, ``unavailable-or-slow``,
                ``security``, ``business-critical-degraded``, ``unknown-impact``, ``other:...``.
            world: the world that was found to be affected.
            at: when it was found out, if not now.
            hat: the role under which it was, if ``by`` has several.
            override: why a rule that bars it is passed.

        Raises:
            UnknownIdError: an id in ``harmed`` is not in this ledger.
            StepRefusedError: severity, priority, or a count or estimate is lowered without
                evidence, or the role of ``by`` leaves investigating to others.
        """
        counts = {
            "users": users,
            "transactions": transactions,
            "users_estimate": users_estimate,
            "transactions_estimate": transactions_estimate,
        }
        found = step.Found(
            severity=severity,
            priority=priority,
            asset=asset,
            exposure=exposure,
            harmed=harmed,
            unharmed=unharmed,
            root_cause=root_cause,
            started_at=started_at,
            evidence=evidence,
            criteria=criteria,
        )
        facts = step.understood(detail, found, query, counts)
        name, role = step.named("by", by), None if hat is None else Role(hat)

        def bars(look: Look) -> Iterator[Barrier]:
            rule.check_known(look.draft, facts.get("harmed", ()))
            rule.check_start(look, started_at)
            yield from rule.since_detection(look, at)
            yield from step_rule.check_assessment(look, facts)
            yield from rule.under_hat(look, name, Work.INVESTIGATE, role)

        return self._record(
            kinds.UNDERSTOOD, facts, bars, world=as_world(world), by=name, at=at, override=override
        )

    def decide(
        self,
        summary: str,
        *,
        decided_by: Mapping[str, str],
        absent: Mapping[str, str] | None = None,
        plan: Sequence[str] = (),
        disclosure: Sequence[str] = (),
        amends: str | None = None,
        by: str | None = None,
        world: World | str = World.RML3,
        at: datetime | None = None,
        hat: Role | str | None = None,
        override: str | None = None,
    ) -> Receipt:
        """Record a decision and who took it; about history decide legal, business and sre.

        Args:
            summary: what was decided.
            decided_by: who decided: ``{"legal": "...", "business": "...", "sre": "..."}``.
            absent: why a role did not decide: ``{"legal": "on a flight until nine"}``.
            plan: what it is made of: ``refund``, ``re_run``, ``correction_notice``,
                ``feature_disable``, ``rollback_forward``, or ``other:...``.
            disclosure: how it is told outside: ``customer_notification``, ``press_release``,
                ``tos_based``, or ``other:...``.
            amends: the id of the entry of the decision that this one replaces.
            by: who wrote it down.
            world: the world that the decision is about.
            at: when it was taken, if not now.
            hat: the role under which ``by`` does this, if they have several.
            override: why a rule that bars it is passed.

        Raises:
            UnknownIdError: ``amends`` names no decision of this case.
            StepRefusedError: a role neither decided nor is excused; nobody has contained it, or
                said how much is history; the decision to amend has been amended already.
        """
        facts = step.decided(summary, decided_by, absent) | step.planned(plan, disclosure)
        reached, role = as_world(world), None if hat is None else Role(hat)
        actor = None if by is None else step.named("by", by)

        def bars(look: Look) -> Iterator[Barrier]:
            yield from step_rule.check_decision(look, facts, reached, amends)
            yield from rule.in_order(look, kinds.DECIDED, reached)
            yield from rule.since_detection(look, at)
            yield from rule.deciding(look, facts, actor, role)

        return self._record(
            kinds.DECIDED,
            facts,
            bars,
            world=reached,
            by=actor,
            at=at,
            override=override,
            corrects=amends,
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
        hat: Role | str | None = None,
        override: str | None = None,
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
            hat: the role under which ``by`` does this, if they have several.
            override: why a rule that bars it is passed.

        Raises:
            UnknownIdError: a correction is not in this ledger.
            InvalidInputError: a correction is harm of the case, and corrects nothing.
            StepRefusedError: it becomes history, and legal, business and sre have not decided so.
        """
        words = {"template_id": template_id, "channel": channel}
        facts = step.acted(type, count, detail, words, corrections)
        name, role = step.named("by", by), None if hat is None else Role(hat)
        reached = as_world(world)
        is_said = reached is World.RML3 and (template_id, channel) != (None, None)

        def bars(look: Look) -> Iterator[Barrier]:
            made = facts.get("corrections", ())
            rule.check_known(look.draft, made)
            step_rule.check_made_good(look, made)
            yield from step_rule.check_action(look, reached)
            yield from step_rule.before_correction(look, facts)
            yield from rule.since_detection(look, at)
            if is_said or role is not None:
                yield from rule.under_hat(look, name, Work.COMMUNICATE, role)

        return self._record(
            kinds.ACTED, facts, bars, world=reached, by=name, at=at, override=override
        )

    def learn(
        self,
        *,
        by: str,
        technical: Sequence[str] = (),
        process: Sequence[str] = (),
        governance: Sequence[str] = (),
        changes: Sequence[Mapping[str, str]] = (),
        unchanged: str | None = None,
        at: datetime | None = None,
        override: str | None = None,
    ) -> Receipt:
        """Record lessons; a list that has none gets ``none - `` and the reason.

        Args:
            by: who writes them down.
            technical: what changes in design, monitoring or tests.
            process: what changes in how people work together.
            governance: what changes in terms, rules or ownership.
            changes: what is changed for it: ``what``, ``kind`` (``runbook``, ``checklist``,
                ``test``, ``brief_template``, ``ci_step``, ``code``, ``design``, ``other:...``), and
                ``owner``, ``due`` (a day) and ``link`` as soon as they are known. It is for the
                lessons of this step, or for the ``lesson`` that it names, also an earlier one.
            unchanged: why the lessons of this step that no change is for change nothing.
            at: when they were learned, if not now.
            override: why a rule that bars it is passed.

        Raises:
            StepRefusedError: an RML3 case has not been contained, understood and decided about.
        """
        lists = {"technical": technical, "process": process, "governance": governance}
        facts = step.learned(changes, unchanged, **lists)

        def bars(look: Look) -> Iterator[Barrier]:
            step_rule.check_lessons(look, facts)
            yield from rule.in_order(look, kinds.LEARNED, World.RML2)
            yield from rule.since_detection(look, at)

        return self._record(
            kinds.LEARNED, facts, bars, world=World.RML2, by=by, at=at, override=override
        )

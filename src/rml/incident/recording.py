"""How a step becomes an entry: in one commit, if the case is open and every rule is kept.

A rule that is passed knowingly becomes an entry of its own in the same commit, right before the
step. What is refused leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

import attrs

from rml.incident import rule, step
from rml.incident.command.workdays import WEEKDAYS, WorkCalendar
from rml.incident.gate import Barrier
from rml.incident.projection import Projection
from rml.incident.rule import Look, StepRefusedError
from rml.ledger.content import check_aware
from rml.ledger.draft import Draft, Receipt
from rml.ledger.ledger import Ledger
from rml.world import World


@attrs.define(eq=False)
class Kept:
    """What a book remembers of a case.

    Attributes:
        read: what was last read: the same head tells the same, a later one adds to it.
        admitted: whether its reader was recorded, if it is private.
    """

    read: Projection | None = None
    admitted: bool = False


@attrs.frozen
class Reader:
    """Who reads private cases, and what for."""

    name: str
    reason: str


@attrs.frozen(repr=False)
class CaseRecording:
    """One incident of a ledger, on which steps are recorded."""

    _ledger: Ledger
    id: str
    _calendar: WorkCalendar = attrs.field(default=WEEKDAYS, eq=False)
    _kept: Kept = attrs.field(factory=Kept, eq=False)
    _reader: Reader | None = attrs.field(default=None, eq=False)

    def _record(
        self,
        kind: str,
        facts: Mapping[str, Any],
        bars: Callable[[Look], Iterable[Barrier]] = lambda _: (),
        *,
        by: str | None,
        world: World | None = None,
        at: datetime | None = None,
        override: str | None = None,
        corrects: str | None = None,
        closed_too: bool = False,
        more: Callable[[Look], Mapping[str, Any]] = lambda _: {},
        refused: Callable[[Look, StepRefusedError], bool] = lambda *_: False,
    ) -> Receipt:
        """Append one entry, and one before it if a rule is overridden.

        Args:
            kind: of the entry.
            facts: of the entry.
            bars: what bars it, as the case stands.
            by: who takes the step.
            world: the world that it updates, if not that of the case.
            at: when it was taken, if not now.
            override: why rules that bar it are passed, if they are.
            corrects: the entry that it corrects.
            closed_too: whether it is taken on a closed case, too.
            more: further facts of its entry, as the case stands.
            refused: records what the refusal itself tells of the case; says whether it did.

        Raises:
            CaseClosedError: the case is closed.
            StepRefusedError: a rule bars it.
        """
        actor = None if by is None else step.named("by", by)
        reason = None if override is None else step.said("override", override)
        if at is not None:
            check_aware("at", at)

        def work(draft: Draft) -> Receipt | StepRefusedError:
            look = Look(draft, self.id, self._kept.read)
            if not closed_too:
                rule.check_open(look)
            try:
                rule.settle(look, kind, bars(look), reason, actor)
            except StepRefusedError as error:
                if refused(look, error):
                    return error  # and not raised: what was recorded stays
                raise
            return draft.record(
                kind,
                world=look.world if world is None else world,
                facts={**facts, **more(look)},
                at=at,
                actor=actor,
                corrects=corrects,
                incident=self.id,
            )

        done = self._ledger.write(work)
        if isinstance(done, StepRefusedError):
            raise done
        return done

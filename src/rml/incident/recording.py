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
from rml.incident.rule import Look, StepRefusedError
from rml.ledger.draft import Draft, Receipt
from rml.ledger.ledger import Ledger
from rml.world import World


@attrs.frozen(kw_only=True)
class Step:
    """A step that is about to be recorded.

    Attributes:
        kind: of its entry.
        facts: of its entry.
        world: the world that it updates; ``None`` for that of the case.
        actor: who takes it.
        at: when it was taken, if not now.
        override: why rules that bar it are passed, if they are.
        corrects: the entry that it corrects.
        bars: what bars it, as the case stands.
        more: further facts of its entry, as the case stands.
        refused: records what the refusal itself tells of the case; says whether it did.
    """

    kind: str
    facts: Mapping[str, Any]
    world: World | str | None = None
    actor: str | None
    at: datetime | None = None
    override: str | None = None
    corrects: str | None = None
    bars: Callable[[Look], Iterable[Barrier]] = lambda _: ()
    more: Callable[[Look], Mapping[str, Any]] = lambda _: {}
    refused: Callable[[Look, StepRefusedError], bool] = lambda *_: False


@attrs.frozen(repr=False)
class CaseRecording:
    """One incident of a ledger, on which steps are recorded."""

    _ledger: Ledger
    id: str
    _calendar: WorkCalendar = attrs.field(default=WEEKDAYS, eq=False)

    def _record(self, taken: Step) -> Receipt:
        """Append one entry, and one before it if a rule is overridden.

        Raises:
            CaseClosedError: the case is closed.
            StepRefusedError: a rule bars it.
        """
        reason = None if taken.override is None else step.said("override", taken.override)

        def work(draft: Draft) -> Receipt | StepRefusedError:
            look = Look(draft, self.id)
            rule.check_open(draft, self.id)
            try:
                rule.settle(look, taken.kind, taken.bars(look), reason, taken.actor)
            except StepRefusedError as error:
                if taken.refused(look, error):
                    return error  # and not raised: what was recorded stays
                raise
            return draft.append(
                taken.kind,
                world=look.world if taken.world is None else taken.world,
                facts={**taken.facts, **taken.more(look)},
                at=taken.at,
                actor=taken.actor,
                corrects=taken.corrects,
                incident=self.id,
            )

        done = self._ledger.write(work)
        if isinstance(done, StepRefusedError):
            raise done
        return done

"""Pulling and releasing levers: each an entry with a name and a reason behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final, TypeVar

import attrs

from rml.config import current_ledger
from rml.error import InvalidInputError
from rml.incident import rule, step
from rml.incident.kinds import CONTAINED, LIFTED, OPENED
from rml.incident.levers.containment_proof import lifting
from rml.incident.levers.lever import (
    EVERY,
    PULLED,
    RELEASED,
    Lever,
    LeverStates,
    Target,
    Whose,
    named,
    same,
)
from rml.incident.levers.lever_watch import note_moved
from rml.incident.rule import CaseClosedError
from rml.ledger.argument import asked, flag
from rml.ledger.draft import Draft, Receipt
from rml.ledger.entry import check_kind
from rml.ledger.errors import UnknownIdError
from rml.ledger.ledger import Ledger
from rml.ledger.queries.rows import Rows
from rml.legible import line
from rml.tag import shown
from rml.world import World

T = TypeVar("T")

# What a case calls a containment by a lever: the first of the four, which needs no deploy, and its
# narrower forms.
FLAG_OFF: Final = "flag_off"
TENANT_BLOCK: Final = "tenant_block"
REGION_BLOCK: Final = "region_block"
# How many of the newest intents are looked at for names that were perhaps meant.
_LOOK_BACK: Final = 200
# Among how many of the newest effects a tenant or a region is looked for: a second's work at most.
_LOOK_BACK_FOR_NAMES: Final = 10_000
_NAMES_SHOWN_MAX: Final = 5


@attrs.frozen
class _Said:
    """Who decided, and why."""

    by: str
    reason: str


class Levers:
    """The levers of a ledger: what is stopped, by whom and why.

    Iterating gives those that are pulled, the oldest first.

    Args:
        ledger: the ledger, if not the configured one.

    Raises:
        InvalidInputError: it is no :class:`~rml.Ledger`.
        NoLedgerError: no ledger is configured.
    """

    def __init__(self, ledger: Ledger | None = None) -> None:
        self.ledger: Ledger = current_ledger(ledger)

    def pull(
        self,
        operation: str,
        *,
        by: str,
        reason: str,
        tenant: str | None = None,
        region: str | None = None,
        incident: str | None = None,
        force: bool = False,
    ) -> Lever:
        """Stop an operation: no call of it is begun any more, in this process or in others.

        Calls in this process are refused from the next one on, those in other processes within a
        second. What is in flight goes on. A lever that is pulled already stays as it is.

        Args:
            operation: such as ``payment.charge``; ``*`` for every operation.
            by: who decides.
            reason: why.
            tenant: only calls of this tenant, and those of which nobody knows whose they are.
            region: likewise, of this region.
            incident: the case that this contains; its timeline tells of it.
            force: also if this ledger knows no effect of the operation, or none of the tenant or
                region.

        Raises:
            UnknownIdError: there is no effect of such an operation, tenant or region yet, or no
                such incident.
            CaseClosedError: the incident is closed.
            InvalidInputError: a value is missing or cannot be recorded.
        """
        target = _target(operation, tenant, region)
        said = _Said(step.named("by", by), step.said("reason", reason))
        case = asked("incident", incident)
        if not flag("force", force):
            self._check_known(target[0])
            self._check_whose(target)

        def work(draft: Draft) -> Lever | Receipt:
            if case is not None:
                _check_case(draft, case)
            standing = _standing(draft, target)
            pulled = standing or _append(draft, PULLED, target, said, case)
            if case is not None:
                _contain(draft, case, target, said, pulled)
            return pulled

        pulled = self._move(work)
        if isinstance(pulled, Lever):
            return pulled
        return LeverStates().told([self.ledger.entry(pulled.id)]).pulled[0]

    def release(
        self,
        operation: str,
        *,
        by: str,
        reason: str,
        tenant: str | None = None,
        region: str | None = None,
    ) -> Lever | None:
        """Let an operation be begun again; return the lever that was pulled, if it was.

        Args:
            operation: as it was given to :meth:`pull`.
            by: who decides.
            reason: why it is safe.
            tenant: as it was given to :meth:`pull`.
            region: as it was given to :meth:`pull`.

        Raises:
            InvalidInputError: a value is missing or cannot be recorded.
        """
        target = _target(operation, tenant, region)
        said = _Said(step.named("by", by), step.said("reason", reason))

        def work(draft: Draft) -> Lever | None:
            standing = _standing(draft, target)
            if standing is not None:
                _append(draft, RELEASED, target, said, standing.incident)
                _lift(draft, standing, said)
            return standing

        return self._move(work)

    def __iter__(self) -> Iterator[Lever]:
        return iter(self.pulled())

    def pulled(self) -> Rows[Lever]:
        """Return the levers that are pulled, the oldest first."""

        def ask() -> Iterator[Lever]:
            entries = [e for kind in (PULLED, RELEASED) for e in self.ledger.entries(kind=kind)]
            return iter(LeverStates().told(entries).pulled)

        return Rows(ask, Lever.to_dict)

    def __repr__(self) -> str:
        lines = [f"  {line(f'{named(e.target)}, by {e.by}: {e.reason}')}" for e in self]
        return "\n".join([f"Levers of {self.ledger.origin}: {len(lines)} pulled", *lines])

    def _move(self, work: Callable[[Draft], T]) -> T:
        try:
            return self.ledger.write(work)
        finally:
            note_moved()  # also after a commit of which nobody knows whether it is durable

    def _check_known(self, operation: str) -> None:
        if operation == EVERY:
            return
        known = unknown_operation(self.ledger, operation)
        if known is not None:
            message = (
                f"{known}; to pull the lever before its first effect, say force=True, or --force"
            )
            raise UnknownIdError(message)

    def _check_whose(self, target: Target) -> None:
        operation, tenant, region = target
        if tenant is None and region is None:
            return
        tenants: set[str] = set()
        regions: set[str] = set()
        for entry in self.ledger.entries(
            kind="effect.intent",
            operation=None if operation == EVERY else operation,
            newest_first=True,
            limit=_LOOK_BACK_FOR_NAMES,
        ):
            whose = Whose.of(entry.scope, entry.facts)
            tenants |= whose.tenants
            regions |= whose.regions
        _refuse_strange("tenant", tenant, tenants)
        _refuse_strange("region", region, regions)


def unknown_operation(ledger: Ledger, operation: str) -> str | None:
    """Return what is wrong with an operation of which a ledger knows no effect, if it knows none.

    A typing mistake stops nothing, and nothing contains a case that is about it.
    """
    if ledger.entries(kind="effect.intent", operation=operation, limit=1):
        return None
    newest = ledger.entries(kind="effect.intent", newest_first=True, limit=_LOOK_BACK)
    names = ", ".join(sorted({entry.operation or "" for entry in newest}))
    known = f"the newest are of {names}" if names else "it has none"
    return f"this ledger knows no effect of {operation!r} ({known})"


def _refuse_strange(what: str, name: str | None, seen: set[str]) -> None:
    """Refuse a name that nobody has; where effects have none, the lever concerns all of them."""
    if name is None or not seen or name in seen:
        return
    known = ", ".join(sorted(seen)[:_NAMES_SHOWN_MAX])
    raise UnknownIdError(
        f"none of the newest effects is of {what} {shown(name)}, but of {known}; to pull the lever "
        "all the same, say force=True, or --force"
    )


def _target(operation: object, tenant: object, region: object) -> Target:
    name = EVERY if operation == EVERY else _operation(operation)
    own = tuple(
        None if value is None else same(step.named(what, value))
        for what, value in (("tenant", tenant), ("region", region))
    )
    return name, own[0], own[1]


def _operation(operation: object) -> str:
    try:
        return check_kind(operation)
    except InvalidInputError:
        raise InvalidInputError(
            f"operation {shown(operation)} must be dotted lower-case words, such as "
            "'payment.charge', or '*' for every operation"
        ) from None


def _standing(draft: Draft, target: Target) -> Lever | None:
    """Return the lever about the same that is pulled, as a commit in the making sees it."""
    entries = [entry for kind in (PULLED, RELEASED) for entry in draft.entries(kind=kind)]
    pulled = LeverStates().told(entries).pulled
    return next((lever for lever in pulled if lever.target == target), None)


def _append(draft: Draft, kind: str, target: Target, said: _Said, case: str | None) -> Receipt:
    operation, tenant, region = target
    facts = {"tenant": tenant, "region": region, "reason": said.reason}
    return draft.record(
        kind,
        world=World.RML2,
        facts={name: value for name, value in facts.items() if value is not None},
        actor=said.by,
        operation=operation,
        incident=case,
    )


def _check_case(draft: Draft, case: str) -> None:
    if not draft.entries(kind=OPENED, incident=case, limit=1):
        raise UnknownIdError(f"no incident {shown(case)} is in this ledger")
    rule.check_open(rule.Look(draft, case))


def _contain(draft: Draft, case: str, target: Target, said: _Said, pulled: Lever | Receipt) -> None:
    """Tell a case that the lever contains it, once."""
    entry = pulled.entry if isinstance(pulled, Lever) else pulled.id
    known = draft.entries(kind=CONTAINED, incident=case)
    if any(contained.facts.get("pulled") == entry for contained in known):
        return
    facts = {
        "detail": f"{named(target)} is stopped: {said.reason}",
        "lever": TENANT_BLOCK if target[1] else REGION_BLOCK if target[2] else FLAG_OFF,
        "temporary": True,
        "pulled": entry,
    }
    draft.record(CONTAINED, world=World.RML2, facts=facts, actor=said.by, incident=case)


def _lift(draft: Draft, lever: Lever, said: _Said) -> None:
    """Tell the cases that the lever contained that it does so no more; closed ones stay closed."""
    for entry in draft.entries(kind=CONTAINED):
        if entry.facts.get("pulled") != lever.entry or entry.incident is None:
            continue
        with suppress(CaseClosedError):
            look = rule.Look(draft, entry.incident)
            rule.check_open(look)
            if any(one.facts["mitigation"] == entry.id for one in look.of(LIFTED)):
                continue
            facts = {"mitigation": entry.id, "detail": said.reason}
            facts |= lifting(draft, look.entries, entry)
            draft.record(
                LIFTED, world=World.RML2, facts=facts, actor=said.by, incident=entry.incident
            )

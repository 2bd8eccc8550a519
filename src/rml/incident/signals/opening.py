"""How a problem becomes an incident, in somebody's commit: opened once, joined by all like it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

import attrs

from rml.codec import canonical_json
from rml.incident.signals.hook import Escalation
from rml.ledger.draft import Draft
from rml.world import World

# Incidents are looked for among the newest; one that has been open behind this many others has lost
# its problem.
LOOK_BACK_MAX: Final = 500
TITLE_CHARACTERS_MAX: Final = 200
_NUMBERED: Final = re.compile(r"INC-(\d{4})-(\d{4,})")


@attrs.frozen(kw_only=True)
class Signal:
    """A problem on its way to an incident.

    Attributes:
        title: what happened, in words that may be read by anybody who operates the service.
        code: what kind of problem it is; problems with the same service, operation and code are one
            problem.
        gray: whether history is only suspected.
        source: who or what noticed, as ``type`` and either ``source`` or ``id`` (the case file's
            ``detected_by``).
        operation: the operation, where there is one.
        effect: the effect, where there is one.
        actor: who reported it, where a person did.
        subject: what tells this problem from others with the same code, where the code does not.
        criteria: why it is declared an incident.
        details: allow-listed data.
    """

    title: str
    code: str
    gray: bool
    source: Mapping[str, str]
    operation: str | None = None
    effect: str | None = None
    actor: str | None = None
    subject: str | None = None
    criteria: tuple[str, ...] = ()
    details: Mapping[str, Any] = attrs.field(factory=dict)


def open_or_join(draft: Draft, signal: Signal) -> Escalation:
    """Append ``incident.opened``, or ``incident.joined`` to the newest open incident like it."""
    print_ = fingerprint(draft.service, signal.operation, signal.code, signal.subject)
    known = draft.entries(kind="incident.opened", newest_first=True, limit=LOOK_BACK_MAX)
    for opened in known:
        if (
            opened.facts.get("fingerprint") == print_
            and opened.incident
            and not is_closed(draft, opened.incident)
        ):
            return _join(draft, signal, opened.incident)
    number = next_number([entry.incident or "" for entry in known], draft.now.year)
    while draft.entries(kind="incident.opened", incident=number, limit=1):
        number = next_number(
            [number], draft.now.year
        )  # the clock has gone back to a year that lies further behind
    return _open(draft, signal, number, print_)


def _open(draft: Draft, signal: Signal, incident: str, print_: str) -> Escalation:
    facts = {
        "title": signal.title[:TITLE_CHARACTERS_MAX],
        "code": signal.code,
        "gray": signal.gray,
        "fingerprint": print_,
        "detected_by": dict(signal.source),
        "status": "ongoing",
    }
    return _append(draft, "incident.opened", signal, incident, facts, count=1)


def _join(draft: Draft, signal: Signal, incident: str) -> Escalation:
    before = draft.entries(kind="incident.joined", incident=incident, newest_first=True, limit=1)
    count = (before[0].facts.get("count", 1) if before else 1) + 1
    facts = {
        "title": signal.title[:TITLE_CHARACTERS_MAX],
        "code": signal.code,
        "gray": signal.gray,
        "detected_by": dict(signal.source),
        "count": count,
    }
    return _append(draft, "incident.joined", signal, incident, facts, count=count)


def _append(
    draft: Draft, kind: str, signal: Signal, incident: str, facts: dict[str, Any], *, count: int
) -> Escalation:
    if signal.criteria:
        facts["criteria"] = list(signal.criteria)
    receipt = draft.record(
        kind,
        world=World.RML3,
        facts=facts,
        personal={"details": dict(signal.details)} if signal.details else None,
        actor=signal.actor,
        operation=signal.operation,
        effect=signal.effect,
        incident=incident,
    )
    return Escalation(
        incident=incident,
        opened=kind == "incident.opened",
        count=count,
        title=signal.title[:TITLE_CHARACTERS_MAX],
        code=signal.code,
        world=World.RML3,
        gray=signal.gray,
        service=draft.service,
        operation=signal.operation,
        effect=signal.effect,
        at=receipt.recorded_at,
        entry=receipt.id,
        details=signal.details,
    )


def is_closed(draft: Draft, incident: str) -> bool:
    """Say whether an incident has been closed, and not been reopened since."""
    closed = draft.entries(kind="incident.closed", incident=incident)
    return len(closed) > len(draft.entries(kind="incident.reopened", incident=incident))


def fingerprint(
    service: str | None, operation: str | None, code: str, subject: str | None = None
) -> str:
    """Return the hex digest by which problems are one problem.

    SHA-256 over canonical ``["rml/1/problem", service, operation, code, subject]``.
    """
    return hashlib.sha256(
        canonical_json(["rml/1/problem", service, operation, code, subject])
    ).hexdigest()


def next_number(newest_first: list[str], year: int) -> str:
    """Return the next id of a year, ``INC-2026-0001`` being the first; ids are never used again."""
    for known in newest_first:
        match = _NUMBERED.fullmatch(known)
        if match and int(match[1]) == year:
            return f"INC-{year:04d}-{int(match[2]) + 1:04d}"
    return f"INC-{year:04d}-0001"

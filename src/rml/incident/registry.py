"""What is written down in quiet hours for a rollback: what ran well, and what can be undone.

A runbook is registered for the symptom by which somebody at three in the morning will look for it.
The second lever goes back to the artifact that was registered last as good. The third is pulled
only where the newest migration was authored so that it can be reversed: one that cannot makes the
incident graver by a level, and the way is forward.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from rml.error import InvalidInputError
from rml.incident import kinds, step
from rml.incident.gate import Barrier
from rml.incident.rule import Look
from rml.incident.severity import Sev
from rml.ledger.entry import Entry
from rml.tag import shown

KNOWN_GOOD: Final = "lever.known_good"
MIGRATION: Final = "lever.migration"
RUNBOOK: Final = "lever.runbook"
# Of other services' entries, newest first, among which one's own is looked for.
LOOK_BACK_MAX: Final = 500
_DEPLOY, _MIGRATION = "deploy_rollback", "migration_rollback"
_IRREVERSIBLE: Final = "irreversible"


def runbook_facts(symptom: object, link: object, pull: object, skip: object) -> dict[str, Any]:
    """Return the facts of a runbook: for which symptom it is, what it pulls and what it skips.

    Raises:
        InvalidInputError: a lever stands in neither or both, or is not known.
    """
    facts: dict[str, Any] = {
        "symptom": step.named("symptom", symptom),
        "runbook": step.named("link", link),
    }
    levers = step.words("pull", pull, (*step.LEVERS, *step.CONTAINMENTS)).get("pull", [])
    if not levers:
        raise InvalidInputError("pull names no lever; a runbook says what to pull, or 'none'")
    if skip is not None and not isinstance(skip, Mapping):
        raise InvalidInputError(f"skip maps levers to reasons, not {shown(skip)}")
    reasons = {
        step.one_of("a lever in skip", name, step.LEVERS): step.said(f"skip[{name!r}]", why)
        for name, why in (skip or {}).items()
    }
    last = max((step.LEVERS.index(lever) for lever in levers if lever in step.LEVERS), default=0)
    for lever in step.LEVERS:
        if lever in levers and lever in reasons:
            raise InvalidInputError(f"{lever} is in pull and in skip; say which of the two holds")
        if lever in step.LEVERS[:last] and lever not in (*levers, *reasons):
            message = f"{lever} is in neither pull nor skip; say in skip why it is left out"
            raise InvalidInputError(message)
    return facts | {"pull": levers} | ({"skip": reasons} if reasons else {})


def runbook_for(look: Look, triage: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the facts that say which runbook is for a symptom, or that there is none."""
    known = (e for e in _registered(look, RUNBOOK) if e.facts["symptom"] == triage["symptom"])
    found = next(known, None)
    if found is None:
        return {"no_runbook": True}
    return {name: found.facts[name] for name in ("runbook", "pull", "skip") if name in found.facts}


def check_runbook(look: Look) -> Iterator[Barrier]:
    """Yield the symptoms of a case for which nobody had a runbook, and nobody has one now."""
    for triage in look.of(kinds.TRIAGED):
        symptom = triage.facts["symptom"]
        if "runbook" not in triage.facts and "runbook" not in runbook_for(look, triage.facts):
            text = f"no runbook is registered for {symptom}: book.runbook({symptom!r}, ..., by=...)"
            yield Barrier("runbook-registered", text)


def check_rollback(look: Look, lever: str) -> Iterator[Barrier]:
    """Yield why there is nothing that a lever could go back to."""
    if lever == _DEPLOY and _newest(look, KNOWN_GOOD) is None:
        text = "no artifact is registered as good: book.known_good('payments 1.4.2', by=...)"
        yield Barrier("known-good", text)
    migration = _newest(look, MIGRATION) if lever == _MIGRATION else None
    if lever == _MIGRATION and migration is None:
        text = (
            "nobody registered whether the migration can be reversed: "
            "book.migration('0042', reversible=..., by=...)"
        )
        yield Barrier("reversible", text)
    if migration is not None and not migration.facts["reversible"]:
        text = f"migration {migration.facts['migration']} cannot be reversed; the way is forward"
        yield Barrier(_IRREVERSIBLE, text, overridable=False)


def rolled_back_to(look: Look, lever: str) -> Mapping[str, Any]:
    """Return the facts that say what a lever goes back to, or undoes."""
    if lever == _DEPLOY:
        good = _newest(look, KNOWN_GOOD)
        return {} if good is None else {"artifact": good.facts["artifact"]}
    migration = _newest(look, MIGRATION) if lever == _MIGRATION else None
    return {} if migration is None else {"migration": migration.facts["migration"]}


def raise_severity(look: Look, rules: list[str], actor: str) -> bool:
    """Record, once for a migration, that an incident is graver because it cannot be reversed.

    Returns:
        Whether something was recorded; a severity that nobody has said cannot be raised.
    """
    severity = look.read.file.classification.severity
    migration = _newest(look, MIGRATION)
    if _IRREVERSIBLE not in rules or migration is None:
        return False
    if not isinstance(severity, Sev) or severity is Sev.SEV0:
        return False
    name = migration.facts["migration"]
    if any(entry.facts["migration"] == name for entry in look.of(kinds.SEVERITY_RAISED)):
        return False
    graver = Sev(f"SEV-{severity.number - 1}")
    detail = f"from {severity} to {graver}: migration {name} cannot be reversed"
    facts = {"severity": graver.value, "migration": name, "detail": detail}
    look.draft.record(
        kinds.SEVERITY_RAISED, world=look.world, facts=facts, actor=actor, incident=look.incident
    )
    return True


def _newest(look: Look, kind: str) -> Entry | None:
    """Return what was registered last for the service in which the case was opened."""
    return next(_registered(look, kind), None)


def _registered(look: Look, kind: str) -> Iterator[Entry]:
    """Yield what was registered for the service in which the case was opened, newest first."""
    service = look.of(kinds.OPENED)[0].service
    known = look.draft.entries(kind=kind, newest_first=True, limit=LOOK_BACK_MAX)
    return (entry for entry in known if service in (None, entry.service))

"""What suggests that a case is graver than the severity by which people declared it.

A severity that is said too low makes every number look better: slower answers are allowed, and
fewer people hear. Nothing is refused by this and nobody is blamed; the hints stand beside the
numbers that they explain.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from rml.incident import scope
from rml.incident.command.communication import BROAD_USERS, CADENCE, LEADERSHIP, MATRIX, first_told
from rml.incident.kinds import SEVERITY_RAISED, UNDERSTOOD
from rml.incident.severity import Priority, Sev, default_priority
from rml.ledger.entry import Entry

# From how many users or transactions on an impact is more than a severity stands for: SEV-3 is a
# single service's, SEV-4 cosmetic, SEV-5 somebody else's. Those above stand for any number.
TOO_MANY: Final[Mapping[Sev, int]] = MappingProxyType(
    {Sev.SEV3: BROAD_USERS, Sev.SEV4: 1, Sev.SEV5: 1}
)


def under_declared(entries: Sequence[Entry]) -> tuple[str, ...]:
    """Return what suggests that a case was declared too low, one sentence each.

    A case of which nobody has said the severity, or said it in words of their own, has none.
    """
    said = [entry for entry in entries if _severity(entry) is not None]
    severity = _severity(said[-1]) if said else None
    if severity is None:
        return ()
    return (*_too_many(entries, severity), *_too_high(entries, severity), *_raised_late(said))


def _severity(entry: Entry) -> Sev | None:
    """Return the severity that an entry says, if it is one of the scale."""
    value = entry.facts.get("severity") if entry.kind in (UNDERSTOOD, SEVERITY_RAISED) else None
    return Sev(value) if value in list(Sev) else None


def _too_many(entries: Sequence[Entry], severity: Sev) -> Iterator[str]:
    """Yield of whom or what more was hit than the severity stands for, as was said last."""
    for noun in ("users", "transactions"):
        counted = [value for value, _ in scope.told(entries, noun)]
        guessed = [value for value, _ in scope.told(entries, f"{noun}_estimate")]
        hit = (counted or guessed or [0])[-1]
        limit = TOO_MANY.get(severity)
        if limit is not None and hit >= limit:
            yield f"{hit:,} {noun} are more than {severity} stands for"


def _too_high(entries: Sequence[Entry], severity: Sev) -> Iterator[str]:
    """Yield that leadership heard, of what leadership need not hear of."""
    given = [entry.facts["priority"] for entry in entries if "priority" in _assessment(entry)]
    priority = Priority(given[-1]) if given else default_priority(severity)
    called = {rung.audience for rung in MATRIX[priority]}
    if LEADERSHIP in first_told(entries) and LEADERSHIP not in called:
        yield f"leadership was told, whom {severity} with {priority} does not call for"


def _assessment(entry: Entry) -> Mapping[str, object]:
    return entry.facts if entry.kind == UNDERSTOOD else {}


def _raised_late(said: Sequence[Entry]) -> Iterator[str]:
    """Yield that people said a graver severity long after the first, as the ledger recorded it."""
    first = _severity(said[0])
    for entry in said:
        now, took = _severity(entry), entry.recorded_at - said[0].recorded_at
        if entry.kind == UNDERSTOOD and first and now and now < first and took > CADENCE:
            minutes = round(took.total_seconds() / 60)
            yield f"{first} was raised to {now} after {minutes:,} min"
            return

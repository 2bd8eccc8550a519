"""How somebody says that something has become history: it is certain, or it is suspected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from rml.cause import Cause
from rml.codec import plain
from rml.config import current_ledger
from rml.effect.resolution import effect_in
from rml.error import InvalidInputError, RmlError
from rml.incident.signals.hook import Escalation
from rml.incident.signals.marks import mark_recorded
from rml.incident.signals.opening import Signal, open_or_join
from rml.incident.signals.telling import tell
from rml.incident.step import CRITERIA, source_of, words
from rml.ledger.draft import Draft
from rml.ledger.entry import check_text
from rml.ledger.ledger import Ledger
from rml.tag import shown

# What a report may say in clear; the rest belongs into the case.
TEXT_CHARACTERS_MAX: Final = 2_000


@attrs.frozen(kw_only=True)
class Incident:
    """The incident that an escalation opened or joined.

    Attributes:
        id: such as ``INC-2026-0001``.
        opened: whether this escalation opened it.
        count: how many escalations it has gathered.
        entry: the id of the ledger entry that recorded this one.
    """

    id: str
    opened: bool
    count: int
    entry: str


def escalate(
    problem: BaseException | str,
    *,
    operation: str | None = None,
    effect: str | None = None,
    by: str | None = None,
    detected_by: Mapping[str, str] | None = None,
    criteria: Sequence[str] = (),
    details: Mapping[str, Any] | None = None,
    ledger: Ledger | None = None,
) -> Incident:
    """Open an incident for a problem that has reached history, or join the open one like it.

    Args:
        problem: an exception, or what happened in words. A stranger's exception is recorded by its
            type; its text is kept erasably.
        operation: the operation, such as ``payment.charge``.
        effect: the effect's id.
        by: who reports it.
        detected_by: what noticed it, as in the case file: ``{"type": "cs_ticket", "id":
            "CS-1234"}``.
        criteria: why it is an incident: ``slo-or-sla-violated``, ``unavailable-or-slow``,
            ``security``, ``business-critical-degraded``, ``unknown-impact``, or ``other:...``.
        details: JSON-like data, kept erasably.
        ledger: the ledger, if not the configured one.

    Raises:
        InvalidInputError: names the value that cannot be recorded.
        UnknownIdError: ``effect`` names no effect of the ledger.
        NoLedgerError: no ledger is configured.
    """
    source = _noticed(detected_by, {"type": "rml", "source": "escalate"})
    signal = signal_of(problem, operation, source, gray=False)
    told = attrs.evolve(signal, effect=effect, actor=by, criteria=_criteria(criteria))
    return _escalate(told, details, ledger, problem)


def suspect(
    text: str,
    *,
    operation: str | None = None,
    effect: str | None = None,
    by: str | None = None,
    detected_by: Mapping[str, str] | None = None,
    criteria: Sequence[str] = (),
    details: Mapping[str, Any] | None = None,
    ledger: Ledger | None = None,
) -> Incident:
    """Open an incident on suspicion alone, without any proof.

    Gray is treated as RML3 until somebody scopes it down. Arguments and errors are those of
    :func:`escalate`.
    """
    if not isinstance(text, str):
        kind = type(text).__name__
        message = f"a suspicion is told in words, not by {kind}; use rml.escalate for an exception"
        raise InvalidInputError(message)
    source = _noticed(detected_by, {"type": "person", "source": by or "unknown"})
    signal = signal_of(text, operation, source, gray=True)
    told = attrs.evolve(signal, effect=effect, actor=by, criteria=_criteria(criteria))
    return _escalate(told, details, ledger, text)


def _escalate(
    signal: Signal,
    details: Mapping[str, Any] | None,
    ledger: Ledger | None,
    problem: BaseException | str,
) -> Incident:
    history = current_ledger(ledger)
    more = {**signal.details, **(_details(details) if details is not None else {})}
    known = attrs.evolve(signal, details=more)
    if known.effect is not None:
        check_text("effect", known.effect)

    def work(draft: Draft) -> Escalation:
        if known.effect is not None:
            effect_in(draft, known.effect)
        return open_or_join(draft, known)

    escalation = history.write(work)
    if isinstance(problem, BaseException):
        mark_recorded(problem, escalation.incident)
    tell(history, escalation)
    return Incident(
        id=escalation.incident,
        opened=escalation.opened,
        count=escalation.count,
        entry=escalation.entry,
    )


def signal_of(
    problem: BaseException | str, operation: str | None, source: dict[str, str], *, gray: bool
) -> Signal:
    """Return a problem as its incident will have it; a stranger's exception goes by its type."""
    if operation is not None:
        check_text("operation", operation)
    if isinstance(problem, RmlError):
        return Signal(
            title=problem.message,
            code=problem.code,
            gray=gray,
            source=source,
            operation=operation,
            details=problem.details,
        )
    if isinstance(problem, BaseException):
        cause = Cause.of(problem)
        return Signal(
            title=f"{operation or 'an operation'} raised {cause.type}",
            code=cause.type.rpartition(".")[2],
            gray=gray,
            source=source,
            operation=operation,
            details={"text": cause.message},
        )
    text = _words(problem)
    code = "SUSPICION" if gray else "ESCALATED"
    return Signal(
        title=text, code=code, gray=gray, source=source, operation=operation, subject=text
    )


def _words(text: object) -> str:
    if not isinstance(text, str) or not text.strip():
        message = f"say what happened: an exception, or words, not {shown(text)}"
        raise InvalidInputError(message)
    if len(text) > TEXT_CHARACTERS_MAX:
        raise InvalidInputError(
            f"the text has {len(text)} characters, the limit is {TEXT_CHARACTERS_MAX} "
            "(TEXT_CHARACTERS_MAX)"
        )
    return text


def _noticed(given: object, default: dict[str, str]) -> dict[str, str]:
    return default if given is None else source_of(given)


def _criteria(given: object) -> tuple[str, ...]:
    return tuple(words("criteria", given, CRITERIA).get("criteria", ()))


def _details(details: object) -> dict[str, Any]:
    if isinstance(details, Mapping):
        return {
            check_text("a name in details", k): plain(v, f"details.{k}") for k, v in details.items()
        }
    message = f"details must be a mapping from names to values, not {type(details).__name__}"
    raise InvalidInputError(message)

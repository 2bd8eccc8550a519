"""The case file: one page that says which world changed, when, and who decided what about it.

This is the casebook template (section 4 of the casebook document), key for key and in its order:
:class:`CaseFile` is the page, the other classes are its parts, and each attribute is a key. Keys
of ours stand beside those of the template and are left out while they are empty: ``recorded_at``
and ``entry`` say when a fact was recorded and by which ledger entry, ``affected_*_counted`` is the
number that was counted beside the one estimated, ``costs`` what it came to, ``decisions.entries``
are the decisions as they were made, ``ledger`` names the state of the ledger that the page was
generated from.

The model is pure, and lenient about what is not known yet: a blank of the template stays visible
as ``null``, ``""`` or ``[]``. What stands in the way of closing a case is a question of its own,
which :mod:`rml.incident.closing` answers. Types, roles and assets are open: any text is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal

import attrs

from rml.error import InvalidInputError
from rml.incident.pages import casefile_form as form
from rml.incident.pages.casefile_form import Part
from rml.incident.pages.casefile_yaml import dump_yaml, parse_yaml, refusal_at, time_text
from rml.incident.severity import Priority, Sev
from rml.world import World

# The forms in use: INC-2025-0001, and INC-1234 or INC-12345.
INCIDENT_ID: Final = re.compile(r"INC-(?:[0-9]{4}-)?[0-9]{4,10}", re.ASCII)
# What any organisation's ids must keep to, because they stand in file names and URLs.
_ANY_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_OPTIONAL: Final = {"optional": True}


class CaseStatus(StrEnum):
    """How far a case is; :func:`can_move` says where it may go from there."""

    ONGOING = "ongoing"
    MONITORING = "monitoring"
    RESOLVED = "resolved"


_MOVES: Final = {
    CaseStatus.ONGOING: (CaseStatus.MONITORING, CaseStatus.RESOLVED),
    CaseStatus.MONITORING: (CaseStatus.ONGOING, CaseStatus.RESOLVED),
    CaseStatus.RESOLVED: (CaseStatus.ONGOING,),  # it came back, so it is looked at afresh
}


def _severity(value: Sev | str | None) -> Sev | str | None:
    """Read a severity; one of an organisation's own scheme is kept as text."""
    given = form.text_or_none(value)
    if given is None or not given.strip().lower().startswith("sev"):
        return given
    return Sev(given)


def _priority(value: Priority | str | None) -> Priority | None:
    given = form.text_or_none(value)
    return None if given is None else Priority(given)


def _status(value: CaseStatus | str) -> CaseStatus:
    try:
        return CaseStatus(form.text(value).strip().lower())
    except ValueError:
        got = form.shown(value)
        raise InvalidInputError(f"expected ongoing, monitoring or resolved, got {got}") from None


def _incident_id(value: str) -> str:
    if not _ANY_ID.fullmatch(form.text(value)):
        got = form.shown(value)
        raise InvalidInputError(f"expected an incident id such as INC-2025-0001, got {got}")
    return value


@attrs.frozen(kw_only=True)
class DetectedBy(Part):
    """What told us: an alert and its ``source``, a ticket and its ``id``."""

    type: str = attrs.field(converter=form.text)
    source: str | None = attrs.field(default=None, converter=form.text_or_none, metadata=_OPTIONAL)
    id: str | None = attrs.field(default=None, converter=form.text_or_none, metadata=_OPTIONAL)


def _detections(value: Iterable[DetectedBy] | None) -> tuple[DetectedBy, ...]:
    return form.rows(value)


@attrs.frozen(kw_only=True)
class Scope(Part):
    """How many were hit: as estimated, and as counted in the ledger. ``None`` is unknown, not 0."""

    affected_users_estimate: int | None = attrs.field(default=None, converter=form.count_or_none)
    affected_users_counted: int | None = attrs.field(
        default=None, converter=form.count_or_none, metadata=_OPTIONAL
    )
    affected_transactions_estimate: int | None = attrs.field(
        default=None, converter=form.count_or_none
    )
    affected_transactions_counted: int | None = attrs.field(
        default=None, converter=form.count_or_none, metadata=_OPTIONAL
    )


@attrs.frozen(kw_only=True)
class Classification(Part):
    """How bad it is, as a :class:`Sev` or in an organisation's own words, and what it touches.

    ``priority`` is how fast people must act, where it is not what the severity says; ``exposure``
    is what was exposed, such as ``money_moved`` or ``regulatory``.
    """

    severity: Sev | str | None = attrs.field(default=None, converter=_severity)
    priority: Priority | None = attrs.field(default=None, converter=_priority, metadata=_OPTIONAL)
    asset: tuple[str, ...] = attrs.field(default=(), converter=form.texts, metadata={"texts": True})
    exposure: tuple[str, ...] = attrs.field(
        default=(), converter=form.texts, metadata={"texts": True, **_OPTIONAL}
    )
    scope: Scope = attrs.field(factory=Scope, validator=form.is_part, metadata={"part": Scope})


@attrs.frozen(kw_only=True)
class TimelineEvent(Part):
    """What happened, when, and in which world.

    ``at`` is when it happened; ``recorded_at`` is when the ledger learned of it, in ``entry``.
    """

    at: datetime = attrs.field(converter=form.time)
    world: World = attrs.field(converter=form.world)
    type: str = attrs.field(converter=form.text)
    detail: str = attrs.field(converter=form.text)
    recorded_at: datetime | None = attrs.field(
        default=None, converter=form.time_or_none, metadata=_OPTIONAL
    )
    entry: str | None = attrs.field(default=None, converter=form.text_or_none, metadata=_OPTIONAL)


def _events(value: Iterable[TimelineEvent] | None) -> tuple[TimelineEvent, ...]:
    return form.rows(value)


@attrs.frozen(kw_only=True)
class DecidedBy(Part):
    """Who decided, and for whom: ``legal``, ``business``, ``sre`` or another role."""

    role: str = attrs.field(converter=form.text)
    name: str = attrs.field(default="", converter=form.text_or_blank)


def _deciders(value: Iterable[DecidedBy] | None) -> tuple[DecidedBy, ...]:
    return form.rows(value)


@attrs.frozen(kw_only=True)
class DecisionEntry(Part):
    """One decision, written down when it was made; ``amends`` names the entry it replaces."""

    at: datetime = attrs.field(converter=form.time)
    summary: str = attrs.field(converter=form.text)
    decided_by: tuple[DecidedBy, ...] = attrs.field(
        default=(), converter=_deciders, validator=form.is_part, metadata={"rows": DecidedBy}
    )
    recorded_at: datetime | None = attrs.field(
        default=None, converter=form.time_or_none, metadata=_OPTIONAL
    )
    entry: str | None = attrs.field(default=None, converter=form.text_or_none, metadata=_OPTIONAL)
    amends: str | None = attrs.field(default=None, converter=form.text_or_none, metadata=_OPTIONAL)


def _decisions(value: Iterable[DecisionEntry] | None) -> tuple[DecisionEntry, ...]:
    return form.rows(value)


@attrs.frozen(kw_only=True)
class Decisions(Part):
    """What was decided and who decided it; ``entries`` has each decision, oldest first."""

    summary: str = attrs.field(default="", converter=form.text_or_blank)
    decided_by: tuple[DecidedBy, ...] = attrs.field(
        default=(), converter=_deciders, validator=form.is_part, metadata={"rows": DecidedBy}
    )
    entries: tuple[DecisionEntry, ...] = attrs.field(
        default=(),
        converter=_decisions,
        validator=form.is_part,
        metadata={"rows": DecisionEntry, **_OPTIONAL},
    )


@attrs.frozen(kw_only=True)
class TechnicalAction(Part):
    """What was done to systems or to money, and the world it updates."""

    type: str = attrs.field(converter=form.text)
    world: World = attrs.field(converter=form.world)
    count: int | None = attrs.field(default=None, converter=form.count_or_none, metadata=_OPTIONAL)
    detail: str | None = attrs.field(default=None, converter=form.text_or_none, metadata=_OPTIONAL)
    entry: str | None = attrs.field(default=None, converter=form.text_or_none, metadata=_OPTIONAL)


def _technical(value: Iterable[TechnicalAction] | None) -> tuple[TechnicalAction, ...]:
    return form.rows(value)


@attrs.frozen(kw_only=True)
class CommunicationAction(Part):
    """What was said and to whom, and the world it updates."""

    type: str = attrs.field(converter=form.text)
    world: World = attrs.field(converter=form.world)
    template_id: str | None = attrs.field(
        default=None, converter=form.text_or_none, metadata=_OPTIONAL
    )
    channel: str | None = attrs.field(default=None, converter=form.text_or_none, metadata=_OPTIONAL)
    entry: str | None = attrs.field(default=None, converter=form.text_or_none, metadata=_OPTIONAL)


def _communications(value: Iterable[CommunicationAction] | None) -> tuple[CommunicationAction, ...]:
    return form.rows(value)


@attrs.frozen(kw_only=True)
class Actions(Part):
    """What was done about it: to systems and money, and in words."""

    technical: tuple[TechnicalAction, ...] = attrs.field(
        default=(), converter=_technical, validator=form.is_part, metadata={"rows": TechnicalAction}
    )
    communication: tuple[CommunicationAction, ...] = attrs.field(
        default=(),
        converter=_communications,
        validator=form.is_part,
        metadata={"rows": CommunicationAction},
    )


@attrs.frozen(kw_only=True)
class Cost(Part):
    """What one kind of cost comes to in one currency. ``amount=None`` is unknown, not 0."""

    type: str = attrs.field(converter=form.text)
    amount: str | None = attrs.field(default=None, converter=form.text_or_none)
    currency: str | None = attrs.field(
        default=None, converter=form.text_or_none, metadata=_OPTIONAL
    )


def _costs(value: Iterable[Cost] | None) -> tuple[Cost, ...]:
    return form.rows(value)


@attrs.frozen(kw_only=True)
class LessonsLearned(Part):
    """What was learned, in three lists that are all there from the start.

    An incident comes back by way of the list that was forgotten.
    """

    technical: tuple[str, ...] = attrs.field(
        default=(), converter=form.texts, metadata={"texts": True}
    )
    process: tuple[str, ...] = attrs.field(
        default=(), converter=form.texts, metadata={"texts": True}
    )
    governance: tuple[str, ...] = attrs.field(
        default=(), converter=form.texts, metadata={"texts": True}
    )


@attrs.frozen(kw_only=True)
class LedgerState(Part):
    """What the page was generated from: a ledger's identity, its size then, and its root hash."""

    origin: str = attrs.field(converter=form.text)
    size: int = attrs.field(converter=form.count)
    root: str = attrs.field(converter=form.text)


@attrs.frozen(kw_only=True)
class CaseFile(Part):
    """A case on one page, as the casebook template has it.

    Values are taken as people write them (a list, ``"RML-3"``, ``"sev1"``, a time of any zone);
    what is kept is a tuple, a :class:`World`, a :class:`Sev`, a time in UTC.

    Raises:
        InvalidInputError: a value is not of its kind, a time has no zone, a world is unknown.
    """

    incident_id: str = attrs.field(converter=_incident_id)
    title: str = attrs.field(converter=form.text)
    rml_world: World = attrs.field(converter=form.world)
    status: CaseStatus = attrs.field(converter=_status)
    detected_at: datetime = attrs.field(converter=form.time)
    detected_by: tuple[DetectedBy, ...] = attrs.field(
        default=(), converter=_detections, validator=form.is_part, metadata={"rows": DetectedBy}
    )
    classification: Classification = attrs.field(
        factory=Classification, validator=form.is_part, metadata={"part": Classification}
    )
    timeline: tuple[TimelineEvent, ...] = attrs.field(
        default=(), converter=_events, validator=form.is_part, metadata={"rows": TimelineEvent}
    )
    decisions: Decisions = attrs.field(
        factory=Decisions, validator=form.is_part, metadata={"part": Decisions}
    )
    actions: Actions = attrs.field(
        factory=Actions, validator=form.is_part, metadata={"part": Actions}
    )
    costs: tuple[Cost, ...] = attrs.field(
        default=(),
        converter=_costs,
        validator=form.is_part,
        metadata={"rows": Cost, **_OPTIONAL},
    )
    lessons_learned: LessonsLearned = attrs.field(
        factory=LessonsLearned, validator=form.is_part, metadata={"part": LessonsLearned}
    )
    ledger: LedgerState | None = attrs.field(
        default=None, validator=form.is_part, metadata={"part": LedgerState, **_OPTIONAL}
    )

    @classmethod
    def from_yaml(
        cls,
        source: str | bytes,
        *,
        unknown: Literal["refuse", "keep"] = "refuse",
        id_pattern: re.Pattern[str] = INCIDENT_ID,
    ) -> CaseFile:
        """Read a case file.

        Args:
            source: one YAML document, as text or as UTF-8 bytes.
            unknown: whether keys that are not the form's are refused, or kept in ``extra``.
            id_pattern: what an incident id looks like, in full.

        Raises:
            InvalidInputError: says what was expected, at which line and column.
        """
        document = parse_yaml(source)
        try:
            return _read(cls, document.value, unknown, id_pattern)
        except form.Refusal as refusal:
            place = document.place(refusal.path, key=refusal.at_key)
            raise refusal_at(place, str(refusal)) from None

    @classmethod
    def from_dict(
        cls,
        plain: object,
        *,
        unknown: Literal["refuse", "keep"] = "refuse",
        id_pattern: re.Pattern[str] = INCIDENT_ID,
    ) -> CaseFile:
        """Read a case file from plain data: what :meth:`to_dict` returns, or parsed JSON.

        Raises:
            InvalidInputError: says what was expected, at which place.
        """
        try:
            return _read(cls, plain, unknown, id_pattern)
        except form.Refusal as refusal:
            raise InvalidInputError(str(refusal)) from None

    def to_yaml(self) -> str:
        """Write the page in the template's order; the text reads back as an equal case file."""
        return dump_yaml(form.to_plain(self, times=lambda moment: moment))

    def to_dict(self) -> dict[str, object]:
        """Return the page as JSON data in the template's order; times are text such as in YAML."""
        return form.to_plain(self, times=time_text)


def _read(
    cls: type[CaseFile],
    plain: object,
    unknown: Literal["refuse", "keep"],
    id_pattern: re.Pattern[str],
) -> CaseFile:
    if unknown not in {"refuse", "keep"}:
        raise InvalidInputError(f"unknown takes 'refuse' or 'keep', not {unknown!r}")
    case = form.from_plain(cls, plain, unknown=unknown)
    if not id_pattern.fullmatch(case.incident_id):
        raise form.Refusal(
            ("incident_id",),
            f"incident_id: expected an id such as INC-2025-0001, got {case.incident_id!r}",
        )
    return case


def can_move(current: CaseStatus | str, to: CaseStatus | str) -> bool:
    """Return whether a case may go from one status to another; staying is no move."""
    return _status(to) in _MOVES[_status(current)]

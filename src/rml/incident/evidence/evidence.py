"""What is counted and joined for a case: containment, impact, and one timeline of all sources."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from rml.error import InvalidInputError
from rml.files import as_path
from rml.incident import reading, step
from rml.incident.evidence.happening import Happening, Skipped
from rml.incident.evidence.impact import Impact, ImpactQuery, count
from rml.incident.evidence.joining import JoinedTimeline, joined
from rml.incident.evidence.ledger_source import read_ledger
from rml.incident.evidence.log_source import read_log
from rml.incident.evidence.otlp_source import read_otlp
from rml.incident.kinds import COUNTED
from rml.incident.levers.containment import QUIET, Containment
from rml.incident.private import CaseReading
from rml.ledger.argument import as_seconds, asked, moment_text
from rml.ledger.entry import check_kind
from rml.ledger.ledger import Ledger
from rml.tag import shown

Paths: TypeAlias = "str | os.PathLike[str] | Sequence[str | os.PathLike[str]]"


class CaseEvidence(CaseReading):
    """What is counted rather than told."""

    @property
    def containment(self) -> Containment:
        """Whether the bleeding has stopped: nothing new for five minutes since it was stopped."""
        return self.prove_containment()

    def prove_containment(self, quiet: float | timedelta = QUIET) -> Containment:
        """Return whether the bleeding has stopped, for longer or shorter than five minutes.

        Args:
            quiet: seconds in which nothing may have begun.
        """
        wanted = timedelta(seconds=as_seconds("quiet", quiet))
        return reading.containment(self._ledger, self.read(), wanted)

    def count_impact(
        self,
        *,
        operation: str,
        by: str,
        key: str | Sequence[str] = (),
        within: float | timedelta | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        user: str | None = None,
        amount: str | None = "amount",
        currency: str | None = "currency",
        override: str | None = None,
    ) -> Impact:
        """Count what happened and should not have, and record the count with its query.

        It stands beside what was estimated. Effects that are found become harm that has to be
        corrected before the case is scoped below RML3, and before it is closed.

        Args:
            operation: whose effects are counted.
            by: who counts.
            key: what should have made two effects one, such as the fact ``order_id``, or
                ``("customer", "amount")``; ``key`` and ``scope`` are the effect's own. Without it,
                every effect that happened is counted.
            within: seconds that may lie between two duplicates, if not any number.
            since: only effects that began then or later.
            until: only effects that began before.
            user: the fact that says whom an effect concerns.
            amount: the fact that says how much; ``None`` counts no amounts.
            currency: the fact that says in which currency.
            override: why a rule that bars it is passed.

        Raises:
            InvalidInputError: there is no such effect, none records what is named, or amounts
                cannot be added up.
            CaseClosedError: the case is closed.
        """
        query = ImpactQuery(
            operation=check_kind(operation),
            key=_names("key", key),
            within=None if within is None else as_seconds("within", within),
            since=_moment("since", since),
            until=_after(since, _moment("until", until)),
            user=asked("user", user),
            amount=asked("amount", amount),
            currency=asked("currency", currency),
            size=_size(self._ledger),
        )
        actor = step.named("by", by)
        found = count(self._ledger.as_of(query.size), query)
        for facts in found.entries():
            self._record(COUNTED, facts, by=actor, override=override)
        return found

    def timeline_from(
        self,
        *,
        logs: Paths = (),
        otlp: Paths = (),
        since: datetime | None = None,
        until: datetime | None = None,
        zone: tzinfo | str | None = None,
    ) -> JoinedTimeline:
        """Return one timeline of this case from the ledger, application logs and telemetry.

        Nothing is recorded. A line that cannot be read is named and left out.

        Args:
            logs: files of JSON lines, as python-json-logger or structlog write them.
            otlp: files of OTLP JSON: OpenTelemetry traces, or logs.
            since: leave out what logs and telemetry tell of earlier moments.
            until: leave out what they tell of this moment and later ones.
            zone: where times without a timezone were told: a name such as ``Europe/Berlin``.

        Raises:
            InvalidInputError: a file cannot be read, or there is no such timezone.
        """
        known = read_ledger(self._ledger, self.read())
        span = {"since": _moment("since", since), "until": _moment("until", until)}
        return joined(known, _told(logs, otlp, zone), **span)

    def recount(self, entry_id: str) -> Impact:
        """Count again what an entry of kind ``incident.impact`` says was counted.

        Raises:
            UnknownIdError: there is no such entry.
            InvalidInputError: the entry holds no count.
        """
        self._enter()
        entry = self._ledger.entry(entry_id)
        if entry.kind != COUNTED:
            raise InvalidInputError.about("entry_id", entry_id, "name an entry of incident.impact")
        query = ImpactQuery.from_dict(entry.facts["query"])
        return count(self._ledger.as_of(query.size), query)


def _told(logs: Paths, otlp: Paths, zone: tzinfo | str | None) -> Iterator[Happening | Skipped]:
    where = _zone(zone)
    yield from _read_all(logs, lambda path: read_log(path, where))
    yield from _read_all(otlp, read_otlp)


def _read_all(
    given: Paths, read: Callable[[Path], Iterator[Happening | Skipped]]
) -> Iterator[Happening | Skipped]:
    for path in [given] if isinstance(given, str | os.PathLike) else given:
        file = as_path("a source", path)
        try:
            yield from read(file)
        except OSError as error:
            raise InvalidInputError(f"cannot read {file}: {error.strerror or error}") from None


def _zone(zone: tzinfo | str | None) -> tzinfo | None:
    if zone is None or isinstance(zone, tzinfo):
        return zone
    try:
        return ZoneInfo(zone)
    except (ValueError, TypeError, OSError, ZoneInfoNotFoundError):
        raise InvalidInputError.about("zone", zone, "name one such as 'Europe/Berlin'") from None


def _size(ledger: Ledger) -> int:
    """Return how many entries there are; a ledger with a case has some."""
    newest = ledger.entries(newest_first=True, limit=1)[0]
    return (newest.index or 0) + 1


def _names(what: str, given: str | Sequence[str]) -> tuple[str, ...]:
    listed: object = given
    if isinstance(listed, str):
        listed = (listed,)
    if not isinstance(listed, Sequence) or not all(isinstance(name, str) for name in listed):
        raise InvalidInputError(f"{what} must be a name or a list of names, not {shown(given)}")
    return tuple(step.named(what, name) for name in listed)


def _after(since: datetime | None, until: datetime | None) -> datetime | None:
    """Return the end of a span in which there is something to count: 0 would be an answer."""
    if since is not None and until is not None and until <= since:
        raise InvalidInputError("until lies at or before since; nothing can have begun between")
    return until


def _moment(name: str, moment: datetime | None) -> datetime | None:
    moment_text(name, moment)
    return moment

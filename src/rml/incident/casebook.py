"""The casebook: every incident of a ledger as a case."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from rml.config import current_ledger
from rml.error import InvalidInputError
from rml.incident import projection, standing, step
from rml.incident.case import Case
from rml.incident.casefile import CaseStatus
from rml.incident.reading import unknown_incident
from rml.ledger.ledger import Ledger
from rml.ledger.queries.rows import Rows

# What a prompt shows of a long book.
CASES_SHOWN_MAX: Final = 10


class Casebook:
    """Every case of a ledger.

    ``book["INC-2026-0001"]`` is one, ``book.cases(open=True)`` are some, iterating gives all.

    Args:
        ledger: the ledger, if not the configured one.

    Raises:
        InvalidInputError: it is no :class:`~rml.Ledger`.
        NoLedgerError: no ledger is configured.
    """

    def __init__(self, ledger: Ledger | None = None) -> None:
        given: object = ledger  # whatever its annotation says
        if given is not None and not isinstance(given, Ledger):
            message = f"a casebook reads an rml.Ledger, not {type(given).__name__}; open it first"
            raise InvalidInputError(message)
        self.ledger: Ledger = current_ledger(ledger)

    def __getitem__(self, incident: str) -> Case:
        """Return the case of an incident.

        Raises:
            UnknownIdError: there is no such incident in this ledger.
        """
        if incident in self:
            return Case(self.ledger, incident)
        raise unknown_incident(self.ledger, incident)

    def __contains__(self, incident: object) -> bool:
        if not isinstance(incident, str):
            return False
        try:
            opened = self.ledger.entries(kind=projection.OPENED, incident=incident, limit=1)
        except InvalidInputError:  # no text that an entry could hold
            return False
        return bool(opened)

    def __iter__(self) -> Iterator[Case]:
        for entry in self.ledger.entries(kind=projection.OPENED):
            yield Case(self.ledger, entry.incident or "")

    def __len__(self) -> int:
        return len(self.ledger.entries(kind=projection.OPENED))

    def cases(
        self,
        *,
        status: CaseStatus | str | None = None,
        open: bool | None = None,  # noqa: A002 - the word that people look for
    ) -> Rows[Case]:
        """Return cases in the order in which they were opened.

        Args:
            status: only cases of this status.
            open: ``True`` for cases that are not closed, ``False`` for those that are.

        Raises:
            InvalidInputError: there is no such status.
        """
        wanted = None if status is None else step.status("status", status)

        def ask() -> Iterator[Case]:
            for case in self:
                read = case.read()
                is_open = read.closed is None
                if wanted in (None, read.file.status) and open in (None, is_open):
                    yield case

        return Rows(ask, _row, (lambda: len(self)) if wanted is None and open is None else None)

    def __repr__(self) -> str:
        count = len(self)
        newest = self.ledger.entries(
            kind=projection.OPENED, newest_first=True, limit=CASES_SHOWN_MAX
        )
        cases = "1 case" if count == 1 else f"{count} cases"
        lines = [f"Casebook of {self.ledger.origin}: {cases}"]
        for entry in newest:
            read = Case(self.ledger, entry.incident or "").read()
            state = "closed" if read.closed is not None else f"{read.file.status}, {read.phase}"
            lines.append(f"  {standing.heading(read)} ({state})")
        if count > CASES_SHOWN_MAX:
            lines.append(f"  ... and {count - CASES_SHOWN_MAX} older")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Return a table of the cases for notebooks."""
        return self.cases()._repr_html_()


def _row(case: Case) -> dict[str, Any]:
    """Return a case as a flat row for tables."""
    read = case.read()
    severity = read.file.classification.severity
    return {
        "id": case.id,
        "title": read.file.title,
        "status": read.file.status.value,
        "open": read.closed is None,
        "phase": read.phase.value,
        "world": read.file.rml_world.value,
        "severity": None if severity is None else str(severity),
        "opened_at": read.opened_at,
        "count": read.count,
    }

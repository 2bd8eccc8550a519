"""What a query asks for as SQL: one WHERE clause and its values, in the words of each store."""

from __future__ import annotations

from typing import Any, Final

import attrs

from rml.ledger.store import EQUAL, Query

# The kinds that every protected call appends are left out of the index on kinds; this is its
# condition, to the letter.
_FREQUENT: Final = ("effect.intent", "effect.done")
_RARE: Final = "kind NOT IN ('effect.intent', 'effect.done')"
_INDEX_MAX: Final = 2**63 - 1


@attrs.frozen(kw_only=True)
class Dialect:
    """How a store's SQL says what a condition compares.

    Attributes:
        mark: stands for a value.
        index: an entry's index.
        after: what holds of an entry behind the index whose mark is in it.
        header: stands before the name of a column that repeats a field of the header.
        personal: what is kept beside an entry.
    """

    mark: str
    index: str
    after: str
    header: str = ""
    personal: str


def conditions(query: Query, dialect: Dialect, end: int | None = None) -> tuple[str, list[Any]]:
    """Return the clause of the entries that match, below index ``end`` if there is one."""
    mark, index, header = dialect.mark, dialect.index, dialect.header
    compared = [
        (dialect.after, _number(query.after)),
        (f"{index} < {mark}", _number(query.before)),
        (f"{index} < {mark}", _number(end)),
        *((f"{header}{name} = {mark}", getattr(query, name)) for name in EQUAL),
        (f"{header}recorded_at >= {mark}", query.since),
        (f"{header}recorded_at < {mark}", query.until),
    ]
    asked = [(clause, value) for clause, value in compared if value is not None]
    clauses = [clause for clause, _ in asked]
    if query.kind is not None and query.kind not in _FREQUENT:
        clauses.append(f"{header}{_RARE}")
    if query.with_personal:
        clauses.append(f"{dialect.personal} IS NOT NULL")
    return " AND ".join(clauses), [value for _, value in asked]


def _number(index: int | None) -> int | None:
    """Return an index as a database can hold it: none is larger than that."""
    return None if index is None else min(index, _INDEX_MAX)

"""What a survey asks of PostgreSQL: a page of rows in one answer, each column as one text.

A ``~`` before a name stands for the ledger's schema.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from rml.ledger.entry import COLUMNS
from rml.ledger.store import Step, Survey
from rml.ledger.tree import HASH_BYTES

# Looked up row by row, however little the server's planner knows of how long the tables are: that
# is what OFFSET 0 is for.
_PAGE: Final = (
    "(SELECT p.idx, p.leaf, e.*, k.data FROM ~places AS p "
    "LEFT JOIN LATERAL (SELECT * FROM ~entries AS e WHERE e.seq = p.seq OFFSET 0) AS e ON true "
    "LEFT JOIN LATERAL (SELECT data FROM ~personal WHERE entry = e.id OFFSET 0) AS k ON true "
    "WHERE p.idx >= %b AND p.idx < %b ORDER BY p.idx) AS page"
)
_REQUIRED: Final = COLUMNS[:5]
_FLAWS: Final = " OR ".join(
    (
        f"length(leaf) <> {HASH_BYTES}",
        *("attempt < 1" if name == "attempt" else f"{name} = ''" for name in COLUMNS),
    )
)
_TEXTS: Final = ("attempt::text" if name == "attempt" else name for name in COLUMNS)
_JOINED: Final = ", ".join(f"string_agg(coalesce({text}, ''), E'\\n')" for text in _TEXTS)
# The rows come in order, and an aggregate takes them as they come.
_SURVEY: Final = (
    f"SELECT array_agg(idx) FILTER (WHERE {_FLAWS}), string_agg(leaf, ''), "
    "count(data), count(effect), string_agg(coalesce(bytes, ''), '\\x0a'::bytea), count(*), "
    f"{_JOINED} FROM {_PAGE}"
)
_PERSONAL: Final = f"SELECT idx, data FROM {_PAGE} WHERE data IS NOT NULL"
_STEPS: Final = (
    f"SELECT idx, effect, kind, attempt, id FROM {_PAGE} WHERE effect IS NOT NULL ORDER BY idx"
)


def survey(ask: Callable[..., list[Any]], start: int, stop: int) -> Survey:
    """Tell what can be told at once of the rows from one index to another.

    Args:
        ask: takes a statement and its values, and returns rows.
        start: the first index.
        stop: the index after the last.
    """
    [row] = ask(_SURVEY, start, stop)
    doubtful, leaves, has_personal, has_steps, joined, count, *columns = row
    data = (joined or b"").split(b"\n")
    if len(data) != count:  # there are none, or one has a line's end in it
        return Survey(doubtful=range(start, stop))
    nothing = "\n" * (count - 1)  # what the texts of a column are that is in no row
    return Survey(
        doubtful=doubtful or (),
        data=data,
        leaves=leaves,
        columns={
            name: text.encode()
            for name, text in zip(COLUMNS, columns, strict=True)
            if name in _REQUIRED or text != nothing
        },
        personal=dict(ask(_PERSONAL, start, stop)) if has_personal else {},
        steps=[Step(*step) for step in ask(_STEPS, start, stop)] if has_steps else (),
    )

"""How entries are read in pages, each asked for by itself: between two, nothing is held open."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import attrs

from rml.ledger.entry import Entry
from rml.ledger.store import Query


def in_pages(
    query: Query, end: int, rows_max: int, page: Callable[[Query, int], list[Entry]]
) -> Iterator[Entry]:
    """Yield the entries below an index that match, in the query's order.

    Args:
        query: what is asked for.
        end: the index; what is appended from there on is not seen.
        rows_max: how many entries a page has at most.
        page: returns those below an index that match, as many as its query wants.
    """
    left = query.limit
    while left is None or left > 0:
        rows = rows_max if left is None else min(rows_max, left)
        found = page(attrs.evolve(query, limit=rows), end)
        yield from found
        if len(found) < rows:
            return
        last = found[-1].index
        assert last is not None
        if query.newest_first:
            end = last
        else:
            query = attrs.evolve(query, after=last)
        left = None if left is None else left - rows

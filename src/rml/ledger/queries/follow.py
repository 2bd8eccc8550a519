"""Reading on as a ledger grows, in any process: every entry once, in index order, none skipped.

Entries become visible in the order of their indexes, without gaps, and the head says how many there
are. So a follower that has seen ``n`` entries asks for those from index ``n`` up to the head, and
has then seen as many as the head said.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final

import attrs

from rml.ledger.entry import Entry
from rml.ledger.proofs.checkpoint import Checkpoint
from rml.ledger.queries.cursor import Cursor, check_continues, checkpoint_at
from rml.ledger.store import Query, Store, Waking
from rml.threads import run

# Two looks a second a person does not wait for, and each is one small read.
POLL_SECONDS: Final = 0.5
# Entries read at once: enough to pay for the look, few enough to be held.
PAGE_ENTRIES: Final = 256

Wait = Callable[[float], object]


@attrs.frozen
class _Page:
    """Entries to hand out, what the ledger is up to their end, and whether that is all of it."""

    entries: list[Entry]
    end: Checkpoint
    is_last: bool


class Follower:
    """Entries as they are recorded, for ``for`` or ``async for``; from :meth:`rml.Ledger.follow`.

    An entry counts as handled when the next one is asked for; only then does the cursor move. Who
    is killed while handling an entry is given it again: at least once, and never skipped. A loop
    that is left and begun anew goes on after the entry that was given last; there is one loop at a
    time.
    """

    def __init__(
        self,
        store: Store,
        query: Query,
        start: Checkpoint,
        *,
        shown: Callable[[Entry], Entry],
        cursor: Cursor | None,
        poll: float | None,
        wait: Wait | None,
    ) -> None:
        self._store = store
        self._query = query
        self._known = start  # what this ledger once was; it must go on from there
        self._size = start.size
        self._shown = shown
        self._cursor = cursor
        self._poll = poll
        self._wait = wait
        self._rest_of: Wait = store.rest if isinstance(store, Waking) else time.sleep

    @property
    def position(self) -> Checkpoint:
        """What the entry given last ends: keep it when the entry is handled, to go on after it.

        It is made from a few hashes of the ledger, when it is asked for.
        """
        if self._known.size != self._size:
            self._known = checkpoint_at(self._store, self._size)
        return self._known

    def __iter__(self) -> Iterator[Entry]:
        """Yield entries until nothing is new and waiting ends.

        Raises:
            LedgerCorruptError: the ledger no longer begins with what has been seen of it.
            UpcastError: an upcaster failed; the cursor stays before its entry.
        """
        wait = self._wait or self._rest_of
        while True:
            page = self._read()
            for entry in page.entries:
                yield self._given(entry)
                self._keep()
            self._pass(page)
            if page.is_last and (self._poll is None or wait(self._poll)):
                return

    async def __aiter__(self) -> AsyncIterator[Entry]:
        """Yield entries as :meth:`__iter__` does; other tasks run while it reads and waits."""
        while True:
            page = await run(self._read)
            for entry in page.entries:
                yield self._given(entry)
                if self._cursor is not None:
                    await run(self._keep)
            await run(self._pass, page)
            if page.is_last and (self._poll is None or await self._rest(self._poll)):
                return

    async def _rest(self, poll: float) -> object:
        if self._wait is not None:
            return await run(self._wait, poll)
        if self._rest_of is time.sleep:
            await asyncio.sleep(poll)
        else:
            await run(self._rest_of, poll)
        return False

    def _read(self) -> _Page:
        """Return the next entries; none where nothing is new."""
        seen, head = self.position, self._store.head()
        end = Checkpoint(self._store.origin, head.size, head.root)
        if end == seen:
            return _Page([], end, is_last=True)
        check_continues(self._store, seen)
        query = attrs.evolve(self._query, after=seen.size - 1, before=end.size, limit=PAGE_ENTRIES)
        entries = list(self._store.select(query))
        if len(entries) < PAGE_ENTRIES:
            return _Page(entries, end, is_last=True)
        last = entries[-1].index
        assert last is not None, "a store selects what was sealed"
        return _Page(entries, checkpoint_at(self._store, last + 1), is_last=False)

    def _given(self, entry: Entry) -> Entry:
        made = self._shown(entry)
        assert entry.index is not None, "a store selects what was sealed"
        self._size = entry.index + 1
        return made

    def _pass(self, page: _Page) -> None:
        """Leave a page behind: what stands between its last entry and its end did not match."""
        moved = page.end.size != self._size
        self._known, self._size = page.end, page.end.size
        if moved:
            self._keep()

    def _keep(self) -> None:
        if self._cursor is not None:
            self._cursor.save(self.position)

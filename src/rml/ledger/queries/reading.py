"""How a ledger is read: as it is now, as it stood once, and on and on as it grows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from rml.clock import Clock
from rml.effect.state import Effect, fold
from rml.error import InvalidInputError
from rml.ledger.argument import as_index, as_seconds
from rml.ledger.proofs.checkpoint import Checkpoint
from rml.ledger.queries.asking import EFFECT_TYPES, LedgerAnswers, oldest_first, query_of
from rml.ledger.queries.cursor import Cursor, check_continues, checkpoint_at
from rml.ledger.queries.follow import POLL_SECONDS, Follower
from rml.ledger.queries.rows import Rows
from rml.ledger.queries.view import LedgerView, size_at
from rml.tag import shown
from rml.world import World


class LedgerReading(LedgerAnswers):
    """The reading half of a :class:`rml.Ledger`; nothing here writes into it."""

    clock: Clock

    def look(self, effect_id: str) -> Effect | None:
        """Return where an effect stands, or ``None`` when nothing was promised under this id."""
        entries, lease = self._store.effect(effect_id)
        return fold(entries, lease, self.clock.now())

    def newest(self, effect_id: str) -> tuple[str, bytes | None] | None:
        """Return the kind of an effect's newest entry and what is kept beside it, unread."""
        return self._store.last(effect_id)

    def unended(self) -> list[str]:
        """Return the ids of the effects, and of the sagas, that have not ended."""
        return [lease.effect for lease in self._store.leases()]

    def in_doubt(self) -> Rows[Effect]:
        """Return the effects of which nobody knows whether they happened, the oldest first.

        Each waits for a reconciler or a person.
        """

        def ask() -> Iterator[Effect]:
            effects = map(self.look, self.unended())
            return oldest_first([effect for effect in effects if effect is not None])

        return Rows(ask, Effect.to_dict, types=EFFECT_TYPES)

    def as_of(self, point: int | datetime) -> LedgerView:
        """Return the ledger as it stood once, to be read and not written.

        Args:
            point: after how many entries; or at which moment, by ``recorded_at``: after the last
                entry that was recorded then or before. A moment yet to come means now.

        Raises:
            InvalidInputError: the ledger has fewer entries, or the moment has no timezone.
        """
        return LedgerView(self._store, size_at(self._store, point), self._upcasters)

    def follow(
        self,
        *,
        cursor: Cursor | None = None,
        after: int | Checkpoint = -1,
        poll: float | timedelta | None = POLL_SECONDS,
        wait: Callable[[float], object] | None = None,
        kind: str | None = None,
        world: World | str | None = None,
        operation: str | None = None,
        effect: str | None = None,
        corrects: str | None = None,
        incident: str | None = None,
        correlation: str | None = None,
    ) -> Follower:
        """Return an iterable that yields every matching entry, and goes on as new ones come.

        For ``for``, and for ``async for``, which blocks no event loop. Entries come in index order,
        from whichever process they are, each at least once: one counts as handled when the next one
        is asked for.

        Args:
            cursor: where the consumer's place is kept, such as an :class:`rml.FileCursor`.
            after: where to begin when the cursor is new, or when there is none: after this index,
                or after what this checkpoint covers.
            poll: seconds between two looks when nothing is new; ``None`` ends there instead.
            wait: waits that many seconds, and ends the iteration by returning something true;
                ``threading.Event().wait`` does.
            kind: only entries of this kind; as all that follows, see :meth:`entries`.
            world: only entries of this world.
            operation: only entries of this operation.
            effect: only entries of this effect.
            corrects: only entries that correct this one.
            incident: only entries of this incident.
            correlation: only entries of this request.

        Raises:
            InvalidInputError: an argument cannot be used, or the cursor is of another ledger.
            LedgerCorruptError: the ledger does not begin with what the cursor has seen of it.
        """
        if wait is not None and not callable(wait):
            raise InvalidInputError.about("wait", wait, "give a function of seconds")
        query = query_of(
            kind=kind,
            world=world,
            operation=operation,
            effect=effect,
            corrects=corrects,
            incident=incident,
            correlation=correlation,
        )
        return Follower(
            self._store,
            query,
            self._start(cursor, after),
            shown=self._shown,
            cursor=cursor,
            poll=None if poll is None else _as_poll(poll),
            wait=wait,
        )

    def _start(self, cursor: Cursor | None, after: int | Checkpoint) -> Checkpoint:
        """Return what a follower has seen before it begins."""
        kept: Any = None if cursor is None else _as_cursor(cursor).load()
        begin = after if kept is None else kept
        if not isinstance(begin, Checkpoint):
            size = self._store.head().size
            if as_index("after", begin) >= size:
                raise InvalidInputError.about("after", begin, f"the ledger has {size} entries")
            begin = checkpoint_at(self._store, begin + 1)
        check_continues(self._store, begin)
        return begin


def _as_cursor(cursor: Any) -> Cursor:
    if callable(getattr(cursor, "load", None)) and callable(getattr(cursor, "save", None)):
        made: Cursor = cursor
        return made
    raise InvalidInputError(
        f"cursor is {shown(cursor)}; give an rml.FileCursor(path), or an object with load() "
        "and save(checkpoint)"
    )


def _as_poll(poll: object) -> float:
    seconds = as_seconds("poll", poll)
    if seconds > 0:
        return seconds
    raise InvalidInputError.about("poll", poll, "give seconds above 0, or None to end there")

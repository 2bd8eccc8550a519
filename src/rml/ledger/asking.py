"""What a ledger can be asked: its entries, and where its effects stand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

import attrs

from rml.clock import Clock
from rml.effect.state import Effect, EffectState, fold
from rml.ledger.argument import as_state, asked, flag, limited, moment_text, unknown
from rml.ledger.draft import as_world
from rml.ledger.entry import Entry, check_text
from rml.ledger.rows import Rows
from rml.ledger.store import Query, Store
from rml.world import World


class LedgerAnswers:
    """The questions of a :class:`rml.Ledger`; none of them writes."""

    clock: Clock
    _store: Store

    def entries(
        self,
        *,
        kind: str | None = None,
        world: World | str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        operation: str | None = None,
        effect: str | None = None,
        corrects: str | None = None,
        incident: str | None = None,
        correlation: str | None = None,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> Rows[Entry]:
        """Return the entries for which every given condition holds, in index order.

        ``since`` (included) and ``until`` (excluded) are about ``recorded_at``.

        Raises:
            InvalidInputError: a time has no timezone, or a world is unknown.
        """
        query = Query(
            kind=asked("kind", kind),
            world=None if world is None else as_world(world).value,
            operation=asked("operation", operation),
            effect=asked("effect", effect),
            corrects=asked("corrects", corrects),
            incident=asked("incident", incident),
            correlation=asked("correlation", correlation),
            since=moment_text("since", since),
            until=moment_text("until", until),
            newest_first=flag("newest_first", newest_first),
            limit=limited(limit),
        )
        count = None if limit is not None else lambda: self._store.count(query)
        return Rows(lambda: self._store.select(query), entry_row, count)

    def entry(self, entry_id: str) -> Entry:
        """Return one entry by its id.

        Raises:
            UnknownIdError: there is none.
        """
        for entry in self._store.select(Query(id=check_text("entry_id", entry_id))):
            return entry
        raise unknown("entry", entry_id)

    def effect(self, effect_id: str) -> Effect:
        """Return where an effect stands.

        Raises:
            UnknownIdError: there is no such effect.
        """
        effect = self.look(check_text("effect_id", effect_id))
        if effect is None:
            raise unknown("effect", effect_id)
        return effect

    def newest(self, effect_id: str) -> tuple[str, bytes | None] | None:
        """Return the kind of an effect's newest entry and what is kept beside it, unread."""
        return self._store.last(effect_id)

    def look(self, effect_id: str) -> Effect | None:
        """Return where an effect stands, or ``None`` when nothing was promised under this id."""
        entries, lease = self._store.effect(effect_id)
        return fold(entries, lease, self.clock.now())

    def effects(
        self,
        *,
        state: EffectState | str | None = None,
        operation: str | None = None,
        since: datetime | None = None,
        key: str | None = None,
        incident: str | None = None,
    ) -> Rows[Effect]:
        """Return effects in the order of their first intents.

        Args:
            state: only effects in this state.
            operation: only effects of this operation.
            since: only effects first promised at this moment or later.
            key: only effects of this key; its text, as an effect's ``key`` has it.
            incident: only effects that this incident's entries name.

        Raises:
            InvalidInputError: no such state, or a time without timezone.
        """
        wanted = None if state is None else as_state(state)
        query = Query(
            kind="effect.intent",
            operation=asked("operation", operation),
            key=asked("key", key),
            since=moment_text("since", since),
        )
        about = asked("incident", incident)

        def ask() -> Iterator[Effect]:
            for entry in intents(self._store, query, about):
                if entry.effect is None or entry.attempt != 1:
                    continue
                effect = self.look(entry.effect)
                if effect is not None and (wanted is None or effect.state is wanted):
                    yield effect

        return Rows(ask, Effect.to_dict)

    def in_doubt(self) -> Rows[Effect]:
        """Return the effects of which nobody knows whether they happened, the oldest first.

        Each waits for a reconciler or a person.
        """

        def ask() -> Iterator[Effect]:
            effects = (self.look(lease.effect) for lease in self._store.leases())
            doubtful = [e for e in effects if e is not None and e.state is EffectState.IN_DOUBT]
            return iter(sorted(doubtful, key=lambda effect: (effect.started_at, effect.id)))

        return Rows(ask, Effect.to_dict)


def entry_row(entry: Entry) -> dict[str, Any]:
    """Return an entry as a flat row: header fields, then facts (prefixed where names clash)."""
    own: dict[str, Any] = {"index": entry.index}
    own |= {
        f.name: getattr(entry, f.name) for f in attrs.fields(Entry) if f.name not in _NOT_COLUMNS
    }
    own["world"] = entry.world.value
    return {
        **own,
        **{f"facts.{name}" if name in own else name: value for name, value in entry.facts.items()},
    }


def intents(store: Store, query: Query, incident: str | None) -> Iterator[Entry]:
    """Yield the intents that match, in index order; only of effects an incident names, if given."""
    if incident is None:
        yield from store.select(query)
        return
    named = {entry.effect for entry in store.select(Query(incident=incident))} - {None}
    found = [e for effect in named for e in store.select(attrs.evolve(query, effect=effect))]
    yield from sorted(found, key=lambda entry: entry.index or 0)


_NOT_COLUMNS: Final = frozenset({"facts", "commitments", "index", "personal", "origin"})

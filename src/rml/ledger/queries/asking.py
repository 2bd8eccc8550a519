"""What a ledger, or a view of one, can be asked: its entries, and where its effects stand."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

import attrs

from rml.effect.state import Effect, EffectState
from rml.ledger.argument import as_index, as_state, asked, flag, limited, moment_text, unknown
from rml.ledger.content import as_world
from rml.ledger.entry import COLUMNS, Entry, check_text
from rml.ledger.queries.frames import Types, row_of
from rml.ledger.queries.rows import Rows
from rml.ledger.queries.upcast import NO_UPCASTERS, Upcasters, upcast
from rml.ledger.store import Query, Store
from rml.world import World


class LedgerAnswers(ABC):
    """The questions to a :class:`rml.Ledger` or an :class:`rml.LedgerView`; none of them writes."""

    _store: Store
    _upcasters: Upcasters = NO_UPCASTERS
    # Entries from this index on are in no answer.
    _before: int | None = None

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
        after: int | None = None,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> Rows[Entry]:
        """Return the entries for which every given condition holds, in index order.

        ``since`` (included) and ``until`` (excluded) are about ``recorded_at``; ``after`` is an
        index: only entries of higher ones.

        Raises:
            InvalidInputError: a time has no timezone, a world is unknown, ``after`` is no index.
        """
        query = attrs.evolve(
            query_of(
                kind=kind,
                world=world,
                operation=operation,
                effect=effect,
                corrects=corrects,
                incident=incident,
                correlation=correlation,
            ),
            since=moment_text("since", since),
            until=moment_text("until", until),
            after=-1 if after is None else as_index("after", after),
            before=self._before,
            newest_first=flag("newest_first", newest_first),
            limit=limited(limit),
        )
        count = None if limit is not None else lambda: self._store.count(query)
        rows = self._store.select
        return Rows(lambda: map(self._shown, rows(query)), entry_row, count, ENTRY_TYPES)

    def entry(self, entry_id: str) -> Entry:
        """Return one entry by its id.

        Raises:
            UnknownIdError: there is none.
        """
        return self._shown(self._recorded(entry_id))

    def index_of(self, entry_id: str) -> int:
        """Return the index of an entry, such as a receipt names.

        Where a later sealing gives it, as in PostgreSQL, what this process wrote is sealed first:
        the answer takes as long as that does, and at most the ledger's timeout.

        Raises:
            UnknownIdError: there is no such entry.
            LedgerBusyError: it could not be sealed in time; it is durable all the same.
        """
        index = self._recorded(entry_id).index
        assert index is not None, "a store selects what was sealed"
        return index

    def _recorded(self, entry_id: str) -> Entry:
        """Return one entry as it was recorded, whatever upcasters show of it."""
        query = Query(id=check_text("entry_id", entry_id), before=self._before)
        for entry in self._store.select(query):
            return entry
        raise unknown("entry", entry_id)

    def _shown(self, entry: Entry) -> Entry:
        """Return an entry as it is shown today."""
        return upcast(entry, self._upcasters)

    def effect(self, effect_id: str) -> Effect:
        """Return where an effect stands.

        Raises:
            UnknownIdError: there is no such effect.
        """
        effect = self.look(check_text("effect_id", effect_id))
        if effect is None:
            raise unknown("effect", effect_id)
        return effect

    @abstractmethod
    def look(self, effect_id: str) -> Effect | None:
        """Return where an effect stands, or ``None`` when nothing was promised under this id."""

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
            before=self._before,
        )
        about = asked("incident", incident)

        def ask() -> Iterator[Effect]:
            for entry in intents(self._store, query, about):
                if entry.effect is None or entry.attempt != 1:
                    continue
                effect = self.look(entry.effect)
                if effect is not None and (wanted is None or effect.state is wanted):
                    yield effect

        return Rows(ask, Effect.to_dict, types=EFFECT_TYPES)

    @abstractmethod
    def in_doubt(self) -> Rows[Effect]:
        """Return the effects of which nobody knows whether they happened, the oldest first."""


def query_of(
    *,
    kind: str | None,
    world: World | str | None,
    operation: str | None,
    effect: str | None,
    corrects: str | None,
    incident: str | None,
    correlation: str | None,
) -> Query:
    """Return the question for entries whose header says all of this.

    Raises:
        InvalidInputError: names the value that no header has.
    """
    return Query(
        kind=asked("kind", kind),
        world=None if world is None else as_world(world).value,
        operation=asked("operation", operation),
        effect=asked("effect", effect),
        corrects=asked("corrects", corrects),
        incident=asked("incident", incident),
        correlation=asked("correlation", correlation),
    )


# The columns that every entry has, in their order: its index, then the header.
ENTRY_TYPES: Final[Types] = MappingProxyType(
    {"index": int}
    | dict.fromkeys(COLUMNS, str)
    | {"at": datetime, "recorded_at": datetime, "attempt": int}
)
# Those of `Effect.to_dict`.
EFFECT_TYPES: Final[Types] = MappingProxyType(
    {
        "id": str,
        "operation": str,
        "scope": str,
        "key": str,
        "state": str,
        "attempt": int,
        "world": str,
        "started_at": datetime,
        "recorded_at": datetime,
        "corrects": str,
        "incident": str,
        "provider_key": str,
    }
)


def entry_row(entry: Entry) -> dict[str, Any]:
    """Return an entry as a flat row: header fields, then facts (prefixed where names clash)."""
    own = {"index": entry.index, **{name: getattr(entry, name) for name in COLUMNS}}
    own["world"] = entry.world.value
    return row_of(own, entry.facts)


def intents(store: Store, query: Query, incident: str | None) -> Iterator[Entry]:
    """Yield the intents that match, in index order; only of effects an incident names, if given."""
    if incident is None:
        yield from store.select(query)
        return
    naming = store.select(Query(incident=incident, before=query.before))
    named = {entry.effect for entry in naming} - {None}
    found = [e for effect in named for e in store.select(attrs.evolve(query, effect=effect))]
    yield from sorted(found, key=lambda entry: entry.index or 0)


def oldest_first(effects: list[Effect]) -> Iterator[Effect]:
    """Yield the effects that are in doubt, those that began first before the others."""
    doubtful = [effect for effect in effects if effect.state is EffectState.IN_DOUBT]
    return iter(sorted(doubtful, key=lambda effect: (effect.started_at, effect.id)))

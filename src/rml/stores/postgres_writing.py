"""One commit in the making in PostgreSQL: which locks it takes, and when it speaks to the server.

A work that only appends is one statement: it takes no lock, reads nothing and waits for nobody. One
that rests on what this process supposes of an effect (:mod:`rml.stores.postgres_standing`) is one
statement as well, which records nothing if that is not so; then the work starts over with what the
server told. Any other that reads decides on what it reads, and must not be overtaken:

* what it reads of one effect is kept still by a lock on this effect, with the gate held shared;
* to read anything else it holds the gate alone, and everything is sealed before.

A work that finds that it needs more than it holds starts over with the gate held alone. An
application's own transaction may hold an effect for long (:mod:`rml.stores.postgres_enlisted`), so
nobody waits for one while holding the gate: an effect that is held is waited for with nothing, and
then the work starts over. Other locks are waited for in the order effect, gate, sealer. All locks
are a transaction's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import Any, Final, TypeVar

import psycopg

from rml.ledger.entry import Entry, Sealed
from rml.ledger.errors import LedgerBusyError, LedgerCorruptError
from rml.ledger.store import Lease, Query
from rml.ledger.tree import Frontier
from rml.stores import postgres_rows as rows
from rml.stores.postgres_line import Line
from rml.stores.postgres_place import Place, explain, is_there_already, lock_timeout
from rml.stores.postgres_rows import Connection
from rml.stores.postgres_sealing import (
    BATCH_MAX,
    BEGIN,
    GATE,
    Sealer,
    lock_number,
    roll_back,
    transaction,
)
from rml.stores.postgres_standing import Standing
from rml.stores.postgres_stream import PART, Stream

T = TypeVar("T")

# The transaction of a machine that was cut off goes, with its locks, when the server has heard
# nothing of it for so long.
IDLE_SECONDS_MAX: Final = 60
_LIMITS: Final = (
    "set_config('lock_timeout', %s, true), "
    f"set_config('idle_in_transaction_session_timeout', '{IDLE_SECONDS_MAX}s', true)"
)
_ALONE: Final = f"SELECT {_LIMITS}, pg_advisory_xact_lock(%s::int, %s::int)"
_EFFECT: Final = f"SELECT {_LIMITS}, pg_advisory_xact_lock(hashtextextended(%s, %s))"
_TRY_EFFECT: Final = "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, %s))"
_THERE: Final = "SELECT count(*) FROM ~entries WHERE id = ANY(%s::text[])"


class StartOver(BaseException):
    """The work has to be run again: it needs to hold more, or what it rested on was not so."""


class PostgresTransaction:
    """See the module.

    Attributes:
        trouble: what PostgreSQL said when a statement failed.
        sent: whether the server was told to commit.
        must_be_alone: whether the work is to start over with the gate held alone.
        in_the_way: the effect that somebody else held, to be waited for before.
        effect: the one effect that it is about, if it is.
        standing: where the effect stands after the commit, as far as that is known.
    """

    def __init__(
        self,
        place: Place,
        oid: int,
        sealer: Sealer,
        lend: Callable[[float], AbstractContextManager[Line]],
        deadline: float,
        *,
        alone: bool,
        known: Callable[[str], Standing | None],
    ) -> None:
        self._place = place
        self._oid = oid
        self._sealer = sealer
        self._lend = lend
        self._deadline = deadline
        self._lent: ExitStack | None = None
        self._connection: Line | None = None
        self._stream: Stream | None = None  # holds nothing, so a work that reads starts over
        self._is_alone = False
        self._standing_of = known
        self._still: set[str] = set()  # those whose locks are held with the gate held alone
        self._entries: list[Entry] | None = None  # its entries, until some are appended
        self._waiting: list[Sealed] = []  # appended, but not sent yet
        self._known: dict[str, Lease | None] = {}
        self._changed: set[str] = set()
        self._edge: Frontier | None = None
        self.ids: list[str] = []
        self.wrote: bool = False
        self.trouble: psycopg.Error | None = None
        self.sent: bool = False
        self.must_be_alone: bool = alone
        self.in_the_way: str | None = None
        self.effect: str | None = None
        self._rests_on: Standing | None = None
        self._told: Standing | None = None
        self.standing: Standing | None = None

    # What a work does ----------------------------------------------------------------------------

    def append(self, sealed: Sealed) -> None:
        """Add an entry; it is sent when the work reads, or ends, or has made many of them."""
        self._waiting.append(sealed)
        self._entries = None
        if len(self._waiting) == PART:
            self._send_part()

    def select(self, query: Query) -> list[Entry]:
        """Return matching entries, those of this transaction last."""
        connection = self._alone()
        return self._asked(lambda: rows.select(self._place, connection, query, None))

    def of_effect(self, effect: str) -> list[Entry]:
        """Return an effect's entries in order; the last ones may have no index yet."""
        if self._may_suppose(effect):
            if self._waiting:
                raise StartOver
            assert self._rests_on is not None
            return self._rests_on.entries()
        connection = self._keeping_still(effect)
        if self.effect == effect and self._entries is not None:
            return list(self._entries)
        self._flush(connection)
        text, values = self._place.sql(rows.OF_EFFECT), (effect,)
        return self._asked(lambda: rows.read(connection.execute(text, values, binary=True)))

    def lease(self, effect: str) -> Lease | None:
        """Return an effect's lease."""
        if self._may_suppose(effect):
            return self._known[effect]
        connection = self._keeping_still(effect)
        if effect not in self._known:
            text = self._place.sql(rows.LEASE)
            found = self._asked(lambda: connection.execute(text, (effect,)).fetchall())
            self._known[effect] = Lease(*found[0]) if found else None
        return self._known[effect]

    def leases(self, saying: bytes = b"") -> list[Lease]:
        """Return every lease, or those of effects one of whose entries holds bytes."""
        connection = self._alone()
        if changed := self._leases():
            self._asked(lambda: rows.send(connection, *changed))
        return self._asked(lambda: rows.leases(self._place, connection, saying))

    def put_lease(self, lease: Lease) -> None:
        """Grant or renew a lease."""
        if not self._may_suppose(lease.effect):
            self._holding(lease.effect)
        self._known[lease.effect] = lease
        self._changed.add(lease.effect)

    def drop_lease(self, effect: str, owner: str | None = None) -> bool:
        """End a lease, if it is this owner's or no owner is given."""
        lease = self.lease(effect)
        if lease is None or owner not in {None, lease.owner}:
            return False
        self._known[effect] = None
        self._changed.add(effect)
        return True

    def keep_only(self, entry: str, names: Sequence[str]) -> None:
        """Rewrite what is kept beside an entry; the database refuses it before its erasure."""
        connection = self._alone()
        self._asked(lambda: rows.keep_only(self._place, connection, entry, names))

    # What it holds -------------------------------------------------------------------------------

    @property
    def supposes(self) -> bool:
        """Whether the work rests on what the server has not been asked."""
        return self._rests_on is not None and not self._rests_on.told

    def known_next(self, effect: str) -> Standing | None:
        """Return what the next run may rest on: what the server told the first one, or nothing."""
        return self._told if effect == self.effect and self.supposes else None

    @property
    def _rests_on_nothing(self) -> bool:
        is_free = self._connection is None or self._stream is not None
        return is_free and self.effect is None and not self.must_be_alone

    def _may_suppose(self, effect: str) -> bool:
        """Say whether the work rests on what is known of this effect; it holds nothing then."""
        if self._rests_on_nothing and self._stream is None:
            self._rests_on = self._standing_of(effect)
            if self._rests_on is not None:
                self.effect = effect
                self._known[effect] = self._rests_on.lease
        return self._rests_on is not None and self.effect == effect

    def _keeping_still(self, effect: str) -> Connection:
        """Hold the lock on an effect, which an application's transaction holds without the gate."""
        connection = self._holding(effect)
        if not self._is_alone or effect in self._still:
            return connection
        wanted = (effect, self._oid)
        if not self._asked(lambda: connection.execute(_TRY_EFFECT, wanted).fetchall()[0][0]):
            self.must_be_alone, self.in_the_way = True, effect
            raise StartOver
        self._still.add(effect)
        return connection

    def _holding(self, effect: str) -> Connection:
        """Hold what keeps an effect still, and read its entries and its lease."""
        if self._connection is not None and (self._is_alone or self.effect == effect):
            return self._connection
        if not self._rests_on_nothing or self._stream is not None:
            return self._alone()
        connection = self._begin()

        (first, *entries) = self._asked(
            lambda: rows.send(connection, (BEGIN, ()), self._hold(effect))
        )
        self.effect = effect
        _, _, _, attempt, owner, until = first
        self._known[effect] = None if owner is None else Lease(effect, attempt, owner, until)
        if not self._waiting:
            self._entries = rows.read(row[:3] for row in entries)
        return connection

    def _hold(self, effect: str) -> tuple[str, list[Any]]:
        number = lock_number(self._oid)
        values = [self._left(), f"{IDLE_SECONDS_MAX}s", effect, self._oid, number, GATE]
        return self._place.sql(rows.HOLD), values

    def _hold_alone(self) -> tuple[str, list[Any]]:
        return _ALONE, [self._left(), lock_number(self._oid), GATE]

    def _alone(self) -> Connection:
        """Hold the gate alone, with everything sealed that is there, and send what was appended."""
        if not self._is_alone:
            if self.effect is not None or self._stream is not None:
                self.must_be_alone = True
                raise StartOver
            connection = self._begin()

            def work() -> None:
                rows.send(connection, (BEGIN, ()), self._hold_alone())
                self._seal(connection)

            self._asked(work)
            self._is_alone = True
        assert self._connection is not None
        self._flush(self._connection)
        return self._connection

    def _seal(self, connection: Line) -> None:
        more = True
        while more:
            sealing, edge = self._sealer.seal_within(connection, self._seconds())
            self._edge = edge or self._edge
            more = sealing.sealed == BATCH_MAX
            if more and edge is not None:
                self._sealer.keep(edge)  # a head that is taken back is no longer the edge's

    def _begin(self) -> Line:
        if self._connection is None:
            self._lent = ExitStack()
            self._connection = self._lent.enter_context(self._lend(self._deadline))
        return self._connection

    # What it tells the server --------------------------------------------------------------------

    def _flush(self, connection: Connection) -> None:
        if self._waiting:
            self._asked(lambda: self._send_entries(connection))

    def _send_part(self) -> None:
        """Send what waits while the work goes on, if it has done nothing but append."""
        if not self._rests_on_nothing:
            return

        def work() -> None:
            if self._stream is None:
                self._stream = Stream(self._begin(), self._place)
            self._stream.send(self._waiting)
            self._take_note()

        self._asked(work)

    def _send_entries(self, connection: Connection) -> None:
        statement, values = rows.insertion(self._waiting)
        connection.execute(self._place.sql(statement), values)
        self._take_note()

    def _take_note(self) -> None:
        self.ids += [one.fields["id"] for one in self._waiting]
        self.wrote = self.wrote or bool(self._waiting)
        self._waiting = []

    def _leases(self) -> list[tuple[str, list[Any]]]:
        """Return the statements that keep the leases which this work changed."""
        text = self._place.sql(rows.SET_LEASE)
        statements: list[tuple[str, list[Any]]] = []
        for effect in sorted(self._changed):
            lease = self._known[effect]
            rest = [lease.attempt, lease.owner, lease.until] if lease else [None] * 3
            statements.append((text, [effect, *rest]))
        self._changed.clear()
        return statements

    def commit(self) -> None:
        """Make everything durable: one statement of its own if nothing was read."""
        connection = self._connection
        if connection is None:
            if self._rests_on is not None:
                self._decide(self._rests_on)
            elif self._waiting:
                self._append_alone()
            return
        if self._stream is not None:
            if self._waiting:
                self._send_part()
            self.sent = True
            self._asked(self._stream.commit)
            return

        statements: list[tuple[str, list[Any]]] = []
        if len(self._waiting) == 1:
            text, values = rows.insertion(self._waiting)
            statements.append((self._place.sql(text), values))
            self._take_note()
        else:
            self._flush(connection)
        statements += [*self._leases(), ("COMMIT", [])]
        self.sent = True
        self._asked(lambda: rows.send(connection, *statements))
        if self._edge is not None:
            self._sealer.keep(self._edge)

    def _append_alone(self) -> None:
        """Insert everything by one statement, which is a transaction by itself."""
        with self._lend(self._deadline) as line:
            statement, values = rows.addition(self._waiting)
            self.sent = True
            self._asked(lambda: line.ask(self._place, statement, values))
        self._take_note()

    def _decide(self, supposed: Standing) -> None:
        """Record what was decided by one statement, if what the work rests on is so still."""
        effect = self.effect
        assert effect is not None
        if supposed.told and not self._waiting and not self._changed:
            return
        if len(self._waiting) > 1:
            raise StartOver

        lease, entries = self._known[effect], self._waiting
        decision = supposed.decision(lease, entries)
        self._take_note()
        with self._lend(self._deadline) as line:
            whose: list[Any] = [self._left(), effect, self._oid, lock_number(self._oid), GATE]
            values = whose + decision
            self.sent = True
            answer = self._asked(lambda: line.ask(self._place, rows.DECIDE, values))
        if answer:
            self._told = Standing.of(effect, answer)
            raise StartOver
        if all(entry.fields.get("effect") == effect for entry in entries):
            self.standing = supposed.with_more(entries, lease)

    def settle(self, deadline: float) -> bool:
        """Look, over another connection, whether a commit without an answer has happened.

        It takes the same locks first, which the lost transaction holds until it is over. What took
        none is sent again: its id is unique, so that it waits for the lost one, if that is still
        under way, and is refused if that has happened.
        """
        self.trouble, self._deadline = None, deadline
        if self._stream is not None:
            self._waiting, self._stream = self._stream.entries, None
            self.abandon()
        if self.effect is None and not self._is_alone:
            try:
                self._append_alone()
            except LedgerCorruptError:
                if not is_there_already(self.trouble):
                    raise
                self._take_note()
            return True
        self.abandon()
        with self._lend(self._deadline) as connection:

            def work() -> int:
                hold = self._hold_alone() if self.effect is None else self._hold(self.effect)
                there = (self._place.sql(_THERE), [self.ids])
                found = rows.send(connection, (BEGIN, ()), hold, there)
                connection.execute("COMMIT")
                return int(found[0][0])

            there = self._asked(work)
        if there not in {0, len(self.ids)}:
            raise LedgerCorruptError("a part of a commit is missing; run `rml verify`")
        return there > 0

    def wait_for(self, effect: str) -> None:
        """Wait until nobody holds an effect, while this holds nothing: it has been abandoned."""
        if time.monotonic() >= self._deadline:
            raise LedgerBusyError(
                "somebody held an effect until the deadline; nothing was recorded"
            )
        with self._lend(self._deadline) as connection:

            def work() -> None:
                with transaction(connection):
                    connection.execute(_EFFECT, (self._left(), effect, self._oid))
                    connection.execute("ROLLBACK")

            self._asked(work)

    def abandon(self) -> None:
        """Take everything back, and return the connection."""
        if self._connection is not None:
            with suppress(psycopg.Error):
                if self._stream is not None:
                    self._stream.finish()
            roll_back(self._connection)
        if self._lent is not None:
            self._lent.close()

    def _asked(self, work: Callable[[], T]) -> T:
        """Do what speaks to the server; what it says is kept, and told as a caller's error."""
        if self.trouble is not None:  # a work that went on after an error
            raise explain(self.trouble, self._place)
        try:
            return work()
        except psycopg.Error as error:
            self.trouble = error
            raise explain(error, self._place) from error

    def _seconds(self) -> float:
        return max(self._deadline - time.monotonic(), 0.0)

    def _left(self) -> str:
        """Return what is left until the deadline as a lock_timeout."""
        return lock_timeout(self._seconds())

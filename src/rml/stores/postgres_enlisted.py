"""How entries go into a transaction of the application's own, on a connection to the same database.

The application's commit makes its rows and the entries durable together. An append inserts its
entry and waits for nobody, nor does anybody wait for it: it is sealed once it is committed. What a
work reads of an effect is kept still by the lock on this effect alone, until the transaction ends;
so calls with other keys go on. Only a work that reads anything else holds the gate so long.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, TypeVar, cast

import attrs
import psycopg

from rml.ledger.entry import Entry, Sealed
from rml.ledger.errors import EnlistmentError
from rml.ledger.store import Lease, Query, Transaction
from rml.stores import postgres_rows as rows
from rml.stores.postgres_connection import Driver, Plain, is_in_transaction, taken_back
from rml.stores.postgres_line import Line
from rml.stores.postgres_place import Place, explain, lock_timeout
from rml.stores.postgres_sealing import GATE, Sealer, lock_number

T = TypeVar("T")

# The application's own lock_timeout comes back with the lock; without it, with the savepoint.
_LOCK: Final = (
    "SELECT current_setting('transaction_isolation'), set_config('lock_timeout', %s, true), "
    "pg_advisory_xact_lock({}), set_config('lock_timeout', own.patience, true) "
    "FROM (SELECT current_setting('lock_timeout') AS patience OFFSET 0) AS own"
)
_EFFECT: Final = _LOCK.format("hashtextextended(%s, %s)")
_ALONE: Final = _LOCK.format("%s::int, %s::int")
_XID: Final = "SELECT pg_current_xact_id()::text"


@attrs.frozen(kw_only=True)
class PostgresEnlisted:
    """A transaction that the application commits; see the module."""

    connection: Driver
    place: Place
    oid: int
    sealer: Sealer
    lend: Callable[[float | None], AbstractContextManager[Line]]
    timeout: float

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work`` in the transaction; if it fails, it alone is taken back.

        Raises:
            EnlistmentError: the transaction has ended.
            LedgerBusyError: others held what it reads until the ledger's timeout.
        """
        if not is_in_transaction(self.connection):
            raise EnlistmentError(
                "the transaction that was joined has ended; join the next one: "
                "ledger.on(connection)"
            )
        transaction = EnlistedTransaction(self)
        try:
            with taken_back(self.connection, "rml_write"):
                result = work(transaction)
                transaction.flush()
                ((xid,),) = Plain(self.connection).execute(_XID).fetchall()
                self.sealer.joined(xid)  # also if the caller is interrupted when this is whole
        except psycopg.Error as error:
            raise explain(error, self.place) from error
        return result


class EnlistedTransaction:
    """What a work does in an application's transaction."""

    def __init__(self, enlisted: PostgresEnlisted) -> None:
        self._enlisted = enlisted
        self._place = enlisted.place
        self._connection = Plain(enlisted.connection)
        self._plain = cast("rows.Connection", self._connection)
        self._held: set[str] = set()
        self._is_alone = False
        self._waiting: list[Sealed] = []

    def append(self, sealed: Sealed) -> None:
        """Add an entry, which is sent when the work reads, or ends; its index comes later."""
        self._waiting.append(sealed)

    def select(self, query: Query) -> list[Entry]:
        """Return matching entries, those of this transaction last."""
        self._alone()
        return rows.select(self._place, self._plain, query, None)

    def of_effect(self, effect: str) -> list[Entry]:
        """Return an effect's entries in order; the last ones may have no index yet."""
        self._hold(effect)
        text = self._place.sql(rows.OF_EFFECT)
        return rows.read(self._plain.execute(text, (effect,), binary=True))

    def lease(self, effect: str) -> Lease | None:
        """Return an effect's lease."""
        self._hold(effect)
        found = self._plain.execute(self._place.sql(rows.LEASE), (effect,)).fetchall()
        return Lease(*found[0]) if found else None

    def leases(self, saying: bytes = b"") -> list[Lease]:
        """Return every lease, or those of effects one of whose entries holds bytes."""
        self._alone()
        return rows.leases(self._place, self._plain, saying)

    def put_lease(self, lease: Lease) -> None:
        """Grant or renew a lease."""
        self._hold(lease.effect)
        values = (lease.effect, lease.attempt, lease.owner, lease.until)
        self._plain.execute(self._place.sql(rows.PUT_LEASE), values)

    def drop_lease(self, effect: str, owner: str | None = None) -> bool:
        """End a lease, if it is this owner's or no owner is given."""
        lease = self.lease(effect)
        if lease is None or owner not in {None, lease.owner}:
            return False
        self._plain.execute(self._place.sql(rows.DROP_LEASE), (effect,))
        return True

    def keep_only(self, entry: str, names: Sequence[str]) -> None:
        """Rewrite what is kept beside an entry; the database refuses it before its erasure."""
        self._alone()
        rows.keep_only(self._place, self._plain, entry, names)

    def flush(self) -> None:
        """Insert what was appended."""
        if self._waiting:
            statement, values = rows.insertion(self._waiting)
            self._plain.execute(self._place.sql(statement), values)
            self._waiting = []

    def _hold(self, effect: str) -> None:
        """Keep an effect still until the transaction ends, or is rolled back to before this."""
        if effect not in self._held:
            self._lock(_EFFECT, (effect, self._enlisted.oid))
            self._held.add(effect)
        self.flush()

    def _alone(self) -> None:
        """Hold the gate alone until the transaction ends, with everything sealed that is there."""
        if not self._is_alone:
            self._lock(_ALONE, (lock_number(self._enlisted.oid), GATE))
            self._connection.aside(self._catch_up)
            self._is_alone = True
        self.flush()

    def _catch_up(self) -> None:
        with self._enlisted.lend(None) as connection:
            self._enlisted.sealer.catch_up(connection, self._enlisted.timeout)

    def _lock(self, statement: str, values: tuple[Any, ...]) -> None:
        patience = lock_timeout(self._enlisted.timeout)
        isolation = self._plain.execute(statement, (patience, *values)).fetchall()[0][0]
        if isolation not in {"read committed", "read uncommitted"}:  # the same in PostgreSQL
            raise EnlistmentError(
                f"the transaction's isolation is {isolation!r}: it does not see what others have "
                "recorded since it began, so nothing can be decided in it; use READ COMMITTED, "
                "PostgreSQL's default"
            )

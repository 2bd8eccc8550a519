"""How a ledger records in a transaction of the application's own, which the application commits."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, Protocol, TypeVar, cast

import attrs

from rml.clock import Clock, IdSource
from rml.ledger.errors import EnlistmentError
from rml.ledger.store import Enlisted as StoreEnlisted
from rml.ledger.store import Enlisting, Store, Transaction
from rml.ledger.writing import LedgerWriting, keep_out

T = TypeVar("T")

# Which module knows the connections of which package; it is imported when one of them is first met.
KNOWN: Final = {
    "psycopg": "rml.stores.postgres_enlisted",
    "sqlite3": "rml.stores.sqlite_enlisted",
    "sqlalchemy": "rml.integrations.sqlalchemy",
}


class Enlistment(Protocol):
    """A transaction as its library has it."""

    @property
    def driver(self) -> object:
        """The connection of the database's driver."""
        ...

    def way_out(self) -> Callable[[], object]:
        """Return what ends a transaction that is begun from now on, and no other.

        To be asked before :attr:`driver`, which may begin one.
        """
        ...

    def part(self) -> AbstractContextManager[Callable[[], bool]]:
        """Run a block as a part that its exception takes back alone.

        The block is given a function that says whether the transaction still is the one that it
        began in.
        """
        ...


@attrs.frozen(kw_only=True)
class Enlisted(LedgerWriting):
    """A ledger in a transaction of the application's own; see :meth:`rml.Ledger.on`."""

    clock: Clock
    service: str | None
    timeout: float
    _ids: IdSource
    _store: Store
    _enlistment: Enlistment
    _enlisted: StoreEnlisted

    def _commit(self, work: Callable[[Transaction], T], wait: float) -> T:  # noqa: ARG002
        return self._enlisted.write(work)

    @contextmanager
    def part(self) -> Iterator[Callable[[], bool]]:
        """Run a block as :meth:`Enlistment.part`; in it, the ledger is written to only from here.

        Anything else would wait for the transaction that it is in the middle of.
        """
        with self._enlistment.part() as is_open, keep_out(self._store):
            yield is_open


class LedgerEnlisting(LedgerWriting):
    """The joining of transactions by a :class:`rml.Ledger`."""

    def on(self, connection: object) -> Enlisted:
        """Join the transaction of a connection, to record what is committed together with its rows.

        What the returned object appends is part of the transaction: the application's commit makes
        it durable, and its rollback, also to a savepoint, takes it back. From here until then the
        transaction holds SQLite's write lock; in PostgreSQL it holds the locks on the effects that
        it asks for. The ledger must be in the same database; see the how-to guide "Commit with
        your own rows".

        Args:
            connection: a :class:`sqlite3.Connection`, a ``psycopg.Connection``, or a ``Session``
                or ``Connection`` of SQLAlchemy. A transaction is begun if the driver itself would
                begin one.

        Raises:
            EnlistmentError: nothing done on this connection could be committed with the ledger.
            LedgerBusyError: others kept the database locked.
            LedgerUnavailableError: the ledger cannot be written.
        """
        enlistment = enlistment_of(connection)
        store = self._store
        if not hasattr(store, "enlist"):
            raise EnlistmentError(
                "this ledger is in no database of an application's; it joins no transaction"
            )
        return Enlisted(
            clock=self.clock,
            service=self.service,
            timeout=self.timeout,
            ids=self._ids,
            store=store,
            enlistment=enlistment,
            enlisted=cast("Enlisting", store).enlist(enlistment.driver, timeout=self.timeout),
        )


def enlistment_of(connection: object) -> Enlistment:
    """Return what a ledger needs of a connection.

    Raises:
        EnlistmentError: it is of no library that is known.
    """
    for kind in type(connection).__mro__:
        home = KNOWN.get(kind.__module__.partition(".")[0])
        if home is not None:
            found: Enlistment = importlib.import_module(home).enlistment(connection)
            return found
    raise EnlistmentError(
        f"a {type(connection).__name__} is no connection that rml knows; give a "
        "sqlite3.Connection, a psycopg.Connection, or SQLAlchemy's Session or Connection"
    )

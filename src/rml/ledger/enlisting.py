"""How a ledger records in a transaction of the application's own, which the application commits."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar, cast, overload
from weakref import WeakKeyDictionary

import attrs

from rml.clock import Clock, IdSource
from rml.ledger.draft import Draft, Receipt
from rml.ledger.errors import EnlistmentError
from rml.ledger.store import Enlisted as StoreEnlisted
from rml.ledger.store import Enlisting, Store
from rml.ledger.writing import LedgerWriting, keep_out
from rml.world import World

T = TypeVar("T")

# Which module knows the connections of which package; it is imported when one of them is first met.
KNOWN: Final = {
    "psycopg": "rml.stores.postgres_connection",
    "sqlite3": "rml.stores.sqlite_enlisted",
    "sqlalchemy": "rml.integrations.sqlalchemy",
}


@attrs.define(eq=False)
class _Turn:
    """A task's time at a connection for ``async``, within that of the task that has begun it."""

    around: _Turn | None
    is_over: bool = False


# Whose turn it is on a connection for ``async``, and the turns that the present code is inside of.
_turns: Final[WeakKeyDictionary[Any, _Turn]] = WeakKeyDictionary()
_inside: ContextVar[tuple[_Turn, ...]] = ContextVar("rml_turns", default=())


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

    def aside(self, work: Callable[[], T]) -> T:
        """Do what waits for other connections than this one, and keep no event loop."""
        ...


class Awaiting(Protocol):
    """A connection or session for ``async``, as its library has it."""

    @property
    def owner(self) -> object:
        """What has the transaction, which one task at a time may speak in."""
        ...

    async def run(self, work: Callable[[object], T]) -> T:
        """Run code that is not async on the connection that it is given, and await what it says."""
        ...


class Asynchronous(Protocol):
    """A connection or session for ``async``, as a type checker knows it."""

    def commit(self) -> Coroutine[Any, Any, None]:
        """Commit the transaction."""
        ...

    def rollback(self) -> Coroutine[Any, Any, None]:
        """Take the transaction back."""
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

    def _write(self, work: Callable[[Draft], T], wait: float) -> T:  # noqa: ARG002
        return self._enlisted.write(self._on_draft(work))

    @contextmanager
    def part(self) -> Iterator[Callable[[], bool]]:
        """Run a block as :meth:`Enlistment.part`; in it, the ledger is written to only from here.

        Anything else would wait for the transaction that it is in the middle of.
        """
        with self._enlistment.part() as is_open, keep_out(self._store):
            yield is_open

    def aside(self, work: Callable[[], T]) -> T:
        """Do what waits for other connections than this one, and keep no event loop."""
        return self._enlistment.aside(work)


@attrs.define(eq=False)
class AsyncEnlisted:
    """A ledger in a transaction of an ``async`` application; see :meth:`rml.Ledger.on`.

    Its first call joins the transaction, and is what raises what :meth:`rml.Ledger.on` does.
    """

    _ledger: LedgerEnlisting
    _awaiting: Awaiting
    _enlisted: Enlisted | None = attrs.field(default=None, init=False)

    async def append(
        self,
        kind: str,
        *,
        world: World | str,
        facts: Mapping[str, Any] | None = None,
        personal: Mapping[str, Any] | None = None,
        at: datetime | None = None,
        actor: str | None = None,
        operation: str | None = None,
        corrects: str | None = None,
        incident: str | None = None,
        correlation: str | None = None,
    ) -> Receipt:
        """Append one entry, as :meth:`rml.Ledger.append`; the application's commit keeps it."""
        return await self._run(
            lambda enlisted: enlisted.append(
                kind,
                world=world,
                facts=facts,
                personal=personal,
                at=at,
                actor=actor,
                operation=operation,
                corrects=corrects,
                incident=incident,
                correlation=correlation,
            )
        )

    async def write(self, work: Callable[[Draft], T]) -> T:
        """Run ``work``, a plain ``def``, on a draft, as :meth:`rml.Ledger.write`."""
        return await self._run(lambda enlisted: enlisted.write(work))

    async def _run(self, work: Callable[[Enlisted], T]) -> T:
        def joined(connection: object) -> T:
            self._enlisted = self._enlisted or join(self._ledger, connection)
            return work(self._enlisted)

        return await in_turn(self._awaiting, joined)


class LedgerEnlisting(LedgerWriting):
    """The joining of transactions by a :class:`rml.Ledger`."""

    # What both kinds of commit return sets a connection for `async` apart.
    @overload
    def on(self, connection: Asynchronous) -> AsyncEnlisted: ...  # type: ignore[overload-overlap]

    @overload
    def on(self, connection: object) -> Enlisted: ...

    def on(self, connection: object) -> Enlisted | AsyncEnlisted:
        """Join the transaction of a connection, to record what is committed together with its rows.

        What the returned object appends is part of the transaction: the application's commit makes
        it durable, and its rollback, also to a savepoint, takes it back. From here until then the
        transaction holds SQLite's write lock; in PostgreSQL it holds the locks on the effects that
        it asks for. The ledger must be in the same database; see the how-to guide "Commit with
        your own rows".

        Args:
            connection: a :class:`sqlite3.Connection`, a ``psycopg.Connection``, or a ``Session``
                or ``Connection`` of SQLAlchemy. A transaction is begun if the driver itself would
                begin one. With a ``psycopg.AsyncConnection``, or an ``AsyncSession`` or
                ``AsyncConnection`` of SQLAlchemy, the returned object's methods are awaited.

        Raises:
            EnlistmentError: nothing done on this connection could be committed with the ledger.
            LedgerBusyError: others kept the database locked.
            LedgerUnavailableError: the ledger cannot be written.
        """
        awaiting = awaiting_of(connection)
        return join(self, connection) if awaiting is None else AsyncEnlisted(self, awaiting)

    def _join(self, connection: object) -> Enlisted:
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


def join(ledger: LedgerEnlisting, connection: object) -> Enlisted:
    """Join the transaction of a connection, in code that is awaited if that is one for ``async``.

    Raises:
        EnlistmentError: as :meth:`rml.Ledger.on`.
        LedgerBusyError: as :meth:`rml.Ledger.on`.
        LedgerUnavailableError: as :meth:`rml.Ledger.on`.
    """
    return ledger._join(connection)  # noqa: SLF001 - the same room


async def in_turn(awaiting: Awaiting, work: Callable[[object], T]) -> T:
    """Run code that is not async on a connection for ``async``, and await what it says.

    Raises:
        EnlistmentError: another task is at it. Savepoints of two tasks would end each other's.
    """
    owner = awaiting.owner
    turn = _Turn(_turns.get(owner))
    if turn.around is not None and turn.around not in _inside.get():
        raise EnlistmentError(
            "another task is recording on this connection; give each task a connection of its own"
        )
    _turns[owner] = turn
    token = _inside.set((*_inside.get(), turn))
    try:
        return await awaiting.run(work)
    finally:
        with suppress(ValueError):  # thrown away in another context, where nothing is to be reset
            _inside.reset(token)
        turn.is_over = True
        _give_back(owner)


def _give_back(owner: object) -> None:
    """Let those go on at a connection within whose turns nobody is any more."""
    turn: _Turn | None = _turns[owner]
    while turn is not None and turn.is_over:
        turn = turn.around
    if turn is None:
        del _turns[owner]
    else:
        _turns[owner] = turn


def check_turn(awaiting: Awaiting) -> None:
    """Check that nobody whom the present code has begun is at its connection still.

    Raises:
        EnlistmentError: a task is, and would go on when the part that it is in has ended.
    """
    if _turns[awaiting.owner] not in _inside.get():
        raise EnlistmentError(
            "a task that the handler began is recording on its connection still; await it in the "
            "handler"
        )


def awaiting_of(connection: object) -> Awaiting | None:
    """Return how code that is not async speaks to a connection, if that is one for ``async``."""
    home = _home_of(connection)
    found: Awaiting | None = getattr(home, "awaiting_of", lambda _: None)(connection)
    return found


def enlistment_of(connection: object) -> Enlistment:
    """Return what a ledger needs of a connection.

    Raises:
        EnlistmentError: it is of no library that is known.
    """
    home = _home_of(connection)
    if home is None:
        raise EnlistmentError(
            f"a {type(connection).__name__} is no connection that rml knows; give a "
            "sqlite3.Connection, psycopg's Connection or AsyncConnection, or SQLAlchemy's Session, "
            "Connection, AsyncSession or AsyncConnection"
        )
    found: Enlistment = home.enlistment(connection)
    return found


def _home_of(connection: object) -> Any:
    """Return the module that knows the connections of a library."""
    for kind in type(connection).__mro__:
        home = KNOWN.get(kind.__module__.partition(".")[0])
        if home is not None:
            return importlib.import_module(home)
    return None

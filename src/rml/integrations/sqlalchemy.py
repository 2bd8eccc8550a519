"""SQLAlchemy's sessions and connections: the transactions that a ledger's entries go into.

It is imported when :meth:`rml.Ledger.on` or a handler with ``connection=`` first meets one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import attrs
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session
from sqlalchemy.orm import Session, scoped_session

from rml.ledger.errors import EnlistmentError

T = TypeVar("T")


@attrs.frozen
class SqlalchemyEnlistment:
    """The transaction of a session or a connection, which SQLAlchemy begins if there is none."""

    _owner: Session | scoped_session[Any] | Connection

    def way_out(self) -> Callable[[], object]:
        """Return what ends a transaction that is begun from now on, and no other."""
        owner = self._owner() if isinstance(self._owner, scoped_session) else self._owner
        return _stay if owner.in_transaction() else owner.rollback

    @property
    def driver(self) -> object:
        """The connection of the driver."""
        if not isinstance(self._owner, Connection):
            connection = self._owner.connection()
        else:
            connection = self._owner
            if not connection.in_transaction():
                connection.begin()
        return connection.connection.driver_connection

    @contextmanager
    def part(self) -> Iterator[Callable[[], bool]]:
        """Run the block in a savepoint of SQLAlchemy's, so that its objects are taken back too."""
        with self._owner.begin_nested() as nested:
            if not isinstance(self._owner, Connection):
                self._owner.connection()  # a session's savepoint begins with its first use
            yield lambda: nested.is_active

    def aside(self, work: Callable[[], T]) -> T:
        """Do what waits for other connections than this one, and keep no event loop."""
        owner = self._owner if isinstance(self._owner, Connection) else self._owner.connection()
        if owner.dialect.is_async:
            from rml import awaiting

            return awaiting.aside(work)
        return work()


def _stay() -> None:
    """Leave the application's transaction as it is."""


@attrs.frozen
class SqlalchemyAwaiting:
    """A session or a connection of SQLAlchemy's for ``async``."""

    _owner: AsyncSession | AsyncConnection

    @property
    def owner(self) -> object:
        """The session or connection inside, which all that stand for it have in common."""
        if isinstance(self._owner, AsyncSession):
            return self._owner.sync_session
        return self._owner.sync_connection

    async def run(self, work: Callable[[object], T]) -> T:
        """Run code that is not async on what is inside, and await what it says."""
        return await self._owner.run_sync(work)


def awaiting_of(owner: object) -> SqlalchemyAwaiting | None:
    """Return how code that is not async speaks to a session or connection for ``async``, if it is.

    Raises:
        EnlistmentError: it is a connection that was not opened.
    """
    if isinstance(owner, async_scoped_session):
        owner = owner()
    if isinstance(owner, AsyncConnection) and owner.sync_connection is None:
        raise EnlistmentError("the AsyncConnection was not opened; await connection.start()")
    if isinstance(owner, AsyncSession | AsyncConnection):
        return SqlalchemyAwaiting(owner)
    return None


def enlistment(owner: object) -> SqlalchemyEnlistment:
    """Return what a ledger needs of a session or a connection.

    Raises:
        EnlistmentError: it is neither, or one for ``async``.
    """
    if not isinstance(owner, Session | scoped_session | Connection):
        raise EnlistmentError(
            f"SQLAlchemy's {type(owner).__name__} cannot be joined; give a Session or a "
            "Connection, or in async code an AsyncSession or an AsyncConnection"
        )
    return SqlalchemyEnlistment(owner)

"""How entries that wait are given their indexes: in batches, by whoever holds the sealer's lock.

There is no sealer to elect or to miss. After a commit a thread of the process tries for the lock a
moment later; a reader that must see its own entries waits for it; who opens or closes the ledger
seals too. The lock is one of a transaction's, so it goes with the connection of whoever dies.

Entries are sealed in the order of insertion among those that are committed. One whose transaction
commits later than a sealing is sealed by the next. A sealing is as durable as any commit before
anybody can see it: a cursor never sees an index that a crash takes back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, Final

import attrs
import psycopg

from rml.error import RmlError
from rml.ledger.store import Head
from rml.ledger.tree import Frontier
from rml.stores import postgres_rows
from rml.stores.postgres_line import Line, Statement
from rml.stores.postgres_listening import channel_of
from rml.stores.postgres_place import Place, lock_timeout
from rml.stores.postgres_rows import Connection

# How long entries gather before a process that wrote some seals them, in seconds, and at most how
# long while it finds that others seal them.
GATHER_SECONDS: Final = 0.1
GATHER_SECONDS_MAX: Final = 0.15
# How often it is looked, in the end, whether an application's transaction is over, in seconds.
JOINED_SECONDS_MAX: Final = 1.0
# More than this in one transaction would keep others waiting for the lock.
BATCH_MAX: Final = 10_000
GATE: Final = 1
SEALER: Final = 2
# Each statement sees what was committed before it, whatever the database has as its default.
BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"

_TRY: Final = "SELECT pg_try_advisory_xact_lock(%s::int, %s::int)"
_WAIT: Final = (
    "SELECT set_config('lock_timeout', %s, true), pg_advisory_xact_lock(%s::int, %s::int)"
)
_WAITING: Final = "SELECT seq, leaf FROM ~waiting ORDER BY seq LIMIT %b"
# Nothing, if none waits; otherwise whether the oldest one was not left by a sealing just now.
_IS_DUE: Final = Statement(f"SELECT ~waits_since() >= {GATHER_SECONDS / 2}", ())
_PLACE: Final = Statement(
    "INSERT INTO ~places (idx, seq, leaf) SELECT $1 + g.o - 1, g.seq, g.leaf "
    "FROM unnest($2, $3) WITH ORDINALITY AS g (seq, leaf, o)",
    ("bigint", "bigint[]", "bytea[]"),
)
_TILE: Final = "INSERT INTO ~tiles (level, place, hashes, root) VALUES (%b, %b, %b, %b)"
_HEAD: Final = "UPDATE ~head SET size = %b, root = %b WHERE one = 1"
# A transaction is in a snapshot that is taken after its end, however it ended.
_OVER: Final = (
    "SELECT x FROM unnest(%s::text[]) AS x "
    "WHERE pg_visible_in_snapshot(x::xid8, pg_current_snapshot())"
)
_GONE: Final = Statement("DELETE FROM ~waiting WHERE seq = ANY($1)", ("bigint[]",))


def lock_number(oid: int) -> int:
    """Return a schema's oid as PostgreSQL's signed 32 bits."""
    return oid - 2**32 if oid >= 2**31 else oid


@attrs.frozen
class Sealing:
    """What one sealing did: how many entries got an index; whether more may be waiting."""

    sealed: int
    more: bool


class Sealer:
    """The sealing of one store in one process."""

    def __init__(
        self,
        place: Place,
        oid: int,
        lend: Callable[[float | None], AbstractContextManager[Line]],
    ) -> None:
        self._place = place
        self._number = lock_number(oid)
        self._channel = channel_of(oid)
        self._lend = lend
        self._mutex = threading.Lock()  # guards what follows
        self._written = 0  # commits of this process, and how many of them a sealing has seen
        self._seen = 0
        self._joined: set[str] = set()  # applications' transactions that were not seen to end
        self._edge: Frontier | None = None
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._stop = threading.Event()

    # When to seal --------------------------------------------------------------------------------

    def wrote(self) -> None:
        """Note a commit whose entries wait; they are sealed a moment later."""
        self._note()

    def joined(self, xid: str) -> None:
        """Note an application's transaction whose entries wait once it commits."""
        self._note(xid)

    def _note(self, xid: str | None = None) -> None:
        with self._mutex:
            if xid is None:
                self._written += 1
            else:
                self._joined.add(xid)
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run, name="rml-sealer", daemon=True)
                self._thread.start()
        if not self._wake.is_set():
            self._wake.set()

    @property
    def owes(self) -> bool:
        """Whether a commit of this process may wait still."""
        return self._seen < self._written or bool(self._joined)

    def catch_up(self, connection: Line, seconds: float) -> None:
        """Seal what waits, after waiting so long for another sealer."""
        with self._mutex:
            written = self._written
        over = self._over(connection)
        while self._seal(connection, seconds).more:
            pass
        self._saw(written, over)

    def end(self) -> None:
        """Stop the thread."""
        with self._mutex:
            thread, self._thread = self._thread, None
            self._stop.set()
        self._wake.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            gather = pause = GATHER_SECONDS
            while self.owes:
                is_due = self._seen < (written := self._written)
                if self._stop.wait(gather if is_due else pause):
                    return
                gather = min(2 * gather, GATHER_SECONDS_MAX)
                pause = min(2 * pause, JOINED_SECONDS_MAX)
                if self._wake.is_set():
                    self._wake.clear()
                    pause = GATHER_SECONDS
                # Without the database, what waits is sealed when it is back, or by somebody else.
                with suppress(psycopg.Error, RmlError), self._lend(None) as connection:
                    over = self._over(connection)
                    if self._try_once(connection):
                        self._saw(written, over)
                        gather = GATHER_SECONDS
            if self._stop.is_set():
                return

    def _try_once(self, connection: Line) -> bool:
        """Seal unless another process did so just now; return whether nothing is left to do."""
        ((is_due,),) = connection.ask(self._place, _IS_DUE, ())
        if is_due is None:
            return True
        return any(is_due) and not self._seal(connection, None).more

    def _over(self, connection: Connection) -> list[str]:
        """Return those of the applications' transactions that have ended."""
        with self._mutex:
            joined = list(self._joined)
        if not joined:
            return []
        return [xid for (xid,) in connection.execute(_OVER, (joined,)).fetchall()]

    def _saw(self, written: int, over: list[str]) -> None:
        with self._mutex:
            self._seen = max(self._seen, written)
            self._joined.difference_update(over)

    # Sealing -------------------------------------------------------------------------------------

    def _seal(self, connection: Line, seconds: float | None) -> Sealing:
        """Seal one batch in a transaction of its own."""
        with transaction(connection):
            sealing, edge = self.seal_within(connection, seconds)
            if edge is None:
                connection.execute("ROLLBACK")
                return sealing
            connection.execute("COMMIT")
        self.keep(edge)
        return sealing

    def seal_within(
        self, connection: Line, seconds: float | None
    ) -> tuple[Sealing, Frontier | None]:
        """Seal one batch inside a transaction that has begun.

        Args:
            connection: in the transaction.
            seconds: how long to wait for another sealer; ``None`` is not at all.

        Returns:
            What was done, and the tree's edge if it grew; it is to be kept after the commit.
        """
        place = self._place
        lock = (_TRY, (self._number, SEALER))
        if seconds is not None:
            lock = (_WAIT, (lock_timeout(seconds), self._number, SEALER))  # type: ignore[assignment]
        with connection.pipeline():
            locked = connection.execute(*lock)
            heads = connection.execute(place.sql(postgres_rows.HEAD), binary=True)
            rows = connection.execute(place.sql(_WAITING), (BATCH_MAX,), binary=True)
            granted, head, waiting = locked.fetchall(), heads.fetchall(), rows.fetchall()
        if seconds is None and not granted[0][0]:
            return Sealing(0, more=True), None
        if not waiting:
            return Sealing(0, more=False), None
        edge = self._edge_at(connection, postgres_rows.head_of(head))
        size = edge.size
        leaves = [leaf for _, leaf in waiting]
        numbers = [seq for seq, _ in waiting]
        tiles = edge.extend(leaves)
        connection.run(place, _PLACE, (size, numbers, leaves))
        connection.run(place, _GONE, (numbers,))
        with connection.pipeline():
            for tile in tiles:
                values = (tile.level, tile.index, tile.hashes, tile.root)
                connection.execute(place.sql(_TILE), values)
            connection.execute(place.sql(_HEAD), (edge.size, edge.root()))
            connection.execute("SELECT pg_notify(%s, '')", (self._channel,))
        return Sealing(len(leaves), more=len(leaves) == BATCH_MAX), edge

    def _edge_at(self, connection: Connection, head: Head) -> Frontier:
        """Return a copy of the tree's edge at the head: the one that is kept, if nobody sealed."""
        with self._mutex:
            kept = self._edge
        if kept is not None and (kept.size, kept.root()) == (head.size, head.root):
            return kept.copy()
        return postgres_rows.read_frontier(self._place, connection, head.size)

    def keep(self, edge: Frontier) -> None:
        """Keep the tree's edge for the next sealing."""
        with self._mutex:
            self._edge = edge


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """Begin a transaction, and take it back when the block fails; the block ends it otherwise."""
    connection.execute(BEGIN)
    try:
        yield
    except BaseException:
        roll_back(connection)
        raise


def roll_back(connection: psycopg.Connection[Any]) -> None:
    """Take a transaction back, as far as there is one and a connection."""
    with suppress(psycopg.Error):
        if not connection.closed and connection.info.transaction_status:
            connection.execute("ROLLBACK")

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
from rml.stores.postgres_line import Line, Statement, number
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

# Nothing, if none waits; otherwise whether the oldest one was not left by a sealing just now.
_IS_DUE: Final = Statement(f"SELECT ~waits_since() >= {GATHER_SECONDS / 2}", ())
_TO_SEAL: Final = Statement(
    "SELECT number, hash FROM ~to_seal($1, $2, $3, $4)", ("text", "integer", "integer", "bigint")
)
_SEAL: Final = Statement(
    "SELECT ~seal($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    (
        *("bigint", "bytea"),  # the head from then on
        *("bigint[]", "bytea[]"),  # what gets its indexes
        *("bigint[]", "bigint[]", "bytea[]", "bytea[]"),  # the tiles that are full by it
        "text",
    ),
)
# A transaction is in a snapshot that is taken after its end, however it ended.
_OVER: Final = (
    "SELECT x FROM unnest(%s::text[]) AS x "
    "WHERE pg_visible_in_snapshot(x::xid8, pg_current_snapshot())"
)


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
            connection.tell("ROLLBACK" if edge is None else "COMMIT")
        if edge is not None:
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
        patience = None if seconds is None else lock_timeout(seconds)
        found = connection.run(place, _TO_SEAL, (patience, self._number, SEALER, BATCH_MAX))
        if not found:
            return Sealing(0, more=True), None
        (size, root), *rows = found
        if not rows:
            return Sealing(0, more=False), None
        heads = [] if size is None or root is None else [(number(size), root)]
        edge = self._edge_at(connection, postgres_rows.head_of(heads))
        seqs = [number(seq) for seq, _ in rows if seq is not None]
        leaves = [leaf for _, leaf in rows if leaf is not None]
        tiles = edge.extend(leaves)
        tree: list[list[Any]] = [
            [tile.level for tile in tiles],
            [tile.index for tile in tiles],
            [tile.root for tile in tiles],
            [tile.hashes for tile in tiles],
        ]
        connection.run(place, _SEAL, (edge.size, edge.root(), seqs, leaves, *tree, self._channel))
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
def transaction(connection: Line) -> Iterator[None]:
    """Begin a transaction, and take it back when the block fails; the block ends it otherwise."""
    connection.tell(BEGIN)
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

"""Other Python ledgers on SQLite, each as it comes: one entry a commit, its own verification."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import attrs
from peers import Kind

FACTS: Final = {"amount": 1999, "currency": "EUR", "order": "o-123456"}


@attrs.frozen
class PeerLedger:
    """An open ledger of somebody else's: how one entry is appended durably, and all verified.

    ``verify`` is ``None`` for one that cannot verify what it keeps.
    """

    append: Callable[[], object]
    verify: Callable[[], Any] | None


@contextmanager
def _signledger(folder: Path) -> Iterator[PeerLedger]:
    from signledger import Ledger
    from signledger.backends import SQLiteBackend

    with Ledger(SQLiteBackend(str(folder / "peer.db")), ledger_id=str(uuid4())) as log:
        yield PeerLedger(lambda: log.append(FACTS), log.check_integrity)


@contextmanager
def _auditchain(folder: Path) -> Iterator[PeerLedger]:
    from auditchain import AuditLog, SqliteBackend

    with asyncio.Runner() as runner:
        log = AuditLog(SqliteBackend(str(folder / "peer.db")))
        runner.run(log.__aenter__())
        try:
            yield PeerLedger(
                lambda: runner.run(log.append("ada", "noted", "payment", metadata=FACTS)),
                lambda: runner.run(log.verify()),
            )
        finally:
            runner.run(log.__aexit__(None, None, None))


@contextmanager
def _eventsourcing(folder: Path) -> Iterator[PeerLedger]:
    from eventsourcing.persistence import StoredEvent
    from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteDatastore

    state = str(FACTS).encode()
    with closing(SQLiteDatastore(str(folder / "peer.db"))) as store:
        recorder = SQLiteApplicationRecorder(store)
        recorder.create_table()

        def append() -> object:
            return recorder.insert_events([StoredEvent(uuid4(), 1, "payment:noted", state)])

        yield PeerLedger(append, None)


KINDS: Final = (
    Kind(
        "SignLedger 2.0b0",
        "signledger",
        _signledger,
        "entries cut off at the end and a dropped trigger are not noticed",
    ),
    Kind(
        "auditchain 0.3.0",
        "auditchain",
        _auditchain,
        "entries cut off at the end, or all of them deleted, are not noticed",
    ),
    Kind(
        "eventsourcing 9.5",
        "eventsourcing",
        _eventsourcing,
        "no hashes, so there is nothing to verify",
    ),
)

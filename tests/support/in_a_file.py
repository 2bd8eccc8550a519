"""A ledger in a file: one that has begun, and its file as any other program opens it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from rml import Ledger, Receipt


@contextmanager
def three_entries(path: Path) -> Iterator[Ledger]:
    """A ledger of three entries, one of which has values that can be erased."""
    with Ledger(path, origin="example.com/test", service="payments") as made:
        for number in range(3):
            made.append(
                "payment.noted",
                world="RML3",
                facts={"number": number},
                personal={"email": "ada@example.com"} if number == 1 else None,
                actor="ada",
            )
        yield made


def note(ledger: Ledger, **given: Any) -> Receipt:
    """Append one more entry."""
    return ledger.append("payment.noted", world="RML3", **given)


@contextmanager
def plain(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection as any other program opens it."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as connection:
        yield connection

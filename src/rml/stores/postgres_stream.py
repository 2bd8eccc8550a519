"""A large commit that rests on nothing: sent in parts, while the work makes the next one.

Its entries are made by one processor and inserted by another, at the same time. It is a transaction
that holds no lock; what goes wrong with a part is told with the next one, or with the commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rml.ledger.entry import Sealed
from rml.stores import postgres_rows as rows
from rml.stores.postgres_line import Line
from rml.stores.postgres_place import Place
from rml.stores.postgres_sealing import BEGIN

# Entries in a part: what a message costs is little beside what they cost.
PART: Final = 200


class Stream:
    """A transaction on a connection that is used for nothing else until it ends.

    Attributes:
        entries: those that were sent.
    """

    def __init__(self, line: Line, place: Place) -> None:
        self._line = line
        self._place = place
        self._is_under_way = False
        self.entries: list[Sealed] = []
        line.execute(BEGIN)

    def send(self, entries: Sequence[Sealed]) -> None:
        """Send the next part, once the one before has been inserted.

        Raises:
            psycopg.Error: what the server said of the one before; or that it is gone.
        """
        self.finish()
        statement, values = rows.addition(entries)
        self.entries += entries
        self._is_under_way = True
        self._line.start(self._place, statement, values)

    def finish(self) -> None:
        """Wait until what was sent has been inserted, as far as it has not been waited for."""
        if self._is_under_way:
            self._is_under_way = False
            self._line.finish()

    def commit(self) -> None:
        """Make everything durable that was sent."""
        self.finish()
        self._line.execute("COMMIT")

"""A consumer is killed in the middle of its work, again and again, and skips nothing."""

import os
import random
from functools import partial
from pathlib import Path

import pytest
from killed_child import killed_after

from rml import FileCursor, Ledger

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

KILLS = 15


def consume_for_ever(path: Path, cursor: Path, handled: int) -> None:
    """Follow a ledger; to handle an entry is to write its index on a pipe."""
    with Ledger(path, create=False) as ledger:
        for entry in ledger.follow(cursor=FileCursor(cursor), poll=0.001):
            os.write(handled, f"{entry.index}\n".encode())


def test_a_consumer_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    """Each run begins with the entry that the last one died over, or the one after it."""
    path, cursor = tmp_path / "ledger.db", tmp_path / "mail.cursor"
    chance = random.Random(42)
    last = -1
    for _ in range(KILLS):
        wanted = chance.randrange(1, 30)
        with Ledger(path) as ledger:
            for _ in range(wanted + chance.randrange(5)):
                ledger.append("a.b", world="RML1")

        consume = partial(consume_for_ever, path, cursor)
        handled = [int(index) for index in killed_after(wanted, consume)]

        assert handled[0] in (last, last + 1)
        assert list(range(handled[0], handled[-1] + 1)) == handled
        last = handled[-1]

"""What the ledger in memory reads: it is plain, but each call of thousands reads but a few rows."""

import pytest
from protected import Charges

import rml
from rml.ledger.entry import Entry
from rml.ledger.store import Row
from rml.stores import memory


def test_a_call_reads_the_entries_of_its_effect_alone(
    clock: rml.FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many others there are."""
    indexes: set[int] = set()
    read = memory._read

    def noted(row: Row) -> Entry:
        indexes.add(row.index)
        return read(row)

    with rml.Ledger("memory:", clock=clock) as ledger:
        charges = Charges(ledger=ledger)
        for number in range(20):
            charges(f"pay-{number}")
        monkeypatch.setattr(memory, "_read", noted)
        charges("pay-7")
        charges("pay-20")

    assert {15} == indexes

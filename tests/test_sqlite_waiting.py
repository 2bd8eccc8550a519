"""Entries of one commit wait in memory before they are inserted; nobody can tell."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from protected import START

import rml
from rml.ledger.entry import Sealed, seal
from rml.ledger.store import Query, Transaction
from rml.stores.sqlite_rows import WAITING_MAX, SqliteTransaction

MANY = 2 * WAITING_MAX + 3


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[rml.Ledger]:
    """A ledger in a file, with a clock that stands still."""
    with rml.Ledger(tmp_path / "ledger.db", clock=rml.FrozenClock(START)) as made:
        yield made


def test_entries_of_different_fields_keep_their_order(ledger: rml.Ledger) -> None:
    """More entries than may wait, with other columns in turns, get the indexes they were told."""

    def work(draft: rml.Draft) -> list[rml.Receipt]:
        return [
            draft.append(
                "case.noted",
                world="RML1",
                facts={"number": number},
                actor="ada" if number % 2 else None,
                personal={"name": "Ada"} if number % 3 else None,
            )
            for number in range(MANY)
        ]

    receipts = ledger.write(work)
    found = list(ledger.entries())
    assert list(range(MANY)) == [entry.facts["number"] for entry in found]
    assert [(r.id, r.index) for r in receipts] == [(e.id, e.index) for e in found]
    assert ledger.verify().ok


def test_a_work_sees_what_waits(ledger: rml.Ledger) -> None:
    """What a work has appended is there when it looks, by every way of looking."""

    def work(draft: rml.Draft) -> None:
        first = draft.append("case.noted", world="RML1", incident="INC-1")
        assert [first.id] == [entry.id for entry in draft.entries(incident="INC-1")]
        second = draft.append("case.noted", world="RML1", effect="e-1")
        assert [second.id] == [entry.id for entry in draft.of_effect("e-1")]
        third = draft.append("case.noted", world="RML1", corrects=second.id)
        assert draft.entry(third.id) is not None

    ledger.write(work)
    assert 3 == ledger.size


def test_what_the_file_refuses_is_taken_back_with_its_part_alone(ledger: rml.Ledger) -> None:
    """A part whose entry cannot be inserted ends before its commit does; the others are kept."""
    seals = [_sealed(ledger, number) for number in range(3)]

    def work(transaction: Transaction) -> list[str]:
        assert isinstance(transaction, SqliteTransaction)
        transaction.append(seals[0])
        for part in ([seals[1], seals[0]], [seals[0]], [seals[2]]):
            mark = transaction.mark()
            for sealed in part:
                transaction.append(sealed)
            try:
                transaction.release()
            except sqlite3.IntegrityError:
                transaction.back_to(mark)
        return [entry.id for entry in transaction.select(Query())]

    kept = ledger._store.write(work, timeout=60)
    assert [seals[0].fields["id"], seals[2].fields["id"]] == kept
    assert ledger.verify().ok


def _sealed(ledger: rml.Ledger, number: int) -> Sealed:
    moment = "2026-11-20T19:00:00.000000Z"
    header = {
        "id": f"01a1fa54-6f80-7000-8000-{number:012}",
        "kind": "case.noted",
        "origin": ledger.origin,
        "world": "RML1",
        "at": moment,
        "recorded_at": moment,
    }
    return seal(header, {}, {}, None)

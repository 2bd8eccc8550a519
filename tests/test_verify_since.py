"""A verification that goes on from an earlier one: what it looks at, and what it says it left."""

from contextlib import suppress
from pathlib import Path

import pytest
from tampered import (
    fill,
    first_problem,
    laid_down,
    many_entries,
    reseal,
    reworded,
    rewrite,
    tamper,
    unguarded,
    verified,
    written,
)

from rml import InvalidInputError, Ledger, Level, Verification, idempotent
from rml.ledger.checks.verify import PAGE_ENTRIES, verify
from rml.ledger.proofs.checkpoint import Checkpoint
from rml.ledger.proofs.merkle import tree_root
from rml.ledger.tree import EMPTY_ROOT


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A ledger of 600 entries: two full tiles and some more."""
    return laid_down(many_entries(), tmp_path)


def checkpoint(path: Path, size: int) -> Checkpoint:
    """What a ledger was when it had so many entries."""
    with Ledger(path, create=False) as ledger:
        return Checkpoint(ledger.origin, size, tree_root(size, ledger._store.hashes))


def verified_since(path: Path, since: Checkpoint) -> Verification:
    """What a verification finds that goes on from a checkpoint."""
    with Ledger(path, create=False) as ledger:
        return verify(ledger._store, since=since)


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 511, 599, 600])
def test_what_was_verified_before_is_not_looked_at_again(many: Path, size: int) -> None:
    """A change there is not seen, one after it is, wherever in a tile it went on."""
    since = checkpoint(many, size)
    honest = verified_since(many, since)

    if size:
        tamper(many, f"UPDATE entries SET actor = 'eve' WHERE idx = {size - 1}")
    before = verified_since(many, since)
    if size < 600:
        tamper(many, f"UPDATE entries SET actor = 'eve' WHERE idx = {size}")
    after = verified_since(many, since)

    assert (True, 600, Level.CONSISTENT) == (honest.ok, honest.size, honest.level)
    assert honest.root == before.root == checkpoint(many, 600).root.hex()
    assert (True, size < 600) == (before.ok, not after.ok)
    assert [size] * (size < 600) == [problem.index for problem in after.problems]


def test_it_is_said_what_was_not_looked_at(many: Path) -> None:
    """In the verification itself, for whoever reads no more than that."""
    said = "the first 300 entries were not looked at again: the ledger continues the checkpoint of"

    (remark,) = verified_since(many, checkpoint(many, 300)).remarks

    assert remark.startswith(said)
    assert () == verified_since(many, checkpoint(many, 0)).remarks
    assert () == verified(many).remarks


@pytest.mark.parametrize("size", [0, 300, 600])
def test_the_file_around_the_entries_is_looked_at_all_the_same(many: Path, size: int) -> None:
    """Guards, tiles of entries that are not there, and the head."""
    since = checkpoint(many, size)
    tamper(many, "INSERT INTO tiles VALUES (0, 2, zeroblob(8192), zeroblob(32))")
    with unguarded(many) as connection:
        connection.execute("DROP INDEX entries_id")

    found = {(problem.code, problem.index) for problem in verified_since(many, since).problems}

    assert {("tile", 600), ("schema", None)} == found


def test_tiles_from_there_on_are_looked_at(many: Path) -> None:
    """Those before it are what the checkpoint was proved with."""
    since = checkpoint(many, 300)
    tamper(many, "UPDATE tiles SET hashes = zeroblob(8192) WHERE place = 1")

    (problem,) = verified_since(many, since).problems

    assert ("tile", 256) == (problem.code, problem.index)


def test_progress_begins_where_it_goes_on(many: Path) -> None:
    """Entries are counted from the ledger's beginning."""
    reports: list[tuple[int, int]] = []
    with Ledger(many) as ledger:
        fill(ledger, PAGE_ENTRIES)
        size = ledger.size
        since = Checkpoint(ledger.origin, size - 100, tree_root(size - 100, ledger._store.hashes))
        verify(ledger._store, lambda *report: reports.append(report), since=since)

    assert [(2 * PAGE_ENTRIES, size), (size, size)] == reports


def test_effects_and_erasures_across_the_checkpoint_are_not_accused(tmp_path: Path) -> None:
    """What began before it may end after it, and be erased."""
    path = written(tmp_path, 5)
    with Ledger(path) as ledger:

        @idempotent("payment.charge", key="key", ledger=ledger)
        def charge(key: str) -> int:
            raise TimeoutError

        for key in ("doubt", "resolved"):
            with suppress(TimeoutError):
                charge(key)
        since = Checkpoint(ledger.origin, ledger.size, bytes.fromhex(ledger.root))
        doubt = ledger.in_doubt()[0]
        ledger.resolve(doubt.id, happened=False, by="ada", reason="asked")
        with suppress(TimeoutError):
            charge("another")
        ledger.erase(ledger.entries()[0].id, ["email"], by="dpo", reason="law")

    assert () == verified_since(path, since).problems


# ----------------------------------------------------------------------- what does not go on


def test_a_ledger_that_was_set_back_is_named(many: Path) -> None:
    """It had more entries once; what there is now is looked at from the beginning."""
    since = checkpoint(many, 600)
    with unguarded(many) as connection:
        connection.execute("DELETE FROM entries WHERE idx >= 500")
        connection.execute("DELETE FROM tiles")
        connection.execute("UPDATE entries SET actor = 'eve' WHERE idx = 3")
        reseal(connection)

    found = verified_since(many, since)

    assert {("column", 3), ("rolled_back", 500)} <= {(p.code, p.index) for p in found.problems}
    assert Level.STRUCTURE is found.level
    assert () == found.remarks


def test_a_ledger_that_was_rebuilt_is_named(tmp_path: Path) -> None:
    """Everything follows from everything, and yet it is another history."""
    path = written(tmp_path, 7)
    since = checkpoint(path, 5)
    with unguarded(path) as connection:
        rewrite(connection, 2, '"number":2', '"number":3')
        reseal(connection)
    assert verified(path).ok

    (problem,) = verified_since(path, since).problems

    assert ("forked", 0) == (problem.code, problem.index)
    assert "the first 5 entries are not those of the checkpoint" in problem.detail


def test_tiles_that_do_not_give_the_checkpoint_are_named_and_nothing_else(many: Path) -> None:
    """The entries do give it: they are all looked at, and the ledger is not taken for another."""
    since = checkpoint(many, 300)
    tamper(many, "UPDATE tiles SET root = zeroblob(32) WHERE place = 0")

    found = verified_since(many, since)

    assert [("tile", 0)] == [(problem.code, problem.index) for problem in found.problems]
    assert () == found.remarks


def test_a_missing_tile_below_the_checkpoint_is_named(many: Path) -> None:
    """What cannot be proved is looked at."""
    since = checkpoint(many, 600)
    tamper(many, "DELETE FROM tiles WHERE place = 1")

    assert ("tile", 256) == first_problem(many)
    assert ["tile"] == [problem.code for problem in verified_since(many, since).problems]


def test_a_checkpoint_of_no_entries_says_nothing(tmp_path: Path) -> None:
    """Of a ledger without entries as well."""
    path = written(tmp_path, 0)
    since = checkpoint(path, 0)

    assert EMPTY_ROOT == since.root
    assert (True, 0) == (verified_since(path, since).ok, verified_since(path, since).size)


def test_a_checkpoint_of_another_ledger_is_refused(many: Path) -> None:
    """Before anything is looked at."""
    since = Checkpoint("example.com/other", 0, EMPTY_ROOT)

    with pytest.raises(InvalidInputError, match="is of the ledger 'example"):
        verified_since(many, since)


@pytest.mark.parametrize("value", ["1.5", "NULL", "CAST(x'ff1b5b' AS TEXT)"])
def test_a_hash_that_is_none_is_named_in_what_was_verified_before(many: Path, value: str) -> None:
    """It is none to go on from, so everything is looked at."""
    since = checkpoint(many, 599)
    with reworded(many, "entries", "BLOB NOT NULL", "ANY") as connection:
        connection.execute(f"UPDATE entries SET leaf = {value} WHERE idx = 590")

    found = verified_since(many, since)

    assert ("bytes", 590) == (found.problems[0].code, found.problems[0].index)
    assert (600, Level.STRUCTURE, ()) == (found.size, found.level, found.remarks)

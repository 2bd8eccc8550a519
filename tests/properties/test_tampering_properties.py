"""One bit is enough: whatever is changed in a ledger's file, a verification says so."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import pytest
from btree import payloads
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tampered import fill, laid_down, unguarded

from rml import FrozenClock, Ledger, RmlError, Verification, idempotent
from rml.clock import SeededIds
from rml.ledger.checks.verify import verify
from rml.ledger.proofs.checkpoint import Checkpoint
from rml.ledger.proofs.merkle import tree_root

ENTRIES = 260
# What a fixture made is the same for all examples, and a busy machine is slow at times.
UNCHECKED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
# When a lease runs out and when the file was made is no history.
NOT_HISTORY = {("leases", "until"), ("meta", "value")}


@attrs.frozen
class Cell:
    """One value in the file."""

    table: str
    column: str
    rowid: str
    kind: str
    bits: int


@cache
def honest() -> tuple[bytes, str, tuple[Cell, ...]]:
    """A ledger's file with something of everything, its root, and every value in it."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        clock = FrozenClock("2026-11-20T12:00:00Z")
        with Ledger(path, clock=clock, ids=SeededIds(), service="payments") as ledger:

            @idempotent("payment.charge", key="key", ledger=ledger, facts=("amount",))
            def charge(key: str, amount: int) -> dict[str, int]:
                if key == "doubt":
                    raise TimeoutError
                return {"amount": amount}

            for key in ("done", "doubt"):
                with suppress(TimeoutError):
                    charge(key, 1999)
            ledger.append("a.b", world="RML1", actor='a "b" é', personal={"x": "y", "n": 5})
            ledger.erase(ledger.entries()[-1].id, ["x"], by="dpo", reason="law")
            fill(ledger, ENTRIES - ledger.size, actor="ada", correlation="req-1")
            root = ledger.root
        with closing(sqlite3.connect(path)) as connection:
            cells = tuple(cells_of(connection))
        return path.read_bytes(), root, cells


def cells_of(connection: sqlite3.Connection) -> Iterator[Cell]:
    """Yield every value that is not NULL, of a few of the many entries."""
    for table, key in {
        "entries": "idx",
        "tiles": "rowid",
        "head": "rowid",
        "leases": "effect",
        "meta": "rowid",
    }.items():
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        for column in columns:
            query = (
                f"SELECT quote({key}), typeof({column}), length(CAST({column} AS BLOB)) "
                f"FROM {table} WHERE {column} IS NOT NULL ORDER BY {key} LIMIT 12"
            )
            for rowid, kind, length in connection.execute(query).fetchall():
                bits = 16 if kind == "integer" else 8 * length
                if bits and (table, column) not in NOT_HISTORY:
                    yield Cell(table, column, rowid, kind, bits)


def flip(connection: sqlite3.Connection, cell: Cell, bit: int) -> bool:
    """Change one bit of a value; return whether SQLite would store it."""
    where = f"WHERE {'effect' if cell.table == 'leases' else 'rowid'} = {cell.rowid}"
    cast = cell.column if cell.kind == "integer" else f"CAST({cell.column} AS BLOB)"
    value: Any = connection.execute(f"SELECT {cast} FROM {cell.table} {where}").fetchone()[0]
    if cell.kind == "integer":
        changed: Any = value ^ (1 << bit)
    else:
        flipped = bytearray(value)
        flipped[bit // 8] ^= 1 << bit % 8
        changed = bytes(flipped)
    given = "CAST(? AS TEXT)" if cell.kind == "text" else "?"
    statement = f"UPDATE {cell.table} SET {cell.column} = {given} {where}"
    try:
        return connection.execute(statement, (changed,)).rowcount == 1
    except sqlite3.IntegrityError:
        return False


def verified(path: Path, size: int = 0) -> Verification | None:
    """What is found, going on from a checkpoint; `None` if it is refused with a clear error."""
    try:
        with Ledger(path, create=False) as ledger:
            since = Checkpoint(ledger.origin, size, tree_root(size, ledger._store.hashes))
            return verify(ledger._store, since=since)
    except RmlError:
        return None


@settings(max_examples=100, suppress_health_check=UNCHECKED)
@given(data=st.data())
def test_a_flipped_bit_is_found(tmp_path: Path, data: st.DataObject) -> None:
    """In any table and column."""
    file, _, cells = honest()
    tables = sorted({(cell.table, cell.column) for cell in cells})
    table, column = data.draw(st.sampled_from(tables))
    cell = data.draw(
        st.sampled_from([one for one in cells if (one.table, one.column) == (table, column)])
    )
    bit = data.draw(st.integers(0, cell.bits - 1))
    path = laid_down(file, tmp_path)
    with unguarded(path) as connection:
        if not flip(connection, cell, bit):
            return

    found = verified(path)

    assert found is None or not found.ok, cell


@settings(max_examples=60, suppress_health_check=UNCHECKED)
@example([(65529, 7)], 0)  # in the words of the schema
@given(
    st.lists(st.tuples(st.integers(0, 2**24), st.integers(0, 7)), min_size=1, max_size=3),
    st.sampled_from([0, 256, ENTRIES]),
)
def test_a_damaged_file_never_passes_for_what_it_was(
    tmp_path: Path, flips: list[tuple[int, int]], size: int
) -> None:
    """Bits flipped anywhere in the file: it ends with a verdict, or nothing that counts was hit."""
    file, root, _ = honest()
    damaged = bytearray(file)
    for place, bit in flips:
        damaged[place % len(damaged)] ^= 1 << bit
    path = laid_down(bytes(damaged), tmp_path)

    found = verified(path, size)

    if found is not None and found.ok:
        assert (ENTRIES, root) == (found.size, found.root)
        if size == 0:
            assert contents(laid_down(file, tmp_path)) == contents(laid_down(damaged, tmp_path))


@cache
def places() -> dict[str, list[int]]:
    """Every byte of the honest file in a row or an index entry, by table or index."""
    with TemporaryDirectory() as folder:
        found = payloads(laid_down(honest()[0], Path(folder)))
    return {name: [place for one in cells for place in one] for name, cells in found.items()}


@settings(max_examples=100, suppress_health_check=UNCHECKED)
@given(data=st.data())
def test_a_bit_flipped_in_a_row_or_index_entry_is_found(
    tmp_path: Path, data: st.DataObject
) -> None:
    """In the file itself, behind SQLite's back; or nothing is read otherwise than before."""
    name = data.draw(st.sampled_from(sorted(places())))
    place = data.draw(st.sampled_from(places()[name]))
    bit = data.draw(st.integers(0, 7))
    file, root, _ = honest()
    damaged = bytearray(file)
    damaged[place] ^= 1 << bit

    found = verified(laid_down(bytes(damaged), tmp_path))

    if found is not None and found.ok:
        assert (ENTRIES, root) == (found.size, found.root)
        assert contents(laid_down(file, tmp_path)) == contents(laid_down(damaged, tmp_path))


def contents(path: Path) -> list[Any]:
    """Everything that a ledger says to those who ask."""
    with Ledger(path, create=False) as ledger:
        return [
            ledger.origin,
            list(ledger._store.rows()),
            [entry.to_bytes() for entry in ledger.entries()],
            [entry.id for entry in ledger.entries(correlation="req-1")],
        ]


@pytest.fixture(autouse=True, scope="module")
def _honest() -> None:
    """The ledger is honest to begin with."""
    file, root, _ = honest()
    with TemporaryDirectory() as folder:
        found = verified(laid_down(file, Path(folder)))
    assert found is not None
    assert (True, root) == (found.ok, found.root)

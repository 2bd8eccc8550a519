"""Whether a ledger is what it says it is.

Everything is recomputed from the bytes, and the first bad entry is named. Assurance is computed,
never claimed. ``STRUCTURE`` means that the rows are readable; ``CONSISTENT`` that bytes, columns,
commitments, tiles and head follow from each other, which shows every change made without rewriting
all of them. Somebody who rewrites the whole file is caught only by a checkpoint that was kept
elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from rml.clock import parse_utc
from rml.codec import parse_json
from rml.effect.state import lease_due
from rml.error import RmlError
from rml.ledger.entry import COLUMNS, Entry, commit, flaw_of, id_matches, leaf_hash, settled
from rml.ledger.store import Lease, Row, Store
from rml.ledger.tree import TILE_WIDTH, Frontier, Tile, split_tile
from rml.ledger.verification import Level, Problem, Verification

# A file that is wrong everywhere is wrong; a thousand lines about it help nobody.
PROBLEMS_MAX: Final = 100
# How often an effect is looked at again while its entries change under the look.
LOOKS_MAX: Final = 10
# How many rows are checked between two reports of progress.
PROGRESS_ROWS: Final = 1_000


def verify(store: Store, progress: Callable[[int, int], None] | None = None) -> Verification:
    """Recompute every hash, column, commitment and tile of a store.

    What is appended or erased meanwhile is not accused: the entries up to the head that was found
    at the beginning are checked.

    Args:
        store: what to verify.
        progress: called with (entries checked, entries in all) now and then.
    """
    return _Check(store, progress).run()


class _Check:
    """One pass over a store."""

    def __init__(self, store: Store, progress: Callable[[int, int], None] | None) -> None:
        self._store = store
        self._progress = progress
        self._problems: list[Problem] = []
        self._frontier = Frontier()
        self._made: list[Tile] = []
        self._next = 0
        self._missing: dict[tuple[str, str], int] = {}
        self._due: dict[str, tuple[int, str]] = {}
        self._readable = True
        self._size = 0

    def run(self) -> Verification:
        try:
            self._everything()
        except RmlError as error:
            self._readable = False
            self._add("unreadable", str(error), self._next)
        return self._verdict()

    def _everything(self) -> None:
        head = self._store.head()
        self._size = head.size
        stored = list(self._store.tiles())
        self._entries()
        self._tiles(stored)
        if self._frontier.size == head.size and self._frontier.root() != head.root:
            detail = "the entries do not give the root that the head records"
            self._add("root", f"{detail}: a change here or later", self._first_unsealed())
        for (entry, name), index in self._missing.items():
            self._add("personal", f"{name!r} is gone, and no erasure is recorded", index, entry)
        for code, detail in self._store.findings():
            self._add(code, detail)
        self._leases()

    def _verdict(self) -> Verification:
        problems = sorted(self._problems, key=lambda p: (p.index is None, p.index or 0))
        consistent = Level.STRUCTURE if problems else Level.CONSISTENT
        anchor = "no signed checkpoint is kept outside the store to compare with"
        return Verification(
            ok=not problems,
            level=consistent if self._readable else Level.NONE,
            capped_by="the problems found" if problems else anchor,
            origin=self._store.origin,
            size=self._size,
            root=self._frontier.root().hex(),
            problems=tuple(problems),
        )

    def _add(
        self, code: str, detail: str, index: int | None = None, entry: str | None = None
    ) -> None:
        if len(self._problems) < PROBLEMS_MAX:
            self._problems.append(Problem(code, detail, index, entry))

    def _entries(self) -> None:
        """Check every entry by itself and in its place, up to the head."""
        rows = self._store.rows()
        later: Row | None = None
        for row in rows:
            if row.index >= self._size:
                later = row
                break
            self._entry(row)
            if self._progress is not None and self._frontier.size % PROGRESS_ROWS == 0:
                self._progress(self._frontier.size, self._size)
        if self._next < self._size:
            detail = f"the head says {self._size} entries, and from here on there are none"
            self._add("size", detail, self._next)
        if later is not None:
            self._later(later, rows)
        if self._progress is not None:
            self._progress(self._frontier.size, self._size)

    def _later(self, first: Row, rest: Iterator[Row]) -> None:
        """Look at rows beyond the head: appended since, or put there by somebody else."""
        if self._store.head().size <= first.index:
            detail = f"the head says {self._size} entries, and there is one more"
            self._add("size", detail, first.index)
            return
        for row in (first, *(rest if self._missing else ())):
            try:
                self._erasure(Entry.from_bytes(row.data))
            except RmlError:
                return  # whoever verifies the present head will be told

    def _entry(self, row: Row) -> None:
        if row.index != self._next:
            detail = f"the next entry is at index {row.index}, expected {self._next}"
            self._add("order", detail, min(row.index, self._next))
        self._next = row.index + 1
        computed = leaf_hash(row.data)
        if computed != row.leaf:
            detail = "the bytes do not give the leaf hash that was recorded with them"
            self._add("bytes", detail, row.index)
        try:
            entry = Entry.from_bytes(row.data, index=row.index)
            flaw = flaw_of(entry)
            canonical = b"" if flaw else entry.to_bytes()
        except RmlError as error:
            self._add("bytes", str(error), row.index)
        else:
            if flaw is not None:
                self._add("bytes", flaw, row.index)
            elif canonical != row.data:
                detail = "the bytes are not the canonical form of what they say"
                self._add("bytes", detail, row.index, entry.id)
            else:
                self._columns(row.index, entry, row.columns)
                self._personal(row, entry)
                self._erasure(entry)
                self._effect(entry)
        self._made += self._frontier.add(computed)

    def _personal(self, row: Row, entry: Entry) -> None:
        """Compare what is kept beside an entry with its commitments; note what is missing."""
        try:
            kept = {} if row.personal is None else parse_json(row.personal)
            digests = {name: commit(salt, name, value) for name, (salt, value) in kept.items()}
            changed = [name for name, (_, value) in kept.items() if settled(value) is not value]
        except (RmlError, ValueError, TypeError, AttributeError):
            self._add("personal", "what is kept beside it cannot be read", row.index, entry.id)
            return
        for name, digest in digests.items():
            if entry.commitments.get(name) != digest:
                detail = f"the value of {name!a:.80} is not what the entry commits to"
                self._add("personal", detail, row.index, entry.id)
        for name in changed:
            detail = (
                f"the value of {name!a:.80} is not as it was written: a whole number has a point"
            )
            self._add("personal", detail, row.index, entry.id)
        for name in entry.commitments.keys() - digests.keys():
            self._missing[entry.id, name] = row.index

    def _erasure(self, entry: Entry) -> None:
        fields = entry.facts.get("fields")
        if entry.kind == "payload.erased" and entry.corrects and isinstance(fields, list):
            for name in fields:
                self._missing.pop((entry.corrects, str(name)), None)

    def _effect(self, entry: Entry) -> None:
        """Note the lease of every effect that has not ended, and no other."""
        if entry.effect is None:
            return
        due = lease_due(entry, self._due.pop(entry.effect, None))
        if due is not None:
            self._due[entry.effect] = due

    def _leases(self) -> None:
        """Compare the leases with the effects that have not ended: a doubt without one is hidden.

        What differs may have changed since; it is looked at again.
        """
        try:
            leases = {lease.effect: lease for lease in self._store.leases()}
            for effect in sorted(self._due.keys() | leases.keys()):
                if self._differ(self._due.get(effect), leases.get(effect)):
                    self._look_again(effect)
        except RmlError as error:
            self._add("lease", f"the leases cannot be read: {error}")

    def _look_again(self, effect: str) -> None:
        entries, lease = self._look(effect)
        for _ in range(LOOKS_MAX):
            seen, found = len(entries), lease
            entries, lease = self._look(effect)
            if (len(entries), lease) == (seen, found):  # so both are of one moment
                due = None
                for entry in entries:
                    due = lease_due(entry, due)
                detail = self._differ(due, lease)
                if detail is not None:
                    self._add("lease", f"the effect {effect!a:.80} {detail}")
                return

    def _look(self, effect: str) -> tuple[list[Entry], Lease | None]:
        """Return an effect's entries and its lease, also if it has no entries."""
        entries, lease = self._store.effect(effect)
        if not entries:
            lease = next((one for one in self._store.leases() if one.effect == effect), None)
        return entries, lease

    @staticmethod
    def _differ(due: tuple[int, str] | None, lease: Lease | None) -> str | None:
        """Say how a lease differs from what is due, if it does."""
        if due is None:
            return None if lease is None else "has a lease, but nothing is open"
        if lease is None:
            return "has not ended, but its lease is gone, so that nobody is told of it"
        try:
            parse_utc(lease.until)
        except ValueError:
            return "has a lease until no time at all"
        return None if due == (lease.attempt, lease.owner) else "has a lease of another attempt"

    def _columns(self, index: int, entry: Entry, columns: tuple[Any, ...]) -> None:
        if entry.origin != self._store.origin:
            detail = f"the entry belongs to the ledger {entry.origin!a:.80}"
            self._add("origin", detail, index, entry.id)
        if not id_matches(entry):
            self._add("id", "the id's time is not the time it was recorded at", index, entry.id)
        header = entry.header()
        for name, value in zip(COLUMNS, columns, strict=True):
            text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
            if text != header.get(name):
                detail = f"the column {name} says {text!a:.80}, the bytes say otherwise"
                self._add("column", detail, index, entry.id)

    def _tiles(self, stored: list[Tile]) -> None:
        known = {(tile.level, tile.index): tile for tile in stored}
        for tile in self._made:
            there = known.pop((tile.level, tile.index), None)
            name = f"tile {tile.level}/{tile.index}"
            if there is None:
                self._add("tile", f"{name} is missing", tile.index * _entries_below(tile))
            elif there != tile:
                detail = f"{name} does not follow from the entries"
                self._add("tile", detail, _first_difference(tile, there))
        size = self._store.head().size if known else self._size
        for tile in known.values():
            end = (tile.index + 1) * _entries_below(tile)
            if not self._size < end <= size:  # else it was filled since
                detail = f"tile {tile.level}/{tile.index} covers entries that are not there"
                self._add("tile", detail, self._size)

    def _first_unsealed(self) -> int | None:
        """Return the first index that no full tile vouches for, unless a problem says more."""
        return None if self._problems else self._frontier.size - self._frontier.size % TILE_WIDTH


def _entries_below(tile: Tile) -> int:
    """Return how many entries a tile covers."""
    return int(TILE_WIDTH ** (tile.level + 1))


def _first_difference(tile: Tile, there: Tile) -> int:
    """Return the first entry below the first hash in which two tiles differ."""
    pairs = zip(split_tile(tile.hashes), split_tile(there.hashes), strict=False)
    place = next((i for i, (a, b) in enumerate(pairs) if a != b), 0)
    return tile.index * _entries_below(tile) + place * _entries_below(tile) // TILE_WIDTH

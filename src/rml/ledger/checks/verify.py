"""Whether a ledger is what it says it is.

Everything is recomputed from the bytes, and the first bad entry is named. Assurance is computed,
never claimed. ``STRUCTURE`` means that the rows are readable; ``CONSISTENT`` that bytes, columns,
commitments, tiles and head follow from each other, which shows every change made without rewriting
all of them. Somebody who rewrites the whole file is caught only by a checkpoint that was kept
elsewhere.

Entries are read in pages, so that memory stays flat and no reader is in a writer's way. In the
caller's thread their bytes are hashed and compared with the columns, and the tree grows again;
beside it the store reads the next ones, and checks its own structures, the one look that is a
single view. Every row is checked whole every time: a survey and a sieve let pass the many that are
surely fine, and the others are looked at one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Final

from rml.clock import utc_text
from rml.error import InvalidInputError, RmlError
from rml.ledger.anchors.kept import Kept, forked, rolled_back
from rml.ledger.checks.beside import beside
from rml.ledger.checks.check import Checked, check_row
from rml.ledger.checks.clocks import Clocks
from rml.ledger.checks.sieve import Sieve, Sifted
from rml.ledger.checks.verification import Level, Problem, Verification
from rml.ledger.entry import Entry
from rml.ledger.erasures.losses import Loss, Losses
from rml.ledger.errors import LedgerCorruptError
from rml.ledger.leases import Leases
from rml.ledger.proofs.checkpoint import Checkpoint
from rml.ledger.store import Head, Step, Store, Survey
from rml.ledger.tree import (
    TILE_HEIGHT,
    TILE_LEVEL_MAX,
    TILE_WIDTH,
    Frontier,
    Tile,
    row_widths,
    split_tile,
)

# A file that is wrong everywhere is wrong; a thousand lines about it help nobody.
PROBLEMS_MAX: Final = 100
# Two tiles: what is at hand of them stays in a processor's own memory.
PAGE_ENTRIES: Final = 2 * TILE_WIDTH
# How many surveys may be waiting to be read.
_AHEAD: Final = 2


def verify(
    store: Store,
    progress: Callable[[int, int], None] | None = None,
    *,
    since: Checkpoint | None = None,
) -> Verification:
    """Recompute every hash, column, commitment and tile of a store.

    What is appended or erased meanwhile is not accused: the entries up to the head that was found
    at the beginning are checked.

    Args:
        store: what to verify.
        progress: called with (entries checked, entries in all) now and then.
        since: a checkpoint of an earlier verification. If the stored hashes show that the ledger
            continues it, the entries that it covers are not looked at again, and a remark says so.
            If they do not, everything is looked at, and it is a problem if the entries do not give
            the checkpoint.

    Raises:
        InvalidInputError: the checkpoint is of another ledger.
    """
    if since is not None and since.origin != store.origin:
        of = f"the checkpoint is of the ledger {since.origin!a:.80}"
        raise InvalidInputError(f"{of}, and this is {store.origin!a:.80}")
    return _Verifying(store, progress, since).run()


class _Verifying:
    """One pass over a store."""

    def __init__(
        self,
        store: Store,
        progress: Callable[[int, int], None] | None,
        since: Checkpoint | None,
    ) -> None:
        self._store = store
        self._progress = progress
        where = "the checkpoint of the last verification"
        self._since: Kept | None = None
        if since is not None:
            self._since = Kept(where=where, size=since.size, root=since.root)
        self._problems: list[Problem] = []
        self._frontier = Frontier()
        self._sieve = Sieve(store.origin)
        self._losses = Losses(store)
        self._leases = Leases(store)
        self._clocks = Clocks()
        self._start = self._next = self._size = 0
        self._readable = True

    def run(self) -> Verification:
        try:
            head = self._store.head()
            self._size = head.size
            self._begin()
            apart = 1 if self._store.concurrent else 0
            with beside(self._findings(), ahead=apart) as findings:
                self._look_at_entries()
                self._look_at_edges(head)
                self._add(*self._losses.problems(), *next(findings))
            self._add(*self._leases.problems())
        except RmlError as error:
            self._readable = False
            self._add(Problem("unreadable", str(error), self._next))
        return self._verdict()

    def _findings(self) -> Iterator[list[Problem]]:
        yield [Problem(code, detail) for code, detail in self._store.findings()]

    def _verdict(self) -> Verification:
        problems = sorted(self._problems, key=lambda p: (p.index is None, p.index or 0))
        consistent = Level.STRUCTURE if problems else Level.CONSISTENT
        anchor = "no signed checkpoint is kept outside the store to compare with"
        skipped = (
            f"the first {self._start} entries were not looked at again: the ledger continues the "
            "checkpoint of an earlier verification"
        )
        return Verification(
            ok=not problems,
            level=consistent if self._readable else Level.NONE,
            capped_by="the problems found" if problems else anchor,
            origin=self._store.origin,
            size=self._size,
            root=self._frontier.root().hex(),
            problems=tuple(problems),
            remarks=(*((skipped,) if self._start else ()), *self._clocks.remarks()),
        )

    def _add(self, *problems: Problem) -> None:
        self._problems += problems[: PROBLEMS_MAX - len(self._problems)]

    # Where to begin ------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Begin after the checkpoint of an earlier verification, if the ledger continues it."""
        if self._since is None:
            return
        if self._since.size > self._size:
            self._add(rolled_back(self._since, self._size))
            return
        try:
            edge = _stored_edge(self._store, self._since.size)
        except LedgerCorruptError:
            return  # what is damaged is named when everything is looked at
        if edge.root() == self._since.root:
            self._frontier = edge
            self._start = self._next = self._since.size
            last = self._store.rows(max(self._start - 1, 0), self._start)
            before = {row.index: check_row(row, self._store.origin) for row in last}
            self._look_at_clocks(0, Survey(doubtful=()), before)

    def _compare_with_before(self) -> None:
        """Compare what the entries give with the checkpoint, at its size."""
        since, edge = self._since, self._frontier
        if since is not None and since.size == edge.size and since.root != edge.root():
            self._add(forked(since))

    # Entries -------------------------------------------------------------------------------------

    def _look_at_entries(self) -> None:
        """Look at every entry by itself and in its place, up to the head."""
        lowest = next(self._store.rows(), None)
        if lowest is not None and lowest.index < 0:
            self._add(_misplaced(lowest.index, 0))
        surveys = (self._store.survey(start, stop) for start, stop in self._ranges())
        with beside(surveys, ahead=_AHEAD if self._store.concurrent else 0) as made:
            for (start, stop), survey in zip(self._ranges(), made, strict=False):
                if not self._look_at_page(start, stop, survey):
                    break  # nothing is there: what comes after so large a gap is not looked at
                if self._progress is not None and stop < self._size:
                    self._progress(stop, self._size)
        self._look_at_end()
        if self._progress is not None:
            self._progress(self._next, self._size)

    def _ranges(self) -> Iterator[tuple[int, int]]:
        """Yield where each page begins and ends; one ends where a checkpoint is to be compared."""
        start, since = self._start, 0 if self._since is None else self._since.size
        while start < self._size:
            stop = min(start - start % PAGE_ENTRIES + PAGE_ENTRIES, self._size)
            stop = since if start < since < stop else stop
            yield start, stop
            start = stop

    def _look_at_page(self, start: int, stop: int, survey: Survey) -> bool:
        """Look at the entries from one index to another; return whether there were any."""
        data = survey.data
        if len(data) == stop - start:
            # As `leaf_hash`, without a call for each row.
            leaves = [sha256(b"\x00" + one).digest() for one in data]
            self._expect(start)
            self._next = stop
            personal = {index - start: kept for index, kept in survey.personal.items()}
            sifted = self._sieve.sift(survey, leaves, personal)
            held = sifted.held.union(index - start for index in survey.doubtful)
            checked = self._checked([start + place for place in sorted(held)])
        else:
            sifted = Sifted()
            checked = self._checked(range(start, stop))
            leaves = [one.leaf for one in checked.values()]
            for index in checked:
                self._expect(index)
                self._next = index + 1
        self._grow(leaves)
        self._compare_with_before()
        self._look_beside(start, survey, sifted, checked)
        self._look_at_clocks(start, survey, checked)
        return bool(leaves)

    def _expect(self, index: int) -> None:
        if index != self._next:
            self._add(_misplaced(index, self._next))

    def _checked(self, indexes: Sequence[int]) -> dict[int, Checked]:
        """Look at some rows one by one."""
        checked: dict[int, Checked] = {}
        for start, stop in _runs(indexes):
            for row in self._store.rows(start, stop):
                if row.index >= start:  # else it is hidden below the first
                    checked[row.index] = check_row(row, self._store.origin)
                    self._add(*checked[row.index].problems)
        return checked

    def _look_beside(
        self, start: int, survey: Survey, sifted: Sifted, checked: Mapping[int, Checked]
    ) -> None:
        """Note what is missing beside the entries of a page, and which leases they leave due."""
        tellers: dict[int, Step | Entry] = {step.index: step for step in survey.steps}
        losses = [
            Loss(start + place, survey.id_at(place), _effect(tellers.get(start + place)), names)
            for place, names in sifted.missing.items()
            if start + place not in checked
        ]
        for index, one in checked.items():
            tellers.pop(index, None)
            if one.entry is not None:
                tellers[index] = one.entry
                losses.append(Loss(index, one.entry.id, one.entry.effect, one.missing))
        self._losses.look([loss for loss in losses if loss.names])
        for _, teller in sorted(tellers.items()):
            self._leases.note(teller)
            if isinstance(teller, Entry):
                self._losses.account(teller)

    def _look_at_clocks(self, start: int, survey: Survey, checked: Mapping[int, Checked]) -> None:
        """Note when the entries of a page were recorded: of all that were surveyed, or checked."""
        if survey.data:
            times = survey.columns["recorded_at"].decode("utf-8", "replace")
            self._clocks.look(start, times.split("\n"))
            return
        for index, one in checked.items():
            if one.entry is not None:
                self._clocks.look(index, [utc_text(one.entry.recorded_at)])

    def _look_at_end(self) -> None:
        """Look for what is missing before the head, and for what is there beyond it."""
        if self._next < self._size:
            detail = f"the head says {self._size} entries, and from here on there are none"
            self._add(Problem("size", detail, self._next))
        beyond = (row.index for row in self._store.rows(self._size) if row.index >= self._size)
        index = next(beyond, None)
        if index is not None and self._store.head().size <= index:
            detail = f"the head says {self._size} entries, and there is one more"
            self._add(Problem("size", detail, index))

    # The tree ------------------------------------------------------------------------------------

    def _grow(self, leaves: Sequence[bytes]) -> None:
        """Let the tree grow, and compare the tiles that are filled with those that are stored."""
        made = self._frontier.extend(leaves)
        for level in {tile.level for tile in made}:
            places = [tile.index for tile in made if tile.level == level]
            tiles = self._store.tiles(level, places[0], places[-1] + 1)
            stored = {tile.index: tile for tile in tiles}
            for tile in made:
                if tile.level == level:
                    self._compare(tile, stored.get(tile.index))

    def _compare(self, tile: Tile, stored: Tile | None) -> None:
        name = f"tile {tile.level}/{tile.index}"
        if stored is None:
            index = tile.index * _entries_below(tile.level)
            self._add(Problem("tile", f"{name} is missing", index))
        elif stored != tile:
            detail = f"{name} does not follow from the entries"
            self._add(Problem("tile", detail, _first_difference(tile, stored)))

    def _look_at_edges(self, head: Head) -> None:
        """Look for tiles of entries that are not there, and at the roots."""
        for level, place in self._store.strays(self._size):
            is_level = 0 <= level <= TILE_LEVEL_MAX
            end = (place + 1) * _entries_below(level) if is_level else 0
            if not self._size < end <= self._store.head().size:  # else it was filled since
                detail = f"tile {level}/{place} covers entries that are not there"
                self._add(Problem("tile", detail, self._size))
        if self._frontier.size == head.size and self._frontier.root() != head.root:
            detail = "the entries do not give the root that the head records"
            unsealed = self._frontier.size - self._frontier.size % TILE_WIDTH
            where = None if self._problems else unsealed  # no full tile vouches for what comes then
            self._add(Problem("root", f"{detail}: a change here or later", where))


def _stored_edge(store: Store, size: int) -> Frontier:
    """Return the right edge of the tree over so many entries, from stored hashes."""
    rows = []
    for level, width in enumerate(row_widths(size)):
        end = size >> TILE_HEIGHT * level
        rows.append(store.hashes(level, end - width, end) if width else ())
    return Frontier(size, rows)


def _misplaced(index: int, expected: int) -> Problem:
    detail = f"the next entry is at index {index}, expected {expected}"
    return Problem("order", detail, min(index, expected))


def _runs(indexes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield where runs of indexes begin and end."""
    start = stop = indexes[0] if indexes else 0
    for index in indexes:
        if index != stop:
            yield start, stop
            start = index
        stop = index + 1
    if indexes:
        yield start, stop


def _effect(teller: Step | Entry | None) -> str | None:
    return None if teller is None else teller.effect


def _entries_below(level: int) -> int:
    """Return how many entries a tile of a level covers."""
    return int(TILE_WIDTH ** (level + 1))


def _first_difference(tile: Tile, there: Tile) -> int:
    """Return the first entry below the first hash in which two tiles differ."""
    pairs = zip(split_tile(tile.hashes), split_tile(there.hashes), strict=False)
    place = next((i for i, (a, b) in enumerate(pairs) if a != b), 0)
    below = _entries_below(tile.level)
    return tile.index * below + place * below // TILE_WIDTH

"""A ledger as a folder of tiles: what any reader of transparency logs can check with its own tools.

What leaves are the bytes of entries: header, facts and commitments, and nothing that is kept beside
them. Files come in the order in which the tree grows and the checkpoint comes last, so that what a
checkpoint covers is always there. Whoever exports into the same folder again adds what is new;
nothing but the checkpoint is ever replaced that an earlier checkpoint covers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import attrs

from rml.error import InvalidInputError
from rml.files import EVERYBODY, FileNotWrittenError, make_folders, read_file, writing
from rml.ledger.anchors.anchor import unsigned
from rml.ledger.anchors.anchoring import contradicted
from rml.ledger.anchors.kept import Kept, contradiction
from rml.ledger.entry import leaf_hash
from rml.ledger.errors import ProofError
from rml.ledger.proofs.checkpoint import Checkpoint, read_checkpoint
from rml.ledger.proofs.note import NOTE_BYTES_MAX
from rml.ledger.proofs.tlog_tiles import CHECKPOINT, TILE, encode_entries, entries_path, tile_path
from rml.ledger.store import Row, Store
from rml.ledger.tree import EMPTY_ROOT, TILE_HEIGHT, TILE_WIDTH, Frontier, row_widths

Progress = Callable[[int, int], None]
_Place = tuple[int, int, int]

# What a passing file's name begins with; one that a power cut left is in nobody's way.
_PASSING: Final = ".rml-"


@attrs.frozen(kw_only=True)
class TilesExport:
    """What an export did: how many entries and files it added, and the checkpoint it ended with."""

    folder: Path
    entries: int
    files: int
    checkpoint: str


def export_tiles(
    store: Store,
    checkpoint_now: Callable[[], str],
    folder: Path,
    progress: Progress | None = None,
) -> TilesExport:
    """Write the tree that a checkpoint of the store states into a folder, or add what is new.

    The checkpoint is made after the folder's has been read: whoever exports at the same time is
    then no contradiction. Nor is what they wrote meanwhile set back.

    Args:
        store: where the entries are.
        checkpoint_now: makes what the folder will say, signed or not.
        folder: the tree's root; it is made if it is missing.
        progress: called with (entries written, entries to write) after each bundle.

    Raises:
        InvalidInputError: the folder holds something else, another ledger's tree, or a signed
            checkpoint that would be replaced by an unsigned one.
        LedgerCorruptError: the ledger contradicts the folder, or itself.
        FileNotWrittenError: a file cannot be written; the export may be begun again.
    """
    before, signed = _before(folder, store.origin)
    checkpoint = checkpoint_now()
    now, note = read_checkpoint(checkpoint)
    _check_continues(store, folder, before, now)
    if signed and note is None and before != now:
        raise unsigned(f"the checkpoint in {folder}")
    growth = _Growth(store, folder, before.size)
    growth.run(now, progress)
    is_due = before.size < now.size or not signed  # else it may bear the signatures of witnesses
    if is_due and _before(folder, store.origin)[0].size <= now.size:
        growth.write(CHECKPOINT, checkpoint.encode())
    return TilesExport(
        folder=folder,
        entries=now.size - before.size,
        files=growth.files,
        checkpoint=checkpoint,
    )


def _before(folder: Path, origin: str) -> tuple[Checkpoint, bool]:
    """Return the checkpoint that a folder states, and whether it is signed; of a new one, none."""
    nothing = Checkpoint(origin, 0, EMPTY_ROOT)
    try:
        if not folder.exists():
            return nothing, False
        names = {path.name for path in folder.iterdir()}
        if CHECKPOINT in names:
            text = read_file(folder / CHECKPOINT, NOTE_BYTES_MAX) or b""
    except OSError as error:
        raise FileNotWrittenError(f"cannot export to {folder}: {error.strerror}") from error
    if CHECKPOINT in names:
        try:
            before, note = read_checkpoint(text)
        except InvalidInputError as error:
            raise InvalidInputError(f"{folder / CHECKPOINT}: {error.message}") from error
        return before, note is not None
    if any(name != TILE and not name.startswith(_PASSING) for name in names):
        raise InvalidInputError(
            f"the folder {folder} holds something else than exported tiles; name an empty one"
        )
    return nothing, False


def _check_continues(store: Store, folder: Path, before: Checkpoint, now: Checkpoint) -> None:
    if before.origin != now.origin:
        raise InvalidInputError(
            f"the folder {folder} holds tiles of the ledger {before.origin!a:.80}, and this is "
            f"{now.origin!a:.80}; name another folder"
        )
    kept = Kept(where=f"the export in {folder}", size=before.size, root=before.root)
    try:
        problem = contradiction(kept, now, store.hashes)
    except ProofError as error:
        raise contradicted(str(error)) from error
    if problem is not None:
        raise contradicted(problem.detail)


class _Growth:
    """The tree as it grows from what a folder has, tile by tile, each written when it is full."""

    def __init__(self, store: Store, folder: Path, size: int) -> None:
        self._store = store
        self._folder = folder
        self._there = set(_partial_tiles(size))
        self._start = size - size % TILE_WIDTH
        self._frontier = _frontier(store, self._start)
        self._entries: list[bytes] = []
        self.files = 0

    def run(self, now: Checkpoint, progress: Progress | None) -> None:
        """Write every tile of the tree that is not there yet."""
        for row in self._rows(now.size):
            self._entries.append(row.data)
            for tile in self._frontier.add(row.leaf):
                self._write_tile((tile.level, tile.index, TILE_WIDTH), tile.hashes)
            done = self._frontier.size
            if progress is not None and (done % TILE_WIDTH == 0 or done == now.size):
                progress(done - self._start, now.size - self._start)
        if self._frontier.size != now.size or self._frontier.root() != now.root:
            raise contradicted("the entries do not give the root of the checkpoint")
        for place in _partial_tiles(now.size):
            if place not in self._there:
                self._write_tile(place, b"".join(self._frontier.rows[place[0]]))

    def write(self, name: str, data: bytes) -> None:
        """Write one file of the tree."""
        path = self._folder / name
        make_folders(path.parent)
        with writing(path, overwrite=True, mode=EVERYBODY) as file:
            file.write(data)
        self.files += 1

    def _rows(self, size: int) -> Iterator[Row]:
        for row in self._store.rows(self._start, size):
            if row.index != self._frontier.size or leaf_hash(row.data) != row.leaf:
                raise contradicted(f"entry {self._frontier.size} is not as it was recorded")
            yield row

    def _write_tile(self, place: _Place, hashes: bytes) -> None:
        level, index, width = place
        if level == 0:
            self.write(entries_path(index, width), encode_entries(self._entries))
            self._entries.clear()
        self.write(tile_path(level, index, width), hashes)


def _partial_tiles(size: int) -> Iterator[_Place]:
    """Yield level, place and width of every tile that is not full in a tree of this size."""
    for level, width in enumerate(row_widths(size)):
        if width:
            yield level, size >> TILE_HEIGHT * (level + 1), width


def _frontier(store: Store, size: int) -> Frontier:
    """Return the right edge of the tree over the first entries, from stored hashes."""
    rows = []
    for level, width in enumerate(row_widths(size)):
        end = size >> TILE_HEIGHT * level
        rows.append(store.hashes(level, end - width, end))
    return Frontier(size, rows)

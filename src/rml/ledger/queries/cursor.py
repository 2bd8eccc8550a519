"""How far a consumer has come: a checkpoint of what it has handled, kept where it outlives it.

A *cursor* keeps an :class:`rml.Checkpoint`: the ledger's origin, how many entries the consumer has
handled or passed over, and the root of the tree over them. So it fits one history only: a ledger
that was set back, exchanged or rewritten below it is refused, instead of being read on from a
number that means something else by now.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Protocol

import attrs

from rml.error import InvalidInputError
from rml.files import as_path, read_file, writing
from rml.ledger.errors import LedgerCorruptError, ProofError
from rml.ledger.proofs.checkpoint import ORIGIN_BYTES_MAX, Checkpoint
from rml.ledger.proofs.merkle import tree_root
from rml.ledger.store import Store

# The longest origin, size and root, a line each.
CURSOR_BYTES_MAX: Final = ORIGIN_BYTES_MAX + 19 + 44 + 3
_EVIDENCE: Final = "run `rml verify` and keep the file as evidence"


class Cursor(Protocol):
    """Where a consumer's place is kept between two runs; one consumer each.

    :class:`FileCursor` is one. One of your own keeps ``checkpoint.to_text()`` in a database, and
    reads it again with ``Checkpoint.from_text()``.
    """

    def load(self) -> Checkpoint | None:
        """Return what was saved last, or ``None`` for a consumer that has not begun."""
        ...

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep a place, durably, in the stead of the one before."""
        ...


def _as_path(path: object) -> Path:
    return as_path("path", path)


@attrs.frozen
class FileCursor:
    """A cursor in a file of its own: a checkpoint's three lines, replaced as a whole.

    Args:
        path: the file; it appears when the first entry has been handled.

    Raises:
        InvalidInputError: this can be no path.
    """

    path: Path = attrs.field(converter=_as_path)

    def load(self) -> Checkpoint | None:
        """Return what the file holds, or ``None`` when there is no file.

        Raises:
            InvalidInputError: it cannot be read, holds something else, or has no folder to be in.
        """
        try:
            data = read_file(self.path, CURSOR_BYTES_MAX)
        except FileNotFoundError:
            self._check_folder()
            return None
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise InvalidInputError(f"cannot read the cursor {self.path}: {reason}") from error
        try:
            return Checkpoint.from_text(data or b"")
        except InvalidInputError:
            raise InvalidInputError(
                f"{self.path} holds no cursor, or a damaged one; name another file, or remove a "
                "damaged cursor: then what was handled before comes again"
            ) from None

    def _check_folder(self) -> None:
        """Refuse a place that nothing can be kept at, before anything is handled."""
        if not self.path.parent.is_dir():
            raise InvalidInputError(
                f"no cursor can be kept at {self.path}: its folder does not exist"
            )

    def save(self, checkpoint: Checkpoint) -> None:
        """Put a new file into the old one's place, at once and durably.

        Raises:
            FileNotWrittenError: it cannot be written; the file is what it was.
        """
        with writing(self.path, overwrite=True) as file:
            file.write(checkpoint.to_text().encode())


def checkpoint_at(store: Store, size: int) -> Checkpoint:
    """Return what a ledger was after its first ``size`` entries, from its stored hashes.

    Raises:
        LedgerCorruptError: they are not all there.
    """
    try:
        return Checkpoint(store.origin, size, tree_root(size, store.hashes))
    except ProofError as error:
        message = f"the ledger's hashes do not give a root over {size} entries: {error.message}"
        raise LedgerCorruptError(f"{message}; {_EVIDENCE}") from error


def check_continues(store: Store, seen: Checkpoint) -> None:
    """Check that a ledger still begins with what a consumer has seen of it.

    Raises:
        InvalidInputError: the consumer has seen another ledger.
        LedgerCorruptError: this ledger has fewer entries, or others.
    """
    if seen.origin != store.origin:
        raise InvalidInputError(
            f"the cursor is of the ledger {seen.origin!a:.80}, and this is {store.origin!a:.80}"
        )
    size = store.head().size
    if seen.size > size:
        raise LedgerCorruptError(
            f"the cursor stands after {seen.size} entries, and the ledger has {size}: "
            f"it was set back, or is an older copy; {_EVIDENCE}"
        )
    if checkpoint_at(store, seen.size).root != seen.root:
        raise LedgerCorruptError(
            f"the ledger's first {seen.size} entries are not those that the cursor has seen: "
            f"it was set back and went on, or was rewritten; {_EVIDENCE}"
        )

"""A backup of a ledger: a copy that counts only once it has been verified.

The copy is made under a passing name while writers go on, opened as any ledger, and recomputed from
its bytes. It gets its own name when everything in it follows, it is of the same origin, it holds at
least the entries that were there when it was begun, and its root is the root that the ledger itself
has at that size.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from functools import partial
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from rml.clock import RandomIds, SystemClock
from rml.error import InvalidInputError, RmlError
from rml.files import FileNotWrittenError, appearing
from rml.ledger.checks.verification import Verification
from rml.ledger.checks.verify import verify
from rml.ledger.errors import LedgerCorruptError, ProofError
from rml.ledger.proofs.merkle import tree_root
from rml.ledger.store import Head, Opening, Store, open_store, to_url

Progress = Callable[[str, int, int], None]

_WAIT_SECONDS: Final = 10.0


@runtime_checkable
class FileStore(Protocol):
    """A store that keeps its ledger in one file, or can write it into one."""

    def is_at(self, path: Path) -> bool:
        """Say whether a path names this store's own file."""
        ...

    def copy_to(self, path: Path, progress: Callable[[int, int], None]) -> None:
        """Write the ledger as it is now into a new file, durably, while others go on writing.

        Raises:
            FileNotWrittenError: the copy cannot be written.
        """
        ...


def back_up(
    store: Store, path: Path, *, overwrite: bool = False, progress: Progress | None = None
) -> Verification:
    """Write a verified copy of a store's ledger to a path.

    Args:
        store: the ledger's.
        path: the copy's name; nothing stands there until the copy has been verified.
        overwrite: whether an earlier backup of this ledger is replaced.
        progress: called with ``"copying"`` or ``"verifying"``, and how much is done of how much.

    Raises:
        InvalidInputError: this store's ledger is not kept in a file.
        FileNotWrittenError: the copy cannot be written, or its name is taken by what may not, or
            by what is no backup of this ledger.
        LedgerCorruptError: the copy, and so most likely the ledger, is not what it says it is.
    """
    if not isinstance(store, FileStore):
        raise InvalidInputError(
            "this ledger has no file to back up; `rml copy` makes one of a ledger in PostgreSQL, "
            "and for one in memory: keep it in SQLite"
        )
    tell = progress or _nobody
    if store.is_at(path):
        raise FileNotWrittenError(f"{path} is the ledger itself; name another file for its backup")
    size = store.head().size
    with appearing(path, overwrite=overwrite) as part:
        _check_replaceable(store, path)
        store.copy_to(part, partial(tell, "copying"))
        found = _verified(store, part, size, partial(tell, "verifying"))
        if overwrite:  # else the name is given only where nothing stands under it
            _check_replaceable(store, path)
        return found


def _check_replaceable(store: Store, path: Path) -> None:
    """Refuse to replace anything but a backup: what stands there must be the ledger's beginning.

    Raises:
        FileNotWrittenError: it is something else.
    """
    if not path.exists():
        return
    try:
        with _opened(store, path) as there:
            head = there.head()
        why = _difference(store, head)
    except RmlError as error:
        why = error.message
    if why is not None:
        raise FileNotWrittenError(
            f"{path} is no backup of this ledger, and stays as it is: {why}; name another file"
        )


def _difference(store: Store, head: Head) -> str | None:
    size = store.head().size
    if head.size > size:
        return f"it has {head.size} entries, and the ledger has {size}"
    if tree_root(head.size, store.hashes) != head.root:
        return f"its {head.size} entries are not the first of the ledger's"
    return None


def _verified(
    store: Store, part: Path, size: int, progress: Callable[[int, int], None]
) -> Verification:
    with _opened(store, part) as copy:
        found = verify(copy, progress)
        head = copy.head()
    if not found.ok:
        raise _unusable(str(found))
    if head.size < size:
        raise _unusable(f"it has {head.size} entries, and the ledger had {size}")
    try:
        root = tree_root(head.size, store.hashes)
    except ProofError as error:
        raise _unusable(str(error)) from error
    if root != head.root:
        raise _unusable(f"its first {head.size} entries are not those of the ledger")
    return found


def _opened(store: Store, path: Path) -> AbstractContextManager[Store]:
    """Open what is at a path as the same ledger.

    Raises:
        RmlError: it is another one, or none.
    """
    opening = Opening(
        url=to_url(path),
        origin=store.origin,
        new_origin=store.origin,
        clock=SystemClock(),
        ids=RandomIds(),
        create=False,
        timeout=_WAIT_SECONDS,
    )
    return closing(open_store(opening))


def _unusable(why: str) -> LedgerCorruptError:
    return LedgerCorruptError(
        f"the copy was not kept: {why}; run `rml verify` and keep the ledger as evidence"
    )


def _nobody(_: str, __: int, ___: int) -> None:
    """Tell nobody."""

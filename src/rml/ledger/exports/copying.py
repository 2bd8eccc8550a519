"""A ledger copied into another store: the same entries at the same indexes, so the same root.

The copy is made in pages, each one a commit. One that was interrupted is a beginning of the ledger,
and the next goes on where it stopped. It counts when it was recomputed from its bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Final

from rml.codec import parse_json
from rml.ledger.checks.verification import Verification
from rml.ledger.checks.verify import verify
from rml.ledger.entry import Entry, Sealed, leaf_hash
from rml.ledger.errors import CopyError
from rml.ledger.proofs.merkle import tree_root
from rml.ledger.store import Row, Store, Transaction

Progress = Callable[[str, int, int], None]

PAGE_ENTRIES: Final = 1_000
_WAIT_SECONDS: Final = 30.0


def copy(source: Store, target: Store, progress: Progress | None = None) -> Verification:
    """Copy a ledger into a store that holds nothing, or a beginning of it, and verify the copy.

    Bytes, indexes, what is kept beside entries and leases are taken over. Nobody may write to
    either ledger meanwhile; whoever does is found out.

    Args:
        source: the ledger.
        target: a store of a ledger with the same origin.
        progress: called with ``"copying"`` or ``"verifying"``, and how much is done of how much.

    Raises:
        CopyError: the target holds something else, the source was written to meanwhile, or the copy
            is not what the source says it is.
        LedgerCorruptError: an entry of the source cannot be read.
    """
    tell = progress or _nobody
    head, begun = source.head(), target.head()
    if source.origin != target.origin:
        raise CopyError(f"the target is the ledger {target.origin!r}, not {source.origin!r}")
    if begun.size > head.size or tree_root(begun.size, source.hashes) != begun.root:
        raise CopyError("the target holds entries that are not the first ones of the source")
    rows = source.rows(begun.size, head.size)
    done = begun.size
    tell("copying", done, head.size)
    while page := [_sealed(row) for row in islice(rows, PAGE_ENTRIES)]:
        target.write(_appending(page), timeout=_WAIT_SECONDS)
        done += len(page)
        tell("copying", done, head.size)
    _forget_again(source, target, begun.size)
    _take_over_leases(source, target)
    if source.head() != head:
        raise CopyError("the source was written to meanwhile; stop its writers, and copy again")
    found = verify(target, lambda now, of: tell("verifying", now, of))
    if not found.ok or found.root != head.root.hex():
        raise CopyError(f"the copy is not the ledger: {found}; run `rml verify` on the source")
    return found


def _sealed(row: Row) -> Sealed:
    """Return an entry as its bytes say it, whatever the columns beside them said."""
    fields = Entry.from_bytes(row.data, index=row.index).header()
    del fields["origin"]
    return Sealed(row.data, leaf_hash(row.data), fields, row.personal)


def _appending(page: list[Sealed]) -> Callable[[Transaction], None]:
    def work(transaction: Transaction) -> None:
        for sealed in page:
            transaction.append(sealed)

    return work


def _forget_again(source: Store, target: Store, size: int) -> None:
    """Remove from an earlier beginning of the copy what the source has erased since."""
    for there, here in zip(source.rows(0, size), target.rows(0, size), strict=True):
        if there.personal != here.personal:
            left = [] if there.personal is None else list(parse_json(there.personal))
            entry = Entry.from_bytes(there.data).id
            target.write(_keeping(entry, left), timeout=_WAIT_SECONDS)


def _keeping(entry: str, names: list[str]) -> Callable[[Transaction], None]:
    return lambda transaction: transaction.keep_only(entry, names)


def _take_over_leases(source: Store, target: Store) -> None:
    leases = {lease.effect: lease for lease in source.leases()}

    def work(transaction: Transaction) -> None:
        for there in transaction.leases():
            if there.effect not in leases:
                transaction.drop_lease(there.effect)
        for lease in leases.values():
            transaction.put_lease(lease)

    target.write(work, timeout=_WAIT_SECONDS)


def _nobody(_: str, __: int, ___: int) -> None:
    """Tell nobody."""

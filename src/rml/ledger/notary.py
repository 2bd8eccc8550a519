"""What a ledger states about its own tree: checkpoints, signed where it has a key, and proofs.

Nothing is stated that does not follow from the stored hashes: every proof is checked before it is
handed out, and a checkpoint is signed only if it continues the last one that was signed here. That
memory is this process's own. Whoever has to know that a ledger was never set back keeps a
checkpoint elsewhere, and asks for the proof from there to now.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rml.error import InvalidInputError
from rml.ledger.checkpoint import Checkpoint
from rml.ledger.entry import Entry, leaf_hash
from rml.ledger.errors import LedgerCorruptError, ProofError
from rml.ledger.merkle import (
    consistency_hashes,
    inclusion_hashes,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from rml.ledger.note import SignerKey
from rml.ledger.proof import ConsistencyProof, InclusionProof
from rml.ledger.store import Store
from rml.ledger.tree import EMPTY_ROOT


class Notary:
    """See the module. The key's name is the ledger's origin, as whoever opened it has checked."""

    def __init__(self, store: Store, signer: SignerKey | None) -> None:
        self._store = store
        self._signer = signer
        self._last = Checkpoint(store.origin, 0, EMPTY_ROOT)

    def checkpoint(self) -> str:
        """Return the present checkpoint as text, signed where there is a key."""
        return self._state(self._now())

    def prove(self, entry: Entry) -> InclusionProof:
        """Return the proof that an entry is in the ledger as it is now."""
        assert entry.index is not None, "an entry is proved once it has been sealed"
        now = self._now()
        with _own_tree():
            hashes = inclusion_hashes(entry.index, now.size, self._store.hashes)
            leaf = leaf_hash(entry.to_bytes())
            verify_inclusion(entry.index, now.size, leaf, hashes, now.root)
        text = self._state(now)
        return InclusionProof(index=entry.index, hashes=tuple(hashes), checkpoint=text)

    def prove_consistency(self, old_size: int, new_size: int | None) -> ConsistencyProof:
        """Return the proof that the ledger of the new size continues that of the old size."""
        now = self._now()
        newer = now.size if new_size is None else new_size
        for name, size, limit in (("new_size", newer, now.size), ("old_size", old_size, newer)):
            told: object = size
            if not (type(told) is int and 0 <= told <= limit):
                raise InvalidInputError.about(
                    name, size, f"give a number of entries from 0 to {limit}"
                )
        after = now if newer == now.size else self._at(newer)
        hashes = self._continued(self._at(old_size), after)
        text = self._state(after)
        return ConsistencyProof(old_size=old_size, hashes=tuple(hashes), checkpoint=text)

    def _now(self) -> Checkpoint:
        head = self._store.head()
        try:
            return Checkpoint(self._store.origin, head.size, head.root)
        except InvalidInputError as error:
            raise _contradiction(str(error)) from error

    def _at(self, size: int) -> Checkpoint:
        with _own_tree():
            root = tree_root(size, self._store.hashes)
        return Checkpoint(self._store.origin, size, root)

    def _state(self, checkpoint: Checkpoint) -> str:
        """Return a checkpoint's text; sign it only if it agrees with the one signed last."""
        if self._signer is None:
            return checkpoint.to_text()
        if checkpoint != self._last:
            older, newer = sorted((self._last, checkpoint), key=lambda one: one.size)
            self._continued(older, newer)
            if self._at(checkpoint.size) != checkpoint:
                raise _contradiction("the head's root does not follow from the stored hashes")
            self._last = newer
        return checkpoint.signed(self._signer).to_text()

    def _continued(self, old: Checkpoint, new: Checkpoint) -> list[bytes]:
        """Return the hashes that show it, from what is stored."""
        with _own_tree():
            hashes = consistency_hashes(old.size, new.size, self._store.hashes)
            verify_consistency(old.size, new.size, old.root, new.root, hashes)
        return hashes


@contextmanager
def _own_tree() -> Iterator[None]:
    """A proof from the ledger's own hashes that does not hold is no mistake of the caller."""
    try:
        yield
    except ProofError as error:
        raise _contradiction(str(error)) from error


def _contradiction(what: str) -> LedgerCorruptError:
    return LedgerCorruptError(
        f"the ledger contradicts its tree or a checkpoint signed before: {what}; "
        "run `rml verify` and keep the file as evidence"
    )

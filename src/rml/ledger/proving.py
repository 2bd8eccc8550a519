"""What a ledger can show of itself: its identity, its tree, and that nothing was changed."""

from __future__ import annotations

from collections.abc import Callable

from rml.error import InvalidInputError
from rml.ledger.asking import LedgerAnswers
from rml.ledger.notary import Notary
from rml.ledger.proof import ConsistencyProof, InclusionProof
from rml.ledger.verification import Verification
from rml.ledger.verify import verify


class LedgerProofs(LedgerAnswers):
    """The proofs of a :class:`rml.Ledger`; none of them writes into it."""

    _notary: Notary

    @property
    def origin(self) -> str:
        """The ledger's identity, inside every entry's hash."""
        return self._store.origin

    @property
    def size(self) -> int:
        """How many entries there are."""
        return self._store.head().size

    @property
    def root(self) -> str:
        """The hex root of the Merkle tree over all entries (RFC 6962, section 2.1)."""
        return self._store.head().root.hex()

    def checkpoint(self) -> str:
        """Return origin, size and root as a C2SP tlog-checkpoint, signed if the ledger has a key.

        Raises:
            LedgerCorruptError: it would contradict the stored hashes, or a checkpoint that this
                object has signed before; nothing is signed.
        """
        return self._notary.checkpoint()

    def prove(self, entry_id: str) -> InclusionProof:
        """Return the proof that an entry is in this ledger, which anybody can check offline.

        It is against the present checkpoint, signed if the ledger has a key.

        Raises:
            UnknownIdError: there is no such entry.
            LedgerCorruptError: the stored hashes do not show it.
        """
        return self._notary.prove(self.entry(entry_id))

    def prove_consistency(self, old_size: int, new_size: int | None = None) -> ConsistencyProof:
        """Return the proof that nothing was changed since the ledger had so many entries.

        Args:
            old_size: how many entries the older checkpoint says there were.
            new_size: how many there are in the newer one; the present ones, if not given.

        Raises:
            InvalidInputError: the ledger has never had so many entries, or the sizes are the wrong
                way around.
            LedgerCorruptError: the stored hashes do not show it.
        """
        return self._notary.prove_consistency(old_size, new_size)

    def verify(self, progress: Callable[[int, int], None] | None = None) -> Verification:
        """Recompute everything from the bytes and name the first bad entry.

        Args:
            progress: called with (entries checked, entries in all) now and then.
        """
        if progress is not None and not callable(progress):
            message = f"progress must be a function of two numbers, not {type(progress).__name__}"
            raise InvalidInputError(message)
        return verify(self._store, progress)

"""What a ledger can show of itself: its identity, its tree, and that nothing was changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rml.error import InvalidInputError
from rml.ledger.anchors.anchor import Anchor
from rml.ledger.checks.assurance import assured
from rml.ledger.checks.verification import Verification
from rml.ledger.checks.verify import verify
from rml.ledger.proofs.checkpoint import Checkpoint
from rml.ledger.proofs.notary import Notary
from rml.ledger.proofs.note import Keys
from rml.ledger.proofs.proof import ConsistencyProof, InclusionProof
from rml.ledger.queries.reading import LedgerReading


class LedgerProofs(LedgerReading):
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

        Every anchor keeps it, or has kept a newer one. Cosignatures of witnesses stand below the
        ledger's own signature.

        Raises:
            LedgerCorruptError: it would contradict the stored hashes, a checkpoint that this object
                has signed before, or one that an anchor keeps; nothing is signed. Or a witness
                alone speaks against it; then the other anchors have kept it.
            AnchorError: not every anchor has kept it; ``details`` holds the checkpoint and who has.
            InvalidInputError: an anchor keeps something else; nothing is signed.
            SignatureError: an anchor keeps a signature of the key that does not fit; nothing is
                signed.
        """
        return self._notary.checkpoint()

    def prove(self, entry_id: str, *, size: int | None = None) -> InclusionProof:
        """Return the proof that an entry is in this ledger, which anybody can check offline.

        It is against a checkpoint that is signed if the ledger has a key. The anchors are asked
        before a larger tree is signed than this object has signed so far.

        Args:
            entry_id: the entry.
            size: how many entries the checkpoint covers, so that several proofs share one; all
                entries, if not given.

        Raises:
            UnknownIdError: there is no such entry.
            InvalidInputError: the ledger has never had so many entries, or the entry is not among
                them.
            LedgerCorruptError: the stored hashes do not show it.
        """
        return self._notary.prove(self._recorded(entry_id), size)

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

    def verify(
        self,
        progress: Callable[[int, int], None] | None = None,
        *,
        keys: Keys = (),
        checkpoints: Iterable[Checkpoint | str | Anchor] | Checkpoint | str | Anchor = (),
        since: Checkpoint | str | None = None,
    ) -> Verification:
        """Recompute everything from the bytes and name the first bad entry.

        The result is compared with every checkpoint that the anchors keep, and with those given
        here. How far it can be relied on is computed from their signatures, and from where they
        were kept.

        Args:
            progress: called with (entries checked, entries in all) now and then.
            keys: the verifier keys to trust, the ledger's and those of witnesses; those of a ledger
                that was opened with ``signer=`` or with witnesses are trusted already.
            checkpoints: more to compare with: checkpoints that somebody kept, or anchors to ask.
            since: a checkpoint that this reader has verified earlier: only what came after it is
                read again.

        Raises:
            InvalidInputError: a key or checkpoint cannot be read, or is of another ledger.
            SignatureError: a checkpoint is signed, and not by a trusted key.
            MissingExtraError: there are signatures to check, and the extra ``sign`` is not
                installed.
        """
        if progress is not None and not callable(progress):
            message = f"progress must be a function of two numbers, not {type(progress).__name__}"
            raise InvalidInputError(message)
        evidence = self._notary.evidence(keys, checkpoints, since)
        found = verify(self._store, progress, since=evidence.start)
        knows_key = bool(evidence.trust.keys)
        return assured(found, evidence.answers, self._store, knows_key=knows_key)

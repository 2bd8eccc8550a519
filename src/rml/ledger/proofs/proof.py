r"""Proofs that an entry is in a ledger, and that a ledger only grew: RFC 6962, checked offline.

The hashes of a proof are made and checked in :mod:`rml.ledger.proofs.merkle`. Here they meet what
they are checked against, and what they travel as.

As text, an inclusion proof is a C2SP ``tlog-proof@v1``, with the ledger's checkpoint at its end::

    c2sp.org/tlog-proof@v1
    extra <base64>               (may be missing; nobody vouches for what it says)
    index <decimal>
    <base64 of a hash>           (one line a hash)
                                 (an empty line)
    <the checkpoint, signed or not, to the end>

A consistency proof is the body of an ``add-checkpoint`` request of C2SP tlog-witness, with the
newer checkpoint at its end::

    old <decimal>
    <base64 of a hash>           (one line a hash)
                                 (an empty line)
    <the checkpoint, signed or not, to the end>

Decimals have no leading zeros; base64 is standard and canonical; a hash has 32 bytes, and there are
at most 63 of them. A proof alone shows nothing:
whoever makes a proof can make a checkpoint too. It is checked against a checkpoint that the reader
trusts, or one that is signed by a key that the reader trusts.

>>> from rml.ledger.proofs.merkle import inclusion_hashes
>>> from rml.ledger.tree import node_hash
>>> leaves = [leaf_hash(data) for data in (b"one", b"two", b"three")]
>>> root = node_hash(node_hash(leaves[0], leaves[1]), leaves[2])
>>> now = Checkpoint("example.com/ledger", 3, root)
>>> hashes = inclusion_hashes(1, 3, lambda level, start, stop: leaves[start:stop])
>>> proof = InclusionProof(index=1, hashes=tuple(hashes), checkpoint=now.to_text())
>>> for line in proof.to_text().splitlines():
...     print(line or "(an empty line)")
c2sp.org/tlog-proof@v1
index 1
0Nc2CrefWKseHj/mStd+LqC8B+NrX0btIiPt2SmN+ek=
Zx8UbF5HHooag6PCFM5LqQe486WIjRTMjNPOdbsS75Q=
(an empty line)
example.com/ledger
3
Wqx3HImawpLnS/Gv4ubjAvi1WIOy0b8Ze0amvqbavKk=
>>> InclusionProof.from_text(proof.to_text()).verify(b"two", trusted=now) == now
True
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Self

import attrs

from rml.error import InvalidInputError
from rml.ledger.entry import Entry, leaf_hash
from rml.ledger.errors import ProofError
from rml.ledger.proofs.checkpoint import (
    Checkpoint,
    decode_decimal,
    open_checkpoint,
    read_checkpoint,
)
from rml.ledger.proofs.merkle import verify_consistency, verify_inclusion
from rml.ledger.proofs.note import (
    NOTE_BYTES_MAX,
    Keys,
    VerifierKey,
    decode_base64,
    decode_text,
    encode_base64,
    read_keys,
)
from rml.ledger.tree import HASH_BYTES

# As many as the levels of the largest tree; tlog-witness takes no more.
HASHES_MAX: Final = 63
_HEADER: Final = "c2sp.org/tlog-proof@v1"


@attrs.frozen(kw_only=True)
class InclusionProof:
    """That an entry is at an index of the tree that a checkpoint names.

    ``checkpoint`` is text, as the ledger gave it; ``extra`` is bytes that nobody vouches for.
    """

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: str
    extra: bytes | None = None

    def verify(
        self,
        entry: Entry | bytes,
        *,
        keys: Keys = (),
        trusted: Checkpoint | str | None = None,
    ) -> Checkpoint:
        """Return the checkpoint whose tree holds the entry, or raise.

        Args:
            entry: the entry, or the exact bytes that were appended.
            keys: verifier keys, one of which must have signed the checkpoint.
            trusted: the checkpoint as the reader knows it from elsewhere, in place of keys.

        Raises:
            ProofError: the entry is not shown to be there, or the checkpoint is not the trusted
                one.
            SignatureError: no trusted key has signed the checkpoint, or a signature does not fit.
            InvalidInputError: the checkpoint cannot be read, or neither keys nor a trusted
                checkpoint were given.
            MissingExtraError: keys were given, and the extra ``sign`` is not installed.
        """
        keys = read_keys(keys)
        if not keys and trusted is None:
            raise InvalidInputError(
                "a proof shows nothing against a checkpoint that nobody vouches for; "
                "give keys= or trusted="
            )
        checkpoint = _vouched(self.checkpoint, keys, trusted)
        data = entry.to_bytes() if isinstance(entry, Entry) else entry
        leaf = leaf_hash(data)
        verify_inclusion(self.index, checkpoint.size, leaf, self.hashes, checkpoint.root)
        return checkpoint

    def to_text(self) -> str:
        """Return the proof as C2SP tlog-proof text."""
        extra = () if self.extra is None else (f"extra {encode_base64(self.extra)}",)
        head = (_HEADER, *extra, f"index {self.index}")
        return _to_text(head, self.hashes, self.checkpoint)

    @classmethod
    def from_text(cls, data: str | bytes) -> Self:
        """Read a proof, without judging it; the inverse of :meth:`to_text`.

        Raises:
            InvalidInputError: it is no tlog-proof.
        """
        lines, checkpoint = _from_text(data)
        if lines[0] != _HEADER:
            raise InvalidInputError(f"the proof does not begin with the line {_HEADER}")
        del lines[0]
        extra = None
        if lines and lines[0].startswith("extra "):
            extra = decode_base64(lines.pop(0).removeprefix("extra "), "the proof's extra line")
        index = _number(lines, "index ")
        return cls(index=index, hashes=_hashes(lines), checkpoint=checkpoint, extra=extra)


@attrs.frozen(kw_only=True)
class ConsistencyProof:
    """That the tree of a checkpoint begins with all entries of an older tree, in their order.

    ``checkpoint`` is the newer one's text, as the ledger gave it.
    """

    old_size: int
    hashes: tuple[bytes, ...]
    checkpoint: str

    def verify(
        self,
        old: Checkpoint | str,
        *,
        keys: Keys = (),
        trusted: Checkpoint | str | None = None,
    ) -> Checkpoint:
        """Return the newer checkpoint, which keeps all that the older one vouched for, or raise.

        Args:
            old: the older checkpoint, as the reader knows it from elsewhere.
            keys: verifier keys, one of which must have signed the newer checkpoint. Without keys
                anybody may have continued the history; that it continues is shown all the same.
            trusted: the newer checkpoint as the reader knows it from elsewhere.

        Raises:
            ProofError: the newer checkpoint is of another ledger, is not the trusted one, or is not
                shown to continue the older one.
            SignatureError: no trusted key has signed it, or a signature does not fit.
            InvalidInputError: a checkpoint cannot be read.
            MissingExtraError: keys were given, and the extra ``sign`` is not installed.
        """
        before = old if isinstance(old, Checkpoint) else read_checkpoint(old)[0]
        after = _vouched(self.checkpoint, read_keys(keys), trusted)
        if before.origin != after.origin:
            raise ProofError(
                f"the proof is about the ledger {after.origin!a:.80}, not {before.origin!a:.80}"
            )
        if before.size != self.old_size:
            raise ProofError(
                f"the proof begins at {self.old_size} entries, the older checkpoint at "
                f"{before.size}"
            )
        verify_consistency(before.size, after.size, before.root, after.root, self.hashes)
        return after

    def to_text(self) -> str:
        """Return the proof as a tlog-witness is asked: the body of ``add-checkpoint``."""
        return _to_text((f"old {self.old_size}",), self.hashes, self.checkpoint)

    @classmethod
    def from_text(cls, data: str | bytes) -> Self:
        """Read a proof, without judging it; the inverse of :meth:`to_text`.

        Raises:
            InvalidInputError: it is no body of ``add-checkpoint``.
        """
        lines, checkpoint = _from_text(data)
        old_size = _number(lines, "old ")
        return cls(old_size=old_size, hashes=_hashes(lines), checkpoint=checkpoint)


def _vouched(
    text: str, keys: tuple[VerifierKey, ...], trusted: Checkpoint | str | None
) -> Checkpoint:
    """Return a proof's checkpoint, held against the keys and the checkpoint that are trusted."""
    checkpoint = open_checkpoint(text, keys=keys) if keys else read_checkpoint(text)[0]
    if trusted is not None:
        known = trusted if isinstance(trusted, Checkpoint) else read_checkpoint(trusted)[0]
        for name in ("origin", "size", "root"):
            if getattr(known, name) != getattr(checkpoint, name):
                raise ProofError(f"the proof's checkpoint has another {name} than the trusted one")
    return checkpoint


# Text ---------------------------------------------------------------------------------------------


def _to_text(head: Sequence[str], hashes: Sequence[bytes], checkpoint: str) -> str:
    lines = (*head, *map(encode_base64, hashes), "")
    return "".join(f"{line}\n" for line in lines) + checkpoint


def _from_text(data: str | bytes) -> tuple[list[str], str]:
    """Return the lines up to the empty one, at least one of them, and what follows it."""
    head, separator, checkpoint = decode_text(data, "the proof", NOTE_BYTES_MAX).partition("\n\n")
    if not head or not separator or not checkpoint.endswith("\n"):
        raise InvalidInputError("a proof ends in an empty line and a checkpoint, and this does not")
    return head.split("\n"), checkpoint


def _number(lines: list[str], word: str) -> int:
    line = lines.pop(0) if lines else ""
    if not line.startswith(word):
        raise InvalidInputError(f"the proof has {line!a:.80} where the line {word!r} must stand")
    return decode_decimal(line.removeprefix(word), f"the proof's {word.strip()}")


def _hashes(lines: Sequence[str]) -> tuple[bytes, ...]:
    if len(lines) > HASHES_MAX:
        message = f"the proof has {len(lines)} hashes, the limit is {HASHES_MAX} (HASHES_MAX)"
        raise InvalidInputError(message)
    hashes = tuple(decode_base64(line, "the proof") for line in lines)
    if any(len(one) != HASH_BYTES for one in hashes):
        raise InvalidInputError(f"a line of the proof has not the {HASH_BYTES} bytes of a hash")
    return hashes

"""A checkpoint that somebody kept: read strictly, and held against the ledger as it is now."""

from __future__ import annotations

from datetime import datetime

import attrs

from rml.error import InvalidInputError
from rml.ledger.checks.verification import Problem
from rml.ledger.errors import ProofError, SignatureError
from rml.ledger.proofs.checkpoint import Checkpoint, read_checkpoint
from rml.ledger.proofs.cosignature import Trust, WitnessKey
from rml.ledger.proofs.merkle import Hashes, consistency_hashes, verify_consistency
from rml.ledger.proofs.note import Note, VerifierKey


@attrs.frozen(kw_only=True)
class Kept:
    """That a ledger had so many entries once, and who vouches for it.

    ``root`` is ``None`` where only the size is known. ``elsewhere`` says that whoever can write the
    ledger's own folder cannot change what was kept; ``None`` that nobody can tell.
    """

    where: str
    size: int
    root: bytes | None
    note: Note | None = None
    signer: VerifierKey | None = None
    cosigned: tuple[tuple[WitnessKey, datetime], ...] = ()
    elsewhere: bool | None = None


def read_kept(
    text: str | bytes, where: str, *, origin: str, trust: Trust, elsewhere: bool | None = None
) -> Kept:
    """Read a kept checkpoint of a ledger, signed or not; a signature is judged if its key is known.

    Args:
        text: the checkpoint.
        where: who keeps it, for messages.
        origin: the ledger that it must be of.
        trust: whose signatures count.
        elsewhere: as in :class:`Kept`.

    Raises:
        InvalidInputError: it is no checkpoint, or of another ledger.
        SignatureError: a signature by a trusted key does not fit.
        MissingExtraError: there is a signature to judge, and the extra ``sign`` is not installed.
    """
    try:
        checkpoint, note = read_checkpoint(text)
    except InvalidInputError as error:
        raise InvalidInputError(f"{where} holds no checkpoint: {error.message}") from error
    if checkpoint.origin != origin:
        raise InvalidInputError(
            f"{where} is of the ledger {checkpoint.origin!a:.80}, and this is {origin!a:.80}"
        )
    signer: VerifierKey | None = None
    cosigned: list[tuple[WitnessKey, datetime]] = []
    try:
        if note is not None:
            lines = {(line.name, line.key_id) for line in note.signatures}
            claimed = [key for key in trust.keys if (key.name, key.id) in lines]
            signer = note.verify(claimed)[0] if claimed else None
            times = [(witness, witness.cosigned_at(note)) for witness in trust.witnesses]
            cosigned = [(witness, at) for witness, at in times if at is not None]
    except SignatureError as error:
        raise SignatureError(f"{where}: {error.message}") from error
    return Kept(
        where=where,
        size=checkpoint.size,
        root=checkpoint.root,
        note=note,
        signer=signer,
        cosigned=tuple(cosigned),
        elsewhere=elsewhere,
    )


def is_unknown(kept: Kept, trust: Trust) -> bool:
    """Say whether what was kept is signed, and by none of the keys that are trusted."""
    return kept.note is not None and kept.signer is None and bool(trust.keys)


def check_signer(kept: Kept, trust: Trust) -> None:
    """Refuse what none of the trusted keys has signed, unless it is not signed at all.

    Raises:
        SignatureError: it is so.
    """
    if kept.note is not None and is_unknown(kept, trust):
        try:
            kept.note.verify(trust.keys)
        except SignatureError as error:
            raise SignatureError(
                f"{kept.where}: {error.message}; if it was an earlier key of this ledger's, give "
                "that key as well"
            ) from error


def contradiction(kept: Kept, now: Checkpoint, read: Hashes) -> Problem | None:
    """Say how a ledger contradicts what was kept of it, if it does.

    Args:
        kept: what was kept.
        now: the ledger as it is.
        read: its stored hashes.

    Raises:
        ProofError: a stored hash is missing.
    """
    if kept.size > now.size:
        return rolled_back(kept, now.size)
    if kept.root is None:
        return None
    hashes = consistency_hashes(kept.size, now.size, read)
    try:
        verify_consistency(kept.size, now.size, kept.root, now.root, hashes)
    except ProofError:
        return forked(kept)
    return None


def rolled_back(kept: Kept, size: int) -> Problem:
    """Return the problem of a ledger that has fewer entries than it once had."""
    detail = (
        f"the ledger has {size} entries, and {kept.where} covers {kept.size}: it was set back or "
        "cut off, or is an older copy"
    )
    return Problem("rolled_back", detail, size)


def forked(kept: Kept, agreed: int = 0) -> Problem:
    """Return the problem of a ledger that does not begin with the entries that it once had.

    Args:
        kept: what was kept.
        agreed: how many entries are known to be as they were.
    """
    detail = (
        f"the first {kept.size} entries are not those of {kept.where}: something before entry "
        f"{kept.size} was changed, or this is another history of the same ledger"
    )
    return Problem("forked", detail, agreed)

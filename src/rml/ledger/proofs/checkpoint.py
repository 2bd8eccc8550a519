r"""Checkpoints: what a ledger was at one moment, in three lines, as C2SP tlog-checkpoint writes it.

The body is at least three lines, none of them empty, each ended by a newline::

    <origin>
    <size>
    <root>

``origin``
    The ledger's identity. A ledger of ours has no spaces and no plus signs in it; other logs may.
``size``
    How many entries there are: decimal digits without leading zeros.
``root``
    The root of the RFC 6962 Merkle tree over those entries, 32 bytes in standard base64.

Further lines are extensions, kept as they came. A **signed checkpoint** is a signed note
(:mod:`rml.ledger.proofs.note`) whose text is such a body; the ledger's own signature goes under its
origin as the key's name. A body without signatures is no C2SP checkpoint: it serves to compare two
ledgers, and vouches for nothing.

Read strictly: an origin has at most 255 bytes (a cosignature gives its length one byte), a size is
below 2**63 (an index in every database), a body has at most 16,384 bytes, and a root that is not 32
bytes long is refused. Some published test texts have shorter roots, for logs with other hashes than
RFC 6962's; those are refused here on purpose.

>>> from rml.ledger.proofs.note import SignerKey
>>> secret = "PRIVATE+KEY+acme+3cc396f7+AQABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
>>> signer = SignerKey.from_text(secret)
>>> checkpoint = Checkpoint("acme", 0, EMPTY_ROOT)
>>> signed = checkpoint.signed(signer).to_text()
>>> for line in signed.splitlines():
...     print(line or "(an empty line)")
acme
0
47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=
(an empty line)
— acme PMOW92z3/n9X/2eOBhVzKLWIlNwG8X4HxGPvaEcSLto/fWg0qAQxEYSHid+YK89WMRkB72FS+bUj8HueW0ySZpXbuQ0=
>>> open_checkpoint(signed, keys=signer.verifier) == checkpoint
True
"""

from __future__ import annotations

import re
from typing import Final, Self

import attrs

from rml.error import InvalidInputError
from rml.ledger.errors import SignatureError
from rml.ledger.proofs.note import (
    NOTE_BYTES_MAX,
    Keys,
    Note,
    SignerKey,
    decode_base64,
    decode_text,
    encode_base64,
)
from rml.ledger.tree import EMPTY_ROOT, HASH_BYTES

# C2SP tlog-cosignature gives an origin's length one byte.
ORIGIN_BYTES_MAX: Final = 255
# What every database and language calls an index; ten years of a million entries a second fit.
SIZE_MAX: Final = 2**63 - 1
# Three lines and room for extensions, which C2SP advises against.
CHECKPOINT_BYTES_MAX: Final = 16_384
_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_LINES: Final = 3


@attrs.frozen
class Checkpoint:
    """How many entries a ledger had at one moment, and the root over them; equal by value."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __attrs_post_init__(self) -> None:
        size: object = self.size
        if not (type(size) is int and 0 <= size <= SIZE_MAX):
            raise InvalidInputError.about("size", self.size, "it must be an integer below 2**63")
        root: object = self.root
        if not (isinstance(root, bytes) and len(root) == HASH_BYTES):
            raise InvalidInputError(f"a checkpoint's root has {HASH_BYTES} bytes, and this has not")
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise InvalidInputError("a checkpoint of no entries has the root of nothing")
        lines: tuple[object, ...] = (self.origin, *self.extensions)
        for line in lines:
            if not (isinstance(line, str) and line and min(line) >= " "):
                raise InvalidInputError(f"{line!a:.80} is no line of a checkpoint")
        decode_text(self.origin, "the checkpoint's origin", ORIGIN_BYTES_MAX)
        decode_text(self.to_text(), "the checkpoint", CHECKPOINT_BYTES_MAX)

    def to_text(self) -> str:
        """Return the body, unsigned."""
        lines = (self.origin, str(self.size), encode_base64(self.root), *self.extensions)
        return "".join(f"{line}\n" for line in lines)

    @classmethod
    def from_text(cls, data: str | bytes) -> Self:
        """Read a body, without signatures; the inverse of :meth:`to_text`.

        Raises:
            InvalidInputError: it is no checkpoint's body.
        """
        text = decode_text(data, "the checkpoint", CHECKPOINT_BYTES_MAX)
        lines = text.split("\n")
        if lines.pop() or len(lines) < _LINES:
            raise InvalidInputError(
                "a checkpoint is at least three lines, origin, size and root, each with its newline"
            )
        origin, size, root, *extensions = lines
        return cls(
            origin,
            decode_decimal(size, "the checkpoint's size"),
            decode_base64(root, "the checkpoint's root"),
            tuple(extensions),
        )

    def signed(self, signer: SignerKey) -> Note:
        """Return the checkpoint as a note that is signed with a key.

        Raises:
            MissingExtraError: the extra ``sign`` is not installed.
        """
        return Note.unsigned(self.to_text()).signed(signer)


def read_checkpoint(data: str | bytes) -> tuple[Checkpoint, Note | None]:
    """Read a checkpoint, signed or not, without judging its signatures.

    Returns:
        The checkpoint, and the note that it came in; ``None`` when it is a body alone.

    Raises:
        InvalidInputError: it is neither.
    """
    text = decode_text(data, "the checkpoint", NOTE_BYTES_MAX)
    if "\n\n" not in text:
        return Checkpoint.from_text(text), None
    note = Note.from_text(text)
    return Checkpoint.from_text(note.text), note


def open_checkpoint(data: str | bytes, *, keys: Keys, origin: str | None = None) -> Checkpoint:
    """Return what a signed checkpoint says, if one of these keys has signed it.

    Args:
        data: the signed checkpoint.
        keys: the verifier keys to trust.
        origin: the ledger that it must be of.

    Raises:
        InvalidInputError: it is no checkpoint, or of another ledger.
        SignatureError: none of the keys has signed it, or a signature does not fit.
        MissingExtraError: the extra ``sign`` is not installed.
    """
    checkpoint, note = read_checkpoint(data)
    if note is None:
        raise SignatureError("the checkpoint is not signed")
    note.verify(keys)
    if origin is not None and checkpoint.origin != origin:
        raise InvalidInputError(
            f"the checkpoint is of the ledger {checkpoint.origin!a:.80}, not {origin!a:.80}"
        )
    return checkpoint


def decode_decimal(text: str, what: str) -> int:
    """Read a count in decimal digits, without sign or leading zeros, below 2**63.

    Raises:
        InvalidInputError: it is anything else.
    """
    if not _DECIMAL.fullmatch(text) or int(text) > SIZE_MAX:
        raise InvalidInputError(f"{what} {text!a:.80} is no number from 0 to 2**63 - 1")
    return int(text)

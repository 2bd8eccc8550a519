r"""Cosignatures: a witness's word that a log only grew, as C2SP tlog-cosignature writes it.

A cosignature is one more signature line below a checkpoint (:mod:`rml.ledger.proofs.note`). Here
those of Ed25519 keys are known, algorithm ``0x04``; lines of other kinds mean nothing and stay as
they came. What follows the key id in the line is 72 bytes: a POSIX time in eight bytes, big-endian
and below 2**63, and the Ed25519 signature over::

    cosignature/v1
    time <the same time, in decimal digits>
    <the checkpoint's body, as it stands>

It says that, as of that time, this is the largest tree that the witness has seen of the log, and
that it continues every one that the witness has seen before.

>>> key = WitnessKey("witness.example/w1", bytes(range(32)))
>>> print(key.to_text())
witness.example/w1+7e136b5c+BAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f
>>> WitnessKey.from_text(key.to_text()) == key
True
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import ClassVar, Final

import attrs

from rml.error import InvalidInputError
from rml.ledger.proofs.note import Keys, Note, VerifierKey, decode_base64, read_keys

COSIGNATURE: Final = 0x04
_TIME_BYTES: Final = 8


@attrs.frozen
class WitnessKey(VerifierKey):
    """A witness's public key and name; as text it is a verifier key of algorithm ``0x04``."""

    algorithm: ClassVar[int] = COSIGNATURE

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Say whether this witness made a cosignature of a checkpoint's body.

        Raises:
            MissingExtraError: the extra ``sign`` is not installed.
        """
        seconds = _seconds(signature)
        if seconds is None:
            return False
        timed = f"cosignature/v1\ntime {seconds}\n".encode() + message
        return super().verifies(timed, signature[_TIME_BYTES:])

    def cosigned_at(self, note: Note) -> datetime | None:
        """Return when this witness cosigned a checkpoint, or ``None`` if it has not.

        Raises:
            SignatureError: a line with this key's name and id is not its cosignature.
            MissingExtraError: the extra ``sign`` is not installed.
        """
        lines = [s for s in note.signatures if (s.name, s.key_id) == (self.name, self.id)]
        if not lines:
            return None
        note.verify(self)
        newest = max(int.from_bytes(line.signature[:_TIME_BYTES]) for line in lines)
        return datetime.fromtimestamp(min(newest, _LAST_SECOND), UTC)


# What a date can say; a witness whose clock is later than that has no clock.
_LAST_SECOND: Final = int(datetime.max.replace(tzinfo=UTC, microsecond=0).timestamp())


def _seconds(signature: bytes) -> int | None:
    seconds = int.from_bytes(signature[:_TIME_BYTES])
    return seconds if len(signature) > _TIME_BYTES and seconds < 2**63 else None


@attrs.frozen
class Trust:
    """Whose signatures count: the keys of one ledger, and witnesses."""

    keys: tuple[VerifierKey, ...] = ()
    witnesses: tuple[WitnessKey, ...] = ()

    @classmethod
    def of(cls, origin: str, given: Keys) -> Trust:
        """Return who is trusted about a ledger, from keys in any of their forms.

        Raises:
            InvalidInputError: a key cannot be read, or is another ledger's.
        """
        keys, witnesses = [], []
        for key in read_keys(_as_key(one) for one in _several(given)):
            if isinstance(key, WitnessKey):
                witnesses.append(key)
            elif key.name == origin:
                keys.append(key)
            else:
                raise InvalidInputError(
                    f"the key {key.name!a:.80} is not of this ledger, which is {origin!a:.80}; a "
                    "ledger's key has its origin as name"
                )
        return cls(tuple(keys), tuple(witnesses))

    def __or__(self, other: Trust) -> Trust:
        return Trust(
            tuple(dict.fromkeys((*self.keys, *other.keys))),
            tuple(dict.fromkeys((*self.witnesses, *other.witnesses))),
        )


def _several(given: object) -> Iterable[object]:
    if isinstance(given, Iterable) and not isinstance(given, str):
        return given
    return (given,)


def _as_key(given: object) -> VerifierKey:
    """Return a key as what it says that it is: a ledger's or a witness's."""
    if isinstance(given, VerifierKey):
        return given
    encoded = str(given).strip().split("+", 2)[-1]  # base64 has plus signs of its own
    try:
        is_witness = decode_base64(encoded, "the key")[:1] == bytes([COSIGNATURE])
    except InvalidInputError:
        is_witness = False
    return (WitnessKey if is_witness else VerifierKey).from_text(given)

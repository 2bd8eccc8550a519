"""An anchor that is a witness: somebody else's service that cosigns a log which only grows.

The protocol is the ``add-checkpoint`` call of C2SP tlog-witness: the body is the consistency proof
(:class:`rml.ConsistencyProof`) from the last checkpoint that the witness has cosigned, and the
answer its cosignature. A witness keeps nothing but the last checkpoint, and tells of it no more
than the size, to whoever shows a checkpoint that the ledger has signed.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import attrs

from rml.error import InvalidInputError
from rml.ledger.anchors.anchor import ProveFrom, gathered
from rml.ledger.errors import AnchorError, ProofError, SignatureError
from rml.ledger.proofs.checkpoint import decode_decimal, read_checkpoint
from rml.ledger.proofs.cosignature import WitnessKey
from rml.ledger.proofs.note import Note
from rml.ledger.proofs.proof import ConsistencyProof
from rml.tag import shown

if TYPE_CHECKING:
    from rml.ledger.anchors.post import Reply

# How long to wait for a witness, in seconds, unless another value is given.
WITNESS_SECONDS: Final = 10.0
_OK: Final = 200
_CONFLICT: Final = 409
_UNPROVED: Final = 422
_SIZE: Final = "text/x.tlog.size"
_REFUSALS: Final = {
    403: "does not know the ledger, or not the key that signed; give its operator the ledger's "
    "verifier key",
    404: "does not know the ledger; give its operator the ledger's verifier key",
}


@attrs.frozen
class Seen:
    """What a witness has seen of a ledger: how many entries.

    ``checkpoint`` is the one that it was shown, cosigned, if it has seen exactly this; ``agrees``
    is false if it has cosigned another one of this size.
    """

    size: int
    checkpoint: str | None = None
    agrees: bool = True


class WitnessAnchor:
    """Has a witness cosign a ledger's checkpoints; it refuses a history that was set back.

    It needs checkpoints that are signed: open the ledger with ``signer=``.

    Args:
        url: where the witness takes checkpoints: its submission prefix, ``https://`` or
            ``http://``.
        key: the witness's verifier key, as it has published it.
        timeout: seconds to wait for it.

    Raises:
        InvalidInputError: this is no such URL, no key of a witness, or no number of seconds.
    """

    def __init__(
        self, url: str, key: WitnessKey | str, *, timeout: float | timedelta = WITNESS_SECONDS
    ) -> None:
        self.url: str = _as_url(url)
        self.key: WitnessKey = key if isinstance(key, WitnessKey) else WitnessKey.from_text(key)
        self.timeout: float = _as_timeout(timeout)
        self._cosigned: dict[str, str] = {}

    def last(self, origin: str) -> str | None:
        """Return the last checkpoint that was cosigned for this object, without asking anybody."""
        return self._cosigned.get(origin)

    def keep(self, checkpoint: str, prove_from: ProveFrom) -> str:
        """Return a checkpoint with the witness's cosignature below the other signatures.

        A witness that has seen another size than this object remembers is asked once more, with
        the proof from there.

        Raises:
            AnchorError: the witness cannot be reached, does not know the ledger or its key, or
                gives no answer that holds.
            ProofError: it has cosigned what this checkpoint does not continue.
        """
        now, note = read_checkpoint(checkpoint)
        if note is None:
            raise AnchorError(
                f"{self} cosigns signed checkpoints only; open the ledger with signer="
            )
        last = self.last(now.origin)
        size = 0 if last is None else read_checkpoint(last)[0].size
        for _ in range(2):
            answer = self._add(prove_from(size), checkpoint)
            if isinstance(answer, str):
                self._cosigned[now.origin] = answer
                return answer
            size = answer
        raise AnchorError(f"{self} was asked by others at the same time; ask it again")

    def seen(self, checkpoint: str) -> Seen:
        """Return what the witness has seen, shown a checkpoint that the ledger has signed.

        Raises:
            AnchorError: as for :meth:`keep`.
        """
        size = read_checkpoint(checkpoint)[0].size
        same = ConsistencyProof(old_size=size, hashes=(), checkpoint=checkpoint)
        try:
            answer = self._add(same, checkpoint)
        except ProofError:
            return Seen(size, agrees=False)
        return Seen(answer) if isinstance(answer, int) else Seen(size, answer)

    def __str__(self) -> str:
        return f"the witness {self.key.name}"

    def __repr__(self) -> str:
        return f"WitnessAnchor({self.url!r}, {self.key.to_text()!r})"

    def _add(self, proof: ConsistencyProof, checkpoint: str) -> str | int:
        """Return the checkpoint cosigned, or the other size that the proof has to begin at."""
        reply = self._post(attrs.evolve(proof, checkpoint=checkpoint).to_text())
        if reply.status == _OK:
            return self._cosigned_by(reply.body, checkpoint)
        if reply.status == _CONFLICT and reply.kind == _SIZE:
            size = self._size(reply.body)
            if size != proof.old_size:
                return size
        if reply.status in (_CONFLICT, _UNPROVED):
            raise ProofError(
                f"{self} has cosigned {proof.old_size} entries that this checkpoint does not "
                "continue"
            )
        why = _REFUSALS.get(reply.status, f"answered with the status {reply.status}")
        raise AnchorError(f"{self} {why}")

    def _cosigned_by(self, answer: bytes, checkpoint: str) -> str:
        """Return the checkpoint with the lines of the answer that are this witness's."""
        text, key = read_checkpoint(checkpoint)[0].to_text(), self.key
        try:
            below = Note.from_text(f"{text}\n{answer.decode()}")
            own = [s for s in below.signatures if (s.name, s.key_id) == (key.name, key.id)]
            note = attrs.evolve(below, signatures=tuple(own))
            note.verify(key)
        except (InvalidInputError, SignatureError, UnicodeDecodeError) as error:
            raise AnchorError(f"{self} gave no cosignature of its key: {error}") from error
        return gathered(checkpoint, note.to_text())

    def _size(self, answer: bytes) -> int:
        try:
            return decode_decimal(answer.decode().removesuffix("\n"), "the size")
        except (InvalidInputError, UnicodeDecodeError) as error:
            raise AnchorError(f"{self} answered with something that is no size") from error

    def _post(self, body: str) -> Reply:
        from rml.ledger.anchors.post import post  # what it needs of HTTP takes its time to import

        try:
            return post(f"{self.url}/add-checkpoint", body.encode(), self.timeout)
        except OSError as error:
            reason = getattr(error, "reason", None) or error
            raise AnchorError(f"{self} cannot be reached at {self.url}: {reason}") from error


def _as_timeout(timeout: object) -> float:
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    if isinstance(seconds, int | float) and seconds is not True and 0 < seconds < float("inf"):
        return float(seconds)
    raise InvalidInputError.about("timeout", timeout, "give a number of seconds above 0")


def _as_url(url: object) -> str:
    """Return a URL without the slash at its end."""
    text = url if isinstance(url, str) else ""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        (parts.hostname or "").encode("idna")  # as it will be looked up
    except ValueError:
        usable = False
    if not usable or not text.isascii() or any(c.isspace() for c in text) or set(text) & set("@?#"):
        raise InvalidInputError(
            f"url is {shown(url)}; give the witness's prefix, such as https://witness.example/w1, "
            "without user, query and fragment"
        )
    return text.rstrip("/")

r"""Signed notes: text that names who vouches for it, as C2SP signed-note specifies it.

A note is UTF-8 text in three parts: the **text**, which ends in a newline; one empty line; and one
or more **signature lines**. It holds no control character (below U+0020) but newlines. The text may
hold empty lines itself: the last empty line is the one that separates. A signature line is::

    <em dash U+2014> <space> <key name> <space> <base64(key id || signature)> <newline>

A key name is not empty and has neither Unicode spaces nor plus signs. The base64 is the standard
alphabet with padding (RFC 4648, section 4), and only its one canonical spelling is read. The key id
is four bytes that stand for name, algorithm and key together::

    key id = SHA-256(name || 0x0A || algorithm || public key)[:4]

One algorithm is known here: ``0x01``, Ed25519 (RFC 8032) over the text with its last newline and
without the empty line; its public key has 32 bytes. Lines of other keys, such as a second signature
that resists quantum computers, or a witness's cosignature, are kept as they came.

A note counts as signed only against keys that the reader has from elsewhere: every line whose name
*and* id are a known key's must verify, and there must be at least one; all other lines mean
nothing. A note of more than 1,000,000 bytes or 100 signature lines is refused.

Keys are text, in the spelling that Go's checksum database gave them. ``+`` separates, the id is 8
lower-case hex digits, and the base64 begins with the algorithm's byte; the secret is the seed of
RFC 8032, 32 bytes::

    verifier key    <name>+<id>+<base64(algorithm || public key)>
    signer key      PRIVATE+KEY+<name>+<id>+<base64(algorithm || secret seed)>

>>> secret = "PRIVATE+KEY+acme+3cc396f7+AQABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
>>> signer = SignerKey.from_text(secret)
>>> print(signer.verifier.to_text())
acme+3cc396f7+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4
>>> note = Note.unsigned("Nobody owes anything.\n").signed(signer)
>>> for line in note.to_text().splitlines():
...     print(line or "(an empty line)")
Nobody owes anything.
(an empty line)
— acme PMOW9+YmyJGJIOStY1NFAXWKQmGn2xCHQqWTPedq/o3hBkENGsn1juFDlibvdj6IukXZtM+m4URYEtDIPKCcd2etLg0=
>>> [key.name for key in Note.from_text(note.to_text()).verify(signer.verifier)]
['acme']
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from typing import Any, ClassVar, Final, Self

import attrs

from rml.error import InvalidInputError, MissingExtraError
from rml.ledger.errors import SignatureError
from rml.redact import Secret

# A signature of the next generation is nearly 5 kB; a hundred of those and their text fit.
NOTE_BYTES_MAX: Final = 1_000_000
# C2SP asks every reader for 16; Go's own reader takes 100, so nobody's note ends at our door.
SIGNATURES_MAX: Final = 100
ED25519: Final = 0x01
KEY_BYTES: Final = 32  # of an Ed25519 public key, and of the seed of a secret one
_ID_BYTES: Final = 4
_DASH: Final = "\N{EM DASH} "
_PRIVATE: Final = "PRIVATE+KEY+"
_ID: Final = re.compile(r"[0-9a-f]{8}")


@attrs.frozen
class Signature:
    """One signature line: who says to have signed, and the bytes that show it, or do not."""

    name: str
    key_id: bytes
    signature: bytes = attrs.field(repr=False)

    def to_text(self) -> str:
        """Return the line, with its newline."""
        return f"{_DASH}{self.name} {encode_base64(self.key_id + self.signature)}\n"

    @classmethod
    def from_text(cls, line: str) -> Self:
        """Read a line, given without its newline; the inverse of :meth:`to_text`.

        Raises:
            InvalidInputError: it is no signature line.
        """
        name, space, encoded = line.removeprefix(_DASH).partition(" ")
        if not line.startswith(_DASH) or not space or not _is_name(name):
            raise InvalidInputError(f"the note's line {line!a:.80} is no signature line")
        signed = decode_base64(encoded, "a signature of the note")
        if len(signed) <= _ID_BYTES:
            raise InvalidInputError(f"the note's signature by {name!a:.80} is too short")
        return cls(name, signed[:_ID_BYTES], signed[_ID_BYTES:])


@attrs.frozen
class VerifierKey:
    """A public key and the name that it signs under; safe to publish."""

    algorithm: ClassVar[int] = ED25519
    name: str
    public: bytes = attrs.field(repr=False)

    def __attrs_post_init__(self) -> None:
        check_name(self.name)
        public: object = self.public
        if not (isinstance(public, bytes) and len(public) == KEY_BYTES):
            raise InvalidInputError(f"the public key of {self.name!r} has not {KEY_BYTES} bytes")

    @property
    def id(self) -> bytes:
        """The four bytes that signature lines name this key by."""
        keyed = self.name.encode() + b"\n" + bytes([self.algorithm]) + self.public
        return hashlib.sha256(keyed).digest()[:_ID_BYTES]

    def to_text(self) -> str:
        """Return the key as text."""
        return f"{self.name}+{self.id.hex()}+{encode_base64(bytes([self.algorithm]) + self.public)}"

    @classmethod
    def from_text(cls, text: object) -> Self:
        """Read a verifier key from text, spaces around it ignored; the inverse of :meth:`to_text`.

        Raises:
            InvalidInputError: it is no verifier key, or of an algorithm unknown here.
        """
        if isinstance(text, Secret) or str(text).strip().startswith(_PRIVATE):
            raise InvalidInputError(
                "this is a signer key, which is secret; give the verifier key made with it"
            )
        form = "name+id+base64"
        key_id, name, public = _parse_key(text, "a verifier key", form, cls.algorithm)
        key = cls(name, public)
        if key.id != key_id:
            raise InvalidInputError(f"the id of the verifier key of {name!a:.80} is not that key's")
        return key

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Say whether this key made a signature over these bytes.

        Raises:
            MissingExtraError: the extra ``sign`` is not installed.
        """
        key = _ed25519().Ed25519PublicKey.from_public_bytes(self.public)
        from cryptography.exceptions import InvalidSignature

        try:
            key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


@attrs.frozen(eq=False)
class SignerKey:
    """A secret key and the name that it signs under; no text form of this object shows the key."""

    verifier: VerifierKey
    _seed: Secret[bytes] = attrs.field(repr=False)

    @property
    def name(self) -> str:
        """The name that the key signs under."""
        return self.verifier.name

    @classmethod
    def generate(cls, name: str) -> Self:
        """Make a new key under a name, best that of the ledger's origin.

        Raises:
            InvalidInputError: the name is empty, or has spaces or plus signs.
            MissingExtraError: the extra ``sign`` is not installed.
        """
        check_name(name)
        return cls._of(name, _ed25519().Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def _of(cls, name: str, seed: bytes) -> Self:
        secret = _ed25519().Ed25519PrivateKey.from_private_bytes(seed)
        return cls(VerifierKey(name, secret.public_key().public_bytes_raw()), Secret(seed))

    @classmethod
    def from_text(cls, text: str | Secret[str]) -> Self:
        """Read a signer key from text, spaces around it ignored; the inverse of :meth:`to_text`.

        Raises:
            InvalidInputError: it is no signer key; the message does not show it.
            MissingExtraError: the extra ``sign`` is not installed.
        """
        told: object = text.reveal() if isinstance(text, Secret) else text
        if not (isinstance(told, str) and told.strip().startswith(_PRIVATE)):
            raise InvalidInputError(f"a signer key begins with {_PRIVATE!r}, and this does not")
        rest = told.strip().removeprefix(_PRIVATE)
        key_id, name, seed = _parse_key(rest, "a signer key", f"{_PRIVATE}name+id+base64")
        key = cls._of(name, seed)
        if key.verifier.id != key_id:
            raise InvalidInputError(f"the id of the signer key of {name!a:.80} is not that key's")
        return key

    def to_text(self) -> Secret[str]:
        """Return the key as text that has to be revealed, to be written where it is kept safe."""
        encoded = encode_base64(bytes([ED25519]) + self._seed.reveal())
        return Secret(f"{_PRIVATE}{self.name}+{self.verifier.id.hex()}+{encoded}")

    def sign(self, text: str) -> Signature:
        """Return the signature line for a note's text.

        Raises:
            MissingExtraError: the extra ``sign`` is not installed.
        """
        secret = _ed25519().Ed25519PrivateKey.from_private_bytes(self._seed.reveal())
        return Signature(self.name, self.verifier.id, secret.sign(text.encode()))


@attrs.frozen
class Note:
    """A text and its signature lines, in their order, those of unknown keys among them."""

    text: str
    signatures: tuple[Signature, ...]

    @classmethod
    def unsigned(cls, text: str) -> Self:
        """Begin a note that nobody has signed yet.

        Raises:
            InvalidInputError: the text has control characters, or no newline at its end.
        """
        _check_text(text)
        if not text.endswith("\n"):
            raise InvalidInputError("the note's text does not end in a newline")
        return cls(text, ())

    @classmethod
    def from_text(cls, data: str | bytes) -> Self:
        """Read a note, without judging its signatures; the inverse of :meth:`to_text`.

        Raises:
            InvalidInputError: it is no note, or larger than one may be.
        """
        whole = decode_text(data, "the note", NOTE_BYTES_MAX)
        _check_text(whole)
        text, separator, below = whole.rpartition("\n\n")
        if not separator or not below.endswith("\n"):
            raise InvalidInputError(
                "the note has no signatures: an empty line and signature lines, each with its "
                "newline, must stand at its end"
            )
        lines = below.split("\n")[:-1]
        if len(lines) > SIGNATURES_MAX:
            raise InvalidInputError(
                f"the note has {len(lines)} signatures, the limit is {SIGNATURES_MAX} "
                "(SIGNATURES_MAX)"
            )
        return cls(text + "\n", tuple(Signature.from_text(line) for line in lines))

    def to_text(self) -> str:
        """Return the note as text."""
        return self.text + "\n" + "".join(line.to_text() for line in self.signatures)

    def signed(self, signer: SignerKey) -> Note:
        """Return the note with one more signature, in place of an earlier one by the same key.

        Raises:
            MissingExtraError: the extra ``sign`` is not installed.
        """
        own = (signer.name, signer.verifier.id)
        others = [line for line in self.signatures if (line.name, line.key_id) != own]
        return attrs.evolve(self, signatures=(*others, signer.sign(self.text)))

    def verify(self, keys: Keys) -> tuple[VerifierKey, ...]:
        """Return the keys among these that have signed, each once, in the order of their lines.

        Raises:
            SignatureError: none of the keys has signed, or a signature under a key's name and id is
                not that key's.
            InvalidInputError: a key cannot be read, or two keys share name and id.
            MissingExtraError: the extra ``sign`` is not installed.
        """
        known = {(key.name, key.id): key for key in read_keys(keys)}
        message = self.text.encode()
        found: dict[VerifierKey, None] = {}
        for line in self.signatures:
            key = known.get((line.name, line.key_id))
            if key is None:
                continue
            if not key.verifies(message, line.signature):
                raise SignatureError(f"the signature by {key.name!a:.80} does not fit the text")
            found[key] = None
        if not found:
            signed = ", ".join(f"{s.name}+{s.key_id.hex()}" for s in self.signatures) or "nobody"
            known_text = ", ".join(f"{k.name}+{k.id.hex()}" for k in known.values()) or "none"
            raise SignatureError(
                f"no trusted key has signed this: it is signed by {signed:.200}; "
                f"trusted: {known_text:.200}"
            )
        return tuple(found)


Keys = Iterable[VerifierKey | str] | VerifierKey | str
"""Whom a reader trusts: verifier keys, as objects or text; one of them may stand alone."""


def read_keys(keys: Keys) -> tuple[VerifierKey, ...]:
    """Return verifier keys that were given in any of their forms.

    Raises:
        InvalidInputError: a key cannot be read, or two keys share name and id.
    """
    given = (keys,) if isinstance(keys, str | VerifierKey) else tuple(keys)
    read = [key if isinstance(key, VerifierKey) else VerifierKey.from_text(key) for key in given]
    known: dict[tuple[str, bytes], VerifierKey] = {}
    for key in read:
        if known.setdefault((key.name, key.id), key) != key:
            raise InvalidInputError(f"two keys share the name {key.name!a:.80} and an id")
    return tuple(known.values())


def _ed25519() -> Any:
    """Return the module of the library that does the arithmetic."""
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise MissingExtraError.about("sign") from error
    return ed25519


def _parse_key(
    text: object, what: str, form: str, algorithm: int = ED25519
) -> tuple[bytes, str, bytes]:
    """Return a key's id, name and bytes; no message shows the text, which may be a secret."""
    name, _, rest = str(text).strip().partition("+")
    key_id, _, encoded = rest.partition("+")
    if not _is_name(name) or not _ID.fullmatch(key_id):
        raise InvalidInputError(f"this is not {what}, which reads {form}")
    keyed = decode_base64(encoded, what)
    if keyed[:1] != bytes([algorithm]) or len(keyed) != 1 + KEY_BYTES:
        kind = f"no Ed25519 key of algorithm 0x{algorithm:02x}"
        raise InvalidInputError(f"{what} of {name!a:.80} is {kind}, the only kind known")
    return bytes.fromhex(key_id), name, keyed[1:]


def _is_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(c.isspace() for c in name)


def check_name(name: object) -> str:
    """Return ``name`` if a key may sign under it.

    Raises:
        InvalidInputError: it is no text, empty, or has spaces, plus signs or control characters.
    """
    if not isinstance(name, str) or not _is_name(name):
        raise InvalidInputError.about("name", name, "a key's name has no spaces and no plus sign")
    _check_text(name)
    return name


def _check_text(text: str) -> None:
    if any(c < " " and c != "\n" for c in text):
        raise InvalidInputError("the note holds a control character, which no note may")
    decode_text(text, "the note", NOTE_BYTES_MAX)


def decode_text(data: object, what: str, bytes_max: int) -> str:
    """Return text that was given as such or in UTF-8.

    Raises:
        InvalidInputError: it is no Unicode text, or larger than ``bytes_max``.
    """
    if not isinstance(data, str | bytes):
        raise InvalidInputError(f"{what} must be text, not {type(data).__name__}")
    try:
        encoded = data.encode() if isinstance(data, str) else data
        text = encoded.decode()
    except UnicodeError:
        raise InvalidInputError(f"{what} is no UTF-8 text") from None
    if len(encoded) > bytes_max:
        raise InvalidInputError(f"{what} has {len(encoded)} bytes, the limit is {bytes_max}")
    return text


def encode_base64(data: bytes) -> str:
    """Return standard base64 with padding; the inverse of :func:`decode_base64`."""
    return base64.b64encode(data).decode()


def decode_base64(text: str, what: str) -> bytes:
    """Read standard base64 in its one canonical spelling.

    Raises:
        InvalidInputError: it is anything else.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        data = None
    if data is None or encode_base64(data) != text:
        raise InvalidInputError(f"{what} holds no canonical base64")
    return data

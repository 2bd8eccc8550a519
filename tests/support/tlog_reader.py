"""A reader of C2SP tlog-tiles folders, written from the specifications alone: nothing of ours.

Specifications: c2sp.org/tlog-tiles, c2sp.org/tlog-checkpoint, c2sp.org/signed-note, RFC 6962.
"""

import base64
import hashlib
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

WIDTH = 256


def tree_hash(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, over leaf hashes, by its recursive definition."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    left, right = tree_hash(leaves[:split]), tree_hash(leaves[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


def verify_note(note: str, key: str) -> list[str]:
    """The lines of a signed note's text, once a verifier key's Ed25519 signature on it holds."""
    text, _, signatures = note.rpartition("\n\n")
    name, key_id, keyed = key.split("+", 2)
    algorithm_and_public = base64.b64decode(keyed)
    assert b"\x01" == algorithm_and_public[:1]
    expected_id = hashlib.sha256(name.encode() + b"\n" + algorithm_and_public).digest()[:4]
    assert expected_id.hex() == key_id
    for line in signatures.splitlines():
        dash, signer, signed = line.split(" ")
        signature = base64.b64decode(signed)
        if (dash, signer, signature[:4]) == ("\u2014", name, expected_id):
            public = Ed25519PublicKey.from_public_bytes(algorithm_and_public[1:])
            public.verify(signature[4:], (text + "\n").encode())
            return text.splitlines()
    raise AssertionError(f"not signed by {name}")


class TlogFolder:
    """A log that lies in a folder."""

    def __init__(self, folder: Path, checkpoint: str = "checkpoint") -> None:
        self.folder = folder
        self.note = (folder / checkpoint).read_text(encoding="utf-8")
        self.origin, size, root = self.note.splitlines()[:3]
        self.size, self.root = int(size), base64.b64decode(root)

    def file(self, kind: str, place: int, width: int) -> bytes:
        """A resource's bytes: N in groups of three digits, the first ones with an x."""
        digits = str(place)
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        groups = [digits[i : i + 3] for i in range(0, len(digits), 3)]
        name = "/".join([*("x" + group for group in groups[:-1]), groups[-1]])
        suffix = "" if width == WIDTH else f".p/{width}"
        return (self.folder / f"tile/{kind}/{name}{suffix}").read_bytes()

    def tiles(self, level: int) -> list[tuple[int, int]]:
        """Place and width of each tile of a level, as the size demands."""
        full, rest = divmod(self.size // WIDTH**level, WIDTH)
        return [(place, WIDTH) for place in range(full)] + ([(full, rest)] if rest else [])

    def hashes(self, level: int) -> list[bytes]:
        """The hashes of a level."""
        made = []
        for place, width in self.tiles(level):
            data = self.file(str(level), place, width)
            assert len(data) == 32 * width
            made += [data[i : i + 32] for i in range(0, len(data), 32)]
        return made

    def entries(self) -> list[bytes]:
        """Every entry's bytes."""
        made = []
        for place, width in self.tiles(0):
            data, count = self.file("entries", place, width), 0
            while data:
                length = int.from_bytes(data[:2], "big")
                assert len(data) >= 2 + length
                made.append(data[2 : 2 + length])
                data, count = data[2 + length :], count + 1
            assert count == width
        return made

    def check(self, key: str | None) -> list[bytes]:
        """The entries, once signature, entry bundles and every tile give the checkpoint's root."""
        if key is not None:
            assert [self.origin, str(self.size)] == verify_note(self.note, key)[:2]
        entries = self.entries()
        expected = [hashlib.sha256(b"\x00" + entry).digest() for entry in entries]
        assert self.root == tree_hash(expected)
        level = 0
        while expected:
            assert expected == self.hashes(level)
            level += 1
            full = range(0, len(expected) - len(expected) % WIDTH, WIDTH)
            expected = [tree_hash(expected[start : start + WIDTH]) for start in full]
        return entries

    def paths(self) -> set[str]:
        """The files that a log of this size must serve, by the specification."""
        made = {"checkpoint"}
        kinds = {0: ["0", "entries"]}
        level = 0
        while self.size // WIDTH**level:
            for place, width in self.tiles(level):
                for kind in kinds.get(level, [str(level)]):
                    assert self.file(kind, place, width)
                    name = f"{place:03d}" if width == WIDTH else f"{place:03d}.p/{width}"
                    made.add(f"tile/{kind}/{name}")  # below a thousand tiles
            level += 1
        return made

"""The Merkle tree over entries: RFC 6962, section 2.1, kept as C2SP tlog-tiles of height 8.

A node is SHA-256(0x01 || left || right); the root of no leaves is SHA-256 of nothing. A tile is the
256 hashes of one level over 256 siblings, 8,192 bytes; it is stored once, when it is full, together
with the root over it. Everything here is arithmetic on hashes: no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final, Self

import attrs

TILE_HEIGHT: Final = 8
TILE_WIDTH: Final = 1 << TILE_HEIGHT
# An index has 63 bits, so there is no tile of a level above.
TILE_LEVEL_MAX: Final = 6
HASH_BYTES: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return SHA-256(0x01 || left || right)."""
    return sha256(b"\x01" + left + right).digest()


@attrs.frozen
class Tile:
    """A full tile: its level (0 is over the leaves), its place there, its hashes and their root."""

    level: int
    index: int
    hashes: bytes
    root: bytes


def tile_root(hashes: Sequence[bytes]) -> bytes:
    """Return the root over a full row of ``2**k`` sibling hashes."""
    row = list(hashes)
    while len(row) > 1:
        row = list(map(node_hash, row[::2], row[1::2]))
    return row[0]


def split_tile(hashes: bytes) -> list[bytes]:
    """Cut a tile's bytes into its 32-byte hashes."""
    return [hashes[i : i + HASH_BYTES] for i in range(0, len(hashes), HASH_BYTES)]


class Frontier:
    """The right edge of a growing tree: what it takes to add leaves and to know the root.

    ``rows[level]`` holds the hashes of the tile of that level that is not full yet. Memory is at
    most 255 hashes a level, whatever the size of the tree.
    """

    def __init__(self, size: int = 0, rows: Iterable[Iterable[bytes]] = ()) -> None:
        self.size: int = size
        self.rows: list[list[bytes]] = [list(row) for row in rows]
        self._peaks = self._peaks_of_rows()
        self._root: bytes | None = None

    def _peaks_of_rows(self) -> list[bytes]:
        """Return the roots of the perfect subtrees that make up the tree, the largest first."""
        peaks: list[bytes] = []
        for row in reversed(self.rows):
            start = 0
            for bit in reversed(range(TILE_HEIGHT)):
                if len(row) & (1 << bit):
                    peaks.append(tile_root(row[start : start + (1 << bit)]))
                    start += 1 << bit
        return peaks

    def copy(self) -> Self:
        """Return an independent copy."""
        made = type(self)()
        made.size = self.size
        made.rows = [list(row) for row in self.rows]
        made._peaks = list(self._peaks)  # noqa: SLF001 - of the same class
        made._root = self._root  # noqa: SLF001
        return made

    def add(self, leaf: bytes) -> list[Tile]:
        """Add one leaf hash; return the tiles that it filled."""
        if self.rows:
            self.rows[0].append(leaf)
        else:
            self.rows.append([leaf])
        self.size += 1
        if self.size & 1:  # it has no equal to be joined with
            self._peaks.append(leaf)
            self._root = None
            return []
        return self._fold(leaf, 0)

    def extend(self, leaves: Sequence[bytes]) -> list[Tile]:
        """Add leaf hashes, a whole tile at a time where they fill one; return the filled tiles."""
        filled: list[Tile] = []
        place, end = 0, len(leaves)
        while place < end:
            if self.size % TILE_WIDTH or end - place < TILE_WIDTH:
                filled += self.add(leaves[place])
                place += 1
            else:
                row = leaves[place : place + TILE_WIDTH]
                self._push(0, row)
                self.size += TILE_WIDTH
                filled += self._fold(tile_root(row), TILE_HEIGHT)
                place += TILE_WIDTH
        return filled

    def _fold(self, carry: bytes, height: int) -> list[Tile]:
        """Join the newest perfect subtree, ``height`` levels high, with its equals to the left."""
        filled: list[Tile] = []
        place = (self.size >> height) - 1
        while True:
            if height and height % TILE_HEIGHT == 0:
                level = height // TILE_HEIGHT
                filled.append(Tile(level - 1, place, b"".join(self.rows[level - 1]), carry))
                self.rows[level - 1].clear()
                self._push(level, [carry])
            if not place & 1:
                break
            carry = node_hash(self._peaks.pop(), carry)
            height, place = height + 1, place >> 1
        self._peaks.append(carry)
        self._root = None
        return filled

    def _push(self, level: int, hashes: Sequence[bytes]) -> None:
        if level == len(self.rows):
            self.rows.append([])
        self.rows[level] += hashes

    def root(self) -> bytes:
        """Return the root over all leaves so far."""
        if self._root is None:
            root = self._peaks[-1] if self._peaks else EMPTY_ROOT
            for peak in self._peaks[-2::-1]:
                root = sha256(b"\x01" + peak + root).digest()  # as `node_hash`, at every commit
            self._root = root
        return self._root


def row_widths(size: int) -> list[int]:
    """Return how many hashes the unfinished tile of each level holds, for ``size`` leaves."""
    widths = []
    while size:
        widths.append(size % TILE_WIDTH)
        size //= TILE_WIDTH
    return widths

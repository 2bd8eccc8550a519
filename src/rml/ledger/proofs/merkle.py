r"""Merkle proofs as RFC 6962 defines them: arithmetic on hashes, without I/O.

An **inclusion proof** (RFC 6962, section 2.1.1) is the hashes beside the way from a leaf up to the
root, the leaf's sibling first. A **consistency proof** (section 2.1.2) is the hashes from which the
root of an older tree and that of a newer one both follow. Both are checked by the algorithms of
RFC 9162, sections 2.1.3.2 and 2.1.4.2, and made from stored tiles of 256 hashes in O(log n) reads.

On trees without entries the RFCs and the published test vectors differ. Here, everything follows
from the empty tree: a proof from size 0 holds if it has no hashes and the older root is that of
nothing (SHA-256 of no bytes). That is what a C2SP tlog-witness expects for the first checkpoint of
a log, and the newest Go library refuses it. It says nothing about the newer root. No entry is in an
empty tree.

With ``h(x)`` for the hash of the leaf ``x`` and ``n(l, r)`` for that of the node over ``l`` and
``r``, the tree over ``a, b, c`` has the root ``n(n(h(a), h(b)), h(c))``. The way from ``b`` to it
passes ``h(a)`` and ``h(c)``; the tree over ``a, b`` and that over all three follow from ``h(c)``
and the older root.

>>> import hashlib
>>> leaves = [hashlib.sha256(b"\x00" + data).digest() for data in (b"a", b"b", b"c")]
>>> read = lambda level, start, stop: leaves[start:stop]
>>> for one in inclusion_hashes(1, 3, read):
...     print(one.hex())
022a6979e6dab7aa5ae4c3e5e45f7e977112a7e63593820dbec1ec738a24f93c
597fcb31282d34654c200d3418fca5705c648ebf326ec73d8ddef11841f876d8
>>> consistency_hashes(2, 3, read) == [leaves[2]]
True
>>> tree_root(3, read).hex()
'36642e73c2540ab121e3a6bf9545b0a24982cd830eb13d3cd19de3ce6c021ec1'
>>> verify_inclusion(1, 3, leaves[1], inclusion_hashes(1, 3, read), tree_root(3, read))
>>> verify_consistency(2, 3, tree_root(2, read), tree_root(3, read), [leaves[2]])
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rml.ledger.errors import ProofError
from rml.ledger.tree import (
    EMPTY_ROOT,
    HASH_BYTES,
    TILE_HEIGHT,
    TILE_WIDTH,
    node_hash,
    tile_root,
)

Hashes = Callable[[int, int, int], Sequence[bytes]]
"""How a tree's stored hashes are read: ``read(level, start, stop)``.

Level 0 are the leaf hashes; each hash of a higher level is the root over 256 hashes below it, full
ones only. ``start`` to ``stop`` never crosses the border of a tile of 256.
"""


# Checking -----------------------------------------------------------------------------------------


def verify_inclusion(
    index: int, size: int, leaf: bytes, hashes: Sequence[bytes], root: bytes
) -> None:
    """Check that a leaf hash is at an index of the tree of this size and root.

    Raises:
        ProofError: it is not shown.
    """
    _check_hashes((leaf, *hashes))
    if not 0 <= index < size:
        raise ProofError(f"the proof is about index {index} of a tree of {size} entries")
    computed = leaf
    for beside, is_left in _way(index, size - 1, hashes):
        computed = node_hash(beside, computed) if is_left else node_hash(computed, beside)
    if computed != root:
        raise ProofError("the entry and the proof do not give the root of the checkpoint")


def verify_consistency(
    old_size: int, new_size: int, old_root: bytes, new_root: bytes, hashes: Sequence[bytes]
) -> None:
    """Check that the tree of the new size and root begins with the tree of the old ones.

    Raises:
        ProofError: it is not shown.
    """
    _check_hashes(hashes)
    if not 0 <= old_size <= new_size:
        raise ProofError(f"a tree of {new_size} entries cannot continue one of {old_size}")
    if old_size in (0, new_size):
        _check_trivial(old_size, new_size, old_root, new_root, hashes)
        return
    if not hashes:
        raise ProofError("the proof has no hashes")
    place, last = old_size - 1, new_size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    rest = list(hashes) if place else [old_root, *hashes]  # 0: the old size is a power of two
    old = new = rest[0]
    for beside, is_left in _way(place, last, rest[1:]):
        if is_left:
            old, new = node_hash(beside, old), node_hash(beside, new)
        else:
            new = node_hash(new, beside)
    if old != old_root:
        raise ProofError("the proof does not give the root of the older checkpoint")
    if new != new_root:
        raise ProofError("the proof does not give the root of the newer checkpoint")


def _check_trivial(
    old_size: int, new_size: int, old_root: bytes, new_root: bytes, hashes: Sequence[bytes]
) -> None:
    """Check what needs no hashes: a tree continues itself, and everything continues nothing."""
    if hashes:
        raise ProofError("the proof has hashes where there is nothing to compute")
    if old_size == 0 and old_root != EMPTY_ROOT:
        raise ProofError("the older checkpoint has no entries, and not the root of nothing")
    if old_size == new_size and old_root != new_root:
        raise ProofError(f"two trees of {new_size} entries have different roots")


def _check_hashes(hashes: Sequence[bytes]) -> None:
    if any(len(one) != HASH_BYTES for one in hashes):
        raise ProofError(f"the proof holds something that has not the {HASH_BYTES} bytes of a hash")


def _way(place: int, last: int, hashes: Sequence[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield the hashes beside the way up to the root, each with whether it stands on the left.

    Args:
        place: where the way begins, on its level.
        last: the last place on that level.
        hashes: those of the proof that stand beside the way, the lowest first.

    Raises:
        ProofError: they are not as many as the way is long.
    """
    for beside in hashes:
        if last == 0:
            raise ProofError("the proof has more hashes than the tree has levels")
        is_left = place & 1 == 1 or place == last
        yield beside, is_left
        if is_left:
            place, last = _up(place, last)
        place, last = place >> 1, last >> 1
    if last != 0:
        raise ProofError("the proof has fewer hashes than the way to the root")


def _up(place: int, last: int) -> tuple[int, int]:
    """Climb while the way has no sibling on its right."""
    while place and not place & 1:
        place, last = place >> 1, last >> 1
    return place, last


# Making -------------------------------------------------------------------------------------------


def inclusion_hashes(index: int, size: int, read: Hashes) -> list[bytes]:
    """Return the inclusion proof for an index of the tree over the first ``size`` leaves.

    Reads one tile on each level of tiles, and computes the levels between.

    Raises:
        ProofError: there is no such index, or a stored hash is missing.
    """
    if not 0 <= index < size:
        raise ProofError(f"there is no index {index} in a tree of {size} entries")
    tree = _Tree(size, read)
    made, low, high = [], 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            made.append(tree.root(middle, high))
            high = middle
        else:
            made.append(tree.root(low, middle))
            low = middle
    return made[::-1]


def consistency_hashes(old_size: int, new_size: int, read: Hashes) -> list[bytes]:
    """Return the consistency proof between the trees over the first so many leaves.

    Raises:
        ProofError: the older tree is larger, or a stored hash is missing.
    """
    if not 0 <= old_size <= new_size:
        raise ProofError(f"a tree of {new_size} entries cannot continue one of {old_size}")
    if old_size == 0:
        return []
    tree = _Tree(new_size, read)
    made, low, high = [], 0, new_size
    while high > old_size:
        middle = low + _split(high - low)
        if old_size <= middle:
            made.append(tree.root(middle, high))
            high = middle
        else:
            made.append(tree.root(low, middle))
            low = middle
    if low > 0:  # else the reader has it: it is the older root
        made.append(tree.root(low, high))
    return made[::-1]


def tree_root(size: int, read: Hashes) -> bytes:
    """Return the root over the first ``size`` leaves.

    Raises:
        ProofError: a stored hash is missing.
    """
    return _Tree(size, read).root(0, size) if size else EMPTY_ROOT


def _split(width: int) -> int:
    """Return the largest power of two below ``width``."""
    return 1 << (width - 1).bit_length() - 1


class _Tree:
    """The nodes of a tree of a fixed size, computed from its stored hashes, each tile read once."""

    def __init__(self, size: int, read: Hashes) -> None:
        self._size = size
        self._read = read
        self._tiles: dict[tuple[int, int], Sequence[bytes]] = {}

    def root(self, low: int, high: int) -> bytes:
        """Return the root over leaves ``low`` to ``high``, a subtree of some tree that grows."""
        peaks = []
        while low < high:
            height = (high - low).bit_length() - 1
            peaks.append(self._perfect(height, low >> height))
            low += 1 << height
        root = peaks.pop()
        while peaks:
            root = node_hash(peaks.pop(), root)
        return root

    def _perfect(self, height: int, place: int) -> bytes:
        """Return the root over the ``2**height`` leaves of one place."""
        level, above = divmod(height, TILE_HEIGHT)
        first = place << above
        start = first % TILE_WIDTH
        return tile_root(self._tile(level, first // TILE_WIDTH)[start : start + (1 << above)])

    def _tile(self, level: int, place: int) -> Sequence[bytes]:
        """Return a tile's hashes, as many as the tree of this size has."""
        if (level, place) not in self._tiles:
            start = place * TILE_WIDTH
            stop = min(start + TILE_WIDTH, self._size >> TILE_HEIGHT * level)
            hashes = self._read(level, start, stop)
            if len(hashes) != stop - start or any(len(one) != HASH_BYTES for one in hashes):
                raise ProofError(f"hashes {start} to {stop} of level {level} are not all there")
            self._tiles[level, place] = hashes
        return self._tiles[level, place]

"""The tree of RFC 6962 for any number of leaves, however it was put together."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from rml.ledger.tree import EMPTY_ROOT, TILE_WIDTH, Frontier, Tile, node_hash, row_widths

SIZES = st.integers(0, 3 * TILE_WIDTH)


def leaves_of(size: int, seed: int) -> list[bytes]:
    """So many leaf hashes, others for each seed."""
    return [hashlib.sha256(b"%d/%d" % (seed, i)).digest() for i in range(size)]


def reference_root(leaves: list[bytes]) -> bytes:
    """The definition of RFC 6962, section 2.1, word for word."""
    if len(leaves) < 2:
        return leaves[0] if leaves else EMPTY_ROOT
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return node_hash(reference_root(leaves[:split]), reference_root(leaves[split:]))


@given(SIZES, st.integers(0, 3))
def test_the_root_is_the_definition_s(size: int, seed: int) -> None:
    """Growing and recursion agree."""
    leaves = leaves_of(size, seed)
    frontier = Frontier()
    for leaf in leaves:
        frontier.add(leaf)

    assert reference_root(leaves) == frontier.root()


@given(SIZES, SIZES, st.integers(0, 3))
def test_stopping_anywhere_changes_nothing(first: int, more: int, seed: int) -> None:
    """A tree that is rebuilt from what is stored goes on as if it had never stopped."""
    leaves = leaves_of(first + more, seed)
    straight, tiles = Frontier(), list[Tile]()
    for leaf in leaves[:first]:
        tiles += straight.add(leaf)
    stored = [leaves[:first], *([t.root for t in tiles if t.level == n] for n in range(2))]
    widths = row_widths(first)
    rows = [stored[n][len(stored[n]) - width :] for n, width in enumerate(widths)]
    resumed = Frontier(first, rows)

    for leaf in leaves[first:]:
        assert straight.add(leaf) == resumed.add(leaf)

    assert (straight.size, straight.root()) == (resumed.size, resumed.root())


@given(SIZES)
def test_tiles_and_the_open_row_hold_every_leaf_once(size: int) -> None:
    """Nothing is dropped between the stored tiles and the edge."""
    leaves = leaves_of(size, 0)
    frontier, kept = Frontier(), b""
    for leaf in leaves:
        kept += b"".join(tile.hashes for tile in frontier.add(leaf) if tile.level == 0)

    assert b"".join(leaves) == kept + b"".join(frontier.rows[0] if frontier.rows else ())

"""The Merkle tree is that of RFC 6962, whether it is grown, copied or rebuilt from its tiles."""

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from rml.ledger.entry import leaf_hash
from rml.ledger.tree import (
    EMPTY_ROOT,
    TILE_WIDTH,
    Frontier,
    Tile,
    node_hash,
    row_widths,
    split_tile,
    tile_root,
)


def reference_root(leaves: Sequence[bytes]) -> bytes:
    """The tree hash as RFC 6962, section 2.1, writes it down."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return node_hash(reference_root(leaves[:split]), reference_root(leaves[split:]))


def leaves_of(size: int) -> list[bytes]:
    """So many different leaf hashes."""
    return [leaf_hash(i.to_bytes(4)) for i in range(size)]


def grown(leaves: Sequence[bytes]) -> tuple[Frontier, list[Tile]]:
    """A tree of these leaves, and the tiles that were filled on the way."""
    frontier = Frontier()
    return frontier, [tile for leaf in leaves for tile in frontier.add(leaf)]


def test_the_published_eight_leaf_tree(vectors: Path) -> None:
    """Every root of the classic Certificate Transparency tree, the empty one among them."""
    given = json.loads((vectors / "derived" / "rfc6962_8leaf.json").read_text("utf-8"))
    leaves = [leaf_hash(bytes.fromhex(text)) for text in given["leaf_inputs_hex"]]

    assert given["empty_root"] == Frontier().root().hex()
    assert given["node_hashes_hex_by_level"][0] == [leaf.hex() for leaf in leaves]
    assert given["root_hashes_hex_by_size_from_1"] == [
        grown(leaves[:size])[0].root().hex() for size in range(1, 9)
    ]


def test_a_published_log_of_tiles(vectors: Path) -> None:
    """The partial tiles of a real tlog-tiles log give the roots of its signed checkpoints."""
    log = vectors / "tessera" / "testdata" / "log"

    for size in range(1, 16):
        tile = (log / "tile" / "0" / "000.p" / str(size)).read_bytes()
        signed = (log / f"checkpoint.{size}").read_text("utf-8").splitlines()

        assert [str(size), base64.b64encode(grown(split_tile(tile))[0].root()).decode()] == signed[
            1:3
        ]


def test_an_empty_tree_has_the_hash_of_nothing() -> None:
    """RFC 6962: the hash of an empty list is the hash of an empty string."""
    assert (EMPTY_ROOT, 0) == (Frontier().root(), Frontier().size)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 255, 256, 257, 511, 512, 513, 1_000])
def test_roots_follow_the_rfc_s_recursion(size: int) -> None:
    """The root that grows leaf by leaf is the one that the definition gives."""
    leaves = leaves_of(size)
    frontier, _ = grown(leaves)

    assert (reference_root(leaves), size) == (frontier.root(), frontier.size)


def test_a_tile_is_stored_once_when_it_is_full() -> None:
    """The 256th leaf fills a tile that holds exactly the leaves, with the root over them."""
    leaves = leaves_of(2 * TILE_WIDTH)
    _, tiles = grown(leaves[:-1])
    frontier, both = grown(leaves)

    expected = [
        Tile(0, place, b"".join(part), reference_root(part))
        for place, part in enumerate([leaves[:TILE_WIDTH], leaves[TILE_WIDTH:]])
    ]
    assert (expected[:1], expected) == (tiles, both)
    assert [[], [tile.root for tile in expected]] == frontier.rows


def test_a_tile_of_tiles_is_stored_with_the_65536th_leaf() -> None:
    """The last leaf fills a tile on two levels, and the upper one is made of the lower roots."""
    leaves = leaves_of(TILE_WIDTH**2)
    frontier, tiles = grown(leaves)
    roots = [tile.root for tile in tiles if tile.level == 0]

    assert (TILE_WIDTH + 1, TILE_WIDTH) == (len(tiles), len(roots))
    assert Tile(1, 0, b"".join(roots), frontier.root()) == tiles[-1]
    assert tile_root(roots) == frontier.root()


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 700, 65_536, 65_537])
def test_a_tree_goes_on_from_its_tiles(size: int) -> None:
    """What is stored is enough: leaves of the last tile, roots of the full ones."""
    leaves = leaves_of(size + 1)
    frontier, tiles = grown(leaves[:size])
    rows = []
    for level, width in enumerate(row_widths(size)):
        made = leaves[:size] if level == 0 else [t.root for t in tiles if t.level == level - 1]
        rows.append(made[len(made) - width :])

    rebuilt = Frontier(size, rows)

    assert frontier.root() == rebuilt.root()
    assert frontier.add(leaves[-1]) == rebuilt.add(leaves[-1])
    assert frontier.root() == rebuilt.root()


def test_a_copy_grows_on_its_own() -> None:
    """A commit that is rolled back leaves the tree as it was."""
    frontier, _ = grown(leaves_of(300))
    before = frontier.root()
    copy = frontier.copy()

    copy.add(leaf_hash(b"one more"))

    assert (before, 300, 301) == (frontier.root(), frontier.size, copy.size)
    assert before != copy.root()


def test_a_tile_s_bytes_are_cut_into_hashes() -> None:
    """What joins 256 hashes into a tile can be taken apart again."""
    leaves = leaves_of(TILE_WIDTH)

    assert leaves == split_tile(b"".join(leaves))


@pytest.mark.parametrize(
    ("expected", "size"),
    [([], 0), ([255], 255), ([0, 1], 256), ([1, 2], 513), ([0, 0, 1], 65_536), ([2, 1, 1], 65_794)],
)
def test_the_widths_of_unfinished_tiles(expected: list[int], size: int) -> None:
    """The size in base 256 says how many hashes each level keeps open."""
    assert expected == row_widths(size)


def test_memory_stays_at_one_open_tile_a_level() -> None:
    """The edge of a tree never holds more than 255 hashes a level."""
    frontier = Frontier()
    widths = []
    for leaf in leaves_of(1_000):
        frontier.add(leaf)
        widths.append(max(map(len, frontier.rows)))

    assert TILE_WIDTH - 1 == max(widths)

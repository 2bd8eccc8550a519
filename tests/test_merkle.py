"""Merkle proofs are those of RFC 6962, checked and made, from whatever tiles hold their hashes."""

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from rml.ledger.entry import leaf_hash
from rml.ledger.errors import ProofError
from rml.ledger.proofs.merkle import (
    Hashes,
    consistency_hashes,
    inclusion_hashes,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from rml.ledger.tree import EMPTY_ROOT, TILE_WIDTH, Frontier, split_tile

# The one published case that is decided otherwise here, and why is in rml.ledger.proofs.merkle: it
# goes from the empty tree to one of which nothing is known, and says that this shows nothing.
FROM_NOTHING = "size1 is zero and size2 is not zero"
# Sizes around the borders of tiles and of powers of two.
SIZES = (1, 2, 3, 7, 8, 255, 256, 257, 300, 511, 512, 513, 1_000)


def leaves_of(size: int) -> list[bytes]:
    """So many different leaf hashes."""
    return [leaf_hash(i.to_bytes(4)) for i in range(size)]


def stored(leaves: Sequence[bytes]) -> tuple[Hashes, list[tuple[int, int, int]]]:
    """A reader of the tiles of these leaves, and the list of what has been read."""
    frontier, read = Frontier(), list[tuple[int, int, int]]()
    tiles = [tile for leaf in leaves for tile in frontier.add(leaf)]

    def hashes(level: int, start: int, stop: int) -> Sequence[bytes]:
        read.append((level, start, stop))
        row = leaves if level == 0 else [tile.root for tile in tiles if tile.level == level - 1]
        return row[start:stop]

    return hashes, read


def refused(call: Callable[[], object]) -> str:
    """Why a proof is refused."""
    with pytest.raises(ProofError) as caught:
        call()
    return caught.value.message


# --------------------------------------------------------------------------- published vectors


def cases(folder: Path) -> Iterator[dict[str, Any]]:
    """Every published case of one kind, its base64 read."""
    for path in sorted(folder.rglob("*.json")):
        case = json.loads(path.read_text("utf-8"))
        proof = [base64.b64decode(one) for one in case["proof"] or ()]
        hashes = {
            name: base64.b64decode(case[name] or "")
            for name in ("root", "root1", "root2", "leafHash")
            if name in case
        }
        yield case | hashes | {"proof": proof, "path": str(path.relative_to(folder))}


def holds(call: Callable[[], None]) -> bool:
    """Whether a check passes."""
    try:
        call()
    except ProofError:
        return False
    return True


def test_published_inclusion_proofs(vectors: Path) -> None:
    """All 98 are decided as they say."""
    folder = vectors / "transparency-dev-merkle" / "testdata" / "inclusion"
    decided = {
        case["path"]: holds(
            lambda c=case: verify_inclusion(
                c["leafIdx"], c["treeSize"], c["leafHash"], c["proof"], c["root"]
            )
        )
        for case in cases(folder)
    }

    assert {case["path"]: not case["wantErr"] for case in cases(folder)} == decided
    assert 98 == len(decided)


def test_published_consistency_proofs(vectors: Path) -> None:
    """All 98 are decided as they say, but the one about the empty tree that says nothing."""
    folder = vectors / "transparency-dev-merkle" / "testdata" / "consistency"
    decided = {
        case["path"]: holds(
            lambda c=case: verify_consistency(
                c["size1"], c["size2"], c["root1"], c["root2"], c["proof"]
            )
        )
        for case in cases(folder)
    }
    wanted = {
        case["path"]: not case["wantErr"] or case["desc"] == FROM_NOTHING for case in cases(folder)
    }

    assert wanted == decided
    assert (98, 1) == (
        len(decided),
        sum(case["desc"] == FROM_NOTHING for case in cases(folder)),
    )


def test_published_subtree_inclusion_proofs(vectors: Path) -> None:
    """A subtree that can stand alone is a tree, so all 204 are cases of ours."""
    folder = vectors / "transparency-dev-merkle" / "testdata" / "subtreeinclusion"

    def check(case: dict[str, Any]) -> None:
        start, width = case["start"], case["end"] - case["start"]
        if width <= 0 or start % (1 << (width - 1).bit_length()):
            raise ProofError
        verify_inclusion(
            case["leafIdx"] - start, width, case["leafHash"], case["proof"], case["root"]
        )

    decided = {case["path"]: holds(lambda c=case: check(c)) for case in cases(folder)}

    assert {case["path"]: not case["wantErr"] for case in cases(folder)} == decided
    assert 204 == len(decided)


def test_published_subtree_consistency_proofs(vectors: Path) -> None:
    """Those of subtrees that begin at the first leaf are cases of ours; there are no others here.

    Where nothing is compared (the empty subtree), the published answer is not asked for.
    """
    folder = vectors / "transparency-dev-merkle" / "testdata" / "subtreeconsistency"
    ours = [case for case in cases(folder) if case["start"] == 0 and case["end"] > 0]
    decided = {
        case["path"]: holds(
            lambda c=case: verify_consistency(
                c["end"], c["size"], c["root1"], c["root2"], c["proof"]
            )
        )
        for case in ours
    }

    assert {case["path"]: not case["wantErr"] for case in ours} == decided
    assert len(decided) > 80


def test_the_published_eight_leaf_tree(vectors: Path) -> None:
    """Every proof in the classic Certificate Transparency tree holds against its roots."""
    given = json.loads((vectors / "derived" / "rfc6962_8leaf.json").read_text("utf-8"))
    leaves = [leaf_hash(bytes.fromhex(text)) for text in given["leaf_inputs_hex"]]
    roots = [bytes.fromhex(text) for text in given["root_hashes_hex_by_size_from_1"]]
    read, _ = stored(leaves)

    for size, root in enumerate(roots, 1):
        assert root == tree_root(size, read)
        for index in range(size):
            proof = inclusion_hashes(index, size, read)
            verify_inclusion(index, size, leaves[index], proof, root)
            verify_consistency(
                index + 1, size, roots[index], root, consistency_hashes(index + 1, size, read)
            )


def test_a_published_log_proves_itself(vectors: Path) -> None:
    """From the tiles of a real tlog-tiles log follow proofs between all of its checkpoints."""
    log = vectors / "tessera" / "testdata" / "log"
    leaves = split_tile((log / "tile" / "0" / "000.p" / "15").read_bytes())
    texts = [(log / f"checkpoint.{size}").read_text("utf-8") for size in range(16)]
    roots = [base64.b64decode(text.split("\n")[2]) for text in texts]
    read, _ = stored(leaves)

    for new in range(16):
        for old in range(new + 1):
            proof = consistency_hashes(old, new, read)
            verify_consistency(old, new, roots[old], roots[new], proof)
        for index in range(new):
            proof = inclusion_hashes(index, new, read)
            verify_inclusion(index, new, leaves[index], proof, roots[new])


# ----------------------------------------------------------------------------------- our own


@pytest.mark.parametrize("size", SIZES)
def test_each_entry_is_shown_and_no_other(size: int) -> None:
    """The proof for an index holds for its leaf, and for no other leaf or index."""
    leaves = leaves_of(size)
    read, _ = stored(leaves)
    root = tree_root(size, read)
    for index in {0, size // 2, size - 1}:
        proof = inclusion_hashes(index, size, read)
        verify_inclusion(index, size, leaves[index], proof, root)

        refused(lambda i=index, p=proof: verify_inclusion(i, size, leaf_hash(b"?"), p, root))
        if size > 1:
            other = (index + 1) % size
            refused(lambda i=index, o=other, p=proof: verify_inclusion(o, size, leaves[i], p, root))


@pytest.mark.parametrize("new", SIZES)
def test_a_tree_continues_every_older_one(new: int) -> None:
    """From any older size to now, and not from a root that was never there."""
    leaves = leaves_of(new)
    read, _ = stored(leaves)
    root = tree_root(new, read)
    for old in {0, 1, new // 2, max(new - 1, 1), new}:
        proof = consistency_hashes(old, new, read)
        before = tree_root(old, read)
        verify_consistency(old, new, before, root, proof)

        refused(lambda o=old, p=proof: verify_consistency(o, new, leaf_hash(b"?"), root, p))


def test_roots_are_those_of_a_growing_tree() -> None:
    """Whatever size is asked for, past ones among them."""
    leaves = leaves_of(700)
    read, _ = stored(leaves)
    frontier, roots = Frontier(), [EMPTY_ROOT]
    for leaf in leaves:
        frontier.add(leaf)
        roots.append(frontier.root())

    assert roots == [tree_root(size, read) for size in range(701)]


@pytest.mark.parametrize("size", [TILE_WIDTH**2 + TILE_WIDTH + 1, 3 * TILE_WIDTH**2 - 1])
def test_a_proof_reads_a_tile_a_level(size: int) -> None:
    """Not the tree: two tiles on each of the three levels, and never across a tile's border."""
    leaves = leaves_of(size)
    read, seen = stored(leaves)
    root = tree_root(size, read)
    for index in (0, size // 3, size - 1):
        seen.clear()
        verify_inclusion(index, size, leaves[index], inclusion_hashes(index, size, read), root)
        assert len(seen) <= 2 * 3
        assert all(start // TILE_WIDTH == (stop - 1) // TILE_WIDTH for _, start, stop in seen)

    seen.clear()
    verify_consistency(
        size // 3, size, tree_root(size // 3, read), root, consistency_hashes(size // 3, size, read)
    )
    assert len(seen) <= 2 * (2 * 3)


def test_a_proof_of_a_past_tree_reads_nothing_newer() -> None:
    """A tile that has been filled since is read as far as it went then."""
    read, seen = stored(leaves_of(600))

    inclusion_hashes(299, 300, read)

    assert {(0, 0, 256), (0, 256, 300), (1, 0, 1)} >= set(seen)


@pytest.mark.parametrize(
    ("reason", "index", "size"),
    [("no index 3", 3, 3), ("no index -1", -1, 3), ("no index 0", 0, 0)],
)
def test_there_is_no_proof_of_what_is_not_there(reason: str, index: int, size: int) -> None:
    """Nothing is in an empty tree, and nothing beyond the end of one."""
    read, _ = stored(leaves_of(5))

    assert reason in refused(lambda: inclusion_hashes(index, size, read))
    assert "about index" in refused(
        lambda: verify_inclusion(index, size, EMPTY_ROOT, [], EMPTY_ROOT)
    )


@pytest.mark.parametrize(("old", "new"), [(3, 2), (-1, 2)])
def test_a_tree_continues_no_larger_one(old: int, new: int) -> None:
    """The sizes are the wrong way around."""
    read, _ = stored(leaves_of(5))

    assert "cannot continue" in refused(lambda: consistency_hashes(old, new, read))
    assert "cannot continue" in refused(
        lambda: verify_consistency(old, new, EMPTY_ROOT, EMPTY_ROOT, [])
    )


def test_what_is_not_stored_is_missed() -> None:
    """A tile that is cut short, or holds something else, makes no proof."""
    leaves = leaves_of(10)

    for broken in (leaves[:9], [*leaves[:9], b"short"]):
        why = refused(lambda b=broken: tree_root(10, lambda _, start, stop: b[start:stop]))
        assert "hashes 0 to 10 of level 0 are not all there" == why


def test_everything_continues_the_empty_tree() -> None:
    """If it was the empty tree, and nothing is said about what needs no saying."""
    root = leaves_of(1)[0]
    verify_consistency(0, 0, EMPTY_ROOT, EMPTY_ROOT, [])
    verify_consistency(0, 1, EMPTY_ROOT, root, [])

    assert "not the root of nothing" in refused(lambda: verify_consistency(0, 1, root, root, []))
    assert "different roots" in refused(lambda: verify_consistency(0, 0, EMPTY_ROOT, root, []))
    assert "nothing to compute" in refused(
        lambda: verify_consistency(0, 1, EMPTY_ROOT, root, [root])
    )


def test_one_size_has_one_root() -> None:
    """Two roots of one size are a forked history, whatever the proof."""
    one, two = leaves_of(2)

    assert "two trees of 5 entries have different roots" == refused(
        lambda: verify_consistency(5, 5, one, two, [])
    )


def test_a_proof_has_its_length() -> None:
    """One hash too few or too many is said to be that."""
    leaves = leaves_of(7)
    read, _ = stored(leaves)
    root, before = tree_root(7, read), tree_root(3, read)
    inclusion, consistency = inclusion_hashes(2, 7, read), consistency_hashes(3, 7, read)

    def include(hashes: Sequence[bytes]) -> str:
        return refused(lambda: verify_inclusion(2, 7, leaves[2], hashes, root))

    def continues(hashes: Sequence[bytes]) -> str:
        return refused(lambda: verify_consistency(3, 7, before, root, hashes))

    assert "fewer hashes" in include(inclusion[:-1])
    assert "more hashes" in include([*inclusion, root])
    assert "fewer hashes" in continues(consistency[:-1])
    assert "more hashes" in continues([*consistency, root])
    assert "no hashes" in continues([])
    assert "not the 32 bytes" in include([b"short", *inclusion[1:]])
    assert "not the 32 bytes" in continues([b"", *consistency[1:]])
    assert "root of the newer" in continues([*consistency[:-1], root])
    assert "root of the older" in refused(lambda: verify_consistency(3, 7, root, root, consistency))

"""Proofs hold for everything that was appended, and for nothing else, whatever is changed."""

import hashlib
from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rml.error import InvalidInputError
from rml.ledger.errors import ProofError, SignatureError
from rml.ledger.proofs.checkpoint import Checkpoint, read_checkpoint
from rml.ledger.proofs.merkle import (
    Hashes,
    consistency_hashes,
    inclusion_hashes,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from rml.ledger.proofs.note import Note, Signature, SignerKey, VerifierKey
from rml.ledger.proofs.proof import HASHES_MAX, ConsistencyProof, InclusionProof
from rml.ledger.tree import TILE_WIDTH, Frontier, node_hash

SIZE_MAX = 3 * TILE_WIDTH
LEAVES = [hashlib.sha256(b"%d" % i).digest() for i in range(SIZE_MAX)]
HASH = st.binary(min_size=32, max_size=32)
LINE = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=40
).filter(lambda text: len(text.encode()) < 256)
NAME = LINE.filter(lambda text: "+" not in text and not any(c.isspace() for c in text))
CHECKPOINT = st.builds(
    Checkpoint,
    origin=LINE,
    size=st.integers(1, 2**63 - 1),
    root=HASH,
    extensions=st.lists(LINE, max_size=3).map(tuple),
)
SIGNER = SignerKey.generate("acme")


def stored(leaves: Sequence[bytes]) -> Hashes:
    """A reader of these leaves' tiles."""
    frontier = Frontier()
    tiles = [tile for leaf in leaves for tile in frontier.add(leaf)]
    rows = [leaves, *([t.root for t in tiles if t.level == n] for n in range(2))]
    return lambda level, start, stop: rows[level][start:stop]


READ = stored(LEAVES)


def path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """RFC 6962, section 2.1.1, word for word."""
    if len(leaves) == 1:
        return []
    split = 1 << (len(leaves) - 1).bit_length() - 1
    left, right = leaves[:split], leaves[split:]
    if index < split:
        return [*path(index, left), root_of(right)]
    return [*path(index - split, right), root_of(left)]


def subproof(old: int, leaves: Sequence[bytes], *, whole: bool) -> list[bytes]:
    """RFC 6962, section 2.1.2, word for word."""
    if old == len(leaves):
        return [] if whole else [root_of(leaves)]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    left, right = leaves[:split], leaves[split:]
    if old <= split:
        return [*subproof(old, left, whole=whole), root_of(right)]
    return [*subproof(old - split, right, whole=False), root_of(left)]


def root_of(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return node_hash(root_of(leaves[:split]), root_of(leaves[split:]))


@st.composite
def places(draw: st.DrawFn) -> tuple[int, int]:
    """A size and an index in it."""
    size = draw(st.integers(1, SIZE_MAX))
    return draw(st.integers(0, size - 1)), size


@st.composite
def sizes(draw: st.DrawFn) -> tuple[int, int]:
    """Two sizes in order, the older one not empty."""
    new = draw(st.integers(1, SIZE_MAX))
    return draw(st.integers(1, new)), new


# ----------------------------------------------------------------------------------------- merkle


@given(places())
def test_an_inclusion_proof_is_the_definition_s(place: tuple[int, int]) -> None:
    """What is made from tiles is what the RFC's recursion gives, and it holds."""
    index, size = place
    made = inclusion_hashes(index, size, READ)

    assert path(index, LEAVES[:size]) == made
    verify_inclusion(index, size, LEAVES[index], made, tree_root(size, READ))


@given(sizes())
def test_a_consistency_proof_is_the_definition_s(pair: tuple[int, int]) -> None:
    """What is made from tiles is what the RFC's recursion gives, and it holds."""
    old, new = pair
    made = consistency_hashes(old, new, READ)

    assert subproof(old, LEAVES[:new], whole=True) == made
    verify_consistency(old, new, tree_root(old, READ), tree_root(new, READ), made)


def changed(hashes: Sequence[bytes], data: st.DataObject) -> list[bytes]:
    """Some other list of hashes: one bit flipped, one hash lost, doubled, added or moved."""
    made = list(hashes)
    how = data.draw(st.sampled_from(["flip", "drop", "add", "swap"] if made else ["add"]))
    at = data.draw(st.integers(0, len(made) - (how != "add")))
    if how == "flip":
        bit = data.draw(st.integers(0, 255))
        made[at] = (int.from_bytes(made[at]) ^ 1 << bit).to_bytes(32)
    elif how == "drop":
        del made[at]
    elif how == "add":
        made.insert(at, data.draw(st.sampled_from([*LEAVES[:3], *hashes])))
    else:
        made[at], made[0] = made[0], made[at]
    assume(made != list(hashes))
    return made


@given(places(), st.data())
def test_a_changed_inclusion_proof_fails(place: tuple[int, int], data: st.DataObject) -> None:
    """Whatever was done to it."""
    index, size = place
    wrong = changed(inclusion_hashes(index, size, READ), data)

    with pytest.raises(ProofError):
        verify_inclusion(index, size, LEAVES[index], wrong, tree_root(size, READ))


@given(sizes(), st.data())
def test_a_changed_consistency_proof_fails(pair: tuple[int, int], data: st.DataObject) -> None:
    """Whatever was done to it."""
    old, new = pair
    wrong = changed(consistency_hashes(old, new, READ), data)

    with pytest.raises(ProofError):
        verify_consistency(old, new, tree_root(old, READ), tree_root(new, READ), wrong)


@given(sizes(), st.integers(0, SIZE_MAX - 1))
def test_a_rewritten_history_has_no_proof(pair: tuple[int, int], at: int) -> None:
    """If any entry of the older tree was replaced, no proof of the new log's own making holds."""
    old, new = pair
    at %= old
    other = stored([*LEAVES[:at], hashlib.sha256(b"other").digest(), *LEAVES[at + 1 : new]])
    own = consistency_hashes(old, new, other)

    with pytest.raises(ProofError):
        verify_consistency(old, new, tree_root(old, READ), tree_root(new, other), own)


@given(places(), st.integers(-1, SIZE_MAX))
def test_a_proof_holds_at_one_index(place: tuple[int, int], index: int) -> None:
    """Moved to another place of the same tree, it fails."""
    own, width = place
    assume(index != own)
    proof, root = inclusion_hashes(own, width, READ), tree_root(width, READ)

    with pytest.raises(ProofError):
        verify_inclusion(index, width, LEAVES[own], proof, root)


# ------------------------------------------------------------------------------------------- text


@given(CHECKPOINT)
def test_a_checkpoint_survives_its_text(checkpoint: Checkpoint) -> None:
    """Signed and not."""
    note = checkpoint.signed(SIGNER)

    assert (checkpoint, None) == read_checkpoint(checkpoint.to_text())
    assert (checkpoint, note) == read_checkpoint(note.to_text())
    assert (SIGNER.verifier,) == note.verify(SIGNER.verifier)


@given(
    st.integers(0, 2**63 - 1),
    st.lists(HASH, max_size=HASHES_MAX).map(tuple),
    CHECKPOINT.map(Checkpoint.to_text),
    st.none() | st.binary(max_size=100),
)
def test_a_proof_survives_its_text(
    number: int, hashes: tuple[bytes, ...], checkpoint: str, extra: bytes | None
) -> None:
    """Both kinds, and neither is read as the other."""
    one = InclusionProof(index=number, hashes=hashes, checkpoint=checkpoint, extra=extra)
    two = ConsistencyProof(old_size=number, hashes=hashes, checkpoint=checkpoint)

    assert one == InclusionProof.from_text(one.to_text())
    assert two == ConsistencyProof.from_text(two.to_text())
    with pytest.raises(InvalidInputError):
        InclusionProof.from_text(two.to_text())
    with pytest.raises(InvalidInputError):
        ConsistencyProof.from_text(one.to_text())


@given(
    st.lists(LINE | st.just(""), max_size=5).map(lambda lines: "".join(f"{x}\n" for x in lines)),
    st.lists(
        st.builds(
            Signature,
            name=NAME,
            key_id=st.binary(min_size=4, max_size=4),
            signature=st.binary(min_size=1, max_size=80),
        ),
        min_size=1,
        max_size=5,
    ).map(tuple),
)
def test_a_note_survives_its_text(text: str, lines: tuple[Signature, ...]) -> None:
    """Whatever text, whoever's lines."""
    note = Note((text or "\n"), lines)

    assert note == Note.from_text(note.to_text())
    assert note == Note.from_text(note.to_text().encode())


@given(NAME, st.binary(min_size=32, max_size=32))
def test_a_key_survives_its_text(name: str, public: bytes) -> None:
    """Under any name."""
    key = VerifierKey(name, public)

    assert key == VerifierKey.from_text(key.to_text())


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_a_reader_of_anything_says_what_is_wrong(data: str | bytes) -> None:
    """In its own error, whatever it is given."""
    readers = (
        Note.from_text,
        Checkpoint.from_text,
        read_checkpoint,
        InclusionProof.from_text,
        ConsistencyProof.from_text,
        VerifierKey.from_text,
        SignerKey.from_text,
    )
    for read in readers:
        with suppress(InvalidInputError):
            assert read(data)  # type: ignore[arg-type]


@given(CHECKPOINT, st.data())
def test_a_changed_byte_spoils_a_signed_checkpoint(
    checkpoint: Checkpoint, data: st.DataObject
) -> None:
    """It cannot be read, or is signed by nobody, or does not fit its signature."""
    signed = checkpoint.signed(SIGNER).to_text().encode()
    at = data.draw(st.integers(0, len(signed) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != signed[at]))

    with pytest.raises((InvalidInputError, SignatureError)):
        Note.from_text(signed[:at] + bytes([other]) + signed[at + 1 :]).verify(SIGNER.verifier)

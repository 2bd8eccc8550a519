"""A proof travels as the text of C2SP, and shows something only against what the reader trusts."""

import base64
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from rml.error import InvalidInputError
from rml.ledger.entry import leaf_hash
from rml.ledger.errors import ProofError, SignatureError
from rml.ledger.proofs.checkpoint import SIZE_MAX, Checkpoint
from rml.ledger.proofs.merkle import consistency_hashes, inclusion_hashes, tree_root
from rml.ledger.proofs.note import SignerKey
from rml.ledger.proofs.proof import HASHES_MAX, ConsistencyProof, InclusionProof

ENTRIES = [b"one", b"two", b"three", b"four", b"five"]
LEAVES = [leaf_hash(data) for data in ENTRIES]
HASH = base64.b64encode(LEAVES[0]).decode()
HEADER = "c2sp.org/tlog-proof@v1\n"


def read(level: int, start: int, stop: int) -> list[bytes]:
    """The one tile of a tree of five."""
    return LEAVES[start:stop]


def checkpoint_of(size: int) -> Checkpoint:
    """What the ledger `acme` was at a size."""
    return Checkpoint("acme", size, tree_root(size, read))


@pytest.fixture(scope="module")
def signer() -> SignerKey:
    """The key of the ledger `acme`."""
    return SignerKey.generate("acme")


@pytest.fixture
def inclusion(signer: SignerKey) -> InclusionProof:
    """That the third of five entries is there, signed."""
    signed = checkpoint_of(5).signed(signer).to_text()
    hashes = tuple(inclusion_hashes(2, 5, read))
    return InclusionProof(index=2, hashes=hashes, checkpoint=signed)


@pytest.fixture
def consistency(signer: SignerKey) -> ConsistencyProof:
    """That five entries continue three, signed."""
    signed = checkpoint_of(5).signed(signer).to_text()
    hashes = tuple(consistency_hashes(3, 5, read))
    return ConsistencyProof(old_size=3, hashes=hashes, checkpoint=signed)


def refused(call: Callable[[], object]) -> str:
    """Why input is refused."""
    with pytest.raises(InvalidInputError) as caught:
        call()
    return caught.value.message


def fails(call: Callable[[], object]) -> str:
    """Why a proof shows nothing."""
    with pytest.raises(ProofError) as caught:
        call()
    return caught.value.message


# --------------------------------------------------------------------------- published vectors


def test_published_texts(vectors: Path) -> None:
    """Three that are proofs, read and written letter by letter, and six that are none."""
    path = vectors / "derived" / "checkpoint_and_proof_text.json"
    given = json.loads(path.read_text("utf-8"))
    for case in given["tlog_proof_ok"]:
        proof = InclusionProof.from_text(case["text"])

        assert (case["index"], case["checkpoint"]) == (proof.index, proof.checkpoint)
        assert case["hashes"] == [base64.b64encode(one).decode() for one in proof.hashes]
        assert (case["extra"] and base64.b64decode(case["extra"])) == proof.extra
        assert case["text"] == proof.to_text()
    for text in given["tlog_proof_bad"]:
        refused(lambda t=text: InclusionProof.from_text(t))

    assert (3, 6) == (len(given["tlog_proof_ok"]), len(given["tlog_proof_bad"]))


def test_a_published_log_is_proved_with_its_own_key(vectors: Path) -> None:
    """Every entry of a real tlog-tiles log, against the last checkpoint that it has signed."""
    path = vectors / "derived" / "tessera_testdata_keys.json"
    keys = json.loads(path.read_text("utf-8"))
    log = vectors / "tessera" / "testdata" / "log"
    signed = (log / "checkpoint.15").read_text("utf-8")
    leaves = [leaf_hash(entry.encode()) for entry in keys["entries"]]

    for index, entry in enumerate(keys["entries"]):
        hashes = inclusion_hashes(index, 15, lambda _, start, stop: leaves[start:stop])
        proof = InclusionProof(index=index, hashes=tuple(hashes), checkpoint=signed)
        travelled = InclusionProof.from_text(proof.to_text())
        assert 15 == travelled.verify(entry.encode(), keys=keys["verifier_key"]).size

    for old in range(16):
        hashes = consistency_hashes(old, 15, lambda _, start, stop: leaves[start:stop])
        older = (log / f"checkpoint.{old}").read_text("utf-8")
        continued = ConsistencyProof(old_size=old, hashes=tuple(hashes), checkpoint=signed)
        assert 15 == continued.verify(older, keys=keys["verifier_key"]).size


# -------------------------------------------------------------------------------------- inclusion


def test_a_proof_holds_against_a_key_or_a_checkpoint(
    inclusion: InclusionProof, signer: SignerKey
) -> None:
    """Whichever the reader has, or both; what is returned is what has been shown."""
    now = checkpoint_of(5)

    for trust in (
        {"keys": signer.verifier},
        {"keys": [signer.verifier.to_text()]},
        {"trusted": now},
        {"trusted": now.to_text()},
        {"trusted": inclusion.checkpoint},
        {"keys": iter([signer.verifier]), "trusted": now},
    ):
        assert now == inclusion.verify(b"three", **trust)


def test_a_proof_alone_shows_nothing(inclusion: InclusionProof) -> None:
    """Whoever makes a proof can make a checkpoint too, so it is not even computed."""
    for keys in ((), iter(())):
        message = refused(lambda k=keys: inclusion.verify(b"three", keys=k))
        assert "give keys= or trusted=" in message


def test_a_proof_is_of_its_entry(inclusion: InclusionProof, signer: SignerKey) -> None:
    """Of no other one, at no other index."""
    assert "do not give the root" in fails(lambda: inclusion.verify(b"four", keys=signer.verifier))
    moved = InclusionProof(index=3, hashes=inclusion.hashes, checkpoint=inclusion.checkpoint)
    assert "do not give the root" in fails(lambda: moved.verify(b"three", keys=signer.verifier))


def test_a_proof_for_another_ledger_is_none(inclusion: InclusionProof) -> None:
    """Nor one for another moment, nor for another history; the difference is named."""
    now = checkpoint_of(5)
    for name, other in (
        ("origin", Checkpoint("other", 5, now.root)),
        ("size", checkpoint_of(4)),
        ("root", Checkpoint("acme", 5, LEAVES[0])),
    ):
        message = fails(lambda o=other: inclusion.verify(b"three", trusted=o))
        assert f"another {name} than the trusted one" in message


def test_a_proof_that_a_stranger_signed_is_none(inclusion: InclusionProof) -> None:
    """Also when its arithmetic is right."""
    with pytest.raises(SignatureError):
        inclusion.verify(b"three", keys=SignerKey.generate("acme").verifier)
    bare = InclusionProof(index=2, hashes=inclusion.hashes, checkpoint=checkpoint_of(5).to_text())
    with pytest.raises(SignatureError, match="is not signed"):
        bare.verify(b"three", keys=SignerKey.generate("acme").verifier)


def test_a_proof_travels(inclusion: InclusionProof, signer: SignerKey) -> None:
    """As text, as bytes, as a pickle; what is extra comes along, and is vouched for by nobody."""
    extra = InclusionProof(
        index=2, hashes=inclusion.hashes, checkpoint=inclusion.checkpoint, extra=b"\0extra"
    )
    for proof in (inclusion, extra):
        assert proof == InclusionProof.from_text(proof.to_text())
        assert proof == InclusionProof.from_text(proof.to_text().encode())
        assert proof == pickle.loads(pickle.dumps(proof))
        assert checkpoint_of(5) == proof.verify(b"three", keys=signer.verifier)


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("an empty line and a checkpoint", ""),
        ("an empty line and a checkpoint", HEADER + "index 0\n"),
        ("an empty line and a checkpoint", HEADER + "index 0\n\n"),
        ("an empty line and a checkpoint", HEADER + "index 0\n\ncut"),
        ("an empty line and a checkpoint", "\n\n" + HEADER),
        ("does not begin with", "c2sp.org/tlog-proof@v2\nindex 0\n\nx\n"),
        ("where the line 'index '", HEADER + "\nx\n"),
        ("where the line 'index '", HEADER + f"{HASH}\n\nx\n"),
        ("where the line 'index '", HEADER + "extra AA==\nextra AA==\nindex 0\n\nx\n"),
        ("index '00'", HEADER + "index 00\n\nx\n"),
        ("index ' 0'", HEADER + "index  0\n\nx\n"),
        ("2**63 - 1", HEADER + f"index {SIZE_MAX + 1}\n\nx\n"),
        ("extra line holds no canonical", HEADER + "extra AA=\nindex 0\n\nx\n"),
        ("holds no canonical base64", HEADER + f"index 0\n{HASH} \n\nx\n"),
        ("not the 32 bytes", HEADER + "index 0\nAAAA\n\nx\n"),
        ("the limit is 63", HEADER + "index 0\n" + f"{HASH}\n" * (HASHES_MAX + 1) + "\nx\n"),
        ("no UTF-8", b"\xff"),
        ("the limit is 1000000", HEADER + "index 0\n\n" + "x" * 1_000_000 + "\n"),
        ("must be text", None),
    ],
)
def test_what_is_no_proof_is_refused(reason: str, text: str | bytes) -> None:
    """Each for its reason, before anything is computed."""
    assert reason in refused(lambda: InclusionProof.from_text(text))


def test_a_proof_with_a_checkpoint_that_is_none_is_refused(signer: SignerKey) -> None:
    """It may be carried, since it is not ours to judge before it is checked."""
    proof = InclusionProof.from_text(HEADER + "index 0\n\nno checkpoint\n")

    assert "three lines" in refused(lambda: proof.verify(b"x", keys=signer.verifier))
    assert "three lines" in refused(lambda: proof.verify(b"x", trusted=checkpoint_of(5)))


# ------------------------------------------------------------------------------------ consistency


def test_a_history_continues(consistency: ConsistencyProof, signer: SignerKey) -> None:
    """From the checkpoint that the reader has kept, to the one that is returned."""
    now = checkpoint_of(5)

    for old in (checkpoint_of(3), checkpoint_of(3).to_text()):
        assert now == consistency.verify(old, keys=signer.verifier)
        assert now == consistency.verify(old, trusted=now)
        assert now == consistency.verify(old)


def test_a_history_that_was_rewritten_does_not_continue(
    consistency: ConsistencyProof, signer: SignerKey
) -> None:
    """The kept checkpoint is of other entries, another size or another ledger."""
    root = checkpoint_of(3).root
    for reason, old in (
        ("root of the older", Checkpoint("acme", 3, LEAVES[0])),
        ("begins at 3 entries, the older checkpoint at 2", checkpoint_of(2)),
        ("about the ledger 'acme', not 'other'", Checkpoint("other", 3, root)),
    ):
        assert reason in fails(lambda o=old: consistency.verify(o, keys=signer.verifier))
    forked = Checkpoint("acme", 5, LEAVES[0])
    assert "another root than the trusted" in fails(
        lambda: consistency.verify(checkpoint_of(3), trusted=forked)
    )
    with pytest.raises(SignatureError):
        consistency.verify(checkpoint_of(3), keys=SignerKey.generate("acme").verifier)


def test_it_travels_as_a_witness_is_asked(consistency: ConsistencyProof) -> None:
    """The body of `add-checkpoint`: old size, hashes, an empty line, the signed checkpoint."""
    lines = consistency.to_text().split("\n")

    assert ["old 3", "", "acme", "5"] == [lines[0], *lines[5:8]]
    assert consistency == ConsistencyProof.from_text(consistency.to_text())
    assert consistency == ConsistencyProof.from_text(consistency.to_text().encode())


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("an empty line and a checkpoint", "old 3\n"),
        ("where the line 'old '", "index 3\n\nx\n"),
        ("old '03'", "old 03\n\nx\n"),
        ("not the 32 bytes", "old 3\nAAAA\n\nx\n"),
        ("the limit is 63", "old 3\n" + f"{HASH}\n" * (HASHES_MAX + 1) + "\nx\n"),
    ],
)
def test_what_is_no_consistency_proof_is_refused(reason: str, text: str) -> None:
    """Each for its reason."""
    assert reason in refused(lambda: ConsistencyProof.from_text(text))

"""A ledger proves what it holds to people who have nothing but a key or an old checkpoint."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rml import InvalidInputError, Ledger, LedgerCorruptError, Secret, UnknownIdError
from rml.ledger.proofs.checkpoint import Checkpoint, open_checkpoint, read_checkpoint
from rml.ledger.proofs.note import SignerKey
from rml.ledger.proofs.proof import ConsistencyProof, InclusionProof
from rml.ledger.tree import TILE_WIDTH

UNKNOWN = "01a1fa54-6f80-7000-8000-00000000dead"


@pytest.fixture(scope="module")
def signer() -> SignerKey:
    """The key of the ledger `acme`."""
    return SignerKey.generate("acme")


@pytest.fixture(params=["memory:", "sqlite://:memory:", "file"])
def ledger(request: pytest.FixtureRequest, signer: SignerKey, tmp_path: Path) -> Iterator[Ledger]:
    """An empty ledger with a key, in every shipped store."""
    place = tmp_path / "ledger.db" if request.param == "file" else request.param
    with Ledger(place, signer=signer) as made:
        yield made


def fill(ledger: Ledger, count: int) -> list[str]:
    """Append so many entries; return their ids."""
    return ledger.write(lambda draft: [draft.append("a.b", world="RML1").id for _ in range(count)])


def corrupt(call: Callable[[], object]) -> str:
    """What a ledger says of itself when its file contradicts it."""
    with pytest.raises(LedgerCorruptError) as caught:
        call()
    assert "keep the file as evidence" in caught.value.message
    return caught.value.message


def tamper(path: Path, *statements: str) -> None:
    """Change the file as somebody would who may write to it."""
    connection = sqlite3.connect(path)
    triggers = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
    for (name,) in triggers.fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        assert connection.execute(statement).rowcount != 0, statement
    connection.commit()
    connection.close()


# ---------------------------------------------------------------------------------- checkpoints


def test_a_checkpoint_is_signed_with_the_ledger_s_key(ledger: Ledger, signer: SignerKey) -> None:
    """Of the empty ledger, and as it grows; without a key it is the same three lines."""
    for size in (0, 1, TILE_WIDTH + 1):
        fill(ledger, size - ledger.size)
        text = ledger.checkpoint()
        checkpoint = open_checkpoint(text, keys=signer.verifier, origin=ledger.origin)

        assert (size, ledger.root) == (checkpoint.size, checkpoint.root.hex())
        assert text == ledger.checkpoint()


def test_the_key_names_a_new_ledger(tmp_path: Path, signer: SignerKey) -> None:
    """Given as text, from the file that it is kept in; opened again without it, nothing signs."""
    for number, key in enumerate((signer.to_text(), signer.to_text().reveal() + "\n")):
        with Ledger(tmp_path / f"{number}.db", signer=key, origin="acme") as ledger:
            assert "acme" == ledger.origin
            signed, note = read_checkpoint(ledger.checkpoint())
            assert note is not None
        with Ledger(tmp_path / f"{number}.db") as ledger:
            assert (signed, None) == read_checkpoint(ledger.checkpoint())


def test_another_ledger_s_key_is_refused(tmp_path: Path, signer: SignerKey) -> None:
    """And nothing is created, or changed."""
    path = tmp_path / "ledger.db"
    with pytest.raises(InvalidInputError, match="key is for 'acme', and the origin is 'other'"):
        Ledger(path, origin="other", signer=signer)
    assert not path.exists()
    Ledger(path, origin="other").close()
    with pytest.raises(InvalidInputError, match="is the ledger 'other', not 'acme'"):
        Ledger(path, signer=signer)


@pytest.mark.parametrize("key", ["", "acme", 7, b"PRIVATE+KEY+", Secret("x")])
def test_what_is_no_key_is_refused(tmp_path: Path, key: str) -> None:
    """Before a file is made."""
    with pytest.raises(InvalidInputError):
        Ledger(tmp_path / "ledger.db", signer=key)

    assert [] == list(tmp_path.iterdir())


# --------------------------------------------------------------------------------------- proofs


def test_every_entry_is_proved_to_whoever_has_the_key(ledger: Ledger, signer: SignerKey) -> None:
    """As text, without the ledger, and later entries change nothing about it."""
    ids = fill(ledger, 2 * TILE_WIDTH + 3)
    for index in (0, 1, TILE_WIDTH - 1, TILE_WIDTH, 2 * TILE_WIDTH + 2):
        text = ledger.prove(ids[index]).to_text()
        entry = ledger.entry(ids[index])
        fill(ledger, 1)

        proof = InclusionProof.from_text(text)

        assert index == proof.index
        checkpoint = proof.verify(entry, keys=signer.verifier)
        assert checkpoint == proof.verify(entry.to_bytes(), keys=signer.verifier.to_text())
        assert ("acme", ledger.size - 1) == (checkpoint.origin, checkpoint.size)


def test_a_ledger_without_a_key_proves_against_a_kept_checkpoint() -> None:
    """Which somebody wrote down before."""
    with Ledger("memory:") as ledger:
        ids = fill(ledger, 5)
        kept = ledger.checkpoint()

        proof = ledger.prove(ids[3])

        assert 5 == proof.verify(ledger.entry(ids[3]), trusted=kept).size


def test_an_unknown_entry_is_not_proved(ledger: Ledger) -> None:
    """There is nothing to prove."""
    with pytest.raises(UnknownIdError):
        ledger.prove(UNKNOWN)


def test_a_proof_outlives_an_erasure(ledger: Ledger, signer: SignerKey) -> None:
    """What was personal is gone, and the entry is where it was."""
    receipt = ledger.append("a.b", world="RML3", personal={"email": "ada@example.com"})
    proof = ledger.prove(receipt.id)
    ledger.erase(receipt.id, ["email"], by="dpo", reason="request 7")

    entry = ledger.entry(receipt.id)

    assert 1 == proof.verify(entry, keys=signer.verifier).size
    assert 2 == ledger.prove(receipt.id).verify(entry, keys=signer.verifier).size


def test_a_ledger_continues_every_checkpoint_it_gave(ledger: Ledger, signer: SignerKey) -> None:
    """From any size to any later one; to the present one, if nothing else is said."""
    kept = [ledger.checkpoint()]
    for count in (1, 1, TILE_WIDTH, 44):
        fill(ledger, count)
        kept.append(ledger.checkpoint())
    checkpoints = [read_checkpoint(text)[0] for text in kept]

    for old in checkpoints:
        proof = ConsistencyProof.from_text(ledger.prove_consistency(old.size).to_text())
        assert checkpoints[-1] == proof.verify(old, keys=signer.verifier)
        for new in checkpoints[checkpoints.index(old) :]:
            proof = ledger.prove_consistency(old.size, new.size)
            assert new == proof.verify(old, keys=signer.verifier)


@pytest.mark.parametrize(
    ("parameter", "old", "new"),
    [
        ("new_size", 1, 4),
        ("old_size", 4, None),
        ("old_size", 3, 2),
        ("old_size", -1, 2),
        ("old_size", True, 2),
        ("old_size", "1", 2),
        ("new_size", 1, 2.0),
    ],
)
def test_a_checkpoint_from_the_future_is_not_continued(
    ledger: Ledger, parameter: str, old: int, new: int
) -> None:
    """Nor is anything that is no size."""
    fill(ledger, 3)
    with pytest.raises(InvalidInputError, match=f"{parameter} is .* a number of entries from 0"):
        ledger.prove_consistency(old, new)


# ------------------------------------------------------------------------------------- tampering


def test_an_edited_entry_is_not_proved(tmp_path: Path) -> None:
    """Its bytes are not under the root, so the ledger does not say that they are."""
    path = tmp_path / "ledger.db"
    with Ledger(path) as ledger:
        ids = fill(ledger, 3)
    changed = "CAST(replace(CAST(bytes AS TEXT), 'RML1', 'RML2') AS BLOB)"
    tamper(path, f"UPDATE entries SET bytes = {changed} WHERE idx = 1")

    with Ledger(path) as ledger:
        assert "do not give the root" in corrupt(lambda: ledger.prove(ids[1]))
        assert ledger.prove(ids[2])


@pytest.mark.parametrize("level", [0, 1])
def test_an_edited_tile_proves_nothing(tmp_path: Path, level: int, signer: SignerKey) -> None:
    """Neither entries, nor continuity, nor a checkpoint to be signed."""
    path = tmp_path / "ledger.db"
    with Ledger(path, origin="acme") as ledger:
        ids = fill(ledger, TILE_WIDTH + 1)
    column, width = (("hashes", 8192), ("root", 32))[level]
    tamper(path, f"UPDATE tiles SET {column} = zeroblob({width})")

    with Ledger(path, signer=signer) as ledger:
        proved = TILE_WIDTH if level else 7
        assert "do not give the root" in corrupt(lambda: ledger.prove(ids[proved]))
        assert corrupt(lambda: ledger.prove_consistency(100 if level == 0 else TILE_WIDTH))
        if level:
            assert "does not follow" in corrupt(ledger.checkpoint)


def test_a_missing_tile_is_missed(tmp_path: Path) -> None:
    """The leaves under it are still there, but nobody vouched for what is above them."""
    path = tmp_path / "ledger.db"
    with Ledger(path) as ledger:
        ids = fill(ledger, TILE_WIDTH + 1)
    tamper(path, "DELETE FROM tiles")

    with Ledger(path) as ledger:
        assert "level 1 are not all there" in corrupt(lambda: ledger.prove(ids[-1]))


@pytest.mark.parametrize(
    "statements",
    [
        ["UPDATE head SET root = zeroblob(32)"],
        ["UPDATE head SET root = x'00'"],
        ["UPDATE head SET size = 2"],
        ["UPDATE head SET size = 0"],
        ["UPDATE head SET size = 4"],
    ],
    ids=["root", "short root", "smaller", "empty", "larger"],
)
def test_an_edited_head_is_not_signed(
    tmp_path: Path, signer: SignerKey, statements: list[str]
) -> None:
    """Whatever it says, it does not follow from the entries."""
    path = tmp_path / "ledger.db"
    with Ledger(path, origin="acme") as ledger:
        ids = fill(ledger, 3)
    tamper(path, *statements)

    with Ledger(path, signer=signer) as ledger:
        assert corrupt(ledger.checkpoint)
        if ledger.size:
            assert corrupt(lambda: ledger.prove(ids[0]))


def test_a_ledger_that_was_set_back_signs_no_more(tmp_path: Path, signer: SignerKey) -> None:
    """Whoever signed five entries does not sign three, nor five others, as long as it remembers."""
    path = tmp_path / "ledger.db"
    with Ledger(path, signer=signer) as ledger:
        fill(ledger, 3)
        three = Checkpoint("acme", 3, bytes.fromhex(ledger.root))
        fill(ledger, 2)
        ledger.checkpoint()
        tamper(
            path,
            "DELETE FROM entries WHERE idx > 2",
            f"UPDATE head SET size = 3, root = x'{three.root.hex()}'",
        )

        assert "not all there" in corrupt(ledger.checkpoint)

        fill(ledger, 2)
        assert "two trees of 5 entries have different roots" in corrupt(ledger.checkpoint)


def test_a_past_size_may_be_signed_again(ledger: Ledger, signer: SignerKey) -> None:
    """It contradicts nothing, and the newest one is still what is remembered."""
    fill(ledger, 3)
    ledger.checkpoint()

    again = ledger.prove_consistency(1, 2).checkpoint

    assert 2 == open_checkpoint(again, keys=signer.verifier).size
    assert 3 == open_checkpoint(ledger.checkpoint(), keys=signer.verifier).size

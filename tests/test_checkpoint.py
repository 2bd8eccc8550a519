"""A checkpoint is three strict lines, and vouches for something only when it is signed."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rml.error import InvalidInputError
from rml.ledger.entry import leaf_hash
from rml.ledger.errors import SignatureError
from rml.ledger.proofs.checkpoint import (
    CHECKPOINT_BYTES_MAX,
    ORIGIN_BYTES_MAX,
    SIZE_MAX,
    Checkpoint,
    open_checkpoint,
    read_checkpoint,
)
from rml.ledger.proofs.note import Note, SignerKey
from rml.ledger.tree import EMPTY_ROOT, Frontier, split_tile

ROOT = leaf_hash(b"one")
ROOT_TEXT = base64.b64encode(ROOT).decode()
GOOD = f"acme\n1\n{ROOT_TEXT}\n"
# Published bodies whose root is no SHA-256: the format would take them, an RFC 6962 log has none.
SHORT_ROOTS = {"valid", "trailing data"}


@pytest.fixture(scope="module")
def signer() -> SignerKey:
    """A key of the ledger `acme`."""
    return SignerKey.generate("acme")


def refused(call: Callable[[], object]) -> str:
    """Why input is refused."""
    with pytest.raises(InvalidInputError) as caught:
        call()
    return caught.value.message


# --------------------------------------------------------------------------- published vectors


def test_published_bodies(vectors: Path) -> None:
    """All 9, but that a root must be one: with 32 bytes in its place, the two are read as well."""
    path = vectors / "derived" / "checkpoint_and_proof_text.json"
    given = json.loads(path.read_text("utf-8"))["checkpoint_body"]
    for case in given:
        if not case["ok"]:
            refused(lambda c=case: Checkpoint.from_text(c["text"]))
            continue
        assert case["name"] in SHORT_ROOTS
        assert "root has 32 bytes" in refused(lambda c=case: Checkpoint.from_text(c["text"]))
        text = case["text"].replace("YmFuYW5hcw==", ROOT_TEXT)
        assert text == Checkpoint.from_text(text).to_text()

    assert (9, 2) == (len(given), sum(case["ok"] for case in given))


def test_a_published_log(vectors: Path) -> None:
    """All 16 checkpoints of a real tlog-tiles log are signed, and state what its files hold."""
    log = vectors / "tessera" / "testdata" / "log"
    path = vectors / "derived" / "tessera_testdata_keys.json"
    keys = json.loads(path.read_text("utf-8"))
    signer = SignerKey.from_text(keys["signer_key_test_only"])
    frontier = Frontier()
    for size in range(16):
        text = (log / f"checkpoint.{size}").read_text("utf-8")
        if size:
            frontier.add(leaf_hash(keys["entries"][size - 1].encode()))
            tile = (log / "tile" / "0" / "000.p" / str(size)).read_bytes()
            assert frontier.rows[0] == split_tile(tile)
            bundle = (log / "tile" / "entries" / "000.p" / str(size)).read_bytes()
            assert bundle == b"".join(
                len(entry).to_bytes(2) + entry.encode() for entry in keys["entries"][:size]
            )

        checkpoint = open_checkpoint(
            text, keys=keys["verifier_key"], origin="example.com/log/testdata"
        )

        assert (size, frontier.root()) == (checkpoint.size, checkpoint.root)
        assert text == checkpoint.signed(signer).to_text()


def test_a_published_checkpoint_of_the_checksum_database(vectors: Path) -> None:
    """The origin of sum.golang.org has spaces, and is not its key's name."""
    cases = json.loads((vectors / "derived" / "signed_note.json").read_text("utf-8"))["cases"]
    case = next(case for case in cases if case["name"].startswith("sum.golang.org"))

    checkpoint = open_checkpoint(case["note"], keys=case["keys"])

    assert ("go.sum database tree", 35_225_469) == (checkpoint.origin, checkpoint.size)


# --------------------------------------------------------------------------------------- our own


def test_a_checkpoint_is_read_as_it_was_written() -> None:
    """Extension lines among it."""
    for extensions in ((), ("first", "second line")):
        checkpoint = Checkpoint("acme", 1, ROOT, extensions)
        assert checkpoint == Checkpoint.from_text(checkpoint.to_text())
        assert checkpoint == Checkpoint.from_text(checkpoint.to_text().encode())
        assert (checkpoint, None) == read_checkpoint(checkpoint.to_text())


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("at least three lines", ""),
        ("at least three lines", "acme\n1\n"),
        ("at least three lines", GOOD.removesuffix("\n")),
        ("no line of a checkpoint", GOOD.removeprefix("acme")),
        ("no line of a checkpoint", GOOD + "\n"),
        ("no line of a checkpoint", GOOD + "\r\n"),
        ("no line of a checkpoint", "ac\tme" + GOOD),
        ("size '01'", f"acme\n01\n{ROOT_TEXT}\n"),
        ("size '+1'", f"acme\n+1\n{ROOT_TEXT}\n"),
        ("size '1 '", f"acme\n1 \n{ROOT_TEXT}\n"),
        ("size '1_0'", f"acme\n1_0\n{ROOT_TEXT}\n"),
        ("size '\\u0661'", f"acme\n\u0661\n{ROOT_TEXT}\n"),
        ("size ''", f"acme\n\n{ROOT_TEXT}\n"),
        ("2**63 - 1", f"acme\n{SIZE_MAX + 1}\n{ROOT_TEXT}\n"),
        ("no canonical base64", f"acme\n1\n{ROOT_TEXT[:-1]}\n"),
        ("no canonical base64", f"acme\n1\n {ROOT_TEXT}\n"),
        ("root has 32 bytes", "acme\n1\nAAAA\n"),
        ("root of nothing", f"acme\n0\n{ROOT_TEXT}\n"),
        ("no UTF-8", b"\xff" + GOOD.encode()),
        ("the limit is 255", "a" * (ORIGIN_BYTES_MAX + 1) + GOOD),
        ("the limit is 16384", GOOD + "x" * CHECKPOINT_BYTES_MAX + "\n"),
        ("must be text", None),
    ],
)
def test_what_is_no_checkpoint_is_refused(reason: str, text: str | bytes) -> None:
    """Each for its reason."""
    assert reason in refused(lambda: Checkpoint.from_text(text))


@pytest.mark.parametrize("size", [-1, SIZE_MAX + 1, True, "1"])
def test_a_size_is_an_index(size: int) -> None:
    """Nothing else can be written down."""
    assert "below 2**63" in refused(lambda: Checkpoint("acme", size, ROOT))


def test_a_signed_checkpoint_is_opened_with_its_key(signer: SignerKey) -> None:
    """And the note it came in is there for whoever wants its other lines."""
    checkpoint = Checkpoint("acme", 1, ROOT)
    note = checkpoint.signed(signer)

    assert checkpoint == open_checkpoint(note.to_text(), keys=signer.verifier, origin="acme")
    assert (checkpoint, note) == read_checkpoint(note.to_text().encode())


def test_an_unsigned_one_is_not_opened(signer: SignerKey) -> None:
    """Nor one that somebody else has signed, nor one that was changed."""
    signed = Checkpoint("acme", 0, EMPTY_ROOT).signed(signer).to_text()
    other = SignerKey.generate("acme").verifier
    for text, key in ((GOOD, signer.verifier), (signed, other)):
        with pytest.raises(SignatureError):
            open_checkpoint(text, keys=key)
    with pytest.raises(SignatureError):
        open_checkpoint(signed.replace("acme\n0", "acne\n0"), keys=signer.verifier)


def test_another_ledger_s_checkpoint_is_refused(signer: SignerKey) -> None:
    """Whoever signed it."""
    signed = Checkpoint("acme", 1, ROOT).signed(signer).to_text()

    assert "of the ledger 'acme', not 'other'" in refused(
        lambda: open_checkpoint(signed, keys=signer.verifier, origin="other")
    )


def test_a_signed_text_that_is_no_checkpoint_is_refused(signer: SignerKey) -> None:
    """The right key alone does not make one."""
    note = Note.unsigned("Nobody owes anything.\n").signed(signer)

    assert "at least three lines" in refused(
        lambda: open_checkpoint(note.to_text(), keys=signer.verifier)
    )

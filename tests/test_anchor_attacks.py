"""What an anchor, a witness or a changed key may not do to a ledger that is in order."""

import logging
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from anchored import SIGNER, STRANGER, BrokenAnchor, MemoryAnchor, Places, fill, size_of
from witness import REFUSED, SIZE, Answer, Witness, serving

import rml
from rml import (
    AnchorError,
    InvalidInputError,
    Ledger,
    LedgerCorruptError,
    LedgerUnavailableError,
    SignatureError,
    WitnessAnchor,
)
from rml.cli.key import read_signer
from rml.cli.vouching import verifier_key
from rml.ledger.proofs.checkpoint import read_checkpoint


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """A ledger of five entries, anchored in a file."""
    places = Places.under(tmp_path)
    with places.open() as ledger:
        fill(ledger, 5)
        ledger.checkpoint()
    return places


class Counting(MemoryAnchor):
    """An anchor that counts how often it is asked."""

    asked = 0

    def last(self, origin: str) -> str | None:
        """Count, and answer."""
        self.asked += 1
        return super().last(origin)


# A ledger that is gone ----------------------------------------------------------------------------


def test_a_ledger_that_is_gone_is_not_begun_anew_under_another_name(places: Places) -> None:
    """Who names neither origin nor key would get a new origin, which no anchor can know."""
    places.remove()

    with pytest.raises(LedgerUnavailableError, match="there is no ledger at"):
        places.open(signer=None)
    assert [] == list(places.ledger.parent.iterdir())


def test_a_ledger_that_is_there_needs_no_name(places: Places) -> None:
    """Its origin stands in it, and is what the anchor is asked for."""
    with places.open(signer=None) as ledger:
        assert ("acme", 5) == (ledger.origin, ledger.size)


@pytest.mark.parametrize("content", ["acme\n5\n", None], ids=["torn", "of another ledger"])
def test_an_anchor_of_something_else_is_refused_before_anything_is_created(
    places: Places, content: str | None
) -> None:
    """No empty ledger is left behind."""
    origin = "other" if content is None else "acme"
    if content is not None:
        places.kept.write_text(content)
    new = places.root / "data" / "new.db"

    with pytest.raises(InvalidInputError, match="checkpoint"):
        Ledger(new, origin=origin, anchors=[places.anchor])
    assert not new.exists()


def test_a_new_ledger_may_be_anchored_in_one_that_anchors_others(places: Places) -> None:
    """Another ledger's entries tell whose they are; a new one is not among them."""
    with Ledger("memory:") as audit:
        with places.open(rml.LedgerAnchor(audit)) as ledger:
            ledger.checkpoint()
        with Ledger(places.root / "data" / "new.db", anchors=[rml.LedgerAnchor(audit)]) as ledger:
            fill(ledger, 1)
            assert 1 == size_of(ledger.checkpoint())


# Another key --------------------------------------------------------------------------------------


def test_a_key_may_be_changed(places: Places, caplog: pytest.LogCaptureFixture) -> None:
    """What the old one signed is held against the ledger; the next checkpoint takes its place."""
    with caplog.at_level(logging.WARNING, "rml"), places.open(signer=STRANGER) as ledger:
        (warned,) = caplog.messages
        assert f"{places.kept} agrees with the ledger, and is signed by none of the" in warned
        with pytest.raises(SignatureError, match="no trusted key has signed"):
            ledger.verify()
        found = ledger.verify(keys=SIGNER.verifier)
        assert (rml.Level.ANCHORED, True) == (found.level, found.ok)

        assert 5 == size_of(ledger.checkpoint())
        assert rml.Level.ANCHORED is ledger.verify().level
        fill(ledger, 1)
        ledger.checkpoint()
    _, note = read_checkpoint(places.kept.read_text())
    assert note is not None
    assert [STRANGER.verifier.id] == [line.key_id for line in note.signatures]


def test_a_changed_key_hides_no_loss(places: Places) -> None:
    """A ledger that was set back is refused, whoever has signed that it was longer."""
    places.remove()
    with places.bare() as ledger:
        fill(ledger, 3)

    with pytest.raises(LedgerCorruptError, match="the ledger has 3 entries"):
        places.open(signer=STRANGER)


def test_a_signature_that_claims_to_be_ours_must_be(places: Places) -> None:
    """Its key is known, and it is not that key's."""
    text = places.kept.read_text()
    line = text.splitlines()[-1]
    forged = line[:-8] + ("A" if line[-8] != "A" else "B") + line[-7:]
    places.kept.write_text(text.replace(line, forged))

    with pytest.raises(SignatureError, match="does not fit the text"):
        places.open()


def test_a_checkpoint_with_extension_lines_gives_way(places: Places) -> None:
    """Somebody has signed one for the same tree; what it says beside the tree is not ours."""
    told, _ = read_checkpoint(places.kept.read_text())
    extended = rml.Checkpoint(told.origin, told.size, told.root, ("by hand",))
    places.kept.write_text(extended.signed(SIGNER).to_text())

    with places.open() as ledger:
        assert rml.Level.ANCHORED is ledger.verify().level
        assert ledger.checkpoint() == places.kept.read_text()


# A hostile witness --------------------------------------------------------------------------------

LIES: list[Answer] = [
    (409, SIZE, b"9000\n"),
    (409, SIZE, b"%d\n" % (2**63 - 1)),
    (409, REFUSED, b""),
    (422, REFUSED, b""),
]


@pytest.mark.parametrize("lie", LIES, ids=range(4))
def test_a_witness_s_word_does_not_keep_a_ledger_closed(
    places: Places, lie: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody has signed it. It is a warning in the log, and a problem to whoever verifies."""
    witness = Witness(SIGNER.verifier.to_text())
    with serving(witness) as url:
        witness.scripted += [lie, lie]
        with (
            caplog.at_level(logging.WARNING, "rml"),
            places.open(places.anchor, WitnessAnchor(url, witness.key)) as ledger,
        ):
            warned = list(caplog.messages)
            fill(ledger, 1)
            assert not ledger.verify().ok

    assert 1 == len(warned)
    assert f"the witness {witness.name}" in warned[0]
    assert "rml verify" in warned[0]


@pytest.mark.parametrize("lie", LIES, ids=range(4))
def test_a_witness_s_word_does_not_keep_a_checkpoint_from_the_files(
    places: Places, lie: Answer
) -> None:
    """The ledger is accused, and what the other anchors keep is as new as it can be."""
    witness = Witness(SIGNER.verifier.to_text())
    with (
        serving(witness) as url,
        places.open(places.anchor, WitnessAnchor(url, witness.key)) as ledger,
    ):
        fill(ledger, 3)
        witness.scripted.append(lie)
        with pytest.raises(LedgerCorruptError, match="contradicts"):
            ledger.checkpoint()

        assert 8 == size_of(places.anchor.last("acme"))


@contextmanager
def dripping(head: bytes, drop: bytes) -> Iterator[str]:
    """Answer a byte now and then, and never come to an end."""
    over = threading.Event()

    def answer() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(head)
            while not over.wait(0.01):
                try:
                    connection.sendall(drop)
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            over.set()
            thread.join()


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["body", "head", "continue"],
)
def test_a_witness_that_drips_is_waited_for_once(places: Places, head: bytes, drop: bytes) -> None:
    """The time to wait is for the whole answer, not for its next byte."""
    with dripping(head, drop) as url, Ledger("memory:", signer=SIGNER) as ledger:
        anchor = WitnessAnchor(url, Witness().key, timeout=0.2)
        begun = time.monotonic()
        with pytest.raises(AnchorError, match="timed out"):
            anchor.keep(ledger.checkpoint(), ledger.prove_consistency)

    assert 60 > time.monotonic() - begun


def test_a_host_that_can_have_no_name_is_refused() -> None:
    """What the resolver would choke on."""
    with pytest.raises(InvalidInputError, match="give the witness's prefix"):
        WitnessAnchor(f"https://{'a' * 70}.example", Witness().key)


# Who is asked, and when ---------------------------------------------------------------------------


@pytest.mark.parametrize("signer", [SIGNER, None], ids=["signed", "unsigned"])
def test_proofs_of_what_is_stated_already_ask_nobody(
    tmp_path: Path, signer: rml.SignerKey | None
) -> None:
    """A proof is no new checkpoint; one that has to sign a larger tree asks first."""
    anchor = Counting()
    with Places.under(tmp_path).open(anchor, signer=signer) as ledger:
        ids = fill(ledger, 5)
        ledger.checkpoint()
        before = anchor.asked
        for one in ids:
            ledger.prove(one)
            ledger.prove(one, size=5)
            ledger.prove_consistency(2)
            ledger.prove_consistency(2, 4)
        assert before == anchor.asked
        fill(ledger, 1)
        ledger.prove(ids[0])
        ledger.prove(ids[0])

        assert (0 if signer is None else 1) == anchor.asked - before


def test_a_ledger_that_was_set_back_proves_nothing_new(places: Places) -> None:
    """The first proof would sign a tree that the anchor contradicts."""
    vault = MemoryAnchor()
    with places.open(vault) as ledger:
        vault.text = places.kept.read_text().replace("\n5\n", "\n7\n").partition("\n\n")[0] + "\n"
        first = next(iter(ledger.entries(limit=1))).id
        for call in (lambda: ledger.prove(first), lambda: ledger.prove_consistency(1)):
            with pytest.raises(LedgerCorruptError, match="the vault"):
                call()


# Places -------------------------------------------------------------------------------------------


def test_an_anchor_is_not_reached_by_a_link_to_the_ledger(places: Places) -> None:
    """Neither to the file nor through the folder."""
    link, folder = places.root / "safe" / "link", places.root / "safe" / "folder"
    link.symlink_to(places.ledger)
    folder.symlink_to(places.ledger.parent)
    for path in (link, folder / "ledger.db", folder / "ledger.db-wal"):
        with pytest.raises(InvalidInputError, match="belongs to the ledger"):
            places.open(rml.FileAnchor(path))
    with places.open(rml.FileAnchor(folder / "kept")) as ledger:
        ledger.checkpoint()
        assert rml.Level.SIGNED is ledger.verify().level


def test_the_same_anchor_twice_keeps_it_once(places: Places) -> None:
    """It is asked twice and says the same."""
    with places.open(places.anchor, places.anchor) as ledger:
        fill(ledger, 1)
        text = ledger.checkpoint()
        assert (rml.Level.ANCHORED, text) == (ledger.verify().level, places.kept.read_text())


def test_a_copy_of_the_ledger_is_no_anchor_of_it(places: Places) -> None:
    """It has the same origin."""
    copy = places.root / "safe" / "copy.db"
    shutil.copy(places.ledger, copy)
    with Ledger(copy) as other, pytest.raises(InvalidInputError, match="its own anchor"):
        places.open(rml.LedgerAnchor(other), BrokenAnchor())


# Files that another system has touched ------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"), [("\ufeff", "\n"), ("", "\r\n"), ("\ufeff", "\r\n\r\n")]
)
def test_a_key_s_file_may_come_from_an_editor(tmp_path: Path, before: str, after: str) -> None:
    """A byte order mark before the key, other line ends behind it."""
    secret, public = SIGNER.to_text().reveal(), SIGNER.verifier.to_text()
    for name, text in (("key", secret), ("vkey", public)):
        (tmp_path / name).write_bytes(f"{before}{text}{after}".encode())

    signer = rml.SignerKey.from_text(read_signer(tmp_path / "key"))
    assert SIGNER.verifier == signer.verifier
    assert SIGNER.verifier == rml.VerifierKey.from_text(verifier_key(str(tmp_path / "vkey")))


def test_two_keys_in_one_file_are_none(tmp_path: Path) -> None:
    """Which of them is meant is not guessed, and no message shows one."""
    secret = SIGNER.to_text().reveal()
    (tmp_path / "key").write_text(f"{secret}\n{secret}\n")

    with pytest.raises(InvalidInputError) as caught:
        rml.SignerKey.from_text(read_signer(tmp_path / "key"))
    assert secret[-20:] not in str(caught.value)

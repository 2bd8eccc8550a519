"""A ledger with anchors: what was set back, cut off or rebuilt is neither opened nor signed."""

import logging
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from anchored import SIGNER, BrokenAnchor, MemoryAnchor, Places, fill, size_of
from witness import Witness, serving

import rml
from rml import (
    AnchorError,
    FileAnchor,
    InvalidInputError,
    Ledger,
    LedgerAnchor,
    LedgerCorruptError,
    LedgerUnavailableError,
    WitnessAnchor,
)
from rml.ledger.proofs.checkpoint import open_checkpoint, read_checkpoint


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """A ledger of five entries, anchored, and of eight by now."""
    places = Places.under(tmp_path)
    with places.open() as ledger:
        fill(ledger, 5)
        ledger.checkpoint()
        fill(ledger, 3)
    return places


# Ways to lose history ----------------------------------------------------------------------------


def rolled_back(places: Places) -> None:
    """Last week's file is put back."""
    places.remove()
    with places.bare() as ledger:
        fill(ledger, 3)


def exchanged(places: Places) -> None:
    """Another ledger that calls itself the same, of as many entries."""
    places.remove()
    with places.bare() as ledger:
        fill(ledger, 8)


def truncated(places: Places) -> None:
    """The end is cut off, and everything that follows from it put right."""
    with places.bare() as ledger:
        root = read_checkpoint(ledger.prove_consistency(0, 2).checkpoint)[0].root
    connection = sqlite3.connect(places.ledger)
    triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
    known = triggers.fetchall()
    for name, _ in known:
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute("DELETE FROM entries WHERE idx >= 2")
    connection.execute("UPDATE head SET size = 2, root = ?", [root])
    for _, sql in known:
        connection.execute(sql)
    connection.commit()
    connection.close()
    with places.bare() as ledger:
        assert ledger.verify().ok


def emptied(places: Places) -> None:
    """A new ledger, without any entry."""
    places.remove()
    places.bare().close()


LOSSES = [rolled_back, exchanged, truncated, emptied]


@pytest.mark.parametrize("lose", LOSSES)
def test_a_ledger_that_lost_history_is_not_opened(
    places: Places, lose: Callable[[Places], None]
) -> None:
    """Its file stays as it is, as evidence; and whoever has no anchor can look into it."""
    lose(places)
    before = places.ledger.read_bytes()

    with pytest.raises(LedgerCorruptError) as caught:
        places.open()

    assert str(places.kept) in caught.value.message
    assert "5" in caught.value.message
    assert "keep the file as evidence" in caught.value.message
    assert before == places.ledger.read_bytes()
    with places.bare() as ledger:
        problem = ledger.verify(checkpoints=places.anchor).problems[0]
        assert problem.code == ("forked" if lose is exchanged else "rolled_back")


@pytest.mark.parametrize("lose", LOSSES)
def test_a_ledger_that_lost_history_signs_nothing(
    places: Places, lose: Callable[[Places], None]
) -> None:
    """Neither checkpoints nor proofs: anchors are asked again, not only at the opening."""
    lose(places)
    vault = MemoryAnchor()
    with places.open(vault) as ledger:  # it keeps nothing yet
        vault.text = places.kept.read_text()
        refused: list[Callable[[], object]] = [ledger.checkpoint]
        if ledger.size > 0:  # that there was nothing once is true of every state
            refused.append(lambda: ledger.prove_consistency(0))
        for call in refused:
            with pytest.raises(LedgerCorruptError, match="the vault"):
                call()
        assert 5 == size_of(vault.text)
        assert not ledger.verify().ok


def test_a_ledger_that_is_gone_is_not_begun_anew(places: Places) -> None:
    """Where an anchor knows the ledger, a missing file is a loss, and stays visible."""
    places.remove()

    with pytest.raises(LedgerUnavailableError, match="there is no ledger at"):
        places.open()
    assert not places.ledger.exists()
    places.open(FileAnchor(places.root / "safe" / "new")).close()  # nobody knows of it there
    assert places.ledger.exists()


def test_an_honest_ledger_goes_on(places: Places) -> None:
    """From one opening to the next, checkpoint after checkpoint."""
    for size in (8, 9, 9, 300):
        with places.open() as ledger:
            fill(ledger, size - ledger.size)
            text = ledger.checkpoint()
            assert size == size_of(places.anchor.last("acme"))
            assert size == open_checkpoint(text, keys=SIGNER.verifier).size
            assert ledger.verify().ok


# What else an anchor may say ---------------------------------------------------------------------


def test_another_ledger_s_checkpoint_at_the_anchor_is_refused(places: Places) -> None:
    """Two ledgers were given one file."""
    other = rml.SignerKey.generate("other")
    with pytest.raises(InvalidInputError, match="is of the ledger 'acme', and this is 'other'"):
        Ledger(places.root / "data" / "other.db", signer=other, anchors=[places.anchor])


def test_a_torn_file_at_the_anchor_is_refused(places: Places) -> None:
    """It says something that cannot be read, which is not nothing."""
    places.kept.write_bytes(places.kept.read_bytes()[:-30])

    with pytest.raises(InvalidInputError, match="holds no checkpoint"):
        places.open()


def test_nothing_stays_open_when_an_opening_is_refused(places: Places) -> None:
    """No file handle and no lock: the ledger can be opened, written and removed at once."""
    rolled_back(places)
    with pytest.raises(LedgerCorruptError):
        places.open()
    with places.bare() as ledger:
        fill(ledger, 1)

    assert ["ledger.db", "ledger.db.lock"] == sorted(p.name for p in places.ledger.parent.iterdir())


def test_an_anchor_out_of_reach_is_a_warning(
    places: Places, caplog: pytest.LogCaptureFixture
) -> None:
    """The shop opens; the log says so, and so does whoever verifies."""
    away = FileAnchor(places.root / "not mounted" / "ledger.checkpoint")
    with Ledger("memory:") as audit:  # closed by the time that it is asked
        closed = LedgerAnchor(audit)
    with (
        caplog.at_level(logging.WARNING, "rml"),
        places.open(away, BrokenAnchor(), closed) as ledger,
    ):
        warned = [record.getMessage() for record in caplog.records]
        found = ledger.verify()

    assert 3 == len(warned)
    assert "not mounted does not exist" in warned[0]
    assert warned[1].endswith("the vault: ConnectionResetError: gone")
    assert f"the ledger {audit.origin}: " in warned[2]
    assert (True, 3) == (found.ok, len(found.remarks))
    assert "not mounted does not exist" in found.remarks[0]


# Keeping -----------------------------------------------------------------------------------------


def test_every_anchor_keeps_it_with_the_cosignatures(places: Places) -> None:
    """Witnesses first, whatever the order in which they were named."""
    witness = Witness(SIGNER.verifier.to_text())
    with serving(witness) as url, Ledger("memory:") as audit:
        anchors = [places.anchor, LedgerAnchor(audit), WitnessAnchor(url, witness.key)]
        with places.open(*anchors) as ledger:
            text = ledger.checkpoint()

            _, note = read_checkpoint(text)
            assert note is not None
            assert ["acme", witness.name] == [line.name for line in note.signatures]
            assert [text] * 3 == [anchor.last("acme") for anchor in anchors]
            assert (rml.Level.WITNESSED, 8) == (ledger.verify().level, size_of(text))


def test_a_failing_anchor_does_not_keep_the_others_from_keeping(places: Places) -> None:
    """The error says who has kept it and who has not, and holds the checkpoint."""
    with places.open(BrokenAnchor(), places.anchor) as ledger:
        with pytest.raises(AnchorError, match="not every anchor has kept the checkpoint") as caught:
            ledger.checkpoint()

        details = caught.value.details
        assert [f"the file {places.kept}"] == details["kept"]
        assert ["the vault: ConnectionResetError: gone"] == details["failed"]
        assert details["checkpoint"] == places.anchor.last("acme")
        assert 8 == open_checkpoint(str(details["checkpoint"]), keys=SIGNER.verifier).size


def test_an_anchor_that_returns_something_else_has_failed(places: Places) -> None:
    """Signatures below another checkpoint are none of this one's."""

    class Liar(MemoryAnchor):
        def keep(self, checkpoint: str, prove_from: object) -> str:
            return checkpoint.replace("8\n", "7\n", 1)

    with (
        places.open(Liar()) as ledger,
        pytest.raises(AnchorError, match="the vault: the signatures are below another"),
    ):
        ledger.checkpoint()


def test_what_moved_at_an_anchor_since_it_was_asked_is_not_overwritten(places: Places) -> None:
    """Somebody else has put another history there, between the question and the keeping."""
    with Ledger("memory:", signer=SIGNER) as other, Ledger("memory:") as audit:
        fill(other, 8)
        vault = LedgerAnchor(audit)
        vault.keep(other.checkpoint(), other.prove_consistency)
        with places.open(MemoryAnchor()) as ledger:
            ledger._notary.anchors = ledger._notary.anchors.and_also([vault])
            ledger._notary._checked = ledger._notary.head  # type: ignore[method-assign]
            with pytest.raises(LedgerCorruptError, match="two trees of 8 entries"):
                ledger.checkpoint()
            assert other.checkpoint() == vault.last("acme")
            fill(other, 1)
            vault.keep(other.checkpoint(), other.prove_consistency)
            assert 8 == size_of(ledger.checkpoint())  # a newer one is kept: that is for later
        with pytest.raises(LedgerCorruptError, match="the ledger has 8 entries, and"):
            places.open(vault)


def test_a_ledger_without_a_key_is_anchored_unsigned(tmp_path: Path) -> None:
    """It is told from an earlier state all the same; nobody vouches for it by name."""
    places = Places.under(tmp_path)
    with places.open(signer=None) as ledger:
        fill(ledger, 3)
        text = ledger.checkpoint()
        assert text == places.anchor.last(ledger.origin)
        found = ledger.verify()
        assert (rml.Level.CONSISTENT, True) == (found.level, found.ok)
        assert "is not signed" in found.capped_by
        origin = ledger.origin
    places.remove()
    Ledger(places.ledger, origin=origin).close()
    with pytest.raises(LedgerCorruptError, match="the ledger has 0 entries"):
        places.open(signer=None)


def test_a_signed_checkpoint_is_not_replaced_by_an_unsigned_one(places: Places) -> None:
    """Whoever forgets the key would take the signature off everybody's reach."""
    with places.open() as ledger:
        fill(ledger, 3)
        signed = ledger.checkpoint()
        origin = ledger.origin
    with places.open(signer=None) as ledger:
        fill(ledger, 1)
        with pytest.raises(rml.AnchorError, match="open the ledger with its signer key"):
            ledger.checkpoint()
    assert signed == places.anchor.last(origin)


def test_a_witness_is_asked_when_the_ledger_is_opened(
    places: Places, caplog: pytest.LogCaptureFixture
) -> None:
    """Ledger and file are set back together; the witness has seen more, and cosigns no less."""
    witness = Witness(SIGNER.verifier.to_text())
    with serving(witness) as url:

        def anchors() -> list[rml.Anchor]:
            return [places.anchor, WitnessAnchor(url, witness.key)]

        before = places.kept.read_bytes()
        copy = places.root / "copy.db"
        shutil.copy(places.ledger, copy)
        with places.open(*anchors()) as ledger:
            fill(ledger, 1)
            ledger.checkpoint()
        places.remove()
        shutil.copy(copy, places.ledger)
        places.kept.write_bytes(before)

        places.open().close()  # the file alone does not know better
        assert [] == caplog.messages
        with places.open(*anchors()) as ledger:
            assert "8 entries, and the tree that the witness" in caplog.messages[0]
            with pytest.raises(LedgerCorruptError, match="has 8 entries, and had 9"):
                ledger.checkpoint()


def test_two_trees_of_one_size_are_told_apart_by_the_witness(
    places: Places, caplog: pytest.LogCaptureFixture
) -> None:
    """The file goes with the ledger; the witness has cosigned another root."""
    witness = Witness(SIGNER.verifier.to_text())
    with serving(witness) as url:
        with places.open(WitnessAnchor(url, witness.key)) as ledger:
            ledger.checkpoint()
        exchanged(places)
        places.kept.unlink()
        with places.open() as ledger:
            ledger.checkpoint()

        with places.open(places.anchor, WitnessAnchor(url, witness.key)) as ledger:
            assert "another root at 8 entries" in caplog.messages[0]
            with pytest.raises(LedgerCorruptError, match="has cosigned 8 entries"):
                ledger.checkpoint()
        with places.bare() as ledger:
            found = ledger.verify(
                keys=SIGNER.verifier,
                checkpoints=[places.anchor, WitnessAnchor(url, witness.key)],
            )
            assert ["forked"] == [problem.code for problem in found.problems]


def test_a_fork_is_refused_by_the_witness_when_nothing_else_remembers(places: Places) -> None:
    """It is asked with the checkpoint, and says that this continues nothing that it has seen."""
    witness = Witness(SIGNER.verifier.to_text())
    with serving(witness) as url:
        with places.open(WitnessAnchor(url, witness.key)) as ledger:
            ledger.checkpoint()
        exchanged(places)
        with places.open(WitnessAnchor(url, witness.key)) as ledger:
            fill(ledger, 1)
            with pytest.raises(LedgerCorruptError, match="has cosigned 8 entries"):
                ledger.checkpoint()


# Several processes -------------------------------------------------------------------------------

ANCHORING = """
import sys
import rml

place, kept, key = sys.argv[1:]
with rml.Ledger(place, signer=key, anchors=[rml.FileAnchor(kept)], timeout=60) as ledger:
    sizes = []
    for _ in range(25):
        ledger.append("a.b", world="RML1")
        before = rml.FileAnchor(kept).last("acme")
        ledger.checkpoint()
        after = rml.FileAnchor(kept).last("acme")
        sizes += [int(text.split()[1]) for text in (before, after)]
    assert sizes == sorted(sizes), sizes
    assert ledger.verify().ok
"""


def test_processes_that_anchor_at_once_never_move_it_backwards(places: Places) -> None:
    """Each sees a file that only grows, whole at every moment, and nobody is accused."""
    command = [sys.executable, "-W", "error", "-c", ANCHORING, str(places.ledger), str(places.kept)]
    key = SIGNER.to_text().reveal()
    started = [
        subprocess.Popen([*command, key], stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[1] for process in started]

    assert [""] * 2 == said
    with places.open() as ledger:
        assert 8 + 2 * 25 == ledger.size == size_of(places.anchor.last("acme"))


def test_processes_share_a_witness(places: Places) -> None:
    """One that comes late with its checkpoint is not accused: a newer one is kept."""
    witness = Witness(SIGNER.verifier.to_text())
    with serving(witness) as url:
        mine, theirs = (WitnessAnchor(url, witness.key) for _ in range(2))
        with places.open(theirs) as other, places.open(mine) as ledger:
            signed = ledger._notary._signed

            def late(checkpoint: rml.Checkpoint) -> str:
                """Let the other one go first, between our signature and the witness."""
                text = signed(checkpoint)
                fill(other, 2)
                other.checkpoint()
                return text

            ledger._notary._signed = late  # type: ignore[method-assign]
            text = ledger.checkpoint()

    assert (8, 10) == (size_of(text), witness.seen["acme"][0])

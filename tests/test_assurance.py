"""How far a ledger can be relied on: computed from what was kept of it, never claimed."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from anchored import SIGNER, STRANGER, BrokenAnchor, MemoryAnchor, Places, fill
from witness import NAME, Witness, serving

import rml
from rml import (
    Checkpoint,
    FileAnchor,
    InvalidInputError,
    Ledger,
    LedgerAnchor,
    Level,
    SignatureError,
    Verification,
    WitnessAnchor,
)
from rml.ledger.proofs.checkpoint import read_checkpoint


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """A ledger's folder and one elsewhere."""
    return Places.under(tmp_path)


@pytest.fixture
def ledger(places: Places) -> Iterator[Ledger]:
    """A ledger of five entries, opened without key and anchors: as an auditor opens it."""
    with places.bare() as made:
        fill(made, 5)
        yield made


def signed(ledger: Ledger, size: int | None = None, key: rml.SignerKey = SIGNER) -> str:
    """A checkpoint of a ledger, as whoever has its key signs it."""
    now = read_checkpoint(ledger.prove_consistency(0, size).checkpoint)[0]
    return now.signed(key).to_text()


def keep(places: Places, text: str) -> FileAnchor:
    """A file elsewhere that holds this."""
    places.kept.write_text(text)
    return places.anchor


def levels(found: Verification) -> list[tuple[str, int]]:
    """What each level covers."""
    return [(one.level.value, one.size) for one in found.assurances]


def codes(found: Verification) -> list[tuple[str, int | None]]:
    """What is wrong, and from which entry on nobody vouches."""
    return [(problem.code, problem.index) for problem in found.problems]


# Up the ladder -----------------------------------------------------------------------------------


def test_alone_it_is_consistent(ledger: Ledger) -> None:
    """Nothing is known of what it was."""
    found = ledger.verify(keys=SIGNER.verifier)

    assert (True, Level.CONSISTENT, ()) == (found.ok, found.level, found.assurances)
    assert "no signed checkpoint is kept outside the store to compare with" == found.capped_by
    assert f"ok: 5 entries, level consistent, root {ledger.root}" == str(found)


def test_a_signature_makes_it_signed(ledger: Ledger) -> None:
    """Handed in with the question: nothing shows where it was kept."""
    found = ledger.verify(keys=SIGNER.verifier, checkpoints=signed(ledger))

    assert (True, Level.SIGNED, [("signed", 5)]) == (found.ok, found.level, levels(found))
    assert f"the key acme+{SIGNER.verifier.id.hex()} has signed" in found.assurances[0].by
    assert "no signed checkpoint is known to be kept outside" in found.capped_by


def test_a_file_elsewhere_makes_it_anchored(ledger: Ledger, places: Places) -> None:
    """Whoever sets the ledger's folder back does not set this back."""
    anchor = keep(places, signed(ledger))
    found = ledger.verify(keys=SIGNER.verifier, checkpoints=[anchor])

    assert (Level.ANCHORED, [("signed", 5), ("anchored", 5)]) == (found.level, levels(found))
    assert str(places.kept) in found.assurances[1].by
    assert "no trusted witness has cosigned" in found.capped_by
    assert () == found.remarks


@pytest.mark.parametrize("name", ["kept", "../data/below/kept", "link/kept"])
def test_a_file_in_the_ledger_s_own_folder_counts_as_signed(
    ledger: Ledger, places: Places, name: str
) -> None:
    """Or below it, or by another name of it; and it is said why."""
    (places.root / "data" / "below").mkdir()
    (places.root / "data" / "link").symlink_to(places.root / "data")
    path = places.root / "data" / name
    path.write_text(signed(ledger))

    found = ledger.verify(keys=SIGNER.verifier, checkpoints=FileAnchor(path))

    assert (Level.SIGNED, [("signed", 5)]) == (found.level, levels(found))
    (remark,) = found.remarks
    assert "lies in the ledger's own folder" in remark
    assert "counts as signed and no more" in remark


def test_an_anchor_of_somebody_s_own_may_say_where_it_keeps(ledger: Ledger, places: Places) -> None:
    """By an attribute ``path``, which may be text."""
    vault = MemoryAnchor()
    vault.text = signed(ledger)
    for path, level in (
        (str(places.kept), Level.ANCHORED),
        (str(places.root / "data" / "kept"), Level.SIGNED),
        (7, Level.ANCHORED),
    ):
        vault.path = path  # type: ignore[attr-defined]
        assert level == ledger.verify(keys=SIGNER.verifier, checkpoints=vault).level


def test_a_ledger_in_the_same_folder_counts_as_signed(ledger: Ledger, places: Places) -> None:
    """One in another folder, or nobody's folder, is elsewhere."""
    expected = {"data": Level.SIGNED, "safe": Level.ANCHORED}
    for name, level in expected.items():
        with Ledger(places.root / name / "audit.db") as audit:
            anchor = LedgerAnchor(audit)
            anchor.keep(signed(ledger), ledger.prove_consistency)
            assert level == ledger.verify(keys=SIGNER.verifier, checkpoints=anchor).level


def test_a_cosignature_makes_it_witnessed(ledger: Ledger, places: Places) -> None:
    """Wherever the checkpoint was kept: the witness keeps what it cosigns."""
    witness = Witness(SIGNER.verifier.to_text())
    text = signed(ledger)
    text += witness.cosignature(read_checkpoint(text)[0].to_text())
    own = places.root / "data" / "kept"
    own.write_text(text)
    keys = [SIGNER.verifier, witness.key]

    for given in (text, keep(places, text), FileAnchor(own)):
        found = ledger.verify(keys=keys, checkpoints=given)

        assert (Level.WITNESSED, "") == (found.level, found.capped_by)
        assert [("signed", 5), ("anchored", 5), ("witnessed", 5)] == levels(found)
        assert f"the witness {NAME} has cosigned" in found.assurances[2].by
        assert "2026-11-20T19:00:00" in found.assurances[2].by
    assert Level.ANCHORED == ledger.verify(keys=keys[0], checkpoints=places.anchor).level


def test_a_witness_is_asked(ledger: Ledger, places: Places) -> None:
    """With the checkpoint that is kept; it may have cosigned what the file does not show."""
    witness = Witness(SIGNER.verifier.to_text())
    anchor = keep(places, signed(ledger, 3))
    with serving(witness) as url:
        there = WitnessAnchor(url, witness.key)
        nothing = ledger.verify(keys=SIGNER.verifier, checkpoints=[anchor, there])
        there.keep(signed(ledger, 3), lambda size: ledger.prove_consistency(size, 3))
        asked = WitnessAnchor(url, witness.key)
        found = ledger.verify(keys=SIGNER.verifier, checkpoints=[anchor, asked])
        alone = ledger.verify(keys=SIGNER.verifier, checkpoints=asked)

    assert (Level.ANCHORED, True) == (nothing.level, nothing.ok)
    assert (Level.WITNESSED, ("witnessed", 3)) == (found.level, levels(found)[-1])
    assert Level.CONSISTENT == alone.level
    assert (f"the witness {NAME} answers to a signed checkpoint only",) == alone.remarks


def test_a_size_that_only_a_witness_knows_is_told(ledger: Ledger, places: Places) -> None:
    """It signs none, so that the ledger has had as many says nothing of which they were."""
    witness = Witness(SIGNER.verifier.to_text())
    anchor = keep(places, signed(ledger, 3))
    with serving(witness) as url:
        there = WitnessAnchor(url, witness.key)
        there.keep(signed(ledger, 4), lambda size: ledger.prove_consistency(size, 4))
        asked = WitnessAnchor(url, witness.key)
        found = ledger.verify(keys=SIGNER.verifier, checkpoints=[anchor, asked])

    assert (Level.ANCHORED, True) == (found.level, found.ok)
    assert any("covers 4 entries; whether they are these" in one for one in found.remarks)


# What each level covers --------------------------------------------------------------------------


def test_what_came_later_is_not_covered_yet(ledger: Ledger, places: Places) -> None:
    """Every level says up to which entry; the newest of several counts."""
    witness = Witness()
    cosigned = signed(ledger, 2)
    cosigned += witness.cosignature(read_checkpoint(cosigned)[0].to_text())
    found = ledger.verify(
        keys=[SIGNER.verifier, witness.key],
        checkpoints=[
            cosigned,
            signed(ledger, 1),
            signed(ledger, 4),
            keep(places, signed(ledger, 3)),
        ],
    )

    assert [("signed", 4), ("anchored", 3), ("witnessed", 2)] == levels(found)
    assert "ok: 5 entries, level witnessed up to 2, root" in str(found)
    assert "3 entries came after that checkpoint" in found.remarks[0]
    fill(ledger, 1)
    assert (
        "1 entry came after"
        in ledger.verify(keys=SIGNER.verifier, checkpoints=signed(ledger, 5)).remarks[0]
    )


def test_a_checkpoint_of_nothing_raises_nothing(ledger: Ledger, places: Places) -> None:
    """It is true of every ledger."""
    anchor = keep(places, signed(ledger, 0))
    found = ledger.verify(keys=SIGNER.verifier, checkpoints=anchor)

    assert (Level.CONSISTENT, True) == (found.level, found.ok)
    assert "covers no entries" in found.capped_by


# Whom to trust -----------------------------------------------------------------------------------


def test_without_a_key_nobody_has_signed(ledger: Ledger, places: Places) -> None:
    """Anybody can write a checkpoint; it is compared all the same."""
    anchor = keep(places, signed(ledger, key=STRANGER))
    found = ledger.verify(checkpoints=anchor)

    assert (Level.CONSISTENT, True) == (found.level, found.ok)
    assert f"no key was given to tell who has signed the checkpoint kept in {anchor}" in (
        found.capped_by
    )


def test_whoever_holds_the_key_trusts_it(places: Places, ledger: Ledger) -> None:
    """A ledger that is opened with its key, and with witnesses, needs no word more."""
    witness = Witness(SIGNER.verifier.to_text())
    with (
        serving(witness) as url,
        places.open(places.anchor, WitnessAnchor(url, witness.key)) as own,
    ):
        own.checkpoint()
        assert Level.WITNESSED == own.verify().level


def test_an_unsigned_checkpoint_is_compared_and_vouches_for_nobody(
    ledger: Ledger, places: Places
) -> None:
    """Somebody's own note: three lines."""
    anchor = keep(places, ledger.checkpoint())
    for given in (ledger.checkpoint(), Checkpoint.from_text(ledger.checkpoint()), anchor):
        found = ledger.verify(keys=SIGNER.verifier, checkpoints=given)

        assert (Level.CONSISTENT, True) == (found.level, found.ok)
        assert "is not signed" in found.capped_by
    wrong = Checkpoint("acme", 2, bytes(32))
    assert [("forked", 0)] == codes(ledger.verify(checkpoints=wrong))


@pytest.mark.parametrize("text", ["stranger", "changed"])
def test_a_signature_that_is_not_trusted_is_an_error(
    ledger: Ledger, places: Places, text: str
) -> None:
    """Not a lower level: somebody has to look why."""
    good = signed(ledger)
    bad = {"stranger": signed(ledger, key=STRANGER), "changed": good.replace("\n5\n", "\n4\n")}[
        text
    ]

    with pytest.raises(SignatureError, match=r"the checkpoint given: "):
        ledger.verify(keys=SIGNER.verifier, checkpoints=bad)
    with pytest.raises(SignatureError, match=f"kept in the file {places.kept}"):
        ledger.verify(keys=SIGNER.verifier, checkpoints=keep(places, bad))


def test_a_cosignature_that_does_not_fit_is_an_error(ledger: Ledger) -> None:
    """A trusted witness's line that is not its own."""
    witness = Witness()
    text = signed(ledger) + witness.cosignature("something else\n")

    with pytest.raises(SignatureError):
        ledger.verify(keys=[SIGNER.verifier, witness.key], checkpoints=text)
    assert Level.SIGNED == ledger.verify(keys=SIGNER.verifier, checkpoints=text).level


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"keys": rml.SignerKey.generate("other").verifier}, "is not of this ledger"),
        ({"keys": "kaput"}, "not a verifier key"),
        ({"keys": 7}, "not a verifier key"),
        ({"checkpoints": "kaput"}, "the checkpoint given holds no checkpoint"),
        ({"checkpoints": [""]}, "the checkpoint given holds no checkpoint"),
        ({"checkpoints": 7}, "anchors must be a list of anchors"),
        ({"checkpoints": [None]}, "anchors must be a list of anchors"),
        ({"checkpoints": Checkpoint("other", 1, bytes(32))}, "is of the ledger 'other'"),
        ({"since": "kaput"}, "the checkpoint of the last verification holds no checkpoint"),
        ({"since": 7}, "the checkpoint of the last verification holds no checkpoint"),
        ({"since": Checkpoint("other", 1, bytes(32))}, "is of the ledger 'other'"),
        ({"progress": 7}, "progress must be a function"),
    ],
)
def test_what_cannot_be_used_is_named(
    ledger: Ledger, arguments: dict[str, object], said: str
) -> None:
    """Before anything is read."""
    with pytest.raises(InvalidInputError, match=said):
        ledger.verify(**arguments)  # type: ignore[arg-type]


# Contradictions ----------------------------------------------------------------------------------


def test_what_is_missing_is_named_from_where_it_ends(places: Places, ledger: Ledger) -> None:
    """`rolled_back`: fewer entries than there were."""
    with Ledger("memory:", origin="acme") as longer:
        fill(longer, 9)
        anchor = keep(places, signed(longer))
    found = ledger.verify(keys=SIGNER.verifier, checkpoints=anchor)

    assert (False, Level.STRUCTURE, [("rolled_back", 5)]) == (found.ok, found.level, codes(found))
    assert "the ledger has 5 entries, and the checkpoint kept in the file" in str(found)
    assert ("the problems found", ()) == (found.capped_by, found.assurances)


def test_what_differs_is_named_as_closely_as_checkpoints_allow(ledger: Ledger) -> None:
    """`forked`: after the last checkpoint that agrees, and at or before the first that does not."""
    agreeing = [signed(ledger, 2), signed(ledger, 3)]
    with Ledger("memory:", origin="acme") as other:
        fill(other, 5)
        differing = [signed(other, 5), signed(other, 4)]
    found = ledger.verify(checkpoints=[*differing, *agreeing])

    assert [("forked", 3), ("forked", 3)] == codes(found)
    assert "the first 4 entries are not those of the checkpoint given" in found.problems[0].detail


def edit(places: Places, statement: str) -> None:
    """Change the file as somebody does who may write to it."""
    connection = sqlite3.connect(places.ledger)
    for (name,) in connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    ).fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_an_edited_entry_contradicts_the_checkpoints_that_cover_it(
    ledger: Ledger, places: Places
) -> None:
    """And no earlier one: the bytes are compared. Where they name the entry, that stands first."""
    texts = [signed(ledger, size) for size in (2, 3, 5)]
    changed = "CAST(replace(CAST(bytes AS TEXT), 'RML1', 'RML2') AS BLOB)"
    edit(places, f"UPDATE entries SET bytes = {changed} WHERE idx = 2")
    found = ledger.verify(checkpoints=texts)

    forks = [problem.detail for problem in found.problems if problem.code == "forked"]
    assert ["the first 3 entries are", "the first 5 entries are"] == [one[:23] for one in forks]
    assert ("bytes", 2) == codes(found)[0]


def test_missing_entries_contradict_what_was_kept(ledger: Ledger, places: Places) -> None:
    """Also where the ledger cannot be read to its end."""
    text = signed(ledger)
    edit(places, "DELETE FROM entries WHERE idx = 4")
    edit(places, "UPDATE head SET size = 4")

    assert ("rolled_back", 4) in codes(ledger.verify(checkpoints=text))


def test_a_ledger_that_cannot_be_read_is_not_accused_of_more(
    ledger: Ledger, places: Places
) -> None:
    """There are no bytes to compare with what was kept."""
    texts = [signed(ledger, 3), signed(ledger)]
    edit(places, "DROP TABLE entries")
    found = ledger.verify(checkpoints=texts)

    assert not found.ok
    assert "forked" not in dict(codes(found))


def test_hashes_that_are_gone_prove_nothing(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between one look and the next: that is said, and nobody is called a forger."""
    text = signed(ledger, 3)
    monkeypatch.setattr(ledger._store, "hashes", lambda *_: [])
    for found in (ledger.verify(checkpoints=text), ledger.verify(since=text)):
        (problem,) = found.problems
        assert ("tile", False) == (problem.code, found.ok)
        assert "nothing can be compared with the checkpoint" in problem.detail


# Since -------------------------------------------------------------------------------------------


def test_what_was_verified_before_is_not_read_again(ledger: Ledger, places: Places) -> None:
    """And what was kept is compared all the same, wherever it lies."""
    texts = [signed(ledger, size) for size in (2, 4)]
    fill(ledger, 300)
    since = Checkpoint.from_text(ledger.prove_consistency(0, 280).checkpoint)
    fill(ledger, 20)
    told: list[tuple[int, int]] = []
    found = ledger.verify(
        lambda *counts: told.append(counts), keys=SIGNER.verifier, checkpoints=texts, since=since
    )

    assert (True, Level.SIGNED, 325) == (found.ok, found.level, found.size)
    assert (ledger.root, [("signed", 4)]) == (found.root, levels(found))
    assert any("the first 280 entries were not looked at again" in one for one in found.remarks)
    assert ledger.verify(since=signed(ledger)).ok


def test_a_ledger_that_contradicts_the_last_verification_is_read_as_a_whole(
    ledger: Ledger, places: Places
) -> None:
    """Nothing of it can be taken for granted."""
    changed = "CAST(replace(CAST(bytes AS TEXT), 'RML1', 'RML2') AS BLOB)"
    edit(places, f"UPDATE entries SET bytes = {changed} WHERE idx = 1")
    later = Checkpoint("acme", 9, bytes(32))
    other = Checkpoint("acme", 3, bytes(32))

    assert {"rolled_back", "bytes"} <= dict(codes(ledger.verify(since=later))).keys()
    assert {"forked", "bytes"} <= dict(codes(ledger.verify(since=other))).keys()


# What else there is to say -----------------------------------------------------------------------


def test_an_anchor_that_says_nothing_is_mentioned(ledger: Ledger, places: Places) -> None:
    """One that keeps nothing, one that cannot be asked."""
    found = ledger.verify(checkpoints=[MemoryAnchor(), BrokenAnchor(), places.anchor])

    assert [
        "the vault keeps no checkpoint yet",
        f"the file {places.kept} keeps no checkpoint yet",
        "the vault: ConnectionResetError: gone",
    ] == list(found.remarks)
    assert found.ok


def test_it_is_json(ledger: Ledger, places: Places) -> None:
    """All of it, for scripts."""
    anchor = keep(places, signed(ledger, 4))
    document = json.loads(
        json.dumps(ledger.verify(keys=SIGNER.verifier, checkpoints=anchor).to_dict())
    )

    assert ("anchored", 2, 1) == (
        document["level"],
        len(document["assurances"]),
        len(document["remarks"]),
    )
    assert {"level", "size", "by"} == document["assurances"][0].keys()
    assert "signed up to 4 entries: the key acme+" in str(
        rml.Assurance(Level.SIGNED, 4, "the key acme+")
    )

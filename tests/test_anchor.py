"""Where checkpoints are kept: a file, another ledger, something of somebody's own."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from anchored import SIGNER, MemoryAnchor, Places, fill, size_of

import rml
from rml import AnchorError, FileAnchor, InvalidInputError, Ledger, LedgerAnchor, ProofError
from rml.ledger.anchors import file_anchor
from rml.ledger.proofs.checkpoint import Checkpoint
from rml.ledger.proofs.note import Signature
from rml.ledger.tree import EMPTY_ROOT
from rml.stores.turns import FileTurns


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """A ledger's folder and one elsewhere."""
    return Places.under(tmp_path)


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A ledger that has no anchors, to make checkpoints with."""
    with Ledger("memory:", signer=SIGNER) as made:
        yield made


@pytest.fixture(params=["file", "ledger"])
def anchor(request: pytest.FixtureRequest, places: Places) -> Iterator[FileAnchor | LedgerAnchor]:
    """Each kind of anchor on this machine."""
    if request.param == "file":
        yield places.anchor
        return
    with Ledger("memory:") as other:
        yield LedgerAnchor(other)


def checkpoints(ledger: Ledger, *sizes: int) -> list[str]:
    """Let a ledger grow, and state it each time."""
    made = []
    for size in sizes:
        fill(ledger, size - ledger.size)
        made.append(ledger.checkpoint())
    return made


def names_in(folder: Path) -> list[str]:
    """The names in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())


# ------------------------------------------------------------------------------------ every anchor


def test_what_was_kept_last_is_there(anchor: rml.Anchor, ledger: Ledger) -> None:
    """Nothing at first, then each checkpoint in the stead of the one before."""
    assert anchor.last("acme") is None
    for size in (0, 1, 5, 300):
        (text,) = checkpoints(ledger, size)
        assert anchor.keep(text, ledger.prove_consistency) is None
        assert text == anchor.last("acme")


def test_it_never_moves_backwards(anchor: rml.Anchor, ledger: Ledger) -> None:
    """Another process was faster: its checkpoint stays."""
    older, newer = checkpoints(ledger, 3, 5)
    anchor.keep(newer, ledger.prove_consistency)

    anchor.keep(older, ledger.prove_consistency)

    assert newer == anchor.last("acme")


def test_another_history_is_not_kept(anchor: rml.Anchor, ledger: Ledger) -> None:
    """Neither longer nor of the same size; what was kept stays."""
    (kept,) = checkpoints(ledger, 3)
    anchor.keep(kept, ledger.prove_consistency)
    with Ledger("memory:", signer=SIGNER) as other:
        for text in checkpoints(other, 3, 5):
            with pytest.raises(ProofError):
                anchor.keep(text, other.prove_consistency)

    assert kept == anchor.last("acme")


def test_signatures_of_one_checkpoint_are_gathered(anchor: rml.Anchor, ledger: Ledger) -> None:
    """A cosignature that comes later is added, and none is lost."""
    (text,) = checkpoints(ledger, 3)
    lines = [Signature(name, b"\0\0\0\4", bytes(72)).to_text() for name in ("w1", "w2")]
    body = Checkpoint.from_text(text.partition("\n\n")[0] + "\n").to_text()
    for note in (body, text, text + lines[0], text, text + lines[1]):
        anchor.keep(note, ledger.prove_consistency)

    assert text + "".join(lines) == anchor.last("acme")


def test_another_ledger_s_checkpoint_is_no_answer(places: Places, ledger: Ledger) -> None:
    """A file belongs to one ledger; a ledger tells many apart."""
    (text,) = checkpoints(ledger, 3)
    anchor = places.anchor
    anchor.keep(text, ledger.prove_consistency)

    with pytest.raises(InvalidInputError, match="is of the ledger 'acme', and this is 'other'"):
        anchor.last("other")
    with Ledger("memory:", origin="other") as other:
        with pytest.raises(InvalidInputError, match="is of the ledger 'acme'"):
            anchor.keep(other.checkpoint(), other.prove_consistency)
        assert text == anchor.last("acme")


# ------------------------------------------------------------------------------------------- files


def test_a_file_may_be_torn_anywhere_and_is_told_from_a_whole_one(
    places: Places, ledger: Ledger
) -> None:
    """Only where the body ends does a piece read as a checkpoint: as one without signature."""
    (text,) = checkpoints(ledger, 3)
    body = text.partition("\n\n")[0] + "\n"
    for end in range(len(text.encode())):
        piece = text.encode()[:end]
        places.kept.write_bytes(piece)
        if piece == body.encode():
            assert body == places.anchor.last("acme")
            continue
        with pytest.raises(InvalidInputError, match="holds no checkpoint: "):
            places.anchor.last("acme")


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"acme\n3\n", b"PRIVATE+KEY+x", b"x" * 30_001], ids=range(4)
)
def test_a_file_of_something_else_is_named_and_left_alone(
    places: Places, ledger: Ledger, content: bytes
) -> None:
    """Neither read as nothing, nor overwritten."""
    places.kept.write_bytes(content)
    (text,) = checkpoints(ledger, 3)

    for call in (
        lambda: places.anchor.last("acme"),
        lambda: places.anchor.keep(text, ledger.prove_consistency),
    ):
        with pytest.raises(InvalidInputError, match="holds no checkpoint"):
            call()
    assert content == places.kept.read_bytes()


def folder(path: Path) -> None:
    """A folder of that name."""
    path.mkdir()


def pipe(path: Path) -> None:
    """A pipe that nobody writes to."""
    os.mkfifo(path)


def door(path: Path) -> None:
    """A socket."""
    here = Path.cwd()
    os.chdir(path.parent)  # the path of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


@pytest.mark.parametrize("make", [folder, pipe, door])
def test_what_is_no_file_is_not_waited_for(places: Places, make: object) -> None:
    """It is something else, and that is said at once."""
    assert callable(make)
    make(places.kept)

    with pytest.raises(InvalidInputError, match="it is something else"):
        places.anchor.last("acme")


def test_a_missing_folder_is_not_nothing(places: Places, ledger: Ledger) -> None:
    """The share is not mounted: what it keeps is not known."""
    (text,) = checkpoints(ledger, 3)
    anchor = FileAnchor(places.root / "not mounted" / "ledger.checkpoint")

    with pytest.raises(AnchorError, match=r"the folder .*not mounted does not exist"):
        anchor.last("acme")
    with pytest.raises(AnchorError, match="does not exist"):
        anchor.keep(text, ledger.prove_consistency)


def test_a_disk_that_fails_leaves_what_was_kept(
    places: Places, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing half-written beside it."""
    older, newer = checkpoints(ledger, 3, 5)
    places.anchor.keep(older, ledger.prove_consistency)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AnchorError, match="No space left"):
        places.anchor.keep(newer, ledger.prove_consistency)
    assert older == places.anchor.last("acme")
    assert ["ledger.checkpoint", "ledger.checkpoint.lock"] == names_in(places.kept.parent)


def test_an_interrupt_leaves_what_was_kept(
    places: Places, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C between the writing and the naming."""
    older, newer = checkpoints(ledger, 3, 5)
    places.anchor.keep(older, ledger.prove_consistency)

    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        places.anchor.keep(newer, ledger.prove_consistency)
    monkeypatch.undo()
    assert older == places.anchor.last("acme")
    places.anchor.keep(newer, ledger.prove_consistency)
    assert newer == places.anchor.last("acme")
    assert ["ledger.checkpoint", "ledger.checkpoint.lock"] == names_in(places.kept.parent)


def test_a_file_that_cannot_be_read_is_out_of_reach(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The share hangs, or forbids it: what it keeps is not known."""
    places.kept.write_text("")

    def stale(_: Path, bytes_max: int) -> bytes:
        raise OSError(116, f"Stale file handle of {bytes_max} bytes")

    monkeypatch.setattr("rml.ledger.anchors.file_anchor.read_file", stale)
    with pytest.raises(AnchorError, match="cannot be read: Stale file handle of 30000 bytes"):
        places.anchor.last("acme")


def test_others_may_keep_it_busy(
    places: Places, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait has an end."""
    (text,) = checkpoints(ledger, 3)
    monkeypatch.setattr(file_anchor, "TURN_SECONDS", 0.0)
    turns = FileTurns(places.kept)
    assert turns.take(time.monotonic())

    with pytest.raises(AnchorError, match="kept busy by other processes"):
        places.anchor.keep(text, ledger.prove_consistency)
    turns.close()
    places.anchor.keep(text, ledger.prove_consistency)


def test_a_link_is_followed_and_stays(places: Places, ledger: Ledger) -> None:
    """Both names are one file, and take turns by one lock."""
    (text,) = checkpoints(ledger, 3)
    link = places.root / "link"
    link.symlink_to(places.kept)
    FileAnchor(link).keep(text, ledger.prove_consistency)

    assert link.is_symlink()
    assert text == places.anchor.last("acme")
    assert ["data", "link", "safe"] == names_in(places.root)


def test_everybody_may_read_what_is_public(places: Places, ledger: Ledger) -> None:
    """As far as the process's umask lets them."""
    (text,) = checkpoints(ledger, 3)
    before = os.umask(0o022)
    try:
        places.anchor.keep(text, ledger.prove_consistency)
    finally:
        os.umask(before)

    assert 0o644 == places.kept.stat().st_mode & 0o777


@pytest.mark.parametrize("path", ["", 7, None, "a\0b"])
def test_what_is_no_path_is_refused(path: str) -> None:
    """When the anchor is made."""
    with pytest.raises(InvalidInputError, match="path must be the path of a file"):
        FileAnchor(path)


# ----------------------------------------------------------------------------------- other ledgers


def test_one_ledger_anchors_many(ledger: Ledger) -> None:
    """Each finds its own, whatever the order in which they come."""
    with Ledger("memory:", origin="other") as second, Ledger("memory:") as audit:
        anchor = LedgerAnchor(audit)
        (mine,), (theirs,) = checkpoints(ledger, 3), checkpoints(second, 7)
        anchor.keep(mine, ledger.prove_consistency)
        anchor.keep(theirs, second.prove_consistency)

        assert (mine, theirs) == (anchor.last("acme"), anchor.last("other"))
        kinds = [(entry.kind, entry.correlation, entry.facts["size"]) for entry in audit.entries()]
        assert [("checkpoint.kept", "acme", 3), ("checkpoint.kept", "other", 7)] == kinds
        assert audit.verify().ok


def test_the_same_checkpoint_is_kept_once(ledger: Ledger) -> None:
    """A history holds no repetitions."""
    with Ledger("memory:") as audit:
        (text,) = checkpoints(ledger, 3)
        for _ in range(3):
            LedgerAnchor(audit).keep(text, ledger.prove_consistency)

        assert 1 == audit.size


def test_a_ledger_is_not_its_own_anchor(ledger: Ledger) -> None:
    """Nor is another one of the same origin."""
    with pytest.raises(InvalidInputError, match="cannot be its own anchor"):
        LedgerAnchor(ledger).last("acme")
    with pytest.raises(InvalidInputError, match="cannot be its own anchor"):
        LedgerAnchor(ledger).keep(ledger.checkpoint(), ledger.prove_consistency)
    with pytest.raises(InvalidInputError, match="ledger must be an rml"):
        LedgerAnchor("memory:")  # type: ignore[arg-type]


def test_an_entry_of_that_kind_cannot_be_forged(ledger: Ledger) -> None:
    """The kind is the library's own."""
    with pytest.raises(InvalidInputError, match="recorded by the library alone"):
        ledger.append("checkpoint.kept", world="RML3")


def test_what_is_in_such_an_entry_is_read_strictly(ledger: Ledger) -> None:
    """A draft can append it all the same."""
    with Ledger("memory:") as audit:
        audit.write(
            lambda draft: draft.record(
                "checkpoint.kept", world="RML3", facts={"checkpoint": 7}, correlation="acme"
            )
        )
        with pytest.raises(InvalidInputError, match=r"ledger rml-ledger/.* holds no checkpoint"):
            LedgerAnchor(audit).last("acme")


# -------------------------------------------------------------------------------------- arguments


@pytest.mark.parametrize("anchors", [7, "kept.checkpoint", [None], [FileAnchor], object()])
def test_what_is_no_anchor_is_refused(places: Places, anchors: object) -> None:
    """Before anything is created."""
    with pytest.raises(InvalidInputError, match="anchors must be a list of anchors"):
        Ledger(places.ledger, anchors=anchors)  # type: ignore[arg-type]

    assert [] == names_in(places.ledger.parent)


@pytest.mark.parametrize("ending", ["", "-wal", "-shm", "-journal", ".lock"])
def test_the_ledger_s_own_files_are_not_opened(places: Places, ending: str) -> None:
    """SQLite loses its locks when its own process closes one of them."""
    own = places.ledger.with_name(places.ledger.name + ending)
    with pytest.raises(InvalidInputError, match="belongs to the ledger"):
        places.open(FileAnchor(own))
    with places.bare() as ledger, pytest.raises(InvalidInputError, match="belongs to the ledger"):
        ledger.verify(checkpoints=FileAnchor(own))


def test_two_verbs_make_an_anchor(places: Places) -> None:
    """Whoever has their own place for checkpoints writes these."""
    vault = MemoryAnchor()
    assert isinstance(vault, rml.Anchor)
    with places.open(vault) as ledger:
        fill(ledger, 3)
        text = ledger.checkpoint()

        assert text == vault.text
        assert (rml.Level.ANCHORED, 3) == (ledger.verify().level, size_of(vault.text))


def test_anchors_say_what_they_are(places: Places, ledger: Ledger) -> None:
    """In messages by a name, to a programmer as they were made."""
    key = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2"
    witness = rml.WitnessAnchor("https://remora.n621.de/", key)

    assert (f"the file {places.kept}", f"FileAnchor({str(places.kept)!r})") == (
        str(places.anchor),
        repr(places.anchor),
    )
    assert ("the ledger acme", f"LedgerAnchor({ledger!r})") == (
        str(LedgerAnchor(ledger)),
        repr(LedgerAnchor(ledger)),
    )
    assert ("the witness remora.n621.de", f"WitnessAnchor('https://remora.n621.de', {key!r})") == (
        str(witness),
        repr(witness),
    )


def test_an_empty_checkpoint_is_kept_too(anchor: rml.Anchor) -> None:
    """That nothing was there is a fact as well."""
    nothing = Checkpoint("acme", 0, EMPTY_ROOT).to_text()
    with Ledger("memory:", origin="acme") as ledger:
        anchor.keep(nothing, ledger.prove_consistency)

    assert nothing == anchor.last("acme")

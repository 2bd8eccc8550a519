"""An exported tree is what the specification says: a reader that shares no code with us agrees."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tlog_reader import TlogFolder

import rml
from rml.ledger.exports import tiles_export
from rml.ledger.ledger import Ledger
from rml.ledger.proofs.tlog_tiles import tile_path

ORIGIN = "shop.example/payments"
WHO = "ada.lovelace@example.com"  # too long to stand in a hash or a signature by chance


@pytest.fixture
def signer() -> rml.SignerKey:
    """The key of the ledger."""
    return rml.SignerKey.generate(ORIGIN)


@pytest.fixture
def shop(tmp_path: Path, signer: rml.SignerKey) -> Iterator[Ledger]:
    """A signed ledger in a file."""
    with rml.Ledger(tmp_path / "shop.db", signer=signer) as ledger:
        yield ledger


def grow(ledger: Ledger, count: int) -> None:
    """Append entries in one commit."""

    def work(draft: rml.Draft) -> None:
        for number in range(count):
            draft.append("shop.note", world="RML3", facts={"n": number}, personal={"who": WHO})

    ledger.write(work)


def files(folder: Path) -> set[str]:
    """Every file under a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def stored(ledger: Ledger) -> list[bytes]:
    """Every entry's bytes."""
    return [entry.to_bytes() for entry in ledger.entries()]


# The reader itself ------------------------------------------------------------------------------


def test_the_reader_reads_a_published_log(vectors: Path) -> None:
    """Each of 15 trees of a log that others wrote and signed: the reader is right, so it counts."""
    log = vectors / "tessera" / "testdata" / "log"
    keys = json.loads((vectors / "derived" / "tessera_testdata_keys.json").read_text("utf-8"))
    for size in range(16):
        folder = TlogFolder(log, f"checkpoint.{size}")
        said = [entry.encode() for entry in keys["entries"][:size]]

        assert said == folder.check(keys["verifier_key"])


# What is written --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 600])
def test_an_exported_ledger_is_a_log(
    shop: Ledger, signer: rml.SignerKey, tmp_path: Path, size: int
) -> None:
    """Root, signature, entry bundles and tiles of every level; no file is missing, none is over."""
    grow(shop, size)

    done = shop.export_tiles(tmp_path / "log")

    folder = TlogFolder(tmp_path / "log")
    assert stored(shop) == folder.check(signer.verifier.to_text())
    assert (ORIGIN, size, shop.root) == (folder.origin, folder.size, folder.root.hex())
    assert folder.paths() == files(tmp_path / "log")
    assert (size, len(folder.paths()), folder.note) == (done.entries, done.files, done.checkpoint)


def test_a_tree_of_three_levels() -> None:
    """Paths follow the specification where no test can grow a tree: its own example is 70,000."""
    places = list(tiles_export._partial_tiles(70_000))

    assert ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"] == [
        tile_path(*place) for place in places
    ]
    assert "tile/0/x001/x234/067" == tile_path(0, 1_234_067)


@settings(max_examples=15)
@given(steps=st.lists(st.integers(0, 300), min_size=1, max_size=4))
def test_exporting_again_adds_what_is_new(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int]
) -> None:
    """However a ledger grew between exports, the folder is the log of the last, and never less."""
    folder = tmp_path_factory.mktemp("log")
    with rml.Ledger("memory:", origin=ORIGIN) as ledger:
        before: dict[str, bytes] = {}
        for step in steps:
            grow(ledger, step)
            done = ledger.export_tiles(folder)
            now = {name: (folder / name).read_bytes() for name in files(folder)}

            assert stored(ledger) == TlogFolder(folder).check(None)
            assert step == done.entries
            same = before.keys() - {"checkpoint"}
            assert {n: before[n] for n in same} == {n: now[n] for n in same}
            before = now


def test_nothing_new_writes_nothing(shop: Ledger, tmp_path: Path) -> None:
    """A signed checkpoint stays, since witnesses may have added their signatures to it."""
    grow(shop, 300)
    shop.export_tiles(tmp_path / "log")
    witnessed = (tmp_path / "log" / "checkpoint").read_text("utf-8") + "\u2014 witness AAAAAAAA\n"
    (tmp_path / "log" / "checkpoint").write_text(witnessed, "utf-8")

    done = shop.export_tiles(tmp_path / "log")

    assert (0, 0) == (done.entries, done.files)
    assert witnessed == (tmp_path / "log" / "checkpoint").read_text("utf-8")


def test_a_key_that_came_later_signs_what_is_there(
    shop: Ledger, signer: rml.SignerKey, tmp_path: Path
) -> None:
    """An unsigned export becomes a log as soon as there is a key."""
    grow(shop, 3)
    with rml.Ledger(tmp_path / "shop.db") as unsigned:
        unsigned.export_tiles(tmp_path / "log")

    shop.export_tiles(tmp_path / "log")

    assert 3 == len(TlogFolder(tmp_path / "log").check(signer.verifier.to_text()))


def test_a_signed_export_is_not_replaced_by_an_unsigned_one(shop: Ledger, tmp_path: Path) -> None:
    """What was published with a signature keeps one."""
    grow(shop, 3)
    shop.export_tiles(tmp_path / "log")
    grow(shop, 1)

    with (
        rml.Ledger(tmp_path / "shop.db") as unsigned,
        pytest.raises(rml.RmlError, match="open the ledger with its signer key"),
    ):
        unsigned.export_tiles(tmp_path / "log")


def test_personal_values_stay_at_home(shop: Ledger, tmp_path: Path) -> None:
    """The folder may be published: it holds commitments, neither values nor salts."""
    grow(shop, 2)

    shop.export_tiles(tmp_path / "log")

    row = next(shop._store.rows())
    salt = json.loads(row.personal or b"")["who"][0]
    everything = b"".join((tmp_path / "log" / n).read_bytes() for n in files(tmp_path / "log"))
    assert b"commitments" not in everything  # they are the fourth member, and have no name
    assert shop.entries()[0].commitments["who"].encode() in everything
    assert WHO.encode() not in everything
    assert salt.encode() not in everything


def test_the_files_are_everybodys(shop: Ledger, tmp_path: Path) -> None:
    """A web server may serve the folder, as far as the umask lets it."""
    grow(shop, 1)
    old = os.umask(0o022)
    try:
        shop.export_tiles(tmp_path / "log")
    finally:
        os.umask(old)

    assert 0o644 == (tmp_path / "log" / "checkpoint").stat().st_mode & 0o777


def test_progress_is_told(shop: Ledger, tmp_path: Path) -> None:
    """From where it goes on to where it ends."""
    grow(shop, 300)
    told: list[tuple[int, int]] = []

    shop.export_tiles(tmp_path / "log", progress=lambda *args: told.append(args))

    assert [(256, 300), (300, 300)] == told


# What is refused --------------------------------------------------------------------------------


def refused(ledger: Ledger, folder: Path, kind: type[rml.RmlError]) -> str:
    """Why an export is refused; it must leave the folder as it is."""
    before = {name: (folder / name).read_bytes() for name in files(folder)}
    with pytest.raises(kind) as caught:
        ledger.export_tiles(folder)
    assert before == {name: (folder / name).read_bytes() for name in files(folder)}
    return caught.value.message


def test_a_folder_of_another_ledger(shop: Ledger, tmp_path: Path) -> None:
    """Two ledgers never mix."""
    with rml.Ledger("memory:", origin="other.example/ledger") as other:
        other.export_tiles(tmp_path / "log")

    message = refused(shop, tmp_path / "log", rml.InvalidInputError)

    assert "holds tiles of the ledger 'other.example/ledger', and this is 'shop.example" in message


def test_a_folder_that_is_ahead(shop: Ledger, signer: rml.SignerKey, tmp_path: Path) -> None:
    """A ledger that was set back does not take the published log back with it."""
    grow(shop, 3)
    shop.export_tiles(tmp_path / "log")
    with rml.Ledger("memory:", signer=signer) as earlier:
        grow(earlier, 2)

        message = refused(earlier, tmp_path / "log", rml.LedgerCorruptError)

    assert f"the ledger has 2 entries, and the export in {tmp_path / 'log'}" in message


def test_a_folder_with_another_history(shop: Ledger, signer: rml.SignerKey, tmp_path: Path) -> None:
    """Neither does one that was rewritten and has grown past it."""
    grow(shop, 3)
    shop.export_tiles(tmp_path / "log")
    with rml.Ledger("memory:", signer=signer) as rewritten:
        grow(rewritten, 4)

        message = refused(rewritten, tmp_path / "log", rml.LedgerCorruptError)

    assert "the first 3 entries are not those" in message


def test_a_folder_of_somebody_else(shop: Ledger, tmp_path: Path) -> None:
    """A home folder does not become a log by a slip of the finger."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years of work", "utf-8")

    assert "something else" in refused(shop, tmp_path / "home", rml.InvalidInputError)


def test_a_checkpoint_that_is_none(shop: Ledger, tmp_path: Path) -> None:
    """Whatever it is, it is not overwritten."""
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "checkpoint").write_bytes(b"\xff" * 10)

    why = refused(shop, tmp_path / "log", rml.InvalidInputError)
    assert str(tmp_path / "log" / "checkpoint") in why


def test_who_exports_at_the_same_time_is_not_set_back(
    shop: Ledger, signer: rml.SignerKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is there an alarm: the slower one wrote what the faster one had written already."""
    log = tmp_path / "log"
    grow(shop, 300)
    checkpoint = Ledger.checkpoint

    def overtaken(ledger: Ledger) -> str:
        text = checkpoint(ledger)
        with monkeypatch.context() as patch:
            patch.setattr(Ledger, "checkpoint", checkpoint)
            grow(ledger, 400)
            ledger.export_tiles(log)
        return text

    monkeypatch.setattr(Ledger, "checkpoint", overtaken)
    done = shop.export_tiles(log)

    assert "300" == done.checkpoint.splitlines()[1]
    assert stored(shop) == TlogFolder(log).check(signer.verifier.to_text())


def test_a_place_that_is_a_file(shop: Ledger, tmp_path: Path) -> None:
    """A path that leads nowhere is named."""
    (tmp_path / "log").write_text("a file", "utf-8")
    with pytest.raises(rml.FileNotWrittenError) as caught:
        shop.export_tiles(tmp_path / "log")
    assert str(tmp_path / "log") in caught.value.message

    with pytest.raises(rml.InvalidInputError, match="folder must be the path"):
        shop.export_tiles(7)  # type: ignore[arg-type]


def test_bytes_that_were_changed_are_not_published(
    shop: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entry is named, and the folder gets no checkpoint that covers it."""
    grow(shop, 300)
    rows = list(shop._store.rows())

    def changed(start: int, stop: int) -> Iterator[Any]:
        for row in rows[start:stop]:
            data = row.data.replace(b'"n":270', b'"n":271') if row.index == 270 else row.data
            yield type(row)(row.index, data, row.leaf, row.personal, row.columns)

    monkeypatch.setattr(shop._store, "rows", changed)
    with pytest.raises(rml.LedgerCorruptError, match="entry 270 is not as it was recorded"):
        shop.export_tiles(tmp_path / "log")
    assert {"tile/0/000", "tile/entries/000"} == files(tmp_path / "log")


# An end in the middle ---------------------------------------------------------------------------


class PulledPlugError(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("after", range(9))
def test_an_interrupted_export_is_begun_again(
    shop: Ledger,
    signer: rml.SignerKey,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    after: int,
) -> None:
    """Wherever it ended, no file is half, the old checkpoint holds, and the next run completes."""
    log = tmp_path / "log"
    grow(shop, 10)
    shop.export_tiles(log)
    grow(shop, 520)
    fsync, left = os.fsync, [2 * after]

    def pulled(file: int) -> None:
        if not left[0]:
            raise PulledPlugError
        left[0] -= 1
        fsync(file)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", pulled)
        with pytest.raises(PulledPlugError):
            shop.export_tiles(log)

    assert 10 == len(TlogFolder(log).check(signer.verifier.to_text()))
    shop.export_tiles(log)
    assert stored(shop) == TlogFolder(log).check(signer.verifier.to_text())
    assert not [name for name in files(log) if ".rml-" in name]


def test_leftovers_of_a_power_cut_are_no_obstacle(shop: Ledger, tmp_path: Path) -> None:
    """Before the first checkpoint there are tiles alone, and perhaps a file in the making."""
    grow(shop, 2)
    (tmp_path / "log" / "tile" / "0").mkdir(parents=True)
    (tmp_path / "log" / "tile" / "0" / ".rml-0123456789abcdef").write_bytes(b"half")
    (tmp_path / "log" / ".rml-0123456789abcdef").write_bytes(b"half")

    shop.export_tiles(tmp_path / "log")

    assert stored(shop) == TlogFolder(tmp_path / "log").check(None)

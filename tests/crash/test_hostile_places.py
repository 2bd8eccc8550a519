"""A disk that is full, a file that may not grow, a place that may not be written: and then again.

Each says so in a typed error; what was acknowledged stays, can be read, and goes on with new
entries once the place allows it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from children import in_child

import rml
from rml.files import FileNotWrittenError

resource = pytest.importorskip("resource", reason="this system sets no limits on files")

NOBODY = 65_534
ENTRY_BYTES = 9_000


def note(ledger: rml.Ledger) -> str:
    """Append an entry of some pages; return its id."""
    return ledger.append("a.b", world="RML1", facts={"text": "x" * ENTRY_BYTES}).id


def fill(ledger: rml.Ledger) -> tuple[list[str], rml.RmlError]:
    """Append until it fails; return what was acknowledged, and the error."""
    kept: list[str] = []
    while True:
        try:
            kept.append(note(ledger))
        except rml.RmlError as error:
            return kept, error


# ------------------------------------------------------------------------------------------- full


def grown_to_its_limit(path: Path, file_bytes: int) -> list[str]:
    """Write until no file may grow any more, then with the limit lifted; return what was kept."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with rml.Ledger(path) as ledger:
        kept = [note(ledger)]
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, hard))
        more, error = fill(ledger)
        assert error.code in {"LEDGER_UNAVAILABLE", "LEDGER_APPEND_UNKNOWN"}
        kept += more
        assert kept == [entry.id for entry in ledger.entries()]
        assert ledger.verify().problems == ()
        for _ in range(3):  # what was freed meanwhile is used, and nothing else breaks
            kept += fill(ledger)[0]
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        kept.append(note(ledger))
        assert kept == [entry.id for entry in ledger.entries()]
        assert ledger.verify().problems == ()
        return kept


@pytest.mark.parametrize("kilobytes", [150, 400])
def test_a_file_that_may_not_grow_loses_nothing(tmp_path: Path, kilobytes: int) -> None:
    """The error is typed, what was acknowledged is read again, and with room it goes on."""
    kept = in_child(lambda: grown_to_its_limit(tmp_path / "ledger.db", kilobytes << 10))

    with rml.Ledger(tmp_path / "ledger.db", create=False) as ledger:
        assert kept == [entry.id for entry in ledger.entries()]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    mount, unmount = shutil.which("mount"), shutil.which("umount")
    if os.geteuid() != 0 or mount is None or unmount is None or sys.platform != "linux":
        pytest.skip("only root can mount a small disk, on Linux")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = [mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run([unmount, "-l", folder], check=True)


def test_a_full_disk_stops_an_effect_before_it_happens(small_disk: Path) -> None:
    """No intent, no effect; an anchor and a backup say that they were not written."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 300_000)
    effects: list[str] = []
    anchor = rml.FileAnchor(small_disk / "kept")
    with rml.Ledger(small_disk / "ledger.db", anchors=[anchor]) as ledger:

        @rml.idempotent("payment.charge", key="key", ledger=ledger)
        def charge(key: str) -> str:
            effects.append(key)
            return "charged"

        kept, error = fill(ledger)
        assert error.code == "LEDGER_UNAVAILABLE"
        with small_disk.joinpath("filler").open("wb", buffering=0) as filler:
            while has_room_for_more(filler):
                pass
        with pytest.raises(rml.LedgerUnavailableError):
            charge("pay-1")
        with pytest.raises(rml.AnchorError):
            ledger.checkpoint()
        with pytest.raises(FileNotWrittenError):
            ledger.backup(small_disk / "backup.db")
        assert (effects, False) == ([], (small_disk / "backup.db").exists())

        ballast.unlink()
        small_disk.joinpath("filler").unlink()
        assert charge("pay-1") == "charged"
        ledger.checkpoint()
        assert kept == [entry.id for entry in ledger.entries(kind="a.b")]
        assert ledger.verify().problems == ()
    assert ["pay-1"] == effects


def has_room_for_more(file: Any) -> bool:
    """Write some bytes; return whether there was room."""
    try:
        return bool(file.write(b"x" * 1_024))
    except OSError:
        return False


# -------------------------------------------------------------------------------------- read-only


@pytest.fixture
def folder_of_all() -> Iterator[Path]:
    """A folder that users other than root can enter."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def protect(ledger: rml.Ledger) -> None:
    """Call a protected handler."""
    rml.idempotent("payment.charge", key="key", ledger=ledger)(lambda key: key)("pay-1")


def as_nobody(path: Path, step: Callable[[rml.Ledger], Any]) -> Any:
    """Open a ledger and take a step in a child that is not root; return a code and a message."""
    with rml.Ledger("sqlite://:memory:") as ledger:  # what is imported late is imported as root
        protect(ledger)
        ledger.size  # noqa: B018

    def dropped() -> tuple[str, str]:
        if os.geteuid() == 0:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        try:
            with rml.Ledger(path, create=False) as ledger:
                step(ledger)
        except rml.RmlError as error:
            return error.code, error.message
        return "", ""

    return in_child(dropped)


@pytest.mark.parametrize("target", ["file", "folder"])
def test_a_place_that_may_not_be_written_says_so(folder_of_all: Path, target: str) -> None:
    """Root's modes do not count, so somebody else tries; afterwards nothing has changed."""
    path = folder_of_all / "ledger.db"
    with rml.Ledger(path) as ledger:
        kept = [note(ledger)]
    for one in (folder_of_all, *folder_of_all.iterdir()):
        if os.geteuid() == 0:
            os.chown(one, NOBODY, NOBODY)
    read_only = path if target == "file" else folder_of_all
    mode = read_only.stat().st_mode
    read_only.chmod(0o444 if target == "file" else 0o555)
    for step in (note, protect):
        assert "LEDGER_UNAVAILABLE" == as_nobody(path, step)[0]
    read_only.chmod(mode)

    if target == "file":  # SQLite makes what it keeps beside the file as read-only as the file
        assert "its -wal or -shm file" in as_nobody(path, note)[1]
        for ending in ("-wal", "-shm"):
            path.with_name(path.name + ending).chmod(mode)
    assert ("", "") == tuple(as_nobody(path, note))
    with rml.Ledger(path, create=False) as ledger:
        assert ledger.verify().problems == ()
        assert kept == [entry.id for entry in ledger.entries()][:1]
        assert 2 == ledger.size


def test_a_place_that_turns_read_only_meanwhile(small_disk: Path) -> None:
    """As a file system with errors does: no append counts any more, until it is mended."""
    with rml.Ledger(small_disk / "ledger.db") as ledger:
        kept = [note(ledger)]
    mount = ["mount", "-o", "remount,ro", str(small_disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a disk cannot be made read-only here")
    with pytest.raises(rml.LedgerUnavailableError), rml.Ledger(small_disk / "ledger.db") as ledger:
        note(ledger)
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    with rml.Ledger(small_disk / "ledger.db", create=False) as ledger:
        kept.append(note(ledger))
        assert kept == [entry.id for entry in ledger.entries()]
        assert ledger.verify().problems == ()

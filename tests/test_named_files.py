"""What somebody names to be read as a file may be a pipe, a socket, a device, a folder."""

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from rml import FileAnchor, FileCursor, InvalidInputError, Ledger
from rml.cli.key import read_signer
from rml.cli.vouching import checkpoint_in, verifier_key
from rml.export.archive import read_archive
from rml.files import open_file, read_file

PATIENCE_SECONDS = 60
READERS: dict[str, Callable[[Path], object]] = {
    "anchor": lambda path: FileAnchor(path).last("acme"),
    "cursor": lambda path: FileCursor(path).load(),
    "signer key": read_signer,
    "verifier key": lambda path: verifier_key(str(path)),
    "checkpoint": checkpoint_in,
    "bundle": lambda path: read_archive(path, lambda _: 1),
    "tiles": lambda path: Ledger("memory:").export_tiles(path.parent),
}
KINDS = ["pipe", "socket", "device", "folder", "link to a device", "large file"]

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes and sockets of POSIX")


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Something that is no file of ours, and never ends or never answers."""
    path = tmp_path / "checkpoint"
    kind = request.param
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        here = Path.cwd()
        os.chdir(tmp_path)  # a socket's name is short
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
        os.chdir(here)
    elif kind == "folder":
        path.mkdir()
    elif kind == "large file":
        with path.open("wb") as file:
            file.truncate(2**40)
    elif kind == "device":
        try:
            os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))
        except PermissionError:
            pytest.skip("only root makes devices")
    else:
        path.symlink_to("/dev/zero")
    return path


def ending(work: Callable[[], object]) -> BaseException | None:
    """What something ends with; it must not wait for anybody."""
    raised: list[BaseException | None] = []

    def run() -> None:
        try:
            work()
            raised.append(None)
        except Exception as error:  # noqa: BLE001 - it is compared
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()
    return raised[0]


@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_file_is_refused_at_once(reader: str, place: Path) -> None:
    """By one clear line that names it; nothing waits, and nothing is read without an end."""
    error = ending(lambda: READERS[reader](place))

    assert isinstance(error, InvalidInputError)
    assert str(place) in error.message


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    """And not one byte further."""
    path = tmp_path / "file"
    path.write_bytes(b"12345")

    assert (b"12345", None) == (read_file(path, 5), read_file(path, 4))
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "nothing", 5)


def test_a_pipe_that_takes_a_file_s_place_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the opening."""
    file, pipe = tmp_path / "file", tmp_path / "pipe"
    file.write_bytes(b"x")
    os.mkfifo(pipe)
    opened = os.open
    monkeypatch.setattr("rml.files.os.open", lambda _, flags: opened(pipe, flags))

    found: list[object] = []
    assert ending(lambda: found.append(open_file(file, 5))) is None
    assert [None] == found

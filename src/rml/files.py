"""How a file appears: whole, durable and under its name, or not at all; and what is read as one.

It is written under a passing name in the same folder, flushed to the disk, and only then given its
own. Whoever is interrupted leaves nothing under that name; what a power cut may leave is a file
whose name begins with ``.rml-``.

No name is given that belongs to a database: SQLite reads what stands under some names as a part of
the file beside it, and a ledger that is overwritten is gone.

What somebody names to be read may be anything: a pipe never answers, a device may have no end, and
SQLite loses its locks on a ledger when its own process closes the file. So nothing is opened but a
regular file that is no larger than what it should be, and is not used as a database.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, ClassVar, Final

from rml.error import ClosedError, InvalidInputError
from rml.tag import shown

# What leaves a ledger is its owner's to read; a public tree of tiles is everybody's.
OWNER_ONLY: Final = 0o600
EVERYBODY: Final = 0o644
# What belongs to a ledger's file stands under its name with one of these: SQLite's logs, our lock.
_LOGS: Final = ("-wal", "-journal", "-shm")
_LOCK: Final = ".lock"
_DATABASE_MARK: Final = b"SQLite format 3\0"


class FileNotWrittenError(ClosedError):
    """A file could not be written; nothing new stands under its name."""

    code = "FILE_NOT_WRITTEN"
    happened: ClassVar[bool | None] = False


@contextmanager
def appearing(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Lend a passing name; the file that the block leaves there gets its own when the block ends.

    The block sees to it that the file's contents are on the disk.

    Raises:
        FileNotWrittenError: the name is taken and may not be overwritten, it belongs to a database
            that is used, or it cannot be given.
    """
    path = path.absolute()
    part = path.with_name(f".rml-{secrets.token_hex(8)}")
    with _explained(path):
        _check_free(path, overwrite=overwrite)
    try:
        yield part
        with _explained(path):
            _give_name(part, path, overwrite=overwrite)
            sync_folder(path.parent)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


@contextmanager
def writing(path: Path, *, overwrite: bool = False, mode: int = OWNER_ONLY) -> Iterator[BinaryIO]:
    """Lend a file to write to, which appears under its name when the block ends.

    Raises:
        FileNotWrittenError: the name is taken and may not be overwritten, it belongs to a database,
            or the file cannot be written.
    """
    with appearing(path, overwrite=overwrite) as part, _explained(path):
        _check_no_database(path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with os.fdopen(os.open(part, flags, mode), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())


def open_file(path: Path, bytes_max: int) -> BinaryIO | None:
    """Open a regular file to read it; ``None`` where there is something else, or a larger file.

    Raises:
        OSError: there is nothing, or it cannot be opened.
    """
    told = path.stat()
    if not stat.S_ISREG(told.st_mode) or told.st_size > bytes_max or _has_logs(path.resolve()):
        return None
    # Where a pipe has taken its place since, opening it does not wait for who writes into it.
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb")
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    return None


def read_file(path: Path, bytes_max: int) -> bytes | None:
    """Return all of a regular file; ``None`` where there is something else, or a larger file.

    Raises:
        OSError: there is nothing, or it cannot be read.
    """
    file = open_file(path, bytes_max)
    if file is None:
        return None
    with file:
        data = file.read(bytes_max + 1)
    return data if len(data) <= bytes_max else None


def as_path(name: str, value: object) -> Path:
    """Check what a caller gives as a path.

    Raises:
        InvalidInputError: it is none.
    """
    try:
        text = os.fsdecode(value) if isinstance(value, str | os.PathLike) else ""
        if text and b"\0" not in os.fsencode(text):
            return Path(text)
    except UnicodeEncodeError:
        pass
    raise InvalidInputError(f"{name} must be the path of a file or folder, not {shown(value)}")


def make_folders(folder: Path) -> None:
    """Make a folder and those around it, as far as they are missing, durably.

    Raises:
        FileNotWrittenError: one cannot be made.
    """
    if folder.is_dir():
        return
    make_folders(folder.parent)
    with _explained(folder):
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    opened = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FileNotWrittenError(f"cannot write {path}: {reason}") from error


def _check_free(path: Path, *, overwrite: bool) -> None:
    if path.is_dir():
        raise FileNotWrittenError(f"cannot write {path}: it is a folder")
    if path.exists() and not path.is_file():  # root can replace even /dev/null
        raise FileNotWrittenError(f"cannot write {path}: it is a device or a pipe, and no file")
    if not path.parent.is_dir():
        raise FileNotWrittenError(f"cannot write {path}: the folder {path.parent} does not exist")
    if not overwrite and os.path.lexists(path):
        raise _taken(path)
    _check_no_part(path)


def _has_logs(path: Path) -> bool:
    """Say whether a file is a database in use: a young one may be small, and all in its log."""
    return any(os.path.lexists(path.with_name(path.name + ending)) for ending in _LOGS)


def _check_no_part(path: Path) -> None:
    """Refuse a name that makes a file a part of a database, or a database's parts another's."""
    for ending in (*_LOGS, _LOCK):
        if path.name.endswith(ending) and path.with_name(path.name.removesuffix(ending)).is_file():
            raise FileNotWrittenError(
                f"cannot write {path}: under that name it would be taken for a part of "
                f"{path.name.removesuffix(ending)}"
            )
    for ending in _LOGS:
        log = path.with_name(path.name + ending)
        if os.path.lexists(log):
            raise FileNotWrittenError(
                f"cannot write {path}: {log} is there, which SQLite would take for a part of it; "
                f"somebody uses {path}, or left this behind: name another file"
            )


def _check_no_database(path: Path) -> None:
    """Refuse to put something else into the place of a database.

    A file with logs or with other names is not even opened: it may be a database that this process
    uses, and SQLite loses its locks when the process closes a file that it opened by other means.
    """
    if path.is_symlink() or not path.is_file() or path.stat().st_nlink > 1:
        return
    with path.open("rb") as file:
        if file.read(len(_DATABASE_MARK)) == _DATABASE_MARK:
            raise FileNotWrittenError(
                f"cannot write {path}: it is an SQLite database, maybe a ledger; name another file"
            )


def _give_name(part: Path, path: Path, *, overwrite: bool) -> None:
    if overwrite:
        part.replace(path)
        return
    try:
        path.hardlink_to(part)  # unlike a renaming, it never takes the name of another file
    except FileExistsError:
        raise _taken(path) from None
    except OSError:  # a file system without links
        _check_free(path, overwrite=False)
        part.rename(path)


def _taken(path: Path) -> FileNotWrittenError:
    return FileNotWrittenError(
        f"{path} is there already, and stays as it is; name another file, or replace it with "
        "--overwrite (overwrite=True) where that is offered"
    )

"""Zip archives as bundles use them: written the same every time, read with suspicion.

Whoever sends a bundle may have made it to do harm. So nothing is unpacked to a disk, every name is
one that a bundle has, and every size is bounded before it is believed: that of the file, of the
directory at its end, of each member, and of all together.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, Final

from rml.error import InvalidInputError
from rml.files import open_file, writing

# Ten thousand entries with their proofs; a bundle is read whole.
ARCHIVE_BYTES_MAX: Final = 64 << 20
# Three files an entry, and a few pages.
MEMBERS_MAX: Final = 30_010
# What zip says of one member in its directory, with a name of ours.
_DIRECTORY_BYTES_MAX: Final = MEMBERS_MAX * 128
_END: Final = struct.Struct("<4s4H2LH")
_END_MARK: Final = b"PK\x05\x06"
# Before the end: it says that the end is another one, for archives above four gigabytes.
_LOCATOR_MARK: Final = b"PK\x06\x07"
_LOCATOR_BYTES: Final = 20
_BEGINNING_OF_TIME: Final = (1980, 1, 1, 0, 0, 0)
_PLAIN_FILE: Final = 0o100644 << 16
_UNIX: Final = 3
_METHODS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_ENCRYPTED: Final = 0x1
_BROKEN: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    LookupError,
)


def write_archive(path: Path, files: Mapping[str, bytes], *, overwrite: bool = False) -> None:
    """Write files into a new archive; the same files give the same bytes.

    Raises:
        FileNotWrittenError: the name is taken, or the archive cannot be written.
    """
    with writing(path, overwrite=overwrite) as file, zipfile.ZipFile(file, "w") as archive:
        for name, data in files.items():
            member = zipfile.ZipInfo(name, _BEGINNING_OF_TIME)
            member.external_attr, member.create_system = _PLAIN_FILE, _UNIX
            archive.writestr(member, data, zipfile.ZIP_DEFLATED)


def read_archive(path: Path, bytes_max: Callable[[str], int | None]) -> dict[str, bytes]:
    """Return the files of an archive, in its order.

    Args:
        path: the archive.
        bytes_max: says how large the file of a name may be; ``None`` if none may have the name.

    Raises:
        InvalidInputError: it cannot be read, or is not made as a bundle is.
    """
    try:
        opened = open_file(path, ARCHIVE_BYTES_MAX)
        if opened is None:
            limit = f"{ARCHIVE_BYTES_MAX} bytes (ARCHIVE_BYTES_MAX)"
            raise _unreadable(path, f"it is no file, or larger than {limit}")
        with opened as file:
            _check_directory(path, file)
            with zipfile.ZipFile(file) as archive:
                return _read(path, archive, bytes_max)
    except InvalidInputError:
        raise
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    except _BROKEN as error:
        raise _unreadable(path, f"it is damaged, or no zip archive ({error})") from error


def _check_directory(path: Path, file: BinaryIO) -> None:
    """Bound what the library will read at once: the directory, as the file's last bytes tell it."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - _END.size - _LOCATOR_BYTES, 0))
    last = file.read(_END.size + _LOCATOR_BYTES)
    before, end = last[: -_END.size], last[-_END.size :]
    if len(end) != _END.size or not end.startswith(_END_MARK) or _END.unpack(end)[7]:
        raise _unreadable(path, "it is cut off, or no zip archive as rml writes it")
    if before.startswith(_LOCATOR_MARK):
        raise _unreadable(path, "it has a second directory, and rml writes one")
    *_, count, directory_bytes, offset, _ = _END.unpack(end)
    if offset + directory_bytes + _END.size != size:
        raise _unreadable(path, "it has something before or after what it says it has")
    if count > MEMBERS_MAX or directory_bytes > _DIRECTORY_BYTES_MAX:
        limit = f"the limit is {MEMBERS_MAX} (MEMBERS_MAX)"
        raise _unreadable(path, f"it has {count} members, {limit}")
    file.seek(0)


def _read(
    path: Path, archive: zipfile.ZipFile, bytes_max: Callable[[str], int | None]
) -> dict[str, bytes]:
    members = archive.infolist()
    for member in members:
        limit = bytes_max(member.filename)
        if limit is None or member.filename != member.orig_filename:
            raise _unreadable(path, f"{member.orig_filename!a:.80} does not belong in a bundle")
        if member.compress_type not in _METHODS or member.flag_bits & _ENCRYPTED:
            raise _unreadable(path, f"{member.filename} is not packed as rml packs it")
        if member.file_size > limit:
            size = f"{member.filename} would have {member.file_size} bytes"
            raise _unreadable(path, f"{size}, the limit is {limit}")
    if len({member.filename for member in members}) != len(members):
        raise _unreadable(path, "it has two files of one name")
    if sum(member.file_size for member in members) > ARCHIVE_BYTES_MAX:
        raise _unreadable(path, f"its files have more than {ARCHIVE_BYTES_MAX} bytes in all")
    files = {}
    for member in members:
        with archive.open(member) as packed:
            files[member.filename] = packed.read(member.file_size + 1)  # no more, whatever it holds
    return files


def _unreadable(path: Path, why: str) -> InvalidInputError:
    return InvalidInputError(f"the bundle {path} cannot be read: {why}")

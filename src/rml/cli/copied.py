"""A private copy of a ledger's files, for who must leave the files themselves as they are.

Whoever opens a ledger after a crash folds its write-ahead log into its file. Where the bytes are
evidence, that is too much: here they are only read, and SQLite opens the copy.
"""

from __future__ import annotations

import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from rml.error import RmlError
from rml.ledger.anchors.anchor import file_of
from rml.ledger.store import to_url

# What SQLite reads a ledger from; the index of the log, `-shm`, it makes anew.
_PARTS: Final = ("", "-wal", "-journal")


@contextmanager
def private_copy(place: str) -> Iterator[Path]:
    """Lend a copy of the ledger at a path or URL, which is gone when the block ends.

    What the block says about the copy, in an error of rml's, it says about the ledger.

    Raises:
        click.ClickException: the ledger is in no file, cannot be copied, or was written to
            meanwhile, so that the parts of the copy may not belong together.
    """
    source = file_of(to_url(place))
    if source is None:
        raise click.UsageError("--read-only is for a ledger in a file; reading changes no other")
    with tempfile.TemporaryDirectory(prefix="rml-") as folder:
        copy = Path(folder).resolve() / source.name
        try:
            _copy(source, copy)
        except OSError as error:
            raise click.ClickException(f"{source} cannot be copied: {error.strerror}") from error
        try:
            yield copy
        except RmlError as error:
            message = error.message.replace(str(copy), str(source))
            raise type(error)(message, *error.args[1:]) from error


def _copy(source: Path, copy: Path) -> None:
    before = _seen(source)
    if before[0] is None:
        raise click.ClickException(f"there is no ledger at {source}")
    if not stat.S_ISREG(source.stat().st_mode):  # a device would be read for ever
        raise click.ClickException(f"{source} cannot be copied: it is no file")
    for part, seen in zip(_PARTS, before, strict=True):
        if seen is not None:
            shutil.copyfile(_beside(source, part), _beside(copy, part))
    if before != _seen(source):
        raise click.ClickException(
            f"{source} was written to while it was copied; stop what uses it, or verify it without "
            "--read-only"
        )


def _seen(source: Path) -> list[tuple[int, int, int] | None]:
    """Return what tells each part of a ledger from what it may be later; ``None`` for no file."""
    found: list[tuple[int, int, int] | None] = []
    for part in _PARTS:
        try:
            told = _beside(source, part).stat()
        except FileNotFoundError:
            found.append(None)
        else:
            found.append((told.st_ino, told.st_size, told.st_mtime_ns))
    return found


def _beside(path: Path, part: str) -> Path:
    return Path(f"{path}{part}")

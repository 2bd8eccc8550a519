"""Keys, anchors and checkpoints, as a command line names them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from rml.cli.ending import NO
from rml.cli.key import KEY_BYTES_MAX
from rml.error import InvalidInputError
from rml.files import read_file
from rml.ledger.anchors.anchor import Anchor
from rml.ledger.anchors.file_anchor import FileAnchor
from rml.ledger.anchors.witness import WitnessAnchor
from rml.ledger.proofs.note import NOTE_BYTES_MAX
from rml.legible import legible

F = TypeVar("F", bound=Callable[..., Any])

# What a verifier key begins with, and a signer key, which is refused where it is public.
_KEY: Final = re.compile(r"[^+\s]+\+[0-9a-f]{8}\+|PRIVATE\+KEY\+")

a_file: Final = click.Path(path_type=Path)
a_file_there: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


def anchor_options(*, there: bool) -> Callable[[F], F]:
    """Add ``--anchor`` and ``--witness``.

    Args:
        there: whether an anchor's file has to be there already.
    """
    file = click.option(
        "--anchor",
        "files",
        metavar="FILE",
        multiple=True,
        type=a_file_there if there else a_file,
        help="A file that keeps the last checkpoint, best where the ledger's writers cannot reach.",
    )
    witness = click.option(
        "--witness",
        "witnesses",
        metavar="URL=VKEY",
        multiple=True,
        help="A witness: its submission prefix, and its verifier key or the file that holds it.",
    )
    return lambda command: file(witness(command))


def anchors_of(files: Sequence[Path], witnesses: Sequence[str]) -> list[Anchor]:
    """Return the anchors that a command line names.

    Raises:
        InvalidInputError: one of them cannot be used.
    """
    return [*map(FileAnchor, files), *map(_witness, witnesses)]


def _witness(text: str) -> WitnessAnchor:
    url, equals, key = text.partition("=")
    if not equals or not key.strip():
        raise InvalidInputError(
            f"--witness {legible(text)!r} is not URL=VKEY; give the witness's verifier key as well"
        )
    return WitnessAnchor(url, verifier_key(key))


def verifier_key(text: str) -> str:
    """Return the text of a verifier key, which may stand in a file.

    Raises:
        InvalidInputError: it is no key, and no file that can be read.
    """
    return text if _KEY.match(text.strip()) else _text(Path(text), KEY_BYTES_MAX, "key")


def checkpoint_in(path: Path) -> str:
    """Return the checkpoint that a file holds, unread.

    Raises:
        InvalidInputError: the file cannot be read.
    """
    return _text(path, NOTE_BYTES_MAX, "checkpoint")


def bytes_in(path: Path, bytes_max: int, what: str) -> bytes:
    """Return all of a file.

    Raises:
        InvalidInputError: the file cannot be read, or is too large to be what it should be.
    """
    try:
        data = read_file(path, bytes_max)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InvalidInputError(f"the {what} in {path} cannot be read: {reason}") from error
    if data is None:
        raise InvalidInputError(
            f"{path} holds no {what}: it is no file, or has more than {bytes_max} bytes"
        )
    return data


def _text(path: Path, bytes_max: int, what: str) -> str:
    try:
        return bytes_in(path, bytes_max, what).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{path} holds no {what}: it is no text") from error


def refuse(message: str) -> int:
    """Say why the answer is no, and return its status."""
    click.echo(f"rml: {legible(message)}", err=True)
    return NO

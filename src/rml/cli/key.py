"""The ledger's own key, which a command reads from a file and never shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from rml.error import InvalidInputError
from rml.files import read_file
from rml.redact import Secret

F = TypeVar("F", bound=Callable[..., Any])

# A signer key is one line; whatever is longer is another file.
KEY_BYTES_MAX: Final = 1_000


def key_option(*, required: bool = False) -> Callable[[F], F]:
    """Add ``--key``."""
    return click.option(
        "--key",
        metavar="FILE",
        type=click.Path(path_type=Path),
        required=required,
        help="A file with the ledger's signer key, as `rml keygen` writes it: a secret.",
    )


def read_signer(path: Path) -> Secret[str]:
    """Return the key that a file holds.

    Raises:
        InvalidInputError: the file cannot be read, or is no key's; the message shows none of it.
    """
    try:
        data = read_file(path, KEY_BYTES_MAX)
        text = None if data is None else data.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise InvalidInputError(f"the key in {path} cannot be read: {reason}") from None
    if text is None:
        raise InvalidInputError(f"{path} holds no signer key: it is no file, or too long for one")
    return Secret(text)

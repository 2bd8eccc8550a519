"""An anchor that is a file: the ledger's last checkpoint on another disk, share or machine."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rml.error import InvalidInputError
from rml.files import EVERYBODY, FileNotWrittenError, as_path, read_file, writing
from rml.ledger.anchors.anchor import ProveFrom, renewed, resolved
from rml.ledger.anchors.kept import read_kept
from rml.ledger.errors import AnchorError
from rml.ledger.proofs.checkpoint import read_checkpoint
from rml.ledger.proofs.cosignature import Trust
from rml.stores.turns import FileTurns

# Some hundred signatures.
ANCHOR_BYTES_MAX: Final = 30_000
# How long to wait while another process anchors the same ledger, in seconds.
TURN_SECONDS: Final = 10.0


class FileAnchor:
    """Keeps a ledger's last checkpoint in a file of its own.

    The file appears with the first checkpoint and is replaced as a whole; processes that keep
    checkpoints at once take turns by a file beside it, ``<name>.lock``, and never move it
    backwards. It protects as much as it is out of reach: put it where whoever can change or restore
    the ledger's folder cannot, such as another machine's share or a folder that is backed up
    elsewhere.

    Args:
        path: the file; its folder must exist.

    Raises:
        InvalidInputError: this can be no path.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Path = as_path("path", path).absolute()

    def last(self, origin: str) -> str | None:
        """Return what the file holds, or ``None`` if there is no file yet.

        Raises:
            AnchorError: the file cannot be read, or its folder is not there.
            InvalidInputError: it holds no checkpoint, or another ledger's.
        """
        data = self._read()
        if data is None:
            return None
        read_kept(data, str(self), origin=origin, trust=Trust())
        return data.decode()

    def keep(self, checkpoint: str, prove_from: ProveFrom) -> None:
        """Replace what the file holds, unless that is newer; of one size, signatures are gathered.

        Raises:
            AnchorError: the file cannot be read or written, or others kept it busy.
            ProofError: what it holds is not continued.
            InvalidInputError: it holds no checkpoint, or another ledger's.
        """
        origin = read_checkpoint(checkpoint)[0].origin
        with self._turn():
            text = renewed(self.last(origin), checkpoint, prove_from)
            if text is not None:
                self._write(text)

    def __str__(self) -> str:
        return f"the file {self.path}"

    def __repr__(self) -> str:
        return f"FileAnchor({str(self.path)!r})"

    @contextmanager
    def _turn(self) -> Iterator[None]:
        turns = FileTurns(resolved(self.path))
        try:
            if not turns.take(time.monotonic() + TURN_SECONDS):
                raise AnchorError(f"{self} is kept busy by other processes")
            yield
        finally:
            turns.close()

    def _read(self) -> bytes | None:
        try:
            data = read_file(self.path, ANCHOR_BYTES_MAX)
        except FileNotFoundError as error:
            if self.path.parent.is_dir():
                return None
            message = f"{self} cannot be read: the folder {self.path.parent} does not exist"
            raise AnchorError(message) from error
        except OSError as error:
            raise AnchorError(f"{self} cannot be read: {error.strerror}") from error
        if data is None:
            raise InvalidInputError(f"{self} holds no checkpoint: it is something else")
        return data

    def _write(self, checkpoint: str) -> None:
        try:
            with writing(resolved(self.path), overwrite=True, mode=EVERYBODY) as file:
                file.write(checkpoint.encode())
        except FileNotWrittenError as error:
            raise AnchorError(f"{self} was not written: {error.message}") from error

"""What may leave a ledger: its tree as tiles, single personal fields, a whole copy."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from rml.files import as_path
from rml.ledger.argument import check_progress, flag, listed
from rml.ledger.checks.verification import Verification
from rml.ledger.entry import check_text
from rml.ledger.exports.backup import back_up
from rml.ledger.exports.disclosure import Disclosure, disclose
from rml.ledger.exports.tiles_export import TilesExport, export_tiles
from rml.ledger.proofs.proving import LedgerProofs


class LedgerExports(LedgerProofs):
    """The exports of a :class:`rml.Ledger`; none of them writes into it."""

    def export_tiles(
        self,
        folder: str | os.PathLike[str],
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> TilesExport:
        """Write the ledger into a folder as C2SP tlog-tiles, or add what is new there.

        What leaves are the bytes of entries, not what is kept beside them. The folder's checkpoint
        is signed if the ledger has a key; other readers of transparency logs ask for that.

        Args:
            folder: an empty or missing folder, or one that this ledger was exported into before.
            progress: called with (entries written, entries to write) now and then.

        Raises:
            InvalidInputError: the folder holds something else, or another ledger's tiles.
            LedgerCorruptError: the folder holds entries that the ledger does not have, or the
                ledger contradicts itself; the folder's checkpoint stays as it was.
            FileNotWrittenError: a file cannot be written; it may be begun again.
        """
        path = as_path("folder", folder)
        check_progress(progress)
        return export_tiles(self._store, self.checkpoint, path, progress)

    def disclose(self, entry_id: str, fields: Sequence[str]) -> list[Disclosure]:
        """Return what shows an outsider the values of an entry's personal fields.

        Raises:
            UnknownIdError: there is no such entry.
            InvalidInputError: it has no such field, or the field is erased.
        """
        names = [check_text("a name in fields", name) for name in listed(fields, "to disclose")]
        return disclose(self._store, self._recorded(entry_id), names)

    def backup(
        self,
        path: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> Verification:
        """Copy the ledger into another file while writers go on, and verify the copy.

        Nothing stands under the new name until the copy is complete, verified and on the disk.

        Args:
            path: the copy's name.
            overwrite: whether an earlier backup of this ledger is replaced; nothing else is.
            progress: called with ``"copying"`` or ``"verifying"``, and how much is done of how
                much.

        Returns:
            What the verification of the copy found.

        Raises:
            InvalidInputError: the ledger is in memory.
            FileNotWrittenError: the copy cannot be written, or its name is taken.
            LedgerCorruptError: the copy is not what the ledger says it is; it was not kept.
            LedgerBusyError: somebody held the ledger for too long.
        """
        target = as_path("path", path)
        check_progress(progress)
        told = flag("overwrite", overwrite)
        return back_up(self._store, target, overwrite=told, progress=progress)

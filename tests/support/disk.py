"""What a power cut may leave of the files in a folder, given what a program asked of the system.

A write counts from the sync of its file on; until then each of its 512-byte sectors may have
reached the disk or not, in any order. A name counts from the sync of its folder on; until then each
change of names may have happened or not, a renaming as a whole. Shared memory is lost.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import attrs
from syscalls import Call

SECTOR_BYTES = 512


@attrs.define
class Change:
    """One write that is not durable yet; without data, the file's new length."""

    offset: int
    data: bytes | None

    def sectors(self) -> Iterator["Change"]:
        """Yield what of it the disk writes whole."""
        if self.data is None:
            yield self
            return
        at = 0
        while at < len(self.data):
            end = at + SECTOR_BYTES - (self.offset + at) % SECTOR_BYTES
            yield Change(self.offset + at, self.data[at:end])
            at = end

    def apply(self, content: bytearray) -> None:
        """Carry it out."""
        end = self.offset if self.data is None else self.offset + len(self.data)
        if len(content) < end:
            content.extend(bytes(end - len(content)))
        if self.data is None:
            del content[end:]
        else:
            content[self.offset : end] = self.data


@attrs.define
class File:
    """One file's contents, whatever it is called: on the disk, and as programs see it."""

    durable: bytes = b""
    seen: bytearray = attrs.field(factory=bytearray)
    pending: list[Change] = attrs.field(factory=list)

    def change(self, change: Change) -> None:
        """Write, or set the length."""
        self.pending.append(change)
        change.apply(self.seen)

    def sync(self) -> None:
        """Make it durable as it is seen."""
        self.durable = bytes(self.seen)
        self.pending.clear()

    def after_a_cut(self, chance: random.Random, share: float) -> bytes:
        """Return what a power cut may leave of it, when so much of what is pending was written."""
        content = bytearray(self.durable)
        for change in self.pending:
            if chance.random() < 0.5:  # whole or not at all
                kept = [change] if chance.random() < share else []
            else:
                kept = [one for one in change.sectors() if chance.random() < share]
            for one in kept:
                one.apply(content)
        return bytes(content)


@attrs.define
class Disk:
    """A folder and those below it, from the first call on; they were empty."""

    folder: Path
    _seen: dict[str, File] = attrs.field(factory=dict)
    _durable: dict[str, File] = attrs.field(factory=dict)
    _pending: list[dict[str, File | None]] = attrs.field(factory=list)

    def take(self, call: Call) -> bool:
        """Carry out a call; return whether it concerned this disk and succeeded."""
        prefix = f"{self.folder}/"
        ours = [path for path in call.paths if f"{path}/".startswith(prefix)]
        if not ours or call.result < 0 or ours[0].endswith("-shm"):
            return False
        self._carry_out(call, ours)
        return True

    def _carry_out(self, call: Call, paths: list[str]) -> None:
        path = paths[0]
        file = self._seen.get(path)
        if call.name == "openat":
            if file is None and "O_CREAT" in call.flags:
                self._rename({path: File()})
            elif file is not None and "O_TRUNC" in call.flags:
                file.change(Change(0, None))
        elif call.name.startswith("rename"):
            self._rename({path: None, paths[1]: self._seen[path]})
        elif call.name.startswith("link"):
            self._rename({paths[1]: self._seen[path]})
        elif call.name.startswith("unlink"):
            self._rename({path: None})
        elif call.name in {"fsync", "fdatasync"}:
            if file is None:
                self._sync_folder(path)
            else:
                file.sync()
        else:
            assert file is not None, call
            self._write(call, file)

    def _write(self, call: Call, file: File) -> None:
        if call.name == "ftruncate":
            file.change(Change(call.numbers[-1], None))
        else:  # what is not placed is appended: nothing here writes otherwise
            offset = call.numbers[-1] if call.name == "pwrite64" else len(file.seen)
            file.change(Change(offset, call.data[: call.result]))

    def _rename(self, names: dict[str, File | None]) -> None:
        self._pending.append(names)
        _apply(names, self._seen)

    def _sync_folder(self, folder: str) -> None:
        """Make the changes of names in a folder durable; ours never span two folders."""
        inside = [names for names in self._pending if _folder_of(names) == folder]
        for names in inside:
            self._pending.remove(names)
            _apply(names, self._durable)

    def after_a_cut(self, chance: random.Random) -> dict[str, bytes]:
        """Return what a power cut now may leave, by path below the folder."""
        share = chance.choice([0.0, 0.5, 0.9, 1.0])
        names = dict(self._durable)
        for change in self._pending:
            if chance.random() < share:
                _apply(change, names)
        start = len(str(self.folder)) + 1
        return {path[start:]: file.after_a_cut(chance, share) for path, file in names.items()}


def _apply(names: dict[str, File | None], to: dict[str, File]) -> None:
    for name, file in names.items():
        if file is None:
            to.pop(name, None)
        else:
            to[name] = file


def _folder_of(names: dict[str, File | None]) -> str:
    return next(iter(names)).rpartition("/")[0]

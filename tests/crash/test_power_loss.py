"""The power is cut at any moment of a run, and nothing that was acknowledged is lost.

A real writer is recorded with strace. At every call that changed something, what a power cut may
have left is laid out in a folder of its own and opened again. The sample is small; set
``RML_POWER_SAMPLES`` to the number of states to try at each call (such as 50) for a long run, and
``RML_POWER_SEED`` for another one.
"""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
from disk import Disk
from syscalls import needs_strace, recorded

import rml
from rml.stores import sqlite_file

pytestmark = needs_strace

# Read when this module is: the tests themselves see no setting of rml's.
SAMPLES = int(os.environ.get("RML_POWER_SAMPLES", "1"))
SEED = int(os.environ.get("RML_POWER_SEED", "42"))
ROUNDS = 6
SIGNER = rml.SignerKey.generate("acme")


@contextmanager
def setting(*pragmas: str) -> Iterator[None]:
    """Have SQLite's connections made with other settings."""
    connect = sqlite_file.connect

    def connected(*args: Any, **options: Any) -> Any:
        connection = connect(*args, **options)
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
        return connection

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite_file, "connect", connected)
        yield


# The log is folded into the file after so few pages, as it is again and again in a long run.
OFTEN = "wal_autocheckpoint = 8"


@attrs.frozen
class Machine:
    """The folders that lose their power."""

    root: Path

    @property
    def path(self) -> Path:
        """The ledger."""
        return self.root / "data" / "ledger.db"

    @property
    def anchor(self) -> rml.FileAnchor:
        """The anchor, on the same machine."""
        return rml.FileAnchor(self.root / "safe" / "kept")

    @property
    def backup(self) -> Path:
        """The backup."""
        return self.root / "copies" / "backup.db"

    def open(self, *, create: bool = True) -> rml.Ledger:
        """Open the ledger, and compare it with its anchor."""
        return rml.Ledger(self.path, signer=SIGNER, anchors=[self.anchor], create=create)

    def lay_out(self, files: dict[str, bytes]) -> None:
        """Put files in place."""
        for folder in (self.path.parent, self.anchor.path.parent, self.backup.parent):
            folder.mkdir(parents=True)
        for name, content in files.items():
            (self.root / name).write_bytes(content)


@attrs.define
class Promised:
    """What was acknowledged so far."""

    opened: bool = False
    entries: list[str] = attrs.field(factory=list)
    erased: set[str] = attrs.field(factory=set)
    kept: int = 0
    saved: int | None = None

    def hear(self, line: str) -> None:
        """Take an acknowledgement down."""
        verb, *values = line.split()
        if verb == "opened":
            self.opened = True
        elif verb == "appended":
            self.entries += values
        elif verb == "erased":
            self.erased.add(values[0])
            self.entries.append(values[1])
        elif verb == "kept":
            self.kept = int(values[0])
        else:
            self.saved = int(values[0])


def run(machine: Machine, told: Path) -> None:
    """Write in every way there is; tell each promise in a file once it is made."""
    chance = random.Random(SEED)
    acknowledge = os.open(told, os.O_WRONLY | os.O_CREAT)

    def tell(*words: object) -> None:
        os.write(acknowledge, " ".join(map(str, words)).encode())

    def append(ledger: rml.Ledger, several: int) -> list[str]:
        note = {"note": "x" * chance.randrange(5_000)}
        ids = ledger.write(
            lambda draft: [
                draft.append("a.b", world="RML1", facts={"of": several}, personal=note).id
                for _ in range(several)
            ]
        )
        tell("appended", *ids)
        return ids

    for part in range(2):
        with machine.open() as ledger:
            tell("opened")
            for place in range(ROUNDS):
                ids = append(ledger, chance.choice([1, 1, 3]))
                if place % 3 == 1:
                    erased = ledger.erase(ids[0], ["note"], by="dpo", reason="law")
                    tell("erased", ids[0], erased.id)
                if place % 3 == 2:
                    ledger.checkpoint()
                    tell("kept", ledger.size)
            if part:
                append(ledger, 1)
                ledger.backup(machine.backup)
                tell("saved", ledger.size)


def check(machine: Machine, promised: Promised) -> None:
    """Start the machine again: everything promised is there, and it goes on."""
    before = machine.anchor.last("acme")
    with machine.open(create=not promised.opened) as ledger:
        entries = {entry.id: entry for entry in ledger.entries()}
        assert [] == [made for made in promised.entries if made not in entries]
        assert {} == {
            made: entries[made].personal for made in promised.erased if entries[made].personal
        }
        assert 0 == sum(entry.facts.get("of") == 3 for entry in entries.values()) % 3
        assert promised.kept <= (0 if before is None else int(before.splitlines()[1]))
        ledger.append("a.b", world="RML1")
        found = ledger.verify()
        assert ((), len(entries) + 1) == (found.problems, found.size)
    if promised.saved is not None or machine.backup.exists():
        with rml.Ledger(machine.backup, create=False) as copy:
            assert (True, True) == (copy.verify().ok, (promised.saved or 0) <= copy.size)


def cut_everywhere(root: Path, *pragmas: str) -> Iterator[tuple[Machine, Promised, str]]:
    """Yield the machine after each power cut, what had been promised by then, and when it was."""
    machine, told = Machine(root / "before"), root / "told"
    machine.lay_out({})
    with setting(*pragmas):
        _, calls = recorded(lambda: run(machine, told), root / "log")
    disk, promised = Disk(machine.root), Promised()
    for place, call in enumerate(calls):
        if call.paths == (str(told),) and call.name == "write":
            promised.hear(call.data.decode())
        elif disk.take(call):
            for sample in range(SAMPLES):
                when = f"{SEED}/{place}/{sample}"
                again = Machine(root / "after" / when)
                again.lay_out(disk.after_a_cut(random.Random(when)))
                yield again, promised, when


def test_nothing_acknowledged_is_lost_when_the_power_is_cut(tmp_path: Path) -> None:
    """Entries, erasures, the anchor's checkpoint and the backup: at every call of a whole run."""
    tried = 0
    for machine, promised, when in cut_everywhere(tmp_path, OFTEN):
        tried += 1
        try:
            with setting("synchronous = OFF"):  # what follows is not cut again
                check(machine, promised)
        except BaseException as error:
            error.add_note(f"the power was cut at {when}")
            raise

    assert tried > 200


@pytest.mark.parametrize("careless", ["entries", "names"])
def test_the_power_cuts_are_real(
    tmp_path: Path, careless: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a flush at each commit, or of the anchor's folder, the same check finds a loss."""
    pragmas = [OFTEN]
    if careless == "entries":
        pragmas.append("synchronous = NORMAL")
    else:
        monkeypatch.setattr("rml.files.sync_folder", lambda _: None)

    def is_lost(machine: Machine, promised: Promised) -> bool:
        try:
            with setting("synchronous = OFF"):
                check(machine, promised)
        except (AssertionError, rml.RmlError):
            return True
        return False

    cuts = cut_everywhere(tmp_path, *pragmas)
    assert any(is_lost(machine, promised) for machine, promised, _ in cuts)

"""A backup is a verified copy: whole under its name or not there, whatever goes on meanwhile."""

import hashlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import rml
from rml.clock import SeededIds
from rml.ledger.ledger import Ledger
from rml.stores import sqlite_backup

ORIGIN = "shop.example/payments"


@pytest.fixture
def shop(tmp_path: Path, clock: rml.FrozenClock) -> Iterator[Ledger]:
    """A ledger with 700 entries and personal fields."""
    place = tmp_path / "shop.db"
    with rml.Ledger(place, origin=ORIGIN, clock=clock, ids=SeededIds(1)) as ledger:
        grow(ledger, 700)
        yield ledger


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """An empty folder for backups."""
    (tmp_path / "kept").mkdir()
    return tmp_path / "kept"


def grow(ledger: Ledger, count: int) -> None:
    """Append entries in one commit."""

    def work(draft: rml.Draft) -> None:
        for number in range(count):
            draft.append("shop.note", world="RML3", facts={"n": number}, personal={"who": "Ada"})

    ledger.write(work)


def names(folder: Path) -> list[str]:
    """Everything that lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


# What is kept -----------------------------------------------------------------------------------


def test_a_backup_is_the_ledger(shop: Ledger, kept: Path) -> None:
    """Origin, entries, personal values and root; and history goes on in it."""
    found = shop.backup(kept / "copy.db")

    assert (True, 700, shop.root) == (found.ok, found.size, found.root)
    assert ["copy.db"] == names(kept)
    with rml.Ledger(kept / "copy.db", origin=ORIGIN, create=False) as copy:
        assert list(shop.entries()) == list(copy.entries())
        assert {"who": "Ada"} == dict(copy.entries()[0].personal)
        grow(copy, 1)
        assert (701, True) == (copy.size, copy.verify().ok)


def test_reading_a_backup_changes_none_of_its_bytes(shop: Ledger, kept: Path) -> None:
    """It has no log beside it, so that its digest can be kept, and it lies well on a medium."""
    path = kept / "copy.db"
    shop.backup(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()

    with rml.Ledger(path, create=False) as copy:
        assert copy.verify().ok

    assert (["copy.db"], digest) == (names(kept), hashlib.sha256(path.read_bytes()).hexdigest())
    assert 0o600 == path.stat().st_mode & 0o777


def test_writers_go_on_and_the_copy_ends(
    shop: Ledger, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit after every step neither waits nor makes the copy begin anew."""
    monkeypatch.setattr(sqlite_backup, "PAGES_PER_STEP", 5)
    told: list[tuple[str, int, int]] = []
    with rml.Ledger(tmp_path / "shop.db") as other:

        def progress(step: str, done: int, total: int) -> None:
            told.append((step, done, total))
            grow(other, 1)

        found = shop.backup(kept / "copy.db", progress=progress)

        copying = [(done, total) for step, done, total in told if step == "copying"]
        assert 20 < len(copying)
        assert copying == sorted(copying)
        assert copying[-1][0] == copying[-1][1]
        assert 700 == found.size  # the view of the first step
        assert ("verifying", 700, 700) == told[-1]
        assert 700 + len(told) == other.size == shop.size


def test_a_crowd_of_writers(shop: Ledger, kept: Path, tmp_path: Path) -> None:
    """While another process commits without a pause, each copy is a verified prefix."""
    writer = (
        "import sys, rml\n"
        "with rml.Ledger(sys.argv[1]) as ledger:\n"
        "    print(flush=True)\n"
        "    while True:\n"
        "        ledger.append('shop.note', world='RML3')\n"
    )
    command = [sys.executable, "-c", writer, str(tmp_path / "shop.db")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        sizes = [shop.backup(kept / f"{number}.db").size for number in range(5)]
        process.kill()

    assert sizes == sorted(sizes)
    assert 700 < sizes[-1]
    for number, size in enumerate(sizes):
        with rml.Ledger(kept / f"{number}.db", create=False) as copy:
            told = shop.prove_consistency(size)
            assert shop.size == told.verify(copy.checkpoint()).size
    assert shop.verify().ok


def test_the_file_is_opened_by_sqlite_alone(
    shop: Ledger, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing it after any other opening would drop the locks that SQLite holds on it."""
    opened: list[str] = []
    by_hand = os.open

    def spy(path: str | Path, *args: int, **options: int) -> int:
        opened.append(Path(path).name)
        return by_hand(path, *args, **options)

    monkeypatch.setattr(os, "open", spy)

    shop.backup(kept / "copy.db")

    assert not [name for name in opened if name.startswith("shop.db")]


def test_what_was_erased_is_not_in_a_later_backup(shop: Ledger, kept: Path) -> None:
    """Neither in a row nor in what SQLite left free."""
    receipt = shop.append("shop.note", world="RML3", personal={"who": "Grace Hopper, Arlington"})
    shop.erase(receipt.id, ["who"], by="dpo", reason="asked to")

    shop.backup(kept / "copy.db")

    assert b"Arlington" not in (kept / "copy.db").read_bytes()


def test_an_sqlite_ledger_in_memory_gets_a_file(kept: Path) -> None:
    """What a test or a notebook has made can be kept."""
    with rml.Ledger("sqlite://:memory:") as ledger:
        grow(ledger, 3)

        assert 3 == ledger.backup(kept / "copy.db").size


# What is refused --------------------------------------------------------------------------------


def refused(ledger: Ledger, path: Path, kind: type[rml.RmlError] = rml.FileNotWrittenError) -> str:
    """Why there is no backup; nothing may be left of the attempt."""
    before = names(path.parent) if path.parent.is_dir() else []
    with pytest.raises(kind) as caught:
        ledger.backup(path)
    assert before == (names(path.parent) if path.parent.is_dir() else [])
    return caught.value.message


def test_nothing_is_overwritten_unless_asked(shop: Ledger, kept: Path) -> None:
    """Last night's backup stays until this night's has been verified."""
    shop.backup(kept / "copy.db")
    grow(shop, 1)

    assert "there already" in refused(shop, kept / "copy.db")
    assert 701 == shop.backup(kept / "copy.db", overwrite=True).size
    assert ["copy.db"] == names(kept)


def test_a_ledger_is_not_its_own_backup(shop: Ledger, tmp_path: Path) -> None:
    """By whatever name."""
    (tmp_path / "link.db").symlink_to(tmp_path / "shop.db")
    for name in ("shop.db", "link.db"):
        with pytest.raises(rml.FileNotWrittenError, match="is the ledger itself"):
            shop.backup(tmp_path / name, overwrite=True)

    assert 700 == shop.size


def test_a_ledger_is_not_its_own_backup_under_another_name(
    shop: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hard link, a link to a link, a way round, a relative path: it is the same file."""
    (tmp_path / "hard.db").hardlink_to(tmp_path / "shop.db")
    (tmp_path / "link.db").symlink_to(tmp_path / "hard.db")
    (tmp_path / "room").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("hard.db", "link.db", "room/../shop.db", "./shop.db"):
        with pytest.raises(rml.FileNotWrittenError, match="is the ledger itself"):
            shop.backup(name, overwrite=True)

    assert (700, True) == (shop.size, shop.verify().ok)


def not_replaced(ledger: Ledger, path: Path) -> str:
    """Return the words in which a backup refuses to replace a file, which keeps its bytes."""
    before, around = path.read_bytes(), names(path.parent)
    with pytest.raises(rml.FileNotWrittenError) as caught:
        ledger.backup(path, overwrite=True)
    assert (before, around) == (path.read_bytes(), names(path.parent))
    return caught.value.message


def test_only_a_backup_is_overwritten(shop: Ledger, kept: Path) -> None:
    """A slip of the keyboard replaces no letter, no empty file and no application's database."""
    (kept / "letter.txt").write_text("Dear auditor", encoding="utf-8")
    (kept / "empty.db").touch()
    application = sqlite3.connect(kept / "app.db")
    application.execute("CREATE TABLE customers (name TEXT)")
    application.close()

    for name, why in (
        ("letter.txt", "no SQLite database"),
        ("empty.db", "is empty"),
        ("app.db", "no rml ledger"),
    ):
        said = not_replaced(shop, kept / name)
        assert "is no backup of this ledger" in said
        assert why in said


def test_another_ledger_is_not_overwritten(shop: Ledger, kept: Path) -> None:
    """Nor its backup: nobody could tell from the name whose history is gone."""
    with rml.Ledger(kept / "other.db", origin="shop.example/stock") as other:
        grow(other, 3)

    assert "'shop.example/stock', not 'shop.example/payments'" in not_replaced(
        shop, kept / "other.db"
    )


def test_a_copy_that_knows_more_is_not_overwritten(shop: Ledger, kept: Path) -> None:
    """A ledger that was set back must not take the place of what it has lost."""
    shop.backup(kept / "ahead.db")
    with rml.Ledger(kept / "ahead.db") as ahead:
        grow(ahead, 1)

    assert "it has 701 entries, and the ledger has 700" in not_replaced(shop, kept / "ahead.db")


def test_a_copy_with_another_history_is_not_overwritten(shop: Ledger, kept: Path) -> None:
    """It is evidence: of one of the two."""
    shop.backup(kept / "fork.db")
    with rml.Ledger(kept / "fork.db") as fork:
        grow(fork, 1)
    grow(shop, 2)

    assert "its 701 entries are not the first of the ledger's" in not_replaced(
        shop, kept / "fork.db"
    )


def test_what_came_while_the_copy_was_made(shop: Ledger, kept: Path) -> None:
    """The name is looked at again right before it is given."""
    came = kept / "copy.db"

    def progress(*_: object) -> None:
        came.write_text("somebody's", encoding="utf-8")

    with pytest.raises(rml.FileNotWrittenError, match="is no backup of this ledger"):
        shop.backup(came, overwrite=True, progress=progress)

    assert ["copy.db"] == names(kept)
    assert "somebody's" == came.read_text(encoding="utf-8")


@pytest.mark.parametrize("ending", ["-wal", "-journal", "-shm"])
def test_a_log_that_would_be_read_with_the_backup(shop: Ledger, kept: Path, ending: str) -> None:
    """SQLite takes a log that lies there for the new file's own, and plays it in."""
    (kept / f"copy.db{ending}").write_bytes(b"")

    assert "take for a part of it" in refused(shop, kept / "copy.db")


def test_places_where_no_file_can_be(shop: Ledger, kept: Path) -> None:
    """A folder, a folder that is missing, no path at all."""
    assert "it is a folder" in refused(shop, kept)
    assert "does not exist" in refused(shop, kept / "missing" / "copy.db")
    assert "File name too long" in refused(shop, kept / ("x" * 300))
    with pytest.raises(rml.InvalidInputError, match="path must be the path"):
        shop.backup("")
    with pytest.raises(rml.InvalidInputError, match="progress must be"):
        shop.backup(kept / "copy.db", progress=7)  # type: ignore[arg-type]


def test_a_ledger_without_a_file(kept: Path) -> None:
    """It says what to do instead."""
    with rml.Ledger("memory:") as ledger:
        assert "keep it in SQLite" in refused(ledger, kept / "copy.db", rml.InvalidInputError)


def test_inside_a_transaction(kept: Path) -> None:
    """In memory there is one connection, and it is in the middle of something."""
    with rml.Ledger("sqlite://:memory:") as ledger:
        with pytest.raises(rml.InvalidInputError, match="inside its own transaction"):
            ledger.write(lambda _: ledger.backup(kept / "copy.db"))

        grow(ledger, 1)
        assert [] == names(kept)


def test_a_ledger_that_was_tampered_with(shop: Ledger, kept: Path, tmp_path: Path) -> None:
    """Its copy does not verify, and a copy that does not verify is no backup."""
    connection = sqlite3.connect(tmp_path / "shop.db")
    connection.execute("DROP TRIGGER entries_no_update")
    connection.execute("UPDATE entries SET operation = 'payment.refund' WHERE idx = 5")
    connection.commit()
    connection.close()

    message = refused(shop, kept / "copy.db", rml.LedgerCorruptError)

    assert "the copy was not kept: NOT ok" in message


@pytest.mark.parametrize(
    ("other", "why"),
    [((1, 1), "it has 1 entries, and the ledger had 2"), ((2, 2), "its first 2 entries are not")],
    ids=["older", "forked"],
)
def test_a_copy_of_something_else(
    kept: Path, tmp_path: Path, clock: rml.FrozenClock, other: tuple[int, int], why: str
) -> None:
    """A disk that hands out an older or another file is found out, although that file is sound."""
    ledgers = []
    for name, (count, seed) in (("own.db", (2, 1)), ("other.db", other)):
        ledger = rml.Ledger(tmp_path / name, origin=ORIGIN, clock=clock, ids=SeededIds(seed))
        for number in range(count):
            ledger.append("shop.note", world="RML3", facts={"n": number})
        ledgers.append(ledger)
    ledgers[0]._store.copy_to = ledgers[1]._store.copy_to  # type: ignore[attr-defined]

    assert why in refused(ledgers[0], kept / "copy.db", rml.LedgerCorruptError)
    for ledger in ledgers:
        ledger.close()


# An end in the middle ---------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["copying", "verifying"])
def test_an_interrupt_leaves_nothing(shop: Ledger, kept: Path, step: str) -> None:
    """Not under the name, and nothing else either; the ledger is as usable as before."""

    def interrupt(now: str, _: int, __: int) -> None:
        if now == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shop.backup(kept / "copy.db", progress=interrupt)

    assert [] == names(kept)
    grow(shop, 1)
    assert 701 == shop.backup(kept / "copy.db").size


def run(script: str, *args: object) -> "subprocess.CompletedProcess[str]":
    """Run Python in a process of its own."""
    command = [sys.executable, "-c", script, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("step", ["copying", "verifying"])
def test_a_kill_leaves_nothing_under_the_name(
    shop: Ledger, kept: Path, tmp_path: Path, step: str
) -> None:
    """What is left says by its name that it is nothing."""
    script = (
        "import os, sys, rml\n"
        "def die(step, done, total):\n"
        "    if step == sys.argv[3]: os._exit(9)\n"
        "rml.Ledger(sys.argv[1]).backup(sys.argv[2], progress=die)\n"
    )

    ended = run(script, tmp_path / "shop.db", kept / "copy.db", step)

    assert 9 == ended.returncode, ended.stderr
    assert all(name.startswith(".rml-") for name in names(kept))
    assert 700 == shop.backup(kept / "copy.db").size


def test_a_full_disk_is_one_clear_line(shop: Ledger, kept: Path, tmp_path: Path) -> None:
    """It is about the copy, and the ledger is not blamed."""
    script = (
        "import resource, sys, rml\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "try:\n"
        "    rml.Ledger(sys.argv[1]).backup(sys.argv[2])\n"
        "except rml.FileNotWrittenError as error:\n"
        "    print(error.message)\n"
    )

    ended = run(script, tmp_path / "shop.db", kept / "copy.db")

    assert (0, "") == (ended.returncode, ended.stderr)
    assert ended.stdout.startswith("the copy cannot be written: ")
    assert [] == names(kept)


def test_a_file_system_without_links(
    shop: Ledger, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stick or a share takes a backup too, and still nothing is overwritten."""

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)

    shop.backup(kept / "copy.db")

    assert ["copy.db"] == names(kept)
    assert "there already" in refused(shop, kept / "copy.db")


def test_two_backups_at_once_do_not_take_each_others_name(shop: Ledger, kept: Path) -> None:
    """Whoever comes second is refused when the name is given, not only when it begins."""
    second: list[Callable[[], object]] = [lambda: shop.backup(kept / "copy.db")]

    def progress(*_: object) -> None:
        if second:
            second.pop()()

    with pytest.raises(rml.FileNotWrittenError, match="there already"):
        shop.backup(kept / "copy.db", progress=progress)

    assert ["copy.db"] == names(kept)

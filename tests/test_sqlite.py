"""A ledger in a file: append-only for every tool, shared by processes, honest about trouble."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from in_a_file import note, plain, three_entries

import rml
from rml import (
    AppendUnknownError,
    InvalidInputError,
    Ledger,
    LedgerCorruptError,
    LedgerUnavailableError,
    NewerFormatError,
    NotALedgerError,
)
from rml.ledger.entry import COLUMNS, leaf_hash

AS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the ledger is."""
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    """A ledger of three entries, one of which has values that can be erased."""
    with three_entries(path) as made:
        yield made


# --------------------------------------------------------------------------------- append-only


@pytest.mark.parametrize(
    "statement",
    [
        *[f"UPDATE entries SET {column} = NULL" for column in ("idx", "bytes", "leaf", *COLUMNS)],
        *[f"UPDATE OR REPLACE entries SET {column} = 'x' WHERE idx = 1" for column in COLUMNS],
        "UPDATE entries SET idx = idx + 10",
        "UPDATE entries SET personal = NULL WHERE idx = 1",
        "UPDATE entries SET personal = x'7b7d' WHERE idx = 0",
        "DELETE FROM entries",
        "DELETE FROM entries WHERE idx = 2",
        "REPLACE INTO entries SELECT * FROM entries WHERE idx = 1",
        "INSERT OR REPLACE INTO entries SELECT * FROM entries",
        "INSERT INTO entries SELECT * FROM entries WHERE 1 ON CONFLICT DO UPDATE SET actor = 'eve'",
        "UPDATE tiles SET root = zeroblob(32)",
        "UPDATE tiles SET level = 1",
        "DELETE FROM tiles",
        "REPLACE INTO tiles SELECT level, place, hashes, zeroblob(32) FROM tiles",
        "UPDATE meta SET value = 'example.com/other' WHERE name = 'origin'",
        "DELETE FROM meta WHERE name = 'origin'",
        "REPLACE INTO meta VALUES ('origin', 'example.com/other')",
        "UPDATE head SET size = 1",
        "UPDATE head SET root = zeroblob(32)",
        "DELETE FROM head",
        "REPLACE INTO head VALUES (1, 0, zeroblob(32))",
        "INSERT INTO head VALUES (2, 0, zeroblob(32))",
    ],
)
def test_the_file_refuses_to_change_history(ledger: Ledger, path: Path, statement: str) -> None:
    """Through any connection that SQLite opens, without help of this library."""
    ledger.write(lambda draft: [draft.append("a.b", world="RML1") for _ in range(256)])
    with plain(path) as connection:
        before = list(connection.iterdump())
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(statement)

        assert before == list(connection.iterdump())


def test_a_row_out_of_order_is_refused_by_the_file(ledger: Ledger, path: Path) -> None:
    """A gap cannot be made, not even by inserting."""
    names = ", ".join(("bytes", "leaf", "personal", *COLUMNS))
    copied = names.replace(" id,", " 'x',", 1)
    with plain(path) as connection:
        for index in (5, -1, "NULL", 2):
            with pytest.raises(sqlite3.IntegrityError, match="entries are append-only"):
                connection.execute(
                    f"INSERT INTO entries (idx, {names}) "
                    f"SELECT {index}, {copied} FROM entries WHERE idx = 0"
                )


def test_values_can_be_removed_once_their_erasure_is_recorded(ledger: Ledger, path: Path) -> None:
    """And the erased value is not in the file any more, nor in its log."""
    original = ledger.entries()[1]
    ledger.erase(original.id, ["email"], by="dpo", reason="law")
    ledger.close()

    assert all(b"ada@example.com" not in file.read_bytes() for file in path.parent.iterdir())


def test_derived_columns_are_the_header_s_fields(ledger: Ledger, path: Path) -> None:
    """Row by row, column by column."""
    with plain(path) as connection:
        names = ", ".join(COLUMNS)
        rows = connection.execute(f"SELECT bytes, leaf, {names} FROM entries").fetchall()

    for data, leaf, *columns in rows:
        header = json.loads(data)[1]
        assert [header.get(name) for name in COLUMNS] == columns
        assert {*header} - {"origin"} == {n for n, v in zip(COLUMNS, columns, strict=True) if v}
        assert leaf_hash(data) == leaf


def test_the_history_can_be_read_with_any_tool(ledger: Ledger, path: Path) -> None:
    """A view for people, with the facts as JSON."""
    with plain(path) as connection:
        rows = connection.execute("SELECT idx, facts ->> 'number', actor FROM history").fetchall()

    assert [(0, 0, "ada"), (1, 1, "ada"), (2, 2, "ada")] == rows


def test_commits_are_flushed_before_they_count(ledger: Ledger, path: Path) -> None:
    """The log is written ahead, and synced in full."""
    writer = ledger._store._writer.connection  # type: ignore[attr-defined]

    assert ("wal", 2) == tuple(
        writer.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
    )


# -------------------------------------------------------------------------------- opening a file


def test_a_ledger_is_found_again(ledger: Ledger, path: Path) -> None:
    """The same origin, entries and root, however it is named."""
    expected = (ledger.origin, ledger.size, ledger.root)
    ledger.close()

    for place in (path, str(path), f"sqlite:///{path}"):
        with Ledger(place, create=False, origin="example.com/test") as again:
            assert expected == (again.origin, again.size, again.root)


@pytest.mark.parametrize(
    "name", ["a b.db", "ä😀.db", "a?b#c%20.db", "no-suffix", "x.db.lock", "a'b;--.db"]
)
def test_any_name_is_a_name(tmp_path: Path, name: str) -> None:
    """What a URL would read as something else, too."""
    with Ledger(tmp_path / name) as ledger:
        note(ledger)

    assert (tmp_path / name).is_file()
    with Ledger(tmp_path / name, create=False) as ledger:
        assert 1 == ledger.size


def test_a_relative_path_stays_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that changes its folder keeps its ledger."""
    monkeypatch.chdir(tmp_path)
    with Ledger("ledger.db") as ledger:
        note(ledger)
        (tmp_path / "sub").mkdir()
        monkeypatch.chdir(tmp_path / "sub")

        assert (1, [0]) == (note(ledger).index, [row.index for row in ledger.entries(limit=1)])

    assert [] == list((tmp_path / "sub").iterdir())


def test_a_missing_ledger_is_not_made_when_none_is_wanted(path: Path) -> None:
    """`rml verify` of a misspelt path makes no empty ledger and calls it fine."""
    with pytest.raises(LedgerUnavailableError, match=f"there is no ledger at {path}"):
        Ledger(path, create=False)

    assert [] == list(path.parent.iterdir())


def test_an_emptied_file_is_no_ledger(path: Path) -> None:
    """Whoever truncated it does not get a clean verdict."""
    path.touch()

    with pytest.raises(NotALedgerError, match="is empty, so no rml ledger"):
        Ledger(path, create=False)
    assert b"" == path.read_bytes()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """With the way out."""
    with pytest.raises(LedgerUnavailableError, match="missing does not exist; create it before"):
        Ledger(tmp_path / "missing" / "ledger.db")

    assert [] == list(tmp_path.iterdir())


def foreign_database(path: Path) -> None:
    """Somebody else's SQLite database."""
    with plain(path) as connection:
        connection.execute("CREATE TABLE users (name TEXT)")


def marked_database(path: Path) -> None:
    """One that another program has marked as its own."""
    with plain(path) as connection:
        connection.execute("PRAGMA application_id = 12345")
        connection.execute("CREATE TABLE meta (name TEXT, value TEXT)")


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize(
    ("reason", "make"),
    [
        ("is a folder; a ledger is one file", Path.mkdir),
        ("is no SQLite database", lambda path: path.write_text("dear diary, " * 400)),
        ("is no SQLite database", lambda path: path.write_bytes(b"\0" * 8192)),
        ("is an SQLite database but no rml ledger", foreign_database),
        ("is an SQLite database but no rml ledger", marked_database),
    ],
    ids=["folder", "text", "zeros", "database", "marked"],
)
def test_what_is_no_ledger_is_refused_and_left_alone(
    path: Path, reason: str, make: Callable[[Path], object], create: bool
) -> None:
    """Not a byte of it changes, and nothing is left beside it."""
    make(path)
    before = path.read_bytes() if path.is_file() else b""

    with pytest.raises(NotALedgerError, match=reason):
        Ledger(path, create=create)

    assert before == (path.read_bytes() if path.is_file() else b"")
    assert [path] == list(path.parent.iterdir())


@pytest.mark.parametrize(
    "change",
    [
        "PRAGMA user_version = 2",
        "DROP TRIGGER meta_no_update; UPDATE meta SET value = 'rml/2' WHERE name = 'format'",
        "DROP TRIGGER meta_no_delete; DELETE FROM meta WHERE name = 'format'",
    ],
)
def test_a_newer_format_asks_for_an_upgrade(ledger: Ledger, path: Path, change: str) -> None:
    """It is not read as if it were an old one."""
    ledger.close()
    with plain(path) as connection:
        connection.executescript(change)

    with pytest.raises(NewerFormatError, match="upgrade rml"):
        Ledger(path)


def test_another_ledger_than_expected_is_refused(ledger: Ledger, path: Path) -> None:
    """Both names are in the message."""
    with pytest.raises(InvalidInputError, match=r"'example\.com/test', not 'example\.com/other'"):
        Ledger(path, origin="example.com/other")


@pytest.mark.parametrize("table", ["meta", "head", "entries", "leases"])
def test_a_ledger_without_its_tables_is_corrupt(ledger: Ledger, path: Path, table: str) -> None:
    """Nothing is put back, and no error of SQLite's gets out."""
    ledger.close()
    with plain(path) as connection:
        connection.execute("DROP VIEW history")
        connection.execute(f"DROP TABLE {table}")

    with pytest.raises(LedgerCorruptError), Ledger(path) as again:  # noqa: PT012 - either may fail
        again.write(lambda draft: (draft.append("a.b", world="RML1"), draft.lease("ef_1")))
        list(again.entries())


def test_nothing_is_appended_to_a_tree_that_does_not_add_up(ledger: Ledger, path: Path) -> None:
    """A file that was tampered with is kept as evidence."""
    ledger.close()
    with plain(path) as connection:
        connection.execute("DROP TRIGGER entries_no_update")
        connection.execute("UPDATE entries SET leaf = zeroblob(32) WHERE idx = 1")

    with Ledger(path) as again:
        with pytest.raises(LedgerCorruptError, match="run `rml verify` and keep the file as evid"):
            note(again)
        assert ("bytes", 1, 3) == (
            again.verify().problems[0].code,
            again.verify().problems[0].index,
            again.size,
        )


@pytest.mark.parametrize("call", [note, Ledger.checkpoint, lambda ledger: list(ledger.entries())])
def test_a_ledger_that_lost_its_head_is_corrupt(
    ledger: Ledger, path: Path, call: Callable[[Ledger], object]
) -> None:
    """At every call."""
    with plain(path) as connection:
        connection.execute("DROP TRIGGER head_no_delete")
        connection.execute("DELETE FROM head")

    with pytest.raises(LedgerCorruptError):
        call(ledger)


# --------------------------------------------------------------------------------- when it breaks


@pytest.mark.skipif(AS_ROOT, reason="root may write anywhere")
@pytest.mark.parametrize("target", ["folder", "file"])
def test_a_read_only_place_says_so(ledger: Ledger, path: Path, target: str) -> None:
    """Nothing is recorded, and the message says why."""
    ledger.close()
    made_read_only = path.parent if target == "folder" else path
    mode = made_read_only.stat().st_mode
    made_read_only.chmod(0o555 if target == "folder" else 0o444)
    try:
        with pytest.raises(LedgerUnavailableError), Ledger(path) as again:
            note(again)
    finally:
        made_read_only.chmod(mode)


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_was_taken_away_is_missed(
    ledger: Ledger, path: Path, replaced: bool, written: bool
) -> None:
    """An entry in a file that has no name any more is not durable; no new file is made, either."""
    ledger.close()
    ledger = Ledger(path)
    if written:
        note(ledger)
    copy = path.with_name("copy.db")
    with plain(path) as connection, plain(copy) as target:
        connection.backup(target)
    path.unlink()
    if replaced:
        copy.rename(path)

    with ledger, pytest.raises(LedgerUnavailableError, match="was removed or replaced"):
        note(ledger)

    assert replaced is path.exists()


@pytest.mark.parametrize("replaced", [False, True])
def test_what_is_told_of_a_file_that_was_taken_away_is_no_news(
    path: Path, replaced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What others record goes elsewhere, a pulled lever too; it can still be backed up."""
    monkeypatch.setattr("rml.stores.sqlite_writer.NAME_SECONDS", -1)  # look every time
    with rml.Ledger(path) as ledger:
        note(ledger)
        guard = rml.guard("payment.charge", ledger=ledger, look=0, blind=0)
        guard.check()
        with rml.Ledger(path.with_name("other.db")) as other:
            rml.Levers(other).pull("payment.charge", by="Ada", reason="wrong", force=True)
        path.unlink()
        if replaced:
            path.with_name("other.db").rename(path)

        for ask in (ledger.entries, ledger.in_doubt):
            with pytest.raises(LedgerUnavailableError, match="was removed or replaced"):
                list(ask())
        with pytest.raises(rml.LeverUnreadableError):
            guard.check()
        if not replaced:
            assert ledger.backup(path.with_name("rescued.db")).ok


def test_a_full_disk_says_so_and_recovers(ledger: Ledger) -> None:
    """Nothing is half-written, the ledger stays readable, and goes on when there is room."""
    store: Any = ledger._store
    pages = store._writer.connection.execute("PRAGMA page_count").fetchone()[0]
    store._writer.connection.execute(f"PRAGMA max_page_count = {pages}")
    before = (ledger.size, ledger.root)

    with pytest.raises(LedgerUnavailableError, match="no space left on its disk; nothing was rec"):
        note(ledger, facts={"text": "x" * 60_000})

    assert before == (ledger.size, ledger.root)
    store._writer.connection.execute("PRAGMA max_page_count = 1000000")
    assert (3, True) == (note(ledger).index, ledger.verify().ok)


def test_an_error_that_is_kept_does_not_keep_the_file_open(ledger: Ledger, path: Path) -> None:
    """Closing folds the log into the file, whatever still refers to a failed transaction."""
    writer: Any = ledger._store._writer
    pages = writer.connection.execute("PRAGMA page_count").fetchone()[0]
    writer.connection.execute(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(LedgerUnavailableError) as kept:
        note(ledger, facts={"text": "x" * 60_000})
    ledger.close()

    assert kept.value.__traceback__ is not None
    assert not path.with_name(f"{path.name}-wal").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    mount, unmount = shutil.which("mount"), shutil.which("umount")
    if not AS_ROOT or mount is None or unmount is None or sys.platform != "linux":
        pytest.skip("only root can mount a small disk, on Linux")
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run([unmount, folder], check=True)


def test_a_disk_that_fills_up_loses_nothing_that_was_acknowledged(small_disk: Path) -> None:
    """Appends fail clearly from some point on, and work again once there is room."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 300_000)
    kept = []
    with Ledger(small_disk / "ledger.db") as ledger:
        with pytest.raises(LedgerUnavailableError):  # noqa: PT012 - which append fails is the disk's
            while True:
                kept.append(note(ledger, facts={"text": "x" * 9_000}).id)

        assert kept == [entry.id for entry in ledger.entries()]
        ballast.unlink()
        kept.append(note(ledger).id)
        assert kept == [entry.id for entry in ledger.entries()]
        assert ledger.verify().ok


class FailingCommit:
    """A cursor whose next commit fails as a broken disk's does."""

    def __init__(self, cursor: sqlite3.Cursor, name: str, *, after: bool) -> None:
        self._cursor = cursor
        self._name = name
        self._after = after

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        """Execute, but for the commit."""
        if statement != "COMMIT":
            return self._cursor.execute(statement, *values)
        if self._after:
            self._cursor.execute(statement)
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorname = self._name
        raise error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


@pytest.mark.parametrize("after", [False, True])
def test_a_commit_of_unknown_outcome_says_so(ledger: Ledger, after: bool) -> None:
    """The next call looks into the file, and finds the one or the other."""
    writer: Any = ledger._store._writer  # type: ignore[attr-defined]
    writer._cursor = FailingCommit(writer._cursor, "SQLITE_IOERR_FSYNC", after=after)

    with pytest.raises(AppendUnknownError, match="whether it is durable shows when the ledger is"):
        note(ledger)

    size = 4 if after else 3
    assert (size, size, True) == (ledger.size, note(ledger).index, ledger.verify().ok)


def test_a_commit_that_found_no_room_recorded_nothing(ledger: Ledger) -> None:
    """SQLite has rolled it back, so nobody needs to doubt."""
    store: Any = ledger._store
    store._writer._cursor = FailingCommit(store._writer._cursor, "SQLITE_FULL", after=False)

    with pytest.raises(LedgerUnavailableError, match="no space left"):
        note(ledger)

    assert (3, 3, True) == (ledger.size, note(ledger).index, ledger.verify().ok)


def test_an_entry_that_is_damaged_is_named_when_it_is_read(ledger: Ledger, path: Path) -> None:
    """With its index."""
    with plain(path) as connection:
        connection.execute("DROP TRIGGER entries_no_update")
        connection.execute("UPDATE entries SET bytes = x'5b5d' WHERE idx = 1")

    with pytest.raises(LedgerCorruptError, match="the entry at index 1 cannot be read"):
        list(ledger.entries())
    assert 1 == len(list(ledger.entries(limit=1)))

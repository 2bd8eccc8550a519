"""A ledger's file where nothing can be made beside it: a read-only medium, another's folder."""

import os
import shutil
from pathlib import Path

import pytest

import rml


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger of three entries, closed, in a folder of its own."""
    path = tmp_path / "shop" / "ledger.db"
    path.parent.mkdir()
    with rml.Ledger(path) as ledger:
        for count in range(3):
            ledger.append("stock.counted", world="RML1", facts={"count": count})
    path.with_name("ledger.db.lock").unlink()
    return path


@pytest.fixture
def fixed(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Nobody may write into a folder; a real one lets root write all the same."""
    monkeypatch.setattr("os.access", lambda _, mode: mode != os.W_OK)
    return monkeypatch


@pytest.mark.usefixtures("fixed")
def test_it_is_read_and_verified(path: Path) -> None:
    """All of it; and nothing is made beside it, not even for a moment that leaves traces."""
    before = path.stat()
    with rml.Ledger(path) as ledger:
        found = ledger.verify()
        counts = [entry.facts["count"] for entry in ledger.entries()]

    assert (True, 3) == (found.ok, found.size)
    assert [0, 1, 2] == counts
    assert [path] == list(path.parent.iterdir())
    assert before.st_mtime_ns == path.stat().st_mtime_ns


@pytest.mark.usefixtures("fixed")
def test_it_is_backed_up(path: Path, tmp_path: Path) -> None:
    """To where one may write."""
    copy = tmp_path / "copy.db"
    shutil.copy(path, copy)  # from here, nobody may write where the copy goes
    with rml.Ledger(path) as ledger:
        assert ledger.backup(copy, overwrite=True).ok


@pytest.mark.usefixtures("fixed")
def test_nothing_is_appended_to_it(path: Path) -> None:
    """The message says why, and the file is as it was."""
    before = path.read_bytes()
    with (
        rml.Ledger(path) as ledger,
        pytest.raises(rml.LedgerUnavailableError, match="is read-only"),
    ):
        ledger.append("stock.counted", world="RML1")

    assert before == path.read_bytes()


def test_what_somebody_else_has_appended_is_seen(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look at a file without a log is not answered from memory; with a log, the log is read."""
    with monkeypatch.context() as patch:
        patch.setattr("os.access", lambda _, mode: mode != os.W_OK)
        reader = rml.Ledger(path)
        before = reader.size
    with rml.Ledger(path) as writer:
        writer.append("stock.counted", world="RML1")
        meanwhile = reader.size
    after = reader.size
    reader.close()

    assert (3, 4, 4) == (before, meanwhile, after)


def test_a_log_beside_it_is_not_passed_over(path: Path, tmp_path: Path) -> None:
    """The newest entries of a program that was killed are in its log alone."""
    killed = tmp_path / "killed"
    killed.mkdir()
    with rml.Ledger(path) as ledger:
        ledger.append("stock.counted", world="RML1")
        for ending in ("", "-wal", "-shm"):
            shutil.copy(f"{path}{ending}", killed / f"ledger.db{ending}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.access", lambda _, mode: mode != os.W_OK)
        with rml.Ledger(killed / "ledger.db") as ledger:
            assert 4 == ledger.verify().size


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere: run the suite as a user")
def test_a_folder_that_one_may_not_write_to(path: Path) -> None:
    """A real one."""
    path.parent.chmod(0o555)
    try:
        with rml.Ledger(path) as ledger:
            assert ledger.verify().ok
            with pytest.raises(rml.LedgerUnavailableError, match="is read-only"):
                ledger.append("stock.counted", world="RML1")
    finally:
        path.parent.chmod(0o755)

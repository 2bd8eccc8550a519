"""`rml verify --read-only`: the files of a ledger are evidence, and not a byte of them changes."""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import rml
from rml.cli import copied, main

# Nothing is closed: the entries are in the log alone.
KILLED = """
import os, rml
ledger = rml.Ledger("shop.db")
for number in range(3):
    ledger.append("stock.counted", world="RML3", facts={"n": number})
os._exit(0)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which a ledger lies as a killed program has left it; and one for copies."""
    (tmp_path / "case").mkdir()
    (tmp_path / "copies").mkdir()
    monkeypatch.chdir(tmp_path / "case")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "copies"))
    subprocess.run([sys.executable, "-c", KILLED], check=True)
    return tmp_path / "case"


def run(*args: str) -> Result:
    """Run `rml verify`."""
    return CliRunner().invoke(main, ["verify", *args], prog_name="rml")


def bytes_in(folder: Path) -> dict[str, bytes]:
    """Everything that lies in a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("place", ["shop.db", "sqlite:///shop.db", "./link.db"])
def test_nothing_changes(folder: Path, place: str) -> None:
    """Neither the file nor its log, nor what lies beside them; what is in the log counts."""
    (folder / "link.db").symlink_to("shop.db")
    before = bytes_in(folder)

    result = run(place, "--read-only", "--json")

    assert "shop.db-wal" in before
    assert (0, "") == (result.exit_code, result.stderr)
    assert (True, 3) == (json.loads(result.stdout)["ok"], json.loads(result.stdout)["size"])
    assert before == bytes_in(folder)
    assert [] == list((folder.parent / "copies").iterdir())


def test_without_it_the_log_is_folded_in(folder: Path) -> None:
    """As by whoever opens the ledger; which is why there is another way."""
    before = bytes_in(folder)

    assert 0 == run("shop.db").exit_code
    assert before != bytes_in(folder)


def test_what_was_tampered_with_is_told_and_kept(folder: Path) -> None:
    """Status 1; the page names the ledger, and not its copy."""
    with rml.Ledger("shop.db"):
        pass
    data = bytearray((folder / "shop.db").read_bytes())
    place = data.index(b"stock.counted")
    data[place : place + 5] = b"stuck"
    (folder / "shop.db").write_bytes(data)
    before = bytes_in(folder)

    result = run("shop.db", "--read-only")

    assert (1, "") == (result.exit_code, result.stderr)
    assert "NOT ok" in result.stdout
    assert re.match(r"ledger +shop\.db\n", result.stdout)
    assert str(folder.parent / "copies") not in result.stdout
    assert before == bytes_in(folder)


def test_a_ledger_that_is_written_to_meanwhile(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parts of the copy would not belong together."""
    copy = copied.shutil.copyfile

    def slow(source: Path, target: Path) -> None:
        copy(source, target)
        with (folder / "shop.db-wal").open("ab") as log:
            log.write(b"more")

    monkeypatch.setattr(copied.shutil, "copyfile", slow)

    result = run("shop.db", "--read-only")

    assert (2, "") == (result.exit_code, result.stdout)
    assert "was written to while it was copied" in result.stderr


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("nowhere.db", "there is no ledger at"),
        (".", "cannot be copied: it is no file"),
        ("/", "cannot be copied: it is no file"),
        ("pipe", "cannot be copied: it is no file"),
        ("notes.txt", "/case/notes.txt is no SQLite database"),
        ("postgresql://db.example/shop", "--read-only is for a ledger in a file"),
    ],
    ids=["nothing", "a folder", "the root", "a pipe", "a text", "a server"],
)
def test_where_no_ledger_is(folder: Path, place: str, said: str) -> None:
    """One line, status 2; it is about what was named, and not about a copy of it."""
    os.mkfifo(folder / "pipe")
    (folder / "notes.txt").write_text("no ledger " * 100, encoding="utf-8")

    result = run(place, "--read-only")

    assert (2, "", 1) == (result.exit_code, result.stdout, result.stderr.count("\n"))
    assert said in result.stderr


def test_an_anchor_beside_the_ledger_is_not_elsewhere(folder: Path) -> None:
    """It would be, seen from the copy, and the level would be too high."""
    with rml.Ledger("shop.db") as ledger:
        (folder / "shop.kept").write_text(ledger.checkpoint(), encoding="utf-8")

    result = run("shop.db", "--read-only", "--anchor", "shop.kept")

    assert (2, "") == (result.exit_code, result.stdout)
    assert "lies in the ledger's own folder" in result.stderr
    assert 0 == run("shop.db", "--read-only", "--checkpoint", "shop.kept").exit_code

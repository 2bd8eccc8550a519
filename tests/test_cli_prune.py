"""`rml prune`: how far is said once, confirmed, and told what became of it."""

import io
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import rml
from rml.cli import main

BY = ["--by", "rosa", "--reason", "ten years"]


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """A ledger with two old notes, something that is pending, and a newer note."""
    path = tmp_path / "shop.db"
    clock = rml.FrozenClock("2006-11-20T19:00:00Z")
    with rml.Ledger(path, clock=clock) as ledger:
        for _ in range(2):
            ledger.append("a.b", world="RML1", personal={"email": "ada@example.com"})
        ledger.pend("room.booking", world="RML2", personal={"email": "ada@example.com"})
        clock.advance(timedelta(days=3653))
        ledger.append("a.b", world="RML1", personal={"email": "bob@example.com"})
    yield path
    with rml.Ledger(path) as ledger:
        assert () == ledger.verify().problems


def run(path: Path, *args: str) -> Result:
    """Run the command on the ledger."""
    return CliRunner().invoke(main, ["prune", *args, *BY, "--ledger", str(path)])


def keeping(path: Path) -> list[int | None]:
    """Beside which entries something is kept."""
    with rml.Ledger(path) as ledger:
        return [entry.index for entry in ledger.entries() if entry.personal]


@pytest.mark.parametrize("edge", [["--before", "2016-11-20"], ["--below", "3"]], ids=["T", "N"])
def test_old_values_go(path: Path, edge: list[str]) -> None:
    """What has not ended is named; a second time there is nothing."""
    with rml.Ledger(path) as ledger:
        (held,) = ledger.pending()

    result = run(path, *edge, "--yes")

    assert (0, "") == (result.exit_code, result.stderr)
    first, *explained, last = result.stdout.splitlines()
    assert ("pruned 2 fields of 2 entries", f"  {held.id}") == (first, last)
    assert "all of their values were kept" in " ".join(explained)
    assert [2, 3] == keeping(path)
    again = json.loads(run(path, *edge, "--yes", "--json").stdout)
    assert {"entries": 0, "fields": 0, "kept": [held.id], "below": 3} == again


@pytest.mark.parametrize(
    ("reason", "args"),
    [
        ("say how far", ["--yes"]),
        ("say how far: --before", ["--before", "2020-01-01", "--below", "3", "--yes"]),
        ("is no time", ["--before", "soon", "--yes"]),
        ("9999-01-01 00:00:00 UTC is yet to come", ["--before", "9999-01-01", "--yes"]),
        ("is yet to come", ["--before", "9999-01-01"]),
        ("'--below'", ["--below", "-1", "--yes"]),
        ("--below 5: the ledger has 4 entries", ["--below", "5", "--yes"]),
        ("say --yes", ["--below", "3"]),
    ],
    ids=[
        "nothing",
        "both",
        "no time",
        "yet to come",
        "yet to come, nobody to ask",
        "negative",
        "beyond the end",
        "nobody to ask",
    ],
)
def test_what_is_not_clear_prunes_nothing(path: Path, reason: str, args: list[str]) -> None:
    """One line says what is missing."""
    result = run(path, *args)

    assert (2, "", 1) == (result.exit_code, result.stdout, result.stderr.count("\n"))
    assert reason in result.stderr
    assert [0, 1, 2, 3] == keeping(path)


class Keyboard(io.StringIO):
    """A person at a terminal."""

    def isatty(self) -> bool:
        """Yes."""
        return True


@pytest.mark.parametrize(("typed", "status"), [("prune\n", 0), ("y\n", 2), ("", 2)], ids=repr)
def test_in_a_terminal_it_asks(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    typed: str,
    status: int,
) -> None:
    """For a word, and says what will go."""
    monkeypatch.setattr("sys.stdin", Keyboard(typed))

    with pytest.raises(SystemExit) as ended:
        main(["prune", "--before", "2016-11-20", *BY, "--ledger", str(path)])

    assert status == ended.value.code
    said = capsys.readouterr().err
    where = "recorded before 2016-11-20 00:00:00 UTC"
    what = f"This removes all that is kept beside entries {where} in {path}."
    assert said.startswith(f"{what}\nIt cannot be undone. Type 'prune' to go on: ")
    assert ([2, 3] if status == 0 else [0, 1, 2, 3]) == keeping(path)

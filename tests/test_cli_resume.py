"""`rml resume`: sagas that have not ended go on, from a command line."""

import importlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import rml
from rml.cli import main

SHOP = """
from pathlib import Path

import rml

class Busy(rml.DialogError):
    happened = False

@rml.idempotent("hotel.book", key="order")
def book(order):
    if Path("busy").exists():
        raise Busy("no answer yet")
    return "room-" + order

@rml.saga("order.place", key="order", steps={book: None})
def place(order: str) -> str:
    return book(order)

@rml.saga("order.swap", key="order", steps={book: None})
def swap(order: str) -> str:
    return book(order)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with sagas, two of which have stopped halfway because the hotel was busy."""
    tmp_path.joinpath("shop_sagas.py").write_text(SHOP, encoding="utf-8")
    tmp_path.joinpath("busy").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr("rml.effect.saga._sagas", {})
    sys.modules.pop("shop_sagas", None)
    shop = importlib.import_module("shop_sagas")
    with rml.Ledger("shop.db") as ledger, rml.use(ledger=ledger):
        for order in ("o-1", "o-2"):
            with pytest.raises(shop.Busy):
                shop.place(order)
    return tmp_path


def run(*args: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(main, ["resume", "--ledger", "shop.db", *args], prog_name="rml")


def test_what_has_stopped_goes_on(folder: Path) -> None:
    """Each says where it stands; status 1 as long as one has not ended."""
    waiting = run("--module", "shop_sagas")
    (folder / "busy").unlink()
    ended = run("--module", "shop_sagas")
    again = run("--module", "shop_sagas", "--once")

    assert (1, "") == (waiting.exit_code, waiting.stderr)
    assert [
        "order.place 'o-1': running (BUSY: no answer yet)",
        "order.place 'o-2': running (BUSY: no answer yet)",
    ] == sorted(waiting.stdout.splitlines())
    assert ["order.place 'o-1': done", "order.place 'o-2': done"] == sorted(
        ended.stdout.splitlines()
    )
    assert (0, 0) == (ended.exit_code, again.exit_code)
    assert "there is no saga to go on with\n" == again.stdout


def test_json(folder: Path) -> None:
    """One document; sagas as `rml show` has them, and what kept each from going on."""
    result = run("--module", "shop_sagas", "--json")
    found = json.loads(result.stdout)

    assert 1 == result.exit_code
    assert [("o-1", "running", 1), ("o-2", "running", 1)] == sorted(
        (saga["key"], saga["state"], len(saga["steps"])) for saga in found
    )
    assert all("no answer yet" in saga["trouble"] for saga in found)
    (folder / "busy").unlink()
    assert [None, None] == [s["trouble"] for s in json.loads(run("--json").stdout)]


def test_without_its_module(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is guessed: the saga stays where it is, and says what is missing."""
    monkeypatch.setattr("rml.effect.saga._sagas", {})

    result = run()

    assert 1 == result.exit_code
    assert "no saga of this name is defined in this process" in " ".join(result.stdout.split())
    assert (folder / "busy").exists()


@pytest.mark.usefixtures("folder")
def test_only_one_operation() -> None:
    """Another one is left alone; one that nobody knows is a slip of the keyboard."""
    result = run("--operation", "order.swap")

    assert (0, "there is no saga to go on with\n") == (result.exit_code, result.stdout)


@pytest.mark.parametrize("operation", ["order.plaice", "hotel.book"])
@pytest.mark.usefixtures("folder")
def test_what_is_no_saga(operation: str) -> None:
    """Neither a name that nobody knows nor that of an effect, which is in the ledger."""
    result = run("--operation", operation)

    assert (2, "") == (result.exit_code, result.stdout)
    assert f"no saga '{operation}' is in this ledger" in result.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--module", "shop_nowhere"], "shop_nowhere cannot be imported"),
        (["--once", "--every", "5s"], "contradict each other"),
        (["--every", "0"], "more than 0 seconds"),
        (["--every", "soon"], "is no length of time"),
        (["--every"], "rml resume: Option '--every' requires an argument"),
    ],
    ids=["module", "both", "no time", "no length", "no value"],
)
@pytest.mark.usefixtures("folder")
def test_what_cannot_be_done(args: list[str], said: str) -> None:
    """One line, status 2."""
    result = run(*args)

    assert (2, "", 1) == (result.exit_code, result.stdout, result.stderr.count("\n"))
    assert said in result.stderr


def test_again_and_again_until_it_is_interrupted(folder: Path) -> None:
    """What stays as it was is not said again; Ctrl-C ends it with status 0."""
    command = [sys.executable, "-m", "rml", "resume", "--ledger", "shop.db"]
    command += ["--module", "shop_sagas", "--every", "0.05"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(2)]
        (folder / "busy").unlink()
        said += [process.stdout.readline() for _ in range(2)]
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)

    assert [
        *(f"order.place '{order}': running (BUSY: no answer yet)\n" for order in ("o-1", "o-2")),
        *(f"order.place '{order}': done\n" for order in ("o-1", "o-2")),
    ] == sorted(said[:2]) + sorted(said[2:])
    assert ("", 0) == (rest, process.returncode)

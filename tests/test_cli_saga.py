"""`rml show sg_…`: where a saga stands, step by step."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from trips import Declined, Trip

import rml
from rml.cli import main

START = "2026-11-20T19:00:00Z"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Three trips: one is done, one was undone as its card was declined, one is in doubt."""
    path = tmp_path / "trips.db"
    with rml.Ledger(path, clock=rml.FrozenClock(START), origin="test/trips") as ledger:
        rml.configure(ledger=ledger)
        trip = Trip()
        trip.saga("t-1")
        trip.provider.before["card.charge"].append(Declined("no"))
        with pytest.raises(Declined):
            trip.saga("t-2")
        trip.provider.after["hotel.book"].append(TimeoutError())
        with pytest.raises((TimeoutError, rml.RmlError)):
            trip.saga("t-3")
    return path


def saga_id(path: Path, key: str) -> str:
    """The id of the trip of a key."""
    with rml.Ledger(path, create=False) as ledger:
        return next(str(e.effect) for e in ledger.entries(kind="saga.started") if e.key == key)


def show(path: Path, *args: str) -> Result:
    """Run `rml show`."""
    return CliRunner().invoke(main, ["show", *args], env={"RML_LEDGER": str(path)})


def test_a_saga_that_is_done(path: Path) -> None:
    """Its steps, what would undo them, and its entries."""
    name = saga_id(path, "t-1")

    result = show(path, name.upper())

    assert 0 == result.exit_code, result.stderr
    assert f"saga         {name}\nstate        done\noperation    trip.book\n" in result.stdout
    assert re.search(
        r"^  done .* flight.book +ef_[0-9a-f]{32}\n +not undone; flight.cancel would$",
        result.stdout,
        re.MULTILINE,
    )
    assert "      nothing undoes it\n" in result.stdout
    assert re.search(r"^Entries\n.*\n +0 .* saga.started ", result.stdout, re.MULTILINE)
    assert "rml resolve" not in result.stdout


def test_a_saga_that_was_undone(path: Path) -> None:
    """By which effects."""
    shown: dict[str, Any] = json.loads(show(path, saga_id(path, "t-2"), "--json").stdout)

    assert ("saga", "compensated") == (shown["type"], shown["state"])
    assert [
        ("flight.book", "done", "flight.cancel", "done"),
        ("hotel.book", "done", "hotel.cancel", "done"),
        ("card.charge", "failed", "card.back", None),
    ] == [
        (
            step["effect"]["operation"],
            step["effect"]["state"],
            step["compensator"],
            step["undo"] and step["undo"]["state"],
        )
        for step in shown["steps"]
    ]
    assert "saga.ended" == shown["entries"][-1]["kind"]


def test_a_saga_in_doubt(path: Path) -> None:
    """Who knows better is told how to say so."""
    result = show(path, saga_id(path, "t-3"))

    assert re.search(r"^  in_doubt .* hotel.book", result.stdout, re.MULTILINE)
    assert re.search(r"rml resolve ef_[0-9a-f]{32} .*--did-not-happen", result.stdout)


def test_a_saga_that_nobody_knows(path: Path) -> None:
    """One line."""
    result = show(path, "sg_" + "0" * 32)

    assert (2, "") == (result.exit_code, result.stdout)
    assert f"rml: no saga 'sg_{'0' * 32}' is in this ledger\n" == result.stderr

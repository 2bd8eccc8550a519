"""`rml pending`: what is held open, and what is recorded as expired."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import rml
from rml.cli import main


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger with something overdue, something that never is, and something confirmed."""
    path = tmp_path / "shop.db"
    with rml.Ledger(path, clock=rml.FrozenClock("2016-11-20T19:00:00Z")) as ledger:
        facts = {"order": "o-1\x1b[2J", "amount": 1999}
        ledger.pend("payment.charge", world="RML3", facts=facts, expires_in=60, actor="shop")
        ledger.pend("room.booking", world="RML2")
        ledger.confirm(ledger.pend("room.booking", world="RML2").id, by="shop")
    return path


def run(path: Path, *args: str) -> Result:
    """Run the command on the ledger."""
    return CliRunner().invoke(main, ["pending", *args, "--ledger", str(path)])


def test_what_is_open_is_listed(path: Path) -> None:
    """With when it expires, and nothing in it moves the cursor."""
    result = run(path)

    assert (0, "", False) == (result.exit_code, result.stderr, "\x1b" in result.stdout)
    _, overdue, charge, never, booking = result.stdout.splitlines()
    assert overdue.startswith("overdue  2016-11-20 19:00:00  2016-11-20 19:01:00  ")
    assert r"    payment.charge amount=1999 order=o-1\x1b[2J" == charge
    assert never.startswith("pending  2016-11-20 19:00:00  never  ")
    assert "    room.booking" == booking


def test_as_json(path: Path) -> None:
    """For scripts, of one operation or all."""
    (one,) = json.loads(run(path, "--operation", "payment.charge", "--json").stdout)

    assert one.pop("id") in run(path).stdout
    assert {
        "operation": "payment.charge",
        "world": "RML3",
        "at": "2016-11-20T19:00:00.000000Z",
        "recorded_at": "2016-11-20T19:00:00.000000Z",
        "actor": "shop",
        "facts": {"order": "o-1\x1b[2J", "amount": 1999},
        "corrects": None,
        "expires_at": "2016-11-20T19:01:00.000000Z",
        "overdue": True,
    } == one
    assert 2 == len(json.loads(run(path, "--json").stdout))


def test_what_is_overdue_expires_when_told(path: Path) -> None:
    """And is listed once."""
    size = rml.Ledger(path).size
    first, again = run(path, "--expire", "--by", "job"), run(path, "--expire", "--by", "job")

    assert "expired  2016-11-20" in first.stdout
    assert (0, "nothing is overdue\n") == (again.exit_code, again.stdout)
    with rml.Ledger(path) as ledger:
        (expired,) = ledger.entries(kind="pending.expired")
        assert ("job", size + 1) == (expired.actor, ledger.size)
    assert "nothing is pending\n" == run(path, "--operation", "payment.charge").stdout


@pytest.mark.parametrize(
    ("reason", "args"),
    [
        ("--by goes with --expire", ["--by", "job"]),
        ("leave --operation out", ["--expire", "--operation", "a.b"]),
        ("by has 0 characters", ["--expire", "--by", ""]),
        ("operation has 0 characters", ["--operation", ""]),
    ],
    ids=["nobody expires", "of one operation", "by nobody", "of none"],
)
def test_what_contradicts_itself_does_nothing(path: Path, reason: str, args: list[str]) -> None:
    """One line says what does not fit."""
    result = run(path, *args)

    assert (2, "", 1) == (result.exit_code, result.stdout, result.stderr.count("\n"))
    assert reason in result.stderr
    assert 4 == len(rml.Ledger(path).entries())

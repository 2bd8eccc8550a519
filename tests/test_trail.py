"""One request from end to end: its effects, errors and incidents by its correlation id."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

import rml
from rml.cli import main
from rml.context import surrounded
from rml.incident.casebook import Casebook


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[rml.Ledger]:
    """Return a ledger in a file, in use."""
    with rml.Ledger(tmp_path / "a.db") as ledger, rml.use(ledger=ledger):
        yield ledger


@rml.idempotent("trail.charge", key="payment_id")
def charge(payment_id: str, *, lost: bool = False) -> str:
    """Charge, or lose the answer."""
    if lost:
        raise TimeoutError
    return payment_id


def request(correlation: str) -> None:
    """Charge twice in one request: one answer comes, the other is lost; then a bug crosses."""
    with surrounded(correlation=correlation):
        charge(f"{correlation}-1")
        with suppress(TimeoutError):
            charge(f"{correlation}-2", lost=True)
        with suppress(ValueError), rml.boundary("shop.checkout"):
            raise ValueError("a bug")


def test_one_id_returns_all_of_a_request(ledger: rml.Ledger) -> None:
    """And nothing of another; what became of an effect later is part of it."""
    request("req-1")
    request("req-2")
    trail = Casebook(ledger).trail("req-2")
    assert ["req-2-1", "req-2-2"] == [effect.key for effect in trail.effects]
    assert ["error.crossed"] == [entry.kind for entry in trail.errors]
    assert {effect.incident for effect in trail.effects} - {None} <= set(trail.incidents)
    assert {"req-2"} == {entry.correlation for entry in trail.entries}

    doubt = trail.effects[1]
    ledger.resolve(doubt.id, happened=True, by="ann", reason="the statement")
    again = Casebook(ledger).trail("req-2")
    assert "effect.resolved" == again.entries[-1].kind
    assert sorted(entry.index or 0 for entry in again.entries) == [e.index for e in again.entries]


def test_an_unknown_request_left_nothing(ledger: rml.Ledger) -> None:
    """That is an answer; what can be no id is refused."""
    trail = Casebook(ledger).trail("req-9")
    assert () == (*trail.effects, *trail.errors, *trail.incidents, *trail.entries)
    with pytest.raises(rml.InvalidInputError):
        Casebook(ledger).trail("")


def test_the_shell_shows_it(ledger: rml.Ledger, tmp_path: Path) -> None:
    """`rml show` takes a correlation id where nothing else has this name."""
    request("req-1")
    trail = Casebook(ledger).trail("req-1")

    def run(*args: str, code: int = 0) -> str:
        result = CliRunner().invoke(main, ["--ledger", str(tmp_path / "a.db"), *args])
        assert code == result.exit_code, result.output
        return result.stdout

    text = run("show", "req-1")
    wanted = [*(effect.id for effect in trail.effects), *trail.incidents, "error.crossed"]
    assert [] == [word for word in wanted if word not in text]
    found = json.loads(run("show", "req-1", "--json"))
    assert ("request", "req-1") == (found["type"], found["correlation"])
    assert [effect.id for effect in trail.effects] == [one["id"] for one in found["effects"]]
    assert list(trail.incidents) == found["incidents"]
    assert [entry.id for entry in trail.entries] == [one["id"] for one in found["entries"]]
    run("show", "req-9", code=2)

"""`rml case INC-... impact|containment|timeline`: what they say, and how they end."""

import json
from pathlib import Path

import click.testing
import pytest

import rml
from rml.cli import main

CASE = "INC-2026-0001"


@pytest.fixture
def place(tmp_path: Path) -> str:
    """The path of a ledger with a case about two charges of one order."""
    path = str(tmp_path / "ledger.db")
    with rml.Ledger(path, clock=rml.FrozenClock("2026-01-20T12:00:00Z")) as ledger:

        @rml.idempotent("payment.charge", key="key", facts=("order", "amount"), ledger=ledger)
        def charge(key: str, order: str, amount: int) -> None: ...

        for key in ("a", "b"):
            charge(key, "o-1", 1999)
        rml.escalate("twice", operation="payment.charge", ledger=ledger)
    return path


def run(place: str, *words: str, status: int = 0) -> str:
    """Run a command on the case, and return what it prints."""
    finished = click.testing.CliRunner().invoke(
        main, ["case", CASE, *words, "--ledger", place], prog_name="rml"
    )
    assert status == finished.exit_code, finished.output
    return finished.output


def test_impact_is_counted_and_recorded(place: str) -> None:
    """The counts, then the ids."""
    words = ("impact", "--operation", "payment.charge", "--key", "order", "--by", "mina")

    said = run(place, *words)
    told = json.loads(run(place, *words, "--no-amounts", "--json"))

    assert said.startswith("1 effect of payment.charge too many, by order; 1 without an amount")
    assert "users              not asked" in said
    assert told["harmed"][0] in said
    assert (1, None, {}) == (told["transactions"], told["users"], told["amounts"])
    with rml.Ledger(place) as ledger:
        assert 2 == len(ledger.entries(kind="incident.impact"))


def test_impact_of_a_name_that_is_not_there(place: str) -> None:
    """Status 2, and the names that are there."""
    words = ("impact", "--operation", "payment.charge", "--key", "ordr", "--by", "mina")

    assert "their facts are: amount, order" in run(place, *words, status=2)


def test_containment_answers_yes_or_no(place: str) -> None:
    """Status 1 until it is proven, so that a script can wait for it."""
    assert "not proven: nothing stops it" in run(place, "containment", status=1)
    with rml.Ledger(place, clock=rml.FrozenClock("2026-01-20T12:00:00Z")) as ledger:
        said = {"by": "Ada", "reason": "twice", "incident": CASE}
        rml.Levers(ledger).pull("payment.charge", **said)

    assert "proven: nothing has begun since 2026-01-20T12:00:00" in run(place, "containment")
    assert json.loads(run(place, "containment", "--json"))["proven"]


def test_timeline_of_all_sources(place: str, tmp_path: Path) -> None:
    """Sorted, with sources; what could not be read is named at the end."""
    lines = ['{"time": "2026-01-20T11:59:00Z", "msg": "order\\u001b[2K taken"}', "not json"]
    (tmp_path / "app.jsonl").write_text("\n".join(lines))
    files = ("--logs", str(tmp_path / "app.jsonl"))

    said = run(place, "timeline", *files)

    first, *_, last = said.splitlines()
    assert r"2026-01-20 11:59:00  RML1  log: order\x1b[2K taken [app.jsonl:1]" == first
    assert "not read: app.jsonl:2: it is no JSON: Expecting value" == last
    told = json.loads(run(place, "timeline", *files, "--json"))
    assert (2, 1) == (len(told["events"]), told["skipped_count"])
    assert "cannot read" in run(place, "timeline", "--otlp", "absent.json", status=2)
    assert "Middle/Earth" in run(place, "timeline", "--zone", "Middle/Earth", status=2)

"""`rml correct`, and refusals of a case in the words of the command line."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

import rml
from rml.cli import main
from rml.cli.wording import in_options

CASE = "INC-2026-0001"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a ledger with a charge and a case."""
    place = tmp_path / "payments.db"
    with rml.Ledger(place, clock=rml.FrozenClock("2026-11-21T03:00:00Z")) as ledger:
        ledger.append("payment.charged", world="RML3", facts={"amount": 1999, "currency": "EUR"})
        rml.escalate("charged twice", ledger=ledger)
    return place


def run(path: Path, *args: str, code: int = 0) -> str:
    """Run a command, which ends with a status."""
    result = CliRunner().invoke(main, ["--ledger", str(path), *args], terminal_width=80)
    assert code == result.exit_code, result.output
    return result.output


def test_a_correction_from_the_shell(path: Path) -> None:
    """By place or by id; it names its case, and says how much is left."""
    why = ("--by", "tom", "--reason", "twice")
    first = ("correct", "0", "payment.refunded", "--amount", "999", "--incident", CASE.lower())
    said = run(path, *first, "--fact", "channel=card", *why)
    assert "; 1000 of it is left" in said
    with rml.Ledger(path) as ledger:
        entry = ledger.entries(kind="payment.refunded")[0]
        facts = {"amount": 999, "channel": "card", "reason": "twice"}
        assert (facts, "tom", CASE) == (dict(entry.facts), entry.actor, entry.incident)
        assert rml.World.RML3 is entry.world
        original = entry.corrects or ""

    again = json.loads(run(path, "correct", original, "payment.refunded", *why, "--json"))
    assert (original, 1000) == (again["corrects"], again["left"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["0", "payment.refunded", "--amount", "2000"], "cannot be corrected by 2000"),
        (["0", "payment.refunded", "--currency", "USD", "--amount", "1"], "is in EUR"),
        (["0", "incident.closed"], "recorded by the library alone"),
        (["7", "payment.refunded"], "7"),
        (["ef_" + "0" * 32, "payment.refunded"], "no entry or effect"),
        (["0", "payment.refunded", "--fact", "x"], "NAME=TEXT"),
        (["0", "payment.refunded", "--world", "RML9"], "RML9"),
    ],
)
def test_what_is_no_correction(path: Path, words: list[str], told: str) -> None:
    """One line says why, and nothing is recorded."""
    said = run(path, "correct", *words, "--by", "tom", "--reason", "x", code=2)

    assert told in said
    with rml.Ledger(path) as ledger:
        assert 2 == ledger.size


PYTHON = re.compile(r"\bcase\.|\bbook\.|\bledger\.|[a-z_]+=|\w\(")


def test_a_refusal_speaks_as_the_shell_does(path: Path) -> None:
    """What to type, in the refusal, in `missing`, in the page of the terminal and in JSON."""
    act = ("case", CASE, "act", "voucher", "--by", "tom")
    said = run(path, *act, code=1)
    assert f"rml case {CASE} contain ... first" in said
    assert "give --override a reason" in said
    pages = [said, run(path, "case", CASE, "missing", code=1), run(path, "case", CASE)]
    pages += [run(path, *act, "--json", code=1)]
    pages += [run(path, "case", CASE, "close", "--by", "tom", code=1)]
    run(path, "case", CASE, "understand", "x", "--by", "tom", "--users", "9")
    pages += [run(path, "case", CASE, "understand", "x", "--by", "tom", "--users", "0", code=1)]
    pages += [
        run(path, "case", CASE, "contain", "--lever", lever, "--by", "tom", code=1)
        for lever in ("deploy_rollback", "migration_rollback")
    ]

    assert [] == [found for page in pages for found in PYTHON.findall(page)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("learn(changes=[{'lesson': ...}])", f"rml case {CASE} learn --change ... --lesson ..."),
        ("case.detect(..., at=...)", f"rml case {CASE} detect ... --at ..."),
        ("record them with unchanged= and", "record them with --unchanged and"),
        ("book.known_good('shop 1', by=...)", "rml cases known-good 'shop 1' --by ..."),
        ("a=b in what somebody said", "a=b in what somebody said"),
    ],
)
def test_calls_become_commands(text: str, told: str) -> None:
    """Parameters become options; what people said stays as it is."""
    assert told == in_options(text, CASE)

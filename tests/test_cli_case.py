"""`rml case INC-...`: every step from the shell, and how each ends."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner, Result

import rml
from rml.cli import main
from rml.cli.case import case as case_group
from rml.incident.casebook import Casebook

INCIDENT = "INC-2026-0001"


@attrs.frozen
class Desk:
    """A shell, with a ledger that has one case."""

    path: Path

    def rml(self, *args: str, code: int = 0) -> Result:
        """Run a command, which ends with a status."""
        result = CliRunner().invoke(main, ["--ledger", str(self.path), *args])
        assert code == result.exit_code, result.output
        assert "Traceback" not in result.output
        return result

    def case(self, *args: str, code: int = 0) -> str:
        """Run a command on the case."""
        return self.rml("case", INCIDENT, *args, code=code).output

    def json(self, *args: str, code: int = 0) -> Any:
        """Run a command on the case; return its JSON."""
        return json.loads(self.rml("case", INCIDENT, *args, "--json", code=code).stdout)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Return a shell on a ledger with one case."""
    path = tmp_path / "payments.db"
    clock = rml.FrozenClock("2026-01-21T03:00:00Z")
    with rml.Ledger(path, clock=clock) as ledger:
        rml.escalate("2 customers were charged twice", ledger=ledger)
    return Desk(path)


# The whole way, as somebody would type it.
WAY = (
    ("detect", "a customer wrote", "--type", "cs_ticket", "--id", "CS-1", "--by", "tom"),
    ("take", "commander", "--by", "mina"),
    ("contain", "--lever", "flag_off", "--by", "mina"),
    (
        *("understand", "a retry charged twice", "--by", "tom", "--severity", "SEV-1"),
        *("--exposure", "money_moved", "--users", "2", "--root-cause", "no key"),
        *("--asset", "money", "--started-at", "2026-01-21T02:50:00Z"),
    ),
    (
        *("decide", "refund in full", "--business", "tom", "--sre", "mina"),
        *("--absent", "legal=on a flight"),
    ),
    ("act", "voucher", "--by", "tom", "--count", "2"),
    (
        *("act", "user_email", "--by", "tom", "--template", "apology_v1"),
        *("--channel", "email", "--count", "2"),
    ),
    ("update", "fixed", "--action", "on", "--need", "none", "--to", "leadership", "--by", "mina"),
    ("tell", "called", "--to", "tech_lead", "--to", "product_owner", "--by", "mina"),
    ("note", "refunds are fine", "--board", "not_affected", "--by", "tom"),
    ("link", "fixed_by", "9c1f2e", "--by", "tom"),
    (
        *("learn", "--by", "mina", "--technical", "a key", "--process", "ask first"),
        *("--governance", "none - covered", "--change", "a key", "--kind", "code"),
        *("--owner", "mina", "--due", "2026-12-01"),
    ),
    ("confirm", "resolution", "recovery", "stand_down", "--by", "mina", "--evidence", "board"),
    ("move", "resolved", "--by", "mina", "--reason", "quiet"),
    ("all-clear", "payments are fine, thank you", "--by", "mina"),
    ("hand-over", "--to", "tom", "--by", "mina", "--briefing", "close it"),
    ("accept", "--by", "tom"),
    ("close", "--by", "tom"),
)


def test_the_whole_way(desk: Desk) -> None:
    """Each step is taken with status 0 and names its entry; at the end nothing is missing."""
    for words in WAY:
        said = desk.case(*words)
        assert INCIDENT in said
        assert "(entry " in said
    assert "nothing is missing" in desk.case("missing")

    with rml.Ledger(desk.path) as ledger:
        case = Casebook(ledger)[INCIDENT]
        assert ("closed", len(WAY) + 1) == (case.phase, len(case.entries))
        assert {"a key"} == {change["what"] for change in case.read().changes}
        assert "absent - on a flight" in [who.name for who in case.file.decisions.decided_by]


def test_a_step_as_json(desk: Desk) -> None:
    """The receipt, or the refusal with its rules, status 1."""
    taken = desk.json("contain", "off", "--lever", "none", "--by", "mina")
    assert (INCIDENT, 1, "contained with none") == (
        taken["incident"],
        taken["index"],
        taken["done"],
    )
    refused = desk.json("act", "refund", "--by", "mina", code=1)
    assert ("CASE_STEP_REFUSED", True) == (refused["code"], refused["overridable"])
    assert "decided-first" in refused["rules"]


def test_a_rule_is_passed_with_a_reason(desk: Desk) -> None:
    """`--override` records who and why; the refusal before it said how."""
    said = desk.case("act", "refund", "--by", "mina", code=1)
    assert all(words in said for words in ("decided-first", "override"))
    desk.case("act", "refund", "--by", "mina", "--override", "the bank closes at noon")

    remarks = desk.json("remarks", code=1)
    assert {"act-without-decision", "override"} <= {remark["name"] for remark in remarks}
    assert "the bank closes at noon" in desk.case("remarks", code=1)


def test_orders_are_read_back(desk: Desk) -> None:
    """The loop from the shell; a mitigation is lifted likewise."""
    order = desk.json("order", "check shard 4", "--to", "tom", "--by", "mina")["id"]
    desk.case("read-back", order, "check shard 14", "--by", "tom")
    desk.case("confirm-order", order, "--by", "mina", code=1)
    desk.case("read-back", order, "check shard 4", "--by", "tom")
    desk.case("confirm-order", order, "--by", "mina")
    off = desk.json("contain", "--lever", "flag_off", "--temporary", "--by", "mina")["id"]
    assert off in desk.case("missing", code=1)
    desk.case("lift", off, "on again", "--by", "mina")

    assert off not in desk.case("missing", code=1)


def test_scoped_down_closed_and_reopened(desk: Desk) -> None:
    """What turned out to be less, from the shell."""
    desk.case("downscope", "RML2", "--by", "m", "--reason", "one lapsed", "--evidence", "the bank")
    desk.case("decide", "nothing", "--sre", "mina", "--world", "RML2")
    desk.case(
        *("learn", "--by", "m", "--technical", "none - x", "--process", "none - x"),
        *("--governance", "none - x"),
    )
    desk.case("close", "--by", "mina")
    assert "closed by mina" in desk.case("close", "--by", "mina", code=1)
    desk.case("reopen", "--by", "mina", "--reason", "a third customer")

    assert "ongoing" in desk.case()


def test_the_same_case_in_every_shape(desk: Desk) -> None:
    """Show, also with options alone; the case file as YAML and as JSON."""
    assert desk.case() == desk.case("show")
    assert desk.json() == desk.json("show")
    assert desk.case("yaml") == desk.case("--yaml") == desk.case("show", "--yaml")
    assert desk.json()["file"] == desk.json("yaml")
    assert desk.json()["missing"] == desk.json("missing", code=1)


def test_metrics_and_schedule(desk: Desk) -> None:
    """Numbers of one case and of the book; status 1 where somebody hears late."""
    desk.case("contain", "--lever", "none", "--by", "mina", "--at", "2026-01-21T03:01:15Z")
    metrics = desk.json("metrics")
    assert (75.0, None) == (metrics["mttm"], metrics["mttr"])
    assert "mttm" in desk.case("metrics")
    book = json.loads(desk.rml("cases", "metrics", "--json").stdout)
    assert (1, 75.0) == (book["cases"], book["intervals"]["mttm"]["median"])
    assert "reopened" in desk.rml("cases", "metrics", "--since", "2026-01-01T00:00:00Z").stdout
    schedule = desk.json("schedule", code=1)
    assert "leadership" in [one["audience"] for one in schedule["audiences"]]
    assert "overdue" in desk.case("schedule", code=1)


@pytest.mark.parametrize("name", case_group.commands)
def test_every_command_has_help_with_an_example(name: str) -> None:
    """In 80 columns, with `--json` and an example that begins as one types it."""
    result = CliRunner().invoke(
        main, ["case", INCIDENT, name, "--help"], prog_name="rml", terminal_width=80
    )

    assert 0 == result.exit_code
    assert "--json" in result.stdout
    assert f"Examples:\n    rml case {INCIDENT[:-1]}" in result.stdout
    assert 80 >= max(map(len, result.stdout.splitlines()))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["contain", "--lever", "flag_of", "--by", "m"], "flag_off"),
        (["contain", "--lever", "none"], "--by"),
        (["contain", "--lever", "none", "--by", "m", "--at", "noon"], "2026-11-21T03:00:00Z"),
        (["decide", "x", "--absent", "legal"], "ROLE=TEXT"),
        (["decide", "x", "--absent", "a=b", "--absent", "a=c"], "twice"),
        (["decide", "x"], "nobody"),
        (["take", "boss", "--by", "m"], "commander"),
        (["act", "refund", "--by", "m", "--world", "RML4"], "RML4"),
        (["read-back", "nothing", "x", "--by", "m"], "nothing"),
        (["dance"], "No such command"),
    ],
    ids=[
        *("lever", "nobody", "time", "absent", "absent twice", "nobody decides"),
        *("role", "world", "order", "command"),
    ],
)
def test_what_cannot_be_told_ends_with_two(desk: Desk, words: list[str], said: str) -> None:
    """One clear line, nothing recorded."""
    assert said in desk.case(*words, code=2)
    with rml.Ledger(desk.path) as ledger:
        assert 1 == ledger.size


def test_a_case_that_is_not_there(desk: Desk) -> None:
    """Every command says so."""
    for words in (["missing"], ["contain", "--lever", "none", "--by", "m"], ["metrics"], []):
        assert INCIDENT in desk.rml("case", "INC-2026-0002", *words, code=2).output

"""What somebody at a shell meets at night: opening a case, long refusals, letting go on."""

import json
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner

import rml
from rml.cli import main

OPERATION = "payment.charge"


@attrs.frozen
class Night:
    """A ledger with one charge too many, and a clock that waits when it is told to."""

    path: Path
    clock: rml.FrozenClock

    def rml(self, *args: str, status: int = 0) -> str:
        """Run a command, which ends with a status; return all that it prints."""
        result = CliRunner().invoke(main, ["--ledger", str(self.path), *args])
        assert status == result.exit_code, result.output
        return result.output

    def json(self, *args: str, status: int = 0) -> Any:
        """Run a command; return its JSON."""
        return json.loads(self.rml(*args, "--json", status=status))


@pytest.fixture
def night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Night:
    """Return a ledger in which an order was charged twice."""
    clock = rml.FrozenClock("2026-11-21T03:00:00Z")
    monkeypatch.setattr("rml.ledger.ledger.SystemClock", lambda: clock)
    night = Night(tmp_path / "payments.db", clock)
    charge(night, "a-1")
    charge(night, "a-2")
    return night


def charge(night: Night, attempt: str) -> None:
    """Charge the order as a service does."""
    with rml.Ledger(night.path, clock=night.clock, service="shop") as ledger:

        @rml.idempotent(OPERATION, key="attempt", facts=("order",), ledger=ledger)
        def pay(attempt: str, order: str) -> None: ...

        pay(attempt, "o-1")


def test_a_case_is_opened_from_the_shell(night: Night) -> None:
    """Who notices it first has no Python at hand."""
    said = night.rml(
        "cases", "open", "charged twice", "--operation", OPERATION, "--service", "shop",
        "--type", "cs_ticket", "--id", "CS-1", "--criterion", "business-critical-degraded",
        "--by", "mina",
    )  # fmt: skip

    assert "INC-2026-0001: opened (rml case INC-2026-0001)\n" == said
    with rml.Ledger(night.path, clock=night.clock, service="shop") as ledger:
        assert (
            "INC-2026-0001" == rml.escalate("charged twice", operation=OPERATION, ledger=ledger).id
        )
        case = rml.Casebook(ledger)["INC-2026-0001"]
        assert ("mina", "CS-1") == (case.entries[0].actor, case.file.detected_by[0].id)
        assert ("business-critical-degraded",) == case.read().criteria


def test_opening_it_again_joins_it(night: Night) -> None:
    """The second one at the phone hears that somebody is at it."""
    night.rml("cases", "open", "charged twice", "--by", "mina")

    assert "joined; it has 2 signals now" in night.rml(
        "cases", "open", "charged twice", "--by", "tom"
    )
    row = night.json("cases", "open", "charged twice", "--by", "tom")
    assert ("INC-2026-0001", False, 3) == (row["id"], row["opened"], row["count"])


def test_a_suspicion_is_gray(night: Night) -> None:
    """It counts as history until somebody scopes it down."""
    night.rml("cases", "open", "a customer reports two charges", "--suspect", "--by", "tom")

    with rml.Ledger(night.path) as ledger:
        assert rml.Casebook(ledger)["INC-2026-0001"].read().is_gray


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        (("  ", "--by", "mina"), "say what happened"),
        (("x", "--by", "mina", "--effect", "ef_nope"), "no effect 'ef_nope' is in this ledger"),
        (("x", "--by", "mina", "--type", "foo"), "one of your own is 'other:...'; known are"),
        (("x", "--by", "mina", "--service", ""), "service"),
        (("x",), "Missing option '--by'"),
    ],
    ids=["blank", "effect", "type", "service", "nobody"],
)
def test_what_cannot_be_opened(night: Night, words: tuple[str, ...], refusal: str) -> None:
    """It is refused in words, and no case is there."""
    assert refusal in night.rml("cases", "open", *words, status=2)
    assert "no cases\n" == night.rml("cases")


@pytest.mark.parametrize(
    ("words", "way"),
    [
        ("contain INC-2026-0001", "the case comes first: rml case INC-2026-0001 contain"),
        ("INC-2026-0001 decide refund", "nobody decides: say --legal, --business and --sre"),
        ("INC-2026-0001 learn --change key --by mina", "a change needs --change and --kind"),
        ("INC-2026-0001 update on --action a --need none --by mina", "Missing option '--to'"),
        ("INC-2026-0001 tell called --by mina", "Missing option '--to'"),
    ],
    ids=["swapped", "nobody", "kind", "update", "tell"],
)
def test_a_refusal_names_what_to_type(night: Night, words: str, way: str) -> None:
    """In options, not in the parameters of Python."""
    night.rml("cases", "open", "charged twice", "--by", "mina")

    assert way in night.rml("case", *words.split(), status=2)


def test_what_is_missing_is_told_with_its_command(night: Night) -> None:
    """Also where it is a command of another noun."""
    night.rml("cases", "open", "charged twice", "--operation", OPERATION, "--by", "mina")
    count = ("impact", "--operation", OPERATION, "--key", "order", "--by", "mina")
    assert "1 effect" in night.rml("case", "INC-2026-0001", *count)
    night.rml("case", "INC-2026-0001", "order", "watch", "--to", "tom", "--by", "mina")

    missing = night.json("case", "INC-2026-0001", "missing", status=1)

    assert any(one.endswith("correct it with rml correct") for one in missing)
    assert any(one.endswith("watch; rml case INC-2026-0001 read-back ...") for one in missing)


def test_closing_names_each_missing_thing_in_its_own_line(night: Night) -> None:
    """Twenty things in one sentence help nobody at three in the morning."""
    night.rml("cases", "open", "charged twice", "--operation", OPERATION, "--by", "mina")
    night.rml(
        "lever", "pull", OPERATION, "--by", "mina", "--reason", "x", "--incident", "INC-2026-0001"
    )

    lines = night.rml("case", "INC-2026-0001", "close", "--by", "mina", status=1).splitlines()

    assert "rml: INC-2026-0001: " + f"{len(lines) - 2} things are missing" == lines[0]
    assert all(line.startswith("  - ") for line in lines[1:-1])
    assert any(line.endswith("in place: release its lever: rml lever release") for line in lines)
    assert lines[-1].startswith("rules page-complete, ")
    assert lines[-1].endswith("; to go on knowingly, give --override a reason")


def test_an_id_that_names_nothing_is_answered_with_those_that_do(night: Night) -> None:
    """Nobody keeps receipts at night."""
    night.rml("cases", "open", "charged twice", "--by", "mina")
    back = ("case", "INC-2026-0001", "read-back", "nope", "refund", "--by", "tom")
    assert "these are: there is none yet" in night.rml(*back, status=2)
    order = night.json(
        "case", "INC-2026-0001", "order", "refund", "--to", "tom", "--by", "mina"
    )["id"]  # fmt: skip

    assert f"names no entry incident.ordered of INC-2026-0001; these are: {order}" in night.rml(
        *back, status=2
    )


def test_the_lever_is_released_and_the_refund_goes_out(night: Night) -> None:
    """Proven, let go on, charged again as it should be, refunded: no override anywhere."""
    case = ("case", "INC-2026-0001")
    night.rml("cases", "open", "charged twice", "--operation", OPERATION, "--by", "mina")
    night.rml(
        "lever", "pull", OPERATION, "--by", "mina", "--reason", "x", "--incident", "INC-2026-0001"
    )
    night.rml(
        *case, "impact", "--operation", OPERATION, "--key", "order", "--no-amounts", "--by", "tom"
    )
    night.rml(*case, "understand", "no key", "--by", "tom")
    night.rml(*case, "decide", "refund", "--legal", "a", "--business", "b", "--sre", "c")
    assert "nothing may" in night.rml(*case, "act", "refund", "--by", "tom", status=1)
    night.clock.advance(300)
    night.rml("lever", "release", OPERATION, "--by", "mina", "--reason", "mended")
    charge(night, "b-1")

    assert "was let go on" in night.rml(*case, "containment").replace("\n  ", " ")
    night.rml(*case, "act", "refund", "--by", "tom")

    # a third charge of the order: somebody counts again, and it bleeds
    night.rml(
        *case, "impact", "--operation", OPERATION, "--key", "order", "--no-amounts", "--by", "tom"
    )
    again = night.rml(*case, "containment", status=1)
    assert "came again   ef_" in again
    assert f"or record with rml {' '.join(case)} contain ..." in again.replace("\n  ", " ")


def test_a_typing_error_in_the_operation_opens_nothing(night: Night) -> None:
    """Nothing could ever prove such a case contained."""
    charge(night, "a-1")
    mistyped = ("cases", "open", "charged twice", "--operation", "payment.charg", "--by", "mina")

    assert f"the newest are of {OPERATION}" in night.rml(*mistyped, status=2)
    assert "no cases" in night.rml("cases")
    night.rml(*mistyped, "--force")


def test_an_entry_is_named_by_its_place_too(night: Night) -> None:
    """As every answer of a step prints it."""
    case = ("case", "INC-2026-0001")
    night.rml("cases", "open", "charged twice", "--by", "mina")
    place = night.json(*case, "order", "look", "--to", "tom", "--by", "mina")["index"]

    night.rml(*case, "read-back", str(place), "look", "--by", "tom")
    night.rml(*case, "confirm-order", str(place), "--by", "mina")
    read = (*case, "evidence", str(place - 1), "--by", "rosa", "--reason", "audit")
    assert "charged twice" in night.rml(*read)


def test_what_was_counted_as_harm_and_is_none_is_taken_out_with_evidence(night: Night) -> None:
    """Somebody counts every charge at night; the first of each order was right."""
    case = ("case", "INC-2026-0001")
    for order in range(6):
        charge(night, f"a-{order}")
    night.rml("cases", "open", "charged twice", "--operation", OPERATION, "--by", "mina")
    impact = (*case, "impact", "--operation", OPERATION, "--no-amounts", "--by", "tom")

    assert "--every where each effect is harm" in night.rml(*impact, status=2)
    harmed = night.json(*impact, "--every")["harmed"]
    refused = night.rml(*case, "close", "--by", "mina", status=1)
    assert f"{harmed[2]} and 3 more: each has no correction that names it" in refused
    assert harmed[5] not in refused
    assert harmed[5] in night.rml(*case, "missing", status=1)

    spared = [word for one in harmed[:5] for word in ("--unharmed", one)]
    words = (*case, "understand", "one was wrong", *spared, "--by", "tom")
    assert "evidence" in night.rml(*words, status=1)
    night.rml(*words, "--evidence", "the gateway's books")
    assert [harmed[5]] == [
        need.split()[0]
        for need in night.json(*case, "missing", status=1)
        if "has no correction" in need
    ]
    assert "took 5 out of what was found to be harm" in night.rml(*case, "remarks", status=1)
    again = (*case, "understand", "x", *spared[:2], "--evidence", "x", "--by", "tom")
    assert "nobody found to be harm" in night.rml(*again, status=2)

"""`rml lever`: what it says, what it records, how it ends."""

import json
from pathlib import Path
from typing import Any

import click.testing
import pytest

import rml
from rml.cli import main


@pytest.fixture
def place(tmp_path: Path) -> str:
    """The path of a ledger that knows one operation, and one case."""
    path = str(tmp_path / "ledger.db")
    with rml.Ledger(path) as ledger, rml.use(ledger=ledger):

        @rml.idempotent("payment.charge", key="key")
        def charge(key: str) -> None: ...

        charge("pay-1")
        rml.escalate("twice", operation="payment.charge")
    return path


def run(place: str, *words: str, status: int = 0) -> str:
    """Run `rml lever`, and return what it prints."""
    finished = click.testing.CliRunner().invoke(
        main, ["lever", *words, "--ledger", place], prog_name="rml"
    )
    assert status == finished.exit_code, finished.output
    return finished.output


def pull(place: str, *words: str, status: int = 0) -> str:
    """Run `rml lever pull` for one operation."""
    said = ("--by", "Ada", "--reason", "charges twice")
    return run(place, "pull", "payment.charge", *said, *words, status=status)


def test_pull_list_release(place: str) -> None:
    """The whole life of a lever."""
    assert "nothing is stopped\n" == run(place, "list")
    assert "'payment.charge' is stopped since" in pull(place, "--incident", "inc-2026-0001")
    listed = run(place, "list")
    assert "INC-2026-0001" in listed
    assert "charges twice" in listed

    freed = run(place, "release", "payment.charge", "--by", "Ada", "--reason", "mended")

    assert "'payment.charge' may be begun again\n" == freed
    assert "nothing is stopped\n" == run(place, "list")


def test_releasing_what_is_not_pulled_is_a_no(place: str) -> None:
    """A script that goes on would go on wrongly."""
    words = ("release", "payment.charge", "--tenant", "a", "--by", "Ada", "--reason", "mended")

    assert "'payment.charge' of tenant 'a' was not stopped" in run(place, *words, status=1)
    assert "null\n" == run(place, *words, "--json", status=1)


def test_json(place: str) -> None:
    """One document, whose names are those of the lever."""
    pulled: dict[str, Any] = json.loads(pull(place, "--tenant", "a", "--json"))

    assert ("payment.charge", "a", None, "Ada") == tuple(
        pulled[name] for name in ("operation", "tenant", "region", "by")
    )
    assert [pulled] == json.loads(run(place, "list", "--json"))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("pull", "payment.chrage", "--by", "Ada", "--reason", "r"), "the newest are of"),
        (("pull", "payment.charge", "--by", "Ada"), "--reason"),
        (("pull", "Payment", "--by", "Ada", "--reason", "r"), "dotted lower-case words"),
        (("pull", "*", "--by", "A", "--reason", "r", "--incident", "INC-1"), "no incident"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    place: str, words: tuple[str, ...], says: str
) -> None:
    """Status 2, nothing recorded, no traceback."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RML_LEDGER", place)
        said = run(place, *words, status=2)

    assert says in said
    assert "nothing is stopped\n" == run(place, "list")


def test_force_pulls_before_the_first_effect(place: str) -> None:
    """Such as before a release that has to wait."""
    said = ("--by", "Ada", "--reason", "not yet", "--force")

    run(place, "pull", "payment.payout", *said)

    assert "payment.payout" in run(place, "list")

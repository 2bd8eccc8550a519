"""Rollbacks: to what is registered as good, and of what can be reversed; else it is graver."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

import rml
from rml.cli import main
from rml.incident.case import Case
from rml.incident.casebook import Casebook
from rml.incident.rule import StepRefusedError


@pytest.fixture
def book() -> Casebook:
    """Return the casebook of a ledger in memory."""
    clock = rml.FrozenClock(datetime(2026, 11, 21, 3, tzinfo=UTC))
    return Casebook(rml.Ledger("memory:", clock=clock, service="shop"))


@pytest.fixture
def case(book: Casebook) -> Case:
    """Return a case whose flag is off."""
    case = book[rml.escalate("Possible double charge", ledger=book.ledger).id]
    case.contain("off", by="ann", lever="flag_off")
    return case


def pull(case: Case, lever: str, **more: str) -> rml.Receipt:
    """Pull a lever."""
    return case.contain("x", by="ann", lever=lever, **more)  # type: ignore[arg-type]


def rules_of(case: Case, lever: str) -> list[str]:
    """Return the rules by which a lever is refused."""
    with pytest.raises(StepRefusedError) as refused:
        pull(case, lever)
    rules: list[str] = refused.value.details["rules"]
    return rules


def undone(case: Case) -> Case:
    """Pull the second lever, and find out what happened."""
    pull(case, "deploy_rollback", override="by hand")
    case.understand("twice", by="ann", severity="SEV-3")
    return case


@pytest.mark.parametrize("lever", ["last_known_good", "deploy_rollback"])
def test_a_rollback_goes_to_what_was_registered_last(
    book: Casebook, case: Case, lever: str
) -> None:
    """Without one it is refused, and nothing is recorded; both words are one lever."""
    size = book.ledger.size
    assert ["known-good"] == rules_of(case, lever)
    assert size == book.ledger.size
    book.known_good("shop 1.4.1", by="ci")
    book.known_good("shop 1.4.2", by="ci")
    pull(case, lever)

    facts = case.entries[-1].facts
    assert ("deploy_rollback", "shop 1.4.2") == (facts["lever"], facts["artifact"])


def test_another_service_is_not_meant(tmp_path: Path) -> None:
    """What another service runs on is nothing to roll back to."""
    path = tmp_path / "a.db"
    with rml.Ledger(path, service="mail") as mail, rml.Ledger(path, service="shop") as shop:
        Casebook(mail).known_good("mail 2", by="ci")
        case = Casebook(shop)[rml.escalate("x", ledger=shop).id]
        case.contain("off", by="ann", lever="flag_off")
        assert ["known-good"] == rules_of(case, "last_known_good")
        Casebook(shop).known_good("shop 1", by="ci")
        Casebook(mail).known_good("mail 3", by="ci")
        pull(case, "last_known_good")
        assert "shop 1" == case.entries[-1].facts["artifact"]


def test_whether_it_can_be_reversed_is_yes_or_no(book: Casebook) -> None:
    """A text such as "no" would count as yes."""
    with pytest.raises(rml.InvalidInputError, match="reversible is 'no'"):
        book.migration("0042", reversible="no", by="ci")  # type: ignore[arg-type]


def test_a_migration_is_registered_as_reversible(book: Casebook, case: Case) -> None:
    """Nobody said so: refused, and may be passed; reversible: recorded with its name."""
    undone(case)
    assert ["reversible"] == rules_of(case, "migration_rollback")
    book.migration("0042", reversible=True, by="ci")
    pull(case, "migration_rollback")

    assert "0042" == case.entries[-1].facts["migration"]


def test_one_that_cannot_be_reversed_makes_it_graver(book: Casebook, case: Case) -> None:
    """Refused whatever the reason; one level graver, once for each migration."""
    undone(case)
    book.migration("0042", reversible=False, by="ci")
    for _ in range(2):
        assert ["irreversible"] == rules_of(case, "migration_rollback")
        assert rml.Sev.SEV2 is case.file.classification.severity
    with pytest.raises(StepRefusedError, match="0042 cannot be reversed"):
        pull(case, "migration_rollback", override="I must")
    book.migration("0043", reversible=False, by="ci")
    assert ["irreversible"] == rules_of(case, "migration_rollback")

    assert rml.Sev.SEV1 is case.file.classification.severity
    raised = [line.detail for line in case.timeline if line.type == "severity_raised"]
    assert "from SEV-3 to SEV-2: migration 0042 cannot be reversed" == raised[0]
    with pytest.raises(StepRefusedError, match="severity-evidence"):
        case.understand("less", by="ann", severity="SEV-3")


@pytest.mark.parametrize("severity", [None, "SEV-0"])
def test_what_cannot_be_raised_is_refused_all_the_same(
    book: Casebook, case: Case, severity: str | None
) -> None:
    """A severity that nobody said, and the gravest, stay as they are."""
    pull(case, "deploy_rollback", override="by hand")
    case.understand("twice", by="ann", severity=severity)
    book.migration("0042", reversible=False, by="ci")
    size = book.ledger.size

    assert ["irreversible"] == rules_of(case, "migration_rollback")
    assert size == book.ledger.size


def test_the_shell_registers_both(tmp_path: Path) -> None:
    """`rml cases known-good` and `rml cases migration` record what a rollback needs."""
    path = tmp_path / "a.db"
    with rml.Ledger(path) as ledger:
        rml.escalate("x", ledger=ledger)

    def run(*args: str) -> str:
        result = CliRunner().invoke(main, ["--ledger", str(path), *args])
        assert 0 == result.exit_code, result.output
        return result.stdout

    assert "registered shop 1.4.2" in run("cases", "known-good", "shop 1.4.2", "--by", "ci")
    run("cases", "migration", "0042", "--reversible", "--by", "ci")
    answer = json.loads(run("cases", "migration", "0043", "--irreversible", "--by", "ci", "--json"))
    with rml.Ledger(path) as ledger:
        assert answer["id"] == ledger.entries()[-1].id
        assert not ledger.entries()[-1].facts["reversible"]

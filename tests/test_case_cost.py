"""What a case has cost stands by kind and currency, and what nobody knows is not zero."""

from decimal import Decimal
from pathlib import Path

import pytest
from casework import through
from click.testing import CliRunner

import rml
from rml.cli import main
from rml.incident.cost import totals


@pytest.fixture
def case(ledger: rml.Ledger) -> rml.Case:
    """Return a case that has just been opened."""
    return rml.Casebook(ledger)[rml.escalate("charged twice", ledger=ledger).id]


def told(case: rml.Case) -> list[tuple[str, str | None, str | None]]:
    """Return the costs on the page of a case."""
    return [(cost.type, cost.amount, cost.currency) for cost in case.file.costs]


def test_costs_are_added_up_by_currency(case: rml.Case) -> None:
    """What nobody has spoken of is unknown beside what somebody has, and no 0 in a sum."""
    assert [] == told(case)
    case.cost("refund", Decimal("410.00"), "EUR", by="Grace")
    case.cost("refund", "12", "USD", by="Grace")
    case.cost("other:fine", 0, "EUR", by="Ada")
    case.cost("operations", None, by="Barbara", detail="two nights")

    assert [
        ("refund", "410.00", "EUR"),
        ("refund", "12", "USD"),
        ("credit", None, None),
        ("operations", None, None),
        ("other:fine", "0", "EUR"),
    ] == told(case)
    assert {"EUR": "410.00", "USD": "12"} == totals(case.file.costs)
    assert ["refund: 410.00 EUR", "operations: unknown, two nights"] == [
        event.detail for event in case.timeline if event.type == "cost"
    ][::3]


def test_a_cost_that_is_said_again_replaces_the_first(case: rml.Case) -> None:
    """Of the same kind and currency; unknown is what all of a kind may become, and be no more."""
    case.cost("refund", "1", "EUR", by="Grace")
    case.cost("refund", "2.50", "EUR", by="Grace")
    assert ("refund", "2.50", "EUR") == told(case)[0]
    case.cost("refund", None, by="Grace")
    assert ("refund", None, None) == told(case)[0]
    case.cost("refund", "3", "EUR", by="Grace")

    assert ("refund", "3", "EUR") == told(case)[0]


def test_costs_are_known_after_the_end(case: rml.Case) -> None:
    """And stand in the case file, which reads back, and on the page."""
    through(case).close(by="ann")
    case.cost("credit", "0.10", "EUR", by="Grace")

    file = rml.CaseFile.from_yaml(case.to_yaml())
    assert case.file == file
    assert '  - type: credit\n    amount: "0.10"\n    currency: EUR\n' in case.to_yaml()
    page = case.to_html()
    assert "<th>credit</th><td>0.10</td><td>EUR</td>" in page
    assert "<th>refund</th><td>unknown</td><td></td>" in page
    assert "<th>known in all</th><td>0.10</td><td>EUR</td>" in page


@pytest.mark.parametrize(
    ("type_", "amount", "currency"),
    [
        ("refunds", "1", "EUR"),
        ("refund", "-1", "EUR"),
        ("refund", "1e3", "EUR"),
        ("refund", 1.5, "EUR"),
        ("refund", True, "EUR"),
        ("refund", Decimal("NaN"), "EUR"),
        ("refund", "1", None),
        ("refund", "1", ""),
        ("refund", None, "EUR"),
    ],
    ids=str,
)
def test_what_is_no_cost(
    ledger: rml.Ledger, case: rml.Case, type_: str, amount: object, currency: str | None
) -> None:
    """It is refused in words, and nothing is recorded."""
    size = ledger.size
    with pytest.raises(rml.InvalidInputError):
        case.cost(type_, amount, currency, by="Grace")  # type: ignore[arg-type]

    assert size == ledger.size


def test_the_shell_records_costs(tmp_path: Path) -> None:
    """With a currency, or as unknown; a number of nothing is asked back."""
    place = str(tmp_path / "shop.db")
    with rml.Ledger(place) as ledger:
        case = rml.Casebook(ledger)[rml.escalate("charged twice", ledger=ledger).id]

        def shell(*words: str) -> int:
            command = ["case", case.id, "cost", *words, "--by", "Grace", "--ledger", place]
            return CliRunner().invoke(main, command).exit_code

        ends = [shell("refund", "410.00", "EUR"), shell("credit", "--unknown")]
        bad = [shell("refund"), shell("refund", "1", "EUR", "--unknown"), shell("refund", "1")]
        assert ([0, 0], [2, 2, 2]) == (ends, bad)
        unknown = ("operations", None, None)
        assert [("refund", "410.00", "EUR"), ("credit", None, None), unknown] == told(case)

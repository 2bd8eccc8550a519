"""Impact is counted from the ledger, by a query that everybody can ask again."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rml
from rml.incident.evidence.impact import ImpactQuery, count

CHARGE = "payment.charge"
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def charge(ledger: rml.Ledger, key: Any, end: BaseException | None = None, **facts: Any) -> None:
    """Record a charge with these facts; `end` is what its handler raises."""

    @rml.idempotent(CHARGE, key="key", facts=tuple(facts), ledger=ledger)
    def charged(
        key: Any, order: Any = 0, customer: Any = 0, amount: Any = 0, currency: Any = 0
    ) -> None:
        if end is not None:
            raise end

    try:
        charged(key, **facts)
    except Exception as error:
        if error is not end:
            raise


@pytest.fixture
def case(ledger: rml.Ledger) -> rml.Case:
    """A case about charges."""
    return rml.Casebook(ledger)[rml.escalate("charged twice", operation=CHARGE).id]


def test_duplicates_of_an_order_are_counted(ledger: rml.Ledger, case: rml.Case) -> None:
    """The first was wanted; the others are history that should not have been."""
    charge(ledger, "a1", order="o-1", customer="c-1", amount=1999, currency="EUR")
    charge(ledger, "a2", order="o-1", customer="c-1", amount=1999, currency="EUR")
    charge(ledger, "a3", order="o-1", customer="c-1", amount=1999, currency="EUR")
    charge(ledger, "b1", order="o-2", customer="c-2", amount=500, currency="JPY")
    charge(ledger, "b2", order="o-2", customer="c-2", amount=500, currency="JPY")
    charge(ledger, "c1", order="o-3", customer="c-3", amount=700, currency="EUR")

    found = case.count_impact(operation=CHARGE, key="order", user="customer", by="Ada")

    assert (3, 2, 2) == (found.transactions, found.users, found.groups)
    assert {"EUR": Decimal(3998), "JPY": Decimal(500)} == dict(found.amounts)
    keys = [ledger.effect(one).key for one in found.harmed]
    assert ["a2", "a3", "b2"] == keys
    assert "3 effects of payment.charge too many, by order, of 2 users, 3998 EUR, 500 JPY" == str(
        found
    )


def test_count_stands_beside_the_estimate_with_its_query(
    ledger: rml.Ledger, case: rml.Case
) -> None:
    """And can be asked again, with the same answer, however the ledger has grown."""
    case.understand("a retry", by="Ada", users_estimate=9, transactions_estimate=40)
    for key in ("a1", "a2"):
        charge(ledger, key, order="o-1", customer="c-1", amount="19.99", currency="EUR")

    found = case.count_impact(operation=CHARGE, key="order", user="customer", by="Ada")

    scope = case.file.classification.scope
    assert (9, 1) == (scope.affected_users_estimate, scope.affected_users_counted)
    assert (40, 1) == (scope.affected_transactions_estimate, scope.affected_transactions_counted)
    entry = ledger.entries(kind="incident.impact")[0]
    assert ("Ada", {"EUR": "19.99"}) == (entry.actor, entry.facts["amounts"])
    assert found.query.to_dict() == entry.facts["query"]
    charge(ledger, "a3", order="o-1", customer="c-1", amount="19.99", currency="EUR")
    assert found == case.recount(entry.id)
    assert "impact_counted" in [event.type for event in case.timeline]
    assert found.harmed == case.read().harmed


def test_what_nobody_knows_is_told_apart(ledger: rml.Ledger, case: rml.Case) -> None:
    """Perhaps is neither yes nor no; what did not happen is nothing."""

    class RefusedError(rml.DialogError):
        """Refused."""

        code = "TEST_IMPACT_REFUSED"
        happened = False

    charge(ledger, "a1", order="o-1")
    charge(ledger, "a2", TimeoutError(), order="o-1")
    charge(ledger, "a3", RefusedError(), order="o-1")
    charge(ledger, "b1", TimeoutError(), order="o-2")
    charge(ledger, "b2", TimeoutError(), order="o-2")

    found = case.count_impact(operation=CHARGE, key="order", by="Ada")

    assert (0, 2, 0) == (found.transactions, found.unsure, found.groups)
    assert str(found).endswith("; 2 perhaps more")


def test_unknown_is_not_nothing(ledger: rml.Ledger, case: rml.Case) -> None:
    """An amount that is missing, or no amount, is counted as unpriced; a key as unkeyed."""
    for key, facts in {
        "a1": {"order": "o-1", "amount": 5, "currency": "EUR"},
        "a2": {"order": "o-1", "currency": "EUR"},
        "a3": {"order": "o-1", "amount": 7},
        "a4": {"order": "o-1", "amount": "1e9", "currency": "EUR"},
        "a5": {"order": "o-1", "amount": True, "currency": "EUR"},
        "x1": {"amount": 9, "currency": "EUR"},
    }.items():
        charge(ledger, key, **facts)

    found = case.count_impact(operation=CHARGE, key="order", by="Ada")

    assert (4, 4, 1, {}) == (
        found.transactions,
        found.unpriced,
        found.unkeyed,
        dict(found.amounts),
    )
    assert found.users is None
    assert "users" not in ledger.entries(kind="incident.impact")[0].facts


def test_whole_numbers_and_decimals_are_not_added(ledger: rml.Ledger, case: rml.Case) -> None:
    """1999 and "19.99" may be the same price; a sum of both is none."""
    charge(ledger, "a0", order="o-1", amount=1999, currency="EUR")
    charge(ledger, "a1", order="o-1", amount=1999, currency="EUR")
    charge(ledger, "a2", order="o-1", amount="19.99", currency="EUR")

    with pytest.raises(rml.InvalidInputError, match=r"amounts of EUR cannot be added up"):
        case.count_impact(operation=CHARGE, key="order", by="Ada")

    assert [] == list(ledger.entries(kind="incident.impact"))
    assert 2 == case.count_impact(operation=CHARGE, key="order", by="A", amount=None).transactions


def test_same_customer_and_amount_within_a_while(
    ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock
) -> None:
    """Where no order is recorded; the subscription of next month is no duplicate."""
    same = {"customer": "c-1", "amount": 999, "currency": "EUR"}
    charge(ledger, "a1", **same)
    clock.advance(60)
    charge(ledger, "a2", **same)
    clock.advance(30 * 86400)
    charge(ledger, "a3", **same)

    def counted(**options: Any) -> int:
        key = ("customer", "amount", "currency")
        return case.count_impact(operation=CHARGE, key=key, by="Ada", **options).transactions

    assert 2 == counted()
    assert 1 == counted(within=3600)
    assert 0 == counted(within=59)
    assert 0 == counted(since=clock.now())
    assert 1 == counted(until=clock.now())


def test_without_a_key_everything_that_happened_counts(ledger: rml.Ledger, case: rml.Case) -> None:
    """Such as every charge at a wrong price."""
    charge(ledger, "a1", customer="c-1", amount=5, currency="EUR")
    charge(ledger, "a2", customer=1, amount=5, currency="EUR")
    charge(ledger, "a3", TimeoutError(), customer="1", amount=5, currency="EUR")

    found = case.count_impact(operation=CHARGE, user="customer", by="Ada")

    assert (2, 2, 1, 0) == (found.transactions, found.users, found.unsure, found.groups)
    assert {"EUR": Decimal(10)} == dict(found.amounts)


def test_key_as_number_and_text_are_two_effects_of_one_key(
    ledger: rml.Ledger, case: rml.Case
) -> None:
    """The classical mistake: 7 from the database, "7" from the queue."""
    charge(ledger, 7)
    charge(ledger, "7")

    assert 1 == case.count_impact(operation=CHARGE, key="key", by="Ada").transactions


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key": "ordr"}, "records ordr; their facts are: order; name those"),
        ({"user": "customer"}, "records customer"),
        ({"operation": "payment.chrage"}, "knows no effect of 'payment.chrage'"),
        ({"key": 7}, "key must be a name or a list of names"),
        ({"key": ""}, "give a name"),
        ({"by": ""}, "give a name"),
        ({"operation": "Charge"}, "dotted lower-case words"),
        ({"within": -1}, "within must be a number of seconds"),
        ({"since": "yesterday"}, "since must be an aware datetime"),
        ({"since": NOON, "until": NOON}, "until lies at or before since"),
        ({"since": NOON, "until": NOON - timedelta(days=1)}, "until lies at or before since"),
    ],
)
def test_question_that_makes_no_sense_is_refused(
    ledger: rml.Ledger, case: rml.Case, options: dict[str, Any], message: str
) -> None:
    """Nothing is recorded: 0 would be an answer."""
    charge(ledger, "a1", order="o-1")
    asked = {"operation": CHARGE, "by": "Ada", "key": "order", **options}

    with pytest.raises(rml.InvalidInputError, match=message):
        case.count_impact(**asked)

    assert [] == list(ledger.entries(kind="incident.impact"))


def test_ids_that_an_entry_cannot_hold_are_in_the_next(
    monkeypatch: pytest.MonkeyPatch, ledger: rml.Ledger, case: rml.Case
) -> None:
    """Each of them has to be corrected before the case is closed; none may be lost."""
    monkeypatch.setattr("rml.incident.evidence.impact.HARMED_MAX", 2)
    for number in range(6):
        charge(ledger, f"a{number}", order="o-1")

    found = case.count_impact(operation=CHARGE, key="order", by="Ada")

    entries = list(ledger.entries(kind="incident.impact"))
    assert [2, 2, 1] == [len(entry.facts["harmed"]) for entry in entries]
    assert found.harmed == case.read().harmed
    assert [found] * 3 == [case.recount(entry.id) for entry in entries]
    assert 5 == case.file.classification.scope.affected_transactions_counted


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["o-1", "o-2", "o-3"]),
            st.booleans(),
            st.decimals("-1000", "100000", places=2),
        ),
        min_size=1,
        max_size=15,
    )
)
def test_count_is_what_a_naive_count_finds(charges: list[tuple[str, bool, Decimal]]) -> None:
    """For any mixture of orders and ends; amounts add up to the cent."""
    with rml.Ledger("memory:") as ledger:
        for number, (order, happens, amount) in enumerate(charges):
            end = None if happens else TimeoutError()
            charge(ledger, number, end, order=order, amount=str(amount), currency="EUR")
        size = len(ledger.entries())
        query = ImpactQuery(operation=CHARGE, key=("order",), within=1234567.5, size=size)

        found = count(ledger.as_of(size), query)

        seen: Counter[str] = Counter()
        total, several = Decimal(0), 0
        for order, happens, amount in charges:
            if happens and seen[order]:
                several, total = several + 1, total + amount
            seen[order] += happens
        assert several == found.transactions
        assert total == sum(found.amounts.values(), Decimal(0))
        assert query == ImpactQuery.from_dict(query.to_dict())

"""Large commits are sent in parts, and are still all or nothing, once, and in order."""

import psycopg
import pytest
from cutting_proxy import CuttingProxy

import rml
from rml.stores.postgres_place import place_of
from rml.stores.postgres_stream import PART

MANY = 2 * PART + 7
# Such a commit is fewer messages than this, with the sealing beside it.
MESSAGES = 12


def several(draft: rml.Draft, number: int = MANY) -> None:
    """Append entries that tell their order, some with what is kept beside."""
    for n in range(number):
        personal = None if n % 3 else {"name": f"Ann {n}"}
        draft.append("order.noted", world="RML3", facts={"n": n}, personal=personal)


def numbers(ledger: rml.Ledger) -> list[object]:
    """The order that was told."""
    return [entry.facts["n"] for entry in ledger.entries(kind="order.noted")]


@pytest.mark.parametrize("number", [PART - 1, PART, PART + 1, 2 * PART, MANY])
def test_entries_are_there_in_their_order(ledger: rml.Ledger, number: int) -> None:
    """Of one part, of several, and where one ends with the commit."""
    ledger.write(lambda draft: several(draft, number))

    assert [*range(number)] == numbers(ledger)
    assert {"name": "Ann 0"} == next(iter(ledger.entries())).personal


def test_a_work_that_fails_leaves_nothing(ledger: rml.Ledger) -> None:
    """Though parts of it were sent; and the connection serves the next one."""

    def work(draft: rml.Draft) -> None:
        several(draft)
        raise LookupError

    with pytest.raises(LookupError):
        ledger.write(work)
    ledger.write(lambda draft: several(draft, 1))

    assert [0] == numbers(ledger)


def test_a_work_that_reads_after_all_starts_over(ledger: rml.Ledger) -> None:
    """It holds what it reads, which sees what the work has appended."""
    seen: list[int] = []

    def work(draft: rml.Draft) -> None:
        several(draft)
        seen.append(len(list(draft.entries(kind="order.noted"))))

    ledger.write(work)

    assert [MANY] == seen
    assert [*range(MANY)] == numbers(ledger)


@pytest.mark.parametrize("lost", ["request", "answer"])
def test_it_survives_a_cut_at_every_point(url: str, lost: str) -> None:
    """Before the commit nothing has happened; after it the entries are sought, and are there."""
    with CuttingProxy(url, lost) as proxy, rml.Ledger(proxy.url, timeout=60) as ledger:
        for message in range(MESSAGES):
            proxy.cut_at(message)
            ledger.write(several)

    with rml.Ledger(url) as ledger:
        assert [*range(MANY)] * MESSAGES == numbers(ledger)
        assert () == ledger.verify().problems


def test_what_the_server_refuses_in_a_part_is_told(url: str) -> None:
    """With the next part, or with the commit; nothing of it is there."""
    place = place_of(url)
    function = (
        "CREATE FUNCTION ~fail() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'no space' USING ERRCODE = '53100'; END $$"
    )
    trigger = (
        f"CREATE TRIGGER fail BEFORE INSERT ON ~entries FOR EACH ROW WHEN (NEW.seq = {PART}) "
        "EXECUTE FUNCTION ~fail()"
    )
    with psycopg.connect(place.conninfo, autocommit=True) as owner:
        owner.execute(place.sql(f"{function}; {trigger}"))
        with rml.Ledger(url) as ledger:
            with pytest.raises(rml.LedgerUnavailableError, match="no space"):
                ledger.write(several)
            ledger.write(lambda draft: several(draft, 1))
            assert [0] == numbers(ledger)
        owner.execute(place.sql("DROP FUNCTION ~fail() CASCADE"))

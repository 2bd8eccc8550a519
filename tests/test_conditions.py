"""What a query asks for, as SQL: the same conditions and values in the words of every store."""

from pathlib import Path

import attrs
import pytest

from rml.ledger.store import EQUAL, Query
from rml.stores.conditions import Dialect, conditions

PLAIN = Dialect(mark="?", index="idx", after="idx > ?", personal="personal")
JOINED = Dialect(mark="%b", index="p.idx", after="p.idx > %b", header="e.", personal="k.data")
SCHEMAS = Path(__file__).parent.parent / "src" / "rml" / "stores" / "schema"


def test_a_query_for_everything_asks_for_an_index_alone() -> None:
    """What is not asked for is in no clause."""
    assert ("idx > ?", [-1]) == conditions(Query(), PLAIN)


@pytest.mark.parametrize("name", EQUAL)
def test_a_field_of_the_header_is_compared_with_its_column(name: str) -> None:
    """The value travels beside the clause, never in it."""
    where, values = conditions(attrs.evolve(Query(), **{name: "x' OR ''='"}), JOINED)

    assert f"p.idx > %b AND e.{name} = %b" == where.partition(" AND e.kind NOT IN")[0]
    assert [-1, "x' OR ''='"] == values


def test_times_indexes_and_what_is_kept_beside() -> None:
    """One mark for each value, in the order of the values."""
    query = Query(since="s", until="u", after=3, before=9, with_personal=True)

    where, values = conditions(query, JOINED, end=7)

    assert (
        "p.idx > %b AND p.idx < %b AND p.idx < %b AND e.recorded_at >= %b AND e.recorded_at < %b "
        "AND k.data IS NOT NULL"
    ) == where
    assert [3, 9, 7, "s", "u"] == values


@pytest.mark.parametrize("schema", ["sqlite.sql", "postgres_0001.sql"])
def test_a_rare_kind_is_asked_for_as_the_index_on_kinds_has_it(schema: str) -> None:
    """A database uses a partial index only where its condition stands in the query."""
    where, _ = conditions(Query(kind="incident.opened"), PLAIN)
    rare = where.rpartition(" AND ")[2]

    assert f"ON entries (kind)        WHERE {rare};" in (SCHEMAS / schema).read_text("utf-8")


@pytest.mark.parametrize("kind", ["effect.intent", "effect.done"])
def test_a_frequent_kind_is_not_in_that_index(kind: str) -> None:
    """Its condition would contradict the query, which would find nothing."""
    assert ("idx > ? AND kind = ?", [-1, kind]) == conditions(Query(kind=kind), PLAIN)


def test_an_index_that_no_database_can_hold_is_the_largest_one() -> None:
    """It lies behind every entry all the same."""
    largest = 2**63 - 1

    _, values = conditions(Query(after=10**30, before=10**30), PLAIN, end=10**30)

    assert [largest] * 3 == values

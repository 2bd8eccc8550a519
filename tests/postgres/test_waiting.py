"""How long a ledger in PostgreSQL waits for others, and what it does when it need not wait."""

from datetime import timedelta

import psycopg
import pytest

import rml
from rml.stores.postgres import PostgresStore
from rml.stores.postgres_place import lock_timeout

LONG = timedelta(days=60)


def protected(ledger: rml.Ledger) -> rml.Ledger:
    """The ledger, with an effect that is done."""

    @rml.idempotent("payment.charge", key="key", ledger=ledger)
    def charge(key: str) -> str:
        return key

    charge("pay-1")
    return ledger


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.0, "1ms"), (1.5, "1500ms"), (1e9, "2147483647ms")]
)
def test_a_lock_timeout_is_one_that_the_server_takes(seconds: float, expected: str) -> None:
    """Nought would switch it off, and more than 31 bits are refused."""
    assert expected == lock_timeout(seconds)


def test_a_ledger_may_wait_for_months(url: str) -> None:
    """Whatever it does that could wait: an outcome has six times as long."""
    with rml.Ledger(url, timeout=LONG) as ledger:
        protected(ledger)
        ledger.write(lambda draft: draft.entries(limit=1))
        assert 2 == ledger.size
        with psycopg.connect(_conninfo(ledger)) as connection:
            ledger.on(connection).write(lambda draft: draft.entries(limit=1))


@pytest.mark.usefixtures("time_to_connect")
def test_a_work_that_only_reads_an_effect_waits_for_nobody(url: str) -> None:
    """Where this process knows nothing of it, what is there is told while others hold it."""
    with rml.Ledger(url) as theirs, rml.Ledger(url, timeout=0) as ledger:
        (effect,) = (effect.id for effect in protected(theirs).effects())
        with psycopg.connect(_conninfo(ledger)) as connection:
            theirs.on(connection).write(lambda draft: draft.of_effect(effect))
            kinds = ledger.write(lambda draft: [one.kind for one in draft.of_effect(effect)])

    assert ["effect.intent", "effect.done"] == kinds


def _conninfo(ledger: rml.Ledger) -> str:
    store = ledger._store
    assert isinstance(store, PostgresStore)
    return store._place.conninfo

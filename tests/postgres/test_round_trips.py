"""How often the server is asked, and that what a process supposes without asking is put right."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

import rml
from rml.stores.postgres import PostgresStore
from rml.stores.postgres_line import Line
from rml.stores.postgres_rows import DECIDE
from rml.stores.postgres_sealing import GATE, lock_number
from rml.stores.postgres_standing import Standing


@pytest.fixture
def other(url: str) -> Iterator[rml.Ledger]:
    """The same ledger, as another process has it."""
    with rml.Ledger(url, timeout=60) as made:
        yield made


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was sent to the server, one name a message; the sealing beside it is left out."""
    names: list[str] = []
    answer, execute = Line._answer, Line.execute

    def answered(self: Line, send: Callable[..., None], *arguments: object) -> object:
        names.append(send.__name__)
        return answer(self, send, *arguments)

    def executed(self: Line, *arguments: object, **options: object) -> object:
        names.append("execute")
        return execute(self, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr("rml.stores.postgres_sealing.Sealer.wrote", lambda _: None)
    monkeypatch.setattr(Line, "_answer", answered)
    monkeypatch.setattr(Line, "execute", executed)
    return names


def protected(ledger: rml.Ledger) -> Callable[[str], int]:
    """A handler that counts how often it ran."""
    ran: list[str] = []

    @rml.idempotent("payment.charge", key=lambda key: key, world="RML3", ledger=ledger)
    def charge(key: str) -> int:
        ran.append(key)
        return len(ran)

    return charge


def lent(ledger: rml.Ledger) -> AbstractContextManager[Line]:
    """A connection of a ledger's store, which nobody else uses meanwhile."""
    store = ledger._store
    assert isinstance(store, PostgresStore)
    return store._lend(None)


def test_an_append_is_one_message(ledger: rml.Ledger, sent: list[str]) -> None:
    """Once its statement is prepared; it reads nothing. A batch is one as well."""

    def several(draft: rml.Draft) -> None:
        for _ in range(3):
            draft.append("order.noted", world="RML3", personal={"name": "Ann"})

    appends = (
        lambda: ledger.append("order.noted", world="RML3"),
        lambda: ledger.append("order.noted", world="RML3", personal={"name": "Ann"}),
        lambda: ledger.write(several),
    )
    for append in appends:
        append()
    sent.clear()
    for append in appends:
        append()

    assert ["send_query_prepared"] * 3 == sent
    store = ledger._store
    assert isinstance(store, PostgresStore)
    assert 10 == store.waiting().count


def test_a_first_call_is_a_claim_and_an_outcome(ledger: rml.Ledger, sent: list[str]) -> None:
    """One message each; a replay is one."""
    charge = protected(ledger)
    charge("pay-1")
    sent.clear()
    assert 2 == charge("pay-2")
    assert ["send_query_prepared"] * 2 == sent
    assert 2 == charge("pay-2")

    assert ["send_query_prepared"] * 3 == sent


def test_a_replay_of_what_another_process_did_is_one_message(
    ledger: rml.Ledger, other: rml.Ledger, sent: list[str]
) -> None:
    """The claim is answered with what there is; from then on the process looks."""
    charge, theirs = protected(ledger), protected(other)
    charge("pay-1")
    assert 1 == theirs("pay-2")
    sent.clear()
    assert [1, 1] == [charge("pay-2"), charge("pay-2")]

    assert ["send_query_prepared"] * 2 == sent


def test_an_async_call_sends_as_little(ledger: rml.Ledger, sent: list[str]) -> None:
    """From its threads."""
    ran: list[str] = []

    @rml.idempotent("payment.charge", key="key", ledger=ledger)
    async def charge(key: str) -> int:
        ran.append(key)
        return len(ran)

    async def calls() -> list[int]:
        await charge("pay-1")
        sent.clear()
        return [await charge("pay-2"), await charge("pay-2")]

    assert [2, 2] == asyncio.run(calls())
    assert ["send_query_prepared"] * 3 == sent


def test_a_replay_writes_nothing(url: str, other: rml.Ledger) -> None:
    """It is given where nothing can be written, as by a standby; a first call is refused there."""
    theirs = protected(other)
    assert [1, 2] == [theirs("pay-1"), theirs("pay-2")]
    setting = quote("-c default_transaction_read_only=on")
    with rml.Ledger(f"{url}&options={setting}") as ledger:
        charge = protected(ledger)
        with pytest.raises(rml.LedgerUnavailableError):
            charge("pay-3")  # what it knows of levers from now on lets it claim at once
        assert [1, 2] == [charge("pay-1"), charge("pay-2")]


def test_a_replay_waits_for_nobody(ledger: rml.Ledger, other: rml.Ledger) -> None:
    """Though an application's transaction holds the effect, or somebody the gate alone."""
    charge, theirs = protected(ledger), protected(other)
    charge("pay-1")
    theirs("pay-2")
    (effect,) = (effect.id for effect in other.effects(key="pay-2"))
    store = ledger._store
    assert isinstance(store, PostgresStore)
    with psycopg.connect(store._place.conninfo) as connection:
        connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, %s)), "
            "pg_advisory_xact_lock(%s::int, %s::int)",
            (effect, store._oid, lock_number(store._oid), GATE),
        )
        assert 1 == charge("pay-2")


def test_a_pulled_lever_replays_and_claims_nothing(ledger: rml.Ledger, other: rml.Ledger) -> None:
    """What is done is given again; what would have run is refused, and leaves nothing behind."""
    charge, theirs = protected(ledger), protected(other)
    charge("pay-1")
    theirs("pay-2")
    rml.Levers(ledger).pull("payment.charge", by="Mina", reason="double charges")
    with pytest.raises(rml.LeverPulledError):
        charge("pay-3")
    assert [1, 1] == [charge("pay-1"), charge("pay-2")]

    assert ["pay-1", "pay-2"] == [effect.key for effect in ledger.effects()]


def test_what_cannot_be_promised_today_is_replayed_all_the_same(
    ledger: rml.Ledger, other: rml.Ledger
) -> None:
    """A fact that the handler names since may have no value for what was done before."""
    protected(other)("pay-1")

    @rml.idempotent("payment.charge", key=lambda key: key, facts=("key.amount",), ledger=ledger)
    def charge(key: str) -> int:
        return 0

    with pytest.raises(rml.InvalidInputError, match="amount"):
        charge("pay-2")
    assert 1 == charge("pay-1")


@pytest.mark.parametrize("raises", [False, True])
def test_a_work_that_rests_on_what_was_so_runs_again(
    ledger: rml.Ledger, other: rml.Ledger, raises: bool
) -> None:
    """Somebody else was faster: what the first run saw, returned or raised does not count."""
    protected(other)("pay-1")
    (effect,) = (effect.id for effect in other.effects())
    store = ledger._store
    assert isinstance(store, PostgresStore)
    store._standings.keep(effect, Standing())
    seen: list[int] = []

    def work(draft: rml.Draft) -> int:
        seen.append(len(draft.of_effect(effect)))
        if raises and not seen[-1]:
            raise LookupError(effect)
        return seen[-1]

    assert 2 == ledger.write(work)
    assert [0, 2] == seen


def test_a_claim_that_came_second_is_given_the_outcome(
    ledger: rml.Ledger, other: rml.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both found nothing when they looked, as they do while they know of no lever; it runs once."""
    mine, theirs = protected(ledger), protected(other)
    last = PostgresStore.last

    def looked(self: PostgresStore, effect: str) -> object:
        found = last(self, effect)
        if self is ledger._store:
            assert found is None
            monkeypatch.setattr(PostgresStore, "last", last)
            theirs("pay-1")
        return found

    monkeypatch.setattr(PostgresStore, "last", looked)
    assert 1 == mine("pay-1")
    assert 1 == mine("pay-2")  # its own first run


@pytest.mark.parametrize("place", [0, 1], ids=["claim", "outcome"])
def test_a_decision_that_arrives_late_records_nothing(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    """Its connection was lost before the server had read it, and it was decided anew since."""
    charge = protected(ledger)
    charge("pay-1")
    sent: list[tuple[Any, ...]] = []
    ask = Line.ask

    def lost(self: Line, *asked: Any) -> object:
        if asked[1] is not DECIDE:
            return ask(self, *asked)
        sent.append(asked)
        if len(sent) == place + 1:
            raise psycopg.OperationalError("cut")
        return ask(self, *asked)

    monkeypatch.setattr(Line, "ask", lost)
    assert 2 == charge("pay-2")
    monkeypatch.undo()
    size = ledger.size
    with lent(ledger) as line:
        line.ask(*sent[place])

    assert size == ledger.size == 4


def test_a_statement_that_a_pooler_lost_is_sent_as_text(url: str) -> None:
    """And a name that another client has prepared already stands for the same text."""
    with rml.Ledger(f"{url}&connections=1") as ledger:
        ledger.append("order.noted", world="RML3")
        with lent(ledger) as line:
            line._names_kept.clear()
        ledger.append("order.noted", world="RML3")
        with lent(ledger) as line:
            line.execute("DEALLOCATE ALL")
        ledger.append("order.noted", world="RML3")
        assert 1 == protected(ledger)("pay-1")

        assert 5 == ledger.size
        assert () == ledger.verify().problems


def test_transactions_that_see_one_moment_decide_as_well(url: str) -> None:
    """The database has another isolation as its default: what a call decides on is locked first."""
    setting = quote("-c default_transaction_isolation=serializable")
    with rml.Ledger(f"{url}&options={setting}") as ledger:
        charge = protected(ledger)
        assert [1, 1, 2] == [charge("pay-1"), charge("pay-1"), charge("pay-2")]
        assert () == ledger.verify().problems

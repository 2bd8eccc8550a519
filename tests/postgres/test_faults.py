"""What fails between a program and its server ends in a typed error or a success; nothing twice."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from urllib.parse import quote

import psycopg
import pytest
from cutting_proxy import CuttingProxy

import rml
from rml.ledger.errors import LedgerBusyError, LedgerUnavailableError
from rml.ledger.store import Query
from rml.stores.postgres import PostgresStore
from rml.stores.postgres_place import place_of

# A first call with a key sends fewer messages than this, with the sealing beside it.
MESSAGES = 16


@pytest.fixture
def owner(url: str) -> Iterator[Callable[[str], object]]:
    """Runs a statement as the schema's owner; `{}` stands for the schema."""
    place = place_of(url)
    with closing(psycopg.connect(place.conninfo, autocommit=True)) as connection:
        yield lambda text: connection.execute(text.replace("{}", place.schema))


def kinds(url: str) -> list[str]:
    """The kinds of what a ledger holds, which verifies."""
    with rml.Ledger(url) as ledger:
        assert () == ledger.verify().problems
        return [entry.kind for entry in ledger.entries()]


@pytest.mark.parametrize("lost", ["request", "answer"])
def test_an_append_survives_a_cut_at_every_point(url: str, lost: str) -> None:
    """Before the commit nothing has happened; after it the entry is looked for, and is there."""
    with CuttingProxy(url, lost) as proxy, rml.Ledger(proxy.url, timeout=60) as ledger:
        for message in range(MESSAGES):
            proxy.cut_at(message)
            ledger.append("order.noted", world="RML3")

    assert ["order.noted"] * MESSAGES == kinds(url)


@pytest.mark.parametrize("lost", ["request", "answer"])
def test_a_call_with_a_key_survives_a_cut_at_every_point(url: str, lost: str) -> None:
    """The handler runs once, and its value is what the caller gets."""
    ran: list[str] = []
    with CuttingProxy(url, lost) as proxy, rml.Ledger(proxy.url, timeout=60) as ledger:

        @rml.idempotent("payment.charge", key=lambda key: key, world="RML3", ledger=ledger)
        def charge(key: str) -> int:
            ran.append(key)
            return 42

        for message in range(MESSAGES):
            proxy.cut_at(message)
            assert 42 == charge(f"pay-{message}")

    assert [f"pay-{number}" for number in range(MESSAGES)] == ran
    found = kinds(url)
    assert found.count("effect.intent") == found.count("effect.done") == MESSAGES


def test_backends_that_are_terminated_lose_and_double_nothing(
    url: str, owner: Callable[[str], object]
) -> None:
    """Again and again, while threads append and others call with a key."""
    over = threading.Event()
    told: list[str] = []

    def write(ledger: rml.Ledger, number: int) -> None:
        @rml.idempotent("payment.charge", key=lambda key: key, world="RML3", ledger=ledger)
        def charge(key: str) -> int:
            told.append("effect.intent")
            return 1

        for step in range(15):
            ledger.append("order.noted", world="RML3")
            told.append("order.noted")
            charge(f"pay-{number}-{step}")
            told.append("effect.done")

    with rml.Ledger(f"{url}&connections=4", timeout=60) as ledger:
        threads = [threading.Thread(target=write, args=(ledger, n)) for n in range(3)]
        killer = threading.Thread(target=_terminate_until, args=(over, owner, told))
        for thread in (*threads, killer):
            thread.start()
        for thread in threads:
            thread.join()
        over.set()
        killer.join()

    assert 3 * 15 * 3 == len(told)
    assert sorted(told) == sorted(kinds(url))


def _terminate_until(
    over: threading.Event, owner: Callable[[str], object], told: list[str]
) -> None:
    """End them all, and again when somebody has come further: a slow machine starves nobody."""
    seen = -1
    while not over.wait(0.05):
        if seen == len(told):
            continue
        seen = len(told)
        owner(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'rml' AND pid <> pg_backend_pid() "
            "AND query LIKE '%\"{}\"%'"
        )


@pytest.mark.parametrize("code", ["40001", "40P01"])
def test_what_was_taken_back_for_another_is_done_again(
    url: str, owner: Callable[[str], object], code: str
) -> None:
    """A serialization failure or a deadlock: the work runs again, its entries are there once."""
    owner("CREATE SEQUENCE {}.failures")
    owner(_trigger(code, "nextval('{}.failures') < 3"))
    ran: list[int] = []
    with rml.Ledger(url) as ledger:

        def work(draft: rml.Draft) -> None:
            ran.append(1)
            draft.entries(kind="order.noted")
            draft.append("order.noted", world="RML3")

        ledger.write(work)
        ledger.append("order.other", world="RML3")
    owner("DROP FUNCTION {}.fail() CASCADE")

    assert [1, 1, 1] == ran
    assert ["order.noted", "order.other"] == kinds(url)


def _trigger(code: str, condition: str) -> str:
    return (
        "CREATE FUNCTION {}.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF {condition} THEN RAISE EXCEPTION 'made up' USING ERRCODE = '{code}'; END IF; "
        "RETURN NEW; END $$; CREATE TRIGGER fail BEFORE INSERT ON {}.entries "
        "FOR EACH ROW EXECUTE FUNCTION {}.fail()"
    )


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("53100", LedgerUnavailableError),
        ("57014", LedgerBusyError),
        ("42501", LedgerUnavailableError),
        ("58030", LedgerUnavailableError),
    ],
)
def test_what_the_server_refuses_is_a_typed_error(
    url: str, owner: Callable[[str], object], code: str, error: type[rml.RmlError]
) -> None:
    """A full disk, a statement that took too long, a missing right: nothing was recorded."""
    owner(_trigger(code, "true"))
    with rml.Ledger(url) as ledger:
        with pytest.raises(error) as caught:
            ledger.append("order.noted", world="RML3")
        assert caught.value.happened is False
        owner("DROP FUNCTION {}.fail() CASCADE")
        ledger.append("order.noted", world="RML3")

    assert ["order.noted"] == kinds(url)


def with_setting(url: str, setting: str) -> str:
    """The same ledger, in sessions with a setting."""
    return f"{url}&options={quote(f'-c {setting}')}"


def test_a_statement_timeout_is_a_busy_ledger(url: str, owner: Callable[[str], object]) -> None:
    """Somebody locks the table for longer than the server lets a statement wait."""
    with rml.Ledger(f"{url}&connections=1", timeout=60) as ledger:
        store = ledger._store
        assert isinstance(store, PostgresStore)
        with store._lend(None) as line:  # on a busy machine anything else may take as long
            line.execute("SET statement_timeout = 100")
        owner("BEGIN; LOCK TABLE {}.entries IN EXCLUSIVE MODE")
        with pytest.raises(LedgerBusyError):
            ledger.append("order.noted", world="RML3")
        owner("ROLLBACK")

    assert [] == kinds(url)


def test_a_server_that_is_read_only_is_read(url: str) -> None:
    """As a standby is: everything can be read, and a write says why not."""
    with rml.Ledger(url) as ledger:
        ledger.append("order.noted", world="RML3")
    with rml.Ledger(with_setting(url, "default_transaction_read_only=on")) as ledger:
        with pytest.raises(LedgerUnavailableError, match="read-only"):
            ledger.append("order.noted", world="RML3")
        assert 1 == ledger.size
        assert ledger.verify().ok


def test_a_server_that_is_away_is_an_unavailable_ledger(url: str) -> None:
    """At opening, and later."""
    with pytest.raises(LedgerUnavailableError):
        rml.Ledger("postgresql://nobody@127.0.0.1:1/none")


def test_works_that_wait_for_each_other_end_at_their_deadline(url: str) -> None:
    """The one that came later is told that the ledger is busy."""
    entered, leave = threading.Event(), threading.Event()

    def slow(draft: rml.Draft) -> None:
        draft.entries(kind="a.b")
        entered.set()
        leave.wait(100)

    with rml.Ledger(url) as ledger:
        holder = threading.Thread(target=ledger.write, args=(slow,))
        holder.start()
        entered.wait(60)
        began = time.monotonic()
        try:
            with pytest.raises(LedgerBusyError):
                ledger.write(lambda draft: draft.entries(kind="a.b"), timeout=0.2)
            ledger.append("order.noted", world="RML3")  # which waits for nobody
            assert time.monotonic() - began < 60
        finally:
            leave.set()
            holder.join()


def test_a_forked_child_has_connections_of_its_own(url: str) -> None:
    """And leaves its parent's alone."""
    from children import in_child

    with rml.Ledger(url) as ledger:
        ledger.append("order.noted", world="RML3")
        assert 1 == ledger.size

        def work() -> int:
            ledger.append("order.child", world="RML3")
            return ledger.size

        assert 2 == in_child(work)
        ledger.append("order.noted", world="RML3")
        assert 3 == sum(1 for _ in ledger._store.select(Query()))

"""Indexes come a moment after the commit: nobody waits for them, and no reader skips an entry."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

import psycopg
import pytest

import rml
from rml.ledger.store import Query
from rml.stores import postgres_rows, postgres_sealing
from rml.stores.postgres import PostgresStore
from rml.stores.postgres_place import place_of
from rml.testing.scribe import Scribe, id_of, ids_in
from rml.testing.stores import opening_of

PROCESSES, ENTRIES = 3, 40

WRITER = """
import random, sys, time
import rml

class Aborted(Exception): pass

def with_work_inside(draft):
    draft.append("order.noted", world="RML3", facts={"n": n})
    draft.entries(kind="order.none")          # reads, so what is appended is sent before
    time.sleep(random.random() * 0.005)
    if random.random() < 0.2:
        raise Aborted

url, number, entries = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
random.seed(number)
with rml.Ledger(url, timeout=100) as ledger:
    for n in range(entries):
        if n % 4:
            ledger.append("order.noted", world="RML3", facts={"n": n})
            print(n)
            continue
        try:
            ledger.write(with_work_inside)
            print(n)
        except Aborted:
            pass
"""


@pytest.fixture
def store(url: str) -> Iterator[PostgresStore]:
    """An empty ledger's store."""
    made = PostgresStore(opening_of(url))
    yield made
    made.close()


@contextmanager
def raw(url: str) -> Iterator[tuple[psycopg.Connection[Any], Callable[[str], str]]]:
    """A connection of somebody else's, in no transaction."""
    place = place_of(url)
    with closing(psycopg.connect(place.conninfo, autocommit=True)) as connection:
        yield connection, place.sql


def sealer_lock(store: PostgresStore) -> tuple[int, int]:
    """The numbers of the sealer's lock."""
    return postgres_sealing.lock_number(store._oid), postgres_sealing.SEALER


def test_cursors_of_many_readers_miss_nothing(url: str) -> None:
    """Several processes write, with work inside their transactions and aborts; readers poll."""
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, url, str(number), str(ENTRIES)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    over = threading.Event()

    def read() -> list[str]:
        with rml.Ledger(url, timeout=100) as ledger:
            found: list[str] = []
            follower = ledger.follow(poll=0.001, wait=lambda s: time.sleep(s) or over.is_set())
            found += [entry.id for entry in follower]
            return found + [entry.id for entry in follower]

    results: list[list[str]] = []
    readers = [threading.Thread(target=lambda: results.append(read())) for _ in range(2)]
    for reader in readers:
        reader.start()
    told = [len(writer.communicate(timeout=100)[0].split()) for writer in writers]
    with rml.Ledger(url) as ledger:
        ids = [entry.id for entry in ledger.entries()]
        over.set()
        for reader in readers:
            reader.join()

        assert [0] * PROCESSES == [writer.returncode for writer in writers]
        assert sum(told) == len(ids) == len(set(ids))
        assert [ids, ids] == results
        assert ledger.verify().ok


def test_a_long_transaction_of_somebody_s_own_stalls_nobody(url: str, store: PostgresStore) -> None:
    """What it inserted is sealed after its commit, behind what came later and was sealed before."""
    scribe = Scribe(store.origin)
    early, late = scribe.seal(), scribe.seal()
    with raw(url) as (connection, sql):
        statement, values = postgres_rows.insertion([early])
        connection.execute("BEGIN")
        connection.execute(sql(statement), values)

        store.write(lambda t: t.append(late), timeout=5)
        assert [id_of(late)] == ids_in(store)
        connection.execute("COMMIT")

    scribe.append(store)
    assert [id_of(late), id_of(early)] == ids_in(store)[:2]


def test_an_append_waits_for_no_sealer(url: str, store: PostgresStore) -> None:
    """While somebody holds the sealer's lock entries are durable and wait; then they are sealed."""
    scribe = Scribe(store.origin)
    with raw(url) as (connection, _):
        connection.execute("BEGIN")
        connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", sealer_lock(store))
        for _ in range(3):
            scribe.append(store)
        assert 3 == store.waiting().count

        connection.execute("ROLLBACK")
    assert 3 == store.head().size
    assert 0 == store.waiting().count


def test_a_sealer_that_dies_blocks_nobody(url: str, store: PostgresStore) -> None:
    """Its lock goes with its connection, and what it did not commit is as if it had not been."""
    Scribe(store.origin).append(store, 3)
    with raw(url) as (connection, sql), raw(url) as (other, _):
        connection.execute("BEGIN")
        connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", sealer_lock(store))
        connection.execute(sql("UPDATE ~head SET size = size WHERE FALSE"))
        other.execute("SELECT pg_terminate_backend(%s)", (connection.info.backend_pid,))

        assert 3 == store.head().size


def test_what_a_dead_process_left_is_sealed_by_who_comes_next(url: str) -> None:
    """It appended and was killed before anybody sealed."""
    script = (
        "import os, sys, rml\n"
        "rml.Ledger(sys.argv[1]).append('order.noted', world='RML3')\n"
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script, url], check=False)

    with rml.Ledger(url) as ledger:
        assert 1 == ledger.size


def test_the_sealer_comes_by_itself(store: PostgresStore) -> None:
    """Within a moment of the append, without any reader of this process."""
    Scribe(store.origin).append(store)

    deadline = time.monotonic() + 60
    while store.waiting().count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_follower_is_woken(url: str) -> None:
    """By the sealing, long before it would look again by the clock."""
    with rml.Ledger(url) as reading, rml.Ledger(url) as writing:
        reading._store.rest(0.01)  # from now on it listens
        follower = iter(reading.follow(poll=100))
        found: list[rml.Entry] = []
        reader = threading.Thread(target=lambda: found.append(next(follower)))
        reader.start()
        receipt = writing.append("order.noted", world="RML3")
        reader.join(60)

    assert [receipt.id] == [entry.id for entry in found]


def test_a_receipt_s_index_can_be_waited_for(url: str) -> None:
    """It is `None` at first: the index comes with the sealing."""
    with rml.Ledger(url) as ledger:
        receipts = [ledger.append("order.noted", world="RML3") for _ in range(3)]

        assert [None] * 3 == [receipt.index for receipt in receipts]
        assert [0, 1, 2] == [ledger.index_of(receipt.id) for receipt in receipts]


def in_two_ledgers(url: str, work: Callable[[rml.Ledger, int], Any], times: int = 4) -> list[Any]:
    """What a work returns or raises in threads that share two ledgers, all at once."""
    results: list[Any] = []
    barrier = threading.Barrier(times)

    def run(ledger: rml.Ledger, number: int) -> None:
        barrier.wait()
        try:
            results.append(work(ledger, number))
        except rml.RmlError as error:
            results.append(type(error))

    with rml.Ledger(url, timeout=60) as one, rml.Ledger(url, timeout=60) as two:
        threads = [
            threading.Thread(target=partial(run, (one, two)[number % 2], number))
            for number in range(times)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert one.verify().ok
    return results


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read"])
def test_one_key_runs_once_over_machines(url: str, isolation: str) -> None:
    """The others wait for the first one's answer, whatever isolation is the database's default."""
    escaped = isolation.replace(" ", "\\ ")
    options = {"options": f"-c default_transaction_isolation={escaped}"}
    url = f"{url}&{urlencode(options, quote_via=quote)}"
    ran: list[int] = []

    def work(ledger: rml.Ledger, number: int) -> int:
        @rml.idempotent("payment.charge", key=lambda: "pay-1", world="RML3", ledger=ledger, wait=60)
        def charge() -> int:
            ran.append(number)
            return 42

        return charge()

    assert [42] * 4 == in_two_ledgers(url, work)
    assert 1 == len(ran)


def test_corrections_together_never_take_back_too_much(url: str) -> None:
    """Each decides on what the others did before."""
    with rml.Ledger(url) as ledger:
        original = ledger.append("payment.charge", world="RML3", facts={"amount": 100}).id

    def work(ledger: rml.Ledger, _: int) -> str:
        facts = {"amount": 60}
        ledger.append("payment.refund", world="RML3", facts=facts, corrects=original)
        return "done"

    results = in_two_ledgers(url, work)

    assert 1 == results.count("done")
    assert 3 == results.count(rml.OverCorrectionError)


def test_the_clock_of_an_entry_is_that_of_its_commit(store: PostgresStore) -> None:
    """Not that of its sealing; the index alone is the order."""
    scribe = Scribe(store.origin)
    sealed = [scribe.seal() for _ in range(2)]
    for one in reversed(sealed):
        store.write(lambda t, one=one: t.append(one), timeout=5)  # type: ignore[misc]

    entries = list(store.select(Query()))
    assert [id_of(one) for one in reversed(sealed)] == [entry.id for entry in entries]
    assert entries[0].recorded_at > entries[1].recorded_at

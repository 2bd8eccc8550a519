"""The connections that a ledger file is read with: one reader each, none open while a fork is."""

import sqlite3
import threading
from collections.abc import Callable, Iterator

import pytest

from rml.stores.sqlite_readers import IDLE_MAX, Readers


@pytest.fixture
def readers() -> Iterator[Readers]:
    """A pool of connections that any thread may use; all are closed in the end."""
    opened: list[sqlite3.Connection] = []

    def connect() -> sqlite3.Connection:
        opened.append(sqlite3.connect(":memory:", check_same_thread=False))
        return opened[-1]

    yield Readers(connect)
    for connection in opened:
        connection.close()


def is_closed(connection: sqlite3.Connection) -> bool:
    """Say whether a connection is closed."""
    try:
        connection.execute("SELECT 1")
    except sqlite3.ProgrammingError:
        return True
    return False


def in_threads(count: int, work: Callable[[], None]) -> None:
    """Do the same in several threads at once, and see to it that all end well."""
    ended: list[None] = []
    threads = [threading.Thread(target=lambda: ended.append(work())) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count == len(ended)


def test_what_is_given_back_is_lent_again(readers: Readers) -> None:
    """To open a connection costs more than most of what is asked."""
    first = readers.take()
    readers.give(first)

    assert first is readers.take()


def test_no_two_readers_have_the_same_connection(readers: Readers) -> None:
    """There is no lock around an idle one, and none is needed."""
    lent: set[int] = set()

    def work() -> None:
        for _ in range(500):
            connection = readers.take()
            assert id(connection) not in lent
            lent.add(id(connection))
            lent.remove(id(connection))
            readers.give(connection)

    in_threads(8, work)


def test_a_crowds_connections_are_not_all_kept(readers: Readers) -> None:
    """More than some are closed as they come back."""
    crowd = [readers.take() for _ in range(IDLE_MAX + 2)]
    for connection in crowd:
        readers.give(connection)

    assert [False] * IDLE_MAX + [True] * 2 == [is_closed(connection) for connection in crowd]


def test_what_was_lent_when_the_pool_was_closed_is_closed_as_it_comes_back(
    readers: Readers,
) -> None:
    """And what was idle, at once."""
    lent, idle = readers.take(), readers.take()
    readers.give(idle)

    readers.close()
    assert (True, False) == (is_closed(idle), is_closed(lent))

    readers.give(lent)
    assert is_closed(lent)


def test_a_fork_waits_for_what_is_lent_and_readers_wait_for_the_fork(readers: Readers) -> None:
    """SQLite's locks do not survive being copied into a child, so none is open then."""
    lent = readers.take()
    assert not readers.hold(0)

    in_threads(1, lambda: readers.give(lent))
    assert readers.hold(30)
    assert is_closed(lent)

    waiting = threading.Thread(target=readers.take)
    waiting.start()
    assert waiting.is_alive()
    readers.let_go()
    waiting.join()


def test_a_connection_that_could_not_be_opened_holds_up_no_fork() -> None:
    """It does not count as lent."""

    def fail() -> sqlite3.Connection:
        raise sqlite3.OperationalError("unable to open database file")

    readers = Readers(fail)
    with pytest.raises(sqlite3.OperationalError):
        readers.take()

    assert readers.hold(0)

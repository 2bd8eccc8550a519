"""Connections: one stays at hand, and nobody waits at the pool for it."""

import threading
from collections.abc import Iterator

import pytest

import rml
from rml.stores import postgres_lines
from rml.stores.postgres_lines import Lines
from rml.stores.postgres_place import place_of

SECONDS = 60.0


@pytest.fixture
def lines(url: str) -> Iterator[Lines]:
    """Those of a store that has one connection at most."""
    made = Lines(place_of(f"{url}&connections=1"))
    yield made
    made.close()


def backend(lines: Lines) -> int:
    """Which of the server's processes is spoken to."""
    with lines.lend(SECONDS) as line:
        return line.info.backend_pid


def test_the_connection_that_came_back_last_is_lent_next(lines: Lines) -> None:
    """The pool has none of it."""
    first = backend(lines)
    with lines.lend(SECONDS) as line:
        assert [] == lines._at_hand
    assert [line] == lines._at_hand

    assert first == backend(lines)


def test_who_waits_at_the_pool_gets_what_comes_back(lines: Lines) -> None:
    """Many threads share one connection, and each has it in the end."""
    had: list[int] = []

    def use() -> None:
        had.extend(backend(lines) for _ in range(20))

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 80 == len(had)
    assert 1 == len(set(had))


def test_it_goes_back_to_the_pool_in_time(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which renews connections that are old."""
    monkeypatch.setattr(postgres_lines, "AT_HAND_SECONDS", 0.0)
    backend(lines)

    assert [] == lines._at_hand


def test_one_that_was_left_in_a_transaction_is_not_kept(lines: Lines) -> None:
    """The pool takes the transaction back."""
    with lines.lend(SECONDS) as line:
        line.execute("BEGIN")
    assert [] == lines._at_hand

    with lines.lend(SECONDS) as line:
        assert not line.info.transaction_status


def test_what_is_lent_while_the_store_is_closed_is_closed_when_it_comes_back(lines: Lines) -> None:
    """And nothing is lent from then on."""
    with lines.lend(SECONDS) as line:
        lines.close()
        assert not line.closed
    assert line.closed

    with pytest.raises(rml.LedgerUnavailableError, match="is closed"), lines.lend(SECONDS):
        pass

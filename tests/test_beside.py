"""Work beside its reader: in order, never far ahead, and over when the reader is gone."""

import threading
from collections.abc import Iterator

import pytest

from rml.ledger.checks.beside import beside


@pytest.mark.parametrize("ahead", [0, 1, 8])
@pytest.mark.parametrize("count", [0, 1, 100])
def test_items_come_in_order(count: int, ahead: int) -> None:
    """All of them, with a thread or without."""
    with beside(iter(range(count)), ahead=ahead) as items:
        assert list(range(count)) == list(items)


@pytest.mark.parametrize("ahead", [0, 3])
def test_an_error_is_raised_to_the_reader(ahead: int) -> None:
    """After what came before it."""

    def failing() -> Iterator[int]:
        yield 1
        raise KeyError("mine")

    with beside(failing(), ahead=ahead) as items:
        assert 1 == next(items)
        with pytest.raises(KeyError, match="mine"):
            next(items)


def test_it_runs_in_another_thread() -> None:
    """That is what it is for; with nothing ahead there is none."""
    for ahead, is_own in ((0, True), (1, False)):
        with beside((threading.get_ident() for _ in range(1)), ahead=ahead) as items:
            assert is_own is (threading.get_ident() == next(items))


@pytest.mark.parametrize("ahead", [1, 4])
def test_it_is_never_further_ahead(ahead: int) -> None:
    """So many items wait, and one is begun: memory stays flat."""
    made = threading.Semaphore(0)
    count = 0

    def counting() -> Iterator[int]:
        nonlocal count
        while True:
            count += 1
            made.release()
            yield count

    with beside(counting(), ahead=ahead) as items:
        for _ in range(ahead + 1):
            assert made.acquire(timeout=30)
        assert ahead + 1 >= count
        assert [1, 2, 3] == [next(items) for _ in range(3)]

    assert ahead + 4 >= count
    assert not any(thread.name == "rml-beside" for thread in threading.enumerate())


def test_a_reader_that_fails_ends_the_work() -> None:
    """Its own error is not lost, and no thread is left behind."""

    def read() -> None:
        with beside(iter(range(1_000)), ahead=2) as items:
            next(items)
            raise ValueError("reader")

    with pytest.raises(ValueError, match="reader"):
        read()

    assert not any(thread.name == "rml-beside" for thread in threading.enumerate())


def test_without_threads_it_is_done_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that has no more threads is no reason to fail."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)

    with beside(iter(range(3)), ahead=1) as items:
        assert [0, 1, 2] == list(items)

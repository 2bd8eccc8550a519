"""Work that goes on beside its reader: an iteration in a thread of its own, a few items ahead."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


@contextmanager
def beside(items: Iterable[T], *, ahead: int) -> Iterator[Iterator[T]]:
    """Iterate in a thread; what is not read any more is not made, but for the item begun.

    Args:
        items: what to iterate over; an error that it raises is raised to the reader.
        ahead: how many items may be waiting for the reader; 0 for no thread.
    """
    if ahead == 0:
        yield iter(items)
        return
    work = _Work(items, ahead)
    thread = threading.Thread(target=work.run, name="rml-beside", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # out of threads: late is better than never
        yield iter(items)
        return
    try:
        yield work.read()
    finally:
        work.end()
        thread.join()


class _Work(Generic[T]):
    def __init__(self, items: Iterable[T], ahead: int) -> None:
        self._items = items
        self._room = threading.Semaphore(ahead)
        self._made: SimpleQueue[tuple[T] | BaseException | None] = SimpleQueue()
        self._is_over = False

    def run(self) -> None:
        try:
            for item in self._items:
                self._made.put((item,))
                self._room.acquire()
                if self._is_over:
                    return
        except BaseException as error:  # noqa: BLE001 - it is raised to the reader
            self._made.put(error)
        else:
            self._made.put(None)

    def read(self) -> Iterator[T]:
        while (made := self._made.get()) is not None:
            if isinstance(made, BaseException):
                raise made
            self._room.release()
            yield made[0]

    def end(self) -> None:
        self._is_over = True
        self._room.release()

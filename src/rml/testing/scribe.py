"""What the store contract is told with: entries in a row, threads at once, and expectations."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import attrs

from rml.clock import SeededIds, SystemClock
from rml.ledger.content import seal_personal
from rml.ledger.entry import Entry, Sealed
from rml.ledger.store import Opening, Query, Row, Store, Transaction
from rml.world import World

# How long a test waits for another thread before it says that the store hangs, in seconds.
PATIENCE_SECONDS: Final = 30.0
EPOCH: Final = datetime(2026, 11, 20, 19, tzinfo=UTC)
EFFECT: Final = "ef_0123456789abcdef0123456789abcdef"


def opening_of(url: str, *, origin: str | None = None, create: bool = True) -> Opening:
    """Return what a store is told when it is opened, with the clocks and waits of everyday use."""
    return Opening(
        url=url,
        origin=origin,
        new_origin="example.com/contract",
        clock=SystemClock(),
        ids=SeededIds(),
        create=create,
        timeout=PATIENCE_SECONDS,
    )


@contextmanager
def raises(kind: type[BaseException]) -> Iterator[None]:
    """Expect an error, without a test framework's help."""
    try:
        yield
    except kind:
        return
    raise AssertionError(f"no {kind.__name__} was raised")


class OwnError(Exception):
    """What a caller's work raises for reasons of its own."""


class Scribe:
    """Makes entries, a second apart, with ids that are the same in every run."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._ids = SeededIds()
        self._made = 0

    def seal(self, *, personal: dict[str, Any] | None = None, **fields: Any) -> Sealed:
        """Return one more entry as a store is given it."""
        at = EPOCH + timedelta(seconds=self._made)
        self._made += 1
        commitments, beside = seal_personal(personal or {})
        given = {"id": self._ids.new(at), "kind": "payment.noted", "world": World.RML3} | fields
        entry = Entry(origin=self._origin, at=at, recorded_at=at, commitments=commitments, **given)
        return entry.seal(beside)

    def append(self, store: Store, count: int = 1, **fields: Any) -> list[Sealed]:
        """Write so many entries in one commit."""
        sealed = [self.seal(**fields) for _ in range(count)]

        def work(transaction: Transaction) -> None:
            for one in sealed:
                transaction.append(one)

        store.write(work, timeout=PATIENCE_SECONDS)
        return sealed


def in_threads(works: list[Callable[[], Any]]) -> list[Any]:
    """Run each work in a thread of its own; return what each returned or raised."""
    results: list[Any] = [None] * len(works)

    def run(place: int, work: Callable[[], Any]) -> None:
        try:
            results[place] = work()
        except Exception as error:  # noqa: BLE001 - the caller looks at it
            results[place] = error

    threads = [threading.Thread(target=run, args=given) for given in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive(), "a write hangs"
    return results


def id_of(sealed: Sealed) -> str:
    """Return the id inside a sealed entry."""
    return str(sealed.columns[0])


def ids_in(store: Store, **conditions: Any) -> list[str]:
    """Return the ids of the entries that a store selects."""
    return [entry.id for entry in store.select(Query(**conditions))]


def append_all(sealed: list[Sealed], transaction: Transaction) -> list[int | None]:
    """Append every entry; return the indexes that were given."""
    return [transaction.append(one) for one in sealed]


def expect(store: Store, ids: list[str], **conditions: Any) -> None:
    """Ask a store the same in every way there is."""
    assert ids == ids_in(store, **conditions), f"asked for {conditions}"
    assert len(ids) == store.count(Query(**conditions)), f"counted {conditions}"
    in_work = store.write(
        lambda t: [entry.id for entry in t.select(Query(**conditions))], timeout=PATIENCE_SECONDS
    )
    assert ids == in_work, f"asked for {conditions} inside a commit"


def erase(erased: Sealed, entry: str, left: list[str], transaction: Transaction) -> None:
    """Record an erasure and carry it out."""
    transaction.append(erased)
    transaction.keep_only(entry, left)


def as_text(row: Row) -> Row:
    """Columns may come as bytes: a store does not trust that they are text."""
    columns = tuple(c.decode() if isinstance(c, bytes) else c for c in row.columns)
    return attrs.evolve(row, columns=columns)

"""The promises that every store of a ledger keeps, as tests to run over your own.

Subclass :class:`StoreContract` where pytest finds it, and say how a new, empty store is made::

    class TestMyStore(StoreContract):
        def new_store(self) -> Store:
            return MyStore(opening_of(f"mystore://{uuid4()}"))

        def opened_again(self, store: Store) -> Store:
            return MyStore(opening_of(store.url))
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import attrs

from rml.clock import SeededIds, SystemClock, utc_text
from rml.error import InvalidInputError, RmlError
from rml.ledger.draft import seal_personal
from rml.ledger.entry import COLUMNS, ENTRY_BYTES_MAX, Entry, Sealed, leaf_hash
from rml.ledger.errors import LedgerBusyError, LedgerUnavailableError
from rml.ledger.store import Lease, Opening, Query, Row, Store, Transaction
from rml.ledger.tree import EMPTY_ROOT, TILE_WIDTH, Frontier, Tile
from rml.ledger.verify import verify
from rml.world import World

__all__ = ["StoreContract", "opening_of"]

# How long a test waits for another thread before it says that the store hangs, in seconds.
PATIENCE_SECONDS: Final = 30.0
_EPOCH: Final = datetime(2026, 11, 20, 19, tzinfo=UTC)
_EFFECT: Final = "ef_0123456789abcdef0123456789abcdef"


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
def _raises(kind: type[BaseException]) -> Iterator[None]:
    try:
        yield
    except kind:
        return
    raise AssertionError(f"no {kind.__name__} was raised")


class _OwnError(Exception):
    """What a caller's work raises for reasons of its own."""


class _Scribe:
    """Makes entries, a second apart, with ids that are the same in every run."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._ids = SeededIds()
        self._made = 0

    def seal(self, *, personal: dict[str, Any] | None = None, **fields: Any) -> Sealed:
        """Return one more entry as a store is given it."""
        at = _EPOCH + timedelta(seconds=self._made)
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


def _in_threads(works: list[Callable[[], Any]]) -> list[Any]:
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


def _id(sealed: Sealed) -> str:
    return str(sealed.columns[0])


def _ids(store: Store, **conditions: Any) -> list[str]:
    return [entry.id for entry in store.select(Query(**conditions))]


class StoreContract:
    """What a store promises; each test begins with a store that :meth:`new_store` makes."""

    def new_store(self) -> Store:
        """Return a new store of an empty ledger."""
        raise NotImplementedError

    def opened_again(self, store: Store) -> Store | None:
        """Close a store and open its ledger again; ``None`` if it does not outlive its store."""
        store.close()
        return None

    # What is appended ----------------------------------------------------------------------------

    def test_a_new_store_is_empty(self) -> None:
        """No entries, the root of nothing, and nothing wrong."""
        store = self.new_store()

        assert (0, EMPTY_ROOT) == (store.head().size, store.head().root)
        assert (
            list(store.rows()),
            list(store.tiles()),
            store.leases(),
            store.findings(),
        ) == ([], [], [], [])
        assert verify(store).ok

    def test_rows_are_what_was_sealed(self) -> None:
        """Bytes, leaf, columns and what is kept beside, in the order of appending."""
        store = self.new_store()
        full: dict[str, Any] = {name: f"{name} é" for name in COLUMNS[5:] if name != "attempt"}
        scribe = _Scribe(store.origin)
        sealed = [
            *scribe.append(store),
            *scribe.append(store, attempt=3, facts={"amount": 1}, **full),
            *scribe.append(store, 2, personal={"email": "ada@example.com", "b": [1.5, None]}),
        ]

        expected = [
            Row(i, one.data, one.leaf, one.personal, one.columns) for i, one in enumerate(sealed)
        ]
        assert expected == [_as_text(row) for row in store.rows()]

    def test_the_largest_entry_is_kept(self) -> None:
        """65,535 bytes, and text of every kind."""
        store = self.new_store()
        scribe = _Scribe(store.origin)
        text = "\"\\'%_;--\0\u2028é😀"
        room = ENTRY_BYTES_MAX - len(scribe.seal(facts={"x": "", "text": text}).data)

        (sealed,) = scribe.append(store, facts={"x": "x" * room, "text": text})

        assert [sealed.data] == [row.data for row in store.rows()]
        assert [text] == [entry.facts["text"] for entry in store.select(Query())]

    def test_indexes_count_from_zero_without_gaps(self) -> None:
        """Within a commit and across commits; a store that seals later says so with `None`."""
        store = self.new_store()
        scribe = _Scribe(store.origin)
        given: list[int | None] = []
        for count in (1, 3, 2):
            work = partial(_append_all, [scribe.seal() for _ in range(count)])
            given += store.write(work, timeout=PATIENCE_SECONDS)

        assert all(index in (None, place) for place, index in enumerate(given))
        assert list(range(6)) == [row.index for row in store.rows()]

    def test_head_and_tiles_are_those_of_one_tree(self) -> None:
        """RFC 6962, whether leaves come one by one or hundreds at once."""
        store = self.new_store()
        scribe = _Scribe(store.origin)
        frontier, tiles = Frontier(), list[Tile]()
        for count in (1, TILE_WIDTH - 2, 1, 1, 2 * TILE_WIDTH):
            for one in scribe.append(store, count):
                tiles += frontier.add(leaf_hash(one.data))
            assert (frontier.size, frontier.root()) == (store.head().size, store.head().root)

        assert tiles == list(store.tiles())
        assert verify(store).ok

    def test_an_id_is_used_once(self) -> None:
        """A second entry with the same id is refused with all of its commit."""
        store = self.new_store()
        scribe = _Scribe(store.origin)
        (first,) = scribe.append(store)
        again = scribe.seal(id=_id(first))

        def work(transaction: Transaction) -> None:
            transaction.append(scribe.seal())
            transaction.append(again)

        with _raises(RmlError):
            store.write(work, timeout=PATIENCE_SECONDS)

        assert [_id(first)] == _ids(store)
        assert verify(store).ok

    # Commits -------------------------------------------------------------------------------------

    def test_a_write_returns_what_its_work_returned(self) -> None:
        """Also when it appended nothing."""
        store = self.new_store()

        assert store.write(lambda _: {"a": 1}, timeout=PATIENCE_SECONDS) == {"a": 1}
        assert 0 == store.head().size

    def test_a_work_sees_its_own_entries(self) -> None:
        """Before anybody else does."""
        store = self.new_store()
        scribe = _Scribe(store.origin)
        (before,) = scribe.append(store)
        own = scribe.seal(effect=_EFFECT)

        def work(transaction: Transaction) -> tuple[list[str], list[str]]:
            transaction.append(own)
            seen = [entry.id for entry in transaction.select(Query())]
            return seen, [entry.id for entry in transaction.of_effect(_EFFECT)]

        seen = store.write(work, timeout=PATIENCE_SECONDS)

        assert ([_id(before), _id(own)], [_id(own)]) == seen

    def test_a_work_that_fails_leaves_nothing(self) -> None:
        """Its error is the caller's own, and the next write finds everything as it was."""
        store = self.new_store()
        scribe = _Scribe(store.origin)
        (kept,) = scribe.append(store)
        for error in (_OwnError("no"), KeyboardInterrupt()):

            def work(transaction: Transaction, error: BaseException = error) -> None:
                transaction.append(scribe.seal())
                transaction.put_lease(Lease(_EFFECT, 1, "me", utc_text(_EPOCH)))
                raise error

            with _raises(type(error)):
                store.write(work, timeout=PATIENCE_SECONDS)
            assert ([_id(kept)], [], 1) == (_ids(store), store.leases(), store.head().size)

        (after,) = scribe.append(store)

        assert [_id(kept), _id(after)] == _ids(store)
        assert verify(store).ok

    def test_a_write_inside_a_write_is_refused(self) -> None:
        """It would wait for itself."""
        store = self.new_store()
        scribe = _Scribe(store.origin)

        def work(transaction: Transaction) -> None:
            transaction.append(scribe.seal())
            scribe.append(store)

        with _raises(InvalidInputError):
            store.write(work, timeout=PATIENCE_SECONDS)

        assert _ids(store) == []
        assert 1 == len(scribe.append(store))

    def test_a_busy_store_says_so_when_the_time_is_up(self) -> None:
        """Nothing is recorded then, and nothing later."""
        store = self.new_store()
        scribe = _Scribe(store.origin)
        entered, leave = threading.Event(), threading.Event()

        def slow(transaction: Transaction) -> None:
            entered.set()
            assert leave.wait(PATIENCE_SECONDS)
            transaction.append(scribe.seal())

        holder = threading.Thread(target=partial(store.write, slow, timeout=PATIENCE_SECONDS))
        holder.start()
        try:
            assert entered.wait(PATIENCE_SECONDS)
            with _raises(LedgerBusyError):
                store.write(lambda t: t.append(scribe.seal()), timeout=0)
        finally:
            leave.set()
            holder.join(PATIENCE_SECONDS)

        scribe.append(store)
        assert 2 == store.head().size

    def test_threads_append_without_gaps(self) -> None:
        """Each gets its own result, and the tree is that of the rows."""
        store = self.new_store()
        scribe = _Scribe(store.origin)
        sealed = [scribe.seal() for _ in range(40)]

        def append(one: Sealed) -> str:
            def work(transaction: Transaction) -> str:
                transaction.append(one)
                return _id(one)

            return store.write(work, timeout=PATIENCE_SECONDS)

        results = _in_threads([partial(append, one) for one in sealed])

        assert [_id(one) for one in sealed] == results
        assert sorted(results) == sorted(_ids(store))
        assert verify(store).ok

    def test_an_error_spoils_nobody_else_s_commit(self) -> None:
        """Works that are committed together fail alone."""
        store = self.new_store()
        scribe = _Scribe(store.origin)
        sealed = [scribe.seal() for _ in range(20)]

        def append(place: int) -> int:
            def work(transaction: Transaction) -> int:
                transaction.append(sealed[place])
                if place % 3 == 0:
                    raise _OwnError(place)
                return place

            return store.write(work, timeout=PATIENCE_SECONDS)

        results = _in_threads([partial(append, place) for place in range(20)])

        for place, result in enumerate(results):
            if place % 3 == 0:
                assert isinstance(result, _OwnError)
                assert (place,) == result.args
            else:
                assert place == result
        assert sorted(_id(one) for i, one in enumerate(sealed) if i % 3) == sorted(_ids(store))
        assert verify(store).ok

    # Questions -----------------------------------------------------------------------------------

    def test_each_condition_selects(self) -> None:
        """All of them must hold; entries come by index; counts agree."""
        store = self.new_store()
        scribe = _Scribe(store.origin)
        words = ("operation", "effect", "corrects", "incident", "correlation")

        def same(text: str) -> dict[str, Any]:
            return dict.fromkeys(words, text)

        sealed = [
            *scribe.append(store, kind="a.b", world=World.RML1),
            *scribe.append(store, 2, kind="effect.intent", **same("x")),
            *scribe.append(store, kind="a.b", **same("y")),
        ]
        ids = [_id(one) for one in sealed]
        moments = [utc_text(_EPOCH + timedelta(seconds=i)) for i in range(5)]

        for word in words:
            _expect(store, ids[1:3], **{word: "x"})
        for expected, query in (
            (ids, {}),
            (ids[2:3], {"id": ids[2]}),
            (ids[:1], {"world": "RML1"}),
            ([ids[0], ids[3]], {"kind": "a.b"}),
            (ids[1:3], {"kind": "effect.intent"}),
            (ids[1:3], {"kind": "effect.intent", "incident": "x"}),
            ([], {"kind": "a.b", "incident": "x"}),
            ([], {"id": "é' OR 1=1 --"}),
            (ids[2:], {"since": moments[2]}),
            (ids[:2], {"until": moments[2]}),
            (ids[1:3], {"since": moments[1], "until": moments[3]}),
            (ids[3:], {"after": 2}),
        ):
            _expect(store, expected, **query)

    def test_a_limit_and_a_direction(self) -> None:
        """The first so many in either direction, also of a long answer."""
        store = self.new_store()
        ids = [_id(one) for one in _Scribe(store.origin).append(store, 2_100)]

        assert ids == _ids(store)
        assert ids[::-1] == _ids(store, newest_first=True)
        for limit in (0, 1, 1_000, 1_001, 2_100, 5_000):
            assert ids[:limit] == _ids(store, limit=limit)
            assert ids[::-1][:limit] == _ids(store, limit=limit, newest_first=True)
        assert ids[11:16] == _ids(store, after=10, limit=5)

    def test_an_answer_is_one_view(self) -> None:
        """What is appended while it is read belongs to the next answer."""
        store = self.new_store()
        scribe = _Scribe(store.origin)
        scribe.append(store, 1_500)
        seen = 0
        for _ in store.select(Query()):
            seen += 1
            if seen in (1, 1_200):
                scribe.append(store)

        assert (1_500, 1_502) == (seen, len(_ids(store)))

    # What can be erased --------------------------------------------------------------------------

    def test_values_are_kept_beside_until_they_are_erased(self) -> None:
        """Erasing some keeps the others, and every proof stays valid."""
        store = self.new_store()
        scribe = _Scribe(store.origin)
        kept = {"email": "ada@example.com", "name": "Ada", "tags": {"b": 1.0, "a": None}}
        (sealed,) = scribe.append(store, personal=kept)
        root = store.head().root
        assert kept == dict(next(store.select(Query())).personal)

        for left in ({"name": "Ada"}, {}):
            gone = sorted(kept.keys() - left.keys())
            erased = scribe.seal(
                kind="payload.erased", corrects=_id(sealed), facts={"fields": gone}
            )
            store.write(partial(_erase, erased, _id(sealed), list(left)), timeout=PATIENCE_SECONDS)
            (entry, *_) = store.select(Query(id=_id(sealed)))
            assert (left, tuple(gone)) == (dict(entry.personal), tuple(sorted(entry.erased())))

        assert root != store.head().root
        assert verify(store).ok

    def test_nothing_is_erased_before_it_is_recorded(self) -> None:
        """The store itself refuses, so no program can forget to."""
        store = self.new_store()
        (sealed,) = _Scribe(store.origin).append(store, personal={"email": "ada@example.com"})

        with _raises(RmlError):
            store.write(lambda t: t.keep_only(_id(sealed), []), timeout=PATIENCE_SECONDS)

        assert [dict(e.personal) for e in store.select(Query())] == [{"email": "ada@example.com"}]

    # Effects -------------------------------------------------------------------------------------

    def test_an_effect_is_its_entries_and_its_lease(self) -> None:
        """And nothing of any other."""
        store = self.new_store()
        scribe = _Scribe(store.origin)
        assert (([], None), None) == (store.effect(_EFFECT), store.last(_EFFECT))
        (first,) = scribe.append(store, kind="effect.intent", effect=_EFFECT)
        scribe.append(store, kind="effect.intent", effect="ef_other")
        (last,) = scribe.append(store, kind="effect.done", effect=_EFFECT, personal={"result": 1})
        lease = Lease(_EFFECT, 1, "worker é", utc_text(_EPOCH))
        store.write(lambda t: t.put_lease(lease), timeout=PATIENCE_SECONDS)

        entries, found = store.effect(_EFFECT)

        assert ([_id(first), _id(last)], lease) == ([entry.id for entry in entries], found)
        assert ("effect.done", last.personal) == store.last(_EFFECT)
        assert store.effect("ef_other")[1] is None

    def test_a_lease_comes_and_goes(self) -> None:
        """It is granted, renewed, listed by effect, and dropped, once or twice."""
        store = self.new_store()
        lease = Lease(_EFFECT, 1, "me", utc_text(_EPOCH))
        renewed = attrs.evolve(lease, attempt=2, until=utc_text(_EPOCH + timedelta(seconds=1)))
        other = attrs.evolve(lease, effect="ef_0")

        def work(transaction: Transaction) -> tuple[Lease | None, Lease | None]:
            before = transaction.lease(_EFFECT)
            transaction.put_lease(lease)
            transaction.put_lease(renewed)
            transaction.put_lease(other)
            return before, transaction.lease(_EFFECT)

        assert (None, renewed) == store.write(work, timeout=PATIENCE_SECONDS)
        assert [other, renewed] == store.leases()
        for _ in range(2):
            store.write(lambda t: t.drop_lease(_EFFECT), timeout=PATIENCE_SECONDS)
        assert [other] == store.leases()

    # Ending --------------------------------------------------------------------------------------

    def test_a_closed_store_is_closed(self) -> None:
        """Every call says so, and closing twice is no error."""
        store = self.new_store()
        _Scribe(store.origin).append(store)
        store.close()
        store.close()

        for call in (
            lambda: store.write(lambda _: None, timeout=0),
            lambda: list(store.select(Query())),
            lambda: store.count(Query()),
            lambda: store.effect(_EFFECT),
            lambda: store.last(_EFFECT),
            store.leases,
            store.head,
            lambda: list(store.rows()),
            lambda: list(store.tiles()),
            store.findings,
        ):
            with _raises(LedgerUnavailableError):
                call()

    def test_an_opened_ledger_is_the_one_that_was_closed(self) -> None:
        """Origin, entries, leases and tree; and it goes on where it stopped."""
        store = self.new_store()
        scribe = _Scribe(store.origin)
        scribe.append(store, TILE_WIDTH + 3, personal={"email": "ada@example.com"})
        lease = Lease(_EFFECT, 1, "me", utc_text(_EPOCH))
        store.write(lambda t: t.put_lease(lease), timeout=PATIENCE_SECONDS)
        origin, head, rows = store.origin, store.head(), list(store.rows())

        again = self.opened_again(store)

        if again is None:
            return
        assert (origin, head, rows) == (again.origin, again.head(), list(again.rows()))
        assert [lease] == again.leases()
        scribe.append(again, TILE_WIDTH)
        assert verify(again).ok
        assert verify(again).size == 2 * TILE_WIDTH + 3


def _append_all(sealed: list[Sealed], transaction: Transaction) -> list[int | None]:
    return [transaction.append(one) for one in sealed]


def _expect(store: Store, ids: list[str], **conditions: Any) -> None:
    assert ids == _ids(store, **conditions), f"asked for {conditions}"
    assert len(ids) == store.count(Query(**conditions)), f"counted {conditions}"
    in_work = store.write(
        lambda t: [entry.id for entry in t.select(Query(**conditions))], timeout=PATIENCE_SECONDS
    )
    assert ids == in_work, f"asked for {conditions} inside a commit"


def _erase(erased: Sealed, entry: str, left: list[str], transaction: Transaction) -> None:
    transaction.append(erased)
    transaction.keep_only(entry, left)


def _as_text(row: Row) -> Row:
    """Columns may come as bytes: a store does not trust that they are text."""
    columns = tuple(c.decode() if isinstance(c, bytes) else c for c in row.columns)
    return attrs.evolve(row, columns=columns)

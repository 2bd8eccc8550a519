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
from functools import partial
from typing import Any

from rml.clock import utc_text
from rml.error import InvalidInputError, RmlError
from rml.ledger.checks.verify import verify
from rml.ledger.entry import COLUMNS, ENTRY_BYTES_MAX, Sealed, leaf_hash
from rml.ledger.errors import LedgerBusyError, LedgerUnavailableError
from rml.ledger.store import Lease, Query, Row, Transaction
from rml.ledger.tree import EMPTY_ROOT, TILE_WIDTH, Frontier, Tile
from rml.testing.scribe import (
    EFFECT,
    EPOCH,
    PATIENCE_SECONDS,
    OwnError,
    Scribe,
    append_all,
    as_text,
    id_of,
    ids_in,
    in_threads,
    opening_of,
    raises,
)
from rml.testing.store_answers import AnswerContract

__all__ = ["StoreContract", "opening_of"]


class StoreContract(AnswerContract):
    """What a store promises; each test begins with a store that :meth:`new_store` makes."""

    # What is appended ----------------------------------------------------------------------------

    def test_a_new_store_is_empty(self) -> None:
        """No entries, the root of nothing, and nothing wrong."""
        store = self.new_store()

        assert (0, EMPTY_ROOT) == (store.head().size, store.head().root)
        assert (
            list(store.rows()),
            list(store.tiles(0, 0, 9)),
            store.leases(),
            store.findings(),
        ) == ([], [], [], [])
        assert verify(store).ok

    def test_rows_are_what_was_sealed(self) -> None:
        """Bytes, leaf, columns and what is kept beside, in the order of appending."""
        store = self.new_store()
        full: dict[str, Any] = {name: f"{name} é" for name in COLUMNS[5:] if name != "attempt"}
        scribe = Scribe(store.origin)
        sealed = [
            *scribe.append(store),
            *scribe.append(store, attempt=3, facts={"amount": 1}, **full),
            *scribe.append(store, 2, personal={"email": "ada@example.com", "b": [1.5, None]}),
        ]

        expected = [
            Row(i, one.data, one.leaf, one.personal, one.columns) for i, one in enumerate(sealed)
        ]
        assert expected == [as_text(row) for row in store.rows()]

    def test_the_largest_entry_is_kept(self) -> None:
        """65,535 bytes, and text of every kind."""
        store = self.new_store()
        scribe = Scribe(store.origin)
        text = "\"\\'%_;--\0\u2028é😀"
        room = ENTRY_BYTES_MAX - len(scribe.seal(facts={"x": "", "text": text}).data)

        (sealed,) = scribe.append(store, facts={"x": "x" * room, "text": text})

        assert [sealed.data] == [row.data for row in store.rows()]
        assert [text] == [entry.facts["text"] for entry in store.select(Query())]

    def test_indexes_count_from_zero_without_gaps(self) -> None:
        """Within a commit and across commits; a store that seals later says so with `None`."""
        store = self.new_store()
        scribe = Scribe(store.origin)
        given: list[int | None] = []
        for count in (1, 3, 2):
            work = partial(append_all, [scribe.seal() for _ in range(count)])
            given += store.write(work, timeout=PATIENCE_SECONDS)

        assert all(index in (None, place) for place, index in enumerate(given))
        assert list(range(6)) == [row.index for row in store.rows()]
        assert [4, 5] == [row.index for row in store.rows(4)]
        assert [2, 3] == [row.index for row in store.rows(2, 4)]

    def test_head_and_tiles_are_those_of_one_tree(self) -> None:
        """RFC 6962, whether leaves come one by one or hundreds at once."""
        store = self.new_store()
        scribe = Scribe(store.origin)
        frontier, tiles = Frontier(), list[Tile]()
        for count in (1, TILE_WIDTH - 2, 1, 1, 2 * TILE_WIDTH):
            for one in scribe.append(store, count):
                tiles += frontier.add(leaf_hash(one.data))
            assert (frontier.size, frontier.root()) == (store.head().size, store.head().root)

        assert tiles == list(store.tiles(0, 0, 9))
        assert (tiles[1:2], []) == (list(store.tiles(0, 1, 2)), list(store.tiles(1, 0, 9)))
        assert ([], [(0, 2)]) == (list(store.strays(768)), list(store.strays(767)))

    def test_hashes_are_those_of_the_tree(self) -> None:
        """Whole tiles and parts of them, of leaves and of tiles; none where there are no more."""
        store = self.new_store()
        sealed = Scribe(store.origin).append(store, 2 * TILE_WIDTH + 3)
        leaves = [one.leaf for one in sealed]
        roots = [tile.root for tile in store.tiles(0, 0, 9)]

        for start, stop in ((0, TILE_WIDTH), (TILE_WIDTH, 2 * TILE_WIDTH), (7, 300), (512, 515)):
            assert leaves[start:stop] == list(store.hashes(0, start, stop))
        assert leaves[512:] == list(store.hashes(0, 512, 768))
        assert (roots, roots[1:]) == (list(store.hashes(1, 0, 2)), list(store.hashes(1, 1, 256)))
        assert ([], []) == (list(store.hashes(1, 2, 3)), list(store.hashes(2, 0, 1)))
        assert verify(store).ok

    def test_an_id_is_used_once(self) -> None:
        """A second entry with the same id is refused with all of its commit."""
        store = self.new_store()
        scribe = Scribe(store.origin)
        (first,) = scribe.append(store)
        again = scribe.seal(id=id_of(first))

        def work(transaction: Transaction) -> None:
            transaction.append(scribe.seal())
            transaction.append(again)

        with raises(RmlError):
            store.write(work, timeout=PATIENCE_SECONDS)

        assert [id_of(first)] == ids_in(store)
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
        scribe = Scribe(store.origin)
        (before,) = scribe.append(store)
        own = scribe.seal(effect=EFFECT)

        def work(transaction: Transaction) -> tuple[list[str], list[str]]:
            transaction.append(own)
            seen = [entry.id for entry in transaction.select(Query())]
            return seen, [entry.id for entry in transaction.of_effect(EFFECT)]

        seen = store.write(work, timeout=PATIENCE_SECONDS)

        assert ([id_of(before), id_of(own)], [id_of(own)]) == seen

    def test_a_work_that_fails_leaves_nothing(self) -> None:
        """Its error is the caller's own, and the next write finds everything as it was."""
        store = self.new_store()
        scribe = Scribe(store.origin)
        (kept,) = scribe.append(store)
        for error in (OwnError("no"), KeyboardInterrupt()):

            def work(transaction: Transaction, error: BaseException = error) -> None:
                transaction.append(scribe.seal())
                transaction.put_lease(Lease(EFFECT, 1, "me", utc_text(EPOCH)))
                raise error

            with raises(type(error)):
                store.write(work, timeout=PATIENCE_SECONDS)
            assert ([id_of(kept)], [], 1) == (ids_in(store), store.leases(), store.head().size)

        (after,) = scribe.append(store)

        assert [id_of(kept), id_of(after)] == ids_in(store)
        assert verify(store).ok

    def test_a_write_inside_a_write_is_refused(self) -> None:
        """It would wait for itself."""
        store = self.new_store()
        scribe = Scribe(store.origin)

        def work(transaction: Transaction) -> None:
            transaction.append(scribe.seal())
            scribe.append(store)

        with raises(InvalidInputError):
            store.write(work, timeout=PATIENCE_SECONDS)

        assert ids_in(store) == []
        assert 1 == len(scribe.append(store))

    def test_a_busy_store_says_so_when_the_time_is_up(self) -> None:
        """Nothing is recorded then, and nothing later; both decide on what there is."""
        store = self.new_store()
        scribe = Scribe(store.origin)
        entered, leave = threading.Event(), threading.Event()

        def slow(transaction: Transaction) -> None:
            transaction.select(Query())
            entered.set()
            assert leave.wait(PATIENCE_SECONDS)
            transaction.append(scribe.seal())

        def second(transaction: Transaction) -> None:
            transaction.select(Query())
            transaction.append(scribe.seal())

        holder = threading.Thread(target=partial(store.write, slow, timeout=PATIENCE_SECONDS))
        holder.start()
        try:
            assert entered.wait(PATIENCE_SECONDS)
            with raises(LedgerBusyError):
                store.write(second, timeout=0)
        finally:
            leave.set()
            holder.join(PATIENCE_SECONDS)

        scribe.append(store)
        assert 2 == store.head().size

    def test_threads_append_without_gaps(self) -> None:
        """Each gets its own result, and the tree is that of the rows."""
        store = self.new_store()
        scribe = Scribe(store.origin)
        sealed = [scribe.seal() for _ in range(40)]

        def append(one: Sealed) -> str:
            def work(transaction: Transaction) -> str:
                transaction.append(one)
                return id_of(one)

            return store.write(work, timeout=PATIENCE_SECONDS)

        results = in_threads([partial(append, one) for one in sealed])

        assert [id_of(one) for one in sealed] == results
        assert sorted(results) == sorted(ids_in(store))
        assert verify(store).ok

    def test_an_error_spoils_nobody_else_s_commit(self) -> None:
        """Works that are committed together fail alone."""
        store = self.new_store()
        scribe = Scribe(store.origin)
        sealed = [scribe.seal() for _ in range(20)]

        def append(place: int) -> int:
            def work(transaction: Transaction) -> int:
                transaction.append(sealed[place])
                if place % 3 == 0:
                    raise OwnError(place)
                return place

            return store.write(work, timeout=PATIENCE_SECONDS)

        results = in_threads([partial(append, place) for place in range(20)])

        for place, result in enumerate(results):
            if place % 3 == 0:
                assert isinstance(result, OwnError)
                assert (place,) == result.args
            else:
                assert place == result
        assert sorted(id_of(one) for i, one in enumerate(sealed) if i % 3) == sorted(ids_in(store))
        assert verify(store).ok

    # Ending --------------------------------------------------------------------------------------

    def test_a_closed_store_is_closed(self) -> None:
        """Every call says so, and closing twice is no error."""
        store = self.new_store()
        Scribe(store.origin).append(store)
        store.close()
        store.close()

        for call in (
            lambda: store.write(lambda _: None, timeout=0),
            lambda: list(store.select(Query())),
            lambda: store.count(Query()),
            lambda: store.effect(EFFECT),
            lambda: store.last(EFFECT),
            store.leases,
            store.head,
            lambda: list(store.rows()),
            lambda: store.tiles(0, 0, 1),
            lambda: store.survey(0, 1),
            lambda: store.strays(0),
            lambda: store.erasures(["x"]),
            lambda: store.hashes(0, 0, 1),
            store.findings,
        ):
            with raises(LedgerUnavailableError):
                call()

    def test_an_opened_ledger_is_the_one_that_was_closed(self) -> None:
        """Origin, entries, leases and tree; and it goes on where it stopped."""
        store = self.new_store()
        scribe = Scribe(store.origin)
        scribe.append(store, TILE_WIDTH + 2, personal={"email": "ada@example.com"})
        (intent,) = scribe.append(store, kind="effect.intent", effect=EFFECT)
        lease = Lease(EFFECT, 1, id_of(intent), utc_text(EPOCH))
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

"""What the contract of stores says about questions, erasure and effects."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import timedelta
from functools import partial
from typing import Any

import attrs

from rml.clock import utc_text
from rml.error import RmlError
from rml.ledger.checks.verify import verify
from rml.ledger.entry import COLUMNS
from rml.ledger.store import Lease, Query, Step, Store, Transaction
from rml.testing.scribe import (
    EFFECT,
    EPOCH,
    PATIENCE_SECONDS,
    Scribe,
    as_text,
    erase,
    expect,
    id_of,
    ids_in,
    raises,
)
from rml.world import World

__all__ = ["AnswerContract"]


class AnswerContract(ABC):
    """How a store answers; each test begins with a store that :meth:`new_store` makes."""

    @abstractmethod
    def new_store(self) -> Store:
        """Return a new store of an empty ledger."""

    def opened_again(self, store: Store) -> Store | None:
        """Close a store and open its ledger again; ``None`` if it does not outlive its store."""
        store.close()
        return None

    # Questions -----------------------------------------------------------------------------------

    def test_each_condition_selects(self) -> None:
        """All of them must hold; entries come by index; counts agree."""
        store = self.new_store()
        scribe = Scribe(store.origin)
        words = ("operation", "effect", "corrects", "incident", "correlation")

        def same(text: str) -> dict[str, Any]:
            return dict.fromkeys(words, text)

        sealed = [
            *scribe.append(store, kind="a.b", world=World.RML1),
            *scribe.append(store, 2, kind="effect.intent", **same("x")),
            *scribe.append(store, kind="a.b", **same("y")),
        ]
        ids = [id_of(one) for one in sealed]
        moments = [utc_text(EPOCH + timedelta(seconds=i)) for i in range(5)]

        for word in words:
            expect(store, ids[1:3], **{word: "x"})
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
            (ids[:2], {"before": 2}),
            ([], {"before": 0}),
            (ids[1:3], {"kind": "effect.intent", "after": 0, "before": 99}),
        ):
            expect(store, expected, **query)

    def test_a_limit_and_a_direction(self) -> None:
        """The first so many in either direction, also of a long answer."""
        store = self.new_store()
        ids = [id_of(one) for one in Scribe(store.origin).append(store, 2_100)]

        assert ids == ids_in(store)
        assert ids[::-1] == ids_in(store, newest_first=True)
        for limit in (0, 1, 1_000, 1_001, 2_100, 5_000):
            assert ids[:limit] == ids_in(store, limit=limit)
            assert ids[::-1][:limit] == ids_in(store, limit=limit, newest_first=True)
        assert ids[11:16] == ids_in(store, after=10, limit=5)
        assert ids[11:1_500] == ids_in(store, after=10, before=1_500)
        assert ids[1_499:10:-1] == ids_in(store, after=10, before=1_500, newest_first=True)

    def test_an_answer_is_one_view(self) -> None:
        """What is appended while it is read belongs to the next answer."""
        store = self.new_store()
        scribe = Scribe(store.origin)
        scribe.append(store, 1_500)
        seen = 0
        for _ in store.select(Query()):
            seen += 1
            if seen in (1, 1_200):
                scribe.append(store)

        assert (1_500, 1_502) == (seen, len(ids_in(store)))

    # What can be erased --------------------------------------------------------------------------

    def test_values_are_kept_beside_until_they_are_erased(self) -> None:
        """Erasing some keeps the others, and every proof stays valid."""
        store = self.new_store()
        scribe = Scribe(store.origin)
        kept = {"email": "ada@example.com", "name": "Ada", "tags": {"b": 1.0, "a": None}}
        (sealed,) = scribe.append(store, personal=kept)
        root = store.head().root
        assert kept == dict(next(store.select(Query())).personal)

        for left in ({"name": "Ada"}, {}):
            gone = sorted(kept.keys() - left.keys())
            erased = scribe.seal(
                kind="payload.erased", corrects=id_of(sealed), facts={"fields": gone}
            )
            store.write(partial(erase, erased, id_of(sealed), list(left)), timeout=PATIENCE_SECONDS)
            (entry, *_) = store.select(Query(id=id_of(sealed)))
            assert (left, tuple(gone)) == (dict(entry.personal), tuple(sorted(entry.erased())))

        assert root != store.head().root
        assert verify(store).ok

    def test_nothing_is_erased_before_it_is_recorded(self) -> None:
        """The store itself refuses, so no program can forget to."""
        store = self.new_store()
        (sealed,) = Scribe(store.origin).append(store, personal={"email": "ada@example.com"})

        with raises(RmlError):
            store.write(lambda t: t.keep_only(id_of(sealed), []), timeout=PATIENCE_SECONDS)

        assert [dict(e.personal) for e in store.select(Query())] == [{"email": "ada@example.com"}]

    def test_only_what_a_pruning_covers_goes_by_it(self) -> None:
        """Below its index, not kept, and all that is beside an entry at once."""
        store = self.new_store()
        scribe = Scribe(store.origin)
        personal = {"email": "ada@example.com", "name": "Ada"}
        old = [id_of(one) for one in scribe.append(store, 3, personal=personal)]
        effect = id_of(scribe.append(store, kind="a.b", effect=EFFECT, personal=personal)[0])
        facts = {"below": 4, "kept": [old[1], EFFECT], "reason": "ten years"}
        scribe.append(store, kind="payload.pruned", facts=facts)
        new = id_of(scribe.append(store, personal=personal)[0])

        def keep(entry: str, names: list[str], transaction: Transaction) -> None:
            transaction.keep_only(entry, names)

        for entry, names in ((old[0], ["name"]), (old[1], []), (effect, []), (new, [])):
            with raises(RmlError):
                store.write(partial(keep, entry, names), timeout=PATIENCE_SECONDS)
        for entry in (old[0], old[2]):
            store.write(partial(keep, entry, []), timeout=PATIENCE_SECONDS)

        expect(store, [old[1], effect, new], with_personal=True)
        expect(store, [old[1], effect], with_personal=True, before=4)
        assert verify(store).ok

    # Verification --------------------------------------------------------------------------------

    def test_ranges_are_answered_in_order(self) -> None:
        """Rows from any index to any other, as far as there are any."""
        store = self.new_store()
        data = [one.data for one in Scribe(store.origin).append(store, 5)]

        for start, stop in ((0, 5), (1, 3), (4, 9), (5, 9), (2, 2)):
            assert data[start:stop] == [row.data for row in store.rows(start, stop)]

    def test_a_survey_tells_of_the_rows_for_which_it_vouches(self) -> None:
        """It may doubt as much as it likes; what it says of all rows is so."""
        store = self.new_store()
        scribe = Scribe(store.origin)
        scribe.append(store, 2, kind="a.b", world=World.RML1)
        scribe.append(store, effect=EFFECT, attempt=2, actor='a "b" \\ é', personal={"x": 1})
        rows = [as_text(row) for row in store.rows()]

        survey = store.survey(0, 3)

        assert set(survey.doubtful) <= {0, 1, 2}
        if list(survey.doubtful) == [0, 1, 2]:
            return
        assert [row.data for row in rows] == list(survey.data)
        assert b"".join(row.leaf for row in rows) == survey.leaves
        assert [row.columns[0] for row in rows] == [survey.id_at(place) for place in range(3)]
        values = zip(COLUMNS, zip(*(row.columns for row in rows), strict=True), strict=True)
        assert survey.columns == {
            name: "\n".join("" if one is None else str(one) for one in column).encode()
            for name, column in values
            if any(column)
        }
        assert {2: rows[2].personal} == survey.personal
        step = Step(2, EFFECT, "payment.noted", 2, rows[2].columns[0])
        assert [step] == list(survey.steps)

    def test_erasures_are_found_by_what_they_are_of(self) -> None:
        """Those of some entries, and no others."""
        store = self.new_store()
        scribe = Scribe(store.origin)
        ids = [id_of(one) for one in scribe.append(store, 3)]
        of = [scribe.append(store, kind="payload.erased", corrects=one)[0] for one in ids]
        scribe.append(store, corrects=ids[0])

        assert [of[0].data, of[2].data] == sorted(store.erasures([ids[0], ids[2], "x"]))
        assert [] == list(store.erasures([]))

    # Effects -------------------------------------------------------------------------------------

    def test_an_effect_is_its_entries_and_its_lease(self) -> None:
        """And nothing of any other."""
        store = self.new_store()
        scribe = Scribe(store.origin)
        assert (([], None), None) == (store.effect(EFFECT), store.last(EFFECT))
        (first,) = scribe.append(store, kind="effect.intent", effect=EFFECT)
        scribe.append(store, kind="effect.intent", effect="ef_other")
        (last,) = scribe.append(store, kind="effect.done", effect=EFFECT, personal={"result": 1})
        lease = Lease(EFFECT, 1, "worker é", utc_text(EPOCH))
        store.write(lambda t: t.put_lease(lease), timeout=PATIENCE_SECONDS)

        entries, found = store.effect(EFFECT)

        assert ([id_of(first), id_of(last)], lease) == ([entry.id for entry in entries], found)
        assert ("effect.done", last.personal) == store.last(EFFECT)
        assert store.effect("ef_other")[1] is None

    def test_a_lease_comes_and_goes(self) -> None:
        """It is granted, renewed, listed by effect, and dropped, once or twice."""
        store = self.new_store()
        lease = Lease(EFFECT, 1, "me", utc_text(EPOCH))
        renewed = attrs.evolve(lease, attempt=2, until=utc_text(EPOCH + timedelta(seconds=1)))
        other = attrs.evolve(lease, effect="ef_0")

        def work(transaction: Transaction) -> tuple[Lease | None, Lease | None]:
            before = transaction.lease(EFFECT)
            transaction.put_lease(lease)
            transaction.put_lease(renewed)
            transaction.put_lease(other)
            assert [other, renewed] == transaction.leases()
            return before, transaction.lease(EFFECT)

        assert (None, renewed) == store.write(work, timeout=PATIENCE_SECONDS)
        assert [other, renewed] == store.leases()
        assert [] == store.leases(b'"a":5')
        scribe = Scribe(store.origin)
        scribe.append(store, kind="effect.intent", effect=EFFECT, facts={"a": 5})
        scribe.append(store, kind="effect.intent", effect="ef_1", facts={"a": 5})
        scribe.append(store, kind="effect.intent", effect=other.effect, facts={"b": 5})
        assert [renewed] == store.leases(b'"a":5')
        in_work = store.write(lambda t: t.leases(b'"b":'), timeout=PATIENCE_SECONDS)
        assert [other] == in_work

        def drop(owner: str | None) -> bool:
            return store.write(lambda t: t.drop_lease(EFFECT, owner), timeout=PATIENCE_SECONDS)

        owners = ("somebody else", renewed.owner, renewed.owner, None)
        assert [False, True, False, False] == list(map(drop, owners))
        assert [other] == store.leases()
        assert store.write(lambda t: t.drop_lease(other.effect), timeout=PATIENCE_SECONDS)
        assert [] == store.leases()

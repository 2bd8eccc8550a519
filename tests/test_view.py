"""A view is the ledger as it stood: after so many entries, or at a moment, and never later."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protected import START, Charges, kinds, the_effect

import rml
from rml import (
    EffectState,
    FrozenClock,
    InvalidInputError,
    Ledger,
    LedgerCorruptError,
    LedgerView,
    OutcomeNotRecordedError,
    UnknownIdError,
)


def note(ledger: Ledger, **facts: Any) -> rml.Receipt:
    """Append a small entry."""
    return ledger.append("stock.counted", world="RML1", facts=facts)


# ------------------------------------------------------------------------ after so many entries


def test_a_view_answers_from_its_entries_alone(ledger: Ledger) -> None:
    """Whatever is asked, what came later is not there; and what comes now is not, either."""
    receipts = [note(ledger, count=i) for i in range(4)]
    roots = [ledger.as_of(i).root for i in range(5)]
    view = ledger.as_of(2)
    note(ledger, count=4)

    assert (2, ledger.origin, roots[2]) == (view.size, view.origin, view.root)
    assert [0, 1] == [entry.index for entry in view.entries()]
    assert [1] == [entry.index for entry in view.entries(newest_first=True, limit=1)]
    assert [1] == [entry.index for entry in view.entries(after=0)]
    assert (2, 0) == (len(view.entries()), len(view.entries(kind="a.b")))
    assert receipts[1].id == view.entry(receipts[1].id).id
    with pytest.raises(UnknownIdError):
        view.entry(receipts[2].id)


def test_the_root_of_a_view_is_what_the_ledger_had_then(ledger: Ledger) -> None:
    """So a view is compared with a checkpoint that was kept."""
    roots = [ledger.root]
    for i in range(9):
        note(ledger, count=i)
        roots.append(ledger.root)

    assert roots == [ledger.as_of(size).root for size in range(10)]


def test_a_root_that_the_stored_hashes_do_not_give_is_corruption(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger contradicts itself; the caller made no mistake."""
    note(ledger)
    view = ledger.as_of(1)
    with monkeypatch.context() as patch:
        patch.setattr(ledger._store, "hashes", lambda *_: [])
        with pytest.raises(LedgerCorruptError, match="do not give a root over 1 entries"):
            view.root  # noqa: B018 - to read it is to compute it


def test_the_first_and_the_last_view(ledger: Ledger) -> None:
    """Of nothing, and of everything."""
    note(ledger)

    assert ([], []) == (list(ledger.as_of(0).entries()), list(ledger.as_of(0).effects()))
    assert list(ledger.entries()) == list(ledger.as_of(ledger.size).entries())
    assert f"LedgerView(origin={ledger.origin!r}, size=0)" == repr(ledger.as_of(0))


@pytest.mark.parametrize("point", [-1, 2, True, 1.0, "1", None, datetime(2026, 1, 1)])
def test_a_point_that_never_was_is_refused(ledger: Ledger, point: Any) -> None:
    """More entries than there are, no number, a moment of no known zone."""
    note(ledger)

    with pytest.raises(InvalidInputError, match="point"):
        ledger.as_of(point)


# ---------------------------------------------------------------------------------- at a moment


def test_a_moment_takes_in_what_was_recorded_then_or_before(
    ledger: Ledger, clock: FrozenClock
) -> None:
    """To the microsecond, in any zone."""
    for _ in range(3):
        note(ledger)
        clock.advance(1)
    tick = timedelta(microseconds=1)

    assert [0, 1, 1, 3] == [
        ledger.as_of(moment).size
        for moment in (START - tick, START, START + timedelta(seconds=1) - tick, clock.now())
    ]
    assert 0 == Ledger("memory:").as_of(START).size
    assert 3 == ledger.as_of(datetime.max.replace(tzinfo=UTC)).size


def test_a_clock_that_stepped_back_leaves_nothing_out(ledger: Ledger, clock: FrozenClock) -> None:
    """A view ends with the last entry that was recorded by then; all before it belong to it."""
    for seconds in (0, 300, 60, 120):  # the second entry's clock was four minutes ahead
        clock.set(START + timedelta(seconds=seconds))
        note(ledger, at=seconds)

    sizes = {s: ledger.as_of(START + timedelta(seconds=s)).size for s in (0, 59, 60, 119, 120, 300)}

    assert {0: 1, 59: 1, 60: 3, 119: 3, 120: 4, 300: 4} == sizes


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(-1, 10))
def test_a_view_at_a_moment_is_the_longest_that_ends_by_then(seconds: list[int], at: int) -> None:
    """For any walk of the clock: a prefix with all that was recorded by then, ending with such."""
    clock = FrozenClock(START)
    with Ledger("memory:", clock=clock) as ledger:
        for second in seconds:
            clock.set(START + timedelta(seconds=second))
            note(ledger)

        view = ledger.as_of(START + timedelta(seconds=at))

        by_then = [place for place, second in enumerate(seconds, 1) if second <= at]
        assert max(by_then, default=0) == view.size


# -------------------------------------------------------------------------------------- effects


def test_effects_stand_where_their_entries_put_them(ledger: Ledger, clock: FrozenClock) -> None:
    """Promised, in doubt, decided: each view tells the part of the story that was recorded."""
    Charges(TimeoutError()).fail(TimeoutError)
    effect = the_effect(ledger)
    ledger.resolve(effect.id, happened=True, by="Ada", reason="seen", result=None)

    told = {
        kind: ledger.as_of(size).effect(effect.id).state
        for size, kind in enumerate(kinds(ledger), 1)
        if kind.startswith("effect.")
    }

    assert {
        "effect.intent": EffectState.IN_FLIGHT,
        "effect.in_doubt": EffectState.IN_DOUBT,
        "effect.resolved": EffectState.DONE,
    } == told
    with pytest.raises(UnknownIdError):
        ledger.as_of(0).effect(effect.id)


def test_a_view_doubts_only_what_an_entry_doubts(
    ledger: Ledger, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That a lease ran out is not history; that somebody found it is."""
    store: Any = ledger._store
    # The third attempt begins, and its end finds no way into the ledger.
    lost = partial(monkeypatch.setattr, store, "write", None)
    charges = Charges(SystemExit(), TimeoutError(), lost, lease=5)
    charges.fail(SystemExit, "pay-1")
    clock.advance(1)
    charges.fail(TimeoutError, "pay-2")
    clock.advance(1)
    charges.fail(OutcomeNotRecordedError, "pay-3")
    monkeypatch.undo()
    clock.advance(10)

    assert ["pay-1", "pay-2", "pay-3"] == [effect.key for effect in ledger.in_doubt()]
    view = ledger.as_of(ledger.size)
    assert ["pay-1", "pay-2"] == [effect.key for effect in view.in_doubt()]
    (unfinished,) = view.effects(state="in_flight")
    assert ("pay-3", None) == (unfinished.key, unfinished.lease_until)
    assert [] == list(ledger.as_of(1).in_doubt())


def test_a_view_finds_effects_as_the_ledger_does(ledger: Ledger) -> None:
    """By state, key and incident; effects that began later are not there."""
    charges = Charges(None, TimeoutError())
    charges("pay-1")
    size = ledger.size
    charges.fail(TimeoutError, "pay-2")

    assert ["pay-1"] == [effect.key for effect in ledger.as_of(size).effects()]
    view = ledger.as_of(ledger.size)
    assert list(ledger.effects()) == list(view.effects())
    assert ["pay-2"] == [e.key for e in view.effects(incident="INC-2026-0001")]
    assert [] == list(ledger.as_of(size).effects(incident="INC-2026-0001"))
    assert ["pay-1"] == [e.key for e in view.effects(state="done", key="pay-1")]


def test_what_is_erased_is_gone_from_every_view(ledger: Ledger) -> None:
    """Looking back is no way around an erasure."""
    receipt = ledger.append("a.b", world="RML1", personal={"email": "ada@example.com"})
    ledger.erase(receipt.id, ["email"], by="dpo", reason="asked")

    assert ("email",) == ledger.as_of(1).entry(receipt.id).erased()


def test_a_view_cannot_write(ledger: Ledger) -> None:
    """It has no method that would."""
    writing = {"append", "write", "resolve", "erase", "follow", "newest"}

    assert isinstance(ledger.as_of(0), LedgerView)
    assert set() == writing & set(dir(LedgerView))

"""Whatever becomes of a ledger: it is accused if, and only if, it does not begin as it was kept."""

from collections.abc import Sequence

import pytest
from anchored import SIGNER, MemoryAnchor, size_of
from hypothesis import example, given, settings
from hypothesis import strategies as st

import rml
from rml import Checkpoint, Ledger, LedgerCorruptError, Level
from rml.clock import SeededIds
from rml.ledger.proofs.checkpoint import read_checkpoint
from rml.ledger.tree import TILE_WIDTH

History = tuple[int, ...]
Step = tuple[str, int]

# Appending, stating, going back to an earlier length, and writing another entry somewhere.
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 1)),
        st.tuples(st.just("checkpoint"), st.just(0)),
        st.tuples(st.just("set back"), st.integers(0, 6)),
        st.tuples(st.just("rewrite"), st.integers(0, 6)),
    ),
    max_size=8,
)
STARTS = st.sampled_from([0, 0, TILE_WIDTH - 2])


def opened(history: History, anchor: rml.Anchor | None = None) -> Ledger:
    """A ledger of exactly this history: the same entries have the same bytes."""
    clock = rml.FrozenClock("2026-11-20T19:00:00Z")
    ledger = Ledger("memory:", signer=SIGNER, clock=clock, ids=SeededIds(1))
    ledger.write(lambda draft: [draft.append("a.b", world="RML1", facts={"n": n}) for n in history])
    if anchor is not None:
        ledger._notary.anchors = ledger._notary.anchors.and_also([anchor])
    return ledger


def after(history: History, step: Step) -> History:
    """What a step leaves of a history; a checkpoint leaves all of it."""
    name, number = step
    if name == "append":
        return (*history, number)
    place = max(len(history) - number, 0)
    if name == "set back":
        return history[:place]
    if name == "rewrite":
        return (*history[:place], 7, *history[place + 1 :])
    return history


@settings(max_examples=40)
@given(STARTS, STEPS)
@example(0, [("append", 0), ("checkpoint", 0), ("set back", 1), ("append", 0)])
@example(0, [("append", 0), ("checkpoint", 0), ("set back", 1), ("append", 1)])
@example(TILE_WIDTH - 2, [*[("append", 0)] * 4, ("checkpoint", 0), ("rewrite", 4)])
def test_history_is_accused_if_and_only_if_it_is_not_continued(
    start: int, steps: Sequence[Step]
) -> None:
    """By `verify`, by name, and by the refusal to sign; what was kept stays as it was."""
    anchor = MemoryAnchor()
    history, kept = (0,) * start, ()
    for step in steps:
        history = after(history, step)
        honest = history[: len(kept)] == kept
        with opened(history, anchor) as ledger:
            found = ledger.verify()
            assert honest == found.ok
            expected = "rolled_back" if len(history) < len(kept) else "forked"
            assert ([] if honest else [expected]) == [one.code for one in found.problems]
            if step[0] != "checkpoint":
                continue
            if honest:
                assert size_of(ledger.checkpoint()) == size_of(anchor.text) == len(history)
                kept = history
                assert Level.ANCHORED == ledger.verify().level or not history
            else:
                with pytest.raises(LedgerCorruptError):
                    ledger.checkpoint()
                assert len(kept) == size_of(anchor.text)


@settings(max_examples=40)
@given(STARTS, st.lists(st.integers(0, 1), max_size=6), st.lists(st.integers(0, 7), max_size=8))
def test_an_honest_ledger_is_never_accused(start: int, more: list[int], sizes: list[int]) -> None:
    """Whatever was kept of it, and however much, in whichever order; its reach is the largest."""
    with opened((*(0,) * start, *more)) as ledger:
        kept = [
            read_checkpoint(ledger.prove_consistency(0, size).checkpoint)[0].signed(SIGNER)
            for size in (min(start + size, ledger.size) for size in sizes)
        ]
        found = ledger.verify(checkpoints=[note.to_text() for note in kept])

        assert found.ok
        largest = max((Checkpoint.from_text(note.text).size for note in kept), default=0)
        assert [largest] * bool(largest) == [one.size for one in found.assurances]


@settings(max_examples=40)
@given(
    st.lists(st.integers(0, 1), max_size=8),
    st.lists(st.integers(0, 1), max_size=8),
    st.lists(st.integers(0, 8), min_size=1, max_size=4),
)
def test_the_first_entry_that_nobody_vouches_for_is_at_or_before_the_first_that_differs(
    was: list[int], now: list[int], sizes: list[int]
) -> None:
    """And all entries before it are as they were."""
    with opened(tuple(was)) as before:
        kept = [before.prove_consistency(0, min(size, len(was))).checkpoint for size in sizes]
    with opened(tuple(now)) as ledger:
        found = ledger.verify(checkpoints=kept)

    largest = max(min(size, len(was)) for size in sizes)
    assert found.ok == (was[:largest] == now[:largest])
    if not found.ok:
        pairs = zip(was, now, strict=False)
        shorter = min(len(was), len(now))
        differs = next((i for i, (a, b) in enumerate(pairs) if a != b), shorter)
        first = found.problems[0].index
        assert first is not None
        assert found.problems[0].code == "rolled_back" or first <= differs

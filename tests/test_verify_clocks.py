"""A clock that went back is no problem, and a reader should know of it."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protected import START

from rml import FrozenClock, Ledger, Level
from rml.clock import utc_text
from rml.ledger.checks.clocks import TOLERANCE, Clocks
from rml.ledger.checks.verify import PAGE_ENTRIES, verify
from rml.ledger.proofs.checkpoint import Checkpoint
from rml.ledger.proofs.merkle import tree_root

SAID = "1 entry says that an earlier one was recorded later: entry {} at {}, entry {} at {};"


def appended(ledger: Ledger, clock: FrozenClock, *steps: float) -> None:
    """Append an entry after each step of the clock, in seconds."""
    for seconds in steps:
        clock.set(clock.now() + timedelta(seconds=seconds))
        ledger.append("a.b", world="RML1")


@pytest.mark.parametrize("place", ["memory:", "ledger.db"])
def test_a_clock_that_went_back_is_remarked(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the entry that says so first, and the one before it; nobody is accused."""
    monkeypatch.chdir(tmp_path)
    clock = FrozenClock(START)
    with Ledger(place, clock=clock) as ledger:
        appended(ledger, clock, 0, 60, -30, 90)
        found = ledger.verify()
        told = [utc_text(entry.recorded_at) for entry in ledger.entries()]

    assert (True, Level.CONSISTENT, ()) == (found.ok, found.level, found.problems)
    (remark,) = found.remarks
    assert remark.startswith(SAID.format(2, told[2], 1, told[1]))


def test_clocks_that_agree_are_not_remarked(tmp_path: Path) -> None:
    """Nor those that differ by no more than well-kept clocks do."""
    clock = FrozenClock(START)
    with Ledger(tmp_path / "ledger.db", clock=clock) as ledger:
        appended(ledger, clock, 0, 1, 0, 1, -1, 0.5, 0.5, 60)

        assert () == ledger.verify().remarks


@pytest.mark.parametrize("size", [3, PAGE_ENTRIES])
def test_it_is_seen_across_pages_and_verifications(size: int, tmp_path: Path) -> None:
    """The first entry of a page, or the first after a checkpoint, is compared with the last."""
    clock = FrozenClock(START)
    with Ledger(tmp_path / "ledger.db", clock=clock) as ledger:
        ledger.write(lambda draft: [draft.append("a.b", world="RML1") for _ in range(size)])
        since = Checkpoint(ledger.origin, size, tree_root(size, ledger._store.hashes))
        appended(ledger, clock, -3_600)

        (whole,) = ledger.verify().remarks
        _skipped, later = verify(ledger._store, since=since).remarks

    assert f"entry {size} at " in whole
    assert f"entry {size} at " in later


@given(st.lists(st.integers(0, 20), max_size=12), st.integers(1, 5))
def test_what_is_remarked_does_not_depend_on_pages(halves: list[int], page: int) -> None:
    """Each entry whose time is before an earlier one's counts, however they were read."""
    times = [START + timedelta(seconds=number / 2) for number in halves]
    texts = [utc_text(time) for time in times]
    clocks = Clocks()
    for start in range(0, len(texts), page):
        clocks.look(start, texts[start : start + page])

    back = [
        index for index, time in enumerate(times) if index and max(times[:index]) - time > TOLERANCE
    ]

    whole = Clocks()
    whole.look(0, texts)
    said = list(clocks.remarks())
    assert list(whole.remarks()) == said
    assert bool(back) == bool(said)
    for remark in said:
        assert f": entry {back[0]} at {texts[back[0]]}," in remark
        assert remark.startswith("1 entry says" if len(back) == 1 else f"{len(back)} entries say")

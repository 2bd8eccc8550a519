"""The queue of callers who want to commit, without any store behind it."""

from typing import Any

import pytest

from rml.stores.commits import WAKE_MAX, Commits, Waiting


def nothing(*_: Any) -> None:
    """A work that does nothing, and a commit of it."""


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[Waiting]:
    """Those that are woken, in order."""
    seen: list[Waiting] = []

    def wake(waiting: Waiting) -> None:
        seen.append(waiting)

    monkeypatch.setattr(Waiting, "wake", wake)
    return seen


def test_a_few_are_woken_and_each_who_leaves_wakes_one_more(woken: list[Waiting]) -> None:
    """Else all of a large batch would wait for the interpreter at the same time."""
    commits, next_leader = Commits(), Waiting(nothing)
    batch = [Waiting(nothing) for _ in range(3 * WAKE_MAX)]

    commits.end(batch)
    assert batch[:WAKE_MAX] == woken
    commits.put_back(next_leader)  # somebody waits, so the next caller commits a batch of its own
    woken.clear()
    commits.carry_out(nothing, 1, nothing, lambda waiting, _: commits.end([waiting]))

    *ended, leader, last = woken
    assert (batch[WAKE_MAX : 2 * WAKE_MAX], next_leader) == (ended, leader)
    assert batch[2 * WAKE_MAX] is last
    assert all(waiting.done for waiting in batch)


def test_the_callers_of_a_failed_commit_are_told_why(woken: list[Waiting]) -> None:
    """But a work that failed before keeps its own error."""
    commits, own, trouble = Commits(), ValueError("own"), OSError("disk")
    batch = [Waiting(nothing, error=own), Waiting(nothing)]

    commits.end(batch, trouble)

    assert (batch, [own, trouble]) == (woken, [waiting.error for waiting in batch])

"""A replay can be told from a first call, a recorded failure from a new one."""

import asyncio
import threading

import pytest
from protected import Charges, the_effect

import rml


def test_a_replay_is_noted_and_a_first_call_is_not(ledger: rml.Ledger) -> None:
    """By the id of its effect, once for every call."""
    charges = Charges(None)

    with rml.replays() as first:
        charges()
    with rml.replays() as again:
        charges()
        charges()

    assert ([], [the_effect(ledger).id] * 2) == (first, again)
    charges()
    assert 2 == len(again)


@pytest.mark.parametrize(
    "failure",
    [rml.HistoryError("moved"), rml.DialogError("no", action="start-compensation")],
    ids=["history", "failed"],
)
def test_a_recorded_failure_is_noted_as_well(ledger: rml.Ledger, failure: rml.RmlError) -> None:
    """Otherwise nobody could tell it from a new one."""
    charges = Charges(failure)

    with rml.replays() as first:
        charges.fail(type(failure))
    with rml.replays() as again:
        charges.fail(type(failure))

    assert ([], [the_effect(ledger).id]) == (first, again)


def test_what_is_refused_is_no_replay(ledger: rml.Ledger) -> None:
    """A doubt, or another request under the key, was never answered."""
    charges = Charges("charged", TimeoutError())
    charges("pay-1")
    charges.fail(TimeoutError, "pay-2")

    with rml.replays() as found:
        charges.fail(rml.FingerprintMismatchError, "pay-1", 6)
        charges.fail(rml.InDoubtError, "pay-2")

    assert [] == found


def test_blocks_inside_blocks_are_all_told(ledger: rml.Ledger) -> None:
    """Each knows what was answered in it."""
    charges = Charges("charged")
    charges()

    with rml.replays() as outer:
        charges()
        with rml.replays() as inner:
            charges()

    assert (2, 1) == (len(outer), len(inner))


def test_async_calls_and_their_tasks_are_told(ledger: rml.Ledger) -> None:
    """One of three makes the charge, and two are given its value."""

    @rml.idempotent("replays.async", key="key", wait=60)
    async def charge(key: str) -> str:
        await asyncio.sleep(0)
        return "charged"

    async def thrice() -> list[str]:
        with rml.replays() as found:
            assert ["charged"] * 3 == await asyncio.gather(*(charge("k") for _ in range(3)))
        return found

    assert 2 == len(asyncio.run(thrice()))


def test_another_thread_is_another_matter(ledger: rml.Ledger) -> None:
    """Unless it carries the context."""
    charges = Charges("charged")
    charges()

    with rml.replays() as found:
        thread = threading.Thread(target=charges)
        thread.start()
        thread.join()

    assert [] == found

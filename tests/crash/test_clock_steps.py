"""The wall clock is set back an hour, or forward: order, ids, leases and verification bear it.

The order of a ledger is that of its indexes. What time decides, an attempt's lease, errs towards
doubt: a step never has a handler run a second time.
"""

from contextvars import Context
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protected import START, Charges, doubtful, kinds, the_effect

import rml

HOUR = 3_600
STEPS = st.lists(st.integers(-48 * HOUR, 48 * HOUR), min_size=1, max_size=8)


def step(clock: rml.FrozenClock, seconds: float) -> None:
    """Set the wall clock; the monotonic one goes on."""
    clock.set(clock.now() + timedelta(seconds=seconds))


@given(STEPS)
def test_order_and_ids_do_not_follow_the_clock(steps: list[int]) -> None:
    """Indexes count on, no id comes twice, and verification accuses nobody."""
    clock = rml.FrozenClock(START)
    with rml.Ledger("memory:", clock=clock) as ledger:
        made = []
        for seconds in (0, *steps):
            step(clock, seconds)
            made += [ledger.append("a.b", world="RML1") for _ in range(2)]

        entries = list(ledger.entries())
        assert [receipt.id for receipt in made] == [entry.id for entry in entries]
        assert list(range(len(made))) == [entry.index for entry in entries]
        assert len(made) == len({entry.id for entry in entries})
        assert [receipt.recorded_at for receipt in made] == [e.recorded_at for e in entries]
        assert ((), True) == (ledger.verify().problems, ledger.verify().ok)


def test_an_hour_back_between_two_openings(tmp_path: Path) -> None:
    """The ledger's last entry is from the future then; nothing refuses to go on."""
    path = tmp_path / "ledger.db"
    clock = rml.FrozenClock(START)
    anchor = rml.FileAnchor(tmp_path / "kept")
    for seconds in (0, -HOUR, 2 * HOUR):
        step(clock, seconds)
        with rml.Ledger(path, clock=clock, origin="acme", anchors=[anchor]) as ledger:
            ledger.append("a.b", world="RML1")
            ledger.checkpoint()
            assert ledger.verify().problems == ()

    with rml.Ledger(path, origin="acme", anchors=[anchor]) as ledger:
        assert [0, -HOUR, HOUR] == [
            (entry.recorded_at - START).total_seconds() for entry in ledger.entries()
        ]


def test_what_is_asked_by_time_is_found_by_time(ledger: rml.Ledger, clock: rml.FrozenClock) -> None:
    """Every entry of a window of time, in the order in which they were recorded."""
    made = []
    for seconds in (0, -HOUR, HOUR + 1):
        step(clock, seconds)
        made.append(ledger.append("a.b", world="RML1").id)

    assert [made[0], made[2]] == [entry.id for entry in ledger.entries(since=START)]
    assert [made[1]] == [entry.id for entry in ledger.entries(until=START)]


def in_flight(clock: rml.FrozenClock, seconds: float) -> Charges:
    """Return a handler in the middle of which the clock is set."""

    def stepping() -> str:
        step(clock, seconds)
        return "charged"

    return Charges(stepping, "charged again")


@pytest.mark.parametrize("seconds", [-HOUR, HOUR])
def test_a_step_while_a_handler_runs_changes_nothing(
    ledger: rml.Ledger, clock: rml.FrozenClock, seconds: int
) -> None:
    """Nobody has looked meanwhile, so its outcome counts; it is replayed, whatever time it is."""
    charge = in_flight(clock, seconds)

    assert ["charged"] * 3 == [charge(), charge(), charge()]
    assert (1, rml.EffectState.DONE) == (charge.count, the_effect(ledger).state)


def test_a_lease_seen_from_an_hour_later_is_doubted_once(
    ledger: rml.Ledger, clock: rml.FrozenClock
) -> None:
    """The doubt stands when the clock is set right again, and the worker's outcome is late."""
    seen = []

    def doubted() -> str:
        step(clock, HOUR)
        seen.append(type(Context().run(other.fail, rml.InDoubtError)))  # as in another thread
        step(clock, -HOUR)
        seen.append(doubtful(ledger))
        return "charged"

    charge, other = Charges(doubted), Charges("charged by another")
    charge.fail(rml.InDoubtError)

    assert [rml.InDoubtError, ["pay-1"]] == seen
    assert (1, 0) == (charge.count, other.count)
    assert "effect.late" == kinds(ledger)[-1]
    assert 1 == len(ledger.entries(kind="incident.opened"))


def test_a_lease_from_an_hour_ahead_is_waited_for(
    ledger: rml.Ledger, clock: rml.FrozenClock
) -> None:
    """Set back, the clock makes a lost worker's lease last longer; its key stays taken."""

    class Killed(BaseException):
        """What no outcome is recorded of: the ledger is gone with the worker."""

    def lost() -> None:
        ledger.write = gone  # type: ignore[method-assign]
        raise Killed

    def gone(*_: object, **__: object) -> None:
        raise rml.LedgerUnavailableError("the worker is dead")

    charge = Charges(lost, "charged again")
    with pytest.raises(Killed):
        charge()
    del ledger.write
    step(clock, -HOUR)
    charge.fail(rml.InFlightError)
    clock.advance(HOUR)
    charge.fail(rml.InFlightError)
    clock.advance(61)
    charge.fail(rml.InDoubtError)
    assert (1, ["pay-1"]) == (charge.count, doubtful(ledger))

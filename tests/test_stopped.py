"""What was stopped for a case is told lever by lever: since when, how long quiet, what broke it."""

from datetime import timedelta

import pytest
from charged_twice import CHARGE, LEVER, charge_again, charged_twice
from hypothesis import given
from hypothesis import strategies as st
from protected import START

import rml
from rml.ledger.writing import LedgerWriting

FIVE = timedelta(minutes=5)


@pytest.fixture
def case(ledger: rml.Ledger) -> rml.Case:
    """A case about charges, of which there was one."""
    return charged_twice(ledger)


def test_each_lever_is_told_by_itself(
    ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock
) -> None:
    """One that was let go too early, one that proves it, one that something came through."""
    levers = rml.Levers(ledger)
    early = levers.pull(CHARGE, tenant="a", **LEVER, incident=case.id)
    clock.advance(60)
    levers.release(CHARGE, tenant="a", by="Ada", reason="only b")
    proof = levers.pull(CHARGE, tenant="b", **LEVER, incident=case.id)
    clock.advance(300)
    levers.release(CHARGE, tenant="b", by="Ada", reason="mended")
    broken = levers.pull(CHARGE, **LEVER, incident=case.id)
    clock.advance(10)
    late = charge_again(ledger, "pay-9")
    clock.advance(20)

    told = case.containment.stopped

    assert [early.entry, proof.entry, broken.entry] == [one.stop.by for one in told]
    assert [False, True, False] == [one.proven for one in told]
    minute, six = START + timedelta(seconds=60), START + timedelta(seconds=360)
    assert [minute, six, None] == [one.until for one in told]
    assert [timedelta(seconds=60), FIVE, timedelta(seconds=20)] == [one.quiet for one in told]
    assert [(), (), (late,)] == [one.broken_by for one in told]
    assert f"broken by {late}" in str(told[2])
    assert "which proves it" in str(told[1])


def test_what_happened_again_broke_the_lever_that_was_let_go(
    ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock
) -> None:
    """A signal that joins the case is named as what broke it."""
    levers = rml.Levers(ledger)
    levers.pull(CHARGE, **LEVER, incident=case.id)
    clock.advance(300)
    levers.release(CHARGE, by="Ada", reason="mended")
    again = rml.escalate("charged twice", operation=CHARGE)

    (told,) = case.containment.stopped

    assert not again.opened
    assert (False, (again.entry,)) == (told.proven, told.broken_by)


def test_what_was_in_flight_when_it_was_let_go_says_so(
    ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock
) -> None:
    """It has not been quiet at all."""
    levers = rml.Levers(ledger)

    @rml.idempotent(CHARGE, key="key")
    def slow(key: str) -> str:
        levers.pull(CHARGE, **LEVER, incident=case.id)
        clock.advance(10)
        levers.release(CHARGE, by="Ada", reason="too early")
        return key

    slow("pay-1")
    (told,) = case.containment.stopped

    assert (None, timedelta(0), False) == (told.quiet_since, told.quiet, told.proven)
    assert "while something was in flight" in str(told)
    assert "not quiet: something was in flight" in case.to_html()


def test_a_stop_by_hand_in_a_case_that_names_no_operation(
    ledger: rml.Ledger, clock: rml.FrozenClock
) -> None:
    """Signals are what breaks it; it stands in JSON without an operation."""
    case = rml.Casebook(ledger)[rml.escalate("something leaks").id]
    by_hand = case.contain("unplugged", by="Ada", lever="none")
    clock.advance(5)
    signal = rml.escalate("something leaks")

    (told,) = case.containment.stopped

    assert (by_hand.id, (signal.entry,)) == (told.stop.by, told.broken_by)
    row = case.containment.to_dict()["stopped"][0]
    assert (None, START, None, False) == (
        row["operation"],
        row["since"],
        row["until"],
        row["proven"],
    )
    assert str(told).startswith("it is stopped since")


@given(steps=st.lists(st.sampled_from(["pull", "release", "charge", "wait"]), max_size=12))
def test_the_whole_and_its_parts_never_contradict_each_other(steps: list[str]) -> None:
    """Whatever one lever goes through."""
    clock = rml.FrozenClock(START)
    with rml.Ledger("memory:", clock=clock) as ledger, rml.use(ledger=ledger):
        charge_again(ledger, "pay-0")
        case = rml.Casebook(ledger)[rml.escalate("charged twice", operation=CHARGE).id]
        levers = rml.Levers(ledger)
        for number, step in enumerate(steps, 1):
            if step == "pull":
                levers.pull(CHARGE, **LEVER, incident=case.id)
            elif step == "release":
                levers.release(CHARGE, by="Ada", reason="mended")
            elif step == "charge":
                charge_again(ledger, f"pay-{number}")
            else:
                clock.advance(200)

        found = case.containment

        holding = [one for one in found.stopped if one.until is None]
        told = holding or found.stopped  # what is stopped now has to be quiet itself
        assert found.proven == any(one.proven for one in told)
        assert found.since == max((one.quiet_since for one in holding), default=None)
        assert {*found.offending} == {each for one in holding for each in one.broken_by}


def test_looking_takes_no_writers_turn(
    ledger: rml.Ledger, case: rml.Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page and the prompt are shown while somebody else writes, and from read-only media."""
    rml.Levers(ledger).pull(CHARGE, **LEVER, incident=case.id)
    monkeypatch.delattr(LedgerWriting, "write")

    assert not case.containment.proven
    assert "stopped not proven: nothing has begun since" in repr(case)
    assert "not proven" in case.to_html()

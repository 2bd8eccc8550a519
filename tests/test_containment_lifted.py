"""A containment that was proven stays proven when it is lifted, until something happens again."""

from datetime import timedelta
from typing import Any

import pytest
from charged_twice import CHARGE, LEVER, charge_again, charged_twice
from hypothesis import given, settings
from hypothesis import strategies as st
from protected import START, Charges

import rml
from rml.incident.levers.containment import QUIET

MENDED: dict[str, Any] = {"by": "Ada", "reason": "4.2.1 has keys"}
DECIDED = {"legal": "Rosa", "business": "Tom", "sre": "Ada"}


@pytest.fixture
def case(ledger: rml.Ledger) -> rml.Case:
    """A case about charges, of which there was one, and of which somebody decided."""
    case = charged_twice(ledger)
    case.contain("nothing to stop by hand", by="Ada", lever="none")
    case.lift(case.entries[-1].id, "the lever is better", by="Ada")
    case.understand("a retry", by="Ada", transactions=1)
    case.decide("refund", decided_by=DECIDED)
    return case


def stop(ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock, seconds: float) -> rml.Lever:
    """Pull the lever for so long, and release it."""
    levers = rml.Levers(ledger)
    lever = levers.pull(CHARGE, **LEVER, incident=case.id)
    clock.advance(seconds)
    levers.release(CHARGE, **MENDED)
    return lever


def test_what_was_proven_stays_proven_when_the_lever_is_released(
    ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock
) -> None:
    """The fix is out, customers are charged again as they should be, and refunds go out."""
    lever = stop(ledger, case, clock, 300)
    clock.advance(60)
    charge_again(ledger, "pay-1")

    found = case.containment

    (window,) = found.windows
    assert (True, None) == (found.proven, found.since)
    assert (START, START + QUIET, lever.entry) == (window.since, window.until, window.stop.by)
    assert str(found) == (
        "proven: nothing began from 2026-11-20T19:00:00Z to 2026-11-20T19:05:00Z, "
        "when 'payment.charge' was let go on; nothing of the incident has happened since"
    )
    case.act("refund", by="Tom")
    assert () == case.read().overrides


def test_containment_by_hand_stays_proven_when_it_is_lifted(
    case: rml.Case, clock: rml.FrozenClock
) -> None:
    """A flag of one's own is as good as a lever."""
    flag = case.contain("payments are off", by="Ada", lever="flag_off", temporary=True)
    clock.advance(300)
    case.lift(flag.id, "payments are on", by="Ada")

    found = case.containment
    assert (True, [flag.id]) == (found.proven, [window.stop.by for window in found.windows])


def test_a_lever_that_is_released_too_early_has_proven_nothing(
    ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock
) -> None:
    """A second is missing, and waiting without a lever does not make up for it."""
    stop(ledger, case, clock, 299)
    clock.advance(3600)

    found = case.containment

    assert (False, (), (CHARGE,)) == (found.proven, found.windows, found.uncovered)


def test_one_at_the_last_second_of_the_window_and_it_was_not_proven(
    ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock
) -> None:
    """Nor is it afterwards."""
    levers = rml.Levers(ledger)
    levers.pull(CHARGE, **LEVER, incident=case.id)
    clock.advance(299)
    charge_again(ledger, "pay-1")
    clock.advance(1)
    levers.release(CHARGE, **MENDED)
    clock.advance(3600)

    assert not case.containment.proven
    with pytest.raises(rml.StepRefusedError, match="contained-first"):
        case.act("refund", by="Tom")


def test_what_was_in_flight_when_it_was_lifted_was_not_contained(
    ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock
) -> None:
    """It became history after all, and nobody had stopped it."""
    Charges(lambda: stop(ledger, case, clock, 300), lease=400)("pay-1")

    assert not case.containment.proven


def test_a_longer_quiet_is_asked_of_the_window(
    ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock
) -> None:
    """Six minutes were quiet, so not ten."""
    stop(ledger, case, clock, 360)

    assert case.prove_containment(360).proven
    assert not case.prove_containment(361).proven


def test_a_signal_that_joins_unproves_it(
    ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock
) -> None:
    """Somebody was charged twice after the fix: it is bleeding again."""
    stop(ledger, case, clock, 300)
    again = rml.escalate("charged twice", operation=CHARGE)
    clock.advance(3600)

    found = case.containment

    assert again.id == case.id
    assert (False, (again.entry,)) == (found.proven, found.again)
    assert f"not proven: it was, but then came {again.entry}" in str(found)
    with pytest.raises(rml.StepRefusedError, match="pull a lever"):
        case.act("refund", by="Tom")

    stop(ledger, case, clock, 300)
    assert (True, ()) == (case.containment.proven, case.containment.again)


@pytest.mark.parametrize("how", ["harmed", "counted"])
def test_new_harm_unproves_it(
    ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock, how: str
) -> None:
    """Harm is what somebody found or counted; an effect that began before is none that is new."""
    old = charge_again(ledger, "pay-1")
    stop(ledger, case, clock, 300)
    new = charge_again(ledger, "pay-2")
    case.understand("one more of before", by="Ada", transactions=1, harmed=[old])
    assert case.containment.proven

    if how == "harmed":
        case.understand("and one after", by="Ada", transactions=2, harmed=[new])
    else:
        case.count_impact(operation=CHARGE, by="Ada")

    assert (False, (new,)) == (case.containment.proven, case.containment.again)


def test_a_new_duplicate_unproves_it(
    ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock
) -> None:
    """By the key by which the case has counted them; of what did not happen there is none."""
    ends: dict[str, BaseException] = {"a-4": rml.ClosedError("no money", happened=False)}

    @rml.idempotent(CHARGE, key="attempt", facts=("order",))
    def charge(attempt: str, order: str) -> str:
        if attempt in ends:
            raise ends[attempt]
        return rml.current_effect().id

    charge("a-1", "o-1")
    charge("a-2", "o-1")
    case.count_impact(operation=CHARGE, key="order", by="Ada")
    stop(ledger, case, clock, 300)
    charge("a-3", "o-2")
    with pytest.raises(rml.ClosedError):
        charge("a-4", "o-2")
    assert case.containment.proven

    again = charge("a-5", "o-2")

    assert (False, (again,)) == (case.containment.proven, case.containment.again)


def test_effects_that_were_not_searched_for_duplicates_prove_nothing(
    ledger: rml.Ledger,
    case: rml.Case,
    clock: rml.FrozenClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only the newest are looked at; what came before them is said, until it is counted."""
    monkeypatch.setattr("rml.incident.levers.containment_proof._LOOK_BACK", 3)

    @rml.idempotent(CHARGE, key="attempt", facts=("order",))
    def charge(attempt: str, order: str) -> None: ...

    charge("a-1", "o-1")
    case.count_impact(operation=CHARGE, key="order", by="Ada")
    stop(ledger, case, clock, 300)
    for number in range(3):
        charge(f"b-{number}", f"p-{number}")
    assert (True, ()) == (case.containment.proven, case.containment.unsearched)
    charge("b-3", "p-3")

    found = case.containment
    assert (False, (CHARGE,)) == (found.proven, found.unsearched)
    assert "count them again: case.count_impact(...)" in str(found)
    with pytest.raises(rml.StepRefusedError, match="contained-first"):
        case.act("refund", by="Tom")

    case.count_impact(operation=CHARGE, key="order", until=START + QUIET / 2, by="Ada")
    assert not case.containment.proven, "a count that ends before has not seen them"
    case.count_impact(operation=CHARGE, key="order", by="Ada")
    assert (True, ()) == (case.containment.proven, case.containment.unsearched)


def test_what_is_stopped_again_needs_no_search(
    ledger: rml.Ledger,
    case: rml.Case,
    clock: rml.FrozenClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A lever that is pulled proves it by itself, whatever began before."""
    monkeypatch.setattr("rml.incident.levers.containment_proof._LOOK_BACK", 1)
    case.count_impact(operation=CHARGE, key="key", by="Ada")
    stop(ledger, case, clock, 300)
    charge_again(ledger, "pay-1")
    charge_again(ledger, "pay-2")
    assert not case.containment.proven

    rml.Levers(ledger).pull(CHARGE, **LEVER, incident=case.id)
    clock.advance(300)

    assert (True, ()) == (case.containment.proven, case.containment.unsearched)


def test_a_new_doubt_unproves_it(
    ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock
) -> None:
    """It may be another double charge, whichever case it became; an old one is named alone."""
    Charges(TimeoutError()).fail(TimeoutError, "pay-1")
    old = ledger.in_doubt()[0].id
    stop(ledger, case, clock, 300)
    assert (True, (old,)) == (case.containment.proven, case.containment.in_doubt)

    Charges(TimeoutError()).fail(TimeoutError, "pay-2")

    found = case.containment
    assert not found.proven
    assert found.again == (ledger.effects(key="pay-2")[0].id,)


def test_another_lever_that_was_not_for_the_case_proves_nothing(
    ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock
) -> None:
    """Every operation that the case is about was stopped, or it was not contained."""
    levers = rml.Levers(ledger)
    levers.pull("payment.refund", **LEVER, incident=case.id, force=True)
    clock.advance(300)
    levers.release("payment.refund", **MENDED)

    assert (False, (CHARGE,)) == (case.containment.proven, case.containment.uncovered)


def test_what_the_case_turns_out_to_be_about_later_has_to_be_stopped_too(
    ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock
) -> None:
    """A window proves no more than what it stopped."""
    stop(ledger, case, clock, 300)
    Charges("one")("pay-1")

    @rml.idempotent("payment.payout", key="key")
    def payout(key: str) -> None: ...

    payout("po-1")
    assert case.containment.proven
    case.count_impact(operation="payment.payout", by="Ada")

    assert not case.containment.proven


def test_each_operation_may_have_its_own_window(
    ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock
) -> None:
    """One is mended and let go on while the other is still stopped."""

    @rml.idempotent("payment.payout", key="key")
    def payout(key: str) -> None: ...

    payout("po-1")
    case.count_impact(operation="payment.payout", by="Ada")
    stop(ledger, case, clock, 300)
    rml.Levers(ledger).pull("payment.payout", **LEVER, incident=case.id)
    clock.advance(299)
    assert not case.containment.proven
    clock.advance(1)

    assert case.containment.proven


def test_a_lever_that_was_released_after_closing_stops_nothing_when_reopened(
    ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock
) -> None:
    """A closed case is told nothing, but the lever is gone all the same."""
    levers = rml.Levers(ledger)
    levers.pull(CHARGE, **LEVER, incident=case.id)
    clock.advance(300)
    case.close(by="Ada", override="for the sake of this test")
    levers.release(CHARGE, **MENDED)
    case.reopen(by="Ada", reason="one more customer")

    assert not case.containment.proven


def test_rows_tell_of_the_window(
    ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock
) -> None:
    """What proved it stands in the answer for tools, too."""
    lever = stop(ledger, case, clock, 300)

    row = case.containment.to_dict()

    assert row["proven"]
    assert [
        {
            "operation": CHARGE,
            "tenant": None,
            "region": None,
            "by": lever.entry,
            "since": START,
            "until": START + QUIET,
        }
    ] == row["windows"]


def test_a_lever_that_is_still_pulled_is_not_said_to_be_gone(
    ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock
) -> None:
    """Releasing the lever lifts the containment; the words alone do not."""
    rml.Levers(ledger).pull(CHARGE, **LEVER, incident=case.id)
    (off,) = case.read().mitigations

    with pytest.raises(rml.StepRefusedError, match=r"still pulled.*rml lever release") as refused:
        case.lift(off.id, "payments are on", by="Ada")

    assert ["lever-released"] == refused.value.details["rules"]


def test_a_containment_is_lifted_once(case: rml.Case, clock: rml.FrozenClock) -> None:
    """And not before it was there."""
    flag = case.contain("payments are off", by="Ada", lever="flag_off")
    clock.advance(60)
    with pytest.raises(rml.StepRefusedError, match="before the containment"):
        case.lift(flag.id, "payments are on", by="Ada", at=START - QUIET)
    case.lift(flag.id, "payments are on", by="Ada")

    with pytest.raises(rml.StepRefusedError, match=r"Ada recorded at .* that it is lifted"):
        case.lift(flag.id, "payments are on", by="Ada")


def test_who_forgot_to_say_that_it_was_let_go_on_says_since_when(
    ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock
) -> None:
    """The ledger shows what began since, and the window ends before."""
    flag = case.contain("payments are off", by="Ada", lever="flag_off")
    clock.advance(300)
    on_again = clock.now()
    clock.advance(60)
    fine = charge_again(ledger, "pay-1")
    assert f"{fine} began: if it was let go on, say since when" in str(case.containment)

    case.lift(flag.id, "payments are on", by="Ada", at=on_again)

    assert case.containment.proven


def test_a_window_does_not_reach_into_the_future(case: rml.Case, clock: rml.FrozenClock) -> None:
    """Clocks may differ by a little; a second that has not been cannot have been quiet."""
    flag = case.contain("payments are off", by="Ada", lever="flag_off")
    clock.advance(299)
    case.lift(flag.id, "payments are on", by="Ada", at=clock.now() + timedelta(seconds=2))
    clock.advance(60)

    assert not case.containment.proven


@settings(max_examples=40)
@given(
    moments=st.lists(st.integers(0, 700), max_size=6).map(sorted),
    lifted=st.integers(0, 900),
    waited=st.integers(0, 600),
)
def test_lifting_keeps_the_answer_that_was_true_when_it_was_lifted(
    moments: list[int], lifted: int, waited: int
) -> None:
    """For any history: neither lifting nor waiting proves what was not, or forgets what was."""
    clock = rml.FrozenClock(START)
    with rml.Ledger("memory:", clock=clock) as ledger:
        case = rml.Casebook(ledger)[rml.escalate("x", operation=CHARGE, ledger=ledger).id]
        flag = case.contain("payments are off", by="Ada", lever="flag_off")
        for second in [moment for moment in moments if moment <= lifted]:
            clock.set(START + timedelta(seconds=second))
            ledger.append("payment.charged", world="RML3", operation=CHARGE)
        clock.set(START + timedelta(seconds=lifted))
        before = case.containment.proven
        case.lift(flag.id, "payments are on", by="Ada")
        clock.advance(waited)

        assert before == case.containment.proven

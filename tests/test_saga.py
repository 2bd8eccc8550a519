"""Effects that hold together: forwards, back, and what is said when neither is possible."""

import threading
from typing import Any

import pytest
from trips import STEPS, UNDOING, Busy, Declined, Trip, the_saga

import rml

BACK = [UNDOING[name] for name in reversed(STEPS)]


@pytest.fixture(params=["def", "async def"])
def trip(request: pytest.FixtureRequest, ledger: rml.Ledger) -> Trip:
    """A trip of either face, in an empty ledger."""
    return Trip(is_async=request.param == "async def")


def state(ledger: rml.Ledger, trip_id: str = "t-1") -> str:
    """Return where a trip's saga stands."""
    return the_saga(ledger, trip_id).state.value


def doubt(ledger: rml.Ledger) -> rml.Effect:
    """Return the only effect in doubt."""
    (effect,) = ledger.in_doubt()
    return effect


# ----------------------------------------------------------------------------------------- forwards


def test_all_steps_happen_once(ledger: rml.Ledger, trip: Trip) -> None:
    """A repetition is given the value again, and the body does not run."""
    first = trip()

    assert first == trip()
    assert [*STEPS, "mail.send"] == trip.provider.log
    assert 1 == trip.runs
    assert "done" == state(ledger)
    assert [] == rml.resume_sagas()


def test_another_request_under_the_key_is_refused(ledger: rml.Ledger, trip: Trip) -> None:
    """While it runs, and once it is done."""
    trip.fails_with.append(Busy())
    trip.fail(Busy)
    for _ in range(2):
        with pytest.raises(rml.FingerprintMismatchError):
            trip(amount=6)
        trip()


def test_a_saga_goes_on_where_it_was(ledger: rml.Ledger, trip: Trip) -> None:
    """What is done is not done again, whatever kept the body from going on."""
    trip.provider.before["hotel.book"].append(Busy())
    trip.fail(Busy)
    trip.fails_with.append(ValueError("a bug"))
    trip.fail(ValueError)
    assert "running" == state(ledger)

    trip()

    assert [*STEPS, "mail.send"] == trip.provider.log
    assert 3 == trip.runs


def test_retries_and_sagas_go_together(ledger: rml.Ledger) -> None:
    """A saga has a key, so it may be retried."""
    import stamina

    trip = Trip()
    trip.fails_with += [Busy(), Busy()]

    with stamina.set_testing(True, attempts=3):
        rml.retry()(trip.saga)("t-1")

    assert [*STEPS, "mail.send"] == trip.provider.log


# --------------------------------------------------------------------------------------------- back


@pytest.mark.parametrize("failing", range(len(STEPS)))
def test_what_happened_is_undone_newest_first(ledger: rml.Ledger, trip: Trip, failing: int) -> None:
    """The caller is given the error, and so is every later one."""
    declined = Declined()
    trip.provider.before[STEPS[failing]].append(declined)

    assert declined is trip.fail(Declined)

    assert [*STEPS[:failing], *BACK[len(STEPS) - failing :]] == trip.provider.log
    assert "compensated" == state(ledger)
    again = trip.fail(rml.RmlError)
    assert ("TEST_DECLINED", "start-compensation") == (again.code, again.action)
    assert [] == rml.resume_sagas()
    assert 1 == trip.runs


def test_a_compensation_corrects_its_step(ledger: rml.Ledger, trip: Trip) -> None:
    """It is an effect of its own, and it is given the step with its value."""
    trip.fails_with.append(Declined())
    trip.fail(Declined)

    for name, given in zip(reversed(STEPS), trip.given, strict=True):
        (step,) = ledger.effects(operation=name)
        (undo,) = ledger.effects(operation=UNDOING[name])
        (happened,) = ledger.entries(effect=step.id, kind="effect.done")
        assert (step.id, "done") == (undo.key, undo.state)
        assert [undo.id] == [e.effect for e in ledger.entries(corrects=happened.id)]
        assert (step.id, trip.provider.done[step.provider_key]) == (given.id, given.result)


def test_what_needs_no_undoing_is_left_alone(ledger: rml.Ledger, trip: Trip) -> None:
    """A mail that was sent stays sent."""
    trip.provider.after["mail.send"].append(Declined())

    trip.fail(Declined)

    assert [*STEPS, "mail.send", *BACK] == trip.provider.log
    assert "compensated" == state(ledger)


def test_a_key_that_was_undone_is_used_up(ledger: rml.Ledger, trip: Trip) -> None:
    """Another try is another trip."""
    trip.fails_with.append(Declined())
    trip.fail(Declined)

    trip("t-2")

    assert ["compensated", "done"] == [state(ledger, key) for key in ("t-1", "t-2")]


def test_a_saga_that_took_too_long_turns_back(ledger: rml.Ledger, clock: rml.FrozenClock) -> None:
    """The next call or resumption undoes it instead of going on."""
    trip = Trip(timeout=600)
    trip.fails_with.append(Busy())
    trip.fail(Busy)
    clock.advance(600)

    (resumed,) = rml.resume_sagas()

    assert ("compensated", None) == (resumed.state, resumed.trouble)
    assert [*STEPS, *BACK] == trip.provider.log
    error = trip.fail(rml.RmlError)
    assert ("EFFECT_FAILED", "start-compensation") == (error.code, error.action)


# --------------------------------------------------------------------------- what stands in the way


def test_a_step_in_doubt_waits_for_a_decision(ledger: rml.Ledger, trip: Trip) -> None:
    """Nothing is undone and nothing done again before it; then the saga goes on."""
    trip.provider.after["hotel.book"].append(TimeoutError("no answer"))
    trip.fail(TimeoutError)
    trip.fail(rml.InDoubtError)
    assert "EFFECT_IN_DOUBT" in str(rml.resume_sagas()[0].trouble)
    assert ["flight.book", "hotel.book"] == trip.provider.log

    rml.reconcile()
    (resumed,) = rml.resume_sagas()

    assert "done" == resumed.state
    assert [*STEPS, "mail.send"] == trip.provider.log


@pytest.mark.parametrize("happened", [True, False])
def test_a_doubt_on_the_way_back_waits_as_well(
    ledger: rml.Ledger, trip: Trip, happened: bool
) -> None:
    """The others are undone; what may have happened is undone once it is known that it did."""
    trip.fails_with.append(Declined())
    ends = trip.provider.after if happened else trip.provider.before
    ends["hotel.cancel"].append(TimeoutError("no answer"))

    error = trip.fail(rml.InDoubtError)

    assert isinstance(error.__cause__, Declined)
    assert "compensating" == state(ledger)
    undone = [name for name in BACK if happened or name != "hotel.cancel"]
    assert [*STEPS, *undone] == trip.provider.log
    assert "EFFECT_IN_DOUBT" in str(rml.resume_sagas()[0].trouble)

    rml.reconcile()
    (resumed,) = rml.resume_sagas()

    assert "compensated" == resumed.state
    assert dict.fromkeys((*STEPS, *BACK), 1) == trip.provider.counts


@pytest.mark.parametrize("happened", [True, False])
def test_an_abandoned_retry_is_a_doubt(ledger: rml.Ledger, happened: bool) -> None:
    """What may have reached the other side is not taken for undone, nor undone blindly."""
    trip = Trip(provider_idempotent=["hotel.book"], timeout=600)
    ends = trip.provider.after if happened else trip.provider.before
    ends["hotel.book"].append(rml.DialogError("no answer"))
    trip.fail(rml.DialogError)
    ledger.clock.advance(600)  # type: ignore[attr-defined]

    trip.fail(rml.InDoubtError)

    assert "hotel.book" == doubt(ledger).operation
    assert () == ledger.verify().problems
    assert "flight.cancel" == trip.provider.log[-1]
    rml.reconcile()
    assert "compensated" == rml.resume_sagas()[0].state
    assert int(happened) == trip.provider.counts["hotel.cancel"]


def test_a_person_may_decide(ledger: rml.Ledger, trip: Trip) -> None:
    """What a person has decided to have happened is undone, without a value."""
    trip.provider.after["card.charge"].append(TimeoutError("no answer"))
    trip.fail(TimeoutError)
    ledger.resolve(doubt(ledger).id, happened=True, by="Mina Sato", reason="on the statement")
    trip.fails_with.append(Declined())

    trip.fail(rml.ResultUnavailableError)

    assert "history" == state(ledger)


def test_what_certainly_failed_is_tried_again_later(ledger: rml.Ledger, trip: Trip) -> None:
    """Once a pass: the call passes the error and says that it is not over."""
    trip.fails_with.append(Declined())
    trip.provider.before["hotel.cancel"].append(Busy())

    error = trip.fail(Declined)

    assert "is still being compensated" in error.__notes__[-1]
    assert "compensating" == state(ledger)
    assert [*STEPS, "card.back", "flight.cancel"] == trip.provider.log
    (resumed,) = rml.resume_sagas()
    assert ("compensated", None) == (resumed.state, resumed.trouble)
    assert "hotel.cancel" == trip.provider.log[-1]


# ------------------------------------------------------------------------------------------ history


def test_what_cannot_be_undone_is_history(ledger: rml.Ledger, trip: Trip) -> None:
    """With the last attempt an incident opens, in one commit; the rest is undone."""
    trip.fails_with.append(Declined())
    trip.provider.before["hotel.cancel"] += [Busy(), Busy(), Busy()]
    trip.fail(Declined)
    assert "compensating" == rml.resume_sagas()[0].state

    (resumed,) = rml.resume_sagas()

    assert "history" == resumed.state
    (opened,) = ledger.entries(kind="incident.opened")
    (failed,) = ledger.entries(kind="effect.history")
    assert (opened.index or 0) + 1 == failed.index
    assert ("COMPENSATION_FAILED", False) == (opened.facts["code"], opened.facts["gray"])
    assert opened.incident == failed.incident == resumed.incident
    assert [*STEPS, "card.back", "flight.cancel"] == trip.provider.log
    for _ in range(2):
        error = trip.fail(rml.CompensationFailedError)
        assert ("RML3", opened.incident) == (error.world, error.details["incident"])
    assert [] == rml.resume_sagas()


def test_the_way_back_is_bounded_in_time(
    ledger: rml.Ledger, clock: rml.FrozenClock, trip: Trip
) -> None:
    """A failure after the time is the last, however many attempts are left."""
    trip.fails_with.append(Declined())
    trip.provider.before["hotel.cancel"] += [Busy(), Busy()]
    trip.fail(Declined)
    clock.advance(30)

    error = trip.fail(rml.CompensationFailedError)

    assert "hotel.book" in error.message
    assert "history" == state(ledger)


@pytest.mark.parametrize(
    "end", [rml.HistoryError("moved", code="MOVED"), Declined("for good")], ids=["RML3", "refused"]
)
def test_a_compensator_that_gives_up_is_history_at_once(
    ledger: rml.Ledger, trip: Trip, end: rml.RmlError
) -> None:
    """The caller is told of what is wider than the failure."""
    trip.fails_with.append(Declined())
    trip.provider.before["card.back"].append(end)

    error = trip.fail(rml.CompensationFailedError)

    assert isinstance(error.__cause__, Declined)
    assert 1 == len(ledger.entries(kind="incident.opened"))
    assert [*STEPS, "hotel.cancel", "flight.cancel"] == trip.provider.log


def test_what_is_not_decided_keeps_a_saga_from_ending(ledger: rml.Ledger, trip: Trip) -> None:
    """Also where it is certain already that not all of it can be undone."""
    trip.fails_with.append(Declined())
    trip.provider.before["card.back"].append(Declined("for good"))
    trip.provider.after["hotel.cancel"].append(TimeoutError("no answer"))
    trip.fail(rml.InDoubtError)
    assert "compensating" == state(ledger)

    rml.reconcile()

    assert "history" == rml.resume_sagas()[0].state


@pytest.mark.parametrize("where", ["in a step", "in the body"])
def test_history_is_never_undone_by_itself(ledger: rml.Ledger, trip: Trip, where: str) -> None:
    """An RML3 error ends the saga, and people decide; one problem is one incident."""
    doubled = rml.HistoryError("charged twice", code="TEST_DOUBLED")
    if where == "in a step":
        trip.provider.after["card.charge"].append(doubled)
    else:
        trip.fails_with.append(doubled)

    assert doubled is trip.fail(rml.HistoryError)

    assert "history" == state(ledger)
    assert list(STEPS) == trip.provider.log
    (opened,) = ledger.entries(kind="incident.opened")
    assert [] == list(ledger.entries(kind="incident.joined"))
    assert "TEST_DOUBLED" == trip.fail(rml.HistoryError).code
    assert (opened.incident, []) == (the_saga(ledger).incident, rml.resume_sagas())


# ---------------------------------------------------------------------------------- several at once


def test_a_saga_that_is_carried_out_is_neither_called_nor_resumed(ledger: rml.Ledger) -> None:
    """Its lease says so, and so does the refusal."""
    trip = Trip()
    seen: list[Any] = []

    def meanwhile(place: str) -> None:
        if place != "after hotel.book":
            return
        call = threading.Thread(target=lambda: seen.append(trip.fail(rml.InFlightError)))
        resume = threading.Thread(target=lambda: seen.append(rml.resume_sagas()))
        for thread in (call, resume):
            thread.start()
            thread.join()

    trip.provider.watch = meanwhile
    trip()

    refused, resumed = seen
    assert (60.0, []) == (refused.retry_after, resumed)
    assert [*STEPS, "mail.send"] == trip.provider.log


def test_a_saga_that_is_resumed_is_not_resumed_again(ledger: rml.Ledger) -> None:
    """Whoever goes on with it holds its lease."""
    trip = Trip()
    trip.fails_with.append(Declined())
    trip.provider.before["hotel.cancel"].append(Busy())
    trip.fail(Declined)
    seen: list[Any] = []

    def meanwhile(place: str) -> None:
        other = threading.Thread(target=lambda: seen.append(rml.resume_sagas()))
        if place == "before hotel.cancel":
            other.start()
            other.join()

    trip.provider.watch = meanwhile

    assert "compensated" == rml.resume_sagas()[0].state
    assert [[]] == seen


def test_no_step_begins_once_a_saga_has_turned_back(
    ledger: rml.Ledger, clock: rml.FrozenClock
) -> None:
    """A body that was only slow is refused its next step, with what the saga failed with."""
    trip = Trip(timeout=600)

    def meanwhile(place: str) -> None:
        if place == "after hotel.book" and clock.now().hour == 19:
            clock.advance(3600)  # its lease and its time are over; another process comes by
            trip.provider.watch = lambda _: None
            thread = threading.Thread(target=rml.resume_sagas)
            thread.start()
            thread.join()

    trip.provider.watch = meanwhile
    error = trip.fail(rml.RmlError)

    assert rml.InDoubtError is type(error)  # its own step ended late, after it had been doubted
    assert ["flight.book", "hotel.book", "flight.cancel"] == trip.provider.log
    rml.reconcile()
    assert "compensated" == rml.resume_sagas()[0].state
    assert {"flight.book": 1, "hotel.book": 1, "flight.cancel": 1, "hotel.cancel": 1} == (
        trip.provider.counts
    )


def test_a_body_is_refused_its_next_step(ledger: rml.Ledger, clock: rml.FrozenClock) -> None:
    """Between two steps somebody else has turned the saga back: nothing new begins."""
    trip = Trip(timeout=600, lease=1)
    turned = threading.Event()

    @rml.idempotent("note.write", key="trip_id")
    def note(trip_id: str) -> None:
        trip.provider.perform("note.write")

    @rml.saga("trip.slow", key="trip_id", steps={note: None}, timeout=600, lease=1)
    def slow(trip_id: str) -> None:
        clock.advance(3600)
        other = threading.Thread(target=rml.resume_sagas)
        if not turned.is_set():
            turned.set()
            other.start()
            other.join()
        note(trip_id)

    with pytest.raises(rml.EffectFailedError) as caught:
        slow("t-9")

    assert rml.Action.START_COMPENSATION is caught.value.action
    assert [] == trip.provider.log
    assert [] == list(ledger.effects(operation="note.write"))

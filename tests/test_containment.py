"""Containment is proven by what the ledger holds, and by nothing else."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from charged_twice import CHARGE, LEVER, charge_again, charged_twice
from hypothesis import given
from hypothesis import strategies as st
from protected import START, Charges

import rml
from rml.clock import SeededIds
from rml.incident.levers.containment import QUIET, prove
from rml.incident.levers.stop import Stop
from rml.ledger.entry import Entry


@pytest.fixture
def case(ledger: rml.Ledger) -> rml.Case:
    """A case about charges, of which there was one."""
    return charged_twice(ledger)


def pull(ledger: rml.Ledger, case: rml.Case, **options: Any) -> rml.Lever:
    """Pull the lever of the case."""
    return rml.Levers(ledger).pull(CHARGE, **LEVER, incident=case.id, **options)


def refund(charge: str) -> None:
    """Refund a charge."""

    @rml.idempotent("payment.refund", key="charge")
    def refund(charge: str) -> None: ...

    refund(charge)


def test_nothing_is_proven_before_anything_is_stopped(case: rml.Case) -> None:
    """Silence alone proves nothing."""
    found = case.containment

    assert not found.proven
    assert found.since is None
    assert (CHARGE,) == found.uncovered
    assert "pull a lever" in str(found)


def test_five_quiet_minutes_prove_it(
    ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock
) -> None:
    """Not a microsecond less."""
    pull(ledger, case)
    clock.advance(QUIET - timedelta(microseconds=1))
    assert not case.containment.proven
    assert timedelta(microseconds=1) == case.containment.left
    clock.advance(timedelta(microseconds=1))

    found = case.containment

    assert found.proven
    assert (START, timedelta(0), ()) == (found.since, found.left, found.offending)
    assert "proven: nothing has begun since 2026-11-20T19:00:00" in str(found)


def test_one_at_the_last_second_and_it_is_not_proven(
    ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock
) -> None:
    """The while begins again, and the effect that broke it is named."""
    pull(ledger, case)
    clock.advance(299)
    late = charge_again(ledger, "pay-9")
    clock.advance(1)

    found = case.containment

    assert not found.proven
    assert (late,) == found.offending
    assert timedelta(seconds=299) == found.left
    clock.advance(299)
    assert case.containment.proven
    assert (late,) == case.containment.offending


def test_another_operation_does_not_count(
    ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock
) -> None:
    """The refunds that put it right break no quiet."""
    pull(ledger, case)
    clock.advance(300)

    refund("ch-1")

    assert case.containment.proven


def test_entries_of_a_programs_own_count(
    ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock
) -> None:
    """Not every effect is a protected one."""
    pull(ledger, case)
    clock.advance(300)
    ledger.append("payment.looked_at", world="RML1", operation=CHARGE)
    assert () == case.containment.offending

    entry = ledger.append("payment.charged", world="RML3", operation=CHARGE)
    ledger.append("payment.refunded", world="RML3", operation=CHARGE, corrects=entry.id)

    assert (entry.id,) == case.containment.offending


def test_what_is_in_flight_has_to_end_first(
    ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock
) -> None:
    """It began before, and may still become history; lost, it is in doubt and named."""
    seen: list[rml.Containment] = []

    def inside() -> None:
        pull(ledger, case)
        clock.advance(300)
        seen.append(case.containment)

    Charges(inside, lease=400)("pay-1")
    effect = ledger.effects(key="pay-1")[0].id

    assert not seen[0].proven
    assert (effect,) == seen[0].in_flight
    assert f"still in flight: {effect}" in str(seen[0])
    assert case.containment.proven


def test_what_is_in_doubt_is_named(
    ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock
) -> None:
    """It does not bar the proof: it does not run again by itself."""
    Charges(TimeoutError()).fail(TimeoutError, "pay-1")
    pull(ledger, case)
    clock.advance(300)

    found = case.containment

    assert found.proven
    assert (ledger.in_doubt()[0].id,) == found.in_doubt


@pytest.mark.parametrize(("tenant", "offends"), [("a", True), ("b", False), (None, True)])
def test_tenant_lever_is_about_its_tenant(
    ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock, *, tenant: str | None, offends: bool
) -> None:
    """Of an effect of which nobody knows whose it is, nobody can say that it was none of them."""
    pull(ledger, case, tenant="a")
    clock.advance(1)

    @rml.idempotent(CHARGE, key="key", lever=False, facts=() if tenant is None else ("tenant",))
    def charge(key: str, tenant: str | None) -> None: ...

    charge("pay-1", tenant)

    assert offends == bool(case.containment.offending)


def test_a_part_is_not_said_to_be_the_whole(
    ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock
) -> None:
    """Who reads that it is proven reads for whom, and others may still be charged."""
    pull(ledger, case, tenant="a")
    clock.advance(300)

    assert ("'payment.charge' of tenant 'a'",) == case.containment.limits
    assert str(case.containment).endswith("; only 'payment.charge' of tenant 'a' is stopped")
    pull(ledger, case)
    clock.advance(300)
    assert () == case.containment.limits
    assert "only" not in str(case.containment)


def test_a_tenants_lever_contains_its_own_case_alone(
    ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock
) -> None:
    """What a case is known to be about has to be among what is stopped, each effect of it."""

    @rml.idempotent(CHARGE, key="key", facts=("tenant",))
    def charge(key: str, tenant: str) -> str:
        return rml.current_effect().id

    ours, theirs = charge("pay-1", "a"), charge("pay-2", "b")
    pull(ledger, case, tenant="a")
    clock.advance(300)
    nobody_knows = case.containment
    case.understand("one of a", by="Ada", transactions=1, harmed=[ours])
    one = case.containment
    case.understand("and one of b", by="Ada", transactions=2, harmed=[theirs])
    both = case.containment

    assert (False, (CHARGE,)) == (nobody_knows.proven, nobody_knows.uncovered)
    assert (True, ()) == (one.proven, one.uncovered)
    assert (False, (theirs,)) == (both.proven, both.uncovered)
    limit = "'payment.charge' of tenant 'a'"
    assert f"not proven: nothing stops {theirs}; only {limit} is stopped" == str(both)
    pull(ledger, case, tenant="b")
    clock.advance(300)
    assert case.containment.proven


def test_what_was_counted_has_to_be_stopped_too(
    ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock
) -> None:
    """A case is about every operation of which it counted harm."""
    pull(ledger, case)
    clock.advance(300)

    refund("ch-1")
    case.count_impact(operation="payment.refund", by="Ada")

    assert (False, ("payment.refund",)) == (case.containment.proven, case.containment.uncovered)


def test_without_an_operation_signals_count(ledger: rml.Ledger, clock: rml.FrozenClock) -> None:
    """A case opened by hand names none; then nothing new is that nobody else sees it."""
    case = rml.Casebook(ledger)[rml.escalate("charged twice").id]
    case.contain("payments are off", by="Ada", lever="flag_off")
    clock.advance(200)
    again = rml.escalate("charged twice")
    clock.advance(200)
    assert (False, (again.entry,)) == (case.containment.proven, case.containment.offending)
    clock.advance(100)

    assert case.containment.proven


@pytest.mark.parametrize("act", ["refund", "Refund", "voucher"])
def test_nothing_is_given_back_before(
    ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock, act: str
) -> None:
    """Refunds, and whatever names corrections, wait for the proof, or pass it knowingly."""
    pull(ledger, case)
    case.understand("a retry", by="Ada", transactions=1)
    case.decide("refund", decided_by={"legal": "Rosa", "business": "Tom", "sre": "Ada"})
    charged = ledger.effects(operation=CHARGE)[0].id
    made = ledger.correct(charged, "payment.refunded", world="RML3", by="Tom", reason="twice").id
    named: dict[str, Any] = {"by": "Tom", "corrections": [made] if act == "voucher" else ()}

    with pytest.raises(rml.StepRefusedError, match="contained-first"):
        case.act(act, **named)
    case.act("user_email", by="Tom", channel="email")
    case.act(act, **named, override="a regulator waits")
    clock.advance(300)
    case.act(act, **named)


def test_released_lever_contains_no_more(
    ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock
) -> None:
    """What may begin again before it was proven is not stopped."""
    pull(ledger, case)
    clock.advance(299)
    rml.Levers(ledger).release(CHARGE, by="Ada", reason="mended")

    assert not case.containment.proven
    assert (CHARGE,) == case.containment.uncovered


def test_lever_on_something_else_contains_nothing(
    ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock
) -> None:
    """Every operation that the case is about has to be stopped."""
    rml.Levers(ledger).pull("payment.refund", **LEVER, incident=case.id, force=True)
    clock.advance(300)

    found = case.containment

    assert not found.proven
    assert f"nothing stops {CHARGE}" in str(found)


def test_star_stops_all_of_them(ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock) -> None:
    """And then whatever begins counts."""
    rml.Levers(ledger).pull("*", **LEVER, incident=case.id)
    clock.advance(300)
    assert case.containment.proven

    @rml.idempotent("mail.send", key="key", lever=False)
    def send(key: str) -> None: ...

    send("m-1")
    assert 1 == len(case.containment.offending)


def test_containment_by_hand_is_proven_the_same_way(
    ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock
) -> None:
    """A rollback of the deploy is believed when the ledger shows it; from its recording on."""
    case.contain("payments are off", by="Ada", lever="flag_off")
    slip = charge_again(ledger, "pay-9")
    clock.advance(300)

    assert case.containment.proven
    assert (slip,) == case.containment.offending


def test_data_is_not_corrected_before(
    ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock
) -> None:
    """Refused until proven, or passed knowingly, which is recorded."""
    rml.Casebook(ledger).known_good("shop 1.4.2", by="ci")
    rml.Casebook(ledger).migration("0042", reversible=True, by="ci")
    for lever in ("flag_off", "deploy_rollback", "migration_rollback"):
        case.contain("stopped", by="Ada", lever=lever)
    correction: dict[str, Any] = {"by": "Ada", "lever": "data_correction"}

    with pytest.raises(rml.StepRefusedError, match="contained-first") as refused:
        case.contain("rows are mended", **correction)
    assert "nothing may for another 300 s" in str(refused.value)
    case.contain("rows are mended", **correction, override="a regulator waits")
    assert "a regulator waits" in [
        entry.facts.get("reason") for entry in case.entries if entry.kind == "incident.overridden"
    ]

    case.understand("a retry", by="Ada", transactions=1)
    case.decide("mend", decided_by={"legal": "Rosa", "business": "Tom", "sre": "Ada"})
    with pytest.raises(rml.StepRefusedError, match="contained-first"):
        case.act("data_correction", by="Ada")
    clock.advance(300)
    case.act("data_correction", by="Ada")


@pytest.mark.parametrize(
    "word", ["Data_Correction", "data correction", "data-correction", "other:data_correction"]
)
def test_another_spelling_is_no_way_around(
    ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock, word: str
) -> None:
    """What data correction is called does not change what it waits for."""
    pull(ledger, case)
    case.understand("a retry", by="Ada", transactions=1)
    case.decide("mend", decided_by={"legal": "Rosa", "business": "Tom", "sre": "Ada"})

    with pytest.raises(rml.StepRefusedError, match="contained-first"):
        case.act(word, by="Ada")
    if word.startswith("other:"):
        with pytest.raises(rml.StepRefusedError, match="contained-first"):
            case.contain("rows are mended", by="Ada", lever=word)
    clock.advance(300)
    case.act(word, by="Ada")


def test_another_time_may_be_asked_for(
    ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock
) -> None:
    """Five minutes are a proposal."""
    pull(ledger, case)
    clock.advance(60)

    assert case.prove_containment(60).proven
    assert not case.prove_containment(timedelta(seconds=61)).proven
    with pytest.raises(rml.InvalidInputError, match="quiet must be a number of seconds"):
        case.prove_containment(-1)


def test_rows_for_tools(ledger: rml.Ledger, case: rml.Case) -> None:
    """Durations are seconds."""
    pull(ledger, case)

    row = case.containment.to_dict()

    assert (False, 300.0, 300.0) == (row["proven"], row["left"], row["quiet"])


# The rule itself ---------------------------------------------------------------------------------


def intents(moments: Sequence[int]) -> list[Entry]:
    """Entries of effects that began so many seconds after the start, in index order."""
    ids = SeededIds()
    return [
        Entry(
            id=ids.new(START + timedelta(seconds=second)),
            kind="effect.intent",
            origin="test",
            world=rml.World.RML3,
            at=START,
            recorded_at=START + timedelta(seconds=second),
            operation=CHARGE,
            effect=f"ef_{place}",
            index=place,
        )
        for place, second in enumerate(moments)
    ]


@given(
    moments=st.lists(st.integers(0, 1000), max_size=20).map(sorted),
    pulled=st.integers(0, 20),
    now=st.integers(0, 2000),
    quiet=st.integers(1, 600),
)
def test_proven_means_that_nothing_began_for_that_long(
    moments: list[int], pulled: int, now: int, quiet: int
) -> None:
    """For any history: proven exactly if the last `quiet` seconds saw neither pull nor effect."""
    entries = intents(moments)
    index = min(pulled, len(entries)) - 1  # the lever lies behind so many of them
    at = moments[index] if index >= 0 else 0
    stop = Stop((CHARGE, None, None), START + timedelta(seconds=at), index)
    after = moments[index + 1 :]

    found = prove(
        [stop],
        entries[index + 1 :],
        [],
        START + timedelta(seconds=now),
        about=[CHARGE],
        quiet=timedelta(seconds=quiet),
    )

    last = max([at, *after])
    assert found.proven == (now - last >= quiet)
    assert len(after) == len(found.offending)
    assert timedelta(seconds=max(0, quiet - (now - last))) == found.left


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=20).map(sorted), st.integers(0, 400))
def test_one_more_effect_never_proves_what_was_not(moments: list[int], wait: int) -> None:
    """More bleeding is never better."""
    entries = intents(moments)
    stop = Stop((CHARGE, None, None), START, -1)
    now = START + timedelta(seconds=moments[-1] + wait)

    less = prove([stop], entries[:-1], [], now, about=[CHARGE])
    more = prove([stop], entries, [], now, about=[CHARGE])

    assert not more.proven or less.proven

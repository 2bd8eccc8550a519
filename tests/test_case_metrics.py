"""Metrics of cases equal what a hand works out from the entries, and show what flatters them."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from casework import TRIANGLE, confirmed, through
from hypothesis import given
from hypothesis import strategies as st

import rml
from rml.incident.case import Case
from rml.incident.casebook import Casebook
from rml.incident.metrics import IN_THE_MOMENT, spread

START = datetime(2025, 6, 1, 10, 23, 45, tzinfo=UTC)
SPANS = st.timedeltas(min_value=timedelta(days=-1), max_value=timedelta(days=30))


@pytest.fixture
def clock() -> rml.FrozenClock:
    """Return a clock that stands still."""
    return rml.FrozenClock(START)


@pytest.fixture
def ledger(clock: rml.FrozenClock) -> rml.Ledger:
    """Return a ledger in memory."""
    return rml.Ledger("memory:", clock=clock)


@pytest.fixture
def case(ledger: rml.Ledger) -> Case:
    """Return a case that an alert has just opened."""
    source = {"type": "alert", "source": "rate"}
    found = rml.escalate("Possible double charge", detected_by=source, ledger=ledger)
    return Casebook(ledger)[found.id]


def minutes(count: float) -> timedelta:
    """Return so many minutes."""
    return timedelta(minutes=count)


def test_the_intervals_of_a_case(case: Case, clock: rml.FrozenClock) -> None:
    """Each runs from and to the moments that its name says."""
    clock.advance(75)
    case.contain("off", by="ann", lever="flag_off")
    clock.set("2025-06-01T11:10:00Z")
    case.understand(
        "a retry",
        by="ann",
        users=37,
        root_cause="no key",
        started_at=START - minutes(5),
    )
    case.decide("refund", decided_by=TRIANGLE)
    clock.set("2025-06-01T12:23:45Z")
    confirmed(case, "resolution").move("resolved", by="ann", reason="quiet")
    found = case.metrics

    assert {
        "mttd": minutes(5),
        "mtta": timedelta(seconds=75),
        "mttm": timedelta(seconds=75),
        "mttr": minutes(120),
        "mtti": timedelta(minutes=46, seconds=15),
        "detection_gap": timedelta(seconds=75),
        "escalation": timedelta(0),
    } == {
        name: getattr(found, name)
        for name in ("mttd", "mtta", "mttm", "mttr", "mtti", "detection_gap", "escalation")
    }
    assert {
        "detect": timedelta(seconds=75),
        "contain": timedelta(minutes=45),
        "understand": timedelta(0),
        "decide": timedelta(0),
    } == found.phases


def test_what_nobody_recorded_is_not_zero(case: Case) -> None:
    """A number without a beginning or an end is unknown."""
    found = case.metrics

    unknown = (found.mttd, found.mtta, found.mttm, found.mttr, found.mtti, found.detection_gap)
    assert {None} == set(unknown)
    assert (0.0, 0, 0) == (found.writing.share, found.reopened, found.changes)


def test_people_may_know_first(case: Case) -> None:
    """The gap is negative where a customer knew before the alert did."""
    case.detect(
        "a customer wrote",
        detected_by={"type": "cs_ticket", "id": "CS-1"},
        at=START - minutes(20),
    )

    assert (minutes(-20), minutes(20)) == (case.metrics.detection_gap, case.metrics.escalation)


@pytest.mark.parametrize(
    "source", [None, {"type": "alert", "source": "rate"}], ids=["rml", "alert"]
)
def test_a_job_with_a_name_is_no_person(
    ledger: rml.Ledger, clock: rml.FrozenClock, source: dict[str, str] | None
) -> None:
    """Who opens a case is told by what noticed it: a program does not answer its own signal."""
    found = rml.escalate("Charged twice", by="night.job", detected_by=source, ledger=ledger)
    case = Casebook(ledger)[found.id]
    assert (None, None) == (case.metrics.mtta, case.metrics.detection_gap)
    clock.advance(600)
    case.take("commander", by="ann")

    assert (minutes(10), minutes(10)) == (case.metrics.mtta, case.metrics.detection_gap)


def test_writing_afterwards_shows(case: Case, clock: rml.FrozenClock) -> None:
    """What was recorded more than five minutes after it happened is counted, to the second."""
    clock.advance(3600)
    now = clock.now()
    case.contain("off", by="ann", lever="flag_off", at=now - IN_THE_MOMENT)
    case.understand("x", by="ann", users=1, at=now - IN_THE_MOMENT - timedelta(seconds=1))
    case.detect("y", at=now - minutes(50))

    writing = case.metrics.writing
    assert (4, 2, 0.5, minutes(50)) == (
        writing.events,
        writing.late,
        writing.share,
        writing.worst,
    )


def test_a_step_that_is_taken_again_takes_its_time(case: Case, clock: rml.FrozenClock) -> None:
    """Going back to an earlier step adds to that step, not to the later one."""
    for lever in ("flag_off", "none"):
        clock.advance(60)
        case.contain("x", by="ann", lever=lever)
        clock.advance(600)
        case.understand("x", by="ann", users=1)

    assert {
        "detect": minutes(1),
        "contain": minutes(20),
        "understand": minutes(1),
    } == case.metrics.phases


def test_coming_back_is_counted(case: Case, clock: rml.FrozenClock) -> None:
    """A resolved case that gets a signal, and a closed one that is reopened, came back."""
    confirmed(case, "resolution").move("resolved", by="ann", reason="quiet")
    clock.advance(60)
    rml.escalate("Possible double charge", ledger=case._ledger)
    assert (1, None) == (case.metrics.reopened, case.metrics.mttr)
    through(case).close(by="sre-1")
    clock.advance(60)
    case.reopen(by="ann", reason="a 42nd")

    assert 2 == case.metrics.reopened


def test_a_book_shows_what_flatters_its_numbers(ledger: rml.Ledger, clock: rml.FrozenClock) -> None:
    """Median and 90th percentile, and beside them what came back and what was written late."""
    cases = []
    for wait in (1, 2, 10):
        opened = rml.escalate(f"problem {wait}", ledger=ledger)
        clock.advance(wait * 60)
        cases.append(through(Casebook(ledger)[opened.id]))
        cases[-1].close(by="sre-1")
    cases[0].reopen(by="ann", reason="again")
    late = cases[0].detect("x", at=clock.now() - minutes(10))
    found = Casebook(ledger).metrics()

    assert (3, {"SEV-2": 3}, 3, 0) == (
        found.cases,
        found.by_severity,
        found.changes,
        found.downscoped,
    )
    mttm = found.intervals["mttm"]
    assert (3, minutes(2), minutes(10)) == (mttm.known, mttm.median, mttm.p90)
    assert 1 / 3 == found.reopen_rate
    entries = sum(len(case.entries) for case in cases)
    assert 1 / entries == found.late_share
    assert {"keys": 3, "handover": 3} == found.repeated_lessons
    assert late.recorded_at == clock.now()
    assert 2 == Casebook(ledger).metrics(since=START + minutes(1)).cases
    plain = found.to_dict()
    assert {"known": 3, "median": 120.0, "p90": 600.0} == plain["intervals"]["mttm"]


@pytest.mark.parametrize(
    ("severity", "impact", "hints"),
    [
        ("SEV-3", {"users": 999, "transactions": 999}, 0),
        ("SEV-3", {"users": 1_000}, 1),
        ("SEV-2", {"users": 1_000_000}, 0),
        ("SEV-4", {"transactions": 1}, 1),
        ("SEV-4", {"users": 0}, 0),
        ("SEV-5", {"users_estimate": 7, "transactions": 7}, 2),
        ("SEV-3", {"users_estimate": 5_000, "users": 37}, 0),
        ("Blocker", {"users": 1_000_000}, 0),
        (None, {"users": 1_000_000}, 0),
    ],
)
def test_more_was_hit_than_the_severity_stands_for(
    case: Case, severity: str | None, impact: dict[str, int], hints: int
) -> None:
    """Counts come before estimates; a scale of one's own, or none, stands for nothing known."""
    case.understand("x", by="ann", severity=severity, **impact)

    assert hints == len(case.metrics.under_declared)
    assert (hints > 0) == Casebook(case._ledger).metrics().under_declared
    assert all(f"than {severity} stands for" in one for one in case.metrics.under_declared)


@pytest.mark.parametrize(
    ("severity", "priority", "hints"), [("SEV-3", None, 1), ("SEV-3", "P1", 0), ("SEV-2", None, 0)]
)
def test_leadership_was_told_of_what_seems_small(
    case: Case, severity: str, priority: str | None, hints: int
) -> None:
    """A small outage with legal exposure is a P1, and calls for leadership by that."""
    case.understand("x", by="ann", severity=severity, priority=priority, users=2)
    case.tell("it is bad", to="leadership", by="ann")

    assert hints == len(case.metrics.under_declared)


@pytest.mark.parametrize(("wait", "hints"), [(30 * 60, ()), (30 * 60 + 1, ("SEV-1",))])
def test_a_severity_that_was_raised_late(
    case: Case, clock: rml.FrozenClock, wait: int, hints: tuple[str, ...]
) -> None:
    """Half an hour after the first, as the ledger recorded it; a time given by hand is no help."""
    case.understand("slow", by="ann", severity="SEV-3")
    clock.advance(wait)
    case.understand("down", by="ann", severity="SEV-1", at=START)

    assert tuple(f"SEV-3 was raised to {one} after 30 min" for one in hints) == (
        case.metrics.under_declared
    )
    case.understand("mended", by="ann", severity="SEV-3", evidence="the dashboard")
    assert len(hints) == len(case.metrics.to_dict()["under_declared"])


def test_hints_of_under_declaration_stand_on_the_page(case: Case) -> None:
    """Beside the durations that they flatter."""
    case.understand("x", by="ann", severity="SEV-4", users=41)

    assert "<dt>perhaps under-declared</dt><dd>41 users are more than SEV-4" in case.to_html()


def test_an_empty_book(ledger: rml.Ledger) -> None:
    """No case, no number."""
    found = Casebook(ledger).metrics()

    assert (0, None, 0.0) == (found.cases, found.reopen_rate, found.late_share)
    assert all(one.median is None for one in found.intervals.values())


@given(values=st.lists(st.none() | SPANS, max_size=30))
def test_median_and_p90(values: Sequence[timedelta | None]) -> None:
    """Half are not above the median, nine in ten not above the 90th percentile, which occurs."""
    known = sorted(value for value in values if value is not None)
    found = spread(values)

    assert len(known) == found.known
    if not known:
        assert found.median is found.p90 is None
        return
    assert found.median is not None
    assert found.p90 in known
    assert sum(value <= found.p90 for value in known) >= math.ceil(0.9 * len(known))
    assert known[0] <= found.median <= known[-1]
    middle = (known[(len(known) - 1) // 2], known[len(known) // 2])
    assert middle[0] <= found.median <= middle[1]


@given(lags=st.lists(st.integers(0, 10_000), max_size=20))
def test_the_late_share_is_a_share(lags: list[int]) -> None:
    """It lies between 0 and 1 and counts exactly the entries that were written late."""
    clock = rml.FrozenClock(START)
    ledger = rml.Ledger("memory:", clock=clock)
    case = Casebook(ledger)[rml.escalate("x", ledger=ledger).id]
    clock.advance(20_000)
    for lag in lags:
        case.detect("x", at=clock.now() - timedelta(seconds=lag))

    late = sum(lag > IN_THE_MOMENT.total_seconds() for lag in lags)
    assert late / (len(lags) + 1) == case.metrics.writing.share

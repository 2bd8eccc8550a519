"""The postmortem that a case owes: by which working day, who must be there, and what is overdue."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from casework import TRIANGLE, confirmed, ready, through
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import rml
from rml.cli import main
from rml.incident.case import Case
from rml.incident.casebook import Casebook
from rml.incident.command.workdays import WEEKDAYS, WorkCalendar
from rml.incident.rule import StepRefusedError

# A Sunday; the days are those of requirement X9.
SUNDAY = datetime(2025, 6, 1, 12, tzinfo=UTC)
FRIDAY = date(2025, 6, 6)
OVERDUE = "the postmortem was due on 2025-06-06: hold it, and record it with case.postmortem(...)"


@pytest.fixture
def clock() -> rml.FrozenClock:
    """Return a clock that stands still."""
    return rml.FrozenClock(SUNDAY)


@pytest.fixture
def case(clock: rml.FrozenClock) -> Case:
    """Return a case that has just been opened."""
    ledger = rml.Ledger("memory:", clock=clock)
    return Casebook(ledger)[rml.escalate("Possible double charge", ledger=ledger).id]


# ------------------------------------------------------------------------------------ working days


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
    st.integers(1, 30),
    st.sets(st.dates(date(2000, 1, 1), date(2100, 1, 1)), max_size=20),
)
def test_so_many_days_are_worked_until_then(
    moment: datetime, days: int, holidays: set[date]
) -> None:
    """The day is a working day, and so many of them lie after the moment's, up to it."""
    calendar = WorkCalendar(holidays)
    due = calendar.after(moment, days)
    between = [moment.date() + timedelta(n) for n in range(1, (due - moment.date()).days + 1)]

    assert calendar.is_worked(due)
    assert days == sum(map(calendar.is_worked, between))


def test_the_day_is_that_of_the_zone() -> None:
    """Half past eleven on Friday evening in London is Saturday in Tokyo."""
    friday = datetime(2025, 6, 6, 22, 30, tzinfo=UTC)

    assert date(2025, 6, 9) == WEEKDAYS.after(friday, 1)
    assert date(2025, 6, 7) == WorkCalendar(zone=ZoneInfo("Asia/Tokyo")).day_of(friday)


@pytest.mark.parametrize("weekend", [range(1, 8), [0], [8]], ids=["all", "zero", "eight"])
def test_a_week_has_a_working_day(weekend: list[int]) -> None:
    """Days that ISO 8601 does not have are refused, and so is a week without work."""
    with pytest.raises(rml.InvalidInputError, match="weekend is"):
        WorkCalendar(weekend=weekend)


def test_a_calendar_of_holidays_alone_ends() -> None:
    """A container that holds every day is a mistake, not a search without end."""

    class Always:
        def __contains__(self, _: object) -> bool:
            return True

    with pytest.raises(rml.InvalidInputError, match="no working day"):
        WorkCalendar(Always()).after(SUNDAY, 5)


# ----------------------------------------------------------------------------------------- overdue


def test_it_is_due_on_the_fifth_working_day(case: Case, clock: rml.FrozenClock) -> None:
    """Closed on a Sunday, Friday is in time until midnight; then it is overdue everywhere."""
    through(case).close(by="ann")
    clock.advance(5 * 86_400 + 43_199)
    assert case.postmortem_due is not None
    assert (FRIDAY, False, []) == (
        case.postmortem_due.due,
        case.postmortem_due.overdue,
        case.missing(),
    )
    assert "owed    postmortem due on 2025-06-06\n" in f"{case}\n"
    clock.advance(1)

    assert case.postmortem_due.overdue
    assert [OVERDUE] == case.missing()
    assert "postmortem due on 2025-06-06 - overdue" in str(case)
    assert OVERDUE in case.to_html().replace("\n", " ")


def test_an_overdue_postmortem_bars_closing(case: Case, clock: rml.FrozenClock) -> None:
    """Resolved and not closed: the line is among the others, and a reason passes it."""
    through(case).move("resolved", by="ann", reason="quiet")
    assert [] == case.missing()
    clock.advance(timedelta(days=6).total_seconds())
    assert [OVERDUE] == case.missing()
    with pytest.raises(StepRefusedError) as refused:
        case.close(by="ann")
    assert ["postmortem-overdue"] == refused.value.details["rules"]

    case.close(by="ann", override="it is on Monday")


def test_once_held_nothing_is_owed(case: Case, clock: rml.FrozenClock) -> None:
    """Also of a closed case; taken up again, it owes another."""
    through(case).close(by="ann")
    clock.advance(timedelta(days=9).total_seconds())
    case.postmortem(by="ann", attended=TRIANGLE, link="https://example.org/pm/1")
    assert (None, []) == (case.postmortem_due, case.missing())
    assert "postmortem" == case.timeline[-1].type
    assert "Ada (legal)" in case.timeline[-1].detail

    case.reopen(by="ann", reason="a third charge")
    assert case.postmortem_due is None
    confirmed(case).all_clear("done", by="ann")
    case.close(by="ann")
    assert case.postmortem_due is not None


def test_a_false_alarm_owes_none(case: Case) -> None:
    """What never reached history needs no postmortem."""
    case.downscope("RML2", by="ann", reason="a test card", evidence="the number")
    case.decide("nothing", decided_by={"sre": "ann"}, world="RML2")
    case.learn(by="ann", technical=["a"], process=["b"], governance=["c"])
    case.close(by="ann")

    assert case.postmortem_due is None


def test_holidays_move_it(clock: rml.FrozenClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A calendar's own, or those that the environment names; what is no day is refused."""
    ledger = rml.Ledger("memory:", clock=clock)
    incident = rml.escalate("x", ledger=ledger).id
    through(Casebook(ledger)[incident]).close(by="ann")

    def due() -> date | None:
        owed = Casebook(ledger)[incident].postmortem_due
        return owed and owed.due

    whit = WorkCalendar({date(2025, 6, 2), date(2025, 6, 9)})
    owed = Casebook(ledger, calendar=whit)[incident].postmortem_due
    assert (FRIDAY, date(2025, 6, 10)) == (due(), owed and owed.due)
    with pytest.raises(rml.InvalidInputError, match="must be a WorkCalendar, not set"):
        Casebook(ledger, calendar={date(2025, 6, 2)})  # type: ignore[arg-type]
    monkeypatch.setenv("RML_HOLIDAYS", "2025-06-02")
    assert date(2025, 6, 9) == due()
    monkeypatch.setenv("RML_HOLIDAYS", "Whit Monday")
    with pytest.raises(rml.InvalidInputError, match="RML_HOLIDAYS"):
        due()


# --------------------------------------------------------------------------------------- who comes


REFUSED: dict[str, Callable[[Case], object]] = {
    "nobody of legal": lambda case: case.postmortem(
        by="ann", attended={"business": "Grace", "sre": "Barbara"}
    ),
    "before it was detected": lambda case: case.postmortem(
        by="ann", attended=TRIANGLE, at=SUNDAY - timedelta(seconds=1)
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_leaves_nothing(case: Case, name: str) -> None:
    """A refusal records nothing."""
    ready(case)
    size = case._ledger.size
    with pytest.raises(StepRefusedError):
        REFUSED[name](case)

    assert size == case._ledger.size


def test_an_absence_is_excused_with_a_reason(case: Case) -> None:
    """Who was not there and why is recorded; named in both is refused, and so is nobody at all."""
    there = {"business": "Grace", "sre": "Barbara"}
    case.postmortem(by="ann", attended=there, absent={"legal": "read the draft"})
    assert [{"role": "legal", "reason": "read the draft"}] == case.entries[-1].facts["absent"]
    with pytest.raises(rml.InvalidInputError, match="in attended and in absent"):
        case.postmortem(by="ann", attended=there, absent={"sre": "ill"})
    with pytest.raises(rml.InvalidInputError, match="attended names nobody"):
        case.postmortem(by="ann", attended={})


# ---------------------------------------------------------------------------------- from the shell


def test_the_shell_shows_and_records_it(tmp_path: Path) -> None:
    """`rml cases` and `rml case` show what is owed; `rml case INC postmortem` records it."""
    path = tmp_path / "a.db"
    with rml.Ledger(path, clock=rml.FrozenClock(SUNDAY)) as ledger:
        through(Casebook(ledger)[rml.escalate("x", ledger=ledger).id]).close(by="ann")

    def run(*args: str, code: int = 0) -> str:
        result = CliRunner().invoke(main, ["--ledger", str(path), *args])
        assert code == result.exit_code, result.output
        return result.output

    one = "INC-2025-0001"
    assert "x (postmortem due on 2025-06-06 - overdue)" in run("cases")
    (row,) = json.loads(run("cases", "--json"))
    assert ("2025-06-06", True) == (row["postmortem_due"], row["postmortem_overdue"])
    assert "postmortem due on 2025-06-06 - overdue" in run("case", one)
    way = f"rml case {one} postmortem ..."
    said = OVERDUE.replace("case.postmortem(...)", way)
    assert said in " ".join(run("case", one, "missing", code=1).split())
    run("case", one, "postmortem", "--by", "ann", "--sre", "ann", code=1)
    people = ("--sre", "ann", "--business", "tom", "--absent", "legal=ill")
    run("case", one, "postmortem", "--by", "ann", *people, "--link", "https://example.org/1")
    assert "nothing is missing\n" == run("case", one, "missing")

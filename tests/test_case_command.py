"""How an incident is led: one commander, orders read back, updates on time, no surprises."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rml
from rml.incident.case import Case
from rml.incident.casebook import Casebook
from rml.incident.command.communication import MATRIX, STATUS_PAGES, StatusPage
from rml.incident.command.order import INTAKE, Board
from rml.incident.command.role import Role
from rml.incident.rule import StepRefusedError
from rml.incident.severity import Priority

START = datetime(2026, 11, 21, 3, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def clock() -> rml.FrozenClock:
    """Return a clock that stands still."""
    return rml.FrozenClock(START)


@pytest.fixture
def case(clock: rml.FrozenClock) -> Case:
    """Return a case that has just been opened."""
    ledger = rml.Ledger("memory:", clock=clock)
    return Casebook(ledger)[rml.escalate("Possible double charge", ledger=ledger).id]


def say(case: Case, by: str = "ann", to: str = "support", minutes: int | None = None) -> None:
    """Give an update."""
    case.update("bad", action="flag off", need="none", to=to, by=by, next_minutes=minutes)


# ------------------------------------------------------------------------------------------ roles


def test_command_moves_when_it_is_accepted(case: Case) -> None:
    """The old commander leads until the new one has accepted; the briefing is kept."""
    assert case.commander is None
    case.take("IC", by="ann")
    case.hand_over(to="bob", by="ann", briefing="payments are off")
    assert "ann" == case.commander
    assert "command to bob" in repr(case)
    case.accept(by="bob")

    assert "bob" == case.commander
    assert case.read().hats.offer is None
    facts = [entry.facts for entry in case.entries if entry.kind == "incident.handover_offered"]
    assert ["payments are off"] == [fact["briefing"] for fact in facts]


def test_a_space_makes_nobody_another(case: Case) -> None:
    """Command reaches whom it was offered to, and a hat binds who wears it."""
    case.take("commander", by=" ann")
    case.hand_over(to="bob ", by="ann", briefing="payments are off")
    case.accept(by="bob")

    assert "bob" == case.commander
    with pytest.raises(StepRefusedError, match="commander, who does not investigate"):
        case.understand("a retry", by="bob\u00a0")


def test_there_is_one_commander(case: Case) -> None:
    """Nobody else takes command, nobody drops it, nobody gives or takes what is not theirs."""
    case.take("commander", by="ann")
    case.take("scribe", by="bob")
    wrong = {
        "one-commander": [
            lambda: case.take("commander", by="bob"),
            lambda: case.leave("commander", by="ann"),
        ],
        "commander": [lambda: case.hand_over(to="bob", by="bob", briefing="x")],
        "offered-first": [lambda: case.accept(by="bob")],
        "role-once": [
            lambda: case.take("scribe", by="bob"),
            lambda: case.take("commander", by="ann"),
            lambda: case.hand_over(to="ann", by="ann", briefing="x"),
        ],
        "role-worn": [lambda: case.leave("scribe", by="ann")],
    }
    for rule, calls in wrong.items():
        for call in calls:
            with pytest.raises(StepRefusedError, match=rule) as caught:
                call()
            relieves = "is commander; command is handed over" in caught.value.message
            assert relieves is caught.value.details["overridable"]
    case.hand_over(to="bob", by="ann", briefing="x")
    with pytest.raises(StepRefusedError, match="is for bob"):
        case.accept(by="eve")
    assert "ann" == case.commander


def test_a_commander_who_is_gone_is_relieved(case: Case) -> None:
    """Taking command takes it from the other, with a reason; an old offer is void."""
    case.take("commander", by="ann")
    case.hand_over(to="eve", by="ann", briefing="x")
    case.take("commander", by="bob", override="ann does not answer")

    assert ("bob",) == case.read().hats.worn[Role.COMMANDER]
    assert ["override"] == [remark.name for remark in case.remarks]
    with pytest.raises(StepRefusedError, match="offered-first"):
        case.accept(by="eve")


def test_hats_are_taken_off(case: Case) -> None:
    """Whoever leaves a role wears the others on."""
    case.take("scribe", by="bob")
    case.take("investigator", by="bob")
    case.take("investigator", by="eve")
    case.leave("investigator", by="bob")

    hats = case.read().hats
    assert (Role.SCRIBE,) == hats.of("bob")
    assert ("eve",) == hats.worn[Role.INVESTIGATOR]


@given(
    moves=st.lists(
        st.tuples(
            st.sampled_from(["take", "hand_over", "accept", "leave"]),
            st.sampled_from("abc"),
            st.sampled_from("abc"),
        ),
        max_size=20,
    )
)
def test_never_none_and_never_two(moves: list[tuple[str, str, str]]) -> None:
    """Whatever people try: before the first commander there is none, from then on one."""
    ledger = rml.Ledger("memory:")
    case = Casebook(ledger)[rml.escalate("x", ledger=ledger).id]
    assembled = False
    for move, by, to in moves:
        try:
            if move == "hand_over":
                case.hand_over(to=to, by=by, briefing="all")
            elif move == "accept":
                case.accept(by=by)
            else:
                getattr(case, move)("commander", by=by)
                assembled = True
        except StepRefusedError:
            continue
        worn = case.read().hats.worn.get(Role.COMMANDER, ())
        assert int(assembled) == len(worn)


# --------------------------------------------------------------------------- orders and the board


def test_an_order_is_read_back_and_confirmed(case: Case) -> None:
    """The loop is closed by whoever gave it, once the words agree but for case and spacing."""
    order = case.order("Check lag on shard 4", to="bob", by="ann").id
    assert "to bob since" in repr(case)
    with pytest.raises(StepRefusedError, match="not at all"):
        case.confirm_order(order, by="ann")
    case.read_back(order, "check lag on shard 14", by="bob")
    assert ["read-back"] == [remark.name for remark in case.remarks]
    with pytest.raises(StepRefusedError, match="shard 14"):
        case.confirm_order(order, by="ann")
    case.read_back(order, "check  lag on shard 4", by="bob")
    case.confirm_order(order, by="ann")

    (given_order,) = case.read().orders
    assert (True, False) == (given_order.matches, given_order.is_open)
    assert [] == case.remarks


def test_nobody_reads_back_for_another(case: Case) -> None:
    """Who is to do it says how they understood it; who gave it, or the commander, confirms."""
    order = case.order("check lag on shard 4", to="bob", by="ann").id
    with pytest.raises(StepRefusedError, match="to bob, who reads it back"):
        case.read_back(order, "check lag on shard 4", by="eve")
    case.read_back(order, "check lag on shard 4", by="bob")
    with pytest.raises(StepRefusedError, match="ann gave the order"):
        case.confirm_order(order, by="bob")
    case.take("commander", by="cat")
    case.confirm_order(order, by="cat")

    assert not case.read().orders[0].is_open


def test_the_board_tells_facts_from_guesses(case: Case) -> None:
    """Notes hang apart; one ends another; a hypothesis says what would end it."""
    guess = case.note(
        "the new retry", board="hypothesis", by="ann", because="the deploy", disproof="old hosts"
    )
    case.note("charges twice on old hosts", board="know", by="bob", ends=guess.id)
    case.note("unknown", board="who_else", by="bob")

    first, second, third = case.read().notes
    assert (Board.HYPOTHESIS, second.entry) == (first.board, first.ended_by)
    assert (None, Board.WHO_ELSE) == (second.ended_by, third.board)
    assert third.board in INTAKE


def test_a_workstream_has_a_lead_a_channel_a_goal_and_a_document(case: Case) -> None:
    """All four or none; a commander who leads one as well is remarked."""
    size = len(case.entries)
    for missing in ("goal", "lead", "channel", "document"):
        words = {"goal": "find it", "lead": "bob", "channel": "#find", "document": "notes"}
        with pytest.raises(rml.InvalidInputError, match=missing):
            case.workstream(**(words | {missing: ""}), by="ann")
    assert size == len(case.entries)
    case.take("commander", by="ann")
    case.workstream("find it", lead="bob", channel="#find", document="notes", by="ann")
    assert [] == case.remarks
    case.workstream("stop it", lead="ann", channel="#stop", document="notes", by="ann")

    (remark,) = case.remarks
    assert ("hero", True) == (remark.name, "stop it" in remark.text)


def test_a_case_hangs_together_with_others_alone(case: Case) -> None:
    """It caused nothing of itself; in whatever letters."""
    for own in (case.id, case.id.lower()):
        with pytest.raises(rml.InvalidInputError, match="caused_by itself"):
            case.link("caused_by", own, by="ann")
    assert 1 == len(case.entries)


def test_cases_hang_together_both_ways(case: Case) -> None:
    """What caused, mended or contains a case is found from either end."""
    case.link("caused_by", "INC-2026-0007", by="ann")
    case.link("fixed_by", "9c1f2e", by="ann")
    book = Casebook(case._ledger)

    assert [case.id] == [one.id for one in book.linked("INC-2026-0007")]
    assert [case.id] == [one.id for one in book.linked("9c1f2e")]
    assert [] == list(book.linked("INC-2026-0008"))
    assert "caused_by INC-2026-0007" in [event.detail for event in case.timeline]


# ------------------------------------------------------------------------- updates and audiences


def test_an_update_is_due_every_half_hour(case: Case, clock: rml.FrozenClock) -> None:
    """It is overdue at thirty minutes sharp, not a second before; each update moves it on."""
    due = case.read().next_update(clock.now())
    assert due is not None
    assert (START + 30 * MINUTE, False) == (due.due, due.promised)
    for at, overdue in ((30 * MINUTE - timedelta(seconds=1), False), (30 * MINUTE, True)):
        told = case.read().next_update(START + at)
        assert told is not None
        assert overdue is told.overdue
    clock.advance(1800)
    assert "overdue" in repr(case)
    say(case)
    assert "overdue" not in repr(case)


def test_a_promise_comes_before_the_cadence(case: Case, clock: rml.FrozenClock) -> None:
    """A shorter promise counts; a longer one does not stretch the cadence."""
    for minutes, expected in ((10, 10), (90, 30), (None, 30)):
        say(case, minutes=minutes)
        due = case.read().next_update(clock.now())
        assert due is not None
        assert (START + expected * MINUTE, expected == 10) == (due.due, due.promised)


def test_the_worst_is_told_of_more_often(case: Case, clock: rml.FrozenClock) -> None:
    """SEV-0 and SEV-1 are updated every quarter of an hour; nothing is due after the all clear."""
    case.understand("x", by="bob", severity="SEV-1")
    due = case.read().next_update(clock.now())
    assert due is not None
    assert START + 15 * MINUTE == due.due

    case.confirm("resolution", by="ann", evidence="x")
    case.all_clear("done", by="ann")
    assert None is case.read().next_update(clock.now())
    rml.escalate("Possible double charge", ledger=case._ledger)
    assert None is not case.read().next_update(clock.now())


def test_the_escalation_matrix() -> None:
    """Who hears within five and thirty minutes, or at the next meeting, by priority."""
    table = {
        priority: [
            (
                rung.audience,
                rung.occasion or rung.within // MINUTE if rung.within else rung.occasion,
            )
            for rung in rungs
        ]
        for priority, rungs in MATRIX.items()
    }

    soon = [("on_call_group", 5), ("tech_lead", 5)]
    assert {
        Priority.P0: [
            *soon,
            ("product_owner", 5),
            ("leadership", 30),
            ("affected_clients", 30),
        ],
        Priority.P1: [*soon, ("product_owner", 30), ("leadership", "next sync")],
        Priority.P2: [("on_call_group", 5), ("product_owner", "next standup")],
        Priority.P3: [("on_call_group", "next standup")],
    } == table
    pages = [StatusPage.AUTOMATIC, StatusPage.MANUAL, StatusPage.INTERNAL_NOTE, StatusPage.NONE]
    assert pages == [STATUS_PAGES[priority] for priority in Priority]


def test_who_has_been_told_and_how_late(case: Case, clock: rml.FrozenClock) -> None:
    """Each audience's first notice counts; who has heard nothing waits, and its lateness grows."""
    clock.advance(240)
    case.tell("paged", to=["on_call_group", "tech_lead"], by="pager")
    clock.advance(240)
    case.tell("called", to="product_owner", by="ann")
    clock.advance(240)
    notices = {one.audience: one for one in case.read().schedule(clock.now())}

    assert None is notices["tech_lead"].late
    assert (3 * MINUTE, "ann") == (notices["product_owner"].late, notices["product_owner"].told_by)
    assert notices["leadership"].is_open
    assert None is notices["leadership"].late
    waiting = {one.audience: one for one in case.read().schedule(START + 40 * MINUTE)}
    assert 10 * MINUTE == waiting["leadership"].late
    assert ["late-notice"] == [remark.name for remark in case.remarks]


def test_nobody_is_told_in_time_afterwards(case: Case, clock: rml.FrozenClock) -> None:
    """Lateness is counted to the record; when it is said to have been stands beside it."""
    clock.advance(1800)
    case.tell("they knew", to="tech_lead", by="ann", at=START + MINUTE)

    told = {notice.audience: notice for notice in case.read().schedule(clock.now())}
    notice = told["tech_lead"]
    assert (START + MINUTE, START + 30 * MINUTE) == (notice.told_at, notice.recorded_at)
    assert 25 * MINUTE == notice.late
    assert "tech_lead heard 25 min late" in [remark.text for remark in case.remarks]
    assert "<em>written 29 min later</em>" in case.to_html()


def test_a_surprise_is_not_hidden_afterwards(case: Case, clock: rml.FrozenClock) -> None:
    """Who wrote first told first, whatever time somebody else says later."""
    case.take("commander", by="ann")
    clock.advance(60)
    case.tell("heard it on the news", to="leadership", by="bob")
    clock.advance(60)
    case.tell("I was first", to="leadership", by="ann", at=START)

    assert "surprise" in [remark.name for remark in case.remarks]


def test_a_broad_impact_widens_the_audience(case: Case, clock: rml.FrozenClock) -> None:
    """Enough users hit, and product owner and leadership hear within half an hour, whatever P."""

    def heard_by() -> list[str]:
        return [one.audience for one in case.read().schedule(clock.now(), broad_users=100)]

    case.understand("x", by="ann", severity="SEV-3", users_estimate=99)
    assert ["on_call_group", "product_owner"] == heard_by()
    case.understand("x", by="ann", users=100)
    assert ["on_call_group", "product_owner", "leadership"] == heard_by()
    due = {one.audience: one.due for one in case.read().schedule(clock.now(), broad_users=100)}
    assert {START + 30 * MINUTE} == {due["product_owner"], due["leadership"]}
    assert "internal_note" == case.read().status_page


def test_leadership_hears_it_from_the_commander(case: Case) -> None:
    """Hearing it first from anybody else is a surprise, whoever tells them later."""
    case.take("commander", by="ann")
    say(case, by="bob", to="leadership")
    say(case, by="ann", to="leadership")

    (remark,) = case.remarks
    assert ("surprise", True) == (remark.name, "bob" in remark.text)


def test_no_surprise_from_the_commander(case: Case) -> None:
    """Who was commander then counts, not who is now."""
    case.take("commander", by="ann")
    say(case, by="ann", to="leadership")
    case.hand_over(to="bob", by="ann", briefing="all")
    case.accept(by="bob")

    assert [] == case.remarks


def test_a_late_response_is_remarked(case: Case, clock: rml.FrozenClock) -> None:
    """SEV-1 asks for somebody within three minutes."""
    clock.advance(300)
    case.contain("off", by="ann", lever="flag_off")
    case.understand("x", by="ann", severity="SEV-1")

    (remark,) = case.remarks
    assert ("late-response", True) == (remark.name, "5 min" in remark.text)

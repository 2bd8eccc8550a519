"""Rules of a case: a refusal names its rule and the way out, an override is an entry of its own."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from casework import TRIANGLE, ready

import rml
from rml.incident.case import Case
from rml.incident.casebook import Casebook
from rml.incident.rule import StepRefusedError

START = datetime(2026, 11, 21, 3, tzinfo=UTC)


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
    """Return a case that has just been opened."""
    return Casebook(ledger)[rml.escalate("Possible double charge", ledger=ledger).id]


def refused(step: Callable[[], object]) -> StepRefusedError:
    """Return the refusal of a step."""
    with pytest.raises(StepRefusedError) as caught:
        step()
    return caught.value


def remarked(case: Case) -> list[str]:
    """Return the names of what there is to remark."""
    return [remark.name for remark in case.remarks]


# Each: how to get there, the step that is refused, the rules that it names.
REFUSED: dict[str, tuple[Callable[[Case], object], Callable[[Case], object], list[str]]] = {
    "a decision at once": (
        lambda case: None,
        lambda case: case.decide("refund", decided_by=TRIANGLE),
        ["step-order"],
    ),
    "a decision on nothing counted": (
        lambda case: (
            case.contain("off", by="ann", lever="flag_off"),
            case.understand("it charged twice", by="ann"),
        ),
        lambda case: case.decide("refund", decided_by=TRIANGLE),
        ["three-questions"],
    ),
    "an act without decision": (
        ready,
        lambda case: case.act("refund", by="ann"),
        ["decided-first"],
    ),
    "a lesson before a decision": (
        ready,
        lambda case: case.learn(by="ann", technical=["keys"]),
        ["step-order"],
    ),
    "the last lever first": (
        lambda case: None,
        lambda case: case.contain("x", by="ann", lever="data_correction"),
        ["lever-order"],
    ),
    "a severity that sinks": (
        lambda case: case.understand("x", by="ann", severity="SEV-1"),
        lambda case: case.understand("x", by="ann", severity="SEV-3"),
        ["severity-evidence"],
    ),
    "a commander who digs": (
        lambda case: case.take("commander", by="ann"),
        lambda case: case.understand("x", by="ann"),
        ["hat"],
    ),
    "a communicator who decides": (
        lambda case: (ready(case), case.take("comms lead", by="bob")),
        lambda case: case.decide("refund", decided_by=TRIANGLE, by="bob"),
        ["hat"],
    ),
    "an investigator who writes to customers": (
        lambda case: case.take("SME", by="bob"),
        lambda case: case.update(
            "x", action="y", need="none", to=["affected_clients"], by="bob"
        ),
        ["hat"],
    ),
    "a hat that nobody wears": (
        lambda case: None,
        lambda case: case.understand("x", by="ann", hat="investigator"),
        ["hat"],
    ),
    "several hats, none named": (
        lambda case: (case.take("commander", by="ann"), case.take("investigator", by="ann")),
        lambda case: case.understand("x", by="ann"),
        ["hat"],
    ),
    "resolved in the dark": (
        lambda case: None,
        lambda case: case.move("resolved", by="ann", reason="quiet"),
        ["resolution"],
    ),
    "the all clear by another": (
        lambda case: (case.confirm("resolution", by="a", evidence="b"), case.take("ic", by="ann")),
        lambda case: case.all_clear("done", by="bob"),
        ["commander"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_names_its_rule_and_the_way_to_pass_it(
    ledger: rml.Ledger, case: Case, name: str
) -> None:
    """Nothing is recorded, the message says rule and way out, and a reason passes the rule."""
    prepare, step, rules = REFUSED[name]
    prepare(case)
    size = ledger.size
    error = refused(lambda: step(case))

    assert set(rules) <= set(error.details["rules"])
    assert all(rule in error.message for rule in rules)
    assert "override=" in error.message
    assert size == ledger.size


OVERRIDDEN: dict[str, Callable[[Case, str], object]] = {
    "decide": lambda case, why: case.decide(
        "refund", decided_by=TRIANGLE, by="ann", override=why
    ),
    "act": lambda case, why: case.act("refund", by="ann", override=why),
    "contain": lambda case, why: case.contain(
        "x", by="ann", lever="deploy_rollback", override=why
    ),
    "learn": lambda case, why: case.learn(by="ann", technical=["keys"], override=why),
    "move": lambda case, why: case.move("resolved", by="ann", reason="quiet", override=why),
    "all_clear": lambda case, why: case.all_clear("done", by="ann", override=why),
    "close": lambda case, why: case.close(by="ann", override=why),
}  # fmt: skip


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_an_override_is_an_entry_with_a_name_and_a_reason(
    ledger: rml.Ledger, case: Case, name: str
) -> None:
    """It stands right before its step, names the rules, and is remarked and on the timeline."""
    OVERRIDDEN[name](case, "the house is on fire")
    passed, step = list(ledger.entries())[-2:]

    assert ("incident.overridden", "ann") == (passed.kind, passed.actor)
    assert ("the house is on fire", step.kind) == (passed.facts["reason"], passed.facts["step"])
    assert passed.facts["rules"]
    assert "override" in remarked(case)
    assert "override" in [event.type for event in case.timeline]


def test_what_needs_no_override_records_none(ledger: rml.Ledger, case: Case) -> None:
    """A reason given in advance is not recorded where no rule stood in the way."""
    case.contain("off", by="ann", lever="flag_off", override="to be safe")

    assert [] == list(ledger.entries(kind="incident.overridden"))
    assert [] == case.remarks


def test_nobody_overrides_without_a_name(ledger: rml.Ledger, case: Case) -> None:
    """An override is somebody's, and its reason is said in words."""
    with pytest.raises(rml.InvalidInputError, match="by="):
        case.decide("refund", decided_by=TRIANGLE, override="in a hurry")
    with pytest.raises(rml.InvalidInputError, match="override"):
        case.act("refund", by="ann", override=" ")
    assert 1 == ledger.size


def test_the_triangle_is_not_passed(case: Case) -> None:
    """An absence has a reason of its own; an override does not stand for legal."""
    ready(case)
    error = refused(lambda: case.decide("x", decided_by={"sre": "Ada"}, by="ann", override="alone"))

    assert (["triangle"], False) == (error.details["rules"], error.details["overridable"])
    assert "override" not in error.message


@pytest.mark.parametrize("step", ["contain", "understand", "act", "learn"])
def test_nothing_is_done_before_it_was_detected(case: Case, step: str) -> None:
    """A time before the first sign is refused; the sign is recorded with its own time instead."""
    earlier = START - timedelta(minutes=10)
    calls: dict[str, Callable[[], object]] = {
        "contain": lambda: case.contain("x", by="ann", lever="flag_off", at=earlier),
        "understand": lambda: case.understand("x", by="ann", at=earlier),
        "act": lambda: case.act("x", by="ann", world="RML2", at=earlier),
        "learn": lambda: case.learn(by="ann", technical=["x"], at=earlier, override="x"),
    }

    assert "after-detection" in refused(calls[step]).details["rules"]
    case.detect("a customer called", at=earlier)
    if step in {"contain", "understand", "act"}:
        calls[step]()


def test_steps_of_what_is_no_history_are_free(case: Case) -> None:
    """A case that was scoped down to a dialog needs no order of steps and no triangle."""
    case.downscope("RML2", by="ann", reason="one charge", evidence="the books")
    case.decide("nothing to do", decided_by={"sre": "ann"}, world="RML2")
    case.act("note", by="ann", world="RML2")
    case.learn(by="ann", technical=["a"], process=["b"], governance=["c"])
    case.close(by="ann")

    assert "closed" == case.phase


def test_raising_a_severity_needs_nothing(case: Case) -> None:
    """The worst that is believed is taken; only less needs evidence."""
    case.understand("x", by="ann", severity="SEV-3")
    case.understand("x", by="ann", severity="SEV-1")
    case.understand("x", by="ann", severity="SEV-2", evidence="one region only")
    case.understand("x", by="ann", severity="major")

    assert "major" == case.file.classification.severity


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("sve2", "SEV-2"),
        ("SEB-1", "SEV-1"),
        ("1", "SEV-1"),
        ("P1", "priority"),
    ],
)
def test_a_misspelt_severity_is_refused(case: Case, given: str, meant: str) -> None:
    """Kept as a word of another scheme, it would set no clock, and nobody would see why."""
    with pytest.raises(rml.InvalidInputError, match=f"severity.*{given}.*{meant}"):
        case.understand("x", by="ann", severity=given)
    assert case.file.classification.severity is None


def test_a_word_of_ones_own_does_not_hide_a_severity(case: Case) -> None:
    """What has no order is left out of it: SEV-1, a word, SEV-5 is lower than it was."""
    case.understand("x", by="ann", severity="SEV-1")
    case.understand("x", by="ann", severity="minor")

    error = refused(lambda: case.understand("x", by="ann", severity="SEV-5"))
    assert ["severity-evidence"] == error.details["rules"]


@pytest.mark.parametrize("after", [timedelta(microseconds=1), timedelta(days=1)], ids=str)
def test_it_began_before_it_was_detected(ledger: rml.Ledger, case: Case, after: timedelta) -> None:
    """A start after the first sign, or in the future, would be a time to detect below nothing."""
    case.understand("x", by="ann", started_at=START)
    size = ledger.size
    with pytest.raises(rml.InvalidInputError, match="started_at"):
        case.understand("x", by="ann", started_at=START + after)

    assert size == ledger.size
    assert timedelta(0) == case.metrics.mttd


def test_who_only_speaks_is_no_decider(case: Case) -> None:
    """Also where nobody is said to have written it down; who wears another hat may decide."""
    ready(case)
    case.take("communicator", by="bob")
    deciders = {**TRIANGLE, "sre": "bob"}

    assert ["hat"] == refused(lambda: case.decide("x", decided_by=deciders)).details["rules"]
    case.take("ops_lead", by="bob")
    case.decide("x", decided_by=deciders)


def test_priority_is_not_severity(case: Case) -> None:
    """A SEV-3 may be a P1; while nobody has said anything it is as urgent as can be."""
    assert "P0" == case.read().priority
    case.understand("x", by="ann", severity="SEV-3")
    assert "P2" == case.read().priority
    case.understand("legal exposure", by="ann", priority="p1")
    assert ("SEV-3", "P1") == (case.file.classification.severity, case.read().priority)


def test_less_haste_needs_evidence_too(case: Case, clock: rml.FrozenClock) -> None:
    """Otherwise those who were to hear would be off the schedule, and nobody late."""
    case.understand("x", by="ann", severity="SEV-1")
    clock.advance(3600)
    size = len(list(case.entries))

    error = refused(lambda: case.understand("not so urgent", by="ann", priority="P3"))
    assert ["severity-evidence"] == error.details["rules"]
    assert size == len(list(case.entries))
    case.understand("not so urgent", by="ann", priority="P2", evidence="one test card")
    refused(lambda: case.understand("nor that", by="ann", priority="P3"))
    case.understand("at once", by="ann", priority="P0")

    assert "P0" == case.read().priority


def test_diagnosis_before_containment_is_remarked(case: Case) -> None:
    """It is recorded, because it happened; a reviewer sees it."""
    case.understand("x", by="ann")
    case.contain("nothing to stop", by="ann", lever="none")

    assert ["diagnosed-before-contained"] == remarked(case)


def test_an_act_without_decision_is_remarked(ledger: rml.Ledger, case: Case) -> None:
    """Also where a program wrote it past the case."""
    facts = {"type": "refund", "count": 1}
    ledger.write(
        lambda draft: draft.record(
            "incident.acted", world="RML3", facts=facts, actor="job", incident=case.id
        )
    )

    (remark,) = case.remarks
    assert "act-without-decision" == remark.name
    assert "refund by job" in remark.text


def test_one_who_is_alone_names_the_hat(case: Case) -> None:
    """One person may hold all hats, and says under which they act."""
    for role in ("commander", "communicator", "investigator"):
        case.take(role, by="ann")
    case.contain("off", by="ann", lever="flag_off")
    case.understand("x", by="ann", users=1, hat="investigator")
    case.decide("refund", decided_by=TRIANGLE, by="ann", hat="commander")
    case.tell("sorry", to="affected_clients", by="ann", hat="communicator")

    assert [] == [name for name in remarked(case) if name != "late-notice"]


BAD: dict[str, tuple[str, Callable[[Case], object]]] = {
    "an unknown lever": ("flag_off", lambda case: case.contain("x", by="a", lever="flag_of")),
    "an own lever without a name": (
        "other",
        lambda case: case.contain("x", by="a", lever="other:"),
    ),
    "an unknown exposure": (
        "money_moved",
        lambda case: case.understand("x", by="a", exposure=["money_movd"]),
    ),
    "an unknown role": ("commander", lambda case: case.take("boss", by="a")),
    "an unknown audience": (
        "leadership",
        lambda case: case.tell("x", to=["leadershp"], by="a"),
    ),
    "nobody told": ("nobody", lambda case: case.tell("x", to=[], by="a")),
    "an unknown priority": ("P0", lambda case: case.understand("x", by="a", priority="P9")),
    "an update without a need": (
        "need",
        lambda case: case.update("x", action="y", need="", to="support", by="a"),
    ),
    "a promise of never": (
        "next_minutes",
        lambda case: case.update(
            "x", action="y", need="none", to="support", by="a", next_minutes=0
        ),
    ),
    "an unknown line": (
        "services_restored",
        lambda case: case.confirm("service", by="a", evidence="b"),
    ),
    "nothing confirmed": ("resolution", lambda case: case.confirm(by="a", evidence="b")),
    "no evidence": ("evidence", lambda case: case.confirm("resolution", by="a", evidence="")),
    "a change without a kind": (
        "changes[0]",
        lambda case: case.learn(by="a", changes=[{"what": "x"}]),
    ),
    "a change of another kind": (
        "runbook",
        lambda case: case.learn(by="a", changes=[{"what": "x", "kind": "runbok"}]),
    ),
    "a change with a typo": (
        "woner",
        lambda case: case.learn(by="a", changes=[{"what": "x", "kind": "code", "woner": "b"}]),
    ),
    "a change some day": (
        "due",
        lambda case: case.learn(by="a", changes=[{"what": "x", "kind": "code", "due": "soon"}]),
    ),
    "an unknown board": ("hypothesis", lambda case: case.note("x", board="wall", by="a")),
    "a guess without a reason": (
        "because",
        lambda case: case.note("x", board="hypothesis", by="a"),
    ),
    "an unknown relation": ("caused_by", lambda case: case.link("causes", "x", by="a")),
    "a start without a zone": (
        "started_at",
        lambda case: case.understand("x", by="a", started_at=datetime(2026, 1, 1)),
    ),
    "nobody gives an order": ("by is", lambda case: case.order("x", to="b", by="")),
    "an order to nobody": ("to is", lambda case: case.order("x", to=" ", by="a")),
    "no briefing": ("briefing", lambda case: case.hand_over(to="b", by="a", briefing="")),
    "no reason to reopen": ("reason", lambda case: case.reopen(by="a", reason="")),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(ledger: rml.Ledger, case: Case, name: str) -> None:
    """What cannot be recorded is named with what could be, and nothing is half-written."""
    words, call = BAD[name]
    with pytest.raises(rml.InvalidInputError) as caught:
        call(case)

    assert words in caught.value.message
    assert 1 == ledger.size


@pytest.mark.parametrize("name", ["read_back", "confirm_order", "lift", "note", "harmed"])
def test_what_is_not_of_this_case_is_refused(ledger: rml.Ledger, case: Case, name: str) -> None:
    """An id that names nothing, something else, or something of another case."""
    other = Casebook(ledger)[rml.escalate("another", ledger=ledger).id]
    elsewhere = {
        "read_back": other.order("x", to="a", by="b").id,
        "confirm_order": other.order("x", to="a", by="b").id,
        "lift": other.contain("x", by="a", lever="none").id,
        "note": other.note("x", board="know", by="a").id,
        "harmed": "ef_" + "0" * 32,
    }[name]
    calls: dict[str, Callable[[str], object]] = {
        "read_back": lambda one: case.read_back(one, "x", by="a"),
        "confirm_order": lambda one: case.confirm_order(one, by="a"),
        "lift": lambda one: case.lift(one, "x", by="a"),
        "note": lambda one: case.note("x", board="know", by="a", ends=one),
        "harmed": lambda one: case.understand("x", by="a", harmed=[one]),
    }
    size = ledger.size

    for wrong in (elsewhere, "nothing"):
        with pytest.raises(rml.UnknownIdError):
            calls[name](wrong)
    assert size == ledger.size


@pytest.mark.parametrize("at", [datetime(2026, 11, 20, 19), "2026-11-20T19:00:00Z", 5], ids=str)
def test_a_time_without_a_timezone_is_refused(ledger: rml.Ledger, case: Case, at: Any) -> None:
    """Whatever the step; also what is no time at all."""
    size = ledger.size
    for step in (
        lambda: case.contain("x", by="a", lever="none", at=at),
        lambda: case.understand("x", by="a", at=at),
        lambda: case.detect("x", by="a", at=at),
    ):
        with pytest.raises(rml.InvalidInputError, match=r"^at"):
            step()
    assert size == ledger.size

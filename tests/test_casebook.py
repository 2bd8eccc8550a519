"""The casebook: six steps on one object, every one an entry, and a page that is generated."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from casework import TRIANGLE, confirmed, ready, through

import rml
from rml.incident import step
from rml.incident.case import Case
from rml.incident.casebook import Casebook
from rml.incident.levers.containment import QUIET
from rml.incident.pages.casefile import CaseFile, CaseStatus, DecidedBy, DetectedBy
from rml.incident.projection import Phase
from rml.incident.rule import CaseClosedError, StepRefusedError
from rml.incident.severity import Sev

EXAMPLE = (Path(__file__).parent / "vectors" / "casefile_s0.yaml").read_text(encoding="utf-8")
START = datetime(2025, 6, 1, 10, 23, 45, tzinfo=UTC)
ALERT = {"type": "alert", "source": "payment_service.rml3_error_rate"}


@pytest.fixture
def clock() -> rml.FrozenClock:
    """Return a clock that stands still."""
    return rml.FrozenClock(START)


@pytest.fixture
def ledger(clock: rml.FrozenClock) -> rml.Ledger:
    """Return a ledger in memory that is configured for this process."""
    ledger = rml.Ledger("memory:", clock=clock)
    rml.configure(ledger=ledger, service="payments")
    return ledger


@pytest.fixture
def case(ledger: rml.Ledger) -> Case:
    """Return a case that has just been opened."""
    return Casebook(ledger)[rml.escalate("Possible double charge", detected_by=ALERT).id]


@pytest.fixture
def large(clock: rml.FrozenClock) -> Iterator[rml.Ledger]:
    """Return a ledger that finds its entries by index, for tests with many."""
    with rml.Ledger("sqlite://:memory:", clock=clock) as ledger:
        yield ledger


def downscoped(case: Case, to: str, reason: str = "nobody was charged") -> rml.Receipt:
    """Scope a case down."""
    return case.downscope(to, by="ann", reason=reason, evidence="Q-7")


def dicts(case: Case) -> dict[str, Any]:
    """Return a case file as plain data."""
    plain: dict[str, Any] = case.file.to_dict()
    return plain


# ------------------------------------------------------------------------------ the whole way


def test_the_documents_own_incident(ledger: rml.Ledger, clock: rml.FrozenClock, case: Case) -> None:
    """The incident of the casebook document, told in its own six steps, gives its page."""
    wanted = CaseFile.from_yaml(EXAMPLE)
    case.detect("customers complain", detected_by={"type": "cs_ticket", "id": "CS-1234"})
    clock.set("2025-06-01T10:25:00Z")
    case.contain("Feature flag off to stop new payment execution", by="ann", lever="flag_off")
    clock.set("2025-06-01T11:10:00Z")
    case.understand(
        "37 users / 41 transactions impacted",
        by="ann",
        severity="SEV-1",
        asset=["money"],
        users_estimate=37,
        transactions_estimate=41,
    )
    case.decide(wanted.decisions.summary, decided_by={"legal": "A", "business": "B", "sre": "C"})
    case.act("refund", by="ann", count=41)
    fix = "Require idempotency keys for payment saga steps"
    case.act("feature_fix", by="ann", world="RML2", detail=fix)
    case.act("user_email", by="bob", template_id="refund_apology_v2")
    case.act("internal_post", by="bob", world="RML2", channel="#incident")
    lessons = wanted.lessons_learned
    case.learn(
        by="ann",
        technical=lessons.technical,
        process=lessons.process,
        governance=lessons.governance,
    )
    case.close(by="ann", override="the document ends here")

    page = case.file
    assert wanted.incident_id == page.incident_id
    assert wanted.title == page.title
    assert wanted.status is page.status
    assert wanted.detected_at == page.detected_at
    assert wanted.detected_by == page.detected_by
    assert wanted.classification == page.classification
    assert wanted.decisions.summary == page.decisions.summary
    assert wanted.lessons_learned == page.lessons_learned
    told = {(event.at, event.world, event.type, event.detail) for event in page.timeline}
    later = wanted.timeline[1:]  # the first is told by the alert itself, in RML3
    assert {(e.at, e.world, e.type, e.detail) for e in later} <= told
    for part in ("technical", "communication"):
        mine = dicts(case)["actions"][part]
        stripped = [{k: v for k, v in action.items() if k != "entry"} for action in mine]
        theirs: Any = wanted.to_dict()["actions"]
        assert theirs[part] == stripped


def test_each_step_is_one_entry_with_a_world(ledger: rml.Ledger, case: Case) -> None:
    """Every step appends one entry; every line of the timeline names its world and its entry."""
    receipts = [
        case.detect("seen"),
        case.contain("off", by="ann", lever="flag_off"),
        case.understand("two", by="ann", users=2),
        case.decide("refund", decided_by=TRIANGLE),
        case.act("voucher", by="ann"),
        case.learn(by="ann", technical=["keys"]),
        case.move("monitoring", by="ann", reason="quiet for an hour"),
        downscoped(case, "RML2"),
    ]

    assert list(range(1, 9)) == [receipt.index for receipt in receipts]
    timeline = case.timeline
    assert [receipt.id for receipt in receipts] == [event.entry for event in timeline[1:]]
    assert [
        ("detection", "RML3", "Possible double charge"),
        ("detection", "RML2", "seen"),
        ("containment", "RML2", "off"),
        ("impact_assessed", "RML3", "two"),
        ("decision", "RML3", "refund"),
        ("action", "RML3", "voucher"),
        ("lessons", "RML2", "1 technical"),
        ("status", "RML3", "ongoing to monitoring: quiet for an hour"),
        ("downscope", "RML3", "RML3 to RML2: nobody was charged"),
    ] == [(event.type, event.world, event.detail) for event in timeline]


def test_phases_follow_the_steps(case: Case) -> None:
    """The phase is the furthest step taken, also when an earlier one is taken again."""
    assert Phase.DETECT is case.phase
    case.understand("two", by="ann", users=2)
    assert Phase.UNDERSTAND is case.phase
    case.contain("off", by="ann", lever="flag_off")
    case.detect("once more")
    assert Phase.UNDERSTAND is case.phase
    through(case).close(by="ann")
    assert Phase.CLOSED is case.phase


def test_when_it_happened_and_when_it_was_recorded(case: Case, clock: rml.FrozenClock) -> None:
    """What is told late stands where it happened, with the time at which it was told."""
    clock.advance(3600)
    case.contain("off", by="ann", lever="flag_off")
    earlier = START + timedelta(minutes=2)
    case.detect("a customer called", at=earlier)

    assert ["detection", "detection", "containment"] == [event.type for event in case.timeline]
    told = case.timeline[1]
    assert (earlier, START + timedelta(hours=1)) == (told.at, told.recorded_at)


def test_detection_may_turn_out_to_be_earlier(case: Case) -> None:
    """A sign that was noticed before the first signal moves the detection to its own time."""
    first = START - timedelta(hours=1)
    case.detect("a customer called", at=first)

    assert first == case.file.detected_at
    assert START == case.opened_at


# --------------------------------------------------------------------------------- the page


def test_the_page_reads_back_equal(case: Case) -> None:
    """YAML out, YAML in: the same page."""
    through(case).close(by="ann")

    assert case.file == CaseFile.from_yaml(case.to_yaml())


def test_the_page_names_the_ledger_it_was_made_from(ledger: rml.Ledger, case: Case) -> None:
    """Origin, size and root say of which state of which ledger the page tells."""
    case.detect("seen")
    page = case.file.ledger

    assert page is not None
    assert (ledger.origin, 2, ledger.root) == (page.origin, page.size, page.root)


def test_the_page_shows_nothing_younger_than_its_state(
    ledger: rml.Ledger, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is recorded while the page is being made is on the next page."""
    state = ledger.checkpoint()
    monkeypatch.setattr(ledger, "checkpoint", lambda: state)
    case.detect("seen")

    page = case.file
    assert page.ledger is not None
    assert (1, 1) == (page.ledger.size, len(page.timeline))


def test_what_is_known_grows(case: Case) -> None:
    """The latest severity and counts stand, what is unknown stays unknown, assets gather."""
    case.understand("some", by="ann", severity="sev3", asset=["money"], users_estimate=40)
    case.understand("more", by="ann", asset=["trust", "money"], users=37, query="SELECT 37")
    case.understand("worse", by="ann", severity="Sev-1", users=38)

    found = case.file.classification
    assert Sev.SEV1 is found.severity
    assert ("money", "trust") == found.asset
    assert (40, 38) == (found.scope.affected_users_estimate, found.scope.affected_users_counted)
    assert found.scope.affected_transactions_estimate is None
    assert found.scope.affected_transactions_counted is None
    facts = [entry.facts for entry in case.entries if entry.kind == "incident.understood"]
    assert ["SELECT 37"] == [fact["query"] for fact in facts if "query" in fact]


def test_an_organisations_own_severity(case: Case) -> None:
    """A severity of another scheme is kept as it is."""
    case.understand("bad", by="ann", severity="major")

    assert "major" == case.file.classification.severity


def test_every_source_is_named_once(case: Case) -> None:
    """Detections gather, each source once."""
    case.detect("again", detected_by=ALERT)
    case.detect("told", detected_by={"type": "cs_ticket", "id": "CS-1"})

    assert (DetectedBy(**ALERT), DetectedBy(type="cs_ticket", id="CS-1")) == case.file.detected_by


def test_equal_signals_are_one_line(ledger: rml.Ledger, case: Case, clock: rml.FrozenClock) -> None:
    """A storm is one line that counts; what people did in between stands between two lines."""
    for _ in range(4):
        clock.advance(1)
        rml.escalate("Possible double charge", detected_by=ALERT)
    case.contain("off", by="ann", lever="flag_off")
    clock.advance(1)
    rml.escalate("Possible double charge", detected_by=ALERT)

    assert 6 == case.count
    assert [
        "Possible double charge (5 signals, the last at 2025-06-01T10:23:49Z)",
        "off",
        "Possible double charge",
    ] == [event.detail for event in case.timeline]


def test_a_storm_still_fits_a_page(large: rml.Ledger) -> None:
    """Hundreds of signals from several sources make as many lines as there are sources."""
    for i in range(300):
        source = {"type": "alert", "source": f"rate-{i % 3}"}
        rml.escalate("Possible double charge", detected_by=source, ledger=large)

    (case,) = Casebook(large)
    assert (300, 3) == (case.count, len(case.timeline))


def test_entries_of_a_program_are_on_the_timeline(ledger: rml.Ledger, case: Case) -> None:
    """What a program appends with the incident's id is part of its story."""
    note = {"detail": "the gateway confirms two charges"}
    ledger.append("gateway.note", world="RML3", facts=note, incident=case.id)
    ledger.append("gateway.count", world="RML1", facts={"charges": 2}, incident=case.id)

    assert [
        ("gateway.note", "the gateway confirms two charges"),
        ("gateway.count", '{"charges":2}'),
    ] == [(event.type, event.detail) for event in case.timeline[1:]]


def test_names_are_facts(ledger: rml.Ledger, case: Case) -> None:
    """Who decided and who acted is recorded in clear, because they answer for it."""
    ready(case)
    decided = case.decide("refund", decided_by=TRIANGLE, by="ann")
    acted = case.act("voucher", by="ann")

    assert {"role": "legal", "name": "Ada"} in ledger.entry(decided.id).facts["decided_by"]
    assert ("ann", "ann") == (ledger.entry(decided.id).actor, ledger.entry(acted.id).actor)


# ------------------------------------------------------------------------------- decisions


def test_history_is_decided_by_three(ledger: rml.Ledger, case: Case) -> None:
    """Legal, business and sre each decide by name, or the decision is refused and says who."""
    ready(case)
    with pytest.raises(StepRefusedError, match="legal, sre in decided_by") as caught:
        case.decide("refund", decided_by={"Business ": "Grace"}, override="in a hurry", by="ann")

    assert ["triangle"] == caught.value.details["rules"]
    assert not caught.value.details["overridable"]
    assert 3 == ledger.size


def test_an_absence_is_explicit(case: Case) -> None:
    """A role may be absent, with a reason, which stands where the name would."""
    ready(case)
    names = {"business": "Grace", "sre": "Barbara"}
    case.decide("refund", decided_by=names, absent={"legal": "on a flight until nine"})

    absence = DecidedBy(role="legal", name="absent - on a flight until nine")
    assert absence in case.file.decisions.decided_by
    assert not [line for line in case.missing() if "decided_by" in line]


def test_fewer_decide_what_is_no_history(case: Case) -> None:
    """A case that was scoped down is decided by whoever is named, unless it is about history."""
    downscoped(case, "RML2")
    case.decide("restart", decided_by={"sre": "Barbara"}, world="RML2")

    with pytest.raises(StepRefusedError):
        case.decide("refund", decided_by={"sre": "Barbara"}, world="RML3")


def test_the_page_sums_up_the_decisions_that_stand(case: Case) -> None:
    """An amendment replaces what it amends in the summary; every decision stays in the list."""
    ready(case)
    first = case.decide("refund half", decided_by=TRIANGLE)
    case.decide("no press release", decided_by=TRIANGLE | {"legal": "Edith"})
    second = case.decide("refund all", decided_by=TRIANGLE, amends=first.id)

    page = case.file.decisions
    assert "no press release\nrefund all" == page.summary
    assert ["Edith", "Grace", "Barbara", "Ada"] == [who.name for who in page.decided_by]
    assert ["refund half", "no press release", "refund all"] == [d.summary for d in case.decisions]
    assert [None, None, first.id] == [decision.amends for decision in case.decisions]
    assert second.id == case.entries[-1].id
    assert first.id == case.entries[-1].corrects


def test_a_decision_is_amended_once(ledger: rml.Ledger, case: Case) -> None:
    """A chain of amendments has one end; the refusal names it."""
    ready(case)
    first = case.decide("refund half", decided_by=TRIANGLE)
    second = case.decide("refund all", decided_by=TRIANGLE, amends=first.id)

    with pytest.raises(StepRefusedError, match=second.id):
        case.decide("refund none", decided_by=TRIANGLE, amends=first.id)


def test_only_decisions_of_the_case_are_amended(ledger: rml.Ledger, case: Case) -> None:
    """Neither another kind of entry nor another case's decision can be amended here."""
    seen = case.detect("seen")
    other = ready(Casebook(ledger)[rml.escalate("another").id])
    elsewhere = other.decide("wait", decided_by=TRIANGLE)

    for wrong in (seen.id, elsewhere.id, "nothing"):
        with pytest.raises(rml.UnknownIdError, match="names no decision of INC-2025-0001"):
            case.decide("refund", decided_by=TRIANGLE, amends=wrong)


# ---------------------------------------------------------------------------------- actions


def test_actions_link_to_their_corrections(
    ledger: rml.Ledger, clock: rml.FrozenClock, case: Case
) -> None:
    """An action names the effects and entries that it added, and counts them."""
    ready(case)
    case.decide("refund", decided_by=TRIANGLE)

    @rml.idempotent("payment.refund", key="key")
    def refund(key: str) -> str:
        return rml.current_effect().id

    made = [refund("pay-1"), refund("pay-2")]
    note = ledger.append("ledger.booking", world="RML3")
    clock.advance(QUIET)
    receipt = case.act("refund", by="ann", corrections=[*made, note.id])

    facts = ledger.entry(receipt.id).facts
    assert ([*made, note.id], 3) == (facts["corrections"], facts["count"])
    assert made == [effect.id for effect in case.effects]
    assert [3] == [getattr(action, "count", None) for action in case.actions]
    assert "refund x 3" == case.timeline[-1].detail


def test_effects_of_other_ledgers_are_left_out(ledger: rml.Ledger) -> None:
    """An entry may name an effect that this ledger never promised; the case still works."""
    case = Casebook(ledger)[rml.escalate("from elsewhere").id]
    facts = {"title": "again", "count": 2, "detected_by": {"type": "rml", "source": "x"}}
    ledger.write(
        lambda draft: draft.record(
            "incident.joined", world="RML3", facts=facts, incident=case.id, effect="ef_elsewhere"
        )
    )

    assert [] == list(case.effects)
    through(case).close(by="ann")
    assert CaseStatus.RESOLVED is case.status


def test_unknown_corrections_are_refused(ledger: rml.Ledger, case: Case) -> None:
    """A correction that is not in the ledger did not happen."""
    for wrong in ("ef_" + "0" * 32, "01a1fa85-6c23-7991-a12b-a9ccbd6b4c06", "pay-1"):
        size = ledger.size
        with pytest.raises(rml.UnknownIdError, match=wrong):
            case.act("refund", by="ann", corrections=[wrong])
        assert size == ledger.size


def test_communication_has_a_template_or_a_channel(case: Case) -> None:
    """What was said stands in one list, what was done in the other."""
    ready(case)
    case.decide("refund", decided_by=TRIANGLE)
    case.act("user_email", by="bob", template_id="apology", count=41, detail="sent in two waves")
    case.act("voucher", by="ann", count=41)

    assert ["voucher", "user_email"] == [action.type for action in case.actions]
    assert "user_email x 41 with apology: sent in two waves" == case.timeline[-2].detail


# --------------------------------------------------------------------------- status and world


def test_status_moves(case: Case) -> None:
    """Ongoing, monitoring, resolved, and back to ongoing."""
    for to in ("monitoring", "Ongoing", CaseStatus.MONITORING, "resolved", "ongoing", "resolved"):
        confirmed(case).move(to, by="ann", reason="as seen")
        assert CaseStatus(to.lower()) is case.status


@pytest.mark.parametrize(
    ("before", "to"),
    [([], "ongoing"), (["monitoring"], "monitoring"), (["resolved"], "monitoring")],
    ids=["to itself", "monitoring twice", "resolved to monitoring"],
)
def test_illegal_moves(case: Case, before: list[str], to: str) -> None:
    """A move that no rule knows is refused, with the moves that there are."""
    for status in before:
        confirmed(case).move(status, by="ann", reason="as seen")

    with pytest.raises(StepRefusedError, match=f"leads to .*, not to {to}"):
        case.move(to, by="ann", reason="as seen")


@pytest.mark.parametrize("status", ["monitoring", "resolved"])
def test_a_new_signal_makes_a_case_ongoing_again(case: Case, status: str) -> None:
    """What comes back is looked at afresh."""
    confirmed(case).move(status, by="ann", reason="quiet")
    rml.escalate("Possible double charge")

    assert CaseStatus.ONGOING is case.status
    assert 2 == case.count


def test_scoping_down_is_recorded(ledger: rml.Ledger, case: Case) -> None:
    """Scoping down is an entry with actor and reason; what was recorded before stays as it was."""
    before = [entry.to_bytes() for entry in ledger.entries()]
    receipt = downscoped(case, "RML-1", "a test card")

    assert rml.World.RML1 is case.world
    entry = ledger.entry(receipt.id)
    told = {"from": "RML3", "to": "RML1", "reason": "a test card", "evidence": "Q-7", "told": []}
    assert told == entry.facts
    assert ("ann", rml.World.RML3) == (entry.actor, entry.world)
    assert before == [entry.to_bytes() for entry in ledger.entries()][:-1]


@pytest.mark.parametrize("to", ["RML2", "RML3"])
def test_scoping_down_never_widens(case: Case, to: str) -> None:
    """A case is scoped down to less than it is."""
    downscoped(case, "RML2")

    with pytest.raises(StepRefusedError, match="cannot be scoped down"):
        downscoped(case, to)


def test_a_new_signal_widens_a_case(case: Case) -> None:
    """The widest world wins: gray that comes back after a downscope is RML3 again."""
    downscoped(case, "RML2")
    rml.escalate("Possible double charge")

    assert rml.World.RML3 is case.world


# ---------------------------------------------------------------------------------- closing


def test_closing_needs_everything(ledger: rml.Ledger, case: Case) -> None:
    """Closing names all that is missing, in words and as data, and records nothing."""
    size = ledger.size
    with pytest.raises(StepRefusedError, match="rules page-complete") as caught:
        case.close(by="ann")

    missing = case.missing()
    assert missing == caught.value.details["missing"]
    assert all(line in caught.value.message for line in missing)
    for word in ("decisions.summary", "legal", "business", "sre", "technical", "governance"):
        assert any(word in line for line in missing)
    assert size == ledger.size


def test_closing_resolves(case: Case) -> None:
    """A closed case is resolved, misses nothing and keeps its page."""
    receipt = through(case).close(by="ann")

    assert CaseStatus.RESOLVED is case.status
    assert [] == case.missing()
    assert ("closed", "closed by ann", receipt.id) == (
        case.timeline[-1].type,
        case.timeline[-1].detail,
        case.timeline[-1].entry,
    )


def test_a_scoped_down_case_is_closed_with_one_name(case: Case) -> None:
    """What turned out to be no history needs a decision by somebody, and lessons."""
    downscoped(case, "RML2")
    case.decide("restart", decided_by={"sre": "Barbara"}, world="RML2")
    case.learn(by="ann", technical=["a"], process=["none - alone"], governance=["none - alone"])

    case.close(by="ann")
    assert CaseStatus.RESOLVED is case.status


def test_doubt_bars_closing(ledger: rml.Ledger) -> None:
    """A case whose effect nobody knows the end of stays open until that is decided."""

    @rml.idempotent("payment.charge", key="key")
    def charge(key: str) -> None:
        raise TimeoutError("read timed out")

    with pytest.raises(TimeoutError):
        charge("pay-1")
    (case,) = Casebook(ledger)
    through(case)
    (effect,) = case.effects
    assert [line for line in case.missing() if effect.id in line and "in doubt" in line]
    with pytest.raises(StepRefusedError, match=effect.id):
        case.close(by="ann")

    ledger.resolve(effect.id, happened=True, by="ann", reason="on the statement")
    case.close(by="ann")
    resolved = [event for event in case.timeline if event.type == "doubt_resolved"]
    assert ["payment.charge pay-1 happened: on the statement"] == [
        event.detail for event in resolved
    ]


STEPS: dict[str, Callable[[Case], object]] = {
    "detect": lambda case: case.detect("seen"),
    "contain": lambda case: case.contain("off", by="ann", lever="flag_off"),
    "understand": lambda case: case.understand("two", by="ann"),
    "decide": lambda case: case.decide("refund", decided_by=TRIANGLE),
    "act": lambda case: case.act("refund", by="ann"),
    "learn": lambda case: case.learn(by="ann", technical=["keys"]),
    "move": lambda case: case.move("ongoing", by="ann", reason="again"),
    "downscope": lambda case: downscoped(case, "RML1"),
    "close": lambda case: case.close(by="bob"),
}


@pytest.mark.parametrize("name", STEPS)
def test_nothing_is_recorded_on_a_closed_case(ledger: rml.Ledger, case: Case, name: str) -> None:
    """A closed case is closed; the refusal says by whom, since when, and what to do instead."""
    through(case).close(by="ann")
    size = ledger.size

    with pytest.raises(CaseClosedError, match=r"closed by ann at 2025-06-01T10:23:45Z.*escalate"):
        STEPS[name](case)
    assert size == ledger.size


def test_what_comes_later_opens_a_new_case(ledger: rml.Ledger, case: Case) -> None:
    """The same problem after closing is a new case with an id of its own."""
    through(case).close(by="ann")

    again = rml.escalate("Possible double charge", detected_by=ALERT)
    assert ("INC-2025-0002", True, 1) == (again.id, again.opened, again.count)
    assert 1 == case.count


# ------------------------------------------------------------------------------- bad input

BAD_STEPS: dict[str, tuple[str, Callable[[Case, Any], object]]] = {
    "detail": ("detail", lambda case, _: case.detect("")),
    "blank": ("detail", lambda case, _: case.detect(" ... ")),
    "no text": ("detail", lambda case, wrong: case.detect(wrong)),
    "long": ("DETAIL_CHARACTERS_MAX", lambda case, _: case.detect("x" * 2_001)),
    "surrogate": ("detail", lambda case, _: case.detect("half \udc00")),
    "source": ("detected_by", lambda case, wrong: case.detect("x", detected_by=wrong)),
    "source key": ("url", lambda case, _: case.detect("x", detected_by={"type": "a", "url": "b"})),
    "source type": ("type", lambda case, wrong: case.detect("x", detected_by={"type": wrong})),
    "source blank": (
        "detected_by.id",
        lambda case, _: case.detect("x", detected_by={"type": "a", "id": ""}),
    ),
    "actor": ("by", lambda case, _: case.detect("x", by="")),
    "world": ("RML4", lambda case, _: case.detect("x", world="RML4")),
    "no world": ("World", lambda case, _: case.detect("x", world=None)),  # type: ignore[arg-type]
    "naive": ("timezone", lambda case, _: case.detect("x", at=datetime(2025, 6, 1))),
    "future": ("future", lambda case, _: case.detect("x", at=START + timedelta(days=1))),
    "no time": ("at must", lambda case, wrong: case.detect("x", at=wrong)),
    "lever": ("lever", lambda case, _: case.contain("x", by="ann", lever="")),
    "nobody": ("by is", lambda case, _: case.contain("x", by="  ", lever="flag_off")),
    "number by": ("by must", lambda case, wrong: case.contain("x", by=wrong, lever="flag_off")),
    "severity": ("SEV-0", lambda case, _: case.understand("x", by="ann", severity="SEV-9")),
    "no severity": ("severity", lambda case, _: case.understand("x", by="ann", severity="")),
    "asset": ("asset", lambda case, _: case.understand("x", by="ann", asset="money")),
    "asset item": ("asset[0]", lambda case, wrong: case.understand("x", by="ann", asset=[wrong])),
    "minus": ("users", lambda case, _: case.understand("x", by="ann", users=-1)),
    "truth": ("transactions", lambda case, _: case.understand("x", by="ann", transactions=True)),
    "half": (
        "users",
        lambda case, _: case.understand("x", by="ann", users=1.5),  # type: ignore[arg-type]
    ),
    "lone query": ("query", lambda case, _: case.understand("x", by="ann", query="SELECT")),
    "nobody decides": ("nobody", lambda case, _: case.decide("x", decided_by={})),
    "all absent": (
        "nobody",
        lambda case, _: case.decide("x", decided_by={}, absent=dict.fromkeys(TRIANGLE, "away")),
    ),
    "list decides": (
        "decided_by",
        lambda case, wrong: case.decide("x", decided_by=[wrong]),  # type: ignore[arg-type]
    ),
    "no name": ("'legal'", lambda case, _: case.decide("x", decided_by=TRIANGLE | {"legal": ""})),
    "placeholder": (
        "'sre'",
        lambda case, _: case.decide("x", decided_by=TRIANGLE | {"sre": "..."}),
    ),
    "twice": ("twice", lambda case, _: case.decide("x", decided_by=TRIANGLE | {"Legal": "Edith"})),
    "both": (
        "both|holds",
        lambda case, _: case.decide("x", decided_by=TRIANGLE, absent={"sre": "away"}),
    ),
    "no reason": ("'qa'", lambda case, _: case.decide("x", decided_by=TRIANGLE, absent={"qa": ""})),
    "no type": ("type", lambda case, _: case.act("", by="ann")),
    "count": ("count", lambda case, _: case.act("refund", by="ann", count=-1)),
    "ids as text": (
        "corrections",
        lambda case, _: case.act("refund", by="ann", corrections="ef_1"),
    ),
    "id": ("correction", lambda case, wrong: case.act("refund", by="ann", corrections=[wrong])),
    "id twice": (
        "twice",
        lambda case, _: case.act("refund", by="ann", corrections=["ef_1", "ef_1"]),
    ),
    "ids": (
        "CORRECTIONS_MAX",
        lambda case, _: case.act("x", by="ann", corrections=[f"ef_{i}" for i in range(1_001)]),
    ),
    "channel": ("channel", lambda case, _: case.act("post", by="ann", channel="")),
    "no lesson": ("lists are empty", lambda case, _: case.learn(by="ann")),
    "lesson that shows nothing": (
        "process[0]",
        lambda case, _: case.learn(by="ann", process=["\N{ZERO WIDTH SPACE}"]),
    ),
    "blank lesson": ("process[1]", lambda case, _: case.learn(by="ann", process=["a", " "])),
    "lesson text": ("technical", lambda case, _: case.learn(by="ann", technical="keys")),
    "lessons": ("LESSONS_MAX", lambda case, _: case.learn(by="ann", technical=["a"] * 101)),
    "status": ("monitoring", lambda case, _: case.move("done", by="ann", reason="x")),
    "move reason": ("reason", lambda case, _: case.move("resolved", by="ann", reason="")),
    "downscope": ("RML0", lambda case, _: downscoped(case, "RML0")),
    "quiet downscope": ("reason", lambda case, _: downscoped(case, "RML2", "")),
    "no evidence": (
        "evidence",
        lambda case, _: case.downscope("RML2", by="ann", reason="x", evidence=""),
    ),
    "downscoped by": (
        "by is",
        lambda case, _: case.downscope("RML2", by="", reason="x", evidence="y"),
    ),
    "closed by": ("by is", lambda case, _: case.close(by=None)),  # type: ignore[arg-type]
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_STEPS)
def test_a_step_that_cannot_be_recorded(ledger: rml.Ledger, case: Case, name: str) -> None:
    """Bad values are named, and nothing is half-written."""
    ready(case)
    words, call = BAD_STEPS[name]
    size = ledger.size

    with pytest.raises(rml.InvalidInputError) as caught:
        call(case, 7)
    assert any(word in caught.value.message for word in words.split("|"))
    assert size == ledger.size


def test_steps_by_mistake_harm_no_effect() -> None:
    """A refused step says nothing about an effect that it is raised in."""
    assert None is StepRefusedError.happened is CaseClosedError.happened
    assert issubclass(CaseClosedError, StepRefusedError)


def test_the_longest_action_fits_an_entry(large: rml.Ledger, clock: rml.FrozenClock) -> None:
    """As many corrections as one action may name are recorded, and their list fits an entry."""
    case = ready(Casebook(large)[rml.escalate("Possible double charge", ledger=large).id])
    case.decide("book", decided_by=TRIANGLE)
    made = large.write(
        lambda draft: [draft.append("booking.made", world="RML3") for _ in range(1_000)]
    )
    clock.advance(QUIET)
    case.act("booking", by="ann", detail="x" * 2_000, corrections=[receipt.id for receipt in made])

    assert step.CORRECTIONS_MAX == len(made) == case.entries[-1].facts["count"]


# ---------------------------------------------------------------------------------- the book


def test_unknown_cases(ledger: rml.Ledger) -> None:
    """An id that opens nothing is no case; the refusal names one that is."""
    book = Casebook(ledger)
    with pytest.raises(rml.UnknownIdError, match="there is none yet"):
        book["INC-2025-0001"]
    rml.escalate("Possible double charge")
    ledger.append("gateway.note", world="RML1", incident="INC-2025-0007")
    for wrong in ("INC-2025-0007", "INC-2025-0002", "", "a\nb", 7):
        with pytest.raises(rml.UnknownIdError, match="the newest is INC-2025-0001"):
            book[wrong]  # type: ignore[index]
        assert wrong not in book
    assert "INC-2025-0001" in book


def test_a_case_that_is_not_there_shows_so(ledger: rml.Ledger) -> None:
    """A case made by hand for nothing says so when it is asked, and breaks no prompt."""
    case = Case(ledger, "INC-2025-0009")

    assert "cannot be read: no incident" in repr(case)
    assert "cannot be read: no incident" in case._repr_html_()
    with pytest.raises(rml.UnknownIdError):
        case.title  # noqa: B018
    with pytest.raises(rml.UnknownIdError):
        case.close(by="ann")


def test_a_book_needs_a_ledger() -> None:
    """The configured ledger is read, or the one that is given; nothing else is one."""
    with pytest.raises(rml.NoLedgerError):
        Casebook()
    with pytest.raises(rml.InvalidInputError, match="open it first"):
        Casebook("payments.db")  # type: ignore[arg-type]


def test_cases_are_found_by_status(ledger: rml.Ledger) -> None:
    """Cases are listed in the order of opening, all or by status, open or closed."""
    for text in ("one", "two", "three"):
        rml.escalate(text)
    book = Casebook()
    one, two, three = book
    two.move("monitoring", by="ann", reason="quiet")
    through(three).close(by="ann")

    assert ["one", "two", "three"] == [case.title for case in book.cases()]
    assert [one, two, three] == list(book)
    assert (3, 3) == (len(book), len(book.cases()))
    assert [two.id] == [case.id for case in book.cases(status="Monitoring")]
    assert [one.id, two.id] == [case.id for case in book.cases(open=True)]
    assert [three.id] == [case.id for case in book.cases(open=False)]
    assert 1 == len(book.cases(status=CaseStatus.RESOLVED, open=False))
    assert [] == list(book.cases(status="resolved", open=True))
    with pytest.raises(rml.InvalidInputError, match="ongoing, monitoring, resolved"):
        book.cases(status="done")
    for unclear in ({"open": "no"}, {"private": 1}):
        with pytest.raises(rml.InvalidInputError, match="must be True or False"):
            book.cases(**unclear)  # type: ignore[arg-type]


def test_cases_are_a_table(ledger: rml.Ledger, case: Case) -> None:
    """A list of cases becomes rows."""
    through(case)

    (row,) = Casebook().cases().to_dicts()
    assert {
        "id": "INC-2025-0001",
        "title": "Possible double charge",
        "status": "ongoing",
        "open": True,
        "phase": "learn",
        "world": "RML3",
        "severity": "SEV-2",
        "opened_at": START,
        "count": 1,
        "postmortem_due": None,
        "postmortem_overdue": False,
    } == row

"""How a case ends: by effect, with everything seen to, each thing that is left by its name."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from casework import TRIANGLE, UNCORRECTED, confirmed, ready, through
from click.testing import CliRunner

import rml
from rml.cli import main
from rml.incident.case import Case
from rml.incident.casebook import Casebook
from rml.incident.command import policy as rules
from rml.incident.command.policy import policy_digest
from rml.incident.gate import LISTS
from rml.incident.levers.containment import QUIET
from rml.incident.pages.casefile import CaseStatus
from rml.incident.rule import CaseClosedError, StepRefusedError

CHARGES = 41


@pytest.fixture
def clock() -> rml.FrozenClock:
    """Return a clock that stands still."""
    return rml.FrozenClock(datetime(2026, 11, 21, 3, tzinfo=UTC))


@pytest.fixture
def ledger(clock: rml.FrozenClock) -> rml.Ledger:
    """Return a ledger in memory that is configured for this process."""
    ledger = rml.Ledger("memory:", clock=clock)
    rml.configure(ledger=ledger, service="payments")
    return ledger


@pytest.fixture
def case(ledger: rml.Ledger) -> Case:
    """Return a case that has just been opened."""
    return Casebook(ledger)[rml.escalate("Possible double charge", ledger=ledger).id]


@rml.idempotent("payment.charge", key="payment_id")
def charge(payment_id: str) -> str:
    """Charge once, and return the effect's id."""
    return rml.current_effect().id


@rml.idempotent("payment.refund", key="effect_id", corrects="effect_id")
def refund(effect_id: str) -> str:
    """Refund a charge, and return the effect's id."""
    return rml.current_effect().id


def left(case: Case) -> list[str]:
    """Return what bars closing, and see that closing says the same and records nothing."""
    missing = case.missing()
    size = case._ledger.size
    with pytest.raises(StepRefusedError) as caught:
        case.close(by="ann")
    assert missing == caught.value.details["missing"]
    assert size == case._ledger.size
    return missing


# ------------------------------------------------------------------------------------- by effect


def test_harm_is_not_its_own_correction(case: Case, clock: rml.FrozenClock) -> None:
    """Whoever names the charge in place of its refund hears so at once, and not at the end."""
    one = charge("pay-1")
    case.contain("off", by="ann", lever="flag_off")
    case.understand("twice", by="ann", users=1, harmed=[one])
    through(case)
    made = refund(one)
    clock.advance(QUIET)
    size = case._ledger.size

    with pytest.raises(rml.InvalidInputError, match=f"{one} is what was harmed; name what"):
        case.act("refund", by="ann", corrections=[made, one])
    assert size == case._ledger.size

    case.understand("refunded the wrong card", by="ann", harmed=[made])
    case.act("refund", by="ann", corrections=[made])  # it does correct something


def test_forty_one_charges_need_forty_one_corrections(case: Case, clock: rml.FrozenClock) -> None:
    """Each charge that was found to be harm bars closing, by its id, until it is corrected."""
    charges = [charge(f"pay-{i}") for i in range(CHARGES)]
    case.contain("off", by="ann", lever="flag_off")
    case.understand("twice", by="ann", users=2, harmed=charges[:20])
    case.understand("more", by="ann", harmed=charges[20:])
    through(case)
    assert [f"{one} {UNCORRECTED}" for one in charges] == left(case)

    for one in charges[:-1]:
        refund(one)
    assert [f"{charges[-1]} {UNCORRECTED}"] == left(case)
    made = [refund(one) for one in charges]
    clock.advance(QUIET)
    case.act("refund", by="ann", corrections=made)

    case.close(by="ann")
    assert [CHARGES, 2] == [getattr(action, "count", None) for action in case.actions][::-1]


def test_a_correction_by_hand_counts(ledger: rml.Ledger, case: Case) -> None:
    """An entry that corrects, named or not by an action, is a correction; a failed one is none."""
    one = charge("pay-1")
    through(case)
    case.understand("x", by="ann", harmed=[one])
    assert 1 == len(left(case))
    ledger.correct(one, "payment.credited", world="RML3", by="ann", reason="by hand")

    case.close(by="ann")


@pytest.mark.parametrize("world", ["RML1", "RML2"])
def test_a_remark_is_no_correction(ledger: rml.Ledger, case: Case, world: str) -> None:
    """History is corrected by new history, and by nothing less."""
    one = charge("pay-1")
    through(case)
    case.understand("x", by="ann", harmed=[one])
    ledger.correct(one, "note.written", world=world, by="ann", reason="it is fine")

    assert [f"{one} {UNCORRECTED}"] == left(case)


TEST_CARD = {"by": "ann", "reason": "a test card", "evidence": "the number"}


@pytest.mark.parametrize("to", ["RML1", "RML2"])
def test_counted_harm_is_not_scoped_away(case: Case, to: str) -> None:
    """Of 41 charges two are corrected: the other 39 bar a downscope, each by its id.

    Until now a downscope ended the demand for corrections, and a case that had counted harm was
    closed without them on any words as evidence. What was charged stays charged.
    """
    charges = [charge(f"pay-{i}") for i in range(CHARGES)]
    through(case)
    case.understand("twice", by="ann", harmed=charges)
    for one in charges[:2]:
        refund(one)
    with pytest.raises(StepRefusedError) as caught:
        case.downscope(to, **TEST_CARD)

    lines = [f"{one} {UNCORRECTED}" for one in charges[2:]]
    details = {"rules": ["harm-corrected"], "missing": lines, "overridable": True}
    assert details == caught.value.details
    assert rml.World.RML3 is case.world


def test_the_shell_passes_it_with_a_reason(tmp_path: Path) -> None:
    """Status 1 names what is not corrected, and the way on."""
    place = str(tmp_path / "shop.db")
    with rml.Ledger(place) as ledger:
        rml.configure(ledger=ledger)
        case = Casebook(ledger)[rml.escalate("Possible double charge").id]
        one = charge("pay-1")
        case.understand("twice", by="ann", harmed=[one])
        words = ["case", case.id, "downscope", "RML2", "--by", "ann", "--reason", "a test card"]
        words += ["--evidence", "the number", "--ledger", place]
        refused = CliRunner().invoke(main, words)
        assert 1 == refused.exit_code
        assert all(word in refused.stderr for word in (one, "harm-corrected", "--override"))

        assert 0 == CliRunner().invoke(main, [*words, "--override", "no bank moves it"]).exit_code
        assert rml.World.RML2 is case.world


def test_counted_harm_that_was_made_good_may_be_scoped_down(case: Case) -> None:
    """Nothing is owed any more, so nothing bars it, nor closing."""
    one = charge("pay-1")
    through(case)
    case.understand("x", by="ann", harmed=[one])
    refund(one)
    case.downscope("RML2", **TEST_CARD)

    case.close(by="ann")
    assert () == case.read().overrides


def test_who_scopes_counted_harm_down_knowingly_still_hears_of_it(case: Case) -> None:
    """An override has a name and a reason, and spares neither closing nor its page the question."""
    one = charge("pay-1")
    through(case)
    case.understand("x", by="ann", harmed=[one])
    case.downscope("RML2", **TEST_CARD, override="no bank moves money of that card")
    (passed,) = case.read().overrides
    assert (["harm-corrected"], "ann") == (passed.facts["rules"], passed.actor)
    line = f"{one} {UNCORRECTED}"
    assert [line] == left(case)

    case.close(by="ann", override="no bank moves money of that card")
    assert [line] == case.missing()
    assert line in case.to_html()


def test_harm_that_is_counted_after_a_downscope_is_corrected_too(case: Case) -> None:
    """The order of the two makes no difference."""
    one = charge("pay-1")
    through(case)
    case.downscope("RML2", **TEST_CARD)
    case.understand("x", by="ann", harmed=[one])

    assert [f"{one} {UNCORRECTED}"] == left(case)


def test_a_suspicion_with_counted_harm_is_certain_by_a_downscope(ledger: rml.Ledger) -> None:
    """To history itself it may be scoped without a correction: that waives nothing."""
    case = Casebook(ledger)[rml.suspect("perhaps twice").id]
    case.understand("x", by="ann", harmed=[charge("pay-1")])
    case.downscope("RML3", by="ann", reason="two charges", evidence="the books")

    assert not case.read().is_gray


# ---------------------------------------------------------------------- mitigations, orders, lists


def test_a_temporary_mitigation_bars_closing(case: Case) -> None:
    """It is named with who put it there, until it is lifted."""
    off = case.contain("payments are off", by="bob", lever="flag_off", temporary=True)
    through(case)
    (line,) = left(case)
    assert all(word in line for word in (off.id, "flag_off", "bob"))
    case.lift(off.id, "payments are on, charges have keys", by="bob")

    case.close(by="ann")
    assert "mitigation_lifted" in [event.type for event in case.timeline]


def test_an_open_order_bars_closing(case: Case) -> None:
    """Also in a case that was scoped down."""
    order = case.order("check shard 4", to="bob", by="ann").id
    case.downscope("RML2", by="ann", reason="a test card", evidence="the number")
    case.decide("nothing", decided_by={"sre": "ann"}, world="RML2")
    case.learn(by="ann", technical=["a"], process=["b"], governance=["c"])
    line = f"order {order} to bob is open: check shard 4"
    assert [f"{line}; case.read_back(...)"] == left(case)
    case.read_back(order, "check shard 4", by="bob")
    assert [f"{line}; case.confirm_order(...)"] == left(case)
    case.confirm_order(order, by="ann")

    case.close(by="ann")


@pytest.mark.parametrize("name", LISTS)
def test_every_line_is_confirmed(case: Case, name: str) -> None:
    """What nobody has confirmed is named; a line may be confirmed by itself."""
    ready(case)
    for item in LISTS[name][1:]:
        case.confirm(item, by="ann", evidence="looked")
    (line,) = [line for line in case.missing() if line.startswith(f"{name} ")]

    assert LISTS[name][0] in line
    assert not any(item in line for item in LISTS[name][1:])


def test_a_new_signal_opens_all_of_it_again(case: Case) -> None:
    """What was confirmed before it came back was not so."""
    through(case)
    rml.escalate("Possible double charge")

    assert ["resolution", "recovery", "stand_down"] == [line.split()[0] for line in left(case)[:3]]
    assert "all clear" in left(case)[3]


BARE: dict[str, tuple[str, Callable[[Case], object]]] = {
    "exposure": ("exposure", lambda case: case.understand("x", by="a", users=1)),
    "change": ("owner", lambda case: case.understand("x", by="a", exposure=["social"])),
}


@pytest.mark.parametrize("name", BARE)
def test_history_leaves_an_exposure_and_a_change(case: Case, name: str) -> None:
    """What was exposed is named, and one change at least has an owner and a date."""
    words, understand = BARE[name]
    case.contain("off", by="a", lever="flag_off")
    understand(case)
    case.understand("y", by="a", users=1)
    case.decide("x", decided_by=TRIANGLE)
    change = {"what": "x", "kind": "code"}
    if name == "exposure":
        change |= {"owner": "a", "due": "2026-12-01"}
    case.learn(by="a", technical=["a"], process=["b"], governance=["c"], changes=[change])
    confirmed(case).all_clear("done", by="a")

    (line,) = left(case)
    assert words in line


# -------------------------------------------------------------------- the all clear, standing down


def test_the_all_clear_is_given_once(case: Case) -> None:
    """One message, by the commander, when the resolution is confirmed; again after it came back."""
    with pytest.raises(StepRefusedError, match="resolution"):
        case.all_clear("done", by="ann")
    confirmed(case, "resolution").all_clear("done", by="ann")
    with pytest.raises(StepRefusedError, match="it is given once") as caught:
        case.all_clear("done", by="ann", override="for good measure")
    assert ["one-all-clear"] == caught.value.details["rules"]

    rml.escalate("Possible double charge")
    confirmed(case, "resolution").all_clear("done", by="ann")
    assert 2 == len([entry for entry in case.entries if entry.kind == "incident.all_clear"])


def test_resolved_is_not_stood_down(case: Case) -> None:
    """People stand down when the all clear is given and the four lines are confirmed."""
    confirmed(case, "resolution").move("resolved", by="ann", reason="quiet")
    assert "RML3, resolved, not stood down" in repr(case)
    case.all_clear("done", by="ann")
    assert "not stood down" in repr(case)
    confirmed(case, "stand_down")

    assert "RML3, resolved, stood down" in repr(case)


def test_the_commander_closes(case: Case) -> None:
    """Where somebody leads, nobody else closes the case without a reason."""
    case.take("commander", by="ann")
    confirmed(case, "resolution").all_clear("done", by="ann")
    case.downscope("RML2", by="ann", reason="x", evidence="y")
    case.decide("nothing", decided_by={"sre": "ann"}, world="RML2")
    case.learn(by="ann", technical=["a"], process=["b"], governance=["c"])
    with pytest.raises(StepRefusedError, match="ann is commander") as caught:
        case.close(by="bob")
    assert ["commander"] == caught.value.details["rules"]

    case.close(by="bob", override="ann has left the company")
    assert "override" in [remark.name for remark in case.remarks]


def test_no_reason_closes_a_doubt(ledger: rml.Ledger) -> None:
    """What nobody knows the end of is not closed over."""

    @rml.idempotent("payment.payout", key="key")
    def payout(key: str) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        payout("out-1")
    (case,) = Casebook(ledger)
    with pytest.raises(StepRefusedError) as caught:
        case.close(by="ann", override="enough")

    assert (["no-doubt"], False) == (
        caught.value.details["rules"],
        caught.value.details["overridable"],
    )


# --------------------------------------------------------------------------------- opened again


def test_a_closed_case_is_reopened(case: Case) -> None:
    """It is ongoing, takes signals again, and is closed anew, by whoever confirms it all anew."""
    through(case).close(by="ann")
    with pytest.raises(CaseClosedError, match="reopen"):
        case.detect("more")
    case.reopen(by="bob", reason="a 42nd customer wrote")

    assert (CaseStatus.ONGOING, "learn", None) == (case.status, case.phase, case.read().closed)
    with pytest.raises(StepRefusedError, match="closed-first"):
        case.reopen(by="bob", reason="again")
    assert case.id == rml.escalate("Possible double charge").id
    assert 4 == len(left(case))
    confirmed(case).all_clear("done", by="ann")
    case.close(by="ann")
    assert "closed" == case.phase
    assert "closed  by ann" in repr(case)


def test_a_closed_case_keeps_the_rules_it_was_closed_under(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The digest is that of the rules as data, and another one under other rules."""
    through(case).close(by="ann")
    kept = case.entries[-1].facts["policy"]
    assert policy_digest() == kept
    assert ["legal", "business", "sre"] == rules.policy()["triangle"]

    monkeypatch.setattr(rules, "BROAD_USERS", 7)
    assert policy_digest() != kept


def test_only_what_there_is_is_reopened(ledger: rml.Ledger) -> None:
    """A case that is not there is not opened by this."""
    with pytest.raises(rml.UnknownIdError):
        Case(ledger, "INC-2026-0009").reopen(by="a", reason="b")
    assert 0 == ledger.size


# ---------------------------------------------------------------------------- no quiet downscope


def test_from_gray_to_history_to_a_dialog(ledger: rml.Ledger) -> None:
    """Each is an entry with a name, a reason, evidence, and who had heard of more by then."""
    case = Casebook(ledger)[rml.suspect("perhaps twice").id]
    assert "RML3 (gray)" in repr(case)
    case.tell("we think so", to=["leadership", "support"], by="ann")
    case.downscope("RML3", by="ann", reason="two charges", evidence="the books")
    assert (rml.World.RML3, False) == (case.world, case.read().is_gray)
    with pytest.raises(StepRefusedError, match="narrower"):
        case.downscope("RML3", by="ann", reason="two charges", evidence="the books")
    case.downscope("RML2", by="bob", reason="one lapsed", evidence="the bank")

    first, second = case.read().downscopes
    assert ("gray", "RML3", "RML3", "RML2") == (
        first.facts["from"],
        first.facts["to"],
        second.facts["from"],
        second.facts["to"],
    )
    assert ["leadership", "support"] == second.facts["told"]
    names = [remark.name for remark in case.remarks]
    assert (2, 1) == (names.count("downscope"), names.count("not-corrected"))


def test_who_heard_of_more_is_told_of_less(case: Case) -> None:
    """The remark goes when everybody who heard the first claim has heard the second."""
    case.take("commander", by="ann")
    case.tell("twice", to=["leadership", "support"], by="ann")
    case.downscope("RML2", by="ann", reason="one lapsed", evidence="the bank")
    case.tell("once", to="leadership", by="ann")
    (remark,) = [one for one in case.remarks if one.name == "not-corrected"]
    assert "support had heard" in remark.text
    case.tell("once", to="support", by="ann")

    assert "not-corrected" not in [one.name for one in case.remarks]

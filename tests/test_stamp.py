"""Everything about an incident bears its id, and its stage has a name in every scheme."""

import pytest
from casework import confirmed, ready, through
from hypothesis import given
from hypothesis import strategies as st

import rml
from rml.incident.case import Case
from rml.incident.casebook import Casebook
from rml.incident.lifecycle import STAGES
from rml.incident.signals.stamp import Stamp, stamps_in

STAMP = Stamp("INC-1234")


def test_names_bear_the_id() -> None:
    """Each kind of thing has its own form."""
    assert "#inc-1234" == STAMP.channel
    assert "INC-1234 - Checkout Outage" == STAMP.titled("Checkout Outage")
    assert "hotfix/INC-1234-rollback-checkout-2.17.3" == STAMP.branch("rollback checkout 2.17.3")
    assert "[INC-1234] rollback by mlroberts" == STAMP.message("rollback by mlroberts")
    labels = STAMP.labels(team="API", service="SVC-CHECKOUT", owner="mlroberts")
    assert (
        "incident/INC-1234",
        "team/API",
        "service/SVC-CHECKOUT",
        "owner/mlroberts",
    ) == labels


def test_one_call_names_four_artifacts() -> None:
    """Ticket, channel, bridge and document of an incident."""
    made = STAMP.artifacts("Checkout Outage")

    assert ["ticket", "channel", "bridge", "document"] == list(made)
    assert {("INC-1234",)} == {stamps_in(name) for name in made.values()}


@pytest.mark.parametrize("wrong", ["", "INC", "INC-12 34", "inc-1234", "PROB-1234", 7])
def test_only_ids_are_stamps(wrong: object) -> None:
    """What is no id is refused at once."""
    with pytest.raises(rml.InvalidInputError, match="INC-2026-0001"):
        Stamp(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("blank", ["", "  ", "\n", None])
def test_a_name_says_something(blank: str) -> None:
    """A blank is refused, and so is a branch without letters."""
    with pytest.raises(rml.InvalidInputError, match="what"):
        STAMP.branch(blank)
    with pytest.raises(rml.InvalidInputError, match="title"):
        STAMP.titled(blank)
    with pytest.raises(rml.InvalidInputError, match="letters or digits"):
        STAMP.branch("!?")


@given(what=st.text(min_size=1))
def test_every_branch_is_stamped(what: str) -> None:
    """Whatever is done about it, the branch is found by the id and is one Git takes."""
    try:
        name = STAMP.branch(what)
    except rml.InvalidInputError:
        return
    assert ("INC-1234",) == stamps_in(name)
    assert not set(name) & set(" ~^:?*[\\\n")
    assert not name.endswith((".", "-", "/"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("hotfix/inc-2026-0001-x and INC-1234", ("INC-2026-0001", "INC-1234")),
        ("INC-1234 INC-1234", ("INC-1234",)),
        ("quick fix", ()),
        ("XINC-1234", ()),
        ("INC-12", ()),
    ],
    ids=["two", "twice", "none", "part of a word", "too short"],
)
def test_stamps_are_found(text: str, found: tuple[str, ...]) -> None:
    """A check can refuse a remedy that names no incident."""
    assert found == stamps_in(text)


@pytest.fixture
def case() -> Case:
    """Return a case that has just been opened."""
    ledger = rml.Ledger("memory:")
    return Casebook(ledger)[rml.escalate("x", ledger=ledger).id]


def test_stages_have_names_elsewhere(case: Case) -> None:
    """A case is somewhere in every scheme, and gets to the end of each but preparation."""

    def stages() -> list[str]:
        return [case.stage(scheme) for scheme in ("command", "itil", "sre", "nist")]

    assert ["detection and declaration", "logging", "detect", "detection and analysis"] == stages()
    ready(case)
    assert "investigation" == stages()[0]
    confirmed(case, "resolution").move("resolved", by="ann", reason="quiet")
    assert ["recovery", "resolution", "resolve"] == stages()[:3]
    through(case).close(by="sre-1")
    assert [names[-1] for names in STAGES.values()] == stages()
    with pytest.raises(rml.InvalidInputError, match="itil"):
        case.stage("cobit")

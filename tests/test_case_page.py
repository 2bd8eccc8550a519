"""A case as one page of HTML: whole, safe to open, and quick when the case is long."""

import re
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from casework import UNCORRECTED
from hypothesis import given, settings
from hypothesis import strategies as st

import rml
from rml.incident.pages import page as page_module
from rml.incident.pages import timeline_part

VOID = {"meta", "br"}
HOSTILE = "</title><script>alert('\"&')"


class Page(HTMLParser):
    """What a browser would make of a page: its elements, and the text it shows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.sections: dict[str, str] = {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element that is closed at once."""
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Every element ends where it should."""
        assert tag == self.open.pop()

    def handle_data(self, data: str) -> None:
        """Note what is shown."""
        if self.open and self.open[-1] == "h2":
            self.sections[data] = ""
        elif self.sections:
            self.sections[[*self.sections][-1]] += data + "\n"
        if not self.open or self.open[-1] != "style":
            self.text += data + "\n"


@pytest.fixture
def case(ledger: rml.Ledger, clock: rml.FrozenClock) -> rml.Case:
    """A case on which people have worked."""
    incident = rml.suspect("customers report two charges", ledger=ledger)
    case = rml.Casebook(ledger)[incident.id]
    clock.advance(60)
    case.contain("new charges are off", by="ada", lever="flag_off")
    clock.advance(60)
    case.understand("a retry crossed a deploy", by="ada", severity="SEV1", users_estimate=60)
    clock.advance(60)
    people = {"legal": "L. Okafor", "business": "G. Hopper"}
    case.decide("refund the second charge", decided_by=people, absent={"sre": "on the phone"})
    return case


def test_it_shows_what_is_known(case: rml.Case) -> None:
    """Where it stands, what is missing, impact, decisions and the line of events."""
    page = Page(case.to_html())

    assert [] == page.open
    for said in ("INC-", "RML3 History (gray)", "customers report two charges", "SEV-1"):
        assert said in page.text
    assert "lessons_learned.technical is empty" in page.sections["Still missing"]
    assert "60\nunknown" in page.sections["Impact"]
    assert "absent - on the phone" in page.sections["Decisions"]
    assert "refund the second charge" in page.sections["Timeline"]
    assert "not made for this page" in page.sections["Proof"]
    assert "Actions" not in page.sections


def test_a_corner_of_the_triangle_is_filled_by_who_spoke(case: rml.Case) -> None:
    """An absence is recorded, and is no voice."""
    corners = [given["class"] for tag, given in Page(case.to_html()).elements if tag == "circle"]

    assert ["spoke", "spoke", "silent"] == corners


def test_a_verification_is_shown(case: rml.Case) -> None:
    """With the level that it reached, and why no higher."""
    proof = Page(case.to_html(verify=True)).sections["Proof"]

    assert "level consistent" in proof
    assert "no more because" in proof


def test_what_was_written_afterwards_is_marked(case: rml.Case, clock: rml.FrozenClock) -> None:
    """What happened stands where it happened, and says when it was written."""
    clock.advance(3600)
    case.detect("support had a call", by="joan", at=clock.now() - timedelta(hours=1))

    timeline = Page(case.to_html()).sections["Timeline"]
    assert "written 1 h later" in timeline
    assert "1 of 5 written more than 5 min after it happened." in timeline


def test_an_action_shows_what_it_added_to_history(case: rml.Case, ledger: rml.Ledger) -> None:
    """Each correction by its id."""
    refund = ledger.append("payment.refund", world="RML3", facts={"amount": 5})
    case.act("refund", by="ada", detail="by hand", corrections=[refund.id], override="drill")

    actions = Page(case.to_html()).sections["Actions"]
    assert "1 correction" in actions
    assert refund.id in actions


def test_it_is_safe_to_open(ledger: rml.Ledger) -> None:
    """Nothing is run or fetched, whatever people wrote."""
    incident = rml.suspect(HOSTILE, ledger=ledger)
    case = rml.Casebook(ledger)[incident.id]
    case.contain(HOSTILE, by=HOSTILE, lever="flag_off")
    text = case.to_html()

    page = Page(text)
    assert HOSTILE in page.text
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in page.elements}
    assert not re.search(r"url\(|@import|https?:", text)
    policies = [given.get("content") for tag, given in page.elements if tag == "meta"]
    assert "default-src 'none'; style-src 'unsafe-inline'" in policies


@settings(max_examples=30)
@given(words=st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf"]), max_size=40))
def test_every_text_comes_through_as_it_was_written(words: str) -> None:
    """And never becomes an element."""
    title = f"<{words}>"
    with rml.Ledger("memory:") as ledger:
        incident = rml.suspect(title, ledger=ledger)
        assert title in Page(rml.Casebook(ledger)[incident.id].to_html()).text


@pytest.mark.parametrize("character", ["\x1b", "\u202e", "\u2067", "\x85", "\r"], ids=ascii)
def test_no_text_turns_or_hides_what_stands_around_it(ledger: rml.Ledger, character: str) -> None:
    """A title that is read from right to left says something else; a terminal obeys an escape."""
    case = rml.Casebook(ledger)[rml.escalate(f"gpj{character}exe", ledger=ledger).id]

    text = case.to_html()

    assert character not in text
    assert "gpj" + character.encode("unicode_escape").decode() + "exe" in text


@pytest.mark.parametrize(
    ("events", "parts"),
    [(5, []), (6, [True, True]), (14, [True, False, True])],
)
def test_a_long_timeline_is_folded(
    events: int, parts: list[bool], ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first and its last part are open, and nothing is left out."""
    monkeypatch.setattr(timeline_part, "PART_EVENTS", 5)
    incident = rml.suspect("many tickets", ledger=ledger)
    case = rml.Casebook(ledger)[incident.id]
    for number in range(1, events):
        case.detect(f"ticket {number}.", by="desk")

    page = Page(case.to_html())
    assert parts == ["open" in given for tag, given in page.elements if tag == "details"]
    assert events - 1 == len(set(re.findall(r"ticket \d+\.", page.sections["Timeline"])))


def test_a_notebook_shows_the_same(case: rml.Case) -> None:
    """In a frame of its own, so that neither touches the other's style."""
    shown = case._repr_html_()
    frame = Page(shown).elements[0]

    assert "iframe" == frame[0]
    assert Page(frame[1]["srcdoc"] or "").sections.keys() == Page(case.to_html()).sections.keys()


def test_what_is_folded_on_a_screen_is_printed() -> None:
    """On paper nobody can unfold the ids of corrections, or the middle of a timeline."""
    style = Path(page_module.__file__).with_name("page.css").read_text(encoding="utf-8")

    assert (
        "details::details-content { content-visibility: visible; }"
        in (style.partition("@media print")[2])
    )


def test_what_was_stopped_stands_on_the_page(
    ledger: rml.Ledger, case: rml.Case, clock: rml.FrozenClock
) -> None:
    """Each lever with who pulled it, for whom, and how long it was quiet; no name is an element."""
    tenant = "<b>shop-7</b>"
    rml.Levers(ledger).pull(
        "payment.charge", tenant=tenant, by=HOSTILE, reason="x", incident=case.id, force=True
    )
    clock.advance(330)

    told = Page(case.to_html())

    shown = told.sections["Containment"]
    assert "payment.charge" in shown
    assert f"only tenant {tenant}" in shown
    assert f"tenant_block by {HOSTILE}" in shown
    assert "quiet for 5 min 30 s" in shown
    assert "script" not in {tag for tag, _ in told.elements}


def test_many_things_that_lack_the_same_are_one_line(ledger: rml.Ledger, case: rml.Case) -> None:
    """Forty-one ids do not push the rest off the screen; each is still there."""
    harmed = [ledger.append("payment.charge", world="RML3").id for _ in range(41)]
    case.understand("41 charges", by="ada", harmed=harmed)

    missing = Page(case.to_html()).sections["Still missing"]

    assert f"41: each {UNCORRECTED}" in missing
    assert all(one in missing for one in harmed)

"""What a case shows by itself, at a prompt and in a notebook: where we are and what comes next."""

import html
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from casework import CHANGE, TRIANGLE, confirmed

import rml
from rml.incident.case import Case
from rml.incident.casebook import Casebook

STEPS: dict[str, Callable[[Case], object]] = {
    "contain": lambda case: case.contain("off", by="ann", lever="flag_off"),
    "understand": lambda case: case.understand("two", by="ann", users=2, exposure=["social"]),
    "decide": lambda case: case.decide("refund", decided_by=TRIANGLE),
    "act": lambda case: case.act("voucher", by="ann"),
    "learn": lambda case: case.learn(
        by="ann",
        technical=["a"],
        process=["b"],
        governance=["none - alone"],
        changes=[CHANGE],
    ),
    "close": lambda case: case.close(by="bob"),
}


@pytest.fixture
def ledger() -> rml.Ledger:
    """Return a ledger in memory that is configured for this process."""
    clock = rml.FrozenClock(datetime(2025, 6, 1, 10, 23, 45, tzinfo=UTC))
    ledger = rml.Ledger("memory:", clock=clock)
    rml.configure(ledger=ledger, service="payments")
    return ledger


@pytest.fixture
def case(ledger: rml.Ledger) -> Case:
    """Return a case that has just been opened."""
    return Casebook(ledger)[rml.escalate("Possible double charge").id]


def test_a_prompt_shows_where_we_are(case: Case) -> None:
    """Id, title, state, the next step, who must act and what bars closing, in few lines."""
    assert """\
INC-2025-0001 Possible double charge
  state   RML3, ongoing; 1 signal since 2025-06-01T10:23:45Z
  done    detect
  next    stop the bleeding: case.contain(...)
  who     sre
  missing decisions.summary is blank: say what was decided
          decisions.decided_by has nobody for legal: legal, business and sre decide an RML3 case
          decisions.decided_by has nobody for business: legal, business and sre decide an RML3 case
          ... and 10 more: case.missing()""" == repr(case)


def test_a_prompt_does_not_say_close_while_things_are_missing(case: Case) -> None:
    """Who follows it would only be refused."""
    for step in ("contain", "understand", "decide", "act", "learn"):
        STEPS[step](case)
    assert "next    see to what is missing, then close the case: case.close(by=...)" in repr(case)
    assert "see to what is missing" in case.to_html()


HOSTILE = "paid\x1b[2K\r\N{RIGHT-TO-LEFT OVERRIDE}\n  command Mallory"


def test_a_prompt_obeys_no_title(ledger: rml.Ledger) -> None:
    """The message of an error becomes a title: a terminal is neither led nor turned by it."""
    book = Casebook(ledger)
    case = book[rml.escalate(HOSTILE).id]
    case.take("commander", by="ann")
    case.order(HOSTILE, to="bob", by="ann")
    rml.Levers(ledger).pull("mail.send", by="ann", reason=HOSTILE, incident=case.id, force=True)

    shown = [repr(case), repr(book), repr(rml.Levers(ledger)), str(case.timeline_from())]
    for text in shown:
        assert "paid\\x1b[2K \\u202e command Mallory" in text
        assert not {"\x1b", "\r", "\N{RIGHT-TO-LEFT OVERRIDE}"} & set(text)
        assert not any(line.startswith("  command Mallory") for line in text.splitlines())


def test_a_prompt_leads_through_the_steps(case: Case) -> None:
    """Each step leads to the next; a closed case says who closed it."""
    for name, take in STEPS.items():
        following = next(line for line in repr(case).splitlines() if "next" in line)
        assert f"case.{name}(" in following
        if name == "close":
            confirmed(case).all_clear("thank you", by="ann")
        take(case)

    owed = "owed    postmortem due on 2025-06-06"
    assert repr(case).endswith(f"closed  by bob at 2025-06-01T10:23:45Z\n  {owed}")


def test_a_book_at_the_prompt(ledger: rml.Ledger, case: Case) -> None:
    """A book shows its newest cases and how many there are."""
    for name, take in STEPS.items():
        if name == "close":
            confirmed(case).all_clear("thank you", by="ann")
        take(case)
    assert repr(Casebook()).endswith("1 case\n  INC-2025-0001 Possible double charge (closed)")
    for i in range(10):
        rml.escalate(f"problem {i}")

    lines = repr(Casebook()).splitlines()
    assert f"Casebook of {ledger.origin}: 11 cases" == lines[0]
    assert "  INC-2025-0011 problem 9 (ongoing, detect)" == lines[1]
    assert "  ... and 1 older" == lines[-1]
    assert "problem 9" in Casebook()._repr_html_()


def test_notebooks_show_escaped_text(ledger: rml.Ledger) -> None:
    """Whatever people wrote is shown as text."""
    case = Casebook()[rml.escalate("<script>alert(1)</script>").id]
    case.contain("<b>off</b>", by="ann", lever="flag_off")
    shown = case._repr_html_()

    assert "<script>" not in shown + Casebook()._repr_html_()
    assert "&lt;script&gt;" in html.unescape(shown)
    assert "&lt;b&gt;off&lt;/b&gt;" in html.unescape(shown)


def test_long_titles_stay_one_line(case: Case) -> None:
    """At the prompt."""
    long = Casebook()[rml.escalate("a\nvery " + "long " * 50).id]
    first = repr(long).splitlines()[0]
    assert first.startswith("INC-2025-0002 a very long")
    assert len(first) < 120

"""Laws of the casebook: whatever people do in whatever order, the page tells that and no more."""

import string
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import attrs
from casework import TRIANGLE, through
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import rml
from rml.incident.case import Case
from rml.incident.casebook import Casebook
from rml.incident.closing import is_blank
from rml.incident.pages.casefile import CaseFile, CaseStatus, can_move
from rml.incident.projection import project, status_of, world_of
from rml.incident.rule import CaseClosedError, StepRefusedError
from rml.incident.step import SOURCES
from rml.ledger.entry import Entry

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30).filter(
    lambda text: not is_blank(text)
)
NAME = st.text(string.ascii_letters + " -.'äß山", min_size=1, max_size=20).filter(
    lambda text: not is_blank(text)
)
TEXTS = st.lists(TEXT, max_size=2)
COUNT = st.none() | st.integers(0, 2**53 - 1)
WORLD = st.sampled_from(rml.World)
STATUS = st.sampled_from(CaseStatus)
AGO = st.integers(-240, 10**6).map(lambda seconds: timedelta(seconds=-seconds))
SIGNAL = st.sampled_from(["one", "two"])
NOTICED = st.sampled_from(SOURCES) | NAME.map("other:{}".format)
SOURCE = st.none() | st.fixed_dictionaries({"type": NOTICED}, optional={"source": NAME, "id": NAME})


class CaseMachine(RuleBasedStateMachine):
    """One case in the hands of people who do anything at any time."""

    def __init__(self) -> None:
        """Open the case."""
        super().__init__()
        self.clock = rml.FrozenClock("2026-11-20T19:00:00Z")
        self.ledger = rml.Ledger("memory:", clock=self.clock)
        incident = rml.escalate("Possible double charge", ledger=self.ledger)
        self.case = Casebook(self.ledger)[incident.id]
        self.signals = 1
        self.steps = 0
        self.status = CaseStatus.ONGOING
        self.world = rml.World.RML3
        self.closed = False
        self.decided: list[str] = []
        self.has_decided = False
        self.counted = False
        self.taken: set[str] = set()

    def step(self, name: str, *args: Any, **options: Any) -> rml.Receipt | None:
        """Take a step; on a closed case, see it refused."""
        size = self.ledger.size
        try:
            receipt: rml.Receipt = getattr(self.case, name)(*args, **options)
        except CaseClosedError:
            assert self.closed
            assert size == self.ledger.size
            return None
        except StepRefusedError:
            assert size == self.ledger.size
            raise
        assert not self.closed
        assert size + 1 == self.ledger.size
        self.steps += 1
        return receipt

    @rule(seconds=st.integers(0, 10**5))
    def wait(self, seconds: int) -> None:
        """Let time pass."""
        self.clock.advance(seconds)

    @precondition(lambda self: not self.closed)
    @rule()
    def signal(self) -> None:
        """Meet the same problem again."""
        incident = rml.escalate("Possible double charge", ledger=self.ledger)
        assert self.case.id == incident.id
        self.signals += 1
        assert self.signals == incident.count
        self.status, self.world = CaseStatus.ONGOING, rml.World.RML3

    @rule(detail=TEXT, source=SOURCE, world=WORLD, ago=AGO)
    def detect(self, detail: str, source: Any, world: rml.World, ago: timedelta) -> None:
        """Notice something."""
        at = self.clock.now() + ago
        self.step("detect", detail, detected_by=source, world=world, at=at)

    @rule(detail=TEXT, by=NAME, lever=st.sampled_from(["flag_off", "none", "other:valve"]))
    def contain(self, detail: str, by: str, lever: str) -> None:
        """Pull a lever."""
        if self.step("contain", detail, by=by, lever=lever) is not None:
            self.taken.add("contain")

    @rule(detail=TEXT, by=NAME, users=COUNT, estimate=COUNT, asset=st.lists(NAME, max_size=2))
    def understand(
        self, detail: str, by: str, users: int | None, estimate: int | None, asset: list[str]
    ) -> None:
        """Count."""
        receipt = self.step(
            "understand",
            detail,
            by=by,
            users=users,
            transactions_estimate=estimate,
            asset=asset,
            severity="SEV-2",
            evidence="counted again",
        )
        if receipt is not None:
            self.taken.add("understand")
            self.counted = self.counted or (users, estimate) != (None, None)

    @rule(summary=TEXT, data=st.data())
    def decide(self, summary: str, data: st.DataObject) -> None:
        """Decide, or amend a decision that still stands."""
        amends = data.draw(st.none() | st.sampled_from(self.decided)) if self.decided else None
        try:
            receipt = self.step("decide", summary, decided_by=TRIANGLE, amends=amends)
        except StepRefusedError:
            assert not ({"contain", "understand"} <= self.taken and self.counted)
            return
        if receipt is not None:
            if amends is not None:
                self.decided.remove(amends)
            self.decided.append(receipt.id)
            self.has_decided = True

    @rule(kind=NAME, count=COUNT, detail=st.none() | TEXT, channel=st.none() | NAME, world=WORLD)
    def act(self, **options: Any) -> None:
        """Act."""
        try:
            self.step("act", options.pop("kind"), by="ann", **options)
        except StepRefusedError:
            assert options["world"] is rml.World.RML3
            assert not self.has_decided

    @rule(technical=TEXTS, process=TEXTS, governance=st.lists(TEXT, min_size=1, max_size=2))
    def learn(self, **lists: list[str]) -> None:
        """Learn."""
        try:
            self.step("learn", by="ann", **lists)
        except StepRefusedError:
            assert self.world is rml.World.RML3
            assert not self.has_decided

    @rule(to=STATUS, reason=TEXT)
    def move(self, to: CaseStatus, reason: str) -> None:
        """Move the status, where the rules allow it."""
        try:
            if self.step("move", to, by="ann", reason=reason) is not None:
                assert can_move(self.status, to)
                self.status = to
        except StepRefusedError:
            bare = to is CaseStatus.RESOLVED and self.world is rml.World.RML3
            assert bare or not can_move(self.status, to)

    @rule(lists=st.sets(st.sampled_from(["resolution", "recovery", "stand_down"]), min_size=1))
    def confirm(self, lists: set[str]) -> None:
        """Confirm what ends a case."""
        self.step("confirm", *sorted(lists), by="ann", evidence="looked")

    @rule(detail=TEXT)
    def all_clear(self, detail: str) -> None:
        """Give the all clear, once."""
        with suppress(StepRefusedError):
            self.step("all_clear", detail, by="ann")

    @rule(to=WORLD, reason=TEXT)
    def downscope(self, to: rml.World, reason: str) -> None:
        """Scope down, where there is something to scope down to."""
        try:
            if self.step("downscope", to, by="ann", reason=reason, evidence="Q-7") is not None:
                assert to < self.world
                self.world = to
        except StepRefusedError:
            assert to >= self.world

    @rule()
    def close(self) -> None:
        """Close the case, when nothing is missing."""
        missing = self.case.missing()
        refused = None
        try:
            if self.step("close", by="ann") is not None:
                self.closed, self.status = True, CaseStatus.RESOLVED
        except StepRefusedError as error:
            refused = error.details["missing"]
        assert (missing or None) == refused

    @invariant()
    def state_is_what_was_recorded(self) -> None:
        """Status, world and count are those that the steps led to."""
        assert (self.status, self.world) == (self.case.status, self.case.world)
        assert self.signals == self.case.count
        assert self.signals + self.steps == len(self.case.entries)
        assert self.closed is (self.case.phase == "closed")

    @invariant()
    def every_line_is_an_entry(self) -> None:
        """The timeline has a line for each step, in order of time, each with its entry."""
        entries = {entry.id: entry for entry in self.case.entries}
        timeline = self.case.timeline
        assert sorted(timeline, key=lambda event: event.at) == timeline
        for event in timeline:
            entry = entries[str(event.entry)]
            told = (event.at, event.world, event.recorded_at)
            assert (entry.at, entry.world, entry.recorded_at) == told
        steps = {i for i, entry in entries.items() if entry.kind != "incident.joined"}
        assert steps <= {event.entry for event in timeline}

    @invariant()
    def the_page_reads_back(self) -> None:
        """YAML out and in is the same page, and prompt and notebook can show it."""
        assert self.case.file == CaseFile.from_yaml(self.case.to_yaml())
        assert self.case.id in repr(self.case)
        assert self.case.id in self.case._repr_html_()

    def teardown(self) -> None:
        """Check the ledger."""
        assert self.ledger.verify().ok


CaseMachine.TestCase.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
TestCase = CaseMachine.TestCase


def _entries(case: Case) -> list[Entry]:
    return list(case.entries)


@given(signals=st.lists(SIGNAL, min_size=1, max_size=30), quiet=st.integers(0, 30))
def test_signals_are_counted_where_they_belong(signals: Sequence[str], quiet: int) -> None:
    """Every signal belongs to one case, equal ones to the same, whenever cases are closed."""
    ledger = rml.Ledger("memory:")
    book = Casebook(ledger)
    for i, text in enumerate(signals):
        incident = rml.escalate(text, ledger=ledger)
        if i == quiet:
            case = book[incident.id]
            through(case).close(by="ann")

    cases = list(book)
    assert len(signals) == sum(case.count for case in cases)
    assert len({case.id for case in cases}) == len(cases)
    for text in set(signals):
        assert signals.count(text) == sum(case.count for case in cases if case.title == text)
        assert 1 >= sum(case.phase != "closed" for case in cases if case.title == text)


@given(signals=st.lists(SIGNAL, max_size=5), cut=st.integers(0, 12))
def test_a_projection_depends_on_nothing_but_entries(signals: list[str], cut: int) -> None:
    """The same entries give the same page; what entries do not carry changes nothing."""
    ledger = rml.Ledger("memory:")
    (case,) = [Casebook(ledger)[rml.escalate("one", ledger=ledger).id]]
    for text in signals:
        rml.escalate(text, ledger=ledger)
    case.move("monitoring", by="ann", reason="quiet")
    case.downscope("RML2", by="ann", reason="nothing moved", evidence="Q-7")
    entries = _entries(case)[: cut + 1]

    page = project(entries)
    assert page is not None
    assert page == project([Entry.from_bytes(entry.to_bytes()) for entry in entries])
    assert page.file.rml_world is world_of(entries)
    assert page.file.status is status_of(entries)
    assert project(entries[1:]) is None
    without = [attrs.evolve(entry, personal={}) for entry in entries]
    assert page.file == attrs.evolve(page.file) == getattr(project(without), "file", None)

"""Whatever is done to a ledger in a file, it stays what the reference in memory is."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
)

from rml import Draft, Entry, FrozenClock, InvalidInputError, Ledger
from rml.clock import SeededIds
from rml.ledger import content

ORIGIN = "example.com/machine"
NAMES = st.sampled_from(["amount", "note", "é", "kind"])
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53) + 1, 2**53 - 1),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
)
FACTS = st.dictionaries(NAMES, st.one_of(VALUES, st.lists(VALUES, max_size=2)), max_size=3)
PERSONAL = st.fixed_dictionaries({"email": VALUES}, optional={"name": VALUES})
KINDS = st.sampled_from(["a.b", "payment.noted", "payment.refund"])
WORLDS = st.sampled_from(["RML1", "RML2", "RML3"])
TEXTS = st.none() | st.sampled_from(["x", "ada", "é😀"])


def told(entry: Entry) -> tuple[Any, ...]:
    """All that an entry says, also what equality leaves out."""
    return entry, entry.index, dict(entry.personal)


class LedgerMachine(RuleBasedStateMachine):
    """Drives a file, through one or two handles, and the memory store as its model."""

    ids = Bundle("ids")
    erasable = Bundle("erasable")

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.folder = Path(tempfile.mkdtemp())
        self.stack.callback(shutil.rmtree, self.folder)
        self.stack.enter_context(mock.patch.object(content, "new_salt", return_value="A" * 22))
        self.clock = FrozenClock("2026-11-20T12:00:00Z")
        self.own_ids, self.model_ids = SeededIds(1), SeededIds(1)
        self.model = Ledger("memory:", origin=ORIGIN, clock=self.clock, ids=self.model_ids)
        self.handles = [self.opened()]

    def opened(self) -> Ledger:
        """One more handle on the file."""
        return Ledger(self.folder / "ledger.db", origin=ORIGIN, clock=self.clock, ids=self.own_ids)

    def both(self) -> Iterator[Ledger]:
        """The handle whose turn it is, and the model."""
        self.handles = self.handles[1:] + self.handles[:1]
        yield self.handles[0]
        yield self.model

    # What is written -----------------------------------------------------------------------------

    @rule(
        target=ids,
        kind=KINDS,
        world=WORLDS,
        facts=FACTS,
        operation=TEXTS,
        correlation=TEXTS,
    )
    def append(self, **given: Any) -> str:
        """One entry."""
        kind = given.pop("kind")
        own, model = [ledger.append(kind, **given) for ledger in self.both()]
        assert model == own
        return own.id

    @rule(target=erasable, kind=KINDS, personal=PERSONAL, facts=FACTS)
    def append_personal(self, kind: str, **given: Any) -> tuple[str, list[str]]:
        """One entry with values that can be erased."""
        own, model = [ledger.append(kind, world="RML3", **given) for ledger in self.both()]
        assert model == own
        return own.id, sorted(given["personal"])

    @rule(target=ids, original=ids, incident=TEXTS)
    def correct(self, original: str, incident: str | None) -> str:
        """An entry that corrects another one."""
        own, model = [
            ledger.append("a.corrected", world="RML3", corrects=original, incident=incident)
            for ledger in self.both()
        ]
        assert model == own
        return own.id

    @rule(target=ids, count=st.sampled_from([0, 1, 2, 100, 255, 256]), facts=FACTS)
    def append_many(self, count: int, facts: dict[str, Any]) -> Any:
        """Several entries in one commit, which sees its own."""

        def work(draft: Draft) -> list[str]:
            made = [draft.append("a.many", world="RML2", facts=facts).id for _ in range(count)]
            seen = [
                entry.id for entry in draft.entries(kind="a.many", newest_first=True, limit=count)
            ]
            assert made[::-1] == seen
            return made

        own, model = [ledger.write(work) for ledger in self.both()]
        assert model == own
        return multiple(*own[:2])

    @rule(count=st.integers(0, 3))
    def write_with_an_error(self, count: int) -> None:
        """A commit that fails leaves nothing; the ids that it used up are gone."""

        def work(draft: Draft) -> None:
            for _ in range(count):
                draft.append("a.b", world="RML1")
            raise LookupError

        for ledger in self.both():
            try:
                ledger.write(work)
            except LookupError:
                continue
            raise AssertionError("the error was lost")

    @rule(entry=consumes(erasable))
    def erase(self, entry: tuple[str, list[str]]) -> None:
        """All values of an entry, and one that it never had."""
        name, fields = entry
        own, model = [ledger.erase(name, fields, by="dpo", reason="law") for ledger in self.both()]
        assert model == own
        for ledger in self.both():
            try:
                ledger.erase(name, ["phone"], by="dpo", reason="law")
            except InvalidInputError:
                continue
            raise AssertionError("an unknown field was erased")

    @rule(note=VALUES, fields=st.none() | st.just(["email"]))
    def erase_subject(self, note: Any, fields: list[str] | None) -> None:
        """All about one subject, or some fields of it."""
        own, model = [
            ledger.erase_subject("note", note, fields=fields, by="dpo", reason="law")
            for ledger in self.both()
        ]
        assert model == own

    @rule(part=st.integers(0, 10))
    def prune(self, part: int) -> None:
        """Up to some index; what was pruned stays so."""
        below = self.model.size * part // 10
        own, model = [ledger.prune(below, by="dpo", reason="old") for ledger in self.both()]
        assert model == own

    # What happens around it ----------------------------------------------------------------------

    @rule(seconds=st.floats(-3_600, 3_600))
    def time_passes(self, seconds: float) -> None:
        """Forwards, or back when somebody sets the clock."""
        self.clock.set(self.clock.now() + timedelta(seconds=round(seconds, 3)))

    @rule()
    def reopen(self) -> None:
        """Close a handle and open the file again."""
        self.handles[0].close()
        self.handles[0] = self.opened()

    @precondition(lambda self: len(self.handles) < 3)
    @rule()
    def open_another(self) -> None:
        """One more handle on the same file."""
        self.handles.append(self.opened())

    # What is asked -------------------------------------------------------------------------------

    @rule(
        kind=st.none() | KINDS,
        world=st.none() | WORLDS,
        operation=TEXTS,
        correlation=TEXTS,
        newest_first=st.booleans(),
        limit=st.none() | st.integers(0, 300),
    )
    def query(self, **asked: Any) -> None:
        """Any conditions, in any direction."""
        own, model = [list(map(told, ledger.entries(**asked))) for ledger in self.both()]
        assert model == own
        own_count, model_count = [len(ledger.entries(**asked)) for ledger in self.both()]
        assert model_count == own_count

    @rule(original=ids)
    def look_up(self, original: str) -> None:
        """By id, and what corrects it."""
        own, model = [
            (told(ledger.entry(original)), list(ledger.entries(corrects=original)))
            for ledger in self.both()
        ]
        assert model == own

    @rule()
    def verify(self) -> None:
        """Both are fine, and alike."""
        own, model = [ledger.verify() for ledger in self.both()]
        assert model.ok
        assert model == own

    @invariant()
    def same_tree(self) -> None:
        """Origin, size and root agree after every step."""
        own, model = [ledger.checkpoint() for ledger in self.both()]
        assert model == own

    def teardown(self) -> None:
        """Verify once more, from a fresh handle."""
        with self.stack:
            for handle in self.handles:
                handle.close()
            with self.opened() as ledger:
                assert self.model.verify() == ledger.verify()


LedgerMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=25)
TestLedgerMachine = LedgerMachine.TestCase

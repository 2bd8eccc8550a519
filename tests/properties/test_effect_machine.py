"""A state machine of workers, crashes, lost leases and decisions, against a model of a few lines.

Workers look, begin and end at different moments, so that others come between any two steps of
theirs; they end in every way of the table, end late, or never. People decide about what they saw a
while ago, and have values erased. The model says what each call must be given; the entries are read
once more at the end by rules of their own.
"""

import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import rml
from rml.effect.call import Call, start
from rml.effect.decide import Decision, Doubt, Replay, Run
from rml.effect.operation import Attempt
from rml.effect.reconcile import _operations


class CardDeclinedError(Exception):
    """The other side's last word, by a rule of the user's own."""


rml.register_verdict(CardDeclinedError, False)
LEASE_SECONDS = 60
OPERATIONS = ("model.declared", "model.plain")
PLACES = st.sampled_from(range(len(OPERATIONS)))
ENDS: dict[str, BaseException | str] = {
    "value": "value",
    "other value": "other value",
    "closed": rml.ClosedError("no"),
    "refused": rml.DialogError("no", happened=False),
    "declined": CardDeclinedError("no"),
    "retry": rml.DialogError("lost"),
    "compensate": rml.DialogError("no", code="SOLD_OUT", action=rml.Action.START_COMPENSATION),
    "history": rml.HistoryError("moved", code="MOVED"),
    "happened": rml.DialogError("printed nothing", happened=True),
    "stranger": TimeoutError("lost"),
    "interrupt": KeyboardInterrupt(),
    "unsure": rml.ClosedError("no idea", happened=None),
}
# What ends a key's story comes up less often than what leaves something to happen.
HOW = st.sampled_from([*ENDS, "closed", "refused", "retry", "stranger", "unsure"])
FINAL = ("done", "failed", "history")


@attrs.define
class Model:
    """What is known of one key."""

    state: str | None = None
    attempt: int = 0
    generation: int = 1
    owner: Attempt | None = None
    until: datetime | None = None
    value: str | None = None  # what a replay gives; None if there is nothing to give
    code: str | None = None
    ran: int = 0
    uncertain: bool = False  # whether an earlier attempt may have taken effect

    def now(self, moment: datetime) -> str | None:
        """Return the state at a moment: a lease that has run out is doubt."""
        lost = self.state == "in_flight" and self.until is not None and self.until <= moment
        return "in_doubt" if lost else self.state

    def may_run(self, moment: datetime) -> bool:
        """Say whether a call runs the handler."""
        return self.now(moment) in (None, "not_done", "retrying")

    def began(self, attempt: Attempt | None, moment: datetime) -> None:
        """A worker has begun."""
        assert self.may_run(moment)
        self.uncertain = self.state == "retrying"
        self.state, self.owner = "in_flight", attempt
        self.attempt += 1
        self.ran += 1
        self.until = moment + timedelta(seconds=LEASE_SECONDS)

    def ended(self, how: str, *, declared: bool) -> None:
        """Its owner has ended in one of the ways above."""
        self.owner = self.value = self.code = None
        self.state = {
            "closed": "not_done",
            "refused": "not_done",
            "declined": "not_done",
            "retry": "retrying" if declared else "in_doubt",
            "compensate": "failed",
            "history": "history",
            "stranger": "in_doubt",
            "interrupt": "in_doubt",
            "unsure": "in_doubt",
        }.get(how, "done")
        if self.uncertain and self.state in ("not_done", "failed"):
            # It says nothing about the attempt before it; and nobody asks again after a last word.
            self.state = "in_doubt" if how in ("compensate", "declined") else "retrying"
        elif how in ("refused", "declined"):
            self.generation += 1
        if how in ("value", "other value"):
            self.value = how
        if self.state in ("failed", "history"):
            self.code = {"compensate": "SOLD_OUT", "history": "MOVED"}[how]

    def doubted(self, moment: datetime) -> None:
        """Somebody has looked: a lost worker is fenced from now on."""
        if self.state == "in_flight" and self.now(moment) == "in_doubt":
            self.state, self.owner = "in_doubt", None

    def decided(self, *, happened: bool, value: str | None) -> None:
        """A person or a reconciler has decided."""
        self.state, self.owner = "done" if happened else "not_done", None
        self.value = value if happened else None


class EffectMachine(RuleBasedStateMachine):
    """On a ledger in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = rml.FrozenClock()
        self.folder = tempfile.TemporaryDirectory()
        self.ledger = self.open()
        self.models: dict[tuple[str, str], Model] = {}
        self.slots = [(operation, "") for operation in OPERATIONS]
        self.running: list[tuple[tuple[str, str], Call, Attempt]] = []
        self.looking: list[tuple[tuple[str, str], Call, Decision]] = []
        self.seen: list[tuple[tuple[str, str], rml.Effect]] = []
        self.answer: bool | None = None
        self.end: BaseException | str = "value"
        self.handlers = {
            name: self.handler(name, declared=name == "model.declared") for name in OPERATIONS
        }
        for slot in range(len(OPERATIONS)):
            self.take_a_new_key(slot)

    def place(self) -> str | Path:
        """Return where the ledger is kept."""
        return "memory:"

    def open(self) -> rml.Ledger:
        """Open the ledger."""
        return rml.Ledger(self.place(), clock=self.clock)

    def handler(self, name: str, *, declared: bool) -> Any:
        """Return an operation's handler, which ends as the rule wants it to."""

        def ask(effect: rml.Effect) -> rml.Finding:
            return rml.Finding(self.answer, **({"result": "found"} if self.answer else {}))

        @rml.idempotent(
            name, key="key", provider_idempotent=declared, reconcile=ask, lease=LEASE_SECONDS
        )
        def run(key: str, amount: int) -> str:
            model = self.models[name, key]
            model.began(None, self.clock.now())
            self.check_attempt(model, rml.current_effect())
            if isinstance(self.end, BaseException):
                raise self.end.with_traceback(None)
            return self.end

        return run

    def check_attempt(self, model: Model, attempt: Attempt) -> None:
        """The attempt is the next one, under the key that the provider is to see."""
        assert model.attempt == attempt.attempt
        assert f"{attempt.id}-{model.generation}" == attempt.provider_key

    def take_a_new_key(self, slot: int) -> None:
        """Begin another story; those of before stay as they are."""
        self.slots[slot] = OPERATIONS[slot], f"k{len(self.models)}"
        self.models[self.slots[slot]] = Model()

    # What may happen ---------------------------------------------------------------------------

    @rule(slot=PLACES, how=HOW)
    def call(self, slot: int, how: str) -> None:
        """A whole call, which runs, replays or is refused as the model says."""
        place = self.slots[slot]
        model, before = self.models[place], attrs.evolve(self.models[place])
        moment = self.clock.now()
        self.end = ENDS[how]
        try:
            with rml.use(ledger=self.ledger):
                found: Any = self.handlers[place[0]](place[1], 1)
        except BaseException as error:  # noqa: BLE001 - interrupts are among the ends
            found = error
        if before.may_run(moment):
            assert before.ran + 1 == model.ran
            assert ENDS[how] is found
            model.ended(how, declared=place[0] == "model.declared")
            return
        assert before.ran == model.ran
        model.doubted(moment)
        self.check_refusal(model, found)
        if model.state in FINAL:
            self.take_a_new_key(slot)

    def check_refusal(self, model: Model, found: Any) -> None:
        """What a call is given that does not run."""
        kinds = {"in_flight": rml.InFlightError, "in_doubt": rml.InDoubtError}
        if model.state == "done" and model.value is not None:
            assert model.value == found
        elif model.state == "done":
            assert isinstance(found, rml.ResultUnavailableError)
        elif model.state in kinds:
            assert isinstance(found, kinds[model.state])
        else:
            assert isinstance(found, rml.RmlError)
            assert model.code == found.code

    @rule(slot=PLACES)
    def call_with_another_request(self, slot: int) -> None:
        """Refused in every state but the first, and changes nothing."""
        place = self.slots[slot]
        if self.models[place].state is None:
            return
        size = self.ledger.size
        with rml.use(ledger=self.ledger), pytest.raises(rml.FingerprintMismatchError):
            self.handlers[place[0]](place[1], 2)
        assert size == self.ledger.size

    @rule(slot=PLACES)
    def begin(self, slot: int) -> None:
        """A worker begins without having looked, and is left to itself."""
        self.begin_by(self.slots[slot], self.worker(slot))

    def worker(self, slot: int) -> Call:
        """Return a call that has done nothing yet."""
        operation, key = self.slots[slot]
        return start(_operations[operation], self.ledger, {"key": key, "amount": 1})

    def begin_by(self, place: tuple[str, str], call: Call) -> None:
        """Have a worker begin, if the model lets it."""
        model, moment = self.models[place], self.clock.now()
        begun = call.begin()
        assert model.may_run(moment) == isinstance(begun, Attempt)
        if isinstance(begun, Attempt):
            model.began(begun, moment)
            self.check_attempt(model, begun)
            self.running.append((place, call, begun))

    @rule(slot=PLACES)
    def look(self, slot: int) -> None:
        """A worker has looked what it may do; before it does so, anything may happen."""
        place, call = self.slots[slot], self.worker(slot)
        model, moment = self.models[place], self.clock.now()
        decision = call.look()
        assert model.may_run(moment) == isinstance(decision, Run)
        lost = model.state == "in_flight" and model.now(moment) == "in_doubt"
        assert lost == isinstance(decision, Doubt)
        assert (model.state == "done" and model.value is not None) == isinstance(decision, Replay)
        self.looking.append((place, call, decision))

    @precondition(lambda self: self.looking)
    @rule(data=st.data())
    def go_on(self, data: st.DataObject) -> None:
        """It goes on by what it saw, and the commit decides anew."""
        index = data.draw(st.integers(0, len(self.looking) - 1))
        place, call, decision = self.looking.pop(index)
        if isinstance(decision, Run):
            self.begin_by(place, call)
        elif isinstance(decision, Doubt):
            call.doubt()
            self.models[place].doubted(self.clock.now())

    @precondition(lambda self: self.running)
    @rule(data=st.data(), how=HOW)
    def finish(self, data: st.DataObject, how: str) -> None:
        """A worker ends: in time, or too late to change anything."""
        index = data.draw(st.integers(0, len(self.running) - 1))
        place, call, attempt = self.running.pop(index)
        model, end = self.models[place], ENDS[how]
        outcome = (
            call.error_outcome(attempt, end)
            if isinstance(end, BaseException)
            else call.value_outcome(end)
        )
        recorded = call.finish(attempt, outcome)
        assert recorded.late == (model.owner is not attempt)
        if not recorded.late:
            model.ended(how, declared=place[0] == "model.declared")

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        """A worker is killed: nobody ever hears of it again."""
        self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))

    @rule(seconds=st.sampled_from([1, 59, 60, 61, 61, 61, -5, -3600]))
    def time_passes(self, seconds: int) -> None:
        """Or the wall clock is stepped back."""
        if seconds > 0:
            self.clock.advance(seconds)
        else:
            self.clock.set(self.clock.now() + timedelta(seconds=seconds))

    @rule(slot=PLACES, happened=st.booleans(), value=st.none() | st.just("typed in"))
    def resolve(self, slot: int, happened: bool, value: str | None) -> None:
        """A person decides; refused unless there is doubt."""
        place = self.slots[slot]
        model = self.models[place]
        effects = [e for e in self.ledger.effects(operation=place[0]) if e.key == place[1]]
        result = {"result": value} if happened and value is not None else {}
        for effect in effects:
            if model.now(self.clock.now()) == "in_doubt":
                self.ledger.resolve(effect.id, happened=happened, by="ada", reason="s", **result)
                model.decided(happened=happened, value=value)
            else:
                with pytest.raises(rml.NotInDoubtError):
                    self.ledger.resolve(effect.id, happened=happened, by="ada", reason="s")

    @rule(slot=PLACES)
    def see(self, slot: int) -> None:
        """A person sees where an effect stands, and thinks about it."""
        operation, key = self.slots[slot]
        for effect in self.ledger.effects(operation=operation, key=key):
            self.seen.append((self.slots[slot], effect))

    @precondition(lambda self: self.seen)
    @rule(data=st.data(), happened=st.booleans())
    def decide_about_what_was_seen(self, data: st.DataObject, happened: bool) -> None:
        """Refused when there is no doubt about it, or anything was recorded of it since."""
        place, effect = self.seen.pop(data.draw(st.integers(0, len(self.seen) - 1)))
        model = self.models[place]
        told = [e for e in self.ledger.entries(effect=effect.id) if e.kind[:7] == "effect."]
        same, doubtful = len(told) == effect.version, model.now(self.clock.now()) == "in_doubt"
        decision = {"happened": happened, "by": "ada", "reason": "s", "version": effect.version}
        if same and doubtful:
            self.ledger.resolve(effect.id, **decision)
            model.decided(happened=happened, value=None)
        else:
            expected = rml.EffectChangedError if doubtful else rml.NotInDoubtError
            with pytest.raises(expected):
                self.ledger.resolve(effect.id, **decision)

    @rule(slot=PLACES)
    def erase(self, slot: int) -> None:
        """What it gave back is erased: it stays done, and nothing can be given again."""
        operation, key = self.slots[slot]
        model = self.models[operation, key]
        if model.state == "done" and model.value is not None:
            (effect,) = self.ledger.effects(operation=operation, key=key)
            self.ledger.erase(effect.id, ["rml.result"], by="bob", reason="asked to")
            model.value = None

    @rule(answer=st.sampled_from([True, False, None]))
    def reconcile(self, answer: bool | None) -> None:
        """Every doubt is asked about at once."""
        self.answer = answer
        moment = self.clock.now()
        doubtful = [m for m in self.models.values() if m.now(moment) == "in_doubt"]
        found = rml.reconcile(ledger=self.ledger)
        assert [answer] * len(doubtful) == [one.happened for one in found]
        for model in doubtful:
            model.doubted(moment)
            if answer is not None:
                model.decided(happened=answer, value="found")

    # What always holds -------------------------------------------------------------------------

    @invariant()
    def doubts_are_exactly_the_unknown_ones(self) -> None:
        """The list, the search by state, and the model name the same."""
        moment = self.clock.now()
        expected = sorted(p for p, m in self.models.items() if m.now(moment) == "in_doubt")
        listed = sorted((e.operation, e.key) for e in self.ledger.in_doubt())
        searched = sorted((e.operation, e.key) for e in self.ledger.effects(state="in_doubt"))
        assert expected == listed == searched

    @invariant()
    def every_effect_is_where_the_model_says(self) -> None:
        """State and attempt; one effect a key."""
        moment = self.clock.now()
        expected = {
            place: (m.now(moment), m.attempt) for place, m in self.models.items() if m.attempt
        }
        effects = list(self.ledger.effects())
        assert len(expected) == len(effects)
        assert expected == {(e.operation, e.key): (e.state.value, e.attempt) for e in effects}

    def teardown(self) -> None:
        """The entries alone show that nothing ran again without a reason, and verify."""
        try:
            for effect in self.ledger.effects():
                check_entries(list(self.ledger.entries(effect=effect.id)))
            assert self.ledger.verify().problems == ()
        finally:
            self.ledger.close()
            self.folder.cleanup()


def check_entries(entries: list[rml.Entry]) -> None:
    """Between two intents somebody must have said that another run is safe."""
    permitted, attempts = True, 0
    for entry in entries:
        if entry.kind == "effect.intent":
            assert permitted
            attempts += 1
            permitted = False
            assert attempts == entry.attempt
        elif entry.kind in ("effect.not_done", "effect.retrying"):
            assert attempts == entry.attempt
            permitted = True
        elif entry.kind == "effect.resolved":
            permitted = entry.facts["happened"] is False


class SqliteEffectMachine(EffectMachine):
    """On a ledger in a file, which is closed and opened again at any time."""

    def place(self) -> str | Path:
        """Return the file."""
        return Path(self.folder.name) / "ledger.db"

    @rule()
    def reopen(self) -> None:
        """Another process takes over; its workers of before are gone."""
        self.running.clear()
        self.looking.clear()
        self.ledger.close()
        self.ledger = self.open()


TestEffectsInMemory = EffectMachine.TestCase
TestEffectsInMemory.settings = settings(max_examples=100, stateful_step_count=40)
TestEffectsInAFile = SqliteEffectMachine.TestCase
TestEffectsInAFile.settings = settings(max_examples=20, stateful_step_count=40)

"""A simulated world: a ledger, a provider, and workers, reconcilers and people around them.

Several tasks share one ledger, and pass on the baton at every call of the store and every step of a
handler. Workers die, leases are lost, the clock is stepped, the store fails, answers are lost,
decisions are taken late and sometimes wrongly. Then the faults end, and what must always hold is
checked, by rules that know nothing of the library's own.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any, Final, TypeVar, cast

from scheduler import Choices, Killed, Scheduler, Task

import rml
from rml.clock import SeededIds
from rml.ledger.store import Transaction
from rml.testing.faults import Fault, FaultyStore

T = TypeVar("T")

LEASE_SECONDS: Final = 60
OPERATIONS: Final = ("simulated.plain", "simulated.declared")
# How probable things are, each time that they may happen.
DEATH, FAULT, STEP, SLOW, LATER, CARELESS = 0.01, 0.02, 0.05, 0.3, 0.7, 0.15
STEPS_SECONDS: Final = (LEASE_SECONDS + 1, 30, -1, -3_600, 3_600)
TASKS_MAX: Final = 5


class BrokenPromiseError(AssertionError):
    """What must always hold does not."""


def must(holds: object, what: str) -> None:
    """Check that something holds."""
    if not holds:
        raise BrokenPromiseError(what)


class Provider:
    """The other side: it counts what it carries out, and tells the truth to whoever asks.

    One that deduplicates repeats its answer, or its refusal, for a key that it knows. Asked about
    an attempt that it has not seen, it closes the door on it, so that "it did not happen" stays
    true.
    """

    def __init__(self, *, deduplicates: bool) -> None:
        self.deduplicates = deduplicates
        self.effects: dict[str, list[str]] = {}
        self._answers: dict[str, str | None] = {}
        self._closed: Counter[str] = Counter()

    def carry_out(self, attempt: rml.Attempt, *, refuse: bool = False) -> str:
        """Carry out an attempt, or refuse it for certain."""
        if self.deduplicates and attempt.provider_key in self._answers:
            known = self._answers[attempt.provider_key]
        elif refuse or attempt.attempt <= self._closed[attempt.key]:
            known = self._answers[attempt.provider_key] = None
        else:
            made = self.effects.setdefault(attempt.key, [])
            made.append(f"charge {len(made) + 1} of {attempt.key}")
            known = self._answers[attempt.provider_key] = made[-1]
        if known is None:
            raise rml.DialogError("refused", code="REFUSED", happened=False)
        return known

    def refuses(self, provider_key: str) -> bool:
        """Say whether a key was refused, and will be whenever it comes again."""
        return self.deduplicates and self._answers.get(provider_key, "") is None

    def ask(self, effect: rml.Effect) -> str | None:
        """Return what happened; nothing that was asked about happens afterwards."""
        made = self.effects.get(effect.key)
        if made:
            return made[0]
        self._closed[effect.key] = max(self._closed[effect.key], effect.attempt)
        return None


class SteppedStore(FaultyStore):
    """A store at whose every call the baton is passed on, and which fails when the schedule says.

    A commit is one step, and its caller may die before he hears of it.
    """

    world: "World"

    def _count(self, name: str) -> Fault | None:
        fault = self.world.fault(name)
        if fault is not None:
            self.world.scheduler.tell(f"the store fails: {fault.value}")
        return fault

    def write(self, work: Callable[[Transaction], T], *, timeout: float) -> T:
        """Run ``work`` in one commit."""
        result = super().write(work, timeout=timeout)
        self.world.scheduler.pause("committed")
        return result


class World:
    """One schedule: a ledger, a provider, and what everybody in it was told."""

    def __init__(self, choices: Choices, place: object = "memory:") -> None:
        self.choices = choices
        self.clock = rml.FrozenClock()
        self.ledger = rml.Ledger(place, clock=self.clock, ids=SeededIds(), origin="simulated")
        self.scheduler = Scheduler(choices, self.step_clock, DEATH)
        self.declared = choices.chance(0.4)
        self.provider = Provider(deduplicates=self.declared)
        self.keys = ["pay-1", "pay-2"] if choices.chance(0.2) else ["pay-1"]
        self.latest = self.clock.now()
        self.told: dict[str, list[Any]] = {key: [] for key in self.keys}
        self.ended: Counter[str] = Counter()  # how often each way of a handler's end was taken
        self.deciding: Counter[str] = Counter()  # how often somebody tried to decide about a key
        self.decided: Counter[str] = Counter()  # and was told that it is decided
        self.careless: Counter[str] = Counter()  # decisions that were taken without asking
        self.erased: set[str] = set()
        self.calm = False
        store = SteppedStore(self.ledger._store, {})
        store.world = self
        self.ledger._store = cast("Any", store)

    # What may happen between two steps ----------------------------------------------------------

    def step_clock(self) -> None:
        """Step the wall clock, perhaps."""
        if self.choices.chance(STEP):
            seconds = self.choices.pick(STEPS_SECONDS)
            self.clock.set(self.clock.now() + timedelta(seconds=seconds))
            self.latest = max(self.latest, self.clock.now())
            self.scheduler.tell(f"the clock is stepped by {seconds} s")

    def take_long(self, where: str) -> None:
        """Pause, perhaps for so long that everybody else goes on, and leases end."""
        if self.choices.chance(SLOW):
            self.clock.advance(LEASE_SECONDS + 1)
            self.latest = max(self.latest, self.clock.now())
            self.scheduler.sleep(where)
        else:
            self.scheduler.pause(where)

    def fault(self, name: str) -> Fault | None:
        """Pass the baton on before a call of the store; say how it is to fail."""
        self.scheduler.pause(name)
        if self.scheduler.current is None or not self.choices.chance(FAULT):
            return None
        return self.choices.pick(list(Fault))

    # Who takes part -----------------------------------------------------------------------------

    def act(self, kind: str, key: str) -> None:
        """Be one of those who take part, a few times over."""
        for _ in range(self.choices.pick((1, 2))):
            if kind != "worker" and self.choices.chance(LATER):
                self.scheduler.sleep("waits for something to do")
            {
                "worker": partial(self.call, key),
                "reconciler": self.reconcile,
                "person": self.decide,
                "eraser": self.erase,
            }[kind]()

    def call(self, key: str) -> Any:
        """Call the protected handler for a key; return what the caller is given."""
        try:
            with rml.use(ledger=self.ledger):
                value = HANDLERS[self.declared](key)
        except (rml.RmlError, OSError, KeyboardInterrupt) as error:
            self.scheduler.tell(f"is told {type(error).__name__}")
            return error
        self.scheduler.tell(f"is given {value!r}")
        self.told[key].append(value)
        return value

    def handle(self, key: str) -> str:
        """Be the handler: end in one of the ways of the table."""
        attempt = rml.current_effect()
        must(attempt.key == key, "a handler runs as another effect's attempt")
        how = "returns" if self.calm else self.choices.pick(list(ENDS))
        self.ended[how] += 1
        self.take_long(f"attempt {attempt.attempt} begins, it {how}")
        try:
            return ENDS[how](self, attempt)
        finally:
            if not self.scheduler.current or not self.scheduler.current.dead:
                self.scheduler.pause(f"attempt {attempt.attempt} ends")

    def reconcile(self) -> None:
        """Ask the provider about everything in doubt, and decide."""
        with self.bearing_faults(), rml.use(ledger=self.ledger):
            for found in rml.reconcile():
                self.scheduler.tell(f"reconciled: {found}")
                self.decided[found.effect.key] += found.happened is not None

    def answer(self, effect: rml.Effect) -> rml.Finding:
        """Be the reconciler: the truth, after a while, and while it goes on."""
        self.scheduler.pause("asks the provider")
        value = self.provider.ask(effect)
        self.deciding[effect.key] += 1
        self.take_long(f"heard {value!r}")
        if value is None:
            return rml.Finding(False, evidence="it has not got it")
        return rml.Finding(True, value, "it has it")

    def decide(self) -> None:
        """Be a person, who takes a decision about something in doubt; careful or not."""
        with self.bearing_faults():
            doubtful = list(self.ledger.in_doubt())
            if not doubtful:
                return
            effect = self.choices.pick(doubtful)
            careless = self.choices.chance(CARELESS)
            value = None if careless else self.provider.ask(effect)
            self.take_long(f"decides {'without asking' if careless else repr(value)}")
            self.deciding[effect.key] += 1
            self.careless[effect.key] += careless
            typed_in = {"result": value} if value is not None else {}
            try:
                self.ledger.resolve(
                    effect.id,
                    happened=value is not None,
                    by="ada",
                    reason="seen",
                    version=None if careless else effect.version,
                    **typed_in,
                )
            except rml.RmlError as error:
                if not isinstance(error, rml.AppendUnknownError):
                    self.careless[effect.key] -= careless
                raise
            self.decided[effect.key] += 1

    def erase(self) -> None:
        """Have what an effect gave back erased."""
        with self.bearing_faults():
            for effect in list(self.ledger.effects(state="done")):
                self.erased.add(effect.key)
                self.ledger.erase(effect.id, ["rml.result"], by="bob", reason="asked to")

    @contextmanager
    def bearing_faults(self) -> Iterator[None]:
        """Go on when the ledger refuses, or cannot be written to."""
        try:
            yield
        except rml.RmlError as error:
            self.scheduler.tell(f"is told {type(error).__name__}")

    # The schedule -------------------------------------------------------------------------------

    def run(self) -> None:
        """Run one schedule to its end, and check what must hold."""
        count = 2 + self.choices.pick(range(TASKS_MAX - 1))
        tasks = [Task("worker 1", partial(self.act, "worker", self.keys[0]))]
        for number in range(2, count + 1):
            kind = self.choices.pick(
                ["worker", "worker", "reconciler", "person", "worker", "eraser"]
            )
            key = self.choices.pick(self.keys)
            tasks.append(Task(f"{kind} {number}", partial(self.act, kind, key)))
        self.scheduler.run(tasks)
        for task in tasks:
            must(
                task.error is None or (task.dead and isinstance(task.error, Killed)),
                f"{task.name} ended with {task.error!r}",
            )
        self.calm = True
        self.clock.set(self.latest + timedelta(seconds=LEASE_SECONDS + 1))
        self.check_history()
        self.settle()

    # What must hold -----------------------------------------------------------------------------

    def check_history(self) -> None:
        """Check what the entries say, against what really happened."""
        listed = Counter(effect.key for effect in self.ledger.in_doubt())
        history = [entry for entry in self.ledger.entries() if entry.effect is not None]
        for key in self.keys:
            entries = [entry for entry in history if entry.key == key]
            state = told_by(entries)
            unknown = state in ("intent", "in_doubt")
            must(listed[key] == int(unknown), f"{key} is {state}, listed {listed[key]} times")
            effects = self.provider.effects.get(key, [])
            decisions = [e for e in entries if e.kind == "effect.resolved"]
            must(
                all(e.actor and e.facts["reason"] and e.facts["via"] for e in decisions),
                "a decision is not explained",
            )
            must(len(decisions) <= self.deciding[key], "a decision that nobody took")
            must(len(decisions) >= self.decided[key], "a decision is lost")
            wrong = self.careless[key]
            must(len(effects) <= 1 + wrong, f"{key} took effect {len(effects)} times: {effects}")
            if wrong:
                continue
            must(not (effects and state == "not_done"), f"{key} took effect, and is not done")
            must(effects or state != "done", f"{key} is done, and took no effect")
            must(len(set(self.told[key])) <= 1, f"callers were given {self.told[key]}")
            must(set(self.told[key]) <= set(effects), f"callers were given {self.told[key]}")

    def settle(self) -> None:
        """Have everybody asked, and everything called once more: it ends, and stays ended."""
        if list(self.ledger.in_doubt()):
            with rml.use(ledger=self.ledger):
                rml.reconcile()
            must(not list(self.ledger.in_doubt()), "what was asked about is still in doubt")
        for key in self.keys:
            if isinstance(self.call(key), rml.DialogError):  # as a provider repeats its refusal
                self.call(key)
            (effect,) = self.ledger.effects(key=key)
            must(effect.state in SETTLED, f"{key} stays {effect.state}")
            if effect.state is rml.EffectState.RETRYING:
                # That this attempt was refused does not tell what came of the one before.
                must(self.provider.refuses(effect.provider_key), f"{key} stays retrying")
            if effect.state is rml.EffectState.DONE:
                self.check_replay(key)
            made = self.provider.effects.get(key, [])
            must(len(made) <= 1 + self.careless[key], f"{key} took effect as {made}")

    def check_replay(self, key: str) -> None:
        """Check that what is done gives its one value, unless there is a reason not to."""
        if key in self.erased or self.careless[key] or self.ended["fails after it"]:
            return
        if len(self.told[key]) < 2:
            self.call(key)
        values = self.told[key]
        must(len(values) > 1, f"{key} is done, and its value is lost")
        must(len(set(values)) == 1, f"{key} is done, and gives {values}")

    def verify(self) -> None:
        """Check that the ledger verifies."""
        must(not self.ledger.verify().problems, "the ledger does not verify")


def told_by(entries: list[rml.Entry]) -> str | None:
    """Return where entries leave an effect, having checked that each attempt was allowed."""
    state, attempts = None, 0
    for entry in entries:
        kind = entry.kind.removeprefix("effect.")
        if kind == "intent":
            must(state in (None, "not_done", "retrying"), f"an attempt was begun while {state}")
            attempts += 1
            must(entry.attempt == attempts, f"attempt {attempts} is called {entry.attempt}")
            state = kind
        elif kind == "resolved":
            must(state == "in_doubt", f"{state} was decided")
            state = "done" if entry.facts["happened"] else "not_done"
        elif entry.kind.startswith("effect.") and kind != "late":
            must(state == "intent", f"{kind} was recorded while {state}")
            must(entry.attempt == attempts, f"{kind} of attempt {entry.attempt} was recorded")
            state = kind
    return state


def ending(sends: bool, then: Callable[[], BaseException] | None) -> Callable[[World, Any], str]:
    """Return a way of a handler's end: whether it has its effect, and what it raises then."""

    def end(world: World, attempt: rml.Attempt) -> str:
        value = ""
        if sends:
            value = world.provider.carry_out(attempt)
            world.take_long(f"attempt {attempt.attempt} took effect")
        if then is not None:
            raise then()
        return value

    return end


def refused(world: World, attempt: rml.Attempt) -> str:
    """Be refused for certain, unless the provider knows better."""
    return world.provider.carry_out(attempt, refuse=True)


SETTLED: Final = frozenset(
    rml.EffectState(state) for state in ("done", "retrying", "failed", "history")
)
START_COMPENSATION: Final = rml.Action.START_COMPENSATION
ENDS: Final[dict[str, Callable[[World, Any], str]]] = {
    "returns": ending(sends=True, then=None),
    "is refused": refused,
    "is interrupted after it": ending(sends=True, then=KeyboardInterrupt),
    "loses the answer": ending(sends=True, then=lambda: TimeoutError("lost")),
    "loses the request": ending(sends=False, then=lambda: TimeoutError("lost")),
    "cannot connect": ending(sends=False, then=lambda: ConnectionRefusedError("nobody there")),
    "may be retried after it": ending(sends=True, then=lambda: rml.DialogError("again")),
    "may be retried": ending(sends=False, then=lambda: rml.DialogError("again")),
    "never left the room": ending(sends=False, then=lambda: rml.ClosedError("no")),
    "fails after it": ending(sends=True, then=lambda: rml.DialogError("late", happened=True)),
    "becomes history": ending(sends=True, then=lambda: rml.HistoryError("h", code="MOVED")),
    "compensates": ending(
        sends=False,
        then=lambda: rml.DialogError("no", code="SOLD_OUT", action=START_COMPENSATION),
    ),
}

_worlds: list[World] = []  # the one that is running: handlers and reconcilers are defined once


def handling_in(world: World) -> None:
    """Have handlers and reconcilers act in a world from now on."""
    _worlds[:] = [world]


def _answer(effect: rml.Effect) -> rml.Finding:
    return _worlds[0].answer(effect)


def _handler(name: str, *, declared: bool) -> Callable[[str], Any]:
    @rml.idempotent(
        name, key="key", provider_idempotent=declared, reconcile=_answer, lease=LEASE_SECONDS
    )
    def handle(key: str) -> str:
        return _worlds[0].handle(key)

    return handle


HANDLERS: Final = {
    declared: _handler(name, declared=declared)
    for name, declared in zip(OPERATIONS, (False, True), strict=True)
}

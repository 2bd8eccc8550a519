"""What the tests of sagas share: a trip of three steps, and a provider that counts effects."""

import asyncio
import inspect
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import rml

STEPS = ("flight.book", "hotel.book", "card.charge")
UNDOING = {"flight.book": "flight.cancel", "hotel.book": "hotel.cancel", "card.charge": "card.back"}


class Declined(rml.DialogError):
    """The card was declined."""

    code = "TEST_DECLINED"
    action = rml.Action.START_COMPENSATION
    happened = False


class Busy(rml.DialogError):
    """The provider is busy, and did nothing."""

    code = "TEST_BUSY"
    happened = False


class Provider:
    """The other side: it does a thing once for a key, and says so when it is asked again.

    What a call is to end with can be written down beforehand, by operation: an error to raise
    before the effect or after it. ``watch`` is called around each effect.
    """

    def __init__(self) -> None:
        self.done: dict[str, str] = {}
        self.attempts: list[rml.Attempt] = []
        self.before: dict[str, list[BaseException]] = defaultdict(list)
        self.after: dict[str, list[BaseException]] = defaultdict(list)
        self.watch: Callable[[str], None] = lambda _: None

    def perform(self, operation: str) -> str:
        """Do a thing for the running attempt."""
        attempt = rml.current_effect()
        key = attempt.provider_key
        self.watch(f"before {operation}")
        if self.before[operation]:
            raise self.before[operation].pop(0)
        if key not in self.done:
            self.done[key] = f"{operation} {len(self.done)}"
            self.attempts.append(attempt)
        self.watch(f"after {operation}")
        if self.after[operation]:
            raise self.after[operation].pop(0)
        return self.done[key]

    def ask(self, effect: rml.Effect) -> rml.Finding:
        """Reconcile by what really happened."""
        if effect.provider_key in self.done:
            return rml.Finding(True, self.done[effect.provider_key], "in its books")
        return rml.Finding(False, evidence="not in its books, and the key was cancelled there")

    @property
    def log(self) -> list[str]:
        """What was done, in order."""
        return [attempt.operation for attempt in self.attempts]

    @property
    def counts(self) -> Counter[str]:
        """How often each thing was done."""
        return Counter(self.log)


class Trip:
    """The saga ``trip.book`` of three steps, each with what undoes it; and a fourth without.

    It keeps what the compensators were given. With ``is_async`` all of it is ``async def``;
    with ``is_mixed`` the compensators are what the rest is not.
    """

    def __init__(self, *, is_async: bool = False, is_mixed: bool = False, **options: Any) -> None:
        self.provider = Provider()
        self.given: list[rml.Effect] = []
        self.fails_with: list[BaseException] = []
        self.runs = 0
        declared = options.pop("provider_idempotent", ())
        bounds = options.pop("bounds", {})
        handlers = [self.step(name, name in declared, is_async=is_async) for name in STEPS]
        back = is_async != is_mixed
        undoing = [self.undo(UNDOING[name], bounds, is_async=back) for name in STEPS]
        mail = self.step("mail.send", declared=True, is_async=is_async)

        def body(trip_id: str, amount: int = 5) -> list[Any]:
            self.runs += 1
            values = [handler(trip_id, amount) for handler in handlers]
            if self.fails_with:
                raise self.fails_with.pop(0)
            return [*values, mail(trip_id, amount)]

        async def body_async(trip_id: str, amount: int = 5) -> list[Any]:
            self.runs += 1
            values = [await handler(trip_id, amount) for handler in handlers]
            if self.fails_with:
                raise self.fails_with.pop(0)
            return [*values, await mail(trip_id, amount)]

        protect = rml.saga(
            "trip.book",
            key="trip_id",
            steps={**dict(zip(handlers, undoing, strict=True)), mail: None},
            **options,
        )
        self.saga: Any = protect(body_async if is_async else body)

    def step(self, name: str, declared: bool, *, is_async: bool) -> Any:
        """Return a protected handler."""

        def handler(trip_id: str, amount: int) -> str:
            return self.provider.perform(name)

        async def handler_async(trip_id: str, amount: int) -> str:
            return self.provider.perform(name)

        return rml.idempotent(
            name, key="trip_id", provider_idempotent=declared, reconcile=self.provider.ask
        )(handler_async if is_async else handler)

    def undo(self, name: str, bounds: dict[str, Any], *, is_async: bool) -> Any:
        """Return a compensator."""

        def undo(step: rml.Effect) -> str:
            self.given.append(step)
            return self.provider.perform(name)

        async def undo_async(step: rml.Effect) -> str:
            return undo(step)

        return rml.compensator(name, reconcile=self.provider.ask, **bounds)(
            undo_async if is_async else undo
        )

    def __call__(self, trip_id: str = "t-1", amount: int = 5) -> Any:
        """Call the saga, whatever its face."""
        value = self.saga(trip_id, amount)
        return asyncio.run(value) if inspect.iscoroutine(value) else value

    def fail(self, kind: type[BaseException], trip_id: str = "t-1") -> Any:
        """Call, and return the error."""
        try:
            value = self(trip_id)
        except kind as error:
            return error
        raise AssertionError(f"it returned {value!r}")


def the_saga(ledger: rml.Ledger, trip_id: str = "t-1") -> rml.Saga:
    """Return where a trip's saga stands."""
    from rml.effect.saga_state import fold_saga

    (started,) = [e for e in ledger.entries(kind="saga.started") if e.key == trip_id]
    saga = fold_saga(list(ledger.entries(effect=started.effect)), ledger.look)
    assert saga is not None
    return saga

"""Calling again: what asks for it, and nothing that could repeat an effect or hide history."""

import asyncio
import functools
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
import stamina
from hypothesis import given
from hypothesis import strategies as st
from protected import Charges, doubtful, kinds, the_effect
from retried import Busy, Lost, without_waiting
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

import rml
from rml.effect.retry import is_retryable


class SoldOut(rml.DialogError):
    """There is none left."""

    code = "TEST_SOLD_OUT"
    action = rml.Action.START_COMPENSATION
    happened = False


class Charged(rml.DialogError):
    """It was charged, but no receipt was printed."""

    code = "TEST_CHARGED"
    happened = True


class Doubled(rml.HistoryError):
    """It was charged twice."""

    code = "TEST_DOUBLED"


@pytest.fixture(autouse=True)
def _without_waiting() -> Iterator[None]:
    """Let attempts follow each other at once."""
    with without_waiting():
        yield


def wrapping(inner: BaseException) -> rml.RmlError:
    """Return an error that asks for a retry and was raised from another."""
    try:
        raise Busy from inner
    except Busy as error:
        return error


# ----------------------------------------------------------------------------- what is called again


def test_what_asks_for_it_is_called_again(ledger: rml.Ledger) -> None:
    """Until it succeeds; every attempt stays in the ledger."""
    charges = Charges(Busy(), Busy(), "charged")

    assert "charged" == rml.retry()(charges.charge)("pay-1")

    assert ["effect.intent", "effect.not_done"] * 2 + ["effect.intent", "effect.done"] == kinds(
        ledger
    )
    assert 3 == the_effect(ledger).attempt


def test_what_the_provider_recognises_is_sent_again_under_its_key(ledger: rml.Ledger) -> None:
    """An unknown end is repeated only where the other side was declared to keep keys."""
    charges = Charges(Lost(), "charged", provider_idempotent=True)

    assert "charged" == rml.retry()(charges.charge)("pay-1")

    assert 1 == len({attempt.provider_key for attempt in charges.attempts})


def test_after_all_attempts_the_last_error_passes(ledger: rml.Ledger) -> None:
    """As it was raised, and without another call."""
    last = Busy("the third")
    charges = Charges(Busy(), Busy(), last, "never")

    with pytest.raises(Busy) as caught:
        rml.retry(attempts=3)(charges.charge)("pay-1")

    assert last is caught.value
    assert 3 == charges.count


INTERRUPTED = KeyboardInterrupt()
NOT_AGAIN: dict[str, BaseException] = {
    "RML1": rml.ClosedError("no"),
    "compensation": SoldOut(),
    "RML3": Doubled(),
    "what wraps RML3": wrapping(Doubled()),
    "a stranger's": ValueError("what?"),
    "a stranger's that certainly did nothing": ConnectionRefusedError(),
    "a stranger's around ours": ExceptionGroup("two", [Busy(), Busy()]),
    "what happened": Charged(),
    "an interrupt": INTERRUPTED,
}


@pytest.mark.parametrize("name", NOT_AGAIN)
def test_everything_else_passes_at_once(ledger: rml.Ledger, name: str) -> None:
    """From a protected handler and from one that only reads: one call, the same exception."""
    error = NOT_AGAIN[name]
    charges = Charges(error, "never")
    reads = []

    @rml.retry(effect=False)
    def read() -> None:
        reads.append(1)
        raise error

    for call in (rml.retry()(charges.charge), lambda _: read()):
        with pytest.raises(type(error)) as caught:
            call("pay-1")
        assert error is caught.value
    assert (1, [1]) == (charges.count, reads)
    assert not is_retryable(error)


def test_a_call_in_flight_is_asked_for_again(ledger: rml.Ledger) -> None:
    """Its refusal asks for a retry, and is passed on when all attempts have met it."""
    answers: list[str] = []
    inner: list[Callable[..., Any]] = []

    @rml.idempotent("payment.outer", key="key")
    def outer(key: str) -> str:
        with pytest.raises(rml.InFlightError):
            rml.retry(attempts=2, timeout=None)(inner[0])("k")
        answers.append("refused")
        return "done"

    inner.append(outer)

    assert "done" == outer("k")
    assert ["refused"] == answers


def test_what_was_certain_at_the_first_attempt_stays_certain(ledger: rml.Ledger) -> None:
    """The machinery of retries in the traceback does not make one attempt look like several."""
    with pytest.raises(SoldOut) as caught:
        rml.retry()(Charges(SoldOut()).charge)("pay-1")

    assert caught.value.happened is False


ERRORS: dict[str, type[Exception]] = {
    "busy": Busy,
    "lost": Lost,
    "sold out": SoldOut,
    "doubled": Doubled,
    "timeout": TimeoutError,
}


@given(
    ends=st.lists(st.sampled_from([*ERRORS, "ok"])),
    declared=st.booleans(),
)
def test_no_attempt_follows_what_forbids_one(ends: list[str], declared: bool) -> None:
    """Whatever comes in whatever order: the handler runs again only after what permits it."""
    script = [ERRORS[end]() if end in ERRORS else end for end in ends]
    repeatable = {"busy", "lost"} if declared else {"busy"}
    expected = next((n for n, end in enumerate(ends, 1) if end not in repeatable), len(ends) + 1)
    with rml.Ledger("memory:", clock=rml.FrozenClock()) as ledger, rml.use(ledger=ledger):
        charges = Charges(*script, provider_idempotent=declared)
        with suppress(rml.RmlError, TimeoutError):
            rml.retry(attempts=6)(charges.charge)("pay-1")

    assert min(expected, 6) == charges.count


# ---------------------------------------------------------------------------------------- the doubt


def test_a_doubt_ends_the_retries_at_once(ledger: rml.Ledger) -> None:
    """The handler is not called again, and the caller is told of the doubt, not to try again."""
    lost = Lost()
    charges = Charges(lost, "never")

    with pytest.raises(rml.InDoubtError) as caught:
        rml.retry()(charges.charge)("pay-1")

    assert 1 == charges.count
    assert lost is caught.value.__cause__
    assert ["pay-1"] == doubtful(ledger)
    assert the_effect(ledger).incident == caught.value.details["incident"]


def test_an_older_doubt_refuses_without_a_retry(ledger: rml.Ledger) -> None:
    """RML3, so nothing is repeated, and the handler is not called."""
    charges = Charges(TimeoutError())
    charges.fail(TimeoutError)

    with pytest.raises(rml.InDoubtError):
        rml.retry()(charges.charge)("pay-1")

    assert 1 == charges.count


def test_a_doubt_inside_a_block_ends_it(ledger: rml.Ledger) -> None:
    """Also where the retry does not know which handler was called."""
    charges = Charges(Lost(), "never")

    def in_a_block() -> None:
        for attempt in rml.retry(effect=False):
            with attempt:
                charges("pay-1")

    with pytest.raises(rml.InDoubtError):
        in_a_block()
    assert 1 == charges.count


# ------------------------------------------------------------------------------------- how it waits


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Note the waits instead of waiting, and let the clock say that they have passed."""
    noted: list[float] = []
    monotonic = time.monotonic
    monkeypatch.setattr(time, "sleep", noted.append)
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + sum(noted))
    with stamina.set_testing(False):
        yield noted


def test_the_error_says_when_to_come_back(ledger: rml.Ledger, waits: list[float]) -> None:
    """`retry_after` is waited for exactly, also where it is longer than our own longest wait."""
    charges = Charges(Busy(retry_after=7.5), Busy(retry_after=0), Busy(), "charged")

    rml.retry(wait_initial=0.25, wait_jitter=0)(charges.charge)("pay-1")

    assert [7.5, 0.0, 1.0] == waits


def test_what_is_wanted_after_the_timeout_is_not_waited_for(
    ledger: rml.Ledger, waits: list[float]
) -> None:
    """An earlier call is not wanted, and a later one is nobody's: so the error passes now."""
    charges = Charges(Busy(retry_after=6), Busy(retry_after=6), "never")

    with pytest.raises(Busy):
        rml.retry(timeout=timedelta(seconds=10))(charges.charge)("pay-1")

    assert [6.0] == waits
    assert 2 == charges.count


def test_waits_double_up_to_the_longest(ledger: rml.Ledger, waits: list[float]) -> None:
    """From `wait_initial` to `wait_max`."""
    charges = Charges(*[Busy() for _ in range(5)])

    with pytest.raises(Busy):
        rml.retry(attempts=5, wait_initial=1, wait_max=3, wait_jitter=0)(charges.charge)("pay-1")

    assert [1.0, 2.0, 3.0, 3.0] == waits


def test_the_timeout_ends_the_attempts(ledger: rml.Ledger, waits: list[float]) -> None:
    """However many are left."""
    charges = Charges(*[Busy() for _ in range(9)])

    with pytest.raises(Busy):
        rml.retry(attempts=None, timeout=4, wait_initial=2, wait_max=2, wait_jitter=0)(
            charges.charge
        )("pay-1")

    assert 3 == charges.count


def test_hooks_are_told_the_name_and_no_arguments(ledger: rml.Ledger) -> None:
    """What stamina logs of a retry is which function, and not whose card."""
    told: list[RetryDetails] = []
    set_on_retry_hooks([told.append])

    @rml.retry()
    @rml.idempotent("payment.told", key="card")
    def told_of(card: str, *, holder: str) -> str:
        if not told:
            raise Busy
        return holder

    assert "Ada" == told_of("4242", holder="Ada")
    (details,) = told
    assert details.name.endswith("told_of")
    assert ((), {}) == (details.args, details.kwargs)


# --------------------------------------------------------------------------- what is refused at all


def plain() -> None:
    """Have an effect, for all anybody knows."""


def gives() -> Iterator[int]:
    """Give items."""
    yield 1


async def gives_async() -> Any:
    """Give items."""
    yield 1


@pytest.mark.parametrize(
    ("decorated", "reason"),
    [
        (plain, "no idempotency key"),
        (gives, "yields"),
        (gives_async, "yields"),
        (Charges, "must decorate a function"),
        (5, "must decorate a function"),
        (rml.retry(effect=False)(plain), "retried already"),
    ],
    ids=["plain", "generator", "async generator", "class", "no function", "twice"],
)
def test_what_could_repeat_an_effect_is_refused_where_it_is_defined(
    decorated: Any, reason: str
) -> None:
    """Nothing is called; the message says the ways out."""
    with pytest.raises(rml.DefinitionError, match=reason):
        rml.retry()(decorated)


def test_a_retry_inside_a_protected_handler_is_refused() -> None:
    """In that order it would repeat the effect under one intent."""
    with pytest.raises(rml.DefinitionError, match=r"write @rml\.retry above"):

        @rml.idempotent("payment.inside", key="key", provider_idempotent=True)
        @rml.retry(effect=False)
        def inside(key: str) -> None: ...


def test_a_block_must_say_that_it_has_no_effect() -> None:
    """It cannot be looked into."""

    async def around() -> None:
        async for _ in rml.retry():
            pytest.fail("it was entered")

    with pytest.raises(rml.DefinitionError, match="block"):
        next(iter(rml.retry()))
    with pytest.raises(rml.DefinitionError, match="block"):
        asyncio.run(around())


@pytest.mark.parametrize(
    "options",
    [
        {"attempts": None, "timeout": None},
        {"attempts": 0},
        {"attempts": True},
        {"timeout": 0},
        {"timeout": float("nan")},
        {"wait_max": -1},
        {"wait_initial": "1"},
        {"effect": None},
    ],
    ids=str,
)
def test_bounds_that_are_none_are_refused(options: dict[str, Any]) -> None:
    """Without an end, or out of range."""
    with pytest.raises(rml.DefinitionError):
        rml.retry(**options)


def test_decorators_in_between_are_looked_through(ledger: rml.Ledger) -> None:
    """A boundary, or anybody's decorator that keeps the function's attributes."""
    charges = Charges(Busy(), "charged")

    @functools.wraps(charges.charge)
    def logged(*args: Any) -> Any:
        return charges.charge(*args)

    assert "charged" == rml.retry()(rml.boundary("checkout")(logged))("pay-1")


def test_methods_are_retried_too(ledger: rml.Ledger) -> None:
    """`self` is passed on."""

    class Till:
        calls = 0

        @rml.retry()
        @rml.idempotent("payment.till", key="key")
        def charge(self, key: str) -> str:
            self.calls += 1
            if self.calls == 1:
                raise Busy
            return f"{key} charged"

    assert "pay-1 charged" == Till().charge("pay-1")


# ---------------------------------------------------------------------------------- the other faces


def test_async_def_is_retried(ledger: rml.Ledger) -> None:
    """With the same rules."""
    ends: list[Any] = [Busy(), Lost(), "never"]

    @rml.retry()
    @rml.idempotent("payment.async", key="key")
    async def charge(key: str) -> Any:
        end = ends.pop(0)
        if isinstance(end, BaseException):
            raise end
        return end

    with pytest.raises(rml.InDoubtError):
        asyncio.run(charge("pay-1"))
    assert ["never"] == ends


def test_blocks_that_only_read_are_retried(ledger: rml.Ledger) -> None:
    """In `def` and in `async def`."""
    ends: list[Any] = [Busy(), "read", Busy(), "read"]

    def read() -> Any:
        end = ends.pop(0)
        if isinstance(end, BaseException):
            raise end
        return end

    async def around() -> Any:
        async for attempt in rml.retry(effect=False):
            with attempt:
                return read()
        return None

    for attempt in rml.retry(effect=False):
        with attempt:
            assert "read" == read()
    assert "read" == asyncio.run(around())
    assert [] == ends


def test_without_the_extra_the_command_is_named() -> None:
    """At the definition, before anything is called."""
    code = """
import sys
sys.modules["stamina"] = None
import rml
try:
    rml.retry()
except ImportError as error:
    assert isinstance(error, rml.MissingExtraError)
    print(error.message)
"""
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )

    assert "pip install 'rml[retry]'" in finished.stdout

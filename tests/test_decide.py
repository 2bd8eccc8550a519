"""The table of what a call may do and of what a handler's end means: every row, without any I/O."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

import rml
from rml.effect.decide import (
    DONE,
    IN_DOUBT,
    Doubt,
    Ending,
    Refuse,
    Replay,
    Run,
    Wait,
    decide,
    ending_of,
    in_doubt_error,
    summary_of,
)
from rml.effect.request import Request, request
from rml.effect.state import Effect, EffectState
from rml.verdict import register_verdict

NOW = datetime(2026, 11, 20, 19, tzinfo=UTC)
STATES = list(EffectState)


def asked(**arguments: object) -> Request:
    """Return a request for payment.charge, key pay-1."""
    return request("payment.charge", None, "pay-1", {"payment_id": "pay-1", **arguments})


def an_effect(state: EffectState = EffectState.DONE, **changes: Any) -> Effect:
    """Return the effect of ``asked(amount=5)`` in a state."""
    fields: dict[str, Any] = {
        "id": asked().effect,
        "operation": "payment.charge",
        "scope": None,
        "key": "pay-1",
        "state": state,
        "attempt": 3,
        "generation": 2,
        "world": rml.World.RML3,
        "started_at": NOW - timedelta(seconds=10),
        "recorded_at": NOW - timedelta(seconds=10),
        "facts": {},
        "request": asked(amount=5).fingerprint("salt"),
    }
    return Effect(**(fields | changes))


def refused(effect: Effect, call: Request | None = None) -> rml.RmlError:
    """Return the error with which a call is refused."""
    decision = decide(effect, call or asked(amount=5), NOW)
    assert isinstance(decision, Refuse)
    return decision.error


# What a call may do ----------------------------------------------------------------------------


def test_a_key_that_nobody_used_runs() -> None:
    """The first attempt, with the first of the provider's keys."""
    assert Run(attempt=1, generation=1) == decide(None, asked(amount=5), NOW)


@pytest.mark.parametrize("state", [EffectState.NOT_DONE, EffectState.RETRYING])
def test_what_certainly_did_not_happen_or_may_be_repeated_runs_again(state: EffectState) -> None:
    """The next attempt, with the generation that the last outcome left."""
    assert Run(attempt=4, generation=2) == decide(an_effect(state), asked(amount=5), NOW)


def test_what_is_done_is_replayed() -> None:
    """The recorded value, whatever it is, and be it None."""
    effect = an_effect(replay=True, result={"charge": "ch_1"})

    assert Replay({"charge": "ch_1"}) == decide(effect, asked(amount=5), NOW)
    assert Replay(None) == decide(an_effect(replay=True), asked(amount=5), NOW)


def test_what_is_done_and_cannot_be_given_again_is_refused() -> None:
    """Never a reason to run it a second time; the error says that it happened, and why."""
    error = refused(an_effect(replay=False, why_not="its result has been erased"))

    assert isinstance(error, rml.ResultUnavailableError)
    assert error.happened is True
    assert "its result has been erased" in error.message


def test_what_is_in_flight_is_waited_for() -> None:
    """A waiter learns how long the lease lasts, a refused caller when to come back."""
    until = NOW + timedelta(seconds=30)
    decision = decide(an_effect(EffectState.IN_FLIGHT, lease_until=until), asked(amount=5), NOW)

    assert isinstance(decision, Wait)
    assert until == decision.until
    assert isinstance(decision.error, rml.InFlightError)
    assert decision.error.retry_after == 30.0
    assert decision.error.happened is False
    assert "2026-11-20T19:00:30.000000Z" in decision.error.message


def test_a_lost_lease_is_doubted() -> None:
    """The doubt is still to be recorded."""
    effect = an_effect(EffectState.IN_DOUBT, doubted=False)

    assert Doubt(effect) == decide(effect, asked(amount=5), NOW)


def test_a_recorded_doubt_is_refused() -> None:
    """The error names the incident and both ways out."""
    error = refused(an_effect(EffectState.IN_DOUBT, doubted=True, incident="INC-2026-0001"))

    assert isinstance(error, rml.InDoubtError)
    assert error.world is rml.World.RML3
    assert error.action is rml.Action.ESCALATE_HISTORY
    assert error.happened is None
    assert error.details["incident"] == "INC-2026-0001"
    assert "reconcile it, or decide with ledger.resolve" in error.message


@pytest.mark.parametrize("state", [EffectState.FAILED, EffectState.HISTORY])
def test_a_final_failure_is_the_same_failure_again(state: EffectState) -> None:
    """The error is rebuilt with its code, message, world, action and details."""
    before = rml.DialogError(
        "no funds", code="NO_FUNDS", action=rml.Action.START_COMPENSATION, details={"left": 3}
    )
    error = refused(an_effect(state, failure=before.to_dict()))

    assert before.to_dict() == error.to_dict()


def test_a_failure_whose_text_was_erased_still_fails() -> None:
    """What remains in clear is named."""
    error = refused(an_effect(EffectState.FAILED, error={"type": "X", "code": "NO_FUNDS"}))

    assert isinstance(error, rml.EffectFailedError)
    assert "NO_FUNDS; its text has been erased" in error.message
    assert error.action is rml.Action.START_COMPENSATION


def test_an_erased_failure_of_history_stays_history() -> None:
    """Erasing a text narrows no world."""
    error = refused(an_effect(EffectState.HISTORY, error={"type": "X", "code": "LOST"}))

    assert error.world is rml.World.RML3
    assert error.action is rml.Action.ESCALATE_HISTORY


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("doubted", [False, True])
def test_the_fingerprint_is_compared_before_anything_is_said(
    state: EffectState, doubted: bool
) -> None:
    """Another request under the same key is a mismatch in every state, in flight included."""
    error = refused(
        an_effect(state, doubted=doubted, replay=True, lease_until=NOW), asked(amount=6)
    )

    assert isinstance(error, rml.FingerprintMismatchError)
    assert error.world is rml.World.RML1
    assert error.happened is False
    assert state.value in error.message


@pytest.mark.parametrize("state", STATES)
def test_an_erased_request_can_be_compared_with_nothing(state: EffectState) -> None:
    """Neither run nor replayed, whatever the state."""
    error = refused(an_effect(state, request=None, replay=True))

    assert isinstance(error, rml.ResultUnavailableError)
    assert error.happened is None
    assert "erased" in error.message


def test_refusals_name_effect_operation_and_key() -> None:
    """Machines find them in the details."""
    error = in_doubt_error(an_effect(EffectState.IN_DOUBT))

    named = {"effect": asked().effect, "operation": "payment.charge", "key": "pay-1"}
    assert {**named, "version": 1} == dict(error.details)


# What a handler's end means --------------------------------------------------------------------

NOT_DONE = Ending("effect.not_done")
NOT_DONE_NEW_KEY = Ending("effect.not_done", new_key=True)
RETRYING = Ending("effect.retrying")
FAILED = Ending("effect.failed")
HISTORY = Ending("effect.history", escalates=True)
GRAY_HISTORY = Ending("effect.history", escalates=True, gray=True)
COMPENSATE = rml.Action.START_COMPENSATION


@pytest.mark.parametrize("declared", [False, True])
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (rml.ClosedError("no"), NOT_DONE),
        (rml.ClosedError("no", action=rml.Action.RETRY_WITH_BACKOFF), NOT_DONE),
        (rml.ClosedError("no", happened=True), DONE),
        (rml.ClosedError("no", happened=None), IN_DOUBT),
        (rml.DialogError("no", happened=False), NOT_DONE_NEW_KEY),
        (rml.DialogError("no", happened=True), DONE),
        (rml.DialogError("no", action=COMPENSATE), FAILED),
        (rml.DialogError("no", action=COMPENSATE, happened=False), FAILED),
        (rml.DialogError("no", action=COMPENSATE, happened=True), DONE),
        (rml.HistoryError("no"), GRAY_HISTORY),
        (rml.HistoryError("no", happened=True), HISTORY),
        (rml.HistoryError("no", happened=False), HISTORY),
        (rml.RmlError("of no stated world"), GRAY_HISTORY),
        (TimeoutError("lost"), IN_DOUBT),
        (ValueError("a bug"), IN_DOUBT),
        (ConnectionResetError("reset"), IN_DOUBT),
        (ConnectionRefusedError("refused"), NOT_DONE),
        (ExceptionGroup("several", [ValueError("a bug")]), IN_DOUBT),
        (StopIteration(), IN_DOUBT),
        (KeyboardInterrupt(), IN_DOUBT),
        (SystemExit(0), IN_DOUBT),
        (GeneratorExit(), IN_DOUBT),
        (asyncio.CancelledError(), IN_DOUBT),
        (BaseExceptionGroup("several", [KeyboardInterrupt()]), IN_DOUBT),
    ],
    ids=lambda value: f"{value!r}"[:40] if isinstance(value, BaseException) else None,
)
def test_the_rows_that_do_not_depend_on_the_provider(
    error: BaseException, expected: Ending, declared: bool
) -> None:
    """What the provider promises about keys changes none of these."""
    assert expected == ending_of(error, provider_idempotent=declared)


@pytest.mark.parametrize(("declared", "expected"), [(True, RETRYING), (False, IN_DOUBT)])
def test_a_retry_of_what_may_have_happened(declared: bool, expected: Ending) -> None:
    """Allowed where the provider recognises its key; everywhere else it is doubt."""
    error = rml.DialogError("lost", action=rml.Action.RETRY_WITH_BACKOFF)

    assert expected == ending_of(error, provider_idempotent=declared)


def test_doubt_escalates_as_gray() -> None:
    """Gray is treated as RML3 until somebody scopes it down."""
    assert Ending("effect.in_doubt", escalates=True, gray=True) == IN_DOUBT


def test_a_dialog_error_that_wraps_history_is_history() -> None:
    """The widest world wins, also over the action."""
    error = rml.DialogError("try again", happened=False)
    error.__cause__ = rml.HistoryError("money moved", happened=True)

    assert HISTORY == ending_of(error, provider_idempotent=True)


class _LyingError(RuntimeError):
    """A client's error with a verdict of its own."""


@pytest.mark.parametrize(
    ("verdict", "expected"), [(True, DONE), (False, NOT_DONE_NEW_KEY), (None, IN_DOUBT)]
)
def test_a_registered_verdict_counts(
    verdict: bool | None, expected: Ending, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a user registers for a client's error decides its row."""
    monkeypatch.setattr("rml.judgement._own_rules", {})
    register_verdict(_LyingError, verdict)

    assert expected == ending_of(_LyingError(), provider_idempotent=False)


def test_a_verdict_that_raises_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unknown is the default."""
    monkeypatch.setattr("rml.judgement._own_rules", {})

    def rule(error: object) -> bool:
        raise ZeroDivisionError

    register_verdict(_LyingError, rule)

    assert IN_DOUBT == ending_of(_LyingError(), provider_idempotent=False)


@pytest.mark.parametrize(
    "error",
    [
        rml.LedgerBusyError(),
        rml.LedgerUnavailableError(),
        rml.InFlightError(),
        rml.FingerprintMismatchError(),
        rml.KeyMissingError(),
        rml.InvalidInputError("wrong"),
        rml.CorrectionTargetError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_the_library_refuses_inside_a_handler_says_nothing_of_the_handlers_effect(
    error: rml.RmlError,
) -> None:
    """A ledger that is busy when a handler notes what it has charged does not undo the charge."""
    assert IN_DOUBT == ending_of(error, provider_idempotent=False)


# What is told in clear -------------------------------------------------------------------------


def test_a_strangers_text_is_never_in_the_summary() -> None:
    """Only the kind of a foreign exception is recorded in clear."""
    assert {"type": "ValueError"} == summary_of(ValueError("card 4242"))


def test_our_own_errors_are_summed_up_by_their_tags() -> None:
    """Kind and code, no message and no details."""
    error = rml.DialogError("card 4242", code="DECLINED", details={"card": 4242})

    assert {
        "type": "rml.error.DialogError",
        "code": "DECLINED",
        "world": "RML2",
        "action": "retry-with-backoff",
        "severity": "error",
    } == summary_of(error)


def test_decisions_are_values() -> None:
    """They compare by content and cannot be changed."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Run(1, 1).attempt = 2  # type: ignore[misc]

"""A ledger that fails before an effect stops it; one that fails after it leaves doubt."""

import logging
from pathlib import Path
from typing import Any

import pytest
from protected import Charges, doubtful

import rml

FAILED = rml.DialogError("no", action=rml.Action.START_COMPENSATION)


class Fault:
    """A store whose commits fail from a given one on."""

    def __init__(self, ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
        self.error: BaseException | None = None
        self.after = 0
        store: Any = ledger._store
        write = store.write

        def broken(*args: Any, **kwargs: Any) -> Any:
            self.after -= 1
            if self.error is not None and self.after < 0:
                raise self.error
            return write(*args, **kwargs)

        monkeypatch.setattr(store, "write", broken)


def test_without_a_ledger_nothing_runs() -> None:
    """The intent could not be recorded."""
    charges = Charges()

    charges.fail(rml.NoLedgerError)

    assert charges.count == 0


def test_a_closed_ledger_runs_nothing(tmp_path: Path) -> None:
    """Unavailable before the intent: certainly not done."""
    ledger = rml.Ledger(tmp_path / "ledger.db")
    ledger.close()
    charges = Charges(ledger=ledger)

    assert charges.fail(rml.LedgerUnavailableError).happened is False
    assert charges.count == 0


@pytest.mark.parametrize(
    "error", [rml.LedgerUnavailableError(), rml.LedgerBusyError(), rml.AppendUnknownError()]
)
def test_an_intent_that_fails_runs_nothing(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch, error: rml.RmlError
) -> None:
    """The handler is not called, the caller sees why; when the store is back, all is as before."""
    fault = Fault(ledger, monkeypatch)
    fault.error = error
    charges = Charges("value")

    assert charges.fail(type(error)) is error
    assert charges.count == 0
    fault.error = None
    assert charges() == "value"


def test_an_outcome_that_cannot_be_recorded_becomes_doubt(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch, clock: rml.FrozenClock
) -> None:
    """The caller is told that it happened; all others that it is in flight, later in doubt."""
    fault = Fault(ledger, monkeypatch)
    fault.error, fault.after = rml.LedgerUnavailableError(), 1
    charges = Charges("value")

    error = charges.fail(rml.OutcomeNotRecordedError)
    assert error.happened is True
    assert isinstance(error.__cause__, rml.LedgerUnavailableError)
    fault.error = None
    charges.fail(rml.InFlightError)
    clock.advance(61)
    charges.fail(rml.InDoubtError)
    assert ["pay-1"] == doubtful(ledger)
    assert charges.count == 1


@pytest.mark.parametrize("end", ["value", FAILED], ids=["value", "failure"])
def test_an_outcome_waits_longer_for_a_busy_ledger(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch, end: Any
) -> None:
    """Six times as long as the intent, in proportion to what the ledger was told."""
    waited: list[float] = []
    store: Any = ledger._store
    write = store.write

    def patient(work: Any, *, timeout: float) -> Any:
        waited.append(timeout)
        return write(work, timeout=timeout)

    monkeypatch.setattr(store, "write", patient)
    monkeypatch.setattr(ledger, "timeout", 2.0)
    charges = Charges(end)

    if isinstance(end, BaseException):
        charges.fail(rml.DialogError)
    else:
        charges()

    assert [2.0, 12.0] == waited


def test_a_failure_that_cannot_be_recorded_is_what_the_caller_sees(
    ledger: rml.Ledger,
    monkeypatch: pytest.MonkeyPatch,
    clock: rml.FrozenClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Even an exception that says "not done" becomes doubt when it could not be written down."""
    fault = Fault(ledger, monkeypatch)
    fault.error, fault.after = rml.LedgerUnavailableError(), 1
    end = rml.ClosedError("no")
    charges = Charges(end)

    with caplog.at_level(logging.CRITICAL, logger="rml"):
        assert charges.fail(rml.ClosedError) is end
    assert any("could not be recorded: LedgerUnavailableError" in note for note in end.__notes__)
    fault.error = None
    clock.advance(61)
    charges.fail(rml.InDoubtError)
    assert charges.count == 1


def test_an_interrupt_while_recording_becomes_doubt(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch, clock: rml.FrozenClock
) -> None:
    """Control-C between effect and record: the interrupt goes through, nothing runs again."""
    fault = Fault(ledger, monkeypatch)
    fault.error, fault.after = KeyboardInterrupt(), 1
    charges = Charges("value")

    charges.fail(KeyboardInterrupt)
    fault.error = None
    clock.advance(61)
    charges.fail(rml.InDoubtError)
    assert charges.count == 1

"""Errors of strange make cross a boundary as they are, and the incident is recorded."""

from typing import Any

import pytest
from escalated import incidents, kinds

import rml


class Guarded(rml.HistoryError):
    """Money moved twice."""

    def add_note(self, _: str) -> None:
        """Take no notes."""
        raise RuntimeError("no notes")


class Unreadable(rml.HistoryError):
    """Money moved twice."""

    def __getattr__(self, name: str) -> object:
        raise AttributeError if name.startswith("__") else RuntimeError("no reading")


class Unwritable(rml.HistoryError):
    """Money moved twice."""

    def __setattr__(self, name: str, value: object) -> None:
        if "_built" in vars(self):
            raise RuntimeError("no writing")
        super().__setattr__(name, value)

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self._built = True


class Agreeing(rml.HistoryError):
    """Money moved twice."""

    def __getattr__(self, name: str) -> str:
        if name.startswith("__"):
            raise AttributeError
        return "INC-1999-0001"


@pytest.mark.parametrize("kind", [Guarded, Unreadable, Unwritable, Agreeing])
def test_an_error_of_strange_make_is_not_replaced(
    ledger: rml.Ledger, told: list[rml.Escalation], kind: type[rml.HistoryError]
) -> None:
    """What raises on notes and attributes, or has them all, passes, is recorded once, and told."""
    error = kind("twice")
    with pytest.raises(kind) as caught, rml.boundary("outer"), rml.boundary("inner"):
        raise error

    assert caught.value is error
    assert ["incident.opened", "error.crossed"] == kinds(ledger)
    assert ["INC-2026-0001"] == [escalation.incident for escalation in told]


@pytest.mark.parametrize("kind", [Guarded, Unreadable, Unwritable, Agreeing])
def test_an_error_of_strange_make_behind_another(
    ledger: rml.Ledger, kind: type[rml.HistoryError]
) -> None:
    """What wraps such an error is looked through all the same."""

    @rml.boundary("outer")
    def buy() -> None:
        try:
            with rml.boundary("inner"):
                raise kind("twice")
        except kind as error:
            raise ValueError("wrapped") from error

    with pytest.raises(ValueError, match="wrapped"):
        buy()

    assert ["INC-2026-0001"] == incidents(ledger)
    assert 2 == len(ledger.entries(kind="error.crossed", incident="INC-2026-0001"))


@pytest.mark.parametrize("leaving", [Exception, BaseException])
def test_an_error_that_cannot_be_looked_at_passes(
    ledger: rml.Ledger, leaving: type[BaseException]
) -> None:
    """No reading of any attribute, nor notes: it still is what the caller sees."""

    class Closed(leaving):  # type: ignore[misc, valid-type]
        def __getattribute__(self, name: str) -> object:
            raise RuntimeError("no reading")

    error, unchanged = Closed(), False
    try:
        with rml.boundary("checkout"):
            raise error
    except BaseException as caught:  # noqa: BLE001 - whatever comes out
        unchanged = caught is error

    assert unchanged


def test_an_error_that_takes_no_notes_when_the_ledger_fails(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two things fail at once, and the caller sees what crossed."""

    def full(*_: Any, **__: Any) -> None:
        raise rml.LedgerUnavailableError("the disk is full")

    monkeypatch.setattr(ledger, "write", full)
    with pytest.raises(Guarded), rml.boundary("checkout"):
        raise Guarded

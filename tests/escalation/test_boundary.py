"""What crosses a boundary: history, bugs and errors of the dialog, each recorded once."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from escalated import Charged, Slow, incidents, kinds

import rml
from rml.incident.casebook import Casebook


def test_history_that_crosses_a_boundary_opens_one_incident(ledger: rml.Ledger) -> None:
    """An RML3 error opens an incident, and goes on its way unchanged, with a note of where."""
    error = Charged("pay-42 was charged twice")

    with pytest.raises(Charged) as caught, rml.boundary("checkout"):
        raise error

    assert caught.value is error
    assert ["rml: opened INC-2026-0001"] == error.__notes__
    assert ["incident.opened", "error.crossed"] == kinds(ledger)
    opened, crossed = ledger.entries()
    assert opened.world is rml.World.RML3
    assert "DOUBLE_CHARGE" == opened.facts["code"]
    assert "checkout" == crossed.operation
    assert opened.incident == crossed.incident == "INC-2026-0001"
    assert crossed.facts["bug"] is False


@pytest.mark.parametrize("name", ["wrapped", "context", "hidden", "grouped"])
def test_history_behind_another_error_counts(ledger: rml.Ledger, name: str) -> None:
    """An error that wraps, follows, hides or groups an RML3 error is history too."""

    def wrapped() -> None:
        raise Slow from Charged()

    def context() -> None:
        try:
            raise Charged
        except Charged:
            raise ValueError("while cleaning up")  # noqa: B904 - the context is the point

    def hidden() -> None:
        try:
            raise Charged
        except Charged:
            raise Slow from None

    def grouped() -> None:
        raise ExceptionGroup("both", [ValueError("a"), ExceptionGroup("inner", [Charged()])])

    failing = {"wrapped": wrapped, "context": context, "hidden": hidden, "grouped": grouped}
    with pytest.raises((Slow, ValueError, ExceptionGroup)), rml.boundary("checkout"):
        failing[name]()

    assert ["INC-2026-0001"] == incidents(ledger)


def test_a_group_that_is_no_exception_counts(ledger: rml.Ledger) -> None:
    """An interrupt that arrives together with history does not hide it."""
    group = BaseExceptionGroup("both", [KeyboardInterrupt(), Charged()])

    with pytest.raises(BaseExceptionGroup), rml.boundary("checkout"):
        raise group

    assert ["INC-2026-0001"] == incidents(ledger)


def test_leaving_a_program_on_history_counts(ledger: rml.Ledger) -> None:
    """A program that ends because of an RML3 error has met history."""

    @rml.boundary("nightly")
    def nightly() -> None:
        try:
            raise Charged
        except Charged as error:
            raise SystemExit(1) from error

    with pytest.raises(SystemExit):
        nightly()

    assert ["INC-2026-0001"] == incidents(ledger)


@pytest.mark.parametrize("leaving", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_leaving_a_program_is_no_bug(ledger: rml.Ledger, leaving: type[BaseException]) -> None:
    """Interrupts, exits and cancellations are no news by themselves."""
    with pytest.raises(leaving), rml.boundary("checkout"):
        raise leaving

    assert [] == kinds(ledger)


def test_a_strangers_exception_is_a_bug(ledger: rml.Ledger, told: list[rml.Escalation]) -> None:
    """A bug is recorded, without an incident and without telling anybody; its text is erasable."""
    with pytest.raises(KeyError), rml.boundary("checkout"):
        raise KeyError("ada@example.com")

    (entry,) = ledger.entries()
    assert "error.crossed" == entry.kind
    assert {"boundary": "checkout", "type": "KeyError", "bug": True, "code": None} == entry.facts
    assert {"text": "'ada@example.com'"} == entry.personal["error"]
    assert entry.incident is None
    assert [] == told
    assert 0 == len(Casebook(ledger))


def test_an_error_of_the_dialog_is_no_incident(ledger: rml.Ledger) -> None:
    """RML2 stays in its world: recorded, no bug and no case file."""
    with pytest.raises(Slow), rml.boundary("checkout"):
        raise Slow

    (entry,) = ledger.entries()
    assert (rml.World.RML2, False) == (entry.world, entry.facts["bug"])
    assert [] == incidents(ledger)


def test_a_bug_while_an_effect_has_an_unknown_end_is_gray(ledger: rml.Ledger) -> None:
    """A stranger's exception is more than a bug when an effect began inside and nobody knows."""

    @rml.idempotent("payment.charge", key="key")
    def charge(key: str) -> None:
        raise TimeoutError("read timed out")

    @rml.boundary("checkout")
    def buy() -> None:
        with suppress(TimeoutError):
            charge("pay-42")
        raise ValueError("after the charge")

    with pytest.raises(ValueError, match="after"):
        buy()

    crossed = ledger.entries(kind="error.crossed")[0]
    case = Casebook(ledger)[str(crossed.incident)]
    assert ["in_doubt"] == [effect.state for effect in case.effects]
    assert all(entry.facts["gray"] for entry in ledger.entries(kind="incident.opened"))


@pytest.mark.parametrize("place", ["memory:", "sqlite://:memory:", "file"])
def test_a_boundary_looks_at_effects_in_every_store(place: str, tmp_path: Path) -> None:
    """Looking for effects of unknown end works while the crossing is being recorded."""
    ledger = rml.Ledger(tmp_path / "a.db" if place == "file" else place, timeout=60)

    @rml.idempotent("payment.charge", key="key", ledger=ledger)
    def charge(key: str) -> str:
        return key

    @rml.boundary("checkout", ledger=ledger)
    def buy() -> None:
        charge("pay-42")
        raise ValueError("after the charge")

    with pytest.raises(ValueError, match="after"):
        buy()

    assert 1 == len(ledger.entries(kind="error.crossed", operation="checkout"))
    assert [] == incidents(ledger)
    ledger.close()


def test_an_effect_inside_an_inner_boundary_is_inside_the_outer_one(ledger: rml.Ledger) -> None:
    """The outer boundary knows of effects that began within the inner one."""

    @rml.idempotent("payment.charge", key="key")
    def charge(key: str) -> None:
        raise TimeoutError("read timed out")

    @rml.boundary("outer")
    def buy() -> None:
        with rml.boundary("inner"), suppress(TimeoutError):
            charge("pay-42")
        raise ValueError("after the charge")

    with pytest.raises(ValueError, match="after"):
        buy()

    assert ledger.entries(kind="error.crossed", operation="outer")[0].incident is not None


def test_nothing_crosses_when_nothing_is_raised(ledger: rml.Ledger) -> None:
    """A quiet boundary leaves no trace."""
    with rml.boundary("checkout"):
        pass

    assert [] == kinds(ledger)


def test_one_exception_is_recorded_once(ledger: rml.Ledger, told: list[rml.Escalation]) -> None:
    """Nested boundaries see the same exception, and the innermost records it."""
    with pytest.raises(Charged), rml.boundary("outer"), rml.boundary("inner"):
        raise Charged

    assert ["incident.opened", "error.crossed"] == kinds(ledger)
    assert ["inner"] == [entry.operation for entry in ledger.entries(kind="error.crossed")]
    assert 1 == len(told)


def test_an_error_wrapped_on_its_way_out_stays_one_incident(ledger: rml.Ledger) -> None:
    """What an outer layer wraps is the same problem: it belongs to the same incident."""

    @rml.boundary("outer")
    def buy() -> None:
        try:
            with rml.boundary("inner"):
                raise Charged
        except Charged as error:
            raise Slow from error

    with pytest.raises(Slow):
        buy()

    assert ["INC-2026-0001"] == incidents(ledger)
    crossed = {entry.incident for entry in ledger.entries(kind="error.crossed")}
    assert {"INC-2026-0001"} == crossed


def test_a_group_of_known_errors_is_known(ledger: rml.Ledger) -> None:
    """A group of what is recorded belongs to the incident; a group with news opens its own."""
    known = []
    for _ in range(2):
        error = Charged()
        rml.escalate(error)
        known.append(error)
    for members in (known, [*known, Charged()]):
        with pytest.raises(ExceptionGroup), rml.boundary("checkout"):
            raise ExceptionGroup("all", members)

    assert ["INC-2026-0001", "INC-2026-0002"] == incidents(ledger)


def test_another_history_met_while_handling_one_is_news(ledger: rml.Ledger) -> None:
    """An RML3 error raised during the handling of another, not from it, is a problem of its own."""

    @rml.boundary("outer")
    def pay_out() -> None:
        try:
            with rml.boundary("inner"):
                raise Charged
        except Charged:
            raise rml.HistoryError("paid twice", code="DOUBLE_PAYOUT")  # noqa: B904 - not from it

    with pytest.raises(rml.HistoryError, match="paid twice"):
        pay_out()

    assert ["INC-2026-0001", "INC-2026-0002"] == incidents(ledger)


def test_a_boundary_needs_a_ledger_before_it_is_entered() -> None:
    """A missing configuration is found before anything happens inside."""
    inside = []
    with pytest.raises(rml.NoLedgerError), rml.boundary("checkout"):
        inside.append(1)

    assert [] == inside


@pytest.mark.parametrize("name", ["", None, 7, "a\nb", "x" * 256])
def test_a_boundary_needs_a_name(name: Any) -> None:
    """The name is recorded, so it is text that can be recorded."""
    with pytest.raises(rml.InvalidInputError, match="boundary"):
        rml.boundary(name)


def test_a_ledger_that_fails_does_not_replace_the_error(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a crossing cannot be recorded, callers still see what went wrong, and a note."""

    def full(*_: Any, **__: Any) -> None:
        raise rml.LedgerUnavailableError("the disk is full")

    monkeypatch.setattr(ledger, "write", full)
    error = Charged()
    with pytest.raises(Charged) as caught, rml.boundary("checkout"):
        raise error

    assert caught.value is error
    assert ["rml: crossing the boundary 'checkout' could not be recorded"] == error.__notes__


def test_an_error_that_nobody_can_describe_is_recorded(ledger: rml.Ledger) -> None:
    """Broken ``__str__``, half characters and endless texts stop no escalation."""

    class Broken(Exception):  # noqa: N818
        def __str__(self) -> str:
            raise RuntimeError

    for error in (Broken(), Charged("\ud800 half"), Charged("x" * 100_000), ValueError("\ud800")):
        with pytest.raises(type(error)), rml.boundary("checkout"):
            raise error

    assert 4 == len(ledger.entries(kind="error.crossed"))
    assert ledger.verify().ok

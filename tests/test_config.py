"""Which ledger is meant: the one given, used, configured, or named by the environment."""

import contextvars
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import rml
from rml import (
    InvalidInputError,
    Ledger,
    LedgerUnavailableError,
    NoLedgerError,
    current_ledger,
    surrounded,
)
from rml.config import LEDGER_VARIABLE, current_hooks
from rml.context import Surroundings, carried, surroundings

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A ledger in memory."""
    with Ledger("memory:") as made:
        yield made


@pytest.fixture
def other() -> Iterator[Ledger]:
    """Another one."""
    with Ledger("memory:") as made:
        yield made


def hook(escalation: rml.Escalation) -> None:
    """A hook that does nothing."""


# ----------------------------------------------------------------------------------- the ledger


def test_without_a_ledger_the_way_out_is_named() -> None:
    """Three ways to name one."""
    with pytest.raises(NoLedgerError, match=r"rml\.configure\(ledger=.*ledger=.*RML_LEDGER"):
        current_ledger()


def test_the_nearest_ledger_wins(
    ledger: Ledger, other: Ledger, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Given, then used in the context, then configured, then the environment's."""
    monkeypatch.setenv(LEDGER_VARIABLE, str(tmp_path / "environment.db"))
    found: list[object] = [current_ledger().url]
    rml.configure(ledger=ledger)
    found.append(current_ledger())
    with rml.use(ledger=other) as used:
        found += [used, current_ledger(), current_ledger(ledger)]
    found.append(current_ledger())

    assert [
        f"sqlite:///{tmp_path / 'environment.db'}",
        ledger,
        other,
        other,
        ledger,
        ledger,
    ] == found


def test_the_environment_s_ledger_is_opened_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And again when the variable names another."""
    monkeypatch.setenv(LEDGER_VARIABLE, str(tmp_path / "a.db"))
    first, again = current_ledger(), current_ledger()
    monkeypatch.setenv(LEDGER_VARIABLE, str(tmp_path / "b.db"))

    assert first is again
    assert first.origin != current_ledger().origin


def test_a_used_ledger_ends_with_its_block(ledger: Ledger) -> None:
    """Even when the block fails."""
    with pytest.raises(KeyError), rml.use(ledger=ledger):
        raise KeyError

    with pytest.raises(NoLedgerError):
        current_ledger()


def test_a_used_ledger_stays_in_its_context(ledger: Ledger) -> None:
    """Another task does not see it."""
    elsewhere = contextvars.copy_context()

    with rml.use(ledger=ledger), pytest.raises(NoLedgerError):
        elsewhere.run(current_ledger)


def test_a_path_is_opened_and_a_default_can_be_taken_away(tmp_path: Path) -> None:
    """`None` means no default, and what is not given stays."""
    rml.configure(ledger=tmp_path / "a.db")
    opened = current_ledger()
    rml.configure(hooks=[hook])

    assert (tmp_path / "a.db").exists()
    assert (opened, (hook,)) == (current_ledger(), current_hooks())

    rml.configure(ledger=None, hooks=None, service=None)

    with pytest.raises(NoLedgerError):
        current_ledger()
    assert () == current_hooks()


@pytest.mark.parametrize("wrong", ["payments.db", 5, object()])
def test_only_a_ledger_is_used(wrong: Any) -> None:
    """A path would be opened anew at every call."""
    with pytest.raises(InvalidInputError, match=r"ledger must be an rml\.Ledger, not"):
        rml.use(ledger=wrong).__enter__()
    with pytest.raises(InvalidInputError, match=r"ledger must be an rml\.Ledger, not"):
        current_ledger(wrong)


# ---------------------------------------------------------------------------- service and hooks


def test_the_service_is_recorded_with_every_entry(ledger: Ledger) -> None:
    """Of the configured ledger, until it is taken away."""
    rml.configure(ledger=ledger, service="payments")
    named = ledger.append("a.b", world="RML1")
    rml.configure(service=None)
    unnamed = ledger.append("a.b", world="RML1")

    services = [ledger.entry(receipt.id).service for receipt in (named, unnamed)]
    assert ["payments", None] == services


@pytest.mark.parametrize(
    ("reason", "wrong"),
    [
        ("service must be text, not int", {"service": 5}),
        ("service has 0 characters", {"service": ""}),
        ("service has 256 characters", {"service": "x" * 256}),
        ("hooks must be a list of callables", {"hooks": hook}),
        ("hooks must be a list of callables", {"hooks": [hook, "page-me"]}),
        ("hooks must be a list of callables", {"hooks": "page-me"}),
        ("hooks must be a list of callables", {"hooks": ""}),
        ("hooks must be a list of callables", {"hooks": 5}),
        ("a ledger is named by a path or a URL, not by 5", {"ledger": 5}),
        ("no store knows the scheme 'oracle'", {"ledger": "oracle://x"}),
    ],
)
def test_a_wrong_default_changes_nothing(
    ledger: Ledger, reason: str, wrong: dict[str, Any]
) -> None:
    """All of the call or none of it."""
    rml.configure(ledger=ledger, service="payments", hooks=[hook])

    with pytest.raises(InvalidInputError, match=reason):
        rml.configure(**({"service": "billing", "hooks": []} | wrong))

    assert (ledger, "payments", (hook,)) == (current_ledger(), ledger.service, current_hooks())


def test_a_service_needs_a_ledger(ledger: Ledger) -> None:
    """There is nothing that it would be recorded in."""
    rml.configure(ledger=ledger)

    with pytest.raises(InvalidInputError, match="give a service together with a ledger"):
        rml.configure(ledger=None, service="payments")

    assert ledger is current_ledger()


def test_a_ledger_that_cannot_be_opened_leaves_the_old_one(ledger: Ledger, tmp_path: Path) -> None:
    """A typing error at start-up does not unplug a running process."""
    rml.configure(ledger=ledger)

    with pytest.raises(LedgerUnavailableError, match="does not exist; create it"):
        rml.configure(ledger=tmp_path / "missing" / "a.db", service="payments")

    assert (ledger, None) == (current_ledger(), ledger.service)


# -------------------------------------------------------------------------------- surroundings


def test_entries_are_recorded_with_what_surrounds_them(ledger: Ledger) -> None:
    """Blocks nest, what is not given stays, and what an append says itself wins."""
    with surrounded(actor="ada", correlation="req-9"):
        with surrounded(actor="bob", traceparent=TRACE):
            inner = ledger.append("a.b", world="RML1")
            told = ledger.append("a.b", world="RML1", actor="eve", correlation="req-10")
        outer = ledger.append("a.b", world="RML1")
    after = ledger.append("a.b", world="RML1")

    read = [ledger.entry(receipt.id) for receipt in (inner, told, outer, after)]
    assert [
        ("bob", "req-9", TRACE),
        ("eve", "req-10", TRACE),
        ("ada", "req-9", None),
        (None, None, None),
    ] == [(entry.actor, entry.correlation, entry.traceparent) for entry in read]


@pytest.mark.parametrize(
    "wrong",
    [
        {"actor": ""},
        {"actor": 5},
        {"actor": "x" * 256},
        {"correlation": "a\nb"},
        {"correlation": "\ud800"},
        {"traceparent": 5},
        {"traceparent": "00-abc"},
        {"traceparent": TRACE.upper()},
        {"traceparent": TRACE.replace("00-", "ff-", 1)},
        {"traceparent": f"00-{'0' * 32}-00f067aa0ba902b7-01"},
        {"traceparent": f"00-{'a' * 32}-{'0' * 16}-01"},
    ],
)
def test_surroundings_that_no_entry_can_hold_are_refused_at_once(wrong: dict[str, Any]) -> None:
    """Where the mistake is made, not at the first append inside the block."""
    with pytest.raises(InvalidInputError, match=next(iter(wrong))), surrounded(**wrong):
        pytest.fail("the block was entered")

    assert Surroundings() == surroundings()


def test_surroundings_are_carried_into_a_thread() -> None:
    """A bound function runs as if it had been called where it was bound."""
    with surrounded(actor="ada"):
        bound = carried(lambda suffix: f"{surroundings().actor}{suffix}")

    assert ("ada!", None) == (bound("!"), surroundings().actor)

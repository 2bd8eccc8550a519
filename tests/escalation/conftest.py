"""What the tests of escalations share: a configured ledger, and a hook that listens."""

import pytest

import rml


@pytest.fixture
def ledger(clock: rml.FrozenClock) -> rml.Ledger:
    """Return a ledger in memory that is configured for this process."""
    ledger = rml.Ledger("memory:", clock=clock)
    rml.configure(ledger=ledger, service="payments")
    return ledger


@pytest.fixture
def told(ledger: rml.Ledger) -> list[rml.Escalation]:
    """Return the list to which a configured hook adds what it is told."""
    heard: list[rml.Escalation] = []
    rml.configure(hooks=[heard.append])
    return heard

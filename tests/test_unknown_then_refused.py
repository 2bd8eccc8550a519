"""Attempts under one provider key after one that may have happened: what their ends mean."""

from typing import Any

import pytest
from protected import Charges, doubtful, kinds, the_effect

import rml
from rml.testing.faults import failing

DAY = 24 * 3600


class RefusedError(Exception):
    """The other side's answer that it did not do it, by a rule of the user's own."""


rml.register_verdict(RefusedError, False)

UNKNOWN = rml.DialogError("the answer was lost")


def after_unknown(*ends: Any, **options: Any) -> Charges:
    """Return a handler whose first attempt may have happened, and which waits for its retry."""
    charges = Charges(UNKNOWN, *ends, provider_idempotent=True, **options)
    charges.fail(rml.DialogError)
    return charges


@pytest.mark.parametrize(
    "end",
    [RefusedError("no"), rml.DialogError("no", action="start-compensation")],
    ids=["refused", "compensate"],
)
def test_a_last_word_leaves_doubt(ledger: rml.Ledger, end: Exception) -> None:
    """It is of this attempt; the one before may have happened all the same, and nobody retries."""
    charges = after_unknown(end)

    charges.fail(type(end))

    (effect,) = ledger.in_doubt()
    assert ("in_doubt", True, 2) == (effect.state, effect.doubted, effect.attempt)
    assert effect.incident is not None
    charges.fail(rml.InDoubtError)
    assert 2 == charges.count


@pytest.mark.parametrize(
    "end",
    [
        ConnectionRefusedError(),
        rml.ClosedError("not sent"),
        rml.DialogError("slow down", happened=False),
        UNKNOWN,
    ],
    ids=["never left", "closed", "again", "unknown"],
)
def test_what_may_be_tried_again_keeps_its_key(ledger: rml.Ledger, end: Exception) -> None:
    """The other side recognises it, whatever became of the first attempt."""
    charges = after_unknown(end, "charged")

    charges.fail(type(end))
    assert "retrying" == the_effect(ledger).state

    assert "charged" == charges()
    assert 1 == len({attempt.provider_key for attempt in charges.attempts})
    assert [] == doubtful(ledger)


def test_what_nobody_retries_is_doubted_in_time(ledger: rml.Ledger, clock: rml.FrozenClock) -> None:
    """When the other side may have forgotten the key, reconciling records it, and asks."""
    asked: list[rml.Effect] = []

    def ask(effect: rml.Effect) -> rml.Finding:
        asked.append(effect)
        return rml.Finding(True, "charged")

    charges = after_unknown(reconcile=ask)
    clock.advance(DAY - 1)
    assert [] == rml.reconcile()
    assert "retrying" == the_effect(ledger).state

    clock.advance(1)
    assert [] == rml.reconcile(operation="another.one")
    (found,) = rml.reconcile()

    assert (True, "done") == (found.happened, found.effect.state)
    assert ["in_doubt"] == [effect.state for effect in asked]
    assert "charged" == charges()
    expected = ["effect.intent", "effect.retrying", "incident.opened", "effect.in_doubt"]
    assert [*expected, "effect.resolved"] == kinds(ledger)


def test_what_waits_for_a_retry_is_found_and_not_accused(ledger: rml.Ledger) -> None:
    """Its lease is nobody's, and goes when it ends."""
    charges = after_unknown("charged")

    (lease,) = ledger.write(lambda draft: draft.leases())
    assert ("", the_effect(ledger).id) == (lease.owner, lease.effect)
    assert ((), []) == (ledger.verify().problems, doubtful(ledger))

    charges()
    assert [] == ledger.write(lambda draft: draft.leases())
    assert () == ledger.verify().problems


def test_a_round_that_finds_nothing_writes_nothing(ledger: rml.Ledger) -> None:
    """A reconciler that asks every few seconds takes no writer's turn."""
    after_unknown("charged")

    with failing(ledger, {}) as store:
        assert [] == rml.reconcile()

    assert "write" not in store.calls

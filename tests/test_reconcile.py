"""Reconcilers: what they say is recorded; what they cannot say leaves the doubt as it is."""

import asyncio
import re
import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import attrs
import pytest

import rml
from rml.effect.reconcile import EVIDENCE_CHARACTERS_MAX, _operations
from rml.ledger.content import PERSONAL_BYTES_MAX


@attrs.frozen
class Receipt:
    """A result that a reconciler can find out."""

    id: str
    amount: Decimal


Charge = Callable[[str], Receipt | None]


def charging(reconciler: Any, *, operation: str = "payment.charge") -> tuple[Charge, list[str]]:
    """Return a handler whose first attempt for a key is lost, and the provider keys it saw."""
    provider_keys: list[str] = []

    @rml.idempotent(operation, key="key", reconcile=reconciler)
    def charge(key: str) -> Receipt | None:
        attempt = rml.current_effect()
        provider_keys.append(attempt.provider_key)
        if attempt.attempt == 1:
            raise TimeoutError("lost")
        return None

    return charge, provider_keys


def lost(charge: Charge, *keys: str) -> None:
    """Lose one attempt for every key."""
    for key in keys:
        with pytest.raises(TimeoutError):
            charge(key)


def test_it_happened(ledger: rml.Ledger) -> None:
    """Later calls are given what the other side knows; the evidence is on record."""
    receipt = Receipt("ch_1", Decimal("1.50"))
    charge, provider_keys = charging(lambda effect: rml.Finding(True, receipt, "charge ch_1"))
    lost(charge, "k")

    (reconciliation,) = rml.reconcile()

    assert (True, "charge ch_1") == (reconciliation.happened, reconciliation.why)
    assert rml.EffectState.DONE is reconciliation.effect.state
    assert "'k': happened (charge ch_1)" in str(reconciliation)
    assert receipt == charge("k")
    assert len(provider_keys) == 1
    (entry,) = ledger.entries(kind="effect.resolved")
    assert {"happened": True, "reason": "charge ch_1", "via": "reconciler"} == dict(entry.facts)
    assert (entry.actor or "").startswith("reconciler:")
    assert [] == rml.reconcile()


def test_it_did_not_happen(ledger: rml.Ledger) -> None:
    """The next call runs, with the same key for the provider."""
    charge, provider_keys = charging(lambda effect: rml.Finding(False))
    lost(charge, "k")

    (reconciliation,) = rml.reconcile()

    assert reconciliation.happened is False
    assert "'k': did not happen" in str(reconciliation)
    assert charge("k") is None
    assert len(provider_keys) == 2
    assert len(set(provider_keys)) == 1


def test_it_happened_without_a_result(ledger: rml.Ledger) -> None:
    """Done, and nothing to give again."""
    charge, _ = charging(lambda effect: rml.Finding(True))
    lost(charge, "k")
    rml.reconcile()

    with pytest.raises(rml.ResultUnavailableError):
        charge("k")


class _OutOfReachError(Exception):
    """The other side does not answer."""


def _raise(error: BaseException) -> Any:
    raise error


async def _async_raise() -> Any:
    raise _OutOfReachError("secret")


@pytest.mark.parametrize(
    ("reconciler", "why"),
    [
        (lambda effect: rml.Finding(None), "the reconciler cannot tell"),
        (lambda effect: rml.Finding(None, evidence="no such key"), "no such key"),
        (lambda effect: _raise(_OutOfReachError("secret")), "raised .*_OutOfReachError$"),
        (lambda effect: _async_raise(), "raised .*_OutOfReachError$"),
        (lambda effect: _raise(rml.InDoubtError()), "raised rml.effect.errors.InDoubtError"),
        (lambda effect: True, "returned bool, not an rml.Finding"),
        (lambda effect: None, "returned NoneType, not an rml.Finding"),
        (lambda: rml.Finding(True), "raised TypeError"),
        (lambda effect: rml.Finding("yes"), "raised rml.error.InvalidInputError"),  # type: ignore[arg-type]
        (None, "no reconciler is defined"),
    ],
    ids=map(str, range(10)),
)
def test_what_decides_nothing_leaves_the_doubt(
    ledger: rml.Ledger, reconciler: Any, why: str
) -> None:
    """Nothing is recorded, the reason is reported, and nothing of an exception's text."""
    charge, provider_keys = charging(reconciler)
    lost(charge, "k")
    size = ledger.size

    (reconciliation,) = rml.reconcile()

    assert reconciliation.happened is None
    assert "still in doubt" in str(reconciliation)
    assert re.search(why, reconciliation.why)
    assert "secret" not in reconciliation.why
    assert size == ledger.size
    with pytest.raises(rml.InDoubtError):
        charge("k")
    assert len(provider_keys) == 1


def test_an_interrupt_is_not_swallowed(ledger: rml.Ledger) -> None:
    """Control-C ends a reconciliation."""
    charge, _ = charging(lambda effect: _raise(KeyboardInterrupt()))
    lost(charge, "k")

    with pytest.raises(KeyboardInterrupt):
        rml.reconcile()


def test_an_operation_that_this_process_does_not_know(ledger: rml.Ledger) -> None:
    """It stays in doubt, and the reason is said."""
    charge, _ = charging(None, operation="payment.forgotten")
    lost(charge, "k")
    _operations.pop("payment.forgotten")

    (reconciliation,) = rml.reconcile()

    assert "no reconciler is defined for this operation in this process" == reconciliation.why


@pytest.mark.parametrize("running", [False, True], ids=["no loop", "running loop"])
def test_an_async_reconciler(ledger: rml.Ledger, running: bool) -> None:
    """It is run to its end, also under a running loop."""

    async def ask(effect: rml.Effect) -> rml.Finding:
        await asyncio.sleep(0)
        return rml.Finding(True, None, f"asked about {effect.key}")

    charge, _ = charging(ask)
    lost(charge, "k")

    async def main() -> list[rml.Reconciliation]:
        return rml.reconcile()

    (reconciliation,) = asyncio.run(main()) if running else rml.reconcile()

    assert (True, "asked about k") == (reconciliation.happened, reconciliation.why)
    assert charge("k") is None


def test_a_reconciler_is_told_the_effect(ledger: rml.Ledger) -> None:
    """Key, attempt, facts, and the key that the provider was given."""
    told: list[rml.Effect] = []

    def ask(effect: rml.Effect) -> rml.Finding:
        told.append(effect)
        return rml.Finding(None)

    charge, provider_keys = charging(ask)
    lost(charge, "k")
    rml.reconcile()

    (effect,) = told
    assert ("payment.charge", "k", 1) == (effect.operation, effect.key, effect.attempt)
    assert provider_keys == [effect.provider_key]
    assert effect == ledger.effect(effect.id)


def test_a_lost_worker_is_first_recorded_as_doubt(
    ledger: rml.Ledger, clock: rml.FrozenClock
) -> None:
    """An incident opens, hooks hear of it, then the other side is asked."""
    heard: list[str] = []
    rml.configure(hooks=[lambda escalation: heard.append("hook")])

    def ask(effect: rml.Effect) -> rml.Finding:
        heard.append("asked")
        return rml.Finding(True, "value")

    @rml.idempotent("payment.charge", key="key", reconcile=ask)
    def charge(key: str) -> str:
        clock.advance(61)
        heard.extend(str(one.happened) for one in rml.reconcile())
        return "late"

    with pytest.raises(rml.InDoubtError, match="after its lease was lost"):
        charge("k")

    assert ["hook", "asked", "True"] == heard
    assert charge("k") == "value"
    kinds = [entry.kind for entry in ledger.entries()]
    expected = ["intent", "in_doubt", "resolved", "late"]
    assert [f"effect.{kind}" for kind in expected] == [k for k in kinds if k[:7] == "effect."]


def test_only_one_operation(ledger: rml.Ledger) -> None:
    """Others are left alone."""
    charge, _ = charging(lambda effect: rml.Finding(False))
    refund, _ = charging(lambda effect: rml.Finding(False), operation="payment.refund")
    lost(charge, "k")
    lost(refund, "k")

    assert ["payment.refund"] == [
        one.effect.operation for one in rml.reconcile(operation="payment.refund")
    ]
    assert ["payment.charge"] == [effect.operation for effect in ledger.in_doubt()]
    assert [] == rml.reconcile(operation="payment.unknown")


def test_the_given_ledger_is_reconciled(ledger: rml.Ledger) -> None:
    """Not the configured one."""
    charge, _ = charging(lambda effect: rml.Finding(False))
    lost(charge, "k")

    with rml.Ledger("memory:") as other:
        assert [] == rml.reconcile(ledger=other)
    assert len(ledger.in_doubt()) == 1


def test_without_a_ledger() -> None:
    """Nothing is configured."""
    with pytest.raises(rml.NoLedgerError):
        rml.reconcile()


@pytest.mark.parametrize(
    "finding",
    [
        lambda: rml.Finding(True, {1, 2}),
        lambda: rml.Finding(True, "x" * (PERSONAL_BYTES_MAX + 1)),
        lambda: rml.Finding(True, "\ud800"),
        lambda: rml.Finding(False, "a result of nothing"),
        lambda: rml.Finding(True, None, "   "),
        lambda: rml.Finding(True, None, "\ud800"),
        lambda: rml.Finding(True, None, 5),  # type: ignore[arg-type]
        lambda: rml.Finding(True, None, None),  # type: ignore[arg-type]
    ],
    ids=[
        "set",
        "large",
        "surrogate",
        "result of nothing",
        "blank",
        "bad evidence",
        "number",
        "none",
    ],
)
def test_one_finding_that_cannot_be_recorded_stops_no_other(
    ledger: rml.Ledger, finding: Callable[[], rml.Finding]
) -> None:
    """Its effect stays in doubt, or is decided without what cannot be kept; the others go on."""
    charge, _ = charging(lambda e: finding() if e.key == "bad" else rml.Finding(True, None, "ok"))
    lost(charge, "bad", "good")
    lost(charge, "better")

    found = {one.effect.key: one.happened for one in rml.reconcile()}

    assert {"bad", "good", "better"} == set(found)
    assert (True, True) == (found["good"], found["better"])
    assert (found["bad"] is None) == ("bad" in [effect.key for effect in ledger.in_doubt()])


@pytest.mark.parametrize(
    "happened", ["yes", 1, 0, 1.0, 0.0, "", [], pytest.param(object(), id="object")], ids=repr
)
def test_a_finding_says_true_false_or_none(happened: object) -> None:
    """Nothing that merely resembles them."""
    with pytest.raises(rml.InvalidInputError, match="happened is True, False or None"):
        rml.Finding(happened)  # type: ignore[arg-type]


def test_long_evidence_is_shortened(ledger: rml.Ledger) -> None:
    """The record keeps its beginning."""
    charge, _ = charging(lambda effect: rml.Finding(True, None, "x" * 100_000))
    lost(charge, "k")

    (reconciliation,) = rml.reconcile()

    assert EVIDENCE_CHARACTERS_MAX >= len(reconciliation.why)


@pytest.mark.parametrize("timeout", [None, 10])
def test_a_reconciler_that_reconciles_is_refused(timeout: float | None, ledger: rml.Ledger) -> None:
    """It would ask itself without an end; the doubt stays, and the next round asks again."""

    def ask(effect: rml.Effect) -> rml.Finding:
        rml.reconcile(timeout=timeout)
        raise AssertionError("it must not come so far")

    charge, _ = charging(ask)
    lost(charge, "k")

    for _ in range(2):
        (reconciliation,) = rml.reconcile(timeout=timeout)
        assert reconciliation.happened is None
        assert "InvalidInputError" in reconciliation.why


def test_two_reconcilers_at_once_give_one_decision(ledger: rml.Ledger) -> None:
    """The one that comes second is told that it was decided, and by how it was."""
    barrier = threading.Barrier(2)
    answers = iter([True, False])
    lock = threading.Lock()

    def ask(effect: rml.Effect) -> rml.Finding:
        with lock:
            happened = next(answers)
        barrier.wait()
        return rml.Finding(happened)

    charge, _ = charging(ask)
    lost(charge, "k")
    found: list[rml.Reconciliation] = []
    threads = [threading.Thread(target=lambda: found.extend(rml.reconcile())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    (entry,) = ledger.entries(kind="effect.resolved")
    assert len(found) == 2
    assert entry.facts["happened"] in [one.happened for one in found]
    assert sorted("somebody else decided" in one.why for one in found) == [False, True]
    assert all("still in doubt" not in str(one) for one in found)


def test_a_person_who_was_faster_counts(ledger: rml.Ledger) -> None:
    """What the reconciler found afterwards changes nothing."""

    def ask(effect: rml.Effect) -> rml.Finding:
        ledger.resolve(effect.id, happened=True, by="ada", reason="on the phone", result=None)
        return rml.Finding(False)

    charge, provider_keys = charging(ask)
    lost(charge, "k")

    (reconciliation,) = rml.reconcile()

    assert rml.EffectState.DONE is reconciliation.effect.state
    assert "still in doubt" not in str(reconciliation)
    assert charge("k") is None
    assert len(provider_keys) == 1


def test_the_latest_definition_of_an_operation_counts(ledger: rml.Ledger) -> None:
    """A module that is loaded again brings its new reconciler."""
    charge, _ = charging(lambda effect: _raise(AssertionError()))
    lost(charge, "k")
    charging(lambda effect: rml.Finding(False, evidence="the second"))

    assert ["the second"] == [one.why for one in rml.reconcile()]

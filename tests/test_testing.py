"""What `rml.testing` offers for handlers: crash points, duplicate delivery, a gateway that counts.

Its other parts are tested in tests/test_error_contract.py, tests/contract and tests/crash.
"""

import asyncio
import contextlib
import inspect
import itertools
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from protected import Charges, doubtful, kinds, the_effect

import rml
import rml.testing
from rml.testing import CrashPoint, Gateway, ProcessKilled, assert_at_most_once, crash_at
from rml.testing.duplicates import delivered_twice

# ------------------------------------------------------------------------------- crash points


LEFT = {
    CrashPoint.BEFORE_INTENT: (0, []),
    CrashPoint.AFTER_INTENT: (0, ["effect.intent"]),
    CrashPoint.BEFORE_OUTCOME: (1, ["effect.intent"]),
    CrashPoint.AFTER_OUTCOME: (1, ["effect.intent", "effect.done"]),
}


@pytest.mark.parametrize("point", CrashPoint)
def test_crash_leaves_what_was_durable(ledger: rml.Ledger, point: CrashPoint) -> None:
    """Whether the handler ran, and what the ledger knows of it."""
    charges = Charges()

    with crash_at(point):
        charges()

    assert LEFT[point] == (charges.count, kinds(ledger))


@pytest.mark.parametrize("point", CrashPoint)
def test_crash_in_async_def_leaves_the_same(ledger: rml.Ledger, point: CrashPoint) -> None:
    """Store work in threads dies like any other."""
    ran = []

    @rml.idempotent("payment.send", key="payment_id")
    async def send(payment_id: str) -> None:
        ran.append(payment_id)

    with crash_at(point):
        asyncio.run(send("pay-1"))

    assert LEFT[point] == (len(ran), kinds(ledger))


@pytest.mark.parametrize("point", CrashPoint)
def test_handler_runs_at_most_once_across_a_crash(
    ledger: rml.Ledger, clock: rml.FrozenClock, point: CrashPoint
) -> None:
    """After a restart and the lease's end, a call runs what never began, and doubts the rest."""
    gateway = Gateway()

    @rml.idempotent("payment.charge", key="payment_id")
    def charge(payment_id: str) -> str:
        return gateway.send(payment_id)

    with crash_at(point):
        charge("pay-1")
    clock.advance(61)
    doubted = point in {CrashPoint.AFTER_INTENT, CrashPoint.BEFORE_OUTCOME}
    if doubted:
        with pytest.raises(rml.InDoubtError):
            charge("pay-1")
    else:
        assert "effect-1" == charge("pay-1")

    assert_at_most_once(gateway)
    assert (["pay-1"] if doubted else []) == doubtful(ledger)


def test_failed_handler_dies_before_its_outcome_too(ledger: rml.Ledger) -> None:
    """The handler's own error is as little recorded as its value."""
    with crash_at("before_outcome"):
        Charges(TimeoutError("no answer"))()

    assert ["effect.intent"] == kinds(ledger)


def test_calls_around_a_crash_record_nothing(ledger: rml.Ledger) -> None:
    """What the crash passes through on its way out is dead as well."""
    inner = Charges()

    @rml.idempotent("order.place", key="order_id")
    def place(order_id: str) -> None:
        inner("pay-1")

    with crash_at("before_outcome", operation="payment.charge"):
        place("order-1")

    assert ["effect.intent", "effect.intent"] == kinds(ledger)
    assert 1 == inner.count


def test_other_threads_of_a_dead_process_record_nothing(ledger: rml.Ledger) -> None:
    """A thread of the block finds the ledger out of reach; after the block, it is there."""
    seen: list[BaseException] = []

    def append() -> None:
        try:
            ledger.append("shop.closed", world="RML1")
        except BaseException as error:  # noqa: BLE001 - it is looked at below
            seen.append(error)

    with crash_at("after_intent"):
        try:
            Charges()()
        finally:
            thread = threading.Thread(target=append)
            thread.start()
            thread.join()

    assert [ProcessKilled] == [type(error) for error in seen]
    assert ["effect.intent"] == kinds(ledger)


def test_crash_that_never_came_is_told(ledger: rml.Ledger) -> None:
    """A test of a crash must not pass without one; nor may an unknown point."""
    never = pytest.raises(AssertionError, match=r"no protected call came to .* 'after_intent'")
    with never, crash_at("after_intent"):
        pass
    with (
        pytest.raises(AssertionError, match="no protected call"),
        crash_at("after_intent", operation="payment.refund"),
    ):
        Charges()()
    with pytest.raises(rml.InvalidInputError, match="before_intent, after_intent"):
        crash_at("at_noon").__enter__()


def fail_after(charges: Charges) -> None:
    """Make a call that dies, and fail as a test does."""
    try:
        charges()
    finally:
        raise AssertionError("mine")


def test_errors_before_the_crash_are_raised(ledger: rml.Ledger) -> None:
    """Only what a dead process raises goes unheard; what a test asserts is heard even then."""
    with pytest.raises(ZeroDivisionError), crash_at("after_intent"):
        raise ZeroDivisionError
    with pytest.raises(AssertionError, match="mine"), crash_at("after_intent"):
        fail_after(Charges())


# ------------------------------------------------------------------------- duplicate delivery


@pytest.mark.parametrize(
    ("end", "error", "state"),
    [
        ("ch-1", None, "done"),
        (TimeoutError("no answer"), TimeoutError, "in_doubt"),
        (ConnectionRefusedError("closed"), ConnectionRefusedError, "not_done"),
    ],
)
def test_second_delivery_changes_nothing(
    ledger: rml.Ledger, end: Any, error: type[Exception] | None, state: str
) -> None:
    """It is replayed or refused; what certainly did nothing is not delivered again."""
    charges = Charges(end)

    with delivered_twice() as ran_twice:
        if error is None:
            assert end == charges()
        else:
            charges.fail(error)

    assert (1, [], state) == (charges.count, ran_twice, the_effect(ledger).state)


def test_handler_that_runs_twice_is_named(ledger: rml.Ledger) -> None:
    """A key that is another one each time lets the second delivery through."""
    numbers = itertools.count()
    charges = Charges(key=lambda payment_id: f"{payment_id}-{next(numbers)}")

    with delivered_twice() as ran_twice:
        charges("pay")

    said = "'payment.charge' ran twice for one call delivered twice: "
    assert [said + "for key 'pay-0', then for key 'pay-1'"] == ran_twice
    assert 2 == charges.count


def test_calls_inside_a_handler_are_delivered_twice_too(ledger: rml.Ledger) -> None:
    """Each once by itself, and once more as part of what calls it."""
    inner = Charges()

    @rml.idempotent("order.place", key="order_id")
    def place(order_id: str) -> None:
        inner(order_id)

    with delivered_twice() as ran_twice:
        place("order-1")

    assert ([], 1) == (ran_twice, inner.count)
    assert 4 == ledger.size


def test_handler_in_a_transaction_that_would_run_twice_is_named(tmp_path: Path) -> None:
    """It is not carried out again among the application's rows; its key alone tells."""
    numbers = itertools.count()
    ledger = rml.Ledger(tmp_path / "shop.db")
    shop = sqlite3.connect(tmp_path / "shop.db")
    ran = []

    @rml.idempotent("order.pay", key="order_id", connection="shop", ledger=ledger)
    def pay(shop: sqlite3.Connection, order_id: str) -> None:
        ran.append(order_id)

    @rml.idempotent(
        "order.pay_anew",
        key=lambda order_id: f"{order_id}-{next(numbers)}",
        connection="shop",
        ledger=ledger,
    )
    def pay_anew(shop: sqlite3.Connection, order_id: str) -> None:
        ran.append(order_id)

    with ledger, contextlib.closing(shop), shop, delivered_twice() as ran_twice:
        pay(shop, "o-1")
        pay_anew(shop, "o-2")

    assert ["o-1", "o-2"] == ran
    said = "'order.pay_anew' would run twice for one call delivered twice: "
    assert [said + "for key 'o-2-0', then for key 'o-2-1'"] == ran_twice


def test_async_handlers_are_delivered_twice(ledger: rml.Ledger) -> None:
    """The async face repeats, replays and tells the same way."""
    numbers = itertools.count()
    ran = []

    @rml.idempotent("payment.send", key="payment_id")
    async def send(payment_id: str) -> str:
        ran.append(payment_id)
        return "sent"

    @rml.idempotent("payment.send_anew", key=lambda payment_id: str(next(numbers)))
    async def send_anew(payment_id: str) -> None:
        ran.append(payment_id)

    async def both() -> None:
        assert "sent" == await send("pay-1")
        await send_anew("pay-2")

    with delivered_twice() as ran_twice:
        asyncio.run(both())

    assert ["pay-1", "pay-2", "pay-2"] == ran
    assert ["'payment.send_anew'"] == [said.split()[0] for said in ran_twice]


def test_crash_under_duplicate_delivery_stays_a_crash(ledger: rml.Ledger) -> None:
    """Nothing is delivered to the dead."""
    charges = Charges()

    with delivered_twice(), crash_at("before_outcome"):
        charges()

    assert (1, ["effect.intent"]) == (charges.count, kinds(ledger))


# ----------------------------------------------------------------------------------- gateways


def test_gateway_counts_what_it_carried_out() -> None:
    """Each request is an effect, unless the gateway recognises keys."""
    for gateway, effects in [
        (Gateway(), ("pay-1", "pay-1", "pay-2")),
        (Gateway(idempotent=True), ("pay-1", "pay-2")),
    ]:
        answers = [gateway.send(key) for key in ("pay-1", "pay-1", "pay-2")]

        assert effects == gateway.effects
        assert ["pay-1", "pay-1", "pay-2"] == gateway.requests
        assert len(effects) == len(set(answers))


def test_gateway_loses_answers_and_keeps_effects() -> None:
    """The effect takes place; only who asked does not learn of it."""
    gateway = Gateway(idempotent=True)
    gateway.lose_answers()

    with pytest.raises(TimeoutError, match="answer was lost"):
        gateway.send("pay-1")

    assert "effect-1" == gateway.send("pay-1")
    assert ("pay-1",) == gateway.effects


def test_assertion_names_every_key_that_repeats() -> None:
    """It takes whatever counts: an object with effects, or a callable."""
    gateway = Gateway()
    for key in ("pay-1", "pay-2", "pay-2"):
        gateway.send(key)

    with pytest.raises(AssertionError, match=r"^took place more than once: 'pay-2' 2 times$"):
        assert_at_most_once(gateway)
    with pytest.raises(AssertionError, match=r"\('shop', 7\) 3 times"):
        assert_at_most_once(lambda: [("shop", 7)] * 3)
    assert_at_most_once(lambda: ["pay-1", "pay-2"])


# -------------------------------------------------------------------------------- front door


def test_every_name_is_there_and_explains_itself() -> None:
    """The names are loaded when they are used, and what is not there is an AttributeError."""
    assert [] == [n for n in rml.testing.__all__ if not inspect.getdoc(getattr(rml.testing, n))]
    assert sorted(rml.testing.__all__) == dir(rml.testing)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = rml.testing.nothing

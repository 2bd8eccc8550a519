"""What a type checker must see in retries and sagas. Never executed."""

from contextlib import AbstractContextManager
from datetime import timedelta
from typing import assert_type

import rml
from rml.effect.metrics import measure


@rml.idempotent("hotel.book", key="order_id")
def book(order_id: str, nights: int) -> str:
    return f"{order_id} {nights}"


@rml.compensator("hotel.cancel", attempts=5, timeout=timedelta(minutes=1))
def cancel(step: rml.Effect) -> None:
    assert_type(step.key, str)


@rml.compensator("hotel.cancel_async")
async def cancel_async(step: rml.Effect) -> int:
    return len(step.key)


@rml.retry(attempts=3, timeout=timedelta(seconds=20))
@rml.saga("order.place", key="order_id", steps={book: cancel}, timeout=3600)
def place(order_id: str, *, nights: int = 1) -> str:
    return book(order_id, nights)


@rml.saga("order.place_async", key="order_id", steps={book: cancel_async, place: None})
async def place_async(order_id: str) -> list[str]:
    return [book(order_id, 1)]


def functions_keep_their_signatures() -> None:
    assert_type(place("o-1", nights=2), str)
    place("o-1", 2)  # type: ignore[call-arg]
    rml.saga("order.place", key="order_id")  # type: ignore[call-arg]


def compensators_take_an_effect() -> None:
    @rml.compensator("hotel.give_back")  # type: ignore[arg-type]
    def give_back(order_id: str) -> None: ...


async def coroutines_stay_coroutines(step: rml.Effect) -> None:
    assert_type(await place_async("o-1"), list[str])
    assert_type(await cancel_async(step), int)


async def blocks_are_retried() -> None:
    for attempt in rml.retry(effect=False):
        assert_type(attempt, AbstractContextManager[None])
    async for later in rml.retry(effect=False):
        assert_type(later, AbstractContextManager[None])


def sagas_are_read(ledger: rml.Ledger) -> None:
    sagas = rml.resume_sagas(ledger=ledger, operation="order.place")
    assert_type(sagas, list[rml.Saga])
    assert_type([step.effect for step in sagas[0].steps], list[rml.Effect])
    assert_type(sagas[0].trouble, str | None)
    assert_type(measure(ledger.entries()).rbl_p95_ms, float | None)

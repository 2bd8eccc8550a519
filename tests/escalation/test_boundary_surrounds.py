"""What a boundary may surround: functions, coroutines, tasks and threads."""

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from escalated import Charged, incidents, kinds

import rml
from rml.incident.casebook import Casebook


def test_a_decorated_function_keeps_its_face(ledger: rml.Ledger) -> None:
    """The decorator keeps name, signature and value, and every call has a border of its own."""

    @rml.boundary("checkout")
    def buy(amount: int) -> int:
        """Buy."""
        if amount == 0:
            raise Charged
        return amount if amount < 3 else buy(amount - 1)

    assert 2 == buy(5)
    assert ("buy", "Buy.") == (buy.__name__, buy.__doc__)
    with pytest.raises(Charged):
        buy(0)
    assert ["INC-2026-0001"] == incidents(ledger)


def test_async_code_has_boundaries(ledger: rml.Ledger, told: list[rml.Escalation]) -> None:
    """``async with`` and a decorated ``async def`` record like their plain kin."""

    @rml.boundary("decorated")
    async def buy() -> None:
        await asyncio.sleep(0)
        raise Charged

    async def main() -> None:
        with pytest.raises(Charged):
            await buy()
        with pytest.raises(Charged):
            async with rml.boundary("with"):
                raise Charged
        with pytest.raises(Charged), rml.boundary("plain"):
            raise Charged
        async with rml.boundary("quiet"):
            pass

    assert asyncio.iscoroutinefunction(buy)
    asyncio.run(main())

    assert ["decorated", "with", "plain"] == [entry.operation for entry in told]
    assert 3 == len(incidents(ledger))


def test_tasks_may_share_one_boundary(ledger: rml.Ledger) -> None:
    """A boundary entered by several tasks at once records each of their errors."""
    shared = rml.boundary("checkout")
    entered = [asyncio.Event() for _ in range(2)]

    async def buy(i: int) -> None:
        async with shared:
            entered[i].set()
            await entered[1 - i].wait()
            raise Charged(f"pay-{i}")

    async def main() -> list[Any]:
        return await asyncio.gather(buy(0), buy(1), return_exceptions=True)

    errors = asyncio.run(main())

    assert ["Charged", "Charged"] == [type(error).__name__ for error in errors]
    assert 2 == Casebook(ledger)["INC-2026-0001"].count


def test_threads_may_share_one_boundary(ledger: rml.Ledger) -> None:
    """A boundary entered by several threads at once lets each of their errors pass unchanged."""
    shared, barrier = rml.boundary("checkout"), threading.Barrier(4, timeout=30)

    def buy(i: int) -> str:
        try:
            with shared:
                barrier.wait()
                raise Charged(f"pay-{i}")
        except Exception as error:  # noqa: BLE001 - whatever comes out
            return type(error).__name__

    with ThreadPoolExecutor(4) as pool:
        assert ["Charged"] * 4 == list(pool.map(buy, range(4)))
    assert 4 == Casebook(ledger)["INC-2026-0001"].count


def lines() -> Iterator[int]:
    """Be a generator function."""
    yield 1


async def lines_async() -> AsyncIterator[int]:
    """Be an asynchronous generator function."""
    yield 1


class Lines:
    """A callable whose body is a generator's."""

    def __call__(self) -> Iterator[int]:
        """Yield."""
        yield 1


@pytest.mark.parametrize(
    "wrong",
    [lines, lines_async, functools.partial(lines), Lines(), 7, None],
    ids=["generator", "async generator", "partial", "object", "number", "nothing"],
)
def test_what_a_boundary_cannot_surround_is_refused(wrong: Any) -> None:
    """A generator's body runs in its reader's hands; the mistake shows where it is written."""
    with pytest.raises(rml.InvalidInputError, match="boundary"):
        rml.boundary("checkout")(wrong)


def test_a_boundary_surrounds_the_coroutine_of_a_plain_function(
    ledger: rml.Ledger, told: list[rml.Escalation]
) -> None:
    """What another decorator made of an ``async def`` is awaited inside the border."""

    async def buy(amount: int) -> int:
        await asyncio.sleep(0)
        if amount == 0:
            raise Charged
        return amount

    @rml.boundary("checkout")
    def plain(amount: int) -> Any:
        return buy(amount)

    async def main() -> None:
        assert 5 == await plain(5)
        with pytest.raises(Charged):
            await asyncio.create_task(plain(0))

    asyncio.run(main())
    assert ["incident.opened", "error.crossed"] == kinds(ledger)
    assert 1 == len(told)


def test_an_async_callable_object_has_a_border(ledger: rml.Ledger) -> None:
    """An object whose call is ``async def`` is surrounded as well."""

    class Buy:
        async def __call__(self) -> None:
            raise Charged

    with pytest.raises(Charged):
        asyncio.run(rml.boundary("checkout")(Buy())())

    assert ["INC-2026-0001"] == incidents(ledger)


def test_what_runs_elsewhere_is_handed_on_with_a_warning(
    ledger: rml.Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    """Futures and generators stay what they are; the log says that nothing looks after them."""

    @rml.boundary("checkout")
    def plain(value: Any) -> Any:
        return value

    async def main() -> None:
        future = asyncio.get_running_loop().create_future()
        for value in (future, lines(), lines_async()):
            assert plain(value) is value
        future.cancel()

    asyncio.run(main())
    found = [record.getMessage() for record in caplog.records if record.name == "rml"]
    assert ["Future", "generator", "async_generator"] == [
        name
        for text in found
        for name in text.split()
        if name in {"Future", "generator", "async_generator"}
    ]
    assert [] == kinds(ledger)

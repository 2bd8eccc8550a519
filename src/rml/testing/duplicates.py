"""Whether handlers bear that every call is delivered twice, as queues and clients do deliver.

The second delivery is the same call with the same arguments, made as soon as the first has ended.
It must be given the recorded value, or be refused. What breaks that is a key which is not the same
twice: one made from the time, a random number, or an argument that the handler changed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, Final
from unittest import mock

import attrs

from rml import threads
from rml.effect.call import Call
from rml.effect.decide import Run
from rml.effect.operation import Attempt, ask

__all__ = ["delivered_twice"]

_FACES: Final = ("rml.effect.idempotent", "rml.effect.asynchronous", "rml.effect.enlisted")

# The attempt that a second delivery repeats, while that is on its way.
_repeats: ContextVar[Attempt | None] = ContextVar("rml_repeats", default=None)


@contextmanager
def delivered_twice() -> Iterator[list[str]]:
    """Deliver every call of a protected handler twice while the block runs.

    It reaches all handlers of the process, whenever they were defined, in every thread and in
    ``async def``. A first delivery that certainly did nothing is not repeated, because running
    again is right then. What the second one returns or raises, nobody hears. One that is given a
    ``connection=`` is not carried out a second time in the application's transaction: it is told by
    its key.

    Yields:
        A list that gets a sentence for each handler that ran twice, with operation and keys.
    """
    found: list[str] = []
    plain, awaited, enlisted = map(importlib.import_module, _FACES)
    sync_twice = _twice(plain._carry_out, plain._face, found)  # noqa: SLF001
    async_twice = _twice_awaited(awaited._carry_out, awaited.face, found)  # noqa: SLF001
    with (
        mock.patch.object(plain, "_carry_out", sync_twice),
        mock.patch.object(awaited, "_carry_out", async_twice),
        mock.patch.object(enlisted, "_carry_out", _named_twice(enlisted._carry_out, found)),  # noqa: SLF001
    ):
        yield found


@attrs.frozen
class _Delivery:
    """One delivery that has come to the handler: what both kinds of handler do the same way."""

    call: Call
    attempt: Attempt
    handler: Callable[..., Any]

    def is_repetition(self, found: list[str]) -> bool:
        """Whether this is inside a second delivery; the same operation must not come here."""
        first = _repeats.get()
        if first is not None and first.operation == self.attempt.operation:
            keys = f"for key {first.key!r}, then for key {self.attempt.key!r}"
            found.append(f"{first.operation!r} ran twice for one call delivered twice: {keys}")
        return first is not None

    def again(self, face: Callable[..., Any]) -> Callable[..., Any]:
        """Return the handler as the second delivery meets it: it does not wait."""
        return face(self.handler, self.call.operation, 0.0, self.call.ledger)  # type: ignore[no-any-return]


def _twice(carry_out: Callable[..., Any], face: Callable[..., Any], found: list[str]) -> Any:
    """Return what carries out a ``def`` handler's attempt and delivers the call again."""

    def twice(call: Call, attempt: Attempt, handler: Any, args: Any, kwargs: Any) -> Any:
        delivery = _Delivery(call, attempt, handler)
        if delivery.is_repetition(found):
            return carry_out(call, attempt, handler, args, kwargs)

        def deliver_again() -> None:
            token = _repeats.set(attempt)
            try:
                with suppress(Exception):  # a repetition's sender hears nothing
                    if not isinstance(call.look(), Run):
                        delivery.again(face)(*args, **kwargs)
            finally:
                _repeats.reset(token)

        try:
            value = carry_out(call, attempt, handler, args, kwargs)
        except Exception:
            deliver_again()
            raise
        deliver_again()
        return value

    return twice


def _named_twice(carry_out: Callable[..., Any], found: list[str]) -> Any:
    """Return what carries out a call with ``connection=``, and asks once more for its key."""

    def twice(call: Call, connection: object, handler: Callable[[], Any]) -> Any:
        value = carry_out(call, connection, handler)
        with suppress(Exception):  # a repetition's sender hears nothing
            again = ask(call.operation, call.arguments)
            if again.effect != call.asked.effect:
                keys = f"for key {call.asked.key!r}, then for key {again.key!r}"
                name = call.operation.name
                found.append(f"{name!r} would run twice for one call delivered twice: {keys}")
        return value

    return twice


def _twice_awaited(
    carry_out: Callable[..., Any], face: Callable[..., Any], found: list[str]
) -> Any:
    """Return what carries out an ``async def`` handler's attempt and delivers the call again."""

    async def twice(call: Call, attempt: Attempt, handler: Any, args: Any, kwargs: Any) -> Any:
        delivery = _Delivery(call, attempt, handler)
        if delivery.is_repetition(found):
            return await carry_out(call, attempt, handler, args, kwargs)

        async def deliver_again() -> None:
            token = _repeats.set(attempt)
            try:
                with suppress(Exception):  # a repetition's sender hears nothing
                    if not isinstance(await threads.run(call.look), Run):
                        await delivery.again(face)(*args, **kwargs)
            finally:
                _repeats.reset(token)

        try:
            value = await carry_out(call, attempt, handler, args, kwargs)
        except Exception:
            await deliver_again()
            raise
        await deliver_again()
        return value

    return twice

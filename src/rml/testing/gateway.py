"""A provider that counts what it carries out, and what a count must be in the end."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from typing import Protocol

__all__ = ["CountsEffects", "Gateway", "assert_at_most_once"]


class CountsEffects(Protocol):
    """Whatever knows the effects that took place: a fake, or a client of a provider's test mode."""

    @property
    def effects(self) -> Iterable[Hashable]:
        """The key of every effect that took place, one for each time it did."""
        ...


class Gateway:
    """A provider in memory: it carries out requests, and may lose its answers.

    Safe to call from several threads.

    Args:
        idempotent: a key that comes again is answered as before and carried out no more, as by a
            provider with an idempotency layer of its own.

    Attributes:
        requests: the keys of all requests, in order, those of repetitions among them.
    """

    def __init__(self, *, idempotent: bool = False) -> None:
        self.requests: list[str] = []
        self._idempotent = idempotent
        self._effects: list[str] = []
        self._answers: dict[str, str] = {}
        self._answers_to_lose = 0
        self._lock = threading.Lock()

    @property
    def effects(self) -> tuple[str, ...]:
        """The key of every effect that took place, in order."""
        return tuple(self._effects)

    def send(self, key: str) -> str:
        """Carry out the effect that a key names, and return the provider's id of it.

        Raises:
            TimeoutError: the effect took place, and the answer was lost on purpose.
        """
        with self._lock:
            self.requests.append(key)
            if not (self._idempotent and key in self._answers):
                self._effects.append(key)
                self._answers[key] = f"effect-{len(self._effects)}"
            if self._answers_to_lose:
                self._answers_to_lose -= 1
                raise TimeoutError("the gateway's answer was lost, on purpose")
            return self._answers[key]

    def lose_answers(self, count: int = 1) -> None:
        """Lose the answers to the next ``count`` requests; their effects take place."""
        with self._lock:
            self._answers_to_lose = count


def assert_at_most_once(
    gateway: CountsEffects | Callable[[], Iterable[Hashable]],
) -> None:
    """Check that no effect took place twice.

    Args:
        gateway: what counts effects: an object with ``effects``, such as a :class:`Gateway`, or a
            callable that returns the keys. A key should name what must happen once, such as the
            payment.

    Raises:
        AssertionError: names every key whose effect took place more than once.
    """
    keys = gateway() if callable(gateway) else gateway.effects
    repeated = [f"{key!r} {n} times" for key, n in Counter(keys).items() if n > 1]
    if repeated:
        raise AssertionError(f"took place more than once: {', '.join(repeated)}")

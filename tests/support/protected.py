"""What the tests of protected handlers share: a moment, a scripted handler, short questions."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

import rml

START = datetime(2026, 11, 20, 19, tzinfo=UTC)


class Charges:
    """A handler whose ends are written down beforehand, and the attempts that it saw."""

    def __init__(self, *ends: Any, **options: Any) -> None:
        self.attempts: list[rml.Attempt] = []
        ends_left = list(ends)

        @rml.idempotent("payment.charge", **{"key": "payment_id", **options})
        def charge(payment_id: Any, amount: Any = 5) -> Any:
            self.attempts.append(rml.current_effect())
            end = ends_left.pop(0) if ends_left else None
            if isinstance(end, BaseException):
                raise end
            return end() if callable(end) else end

        self.charge = charge

    def __call__(self, payment_id: Any = "pay-1", amount: Any = 5) -> Any:
        """Call the handler."""
        return self.charge(payment_id, amount)

    def fail(self, kind: type[BaseException], payment_id: Any = "pay-1", amount: Any = 5) -> Any:
        """Call, and return the error."""
        with pytest.raises(kind) as caught:
            self.charge(payment_id, amount)
        return caught.value

    @property
    def count(self) -> int:
        """How often the handler ran."""
        return len(self.attempts)


def kinds(ledger: rml.Ledger) -> list[str]:
    """Return the kinds of all entries, in order."""
    return [entry.kind for entry in ledger.entries()]


def the_effect(ledger: rml.Ledger) -> rml.Effect:
    """Return the ledger's only effect."""
    (effect,) = ledger.effects()
    return effect


def doubtful(ledger: rml.Ledger) -> list[str]:
    """Return the keys in doubt."""
    return [effect.key for effect in ledger.in_doubt()]


def in_other_thread(function: Callable[[], Any]) -> Any:
    """Call a function in a thread without our context; return its value or raise its error."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append((function(), None))
        except BaseException as error:  # noqa: BLE001
            outcome.append((None, error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    value, error = outcome[0]
    if error is not None:
        raise error
    return value

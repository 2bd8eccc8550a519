"""How the cost of a protected call changes as its ledger fills with keys."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import attrs
from measure import Beside, Line, in_turns, say
from peer_effects import Protected, charged

import rml
from rml.effect.definition import PROTECTED
from rml.effect.operation import Operation, ask
from rml.effect.state import REQUEST, RESULT
from rml.ledger.content import new_salt

BATCH: Final = 5_000


@attrs.frozen
class Size:
    """What a call costs in a ledger that holds so many keys.

    Attributes:
        keys: how many.
        first: a call with a new key, beside one in a ledger with few keys.
        replay: a call with any of the old keys, beside one in a ledger with few keys.
    """

    keys: int
    first: Beside
    replay: Beside


def handler(ledger: rml.Ledger) -> Callable[[str, int, str], object]:
    """Return the protected handler that all measurements call."""

    @rml.idempotent("bench.charge", key="payment_id", ledger=ledger)
    def charge(payment_id: str, amount: int, currency: str) -> dict[str, str | int]:  # noqa: ARG001
        return charged(payment_id)

    return charge


def protected(ledger: rml.Ledger) -> Protected:
    """Return the same as a function of the key alone."""
    charge = handler(ledger)
    return lambda payment_id: charge(payment_id, 1999, "EUR")


def key(number: int) -> str:
    """Return the key of the payment with this number."""
    return f"pay-{number}"


def grow(
    folder: Path, sizes: Sequence[int], *, rounds: int, times: int, patience: float
) -> Iterator[Size]:
    """Fill one ledger with keys, and measure at each size, in turns with one that stays small.

    After so many seconds beyond the first size, what there is by then is the last that is measured.
    """
    with (
        rml.Ledger(folder / "few.db", service="bench") as few,
        rml.Ledger(folder / "many.db", service="bench") as many,
    ):
        small, large = _Keys(few), _Keys(many)
        for keys in (small, large):
            keys.fill(sizes[0])
        deadline = time.monotonic() + patience
        for size in sizes:
            say(f"filling a ledger with {size:,} keys ...")
            filled = large.fill(size, deadline)
            first = in_turns(small.new, large.new, rounds=rounds, times=times)
            replay = in_turns(small.old, large.old, rounds=rounds, times=times * 5)
            yield Size(filled, first, replay)
            if filled < size:
                say(f"the time is over at {filled:,} keys; --grow takes as long as it takes")
                return


class _Keys:
    """A ledger whose keys are numbered."""

    def __init__(self, ledger: rml.Ledger) -> None:
        self._ledger = ledger
        self._operation: Operation = getattr(handler(ledger), PROTECTED)
        self._charge = protected(ledger)
        self._random = random.Random(0)
        self._held = 0

    def new(self) -> None:
        """Make a call with a new key."""
        self._charge(key(self._held))
        self._held += 1

    def old(self) -> None:
        """Repeat the call with any key."""
        self._charge(key(self._random.randrange(self._held)))

    def fill(self, keys: int, deadline: float = math.inf) -> int:
        """Record what calls would, many in a commit; return the number of keys.

        Of a lease, nothing is left after a call. ``deadline`` is monotonic.
        """
        while self._held < keys and time.monotonic() < deadline:
            batch = range(self._held, min(self._held + BATCH, keys))
            self._ledger.write(partial(self._record, batch))
            self._held = batch.stop
        return self._held

    def _record(self, batch: range, draft: rml.Draft) -> None:
        for number in batch:
            arguments = {"payment_id": key(number), "amount": 1999, "currency": "EUR"}
            asked = ask(self._operation, arguments)
            fingerprint = asked.fingerprint(new_salt())
            record = partial(
                draft.record,
                world=self._operation.world,
                operation=asked.operation,
                key=asked.key,
                effect=asked.effect,
                attempt=1,
            )
            record("effect.intent", facts={}, personal={REQUEST: fingerprint})
            result = {REQUEST: fingerprint, RESULT: charged(key(number))}
            record("effect.done", facts={}, personal=result)


def lines(sizes: Sequence[Size]) -> Iterator[Line]:
    """Return what became of a call as keys were added."""
    least, most = sizes[0], sizes[-1]
    beside = f"the same at {least.keys:,}"
    for name, figure in (("first call", most.first), ("replay", most.replay)):
        title = f"{name} at {most.keys:,} keys"
        yield Line(title, figure.ratio, beside=beside, detail=figure.times)


COLUMNS: Final = ("keys", "first call", "beside a small one", "replay", "beside a small one")


def cells(size: Size) -> tuple[str, ...]:
    """Return a size's figures as text, column by column."""
    return (
        f"{size.keys:,}",
        f"{size.first.ours:.0f} µs",
        f"{size.first.ratio:.2f}",
        f"{size.replay.ours:.0f} µs",
        f"{size.replay.ratio:.2f}",
    )

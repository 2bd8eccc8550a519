"""Whether the clocks that entries were recorded by went back: a remark, for clocks do go wrong.

The order of entries is that of their indexes and depends on no clock. But whoever back-dates an
entry that they append, or a machine whose clock is wrong, leaves a time before an earlier entry's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final

import attrs

from rml.clock import parse_utc

# By how much the clocks of machines that share a ledger may differ, and be well.
TOLERANCE: Final = timedelta(seconds=1)


@attrs.frozen
class _Told:
    """The time at which an entry was recorded, as it says itself."""

    index: int
    time: str


class Clocks:
    """The times of recording in index order, as far as they have been looked at."""

    def __init__(self) -> None:
        self._latest = _Told(-1, "")
        self._first: tuple[_Told, _Told] | None = None
        self._number = 0

    def look(self, start: int, times: Sequence[str]) -> None:
        """Look at the times of entries from an index on, written as entries have them."""
        if not times:
            return
        if list(times) != sorted(times) or times[0] < self._latest.time:
            for index, time in enumerate(times, start):
                self._compare(_Told(index, time))
        elif times[-1] > self._latest.time:
            self._latest = _Told(start + times.index(times[-1]), times[-1])

    def _compare(self, told: _Told) -> None:
        if told.time > self._latest.time:
            self._latest = told
        elif _is_before(told, self._latest):
            self._number += 1
            self._first = self._first or (told, self._latest)

    def remarks(self) -> Iterator[str]:
        """Yield the remark, if a clock went back."""
        if self._first is not None:
            told, latest = self._first
            say = "1 entry says" if self._number == 1 else f"{self._number} entries say"
            yield (
                f"{say} that an earlier one was recorded later: entry {told.index} at {told.time}, "
                f"entry {latest.index} at {latest.time}; a clock was set back, or went ahead until "
                "then. The order of entries does not depend on clocks"
            )


def _is_before(told: _Told, latest: _Told) -> bool:
    """Say whether a time is earlier by more than well-kept clocks differ."""
    with suppress(ValueError):  # what is no time is a problem, and found as one
        return parse_utc(latest.time) - parse_utc(told.time) > TOLERANCE
    return False

"""Random bytes from the operating system, drawn in batches: a call for each would cost more."""

from __future__ import annotations

import os
from typing import Final

_BATCH_BYTES: Final = 1024

_left: list[bytes] = []


def random_bytes(count: int) -> bytes:
    """Return ``count`` bytes (at most 32) that nobody has seen before."""
    try:
        return _left.pop()[:count]
    except IndexError:
        batch = os.urandom(_BATCH_BYTES)
        _left.extend(batch[i : i + 32] for i in range(0, _BATCH_BYTES, 32))
        return _left.pop()[:count]


def _forget() -> None:
    """Drop what was drawn before a fork, which parent and child would otherwise share."""
    _left.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)

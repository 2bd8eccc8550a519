"""Which calls were answered from the ledger, for a caller who wants to know; nothing is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_watching: Final[ContextVar[tuple[list[str], ...]]] = ContextVar("rml_replays", default=())


@contextmanager
def replays() -> Iterator[list[str]]:
    """Tell which protected calls in a block were not carried out, because their effects had ended.

    Such a call was given the recorded value, or the recorded failure, and its handler was not
    called: ``with rml.replays() as replayed: receipt = charge("pay-1")``. A duplicate that waited
    for the call in flight is one of them. Calls in tasks and threads count where they carry the
    block's context, as :mod:`asyncio` does.

    Yields:
        The ids of their effects, in the order in which they were answered.
    """
    found: list[str] = []
    token = _watching.set((*_watching.get(), found))
    try:
        yield found
    finally:
        _watching.reset(token)


def note_replay(effect: str) -> None:
    """Note that a call was answered with what is recorded of an effect."""
    for found in _watching.get():
        found.append(effect)

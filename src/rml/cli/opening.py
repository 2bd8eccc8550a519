"""What a command tells a store that it opens by itself, rather than as a ledger."""

from __future__ import annotations

from typing import Final
from uuid import uuid4

from rml.clock import RandomIds, SystemClock
from rml.ledger.argument import as_origin
from rml.ledger.store import Opening, to_url

# Somebody is waiting at the keyboard, and another process may be writing.
WAIT_SECONDS: Final = 10.0


def opening_of(place: str, *, origin: str | None = None, create: bool = False) -> Opening:
    """Return what opens the store at a path or URL.

    Raises:
        InvalidInputError: the place, or the origin, is none.
    """
    return Opening(
        url=to_url(place),
        origin=None if origin is None else as_origin(origin),
        new_origin=f"rml-ledger/{uuid4()}",
        clock=SystemClock(),
        ids=RandomIds(),
        create=create,
        timeout=WAIT_SECONDS,
    )

"""Which entry a command line names: by its id, or by its place as `rml tail` shows it."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Final

import attrs

from rml.error import RmlError
from rml.ledger.draft import Receipt
from rml.ledger.entry import Entry
from rml.ledger.errors import UnknownIdError
from rml.ledger.ledger import Ledger

_PLACE: Final = re.compile(r"[0-9]{1,18}", re.ASCII)


def is_place(name: str) -> bool:
    """Say whether a name is an entry's place, and no id."""
    return _PLACE.fullmatch(name) is not None


def entry_named(ledger: Ledger, name: str) -> Entry:
    """Return the entry with this id, or at this place.

    Raises:
        UnknownIdError: there is none.
    """
    if not is_place(name):
        return ledger.entry(name.strip().lower())
    for entry in ledger.entries(after=int(name) - 1, limit=1):
        if entry.index == int(name):
            return entry
    raise UnknownIdError(f"there is no entry {name}: the ledger has {ledger.size}, counted from 0")


def as_id(ledger: Ledger, name: str) -> str:
    """Return the id that a name stands for: that of the entry at a place, or the name itself.

    Raises:
        UnknownIdError: there is no such place.
    """
    return entry_named(ledger, name).id if is_place(name) else name.strip().lower()


def placed(ledger: Ledger, receipt: Receipt) -> Receipt:
    """Return a receipt with the entry's place, which in PostgreSQL it gets after its commit.

    The entry is recorded: where its place cannot be asked for, that is no failure.
    """
    if receipt.index is None:
        with suppress(RmlError):
            return attrs.evolve(receipt, index=ledger.index_of(receipt.id))
    return receipt


def shown_receipt(receipt: Receipt) -> str:
    """Return how a command names what it has recorded."""
    place = "" if receipt.index is None else f"{receipt.index}, "
    return f"entry {place}{receipt.id}"

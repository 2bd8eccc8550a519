"""Which ledger a command is about, and opening it without ever creating one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import click

from rml.config import LEDGER_VARIABLE
from rml.error import InvalidInputError
from rml.ledger.anchors.anchor import Anchor
from rml.ledger.errors import NoLedgerError
from rml.ledger.ledger import Ledger
from rml.redact import Secret

F = TypeVar("F", bound=Callable[..., Any])

# Somebody is waiting at the keyboard, and another process may be writing.
WAIT_SECONDS: Final = 10.0
_KEPT: Final = "rml.cli.place"
_IN_MEMORY: Final = ("memory:", "sqlite://:memory:", "sqlite:///:memory:", ":memory:")


def ledger_option(command: F) -> F:
    """Add ``--ledger``; said both before and after the command's name, the later one counts."""
    return click.option(
        "--ledger",
        metavar="PATH_OR_URL",
        callback=_keep,
        expose_value=False,
        help=f"The ledger; by default the one that {LEDGER_VARIABLE} names.",
    )(command)


def ledger_argument(command: F) -> F:
    """Add an optional ``LEDGER``, which says the same as ``--ledger``."""
    return click.argument(
        "place", metavar="[LEDGER]", required=False, callback=_keep, expose_value=False
    )(command)


def _keep(context: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        name_ledger(context, value)


def name_ledger(context: click.Context, place: str) -> None:
    """Take a path or URL as the ledger that this command line names."""
    context.meta[_KEPT] = place


def is_ledger_named() -> bool:
    """Say whether this command line, or the environment, names a ledger."""
    meta = click.get_current_context().meta
    return bool(meta.get(_KEPT) or os.environ.get(LEDGER_VARIABLE))


def named_ledger() -> str:
    """Return the path or URL that this command line, or the environment, names.

    Raises:
        NoLedgerError: neither does.
        InvalidInputError: it is a ledger in memory, which no other process can see.
    """
    place: str | None = click.get_current_context().meta.get(_KEPT)
    if place is None:
        place = os.environ.get(LEDGER_VARIABLE) or None
    if place is None:
        raise NoLedgerError(f"which ledger? give --ledger PATH_OR_URL, or set {LEDGER_VARIABLE}")
    if place in _IN_MEMORY:
        raise InvalidInputError(f"{place} lives in its own process only; name a ledger in a file")
    return place


@contextmanager
def opened_ledger(
    signer: Secret[str] | None = None, anchors: Sequence[Anchor] = ()
) -> Iterator[Ledger]:
    """Open the ledger that is named, for a block; with its key and anchors, if they are given.

    Raises:
        RmlError: none is named, or what is there cannot be opened as a ledger.
    """
    with Ledger(
        named_ledger(), create=False, timeout=WAIT_SECONDS, signer=signer, anchors=anchors
    ) as ledger:
        yield ledger

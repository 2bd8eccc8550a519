"""What the acts of the story share: the parts on the stage, the clock, and the one who tells it.

Whatever the story says is checked where it is said: a claim that does not hold is printed as one
that does not, and the demonstration as a whole has failed.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, TypeVar

import attrs

import rml
from rml.demo.shop import Shop

E = TypeVar("E", bound=BaseException)

COLUMNS: Final = 79
"""Fits a terminal of 80 columns with a cursor at the end."""

_TIME: Final = "       "
"""As wide as the time of day that begins a line."""


def some(number: int, what: str) -> str:
    """Count things: "1 charge", "2 charges"."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


@attrs.define
class Stage:
    """Everything an act plays with.

    Attributes:
        folder: where everything the story writes is kept.
        ledger: the shop's ledger.
        clock: the ledger's clock, moved by hand.
        shop: the shop's code.
        echo: where each line of the story goes.
        untrue: the claims that did not hold.
    """

    folder: Path
    ledger: rml.Ledger
    clock: rml.FrozenClock
    shop: Shop
    echo: Callable[[str], None]
    untrue: list[str] = attrs.field(factory=list)

    def open_act(self, title: str, *remarks: str) -> None:
        """Begin an act."""
        self.echo("")
        self.echo(title)
        self.echo("-" * len(title))
        for remark in remarks:
            self.remark(remark)
        self.echo("")

    def remark(self, text: str) -> None:
        """Say something about the story."""
        self._wrapped(text, "", "")

    def tell(self, text: str) -> None:
        """Say what happens at this time of the story's day."""
        self._wrapped(text, f"{self.clock.now():%H:%M}  ", _TIME)

    def table(self, rows: Iterable[str]) -> None:
        """Print rows below what was told."""
        for row in rows:
            self.echo(f"{_TIME}  {row}")

    def claim(self, is_true: bool, what: str) -> None:  # noqa: FBT001 - the claim itself
        """Check what the story says; what is not so is said to be not so."""
        if not is_true:
            self.untrue.append(what)
            self._wrapped(f"This should hold and does not: {what}.", "!!!!!  ", _TIME)

    def expect(self, kind: type[E], call: Callable[[], object]) -> E | None:
        """Return the error that the call must end with."""
        try:
            call()
        except kind as error:
            return error
        self.claim(is_true=False, what=f"{kind.__name__} is raised")
        return None

    def _wrapped(self, text: str, first: str, rest: str) -> None:
        for line in textwrap.wrap(
            text,
            COLUMNS,
            initial_indent=first,
            subsequent_indent=rest,
            break_long_words=False,
            break_on_hyphens=False,
        ):
            self.echo(line)

"""Orders on an incident, read back by who got them, and the notes that are on its board.

Pure: what the entries tell. An order is open until whoever gave it, or the commander, confirms that
it was understood; before, it is read back in the words of the one who is to carry it out.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

import attrs

from rml.error import InvalidInputError
from rml.incident import kinds
from rml.ledger.entry import Entry
from rml.tag import shown


class Board(StrEnum):
    """Where a note hangs: facts apart from guesses, and the five questions of the intake."""

    KNOW = "know"
    THINK = "think"
    NOT_AFFECTED = "not_affected"
    MIGHT_BE = "might_be"
    QUESTION = "question"
    BLOCKER = "blocker"
    HYPOTHESIS = "hypothesis"
    SUMMARY = "summary"
    BLAST_RADIUS = "blast_radius"
    START = "start"
    WHAT_CHANGED = "what_changed"
    WHO_ELSE = "who_else"

    @classmethod
    def _missing_(cls, value: object) -> Board:
        said = value.strip().lower().replace(" ", "_") if isinstance(value, str) else ""
        if said in list(cls):
            return cls(said)
        raise InvalidInputError(f"{shown(value)} is no board; a note hangs on {', '.join(cls)}")


# What somebody who takes the report asks; "unknown" is an answer, nothing is none.
INTAKE = (Board.SUMMARY, Board.BLAST_RADIUS, Board.START, Board.WHAT_CHANGED, Board.WHO_ELSE)


@attrs.frozen(kw_only=True)
class Order:
    """An order, and how far it has come.

    Attributes:
        entry: the id of the entry that gave it.
        detail: what is to be done.
        to: who is to do it.
        by: who gave it.
        at: when.
        read_back: the latest words in which it was read back.
        is_open: whether nobody has confirmed it.
    """

    entry: str
    detail: str
    to: str
    by: str | None
    at: datetime
    read_back: str | None = None
    is_open: bool = True

    @property
    def matches(self) -> bool | None:
        """Whether it was read back as it was given, but for case and spacing."""
        return None if self.read_back is None else _plain(self.read_back) == _plain(self.detail)


@attrs.frozen(kw_only=True)
class Note:
    """A note on the board.

    Attributes:
        entry: the id of its entry.
        board: where it hangs.
        detail: what it says.
        by: who wrote it.
        because: why it is believed, of a hypothesis.
        disproof: what would disprove it, of a hypothesis.
        ended_by: the id of the note that answered, cleared or disproved it.
    """

    entry: str
    board: Board
    detail: str
    by: str | None
    because: str | None = None
    disproof: str | None = None
    ended_by: str | None = None


def orders_of(entries: Iterable[Entry]) -> tuple[Order, ...]:
    """Return every order, oldest first."""
    orders: dict[str, Order] = {}
    for entry in entries:
        facts = entry.facts
        if entry.kind == kinds.ORDERED:
            orders[entry.id] = Order(
                entry=entry.id,
                detail=facts["detail"],
                to=facts["to"],
                by=entry.actor,
                at=entry.at,
            )
        elif entry.kind in (kinds.READ_BACK, kinds.ORDER_CLOSED) and facts["order"] in orders:
            order = orders[facts["order"]]
            if entry.kind == kinds.READ_BACK:
                orders[order.entry] = attrs.evolve(order, read_back=facts["detail"])
            else:
                orders[order.entry] = attrs.evolve(order, is_open=False)
    return tuple(orders.values())


def notes_of(entries: Iterable[Entry]) -> tuple[Note, ...]:
    """Return every note, oldest first, ended ones among them."""
    notes: dict[str, Note] = {}
    for entry in entries:
        if entry.kind != kinds.NOTED:
            continue
        facts = entry.facts
        notes[entry.id] = Note(
            entry=entry.id,
            board=Board(facts["board"]),
            detail=facts["detail"],
            by=entry.actor,
            because=facts.get("because"),
            disproof=facts.get("disproof"),
        )
        ended = notes.get(facts.get("ends", ""))
        if ended is not None:
            notes[ended.entry] = attrs.evolve(ended, ended_by=entry.id)
    return tuple(notes.values())


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())

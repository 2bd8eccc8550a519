"""`rml tail`: what was recorded last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import click

from rml.cli.ending import FINE
from rml.cli.output import examples, json_option, moment, say, say_json, table, word
from rml.cli.place import ledger_option, opened_ledger
from rml.cli.shape import entry_shape
from rml.effect.state import RESERVED_PREFIX
from rml.ledger.entry import Entry, check_kind

# About one screen.
ENTRIES_DEFAULT: Final = 20
# Facts in which an entry says in words what it is about, the best first.
_IN_WORDS: Final = ("title", "summary", "detail", "reason", "trouble")


@click.command(
    epilog=examples(
        "rml tail --ledger payments.db",
        "rml tail -n 5 --kind incident.opened",
    )
)
@click.option(
    "-n",
    "number",
    metavar="N",
    type=click.IntRange(min=0),
    default=ENTRIES_DEFAULT,
    show_default=True,
    help="How many entries.",
)
@click.option("--kind", metavar="K", help="Only entries of this kind, such as effect.in_doubt.")
@ledger_option
@json_option
def tail(*, number: int, kind: str | None, as_json: bool) -> int:
    """Show the newest entries, oldest first.

    The number in the first column is the entry's place; `rml show` takes it as well as an id.
    """
    wanted = None if kind is None else check_kind(kind)
    with opened_ledger() as ledger:
        entries = list(ledger.entries(kind=wanted, newest_first=True, limit=number))[::-1]
    if as_json:
        say_json([entry_shape(entry) for entry in entries])
    else:
        say(entry_table(entries) if entries else "no entries")
    return FINE


def entry_table(entries: Sequence[Entry], *, indent: str = "") -> list[str]:
    """Return entries as a table, one line each."""
    keys = {entry.effect: entry.key for entry in entries if entry.effect and entry.key}
    rows = [_cells(entry, _key(entry, keys)) for entry in entries]
    return table([">#", "RECORDED (UTC)", "WORLD", "KIND", "WHAT"], rows, indent=indent)


def _cells(entry: Entry, key: str | None) -> list[str]:
    index = "" if entry.index is None else str(entry.index)
    return [index, moment(entry.recorded_at), entry.world.value, entry.kind, what(entry, key)]


def _key(entry: Entry, keys: Mapping[str, str]) -> str | None:
    """Return the key of the entry's effect, or enough of its id to tell it from its neighbours."""
    return None if entry.effect is None else keys.get(entry.effect, entry.effect[:11])


def what(entry: Entry, key: str | None) -> str:
    """Return in a few words what an entry is about; ``key`` is that of its effect."""
    said = next((entry.facts[name] for name in _IN_WORDS if name in entry.facts), None)
    text = word(said) if said else assignments(entry.facts.items())
    by = f"by {entry.actor}" if entry.actor else None
    if entry.kind.startswith("incident."):
        return " ".join(filter(None, [entry.incident, by, text]))
    attempt = f"attempt {entry.attempt}" if entry.attempt and entry.attempt > 1 else None
    return " ".join(filter(None, [entry.operation, key, attempt, by, text, entry.incident]))


def assignments(facts: Iterable[tuple[str, object]]) -> str:
    """Return facts as ``name=value``, the library's own notes left out."""
    return " ".join(
        f"{name}={word(value)}" for name, value in facts if not name.startswith(RESERVED_PREFIX)
    )

"""`rml tail`: what was recorded last, and what is being recorded now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, Final

import attrs
import click

from rml.cli.ending import FINE
from rml.cli.output import (
    examples,
    json_option,
    moment,
    say,
    say_json,
    say_json_on,
    say_on,
    table,
    word,
)
from rml.cli.place import ledger_option, opened_ledger
from rml.cli.shape import entry_shape
from rml.incident.private import is_private
from rml.ledger.entry import RESERVED_PREFIX, Entry, check_kind
from rml.ledger.ledger import Ledger
from rml.ledger.queries.cursor import FileCursor
from rml.ledger.queries.follow import POLL_SECONDS

# What is shown in place of the facts of a private case.
_PRIVATE: Final = {"private": True}
# About one screen.
ENTRIES_DEFAULT: Final = 20
# Facts in which an entry says in words what it is about, the best first.
_IN_WORDS: Final = ("title", "summary", "detail", "reason", "trouble")
_HEADS: Final = (">#", "RECORDED (UTC)", "WORLD", "KIND", "WHAT")
# As wide as most entries need, for lines that are written before the next one is known.
_WIDE_HEADS: Final = (">     #", f"{'RECORDED (UTC)':19}", "WORLD", f"{'KIND':18}", "WHAT")


@click.command(
    epilog=examples(
        "rml tail --ledger payments.db",
        "rml tail -n 5 --kind incident.opened",
        "rml tail -f --operation payment.charge",
        "rml tail --json --cursor seen.cursor   what is new since the last time",
    )
)
@click.option(
    "-n",
    "number",
    metavar="N",
    type=click.IntRange(min=0),
    help=f"How many entries; {ENTRIES_DEFAULT} if not said.",
)
@click.option("-f", "--follow", is_flag=True, help="Go on as new entries come, until Ctrl-C.")
@click.option(
    "--cursor",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Begin where this file says, and keep the place there. A new one begins with entry 0.",
)
@click.option("--kind", metavar="K", help="Only entries of this kind, such as effect.in_doubt.")
@click.option("--world", metavar="W", help="Only entries of this world: RML1, RML2, RML3.")
@click.option("--operation", metavar="OP", help="Only entries of this operation.")
@click.option("--effect", metavar="ID", help="Only entries of this effect: ef_...")
@click.option("--incident", metavar="ID", help="Only entries of this incident: INC-2026-0001.")
@ledger_option
@json_option
def tail(
    *,
    number: int | None,
    follow: bool,
    cursor: Path | None,
    kind: str | None,
    incident: str | None,
    as_json: bool,
    **conditions: str | None,
) -> int:
    """Show the newest entries, oldest first.

    The number in the first column is the entry's place; `rml show` takes it as well as an id.
    What a private case says is left out: rml case INC-... timeline --by NAME --reason TEXT.
    With -f or --cursor, entries are shown one by one, and --json prints a document a line.
    """
    if cursor is not None and number is not None:
        raise click.UsageError(
            "-n and --cursor contradict each other: a cursor says where to begin"
        )
    asked: dict[str, Any] = {
        **conditions,
        "kind": None if kind is None else check_kind(kind),
        "incident": None if incident is None else incident.strip().upper(),
    }
    last = ENTRIES_DEFAULT if number is None else number
    with opened_ledger() as ledger:
        if follow or cursor is not None:
            # An interrupt is how the reader of an endless answer says that it is enough.
            with suppress(KeyboardInterrupt) if follow else nullcontext():
                _show(ledger, _stream(ledger, cursor, last, asked, follow=follow), as_json=as_json)
            return FINE
        newest = list(ledger.entries(newest_first=True, limit=last, **asked))
        entries = [public(ledger, entry) for entry in newest[::-1]]
    if as_json:
        say_json([entry_shape(entry) for entry in entries])
    else:
        say(entry_table(entries) if entries else "no entries")
    return FINE


def _stream(
    ledger: Ledger, cursor: Path | None, last: int, asked: Mapping[str, Any], *, follow: bool
) -> Iterator[Entry]:
    """Yield entries from a cursor's place, or the newest, oldest first; then those that come."""
    if cursor is not None:
        poll = POLL_SECONDS if follow else None
        yield from ledger.follow(cursor=FileCursor(cursor), poll=poll, **asked)
        return
    then = ledger.as_of(ledger.size)
    yield from list(then.entries(newest_first=True, limit=last, **asked))[::-1]
    yield from ledger.follow(after=then.size - 1, **asked)


def public(ledger: Ledger, entry: Entry) -> Entry:
    """Return an entry without its facts if it is of a private case, whose readers are recorded."""
    return attrs.evolve(entry, facts=_PRIVATE) if is_private(ledger, entry.incident) else entry


def _show(ledger: Ledger, entries: Iterable[Entry], *, as_json: bool) -> None:
    """Write entries as they come, each in a line of its own."""
    for place, found in enumerate(entries):
        entry = public(ledger, found)
        if as_json:
            say_json_on(entry_shape(entry))
            continue
        head, line = table(_WIDE_HEADS, [_cells(entry, _key_in(ledger, entry))])
        say_on(line if place else f"{head}\n{line}")


def _key_in(ledger: Ledger, entry: Entry) -> str | None:
    """Return the key of the entry's effect, as its first intent has it."""
    if entry.effect is None:
        return None
    intents = ledger.entries(kind="effect.intent", effect=entry.effect, limit=1)
    return _key(entry, {one.effect: one.key for one in intents if one.effect and one.key})


def entry_table(entries: Sequence[Entry], *, indent: str = "") -> list[str]:
    """Return entries as a table, one line each."""
    keys = {entry.effect: entry.key for entry in entries if entry.effect and entry.key}
    rows = [_cells(entry, _key(entry, keys)) for entry in entries]
    return table(_HEADS, rows, indent=indent)


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

"""`rml backup`: a verified copy of a ledger that is in use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import click

from rml.cli.ending import FINE
from rml.cli.output import examples, fields, json_option, paint, progress_bar, say, say_json
from rml.cli.place import ledger_option, name_ledger, opened_ledger

# The ledger's and its copy's.
PLACES_MAX: Final = 2


@click.command(
    epilog=examples(
        "rml backup payments.db /backups/payments-2026-11-21.db",
        "rml backup /backups/payments.db --overwrite --json",
    )
)
@click.argument("words", metavar="[LEDGER] FILE", nargs=-1, required=True)
@click.option("--overwrite", is_flag=True, help="Replace an earlier backup of this ledger.")
@ledger_option
@json_option
@click.pass_context
def backup(context: click.Context, *, words: Sequence[str], overwrite: bool, as_json: bool) -> int:
    """Copy the ledger into FILE while others write to it, and verify the copy.

    FILE is there when it is complete, verified and on the disk, or not at all. A backup that is
    put in the ledger's place later is a ledger that was set back: what was recorded since is gone
    from it, and a checkpoint kept elsewhere shows that.
    """
    if len(words) > PLACES_MAX:
        raise click.UsageError("name the ledger, or leave that to --ledger, and one file")
    if len(words) == PLACES_MAX:
        name_ledger(context, words[0])
    file = Path(words[-1])
    with opened_ledger() as ledger, bars() as progress:
        found = ledger.backup(file, overwrite=overwrite, progress=progress)
    if as_json:
        say_json({"file": str(file), **found.to_dict()})
        return FINE
    lines = fields(
        [
            ("backup", str(file)),
            ("origin", found.origin),
            ("entries", found.size),
            ("root", found.root),
        ]
    )
    say([*lines, "", f"{paint('ok')}: the copy was verified, entry by entry"])
    return FINE


@contextmanager
def bars() -> Iterator[Callable[[str, int, int], None]]:
    """Lend what shows each step with a bar of its own."""
    with ExitStack() as bars:
        shown: dict[str, Callable[[int, int], None] | None] = {}

        def tell(step: str, done: int, total: int) -> None:
            if step not in shown:
                bars.close()
                shown[step] = bars.enter_context(progress_bar(step, total))
            bar = shown[step]
            if bar is not None:
                bar(done, total)

        yield tell

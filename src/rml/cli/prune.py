"""`rml prune`: what is kept beside old entries is removed for good, on the record."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import click

from rml.cli.effects import Moment
from rml.cli.ending import FINE
from rml.cli.output import examples, json_option, moment, progress_bar, say, say_json
from rml.cli.place import ledger_option, named_ledger, opened_ledger
from rml.cli.removing import confirm, removal_page

CONFIRMATION: Final = "prune"


@click.command(
    epilog=examples(
        'rml prune --before 2016-11-20 --by rosa --reason "retention: ten years"',
        'rml prune --before 3650d --by job --reason "retention: ten years" --yes',
        'rml prune --below 120000 --by rosa --reason "retention: ten years"',
    )
)
@click.option(
    "--before",
    metavar="T",
    type=Moment(),
    help="All below the first entry recorded then or later: 2016-11-20, or 3650d ago. In UTC.",
)
@click.option(
    "--below",
    metavar="N",
    type=click.IntRange(min=0),
    help="All below this place, the number that `rml tail` shows.",
)
@click.option("--by", metavar="NAME", required=True, help="Who prunes.")
@click.option("--reason", metavar="TEXT", required=True, help="By what rule; in clear for ever.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@ledger_option
@json_option
def prune(
    *,
    before: datetime | None,
    below: int | None,
    by: str,
    reason: str,
    yes: bool,
    as_json: bool,
) -> int:
    """Remove all that is kept beside old entries; every proof stays valid.

    Personal fields go, and results and requests: an effect that is done stays done, and its result
    cannot be given again. What has not ended keeps its values. After an interrupt, run it again.

    In a terminal it asks first; a script says --yes. Exit status 2: nothing was pruned, or the
    ledger was busy before all of it was.
    """
    if before is not None and before > datetime.now(UTC):
        raise click.UsageError(f"--before {moment(before)} UTC is yet to come")
    if before is not None and below is None:
        edge: datetime | int = before
        where = f"recorded before {moment(before)} UTC"
    elif below is not None and before is None:
        edge, where = below, f"below {below}"
    else:
        raise click.UsageError("say how far: --before T or --below N")
    place = named_ledger()
    if not yes:
        what = f"This removes all that is kept beside entries {where} in {place}."
        confirm(what, CONFIRMATION, "nothing was pruned")
    with opened_ledger() as ledger, progress_bar("pruning", ledger.size) as progress:
        if below is not None and below > ledger.size:
            raise click.UsageError(f"--below {below}: the ledger has {ledger.size} entries")
        done = ledger.prune(edge, by=by, reason=reason, progress=progress)
    if as_json:
        say_json(
            {
                "entries": done.entries,
                "fields": done.fields,
                "kept": done.kept,
                "below": done.below,
            }
        )
    else:
        say([*removal_page(done, "pruned", "all of their values were kept")])
    return FINE

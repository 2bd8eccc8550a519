"""`rml verify`: was the ledger tampered with?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Final

import click

from rml.cli.copied import private_copy
from rml.cli.ending import FINE, NO
from rml.cli.output import (
    examples,
    fields,
    json_option,
    paint,
    progress_bar,
    say,
    say_json,
    wrapped,
)
from rml.cli.place import ledger_argument, ledger_option, name_ledger, named_ledger, opened_ledger
from rml.cli.vouching import (
    a_file,
    a_file_there,
    anchor_options,
    anchors_of,
    checkpoint_in,
    verifier_key,
)
from rml.error import InvalidInputError
from rml.ledger.anchors.anchor import Anchor, file_of, is_elsewhere
from rml.ledger.anchors.file_anchor import FileAnchor
from rml.ledger.checks.verification import Level, Problem, Verification
from rml.ledger.errors import LedgerCorruptError
from rml.ledger.ledger import Ledger
from rml.ledger.proofs.checkpoint import Checkpoint, read_checkpoint
from rml.ledger.store import to_url

# How many problems are printed; `--json` has all that were gathered.
PROBLEMS_SHOWN_MAX: Final = 10
_TRIGGER: Final = re.compile(r"(?:entries|tiles|meta|head)_(?:in_order|only_[a-z]+|no_[a-z]+) is m")


@click.command(
    epilog=examples(
        "rml verify payments.db",
        "rml verify payments.db --key payments.vkey --anchor /mnt/audit/payments.kept",
        "rml verify payments.db --since seen.checkpoint   what is new since then",
        "rml verify payments.db --read-only               not a byte of it changes",
        "rml verify --json | jq .level",
    )
)
@ledger_argument
@click.option(
    "--key",
    "keys",
    metavar="VKEY",
    multiple=True,
    help="A verifier key to trust, or the file that holds it: the ledger's, or a witness's.",
)
@anchor_options(there=True)
@click.option(
    "--checkpoint",
    "kept",
    metavar="FILE",
    multiple=True,
    type=a_file_there,
    help="A checkpoint that somebody kept, to compare the ledger with.",
)
@click.option(
    "--since",
    metavar="FILE",
    type=a_file,
    help="Read only what came after the checkpoint in this file, and, if all is well, put the new "
    "one there. Without the file, read everything.",
)
@click.option(
    "--read-only",
    is_flag=True,
    help="Leave the ledger's files as they are: verify a private copy of them.",
)
@ledger_option
@json_option
@click.pass_context
def verify(
    context: click.Context,
    *,
    keys: Sequence[str],
    files: Sequence[Path],
    witnesses: Sequence[str],
    kept: Sequence[Path],
    since: Path | None,
    read_only: bool,
    as_json: bool,
) -> int:
    """Recompute everything from the bytes and name the first bad entry.

    Compared with checkpoints that were kept elsewhere, it shows also that the ledger was not set
    back or rewritten as a whole; the level says how far that goes.

    Exit status 1: the ledger is not what it says it is. Keep the file as it is, as evidence. After
    a crash, whoever opens it folds its log into it; with --read-only not a byte changes.
    """
    place = named_ledger()
    trusted = [verifier_key(key) for key in keys]
    anchors = anchors_of(files, witnesses)
    compared: list[str | Anchor] = [*anchors, *map(checkpoint_in, kept)]
    if read_only:
        _check_elsewhere(anchors, place)
    try:
        with (
            _as_it_is(context, place) if read_only else nullcontext(),
            opened_ledger() as ledger,
            progress_bar("verifying", ledger.size) as progress,
        ):
            earlier = None if since is None else _earlier(since, ledger.origin)
            found = ledger.verify(progress, keys=trusted, checkpoints=compared, since=earlier)
            if since is not None and found.ok:
                _remember(since, ledger, found)
    except LedgerCorruptError as error:  # too damaged to be read to its end, which is an answer too
        found = _unreadable(error)
    if as_json:
        say_json(found.to_dict())
    else:
        say(_page(place, found))
    return FINE if found.ok else NO


def _check_elsewhere(anchors: Sequence[Anchor], place: str) -> None:
    """Refuse an anchor beside the ledger: beside a copy of it, it would count as elsewhere."""
    for anchor in anchors:
        if not is_elsewhere(anchor, file_of(to_url(place))):
            raise click.UsageError(
                f"{anchor} lies in the ledger's own folder; with --read-only give its file as "
                "--checkpoint, which shows as much"
            )


@contextmanager
def _as_it_is(context: click.Context, place: str) -> Iterator[None]:
    """Have a private copy stand for the ledger that is named."""
    with private_copy(place) as copy:
        name_ledger(context, str(copy))
        yield


def _earlier(path: Path, origin: str) -> str | None:
    """Return what this reader has verified before, if there is such a file.

    Raises:
        InvalidInputError: the file holds something else, or a signed checkpoint, which somebody
            keeps for more than this.
    """
    text = FileAnchor(path).last(origin)
    if text is not None and read_checkpoint(text)[1] is not None:
        raise InvalidInputError(
            f"{path} holds a signed checkpoint, which --since would replace by one of its own; "
            "give it as --checkpoint, and another file as --since"
        )
    return text


def _remember(path: Path, ledger: Ledger, found: Verification) -> None:
    now = Checkpoint(found.origin, found.size, bytes.fromhex(found.root))
    FileAnchor(path).keep(now.to_text(), lambda size: ledger.prove_consistency(size, found.size))


def _page(place: str, found: Verification) -> list[str]:
    lines = fields(
        [
            ("ledger", place),
            ("origin", found.origin or None),
            ("entries", found.size if found.origin else None),
            ("root", found.root or None),
            ("level", found.level.value),
            *((one.level.value, f"{one.size} entries: {one.by}") for one in found.assurances),
            ("no higher", found.capped_by or None),
            *(("also", remark) for remark in found.remarks),
        ]
    )
    if found.ok:
        return [*lines, "", f"{paint('ok')}: everything follows from the entries' bytes"]
    number = len(found.problems)
    lines += ["", f"{paint('NOT ok')}: {number} problem{'s' if number > 1 else ''}"]
    for problem in found.problems[:PROBLEMS_SHOWN_MAX]:
        lines += wrapped(f"{_where(problem)}{_what(problem)} [{problem.code}]", "  ", "    ")
    if number > PROBLEMS_SHOWN_MAX:
        lines.append(f"  ... and {number - PROBLEMS_SHOWN_MAX} more")
    if any(problem.code == "origin" for problem in found.problems):
        lines += wrapped(f"this file says that it is the ledger {found.origin}", "  ", "    ")
    return lines


def _what(problem: Problem) -> str:
    """Return what is wrong; of a missing trigger also what follows from that."""
    if problem.code == "schema" and _TRIGGER.match(problem.detail):
        return f"the trigger {problem.detail}; what it guards is not guarded"
    return problem.detail


def _where(problem: Problem) -> str:
    if problem.index is None:
        return f"entry {problem.entry}: " if problem.entry else ""
    return f"entry {problem.index}" + (f" ({problem.entry})" if problem.entry else "") + ": "


def _unreadable(error: LedgerCorruptError) -> Verification:
    return Verification(
        ok=False,
        level=Level.NONE,
        capped_by="the problems found",
        origin="",
        size=0,
        root="",
        problems=(Problem("unreadable", error.message),),
    )

"""`rml verify`: was the ledger tampered with?"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import click

from rml.cli.ending import FINE, NO
from rml.cli.output import (
    examples,
    fields,
    is_terminal,
    json_option,
    paint,
    say,
    say_json,
    wrapped,
)
from rml.cli.place import ledger_option, named_ledger, opened_ledger
from rml.ledger.errors import LedgerCorruptError
from rml.ledger.verification import Level, Problem, Verification

# How many problems are printed; `--json` has all that were gathered.
PROBLEMS_SHOWN_MAX: Final = 10
_TRIGGER: Final = re.compile(r"((?:entries|tiles|meta|head)_(?:in_order|only_erased|no_[a-z]+)) is")


@click.command(
    epilog=examples(
        "rml verify --ledger payments.db",
        "rml verify --json | jq .ok",
    )
)
@ledger_option
@json_option
def verify(*, as_json: bool) -> int:
    """Recompute everything from the bytes and name the first bad entry.

    Exit status 1: the ledger is not what it says it is. Keep the file as it is, as evidence.
    """
    place = named_ledger()
    try:
        with opened_ledger() as ledger, _progress(ledger.size) as progress:
            found = ledger.verify(progress)
    except LedgerCorruptError as error:  # too damaged to be read to its end, which is an answer too
        found = _unreadable(error)
    if as_json:
        say_json(found.to_dict())
    else:
        say(_page(place, found))
    return FINE if found.ok else NO


def _page(place: str, found: Verification) -> list[str]:
    lines = fields(
        [
            ("ledger", place),
            ("origin", found.origin or None),
            ("entries", found.size if found.origin else None),
            ("root", found.root or None),
            ("level", found.level.value),
            ("no higher", found.capped_by),
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
    """Return what is wrong; of a trigger also that it is one, and what follows from that."""
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


@contextmanager
def _progress(size: int) -> Iterator[Callable[[int, int], None] | None]:
    """Show how far the verification is, to whoever watches stderr."""
    if not is_terminal(sys.stderr):
        yield None
        return
    with click.progressbar(length=max(size, 1), label="verifying", file=sys.stderr) as bar:
        yield lambda checked, _: bar.update(checked - bar.pos)

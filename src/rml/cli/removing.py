"""What the commands that remove values share: they ask first, and tell what is gone."""

from __future__ import annotations

import sys

import click

from rml.cli.output import is_terminal, wrapped
from rml.ledger.erasures.erasure import Removal
from rml.legible import legible


def confirm(what: str, word: str, otherwise: str) -> None:
    """Have a person type what they are about to do: a key hit by accident is not enough.

    Args:
        what: the sentence that says what will be gone.
        word: what is to be typed.
        otherwise: what is said if it is not.
    """
    if not is_terminal(sys.stdin):
        raise click.UsageError("nobody is there to be asked; say --yes")
    question = f"{legible(what)}\nIt cannot be undone. Type {word!r} to go on: "
    click.echo(question, nl=False, err=True)
    if sys.stdin.readline().strip() != word:
        raise click.ClickException(otherwise)


def removal_page(done: Removal, verb: str, kept: str) -> list[str]:
    """Return what was removed, and what has not ended and kept something."""
    fields = f"{done.fields} field{'' if done.fields == 1 else 's'}"
    entries = f"{done.entries} entr{'y' if done.entries == 1 else 'ies'}"
    gone = f"{verb} {fields} of {entries}"
    lines = [gone if done.fields else f"nothing was left to be {verb}"]
    if done.kept:
        why = f"Not ended yet, so {kept}; run this again when they have:"
        lines += [*wrapped(why, "", ""), *(f"  {name}" for name in done.kept)]
    return lines

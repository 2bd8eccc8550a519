"""`rml lint`: what can repeat an effect or lose history, by file and line."""

from __future__ import annotations

import os
from pathlib import Path

import click

from rml.cli.ending import COULD_NOT_TELL, FINE, NO
from rml.cli.output import examples, json_option, say, say_json, wrapped
from rml.legible import legible
from rml.lint.catalog import CATALOG, Entry
from rml.lint.run import Report, check
from rml.lint.settings import Settings


@click.command(
    epilog=examples(
        "rml lint src                  every Python file below src",
        "rml lint --explain RML102     why, and how to do better",
        "rml lint src --json | jq -r '.violations[].code' | sort | uniq -c",
    )
)
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path(exists=True))
@click.option("--explain", metavar="CODE", help="Say what a code means, and check nothing.")
@json_option
def lint(*, paths: tuple[str, ...], explain: str | None, as_json: bool) -> int:
    """Find code that can repeat an effect or lose history.

    It reads the files, or the folder it is called in, and imports none of them.
    Exit status 1: something was found. 2: a file could not be read.
    """
    if explain is not None:
        if paths:
            raise click.UsageError("--explain checks no files; give one or the other")
        entry = _entry(explain)
        if as_json:
            say_json(entry.to_dict())
        else:
            say(_page(entry))
        return FINE
    given = paths or (".",)
    report = check(given, Settings.beside(_common(given)))
    if as_json:
        say_json(report.to_dict())
    else:
        say(_lines(report))
    for path, reason in report.unread.items():
        click.echo(legible(f"rml lint: cannot read {path}: {reason}"), err=True)
    if report.unread:
        return COULD_NOT_TELL
    return NO if report.violations else FINE


def _common(paths: tuple[str, ...]) -> Path:
    """Return the folder in which all paths lie."""
    return Path(os.path.commonpath([Path(path).absolute() for path in paths]))


def _entry(code: str) -> Entry:
    entry = CATALOG.get(code.upper())
    if entry is None:
        raise click.UsageError(f"no code {code!r}; the codes are {', '.join(CATALOG)}")
    return entry


def _page(entry: Entry) -> list[str]:
    return [
        f"{entry.code}: {entry.title}",
        "",
        *wrapped(entry.why, "", ""),
        "",
        "Bad:",
        *(f"    {line}".rstrip() for line in entry.bad.splitlines()),
        "",
        "Good:",
        *(f"    {line}".rstrip() for line in entry.good.splitlines()),
    ]


def _lines(report: Report) -> list[str]:
    files = f"{report.files} file" + ("" if report.files == 1 else "s")
    number = len(report.violations)
    found = f"{number or 'no'} violation" + ("" if number == 1 else "s")
    return [*(legible(str(violation)) for violation in report.violations), f"{found} in {files}"]

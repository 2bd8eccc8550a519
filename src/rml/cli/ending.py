"""How a command line ends: with an exit status and at most one line on stderr, no traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from io import TextIOWrapper
from typing import Final, TextIO

import click

from rml.cli.output import drop_output
from rml.error import RmlError
from rml.legible import legible

FINE: Final = 0
NO: Final = 1
COULD_NOT_TELL: Final = 2
INTERRUPTED: Final = 128 + 2  # what a shell reports for SIGINT

# Set to anything to see where an error of rml's own came from.
TRACEBACK_VARIABLE: Final = "RML_TRACEBACK"


def end(run: Callable[[], object]) -> int:
    """Run a command line and return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        _write_anything(stream)
    try:
        status = _attempt(run)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough: the answer stands
        drop_output()
        return FINE
    except KeyboardInterrupt:
        drop_output()
        _say("rml: interrupted")
        return INTERRUPTED
    return status


def _attempt(run: Callable[[], object]) -> int:
    try:
        status = run()
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return COULD_NOT_TELL
    except click.ClickException as error:
        return _refuse(error)
    except RmlError as error:
        return _say(f"rml: {error.message}")
    except BrokenPipeError:  # stdout's: a command that talks to others sees to theirs itself
        raise
    except Exception as error:
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        hint = f"set {TRACEBACK_VARIABLE}=1 to see where"
        return _say(f"rml: unexpected {type(error).__name__}: {error} ({hint})")
    return status if isinstance(status, int) else FINE


def _refuse(error: click.ClickException) -> int:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "rml"
    hint = f" (see: {path} --help)" if isinstance(error, click.UsageError) else ""
    return _say(f"{path}: {error.format_message()}{hint}")


def _say(line: str) -> int:
    with suppress(OSError):
        click.echo(legible(line), err=True)
    return COULD_NOT_TELL


def _write_anything(stream: TextIO | None) -> None:
    """Let a stream of a narrow encoding write any text, escaped where it must be."""
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")

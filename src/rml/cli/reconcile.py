"""`rml reconcile`: ask the other side about what is in doubt, once or at intervals."""

from __future__ import annotations

import importlib
import re
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import click

from rml.cause import text_of
from rml.cli.ending import FINE, NO
from rml.cli.output import (
    clean,
    examples,
    json_option,
    say,
    say_json,
    say_json_on,
    say_on,
    wrapped,
)
from rml.cli.place import ledger_option, opened_ledger
from rml.cli.shape import reconciliation_shape
from rml.config import use
from rml.effect.reconcile import Questions, Reconciliation, is_defined
from rml.effect.reconciler import GRACE_SECONDS, TIMEOUT_SECONDS, as_interval
from rml.effect.state import EffectState
from rml.error import RmlError
from rml.ledger.ledger import Ledger
from rml.tag import shown

_LENGTH: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(s|m|h|)", re.ASCII)
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600}


class Length(click.ParamType[float]):
    """A length of time on a command line: ``30s``, ``5m``, ``1h``, or a number of seconds."""

    name = "length"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read it, or fail with what would have been understood."""
        if isinstance(value, int | float):
            return float(value)
        read = _LENGTH.fullmatch(value.strip())
        if read is None:
            self.fail(f"{shown(value)} is no length of time such as 30s, 5m or 1h", param, ctx)
        return float(read[1]) * _SECONDS[read[2]]


@click.command(
    epilog=examples(
        "rml reconcile --module shop.handlers --ledger payments.db",
        "rml reconcile --module shop.handlers --every 30s",
        "rml reconcile --module shop.handlers --operation payment.charge --json",
    )
)
@click.option(
    "--module",
    "modules",
    metavar="NAME",
    multiple=True,
    help="The module that defines the handlers and their reconcilers; more than once for several.",
)
@click.option("--operation", metavar="OP", help="Only effects of this operation.")
@click.option("--once", is_flag=True, help="Ask once and end; what it does without --every.")
@click.option(
    "--every",
    metavar="T",
    type=Length(),
    help="Ask again and again, T after the last time, until Ctrl-C: 30s, 5m. "
    "What stays as it was is not said again, but with --json.",
)
@click.option(
    "--grace",
    metavar="T",
    type=Length(),
    default=GRACE_SECONDS,
    help=f"Give up a worker this long after its lease has ended; {GRACE_SECONDS:g}s.",
)
@click.option(
    "--timeout",
    metavar="T",
    type=Length(),
    default=TIMEOUT_SECONDS,
    help=f"How long one reconciler may take; {TIMEOUT_SECONDS:g}s.",
)
@ledger_option
@json_option
def reconcile(
    *,
    modules: tuple[str, ...],
    operation: str | None,
    once: bool,
    every: float | None,
    grace: float,
    timeout: float,
    as_json: bool,
) -> int:
    """Ask the other side about what is in doubt, and record what it says.

    The function that asks is the one given as reconcile= to @rml.idempotent; --module imports it,
    from the current folder or from what is installed.
    Exit status 1: something is still in doubt. With --every: 0 when it is ended by Ctrl-C.
    """
    if once and every is not None:
        raise click.UsageError("--once and --every contradict each other")
    questions = Questions.of(operation, grace, timeout)
    pause = None if every is None else as_interval(every)
    for name in modules:
        _import(name)
    with opened_ledger() as ledger, use(ledger=ledger):
        if operation is not None:
            _check_known(ledger, operation)
        if pause is not None:
            with suppress(KeyboardInterrupt):
                _go_on(ledger, questions, pause, as_json=as_json)
            return FINE
        found = list(questions.ask(ledger))
    if as_json:
        say_json([reconciliation_shape(one) for one in found])
    else:
        say(_lines(found) or "nothing is in doubt")
    return NO if any(_is_open(one) for one in found) else FINE


def _import(name: str) -> None:
    """Import a module; like `python -m`, the command looks in the current folder first."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a script's own status would be taken for an answer
        message = f"{name} cannot be imported: {type(error).__name__}: {text_of(error)}"
        if not all(part.isidentifier() for part in name.split(".")):
            message += "; give a module's name, such as shop.handlers, and no path"
        raise click.ClickException(message) from error


def _check_known(ledger: Ledger, operation: str) -> None:
    """Refuse an operation that nobody knows: that none of it is in doubt says nothing."""
    if is_defined(operation) or ledger.entries(operation=operation, limit=1):
        return
    raise click.ClickException(
        f"no effect of operation {shown(operation)} is in this ledger, and no module given by "
        "--module defines it"
    )


def _go_on(ledger: Ledger, questions: Questions, pause: float, *, as_json: bool) -> None:
    """Ask in rounds, for ever; what the ledger is too busy for now comes in the next round.

    For people, what stays open is said again only when something else is said of it.
    """
    rest = threading.Event()
    said: set[tuple[str, int, str]] = set()
    while True:
        before, said = said, set()
        try:
            for one in questions.ask(ledger):
                this = (one.effect.id, one.effect.version, str(one))
                if as_json:
                    say_json_on(reconciliation_shape(one))
                elif this not in before:
                    say_on("\n".join(_lines([one])))
                said.add(this)
        except RmlError as error:
            click.echo(clean(f"rml reconcile: {error.message}"), err=True)
            said |= before
        rest.wait(min(pause, threading.TIMEOUT_MAX))


def _is_open(one: Reconciliation) -> bool:
    return one.happened is None and one.effect.state is EffectState.IN_DOUBT


def _lines(found: Iterable[Reconciliation]) -> list[str]:
    return [line for one in found for line in wrapped(clean(str(one)), "", "  ")]

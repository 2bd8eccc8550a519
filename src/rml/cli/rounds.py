"""What a command does with an application's own definitions: once, or again and again."""

from __future__ import annotations

import functools
import importlib
import re
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import attrs
import click

from rml.cause import text_of
from rml.cli.ending import FINE, NO
from rml.cli.output import say, say_json, say_json_on, say_on, wrapped
from rml.cli.place import opened_ledger
from rml.config import use
from rml.effect.reconciler import as_interval
from rml.error import RmlError
from rml.ledger.ledger import Ledger
from rml.legible import legible
from rml.tag import shown

F = TypeVar("F", bound=Callable[..., Any])

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


_EVERY: Final = click.option(
    "--every",
    metavar="T",
    type=Length(),
    help="Do it again and again, T after the last time, until Ctrl-C: 30s, 5m. "
    "What stays as it was is not said again, but with --json.",
)
_ONCE: Final = click.option("--once", is_flag=True, help="Do it once and end, as without --every.")


@attrs.frozen
class Answer:
    """What came of one effect or saga in a round.

    Attributes:
        line: what a person is told.
        shape: what a script is told.
        version: what differs once there is something new to be told.
        is_open: whether it has to be asked about again.
    """

    line: str
    shape: dict[str, Any]
    version: tuple[object, ...]
    is_open: bool


@attrs.frozen
class Rounds:
    """What a command line says about its rounds.

    Attributes:
        modules: the modules that hold the application's definitions.
        operation: what is asked about alone, if anything is.
        pause: seconds from one round to the next; ``None`` for one round alone.
    """

    modules: tuple[str, ...]
    operation: str | None
    pause: float | None

    def answer(
        self,
        ask: Callable[[Ledger], Iterable[Answer]],
        *,
        what: str,
        is_known: Callable[[Ledger, str], bool],
        nothing: str,
        as_json: bool,
    ) -> int:
        """Ask in one round, or in rounds until Ctrl-C, say what came of it, and return the status.

        Args:
            ask: asks about one after the other.
            what: what ``--operation`` names.
            is_known: says whether a program or the ledger knows it; that nothing came of what
                nobody knows would say nothing.
            nothing: what a person is told where there is nothing to ask about.
            as_json: whether a script is told.

        Raises:
            click.ClickException: a module cannot be imported, or nobody knows the operation.
        """
        _import_modules(self.modules)
        with opened_ledger() as ledger, use(ledger=ledger):
            if self.operation is not None and not is_known(ledger, self.operation):
                raise click.ClickException(
                    f"no {what} {shown(self.operation)} is in this ledger, and no module given by "
                    "--module defines it"
                )
            if self.pause is None:
                return _answer_once(ask(ledger), nothing, as_json=as_json)
            with suppress(KeyboardInterrupt):
                _go_on(partial(ask, ledger), self.pause, as_json=as_json)
            return FINE


def rounds_options(modules: str, operation: str) -> Callable[[F], F]:
    """Return what adds ``--module``, ``--operation``, ``--once`` and ``--every``, as ``rounds``.

    Args:
        modules: what the modules define.
        operation: what one operation alone means.
    """
    one = click.option("--operation", metavar="OP", help=operation)
    several = click.option(
        "--module",
        "modules",
        metavar="NAME",
        multiple=True,
        help=f"The module that defines {modules}; more than once for several.",
    )

    def add(command: F) -> F:
        @functools.wraps(command)
        def with_rounds(
            *,
            modules: tuple[str, ...],
            operation: str | None,
            once: bool,
            every: float | None,
            **options: Any,
        ) -> Any:
            rounds = Rounds(modules, operation, _pause(once=once, every=every))
            return command(rounds=rounds, **options)

        for option in (_EVERY, _ONCE, one, several):
            with_rounds = option(with_rounds)
        return with_rounds  # type: ignore[return-value] # it takes other options

    return add


def _pause(*, once: bool, every: float | None) -> float | None:
    """Return the seconds from one round to the next; ``None`` for one round alone.

    Raises:
        click.UsageError: both were said.
        InvalidInputError: it is no time.
    """
    if once and every is not None:
        raise click.UsageError("--once and --every contradict each other")
    return None if every is None else as_interval(every)


def _answer_once(answers: Iterable[Answer], nothing: str, *, as_json: bool) -> int:
    found = list(answers)
    if as_json:
        say_json([one.shape for one in found])
    else:
        say([line for one in found for line in _lines(one)] or nothing)
    return NO if any(one.is_open for one in found) else FINE


def _go_on(ask: Callable[[], Iterable[Answer]], pause: float, *, as_json: bool) -> None:
    """Ask in rounds, for ever; what the ledger is too busy for now comes in the next round.

    For people, what stays open is said again only when something else is said of it.
    """
    rest = threading.Event()
    path = click.get_current_context().command_path
    said: set[tuple[object, ...]] = set()
    while True:
        before, said = said, set()
        try:
            for one in ask():
                if as_json:
                    say_json_on(one.shape)
                elif one.version not in before:
                    say_on("\n".join(_lines(one)))
                said.add(one.version)
        except RmlError as error:
            click.echo(legible(f"{path}: {error.message}"), err=True)
            said |= before
        rest.wait(min(pause, threading.TIMEOUT_MAX))


def _lines(one: Answer) -> list[str]:
    return wrapped(legible(one.line), "", "  ")


def _import_modules(names: Iterable[str]) -> None:
    """Import modules; like `python -m`, the command looks in the current folder first.

    Raises:
        click.ClickException: one cannot be imported.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    for name in names:
        _import(name)


def _import(name: str) -> None:
    try:
        importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a script's own status would be taken for an answer
        message = f"{name} cannot be imported: {type(error).__name__}: {text_of(error)}"
        if not all(part.isidentifier() for part in name.split(".")):
            message += "; give a module's name, such as shop.handlers, and no path"
        raise click.ClickException(message) from error

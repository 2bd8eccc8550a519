"""What the commands on one case share: which case, who, when, and how a step's end is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

import attrs
import click

from rml.cli.ending import FINE, NO
from rml.cli.output import clean, json_option, say, say_json
from rml.cli.place import ledger_option, opened_ledger
from rml.clock import parse_utc
from rml.incident.case import Case
from rml.incident.casebook import Casebook
from rml.incident.rule import StepRefusedError
from rml.ledger.draft import Receipt

F = TypeVar("F", bound=Callable[..., Any])

_INCIDENT: Final = "rml.cli.casework.incident"


class CaseGroup(click.Group):
    """Commands that come after an incident's id; without one, the case is shown."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the id and the command; put in ``show`` where only options follow the id."""
        if args and not ctx.resilient_parsing and not {"--help", "-h"} & set(args[:1]):
            _, rest, _ = self.make_parser(ctx).parse_args(args=list(args))
            if not rest or rest[0].startswith("-"):
                if set(rest) & {"--help", "-h"}:
                    return super().parse_args(ctx, rest)
                args = [*args[: len(args) - len(rest)], "show", *rest]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the commands in the order in which a case needs them."""
        return list(self.commands)


def name_incident(context: click.Context, incident: str) -> None:
    """Take an id as the case that this command line is about."""
    context.meta[_INCIDENT] = incident.strip().upper()


def named_incident() -> str:
    """Return the id of the case that this command line is about."""
    return str(click.get_current_context().meta[_INCIDENT])


def case_options(command: F) -> F:
    """Add ``--ledger`` and ``--json``."""
    return ledger_option(json_option(command))


def by_option(command: F) -> F:
    """Add ``--by``, which a step needs."""
    return click.option("--by", metavar="NAME", required=True, help="Who does this.")(command)


def at_option(command: F) -> F:
    """Add ``--at``."""
    return click.option(
        "--at", metavar="TIME", callback=_moment, help="When, if not now: 2026-11-21T03:00:00Z."
    )(command)


def override_option(command: F) -> F:
    """Add ``--override``."""
    return click.option(
        "--override", metavar="REASON", help="Pass a rule that bars this; it is recorded."
    )(command)


def hat_option(command: F) -> F:
    """Add ``--hat``."""
    return click.option(
        "--hat", metavar="ROLE", help="The role under which it is done, if they have several."
    )(command)


def world_option(default: str) -> Callable[[F], F]:
    """Return what adds ``--world``."""
    return click.option(
        "--world", metavar="W", default=default, show_default=True, help="RML1, RML2 or RML3."
    )


def listed(name: str, metavar: str, about: str) -> Callable[[F], F]:
    """Return what adds an option that may be given several times."""
    return click.option(name, metavar=metavar, multiple=True, help=f"{about}; may be repeated.")


def moment_option(name: str, about: str) -> Callable[[F], F]:
    """Return what adds an option that takes a time."""
    return click.option(name, metavar="TIME", callback=_moment, help=about)


def _moment(_: click.Context, parameter: click.Parameter, value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        return parse_utc(value)
    except ValueError as error:
        hint = f"'{parameter.opts[0]}'"
        message = f"{value!r} is no time such as 2026-11-21T03:00:00Z ({error})"
        raise click.BadParameter(message, param_hint=hint) from None


def pairs(name: str, given: Sequence[str]) -> dict[str, str]:
    """Return ``ROLE=TEXT`` options as a mapping."""
    found: dict[str, str] = {}
    for one in given:
        role, equals, text = one.partition("=")
        if not equals or role in found:
            message = f"{one!r} is not one ROLE=TEXT" if not equals else f"{role!r} is said twice"
            raise click.BadParameter(message, param_hint=f"'{name}'")
        found[role] = text
    return found


def given(**options: object) -> Mapping[str, Any]:
    """Return the options that were given."""
    return {name: value for name, value in options.items() if value not in (None, ())}


def take(step: Callable[[Case], Receipt], done: str, *, as_json: bool) -> int:
    """Take a step on the case of this command line, and say how it ended.

    Returns:
        1 where a rule bars it, with the rule on stderr.
    """
    incident = named_incident()
    with opened_ledger() as ledger:
        try:
            receipt = step(Casebook(ledger)[incident])
        except StepRefusedError as error:
            if as_json:
                refusal = {"incident": incident, "refused": error.message}
                say_json({**refusal, "code": error.code, **error.details})
            else:
                click.echo(clean(f"rml: {error.message}"), err=True)
            return NO
    if as_json:
        say_json({"incident": incident, "done": done, **attrs.asdict(receipt)})
    else:
        say(clean(f"{incident}: {done} (entry {receipt.index}, {receipt.id})"))
    return FINE

"""What the commands on one case share: which case, who, when, and how a step's end is told."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, TypeVar

import attrs
import click

from rml.cli.ending import FINE, NO
from rml.cli.listing import Commands
from rml.cli.naming import as_id, placed, shown_receipt
from rml.cli.output import json_option, say, say_json
from rml.cli.place import ledger_option, opened_ledger
from rml.cli.wording import in_options
from rml.clock import parse_utc
from rml.incident.case import Case
from rml.incident.casebook import Casebook
from rml.incident.pages.standing import in_groups
from rml.incident.private import PrivateCaseError, is_private
from rml.incident.rule import StepRefusedError
from rml.ledger.draft import Receipt
from rml.ledger.ledger import Ledger
from rml.legible import legible

F = TypeVar("F", bound=Callable[..., Any])

_INCIDENT: Final = "rml.cli.casework.incident"


class CaseGroup(Commands):
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

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; where the id stands after it, say which comes first."""
        first = str(ctx.params.get("incident"))
        if args[0] not in self.commands and first in self.commands:
            raise click.UsageError(f"the case comes first: rml case {args[0]} {first}", ctx)
        return super().resolve_command(ctx, args)


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


def listed(name: str, metavar: str, about: str, *, required: bool = False) -> Callable[[F], F]:
    """Return what adds an option that may be given several times."""
    about = f"{about}; may be repeated."
    return click.option(name, metavar=metavar, multiple=True, required=required, help=about)


def noticed_options(command: F) -> F:
    """Add ``--type``, ``--source`` and ``--id``: what noticed it, as one mapping ``noticed``."""

    @functools.wraps(command)
    def with_one(*, type_: str | None, source: str | None, id_: str | None, **options: Any) -> Any:
        return command(noticed=given(type=type_, source=source, id=id_), **options)

    for option in (
        click.option("--id", "id_", metavar="ID", help="Which ticket."),
        click.option("--source", metavar="TEXT", help="Which alert."),
        click.option(
            "--type",
            "type_",
            metavar="T",
            help="What noticed it: threshold, breached_slo, cs_ticket, ...",
        ),
    ):
        with_one = option(with_one)
    return with_one  # type: ignore[return-value] # it takes other options


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


def pairs(name: str, given: Sequence[str], form: str = "ROLE=TEXT") -> dict[str, str]:
    """Return ``ROLE=TEXT`` options as a mapping."""
    found: dict[str, str] = {}
    for one in given:
        role, equals, text = one.partition("=")
        if not equals or role in found:
            message = f"{one!r} is not one {form}" if not equals else f"{role!r} is said twice"
            raise click.BadParameter(message, param_hint=f"'{name}'")
        found[role] = text
    return found


def reader_options(command: F) -> F:
    """Add what says who reads a private case, and why."""
    command = click.option("--reason", metavar="TEXT", help="What a private case is read for.")(
        command
    )
    return click.option("--by", metavar="NAME", help="Who reads a private case.")(command)


def read_case(ledger: Ledger, incident: str, by: str | None, reason: str | None) -> Case:
    """Return a case to be shown; of a private one, it is recorded first who reads it and why.

    Raises:
        UsageError: it is private, and nobody says so.
    """
    found = book_for(ledger, by, reason)[incident]
    with reader_asked(by, reason):
        found.read()
    return found


def book_for(ledger: Ledger, by: str | None, reason: str | None) -> Casebook:
    """Return the casebook, for a reader of private cases if they say who they are and what for."""
    book = Casebook(ledger)
    return book if by is None or reason is None else book.as_reader(by, reason=reason)


def admit_reader(
    ledger: Ledger, incidents: Iterable[str | None], by: str | None, reason: str | None
) -> None:
    """Record who reads what belongs to private cases, before it is written or shown.

    Raises:
        UsageError: nobody says so.
        PrivateCaseError: it cannot be recorded.
    """
    for incident in dict.fromkeys(incidents):
        if is_private(ledger, incident):
            read_case(ledger, str(incident), by, reason)


@contextmanager
def reader_asked(by: str | None, reason: str | None) -> Iterator[None]:
    """Ask in the words of the command line who reads a private case.

    Raises:
        UsageError: nobody says so.
        PrivateCaseError: it cannot be recorded.
    """
    try:
        yield
    except PrivateCaseError as error:
        if by is not None and reason is not None:
            raise
        private = error.message.partition(" is private")[0]
        message = f"{private} is private: say --by and --reason; who reads it is recorded"
        raise click.UsageError(message) from None


def given(**options: object) -> Mapping[str, Any]:
    """Return the options that were given."""
    return {name: value for name, value in options.items() if value not in (None, ())}


# Above so many things that are missing, each has a line of its own.
_IN_ONE_LINE_MAX: Final = 2


def _lines(error: StepRefusedError, refused: str, incident: str) -> Iterator[str]:
    """Yield a refusal: in one line, or with each thing that is missing in its own."""
    missing = error.details.get("missing", ())
    if len(missing) <= _IN_ONE_LINE_MAX:
        yield f"rml: {refused}"
        return
    yield f"rml: {incident}: {len(missing)} things are missing"
    yield from (f"  - {in_options(one, incident)}" for one in in_groups(missing))
    way = "; to go on knowingly, give --override a reason" if error.details["overridable"] else ""
    yield f"rules {', '.join(error.details['rules'])}{way}"


def _ids(ledger: Ledger, named: str | Sequence[str]) -> str | list[str]:
    if isinstance(named, str):
        return as_id(ledger, named)
    return [as_id(ledger, one) for one in named]


def take(
    step: Callable[..., Receipt], done: str, *, as_json: bool, **named: str | Sequence[str] | None
) -> int:
    """Take a step on the case of this command line, and say how it ended.

    Args:
        step: takes it; given the case, and ``named`` as ids.
        done: what is said then.
        as_json: whether as JSON.
        named: entries or effects that the step names, if any: by id, or by place.

    Returns:
        1 where a rule bars it, with the rule on stderr.
    """
    incident = named_incident()
    with opened_ledger() as ledger:
        try:
            ids = {name: _ids(ledger, given) for name, given in named.items() if given}
            receipt = placed(ledger, step(Casebook(ledger)[incident], **ids))
        except StepRefusedError as error:
            refused = in_options(error.message, incident)
            if as_json:
                missing = [in_options(one, incident) for one in error.details.get("missing", ())]
                details = {**error.details, "missing": missing}
                say_json({"incident": incident, "refused": refused, "code": error.code, **details})
            else:
                for line in _lines(error, refused, incident):
                    click.echo(legible(line), err=True)
            return NO
    if as_json:
        say_json({"incident": incident, "done": done, **attrs.asdict(receipt)})
    else:
        say(legible(f"{incident}: {done} ({shown_receipt(receipt)})"))
    return FINE

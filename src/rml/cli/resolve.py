"""`rml resolve`: a person decides what nobody could know."""

from __future__ import annotations

from typing import Any

import click

from rml.cli.ending import FINE
from rml.cli.output import examples, json_option, paint, say, say_json, wrapped
from rml.cli.place import ledger_option, opened_ledger
from rml.cli.shape import effect_shape
from rml.codec import parse_json
from rml.error import InvalidInputError
from rml.ledger.ledger import Ledger
from rml.legible import legible


@click.command(
    epilog=examples(
        "rml resolve ef_... --version 2 --happened \\",
        """    --result '{"charge_id": "ch_42"}' --by ada --reason "it is there\"""",
        "rml resolve ef_... --version 2 --did-not-happen \\",
        '    --by ada --reason "no such charge"',
    )
)
@click.argument("effect_id")
@click.option(
    "--version",
    metavar="N",
    type=click.IntRange(min=1),
    required=True,
    help="The version of it that you looked at, as rml effects and rml show say it.",
)
@click.option("--happened", is_flag=True, help="It took place, and will not be done again.")
@click.option(
    "--did-not-happen", is_flag=True, help="It did not, and the next call with its key does it."
)
@click.option("--by", metavar="NAME", required=True, help="Who decides.")
@click.option("--reason", metavar="TEXT", required=True, help="On what evidence.")
@click.option(
    "--result",
    metavar="JSON",
    help="With --happened: what later calls with this key return, as JSON. For a handler that "
    "returns a dataclass: an object of its fields.",
)
@click.option(
    "--no-result",
    is_flag=True,
    help="With --happened: the value is not known; later calls get ResultUnavailableError.",
)
@ledger_option
@json_option
def resolve(
    *,
    effect_id: str,
    version: int,
    happened: bool,
    did_not_happen: bool,
    by: str,
    reason: str,
    result: str | None,
    no_result: bool,
    as_json: bool,
) -> int:
    """Decide whether an effect in doubt happened, on the record.

    Look at it first (rml show) and give its version: if anything has been recorded of it since,
    such as a late report, nothing is decided.

    If it happened, say what its handler would have returned (--result), or that nobody can
    (--no-result). The result is recorded as plain JSON data: this command does not know the
    handler. null is a value too: what a handler that returns nothing gives.
    """
    if happened == did_not_happen:
        raise click.UsageError("say one of --happened and --did-not-happen")
    given: dict[str, Any] = {} if result is None else {"result": _json(result)}
    if given and not happened:
        raise click.UsageError("--result goes with --happened: what did not happen has no result")
    if no_result and not happened:
        raise click.UsageError("--no-result goes with --happened")
    if happened and (result is None) is not no_result:
        raise click.UsageError(
            "with --happened say one of --result JSON (what later calls get) and --no-result "
            "(they get ResultUnavailableError)"
        )
    with opened_ledger() as ledger:
        _check_is_id(ledger, effect_id.strip())
        effect = ledger.resolve(
            effect_id.strip().lower(),
            version=version,
            happened=happened,
            by=by,
            reason=reason,
            **given,
        )
    if as_json:
        say_json(effect_shape(effect))
        return FINE
    then = _then(happened=happened, no_result=no_result)
    said = f"{legible(effect.operation)} {legible(effect.key)}: decided by {legible(by)}; {then}"
    say([f"{effect.id} is {paint(effect.state.value)}", *wrapped(said, "", "")])
    return FINE


def _check_is_id(ledger: Ledger, name: str) -> None:
    """Refuse a key by its effects' ids: a key may name several effects, and a decision only one."""
    if name.lower().startswith("ef_"):
        return
    meant = ", ".join(f"{one.id} ({one.operation})" for one in ledger.effects(key=name))
    if meant:
        raise click.UsageError(f"{name!r} is a key; give the effect's id: {meant}")


def _then(*, happened: bool, no_result: bool) -> str:
    """Say what later calls with the key get."""
    if not happened:
        return "the next call with its key does it"
    got = "ResultUnavailableError" if no_result else "the result that you gave"
    return f"it will not be done again; later calls with its key get {got}"


def _json(text: str) -> Any:
    try:
        return parse_json(text)
    except InvalidInputError as error:
        message = f"{error.message}; a text is written with its quotes, as in --result '\"ch-1\"'"
        raise click.BadParameter(message, param_hint="'--result'") from None

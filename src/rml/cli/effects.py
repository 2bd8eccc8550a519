"""`rml effects`: what was promised to the world, and where each promise stands."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click

from rml.cli.ending import FINE
from rml.cli.output import examples, json_option, moment, say, say_json, table, wrapped
from rml.cli.place import ledger_option, opened_ledger
from rml.cli.shape import effect_shape
from rml.cli.tail import assignments
from rml.effect.state import Effect, EffectState
from rml.ledger.ledger import Ledger
from rml.legible import legible
from rml.tag import shown

_AGO: Final = re.compile(r"([0-9]{1,6})([smhdw])", re.ASCII)
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Moment(click.ParamType[datetime]):
    """A time on a command line: ``2026-11-20T19:00Z``, ``90m`` (ago); UTC unless it says else."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Read it, or fail with what would have been understood."""
        if isinstance(value, datetime):
            return value
        try:
            if ago := _AGO.fullmatch(value.strip()):
                return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
            read = datetime.fromisoformat(value.strip())
            return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"{shown(value)} is no time such as 2026-11-20T19:00Z, 90m or 2d", param, ctx)


@click.command(
    epilog=examples(
        "rml effects --in-doubt --ledger payments.db",
        "rml effects --key pay-202",
        "rml effects --operation payment.charge --since 6h",
        "rml effects --state done --json | jq length",
    )
)
@click.option("--in-doubt", is_flag=True, help="Only those of which nobody knows.")
@click.option(
    "--state",
    metavar="S",
    type=click.Choice([state.value for state in EffectState]),
    help=f"Only effects in this state: {', '.join(EffectState)}.",
)
@click.option("--operation", metavar="OP", help="Only effects of this operation.")
@click.option("--key", metavar="KEY", help="Only effects of exactly this key: a payment's own id.")
@click.option("--incident", metavar="ID", help="Only effects of this incident: INC-2026-0001.")
@click.option(
    "--since",
    metavar="T",
    type=Moment(),
    help="Only effects promised since: 2026-11-20, 2026-11-20T19:00Z, or 90m, 6h, 2d ago. In UTC.",
)
@ledger_option
@json_option
def effects(
    *,
    in_doubt: bool,
    state: str | None,
    operation: str | None,
    key: str | None,
    incident: str | None,
    since: datetime | None,
    as_json: bool,
) -> int:
    """List effects and where they stand, oldest first."""
    if in_doubt and state not in (None, EffectState.IN_DOUBT):
        raise click.UsageError(f"--in-doubt and --state {state} contradict each other")
    wanted = EffectState.IN_DOUBT if in_doubt else None if state is None else EffectState(state)
    with opened_ledger() as ledger:
        if wanted is EffectState.IN_DOUBT and (since, key, incident) == (None, None, None):
            found = _doubtful(ledger, operation)
        else:
            about = None if incident is None else incident.strip().upper()
            asked = ledger.effects(
                state=wanted, operation=operation, since=since, key=key, incident=about
            )
            found = list(asked)
    if as_json:
        say_json([effect_shape(effect) for effect in found])
    else:
        say(effect_page(found) if found else "no effects")
    return FINE


def _doubtful(ledger: Ledger, operation: str | None) -> list[Effect]:
    """Return what is in doubt from the ledger's short list, without reading its whole history."""
    doubtful = [e for e in ledger.in_doubt() if operation is None or e.operation == operation]
    return sorted(doubtful, key=lambda effect: effect.started_at)


def effect_page(found: list[Effect]) -> list[str]:
    """Return effects as a table, and under it the way out of doubt."""
    return [*_table(found), *way_out([e for e in found if e.state is EffectState.IN_DOUBT])]


def way_out(doubtful: list[Effect]) -> list[str]:
    """Return how the doubt of effects is ended; nothing for none."""
    if not doubtful:
        return []
    which = "ID --version N"
    if len(doubtful) == 1:
        which = f"{doubtful[0].id} --version {doubtful[0].version}"
    hint = f"Nobody knows whether {'it' if len(doubtful) == 1 else 'they'} happened. Once you do:"
    lines = ["", *wrapped(hint, "", "")]
    lines.append(f"  rml resolve {which} --did-not-happen --by NAME --reason TEXT")
    lines.append(f"  rml resolve {which} --happened --result JSON --by NAME --reason TEXT")
    return lines


def _table(found: list[Effect]) -> list[str]:
    rows = [
        [effect.state.value, str(effect.attempt), moment(effect.started_at), effect.id]
        for effect in found
    ]
    heads = ["STATE", ">ATTEMPT", "STARTED (UTC)", "EFFECT"]
    return table(heads, rows, map(_note, found), painted=0)


def _note(effect: Effect) -> str:
    said = [
        effect.operation,
        legible(effect.key),
        f"scope={effect.scope}" if effect.scope else "",
        f"version {effect.version}" if effect.state is EffectState.IN_DOUBT else "",
        effect.incident or _no_incident(effect),
        assignments(effect.facts.items()),
    ]
    return " ".join(part for part in said if part)


def _no_incident(effect: Effect) -> str:
    """Say why a doubt has no incident: only a process that has handlers opens one."""
    if effect.state is not EffectState.IN_DOUBT:
        return ""
    return "(no incident yet: run rml reconcile)"

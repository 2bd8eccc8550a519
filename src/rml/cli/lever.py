"""`rml lever`: stop an operation without a deploy, let it go on, see what is stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import attrs
import click

from rml.cli.ending import FINE, NO
from rml.cli.listing import Commands
from rml.cli.output import examples, json_option, moment, say, say_json, table, wrapped
from rml.cli.place import ledger_option, opened_ledger
from rml.incident.levers.lever import Lever, named
from rml.incident.levers.levers import Levers
from rml.legible import legible

F = TypeVar("F", bound=Callable[..., Any])


@click.group(
    cls=Commands,
    epilog=examples(
        'rml lever pull payment.charge --by ada --reason "charges twice" \\',
        "    --incident INC-2026-0001",
        "rml lever list",
        'rml lever release payment.charge --by ada --reason "fixed in 4.2.1"',
    ),
)
def lever() -> None:
    """Stop an operation, on the record: no call of it is begun until it is released.

    Processes that have the ledger open refuse its calls within a second. What is in flight goes on.
    Every command takes --json.
    """


def _about(command: F) -> F:
    """Add what says which lever is meant, who moves it and why."""
    for option in (
        click.option("--region", metavar="R", help="Only calls in this region."),
        click.option("--tenant", metavar="T", help="Only calls of this tenant."),
        click.option("--reason", metavar="TEXT", required=True, help="Why; in clear for ever."),
        click.option("--by", metavar="NAME", required=True, help="Who decides."),
        click.argument("operation"),
    ):
        command = option(command)
    return command


@lever.command(
    epilog=examples(
        'rml lever pull payment.charge --by ada --reason "charges twice" \\',
        "    --incident INC-2026-0001",
        "rml lever pull payment.charge --tenant shop-7 --by ada --reason prices",
        "rml lever pull '*' --region eu-1 --by ada --reason \"it is being moved\"",
    )
)
@_about
@click.option("--incident", metavar="INC", help="The case that this contains.")
@click.option("--force", is_flag=True, help="Also if the ledger knows no such operation yet.")
@ledger_option
@json_option
def pull(
    *,
    operation: str,
    by: str,
    reason: str,
    tenant: str | None,
    region: str | None,
    incident: str | None,
    force: bool,
    as_json: bool,
) -> int:
    """Stop OPERATION, or every one with '*'.

    With --tenant or --region, calls of which nobody knows whose they are are stopped, too. A lever
    that is pulled already stays as it is.
    """
    case = None if incident is None else incident.strip().upper()
    with opened_ledger() as ledger:
        pulled = Levers(ledger).pull(
            operation,
            by=by,
            reason=reason,
            tenant=tenant,
            region=region,
            incident=case,
            force=force,
        )
    if as_json:
        say_json(attrs.asdict(pulled))
        return FINE
    when = f"since {moment(pulled.pulled_at)} UTC, by {pulled.by}: {pulled.reason}"
    say(wrapped(f"{legible(named(pulled.target))} is stopped {legible(when)}", "", "  "))
    return FINE


@lever.command(
    epilog=examples('rml lever release payment.charge --by ada --reason "fixed in 4.2.1"')
)
@_about
@ledger_option
@json_option
def release(
    *,
    operation: str,
    by: str,
    reason: str,
    tenant: str | None,
    region: str | None,
    as_json: bool,
) -> int:
    """Let OPERATION be begun again, of the tenant and in the region for which it was stopped.

    Status 1 if it was not stopped; then nothing is recorded.
    """
    with opened_ledger() as ledger:
        released = Levers(ledger).release(
            operation, by=by, reason=reason, tenant=tenant, region=region
        )
    if as_json:
        say_json(None if released is None else attrs.asdict(released))
    elif released is None:
        say(f"{legible(named((operation, tenant, region)))} was not stopped; `rml lever list`")
    else:
        say(f"{legible(named(released.target))} may be begun again")
    return NO if released is None else FINE


@lever.command("list", epilog=examples("rml lever list --ledger payments.db --json"))
@ledger_option
@json_option
def list_(*, as_json: bool) -> int:
    """List what is stopped, oldest first."""
    with opened_ledger() as ledger:
        found = list(Levers(ledger))
    if as_json:
        say_json([attrs.asdict(one) for one in found])
    else:
        say(_table(found) if found else "nothing is stopped")
    return FINE


def _table(found: list[Lever]) -> list[str]:
    heads = ["OPERATION", "TENANT", "REGION", "SINCE (UTC)", "BY", "INCIDENT"]
    rows = [
        [
            one.operation,
            one.tenant or "all",
            one.region or "all",
            moment(one.pulled_at),
            one.by,
            one.incident or "-",
        ]
        for one in found
    ]
    return table(heads, rows, [one.reason for one in found])

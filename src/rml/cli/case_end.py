"""`rml case INC-... lift|move|confirm|close|postmortem ...`: how an incident is ended."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import click

from rml.cli.casework import (
    at_option,
    by_option,
    case_options,
    given,
    listed,
    override_option,
    pairs,
    take,
)
from rml.cli.output import examples


@click.command(epilog=examples('rml case INC-2026-0001 lift ID "payments are on" --by mina'))
@click.argument("mitigation")
@click.argument("detail")
@by_option
@at_option
@case_options
def lift(*, mitigation: str, detail: str, by: str, at: datetime | None, as_json: bool) -> int:
    """Record that a temporary mitigation is gone."""
    return take(
        lambda case, mitigation: case.lift(mitigation, detail, by=by, at=at),
        "lifted",
        as_json=as_json,
        mitigation=mitigation,
    )


@click.command(
    epilog=examples(
        "rml case INC-2026-0001 move monitoring --by mina \\",
        "    --reason 'quiet for an hour'",
    )
)
@click.argument("status")
@click.option("--reason", metavar="TEXT", required=True, help="Why.")
@by_option
@override_option
@case_options
def move(*, status: str, reason: str, by: str, override: str | None, as_json: bool) -> int:
    """Change the status: ongoing, monitoring, resolved."""
    return take(
        lambda case: case.move(status, by=by, reason=reason, override=override),
        f"moved to {status}",
        as_json=as_json,
    )


@click.command(
    epilog=examples(
        "rml case INC-2026-0001 downscope RML2 --by mina --reason 'one charge only' \\",
        "    --evidence 'the statement of 21 November'",
    )
)
@click.argument("world")
@click.option("--reason", metavar="TEXT", required=True, help="Why it reached less far.")
@click.option("--evidence", metavar="TEXT", required=True, help="What shows it.")
@by_option
@override_option
@case_options
def downscope(
    *, world: str, reason: str, evidence: str, by: str, override: str | None, as_json: bool
) -> int:
    """Record that it reached less far than was feared; counted harm is corrected first."""
    return take(
        lambda case: case.downscope(
            world, by=by, reason=reason, evidence=evidence, override=override
        ),
        f"scoped down to {world}",
        as_json=as_json,
    )


@click.command(
    epilog=examples(
        "rml case INC-2026-0001 confirm resolution --by mina \\",
        "    --evidence 'dashboard at 12:00'",
    )
)
@click.argument("items", nargs=-1, required=True)
@click.option("--evidence", metavar="TEXT", required=True, help="What was seen.")
@by_option
@override_option
@case_options
def confirm(
    *, items: Sequence[str], evidence: str, by: str, override: str | None, as_json: bool
) -> int:
    """Confirm lines of the lists that end a case: resolution, recovery, stand_down."""
    return take(
        lambda case: case.confirm(*items, by=by, evidence=evidence, override=override),
        f"confirmed {', '.join(items)}",
        as_json=as_json,
    )


@click.command(
    epilog=examples("rml case INC-2026-0001 all-clear 'payments are fine, thank you' --by mina")
)
@click.argument("detail")
@by_option
@override_option
@case_options
def all_clear(*, detail: str, by: str, override: str | None, as_json: bool) -> int:
    """Give the all clear, once."""
    return take(
        lambda case: case.all_clear(detail, by=by, override=override),
        "all clear",
        as_json=as_json,
    )


@click.command(epilog=examples("rml case INC-2026-0001 close --by mina"))
@by_option
@override_option
@case_options
def close(*, by: str, override: str | None, as_json: bool) -> int:
    """Close the case; status 1 and all that is missing, if something is."""
    return take(lambda case: case.close(by=by, override=override), "closed", as_json=as_json)


@click.command(
    epilog=examples(
        "rml case INC-2026-0001 postmortem --by mina --legal rosa --sre mina \\",
        '    --absent business="read the draft" --link https://example.org/pm/1',
    )
)
@click.option("--legal", metavar="NAME", help="Who was there for legal.")
@click.option("--business", metavar="NAME", help="Who was there for business.")
@click.option("--sre", metavar="NAME", help="Who was there for sre.")
@listed("--attended", "ROLE=NAME", "Another role, and who was there for it")
@listed("--absent", "ROLE=REASON", "Why nobody was there for a role")
@click.option("--link", metavar="URL", help="Where it can be read.")
@by_option
@at_option
@case_options
def postmortem(
    *,
    attended: Sequence[str],
    absent: Sequence[str],
    link: str | None,
    by: str,
    at: datetime | None,
    as_json: bool,
    **roles: str | None,
) -> int:
    """Record that the postmortem was held, and who was there; also of a closed case."""
    there = {**given(**roles), **pairs("--attended", attended)}
    away = pairs("--absent", absent)
    return take(
        lambda case: case.postmortem(by=by, attended=there, absent=away, link=link, at=at),
        "postmortem held",
        as_json=as_json,
    )


@click.command(epilog=examples("rml case INC-2026-0001 complete 'a key per charge' --by mina"))
@click.argument("what")
@by_option
@at_option
@case_options
def complete(*, what: str, by: str, at: datetime | None, as_json: bool) -> int:
    """Record that a change is done, by its words in `learn`; also of a closed case."""
    return take(lambda case: case.complete(what, by=by, at=at), "change done", as_json=as_json)


@click.command(
    epilog=examples("rml case INC-2026-0001 reopen --by mina --reason 'a 42nd customer wrote'")
)
@click.option("--reason", metavar="TEXT", required=True, help="Why.")
@by_option
@case_options
def reopen(*, reason: str, by: str, as_json: bool) -> int:
    """Take a closed case up again."""
    return take(lambda case: case.reopen(by=by, reason=reason), "reopened", as_json=as_json)


ENDING = (lift, move, downscope, confirm, all_clear, close, postmortem, complete, reopen)

"""`rml erase`: what was kept beside entries is removed for good, on the record."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import click

from rml.cli.ending import FINE
from rml.cli.naming import as_id
from rml.cli.output import examples, json_option, progress_bar, say, say_json
from rml.cli.place import ledger_option, named_ledger, opened_ledger
from rml.cli.removing import confirm, removal_page
from rml.codec import parse_json
from rml.error import InvalidInputError
from rml.ledger.erasures.erasure import Removal
from rml.ledger.errors import UnknownIdError
from rml.ledger.ledger import Ledger

_SUBJECT: Final = re.compile(r"(?P<fact>[^=]+?)(?P<json>:?)=(?P<value>.*)", re.DOTALL)
CONFIRMATION: Final = "erase"


@click.command(
    epilog=examples(
        'rml erase ef_... email --by rosa --reason "request 2026-118"',
        'rml erase --subject customer_id=c-7 --by rosa --reason "request 2026-118"',
        'rml erase --subject account:=42 phone --by rosa --reason "request 2026-119"',
    )
)
@click.argument("words", metavar="[ENTRY] [FIELD]...", nargs=-1)
@click.option(
    "--subject",
    metavar="FACT=VALUE",
    help="All entries with this fact, and all of their effects; VALUE is text, or JSON after :=.",
)
@click.option("--by", metavar="NAME", required=True, help="Who erases.")
@click.option(
    "--reason", metavar="TEXT", required=True, help="On what request or law; in clear for ever."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@ledger_option
@json_option
def erase(
    *, words: Sequence[str], subject: str | None, by: str, reason: str, yes: bool, as_json: bool
) -> int:
    """Remove personal fields for good; every proof stays valid.

    Name an entry by its id or place, or an effect by its id, and its FIELDs; or with --subject
    whose fields go: all of them, or those that are named. An effect that has not ended keeps its
    request fingerprint. After an interrupt, run it again.

    In a terminal it asks first; a script says --yes. Exit status 2: nothing was erased, or the
    ledger was busy before all of it was.
    """
    if subject is None and len(words) < 2:  # noqa: PLR2004 - an entry and a field
        raise click.UsageError("name an entry and its fields, or a --subject")
    place = named_ledger()
    names = list(words if subject is not None else words[1:])
    about = f"of {words[0]}" if subject is None else f"of all entries with {subject}"
    if not yes:
        what = f"This removes {', '.join(names) or 'all personal fields'} {about} in {place}."
        confirm(what, CONFIRMATION, "nothing was erased")
    with opened_ledger() as ledger:
        if subject is None:
            done = _erase_entry(ledger, as_id(ledger, words[0]), names, by, reason)
        else:
            done = _erase_subject(ledger, subject, names, by, reason)
    if as_json:
        say_json({"entries": done.entries, "fields": done.fields, "kept": done.kept})
    else:
        say(removal_page(done, "erased", "their request fingerprint was kept"))
    return FINE


def _erase_entry(ledger: Ledger, name: str, fields: Sequence[str], by: str, reason: str) -> Removal:
    entries = list(ledger.entries(effect=name))
    with suppress(UnknownIdError):  # then it is an effect's, or erase() says that it is nobody's
        entries = [ledger.entry(name)]
    ledger.erase(name, fields, by=by, reason=reason)
    gone = [len(set(fields) & entry.personal.keys()) for entry in entries]
    return Removal(entries=sum(map(bool, gone)), fields=sum(gone), kept=())


def _erase_subject(
    ledger: Ledger, subject: str, fields: Sequence[str], by: str, reason: str
) -> Removal:
    said = _SUBJECT.fullmatch(subject)
    if said is None:
        raise click.BadParameter(f"{subject!r} is not FACT=VALUE", param_hint="'--subject'")
    try:
        value: Any = parse_json(said["value"]) if said["json"] else said["value"]
    except InvalidInputError as error:
        raise click.BadParameter(error.message, param_hint="'--subject'") from None
    with progress_bar("erasing", ledger.size) as progress:
        return ledger.erase_subject(
            said["fact"],
            value,
            by=by,
            reason=reason,
            fields=fields or None,
            progress=progress,
        )

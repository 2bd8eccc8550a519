"""`rml doctor`: can this machine, these libraries and this ledger keep what rml promises?"""

from __future__ import annotations

from collections import Counter

import click

from rml.cli.ending import FINE, NO
from rml.cli.output import examples, json_option, paint, say, say_json, wrapped
from rml.cli.place import ledger_option, named_ledger, opened_ledger
from rml.doctor.diagnosis import Answer, Diagnosis
from rml.doctor.look import examine
from rml.ledger.errors import NoLedgerError
from rml.ledger.store import without_password


@click.command(
    epilog=examples(
        "rml doctor --ledger payments.db",
        "rml doctor     only the libraries, if RML_LEDGER is not set",
        "rml doctor --json | jq '.[] | select(.answer != \"yes\")'",
        "rml doctor --checklist --docs runbooks --ledger payments.db",
    )
)
@click.option("--checklist", is_flag=True, help="Ask about people instead: are they ready?")
@click.option(
    "--docs",
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False),
    help="With --checklist: where runbooks, playbooks and definitions are.",
)
@ledger_option
@json_option
def doctor(*, checklist: bool, docs: str | None, as_json: bool) -> int:
    """Ask whether this machine, its libraries and the ledger can keep what rml promises.

    Every answer comes with its evidence; "unknown" is one too. Nothing is changed.
    Exit status 1: one answer, at least, is no.
    """
    try:
        place = named_ledger()
    except NoLedgerError:
        place = None
    if docs is not None and not checklist:
        raise click.UsageError("--docs goes with --checklist")
    found = _readiness(place, docs) if checklist else examine(place)
    if as_json:
        say_json([diagnosis.to_dict() for diagnosis in found])
    else:
        say(_page(place, found))
    return NO if any(diagnosis.answer is Answer.NO for diagnosis in found) else FINE


def _readiness(place: str | None, docs: str | None) -> tuple[Diagnosis, ...]:
    from rml.doctor.checklist import checklist, look

    if place is None:
        return checklist(look(folder=docs))
    with opened_ledger() as ledger:
        return checklist(look(ledger, docs))


def _page(place: str | None, found: tuple[Diagnosis, ...]) -> list[str]:
    unnamed = "no ledger was named: --ledger, or RML_LEDGER"
    lines = [f"ledger  {without_password(place)}" if place else unnamed, ""]
    for diagnosis in found:
        lines.append(
            f"{paint(diagnosis.answer)}{' ' * (9 - len(diagnosis.answer))}{diagnosis.question}"
        )
        lines += wrapped(diagnosis.evidence, " " * 9, " " * 9)
        if diagnosis.remedy is not None:
            lines += wrapped(f"-> {diagnosis.remedy}", " " * 9, " " * 12)
    counted = Counter(diagnosis.answer for diagnosis in found)
    return [*lines, "", ", ".join(f"{counted[answer]} {answer}" for answer in Answer)]

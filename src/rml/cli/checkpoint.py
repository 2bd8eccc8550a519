"""`rml checkpoint`: state, signed, what the ledger is now, and have it kept elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import click

from rml.cli.ending import FINE
from rml.cli.key import key_option, read_signer
from rml.cli.output import examples, json_option, say_bytes, say_json
from rml.cli.place import ledger_argument, ledger_option, opened_ledger
from rml.cli.vouching import anchor_options, anchors_of, refuse
from rml.ledger.errors import AnchorError, LedgerCorruptError
from rml.ledger.proofs.checkpoint import read_checkpoint


@click.command(
    epilog=examples(
        "rml checkpoint payments.db --key payments.key",
        "rml checkpoint payments.db --key payments.key \\",
        "    --anchor /mnt/audit/payments.kept",
        "rml checkpoint payments.db --key payments.key \\",
        "    --witness https://witness.example/w1=witness.vkey",
    )
)
@ledger_argument
@key_option(required=True)
@anchor_options(there=False)
@ledger_option
@json_option
def checkpoint(*, key: Path, files: Sequence[Path], witnesses: Sequence[str], as_json: bool) -> int:
    """Sign a checkpoint: the ledger's origin, size and root.

    It is refused if an anchor or a witness keeps a checkpoint that the ledger does not continue;
    what a witness alone refuses is kept by the other anchors. Exit status 1: it was refused, or
    not every anchor has kept it; then it is printed all the same.
    """
    # What is to be said about an anchor is said once, below.
    logging.getLogger("rml").addHandler(logging.NullHandler())
    anchors = anchors_of(files, witnesses)
    problem: str | None = None
    try:
        with opened_ledger(read_signer(key), anchors) as ledger:
            text = ledger.checkpoint()
    except LedgerCorruptError as error:
        text, problem = "", error.message
    except AnchorError as error:
        text, problem = str(error.details.get("checkpoint", "")), error.message
    if as_json:
        say_json(_shape(text, problem))
    elif text:
        say_bytes(text.encode())
    return FINE if problem is None else refuse(problem)


def _shape(text: str, problem: str | None) -> dict[str, object]:
    stated = read_checkpoint(text)[0] if text else None
    return {
        "checkpoint": text or None,
        "origin": stated and stated.origin,
        "size": stated and stated.size,
        "root": stated and stated.root.hex(),
        "problem": problem,
    }

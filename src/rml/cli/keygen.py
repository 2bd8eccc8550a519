"""`rml keygen`: a new key for a ledger's checkpoints."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import click

from rml.cli.ending import FINE
from rml.cli.output import examples, json_option, say, say_json
from rml.cli.place import is_ledger_named, ledger_option, opened_ledger
from rml.cli.vouching import a_file
from rml.files import writing
from rml.ledger.argument import as_origin
from rml.ledger.proofs.note import SignerKey


@click.command(
    epilog=examples(
        "rml keygen --name shop.example/payments payments.key > payments.vkey",
        "rml keygen --ledger payments.db payments.key   for a ledger that is there",
    )
)
@click.argument("file", type=a_file)
@click.option(
    "--name",
    metavar="ORIGIN",
    help="The origin of the ledger that the key is for; a ledger's key has its origin as name.",
)
@ledger_option
@json_option
def keygen(*, file: Path, name: str | None, as_json: bool) -> int:
    """Make a key, write its secret half to FILE and print the half that everybody may know.

    Without --name it is for the ledger that is named by --ledger or RML_LEDGER, or, if there is
    none, for a new one of a random origin. FILE is for its owner alone, and is never overwritten.
    Keep it where the ledger's readers and backups are not.
    """
    key = SignerKey.generate(as_origin(name) if name is not None else _origin())
    with writing(file) as secret:
        secret.write(key.to_text().reveal().encode() + b"\n")
    public = key.verifier.to_text()
    if as_json:
        say_json({"name": key.name, "file": os.fspath(file), "verifier_key": public})
    else:
        say(public)
    return FINE


def _origin() -> str:
    if not is_ledger_named():
        return f"rml-ledger/{uuid4()}"
    with opened_ledger() as ledger:
        return ledger.origin

"""`rml export bundle` and `rml verify-bundle`: what is handed to people who have no ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from rml.cli.casework import admit_reader, reader_options
from rml.cli.ending import FINE
from rml.cli.key import key_option, read_signer
from rml.cli.naming import as_id
from rml.cli.output import examples, fields, json_option, paint, progress_bar, say, say_json
from rml.cli.place import ledger_option, opened_ledger
from rml.cli.vouching import a_file, refuse, verifier_key
from rml.export.bundle import Bundle
from rml.export.pages import CASEFILE, removals, state_of
from rml.ledger.errors import ProofError, SignatureError
from rml.ledger.ledger import Ledger
from rml.ledger.proofs.checkpoint import Checkpoint

# What nobody can show without the whole ledger.
NOT_SHOWN = "that there are no other entries about it, nor what is withheld, erased or pruned"


@click.command(
    epilog=examples(
        "rml export bundle INC-2026-0001 case.zip --key payments.key",
        "rml export bundle ef_... charge.zip --key payments.key --disclose email",
    )
)
@click.argument("about", nargs=-1, required=True)
@click.argument("file", type=a_file)
@key_option(required=True)
@click.option(
    "--disclose",
    metavar="FIELD",
    multiple=True,
    help="A personal field whose values go into the bundle; none do unless they are named.",
)
@click.option("--overwrite", is_flag=True, help="Replace a file that is there.")
@reader_options
@ledger_option
@json_option
def bundle(
    *,
    about: Sequence[str],
    file: Path,
    key: Path,
    disclose: Sequence[str],
    overwrite: bool,
    by: str | None,
    reason: str | None,
    as_json: bool,
) -> int:
    """Write what an auditor can check without the ledger.

    A bundle is entries with their proofs, and one signed checkpoint for all of them. ABOUT is an
    incident's id, or ids of effects, or entries by id or place. What corrects them comes with them.
    FILE is a zip archive; `rml verify-bundle` checks it, and its README.txt says how to do so
    without rml. What belongs to a private case goes in with --by and --reason, and that is
    recorded.
    """
    with opened_ledger(signer=read_signer(key)) as ledger, progress_bar("proving") as progress:
        ids = [_as_recorded(ledger, one) for one in about]
        made = Bundle.of(ledger, *ids, disclose=disclose, progress=progress)
        admit_reader(ledger, (entry.incident for entry in made.entries), by, reason)
    made.write(file, overwrite=overwrite)
    checkpoint = Checkpoint.from_text(made.checkpoint.partition("\n\n")[0] + "\n")
    document = {"file": str(file), **_shape(made, checkpoint)}
    if as_json:
        say_json(document)
    else:
        say(fields([("file", str(file)), *_lines(document)]))
    return FINE


@click.command(
    "verify-bundle",
    epilog=examples(
        "rml verify-bundle case.zip --key payments.vkey",
        "rml verify-bundle case.zip --key payments.vkey --json | jq .ok",
    ),
)
@click.argument("file", type=a_file)
@click.option(
    "--key",
    "keys",
    metavar="VKEY",
    multiple=True,
    required=True,
    help="The ledger's verifier key, or its file, from somewhere else than the bundle.",
)
@click.option(
    "--entries-only",
    is_flag=True,
    help="Do not compare the generated pages, which another version of rml may make otherwise.",
)
@json_option
def verify_bundle(*, file: Path, keys: Sequence[str], entries_only: bool, as_json: bool) -> int:
    """Check a bundle without any ledger.

    Exit status 1: the bundle does not show what it says. 2: it cannot be read, or cannot be judged.
    """
    found = Bundle.read(file)
    try:
        checkpoint = found.verify(map(verifier_key, keys), generated=not entries_only)
    except (ProofError, SignatureError) as error:
        if as_json:
            say_json({"ok": False, "file": str(file), "problem": error.message})
        return refuse(error.message)
    document = {"ok": True, "file": str(file), **_shape(found, checkpoint)}
    if as_json:
        say_json({**document, "not_shown": NOT_SHOWN, "problem": None})
        return FINE
    pages = "not compared" if entries_only else "follow from the entries"
    told = [("bundle", str(file)), *_lines(document), ("pages", pages), ("not shown", NOT_SHOWN)]
    shown = "every entry is in the ledger that the checkpoint names, word for word"
    say([*fields(told), "", f"{paint('ok')}: {shown}"])
    return FINE


def _as_recorded(ledger: Ledger, about: str) -> str:
    """Return an id as it is recorded: an incident's in capitals, all others in small letters."""
    text = about.strip()
    return text.upper() if text.upper().startswith("INC-") else as_id(ledger, text)


def _shape(found: Bundle, checkpoint: Checkpoint) -> dict[str, Any]:
    entries = found.entries
    gone = removals(entries)
    fates = Counter(
        (name, state_of(entry, name, gone).partition(" ")[0])
        for entry in entries
        for name in entry.commitments
    )
    personal: dict[str, dict[str, int]] = {}
    for (name, fate), count in sorted(fates.items()):
        personal.setdefault(name, {})[fate] = count
    return {
        "about": list(found.about),
        "origin": checkpoint.origin,
        "size": checkpoint.size,
        "root": checkpoint.root.hex(),
        "entries": len(entries),
        "personal": personal,
        "casefile": CASEFILE in found.pages,
        "made_by": found.made_by,
    }


def _lines(document: dict[str, Any]) -> list[tuple[str, object]]:
    personal = [
        f"{name} ({', '.join(f'{fate} {count}' for fate, count in fates.items())})"
        for name, fates in document["personal"].items()
    ]
    return [
        ("about", ", ".join(document["about"])),
        ("origin", document["origin"]),
        ("ledger", f"{document['size']} entries, root {document['root']}"),
        ("entries", document["entries"]),
        ("personal", ", ".join(personal) or None),
    ]

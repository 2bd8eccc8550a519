"""The pages of a bundle: what is generated from its entries so that people can read them.

They are made from what is proven, and say nothing else; whoever verifies a bundle makes them again
and compares.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from rml.clock import utc_text
from rml.export.belonging import INCIDENT, among, field_of, prunings
from rml.incident.pages.casefile import LedgerState
from rml.incident.projection import project
from rml.ledger.entry import Entry
from rml.ledger.erasures.retention import ERASED
from rml.ledger.proofs.checkpoint import Checkpoint

FORMAT: Final = "rml/bundle/1"
README: Final = "README.txt"
MANIFEST: Final = "manifest.json"
CASEFILE: Final = "casefile.yaml"

_README: Final = """\
A signed bundle of ledger entries, format rml/bundle/1
======================================================

It shows that these entries are in the ledger that the checkpoint names, at their places, word for
word. It does not show that the ledger has no other entries about the same thing: who made the
bundle chose them, and could leave some out.

  manifest.json               what the bundle is about, and what is in it
  checkpoint                  size and root of the ledger, signed by it (c2sp.org/tlog-checkpoint)
  entries/<index>.json        the bytes of an entry, as they were hashed
  proofs/<index>.tlog-proof   that the entry is in the ledger (c2sp.org/tlog-proof)
  disclosed/<index>.json      personal fields that were disclosed: {name: [salt, value]}
  casefile.yaml               if it is about an incident: its case file, made from these entries

To check it, get the ledger's verifier key from somewhere else than this bundle, and run

  rml verify-bundle FILE --key NAME+ID+KEY

To check it without rml:

  1. `checkpoint` is a signed note (c2sp.org/signed-note): verify its signature with the key.
  2. Each file in `proofs` ends in the same checkpoint, and verifies with any tool for tlog-proof.
     The leaf is SHA-256 over one zero byte and the bytes of the file in `entries` (RFC 6962).
  3. A disclosed field belongs to its entry if SHA-256 over ["rml/1/field", salt, name, value], as
     RFC 8785 canonical JSON, is the digest that the entry's last member has under that name.

`manifest.json` and `casefile.yaml` are made from the entries, for reading; what is not in an entry
is not vouched for.
"""


def pages(
    about: Sequence[str], made_by: str, checkpoint: Checkpoint, entries: Sequence[Entry]
) -> dict[str, bytes]:
    """Return the pages of a bundle by their names.

    Args:
        about: what it is about.
        made_by: the version of rml that made it.
        checkpoint: what its proofs are against.
        entries: its entries, in index order; as personal values those that are disclosed.
    """
    made = {
        README: _README.encode(),
        MANIFEST: _text(_manifest(about, made_by, checkpoint, entries)),
    }
    if field_of(about[0]) == INCIDENT:
        made[CASEFILE] = _casefile(about[0], checkpoint, entries).encode()
    return made


def _manifest(
    about: Sequence[str], made_by: str, checkpoint: Checkpoint, entries: Sequence[Entry]
) -> dict[str, Any]:
    gone = removals(entries)
    return {
        "format": FORMAT,
        "made_by": made_by,
        "about": list(about),
        "ledger": {
            "origin": checkpoint.origin,
            "size": checkpoint.size,
            "root": checkpoint.root.hex(),
        },
        "entries": [
            {
                "index": entry.index,
                "id": entry.id,
                "kind": entry.kind,
                "recorded_at": utc_text(entry.recorded_at),
                "personal": {
                    name: state_of(entry, name, gone) for name in sorted(entry.commitments)
                },
            }
            for entry in entries
        ],
    }


Removals = dict[tuple[str, str | None], tuple[str, Entry]]


def removals(entries: Sequence[Entry]) -> Removals:
    """Return what removed values beside entries, and in which word.

    The keys are an entry's id with a field's name; or with ``None`` for all of its fields.
    """
    pruned = prunings(entries, among(entries))
    made: Removals = {(name, None): ("pruned", by) for name, by in pruned.items()}
    for entry in reversed(entries):
        fields = entry.facts.get("fields")
        if entry.kind == ERASED and entry.corrects and isinstance(fields, list):
            for name in fields:
                made[entry.corrects, str(name)] = ("erased", entry)
    return made


def state_of(entry: Entry, name: str, gone: Removals) -> str:
    """Say what became of a personal field: disclosed, withheld, or erased or pruned on a day."""
    if name in entry.personal:
        return "disclosed"
    removed = gone.get((entry.id, name)) or gone.get((entry.id, None))
    if removed is None:
        return "withheld"
    word, by = removed
    return f"{word} on {by.recorded_at.date().isoformat()} (entry {by.index})"


def _casefile(incident: str, checkpoint: Checkpoint, entries: Sequence[Entry]) -> str:
    state = LedgerState(origin=checkpoint.origin, size=checkpoint.size, root=checkpoint.root.hex())
    read = project([entry for entry in entries if entry.incident == incident], state)
    if read is None:
        raise ValueError(f"nothing opens the incident {incident}")
    return read.file.to_yaml()


def _text(document: object) -> bytes:
    return (json.dumps(document, indent=2) + "\n").encode()

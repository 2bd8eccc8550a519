"""`rml prove`: show that an entry is in a ledger, and check such a proof without the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import click

from rml.cli.ending import FINE
from rml.cli.key import read_signer
from rml.cli.naming import entry_named
from rml.cli.output import examples, fields, json_option, paint, say, say_bytes, say_json
from rml.cli.place import ledger_option, name_ledger, opened_ledger
from rml.cli.shape import entry_shape
from rml.cli.vouching import (
    a_file,
    a_file_there,
    bytes_in,
    checkpoint_in,
    refuse,
    verifier_key,
)
from rml.clock import utc_text
from rml.error import InvalidInputError, RmlError
from rml.files import writing
from rml.ledger.entry import Entry
from rml.ledger.errors import LedgerCorruptError, ProofError, SignatureError
from rml.ledger.ledger import Ledger
from rml.ledger.proofs.checkpoint import read_checkpoint
from rml.ledger.proofs.cosignature import Trust
from rml.ledger.proofs.note import NOTE_BYTES_MAX
from rml.ledger.proofs.proof import InclusionProof

# An entry's bytes have at most 65,535 bytes; anything that was appended elsewhere may have more.
ENTRY_BYTES_MAX: Final = 1_000_000
_EVIDENCE: Final = "run `rml verify --checkpoint` and keep the file as evidence"


@click.command(
    epilog=examples(
        "rml prove payments.db 12 --key payments.key -o entry.tlog-proof",
        "rml prove payments.db 12 --checkpoint kept.checkpoint -o entry.tlog-proof",
        "rml prove --check entry.tlog-proof --key payments.vkey",
    )
)
@click.argument("words", metavar="[LEDGER] [ENTRY]", nargs=-1)
@click.option(
    "--key",
    "keys",
    metavar="KEY",
    multiple=True,
    help="To prove: the file of the ledger's signer key. To check: a verifier key or its file, "
    "the ledger's, and of witnesses that must have cosigned.",
)
@click.option(
    "--checkpoint",
    "kept",
    metavar="FILE",
    type=a_file_there,
    help="To prove: against this signed checkpoint. To check: against this one, which you trust.",
)
@click.option("-o", "--output", metavar="FILE", type=a_file, help="Write the proof to a new file.")
@click.option("--check", "proof", metavar="FILE", type=a_file_there, help="Check this proof.")
@click.option(
    "--entry",
    "entry_file",
    metavar="FILE",
    type=a_file_there,
    help="To check: the entry's bytes, in place of those that the proof brings along.",
)
@ledger_option
@json_option
def prove(
    *,
    words: Sequence[str],
    keys: Sequence[str],
    kept: Path | None,
    output: Path | None,
    proof: Path | None,
    entry_file: Path | None,
    as_json: bool,
) -> int:
    """Prove that an entry is in the ledger, or check a proof.

    ENTRY is an entry's id, or its place as `rml tail` shows it. The proof is a C2SP tlog-proof that
    brings the entry's bytes along, and no personal values. Whoever checks it needs a key, or a
    checkpoint, that came another way than the proof, and no ledger. A proof that was made without
    --key and --checkpoint is not signed: only a checkpoint of the same size checks it.

    Exit status 1: it is not shown that the entry is in the ledger.
    """
    if proof is not None:
        if words or output is not None:
            raise click.UsageError("--check needs no ledger, no entry and no -o")
        return _check(proof, entry_file, [verifier_key(key) for key in keys], kept, as_json=as_json)
    if entry_file is not None:
        raise click.UsageError("--entry goes with --check")
    *place, wanted = _ledger_and_entry(words)
    for one in place:
        name_ledger(click.get_current_context(), one)
    return _prove(wanted, keys, kept, output, as_json=as_json)


# Proving ------------------------------------------------------------------------------------------


def _ledger_and_entry(words: Sequence[str]) -> Sequence[str]:
    if len(words) in (1, 2):
        return words
    raise click.UsageError("name a ledger and one of its entries, or --check FILE")


def _prove(
    wanted: str, keys: Sequence[str], kept: Path | None, output: Path | None, *, as_json: bool
) -> int:
    if len(keys) > 1 or (keys and kept is not None):
        raise click.UsageError("a proof is against one checkpoint; give one --key, or --checkpoint")
    signer = read_signer(Path(keys[0])) if keys else None
    with opened_ledger(signer) as ledger:
        entry = entry_named(ledger, wanted)
        try:
            made = ledger.prove(entry.id) if kept is None else _against(ledger, entry, kept)
        except LedgerCorruptError as error:
            return refuse(error.message)
        data = entry.to_bytes()
    text = attrs.evolve(made, extra=data).to_text()
    if output is not None:
        with writing(output) as file:
            file.write(text.encode())
    size = read_checkpoint(made.checkpoint)[0].size
    if as_json:
        say_json({"entry": entry_shape(entry), "size": size, "proof": text})
    elif output is None:
        say_bytes(text.encode())
    else:
        say(f"{output}: entry {entry.index}, in a ledger of {size} entries")
    return FINE


def _against(ledger: Ledger, entry: Entry, kept: Path) -> InclusionProof:
    """Return the proof against a checkpoint that was signed, and maybe cosigned, earlier."""
    text = checkpoint_in(kept)
    told, _ = read_checkpoint(text)
    if told.origin != ledger.origin:
        raise InvalidInputError(
            f"{kept} is of the ledger {told.origin!a:.80}, and this is {ledger.origin!a:.80}"
        )
    if told.size > ledger.size:
        raise LedgerCorruptError(
            f"the checkpoint in {kept} covers {told.size} entries, and the ledger has "
            f"{ledger.size}: it was set back, or is an older copy; {_EVIDENCE}"
        )
    if told.size <= (entry.index or 0):
        raise InvalidInputError(
            f"the checkpoint in {kept} covers {told.size} entries, and entry {entry.index} came "
            "after it; give a newer one"
        )
    made = ledger.prove(entry.id, size=told.size)
    if read_checkpoint(made.checkpoint)[0].root != told.root:
        raise LedgerCorruptError(
            f"the first {told.size} entries are not those of the checkpoint in {kept}; {_EVIDENCE}"
        )
    return attrs.evolve(made, checkpoint=text)


# Checking -----------------------------------------------------------------------------------------


def _check(
    path: Path, entry_file: Path | None, keys: Sequence[str], kept: Path | None, *, as_json: bool
) -> int:
    """Check a proof with what the reader trusts."""
    if not keys and kept is None:
        raise click.UsageError("a proof shows nothing by itself; give --key, or --checkpoint")
    proof = InclusionProof.from_text(bytes_in(path, NOTE_BYTES_MAX, "proof"))
    data = proof.extra if entry_file is None else bytes_in(entry_file, ENTRY_BYTES_MAX, "entry")
    if data is None:
        raise InvalidInputError("the proof does not bring its entry along; give --entry FILE")
    trusted = None if kept is None else checkpoint_in(kept)
    told, note = read_checkpoint(proof.checkpoint)
    trust = Trust.of(told.origin, keys)
    if not trust.keys and trusted is None:
        raise InvalidInputError("a witness alone vouches for no ledger; give its own key as well")
    shown: dict[str, Any] = {"origin": told.origin, "size": told.size, "index": proof.index}
    try:
        proof.verify(data, keys=trust.keys, trusted=trusted)
        cosigned = {key.name: key.cosigned_at(note) if note else None for key in trust.witnesses}
        missing = [name for name, at in cosigned.items() if at is None]
        if missing:
            raise SignatureError(f"the witness {missing[0]} has not cosigned the checkpoint")
    except (ProofError, SignatureError) as error:
        if as_json:
            say_json({"proved": False, "why": error.message, **shown})
        return refuse(f"not proved: {error.message}")
    entry = _read(data, proof.index)
    times = {name: utc_text(at) for name, at in cosigned.items() if at is not None}
    if as_json:
        shape = None if entry is None else entry_shape(entry)
        say_json({"proved": True, "why": None, **shown, "cosigned": times, "entry": shape})
    else:
        say(_page(shown, times, entry))
    return FINE


def _read(data: bytes, index: int) -> Entry | None:
    """Return the entry that bytes are, or nothing for those of another log."""
    try:
        return Entry.from_bytes(data, index=index)
    except RmlError:
        return None


def _page(shown: dict[str, Any], times: dict[str, str], entry: Entry | None) -> list[str]:
    pairs: list[tuple[str, object]] = [
        ("ledger", shown["origin"]),
        ("entry", f"{shown['index']}, in a ledger of {shown['size']} entries"),
        *((f"cosigned by {name}", at) for name, at in times.items()),
    ]
    if entry is not None:
        pairs += [(name.replace("_", " "), value) for name, value in entry.header().items()]
        pairs += [(f"facts.{name}", value) for name, value in entry.facts.items()]
    return [*fields(pairs), "", f"{paint('ok')}: the entry is in the ledger"]

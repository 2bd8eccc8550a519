"""What is wrong with one row of a ledger: everything in it is compared with its bytes.

This is the single truth of a verification. Whatever is looked at more cheaply elsewhere is looked
at here as soon as it is not surely fine, so that every problem has one wording.
"""

from __future__ import annotations

from typing import Any

import attrs

from rml.codec import compact_json, parse_json
from rml.error import RmlError
from rml.ledger.checks.verification import Problem
from rml.ledger.entry import COLUMNS, Entry, commit, flaw_of, id_matches, leaf_hash, settled
from rml.ledger.store import Row


@attrs.define
class Checked:
    """What a row is.

    ``leaf`` is the hash of its bytes; ``entry`` is what they say, unless they are no entry;
    ``missing`` names the committed fields that nothing is kept of.
    """

    leaf: bytes
    entry: Entry | None = None
    missing: list[str] = attrs.field(factory=list)
    problems: list[Problem] = attrs.field(factory=list)


def check_row(row: Row, origin: str) -> Checked:
    """Compare a row of the ledger of this origin with its bytes."""
    data: object = row.data
    if not isinstance(data, bytes):
        detail = "where the bytes should be, there are none"
        return Checked(leaf_hash(b""), problems=[Problem("bytes", detail, row.index)])
    checked = Checked(leaf_hash(data))
    if checked.leaf != row.leaf:
        detail = "the bytes do not give the leaf hash that was recorded with them"
        checked.problems.append(Problem("bytes", detail, row.index))
    try:
        entry = Entry.from_bytes(data, index=row.index)
        flaw = flaw_of(entry)
        if flaw is None and entry.to_bytes() != data:
            flaw = "the bytes are not the canonical form of what they say"
    except RmlError as error:
        checked.problems.append(Problem("bytes", str(error), row.index))
        return checked
    if flaw is not None:
        checked.problems.append(Problem("bytes", flaw, row.index, entry.id))
        return checked
    checked.entry = entry
    _check_header(checked, entry, row.columns, origin)
    _check_personal(checked, entry, row.personal)
    return checked


def _check_header(checked: Checked, entry: Entry, columns: tuple[Any, ...], origin: str) -> None:
    """Compare the columns with the header, and the header with the ledger's identity."""
    if entry.origin != origin:
        _note(checked, "origin", f"the entry belongs to the ledger {entry.origin!a:.80}")
    if not id_matches(entry):
        _note(checked, "id", "the id's time is not the time it was recorded at")
    header = entry.header()
    for name, value in zip(COLUMNS, columns, strict=True):
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        if text != header.get(name):
            _note(
                checked, "column", f"the column {name} says {text!a:.80}, the bytes say otherwise"
            )


def _check_personal(checked: Checked, entry: Entry, personal: bytes | None) -> None:
    """Compare what is kept beside an entry with its commitments; note what is missing."""
    try:
        kept = {} if personal is None else parse_json(personal)
        digests = {name: commit(salt, name, value) for name, (salt, value) in kept.items()}
        changed = [name for name, (_, value) in kept.items() if settled(value) is not value]
        spelled = compact_json(kept, checked=True) if kept else None
    except (RmlError, ValueError, TypeError, AttributeError):
        _note(checked, "personal", "what is kept beside it cannot be read")
        return
    for name, digest in digests.items():
        if entry.commitments.get(name) != digest:
            _note(
                checked, "personal", f"the value of {name!a:.80} is not what the entry commits to"
            )
    for name in changed:
        detail = f"the value of {name!a:.80} is not as it was written: a whole number has a point"
        _note(checked, "personal", detail)
    if not checked.problems and spelled != personal:
        _note(checked, "personal", "what is kept beside it is not as it was written")
    checked.missing = [name for name in entry.commitments if name not in digests]


def _note(checked: Checked, code: str, detail: str) -> None:
    assert checked.entry is not None
    checked.problems.append(Problem(code, detail, checked.entry.index, checked.entry.id))

"""How the facts of old entries are shown in today's form, while what was recorded stays.

Programs change what they record; an entry never changes. An *upcaster* is a function of a kind's
own: it is given an :class:`~rml.Entry` of that kind, old or new, and returns its facts as the
program would record them today. Bytes, hashes and proofs are those of what was recorded.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from rml.cause import type_name
from rml.codec import canonical_json
from rml.error import InvalidInputError
from rml.ledger.content import check_facts
from rml.ledger.entry import RESERVED_KINDS, Entry, check_kind
from rml.ledger.errors import UpcastError
from rml.tag import shown

Upcaster = Callable[[Entry], Mapping[str, Any]]
Upcasters = Mapping[str, Upcaster]

NO_UPCASTERS: Final[Upcasters] = MappingProxyType({})


def as_upcasters(upcasters: object) -> Upcasters:
    """Check a mapping from kinds to functions.

    Raises:
        InvalidInputError: it is none, or it names a kind that the library records itself, whose
            facts have a meaning for the library.
    """
    if not isinstance(upcasters, Mapping):
        message = "upcasters must be a mapping from kinds to functions of an rml.Entry"
        raise InvalidInputError(f"{message}, not {shown(upcasters)}")
    checked: dict[str, Upcaster] = {}
    for kind, upcaster in upcasters.items():
        if check_kind(kind).partition(".")[0] in RESERVED_KINDS:
            raise InvalidInputError(
                f"no upcaster for {kind!r}: the library records it and reads it itself"
            )
        if not callable(upcaster) or inspect.iscoroutinefunction(upcaster):
            raise InvalidInputError(
                f"the upcaster of {kind!r} must be a function of an rml.Entry that returns facts"
            )
        checked[kind] = upcaster
    return MappingProxyType(checked)


def upcast(entry: Entry, upcasters: Upcasters) -> Entry:
    """Return an entry as it is shown today; the very same if its kind has no upcaster.

    Raises:
        UpcastError: the upcaster failed, or returned what cannot be recorded as facts.
    """
    upcaster = upcasters.get(entry.kind)
    if upcaster is None:
        return entry
    try:
        facts = check_facts(upcaster(entry))
        canonical_json(facts, "facts")  # what has no bytes would fail where it is read or written
    except Exception as error:
        raise UpcastError(
            f"the upcaster of {entry.kind!r} failed at entry {entry.index}, {entry.id}, with "
            f"{type_name(type(error))}; correct the upcaster, the entry is as it was recorded",
            details={"entry": entry.id, "index": entry.index, "kind": entry.kind},
        ) from error
    return entry.upcast(facts)

"""A lever: the recorded decision that an operation is not begun any more, until it is released.

What is pulled is worked out from the entries ``lever.pulled`` and ``lever.released`` alone. A lever
stops one operation, or every one (``*``); all of it, or only what belongs to a tenant or a region.

Whose a call is stands in what is recorded of it: its tenant in the fact ``tenant``, in the scope,
or in what surrounds it; its region in the fact ``region``, or in what surrounds it. A call of which
nobody knows whose it is cannot be told from those that the lever is about, so it is stopped too.
Names are compared in Unicode's form NFC; each part of a scope of several is a name, and a blank one
names nobody.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import product
from types import MappingProxyType
from typing import Any, ClassVar, Final, Self, TypeAlias

import attrs

from rml.clock import utc_text
from rml.error import ClosedError, DialogError
from rml.ledger.entry import Entry

PULLED: Final = "lever.pulled"
RELEASED: Final = "lever.released"
# The operation of a lever that stops them all.
EVERY: Final = "*"
# What an intent records of its surroundings, where these say whose the call is.
TENANT: Final = "rml.tenant"
REGION: Final = "rml.region"

# What a lever is about: an operation, a tenant, a region.
Target: TypeAlias = "tuple[str, str | None, str | None]"


class LeverPulledError(ClosedError):
    """The operation is stopped by a lever; nothing was done."""

    code = "LEVER_PULLED"
    http_status: ClassVar[int | None] = 503


class LeverUnreadableError(DialogError):
    """Nobody can say whether a lever is pulled, so nothing was done."""

    code = "LEVER_UNREADABLE"
    http_status: ClassVar[int | None] = 503
    happened: ClassVar[bool | None] = False


@attrs.frozen
class Whose:
    """Whose a call is, by every name that it has."""

    tenants: frozenset[str]
    regions: frozenset[str]

    @classmethod
    def of(cls, scope: str | None, facts: Mapping[str, Any]) -> Self:
        """Return whose an effect is, as its intent tells."""
        return cls.named([facts.get("tenant"), scope, facts.get(TENANT)], _regions(facts))

    @classmethod
    def named(cls, tenants: Iterable[object], regions: Iterable[object]) -> Self:
        """Return whose a call is that has these names; ``None`` is none."""
        return cls(_texts(tenants), _texts(regions))


def _regions(facts: Mapping[str, Any]) -> list[object]:
    return [facts.get("region"), facts.get(REGION)]


def _texts(names: Iterable[object]) -> frozenset[str]:
    return frozenset(text for name in names if name is not None for text in _meant(name))


def _meant(name: object) -> Iterator[str]:
    """Yield what a name may be called by: itself, and its parts where it is made of several."""
    parts = name if isinstance(name, list | tuple) else _parts(str(name))
    for text in (str(name), *map(str, parts)):
        if text and not text.isspace():
            yield same(text)


def _parts(text: str) -> list[object]:
    """Return the parts of a scope that was a tuple, which stands in the header as JSON."""
    if not text.startswith('["'):
        return []
    try:
        parts = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return parts if isinstance(parts, list) else []


def same(name: str) -> str:
    """Return the one form of names that look the same and differ in their code points."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


@attrs.frozen(kw_only=True)
class Lever:
    """A lever that is pulled.

    Attributes:
        operation: the operation that it stops; ``*`` for all of them.
        tenant: the only tenant that it stops, if it is about one.
        region: the only region that it stops, if it is about one.
        by: who pulled it.
        reason: why.
        pulled_at: when the ledger recorded that.
        incident: the incident that it belongs to, if any.
        entry: the id of the entry.
        index: the index of the entry.
    """

    operation: str
    tenant: str | None
    region: str | None
    by: str
    reason: str
    pulled_at: datetime
    incident: str | None
    entry: str
    index: int = attrs.field(repr=False)

    @property
    def target(self) -> Target:
        """What it is about; of levers about the same, one is pulled at a time."""
        return self.operation, self.tenant, self.region

    def stops(self, operation: str, whose: Whose) -> bool:
        """Say whether it stops a call of an operation."""
        return concerns(self.target, operation, whose)

    def to_dict(self) -> dict[str, Any]:
        """Return it as a flat row."""
        return attrs.asdict(self)


def concerns(target: Target, operation: str | None, whose: Whose) -> bool:
    """Say whether a call is among those that are meant; it is if nobody can tell."""
    meant, tenant, region = target
    if meant not in (EVERY, operation):
        return False
    sides = (tenant, whose.tenants), (region, whose.regions)
    return all(name is None or not names or same(name) in names for name, names in sides)


# In place of a name: whatever it is.
_ANY: Final = ""


class Standing:
    """The levers that are pulled, found by what they are about, however many there are."""

    def __init__(self, levers: Iterable[Lever] = ()) -> None:
        self._found: dict[Target, Lever] = {}
        for lever in levers:
            operation, *names = lever.target
            tenant, region = (None if name is None else same(name) for name in names)
            for target in product((operation,), {tenant, _ANY}, {region, _ANY}):
                self._found.setdefault(target, lever)

    def __bool__(self) -> bool:
        return bool(self._found)

    def stopping(self, operation: str, whose: Whose) -> Lever | None:
        """Return the one that was pulled first of those that stop a call, as :func:`concerns`."""
        tenants = (None, *whose.tenants) if whose.tenants else (_ANY,)
        regions = (None, *whose.regions) if whose.regions else (_ANY,)
        found = map(self._found.get, product((operation, EVERY), tenants, regions))
        return min(filter(None, found), key=lambda lever: lever.index, default=None)


@attrs.frozen
class LeverStates:
    """Every lever that was ever touched: where it was last pulled and last released.

    Entries may come in any order and more than once: what counts are their indexes.
    """

    last_pulled: Mapping[Target, Lever] = MappingProxyType({})
    last_released: Mapping[Target, int] = MappingProxyType({})

    def told(self, entries: Iterable[Entry]) -> LeverStates:
        """Return what is known after some more entries."""
        pulled, released = dict(self.last_pulled), dict(self.last_released)
        for entry in entries:
            target, index = _target(entry), entry.index or 0
            if entry.kind == RELEASED:
                released[target] = max(index, released.get(target, -1))
            elif target not in pulled or pulled[target].index < index:
                pulled[target] = _lever(entry, target)
        return LeverStates(MappingProxyType(pulled), MappingProxyType(released))

    @property
    def pulled(self) -> list[Lever]:
        """The levers that are pulled, in the order in which they were."""
        standing = [
            lever
            for target, lever in self.last_pulled.items()
            if self.last_released.get(target, -1) < lever.index
        ]
        return sorted(standing, key=lambda lever: lever.index)


def _target(entry: Entry) -> Target:
    return entry.operation or EVERY, entry.facts.get("tenant"), entry.facts.get("region")


def _lever(entry: Entry, target: Target) -> Lever:
    operation, tenant, region = target
    return Lever(
        operation=operation,
        tenant=tenant,
        region=region,
        by=entry.actor or "",
        reason=entry.facts["reason"],
        pulled_at=entry.recorded_at,
        incident=entry.incident,
        entry=entry.id,
        index=entry.index or 0,
    )


def named(target: Target) -> str:
    """Return what a lever is about, in words."""
    operation, tenant, region = target
    words = "every operation" if operation == EVERY else repr(operation)
    if tenant is not None:
        words += f" of tenant {tenant!r}"
    return words if region is None else f"{words} in region {region!r}"


def refuse(levers: Standing, operation: str, whose: Whose) -> None:
    """Raise for a call that one of some levers stops.

    Raises:
        LeverPulledError: it does.
    """
    lever = levers.stopping(operation, whose)
    if lever is not None:
        raise _refusal(operation, lever)


def _refusal(operation: str, lever: Lever) -> LeverPulledError:
    since = utc_text(lever.pulled_at)
    return LeverPulledError(
        f"{operation!r} is not begun: {lever.by} stopped {named(lever.target)} at {since} "
        f"({lever.reason}); nothing was done",
        details={"operation": operation, "lever": lever.entry, "incident": lever.incident},
    )

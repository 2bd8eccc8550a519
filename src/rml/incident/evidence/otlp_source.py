"""OpenTelemetry traces and logs as OTLP JSON: a document, or one a line as file exporters write.

Ids are hex in OTLP JSON (OTLP 1.x, section JSON Protobuf Encoding). What was written by the JSON
form of protobuf has base64 and the names of enums instead, and is read as well.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from rml.incident.evidence.happening import (
    Happening,
    Skipped,
    SourceKind,
    UnreadableError,
    about,
    moment_at,
    parsed,
    shortened,
    world_in,
)
from rml.incident.evidence.log_source import lines_of
from rml.world import World

# Of one document, which is held in memory while it is read.
DOCUMENT_BYTES_MAX: Final = 64 * 1_048_576
# SpanKind CLIENT and PRODUCER: somebody else is asked.
_ASKING: Final = frozenset({3, 4, "SPAN_KIND_CLIENT", "SPAN_KIND_PRODUCER"})
_ERROR: Final = frozenset({2, "STATUS_CODE_ERROR"})
_VALUES: Final = ("stringValue", "intValue", "doubleValue", "boolValue")

Told = Iterator[Happening | Skipped]


def read_otlp(path: Path) -> Told:
    """Yield what each span, each event of one and each log record tells, or why it cannot be read.

    Raises:
        OSError: the file cannot be read.
    """
    whole = _whole(path)
    if whole is not None:
        yield from _document(whole, f"{path.name}:1")
        return
    with path.open("rb") as file:
        for number, line in lines_of(file, DOCUMENT_BYTES_MAX):
            where = f"{path.name}:{number}"
            try:
                if line is None:
                    raise UnreadableError(f"it is longer than {DOCUMENT_BYTES_MAX} bytes")
                yield from _document(parsed(line), where)
            except UnreadableError as error:
                yield Skipped(where, str(error))


def _whole(path: Path) -> dict[str, Any] | None:
    """Return the one document that a file is, if it is one that was laid out over lines."""
    with path.open("rb") as file:
        first = next((line for _, line in lines_of(file, DOCUMENT_BYTES_MAX)), None)
        if first is None or _is_document(first):
            return None
        file.seek(0)
        text = file.read(DOCUMENT_BYTES_MAX + 1)
    return parsed(text) if len(text) <= DOCUMENT_BYTES_MAX and _is_document(text) else None


def _is_document(text: bytes) -> bool:
    try:
        parsed(text)
    except UnreadableError:
        return False
    return True


def _document(document: Mapping[str, Any], where: str) -> Told:
    kinds = ("resourceSpans", "scopeSpans", "spans"), ("resourceLogs", "scopeLogs", "logRecords")
    if not any(resources in document for resources, _, _ in kinds):
        yield Skipped(where, "it has neither resourceSpans nor resourceLogs")
    for (resources, scopes, records), read in zip(kinds, (_span, _record), strict=True):
        for resource in _objects(document.get(resources)):
            for scope in _objects(resource.get(scopes)):
                for record in _objects(scope.get(records)):
                    yield from _tried(read, record, where)


def _objects(given: object) -> Iterator[dict[str, Any]]:
    for one in given if isinstance(given, list) else ():
        if isinstance(one, dict):
            yield one


def _tried(read: Callable[[dict[str, Any], str], Told], record: dict[str, Any], where: str) -> Told:
    try:
        yield from read(record, where)
    except UnreadableError as error:
        name = record.get("name") or record.get("spanId") or "a record"
        yield Skipped(where, f"{str(name)[:60]}: {error}")


def _span(record: dict[str, Any], where: str) -> Told:
    facts = _attributes(record)
    name = str(record.get("name") or "span")
    status = record.get("status")
    failed = isinstance(status, Mapping) and status.get("code") in _ERROR
    ids: dict[str, Any] = {"trace": _id(record, "traceId", 16), "span": _id(record, "spanId", 8)}
    world = World.RML2 if record.get("kind") in _ASKING else World.RML1
    yield Happening(
        at=_nanos(record, "startTimeUnixNano"),
        until=_nanos(record, "endTimeUnixNano") if record.get("endTimeUnixNano") else None,
        world=world_in(facts) or world,
        type="span",
        text=shortened(f"{name} failed" if failed else name),
        kind=SourceKind.SPAN,
        where=where,
        facts=facts,
        **ids,
        **about(facts),
    )
    for event in _objects(record.get("events")):
        told = _attributes(event)
        text = told.get("exception.message") or event.get("name") or "event"
        yield Happening(
            at=_nanos(event, "timeUnixNano"),
            world=world_in(told) or world,
            type=str(event.get("name") or "event"),
            text=shortened(str(text)),
            kind=SourceKind.LOG,
            where=where,
            facts=told,
            **ids,
            **about(told),
        )


def _record(record: dict[str, Any], where: str) -> Told:
    facts = _attributes(record)
    body = _value(record.get("body"))
    if body is None:
        raise UnreadableError("it has no body")
    name = "timeUnixNano" if record.get("timeUnixNano") not in (None, "0", 0) else ""
    yield Happening(
        at=_nanos(record, name or "observedTimeUnixNano"),
        world=world_in(facts) or World.RML1,
        type=str(record.get("severityText") or "log").lower(),
        text=shortened(body if isinstance(body, str) else json.dumps(body)),
        kind=SourceKind.LOG,
        where=where,
        trace=_id(record, "traceId", 16),
        span=_id(record, "spanId", 8),
        facts=facts,
        **about(facts),
    )


def _attributes(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain attributes by name; lists and maps are left out."""
    read = {
        str(one.get("key")): _value(one.get("value")) for one in _objects(record.get("attributes"))
    }
    return {name: value for name, value in read.items() if value is not None}


def _value(given: object) -> Any:
    if not isinstance(given, Mapping):
        return None
    name = next((name for name in _VALUES if name in given), None)
    value = None if name is None else given[name]
    if name == "intValue" and isinstance(value, str):
        return int(value) if value.lstrip("-").isdecimal() and len(value) < 21 else value  # noqa: PLR2004 - 64 bits
    return value if isinstance(value, str | int | float | bool) else None


def _nanos(record: Mapping[str, Any], name: str) -> datetime:
    told = record.get(name)
    if isinstance(told, str) and told.isdecimal() and len(told) < 21:  # noqa: PLR2004 - 64 bits
        told = int(told)
    if type(told) is not int or told <= 0:
        raise UnreadableError(f"its {name} is no number of nanoseconds")
    return moment_at(told // 1000)


def _id(record: Mapping[str, Any], name: str, size: int) -> str | None:
    """Return an id as hex, however it was written."""
    told = record.get(name)
    if not isinstance(told, str):
        return None
    if len(told) == 2 * size:
        return told.lower()
    try:
        read = base64.b64decode(told, validate=True)
    except (binascii.Error, ValueError):
        return None
    return read.hex() if len(read) == size else None

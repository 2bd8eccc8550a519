"""Application logs as JSON lines: one object a line, as python-json-logger and structlog write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import tzinfo
from pathlib import Path
from typing import IO, Any, Final

from rml.incident.evidence.happening import (
    LINE_BYTES_MAX,
    Happening,
    Skipped,
    SourceKind,
    UnreadableError,
    about,
    moment_of,
    parsed,
    shortened,
    world_in,
)
from rml.world import World

# Names under which loggers write these; the first that is there counts.
_TIMES: Final = ("timestamp", "@timestamp", "time", "ts", "asctime", "datetime", "at", "created")
_TEXTS: Final = ("message", "msg", "event", "body")
_LEVELS: Final = ("level", "levelname", "severity", "severity_text", "log.level")
_TRACES: Final = ("trace_id", "traceId", "otelTraceID", "trace.id")
_SPANS: Final = ("span_id", "spanId", "otelSpanID", "span.id")
# What an error of ours writes into a log, all under this one name: RmlError.to_log_fields().
_OURS: Final = "rml"


def read_log(path: Path, zone: tzinfo | None = None) -> Iterator[Happening | Skipped]:
    """Yield what each line of a log tells, or why it cannot be read; one line is held at a time.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        for number, line in lines_of(file, LINE_BYTES_MAX):
            where = f"{path.name}:{number}"
            try:
                if line is None:
                    raise UnreadableError(f"it is longer than {LINE_BYTES_MAX} bytes")
                yield _happening(parsed(line), where, zone)
            except UnreadableError as error:
                yield Skipped(where, str(error))


def lines_of(file: IO[bytes], bytes_max: int) -> Iterator[tuple[int, bytes | None]]:
    """Yield each line that is not blank, with its number; ``None`` for one that is too long."""
    number = 0
    while line := file.readline(bytes_max + 1):
        number += 1
        if len(line) > bytes_max:
            while line and not line.endswith(b"\n"):
                line = file.readline(bytes_max)
            yield number, None
        elif line.strip():
            yield number, line


def _happening(record: Mapping[str, Any], where: str, zone: tzinfo | None) -> Happening:
    told = _first(record, _TIMES)
    if told is None:
        raise UnreadableError(f"it has no time; names looked for: {', '.join(_TIMES)}")
    text = _first(record, _TEXTS)
    if not isinstance(text, str):
        raise UnreadableError(f"it has no message; names looked for: {', '.join(_TEXTS)}")
    facts = _facts(record)
    level = _first(record, _LEVELS)
    return Happening(
        at=moment_of(told, zone),
        world=world_in(facts) or World.RML1,
        type=level.lower() if isinstance(level, str) and level else "log",
        text=shortened(text),
        kind=SourceKind.LOG,
        where=where,
        trace=_hex(record, _TRACES, 32),
        span=_hex(record, _SPANS, 16),
        facts=facts,
        **about(facts),
    )


def _first(record: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((record[name] for name in names if record.get(name) is not None), None)


def _hex(record: Mapping[str, Any], names: tuple[str, ...], digits: int) -> str | None:
    told = _first(record, names)
    return told.lower() if isinstance(told, str) and len(told) == digits else None


def _facts(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record's plain values; those of an error of ours under ``rml.``, details bare."""
    facts = {name: value for name, value in record.items() if _is_plain(value)}
    ours = record.get(_OURS)
    if not isinstance(ours, Mapping):
        return facts
    facts |= {f"rml.{name}": value for name, value in ours.items() if _is_plain(value)}
    details = ours.get("details")
    named = details if isinstance(details, Mapping) else {}
    for name in ("effect", "operation", "key"):
        if _is_plain(named.get(name)):
            facts[f"rml.{name}"] = named[name]
    return facts


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float | bool)

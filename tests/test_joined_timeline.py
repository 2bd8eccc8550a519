"""One timeline from the ledger and from files that the real libraries have written."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToJson
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.json.file import FileSpanExporter
from opentelemetry.exporter.otlp.json.file._log_exporter import FileLogExporter
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from pythonjsonlogger.json import JsonFormatter

import rml
from rml.incident.evidence import joining
from rml.incident.evidence.happening import Happening, Skipped, SourceKind
from rml.incident.evidence.joining import joined
from rml.incident.evidence.log_source import read_log
from rml.incident.evidence.otlp_source import read_otlp

CHARGE = "payment.charge"
NANO = 1_000_000_000


class Shop:
    """A shop that charges, logs with two libraries, and traces with OpenTelemetry."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = rml.Ledger(folder / "ledger.db")
        self.spans = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(FileSpanExporter(folder / "spans.jsonl")))
        provider.add_span_processor(SimpleSpanProcessor(self.spans))
        self.tracer = provider.get_tracer("shop")
        self.logs = LoggerProvider()
        exporter = FileLogExporter(folder / "otlp_logs.jsonl")
        self.logs.add_log_record_processor(SimpleLogRecordProcessor(exporter))
        handler = logging.FileHandler(folder / "app.jsonl")
        handler.setFormatter(JsonFormatter("%(levelname)s %(message)s", timestamp=True))
        self.log = logging.Logger("shop")  # noqa: LOG001 - one that no other test knows
        self.log.addHandler(handler)
        self.closing = (handler.close, provider.shutdown, self.logs.shutdown, self.ledger.close)

    @contextmanager
    def span(self, name: str, **attributes: Any) -> Iterator[dict[str, str]]:
        """Work in a span, and record in the ledger which; give the ids as a log names them."""
        with self.tracer.start_as_current_span(name, kind=SpanKind.CLIENT) as span:
            span.set_attributes(attributes)
            carrier: dict[str, str] = {}
            TraceContextTextMapPropagator().inject(carrier)
            _, trace, own, _ = carrier["traceparent"].split("-")
            with rml.surrounded(traceparent=carrier["traceparent"]):
                yield {"trace_id": trace, "span_id": own}

    def charge(self, key: str, amount: int = 1999) -> rml.Effect:
        """Charge, and return the effect."""

        @rml.idempotent(CHARGE, key="key", facts=("amount", "currency"), ledger=self.ledger)
        def charge(key: str, amount: int, currency: str = "EUR") -> None: ...

        charge(key, amount)
        return self.ledger.effects(key=key)[0]

    def case(self, effect: rml.Effect) -> rml.Case:
        """Open a case about an effect."""
        incident = rml.escalate("twice", operation=CHARGE, effect=effect.id, ledger=self.ledger)
        return rml.Casebook(self.ledger)[incident.id]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """A shop in a folder of its own, on a machine that may be slow."""
    monkeypatch.setattr(joining, "APART", timedelta(minutes=30))
    made = Shop(tmp_path)
    yield made
    for close in made.closing:
        close()


def test_a_span_that_was_exported_twice_is_one_event(shop: Shop) -> None:
    """An exporter that had no answer sends its batch again, into the same file."""
    with shop.span("POST /charges"):
        pass
    with shop.span("POST /charges"):
        pass
    path = shop.folder / "spans.jsonl"
    path.write_text(path.read_text() * 2)
    case = shop.case(shop.charge("pay-1"))

    found = [event for event in case.timeline_from(otlp=path) if event.text == "POST /charges"]

    assert [("spans.jsonl:1", "spans.jsonl:3"), ("spans.jsonl:2", "spans.jsonl:4")] == [
        event.sources for event in found
    ]


def test_three_sources_become_one_timeline(shop: Shop) -> None:
    """Sorted by when it happened, each with where it is told."""
    shop.log.info("order taken", extra={"order": "o-1"})
    with shop.span("POST /charges") as ids:
        shop.log.warning("gateway slow", extra=ids)
        effect = shop.charge("pay-1")
        shop.log.info("charged", extra={"effect": effect.id, "amount": 1999, "currency": "EUR"})
    case = shop.case(effect)

    found = case.timeline_from(
        logs=shop.folder / "app.jsonl", otlp=[str(shop.folder / "spans.jsonl")]
    )

    assert ["order taken", "gateway slow", "payment.charge pay-1: done", "twice"] == [
        event.text for event in found
    ]
    charged = found.events[2]
    assert ["ledger", "log", "span"] == [one.kind.value for one in charged.told]
    assert (rml.World.RML3, effect.id) == (charged.world, charged.effect)
    assert ("app.jsonl:3", "spans.jsonl:1") == charged.sources[1:]
    assert ((), (), 0) == (found.conflicts, found.skipped, found.left_out)
    assert [event.at for event in found] == sorted(event.at for event in found)
    assert "warning: gateway slow [app.jsonl:2]" in str(found)
    assert json.dumps(found.to_dict(), default=str)


def test_ledger_has_the_last_word_and_conflicts_are_listed(shop: Shop) -> None:
    """A log that says something else about the charge does not change it."""
    effect = shop.charge("pay-1")
    wrong = {"operation": CHARGE, "idempotency_key": "pay-1", "amount": 2999, "currency": "EUR"}
    shop.log.info("charged", extra=wrong)

    class Declined(rml.DialogError):
        """Declined."""

        code = "TEST_TIMELINE_DECLINED"
        happened = False

    error = Declined(details={"effect": effect.id})
    shop.log.error("declined", extra=error.to_log_fields())

    found = shop.case(effect).timeline_from(logs=shop.folder / "app.jsonl")

    assert [("amount", 1999, 2999, "app.jsonl:1"), ("happened", True, False, "app.jsonl:2")] == [
        (one.name, one.ledger, one.told, one.where) for one in found.conflicts
    ]
    assert "conflict: amount of ef_" in str(found)
    assert 2 == len(found)


def test_what_is_told_much_later_is_no_part_of_the_effect(shop: Shop) -> None:
    """It names the effect, and stands where it happened."""
    effect = shop.charge("pay-1")
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    line = {"timestamp": later, "message": "refund asked for", "effect": effect.id, "amount": 1}
    (shop.folder / "late.jsonl").write_text(json.dumps(line) + "\n")

    found = shop.case(effect).timeline_from(logs=shop.folder / "late.jsonl")

    assert ("refund asked for", effect.id) == (found.events[-1].text, found.events[-1].effect)
    assert () == found.conflicts


def test_a_line_that_went_two_ways_is_one_event(shop: Shop) -> None:
    """The log file and OpenTelemetry's have it; the same line twice in one file stays two."""
    effect = shop.charge("pay-1")
    with shop.span("work") as ids:
        for _ in range(2):
            line = shop.log.makeRecord(
                "shop", logging.WARNING, __file__, 0, "gateway slow", (), None, extra=ids
            )
            shop.log.handle(line)
            shop.logs.get_logger("shop").emit(
                timestamp=int(line.created * NANO), severity_text="WARN", body="gateway slow"
            )
    files = {"logs": shop.folder / "app.jsonl", "otlp": shop.folder / "otlp_logs.jsonl"}

    found = shop.case(effect).timeline_from(**files)

    slow = [event for event in found if event.text == "gateway slow"]
    assert [2, 2] == [len(event.told) for event in slow]
    assert {"app.jsonl:1", "app.jsonl:2", "otlp_logs.jsonl:1", "otlp_logs.jsonl:2"} == {
        source for event in slow for source in event.sources
    }


def test_protobufs_own_json_is_read_too(shop: Shop) -> None:
    """One document over many lines, ids in base64, enums by name."""
    with shop.span("POST /charges", **{"rml.effect": "ef_1", "n": 7, "ok": True}) as ids:
        pass
    path = shop.folder / "spans.json"
    path.write_text(MessageToJson(encode_spans(shop.spans.get_finished_spans())))

    (span,) = read_otlp(path)
    (same,) = read_otlp(shop.folder / "spans.jsonl")

    assert isinstance(span, Happening)
    assert isinstance(same, Happening)
    assert (ids["trace_id"], ids["span_id"]) == (span.trace, span.span)
    assert rml.World.RML2 is span.world
    assert {"rml.effect": "ef_1", "n": 7, "ok": True} == span.facts
    assert same.to_dict() | {"where": ""} == span.to_dict() | {"where": ""}


def test_an_exception_in_a_span_is_an_event_of_its_own(shop: Shop) -> None:
    """OpenTelemetry records it in the span, with its message."""
    with pytest.raises(TimeoutError), shop.span("POST /charges"):
        raise TimeoutError("no answer")

    span, exception = read_otlp(shop.folder / "spans.jsonl")

    assert isinstance(span, Happening)
    assert isinstance(exception, Happening)
    assert ("POST /charges failed", "no answer") == (span.text, exception.text)
    assert span.span == exception.span


def test_lines_as_structlog_writes_them(tmp_path: Path) -> None:
    """Its message is `event`, its time has a Z."""
    line = '{"idempotency_key": "pay-1", "event": "gateway slow", "level": "warning", '
    (tmp_path / "app.jsonl").write_text(line + '"timestamp": "2026-11-20T12:00:00.5Z"}\n')

    (read,) = read_log(tmp_path / "app.jsonl")

    assert isinstance(read, Happening)
    assert ("gateway slow", "warning", "pay-1") == (read.text, read.type, read.key)
    assert UTC is read.at.tzinfo


# Bad input ---------------------------------------------------------------------------------------

NOON = "2026-11-20T12:00:00"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"not json", "it is no JSON: Expecting value"),
        (b'{"a": ', "it is no JSON"),
        (b"[1, 2]", "it is no JSON object"),
        (b"\xff\xfe{}", "it is no UTF-8"),
        (b"[" * 100_000, "it is no JSON"),
        (b"{}", "it has no time"),
        (b'{"time": true, "msg": "x"}', "its time is neither text nor a number"),
        (b'{"time": {}, "msg": "x"}', "its time is neither text nor a number"),
        (b'{"time": "noon", "msg": "x"}', "its time 'noon' is no moment"),
        (b'{"time": NaN, "msg": "x"}', "its time 'nan' is no moment"),
        (b'{"time": 1e400, "msg": "x"}', "its time 'inf' is no moment"),
        (b'{"time": 99999999999999999999999, "msg": "x"}', "is no moment"),
        (f'{{"time": "{NOON}", "msg": "x"}}'.encode(), "has no timezone; say which it is"),
        (f'{{"time": "{NOON}Z"}}'.encode(), "it has no message"),
        (f'{{"time": "{NOON}Z", "msg": 7}}'.encode(), "it has no message"),
        (b"x" * 1_048_577, "it is longer than 1048576 bytes"),
    ],
    ids=range(16),
)
def test_bad_line_is_named_and_the_next_is_read(tmp_path: Path, line: bytes, reason: str) -> None:
    """File and line, and why; no traceback, and nothing else is lost."""
    good = b'{"time": "2026-11-20T12:00:00Z", "msg": "good"}'
    (tmp_path / "app.jsonl").write_bytes(b"\n".join([good, line, b"", good]))

    first, bad, last = read_log(tmp_path / "app.jsonl")

    assert isinstance(bad, Skipped)
    assert "app.jsonl:2" == bad.where
    assert reason in bad.reason
    assert isinstance(first, Happening)
    assert isinstance(last, Happening)
    assert ("app.jsonl:1", "app.jsonl:4") == (first.where, last.where)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("{}", "it has neither resourceSpans nor resourceLogs"),
        ("[]", "it is no JSON object"),
        ('{"resourceSpans": [{"scopeSpans"', "it is no JSON"),
        ({"name": "a", "startTimeUnixNano": "soon"}, "a: its startTimeUnixNano is no number"),
        ({"name": "a"}, "a: its startTimeUnixNano is no number"),
        ({"name": "a", "startTimeUnixNano": "9" * 21}, "a: its startTimeUnixNano is no number"),
    ],
    ids=range(6),
)
def test_bad_telemetry_is_named(
    tmp_path: Path, document: str | dict[str, Any], reason: str
) -> None:
    """A span that cannot be read costs no other."""
    good = {"name": "good", "startTimeUnixNano": str(1_795_000_000 * NANO)}
    whole = {"resourceSpans": [{"scopeSpans": [{"spans": [document, good, 7]}]}]}
    text = document if isinstance(document, str) else json.dumps(whole)
    (tmp_path / "spans.jsonl").write_text(text)

    bad, *rest = read_otlp(tmp_path / "spans.jsonl")

    assert isinstance(bad, Skipped)
    assert ("spans.jsonl:1", True) == (bad.where, reason in bad.reason)
    assert len(rest) == isinstance(document, dict)


@pytest.mark.parametrize("shape", [None, 7, "x", [], {}, [None], [{"key": "a"}], {"a": {"b": 1}}])
def test_telemetry_of_any_shape_is_survived(tmp_path: Path, shape: Any) -> None:
    """Whatever stands where a list or an object should."""
    span = {
        "name": shape,
        "startTimeUnixNano": str(NANO),
        "endTimeUnixNano": shape,
        "attributes": shape,
        "events": shape,
        "status": shape,
        "traceId": shape,
        "kind": shape if not isinstance(shape, list | dict) else 1,
    }
    log = {"timeUnixNano": str(NANO), "body": {"stringValue": "x"}, "severityText": shape}
    documents = [
        {"resourceSpans": shape, "resourceLogs": shape},
        {"resourceSpans": [{"scopeSpans": shape}]},
        {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]},
        {"resourceLogs": [{"scopeLogs": [{"logRecords": [log, shape]}]}]},
    ]
    (tmp_path / "spans.jsonl").write_text("\n".join(map(json.dumps, documents)))

    for one in read_otlp(tmp_path / "spans.jsonl"):
        assert one.where.startswith("spans.jsonl:")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("2026-11-20T13:00:00+01:00", "12:00:00"),
        ("2026-11-20 12:00:00,250", "12:00:00.250000"),
        (1795176000, "12:00:00"),
        (1795176000.25, "12:00:00.250000"),
        (1795176000250, "12:00:00.250000"),
        (1795176000250000, "12:00:00.250000"),
        (1795176000250000000, "12:00:00.250000"),
    ],
)
def test_times_as_loggers_write_them(tmp_path: Path, told: Any, expected: str) -> None:
    """Text with an offset; seconds, milli-, micro- and nanoseconds since 1970; a zone if told."""
    (tmp_path / "app.jsonl").write_text(json.dumps({"ts": told, "msg": "x"}))

    (line,) = read_log(tmp_path / "app.jsonl", UTC)

    assert isinstance(line, Happening)
    assert f"2026-11-20T{expected}+00:00" == line.at.isoformat()


def test_zone_is_for_times_that_have_none(shop: Shop) -> None:
    """Named by people who know where the log was written."""
    (shop.folder / "local.jsonl").write_text(json.dumps({"ts": "2020-11-20T12:00:00", "msg": "x"}))
    case = shop.case(shop.charge("pay-1"))

    assert 1 == case.timeline_from(logs=shop.folder / "local.jsonl").skipped_count
    (found, *_) = case.timeline_from(logs=shop.folder / "local.jsonl", zone="Europe/Berlin")
    assert 11 == found.at.hour
    with pytest.raises(rml.InvalidInputError, match="Europe/Berlin"):
        case.timeline_from(zone="Middle/Earth")


@pytest.mark.parametrize("path", ["absent.jsonl", ".", 7, "a\0b"])
def test_file_that_cannot_be_read_is_said(shop: Shop, path: Any) -> None:
    """In one line, before anything is shown."""
    case = shop.case(shop.charge("pay-1"))
    given = shop.folder / path if path in {"absent.jsonl", "."} else path

    for source in ("logs", "otlp"):
        with pytest.raises(rml.InvalidInputError, match=r"cannot read|must be the path"):
            case.timeline_from(**{source: [given]})


# The joining itself ------------------------------------------------------------------------------

START = datetime(2026, 11, 20, tzinfo=UTC)
SECONDS = st.integers(0, 30).map(lambda n: START + timedelta(seconds=n))


def happenings(kind: SourceKind) -> st.SearchStrategy[list[Happening]]:
    """Happenings of a few effects, spans and texts, so that much of it is the same."""
    words = st.sampled_from([None, "a", "b"])
    one = st.builds(
        Happening,
        at=SECONDS,
        world=st.sampled_from(list(rml.World)),
        type=st.just("x"),
        text=st.sampled_from(["m", "n"]),
        kind=st.just(kind),
        where=st.sampled_from(["one:1", "one:2", "two:1"]),
        trace=words,
        span=words,
        effect=words,
    )
    return st.lists(one, max_size=12)


@settings(max_examples=80)
@given(
    happenings(SourceKind.LEDGER).map(lambda all_: list({h.effect: h for h in all_}.values())),
    happenings(SourceKind.LOG),
    happenings(SourceKind.SPAN),
)
def test_nothing_is_lost_and_the_ledger_leads(
    ledger: list[Happening], logs: list[Happening], spans: list[Happening]
) -> None:
    """Every happening stands in exactly one event, events are in order, the ledger speaks first."""
    found = joined(ledger, [*logs, *spans, Skipped("one:3", "bad")])

    told = [one for event in found for one in event.told]
    assert sorted(map(id, [*ledger, *logs, *spans])) == sorted(map(id, told))
    assert [event.at for event in found] == sorted(event.at for event in found)
    for event in found:
        assert SourceKind.LEDGER not in [one.kind for one in event.told[1:]]
    assert 1 == found.skipped_count


def test_limits_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """What there was no room for is counted, and what was not read."""
    monkeypatch.setattr("rml.incident.evidence.joining.EVENTS_MAX", 2)
    monkeypatch.setattr("rml.incident.evidence.joining.NAMED_MAX", 1)
    line = Happening(
        at=START, world=rml.World.RML1, type="x", text="m", kind=SourceKind.LOG, where="one:1"
    )

    found = joined([], [*[line] * 3, *[Skipped("one:2", "bad")] * 3])

    assert (2, 1, 1, 3) == (len(found), found.left_out, len(found.skipped), found.skipped_count)
    assert str(found).endswith("not read: 2 more\nleft out: 1; give since= and until=")
    assert 0 == len(joined([], [line], since=START + timedelta(1)))
    assert 0 == len(joined([], [line], until=START))

"""The case file: the document's own example in and out, refusals that point, what bars closing."""

import json
import pickle
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml

from rml.error import InvalidInputError, RmlError
from rml.incident.closing import missing_for_close
from rml.incident.pages import casefile_form, casefile_yaml
from rml.incident.pages.casefile import (
    Actions,
    CaseFile,
    CaseStatus,
    Classification,
    CommunicationAction,
    DecidedBy,
    DecisionEntry,
    Decisions,
    DetectedBy,
    LedgerState,
    LessonsLearned,
    Scope,
    TechnicalAction,
    TimelineEvent,
    can_move,
)
from rml.incident.severity import Sev
from rml.world import World

EXAMPLE = (Path(__file__).parent / "vectors" / "casefile_s0.yaml").read_text(encoding="utf-8")
AT = datetime(2025, 6, 1, 10, 23, 45, tzinfo=UTC)


def a_case(**changes: Any) -> CaseFile:
    """Return a case with nothing filled in but what must be."""
    needed: dict[str, Any] = {
        "incident_id": "INC-2026-0001",
        "title": "Possible double charge",
        "rml_world": World.RML3,
        "status": CaseStatus.ONGOING,
        "detected_at": AT,
    }
    return CaseFile(**(needed | changes))


def changed(old: str, new: str) -> str:
    """Return the example with the first ``old`` replaced."""
    assert old in EXAMPLE
    return EXAMPLE.replace(old, new, 1)


def refusal(source: Any, **options: Any) -> RmlError:
    """Return the error that reading ``source`` raises."""
    with pytest.raises(InvalidInputError) as caught:
        CaseFile.from_yaml(source, **options)
    return caught.value


# ------------------------------------------------------------------------------- the example


def test_the_example_loads_dumps_and_loads_equal() -> None:
    """The template of the casebook document is read and written without loss."""
    case = CaseFile.from_yaml(EXAMPLE)
    assert CaseFile.from_yaml(case.to_yaml()) == case
    assert CaseFile.from_yaml(EXAMPLE.encode()) == case
    assert CaseFile.from_yaml("\ufeff" + EXAMPLE) == case


def test_the_example_says_the_same_to_every_other_reader() -> None:
    """What we write, PyYAML reads as it reads the document: keys, order, values and types."""
    ours = yaml.safe_load(CaseFile.from_yaml(EXAMPLE).to_yaml())
    theirs = yaml.safe_load(EXAMPLE)
    assert ours == theirs
    assert json.dumps(ours, default=str) == json.dumps(theirs, default=str)  # the order, too


def test_the_example_is_read_into_the_model() -> None:
    """Worlds, times, severities and numbers become what they are."""
    case = CaseFile.from_yaml(EXAMPLE)
    assert case.incident_id == "INC-2025-0001"
    assert case.rml_world is World.RML3
    assert case.status is CaseStatus.RESOLVED
    assert case.detected_at == AT
    assert case.detected_by == (
        DetectedBy(type="alert", source="payment_service.rml3_error_rate"),
        DetectedBy(type="cs_ticket", id="CS-1234"),
    )
    assert case.classification == Classification(
        severity=Sev.SEV1,
        asset=["money"],
        scope=Scope(affected_users_estimate=37, affected_transactions_estimate=41),
    )
    assert [event.type for event in case.timeline] == [
        "detection",
        "containment",
        "impact_assessed",
    ]
    assert case.decisions.summary.startswith(
        "Full refund to all impacted users + apology coupon. No"
    )
    assert case.actions.technical[0] == TechnicalAction(type="refund", world="RML3", count=41)
    assert case.actions.communication[1].channel == "#incident"
    assert case.lessons_learned.process == ("Add CS handoff procedure when RML3 alerts fire",)


def test_the_written_page() -> None:
    """Block style, the template's order, quotes where prose stands, long text folded."""
    case = a_case(
        timeline=[
            TimelineEvent(at=AT, world=World.RML2, type="detection", detail="error rate over 2 %")
        ],
        decisions=Decisions(
            summary="Refund everybody who was charged twice, and tell them before they find out "
            "from their bank.",
            decided_by=[DecidedBy(role="legal", name="山田 花子")],
        ),
        lessons_learned=LessonsLearned(technical=["Keys:\n- mandatory\n- checked by lint\n"]),
    )
    assert case.to_yaml() == (
        """\
incident_id: INC-2026-0001
title: "Possible double charge"
rml_world: RML3
status: ongoing
detected_at: 2025-06-01T10:23:45Z
detected_by: []
classification:
  severity: null
  asset: []
  scope:
    affected_users_estimate: null
    affected_transactions_estimate: null
timeline:
  - at: 2025-06-01T10:23:45Z
    world: RML2
    type: detection
    detail: "error rate over 2 %"
decisions:
  summary: >-
    Refund everybody who was charged twice, and tell them before they find out from
    their bank.
  decided_by:
    - role: legal
      name: "山田 花子"
actions:
  technical: []
  communication: []
lessons_learned:
  technical:
    - |
      Keys:
      - mandatory
      - checked by lint
  process: []
  governance: []
"""
    )


def test_keys_of_ours_stand_beside_those_of_the_template() -> None:
    """Counted beside estimated, recorded beside happened, the ledger at the end; all come back."""
    later = AT + timedelta(minutes=3, microseconds=500_000)
    entry = "0197-entry"
    case = a_case(
        classification=Classification(
            scope=Scope(
                affected_users_estimate=40,
                affected_users_counted=37,
                affected_transactions_estimate=45,
                affected_transactions_counted=41,
            )
        ),
        timeline=[
            TimelineEvent(at=AT, world="RML2", type="t", detail="d", recorded_at=later, entry=entry)
        ],
        decisions=Decisions(
            entries=[
                DecisionEntry(
                    at=AT,
                    summary="Refund",
                    decided_by=[DecidedBy(role="sre", name="Ada")],
                    recorded_at=later,
                    entry=entry,
                    amends="0196-entry",
                )
            ]
        ),
        ledger=LedgerState(origin="payments", size=12, root="ab12"),
    )
    text = case.to_yaml()
    assert "  scope:\n    affected_users_estimate: 40\n    affected_users_counted: 37\n" in text
    assert '    recorded_at: 2025-06-01T10:26:45.5Z\n    entry: "0197-entry"\n' in text
    assert text.endswith("ledger:\n  origin: payments\n  size: 12\n  root: ab12\n")
    assert CaseFile.from_yaml(text) == case
    assert CaseFile.from_dict(json.loads(json.dumps(case.to_dict()))) == case


def test_plain_data_is_json_and_reads_back() -> None:
    """The dictionary is for machines: the same keys, the times as the same text."""
    case = CaseFile.from_yaml(EXAMPLE)
    plain = case.to_dict()
    assert plain["detected_at"] == "2025-06-01T10:23:45Z"
    assert type(plain["rml_world"]) is str
    assert CaseFile.from_dict(json.loads(json.dumps(plain))) == case
    assert CaseFile.from_dict(yaml.safe_load(EXAMPLE)) == case


def test_cases_can_be_hashed_pickled_and_evolved() -> None:
    """They are values."""
    case = CaseFile.from_yaml(changed("title:", "team: {oncall: [a, b]}\ntitle:"), unknown="keep")
    assert pickle.loads(pickle.dumps(case)) == case
    assert len({case, attrs.evolve(case), attrs.evolve(case, title="other")}) == 2


# ------------------------------------------------------------------------------- leniency


def test_blanks_of_a_case_in_progress_are_read() -> None:
    """The page is filled in while the incident runs, so a blank is no error."""
    text = (
        "incident_id: INC-1234\ntitle: t\nrml_world: rml-3\nstatus: Ongoing\n"
        "detected_at: 2025-06-01 12:23:45+02:00\ndetected_by:\nclassification:\n"
        "timeline: []\ndecisions:\n  summary:\n  decided_by:\n    - role: legal\n      name:\n"
        "actions:\nlessons_learned:\n  technical:\nledger:\n"
    )
    case = CaseFile.from_yaml(text)
    expected = a_case(
        incident_id="INC-1234",
        title="t",
        decisions=Decisions(decided_by=[DecidedBy(role="legal")]),
    )
    assert case == expected


@pytest.mark.parametrize(
    "incident_id", ["INC-2025-0001", "INC-1234", "INC-12345", "INC-2025-12345"]
)
def test_incident_ids_of_every_document_are_read(incident_id: str) -> None:
    """The documents disagree about the form."""
    assert CaseFile.from_yaml(changed("INC-2025-0001", incident_id)).incident_id == incident_id


def test_the_form_of_incident_ids_is_the_organisations() -> None:
    """Another pattern may be given, in place of the default one."""
    own = re.compile(r"PAY-[0-9]+")
    text = changed("INC-2025-0001", "PAY-7")
    assert CaseFile.from_yaml(text, id_pattern=own).incident_id == "PAY-7"
    assert "line 1, column 14: incident_id" in refusal(text).message
    assert "line 1, column 14: incident_id" in refusal(EXAMPLE, id_pattern=own).message


@pytest.mark.parametrize("text", ["major", "P1", "1", ""])
def test_a_severity_of_an_own_scheme_is_kept(text: str) -> None:
    """The template says: align with your organisation's scheme."""
    case = a_case(classification=Classification(severity=text))
    assert case.classification.severity == text
    assert CaseFile.from_yaml(case.to_yaml()) == case


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2025-06-01T10:23:45Z", AT),
        ("2025-06-01t10:23:45.000Z", AT),
        ("'2025-06-01T12:23:45+02:00'", AT),
        ("2025-06-01 10:23:45.25Z", AT + timedelta(milliseconds=250)),
        ("2025-06-01T10:23:45.000001Z", AT + timedelta(microseconds=1)),
    ],
)
def test_times_are_read_with_their_zone(written: str, read: datetime) -> None:
    """Bare or in quotes, in any zone, with up to six digits."""
    assert CaseFile.from_yaml(changed("2025-06-01T10:23:45Z", written)).detected_at == read


# ------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "  severity:",
            "  serverity:",
            "line 12, column 3: unknown key 'serverity' in classification; did you mean 'severity",
        ),
        (
            "    type: containment\n",
            "",
            "line 23, column 5: the key 'type' is missing in timeline[1]",
        ),
        ("title:", "zzz:", "line 2, column 1: unknown key 'zzz' in the case file; known are incid"),
        (
            "RML2",
            "RML9",
            "line 20, column 12: timeline[0].world: expected a world (RML1, RML2 or RML3), got",
        ),
        ("RML2", "", "line 20, column 11: timeline[0].world: expected a world (RML1, RML2"),
        (
            "resolved",
            "closed",
            "line 4, column 9: status: expected ongoing, monitoring or resolved, got 'closed'",
        ),
        (
            "- at: 2025-06-01T10:23:45Z",
            "- at: 2025-06-01T10:23:45",
            "line 19, column 9: timeline[0].at: expected a time with its zone, such as 2025-06-01",
        ),
        ("2025-06-01T10:23:45Z", "2025-02-30T10:23:45Z", "expected a time with its zone"),
        ("2025-06-01T10:23:45Z", "0001-01-01T00:00:00+14:00", "expected a time with its zone"),
        ("2025-06-01T10:23:45Z", "2025-06-01T10:23:45.1234567Z", "expected a time with its zone"),
        (
            "2025-06-01T10:23:45Z",
            "1748773425",
            "a time with its zone, such as 2025-06-01T10:23:45Z",
        ),
        ("37", "-1", "expected a whole number from 0 to 2**53 - 1, got the number -1"),
        ("37", "1.5", "expected a whole number from 0 to 2**53 - 1, got the number 1.5"),
        ("37", "true", "expected a whole number from 0 to 2**53 - 1, got true"),
        ("37", "9007199254740992", "got a number that is too large"),
        ("37", "'37'", "expected a whole number from 0 to 2**53 - 1, got '37'"),
        ("37", "017", "'017' is not a plain decimal number; write it as one, or put it in quotes"),
        ("37", "1:30", "line 16, column 30: '1:30' is not a plain decimal number"),
        ("37", ".inf", "'.inf' is not a plain decimal number"),
        ("37", "!!int x", "'x' is not a plain decimal number"),
        ("37", "!!bool x", "the tag '!!bool' is not allowed here"),
        ('"CS-1234"', "1234", "detected_by[1].id: expected text, got the number 1234; put it in"),
        ('"Possible double charge"', "no", "title: expected text, got false; put it in quotes"),
        ('"Possible double charge"', "", "line 2, column 7: title: expected text, got nothing"),
        ('"Possible double charge"', "[a]", "title: expected text, got a list"),
        ('"Possible double charge"', "{a: b}", "title: expected text, got a mapping"),
        ('"Possible double charge"', r'"\ud800"', "title: character 1 is half of a surrogate pair"),
        ('"Possible double charge"', r'"\U00110000"', "not YAML: a number is out of range"),
        ('"Possible double charge"', '"a\0"', "line 2, column 10: a character that YAML does not"),
        ('"Possible double charge"', "a: b", "line 2, column 9: this is not YAML: mapping values"),
        (
            '"Possible double charge"',
            "!!python/object/apply:os.system [x]",
            "line 2, column 8: the tag 'tag:yaml.org,2002:python/object/apply:os.system' is not",
        ),
        ('"Possible double charge"', "!mine x", "line 2, column 8: the tag '!mine' is not allowed"),
        ('"Possible double charge"', "!!binary aGk=", "the tag '!!binary' is not allowed here"),
        (
            '"Possible double charge"',
            "&a x\nrml_world: *a",
            "line 3, column 12: aliases are not allowed; write the value out",
        ),
        (
            "rml_world: RML3",
            "title: x",
            "line 3, column 1: the key 'title' is here twice, first in line 2",
        ),
        ("title:", "1:", "line 2, column 1: expected a key that is text; put it in quotes"),
        ("title:", "? [a]\n: b\ntitle:", "line 2, column 3: expected a key that is text"),
        (
            "asset:\n    - money",
            "asset: money",
            "line 13, column 10: classification.asset: expected a list, got 'money'",
        ),
        (
            "- money",
            "- money\n    - 5",
            "line 15, column 7: classification.asset[1]: expected text",
        ),
        (
            "  - type: alert\n    source",
            "  - x\n  - type: x\n    source",
            "expected detected_by[0] as",
        ),
        ("SEV-1", "SEV-9", "line 12, column 13: classification.severity: 'SEV-9' is no severity"),
        (
            "INC-2025-0001",
            "'INC 1'",
            "line 1, column 14: incident_id: expected an incident id such",
        ),
        (
            "lessons_learned:",
            "---\nlessons_learned:",
            "line 57, column 1: this is not YAML: expected",
        ),
    ],
)
def test_a_refusal_points_to_the_place(old: str, new: str, message: str) -> None:
    """Line, column, what was found and what was expected."""
    error = refusal(changed(old, new))
    assert message in error.message
    assert error.message.startswith(
        f"line {error.details['line']}, column {error.details['column']}"
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "line 1, column 1: expected the case file as a mapping of keys, got nothing"),
        ("- a", "line 1, column 1: expected the case file as a mapping of keys, got a list"),
        (b"a\nb: \xff", "line 2, column 4: byte 5 is not UTF-8; save the file as UTF-8"),
        ("%YAML 1." + "9" * 5000 + "\n---\na: b", "line 1, column 9: this is not YAML: a number"),
        (None, "a case file is text or bytes, not NoneType"),
        (Path("case.yaml"), "a case file is text or bytes, not PosixPath"),
        ("\ud800", "line 1, column 1: a character that YAML does not allow"),
    ],
)
def test_what_is_no_document_is_refused(source: object, message: str) -> None:
    """Whatever is handed in, the answer is an error of ours."""
    assert message in refusal(source).message


def test_a_document_has_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound counts bytes, reading text or bytes and writing."""
    case = a_case(title="\u00e9" * 100)
    text = case.to_yaml()
    size = len(text.encode())
    monkeypatch.setattr(casefile_yaml, "DOCUMENT_BYTES_MAX", size)
    assert CaseFile.from_yaml(text) == CaseFile.from_yaml(case.to_yaml().encode()) == case
    monkeypatch.setattr(casefile_yaml, "DOCUMENT_BYTES_MAX", size - 1)
    for attempt in (text, text.encode()):
        assert f"{size} bytes; at most {size - 1} (DOCUMENT_BYTES_MAX)" in refusal(attempt).message
    with pytest.raises(InvalidInputError, match="DOCUMENT_BYTES_MAX"):
        case.to_yaml()


def test_nesting_and_the_number_of_values_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither recursion nor memory is at the mercy of the document."""
    deep = changed('"Possible double charge"', "[" * 5000)
    assert "line 2, column 31: nested more than 24 deep (NESTING_MAX)" in refusal(deep).message
    monkeypatch.setattr(casefile_yaml, "VALUES_MAX", 100)
    many = changed('"Possible double charge"', "[a" + ",a" * 100 + "]")
    assert "more than 100 values (VALUES_MAX)" in refusal(many).message


def test_a_text_has_a_length() -> None:
    """No entry of a ledger could hold more."""
    limit = casefile_form.TEXT_CHARS_MAX
    assert a_case(title="x" * limit).title == "x" * limit
    with pytest.raises(InvalidInputError, match=f"{limit + 1} characters; at most {limit}"):
        a_case(title="x" * (limit + 1))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            lambda: a_case(detected_at=datetime(2025, 6, 1)),
            "with its zone.*got 2025-06-01T00:00:00",
        ),
        (lambda: a_case(title=5), "expected text, got the number 5"),
        (lambda: a_case(rml_world=3), "expected a world"),
        (lambda: a_case(status="done"), "expected ongoing, monitoring or resolved, got 'done'"),
        (lambda: a_case(status=None), "expected ongoing, monitoring or resolved, got nothing"),
        (lambda: a_case(incident_id="../etc"), "an incident id such as INC-2025-0001, got '../etc"),
        (lambda: a_case(timeline=[{"at": AT}]), "timeline: expected TimelineEvent, got a mapping"),
        (lambda: a_case(timeline="x"), "expected a list, got 'x'"),
        (lambda: a_case(timeline=5), "expected a list, got the number 5"),
        (lambda: a_case(classification=None), "classification: expected Classification, got noth"),
        (lambda: a_case(ledger="x"), "ledger: expected LedgerState, got 'x'"),
        (lambda: Classification(asset="money"), "expected a list, got 'money'"),
        (lambda: Scope(affected_users_counted=True), "expected a whole number"),
        (lambda: LedgerState(origin="o", size=10**5000, root=""), "a number that is too large"),
        (lambda: CommunicationAction(type="mail", world=""), "expected a world.*got ''"),
        (lambda: Actions(technical=[CommunicationAction(type="m", world="RML3")]), "TechnicalAct"),
        (lambda: a_case(extra={"title": 1}), "'title' is a key of the form"),
        (lambda: a_case(extra=[]), "expected a mapping, got a list"),
        (lambda: a_case(extra={1: 2}), "expected a key that is text, got the number 1"),
        (lambda: a_case(extra={"k" * 65: 2}), "65 characters; at most 64 .KEY_CHARS_MAX"),
        (lambda: a_case(extra={"a": object()}), "expected text, numbers, .* got object"),
        (lambda: a_case(extra={"a": float("nan")}), "got the number nan"),
        (lambda: a_case(extra={"a": 2**53}), "got a number that is too large"),
        (lambda: a_case(extra={"a": [0] * 10_000}), "KEPT_VALUES_MAX"),
        (lambda: CaseFile.from_dict({"incident_id": 1}), "^incident_id: expected text, got the n"),
        (lambda: CaseFile.from_dict({1: 1}), "^unknown key the number 1 in the case file"),
        (
            lambda: CaseFile.from_dict({1: 1}, unknown="keep"),
            "'incident_id' is missing in the case",
        ),
        (lambda: CaseFile.from_dict([]), "expected the case file as a mapping of keys, got a list"),
        (lambda: CaseFile.from_dict({}, unknown="drop"), "takes 'refuse' or 'keep', not 'drop'"),
    ],
)
def test_a_wrong_value_is_refused_where_it_is_made(
    wrong: Callable[[], object], message: str
) -> None:
    """Built in Python or read from plain data, nothing half right comes to be."""
    with pytest.raises(InvalidInputError, match=message):
        wrong()


def test_a_cycle_in_kept_keys_ends() -> None:
    """Python data may contain itself; a page cannot."""
    cycle: dict[str, object] = {}
    cycle["self"] = cycle
    with pytest.raises(InvalidInputError, match="KEPT_DEPTH_MAX"):
        a_case(extra=cycle)


# ------------------------------------------------------------------------------- unknown keys


def test_unknown_keys_are_kept_when_asked() -> None:
    """They come back at the end of their part, at every level, with their values."""
    text = changed("title:", "team: payments\ntitle:")
    text = text.replace(
        "  severity:", "  region: {eu: [1, 2.5, no, null, 2025-06-01]}\n  severity:"
    )
    text = text.replace("count: 41", "count: 41\n      currency: JPY")
    assert "unknown key 'team'" in refusal(text).message
    case = CaseFile.from_yaml(text, unknown="keep")
    assert case.extra == {"team": "payments"}
    assert case.classification.extra == {"region": {"eu": [1, 2.5, False, None, "2025-06-01"]}}
    assert case.actions.technical[0].extra == {"currency": "JPY"}
    again = CaseFile.from_yaml(case.to_yaml(), unknown="keep")
    assert again == case
    assert CaseFile.from_dict(case.to_dict(), unknown="keep") == case


def test_kept_numbers_stay_numbers() -> None:
    """Large, small, negative: every reader finds the same number of the same kind."""
    numbers = [1e17, 1.5e-9, -0.0, 2.0, 0, -5, 2**53 - 1, True, []]
    written = a_case(extra={"n": [numbers, [[]], {}]}).to_yaml()
    assert CaseFile.from_yaml(written, unknown="keep").extra == {"n": [numbers, [[]], {}]}
    assert repr(yaml.safe_load(written)["n"]) == repr([numbers, [[]], {}])


def test_kept_keys_belong_to_the_case() -> None:
    """Changing what was handed in or out does not change the case."""
    given: dict[str, Any] = {"a": {"b": [1]}}
    case = a_case(extra=given)
    given["a"]["b"].append(2)
    handed_out: Any = case.to_dict()
    handed_out["a"]["b"].append(3)
    assert case.extra == {"a": {"b": [1]}}


# ------------------------------------------------------------------------------- hostile text


@pytest.mark.parametrize(
    "text",
    [
        *(
            "no",
            "NO",
            "y",
            "null",
            "~",
            "1:30",
            "0x1",
            "017",
            "1e3",
            "1_000",
            ".inf",
            "-",
            "=",
            "<<",
        ),
        *(
            "2025-06-01",
            "2025-06-01T10:23:45Z",
            "",
            " ",
            "...",
            "---",
            "# x",
            "- x",
            "a: b",
            "a #b",
        ),
        *(
            "x\nstatus: resolved",
            "x\n\n  y",
            "\n",
            "\nx",
            "x\n\n",
            " x\ny",
            "x \ny",
            "x\r\ny",
            "\tx",
        ),
        *(
            "\x85",
            "x\u2028status: resolved",
            "\u202ex",
            "\ufeff",
            "\x00\x1b",
            "\U0001f600",
            "\ufffe",
        ),
        *(
            "'",
            '"',
            "\\",
            "\\n",
            "%x",
            "@x",
            "`x",
            "!x",
            "&x",
            "*x",
            "{x",
            "[x",
            "|",
            ">",
            "?",
            ",",
        ),
        *("word " * 40, "word " * 40 + "\n", "x" * 3000, "a  b " * 30 + "c", "\u5c71" * 200),
    ],
)
def test_text_stays_text(text: str) -> None:
    """Whatever a title says, it says it to every reader, and only there."""
    case = a_case(title=text, timeline=[TimelineEvent(at=AT, world="RML1", type=text, detail=text)])
    written = case.to_yaml()
    assert CaseFile.from_yaml(written) == case
    theirs = yaml.safe_load(written)
    assert theirs["title"] == theirs["timeline"][0]["detail"] == text
    assert theirs["status"] == "ongoing"


def test_what_cannot_be_seen_is_escaped() -> None:
    """Characters that turn a line around do not reach the reader's screen."""
    assert (
        'title: "a\\u202Eb\\u0085\\U000E0001"\n' in a_case(title="a\u202eb\x85\U000e0001").to_yaml()
    )


# ------------------------------------------------------------------------------- moving on


@pytest.mark.parametrize(
    ("current", "to", "legal"),
    [
        ("ongoing", "monitoring", True),
        ("ongoing", "resolved", True),
        ("monitoring", "resolved", True),
        ("monitoring", "ongoing", True),
        ("resolved", "ongoing", True),
        ("resolved", "monitoring", False),
        ("ongoing", "ongoing", False),
        ("resolved", "resolved", False),
    ],
)
def test_status_moves(current: str, to: str, legal: bool) -> None:
    """What comes back is looked at afresh, from the start."""
    assert can_move(current, to) is legal
    assert can_move(CaseStatus(current), CaseStatus(to)) is legal


def test_an_unknown_status_has_no_moves() -> None:
    """It is refused rather than answered."""
    with pytest.raises(InvalidInputError, match="got 'closed'"):
        can_move("ongoing", "closed")


def ready() -> CaseFile:
    """Return the example with the names filled in."""
    case = CaseFile.from_yaml(EXAMPLE)
    names = [DecidedBy(role=who.role, name="Ada") for who in case.decisions.decided_by]
    return attrs.evolve(case, decisions=attrs.evolve(case.decisions, decided_by=names))


def test_the_example_lacks_the_names() -> None:
    """The template's dots are blanks: somebody has to put a name there."""
    assert missing_for_close(CaseFile.from_yaml(EXAMPLE)) == (
        "decisions.decided_by[0].name is blank: name who decided for legal",
        "decisions.decided_by[1].name is blank: name who decided for business",
        "decisions.decided_by[2].name is blank: name who decided for sre",
    )
    assert missing_for_close(ready()) == ()


def test_an_empty_page_lacks_everything() -> None:
    """Each sentence names the key and what to write there."""
    missing = missing_for_close(a_case())
    assert [sentence.split()[0] for sentence in missing] == [
        "timeline",
        "decisions.summary",
        "decisions.decided_by",
        "decisions.decided_by",
        "decisions.decided_by",
        "lessons_learned.technical",
        "lessons_learned.process",
        "lessons_learned.governance",
    ]


def test_below_history_one_name_is_enough() -> None:
    """The triangle decides about history; a case scoped down needs somebody, not everybody."""
    case = attrs.evolve(ready(), rml_world=World.RML2)
    one = attrs.evolve(case.decisions, decided_by=[DecidedBy(role="sre", name="Ada")])
    nobody = attrs.evolve(case.decisions, decided_by=[])
    assert missing_for_close(attrs.evolve(case, decisions=one)) == ()
    assert missing_for_close(attrs.evolve(case, decisions=nobody)) == (
        "decisions.decided_by is empty: name who decided",
    )


@pytest.mark.parametrize(
    ("lesson", "enough"),
    [
        ("Review the terms", True),
        ("none - the terms were followed", True),
        ("None \u2013 followed", True),
        ("none", False),
        ("None - ", False),
        ("none \u2014", False),
        ("  ", False),
        ("TBD", False),
        ("\u2026", False),
    ],
)
def test_a_list_of_lessons_says_something(lesson: str, enough: bool) -> None:
    """Nothing learned is an answer only with its reason."""
    lessons = attrs.evolve(ready().lessons_learned, governance=[lesson])
    missing = missing_for_close(attrs.evolve(ready(), lessons_learned=lessons))
    assert (missing == ()) is enough
    assert all(sentence.startswith("lessons_learned.governance is empty") for sentence in missing)


def test_times_are_written_in_utc_with_the_digits_they_have() -> None:
    """Six digits are six digits too many for most."""
    tokyo = timezone(timedelta(hours=9))
    case = a_case(detected_at=datetime(2025, 6, 1, 0, 0, 0, 120_000, tzinfo=tokyo))
    assert "detected_at: 2025-05-31T15:00:00.12Z\n" in case.to_yaml()

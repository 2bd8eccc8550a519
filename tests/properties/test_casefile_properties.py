"""Laws of the case file: whatever it holds comes back, whatever is read is answered."""

import string
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from rml.error import RmlError
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
)
from rml.incident.severity import Sev
from rml.world import World

EXAMPLE = (Path(__file__).parents[1] / "vectors" / "casefile_s0.yaml").read_text(encoding="utf-8")

# Any text, with what YAML cares about made likely.
_plain = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
_nasty = st.text(st.sampled_from("\n\r\t \x85\u2028\ufeff-:#'\"\\|>&*!%@`{}[],?~ab1."), max_size=20)
_prose = st.lists(st.text(string.ascii_letters + "-# ", max_size=12), max_size=30).map(" ".join)
TEXT = _plain | _nasty | _prose
TIME = st.datetimes(timezones=st.just(UTC))
COUNT = st.integers(0, 2**53 - 1)
WORLD = st.sampled_from(World)
SEVERITY = st.sampled_from(Sev) | TEXT.filter(lambda t: not t.strip().lower().startswith("sev"))
KEYS = TEXT.filter(lambda key: len(key) <= 64)
KEPT = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | TEXT
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(KEYS, values, max_size=3),
    max_leaves=8,
)
EXTRA = st.dictionaries(
    KEYS.map("x-{}".format).filter(lambda key: len(key) <= 64), KEPT, max_size=2
)


def part(cls: Any, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return parts of one class, each optional field given or not, with kept keys."""
    names = {field.name: field for field in attrs.fields(cls)}
    values = {
        name: st.none() | values if names[name].default is None else values
        for name, values in fields.items()
    }
    return st.builds(cls, **values, extra=EXTRA)


def some(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return short lists."""
    return st.lists(values, max_size=2)


def answer(source: str | bytes) -> tuple[CaseFile | None, RmlError | None]:
    """Return the case file that was read, or the error that reading it raised."""
    try:
        return CaseFile.from_yaml(source, unknown="keep"), None
    except RmlError as error:
        return None, error


DECIDED_BY = part(DecidedBy, role=TEXT, name=TEXT)
CASES = part(
    CaseFile,
    incident_id=st.just("INC-2026-0001"),
    title=TEXT,
    rml_world=WORLD,
    status=st.sampled_from(CaseStatus),
    detected_at=TIME,
    detected_by=some(part(DetectedBy, type=TEXT, source=TEXT, id=TEXT)),
    classification=part(
        Classification,
        severity=SEVERITY,
        asset=some(TEXT),
        scope=part(
            Scope,
            affected_users_estimate=COUNT,
            affected_users_counted=COUNT,
            affected_transactions_estimate=COUNT,
            affected_transactions_counted=COUNT,
        ),
    ),
    timeline=some(
        part(
            TimelineEvent,
            at=TIME,
            world=WORLD,
            type=TEXT,
            detail=TEXT,
            recorded_at=TIME,
            entry=TEXT,
        )
    ),
    decisions=part(
        Decisions,
        summary=TEXT,
        decided_by=some(DECIDED_BY),
        entries=some(
            part(
                DecisionEntry,
                at=TIME,
                summary=TEXT,
                decided_by=some(DECIDED_BY),
                recorded_at=TIME,
                entry=TEXT,
                amends=TEXT,
            )
        ),
    ),
    actions=part(
        Actions,
        technical=some(
            part(TechnicalAction, type=TEXT, world=WORLD, count=COUNT, detail=TEXT, entry=TEXT)
        ),
        communication=some(
            part(
                CommunicationAction,
                type=TEXT,
                world=WORLD,
                template_id=TEXT,
                channel=TEXT,
                entry=TEXT,
            )
        ),
    ),
    lessons_learned=part(
        LessonsLearned, technical=some(TEXT), process=some(TEXT), governance=some(TEXT)
    ),
    ledger=part(LedgerState, origin=TEXT, size=COUNT, root=TEXT),
)


@given(CASES)
def test_every_case_file_comes_back(case: CaseFile) -> None:
    """Any text in any field, any optional key given or not: written and read, it is equal."""
    assert CaseFile.from_yaml(case.to_yaml(), unknown="keep") == case
    assert CaseFile.from_dict(case.to_dict(), unknown="keep") == case


@given(TEXT)
@example("x\nstatus: resolved\n")
@example("x\u2028status: resolved")
def test_text_never_becomes_structure(text: str) -> None:
    """Another reader finds the same keys, and the text where it was put."""
    case = CaseFile.from_yaml(EXAMPLE)
    event = attrs.evolve(case.timeline[0], type=text, detail=text)
    hostile = attrs.evolve(case, title=text, timeline=[event])
    expected = yaml.safe_load(EXAMPLE)
    expected["title"] = text
    expected["timeline"] = expected["timeline"][:1]
    expected["timeline"][0] |= {"type": text, "detail": text}
    assert yaml.safe_load(hostile.to_yaml()) == expected


@given(st.text() | st.binary())
def test_anything_read_is_answered(source: str | bytes) -> None:
    """No input raises anything but an error of ours."""
    refused = answer(source)[1]
    assert refused is None or refused.message


@given(st.data())
def test_a_damaged_page_is_answered(data: st.DataObject) -> None:
    """Wherever the example is cut or something put in, it is read or refused with a place."""
    start = data.draw(st.integers(0, len(EXAMPLE)))
    end = data.draw(st.integers(start, min(start + 12, len(EXAMPLE))))
    put_in = data.draw(
        _nasty | st.sampled_from(["!!int ", "!!map ", "&a ", "*a", "<<: ", "? ", "0x"])
    )
    source = EXAMPLE[:start] + put_in + EXAMPLE[end:]
    case, refused = answer(source)
    assert case is None or CaseFile.from_yaml(case.to_yaml(), unknown="keep") == case
    assert refused is None or {"line", "column"} <= refused.details.keys()


@given(TIME)
def test_times_come_back_to_the_microsecond(moment: datetime) -> None:
    """Digits are left out only where they are noughts."""
    case = attrs.evolve(CaseFile.from_yaml(EXAMPLE), detected_at=moment)
    assert CaseFile.from_yaml(case.to_yaml()).detected_at == moment
    written = yaml.safe_load(case.to_yaml())["detected_at"]
    assert written == moment

"""What holds for every error: journeys, the widest world, secrets, hostile data."""

import copy
import json
import pickle
import traceback
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rml.detail import DETAILS_BYTES_MAX, clean_details
from rml.error import ClosedError, DialogError, HistoryError, InvalidInputError, RmlError
from rml.problem import from_problem, to_problem
from rml.redact import Secret
from rml.world import Action, World, legal, widest


class PlainError(DialogError, ValueError):
    """For journeys."""


CLASSES = [RmlError, ClosedError, DialogError, HistoryError, PlainError, InvalidInputError]
WORLDS = st.sampled_from(World)
ANY_TEXT = st.text(st.characters(), max_size=40)  # with lone surrogates and controls
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(ANY_TEXT, inner, max_size=5),
    max_leaves=20,
)
DETAILS = st.dictionaries(ANY_TEXT, JSON, max_size=5)
MEMBERS = st.sampled_from(
    [
        *("type", "code", "world", "action", "severity", "message", "details", "happened"),
        *("retry_after", "causes", "title", "status", "detail", "instance"),
    ]
)
TAG_VALUES = st.sampled_from([*World, *Action, *(kind.code for kind in CLASSES), "RML-3", 503])
HOSTILE = st.dictionaries(MEMBERS | ANY_TEXT, JSON | TAG_VALUES, max_size=12)


@st.composite
def errors(draw: st.DrawFn) -> RmlError:
    """Any error: any class, any wider world, any facts, raised from up to three others."""
    kind = draw(st.sampled_from(CLASSES))
    floor = kind.world if kind is not RmlError else World.RML1
    error = kind(
        draw(ANY_TEXT),
        world=draw(st.sampled_from([world for world in World if world >= floor])),
        severity=draw(st.sampled_from(["info", "warning", "error", "critical"])),
        details=draw(DETAILS),
        retry_after=draw(st.none() | st.floats()),
        **draw(
            st.fixed_dictionaries({}, optional={"happened": st.sampled_from([True, False, None])})
        ),
    )
    for _ in range(draw(st.integers(0, 3))):
        error = wrap(
            draw(st.sampled_from(CLASSES))(draw(ANY_TEXT)), error, hide=draw(st.booleans())
        )
    return error


def wrap(outer: RmlError, inner: BaseException, *, hide: bool) -> RmlError:
    """Raise one error while the other is handled, `from` it or `from None`."""
    try:
        try:
            raise inner
        except BaseException:  # noqa: BLE001 - whatever is wrapped
            raise outer from None if hide else inner
    except RmlError as error:
        return error


@given(errors())
def test_every_journey_ends_in_the_same_error(error: RmlError) -> None:
    """Rebuilt from args, JSON, pickle and copies; and again from there."""
    expected = error.to_dict()
    wire = json.dumps(error.args, allow_nan=False).encode()
    for back in (
        type(error)(*error.args),
        type(error)(*json.loads(wire)),
        pickle.loads(pickle.dumps(error)),
        copy.copy(error),
        copy.deepcopy(error),
        RmlError.from_dict(json.loads(json.dumps(expected))),
    ):
        assert type(back) is type(error)
        assert back.to_dict() == expected
        assert pickle.loads(pickle.dumps(back)).to_dict() == expected


@given(errors())
def test_every_error_carries_a_legal_pair(error: RmlError) -> None:
    """However it was wrapped."""
    assert legal(error.world, error.action)


@given(errors(), st.sampled_from(CLASSES), st.booleans())
def test_wrapping_never_narrows(inner: RmlError, kind: type[RmlError], hide: bool) -> None:
    """The wrapper is at least as wide as each; RML3 always escalates, also after a journey."""
    inner_world, own = inner.world, kind().world
    outer = wrap(kind(), inner, hide=hide)
    assert outer.world is widest(inner_world, own)
    assert pickle.loads(pickle.dumps(outer)).world is outer.world
    if inner_world is World.RML3:
        assert outer.action is Action.ESCALATE_HISTORY


@given(WORLDS, WORLDS, WORLDS)
def test_the_widest_world_is_a_join(a: World, b: World, c: World) -> None:
    """Commutative, associative, idempotent, and never narrower than its arguments."""
    assert widest(a, b) is widest(b, a)
    assert widest(a, widest(b, c)) is widest(widest(a, b), c) is widest(a, b, c)
    assert widest(a, a) is widest(a) is a
    assert widest(a, b) >= a


@given(st.permutations([ClosedError, DialogError, HistoryError, PlainError]))
def test_the_order_of_wrapping_does_not_matter_to_the_world(kinds: list[type[RmlError]]) -> None:
    """The widest one wins from any depth."""
    error: RmlError = kinds[0]()
    for kind in kinds[1:]:
        error = wrap(kind(), error, hide=False)
    assert error.world is World.RML3


@given(DETAILS)
def test_cleaning_details_is_bounded_and_settles(details: dict[str, Any]) -> None:
    """JSON of a limited size, which cleaning leaves alone."""
    cleaned = clean_details(details)
    stored = json.dumps(cleaned, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    assert len(stored.encode()) <= DETAILS_BYTES_MAX
    assert clean_details(cleaned) == cleaned == json.loads(stored)


@given(JSON, st.text("0123456789abcdef", min_size=20, max_size=40), st.integers(0, 3))
def test_no_text_form_shows_a_secret(around: Any, value: str, depth: int) -> None:
    """Wherever in the details it lies."""
    value = f"sk-live-{value}"
    hidden: Any = {"around": around, "key": Secret(value), value[:3]: [Secret(value)]}
    for _ in range(depth):
        hidden = {"in": [hidden, {Secret(value)}]}
    try:
        raise DialogError(Secret(value), details={"hidden": hidden}) from ValueError(Secret(value))
    except DialogError as error:
        forms = [str(error), repr(error), repr(error.details), repr(error.args), repr(vars(error))]
        forms += [json.dumps(error.to_dict()), json.dumps(error.to_log_fields())]
        forms += [json.dumps(to_problem(error)), repr(error.causes), repr(pickle.dumps(error, 0))]
        forms += traceback.format_exception(error)
    assert not any(value in form for form in forms)


@given(HOSTILE)
def test_hostile_data_decodes_to_an_error_or_is_refused(data: dict[str, Any]) -> None:
    """Never anything but one of our errors, returned or raised, and a value like any other."""
    error = RmlError.from_dict(data)
    assert RmlError.from_dict(json.loads(json.dumps(error.to_dict()))).to_dict() == error.to_dict()
    reply = from_problem(data)
    assert legal(reply.world, reply.action)
    json.dumps(to_problem(reply), allow_nan=False)


@given(JSON)
def test_what_is_no_object_is_refused(data: Any) -> None:
    """With our own error."""
    for decode in (RmlError.from_dict, from_problem):
        try:
            assert isinstance(decode(data), RmlError)
        except InvalidInputError:
            assert not isinstance(data, dict)


@given(errors())
def test_a_problem_keeps_what_clients_act_on(error: RmlError) -> None:
    """Code, world and action, through JSON."""
    back = from_problem(json.dumps(to_problem(error)))
    assert (back.code, back.world, back.action) == (error.code, error.world, error.action)
    assert type(back) is type(error)

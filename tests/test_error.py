"""What an error says, where it gets it from, and what it refuses."""

import copy
import json
import logging
import pickle
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from inspect import signature
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest

from rml.cause import CAUSE_MESSAGE_BYTES_MAX, CAUSES_MAX, CHAIN_MAX, Cause, json_bytes
from rml.detail import DETAIL_DEPTH_MAX, DETAILS_BYTES_MAX
from rml.error import (
    MESSAGE_BYTES_MAX,
    ClosedError,
    ConfigurationError,
    DialogError,
    HistoryError,
    IllegalPairError,
    InvalidInputError,
    MissingExtraError,
    RmlError,
    walk_causes,
)
from rml.redact import MASK, Secret
from rml.world import Action, Severity, World


class GatewayTimeout(DialogError):  # noqa: N818 - as a user names it
    """The gateway did not answer in time.

    More for developers.
    """

    code = "PAYMENT_GATEWAY_TEMPORARY_ERROR"
    action = Action.RETRY_WITH_BACKOFF
    severity = Severity.WARNING


class DeclinedError(DialogError):
    """The card was declined."""

    action = Action.START_COMPENSATION
    happened = False


def wrap(outer: RmlError, inner: BaseException) -> RmlError:
    """Return the outer error, raised from the inner one."""
    try:
        raise outer from inner
    except RmlError as error:
        return error


def replace(outer: RmlError, inner: BaseException, *, hide: bool = False) -> RmlError:
    """Return the outer error, raised while the inner one is handled, and not from it."""
    try:
        try:
            raise inner
        except type(inner):
            if hide:
                raise outer from None
            raise outer  # noqa: B904 - that is the point
    except type(outer):
        return outer


# ------------------------------------------------------------------------------ what is declared


def test_a_class_declares_and_an_error_carries() -> None:
    """Class and instance answer alike."""
    error = GatewayTimeout()
    assert (error.code, error.world, error.action, error.severity) == (
        GatewayTimeout.code,
        GatewayTimeout.world,
        GatewayTimeout.action,
        GatewayTimeout.severity,
    )
    assert (error.world, error.action) == (World.RML2, Action.RETRY_WITH_BACKOFF)


def test_the_first_paragraph_of_the_docstring_is_the_default_message() -> None:
    """On one line; a class without a docstring takes its family's."""
    bare = type("BareError", (GatewayTimeout,), {})
    assert str(GatewayTimeout()) == str(bare()) == "The gateway did not answer in time."


@pytest.mark.parametrize(
    ("family", "world", "action"),
    [
        (ClosedError, World.RML1, Action.HANDLE_LOCALLY),
        (DialogError, World.RML2, Action.RETRY_WITH_BACKOFF),
        (HistoryError, World.RML3, Action.ESCALATE_HISTORY),
        (RmlError, World.RML3, Action.ESCALATE_HISTORY),
    ],
)
def test_families_have_defaults(family: type[RmlError], world: World, action: Action) -> None:
    """An error of no stated world is gray, and gray is RML3."""
    error = family("x")
    assert (error.world, error.action, error.severity) == (world, action, Severity.ERROR)
    assert (error.details, error.causes, error.retry_after) == ({}, (), None)


def test_everything_can_be_given() -> None:
    """In any spelling, as keywords."""
    error = RmlError(
        "lost",
        code="PAYMENT_LOST",
        world="rml-2",
        action="retry-with-backoff",
        severity="critical",
        details={"payment": "pay-42"},
        happened=None,
        retry_after=timedelta(seconds=90),
    )
    assert error.to_dict() == {
        "type": "rml.error.RmlError",
        "code": "PAYMENT_LOST",
        "world": "RML2",
        "action": "retry-with-backoff",
        "severity": "critical",
        "message": "lost",
        "details": {"payment": "pay-42"},
        "happened": None,
        "retry_after": 90.0,
        "causes": [],
    }


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("CardDeclinedError", "CARD_DECLINED"),
        ("HTTPTimeout", "HTTP_TIMEOUT"),
        ("E", "DIALOG_ERROR"),
        ("Größe", "DIALOG_ERROR"),
        ("Error", "ERROR"),
    ],
)
def test_a_class_without_code_is_named_by_its_name(name: str, code: str) -> None:
    """A family's code names no problem, so a first class of one's own needs no code."""
    assert type(name, (DialogError,), {}).code == code  # type: ignore[attr-defined]


def test_a_stated_code_is_inherited() -> None:
    """Whoever branches on the parent's code meets its children."""
    assert type("SlowGateway", (GatewayTimeout,), {}).code == GatewayTimeout.code  # type: ignore[attr-defined]


def test_several_parents_give_the_widest_world() -> None:
    """And an inherited action that this world refuses gives way."""
    both = type("BothError", (GatewayTimeout, HistoryError), {})
    assert (both().world, both().action) == (World.RML3, Action.ESCALATE_HISTORY)


def test_repr_tells_type_code_and_world_only() -> None:
    """Reprs end up in logs."""
    error = GatewayTimeout("for jane@example.com", details={"email": "jane@example.com"})
    assert repr(error) == "<GatewayTimeout PAYMENT_GATEWAY_TEMPORARY_ERROR RML2>"


def test_tags_are_fixed() -> None:
    """A world that could be assigned could be narrowed by accident."""
    error = HistoryError()
    with pytest.raises(AttributeError, match="build another error with world="):
        error.world = World.RML1  # type: ignore[misc]
    with pytest.raises(TypeError):
        error.details["x"] = 1  # type: ignore[index]


# ------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    "attributes",
    [
        {"world": World.RML3, "action": Action.RETRY_WITH_BACKOFF},
        {"world": "RML2", "action": "escalate-history"},
        {"world": World.RML1, "action": Action.START_COMPENSATION},
        {"action": Action.RETRY_WITH_BACKOFF},
    ],
)
def test_an_illegal_pair_is_refused_where_the_class_is_defined(attributes: dict[str, Any]) -> None:
    """Before anything can be raised with it."""
    with pytest.raises(IllegalPairError, match="cannot carry") as caught:
        type("BadError", (RmlError,), attributes)
    assert isinstance(caught.value, ValueError)


def test_a_class_cannot_be_narrower_than_its_family() -> None:
    """`except HistoryError` would catch what calls itself RML2."""
    with pytest.raises(IllegalPairError, match="BadError is RML3 by its family, not RML2"):
        type("BadError", (HistoryError,), {"world": World.RML2})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("code", "lower"),
        ("code", "A" * 64),
        ("code", "A-B"),
        ("code", "AB"),
        ("code", "ABC_"),
        ("code", 7),
        ("code", "ABC\n"),
        ("world", "RML4"),
        ("world", None),
        ("action", "try"),
        ("severity", "SEV-1"),
        ("happened", "no"),
        ("happened", 0),
        ("retry_after", "soon"),
        ("retry_after", float("nan")),
        pytest.param("code", property(lambda _self: "X"), id="code-property"),
    ],
    ids=repr,
)
def test_an_unreadable_tag_is_refused_where_the_class_is_defined(name: str, value: object) -> None:
    """The message names class, tag and the way out."""
    with pytest.raises(InvalidInputError, match=f"BadError: {name} = .*; "):
        type("BadError", (DialogError,), {name: value})


def test_a_builtin_exception_stands_after_the_family() -> None:
    """In front, its constructor would hide ours."""
    with pytest.raises(InvalidInputError, match="lists KeyError before its family"):
        type("BadError", (KeyError, DialogError), {})


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"action": Action.ESCALATE_HISTORY}, IllegalPairError),
        ({"world": "RML3", "action": "retry-with-backoff"}, IllegalPairError),
        ({"world": "RML1"}, IllegalPairError),
        ({"world": "RML9"}, InvalidInputError),
        ({"action": "try"}, InvalidInputError),
        ({"severity": "bad"}, InvalidInputError),
        ({"code": "bad-code"}, InvalidInputError),
        ({"happened": "yes"}, InvalidInputError),
    ],
    ids=repr,
)
def test_what_decides_is_refused_where_an_error_is_built(
    options: dict[str, Any], kind: type[RmlError]
) -> None:
    """It replaces a report about an effect, so it claims neither RML1 nor that nothing happened."""
    with pytest.raises(
        kind, match=r"GatewayTimeout\('lost'\): .*;|GatewayTimeout\('lost'\): .*:"
    ) as caught:
        GatewayTimeout("lost", **options)
    assert (caught.value.world, caught.value.happened) == (World.RML3, None)


def test_details_are_given_by_keyword() -> None:
    """A second positional argument is what rebuilds an error."""
    with pytest.raises(InvalidInputError, match="details go in details=, not 'pay-42'"):
        DialogError("lost", "pay-42")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "hint",
    [float("nan"), float("inf"), "soon", pytest.param(object(), id="object"), True],
    ids=repr,
)
def test_an_unusable_hint_is_dropped(hint: Any) -> None:
    """A failing payment is no moment to fail over a header."""
    assert GatewayTimeout(retry_after=hint).retry_after is None


def test_a_hint_to_retry_is_kept_while_retrying_is_the_action() -> None:
    """Seconds in any form; never negative; nothing once history is concerned."""
    hints = [GatewayTimeout(retry_after=hint).retry_after for hint in (3, "3", -1)]  # type: ignore[arg-type]
    assert hints == [3.0, 3.0, 0.0]
    assert wrap(GatewayTimeout(retry_after=3), HistoryError()).retry_after is None


# ------------------------------------------------------------------------------ message


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("half \udc80 a pair", "half \ufffd a pair"),
        ("\ud83d\ude00", "😀"),
        (ValueError("inner"), "inner"),
        (Secret("4242"), MASK),
        (42, "42"),
    ],
    ids=ascii,
)
def test_a_message_is_valid_text(message: object, text: str) -> None:
    """Whatever is passed, `str(e)` can be written to any store."""
    error = DialogError(message)
    assert (str(error), error.message) == (text, text)
    error.message.encode()


@pytest.mark.parametrize("unit", ["x", "é", "😀", "\x00", '"', "\n"], ids=ascii)
def test_a_long_message_is_cut_to_its_limit(unit: str) -> None:
    """Measured as it is stored: in JSON."""
    message = DialogError(unit * 100_000).message
    stored = len(json.dumps(message, ensure_ascii=False).encode()) - 2
    assert json_bytes(message) == stored
    assert MESSAGE_BYTES_MAX - 6 <= stored <= MESSAGE_BYTES_MAX
    assert message.endswith("…")


def test_an_error_whose_text_fails_still_reports() -> None:
    """A stranger's `__str__` may raise."""

    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    error = wrap(DialogError(MuteError()), MuteError())
    assert error.message == error.causes[0].message
    assert error.message.startswith("<test_an_error_whose_text_fails")


# ------------------------------------------------------------------------------ details


class Colour(Enum):
    """For details."""

    RED = "red"


def test_details_become_json() -> None:
    """Exact values of common types become text; the rest a marker with the type alone."""
    moment = datetime(2026, 11, 20, 19, tzinfo=UTC)
    details = {
        "amount": Decimal("12.30"),
        "at": moment,
        "day": date(2026, 11, 20),
        "wait": timedelta(seconds=1.5),
        "id": UUID(int=1),
        "path": PurePosixPath("/a"),
        "colour": Colour.RED,
        "world": World.RML2,
        "tags": {"b", "a"},
        "pair": (1, 2.5),
        "big": 2**60,
        "card": Secret("4242424242424242"),
        "nan": float("nan"),
        "raw": b"4242",
        "session": object(),
        "half": "\udc80",
        7: "seven",
        Colour.RED: 1,
        "frozen": MappingProxyType({"x": 1}),
    }
    error = DialogError("x", details=details)  # type: ignore[arg-type]
    assert dict(error.details) == {
        "amount": "12.30",
        "at": "2026-11-20T19:00:00+00:00",
        "day": "2026-11-20",
        "wait": "1.5s",
        "id": "00000000-0000-0000-0000-000000000001",
        "path": "/a",
        "colour": "red",
        "world": "RML2",
        "tags": ["a", "b"],
        "pair": [1, 2.5],
        "big": "1152921504606846976",
        "card": MASK,
        "nan": "<not finite: float>",
        "raw": "<unserialisable: bytes>",
        "session": "<unserialisable: object>",
        "half": "\ufffd",
        "7": "seven",
        "red": 1,
        "frozen": {"x": 1},
    }
    assert json.loads(json.dumps(error.args)) == [error.message, error.args[1]]


def test_details_keep_numbers_of_other_libraries() -> None:
    """Whatever is an index is an integer."""
    numpy = pytest.importorskip("numpy")
    details = DialogError(details={"count": numpy.int64(7), "share": numpy.float64(0.5)}).details
    assert details == {"count": 7, "share": 0.5}
    assert {type(value) for value in details.values()} == {int, float}


class _Hostile(dict[str, Any]):
    def items(self) -> Any:
        raise RuntimeError("no items")


@pytest.mark.parametrize(
    "details", ["text", 7, ["a"], object(), _Hostile(a=1)], ids=lambda d: type(d).__name__
)
def test_details_that_are_no_mapping_are_noted(details: Any) -> None:
    """The error is raised all the same."""
    noted = DialogError("x", details=details).details["details"]
    assert noted == f"<not a mapping: {type(details).__name__}>"


def _nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"in": value}
    return value


def _endless() -> dict[str, Any]:
    loop: dict[str, Any] = {}
    loop["self"] = loop
    return loop


@pytest.mark.parametrize(
    "details",
    [
        {"text": "x" * 1_000_000},
        {f"key {n}": "x" * 900 for n in range(90)},
        {f"key {n}": n for n in range(100_000)},
        {"list": list(range(100_000))},
        {"k" * 100_000: 1},
        {f"{n:04}" + "k" * 200: n for n in range(100)},
        {"wide": [[[list(range(50))] * 50] * 50] * 50},
        _nested(5_000),
        _endless(),
    ],
    ids=["text", "bytes", "keys", "list", "key", "long keys", "wide", "deep", "loop"],
)
def test_details_are_bounded(details: dict[str, Any]) -> None:
    """And cleaning them again changes nothing, so that they survive any number of journeys."""
    error = DialogError("x", details=details)
    stored = json.dumps(dict(error.details), ensure_ascii=False, separators=(",", ":")).encode()
    assert 2 <= len(stored) <= DETAILS_BYTES_MAX
    assert type(error)(*error.args).details == error.details


def test_what_exceeds_a_limit_is_marked() -> None:
    """Nothing disappears silently."""
    deep = json.dumps(dict(DialogError(details=_nested(DETAIL_DEPTH_MAX)).details))
    many = DialogError(details={"list": list(range(101))}).details["list"]
    fat = DialogError(details={"a": 1, **{f"k{n}": "x" * 1_900 for n in range(9)}}).details
    assert "<too deep: dict>" in deep
    assert many[-2:] == [98, "<2 dropped>"]
    assert fat["a"] == 1
    assert fat["k8"] == f"<dropped: details exceed {DETAILS_BYTES_MAX} bytes>"


# ------------------------------------------------------------------------------ the widest world


def test_wrapping_history_escalates() -> None:
    """Raised from it."""
    error = wrap(GatewayTimeout(), HistoryError("settled"))
    assert (error.world, error.action) == (World.RML3, Action.ESCALATE_HISTORY)


def test_handling_history_escalates_what_is_built_there() -> None:
    """Also if it is raised elsewhere, later, where the chain no longer shows it."""
    try:
        raise HistoryError
    except HistoryError:
        error = GatewayTimeout()
    assert (error.world, error.__context__) == (World.RML3, None)


def test_from_none_does_not_narrow() -> None:
    """It hides a context from readers. The world stays, and so it does after a journey."""
    error = replace(GatewayTimeout(), HistoryError(), hide=True)
    assert (error.world, error.causes) == (World.RML3, ())
    assert pickle.loads(pickle.dumps(error)).world is World.RML3


def test_decoding_while_handling_history_tells_what_was_stored() -> None:
    """What was stored knows nothing of what is being handled now."""
    stored = GatewayTimeout().to_dict()
    try:
        raise HistoryError
    except HistoryError:
        assert RmlError.from_dict(stored).to_dict() == stored


def test_a_group_is_as_wide_as_its_widest_member() -> None:
    """Members of groups inside groups count, also those beyond the causes that are listed."""
    members: list[Exception] = [ValueError(str(n)) for n in range(100)]
    group = ExceptionGroup("all", [*members, ExceptionGroup("inner", [HistoryError()])])
    error = wrap(ClosedError(), group)
    assert error.world is World.RML3
    assert len(error.causes) <= CAUSES_MAX


def test_wrapping_takes_over_the_action_with_the_world() -> None:
    """An RML1 error around a failed saga step does not ask to retry it."""
    error = wrap(ClosedError(), DeclinedError())
    assert (error.world, error.action) == (World.RML2, Action.START_COMPENSATION)
    same = wrap(GatewayTimeout(), DeclinedError())
    assert same.action is Action.RETRY_WITH_BACKOFF


def test_a_wide_error_stays_wide_in_every_form() -> None:
    """Its world is part of its value."""
    error = wrap(ClosedError(), wrap(ValueError_(), HistoryError()))
    forms = [
        pickle.loads(pickle.dumps(error)),
        copy.copy(error),
        copy.deepcopy(error),
        type(error)(*json.loads(json.dumps(error.args))),
        RmlError.from_dict(error.to_dict()),
    ]
    assert {form.world for form in forms} == {World.RML3}
    assert {form.action for form in forms} == {Action.ESCALATE_HISTORY}


class ValueError_(ClosedError, ValueError):  # noqa: N801, N818 - a link in a chain
    """A link."""


def test_a_world_can_be_given_wider_than_the_class() -> None:
    """And then its action follows."""
    error = GatewayTimeout(world=World.RML3)
    assert (error.world, error.action) == (World.RML3, Action.ESCALATE_HISTORY)


# ------------------------------------------------------------------------------ causes


def _chain(length: int) -> Exception:
    error: Exception = KeyError("0")
    for n in range(1, length):
        outer = KeyError(str(n))
        outer.__cause__ = error
        error = outer
    return error


def test_causes_are_kept_by_value_nearest_first() -> None:
    """Type, text, and code and world where there are some."""
    error = wrap(ClosedError("outer"), wrap(GatewayTimeout("middle"), TimeoutError("inner")))
    assert error.causes == (
        Cause(
            f"{__name__}.GatewayTimeout",
            "middle",
            "PAYMENT_GATEWAY_TEMPORARY_ERROR",
            World.RML2,
        ),
        Cause("TimeoutError", "inner"),
    )
    assert type(error)(*error.args).causes == error.causes
    assert [cause["type"] for cause in error.to_dict()["causes"]] == [c.type for c in error.causes]


def test_causes_survive_several_hops() -> None:
    """What one process received from another is a cause in a third."""
    first = wrap(GatewayTimeout("first"), TimeoutError("root"))
    second = wrap(ClosedError("second"), pickle.loads(pickle.dumps(first)))
    third = pickle.loads(pickle.dumps(second))
    assert [cause.message for cause in third.causes] == ["first", "root"]


@pytest.mark.parametrize("length", [100, 20_000])
def test_a_long_chain_is_cut(length: int) -> None:
    """At a number of causes; and past the exceptions looked at, its world is unknown: RML3."""
    error = wrap(ClosedError(), _chain(length))
    assert len(error.causes) == CAUSES_MAX
    assert error.world is (World.RML3 if length > CHAIN_MAX else World.RML1)


def test_cycles_end() -> None:
    """Re-raising a member of a group makes the group its context."""
    member = ClosedError("member")
    group = ExceptionGroup("group", [member])
    member.__context__ = group
    looped = ValueError("loop")
    looped.__cause__ = looped
    error = wrap(ClosedError("outer"), ExceptionGroup("both", [group, looped]))
    assert [cause.message.partition(" ")[0] for cause in error.causes] == [
        "both",
        "group",
        "loop",
        "member",
    ]
    assert member.causes[0].type == "ExceptionGroup"
    assert (error.world, member.happened) == (World.RML1, False)


def test_a_hidden_context_is_not_listed() -> None:
    """`from None` is the author's word to readers."""
    hidden = ValueError("hidden")
    hidden.__context__ = KeyError("deeper")
    hidden.__suppress_context__ = True
    assert [cause.message for cause in walk_causes(wrap(ClosedError(), hidden))] == ["hidden"]


def test_a_cause_is_bounded() -> None:
    """Its text and its name."""
    kind = type("N" * 1_000, (Exception,), {})
    cause = wrap(ClosedError(), kind("x" * 100_000)).causes[0]
    assert json_bytes(cause.message) <= CAUSE_MESSAGE_BYTES_MAX
    assert len(cause.type) <= 160


def test_the_largest_error_fits_a_ledger_entry() -> None:
    """Message, details and causes at their limits stay well below 65,535 bytes."""
    bottom: BaseException = ValueError("\x00" * 9_999)
    for _ in range(40):
        bottom = wrap(GatewayTimeout("\x00" * 9_999), bottom)
    error = wrap(
        HistoryError("é" * 9_999, details={f"{n}": "\x00" * 9_999 for n in range(99)}), bottom
    )
    assert len(json.dumps(error.to_dict(), ensure_ascii=False).encode()) < 45_000


# ------------------------------------------------------------------------------ what happened


HAPPENED: dict[str, tuple[RmlError, bool | None]] = {
    "closed": (ClosedError(), False),
    "closed, stated unknown": (ClosedError(happened=None), None),
    "closed, stated": (ClosedError(happened=True), True),
    "dialog": (DialogError(), None),
    "dialog, stated": (DialogError(happened=False), False),
    "class states": (DeclinedError(), False),
    "error over class": (DeclinedError(happened=None), None),
    "history": (HistoryError(), None),
    "history, stated": (HistoryError(happened=True), True),
    "invalid input": (InvalidInputError(), None),
    "configuration": (ConfigurationError(), None),
    "from one that states": (wrap(DialogError(), DeclinedError()), False),
    "own word first": (wrap(DialogError(happened=None), DeclinedError()), None),
    "two links": (wrap(DialogError(), wrap(DialogError(), HistoryError(happened=True))), True),
    "from one that only implies": (wrap(DialogError(), ClosedError()), None),
    "closed from unknown": (wrap(ClosedError(), InvalidInputError()), None),
    "closed from history": (wrap(ClosedError(), HistoryError()), None),
}


@pytest.mark.parametrize("case", HAPPENED)
def test_what_happened(case: str) -> None:
    """Own word, else that of the error it was raised from; else an RML1 error says False."""
    error, happened = HAPPENED[case]
    assert error.happened is happened
    for form in (pickle.loads(pickle.dumps(error)), RmlError.from_dict(error.to_dict())):
        assert form.happened is happened


def test_nothing_is_concluded_from_what_was_merely_being_handled() -> None:
    """A fallback's timeout is not settled by the first provider's refusal."""
    assert replace(GatewayTimeout(), DeclinedError()).happened is None


def test_a_local_error_after_a_doubtful_one_is_doubtful() -> None:
    """Somebody caught an error of the library's own and raised another in its place."""
    error = replace(ClosedError(), InvalidInputError())
    assert error.happened is None
    assert pickle.loads(pickle.dumps(error)).happened is None


# ------------------------------------------------------------------------------ dicts and logs


def test_an_unknown_code_decodes_to_the_family_of_its_world() -> None:
    """And keeps all it was told, so that a record written elsewhere is shown as it is."""
    data = {
        **GatewayTimeout("x", details={"a": 1}).to_dict(),
        "code": "FROM_ELSEWHERE",
        "type": "other.Gone",
    }
    error = RmlError.from_dict(data)
    assert type(error) is DialogError
    assert error.to_dict() == data
    assert repr(error) == "<Gone FROM_ELSEWHERE RML2>"
    assert pickle.loads(pickle.dumps(error)).to_dict() == data


@pytest.mark.parametrize("values", [None, [], "RML3", 7, b"{}"], ids=repr)
def test_only_a_mapping_decodes(values: Any) -> None:
    """A clear error for anything else."""
    with pytest.raises(InvalidInputError, match=r"values is .*; pass what to_dict"):
        RmlError.from_dict(values)


def test_hostile_members_are_left_out() -> None:
    """What cannot be read does not decide; a world that cannot be read is RML3."""
    error = RmlError.from_dict(
        {
            "type": 7,
            "code": "__import__('os')",
            "world": "RML0",
            "action": ["retry-with-backoff"],
            "severity": {},
            "message": None,
            "details": [1],
            "happened": "no",
            "retry_after": "x",
            "causes": [None, {"type": 3}, {"type": "E", "message": 4, "code": 5, "world": "RML6"}]
            * 99,
            "unknown": object(),
        }
    )
    assert type(error) is HistoryError
    assert (error.code, error.action, error.happened) == (
        "HISTORY_ERROR",
        Action.ESCALATE_HISTORY,
        None,
    )
    assert error.causes == (Cause("E"),) * 10
    assert error.severity is Severity.ERROR


def test_a_stored_world_is_never_narrowed_or_narrowing() -> None:
    """Neither by the class of today nor by a record of yesterday."""
    stored = GatewayTimeout(world="RML3").to_dict()
    assert RmlError.from_dict(stored).world is World.RML3
    code = HistoryError.code
    assert (
        RmlError.from_dict({"code": code, "world": "RML1", "type": "rml.error.HistoryError"}).world
        is World.RML3
    )
    assert RmlError.from_dict({}).world is World.RML3


def test_log_fields_fit_a_log_record(caplog: pytest.LogCaptureFixture) -> None:
    """`extra=` refuses keys like `message`; one nested key it takes."""
    error = wrap(GatewayTimeout("slow", details={"try": 2}), TimeoutError("secret text"))
    logging.getLogger("shop").error("failed", extra=error.to_log_fields())
    fields = caplog.records[0].__dict__["rml"]
    assert fields["code"] == "PAYMENT_GATEWAY_TEMPORARY_ERROR"
    assert fields["message"] == "slow"
    assert fields["causes"] == ["TimeoutError"]
    assert "happened" not in fields


def test_log_fields_leave_out_what_is_empty() -> None:
    """Short lines are read."""
    assert set(ClosedError("x").to_log_fields()["rml"]) == {
        *("type", "code", "world", "action", "severity", "message", "happened"),
    }


def test_without_docstrings_the_code_is_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -OO` strips them."""
    for kind in (GatewayTimeout, DialogError, RmlError):
        monkeypatch.setattr(kind, "__doc__", None)
    assert str(GatewayTimeout()) == "PAYMENT_GATEWAY_TEMPORARY_ERROR"


def test_the_signature_reads_well() -> None:
    """Its sentinel is shown in help texts."""
    assert "= UNSET" in str(signature(DialogError))


def test_pickling_leaves_the_error_as_it_is() -> None:
    """Sending an error must not change the one that is still being handled."""
    error = wrap(GatewayTimeout("x"), ValueError("cause"))
    error.add_note("a note")
    error.connection = object()  # type: ignore[attr-defined]
    before = dict(vars(error))
    again = pickle.loads(pickle.dumps(error))
    assert vars(error) == before
    assert isinstance(error.__cause__, ValueError)
    assert again.__notes__ == ["a note"]
    assert copy.copy(error).__notes__ is not error.__notes__


def test_a_missing_extra_names_the_command() -> None:
    """And is an ImportError, as whoever guards an import expects."""
    error = MissingExtraError.about("postgres")
    assert "pip install 'rml[postgres]'" in str(error)
    assert isinstance(error, ImportError)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("x" * 10_000, "'" + "x" * 77 + "…'"),
        (10**5_000, "a value of type int"),
        (Secret("4242"), "a value of type Secret"),
        (object(), "a value of type object"),
        (float("nan"), "nan"),
        ("\udc80", "'\ufffd'"),
    ],
    ids=["long", "huge", "secret", "object", "nan", "surrogate"],
)
def test_invalid_input_shows_plain_values_only(value: object, shown: str) -> None:
    """What it shows may be logged."""
    assert str(InvalidInputError.about("key", value, "pass text")) == f"key is {shown}; pass text"


def test_the_families_are_told_apart_by_except() -> None:
    """The first question of a handler is: which world?"""
    assert [kind.world for kind in (ClosedError, DialogError, HistoryError)] == list(World)

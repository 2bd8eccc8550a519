"""The ledger records what it is told, says when, answers questions, and refuses bad input whole."""

import base64
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import rml
from rml import (
    Draft,
    FrozenClock,
    InvalidInputError,
    Ledger,
    LedgerUnavailableError,
    LimitError,
    Receipt,
    RmlError,
    Secret,
    UnknownIdError,
    World,
)
from rml.clock import SeededIds, id_millis, utc_text
from rml.ledger.content import AHEAD_MAX, PERSONAL_BYTES_MAX
from rml.ledger.entry import COMMITMENTS_MAX

NOON = "2026-11-20T12:00:00.000000Z"
UNKNOWN = "01a1fa54-6f80-7000-8000-00000000dead"


def nothing(draft: Draft) -> None:
    """A work that records nothing."""


@pytest.fixture
def clock() -> FrozenClock:
    """A clock that stands at noon."""
    return FrozenClock(NOON)


@pytest.fixture(params=["memory:", "sqlite://:memory:", "file"])
def ledger(request: pytest.FixtureRequest, clock: FrozenClock, tmp_path: Path) -> Iterator[Ledger]:
    """An empty ledger in every shipped store."""
    place = tmp_path / "ledger.db" if request.param == "file" else request.param
    with Ledger(place, clock=clock, origin="example.com/test", service="payments") as made:
        yield made


def check_refused(ledger: Ledger, call: Callable[[], object], reason: str) -> None:
    """The call is refused for this reason, and nothing is recorded."""
    before = (ledger.size, ledger.root)
    with pytest.raises(InvalidInputError) as caught:
        call()

    assert reason in caught.value.message
    assert before == (ledger.size, ledger.root)


# ------------------------------------------------------------------------------------ appending


def test_what_is_appended_is_what_is_read(ledger: Ledger) -> None:
    """Every parameter, in the entry that the receipt names."""
    first = ledger.append("payment.charge", world="RML2")
    receipt = ledger.append(
        "payment.refund",
        world=World.RML3,
        facts={"amount": Decimal("19.90"), "due": date(2026, 12, 1)},
        personal={"email": "ada@example.com"},
        at=datetime(2026, 11, 20, 11, tzinfo=UTC),
        actor="ada",
        operation="payment.refund",
        corrects=first.id,
        incident="INC-2026-0001",
        correlation="req-9",
    )

    entry = ledger.entry(receipt.id)

    assert (receipt.id, 1, receipt.recorded_at) == (entry.id, entry.index, entry.recorded_at)
    assert ("payment.refund", World.RML3, "example.com/test", "payments") == (
        entry.kind,
        entry.world,
        entry.origin,
        entry.service,
    )
    assert ("ada", "payment.refund", first.id, "INC-2026-0001", "req-9") == (
        entry.actor,
        entry.operation,
        entry.corrects,
        entry.incident,
        entry.correlation,
    )
    assert ({"amount": "19.90", "due": "2026-12-01"}, {"email": "ada@example.com"}) == (
        dict(entry.facts),
        dict(entry.personal),
    )


def test_a_receipt_says_where_and_when(ledger: Ledger, clock: FrozenClock) -> None:
    """Indexes count from zero, and the time is the ledger's."""
    receipts = [ledger.append("a.b", world="RML1") for _ in range(3)]

    assert [0, 1, 2] == [receipt.index for receipt in receipts]
    assert {clock.now()} == {receipt.recorded_at for receipt in receipts}
    assert 3 == len({receipt.id for receipt in receipts}) == ledger.size


@pytest.mark.parametrize("spelling", ["RML3", "rml3", "RML-3", "rml-3"])
def test_a_world_is_written_in_one_spelling(ledger: Ledger, spelling: str) -> None:
    """However it was given."""
    assert World.RML3 is ledger.entry(ledger.append("a.b", world=spelling).id).world


def test_two_clocks_are_told_apart(ledger: Ledger, clock: FrozenClock) -> None:
    """A person says when it happened; the ledger says when it was told."""
    told = datetime(2026, 11, 20, 9, tzinfo=timezone(timedelta(hours=1)))
    clock.advance(1.5)

    entry = ledger.entry(ledger.append("a.b", world="RML1", at=told).id)

    assert ("2026-11-20T08:00:00.000000Z", "2026-11-20T12:00:01.500000Z") == (
        utc_text(entry.at),
        utc_text(entry.recorded_at),
    )
    assert entry.at != ledger.entry(ledger.append("a.b", world="RML1").id).at == clock.now()


def test_a_clock_that_steps_back_changes_no_order(ledger: Ledger, clock: FrozenClock) -> None:
    """The index is the order; times are what the clock said, and nothing is accused."""
    moments = []
    for moment in (NOON, "2026-11-20T11:00:00.000000Z", "2026-11-20T11:30:00.000000Z"):
        clock.set(moment)
        receipt = ledger.append("a.b", world="RML1")
        moments.append((id_millis(receipt.id), receipt.index))

    assert [0, 1, 2] == [entry.index for entry in ledger.entries()]
    assert [1, 2, 0] == [index for _, index in sorted(moments)]
    assert ledger.verify().ok


def test_a_moment_a_little_ahead_is_told_and_a_later_one_refused(
    ledger: Ledger, clock: FrozenClock
) -> None:
    """Clocks of two machines differ by minutes, not by hours."""
    ahead = clock.now() + AHEAD_MAX

    assert ahead == ledger.entry(ledger.append("a.b", world="RML1", at=ahead).id).at
    late = ahead + timedelta(microseconds=1)
    check_refused(
        ledger, lambda: ledger.append("a.b", world="RML1", at=late), "lies in the future; the"
    )


def test_a_moment_long_ago_can_be_told(ledger: Ledger) -> None:
    """A correction of an old book."""
    old = datetime(1582, 10, 15, tzinfo=UTC)

    assert old == ledger.entry(ledger.append("a.b", world="RML1", at=old).id).at


def test_the_largest_texts_and_facts_fit(ledger: Ledger) -> None:
    """The limits are promises."""
    facts = {"n" * 255: "x" * 59_000, "nested": {"": {"a": [[]]}}}
    personal = {f"field{i}": "x" * 10_000 for i in range(COMMITMENTS_MAX)}

    receipt = ledger.append("a.b", world="RML1", facts=facts, personal=personal, actor="é" * 255)

    entry = ledger.entry(receipt.id)
    assert (facts, personal) == (dict(entry.facts), dict(entry.personal))
    assert ledger.verify().ok


# ------------------------------------------------------------------------------------ bad input

CYCLE: list[Any] = []
CYCLE.append(CYCLE)
WRONG: list[tuple[str, dict[str, Any]]] = [
    ("kind None must be dotted lower-case words", {"kind": None}),
    ("kind 'refund' must be dotted lower-case words", {"kind": "refund"}),
    ("kind 'effect.done' is", {"kind": "effect.done"}),
    ("kind 'incident.closed' is", {"kind": "incident.closed"}),
    ("kind 'payload.erased' is", {"kind": "payload.erased"}),
    ("'RML4' is not one of the World spellings; use RML1", {"world": "RML4"}),
    ("None is not one of the World spellings", {"world": None}),
    ("list is not one of the World spellings", {"world": []}),
    ("facts must be a mapping from names to values, not int", {"facts": 0}),
    ("facts must be a mapping from names to values, not list", {"facts": []}),
    ("facts must be a mapping from names to values, not str", {"facts": ""}),
    ("a name in facts is int, not text", {"facts": {1: 2}}),
    ("a name in facts has 0 characters", {"facts": {"": 2}}),
    ("a name in facts has 256 characters", {"facts": {"x" * 256: 2}}),
    ("the fact at facts.amount is a float", {"facts": {"amount": 19.99}}),
    ("the fact at facts.a.b[0] is a float", {"facts": {"a": {"b": [float("nan")]}}}),
    ("the Decimal at facts.amount is not a finite number", {"facts": {"amount": Decimal("NaN")}}),
    ("the integer at facts.amount is beyond 2**53 - 1", {"facts": {"amount": 2**53}}),
    (
        "at facts.due: the time 2026-01-01T00:00:00 has no timezone",
        {"facts": {"due": datetime(2026, 1, 1)}},
    ),
    ("the fact at facts.card is a Secret", {"facts": {"card": Secret("4242424242424242")}}),
    ("the fact at facts.blob is bytes", {"facts": {"blob": b"4242424242424242"}}),
    ("the text at facts.note holds half of a surrogate pair", {"facts": {"note": "\ud800"}}),
    ("nested deeper than 64 levels", {"facts": {"a": CYCLE}}),
    (
        "bytes, the limit is 65535 (ENTRY_BYTES_MAX); move large fields to personal=",
        {"facts": {"a": "x" * 70_000}},
    ),
    ("bytes, the limit is 65535 (ENTRY_BYTES_MAX)", {"facts": {f"f{i}": i for i in range(9_000)}}),
    ("personal must be a mapping from names to values, not int", {"personal": 0}),
    ("personal must be a mapping from names to values, not set", {"personal": {"email"}}),
    ("a name in personal is int, not text", {"personal": {1: 2}}),
    ("a name in personal has 256 characters", {"personal": {"x" * 256: 2}}),
    ("the value at personal.d is Decimal", {"personal": {"d": Decimal(1)}}),
    ("the number at personal.d[0] is NaN", {"personal": {"d": [float("nan")]}}),
    ("the text at personal.d holds half of a surrogate pair", {"personal": {"d": "\ud800"}}),
    ("the value at personal.d is Secret", {"personal": {"d": Secret("4242424242424242")}}),
    (
        "an entry has 65 personal fields, the limit is 64",
        {"personal": {f"f{i}": 1 for i in range(65)}},
    ),
    (
        "bytes, the limit is 1048576 (PERSONAL_BYTES_MAX)",
        {"personal": {"d": "x" * PERSONAL_BYTES_MAX}},
    ),
    ("nested deeper than 64 levels", {"personal": {"a": CYCLE}}),
    ("at must be an aware datetime, not str", {"at": NOON}),
    ("at must be an aware datetime, not date", {"at": date(2026, 1, 1)}),
    ("at: the time 2026-01-01T00:00:00 has no timezone", {"at": datetime(2026, 1, 1)}),
    ("lies in the future", {"at": datetime.max.replace(tzinfo=UTC)}),
    (
        "outside the years 1 to 9999",
        {"at": datetime.min.replace(tzinfo=timezone(timedelta(hours=1)))},
    ),
    (
        "outside the years 1 to 9999",
        {"at": datetime.max.replace(tzinfo=timezone(-timedelta(hours=1)))},
    ),
    ("corrects must be text, not int", {"corrects": 5}),
    ("corrects has 0 characters", {"corrects": ""}),
    *[
        (f"{name} must be text, not int", {name: 5})
        for name in ("actor", "operation", "incident", "correlation")
    ],
    *[
        (f"{name} has 0 characters", {name: ""})
        for name in ("actor", "operation", "incident", "correlation")
    ],
    *[(f"{name} has 256 characters", {name: "x" * 256}) for name in ("actor", "operation")],
    ("actor 'a\\x00' holds characters that cannot be printed", {"actor": "a\0"}),
    ("incident '\\ud800' holds characters that cannot be printed", {"incident": "\ud800"}),
]


@pytest.mark.parametrize(("reason", "wrong"), WRONG)
def test_what_cannot_be_recorded_is_refused_whole(
    ledger: Ledger, reason: str, wrong: dict[str, Any]
) -> None:
    """The message names the parameter and the way out, shows no secret, and nothing is written."""
    given = {"kind": "a.b", "world": "RML1"} | wrong

    check_refused(ledger, lambda: ledger.append(given.pop("kind"), **given), reason)

    with pytest.raises(InvalidInputError) as caught:
        ledger.append(**({"kind": "a.b", "world": "RML1"} | wrong))
    assert "4242" not in repr(caught.value.to_dict())
    assert 0 == ledger.append("a.b", world="RML1").index


def test_a_large_value_is_a_limit_error(ledger: Ledger) -> None:
    """Told apart from a wrong one, because another place takes it."""
    with pytest.raises(LimitError):
        ledger.append("a.b", world="RML1", facts={"a": "x" * 70_000})


def test_an_unknown_original_is_refused(ledger: Ledger) -> None:
    """A correction corrects something of this ledger."""
    with pytest.raises(UnknownIdError, match=f"corrects='{UNKNOWN}' names no entry"):
        ledger.append("a.b", world="RML1", corrects=UNKNOWN)

    assert 0 == ledger.size


@pytest.mark.parametrize(
    ("reason", "links"),
    [
        ("an entry has no field colour", {"colour": "red"}),
        ("an entry has no field index", {"index": "5"}),
        ("an entry has no field id", {"id": UNKNOWN}),
        ("an entry has no field recorded_at", {"recorded_at": NOON}),
        ("attempt must be an integer from 1, not 0", {"attempt": 0}),
        ("attempt must be an integer from 1, not True", {"attempt": True}),
        ("attempt must be an integer from 1, not '1'", {"attempt": "1"}),
        ("attempt must be an integer from 1, not 9007199254740992", {"attempt": 2**53}),
        ("traceparent must be text, not int", {"traceparent": 5}),
        ("scope has 0 characters", {"scope": ""}),
        ("key has 256 characters", {"key": "x" * 256}),
        ("effect must be text, not bytes", {"effect": b"ef_1"}),
    ],
)
def test_a_draft_checks_the_fields_that_only_it_takes(
    ledger: Ledger, reason: str, links: dict[str, Any]
) -> None:
    """A field that no reader knows would make the ledger unreadable for ever."""
    check_refused(
        ledger,
        lambda: ledger.write(lambda draft: draft.append("a.b", world="RML1", **links)),
        reason,
    )


METHODS: list[tuple[str, Callable[[Any], object]]] = [
    ("entry_id must be text, not int", lambda ledger: ledger.entry(5)),
    ("entry_id must be text, not object", lambda ledger: ledger.entry(object())),
    ("entry_id '\\ud800' holds characters", lambda ledger: ledger.entry("\ud800")),
    ("effect_id must be text, not NoneType", lambda ledger: ledger.effect(None)),
    ("kind must be text, not int", lambda ledger: ledger.entries(kind=5)),
    ("operation has 0 characters", lambda ledger: ledger.entries(operation="")),
    ("effect '\\ud800' holds characters", lambda ledger: ledger.entries(effect="\ud800")),
    ("corrects must be text, not list", lambda ledger: ledger.entries(corrects=[])),
    ("incident must be text, not object", lambda ledger: ledger.entries(incident=object())),
    ("correlation must be text, not bytes", lambda ledger: ledger.entries(correlation=b"x")),
    ("'RML9' is not one of the World", lambda ledger: ledger.entries(world="RML9")),
    ("since must be an aware datetime, not str", lambda ledger: ledger.entries(since=NOON)),
    (
        "until: the time 2026-01-01T00:00:00 has no timezone",
        lambda ledger: ledger.entries(until=datetime(2026, 1, 1)),
    ),
    ("limit must be a number of entries, not -1", lambda ledger: ledger.entries(limit=-1)),
    ("limit must be a number of entries, not '5'", lambda ledger: ledger.entries(limit="5")),
    ("limit must be a number of entries, not True", lambda ledger: ledger.entries(limit=True)),
    (
        "no effect state 'finished'; the states are in_flight",
        lambda ledger: ledger.effects(state="finished"),
    ),
    ("no effect state 5", lambda ledger: ledger.effects(state=5)),
    ("operation must be text, not int", lambda ledger: ledger.effects(operation=5)),
    ("since must be an aware datetime, not int", lambda ledger: ledger.effects(since=5)),
    ("work must be a function of a Draft, not int", lambda ledger: ledger.write(5)),
    (
        "timeout must be a number of seconds, not 'soon'",
        lambda ledger: ledger.write(nothing, timeout="soon"),
    ),
    (
        "timeout must be a number of seconds, not nan",
        lambda ledger: ledger.write(nothing, timeout=float("nan")),
    ),
    (
        "timeout must be a number of seconds, not -1",
        lambda ledger: ledger.write(nothing, timeout=-1),
    ),
    ("progress must be a function", lambda ledger: ledger.verify(progress=5)),
    (
        "entry_id must be text, not int",
        lambda ledger: ledger.erase(5, ["email"], by="dpo", reason="law"),
    ),
    (
        "fields must be a list of the names to erase",
        lambda ledger: ledger.erase(UNKNOWN, "email", by="dpo", reason="law"),
    ),
    (
        "fields must be a list of the names to erase",
        lambda ledger: ledger.erase(UNKNOWN, [], by="dpo", reason="law"),
    ),
    (
        "fields must be a list of the names to erase",
        lambda ledger: ledger.erase(UNKNOWN, 5, by="dpo", reason="law"),
    ),
    (
        "a name in fields must be text, not int",
        lambda ledger: ledger.erase(UNKNOWN, [5], by="dpo", reason="law"),
    ),
    ("by has 0 characters", lambda ledger: ledger.erase(UNKNOWN, ["email"], by="", reason="law")),
    (
        "reason must be text, not NoneType",
        lambda ledger: ledger.erase(UNKNOWN, ["email"], by="dpo", reason=None),
    ),
    (
        "happened must be True or False",
        lambda ledger: ledger.resolve("ef_1", happened="yes", by="ada", reason="seen"),
    ),
    (
        "by has 0 characters",
        lambda ledger: ledger.resolve("ef_1", happened=True, by="", reason="seen"),
    ),
]


@pytest.mark.parametrize(
    ("reason", "call"), METHODS, ids=[f"{i} {reason}" for i, (reason, _) in enumerate(METHODS)]
)
def test_every_method_refuses_what_it_cannot_use(
    ledger: Ledger, reason: str, call: Callable[[Ledger], object]
) -> None:
    """At the call, not when the answer is walked, and as an error of ours."""
    check_refused(ledger, lambda: call(ledger), reason)


@pytest.mark.parametrize(
    ("reason", "wrong"),
    [
        ("a ledger is named by a path or a URL, not by 5", {"place": 5}),
        ("a ledger is named by a path or a URL, not by ''", {"place": ""}),
        ("a ledger is named by a path or a URL, not by None", {"place": None}),
        ("a ledger is named by a path or a URL, not by a value of type bytes", {"place": b"x"}),
        (
            "no store knows the scheme 'mysql'; use a file's path or a URL with",
            {"place": "mysql://x"},
        ),
        ("the URL 'sqlite:' names no file", {"place": "sqlite:"}),
        ("the URL 'sqlite:///' names no file", {"place": "sqlite:///"}),
        ("no file can be named 'a\\x00b'", {"place": "a\0b"}),
        ("no file can be named 'a\\ud800b'", {"place": "a\ud800b"}),
        ("origin must be text, not int", {"origin": 5}),
        ("origin has 0 characters", {"origin": ""}),
        ("must have no spaces and no plus", {"origin": "my ledger"}),
        ("must have no spaces and no plus", {"origin": "a+b"}),
        ("service has 256 characters", {"service": "x" * 256}),
        ("clock must be an rml.Clock", {"clock": 5}),
        ("clock must be an rml.Clock", {"clock": datetime}),
        ("ids must have a method new(at), and int has none", {"ids": 5}),
        ("timeout must be a number of seconds, not 'x'", {"timeout": "x"}),
        ("timeout must be a number of seconds, not -1", {"timeout": -1}),
        ("timeout must be a number of seconds, not inf", {"timeout": float("inf")}),
        ("timeout must be a number of seconds, not True", {"timeout": True}),
    ],
)
def test_a_ledger_is_opened_with_usable_values_only(
    reason: str, wrong: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any file is made."""
    monkeypatch.chdir(tmp_path)
    given = {"place": tmp_path / "ledger.db"} | wrong

    with pytest.raises(InvalidInputError) as caught:
        Ledger(given.pop("place"), **given)

    assert reason in caught.value.message
    assert [] == list(tmp_path.iterdir())


# --------------------------------------------------------------------------------------- commits


def test_a_write_is_one_commit_at_one_moment(ledger: Ledger) -> None:
    """All entries of a draft are recorded at the same time and become durable together."""

    def work(draft: Draft) -> list[Receipt]:
        receipts = [draft.append("a.b", world="RML1") for _ in range(3)]
        assert receipts[0].id == draft.entries(kind="a.b")[0].id
        return receipts

    receipts = ledger.write(work, timeout=timedelta(seconds=5))

    assert [0, 1, 2] == [receipt.index for receipt in receipts]
    assert 1 == len({receipt.recorded_at for receipt in receipts})


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(3)])
def test_a_work_that_ends_badly_leaves_nothing_half_written(
    ledger: Ledger, error: BaseException
) -> None:
    """Neither a mistake nor Ctrl-C in the middle."""

    def work(draft: Draft) -> None:
        draft.append("a.b", world="RML1")
        raise error

    with pytest.raises(type(error)) as caught:
        ledger.write(work)

    assert error is caught.value
    assert (0, 0) == (ledger.size, ledger.append("a.b", world="RML1").index)


def test_a_write_inside_a_write_is_refused(ledger: Ledger) -> None:
    """It would wait for itself; the message says what to use."""

    def work(draft: Draft) -> None:
        draft.append("a.b", world="RML1")
        ledger.append("a.b", world="RML1")

    with pytest.raises(InvalidInputError, match="from inside its own transaction; use the draft"):
        ledger.write(work)

    assert 0 == ledger.size


def test_64_threads_append_without_loss(ledger: Ledger) -> None:
    """Each gets the receipt of its own entry; an error spoils nobody else's."""
    outcomes: list[tuple[int, Receipt | str]] = []

    def append(number: int) -> None:
        def work(draft: Draft) -> Receipt:
            receipt = draft.append("a.b", world="RML1", facts={"number": number})
            if number % 8 == 0:
                raise LookupError(number)
            return receipt

        try:
            outcomes.append((number, ledger.write(work)))
        except LookupError as error:
            outcomes.append((number, str(error)))

    threads = [threading.Thread(target=append, args=[number]) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    receipts = {number: made for number, made in outcomes if isinstance(made, Receipt)}
    expected = {
        number: entry.id for entry in ledger.entries() for number in [entry.facts["number"]]
    }
    assert expected == {number: receipt.id for number, receipt in receipts.items()}
    assert sorted(range(56)) == sorted(
        receipt.index for receipt in receipts.values() if receipt.index is not None
    )
    assert [str(n) for n in range(0, 64, 8)] == [
        made for _, made in sorted((n, m) for n, m in outcomes if isinstance(m, str))
    ]
    assert ledger.verify().ok


# --------------------------------------------------------------------------------------- asking


def test_conditions_narrow_the_answer(ledger: Ledger, clock: FrozenClock) -> None:
    """All of them must hold; times are those of recording."""
    first = ledger.append("a.b", world="RML1", operation="x", correlation="req-1")
    clock.advance(60)
    second = ledger.append("a.c", world="RML3", operation="x", corrects=first.id)
    clock.advance(60)
    third = ledger.append("a.b", world="RML3", incident="INC-2026-0001")
    east = second.recorded_at.astimezone(timezone(timedelta(hours=9)))

    def asked(**conditions: Any) -> list[str]:
        return [entry.id for entry in ledger.entries(**conditions)]

    ids = [first.id, second.id, third.id]
    assert (ids, ids[::-1], ids[:2]) == (asked(), asked(newest_first=True), asked(limit=2))
    assert [first.id, third.id] == asked(kind="a.b")
    assert [third.id] == asked(kind="a.b", world="rml-3")
    assert [first.id, second.id] == asked(operation="x")
    assert [second.id] == asked(corrects=first.id)
    assert [third.id] == asked(incident="INC-2026-0001")
    assert [first.id] == asked(correlation="req-1")
    assert ([second.id, third.id], [first.id]) == (asked(since=east), asked(until=east))
    assert [] == asked(kind="a.b", corrects=first.id)
    assert [] == asked(since=datetime.max.replace(tzinfo=UTC)) == asked(limit=0)


def test_an_unknown_id_is_named(ledger: Ledger) -> None:
    """Also as the LookupError that a caller may expect."""
    for call in (lambda: ledger.entry(UNKNOWN), lambda: ledger.effect(UNKNOWN)):
        with pytest.raises(UnknownIdError, match=f"'{UNKNOWN}' is in this ledger") as caught:
            call()
        assert isinstance(caught.value, LookupError)


def test_an_empty_ledger_answers(ledger: Ledger) -> None:
    """Nothing everywhere, and nothing wrong."""
    assert (0, [], [], []) == (
        ledger.size,
        list(ledger.entries()),
        list(ledger.effects()),
        list(ledger.in_doubt()),
    )
    assert ledger.verify().ok


def test_a_checkpoint_is_three_lines(ledger: Ledger) -> None:
    """Origin, size and root, as C2SP writes them."""
    ledger.append("a.b", world="RML1")

    origin, size, root, rest = ledger.checkpoint().split("\n")

    assert ("example.com/test", "1", ledger.root, "") == (
        origin,
        size,
        base64.b64decode(root).hex(),
        rest,
    )


def test_origins_are_given_or_made_up() -> None:
    """Two ledgers never share one by accident."""
    with Ledger("memory:") as first, Ledger("memory:") as second:
        assert first.origin != second.origin
        assert f"Ledger('memory:', origin={first.origin!r})" == repr(first)


# --------------------------------------------------------------------------------------- erasing


def test_erasing_removes_the_value_and_records_who_and_why(ledger: Ledger) -> None:
    """The original entry and its proofs stay as they were."""
    made = ledger.append("a.b", world="RML3", personal={"email": "ada@example.com", "name": "Ada"})
    before = ledger.entry(made.id)

    receipt = ledger.erase(made.id, ["email"], by="dpo", reason="GDPR, article 17")

    entry, record = ledger.entry(made.id), ledger.entry(receipt.id)
    assert (before, {"name": "Ada"}, ("email",)) == (entry, dict(entry.personal), entry.erased())
    assert ("payload.erased", made.id, "dpo", World.RML3) == (
        record.kind,
        record.corrects,
        record.actor,
        record.world,
    )
    assert {"fields": ["email"], "reason": "GDPR, article 17"} == dict(record.facts)
    assert ledger.verify().ok


def test_what_is_erased_twice_stays_erased(ledger: Ledger) -> None:
    """What is gone is not recorded again: whoever asks once more is told when it went."""
    made = ledger.append("a.b", world="RML3", personal={"email": "a", "name": "b"})

    first, again, rest = (
        ledger.erase(made.id, names, by="dpo", reason="law")
        for names in (["email"], ["email"], ["name", "email"])
    )

    assert (first, ["name"]) == (again, ledger.entry(rest.id).facts["fields"])
    assert ({}, 3) == (dict(ledger.entry(made.id).personal), ledger.size)
    assert ledger.verify().ok


def test_what_is_not_there_is_not_erased(ledger: Ledger) -> None:
    """A field without a commitment, and an entry that nobody knows."""
    made = ledger.append("a.b", world="RML3", facts={"x": 1}, personal={"email": "a"})

    check_refused(
        ledger,
        lambda: ledger.erase(made.id, ["email", "x"], by="dpo", reason="law"),
        "has no erasable field 'x'; it has: email",
    )
    with pytest.raises(UnknownIdError):
        ledger.erase(UNKNOWN, ["email"], by="dpo", reason="law")
    assert ({"email": "a"}, 1) == (dict(ledger.entry(made.id).personal), ledger.size)


# --------------------------------------------------------------------------------------- the end


def test_a_closed_ledger_says_so_at_every_call(ledger: Ledger) -> None:
    """Closing twice is no error."""
    rows = ledger.entries()
    ledger.close()
    ledger.close()

    calls: list[Callable[[], object]] = [
        lambda: ledger.append("a.b", world="RML1"),
        lambda: ledger.write(nothing),
        lambda: list(rows),
        lambda: len(rows),
        lambda: ledger.entry(UNKNOWN),
        lambda: ledger.effect("ef_1"),
        lambda: list(ledger.effects()),
        lambda: list(ledger.in_doubt()),
        lambda: ledger.erase(UNKNOWN, ["email"], by="dpo", reason="law"),
        lambda: ledger.size,
        lambda: ledger.root,
        ledger.checkpoint,
    ]
    for call in calls:
        with pytest.raises(LedgerUnavailableError, match="the ledger is closed"):
            call()


def test_a_ledger_closes_itself() -> None:
    """Also when its block fails."""
    with pytest.raises(KeyError), Ledger("memory:") as ledger:
        raise KeyError

    with pytest.raises(RmlError, match="closed"):
        ledger.append("a.b", world="RML1")


def test_seeded_ids_and_a_frozen_clock_give_the_same_ledger_twice() -> None:
    """A rehearsal has the same root every time."""

    def rehearse() -> str:
        with Ledger(
            "memory:", origin="example.com/a", clock=FrozenClock(NOON), ids=SeededIds(1)
        ) as ledger:
            for amount in range(5):
                ledger.append("a.b", world="RML1", facts={"amount": amount})
            return ledger.checkpoint()

    assert rehearse() == rehearse()


def test_a_timeout_may_be_a_timedelta() -> None:
    """As everywhere else."""
    with rml.Ledger("memory:", timeout=timedelta(minutes=1)) as ledger:
        assert 60.0 == ledger.timeout

"""What an effect leaves in the ledger: results that come back, facts, nothing else; and erasure."""

import dataclasses
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import attrs
import pytest
from protected import Charges, doubtful, the_effect

import rml
from rml.effect.request import request
from rml.ledger.content import PERSONAL_BYTES_MAX

# Results ---------------------------------------------------------------------------------------


@dataclasses.dataclass
class Money:
    """What a nested result is made of."""

    amount: Decimal
    currency: str = "EUR"


@attrs.define
class Receipt:
    """A result with results inside."""

    id: str
    money: Money
    lines: list[Money] = attrs.field(factory=list)


class Pair(NamedTuple):
    """A named tuple."""

    left: int
    right: int


@pytest.mark.parametrize(
    "value",
    [
        None,
        0,
        False,
        "",
        [],
        (),
        {},
        b"",
        Decimal("0.00"),
        2**70,
        0.1,
        (1, [2, (3,)]),
        {"b": 1, "a": 2},
        {1: "one"},
        date(2026, 1, 1),
        datetime(2026, 1, 1, tzinfo=UTC),
        timedelta.max,
        UUID(int=1),
    ],
    ids=repr,
)
def test_results_replay_equal_and_of_the_same_type(ledger: rml.Ledger, value: Any) -> None:
    """What is false is a value too; order and precision are kept; no annotation is needed."""
    charges = Charges(value)
    first, again = charges(), charges()

    assert value is first
    assert value == again
    assert repr(value) == repr(again)
    assert charges.count == 1


@pytest.mark.parametrize(
    "value",
    [
        Receipt("r", Money(Decimal("1.50")), [Money(Decimal(0), "USD")]),
        [Pair(1, 2)],
        None,
        {"a": rml.World.RML3},
    ],
    ids=["attrs", "named tuple", "none", "enum"],
)
def test_annotated_classes_replay(ledger: rml.Ledger, value: Any) -> None:
    """Whatever the annotation names, inside lists and dicts, too."""

    @rml.idempotent("payment.charge", key="key")
    def charge(key: str) -> Receipt | list[Pair] | dict[str, rml.World] | None:
        return value  # type: ignore[no-any-return]

    charge("k")

    assert value == charge("k")
    assert repr(value) == repr(charge("k"))


def test_changing_a_returned_value_changes_no_replay(ledger: rml.Ledger) -> None:
    """Neither the first call's value nor a replay's is what is kept."""
    charges = Charges({"lines": [1]})
    for _ in range(3):
        value = charges()
        value["lines"].append(2)
        value["more"] = True

    assert {"lines": [1]} == charges()


def test_a_result_that_cannot_be_given_again_is_refused_at_definition() -> None:
    """A set has no place in JSON; the effect has not happened yet."""
    with pytest.raises(rml.DefinitionError, match=r"returns what could not be given again .*set"):

        @rml.idempotent("payment.charge", key="key")
        def charge(key: str) -> dict[str, set[int]]:
            return {}


def _deep(levels: int) -> Any:
    value: Any = ()
    for _ in range(levels):
        value = (value,)
    return value


class _Undescribed:
    """Values of this class cannot be written down."""


@pytest.mark.parametrize(
    "make",
    [
        lambda: {1, 2},
        _Undescribed,
        lambda: [1, {2}],
        lambda: "x" * (PERSONAL_BYTES_MAX + 1),
        lambda: "\ud800",
        lambda: {"\ud800": 1},
        lambda: _deep(40),
        lambda: _deep(100),
        lambda: 10**5000,
        lambda: Money(Decimal(1)),
        lambda: object.__new__(Money),
        lambda: rml.Secret("s"),
        lambda: iter([1]),
    ],
    ids=[
        "set",
        "object",
        "inner set",
        "large",
        "surrogate",
        "surrogate key",
        "deep",
        "deeper",
        "digits",
        "unnamed class",
        "missing field",
        "secret",
        "iterator",
    ],
)
def test_a_result_that_cannot_be_stored_is_done_and_not_replayable(
    ledger: rml.Ledger, make: Callable[[], Any]
) -> None:
    """The caller gets the value; nobody else can; it is never a reason to run again."""
    made: list[Any] = []

    def handler() -> Any:
        made.append(make())
        return made[0]

    charges = Charges(handler)

    assert charges() is made[0]
    assert rml.EffectState.DONE is the_effect(ledger).state
    error = charges.fail(rml.ResultUnavailableError)
    assert error.happened is True
    assert error.world is rml.World.RML3
    assert "is done" in error.message
    assert charges.count == 1
    assert [] == doubtful(ledger)


@pytest.mark.parametrize(
    "value",
    [
        "x" * (32 * PERSONAL_BYTES_MAX),
        [{"id": n} for n in range(PERSONAL_BYTES_MAX)],
        [[()] * 10**6],
        Receipt("r-1", Money(Decimal(1)), [Money(Decimal(1), "x" * 100)] * 10**5),
    ],
    ids=["text", "rows", "nested", "object"],
)
def test_what_is_far_too_large_is_not_even_written_down(
    ledger: rml.Ledger, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes seconds, in which an event loop would serve nobody else."""
    charges = Charges(value)

    def written(*_: object) -> None:
        raise AssertionError("the whole value was walked through")

    with monkeypatch.context() as patched:
        patched.setattr("rml.effect.call.to_typed", written)
        assert charges() is value

    assert rml.EffectState.DONE is the_effect(ledger).state
    assert "LIMIT" in charges.fail(rml.ResultUnavailableError).message


def test_a_large_result_replays(ledger: rml.Ledger) -> None:
    """Up to the limit that has a name."""
    value = "x" * (PERSONAL_BYTES_MAX - 1_000)
    charges = Charges(value)
    charges()

    assert value == charges()


def test_a_class_that_changed_since_is_not_replayable(ledger: rml.Ledger) -> None:
    """The effect is done all the same, and that is what the caller learns."""
    old = dataclasses.make_dataclass("Paid", [("id", str)])
    new = dataclasses.make_dataclass("Paid", [("id", str), ("amount", int)])

    def define(kind: Any) -> Callable[[str], Any]:
        @rml.idempotent("payment.charge", key="key")
        def charge(key: str) -> kind:
            return kind("p")

        return charge

    define(old)("k")

    assert old("p") == define(old)("k")
    with pytest.raises(rml.ResultUnavailableError) as caught:
        define(new)("k")
    assert caught.value.happened is True


# What is recorded ------------------------------------------------------------------------------


def test_facts_are_in_clear_and_personal_fields_beside(ledger: rml.Ledger) -> None:
    """Parameters and dotted paths; on the intent, before the effect."""

    @rml.idempotent(
        "payment.charge",
        key="key",
        facts=["amount", "body.currency", "due"],
        personal=["email", "body.name"],
        world=rml.World.RML2,
    )
    def charge(key: str, amount: Decimal, body: dict[str, str], email: str, due: date) -> None:
        (intent,) = ledger.entries(kind="effect.intent")
        facts = {k: v for k, v in intent.facts.items() if not k.startswith("rml.")}
        assert {"amount": "1.50", "body.currency": "EUR", "due": "2026-01-01"} == facts
        assert intent.personal["email"] == "ada@example.com"
        assert intent.personal["body.name"] == "Ada"
        assert {"email", "body.name", "rml.request"} == set(intent.commitments)
        assert rml.World.RML2 is intent.world

    body = {"currency": "EUR", "name": "Ada"}
    charge("k", Decimal("1.50"), body, "ada@example.com", date(2026, 1, 1))

    assert {"amount": "1.50", "body.currency": "EUR", "due": "2026-01-01"} == dict(
        the_effect(ledger).facts
    )


@pytest.mark.parametrize(
    ("options", "amount", "message"),
    [
        ({"facts": ["amount"], "exclude": ["amount"]}, 0.5, r"facts\.amount"),
        ({"facts": ["amount"]}, b"1", r"facts\.amount"),
        ({"personal": ["amount"], "exclude": ["amount"]}, {1}, r"personal\.amount"),
        ({"facts": ["amount"], "exclude": ["amount"]}, rml.Secret(1), r"facts\.amount"),
        ({"facts": ["amount"]}, "x" * 70_000, "ENTRY_BYTES_MAX"),
        ({"personal": ["amount"]}, "x" * (PERSONAL_BYTES_MAX + 1), "PERSONAL_BYTES_MAX"),
        ({"facts": ["amount.id"]}, 5, "fact amount.id cannot be read"),
    ],
    ids=["float", "bytes", "set", "secret", "large fact", "large personal", "no such path"],
)
def test_a_fact_that_cannot_be_recorded_stops_the_call(
    ledger: rml.Ledger, options: dict[str, Any], amount: object, message: str
) -> None:
    """Before the effect; the message names it, and nothing is half-written."""
    charges = Charges(**options)

    assert message.replace("\\", "") in str(charges.fail(rml.InvalidInputError, "k", amount))
    assert (0, 0) == (charges.count, ledger.size)
    assert [] == list(ledger.effects())


def test_names_of_the_librarys_own_fields_are_free(ledger: rml.Ledger) -> None:
    """What it keeps for itself has names that no parameter can have."""

    @rml.idempotent("a.b", key="key", personal=["request", "result"], facts=["generation"])
    def charge(key: str, request: str, result: str, generation: int) -> str:
        return "value"

    charge("k", "mine", "too", 7)

    (intent,) = ledger.entries(kind="effect.intent")
    assert (intent.personal["request"], intent.personal["result"]) == ("mine", "too")
    assert intent.facts["generation"] == 7
    assert charge("k", "mine", "too", 7) == "value"


def test_nothing_else_of_a_request_is_in_the_file(tmp_path: Path) -> None:
    """Not in the entries, not beside them, not in what SQLite leaves behind."""
    path = tmp_path / "ledger.db"
    with rml.Ledger(path) as ledger:
        charges = Charges("ok", ValueError("SECRET-IN-TEXT"), ledger=ledger)
        charges("key-in-clear", {"card": "SECRET-CARD-4242", "cvc": 987654321})
        charges.fail(ValueError, "other-key", "SECRET-CARD-4242")
        charges.fail(rml.FingerprintMismatchError, "key-in-clear", "SECRET-CARD-4243")
        contents = _bytes_of(tmp_path)
    contents += _bytes_of(tmp_path)

    assert b"key-in-clear" in contents
    assert b"SECRET" not in contents
    assert b"987654321" not in contents


def test_the_fingerprint_in_the_file_is_salted(tmp_path: Path) -> None:
    """The same request leaves nothing in two files by which it could be looked up."""
    path = tmp_path / "ledger.db"
    with rml.Ledger(path) as ledger:
        Charges("ok", ledger=ledger)("k", "4242")
        digest = request("payment.charge", None, "k", {"payment_id": "k", "amount": "4242"}).content
        contents = _bytes_of(tmp_path)

    assert digest.encode() not in contents


def _bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


# Erasure ---------------------------------------------------------------------------------------


def erase(ledger: rml.Ledger, kind: str, field: str) -> None:
    """Erase a field of the only entry of a kind."""
    (entry,) = ledger.entries(kind=kind)
    ledger.erase(entry.id, [field], by="dpo", reason="asked for")


def test_an_erased_result_is_done_and_not_replayable(ledger: rml.Ledger) -> None:
    """Never a reason to run again."""
    charges = Charges("value")
    charges()
    erase(ledger, "effect.done", "rml.result")

    assert "its result has been erased" in str(charges.fail(rml.ResultUnavailableError))
    assert charges.count == 1


@pytest.mark.parametrize("end", ["value", rml.ClosedError("no"), TimeoutError()], ids=repr)
def test_an_erased_request_can_be_compared_with_nothing(ledger: rml.Ledger, end: Any) -> None:
    """Neither the same request nor another is run or replayed under that key."""
    charges = Charges(end)
    if isinstance(end, BaseException):
        charges.fail(type(end))
    else:
        charges()
    for entry in list(ledger.entries()):
        if "rml.request" in entry.commitments:
            ledger.erase(entry.id, ["rml.request"], by="dpo", reason="asked for")

    charges.fail(rml.ResultUnavailableError)
    charges.fail(rml.ResultUnavailableError, "pay-1", 6)
    assert charges.count == 1


def test_an_erased_failure_stays_a_failure(ledger: rml.Ledger) -> None:
    """Its code remains."""
    charges = Charges(rml.DialogError("no", code="SOLD_OUT", action=rml.Action.START_COMPENSATION))
    charges.fail(rml.DialogError)
    erase(ledger, "effect.failed", "rml.failure")

    assert "SOLD_OUT" in str(charges.fail(rml.EffectFailedError))
    assert charges.count == 1


def test_why_there_is_no_result_tells_nothing_of_the_result(ledger: rml.Ledger) -> None:
    """The fact is in clear for ever, and the keys of a dict may be somebody's address."""
    charges = Charges({"ada@example.com": {"iban": object()}})
    charges()

    (entry,) = ledger.entries(kind="effect.done")
    why = "its result could not be recorded: NOT_ENCODABLE (EncodingError)"
    assert {"rml.no_result": why} == entry.facts
    assert why in str(charges.fail(rml.ResultUnavailableError))


class _BrokenZone(tzinfo):
    def utcoffset(self, moment: datetime | None) -> timedelta:
        raise RuntimeError("no such zone")

    def dst(self, moment: datetime | None) -> None: ...
    def tzname(self, moment: datetime | None) -> None: ...


def test_a_timezone_that_raises_is_refused_or_not_replayable(ledger: rml.Ledger) -> None:
    """As an argument before anything is done; as a result after it."""
    moment = datetime(2026, 1, 1, tzinfo=_BrokenZone())
    charges = Charges(moment)
    with pytest.raises(rml.InvalidInputError, match="argument amount"):
        charges("pay-1", moment)
    assert charges("pay-2") is moment

    charges.fail(rml.ResultUnavailableError, "pay-2")
    with pytest.raises(rml.InvalidInputError, match="at: the time's timezone"):
        ledger.append("a.b", world="RML1", at=moment)
    assert ["effect.intent", "effect.done"] == [entry.kind for entry in ledger.entries()]


@pytest.mark.parametrize("lease", [1e300, 10**400, timedelta.max, 2**63])
def test_an_endless_lease_is_a_long_one(ledger: rml.Ledger, lease: Any) -> None:
    """It overflows no calendar."""
    charges = Charges(1, 2, lease=lease, wait=lease)

    assert (1, 1, 2) == (charges(), charges(), charges("pay-2"))


def test_a_second_try_after_a_timeout_leaves_doubt(ledger: rml.Ledger) -> None:
    """That it was refused says nothing of the first one, which may have charged."""
    asked: list[int] = []

    @rml.idempotent("payment.charge", key="key")
    def charge(key: str) -> None:
        try:
            asked.append(1)
            raise TimeoutError
        except TimeoutError as error:
            if key == "refused":
                raise ConnectionRefusedError  # noqa: B904 - it must be seen without being named
            raise rml.ClosedError("could not charge") from error

    for key, kind in (("refused", ConnectionRefusedError), ("wrapped", rml.ClosedError)):
        with pytest.raises(kind):
            charge(key)
        with pytest.raises(rml.InDoubtError):
            charge(key)
    assert len(asked) == 2


def test_an_error_that_the_caller_was_handling_is_no_evidence(ledger: rml.Ledger) -> None:
    """A cache that missed before the call says nothing of the call."""
    charges = Charges(ConnectionRefusedError(), 5)
    try:
        raise KeyError("cache")
    except KeyError:
        charges.fail(ConnectionRefusedError)
        assert charges() == 5

"""Whatever is handed to a public call, it answers with an error of the library's own, or works.

The values raise when they are shown, compared, hashed, measured or read; nothing may be half done.
"""

import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import rml
from rml.world import Action, Severity, World, member_of


def _raise(*_: object) -> Any:
    raise RuntimeError("asked")


class Shown:
    """Cannot be shown."""

    __str__ = __repr__ = _raise


class Compared:
    """Cannot be compared or hashed."""

    __eq__ = _raise  # type: ignore[assignment]
    __hash__ = _raise  # type: ignore[assignment]


class Reached:
    """Has no attribute to ask for."""

    __getattr__ = _raise


class Truthless:
    """Is neither true nor false."""

    __bool__ = _raise  # type: ignore[assignment]


class Text(str):
    """Text that answers nothing about itself."""

    __slots__ = ()
    __len__ = __str__ = __eq__ = isprintable = encode = _raise  # type: ignore[assignment]
    __hash__ = str.__hash__


class Pairs(Mapping[str, Any]):
    """A mapping that cannot be read."""

    __getitem__ = __iter__ = _raise

    def __len__(self) -> int:
        return 1


class Items(Sequence[Any]):
    """A sequence that cannot be read."""

    __getitem__ = _raise

    def __len__(self) -> int:
        return 1


class Zone(tzinfo):
    """A timezone without an offset."""

    utcoffset = _raise


def _deep() -> list[Any]:
    made: list[Any] = []
    for _ in range(10_000):
        made = [made]
    return made


HOSTILE: dict[str, Callable[[], Any]] = {
    "shown": Shown,
    "compared": Compared,
    "reached": Reached,
    "truthless": Truthless,
    "text": lambda: Text("abc"),
    "mapping": Pairs,
    "sequence": Items,
    "moment": lambda: datetime(2026, 1, 1, tzinfo=Zone()),
    "first moment": lambda: datetime.min.replace(tzinfo=UTC),
    "digits": lambda: 10**5000,
    "large": lambda: 2**63,
    "float": lambda: 1e300,
    "nan": lambda: Decimal("sNaN"),
    "duration": lambda: timedelta.max,
    "deep": _deep,
    "long": lambda: "x" * 100_000,
    "surrogate": lambda: "\ud800",
    "enum": lambda: enum.Enum("E", {"A": Shown()}).A,  # type: ignore[misc, attr-defined]
    "in a list": lambda: [Shown()],
    "in a dict": lambda: {"a": Shown()},
    "a key": lambda: {Text("a"): 1},
}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[rml.Ledger]:
    """A ledger, verified when the test is over."""
    with rml.Ledger(tmp_path / "ledger.db") as made:
        yield made
        assert made.verify().problems == ()


def handler(key: Any) -> int:
    """Do nothing."""
    return 1


def defined(ledger: rml.Ledger, **options: Any) -> Callable[..., Any]:
    """Return a protected handler."""
    return rml.idempotent(
        **{"operation": "hostile.call", "key": "key", "ledger": ledger, **options}
    )(handler)


CALLS: dict[str, Callable[[rml.Ledger, Any], object]] = {
    "append kind": lambda ledger, x: ledger.append(x, world="RML1"),
    **{
        f"append {name}": lambda ledger, x, name=name: ledger.append(  # type: ignore[misc]
            "a.b", **{"world": "RML1", name: x}
        )
        for name in ("world", "facts", "personal", "at", "actor", "operation", "corrects")
    },
    "a fact": lambda ledger, x: ledger.append("a.b", world="RML1", facts={"a": x}),
    "a personal value": lambda ledger, x: ledger.append("a.b", world="RML1", personal={"a": x}),
    **{
        f"entries {name}": lambda ledger, x, name=name: list(ledger.entries(**{name: x}))  # type: ignore[misc]
        for name in ("kind", "world", "since", "operation", "newest_first", "limit")
    },
    "row": lambda ledger, x: ledger.entries()[x],
    "effects": lambda ledger, x: list(ledger.effects(state=x)),
    "effect": lambda ledger, x: ledger.effect(x),
    "write": lambda ledger, x: ledger.write(lambda _: None, timeout=x),
    "erase": lambda ledger, x: ledger.erase("x", x, by="a", reason="b"),
    **{
        f"resolve {name}": lambda ledger, x, name=name: ledger.resolve(  # type: ignore[misc]
            "ef_0", **{"happened": True, "by": "a", "reason": "b", name: x}
        )
        for name in ("happened", "by", "reason", "result")
    },
    "reconcile": lambda ledger, x: rml.reconcile(ledger=ledger, operation=x),
    "finding": lambda _, x: rml.Finding(happened=x),
    **{
        f"define {name}": lambda ledger, x, name=name: defined(ledger, **{name: x})  # type: ignore[misc]
        for name in ("operation", "key", "scope", "world", "wait", "lease", "exclude", "facts")
    },
    "call": lambda ledger, x: defined(ledger)(x),
    "lease": lambda ledger, x: defined(ledger, lease=x, wait=x)("k"),
    "open": lambda _, x: rml.Ledger(x, create=False),
    "timeout": lambda _, x: rml.Ledger("memory:", timeout=x).append("a.b", world="RML1"),
    "clock": lambda _, x: rml.Ledger("memory:", clock=x),
    "ids": lambda _, x: rml.Ledger("memory:", ids=x),
    "create": lambda _, x: rml.Ledger("memory:", create=x),
    "hooks": lambda _, x: rml.configure(hooks=x),
    "surrounded": lambda _, x: rml.surrounded(actor=x).__enter__(),
    "set clock": lambda _, x: rml.FrozenClock(x),
    "advance": lambda _, x: rml.FrozenClock().advance(x),
    **{
        f"error {name}": lambda _, x, name=name: rml.RmlError("m", **{name: x}).to_dict()  # type: ignore[misc]
        for name in ("code", "world", "action", "severity", "details", "happened", "retry_after")
    },
    "from_dict": lambda _, x: rml.RmlError.from_dict(x),
    "from_problem": lambda _, x: rml.from_problem(x),
    "problem members": lambda _, x: rml.from_problem(
        {"detail": x, "code": x, "world": x, "details": x, "status": x, "more": x}
    ),
}


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("call", CALLS)
def test_a_hostile_value_is_refused_or_does_no_harm(
    ledger: rml.Ledger, call: str, value: str
) -> None:
    """Nothing else than an RmlError comes out; a row beyond the last one is an IndexError."""
    expected: tuple[type[Exception], ...] = (rml.RmlError,)
    if call == "row":
        expected += (IndexError, TypeError)
    shown = ""
    try:
        CALLS[call](ledger, HOSTILE[value]())
    except expected as error:
        shown = str(error)
    assert len(shown.encode()) < 3_000


@pytest.mark.parametrize("kind", [World, Action, Severity])
@pytest.mark.parametrize("value", HOSTILE)
def test_what_spells_no_member_is_named(kind: Any, value: str) -> None:
    """Without asking the value for anything."""
    with pytest.raises(ValueError, match=f"is not one of the {kind.__name__} spellings; use"):
        member_of(kind, HOSTILE[value]())


def test_a_path_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    """Before anything is made there."""
    for create in (True, False):
        with pytest.raises(rml.LedgerUnavailableError, match="no ledger can be at"):
            rml.Ledger(tmp_path / ("x" * 5_000), create=create)
    assert list(tmp_path.iterdir()) == []


def test_links_in_a_circle_and_the_root_are_no_ledgers(tmp_path: Path) -> None:
    """Nor anchors; nothing is left in a state that complains when it is collected."""
    loop = tmp_path / "loop"
    loop.symlink_to(loop)

    for place in (loop, Path("/")):
        with pytest.raises(rml.RmlError) as caught:
            rml.Ledger(place)
        assert isinstance(caught.value, rml.LedgerUnavailableError | rml.NotALedgerError)
    with rml.Ledger("memory:", anchors=[rml.FileAnchor(loop)]) as ledger:
        ledger.append("a.b", world="RML3")
        with pytest.raises(rml.AnchorError):
            ledger.checkpoint()


def test_the_refusal_of_a_secret_says_what_works(ledger: rml.Ledger) -> None:
    """What it reveals can be kept erasably; the secret itself nowhere."""
    secret = rml.Secret("4242")
    for given in ({"facts": {"card": secret}}, {"personal": {"card": secret}}):
        with pytest.raises(rml.InvalidInputError):
            ledger.append("a.b", world="RML1", **given)
    with pytest.raises(rml.InvalidInputError, match="put what it reveals into personal="):
        ledger.append("a.b", world="RML1", facts={"card": secret})

    ledger.append("a.b", world="RML1", personal={"card": secret.reveal()})
    assert ["4242"] == [entry.personal["card"] for entry in ledger.entries()]

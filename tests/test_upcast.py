"""Old entries are shown in today's form; what was recorded, and what it proves, stays."""

import copy
import pickle
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from protected import Charges, the_effect

import rml
from rml import Entry, InvalidInputError, Ledger, LedgerCorruptError, NewerFormatError, UpcastError
from rml.ledger.entry import RESERVED_KINDS

KIND = "payment.charged"
OLD = {"amount": "19.99", "cents": True}
TODAY = {"amount_minor": 1999, "currency": "EUR"}


def today(entry: Entry) -> Mapping[str, Any]:
    """Show a charge as it is recorded today: minor units, and the currency that went unsaid."""
    if "amount" not in entry.facts:
        return entry.facts
    return {"amount_minor": int(entry.facts["amount"].replace(".", "")), "currency": "EUR"}


@pytest.fixture(params=["memory", "sqlite"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A ledger that holds an old charge, a new one and something else, and upcasts charges."""
    place = "memory:" if request.param == "memory" else tmp_path / "ledger.db"
    with Ledger(place, upcasters={KIND: today}) as made:
        made.append(KIND, world="RML3", facts=OLD, personal={"email": "ada@example.com"})
        made.append(KIND, world="RML3", facts={"amount_minor": 5, "currency": "SEK"})
        made.append("stock.counted", world="RML1", facts={"amount": "1.00"})
        yield made


def test_every_way_of_reading_shows_today_s_form(ledger: Ledger) -> None:
    """Entries, one entry, followers, views, rows and frames; other kinds are left alone."""
    shown = [TODAY, {"amount_minor": 5, "currency": "SEK"}, {"amount": "1.00"}]
    first = ledger.entries()[0]
    readings: list[Callable[[], Any]] = [
        ledger.entries,
        ledger.as_of(3).entries,
        lambda: ledger.follow(poll=None),
        lambda: [ledger.entry(entry.id) for entry in ledger.entries()],
        lambda: [ledger.as_of(3).entry(entry.id) for entry in ledger.entries()],
    ]

    for read in readings:
        assert shown == [dict(entry.facts) for entry in read()]
    assert TODAY == {name: ledger.entries().to_dicts()[0].get(name) for name in TODAY}
    assert (OLD, {"email": "ada@example.com"}) == (first.upcast_from, first.personal)
    assert ledger.entries(kind="stock.counted")[0].upcast_from is None


def test_frames_show_today_s_form(ledger: Ledger) -> None:
    """One column for old and new."""
    pytest.importorskip("polars")
    frame = ledger.entries(kind=KIND).to_polars()

    assert ([1999, 5], False) == (frame["amount_minor"].to_list(), "cents" in frame.columns)


def test_bytes_and_proofs_are_those_of_what_was_recorded(ledger: Ledger) -> None:
    """An entry that is shown in another form still proves itself."""
    entry = ledger.entries()[0]
    proof = ledger.prove(entry.id)

    assert b'"amount":"19.99"' in entry.to_bytes()
    checkpoint = proof.verify(entry, trusted=ledger.checkpoint())
    assert (3, True) == (checkpoint.size, ledger.verify().ok)
    assert entry.upcast({"x": 1}).to_bytes() == entry.to_bytes()


def test_a_broken_upcaster_stands_in_the_way_of_no_proof(ledger: Ledger) -> None:
    """Nor of an effect, of writing or of verifying: those read what was recorded."""
    with Ledger("memory:", upcasters={KIND: lambda entry: {}["x"]}) as broken:
        receipt = broken.append(KIND, world="RML3", facts=OLD)

        assert 0 == broken.prove(receipt.id).index
        assert [OLD] == broken.write(
            lambda draft: [dict(e.facts) for e in draft.entries(kind=KIND)]
        )
        assert broken.verify().ok


def test_an_upcast_entry_travels(ledger: Ledger) -> None:
    """Pickled or copied, it shows today's form, and has the recorded bytes."""
    entry = ledger.entries()[0]

    for twin in (pickle.loads(pickle.dumps(entry)), copy.deepcopy(entry), copy.copy(entry)):
        assert (entry, entry.to_bytes(), 0) == (twin, twin.to_bytes(), twin.index)
        assert (TODAY, OLD) == (dict(twin.facts), twin.upcast_from)


@pytest.mark.parametrize(
    ("upcaster", "cause"),
    [
        (lambda entry: entry.facts["gone"], KeyError),
        (lambda entry: None, InvalidInputError),
        (lambda entry: {"amount": 1.5}, InvalidInputError),
        (lambda entry: {5: "x"}, InvalidInputError),
        (lambda entry: {"customer": "\ud800"}, InvalidInputError),
    ],
    ids=["raises", "returns nothing", "a float", "no name", "half a character"],
)
def test_an_upcaster_that_fails_names_the_entry(
    upcaster: Callable[[Entry], Any], cause: type[Exception]
) -> None:
    """Its kind, its place and its id, and no fact of it; the cause is behind the error."""
    with Ledger("memory:", upcasters={KIND: upcaster}) as ledger:
        ledger.append("stock.counted", world="RML1")
        receipt = ledger.append(KIND, world="RML3", facts={"amount": "secret"})
        feed = ledger.follow(poll=None)

        for read in (
            lambda: list(ledger.entries()),
            lambda: ledger.entry(receipt.id),
            lambda: list(feed),
        ):
            with pytest.raises(
                UpcastError, match=rf"'{KIND}' failed at entry 1, {receipt.id}"
            ) as e:
                read()
            assert isinstance(e.value.__cause__, cause)
            assert "secret" not in e.value.message
        expected = {"entry": receipt.id, "index": 1, "kind": KIND}
        assert (expected, 1) == (e.value.details, feed.position.size)


@pytest.mark.parametrize(
    ("upcasters", "reason"),
    [
        (5, "upcasters must be a mapping"),
        ({"charged": today}, "kind 'charged' must be dotted"),
        ({KIND: "today"}, "must be a function"),
        *(({f"{word}.x": today}, "the library records it") for word in sorted(RESERVED_KINDS)),
    ],
)
def test_what_is_no_upcaster_is_refused(upcasters: Any, reason: str) -> None:
    """Before a ledger is opened; the library's own kinds keep their meaning."""
    with pytest.raises(InvalidInputError, match=reason):
        Ledger("memory:", upcasters=upcasters)


def test_a_coroutine_function_is_no_upcaster() -> None:
    """Reading waits for nothing."""

    async def later(entry: Entry) -> Mapping[str, Any]:
        return entry.facts

    with pytest.raises(InvalidInputError, match="must be a function"):
        Ledger("memory:", upcasters={KIND: later})  # type: ignore[dict-item]


def test_effects_are_as_they_were_recorded(ledger: Ledger) -> None:
    """What a key has led to depends on no upcaster."""
    charges = Charges(facts=("amount",), ledger=ledger)
    charges("pay-1", 5)
    charges("pay-1", 5)

    assert (1, {"amount": 5}) == (charges.count, the_effect(ledger).facts)


# ------------------------------------------------------------------------------- the format


@pytest.mark.parametrize("name", ["facts", "commitments", "index", "personal", "upcast_from"])
def test_a_header_cannot_pretend_to_be_more(name: str) -> None:
    """What is no header field, but a part of an entry all the same, is refused there."""
    with Ledger("memory:") as ledger:
        data = ledger.entry(ledger.append(KIND, world="RML3", facts=OLD).id).to_bytes()

    with pytest.raises(LedgerCorruptError, match="cannot be read"):
        Entry.from_bytes(data.replace(b'"at":', f'"{name}":{{}},"at":'.encode()))


def test_a_later_format_is_refused_wherever_it_is_read(tmp_path: Path) -> None:
    """A reader that does not know what an entry means does not guess; others are still read."""
    path = tmp_path / "ledger.db"
    with Ledger(path) as ledger:
        for count in range(2):
            ledger.append("stock.counted", world="RML1", facts={"count": count})
    connection = sqlite3.connect(path)
    connection.execute("DROP TRIGGER entries_no_update")
    connection.execute(
        "UPDATE entries SET bytes = CAST(replace(bytes, 'rml/1', 'rml/2') AS BLOB) WHERE idx = 1"
    )
    connection.commit()
    connection.close()

    with Ledger(path) as ledger:
        feed = iter(ledger.follow(poll=None))
        for read in (
            lambda: list(ledger.entries()),
            lambda: next(feed),
            lambda: list(ledger.as_of(2).entries()),
        ):
            with pytest.raises(NewerFormatError, match=r"'rml/2', .* reads 'rml/1'; upgrade rml"):
                read()
        assert [0] == [entry.index for entry in ledger.as_of(1).entries()]
        assert isinstance(ledger.verify(), rml.Verification)

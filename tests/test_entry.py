"""Format rml/1 to the byte: what is written, what is read, and what is refused."""

import copy
import json
import pickle
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import attrs
import pytest

from rml import Entry, InvalidInputError, LedgerCorruptError, LimitError, NewerFormatError, World
from rml.clock import SeededIds, parse_utc
from rml.ledger.entry import (
    COLUMNS,
    ENTRY_BYTES_MAX,
    check_kind,
    check_text,
    commit,
    flaw_of,
    id_matches,
    leaf_hash,
    seal,
    settled,
)
from rml.ledger.tree import Frontier

MOMENT = datetime(2026, 11, 20, 19, tzinfo=UTC)
OURS = Path(__file__).parent / "vectors"
BYTES = json.loads((OURS / "entry_bytes.json").read_text("utf-8"))
FIELDS = json.loads((OURS / "entry_fields.json").read_text("utf-8"))
REFUSED = json.loads((OURS / "entry_refused.json").read_text("utf-8"))


def built(given: dict[str, Any]) -> Entry:
    """The entry that a vector describes."""
    header = dict(given["header"])
    header |= {name: parse_utc(header[name]) for name in ("at", "recorded_at")}
    header["world"] = World(header["world"])
    return Entry(**header, facts=given["facts"], commitments=given["commitments"])


def entry(**changes: Any) -> Entry:
    """A small entry, with changes."""
    plain: dict[str, Any] = {
        "id": SeededIds().new(MOMENT),
        "kind": "payment.refund",
        "origin": "example.com/ledger",
        "world": World.RML3,
        "at": MOMENT,
        "recorded_at": MOMENT,
    }
    return Entry(**(plain | changes))


# ------------------------------------------------------------------------------ golden vectors


@pytest.mark.parametrize("given", BYTES["entries"], ids=lambda given: given["name"])
def test_an_entry_has_the_bytes_of_the_vector(given: dict[str, Any]) -> None:
    """Bytes and leaf hash are for ever; the same entry is read from them, and nothing is wrong."""
    data = given["text"].encode()
    made = built(given)

    assert (data, given["leaf"]) == (made.to_bytes(), leaf_hash(data).hex())
    assert made == Entry.from_bytes(data)
    assert (None, True) == (flaw_of(made), id_matches(made))


def test_the_entries_of_the_vector_are_the_leaves_of_one_tree() -> None:
    """After each entry, the root is the vector's."""
    frontier = Frontier()
    roots = [frontier.root().hex()]
    for given in BYTES["entries"]:
        frontier.add(leaf_hash(given["text"].encode()))
        roots.append(frontier.root().hex())

    assert BYTES["roots"] == roots


@pytest.mark.parametrize("given", FIELDS["fields"], ids=lambda given: given["digest"][:8])
def test_a_commitment_has_the_digest_of_the_vector(given: dict[str, Any]) -> None:
    """Salt, name and value are bound together, whatever JSON the value is."""
    assert given["digest"] == commit(given["salt"], given["name"], given["value"])


@pytest.mark.parametrize("given", REFUSED["refused"], ids=lambda given: given["name"])
def test_what_is_no_entry_is_told_from_one(given: dict[str, Any]) -> None:
    """It is not read, or has a flaw, or does not come back as the bytes that it was."""
    data = given["text"].encode()
    try:
        read = Entry.from_bytes(data)
        wrong = flaw_of(read) or (None if data == read.to_bytes() else "other bytes")
    except (LedgerCorruptError, InvalidInputError) as error:
        wrong = error.message

    assert wrong


def test_a_later_format_is_told_apart_from_damage() -> None:
    """Whoever meets it needs an upgrade, not an investigation."""
    with pytest.raises(NewerFormatError, match=r"has the format 'rml/2', .* upgrade rml"):
        Entry.from_bytes(REFUSED["later"].encode())


@pytest.mark.parametrize("data", [b"\xff\xfe", b"null", b"5", b'["rml/1"]', b"[" * 100_000])
def test_bytes_that_are_no_entry_name_their_index(data: bytes) -> None:
    """An error about entry 7 says so."""
    with pytest.raises(LedgerCorruptError, match="the entry at index 7 cannot be read"):
        Entry.from_bytes(data, index=7)


# ------------------------------------------------------------------------------------- an entry


def test_columns_are_the_header_without_the_origin() -> None:
    """What a store keeps beside the bytes is in the bytes, field for field."""
    fields = [f.name for f in attrs.fields(Entry)]
    beside = {"facts", "commitments", "index", "personal", "upcast_from"}
    header = [n for n in fields if n not in beside]

    assert [name for name in header if name != "origin"] == list(COLUMNS)


def test_a_store_is_given_the_header_s_values() -> None:
    """Texts as they are in the bytes, and nothing where there is nothing to say."""
    sealed = entry(attempt=2, key="pay-42").seal()
    values = dict(zip(COLUMNS, sealed.columns, strict=True))

    expected = {"kind": "payment.refund", "at": "2026-11-20T19:00:00.000000Z", "attempt": 2}
    assert expected == {name: values[name] for name in expected}
    assert (None, leaf_hash(sealed.data)) == (values["actor"], sealed.leaf)


def test_a_moment_of_another_zone_has_the_same_bytes() -> None:
    """Two clerks in two zones record one moment."""
    east = MOMENT.astimezone(timezone(timedelta(hours=5, minutes=30)))

    assert entry().to_bytes() == entry(at=east).to_bytes()


def test_index_and_kept_values_are_not_in_the_bytes() -> None:
    """Where an entry stands, and what is erased beside it, changes neither bytes nor equality."""
    beside = entry(index=7, personal={"email": "ada@example.com"})

    assert (entry().to_bytes(), entry()) == (beside.to_bytes(), beside)


def test_the_largest_entry_is_65535_bytes() -> None:
    """One byte more does not fit the bundles of a transparency log."""
    room = ENTRY_BYTES_MAX - len(entry(facts={"text": ""}).to_bytes())

    assert ENTRY_BYTES_MAX == len(entry(facts={"text": "x" * room}).to_bytes())
    with pytest.raises(LimitError, match=r"is 65536 bytes, the limit is 65535 \(ENTRY_BYTES_MAX\)"):
        entry(facts={"text": "x" * (room + 1)}).to_bytes()


def test_a_fact_without_a_form_is_named_as_its_owner_knows_it() -> None:
    """Not by its place in an array that the caller has never seen."""
    with pytest.raises(InvalidInputError, match=r"^the text at facts\.note\[0\] holds half of a"):
        entry(facts={"note": ["\ud800"]}).to_bytes()


def test_erased_fields_are_those_without_a_value() -> None:
    """The commitment stays and says that there was something."""
    digests = {"email": "a" * 64, "name": "b" * 64}

    assert ("email",) == entry(commitments=digests, personal={"name": "Ada"}).erased()


def test_an_entry_cannot_be_changed() -> None:
    """Neither its fields nor its facts."""
    made = entry(facts={"amount": 1})

    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        made.kind = "payment.charge"  # type: ignore[misc]
    with pytest.raises(TypeError):
        made.facts["amount"] = 2  # type: ignore[index]


def test_an_entry_survives_copies_pickles_and_sets() -> None:
    """It goes to worker processes and into sets, with its index and the values beside it."""
    made = entry(facts={"a": [1]}, commitments={"email": "a" * 64}, index=3, personal={"email": 1})

    for twin in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made), copy.copy(made)):
        assert (made, 3, {"email": 1}) == (twin, twin.index, dict(twin.personal))
        assert {made} == {made, twin}


def test_what_was_kept_beside_is_read_with_the_entry() -> None:
    """Values come without their salts."""
    data = entry(commitments={"email": "a" * 64}).to_bytes()

    read = Entry.from_bytes(data, personal=b'{"email":["AAAAAAAAAAAAAAAAAAAAAA",{"b":1.0}]}')

    assert {"email": {"b": 1.0}} == dict(read.personal)


@pytest.mark.parametrize("beside", [b"", b"null", b"[]", b'{"email":1}', b'{"email":["salt"]}'])
def test_unreadable_values_beside_an_entry_are_corruption(beside: bytes) -> None:
    """They never look like an erasure."""
    with pytest.raises(LedgerCorruptError):
        Entry.from_bytes(entry().to_bytes(), personal=beside)


@pytest.mark.parametrize(
    ("expected", "changes"),
    [
        (True, {}),
        (False, {"recorded_at": MOMENT + timedelta(milliseconds=1)}),
        (True, {"recorded_at": MOMENT + timedelta(microseconds=999)}),
        (True, {"at": MOMENT - timedelta(days=1)}),
    ],
)
def test_an_id_belongs_to_the_moment_of_recording(expected: bool, changes: dict[str, Any]) -> None:
    """To the millisecond."""
    assert expected is id_matches(entry(**changes))


def test_a_clock_before_1970_makes_no_false_witness() -> None:
    """An id has no sign; its milliseconds wrap around as the writer's did."""
    early = datetime(1969, 12, 31, 23, tzinfo=UTC)

    assert id_matches(entry(id=SeededIds().new(early), recorded_at=early))


def test_a_commitment_hides_the_value_behind_its_salt() -> None:
    """Another salt, name or value gives another digest."""
    digests = {
        commit(*given) for given in [("s", "n", 1), ("t", "n", 1), ("s", "m", 1), ("s", "n", 2)]
    }

    assert 4 == len(digests)


def test_sealing_takes_the_bytes_beside_as_they_are() -> None:
    """What is erasable is in no hash."""
    made = entry()
    with_bytes = seal(made.header(), {}, {}, b"{}")

    assert (made.to_bytes(), b"{}") == (with_bytes.data, with_bytes.personal)


# ------------------------------------------------------------------------------------ its words


@pytest.mark.parametrize("kind", ["a.b", "payment.refund", "a1_2.b_c.d", "a." + "b" * 61])
def test_a_kind_is_dotted_words(kind: str) -> None:
    """Two words or more, 63 characters at most."""
    assert kind == check_kind(kind)


@pytest.mark.parametrize(
    "kind",
    [
        "",
        "a",
        "a.",
        ".a",
        "a..b",
        "A.b",
        "a b.c",
        "1.a",
        "_a.b",
        "ä.b",
        "a.b\n",
        "a." + "b" * 62,
        5,
        None,
    ],
)
def test_any_other_kind_is_refused(kind: object) -> None:
    """The message shows it, and one that would do."""
    with pytest.raises(InvalidInputError, match=r"must be dotted lower-case words, such as 'pay"):
        check_kind(kind)


@pytest.mark.parametrize("text", ["x", "x" * 255, "Zoë Müller 😀", "a b"])
def test_a_header_takes_printable_text(text: str) -> None:
    """Any language, up to 255 characters."""
    assert text == check_text("actor", text)


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("actor has 0 characters; give 1 to 255", ""),
        ("actor has 256 characters; give 1 to 255", "x" * 256),
        ("actor 'a\\\\nb' holds characters that cannot be printed", "a\nb"),
        ("actor 'a\\\\x00' holds characters that cannot be printed", "a\0"),
        ("actor '\\\\ud800' holds characters that cannot be printed", "\ud800"),
        ("actor '\\\\u202e' holds characters that cannot be printed", "\u202e"),
        ("actor must be text, not int", 5),
        ("actor must be text, not NoneType", None),
        ("actor must be text, not bytes", b"x"),
    ],
)
def test_any_other_text_is_refused(reason: str, text: object) -> None:
    """No control characters, no half surrogates, no text that turns others around."""
    with pytest.raises(InvalidInputError, match=reason):
        check_text("actor", text)


def test_what_is_kept_beside_is_not_shown() -> None:
    """An entry is printed into logs, which nobody erases."""
    made = attrs.evolve(entry(facts={"amount": 7}), personal={"email": "ada@example.com"})

    assert "ada" not in f"{made} {made!r} {[made]}"
    assert "'amount': 7" in repr(made)


@pytest.mark.parametrize(
    ("expected", "value"),
    [
        (5, 5.0),
        (0, -0.0),
        (2**53 - 1, float(2**53 - 1)),
        ([1, {"a": [2]}], [1.0, {"a": (2.0,)}]),
    ],
)
def test_a_whole_number_is_kept_as_an_integer(expected: object, value: object) -> None:
    """Its canonical form is the same, so nothing else could tell them apart."""
    assert json.dumps(expected) == json.dumps(settled(value))
    assert commit("salt", "x", expected) == commit("salt", "x", value)


@pytest.mark.parametrize("value", [1, 0.5, 2.0**53, 1e300, "1.0", None, True, [1, {"a": (1.5,)}]])
def test_any_other_value_is_kept_as_it_is(value: object) -> None:
    """The very same object."""
    assert settled(value) is value


class _Odd(str):
    """Text that answers nothing about itself."""

    __slots__ = ()

    def __len__(self) -> int:
        raise RuntimeError

    __str__ = isprintable = __repr__ = __len__  # type: ignore[assignment]


def test_text_of_a_class_of_its_own_is_read_as_text() -> None:
    """Whatever the class would answer."""
    assert type(check_text("actor", _Odd("ada"))) is str
    assert check_kind(_Odd("a.b")) == "a.b"


class _Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    "kind", [_Unshowable(), 10**5000, [_Unshowable()], _Odd("x")], ids=range(4)
)
def test_a_kind_that_cannot_be_shown_is_refused_all_the_same(kind: object) -> None:
    """The refusal is the library's own."""
    with pytest.raises(InvalidInputError, match="must be dotted"):
        check_kind(kind)

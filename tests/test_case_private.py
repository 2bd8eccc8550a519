"""A private case: not in lists that everybody sees, and who read its evidence is known."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from casework import through
from click.testing import CliRunner

import rml
from rml.cli import main
from rml.incident.case import Case
from rml.incident.casebook import Casebook

TITLE = "keys were leaked"


@pytest.fixture
def book() -> Casebook:
    """Return the casebook of a ledger in memory, with a case that is not private."""
    ledger = rml.Ledger("memory:", clock=rml.FrozenClock("2026-11-21T03:00:00Z"))
    rml.escalate("Possible double charge", ledger=ledger)
    return Casebook(ledger)


@pytest.fixture
def case(book: Casebook) -> Case:
    """Return a private case."""
    case = book[rml.escalate(TITLE, criteria=["security"], ledger=book.ledger).id]
    case.set_private(private=True, by="ann", reason="not mended yet")
    return case


def test_it_is_left_out_of_lists(book: Casebook, case: Case) -> None:
    """A prompt names its id alone; who asks for private cases gets them."""
    assert TITLE not in f"{book!r}{book._repr_html_()}"
    assert case.id in repr(book)
    assert [case.id] == [one.id for one in book.cases(private=True)]
    assert case.id not in [one.id for one in book.cases(private=False)]
    assert case.id in [one.id for one in book.cases()]

    case.set_private(private=False, by="ann", reason="mended")
    assert TITLE in repr(book)
    assert 2 == len(book.cases(private=False))


def test_private_is_yes_or_no(case: Case) -> None:
    """A text such as "no" would count as yes."""
    with pytest.raises(rml.InvalidInputError, match="private is 'no'"):
        case.set_private("no", by="ann", reason="x")  # type: ignore[arg-type]


def test_who_reads_evidence_is_recorded(book: Casebook, case: Case) -> None:
    """With what for, also once it is closed; what is no evidence of the case is not read."""
    through(case).close(by="ann")
    opened = book.ledger.entries(incident=case.id)[0]
    assert opened == case.read_evidence(opened.id, by="bob", reason="for the regulator")
    told = book.ledger.entries(incident=case.id)[-1]
    assert "incident.evidence_read" == told.kind
    assert ("bob", opened.id) == (told.actor, told.facts["entry"])

    other = book["INC-2026-0001"].entries[0].id
    size = book.ledger.size
    for unknown in (other, "nothing"):
        with pytest.raises(rml.UnknownIdError, match="no evidence"):
            case.read_evidence(unknown, by="bob", reason="x")
    assert size == book.ledger.size


LOOKS: dict[str, Callable[[Case], object]] = {
    "read": lambda case: case.read(),
    "title": lambda case: case.title,
    "timeline": lambda case: case.timeline,
    "entries": lambda case: case.entries,
    "effects": lambda case: list(case.effects),
    "yaml": lambda case: case.to_yaml(),
    "html": lambda case: case.to_html(),
    "missing": lambda case: case.missing(),
    "remarks": lambda case: case.remarks,
    "metrics": lambda case: case.metrics,
    "containment": lambda case: case.containment,
    "joined": lambda case: case.timeline_from(),
    "recount": lambda case: case.recount("01a1fc0a-0000-7000-8000-000000000000"),
}


@pytest.mark.parametrize("look", LOOKS)
def test_nobody_reads_it_who_does_not_say_so(book: Casebook, case: Case, look: str) -> None:
    """Every look at a private case goes through one door, and none leaves a record behind."""
    size = book.ledger.size

    with pytest.raises(rml.PrivateCaseError, match=f"{case.id} is private: say who reads it"):
        LOOKS[look](case)

    assert size == book.ledger.size
    assert TITLE not in f"{case!r}{case._repr_html_()}"


def test_a_reader_is_recorded_once_before_they_see_it(book: Casebook, case: Case) -> None:
    """One entry for each case that they read, and none for those that are not private."""
    mine = book.as_reader("rosa", reason="the regulator asks")
    assert 2 == len([one.title for one in mine])
    seen = mine[case.id]

    assert "evidence_read" == seen.timeline[-1].type
    assert TITLE in repr(seen)
    assert TITLE in seen.to_html()
    (told,) = book.ledger.entries(kind="incident.evidence_read")
    opened = book.ledger.entries(incident=case.id)[0]
    assert (case.id, "rosa", opened.id, "the regulator asks") == (
        told.incident,
        told.actor,
        told.facts["entry"],
        told.facts["reason"],
    )
    list(book.as_reader("tom", reason="an audit").cases(private=True))
    assert 1 == len(book.ledger.entries(kind="incident.evidence_read"))


def test_what_cannot_be_recorded_is_not_shown(
    book: Casebook, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger that is read-only says so, and keeps its private cases to itself."""

    def write(*_: object, **__: object) -> None:
        raise rml.LedgerUnavailableError("the ledger is read-only")

    monkeypatch.setattr(rml.Ledger, "write", write)
    reader = book.as_reader("rosa", reason="the regulator asks")

    with pytest.raises(rml.PrivateCaseError, match="cannot be recorded: the ledger is read-only"):
        reader[case.id].read()
    assert TITLE not in repr(reader[case.id])


def test_steps_need_no_reader(book: Casebook, case: Case) -> None:
    """Each of them names who takes it."""
    case.contain("keys revoked", by="ann", lever="other:revoked")

    assert "ann" == book.ledger.entries(incident=case.id)[-1].actor


def test_tables_and_numbers_leave_its_words_out(book: Casebook, case: Case) -> None:
    """It is counted, and nobody is shown what it is about."""
    rows = book.cases().to_dicts()

    assert [None] == [row["title"] for row in rows if row["id"] == case.id]
    assert 2 == book.metrics().cases
    assert 0 == len(book.ledger.entries(kind="incident.evidence_read"))


def test_the_shell_leaves_it_out(tmp_path: Path) -> None:
    """`rml cases` shows private cases with --private only."""
    path = tmp_path / "a.db"
    with rml.Ledger(path, clock=rml.FrozenClock("2026-11-21T03:00:00Z")) as ledger:
        rml.escalate(TITLE, ledger=ledger)

    def run(*args: str) -> str:
        result = CliRunner().invoke(main, ["--ledger", str(path), *args])
        assert 0 == result.exit_code, result.output
        return result.stdout

    run("case", "INC-2026-0001", "private", "--by", "ann", "--reason", "a leak")
    assert ("no cases\n", []) == (run("cases"), json.loads(run("cases", "--json")))
    assert TITLE in run("cases", "--private", "--by", "rosa", "--reason", "the regulator")
    run("case", "INC-2026-0001", "private", "--off", "--by", "ann", "--reason", "mended")
    assert TITLE in run("cases")


def test_the_shell_records_who_reads_it(tmp_path: Path) -> None:
    """Nobody is shown a private case who does not say who they are, and what for."""
    path = tmp_path / "a.db"
    with rml.Ledger(path) as ledger:
        one = rml.escalate(TITLE, ledger=ledger)
        Casebook(ledger)[one.id].set_private(private=True, by="ann", reason="a leak")
        size = ledger.size
    reader = ("--by", "rosa", "--reason", "the regulator")

    def run(*args: str, code: int = 0) -> str:
        result = CliRunner().invoke(main, ["--ledger", str(path), *args])
        assert code == result.exit_code, result.output
        return result.output

    shown = ([], ["show"], ["show", "--json"], ["yaml"], ["html"], ["timeline"])
    for words in shown:
        refused = run("case", one.id, *words, code=2)
        assert TITLE not in refused
        assert "--reason" in refused
    for words in (("show", one.id), ("show", one.entry), ("show", "0")):
        assert TITLE not in run(*words, code=2)
    for words in shown:
        assert TITLE in run("case", one.id, *words, *reader)
    assert TITLE in run("case", one.id, "evidence", one.entry, *reader)

    with rml.Ledger(path) as ledger:
        told = ledger.entries(kind="incident.evidence_read")
        assert [("rosa", one.entry)] * 7 == [(e.actor, e.facts["entry"]) for e in told]
        assert size + 7 == ledger.size


@pytest.mark.parametrize("words", ["missing", "metrics", "remarks", "schedule", "containment"])
def test_the_shell_records_who_asks_about_it(tmp_path: Path, words: str) -> None:
    """What is missing, and how late it came, tells of a leak as well."""
    path = tmp_path / "a.db"
    with rml.Ledger(path) as ledger:
        one = rml.escalate(TITLE, ledger=ledger)
        Casebook(ledger)[one.id].set_private(private=True, by="ann", reason="a leak")
    command = ["--ledger", str(path), "case", one.id, words]

    assert 2 == CliRunner().invoke(main, command).exit_code
    asked = CliRunner().invoke(main, [*command, "--by", "rosa", "--reason", "the regulator"])

    assert asked.exit_code in (0, 1)
    with rml.Ledger(path) as ledger:
        assert ["rosa"] == [e.actor for e in ledger.entries(kind="incident.evidence_read")]


def test_what_goes_past_the_casebook_says_nothing_or_is_recorded(tmp_path: Path) -> None:
    """`rml tail` leaves out what it says; a bundle is made for somebody who says what for."""
    path, key, bundle = tmp_path / "a.db", tmp_path / "a.key", str(tmp_path / "case.zip")
    with rml.Ledger(path) as ledger:
        one = rml.escalate(TITLE, ledger=ledger)
        Casebook(ledger)[one.id].set_private(private=True, by="ann", reason="a leak")

    def run(*args: str, code: int = 0) -> str:
        result = CliRunner().invoke(main, ["--ledger", str(path), *args])
        assert code == result.exit_code, result.output
        return result.output

    for words in (["tail"], ["tail", "--json"], ["tail", "--cursor", str(tmp_path / "c")]):
        told = run(*words)
        assert one.id in told
        assert TITLE not in told
        assert "private" in told

    run("keygen", str(key))
    export = ("export", "bundle", one.id, bundle, "--key", str(key))
    assert "--reason" in run(*export, code=2)
    assert not Path(bundle).exists()
    run(*export, "--by", "rosa", "--reason", "the regulator")
    with rml.Ledger(path) as ledger:
        assert ["rosa"] == [e.actor for e in ledger.entries(kind="incident.evidence_read")]


@pytest.fixture
def rotated(tmp_path: Path) -> tuple[Path, str]:
    """Return a ledger and an effect, with an entry of its private case that tells too much."""
    path = tmp_path / "a.db"
    with rml.Ledger(path) as ledger, rml.use(ledger=ledger), rml.surrounded(correlation="req-1"):

        @rml.idempotent("key.rotate", key="key")
        def rotate(key: str) -> None:
            raise TimeoutError

        with pytest.raises(TimeoutError):
            rotate("k-1")
        (effect,) = ledger.in_doubt()
        case = Casebook(ledger)[str(effect.incident)]
        case.set_private(private=True, by="ann", reason="a leak")
        ledger.resolve(effect.id, happened=True, by="ann", reason="seen", result=None)
        told = {"facts": {"detail": TITLE}, "incident": case.id, "corrects": effect.id}
        ledger.append("note.made", world="RML3", **told)
    return path, effect.id


@pytest.mark.parametrize("json_too", [(), ("--json",)], ids=["text", "json"])
@pytest.mark.parametrize("by", ["id", "key", "request"])
def test_an_effect_is_shown_without_what_its_case_says(
    rotated: tuple[Path, str], by: str, json_too: tuple[str, ...]
) -> None:
    """As `rml tail` shows its entries."""
    path, effect = rotated
    name = {"id": effect, "key": "k-1", "request": "req-1"}[by]

    result = CliRunner().invoke(main, ["--ledger", str(path), "show", name, *json_too])

    assert (0, "") == (result.exit_code, result.stderr)
    assert effect in result.stdout
    assert "private" in result.stdout
    assert TITLE not in result.stdout


def test_its_lessons_are_counted_and_not_told(book: Casebook, case: Case) -> None:
    """Those of the cases that everybody may read are told if more than one taught them."""
    none = ["none - it was seen at once"]
    rml.escalate("A third one", ledger=book.ledger)
    for one in book:
        lesson = {"technical": ["Keys leak", "Look twice"], "process": none, "governance": none}
        one.learn(**lesson, by="ann", override="a drill")
    assert {"keys leak": 2, "look twice": 2} == book.metrics().repeated_lessons

    book["INC-2026-0003"].set_private(private=True, by="ann", reason="a leak")
    assert {} == book.metrics().repeated_lessons
    assert 3 == book.metrics().cases

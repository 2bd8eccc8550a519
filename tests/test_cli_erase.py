"""`rml erase`: asked for, confirmed, and told what became of it."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import rml
from rml.cli import main

BY = ["--by", "rosa", "--reason", "request 2026-118"]


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """A ledger with two customers' charges, one of them in doubt, and a note."""
    path = tmp_path / "shop.db"
    with rml.Ledger(path, clock=rml.FrozenClock("2026-11-20T19:00:00Z")) as ledger:

        @rml.idempotent(
            "payment.charge",
            key="key",
            facts=("customer",),
            personal=("email",),
            ledger=ledger,
        )
        def charge(key: str, customer: Any, email: str) -> str:
            if key == "lost":
                raise TimeoutError
            return email

        charge("a", "c-7", "ada@example.com")
        charge("b", 7, "bob@example.com")
        with pytest.raises(TimeoutError):
            charge("lost", "c-7", "ada@example.com")
    yield path
    with rml.Ledger(path) as ledger:
        assert () == ledger.verify().problems


def run(path: Path, *args: str) -> Result:
    """Run the command on the ledger."""
    return CliRunner().invoke(main, ["erase", *args, *BY, "--ledger", str(path)])


def kept(path: Path) -> int:
    """How many values are kept."""
    with rml.Ledger(path) as ledger:
        return sum(len(entry.personal) for entry in ledger.entries())


def effect_of(path: Path, key: str) -> str:
    """Return an effect's id."""
    with rml.Ledger(path) as ledger:
        return ledger.effects(key=key)[0].id


def test_fields_of_an_effect(path: Path) -> None:
    """Beside all of its entries that have them."""
    effect = effect_of(path, "a")

    result = run(path, effect.upper(), "rml.request", "email", "--yes")

    assert (0, "erased 3 fields of 2 entries\n") == (result.exit_code, result.stdout)
    again = run(path, effect, "rml.request", "--yes")
    assert (0, "nothing was left to be erased\n") == (again.exit_code, again.stdout)


def test_fields_of_an_entry_as_json(path: Path) -> None:
    """For scripts."""
    with rml.Ledger(path) as ledger:
        (entry, *_) = ledger.entries()

    result = run(path, entry.id, "email", "--yes", "--json")

    assert {"entries": 1, "fields": 1, "kept": []} == json.loads(result.stdout)


def test_fields_of_the_entry_at_a_place(path: Path) -> None:
    """The same number as `rml tail` shows and `rml show` takes."""
    result = run(path, "0", "email", "--yes")
    beyond = run(path, "999", "email", "--yes")

    assert (0, "erased 1 field of 1 entry\n") == (result.exit_code, result.stdout)
    assert (2, "") == (beyond.exit_code, beyond.stdout)
    assert "there is no entry 999: the ledger has" in beyond.stderr


def test_a_subject(path: Path) -> None:
    """All of it but what has not ended, which is named; a second time there is nothing."""
    lost, before = effect_of(path, "lost"), kept(path)

    result = run(path, "--subject", "customer=c-7", "--yes")

    assert 0 == result.exit_code
    assert "erased 5 fields of 3 entries\n" in result.stdout
    assert f"  {lost}\n" in result.stdout
    assert before - 5 == kept(path)
    again = json.loads(run(path, "--subject", "customer=c-7", "--yes", "--json").stdout)
    assert {"entries": 0, "fields": 0, "kept": [lost]} == again


def test_a_subject_by_a_number_and_some_fields(path: Path) -> None:
    """A value that is no text is written as JSON."""
    for subject, expected in (("customer=7", 0), ("customer:=7", 1)):
        result = run(path, "email", "--subject", subject, "--yes", "--json")
        assert expected == json.loads(result.stdout)["fields"]


@pytest.mark.parametrize(
    ("reason", "args"),
    [
        ("name an entry and its fields", ["--yes"]),
        ("name an entry and its fields", ["ef_1", "--yes"]),
        ("is not FACT=VALUE", ["--subject", "customer", "--yes"]),
        ("'--subject'", ["--subject", "customer:=c-7", "--yes"]),
        ("no entry or effect 'ef_1'", ["ef_1", "email", "--yes"]),
        ("say --yes", ["--subject", "customer=c-7"]),
    ],
    ids=["nothing", "no field", "no value", "no JSON", "unknown", "nobody to ask"],
)
def test_what_is_not_clear_erases_nothing(path: Path, reason: str, args: list[str]) -> None:
    """One line says what is missing."""
    before = kept(path)

    result = run(path, *args)

    assert (2, "", 1) == (result.exit_code, result.stdout, result.stderr.count("\n"))
    assert reason in result.stderr
    assert before == kept(path)


class Keyboard(io.StringIO):
    """A person at a terminal."""

    def isatty(self) -> bool:
        """Yes."""
        return True


@pytest.mark.parametrize(("typed", "status"), [("erase\n", 0), ("yes\n", 2), ("", 2)], ids=repr)
def test_in_a_terminal_it_asks(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    typed: str,
    status: int,
) -> None:
    """For a word, and says what will go."""
    before = kept(path)
    monkeypatch.setattr("sys.stdin", Keyboard(typed))
    words = ["erase", "--subject", "customer=c-7", *BY, "--ledger", str(path)]

    with pytest.raises(SystemExit) as ended:
        main(words)

    assert status == ended.value.code
    said = capsys.readouterr()
    what = f"This removes all personal fields of all entries with customer=c-7 in {path}."
    assert said.err.startswith(f"{what}\nIt cannot be undone. Type 'erase' to go on: ")
    assert (before == kept(path)) is bool(status)

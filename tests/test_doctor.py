"""The doctor's questions: how an answer follows from what was seen, and how it looks."""

import json
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

import rml
from rml.cli import main
from rml.doctor import diagnosis, look
from rml.doctor.diagnosis import Answer, Diagnosis

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("version", "locks", "expected"),
    [
        ((3, 40, 1), True, Answer.YES),
        ((3, 40, 1), False, Answer.NO),
        ((3, 51, 2), None, Answer.UNKNOWN),
        ((3, 51, 3), None, Answer.YES),
        ((3, 52, 0), None, Answer.UNKNOWN),
        ((3, 53, 0), False, Answer.YES),
    ],
)
def test_the_wal_reset_defect_is_known_by_version_and_kept_away_by_the_lock(
    version: tuple[int, ...], locks: bool | None, expected: Answer
) -> None:
    """An affected SQLite is fine where the lock file works, and only there."""
    found = diagnosis.wal_reset(version, locks=locks)

    assert expected is found.answer
    assert ".".join(map(str, version)) in found.evidence


def test_an_extra_that_is_not_installed_is_no_illness(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether this machine is to sign cannot be seen from here, so a health check does not fail."""
    monkeypatch.setattr(look, "_installed", lambda _: None)
    monkeypatch.setattr(look, "_OTHER_SQLITES", ())  # another test may have loaded one

    result = CliRunner().invoke(main, ["doctor", "--json"], env={"RML_LEDGER": ""})
    (found,) = [one for one in json.loads(result.stdout) if "signed" in one["question"]]

    assert 0 == result.exit_code
    assert "unknown" == found["answer"]
    assert "cryptography is not installed" in found["evidence"]
    assert "'rml[sign]'" in found["remedy"]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (diagnosis.one_sqlite([]), Answer.YES),
        (diagnosis.one_sqlite(["apsw"]), Answer.NO),
        (diagnosis.signing(None), Answer.UNKNOWN),
        (diagnosis.signing("50.0"), Answer.YES),
        (diagnosis.filesystem("ext4"), Answer.YES),
        (diagnosis.filesystem("nfs4"), Answer.NO),
        (diagnosis.filesystem("tmpfs"), Answer.NO),
        (diagnosis.filesystem("overlay"), Answer.UNKNOWN),
        (diagnosis.filesystem(None), Answer.UNKNOWN),
        (diagnosis.flush(0.0002), Answer.YES),
        (diagnosis.flush(0.000002), Answer.UNKNOWN),
        (diagnosis.flush(None), Answer.UNKNOWN),
        (diagnosis.space(diagnosis.FREE_BYTES_MIN), Answer.YES),
        (diagnosis.space(diagnosis.FREE_BYTES_MIN - 1), Answer.NO),
        (diagnosis.locking(works=None), Answer.UNKNOWN),
        (diagnosis.locking(works=False), Answer.NO),
        (diagnosis.privacy({"a.db": 0o100600}), Answer.YES),
        (diagnosis.privacy({"a.db": 0o100640}), Answer.NO),
        (diagnosis.log_size(diagnosis.LOG_BYTES_MAX + 1), Answer.NO),
        (diagnosis.durable("delete"), Answer.NO),
        (diagnosis.guarded([("schema", "entries_no_update is missing")]), Answer.NO),
        (diagnosis.clock(None, NOW), Answer.UNKNOWN),
        (diagnosis.clock(NOW + timedelta(hours=1), NOW), Answer.NO),
        (diagnosis.clock(NOW, NOW), Answer.YES),
        (diagnosis.doubts([], NOW), Answer.YES),
        (diagnosis.doubts([NOW - timedelta(minutes=5)], NOW), Answer.YES),
        (diagnosis.doubts([NOW - timedelta(days=1), NOW], NOW), Answer.NO),
        (diagnosis.signed_by_service(None, any_entry=False), Answer.UNKNOWN),
        (diagnosis.signed_by_service(None, any_entry=True), Answer.NO),
        (diagnosis.signed_by_service("payments", any_entry=True), Answer.YES),
    ],
)
def test_an_answer_follows_from_what_was_seen(found: Diagnosis, expected: Answer) -> None:
    """Whatever is not yes comes with what to do."""
    assert expected is found.answer
    assert (found.remedy is None) == (expected is Answer.YES)
    assert found.evidence


def a_ledger(path: Path) -> Path:
    """A ledger with one entry, closed."""
    with rml.Ledger(path, service="payments") as ledger:
        ledger.append("payment.refund", world="RML3")
    return path


def asked(place: object) -> dict[str, Diagnosis]:
    """The doctor's answers by question."""
    return {found.question: found for found in look.examine(place)}


def test_a_fresh_ledger_is_well(tmp_path: Path) -> None:
    """Nothing is said against a ledger as the library makes it."""
    found = asked(a_ledger(tmp_path / "a.db"))

    assert [] == [one for one in found.values() if one.answer is Answer.NO]
    assert "1 entries" == found["Can the ledger be opened?"].evidence
    assert Answer.YES is found["Do processes take turns at writing?"].answer


def test_a_file_that_an_application_writes_to_needs_a_sqlite_without_the_defect(
    tmp_path: Path,
) -> None:
    """Its commits take no turns; everything else about such a ledger is well."""
    path = a_ledger(tmp_path / "a.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE orders (id)")

    ill = [one for one in look.examine(path) if one.answer is Answer.NO]

    affected = diagnosis.wal_reset(sqlite3.sqlite_version_info, locks=None).answer is not Answer.YES
    assert affected is (
        ["Is SQLite's WAL-reset defect kept away?"] == [one.question for one in ill]
    )
    for version, answer in (((3, 40, 1), Answer.NO), ((3, 51, 3), Answer.YES)):
        assert answer is diagnosis.wal_reset(version, locks=True, shared=True).answer


def test_looking_changes_nothing(tmp_path: Path) -> None:
    """Not a byte of the ledger, and no file beside it."""
    path = a_ledger(tmp_path / "a.db")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    look.examine(path)

    assert before == {file.name: file.read_bytes() for file in tmp_path.iterdir()}


def test_without_a_ledger_only_the_libraries_are_asked() -> None:
    """There is nothing else to look at."""
    assert {"library"} == {found.about for found in look.examine()}


def test_a_missing_ledger_is_not_created(tmp_path: Path) -> None:
    """The doctor says that it cannot be opened, and why."""
    found = asked(tmp_path / "none.db")["Can the ledger be opened?"]

    assert (Answer.NO, True) == (found.answer, "there is no ledger at" in found.evidence)
    assert [] == list(tmp_path.iterdir())


def test_what_is_ill_is_found(tmp_path: Path) -> None:
    """A missing trigger and a file that everybody may read."""
    path = a_ledger(tmp_path / "a.db")
    connection = sqlite3.connect(path)
    connection.execute("DROP TRIGGER entries_no_update")
    connection.close()
    os.chmod(path, 0o644)  # noqa: PTH101 - as a person does

    found = asked(path)

    assert Answer.NO is found["Are the triggers that keep it append-only in place?"].answer
    privacy = found["May only its owner read the ledger?"]
    assert "a.db is 644" == privacy.evidence.split(",")[0]
    assert "chmod 600 a.db" == (privacy.remedy or "")[: len("chmod 600 a.db")]


def test_a_ledger_in_memory_is_asked_what_it_has() -> None:
    """It has no file and no machine of its own."""
    assert {"library", "file", "ledger", "service"} == {
        found.about for found in look.examine("memory:")
    }


def test_a_command_is_no_service(tmp_path: Path) -> None:
    """What `rml resolve` writes last names who decided, and speaks for no program."""
    path = tmp_path / "a.db"
    with rml.Ledger(path, service="payments") as ledger, rml.use(ledger=ledger):

        @rml.idempotent("payment.charge", key=lambda key: key, world="RML3")
        def charge(key: str) -> None:
            raise TimeoutError

        with pytest.raises(TimeoutError):
            charge("pay-1")
        (effect,) = ledger.in_doubt()
    decided = ("--version", str(effect.version), "--did-not-happen", "--by", "ada")
    words = ["resolve", effect.id, *decided, "--reason", "not in its books", "--ledger", str(path)]
    assert 0 == CliRunner().invoke(main, words).exit_code

    assert Answer.YES is asked(path)["Do entries say which service wrote them?"].answer


def test_the_command_says_no_by_its_exit_status(tmp_path: Path) -> None:
    """0 when nothing is wrong, 1 when something is; JSON for machines."""
    path = a_ledger(tmp_path / "a.db")
    well = CliRunner().invoke(main, ["doctor", "--ledger", str(path)])
    ill = CliRunner().invoke(main, ["doctor", "--json", "--ledger", str(tmp_path / "none.db")])

    assert (0, 1) == (well.exit_code, ill.exit_code)
    assert "yes      Can the ledger be opened?\n         1 entries\n" in well.output
    assert ["no"] == [one["answer"] for one in json.loads(ill.output) if one["about"] == "file"]


def test_an_unknown_scheme_is_a_clear_error() -> None:
    """Bad input is no diagnosis."""
    with pytest.raises(rml.RmlError, match="no store knows"):
        look.examine("mysql://x")

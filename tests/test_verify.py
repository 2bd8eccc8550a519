"""What a verification says of an honest ledger, while it is read, and how it says it."""

import json
import sqlite3
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from tampered import fill, laid_down, many_entries, seven_entries, tamper, verified, written

from rml import Ledger, Level, idempotent
from rml.ledger.checks.verify import PAGE_ENTRIES, PROBLEMS_MAX


@pytest.fixture
def seven(tmp_path: Path) -> Path:
    """A ledger of seven entries."""
    return laid_down(seven_entries(), tmp_path)


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A ledger of 600 entries: two full tiles and some more."""
    return laid_down(many_entries(), tmp_path)


# --------------------------------------------------------------------------- the honest ledger


@pytest.mark.parametrize(
    ("place", "size"),
    [
        *[(place, size) for place in ("memory:", "file") for size in (0, 1, 255, 256, 257)],
        ("file", 65_536 + 3),
    ],
)
def test_an_honest_ledger_is_not_accused(place: str, size: int, tmp_path: Path) -> None:
    """Around every edge of the tiles."""
    with Ledger(place if place == "memory:" else tmp_path / "ledger.db") as ledger:
        fill(ledger, size)

        found = ledger.verify()

    assert (True, Level.CONSISTENT, size, ()) == (found.ok, found.level, found.size, found.problems)
    assert "no signed checkpoint is kept outside the store to compare with" == found.capped_by


def test_a_ledger_in_full_use_is_not_accused(tmp_path: Path) -> None:
    """Every field, erased and kept values, reopened and gone on with."""
    path = written(tmp_path, 5)
    with Ledger(path) as ledger:
        ids = [entry.id for entry in ledger.entries()]
        ledger.erase(ids[0], ["email"], by="dpo", reason="law")
        ledger.erase(ids[1], ["email", "name"], by="dpo", reason="law")
        fill(ledger, 300, personal={"note": None})
        ledger.erase(ids[0], ["name"], by="dpo", reason="law")

    assert (True, 308) == (verified(path).ok, verified(path).size)


@pytest.mark.parametrize("place", ["memory:", "file"])
def test_what_happens_meanwhile_is_not_accused(place: str, tmp_path: Path) -> None:
    """Appends that fill tiles, and erasures, while the entries before them are being checked."""
    with Ledger(place if place == "memory:" else tmp_path / "ledger.db") as ledger:
        fill(ledger, 2 * PAGE_ENTRIES, personal={"email": "ada@example.com"})
        ids = [entry.id for entry in ledger.entries()]

        def meanwhile(done: int, _: int) -> None:
            if done == PAGE_ENTRIES:
                fill(ledger, 300)
                ledger.erase(ids[0], ["email"], by="dpo", reason="law")
                ledger.erase(ids[-1], ["email"], by="dpo", reason="law")

        found = ledger.verify(progress=meanwhile)

        assert ((), 2 * PAGE_ENTRIES) == (found.problems, found.size)
        assert 2 * PAGE_ENTRIES + 302 == ledger.size
        assert ledger.verify().ok


def test_progress_is_reported(many: Path) -> None:
    """Now and then, and at the end."""
    reports: list[tuple[int, int]] = []
    with Ledger(many) as ledger:
        fill(ledger, 2_000)
        ledger.verify(progress=lambda done, of: reports.append((done, of)))

    pages = range(PAGE_ENTRIES, 2_600, PAGE_ENTRIES)
    assert [(done, 2_600) for done in (*pages, 2_600)] == reports


@pytest.mark.parametrize("place", ["memory:", "sqlite://:memory:", "file"])
def test_a_ledger_is_verified_from_inside_a_commit(place: str, tmp_path: Path) -> None:
    """Whoever commits holds the store; the verification does not wait for that."""
    with Ledger(tmp_path / "ledger.db" if place == "file" else place) as ledger:
        fill(ledger, 3)

        found = ledger.write(lambda _: ledger.verify())

    assert (True, 3) == (found.ok, found.size)


def test_writers_at_work_are_not_accused(tmp_path: Path) -> None:
    """Threads append, begin and end effects, and erase, while it is verified again and again."""
    with Ledger(tmp_path / "ledger.db") as ledger:
        fill(ledger, PAGE_ENTRIES)

        @idempotent("payment.charge", key="key", ledger=ledger, personal=("email",))
        def charge(key: str, email: str) -> str:
            return email

        def work(writer: int) -> None:
            for number in range(30):
                charge(f"{writer}-{number}", "ada@example.com")
                newest = ledger.entries(kind="effect.done", newest_first=True, limit=1)[0]
                ledger.erase(newest.id, list(newest.commitments), by="dpo", reason="law")

        with ThreadPoolExecutor(3) as threads:
            works = [threads.submit(work, writer) for writer in range(3)]
            found = [ledger.verify()]
            while not all(one.done() for one in works):
                found.append(ledger.verify())
            for one in works:
                one.result()
        found.append(ledger.verify())

    assert () == tuple(problem for one in found for problem in one.problems)


def test_memory_does_not_grow_with_the_ledger(tmp_path: Path) -> None:
    """Some pages, as many as threads happen to have in hand, what a sieve remembers, the edge."""
    peaks = []
    with Ledger(tmp_path / "ledger.db") as ledger:
        for pages in (5, 20):
            fill(ledger, pages * PAGE_ENTRIES, actor="ada", personal={"email": "ada@example.com"})
            ledger.verify()
            tracemalloc.start()
            ledger.verify()
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()

    assert peaks[1] < 2.5 * peaks[0]  # five times as many entries


def test_vacuum_analyze_and_a_backup_are_honest(seven: Path, tmp_path: Path) -> None:
    """What a database administrator does to any file."""
    copy = tmp_path / "copy.db"
    with closing(sqlite3.connect(seven)) as connection, closing(sqlite3.connect(copy)) as target:
        connection.execute("VACUUM")
        connection.execute("ANALYZE")
        connection.execute("REINDEX")
        connection.backup(target)

    assert [(), ()] == [verified(path).problems for path in (seven, copy)]


# ------------------------------------------------------------------------------------- verdicts


def test_a_verdict_reads_well(seven: Path) -> None:
    """One line that says what an operator needs."""
    fine = verified(seven)
    tamper(seven, "UPDATE entries SET key = 'pay-9' WHERE idx = 2")
    bad = verified(seven)

    assert f"ok: 7 entries, level consistent, root {fine.root}" == str(fine)
    assert str(bad).startswith("NOT ok: 1 problem(s) in 7 entries; first: entry 2 (01a1")
    assert str(bad).endswith("): the column key says 'pay-9', the bytes say otherwise [column]")


def test_a_verdict_is_json(seven: Path) -> None:
    """For machines."""
    tamper(seven, "UPDATE entries SET key = 'pay-9' WHERE idx = 2")

    made = json.loads(json.dumps(verified(seven).to_dict()))

    assert (False, "structure", 7) == (made["ok"], made["level"], made["size"])
    assert {"code": "column", "index": 2} == {n: made["problems"][0][n] for n in ("code", "index")}


def test_a_ledger_that_is_wrong_everywhere_is_not_listed_whole(many: Path) -> None:
    """A hundred lines say enough, and the first is the first."""
    tamper(many, "UPDATE entries SET actor = 'eve'")

    found = verified(many)

    assert PROBLEMS_MAX == len(found.problems)
    assert list(range(PROBLEMS_MAX)) == [problem.index for problem in found.problems]

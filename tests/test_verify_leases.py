"""Verification finds leases that do not follow from the entries of their effects."""

from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from tampered import fill, reworded, tamper, verified

from rml import ClosedError, Draft, Ledger, idempotent
from rml.ledger.checks.verify import PAGE_ENTRIES


@pytest.fixture
def effects(tmp_path: Path) -> Path:
    """A ledger with effects that are done, not done, in flight and in doubt."""
    path = tmp_path / "ledger.db"
    with Ledger(path) as ledger:

        @idempotent("payment.charge", key="key", ledger=ledger)
        def charge(key: str) -> int:
            if key == "refused":
                raise ClosedError
            if key == "doubt":
                raise TimeoutError
            return 1999

        for key in ("done", "refused", "doubt"):
            with suppress(ClosedError, TimeoutError):
                charge(key)
        ledger.write(in_flight)
    return path


def in_flight(draft: Draft, effect: str = "ef_flight") -> None:
    """Begin an attempt that has not ended."""
    intent = draft.record(
        "effect.intent",
        world="RML3",
        operation="payment.charge",
        effect=effect,
        key="flight",
        attempt=1,
    )
    draft.grant(effect, 1, intent.id, 60)


def test_effects_in_every_state_are_not_accused(effects: Path) -> None:
    """Each has the lease that is due to it, or none."""
    assert verified(effects).problems == ()


@pytest.mark.parametrize(
    ("statement", "detail"),
    [
        (
            "DELETE FROM leases WHERE owner = ''",
            "has not ended, but its lease is gone, so that nobody is told of it",
        ),
        (
            "DELETE FROM leases WHERE owner != ''",
            "has not ended, but its lease is gone, so that nobody is told of it",
        ),
        ("UPDATE leases SET owner = 'me' WHERE owner = ''", "has a lease of another attempt"),
        ("UPDATE leases SET owner = '' WHERE owner != ''", "has a lease of another attempt"),
        ("UPDATE leases SET attempt = 2 WHERE owner != ''", "has a lease of another attempt"),
        ("UPDATE leases SET until = 'x' WHERE owner != ''", "has a lease until no time at all"),
        (
            "INSERT INTO leases SELECT effect, 1, id, recorded_at FROM entries WHERE idx = 0",
            "has a lease, but nothing is open",
        ),
        (
            "INSERT INTO leases VALUES ('ef_none', 1, 'me', '2026-11-20T19:00:00.000000Z')",
            "has a lease, but nothing is open",
        ),
    ],
)
def test_a_forged_lease_is_named(effects: Path, statement: str, detail: str) -> None:
    """A doubt without its lease would be on nobody's list."""
    tamper(effects, statement)

    (problem,) = verified(effects).problems
    assert ("lease", None) == (problem.code, problem.index)
    assert problem.detail.startswith("the effect 'ef_")
    assert problem.detail.endswith(detail)


def test_leases_that_cannot_be_read_are_a_problem(effects: Path) -> None:
    """The rest is checked all the same."""
    tamper(effects, "DROP TABLE leases", "UPDATE entries SET key = 'x' WHERE idx = 1")

    assert {"column", "lease", "schema"} == {p.code for p in verified(effects).problems}


@pytest.mark.parametrize("place", ["memory:", "file"])
def test_effects_that_begin_and_end_meanwhile_are_not_accused(place: str, tmp_path: Path) -> None:
    """What was open has ended, and what had not begun is open, when the leases are read."""
    with Ledger(place if place == "memory:" else tmp_path / "ledger.db") as ledger:
        fill(ledger, PAGE_ENTRIES - 1)
        ledger.write(partial(in_flight, effect="ef_before"))

        def end(draft: Draft) -> None:
            draft.record("effect.done", world="RML3", effect="ef_before", attempt=1)
            draft.release("ef_before")
            in_flight(draft, "ef_after")

        found = ledger.verify(
            progress=lambda *_: None if ledger.size > 1_001 else ledger.write(end)
        )

        assert (found.problems, ledger.verify().problems) == ((), ())


@pytest.mark.parametrize("column", ["owner", "until"])
def test_a_lease_that_is_none_is_found(effects: Path, column: str) -> None:
    """SQLite would store no such value; somebody who edits the file's pages can."""
    words = {"owner": "owner   TEXT", "until": "until   TEXT"}[column]
    with reworded(effects, "leases", words, words.replace("TEXT", "ANY")) as connection:
        connection.execute(f"UPDATE leases SET {column} = x'ff'")

    assert ["the leases cannot be read: a lease of the ledger is damaged"] == [
        problem.detail for problem in verified(effects).problems if problem.code == "lease"
    ]


def test_a_lease_that_is_no_utf_8_is_told_in_plain_words(effects: Path) -> None:
    """What stands there is not repeated: it may be anything."""
    tamper(effects, "UPDATE leases SET owner = CAST(x'ff1b5b' AS TEXT)")

    (problem,) = verified(effects).problems

    assert "lease" == problem.code
    assert problem.detail.endswith("is damaged: a text in it is not UTF-8")

"""Every attack of the tampering matrix on our own ledger, at every level; and the page about it."""

import importlib.util
import sqlite3
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tampering.attacks import ROWS, Attack
from tampering.attacks_on_rml import ATTACKS
from tampering.ledgers import LEDGERS, OurLedger
from tampering.matrix import CATCHES, REMARKED, Found, results

import rml

TOOL = Path(__file__).parent.parent.parent / "tools" / "tampering_page.py"
LEVELS = [log.name for log in LEDGERS]
BY_NAME = {log.name: log for log in LEDGERS}
# The attacks that rewrite everything which follows from the entries; all others show at once.
REWRITES = {
    "file rolled back to an older copy": "anchored",
    "file swapped for another log": "signed",
    "rebuilt with another amount and fresh hashes": "signed",
    "content edited, every hash recomputed": "signed",
    "last entries cut off, every hash recomputed": "signed",
    "all entries deleted, every hash recomputed": "signed",
    "personal value forged with its commitment, every hash recomputed": "signed",
}
# Clocks do go wrong, so nobody is accused.
REMARKS = "entry appended with a clock set back"


def found(level: str) -> dict[str, tuple[str, Found | None]]:
    """What comes of every attack on a ledger of one level."""
    return results(BY_NAME[level], ATTACKS)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    "attack",
    [attack for attack in ATTACKS if attack.name != REMARKS],
    ids=lambda attack: attack.name,
)
def test_an_attack_is_caught_from_its_level_on(attack: Attack, level: str) -> None:
    """Below that level it is not caught, and the page says so."""
    lowest = LEVELS.index(REWRITES.get(attack.name, "consistent"))

    assert (LEVELS.index(level) >= lowest) == (found(level)[attack.name][0] in CATCHES)


@pytest.mark.parametrize("level", LEVELS)
def test_a_clock_that_was_set_back_is_remarked(level: str) -> None:
    """At every level, and no other attack is."""
    assert [REMARKS] == [name for name, (word, _) in found(level).items() if word == REMARKED]


@pytest.mark.parametrize(
    "attack",
    [
        attack
        for attack in ATTACKS
        if attack.first is not None and attack.name not in {*REWRITES, REMARKS}
    ],
    ids=lambda attack: attack.name,
)
def test_the_first_bad_entry_is_named(attack: Attack) -> None:
    """Where the bytes alone show it, at every level."""
    told = [found(level)[attack.name][1] for level in LEVELS]

    assert {attack.first} == {one.first for one in told if one is not None}


def vacuum(path: Path) -> None:
    """Rewrite the file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("VACUUM")
        connection.execute("ANALYZE")


def copy(path: Path) -> None:
    """Put a backup in the place of the file."""
    aside = path.with_name("aside.db")
    with closing(sqlite3.connect(path)) as one, closing(sqlite3.connect(aside)) as other:
        one.backup(other)
    aside.replace(path)


def erase(path: Path) -> None:
    """Erase a value as one should."""
    with rml.Ledger(path) as ledger:
        entry = ledger.entries(kind="payment.charged")[0]
        ledger.erase(entry.id, ["email"], by="ada", reason="asked to")


def append(path: Path) -> None:
    """Go on writing, with a clock that was set back an hour."""
    with rml.Ledger(path, clock=rml.FrozenClock("2026-06-01T11:00:00Z")) as ledger:
        ledger.append("payment.refund", world="RML3")


def nothing(_: Path) -> None:
    """Leave it as it is."""


@pytest.mark.parametrize("change", [nothing, vacuum, copy, erase, append], ids=lambda f: f.__name__)
@pytest.mark.parametrize("log", LEDGERS, ids=LEVELS)
def test_an_honest_ledger_is_never_accused(
    log: OurLedger, change: Callable[[Path], None], tmp_path: Path
) -> None:
    """It reaches its level, whatever has rightly been done to its file."""
    path = log.build(tmp_path / "built" / "honest")
    change(path)

    told = log.verify(path)

    assert (False, log.level.value) == (told.caught, told.level)


def test_the_page_is_current() -> None:
    """Its tables are what `python tools/tampering_page.py` writes, of our ledger and its peers."""
    for peer in ("signledger", "auditchain"):
        pytest.importorskip(peer, reason=f"{peer} is not installed: its column cannot be checked")
    spec = importlib.util.spec_from_file_location("tampering_page", TOOL)
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    page = tool.PAGE.read_text(encoding="utf-8")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the peers' own
        assert page == tool.page(page)


def test_there_are_tiles_to_attack() -> None:
    """A full tile, and entries after it."""
    assert ROWS > 256

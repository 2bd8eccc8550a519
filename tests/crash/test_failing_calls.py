"""Every write, sync and renaming of a run fails once, and no answer about it is wrong.

The run is recorded with strace; then it is repeated, each time with one of its calls failing. The
tests try a sample of the calls; set ``RML_FAULTS=all`` to have every one of them fail, with each
error.
"""

import os
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import attrs
from syscalls import Call, made_to_fail, needs_strace, recorded

import rml

pytestmark = needs_strace

# Read when this module is: the tests themselves see no setting of rml's.
ALL = os.environ.get("RML_FAULTS") == "all"
# How many calls of each name fail in a short run.
SAMPLE = 12
SEED = 42
ERRORS = ("EIO", "ENOSPC")
SYNCS = ("fsync", "fdatasync")
SIGNER = rml.SignerKey.generate("acme")


@attrs.frozen
class Place:
    """A ledger, its anchor, its backup, and the count of effects."""

    root: Path

    @property
    def path(self) -> Path:
        """The ledger."""
        return self.root / "ledger.db"

    def open(self, *, clock: rml.Clock | None = None) -> rml.Ledger:
        """Open it."""
        (self.root / "safe").mkdir(parents=True, exist_ok=True)
        anchor = rml.FileAnchor(self.root / "safe" / "kept")
        return rml.Ledger(self.path, signer=SIGNER, anchors=[anchor], clock=clock)


def attempt(step: Callable[[], Any]) -> Any:
    """Return a step's value, or its error as data; only errors of our own are answers."""
    try:
        return step()
    except rml.RmlError as error:
        return {"code": error.code, "happened": error.happened, "text": error.message}


def run(place: Place) -> dict[str, Any]:
    """Do everything once, whatever fails of it, and go on; return what the caller was told."""
    charges: list[str] = []
    told: dict[str, Any] = {"charges": charges}
    ledger = attempt(place.open)
    if isinstance(ledger, dict):
        told["open"] = ledger
        ledger = place.open()

    @rml.idempotent("payment.charge", key="key", ledger=ledger)
    def charge(key: str) -> str:
        charges.append(key)
        return "charged"

    def append(name: str) -> str:
        facts, personal = {"name": name}, {"note": "x" * 5_000}
        return ledger.append("a.b", world="RML1", facts=facts, personal=personal).id

    def erase(entry: Any) -> str | None:
        if isinstance(entry, dict):  # it was not appended
            return None
        return ledger.erase(entry, ["note"], by="dpo", reason="law").id

    steps: dict[str, Callable[[], Any]] = {
        "first": lambda: append("first"),
        "charge": lambda: charge("pay-1"),
        "again": lambda: charge("pay-1"),
        "checkpoint": lambda: bool(ledger.checkpoint()),
        "erase": lambda: erase(told["first"]),
        "backup": lambda: ledger.backup(place.root / "backup.db").ok,
        "second": lambda: append("second"),
    }
    for name, step in steps.items():
        told[name] = attempt(step)
    told["seen"] = [entry.id for entry in ledger.entries()]
    attempt(ledger.close)
    return told


def check(place: Place, told: dict[str, Any]) -> None:
    """What the caller was told is what is in the ledger now; it is whole, and it goes on."""
    failed = {name: value for name, value in told.items() if isinstance(value, dict)}
    assert len(failed) <= 1 or _follows(failed), failed
    assert len(told["charges"]) <= 1
    tomorrow = rml.FrozenClock("2100-01-01T00:00:00Z")
    with place.open() as ledger:
        entries = {entry.facts.get("name"): entry for entry in ledger.entries()}
        for name in ("first", "second"):
            value = told[name]
            if isinstance(value, str):
                assert value == entries[name].id
            elif value["happened"] is False:
                assert name not in entries, value
        assert told["seen"] == [entry.id for entry in ledger.entries()]
        assert ledger.verify().problems == ()
        ledger.append("a.b", world="RML1")
        assert ledger.verify().problems == ()
    with place.open(clock=tomorrow) as ledger:
        _check_effect(ledger, told)
    backup = place.root / "backup.db"
    assert backup.exists() or told["backup"] is not True
    if backup.exists():
        with rml.Ledger(backup, create=False) as copy:
            assert copy.verify().ok


def _follows(failed: dict[str, Any]) -> bool:
    """Say whether what failed later does so because of an effect whose end is not known."""
    return "charge" in failed and set(failed) <= {"charge", "again"}


def _check_effect(ledger: rml.Ledger, told: dict[str, Any]) -> None:
    """An effect that happened is done or in doubt; one that was refused is not there."""
    states = [effect.state for effect in ledger.effects()]
    if told["charges"]:
        assert states in ([rml.EffectState.DONE], [rml.EffectState.IN_DOUBT])
    elif isinstance(told["charge"], dict) and told["charge"]["happened"] is False:
        assert [] == states
    if states == [rml.EffectState.IN_DOUBT]:
        (effect,) = ledger.in_doubt()
        ledger.resolve(effect.id, happened=bool(told["charges"]), by="ada", reason="counted")


def sampled(calls: list[Call], root: Path) -> list[tuple[Call, str]]:
    """Choose which calls fail, and how."""
    chance = random.Random(SEED)
    ours = [call for call in calls if any(path.startswith(f"{root}/") for path in call.paths)]
    ours = [call for call in ours if call.name != "openat" and call.number]
    if ALL:
        return [(call, error) for call in ours for error in ERRORS]
    chosen = []
    for name in sorted({call.name for call in ours}):
        named = [call for call in ours if call.name == name]
        chosen += chance.sample(named, min(SAMPLE, len(named)))
    return [(call, chance.choice(ERRORS)) for call in chosen]


def test_every_call_may_fail_once(tmp_path: Path) -> None:
    """A typed error or none; what was recorded stays; nothing is said not to be there that is."""
    run(Place(tmp_path / "warm"))  # so that what is imported late is imported
    first = Place(tmp_path / "first")
    told, calls = recorded(partial(run, first), tmp_path / "log")
    check(first, told)
    wrong = []
    for number, (call, error) in enumerate(sampled(calls, first.root)):
        place = Place(tmp_path / str(number))
        try:
            told = made_to_fail(partial(run, place), tmp_path / "log", call, error)
            check(place, told)
        except AssertionError as problem:
            where = " ".join(Path(path).name for path in call.paths)
            wrong.append(f"{call.name} {call.number} ({where}) {error}: {problem}")

    assert not wrong, "\n".join(wrong)


def append_and_look(path: Path) -> dict[str, Any]:
    """Append twice, look after what fails, and end there, as a killed process does."""
    ledger = rml.Ledger(path)
    assert 0 == ledger.size  # from now on there is a reader, who keeps the log from being folded
    told = attempt(lambda: [ledger.append("a.b", world="RML1").id for _ in range(2)])
    return {"told": told, "seen": [entry.id for entry in ledger.entries()]}


def test_the_next_look_shows_what_is_durable(tmp_path: Path) -> None:
    """After a commit of unknown outcome, what was looked at then is what is there for good."""
    append_and_look(tmp_path / "warm.db")
    first = tmp_path / "first.db"
    _, calls = recorded(partial(append_and_look, first), tmp_path / "log")
    log = [call for call in calls if call.paths == (f"{first}-wal",)]
    # What comes before, making the ledger, ends with the first sync of the log's frames.
    made = [place for place, call in enumerate(log) if call.name in SYNCS][1]
    unknown = 0
    for number, call in enumerate(log[made + 1 :]):
        if call.name == "openat" or not (ALL or call.name in SYNCS or number % 4 == 0):
            continue
        for error in ERRORS:
            path = tmp_path / f"{number}-{error}.db"
            again = made_to_fail(partial(append_and_look, path), tmp_path / "log", call, error)
            unknown += again["told"]["code"] == "LEDGER_APPEND_UNKNOWN"
            with rml.Ledger(path, create=False) as ledger:
                assert again["seen"] == [entry.id for entry in ledger.entries()], call.name
                assert ledger.verify().problems == ()
                ledger.append("a.b", world="RML1")
                assert ledger.verify().problems == ()

    assert unknown

"""Old values are pruned: one record says how far, proofs stay, and nothing else may be gone."""

import os
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from protected import START, Charges, kinds

import rml
from rml.ledger.erasures import forgetting, pruning
from rml.ledger.erasures.erasure import Removal
from rml.ledger.store import Query, Transaction

BY = {"by": "Rosa", "reason": "ten years"}


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a few entries take several commits."""
    monkeypatch.setattr(forgetting, "REMOVED_AT_ONCE", 2)
    monkeypatch.setattr(forgetting, "PROGRESS_ENTRIES", 2)


def noted(ledger: rml.Ledger, count: int, **options: Any) -> list[str]:
    """Append entries with two values each."""
    personal = {"email": "ada@example.com", "name": "Ada"}
    return [
        ledger.append("a.b", world="RML1", personal=personal, **options).id for _ in range(count)
    ]


def keeping(ledger: rml.Ledger) -> list[int]:
    """Return the indexes beside which something is kept."""
    return [entry.index or 0 for entry in ledger.entries() if entry.personal]


def test_everything_below_an_index_goes(ledger: rml.Ledger) -> None:
    """By one record; entries and proofs stay."""
    ids = noted(ledger, 7)
    before, checkpoint = list(ledger.entries()), ledger.checkpoint()
    proof = ledger.prove_consistency(5)

    removed = ledger.prune(5, **BY)

    assert Removal(entries=5, fields=10, kept=(), below=5) == removed
    assert ([5, 6], before) == (keeping(ledger), list(ledger.entries())[:7])
    (record,) = ledger.entries(kind="payload.pruned")
    assert ("Rosa", {"below": 5, "kept": [], "reason": "ten years"}) == (
        record.actor,
        dict(record.facts),
    )
    erasure = ledger.erasures(ids[0])["email"]
    assert ("Rosa", "ten years", record.id) == (erasure.by, erasure.reason, erasure.entry)
    assert {} == ledger.erasures(ids[5])
    assert proof == ledger.prove_consistency(5, 7)
    assert checkpoint != ledger.checkpoint()


def test_everything_before_a_moment_goes(ledger: rml.Ledger, clock: rml.FrozenClock) -> None:
    """Up to the first entry that was recorded then or later, in the ledger's order."""
    for minutes in (0, 2, 1, 3):  # somebody set the clock back
        clock.set(START + timedelta(minutes=minutes))
        noted(ledger, 1)

    assert 1 == ledger.prune(START + timedelta(minutes=1), **BY).below
    assert 3 == ledger.prune(START + timedelta(minutes=3), **BY).below
    assert [3] == keeping(ledger)
    clock.advance(1)
    assert 6 == ledger.prune(clock.now(), **BY).below


def test_it_is_recorded_once_and_only_goes_further(ledger: rml.Ledger) -> None:
    """The same again, or less, records nothing."""
    noted(ledger, 6)
    for below, expected in ((0, 0), (3, 3), (3, 3), (1, 3), (4, 4)):
        assert expected == ledger.prune(below, **BY).below

    assert (2, [4, 5]) == (kinds(ledger).count("payload.pruned"), keeping(ledger))


def test_what_was_erased_before_stays_so(ledger: rml.Ledger) -> None:
    """Each value has the reason for which it went."""
    (made,) = noted(ledger, 1)
    ledger.erase(made, ["email"], by="Tom", reason="asked")

    assert (1, 1) == (ledger.prune(1, **BY).entries, ledger.size - 2)
    erasures = ledger.erasures(made)
    assert {"email": "asked", "name": "ten years"} == {
        name: erasure.reason for name, erasure in erasures.items()
    }
    ledger.erase(made, ["email"], by="Tom", reason="asked again")


def test_a_pruned_effect_is_done_and_not_replayable(ledger: rml.Ledger) -> None:
    """It is never run a second time."""
    charges = Charges("ch-1")
    charges()
    ledger.prune(ledger.size, **BY)

    error = charges.fail(rml.ResultUnavailableError)
    assert "is done, cannot be replayed, and is not run a second time" in error.message
    (effect,) = ledger.effects()
    assert ("done", False, "its result has been erased") == (
        effect.state,
        effect.replay,
        effect.why_not,
    )
    assert 1 == charges.count


@pytest.mark.parametrize(
    ("end", "options"),
    [
        (TimeoutError(), {}),
        (rml.DialogError("lost"), {"provider_idempotent": True}),
    ],
    ids=["in_doubt", "retrying"],
)
def test_what_has_not_ended_keeps_its_values(
    ledger: rml.Ledger, end: BaseException, options: dict[str, Any]
) -> None:
    """Until it has, and is pruned again."""
    charges = Charges(end, "ch-1", **options)
    charges.fail(type(end))
    (effect,) = ledger.effects()
    noted(ledger, 1)

    removed = ledger.prune(ledger.size, **BY)

    assert ((effect.id,), (effect.id,)) == (removed.kept, ledger.prune(1, **BY).kept)
    assert {effect.id} == {entry.effect for entry in ledger.entries() if entry.personal}
    assert () == ledger.verify().problems
    if options:
        charges()
    else:
        ledger.resolve(effect.id, happened=True, by="ada", reason="seen", result="ch-1")
    assert () == ledger.prune(1, **BY).kept
    assert 2 == kinds(ledger).count("payload.pruned")
    assert 0 not in keeping(ledger)


def test_pruning_from_inside_an_effect(ledger: rml.Ledger) -> None:
    """What is in flight ends as it would have."""
    charges = Charges(lambda: str(len(ledger.prune(ledger.size, **BY).kept)))

    assert charges() == charges() == "1"


def test_what_is_pending_keeps_its_values(ledger: rml.Ledger) -> None:
    """They may be needed to confirm it."""
    pending = ledger.pend("a.b", world="RML3", personal={"email": "ada@example.com"}).id

    assert (pending,) == ledger.prune(1, **BY).kept
    assert [0] == keeping(ledger)
    ledger.void(pending, by="shop", reason="r")
    assert (1, 1, ()) == (
        (removed := ledger.prune(1, **BY)).below,
        removed.entries,
        removed.kept,
    )


@pytest.mark.parametrize("before", [2, 3], ids=["as far", "further"])
def test_what_was_called_again_since_is_not_pruned_by_an_older_record(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    """A run that was interrupted goes on; a newer one that kept more is heeded."""
    charges = Charges(rml.ClosedError("no"), TimeoutError())
    charges.fail(rml.ClosedError)
    interrupt(monkeypatch, lambda: ledger.prune(2, **BY))
    charges.fail(TimeoutError)
    (effect,) = ledger.in_doubt()

    assert (effect.id,) == ledger.prune(before, **BY).kept
    assert [0, 3] == [e.index for e in ledger.entries(kind="effect.intent") if e.personal]


def test_what_was_called_again_meanwhile_keeps_its_values(ledger: rml.Ledger) -> None:
    """A step of the older run heeds what a newer one has recorded since."""
    charges = Charges(rml.ClosedError("no"), TimeoutError())
    noted(ledger, 2)
    charges.fail(rml.ClosedError)
    told: list[int] = []

    def call_again(looked: int, _: int) -> None:
        if not told:
            told.append(looked)
            charges.fail(TimeoutError)
            ledger.prune(ledger.size, **BY)

    ledger.prune(ledger.size, progress=call_again, **BY)

    assert ([2], [2, 3, 5]) == (told, keeping(ledger))


def interrupt(monkeypatch: pytest.MonkeyPatch, run: Callable[[], object]) -> None:
    """Stop a pruning after its record."""
    with monkeypatch.context() as patch:
        patch.setattr(forgetting.LedgerForgetting, "_remove", stop)
        with pytest.raises(KeyboardInterrupt):
            run()


def stop(*_: object) -> None:
    """Ctrl-C."""
    raise KeyboardInterrupt


def test_too_much_that_has_not_ended_is_a_limit(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says how far it would go."""
    monkeypatch.setattr(pruning, "KEPT_MAX", 2)
    for _ in range(4):
        ledger.pend("a.b", world="RML3")
    size = ledger.size

    with pytest.raises(rml.LimitError, match=r"4 effects and pendings .* prune below 2$"):
        ledger.prune(4, **BY)
    assert size == ledger.size
    assert 2 == len(ledger.prune(2, **BY).kept)


def test_progress_is_told(ledger: rml.Ledger) -> None:
    """Up to the index."""
    noted(ledger, 4)
    told: list[tuple[int, int]] = []

    ledger.prune(3, progress=lambda *far: told.append(far), **BY)

    assert [(2, 3), (3, 3)] == told


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("index from 0 to 2", {"before": 3}),
        ("before must be a moment, or an index", {"before": -1}),
        ("before must be a", {"before": True}),
        ("before must", {"before": "2020-01-01"}),
        ("before is a moment yet to come", {"before": START + timedelta(seconds=1)}),
        ("before: .*timezone", {"before": START.replace(tzinfo=None)}),
        ("by ", {"by": ""}),
        ("reason", {"reason": 5}),
        ("progress", {"progress": 5}),
    ],
)
def test_what_cannot_be_used_is_refused(
    ledger: rml.Ledger, reason: str, change: dict[str, Any]
) -> None:
    """Before anything is pruned."""
    noted(ledger, 2)
    given: dict[str, Any] = {"before": 1, **BY, **change}

    with pytest.raises(rml.InvalidInputError, match=reason):
        ledger.prune(given.pop("before"), **given)
    assert ([0, 1], 2) == (keeping(ledger), ledger.size)


# ------------------------------------------------------------------- what may be gone, and what not


def test_a_store_removes_only_what_was_recorded(ledger: rml.Ledger) -> None:
    """Nothing at or above the index, nothing that was kept, and nothing in part."""
    ids = noted(ledger, 3)
    pending = ledger.pend("a.b", world="RML3", personal={"email": "a"}).id
    charges = Charges(TimeoutError())
    charges.fail(TimeoutError)
    (intent, *_) = ledger.entries(effect=ledger.effects()[0].id)
    ledger.prune(ledger.size, **BY)
    after = noted(ledger, 1)[0]

    for entry in (pending, intent.id, after):

        def remove(transaction: Transaction, entry: str = entry) -> None:
            transaction.keep_only(entry, [])

        with pytest.raises(rml.LedgerCorruptError, match="refused the change"):
            ledger._store.write(remove, timeout=5)
    assert {pending, intent.id, after} == {entry.id for entry in ledger.entries() if entry.personal}
    assert ids == [e.id for e in ledger._store.select(Query(limit=3)) if not e.personal]


@pytest.mark.parametrize("said", ["by", "reason", "correlation"])
def test_only_what_was_kept_is_kept(ledger: rml.Ledger, said: str) -> None:
    """An id anywhere else in the record names nothing that stays."""
    (old,) = noted(ledger, 1)

    told = {"correlation": "r-1", **BY, said: old}

    with rml.surrounded(correlation=told.pop("correlation")):
        removed = ledger.prune(1, **told)

    assert (1, []) == (removed.entries, keeping(ledger))


@pytest.mark.parametrize("gone", ["above", "pending", "effect"])
def test_verification_accuses_what_no_record_allows(tmp_path: Path, gone: str) -> None:
    """Somebody took the triggers away and more than was recorded."""
    path = tmp_path / "ledger.db"
    with rml.Ledger(path) as ledger, rml.use(ledger=ledger):
        noted(ledger, 2)
        names = {"pending": ledger.pend("a.b", world="RML3", personal={"email": "a"}).id}
        Charges(TimeoutError()).fail(TimeoutError)
        (intent, *_) = ledger.entries(effect=ledger.effects()[0].id)
        ledger.prune(ledger.size, **BY)
        names |= {"effect": intent.id, "above": noted(ledger, 1)[0]}
        assert () == ledger.verify().problems
    connection = sqlite3.connect(path)
    (trigger,) = connection.execute(
        "SELECT sql FROM sqlite_master WHERE name = 'entries_only_erased'"
    ).fetchone()
    connection.execute("DROP TRIGGER entries_only_erased")
    connection.execute("UPDATE entries SET personal = NULL WHERE id = ?", [names[gone]])
    connection.execute(trigger)
    connection.commit()
    connection.close()

    with rml.Ledger(path) as ledger:
        problems = ledger.verify().problems
    assert {("personal", names[gone])} == {(one.code, one.entry) for one in problems}


@pytest.mark.parametrize("below", [3, 8])
def test_what_is_pruned_during_a_verification_is_not_accused(
    ledger: rml.Ledger, monkeypatch: pytest.MonkeyPatch, below: int
) -> None:
    """Also where the record lies beyond what is verified."""
    noted(ledger, 8)
    monkeypatch.setattr("rml.ledger.checks.verify.PAGE_ENTRIES", 1)
    told: list[int] = []

    def prune_meanwhile(checked: int, _: int) -> None:
        if checked == 2 and not told:
            told.append(checked)
            ledger.prune(below, **BY)

    assert () == ledger.verify(prune_meanwhile).problems
    assert [2] == told


@pytest.mark.parametrize(
    "facts",
    [
        {"below": "1", "kept": []},
        {"below": 1},
        {"kept": []},
        {"below": 1, "kept": "none"},
        {"below": 9, "kept": []},
    ],
    ids=repr,
)
def test_a_record_that_says_nothing_allows_nothing(
    ledger: rml.Ledger, facts: dict[str, Any]
) -> None:
    """Nor one that would allow what comes after it; a program may write anything."""
    (made,) = noted(ledger, 1)
    ledger.write(lambda draft: draft.record("payload.pruned", world="RML3", facts=facts))
    (later,) = noted(ledger, 1)

    for name in (made, later):
        assert {} == ledger.erasures(name)
    with pytest.raises(rml.LedgerCorruptError):
        ledger._store.write(lambda t: t.keep_only(later, []), timeout=5)
    assert [0, 2] == keeping(ledger)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_an_interrupted_pruning_is_finished_by_running_it_again(tmp_path: Path) -> None:
    """One record, and everything gone."""
    path = tmp_path / "ledger.db"
    with rml.Ledger(path) as ledger:
        noted(ledger, 20)
    child = os.fork()
    if child == 0:
        try:
            rml.Ledger(path).prune(19, progress=lambda *_: os.kill(os.getpid(), 9), **BY)
        finally:
            os._exit(1)
    assert -9 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    with rml.Ledger(path, create=False) as ledger:
        assert () == ledger.verify().problems
        assert 1 < len(keeping(ledger)) <= 20
        ledger.prune(19, **BY)
        assert ([19], 21) == (keeping(ledger), ledger.size)
        assert () == ledger.verify().problems
        files = path.parent.glob(f"{path.name}*")
        assert 1 == b"".join(file.read_bytes() for file in files).count(b"ada@example.com")


def test_a_saga_that_has_not_ended_keeps_its_values_and_its_steps(
    ledger: rml.Ledger, clock: rml.FrozenClock
) -> None:
    """It may have to undo them."""

    @rml.idempotent("order.reserve", key="key", facts=("customer",))
    def reserve(key: str, customer: str) -> str:
        return "reserved"

    @rml.compensator("order.release")
    def release(effect: rml.Effect) -> None:
        raise NotImplementedError

    @rml.saga("order.place", key="key", steps={reserve: release}, facts=("customer",))
    def place(key: str, customer: str) -> None:
        reserve(key, customer)
        found.append(ledger.erase_subject("customer", "c-7", by="Rosa", reason="asked"))
        found.append(ledger.prune(ledger.size, **BY))

    found: list[Removal] = []
    place("o-1", "c-7")

    (step,) = ledger.effects()
    (saga,) = {entry.effect for entry in ledger.entries(kind="saga.started")}
    erased, pruned = found
    assert ((saga,), {saga, step.id}) == (erased.kept, set(pruned.kept))
    (started,) = ledger.entries(kind="saga.started")
    assert {"rml.request", "rml.arguments"} == set(started.personal)
    assert () == ledger.prune(ledger.size, **BY).kept
    assert [] == keeping(ledger)

"""All about one subject is erased: entry by entry, resumable, and no byte of it is left."""

import os
import random
from pathlib import Path
from typing import Any

import pytest
from protected import kinds

import rml
from rml.ledger.erasures import forgetting
from rml.ledger.erasures.erasure import Removal

BY = {"by": "Rosa", "reason": "request 2026-118"}


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a few entries take several commits."""
    monkeypatch.setattr(forgetting, "REMOVED_AT_ONCE", 2)
    monkeypatch.setattr(forgetting, "PROGRESS_ENTRIES", 2)


def charges(**ends: Any) -> None:
    """Charge customers once each, by key; one key is one customer's payment."""

    @rml.idempotent(
        "payment.charge",
        key="key",
        facts=("customer_id",),
        personal=("email",),
        provider_idempotent=True,
    )
    def charge(key: str, customer_id: str, email: str) -> str:
        end = ends.get(key, email)
        if isinstance(end, BaseException):
            raise end
        return end() if callable(end) else end

    for key, customer in (("k1", "c-7"), ("k2", "c-8"), ("k3", "c-7")):
        try:
            charge(key, customer, f"{key}@example.com")
        except Exception:  # noqa: BLE001 - how it ended is in the ledger
            continue


def kept(ledger: rml.Ledger) -> dict[int, set[str]]:
    """Return the names of what is still kept beside entries, by index."""
    return {entry.index or 0: set(entry.personal) for entry in ledger.entries() if entry.personal}


def test_all_entries_about_a_subject_lose_their_values(ledger: rml.Ledger) -> None:
    """Those of the effects that begin with it, too; each with a record of its own."""
    charges()
    note = ledger.append(
        "note.made", world="RML1", facts={"customer_id": "c-7"}, personal={"text": "rude", "n": 1}
    )
    ledger.append("note.made", world="RML1", facts={"customer": "c-7"}, personal={"text": "other"})
    before = ledger.size

    removed = ledger.erase_subject("customer_id", "c-7", **BY)

    assert Removal(entries=5, fields=10, kept=()) == removed
    assert {2: {"email", "rml.request"}, 3: {"rml.request", "rml.result"}, 7: {"text"}} == kept(
        ledger
    )
    erased = list(ledger.entries(kind="payload.erased"))
    assert (5, before + 5) == (len(erased), ledger.size)
    for entry in erased:
        assert ("Rosa", "request 2026-118") == (entry.actor, entry.facts["reason"])
        original = ledger.entry(str(entry.corrects))
        assert set(original.erased()) == set(entry.facts["fields"])
    erasure = ledger.erasures(note.id)["text"]
    assert ("Rosa", "request 2026-118", erased[-1].id) == (
        erasure.by,
        erasure.reason,
        erasure.entry,
    )


def test_a_second_run_finds_nothing(ledger: rml.Ledger) -> None:
    """And records nothing."""
    charges()
    ledger.erase_subject("customer_id", "c-7", **BY)
    size = ledger.size

    assert Removal(entries=0, fields=0, kept=()) == ledger.erase_subject("customer_id", "c-7", **BY)
    assert size == ledger.size


def test_some_fields_only(ledger: rml.Ledger) -> None:
    """As for one entry."""
    charges()

    removed = ledger.erase_subject("customer_id", "c-7", fields=["email", "phone"], **BY)

    assert (2, 2) == (removed.entries, removed.fields)
    assert {"rml.request"} == kept(ledger)[0]


@pytest.mark.parametrize("value", [7, "7", True, None, ["7"]], ids=repr)
def test_a_value_is_of_one_type(ledger: rml.Ledger, value: Any) -> None:
    """The number 7 is another customer than the text."""
    for one in (7, "7", True, 1, None, ["7"]):
        ledger.append("a.b", world="RML1", facts={"id": one}, personal={"text": "x"})
    ledger.append("a.b", world="RML1", personal={"text": "x"})

    assert 1 == ledger.erase_subject("id", value, **BY).entries


def test_what_belongs_to_a_pending_goes_with_it(ledger: rml.Ledger) -> None:
    """Its confirmation says no customer's name."""
    pending = ledger.pend(
        "a.b", world="RML3", facts={"customer_id": "c-7"}, personal={"email": "a"}
    )
    ledger.confirm(pending.id, by="shop", personal={"name": "Ada"})

    assert 2 == ledger.erase_subject("customer_id", "c-7", **BY).entries
    assert {} == kept(ledger)


@pytest.mark.parametrize(
    "end", [TimeoutError(), rml.DialogError("lost")], ids=["in_doubt", "retrying"]
)
def test_what_has_not_ended_keeps_its_request_fingerprint(
    ledger: rml.Ledger, end: BaseException
) -> None:
    """Without it the next call could not be recognised; the rest goes, and this when it has."""
    charges(k3=end)
    (effect,) = (effect for effect in ledger.effects() if effect.key == "k3")

    removed = ledger.erase_subject("customer_id", "c-7", **BY)

    assert (effect.id,) == removed.kept
    (intent,) = ledger.entries(effect=effect.id, kind="effect.intent")
    assert {"rml.request"} == set(intent.personal)
    if effect.state is rml.EffectState.RETRYING:
        charges()  # is recognised, runs again, and ends
        assert "done" == ledger.effect(effect.id).state
    else:
        ledger.resolve(effect.id, happened=False, by="ada", reason="seen")
    assert () == ledger.erase_subject("customer_id", "c-7", **BY).kept
    assert {} == {
        entry.id: entry.personal for entry in ledger.entries(effect=effect.id) if entry.personal
    }


def test_erasing_from_inside_the_effect(ledger: rml.Ledger) -> None:
    """What is in flight ends as it would have, and its result is erased by the next run."""

    def inside() -> str:
        assert 1 == len(ledger.erase_subject("customer_id", "c-7", **BY).kept)
        return "ada@example.com"

    charges(k1=inside)

    assert {"rml.request", "rml.result"} <= set().union(*kept(ledger).values())
    ledger.erase_subject("customer_id", "c-7", **BY)
    assert {"c-8"} == {
        ledger.effect(str(entry.effect)).facts["customer_id"]
        for entry in ledger.entries()
        if entry.personal
    }


def test_progress_is_told(ledger: rml.Ledger) -> None:
    """How far the ledger has been looked at, to the end."""
    charges()
    told: list[tuple[int, int]] = []

    ledger.erase_subject("customer_id", "c-7", progress=lambda *far: told.append(far), **BY)

    assert [(2, 6), (4, 6), (6, 6), (6, 6)] == told


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("fact", {"fact": ""}),
        ("value", {"value": 1.5}),
        ("by ", {"by": ""}),
        ("reason", {"reason": None}),
        ("fields must be a list", {"fields": "email"}),
        ("fields must be a list of", {"fields": []}),
        ("progress", {"progress": 5}),
    ],
)
def test_what_cannot_be_used_is_refused(
    ledger: rml.Ledger, reason: str, change: dict[str, Any]
) -> None:
    """Before anything is erased."""
    charges()
    given: dict[str, Any] = {"fact": "customer_id", "value": "c-7", **BY, **change}

    with pytest.raises(rml.InvalidInputError, match=reason):
        ledger.erase_subject(given.pop("fact"), given.pop("value"), **given)
    assert "payload.erased" not in kinds(ledger)


def test_erasures_of_nothing(ledger: rml.Ledger) -> None:
    """An entry that lost nothing, and one that nobody knows."""
    made = ledger.append("a.b", world="RML1", personal={"text": "x"})

    assert {} == ledger.erasures(made.id)
    with pytest.raises(rml.UnknownIdError):
        ledger.erasures("019aa2be-8f00-7000-8000-00000000abcd")


# ---------------------------------------------------------------------------------- in the file


def raw(path: Path) -> bytes:
    """Return every byte of the ledger's files."""
    return b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))


def marker(customer: int) -> bytes:
    """Return what stands in each personal value of a customer: too long for a hash to hold it."""
    return b"<personal:%d:" % customer


@pytest.mark.parametrize("seed", range(3))
def test_no_byte_is_left_in_the_file(tmp_path: Path, seed: int) -> None:
    """Neither in its pages, also those that are free, nor in its log."""
    chance = random.Random(seed)
    path = tmp_path / "ledger.db"
    with rml.Ledger(path) as ledger:
        for number in range(0, 600, 20):

            def work(draft: rml.Draft, number: int = number) -> None:
                for one in range(number, number + 20):
                    mark = marker(one % 10).decode() + f"{one}>"
                    draft.append(
                        "a.b",
                        world="RML1",
                        facts={"customer": one % 10, "fill": "x" * chance.choice([0, 300])},
                        personal={"text": mark * chance.choice([1, 30, 100, 900]), "other": mark},
                    )

            ledger.write(work)
        for customer in chance.sample(range(10), 5):
            ledger.erase_subject("customer", customer, **BY)

            assert marker(customer) not in raw(path)
        assert () == ledger.verify().problems
        left = {entry.facts.get("customer") for entry in ledger.entries() if entry.personal}
        assert 5 == len(left)
        assert all(marker(customer) in raw(path) for customer in left if customer is not None)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("after", [1, 2, 5])
def test_an_interrupted_run_is_finished_by_running_it_again(tmp_path: Path, after: int) -> None:
    """Each value goes once, with one record."""
    path = tmp_path / "ledger.db"
    with rml.Ledger(path) as ledger:
        for number in range(20):
            facts, personal = {"customer": number % 2}, {"text": marker(number % 2).decode()}
            ledger.append("a.b", world="RML1", facts=facts, personal=personal)

    child = os.fork()
    if child == 0:
        try:
            ledger = rml.Ledger(path)
            told: list[int] = []

            def progress(*_: int) -> None:
                told.append(1)
                if len(told) > after:
                    os.kill(os.getpid(), 9)

            ledger.erase_subject("customer", 1, progress=progress, **BY)
        finally:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert -9 == status

    with rml.Ledger(path, create=False) as ledger:
        done = len(ledger.entries(kind="payload.erased"))
        assert 0 <= done < 10
        removed = ledger.erase_subject("customer", 1, **BY)
        assert (10 - done, 10) == (removed.entries, len(ledger.entries(kind="payload.erased")))
        assert marker(1) not in raw(path)
        assert marker(0) in raw(path)
        assert () == ledger.verify().problems
